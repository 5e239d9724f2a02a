//! Parquet as the Hugging Face library `datasets` writes and reads it.
//!
//! | columns | types |
//! |---|---|
//! | `tokens`, `ner_tags` (or `tags`, `labels`) | list of strings; list of numbers or strings |
//! | `text`, `spans` (or `entities`) | string; list of structs (or struct of lists) of `start`, `end` and `label` |
//! | `id`, `document`; both may be missing | string or number; string |
//!
//! Offsets count code points, end exclusive. Other columns of words and labels are chosen by their names with
//! [`ReadOptions::token_column`](super::ReadOptions) and `tag_column`; what is in no such column is not carried over.
//! Where the list of labels is null, or there is none, the record is unlabelled. A record without an `id` is called by
//! the file's stem and its row from 0, `train-00017`; the row counts from 1 in messages.
//!
//! Tags that are numbers need names. They come from the options, or else from the file's metadata (`huggingface`, a
//! `ClassLabel`), or else from the dataset card: a `README.md` in the file's folder or the one above, whose front
//! matter lists them.
//!
//! Rows are read in batches, so that memory is that of a page of each column and not of the file. What is no plain file
//! (standard input, `.gz`, `.zst`) is copied to a temporary one first.
//!
//! What is written has the columns `id`, `document`, `tokens` and `ner_tags`, the latter a `ClassLabel` whose names are
//! `O` and then, for each entity type in order of appearance, its tags. `datasets` takes the names of the first file
//! for all files that are loaded together: give all the same with [`WriteOptions::tag_names`](super::WriteOptions).
//!
//! ```
//! use std::path::Path;
//! use apprentice_core::corpus::{Corpus, Format, ReadOptions, Record, Source, WriteOptions, Writer};
//! let options = ReadOptions::default();
//! let corpus = Corpus::parse(Path::new("news.conll"), "Ann B-PER\nKeller I-PER\nwon O\n", &options)?;
//!
//! let mut file = Vec::new();
//! let mut writer = Writer::new(Format::Parquet, &mut file, &WriteOptions::default())?;
//! writer.write(&Record::from(&corpus.sentences[0]))?;
//! writer.finish()?;
//! assert!(file.starts_with(b"PAR1"));
//!
//! let again = Corpus::read(&Source::bytes(Path::new("news.parquet"), file), &options)?;
//! assert_eq!(again.sentences, corpus.sentences);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod batch;
mod layout;
mod names;
mod read;
mod write;

pub(super) use read::Records;
pub(super) use write::ParquetWriter;

/// The key of the file's metadata under which `datasets` keeps the types of the columns.
const FEATURES: &str = "huggingface";
