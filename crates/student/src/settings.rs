//! All settings of a training run.

use apprentice_core::{Regimen, Schedule};
use serde::{Deserialize, Serialize};

use crate::StudentError;

/// What decides a training run besides the data and the encoder. The same settings, data and machine give the same
/// weights, bit for bit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainSettings {
    /// Passes, as the regimen counts them.
    pub epochs: usize,
    /// Sentences per optimiser step.
    pub batch_size: usize,
    /// An optimiser step's sentences are computed in this many parts: less memory, the same result but for rounding
    /// and dropout.
    pub accumulation: usize,
    /// The learning rate that the schedule scales.
    pub learning_rate: f64,
    /// How the learning rate moves; `simple-mix` is constant whatever stands here.
    pub schedule: Schedule,
    /// Steps over which the learning rate rises from 0, in every stage of the regimen.
    pub warmup_steps: usize,
    /// Decoupled weight decay, not applied to biases and `LayerNorm`.
    pub weight_decay: f64,
    /// Gradients are scaled down to this global norm; 0 for no clipping.
    pub max_gradient_norm: f64,
    /// Decides the order of the data, dropout and fresh weights.
    pub seed: u64,
    /// Longest window in sub-words; the model's limit if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
    /// Sentences per epoch; one pass over the data in use if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch_size: Option<usize>,
    /// Which data in which epoch.
    // A table: TOML wants it behind the plain values.
    pub regimen: Regimen,
}

impl Default for TrainSettings {
    fn default() -> Self {
        Self {
            epochs: 10,
            batch_size: 32,
            accumulation: 1,
            learning_rate: 1e-4,
            schedule: Schedule::Linear,
            warmup_steps: 0,
            weight_decay: 0.0,
            max_gradient_norm: 1.0,
            seed: 1,
            max_length: None,
            epoch_size: None,
            regimen: Regimen::OriginalOnly,
        }
    }
}

impl TrainSettings {
    /// Checks what does not depend on the data.
    ///
    /// # Errors
    /// [`StudentError::Setting`] for the first value without meaning.
    pub fn check(&self) -> Result<(), StudentError> {
        let setting = |setting, found: &dyn ToString, expected| {
            Err(StudentError::Setting { setting, found: found.to_string(), expected })
        };
        for (name, count) in
            [("epochs", self.epochs), ("batch_size", self.batch_size), ("accumulation", self.accumulation)]
        {
            if count == 0 {
                return setting(name, &count, "at least 1");
            }
        }
        if self.accumulation > self.batch_size {
            return setting("accumulation", &self.accumulation, "at most batch_size");
        }
        if !(self.learning_rate > 0.0 && (self.learning_rate as f32).is_finite()) {
            return setting("learning_rate", &self.learning_rate, "a positive number, such as 1e-4");
        }
        for (name, value) in [("weight_decay", self.weight_decay), ("max_gradient_norm", self.max_gradient_norm)] {
            if !(value >= 0.0 && value.is_finite()) {
                return setting(name, &value, "0 or a positive number");
            }
        }
        Ok(())
    }
}
