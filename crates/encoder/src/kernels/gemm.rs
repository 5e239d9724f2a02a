//! The inner loops of matrix products: a block of sums held in registers while the inner dimension runs.
//!
//! After Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008. A block is up to
//! [`Gemm::rows`] rows by three vectors. For every step of the inner dimension three vectors of `b` are loaded, and each of
//! the rows' elements of `a` is multiplied with all. For that `b` lies in *panels*: three vectors of its columns, row
//! after row.
//!
//! An element's sum is one chain over the inner dimension, whatever the sizes of block and matrix: a row of the result
//! does not depend on how many other rows there are.

#[cfg(target_arch = "x86_64")]
use super::simd::{Avx2, Avx512};
use super::{
    add_columns,
    simd::{Portable, Simd},
};

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

/// `(inner dimension, a, a's stride, panel, to, to's row stride, destination)`
type Block = unsafe fn(usize, *const f32, usize, *const f32, *mut f32, usize, Destination);

/// The kernels of one instruction set.
pub(crate) struct Gemm {
    /// Numbers in a vector.
    lanes: usize,
    /// By number of rows less one and of vectors less one, for [`Rows::Apart`] and [`Rows::Together`].
    apart: &'static [[Block; VECTORS]],
    together: &'static [[Block; VECTORS]],
    /// Transposes a square of `lanes` by `lanes`: `(from, its row stride, to, its row stride)`.
    transpose: unsafe fn(*const f32, usize, *mut f32, usize),
    /// Copies whole vectors: `(from, its row stride, rows, columns, to, its row stride)`.
    copy: unsafe fn(*const f32, usize, usize, usize, *mut f32, usize),
    /// Packs whole blocks of rows: `(from, distance of columns, inner dimension, blocks, to)`.
    blocks: unsafe fn(*const f32, usize, usize, usize, *mut f32),
}

impl Gemm {
    /// The best kernels for this processor.
    pub(crate) fn get() -> &'static Self {
        #[cfg(target_arch = "x86_64")]
        {
            if super::has_avx512() {
                return &AVX512;
            }
            if super::has_avx2() {
                return &AVX2;
            }
        }
        &PORTABLE
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
        (from, lie): (*const f32, Columns),
        inner: usize,
        columns: usize,
        panels: &mut [f32],
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
    unsafe fn pack_together(&self, from: *const f32, stride: usize, columns: usize, width: usize, panel: &mut [f32]) {
        let vectors = columns / self.lanes * self.lanes;
        // SAFETY: the caller's.
        unsafe { (self.copy)(from, stride, panel.len() / width, vectors, panel.as_mut_ptr(), width) };
        if vectors < width {
            for (row, to) in panel.chunks_exact_mut(width).enumerate() {
                for (column, to) in to.iter_mut().enumerate().skip(vectors) {
                    // SAFETY: the caller's.
                    *to = if column < columns { unsafe { *from.add(row * stride + column) } } else { 0.0 };
                }
            }
        }
    }

    /// # Safety
    /// `from` holds `columns` columns of neighbours, as long as the panel is high, that begin `stride` apart.
    unsafe fn pack_apart(&self, from: *const f32, stride: usize, columns: usize, width: usize, panel: &mut [f32]) {
        let (lanes, inner) = (self.lanes, panel.len() / width);
        let (down, across) = (inner / lanes * lanes, columns / lanes * lanes);
        for row in (0..down).step_by(lanes) {
            for column in (0..across).step_by(lanes) {
                // SAFETY: the squares lie in the panel, and by the caller in what is at `from`.
                unsafe {
                    let to = panel.as_mut_ptr().add(row * width + column);
                    (self.transpose)(from.add(column * stride + row), stride, to, width);
                }
            }
        }
        // What is left at the lower and the right edge.
        for (row, to) in panel.chunks_exact_mut(width).enumerate() {
            for (column, to) in to.iter_mut().enumerate().skip(if row < down { across } else { 0 }) {
                // SAFETY: the caller's.
                *to = if column < columns { unsafe { *from.add(column * stride + row) } } else { 0.0 };
            }
        }
    }

