//! The four measures of SemEval-2013 task 9 (Segura-Bedmar et al., 2013), with the counts of MUC-5 (Chinchor and
//! Sundheim, 1993), and the kinds of error.
//!
//! Gold and predicted entities are paired one to one by [`matched`]. A pair is
//!
//! | outcome | span | type | strict | exact | partial | type |
//! |---|---|---|---|---|---|---|
//! | correct | = | = | correct | correct | correct | correct |
//! | wrong type | = | ≠ | incorrect | correct | correct | incorrect |
//! | wrong boundary | ≠ | = | incorrect | incorrect | partial | correct |
//! | both wrong | ≠ | ≠ | incorrect | incorrect | partial | incorrect |
//!
//! and what has no partner is missed or spurious in all of them. With
//! `possible = correct + incorrect + partial + missed`, the number of gold entities, and
//! `actual = correct + incorrect + partial + spurious`, the number of predicted ones:
//!
//! ```text
//! precision = (correct + partial / 2) / actual      recall = (correct + partial / 2) / possible
//! F1 = 2 · precision · recall / (precision + recall)
//! ```
//!
//! Strict gives the same fractions as [`entities`](super::entities); exact is the score of boundaries alone.
//!
//! The row of a type has two sides, because a pair can have two types: the outcomes of the *gold* entities of this type
//! make its recall, those of the *predicted* entities of this type its precision. The sums over the types are the
//! overall counts, on either side.
//!
//! # Where this differs from nervaluate
//!
//! Overall counts agree with nervaluate 1.2.1 wherever no entity overlaps two others. On purpose,
//! - pairs do not depend on the order of the entities. nervaluate gives each prediction, in order, the first gold
//!   entity that is left, even where a later prediction shares more tokens or has the right type (older versions
//!   depended on the order of the gold too: its issue 40);
//! - nothing counts twice: `possible` and `actual` are the numbers of entities, also where one overlaps several
//!   (issues 25, 29 and 85, in older versions);
//! - a spurious entity counts against its own type only, not against all (issues 42 and 66, in older versions);
//! - an entity of a wrong type counts against the precision of the type that was said (issue 110, in older versions).
//!   nervaluate 1.2.1 scores a type as if there were no others, so that its exact and partial rows ask for the right
//!   type after all, and do not add up to the overall counts; here they do. In the strict and type rows the fractions
//!   are the same, and only the counts differ: a pair of two types is incorrect here, and missed and spurious there;
//! - all types are scored; nervaluate drops the entities of types that it was not given.
//!
//! ```
//! use apprentice_core::{Entity, Span, metrics::SemEval};
//! let entity = |a, b, label: &str| Entity { span: Span::new(a, b).unwrap(), label: label.into() };
//! // Ann Keller won in Rome .
//! let gold = [[entity(0, 2, "PER"), entity(4, 5, "LOC")]];
//! let predicted = [[entity(0, 1, "PER"), entity(2, 3, "ORG"), entity(4, 5, "ORG")]];
//! let scores = SemEval::of(&gold, &predicted)?;
//! let all = &scores.overall;
//! assert_eq!((all.errors.wrong_boundary, all.errors.wrong_type, all.errors.spurious), (1, 1, 1));
//! assert_eq!((all.strict.gold.incorrect, all.strict.predicted.spurious), (2, 1));
//! assert_eq!((all.exact.prf.precision, all.exact.prf.recall), (1.0 / 3.0, 0.5));
//! assert_eq!((all.partial.prf.precision, all.partial.prf.recall), (1.5 / 3.0, 1.5 / 2.0));
//! assert_eq!((all.entity_type.prf.precision, all.entity_type.prf.recall), (1.0 / 3.0, 0.5));
//! assert_eq!(all.type_accuracy, Some(0.0));
//!
//! let org = &scores.per_type["ORG"];
//! assert_eq!((org.exact.gold.possible, org.exact.predicted.correct, org.exact.predicted.spurious), (0, 1, 1));
//! # Ok::<(), apprentice_core::MetricsError>(())
//! ```

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{MetricsError, Outcome, Prf, compare::paired, matching::matched, scores::fraction};
use crate::Entity;

/// The four measures, over all entities and by type.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SemEval {
    /// All entities together.
    pub overall: Measures,
    /// Each type that is in the gold or in the predictions.
    pub per_type: BTreeMap<Arc<str>, Measures>,
}

/// The four measures and the kinds of error.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Measures {
    /// Right are span and type.
    pub strict: Measure,
    /// Right is the span, whatever the type: the score of boundaries alone.
    pub exact: Measure,
    /// Right is the span, half right a span that shares a token, whatever the type.
    pub partial: Measure,
    /// Right is the type, where at least a token is shared.
    #[serde(rename = "type")]
    pub entity_type: Measure,
    /// The part of the gold entities with exact boundaries that also have the right type; `None` if there are none.
    pub type_accuracy: Option<f64>,
    /// Every match once. Pairs and missed entities count for the gold's type, spurious ones for the predicted type.
    pub errors: Outcomes,
}

