//! The inner loops of matrix products: a block of sums held in registers while the inner dimension runs.
//!
//! After Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008. A block is up to
//! [`Gemm::rows`] rows by three vectors. For every step of the inner dimension three vectors of `b` are loaded, and each of
//! the rows' elements of `a` is multiplied with all. For that `b` lies in *panels*: three vectors of its columns, row
//! after row.
//!
//! An element's sum is one chain over the inner dimension, whatever the sizes of block and matrix: a row of the result
//! does not depend on how many other rows there are.

use std::cell::RefCell;

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

/// Rows by columns of the largest block of all.
const LARGEST_BLOCK: usize = 8 * VECTORS * 16;
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

/// `(inner dimension, a, a's stride, panel, to, to's row stride, destination)`
type Block<T> = unsafe fn(usize, *const T, usize, *const T, *mut f32, usize, Destination);

/// The kernels of one instruction set.
pub(crate) struct Gemm<T: 'static = f32> {
    /// Of the instruction set.
    #[cfg_attr(not(test), expect(dead_code, reason = "for messages of tests"))]
    name: &'static str,
    /// Elements in a vector.
    lanes: usize,
    /// Whether the processor has the instructions.
    present: fn() -> bool,
    /// By number of rows less one and of vectors less one, for [`Rows::Apart`] and [`Rows::Together`].
    apart: &'static [[Block<T>; VECTORS]],
    together: &'static [[Block<T>; VECTORS]],
    /// Transposes a square of `lanes` by `lanes`: `(from, its row stride, its rows, to, its row stride)`; see
    /// [`Simd::transpose`].
    transpose: unsafe fn(*const T, usize, usize, *mut T, usize),
    /// Copies whole vectors: `(from, its row stride, rows, columns, to, its row stride)`.
    copy: unsafe fn(*const T, usize, usize, usize, *mut T, usize),
    /// Packs whole blocks of rows: `(from, distance of columns, inner dimension, blocks, to)`.
    blocks: unsafe fn(*const T, usize, usize, usize, *mut T),
}

