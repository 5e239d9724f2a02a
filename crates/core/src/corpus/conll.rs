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
//!   blanks; no other character separates (a no-break space belongs to its token). The token is first and the tag last
//!   unless the options say otherwise, and every row has as many columns as the first.
//! - A file whose first row has one column is unlabelled.
//! - Tags follow any [`Scheme`](crate::Scheme), or are bare types (`PER`, `O`), as seen from the first rows.
//! - A line of nothing but blanks and tabs ends a sentence, and so does a row whose token is `-DOCSTART-`, which starts
//!   a document. No sentence can have this token. The document is called by the file's stem and its place, `train#3`.
//! - Comments: `# id = X` (or `# sent_id = X`) names the sentence that follows, `# text = X` gives its text with what
//!   stands between the tokens, `# newdoc id = X` starts a document or names the one that `-DOCSTART-` has just started,
//!   `# global.columns = X Y` names the columns. Other lines at the start of a sentence that begin with `#` and have
//!   another number of columns than the rows are left out. A comment has no tab.
//! - A sentence without a name is called by the file's stem and its place in the file, from 0: `train-00017`.
//!
//! ```
//! use std::path::Path;
//! use apprentice_core::corpus::{Corpus, ReadOptions};
//! let file = "Ann B-PER\nKeller I-PER\nwon O\n\n# id = x7\nRome B-LOC\n";
//! let corpus = Corpus::parse(Path::new("news.conll"), file, &ReadOptions::default())?;
//! assert_eq!(corpus.sentences.len(), 2);
//! assert_eq!(corpus.sentences[0].id(), "news-00000");
//! assert_eq!(corpus.sentences[0].entities()[0].span.range(), 0..2);
//! assert_eq!(corpus.sentences[1].id(), "x7");
//!
//! let error = Corpus::parse(Path::new("news.conll"), "Ann B-PER\nwon\n", &ReadOptions::default()).unwrap_err();
//! assert!(error.to_string().starts_with("news.conll:2: one column (`won`): expected at least two"));
//! # Ok::<(), apprentice_core::CorpusError>(())
//! ```

mod columns;
mod write;

use std::{io::Read, sync::Arc};

pub(super) use write::ConllWriter;
pub use write::write;

pub(super) use self::columns::looks_like_columns;
use self::columns::{Columns, Layout};
use super::{
    Failure, LineProblem, ReadOptions, Reading, Record, labels::Labels, lines::Lines, reader::ReadRecords,
    source::Opened,
};
use crate::{Evidence, Span, Tag};

const DOCUMENT: &str = "-DOCSTART-";
const ID: &str = "# id = ";
const TEXT: &str = "# text = ";
const NEW_DOCUMENT: &str = "# newdoc id = ";

/// The sentences of a stream of columns.
pub(super) struct Records {
    lines: Lines<Box<dyn Read + Send>>,
    parser: Parser,
    /// The line at hand ended a sentence and has still to be looked at.
    at_end: bool,
}

impl Records {
    pub fn new(stem: String, opened: Opened, options: &ReadOptions) -> Result<Self, Failure> {
        let layout = Layout::of(&opened.head, options)?;
        let parser = Parser {
            labels: options.labels && layout.columns != 1,
            reading: options.reading,
            known: Labels::with_bare(layout.bare),
            layout,
            stem,
            sentences: 0,
            documents: 0,
            document: None,
            fresh_document: false,
            faulty: false,
            evidence: Evidence::default(),
            columns: Columns::default(),
            id: None,
            given_text: None,
            first: 0,
            last: 0,
            text: String::new(),
            tokens: Vec::new(),
            tags: Vec::new(),
        };
        Ok(Self { lines: Lines::new(opened.stream), parser, at_end: false })
    }
}

