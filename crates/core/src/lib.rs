//! Sentences, corpora, tag schemes, metrics and regimens: the plain data and pure functions that every other crate of
//! `apprentice` shares. No tensors, no network, no printing.

mod causes;
mod choice;
mod confidence;
pub mod corpus;
pub mod data;
pub mod files;
pub mod metrics;
pub mod regimen;
pub mod schedule;
mod sentence;
mod span;
pub mod tags;

pub use causes::error_chain;
pub use choice::ChoiceError;
pub use confidence::{Confidence, NotAConfidence};
pub use corpus::{Corpus, CorpusError, LabelMismatch, LineProblem, Record};
pub use files::FileError;
pub use metrics::{Counts, MetricsError, Prf, Score, Scores};
pub use regimen::{
    Batch, Budget, Course, Curve, Draw, Draws, Epoch, EpochOutline, Plan, Pool, Pools, Regimen, RegimenError,
};
pub use schedule::{Rates, Schedule, Warmup};
pub use sentence::{Entity, Provenance, Sentence, SentenceError};
pub use span::Span;
pub use tags::{Certainty, Evidence, Scheme, SchemeError, Tag, TagError, Verdict};
