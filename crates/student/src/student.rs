//! A student: made from an encoder or from scratch, tagging sentences, saved and loaded.

use std::{path::Path, str::FromStr};

use apprentice_core::{Entity, Scores, Sentence, metrics};
use apprentice_encoder::{
    EncoderConfig, Network, NetworkOptions, NumberFormat, PackedBatch, Parameters, load_classifier, load_crf,
    load_encoder,
};

use crate::{
    Head, Prediction, StudentError, directory,
    directory::Origin,
    labels::Labels,
    tokenize::{SubwordTokenizer, Window},
};

/// Sizes of an encoder from scratch: `LAYERSxHIDDENxHEADS`; the feed-forward layer is four times as wide as the hidden
/// states.
///
/// ```
/// use apprentice_student::Architecture;
/// let small: Architecture = "2x128x4".parse().unwrap();
/// assert_eq!((small.layers, small.hidden, small.heads), (2, 128, 4));
/// assert!("2x130x4".parse::<Architecture>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Architecture {
    /// Number of layers.
    pub layers: usize,
    /// Width of the hidden states.
    pub hidden: usize,
    /// Attention heads per layer.
    pub heads: usize,
}

impl Architecture {
    /// A BERT of these sizes, with so many sub-words.
    pub(crate) fn config(self, vocabulary: usize) -> EncoderConfig {
        EncoderConfig {
            vocab_size: vocabulary,
            hidden_size: self.hidden,
            num_hidden_layers: self.layers,
            num_attention_heads: self.heads,
            intermediate_size: 4 * self.hidden,
            ..EncoderConfig::default()
        }
    }
}

impl FromStr for Architecture {
    type Err = StudentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |problem: &str| StudentError::Architecture { found: text.to_owned(), problem: problem.to_owned() };
        let sizes: Result<Vec<usize>, _> = text.split('x').map(str::parse).collect();
        match sizes.as_deref() {
            Ok(&[layers, hidden, heads]) if layers > 0 && hidden > 0 && heads > 0 => {
                if !hidden.is_multiple_of(heads) {
                    return Err(error("the heads must divide the hidden size"));
                }
                Ok(Self { layers, hidden, heads })
            }
            _ => Err(error("three positive sizes are needed")),
        }
    }
}

/// An encoder with a head, its tokeniser and its labels.
pub struct Student {
    pub(crate) network: Network,
    pub(crate) tokenizer: SubwordTokenizer,
    pub(crate) labels: Labels,
    origin: Origin,
}

/// Sub-words that prediction packs into one batch for every thread: enough to keep it busy, and so few that what a layer
/// leaves for the next one is still in a cache.
const PREDICTION_TOKENS: usize = 256;

impl Student {
    /// A student on a pretrained encoder's directory, with a fresh head for entity types `labels`.
    ///
    /// # Errors
    /// If the directory is not one of a BERT-family model or any of its files is faulty.
    pub fn from_encoder(
        directory: &Path,
        labels: Labels,
        seed: u64,
        options: &NetworkOptions,
    ) -> Result<Self, StudentError> {
        let parts = directory::read(directory)?;
        let parameters = load_encoder(&parts.weights, &parts.config, labels.len(), seed)?;
        Ok(Self {
            network: Network::new(parts.config, parameters, options)?,
            tokenizer: parts.tokenizer,
            labels,
            origin: parts.origin,
        })
    }

    /// A student whose encoder starts from random weights and whose vocabulary is that of `tokenizer`.
    ///
    /// # Errors
    /// If the architecture makes no model.
    pub fn from_scratch(
        architecture: Architecture,
        tokenizer: SubwordTokenizer,
        labels: Labels,
        seed: u64,
        options: &NetworkOptions,
    ) -> Result<Self, StudentError> {
        let config = architecture.config(tokenizer.largest_id() as usize + 1);
        let parameters = Parameters::initialised(&config, labels.len(), seed)?;
        let network = Network::new(config, parameters, options)?;
        Ok(Self { network, tokenizer, labels, origin: Origin::default() })
    }

