//! Counts and the fractions made of them.

use std::{collections::BTreeMap, ops::AddAssign, sync::Arc};

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

/// Where there is nothing to divide by, the fraction is 0.
///
/// ```
/// use apprentice_core::{Counts, Prf};
/// let prf = Prf::from(Counts { true_positive: 3, predicted: 4, gold: 6 });
/// assert_eq!((prf.precision, prf.recall, prf.f1), (0.75, 0.5, 0.6));
/// assert_eq!(Prf::from(Counts::default()), Prf::default());
/// ```
impl From<Counts> for Prf {
    fn from(counts: Counts) -> Self {
        let precision = fraction(counts.true_positive as f64, counts.predicted as f64);
        let recall = fraction(counts.true_positive as f64, counts.gold as f64);
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

/// How good predictions are, by entity type and in the three usual averages.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Each type that is in the gold or in the predictions.
    pub per_type: BTreeMap<Arc<str>, Score>,
    /// All entities together.
    pub micro: Score,
    /// The plain mean over the types of [`Self::per_type`].
    pub macro_average: Prf,
    /// The mean over the types, weighted by the number of gold entities.
    pub weighted: Prf,
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
        let macro_average = mean(&per_type, |_| 1.0);
        let weighted = mean(&per_type, |score| score.counts.gold as f64);
        Self { per_type, micro: total.into(), macro_average, weighted }
    }
}

fn mean(per_type: &BTreeMap<Arc<str>, Score>, weight: impl Fn(&Score) -> f64) -> Prf {
    let total: f64 = per_type.values().map(&weight).sum();
    let of = |value: fn(&Prf) -> f64| {
        fraction(per_type.values().map(|score| weight(score) * value(&score.prf)).sum(), total)
    };
    Prf { precision: of(|p| p.precision), recall: of(|p| p.recall), f1: of(|p| p.f1) }
}

fn fraction(part: f64, whole: f64) -> f64 {
    if whole == 0.0 { 0.0 } else { part / whole }
}
