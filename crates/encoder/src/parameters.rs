//! All numbers of a model in one flat buffer, in a fixed order.
//!
//! One buffer makes the optimiser, the gradient norm and a checkpoint single passes, and the order is the same for the
//! parameters, their gradients and their moments. The query, key and value weights of a layer lie next to each other
//! (and so do their biases), so that they are one matrix product.

use std::{ops::Range, sync::Arc};

use crate::{EncoderConfig, EncoderError, Family, Transitions, buffer::Buffer, random::Stream};

/// One named tensor in the buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// The Hugging Face name, such as `bert.encoder.layer.0.output.dense.weight`.
    pub name: String,
    /// Its shape, at most two sizes.
    pub shape: Vec<usize>,
    /// Where it lies in the buffer.
    pub range: Range<usize>,
    /// Whether weight decay applies: not to biases and LayerNorm.
    pub decay: bool,
}

/// The places of one layer's tensors in the buffer.
#[derive(Debug, Clone)]
pub(crate) struct LayerRanges {
    /// Query, key and value weights as one matrix, `[3H, H]`.
    pub qkv_weight: Range<usize>,
    pub qkv_bias: Range<usize>,
    pub attention_weight: Range<usize>,
    pub attention_bias: Range<usize>,
    pub attention_norm: NormRanges,
    pub intermediate_weight: Range<usize>,
    pub intermediate_bias: Range<usize>,
    pub output_weight: Range<usize>,
    pub output_bias: Range<usize>,
    pub output_norm: NormRanges,
}

/// The linear maps of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Linear {
    /// To queries, keys and values.
    Qkv,
    /// Behind the attention.
    Attention,
    Intermediate,
    Output,
}

impl Linear {
    /// In the order of their numbers.
    pub(crate) const ALL: [Self; 4] = [Self::Qkv, Self::Attention, Self::Intermediate, Self::Output];
}

impl LayerRanges {
    /// The places of a weight `[out, in]` and its bias `[out]`.
    pub(crate) fn linear(&self, which: Linear) -> (&Range<usize>, &Range<usize>) {
        match which {
            Linear::Qkv => (&self.qkv_weight, &self.qkv_bias),
            Linear::Attention => (&self.attention_weight, &self.attention_bias),
            Linear::Intermediate => (&self.intermediate_weight, &self.intermediate_bias),
            Linear::Output => (&self.output_weight, &self.output_bias),
        }
    }
}

/// Weight and bias of a LayerNorm; they are neighbours.
#[derive(Debug, Clone)]
pub(crate) struct NormRanges {
    pub weight: Range<usize>,
    pub bias: Range<usize>,
}

/// Weight and bias of a linear map; they are neighbours.
#[derive(Debug, Clone)]
pub(crate) struct LinearRanges {
    pub weight: Range<usize>,
    pub bias: Range<usize>,
}

/// What lies before the output layer of a masked language model: a linear map `[H, H]`, `[H]`, the activation, LayerNorm.
#[derive(Debug, Clone)]
pub(crate) struct TransformRanges {
    pub weight: Range<usize>,
    pub bias: Range<usize>,
    pub norm: NormRanges,
}

/// What a network has whose head is a linear-chain CRF.
#[derive(Debug, Clone)]
pub(crate) struct CrfRange {
    /// The learnt scores: `[C, C]` from class to class, start and end, `[C]` each, one after the other.
    pub scores: Range<usize>,
    /// What may be, whatever was learnt.
    pub allowed: Transitions,
}

impl CrfRange {
    /// The scores of the chain.
    pub(crate) fn chain(&self, values: &[f32]) -> Transitions {
        self.allowed.with(&values[self.scores.clone()])
    }
}

/// Which tensor lies where.
#[derive(Debug, Clone)]
pub struct Layout {
    tensors: Vec<Tensor>,
    len: usize,
    pub(crate) words: Range<usize>,
    pub(crate) positions: Range<usize>,
    pub(crate) types: Option<Range<usize>>,
    pub(crate) embedding_norm: NormRanges,
    /// From embeddings to hidden states, `[H, E]` and `[H]`, where their widths differ.
    pub(crate) projection: Option<LinearRanges>,
    pub(crate) layers: Vec<LayerRanges>,
    /// Of a masked language model, whose output layer has the words' embeddings for its weights.
    pub(crate) transform: Option<TransformRanges>,
    pub(crate) head_weight: Range<usize>,
    pub(crate) head_bias: Range<usize>,
    pub(crate) crf: Option<CrfRange>,
    /// From hidden states to those of a teacher, `[D, H]` and `[D]`: the last tensors, of a network in training alone.
    pub(crate) state_map: Option<LinearRanges>,
}

