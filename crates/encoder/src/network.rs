//! An encoder with its output layer: the surface that training and prediction use.

use std::sync::Arc;

use rayon::ThreadPool;

use crate::{
    AdamW, EncoderConfig, EncoderError, Layout, PackedBatch, Parameters, Precision, Transitions,
    encoder::{Encoder, Mode, sites},
    head::Head,
    imitation::Imitation,
    kernels::{
        crf::{Sequences, crf_loss},
        cross_entropy::softmax_cross_entropy,
    },
    optimizer::Moments,
};

/// Where the arithmetic runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Device {
    /// This machine's processor.
    #[default]
    Cpu,
}

/// How a network is run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct NetworkOptions {
    /// Threads; all cores if `None`. Results are the same, bit for bit, for any number.
    pub threads: Option<usize>,
    /// Where the arithmetic runs.
    pub device: Device,
    /// Its number format.
    pub precision: Precision,
}

impl NetworkOptions {
    /// The default with a number of threads.
    #[must_use]
    pub fn with_threads(threads: Option<usize>) -> Self {
        Self { threads, ..Self::default() }
    }
}

/// Which rows of a batch carry which class.
#[derive(Debug, Clone, Copy)]
pub struct Targets<'a> {
    /// Indices into the batch's tokens, each at most once.
    pub rows: &'a [usize],
    /// The class of each of `rows`.
    pub classes: &'a [u32],
    /// The weight of each of `rows` in the loss; 1 each if absent. With a CRF a sequence counts with the mean weight of
    /// its rows: its probability is one number, and has no part that a row could be given.
    pub weights: Option<&'a [f32]>,
    /// Where each sequence of classes ends among `rows`, ascending; the next one begins there. A CRF needs it, and nothing
    /// else looks at it.
    pub sequences: Option<&'a [usize]>,
    /// The loss of a row is multiplied with this before gradients are taken: 1 over the summed weights of the labelled
    /// rows of an optimiser step makes the step's loss a (weighted) mean, however many batches it is made of.
    pub scale: f32,
    /// Dropout is a pure function of this seed and `pass`.
    pub seed: u64,
    /// Counts the training batches of a run, so that each has dropout of its own.
    pub pass: u64,
}

impl<'a> Targets<'a> {
    /// Rows and their classes, not weighted or scaled, with seed and pass 0.
    #[must_use]
    pub fn new(rows: &'a [usize], classes: &'a [u32]) -> Self {
        Self { rows, classes, weights: None, sequences: None, scale: 1.0, seed: 0, pass: 0 }
    }
}

/// Hidden states of a teacher that the network's own, mapped linearly, are drawn to.
#[derive(Debug, Clone, Copy)]
pub struct StateTargets<'a> {
    /// Indices into the batch's tokens, each at most once.
    pub rows: &'a [usize],
    /// The teacher's state for each of `rows`, `[S, D]`.
    pub states: &'a [f32],
    /// The loss of a row is multiplied with this before gradients are taken.
    pub scale: f32,
}

/// The losses of a batch, each summed over its rows and not multiplied with its scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ImitationLoss {
    /// Of the classes, times weight.
    pub classes: f64,
    /// Of the teacher's states: the mean squared error of a row's numbers.
    pub states: f64,
}

/// AdamW's first and second moments, and how many updates they are of.
pub type MomentsView<'a> = ([&'a [f32]; 2], u32);

/// Gradients and moments: only a network that trains has them.
struct Training {
    gradients: Parameters,
    moments: Moments,
}

/// Parameters, buffers and threads of one model.
pub struct Network {
    config: EncoderConfig,
    precision: Precision,
    parameters: Parameters,
    training: Option<Training>,
    encoder: Encoder,
    head: Head,
    imitation: Imitation,
    pool: ThreadPool,
}

