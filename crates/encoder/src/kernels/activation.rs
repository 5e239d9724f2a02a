//! Bias and activation: GELU, its approximation with tanh, or ReLU.
//!
//! GELU is `u Φ(u)` with `u = z + b` and `Φ` the normal distribution function (Hendrycks and Gimpel, "Gaussian Error Linear
//! Units", 2016), in the exact form with erf that BERT uses. The approximation is `u s(u)` with the logistic function of
//! `2 sqrt(2/pi) (u + 0.044715 u^3)` for `s` (the same, who write it with tanh).

use rayon::prelude::*;

use super::{ROW_CHUNK, add_partials, math, multiversion};
use crate::{Activation, profile::timer};

/// `z += bias` per row, `g = act(z)`; `z` and `g` are `[T, bias.len()]`. `z` is kept for the backward pass.
pub(crate) fn forward(activation: Activation, z: &mut [f32], bias: &[f32], g: &mut [f32]) {
    let rows = match activation {
        Activation::Gelu => gelu_rows,
        Activation::GeluTanh => tanh_rows,
        Activation::Relu => relu_rows,
    };
    let _timer = timer("bias + activation", 3 * z.len());
    let chunk = ROW_CHUNK * bias.len();
    z.par_chunks_mut(chunk).zip(g.par_chunks_mut(chunk)).for_each(|(z, g)| rows(z, bias, g));
}

/// Turns the gradient of `g` into that of `z`, in place, and adds its column sums to `d_bias`.
///
/// `partials` is scratch; it grows to one row of `width` per [`ROW_CHUNK`] rows.
pub(crate) fn backward(activation: Activation, z: &[f32], d: &mut [f32], d_bias: &mut [f32], partials: &mut Vec<f32>) {
    let rows = match activation {
        Activation::Gelu => gelu_backward_rows,
        Activation::GeluTanh => tanh_backward_rows,
        Activation::Relu => relu_backward_rows,
    };
    let _timer = timer("activation, back", 3 * z.len());
    let width = d_bias.len();
    let chunk = ROW_CHUNK * width;
    partials.clear();
    partials.resize(d.len().div_ceil(chunk) * width, 0.0);
    d.par_chunks_mut(chunk)
        .zip(z.par_chunks(chunk))
        .zip(partials.par_chunks_mut(width))
        .for_each(|((d, z), sums)| rows(z, d, sums));
    add_partials(partials, d_bias);
}

multiversion! {
    fn gelu_rows(z: &mut [f32], bias: &[f32], g: &mut [f32]) {
        for (z, g) in z.chunks_exact_mut(bias.len()).zip(g.chunks_exact_mut(bias.len())) {
            for ((z, g), b) in z.iter_mut().zip(g).zip(bias) {
                let u = *z + b;
                *z = u;
                *g = 0.5 * u * (1.0 + math::erf(u * std::f32::consts::FRAC_1_SQRT_2));
            }
        }
    }
}

multiversion! {
    fn gelu_backward_rows(z: &[f32], d: &mut [f32], sums: &mut [f32]) {
        /// 1 / sqrt(2 pi).
        const DENSITY_AT_0: f32 = 0.398_942_3;
        for (z, d) in z.chunks_exact(sums.len()).zip(d.chunks_exact_mut(sums.len())) {
            for ((u, d), s) in z.iter().zip(d).zip(sums.iter_mut()) {
                let distribution = 0.5 * (1.0 + math::erf(u * std::f32::consts::FRAC_1_SQRT_2));
                let density = DENSITY_AT_0 * math::exp(-0.5 * u * u);
                *d *= distribution + u * density;
                *s += *d;
            }
        }
    }
}

/// `2 sqrt(2/pi)`
const SLOPE: f32 = 1.595_769;
const CUBIC: f32 = 0.044_715;

/// The logistic function of `SLOPE (u + CUBIC u^3)`.
#[inline(always)]
fn gate(u: f32) -> f32 {
    1.0 / (1.0 + math::exp(-SLOPE * (u + CUBIC * u * u * u)))
}

multiversion! {
    fn tanh_rows(z: &mut [f32], bias: &[f32], g: &mut [f32]) {
        for (z, g) in z.chunks_exact_mut(bias.len()).zip(g.chunks_exact_mut(bias.len())) {
            for ((z, g), b) in z.iter_mut().zip(g).zip(bias) {
                let u = *z + b;
                *z = u;
                *g = u * gate(u);
            }
        }
    }
}

multiversion! {
    fn tanh_backward_rows(z: &[f32], d: &mut [f32], sums: &mut [f32]) {
        for (z, d) in z.chunks_exact(sums.len()).zip(d.chunks_exact_mut(sums.len())) {
            for ((&u, d), sum) in z.iter().zip(d).zip(sums.iter_mut()) {
                let s = gate(u);
                *d *= s + u * s * (1.0 - s) * SLOPE * (1.0 + 3.0 * CUBIC * u * u);
                *sum += *d;
            }
        }
    }
}

multiversion! {
    fn relu_rows(z: &mut [f32], bias: &[f32], g: &mut [f32]) {
        for (z, g) in z.chunks_exact_mut(bias.len()).zip(g.chunks_exact_mut(bias.len())) {
            for ((z, g), b) in z.iter_mut().zip(g).zip(bias) {
                *z += b;
                *g = z.max(0.0);
            }
        }
    }
}

multiversion! {
    fn relu_backward_rows(z: &[f32], d: &mut [f32], sums: &mut [f32]) {
        for (z, d) in z.chunks_exact(sums.len()).zip(d.chunks_exact_mut(sums.len())) {
            for ((u, d), sum) in z.iter().zip(d).zip(sums.iter_mut()) {
                *d = if *u > 0.0 { *d } else { 0.0 };
                *sum += *d;
            }
        }
    }
}
