//! Counts and the fractions made of them.

use std::{collections::BTreeMap, fmt, ops::AddAssign, sync::Arc};

use serde::{Deserialize, Serialize};

/// How many entities were found, claimed and there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Predicted entities that are gold.
    pub true_positive: usize,
    /// Predicted entities.
    pub predicted: usize,
    /// Gold entities; the *support*.
    pub gold: usize,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.true_positive += other.true_positive;
        self.predicted += other.predicted;
        self.gold += other.gold;
    }
}

/// Precision, recall and F1, each from 0 to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Prf {
    /// The part of the predicted entities that is gold.
    pub precision: f64,
    /// The part of the gold entities that was predicted.
    pub recall: f64,
    /// The harmonic mean of the two.
    pub f1: f64,
}

/// `precision = true_positive / predicted`, `recall = true_positive / gold`, and
/// `F1 = 2 · precision · recall / (precision + recall)`. Where there is nothing to divide by, the fraction is 0.
///
/// ```
/// use apprentice_core::{Counts, Prf};
/// let prf = Prf::from(Counts { true_positive: 3, predicted: 4, gold: 6 });
/// assert_eq!((prf.precision, prf.recall, prf.f1), (0.75, 0.5, 0.6));
/// assert_eq!(Prf::from(Counts::default()), Prf::default());
/// ```
impl From<Counts> for Prf {
    fn from(counts: Counts) -> Self {
        let found = counts.true_positive as f64;
        Self::of(fraction(found, counts.predicted as f64), fraction(found, counts.gold as f64))
    }
}

impl Prf {
    pub(super) fn of(precision: f64, recall: f64) -> Self {
        Self { precision, recall, f1: fraction(2.0 * precision * recall, precision + recall) }
    }
}

/// Counts with their fractions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// How many.
    #[serde(flatten)]
    pub counts: Counts,
    /// Which part.
    #[serde(flatten)]
    pub prf: Prf,
}

impl From<Counts> for Score {
    fn from(counts: Counts) -> Self {
        Self { counts, prf: counts.into() }
    }
}

/// How good predictions are, by entity type and in the usual averages.
///
/// ```
/// use apprentice_core::{Counts, Scores};
/// // Ann Keller won in Rome . with PER and LOC, of which PER was found, and Rome is said to be an ORG.
/// let counts = |true_positive, predicted, gold| Counts { true_positive, predicted, gold };
/// let counts = [("PER", counts(1, 1, 1)), ("LOC", counts(0, 0, 1)), ("ORG", counts(0, 1, 0))];
/// let scores = Scores::from_counts(counts.map(|(label, counts)| (label.into(), counts)).into());
/// assert_eq!(scores.micro.prf.f1, 0.5);
/// assert_eq!(scores.macro_gold.f1, 1.0 / 2.0);
/// assert_eq!(scores.macro_union.f1, 1.0 / 3.0);
/// assert_eq!(scores.weighted.f1, 0.5);
/// let undefined: Vec<String> = scores.undefined.iter().map(ToString::to_string).collect();
/// assert_eq!(undefined, ["precision of LOC", "recall of ORG"]);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Each type that is in the gold or in the predictions.
    pub per_type: BTreeMap<Arc<str>, Score>,
    /// All entities together.
    pub micro: Score,
    /// The plain mean over the types that are in the gold: a type that is only predicted costs nothing here.
    pub macro_gold: Prf,
    /// The plain mean over all types of [`Self::per_type`], as seqeval and scikit-learn have it.
    pub macro_union: Prf,
    /// The mean over the types, weighted by the number of gold entities.
    pub weighted: Prf,
    /// The fractions above that have nothing to divide by and are given as 0, in means too.
    pub undefined: Vec<Undefined>,
}

/// A fraction that has nothing to divide by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undefined {
    /// Which one.
    pub fraction: Fraction,
    /// Of what.
    pub of: Row,
}

/// One of the three numbers of [`Prf`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fraction {
    /// Undefined where nothing is predicted.
    Precision,
    /// Undefined where nothing is gold.
    Recall,
    /// Undefined where nothing is predicted and nothing is gold.
    F1,
}

/// One of the rows of [`Scores`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Row {
    /// [`Scores::per_type`].
    Type(Arc<str>),
    /// [`Scores::micro`].
    Micro,
    /// [`Scores::macro_gold`].
    MacroGold,
    /// [`Scores::macro_union`].
    MacroUnion,
    /// [`Scores::weighted`].
    Weighted,
}

impl fmt::Display for Undefined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fraction = match self.fraction {
            Fraction::Precision => "precision",
            Fraction::Recall => "recall",
            Fraction::F1 => "F1",
        };
        let of = match &self.of {
            Row::Type(label) => label,
            Row::Micro => "the micro average",
            Row::MacroGold => "the macro average over gold types",
            Row::MacroUnion => "the macro average over all types",
            Row::Weighted => "the weighted average",
        };
        write!(f, "{fraction} of {of}")
    }
}

impl Scores {
    /// The scores that follow from the counts of each type.
    #[must_use]
    pub fn from_counts(counts: BTreeMap<Arc<str>, Counts>) -> Self {
        let mut total = Counts::default();
        for &one in counts.values() {
            total += one;
        }
        let per_type: BTreeMap<_, _> = counts.into_iter().map(|(label, one)| (label, Score::from(one))).collect();
        Self {
            micro: total.into(),
            macro_gold: mean(&per_type, |score| f64::from(u8::from(score.counts.gold > 0))),
            macro_union: mean(&per_type, |_| 1.0),
            weighted: mean(&per_type, |score| score.counts.gold as f64),
            undefined: undefined(&per_type, total),
            per_type,
        }
    }
}

fn mean(per_type: &BTreeMap<Arc<str>, Score>, weight: impl Fn(&Score) -> f64) -> Prf {
    let total: f64 = per_type.values().map(&weight).sum();
    let of = |value: fn(&Prf) -> f64| {
        fraction(per_type.values().map(|score| weight(score) * value(&score.prf)).sum(), total)
    };
    Prf { precision: of(|p| p.precision), recall: of(|p| p.recall), f1: of(|p| p.f1) }
}

fn undefined(per_type: &BTreeMap<Arc<str>, Score>, total: Counts) -> Vec<Undefined> {
    // A mean over types counts as one over entities: it has nothing to divide by if there are none.
    let over_gold = Counts { predicted: total.gold, ..total };
    let over_all = Counts { predicted: total.gold + total.predicted, gold: total.gold + total.predicted, ..total };
    let types = per_type.iter().map(|(label, score)| (Row::Type(label.clone()), score.counts));
    let averages =
        [(Row::Micro, total), (Row::MacroGold, over_gold), (Row::MacroUnion, over_all), (Row::Weighted, over_gold)];
    let fractions = |counts: Counts| {
        [
            (Fraction::Precision, counts.predicted),
            (Fraction::Recall, counts.gold),
            (Fraction::F1, counts.predicted + counts.gold),
        ]
    };
    types
        .chain(averages)
        .flat_map(|(of, counts)| {
            let empty = fractions(counts).into_iter().filter(|&(_, divisor)| divisor == 0);
            empty.map(move |(fraction, _)| Undefined { fraction, of: of.clone() })
        })
        .collect()
}

/// 0 where there is nothing to divide by.
pub(super) fn fraction(part: f64, whole: f64) -> f64 {
    if whole == 0.0 { 0.0 } else { part / whole }
}
