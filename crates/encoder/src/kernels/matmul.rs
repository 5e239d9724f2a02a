//! Matrix products in tiles, each of them one task.
//!
//! The sum of an element is the same whatever the tile (see [`gemm`]), so tiles may depend on the shapes in any way.
//!
//! [`gemm`]: super::gemm

use std::{marker::PhantomData, ops::Range};

use rayon::prelude::*;

pub(crate) use super::gemm::Destination;
use super::{
    gemm::{Columns, Element, Gemm, Rows},
    scratch::{Scratch, Shared},
    share,
};
use crate::{buffer::Buffer, profile};

/// Largest tile: a tile packs its columns of `b` for itself, which its rows must make worth while, and what it reads again and
/// again must stay in a core's second-level cache.
const TILE_ROWS: usize = 384;
const TILE_COLUMNS: usize = 192;
/// Elements of the inner dimension that are multiplied at a time; between them the sums lie in the destination.
const INNER: usize = 512;
/// Rows that are multiplied at a time, and packed before that where they must be: enough to read whole cache lines, and few
/// enough that what becomes of their products finds these in the cache.
const GROUP: usize = 48;

/// A matrix operand, plain or transposed.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a, T = f32> {
    values: &'a [T],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// A row-major matrix of `columns` columns.
    pub(crate) fn new(values: &'a [T], columns: usize) -> Self {
        let rows = values.len() / columns;
        assert_eq!(values.len(), rows * columns, "a matrix has whole rows: this is a bug");
        Self { values, rows, columns, row_stride: columns, column_stride: 1 }
    }

    /// What it was made from.
    #[cfg(test)]
    pub(crate) fn values(&self) -> &'a [T] {
        self.values
    }

    /// Its transpose.
    pub(crate) fn transposed(self) -> Self {
        Self {
            values: self.values,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }

    /// Its rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// How its elements lie for one who takes its columns.
    fn lie(&self) -> Columns {
        if self.column_stride == 1 { Columns::Together(self.row_stride) } else { Columns::Apart(self.column_stride) }
    }

    /// The place of an element.
    fn at(&self, row: usize, column: usize) -> *const T {
        &raw const self.values[row * self.row_stride + column * self.column_stride]
    }
}

/// A second operand that is packed whole, for many products.
#[derive(Default)]
pub(crate) struct Panels<T = f32> {
    /// For each part of the inner dimension that is multiplied at a time, the panels of all columns.
    values: Buffer<T>,
    rows: usize,
    columns: usize,
    /// Whether the matrix was a transpose.
    transposed: bool,
}

impl<T: Element> Panels<T> {
    /// A matrix for a product with so many rows: packed, in the place of the one before, if several tiles would else pack it,
    /// each for itself.
    pub(crate) fn for_rows<'a>(&'a mut self, rows: usize, b: Matrix<'a, T>) -> Second<'a, T> {
        if rows <= TILE_ROWS {
            return Second::Matrix(b);
        }
        self.pack(b);
        Second::Packed(self)
    }

    /// Packs a matrix in the place of the one before.
    pub(crate) fn pack(&mut self, b: Matrix<'_, T>) {
        let _timer = profile::timer("packing", 2 * b.values.len());
        let gemm = Gemm::get();
        let width = gemm.padded(b.columns);
        (self.rows, self.columns, self.transposed) = (b.rows, b.columns, b.column_stride != 1);
        self.values.resize(width * b.rows);
        for inner in inner_parts(b.rows) {
            let part = &mut self.values[width * inner.start..width * inner.end];
            part.par_chunks_mut(gemm.columns() * inner.len()).enumerate().for_each(|(index, panel)| {
                let left = index * gemm.columns();
                let columns = gemm.columns().min(b.columns - left);
                // SAFETY: the columns and rows lie in `b`, whose slice holds what its sizes say.
                unsafe { gemm.pack_columns((b.at(inner.start, left), b.lie()), inner.len(), columns, panel) };
            });
        }
    }

    /// Of the rows `inner`, which are a part of their own, the panels from a column on.
    fn part(&self, inner: &Range<usize>, first_column: usize) -> &[T] {
        let width = self.values.len() / self.rows;
        &self.values[width * inner.start + first_column * inner.len()..width * inner.end]
    }

    /// Its elements, but for what fills up the last vector.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.rows * self.columns
    }
}

