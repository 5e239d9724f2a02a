//! AdamW (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2017) with clipping by the global norm.

use rayon::prelude::*;

use crate::{Layout, Tensor, buffer::Buffer, kernels::multiversion, profile::timer};

/// The optimiser's constants; the defaults are PyTorch's but for the weight decay, which is transformers' fine-tuning
/// default.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW {
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Decoupled weight decay; not applied to biases and LayerNorm.
    pub weight_decay: f32,
    /// Gradients are scaled down to this global norm; 0 for no clipping.
    pub max_gradient_norm: f32,
    /// Every layer learns at this times the rate of the layer above it: of `L` layers, number `l` (from 1) at the rate
    /// times `layer_decay^(L-l)`, the embeddings as layer 0 (Howard and Ruder, "Universal Language Model Fine-tuning for
    /// Text Classification", 2018, with 1 / 2.6).
    pub layer_decay: f32,
    /// The head learns at this times the rate.
    pub head_rate: f32,
}

impl Default for AdamW {
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
            max_gradient_norm: 1.0,
            layer_decay: 1.0,
            head_rate: 1.0,
        }
    }
}

impl AdamW {
    /// What the rate of a tensor of layer `depth` is multiplied by; see [`Layout::depth`].
    fn rate_factor(&self, depth: usize, layers: usize) -> f64 {
        match layers.checked_sub(depth) {
            Some(above) => std::iter::repeat_n(f64::from(self.layer_decay), above).product(),
            None => f64::from(self.head_rate),
        }
    }
}

/// The moments.
#[derive(Debug, Clone)]
pub(crate) struct Moments {
    first: Buffer,
    second: Buffer,
    steps: u32,
}

/// Numbers per task.
const CHUNK: usize = 1 << 14;

/// The factors of one step for the numbers of a tensor.
#[derive(Clone, Copy)]
struct Step {
    adam: AdamW,
    /// Gradients are multiplied with this: the clipping.
    gradient_scale: f32,
    /// `rate / (1 - beta1^t)`
    rate: f32,
    /// `1 / sqrt(1 - beta2^t)`
    root_scale: f32,
    /// `1 - rate * weight_decay`, or 1
    keep: f32,
}

impl Moments {
    pub(crate) fn new(len: usize) -> Self {
        Self { first: Buffer::zeros(len), second: Buffer::zeros(len), steps: 0 }
    }

    /// First and second moments, and the steps made.
    pub(crate) fn parts(&self) -> ([&[f32]; 2], u32) {
        ([&self.first, &self.second], self.steps)
    }

    /// From what [`Self::parts`] gave.
    pub(crate) fn from_parts(moments: [Vec<f32>; 2], steps: u32) -> Self {
        let [first, second] = moments.map(|moment| Buffer::from(moment.as_slice()));
        Self { first, second, steps }
    }

    /// One step from `gradients`, which are zeroed; returns their global norm before clipping. If that is not finite,
    /// nothing else changes.
    pub(crate) fn step(
        &mut self,
        adam: &AdamW,
        rate: f32,
        layout: &Layout,
        values: &mut [f32],
        gradients: &mut [f32],
    ) -> f64 {
        let _timer = timer("optimiser", 8 * values.len());
        // Partial sums in f64, added up in order: the same for any number of threads.
        let squares: Vec<f64> = gradients.par_chunks(CHUNK).map(sum_of_squares).collect();
        let norm = squares.iter().sum::<f64>().sqrt();
        if !norm.is_finite() {
            gradients.fill(0.0);
            return norm;
        }
        self.steps += 1;
        let limit = f64::from(adam.max_gradient_norm);
        // As PyTorch's clip_grad_norm_ does it.
        let clip = if limit > 0.0 { (limit / (norm + 1e-6)).min(1.0) } else { 1.0 };
        let correction = |beta: f32| 1.0 - f64::from(beta).powf(f64::from(self.steps));
        let (first_correction, second_correction) = (correction(adam.beta1), correction(adam.beta2));
        let step = |tensor: &Tensor| {
            let rate = f64::from(rate) * adam.rate_factor(layout.depth(tensor), layout.layers.len());
            Step {
                adam: *adam,
                gradient_scale: clip as f32,
                rate: (rate / first_correction) as f32,
                root_scale: (1.0 / second_correction.sqrt()) as f32,
                keep: if tensor.decay { 1.0 - rate as f32 * adam.weight_decay } else { 1.0 },
            }
        };
        let tensors = layout.tensors();
        values
            .par_chunks_mut(CHUNK)
            .zip(gradients.par_chunks_mut(CHUNK))
            .zip(self.first.par_chunks_mut(CHUNK).zip(self.second.par_chunks_mut(CHUNK)))
            .enumerate()
            .for_each(|(index, ((values, gradients), (first, second)))| {
                // A chunk may span several tensors, each with its own rate and decay.
                let (start, end) = (index * CHUNK, index * CHUNK + values.len());
                let from = tensors.partition_point(|t| t.range.end <= start);
                for tensor in tensors[from..].iter().take_while(|t| t.range.start < end) {
                    let part = tensor.range.start.max(start) - start..tensor.range.end.min(end) - start;
                    update(
                        step(tensor),
                        &mut values[part.clone()],
                        &mut gradients[part.clone()],
                        &mut first[part.clone()],
                        &mut second[part],
                    );
                }
            });
        norm
    }
}

multiversion! {
    fn sum_of_squares(values: &[f32]) -> f64 {
        let (blocks, rest) = values.as_chunks::<16>();
        let mut lanes = [0.0_f64; 16];
        for block in blocks {
            for (lane, v) in lanes.iter_mut().zip(block) {
                *lane += f64::from(*v) * f64::from(*v);
            }
        }
        lanes.iter().sum::<f64>() + rest.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>()
    }
}

multiversion! {
    fn update(step: Step, values: &mut [f32], gradients: &mut [f32], first: &mut [f32], second: &mut [f32]) {
        let Step { adam, gradient_scale, rate, root_scale, keep } = step;
        for (((value, gradient), m), v) in values.iter_mut().zip(gradients).zip(first).zip(second) {
            let g = *gradient * gradient_scale;
            *gradient = 0.0;
            *m += (1.0 - adam.beta1) * (g - *m);
            *v = adam.beta2 * *v + (1.0 - adam.beta2) * g * g;
            *value = *value * keep - rate * *m / (v.sqrt() * root_scale + adam.epsilon);
        }
    }
}
