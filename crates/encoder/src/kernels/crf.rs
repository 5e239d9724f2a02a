//! The loss of a linear-chain conditional random field, by forward-backward in f64.
//!
//! Lafferty, `McCallum` and Pereira, "Conditional Random Fields", 2001; over a neural network's logits: Lample et al.,
//! "Neural Architectures for Named Entity Recognition", 2016, arXiv 1603.01360. A sequence of classes has the
//! probability `exp(score) / Z`, where its score is the sum of its logits and of the chain's scores, and `Z` the sum of
//! `exp(score)` over all sequences that are not forbidden.
//!
//! Vectors of a position are logarithms; the chain's exponentials are made once, so that a word costs `3 C²`
//! multiplications and `5 C` exponentials. What is less than `e^-700` of the best of its position is lost; where that makes
//! the loss wrong, it is NaN. One thread does it all: that is little beside an encoder's `12 H²` multiplications per token
//! and layer.

use crate::Transitions;

/// The labelled rows as sequences.
pub(crate) struct Sequences<'a> {
    /// Where each ends; the next one begins there. None passes a forbidden transition.
    pub ends: &'a [usize],
    /// The class of each row.
    pub classes: &'a [u32],
    /// The weight of each row, 1 if absent. A sequence counts with the mean weight of its rows.
    pub weights: Option<&'a [f32]>,
}

/// The sum of `-weight log probability` over all sequences; `logits` `[R, C]` become the gradient of that times `scale`,
/// and the gradients of the chain's scores are added to `d_chain`, in the order of the parameters.
pub(crate) fn crf_loss(
    logits: &mut [f32],
    sequences: &Sequences<'_>,
    scale: f32,
    chain: &Transitions,
    d_chain: &mut [f32],
) -> f64 {
    let Sequences { ends, classes, weights } = *sequences;
    let width = chain.classes();
    let mut pass = ForwardBackward::new(chain);
    let (mut loss, mut start) = (0.0, 0);
    for &end in ends {
        let rows = std::mem::replace(&mut start, end)..end;
        if rows.is_empty() {
            continue;
        }
        let weight = weights.map_or(1.0, |weights| mean(&weights[rows.clone()]));
        let logits = &mut logits[rows.start * width..rows.end * width];
        loss += weight * pass.sequence(logits, &classes[rows], weight * f64::from(scale));
    }
    pass.add_gradient(d_chain);
    loss
}

fn mean(weights: &[f32]) -> f64 {
    weights.iter().map(|weight| f64::from(*weight)).sum::<f64>() / weights.len() as f64
}

/// The chain with its exponentials, what is computed of one sequence, and what all have added to the gradient.
struct ForwardBackward<'a> {
    chain: &'a Transitions,
    /// `exp(score of next after previous - shift)`, `[C, C]`
    factors: Vec<f64>,
    /// The largest score of a transition.
    shift: f64,
    /// Of each row and class, the logarithm of the sum over all ways to it, its own logit included, `[R, C]`.
    forward: Vec<f64>,
    /// Of each class of the row at hand, the logarithm of the sum over all ways from it, its own logit excluded.
    backward: Vec<f64>,
    /// The exponentials of the row before, and of the row at hand with all that follows, each less its largest.
    before: Vec<f64>,
    behind: Vec<f64>,
    /// Expected transitions, less their factors, `[C, C]`.
    pairs: Vec<f64>,
    /// The rest of the gradient, in the order of the parameters: observed transitions; starts and ends whole.
    gradient: Vec<f64>,
}

impl<'a> ForwardBackward<'a> {
    fn new(chain: &'a Transitions) -> Self {
        let classes = chain.classes();
        let scores = || (0..classes).flat_map(|previous| chain.after(previous)).map(|score| f64::from(*score));
        let largest = scores().fold(f64::NEG_INFINITY, f64::max);
        let shift = if largest.is_finite() { largest } else { 0.0 };
        Self {
            chain,
            factors: scores().map(|score| (score - shift).exp()).collect(),
            shift,
            forward: Vec::new(),
            backward: vec![0.0; classes],
            before: vec![0.0; classes],
            behind: vec![0.0; classes],
            pairs: vec![0.0; classes * classes],
            gradient: vec![0.0; Transitions::numbers(classes)],
        }
    }

