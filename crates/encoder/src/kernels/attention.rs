//! Multi-head self-attention over packed sequences (Vaswani et al., "Attention Is All You Need", 2017):
//! `softmax(Q Kᵀ / sqrt(D)) V` per sequence and head, with dropout on the probabilities.
//!
//! A head of a sequence is a task of its own, and nothing is computed between two sequences. The probabilities are never
//! kept: a block of queries at a time, they live in the cache, and the way back computes them again from the logarithm of
//! each row's sum (Dao et al., "`FlashAttention`", 2022).

use std::cell::RefCell;

use rayon::prelude::*;

use super::{
    gemm::{Columns, Destination, Gemm, Rows},
    math, multiversion,
    scratch::{Scratch, Shared},
    simd,
};
use crate::{profile::timer, random::Dropout};

/// Queries whose probabilities are held at a time: with 512 keys these are 192 KiB.
const QUERIES: usize = 96;

/// How the packed rows divide into sequences and heads.
#[derive(Debug, Clone)]
pub(crate) struct AttentionShape {
    /// Hidden size, `H`.
    hidden: usize,
    /// Heads, `A`.
    heads: usize,
    /// Where each sequence's rows begin; one more entry than sequences.
    offsets: Vec<usize>,
    /// The number of each sequence's first probability, as dropout counts them: `A` matrices of `n` rows of `n`.
    probabilities: Vec<usize>,
}

impl AttentionShape {
    pub(crate) fn new(hidden: usize, heads: usize) -> Self {
        Self { hidden, heads, offsets: Vec::new(), probabilities: Vec::new() }
    }

    /// Takes over the sequences of the next batch.
    pub(crate) fn set(&mut self, offsets: &[usize]) {
        self.offsets.clear();
        self.offsets.extend_from_slice(offsets);
        self.probabilities.clear();
        let mut next = 0;
        for bounds in offsets.windows(2) {
            self.probabilities.push(next);
            next += self.heads * (bounds[1] - bounds[0]).pow(2);
        }
    }

    /// How many logarithms of sums the batch has: one for each token and head.
    pub(crate) fn log_sums(&self) -> usize {
        self.heads * self.offsets.last().copied().unwrap_or(0)
    }

    fn first_probability(&self, sequence: usize, head: usize) -> usize {
        let n = self.offsets[sequence + 1] - self.offsets[sequence];
        self.probabilities[sequence] + head * n * n
    }

    /// Runs `task` for each head of each sequence, in parallel, with memory of its thread.
    fn for_each_head(&self, task: impl Fn(Head<'_>, &mut [Scratch; 8]) + Sync) {
        thread_local! {
            static SCRATCH: RefCell<[Scratch; 8]> = RefCell::default();
        }
        (0..(self.offsets.len() - 1) * self.heads).into_par_iter().for_each(|index| {
            let (sequence, head) = (index / self.heads, index % self.heads);
            let head = Head {
                shape: self,
                gemm: Gemm::get(),
                start: self.offsets[sequence],
                n: self.offsets[sequence + 1] - self.offsets[sequence],
                d: self.hidden / self.heads,
                index: head,
                first: self.first_probability(sequence, head),
            };
            SCRATCH.with_borrow_mut(|scratch| task(head, scratch));
        });
    }
}

/// One head of one sequence.
#[derive(Clone, Copy)]
struct Head<'a> {
    shape: &'a AttentionShape,
    gemm: &'static Gemm,
    /// The sequence's first row, and how many it has.
    start: usize,
    n: usize,
    /// The head's width, `D`.
    d: usize,
    index: usize,
    /// The number of its first probability.
    first: usize,
}

/// Rows of a head's values somewhere in a packed matrix.
#[derive(Clone, Copy)]
struct Part<'a> {
    values: &'a [f32],
    stride: usize,
}

