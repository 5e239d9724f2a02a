//! How much memory training takes, from the architecture.

use crate::{EncoderConfig, Precision};

/// Bytes that a network holds while it trains on batches like a given one. An estimate: it counts every buffer of the
/// size of the model or the batch, and neither scratch nor what the allocator keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TrainingMemory {
    /// The parameters.
    pub parameters: usize,
    /// Their gradients.
    pub gradients: usize,
    /// Both moments of AdamW.
    pub moments: usize,
    /// What the forward pass keeps for the backward pass, and the gradients that this needs.
    pub activations: usize,
    /// In bf16, the rounded weights of the layers and the rounded operands of a product.
    pub rounded: usize,
}

const BYTES: usize = size_of::<f32>();

impl TrainingMemory {
    /// For a model of so many `parameters` and `classes` that computes in `precision`, and a batch of sequences that begin at `offsets` (see
    /// [`crate::PackedBatch::offsets`]), of which `rows` rows carry a class.
    ///
    /// With `T` tokens and `R` of these rows, a layer holds `T (4H + A)` numbers up to its attention and `T (3H + I + 2)`
    /// behind it, where the last of the `L` layers has `R` rows; what lies around them is `T ((L+2) H + I + 1) + 3RH`, the way
    /// back `T (6H + I)`, the head `R (H + C)`. In bf16 there are `L (4 H² + 2 H I)` weights, and up to `T W` and
    /// `max(T, H) W` operands, with `W = max(3H, I)`, of two bytes each.
    #[must_use]
    pub fn new(
        config: &EncoderConfig,
        precision: Precision,
        parameters: usize,
        classes: usize,
        offsets: &[usize],
        rows: usize,
    ) -> Self {
        let (h, i, layers) = (config.hidden_size, config.intermediate_size, config.num_hidden_layers);
        let tokens = offsets.last().copied().unwrap_or(0);
        let numbers = layers * tokens * (4 * h + config.num_attention_heads)
            + ((layers - 1) * tokens + rows) * (3 * h + i + 2)
            + tokens * ((layers + 2) * h + i + 1)
            + 3 * rows * h
            + tokens * (6 * h + i)
            + rows * (h + classes);
        let rounded = if precision == Precision::Bf16 {
            layers * (4 * h * h + 2 * h * i) + (tokens + tokens.max(h)) * i.max(3 * h)
        } else {
            0
        };
        let parameters = BYTES * parameters;
        Self {
            parameters,
            gradients: parameters,
            moments: 2 * parameters,
            activations: BYTES * numbers,
            rounded: BYTES / 2 * rounded,
        }
    }

    /// All of it.
    #[must_use]
    pub fn total(&self) -> usize {
        self.parameters + self.gradients + self.moments + self.activations + self.rounded
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        PackedBatch, Parameters, Precision,
        encoder::{Encoder, Mode},
    };

    #[test]
    fn the_formula_counts_the_encoders_buffers() {
        let config = EncoderConfig {
            vocab_size: 30,
            hidden_size: 24,
            num_hidden_layers: 3,
            num_attention_heads: 2,
            intermediate_size: 40,
            max_position_embeddings: 20,
            ..EncoderConfig::default()
        };
        let parameters = Parameters::initialised(&config, 5, 1).unwrap();
        let mut batch = PackedBatch::default();
        batch.push(&[1; 17]);
        batch.push(&[2; 5]);
        for precision in [Precision::F32, Precision::Bf16] {
            let mut encoder = Encoder::new(config.clone(), precision);
            let mode = Mode::Training { seed: 1, pass: 0 };
            let (values, layout) = (parameters.values(), parameters.layout());
            let rows = [1, 2, 5, 20];
            encoder.forward(values, layout, &batch, Some(&rows), mode);
            encoder.output_gradient();
            encoder.backward(values, layout, &batch, &rows, mode, &mut vec![0.0; layout.len()]);
            let memory = TrainingMemory::new(&config, precision, layout.len(), 5, batch.offsets(), rows.len());
            let head = rows.len() * (config.hidden_size + 5);
            assert_eq!(memory.activations, BYTES * (encoder.numbers() + head));
            assert_eq!(memory.rounded, BYTES * encoder.pairs());
            assert_eq!(memory.total(), BYTES * (encoder.numbers() + encoder.pairs() + head + 4 * layout.len()));
        }
    }
}