    /// `-log probability` of a sequence, whose logits become the gradient of that times `scale`.
    fn sequence(&mut self, logits: &mut [f32], classes: &[u32], scale: f64) -> f64 {
        let score = self.observe(logits, classes, scale);
        let log_sum = self.go_forward(logits);
        self.go_back(logits, classes, log_sum, scale);
        // Start and end are added to the first and the last logits, and have their gradients.
        let width = self.chain.classes();
        let ends = logits[..width].iter().chain(&logits[logits.len() - width..]);
        for (sum, d) in self.gradient[width * width..].iter_mut().zip(ends) {
            *sum += f64::from(*d);
        }
        // A sum that is less than one of its parts has lost it: scores so far apart are those of a run that diverged.
        if score > log_sum + 1e-6 * score.abs().max(1.0) { f64::NAN } else { log_sum - score }
    }

    /// The score of the sequence; its transitions are taken from the gradient.
    fn observe(&mut self, logits: &[f32], classes: &[u32], scale: f64) -> f64 {
        let width = self.chain.classes();
        let (mut score, mut scores) = (0.0, self.chain.start());
        for (row, &class) in logits.chunks_exact(width).zip(classes) {
            score += f64::from(scores[class as usize]) + f64::from(row[class as usize]);
            scores = self.chain.after(class as usize);
        }
        for (&previous, &next) in classes.iter().zip(&classes[1..]) {
            self.gradient[previous as usize * width + next as usize] -= scale;
        }
        score + f64::from(self.chain.end()[classes[classes.len() - 1] as usize])
    }

    /// Fills `forward`, and gives the logarithm of the sum over all sequences.
    fn go_forward(&mut self, logits: &[f32]) -> f64 {
        let width = self.chain.classes();
        self.forward.clear();
        for row in logits.chunks_exact(width) {
            let at = self.forward.len();
            if at == 0 {
                let first =
                    self.chain.start().iter().zip(row).map(|(start, logit)| f64::from(*start) + f64::from(*logit));
                self.forward.extend(first);
                continue;
            }
            self.before.copy_from_slice(&self.forward[at - width..]);
            let largest = exp_less_largest(&mut self.before);
            self.forward.resize(at + width, 0.0);
            let sums = &mut self.forward[at..];
            for (before, factors) in self.before.iter().zip(self.factors.chunks_exact(width)) {
                for (sum, factor) in sums.iter_mut().zip(factors) {
                    *sum += before * factor;
                }
            }
            for (sum, logit) in sums.iter_mut().zip(row) {
                *sum = sum.ln() + largest + self.shift + f64::from(*logit);
            }
        }
        let last = &self.forward[self.forward.len() - width..];
        for ((behind, forward), end) in self.behind.iter_mut().zip(last).zip(self.chain.end()) {
            *behind = forward + f64::from(*end);
        }
        let largest = exp_less_largest(&mut self.behind);
        self.behind.iter().sum::<f64>().ln() + largest
    }

    /// Goes back over the rows, whose logits become their gradient: marginal less observed probability.
    fn go_back(&mut self, logits: &mut [f32], classes: &[u32], log_sum: f64, scale: f64) {
        let width = self.chain.classes();
        for (backward, end) in self.backward.iter_mut().zip(self.chain.end()) {
            *backward = f64::from(*end);
        }
        let rows = logits.chunks_exact_mut(width).zip(classes).enumerate().rev();
        for (index, (row, &class)) in rows {
            let forward = &self.forward[index * width..][..width];
            for (c, logit) in row.iter_mut().enumerate() {
                self.behind[c] = self.backward[c] + f64::from(*logit);
                let marginal = (forward[c] + self.backward[c] - log_sum).exp();
                let observed = if c == class as usize { 1.0 } else { 0.0 };
                *logit = (scale * (marginal - observed)) as f32;
            }
            if index > 0 {
                self.before.copy_from_slice(&self.forward[(index - 1) * width..][..width]);
                self.step_back(log_sum, scale);
            }
        }
    }

