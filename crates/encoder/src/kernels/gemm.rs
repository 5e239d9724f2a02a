//! The inner loops of matrix products: a block of sums held in registers while the inner dimension runs.
//!
//! After Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008. A block is up to
//! [`Gemm::rows`] rows by the columns of a *panel*, three vectors of the columns of `b`, row after row. For every step of the
//! inner dimension the three vectors are loaded, and each of the rows' elements of `a` is multiplied with all. (Tiles take
//! panels, too, but sixteen steps at a time, see [`bf16`].)
//!
//! The order in which an element's sum is added up depends on the inner dimension, and with tiles on the number of columns, but
//! not on the rows: a row of the result does not depend on how many other rows there are.
//!
//! [`bf16`]: super::bf16

use std::{cell::RefCell, mem::MaybeUninit};

#[cfg(target_arch = "x86_64")]
use super::simd::{Avx2, Avx512, Avx512Bf16};
use super::{
    add_columns,
    scratch::Scratch,
    simd::{Portable, Simd},
};
use crate::buffer::Word;

/// Where the elements of a block of `a` lie.
#[derive(Clone, Copy)]
pub(crate) enum Rows {
    /// A row's elements are neighbours; rows begin so far apart.
    Apart(usize),
    /// A column's elements are neighbours; columns begin so far apart.
    Together(usize),
    /// As [`Gemm::pack_rows`] leaves them.
    Packed,
}

/// Where the elements of `b` lie.
#[derive(Clone, Copy)]
pub(crate) enum Columns {
    /// A row's elements are neighbours; rows begin so far apart.
    Together(usize),
    /// A column's elements are neighbours; columns begin so far apart.
    Apart(usize),
}

/// Rows by columns of the largest block of all, one of tiles.
const LARGEST_BLOCK: usize = 32 * VECTORS * 16;
/// Elements of the largest square that is transposed.
const LARGEST_SQUARE: usize = 16 * 16;
/// Vectors in a row of a block: with eight rows (AVX-512) or four they fill the registers, and a row's element is used as
/// often as it can be.
const VECTORS: usize = 3;

/// What becomes of the values that the destination holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Destination {
    Overwrite,
    Accumulate,
}

/// What operands are made of: a number, or several neighbours of the inner dimension in one.
pub(crate) trait Element: Word {
    /// Numbers in one.
    const NUMBERS: usize;
    /// What a profile calls a linear layer's products: forward, back to its inputs and back to its weights.
    const PRODUCTS: [&'static str; 3];
    /// The kernels of all instruction sets, the best first; the last one is for every processor.
    const KERNELS: &'static [&'static Gemm<Self>];

    /// `a b + sum`, summed over the numbers in an element.
    fn multiply_add<S: Simd>(simd: S, a: S::Vector, b: S::Vector, sum: S::Vector) -> S::Vector;

    /// Adds to `sums` the sums of the columns of `rows`, which are as wide, row after row.
    fn add_columns(rows: &[Self], sums: &mut [f32]);

    /// Lends what this thread packs panels and rows into.
    fn with_packed<R>(f: impl FnOnce(&mut [Scratch<Self>; 2]) -> R) -> R;
}

impl Element for f32 {
    const NUMBERS: usize = 1;
    const PRODUCTS: [&'static str; 3] = ["matmul, forward", "matmul, back to inputs", "matmul, back to weights"];
    const KERNELS: &'static [&'static Gemm] = &[
        #[cfg(target_arch = "x86_64")]
        &avx512::gemm(),
        #[cfg(target_arch = "x86_64")]
        &avx2::gemm(),
        &portable::gemm(),
    ];

    #[inline(always)]
    fn multiply_add<S: Simd>(simd: S, a: S::Vector, b: S::Vector, sum: S::Vector) -> S::Vector {
        simd.fma(a, b, sum)
    }

    fn add_columns(rows: &[Self], sums: &mut [f32]) {
        add_columns(rows, sums);
    }

    fn with_packed<R>(f: impl FnOnce(&mut [Scratch; 2]) -> R) -> R {
        thread_local! {
            static PACKED: RefCell<[Scratch; 2]> = RefCell::default();
        }
        PACKED.with_borrow_mut(f)
    }
}

/// A product for [`Gemm::product`].
pub(super) struct Product<'a, T> {
    pub(super) rows: usize,
    pub(super) inner: usize,
    pub(super) a: *const T,
    pub(super) lie: Rows,
    pub(super) panels: &'a [T],
    pub(super) columns: usize,
    pub(super) to: *mut f32,
    /// How far apart rows begin.
    pub(super) to_stride: usize,
    pub(super) destination: Destination,
}

