//! What can be wrong with a corpus.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use thiserror::Error;

use super::{ConflictKind, Format, RecordError, Refused};
use crate::{Scheme, Tag, TagError};

/// Two corpora that do not have the same entity types.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "label sets differ: only {} has {}, only {} has {}: expected the same types in both",
    first.display(), list(only_first), second.display(), list(only_second)
)]
pub struct LabelMismatch {
    /// The one file.
    pub first: PathBuf,
    /// The other file.
    pub second: PathBuf,
    /// Types that only the first has.
    pub only_first: Vec<Arc<str>>,
    /// Types that only the second has.
    pub only_second: Vec<Arc<str>>,
}

fn list(labels: &[Arc<str>]) -> String {
    if labels.is_empty() { "none".to_owned() } else { labels.join(", ") }
}

/// Why a corpus cannot be read.
#[derive(Debug, Error)]
pub enum CorpusError {
    /// The file cannot be opened or read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A folder or a pattern without a file of a known format.
    #[error(
        "{}: no corpus file there: expected names that end in .conll, .iob, .jsonl, .json, .parquet, .tsv, .ann or .txt, \
         .gz and .zst after them included",
        path.display()
    )]
    NoFiles {
        /// The folder or pattern.
        path: PathBuf,
    },
    /// The file is in another format than was said, or in none that is known.
    #[error("{}: {why}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What was found and what was expected.
        why: String,
    },
    /// Spans that cannot be entities of tokens, where none are accepted.
    #[error("{}: {refused}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// What they are.
        refused: Refused,
    },
    /// The file has no sentence.
    #[error("{}: no sentence in this file: expected at least one", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A line cannot be understood.
    #[error("{}:{line}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        problem: LineProblem,
    },
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LineProblem {
    /// Bytes that are not UTF-8.
    #[error("byte {byte} of the line is not UTF-8: expected UTF-8 text; convert the file")]
    Encoding {
        /// Where the invalid bytes start, from 1.
        byte: usize,
    },
    /// A token without a tag.
    #[error(
        "one column (`{found}`): expected at least two, the token first and the tag last; add the tag, or read the file \
         as unlabelled"
    )]
    OneColumn {
        /// The line.
        found: String,
    },
    /// More or fewer columns than the first row of the file.
    #[error("{found} columns: expected {expected}, as in line {first}; use tabs if a token contains blanks")]
    Columns {
        /// Here.
        found: usize,
        /// In the file's first row.
        expected: usize,
        /// That row's line, from 1.
        first: usize,
    },
    /// A row that starts with a tab.
    #[error("the first column is empty: expected a token")]
    NoToken,
    /// A last column that is no tag.
    #[error(transparent)]
    Tag(#[from] TagError),
    /// A tag that the scheme does not have at this place.
    #[error(
        "tag `{}` after {}: {scheme} has {}; correct the tag, or read the file leniently",
        tag.in_scheme(*scheme),
        match previous { Tag::Outside => "no entity".to_owned(), tag => format!("`{}`", tag.in_scheme(*scheme)) },
        scheme.rule()
    )]
    Scheme {
        /// The scheme that was asked for.
        scheme: Scheme,
        /// The tag of the token before, [`Tag::Outside`] at the start of a sentence.
        previous: Tag,
        /// The tag here.
        tag: Tag,
    },
    /// A sentence that ends where the scheme has no end.
    #[error(
        "the sentence ends with tag `{}`: {scheme} has {}; correct the tag, or read the file leniently",
        tag.in_scheme(*scheme),
        scheme.rule()
    )]
    Unfinished {
        /// The scheme that was asked for.
        scheme: Scheme,
        /// The last tag.
        tag: Tag,
    },
    /// A tag with a prefix in a file of bare types.
    #[error("tag `{found}`, but the tags before it are types without prefix: expected the same in all of the file")]
    Mixed {
        /// The tag.
        found: String,
    },
    /// Two sentences of one name.
    #[error("sentence id `{id}` again, first in line {first}: expected every id once")]
    DuplicateId {
        /// The id.
        id: String,
        /// The line where it was first, from 1.
        first: usize,
    },
    /// An id comment among the tokens of a sentence.
    #[error("id `{id}` inside a sentence: expected a blank line before it")]
    IdInside {
        /// The id.
        id: String,
    },
    /// An id comment that no sentence follows.
    #[error("id `{id}` belongs to no sentence: expected token lines after it")]
    IdUnused {
        /// The id.
        id: String,
    },
    /// A text comment whose text is not the one of the rows after it.
    #[error(
        "the row's token {token:?} does not come next in the sentence's `# text = ` comment; correct the comment or remove it"
    )]
    Text {
        /// The token.
        token: String,
    },
    /// A column that the row, or the header, does not have.
    #[error("there is no column {column}: {found}")]
    NoColumn {
        /// What was asked for.
        column: String,
        /// What there is instead.
        found: String,
    },
    /// Text that is not JSON, or not as the format has it.
    #[error("{0}")]
    Json(String),
    /// Offsets that do not lie in the text.
    #[error(
        "span {label} at {start}..{end} does not lie in the text of {len} code points: offsets count code points, end exclusive"
    )]
    Offsets {
        /// The entity type.
        label: String,
        /// First code point.
        start: i64,
        /// Behind the last code point.
        end: i64,
        /// The code points of the text.
        len: usize,
    },
    /// A span that says which text it covers, and covers another.
    #[error(
        "span {label} at {start}..{end} covers {covered:?}, but says {said:?}: offsets count code points, end exclusive \
         (a tool that counts bytes or UTF-16 units gives others)"
    )]
    Surface {
        /// The entity type.
        label: String,
        /// First code point.
        start: i64,
        /// Behind the last code point.
        end: i64,
        /// The text at the offsets.
        covered: String,
        /// The text that the file gives.
        said: String,
    },
    /// A number for a tag that has no name.
    #[error(
        "tag number {number}, but {names} names are known: give all names in order, such as --tag-names O,B-PER,I-PER"
    )]
    TagNumber {
        /// The number.
        number: i64,
        /// How many names there are.
        names: usize,
    },
    /// A list of tags of another length than the tokens.
    #[error("{tags} tags for {tokens} tokens: expected as many")]
    TagCount {
        /// How many tags.
        tags: usize,
        /// How many tokens.
        tokens: usize,
    },
    /// A line, or a row of Parquet, that is not as its format has it.
    #[error("{found}: expected {expected}")]
    Malformed {
        /// What stands there.
        found: String,
        /// What the format has there.
        expected: String,
    },
    /// A labelled span that no record can hold, where none are accepted.
    #[error(
        "{what} {kind}: expected one span of text with a type; choose what happens to it with --on-conflict widen, first or drop"
    )]
    Conflict {
        /// The span's text and label.
        what: String,
        /// What is wrong with it.
        kind: ConflictKind,
    },
    /// Tokens or spans that do not fit the text.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl LineProblem {
    /// What stands there, and what the format has.
    pub(super) fn malformed(found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::Malformed { found: found.into(), expected: expected.into() }
    }

    /// The problem with its line, from 1.
    pub(super) fn at(self, line: usize) -> Failure {
        Failure::Line { line, problem: self }
    }
}

/// Why reading failed, before the file's name is attached.
pub(super) enum Failure {
    Io(io::Error),
    Format(String),
    Line { line: usize, problem: LineProblem },
}

impl Failure {
    pub fn within(self, path: &Path) -> CorpusError {
        let path = path.to_owned();
        match self {
            Self::Io(source) => CorpusError::Io { path, source },
            Self::Format(why) => CorpusError::Format { path, why },
            Self::Line { line, problem } => CorpusError::Line { path, line, problem },
        }
    }
}

/// Why a record cannot be written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The system refuses.
    #[error("cannot write")]
    Io(#[from] io::Error),
    /// The format cannot be written.
    #[error("{0} can be read, but not written: choose another format")]
    ReadOnly(Format),
    /// The format has no way to express the record; nothing of it was written, and others can follow.
    #[error("{id}: {why}")]
    Record {
        /// The record.
        id: String,
        /// What cannot be expressed.
        why: String,
    },
}

/// The start of a text for a message.
pub(super) fn excerpt(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
