//! The same score for parts of the entities: by length, by sentence length, by document, by what training has shown.
//!
//! Every part has its counts, precision, recall and F1 as in [`Scores`](super::Scores): recall is over the gold
//! entities of the part, precision over the predicted ones, and an entity that is both is in one part only. The counts
//! of the parts sum up to those of the whole.
//!
//! ```
//! use apprentice_core::{Entity, Provenance, Sentence, Span, metrics::breakdown};
//! let entity = |a, b, label: &str| Entity { span: Span::new(a, b).unwrap(), label: label.into() };
//! let ann = Sentence::from_words("a", ["Ann", "Keller", "won", "in", "Rome", "."]);
//! let gold = [ann.with_entities(vec![entity(0, 2, "PER"), entity(4, 5, "LOC")], Provenance::Original)?];
//! let predicted = [[entity(0, 2, "PER"), entity(4, 5, "ORG")]];
//!
//! let by_length = breakdown::by_entity_length(&gold, &predicted)?;
//! let rows: Vec<String> = by_length.iter().map(|(tokens, score)| format!("{tokens}: {}", score.prf.f1)).collect();
//! assert_eq!(rows, ["1: 0", "2: 1"]);
//!
//! let training = breakdown::Surfaces::of(&gold);
//! let by_novelty = breakdown::by_novelty(&gold, &predicted, &training)?;
//! assert_eq!(by_novelty[&breakdown::Novelty::Seen].prf.recall, 0.5);
//! assert_eq!(by_novelty[&breakdown::Novelty::OtherType].prf.precision, 0.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    sync::Arc,
};

use serde::{Serialize, Serializer};

use super::{
    MetricsError, Score,
    compare::{counts_by, in_sentences},
};
use crate::{Entity, Sentence};

/// Scores by a key of your own, which is told the gold sentence and the entity.
///
/// ```
/// use apprentice_core::{Entity, Provenance, Sentence, Span, metrics::breakdown};
/// let rome = Entity { span: Span::new(4, 5).unwrap(), label: "LOC".into() };
/// let ann = Sentence::from_words("a", ["Ann", "Keller", "won", "in", "Rome", "."]);
/// let gold = [ann.with_entities(vec![rome], Provenance::Original)?];
/// let scores = breakdown::by(&gold, &[vec![]], |sentence, entity| sentence.surface(entity.span).len())?;
/// assert_eq!(scores[&4].counts.gold, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`MetricsError::Sentences`] if the two have different numbers of sentences, and [`MetricsError::Outside`].
pub fn by<'a, P: AsRef<[Entity]>, K: Ord>(
    gold: &'a [Sentence],
    predicted: &'a [P],
    key: impl Fn(&'a Sentence, &'a Entity) -> K,
) -> Result<BTreeMap<K, Score>, MetricsError> {
    let counts = counts_by(in_sentences(gold, predicted)?, |sentence, entity| key(&gold[sentence], entity));
    Ok(counts.into_iter().map(|(key, counts)| (key, counts.into())).collect())
}

/// A range of lengths, displayed as `3`, `10-19` or `40+`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lengths {
    /// The least.
    pub from: usize,
    /// The greatest, if there is one.
    pub to: Option<usize>,
}

impl Lengths {
    /// The range that `length` is in, where each of `starts` (ascending) starts one and the last is open.
    ///
    /// ```
    /// use apprentice_core::metrics::breakdown::Lengths;
    /// let name = |length| Lengths::of(length, &[1, 10, 20]).to_string();
    /// assert_eq!([name(9), name(10), name(50)], ["1-9", "10-19", "20+"]);
    /// ```
    #[must_use]
    pub fn of(length: usize, starts: &[usize]) -> Self {
        let next = starts.partition_point(|&start| start <= length);
        let from = next.checked_sub(1).map_or(0, |i| starts[i]);
        Self { from, to: starts.get(next).map(|&start| start - 1) }
    }
}

impl fmt::Display for Lengths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to {
            Some(to) if to == self.from => write!(f, "{to}"),
            Some(to) => write!(f, "{}-{to}", self.from),
            None => write!(f, "{}+", self.from),
        }
    }
}

impl Serialize for Lengths {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Scores of entities of one, two, three, and four or more tokens.
///
/// # Errors
/// As [`by`].
pub fn by_entity_length<P: AsRef<[Entity]>>(
    gold: &[Sentence],
    predicted: &[P],
) -> Result<BTreeMap<Lengths, Score>, MetricsError> {
    by(gold, predicted, |_, entity| Lengths::of(entity.span.len(), &[1, 2, 3, 4]))
}

/// Scores in sentences of 1 to 9, 10 to 19, 20 to 29, 30 to 39, and 40 or more tokens.
///
/// # Errors
/// As [`by`].
pub fn by_sentence_length<P: AsRef<[Entity]>>(
    gold: &[Sentence],
    predicted: &[P],
) -> Result<BTreeMap<Lengths, Score>, MetricsError> {
    by(gold, predicted, |sentence, _| Lengths::of(sentence.tokens().len(), &[1, 10, 20, 30, 40]))
}

/// Scores in each document; under the empty name those of sentences without document. A document without gold and
/// predicted entities is not there.
///
/// # Errors
/// As [`by`].
pub fn by_document<P: AsRef<[Entity]>>(
    gold: &[Sentence],
    predicted: &[P],
) -> Result<BTreeMap<String, Score>, MetricsError> {
    by(gold, predicted, |sentence, _| sentence.document().map(ToString::to_string).unwrap_or_default())
}

/// Scores of entities by what the training data has shown of them.
///
/// # Errors
/// As [`by`].
pub fn by_novelty<P: AsRef<[Entity]>>(
    gold: &[Sentence],
    predicted: &[P],
    training: &Surfaces,
) -> Result<BTreeMap<Novelty, Score>, MetricsError> {
    by(gold, predicted, |sentence, entity| training.novelty(sentence.surface(entity.span), &entity.label))
}

/// What the training data has shown of an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Novelty {
    /// An entity of the same text and type.
    Seen,
    /// Entities of the same text, of other types only.
    OtherType,
    /// No entity of the same text.
    Unseen,
}

/// The texts of all entities of a training set, letter by letter, with their types.
#[derive(Debug, Clone, Default)]
pub struct Surfaces {
    types: HashMap<Box<str>, BTreeSet<Arc<str>>>,
}

impl Surfaces {
    /// Those of these sentences.
    pub fn of<'a>(sentences: impl IntoIterator<Item = &'a Sentence>) -> Self {
        let mut types: HashMap<Box<str>, BTreeSet<Arc<str>>> = HashMap::new();
        for sentence in sentences {
            for Entity { span, label } in sentence.entities() {
                types.entry(sentence.surface(*span).into()).or_default().insert(label.clone());
            }
        }
        Self { types }
    }

    /// What they show of an entity.
    #[must_use]
    pub fn novelty(&self, surface: &str, label: &str) -> Novelty {
        match self.types.get(surface) {
            Some(types) if types.contains(label) => Novelty::Seen,
            Some(_) => Novelty::OtherType,
            None => Novelty::Unseen,
        }
    }
}
