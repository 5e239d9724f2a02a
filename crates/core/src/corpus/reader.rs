//! Reading records, whatever the format.

use std::{fmt, path::PathBuf, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{
    Conflicts, CorpusError, Failure, Format, LineProblem, OnConflict, Record, Source, brat, conll, detect, json,
    source::Opened, text, webanno,
};
use crate::{Evidence, Scheme};

/// How tags become entities.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reading {
    /// By [`tags::decode_lenient`](crate::tags::decode_lenient), whatever the scheme.
    #[default]
    Lenient,
    /// By [`tags::decode_strict`](crate::tags::decode_strict): what does not follow the scheme is no entity, for scoring
    /// as [`crate::metrics::strict`] does.
    Strict(Scheme),
    /// A tag that the scheme does not have at its place is an error.
    Checked(Scheme),
}

/// One column of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Column {
    /// Its place from 1, or if negative from the end: -1 is the last.
    Place(i32),
    /// Its name in the header: a comment `# global.columns = …` or the first row.
    Name(String),
}

impl FromStr for Column {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(0) => Err("columns are counted from 1, or from -1 at the end".to_owned()),
            Ok(place) => Ok(Self::Place(place)),
            Err(_) if text.is_empty() => Err("expected a column's name or number".to_owned()),
            Err(_) => Ok(Self::Name(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Column {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Column> for String {
    fn from(column: Column) -> Self {
        column.to_string()
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Place(place) => write!(f, "{place}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// What one text of a file is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// A sentence: it stays as it is.
    #[default]
    Sentence,
    /// A document: it is split into sentences, named `ID.0`, `ID.1`, … of the document `ID`. Where a labelled span would
    /// be cut, there is no split.
    Document,
    /// The whole file is one document; for plain text only.
    File,
}

impl Unit {
    /// The names of the units.
    pub const NAMES: [&str; 3] = ["sentence", "document", "file"];
}

impl FromStr for Unit {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Ok(match name {
            "sentence" => Self::Sentence,
            "document" => Self::Document,
            "file" => Self::File,
            _ => return Err(format!("`{name}` is not a unit: expected one of {}", Self::NAMES.join(", "))),
        })
    }
}

/// How to read a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct ReadOptions {
    /// The format; seen from the content if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// How tags become entities.
    pub reading: Reading,
    /// Whether labels are read. If not, records are unlabelled, columns need no tag, and tags are not looked at.
    pub labels: bool,
    /// The column of the token in files of columns; in Parquet by name.
    pub token_column: Column,
    /// The column of the tag in files of columns; in Parquet by name, in WebAnno's TSV as `LAYER.feature`.
    pub tag_column: Column,
    /// The names of tags given as numbers, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tag_names: Vec<String>,
    /// What one text is.
    pub unit: Unit,
    /// What becomes of spans that cannot be entities of tokens, where sentences are read, and of spans that no record
    /// can hold.
    pub on_conflict: OnConflict,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            format: None,
            reading: Reading::default(),
            labels: true,
            token_column: Column::Place(1),
            tag_column: Column::Place(-1),
            tag_names: Vec::new(),
            unit: Unit::default(),
            on_conflict: OnConflict::default(),
        }
    }
}

impl ReadOptions {
    /// For a file whose tags are to be read in this way.
    #[must_use]
    pub fn with_reading(reading: Reading) -> Self {
        Self { reading, ..Self::default() }
    }

    /// For the texts only, whether there are labels or not.
    #[must_use]
    pub fn unlabelled() -> Self {
        Self { labels: false, ..Self::default() }
    }
}

/// What every format's reader does.
pub(super) trait ReadRecords: Send {
    /// The next record with its line (or row) from 1. After a faulty one, the next call goes on behind it.
    fn next(&mut self) -> Option<Result<(usize, Record), Failure>>;

    /// What the tags so far show about their scheme.
    fn evidence(&self) -> &Evidence;

    /// How many records were left out because their annotators did not accept them.
    fn skipped(&self) -> usize {
        0
    }

    /// Spans that no record can hold, and what became of them.
    fn conflicts(&self) -> Option<&Conflicts> {
        None
    }
}

/// The records of one source, one after the other. A faulty record is an error, and reading can go on behind it.
pub struct Reader {
    path: PathBuf,
    format: Format,
    line: usize,
    records: Box<dyn ReadRecords>,
}

impl Reader {
    /// Opens a source and finds out its format.
    ///
    /// # Errors
    /// [`CorpusError`], with the file.
    pub fn open(source: &Source, options: &ReadOptions) -> Result<Self, CorpusError> {
        let io = |source_error| CorpusError::Io { path: source.path.clone(), source: source_error };
        let opened = source.open().map_err(io)?;
        let format = detect::format(source, &opened.head, options)?;
        if (format == Format::Conll && options.unit != Unit::Sentence)
            || (format != Format::Text && options.unit == Unit::File)
        {
            let why = format!(
                "its texts cannot be of the unit that was asked for: in {format} they are {}",
                match format {
                    Format::Conll => "sentences",
                    _ => "sentences or documents",
                }
            );
            return Err(CorpusError::Format { path: source.path.clone(), why });
        }
        let records = records(source, opened, format, options)?;
        let records = if options.unit != Unit::Sentence && format != Format::Conll {
            Box::new(text::Sentences::of(records))
        } else {
            records
        };
        Ok(Self { path: source.path.clone(), format, line: 0, records })
    }

    /// The format of the file.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// The line of the last record, from 1; in Parquet its row.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }

    /// What the tags so far show about their scheme; nothing in formats without tags.
    #[must_use]
    pub fn evidence(&self) -> &Evidence {
        self.records.evidence()
    }

    /// How many records were left out because their annotators did not accept them.
    #[must_use]
    pub fn skipped(&self) -> usize {
        self.records.skipped()
    }

    /// The spans so far that no record can hold, such as those in several pieces; what became of them says
    /// [`ReadOptions::on_conflict`].
    #[must_use]
    pub fn conflicts(&self) -> Conflicts {
        self.records.conflicts().cloned().unwrap_or_default()
    }
}

impl Iterator for Reader {
    type Item = Result<Record, CorpusError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.records.next()? {
            Ok((line, record)) => {
                self.line = line;
                Some(Ok(record))
            }
            Err(failure) => Some(Err(failure.within(&self.path))),
        }
    }
}

fn records(
    source: &Source,
    opened: Opened,
    format: Format,
    options: &ReadOptions,
) -> Result<Box<dyn ReadRecords>, CorpusError> {
    let within = |failure: Failure| failure.within(&source.path);
    Ok(match format {
        Format::Conll => Box::new(conll::Records::new(source.stem(), opened, options).map_err(within)?),
        Format::Text => Box::new(text::Records::new(source.stem(), opened.stream, options.unit)),
        Format::Webanno => Box::new(webanno::Records::new(source.stem(), opened.stream, options).map_err(within)?),
        Format::Brat => Box::new(brat::Records::new(source, opened.stream, options)?),
        #[cfg(feature = "parquet")]
        Format::Parquet => Box::new(super::parquet::Records::new(source, opened, options).map_err(within)?),
        #[cfg(not(feature = "parquet"))]
        Format::Parquet => return Err(within(Failure::Format(super::NO_PARQUET.to_owned()))),
        _ => Box::new(json::Records::new(source.stem(), opened, options)),
    })
}

/// Tags by number.
pub(super) fn tag_name(names: &[String], number: i64) -> Result<&str, LineProblem> {
    let name = usize::try_from(number).ok().and_then(|number| names.get(number));
    name.map(String::as_str).ok_or(LineProblem::TagNumber { number, names: names.len() })
}
