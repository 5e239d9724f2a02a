//! The labels and tags of a file, each read once.

use std::sync::Arc;

use ahash::AHashMap;

use super::LineProblem;
use crate::{Evidence, Tag};

/// Each label once, so that all spans of a file share theirs, and tags as they were read.
#[derive(Default)]
pub(super) struct Labels {
    known: AHashMap<String, Arc<str>>,
    tags: AHashMap<String, Tag>,
    /// The last document: the next record is likely of the same.
    document: Option<Arc<str>>,
    /// Whether the tags of the file are types without prefix; its first tag decides.
    bare: Option<bool>,
}

impl Labels {
    /// For a file of which it is known whether its tags are types without prefix.
    pub fn with_bare(bare: bool) -> Self {
        Self { bare: Some(bare), ..Self::default() }
    }

    pub fn label(&mut self, text: &str) -> Arc<str> {
        if let Some(label) = self.known.get(text) {
            return label.clone();
        }
        let label: Arc<str> = text.into();
        self.known.insert(text.to_owned(), label.clone());
        label
    }

    /// A document's name, shared by neighbours.
    pub fn document(&mut self, name: &str) -> Arc<str> {
        match &self.document {
            Some(last) if **last == *name => last.clone(),
            _ => self.document.insert(name.into()).clone(),
        }
    }

    #[inline]
    pub fn tag(&mut self, text: &str, evidence: &mut Evidence) -> Result<Tag, LineProblem> {
        if text == "O" {
            return Ok(Tag::Outside);
        }
        match self.tags.get(text) {
            Some(tag) => Ok(tag.clone()),
            None => self.new_tag(text, evidence),
        }
    }

    #[cold]
    fn new_tag(&mut self, text: &str, evidence: &mut Evidence) -> Result<Tag, LineProblem> {
        let parsed = text.parse::<Tag>();
        let bare = *self.bare.get_or_insert(parsed.is_err() && !text.is_empty());
        let tag = if bare { bare_tag(text)? } else { parsed? };
        evidence.observe_text(text);
        self.tags.insert(text.to_owned(), tag.clone());
        Ok(tag)
    }
}

/// A type as a tag, in a file whose tags have no prefix.
fn bare_tag(text: &str) -> Result<Tag, LineProblem> {
    if text.parse::<Tag>().is_ok_and(|tag| tag != Tag::Outside) {
        return Err(LineProblem::Mixed { found: text.to_owned() });
    }
    Ok(Tag::from_bare_type(text)?)
}