impl<'a> Head<'a> {
    /// Query (0), key (1) or value (2) of `qkv` from row `row` of the sequence on.
    fn part(&self, qkv: &'a [f32], which: usize, row: usize) -> Part<'a> {
        let h = self.shape.hidden;
        Part { values: &qkv[(self.start + row) * 3 * h + which * h + self.index * self.d..], stride: 3 * h }
    }

    /// The head's columns of a matrix `[T, H]`, from row `row` of the sequence on.
    fn columns(&self, values: &'a [f32], row: usize) -> Part<'a> {
        let h = self.shape.hidden;
        Part { values: &values[(self.start + row) * h + self.index * self.d..], stride: h }
    }

    /// The head's logarithms of sums among those of all.
    fn log_sums(&self) -> std::ops::Range<usize> {
        let first = self.start * self.shape.heads + self.index * self.n;
        first..first + self.n
    }

    /// `rows` rows of a part, `[rows, D]`, as panels.
    fn pack<'s>(&self, from: Part<'_>, rows: usize, to: &'s mut Scratch) -> &'s [f32] {
        let panels = to.take(rows * self.gemm.padded(self.d));
        // SAFETY: `Part` begins at the first element, and as many rows as the sequence has follow.
        unsafe { self.gemm.pack_columns((from.values.as_ptr(), Columns::Together(from.stride)), rows, self.d, panels) };
        panels
    }

    /// The transpose of a part of all rows, `[D, n]`, as panels.
    fn pack_transposed<'s>(&self, from: Part<'_>, to: &'s mut Scratch) -> &'s [f32] {
        let panels = to.take(self.d * self.width());
        // SAFETY: as above.
        unsafe { self.gemm.pack_columns((from.values.as_ptr(), Columns::Apart(from.stride)), self.d, self.n, panels) };
        panels
    }

    /// Numbers between the rows of the scores.
    fn width(&self) -> usize {
        self.gemm.padded(self.n)
    }

    /// `rows` rows of a part times the transpose of another, into scores `[rows, width]`.
    fn scores<'s>(&self, rows: usize, a: Part<'_>, b_transposed: &[f32], to: &'s mut Scratch) -> &'s mut [f32] {
        let width = self.width();
        let to = to.take(rows * width);
        let a = (a.values.as_ptr(), Rows::Apart(a.stride));
        // SAFETY: `Part` begins at the first element, `rows` rows of `D` follow; `to` has just been made so large.
        unsafe {
            self.gemm.product(rows, self.d, a, b_transposed, width, (to.as_mut_ptr(), width), Destination::Overwrite);
        }
        to
    }
}

/// The output `[T, H]` of all heads, from `qkv` `[T, 3H]`, and for the way back, if there is one, the logarithm of each row's
/// sum of exponentials.
pub(crate) fn forward(
    shape: &AttentionShape,
    qkv: &[f32],
    dropout: Option<Dropout>,
    context: &mut [f32],
    log_sums: Option<&mut [f32]>,
) {
    let h = shape.hidden;
    let tokens = shape.offsets.last().copied().unwrap_or(0);
    assert!(qkv.len() == tokens * 3 * h && context.len() == tokens * h, "rows are of the batch: this is a bug");
    let fits = log_sums.as_ref().is_none_or(|sums| sums.len() == shape.log_sums());
    assert!(fits, "sums are of the batch: this is a bug");
    let _timer = timer("attention", qkv.len() + context.len());
    let (context, log_sums) = (Shared::new(context), log_sums.map(Shared::new));
    shape.for_each_head(|head, [k, v, scores, largest, sums, ..]| {
        let k = head.pack_transposed(head.part(qkv, 1, 0), k);
        let v = head.pack(head.part(qkv, 2, 0), head.n, v);
        for row in (0..head.n).step_by(QUERIES) {
            let rows = QUERIES.min(head.n - row);
            let scores = head.scores(rows, head.part(qkv, 0, row), k, scores);
            let (largest, sums) = (largest.take(rows), sums.take(rows));
            let scale = 1.0 / (head.d as f32).sqrt();
            softmax(scores, head.n, head.width(), scale, dropout, head.first + row * head.n, (largest, sums));
            // SAFETY: these rows of this head's columns, and its logarithms, are nobody else's.
            unsafe {
                if let Some(log_sums) = log_sums {
                    let to = log_sums.get().add(head.log_sums().start + row);
                    for (index, (largest, sum)) in largest.iter().zip(sums).enumerate() {
                        *to.add(index) = *largest + sum.ln();
                    }
                }
                let to = context.get().add((head.start + row) * h + head.index * head.d);
                let a = (scores.as_ptr(), Rows::Apart(head.width()));
                head.gemm.product(rows, head.n, a, v, head.d, (to, h), Destination::Overwrite);
            }
        }
    });
}

multiversion! {
    /// Softmax of the first `n` of each `width` scores, times `scale`, then dropout, whose first number is `first`; and into
    /// `found` each row's largest scaled score `m` and its sum of `exp(score - m)`. What lies behind the `n` scores counts as
    /// minus infinity, so that loops go over whole vectors.
    fn softmax(
        scores: &mut [f32],
        n: usize,
        width: usize,
        scale: f32,
        dropout: Option<Dropout>,
        first: usize,
        found: (&mut [f32], &mut [f32]),
    ) {
        assert!(width.is_multiple_of(simd::lanes(SIMD)), "rows are whole vectors: this is a bug");
        let found = found.0.iter_mut().zip(found.1);
        for (row, (scores, (largest_found, sum_found))) in scores.chunks_exact_mut(width).zip(found).enumerate() {
            for (index, vector) in scores.chunks_exact_mut(simd::lanes(SIMD)).enumerate() {
                let present = n.saturating_sub(index * simd::lanes(SIMD)) as u32;
                for (i, v) in vector.iter_mut().enumerate() {
                    *v = if (i as u32) < present { *v * scale } else { f32::NEG_INFINITY };
                }
            }
            let largest = simd::largest(SIMD, scores);
            for vector in scores.chunks_exact_mut(simd::lanes(SIMD)) {
                for v in vector {
                    *v = math::exp(SIMD, *v - largest);
                }
            }
            let sum = simd::sum(SIMD, scores);
            (*largest_found, *sum_found) = (largest, sum);
            let inverse = 1.0 / sum;
            match dropout {
                Some(dropout) => {
                    for (index, vector) in scores.chunks_exact_mut(simd::lanes(SIMD)).enumerate() {
                        let first = first + row * n + index * simd::lanes(SIMD);
                        for (i, v) in vector.iter_mut().enumerate() {
                            *v *= inverse * dropout.factor(first + i);
                        }
                    }
                }
                None => {
                    for v in scores.iter_mut() {
                        *v *= inverse;
                    }
                }
            }
        }
    }
}

/// What the forward pass read and left.
#[derive(Clone, Copy)]
pub(crate) struct Forward<'a> {
    /// `[T, 3H]`
    pub qkv: &'a [f32],
    /// Its output, `[T, H]`.
    pub context: &'a [f32],
    pub log_sums: &'a [f32],
    pub dropout: Option<Dropout>,
}

/// The gradient `d_qkv` `[T, 3H]` from `d_context` `[T, H]`.
///
/// With `P` the probabilities, `M` dropout's factors and `O` the output, a score's gradient is `P (M (dO Vᵀ) - dO·O)`: the
/// sum that softmax takes off a row is the product of its output and the output's gradient.
pub(crate) fn backward(shape: &AttentionShape, forward: Forward<'_>, d_context: &[f32], d_qkv: &mut [f32]) {
    let Forward { qkv, context, log_sums, dropout } = forward;
    let h = shape.hidden;
    let tokens = shape.offsets.last().copied().unwrap_or(0);
    assert!([qkv.len(), d_qkv.len()] == [tokens * 3 * h; 2], "rows are of the batch: this is a bug");
    assert!([context.len(), d_context.len()] == [tokens * h; 2], "rows are of the batch: this is a bug");
    let _timer = timer("attention, back", 2 * qkv.len() + 2 * context.len());
    let d_qkv = Shared::new(d_qkv);
    shape.for_each_head(|head, [k_t, v_t, k, q, d_out, scores, d_scores, sums]| {
        let k_t = head.pack_transposed(head.part(qkv, 1, 0), k_t);
        let v_t = head.pack_transposed(head.part(qkv, 2, 0), v_t);
        let k = head.pack(head.part(qkv, 1, 0), head.n, k);
        let width = head.width();
        for row in (0..head.n).step_by(QUERIES) {
            let rows = QUERIES.min(head.n - row);
            let d = head.columns(d_context, row);
            let sums = sums.take(rows);
            dots(head.columns(context, row), d, head.d, sums);
            let scores = head.scores(rows, head.part(qkv, 0, row), k_t, scores);
            let d_scores = head.scores(rows, d, v_t, d_scores);
            let row_sums = RowSums { log_sums: &log_sums[head.log_sums()][row..row + rows], sums };
            let scale = 1.0 / (head.d as f32).sqrt();
            softmax_backward(scores, d_scores, head.n, width, scale, dropout, head.first + row * head.n, row_sums);

            let q = head.pack(head.part(qkv, 0, row), rows, q);
            let d_out = head.pack(d, rows, d_out);
            let destination = if row == 0 { Destination::Overwrite } else { Destination::Accumulate };
            // SAFETY: this head's columns of the sequence's rows are nobody else's.
            unsafe {
                let to =
                    |which, row| (d_qkv.get().add((head.start + row) * 3 * h + which * h + head.index * head.d), 3 * h);
                let (apart, together) = (Rows::Apart(width), Rows::Together(width));
                let (gemm, n, wide) = (head.gemm, head.n, head.d);
                gemm.product(rows, n, (d_scores.as_ptr(), apart), k, wide, to(0, row), Destination::Overwrite);
                gemm.product(n, rows, (d_scores.as_ptr(), together), q, wide, to(1, 0), destination);
                gemm.product(n, rows, (scores.as_ptr(), together), d_out, wide, to(2, 0), destination);
            }
        }
    });
}

/// For each row of a block, the logarithm of the sum of its exponentials, and the product of its output and the output's
/// gradient.
struct RowSums<'a> {
    log_sums: &'a [f32],
    sums: &'a [f32],
}

