//! The stack of layers, forward and backward, over buffers that are made once and reused.
//!
//! Per layer, with `x` the layer's input: `a = LN(x + dropout(attention(x) Wₒᵀ + bₒ))`,
//! `out = LN(a + dropout(act(a Wᵢᵀ + bᵢ) W_fᵀ + b_f))` (Devlin et al., "BERT", 2018: post-norm residuals).

use std::ops::Range;

use crate::{
    EncoderConfig, Layout, PackedBatch, Precision,
    buffer::Buffer,
    kernels::{
        activation,
        attention::{self, AttentionShape, Forward},
        embedding,
        layer_norm::{self, Branch, Norm, Normalised, Summands},
        linear::{add_to, column_sums, drop_in_place, linear},
        matmul::{Destination, Matrix, add_weight_gradients, matmul},
    },
    parameters::{Linear, NormRanges},
    products::{Products, Weight},
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
pub(crate) struct SavedNorm {
    x_hat: Buffer,
    inverse_std: Buffer,
}

impl SavedNorm {
    pub(crate) fn fit(&mut self, tokens: usize, width: usize) {
        self.x_hat.resize(tokens * width);
        self.inverse_std.resize(tokens);
    }

    /// The places of the first so many rows.
    pub(crate) fn first(&mut self, rows: usize) -> Normalised<'_> {
        let width = self.x_hat.len() / self.inverse_std.len().max(1);
        Normalised { x_hat: &mut self.x_hat[..rows * width], inverse_std: &mut self.inverse_std[..rows] }
    }

    pub(crate) fn for_reading(&self) -> (&[f32], &[f32]) {
        (&self.x_hat, &self.inverse_std)
    }
}

/// What one layer computes on the way forward and needs on the way back. Behind its attention the last layer has only the
/// rows that are asked for: `R` where the others have `T`.
#[derive(Default)]
struct LayerBuffers {
    /// `[T, 3H]`
    qkv: Buffer,
    /// Of the attention, `[A T]`.
    log_sums: Buffer,
    /// `[T, H]`
    context: Buffer,
    attention_norm: SavedNorm,
    /// `[T, H]`, the output of the attention sub-layer.
    attended: Buffer,
    /// `[T, I]`, before the activation.
    z: Buffer,
    output_norm: SavedNorm,
}

/// Rows of the last layer that are asked for, `[R, H]`.
#[derive(Default)]
struct Chosen {
    context: Buffer,
    /// What the layer got.
    input: Buffer,
}

/// Gradients on the way back.
#[derive(Default)]
struct Gradients {
    /// Of the layer's output, then of its input, `[T, H]`.
    hidden: Buffer,
    /// Of a sub-layer's output before dropout and residual, `[T, H]`.
    branch: Buffer,
    /// Of the attention context, `[T, H]`.
    context: Buffer,
    /// `[T, 3H]`
    qkv: Buffer,
    /// `[T, I]`
    z: Buffer,
    partials: Buffer,
}

