//! A student: made from an encoder or from scratch, tagging sentences, saved and loaded.

use std::{path::Path, str::FromStr};

use apprentice_core::{Entity, Scores, Sentence, metrics};
use apprentice_encoder::{
    EncoderConfig, Network, NetworkOptions, PackedBatch, Parameters, load_classifier, load_encoder,
};

use crate::{
    StudentError, directory,
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

/// Sub-words that prediction packs into one batch: enough to keep the cores busy, and little memory.
const PREDICTION_TOKENS: usize = 2048;

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
        let config = EncoderConfig {
            vocab_size: tokenizer.largest_id() as usize + 1,
            hidden_size: architecture.hidden,
            num_hidden_layers: architecture.layers,
            num_attention_heads: architecture.heads,
            intermediate_size: 4 * architecture.hidden,
            ..EncoderConfig::default()
        };
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
        let parameters = load_classifier(&parts.weights, &parts.config, labels.len())?;
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
        let mut files = directory::contents(&self.origin, self.network.config(), &self.labels, &self.tokenizer)?;
        files.push(("README.md", card.as_bytes().to_vec()));
        for (name, content) in files {
            let path = directory.join(name);
            let mut file =
                std::fs::File::create(&path).map_err(|source| StudentError::Io { path: path.clone(), source })?;
            std::io::Write::write_all(&mut file, &content).map_err(|source| StudentError::Io { path, source })?;
        }
        Ok(apprentice_encoder::save(self.network.parameters(), &directory.join("model.safetensors"))?)
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
        self.network.parameters().values().len()
    }

    /// The longest window that is used where `asked` was asked for: at most what the model takes.
    #[must_use]
    pub fn max_length(&self, asked: Option<usize>) -> usize {
        let limit = self.config().longest_sequence();
        asked.unwrap_or(limit).min(limit)
    }

    /// The entities of each sentence, in the order given; entities that the sentences carry are not looked at.
    ///
    /// # Errors
    /// If the tokeniser fails on a word.
    pub fn predict(
        &mut self,
        sentences: &[Sentence],
        max_length: Option<usize>,
    ) -> Result<Vec<Vec<Entity>>, StudentError> {
        let windows = self.tokenizer.windows(sentences, self.max_length(max_length))?;
        self.predict_windows(&windows)
    }

    /// The same from windows made before.
    pub(crate) fn predict_windows(&mut self, sentences: &[Vec<Window>]) -> Result<Vec<Vec<Entity>>, StudentError> {
        let classes = self.labels.len();
        let words = |windows: &[Window]| windows.last().map_or(0, |w| w.words.end);
        let mut logits: Vec<Vec<f32>> = sentences.iter().map(|s| vec![0.0; words(s) * classes]).collect();
        // Windows of like length together keep batches of even size; the results do not depend on it.
        let mut order: Vec<(usize, &Window)> = sentences
            .iter()
            .enumerate()
            .flat_map(|(index, windows)| windows.iter().map(move |window| (index, window)))
            .filter(|(_, window)| !window.words.is_empty())
            .collect();
        order.sort_by_key(|(_, window)| window.ids.len());
        let mut rest = order.as_slice();
        while !rest.is_empty() {
            let mut batch = PackedBatch::default();
            let mut rows = Vec::new();
            let mut taken = 0;
            for (_, window) in rest {
                if taken > 0 && batch.tokens() + window.ids.len() > PREDICTION_TOKENS {
                    break;
                }
                rows.extend(window.rows.iter().map(|row| batch.tokens() + row));
                batch.push(&window.ids);
                taken += 1;
            }
            let mut computed = self.network.logits(&batch, &rows)?;
            if computed.iter().any(|logit| !logit.is_finite()) {
                return Err(StudentError::NotFinite);
            }
            for (sentence, window) in &rest[..taken] {
                let own;
                (own, computed) = computed.split_at(window.words.len() * classes);
                logits[*sentence][window.words.start * classes..window.words.end * classes].copy_from_slice(own);
            }
            rest = &rest[taken..];
        }
        Ok(logits.iter().map(|logits| self.labels.entities(&self.labels.decode(logits))).collect())
    }

    /// The scores of the student's predictions against the entities that the sentences carry.
    ///
    /// # Errors
    /// As [`Self::predict`].
    pub fn evaluate(&mut self, gold: &[Sentence], max_length: Option<usize>) -> Result<Scores, StudentError> {
        let predicted = self.predict(gold, max_length)?;
        let entities: Vec<&[Entity]> = gold.iter().map(Sentence::entities).collect();
        Ok(metrics::entities(&entities, &predicted)?)
    }
}
