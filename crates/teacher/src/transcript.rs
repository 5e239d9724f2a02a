//! Recorded completions: one JSON object per line, `{"id", "strategy", "model", "sentence", "completion"}`, and
//! `"sample"` where it is one of several answers to the same question.
//!
//! A transcript is checked twice: when it is read (each line for itself, no two lines for the same sentence,
//! strategy and sample), and against the sentences it is to annotate ([`Transcript::check`]).
//!
//! ```
//! use apprentice_teacher::{Transcript, TranscriptError};
//! let line = r#"{"id": "s1", "strategy": "cot", "model": "m", "sentence": "Hm .", "completion": "…"}"#;
//! let twice = format!("{line}\n\n{line}\n");
//! let error = Transcript::read(twice.as_bytes(), "t.jsonl").unwrap_err();
//! assert!(matches!(error, TranscriptError::Duplicate { first: 1, second: 3, .. }));
//! ```

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::BufRead;
use std::sync::Arc;

use apprentice_core::Sentence;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Listed;

/// The raw text that a teacher returned for a sentence: the asset that is paid for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completion {
    /// The sentence's id.
    pub id: String,
    /// The name of the prompt strategy.
    pub strategy: Arc<str>,
    /// Which of several answers to the same question this is, from 0.
    #[serde(default, skip_serializing_if = "is_first")]
    pub sample: u32,
    /// The model that answered.
    pub model: Arc<str>,
    /// The sentence's text as it was asked about.
    pub sentence: String,
    /// What the model wrote.
    #[serde(rename = "completion")]
    pub text: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
const fn is_first(sample: &u32) -> bool {
    *sample == 0
}

/// What to do about completions of sentences that are not in the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unused {
    /// They are an error: the transcript or the input is likely the wrong file.
    Refuse,
    /// They are left alone: the input is known to be a part of what was recorded.
    Allow,
}

/// What is wrong with a transcript.
#[derive(Debug, Error)]
pub enum TranscriptError {
    /// The file could not be read on.
    #[error("{file}:{line}: cannot be read")]
    Read {
        /// The transcript.
        file: String,
        /// The line, from 1.
        line: usize,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A line that is not a record.
    #[error(
        "{file}:{line}: expected one JSON object with the texts \"id\", \"strategy\", \"model\", \"sentence\" and \"completion\""
    )]
    Json {
        /// The transcript.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What was found instead.
        #[source]
        source: serde_json::Error,
    },
    /// No record at all.
    #[error("{file}: empty, expected recorded completions, one JSON object per line")]
    Empty {
        /// The transcript.
        file: String,
    },
    /// Two records for one sentence, strategy and sample.
    #[error(
        "{file}:{second}: sentence {id} under strategy {strategy} was recorded on line {first} already; keep one, or give \
         each a \"sample\" of its own"
    )]
    Duplicate {
        /// The transcript.
        file: String,
        /// The sentence.
        id: String,
        /// The strategy.
        strategy: Arc<str>,
        /// The line of the earlier record.
        first: usize,
        /// The line of the later record.
        second: usize,
    },
    /// Several strategies where one is to be used.
    #[error("{file}: holds completions of several strategies ({found}), expected one; say which", found = found.join(", "))]
    SeveralStrategies {
        /// The transcript.
        file: String,
        /// Their names, sorted.
        found: Vec<String>,
    },
    /// A strategy of which there is no record.
    #[error("{file}: holds no completion of strategy {wanted}, found {found}", found = found.join(", "))]
    NoSuchStrategy {
        /// The transcript.
        file: String,
        /// The strategy that was asked for.
        wanted: String,
        /// The names that are there, sorted.
        found: Vec<String>,
    },
    /// A record about another text than the input's.
    #[error(
        "{file}:{line}: sentence {id} was recorded as {recorded:?}, but the input has {input:?}; use the input that was recorded"
    )]
    TextDiffers {
        /// The transcript.
        file: String,
        /// The line, from 1.
        line: usize,
        /// The sentence.
        id: String,
        /// The transcript's text.
        recorded: String,
        /// The input's text.
        input: String,
    },
    /// Ids that do not match the input's.
    #[error(
        "{file}: does not match the input: {} of {inputs} sentences have no completion ({missing}), {} of {completions} completions have no sentence ({unused})",
        missing.count,
        unused.count
    )]
    Mismatch {
        /// The transcript.
        file: String,
        /// The number of sentences in the input.
        inputs: usize,
        /// The number of completions in the transcript.
        completions: usize,
        /// Sentences without completion.
        missing: Listed<String>,
        /// Completions without sentence.
        unused: Listed<String>,
    },
}

/// Recorded completions, at most one for each sentence, strategy and sample.
#[derive(Debug, Clone)]
pub struct Transcript {
    file: Arc<str>,
    completions: Vec<Completion>,
    /// The line of each completion, from 1.
    lines: Vec<usize>,
    /// Strategy -> sentence id -> indices into `completions`, by sample.
    places: HashMap<Arc<str>, HashMap<String, Vec<usize>>>,
}