impl Network {
    /// A network with the given parameters.
    ///
    /// # Errors
    /// If the configuration makes no model, the parameters are of another one, or threads cannot be started.
    pub fn new(config: EncoderConfig, parameters: Parameters, options: &NetworkOptions) -> Result<Self, EncoderError> {
        config.check()?;
        let NetworkOptions { threads, device: Device::Cpu, precision } = *options;
        let classes = parameters.layout().head_bias.len();
        let of_crf = parameters.layout().crf.as_ref().map_or(0, |crf| crf.scores.len());
        let is_language_model = parameters.layout().transform.is_some();
        let layout = if is_language_model { Layout::language_model(&config)? } else { Layout::new(&config, classes) };
        let (found, expected) = (parameters.values().len() - of_crf, layout.len());
        if found != expected {
            return Err(EncoderError::LayoutMismatch { found, expected });
        }
        let threads = threads.unwrap_or(0);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|index| format!("encoder-{index}"))
            .build()
            .map_err(|source| EncoderError::Threads { threads, source })?;
        let encoder = Encoder::new(config.clone(), precision);
        Ok(Self {
            encoder,
            config,
            precision,
            parameters,
            training: None,
            head: Head::default(),
            imitation: Imitation::default(),
            pool,
        })
    }

    /// Makes the head, so far a softmax over each row, a linear-chain CRF over sequences of rows. Its scores start at 0,
    /// and are learnt; what is not `allowed` stays so.
    ///
    /// # Errors
    /// If `allowed` is of another number of classes, or the network has a CRF.
    pub fn add_crf(&mut self, allowed: Transitions) -> Result<(), EncoderError> {
        let error = |problem| Err(EncoderError::Crf { problem });
        if self.transitions().is_some() {
            return error("the network has one, expected a network without".to_owned());
        }
        if allowed.classes() != self.classes() {
            return error(format!("transitions of {} classes, expected {}", allowed.classes(), self.classes()));
        }
        self.parameters.add_crf(allowed);
        self.training = None;
        Ok(())
    }

    /// Adds a linear map from hidden states to those of a teacher, `[D, H]`, with fresh weights: what
    /// [`Self::imitate`] needs. It is trained with the others, and not saved with the model.
    ///
    /// # Errors
    /// [`EncoderError::Imitation`] if `width`, `D`, is 0, or the network has such a map.
    pub fn add_state_map(&mut self, width: usize, seed: u64) -> Result<(), EncoderError> {
        if width == 0 || self.parameters.layout().state_map.is_some() {
            let problem = format!("a second map to a teacher's states, or one to {width} numbers");
            return Err(EncoderError::Imitation { problem });
        }
        self.parameters.add_state_map(width, &self.config, seed);
        self.training = None;
        Ok(())
    }

    /// The scores of the CRF as they are now, if the network has one.
    #[must_use]
    pub fn transitions(&self) -> Option<Transitions> {
        self.parameters.layout().crf.as_ref().map(|crf| crf.chain(self.parameters.values()))
    }

    /// The architecture.
    #[must_use]
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// The number of classes, `C`.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.parameters.layout().head_bias.len()
    }

    /// The number format of its products.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Changes the number format of its products.
    pub fn set_precision(&mut self, precision: Precision) {
        if self.precision != precision {
            self.precision = precision;
            self.encoder.set_precision(precision);
        }
    }

    /// The number of threads.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.pool.current_num_threads()
    }

    /// Which tensor of the parameters lies where.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        self.parameters.layout()
    }

    /// The parameters.
    ///
    /// # Panics
    /// After an update, until somebody has called [`Self::state`]: rows of the word embeddings may be behind.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        let settled = self.training.as_ref().is_none_or(|training| training.moments.is_settled());
        assert!(settled, "parameters are read through `state` after an update: this is a bug");
        &self.parameters
    }

    /// The parameters as they are now and, after the first gradient, the moments. Not for every step: what updates spared
    /// rows of the word embeddings is made up for.
    #[must_use]
    pub fn state(&mut self) -> (&Parameters, Option<MomentsView<'_>>) {
        let Self { parameters, training, pool, .. } = self;
        if let Some(Training { moments, .. }) = training {
            let layout = Arc::clone(parameters.layout());
            pool.install(|| moments.settle(&layout, parameters.values_mut()));
        }
        (parameters, training.as_ref().map(|training| training.moments.parts()))
    }

    /// Puts back parameters that were copied from [`Self::parameters`].
    ///
    /// # Errors
    /// [`EncoderError::LayoutMismatch`] if they are of another model.
    pub fn set_parameters(&mut self, values: &[f32]) -> Result<(), EncoderError> {
        // What steps are still to be made is of the parameters that go.
        let _ = self.state();
        let own = self.parameters.values_mut();
        if own.len() != values.len() {
            return Err(EncoderError::LayoutMismatch { found: values.len(), expected: own.len() });
        }
        own.copy_from_slice(values);
        self.encoder.weights_changed();
        Ok(())
    }

    /// The gradients that [`Self::accumulate`] has added up since the last [`Self::update`], if it was called.
    #[must_use]
    pub fn gradients(&self) -> Option<&Parameters> {
        self.training.as_ref().map(|t| &t.gradients)
    }

    /// The logits of `rows` of the batch, `[R, C]`, without dropout.
    ///
    /// A sequence's logits are the same, bit for bit, whatever else is in the batch.
    ///
    /// # Errors
    /// If the model cannot take the batch or a row does not exist.
    pub fn logits(&mut self, batch: &PackedBatch, rows: &[usize]) -> Result<&[f32], EncoderError> {
        batch.check(&self.config)?;
        check_index("row", rows.iter().copied(), batch.tokens())?;
        let _ = self.state();
        let Self { encoder, head, parameters, pool, config, .. } = self;
        let (values, layout) = (parameters.values(), parameters.layout());
        Ok(pool.install(|| {
            let hidden = encoder.forward(values, layout, batch, Some(rows), Mode::Inference);
            &*head.forward(values, layout, hidden, config, None)
        }))
    }

    /// The last layer's output for each token of the batch, `[T, H]`, without dropout: what the head sees.
    ///
    /// # Errors
    /// If the model cannot take the batch.
    pub fn hidden(&mut self, batch: &PackedBatch) -> Result<&[f32], EncoderError> {
        batch.check(&self.config)?;
        let _ = self.state();
        let Self { encoder, parameters, pool, .. } = self;
        let (values, layout) = (parameters.values(), parameters.layout());
        Ok(pool.install(|| encoder.forward(values, layout, batch, None, Mode::Inference)))
    }

    /// Adds the gradients of a batch's loss, and returns the loss times weight, summed over its rows (not multiplied
    /// with [`Targets::scale`]); with a CRF, over its sequences. The loss is not finite if the numbers overflowed; then the
    /// gradients are of no use either.
    ///
    /// # Errors
    /// If the model cannot take the batch, a row or class does not exist, the classes make no sequences of the CRF, or the
    /// network has [`Precision::Int8`].
    pub fn accumulate(&mut self, batch: &PackedBatch, targets: &Targets<'_>) -> Result<f64, EncoderError> {
        Ok(self.backpropagate(batch, targets, None)?.classes)
    }

    /// The same with hidden states that are to come near those of a teacher: the gradients are of the sum of both losses.
    ///
    /// # Errors
    /// As [`Self::accumulate`], and [`EncoderError::Imitation`] if there are not as many numbers as
    /// [`Self::add_state_map`] was told.
    pub fn imitate(
        &mut self,
        batch: &PackedBatch,
        targets: &Targets<'_>,
        states: &StateTargets<'_>,
    ) -> Result<ImitationLoss, EncoderError> {
        check_index("row", states.rows.iter().copied(), batch.tokens())?;
        let width = self.parameters.layout().state_map.as_ref().map_or(0, |map| map.bias.len());
        if width == 0 || states.states.len() != states.rows.len() * width {
            let problem =
                format!("{} numbers for {} rows, expected {width} for each", states.states.len(), states.rows.len());
            return Err(EncoderError::Imitation { problem });
        }
        self.backpropagate(batch, targets, Some(states))
    }

    fn backpropagate(
        &mut self,
        batch: &PackedBatch,
        targets: &Targets<'_>,
        states: Option<&StateTargets<'_>>,
    ) -> Result<ImitationLoss, EncoderError> {
        if self.precision == Precision::Int8 {
            return Err(EncoderError::TrainingPrecision { precision: self.precision });
        }
        let Targets { rows, classes, weights, sequences, scale, seed, pass } = *targets;
        batch.check(&self.config)?;
        check_index("row", rows.iter().copied(), batch.tokens())?;
        check_index("class", classes.iter().map(|&c| c as usize), self.classes())?;
        if rows.len() != classes.len() {
            return Err(EncoderError::Index { what: "class of row", found: classes.len(), limit: rows.len() });
        }
        if let Some(weights) = weights.filter(|weights| weights.len() != rows.len()) {
            return Err(EncoderError::Index { what: "weight of row", found: weights.len(), limit: rows.len() });
        }
        let Self { encoder, head, imitation, parameters, pool, config, training, .. } = self;
        let layout = &*Arc::clone(parameters.layout());
        let crf = layout.crf.as_ref();
        let ends = crf.map(|crf| check_sequences(&crf.allowed, classes, sequences)).transpose()?;
        let training = training.get_or_insert_with(|| Training {
            gradients: Parameters::zeros(Arc::clone(parameters.layout())),
            moments: Moments::new(layout.len(), config.vocab_size),
        });
        pool.install(|| {
            let moments = &mut training.moments;
            match layout.transform {
                None => moments.catch_up(batch.ids(), layout, parameters.values_mut()),
                // Every word is a class, and has a gradient.
                Some(_) => moments.catch_up_all(layout, parameters.values_mut()),
            }
        });
        let values = parameters.values();
        let d_values = training.gradients.values_mut();
        let mode = Mode::Training { seed, pass };
        let dropout = mode.dropout(sites::HEAD, config.head_dropout());
        let imitated = states.zip(layout.state_map.as_ref());
        // A teacher has states for nearly all tokens.
        let all: Vec<usize> = if imitated.is_some() { (0..batch.tokens()).collect() } else { Vec::new() };
        let computed = if imitated.is_some() { &all } else { rows };
        Ok(pool.install(|| {
            let hidden = encoder.forward(values, layout, batch, Some(computed), mode);
            let of_rows = if imitated.is_some() { imitation.chosen(hidden, rows, config.hidden_size) } else { hidden };
            let logits = head.forward(values, layout, of_rows, config, dropout);
            let classes = match crf.zip(ends) {
                None => softmax_cross_entropy(logits, classes, weights, scale),
                Some((crf, ends)) => {
                    let sequences = Sequences { ends, classes, weights };
                    crf_loss(logits, &sequences, scale, &crf.chain(values), &mut d_values[crf.scores.clone()])
                }
            };
            let states = match imitated {
                None => {
                    head.backward(values, layout, config, dropout, (d_values, encoder.output_gradient()));
                    0.0
                }
                Some((targets, map)) => {
                    head.backward(values, layout, config, dropout, (d_values, imitation.chosen_gradient()));
                    let (hidden, gradient) = encoder.output_and_gradient();
                    imitation.backpropagate(values, map, hidden, (rows, targets), (d_values, gradient))
                }
            };
            encoder.backward(values, layout, batch, computed, mode, d_values);
            ImitationLoss { classes, states }
        }))
    }

    /// Puts back moments that were copied from [`Self::state`]; gradients start from zero.
    ///
    /// # Errors
    /// [`EncoderError::LayoutMismatch`] if they are of another model.
    pub fn set_moments(&mut self, moments: [Vec<f32>; 2], updates: u32) -> Result<(), EncoderError> {
        let layout = self.parameters.layout();
        if let Some(other) = moments.iter().find(|moment| moment.len() != layout.len()) {
            return Err(EncoderError::LayoutMismatch { found: other.len(), expected: layout.len() });
        }
        let gradients = Parameters::zeros(Arc::clone(layout));
        self.training =
            Some(Training { gradients, moments: Moments::from_parts(moments, updates, self.config.vocab_size) });
        Ok(())
    }

    /// One optimiser step from the accumulated gradients, which are zeroed; returns their global norm before clipping.
    /// If that is not finite the parameters stay as they were. Without gradients nothing happens and the norm is 0.
    pub fn update(&mut self, adam: &AdamW, rate: f32) -> f64 {
        let Self { parameters, training, encoder, pool, .. } = self;
        let Some(Training { gradients, moments }) = training else { return 0.0 };
        encoder.weights_changed();
        let layout = Arc::clone(parameters.layout());
        pool.install(|| moments.step(adam, rate, &layout, parameters.values_mut(), gradients.values_mut()))
    }
}

