//! From completions to distilled data, with an account of everything that did not become an entity.
//!
//! Invariants of the [`Report`]: `sentences = done + failures`, and
//! `mentions = exact + folded + fuzzy + missing + overlaps + unknown types`.
//!
//! ```
//! use apprentice_core::Sentence;
//! use apprentice_teacher::{Completion, annotate, default_labels};
//! let sentences = [Sentence::from_words("s1", ["Rome", "won"]), Sentence::from_words("s2", ["Hm", "."])];
//! let answer = |id: &str, text: &str| Completion {
//!     id: id.into(), strategy: "cot".into(), model: "m".into(), sentence: String::new(), text: text.into(),
//! };
//! let completions = [
//!     answer("s1", r#"Answer: {"entities": [{"text": "ROME", "type": "LOC"}, {"text": "won", "type": "VERB"}]}"#),
//!     answer("s2", "I would rather not."),
//! ];
//! let annotation = annotate(&sentences, &completions, &default_labels());
//! let report = &annotation.report;
//! assert_eq!((report.sentences, report.done, report.failures.len()), (2, 1, 1));
//! assert_eq!((report.mentions, report.folded, report.unknown_types["VERB"]), (2, 1, 1));
//! assert_eq!(report.require_all().unwrap_err().to_string(),
//!     "1 of 2 completions cannot be used: s2: no answer found, expected a JSON object {\"entities\": […]}, \
//!      alone or after `Answer:`");
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use apprentice_core::{Provenance, Sentence};
use serde::Serialize;
use thiserror::Error;

use crate::{Completion, Listed, Mention, Outcome, ParseIssue, Status, align, parse};

/// A sentence whose completion cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The sentence.
    pub id: String,
    /// What is wrong with the completion.
    #[serde(flatten)]
    pub issue: ParseIssue,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.id, self.issue)
    }
}

/// A mention that did not become an entity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LostMention {
    /// The sentence.
    pub id: String,
    /// What the completion claimed.
    #[serde(flatten)]
    pub mention: Mention,
}

impl fmt::Display for LostMention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?} ({})", self.id, self.mention.text, self.mention.label)
    }
}

/// What became of the completions and of the mentions in them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Sentences that went in.
    pub sentences: usize,
    /// Sentences that came out.
    pub done: usize,
    /// Sentences that did not, all of them, in order.
    pub failures: Vec<Failure>,
    /// Mentions in the completions that could be read.
    pub mentions: usize,
    /// Entities that are written as the mention.
    pub exact: usize,
    /// Entities that differ from the mention by Unicode form or case.
    pub folded: usize,
    /// Entities that differ by white space or punctuation as well.
    pub fuzzy: usize,
    /// Entities, of the three kinds above, that are longer than the mention because it began or ended inside a token.
    pub widened: usize,
    /// Mentions that are not in the sentence.
    pub missing: Listed<LostMention>,
    /// Mentions that are only where earlier ones are.
    pub overlaps: Listed<LostMention>,
    /// Mentions of types outside the label set, by type.
    pub unknown_types: BTreeMap<String, usize>,
}

impl Report {
    /// How many completions failed in each way, by [`ParseIssue::kind`].
    #[must_use]
    pub fn failures_by_kind(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for failure in &self.failures {
            *counts.entry(failure.issue.kind()).or_default() += 1;
        }
        counts
    }

    /// Nothing, if every completion could be used.
    ///
    /// # Errors
    /// [`Unparsed`], which lists those that could not.
    pub fn require_all(&self) -> Result<(), Unparsed> {
        if self.failures.is_empty() {
            return Ok(());
        }
        Err(Unparsed { failures: self.failures.iter().cloned().collect(), sentences: self.sentences })
    }

    fn count(&mut self, id: &str, mention: Mention, outcome: Outcome) {
        self.mentions += 1;
        match outcome {
            Outcome::Placed { status, widened, .. } => {
                *match status {
                    Status::Exact => &mut self.exact,
                    Status::Folded => &mut self.folded,
                    Status::Fuzzy => &mut self.fuzzy,
                } += 1;
                self.widened += usize::from(widened);
            }
            Outcome::Missing => self.missing.push(LostMention { id: id.to_owned(), mention }),
            Outcome::Overlap { .. } => self.overlaps.push(LostMention { id: id.to_owned(), mention }),
            Outcome::UnknownType => *self.unknown_types.entry(mention.label).or_default() += 1,
        }
    }
}

/// Completions that cannot be used, where all are needed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{} of {sentences} completions cannot be used: {failures}", failures.count)]
pub struct Unparsed {
    /// The first of them, and how many there are.
    pub failures: Listed<Failure>,
    /// How many sentences there were.
    pub sentences: usize,
}

/// Distilled data and how it came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// The sentences whose completions could be used, in the order of the input.
    pub sentences: Vec<Sentence>,
    /// What became of everything.
    pub report: Report,
}

/// Annotates sentence by sentence, for jobs that do not fit in memory or come in over hours.
#[derive(Debug, Clone, Default)]
pub struct Annotator {
    labels: Vec<Arc<str>>,
    report: Report,
}

impl Annotator {
    /// An annotator that accepts these entity types.
    #[must_use]
    pub fn new(labels: &[Arc<str>]) -> Self {
        Self { labels: labels.to_vec(), report: Report::default() }
    }

    /// `sentence` with the entities of `completion`, or nothing if that cannot be read; counted either way.
    ///
    /// # Panics
    /// Only by a bug in the alignment.
    pub fn annotate(&mut self, sentence: &Sentence, completion: &Completion) -> Option<Sentence> {
        self.report.sentences += 1;
        let mentions = match parse(&completion.text) {
            Ok(parsed) => parsed.mentions,
            Err(issue) => {
                self.report.failures.push(Failure { id: sentence.id().to_owned(), issue });
                return None;
            }
        };
        let alignment = align(sentence, &mentions, &self.labels);
        for (mention, outcome) in mentions.into_iter().zip(alignment.outcomes) {
            self.report.count(sentence.id(), mention, outcome);
        }
        self.report.done += 1;
        let provenance =
            Provenance::Distilled { strategy: completion.strategy.clone(), model: completion.model.clone() };
        let annotated = sentence.clone().with_entities(alignment.entities, provenance);
        Some(annotated.expect("aligned entities lie in the sentence, apart from each other: this is a bug"))
    }

    /// What became of everything so far.
    #[must_use]
    pub const fn report(&self) -> &Report {
        &self.report
    }

    /// What became of everything.
    #[must_use]
    pub fn finish(self) -> Report {
        self.report
    }
}

/// Annotates each of `sentences` by the completion at the same place of `completions`, as
/// [`Transcript::check`](crate::Transcript::check) gives them.
///
/// # Panics
/// If there are fewer completions than sentences, or more.
#[must_use]
pub fn annotate<'a>(
    sentences: &[Sentence],
    completions: impl IntoIterator<Item = &'a Completion>,
    labels: &[Arc<str>],
) -> Annotation {
    let mut annotator = Annotator::new(labels);
    let mut completions = completions.into_iter();
    let mut annotated = Vec::with_capacity(sentences.len());
    for sentence in sentences {
        let completion = completions.next().expect("as many completions as sentences: this is a bug");
        assert_eq!(completion.id, sentence.id(), "completions in the order of the sentences: this is a bug");
        annotated.extend(annotator.annotate(sentence, completion));
    }
    assert!(completions.next().is_none(), "as many completions as sentences: this is a bug");
    Annotation { sentences: annotated, report: annotator.finish() }
}
