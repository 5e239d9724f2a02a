//! The linear layer, dropout, and sums of columns.

use rayon::prelude::*;

use super::{
    ROW_CHUNK, add_columns,
    matmul::{Destination, Matrix, matmul_then},
    multiversion,
};
use crate::{buffer::Buffer, profile::timer, random::Dropout};

multiversion! {
    /// `y += bias`, of a part of a row.
    pub(crate) fn add_to(y: &mut [f32], bias: &[f32]) {
        for (y, b) in y.iter_mut().zip(bias) {
            *y += b;
        }
    }
}

/// `y = x weightᵀ + bias`, with `x` `[rows, in]`, `weight` `[out, in]` and `bias` `[out]`.
pub(crate) fn linear(x: Matrix<'_>, weight: &[f32], bias: &[f32], y: &mut [f32]) {
    let weight = Matrix::new(weight, weight.len() / bias.len());
    matmul_then(x, weight.transposed(), y, Destination::Overwrite, [], |_, column, y, []| {
        add_to(y, &bias[column..column + y.len()]);
    });
}

/// Dropout in place; the same for values on the way forward and for gradients on the way back.
pub(crate) fn drop_in_place(values: &mut [f32], dropout: Option<Dropout>) {
    /// Elements per task.
    const CHUNK: usize = 1 << 14;
    let Some(dropout) = dropout else { return };
    let _timer = timer("dropout", 2 * values.len());
    values.par_chunks_mut(CHUNK).enumerate().for_each(|(index, values)| drop_values(values, dropout, index * CHUNK));
}

multiversion! {
    fn drop_values(values: &mut [f32], dropout: Dropout, start: usize) {
        for (i, v) in values.iter_mut().enumerate() {
            *v *= dropout.factor(start + i);
        }
    }
}

/// Adds the column sums of `d` to `d_bias`.
pub(crate) fn column_sums(d: &[f32], d_bias: &mut [f32], partials: &mut Buffer) {
    let _timer = timer("bias, back", d.len());
    let width = d_bias.len();
    partials.resize(d.len().div_ceil(ROW_CHUNK * width) * width);
    partials.fill(0.0);
    d.par_chunks(ROW_CHUNK * width)
        .zip(partials.par_chunks_mut(width))
        .for_each(|(rows, sums)| add_columns(rows, sums));
    add_columns(partials, d_bias);
}
