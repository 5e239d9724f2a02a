//! The student: an encoder with a token-classification head, its tokeniser and its labels; trained under a regimen,
//! saved as a Hugging Face directory, and used to tag new sentences.
//!
//! The way of a sentence: words → sub-words in windows ([`tokenize`]) → logits of each word's first sub-word (crate
//! `apprentice-encoder`) → the best well-formed tag sequence and the probabilities of its entities ([`labels`]) →
//! [`Prediction`].

mod card;
mod checkpoint;
mod checksum;
mod data;
mod directory;
mod error;
mod foreign;
pub mod hub;
pub mod labels;
mod lattice;
mod prediction;
mod pretrain;
mod settings;
mod student;
pub mod tokenize;
mod trainer;

pub use card::ModelCard;
pub use checkpoint::{Checkpoints, RefusedCheckpoint, Restored, Resumable};
pub use data::{TrainingData, TrainingPool};
pub use error::StudentError;
pub use prediction::Prediction;
pub use pretrain::{HeldOut, Imitated, LanguageModel, Masked, PretrainSettings, PretrainStep, Pretrainer, TextSummary};
pub use settings::{Head, PoolSettings, TrainSettings};
pub use student::{Architecture, Student};
pub use trainer::{Drawn, EpochReport, MemoryEstimate, PlannedEpoch, RunPlan, StepReport, Trained, Trainer};
