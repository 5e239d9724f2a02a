//! Everything that is wrong with a corpus, all at once.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
};

use serde::Serialize;

use crate::corpus::{Conflicts, CorpusError, Fitter, OnConflict, Record};

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// The line, from 1; 0 where there is none.
    pub line: usize,
    /// The record, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.line)?;
        match &self.id {
            Some(id) => write!(f, "{id}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// Looks at what a reader gives, errors included, and collects problems.
#[derive(Debug, Default)]
pub struct Checker {
    problems: Vec<Problem>,
    records: usize,
    /// Where each id was first.
    ids: HashMap<String, usize>,
    /// Where each text was first, and with which labels.
    texts: HashMap<u128, (usize, u128)>,
}

impl Checker {
    /// Notes an error of the reader.
    pub fn error(&mut self, error: &CorpusError) {
        let (line, what) = match error {
            CorpusError::Line { line, problem, .. } => (*line, problem.to_string()),
            other => (0, other.to_string()),
        };
        self.problems.push(Problem { line, id: None, what });
    }

    /// Looks at a record.
    pub fn record(&mut self, line: usize, record: &Record) {
        self.records += 1;
        let mut note = |what: String| {
            self.problems.push(Problem { line, id: Some(record.id().to_owned()), what });
        };
        match self.ids.entry(record.id().to_owned()) {
            Entry::Occupied(first) => note(format!("the id is taken, first in line {}", first.get())),
            Entry::Vacant(free) => drop(free.insert(line)),
        }
        let (text, labels) = super::merge::fingerprints(record);
        match self.texts.entry(text) {
            Entry::Occupied(before) => {
                let (first, before) = *before.get();
                if before != labels {
                    note(format!("the text of line {first} again, with other labels"));
                }
            }
            Entry::Vacant(free) => drop(free.insert((line, labels))),
        }
        if record.text().trim().is_empty() {
            note("no text".to_owned());
        }
        if record.text().contains('\u{FFFD}') {
            note("U+FFFD in the text: something was lost in a faulty decoding".to_owned());
        }
        if record.text().contains('\0') {
            note("NUL in the text".to_owned());
        }
        for span in record.spans().unwrap_or_default() {
            let surface = record.surface(span.span);
            if surface.trim() != surface {
                note(format!("`{surface}` ({}) starts or ends with white space", span.label));
            }
        }
        for conflict in conflicts(record).first {
            note(format!("{} {}", conflict.what, conflict.kind));
        }
    }

    /// The problems, by line, and how many records there were.
    #[must_use]
    pub fn finish(mut self) -> (Vec<Problem>, usize) {
        self.problems.sort();
        // A second reading finds the same again.
        self.problems.dedup();
        (self.problems, self.records)
    }
}

fn conflicts(record: &Record) -> Conflicts {
    let mut fitter = Fitter::sentences(OnConflict::First);
    fitter.fit(record.clone());
    fitter.finish().unwrap_or_default()
}