/// Appends tensors and hands out their places.
#[derive(Default)]
struct Builder {
    tensors: Vec<Tensor>,
    len: usize,
}

impl Builder {
    fn push(&mut self, name: String, shape: &[usize], decay: bool) -> Range<usize> {
        let range = self.len..self.len + shape.iter().product::<usize>();
        self.len = range.end;
        self.tensors.push(Tensor { name, shape: shape.to_vec(), range: range.clone(), decay });
        range
    }

    fn norm(&mut self, name: &str, size: usize) -> NormRanges {
        NormRanges {
            weight: self.push(format!("{name}.weight"), &[size], false),
            bias: self.push(format!("{name}.bias"), &[size], false),
        }
    }

    fn linear(&mut self, prefix: &str, output: usize, input: usize) -> (Range<usize>, Range<usize>) {
        (
            self.push(format!("{prefix}.weight"), &[output, input], true),
            self.push(format!("{prefix}.bias"), &[output], false),
        )
    }

    fn layer(&mut self, index: usize, config: &EncoderConfig) -> LayerRanges {
        let (h, i) = (config.hidden_size, config.intermediate_size);
        let names = config.family.names();
        let name = |part: &str| format!("{}.{}.{index}.{part}", names.prefix, names.stack);
        let parts = names.query_key_value.map(name);
        let weights = parts.each_ref().map(|p| self.push(format!("{p}.weight"), &[h, h], true));
        let biases = parts.each_ref().map(|p| self.push(format!("{p}.bias"), &[h], false));
        let (attention_weight, attention_bias) = self.linear(&name(names.attention), h, h);
        let attention_norm = self.norm(&name(names.attention_norm), h);
        let (intermediate_weight, intermediate_bias) = self.linear(&name(names.intermediate), i, h);
        let (output_weight, output_bias) = self.linear(&name(names.output), h, i);
        let output_norm = self.norm(&name(names.output_norm), h);
        LayerRanges {
            qkv_weight: weights[0].start..weights[2].end,
            qkv_bias: biases[0].start..biases[2].end,
            attention_weight,
            attention_bias,
            attention_norm,
            intermediate_weight,
            intermediate_bias,
            output_weight,
            output_bias,
            output_norm,
        }
    }
}

impl Layout {
    /// The layout of an encoder with an output layer of `classes`.
    #[must_use]
    pub fn new(config: &EncoderConfig, classes: usize) -> Self {
        Self::with_head(config, |builder, _| {
            let (weight, bias) = builder.linear("classifier", classes, config.hidden_size);
            (None, weight, bias)
        })
    }

    /// The layout of a masked language model, whose classes are the words: BERT's, with the embeddings of the words as the
    /// weights of the output layer.
    ///
    /// # Errors
    /// [`EncoderError::Config`] if the architecture is another, or embeddings and hidden states differ in width.
    pub fn language_model(config: &EncoderConfig) -> Result<Self, EncoderError> {
        if config.family != Family::Bert {
            return Err(config.error(
                "model_type",
                &config.family.names().prefix,
                "bert, for masked language modelling",
            ));
        }
        Ok(Self::with_head(config, |builder, words| {
            let (weight, bias) =
                builder.linear("cls.predictions.transform.dense", config.hidden_size, config.hidden_size);
            let norm = builder.norm("cls.predictions.transform.LayerNorm", config.hidden_size);
            let head_bias = builder.push("cls.predictions.bias".to_owned(), &[config.vocab_size], false);
            (Some(TransformRanges { weight, bias, norm }), words, head_bias)
        }))
    }

