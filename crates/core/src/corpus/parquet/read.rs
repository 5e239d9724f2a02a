//! Reading rows as records.

use std::{
    any::Any,
    fmt::Display,
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
};

use ::parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder},
    },
    file::metadata::ParquetStatisticsPolicy,
};

use super::{
    FEATURES,
    batch::{Batch, Parts, Tags, Values, string},
    layout::{self, Layout},
    names,
};
use crate::{
    Evidence, Tag,
    corpus::{
        Failure, LabelledSpan, LineProblem, ReadOptions, Reading, Record, Source,
        json::{RawSpan, joined, placed},
        labels::Labels,
        numbered,
        offsets::Offsets,
        reader::{ReadRecords, tag_name},
        source::Opened,
        spans,
    },
};

const ROWS: usize = 1024;

/// The rows of a file.
pub(in crate::corpus) struct Records {
    /// `None` once they are used up or found corrupt.
    batches: Option<ParquetRecordBatchReader>,
    layout: Layout,
    batch: Option<Batch>,
    /// The next row, within the batch and within the file.
    row: usize,
    place: usize,
    stem: String,
    interpreter: Interpreter,
}

impl Records {
    pub fn new(source: &Source, opened: Opened, options: &ReadOptions) -> Result<Self, Failure> {
        let file = source.open_seekable(opened).map_err(Failure::Io)?;
        let settings = ArrowReaderOptions::new()
            // What Parquet itself says of the types is enough; the Arrow schema beside it is one more to go wrong.
            .with_skip_arrow_metadata(true)
            .with_column_stats_policy(ParquetStatisticsPolicy::SkipAll)
            .with_size_stats_policy(ParquetStatisticsPolicy::SkipAll);
        let unreadable = |why: String| Failure::Format(format!("{why}: expected a whole Parquet file"));
        let builder = decoded(|| ParquetRecordBatchReaderBuilder::try_new_with_options(file, settings));
        let builder = builder.map_err(unreadable)?;
        let layout = Layout::of(builder.schema(), options).map_err(Failure::Format)?;
        let names = match layout.tags() {
            Some(tags) if layout::is_numbered(builder.schema(), tags) => {
                tag_names(&builder, source, tags, options).map_err(Failure::Format)?
            }
            _ => Vec::new(),
        };
        let roots: Vec<usize> = layout.columns().filter_map(|name| builder.schema().index_of(name).ok()).collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
        let reader = decoded(|| builder.with_projection(mask).with_batch_size(ROWS).build()).map_err(unreadable)?;
        let interpreter =
            Interpreter { names, reading: options.reading, labels: Labels::default(), evidence: Evidence::default() };
        Ok(Self { batches: Some(reader), layout, batch: None, row: 0, place: 0, stem: source.stem(), interpreter })
    }

    /// Whether there is another batch.
    fn advance(&mut self) -> Result<bool, Failure> {
        let Some(batches) = &mut self.batches else { return Ok(false) };
        let layout = &self.layout;
        match decoded(|| batches.next().transpose().map(|batch| batch.map(|batch| Batch::of(&batch, layout)))) {
            Ok(batch) => {
                if batch.is_none() {
                    self.batches = None;
                }
                (self.batch, self.row) = (batch, 0);
                Ok(self.batch.is_some())
            }
            Err(why) => {
                (self.batches, self.batch) = (None, None);
                Err(Failure::Format(format!("{why}, after row {}: expected a whole Parquet file", self.place)))
            }
        }
    }
}

impl ReadRecords for Records {
    fn next(&mut self) -> Option<Result<(usize, Record), Failure>> {
        loop {
            if let Some(batch) = self.batch.as_ref().filter(|batch| self.row < batch.rows) {
                let (row, place) = (self.row, self.place);
                (self.row, self.place) = (row + 1, place + 1);
                let id = batch.id(row).unwrap_or_else(|| numbered(&self.stem, place));
                let record = self.interpreter.record(id, batch, row);
                return Some(record.map(|record| (place + 1, record)).map_err(|problem| problem.at(place + 1)));
            }
            match self.advance() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(failure) => return Some(Err(failure)),
            }
        }
    }

    fn evidence(&self) -> &Evidence {
        &self.interpreter.evidence
    }
}

/// Makes records of rows.
struct Interpreter {
    names: Vec<String>,
    reading: Reading,
    labels: Labels,
    evidence: Evidence,
}

