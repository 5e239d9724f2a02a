//! Regimens: which data the student sees in which epoch, as pure functions of the epoch and a seed.
//!
//! A [`Regimen`] says which share of an epoch is distilled data; a [`Plan`] turns that into the very examples of every
//! epoch. With `E` epochs, `e = 0 … E-1`, let `t = e / (E-1)`, or 0 if `E = 1`:
//!
//! | regimen | share of distilled data |
//! |---|---|
//! | `original-only` | 0 |
//! | `distilled-only` | 1 |
//! | `sequential`, `simple-mix` | 1 while `t < switch`, then 0 |
//! | `all` | every epoch is the union of both sets |
//!
//! The regimens are those of Huang, Tang and Chen (arXiv 2402.09282); the formulas are ours.
//!
//! ```
//! use apprentice_core::{Plan, Pools, Regimen};
//! let regimen = Regimen::Sequential { switch: 0.5, restart: true };
//! let shares: Vec<_> = (0..5).filter_map(|epoch| regimen.share(epoch, 5)).collect();
//! assert_eq!(shares, [1.0, 1.0, 0.0, 0.0, 0.0]);
//! assert_eq!(regimen.stages(5), [0..2, 2..5]);
//!
//! let pools = Pools { original: 100, distilled: 900 };
//! let plan = Plan { regimen, pools, epochs: 5, epoch_size: None, seed: 1 };
//! assert_eq!(plan.lengths().unwrap(), [900, 900, 100, 100, 100]);
//! ```

use std::{fmt, ops::Range, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Schedule;

mod draw;

pub use draw::{Draw, Draws, Plan, Pool, Pools};

/// Which data the student sees in which epoch.
///
/// In a configuration file: `regimen = { kind = "sequential", switch = 0.5 }`. Parameters may be left out, unknown ones
/// are an error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", try_from = "Unchecked")]
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
    },
    /// First the distilled, then the original data, at a constant learning rate: the paper's best.
    SimpleMix {
        /// The time, from 0 to 1, from which on the data is original.
        switch: f64,
    },
    /// Every epoch is the union of both sets.
    All,
}

/// What a file may say. Not [`Regimen`] itself, because serde lets a unit variant pass with any unknown field.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
enum Unchecked {
    OriginalOnly {},
    DistilledOnly {},
    Sequential {
        #[serde(default = "default_switch")]
        switch: f64,
        #[serde(default = "default_restart")]
        restart: bool,
    },
    SimpleMix {
        #[serde(default = "default_switch")]
        switch: f64,
    },
    All {},
}

const fn default_switch() -> f64 {
    0.5
}

const fn default_restart() -> bool {
    true
}

/// Why a regimen cannot be had.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum RegimenError {
    /// The regimen draws from a data set that has no sentence.
    #[error("regimen {regimen} needs {pool} data and there is none: give some, or choose another regimen")]
    EmptyPool {
        /// The regimen's name.
        regimen: &'static str,
        /// What it lacks.
        pool: Pool,
    },
    /// A fixed epoch size of 0.
    #[error("an epoch of 0 examples: expected at least 1")]
    EmptyEpoch,
    /// A switch that is not a time of the run.
    #[error("switch = {found}: expected a number from 0 (start of the run) to 1 (its last epoch)")]
    Switch {
        /// What was asked for.
        found: f64,
    },
    /// No regimen has this name.
    #[error("unknown regimen `{found}`: expected {}", Regimen::DEFAULTS.map(|r| r.name()).join(", "))]
    Name {
        /// What was asked for.
        found: String,
    },
}

impl Regimen {
    /// Every regimen with its default parameters, in the order in which reports list them.
    pub const DEFAULTS: [Self; 5] = [
        Self::OriginalOnly,
        Self::DistilledOnly,
        Self::Sequential { switch: default_switch(), restart: default_restart() },
        Self::SimpleMix { switch: default_switch() },
        Self::All,
    ];

    /// The name, without parameters.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::OriginalOnly => "original-only",
            Self::DistilledOnly => "distilled-only",
            Self::Sequential { .. } => "sequential",
            Self::SimpleMix { .. } => "simple-mix",
            Self::All => "all",
        }
    }

    /// The share of distilled data in an epoch, or `None` where it follows from the sizes of the sets (`all`).
    #[must_use]
    pub fn share(&self, epoch: usize, epochs: usize) -> Option<f64> {
        let time = if epochs > 1 { epoch as f64 / (epochs - 1) as f64 } else { 0.0 };
        match *self {
            Self::OriginalOnly => Some(0.0),
            Self::DistilledOnly => Some(1.0),
            Self::Sequential { switch, .. } | Self::SimpleMix { switch } => Some(if time < switch { 1.0 } else { 0.0 }),
            Self::All => None,
        }
    }

    /// The ranges of epochs over each of which the learning-rate schedule runs once.
    #[must_use]
    pub fn stages(&self, epochs: usize) -> Vec<Range<usize>> {
        let switch = match self {
            Self::Sequential { restart: true, .. } => (0..epochs).find(|&e| self.share(e, epochs) == Some(0.0)),
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

    /// Whether the regimen uses this data set.
    #[must_use]
    pub const fn needs(&self, pool: Pool) -> bool {
        match self {
            Self::OriginalOnly => matches!(pool, Pool::Original),
            Self::DistilledOnly => matches!(pool, Pool::Distilled),
            Self::Sequential { .. } | Self::SimpleMix { .. } | Self::All => true,
        }
    }

    fn check(self) -> Result<Self, RegimenError> {
        match self {
            Self::Sequential { switch, .. } | Self::SimpleMix { switch } if !(0.0..=1.0).contains(&switch) => {
                Err(RegimenError::Switch { found: switch })
            }
            _ => Ok(self),
        }
    }
}

impl TryFrom<Unchecked> for Regimen {
    type Error = RegimenError;

    fn try_from(raw: Unchecked) -> Result<Self, RegimenError> {
        match raw {
            Unchecked::OriginalOnly {} => Self::OriginalOnly,
            Unchecked::DistilledOnly {} => Self::DistilledOnly,
            Unchecked::Sequential { switch, restart } => Self::Sequential { switch, restart },
            Unchecked::SimpleMix { switch } => Self::SimpleMix { switch },
            Unchecked::All {} => Self::All,
        }
        .check()
    }
}

/// The plain names, with default parameters.
impl FromStr for Regimen {
    type Err = RegimenError;

    fn from_str(s: &str) -> Result<Self, RegimenError> {
        let known = Self::DEFAULTS.into_iter().find(|regimen| regimen.name() == s);
        known.ok_or_else(|| RegimenError::Name { found: s.to_owned() })
    }
}

impl fmt::Display for Regimen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