impl ReadRecords for Records {
    fn next(&mut self) -> Option<Result<(usize, Record), Failure>> {
        while !self.at_end {
            let Some(line) = self.lines.next() else {
                self.at_end = true;
                break;
            };
            match line.and_then(|(number, line)| self.parser.line(number, line)) {
                Ok(None) => {}
                Ok(Some(sentence)) => return Some(Ok(sentence)),
                Err(failure) => return Some(Err(failure)),
            }
        }
        match self.parser.end_sentence() {
            Ok(Some(sentence)) => Some(Ok(sentence)),
            Ok(None) => self.parser.unused_id().map(Err),
            Err(failure) => Some(Err(failure)),
        }
    }

    fn evidence(&self) -> &Evidence {
        &self.parser.evidence
    }
}

type Problem = LineProblem;

struct Parser {
    labels: bool,
    reading: Reading,
    layout: Layout,
    stem: String,
    sentences: usize,
    documents: usize,
    document: Option<Arc<str>>,
    /// A row of the sentence at hand is faulty.
    faulty: bool,
    /// No sentence has followed since the document started.
    fresh_document: bool,
    evidence: Evidence,
    /// Each tag of the file once, so that all its entities share their labels.
    known: Labels,
    columns: Columns,
    /// The id that waits for its sentence, and its line.
    id: Option<(usize, String)>,
    /// The text that waits for its sentence.
    given_text: Option<String>,
    /// The sentence at hand: its first and last line, words and tags.
    first: usize,
    last: usize,
    text: String,
    tokens: Vec<Span>,
    tags: Vec<Tag>,
}

impl Parser {
    /// Takes a line; gives the sentence that it ends.
    fn line(&mut self, number: usize, line: &str) -> Result<Option<(usize, Record)>, Failure> {
        let here = |problem: Problem| problem.at(number);
        if line.bytes().all(|byte| matches!(byte, b' ' | b'\t')) {
            return self.end_sentence();
        }
        if line.starts_with('#') && !line.contains('\t') && self.comment(number, line)? {
            return Ok(None);
        }
        if self.layout.header.take_if(|header| *header == number).is_some() {
            return Ok(None);
        }
        self.columns.split(line);
        let token = self.layout.token.pick(&self.columns, line).map_err(here)?;
        if token == DOCUMENT {
            let sentence = self.end_sentence()?;
            self.new_document(None);
            return Ok(sentence);
        }
        if line.starts_with('#') && self.tokens.is_empty() && self.columns.len() != self.layout.columns {
            return Ok(None);
        }
        let row = self.row(number, line, token);
        self.faulty |= row.is_err();
        row.map_err(here)?;
        Ok(None)
    }

    /// Whether the line is one of the comments that mean something.
    fn comment(&mut self, number: usize, line: &str) -> Result<bool, Failure> {
        let id = line.strip_prefix(ID).or_else(|| line.strip_prefix("# sent_id = ")).map(|id| id.trim_matches(' '));
        if let Some(id) = id.filter(|id| !id.is_empty()) {
            if !self.tokens.is_empty() {
                return Err(Problem::IdInside { id: id.to_owned() }.at(number));
            }
            let unused = self.unused_id();
            self.id = Some((number, id.to_owned()));
            return unused.map_or(Ok(true), Err);
        }
        if !self.tokens.is_empty() {
            return Ok(false);
        }
        if let Some(text) = line.strip_prefix(TEXT) {
            self.given_text = Some(text.to_owned());
            return Ok(true);
        }
        if let Some(name) = line.strip_prefix(NEW_DOCUMENT).map(|name| name.trim_matches(' ')) {
            if self.fresh_document {
                self.document = Some(name.into());
            } else {
                self.new_document(Some(name));
            }
            return Ok(true);
        }
        Ok(line.starts_with("# global.columns ="))
    }

    fn new_document(&mut self, name: Option<&str>) {
        self.document = Some(name.map_or_else(|| format!("{}#{}", self.stem, self.documents).into(), Arc::from));
        self.documents += 1;
        self.fresh_document = true;
    }