impl Interpreter {
    fn record(&mut self, id: String, batch: &Batch, row: usize) -> Result<Record, LineProblem> {
        let document = batch.document(row).map(|name| self.labels.document(name));
        let record = match &batch.content {
            Values::Tokens { tokens, tags } => {
                let range =
                    tokens.row(row).ok_or_else(|| LineProblem::malformed("no tokens (null)", "a list of strings"))?;
                let words = range.clone().map(|at| match string(&tokens.elements, at) {
                    Some(word) if !word.is_empty() => Ok(word),
                    word => {
                        let which = if word.is_some() { "empty" } else { "null" };
                        let found = format!("token {} of the row is {which}", at - range.start + 1);
                        Err(LineProblem::malformed(found, "at least one character"))
                    }
                });
                let words: Vec<&str> = words.collect::<Result<_, _>>()?;
                let record = joined(id, words.into_iter())?;
                match tags {
                    Some(tags) => self.tagged(record, tags, row)?,
                    None => record,
                }
            }
            Values::Text { texts, spans } => {
                let text = string(texts, row).ok_or_else(|| LineProblem::malformed("no text (null)", "a string"))?;
                let record = Record::new(id, text);
                match spans.as_ref().and_then(|spans| Some((spans, spans.counts(row)?))) {
                    Some((spans, [starts, ends, labels])) if starts == ends && ends == labels => {
                        self.spans(record, spans.row(row))?
                    }
                    Some((_, [starts, ends, labels])) => {
                        let found = format!("{starts} starts, {ends} ends and {labels} labels");
                        return Err(LineProblem::malformed(found, "as many of each"));
                    }
                    None => record,
                }
            }
        };
        Ok(record.in_document(document))
    }

    fn tagged(&mut self, record: Record, tags: &Tags, row: usize) -> Result<Record, LineProblem> {
        let Self { names, reading, labels, evidence } = self;
        let range = match tags {
            Tags::Names(lists) => lists.row(row),
            Tags::Numbers(lists) => lists.row(row),
        };
        let Some(range) = range else { return Ok(record) };
        let tokens = record.tokens().map_or(0, <[_]>::len);
        if range.len() != tokens {
            return Err(LineProblem::TagCount { tags: range.len(), tokens });
        }
        let start = range.start;
        let null = |at: usize| LineProblem::malformed(format!("tag {} of the row is null", at - start + 1), "a tag");
        let tags: Result<Vec<Tag>, LineProblem> = match tags {
            Tags::Names(lists) => {
                let mut tag = |at| labels.tag(string(&lists.elements, at).ok_or_else(|| null(at))?, evidence);
                range.map(&mut tag).collect()
            }
            Tags::Numbers(lists) => {
                let mut tag =
                    |at: usize| labels.tag(tag_name(names, lists.elements[at].ok_or_else(|| null(at))?)?, evidence);
                range.map(&mut tag).collect()
            }
        };
        spans::of_tags(record, &tags?, *reading, evidence)
    }

    fn spans<'b>(
        &mut self,
        record: Record,
        spans: impl Iterator<Item = Option<Parts<'b>>>,
    ) -> Result<Record, LineProblem> {
        let mut labelled = Vec::new();
        {
            let offsets = Offsets::new(record.text());
            for span in spans {
                let null = || LineProblem::malformed("a span with a null", "start, end and label");
                let (start, end, label, text) = span.ok_or_else(null)?;
                let raw = RawSpan { start, end, label: label.into(), text: text.map(Into::into), score: None };
                let span = placed(record.text(), &offsets, &raw)?;
                labelled.push(LabelledSpan::new(span, self.labels.label(label)));
            }
        }
        Ok(record.with_spans(labelled)?)
    }
}

/// The names of numbered tags, or what to give.
fn tag_names(
    file: &ParquetRecordBatchReaderBuilder<File>,
    source: &Source,
    column: &str,
    options: &ReadOptions,
) -> Result<Vec<String>, String> {
    if !options.tag_names.is_empty() {
        return Ok(options.tag_names.clone());
    }
    let metadata = file.metadata().file_metadata().key_value_metadata();
    let features = metadata.into_iter().flatten().find(|entry| entry.key == FEATURES);
    if let Some(names) = features.and_then(|entry| names::in_metadata(entry.value.as_deref()?, column)) {
        return Ok(names);
    }
    let card = match source.file() {
        Some(path) => names::in_card(path, column),
        None => Err("there is no folder with a README.md".to_owned()),
    };
    card.map_err(|why| {
        format!(
            "column `{column}` has numbers, and nothing names them: the file has no names for it in its metadata, and \
             {why}; give all names in order, such as --tag-names O,B-PER,I-PER"
        )
    })
}

/// Does a step of decoding. The crate `parquet` checks much of what it reads, but still panics at some places when a
/// corrupt file breaks its assumptions. Such a panic says that the file is bad, not this program, so it becomes an
/// error. The reader is not used again.
fn decoded<T, E: Display>(step: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(step)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(panic) => Err(format!("corrupt Parquet ({})", message(&*panic))),
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}
