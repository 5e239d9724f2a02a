//! Multi-head self-attention over packed sequences (Vaswani et al., "Attention Is All You Need", 2017):
//! `softmax(Q Kᵀ / sqrt(D)) V` per sequence and head, with dropout on the probabilities.
//!
//! Sequences are tasks of their own, and nothing is computed between two of them. Per head the operands are small, so
//! they are copied into scratch with rows padded to whole vectors, where plain register-blocked loops do best.

use std::cell::RefCell;

use super::{math, multiversion};
use crate::random::Dropout;

/// Columns of one register block: a whole number of vectors for every instruction set.
const LANES: usize = 16;

/// How the packed rows divide into sequences and heads.
#[derive(Debug, Clone)]
pub(crate) struct AttentionShape {
    /// Hidden size, `H`.
    hidden: usize,
    /// Heads, `A`.
    heads: usize,
    /// Where each sequence's rows begin; one more entry than sequences.
    offsets: Vec<usize>,
    /// Where each sequence's probabilities begin: `A` matrices of `n` rows of `n` rounded up to whole blocks.
    probability_offsets: Vec<usize>,
}

impl AttentionShape {
    pub(crate) fn new(hidden: usize, heads: usize) -> Self {
        Self { hidden, heads, offsets: Vec::new(), probability_offsets: Vec::new() }
    }

    /// Takes over the sequences of the next batch. Probabilities get places only if they are to be `kept`.
    pub(crate) fn set(&mut self, offsets: &[usize], kept: bool) {
        self.offsets.clear();
        self.offsets.extend_from_slice(offsets);
        self.probability_offsets.clear();
        self.probability_offsets.push(0);
        let mut end = 0;
        for bounds in offsets.windows(2) {
            let n = bounds[1] - bounds[0];
            end += if kept { self.heads * n * padded(n) } else { 0 };
            self.probability_offsets.push(end);
        }
    }

    /// How many probabilities the batch has.
    pub(crate) fn probabilities(&self) -> usize {
        self.probability_offsets.last().copied().unwrap_or(0)
    }
}

fn padded(n: usize) -> usize {
    n.next_multiple_of(LANES)
}

/// The output `[T, H]` of all heads, from `qkv` `[T, 3H]`; `probabilities` before dropout are kept where the shape has
/// places for them.
pub(crate) fn forward(
    shape: &AttentionShape,
    qkv: &[f32],
    dropout: Option<Dropout>,
    context: &mut [f32],
    probabilities: &mut [f32],
) {
    let h = shape.hidden;
    for_each_sequence(shape, h, context, probabilities, &|sequence, context: &mut [f32], kept: &mut [f32]| {
        let rows = shape.offsets[sequence]..shape.offsets[sequence + 1];
        let first = shape.probability_offsets[sequence];
        let qkv = &qkv[rows.start * 3 * h..rows.end * 3 * h];
        with_scratch(|scratch| forward_sequence(shape, qkv, dropout, first, context, kept, scratch));
    });
}

/// The gradient `d_qkv` `[T, 3H]` from `d_context` `[T, H]` and what the forward pass kept.
pub(crate) fn backward(
    shape: &AttentionShape,
    qkv: &[f32],
    probabilities: &[f32],
    dropout: Option<Dropout>,
    d_context: &[f32],
    d_qkv: &mut [f32],
) {
    let h = shape.hidden;
    // The probabilities are only read here: the second slice that the walk splits stays empty.
    let nothing_to_split = AttentionShape { probability_offsets: vec![0; shape.offsets.len()], ..shape.clone() };
    for_each_sequence(&nothing_to_split, 3 * h, d_qkv, &mut [], &|sequence, d_qkv: &mut [f32], _: &mut [f32]| {
        let rows = shape.offsets[sequence]..shape.offsets[sequence + 1];
        let kept = shape.probability_offsets[sequence]..shape.probability_offsets[sequence + 1];
        let operands = Backward {
            qkv: &qkv[rows.start * 3 * h..rows.end * 3 * h],
            probabilities: &probabilities[kept.clone()],
            d_context: &d_context[rows.start * h..rows.end * h],
            dropout,
            first: kept.start,
        };
        with_scratch(|scratch| backward_sequence(shape, operands, d_qkv, scratch));
    });
}