/// The second operand of a product.
#[derive(Clone, Copy)]
pub(crate) enum Second<'a, T> {
    Matrix(Matrix<'a, T>),
    Packed(&'a Panels<T>),
}

impl<'a, T> From<Matrix<'a, T>> for Second<'a, T> {
    fn from(matrix: Matrix<'a, T>) -> Self {
        Self::Matrix(matrix)
    }
}

impl<'a, T> From<&'a Panels<T>> for Second<'a, T> {
    fn from(panels: &'a Panels<T>) -> Self {
        Self::Packed(panels)
    }
}

impl<T> Second<'_, T> {
    fn rows(&self) -> usize {
        match self {
            Self::Matrix(matrix) => matrix.rows,
            Self::Packed(panels) => panels.rows,
        }
    }

    fn columns(&self) -> usize {
        match self {
            Self::Matrix(matrix) => matrix.columns,
            Self::Packed(panels) => panels.columns,
        }
    }
}

/// The parts of an inner dimension that are multiplied at a time.
fn inner_parts(inner: usize) -> impl Iterator<Item = Range<usize>> {
    let parts = inner.div_ceil(INNER);
    (0..parts).map(move |part| part * inner / parts..(part + 1) * inner / parts)
}

/// `to = a b` or `to += a b`, with `to` row-major, `[a.rows, b.columns]`.
pub(crate) fn matmul<T: Element>(a: Matrix<'_, T>, b: Matrix<'_, T>, to: &mut [f32], destination: Destination) {
    matmul_then(a, b, to, destination, [], |_, _, _, []| ());
}

/// [`matmul`], and then `finish(row, first column, values, others)` for each part of each row while it is in the cache, with
/// the same parts of `others`, which are shaped as `to`.
pub(crate) fn matmul_then<'b, T: Element, const N: usize>(
    a: Matrix<'_, T>,
    b: impl Into<Second<'b, T>>,
    to: &mut [f32],
    destination: Destination,
    others: [&mut [f32]; N],
    finish: impl Fn(usize, usize, &mut [f32], [&mut [f32]; N]) + Sync,
) {
    let b = b.into();
    let outputs = Outputs::new(to, b.columns(), others);
    run(a, b, &outputs, destination, None, finish);
}

/// The gradients of a linear layer's weight `[out, in]` and bias `[out]`, from that of its output and its input: adds `d_yᵀ x`
/// and the column sums of `d_y`.
pub(crate) fn add_weight_gradients<T: Element>(
    d_y: Matrix<'_, T>,
    x: Matrix<'_, T>,
    d_weight: &mut [f32],
    d_bias: &mut [f32],
) {
    assert_eq!(d_bias.len(), d_y.columns, "a bias fits its output: this is a bug");
    let outputs = Outputs::new(d_weight, x.columns, []);
    run(d_y.transposed(), x.into(), &outputs, Destination::Accumulate, Some(Shared::new(d_bias)), |_, _, _, []| ());
}

/// To each of `row_sums` the sum of a row of `a` is added, which then is a transpose.
fn run<T: Element, const N: usize>(
    a: Matrix<'_, T>,
    b: Second<'_, T>,
    outputs: &Outputs<'_, N>,
    destination: Destination,
    row_sums: Option<Shared>,
    finish: impl Fn(usize, usize, &mut [f32], [&mut [f32]; N]) + Sync,
) {
    let (m, n, k) = (a.rows, b.columns(), a.columns);
    assert_eq!(k, b.rows(), "inner dimensions agree: this is a bug");
    assert_eq!((outputs.rows, outputs.stride), (m, n), "the destination fits: this is a bug");
    let [forward, to_inputs, to_weights] = T::PRODUCTS;
    let name = match b {
        _ if a.column_stride != 1 => to_weights,
        Second::Matrix(Matrix { column_stride: 1, .. }) | Second::Packed(Panels { transposed: false, .. }) => to_inputs,
        Second::Matrix(_) | Second::Packed(_) => forward,
    };
    let _timer = profile::matmul_timer(name, 2.0 * (m * n * k * T::NUMBERS) as f64, m * n + m * k + n * k);
    let (row_tiles, column_tiles) = (m.div_ceil(TILE_ROWS), n.div_ceil(TILE_COLUMNS));
    (0..row_tiles * column_tiles).into_par_iter().for_each(|tile| {
        let gemm = Gemm::get();
        let tile = Tile {
            gemm,
            rows: share(tile / column_tiles, row_tiles, m, gemm.rows),
            columns: share(tile % column_tiles, column_tiles, n, gemm.columns()),
            outputs,
            row_sums,
        };
        // SAFETY: tiles lie in `to` and are disjoint.
        T::with_packed(|packed| unsafe { tile.fill(a, b, destination, packed, &finish) });
    });
}

