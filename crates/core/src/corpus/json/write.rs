//! Writing JSON records: a line each, or an array for Label Studio.

use std::io::Write;

use super::super::{
    Format, LabelledSpan, Losses, Record, WriteError, label_studio,
    offsets::Offsets,
    record::whole_tokens,
    writer::{WriteRecords, tags_of},
};
use crate::{Scheme, Tag};

/// Writes one dialect.
pub(in crate::corpus) struct JsonWriter<W> {
    out: W,
    format: Format,
    scheme: Scheme,
    line: Vec<u8>,
    tags: Vec<Tag>,
    written: usize,
}

impl<W: Write> JsonWriter<W> {
    pub fn new(out: W, format: Format, scheme: Scheme) -> Self {
        Self { out, format, scheme, line: Vec::new(), tags: Vec::new(), written: 0 }
    }

    /// The record's line without the line end.
    fn render(&mut self, record: &Record) -> Result<(), serde_json::Error> {
        let line = &mut self.line;
        line.extend_from_slice(b"{\"id\":");
        string(line, record.id())?;
        if let Some(document) = record.document() {
            line.extend_from_slice(b",\"document\":");
            string(line, document)?;
        }
        match self.format {
            Format::Hf => {
                words(line, "tokens", record)?;
                if record.spans().is_some() {
                    line.extend_from_slice(b",\"ner_tags\":");
                    tags_of(record, self.scheme, &mut self.tags);
                    list(line, self.tags.iter(), |line, tag| string(line, &tag.in_scheme(self.scheme).to_string()))?;
                }
            }
            Format::Gliner => {
                words(line, "tokenized_text", record)?;
                let tokens = record.tokens().unwrap_or_default();
                labels(line, "ner", record, |line, s| {
                    let tokens = whole_tokens(tokens, s.span).expect("a fitted record has whole tokens: this is a bug");
                    triple(line, tokens.start(), tokens.end() - 1, &s.label)
                })?;
            }
            format => {
                line.extend_from_slice(b",\"text\":");
                string(line, record.text())?;
                let offsets = Offsets::new(record.text());
                let ends = |s: &LabelledSpan| (offsets.character(s.span.start()), offsets.character(s.span.end()));
                match format {
                    Format::Doccano => labels(line, "label", record, |line, s| {
                        let (start, end) = ends(s);
                        triple(line, start, end, &s.label)
                    })?,
                    Format::Entities => labels(line, "entities", record, |line, s| {
                        object(line, ends(s), s)?;
                        line.extend_from_slice(b",\"text\":");
                        string(line, record.surface(s.span))?;
                        line.push(b'}');
                        Ok(())
                    })?,
                    _ => {
                        placed_tokens(line, record, &offsets)?;
                        let tokens = record.tokens().unwrap_or_default();
                        labels(line, "spans", record, |line, s| {
                            object(line, ends(s), s)?;
                            if let Some(tokens) = whole_tokens(tokens, s.span) {
                                pair(line, ",\"token_start\":", tokens.start(), ",\"token_end\":", tokens.end() - 1);
                            }
                            line.push(b'}');
                            Ok(())
                        })?;
                    }
                }
            }
        }
        line.push(b'}');
        Ok(())
    }
}

impl<W: Write + Send> WriteRecords for JsonWriter<W> {
    fn write(&mut self, record: &Record, _: &mut Losses) -> Result<(), WriteError> {
        self.line.clear();
        if self.format == Format::LabelStudio {
            self.line.extend_from_slice(if self.written == 0 { b"[\n" } else { b",\n" });
            label_studio::write(&mut self.line, record)?;
        } else {
            self.render(record).map_err(std::io::Error::from)?;
            self.line.push(b'\n');
        }
        self.written += 1;
        Ok(self.out.write_all(&self.line)?)
    }

    fn finish(mut self: Box<Self>) -> Result<(), WriteError> {
        if self.format == Format::LabelStudio {
            self.out.write_all(if self.written == 0 { b"[]\n" } else { b"\n]\n" })?;
        }
        Ok(self.out.flush()?)
    }
}

type Done = Result<(), serde_json::Error>;

fn string(line: &mut Vec<u8>, text: &str) -> Done {
    serde_json::to_writer(line, text)
}

fn number(line: &mut Vec<u8>, number: usize) {
    line.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn pair(line: &mut Vec<u8>, first: &str, a: usize, second: &str, b: usize) {
    line.extend_from_slice(first.as_bytes());
    number(line, a);
    line.extend_from_slice(second.as_bytes());
    number(line, b);
}

fn list<T>(line: &mut Vec<u8>, items: impl Iterator<Item = T>, mut each: impl FnMut(&mut Vec<u8>, T) -> Done) -> Done {
    line.push(b'[');
    for (index, item) in items.enumerate() {
        if index > 0 {
            line.push(b',');
        }
        each(line, item)?;
    }
    line.push(b']');
    Ok(())
}

fn key(line: &mut Vec<u8>, name: &str) {
    line.extend_from_slice(b",\"");
    line.extend_from_slice(name.as_bytes());
    line.extend_from_slice(b"\":");
}

/// The labels, unless the record is unlabelled.
fn labels(
    line: &mut Vec<u8>,
    name: &str,
    record: &Record,
    each: impl FnMut(&mut Vec<u8>, &LabelledSpan) -> Done,
) -> Done {
    let Some(spans) = record.spans() else { return Ok(()) };
    key(line, name);
    list(line, spans.iter(), each)
}

fn words(line: &mut Vec<u8>, name: &str, record: &Record) -> Done {
    key(line, name);
    list(line, record.tokens().unwrap_or_default().iter(), |line, token| string(line, record.surface(*token)))
}

/// Tokens as Prodigy has them.
fn placed_tokens(line: &mut Vec<u8>, record: &Record, offsets: &Offsets<'_>) -> Done {
    let Some(tokens) = record.tokens() else { return Ok(()) };
    key(line, "tokens");
    list(line, tokens.iter().enumerate(), |line, (index, token)| {
        line.extend_from_slice(b"{\"text\":");
        string(line, record.surface(*token))?;
        let (start, end) = (offsets.character(token.start()), offsets.character(token.end()));
        pair(line, ",\"start\":", start, ",\"end\":", end);
        line.extend_from_slice(b",\"id\":");
        number(line, index);
        line.push(b'}');
        Ok(())
    })
}

/// `[first,second,"TYPE"]`.
fn triple(line: &mut Vec<u8>, first: usize, second: usize, label: &str) -> Done {
    pair(line, "[", first, ",", second);
    line.push(b',');
    string(line, label)?;
    line.push(b']');
    Ok(())
}

/// An object of a span, left open.
fn object(line: &mut Vec<u8>, (start, end): (usize, usize), span: &LabelledSpan) -> Done {
    pair(line, "{\"start\":", start, ",\"end\":", end);
    line.extend_from_slice(b",\"label\":");
    string(line, &span.label)?;
    let Some(confidence) = span.confidence else { return Ok(()) };
    line.extend_from_slice(b",\"score\":");
    serde_json::to_writer(line, &confidence)
}
