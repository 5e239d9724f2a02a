use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use apprentice_core::{
    Corpus, CorpusError, Record, Scheme, Sentence, Span,
    corpus::{Column, Format, LabelledSpan, OnConflict, ReadOptions, Reader, Source, WriteError, WriteOptions, Writer},
};
use proptest::prelude::*;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parquet").join(name)
}

fn read(source: &Source, options: &ReadOptions) -> Result<Vec<Record>, CorpusError> {
    Reader::open(source, options)?.collect()
}

fn message(source: &Source, options: &ReadOptions) -> String {
    let folder = source.path.parent().unwrap().to_str().unwrap().to_owned();
    read(source, options).unwrap_err().to_string().replace(&folder, "dir")
}

fn written(records: &[Record], options: &WriteOptions) -> Vec<u8> {
    let mut file = Vec::new();
    let mut writer = Writer::new(Format::Parquet, &mut file, options).unwrap();
    for record in records {
        writer.write(record).unwrap();
    }
    writer.finish().unwrap();
    file
}

/// A record of words, with spans of words.
fn record(id: &str, words: &[&str], spans: Option<&[(usize, usize, &str)]>) -> Record {
    let sentence = Sentence::from_words(id, words);
    let bytes = |&(start, end, label): &(usize, usize, &str)| {
        LabelledSpan::new(sentence.bytes(Span::new(start, end).unwrap()), label)
    };
    let record = Record::from(&sentence);
    match spans {
        Some(spans) => record.with_spans(spans.iter().map(bytes).collect()).unwrap(),
        None => record,
    }
}

fn example() -> Vec<Record> {
    vec![
        record("a", &["Ann", "Keller", "won", "in", "Rome", "."], Some(&[(0, 2, "PER"), (4, 5, "LOC")])),
        record("arrow-00001", &["Noël", "🎉"], None),
        record("c", &[], Some(&[])),
    ]
}

fn renamed(mut records: Vec<Record>, ids: [&str; 3]) -> Vec<Record> {
    for (record, id) in records.iter_mut().zip(ids) {
        *record = record.clone().named(id);
    }
    records
}

fn columns(token: &str, tag: &str) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.token_column = Column::Name(token.to_owned());
    options.tag_column = Column::Name(tag.to_owned());
    options
}

#[test]
fn what_datasets_writes() {
    let source = Source::of(&fixture("class_label.parquet"));
    let expected = renamed(example(), ["a", "class_label-00001", "c"]);
    let mut reader = Reader::open(&source, &ReadOptions::default()).unwrap();
    assert_eq!(reader.format(), Format::Parquet);
    assert_eq!(reader.by_ref().collect::<Result<Vec<_>, _>>().unwrap(), expected);
    assert_eq!(reader.line(), 3);
    assert_eq!(reader.evidence().tags(), 3);

    let mut options = ReadOptions::default();
    options.tag_names = ["O", "B-X", "I-X", "B-Y"].map(str::to_owned).to_vec();
    let labels: Vec<_> = read(&source, &options).unwrap()[0].spans().unwrap().iter().map(|s| s.label.clone()).collect();
    assert_eq!(labels, ["X".into(), "Y".into()]);
    let plain = read(&source, &ReadOptions::unlabelled()).unwrap();
    assert_eq!(plain, expected.into_iter().map(Record::without_spans).collect::<Vec<_>>());
}

#[test]
fn texts_with_spans() {
    let records = read(&Source::of(&fixture("spans.parquet")), &ReadOptions::default()).unwrap();
    let [first, second] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!((first.id(), first.document().map(|d| &**d), second.id()), ("7", Some("news"), "8"));
    let spans: Vec<_> = first.spans().unwrap().iter().map(|s| (first.surface(s.span), &*s.label)).collect();
    assert_eq!(spans, [("Noël 🎉 Keller", "PER"), ("Rome", "LOC")]);
    assert_eq!((second.text(), second.spans(), second.document()), ("Nobody.", None, None));

    let mut options = ReadOptions::default();
    options.tag_column = Column::Name("entities".to_owned());
    let records = read(&Source::of(&fixture("spans.parquet")), &options).unwrap();
    let span = |record: &Record| record.spans().map(|spans| record.surface(spans[0].span).to_owned());
    assert_eq!((span(&records[0]), span(&records[1])), (None, Some("Nobody".to_owned())));
}

#[test]
fn other_types_and_the_names_of_the_card() {
    let source = Source::of(&fixture("arrow.parquet"));
    let expected = renamed(example(), ["arrow-00000", "arrow-00001", "arrow-00002"]);
    let mut options = ReadOptions::default();
    options.token_column = Column::Name("words".to_owned());
    assert_eq!(read(&source, &options).unwrap(), expected);
    assert_eq!(read(&source, &columns("words", "names")).unwrap(), expected);
}

