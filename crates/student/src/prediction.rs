//! What a student finds in a sentence.

use apprentice_core::{Confidence, Entity, Provenance, Sentence, SentenceError};

/// The entities of a sentence, and how sure the student is of each: [`Labels::predict`](crate::labels::Labels::predict)
/// defines the number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prediction {
    /// In order of appearance, apart from each other.
    pub entities: Vec<Entity>,
    /// Of each entity.
    pub confidences: Vec<Confidence>,
}

impl Prediction {
    /// The sentence with these entities instead of its own.
    ///
    /// # Errors
    /// As [`Sentence::with_entities`], if they were predicted of another sentence.
    pub fn onto(self, sentence: Sentence) -> Result<Sentence, SentenceError> {
        let entities = self.entities.into_iter().zip(self.confidences.into_iter().map(Some)).collect();
        sentence.with_confident_entities(entities, Provenance::Predicted)
    }
}

impl AsRef<[Entity]> for Prediction {
    fn as_ref(&self) -> &[Entity] {
        &self.entities
    }
}
