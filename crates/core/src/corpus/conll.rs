//! Columns as in CoNLL-2003: one token a line with its tag, a blank line after each sentence.
//!
//! ```text
//! -DOCSTART- -X- O O
//!
//! # id = news-17
//! Ann NNP B-NP B-PER
//! Keller NNP I-NP I-PER
//! won VBD B-VP O
//! ```
//!
//! - Columns are separated by tabs if the line has a tab, so that tokens may contain blanks, and otherwise by runs of
//!   blanks; no other character separates (a no-break space belongs to its token). The token is first, the tag last,
//!   and every row has as many columns as the first.
//! - A line of nothing but blanks and tabs ends a sentence, and so does a row whose token is `-DOCSTART-`, which starts
//!   a document. No sentence can have this token.
//! - A line `# id = X` without a tab names the sentence that follows; there are no other comments. A sentence
//!   without a name is called by the file's stem and its place in the file, from 0: `train-00017`.
//!
//! ```
//! use std::path::Path;
//! use apprentice_core::{Verdict, corpus::conll};
//! let file = "Ann B-PER\nKeller I-PER\nwon O\n\n# id = x7\nRome B-LOC\n";
//! let corpus = conll::parse(Path::new("news.conll"), file.as_bytes(), &conll::Options::default())?;
//! assert_eq!(corpus.sentences.len(), 2);
//! assert_eq!(corpus.sentences[0].id(), "news-00000");
//! assert_eq!(corpus.sentences[0].entities()[0].span.range(), 0..2);
//! assert_eq!(corpus.sentences[1].id(), "x7");
//! assert_eq!(corpus.evidence.verdict(), Verdict::Iob2);
//!
//! let error = conll::parse(Path::new("news.conll"), b"Ann B-PER\nwon\n", &conll::Options::default()).unwrap_err();
//! assert!(error.to_string().starts_with("news.conll:2: one column (`won`): expected at least two"));
//! # Ok::<(), apprentice_core::CorpusError>(())
//! ```

mod write;

use std::{collections::HashMap, path::Path};

use serde::{Deserialize, Serialize};

pub use write::{WriteError, write};

use super::{Corpus, CorpusError, LineProblem, lines, load, stem};
use crate::{Evidence, Provenance, Scheme, Sentence, Tag, tags};

const DOCUMENT: &str = "-DOCSTART-";
const ID: &str = "# id = ";

/// How tags become entities.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reading {
    /// By [`tags::decode_lenient`], whatever the scheme.
    #[default]
    Lenient,
    /// By [`tags::decode_strict`]: what does not follow the scheme is no entity, for scoring as
    /// [`crate::metrics::strict`] does.
    Strict(Scheme),
    /// A tag that the scheme does not have at its place is an error.
    Checked(Scheme),
}

/// How to read a file of columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Options {
    /// How tags become entities.
    pub reading: Reading,
    /// Whether the last column is the tag. If not, a file may have one column only, all columns but the first are
    /// ignored, and the sentences are [`Provenance::Unlabelled`].
    pub tags: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { reading: Reading::default(), tags: true }
    }
}

impl Options {
    /// For a file whose tags are to be read in this way.
    #[must_use]
    pub fn with_reading(reading: Reading) -> Self {
        Self { reading, ..Self::default() }
    }

    /// For the tokens only, whether there are tags or not.
    #[must_use]
    pub fn unlabelled() -> Self {
        Self { tags: false, ..Self::default() }
    }
}

/// Reads a file.
///
/// # Errors
/// [`CorpusError`], always with the file and where possible with the line.
pub fn read(path: &Path, options: &Options) -> Result<Corpus, CorpusError> {
    parse(path, &load(path)?, options)
}

/// Reads bytes that stand for the file `path`.
///
/// # Errors
/// [`CorpusError::Empty`] and [`CorpusError::Line`].
pub fn parse(path: &Path, bytes: &[u8], options: &Options) -> Result<Corpus, CorpusError> {
    let mut parser = Parser::new(path, *options);
    for (number, line) in lines(bytes) {
        line.map_err(|problem| At { line: number, problem })
            .and_then(|line| parser.line(number, line))
            .map_err(|at| at.within(path))?;
    }
    parser.finish().map_err(|at| at.within(path))?;
    if parser.sentences.is_empty() {
        return Err(CorpusError::Empty { path: path.to_owned() });
    }
    Ok(Corpus { path: path.to_owned(), sentences: parser.sentences, evidence: parser.evidence })
}

/// A problem and its line, before the file's name is attached.
struct At {
    line: usize,
    problem: LineProblem,
}

impl At {
    fn within(self, path: &Path) -> CorpusError {
        CorpusError::Line { path: path.to_owned(), line: self.line, problem: self.problem }
    }
}

struct Parser<'a> {
    options: Options,
    stem: String,
    sentences: Vec<Sentence>,
    evidence: Evidence,
    document: Option<usize>,
    /// Where each id was first.
    ids: HashMap<String, usize>,
    /// Each tag of the file once, so that all its entities share their labels.
    known: HashMap<&'a str, Tag>,
    /// The number of columns and the row that set it.
    columns: Option<(usize, usize)>,
    /// The id that waits for its sentence.
    id: Option<(usize, &'a str)>,
    /// The sentence at hand: its first line, words and tags.
    first: usize,
    words: Vec<&'a str>,
    tags: Vec<Tag>,
}

