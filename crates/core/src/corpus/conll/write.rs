//! Writing columns: the token and its IOB2 tag.

use std::{
    collections::HashSet,
    io::{self, Write},
    sync::Arc,
};

use thiserror::Error;

use super::{DOCUMENT, ID};
use crate::{Sentence, tags};

/// Why sentences cannot be written as columns.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The system refuses.
    #[error("cannot write")]
    Io(#[from] io::Error),
    /// Nothing to put between the blank lines.
    #[error("sentence {id:?} has no token, which columns cannot express")]
    NoToken {
        /// The sentence.
        id: String,
    },
    /// A token with a tab or a line break, or one that would start a document.
    #[error("sentence {id:?}: columns cannot express the token {token:?}")]
    Token {
        /// The sentence.
        id: String,
        /// The token.
        token: String,
    },
    /// An entity type that is empty or contains white space.
    #[error("sentence {id:?}: columns cannot express the entity type {label:?}")]
    Label {
        /// The sentence.
        id: String,
        /// The entity type.
        label: Arc<str>,
    },
    /// An id that is empty, contains a tab or a line break, or starts or ends with a blank.
    #[error("columns cannot express the sentence id {id:?}")]
    Id {
        /// The id.
        id: String,
    },
    /// An id that was written before.
    #[error("sentence id {id:?} again: expected every id once")]
    DuplicateId {
        /// The id.
        id: String,
    },
}

/// For use within [`write_atomic`](crate::files::write_atomic).
impl From<WriteError> for io::Error {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Io(error) => error,
            other => Self::new(io::ErrorKind::InvalidData, other),
        }
    }
}

/// Writes sentences as IOB2 in two columns, each with its id.
///
/// A blank separates the columns, or a tab where the token contains a blank. `-DOCSTART- O` stands wherever the
/// document changes; numbers of documents are not written, but counted anew on reading. What is read again has the same
/// ids, tokens and entities; the text between the tokens becomes single blanks, and who labelled them is not kept.
///
/// ```
/// use apprentice_core::{Entity, Provenance, Sentence, Span, corpus::conll};
/// let per = Entity { span: Span::new(0, 2).unwrap(), label: "PER".into() };
/// let sentence = Sentence::from_words("s1", ["Ann", "Keller", "won", "."])
///     .with_entities(vec![per], Provenance::Original)
///     .unwrap();
/// let mut out = Vec::new();
/// conll::write(&mut out, [&sentence]).unwrap();
/// assert_eq!(out, b"# id = s1\nAnn B-PER\nKeller I-PER\nwon O\n. O\n\n");
/// ```
///
/// # Errors
/// [`WriteError`] if `out` fails or a sentence cannot be expressed; sentences before it are written.
pub fn write<'a>(out: &mut impl Write, sentences: impl IntoIterator<Item = &'a Sentence>) -> Result<(), WriteError> {
    let mut document = None;
    let mut ids = HashSet::new();
    for sentence in sentences {
        check(sentence)?;
        if !ids.insert(sentence.id()) {
            return Err(WriteError::DuplicateId { id: sentence.id().to_owned() });
        }
        if sentence.document() != document {
            document = sentence.document();
            writeln!(out, "{DOCUMENT} O\n")?;
        }
        writeln!(out, "{ID}{}", sentence.id())?;
        let tags = tags::encode_iob2(sentence.entities(), sentence.tokens().len());
        for (word, tag) in sentence.words().zip(tags) {
            let separator = if word.contains(' ') { '\t' } else { ' ' };
            writeln!(out, "{word}{separator}{tag}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn check(sentence: &Sentence) -> Result<(), WriteError> {
    let id = sentence.id();
    let breaks = |text: &str| text.contains(['\t', '\n', '\r']);
    if id.is_empty() || breaks(id) || id.trim_matches(' ') != id {
        return Err(WriteError::Id { id: id.to_owned() });
    }
    if sentence.tokens().is_empty() {
        return Err(WriteError::NoToken { id: id.to_owned() });
    }
    if let Some(token) = sentence.words().find(|&word| breaks(word) || word == DOCUMENT) {
        return Err(WriteError::Token { id: id.to_owned(), token: token.to_owned() });
    }
    let odd = |label: &str| label.is_empty() || breaks(label) || label.contains(' ');
    match sentence.entities().iter().find(|entity| odd(&entity.label)) {
        Some(entity) => Err(WriteError::Label { id: id.to_owned(), label: entity.label.clone() }),
        None => Ok(()),
    }
}
