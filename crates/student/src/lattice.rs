//! All sequences of classes that the words of a sentence may have: the best one, and how likely a part of it is.
//!
//! A sequence scores the sum of its words' logits and of the [`Transitions`] between them; transitions that make no
//! well-formed tags score negative infinity. The exponential of a sequence's score, divided by the sum over all sequences,
//! is its probability: a linear chain, as a conditional random field has it (Lafferty, `McCallum` and Pereira 2001), whose
//! transitions score 0 where none were learnt. The time is linear in the words, and everything is summed as logarithms in `f64`, so neither
//! long documents nor extreme logits leave its range.

use std::ops::Range;

use apprentice_encoder::Transitions;

/// The sequence with the largest score (Viterbi, 1967); the first best wins. `logits` is `[words, classes]`.
pub(crate) fn best(transitions: &Transitions, logits: &[f32]) -> Vec<usize> {
    let n = transitions.classes();
    // In `f64`: the sums grow with the words, and differences must not be lost in them.
    let mut best: Vec<f64> = Vec::new();
    let mut came_from: Vec<usize> = Vec::with_capacity(logits.len());
    for row in logits.chunks_exact(n) {
        let scores = (0..n).map(|next| {
            let (from, score) = if best.is_empty() {
                (0, f64::from(transitions.start()[next]))
            } else {
                let after = |previous| f64::from(transitions.after(previous)[next]);
                let reaching = (0..n).map(|previous| (previous, best[previous] + after(previous)));
                reaching.fold((0, f64::NEG_INFINITY), |a, b| if b.1 > a.1 { b } else { a })
            };
            came_from.push(from);
            score + f64::from(row[next])
        });
        best = scores.collect();
    }
    best.iter_mut().zip(transitions.end()).for_each(|(score, end)| *score += f64::from(*end));
    let mut class = (0..n).fold(0, |a, b| if best.get(b) > best.get(a) { b } else { a });
    let mut classes: Vec<usize> = came_from
        .chunks_exact(n)
        .rev()
        .map(|from| {
            let this = class;
            class = from[this];
            this
        })
        .collect();
    classes.reverse();
    classes
}

/// The sums over all sequences that [`Transitions`] and logits make: by the forward-backward algorithm (Baum, Petrie,
/// Soules and Weiss 1970).
pub(crate) struct Lattice<'a> {
    transitions: &'a Transitions,
    logits: &'a [f32],
    /// Over what comes up to a word, if it has the class; its own logit included.
    forward: Vec<f64>,
    /// Over what comes behind the word.
    backward: Vec<f64>,
    total: f64,
}

impl<'a> Lattice<'a> {
    /// Of at least one word; `logits` is `[words, classes]`.
    pub fn new(transitions: &'a Transitions, logits: &'a [f32]) -> Self {
        let n = transitions.classes();
        let words = logits.len() / n;
        let mut lattice =
            Self { transitions, logits, forward: vec![0.0; words * n], backward: vec![0.0; words * n], total: 0.0 };
        for word in 0..words {
            for class in 0..n {
                lattice.forward[word * n + class] =
                    lattice.reaching(word, class, |_| true) + lattice.logit(word, class);
            }
        }
        for word in (0..words).rev() {
            for class in 0..n {
                lattice.backward[word * n + class] = lattice.leaving(word, class, |_| true);
            }
        }
        let last = &lattice.forward[(words - 1) * n..];
        lattice.total = log_sum_exp(last.iter().zip(transitions.end()).map(|(sum, end)| sum + f64::from(*end)));
        lattice
    }

    /// The probability that these words, at least one, belong together and to nothing else: each has a class that `within`
    /// takes, and of neighbouring words `joins` says by their classes whether the second goes on with the first, as it must
    /// inside, and must not at either border.
    pub fn probability(
        &self,
        words: Range<usize>,
        within: impl Fn(usize) -> bool,
        joins: impl Fn(usize, usize) -> bool + Copy,
    ) -> f64 {
        let classes: Vec<usize> = (0..self.transitions.classes()).filter(|&class| within(class)).collect();
        let first = |class| self.reaching(words.start, class, |from| !joins(from, class));
        let mut sums: Vec<f64> = classes.iter().map(|&class| first(class) + self.logit(words.start, class)).collect();
        for word in words.start + 1..words.end {
            let reaching = |class| {
                let from = classes.iter().zip(&sums).filter(move |(from, _)| joins(**from, class));
                log_sum_exp(from.map(move |(&from, sum)| sum + f64::from(self.transitions.after(from)[class])))
            };
            sums = classes.iter().map(|&class| reaching(class) + self.logit(word, class)).collect();
        }
        let whole = classes.iter().zip(&sums);
        let whole = whole.map(|(&class, sum)| sum + self.leaving(words.end - 1, class, |to| !joins(class, to)));
        (log_sum_exp(whole) - self.total).exp().min(1.0)
    }