/// What the backward pass of one sequence reads.
#[derive(Clone, Copy)]
struct Backward<'a> {
    qkv: &'a [f32],
    probabilities: &'a [f32],
    d_context: &'a [f32],
    dropout: Option<Dropout>,
    /// The number of this sequence's first probability, as dropout counts them.
    first: usize,
}

/// Runs `task(sequence, rows, probabilities)` for every sequence, in parallel, each with its part of the two slices.
fn for_each_sequence(
    shape: &AttentionShape,
    width: usize,
    rows: &mut [f32],
    probabilities: &mut [f32],
    task: &(impl Fn(usize, &mut [f32], &mut [f32]) + Sync),
) {
    fn walk(
        shape: &AttentionShape,
        sequences: std::ops::Range<usize>,
        width: usize,
        rows: &mut [f32],
        probabilities: &mut [f32],
        task: &(impl Fn(usize, &mut [f32], &mut [f32]) + Sync),
    ) {
        if sequences.len() == 1 {
            task(sequences.start, rows, probabilities);
            return;
        }
        let middle = sequences.start + sequences.len() / 2;
        let within = |offsets: &[usize]| offsets[middle] - offsets[sequences.start];
        let (rows_a, rows_b) = rows.split_at_mut(within(&shape.offsets) * width);
        let (kept_a, kept_b) = probabilities.split_at_mut(within(&shape.probability_offsets));
        rayon::join(
            || walk(shape, sequences.start..middle, width, rows_a, kept_a, task),
            || walk(shape, middle..sequences.end, width, rows_b, kept_b, task),
        );
    }
    walk(shape, 0..shape.offsets.len() - 1, width, rows, probabilities, task);
}

/// Runs `task` with this thread's scratch, which grows to the longest sequence and stays.
fn with_scratch<R>(task: impl FnOnce(&mut Vec<f32>) -> R) -> R {
    thread_local! {
        static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    }
    SCRATCH.with_borrow_mut(task)
}

/// Cuts `N` pieces of the given sizes off the scratch.
fn pieces<const N: usize>(scratch: &mut Vec<f32>, sizes: [usize; N]) -> [&mut [f32]; N] {
    let total = sizes.iter().sum();
    if scratch.len() < total {
        scratch.resize(total, 0.0);
    }
    let mut rest = scratch.as_mut_slice();
    sizes.map(|size| rest.split_off_mut(..size).expect("the scratch was made as long as its pieces: this is a bug"))
}

multiversion! {
    fn forward_sequence(
        shape: &AttentionShape,
        qkv: &[f32],
        dropout: Option<Dropout>,
        first: usize,
        context: &mut [f32],
        kept: &mut [f32],
        scratch: &mut Vec<f32>,
    ) {
        let (h, d) = (shape.hidden, shape.hidden / shape.heads);
        let n = context.len() / h;
        let (np, dp) = (padded(n), padded(d));
        let [k_t, v, scores, dropped, out] = pieces(scratch, [d * np, n * dp, n * np, n * np, n * dp]);
        for head in 0..shape.heads {
            let (q_at, k_at, v_at) = (head * d, h + head * d, 2 * h + head * d);
            pack_transposed(qkv, 3 * h, k_at, d, k_t);
            pack(qkv, 3 * h, v_at, d, v);
            let scores = if kept.is_empty() { &mut *scores } else { &mut kept[head * n * np..(head + 1) * n * np] };
            product(fma, n, d, (&qkv[q_at..], 3 * h, 1), k_t, np, scores);
            softmax(scores, n, np, 1.0 / (d as f32).sqrt());
            let probabilities = match dropout {
                None => &*scores,
                Some(dropout) => {
                    let first = first + head * n * np;
                    for (i, (to, p)) in dropped.iter_mut().zip(scores.iter()).enumerate() {
                        *to = p * dropout.factor(first + i);
                    }
                    &*dropped
                }
            };
            product(fma, n, n, (probabilities, np, 1), v, dp, out);
            unpack(out, context, h, head * d, d);
        }
    }
}