/// Some rows of a product, by the columns of one panel.
pub(super) struct Block<T> {
    pub(super) rows: usize,
    pub(super) inner: usize,
    pub(super) a: *const T,
    /// How far apart rows of `a` begin, or else its columns.
    pub(super) stride: usize,
    pub(super) rows_apart: bool,
    pub(super) panel: *const T,
    /// Of the panel.
    pub(super) vectors: usize,
    pub(super) to: *mut f32,
    pub(super) to_stride: usize,
    pub(super) destination: Destination,
}

/// The kernels of one instruction set.
pub(crate) struct Gemm<T: 'static = f32> {
    /// Of the instruction set.
    #[cfg_attr(not(test), expect(dead_code, reason = "for messages of tests"))]
    pub(super) name: &'static str,
    /// Elements in a vector.
    pub(super) lanes: usize,
    /// The most rows of a block.
    pub(super) rows: usize,
    /// Whether the processor has the instructions.
    pub(super) present: fn() -> bool,
    /// See [`Self::product`]; the instructions must be present.
    pub(super) product: unsafe fn(&Self, &Product<'_, T>),
    /// Transposes a square of `lanes` by `lanes`: `(from, its row stride, its rows, to, its row stride)`; see
    /// [`Simd::transpose`].
    pub(super) transpose: unsafe fn(*const T, usize, usize, *mut T, usize),
    /// Copies whole vectors: `(from, its row stride, rows, columns, to, its row stride)`.
    pub(super) copy: unsafe fn(*const T, usize, usize, usize, *mut T, usize),
    /// See [`Self::pack_rows`]; the instructions must be present: `(from, distance of columns, inner dimension, rows, to)`.
    pub(super) pack_rows: unsafe fn(*const T, usize, usize, usize, *mut T),
    /// See [`Self::add_row_sums`].
    pub(super) add_row_sums: fn(&[T], usize, &mut [f32]),
}

