//! What a file says of one text, before any decision: the seam between readers, conversions and writers.

use std::{cmp::Reverse, sync::Arc};

use thiserror::Error;

use crate::{Confidence, Entity, Provenance, Sentence, Span, sentence::misplaced};

/// A labelled span of a text, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelledSpan {
    /// Which bytes.
    pub span: Span,
    /// The entity type.
    pub label: Arc<str>,
    /// How sure whoever labelled it is of it, where the source tells.
    pub confidence: Option<Confidence>,
}

impl LabelledSpan {
    /// A span of which nobody says how sure they are.
    #[must_use]
    pub fn new(span: Span, label: impl Into<Arc<str>>) -> Self {
        Self { span, label: label.into(), confidence: None }
    }
}

/// A text with the tokens and the labelled spans that its file gives it.
///
/// Unlike a [`Sentence`], a record may lack tokens, and its spans may overlap or end inside a token. Invariants, checked
/// by the constructor's methods: tokens lie in the text on character boundaries, in order and apart from each other;
/// spans lie in the text on character boundaries, sorted by start, longer ones first.
///
/// ```
/// use apprentice_core::{Span, corpus::{LabelledSpan, Record}};
/// let per = LabelledSpan::new(Span::new(0, 10).unwrap(), "PER");
/// let record = Record::new("s1", "Ann Keller won in Rome.").with_spans(vec![per])?;
/// assert_eq!(record.surface(record.spans().unwrap()[0].span), "Ann Keller");
/// assert!(record.tokens().is_none());
/// # Ok::<(), apprentice_core::corpus::RecordError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    id: String,
    document: Option<Arc<str>>,
    text: String,
    tokens: Option<Vec<Span>>,
    spans: Option<Vec<LabelledSpan>>,
}

/// Why tokens or spans do not fit a text.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RecordError {
    /// A token outside of the text, inside a character, or before the end of its predecessor.
    #[error("token {index} (from 0) at bytes {start}..{end} is out of order or not on character boundaries of the text ({len} bytes)", start = span.start(), end = span.end())]
    Token {
        /// Which token, from 0.
        index: usize,
        /// Its bytes.
        span: Span,
        /// The length of the text in bytes.
        len: usize,
    },
    /// A span outside of the text or inside a character.
    #[error("span {label} at bytes {start}..{end} is not on character boundaries of the text ({len} bytes)", start = span.start(), end = span.end())]
    Span {
        /// The entity type.
        label: Arc<str>,
        /// Its bytes.
        span: Span,
        /// The length of the text in bytes.
        len: usize,
    },
}

impl Record {
    /// A text without tokens and labels.
    #[must_use]
    pub fn new(id: impl Into<String>, text: impl Into<String>) -> Self {
        Self { id: id.into(), document: None, text: text.into(), tokens: None, spans: None }
    }

    /// The same text with these tokens, in bytes.
    ///
    /// # Errors
    /// [`RecordError::Token`].
    pub fn with_tokens(mut self, tokens: Vec<Span>) -> Result<Self, RecordError> {
        if let Some((index, span)) = misplaced(&self.text, &tokens) {
            return Err(RecordError::Token { index, span, len: self.text.len() });
        }
        self.tokens = Some(tokens);
        Ok(self)
    }

    /// The same text as labelled: an empty list says that there is no entity.
    ///
    /// # Errors
    /// [`RecordError::Span`].
    pub fn with_spans(mut self, mut spans: Vec<LabelledSpan>) -> Result<Self, RecordError> {
        if let Some(outside) = spans.iter().find(|s| !self.holds(s.span)) {
            let LabelledSpan { span, label, .. } = outside.clone();
            return Err(RecordError::Span { label, span, len: self.text.len() });
        }
        // Of identical bytes the order of the file is kept.
        spans.sort_by_key(|s| (s.span.start(), Reverse(s.span.end())));
        self.spans = Some(spans);
        Ok(self)
    }

    /// The same text as part of a document.
    #[must_use]
    pub fn in_document(mut self, document: Option<Arc<str>>) -> Self {
        self.document = document;
        self
    }

