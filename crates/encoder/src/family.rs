//! What tells the families of encoders apart: names of tensors, keys of `config.json`, and a few switches. Everything
//! else is one engine.

use serde::Serialize;

/// A family of encoders, by its `model_type` in `config.json`.
///
/// ```
/// use apprentice_encoder::Family;
/// assert_eq!(Family::of("xlm-roberta"), Some(Family::XlmRoberta));
/// assert_eq!(Family::of("gpt2"), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum Family {
    /// BERT (Devlin et al., 2018).
    #[serde(rename = "bert")]
    Bert,
    /// DistilBERT (Sanh et al., 2019): no segment embeddings, no dropout behind attention.
    #[serde(rename = "distilbert")]
    DistilBert,
    /// RoBERTa (Liu et al., 2019): positions are counted from behind the padding token's id.
    #[serde(rename = "roberta")]
    Roberta,
    /// XLM-RoBERTa (Conneau et al., 2019): RoBERTa with a vocabulary of pieces.
    #[serde(rename = "xlm-roberta")]
    XlmRoberta,
    /// ELECTRA (Clark et al., 2020), its discriminator: embeddings may be narrower than the hidden states.
    #[serde(rename = "electra")]
    Electra,
}

/// The Hugging Face names of a family's tensors.
pub(crate) struct Names {
    /// Stands before every name but the head's.
    pub prefix: &'static str,
    /// What the stack of layers is called.
    pub stack: &'static str,
    pub query_key_value: [&'static str; 3],
    pub attention: &'static str,
    pub attention_norm: &'static str,
    pub intermediate: &'static str,
    pub output: &'static str,
    pub output_norm: &'static str,
}

const BERT: Names = Names {
    prefix: "bert",
    stack: "encoder.layer",
    query_key_value: ["attention.self.query", "attention.self.key", "attention.self.value"],
    attention: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
    intermediate: "intermediate.dense",
    output: "output.dense",
    output_norm: "output.LayerNorm",
};

const DISTILBERT: Names = Names {
    prefix: "distilbert",
    stack: "transformer.layer",
    query_key_value: ["attention.q_lin", "attention.k_lin", "attention.v_lin"],
    attention: "attention.out_lin",
    attention_norm: "sa_layer_norm",
    intermediate: "ffn.lin1",
    output: "ffn.lin2",
    output_norm: "output_layer_norm",
};

const ROBERTA: Names = Names { prefix: "roberta", ..BERT };
const ELECTRA: Names = Names { prefix: "electra", ..BERT };

impl Family {
    /// All families, in the order of this documentation.
    pub const ALL: [Self; 5] = [Self::Bert, Self::DistilBert, Self::Roberta, Self::XlmRoberta, Self::Electra];

    /// The family of a `model_type`.
    #[must_use]
    pub fn of(model_type: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.model_type() == model_type)
    }

    /// Its `model_type`.
    #[must_use]
    pub const fn model_type(self) -> &'static str {
        match self {
            Self::Bert => "bert",
            Self::DistilBert => "distilbert",
            Self::Roberta => "roberta",
            Self::XlmRoberta => "xlm-roberta",
            Self::Electra => "electra",
        }
    }

    /// The class of transformers that reads a token-classification model of this family.
    #[must_use]
    pub const fn classifier_class(self) -> &'static str {
        match self {
            Self::Bert => "BertForTokenClassification",
            Self::DistilBert => "DistilBertForTokenClassification",
            Self::Roberta => "RobertaForTokenClassification",
            Self::XlmRoberta => "XLMRobertaForTokenClassification",
            Self::Electra => "ElectraForTokenClassification",
        }
    }

    pub(crate) const fn names(self) -> &'static Names {
        match self {
            Self::Bert => &BERT,
            Self::DistilBert => &DISTILBERT,
            Self::Roberta | Self::XlmRoberta => &ROBERTA,
            Self::Electra => &ELECTRA,
        }
    }

    /// The key of `config.json` for what BERT calls `key`; `None` where the family has no such thing.
    pub(crate) fn key(self, key: &str) -> Option<&str> {
        Some(match (self, key) {
            (Self::DistilBert, "hidden_size") => "dim",
            (Self::DistilBert, "num_hidden_layers") => "n_layers",
            (Self::DistilBert, "num_attention_heads") => "n_heads",
            (Self::DistilBert, "intermediate_size") => "hidden_dim",
            (Self::DistilBert, "hidden_act") => "activation",
            (Self::DistilBert, "hidden_dropout_prob") => "dropout",
            (Self::DistilBert, "attention_probs_dropout_prob") => "attention_dropout",
            (Self::Electra, _) => key,
            (Self::DistilBert, "type_vocab_size" | "layer_norm_eps" | "classifier_dropout") | (_, "embedding_size") => {
                return None;
            }
            _ => key,
        })
    }

    /// Whether a row of segment embeddings is added.
    pub(crate) fn has_segments(self) -> bool {
        self != Self::DistilBert
    }

    /// Whether dropout stands between the attention's output layer and the residual.
    pub(crate) fn drops_attention_output(self) -> bool {
        self != Self::DistilBert
    }

    /// Whether positions are counted from behind the padding token's id.
    pub(crate) fn counts_from_padding(self) -> bool {
        matches!(self, Self::Roberta | Self::XlmRoberta)
    }
}
