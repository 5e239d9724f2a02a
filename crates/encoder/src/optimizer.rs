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

/// The moments, and which rows of the word embeddings they are behind with.
///
/// A batch has a few hundred of the tens of thousands of words, and a step without a gradient changes a row only by what its
/// moments still hold. So rows that a step has no gradient for are left alone, and the steps that they missed are made, each as
/// it would have been, when a batch has their word or somebody reads the numbers: the same bits as if all had been made at
/// once, for rows that were never used at no cost at all.
#[derive(Debug, Clone)]
pub(crate) struct Moments {
    first: Buffer,
    second: Buffer,
    steps: u32,
    /// For each word, how many steps its row has made.
    made: Vec<u32>,
    /// Whether a word is in a batch since the last step.
    used: Vec<bool>,
    /// The factors of the steps since all rows were up to date.
    missed: Vec<Step>,
}

/// Numbers per task.
const CHUNK: usize = 1 << 14;

/// The factors of one step for the numbers of a tensor.
#[derive(Debug, Clone, Copy)]
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
    /// Zeros for a layout with so many words.
    pub(crate) fn new(len: usize, words: usize) -> Self {
        Self::at(Buffer::zeros(len), Buffer::zeros(len), 0, words)
    }

    /// From what [`Self::parts`] gave.
    pub(crate) fn from_parts([first, second]: [Vec<f32>; 2], steps: u32, words: usize) -> Self {
        Self::at(Buffer::from(first.as_slice()), Buffer::from(second.as_slice()), steps, words)
    }

    fn at(first: Buffer, second: Buffer, steps: u32, words: usize) -> Self {
        Self { first, second, steps, made: vec![steps; words], used: vec![false; words], missed: Vec::new() }
    }

    /// First and second moments, and the steps made; of all rows only after [`Self::settle`].
    pub(crate) fn parts(&self) -> ([&[f32]; 2], u32) {
        ([&self.first, &self.second], self.steps)
    }

    /// Makes the missed steps of these words' rows, which the next step will have gradients for.
    pub(crate) fn catch_up(&mut self, words: &[u32], layout: &Layout, values: &mut [f32]) {
        for &word in words {
            self.used[word as usize] = true;
        }
        let used = std::mem::take(&mut self.used);
        self.make_missed(|word| used[word], layout, values);
        self.used = used;
    }

    /// The same for the rows of all words.
    pub(crate) fn catch_up_all(&mut self, layout: &Layout, values: &mut [f32]) {
        self.settle(layout, values);
        self.used.fill(true);
    }

    /// Makes the missed steps of all rows.
    pub(crate) fn settle(&mut self, layout: &Layout, values: &mut [f32]) {
        if !self.missed.is_empty() {
            self.make_missed(|_| true, layout, values);
            self.missed.clear();
        }
    }

    /// Whether no row has missed a step.
    pub(crate) fn is_settled(&self) -> bool {
        self.missed.is_empty()
    }

    fn make_missed(&mut self, wanted: impl Fn(usize) -> bool + Sync, layout: &Layout, values: &mut [f32]) {
        let _timer = timer("optimiser, made later", 0);
        let Self { first, second, steps, made, missed, .. } = self;
        let width = layout.words.len() / made.len();
        let words = layout.words.clone();
        let rows = values[words.clone()]
            .par_chunks_exact_mut(width)
            .zip(first[words.clone()].par_chunks_exact_mut(width))
            .zip(second[words].par_chunks_exact_mut(width));
        rows.zip(made).enumerate().for_each(|(word, (((values, first), second), made))| {
            if *made < *steps && wanted(word) {
                let missed = &missed[missed.len() - (*steps - *made) as usize..];
                *made = *steps;
                // Without moments and decay a step changes nothing.
                let keeps = missed.iter().all(|step| step.keep.to_bits() == 1.0_f32.to_bits());
                if keeps && first.iter().chain(&*second).all(|m| m.to_bits() == 0) {
                    return;
                }
                let mut none = vec![0.0; width];
                for step in missed {
                    update(*step, values, &mut none, first, second);
                }
            }
        });
    }

    /// One step from `gradients`, which are zeroed; returns their global norm before clipping. If that is not finite,
    /// nothing else changes. Of the words' gradients only those of [`Self::catch_up`] are looked at: the others are 0.
    pub(crate) fn step(
        &mut self,
        adam: &AdamW,
        rate: f32,
        layout: &Layout,
        values: &mut [f32],
        gradients: &mut [f32],
    ) -> f64 {
        let _timer = timer("optimiser", 8 * (values.len() - layout.words.len()));
        let Self { first, second, steps, made, used, missed } = self;
        let (words, width) = (layout.words.clone(), layout.words.len() / made.len());
        // Everything lies behind the words.
        debug_assert_eq!(words.start, 0, "words come first: this is a bug");
        let (word_gradients, other_gradients) = gradients.split_at_mut(words.end);
        // Partial sums in f64, added up in order: the same for any number of threads.
        let squares: Vec<f64> = other_gradients.par_chunks(CHUNK).map(sum_of_squares).collect();
        let rows = word_gradients.par_chunks_exact(width).zip(&*used);
        let word_squares: Vec<f64> = rows.map(|(row, used)| if *used { sum_of_squares(row) } else { 0.0 }).collect();
        let norm = squares.iter().chain(&word_squares).sum::<f64>().sqrt();
        if !norm.is_finite() {
            gradients.fill(0.0);
            used.fill(false);
            return norm;
        }
        *steps += 1;
        let limit = f64::from(adam.max_gradient_norm);
        // As PyTorch's clip_grad_norm_ does it.
        let clip = if limit > 0.0 { (limit / (norm + 1e-6)).min(1.0) } else { 1.0 };
        let correction = |beta: f32| 1.0 - f64::from(beta).powf(f64::from(*steps));
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
        let word_step = step(&tensors[0]);
        missed.push(word_step);
        let (word_values, other_values) = values.split_at_mut(words.end);
        let (word_first, other_first) = first.split_at_mut(words.end);
        let (word_second, other_second) = second.split_at_mut(words.end);
        word_values
            .par_chunks_exact_mut(width)
            .zip(word_gradients.par_chunks_exact_mut(width))
            .zip(word_first.par_chunks_exact_mut(width).zip(word_second.par_chunks_exact_mut(width)))
            .zip(made.par_iter_mut().zip(used))
            .for_each(|(((values, gradients), (first, second)), (made, used))| {
                if std::mem::take(used) {
                    update(word_step, values, gradients, first, second);
                    *made = *steps;
                }
            });
        other_values
            .par_chunks_mut(CHUNK)
            .zip(other_gradients.par_chunks_mut(CHUNK))
            .zip(other_first.par_chunks_mut(CHUNK).zip(other_second.par_chunks_mut(CHUNK)))
            .enumerate()
            .for_each(|(index, ((values, gradients), (first, second)))| {
                // A chunk may span several tensors, each with its own rate and decay.
                let start = words.end + index * CHUNK;
                let end = start + values.len();
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