    /// The same text under another name.
    #[must_use]
    pub fn named(mut self, id: impl Into<String>) -> Self {
        self.id = id.into();
        self
    }

    /// The same text and tokens without labels.
    #[must_use]
    pub fn without_spans(mut self) -> Self {
        self.spans = None;
        self
    }

    /// The name by which other files refer to this text.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The document that the text is part of, where the source tells.
    #[must_use]
    pub fn document(&self) -> Option<&Arc<str>> {
        self.document.as_ref()
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The tokens, in bytes, if the file has any.
    #[must_use]
    pub fn tokens(&self) -> Option<&[Span]> {
        self.tokens.as_deref()
    }

    /// The labelled spans; `None` if nobody has labelled the text.
    #[must_use]
    pub fn spans(&self) -> Option<&[LabelledSpan]> {
        self.spans.as_deref()
    }

    /// The bytes of a span.
    ///
    /// # Panics
    /// If the span is not one of the text.
    #[must_use]
    pub fn surface(&self, span: Span) -> &str {
        &self.text[span.range()]
    }

    /// Whether the text is its tokens joined by single blanks, as columns have it.
    #[must_use]
    pub fn is_joined(&self) -> bool {
        let Some(tokens) = &self.tokens else { return false };
        let mut at = 0;
        for (index, token) in tokens.iter().enumerate() {
            let gap = usize::from(index > 0);
            if token.start() != at + gap || self.text.as_bytes().get(at..at + gap) != Some(&b" "[..gap]) {
                return false;
            }
            at = token.end();
        }
        at == self.text.len()
    }

    fn holds(&self, span: Span) -> bool {
        self.text.is_char_boundary(span.start()) && self.text.is_char_boundary(span.end())
    }
}

/// Every sentence is a record; one that is [`Provenance::Unlabelled`] has no spans.
impl From<&Sentence> for Record {
    fn from(sentence: &Sentence) -> Self {
        let bytes = |(index, entity): (usize, &Entity)| {
            let (span, label) = (sentence.bytes(entity.span), entity.label.clone());
            LabelledSpan { span, label, confidence: sentence.confidence(index) }
        };
        let labelled = *sentence.provenance() != Provenance::Unlabelled || !sentence.entities().is_empty();
        Self {
            id: sentence.id().to_owned(),
            document: sentence.document().cloned(),
            text: sentence.text().to_owned(),
            tokens: Some(sentence.tokens().to_vec()),
            spans: labelled.then(|| sentence.entities().iter().enumerate().map(bytes).collect()),
        }
    }
}

/// A record that is no sentence: it lacks tokens, or a span overlaps another or ends inside a token.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{id}: not a sentence of tokens with entities apart from each other")]
pub struct NotASentence {
    /// The record.
    pub id: String,
}

/// A record whose spans are whole tokens apart from each other, as [`Fitter`](super::Fitter) makes it.
impl TryFrom<Record> for Sentence {
    type Error = NotASentence;

    fn try_from(record: Record) -> Result<Self, NotASentence> {
        let not = |id: &str| NotASentence { id: id.to_owned() };
        let Record { id, document, text, tokens, spans } = record;
        let Some(tokens) = tokens else { return Err(not(&id)) };
        let provenance = if spans.is_some() { Provenance::Original } else { Provenance::Unlabelled };
        let mut entities = Vec::new();
        for LabelledSpan { span, label, confidence } in spans.unwrap_or_default() {
            let Some(span) = whole_tokens(&tokens, span) else { return Err(not(&id)) };
            entities.push((Entity { span, label }, confidence));
        }
        let sentence = Self::new(id, text, tokens).expect("a record's tokens are in order: this is a bug");
        let id = sentence.id().to_owned();
        Ok(sentence.with_confident_entities(entities, provenance).map_err(|_| not(&id))?.in_document(document))
    }
}

/// The tokens whose bytes are exactly those from the start of one to the end of another.
pub(super) fn whole_tokens(tokens: &[Span], bytes: Span) -> Option<Span> {
    let first = tokens.binary_search_by_key(&bytes.start(), |token| token.start()).ok()?;
    let last = tokens.binary_search_by_key(&bytes.end(), |token| token.end()).ok()?;
    Span::new(first, last + 1)
}
