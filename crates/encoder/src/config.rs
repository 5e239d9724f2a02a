//! The architecture, as `config.json` of the Hugging Face layout states it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::EncoderError;

/// Sizes and constants of a BERT encoder; the field names and defaults are those of transformers' `BertConfig`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EncoderConfig {
    /// The architecture's name; this engine computes `bert`.
    pub model_type: String,
    /// Rows of the word embedding.
    pub vocab_size: usize,
    /// Width of the hidden states, `H`.
    pub hidden_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Attention heads per layer, `A`; divides `H`.
    pub num_attention_heads: usize,
    /// Width of the feed-forward layer, `I`.
    pub intermediate_size: usize,
    /// The feed-forward activation; this engine computes `gelu`, the exact one.
    pub hidden_act: String,
    /// Dropout probability on embeddings and sub-layer outputs in training.
    pub hidden_dropout_prob: f32,
    /// Dropout probability on attention probabilities in training.
    pub attention_probs_dropout_prob: f32,
    /// Dropout probability before the output layer; `hidden_dropout_prob` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classifier_dropout: Option<f32>,
    /// Rows of the position embedding: the longest sequence.
    pub max_position_embeddings: usize,
    /// Rows of the segment embedding; only row 0 is used here.
    pub type_vocab_size: usize,
    /// Standard deviation of fresh weights.
    pub initializer_range: f32,
    /// Added to the variance in LayerNorm.
    pub layer_norm_eps: f32,
    /// How positions enter; this engine computes `absolute`.
    pub position_embedding_type: String,
    /// The id of the padding token, whose embedding starts as zeros.
    pub pad_token_id: Option<usize>,
}

impl Default for EncoderConfig {
    fn default() -> Self {
        Self {
            model_type: "bert".into(),
            vocab_size: 30_522,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: "gelu".into(),
            hidden_dropout_prob: 0.1,
            attention_probs_dropout_prob: 0.1,
            classifier_dropout: None,
            max_position_embeddings: 512,
            type_vocab_size: 2,
            initializer_range: 0.02,
            layer_norm_eps: 1e-12,
            position_embedding_type: "absolute".into(),
            pad_token_id: Some(0),
        }
    }
}

impl EncoderConfig {
    /// Reads and checks a `config.json`; keys that this engine does not know are ignored.
    ///
    /// # Errors
    /// If the file cannot be read, is not JSON, names another architecture or holds values that make no model.
    pub fn read(path: &Path) -> Result<Self, EncoderError> {
        #[derive(Deserialize)]
        struct Probe {
            model_type: Option<String>,
            #[serde(default)]
            is_decoder: bool,
        }
        let within = |source| EncoderError::Config { path: path.to_owned(), source: Box::new(source) };
        let json_error = |source| EncoderError::ConfigJson { path: path.to_owned(), source };
        let text =
            std::fs::read_to_string(path).map_err(|source| EncoderError::Io { path: path.to_owned(), source })?;
        // The architecture first: another one has other keys, and "unknown key" would not tell why.
        let probe: Probe = serde_json::from_str(&text).map_err(json_error)?;
        let found = probe.model_type.unwrap_or_else(|| "(none)".into());
        if found != "bert" {
            return Err(within(EncoderError::Architecture { found }));
        }
        if probe.is_decoder {
            let (found, expected) = ("true".to_owned(), "false: a decoder looks at earlier tokens only".to_owned());
            return Err(within(EncoderError::ConfigValue { key: "is_decoder", found, expected }));
        }
        let config: Self = serde_json::from_str(&text).map_err(json_error)?;
        config.check().map_err(within)?;
        Ok(config)
    }

    /// The width of one attention head, `D`.
    #[must_use]
    pub fn head_size(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }

    /// The dropout probability before the output layer.
    #[must_use]
    pub fn head_dropout(&self) -> f32 {
        self.classifier_dropout.unwrap_or(self.hidden_dropout_prob)
    }

    /// Checks every value.
    ///
    /// # Errors
    /// [`EncoderError::Architecture`] or [`EncoderError::ConfigValue`] for the first value that does not do.
    pub fn check(&self) -> Result<(), EncoderError> {
        // Far above any published encoder, and small enough that no sum of products overflows.
        const LARGEST: usize = 1 << 20;
        const MOST_PARAMETERS: usize = 1 << 33;
        if self.model_type != "bert" {
            return Err(EncoderError::Architecture { found: self.model_type.clone() });
        }
        let value = |key, found: &dyn std::fmt::Display, expected: &str| EncoderError::ConfigValue {
            key,
            found: found.to_string(),
            expected: expected.to_owned(),
        };
        for (key, size) in [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("intermediate_size", self.intermediate_size),
            ("max_position_embeddings", self.max_position_embeddings),
            ("type_vocab_size", self.type_vocab_size),
        ] {
            let largest = if key == "vocab_size" { 16 * LARGEST } else { LARGEST };
            if !(1..=largest).contains(&size) {
                return Err(value(key, &size, &format!("from 1 to {largest}")));
            }
        }
        if self.num_hidden_layers > 1024 {
            return Err(value("num_hidden_layers", &self.num_hidden_layers, "at most 1024"));
        }
        let (h, i) = (self.hidden_size, self.intermediate_size);
        let parameters = self.vocab_size * h + self.num_hidden_layers * (4 * h * h + 2 * h * i);
        if parameters > MOST_PARAMETERS {
            let expected = format!("sizes of at most {MOST_PARAMETERS} parameters, these are {parameters}");
            return Err(value("hidden_size", &self.hidden_size, &expected));
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            let expected = format!("a divisor of hidden_size = {}", self.hidden_size);
            return Err(value("num_attention_heads", &self.num_attention_heads, &expected));
        }
        if self.hidden_act != "gelu" {
            return Err(value("hidden_act", &self.hidden_act, "gelu"));
        }
        if self.position_embedding_type != "absolute" {
            return Err(value("position_embedding_type", &self.position_embedding_type, "absolute"));
        }
        for (key, probability) in [
            ("hidden_dropout_prob", self.hidden_dropout_prob),
            ("attention_probs_dropout_prob", self.attention_probs_dropout_prob),
            ("classifier_dropout", self.head_dropout()),
        ] {
            if !(0.0..1.0).contains(&probability) {
                return Err(value(key, &probability, "at least 0 and less than 1"));
            }
        }
        if !(self.layer_norm_eps > 0.0 && self.layer_norm_eps < 1.0) {
            return Err(value("layer_norm_eps", &self.layer_norm_eps, "between 0 and 1"));
        }
        if !(self.initializer_range > 0.0 && self.initializer_range < 10.0) {
            return Err(value("initializer_range", &self.initializer_range, "between 0 and 10"));
        }
        Ok(())
    }
}
