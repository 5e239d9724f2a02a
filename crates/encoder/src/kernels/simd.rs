//! Vectors of `f32` behind one trait, for sums and products that compilers do not vectorise well by themselves.
//!
//! A value of [`Avx512`] or [`Avx2`] stands for the proof that the processor has the instructions: [`multiversion!`] makes
//! one only behind that check. Everything is inlined into the function that was compiled for them.
//!
//! [`multiversion!`]: super::multiversion

#[cfg(target_arch = "x86_64")]
#[allow(clippy::wildcard_imports)]
use std::{arch::x86_64::*, mem::transmute};

/// One instruction set.
pub(crate) trait Simd: Copy {
    /// A vector.
    type Vector: Copy;
    /// Its `f32`s.
    const LANES: usize;

    fn splat(self, value: f32) -> Self::Vector;
    /// # Safety
    /// `from` points at [`Self::LANES`] numbers.
    unsafe fn load(self, from: *const f32) -> Self::Vector;
    /// # Safety
    /// `to` points at [`Self::LANES`] numbers that nobody else uses.
    unsafe fn store(self, vector: Self::Vector, to: *mut f32);
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn max(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn min(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a b + c`, rounded once where the instruction set can do so.
    fn fma(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// `a₀ b₀ + (a₁ b₁ + c)` of vectors whose lanes are pairs of bf16, `a₁` in a lane's upper half.
    fn fma_pairs(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;

    /// The same of single numbers, for loops that the compiler vectorises.
    fn fused(self, a: f32, b: f32, c: f32) -> f32;
    /// Writes the square of `LANES` rows by `LANES` columns at `from`, whose rows begin `from_stride` apart, transposed to
    /// `to`; only the first `present` rows are there, and zeros in the places of the others.
    ///
    /// # Safety
    /// `from` holds so many rows, `to` a square.
    unsafe fn transpose(self, from: *const f32, from_stride: usize, present: usize, to: *mut f32, to_stride: usize);

    /// The lanes folded by `f`: those of the upper half with those of the lower, and so on.
    fn fold(self, vector: Self::Vector, f: impl Fn(Self::Vector, Self::Vector) -> Self::Vector) -> f32;
}

/// Folds `f(i)`, for `i` up to the number of whole vectors in `len`, into four vectors by turns, and those into one: a
/// single chain of additions would wait for each of them.
#[inline(always)]
fn fold_vectors<S: Simd>(simd: S, len: usize, start: f32, f: impl Fn(S::Vector, usize) -> S::Vector) -> [S::Vector; 4] {
    let mut chains = [simd.splat(start); 4];
    let whole = len / S::LANES;
    let mut vector = 0;
    while vector + 4 <= whole {
        chains[0] = f(chains[0], vector);
        chains[1] = f(chains[1], vector + 1);
        chains[2] = f(chains[2], vector + 2);
        chains[3] = f(chains[3], vector + 3);
        vector += 4;
    }
    while vector < whole {
        chains[0] = f(chains[0], vector);
        vector += 1;
    }
    chains
}

/// The sum of `values`, in an order that depends on their number alone.
#[inline(always)]
pub(crate) fn sum<S: Simd>(simd: S, values: &[f32]) -> f32 {
    let rest = &values[values.len() / S::LANES * S::LANES..];
    // SAFETY: the vector lies in `values`.
    let next = |sum, vector| simd.add(sum, unsafe { simd.load(values.as_ptr().add(vector * S::LANES)) });
    let [a, b, c, d] = fold_vectors(simd, values.len(), 0.0, next);
    simd.fold(simd.add(simd.add(a, b), simd.add(c, d)), |a, b| simd.add(a, b)) + rest.iter().sum::<f32>()
}

/// The largest of `values`; minus infinity if there are none. What it is with a NaN among them is not defined.
#[inline(always)]
pub(crate) fn largest<S: Simd>(simd: S, values: &[f32]) -> f32 {
    let rest = &values[values.len() / S::LANES * S::LANES..];
    // SAFETY: the vector lies in `values`.
    let next = |most, vector| simd.max(most, unsafe { simd.load(values.as_ptr().add(vector * S::LANES)) });
    let [a, b, c, d] = fold_vectors(simd, values.len(), f32::NEG_INFINITY, next);
    let most = simd.fold(simd.max(simd.max(a, b), simd.max(c, d)), |a, b| simd.max(a, b));
    rest.iter().copied().fold(most, f32::max)
}

/// The smallest of `values`, as [`largest`].
#[inline(always)]
pub(crate) fn smallest<S: Simd>(simd: S, values: &[f32]) -> f32 {
    let rest = &values[values.len() / S::LANES * S::LANES..];
    // SAFETY: the vector lies in `values`.
    let next = |least, vector| simd.min(least, unsafe { simd.load(values.as_ptr().add(vector * S::LANES)) });
    let [a, b, c, d] = fold_vectors(simd, values.len(), f32::INFINITY, next);
    let least = simd.fold(simd.min(simd.min(a, b), simd.min(c, d)), |a, b| simd.min(a, b));
    rest.iter().copied().fold(least, f32::min)
}

/// The sum of the products of `a` and `b`, which are equally long, in an order that depends on their number alone.
#[inline(always)]
pub(crate) fn dot<S: Simd>(simd: S, a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "factors are equally many: this is a bug");
    let whole = a.len() / S::LANES * S::LANES;
    let next = |sum, vector| {
        // SAFETY: the vectors lie in `a` and in `b`.
        unsafe {
            let place = vector * S::LANES;
            simd.fma(simd.load(a.as_ptr().add(place)), simd.load(b.as_ptr().add(place)), sum)
        }
    };
    let [p, q, r, s] = fold_vectors(simd, a.len(), 0.0, next);
    let rest = a[whole..].iter().zip(&b[whole..]).map(|(a, b)| a * b);
    simd.fold(simd.add(simd.add(p, q), simd.add(r, s)), |a, b| simd.add(a, b)) + rest.sum::<f32>()
}

/// Numbers in a vector.
#[inline(always)]
pub(crate) fn lanes<S: Simd>(_: S) -> usize {
    S::LANES
}

/// `std::array::from_fn`, which is not always inlined.
#[inline(always)]
fn each(f: impl Fn(usize) -> f32) -> [f32; 4] {
    [f(0), f(1), f(2), f(3)]
}

/// The bits of a lane where the second of a pair of bf16 lies.
const UPPER_HALF: i32 = 0xffff_0000_u32.cast_signed();

/// Any processor: arrays, for the compiler to vectorise.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Simd for Portable {
    type Vector = [f32; 4];
    const LANES: usize = 4;

    #[inline(always)]
    fn splat(self, value: f32) -> [f32; 4] {
        [value; 4]
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> [f32; 4] {
        // SAFETY: the caller's.
        unsafe { from.cast::<[f32; 4]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(self, vector: [f32; 4], to: *mut f32) {
        // SAFETY: the caller's.
        unsafe { to.cast::<[f32; 4]>().write_unaligned(vector) };
    }
    #[inline(always)]
    fn add(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        each(|i| a[i] + b[i])
    }
    #[inline(always)]
    fn max(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        each(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn min(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        each(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn fma(self, a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        each(|i| self.fused(a[i], b[i], c[i]))
    }
    #[inline(always)]
    fn fma_pairs(self, a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        let upper = |v: f32| f32::from_bits(v.to_bits() & UPPER_HALF.cast_unsigned());
        let lower = |v: f32| f32::from_bits(v.to_bits() << 16);
        each(|i| self.fused(lower(a[i]), lower(b[i]), self.fused(upper(a[i]), upper(b[i]), c[i])))
    }
    #[inline(always)]
    fn fused(self, a: f32, b: f32, c: f32) -> f32 {
        // Without the instruction, a fused operation would be a slow library call.
        if cfg!(target_arch = "aarch64") { a.mul_add(b, c) } else { a * b + c }
    }
    #[inline(always)]
    fn fold(self, vector: [f32; 4], f: impl Fn([f32; 4], [f32; 4]) -> [f32; 4]) -> f32 {
        let [a, b, c, d] = vector;
        let [a, b, ..] = f(vector, [c, d, a, b]);
        f([a, b, a, b], [b, a, b, a])[0]
    }
    #[inline(always)]
    unsafe fn transpose(self, from: *const f32, from_stride: usize, present: usize, to: *mut f32, to_stride: usize) {
        for row in 0..Self::LANES {
            for column in 0..Self::LANES {
                // SAFETY: the caller's.
                unsafe {
                    let value = if row < present { *from.add(row * from_stride + column) } else { 0.0 };
                    *to.add(column * to_stride + row) = value;
                }
            }
        }
    }
}

macro_rules! x86 {
    ($name:ident, $vector:ty, $lanes:literal, $doc:literal, $splat:ident, $load:ident, $store:ident, $add:ident,
     $max:ident, $min:ident, $fma:ident, $fma_pairs:ident, [$($swap:expr),+], $first:ident, $transpose:ident) => {
        #[doc = $doc]
        #[cfg(target_arch = "x86_64")]
        #[derive(Clone, Copy)]
        pub(crate) struct $name(());

        #[cfg(target_arch = "x86_64")]
        impl $name {
            /// # Safety
            /// The processor has the instructions.
            pub(crate) const unsafe fn new() -> Self {
                Self(())
            }
        }

        #[cfg(target_arch = "x86_64")]
        impl Simd for $name {
            type Vector = $vector;
            const LANES: usize = $lanes;

            #[inline(always)]
            fn splat(self, value: f32) -> $vector {
                // SAFETY: the processor has the instructions, or there would be no `self`.
                unsafe { $splat(value) }
            }
            #[inline(always)]
            unsafe fn load(self, from: *const f32) -> $vector {
                // SAFETY: as above, and the caller's.
                unsafe { $load(from) }
            }
            #[inline(always)]
            unsafe fn store(self, vector: $vector, to: *mut f32) {
                // SAFETY: as above, and the caller's.
                unsafe { $store(to, vector) };
            }
            #[inline(always)]
            fn add(self, a: $vector, b: $vector) -> $vector {
                // SAFETY: as above.
                unsafe { $add(a, b) }
            }
            #[inline(always)]
            fn max(self, a: $vector, b: $vector) -> $vector {
                // SAFETY: as above.
                unsafe { $max(a, b) }
            }
            #[inline(always)]
            fn min(self, a: $vector, b: $vector) -> $vector {
                // SAFETY: as above.
                unsafe { $min(a, b) }
            }
            #[inline(always)]
            fn fma(self, a: $vector, b: $vector, c: $vector) -> $vector {
                // SAFETY: as above.
                unsafe { $fma(a, b, c) }
            }
            #[inline(always)]
            fn fma_pairs(self, a: $vector, b: $vector, c: $vector) -> $vector {
                // SAFETY: as above.
                unsafe { $fma_pairs(a, b, c) }
            }
            #[inline(always)]
            fn fused(self, a: f32, b: f32, c: f32) -> f32 {
                a.mul_add(b, c)
            }
            #[inline(always)]
            fn fold(self, vector: $vector, f: impl Fn($vector, $vector) -> $vector) -> f32 {
                let mut vector = vector;
                $(
                    // SAFETY: as above.
                    vector = f(vector, unsafe { $swap(vector) });
                )+
                // SAFETY: as above.
                unsafe { $first(vector) }
            }
            #[inline(always)]
            unsafe fn transpose(self, from: *const f32, from_stride: usize, present: usize, to: *mut f32, to_stride: usize) {
                // SAFETY: as above, and the caller's.
                unsafe { $transpose(from, from_stride, present, to, to_stride) };
            }
        }
    };
}

/// The instruction's own sums: it rounds after each of the two products, as [`fma_pairs_16`] does, but takes subnormal
/// numbers for zeros.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn dot_pairs_16(a: __m512, b: __m512, c: __m512) -> __m512 {
    // Not in an array's `map`: what calls a function here keeps no sums in registers.
    // SAFETY: both are 512 bits, of any value.
    let (a, b) = unsafe { (transmute::<__m512, __m512bh>(a), transmute::<__m512, __m512bh>(b)) };
    _mm512_dpbf16_ps(c, a, b)
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f")]
fn fma_pairs_16(a: __m512, b: __m512, c: __m512) -> __m512 {
    let upper = |v| _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(v), _mm512_set1_epi32(UPPER_HALF)));
    let lower = |v| _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_castps_si512(v)));
    _mm512_fmadd_ps(lower(a), lower(b), _mm512_fmadd_ps(upper(a), upper(b), c))
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2,fma")]
fn fma_pairs_8(a: __m256, b: __m256, c: __m256) -> __m256 {
    let upper = |v| _mm256_castsi256_ps(_mm256_and_si256(_mm256_castps_si256(v), _mm256_set1_epi32(UPPER_HALF)));
    let lower = |v| _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_castps_si256(v)));
    _mm256_fmadd_ps(lower(a), lower(b), _mm256_fmadd_ps(upper(a), upper(b), c))
}

/// Neighbouring groups of so many lanes in each other's place.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f")]
fn swap_16<const GROUP: usize>(v: __m512) -> __m512 {
    match GROUP {
        8 => _mm512_shuffle_f32x4::<0b01_00_11_10>(v, v),
        4 => _mm512_shuffle_f32x4::<0b10_11_00_01>(v, v),
        2 => _mm512_permute_ps::<0b01_00_11_10>(v),
        1 => _mm512_permute_ps::<0b10_11_00_01>(v),
        _ => unreachable!("halves, quarters, pairs or lanes change places: this is a bug"),
    }
}

/// The same.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
fn swap_8<const GROUP: usize>(v: __m256) -> __m256 {
    match GROUP {
        4 => _mm256_permute2f128_ps::<1>(v, v),
        2 => _mm256_permute_ps::<0b01_00_11_10>(v),
        1 => _mm256_permute_ps::<0b10_11_00_01>(v),
        _ => unreachable!("halves, pairs or lanes change places: this is a bug"),
    }
}

/// # Safety
/// The processor has AVX-512 F; `from` holds `present` rows of 16 numbers, `to` a square of 16 by 16.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn transpose_16(from: *const f32, from_stride: usize, present: usize, to: *mut f32, to_stride: usize) {
    let mut rows = [_mm512_setzero_ps(); 16];
    // So many at any rate, lest they lie on the stack.
    for (row, to) in rows.iter_mut().enumerate() {
        if row < present {
            // SAFETY: the caller's.
            *to = unsafe { _mm512_loadu_ps(from.add(row * from_stride)) };
        }
    }
    // Each step leaves in a register what belongs together in squares twice as large: 2 by 2, 4 by 4, and then whole
    // blocks of four.
    let mut pairs = rows;
    for i in (0..16).step_by(2) {
        pairs[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
        pairs[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
    }
    let mut fours = pairs;
    for i in (0..16).step_by(4) {
        for half in 0..2 {
            let (a, b) = (_mm512_castps_pd(pairs[i + half]), _mm512_castps_pd(pairs[i + half + 2]));
            fours[i + 2 * half] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
            fours[i + 2 * half + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
        }
    }
    let mut halves = fours;
    for i in [0, 1, 2, 3, 8, 9, 10, 11] {
        halves[i] = _mm512_shuffle_f32x4::<0x88>(fours[i], fours[i + 4]);
        halves[i + 4] = _mm512_shuffle_f32x4::<0xdd>(fours[i], fours[i + 4]);
    }
    for column in 0..8 {
        let (a, b) = (halves[column], halves[column + 8]);
        // SAFETY: the caller's.
        unsafe {
            _mm512_storeu_ps(to.add(column * to_stride), _mm512_shuffle_f32x4::<0x88>(a, b));
            _mm512_storeu_ps(to.add((column + 8) * to_stride), _mm512_shuffle_f32x4::<0xdd>(a, b));
        }
    }
}

/// # Safety
/// The processor has AVX2; `from` holds `present` rows of 8 numbers, `to` a square of 8 by 8.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn transpose_8(from: *const f32, from_stride: usize, present: usize, to: *mut f32, to_stride: usize) {
    let mut rows = [_mm256_setzero_ps(); 8];
    // So many at any rate, lest they lie on the stack.
    for (row, to) in rows.iter_mut().enumerate() {
        if row < present {
            // SAFETY: the caller's.
            *to = unsafe { _mm256_loadu_ps(from.add(row * from_stride)) };
        }
    }
    let mut pairs = rows;
    for i in (0..8).step_by(2) {
        pairs[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
        pairs[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
    }
    let mut fours = pairs;
    for i in (0..8).step_by(4) {
        for half in 0..2 {
            let (a, b) = (_mm256_castps_pd(pairs[i + half]), _mm256_castps_pd(pairs[i + half + 2]));
            fours[i + 2 * half] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, b));
            fours[i + 2 * half + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, b));
        }
    }
    for column in 0..4 {
        let (a, b) = (fours[column], fours[column + 4]);
        // SAFETY: the caller's.
        unsafe {
            _mm256_storeu_ps(to.add(column * to_stride), _mm256_permute2f128_ps::<0x20>(a, b));
            _mm256_storeu_ps(to.add((column + 4) * to_stride), _mm256_permute2f128_ps::<0x31>(a, b));
        }
    }
}

x86!(
    Avx512,
    __m512,
    16,
    "AVX-512 F, VL, BW and DQ.",
    _mm512_set1_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_add_ps,
    _mm512_max_ps,
    _mm512_min_ps,
    _mm512_fmadd_ps,
    fma_pairs_16,
    [swap_16::<8>, swap_16::<4>, swap_16::<2>, swap_16::<1>],
    _mm512_cvtss_f32,
    transpose_16
);
x86!(
    Avx512Bf16,
    __m512,
    16,
    "AVX-512 F, VL, BW, DQ and BF16.",
    _mm512_set1_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_add_ps,
    _mm512_max_ps,
    _mm512_min_ps,
    _mm512_fmadd_ps,
    dot_pairs_16,
    [swap_16::<8>, swap_16::<4>, swap_16::<2>, swap_16::<1>],
    _mm512_cvtss_f32,
    transpose_16
);
x86!(
    Avx2,
    __m256,
    8,
    "AVX2 and FMA.",
    _mm256_set1_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_add_ps,
    _mm256_max_ps,
    _mm256_min_ps,
    _mm256_fmadd_ps,
    fma_pairs_8,
    [swap_8::<4>, swap_8::<2>, swap_8::<1>],
    _mm256_cvtss_f32,
    transpose_8
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kernels::multiversion, random::Stream};

    fn check<S: Simd>(simd: S) {
        let stream = Stream::new(1, 2, 3);
        for n in [0, 1, 7, 16, 63, 64, 65, 200] {
            let values: Vec<f32> = (0..2 * n).map(|i| stream.uniform(i as u32) as f32 - 0.5).collect();
            let (a, b) = values.split_at(n);
            let exact = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
                a.iter().zip(b).map(|(a, b)| f(f64::from(*a), f64::from(*b))).sum()
            };
            assert!((f64::from(sum(simd, a)) - exact(&|a, _| a)).abs() < 1e-5);
            assert!((f64::from(dot(simd, a, b)) - exact(&|a, b| a * b)).abs() < 1e-5);
            assert_eq!(largest(simd, a).to_bits(), a.iter().copied().fold(f32::NEG_INFINITY, f32::max).to_bits());
            assert_eq!(smallest(simd, a).to_bits(), a.iter().copied().fold(f32::INFINITY, f32::min).to_bits());
        }
        let lanes = S::LANES;
        let square: Vec<f32> = (0..lanes * (lanes + 2)).map(|i| i as f32).collect();
        for rows in [1, lanes - 1, lanes] {
            let mut to = vec![f32::NAN; lanes * (lanes + 1)];
            // SAFETY: both hold a square of so many rows, with the given distances.
            unsafe { simd.transpose(square.as_ptr(), lanes + 2, rows, to.as_mut_ptr(), lanes + 1) };
            for (row, column) in (0..lanes * lanes).map(|i| (i / lanes, i % lanes)) {
                let expected = if row < rows { square[row * (lanes + 2) + column] } else { 0.0 };
                assert_eq!(to[column * (lanes + 1) + row].to_bits(), expected.to_bits());
            }
        }
    }

    multiversion! {
        fn check_the_best() {
            check(SIMD);
        }
    }

    #[test]
    fn every_instruction_set_does_the_same() {
        check_the_best();
        check(Portable);
        #[cfg(target_arch = "x86_64")]
        if crate::kernels::has_avx2() {
            // SAFETY: the processor has the instructions.
            check(unsafe { Avx2::new() });
        }
    }
}
