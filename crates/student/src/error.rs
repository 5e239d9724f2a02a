//! What can go wrong with a student.

use std::path::PathBuf;

use apprentice_core::{CorpusError, FileError, MetricsError, RegimenError};
use apprentice_encoder::EncoderError;
use thiserror::Error;

use crate::RefusedCheckpoint;

/// An error of this crate.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StudentError {
    /// The engine's word.
    #[error(transparent)]
    Encoder(#[from] EncoderError),
    /// The regimen does not fit the data.
    #[error(transparent)]
    Regimen(#[from] RegimenError),
    /// Text cannot be read.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// Predictions and gold do not fit each other.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's word.
        source: std::io::Error,
    },
    /// A JSON file of the model directory is broken.
    #[error("{}: not the expected JSON: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The directory has no weights that are read.
    #[error("{}: no model.safetensors{}", path.display(), weights_advice(*pickle))]
    NoWeights {
        /// The directory.
        path: PathBuf,
        /// The pickle file that is there instead.
        pickle: Option<&'static str>,
    },
    /// The directory has no tokeniser.
    #[error("{}: neither tokenizer.json nor vocab.txt{}", path.display(), tokenizer_advice(*other))]
    NoTokenizer {
        /// The directory.
        path: PathBuf,
        /// A vocabulary in another form that is there instead.
        other: Option<&'static str>,
    },
    /// The tokeniser's file cannot be used.
    #[error("{}: {problem}", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The tokeniser knows more tokens than the encoder has embeddings.
    #[error(
        "{}: the tokenizer gives ids up to {largest_id}, the encoder embeds {embedded} tokens; \
         they belong to different models", path.display()
    )]
    VocabularyTooLarge {
        /// The model directory.
        path: PathBuf,
        /// The largest id of the tokeniser.
        largest_id: u32,
        /// The rows of the word embedding.
        embedded: usize,
    },
    /// The model has no names for its classes, or ones that are no tags, or a head that is not known.
    #[error("{}: {problem}", path.display())]
    Labels {
        /// The configuration file.
        path: PathBuf,
        /// What was found and expected.
        problem: String,
    },
    /// An entity type that the model has no class for.
    #[error("sentence {id}: entity type `{label}` is not one of the model's types ({known})")]
    UnknownType {
        /// The sentence.
        id: String,
        /// The type.
        label: String,
        /// The model's types.
        known: String,
    },
    /// The encoder's name was not understood.
    #[error("encoder `{found}`: {problem}; expected `scratch:LAYERSxHIDDENxHEADS`, such as scratch:2x128x4")]
    Architecture {
        /// What was given.
        found: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A setting without meaning.
    #[error("{setting} = {found}: expected {expected}")]
    Setting {
        /// Its name.
        setting: &'static str,
        /// Its value.
        found: String,
        /// What would do.
        expected: &'static str,
    },
    /// A pool of training data that cannot be used as it is.
    #[error("pool {name}: {problem}")]
    Pool {
        /// Its name.
        name: String,
        /// What is wrong with it, and what was expected.
        problem: String,
    },
    /// An output could not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is no checkpoint to go on from.
    #[error(
        "{}: {}; start anew with --overwrite", path.display(),
        if refused.is_empty() { "no checkpoint".to_owned() } else { listed(refused) }
    )]
    NoCheckpoint {
        /// Where they should be.
        path: PathBuf,
        /// Those that cannot be used.
        refused: Vec<RefusedCheckpoint>,
    },
    /// The model computes no numbers: its weights are broken.
    #[error("the model's logits are not finite: its weights are broken")]
    NotFinite,
    /// Training ran away. [`crate::Trainer::finish`] gives the last good weights.
    #[error(
        "training diverged at step {step}: {what} is {value}, expected a finite number; \
         lower the learning rate ({rate:e} at that step)"
    )]
    Diverged {
        /// The optimiser step, counted from 1.
        step: usize,
        /// The loss or the gradient norm.
        what: &'static str,
        /// Its value.
        value: f64,
        /// The learning rate at that step.
        rate: f64,
    },
}

fn listed(refused: &[RefusedCheckpoint]) -> String {
    let each: Vec<String> = refused.iter().map(ToString::to_string).collect();
    format!("no checkpoint can be used ({})", each.join("; "))
}

fn weights_advice(pickle: Option<&str>) -> String {
    pickle.map_or_else(
        || ": not a model directory".into(),
        |name| {
            format!(
                "; {name} may run code when it is read and is never opened: where you trust it, convert it with \
                 `AutoModel.from_pretrained(DIR).save_pretrained(NEW)` of transformers \
                 (AutoModelForTokenClassification for a trained student)"
            )
        },
    )
}

fn tokenizer_advice(other: Option<&str>) -> String {
    other.map_or_else(String::new, |name| {
        format!("; {name} is not read: convert it with `AutoTokenizer.from_pretrained(DIR).save_pretrained(NEW)` of transformers")
    })
}
