//! Pretraining: an encoder learns to say which words are hidden in running text (masked language modelling; Devlin et al.,
//! "BERT", 2019).
//!
//! The text is tokenised once, to disk, and its sequences are then drawn in a new random order for every epoch, each time
//! with other words hidden. Memory does not grow with the text.

mod imitated;
mod masking;
mod paragraphs;
mod shuffle;
mod store;
mod text;

use std::{collections::HashMap, fmt::Write, path::Path};

use apprentice_core::{
    Rates, Schedule, Warmup,
    corpus::{ReadOptions, Source},
};
use apprentice_encoder::{
    AdamW, EncoderConfig, ImitationLoss, Network, NetworkOptions, NumberFormat, PackedBatch, Parameters, Precision,
    Targets, load_language_model,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

pub use self::{imitated::Imitated, masking::Masked};
use self::{
    imitated::{Spelling, words},
    masking::Mask,
    shuffle::Shuffle,
    store::Piece,
    text::Text,
};
use crate::{
    Architecture, StudentError,
    checkpoint::{Hash, Resumable, network_state, restore_network},
    directory::{self, Origin},
    tokenize::SubwordTokenizer,
};

/// What decides a pretraining besides text and encoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PretrainSettings {
    /// Passes over the text.
    pub epochs: f64,
    /// Longest sequence in sub-words, special tokens included.
    pub max_length: usize,
    /// Sub-words per optimiser step, special tokens included: sequences are drawn until there are as many.
    pub batch_tokens: usize,
    /// A step's sequences are computed in this many parts, to save memory.
    pub accumulation: usize,
    /// The part of the sub-words that is hidden.
    pub mask_share: f64,
    /// Dropout of hidden states and attention, in the place of the encoder's.
    pub dropout: f32,
    /// The learning rate that the schedule scales.
    pub learning_rate: f64,
    /// How the learning rate moves.
    pub schedule: Schedule,
    /// The part of the steps over which it rises from 0.
    pub warmup_share: f64,
    /// Decoupled weight decay, not applied to biases and `LayerNorm`.
    pub weight_decay: f64,
    /// Gradients are scaled down to this global norm; 0 for no clipping.
    pub max_gradient_norm: f64,
    /// What is held out is scored after every so many steps, and at the end.
    pub evaluate_steps: usize,
    /// How much the mean squared error to the states of the encoder that is imitated, if there is one, counts beside the
    /// cross-entropy of the hidden sub-words.
    pub imitation_weight: f64,
    /// The number format of the products.
    pub precision: Precision,
    /// Decides the order of the text, what is hidden, dropout and fresh weights.
    pub seed: u64,
}

impl Default for PretrainSettings {
    fn default() -> Self {
        Self {
            epochs: 1.0,
            max_length: 128,
            batch_tokens: 4096,
            accumulation: 1,
            mask_share: 0.15,
            dropout: 0.1,
            learning_rate: 5e-4,
            schedule: Schedule::Linear,
            warmup_share: 0.05,
            weight_decay: 0.01,
            max_gradient_norm: 1.0,
            evaluate_steps: 500,
            imitation_weight: 1.0,
            precision: Precision::F32,
            seed: 1,
        }
    }
}

