//! The stack of layers, forward and backward, over buffers that are made once and reused.
//!
//! Per layer, with `x` the layer's input: `a = LN(x + dropout(attention(x) Wₒᵀ + bₒ))`,
//! `out = LN(a + dropout(act(a Wᵢᵀ + bᵢ) W_fᵀ + b_f))` (Devlin et al., "BERT", 2018: post-norm residuals).

use crate::{
    EncoderConfig, Layout, PackedBatch,
    kernels::{
        activation,
        attention::{self, AttentionShape, Forward},
        bias, embedding,
        layer_norm::{self, Norm, Normalised, Summands},
        matmul::{Destination, Matrix, matmul},
    },
    parameters::NormRanges,
    random::{Dropout, Stream},
};

/// What a forward pass is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// No dropout; nothing is kept.
    Inference,
    /// Dropout by `seed` and `pass`; what the backward pass needs is kept.
    Training { seed: u64, pass: u64 },
}

impl Mode {
    /// Which buffer holds the hidden states before layer `layer`.
    fn state(self, layer: usize) -> usize {
        if self == Self::Inference { layer % 2 } else { layer }
    }

    /// The dropout of one place in the network.
    pub(crate) fn dropout(self, site: u64, p: f32) -> Option<Dropout> {
        match self {
            Self::Inference => None,
            Self::Training { seed, pass } => Dropout::new(Stream::new(seed, pass, site), p),
        }
    }
}

/// What a LayerNorm keeps for the way back.
#[derive(Default)]
struct SavedNorm {
    x_hat: Vec<f32>,
    inverse_std: Vec<f32>,
}

impl SavedNorm {
    fn fit(&mut self, tokens: usize, width: usize) {
        self.x_hat.resize(tokens * width, 0.0);
        self.inverse_std.resize(tokens, 0.0);
    }

    fn for_writing(&mut self) -> Normalised<'_> {
        Normalised { x_hat: &mut self.x_hat, inverse_std: &mut self.inverse_std }
    }

    fn for_reading(&self) -> (&[f32], &[f32]) {
        (&self.x_hat, &self.inverse_std)
    }
}

/// What one layer computes on the way forward and needs on the way back.
#[derive(Default)]
struct LayerBuffers {
    /// `[T, 3H]`
    qkv: Vec<f32>,
    /// Of the attention, `[A T]`.
    log_sums: Vec<f32>,
    /// `[T, H]`
    context: Vec<f32>,
    attention_norm: SavedNorm,
    /// `[T, H]`, the output of the attention sub-layer.
    attended: Vec<f32>,
    /// `[T, I]`, before and after the activation.
    z: Vec<f32>,
    g: Vec<f32>,
    output_norm: SavedNorm,
}

/// Gradients on the way back.
#[derive(Default)]
struct Gradients {
    /// Of the layer's output, then of its input, `[T, H]`.
    hidden: Vec<f32>,
    /// Of a sub-layer's output before dropout and residual, `[T, H]`.
    branch: Vec<f32>,
    /// Of the attention context, `[T, H]`.
    context: Vec<f32>,
    /// `[T, 3H]`
    qkv: Vec<f32>,
    /// `[T, I]`
    z: Vec<f32>,
    partials: Vec<f32>,
}

/// The encoder's buffers for one batch at a time.
pub(crate) struct Encoder {
    config: EncoderConfig,
    shape: AttentionShape,
    positions: Vec<usize>,
    /// Stands for the segment embedding where the family has none: a row of zeros.
    no_segment: Vec<f32>,
    /// The embeddings before they are projected, `[T, E]`, where that is done.
    embedded: Vec<f32>,
    /// The hidden states: the embedding's output, then every layer's, `[T, H]` each. Inference uses two by turns.
    hidden: Vec<Vec<f32>>,
    embedding_norm: SavedNorm,
    /// Inference uses the first for all layers.
    layers: Vec<LayerBuffers>,
    /// A sub-layer's output before bias, `[T, H]`.
    branch: Vec<f32>,
    gradients: Gradients,
}

