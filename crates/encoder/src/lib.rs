//! The encoder engine: a BERT-family encoder with a linear output layer, trained and run on *packed* sequences.
//!
//! A batch is a list of sequences laid end to end with their offsets ([`PackedBatch`]): no padding exists anywhere, so
//! no time is spent on it and a sequence's result does not depend on its neighbours. The forward and backward passes of
//! the dozen operations that BERT is made of are written out by hand over buffers that are allocated once and reused.
//!
//! [`Network`] is the whole surface that training and prediction need: it holds parameters, gradients and optimiser
//! state, takes plain structs and gives plain slices. Another device or precision goes behind [`Device`] and
//! [`Precision`] without its callers noticing.
//!
//! The rows that carry a class are learnt each by itself, or with [`Network::add_crf`] as sequences of classes.
//!
//! BERT, DistilBERT, RoBERTa, XLM-RoBERTa and ELECTRA are one engine; [`Family`] says what tells them apart.
//!
//! Shapes in the docs: `T` packed tokens of a batch, `H` hidden size, `E` embedding width (`H` but in ELECTRA), `I` intermediate size, `A` attention heads,
//! `D = H / A`, `C` classes, `R` rows that carry a class. Matrices are row-major; a weight is `[out, in]` as in PyTorch.
//!
//! ```
//! use apprentice_encoder::{EncoderConfig, Network, NetworkOptions, PackedBatch, Parameters};
//!
//! let config = EncoderConfig { vocab_size: 50, hidden_size: 16, num_attention_heads: 2, num_hidden_layers: 1,
//!     intermediate_size: 32, max_position_embeddings: 8, ..EncoderConfig::default() };
//! let parameters = Parameters::initialised(&config, 3, 7)?;
//! let mut network = Network::new(config, parameters, &NetworkOptions::default())?;
//! let mut batch = PackedBatch::default();
//! batch.push(&[2, 17, 4, 3]);
//! // The logits of the second and third token: two rows of three classes.
//! assert_eq!(network.logits(&batch, &[1, 2])?.len(), 6);
//! # Ok::<(), apprentice_encoder::EncoderError>(())
//! ```

mod batch;
mod buffer;
mod config;
mod encoder;
mod error;
mod family;
mod files;
mod head;
mod imitation;
mod kernels;
mod memory;
mod network;
mod optimizer;
mod parameters;
mod precision;
mod products;
pub mod profile;
mod random;
mod tensors;
mod transitions;
mod weights;

pub use batch::PackedBatch;
pub use config::{Activation, EncoderConfig};
pub use error::EncoderError;
pub use family::Family;
pub use files::read_bounded;
pub use memory::TrainingMemory;
pub use network::{Device, ImitationLoss, MomentsView, Network, NetworkOptions, StateTargets, Targets};
pub use optimizer::AdamW;
pub use parameters::{Layout, Parameters, Tensor};
pub use precision::Precision;
pub use transitions::Transitions;
pub use weights::{NumberFormat, load_classifier, load_crf, load_encoder, load_language_model, save, save_as};
