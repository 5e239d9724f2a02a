//! What is behind the scores of one run.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Predicted;
use crate::{
    Entity, MetricsError, Score, Sentence,
    metrics::{
        Calibration, Confusion, Mistake, Outcome, SemEval, Tokens,
        breakdown::{self, Lengths, Novelty, Surfaces},
        mistakes,
    },
};

/// The same predictions seen from many sides.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Details {
    /// What is half right, and the kinds of error.
    pub semeval: SemEval,
    /// Single tokens.
    pub tokens: Tokens,
    /// Which type was taken for which.
    pub confusion: Confusion,
    /// Whether it is right as often as it is sure, if it says how sure it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// By the entity's number of tokens.
    pub by_entity_length: BTreeMap<Lengths, Score>,
    /// By the sentence's number of tokens.
    pub by_sentence_length: BTreeMap<Lengths, Score>,
    /// By what the training set has shown, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_novelty: Option<BTreeMap<Novelty, Score>>,
    /// By document, if the sentences name any; those without are under the empty name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_document: Option<BTreeMap<String, Score>>,
}

impl Details {
    /// Those of one run.
    ///
    /// # Errors
    /// [`MetricsError`].
    pub fn of(gold: &[Sentence], run: &Predicted, training: Option<&Surfaces>) -> Result<Self, MetricsError> {
        let predicted = &run.entities[..];
        let entities: Vec<&[Entity]> = gold.iter().map(Sentence::entities).collect();
        let has_documents = gold.iter().any(|sentence| sentence.document().is_some());
        Ok(Self {
            semeval: SemEval::of(&entities, predicted)?,
            tokens: Tokens::of(gold, predicted)?,
            confusion: Confusion::of(&entities, predicted)?,
            calibration: Calibration::of_predicted(&entities, predicted, &run.confidences),
            by_entity_length: breakdown::by_entity_length(gold, predicted)?,
            by_sentence_length: breakdown::by_sentence_length(gold, predicted)?,
            by_novelty: training.map(|seen| breakdown::by_novelty(gold, predicted, seen)).transpose()?,
            by_document: has_documents.then(|| breakdown::by_document(gold, predicted)).transpose()?,
        })
    }

    /// The documents with the lowest F1, of equals those with more entities first.
    #[must_use]
    pub fn worst_documents(&self, most: usize) -> Vec<(&str, &Score)> {
        let mut documents: Vec<_> = self.by_document.iter().flatten().map(|(name, score)| (&**name, score)).collect();
        documents.sort_by(|(_, a), (_, b)| {
            let entities = |score: &Score| score.counts.gold + score.counts.predicted;
            a.prf.f1.total_cmp(&b.prf.f1).then(entities(b).cmp(&entities(a)))
        });
        documents.truncate(most);
        documents
    }
}

/// Mistakes by kind, not all of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Listed<'a> {
    /// How many there are of each kind.
    pub counts: BTreeMap<Outcome, usize>,
    /// The first ones of each kind, kind by kind, in the order of the sentences.
    pub first: Vec<Mistake<'a>>,
}

impl<'a> Listed<'a> {
    /// At most `most` of each kind.
    ///
    /// # Errors
    /// [`MetricsError`].
    pub fn of(gold: &'a [Sentence], predicted: &'a [Vec<Entity>], most: usize) -> Result<Self, MetricsError> {
        let mut counts = BTreeMap::new();
        let mut first: Vec<Mistake<'a>> = Vec::new();
        for mistake in mistakes(gold, predicted)? {
            let count = counts.entry(mistake.outcome()).or_default();
            *count += 1;
            if *count <= most {
                first.push(mistake);
            }
        }
        first.sort_by_key(Mistake::outcome);
        Ok(Self { counts, first })
    }
}
