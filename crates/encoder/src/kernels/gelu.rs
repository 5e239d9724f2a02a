//! Bias and GELU: `g = u Φ(u)` with `u = z + b` and `Φ` the normal distribution function (Hendrycks and Gimpel,
//! "Gaussian Error Linear Units", 2016), the exact form with erf that BERT uses.

use rayon::prelude::*;

use super::{ROW_CHUNK, add_partials, math, multiversion};

/// `z += bias` per row, `g = gelu(z)`; `z` and `g` are `[T, bias.len()]`. `z` is kept for the backward pass.
pub(crate) fn bias_gelu(z: &mut [f32], bias: &[f32], g: &mut [f32]) {
    let width = bias.len();
    z.par_chunks_mut(ROW_CHUNK * width)
        .zip(g.par_chunks_mut(ROW_CHUNK * width))
        .for_each(|(z, g)| forward_rows(z, bias, g));
}

multiversion! {
    fn forward_rows(z: &mut [f32], bias: &[f32], g: &mut [f32]) {
        for (z, g) in z.chunks_exact_mut(bias.len()).zip(g.chunks_exact_mut(bias.len())) {
            for ((z, g), b) in z.iter_mut().zip(g).zip(bias) {
                let u = *z + b;
                *z = u;
                *g = 0.5 * u * (1.0 + math::erf(u * std::f32::consts::FRAC_1_SQRT_2));
            }
        }
    }
}

/// Turns the gradient of `g` into that of `z`, in place, and adds its column sums to `d_bias`.
///
/// `partials` is scratch; it grows to one row of `width` per [`ROW_CHUNK`] rows.
pub(crate) fn bias_gelu_backward(z: &[f32], d: &mut [f32], d_bias: &mut [f32], partials: &mut Vec<f32>) {
    let width = d_bias.len();
    let chunk = ROW_CHUNK * width;
    partials.clear();
    partials.resize(d.len().div_ceil(chunk) * width, 0.0);
    d.par_chunks_mut(chunk)
        .zip(z.par_chunks(chunk))
        .zip(partials.par_chunks_mut(width))
        .for_each(|((d, z), sums)| backward_rows(z, d, sums));
    add_partials(partials, d_bias);
}

multiversion! {
    fn backward_rows(z: &[f32], d: &mut [f32], sums: &mut [f32]) {
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
