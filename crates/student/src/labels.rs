//! The classes of the head, and how logits become well-formed tags.

use std::{collections::BTreeSet, sync::Arc};

use apprentice_core::{Entity, Scheme, Sentence, Tag, tags};

/// The tags that the head tells apart, by class.
///
/// ```
/// use apprentice_student::labels::Labels;
/// let labels = Labels::iob2(["PER", "LOC"]);
/// assert_eq!(labels.names().collect::<Vec<_>>(), ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]);
/// // Alone, `I-PER` would win at the second word; after `O` it may not stand.
/// let logits = [3.0, 0.0, 0.0, 0.0, 1.0, /* second word */ 0.0, 0.0, 0.0, 2.0, 3.0];
/// assert_eq!(labels.decode(&logits), [0, 3]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    tags: Vec<Tag>,
    /// `allowed[previous * classes + next]`
    allowed: Vec<bool>,
    /// Whether a sentence may start with the class.
    may_start: Vec<bool>,
}

impl Labels {
    /// `O`, then `B-` and `I-` of each type in alphabetical order.
    #[must_use]
    pub fn iob2<S: Into<Arc<str>>>(types: impl IntoIterator<Item = S>) -> Self {
        let types: BTreeSet<Arc<str>> = types.into_iter().map(Into::into).collect();
        let pairs = types.into_iter().flat_map(|t| [Tag::Begin(t.clone()), Tag::Inside(t)]);
        Self::from_tags(std::iter::once(Tag::Outside).chain(pairs).collect())
    }

    /// The classes of a model made elsewhere.
    ///
    /// Where a type has a `B-` class its `I-` may only follow a `B-` or `I-` of the same type; a type that has only
    /// `I-` may start with it.
    #[must_use]
    pub fn from_tags(tags: Vec<Tag>) -> Self {
        let starts = |tag: &Tag| match tag {
            Tag::Inside(label) => !tags.contains(&Tag::Begin(label.clone())),
            _ => true,
        };
        let may_start: Vec<bool> = tags.iter().map(starts).collect();
        let allowed = tags
            .iter()
            .flat_map(|previous| {
                tags.iter().zip(&may_start).map(|(next, &starts)| {
                    starts || matches!(next, Tag::Inside(label) if previous.label() == Some(label))
                })
            })
            .collect();
        Self { tags, allowed, may_start }
    }

    /// The number of classes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is always `O`")]
    pub fn len(&self) -> usize {
        self.tags.len()
    }

    /// The class of words outside of entities.
    #[must_use]
    pub(crate) fn outside(&self) -> usize {
        self.tags.iter().position(|tag| *tag == Tag::Outside).unwrap_or_default()
    }

    /// The classes' names, such as `B-PER`.
    pub fn names(&self) -> impl ExactSizeIterator<Item = String> {
        self.tags.iter().map(ToString::to_string)
    }

    /// The entity types.
    #[must_use]
    pub fn types(&self) -> BTreeSet<&Arc<str>> {
        self.tags.iter().filter_map(Tag::label).collect()
    }

    /// The class of each word, or the first entity type that has no class.
    ///
    /// # Errors
    /// The type.
    pub fn classes_of(&self, sentence: &Sentence) -> Result<Vec<u32>, Arc<str>> {
        tags::encode(sentence.entities(), sentence.tokens().len(), Scheme::Iob2)
            .into_iter()
            .map(|tag| {
                // A model without this `B-` marks beginnings with `I-`.
                let inside = tag.label().cloned().map(Tag::Inside);
                let class = self
                    .tags
                    .iter()
                    .position(|t| *t == tag)
                    .or_else(|| self.tags.iter().position(|t| Some(t) == inside.as_ref()));
                class.map(|c| c as u32).ok_or_else(|| tag.label().cloned().unwrap_or_else(|| "O".into()))
            })
            .collect()
    }

    /// The well-formed sequence of classes with the largest sum of logits (Viterbi, 1967); the first best wins.
    ///
    /// `logits` is `[words, classes]`.
    #[must_use]
    pub fn decode(&self, logits: &[f32]) -> Vec<usize> {
        let n = self.len();
        let mut best: Vec<f32> = Vec::new();
        let mut came_from: Vec<usize> = Vec::with_capacity(logits.len());
        for row in logits.chunks_exact(n) {
            let scores = (0..n)
                .map(|next| {
                    let (from, score) = if best.is_empty() {
                        (0, if self.may_start[next] { 0.0 } else { f32::NEG_INFINITY })
                    } else {
                        let reachable = (0..n).filter(|p| self.allowed[p * n + next]);
                        reachable
                            .map(|p| (p, best[p]))
                            .fold((0, f32::NEG_INFINITY), |a, b| if b.1 > a.1 { b } else { a })
                    };
                    came_from.push(from);
                    score + row[next]
                })
                .collect();
            best = scores;
        }
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

    /// The entities of a sequence of classes.
    #[must_use]
    pub fn entities(&self, classes: &[usize]) -> Vec<Entity> {
        let tags: Vec<Tag> = classes.iter().map(|&c| self.tags[c].clone()).collect();
        tags::decode_lenient(&tags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every class sequence of four words, by brute force.
    #[test]
    fn decoding_finds_the_best_well_formed_sequence() {
        let only_inside = [Tag::Outside, Tag::Inside("X".into()), Tag::Begin("Y".into()), Tag::Inside("Y".into())];
        for labels in [Labels::iob2(["A", "B"]), Labels::from_tags(only_inside.to_vec())] {
            let n = labels.len();
            let mut state = 1_u32;
            for _ in 0..200 {
                let logits: Vec<f32> = (0..4 * n)
                    .map(|_| {
                        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        (state >> 20) as f32 / 256.0
                    })
                    .collect();
                let mut best = (f32::NEG_INFINITY, vec![]);
                for code in 0..n.pow(4) {
                    let classes: Vec<usize> = (0..4).map(|w| code / n.pow(3 - w) % n).collect();
                    let well_formed = labels.may_start[classes[0]]
                        && classes.windows(2).all(|pair| labels.allowed[pair[0] * n + pair[1]]);
                    let sum: f32 = classes.iter().enumerate().map(|(w, c)| logits[w * n + c]).sum();
                    if well_formed && sum > best.0 {
                        best = (sum, classes);
                    }
                }
                let ours = labels.decode(&logits);
                let sum: f32 = ours.iter().enumerate().map(|(w, c)| logits[w * n + c]).sum();
                assert!((sum - best.0).abs() < 1e-4, "{ours:?} scores {sum}, {:?} scores {}", best.1, best.0);
            }
        }
        assert!(Labels::iob2(["A"]).decode(&[]).is_empty());
    }
}
