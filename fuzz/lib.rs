//! What every target checks: a reader neither panics nor hangs on any bytes, and what it gives can be written and read
//! again without a change.

use std::path::Path;

use apprentice_core::corpus::{
    Fitter, Format, OnConflict, ReadOptions, Reader, Record, Source, Unit, WriteError, WriteOptions, Writer,
};

/// Reads bytes as one format, in several ways.
pub fn read(format: Format, bytes: &[u8]) {
    read_source(format, &Source::bytes(Path::new("fuzz"), bytes));
}

/// The same for a source.
pub fn read_source(format: Format, source: &Source) {
    for (labels, unit) in [(true, Unit::Sentence), (true, Unit::Document), (false, Unit::Sentence)] {
        let mut options = if labels { ReadOptions::default() } else { ReadOptions::unlabelled() };
        (options.format, options.unit, options.on_conflict) = (Some(format), unit, OnConflict::Widen);
        options.tag_names = ["O", "B-PER", "I-PER"].map(str::to_owned).to_vec();
        let Ok(reader) = Reader::open(source, &options) else { continue };
        let records: Vec<Record> = reader.filter_map(Result::ok).collect();
        assert_eq!(written(Format::Jsonl, &records), records);
        let mut fitter = Fitter::sentences(OnConflict::Widen);
        let fitted: Vec<Record> = records.into_iter().filter_map(|record| fitter.fit(record)).collect();
        for format in [Format::Conll, Format::Gliner] {
            written(format, &fitted);
        }
    }
}

/// The records as read after they were written, those left out that the format cannot express.
fn written(format: Format, records: &[Record]) -> Vec<Record> {
    let mut out = Vec::new();
    let mut writer = Writer::new(format, &mut out, &WriteOptions::default()).expect("the format has a writer");
    for record in records {
        match writer.write(record) {
            Ok(()) | Err(WriteError::Record { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    writer.finish().expect("memory takes everything");
    let mut options = ReadOptions::default();
    options.format = Some(format);
    let reader = Reader::open(&Source::bytes(Path::new("fuzz"), out), &options).expect("what was written is readable");
    reader.map(|record| record.expect("what was written is readable")).collect()
}
