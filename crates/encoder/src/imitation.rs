//! Drawing hidden states to those of a teacher: a linear map and the squared error (Jiao et al., "`TinyBERT`", 2020).

use crate::{
    StateTargets,
    buffer::Buffer,
    encoder::gather,
    kernels::{
        embedding::scatter,
        linear::linear,
        matmul::{Destination, Matrix, add_weight_gradients, matmul},
    },
    parameters::LinearRanges,
};

/// Buffers for one batch at a time.
#[derive(Default)]
pub(crate) struct Imitation {
    /// The hidden states of the rows that carry a class, `[R, H]`, and their gradient.
    chosen: Buffer,
    d_chosen: Buffer,
    /// The hidden states of the rows that have a teacher's, `[S, H]`, and their gradient.
    hidden: Buffer,
    d_hidden: Buffer,
    /// Mapped, `[S, D]`; then the gradient of that.
    mapped: Buffer,
}

impl Imitation {
    /// Of the hidden states of all tokens those of some rows.
    pub(crate) fn chosen(&mut self, hidden: &[f32], rows: &[usize], width: usize) -> &[f32] {
        gather(hidden, rows, width, &mut self.chosen);
        &self.chosen
    }

    /// The place for the gradient of what [`Self::chosen`] gave.
    pub(crate) fn chosen_gradient(&mut self) -> &mut [f32] {
        self.d_chosen.resize(self.chosen.len());
        &mut self.d_chosen
    }

    /// The squared error, a mean over the `D` numbers of a row and a sum over rows. From the hidden states of all tokens, `[T,
    /// H]`, and the rows of which [`Self::chosen_gradient`] is: adds to the gradients of the parameters, and fills that of the
    /// hidden states.
    pub(crate) fn backpropagate(
        &mut self,
        values: &[f32],
        ranges: &LinearRanges,
        hidden: &[f32],
        (chosen, targets): (&[usize], &StateTargets<'_>),
        (d_values, d_all): (&mut [f32], &mut [f32]),
    ) -> f64 {
        let [weight, bias] = [&ranges.weight, &ranges.bias].map(|range| &values[range.clone()]);
        let (h, width) = (weight.len() / bias.len(), bias.len());
        gather(hidden, targets.rows, h, &mut self.hidden);
        self.mapped.resize(targets.states.len());
        linear(Matrix::new(&self.hidden, h), weight, bias, &mut self.mapped);
        let scale = 2.0 * targets.scale / width as f32;
        let mut loss = 0.0;
        for (mapped, state) in self.mapped.chunks_exact_mut(width).zip(targets.states.chunks_exact(width)) {
            let mut sum = 0.0;
            for (y, t) in mapped.iter_mut().zip(state) {
                let error = *y - t;
                sum += error * error;
                *y = scale * error;
            }
            loss += f64::from(sum);
        }
        let d_mapped = Matrix::new(&self.mapped, width);
        let (d_weight, d_bias) = d_values[ranges.weight.start..ranges.bias.end].split_at_mut(weight.len());
        add_weight_gradients(d_mapped, Matrix::new(&self.hidden, h), d_weight, d_bias);
        self.d_hidden.resize(self.hidden.len());
        matmul(d_mapped, Matrix::new(weight, h), &mut self.d_hidden, Destination::Overwrite);
        d_all.fill(0.0);
        scatter(&self.d_chosen, chosen.iter().copied(), None, h, d_all);
        scatter(&self.d_hidden, targets.rows.iter().copied(), None, h, d_all);
        loss / width as f64
    }
}
