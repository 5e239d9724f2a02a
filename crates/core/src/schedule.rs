//! Learning-rate schedules: pure functions of the step.
//!
//! The convention is that of `get_linear_schedule_with_warmup` in transformers: steps count from 0, and `factor(0)`
//! scales the first update. With warm-up that first factor is 0, and the full rate is reached at step `warmup_steps`; a
//! linear decay would reach 0 at step `total`, one past the last update.

use serde::{Deserialize, Serialize};

/// How the learning rate moves after the warm-up.
///
/// ```
/// use apprentice_core::Schedule;
/// let factors: Vec<f64> = (0..6).map(|step| Schedule::Linear.factor(step, 6, 2)).collect();
/// assert_eq!(factors, [0.0, 0.5, 1.0, 0.75, 0.5, 0.25]);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// It stays.
    Constant,
    /// It falls to 0 in a straight line.
    #[default]
    Linear,
}

impl Schedule {
    /// What the learning rate is multiplied by at `step` (from 0) of `total`.
    #[must_use]
    pub fn factor(self, step: usize, total: usize, warmup_steps: usize) -> f64 {
        if step < warmup_steps {
            return step as f64 / warmup_steps as f64;
        }
        match self {
            Self::Constant => 1.0,
            Self::Linear => total.saturating_sub(step) as f64 / total.saturating_sub(warmup_steps).max(1) as f64,
        }
    }
}
