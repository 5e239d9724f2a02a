//! The output layer: dropout and a linear map on the rows that carry a class; in a masked language model, where the classes are
//! the words, a transform and the product with their embeddings (Devlin et al., "BERT", 2018).

use crate::{
    EncoderConfig, Layout,
    buffer::Buffer,
    encoder::SavedNorm,
    kernels::{
        activation,
        layer_norm::{self, Norm},
        linear::{drop_in_place, linear},
        matmul::{Destination, Matrix, add_weight_gradients, matmul},
    },
    parameters::TransformRanges,
    random::Dropout,
};

/// The head's buffers for one batch at a time.
#[derive(Default)]
pub(crate) struct Head {
    /// The hidden states of the rows after dropout, `[R, H]`.
    dropped: Buffer,
    transform: Transform,
    /// `[R, C]`; its gradient on the way back.
    logits: Buffer,
}

/// What a masked language model has before its output layer; all but the gradients of the LayerNorm `[R, H]`.
#[derive(Default)]
struct Transform {
    /// Before the activation.
    z: Buffer,
    norm: SavedNorm,
    /// What the output layer gets.
    out: Buffer,
    /// The gradient of each of these in turn.
    d: Buffer,
    partials: Buffer,
}

impl Head {
    /// The logits `[R, C]` of `hidden` `[R, H]`.
    pub(crate) fn forward(
        &mut self,
        values: &[f32],
        layout: &Layout,
        hidden: &[f32],
        config: &EncoderConfig,
        dropout: Option<Dropout>,
    ) -> &mut [f32] {
        let (weight, bias) = (&values[layout.head_weight.clone()], &values[layout.head_bias.clone()]);
        let h = weight.len() / bias.len();
        self.dropped.resize(hidden.len());
        self.dropped.copy_from_slice(hidden);
        let input = if let Some(ranges) = &layout.transform {
            self.transform.forward(values, ranges, config, &self.dropped)
        } else {
            drop_in_place(&mut self.dropped, dropout);
            &self.dropped
        };
        self.logits.resize(hidden.len() / h * bias.len());
        linear(Matrix::new(input, h), weight, bias, &mut self.logits);
        &mut self.logits
    }

    /// The way back from the gradient that now stands in the logits: adds to `d_values`, and fills `d_hidden` `[R, H]`.
    pub(crate) fn backward(
        &mut self,
        values: &[f32],
        layout: &Layout,
        config: &EncoderConfig,
        dropout: Option<Dropout>,
        (d_values, d_hidden): (&mut [f32], &mut [f32]),
    ) {
        let weight = &values[layout.head_weight.clone()];
        let classes = layout.head_bias.len();
        let h = weight.len() / classes;
        let d_logits = Matrix::new(&self.logits, classes);
        // The bias lies somewhere behind the weight.
        let (before, behind) = d_values.split_at_mut(layout.head_bias.start);
        let (d_weight, d_bias) = (&mut before[layout.head_weight.clone()], &mut behind[..classes]);
        if let Some(ranges) = &layout.transform {
            add_weight_gradients(d_logits, Matrix::new(&self.transform.out, h), d_weight, d_bias);
            self.transform.d.resize(self.transform.out.len());
            matmul(d_logits, Matrix::new(weight, h), &mut self.transform.d, Destination::Overwrite);
            self.transform.backward(values, ranges, config, &self.dropped, (d_values, d_hidden));
        } else {
            add_weight_gradients(d_logits, Matrix::new(&self.dropped, h), d_weight, d_bias);
            matmul(d_logits, Matrix::new(weight, h), d_hidden, Destination::Overwrite);
            drop_in_place(d_hidden, dropout);
        }
    }
}

impl Transform {
    /// `LN(act(x Wᵀ + b))`
    fn forward(&mut self, values: &[f32], ranges: &TransformRanges, config: &EncoderConfig, x: &[f32]) -> &[f32] {
        let (weight, bias) = (&values[ranges.weight.clone()], &values[ranges.bias.clone()]);
        let h = bias.len();
        self.z.resize(x.len());
        self.out.resize(x.len());
        self.norm.fit(x.len() / h, h);
        matmul(Matrix::new(x, h), Matrix::new(weight, h).transposed(), &mut self.z, Destination::Overwrite);
        let saved = self.norm.first(x.len() / h);
        for (z, g) in self.z.chunks_exact_mut(h).zip(saved.x_hat.chunks_exact_mut(h)) {
            activation::forward(config.hidden_act, z, bias, g);
        }
        let [weight, bias] = [&ranges.norm.weight, &ranges.norm.bias].map(|range| &values[range.clone()]);
        layer_norm::norm(Norm { weight, bias, eps: config.layer_norm_eps }, saved, &mut self.out);
        &self.out
    }

    /// The way back from the gradient of its output, which stands in `d`.
    fn backward(
        &mut self,
        values: &[f32],
        ranges: &TransformRanges,
        config: &EncoderConfig,
        x: &[f32],
        (d_values, d_x): (&mut [f32], &mut [f32]),
    ) {
        let Self { z, norm, out, d, partials } = self;
        let d_norm = &mut d_values[ranges.norm.weight.start..ranges.norm.bias.end];
        layer_norm::norm_backward(&values[ranges.norm.weight.clone()], norm.for_reading(), d, None, d_norm, partials);
        // What the activation gave is not needed again.
        activation::backward(config.hidden_act, z, d, out);
        let weight = &values[ranges.weight.clone()];
        let h = ranges.bias.len();
        let (d_weight, d_bias) = d_values[ranges.weight.start..ranges.bias.end].split_at_mut(weight.len());
        add_weight_gradients(Matrix::new(d, h), Matrix::new(x, h), d_weight, d_bias);
        matmul(Matrix::new(d, h), Matrix::new(weight, h), d_x, Destination::Overwrite);
    }
}
