//! Curves: how something falls from 1 to 0 over a run, and values that move along one.
//!
//! With `t` the time from 0 to 1, a curve is `p(t)`, with `p(0) = 1` and `p(1) = 0` but for the constant one:
//!
//! | curve | p(t) |
//! |---|---|
//! | `linear` | `1 - t` |
//! | `cosine` | `(1 + cos πt) / 2` |
//! | `sigmoid`, `k` = 10, `mid` = 0.5 | `1 / (1 + exp(k (t - mid)))`, rescaled to end at 1 and 0 |
//! | `power`, `g` = 2 | `(1 - t)^g` |
//! | `exponential`, `k` = 5 | `(exp(-kt) - exp(-k)) / (1 - exp(-k))` |
//! | `constant`, `c` | `c` |
//!
//! The formulas are ours: the paper's own are not given in what we could read of it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::choice::{Choice, ChoiceError, Reading};

/// A way from 1 to 0.
///
/// ```
/// use apprentice_core::Curve;
/// assert_eq!([0.0, 0.5, 1.0].map(|t| Curve::Power { g: 2.0 }.at(t)), [1.0, 0.25, 0.0]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Curve {
    /// In a straight line.
    Linear,
    /// Slow at both ends.
    Cosine,
    /// Slow at both ends, fast in between.
    Sigmoid {
        /// How steep, from 0.001 to 1000.
        k: f64,
        /// The time of the steepest fall, from 0 to 1.
        mid: f64,
    },
    /// Fast first where `g` is above 1.
    Power {
        /// The exponent, from 0.001 to 1000.
        g: f64,
    },
    /// Fast first.
    Exponential {
        /// How fast, from 0.001 to 1000.
        k: f64,
    },
    /// No change at all.
    Constant {
        /// The value, from 0 to 1.
        c: f64,
    },
}

impl Curve {
    /// The names.
    pub const NAMES: [&'static str; 6] = ["linear", "cosine", "sigmoid", "power", "exponential", "constant"];

    /// The name, without parameters.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Cosine => "cosine",
            Self::Sigmoid { .. } => "sigmoid",
            Self::Power { .. } => "power",
            Self::Exponential { .. } => "exponential",
            Self::Constant { .. } => "constant",
        }
    }

    /// The value at `time`, from 0 to 1. The same on every machine: it decides what is drawn.
    #[must_use]
    pub fn at(&self, time: f64) -> f64 {
        let value = match *self {
            Self::Linear => 1.0 - time,
            Self::Cosine => f64::midpoint(1.0, libm::cos(std::f64::consts::PI * time)),
            Self::Sigmoid { k, mid } => {
                let sigmoid = |time: f64| 1.0 / (1.0 + libm::exp(k * (time - mid)));
                (sigmoid(time) - sigmoid(1.0)) / (sigmoid(0.0) - sigmoid(1.0))
            }
            Self::Power { g } => libm::pow(1.0 - time, g),
            Self::Exponential { k } => (libm::exp(-k * time) - libm::exp(-k)) / (1.0 - libm::exp(-k)),
            Self::Constant { c } => c,
        };
        value.clamp(0.0, 1.0)
    }

    pub(super) fn read(reading: &mut Reading) -> Result<Self, String> {
        Ok(match reading.word("curve", &Self::NAMES)? {
            "cosine" => Self::Cosine,
            "sigmoid" => Self::Sigmoid { k: reading.number("k", Some(10.0))?, mid: reading.number("mid", Some(0.5))? },
            "power" => Self::Power { g: reading.number("g", Some(2.0))? },
            "exponential" => Self::Exponential { k: reading.number("k", Some(5.0))? },
            "constant" => Self::Constant { c: reading.number("c", None)? },
            _ => Self::Linear,
        })
    }

    pub(super) fn write(&self, choice: Choice) -> Choice {
        let choice = choice.with_word("curve", self.name());
        match *self {
            Self::Linear | Self::Cosine => choice,
            Self::Sigmoid { k, mid } => choice.with_number("k", k).with_number("mid", mid),
            Self::Power { g } => choice.with_number("g", g),
            Self::Exponential { k } => choice.with_number("k", k),
            Self::Constant { c } => choice.with_number("c", c),
        }
    }

    /// What is wrong with the parameters.
    pub(super) fn check(&self) -> Result<(), String> {
        match *self {
            Self::Linear | Self::Cosine => Ok(()),
            Self::Sigmoid { k, mid } => steepness("k", k).and_then(|()| unit("mid", mid)),
            Self::Power { g } => steepness("g", g),
            Self::Exponential { k } => steepness("k", k),
            Self::Constant { c } => unit("c", c),
        }
    }
}