    /// From the logarithms in `before` and `behind`: adds the expected transitions between them, and `backward` becomes
    /// that of the row before.
    fn step_back(&mut self, log_sum: f64, scale: f64) {
        let width = self.chain.classes();
        let shift = exp_less_largest(&mut self.behind) + self.shift;
        let unit = scale * (exp_less_largest(&mut self.before) + shift - log_sum).exp();
        let table = self.factors.chunks_exact(width).zip(self.pairs.chunks_exact_mut(width));
        for ((factors, pairs), (before, backward)) in table.zip(self.before.iter().zip(&mut self.backward)) {
            let mut sum = 0.0;
            for ((pair, factor), behind) in pairs.iter_mut().zip(factors).zip(&self.behind) {
                *pair += unit * before * behind;
                sum += factor * behind;
            }
            *backward = sum.ln() + shift;
        }
    }

    /// Adds what all sequences came to.
    fn add_gradient(&self, d_chain: &mut [f32]) {
        let expected = self.pairs.iter().zip(&self.factors).map(|(pair, factor)| pair * factor);
        let expected = expected.chain(std::iter::repeat(0.0));
        for ((d, gradient), expected) in d_chain.iter_mut().zip(&self.gradient).zip(expected) {
            *d += (gradient + expected) as f32;
        }
    }
}

