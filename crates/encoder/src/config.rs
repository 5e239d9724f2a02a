//! The architecture, as `config.json` of the Hugging Face layout states it.

use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{EncoderError, Family, files::read_bounded};

/// The largest `config.json` that is read, in bytes: those of thousands of labels are a tenth of it.
const LARGEST_FILE: u64 = 1 << 20;

/// The function between the two feed-forward layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum Activation {
    /// GELU, the exact one with erf; in files also `gelu_python`.
    #[serde(rename = "gelu")]
    Gelu,
    /// GELU's approximation with tanh; in files also `gelu_fast` and `gelu_pytorch_tanh`.
    #[serde(rename = "gelu_new")]
    GeluTanh,
    /// The larger of the number and 0.
    #[serde(rename = "relu")]
    Relu,
}

impl Activation {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "gelu" | "gelu_python" => Self::Gelu,
            "gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" => Self::GeluTanh,
            "relu" => Self::Relu,
            _ => return None,
        })
    }
}

/// Sizes and constants of an encoder; fields are named as in transformers' `BertConfig`, and the default is BERT's.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EncoderConfig {
    /// The family, which decides about names and a few switches.
    #[serde(rename = "model_type")]
    pub family: Family,
    /// Rows of the word embedding.
    pub vocab_size: usize,
    /// Width of the embeddings, `E`, where it is not `H` (ELECTRA).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding_size: Option<usize>,
    /// Width of the hidden states, `H`.
    pub hidden_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Attention heads per layer, `A`; divides `H`.
    pub num_attention_heads: usize,
    /// Width of the feed-forward layer, `I`.
    pub intermediate_size: usize,
    /// The feed-forward activation.
    pub hidden_act: Activation,
    /// Dropout probability on embeddings and sub-layer outputs in training.
    pub hidden_dropout_prob: f32,
    /// Dropout probability on attention probabilities in training.
    pub attention_probs_dropout_prob: f32,
    /// Dropout probability before the output layer; `hidden_dropout_prob` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classifier_dropout: Option<f32>,
    /// Rows of the position embedding; see [`Self::longest_sequence`].
    pub max_position_embeddings: usize,
    /// Rows of the segment embedding, of which only row 0 is used here; none in DistilBERT, whatever this says.
    pub type_vocab_size: usize,
    /// Standard deviation of fresh weights.
    pub initializer_range: f32,
    /// Added to the variance in LayerNorm.
    pub layer_norm_eps: f32,
    /// The id of the padding token, whose embedding starts as zeros.
    pub pad_token_id: Option<usize>,
}

impl Default for EncoderConfig {
    fn default() -> Self {
        Self {
            family: Family::Bert,
            vocab_size: 30_522,
            embedding_size: None,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: Activation::Gelu,
            hidden_dropout_prob: 0.1,
            attention_probs_dropout_prob: 0.1,
            classifier_dropout: None,
            max_position_embeddings: 512,
            type_vocab_size: 2,
            initializer_range: 0.02,
            layer_norm_eps: 1e-12,
            pad_token_id: Some(0),
        }
    }
}

/// The keys of a `config.json`, asked for by BERT's names.
struct Keys {
    family: Family,
    map: Map<String, Value>,
}

impl Keys {
    /// The key in the file and its value; what is `null` counts as absent.
    fn get(&self, key: &'static str) -> Option<(&'static str, &Value)> {
        let key = self.family.key(key)?;
        self.map.get(key).filter(|value| !value.is_null()).map(|value| (key, value))
    }

    fn parse<'a, T>(
        &'a self,
        key: &'static str,
        expected: &str,
        parse: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, EncoderError> {
        let Some((key, value)) = self.get(key) else { return Ok(None) };
        let wrong = || EncoderError::ConfigValue { key, found: shorten(value), expected: expected.to_owned() };
        parse(value).map(Some).ok_or_else(wrong)
    }

    fn size(&self, key: &'static str) -> Result<Option<usize>, EncoderError> {
        self.parse(key, "a whole number", |value| value.as_u64().and_then(|n| usize::try_from(n).ok()))
    }

    fn number(&self, key: &'static str) -> Result<Option<f32>, EncoderError> {
        self.parse(key, "a number", |value| value.as_f64().map(|n| n as f32))
    }

    /// Must be what this engine computes, if it is there.
    fn must_be(&self, key: &'static str, wanted: &Value, why: &str) -> Result<(), EncoderError> {
        let expected = format!("{wanted}: {why}").replace('"', "");
        self.parse(key, &expected, |value| (value == wanted).then_some(())).map(|_| ())
    }
}

/// A value as an error shows it.
fn shorten(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if text.chars().count() > 40 { text.chars().take(40).chain(['…']).collect() } else { text }
}

