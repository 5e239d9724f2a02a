//! Counting what gold and predictions have in common.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use thiserror::Error;

use super::{Counts, Scores};
use crate::{Entity, Scheme, Tag, tags};

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
/// let gold = [vec![entity(0, 2, "PER"), entity(4, 5, "LOC")]];
/// let predicted = [vec![entity(0, 2, "PER"), entity(4, 5, "ORG")]];
/// let scores = metrics::entities(&gold, &predicted)?;
/// assert_eq!(scores.micro.prf.f1, 0.5);
/// assert_eq!(scores.macro_average.f1, 1.0 / 3.0);
/// # Ok::<(), metrics::MetricsError>(())
/// ```
///
/// # Errors
/// [`MetricsError::Sentences`] if the two have different numbers of sentences.
pub fn entities<G: AsRef<[Entity]>, P: AsRef<[Entity]>>(gold: &[G], predicted: &[P]) -> Result<Scores, MetricsError> {
    if gold.len() != predicted.len() {
        return Err(MetricsError::Sentences { gold: gold.len(), predicted: predicted.len() });
    }
    let mut counts = BTreeMap::new();
    for (gold, predicted) in gold.iter().zip(predicted) {
        let gold: HashSet<&Entity> = gold.as_ref().iter().collect();
        let predicted: HashSet<&Entity> = predicted.as_ref().iter().collect();
        for entity in &gold {
            of_type(&mut counts, entity).gold += 1;
        }
        for entity in &predicted {
            let of_type = of_type(&mut counts, entity);
            of_type.predicted += 1;
            of_type.true_positive += usize::from(gold.contains(entity));
        }
    }
    Ok(Scores::from_counts(counts))
}

fn of_type<'a>(counts: &'a mut BTreeMap<Arc<str>, Counts>, entity: &Entity) -> &'a mut Counts {
    counts.entry(entity.label.clone()).or_default()
}
