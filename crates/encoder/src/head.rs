//! The output layer: dropout and a linear map on the rows that carry a class.

use crate::{
    Layout,
    kernels::{
        bias,
        matmul::{Destination, Matrix, matmul},
    },
    random::Dropout,
};

/// The head's buffers for one batch at a time.
#[derive(Default)]
pub(crate) struct Head {
    /// The hidden states of the rows, after dropout, `[R, H]`.
    gathered: Vec<f32>,
    /// `[R, C]`; its gradient on the way back.
    logits: Vec<f32>,
    d_gathered: Vec<f32>,
    partials: Vec<f32>,
}

impl Head {
    /// The logits `[R, C]` of `rows` of `hidden` `[T, H]`.
    pub(crate) fn forward(
        &mut self,
        values: &[f32],
        layout: &Layout,
        hidden: &[f32],
        rows: &[usize],
        dropout: Option<Dropout>,
    ) -> &mut [f32] {
        let (weight, bias_values) = (&values[layout.head_weight.clone()], &values[layout.head_bias.clone()]);
        let classes = bias_values.len();
        let h = weight.len() / classes;
        self.gathered.clear();
        for &row in rows {
            self.gathered.extend_from_slice(&hidden[row * h..][..h]);
        }
        bias::apply_dropout(&mut self.gathered, dropout);
        self.logits.resize(rows.len() * classes, 0.0);
        let weight = Matrix::new(weight, h).transposed();
        matmul(Matrix::new(&self.gathered, h), weight, &mut self.logits, Destination::Overwrite);
        bias::add_bias(&mut self.logits, bias_values);
        &mut self.logits
    }

    /// The way back from the gradient that now stands in the logits: adds to `d_values` and to `d_hidden` `[T, H]`.
    pub(crate) fn backward(
        &mut self,
        values: &[f32],
        layout: &Layout,
        rows: &[usize],
        dropout: Option<Dropout>,
        (d_values, d_hidden): (&mut [f32], &mut [f32]),
    ) {
        let d_bias = &mut d_values[layout.head_bias.clone()];
        let classes = d_bias.len();
        bias::column_sums(&self.logits, d_bias, &mut self.partials);
        let weight = &values[layout.head_weight.clone()];
        let h = weight.len() / classes;
        let d_logits = Matrix::new(&self.logits, classes);
        let d_weight = &mut d_values[layout.head_weight.clone()];
        matmul(d_logits.transposed(), Matrix::new(&self.gathered, h), d_weight, Destination::Accumulate);
        self.d_gathered.resize(rows.len() * h, 0.0);
        matmul(d_logits, Matrix::new(weight, h), &mut self.d_gathered, Destination::Overwrite);
        bias::apply_dropout(&mut self.d_gathered, dropout);
        for (&row, d) in rows.iter().zip(self.d_gathered.chunks_exact(h)) {
            for (to, d) in d_hidden[row * h..][..h].iter_mut().zip(d) {
                *to += d;
            }
        }
    }
}
