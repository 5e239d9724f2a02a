//! What a format cannot express, and what becomes of it: counted, listed, and decided by a named policy.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Expresses, LabelledSpan, LineProblem, Record, record::whole_tokens, text};
use crate::Span;

/// What becomes of spans that the target cannot express.
///
/// | | a span ends inside a token | spans overlap | a span is in several pieces |
/// |---|---|---|---|
/// | `error` | nothing is written | nothing is written | reading fails |
/// | `widen` | it is widened to whole tokens | the first stays | it is widened to what lies between them |
/// | `first` | it is dropped | the first stays | it is dropped |
/// | `drop` | it is dropped | all of them are dropped | it is dropped |
///
/// The *first* is the one that starts earliest, of these the longest, of these the one that the file gives first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnConflict {
    /// Refuse.
    #[default]
    Error,
    /// Widen to tokens, then keep the first.
    Widen,
    /// Keep the first; drop what is not whole tokens.
    First,
    /// Drop whatever is in a conflict.
    Drop,
}

impl OnConflict {
    /// The names of the policies.
    pub const NAMES: [&str; 4] = ["error", "widen", "first", "drop"];
}

impl FromStr for OnConflict {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Ok(match name {
            "error" => Self::Error,
            "widen" => Self::Widen,
            "first" => Self::First,
            "drop" => Self::Drop,
            _ => return Err(format!("`{name}` is not a policy: expected one of {}", Self::NAMES.join(", "))),
        })
    }
}

/// What is wrong with a span, seen from the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConflictKind {
    /// It starts or ends inside a token.
    InsideToken,
    /// It shares tokens with another span.
    Overlap,
    /// There is no token in it.
    NoToken,
    /// It is in several pieces with something else between them.
    Pieces,
    /// It goes on in the next sentence; each sentence has its part.
    Cut,
    /// It has no type; it is dropped.
    NoLabel,
    /// The same span with the same label again; the copy is dropped under every policy and is no reason to refuse.
    Duplicate,
    /// The whole record: the target has no way to write it.
    Record,
}

impl fmt::Display for ConflictKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InsideToken => "ends inside a token",
            Self::Overlap => "overlaps another span",
            Self::NoToken => "has no token in it",
            Self::Pieces => "is in several pieces",
            Self::Cut => "goes on in the next sentence",
            Self::NoLabel => "has no type",
            Self::Duplicate => "given twice",
            Self::Record => "cannot be written",
        })
    }
}

/// One span, or one record, in conflict with the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// The record.
    pub id: String,
    /// What is wrong.
    pub kind: ConflictKind,
    /// The span's text and label, or why the record cannot be written.
    pub what: String,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ConflictKind::Record => write!(f, "{}: {}", self.id, self.what),
            kind => write!(f, "{}: {} {kind}", self.id, self.what),
        }
    }
}

/// All conflicts of a conversion.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Conflicts {
    /// How many of each kind.
    pub counts: BTreeMap<ConflictKind, usize>,
    /// In how many records.
    pub records: usize,
    /// The first [`Conflicts::LISTED`] of them.
    pub first: Vec<Conflict>,
}

impl Conflicts {
    /// How many conflicts are listed one by one.
    pub const LISTED: usize = 20;

    /// Notes one.
    pub fn add(&mut self, conflict: Conflict) {
        *self.counts.entry(conflict.kind).or_default() += 1;
        if self.first.len() < Self::LISTED {
            self.first.push(conflict);
        }
    }

    /// Adds those of another conversion.
    pub fn extend(&mut self, other: Self) {
        for (kind, count) in other.counts {
            *self.counts.entry(kind).or_default() += count;
        }
        self.records += other.records;
        self.first.extend(other.first.into_iter().take(Self::LISTED - self.first.len().min(Self::LISTED)));
    }

    /// How many there are, copies of the same span not counted.
    #[must_use]
    pub fn total(&self) -> usize {
        self.counts.iter().filter(|(kind, _)| **kind != ConflictKind::Duplicate).map(|(_, count)| count).sum()
    }
}

