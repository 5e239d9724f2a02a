//! All settings of a training run.

use std::{collections::BTreeMap, fmt, str::FromStr};

use apprentice_core::{Budget, Course, Regimen, Schedule, Warmup};
use apprentice_encoder::{AdamW, Precision};
use serde::{Deserialize, Serialize};

use crate::StudentError;

/// What decides a training run besides the data and the encoder. The same settings, data and machine give the same
/// weights, bit for bit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainSettings {
    /// Passes, as the regimen counts them: the time axis of regimen, shares and weights, whatever an epoch's length.
    pub epochs: usize,
    /// Sentences per optimiser step.
    pub batch_size: usize,
    /// Sub-words per optimiser step, in place of `batch_size`: as many sentences as fit, in the order drawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_tokens: Option<usize>,
    /// An optimiser step's sentences are computed in this many parts: less memory, the same result but for rounding
    /// and dropout.
    pub accumulation: usize,
    /// How the classes of a sentence's words are learnt together.
    #[serde(skip_serializing_if = "is_default")]
    pub head: Head,
    /// The number format of the products with the layers' weights, in training and in the scoring of dev; the student keeps
    /// it. Not `int8`. `auto` is resolved when the settings are read.
    #[serde(skip_serializing_if = "is_default")]
    pub precision: Precision,
    /// The learning rate that the schedule scales.
    pub learning_rate: f64,
    /// How the learning rate moves; `simple-mix` is constant whatever stands here.
    pub schedule: Schedule,
    /// Steps over which the learning rate rises from 0, in every stage of the regimen.
    pub warmup_steps: usize,
    /// The same as a share of the stage's steps, from 0 to 1, in place of `warmup_steps`.
    pub warmup_share: f64,
    /// Each layer learns at this times the rate of the layer above it, the embeddings at the lowest; see [`AdamW`].
    pub layer_decay: f64,
    /// The head learns at this times the rate.
    pub head_rate: f64,
    /// Decoupled weight decay, not applied to biases and `LayerNorm`.
    pub weight_decay: f64,
    /// Gradients are scaled down to this global norm; 0 for no clipping.
    pub max_gradient_norm: f64,
    /// Whether the loss of an entity's words is multiplied by the confidence that its labeller has in it, where the data
    /// say so: entities on which a teacher's answers do not agree count less.
    #[serde(skip_serializing_if = "is_default")]
    pub weigh_by_confidence: bool,
    /// Decides the order of the data, dropout and fresh weights.
    pub seed: u64,
    /// Longest window in sub-words; the model's limit if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
    /// Sentences per epoch; if absent, as many as the original data where a regimen blends, else one pass over the data
    /// in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch_size: Option<usize>,
    /// Optimiser steps of the whole run, divided among the epochs, in place of an epoch size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_steps: Option<usize>,
    /// Sub-words of the whole run, divided among the epochs, in place of an epoch size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_tokens: Option<usize>,
    /// Which data in which epoch.
    // Tables: TOML wants them behind the plain values.
    pub regimen: Regimen,
    /// Shares and weights of the pools, by name; those that are not here have the defaults.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub pools: BTreeMap<String, PoolSettings>,
}

/// The output layer: how the classes of a sentence's words belong together. Both predict well-formed tags only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Head {
    /// Each word has a distribution of its own: cross-entropy of its softmax.
    #[default]
    Softmax,
    /// All well-formed sequences of a sentence have one distribution, to which scores of class after class are learnt: a
    /// linear-chain CRF (Lample et al., "Neural Architectures for Named Entity Recognition", 2016). They start at 0. A
    /// sentence's weight is the mean of its words'.
    Crf,
}

impl FromStr for Head {
    type Err = StudentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "softmax" => Ok(Self::Softmax),
            "crf" => Ok(Self::Crf),
            _ => Err(StudentError::Setting { setting: "head", found: text.to_owned(), expected: "softmax or crf" }),
        }
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Softmax => "softmax",
            Self::Crf => "crf",
        })
    }
}

/// How one pool of data is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PoolSettings {
    /// Its part of the distilled data over time, relative to the other distilled pools'; its size if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<Course>,
    /// What the loss of its sentences is multiplied by over time.
    pub weight: Course,
}

impl Default for TrainSettings {
    fn default() -> Self {
        Self {
            epochs: 10,
            batch_size: 32,
            batch_tokens: None,
            accumulation: 1,
            head: Head::Softmax,
            precision: Precision::F32,
            learning_rate: 1e-4,
            schedule: Schedule::Linear,
            warmup_steps: 0,
            warmup_share: 0.0,
            layer_decay: 1.0,
            head_rate: 1.0,
            weight_decay: 0.0,
            max_gradient_norm: 1.0,
            weigh_by_confidence: false,
            seed: 1,
            max_length: None,
            epoch_size: None,
            budget_steps: None,
            budget_tokens: None,
            regimen: Regimen::OriginalOnly,
            pools: BTreeMap::new(),
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
        if self.batch_tokens.is_none() && self.accumulation > self.batch_size {
            return setting("accumulation", &self.accumulation, "at most batch_size");
        }
        if self.precision == Precision::Int8 {
            return setting("precision", &self.precision, "f32, bf16 or auto: int8 is for prediction alone");
        }
        if !(self.learning_rate > 0.0 && (self.learning_rate as f32).is_finite()) {
            return setting("learning_rate", &self.learning_rate, "a positive number, such as 1e-4");
        }
        for (name, value) in [
            ("weight_decay", self.weight_decay),
            ("max_gradient_norm", self.max_gradient_norm),
            ("layer_decay", self.layer_decay),
            ("head_rate", self.head_rate),
        ] {
            if !(value >= 0.0 && (value as f32).is_finite()) {
                return setting(name, &value, "0 or a positive number");
            }
        }
        if !(0.0..=1.0).contains(&self.warmup_share) {
            return setting("warmup_share", &self.warmup_share, "a number from 0 to 1");
        }
        if self.warmup_share > 0.0 && self.warmup_steps > 0 {
            return setting("warmup_share", &self.warmup_share, "0, because warmup_steps says how long the warm-up is");
        }
        match (self.budget_steps, self.budget_tokens) {
            (Some(steps), Some(_)) => setting("budget_steps", &steps, "none, because there is budget_tokens"),
            _ => Ok(()),
        }
    }

    pub(crate) fn warmup(&self) -> Warmup {
        if self.warmup_share > 0.0 { Warmup::Share(self.warmup_share) } else { Warmup::Steps(self.warmup_steps) }
    }

    pub(crate) fn budget(&self) -> Option<Budget> {
        self.budget_steps.map(Budget::Steps).or(self.budget_tokens.map(Budget::Tokens))
    }

    pub(crate) fn adam(&self) -> AdamW {
        AdamW {
            weight_decay: self.weight_decay as f32,
            max_gradient_norm: self.max_gradient_norm as f32,
            layer_decay: self.layer_decay as f32,
            head_rate: self.head_rate as f32,
            ..AdamW::default()
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
