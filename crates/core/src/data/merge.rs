//! Joining corpora without what they have in common.

use std::collections::HashMap;

use serde::Serialize;

use super::{UniqueNames, fingerprint};
use crate::corpus::Record;

/// What became of the records of a merge.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Merged {
    /// Records kept.
    pub kept: usize,
    /// Records left out because the same text with the same labels was there before.
    pub duplicates: usize,
    /// Records left out because the same text was there before with other labels: as (this, the one kept).
    pub conflicts: usize,
    /// The first of these.
    pub first_conflicts: Vec<(String, String)>,
    /// Records that got another id, because theirs was taken by another text.
    pub renamed: usize,
}

/// Takes records and says which to keep: of the same text only the first. Memory is a few dozen bytes a record.
///
/// Texts are the same if they differ in white space only. Ids are made unique: see [`UniqueNames`].
#[derive(Debug, Default)]
pub struct Merger {
    merged: Merged,
    /// The labels and the id of each text.
    texts: HashMap<u128, (u128, String)>,
    names: UniqueNames,
}

impl Merger {
    const LISTED: usize = 20;

    /// The record, perhaps under another name, or `None` if its text was there before.
    pub fn add(&mut self, record: Record) -> Option<Record> {
        let (text, labels) = fingerprints(&record);
        if let Some((before, id)) = self.texts.get(&text) {
            if *before == labels {
                self.merged.duplicates += 1;
            } else {
                self.merged.conflicts += 1;
                if self.merged.first_conflicts.len() < Self::LISTED {
                    self.merged.first_conflicts.push((record.id().to_owned(), id.clone()));
                }
            }
            return None;
        }
        self.merged.kept += 1;
        let record = self.names.take(record);
        self.texts.insert(text, (labels, record.id().to_owned()));
        Some(record)
    }

    /// What became of all records.
    #[must_use]
    pub fn finish(self) -> Merged {
        Merged { renamed: self.names.renamed(), ..self.merged }
    }
}

/// Of the text, and of the labels with the places they cover, both without white space.
pub(super) fn fingerprints(record: &Record) -> (u128, u128) {
    let solid = |text: &str| text.chars().filter(|c| !c.is_whitespace()).count();
    let labels = record.spans().map(|spans| {
        let place = |at: usize| solid(&record.text()[..at]);
        spans.iter().map(|s| (place(s.span.start()), place(s.span.end()), s.label.clone())).collect::<Vec<_>>()
    });
    (fingerprint::of_text(record.text()), fingerprint::of(labels))
}