/// The encoder's buffers for one batch at a time.
pub(crate) struct Encoder {
    config: EncoderConfig,
    shape: AttentionShape,
    positions: Vec<usize>,
    /// Stands for the segment embedding where the family has none: a row of zeros.
    no_segment: Buffer,
    /// The embeddings before they are projected, `[T, E]`, where that is done.
    embedded: Buffer,
    /// The hidden states: the embedding's output, then every layer's, `[T, H]` each. Inference uses two by turns.
    hidden: Vec<Buffer>,
    embedding_norm: SavedNorm,
    /// Inference uses the first for all layers.
    layers: Vec<LayerBuffers>,
    /// A sub-layer's output before bias, `[T, H]`.
    branch: Buffer,
    /// Behind the activation, `[T, I]`; the way back computes it again.
    g: Buffer,
    chosen: Chosen,
    products: Products,
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

/// A layer's weight and bias among all values.
fn both<'a>(values: &'a mut [f32], weight: &Range<usize>, bias: &Range<usize>) -> [&'a mut [f32]; 2] {
    values.get_disjoint_mut([weight.clone(), bias.clone()]).expect("tensors do not overlap: this is a bug")
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
    pub(crate) fn new(config: EncoderConfig, precision: Precision) -> Self {
        Self {
            shape: AttentionShape::new(config.hidden_size, config.num_attention_heads),
            positions: Vec::new(),
            no_segment: Buffer::zeros(config.embedding_width()),
            embedded: Buffer::new(),
            hidden: Vec::new(),
            embedding_norm: SavedNorm::default(),
            layers: Vec::new(),
            branch: Buffer::new(),
            g: Buffer::new(),
            chosen: Chosen::default(),
            products: Products::new(precision),
            gradients: Gradients::default(),
            config,
        }
    }

    pub(crate) fn set_precision(&mut self, precision: Precision) {
        self.products = Products::new(precision);
    }

    /// To be called when the layers' weights have changed.
    pub(crate) fn weights_changed(&mut self) {
        self.products.weights_changed();
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
    fn fit(&mut self, batch: &PackedBatch, rows: usize, mode: Mode) {
        let keep = mode != Mode::Inference;
        let (t, h, i) = (batch.tokens(), self.config.hidden_size, self.config.intermediate_size);
        let (hidden, layers) =
            if keep { (self.config.num_hidden_layers + 1, self.config.num_hidden_layers) } else { (2, 1) };
        if self.hidden.len() < hidden {
            self.hidden.resize_with(hidden, Buffer::new);
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
            self.embedded.resize(t * e);
        }
        // A network of one layer has no other rows than the last layer's.
        let most = if self.config.num_hidden_layers == 1 { rows } else { t };
        self.branch.resize(most * h);
        self.g.resize(most * i);
        for states in &mut self.hidden[..hidden] {
            states.resize(t * h);
        }
        for (index, layer) in self.layers[..layers].iter_mut().enumerate() {
            let behind = if keep && index + 1 == layers { rows } else { t };
            layer.qkv.resize(t * 3 * h);
            layer.context.resize(t * h);
            layer.attention_norm.fit(behind, h);
            layer.attended.resize(behind * h);
            layer.output_norm.fit(behind, h);
            if keep {
                layer.log_sums.resize(self.shape.log_sums());
                layer.z.resize(behind * i);
            }
        }
        if keep {
            self.hidden[hidden - 1].resize(rows * h);
        }
    }

    /// The last layer's hidden states, `[R, H]`: of the given rows, each named at most once, or of all.
    pub(crate) fn forward(
        &mut self,
        values: &[f32],
        layout: &Layout,
        batch: &PackedBatch,
        rows: Option<&[usize]>,
        mode: Mode,
    ) -> &[f32] {
        let count = rows.map_or(batch.tokens(), <[usize]>::len);
        self.fit(batch, count, mode);
        self.products.refresh(values, layout, mode);
        self.embed(values, layout, batch, mode);
        let layers = layout.layers.len();
        for layer in 0..layers {
            self.forward_layer(values, layout, layer, rows.filter(|_| layer + 1 == layers), mode);
        }
        &self.hidden[mode.state(layers)][..count * self.config.hidden_size]
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
        layer_norm::norm(norm, self.embedding_norm.first(batch.tokens()), embedded);
        drop_in_place(embedded, mode.dropout(sites::EMBEDDING, self.config.hidden_dropout_prob));
        if let Some(projection) = &layout.projection {
            let x = Matrix::new(&self.embedded, self.config.embedding_width());
            let [weight, bias] = [&projection.weight, &projection.bias].map(|range| &values[range.clone()]);
            linear(x, weight, bias, &mut self.hidden[0]);
        }
    }

    /// One layer; behind its attention only with the given rows, where there are any given.
    fn forward_layer(&mut self, values: &[f32], layout: &Layout, layer: usize, rows: Option<&[usize]>, mode: Mode) {
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
        let inference = mode == Mode::Inference;
        let buffers = &mut self.layers[if inference { 0 } else { layer }];
        let weight = |which| Weight::new(values, layout, layer, which);
        let bias = |range: &Range<usize>, column, part: &[f32]| &values[range.clone()][column..column + part.len()];
        let products = &mut self.products;

        products.forward(x, weight(Linear::Qkv), &mut buffers.qkv, [], |_, column, y, []| {
            add_to(y, bias(&ranges.qkv_bias, column, y));
        });
        let dropout = mode.dropout(sites::probabilities(layer), self.config.attention_probs_dropout_prob);
        let log_sums = (!inference).then_some(&mut *buffers.log_sums);
        attention::forward(&self.shape, &buffers.qkv, dropout, &mut buffers.context, log_sums);

        let (context, x) = match rows {
            None => (&buffers.context, &*x),
            Some(rows) => {
                gather(&buffers.context, rows, h, &mut self.chosen.context);
                gather(x, rows, h, &mut self.chosen.input);
                (&self.chosen.context, &self.chosen.input)
            }
        };
        let count = context.len() / h;
        let branch = &mut self.branch[..count * h];
        let attended = &mut buffers.attended[..count * h];
        products.forward(context, weight(Linear::Attention), branch, [], |_, _, _, []| ());
        let summands = Summands {
            y: branch,
            bias: &values[ranges.attention_bias.clone()],
            residual: x,
            dropout: attention_dropout,
        };
        layer_norm::residual_norm(summands, attention_norm, buffers.attention_norm.first(count), attended);

        let act = self.config.hidden_act;
        let g = &mut self.g[..count * i];
        let bias = |column, part: &[f32]| bias(&ranges.intermediate_bias, column, part);
        if inference {
            products.forward(attended, weight(Linear::Intermediate), g, [], |_, column, g, []| {
                activation::inference(act, g, bias(column, g));
            });
        } else {
            products.forward(attended, weight(Linear::Intermediate), &mut buffers.z, [g], |_, column, z, [g]| {
                activation::forward(act, z, bias(column, z), g);
            });
        }
        products.forward(&self.g[..count * i], weight(Linear::Output), branch, [], |_, _, _, []| ());
        let summands = Summands {
            y: branch,
            bias: &values[ranges.output_bias.clone()],
            residual: attended,
            dropout: mode.dropout(sites::output(layer), self.config.hidden_dropout_prob),
        };
        layer_norm::residual_norm(summands, output_norm, buffers.output_norm.first(count), &mut out[..count * h]);
    }

    /// The place for the gradient of what the last forward pass in [`Mode::Training`] returned, `[R, H]`, to be filled
    /// before [`Self::backward`].
    pub(crate) fn output_gradient(&mut self) -> &mut [f32] {
        self.gradients.hidden.resize(self.hidden[self.config.num_hidden_layers].len());
        &mut self.gradients.hidden
    }

    /// What that pass returned, and the same place.
    pub(crate) fn output_and_gradient(&mut self) -> (&[f32], &mut [f32]) {
        let output = &self.hidden[self.config.num_hidden_layers];
        self.gradients.hidden.resize(output.len());
        (output, &mut self.gradients.hidden)
    }

    /// How many numbers the buffers of a batch hold, but for the scratch of sums.
    #[cfg(test)]
    pub(crate) fn numbers(&self) -> usize {
        let norm = |norm: &SavedNorm| norm.x_hat.len() + norm.inverse_std.len();
        let layer = |l: &LayerBuffers| {
            let buffers = [&l.qkv, &l.log_sums, &l.context, &l.attended, &l.z];
            buffers.map(|buffer| buffer.len()).iter().sum::<usize>() + norm(&l.attention_norm) + norm(&l.output_norm)
        };
        let Gradients { hidden, branch, context, qkv, z, .. } = &self.gradients;
        let Chosen { context: chosen, input } = &self.chosen;
        self.hidden
            .iter()
            .chain([&self.branch, &self.g, chosen, input, hidden, branch, context, qkv, z])
            .map(|buffer| buffer.len())
            .sum::<usize>()
            + self.layers.iter().map(layer).sum::<usize>()
            + norm(&self.embedding_norm)
    }

    /// How many pairs of rounded numbers it has had at a time.
    #[cfg(test)]
    pub(crate) fn pairs(&self) -> usize {
        self.products.pairs()
    }

    /// Adds the gradients of all encoder tensors to `d_values`, from the gradient in [`Self::output_gradient`] and what the
    /// last forward pass in [`Mode::Training`], which was of these rows, kept.
    pub(crate) fn backward(
        &mut self,
        values: &[f32],
        layout: &Layout,
        batch: &PackedBatch,
        rows: &[usize],
        mode: Mode,
        d_values: &mut [f32],
    ) {
        let layers = layout.layers.len();
        for layer in (0..layers).rev() {
            let rows = (layer + 1 == layers).then_some(rows);
            self.backward_layer(values, layout, layer, rows, mode, d_values);
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
                let d_y = Matrix::new(hidden, h);
                let [d_weight, d_bias] = both(d_values, &projection.weight, &projection.bias);
                add_weight_gradients(d_y, Matrix::new(&self.embedded, e), d_weight, d_bias);
                branch.resize(batch.tokens() * e);
                let weight = Matrix::new(&values[projection.weight.clone()], e);
                matmul(d_y, weight, branch, Destination::Overwrite);
                branch
            }
        };
        drop_in_place(d, mode.dropout(sites::EMBEDDING, self.config.hidden_dropout_prob));
        layer_norm::norm_backward(
            &values[layout.embedding_norm.weight.clone()],
            self.embedding_norm.for_reading(),
            d,
            None,
            &mut d_values[layout.embedding_norm.weight.start..layout.embedding_norm.bias.end],
            partials,
        );
        let words = batch.ids().iter().map(|&id| id as usize);
        // As in transformers, neither the padding token's embedding is trained, should a text ever contain it, nor its
        // position's, where it has one.
        embedding::scatter(d, words, self.config.pad_token_id, e, &mut d_values[layout.words.clone()]);
        let positions = self.positions.iter().copied();
        embedding::scatter(d, positions, self.config.counted_padding(), e, &mut d_values[layout.positions.clone()]);
        if let Some(types) = &layout.types {
            column_sums(d, &mut d_values[types.start..types.start + e], partials);
        }
    }

    /// The way back through [`Self::forward_layer`].
    fn backward_layer(
        &mut self,
        values: &[f32],
        layout: &Layout,
        layer: usize,
        rows: Option<&[usize]>,
        mode: Mode,
        d_values: &mut [f32],
    ) {
        let ranges = &layout.layers[layer];
        let (h, i) = (self.config.hidden_size, self.config.intermediate_size);
        let attention_dropout = self.attention_dropout(layer, mode);
        let output_dropout = mode.dropout(sites::output(layer), self.config.hidden_dropout_prob);
        let (x, buffers) = (&self.hidden[layer], &self.layers[layer]);
        let Gradients { hidden: d, branch, context, qkv, z, partials } = &mut self.gradients;
        let (t, count) = (x.len() / h, d.len() / h);
        branch.resize(count * h);
        context.resize(count * h);
        z.resize(count * i);
        qkv.resize(t * 3 * h);
        let weight = |which| Weight::new(values, layout, layer, which);
        let products = &mut self.products;

        let norm_weight = &values[ranges.output_norm.weight.clone()];
        let d_norm = &mut d_values[ranges.output_norm.weight.start..ranges.output_norm.bias.end];
        let through = Some(Branch { d: branch, dropout: output_dropout });
        layer_norm::norm_backward(norm_weight, buffers.output_norm.for_reading(), d, through, d_norm, partials);
        let g = &mut self.g[..count * i];
        let act = self.config.hidden_act;
        let write = Destination::Overwrite;
        products.back_to_inputs(branch, weight(Linear::Output), z, write, [&mut *g], |row, column, d_z, [g]| {
            activation::backward(act, &buffers.z[row * i + column..][..d_z.len()], d_z, g);
        });
        let [d_weight, d_bias] = both(d_values, &ranges.output_weight, &ranges.output_bias);
        products.back_to_weights(branch, g, d_weight, d_bias);
        let [d_weight, d_bias] = both(d_values, &ranges.intermediate_weight, &ranges.intermediate_bias);
        products.back_to_weights(z, &buffers.attended, d_weight, d_bias);
        // `d` already holds the residual's share.
        let add = Destination::Accumulate;
        products.back_to_inputs(z, weight(Linear::Intermediate), d, add, [], |_, _, _, []| ());

        let norm_weight = &values[ranges.attention_norm.weight.clone()];
        let d_norm = &mut d_values[ranges.attention_norm.weight.start..ranges.attention_norm.bias.end];
        let through = Some(Branch { d: branch, dropout: attention_dropout });
        layer_norm::norm_backward(norm_weight, buffers.attention_norm.for_reading(), d, through, d_norm, partials);
        let [d_weight, d_bias] = both(d_values, &ranges.attention_weight, &ranges.attention_bias);
        let input = if rows.is_some() { &self.chosen.context } else { &buffers.context };
        products.back_to_weights(branch, input, d_weight, d_bias);
        products.back_to_inputs(branch, weight(Linear::Attention), context, write, [], |_, _, _, []| ());
        if let Some(rows) = rows {
            spread(context, rows, h, t, branch);
            std::mem::swap(context, branch);
            spread(d, rows, h, t, branch);
            std::mem::swap(d, branch);
        }
        let dropout = mode.dropout(sites::probabilities(layer), self.config.attention_probs_dropout_prob);
        let forward = Forward { qkv: &buffers.qkv, context: &buffers.context, log_sums: &buffers.log_sums, dropout };
        attention::backward(&self.shape, forward, context, qkv);
        let [d_weight, d_bias] = both(d_values, &ranges.qkv_weight, &ranges.qkv_bias);
        products.back_to_weights(qkv, x, d_weight, d_bias);
        products.back_to_inputs(qkv, weight(Linear::Qkv), d, add, [], |_, _, _, []| ());
    }
}

/// Copies the given rows of a matrix of `width` columns.
pub(crate) fn gather(from: &[f32], rows: &[usize], width: usize, to: &mut Buffer) {
    to.resize(rows.len() * width);
    for (to, &row) in to.chunks_exact_mut(width).zip(rows) {
        to.copy_from_slice(&from[row * width..][..width]);
    }
}

/// The reverse of [`gather`]: a matrix of `count` rows, zero but for the given ones.
fn spread(from: &[f32], rows: &[usize], width: usize, count: usize, to: &mut Buffer) {
    to.resize(count * width);
    to.fill(0.0);
    for (from, &row) in from.chunks_exact(width).zip(rows) {
        to[row * width..][..width].copy_from_slice(from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Family;

    #[test]
    fn distilbert_alone_has_no_dropout_behind_attention() {
        for family in Family::ALL {
            let encoder = Encoder::new(EncoderConfig::of(family), Precision::F32);
            let dropout = encoder.attention_dropout(0, Mode::Training { seed: 1, pass: 0 });
            assert_eq!(dropout.is_none(), family == Family::DistilBert, "{family:?}");
        }
    }
}
