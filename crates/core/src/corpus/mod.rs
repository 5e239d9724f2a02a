//! Corpora: files of sentences, read whole, every error with its file and line.
//!
//! One module per format, each with `read` for a file and `parse` for bytes that stand for one (embedded data, standard
//! input). [`conll`] is the labelled format, [`text`] the raw one.

use std::{collections::BTreeSet, fs, io, path::Path, path::PathBuf, sync::Arc};

use thiserror::Error;

use crate::{Evidence, Scheme, Sentence, Tag, TagError};

pub mod conll;
pub mod text;

/// The sentences of one file; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corpus {
    /// The file, for messages.
    pub path: PathBuf,
    /// Its sentences, with ids that differ from each other.
    pub sentences: Vec<Sentence>,
    /// What its tags show about their scheme.
    pub evidence: Evidence,
}

impl Corpus {
    /// The entity types that occur, sorted.
    #[must_use]
    pub fn labels(&self) -> BTreeSet<Arc<str>> {
        self.sentences.iter().flat_map(Sentence::entities).map(|entity| entity.label.clone()).collect()
    }

    /// Checks that another corpus has exactly the same entity types.
    ///
    /// # Errors
    /// [`LabelMismatch`] with the types that only one of them has.
    pub fn check_same_labels(&self, other: &Self) -> Result<(), LabelMismatch> {
        let (ours, theirs) = (self.labels(), other.labels());
        if ours == theirs {
            return Ok(());
        }
        Err(LabelMismatch {
            first: self.path.clone(),
            second: other.path.clone(),
            only_first: ours.difference(&theirs).cloned().collect(),
            only_second: theirs.difference(&ours).cloned().collect(),
        })
    }
}

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
        "tag `{tag}` after {}: {scheme} has {}; correct the tag, or read the file leniently",
        match previous { Tag::Outside => "no entity".to_owned(), tag => format!("`{tag}`") },
        match scheme {
            Scheme::Iob1 => "B- only right after an entity of the same type",
            Scheme::Iob2 => "I- only inside an entity of the same type",
        }
    )]
    Scheme {
        /// The scheme that was asked for.
        scheme: Scheme,
        /// The tag of the token before, [`Tag::Outside`] at the start of a sentence.
        previous: Tag,
        /// The tag here.
        tag: Tag,
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
}

fn load(path: &Path) -> Result<Vec<u8>, CorpusError> {
    fs::read(path).map_err(|source| CorpusError::Io { path: path.to_owned(), source })
}

/// The lines with their numbers from 1, without byte order mark and line ends (LF or CRLF).
fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, Result<&str, LineProblem>)> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    bytes.split(|&byte| byte == b'\n').zip(1..).map(|(line, number)| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = str::from_utf8(line).map_err(|e| LineProblem::Encoding { byte: e.valid_up_to() + 1 });
        (number, line)
    })
}

/// What automatic ids start with: the file name up to its last dot.
fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(|| "sentence".to_owned(), |stem| stem.to_string_lossy().into_owned())
}
