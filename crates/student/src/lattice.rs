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
    let mut best: Vec<f32> = Vec::new();
    let mut came_from: Vec<usize> = Vec::with_capacity(logits.len());
    for row in logits.chunks_exact(n) {
        let scores = (0..n).map(|next| {
            let (from, score) = if best.is_empty() {
                (0, transitions.start()[next])
            } else {
                let reaching = (0..n).map(|previous| (previous, best[previous] + transitions.after(previous)[next]));
                reaching.fold((0, f32::NEG_INFINITY), |a, b| if b.1 > a.1 { b } else { a })
            };
            came_from.push(from);
            score + row[next]
        });
        best = scores.collect();
    }
    best.iter_mut().zip(transitions.end()).for_each(|(score, end)| *score += end);
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

/// The sums over all sequences that [`Transitions`] and logits make: by the forward-backward algorithm (Baum, Petrie, Soules and
/// Weiss 1970).
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