impl EncoderConfig {
    /// The defaults of a family, those of its class in transformers.
    #[must_use]
    pub fn of(family: Family) -> Self {
        let bert = Self { family, ..Self::default() };
        match family {
            Family::Bert => bert,
            Family::DistilBert => Self { num_hidden_layers: 6, ..bert },
            Family::Roberta => Self { vocab_size: 50_265, pad_token_id: Some(1), ..bert },
            Family::XlmRoberta => Self { pad_token_id: Some(1), ..bert },
            Family::Electra => Self {
                embedding_size: Some(128),
                hidden_size: 256,
                num_attention_heads: 4,
                intermediate_size: 1024,
                ..bert
            },
        }
    }

    /// Reads and checks a `config.json`; keys that this engine does not know are ignored.
    ///
    /// # Errors
    /// If the file cannot be read, is not JSON, names another architecture or holds values that make no model.
    pub fn read(path: &Path) -> Result<Self, EncoderError> {
        let text = read_bounded(path, LARGEST_FILE)?;
        let map: Map<String, Value> = serde_json::from_slice(&text)
            .map_err(|source| EncoderError::ConfigJson { path: path.to_owned(), source })?;
        Self::from_map(map).map_err(|source| EncoderError::Config { path: path.to_owned(), source: Box::new(source) })
    }

    fn from_map(map: Map<String, Value>) -> Result<Self, EncoderError> {
        let model_type = map.get("model_type").map_or_else(|| "(none)".to_owned(), shorten);
        let family = Family::of(&model_type).ok_or(EncoderError::Architecture { found: model_type })?;
        let defaults = Self::of(family);
        let keys = Keys { family, map };
        keys.must_be("is_decoder", &false.into(), "a decoder looks at earlier tokens only")?;
        keys.must_be("position_embedding_type", &"absolute".into(), "relative positions are not computed here")?;
        let size = |key, default| keys.size(key).map(|size| size.unwrap_or(default));
        let number = |key, default| keys.number(key).map(|number| number.unwrap_or(default));
        let known = "gelu, gelu_new or relu; train a student on an encoder with one of these";
        let hidden_act = keys.parse("hidden_act", known, |value| value.as_str().and_then(Activation::of))?;
        // A padding token that is `null` is none; one that is not mentioned is the family's.
        let pad_token_id =
            if keys.map.contains_key("pad_token_id") { keys.size("pad_token_id")? } else { defaults.pad_token_id };
        let config = Self {
            family,
            vocab_size: size("vocab_size", defaults.vocab_size)?,
            embedding_size: keys.size("embedding_size")?.or(defaults.embedding_size),
            hidden_size: size("hidden_size", defaults.hidden_size)?,
            num_hidden_layers: size("num_hidden_layers", defaults.num_hidden_layers)?,
            num_attention_heads: size("num_attention_heads", defaults.num_attention_heads)?,
            intermediate_size: size("intermediate_size", defaults.intermediate_size)?,
            hidden_act: hidden_act.unwrap_or(defaults.hidden_act),
            hidden_dropout_prob: number("hidden_dropout_prob", defaults.hidden_dropout_prob)?,
            attention_probs_dropout_prob: number(
                "attention_probs_dropout_prob",
                defaults.attention_probs_dropout_prob,
            )?,
            classifier_dropout: keys.number("classifier_dropout")?,
            max_position_embeddings: size("max_position_embeddings", defaults.max_position_embeddings)?,
            type_vocab_size: size("type_vocab_size", defaults.type_vocab_size)?,
            initializer_range: number("initializer_range", defaults.initializer_range)?,
            layer_norm_eps: number("layer_norm_eps", defaults.layer_norm_eps)?,
            pad_token_id,
        };
        config.check()?;
        Ok(config)
    }

    /// The keys and values for a `config.json`, under the family's names.
    ///
    /// # Errors
    /// If a number is not finite, which no configuration that was checked holds.
    pub fn to_map(&self) -> Result<Map<String, Value>, serde_json::Error> {
        // By way of text: straight to a value, 0.1 in f32 would become 0.10000000149011612.
        let own: Map<String, Value> = serde_json::from_str(&serde_json::to_string(self)?)?;
        let renamed = |(key, value): (String, Value)| Some((self.family.key(&key)?.to_owned(), value));
        Ok(own.into_iter().filter_map(renamed).collect())
    }

    /// The width of one attention head, `D`.
    #[must_use]
    pub fn head_size(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }

    /// The width of the embeddings, `E`.
    #[must_use]
    pub fn embedding_width(&self) -> usize {
        self.embedding_size.unwrap_or(self.hidden_size)
    }

