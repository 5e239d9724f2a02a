//! What went wrong, one by one, for people to read.

use serde::{Serialize, Serializer};

use super::{Match, MetricsError, Outcome, compare::in_sentences, matching::matched};
use crate::{Entity, Sentence, Span};

/// A match that is not right, with its sentence.
///
/// Serialised as the sentence's id, the kind, the gold and the predicted entity with their texts (`null` if there is
/// none), and five tokens of context.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mistake<'a> {
    /// The gold sentence.
    pub sentence: &'a Sentence,
    /// What is missed, spurious or wrong.
    pub found: Match<'a>,
}

/// All that is not right, in the order of the sentences.
///
/// ```
/// use apprentice_core::{Entity, Provenance, Sentence, Span, metrics::mistakes};
/// let entity = |a, b, label: &str| Entity { span: Span::new(a, b).unwrap(), label: label.into() };
/// let ann = Sentence::from_words("a", ["Ann", "Keller", "won", "in", "Rome", "."]);
/// let gold = [ann.with_entities(vec![entity(0, 2, "PER"), entity(4, 5, "LOC")], Provenance::Original)?];
/// let lines: Vec<String> = mistakes(&gold, &[[entity(1, 2, "PER"), entity(4, 5, "ORG")]])?
///     .map(|m| format!("{}: {:?}: {}", m.sentence.id(), m.outcome(), m.context(1)))
///     .collect();
/// assert_eq!(lines, ["a: WrongBoundary: [Ann Keller] won …", "a: WrongType: … in [Rome] ."]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`MetricsError::Sentences`] if the two have different numbers of sentences, and [`MetricsError::Outside`].
pub fn mistakes<'a, P: AsRef<[Entity]>>(
    gold: &'a [Sentence],
    predicted: &'a [P],
) -> Result<impl Iterator<Item = Mistake<'a>>, MetricsError> {
    let sentences = gold.iter().zip(in_sentences(gold, predicted)?);
    Ok(sentences.flat_map(|(sentence, (gold, predicted))| {
        let wrong = matched(gold, predicted).into_iter().filter(|found| found.outcome() != Outcome::Correct);
        wrong.map(move |found| Mistake { sentence, found })
    }))
}

impl Mistake<'_> {
    /// What kind of mistake it is; never [`Outcome::Correct`].
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.found.outcome()
    }

    /// The tokens of both entities together.
    #[must_use]
    pub fn span(&self) -> Span {
        match self.found {
            Match::Pair { gold, predicted } => gold.span.through(predicted.span),
            Match::Missed(entity) | Match::Spurious(entity) => entity.span,
        }
    }

    /// The text of [`Self::span`] in brackets, with up to `tokens` tokens on either side and `…` where more was left
    /// out.
    #[must_use]
    pub fn context(&self, tokens: usize) -> String {
        let (span, all) = (self.span(), self.sentence.tokens().len());
        let (start, end) = (span.start().saturating_sub(tokens), span.end().saturating_add(tokens).min(all));
        let text = |from, to| Span::new(from, to).map(|span| self.sentence.surface(span).to_owned());
        let parts = [
            (start > 0).then(|| "…".to_owned()),
            text(start, span.start()),
            Some(format!("[{}]", self.sentence.surface(span))),
            text(span.end(), end),
            (end < all).then(|| "…".to_owned()),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

impl<'a> Serialize for Mistake<'a> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Named<'b> {
            #[serde(flatten)]
            entity: &'b Entity,
            text: &'b str,
        }
        #[derive(Serialize)]
        struct Row<'b> {
            sentence: &'b str,
            kind: Outcome,
            gold: Option<Named<'b>>,
            predicted: Option<Named<'b>>,
            context: String,
        }
        let named = |entity: &'a Entity| Named { entity, text: self.sentence.surface(entity.span) };
        Row {
            sentence: self.sentence.id(),
            kind: self.outcome(),
            gold: self.found.gold().map(named),
            predicted: self.found.predicted().map(named),
            context: self.context(5),
        }
        .serialize(serializer)
    }
}