    /// Packs `rows` rows of `inner` elements, whose columns of neighbours begin `stride` apart at `from`, block after block.
    ///
    /// # Safety
    /// `from` holds what the sizes say.
    pub(crate) unsafe fn pack_rows(&self, from: *const f32, stride: usize, inner: usize, rows: usize, to: &mut [f32]) {
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
    pub(crate) fn add_row_sums(&self, packed: &[f32], inner: usize, sums: &mut [f32]) {
        for (block, sums) in packed.chunks(self.rows() * inner).zip(sums.chunks_mut(self.rows())) {
            add_columns(block, sums);
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
        (a, lie): (*const f32, Rows),
        panels: &[f32],
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
unsafe fn copy<S: Simd>(
    simd: S,
    from: *const f32,
    stride: usize,
    rows: usize,
    columns: usize,
    to: *mut f32,
    width: usize,
) {
    for row in 0..rows {
        for left in (0..columns / S::LANES * S::LANES).step_by(S::LANES) {
            // SAFETY: the caller's.
            unsafe { simd.store(simd.load(from.add(row * stride + left)), to.add(row * width + left)) };
        }
    }
}

/// See [`Gemm::pack_rows`].
///
/// # Safety
/// `from` and `to` hold so many blocks of `ROWS` rows.
#[inline(always)]
unsafe fn blocks<const ROWS: usize>(from: *const f32, stride: usize, inner: usize, blocks: usize, to: *mut f32) {
    for step in 0..inner {
        for block in 0..blocks {
            // SAFETY: the caller's.
            unsafe {
                let rows = from.add(step * stride + block * ROWS).cast::<[f32; ROWS]>().read_unaligned();
                to.add((block * inner + step) * ROWS).cast::<[f32; ROWS]>().write_unaligned(rows);
            }
        }
    }
}

/// A block of products: `ROWS` rows of `a` times one panel of `WIDTH` vectors. `APART` says which of the two ways `a` lies.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn block<S: Simd, const ROWS: usize, const WIDTH: usize, const APART: bool>(
    simd: S,
    inner: usize,
    a: *const f32,
    stride: usize,
    panel: *const f32,
    to: *mut f32,
    to_stride: usize,
    destination: Destination,
) {
    let mut sums = [[simd.splat(0.0); WIDTH]; ROWS];
    for step in 0..inner {
        let mut b = [simd.splat(0.0); WIDTH];
        for (vector, b) in b.iter_mut().enumerate() {
            // SAFETY: the caller's: the panel has this vector.
            *b = unsafe { simd.load(panel.add((step * WIDTH + vector) * S::LANES)) };
        }
        for (row, sums) in sums.iter_mut().enumerate() {
            let place = if APART { row * stride + step } else { step * stride + row };
            // SAFETY: the caller's: `a` has this element.
            let factor = simd.splat(unsafe { *a.add(place) });
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum = simd.fma(factor, b, *sum);
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

macro_rules! table {
    ($module:ident, $table:ident, $simd:ty, $new:expr, $(#[$feature:meta])?, [$($rows:literal)+]) => {
        mod $module {
            use super::*;

            $(#[$feature])?
            #[allow(unused_unsafe)]
            pub(super) unsafe fn of<const ROWS: usize, const WIDTH: usize, const APART: bool>(
                inner: usize,
                a: *const f32,
                stride: usize,
                panel: *const f32,
                to: *mut f32,
                to_stride: usize,
                destination: Destination,
            ) {
                // SAFETY: the caller's.
                unsafe { block::<$simd, ROWS, WIDTH, APART>($new, inner, a, stride, panel, to, to_stride, destination) };
            }

            $(#[$feature])?
            #[allow(unused_unsafe)]
            pub(super) unsafe fn transpose(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
                // SAFETY: the caller's.
                unsafe { <$simd>::transpose($new, from, from_stride, to, to_stride) };
            }

            $(#[$feature])?
            #[allow(unused_unsafe)]
            pub(super) unsafe fn copy(
                from: *const f32,
                stride: usize,
                rows: usize,
                columns: usize,
                to: *mut f32,
                width: usize,
            ) {
                // SAFETY: the caller's.
                unsafe { super::copy($new, from, stride, rows, columns, to, width) };
            }

            $(#[$feature])?
            #[allow(unused_unsafe)]
            pub(super) unsafe fn blocks(from: *const f32, stride: usize, inner: usize, blocks: usize, to: *mut f32) {
                const ROWS: usize = [$($rows),+].len();
                // SAFETY: the caller's.
                unsafe { super::blocks::<ROWS>(from, stride, inner, blocks, to) };
            }
        }
        static $table: Gemm = Gemm {
            lanes: <$simd>::LANES,
            apart: &[$([$module::of::<$rows, 1, true>, $module::of::<$rows, 2, true>, $module::of::<$rows, 3, true>]),+],
            together: &[$([$module::of::<$rows, 1, false>, $module::of::<$rows, 2, false>, $module::of::<$rows, 3, false>]),+],
            transpose: $module::transpose,
            copy: $module::copy,
            blocks: $module::blocks,
        };
    };
}

#[cfg(target_arch = "x86_64")]
table!(
    avx512, AVX512, Avx512, Avx512::new(), #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")],
    [1 2 3 4 5 6 7 8]
);
#[cfg(target_arch = "x86_64")]
table!(avx2, AVX2, Avx2, Avx2::new(), #[target_feature(enable = "avx2,fma")], [1 2 3 4]);
table!(portable, PORTABLE, Portable, Portable, , [1 2 3 4]);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    /// The kernels of every instruction set that this processor has.
    fn all() -> Vec<(&'static str, &'static Gemm)> {
        let mut all = vec![("portable", &PORTABLE)];
        #[cfg(target_arch = "x86_64")]
        {
            if crate::kernels::has_avx2() {
                all.push(("AVX2", &AVX2));
            }
            if crate::kernels::has_avx512() {
                all.push(("AVX-512", &AVX512));
            }
        }
        all
    }

    fn random(n: usize, site: u64) -> Vec<f32> {
        let stream = Stream::new(1, 2, site);
        (0..n).map(|i| stream.uniform(i as u32) as f32 - 0.5).collect()
    }

    /// Every way that the operands may lie, over odd shapes, against sums in f64; nothing beside the result is written to.
    #[test]
    fn every_instruction_set_computes_the_product() {
        for (name, gemm) in all() {
            for (case, (m, n, k)) in
                [(1, 1, 1), (1, 50, 3), (9, 17, 33), (8, 48, 64), (23, 100, 16), (3, 7, 40)].into_iter().enumerate()
            {
                // `a` as `[m, k]` and `[k, m]`, `b` as `[k, n]` and `[n, k]`.
                let transposed = |values: &[f32], rows: usize, columns: usize| -> Vec<f32> {
                    (0..rows * columns).map(|i| values[i % rows * columns + i / rows]).collect()
                };
                let (a, b) = (random(m * k, case as u64), random(k * n, 50 + case as u64));
                let (a_t, b_t) = (transposed(&a, m, k), transposed(&b, k, n));
                let mut packed = vec![0.0; m * k];
                // SAFETY: `a_t` is `[k, m]`.
                unsafe { gemm.pack_rows(a_t.as_ptr(), m, k, m, &mut packed) };
                let lies =
                    [(a.as_ptr(), Rows::Apart(k)), (a_t.as_ptr(), Rows::Together(m)), (packed.as_ptr(), Rows::Packed)];
                for from in [(b.as_ptr(), Columns::Together(n)), (b_t.as_ptr(), Columns::Apart(k))] {
                    let mut panels = vec![f32::NAN; gemm.padded(n) * k];
                    // SAFETY: `b` is `[k, n]`, `b_t` its transpose.
                    unsafe { gemm.pack_columns(from, k, n, &mut panels) };
                    for a_lies in lies {
                        for destination in [Destination::Overwrite, Destination::Accumulate] {
                            let stride = n + 3;
                            let start = random(m * stride, 200);
                            let mut to = start.clone();
                            let place = (to.as_mut_ptr(), stride);
                            // SAFETY: all are as large as they are said to be.
                            unsafe { gemm.product(m, k, a_lies, &panels, n, place, destination) };
                            for (i, (row, start)) in to.chunks(stride).zip(start.chunks(stride)).enumerate() {
                                assert_eq!(row[n..], start[n..], "{name}: written beside the result");
                                for j in 0..n {
                                    let terms = (0..k).map(|l| f64::from(a[i * k + l]) * f64::from(b[l * n + j]));
                                    let before = if destination == Destination::Accumulate { start[j] } else { 0.0 };
                                    let error = f64::from(row[j]) - terms.sum::<f64>() - f64::from(before);
                                    assert!(error.abs() < 1e-5, "{name}: {m}x{n}x{k} at {i},{j}: off by {error}");
                                }
                            }
                        }
                    }
                }
                let mut sums = vec![1.0; m];
                gemm.add_row_sums(&packed, k, &mut sums);
                for (sum, row) in sums.iter().zip(a.chunks(k)) {
                    assert!((sum - 1.0 - row.iter().sum::<f32>()).abs() < 1e-5, "{name}");
                }
            }
        }
    }
}
