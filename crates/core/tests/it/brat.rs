use std::{fs::File, io::Write, path::PathBuf};

use apprentice_core::{
    Corpus, CorpusError, Record,
    corpus::{ConflictKind, Conflicts, OnConflict, ReadOptions, Reader, Source, Unit},
};
use proptest::prelude::*;
use tempfile::TempDir;

const TEXT: &str = "Noël 🎉 Keller won\nin Rome, or in New\nYork.";
const ANNOTATIONS: &str = "T1\tPER 0 13\tNoël 🎉 Keller
A1\tSure T1
T2\tLOC 21 25\tRome
#1\tAnnotatorNotes T2\tthe capital
T3\tLOC 33 36;37 41\tNew York
R1\tin Arg1:T1 Arg2:T2\t
T4\tLOC 33 41\tNew York
*\tEquiv T3 T4
";

/// A folder with `a.txt` and `a.ann`.
fn folder(text: &[u8], annotations: &[u8]) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.ann");
    File::create(path.with_extension("txt")).unwrap().write_all(text).unwrap();
    File::create(&path).unwrap().write_all(annotations).unwrap();
    (folder, path)
}

fn read(text: &str, annotations: &str, options: &ReadOptions) -> Result<(Vec<Record>, Conflicts), String> {
    let (_folder, path) = folder(text.as_bytes(), annotations.as_bytes());
    let mut reader = Reader::open(&Source::of(&path), options).map_err(|e| e.to_string())?;
    let records: Result<Vec<Record>, CorpusError> = reader.by_ref().collect();
    let records = records.map_err(|e| e.to_string().replace(path.to_str().unwrap(), "a.ann"))?;
    Ok((records, reader.conflicts()))
}

fn spans(record: &Record) -> Vec<(&str, &str)> {
    record.spans().unwrap().iter().map(|s| (record.surface(s.span), &*s.label)).collect()
}

fn with(on_conflict: OnConflict) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.on_conflict = on_conflict;
    options
}

#[test]
fn a_document_is_a_record() {
    let (records, conflicts) = read(TEXT, ANNOTATIONS, &ReadOptions::default()).unwrap();
    let [record] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!((record.id(), record.document().map(|d| &**d), record.text()), ("a", Some("a"), TEXT));
    let york = ("New\nYork", "LOC");
    assert_eq!(spans(record), [("Noël 🎉 Keller", "PER"), ("Rome", "LOC"), york, york]);
    assert_eq!(conflicts, Conflicts::default());
    assert_eq!(read(TEXT, "", &ReadOptions::default()).unwrap().0[0].spans(), Some(&[][..]));
    assert_eq!(read(TEXT, "T?", &ReadOptions::unlabelled()).unwrap().0[0].spans(), None);
    assert!(read(" \n", "", &ReadOptions::default()).unwrap().0.is_empty());
}

#[test]
fn documents_are_split_into_sentences() {
    let mut options = ReadOptions::default();
    options.unit = Unit::Document;
    let text = "Ann won.\nBob lost in Rome.";
    let (records, _) = read(text, "T1\tPER 9 12\tBob\nT2\tLOC 21 25\tRome\n", &options).unwrap();
    let ids: Vec<&str> = records.iter().map(Record::id).collect();
    assert_eq!(ids, ["a.0", "a.1"]);
    assert_eq!(spans(&records[1]), [("Bob", "PER"), ("Rome", "LOC")]);
}

#[test]
fn line_ends_and_marks_count() {
    let text = "\u{feff}Ann\r\nKeller in Rome";
    let annotations = "T1\tPER 1 12\tAnn  Keller\r\nT2\tLOC 16 20\tRome\r\n";
    let (records, _) = read(text, annotations, &ReadOptions::default()).unwrap();
    assert_eq!(records[0].text(), "Ann\r\nKeller in Rome");
    assert_eq!(spans(&records[0]), [("Ann\r\nKeller", "PER"), ("Rome", "LOC")]);
}

#[test]
fn annotations_may_be_compressed() {
    let (folder, _) = folder(b"Ann won", b"");
    let path = folder.path().join("a.ann.zst");
    File::create(&path).unwrap().write_all(&zstd::encode_all(&b"T1\tPER 0 3\tAnn\n"[..], 3).unwrap()).unwrap();
    let record = Reader::open(&Source::of(&path), &ReadOptions::default()).unwrap().next().unwrap().unwrap();
    assert_eq!((record.id(), spans(&record).as_slice()), ("a", &[("Ann", "PER")][..]));
}

