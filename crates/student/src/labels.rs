//! The classes of the head, and how logits become well-formed tags.

use std::{borrow::Cow, collections::BTreeSet, sync::Arc};

use apprentice_core::{Entity, Scheme, Sentence, Tag, tags};
use apprentice_encoder::Transitions;

use crate::lattice;

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
#[derive(Debug, Clone, PartialEq)]
pub struct Labels {
    tags: Vec<Tag>,
    transitions: Transitions,
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
        let goes_on =
            |previous: &Tag, next: &Tag| matches!(next, Tag::Inside(label) if previous.label() == Some(label));
        let may_follow = |previous: usize, next: usize| may_start[next] || goes_on(&tags[previous], &tags[next]);
        let transitions = Transitions::allowing(tags.len(), |first| may_start[first], may_follow);
        Self { tags, transitions }
    }

    /// What a chain of classes scores: 0 where it is well-formed, −∞ elsewhere, if nothing was learnt of it.
    pub(crate) fn transitions(&self) -> &Transitions {
        &self.transitions
    }

    /// The same with what was learnt of transitions, if anything was.
    pub(crate) fn scored(&self, transitions: Option<Transitions>) -> Cow<'_, Self> {
        match transitions {
            Some(transitions) => Cow::Owned(Self { tags: self.tags.clone(), transitions }),
            None => Cow::Borrowed(self),
        }
    }

    /// The number of classes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is always `O`")]
    pub fn len(&self) -> usize {
        self.tags.len()
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

    /// The well-formed sequence of classes with the largest sum of logits, and of what was learnt of transitions; the first
    /// best wins.
    ///
    /// `logits` is `[words, classes]`.
    #[must_use]
    pub fn decode(&self, logits: &[f32]) -> Vec<usize> {
        lattice::best(&self.transitions, logits)
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
    use apprentice_encoder::{EncoderConfig, Network, NetworkOptions, Parameters};

    use super::*;

    /// The same labels after something was learnt of their transitions.
    fn learnt(labels: &Labels) -> Labels {
        let config =
            EncoderConfig { vocab_size: 2, hidden_size: 2, num_attention_heads: 1, ..EncoderConfig::default() };
        let config = EncoderConfig { num_hidden_layers: 1, intermediate_size: 2, pad_token_id: None, ..config };
        let parameters = Parameters::initialised(&config, labels.len(), 1).unwrap();
        let mut network = Network::new(config, parameters, &NetworkOptions::with_threads(Some(1))).unwrap();
        network.add_crf(labels.transitions().clone()).unwrap();
        let values: Vec<f32> = (0..network.parameters().values().len()).map(|i| (i as f32 * 1.7).sin() * 4.0).collect();
        network.set_parameters(&values).unwrap();
        labels.scored(network.transitions()).into_owned()
    }

    /// The sum of logits and transitions, which is −∞ if the sequence is not well-formed.
    fn score(labels: &Labels, logits: &[f32], classes: &[usize]) -> f32 {
        let (chain, last) = (&labels.transitions, classes[classes.len() - 1]);
        let rows: f32 = classes.iter().zip(logits.chunks_exact(labels.len())).map(|(c, row)| row[*c]).sum();
        let between: f32 = classes.windows(2).map(|pair| chain.after(pair[0])[pair[1]]).sum();
        rows + chain.start()[classes[0]] + between + chain.end()[last]
    }

    /// Every class sequence of four words, by brute force.
    #[test]
    fn decoding_finds_the_best_well_formed_sequence() {
        let only_inside = [Tag::Outside, Tag::Inside("X".into()), Tag::Begin("Y".into()), Tag::Inside("Y".into())];
        let plain = [Labels::iob2(["A", "B"]), Labels::from_tags(only_inside.to_vec())];
        let learnt = plain.each_ref().map(learnt);
        assert!(plain != learnt);
        for labels in plain.into_iter().chain(learnt) {
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
                    let sum = score(&labels, &logits, &classes);
                    if sum > best.0 {
                        best = (sum, classes);
                    }
                }
                let ours = labels.decode(&logits);
                let sum = score(&labels, &logits, &ours);
                assert!((sum - best.0).abs() < 1e-4, "{ours:?} scores {sum}, {:?} scores {}", best.1, best.0);
            }
        }
        assert!(Labels::iob2(["A"]).decode(&[]).is_empty());
    }
}