impl PretrainSettings {
    fn check(&self) -> Result<(), StudentError> {
        let positive = |value: f64| value > 0.0 && value.is_finite();
        let share = |value: f64| (0.0..=1.0).contains(&value);
        let not_negative = |value: f64| value >= 0.0 && value.is_finite();
        let checks: [(bool, &'static str, &dyn ToString, &'static str); 13] = [
            (positive(self.epochs), "epochs", &self.epochs, "a positive number"),
            (self.max_length > 0, "max_length", &self.max_length, "at least 1"),
            (self.batch_tokens > 0, "batch_tokens", &self.batch_tokens, "at least 1"),
            (self.accumulation > 0, "accumulation", &self.accumulation, "at least 1"),
            (share(self.mask_share), "mask_share", &self.mask_share, "a number from 0 to 1"),
            ((0.0..1.0).contains(&self.dropout), "dropout", &self.dropout, "a number from 0 to below 1"),
            (positive(self.learning_rate), "learning_rate", &self.learning_rate, "a positive number, such as 5e-4"),
            (share(self.warmup_share), "warmup_share", &self.warmup_share, "a number from 0 to 1"),
            (not_negative(self.weight_decay), "weight_decay", &self.weight_decay, "0 or a positive number"),
            (not_negative(self.max_gradient_norm), "max_gradient_norm", &self.max_gradient_norm, "0 or more"),
            (self.evaluate_steps > 0, "evaluate_steps", &self.evaluate_steps, "at least 1"),
            (not_negative(self.imitation_weight), "imitation_weight", &self.imitation_weight, "0 or a positive number"),
            (self.precision != Precision::Int8, "precision", &self.precision, "f32, bf16 or auto"),
        ];
        checks.into_iter().find(|(holds, ..)| !holds).map_or(Ok(()), |(_, setting, found, expected)| {
            Err(StudentError::Setting { setting, found: found.to_string(), expected })
        })
    }

    fn adam(&self) -> AdamW {
        AdamW {
            beta2: 0.98,
            epsilon: 1e-6,
            weight_decay: self.weight_decay as f32,
            max_gradient_norm: self.max_gradient_norm as f32,
            ..AdamW::default()
        }
    }
}

/// One optimiser step of a pretraining.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PretrainStep {
    /// Counted from 1.
    pub step: usize,
    /// Of how many.
    pub steps: usize,
    /// Passes over the text so far.
    pub epoch: f64,
    /// Mean cross-entropy per hidden sub-word, in nats.
    pub loss: f64,
    /// Mean squared error to the states of the encoder that is imitated, if there is one: its states have variance 1.
    pub imitation_loss: Option<f64>,
    /// The learning rate of this step.
    pub learning_rate: f64,
    /// Global norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Sub-words in this step, special tokens included.
    pub tokens: usize,
    /// How many were hidden.
    pub hidden: usize,
    /// Of what is held out, where this step's weights were scored.
    pub held_out: Option<HeldOut>,
}

/// How well hidden sub-words of text that was not learnt from are found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HeldOut {
    /// Mean cross-entropy per hidden sub-word, in nats.
    pub loss: f64,
    /// Its exponential.
    pub perplexity: f64,
    /// The part of the hidden sub-words that gets the highest probability.
    pub accuracy: f64,
    /// How many are hidden.
    pub hidden: usize,
}

/// What is pretrained: tokeniser and weights.
pub struct LanguageModel {
    network: Network,
    /// As it is saved: with the dropout for fine-tuning.
    config: EncoderConfig,
    tokenizer: SubwordTokenizer,
    origin: Origin,
    imitated: Option<(Imitated, Spelling)>,
}

impl LanguageModel {
    /// On a pretrained encoder's directory; its head for masked language modelling is fresh where it has none.
    ///
    /// # Errors
    /// If the directory is not one of a BERT model with a `[MASK]`, or any of its files is faulty.
    pub fn from_encoder(
        directory: &Path,
        settings: &PretrainSettings,
        options: &NetworkOptions,
    ) -> Result<Self, StudentError> {
        let parts = directory::read(directory)?;
        let parameters = load_language_model(&parts.weights, &parts.config, settings.seed)?;
        Self::new(parts.config, parameters, parts.tokenizer, parts.origin, settings, options)
    }