fn check_index(what: &'static str, mut indices: impl Iterator<Item = usize>, limit: usize) -> Result<(), EncoderError> {
    indices.find(|&i| i >= limit).map_or(Ok(()), |found| Err(EncoderError::Index { what, found, limit }))
}

/// The ends of the sequences, if they are ends of `classes` and no sequence passes a forbidden transition.
fn check_sequences<'a>(
    allowed: &Transitions,
    classes: &[u32],
    ends: Option<&'a [usize]>,
) -> Result<&'a [usize], EncoderError> {
    let error = |problem| Err(EncoderError::Crf { problem });
    let Some(ends) = ends else { return error("no ends of sequences were given".to_owned()) };
    let last = ends.last().copied().unwrap_or(0);
    if !ends.is_sorted() || last != classes.len() {
        return error(format!("ends of sequences up to {last}, expected ascending ones up to {}", classes.len()));
    }
    let mut start = 0;
    for &end in ends {
        let mut reached = allowed.start();
        for (place, &class) in classes[std::mem::replace(&mut start, end)..end].iter().enumerate() {
            let class = class as usize;
            if reached[class] == f32::NEG_INFINITY {
                return error(format!("class {class} may not stand at place {place} of its sequence"));
            }
            reached = allowed.after(class);
        }
    }
    Ok(ends)
}
