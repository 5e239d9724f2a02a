//! From completions to distilled data, with an account of everything that did not become an entity.
//!
//! Invariants of the [`Report`]: `sentences = done + failures`, and
//! `mentions = exact + folded + fuzzy + approximate + missing + overlaps + unknown types`.
//!
//! ```
//! use apprentice_core::Sentence;
//! use apprentice_teacher::{Completion, annotate, default_labels};
//! let sentences = [Sentence::from_words("s1", ["Rome", "won"]), Sentence::from_words("s2", ["Hm", "."])];
//! let answer = |id: &str, text: &str| Completion {
//!     id: id.into(), strategy: "cot".into(), sample: 0, model: "m".into(), sentence: String::new(), text: text.into(),
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

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use apprentice_core::{Confidence, Entity, Provenance, Sentence};
use serde::Serialize;
use thiserror::Error;

use crate::votes::{self, Quorum, Voted};
use crate::{
    Completion, Form, Listed, Malformed, Mention, Outcome, OverlapPolicy, ParseIssue, Parsed, Status, align_with, parse,
};

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

/// An item of an answer that is no mention.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MalformedItem {
    /// The sentence.
    pub id: String,
    /// What it is.
    #[serde(flatten)]
    pub item: Malformed,
}

impl fmt::Display for MalformedItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.id, self.item)
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
    /// Completions that could not be read although others of the same sentence could: they had no vote.
    pub abstained: Listed<Failure>,
    /// Completions that could be read, by how they are written.
    pub forms: BTreeMap<Form, usize>,
    /// Completions that stop before their end, of which what is complete was used.
    pub truncated: usize,
    /// Items of answers that are no mentions, beside others that are.
    pub malformed: Listed<MalformedItem>,
    /// Mentions in the completions that could be read.
    pub mentions: usize,
    /// Entities that are written as the mention.
    pub exact: usize,
    /// Entities that differ from the mention by Unicode form or case.
    pub folded: usize,
    /// Entities that differ by white space or punctuation as well.
    pub fuzzy: usize,
    /// Entities that differ from the mention by one or two characters.
    pub approximate: usize,
    /// Entities, of the four kinds above, that are longer than the mention because it began or ended inside a token.
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

    /// How many of the completions that could be read are not written as they were asked for.
    #[must_use]
    pub fn repaired(&self) -> usize {
        self.forms.iter().filter(|(form, _)| **form != Form::Strict).map(|(_, count)| count).sum()
    }

    fn count_parsed(&mut self, id: &str, parsed: &Parsed) {
        *self.forms.entry(parsed.form).or_default() += 1;
        self.truncated += usize::from(parsed.truncated);
        let unnamed = parsed.malformed.count - parsed.malformed.first.len();
        for item in &parsed.malformed.first {
            self.malformed.push(MalformedItem { id: id.to_owned(), item: item.clone() });
        }
        self.malformed.count += unnamed;
    }

    fn count(&mut self, id: &str, mention: Mention, outcome: Outcome) {
        self.mentions += 1;
        match outcome {
            Outcome::Placed { status, widened, .. } => {
                *match status {
                    Status::Exact => &mut self.exact,
                    Status::Folded => &mut self.folded,
                    Status::Fuzzy => &mut self.fuzzy,
                    Status::Approximate => &mut self.approximate,
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

/// A sentence annotated by several completions.
#[derive(Debug, Clone, PartialEq)]
pub struct VotedSentence {
    /// The sentence with the entities that had a quorum, and their shares of the votes as confidences if several voted.
    /// Its strategy and model are those of the completions, in the order of their names, joined by ` | `.
    pub sentence: Sentence,
    /// The same entities with their shares of the votes, in the same order.
    pub votes: Vec<Voted>,
    /// What each completion that voted says, in their order.
    pub answers: Vec<Vec<Entity>>,
}

impl VotedSentence {
    /// Puts several of the same sentence together, such as those of several strategies: every answer has one vote.
    /// Nothing if there is none.
    #[must_use]
    pub fn merged(several: &[&Self], quorum: Quorum) -> Option<Self> {
        let first = several.first()?;
        let answers = several.iter().flat_map(|one| one.answers.iter().cloned()).collect();
        let (mut strategies, mut models) = (BTreeSet::new(), BTreeSet::new());
        for one in several {
            if let Provenance::Distilled { strategy, model } = one.sentence.provenance() {
                strategies.insert(&**strategy);
                models.insert(&**model);
            }
        }
        Some(Self::new(&first.sentence, answers, (strategies, models), quorum))
    }

    fn new(
        sentence: &Sentence,
        answers: Vec<Vec<Entity>>,
        (strategies, models): (BTreeSet<&str>, BTreeSet<&str>),
        quorum: Quorum,
    ) -> Self {
        let votes = votes::merge(&answers, quorum);
        let confidence = |voted: &Voted| Confidence::new(voted.share).ok().filter(|_| answers.len() > 1);
        let entities = votes.iter().map(|voted| (voted.entity.clone(), confidence(voted))).collect();
        let joined = |names: BTreeSet<&str>| names.into_iter().collect::<Vec<_>>().join(" | ").into();
        let provenance = Provenance::Distilled { strategy: joined(strategies), model: joined(models) };
        let sentence = sentence.clone().with_confident_entities(entities, provenance);
        Self { sentence: sentence.expect(APART), votes, answers }
    }
}

/// Of what annotates.
const APART: &str = "aligned entities lie in the sentence, apart from each other: this is a bug";

/// Annotates sentence by sentence, for jobs that do not fit in memory or come in over hours.
#[derive(Debug, Clone, Default)]
pub struct Annotator {
    labels: Vec<Arc<str>>,
    overlaps: OverlapPolicy,
    report: Report,
}

impl Annotator {
    /// An annotator that accepts these entity types.
    #[must_use]
    pub fn new(labels: &[Arc<str>]) -> Self {
        Self { labels: labels.to_vec(), overlaps: OverlapPolicy::default(), report: Report::default() }
    }

    /// The same with another policy for mentions that want the same place.
    #[must_use]
    pub fn with_overlaps(mut self, policy: OverlapPolicy) -> Self {
        self.overlaps = policy;
        self
    }

    /// `sentence` with the entities of `completion`, or nothing if that cannot be read; counted either way.
    ///
    /// # Panics
    /// Only by a bug in the alignment.
    pub fn annotate(&mut self, sentence: &Sentence, completion: &Completion) -> Option<Sentence> {
        self.report.sentences += 1;
        let entities =
            self.entities(sentence, completion).map_err(|failure| self.report.failures.push(failure)).ok()?;
        self.report.done += 1;
        let provenance =
            Provenance::Distilled { strategy: completion.strategy.clone(), model: completion.model.clone() };
        Some(sentence.clone().with_entities(entities, provenance).expect(APART))
    }

    /// `sentence` with the entities on which `completions` agree (see [`votes::merge`]), or nothing if none of them can
    /// be read; counted either way. One that cannot be read has no vote: the shares are of those that can. The mentions
    /// of all are counted.
    ///
    /// # Panics
    /// Only by a bug in the alignment.
    pub fn annotate_votes<'a>(
        &mut self,
        sentence: &Sentence,
        completions: impl IntoIterator<Item = &'a Completion>,
        quorum: Quorum,
    ) -> Option<VotedSentence> {
        self.report.sentences += 1;
        let (mut answers, mut failures) = (Vec::new(), Vec::new());
        let (mut strategies, mut models) = (BTreeSet::new(), BTreeSet::new());
        for completion in completions {
            match self.entities(sentence, completion) {
                Ok(entities) => {
                    strategies.insert(&*completion.strategy);
                    models.insert(&*completion.model);
                    answers.push(entities);
                }
                Err(failure) => failures.push(failure),
            }
        }
        if answers.is_empty() {
            let none = || Failure { id: sentence.id().to_owned(), issue: ParseIssue::Empty };
            self.report.failures.push(failures.into_iter().next().unwrap_or_else(none));
            return None;
        }
        for failure in failures {
            self.report.abstained.push(failure);
        }
        self.report.done += 1;
        Some(VotedSentence::new(sentence, answers, (strategies, models), quorum))
    }

    /// The entities that one completion claims.
    fn entities(&mut self, sentence: &Sentence, completion: &Completion) -> Result<Vec<Entity>, Failure> {
        let parsed = parse(&completion.text).map_err(|issue| Failure { id: sentence.id().to_owned(), issue })?;
        self.report.count_parsed(sentence.id(), &parsed);
        let alignment = align_with(sentence, &parsed.mentions, &self.labels, self.overlaps);
        for (mention, outcome) in parsed.mentions.into_iter().zip(alignment.outcomes) {
            self.report.count(sentence.id(), mention, outcome);
        }
        Ok(alignment.entities)
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
