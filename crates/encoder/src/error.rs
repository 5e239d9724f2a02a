//! What can go wrong in the engine.

use std::path::PathBuf;

use thiserror::Error;

/// An error of this crate. Foreign files are named with what was found in them and what was expected.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EncoderError {
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's word.
        source: std::io::Error,
    },
    /// What should be a file is something else.
    #[error("{}: not a regular file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// A file larger than any sound one of its kind.
    #[error("{}: {found} bytes, expected at most {limit}; it is not what its name says", path.display())]
    FileTooLarge {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        found: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// `config.json` is not JSON of the expected shape.
    #[error("{}: not a readable model configuration: {source}", path.display())]
    ConfigJson {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// `config.json` holds a value that cannot be used.
    #[error("{}: {source}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Which value.
        source: Box<EncoderError>,
    },
    /// The configuration is of a model that this engine does not compute.
    #[error(
        "model type `{found}` is not supported: expected `bert`, `distilbert`, `roberta`, `xlm-roberta` or `electra`; \
         use the directory of such a model"
    )]
    Architecture {
        /// The `model_type` found.
        found: String,
    },
    /// A value of the configuration that makes no model or another one.
    #[error("model configuration: {key} is {found}, expected {expected}")]
    ConfigValue {
        /// The key in `config.json`.
        key: &'static str,
        /// Its value.
        found: String,
        /// What would do.
        expected: String,
    },
    /// The weights file is not a sound safetensors file.
    #[error("{}: not a complete safetensors file ({source}); fetch or copy it again", path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// The reader's word.
        source: safetensors::SafeTensorError,
    },
    /// The header of a weights file gives a tensor an impossible place.
    #[error("{}: tensor `{name}` {problem}; fetch or copy the file again", path.display())]
    TensorPlace {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// What is wrong with its place, shape or size.
        problem: String,
    },
    /// Two tensors of a file stand for the same weight.
    #[error("{}: tensors `{first}` and `{second}` stand for the same weight, expected one of them", path.display())]
    TensorTwice {
        /// The file.
        path: PathBuf,
        /// A name.
        first: String,
        /// The other name.
        second: String,
    },
    /// The index of a weights file in parts cannot be used.
    #[error("{}: {problem}", path.display())]
    ShardIndex {
        /// The index file.
        path: PathBuf,
        /// What was found and expected.
        problem: String,
    },
    /// A weight that the configuration asks for is not in the file.
    #[error("{}: tensor `{name}` is missing; the file does not fit its config.json", path.display())]
    MissingTensor {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
    },
    /// A weight of another shape than the configuration says.
    #[error("{}: tensor `{name}` has shape {found:?}, config.json says {expected:?}", path.display())]
    TensorShape {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// Its shape in the file.
        found: Vec<usize>,
        /// The shape that the configuration implies.
        expected: Vec<usize>,
    },
    /// A weight stored in a number format that is not read.
    #[error("{}: tensor `{name}` is stored as {found}, expected F32, F16 or BF16", path.display())]
    TensorType {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// Its number format.
        found: String,
    },
    /// A weight that holds NaN or an infinity.
    #[error("{}: tensor `{name}` holds {found} at position {position}, expected finite numbers", path.display())]
    TensorValue {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// The value.
        found: f32,
        /// Its place in the tensor, counted row by row from 0.
        position: usize,
    },
    /// Parameters made for another model than the one at hand.
    #[error("parameters of another layout: {found} numbers, the model has {expected}")]
    LayoutMismatch {
        /// How many numbers came.
        found: usize,
        /// How many the model has.
        expected: usize,
    },
    /// A batch that the model cannot take.
    #[error("sequence {sequence} of the batch: {problem}")]
    Batch {
        /// Which sequence, from 0.
        sequence: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A row or class index that does not exist.
    #[error("{what} {found} is out of range, expected less than {limit}")]
    Index {
        /// Row or class.
        what: &'static str,
        /// The index.
        found: usize,
        /// The first index that does not exist.
        limit: usize,
    },
    /// Classes that make no sequences of the network's CRF.
    #[error("linear-chain CRF: {problem}")]
    Crf {
        /// What was found and expected.
        problem: String,
    },
    /// A teacher's hidden states that the network has no map for.
    #[error("hidden states of a teacher: {problem}")]
    Imitation {
        /// What was found and expected.
        problem: String,
    },
    /// The thread pool could not be started.
    #[error("cannot start {threads} threads: {source}")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// The pool's word.
        source: rayon::ThreadPoolBuildError,
    },
    /// A name that no precision has.
    #[error("precision is {found}, expected f32, bf16, int8 or auto")]
    Precision {
        /// The name.
        found: String,
    },
    /// A name that no format of saved weights has.
    #[error("format of the weights is {found}, expected f32 or bf16")]
    NumberFormat {
        /// The name.
        found: String,
    },
    /// A network that only predicts was to be trained.
    #[error("the network computes with {precision}, which is for prediction alone; train with f32 or bf16")]
    TrainingPrecision {
        /// What it was made with.
        precision: crate::Precision,
    },
}