multiversion! {
    fn backward_sequence(shape: &AttentionShape, operands: Backward<'_>, d_qkv: &mut [f32], scratch: &mut Vec<f32>) {
        let Backward { qkv, probabilities, d_context, dropout, first } = operands;
        let (h, d) = (shape.hidden, shape.hidden / shape.heads);
        let n = d_context.len() / h;
        let (np, dp) = (padded(n), padded(d));
        let scale = 1.0 / (d as f32).sqrt();
        let [v_t, small, d_scores, dropped, out] = pieces(scratch, [d * np, n * dp, n * np, n * np, n * dp]);
        for head in 0..shape.heads {
            let (q_at, k_at, v_at) = (head * d, h + head * d, 2 * h + head * d);
            let p = &probabilities[head * n * np..(head + 1) * n * np];
            pack_transposed(qkv, 3 * h, v_at, d, v_t);
            product(fma, n, d, (&d_context[head * d..], h, 1), v_t, np, d_scores);
            // Through dropout: both the probabilities that were used and their gradient carry the mask.
            if let Some(dropout) = dropout {
                let first = first + head * n * np;
                for (i, ((to, p), d)) in dropped.iter_mut().zip(p).zip(d_scores.iter_mut()).enumerate() {
                    let factor = dropout.factor(first + i);
                    *to = p * factor;
                    *d *= factor;
                }
            } else {
                dropped.copy_from_slice(p);
            }
            pack(d_context, h, head * d, d, small);
            product(fma, n, n, (dropped, 1, np), small, dp, out);
            unpack(out, d_qkv, 3 * h, v_at, d);
            // Through softmax: dS = P (dP - sum(dP P)), and the scale of the scores.
            for (d_row, p_row) in d_scores.chunks_exact_mut(np).zip(p.chunks_exact(np)) {
                let mut lanes = [0.0; LANES];
                for (d, p) in d_row.as_chunks::<LANES>().0.iter().zip(p_row.as_chunks::<LANES>().0) {
                    for ((lane, d), p) in lanes.iter_mut().zip(d).zip(p) {
                        *lane = fma(*d, *p, *lane);
                    }
                }
                let sum: f32 = lanes.iter().sum();
                for (d, p) in d_row.iter_mut().zip(p_row) {
                    *d = (*d - sum) * p * scale;
                }
            }
            pack(qkv, 3 * h, k_at, d, small);
            product(fma, n, n, (d_scores, np, 1), small, dp, out);
            unpack(out, d_qkv, 3 * h, q_at, d);
            pack(qkv, 3 * h, q_at, d, small);
            product(fma, n, n, (d_scores, 1, np), small, dp, out);
            unpack(out, d_qkv, 3 * h, k_at, d);
        }
    }
}

/// Copies columns `at..at + d` of the rows of `from` into rows padded with zeros to whole blocks.
#[inline(always)]
fn pack(from: &[f32], stride: usize, at: usize, d: usize, to: &mut [f32]) {
    for (from, to) in from.chunks_exact(stride).zip(to.chunks_exact_mut(padded(d))) {
        to[..d].copy_from_slice(&from[at..at + d]);
        to[d..].fill(0.0);
    }
}

