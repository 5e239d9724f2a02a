//! WebAnno's TSV 3, which INCEpTION exports too: one token a line with the values of all layers,
//! separated by tabs. Read only.
//!
//! ```text
//! #FORMAT=WebAnno TSV 3.3
//! #T_SP=de.tudarmstadt.ukp.dkpro.core.api.ner.type.NamedEntity|identifier|value
//!
//!
//! #Text=Ann Keller won in Rome.
//! 1-1    0-3    Ann    *[1]    PER[1]
//! 1-2    4-10    Keller    *[1]    PER[1]
//! 1-3    11-14    won    _    _
//! 1-4    15-17    in    _    _
//! 1-5    18-22    Rome    *    LOC
//! 1-6    22-23    .    _    _
//! ```
//!
//! - A sentence is a record, called by the file's stem and its place from 0, `news-00017`, of the document of the
//!   file's name. Its text is that of its `#Text=` lines.
//! - Entities are the values of one feature of one span layer: of `NamedEntity`, or else of the only layer that is not
//!   one of the words' own (part of speech, lemma, …), there `value` or the only feature; or of the one that
//!   [`ReadOptions::tag_column`] names, `LAYER.feature`. A file without such a layer is unlabelled, since WebAnno does
//!   not write layers that have no annotation.
//! - `_` is no annotation. Values on several lines with the same number (`PER[1]`) are one span; it may start and end
//!   inside tokens (lines `1-5.1`), and spans may overlap (`PER[1]|LOC[2]`).
//! - Offsets count UTF-16 units (code points are understood too) from where the first token of the sentence is, and
//!   must agree with the text.
//! - What becomes of spans in several pieces, without a value (`*`) or without any character says
//!   [`OnConflict`]. A span across the end of a sentence is one in each sentence. They are counted.

mod escape;
mod header;
mod rows;

use std::{io::Read, sync::Arc};

use ahash::AHashMap;

use self::{
    header::Layers,
    rows::{Place, Sentence},
};
use super::{
    Conflicts, Failure, LabelledSpan, LineProblem, OnConflict, ReadOptions, Record,
    fit::{Conflict, ConflictKind, Notes},
    labels::Labels,
    lines::Lines,
    numbered,
    reader::ReadRecords,
};
use crate::{Evidence, Span};

/// The sentences of a file.
pub(super) struct Records {
    lines: Lines<Box<dyn Read + Send>>,
    layers: Layers,
    stem: Arc<str>,
    place: usize,
    labels: Labels,
    notes: Notes,
    /// The spans on the last token of the sentence before, by their numbers.
    open: AHashMap<u64, Option<Arc<str>>>,
    evidence: Evidence,
}

impl Records {
    pub fn new(stem: String, stream: Box<dyn Read + Send>, options: &ReadOptions) -> Result<Self, Failure> {
        let mut lines = Lines::new(stream);
        Ok(Self {
            layers: Layers::read(&mut lines, options)?,
            lines,
            stem: stem.into(),
            place: 0,
            labels: Labels::default(),
            notes: Notes::new(options.on_conflict),
            open: AHashMap::new(),
            evidence: Evidence::default(),
        })
    }

    /// The lines of the next sentence, up to a blank one.
    fn sentence(&mut self) -> Option<Result<Sentence, Failure>> {
        let (mut sentence, mut failure) = (Sentence::default(), None);
        while let Some(line) = self.lines.next() {
            let taken = match line {
                Ok((_, line)) if line.trim().is_empty() => {
                    if sentence.is_empty() && failure.is_none() {
                        continue;
                    }
                    break;
                }
                Ok((number, line)) => sentence.line(number, line, &self.layers).map_err(|problem| problem.at(number)),
                Err(failure) => Err(failure),
            };
            failure = failure.or(taken.err());
        }
        match failure {
            Some(failure) => Some(Err(failure)),
            None => (!sentence.is_empty()).then_some(Ok(sentence)),
        }
    }