    /// The encoder's tensors, and behind them those that `head` adds, which is told where the words are.
    fn with_head(
        config: &EncoderConfig,
        head: impl FnOnce(&mut Builder, Range<usize>) -> (Option<TransformRanges>, Range<usize>, Range<usize>),
    ) -> Self {
        let (e, h) = (config.embedding_width(), config.hidden_size);
        let prefix = config.family.names().prefix;
        let mut builder = Builder::default();
        let mut embedding =
            |name: &str, rows| builder.push(format!("{prefix}.embeddings.{name}.weight"), &[rows, e], true);
        let words = embedding("word_embeddings", config.vocab_size);
        let positions = embedding("position_embeddings", config.max_position_embeddings);
        let types = config.family.has_segments().then(|| embedding("token_type_embeddings", config.type_vocab_size));
        let embedding_norm = builder.norm(&format!("{prefix}.embeddings.LayerNorm"), e);
        let projection = (e != h).then(|| {
            let (weight, bias) = builder.linear(&format!("{prefix}.embeddings_project"), h, e);
            LinearRanges { weight, bias }
        });
        let layers = (0..config.num_hidden_layers).map(|l| builder.layer(l, config)).collect();
        let (transform, head_weight, head_bias) = head(&mut builder, words.clone());
        Self {
            tensors: builder.tensors,
            len: builder.len,
            words,
            positions,
            types,
            embedding_norm,
            projection,
            layers,
            transform,
            head_weight,
            head_bias,
            crf: None,
            state_map: None,
        }
    }

    /// The same with the scores of a linear-chain CRF behind it, under the names that pytorch-crf has. They are
    /// biases of a kind, and do not decay.
    pub(crate) fn with_crf(self, allowed: Transitions) -> Self {
        let classes = allowed.classes();
        let mut builder = Builder { tensors: self.tensors, len: self.len };
        let start = builder.len;
        builder.push("crf.transitions".to_owned(), &[classes, classes], false);
        builder.push("crf.start_transitions".to_owned(), &[classes], false);
        builder.push("crf.end_transitions".to_owned(), &[classes], false);
        let crf = Some(CrfRange { scores: start..builder.len, allowed });
        Self { tensors: builder.tensors, len: builder.len, crf, ..self }
    }

    /// The same with a linear map from hidden states to those of a teacher, which are `width` wide.
    pub(crate) fn with_state_map(self, width: usize, hidden: usize) -> Self {
        let mut builder = Builder { tensors: self.tensors, len: self.len };
        let (weight, bias) = builder.linear("state_map", width, hidden);
        let state_map = Some(LinearRanges { weight, bias });
        Self { tensors: builder.tensors, len: builder.len, state_map, ..self }
    }

    /// Whether a tensor is of the model, and not of its training alone.
    pub(crate) fn is_of_model(&self, tensor: &Tensor) -> bool {
        self.state_map.as_ref().is_none_or(|map| tensor.range.start < map.weight.start)
    }

    /// All tensors in their order.
    #[must_use]
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// The layer that a tensor belongs to: 0 for the embeddings, from 1 to `L` for the layers, `L + 1` for the head.
    pub(crate) fn depth(&self, tensor: &Tensor) -> usize {
        let starts = |layer: &LayerRanges| layer.qkv_weight.start <= tensor.range.start;
        let head = self.transform.as_ref().map_or(self.head_weight.start, |transform| transform.weight.start);
        self.layers.partition_point(starts) + usize::from(head <= tensor.range.start)
    }

    /// How many numbers there are in all.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a layout is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }
}

/// A model's numbers (or their gradients) with their layout.
#[derive(Debug, Clone)]
pub struct Parameters {
    layout: Arc<Layout>,
    values: Buffer,
}

impl Parameters {
    /// Zeros.
    #[must_use]
    pub fn zeros(layout: Arc<Layout>) -> Self {
        let values = Buffer::zeros(layout.len());
        Self { layout, values }
    }

    /// Fresh weights as BERT starts: normal with standard deviation `initializer_range`, the padding row, biases and
    /// LayerNorm biases 0, LayerNorm weights 1. The same seed gives the same numbers.
    ///
    /// # Errors
    /// If the configuration makes no model.
    pub fn initialised(config: &EncoderConfig, classes: usize, seed: u64) -> Result<Self, EncoderError> {
        config.check()?;
        Ok(Self::fresh(Layout::new(config, classes), config, seed))
    }

    /// The same for a masked language model.
    ///
    /// # Errors
    /// As [`Layout::language_model`].
    pub fn language_model(config: &EncoderConfig, seed: u64) -> Result<Self, EncoderError> {
        config.check()?;
        Ok(Self::fresh(Layout::language_model(config)?, config, seed))
    }