#[test]
fn names_that_nothing_gives() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("data");
    fs::create_dir(&inner).unwrap();
    let path = inner.join("train.parquet");
    fs::copy(fixture("arrow.parquet"), &path).unwrap();
    let mut options = ReadOptions::default();
    options.token_column = Column::Name("words".to_owned());
    assert_eq!(
        message(&Source::of(&path), &options),
        "dir/train.parquet: column `ner_tags` has numbers, and nothing names them: the file has no names for it in its \
         metadata, and there is no README.md in its folder or the one above; give all names in order, such as \
         --tag-names O,B-PER,I-PER"
    );
    assert!(read(&Source::of(&path), &columns("words", "names")).is_ok());
    fs::copy(fixture("README.md"), folder.path().join("README.md")).unwrap();
    assert_eq!(read(&Source::of(&path), &options).unwrap().len(), 3);

    options.tag_names = vec!["O".to_owned(), "B-PER".to_owned()];
    assert_eq!(
        message(&Source::of(&path), &options),
        "dir/train.parquet:1: tag number 2, but 2 names are known: give all names in order, such as --tag-names \
         O,B-PER,I-PER"
    );
}

#[test]
fn columns_that_do_not_fit() {
    let source = Source::of(&fixture("arrow.parquet"));
    assert_eq!(
        message(&source, &ReadOptions::default()),
        "dir/arrow.parquet: the columns are `words`, `ner_tags`, `names`: expected `tokens` with `ner_tags`, or `text` \
         with `spans`; name other columns with --token-column and --tag-column"
    );
    assert_eq!(
        message(&source, &columns("words", "tags")),
        "dir/arrow.parquet: there is no column `tags`: the columns are `words`, `ner_tags`, `names`"
    );
    assert_eq!(
        message(&source, &columns("ner_tags", "names")),
        "dir/arrow.parquet: column `ner_tags` is List(UInt8, field: 'element'): expected a list of strings"
    );
    let source = Source::of(&fixture("spans.parquet"));
    assert_eq!(
        message(&source, &columns("text", "spans")),
        "dir/spans.parquet: column `text` is Utf8: expected a list of strings"
    );
}

#[test]
fn compressed_files() {
    let bytes = fs::read(fixture("class_label.parquet")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("class_label.parquet.zst");
    File::create(&path).unwrap().write_all(&zstd::encode_all(&bytes[..], 3).unwrap()).unwrap();
    let expected = renamed(example(), ["a", "class_label-00001", "c"]);
    assert_eq!(read(&Source::of(&path), &ReadOptions::default()).unwrap(), expected);
    let bytes = Source::bytes(Path::new("dir/class_label.parquet"), bytes);
    assert_eq!(read(&bytes, &ReadOptions::default()).unwrap(), expected);
}

#[test]
fn tags_are_numbered_by_type() {
    let names = |options: &WriteOptions| {
        let records = [example().remove(0), record("b", &["x"], Some(&[(0, 1, "ORG")]))];
        let file = written(&records, options);
        let source = Source::bytes(Path::new("a.parquet"), file.as_slice());
        assert_eq!(read(&source, &ReadOptions::default()).unwrap(), records);
        let text = String::from_utf8_lossy(&file).into_owned();
        let (_, names) = text.rsplit_once("\"names\":[").unwrap();
        names.split_once(']').unwrap().0.replace('"', "")
    };
    let mut options = WriteOptions::default();
    assert_eq!(names(&options), "O,B-PER,I-PER,B-LOC,I-LOC,B-ORG,I-ORG");
    options.tag_names = ["O", "B-LOC", "I-LOC", "B-PER"].map(str::to_owned).to_vec();
    assert_eq!(names(&options), "O,B-LOC,I-LOC,B-PER,I-PER,B-ORG,I-ORG");
    options.tag_names.clear();
    for (scheme, expected) in [
        (Scheme::Ioe2, "O,I-PER,E-PER,I-LOC,E-LOC,I-ORG,E-ORG"),
        (Scheme::Bilou, "O,B-PER,I-PER,L-PER,U-PER,B-LOC,I-LOC,L-LOC,U-LOC,B-ORG,I-ORG,L-ORG,U-ORG"),
        (Scheme::Io, "O,I-PER,I-LOC,I-ORG"),
    ] {
        options.scheme = scheme;
        assert_eq!(names(&options), expected);
    }
}

/// A pipe whose reader has gone.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_cannot_be_written() {
    let mut writer = Writer::new(Format::Parquet, Vec::new(), &WriteOptions::default()).unwrap();
    let error = writer.write(&record("a", &["x"], Some(&[(0, 1, "")]))).unwrap_err();
    assert_eq!(error.to_string(), "a: tags cannot express `x` without a type");

    let result =
        Writer::new(Format::Parquet, Closed, &WriteOptions::default()).and_then(|writer| writer.finish().map(drop));
    let Err(WriteError::Io(error)) = result else { panic!("{result:?}") };
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe, "{error:?}");
}

