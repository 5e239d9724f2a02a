//! The output layer: dropout and a linear map on the rows that carry a class.

use crate::{
    Layout,
    buffer::Buffer,
    kernels::{
        linear::{drop_in_place, linear},
        matmul::{Destination, Matrix, add_weight_gradients, matmul},
    },
    random::Dropout,
};

/// The head's buffers for one batch at a time.
#[derive(Default)]
pub(crate) struct Head {
    /// The hidden states of the rows after dropout, `[R, H]`.
    dropped: Buffer,
    /// `[R, C]`; its gradient on the way back.
    logits: Buffer,
}

impl Head {
    /// The logits `[R, C]` of `hidden` `[R, H]`.
    pub(crate) fn forward(
        &mut self,
        values: &[f32],
        layout: &Layout,
        hidden: &[f32],
        dropout: Option<Dropout>,
    ) -> &mut [f32] {
        let (weight, bias) = (&values[layout.head_weight.clone()], &values[layout.head_bias.clone()]);
        let h = weight.len() / bias.len();
        self.dropped.resize(hidden.len());
        self.dropped.copy_from_slice(hidden);
        drop_in_place(&mut self.dropped, dropout);
        self.logits.resize(hidden.len() / h * bias.len());
        linear(Matrix::new(&self.dropped, h), weight, bias, &mut self.logits);
        &mut self.logits
    }

    /// The way back from the gradient that now stands in the logits: adds to `d_values`, and fills `d_hidden` `[R, H]`.
    pub(crate) fn backward(
        &self,
        values: &[f32],
        layout: &Layout,
        dropout: Option<Dropout>,
        (d_values, d_hidden): (&mut [f32], &mut [f32]),
    ) {
        let weight = &values[layout.head_weight.clone()];
        let classes = layout.head_bias.len();
        let h = weight.len() / classes;
        let d_logits = Matrix::new(&self.logits, classes);
        // The bias lies directly behind the weight.
        let (d_weight, d_bias) = d_values[layout.head_weight.start..layout.head_bias.end].split_at_mut(weight.len());
        add_weight_gradients(d_logits, Matrix::new(&self.dropped, h), d_weight, d_bias);
        matmul(d_logits, Matrix::new(weight, h), d_hidden, Destination::Overwrite);
        drop_in_place(d_hidden, dropout);
    }
}