    fn logit(&self, word: usize, class: usize) -> f64 {
        f64::from(self.logits[word * self.transitions.classes() + class])
    }

    /// The sum over what comes before a word of this class, from the previous classes that `before` takes.
    fn reaching(&self, word: usize, class: usize, before: impl Fn(usize) -> bool) -> f64 {
        let Some(previous) = word.checked_sub(1) else { return f64::from(self.transitions.start()[class]) };
        let n = self.transitions.classes();
        let from = (0..n).filter(|&from| before(from));
        log_sum_exp(from.map(|from| self.forward[previous * n + from] + f64::from(self.transitions.after(from)[class])))
    }

    /// The sum over what comes behind a word of this class, through the next classes that `behind` takes.
    fn leaving(&self, word: usize, class: usize, behind: impl Fn(usize) -> bool) -> f64 {
        let n = self.transitions.classes();
        let next = word + 1;
        if next * n == self.logits.len() {
            return f64::from(self.transitions.end()[class]);
        }
        log_sum_exp((0..n).filter(|&to| behind(to)).map(|to| {
            f64::from(self.transitions.after(class)[to]) + self.logit(next, to) + self.backward[next * n + to]
        }))
    }
}

/// `ln Σ exp(x)`; of nothing, negative infinity.
fn log_sum_exp(terms: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = terms.clone().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return largest;
    }
    largest + terms.map(|term| (term - largest).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use apprentice_encoder::{EncoderConfig, Network, NetworkOptions, PackedBatch, Parameters, Targets};

    use super::*;

    /// Where every class may follow every other, the best sequence has the best class of every word.
    #[test]
    fn long_texts_are_decoded_like_short_ones() {
        let transitions = Transitions::allowing(3, |_| true, |_, _| true);
        let mut state = 1_u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            7.0 + (state >> 8) as f32 / (1 << 24) as f32
        };
        let logits: Vec<f32> = (0..3 * 200_000).map(|_| random()).collect();
        let largest = |row: &[f32]| (0..3).fold(0, |a, b| if row[b] > row[a] { b } else { a });
        let expected: Vec<usize> = logits.chunks_exact(3).map(largest).collect();
        assert!(best(&transitions, &logits) == expected);
    }

    /// The encoder's loss of a CRF and the confidences speak of the same distribution.
    #[test]
    fn the_distribution_is_that_of_training() {
        let config = EncoderConfig {
            vocab_size: 9,
            hidden_size: 4,
            num_hidden_layers: 1,
            num_attention_heads: 1,
            intermediate_size: 4,
            pad_token_id: None,
            hidden_dropout_prob: 0.0,
            attention_probs_dropout_prob: 0.0,
            ..EncoderConfig::default()
        };
        let parameters = Parameters::initialised(&config, 3, 1).unwrap();
        let mut network = Network::new(config, parameters, &NetworkOptions::with_threads(Some(1))).unwrap();
        // O, B and I: I may not start, nor follow O.
        network.add_crf(Transitions::allowing(3, |first| first < 2, |from, to| to < 2 || from > 0)).unwrap();
        let values: Vec<f32> = (0..network.parameters().values().len()).map(|i| (i as f32 * 1.3).sin()).collect();
        network.set_parameters(&values).unwrap();
        let mut batch = PackedBatch::default();
        batch.push(&[1, 2, 3, 4, 5]);
        let (rows, classes) = ([0, 1, 2, 3, 4], [0, 1, 2, 2, 0]);
        let logits = network.logits(&batch, &rows).unwrap().to_vec();
        let targets = Targets { sequences: Some(&[5]), ..Targets::new(&rows, &classes) };
        let loss = network.accumulate(&batch, &targets).unwrap();
        let transitions = network.transitions().unwrap();
        let lattice = Lattice::new(&transitions, &logits);
        let mut score = f64::from(transitions.start()[0] + transitions.end()[0]);
        for (word, &class) in classes.iter().enumerate() {
            score += f64::from(logits[word * 3 + class as usize]);
        }
        for pair in classes.windows(2) {
            score += f64::from(transitions.after(pair[0] as usize)[pair[1] as usize]);
        }
        assert!((loss - (lattice.total - score)).abs() < 1e-5, "{loss}, expected {}", lattice.total - score);
    }
}