impl<'a> Parser<'a> {
    fn new(path: &Path, options: Options) -> Self {
        Self {
            options,
            stem: stem(path),
            sentences: Vec::new(),
            evidence: Evidence::default(),
            document: None,
            ids: HashMap::new(),
            known: HashMap::new(),
            columns: None,
            id: None,
            first: 0,
            words: Vec::new(),
            tags: Vec::new(),
        }
    }

    fn line(&mut self, number: usize, line: &'a str) -> Result<(), At> {
        if line.bytes().all(|byte| matches!(byte, b' ' | b'\t')) {
            return self.end_sentence();
        }
        if let Some(id) = id_comment(line) {
            return self.name(number, id);
        }
        let mut columns = Columns::of(line);
        let token = columns.next().unwrap_or_default();
        if token == DOCUMENT {
            self.end_sentence()?;
            self.document = Some(self.document.map_or(0, |document| document + 1));
            return Ok(());
        }
        self.row(number, line, token, columns).map_err(|problem| At { line: number, problem })
    }

    fn name(&mut self, number: usize, id: &'a str) -> Result<(), At> {
        if !self.words.is_empty() {
            return Err(At { line: number, problem: LineProblem::IdInside { id: id.to_owned() } });
        }
        self.check_id_used()?;
        self.id = Some((number, id));
        Ok(())
    }

    fn row(&mut self, number: usize, line: &str, token: &'a str, rest: Columns<'a>) -> Result<(), LineProblem> {
        let (rest, last) = rest.fold((0, None), |(count, _), column| (count + 1, Some(column)));
        if self.options.tags && last.is_none() {
            return Err(LineProblem::OneColumn { found: line.to_owned() });
        }
        let (expected, first) = *self.columns.get_or_insert((rest + 1, number));
        if rest + 1 != expected {
            return Err(LineProblem::Columns { found: rest + 1, expected, first });
        }
        if token.is_empty() {
            return Err(LineProblem::NoToken);
        }
        if let Some(tag) = last.filter(|_| self.options.tags) {
            let tag = self.tag(tag.trim_matches(' '))?;
            let previous = self.tags.last().unwrap_or(&Tag::Outside);
            match self.options.reading {
                Reading::Checked(scheme) if !scheme.allows(previous, &tag) => {
                    return Err(LineProblem::Scheme { scheme, previous: previous.clone(), tag });
                }
                _ => self.tags.push(tag),
            }
        }
        if self.words.is_empty() {
            self.first = number;
        }
        self.words.push(token);
        Ok(())
    }

    fn tag(&mut self, text: &'a str) -> Result<Tag, LineProblem> {
        if let Some(tag) = self.known.get(text) {
            return Ok(tag.clone());
        }
        let tag: Tag = text.parse()?;
        self.known.insert(text, tag.clone());
        Ok(tag)
    }

    fn end_sentence(&mut self) -> Result<(), At> {
        if self.words.is_empty() {
            return Ok(());
        }
        let (line, id) = match self.id.take() {
            Some((line, id)) => (line, id.to_owned()),
            None => (self.first, format!("{}-{:05}", self.stem, self.sentences.len())),
        };
        if let Some(first) = self.ids.insert(id.clone(), line) {
            return Err(At { line, problem: LineProblem::DuplicateId { id, first } });
        }
        let mut sentence = Sentence::from_words(id, self.words.drain(..)).in_document(self.document);
        if self.options.tags {
            self.evidence.observe(&self.tags);
            let entities = match self.options.reading {
                Reading::Strict(scheme) => tags::decode_strict(&self.tags, scheme),
                Reading::Lenient | Reading::Checked(_) => tags::decode_lenient(&self.tags),
            };
            sentence = sentence
                .with_entities(entities, Provenance::Original)
                .expect("decoded entities lie within the sentence and apart: this is a bug");
            self.tags.clear();
        }
        self.sentences.push(sentence);
        Ok(())
    }

    fn finish(&mut self) -> Result<(), At> {
        self.end_sentence()?;
        self.check_id_used()
    }

    fn check_id_used(&self) -> Result<(), At> {
        match self.id {
            Some((line, id)) => Err(At { line, problem: LineProblem::IdUnused { id: id.to_owned() } }),
            None => Ok(()),
        }
    }
}

/// The id, if the line is an id comment. A token that looks like one contains blanks, so that its line has a tab.
fn id_comment(line: &str) -> Option<&str> {
    let id = line.strip_prefix(ID)?.trim_matches(' ');
    (!id.is_empty() && !line.contains('\t')).then_some(id)
}

/// The columns of a row.
enum Columns<'a> {
    Tabs(std::str::Split<'a, char>),
    Blanks(std::str::Split<'a, char>),
}

impl<'a> Columns<'a> {
    fn of(line: &'a str) -> Self {
        if line.contains('\t') { Self::Tabs(line.split('\t')) } else { Self::Blanks(line.split(' ')) }
    }
}

impl<'a> Iterator for Columns<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        match self {
            Self::Tabs(columns) => columns.next(),
            Self::Blanks(columns) => columns.find(|column| !column.is_empty()),
        }
    }
}
