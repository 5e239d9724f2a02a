//! The formats that corpora come in, and what each can express.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How a file is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Format {
    /// Columns, one token a line: [`conll`](super::conll).
    Conll,
    /// JSON lines with `text` and `spans` of `start`, `end`, `label`: Prodigy, spaCy.
    Jsonl,
    /// JSON lines with `text` and `label` of `[start, end, "TYPE"]`: doccano.
    Doccano,
    /// JSON lines with `text` and `entities` of `start`, `end`, `label`.
    Entities,
    /// JSON lines with `tokens` and `ner_tags`: Hugging Face.
    Hf,
    /// JSON lines with `tokenized_text` and `ner` of `[first, last, "TYPE"]`: GLiNER.
    Gliner,
    /// Parquet with `tokens` and `ner_tags`: Hugging Face.
    Parquet,
    /// A JSON array of Label Studio tasks.
    LabelStudio,
    /// INCEpTION's and WebAnno's TSV 3; read only.
    Webanno,
    /// brat's standoff files, a `.txt` with its `.ann`; read only.
    Brat,
    /// Plain text.
    Text,
}

/// A name that is no format.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{name}` is not a format: expected one of {}", Format::NAMES.join(", "))]
pub struct UnknownFormat {
    /// What was given.
    pub name: String,
}

/// What can be written in a format.
#[expect(clippy::struct_excessive_bools, reason = "they are independent of each other")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expresses {
    /// Tokens.
    pub tokens: bool,
    /// What stands between the tokens.
    pub spacing: bool,
    /// Spans that end inside a token, or texts without tokens.
    pub any_bytes: bool,
    /// Spans that share tokens or bytes.
    pub overlaps: bool,
    /// Labels at all.
    pub labels: bool,
    /// Which document a text belongs to.
    pub documents: bool,
    /// How sure whoever labelled a span is of it.
    pub confidences: bool,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 11] = [
        Self::Conll,
        Self::Jsonl,
        Self::Doccano,
        Self::Entities,
        Self::Hf,
        Self::Gliner,
        Self::Parquet,
        Self::LabelStudio,
        Self::Webanno,
        Self::Brat,
        Self::Text,
    ];

    /// The names of [`Self::ALL`].
    pub const NAMES: [&str; 11] =
        ["conll", "jsonl", "doccano", "entities", "hf", "gliner", "parquet", "label-studio", "webanno", "brat", "text"];

    /// The name on the command line and in settings.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// Whether there is a writer.
    #[must_use]
    pub fn is_writable(self) -> bool {
        !matches!(self, Self::Webanno | Self::Brat)
    }

    /// Whether its files hold one JSON value after another.
    #[must_use]
    pub fn is_json(self) -> bool {
        matches!(self, Self::Jsonl | Self::Doccano | Self::Entities | Self::Hf | Self::Gliner | Self::LabelStudio)
    }

    /// What can be written in this format.
    #[must_use]
    pub fn expresses(self) -> Expresses {
        let free = Expresses {
            tokens: false,
            spacing: true,
            any_bytes: true,
            overlaps: true,
            labels: true,
            documents: true,
            confidences: false,
        };
        match self {
            Self::Jsonl => Expresses { tokens: true, confidences: true, ..free },
            Self::Entities | Self::LabelStudio => Expresses { confidences: true, ..free },
            Self::Doccano | Self::Webanno | Self::Brat => free,
            Self::Conll => Expresses { tokens: true, any_bytes: false, overlaps: false, ..free },
            Self::Hf | Self::Parquet => {
                Expresses { tokens: true, spacing: false, any_bytes: false, overlaps: false, ..free }
            }
            Self::Gliner => Expresses { tokens: true, spacing: false, any_bytes: false, ..free },
            Self::Text => Expresses { labels: false, documents: false, ..free },
        }
    }

    /// The format that a file of this name usually has, without the endings `.gz` and `.zst`; `None` for names that
    /// say nothing.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        let name = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(name);
        let (_, ending) = name.rsplit_once('.')?;
        Some(match ending.to_ascii_lowercase().as_str() {
            "conll" | "iob" | "iob2" | "bio" | "bioes" | "conllu" | "annotated" => Self::Conll,
            "jsonl" | "ndjson" | "json" => Self::Jsonl,
            "parquet" => Self::Parquet,
            "tsv" => Self::Webanno,
            "ann" => Self::Brat,
            "txt" => Self::Text,
            _ => return None,
        })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        let named = Self::ALL.into_iter().find(|format| format.name() == name);
        named.ok_or_else(|| UnknownFormat { name: name.to_owned() })
    }
}
