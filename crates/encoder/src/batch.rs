//! Sequences laid end to end.

use crate::{EncoderConfig, EncoderError};

/// A batch without padding: the token ids of all sequences end to end, and where each begins.
///
/// ```
/// # use apprentice_encoder::PackedBatch;
/// let mut batch = PackedBatch::default();
/// batch.push(&[101, 7, 102]);
/// batch.push(&[101, 8, 9, 102]);
/// assert_eq!(batch.offsets(), [0, 3, 7]);
/// assert_eq!((batch.sequences(), batch.tokens()), (2, 7));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedBatch {
    ids: Vec<u32>,
    offsets: Vec<usize>,
}

impl Default for PackedBatch {
    fn default() -> Self {
        Self { ids: Vec::new(), offsets: vec![0] }
    }
}

impl PackedBatch {
    /// Appends a sequence, special tokens included.
    pub fn push(&mut self, ids: &[u32]) {
        self.ids.extend_from_slice(ids);
        self.offsets.push(self.ids.len());
    }

    /// All token ids, `[T]`.
    #[must_use]
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Where each sequence begins, and behind them the number of tokens: one more entry than sequences.
    #[must_use]
    pub fn offsets(&self) -> &[usize] {
        &self.offsets
    }

    /// The number of sequences.
    #[must_use]
    pub fn sequences(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The number of tokens, `T`.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.ids.len()
    }

    /// Whether the model can take this batch.
    pub(crate) fn check(&self, config: &EncoderConfig) -> Result<(), EncoderError> {
        if self.sequences() == 0 {
            return Err(EncoderError::Batch { sequence: 0, problem: "the batch holds no sequence".into() });
        }
        for (sequence, bounds) in self.offsets.windows(2).enumerate() {
            let ids = &self.ids[bounds[0]..bounds[1]];
            let problem = if ids.is_empty() {
                "it is empty".to_owned()
            } else if ids.len() > config.longest_sequence() {
                format!("it has {} tokens, the model takes {}", ids.len(), config.longest_sequence())
            } else if let Some(id) = ids.iter().find(|&&id| id as usize >= config.vocab_size) {
                format!("token id {id} is beyond the vocabulary of {}", config.vocab_size)
            } else {
                continue;
            };
            return Err(EncoderError::Batch { sequence, problem });
        }
        Ok(())
    }
}
