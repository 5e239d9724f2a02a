//! Lines, documents and whole files of plain text as records, and back.

use std::{
    collections::VecDeque,
    io::{Read, Write},
};

use super::split_sentences;
use crate::{
    Evidence, Span,
    corpus::{
        Conflicts, Failure, LabelledSpan, LineProblem, Losses, Record, Unit, WriteError, lines::Lines, numbered,
        reader::ReadRecords, writer::WriteRecords,
    },
};

/// A record a line, called by its number from 1, `news-00017`, or one for the whole stream, called by the file's stem;
/// what is only white space is left out.
pub(in crate::corpus) struct Records {
    lines: Lines<Box<dyn Read + Send>>,
    stem: String,
    whole: bool,
    evidence: Evidence,
}

impl Records {
    pub fn new(stem: String, stream: Box<dyn Read + Send>, unit: Unit) -> Self {
        Self { lines: Lines::new(stream), stem, whole: unit == Unit::File, evidence: Evidence::default() }
    }

    fn whole(&mut self) -> Option<Result<(usize, Record), Failure>> {
        let mut text = String::new();
        while let Some(line) = self.lines.next() {
            match line {
                Ok((_, line)) => {
                    text.push_str(line);
                    text.push('\n');
                }
                Err(failure) => return Some(Err(failure)),
            }
        }
        (!text.trim().is_empty()).then(|| Ok((1, Record::new(self.stem.clone(), text))))
    }
}

impl ReadRecords for Records {
    fn next(&mut self) -> Option<Result<(usize, Record), Failure>> {
        if self.whole {
            return self.whole();
        }
        loop {
            match self.lines.next()? {
                Ok((_, line)) if line.trim().is_empty() => {}
                Ok((number, line)) => {
                    return Some(Ok((number, Record::new(numbered(&self.stem, number), line))));
                }
                Err(failure) => return Some(Err(failure)),
            }
        }
    }

    fn evidence(&self) -> &Evidence {
        &self.evidence
    }
}

/// Splits the records of another reader into sentences.
pub(in crate::corpus) struct Sentences {
    documents: Box<dyn ReadRecords>,
    line: usize,
    queue: VecDeque<Record>,
}

impl Sentences {
    pub fn of(documents: Box<dyn ReadRecords>) -> Self {
        Self { documents, line: 0, queue: VecDeque::new() }
    }
}

impl ReadRecords for Sentences {
    fn next(&mut self) -> Option<Result<(usize, Record), Failure>> {
        loop {
            if let Some(sentence) = self.queue.pop_front() {
                return Some(Ok((self.line, sentence)));
            }
            match self.documents.next()? {
                Ok((line, document)) => {
                    self.line = line;
                    match sentences_of(&document) {
                        Ok(sentences) => self.queue = sentences,
                        Err(problem) => return Some(Err(problem.at(line))),
                    }
                }
                Err(failure) => return Some(Err(failure)),
            }
        }
    }

    fn evidence(&self) -> &Evidence {
        self.documents.evidence()
    }

    fn skipped(&self) -> usize {
        self.documents.skipped()
    }

    fn conflicts(&self) -> Option<&Conflicts> {
        self.documents.conflicts()
    }
}

fn sentences_of(document: &Record) -> Result<VecDeque<Record>, LineProblem> {
    let (tokens, spans) = (document.tokens(), document.spans());
    let uncut = spans.unwrap_or_default().iter().map(|s| s.span).chain(tokens.unwrap_or_default().iter().copied());
    let mut sentences = VecDeque::new();
    for (number, part) in joined(split_sentences(document.text()), uncut.collect()).into_iter().enumerate() {
        let shifted = |span: Span| {
            let inside = part.start() <= span.start() && span.end() <= part.end();
            inside.then(|| Span::new(span.start() - part.start(), span.end() - part.start())).flatten()
        };
        let mut sentence = Record::new(format!("{}.{number}", document.id()), document.surface(part))
            .in_document(Some(document.document().cloned().unwrap_or_else(|| document.id().into())));
        if let Some(tokens) = tokens {
            sentence = sentence.with_tokens(tokens.iter().filter_map(|&token| shifted(token)).collect())?;
        }
        if let Some(spans) = spans {
            let inside = |s: &LabelledSpan| Some(LabelledSpan { span: shifted(s.span)?, ..s.clone() });
            sentence = sentence.with_spans(spans.iter().filter_map(inside).collect())?;
        }
        sentences.push_back(sentence);
    }
    Ok(sentences)
}

/// The parts, those joined that a span to be left whole reaches across, and widened to what lies outside of them.
fn joined(parts: Vec<Span>, mut uncut: Vec<Span>) -> Vec<Span> {
    uncut.sort();
    let mut uncut = uncut.into_iter().peekable();
    let mut joined: Vec<Span> = Vec::with_capacity(parts.len());
    // How far the last part must reach at least.
    let mut reach = 0;
    for part in parts {
        let mut start = part.start();
        while let Some(span) = uncut.next_if(|span| span.start() < part.end()) {
            start = start.min(span.start());
            reach = reach.max(span.end());
        }
        match joined.last_mut().filter(|last| start < last.end()) {
            Some(last) => *last = Span::new(last.start(), part.end().max(last.end())).unwrap_or(*last),
            None => joined.extend(Span::new(start, part.end())),
        }
        if let Some(last) = joined.last_mut() {
            *last = Span::new(last.start(), last.end().max(reach)).unwrap_or(*last);
        }
    }
    joined
}

/// Writes the texts, one a line.
pub(in crate::corpus) struct TextWriter<W> {
    out: W,
}

impl<W: Write> TextWriter<W> {
    pub fn new(out: W) -> Self {
        Self { out }
    }
}

impl<W: Write> WriteRecords for TextWriter<W> {
    fn write(&mut self, record: &Record, _: &mut Losses) -> Result<(), WriteError> {
        if record.text().contains(['\n', '\r']) || record.text().trim().is_empty() {
            let why = "a line of text cannot express it: it has line breaks or nothing but white space".to_owned();
            return Err(WriteError::Record { id: record.id().to_owned(), why });
        }
        Ok(writeln!(self.out, "{}", record.text())?)
    }

    fn finish(mut self: Box<Self>) -> Result<(), WriteError> {
        Ok(self.out.flush()?)
    }
}
