//! Bias and activation: GELU, its approximation with tanh, or ReLU.
//!
//! GELU is `u Φ(u)` with `u = z + b` and `Φ` the normal distribution function (Hendrycks and Gimpel, "Gaussian Error Linear
//! Units", 2016), in the exact form with erf that BERT uses. The approximation is `u s(u)` with the logistic function of
//! `2 sqrt(2/pi) (u + 0.044715 u^3)` for `s` (the same, who write it with tanh).

use super::{math, multiversion, simd::Simd};
use crate::Activation;

/// `g = act(z + bias)`, of a part of a row; `z += bias` too.
pub(crate) fn forward(activation: Activation, z: &mut [f32], bias: &[f32], g: &mut [f32]) {
    match activation {
        Activation::Gelu => gelu(z, bias, g),
        Activation::GeluTanh => gelu_tanh(z, bias, g),
        Activation::Relu => relu(z, bias, g),
    }
}

/// `z = act(z + bias)`, of a part of a row.
pub(crate) fn inference(activation: Activation, z: &mut [f32], bias: &[f32]) {
    match activation {
        Activation::Gelu => gelu_inference(z, bias),
        Activation::GeluTanh => gelu_tanh_inference(z, bias),
        Activation::Relu => relu_inference(z, bias),
    }
}

/// Turns the gradient `d` of `act(z)` into that of `z`, and computes `g = act(z)` again.
pub(crate) fn backward(activation: Activation, z: &[f32], d: &mut [f32], g: &mut [f32]) {
    match activation {
        Activation::Gelu => gelu_backward(z, d, g),
        Activation::GeluTanh => gelu_tanh_backward(z, d, g),
        Activation::Relu => relu_backward(z, d, g),
    }
}

multiversion! {
    fn gelu(z: &mut [f32], bias: &[f32], g: &mut [f32]) {
        for ((z, g), b) in z.iter_mut().zip(g).zip(bias) {
            *z += b;
            *g = *z * normal(SIMD, *z);
        }
    }
}

multiversion! {
    fn gelu_inference(z: &mut [f32], bias: &[f32]) {
        for (z, b) in z.iter_mut().zip(bias) {
            let u = *z + b;
            *z = u * normal(SIMD, u);
        }
    }
}

/// The normal distribution function.
#[inline(always)]
fn normal<S: Simd>(simd: S, u: f32) -> f32 {
    0.5 + 0.5 * math::erf(simd, u * std::f32::consts::FRAC_1_SQRT_2)
}

multiversion! {
    fn gelu_backward(z: &[f32], d: &mut [f32], g: &mut [f32]) {
        /// 1 / sqrt(2 pi).
        const DENSITY_AT_0: f32 = 0.398_942_3;
        for ((u, d), g) in z.iter().zip(d).zip(g) {
            let distribution = normal(SIMD, *u);
            let density = DENSITY_AT_0 * math::exp(SIMD, -0.5 * u * u);
            *d *= distribution + u * density;
            *g = u * distribution;
        }
    }
}

/// `2 sqrt(2/pi)`
const SLOPE: f32 = 1.595_769;
const CUBIC: f32 = 0.044_715;

/// The logistic function of `SLOPE (u + CUBIC u^3)`.
#[inline(always)]
fn gate<S: Simd>(simd: S, u: f32) -> f32 {
    1.0 / (1.0 + math::exp(simd, -SLOPE * (u + CUBIC * u * u * u)))
}

multiversion! {
    fn gelu_tanh(z: &mut [f32], bias: &[f32], g: &mut [f32]) {
        for ((z, g), b) in z.iter_mut().zip(g).zip(bias) {
            *z += b;
            *g = *z * gate(SIMD, *z);
        }
    }
}

multiversion! {
    fn gelu_tanh_inference(z: &mut [f32], bias: &[f32]) {
        for (z, b) in z.iter_mut().zip(bias) {
            let u = *z + b;
            *z = u * gate(SIMD, u);
        }
    }
}

multiversion! {
    fn gelu_tanh_backward(z: &[f32], d: &mut [f32], g: &mut [f32]) {
        for ((&u, d), g) in z.iter().zip(d).zip(g) {
            let s = gate(SIMD, u);
            *d *= s + u * s * (1.0 - s) * SLOPE * (1.0 + 3.0 * CUBIC * u * u);
            *g = u * s;
        }
    }
}

multiversion! {
    fn relu(z: &mut [f32], bias: &[f32], g: &mut [f32]) {
        for ((z, g), b) in z.iter_mut().zip(g).zip(bias) {
            *z += b;
            *g = z.max(0.0);
        }
    }
}

multiversion! {
    fn relu_inference(z: &mut [f32], bias: &[f32]) {
        for (z, b) in z.iter_mut().zip(bias) {
            *z = (*z + b).max(0.0);
        }
    }
}

multiversion! {
    fn relu_backward(z: &[f32], d: &mut [f32], g: &mut [f32]) {
        for ((u, d), g) in z.iter().zip(d).zip(g) {
            *d = if *u > 0.0 { *d } else { 0.0 };
            *g = u.max(0.0);
        }
    }
}
