//! How sure a labeller is.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How sure whoever labelled a span is of it: a number from 0 to 1, such as the share of a teacher's answers that have it.
///
/// ```
/// use apprentice_core::Confidence;
/// assert_eq!(Confidence::new(0.75).unwrap().get(), 0.75);
/// assert_eq!(Confidence::new(-3.0).unwrap_err().to_string(), "-3 is not a confidence: expected a number from 0 to 1");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Confidence(f64);

/// A number that is not from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Error)]
#[error("{found} is not a confidence: expected a number from 0 to 1")]
pub struct NotAConfidence {
    /// The number.
    pub found: f64,
}

impl Confidence {
    /// A number from 0 to 1.
    ///
    /// # Errors
    /// [`NotAConfidence`].
    pub fn new(share: f64) -> Result<Self, NotAConfidence> {
        // Adding 0 makes -0 the other zero, so that equal confidences have equal bits.
        if (0.0..=1.0).contains(&share) { Ok(Self(share + 0.0)) } else { Err(NotAConfidence { found: share }) }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Confidence {
    type Error = NotAConfidence;

    fn try_from(share: f64) -> Result<Self, NotAConfidence> {
        Self::new(share)
    }
}

impl From<Confidence> for f64 {
    fn from(confidence: Confidence) -> Self {
        confidence.0
    }
}

// It is never NaN.
impl Eq for Confidence {}

impl Ord for Confidence {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Confidence {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