    fn row(&mut self, number: usize, line: &str, token: &str) -> Result<(), Problem> {
        let found = self.columns.len();
        if self.layout.columns == 0 {
            // The first bytes of the file had no row.
            self.layout.columns = found;
            self.labels &= found > 1;
        }
        if self.labels && found == 1 {
            return Err(Problem::OneColumn { found: super::excerpt(line) });
        }
        let first = *self.layout.first_row.get_or_insert(number);
        if found != self.layout.columns {
            return Err(Problem::Columns { found, expected: self.layout.columns, first });
        }
        if token.is_empty() {
            return Err(Problem::NoToken);
        }
        if self.labels {
            let tag = self.layout.tag.pick(&self.columns, line)?;
            // Only between tabs can a tag have blanks around it.
            let tag = if tag.contains(' ') { tag.trim_matches(' ') } else { tag };
            let tag = self.known.tag(tag, &mut self.evidence)?;
            if let Reading::Checked(scheme) = self.reading {
                let previous = self.tags.last().unwrap_or(&Tag::Outside);
                if !scheme.allows(previous, &tag) {
                    return Err(Problem::Scheme { scheme, previous: previous.clone(), tag });
                }
            }
            self.tags.push(tag);
        }
        self.last = number;
        if self.tokens.is_empty() {
            self.first = number;
        } else {
            self.text.push(' ');
        }
        let start = self.text.len();
        self.text.push_str(token);
        self.tokens.extend(Span::new(start, self.text.len()));
        Ok(())
    }

    /// Gives the sentence at hand, if there is one, and starts anew.
    fn end_sentence(&mut self) -> Result<Option<(usize, Record)>, Failure> {
        if std::mem::take(&mut self.faulty) {
            // Said already. The rest of the sentence would be another one.
            self.id = None;
            self.given_text = None;
            self.text.clear();
            self.tokens.clear();
            self.tags.clear();
        }
        if self.tokens.is_empty() {
            return Ok(None);
        }
        let last = self.last;
        let sentence = self.sentence().map(Some).map_err(|problem| problem.at(last));
        self.tags.clear();
        sentence
    }

    fn sentence(&mut self) -> Result<(usize, Record), Problem> {
        let (line, id) = match self.id.take() {
            Some(named) => named,
            None => (self.first, super::numbered(&self.stem, self.sentences)),
        };
        self.sentences += 1;
        self.fresh_document = false;
        // The next sentence is about as long.
        let (text, tokens) = (String::with_capacity(self.text.len()), Vec::with_capacity(self.tokens.len()));
        let mut text = std::mem::replace(&mut self.text, text);
        let mut tokens = std::mem::replace(&mut self.tokens, tokens);
        if let Some(given) = self.given_text.take() {
            tokens = placed(&given, tokens.iter().map(|token| &text[token.range()]))?;
            text = given;
        }
        let record = Record::new(id, text).with_tokens(tokens)?.in_document(self.document.clone());
        if !self.labels {
            return Ok((line, record));
        }
        Ok((line, super::spans::of_tags(record, &self.tags, self.reading, &mut self.evidence)?))
    }

    fn unused_id(&mut self) -> Option<Failure> {
        self.id.take().map(|(line, id)| Problem::IdUnused { id }.at(line))
    }
}

/// Where the words stand in the text, one after the other.
pub(super) fn placed<'a>(text: &str, words: impl Iterator<Item = &'a str>) -> Result<Vec<Span>, Problem> {
    let mut at = 0;
    let mut tokens = Vec::new();
    for word in words {
        loop {
            let rest = &text[at..];
            if rest.starts_with(word) {
                break;
            }
            match rest.chars().next().filter(|c| c.is_whitespace()) {
                Some(blank) => at += blank.len_utf8(),
                None => return Err(Problem::Text { token: word.to_owned() }),
            }
        }
        tokens.extend(Span::new(at, at + word.len()));
        at += word.len();
    }
    Ok(tokens)
}
