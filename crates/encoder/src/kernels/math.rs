//! Elementary functions without branches, so that loops over them vectorise.

use super::simd::Simd;

/// `e^x` to about 2 units in the last place; arguments below -87.3 give subnormal numbers, below -87.7 0, above 88 about 1.7e38.
#[inline(always)]
pub(crate) fn exp<S: Simd>(simd: S, x: f32) -> f32 {
    /// Adding 1.5 * 2^23 rounds to the nearest integer, which then sits in the low bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-88.0, 88.0);
    let rounded = simd.fused(x, std::f32::consts::LOG2_E, ROUND);
    let n = rounded - ROUND;
    let r = simd.fused(n, -LN2_LOW, simd.fused(n, -LN2_HIGH, x));
    // The Taylor polynomial: |r| <= ln 2 / 2, so its first missing term is below 1.3e-7 of the value.
    let mut p = 1.0 / 5040.0;
    p = simd.fused(p, r, 1.0 / 720.0);
    p = simd.fused(p, r, 1.0 / 120.0);
    p = simd.fused(p, r, 1.0 / 24.0);
    p = simd.fused(p, r, 1.0 / 6.0);
    p = simd.fused(p, r, 0.5);
    p = simd.fused(p, r, 1.0);
    p = simd.fused(p, r, 1.0);
    // 2^n, its exponent built from the integer in the low bits.
    let power = rounded.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    p * f32::from_bits(power)
}

/// The error function, absolute error below 5e-7: the rational approximation `x P(x²) / Q(x²)` on [-4, 4] with the
/// minimax coefficients of Eigen (and XLA); beyond, the result is that of ±4, which f32 cannot tell from ±1.
#[inline(always)]
#[allow(clippy::excessive_precision)]
pub(crate) fn erf<S: Simd>(simd: S, x: f32) -> f32 {
    let x = x.clamp(-4.0, 4.0);
    let s = x * x;
    let mut p = -2.726_142_25e-10;
    p = simd.fused(p, s, 2.770_681_42e-8);
    p = simd.fused(p, s, -2.101_024_02e-6);
    p = simd.fused(p, s, -5.692_506_39e-5);
    p = simd.fused(p, s, -7.349_906_30e-4);
    p = simd.fused(p, s, -2.954_599_81e-3);
    p = simd.fused(p, s, -1.609_603_33e-2);
    let mut q = -1.456_607_18e-5;
    q = simd.fused(q, s, -2.133_740_55e-4);
    q = simd.fused(q, s, -1.682_826_97e-3);
    q = simd.fused(q, s, -7.373_329_17e-3);
    q = simd.fused(q, s, -1.426_473_91e-2);
    x * p / q
}

#[cfg(test)]
mod tests {
    use crate::kernels::simd::Portable;

    #[test]
    fn exp_is_close_to_the_exact_one() {
        for i in -876_800..=880_000 {
            let x = i as f32 * 1e-4;
            let exact = f64::from(x).exp();
            let relative = (f64::from(super::exp(Portable, x)) - exact).abs() / exact;
            assert!(relative < 2.5e-7, "exp({x}): relative error {relative}");
        }
        for x in [-87.8, -1e30, f32::NEG_INFINITY] {
            assert_eq!(super::exp(Portable, x).to_bits(), 0, "exp({x})");
        }
    }

    #[test]
    fn erf_is_close_to_the_exact_one() {
        for i in -60_000..=60_000 {
            let x = i as f32 * 1e-4;
            let error = (f64::from(super::erf(Portable, x)) - libm::erf(f64::from(x))).abs();
            assert!(error < 5e-7, "erf({x}): error {error}");
        }
    }
}