/// One measure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// What became of the gold entities.
    pub gold: GoldCounts,
    /// What the predicted entities were. Overall, `correct`, `incorrect` and `partial` are those of the gold.
    pub predicted: PredictedCounts,
    /// The fractions; 0 where there is nothing to divide by.
    #[serde(flatten)]
    pub prf: Prf,
}

/// What became of the gold entities.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoldCounts {
    /// Right by this measure.
    pub correct: usize,
    /// Paired but wrong.
    pub incorrect: usize,
    /// Half right.
    pub partial: usize,
    /// Without partner.
    pub missed: usize,
    /// The sum of all: the number of gold entities.
    pub possible: usize,
}

/// What the predicted entities were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PredictedCounts {
    /// Right by this measure.
    pub correct: usize,
    /// Paired but wrong.
    pub incorrect: usize,
    /// Half right.
    pub partial: usize,
    /// Without partner.
    pub spurious: usize,
    /// The sum of all: the number of predicted entities.
    pub actual: usize,
}

/// How often there was each [`Outcome`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "named after the variants of `Outcome`")]
pub struct Outcomes {
    pub correct: usize,
    pub wrong_type: usize,
    pub wrong_boundary: usize,
    pub both_wrong: usize,
    pub missed: usize,
    pub spurious: usize,
}

impl Outcomes {
    fn add(&mut self, outcome: Outcome) {
        *match outcome {
            Outcome::Correct => &mut self.correct,
            Outcome::WrongType => &mut self.wrong_type,
            Outcome::WrongBoundary => &mut self.wrong_boundary,
            Outcome::BothWrong => &mut self.both_wrong,
            Outcome::Missed => &mut self.missed,
            Outcome::Spurious => &mut self.spurious,
        } += 1;
    }

    fn paired(&self) -> usize {
        self.correct + self.wrong_type + self.wrong_boundary + self.both_wrong
    }
}

/// The outcomes of gold and of predicted entities; missed ones are in the first only, spurious ones in the second.
#[derive(Clone, Copy, Default)]
struct Sides {
    gold: Outcomes,
    predicted: Outcomes,
}

impl SemEval {
    /// Scores entities, sentence by sentence. An entity that is given twice counts once.
    ///
    /// # Errors
    /// [`MetricsError::Sentences`] if the two have different numbers of sentences.
    pub fn of<G: AsRef<[Entity]>, P: AsRef<[Entity]>>(gold: &[G], predicted: &[P]) -> Result<Self, MetricsError> {
        let mut overall = Sides::default();
        let mut per_type: BTreeMap<&Arc<str>, Sides> = BTreeMap::new();
        for (gold, predicted) in paired(gold, predicted)? {
            for found in matched(gold, predicted) {
                let outcome = found.outcome();
                if let Some(gold) = found.gold() {
                    overall.gold.add(outcome);
                    per_type.entry(&gold.label).or_default().gold.add(outcome);
                }
                if let Some(predicted) = found.predicted() {
                    overall.predicted.add(outcome);
                    per_type.entry(&predicted.label).or_default().predicted.add(outcome);
                }
            }
        }
        let per_type = per_type.into_iter().map(|(label, sides)| (label.clone(), sides.into())).collect();
        Ok(Self { overall: overall.into(), per_type })
    }
}

impl From<Sides> for Measures {
    fn from(sides: Sides) -> Self {
        let found = sides.gold;
        let exact = found.correct + found.wrong_type;
        Self {
            strict: measure(sides, |o| o.correct, |_| 0),
            exact: measure(sides, |o| o.correct + o.wrong_type, |_| 0),
            partial: measure(sides, |o| o.correct + o.wrong_type, |o| o.wrong_boundary + o.both_wrong),
            entity_type: measure(sides, |o| o.correct + o.wrong_boundary, |_| 0),
            type_accuracy: (exact > 0).then(|| found.correct as f64 / exact as f64),
            errors: Outcomes { spurious: sides.predicted.spurious, ..found },
        }
    }
}

fn measure(sides: Sides, correct: fn(Outcomes) -> usize, partial: fn(Outcomes) -> usize) -> Measure {
    let counts = |outcomes: Outcomes| {
        let (correct, partial) = (correct(outcomes), partial(outcomes));
        (correct, outcomes.paired() - correct - partial, partial)
    };
    let (correct, incorrect, partial) = counts(sides.gold);
    let missed = sides.gold.missed;
    let gold = GoldCounts { correct, incorrect, partial, missed, possible: sides.gold.paired() + missed };
    let (correct, incorrect, partial) = counts(sides.predicted);
    let spurious = sides.predicted.spurious;
    let predicted =
        PredictedCounts { correct, incorrect, partial, spurious, actual: sides.predicted.paired() + spurious };
    let credit = |correct: usize, partial: usize| correct as f64 + 0.5 * partial as f64;
    let precision = fraction(credit(predicted.correct, predicted.partial), predicted.actual as f64);
    let recall = fraction(credit(gold.correct, gold.partial), gold.possible as f64);
    Measure { gold, predicted, prf: Prf::of(precision, recall) }
}