    /// With random weights and a vocabulary of `vocabulary` sub-words learnt from the sources.
    ///
    /// # Errors
    /// If a source cannot be read, or the sizes make no model.
    pub fn from_scratch(
        architecture: Architecture,
        (sources, reading): (&[Source], &ReadOptions),
        vocabulary: usize,
        settings: &PretrainSettings,
        options: &NetworkOptions,
    ) -> Result<Self, StudentError> {
        let tokenizer = text::learn_vocabulary(sources, reading, vocabulary)?;
        let config = architecture.config(tokenizer.largest_id() as usize + 1);
        let parameters = Parameters::language_model(&config, settings.seed)?;
        Self::new(config, parameters, tokenizer, Origin::default(), settings, options)
    }

    fn new(
        config: EncoderConfig,
        parameters: Parameters,
        tokenizer: SubwordTokenizer,
        origin: Origin,
        settings: &PretrainSettings,
        options: &NetworkOptions,
    ) -> Result<Self, StudentError> {
        settings.check()?;
        let with_dropout = EncoderConfig {
            hidden_dropout_prob: settings.dropout,
            attention_probs_dropout_prob: settings.dropout,
            ..config.clone()
        };
        let mut network = Network::new(with_dropout, parameters, options)?;
        network.set_precision(settings.precision);
        Ok(Self { network, config, tokenizer, origin, imitated: None })
    }

    /// The same, which besides learns to have the hidden states of another encoder.
    ///
    /// # Errors
    /// If it is to have those of one already.
    pub fn imitating(mut self, imitated: Imitated, settings: &PretrainSettings) -> Result<Self, StudentError> {
        self.network.add_state_map(imitated.width(), settings.seed)?;
        let spelling = Spelling::new(&self.tokenizer);
        Ok(Self { imitated: Some((imitated, spelling)), ..self })
    }

    /// The architecture.
    #[must_use]
    pub fn config(&self) -> &EncoderConfig {
        self.network.config()
    }

    /// Writes the files of a model directory, which serves as an encoder here and loads as `BertForMaskedLM` in transformers.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn save(&mut self, directory: &Path, card: &str, format: NumberFormat) -> Result<(), StudentError> {
        let files = directory::language_model(&self.origin, &self.config, &self.tokenizer, format)?;
        directory::write(directory, files, card, self.network.state().0, format)
    }
}

/// Pretrains a model, one optimiser step per item.
pub struct Pretrainer {
    model: LanguageModel,
    settings: PretrainSettings,
    adam: AdamW,
    mask: Mask,
    text: Text,
    /// In batches.
    held_out: Vec<Vec<Masked>>,
    rates: Rates,
    cursor: Cursor,
    fingerprint: String,
    failed: bool,
}

/// Where a pretraining stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Cursor {
    step: usize,
    /// Sequences drawn.
    drawn: u64,
    /// Parts of steps computed; what dropout counts by.
    passes: u64,
}

/// What a checkpoint holds beside the numbers.
#[derive(Serialize, Deserialize)]
pub struct State {
    cursor: Cursor,
    updates: Option<u32>,
}

/// What was read of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TextSummary {
    /// Sequences that are learnt from.
    pub sequences: u64,
    /// Their sub-words, special tokens not counted.
    pub tokens: u64,
    /// Sequences that are held out.
    pub held_out: u64,
}

/// Sub-words that are scored at a time.
const SCORED_TOKENS: usize = 2048;

impl Pretrainer {
    /// Tokenises the sources into files in `directory`, which must stay as long as this one; gives how many paragraphs were
    /// left out because they had come before, too.
    ///
    /// # Errors
    /// If a source cannot be read, there is too little text, or the settings make no sense.
    pub fn new(
        model: LanguageModel,
        (sources, reading): (&[Source], &ReadOptions),
        directory: &Path,
        settings: &PretrainSettings,
    ) -> Result<(Self, u64), StudentError> {
        let limit = sequence_limit(&model, settings)?;
        let (text, repeated) = Text::make(sources, reading, &model.tokenizer, limit, directory)?;
        Ok((Self::with(model, text, settings)?, repeated))
    }

