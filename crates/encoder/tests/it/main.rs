//! Integration tests of the encoder engine.

#![allow(clippy::unwrap_used, reason = "the lint spares test functions only, not their helpers")]

mod crf;
mod foreign;
mod invariants;
mod parity;
mod weights;

use apprentice_encoder::{EncoderConfig, PackedBatch};

/// A batch from sequences.
fn pack(sequences: &[Vec<u32>]) -> PackedBatch {
    let mut batch = PackedBatch::default();
    for sequence in sequences {
        batch.push(sequence);
    }
    batch
}

/// A small model with dropout.
fn small_config() -> EncoderConfig {
    EncoderConfig {
        vocab_size: 90,
        hidden_size: 48,
        num_hidden_layers: 3,
        num_attention_heads: 4,
        intermediate_size: 100,
        max_position_embeddings: 40,
        initializer_range: 0.2,
        ..EncoderConfig::default()
    }
}

/// Sequences of the given lengths over a vocabulary of 90.
fn sequences(lengths: &[usize]) -> Vec<Vec<u32>> {
    lengths.iter().map(|&n| (0..n).map(|i| ((i * i * 7 + n * 13 + i) % 90) as u32).collect()).collect()
}
