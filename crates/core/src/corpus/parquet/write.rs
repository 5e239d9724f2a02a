//! Writing records as rows.

use std::{io, sync::Arc};

use ::parquet::{
    arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions},
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::{metadata::KeyValue, properties::WriterProperties},
};
use ahash::AHashMap;
use arrow_array::{
    ArrayRef, RecordBatch,
    builder::{Int64Builder, ListBuilder, StringBuilder},
};
use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};
use serde_json::json;

use super::FEATURES;
use crate::{
    Scheme, Tag,
    corpus::{
        Losses, Record, WriteError, WriteOptions,
        writer::{WriteRecords, tags_of},
    },
};

/// How many rows, or bytes of text, are encoded at a time.
const ROWS: usize = 8192;
const BYTES: usize = 1 << 23;
/// The size of a row group, which is all that is held in memory.
const GROUP_ROWS: usize = 1 << 16;
const GROUP_BYTES: usize = 1 << 26;

/// Writes a file for `datasets`; its names of tags come last, when all are known.
pub(in crate::corpus) struct ParquetWriter<W: io::Write + Send> {
    file: ArrowWriter<W>,
    schema: SchemaRef,
    scheme: Scheme,
    names: Names,
    rows: Rows,
    tags: Vec<Tag>,
}