    fn fresh(layout: Layout, config: &EncoderConfig, seed: u64) -> Self {
        let mut parameters = Self::zeros(Arc::new(layout));
        for index in 0..parameters.layout.tensors().len() {
            parameters.initialise_tensor(index, config, seed);
        }
        parameters
    }

    /// Gives tensor `index` fresh values.
    pub(crate) fn initialise_tensor(&mut self, index: usize, config: &EncoderConfig, seed: u64) {
        /// Sets the initialisation's numbers apart from those of dropout under the same seed.
        const PASS: u64 = u64::MAX;
        let tensor = &self.layout.tensors[index];
        let values = &mut self.values[tensor.range.clone()];
        if tensor.decay {
            let stream = Stream::new(seed, PASS, index as u64);
            for (pair, chunk) in values.chunks_mut(2).enumerate() {
                // Box and Muller, "A note on the generation of random normal deviates", 1958.
                let (u, v) = (stream.uniform(2 * pair as u32), stream.uniform(2 * pair as u32 + 1));
                let radius = f64::from(config.initializer_range) * (-2.0 * u.ln()).sqrt();
                let angle = std::f64::consts::TAU * v;
                for (value, factor) in chunk.iter_mut().zip([angle.cos(), angle.sin()]) {
                    *value = (radius * factor) as f32;
                }
            }
            if tensor.range == self.layout.words
                && let Some(padding) = config.pad_token_id.filter(|id| *id < config.vocab_size)
            {
                let width = config.embedding_width();
                values[padding * width..][..width].fill(0.0);
            }
        } else {
            // What does not decay is a bias or belongs to a LayerNorm or a CRF.
            let norm_weight = tensor.name.ends_with(".weight");
            values.fill(if norm_weight { 1.0 } else { 0.0 });
        }
    }

    /// Adds the scores of a linear-chain CRF, which are 0: at first it is a softmax over well-formed sequences.
    pub(crate) fn add_crf(&mut self, allowed: Transitions) {
        self.lengthen(Layout::clone(&self.layout).with_crf(allowed));
    }

    /// Adds a map, with fresh weights, to the hidden states of a teacher, which are `width` wide.
    pub(crate) fn add_state_map(&mut self, width: usize, config: &EncoderConfig, seed: u64) {
        let first = self.layout.tensors.len();
        self.lengthen(Layout::clone(&self.layout).with_state_map(width, config.hidden_size));
        for index in first..self.layout.tensors.len() {
            self.initialise_tensor(index, config, seed);
        }
    }

    /// Gives the numbers a layout that begins as theirs does; what is new is 0.
    fn lengthen(&mut self, layout: Layout) {
        let mut values = Buffer::zeros(layout.len());
        values[..self.values.len()].copy_from_slice(&self.values);
        self.values = values;
        self.layout = Arc::new(layout);
    }

    /// Which tensor lies where.
    #[must_use]
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// All numbers.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// All numbers, to change them.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// Scales the hidden states of a masked language model, which shrink when it learns for long, to a mean square of about 1:
    /// what its last `LayerNorm` gives, by a factor that the next linear maps take back, so that no logit changes but for
    /// rounding. An output layer that is fresh learns from states of this size at the rate that suits the encoder.
    pub fn standardise_hidden_states(&mut self) {
        let layout = Arc::clone(&self.layout);
        let (Some(last), Some(transform)) = (layout.layers.last(), &layout.transform) else { return };
        let NormRanges { weight, bias } = &last.output_norm;
        // What comes into the weight and the bias has mean 0 and variance 1.
        let squares = |range: &Range<usize>| self.values[range.clone()].iter().map(|v| v * v).sum::<f32>();
        let factor = ((squares(weight) + squares(bias)) / weight.len() as f32).sqrt().max(f32::MIN_POSITIVE).recip();
        let mut scale =
            |range: &Range<usize>, factor: f32| self.values[range.clone()].iter_mut().for_each(|v| *v *= factor);
        scale(weight, factor);
        scale(bias, factor);
        scale(&transform.weight, factor.recip());
        if let Some(map) = &layout.state_map {
            scale(&map.weight, factor.recip());
        }
    }

    /// The tensors with their numbers, in order.
    pub fn tensors(&self) -> impl Iterator<Item = (&Tensor, &[f32])> {
        self.layout.tensors.iter().map(|t| (t, &self.values[t.range.clone()]))
    }
}
