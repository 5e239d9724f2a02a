//! How sure a score is: intervals for one system, tests between two, and statistics over seeds.
//!
//! Sources of chance are told apart:
//!
//! | what could have come out otherwise | answered by |
//! |---|---|
//! | the choice of test sentences, for one system | [`bootstrap`]: percentile intervals (Efron 1979) |
//! | the choice of test sentences, for two systems | [`paired_bootstrap`], [`approximate_randomisation`] |
//! | the seed of the training | [`Summary`], [`welch`], [`paired_t`] |
//! | both, for two systems with the same seeds | [`paired_bootstrap_of_runs`] |
//!
//! and [`holm`] keeps many comparisons at once honest.
//!
//! Everything about test sentences works on [`UnitCounts`]: counts of each *unit* (a sentence, or a document where
//! sentences of a document are not independent) and entity type. A resample is then a sum, however entities were compared.
//! On a resample, as everywhere, macro F1 is the mean over the types that occur in it, in gold or predictions.
//!
//! Resample `r` draws from stream `r` of `ChaCha8` under the seed, so results depend neither on the number of threads nor
//! on how the work is cut.
//!
//! ```
//! use apprentice_core::{Counts, metrics::uncertainty::{Resampling, UnitCounts, bootstrap, paired_bootstrap}};
//! // 100 sentences with one PER each: the first system finds 80 of them, the second 60 of the same 80.
//! let system = |found: usize| -> UnitCounts {
//!     let unit = |hit: bool| Counts { true_positive: usize::from(hit), predicted: usize::from(hit), gold: 1 };
//!     (0..100).map(|i| [("PER".into(), unit(i < found))]).collect()
//! };
//! let settings = Resampling { resamples: 2000, seed: 1, level: 0.95 };
//! let recall = bootstrap(&system(80), &settings)?.recall;
//! assert_eq!(recall.estimate, 0.8);
//! assert!((0.70..0.74).contains(&recall.low) && (0.86..0.89).contains(&recall.high));
//!
//! let test = paired_bootstrap(&system(80), &system(60), &settings)?;
//! assert!(test.f1.p_value < 0.001);
//! # Ok::<(), apprentice_core::metrics::uncertainty::UncertaintyError>(())
//! ```

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

mod bootstrap;
mod groups;
mod holm;
mod randomisation;
mod seeds;
mod student_t;
mod units;

pub use bootstrap::{Comparison, Intervals, PairedBootstrap, bootstrap, paired_bootstrap, paired_bootstrap_of_runs};
pub use holm::holm;
pub use randomisation::{Randomisation, Randomised, approximate_randomisation};
pub use seeds::{Summary, TTest, paired_t, welch};
pub use units::UnitCounts;

/// How test sets are drawn again.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Resampling {
    /// How many test sets are drawn, or how many times the two systems' outputs are shuffled.
    pub resamples: usize,
    /// Decides the draws, and nothing else does.
    pub seed: u64,
    /// How often an interval should hold the true value, such as 0.95.
    pub level: f64,
}

impl Default for Resampling {
    fn default() -> Self {
        Self { resamples: 10_000, seed: 1, level: 0.95 }
    }
}

impl Resampling {
    fn check(&self) -> Result<(), UncertaintyError> {
        check_level(self.level)?;
        if self.resamples == 0 { Err(UncertaintyError::NoResamples) } else { Ok(()) }
    }
}

fn check_level(level: f64) -> Result<(), UncertaintyError> {
    if 0.0 < level && level < 1.0 { Ok(()) } else { Err(UncertaintyError::Level { found: level }) }
}

/// A value and where the true one may lie.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The value itself, from all the data.
    pub estimate: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// The confidence level, such as 0.95.
    pub level: f64,
}

/// What cannot be computed, and why.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum UncertaintyError {
    /// There is nothing to draw from.
    #[error("no units to resample: expected the counts of at least one sentence or document")]
    NoUnits,
    /// More units than the random draws can tell apart.
    #[error("{found} units to resample: at most {max} are supported; merge sentences into documents", max = u32::MAX)]
    TooManyUnits {
        /// How many.
        found: usize,
    },
    /// Nothing would be drawn.
    #[error("0 resamples: expected at least 1, and 1000 or more for an interval")]
    NoResamples,
    /// A confidence level that is none.
    #[error("confidence level {found}: expected a number above 0 and below 1, such as 0.95")]
    Level {
        /// What was given.
        found: f64,
    },
    /// Two systems with different numbers of units.
    #[error("the first system has {first} units, the second {second}: expected the same sentences in the same order")]
    Units {
        /// In the first.
        first: usize,
        /// In the second.
        second: usize,
    },
    /// Two systems that were scored against different gold.
    #[error(
        "unit {unit} (from 0) has {first} gold entities of type {label} for the first system, {second} for the second: \
         expected both to be scored against the same gold"
    )]
    Gold {
        /// Which unit, from 0.
        unit: usize,
        /// Of which type.
        label: Arc<str>,
        /// For the first system.
        first: usize,
        /// For the second.
        second: usize,
    },
    /// Documents for a different number of sentences.
    #[error("{units} units, but documents for {documents}: expected one document for each unit")]
    Documents {
        /// How many units.
        units: usize,
        /// For how many a document was given.
        documents: usize,
    },
    /// A sentence that is in no document.
    #[error("sentence {unit} (from 0) is in no document: expected all to be in one; resample sentences instead")]
    NoDocument {
        /// Which unit, from 0.
        unit: usize,
    },
    /// Too few seeds.
    #[error("{found} values where at least {expected} are needed: train with more seeds")]
    TooFew {
        /// How many there are.
        found: usize,
        /// How many it takes.
        expected: usize,
    },
    /// Pairs that do not match up.
    #[error("{first} values for the first, {second} for the second: a paired test needs one of each for every seed")]
    Pairs {
        /// Of the first.
        first: usize,
        /// Of the second.
        second: usize,
    },
    /// A value that is no number.
    #[error("value {index} (from 0) is {found}: expected a finite number")]
    NotFinite {
        /// Which, from 0.
        index: usize,
        /// What it is.
        found: f64,
    },
    /// Values that do not vary, so that a t test has nothing to measure against.
    #[error("the values do not differ from seed to seed: a t test needs some spread; check that the seeds were used")]
    NoSpread,
    /// A p-value that is none.
    #[error("p-value {index} (from 0) is {found}: expected a number from 0 to 1")]
    PValue {
        /// Which, from 0.
        index: usize,
        /// What it is.
        found: f64,
    },
}
