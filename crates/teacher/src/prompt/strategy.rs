//! Prompt strategies and the versions of their wording.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The version of a built-in template's wording, which goes up whenever the wording changes; old ones stay, so that old
/// runs can be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Version {
    /// One message, the sentence at its end.
    One,
    /// Rules and examples in the system message; the sentence in the user's, fenced off as data.
    #[default]
    Two,
}

impl Version {
    /// All versions, the latest last.
    pub const ALL: [Self; 2] = [Self::One, Self::Two];

    /// As it is written behind `@`.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }
}

/// How a sentence is put to the teacher.
///
/// Built-in strategies are written `standard@1` or `cot@2`; without a version, the latest is meant.
///
/// ```
/// use apprentice_teacher::{Strategy, Version};
/// let strategy: Strategy = "cot".parse().unwrap();
/// assert_eq!((strategy.to_string(), &strategy), ("cot@2".to_owned(), &Strategy::Cot(Version::Two)));
/// let error = "cot@9".parse::<Strategy>().unwrap_err();
/// assert_eq!(error.to_string(),
///     "strategy \"cot@9\" is not built in, expected standard or cot, or one of their versions standard@1, standard@2, \
///      cot@1, cot@2");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum Strategy {
    /// A few examples, answer only.
    Standard(Version),
    /// Chain of thought: four steps of reasoning, then the answer.
    Cot(Version),
    /// A user's own template.
    Custom {
        /// What transcripts and reports call it.
        name: String,
        /// Minijinja text; see the [module](crate::prompt) for its variables.
        template: String,
        /// Whether it asks for reasoning before the answer.
        reasons: bool,
    },
}

/// A strategy in a settings file: a name, or a table.
#[derive(Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "expected the name of a strategy, or a table with `name`, `template` and, if it asks for reasoning, `reasons = true`"
)]
enum Written {
    BuiltIn(String),
    Custom {
        name: String,
        template: String,
        #[serde(default)]
        reasons: bool,
    },
}

/// A name that is not that of a built-in strategy.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "strategy {found:?} is not built in, expected standard or cot, or one of their versions {versions}",
    versions = Strategy::built_in().map(|s| s.to_string()).collect::<Vec<_>>().join(", ")
)]
pub struct UnknownStrategy {
    /// The name.
    pub found: String,
}

impl Default for Strategy {
    fn default() -> Self {
        Self::Standard(Version::default())
    }
}

impl Strategy {
    /// All built-in strategies in all versions.
    pub fn built_in() -> impl Iterator<Item = Self> {
        [Self::Standard, Self::Cot].into_iter().flat_map(|strategy| Version::ALL.into_iter().map(strategy))
    }

    /// What transcripts, provenance and reports call it: `standard`, `cot@2`, or the name of a user's template. Version 1
    /// is called without its number, as it was recorded before there were others.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Standard(Version::One) => "standard",
            Self::Standard(Version::Two) => "standard@2",
            Self::Cot(Version::One) => "cot",
            Self::Cot(Version::Two) => "cot@2",
            Self::Custom { name, .. } => name,
        }
    }

    /// The built-in strategy that a transcript calls `name`: the inverse of [`Self::name`].
    ///
    /// ```
    /// use apprentice_teacher::{Strategy, Version};
    /// assert_eq!(Strategy::recorded("standard"), Some(Strategy::Standard(Version::One)));
    /// ```
    #[must_use]
    pub fn recorded(name: &str) -> Option<Self> {
        Self::built_in().find(|strategy| strategy.name() == name)
    }

    /// The version of a built-in template's wording. A user's template has none: it is known by its text.
    #[must_use]
    pub const fn version(&self) -> Option<Version> {
        match self {
            Self::Standard(version) | Self::Cot(version) => Some(*version),
            Self::Custom { .. } => None,
        }
    }

    /// Whether the teacher reasons before it answers: it needs more tokens, and a structured answer needs a place for the
    /// reasoning ([`LabelSet::reasoning_schema`](crate::LabelSet::reasoning_schema)).
    #[must_use]
    pub const fn reasons(&self) -> bool {
        match self {
            Self::Standard(_) => false,
            Self::Cot(_) => true,
            Self::Custom { reasons, .. } => *reasons,
        }
    }

    /// The template's text.
    #[must_use]
    pub fn template(&self) -> &str {
        match self {
            Self::Standard(Version::One) => include_str!("../../prompts/standard-1.md"),
            Self::Standard(Version::Two) => include_str!("../../prompts/standard-2.md"),
            Self::Cot(Version::One) => include_str!("../../prompts/cot-1.md"),
            Self::Cot(Version::Two) => include_str!("../../prompts/cot-2.md"),
            Self::Custom { template, .. } => template,
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Standard(version) => write!(f, "standard@{}", version.number()),
            Self::Cot(version) => write!(f, "cot@{}", version.number()),
            Self::Custom { name, .. } => f.write_str(name),
        }
    }
}

impl FromStr for Strategy {
    type Err = UnknownStrategy;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "standard" => Ok(Self::Standard(Version::default())),
            "cot" => Ok(Self::Cot(Version::default())),
            _ => Self::built_in()
                .find(|strategy| strategy.to_string() == text)
                .ok_or_else(|| UnknownStrategy { found: text.to_owned() }),
        }
    }
}

impl From<Strategy> for Written {
    fn from(strategy: Strategy) -> Self {
        match strategy {
            Strategy::Custom { name, template, reasons } => Self::Custom { name, template, reasons },
            built_in => Self::BuiltIn(built_in.to_string()),
        }
    }
}

impl TryFrom<Written> for Strategy {
    type Error = UnknownStrategy;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        match written {
            Written::BuiltIn(name) => name.parse(),
            Written::Custom { name, template, reasons } => Ok(Self::Custom { name, template, reasons }),
        }
    }
}
