//! A pretrained encoder whose hidden states another one learns to have (Jiao et al., "`TinyBERT`", 2020).

use std::path::Path;

use apprentice_encoder::{Network, NetworkOptions, PackedBatch, Precision, StateTargets, load_encoder};

use super::store::Piece;
use crate::{StudentError, directory, tokenize::SubwordTokenizer};

/// The encoder that is imitated, word by word: it has a vocabulary of its own.
pub struct Imitated {
    network: Network,
    tokenizer: SubwordTokenizer,
}

/// The states of the words of some sequences.
#[derive(Default)]
pub(super) struct WordStates {
    /// Where in the imitator's batch the words' first sub-words stand.
    rows: Vec<usize>,
    /// The states, `[S, D]`, each with mean 0 and variance 1.
    states: Vec<f32>,
}

impl WordStates {
    pub(super) fn targets(&self, scale: f32) -> StateTargets<'_> {
        StateTargets { rows: &self.rows, states: &self.states, scale }
    }
}

impl Imitated {
    /// From its directory, with so many of its layers, or all. It computes in 8 bits: the same on every machine, and nearer to
    /// its states than those who imitate it come.
    ///
    /// # Errors
    /// If any of its files is missing or faulty, or it has not as many layers.
    pub fn read(directory: &Path, layers: Option<usize>, options: &NetworkOptions) -> Result<Self, StudentError> {
        let mut parts = directory::read(directory)?;
        let all = &mut parts.config.num_hidden_layers;
        let layers = layers.unwrap_or(*all);
        if !(1..=*all).contains(&layers) {
            return Err(StudentError::Setting {
                setting: "imitate_layers",
                found: format!("{layers} of an encoder with {all}"),
                expected: "at least 1, and at most as many as it has",
            });
        }
        *all = layers;
        // It is never asked for classes.
        let parameters = load_encoder(&parts.weights, &parts.config, 1, 0)?;
        let mut network = Network::new(parts.config, parameters, options)?;
        network.set_precision(Precision::Int8);
        Ok(Self { network, tokenizer: parts.tokenizer })
    }

    /// The width of its hidden states, `D`.
    pub(super) fn width(&self) -> usize {
        self.network.config().hidden_size
    }

    /// What decides its states, for a fingerprint.
    pub(super) fn description(&self) -> String {
        let sum: f64 = self.network.parameters().values().iter().map(|v| f64::from(*v)).sum();
        format!("{:?} {:?} {}", self.network.config(), self.network.precision(), sum.to_bits())
    }

    /// Its states for the words of sequences, of which the imitator sees `spelling` and, around each sequence, so many special
    /// tokens. A word that the imitator cannot spell has none, nor has one behind the longest sequence that this encoder can take.
    pub(super) fn states<'p>(
        &mut self,
        sequences: impl Iterator<Item = &'p [Piece]>,
        spelling: &Spelling,
        (before, behind): (usize, usize),
    ) -> Result<WordStates, StudentError> {
        let longest = self.network.config().longest_sequence();
        let (prefix, suffix) = self.tokenizer.surroundings();
        let mut batch = PackedBatch::default();
        let (mut found, mut own_rows) = (WordStates::default(), Vec::new());
        let mut start = 0;
        for pieces in sequences {
            let mut ids = prefix.to_vec();
            for (place, word) in words(pieces) {
                let text = spelling.word(word);
                let subwords = self.tokenizer.subwords(text.as_deref().unwrap_or("?"))?;
                if ids.len() + subwords.len() + suffix.len() > longest {
                    break;
                }
                if text.is_some() {
                    found.rows.push(start + before + place);
                    own_rows.push(batch.tokens() + ids.len());
                }
                ids.extend(subwords);
            }
            ids.extend(suffix);
            batch.push(&ids);
            start += before + pieces.len() + behind;
        }
        let width = self.width();
        let hidden = self.network.hidden(&batch)?;
        found.states.reserve(own_rows.len() * width);
        for row in own_rows {
            found.states.extend(standardised(&hidden[row * width..][..width]));
        }
        Ok(found)
    }
}

/// With mean 0 and variance 1, so that no word and no encoder counts more than another.
fn standardised(state: &[f32]) -> impl Iterator<Item = f32> {
    let mean = state.iter().sum::<f32>() / state.len() as f32;
    let variance = state.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>() / state.len() as f32;
    let factor = 1.0 / (variance + 1e-12).sqrt();
    state.iter().map(move |v| (v - mean) * factor)
}

/// The words of a sequence, each with the place of its first sub-word.
pub(super) fn words(pieces: &[Piece]) -> impl Iterator<Item = (usize, &[Piece])> {
    let mut end = 0;
    pieces.chunk_by(|_, next| next.continues).map(move |word| {
        end += word.len();
        (end - word.len(), word)
    })
}

/// The letters of sub-words.
pub(super) struct Spelling {
    /// By id, without the mark of those that go on with a word; nothing for special tokens.
    letters: Vec<Option<String>>,
}

impl Spelling {
    pub(super) fn new(tokenizer: &SubwordTokenizer) -> Self {
        let letters = tokenizer.vocabulary().into_iter().map(|token| {
            let is_special = token.len() > 2 && token.starts_with('[') && token.ends_with(']');
            let letters = token.strip_prefix("##").map(str::to_owned);
            (!is_special).then(|| letters.unwrap_or(token))
        });
        Self { letters: letters.collect() }
    }

    /// A word, if all of it is known.
    fn word(&self, pieces: &[Piece]) -> Option<String> {
        pieces.iter().map(|piece| self.letters.get(piece.id as usize)?.as_deref()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_cut_into_words() {
        let pieces: Vec<Piece> =
            [false, true, false, false, true, true].into_iter().map(|continues| Piece { id: 7, continues }).collect();
        let found: Vec<(usize, usize)> = words(&pieces).map(|(place, word)| (place, word.len())).collect();
        assert_eq!(found, [(0, 2), (2, 1), (3, 3)]);
        assert_eq!(words(&[]).count(), 0);
    }

    #[test]
    fn states_have_mean_0_and_variance_1() {
        let state: Vec<f32> = standardised(&[1.0, 5.0, -3.0, 1.0]).collect();
        let expected = [0.0, 2.0_f32.sqrt(), -(2.0_f32.sqrt()), 0.0];
        assert!(state.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{state:?}");
        assert!(standardised(&[2.0; 4]).all(|v| v == 0.0));
    }
}
