//! Regimens: which data the student sees in which epoch, as pure functions of the epoch and a seed.
//!
//! A [`Regimen`] says which share of an epoch is distilled data; a [`Plan`] turns that into the very examples of every
//! epoch. Time advances from epoch to epoch, and not within one: with `E` epochs, `e = 0 … E-1`, it is
//! `t = e / (E-1)`, or 0 if `E = 1` ([`time`]), however long the epochs are.
//!
//! | regimen | share of distilled data |
//! |---|---|
//! | `original-only` | 0 |
//! | `distilled-only` | 1 |
//! | `sequential`, `simple-mix`, with `switch` = 0.5 | 1 while `t < switch`, then 0 |
//! | `blend` with a [`Curve`] | `p(t)` of the curve |
//! | `all` | every epoch is the union of all sets |
//!
//! With `reverse`, the original data come first: the share is 1 less what the table says.
//!
//! The regimens are those of Huang, Tang and Chen (arXiv 2402.09282); the formulas and the reverse orders are ours.
//!
//! ```
//! use apprentice_core::{Plan, Pool, Pools, Regimen};
//! let regimen: Regimen = "sequential".parse().unwrap();
//! let shares: Vec<_> = (0..5).filter_map(|epoch| regimen.share(epoch, 5)).collect();
//! assert_eq!(shares, [1.0, 1.0, 0.0, 0.0, 0.0]);
//! assert_eq!(regimen.stages(5), [0..2, 2..5]);
//!
//! // 100 original and 900 distilled examples, of 20 tokens each, in batches of 32.
//! let distilled = vec![Pool::new("distilled", vec![20; 900])];
//! let pools = Pools { original: Pool::new("original", vec![20; 100]), distilled };
//! let outline = Plan { epochs: 5, ..Plan::new(regimen, pools) }.outline().unwrap();
//! assert_eq!(outline.iter().map(|epoch| epoch.steps).collect::<Vec<_>>(), [29, 29, 4, 4, 4]);
//! ```

use std::{fmt, ops::Range, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    Schedule,
    choice::{Choice, ChoiceError},
};

mod curve;
mod draw;
mod plan;

pub use curve::{Course, Curve};
pub use draw::{Draw, Draws, Epoch};
pub use plan::{Batch, Budget, EpochOutline, Plan, Pool, Pools};

/// Which data the student sees in which epoch.
///
/// In a configuration file: `regimen = { kind = "blend", curve = "sigmoid", k = 5, reverse = true }`; in flags and
/// reports: `blend:sigmoid,k=5,reverse`. Parameters may be left out, unknown ones are an error.
///
/// ```
/// use apprentice_core::Regimen;
/// let regimen: Regimen = "sequential:switch=0.3,restart=false".parse().unwrap();
/// assert_eq!(regimen, Regimen::Sequential { switch: 0.3, restart: false, reverse: false });
/// assert_eq!(regimen.to_string(), "sequential:switch=0.3,restart=false");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Choice", into = "Choice")]
pub enum Regimen {
    /// Human labels only: the control.
    OriginalOnly,
    /// The teacher's labels only.
    DistilledOnly,
    /// First the distilled, then the original data.
    Sequential {
        /// The time, from 0 to 1, from which on the data is original.
        switch: f64,
        /// Whether the learning-rate schedule starts again at the switch.
        restart: bool,
        /// The original data first.
        reverse: bool,
    },
    /// First the distilled, then the original data, at a constant learning rate: the paper's best.
    SimpleMix {
        /// The time, from 0 to 1, from which on the data is original.
        switch: f64,
        /// The original data first.
        reverse: bool,
    },
    /// From distilled to original data, along a curve.
    Blend {
        /// The share of distilled data.
        curve: Curve,
        /// From original to distilled data.
        reverse: bool,
    },
    /// Every epoch is the union of all sets.
    All,
}

/// Why a regimen cannot be had.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum RegimenError {
    /// A parameter of the regimen, or of a pool's share or weight, that makes no sense.
    #[error(transparent)]
    Parameter(#[from] ChoiceError),
    /// The regimen draws from a data set that has no sentence.
    #[error("regimen {regimen} needs {pool} data and there is none: give some, or choose another regimen")]
    EmptyPool {
        /// The regimen.
        regimen: String,
        /// The name of what it lacks.
        pool: String,
    },
    /// A fixed epoch size or batch of 0.
    #[error("{what} of 0: expected at least 1")]
    Zero {
        /// What is too small.
        what: &'static str,
    },
    /// Distilled data is to be drawn when no pool has a share of it.
    #[error(
        "in epoch {epoch} no distilled pool has a share above 0: expected at least one, there and wherever distilled data is drawn"
    )]
    NoShare {
        /// The first such epoch, counted from 1.
        epoch: usize,
    },
    /// Some pools have a share and others have none.
    #[error(
        "pool {pool} has no share and others have one: give all of them one, or none (then they share by their sizes)"
    )]
    MissingShare {
        /// The first pool without a share.
        pool: String,
    },
    /// The budget does not reach for something in every epoch.
    #[error("a budget of {budget} leaves nothing for epoch {epoch} of {epochs}: expected more, or fewer epochs")]
    Budget {
        /// What is to be spent.
        budget: Budget,
        /// The first epoch without an example, counted from 1.
        epoch: usize,
        /// How many epochs there are.
        epochs: usize,
    },
    /// The budget and the epoch size both say how long an epoch is.
    #[error("a budget of {budget} and an epoch size: expected one of them, for both say how long an epoch is")]
    TwoSizes {
        /// What is to be spent.
        budget: Budget,
    },
    /// A budget of steps whose length in sentences nobody knows.
    #[error(
        "a budget of {budget} with batches measured in tokens: expected batches of sentences, or a budget of tokens"
    )]
    StepsOfTokens {
        /// What is to be spent.
        budget: Budget,
    },
}