impl<W: io::Write + Send> ParquetWriter<W> {
    pub fn new(out: W, options: &WriteOptions) -> Result<Self, WriteError> {
        let fields = [
            ("id", DataType::Utf8),
            ("document", DataType::Utf8),
            ("tokens", DataType::List(element(DataType::Utf8))),
            ("ner_tags", DataType::List(element(DataType::Int64))),
        ];
        // `datasets` has every column nullable; with another schema it would not take the names.
        let fields: Vec<Field> = fields.into_iter().map(|(name, kind)| Field::new(name, kind, true)).collect();
        let schema = Arc::new(Schema::new(fields));
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(concat!("apprentice ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_max_row_group_bytes(Some(GROUP_BYTES))
            .build();
        // Where there is an Arrow schema, pyarrow takes the metadata from there, and it is made before names are known.
        let settings = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let file = ArrowWriter::try_new_with_options(out, schema.clone(), settings).map_err(failed)?;
        let (scheme, names) = (options.scheme, Names::new(&options.tag_names));
        Ok(Self { file, schema, scheme, names, rows: Rows::new(), tags: Vec::new() })
    }

    /// Encodes the rows at hand.
    fn encode(&mut self) -> Result<(), WriteError> {
        let columns = self.rows.take();
        let batch = RecordBatch::try_new(self.schema.clone(), columns).expect("columns of the schema: this is a bug");
        self.file.write(&batch).map_err(failed)
    }
}

impl<W: io::Write + Send> WriteRecords for ParquetWriter<W> {
    fn write(&mut self, record: &Record, _: &mut Losses) -> Result<(), WriteError> {
        check(record)?;
        let numbers: Option<Vec<i64>> = record.spans().map(|_| {
            tags_of(record, self.scheme, &mut self.tags);
            self.tags.iter().map(|tag| self.names.number(tag, self.scheme)).collect()
        });
        self.rows.push(record, numbers.as_deref());
        if self.rows.len >= ROWS || self.rows.bytes >= BYTES { self.encode() } else { Ok(()) }
    }

    fn finish(mut self: Box<Self>) -> Result<(), WriteError> {
        if self.rows.len > 0 {
            self.encode()?;
        }
        self.file.append_key_value_metadata(KeyValue::new(FEATURES.to_owned(), self.names.features()));
        self.file.finish().map_err(failed)?;
        Ok(self.file.sync()?)
    }
}

/// Rows that are not yet encoded.
struct Rows {
    len: usize,
    bytes: usize,
    ids: StringBuilder,
    documents: StringBuilder,
    tokens: ListBuilder<StringBuilder>,
    tags: ListBuilder<Int64Builder>,
}

impl Rows {
    fn new() -> Self {
        Self {
            len: 0,
            bytes: 0,
            ids: StringBuilder::new(),
            documents: StringBuilder::new(),
            tokens: ListBuilder::new(StringBuilder::new()).with_field(element(DataType::Utf8)),
            tags: ListBuilder::new(Int64Builder::new()).with_field(element(DataType::Int64)),
        }
    }

    fn push(&mut self, record: &Record, tags: Option<&[i64]>) {
        self.ids.append_value(record.id());
        self.documents.append_option(record.document());
        for token in record.tokens().unwrap_or_default() {
            self.tokens.values().append_value(record.surface(*token));
        }
        self.tokens.append(true);
        self.tags.values().append_slice(tags.unwrap_or_default());
        self.tags.append(tags.is_some());
        self.len += 1;
        self.bytes += size(record);
    }

    fn take(&mut self) -> Vec<ArrayRef> {
        let Self { mut ids, mut documents, mut tokens, mut tags, .. } = std::mem::replace(self, Self::new());
        let (tokens, tags) = (tokens.finish(), tags.finish());
        vec![Arc::new(ids.finish()), Arc::new(documents.finish()), Arc::new(tokens), Arc::new(tags)]
    }
}

/// The numbers of tags.
struct Names {
    names: Vec<String>,
    numbers: AHashMap<Tag, i64>,
}

impl Names {
    fn new(given: &[String]) -> Self {
        let mut names = Self { names: given.to_vec(), numbers: AHashMap::new() };
        for (number, name) in (0..).zip(given) {
            if let Ok(tag) = name.parse() {
                names.numbers.entry(tag).or_insert(number);
            }
        }
        names.add(Tag::Outside, "O".to_owned());
        names
    }

    fn add(&mut self, tag: Tag, name: String) {
        let next = self.names.len();
        self.numbers.entry(tag).or_insert_with(|| {
            self.names.push(name);
            i64::try_from(next).expect("so many names do not fit in memory: this is a bug")
        });
    }

    /// The number of a tag. One of a new type gets one with all other tags of the type, so that files with the same
    /// types in the same order number them alike.
    fn number(&mut self, tag: &Tag, scheme: Scheme) -> i64 {
        if let Some(&number) = self.numbers.get(tag) {
            return number;
        }
        if let Some(label) = tag.label() {
            for tag in scheme.tags_of(label) {
                let name = tag.in_scheme(scheme).to_string();
                self.add(tag, name);
            }
        }
        self.numbers[tag]
    }

    /// The types of the columns, as `datasets` keeps them. Of all its versions, `Sequence` is understood.
    fn features(&self) -> String {
        let string = json!({"dtype": "string", "_type": "Value"});
        let list = |feature| json!({"feature": feature, "_type": "Sequence"});
        let features = json!({
            "id": string,
            "document": string,
            "tokens": list(string.clone()),
            "ner_tags": list(json!({"names": self.names, "_type": "ClassLabel"})),
        });
        json!({"info": {"features": features}}).to_string()
    }
}

/// The elements of a list, called as Parquet has it.
fn element(kind: DataType) -> FieldRef {
    Arc::new(Field::new("element", kind, true))
}

fn size(record: &Record) -> usize {
    record.text().len() + record.id().len() + record.document().map_or(0, |name| name.len())
}

fn check(record: &Record) -> Result<(), WriteError> {
    // Offsets within a batch have 32 bits.
    if size(record) > (1 << 30) {
        let why = "Parquet cannot express it: it has more than 1 GiB of text".to_owned();
        return Err(WriteError::Record { id: record.id().to_owned(), why });
    }
    Ok(())
}

/// What the crate says, or what the system said to it.
fn failed(error: ParquetError) -> WriteError {
    WriteError::Io(match error {
        ParquetError::External(error) => match error.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(error) => io::Error::other(error),
        },
        other => io::Error::other(other),
    })
}
