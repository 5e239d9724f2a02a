//! Matrix products through crate `gemm`, cut into tiles that depend on the shapes alone.
//!
//! `gemm`'s own threading would do, but how it cuts could depend on the number of threads. Each tile here is one
//! single-threaded product over the whole inner dimension, so an element's sum has one order always. In the form of the
//! forward pass, `X Wᵀ`, a row of the result does not depend on how many other rows there are: see [`rows_needed`].

use gemm_common::Parallelism;
use gemm_f32::gemm::f32::get_gemm_fn;
use rayon::prelude::*;

/// Largest tile: wide enough that packing the operands costs little, small enough that a batch of 32 short sentences
/// gives every core several.
const TILE_ROWS: usize = 256;
const TILE_COLUMNS: usize = 192;

/// A matrix operand, plain or transposed.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// A row-major matrix of `columns` columns.
    pub(crate) fn new(values: &'a [f32], columns: usize) -> Self {
        let rows = values.len() / columns;
        assert_eq!(values.len(), rows * columns, "a matrix has whole rows: this is a bug");
        Self { values, rows, columns, row_stride: columns, column_stride: 1 }
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
}

/// What becomes of the values that the destination holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Destination {
    Overwrite,
    Accumulate,
}

/// A pointer that tasks share; each writes its own tile.
#[derive(Clone, Copy)]
struct Shared(*mut f32);

// SAFETY: `matmul` gives every task a tile of its own, and no two tiles share an element.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    fn get(self) -> *mut f32 {
        self.0
    }
}

/// How many rows a product `X Wᵀ` must have for `gemm` to add up each element in the same order as with more rows.
///
/// `gemm` takes other ways, with other roundings, for one row, for tiles of at most 256 elements, and (where the inner
/// dimension is long) for tiles of at most 64 by 64.
fn rows_needed(columns: usize, inner: usize) -> usize {
    let narrowest = columns / columns.div_ceil(TILE_COLUMNS);
    let general = if narrowest <= 64 && inner > 512 { 65 } else { 2 };
    general.max(256 / narrowest + 1)
}

/// `to = a b` or `to += a b`, with `to` row-major, `[a.rows, b.columns]`.
pub(crate) fn matmul(a: Matrix<'_>, b: Matrix<'_>, to: &mut [f32], destination: Destination) {
    let (m, n, k) = (a.rows, b.columns, a.columns);
    assert_eq!(k, b.rows, "inner dimensions agree: this is a bug");
    assert_eq!(to.len(), m * n, "the destination fits: this is a bug");
    let forward = a.column_stride == 1 && b.row_stride == 1 && destination == Destination::Overwrite;
    if forward && m < rows_needed(n, k) {
        // Few rows are rare and cheap: rows of zeros below them.
        let mut values = a.values.to_vec();
        values.resize(rows_needed(n, k) * k, 0.0);
        let mut padded = vec![0.0; rows_needed(n, k) * n];
        matmul(Matrix::new(&values, k), b, &mut padded, destination);
        to.copy_from_slice(&padded[..to.len()]);
        return;
    }
    let column_tiles = n.div_ceil(TILE_COLUMNS);
    // Rows are not cut where a tile of half as many would fall under the rule of `rows_needed`.
    let row_tiles = if TILE_ROWS / 2 >= rows_needed(n, k) { m.div_ceil(TILE_ROWS) } else { 1 };
    let shared = Shared(to.as_mut_ptr());
    (0..row_tiles * column_tiles).into_par_iter().for_each(|tile| {
        // Even shares: no tile is a sliver.
        let bounds = |index, tiles, size| (index * size / tiles, (index + 1) * size / tiles);
        let (top, bottom) = bounds(tile / column_tiles, row_tiles, m);
        let (left, right) = bounds(tile % column_tiles, column_tiles, n);
        let alpha = if destination == Destination::Accumulate { 1.0 } else { 0.0 };
        // SAFETY: the slices hold all elements that the shapes and strides reach (asserted above and in
        // `Matrix::new`), the tile lies in `to`, and tiles are disjoint.
        unsafe {
            // Its kernels want columns: this is the transposed product, `toᵀ = bᵀ aᵀ`.
            get_gemm_fn()(
                right - left,
                bottom - top,
                k,
                shared.get().add(top * n + left),
                n.cast_signed(),
                1,
                destination == Destination::Accumulate,
                b.values.as_ptr().add(left * b.column_stride),
                b.row_stride.cast_signed(),
                b.column_stride.cast_signed(),
                a.values.as_ptr().add(top * a.row_stride),
                a.row_stride.cast_signed(),
                a.column_stride.cast_signed(),
                alpha,
                1.0,
                false,
                false,
                false,
                Parallelism::None,
            );
        }
    });
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