    /// On the files that [`Self::new`] left in `directory`.
    ///
    /// # Errors
    /// If they are not there or damaged.
    pub fn on(model: LanguageModel, directory: &Path, settings: &PretrainSettings) -> Result<Self, StudentError> {
        Self::with(model, Text::open(directory)?, settings)
    }

    fn with(model: LanguageModel, mut text: Text, settings: &PretrainSettings) -> Result<Self, StudentError> {
        settings.check()?;
        let vocabulary = model.config().vocab_size as u32;
        let token = model.tokenizer.id_of("[MASK]").filter(|id| *id < vocabulary).ok_or(StudentError::Setting {
            setting: "encoder",
            found: "a tokeniser without [MASK]".to_owned(),
            expected: "a BERT model's",
        })?;
        // Behind the special tokens, where the vocabulary begins with them.
        let mask = Mask { share: settings.mask_share, token, first: (token + 1) % vocabulary, end: vocabulary };
        if text.training.sequences() == 0 || text.held_out.sequences() == 0 {
            return Err(StudentError::Setting {
                setting: "corpus",
                found: format!("{} sequences", text.training.sequences() + text.held_out.sequences()),
                expected: "more text: at least two documents, or some hundred sentences",
            });
        }
        let (prefix, suffix) = model.tokenizer.surroundings();
        let special = (prefix.len() + suffix.len()) as u64;
        let tokens = text.training.tokens() + special * text.training.sequences();
        let steps = (settings.epochs * tokens as f64 / settings.batch_tokens as f64).ceil().max(1.0) as usize;
        let rates =
            Rates { schedule: settings.schedule, warmup: Warmup::Share(settings.warmup_share), stages: vec![steps] };
        let mut hash = Hash::default();
        // Writing into a hash cannot fail.
        let _ = writeln!(hash, "{settings:?} {:?} {tokens} {:?}", model.config(), model.tokenizer.vocabulary());
        if let Some((imitated, _)) = &model.imitated {
            let _ = writeln!(hash, "{}", imitated.description());
        }
        let held_out = held_out(&mut text, &model.tokenizer, &mask, settings.seed)?;
        Ok(Self {
            adam: settings.adam(),
            settings: settings.clone(),
            mask,
            text,
            held_out,
            rates,
            cursor: Cursor::default(),
            fingerprint: hash.finish(),
            failed: false,
            model,
        })
    }

    /// What was read of the text.
    #[must_use]
    pub fn text(&self) -> TextSummary {
        let Text { training, held_out } = &self.text;
        TextSummary { sequences: training.sequences(), tokens: training.tokens(), held_out: held_out.sequences() }
    }

    /// Optimiser steps of the whole run.
    #[must_use]
    pub fn total_steps(&self) -> usize {
        self.rates.stages.iter().sum()
    }

    /// Scores what is held out.
    ///
    /// # Errors
    /// If the encoder cannot take a batch, or a logit is not finite.
    pub fn score(&mut self) -> Result<HeldOut, StudentError> {
        let (mut loss, mut right, mut hidden) = (0.0, 0, 0);
        for sequences in &self.held_out {
            let Cloze { batch, rows, truth } = Cloze::of(sequences);
            let logits = self.model.network.logits(&batch, &rows)?;
            for (row, truth) in logits.chunks_exact(logits.len() / rows.len()).zip(truth) {
                let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let total: f64 = row.iter().map(|v| f64::from(v - largest).exp()).sum();
                loss += total.ln() - f64::from(row[truth as usize] - largest);
                right += usize::from(row[truth as usize] >= largest);
                hidden += 1;
            }
        }
        let loss = loss / hidden as f64;
        if !loss.is_finite() {
            return Err(StudentError::NotFinite);
        }
        Ok(HeldOut { loss, perplexity: loss.exp(), accuracy: right as f64 / hidden as f64, hidden })
    }

    /// What is held out, as [`Self::score`] hides words in it: for others to measure again.
    pub fn held_out(&self) -> impl Iterator<Item = &Masked> {
        self.held_out.iter().flatten()
    }

