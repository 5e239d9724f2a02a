//! Operands rounded to bf16, the upper half of an `f32`, for products whose sums are in `f32`.
//!
//! Two neighbours of the inner dimension lie in one element, a [`Pair`]: the instruction of AVX-512 BF16 multiplies pairs,
//! and adds both products to one sum. With that a product is the same as of numbers, over half as many elements. For
//! `sum_k a[m, k] b[k, n]` the rows of a row-major `a` become pairs by [`Rounded::along`], those of a row-major `b` by
//! [`Rounded::across`]. An inner dimension of odd length is filled up with a zero.
//!
//! Where the processor has AMX, its tiles multiply the pairs ([`tiles`]), and add in another order. Where it has neither, pairs
//! are taken apart and multiplied one after the other, in the order of the instruction: the sums are the same, but for subnormal
//! numbers, which the instruction takes for zeros (Intel 64 and IA-32 Architectures Software Developer's Manual, VDPBF16PS).

#[cfg(target_arch = "x86_64")]
pub(super) mod tiles;

use std::cell::RefCell;

use rayon::prelude::*;

use super::{
    ROW_CHUNK, add_columns_of,
    gemm::{self, Element, Gemm},
    matmul::Matrix,
    multiversion,
    scratch::Scratch,
    simd::Simd,
};
use crate::{
    buffer::{Buffer, Word},
    profile::timer,
};

/// Two bf16 numbers: the first in the lower half.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Pair(u32);

// SAFETY: every 16 bits are a number, or not a number.
unsafe impl Word for Pair {}

impl Pair {
    #[inline(always)]
    fn rounded(first: f32, second: f32) -> Self {
        Self(u32::from(round(first)) | u32::from(round(second)) << 16)
    }

    /// Both numbers.
    #[inline(always)]
    fn numbers(self) -> [f32; 2] {
        [self.0 << 16, self.0 & 0xffff_0000].map(f32::from_bits)
    }
}

/// The bits of the nearest bf16; of two, that whose last bit is 0. What is not a number stays so.
#[inline(always)]
fn round(value: f32) -> u16 {
    let bits = value.to_bits();
    // Cut off, the bits that tell it from an infinity could be gone.
    let quiet = bits >> 16 | 0x40;
    let nearest = (bits.wrapping_add(0x7fff + (bits >> 16 & 1))) >> 16;
    (if value.is_nan() { quiet } else { nearest }) as u16
}

impl Element for Pair {
    const NUMBERS: usize = 2;
    const PRODUCTS: [&'static str; 3] =
        ["matmul, bf16, forward", "matmul, bf16, back to inputs", "matmul, bf16, back to weights"];
    const KERNELS: &'static [&'static Gemm<Self>] = &[
        #[cfg(target_arch = "x86_64")]
        &tiles::GEMM,
        #[cfg(target_arch = "x86_64")]
        &gemm::avx512_bf16::gemm(),
        #[cfg(target_arch = "x86_64")]
        &gemm::avx512::gemm(),
        #[cfg(target_arch = "x86_64")]
        &gemm::avx2::gemm(),
        &gemm::portable::gemm(),
    ];

    #[inline(always)]
    fn multiply_add<S: Simd>(simd: S, a: S::Vector, b: S::Vector, sum: S::Vector) -> S::Vector {
        simd.fma_pairs(a, b, sum)
    }

    fn add_columns(rows: &[Self], sums: &mut [f32]) {
        add_columns(rows, sums);
    }

    fn with_packed<R>(f: impl FnOnce(&mut [Scratch<Self>; 2]) -> R) -> R {
        thread_local! {
            static PACKED: RefCell<[Scratch<Pair>; 2]> = RefCell::default();
        }
        PACKED.with_borrow_mut(f)
    }
}

multiversion! {
    fn add_columns(rows: &[Pair], sums: &mut [f32]) {
        add_columns_of(rows, sums, |pair| {
            let [first, second] = pair.numbers();
            first + second
        });
    }
}

/// A rounded operand, in memory that the next one takes over.
#[derive(Default)]
pub(crate) struct Rounded {
    pairs: Buffer<Pair>,
    columns: usize,
    /// The most pairs that it has had at a time.
    #[cfg(test)]
    pub(crate) most: usize,
}

