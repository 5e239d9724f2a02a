//! Small row-wise pieces: adding a bias, and the way back through bias and dropout.

use rayon::prelude::*;

use super::{ROW_CHUNK, add_partials, multiversion};
use crate::{profile::timer, random::Dropout};

/// `y += bias` per row; `y` is `[T, bias.len()]`.
pub(crate) fn add_bias(y: &mut [f32], bias: &[f32]) {
    let _timer = timer("bias", 2 * y.len());
    y.par_chunks_mut(ROW_CHUNK * bias.len()).for_each(|rows| add_rows(rows, bias));
}

multiversion! {
    fn add_rows(rows: &mut [f32], bias: &[f32]) {
        for row in rows.chunks_exact_mut(bias.len()) {
            for (y, b) in row.iter_mut().zip(bias) {
                *y += b;
            }
        }
    }
}

/// The gradient `d` of `dropout(y + bias)` turned into that of `y`, into `out`, its column sums added to `d_bias`.
pub(crate) fn dropout_backward(
    d: &[f32],
    dropout: Option<Dropout>,
    out: &mut [f32],
    d_bias: &mut [f32],
    partials: &mut Vec<f32>,
) {
    let _timer = timer("dropout, back", 2 * d.len());
    let width = d_bias.len();
    let chunk = ROW_CHUNK * width;
    partials.clear();
    partials.resize(d.len().div_ceil(chunk) * width, 0.0);
    out.par_chunks_mut(chunk)
        .zip(d.par_chunks(chunk))
        .zip(partials.par_chunks_mut(width))
        .enumerate()
        .for_each(|(index, ((out, d), sums))| dropout_rows(d, dropout, index * chunk, out, sums));
    add_partials(partials, d_bias);
}

multiversion! {
    fn dropout_rows(d: &[f32], dropout: Option<Dropout>, start: usize, out: &mut [f32], sums: &mut [f32]) {
        let width = sums.len();
        for (row, (out, d)) in out.chunks_exact_mut(width).zip(d.chunks_exact(width)).enumerate() {
            match dropout {
                Some(dropout) => {
                    let first = start + row * width;
                    for (i, (out, d)) in out.iter_mut().zip(d).enumerate() {
                        *out = d * dropout.factor(first + i);
                    }
                }
                None => out.copy_from_slice(d),
            }
            for (s, out) in sums.iter_mut().zip(out.iter()) {
                *s += out;
            }
        }
    }
}

/// Dropout in place; the same for values on the way forward and for gradients on the way back.
pub(crate) fn apply_dropout(values: &mut [f32], dropout: Option<Dropout>) {
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
pub(crate) fn column_sums(d: &[f32], d_bias: &mut [f32], partials: &mut Vec<f32>) {
    let _timer = timer("bias, back", d.len());
    let width = d_bias.len();
    partials.clear();
    partials.resize(d.len().div_ceil(ROW_CHUNK * width) * width, 0.0);
    d.par_chunks(ROW_CHUNK * width)
        .zip(partials.par_chunks_mut(width))
        .for_each(|(rows, sums)| sum_columns(rows, sums));
    add_partials(partials, d_bias);
}

multiversion! {
    fn sum_columns(rows: &[f32], sums: &mut [f32]) {
        for row in rows.chunks_exact(sums.len()) {
            for (s, v) in sums.iter_mut().zip(row) {
                *s += v;
            }
        }
    }
}
