//! All sequences of classes that the words of a sentence may have: the best one.
//!
//! A sequence scores the sum of its words' logits and of the [`Transitions`] between them.

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
