//! Counting what gold and predictions have in common.

use std::{cmp::Ordering, collections::BTreeMap};

use thiserror::Error;

use super::{Counts, Scores};
use crate::{Entity, Scheme, Sentence, Tag, tags};

/// Gold and predictions that do not belong together.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MetricsError {
    /// Different numbers of sentences.
    #[error("{gold} gold sentences, but {predicted} predicted ones: expected the same sentences in the same order")]
    Sentences {
        /// In the gold.
        gold: usize,
        /// In the predictions.
        predicted: usize,
    },
    /// Different numbers of tokens.
    #[error("sentence {sentence} (from 0) has {gold} gold tags, but {predicted} predicted ones: expected as many")]
    Tags {
        /// Which sentence, from 0.
        sentence: usize,
        /// In the gold.
        gold: usize,
        /// In the predictions.
        predicted: usize,
    },
    /// A prediction beyond the sentence's tokens.
    #[error("sentence {id} has {tokens} tokens, but a predicted entity ends at {end}: expected the gold's tokens")]
    Outside {
        /// The sentence.
        id: String,
        /// How many tokens it has.
        tokens: usize,
        /// The end of the entity.
        end: usize,
    },
}

/// Scores tags as conlleval and seqeval's default mode do: see [`tags::decode_lenient`].
///
/// # Errors
/// If the two have not the same sentences and tokens.
pub fn lenient(gold: &[Vec<Tag>], predicted: &[Vec<Tag>]) -> Result<Scores, MetricsError> {
    decoded(gold, predicted, tags::decode_lenient)
}

/// Scores tags as seqeval's `mode="strict"` does with this scheme: see [`tags::decode_strict`].
///
/// # Errors
/// If the two have not the same sentences and tokens.
pub fn strict(gold: &[Vec<Tag>], predicted: &[Vec<Tag>], scheme: Scheme) -> Result<Scores, MetricsError> {
    decoded(gold, predicted, |tags| tags::decode_strict(tags, scheme))
}

fn decoded(
    gold: &[Vec<Tag>],
    predicted: &[Vec<Tag>],
    decode: impl Fn(&[Tag]) -> Vec<Entity>,
) -> Result<Scores, MetricsError> {
    for (sentence, (g, p)) in gold.iter().zip(predicted).enumerate() {
        if g.len() != p.len() {
            return Err(MetricsError::Tags { sentence, gold: g.len(), predicted: p.len() });
        }
    }
    let decode = |sentences: &[Vec<Tag>]| -> Vec<_> { sentences.iter().map(|tags| decode(tags)).collect() };
    entities(&decode(gold), &decode(predicted))
}

/// Scores entities, sentence by sentence. An entity that is given twice counts once.
///
/// ```
/// use apprentice_core::{Entity, Span, metrics};
/// let entity = |a, b, label: &str| Entity { span: Span::new(a, b).unwrap(), label: label.into() };
/// // Ann Keller won in Rome .
/// let gold = [vec![entity(0, 2, "PER"), entity(4, 5, "LOC")]];
/// let predicted = [vec![entity(0, 2, "PER"), entity(4, 5, "ORG")]];
/// let scores = metrics::entities(&gold, &predicted)?;
/// assert_eq!(scores.micro.prf.f1, 0.5);
/// assert_eq!(scores.macro_union.f1, 1.0 / 3.0);
/// # Ok::<(), metrics::MetricsError>(())
/// ```
///
/// # Errors
/// [`MetricsError::Sentences`] if the two have different numbers of sentences.
pub fn entities<G: AsRef<[Entity]>, P: AsRef<[Entity]>>(gold: &[G], predicted: &[P]) -> Result<Scores, MetricsError> {
    let counts = counts_by(paired(gold, predicted)?, |_, entity| &entity.label);
    Ok(Scores::from_counts(counts.into_iter().map(|(label, counts)| (label.clone(), counts)).collect()))
}

/// Gold and predicted entities of one sentence.
pub(super) type Pair<'a> = (&'a [Entity], &'a [Entity]);

/// Counts entities by a key, which is told the sentence (from 0) and the entity. An entity that is gold and predicted
/// has one key, so that no key has more true positives than gold or predicted entities.
pub(super) fn counts_by<'a, K: Ord>(
    sentences: impl Iterator<Item = Pair<'a>>,
    key: impl Fn(usize, &'a Entity) -> K,
) -> BTreeMap<K, Counts> {
    let mut counts: BTreeMap<K, Counts> = BTreeMap::new();
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for (sentence, (gold, predicted)) in sentences.enumerate() {
        order(gold, &mut left);
        order(predicted, &mut right);
        let (mut g, mut p) = (0, 0);
        loop {
            let (entity, order) = match (left.get(g), right.get(p)) {
                (Some(&gold), Some(&predicted)) => match gold.cmp(predicted) {
                    Ordering::Greater => (predicted, Ordering::Greater),
                    order => (gold, order),
                },
                (Some(&gold), None) => (gold, Ordering::Less),
                (None, Some(&predicted)) => (predicted, Ordering::Greater),
                (None, None) => break,
            };
            let (is_gold, is_predicted) = (usize::from(order.is_le()), usize::from(order.is_ge()));
            *counts.entry(key(sentence, entity)).or_default() +=
                Counts { true_positive: is_gold * is_predicted, predicted: is_predicted, gold: is_gold };
            g += is_gold;
            p += is_predicted;
        }
    }
    counts
}

/// The entities of each sentence.
pub(super) fn paired<'a, G: AsRef<[Entity]>, P: AsRef<[Entity]>>(
    gold: &'a [G],
    predicted: &'a [P],
) -> Result<impl Iterator<Item = Pair<'a>>, MetricsError> {
    if gold.len() != predicted.len() {
        return Err(MetricsError::Sentences { gold: gold.len(), predicted: predicted.len() });
    }
    Ok(gold.iter().map(AsRef::as_ref).zip(predicted.iter().map(AsRef::as_ref)))
}

/// The entities of each sentence, where the predicted ones must lie within it.
pub(super) fn in_sentences<'a, P: AsRef<[Entity]>>(
    gold: &'a [Sentence],
    predicted: &'a [P],
) -> Result<impl Iterator<Item = Pair<'a>>, MetricsError> {
    if gold.len() != predicted.len() {
        return Err(MetricsError::Sentences { gold: gold.len(), predicted: predicted.len() });
    }
    for (sentence, predicted) in gold.iter().zip(predicted) {
        let tokens = sentence.tokens().len();
        if let Some(end) = predicted.as_ref().iter().map(|entity| entity.span.end()).find(|&end| end > tokens) {
            return Err(MetricsError::Outside { id: sentence.id().to_owned(), tokens, end });
        }
    }
    Ok(gold.iter().map(Sentence::entities).zip(predicted.iter().map(AsRef::as_ref)))
}

/// The entities in order and each once. Those of a [`Sentence`](crate::Sentence) are so already.
pub(super) fn order<'a>(entities: &'a [Entity], ordered: &mut Vec<&'a Entity>) {
    ordered.clear();
    ordered.extend(entities);
    if !ordered.is_sorted_by(|a, b| a < b) {
        ordered.sort_unstable();
        ordered.dedup();
    }
}