impl fmt::Display for Conflicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<String> = self.counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        write!(f, "{} in {} records: {}", self.counts.values().sum::<usize>(), self.records, kinds.join(", "))
    }
}

/// What a reader notes of spans that no record can hold.
#[derive(Debug)]
pub(super) struct Notes {
    pub policy: OnConflict,
    pub conflicts: Conflicts,
    /// The record of the last note.
    last: String,
}

impl Notes {
    pub fn new(policy: OnConflict) -> Self {
        Self { policy, conflicts: Conflicts::default(), last: String::new() }
    }

    /// Notes one, unless none are accepted.
    pub fn add(&mut self, conflict: Conflict) -> Result<(), LineProblem> {
        if self.policy == OnConflict::Error {
            return Err(LineProblem::Conflict { what: conflict.what, kind: conflict.kind });
        }
        if self.conflicts.records == 0 || self.last != conflict.id {
            self.last.clone_from(&conflict.id);
            self.conflicts.records += 1;
        }
        self.conflicts.add(conflict);
        Ok(())
    }
}

/// Conflicts where none are accepted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "what the target cannot express: {conflicts}; choose what happens to them with --on-conflict widen, first or drop, here or in `apprentice data convert`{}",
    conflicts.first.iter().map(|conflict| ["\n  ".to_owned(), conflict.to_string()].concat()).collect::<String>()
)]
pub struct Refused {
    /// What was found.
    pub conflicts: Conflicts,
}

/// Makes records fit a target, one after the other.
///
/// ```
/// use apprentice_core::{Span, corpus::{Fitter, Format, LabelledSpan, OnConflict, Record}};
/// let per = LabelledSpan::new(Span::new(0, 7).unwrap(), "PER");
/// let record = Record::new("s1", "Ann Keller won").with_spans(vec![per])?;
///
/// let mut fitter = Fitter::new(Format::Conll.expresses(), OnConflict::Widen);
/// let fitted = fitter.fit(record).unwrap();
/// assert_eq!(fitted.surface(fitted.spans().unwrap()[0].span), "Ann Keller");
/// assert_eq!(fitter.finish()?.total(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Fitter {
    target: Expresses,
    policy: OnConflict,
    conflicts: Conflicts,
}

impl Fitter {
    /// For a target and a policy.
    #[must_use]
    pub fn new(target: Expresses, policy: OnConflict) -> Self {
        Self { target, policy, conflicts: Conflicts::default() }
    }

    /// For sentences: tokens, and entities of whole tokens apart from each other.
    #[must_use]
    pub fn sentences(policy: OnConflict) -> Self {
        Self::new(super::Format::Conll.expresses(), policy)
    }

    /// The record as the target can express it: with tokens if it needs some, with spans that it can hold. `None` if
    /// it has conflicts and none are accepted: then go on for the sake of the list, and [`Self::finish`] refuses.
    pub fn fit(&mut self, mut record: Record) -> Option<Record> {
        if !self.target.any_bytes && record.tokens().is_none() {
            record = tokenized(record);
        }
        if self.fits(&record) {
            return Some(record);
        }
        let (spans, whole) = self.whole(&record);
        let (spans, apart) = self.apart(&record, spans);
        self.conflicts.records += 1;
        let refused = whole.iter().chain(&apart).any(|conflict| conflict.kind != ConflictKind::Duplicate);
        whole.into_iter().chain(apart).for_each(|conflict| self.conflicts.add(conflict));
        if self.policy == OnConflict::Error && refused {
            return None;
        }
        Some(respanned(record, spans))
    }

    fn fits(&self, record: &Record) -> bool {
        let (spans, tokens) = (record.spans().unwrap_or_default(), record.tokens().unwrap_or_default());
        let whole = || spans.iter().all(|s| whole_tokens(tokens, s.span).is_some());
        let apart = || spans.array_windows().all(|[a, b]| a.span.end() <= b.span.start());
        (self.target.any_bytes || whole()) && (self.target.overlaps || apart())
    }