    /// A trained student, from the directory of a token-classification model.
    ///
    /// # Errors
    /// As [`Self::from_encoder`]; and if the directory has no labels for its classes or they are no IOB tags.
    pub fn load(directory: &Path, options: &NetworkOptions) -> Result<Self, StudentError> {
        let parts = directory::read(directory)?;
        let labels = directory::labels(directory, &parts.origin.config)?;
        let parameters = match directory::head(directory, &parts.origin.config)? {
            Head::Softmax => load_classifier(&parts.weights, &parts.config, labels.len())?,
            Head::Crf => load_crf(&parts.weights, &parts.config, labels.transitions().clone())?,
        };
        Ok(Self {
            network: Network::new(parts.config, parameters, options)?,
            tokenizer: parts.tokenizer,
            labels,
            origin: parts.origin,
        })
    }

    /// Writes the model directory's files, with `card` as its `README.md`, into `directory`, which exists.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn save(&self, directory: &Path, card: &str) -> Result<(), StudentError> {
        let config = self.network.config();
        let files = directory::contents(&self.origin, config, self.head(), &self.labels, &self.tokenizer)?;
        directory::write(directory, files, card, self.network.parameters(), NumberFormat::F32)
    }

    /// The output layer.
    #[must_use]
    pub fn head(&self) -> Head {
        if self.network.transitions().is_some() { Head::Crf } else { Head::Softmax }
    }

    /// Gives a student, whose head is a softmax if it is fresh, the head that is asked for.
    pub(crate) fn set_head(&mut self, head: Head) -> Result<(), StudentError> {
        match (self.head(), head) {
            (Head::Softmax, Head::Crf) => Ok(self.network.add_crf(self.labels.transitions().clone())?),
            (Head::Crf, Head::Softmax) => Err(StudentError::Setting {
                setting: "head",
                found: head.to_string(),
                expected: "crf, because the student has one",
            }),
            _ => Ok(()),
        }
    }

    /// The classes.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// The encoder's architecture.
    #[must_use]
    pub fn config(&self) -> &EncoderConfig {
        self.network.config()
    }

    /// How many numbers were trained.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.network.layout().len()
    }

    /// The longest window that is used where `asked` was asked for: at most what the model takes.
    #[must_use]
    pub fn max_length(&self, asked: Option<usize>) -> usize {
        let limit = self.config().longest_sequence();
        asked.unwrap_or(limit).min(limit)
    }

    /// The entities of each sentence, in the order given, and how sure the student is of each; entities that the sentences
    /// carry are not looked at.
    ///
    /// # Errors
    /// If the tokeniser fails on a word.
    pub fn predict(
        &mut self,
        sentences: &[Sentence],
        max_length: Option<usize>,
    ) -> Result<Vec<Prediction>, StudentError> {
        let windows = self.tokenizer.windows(sentences, self.max_length(max_length))?;
        let logits = self.logits(&windows)?;
        let labels = self.labels.scored(self.network.transitions());
        Ok(logits.iter().map(|logits| labels.predict(logits)).collect())
    }

    /// The entities alone, from windows made before.
    pub(crate) fn entities(&mut self, sentences: &[Vec<Window>]) -> Result<Vec<Vec<Entity>>, StudentError> {
        let logits = self.logits(sentences)?;
        let labels = self.labels.scored(self.network.transitions());
        Ok(logits.iter().map(|logits| labels.entities(&labels.decode(logits))).collect())
    }

    /// The logits of each sentence's words, `[words, classes]`.
    fn logits(&mut self, sentences: &[Vec<Window>]) -> Result<Vec<Vec<f32>>, StudentError> {
        let classes = self.labels.len();
        let words = |windows: &[Window]| windows.last().map_or(0, |w| w.words.end);
        let mut logits: Vec<Vec<f32>> = sentences.iter().map(|s| vec![0.0; words(s) * classes]).collect();
        for (batch, windows) in batches(sentences, self.network.threads()) {
            let starts = batch.offsets();
            let rows = windows.iter().zip(starts).flat_map(|((_, w), start)| w.rows.iter().map(move |row| start + row));
            let mut computed = self.network.logits(&batch, &rows.collect::<Vec<_>>())?;
            if computed.iter().any(|logit| !logit.is_finite()) {
                return Err(StudentError::NotFinite);
            }
            for (sentence, window) in windows {
                let own;
                (own, computed) = computed.split_at(window.words.len() * classes);
                logits[sentence][window.words.start * classes..window.words.end * classes].copy_from_slice(own);
            }
        }
        Ok(logits)
    }

    /// A vector for each sentence, of length 1 and as many numbers as the encoder has units, such that sentences alike have
    /// a large scalar product: the mean of the encoder's output over all sub-words, special ones included, as Sentence
    /// Transformers pools (Reimers and Gurevych 2019, arXiv 1908.10084). The labels do not matter.
    ///
    /// # Errors
    /// As [`Self::predict`].
    pub fn embed(&mut self, sentences: &[Sentence]) -> Result<Vec<Vec<f32>>, StudentError> {
        let units = self.config().hidden_size;
        let windows = self.tokenizer.windows(sentences, self.max_length(None))?;
        let mut sums = vec![vec![0.0; units]; sentences.len()];
        for (batch, windows) in batches(&windows, self.network.threads()) {
            let mut hidden = self.network.hidden(&batch)?.chunks_exact(units);
            for (sentence, window) in windows {
                for token in hidden.by_ref().take(window.ids.len()) {
                    sums[sentence].iter_mut().zip(token).for_each(|(sum, value)| *sum += value);
                }
            }
        }
        for sum in &mut sums {
            let length = sum.iter().map(|value| value * value).sum::<f32>().sqrt();
            if !length.is_finite() {
                return Err(StudentError::NotFinite);
            }
            for value in sum {
                *value /= length.max(f32::MIN_POSITIVE);
            }
        }
        Ok(sums)
    }

    /// The scores of the student's predictions against the entities that the sentences carry.
    ///
    /// # Errors
    /// As [`Self::predict`].
    pub fn evaluate(&mut self, gold: &[Sentence], max_length: Option<usize>) -> Result<Scores, StudentError> {
        let windows = self.tokenizer.windows(gold, self.max_length(max_length))?;
        let predicted = self.entities(&windows)?;
        let entities: Vec<&[Entity]> = gold.iter().map(Sentence::entities).collect();
        Ok(metrics::entities(&entities, &predicted)?)
    }
}