impl<T: Element> Gemm<T> {
    /// The best kernels for this processor.
    pub(crate) fn get() -> &'static Self {
        T::KERNELS.iter().find(|kernels| (kernels.present)()).expect("the last is for every processor: this is a bug")
    }

    /// The most rows of a block.
    pub(crate) fn rows(&self) -> usize {
        self.apart.len()
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
    unsafe fn pack_apart(&self, from: *const T, stride: usize, columns: usize, width: usize, panel: &mut [T]) {
        let (lanes, inner) = (self.lanes, panel.len() / width);
        let down = inner / lanes * lanes;
        for row in (0..down).step_by(lanes) {
            for column in (0..width).step_by(lanes) {
                // SAFETY: the squares lie in the panel, and by the caller so many of their rows in what is at `from`.
                unsafe {
                    let to = panel.as_mut_ptr().add(row * width + column);
                    let present = lanes.min(columns - column);
                    (self.transpose)(from.add(column * stride + row), stride, present, to, width);
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

    /// Packs `rows` rows of `inner` elements, whose columns of neighbours begin `stride` apart at `from`, block after block.
    ///
    /// # Safety
    /// `from` holds what the sizes say.
    pub(crate) unsafe fn pack_rows(&self, from: *const T, stride: usize, inner: usize, rows: usize, to: &mut [T]) {
        assert_eq!(to.len(), rows * inner, "the rows fit: this is a bug");
        let whole = rows / self.rows();
        // SAFETY: the caller's, and the assertion.
        unsafe { (self.blocks)(from, stride, inner, whole, to.as_mut_ptr()) };
        let done = whole * self.rows();
        if done < rows {
            for (step, to) in to[done * inner..].chunks_exact_mut(rows - done).enumerate() {
                for (row, to) in to.iter_mut().enumerate() {
                    // SAFETY: the caller's.
                    *to = unsafe { *from.add(step * stride + done + row) };
                }
            }
        }
    }

    /// Adds to `sums` the sum of each of the rows that [`Self::pack_rows`] left in `packed`.
    pub(crate) fn add_row_sums(&self, packed: &[T], inner: usize, sums: &mut [f32]) {
        for (block, sums) in packed.chunks(self.rows() * inner).zip(sums.chunks_mut(self.rows())) {
            T::add_columns(block, sums);
        }
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
        for top in (0..rows).step_by(self.rows()) {
            let bottom = rows.min(top + self.rows());
            let (kernels, stride, row_stride) = match lie {
                Rows::Apart(stride) => (self.apart, stride, stride),
                Rows::Together(stride) => (self.together, stride, 1),
                Rows::Packed => (self.together, bottom - top, inner),
            };
            for (left, width) in self.panels(columns) {
                let kernel = kernels[bottom - top - 1][width / self.lanes - 1];
                let panel = panels[left * inner..].as_ptr();
                // SAFETY: the caller's; a table's kernels are for instructions that `get` found.
                unsafe {
                    let a = a.add(top * row_stride);
                    let to = to.add(top * to_stride + left);
                    if left + width <= columns {
                        kernel(inner, a, stride, panel, to, to_stride, destination);
                        continue;
                    }
                    // The last panel has columns that the destination has not.
                    let mut edge = [0.0; LARGEST_BLOCK];
                    kernel(inner, a, stride, panel, edge.as_mut_ptr(), width, Destination::Overwrite);
                    for (row, sums) in edge.chunks_exact(width).take(bottom - top).enumerate() {
                        let to = std::slice::from_raw_parts_mut(to.add(row * to_stride), columns - left);
                        for (to, sum) in to.iter_mut().zip(sums) {
                            *to = if destination == Destination::Accumulate { *to + sum } else { *sum };
                        }
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

/// See [`Gemm::pack_rows`].
///
/// # Safety
/// `from` and `to` hold so many blocks of `ROWS` rows.
#[inline(always)]
unsafe fn blocks<T: Element, const ROWS: usize>(
    from: *const T,
    stride: usize,
    inner: usize,
    blocks: usize,
    to: *mut T,
) {
    for step in 0..inner {
        for block in 0..blocks {
            // SAFETY: the caller's.
            unsafe {
                let rows = from.add(step * stride + block * ROWS).cast::<[T; ROWS]>().read_unaligned();
                to.add((block * inner + step) * ROWS).cast::<[T; ROWS]>().write_unaligned(rows);
            }
        }
    }
}

/// A block of products: `ROWS` rows of `a` times one panel of `WIDTH` vectors. `APART` says which of the two ways `a` lies.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn block<S: Simd, T: Element, const ROWS: usize, const WIDTH: usize, const APART: bool>(
    simd: S,
    inner: usize,
    a: *const T,
    stride: usize,
    panel: *const T,
    to: *mut f32,
    to_stride: usize,
    destination: Destination,
) {
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

            $(#[$feature])?
            #[allow(unused_unsafe)]
            unsafe fn of<T: Element, const ROWS: usize, const WIDTH: usize, const APART: bool>(
                inner: usize,
                a: *const T,
                stride: usize,
                panel: *const T,
                to: *mut f32,
                to_stride: usize,
                destination: Destination,
            ) {
                // SAFETY: the caller's.
                unsafe {
                    block::<$simd, T, ROWS, WIDTH, APART>($new, inner, a, stride, panel, to, to_stride, destination);
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
            unsafe fn blocks<T: Element>(from: *const T, stride: usize, inner: usize, blocks: usize, to: *mut T) {
                const ROWS: usize = [$($rows),+].len();
                // SAFETY: the caller's.
                unsafe { super::blocks::<T, ROWS>(from, stride, inner, blocks, to) };
            }

            pub(in crate::kernels) const fn gemm<T: Element>() -> Gemm<T> {
                Gemm {
                    name: $name,
                    lanes: <$simd>::LANES,
                    present: $present,
                    apart: const { &[$([of::<T, $rows, 1, true>, of::<T, $rows, 2, true>, of::<T, $rows, 3, true>]),+] },
                    together: const { &[$([of::<T, $rows, 1, false>, of::<T, $rows, 2, false>, of::<T, $rows, 3, false>]),+] },
                    transpose: transpose::<T>,
                    copy: copy::<T>,
                    blocks: blocks::<T>,
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
mod tests {
    use super::*;
    use crate::{
        kernels::bf16::{Pair, Rounded},
        random::Stream,
    };

    fn random(n: usize, site: u64) -> Vec<f32> {
        let stream = Stream::new(1, 2, site);
        (0..n).map(|i| stream.uniform(i as u32) as f32 - 0.5).collect()
    }

    /// How operands come to elements.
    trait Operand: Element {
        /// A matrix as it is, from one whose inner dimension runs along its rows.
        fn along(values: &[f32], columns: usize) -> Vec<Self>;
        /// The same with the inner dimension across.
        fn across(values: &[f32], columns: usize) -> Vec<Self>;
        /// What becomes of a number.
        fn number(value: f32) -> f64;
    }

    impl Operand for f32 {
        fn along(values: &[f32], _: usize) -> Vec<f32> {
            values.to_vec()
        }
        fn across(values: &[f32], _: usize) -> Vec<f32> {
            values.to_vec()
        }
        fn number(value: f32) -> f64 {
            value.into()
        }
    }

    impl Operand for Pair {
        fn along(values: &[f32], columns: usize) -> Vec<Pair> {
            Rounded::default().along(values, columns).values().to_vec()
        }
        fn across(values: &[f32], columns: usize) -> Vec<Pair> {
            Rounded::default().across(values, columns).values().to_vec()
        }
        fn number(value: f32) -> f64 {
            half::bf16::from_f32(value).into()
        }
    }

    fn transposed(values: &[f32], columns: usize) -> Vec<f32> {
        (0..columns).flat_map(|column| values.iter().skip(column).step_by(columns)).copied().collect()
    }

    /// Every way that the operands may lie, over odd shapes, against sums in f64 of the same operands; nothing beside the
    /// result is written to.
    fn compute_the_product<T: Operand>() {
        for gemm in T::KERNELS.iter().filter(|gemm| (gemm.present)()) {
            for (case, (m, n, k)) in [
                (1, 1, 1),
                (1, 50, 3),
                (9, 17, 33),
                (8, 48, 64),
                (23, 100, 16),
                (3, 7, 40),
                (512, 33, 1),
                (512, 20, 5),
                (5, 35, 511),
            ]
            .into_iter()
            .enumerate()
            {
                let (a, b) = (random(m * k, case as u64), random(k * n, 50 + case as u64));
                let [a_number, b_number] =
                    [&a, &b].map(|values| values.iter().map(|v| T::number(*v)).collect::<Vec<_>>());
                // `a` as `[m, inner]` and `[inner, m]`, `b` as `[inner, n]` and `[n, inner]`.
                let inner = k.div_ceil(T::NUMBERS);
                let (a, a_t) = (T::along(&a, k), T::across(&transposed(&a, k), m));
                let (b, b_t) = (T::across(&b, n), T::along(&transposed(&b, n), k));
                let mut packed = vec![T::default(); m * inner];
                // SAFETY: `a_t` is `[inner, m]`.
                unsafe { gemm.pack_rows(a_t.as_ptr(), m, inner, m, &mut packed) };
                let lies = [
                    (a.as_ptr(), Rows::Apart(inner)),
                    (a_t.as_ptr(), Rows::Together(m)),
                    (packed.as_ptr(), Rows::Packed),
                ];
                for from in [(b.as_ptr(), Columns::Together(n)), (b_t.as_ptr(), Columns::Apart(inner))] {
                    // Of what is not written to, sums are not numbers.
                    let mut panels = T::along(&vec![f32::NAN; gemm.padded(n) * inner * T::NUMBERS], T::NUMBERS);
                    // SAFETY: `b` is `[inner, n]`, `b_t` its transpose.
                    unsafe { gemm.pack_columns(from, inner, n, &mut panels) };
                    for a_lies in lies {
                        for destination in [Destination::Overwrite, Destination::Accumulate] {
                            let stride = n + 3;
                            let start = random(m * stride, 200);
                            let mut to = start.clone();
                            let place = (to.as_mut_ptr(), stride);
                            // SAFETY: all are as large as they are said to be.
                            unsafe { gemm.product(m, inner, a_lies, &panels, n, place, destination) };
                            for (i, (row, start)) in to.chunks(stride).zip(start.chunks(stride)).enumerate() {
                                assert_eq!(row[n..], start[n..], "{}: written beside the result", gemm.name);
                                for j in 0..n {
                                    let sum: f64 = (0..k).map(|l| a_number[i * k + l] * b_number[l * n + j]).sum();
                                    let before = if destination == Destination::Accumulate { start[j] } else { 0.0 };
                                    let error = f64::from(row[j]) - sum - f64::from(before);
                                    assert!(
                                        error.abs() < 1e-5,
                                        "{}: {m}x{n}x{k} at {i},{j}: off by {error}",
                                        gemm.name
                                    );
                                }
                            }
                        }
                    }
                }
                let mut sums = vec![1.0; m];
                gemm.add_row_sums(&packed, inner, &mut sums);
                for (sum, row) in sums.iter().zip(a_number.chunks(k)) {
                    let error = f64::from(*sum) - 1.0 - row.iter().sum::<f64>();
                    assert!(error.abs() < 1e-5, "{}: sum of a row is off by {error}", gemm.name);
                }
            }
        }
    }

    #[test]
    fn every_instruction_set_computes_the_product() {
        compute_the_product::<f32>();
    }

    #[test]
    fn every_instruction_set_computes_the_product_of_pairs() {
        compute_the_product::<Pair>();
        #[cfg(target_arch = "x86_64")]
        if !crate::kernels::has_avx512_bf16() {
            println!("no AVX-512 BF16 here: its kernels were not tested");
        }
    }
}
