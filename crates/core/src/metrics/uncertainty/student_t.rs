//! Student's t distribution.

/// How often a value with `freedom` degrees of freedom is at least as far from 0 as `t`: with `x = freedom / (freedom +
/// t²)`, the regularised incomplete beta function `I_x(freedom / 2, 1 / 2)`.
pub(super) fn two_sided(t: f64, freedom: f64) -> f64 {
    let square = t * t;
    if square.is_infinite() {
        return 0.0;
    }
    let whole = freedom + square;
    incomplete_beta(freedom / 2.0, 0.5, freedom / whole, square / whole)
}

/// The `t` that is exceeded on either side with a chance of `1 - level` in all; infinite where no `f64` is enough.
pub(super) fn critical(level: f64, freedom: f64) -> f64 {
    let exceeds = |t: f64| two_sided(t, freedom) > 1.0 - level;
    let mut high = 1.0;
    while exceeds(high) {
        high *= 2.0;
    }
    let mut low = 0.0;
    // Halving an interval of floats ends: then its ends are neighbours.
    loop {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            return high;
        }
        if exceeds(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
}

/// `I_x(a, b)` with `y = 1 - x`, which the caller may know more exactly.
fn incomplete_beta(a: f64, b: f64, x: f64, y: f64) -> f64 {
    if x <= 0.0 || y <= 0.0 {
        return if x <= 0.0 { 0.0 } else { 1.0 };
    }
    let ln_front = libm::lgamma(a + b) - libm::lgamma(a) - libm::lgamma(b) + a * x.ln() + b * y.ln();
    let front = ln_front.exp();
    // The fraction converges fast on this side of the mean only; the other is its mirror image.
    if x < (a + 1.0) / (a + b + 2.0) {
        front * beta_fraction(a, b, x) / a
    } else {
        1.0 - front * beta_fraction(b, a, y) / b
    }
}

/// The continued fraction of the incomplete beta function (DLMF 8.17.22), by the modified method of Lentz.
fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let nonzero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / nonzero(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for m in 1..10_000 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let before = fraction;
        for coefficient in [even, odd] {
            d = 1.0 / nonzero(1.0 + coefficient * d);
            c = nonzero(1.0 + coefficient / c);
            fraction *= c * d;
        }
        if (fraction - before).abs() <= f64::EPSILON * fraction.abs() {
            break;
        }
    }
    fraction
}