impl<T: Element> Gemm<T> {
    /// The best kernels for this processor.
    pub(crate) fn get() -> &'static Self {
        T::KERNELS.iter().find(|kernels| (kernels.present)()).expect("the last is for every processor: this is a bug")
    }

    /// The columns of a panel, but for the last one, which may have fewer vectors.
    pub(crate) fn columns(&self) -> usize {
        VECTORS * self.lanes
    }

    /// So many columns and what the last vector has more.
    pub(crate) fn padded(&self, columns: usize) -> usize {
        columns.next_multiple_of(self.lanes)
    }

    /// The panels of so many columns: each one's first column and its width.
    fn panels(&self, columns: usize) -> impl Iterator<Item = (usize, usize)> {
        let end = self.padded(columns);
        (0..end).step_by(self.columns()).map(move |left| (left, self.columns().min(end - left)))
    }

    /// Packs `columns` columns of `inner` rows at `from` into panels, which are `[inner, padded(columns)]` in all; what is
    /// there too much becomes zeros.
    ///
    /// # Safety
    /// `from` holds what the sizes say.
    pub(crate) unsafe fn pack_columns(
        &self,
        (from, lie): (*const T, Columns),
        inner: usize,
        columns: usize,
        panels: &mut [T],
    ) {
        for (left, width) in self.panels(columns) {
            let panel = &mut panels[left * inner..(left + width) * inner];
            let present = width.min(columns - left);
            // SAFETY: the caller's.
            unsafe {
                match lie {
                    Columns::Together(stride) => self.pack_together(from.add(left), stride, present, width, panel),
                    Columns::Apart(stride) => {
                        self.pack_apart(from.add(left * stride), stride, present, width, panel);
                    }
                }
            }
        }
    }

    /// # Safety
    /// `from` holds as many rows as the panel, of `columns` numbers, that begin `stride` apart.
    unsafe fn pack_together(&self, from: *const T, stride: usize, columns: usize, width: usize, panel: &mut [T]) {
        let vectors = columns / self.lanes * self.lanes;
        // SAFETY: the caller's.
        unsafe { (self.copy)(from, stride, panel.len() / width, vectors, panel.as_mut_ptr(), width) };
        if vectors < width {
            for (row, to) in panel.chunks_exact_mut(width).enumerate() {
                for (column, to) in to.iter_mut().enumerate().skip(vectors) {
                    // SAFETY: the caller's.
                    *to = if column < columns { unsafe { *from.add(row * stride + column) } } else { T::default() };
                }
            }
        }
    }

    /// # Safety
    /// `from` holds `columns` columns of neighbours, as long as the panel is high, that begin `stride` apart.
    pub(super) unsafe fn pack_apart(
        &self,
        from: *const T,
        stride: usize,
        columns: usize,
        width: usize,
        panel: &mut [T],
    ) {
        let (lanes, inner) = (self.lanes, panel.len() / width);
        let down = inner / lanes * lanes;
        for row in (0..down).step_by(lanes) {
            for column in (0..width).step_by(lanes) {
                // SAFETY: the squares lie in the panel, and by the caller so many of their rows in what is at `from`.
                unsafe {
                    let to = panel.as_mut_ptr().add(row * width + column);
                    let from = from.add(column * stride + row);
                    let present = lanes.min(columns - column);
                    if column + lanes <= width {
                        (self.transpose)(from, stride, present, to, width);
                        continue;
                    }
                    // The square is wider than what is left of the rows.
                    let mut square = [T::default(); LARGEST_SQUARE];
                    (self.transpose)(from, stride, present, square.as_mut_ptr(), lanes);
                    for (row, square) in square.chunks_exact(lanes).take(lanes).enumerate() {
                        to.add(row * width).copy_from_nonoverlapping(square.as_ptr(), width - column);
                    }
                }
            }
        }
        // What is left at the lower edge.
        for (row, to) in panel.chunks_exact_mut(width).enumerate().skip(down) {
            for (column, to) in to.iter_mut().enumerate() {
                // SAFETY: the caller's.
                *to = if column < columns { unsafe { *from.add(column * stride + row) } } else { T::default() };
            }
        }
    }

    /// Packs `rows` rows of `inner` elements, whose columns of neighbours begin `stride` apart at `from`, as
    /// [`Rows::Packed`]: how, is the kernels' own affair.
    ///
    /// # Safety
    /// `from` holds what the sizes say.
    pub(crate) unsafe fn pack_rows(&self, from: *const T, stride: usize, inner: usize, rows: usize, to: &mut [T]) {
        assert_eq!(to.len(), rows * inner, "the rows fit: this is a bug");
        // SAFETY: the caller's, and the assertion.
        unsafe { (self.pack_rows)(from, stride, inner, rows, to.as_mut_ptr()) };
    }

    /// Adds to `sums` the sum of each of the rows that [`Self::pack_rows`] left in `packed`.
    pub(crate) fn add_row_sums(&self, packed: &[T], inner: usize, sums: &mut [f32]) {
        assert_eq!(packed.len(), sums.len() * inner, "there is a sum for each row: this is a bug");
        (self.add_row_sums)(packed, inner, sums);
    }

    /// `rows` rows of `a` times the panels, into as many rows of `columns` numbers at `to`, rows `to_stride` apart.
    ///
    /// # Safety
    /// `a` and `to` hold what the sizes say, and nobody else uses `to`.
    #[allow(clippy::too_many_arguments)]
    pub(crate) unsafe fn product(
        &self,
        rows: usize,
        inner: usize,
        (a, lie): (*const T, Rows),
        panels: &[T],
        columns: usize,
        (to, to_stride): (*mut f32, usize),
        destination: Destination,
    ) {
        assert!(panels.len() >= self.padded(columns) * inner, "the panels fit: this is a bug");
        let product = Product { rows, inner, a, lie, panels, columns, to, to_stride, destination };
        // SAFETY: the caller's; the kernels are for instructions that `get` found.
        unsafe { (self.product)(self, &product) };
    }
}