#[test]
fn what_becomes_of_spans_in_pieces() {
    let (text, annotations) = ("Ann and Bob Keller", "T1\tPER 0 3;12 18\tAnn Keller\nT2\tPER 8 18\tBob Keller\n");
    assert_eq!(
        read(text, annotations, &ReadOptions::default()).unwrap_err(),
        "a.ann:1: `Ann Keller` (PER) is in several pieces: expected one span of text with a type; choose what happens \
         to it with --on-conflict widen, first or drop"
    );
    for (policy, expected) in [
        (OnConflict::Widen, &["Ann and Bob Keller", "Bob Keller"][..]),
        (OnConflict::First, &["Bob Keller"]),
        (OnConflict::Drop, &["Bob Keller"]),
    ] {
        let (records, conflicts) = read(text, annotations, &with(policy)).unwrap();
        let found: Vec<&str> = spans(&records[0]).into_iter().map(|(surface, _)| surface).collect();
        assert_eq!(found, expected);
        assert_eq!(conflicts.counts, [(ConflictKind::Pieces, 1)].into());
        assert_eq!(
            (conflicts.records, conflicts.first[0].to_string().as_str()),
            (1, "a: `Ann Keller` (PER) is in several pieces")
        );

        let (_folder, path) = folder(text.as_bytes(), annotations.as_bytes());
        let corpus = Corpus::read(&Source::of(&path), &with(policy)).unwrap();
        assert_eq!(corpus.conflicts.counts[&ConflictKind::Pieces], 1);
    }
}

#[test]
fn bad_lines() {
    let text = "Ann Keller won in Rome.";
    let outside = |span| {
        format!(
            "span PER at {span} does not lie in the text of 23 code points: offsets count code points, end exclusive"
        )
    };
    let entity = ": expected an entity `T1<TAB>TYPE START END<TAB>TEXT`";
    for (line, problem) in [
        ("T1 PER 0 3 Ann", format!("`T1 PER 0 3 Ann`{entity}")),
        ("T1\tPER 0 3", format!("`T1\tPER 0 3`{entity}")),
        ("T1\tPER 0 x\tAnn", format!("`T1\tPER 0 x\tAnn`{entity}")),
        ("T1\tPER 0 3;\tAnn", format!("`T1\tPER 0 3;\tAnn`{entity}")),
        ("T1\t 0 3\tAnn", format!("`T1\t 0 3\tAnn`{entity}")),
        ("Ann", "`Ann`: expected one of T, R, E, A, M, N, # and *, a number and a tab".to_owned()),
        (
            "T1\tPER 0 4\tAnn",
            "span PER at 0..4 covers \"Ann \", but says \"Ann\": offsets count code points, end exclusive (a tool that \
             counts bytes or UTF-16 units gives others)"
                .to_owned(),
        ),
        ("T1\tPER 4 99\tKeller", outside("4..99")),
        ("T1\tPER 4 4\t", outside("4..4")),
        ("T1\tPER -1 3\tAnn", outside("-1..3")),
    ] {
        let annotations = format!("T1\tLOC 18 22\tRome\n{line}\n");
        assert_eq!(read(text, &annotations, &ReadOptions::default()).unwrap_err(), format!("a.ann:2: {problem}"));
    }
}

#[test]
fn the_text_is_beside() {
    let (folder, path) = folder(b"a\nb\xff", b"");
    let message = |path: &PathBuf| {
        let error = Reader::open(&Source::of(path), &ReadOptions::default()).err().unwrap();
        error.to_string().replace(folder.path().to_str().unwrap(), "dir")
    };
    assert_eq!(message(&path), "dir/a.txt:2: byte 2 of the line is not UTF-8: expected UTF-8 text; convert the file");
    std::fs::remove_file(path.with_extension("txt")).unwrap();
    assert_eq!(message(&path), "dir/a.ann: its text is not beside it: expected dir/a.txt");

    let bytes = Source::bytes(&path, "");
    let error = Reader::open(&bytes, &ReadOptions::default()).err().unwrap().to_string();
    assert!(error.ends_with("a.ann: annotations without their text: expected a file with its .txt beside it"));
    let mut options = ReadOptions::default();
    options.format = Some(apprentice_core::corpus::Format::Brat);
    let error = Reader::open(&Source::bytes("a.txt".as_ref(), ""), &options).err().unwrap().to_string();
    assert_eq!(error, "a.txt: brat's files are given by their annotations: expected a path that ends in .ann");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_span_is_found_again(text in "[a-cé🎉\u{301} \n.]{2,40}", a in 0_usize..40, b in 0_usize..40) {
        let chars: Vec<char> = text.chars().collect();
        let (start, end) = (a.min(b).min(chars.len()), a.max(b).min(chars.len()));
        prop_assume!(start < end && !text.trim().is_empty());
        let surface: String = chars[start..end].iter().collect();
        let line = format!("T1\tX {start} {end}\t{}\n", surface.replace('\n', " "));
        let (records, _) = read(&text, &line, &ReadOptions::default()).unwrap();
        prop_assert_eq!(spans(&records[0]), [(surface.as_str(), "X")]);
    }

    #[test]
    fn no_line_panics(line in "(T1?\t?|[A-Z#*]|)[XYé]? ?[-0-9;]{0,3} ?[0-9;]{0,3} ?[0-9]{0,2}\t?[a-z\t]{0,4}") {
        for policy in [OnConflict::Error, OnConflict::Widen, OnConflict::Drop] {
            let _ = read("Ann é Keller won in Rome.", &line, &with(policy));
        }
    }
}