/// The time of epoch `epoch` of `epochs`, counted from 0: from 0 in the first to 1 in the last.
#[must_use]
pub fn time(epoch: usize, epochs: usize) -> f64 {
    if epochs > 1 { epoch as f64 / (epochs - 1) as f64 } else { 0.0 }
}

impl Regimen {
    /// The kinds.
    pub const KINDS: [&'static str; 6] =
        ["original-only", "distilled-only", "sequential", "simple-mix", "blend", "all"];

    /// The five of these kinds that need no parameter, in the order in which reports list them.
    pub const DEFAULTS: [Self; 5] = [
        Self::OriginalOnly,
        Self::DistilledOnly,
        Self::Sequential { switch: 0.5, restart: true, reverse: false },
        Self::SimpleMix { switch: 0.5, reverse: false },
        Self::All,
    ];

    /// The kind, without parameters.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::OriginalOnly => "original-only",
            Self::DistilledOnly => "distilled-only",
            Self::Sequential { .. } => "sequential",
            Self::SimpleMix { .. } => "simple-mix",
            Self::Blend { .. } => "blend",
            Self::All => "all",
        }
    }

    /// The share of distilled data in an epoch, or `None` where it follows from the sizes of the sets (`all`).
    #[must_use]
    pub fn share(&self, epoch: usize, epochs: usize) -> Option<f64> {
        let time = time(epoch, epochs);
        let ordered = |share: f64, reverse: bool| Some(if reverse { 1.0 - share } else { share });
        match *self {
            Self::OriginalOnly => Some(0.0),
            Self::DistilledOnly => Some(1.0),
            Self::Sequential { switch, reverse, .. } | Self::SimpleMix { switch, reverse } => {
                ordered(if time < switch { 1.0 } else { 0.0 }, reverse)
            }
            Self::Blend { curve, reverse } => ordered(curve.at(time), reverse),
            Self::All => None,
        }
    }

    /// The ranges of epochs over each of which the learning-rate schedule runs once.
    #[must_use]
    pub fn stages(&self, epochs: usize) -> Vec<Range<usize>> {
        let switch = match *self {
            Self::Sequential { restart: true, switch, .. } => (0..epochs).find(|&epoch| time(epoch, epochs) >= switch),
            _ => None,
        };
        let switch = switch.unwrap_or(epochs);
        [0..switch, switch..epochs].into_iter().filter(|stage| !stage.is_empty()).collect()
    }

    /// The learning-rate schedule that is used where `chosen` was asked for: `simple-mix` is constant by definition.
    #[must_use]
    pub const fn schedule(&self, chosen: Schedule) -> Schedule {
        match self {
            Self::SimpleMix { .. } => Schedule::Constant,
            _ => chosen,
        }
    }

    /// Whether the regimen uses the original data.
    #[must_use]
    pub const fn needs_original(&self) -> bool {
        !matches!(self, Self::DistilledOnly)
    }

    /// Whether the regimen uses distilled data.
    #[must_use]
    pub const fn needs_distilled(&self) -> bool {
        !matches!(self, Self::OriginalOnly)
    }

    /// What is wrong with the parameters.
    fn problem(&self) -> Result<(), String> {
        match *self {
            Self::Sequential { switch, .. } | Self::SimpleMix { switch, .. } => curve::unit("switch", switch),
            Self::Blend { curve, .. } => curve.check(),
            _ => Ok(()),
        }
    }

    fn check(&self) -> Result<(), ChoiceError> {
        self.problem().map_err(|problem| ChoiceError { what: "regimen", found: self.to_string(), problem })
    }
}

impl TryFrom<Choice> for Regimen {
    type Error = ChoiceError;

    fn try_from(choice: Choice) -> Result<Self, Self::Error> {
        choice.read("regimen", |reading| {
            let regimen = match reading.kind.as_str() {
                "original-only" => Self::OriginalOnly,
                "distilled-only" => Self::DistilledOnly,
                "sequential" => Self::Sequential {
                    switch: reading.number("switch", Some(0.5))?,
                    restart: reading.switch("restart", true)?,
                    reverse: reading.switch("reverse", false)?,
                },
                "simple-mix" => Self::SimpleMix {
                    switch: reading.number("switch", Some(0.5))?,
                    reverse: reading.switch("reverse", false)?,
                },
                "blend" => {
                    let curve = Curve::read(reading)?;
                    Self::Blend { curve, reverse: reading.switch("reverse", false)? }
                }
                "all" => Self::All,
                _ => return Err(format!("expected {}", Self::KINDS.join(", "))),
            };
            regimen.problem().map(|()| regimen)
        })
    }
}

impl From<Regimen> for Choice {
    fn from(regimen: Regimen) -> Self {
        let choice = Self::new(regimen.kind());
        match regimen {
            Regimen::OriginalOnly | Regimen::DistilledOnly | Regimen::All => choice,
            Regimen::Sequential { switch, restart, reverse } => {
                choice.with_number("switch", switch).with_switch("restart", restart).with_switch("reverse", reverse)
            }
            Regimen::SimpleMix { switch, reverse } => {
                choice.with_number("switch", switch).with_switch("reverse", reverse)
            }
            Regimen::Blend { curve, reverse } => curve.write(choice).with_switch("reverse", reverse),
        }
    }
}

/// The short form.
impl FromStr for Regimen {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::try_from(Choice::parse(text))
    }
}

/// The short form, without what is so by default.
impl fmt::Display for Regimen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Choice::brief(*self).fmt(f)
    }
}