    /// The dropout probability before the output layer.
    #[must_use]
    pub fn head_dropout(&self) -> f32 {
        self.classifier_dropout.unwrap_or(self.hidden_dropout_prob)
    }

    /// The position of a sequence's first token: 0, or in RoBERTa the one behind the padding token's id.
    #[must_use]
    pub fn first_position(&self) -> usize {
        self.counted_padding().map_or(0, |padding| padding + 1)
    }

    /// The longest sequence, special tokens included.
    #[must_use]
    pub fn longest_sequence(&self) -> usize {
        self.max_position_embeddings.saturating_sub(self.first_position())
    }

    /// The padding token's id where positions are counted from behind it.
    pub(crate) fn counted_padding(&self) -> Option<usize> {
        self.pad_token_id.filter(|_| self.family.counts_from_padding())
    }

    /// An error about a value, under the family's name for `key`.
    pub(crate) fn error(
        &self,
        key: &'static str,
        found: &dyn std::fmt::Display,
        expected: impl Into<String>,
    ) -> EncoderError {
        let key = self.family.key(key).unwrap_or(key);
        EncoderError::ConfigValue { key, found: found.to_string(), expected: expected.into() }
    }

    /// Checks every value.
    ///
    /// # Errors
    /// [`EncoderError::ConfigValue`] for the first value that does not do.
    pub fn check(&self) -> Result<(), EncoderError> {
        self.check_sizes()?;
        self.check_padding()?;
        for (key, probability) in [
            ("hidden_dropout_prob", self.hidden_dropout_prob),
            ("attention_probs_dropout_prob", self.attention_probs_dropout_prob),
            ("classifier_dropout", self.head_dropout()),
        ] {
            if !(0.0..1.0).contains(&probability) {
                return Err(self.error(key, &probability, "at least 0 and less than 1"));
            }
        }
        if !(self.layer_norm_eps > 0.0 && self.layer_norm_eps < 1.0) {
            return Err(self.error("layer_norm_eps", &self.layer_norm_eps, "between 0 and 1"));
        }
        if !(self.initializer_range > 0.0 && self.initializer_range < 10.0) {
            return Err(self.error("initializer_range", &self.initializer_range, "between 0 and 10"));
        }
        Ok(())
    }

    fn check_sizes(&self) -> Result<(), EncoderError> {
        // Far above any published encoder, and small enough that no sum of products overflows.
        const LARGEST: usize = 1 << 20;
        const MOST_PARAMETERS: usize = 1 << 33;
        for (key, size, largest) in [
            ("vocab_size", self.vocab_size, 16 * LARGEST),
            ("hidden_size", self.hidden_size, LARGEST),
            ("embedding_size", self.embedding_width(), LARGEST),
            ("num_hidden_layers", self.num_hidden_layers, 1024),
            ("num_attention_heads", self.num_attention_heads, LARGEST),
            ("intermediate_size", self.intermediate_size, LARGEST),
            ("max_position_embeddings", self.max_position_embeddings, LARGEST),
            ("type_vocab_size", self.type_vocab_size, LARGEST),
        ] {
            if !(1..=largest).contains(&size) {
                return Err(self.error(key, &size, format!("from 1 to {largest}")));
            }
        }
        let (e, h, i) = (self.embedding_width(), self.hidden_size, self.intermediate_size);
        if e != h && self.family.key("embedding_size").is_none() {
            let expected = format!("hidden_size = {h}, as in all {} models", self.family.model_type());
            return Err(self.error("embedding_size", &e, expected));
        }
        let rows = self.vocab_size + self.max_position_embeddings + self.type_vocab_size;
        let parameters = rows * e + self.num_hidden_layers * (4 * h * h + 2 * h * i);
        if parameters > MOST_PARAMETERS {
            let expected = format!("sizes of at most {MOST_PARAMETERS} parameters, these are {parameters}");
            return Err(self.error("hidden_size", &h, expected));
        }
        if !h.is_multiple_of(self.num_attention_heads) {
            return Err(self.error(
                "num_attention_heads",
                &self.num_attention_heads,
                format!("a divisor of {h}, the width of the hidden states"),
            ));
        }
        Ok(())
    }

    fn check_padding(&self) -> Result<(), EncoderError> {
        let key = "pad_token_id";
        match self.pad_token_id {
            Some(id) if id >= self.vocab_size => {
                Err(self.error(key, &id, format!("less than vocab_size = {}", self.vocab_size)))
            }
            None if self.family.counts_from_padding() => {
                Err(self.error(key, &"null", "an id: positions are counted from it"))
            }
            _ if self.longest_sequence() == 0 => Err(self.error(
                "max_position_embeddings",
                &self.max_position_embeddings,
                format!("more than {}: positions start there", self.first_position()),
            )),
            _ => Ok(()),
        }
    }
}