/// The numbers of dropout sites: the embedding, three per layer, the head.
pub(crate) mod sites {
    pub(crate) const EMBEDDING: u64 = 0;
    pub(crate) const HEAD: u64 = 1;
    pub(crate) const fn probabilities(layer: usize) -> u64 {
        2 + 3 * layer as u64
    }
    pub(crate) const fn attention(layer: usize) -> u64 {
        probabilities(layer) + 1
    }
    pub(crate) const fn output(layer: usize) -> u64 {
        probabilities(layer) + 2
    }
}

/// Weight and bias as neighbours in the buffer.
fn both(norm: &NormRanges) -> std::ops::Range<usize> {
    norm.weight.start..norm.bias.end
}

/// RoBERTa's positions: the first token stands at `padding + 1`; padding tokens all stand at `padding`, uncounted.
fn positions_behind(padding: usize, batch: &PackedBatch, to: &mut Vec<usize>) {
    to.clear();
    for bounds in batch.offsets().windows(2) {
        let mut last = padding;
        to.extend(batch.ids()[bounds[0]..bounds[1]].iter().map(|&id| {
            if id as usize == padding {
                return padding;
            }
            last += 1;
            last
        }));
    }
}

impl Encoder {
    pub(crate) fn new(config: EncoderConfig) -> Self {
        Self {
            shape: AttentionShape::new(config.hidden_size, config.num_attention_heads),
            positions: Vec::new(),
            no_segment: vec![0.0; config.embedding_width()],
            embedded: Vec::new(),
            hidden: Vec::new(),
            embedding_norm: SavedNorm::default(),
            layers: Vec::new(),
            branch: Vec::new(),
            gradients: Gradients::default(),
            config,
        }
    }