multiversion! {
    /// The product of each of the rows of two parts, `d` numbers wide.
    fn dots(a: Part<'_>, b: Part<'_>, d: usize, to: &mut [f32]) {
        for (row, to) in to.iter_mut().enumerate() {
            *to = simd::dot(SIMD, &a.values[row * a.stride..][..d], &b.values[row * b.stride..][..d]);
        }
    }
}

multiversion! {
    /// Turns scores into probabilities after dropout, and the gradients of these into those of the scores; what lies behind the
    /// first `n` of each `width`, which nobody reads, becomes anything.
    fn softmax_backward(
        scores: &mut [f32],
        d_scores: &mut [f32],
        n: usize,
        width: usize,
        scale: f32,
        dropout: Option<Dropout>,
        first: usize,
        row_sums: RowSums<'_>,
    ) {
        let rows = scores.chunks_exact_mut(width).zip(d_scores.chunks_exact_mut(width));
        for (row, ((scores, d_scores), (&log_sum, &sum))) in rows.zip(row_sums.log_sums.iter().zip(row_sums.sums)).enumerate() {
            match dropout {
                Some(dropout) => {
                    for (i, (p, d)) in scores.iter_mut().zip(d_scores).enumerate() {
                        let (probability, factor) = (math::exp(SIMD, *p * scale - log_sum), dropout.factor(first + row * n + i));
                        *p = probability * factor;
                        *d = (*d * factor - sum) * probability * scale;
                    }
                }
                None => {
                    for (p, d) in scores.iter_mut().zip(d_scores) {
                        *p = math::exp(SIMD, *p * scale - log_sum);
                        *d = (*d - sum) * *p * scale;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    /// Attention of one head in f64, straight from the formula.
    fn reference(q: &[f64], k: &[f64], v: &[f64], n: usize, d: usize, mask: &dyn Fn(usize, usize) -> f64) -> Vec<f64> {
        let mut out = vec![0.0; n * d];
        for i in 0..n {
            let scores: Vec<f64> = (0..n)
                .map(|j| ((0..d).map(|c| q[i * d + c] * k[j * d + c]).sum::<f64>() / (d as f64).sqrt()).exp())
                .collect();
            let sum: f64 = scores.iter().sum();
            for j in 0..n {
                for c in 0..d {
                    out[i * d + c] += scores[j] / sum * mask(i, j) * v[j * d + c];
                }
            }
        }
        out
    }

    #[test]
    fn forward_and_backward_equal_the_formula() {
        for (lengths, hidden, heads) in
            [(vec![1], 8, 2), (vec![5, 1, 17], 24, 2), (vec![33, 16, 2], 64, 2), (vec![512], 32, 1)]
        {
            let mut offsets = vec![0];
            for n in &lengths {
                offsets.push(offsets.last().unwrap() + n);
            }
            let tokens = *offsets.last().unwrap();
            let d = hidden / heads;
            let stream = Stream::new(3, 0, hidden as u64);
            let random = |n: usize, from: usize| -> Vec<f32> {
                (0..n).map(|i| 2.0 * stream.uniform((from + i) as u32) as f32 - 1.0).collect()
            };
            let qkv = random(tokens * 3 * hidden, 0);
            let weights = random(tokens * hidden, 1 << 24);
            let dropout = Dropout::new(Stream::new(9, 9, 9), 0.25);
            let mut shape = AttentionShape::new(hidden, heads);
            shape.set(&offsets);
            let mut context = vec![0.0; tokens * hidden];
            let mut log_sums = vec![0.0; shape.log_sums()];
            forward(&shape, &qkv, dropout, &mut context, Some(&mut log_sums));
            let mut d_qkv = vec![0.0; qkv.len()];
            let forward = Forward { qkv: &qkv, context: &context, log_sums: &log_sums, dropout };
            backward(&shape, forward, &weights, &mut d_qkv);

            // The loss is the output weighted with `weights`, summed; its slope is checked by central differences.
            for (s, &n) in lengths.iter().enumerate() {
                for head in 0..heads {
                    let column = |part: usize, c: usize| part * hidden + head * d + c;
                    let take = |part: usize| -> Vec<f64> {
                        (0..n * d)
                            .map(|i| f64::from(qkv[(offsets[s] + i / d) * 3 * hidden + column(part, i % d)]))
                            .collect()
                    };
                    let mut parts = [take(0), take(1), take(2)];
                    let first = shape.first_probability(s, head);
                    let mask = |i: usize, j: usize| f64::from(dropout.unwrap().factor(first + i * n + j));
                    let out = reference(&parts[0], &parts[1], &parts[2], n, d, &mask);
                    for i in 0..n * d {
                        let ours = f64::from(context[(offsets[s] + i / d) * hidden + head * d + i % d]);
                        assert!((ours - out[i]).abs() < 2e-6, "{lengths:?}: output off by {}", ours - out[i]);
                    }
                    let loss = |parts: &[Vec<f64>; 3]| -> f64 {
                        let out = reference(&parts[0], &parts[1], &parts[2], n, d, &mask);
                        (0..n * d)
                            .map(|i| out[i] * f64::from(weights[(offsets[s] + i / d) * hidden + head * d + i % d]))
                            .sum()
                    };
                    for part in 0..3 {
                        for i in (0..n * d).step_by((n * d / 4).max(1)) {
                            let exact = parts[part][i];
                            parts[part][i] = exact + 1e-4;
                            let up = loss(&parts);
                            parts[part][i] = exact - 1e-4;
                            let slope = (up - loss(&parts)) / 2e-4;
                            parts[part][i] = exact;
                            let ours = f64::from(d_qkv[(offsets[s] + i / d) * 3 * hidden + column(part, i % d)]);
                            assert!((ours - slope).abs() < 1e-5, "{lengths:?} part {part}: {ours}, slope {slope}");
                        }
                    }
                }
            }
        }
    }
}