impl<T: Element> Product<'_, T> {
    /// Has `kernel` compute it, block after block. Packed rows are taken to lie block after block, and in a block column after
    /// column.
    ///
    /// # Safety
    /// The operands and the destination hold what the sizes say, and nobody else uses the latter.
    #[inline(always)]
    pub(super) unsafe fn in_blocks(&self, gemm: &Gemm<T>, mut kernel: impl FnMut(&Block<T>)) {
        let Self { rows, inner, columns, to_stride, destination, .. } = *self;
        assert!(gemm.rows * gemm.columns() <= LARGEST_BLOCK, "a block fits: this is a bug");
        let mut edge = [MaybeUninit::<f32>::uninit(); LARGEST_BLOCK];
        for top in (0..rows).step_by(gemm.rows) {
            let rows = gemm.rows.min(rows - top);
            let (rows_apart, stride, row_stride) = match self.lie {
                Rows::Apart(stride) => (true, stride, stride),
                Rows::Together(stride) => (false, stride, 1),
                Rows::Packed => (false, rows, inner),
            };
            for (left, width) in gemm.panels(columns) {
                let panel = self.panels[left * inner..].as_ptr();
                // SAFETY: the caller's.
                let (a, to) = unsafe { (self.a.add(top * row_stride), self.to.add(top * to_stride + left)) };
                let vectors = width / gemm.lanes;
                let block = Block { rows, inner, a, stride, rows_apart, panel, vectors, to, to_stride, destination };
                if left + width <= columns {
                    kernel(&block);
                    continue;
                }
                // The last panel has columns that the destination has not.
                kernel(&Block {
                    to: edge.as_mut_ptr().cast(),
                    to_stride: width,
                    destination: Destination::Overwrite,
                    ..block
                });
                // SAFETY: the kernel has just written these.
                let edge = unsafe { std::slice::from_raw_parts(edge.as_ptr().cast::<f32>(), rows * width) };
                for (row, sums) in edge.chunks_exact(width).enumerate() {
                    // SAFETY: the caller's.
                    let to = unsafe { std::slice::from_raw_parts_mut(to.add(row * to_stride), columns - left) };
                    for (to, sum) in to.iter_mut().zip(sums) {
                        *to = if destination == Destination::Accumulate { *to + sum } else { *sum };
                    }
                }
            }
        }
    }
}

/// Copies the whole vectors of `rows` rows of `columns` numbers that begin `stride` apart, to rows `width` apart.
///
/// # Safety
/// `from` and `to` hold as much.
#[inline(always)]
unsafe fn copy<S: Simd, T: Element>(
    simd: S,
    from: *const T,
    stride: usize,
    rows: usize,
    columns: usize,
    to: *mut T,
    width: usize,
) {
    for row in 0..rows {
        for left in (0..columns / S::LANES * S::LANES).step_by(S::LANES) {
            // SAFETY: the caller's.
            unsafe { simd.store(simd.load(from.add(row * stride + left).cast()), to.add(row * width + left).cast()) };
        }
    }
}

/// See [`Gemm::pack_rows`]: for each block the `ROWS` elements of a column, column after column.
///
/// # Safety
/// `from` and `to` hold so many rows.
#[inline(always)]
unsafe fn pack_rows<T: Element, const ROWS: usize>(
    from: *const T,
    stride: usize,
    inner: usize,
    rows: usize,
    to: *mut T,
) {
    let blocks = rows / ROWS;
    for step in 0..inner {
        for block in 0..blocks {
            // SAFETY: the caller's.
            unsafe {
                let rows = from.add(step * stride + block * ROWS).cast::<[T; ROWS]>().read_unaligned();
                to.add((block * inner + step) * ROWS).cast::<[T; ROWS]>().write_unaligned(rows);
            }
        }
    }
    let done = blocks * ROWS;
    for step in 0..inner {
        for row in done..rows {
            // SAFETY: the caller's.
            unsafe { *to.add(done * inner + step * (rows - done) + row - done) = *from.add(step * stride + row) };
        }
    }
}

/// A block of products of `ROWS` rows of `a` and one panel of `WIDTH` vectors. `APART` says which of the two ways `a` lies.
#[inline(always)]
unsafe fn block<S: Simd, T: Element, const ROWS: usize, const WIDTH: usize, const APART: bool>(
    simd: S,
    block: &Block<T>,
) {
    let Block { inner, a, stride, panel, to, to_stride, destination, .. } = *block;
    let mut sums = [[simd.splat(0.0); WIDTH]; ROWS];
    for step in 0..inner {
        let mut b = [simd.splat(0.0); WIDTH];
        for (vector, b) in b.iter_mut().enumerate() {
            // SAFETY: the caller's: the panel has this vector.
            *b = unsafe { simd.load(panel.add((step * WIDTH + vector) * S::LANES).cast()) };
        }
        for (row, sums) in sums.iter_mut().enumerate() {
            let place = if APART { row * stride + step } else { step * stride + row };
            // SAFETY: the caller's: `a` has this element.
            let factor = simd.splat(unsafe { a.add(place).cast::<f32>().read() });
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum = T::multiply_add(simd, factor, b, *sum);
            }
        }
    }
    for (row, sums) in sums.iter().enumerate() {
        for (vector, sum) in sums.iter().enumerate() {
            // SAFETY: the caller's: the destination has this vector.
            unsafe {
                let to = to.add(row * to_stride + vector * S::LANES);
                let before = if destination == Destination::Accumulate { simd.load(to) } else { simd.splat(0.0) };
                simd.store(simd.add(before, *sum), to);
            }
        }
    }
}

