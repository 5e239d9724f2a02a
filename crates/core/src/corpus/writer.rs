//! Writing records, whatever the format.

use std::io::Write;

use serde::{Deserialize, Serialize};

use super::{Format, LabelledSpan, Record, WriteError, conll::ConllWriter, json::JsonWriter, record::whole_tokens};
use crate::{Scheme, Tag, tags};

/// How to write a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct WriteOptions {
    /// The scheme of the tags, in formats that have tags.
    pub scheme: Scheme,
    /// Whether columns come with comments for ids, documents' names and texts, which some other tools cannot read.
    pub comments: bool,
    /// The names that get the first numbers in formats that number tags; others follow in order of appearance. Files that
    /// are loaded together must number their tags alike.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tag_names: Vec<String>,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self { scheme: Scheme::Iob2, comments: true, tag_names: Vec::new() }
    }
}

/// In how many records something got lost that is neither a span nor a label, because the format has no place for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Losses {
    /// What stood between the tokens; now it is single blanks.
    pub spacing: usize,
    /// The tokens.
    pub tokens: usize,
    /// All labels.
    pub labels: usize,
    /// Which document the text belongs to, or that it belongs to none.
    pub documents: usize,
    /// The ids.
    pub ids: usize,
    /// How sure whoever labelled the spans is of them.
    pub confidences: usize,
}

impl Losses {
    /// What was lost, as (what, in how many records); only what was.
    #[must_use]
    pub fn list(self) -> Vec<(&'static str, usize)> {
        let all = [
            ("the spacing between tokens", self.spacing),
            ("the tokens", self.tokens),
            ("the labels", self.labels),
            ("the document", self.documents),
            ("the id", self.ids),
            ("the confidence of spans", self.confidences),
        ];
        all.into_iter().filter(|(_, records)| *records > 0).collect()
    }
}

/// What every format's writer does. Records fit the format.
pub(super) trait WriteRecords {
    /// Writes a record whole or not at all; notes what is lost beyond what the format never has.
    fn write(&mut self, record: &Record, losses: &mut Losses) -> Result<(), WriteError>;

    /// Writes what comes last.
    fn finish(self: Box<Self>) -> Result<(), WriteError>;
}

/// Writes records that a [`Fitter`](super::Fitter) has made fit the format.
pub struct Writer<'w> {
    format: Format,
    scheme: Scheme,
    losses: Losses,
    records: Box<dyn WriteRecords + Send + 'w>,
}

impl<'w> Writer<'w> {
    /// Writes to `out`, which should be buffered.
    ///
    /// # Errors
    /// [`WriteError::ReadOnly`] for a format that has no writer.
    pub fn new(format: Format, out: impl Write + Send + 'w, options: &WriteOptions) -> Result<Self, WriteError> {
        let records: Box<dyn WriteRecords + Send + 'w> = match format {
            Format::Conll => Box::new(ConllWriter::new(out, options)),
            Format::Text => Box::new(super::text::TextWriter::new(out)),
            #[cfg(feature = "parquet")]
            Format::Parquet => Box::new(super::parquet::ParquetWriter::new(out, options)?),
            #[cfg(not(feature = "parquet"))]
            Format::Parquet => return Err(std::io::Error::other(super::NO_PARQUET).into()),
            format if format.is_json() => Box::new(JsonWriter::new(out, format, options.scheme)),
            format => return Err(WriteError::ReadOnly(format)),
        };
        Ok(Self { format, scheme: options.scheme, losses: Losses::default(), records })
    }

    /// Writes a record.
    ///
    /// # Errors
    /// [`WriteError::Record`] if the format cannot express it: then nothing of it was written, and others can follow.
    pub fn write(&mut self, record: &Record) -> Result<(), WriteError> {
        if matches!(self.format, Format::Conll | Format::Hf | Format::Parquet) {
            check_tags(record, self.scheme)?;
        }
        self.records.write(record, &mut self.losses)?;
        let expresses = self.format.expresses();
        let lost = &mut self.losses;
        lost.spacing += usize::from(!expresses.spacing && !record.is_joined());
        lost.tokens += usize::from(!expresses.tokens && record.tokens().is_some());
        lost.labels += usize::from(!expresses.labels && record.spans().is_some_and(|spans| !spans.is_empty()));
        lost.documents += usize::from(!expresses.documents && record.document().is_some());
        lost.ids += usize::from(self.format == Format::Text);
        let spans = record.spans().unwrap_or_default();
        lost.confidences += usize::from(!expresses.confidences && spans.iter().any(|span| span.confidence.is_some()));
        Ok(())
    }

    /// Writes what comes last; says what was lost.
    ///
    /// # Errors
    /// [`WriteError::Io`].
    pub fn finish(self) -> Result<Losses, WriteError> {
        self.records.finish()?;
        Ok(self.losses)
    }
}

/// Checks that tags can tell the spans apart.
fn check_tags(record: &Record, scheme: Scheme) -> Result<(), WriteError> {
    let refused = |why: String| Err(WriteError::Record { id: record.id().to_owned(), why });
    let (tokens, spans) = (record.tokens().unwrap_or_default(), record.spans().unwrap_or_default());
    if let Some(span) = spans.iter().find(|span| span.label.is_empty()) {
        return refused(format!("tags cannot express `{}` without a type", super::excerpt(record.surface(span.span))));
    }
    let end = |bytes| whole_tokens(tokens, bytes).map(crate::Span::end);
    let start = |bytes| whole_tokens(tokens, bytes).map(crate::Span::start);
    let touch = |[a, b]: &[&LabelledSpan; 2]| a.label == b.label && end(a.span) == start(b.span);
    match spans.array_windows().find(|[a, b]| scheme == Scheme::Io && touch(&[a, b])) {
        Some([a, b]) => refused(format!(
            "IO cannot tell the neighbours `{}` and `{}` of type {} apart",
            super::excerpt(record.surface(a.span)),
            super::excerpt(record.surface(b.span)),
            a.label
        )),
        None => Ok(()),
    }
}

/// The tags of a fitted record's tokens, into a buffer that is used again.
pub(super) fn tags_of(record: &Record, scheme: Scheme, tags: &mut Vec<Tag>) {
    tags.clear();
    let tokens = record.tokens().unwrap_or_default();
    let whole = |span| whole_tokens(tokens, span).expect("a fitted record has whole tokens: this is a bug");
    let entities = record.spans().unwrap_or_default().iter().map(|s| (whole(s.span), &s.label));
    tags::encode_into(entities, tokens.len(), scheme, tags);
}
