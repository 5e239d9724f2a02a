//! The classes of the head, and how logits become well-formed tags and entities.

use std::{borrow::Cow, collections::BTreeSet, sync::Arc};

use apprentice_core::{Confidence, Entity, Scheme, Sentence, Tag, tags};
use apprentice_encoder::Transitions;

use crate::{
    Prediction,
    lattice::{self, Lattice},
};

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

    /// What [`Self::decode`] finds, with the probability of each entity: the share, of all well-formed sequences by the
    /// exponential of their sums of logits, that have exactly these words as an entity of exactly this type (the
    /// "constrained forward-backward" confidence of Culotta and `McCallum`, "Confidence Estimation for Information
    /// Extraction", 2004). Other words may have whatever they have.
    ///
    /// ```
    /// # use apprentice_student::labels::Labels;
    /// let labels = Labels::iob2(["X"]);
    /// // Of O, B-X and I-X at two words, five sequences are well-formed: all but those that start with I-X and `O I-X`.
    /// let found = labels.predict(&[0.0, 1.0, 9.0, /* second word */ 0.0, 0.0, 0.5]);
    /// assert_eq!(found.entities.len(), 1);
    /// let [e, root]: [f64; 2] = [1_f64.exp(), 0.5_f64.exp()];
    /// let probability = e * root / (1.0 + 1.0 + e + e + e * root);
    /// assert!((found.confidences[0].get() - probability).abs() < 1e-12);
    /// ```
    #[must_use]
    pub fn predict(&self, logits: &[f32]) -> Prediction {
        let entities = self.entities(&self.decode(logits));
        let confidences = if entities.is_empty() { Vec::new() } else { self.confidences(&entities, logits) };
        Prediction { entities, confidences }
    }

    fn confidences(&self, entities: &[Entity], logits: &[f32]) -> Vec<Confidence> {
        let lattice = Lattice::new(&self.transitions, logits);
        let joins = |previous: usize, next: usize| goes_on(&self.tags[previous], &self.tags[next]);
        let of = |entity: &Entity| {
            let within = |class: usize| self.tags[class].label() == Some(&entity.label);
            let probability = lattice.probability(entity.span.range(), within, joins);
            Confidence::new(probability).expect("a probability is from 0 to 1: this is a bug")
        };
        entities.iter().map(of).collect()
    }
}

/// Whether the second tag goes on with the entity of the first.
fn goes_on(previous: &Tag, next: &Tag) -> bool {
    matches!(next, Tag::Inside(label) if previous.label() == Some(label))
}

#[cfg(test)]
mod tests {
    use apprentice_encoder::{EncoderConfig, Network, NetworkOptions, Parameters};

    use super::*;

    /// The labels to try: one has a type without `B-`, one two classes of one name; and the same after something was learnt
    /// of their transitions.
    fn several() -> Vec<Labels> {
        let [x, y] = ["X", "Y"].map(std::sync::Arc::<str>::from);
        let only_inside = vec![Tag::Outside, Tag::Inside(x.clone()), Tag::Begin(y.clone()), Tag::Inside(y)];
        let twice = vec![Tag::Begin(x.clone()), Tag::Inside(x.clone()), Tag::Outside, Tag::Begin(x)];
        let plain = [Labels::iob2(["A", "B"]), Labels::from_tags(only_inside), Labels::from_tags(twice)];
        let learnt = plain.each_ref().map(learnt);
        assert!(plain != learnt);
        plain.into_iter().chain(learnt).collect()
    }

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

    /// Sequences of classes with their sums of logits.
    type Sums = Vec<(Vec<usize>, f32)>;

    /// Logits of four words with all well-formed sequences, by brute force.
    fn cases(labels: &Labels) -> Vec<(Vec<f32>, Sums)> {
        let n = labels.len();
        let mut state = 1_u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 20) as f32 / 512.0
        };
        let case = |_| {
            let logits: Vec<f32> = (0..4 * n).map(|_| random()).collect();
            let all = (0..n.pow(4)).map(|code| (0..4).map(|word| code / n.pow(3 - word) % n).collect::<Vec<_>>());
            let sums = all.filter(|classes| is_well_formed(labels, classes)).map(|classes| {
                let sum = score(labels, &logits, &classes);
                (classes, sum)
            });
            let sums = sums.collect();
            (logits, sums)
        };
        (0..200).map(case).collect()
    }

    fn is_well_formed(labels: &Labels, classes: &[usize]) -> bool {
        let has_begin = |label| labels.tags.contains(&Tag::Begin(label));
        classes.iter().enumerate().all(|(word, &class)| match &labels.tags[class] {
            Tag::Inside(label) if has_begin(label.clone()) => {
                word > 0 && labels.tags[classes[word - 1]].label() == Some(label)
            }
            _ => true,
        })
    }

    #[test]
    fn decoding_finds_the_best_well_formed_sequence() {
        for labels in several() {
            for (logits, sums) in cases(&labels) {
                let (classes, best) = sums.into_iter().reduce(|a, b| if b.1 > a.1 { b } else { a }).unwrap();
                let ours = labels.decode(&logits);
                let sum = score(&labels, &logits, &ours);
                assert!((sum - best).abs() < 1e-4, "{ours:?} scores {sum}, {classes:?} scores {best}");
                assert!(is_well_formed(&labels, &ours), "{ours:?}");
            }
        }
        assert!(Labels::iob2(["A"]).decode(&[]).is_empty());
    }

    #[test]
    fn confidences_are_shares_of_all_well_formed_sequences() {
        let (mut found, mut sure) = (0, 0);
        for labels in several() {
            for (logits, sums) in cases(&labels) {
                let Prediction { entities, confidences } = labels.predict(&logits);
                assert_eq!(entities.len(), confidences.len());
                let weight = |sum: f32| f64::from(sum).exp();
                let total: f64 = sums.iter().map(|(_, sum)| weight(*sum)).sum();
                for (entity, confidence) in entities.iter().zip(confidences) {
                    let has = |classes: &[usize]| labels.entities(classes).contains(entity);
                    let with = sums.iter().filter(|(classes, _)| has(classes)).map(|(_, sum)| weight(*sum));
                    let share = with.sum::<f64>() / total;
                    assert!((confidence.get() - share).abs() < 1e-5, "{entity:?}: {confidence:?}, expected {share}");
                    found += 1;
                    sure += usize::from(share > 0.9);
                }
            }
        }
        assert!(sure > 50 && found - sure > 50, "{found} entities, {sure} of them sure");
    }

    #[test]
    fn confidences_stay_numbers_where_logits_are_extreme() {
        let labels = Labels::iob2(["X"]);
        // `I-X` may not start, however large its logit.
        let found = labels.predict(&[0.0, -2e4, 3e38, /* second word */ -1e4, -3e4, 3e38]);
        assert_eq!((found.entities.len(), found.confidences[0].get()), (1, 1.0));
        let many: Vec<f32> = [-1e3, 0.0, -1e3, -1e3, -1e3, 0.0].repeat(30_000);
        let found = labels.predict(&many);
        assert_eq!(found.entities.len(), 30_000);
        assert!(found.confidences.iter().all(|confidence| confidence.get() > 0.999), "a long document");
        assert_eq!(labels.predict(&[]), Prediction::default());
    }
}
