//! brat's standoff files: `news.ann` with the annotations of the text `news.txt` beside it. Read only.
//!
//! ```text
//! T1    PER 0 10    Ann Keller
//! T2    LOC 18 22    Rome
//! R1    born_in Arg1:T1 Arg2:T2
//! ```
//!
//! - A file is given by the path of its `.ann`. It is one record, called like the file and part of the document of this
//!   name; [`Unit::Document`](super::Unit) splits it into sentences.
//! - `T` lines are entities, triggers of events included: a tab, type, start and end, a tab, the text. Offsets count
//!   code points of the text as it is, line ends included. The text that a line repeats, where brat has blanks for line
//!   breaks, must be the one at its offsets.
//! - A span in several pieces (`PER 0 3;15 21`) is taken as one where only white space lies between them, as brat has
//!   it across line breaks. What becomes of others says [`OnConflict`]; they are counted.
//! - Relations, events, attributes, notes and equivalences (`R`, `E`, `A`, `M`, `N`, `#`, `*`) are left out.

use std::io::Read;

use super::{
    Conflicts, CorpusError, Failure, Format, LabelledSpan, LineProblem, OnConflict, ReadOptions, Record, Source,
    fit::{Conflict, ConflictKind, Notes},
    json::{RawSpan, placed},
    labels::Labels,
    lines::Lines,
    offsets::Offsets,
    reader::ReadRecords,
};
use crate::{Evidence, Span};

type Stream = Box<dyn Read + Send>;

/// The one record of a text and its annotations.
pub(super) struct Records {
    /// `None` once it was given.
    document: Option<Document>,
    notes: Notes,
    evidence: Evidence,
}

struct Document {
    name: String,
    text: String,
    /// The annotations, if they are wanted.
    annotations: Option<Lines<Stream>>,
}

impl Records {
    pub fn new(source: &Source, annotations: Stream, options: &ReadOptions) -> Result<Self, CorpusError> {
        let within = |why: String| Failure::Format(why).within(&source.path);
        if Format::of_name(&source.path.to_string_lossy()) != Some(Format::Brat) {
            return Err(within(
                "brat's files are given by their annotations: expected a path that ends in .ann".into(),
            ));
        }
        let Some(path) = source.neighbour("txt") else {
            return Err(within("annotations without their text: expected a file with its .txt beside it".into()));
        };
        if !path.is_file() {
            return Err(within(format!("its text is not beside it: expected {}", path.display())));
        }
        let text = text_of(&Source::of(&path))?;
        let annotations = options.labels.then(|| Lines::new(annotations));
        let document = Some(Document { name: source.stem(), text, annotations });
        Ok(Self { document, notes: Notes::new(options.on_conflict), evidence: Evidence::default() })
    }
}

impl ReadRecords for Records {
    fn next(&mut self) -> Option<Result<(usize, Record), Failure>> {
        let document = self.document.take()?;
        match document.record(&mut self.notes) {
            // A text of nothing but white space is no sentence, as elsewhere.
            Ok(record) if record.text().trim().is_empty() && record.spans().is_none_or(<[_]>::is_empty) => None,
            Ok(record) => Some(Ok((1, record))),
            Err(failure) => Some(Err(failure)),
        }
    }

    fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    fn conflicts(&self) -> Option<&Conflicts> {
        Some(&self.notes.conflicts)
    }
}

fn text_of(source: &Source) -> Result<String, CorpusError> {
    let mut bytes = Vec::new();
    let read = source.open().and_then(|mut opened| opened.stream.read_to_end(&mut bytes));
    read.map_err(|error| Failure::Io(error).within(&source.path))?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = memchr::memchr_iter(b'\n', valid).count() + 1;
        let start = memchr::memrchr(b'\n', valid).map_or(0, |end| end + 1);
        LineProblem::Encoding { byte: valid.len() - start + 1 }.at(line).within(&source.path)
    })
}