/// Copies columns `at..at + d` of the rows of `from` into `d` rows, padded with zeros to whole blocks.
#[inline(always)]
fn pack_transposed(from: &[f32], stride: usize, at: usize, d: usize, to: &mut [f32]) {
    let n = from.len() / stride;
    for (column, to) in to.chunks_exact_mut(padded(n)).take(d).enumerate() {
        for (to, from) in to.iter_mut().zip(from.chunks_exact(stride)) {
            *to = from[at + column];
        }
        to[n..].fill(0.0);
    }
}

/// Copies padded rows back into columns `at..at + d` of the rows of `to`.
#[inline(always)]
fn unpack(from: &[f32], to: &mut [f32], stride: usize, at: usize, d: usize) {
    for (from, to) in from.chunks_exact(padded(d)).zip(to.chunks_exact_mut(stride)) {
        to[at..at + d].copy_from_slice(&from[..d]);
    }
}

/// Softmax of each row of `scores` times `scale` over its first `n` columns; the padding becomes 0.
#[inline(always)]
fn softmax(scores: &mut [f32], n: usize, np: usize, scale: f32) {
    for row in scores.chunks_exact_mut(np) {
        row[n..].fill(f32::NEG_INFINITY);
        let (blocks, _) = row.as_chunks_mut::<LANES>();
        let mut largest = [f32::NEG_INFINITY; LANES];
        for block in blocks.iter() {
            for (l, v) in largest.iter_mut().zip(block) {
                *l = if *v > *l { *v } else { *l };
            }
        }
        let largest = largest.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut sums = [0.0; LANES];
        for block in blocks.iter_mut() {
            for (s, v) in sums.iter_mut().zip(block) {
                *v = math::exp((*v - largest) * scale);
                *s += *v;
            }
        }
        // The padding held e^-87, too little to count in the sum; what is kept of it must be exactly 0.
        let inverse = 1.0 / sums.iter().sum::<f32>();
        for v in row.iter_mut() {
            *v *= inverse;
        }
        row[n..].fill(0.0);
    }
}

/// `to = a b` with `a` `[m, k]` given as (values, row stride, column stride), `b` `[k, width]` and `to` `[m, width]`
/// row-major, `width` a whole number of blocks.
#[inline(always)]
fn product(
    fma: impl Fn(f32, f32, f32) -> f32 + Copy,
    m: usize,
    k: usize,
    a: (&[f32], usize, usize),
    b: &[f32],
    width: usize,
    to: &mut [f32],
) {
    let mut row = 0;
    while row + 4 <= m {
        product_rows::<4>(fma, row, k, a, b, width, to);
        row += 4;
    }
    while row < m {
        product_rows::<1>(fma, row, k, a, b, width, to);
        row += 1;
    }
}

#[inline(always)]
fn product_rows<const ROWS: usize>(
    fma: impl Fn(f32, f32, f32) -> f32 + Copy,
    row: usize,
    k: usize,
    (a, row_stride, column_stride): (&[f32], usize, usize),
    b: &[f32],
    width: usize,
    to: &mut [f32],
) {
    for left in (0..width).step_by(LANES) {
        let mut sums = [[0.0; LANES]; ROWS];
        for l in 0..k {
            let b = &b[l * width + left..][..LANES];
            for (r, sums) in sums.iter_mut().enumerate() {
                let factor = a[(row + r) * row_stride + l * column_stride];
                for (s, b) in sums.iter_mut().zip(b) {
                    *s = fma(factor, *b, *s);
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            to[(row + r) * width + left..][..LANES].copy_from_slice(sums);
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
            shape.set(&offsets, true);
            let mut context = vec![0.0; tokens * hidden];
            let mut kept = vec![0.0; shape.probabilities()];
            forward(&shape, &qkv, dropout, &mut context, &mut kept);
            let mut d_qkv = vec![0.0; qkv.len()];
            backward(&shape, &qkv, &kept, dropout, &weights, &mut d_qkv);

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
                    let first = shape.probability_offsets[s] + head * n * padded(n);
                    let mask = |i: usize, j: usize| f64::from(dropout.unwrap().factor(first + i * padded(n) + j));
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