/// The kernels of one instruction set, for elements of any kind.
macro_rules! kernels {
    ($module:ident, $name:literal, $simd:ty, $new:expr, $present:expr, $(#[$feature:meta])?, [$($rows:literal)+]) => {
        pub(super) mod $module {
            use super::*;

            const ROWS: usize = [$($rows),+].len();

            $(#[$feature])?
            #[allow(unused_unsafe)]
            unsafe fn of<T: Element, const ROWS: usize, const WIDTH: usize, const APART: bool>(block: &Block<T>) {
                // SAFETY: the caller's.
                unsafe { super::block::<$simd, T, ROWS, WIDTH, APART>($new, block) };
            }

            /// # Safety
            /// As of [`Gemm::product`]; the instructions are present.
            unsafe fn product<T: Element>(gemm: &Gemm<T>, product: &Product<'_, T>) {
                type Kernels<T> = [[unsafe fn(&Block<T>); VECTORS]; ROWS];
                let apart: &Kernels<T> =
                    const { &[$([of::<T, $rows, 1, true>, of::<T, $rows, 2, true>, of::<T, $rows, 3, true>]),+] };
                let together: &Kernels<T> =
                    const { &[$([of::<T, $rows, 1, false>, of::<T, $rows, 2, false>, of::<T, $rows, 3, false>]),+] };
                // SAFETY: the caller's; the instructions are present.
                unsafe {
                    product.in_blocks(gemm, |block| {
                        let kernels = if block.rows_apart { apart } else { together };
                        kernels[block.rows - 1][block.vectors - 1](block);
                    });
                }
            }

            $(#[$feature])?
            #[allow(unused_unsafe)]
            unsafe fn transpose<T: Element>(
                from: *const T,
                from_stride: usize,
                present: usize,
                to: *mut T,
                to_stride: usize,
            ) {
                // SAFETY: the caller's; an element is as large as a number, and may have any bits, zeros too.
                unsafe { <$simd>::transpose($new, from.cast(), from_stride, present, to.cast(), to_stride) };
            }

            $(#[$feature])?
            #[allow(unused_unsafe)]
            unsafe fn copy<T: Element>(
                from: *const T,
                stride: usize,
                rows: usize,
                columns: usize,
                to: *mut T,
                width: usize,
            ) {
                // SAFETY: the caller's.
                unsafe { super::copy($new, from, stride, rows, columns, to, width) };
            }

            $(#[$feature])?
            #[allow(unused_unsafe)]
            unsafe fn pack_rows<T: Element>(
                from: *const T,
                stride: usize,
                inner: usize,
                rows: usize,
                to: *mut T,
            ) {
                // SAFETY: the caller's.
                unsafe { super::pack_rows::<T, ROWS>(from, stride, inner, rows, to) };
            }

            fn add_row_sums<T: Element>(packed: &[T], inner: usize, sums: &mut [f32]) {
                for (block, sums) in packed.chunks(ROWS * inner).zip(sums.chunks_mut(ROWS)) {
                    T::add_columns(block, sums);
                }
            }

            pub(in crate::kernels) const fn gemm<T: Element>() -> Gemm<T> {
                Gemm {
                    name: $name,
                    lanes: <$simd>::LANES,
                    present: $present,
                    rows: ROWS,
                    product: product::<T>,
                    transpose: transpose::<T>,
                    copy: copy::<T>,
                    pack_rows: pack_rows::<T>,
                    add_row_sums: add_row_sums::<T>,
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
kernels!(
    avx512_bf16, "AVX-512 BF16", Avx512Bf16, Avx512Bf16::new(), crate::kernels::has_avx512_bf16,
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16,avx2,fma")], [1 2 3 4 5 6 7 8]
);
#[cfg(target_arch = "x86_64")]
kernels!(
    avx512, "AVX-512", Avx512, Avx512::new(), crate::kernels::has_avx512,
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")], [1 2 3 4 5 6 7 8]
);
#[cfg(target_arch = "x86_64")]
kernels!(avx2, "AVX2", Avx2, Avx2::new(), crate::kernels::has_avx2, #[target_feature(enable = "avx2,fma")], [1 2 3 4]);
kernels!(portable, "portable", Portable, Portable, || true, , [1 2 3 4]);

#[cfg(test)]
mod tests;