impl Document {
    fn record(self, notes: &mut Notes) -> Result<Record, Failure> {
        let Self { name, text, annotations } = self;
        // A byte order mark counts as a character, but is not part of the text.
        let body = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let mark = text.len() - body.len();
        let record = Record::new(name.clone(), body).in_document(Some(name.as_str().into()));
        let Some(mut lines) = annotations else { return Ok(record) };
        let (offsets, mut labels, mut spans) = (Offsets::new(&text), Labels::default(), Vec::new());
        while let Some(line) = lines.next() {
            let (number, line) = line?;
            let mut span = || {
                let Some(bound) = TextBound::of(line)? else { return Ok(None) };
                let Some(span) = bound.span(&text, &offsets, &name, notes)? else { return Ok(None) };
                let span = Span::new(span.start().saturating_sub(mark), span.end().saturating_sub(mark));
                let span = span.ok_or_else(|| bound.malformed("characters of the text"))?;
                Ok(Some(LabelledSpan::new(span, labels.label(bound.label))))
            };
            spans.extend(span().map_err(|problem: LineProblem| problem.at(number))?);
        }
        record.with_spans(spans).map_err(|error| LineProblem::from(error).at(1))
    }
}

/// A `T` line.
struct TextBound<'a> {
    line: &'a str,
    label: &'a str,
    pieces: Vec<(i64, i64)>,
    text: &'a str,
}

impl<'a> TextBound<'a> {
    /// The annotation of a line; `None` if it is of another kind.
    fn of(line: &'a str) -> Result<Option<Self>, LineProblem> {
        let malformed = |expected| LineProblem::malformed(format!("`{}`", super::excerpt(line)), expected);
        match line.as_bytes().first() {
            Some(b'T') => {
                Self::parse(line).map(Some).ok_or_else(|| malformed("an entity `T1<TAB>TYPE START END<TAB>TEXT`"))
            }
            None | Some(b'#' | b'*') => Ok(None),
            Some(b'R' | b'E' | b'A' | b'M' | b'N') if line.contains('\t') => Ok(None),
            Some(_) => Err(malformed("one of T, R, E, A, M, N, # and *, a number and a tab")),
        }
    }

    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.splitn(3, '\t').skip(1);
        let (label, offsets) = fields.next()?.split_once(' ')?;
        let text = fields.next()?;
        let piece = |piece: &str| {
            let (start, end) = piece.split_once(' ')?;
            Some((start.parse().ok()?, end.parse().ok()?))
        };
        let pieces = offsets.split(';').map(piece).collect::<Option<_>>()?;
        (!label.is_empty()).then_some(Self { line, label, pieces, text })
    }

    fn malformed(&self, expected: &str) -> LineProblem {
        LineProblem::malformed(format!("`{}`", super::excerpt(self.line)), expected)
    }

    /// The bytes; `None` if they are in several pieces and no record can hold that.
    fn span(
        &self,
        text: &str,
        offsets: &Offsets<'_>,
        name: &str,
        notes: &mut Notes,
    ) -> Result<Option<Span>, LineProblem> {
        let piece = |&(start, end): &(i64, i64)| {
            placed(text, offsets, &RawSpan { start, end, label: self.label.into(), text: None, score: None })
        };
        let pieces: Vec<Span> = self.pieces.iter().map(piece).collect::<Result<_, _>>()?;
        self.check(text, &pieces)?;
        let start = pieces.iter().map(|piece| piece.start()).min();
        let end = pieces.iter().map(|piece| piece.end()).max();
        let hull = start.zip(end).and_then(|(start, end)| Span::new(start, end));
        let adjoin = |a: &Span, b: &Span| text.get(a.end()..b.start()).is_some_and(|gap| gap.trim().is_empty());
        if pieces.array_windows().all(|[a, b]| adjoin(a, b)) {
            return Ok(hull);
        }
        let what = format!("`{}` ({})", super::excerpt(self.text), self.label);
        notes.add(Conflict { id: name.to_owned(), kind: ConflictKind::Pieces, what })?;
        Ok(hull.filter(|_| notes.policy == OnConflict::Widen))
    }

    /// Checks that the line repeats the text at its offsets.
    fn check(&self, text: &str, pieces: &[Span]) -> Result<(), LineProblem> {
        let on_one_line = |text: &str| text.replace(['\n', '\r'], " ");
        let covered: Vec<String> = pieces.iter().map(|piece| on_one_line(&text[piece.range()])).collect();
        let covered = covered.join(" ");
        if covered == on_one_line(self.text) {
            return Ok(());
        }
        let ends = (self.pieces.first(), self.pieces.last());
        let (Some(&(start, _)), Some(&(_, end))) = ends else { return Err(self.malformed("offsets")) };
        let (covered, said) = (super::excerpt(&covered), super::excerpt(self.text));
        Err(LineProblem::Surface { label: self.label.to_owned(), start, end, covered, said })
    }
}