    /// Notes that the target's writer refuses a record. It is left out, unless nothing may be.
    pub fn refuse(&mut self, id: &str, why: String) {
        self.conflicts.add(Conflict { id: id.to_owned(), kind: ConflictKind::Record, what: why });
        self.conflicts.records += 1;
    }

    /// What was found, once all records are through.
    ///
    /// # Errors
    /// [`Refused`] if there are conflicts and the policy is [`OnConflict::Error`].
    pub fn finish(self) -> Result<Conflicts, Refused> {
        let conflicts = self.conflicts;
        if self.policy == OnConflict::Error && conflicts.total() > 0 {
            Err(Refused { conflicts })
        } else {
            Ok(conflicts)
        }
    }

    /// The spans as whole tokens, where the target needs that, with what is wrong.
    fn whole(&self, record: &Record) -> (Vec<LabelledSpan>, Vec<Conflict>) {
        let (mut kept, mut conflicts) = (Vec::new(), Vec::new());
        let tokens = record.tokens().unwrap_or_default();
        for span in record.spans().unwrap_or_default() {
            if self.target.any_bytes || whole_tokens(tokens, span.span).is_some() {
                kept.push(span.clone());
                continue;
            }
            let widened = widened(tokens, span.span);
            let kind = if widened.is_some() { ConflictKind::InsideToken } else { ConflictKind::NoToken };
            conflicts.push(conflict(record, span, kind));
            if let (OnConflict::Widen, Some(bytes)) = (self.policy, widened) {
                kept.push(LabelledSpan { span: bytes, ..span.clone() });
            }
        }
        kept.sort_by_key(|s| (s.span.start(), std::cmp::Reverse(s.span.end())));
        (kept, conflicts)
    }

    /// The spans apart from each other, where the target needs that, with what is wrong.
    fn apart(&self, record: &Record, spans: Vec<LabelledSpan>) -> (Vec<LabelledSpan>, Vec<Conflict>) {
        let (mut kept, mut conflicts) = (Vec::<LabelledSpan>::with_capacity(spans.len()), Vec::new());
        if self.target.overlaps {
            return (spans, conflicts);
        }
        // Where the run of overlapping spans at hand ends, whether its first is still kept.
        let (mut end, mut dropped) = (0, false);
        for span in spans {
            if span.span.start() >= end {
                (end, dropped) = (span.span.end(), false);
                kept.push(span);
                continue;
            }
            let is_copy = kept.last().is_some_and(|last| (last.span, &last.label) == (span.span, &span.label));
            conflicts.push(conflict(
                record,
                &span,
                if is_copy { ConflictKind::Duplicate } else { ConflictKind::Overlap },
            ));
            if self.policy == OnConflict::Drop && !is_copy {
                end = end.max(span.span.end());
                if !std::mem::replace(&mut dropped, true)
                    && let Some(first) = kept.pop()
                {
                    conflicts.push(conflict(record, &first, ConflictKind::Overlap));
                }
            }
        }
        (kept, conflicts)
    }
}

fn tokenized(record: Record) -> Record {
    let tokens = text::tokenize(record.text());
    record.with_tokens(tokens).expect("tokens are spans of their text: this is a bug")
}

fn respanned(record: Record, spans: Vec<LabelledSpan>) -> Record {
    record.with_spans(spans).expect("spans of tokens are spans of the text: this is a bug")
}

fn conflict(record: &Record, span: &LabelledSpan, kind: ConflictKind) -> Conflict {
    let what = format!("`{}` ({})", super::excerpt(record.surface(span.span)), span.label);
    Conflict { id: record.id().to_owned(), kind, what }
}

/// The bytes of all tokens that a span touches.
fn widened(tokens: &[Span], span: Span) -> Option<Span> {
    let first = tokens.partition_point(|token| token.end() <= span.start());
    let behind = tokens.partition_point(|token| token.start() < span.end());
    let (first, last) = (tokens.get(first)?, tokens.get(behind.checked_sub(1)?)?);
    Span::new(first.start(), last.end())
}
