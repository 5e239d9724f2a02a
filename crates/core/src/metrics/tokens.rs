//! Scores of single tokens.

use serde::{Deserialize, Serialize};

use super::{MetricsError, compare::in_sentences, scores::fraction};
use crate::{Entity, Sentence};

/// How many tokens have the right tag, when gold and predictions are written in IOB2: the right type, or none, and
/// whether an entity starts there.
///
/// Most tokens are in no entity, so that [`Self::accuracy`] is high for any prediction; it is given because others give
/// it (seqeval's `accuracy_score`, the first number of conlleval), not because it says much.
///
/// ```
/// use apprentice_core::{Entity, Provenance, Sentence, Span, metrics::Tokens};
/// let entity = |a, b, label: &str| Entity { span: Span::new(a, b).unwrap(), label: label.into() };
/// let ann = Sentence::from_words("a", ["Ann", "Keller", "won", "in", "Rome", "."]);
/// let gold = [ann.with_entities(vec![entity(0, 2, "PER"), entity(4, 5, "LOC")], Provenance::Original)?];
/// // B-PER O O O B-ORG O instead of B-PER I-PER O O B-LOC O
/// let tokens = Tokens::of(&gold, &[[entity(0, 1, "PER"), entity(4, 5, "ORG")]])?;
/// assert_eq!((tokens.all, tokens.right, tokens.accuracy), (6, 4, 4.0 / 6.0));
/// assert_eq!((tokens.in_entities, tokens.right_in_entities, tokens.accuracy_in_entities), (3, 1, 1.0 / 3.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Tokens {
    /// How many there are.
    pub all: usize,
    /// How many have the right tag.
    pub right: usize,
    /// `right / all`.
    pub accuracy: f64,
    /// How many are in gold entities.
    pub in_entities: usize,
    /// How many of those have the right tag.
    pub right_in_entities: usize,
    /// `right_in_entities / in_entities`.
    pub accuracy_in_entities: f64,
}

impl Tokens {
    /// Counts, sentence by sentence. Where entities overlap, the last one has the token.
    ///
    /// # Errors
    /// [`MetricsError::Sentences`] if the two have different numbers of sentences, and [`MetricsError::Outside`].
    pub fn of<P: AsRef<[Entity]>>(gold: &[Sentence], predicted: &[P]) -> Result<Self, MetricsError> {
        let mut tokens = Self::default();
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for (sentence, (gold, predicted)) in gold.iter().zip(in_sentences(gold, predicted)?) {
            let len = sentence.tokens().len();
            tag(gold, len, &mut left);
            tag(predicted, len, &mut right);
            for (gold, predicted) in left.iter().zip(&right) {
                let (inside, same) = (usize::from(gold.is_some()), usize::from(gold == predicted));
                tokens.right += same;
                tokens.in_entities += inside;
                tokens.right_in_entities += inside * same;
            }
            tokens.all += len;
        }
        tokens.accuracy = fraction(tokens.right as f64, tokens.all as f64);
        tokens.accuracy_in_entities = fraction(tokens.right_in_entities as f64, tokens.in_entities as f64);
        Ok(tokens)
    }
}

/// The type of each token and whether an entity starts there.
fn tag<'a>(entities: &'a [Entity], len: usize, tags: &mut Vec<Option<(&'a str, bool)>>) {
    tags.clear();
    tags.resize(len, None);
    for Entity { span, label } in entities {
        tags[span.range()].fill(Some((label, false)));
        tags[span.start()] = Some((label, true));
    }
}