impl Rounded {
    /// A matrix `[M, K]` with pairs of neighbours in a row: `[M, K / 2]`.
    pub(crate) fn along(&mut self, values: &[f32], columns: usize) -> Matrix<'_, Pair> {
        self.fill(values, columns, [1, columns.div_ceil(2)], round_along)
    }

    /// A matrix `[K, N]` with pairs of neighbours in a column: `[K / 2, N]`.
    pub(crate) fn across(&mut self, values: &[f32], columns: usize) -> Matrix<'_, Pair> {
        self.fill(values, columns, [2, columns], round_across)
    }

    /// `height` rows of values become one of `width` pairs.
    fn fill(
        &mut self,
        values: &[f32],
        columns: usize,
        [height, width]: [usize; 2],
        round: fn(&[f32], usize, &mut [Pair]),
    ) -> Matrix<'_, Pair> {
        let rows = values.len() / columns;
        assert_eq!(values.len(), rows * columns, "a matrix has whole rows: this is a bug");
        self.columns = width;
        self.pairs.resize(rows.div_ceil(height) * width);
        #[cfg(test)]
        {
            self.most = self.most.max(self.pairs.len());
        }
        let _timer = timer("rounding to bf16", values.len() + self.pairs.len());
        values
            .par_chunks(ROW_CHUNK * height * columns)
            .zip(self.pairs.par_chunks_mut(ROW_CHUNK * width))
            .for_each(|(values, pairs)| round(values, columns, pairs));
        self.matrix()
    }

    /// What was rounded last.
    pub(crate) fn matrix(&self) -> Matrix<'_, Pair> {
        Matrix::new(&self.pairs, self.columns)
    }
}

multiversion! {
    fn round_along(values: &[f32], columns: usize, to: &mut [Pair]) {
        for (row, to) in values.chunks_exact(columns).zip(to.chunks_exact_mut(columns.div_ceil(2))) {
            let (pairs, rest) = row.as_chunks::<2>();
            for (to, [first, second]) in to.iter_mut().zip(pairs) {
                *to = Pair::rounded(*first, *second);
            }
            if let ([last], Some(to)) = (rest, to.last_mut()) {
                *to = Pair::rounded(*last, 0.0);
            }
        }
    }
}

multiversion! {
    fn round_across(values: &[f32], columns: usize, to: &mut [Pair]) {
        for (rows, to) in values.chunks(2 * columns).zip(to.chunks_exact_mut(columns)) {
            let (first, second) = rows.split_at(columns);
            for (to, first) in to.iter_mut().zip(first) {
                *to = Pair::rounded(*first, 0.0);
            }
            for (to, (first, second)) in to.iter_mut().zip(first.iter().zip(second)) {
                *to = Pair::rounded(*first, *second);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;

    /// Crate `half` rounds in the same way, to the payload of what is not a number.
    #[test]
    fn rounds_to_the_nearest() {
        // Each number of 16 bits, with the lower halves where rounding changes its mind.
        for upper in 0..=u16::MAX {
            for lower in [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff] {
                let value = f32::from_bits(u32::from(upper) << 16 | lower);
                assert_eq!(round(value), bf16::from_f32(value).to_bits(), "{value:e}, {upper:x} {lower:x}");
            }
        }
        for (value, expected) in [
            (1.0 + f32::EPSILON, 1.0),
            (1.0 + 1.0 / 256.0, 1.0),
            (1.0 + 3.0 / 256.0, 1.0 + 4.0 / 256.0),
            (f32::MAX, f32::INFINITY),
            (f32::from_bits(1), 0.0),
            (-0.0, -0.0),
        ] {
            let [first, second] = Pair::rounded(value, -value).numbers();
            assert_eq!([first.to_bits(), second.to_bits()], [expected, -expected].map(f32::to_bits), "{value}");
        }
    }

    #[test]
    fn an_odd_dimension_is_filled_up_with_zeros() {
        let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
        let numbers = |matrix: Matrix<'_, Pair>| matrix.values().iter().map(|pair| pair.numbers()).collect::<Vec<_>>();
        let mut rounded = Rounded::default();
        let along = [[1.0, 2.0], [3.0, 0.0], [4.0, 5.0], [6.0, 0.0], [7.0, 8.0], [9.0, 0.0]];
        assert_eq!(numbers(rounded.along(&values, 3)), along);
        let across = [[1.0, 4.0], [2.0, 5.0], [3.0, 6.0], [7.0, 0.0], [8.0, 0.0], [9.0, 0.0]];
        assert_eq!(numbers(rounded.across(&values, 3)), across);
        assert_eq!(numbers(rounded.matrix()), across);
        // Shorter than before, and without rows.
        assert_eq!(numbers(rounded.along(&values[..2], 1)), [[1.0, 0.0], [2.0, 0.0]]);
        assert_eq!(numbers(rounded.across(&[], 3)), [[0.0; 2]; 0]);
    }
}
