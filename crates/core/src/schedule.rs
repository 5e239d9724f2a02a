//! Learning rates: pure functions of the step.
//!
//! The convention is that of `get_linear_schedule_with_warmup` in transformers: steps count from 0, and `factor(0)`
//! scales the first update. With warm-up that first factor is 0, and the full rate is reached at the step where the
//! warm-up ends; a decay would reach 0 at step `total`, one past the last update.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::choice::{Choice, ChoiceError};

/// How the learning rate moves after the warm-up. With `x` the share of those steps that are over:
///
/// | schedule | factor |
/// |---|---|
/// | `constant` | 1 |
/// | `linear` | `1 - x` |
/// | `cosine` | `(1 + cos πx) / 2` |
/// | `polynomial`, `power` = 2 | `(1 - x)^power` |
///
/// ```
/// use apprentice_core::Schedule;
/// let factors: Vec<f64> = (0..6).map(|step| Schedule::Linear.factor(step, 6, 2)).collect();
/// assert_eq!(factors, [0.0, 0.5, 1.0, 0.75, 0.5, 0.25]);
/// assert_eq!("polynomial:power=3".parse(), Ok(Schedule::Polynomial { power: 3.0 }));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Choice", into = "String")]
pub enum Schedule {
    /// It stays.
    Constant,
    /// It falls to 0 in a straight line.
    #[default]
    Linear,
    /// It falls to 0, slowly at both ends.
    Cosine,
    /// It falls to 0, fast first where the power is above 1.
    Polynomial {
        /// The exponent, from 0.001 to 1000.
        power: f64,
    },
}

impl Schedule {
    /// The kinds.
    pub const KINDS: [&'static str; 4] = ["constant", "linear", "cosine", "polynomial"];

    /// What the learning rate is multiplied by at `step` (from 0) of `total`.
    #[must_use]
    pub fn factor(self, step: usize, total: usize, warmup_steps: usize) -> f64 {
        if step < warmup_steps {
            return step as f64 / warmup_steps as f64;
        }
        let left = total.saturating_sub(step) as f64 / total.saturating_sub(warmup_steps).max(1) as f64;
        match self {
            Self::Constant => 1.0,
            Self::Linear => left,
            Self::Cosine => f64::midpoint(1.0, libm::cos(std::f64::consts::PI * (1.0 - left))),
            Self::Polynomial { power } => libm::pow(left, power),
        }
    }
}

impl TryFrom<Choice> for Schedule {
    type Error = ChoiceError;

    fn try_from(choice: Choice) -> Result<Self, Self::Error> {
        choice.read("schedule", |reading| {
            Ok(match reading.kind.as_str() {
                "constant" => Self::Constant,
                "linear" => Self::Linear,
                "cosine" => Self::Cosine,
                "polynomial" => match reading.number("power", Some(2.0))? {
                    power if (0.001..=1000.0).contains(&power) => Self::Polynomial { power },
                    power => return Err(format!("power = {power}: expected a number from 0.001 to 1000")),
                },
                _ => return Err(format!("expected {}", Self::KINDS.join(", "))),
            })
        })
    }
}

impl From<Schedule> for Choice {
    fn from(schedule: Schedule) -> Self {
        match schedule {
            Schedule::Constant => Self::new("constant"),
            Schedule::Linear => Self::new("linear"),
            Schedule::Cosine => Self::new("cosine"),
            Schedule::Polynomial { power } => Self::new("polynomial").with_number("power", power),
        }
    }
}

/// With all parameters.
impl From<Schedule> for String {
    fn from(schedule: Schedule) -> Self {
        Choice::from(schedule).to_string()
    }
}

impl FromStr for Schedule {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::try_from(Choice::parse(text))
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Choice::brief(*self).fmt(f)
    }
}

/// Over how many steps the learning rate rises from 0, in every stage of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Warmup {
    /// So many.
    Steps(usize),
    /// This share of the stage's steps, from 0 to 1, rounded to the nearest number of steps.
    Share(f64),
}

impl Warmup {
    /// The steps in a stage of `total`.
    #[must_use]
    pub fn steps(self, total: usize) -> usize {
        match self {
            Self::Steps(steps) => steps,
            Self::Share(share) => (share * total as f64).round() as usize,
        }
    }
}

/// The learning rate over a whole run, in which the schedule starts again with every stage.
///
/// ```
/// use apprentice_core::{Rates, Schedule, Warmup};
/// let rates = Rates { schedule: Schedule::Linear, warmup: Warmup::Share(0.5), stages: vec![2, 4] };
/// let factors: Vec<f64> = (0..6).map(|step| rates.factor(step)).collect();
/// assert_eq!(factors, [0.0, 1.0, 0.0, 0.5, 1.0, 0.5]);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Rates {
    /// How the rate moves in each stage.
    pub schedule: Schedule,
    /// How it rises in each stage.
    pub warmup: Warmup,
    /// How many steps each stage has.
    pub stages: Vec<usize>,
}

impl Rates {
    /// What the learning rate is multiplied by at `step` (from 0) of the run; after its end, as in the last stage.
    #[must_use]
    pub fn factor(&self, step: usize) -> f64 {
        let mut first = 0;
        for (index, &steps) in self.stages.iter().enumerate() {
            if step < first + steps || index + 1 == self.stages.len() {
                return self.schedule.factor(step - first, steps, self.warmup.steps(steps));
            }
            first += steps;
        }
        0.0
    }
}