impl Transcript {
    /// Reads all of `reader`; `file` is what errors call it. Blank lines and a byte order mark are passed over.
    ///
    /// # Errors
    /// [`TranscriptError`] `Read`, `Json`, `Duplicate` or `Empty`.
    pub fn read(reader: impl BufRead, file: &str) -> Result<Self, TranscriptError> {
        let mut transcript =
            Self { file: file.into(), completions: Vec::new(), lines: Vec::new(), places: HashMap::new() };
        for (index, text) in reader.lines().enumerate() {
            let (file, line) = (|| file.to_owned(), index + 1);
            let text = text.map_err(|source| TranscriptError::Read { file: file(), line, source })?;
            let text = if index == 0 { text.trim_start_matches('\u{feff}') } else { &text };
            if text.trim().is_empty() {
                continue;
            }
            let completion: Completion =
                serde_json::from_str(text).map_err(|source| TranscriptError::Json { file: file(), line, source })?;
            transcript.add(completion, line)?;
        }
        if transcript.completions.is_empty() {
            return Err(TranscriptError::Empty { file: file.to_owned() });
        }
        Ok(transcript)
    }

    fn add(&mut self, completion: Completion, line: usize) -> Result<(), TranscriptError> {
        let places = self.places.entry(completion.strategy.clone()).or_default();
        let samples = places.entry(completion.id.clone()).or_default();
        match samples.binary_search_by_key(&completion.sample, |&index| self.completions[index].sample) {
            Ok(earlier) => {
                return Err(TranscriptError::Duplicate {
                    file: self.file.to_string(),
                    first: self.lines[samples[earlier]],
                    id: completion.id,
                    strategy: completion.strategy,
                    second: line,
                });
            }
            Err(place) => samples.insert(place, self.completions.len()),
        }
        self.completions.push(completion);
        self.lines.push(line);
        Ok(())
    }

    /// What errors call it.
    #[must_use]
    pub fn file(&self) -> &Arc<str> {
        &self.file
    }

    /// All completions, in the order of the file.
    #[must_use]
    pub fn completions(&self) -> &[Completion] {
        &self.completions
    }

    /// The names of the strategies, sorted.
    #[must_use]
    pub fn strategies(&self) -> Vec<String> {
        let names: BTreeSet<&Arc<str>> = self.places.keys().collect();
        names.into_iter().map(ToString::to_string).collect()
    }

    /// The completions of this sentence under this strategy, by sample.
    pub fn samples(&self, strategy: &str, id: &str) -> impl Iterator<Item = &Completion> {
        let indices = self.places.get(strategy).and_then(|places| places.get(id));
        indices.into_iter().flatten().map(|&index| &self.completions[index])
    }

    /// Only what was recorded under this strategy.
    ///
    /// # Errors
    /// [`TranscriptError::NoSuchStrategy`].
    pub fn under(mut self, strategy: &str) -> Result<Self, TranscriptError> {
        if !self.places.contains_key(strategy) {
            return Err(TranscriptError::NoSuchStrategy {
                found: self.strategies(),
                file: self.file.to_string(),
                wanted: strategy.to_owned(),
            });
        }
        let lines = std::mem::take(&mut self.lines);
        let completions = std::mem::take(&mut self.completions);
        self.places.clear();
        for (completion, line) in completions.into_iter().zip(lines) {
            if &*completion.strategy == strategy {
                self.add(completion, line)?;
            }
        }
        Ok(self)
    }

    /// The completion of each sentence, the first of several, in the order of the sentences.
    ///
    /// # Errors
    /// [`TranscriptError`] `SeveralStrategies` (see [`Self::under`]), `Mismatch` or `TextDiffers`.
    pub fn check(&self, sentences: &[Sentence], unused: Unused) -> Result<Vec<&Completion>, TranscriptError> {
        let file = || self.file.to_string();
        let mut strategies = self.places.iter();
        let (Some((_, places)), None) = (strategies.next(), strategies.next()) else {
            return Err(TranscriptError::SeveralStrategies { file: file(), found: self.strategies() });
        };
        let ids: HashSet<&str> = sentences.iter().map(Sentence::id).collect();
        let missing: Listed<_> = sentences.iter().map(Sentence::id).filter(|id| !places.contains_key(*id)).collect();
        let spare: Listed<_> = self.completions.iter().map(|c| &*c.id).filter(|id| !ids.contains(id)).collect();
        if !missing.is_empty() || (unused == Unused::Refuse && !spare.is_empty()) {
            return Err(TranscriptError::Mismatch {
                file: file(),
                inputs: sentences.len(),
                completions: self.completions.len(),
                missing: missing.owned(),
                unused: spare.owned(),
            });
        }
        let mut matched = Vec::with_capacity(sentences.len());
        for sentence in sentences {
            let samples = &places[sentence.id()];
            for &index in samples {
                let completion = &self.completions[index];
                if completion.sentence != sentence.text() {
                    return Err(TranscriptError::TextDiffers {
                        file: file(),
                        line: self.lines[index],
                        id: completion.id.clone(),
                        recorded: completion.sentence.clone(),
                        input: sentence.text().to_owned(),
                    });
                }
            }
            matched.extend(samples.first().map(|&index| &self.completions[index]));
        }
        Ok(matched)
    }
}

impl Listed<&str> {
    fn owned(&self) -> Listed<String> {
        Listed { count: self.count, first: self.first.iter().map(|&s| s.to_owned()).collect() }
    }
}