    fn norm<'a>(&self, values: &'a [f32], ranges: &NormRanges) -> Norm<'a> {
        Norm {
            weight: &values[ranges.weight.clone()],
            bias: &values[ranges.bias.clone()],
            eps: self.config.layer_norm_eps,
        }
    }

    /// The dropout between a layer's attention and its residual.
    fn attention_dropout(&self, layer: usize, mode: Mode) -> Option<Dropout> {
        let p = if self.config.family.drops_attention_output() { self.config.hidden_dropout_prob } else { 0.0 };
        mode.dropout(sites::attention(layer), p)
    }

    /// Makes every buffer as large as this batch needs; memory is only taken when a batch is larger than all before.
    fn fit(&mut self, batch: &PackedBatch, mode: Mode) {
        let keep = mode != Mode::Inference;
        let (t, h, i) = (batch.tokens(), self.config.hidden_size, self.config.intermediate_size);
        let (hidden, layers) =
            if keep { (self.config.num_hidden_layers + 1, self.config.num_hidden_layers) } else { (2, 1) };
        if self.hidden.len() < hidden {
            self.hidden.resize_with(hidden, Vec::new);
        }
        if self.layers.len() < layers {
            self.layers.resize_with(layers, LayerBuffers::default);
        }
        self.shape.set(batch.offsets());
        match self.config.counted_padding() {
            None => embedding::positions(batch.offsets(), &mut self.positions),
            Some(padding) => positions_behind(padding, batch, &mut self.positions),
        }
        let e = self.config.embedding_width();
        self.embedding_norm.fit(t, e);
        if e != h {
            self.embedded.resize(t * e, 0.0);
        }
        self.branch.resize(t * h, 0.0);
        for states in &mut self.hidden[..hidden] {
            states.resize(t * h, 0.0);
        }
        for layer in &mut self.layers[..layers] {
            layer.qkv.resize(t * 3 * h, 0.0);
            layer.log_sums.resize(self.shape.log_sums(), 0.0);
            layer.context.resize(t * h, 0.0);
            layer.attention_norm.fit(t, h);
            layer.attended.resize(t * h, 0.0);
            layer.z.resize(t * i, 0.0);
            layer.g.resize(t * i, 0.0);
            layer.output_norm.fit(t, h);
        }
    }

    /// The last layer's hidden states, `[T, H]`.
    pub(crate) fn forward(&mut self, values: &[f32], layout: &Layout, batch: &PackedBatch, mode: Mode) -> &[f32] {
        self.fit(batch, mode);
        self.embed(values, layout, batch, mode);
        for layer in 0..layout.layers.len() {
            self.forward_layer(values, layout, layer, mode);
        }
        &self.hidden[mode.state(layout.layers.len())]
    }

    /// Fills the first hidden states: the normalised sum of the embeddings, projected if they are narrower.
    fn embed(&mut self, values: &[f32], layout: &Layout, batch: &PackedBatch, mode: Mode) {
        let tables = embedding::Tables {
            words: &values[layout.words.clone()],
            positions: &values[layout.positions.clone()],
            types: layout.types.as_ref().map_or(&self.no_segment, |types| &values[types.clone()]),
            hidden: self.config.embedding_width(),
        };
        embedding::forward(tables, batch.ids(), &self.positions, &mut self.embedding_norm.x_hat);
        let norm = self.norm(values, &layout.embedding_norm);
        let embedded = if layout.projection.is_some() { &mut self.embedded } else { &mut self.hidden[0] };
        layer_norm::norm(norm, self.embedding_norm.for_writing(), embedded);
        bias::apply_dropout(embedded, mode.dropout(sites::EMBEDDING, self.config.hidden_dropout_prob));
        if let Some(projection) = &layout.projection {
            let e = self.config.embedding_width();
            let weight = Matrix::new(&values[projection.weight.clone()], e).transposed();
            matmul(Matrix::new(&self.embedded, e), weight, &mut self.hidden[0], Destination::Overwrite);
            bias::add_bias(&mut self.hidden[0], &values[projection.bias.clone()]);
        }
    }

    fn forward_layer(&mut self, values: &[f32], layout: &Layout, layer: usize, mode: Mode) {
        let ranges = &layout.layers[layer];
        let (h, i) = (self.config.hidden_size, self.config.intermediate_size);
        let [attention_norm, output_norm] =
            [&ranges.attention_norm, &ranges.output_norm].map(|ranges| self.norm(values, ranges));
        let attention_dropout = self.attention_dropout(layer, mode);
        let [from, to] = [layer, layer + 1].map(|l| mode.state(l));
        let [x, out] = self
            .hidden
            .get_disjoint_mut([from, to])
            .expect("a layer reads and writes different buffers: this is a bug");
        let buffers = &mut self.layers[if mode == Mode::Inference { 0 } else { layer }];
        let linear = |input: &[f32], width: usize, weight: &std::ops::Range<usize>, out: &mut [f32]| {
            let weight = Matrix::new(&values[weight.clone()], width);
            matmul(Matrix::new(input, width), weight.transposed(), out, Destination::Overwrite);
        };
        let hidden_dropout = |site| mode.dropout(site, self.config.hidden_dropout_prob);

        linear(x, h, &ranges.qkv_weight, &mut buffers.qkv);
        bias::add_bias(&mut buffers.qkv, &values[ranges.qkv_bias.clone()]);
        let dropout = mode.dropout(sites::probabilities(layer), self.config.attention_probs_dropout_prob);
        attention::forward(&self.shape, &buffers.qkv, dropout, &mut buffers.context, &mut buffers.log_sums);

        linear(&buffers.context, h, &ranges.attention_weight, &mut self.branch);
        let summands = Summands {
            y: &self.branch,
            bias: &values[ranges.attention_bias.clone()],
            residual: x,
            dropout: attention_dropout,
        };
        layer_norm::residual_norm(
            summands,
            attention_norm,
            buffers.attention_norm.for_writing(),
            &mut buffers.attended,
        );

        linear(&buffers.attended, h, &ranges.intermediate_weight, &mut buffers.z);
        let bias = &values[ranges.intermediate_bias.clone()];
        activation::forward(self.config.hidden_act, &mut buffers.z, bias, &mut buffers.g);
        linear(&buffers.g, i, &ranges.output_weight, &mut self.branch);
        let summands = Summands {
            y: &self.branch,
            bias: &values[ranges.output_bias.clone()],
            residual: &buffers.attended,
            dropout: hidden_dropout(sites::output(layer)),
        };
        layer_norm::residual_norm(summands, output_norm, buffers.output_norm.for_writing(), out);
    }

    /// The hidden states of the last forward pass in [`Mode::Training`], `[T, H]`, and their gradient, zeroed, for the
    /// head to fill before [`Self::backward`].
    pub(crate) fn output_and_gradient(&mut self) -> (&[f32], &mut [f32]) {
        let output = &self.hidden[self.config.num_hidden_layers];
        self.gradients.hidden.clear();
        self.gradients.hidden.resize(output.len(), 0.0);
        (output, &mut self.gradients.hidden)
    }

    /// How many numbers the buffers of a batch hold, but for the scratch of sums.
    #[cfg(test)]
    pub(crate) fn numbers(&self) -> usize {
        let norm = |norm: &SavedNorm| norm.x_hat.len() + norm.inverse_std.len();
        let layer = |l: &LayerBuffers| {
            let buffers = [&l.qkv, &l.log_sums, &l.context, &l.attended, &l.z, &l.g];
            buffers.map(Vec::len).iter().sum::<usize>() + norm(&l.attention_norm) + norm(&l.output_norm)
        };
        let Gradients { hidden, branch, context, qkv, z, .. } = &self.gradients;
        self.hidden.iter().chain([&self.branch, hidden, branch, context, qkv, z]).map(Vec::len).sum::<usize>()
            + self.layers.iter().map(layer).sum::<usize>()
            + norm(&self.embedding_norm)
    }

    /// Adds the gradients of all encoder tensors to `d_values`, from the gradient that [`Self::output_and_gradient`] gave and what the last
    /// forward pass in [`Mode::Training`] kept.
    pub(crate) fn backward(
        &mut self,
        values: &[f32],
        layout: &Layout,
        batch: &PackedBatch,
        mode: Mode,
        d_values: &mut [f32],
    ) {
        for layer in (0..layout.layers.len()).rev() {
            self.backward_layer(values, layout, layer, mode, d_values);
        }
        self.backward_embedding(values, layout, batch, mode, d_values);
    }

    /// The way back through [`Self::embed`].
    fn backward_embedding(
        &mut self,
        values: &[f32],
        layout: &Layout,
        batch: &PackedBatch,
        mode: Mode,
        d_values: &mut [f32],
    ) {
        let (e, h) = (self.config.embedding_width(), self.config.hidden_size);
        let Gradients { hidden, branch, partials, .. } = &mut self.gradients;
        let d = match &layout.projection {
            None => hidden,
            Some(projection) => {
                bias::column_sums(hidden, &mut d_values[projection.bias.clone()], partials);
                let d_y = Matrix::new(hidden, h);
                let d_weight = &mut d_values[projection.weight.clone()];
                matmul(d_y.transposed(), Matrix::new(&self.embedded, e), d_weight, Destination::Accumulate);
                branch.resize(batch.tokens() * e, 0.0);
                let weight = Matrix::new(&values[projection.weight.clone()], e);
                matmul(d_y, weight, branch, Destination::Overwrite);
                branch
            }
        };
        bias::apply_dropout(d, mode.dropout(sites::EMBEDDING, self.config.hidden_dropout_prob));
        layer_norm::norm_backward(
            &values[layout.embedding_norm.weight.clone()],
            self.embedding_norm.for_reading(),
            d,
            &mut d_values[both(&layout.embedding_norm)],
            partials,
        );
        let words = batch.ids().iter().map(|&id| id as usize);
        // As in transformers, neither the padding token's embedding is trained, should a text ever contain it, nor its
        // position's, where it has one.
        embedding::scatter(d, words, self.config.pad_token_id, e, &mut d_values[layout.words.clone()]);
        let positions = self.positions.iter().copied();
        embedding::scatter(d, positions, self.config.counted_padding(), e, &mut d_values[layout.positions.clone()]);
        if let Some(types) = &layout.types {
            bias::column_sums(d, &mut d_values[types.start..types.start + e], partials);
        }
    }

    fn backward_layer(&mut self, values: &[f32], layout: &Layout, layer: usize, mode: Mode, d_values: &mut [f32]) {
        let ranges = &layout.layers[layer];
        let (h, i) = (self.config.hidden_size, self.config.intermediate_size);
        let t = self.hidden[layer].len() / h;
        let attention_dropout = self.attention_dropout(layer, mode);
        let (x, buffers) = (&self.hidden[layer], &self.layers[layer]);
        let Gradients { hidden: d, branch, context, qkv, z, partials } = &mut self.gradients;
        branch.resize(t * h, 0.0);
        context.resize(t * h, 0.0);
        qkv.resize(t * 3 * h, 0.0);
        z.resize(t * i, 0.0);
        let hidden_dropout = |site| mode.dropout(site, self.config.hidden_dropout_prob);
        // dW += dYᵀ X
        let weight_gradient = |d_y: &[f32], out: usize, x: &[f32], width: usize, d_weight: &mut [f32]| {
            matmul(Matrix::new(d_y, out).transposed(), Matrix::new(x, width), d_weight, Destination::Accumulate);
        };
        // dX = dY W, or dX += dY W
        let input_gradient =
            |d_y: &[f32], weight: &std::ops::Range<usize>, width: usize, d_x: &mut [f32], destination: Destination| {
                let weight = Matrix::new(&values[weight.clone()], width);
                matmul(Matrix::new(d_y, d_y.len() / t), weight, d_x, destination);
            };

        let weight = &values[ranges.output_norm.weight.clone()];
        let d_norm = &mut d_values[both(&ranges.output_norm)];
        layer_norm::norm_backward(weight, buffers.output_norm.for_reading(), d, d_norm, partials);
        let d_bias = &mut d_values[ranges.output_bias.clone()];
        bias::dropout_backward(d, hidden_dropout(sites::output(layer)), branch, d_bias, partials);
        weight_gradient(branch, h, &buffers.g, i, &mut d_values[ranges.output_weight.clone()]);
        input_gradient(branch, &ranges.output_weight, i, z, Destination::Overwrite);
        let d_bias = &mut d_values[ranges.intermediate_bias.clone()];
        activation::backward(self.config.hidden_act, &buffers.z, z, d_bias, partials);
        weight_gradient(z, i, &buffers.attended, h, &mut d_values[ranges.intermediate_weight.clone()]);
        // `d` already holds the residual's share.
        input_gradient(z, &ranges.intermediate_weight, h, d, Destination::Accumulate);

        let weight = &values[ranges.attention_norm.weight.clone()];
        let d_norm = &mut d_values[both(&ranges.attention_norm)];
        layer_norm::norm_backward(weight, buffers.attention_norm.for_reading(), d, d_norm, partials);
        let d_bias = &mut d_values[ranges.attention_bias.clone()];
        bias::dropout_backward(d, attention_dropout, branch, d_bias, partials);
        weight_gradient(branch, h, &buffers.context, h, &mut d_values[ranges.attention_weight.clone()]);
        input_gradient(branch, &ranges.attention_weight, h, context, Destination::Overwrite);
        let dropout = mode.dropout(sites::probabilities(layer), self.config.attention_probs_dropout_prob);
        let forward = Forward { qkv: &buffers.qkv, context: &buffers.context, log_sums: &buffers.log_sums, dropout };
        attention::backward(&self.shape, forward, context, qkv);
        bias::column_sums(qkv, &mut d_values[ranges.qkv_bias.clone()], partials);
        weight_gradient(qkv, 3 * h, x, h, &mut d_values[ranges.qkv_weight.clone()]);
        input_gradient(qkv, &ranges.qkv_weight, h, d, Destination::Accumulate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Family;

    #[test]
    fn distilbert_alone_has_no_dropout_behind_attention() {
        for family in Family::ALL {
            let encoder = Encoder::new(EncoderConfig::of(family));
            let dropout = encoder.attention_dropout(0, Mode::Training { seed: 1, pass: 0 });
            assert_eq!(dropout.is_none(), family == Family::DistilBert, "{family:?}");
        }
    }
}