    /// Makes of the weights what will be saved in a format: with hidden states of a mean square of about 1
    /// ([`Parameters::standardise_hidden_states`]), and rounded.
    ///
    /// # Errors
    /// Never: they are the model's own.
    pub fn finish(&mut self, format: NumberFormat) -> Result<(), StudentError> {
        let network = &mut self.model.network;
        let mut parameters = network.state().0.clone();
        parameters.standardise_hidden_states();
        let rounded: Vec<f32> = parameters.values().iter().map(|value| format.round(*value)).collect();
        Ok(network.set_parameters(&rounded)?)
    }

    /// The model as it is now.
    #[must_use]
    pub fn into_model(self) -> LanguageModel {
        self.model
    }

    /// The sequences of the next step, as they are and with hidden words.
    fn draw(&mut self) -> Result<Vec<(Vec<Piece>, Masked)>, StudentError> {
        let sequences = self.text.training.sequences();
        let (mut drawn, mut tokens) = (Vec::new(), 0);
        while tokens < self.settings.batch_tokens {
            let (epoch, place) = (self.cursor.drawn / sequences, self.cursor.drawn % sequences);
            let shuffle = Shuffle::new(sequences, self.settings.seed.wrapping_add(epoch << 32));
            let pieces = self.text.training.read(shuffle.at(place))?;
            let masked = surrounded(&self.model.tokenizer, &self.mask, &pieces, self.settings.seed, self.cursor.drawn);
            tokens += masked.ids.len();
            drawn.push((pieces, masked));
            self.cursor.drawn += 1;
        }
        Ok(drawn)
    }

    fn next_step(&mut self) -> Result<PretrainStep, StudentError> {
        let drawn = self.draw()?;
        let hidden: usize = drawn.iter().map(|(_, masked)| masked.places.len()).sum();
        let tokens: usize = drawn.iter().map(|(_, masked)| masked.ids.len()).sum();
        let word_count: usize = drawn.iter().map(|(pieces, _)| words(pieces).count()).sum();
        let (mut loss, mut imitation_loss) = (0.0, 0.0);
        for part in drawn.chunks(drawn.len().div_ceil(self.settings.accumulation)) {
            let Cloze { batch, rows, truth } = Cloze::of(part.iter().map(|(_, masked)| masked));
            let targets = Targets {
                scale: 1.0 / hidden as f32,
                seed: self.settings.seed,
                pass: self.cursor.passes,
                ..Targets::new(&rows, &truth)
            };
            let LanguageModel { network, tokenizer, imitated, .. } = &mut self.model;
            if let Some((imitated, spelling)) = imitated {
                let (prefix, suffix) = tokenizer.surroundings();
                let sequences = part.iter().map(|(pieces, _)| pieces.as_slice());
                let states = imitated.states(sequences, spelling, (prefix.len(), suffix.len()))?;
                let scale = (self.settings.imitation_weight / word_count as f64) as f32;
                let ImitationLoss { classes, states } = network.imitate(&batch, &targets, &states.targets(scale))?;
                loss += classes;
                imitation_loss += states;
            } else {
                loss += network.accumulate(&batch, &targets)?;
            }
            self.cursor.passes += 1;
        }
        let loss = loss / hidden as f64;
        let imitation_loss = self.model.imitated.is_some().then_some(imitation_loss / word_count as f64);
        let rate = self.settings.learning_rate * self.rates.factor(self.cursor.step);
        let step = self.cursor.step + 1;
        let diverged = |what, value| StudentError::Diverged { step, what, value, rate };
        if let Some(loss) = [Some(loss), imitation_loss].into_iter().flatten().find(|loss| !loss.is_finite()) {
            return Err(diverged("the loss", loss));
        }
        let gradient_norm = self.model.network.update(&self.adam, rate as f32);
        if !gradient_norm.is_finite() {
            return Err(diverged("the gradient norm", gradient_norm));
        }
        self.cursor.step = step;
        let is_scored = step.is_multiple_of(self.settings.evaluate_steps) || step == self.total_steps();
        Ok(PretrainStep {
            step,
            steps: self.total_steps(),
            epoch: self.cursor.drawn as f64 / self.text.training.sequences() as f64,
            loss,
            imitation_loss,
            learning_rate: rate,
            gradient_norm,
            tokens,
            hidden,
            held_out: is_scored.then(|| self.score()).transpose()?,
        })
    }
}