/// Logarithms become their exponentials, each divided by the largest, whose logarithm is returned.
fn exp_less_largest(logarithms: &mut [f64]) -> f64 {
    let largest = logarithms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    for value in logarithms {
        *value = (*value - largest).exp();
    }
    largest
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::{Sequences, crf_loss};
    use crate::Transitions;

    /// Of classes `O B-X I-X B-Y I-Y`.
    fn iob2() -> Transitions {
        let inside = |class: usize| class > 0 && class.is_multiple_of(2);
        Transitions::allowing(
            5,
            |first| !inside(first),
            |previous, next| !inside(next) || previous == next || previous + 1 == next,
        )
    }

    /// The chain's scores as they lie in the parameters.
    fn flat(chain: &Transitions) -> Vec<f32> {
        let between = (0..chain.classes()).flat_map(|previous| chain.after(previous));
        between.chain(chain.start()).chain(chain.end()).copied().collect()
    }

    /// Numbers from -3 to 3 that repeat after long.
    fn numbers(seed: usize, count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7 + seed * 13) as f32 * 1.7).sin() * 3.0).collect()
    }

    /// The score of every sequence, forbidden ones too.
    fn scores(logits: &[f64], chain: &[f64], classes: usize) -> Vec<(Vec<usize>, f64)> {
        let words = logits.len() / classes;
        let path = |code: usize| (0..words).map(|w| code / classes.pow(w as u32) % classes).collect::<Vec<_>>();
        let (between, rest) = chain.split_at(classes * classes);
        let score = |path: &[usize]| {
            let rows: f64 = path.iter().enumerate().map(|(w, c)| logits[w * classes + c]).sum();
            let pairs: f64 = path.windows(2).map(|pair| between[pair[0] * classes + pair[1]]).sum();
            rows + pairs + rest[path[0]] + rest[classes + path[words - 1]]
        };
        (0..classes.pow(words as u32)).map(path).map(|path| (path.clone(), score(&path))).collect()
    }

    /// `-log probability` of a sequence by listing them all.
    fn listed(logits: &[f64], chain: &[f64], gold: &[u32]) -> f64 {
        let all = scores(logits, chain, iob2().classes());
        let gold: Vec<usize> = gold.iter().map(|c| *c as usize).collect();
        let score = all.iter().find(|(path, _)| *path == gold).unwrap().1;
        all.iter().map(|(_, other)| (other - score).exp()).sum::<f64>().ln()
    }

    fn wide(values: &[f32]) -> Vec<f64> {
        values.iter().map(|v| f64::from(*v)).collect()
    }

    #[test]
    fn loss_and_gradients_are_those_of_all_sequences_listed() {
        let golds: [&[u32]; 5] = [&[3], &[0, 1], &[1, 2, 2], &[0, 3, 4, 1], &[3, 3, 4, 0]];
        for (seed, gold) in golds.into_iter().enumerate() {
            let chain = iob2().with(&numbers(seed + 50, 35));
            let mut logits = numbers(seed, gold.len() * 5);
            let (exact_logits, exact_chain) = (wide(&logits), wide(&flat(&chain)));
            let mut d_chain = vec![0.0; 35];
            let sequences = Sequences { ends: &[gold.len()], classes: gold, weights: None };
            let loss = crf_loss(&mut logits, &sequences, 0.5, &chain, &mut d_chain);
            let exact = listed(&exact_logits, &exact_chain, gold);
            assert!((loss - exact).abs() < 1e-12, "{loss}, listed {exact}");
            let slope = |at: &dyn Fn(f64) -> f64| (at(1e-5) - at(-1e-5)) / 2e-5 * 0.5;
            let moved = |values: &[f64], i: usize, change: f64| {
                let mut values = values.to_vec();
                values[i] += change;
                values
            };
            for (i, ours) in logits.iter().enumerate() {
                let exact = slope(&|change| listed(&moved(&exact_logits, i, change), &exact_chain, gold));
                assert!((f64::from(*ours) - exact).abs() < 1e-7, "logit {i}: {ours}, by differences {exact}");
            }
            for (i, ours) in d_chain.iter().enumerate() {
                let exact = slope(&|change| listed(&exact_logits, &moved(&exact_chain, i, change), gold));
                assert!((f64::from(*ours) - exact).abs() < 1e-7, "score {i}: {ours}, by differences {exact}");
            }
        }
    }

    #[derive(Deserialize)]
    struct Fixture {
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        lengths: Vec<usize>,
        classes: Vec<u32>,
        weights: Vec<f32>,
        logits: Vec<f32>,
        chain: Vec<f32>,
        loss: f64,
        d_logits: Vec<f64>,
        d_chain: Vec<f64>,
    }

    fn largest_difference(ours: &[f32], theirs: &[f64]) -> f64 {
        assert_eq!(ours.len(), theirs.len());
        ours.iter().zip(theirs).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn loss_and_gradients_are_those_of_pytorch() {
        let Fixture { cases } = serde_json::from_str(include_str!("../../tests/fixtures/crf.json")).unwrap();
        assert_eq!(cases.len(), 3);
        for Case { lengths, classes, weights, mut logits, chain, loss, d_logits, d_chain } in cases {
            let ends: Vec<usize> = (1..=lengths.len()).map(|count| lengths[..count].iter().sum()).collect();
            let sequences = Sequences { ends: &ends, classes: &classes, weights: Some(&weights) };
            let mut gradient = vec![0.0; chain.len()];
            let ours = crf_loss(&mut logits, &sequences, 1.0, &iob2().with(&chain), &mut gradient);
            assert!((ours - loss).abs() < 1e-12 * (1.0 + loss), "{ours}, PyTorch {loss}");
            assert!(largest_difference(&logits, &d_logits) < 1e-7);
            assert!(largest_difference(&gradient, &d_chain) < 1e-7);
        }
    }

    #[test]
    fn long_sequences_and_large_scores_stay_finite() {
        let (rows, chain) = (3000, iob2().with(&[30.0; 35]));
        let mut logits: Vec<f32> = numbers(1, rows * 5).iter().map(|v| v * 60.0).collect();
        let mut d_chain = vec![0.0; 35];
        let sequences = Sequences { ends: &[0, 0, rows, rows], classes: &vec![0; rows], weights: None };
        let loss = crf_loss(&mut logits, &sequences, 1.0, &chain, &mut d_chain);
        assert!(loss.is_finite() && loss > 0.0, "{loss}");
        assert!(logits.iter().chain(&d_chain).all(|d| d.is_finite()));
        // Every row has one class, and every two neighbours one transition, observed as well as expected.
        assert!(logits.chunks_exact(5).all(|row| row.iter().sum::<f32>().abs() < 1e-6));
        assert!(d_chain[..25].iter().sum::<f32>().abs() < 1e-2 && d_chain[25..30].iter().sum::<f32>().abs() < 1e-6);
        let mut nan = vec![f32::NAN, 0.0, 0.0, 0.0, 0.0];
        let sequences = Sequences { ends: &[1], classes: &[0], weights: None };
        assert!(crf_loss(&mut nan, &sequences, 1.0, &chain, &mut d_chain).is_nan());
    }
}
