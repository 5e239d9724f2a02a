//! A sentence with its tokens and entities: what every stage of the job takes and gives.
//!
//! Running example, used in all docs of this crate: `Ann Keller won in Rome .`, tokens
//! `Ann | Keller | won | in | Rome | .`, entities PER = tokens `0..2`, LOC = tokens `4..5`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Confidence, Span};

/// A labelled span of a sentence's tokens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Entity {
    /// Which tokens, as indices into [`Sentence::tokens`].
    pub span: Span,
    /// The entity type, such as `PER`; shared, because a corpus has few types and many entities.
    pub label: Arc<str>,
}

/// Who labelled a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "kebab-case")]
pub enum Provenance {
    /// Nobody: an empty entity list says nothing.
    Unlabelled,
    /// A human.
    Original,
    /// A student.
    Predicted,
    /// A teacher.
    Distilled {
        /// The prompt strategy, such as `standard` or `cot`.
        strategy: Arc<str>,
        /// The teacher's model name.
        model: Arc<str>,
    },
}

/// A sentence: its text, its tokens as byte spans of the text, and its entities as token spans.
///
/// Invariants, checked by the constructor: token spans lie in the text on character boundaries, in order and apart
/// from each other; entity spans lie within the tokens, sorted and apart from each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sentence {
    id: String,
    text: String,
    tokens: Vec<Span>,
    entities: Vec<Entity>,
    /// Of each entity, or nothing at all if none has one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    confidences: Vec<Option<Confidence>>,
    provenance: Provenance,
    document: Option<Arc<str>>,
}

/// Why tokens and entities do not make a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SentenceError {
    /// A token that is outside of the text, inside a character, or before the end of its predecessor.
    #[error("sentence {id}: token {index} at bytes {start}..{end} is out of order or not on character boundaries of the text ({len} bytes)", start = span.start(), end = span.end())]
    Token {
        /// The sentence.
        id: String,
        /// Which token, from 0.
        index: usize,
        /// Its bytes.
        span: Span,
        /// The length of the text in bytes.
        len: usize,
    },
    /// An entity that reaches beyond the tokens.
    #[error("sentence {id}: entity {label} at tokens {start}..{end} reaches beyond the sentence's {len} tokens", start = span.start(), end = span.end())]
    EntityOutside {
        /// The sentence.
        id: String,
        /// The entity's type.
        label: Arc<str>,
        /// Its tokens.
        span: Span,
        /// The number of tokens.
        len: usize,
    },
    /// Two entities that share a token.
    #[error("sentence {id}: entities {first} at tokens {a}..{b} and {second} at tokens {c}..{d} overlap", a = spans.0.start(), b = spans.0.end(), c = spans.1.start(), d = spans.1.end())]
    EntityOverlap {
        /// The sentence.
        id: String,
        /// The earlier entity's type.
        first: Arc<str>,
        /// The later entity's type.
        second: Arc<str>,
        /// Their tokens.
        spans: (Span, Span),
    },
}

/// The first token that is outside of the text, inside a character, or before the end of its predecessor.
pub(crate) fn misplaced(text: &str, tokens: &[Span]) -> Option<(usize, Span)> {
    let mut end = 0;
    tokens.iter().copied().enumerate().find(|(_, span)| {
        let wrong = span.start() < end || text.get(span.range()).is_none();
        end = span.end();
        wrong
    })
}

impl Sentence {
    /// A sentence without entities, [`Provenance::Unlabelled`].
    ///
    /// # Errors
    /// [`SentenceError::Token`] if `tokens` are not byte spans of `text` in order.
    pub fn new(id: impl Into<String>, text: impl Into<String>, tokens: Vec<Span>) -> Result<Self, SentenceError> {
        let (id, text) = (id.into(), text.into());
        if let Some((index, span)) = misplaced(&text, &tokens) {
            return Err(SentenceError::Token { id, index, span, len: text.len() });
        }
        Ok(Self::unlabelled(id, text, tokens))
    }

    fn unlabelled(id: String, text: String, tokens: Vec<Span>) -> Self {
        Self {
            id,
            text,
            tokens,
            entities: Vec::new(),
            confidences: Vec::new(),
            provenance: Provenance::Unlabelled,
            document: None,
        }
    }

