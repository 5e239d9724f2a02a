//! Bias, dropout, residual and LayerNorm in one pass over a row (Ba, Kiros and Hinton, "Layer Normalization", 2016).
//!
//! Forward: `s = residual + dropout(y + bias)`, `x̂ = (s - mean) / sqrt(var + eps)`, `out = γ x̂ + β`.

use rayon::prelude::*;

use super::{ROW_CHUNK, add_columns, multiversion, simd};
use crate::{buffer::Buffer, profile::timer, random::Dropout};

/// A LayerNorm's constants.
#[derive(Clone, Copy)]
pub(crate) struct Norm<'a> {
    pub weight: &'a [f32],
    pub bias: &'a [f32],
    pub eps: f32,
}

/// What goes into the sum that is normalised.
#[derive(Clone, Copy)]
pub(crate) struct Summands<'a> {
    /// The sub-layer's output, `[T, H]`.
    pub y: &'a [f32],
    /// Its bias, `[H]`.
    pub bias: &'a [f32],
    /// What the sub-layer got, `[T, H]`.
    pub residual: &'a [f32],
    pub dropout: Option<Dropout>,
}

/// What the backward pass needs: `x̂` `[T, H]` and `1 / sqrt(var + eps)` `[T]`.
pub(crate) struct Normalised<'a> {
    pub x_hat: &'a mut [f32],
    pub inverse_std: &'a mut [f32],
}

/// The forward pass of the module's formula; all of `[T, H]` but the vectors.
pub(crate) fn residual_norm(summands: Summands<'_>, norm: Norm<'_>, saved: Normalised<'_>, out: &mut [f32]) {
    let _timer = timer("residual + LayerNorm", 4 * out.len());
    rows(norm, saved, out, |start, sums| sum_rows(summands, start, sums));
}

/// LayerNorm alone: `saved.x_hat` holds the sums and becomes `x̂`.
pub(crate) fn norm(norm: Norm<'_>, saved: Normalised<'_>, out: &mut [f32]) {
    let _timer = timer("residual + LayerNorm", 3 * out.len());
    rows(norm, saved, out, |_, _| ());
}

/// Normalises chunks of rows, each right after `fill(first element, sums)` has made its sums.
fn rows(norm: Norm<'_>, saved: Normalised<'_>, out: &mut [f32], fill: impl Fn(usize, &mut [f32]) + Sync) {
    let Normalised { x_hat, inverse_std } = saved;
    let chunk = ROW_CHUNK * norm.weight.len();
    out.par_chunks_mut(chunk)
        .zip(x_hat.par_chunks_mut(chunk))
        .zip(inverse_std.par_chunks_mut(ROW_CHUNK))
        .enumerate()
        .for_each(|(index, ((out, x_hat), inverse_std))| {
            fill(index * chunk, x_hat);
            normalise_rows(norm, x_hat, inverse_std, out);
        });
}

multiversion! {
    /// The sums of the rows from element `start` on, into `sums`.
    fn sum_rows(summands: Summands<'_>, start: usize, sums: &mut [f32]) {
        let Summands { y, bias, residual, dropout } = summands;
        let width = bias.len();
        let y = &y[start..start + sums.len()];
        let residual = &residual[start..start + sums.len()];
        for (row, ((sums, y), residual)) in
            sums.chunks_exact_mut(width).zip(y.chunks_exact(width)).zip(residual.chunks_exact(width)).enumerate()
        {
            let first = start + row * width;
            if let Some(dropout) = dropout {
                for (i, (((s, y), b), r)) in sums.iter_mut().zip(y).zip(bias).zip(residual).enumerate() {
                    *s = r + (y + b) * dropout.factor(first + i);
                }
            } else {
                for (((s, y), b), r) in sums.iter_mut().zip(y).zip(bias).zip(residual) {
                    *s = r + (y + b);
                }
            }
        }
    }
}