/// The windows of all sentences that have words, packed, each with the sentence that it is of. Windows of like length
/// together keep batches of even size. A window's numbers do not depend, to the last bit, on what else is in its batch.
fn batches(sentences: &[Vec<Window>], threads: usize) -> impl Iterator<Item = (PackedBatch, Vec<(usize, &Window)>)> {
    // With fewer, weights would be read for few rows; with more, batches would take much memory.
    let most = PREDICTION_TOKENS * threads.clamp(2, 16);
    let windows = sentences.iter().enumerate();
    let windows = windows.flat_map(|(index, windows)| windows.iter().map(move |window| (index, window)));
    let mut order: Vec<(usize, &Window)> = windows.filter(|(_, window)| !window.words.is_empty()).collect();
    order.sort_by_key(|(_, window)| window.ids.len());
    let mut rest = order.into_iter().peekable();
    std::iter::from_fn(move || {
        let (mut batch, mut taken) = (PackedBatch::default(), Vec::new());
        let fits =
            |batch: &PackedBatch, window: &Window| batch.tokens() == 0 || batch.tokens() + window.ids.len() <= most;
        while let Some((sentence, window)) = rest.next_if(|(_, window)| fits(&batch, window)) {
            batch.push(&window.ids);
            taken.push((sentence, window));
        }
        (!taken.is_empty()).then_some((batch, taken))
    })
}