    fn record(&mut self, sentence: &Sentence) -> Result<Record, Failure> {
        let id = numbered(&self.stem, self.place);
        self.place += 1;
        let tokens = sentence.tokens()?;
        let first = |problem: LineProblem| problem.at(sentence.first_line());
        let record = Record::new(id, sentence.text.as_str()).with_tokens(tokens.spans.clone());
        let record = record.map_err(|error| first(error.into()))?.in_document(Some(self.stem.clone()));
        if self.layers.chosen().is_none() {
            return Ok(record);
        }
        let mut annotations: Vec<Annotation> = Vec::new();
        let mut known = AHashMap::new();
        for place in sentence.values(&tokens)? {
            let label = place.value.label.as_deref().map(|label| self.labels.label(label));
            let at = match place.value.number {
                Some(number) => *known.entry(number).or_insert(annotations.len()),
                None => annotations.len(),
            };
            if let Some(annotation) = annotations.get_mut(at) {
                annotation.extend(&place, label.as_deref()).map_err(|problem| problem.at(place.line))?;
            } else {
                annotations.push(Annotation::new(&place, label));
            }
        }
        self.taken(record, annotations, tokens.spans.len())
    }

    /// The record with those of the annotations that it can hold.
    fn taken(&mut self, record: Record, annotations: Vec<Annotation>, tokens: usize) -> Result<Record, Failure> {
        let before = std::mem::take(&mut self.open);
        let mut spans = Vec::new();
        for annotation in annotations {
            let Annotation { line, number, span, ref label, first, last, pieces } = annotation;
            if let Some(number) = number.filter(|_| last + 1 == tokens) {
                self.open.insert(number, label.clone());
            }
            let goes_on = first == 0 && number.is_some_and(|number| before.get(&number) == Some(label));
            let label = label.clone();
            let kinds = [
                (ConflictKind::NoToken, span.is_none()),
                (ConflictKind::NoLabel, label.is_none()),
                (ConflictKind::Pieces, pieces),
                (ConflictKind::Cut, goes_on),
            ];
            let what = format!(
                "`{}` ({})",
                span.map_or_else(String::new, |span| super::excerpt(record.surface(span))),
                label.as_deref().unwrap_or("*")
            );
            for (kind, _) in kinds.into_iter().filter(|(_, found)| *found) {
                let conflict = Conflict { id: record.id().to_owned(), kind, what: what.clone() };
                self.notes.add(conflict).map_err(|problem| problem.at(line))?;
            }
            if !pieces || self.notes.policy == OnConflict::Widen {
                spans.extend(span.zip(label).map(|(span, label)| LabelledSpan::new(span, label)));
            }
        }
        record.with_spans(spans).map_err(|error| LineProblem::from(error).at(1))
    }
}

impl ReadRecords for Records {
    fn next(&mut self) -> Option<Result<(usize, Record), Failure>> {
        let sentence = match self.sentence()? {
            Ok(sentence) => sentence,
            Err(failure) => {
                self.place += 1;
                return Some(Err(failure));
            }
        };
        let record = self.record(&sentence);
        Some(record.map(|record| (sentence.first_line(), record)))
    }

    fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    fn conflicts(&self) -> Option<&Conflicts> {
        Some(&self.notes.conflicts)
    }
}

/// What is one annotation on some lines of a sentence.
struct Annotation {
    /// Its first line.
    line: usize,
    number: Option<u64>,
    label: Option<Arc<str>>,
    /// Its bytes, if there are any.
    span: Option<Span>,
    /// Its first and last token.
    first: usize,
    last: usize,
    /// Whether it skips tokens.
    pieces: bool,
}

impl Annotation {
    fn new(place: &Place<'_>, label: Option<Arc<str>>) -> Self {
        let &Place { line, token, span, value } = place;
        Self { line, number: value.number, label, span, first: token, last: token, pieces: false }
    }

    /// Takes another line of the same annotation.
    fn extend(&mut self, place: &Place<'_>, label: Option<&str>) -> Result<(), LineProblem> {
        if self.label.as_deref() != label {
            let [here, before] = [label, self.label.as_deref()].map(|label| label.unwrap_or("*"));
            let number = self.number.unwrap_or_default();
            let found = format!("annotation [{number}] with the value {here}, in line {} with {before}", self.line);
            return Err(LineProblem::malformed(found, "one value"));
        }
        self.pieces |= place.token > self.last + 1;
        self.last = place.token;
        self.span = match (self.span, place.span) {
            (Some(a), Some(b)) => Span::new(a.start().min(b.start()), a.end().max(b.end())),
            (a, b) => a.or(b),
        };
        Ok(())
    }
}
