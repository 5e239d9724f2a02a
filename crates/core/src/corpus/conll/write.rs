//! Writing columns: the token and its tag.

use std::{io::Write, sync::Arc};

use super::{DOCUMENT, ID, NEW_DOCUMENT, TEXT, placed};
use crate::{
    Scheme, Sentence, Tag,
    corpus::{
        Format, Losses, Record, WriteError, WriteOptions, Writer,
        writer::{WriteRecords, tags_of},
    },
};

/// Writes sentences as IOB2 in two columns, each with its id.
///
/// What is read again has the same ids, documents, texts, tokens and entities; who labelled them is not kept.
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
pub fn write<'a>(
    out: &mut (impl Write + Send),
    sentences: impl IntoIterator<Item = &'a Sentence>,
) -> Result<(), WriteError> {
    let mut writer = Writer::new(Format::Conll, out, &WriteOptions::default())?;
    for sentence in sentences {
        writer.write(&Record::from(sentence))?;
    }
    writer.finish().map(drop)
}

/// Writes columns: a blank separates them, or a tab where the token contains a blank.
///
/// `-DOCSTART- O` stands wherever the document changes, with its name in a comment. A text that is not its tokens with
/// single blanks between them is written in a comment, unless it has tabs or line breaks. Unlabelled records have no
/// tags; a file has labelled or unlabelled ones.
pub(in crate::corpus) struct ConllWriter<W> {
    out: W,
    scheme: Scheme,
    comments: bool,
    document: Option<Arc<str>>,
    /// Whether there was one.
    documents: bool,
    /// Whether the records have labels, once one was written.
    labelled: Option<bool>,
    buffer: Vec<u8>,
    tags: Vec<Tag>,
}

impl<W: Write> ConllWriter<W> {
    pub fn new(out: W, options: &WriteOptions) -> Self {
        let WriteOptions { scheme, comments, .. } = *options;
        Self {
            out,
            scheme,
            comments,
            document: None,
            documents: false,
            labelled: None,
            buffer: Vec::new(),
            tags: Vec::new(),
        }
    }
}

impl<W: Write> WriteRecords for ConllWriter<W> {
    fn write(&mut self, record: &Record, losses: &mut Losses) -> Result<(), WriteError> {
        check(record, self.comments)?;
        let labelled = record.spans().is_some();
        if *self.labelled.get_or_insert(labelled) != labelled {
            let [this, before] = if labelled { ["labels", "none"] } else { ["no labels", "some"] };
            return Err(refused(record, &format!("it has {this}, but records before it have {before}")));
        }
        let out = &mut self.buffer;
        out.clear();
        if record.document() != self.document.as_ref() {
            self.document = record.document().cloned();
            out.extend_from_slice(DOCUMENT.as_bytes());
            out.extend_from_slice(if labelled { b" O\n\n" } else { b"\n\n" });
            if let Some(name) = self.document.as_ref().filter(|_| self.comments) {
                writeln!(out, "{NEW_DOCUMENT}{name}")?;
            }
        }
        if self.comments {
            writeln!(out, "{ID}{}", record.id())?;
        } else {
            losses.ids += 1;
        }
        // Without its name it is still a document of its own; where none follows one, it gets to be one.
        let renamed = match record.document() {
            Some(_) => !self.comments,
            None => self.documents,
        };
        self.documents |= record.document().is_some();
        losses.documents += usize::from(renamed);
        if !record.is_joined() {
            if self.comments && is_comment_safe(record) {
                writeln!(out, "{TEXT}{}", record.text())?;
            } else {
                losses.spacing += 1;
            }
        }
        self.tags.clear();
        if labelled {
            tags_of(record, self.scheme, &mut self.tags);
        }
        rows(out, record, labelled.then_some((&self.tags, self.scheme)));
        Ok(self.out.write_all(out)?)
    }

    fn finish(mut self: Box<Self>) -> Result<(), WriteError> {
        Ok(self.out.flush()?)
    }
}

/// A row for each token, with its tag if there are any.
fn rows(out: &mut Vec<u8>, record: &Record, tags: Option<(&[Tag], Scheme)>) {
    let text = record.text();
    for (index, token) in record.tokens().unwrap_or_default().iter().enumerate() {
        let word = &text.as_bytes()[token.range()];
        out.extend_from_slice(word);
        if let Some((tags, scheme)) = tags {
            let tag = &tags[index];
            out.push(if word.contains(&b' ') { b'\t' } else { b' ' });
            out.push(tag.letter(scheme));
            if let Some(label) = tag.label() {
                out.push(b'-');
                out.extend_from_slice(label.as_bytes());
            }
        }
        out.push(b'\n');
    }
    out.push(b'\n');
}

/// Whether the text can stand in a comment and the tokens be found in it again.
fn is_comment_safe(record: &Record) -> bool {
    let text = record.text();
    let tokens = record.tokens().unwrap_or_default();
    let words = tokens.iter().map(|token| record.surface(*token));
    !text.contains(['\t', '\n', '\r']) && placed(text, words).is_ok_and(|found| found == tokens)
}

fn refused(record: &Record, why: &str) -> WriteError {
    WriteError::Record { id: record.id().to_owned(), why: format!("columns cannot express it: {why}") }
}

fn check(record: &Record, comments: bool) -> Result<(), WriteError> {
    let breaks = |text: &str| memchr::memchr3(b'\t', b'\n', b'\r', text.as_bytes()).is_some();
    let unnameable = |name: &str| name.is_empty() || breaks(name) || name.trim_matches(' ') != name;
    if comments && unnameable(record.id()) {
        return Err(refused(record, "the id is empty, has tabs or line breaks, or starts or ends with a blank"));
    }
    if let Some(document) = record.document().filter(|name| comments && unnameable(name)) {
        return Err(refused(record, &format!("the document's name {document:?} is no line without blanks around it")));
    }
    let tokens = record.tokens().unwrap_or_default();
    if tokens.is_empty() {
        return Err(refused(record, "it has no token"));
    }
    let labelled = record.spans().is_some();
    let odd = |word: &str| word == DOCUMENT || breaks(word) || (!labelled && word.contains(' '));
    // A look at the whole text spares one at each token.
    let text = record.text();
    let may_be_odd = !labelled || breaks(text) || text.contains(DOCUMENT);
    if let Some(token) = tokens.iter().map(|token| record.surface(*token)).find(|word| may_be_odd && odd(word)) {
        return Err(refused(record, &format!("the token {token:?}")));
    }
    let odd = |label: &str| label.is_empty() || breaks(label) || label.contains(' ');
    match record.spans().unwrap_or_default().iter().find(|span| odd(&span.label)) {
        Some(span) => Err(refused(record, &format!("the entity type {:?}", span.label))),
        None => Ok(()),
    }
}