/// Where a product goes, and what goes beside it, a row-major matrix each.
pub(crate) struct Outputs<'a, const N: usize> {
    to: Shared,
    others: [Shared; N],
    rows: usize,
    stride: usize,
    borrowed: PhantomData<&'a mut [f32]>,
}

impl<'a, const N: usize> Outputs<'a, N> {
    pub(crate) fn new(to: &'a mut [f32], columns: usize, others: [&'a mut [f32]; N]) -> Self {
        let rows = to.len() / columns;
        assert_eq!(to.len(), rows * columns, "a matrix has whole rows: this is a bug");
        assert!(others.iter().all(|other| other.len() == to.len()), "what goes beside it fits: this is a bug");
        Self { to: Shared::new(to), others: others.map(Shared::new), rows, stride: columns, borrowed: PhantomData }
    }

    /// The rows of each.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The place of an element of the product.
    pub(crate) fn at(&self, row: usize, column: usize) -> *mut f32 {
        assert!(row < self.rows && column < self.stride, "the element lies in the matrix: this is a bug");
        // SAFETY: the assertion.
        unsafe { self.to.get().add(row * self.stride + column) }
    }

    /// A part of a row of each.
    ///
    /// # Safety
    /// Nobody else uses these columns of the row.
    pub(crate) unsafe fn part(&self, row: usize, columns: &Range<usize>) -> (&'a mut [f32], [&'a mut [f32]; N]) {
        assert!(row < self.rows && columns.end <= self.stride, "the part lies in the matrix: this is a bug");
        // SAFETY: the assertion, and the caller's.
        let part = |of: Shared| unsafe {
            std::slice::from_raw_parts_mut(of.get().add(row * self.stride + columns.start), columns.len())
        };
        (part(self.to), self.others.map(part))
    }
}

/// A part of the destination.
struct Tile<'a, T: 'static, const N: usize> {
    gemm: &'static Gemm<T>,
    rows: Range<usize>,
    columns: Range<usize>,
    outputs: &'a Outputs<'a, N>,
    row_sums: Option<Shared>,
}