/// Beyond these bounds a curve is a line or a step, and the formulas divide what is left of rounding.
fn steepness(name: &str, value: f64) -> Result<(), String> {
    within(name, value, 0.001, 1000.0)
}

pub(super) fn unit(name: &str, value: f64) -> Result<(), String> {
    within(name, value, 0.0, 1.0)
}

fn within(name: &str, value: f64, from: f64, to: f64) -> Result<(), String> {
    if (from..=to).contains(&value) {
        return Ok(());
    }
    Err(format!("{name} = {value}: expected a number from {from} to {to}"))
}

/// A number, 0 or larger, that may change over the run. In files and flags: `0.5`, `1..0` for a straight line from 1 to
/// 0, or with a [`Curve`], `1..0.2:sigmoid,k=5`.
///
/// ```
/// use apprentice_core::Course;
/// let course: Course = "3..1:power".parse().unwrap();
/// assert_eq!([0.0, 0.5, 1.0].map(|t| course.at(t)), [3.0, 1.5, 1.0]);
/// assert_eq!(course.to_string(), "3..1:power");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum Course {
    /// It stays.
    Constant(f64),
    /// It moves.
    Moving {
        /// The value at time 0.
        from: f64,
        /// The value at time 1.
        to: f64,
        /// The way there; not the constant one.
        curve: Curve,
    },
}

impl Default for Course {
    fn default() -> Self {
        Self::Constant(1.0)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a number, or a text such as \"1..0\" or \"1..0:cosine\"")]
enum Written {
    Number(f64),
    Text(String),
}

impl Course {
    /// The value at `time`, from 0 to 1.
    #[must_use]
    pub fn at(&self, time: f64) -> f64 {
        match *self {
            Self::Constant(value) => value,
            Self::Moving { from, to, curve } => {
                let p = curve.at(time);
                p * from + (1.0 - p) * to
            }
        }
    }

    /// The course, if its numbers make one.
    pub(super) fn check(self) -> Result<Self, ChoiceError> {
        let fits = |value: f64| match value {
            0.0..=1e6 => Ok(()),
            _ => Err("expected numbers from 0 to 1000000".to_owned()),
        };
        let checked = match self {
            Self::Constant(value) => fits(value),
            Self::Moving { curve: Curve::Constant { .. }, .. } => {
                Err("a constant curve goes nowhere: expected a number alone".to_owned())
            }
            Self::Moving { from, to, curve } => fits(from).and_then(|()| fits(to)).and_then(|()| curve.check()),
        };
        checked.map(|()| self).map_err(|problem| ChoiceError { what: "value", found: self.to_string(), problem })
    }
}

impl FromStr for Course {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(value) = text.trim().parse() {
            return Self::Constant(value).check();
        }
        Self::try_from(Choice::parse(text))?.check()
    }
}

impl TryFrom<Choice> for Course {
    type Error = ChoiceError;

    fn try_from(choice: Choice) -> Result<Self, Self::Error> {
        choice.read("value", |reading| {
            let ends =
                reading.kind.split_once("..").and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
            let (from, to) = ends.ok_or("expected a number, or two such as 1..0 or 1..0:cosine")?;
            Ok(Self::Moving { from, to, curve: if reading.is_over() { Curve::Linear } else { Curve::read(reading)? } })
        })
    }
}

impl From<Course> for Choice {
    fn from(course: Course) -> Self {
        match course {
            Course::Constant(value) => Self::new(&value.to_string()),
            Course::Moving { from, to, curve } => {
                let ends = Self::new(&format!("{from}..{to}"));
                if curve == Curve::Linear { ends } else { curve.write(ends) }
            }
        }
    }
}

impl TryFrom<Written> for Course {
    type Error = ChoiceError;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        match written {
            Written::Number(value) => Self::Constant(value).check(),
            Written::Text(text) => text.parse(),
        }
    }
}

impl From<Course> for Written {
    fn from(course: Course) -> Self {
        match course {
            Course::Constant(value) => Self::Number(value),
            Course::Moving { .. } => Self::Text(Choice::from(course).to_string()),
        }
    }
}

impl fmt::Display for Course {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Choice::brief(*self).fmt(f)
    }
}