    /// A sentence whose text is its words joined by single blanks, as in files of columns; empty words are left out.
    ///
    /// ```
    /// use apprentice_core::Sentence;
    /// let s = Sentence::from_words("s1", ["Ann", "Keller", "won", "in", "Rome", "."]);
    /// assert_eq!(s.text(), "Ann Keller won in Rome .");
    /// assert_eq!(s.word(4), "Rome");
    /// ```
    #[must_use]
    pub fn from_words<S: AsRef<str>>(id: impl Into<String>, words: impl IntoIterator<Item = S>) -> Self {
        let mut text = String::new();
        let mut tokens = Vec::new();
        for word in words {
            let word = word.as_ref();
            if !text.is_empty() && !word.is_empty() {
                text.push(' ');
            }
            let start = text.len();
            text.push_str(word);
            tokens.extend(Span::new(start, text.len()));
        }
        Self::unlabelled(id.into(), text, tokens)
    }

    /// The same sentence with these entities (sorted here) and who labelled it.
    ///
    /// # Errors
    /// [`SentenceError::EntityOutside`] or [`SentenceError::EntityOverlap`].
    pub fn with_entities(mut self, mut entities: Vec<Entity>, provenance: Provenance) -> Result<Self, SentenceError> {
        entities.sort();
        if let Some(last) = entities.iter().find(|e| e.span.end() > self.tokens.len()) {
            return Err(SentenceError::EntityOutside {
                id: self.id,
                label: last.label.clone(),
                span: last.span,
                len: self.tokens.len(),
            });
        }
        if let Some([a, b]) = entities.array_windows().find(|[a, b]| a.span.overlaps(b.span)) {
            return Err(SentenceError::EntityOverlap {
                id: self.id,
                first: a.label.clone(),
                second: b.label.clone(),
                spans: (a.span, b.span),
            });
        }
        self.entities = entities;
        self.confidences.clear();
        self.provenance = provenance;
        Ok(self)
    }

    /// The same sentence with these entities, each with how sure whoever labelled them is of it.
    ///
    /// # Errors
    /// As [`Self::with_entities`].
    pub fn with_confident_entities(
        self,
        mut entities: Vec<(Entity, Option<Confidence>)>,
        provenance: Provenance,
    ) -> Result<Self, SentenceError> {
        entities.sort();
        let (entities, confidences): (_, Vec<_>) = entities.into_iter().unzip();
        let mut sentence = self.with_entities(entities, provenance)?;
        if confidences.iter().any(Option::is_some) {
            sentence.confidences = confidences;
        }
        Ok(sentence)
    }

    /// The same sentence as part of a document.
    #[must_use]
    pub fn in_document(mut self, document: Option<Arc<str>>) -> Self {
        self.document = document;
        self
    }

    /// The same sentence without entities, [`Provenance::Unlabelled`].
    #[must_use]
    pub fn without_entities(mut self) -> Self {
        self.entities.clear();
        self.confidences.clear();
        self.provenance = Provenance::Unlabelled;
        self
    }

    /// The name by which other files refer to this sentence.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The text that the token spans index, in bytes.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The byte span of each token in [`Self::text`].
    #[must_use]
    pub fn tokens(&self) -> &[Span] {
        &self.tokens
    }

    /// The entities in order of appearance.
    #[must_use]
    pub fn entities(&self) -> &[Entity] {
        &self.entities
    }

    /// How sure whoever labelled the sentence is of the entity at `index`, where the source tells.
    #[must_use]
    pub fn confidence(&self, index: usize) -> Option<Confidence> {
        self.confidences.get(index).copied().flatten()
    }

    /// Who labelled the sentence.
    #[must_use]
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// The name of the document that the sentence belongs to, where the source tells.
    #[must_use]
    pub fn document(&self) -> Option<&Arc<str>> {
        self.document.as_ref()
    }

    /// The text of token `index`.
    ///
    /// # Panics
    /// If there is no such token.
    #[must_use]
    pub fn word(&self, index: usize) -> &str {
        &self.text[self.tokens[index].range()]
    }

    /// The texts of all tokens.
    #[must_use]
    pub fn words(&self) -> impl ExactSizeIterator<Item = &str> {
        self.tokens.iter().map(|t| &self.text[t.range()])
    }

    /// The bytes from the first to the last token of `tokens`.
    ///
    /// # Panics
    /// If the span reaches beyond the sentence's tokens.
    #[must_use]
    pub fn bytes(&self, tokens: Span) -> Span {
        self.tokens[tokens.start()].through(self.tokens[tokens.end() - 1])
    }

    /// The text from the first to the last token of `tokens`, with what stands between them.
    ///
    /// # Panics
    /// If the span reaches beyond the sentence's tokens.
    #[must_use]
    pub fn surface(&self, tokens: Span) -> &str {
        &self.text[self.bytes(tokens).range()]
    }
}