multiversion! {
    /// LayerNorm of each row: `x_hat` holds the sums and becomes `x̂`.
    fn normalise_rows(norm: Norm<'_>, x_hat: &mut [f32], inverse_std: &mut [f32], out: &mut [f32]) {
        let width = norm.weight.len();
        for ((x, out), inverse_std) in
            x_hat.chunks_exact_mut(width).zip(out.chunks_exact_mut(width)).zip(inverse_std)
        {
            // Two passes: the one-pass formula loses digits when the mean is large.
            let mean = simd::sum(SIMD, x) / width as f32;
            for x in x.iter_mut() {
                *x -= mean;
            }
            let variance = simd::dot(SIMD, x, x) / width as f32;
            *inverse_std = 1.0 / (variance + norm.eps).sqrt();
            for (((x, out), w), b) in x.iter_mut().zip(out).zip(norm.weight).zip(norm.bias) {
                *x *= *inverse_std;
                *out = *x * w + b;
            }
        }
    }
}

/// What went into the sum through dropout.
pub(crate) struct Branch<'a> {
    /// Its gradient, `[T, H]`, to be filled.
    pub d: &'a mut [f32],
    pub dropout: Option<Dropout>,
}

/// The backward pass of LayerNorm: turns the gradient `d` of `out` into that of the normalised sum, in place, and adds
/// the gradients of weight and bias to `d_norm`, which is weight and bias end to end, `[2H]`. Fills the
/// gradient of the branch, where there is one.
pub(crate) fn norm_backward(
    weight: &[f32],
    (x_hat, inverse_std): (&[f32], &[f32]),
    d: &mut [f32],
    branch: Option<Branch<'_>>,
    d_norm: &mut [f32],
    partials: &mut Buffer,
) {
    let _timer = timer("LayerNorm, back", 3 * d.len());
    let width = weight.len();
    let chunk = ROW_CHUNK * width;
    partials.resize(d.len().div_ceil(chunk) * 2 * width);
    partials.fill(0.0);
    let rows = d
        .par_chunks_mut(chunk)
        .zip(x_hat.par_chunks(chunk))
        .zip(inverse_std.par_chunks(ROW_CHUNK))
        .zip(partials.par_chunks_mut(2 * width));
    match branch {
        None => rows.for_each(|(((d, x_hat), inverse_std), sums)| backward_rows(weight, x_hat, inverse_std, d, sums)),
        Some(Branch { d: branch, dropout }) => rows.zip(branch.par_chunks_mut(chunk)).enumerate().for_each(
            |(index, ((((d, x_hat), inverse_std), sums), branch))| {
                backward_rows(weight, x_hat, inverse_std, d, sums);
                match dropout {
                    Some(dropout) => drop_rows(d, dropout, index * chunk, branch),
                    None => branch.copy_from_slice(d),
                }
            },
        ),
    }
    add_columns(partials, d_norm);
}

multiversion! {
    /// `to = dropout(d)`; the first element's number is `start`.
    fn drop_rows(d: &[f32], dropout: Dropout, start: usize, to: &mut [f32]) {
        for (i, (to, d)) in to.iter_mut().zip(d).enumerate() {
            *to = d * dropout.factor(start + i);
        }
    }
}

multiversion! {
    fn backward_rows(weight: &[f32], x_hat: &[f32], inverse_std: &[f32], d: &mut [f32], sums: &mut [f32]) {
        let width = weight.len();
        let (weight_sums, bias_sums) = sums.split_at_mut(width);
        for ((d, x_hat), inverse_std) in
            d.chunks_exact_mut(width).zip(x_hat.chunks_exact(width)).zip(inverse_std)
        {
            for ((((d, x), w), ws), bs) in
                d.iter_mut().zip(x_hat).zip(weight).zip(weight_sums.iter_mut()).zip(bias_sums.iter_mut())
            {
                *ws += *d * x;
                *bs += *d;
                *d *= w;
            }
            let mean = simd::sum(SIMD, d) / width as f32;
            let projection = simd::dot(SIMD, d, x_hat) / width as f32;
            for (d, x) in d.iter_mut().zip(x_hat) {
                *d = (*d - mean - x * projection) * inverse_std;
            }
        }
    }
}