impl Iterator for Pretrainer {
    type Item = Result<PretrainStep, StudentError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.cursor.step >= self.total_steps() {
            return None;
        }
        let step = self.next_step();
        self.failed = step.is_err();
        Some(step)
    }
}

impl Resumable for Pretrainer {
    type State = State;

    fn steps_made(&self) -> usize {
        self.cursor.step
    }

    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn state(&mut self) -> (State, Vec<(&'static str, &[f32])>) {
        let (updates, values) = network_state(&mut self.model.network);
        (State { cursor: self.cursor, updates }, values)
    }

    fn restore(&mut self, state: State, mut values: HashMap<String, Vec<f32>>) -> Result<(), String> {
        restore_network(&mut self.model.network, &mut values, state.updates)?;
        self.cursor = state.cursor;
        Ok(())
    }
}

/// How many sub-words fit beside the special tokens.
fn sequence_limit(model: &LanguageModel, settings: &PretrainSettings) -> Result<usize, StudentError> {
    let (prefix, suffix) = model.tokenizer.surroundings();
    let longest = settings.max_length.min(model.config().longest_sequence());
    longest.checked_sub(prefix.len() + suffix.len()).filter(|limit| *limit > 0).ok_or(StudentError::Setting {
        setting: "max_length",
        found: settings.max_length.to_string(),
        expected: "room for the special tokens and one sub-word",
    })
}

/// A sequence with hidden words between its special tokens. What is hidden depends on the seed and `number` alone.
fn surrounded(tokenizer: &SubwordTokenizer, mask: &Mask, pieces: &[Piece], seed: u64, number: u64) -> Masked {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(number);
    let (prefix, suffix) = tokenizer.surroundings();
    let Masked { ids, mut places, truth } = mask.hide(pieces, &mut random);
    for place in &mut places {
        *place += prefix.len();
    }
    Masked { ids: [prefix, &ids, suffix].concat(), places, truth }
}

/// Sequences to be completed.
#[derive(Default)]
struct Cloze {
    batch: PackedBatch,
    /// The rows of what is hidden.
    rows: Vec<usize>,
    /// What stood there.
    truth: Vec<u32>,
}

impl Cloze {
    fn of<'m>(sequences: impl IntoIterator<Item = &'m Masked>) -> Self {
        let mut cloze = Self::default();
        for masked in sequences {
            let start = cloze.batch.tokens();
            cloze.rows.extend(masked.places.iter().map(|place| start + place));
            cloze.truth.extend_from_slice(&masked.truth);
            cloze.batch.push(&masked.ids);
        }
        cloze
    }
}

/// What is held out in batches, with the same words hidden every time.
fn held_out(
    text: &mut Text,
    tokenizer: &SubwordTokenizer,
    mask: &Mask,
    seed: u64,
) -> Result<Vec<Vec<Masked>>, StudentError> {
    let (mut batches, mut some, mut tokens) = (Vec::new(), Vec::new(), 0);
    for number in 0..text.held_out.sequences() {
        // Numbers that no sequence of the training has.
        let masked = surrounded(tokenizer, mask, &text.held_out.read(number)?, seed, u64::MAX - number);
        tokens += masked.ids.len();
        some.push(masked);
        if tokens >= SCORED_TOKENS {
            batches.push(std::mem::take(&mut some));
            tokens = 0;
        }
    }
    if !some.is_empty() {
        batches.push(some);
    }
    Ok(batches)
}
