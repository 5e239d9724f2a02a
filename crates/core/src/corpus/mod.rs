//! Corpora: labelled texts in the formats that people have, read and written record by record.
//!
//! [`Source`] says where the bytes come from, [`Reader`] turns them into [`Record`]s, [`Fitter`] makes records fit what a
//! target can express, and [`Writer`] writes them. [`Corpus`] is the sentences of one file, all in memory, for training
//! and scoring. There is one module per [`Format`]; which one a file has is seen from its content. Offsets in files
//! count code points, end exclusive, unless the format says otherwise; here they count bytes.
//!
//! ```
//! use std::path::Path;
//! use apprentice_core::corpus::{Corpus, Format, ReadOptions, Reader, Source, WriteOptions, Writer};
//! let json = r#"{"text": "Ann Keller won in Rome.", "spans": [{"start": 0, "end": 10, "label": "PER"}]}"#;
//! let source = Source::bytes(Path::new("news.jsonl"), json);
//!
//! let corpus = Corpus::read(&source, &ReadOptions::default())?;
//! assert_eq!(corpus.sentences[0].words().collect::<Vec<_>>(), ["Ann", "Keller", "won", "in", "Rome", "."]);
//!
//! let mut out = Vec::new();
//! let mut writer = Writer::new(Format::Doccano, &mut out, &WriteOptions::default())?;
//! for record in Reader::open(&source, &ReadOptions::default())? {
//!     writer.write(&record?)?;
//! }
//! writer.finish()?;
//! let doccano = r#"{"id":"news-00000","text":"Ann Keller won in Rome.","label":[[0,10,"PER"]]}"#;
//! assert_eq!(String::from_utf8(out)?, format!("{doccano}\n"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use ahash::AHashMap;

use crate::{Evidence, Sentence};

pub mod brat;
pub mod conll;
mod detect;
mod error;
mod fit;
mod format;
mod json;
mod label_studio;
mod labels;
mod lines;
mod offsets;
mod outline;
#[cfg(feature = "parquet")]
pub mod parquet;
mod reader;
mod record;
mod sink;
mod source;
mod spans;
pub mod text;
pub mod webanno;
mod writer;

pub use error::{CorpusError, LabelMismatch, LineProblem, WriteError};
use error::{Failure, excerpt};
pub use fit::{Conflict, ConflictKind, Conflicts, Fitter, OnConflict, Refused};
pub use format::{Expresses, Format, UnknownFormat};
pub use outline::Outline;
pub use reader::{Column, ReadOptions, Reader, Reading, Unit};
pub use record::{LabelledSpan, NotASentence, Record, RecordError};
pub use sink::Sink;
pub use source::Source;
pub use writer::{Losses, WriteOptions, Writer};

#[cfg(not(feature = "parquet"))]
const NO_PARQUET: &str = "this program was built without Parquet: build it with the feature `parquet`";

fn with_tokens_of(same: &Sentence, record: Record) -> Record {
    record.with_tokens(same.tokens().to_vec()).expect("the same text has the same tokens: this is a bug")
}

fn sentence_of(record: Record) -> Sentence {
    Sentence::try_from(record).expect("a fitted record is a sentence: this is a bug")
}

/// An automatic id: `news-00017`.
fn numbered(stem: &str, number: usize) -> String {
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(number);
    let mut id = String::with_capacity(stem.len() + 1 + digits.len().max(5));
    id.push_str(stem);
    id.push('-');
    id.extend(std::iter::repeat_n('0', 5_usize.saturating_sub(digits.len())));
    id.push_str(digits);
    id
}

/// The sentences of one file; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corpus {
    /// The file, for messages.
    pub path: PathBuf,
    /// Its sentences, with ids that differ from each other.
    pub sentences: Vec<Sentence>,
    /// What its tags show about their scheme.
    pub evidence: Evidence,
    /// Which spans could not be taken as they are.
    pub conflicts: Conflicts,
    /// How many records were left out because their annotators did not accept them.
    pub skipped: usize,
}

impl Corpus {
    /// Reads a whole file. Texts without tokens are split into tokens; spans must be whole tokens apart from each other,
    /// or [`ReadOptions::on_conflict`] says what becomes of them.
    ///
    /// # Errors
    /// [`CorpusError`], always with the file and where possible with the line.
    pub fn read(source: &Source, options: &ReadOptions) -> Result<Self, CorpusError> {
        Self::read_as(source, options, |_, record| record)
    }

    /// Reads a whole file of the same texts as other sentences, which are found by id or else by place: where the file
    /// gives no tokens, the text has the tokens that it has there, and is not split.
    ///
    /// ```
    /// use std::path::Path;
    /// use apprentice_core::{Sentence, corpus::{Corpus, ReadOptions, Source}};
    /// let gold = [Sentence::from_words("a", ["Vitamin", "B12-rich", "food"])];
    /// let source = Source::bytes(Path::new("a.jsonl"), r#"{"text": "Vitamin B12-rich food", "spans": []}"#);
    /// let read = Corpus::read_with_tokens_of(&gold, &source, &ReadOptions::default())?;
    /// assert_eq!(read.sentences[0].tokens(), gold[0].tokens());
    /// # Ok::<(), apprentice_core::CorpusError>(())
    /// ```
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_with_tokens_of(
        sentences: &[Sentence],
        source: &Source,
        options: &ReadOptions,
    ) -> Result<Self, CorpusError> {
        let by_id: AHashMap<&str, &Sentence> = sentences.iter().map(|sentence| (sentence.id(), sentence)).collect();
        Self::read_as(source, options, |place, record| {
            let same = by_id.get(record.id()).copied().or_else(|| sentences.get(place));
            match same.filter(|same| record.tokens().is_none() && same.text() == record.text()) {
                Some(same) => with_tokens_of(same, record),
                None => record,
            }
        })
    }

    fn read_as(
        source: &Source,
        options: &ReadOptions,
        prepare: impl Fn(usize, Record) -> Record,
    ) -> Result<Self, CorpusError> {
        let mut reader = Reader::open(source, options)?;
        let mut fitter = Fitter::sentences(options.on_conflict);
        let mut sentences = Vec::new();
        let mut ids = AHashMap::new();
        while let Some(record) = reader.next() {
            let Some(record) = fitter.fit(prepare(ids.len(), record?)) else { continue };
            let line = reader.line();
            if let Some(first) = ids.insert(record.id().to_owned(), line) {
                let problem = LineProblem::DuplicateId { id: record.id().to_owned(), first };
                return Err(problem.at(line).within(&source.path));
            }
            sentences.push(sentence_of(record));
        }
        let refused = |refused| CorpusError::Refused { path: source.path.clone(), refused };
        let mut conflicts = fitter.finish().map_err(refused)?;
        conflicts.extend(reader.conflicts());
        if sentences.is_empty() {
            return Err(CorpusError::Empty { path: source.path.clone() });
        }
        Ok(Self {
            path: source.path.clone(),
            sentences,
            evidence: *reader.evidence(),
            conflicts,
            skipped: reader.skipped(),
        })
    }

    /// Reads bytes that stand for the file `path`.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn parse(path: &Path, bytes: impl Into<Vec<u8>>, options: &ReadOptions) -> Result<Self, CorpusError> {
        Self::read(&Source::bytes(path, bytes), options)
    }

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