impl<T: Element, const N: usize> Tile<'_, T, N> {
    /// # Safety
    /// The tile lies in the destination, and nobody else uses it.
    unsafe fn fill(
        &self,
        a: Matrix<'_, T>,
        b: Second<'_, T>,
        destination: Destination,
        [panels, packed_rows]: &mut [Scratch<T>; 2],
        finish: &(impl Fn(usize, usize, &mut [f32], [&mut [f32]; N]) + Sync),
    ) {
        let (columns, stride) = (self.columns.len(), self.outputs.stride);
        for inner in inner_parts(a.columns) {
            let destination = if inner.start == 0 { destination } else { Destination::Accumulate };
            let panels = match b {
                Second::Matrix(b) => self.pack_columns(b, inner.clone(), panels),
                Second::Packed(b) => b.part(&inner, self.columns.start),
            };
            let group = GROUP.next_multiple_of(self.gemm.rows);
            for top in self.rows.clone().step_by(group) {
                let rows = top..self.rows.end.min(top + group);
                let from = a.at(rows.start, inner.start);
                let operand = if a.column_stride == 1 && self.row_sums.is_none() {
                    (from, Rows::Apart(a.row_stride))
                } else {
                    // The elements of a column of `a` are neighbours, but its columns are pages apart.
                    let packed = packed_rows.take(inner.len() * rows.len());
                    // SAFETY: the rows lie in `a`, whose slice holds what its sizes say.
                    unsafe { self.gemm.pack_rows(from, a.column_stride, inner.len(), rows.len(), packed) };
                    // The tiles of the first columns see to the sums.
                    if let Some(sums) = self.row_sums.filter(|_| self.columns.start == 0) {
                        // SAFETY: these rows are only this tile's.
                        let sums = unsafe { std::slice::from_raw_parts_mut(sums.get().add(rows.start), rows.len()) };
                        self.gemm.add_row_sums(packed, inner.len(), sums);
                    }
                    (packed.as_ptr(), Rows::Packed)
                };
                // SAFETY: the operands are as large as they are said to be, and the destination is the caller's.
                unsafe {
                    let to = self.outputs.at(rows.start, self.columns.start);
                    self.gemm.product(rows.len(), inner.len(), operand, panels, columns, (to, stride), destination);
                }
                if inner.end == a.columns {
                    for row in rows {
                        // SAFETY: the row's part lies in the tile.
                        let (values, others) = unsafe { self.outputs.part(row, &self.columns) };
                        finish(row, self.columns.start, values, others);
                    }
                }
            }
        }
    }

    /// The tile's columns of rows `inner` of `b`, as panels.
    fn pack_columns<'a>(&self, b: Matrix<'_, T>, inner: Range<usize>, to: &'a mut Scratch<T>) -> &'a [T] {
        let Self { gemm, columns, .. } = self;
        let panels = to.take(gemm.padded(columns.len()) * inner.len());
        // SAFETY: the columns and rows lie in `b`, whose slice holds what its sizes say.
        unsafe { gemm.pack_columns((b.at(inner.start, columns.start), b.lie()), inner.len(), columns.len(), panels) };
        panels
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    fn random(n: usize, site: u64) -> Vec<f32> {
        let stream = Stream::new(1, 2, site);
        (0..n).map(|i| stream.uniform(i as u32) as f32 - 0.5).collect()
    }

    /// Every form that the passes use, over odd shapes, against sums in f64.
    #[test]
    fn equals_the_plain_product() {
        for (case, (m, n, k)) in
            [(1, 1, 1), (1, 9, 384), (2, 3, 5), (7, 400, 33), (300, 65, 17), (515, 193, 8), (64, 64, 512)]
                .into_iter()
                .enumerate()
        {
            let (a, b) = (random(m * k, case as u64), random(k * n, 100 + case as u64));
            let start = random(m * n, 200);
            let forms = [
                (Matrix::new(&a, k), Matrix::new(&b, n)),
                (Matrix::new(&a, k), Matrix::new(&b, k).transposed()),
                (Matrix::new(&a, m).transposed(), Matrix::new(&b, n)),
            ];
            for (a, b) in forms {
                for destination in [Destination::Overwrite, Destination::Accumulate] {
                    let mut to = start.clone();
                    matmul(a, b, &mut to, destination);
                    for i in 0..m {
                        for j in 0..n {
                            let at = |x: &Matrix<'_>, r, c| f64::from(x.values[r * x.row_stride + c * x.column_stride]);
                            let mut sum: f64 = (0..k).map(|l| at(&a, i, l) * at(&b, l, j)).sum();
                            if destination == Destination::Accumulate {
                                sum += f64::from(start[i * n + j]);
                            }
                            let error = (f64::from(to[i * n + j]) - sum).abs();
                            assert!(error < 1e-5, "{m}x{n}x{k} at {i},{j}: off by {error}");
                        }
                    }
                }
            }
        }
    }

    /// An operand that is packed beforehand gives the same bits, whatever was packed there before.
    #[test]
    fn packed_operands_give_the_same_bits() {
        let mut panels = Panels::default();
        for (m, n, k) in [(1, 1, 1), (400, 400, 1537), (7, 200, 33), (3, 47, 512), (390, 193, 600)] {
            let (a, b) = (random(m * k, 1), random(k * n, 2));
            for b in [Matrix::new(&b, n), Matrix::new(&b, k).transposed()] {
                let [mut plain, mut packed] = [(); 2].map(|()| vec![f32::NAN; m * n]);
                matmul(Matrix::new(&a, k), b, &mut plain, Destination::Overwrite);
                panels.pack(b);
                let to = Destination::Overwrite;
                matmul_then(Matrix::new(&a, k), &panels, &mut packed, to, [], |_, _, _, []| ());
                assert!(plain == packed, "{m}x{n}x{k}: other bits");
            }
        }
    }

    /// The rows of a short product are, bit for bit, the first rows of a long one.
    #[test]
    fn rows_do_not_depend_on_each_other() {
        for (n, k) in
            [(384, 384), (1152, 384), (384, 1536), (70, 33), (200, 64), (9, 384), (2, 384), (48, 2048), (1, 7)]
        {
            let (a, b) = (random(700 * k, 1), random(n * k, 2));
            let mut all = vec![0.0; 700 * n];
            matmul(Matrix::new(&a, k), Matrix::new(&b, k).transposed(), &mut all, Destination::Overwrite);
            for m in [1, 2, 3, 5, 8, 13, 31, 64, 100, 255, 257, 300, 513, 699] {
                let mut some = vec![0.0; m * n];
                let first = Matrix::new(&a[..m * k], k);
                matmul(first, Matrix::new(&b, k).transposed(), &mut some, Destination::Overwrite);
                assert!(some == all[..m * n], "{m} rows by {n}, inner {k}: other bits");
            }
        }
    }
}