#[test]
fn many_rows() {
    let records: Vec<Record> = (0..20_000)
        .map(|n| {
            let (id, label) = (format!("s{n}"), format!("T{}", n % 50));
            let spans = [(1, 2, label.as_str())];
            record(&id, &["one", "two", "three"][..n % 2 + 2], (n % 3 > 0).then_some(&spans[..]))
        })
        .collect();
    let source = Source::bytes(Path::new("a.parquet"), written(&records, &WriteOptions::default()));
    assert_eq!(read(&source, &ReadOptions::default()).unwrap(), records);
    let corpus = Corpus::read(&source, &ReadOptions::default()).unwrap();
    assert_eq!((corpus.sentences.len(), corpus.labels().len()), (20_000, 50));
    assert!(
        read(&Source::bytes(Path::new("a.parquet"), written(&[], &WriteOptions::default())), &ReadOptions::default())
            .unwrap()
            .is_empty()
    );
}

/// Reads without an open end, whatever comes.
fn try_to_read(bytes: Vec<u8>) {
    let mut options = ReadOptions::default();
    options.format = Some(Format::Parquet);
    if let Ok(reader) = Reader::open(&Source::bytes(Path::new("a.parquet"), bytes), &options) {
        reader.take(100).for_each(drop);
    }
}

#[test]
fn truncated_files() {
    for name in ["class_label.parquet", "spans.parquet"] {
        let whole = fs::read(fixture(name)).unwrap();
        for len in 0..whole.len() {
            let mut options = ReadOptions::default();
            options.format = Some(Format::Parquet);
            let source = Source::bytes(Path::new("a.parquet"), &whole[..len]);
            let error = Reader::open(&source, &options).err().unwrap().to_string();
            assert!(error.starts_with("a.parquet: ") && error.ends_with(": expected a whole Parquet file"), "{error}");
        }
    }
}

type Spans = Vec<(usize, usize, String)>;
/// Words, spans and document.
type Parts = (Vec<String>, Option<Spans>, Option<String>);

fn sentences() -> impl Strategy<Value = Vec<Record>> {
    let word = prop_oneof!["[a-z]{1,4}", "\\PC{1,3}", "[\u{300}\u{200d}\u{a0}\n\t \"\\\\]{1,2}"];
    let label = prop_oneof!["[A-Z]{1,3}", "\\PC{1,3}", "[BIO]-[BIO]"];
    let spans = prop::option::of(prop::collection::vec((0_usize..6, 0_usize..3, label), 0..4));
    let one = (prop::collection::vec(word, 0..6), spans, prop::option::of("\\PC{1,4}"));
    prop::collection::vec(one, 0..6).prop_map(|all| {
        let one = |(n, (words, spans, document)): (usize, Parts)| {
            sentence(n, &words, spans.as_ref()).in_document(document.map(Into::into))
        };
        all.into_iter().enumerate().map(one).collect()
    })
}

/// A sentence with those of the spans that lie in it, each given by what it skips and by its length.
fn sentence(n: usize, words: &[String], spans: Option<&Spans>) -> Record {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (mut free, mut apart) = (0, Vec::new());
    for (skip, len, label) in spans.into_iter().flatten() {
        let (start, end) = (free + skip, free + skip + len + 1);
        if end <= words.len() {
            apart.push((start, end, label.as_str()));
            free = end;
        }
    }
    record(&format!("é{n}"), &words, spans.map(|_| apart.as_slice()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_written_is_read_again(records in sentences(), scheme in prop::sample::select(Scheme::ALL.to_vec())) {
        prop_assume!(scheme != Scheme::Io);
        let mut options = WriteOptions::default();
        options.scheme = scheme;
        let source = Source::bytes(Path::new("a.parquet"), written(&records, &options));
        prop_assert_eq!(read(&source, &ReadOptions::default()).unwrap(), records);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        try_to_read(bytes.clone());
        let framed = [b"PAR1", &bytes[..], &(bytes.len() as u32).to_le_bytes(), b"PAR1"].concat();
        try_to_read(framed);
    }

    #[test]
    fn no_change_panics(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        which in 0_usize..3,
    ) {
        let name = ["class_label.parquet", "spans.parquet", "arrow.parquet"][which];
        let mut bytes = fs::read(fixture(name)).unwrap();
        for (at, new) in changes {
            let at = at.index(bytes.len());
            bytes[at] = new;
        }
        try_to_read(bytes);
    }
}

#[test]
fn overlaps_do_not_get_there() {
    let overlapping = record("a", &["Ann", "B"], Some(&[(0, 2, "X"), (0, 1, "Y")]));
    let mut fitter = apprentice_core::corpus::Fitter::new(Format::Parquet.expresses(), OnConflict::First);
    let fitted = fitter.fit(overlapping).unwrap();
    assert_eq!(
        read(
            &Source::bytes(Path::new("a.parquet"), written(&[fitted], &WriteOptions::default())),
            &ReadOptions::default()
        )
        .unwrap()[0]
            .spans()
            .unwrap()
            .len(),
        1
    );
}
