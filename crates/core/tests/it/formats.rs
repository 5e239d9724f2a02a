//! The law of conversions: what the target can express survives, whatever the text.

use std::path::Path;

use apprentice_core::{
    Confidence, Span,
    corpus::{
        ConflictKind, Fitter, Format, LabelledSpan, OnConflict, ReadOptions, Reader, Record, Source, Unit,
        WriteOptions, Writer,
    },
};
use proptest::prelude::*;

fn read(format: Option<Format>, bytes: &[u8]) -> Result<Vec<Record>, String> {
    let options = options(format);
    let reader = Reader::open(&Source::bytes(Path::new("x"), bytes), &options).map_err(|e| e.to_string())?;
    reader.map(|record| record.map_err(|e| e.to_string())).collect()
}

fn options(format: Option<Format>) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.format = format;
    options
}

fn write(format: Format, records: &[Record]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::new(format, &mut out, &WriteOptions::default()).unwrap();
    for record in records {
        writer.write(record).unwrap();
    }
    writer.finish().unwrap();
    out
}

/// Texts with what is hard: combining marks, emoji, right-to-left, CJK without spaces, NUL, no-break spaces.
fn text() -> impl Strategy<Value = String> {
    let pieces = [
        "Ann",
        "Keller's",
        " ",
        "  ",
        ".",
        "e\u{301}",
        "👩‍👩‍👧",
        "🎉",
        "שלום",
        "\u{202e}",
        "東京都",
        "\u{0}",
        "\u{a0}",
        "\u{2028}",
        "\"",
        "\\",
        "{",
        "#",
        "-DOCSTART-",
        "Ünïcode",
        "\u{feff}",
        "O",
    ];
    prop_oneof![
        3 => prop::collection::vec(prop::sample::select(pieces.to_vec()), 1..14).prop_map(|pieces| pieces.concat()),
        1 => "\\PC{1,30}",
    ]
}

/// A record with tokens cut at random places, or without tokens, and spans of any bytes.
fn record() -> impl Strategy<Value = Record> {
    let cuts = prop::collection::vec(any::<prop::sample::Index>(), 0..12);
    let confidence = prop::option::of((0.0..=1.0).prop_map(|share| Confidence::new(share).unwrap()));
    let span = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), "[A-Z]{1,3}", confidence);
    let spans = prop::collection::vec(span, 0..5);
    let flags = (any::<bool>(), any::<bool>(), prop::option::of("d [0-9]"));
    (text(), cuts, spans, flags).prop_map(|(text, cuts, spans, (tokenised, labelled, document))| {
        let bounds: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| bounds[cut.index(bounds.len())]).collect();
        cuts.sort_unstable();
        cuts.dedup();
        let mut record = Record::new("s", text.clone()).in_document(document.map(Into::into));
        if tokenised {
            let solid = |span: &Span| !text[span.range()].contains([' ', '\t']);
            let tokens = cuts.array_windows().filter_map(|[a, b]| Span::new(*a, *b)).filter(solid).collect();
            record = record.with_tokens(tokens).unwrap();
        }
        if labelled {
            let span = |(a, b, label, confidence): (prop::sample::Index, prop::sample::Index, String, _)| {
                let (a, b) = (bounds[a.index(bounds.len())], bounds[b.index(bounds.len())]);
                Some(LabelledSpan { confidence, ..LabelledSpan::new(Span::new(a.min(b), a.max(b))?, label) })
            };
            record = record.with_spans(spans.into_iter().filter_map(span).collect()).unwrap();
        }
        record
    })
}

fn named(records: Vec<Record>) -> Vec<Record> {
    records.into_iter().enumerate().map(|(number, record)| record.named(format!("r {number}"))).collect()
}

/// What a format can express of a record.
fn expressible(record: &Record, format: Format) -> Record {
    let expresses = format.expresses();
    let (tokens, spans) = (record.tokens().map(<[Span]>::to_vec), record.spans().map(<[LabelledSpan]>::to_vec));
    let mut kept = Record::new(record.id(), record.text()).in_document(record.document().cloned());
    if expresses.tokens
        && let Some(tokens) = tokens
    {
        kept = kept.with_tokens(tokens).unwrap();
    }
    if let Some(mut spans) = spans {
        if !expresses.confidences {
            for span in &mut spans {
                span.confidence = None;
            }
        }
        kept = kept.with_spans(spans).unwrap();
    }
    kept
}

proptest! {
    #[test]
    fn what_json_can_express_survives_any_chain(records in prop::collection::vec(record(), 1..5)) {
        let records = named(records);
        for format in [Format::Jsonl, Format::Doccano, Format::Entities, Format::LabelStudio] {
            let expected: Vec<Record> = records.iter().map(|r| expressible(r, format)).collect();
            let written = write(format, &records);
            prop_assert_eq!(read(Some(format), &written).unwrap(), expected.clone(), "{}", format);
            // Seen from the content, too, and after a second format.
            prop_assert_eq!(&read(None, &written).unwrap(), &expected, "{}", format);
            let chained = read(None, &write(Format::Jsonl, &expected)).unwrap();
            prop_assert_eq!(chained, expected, "{} and jsonl", format);
        }
    }

    #[test]
    fn what_tokens_can_express_survives(records in prop::collection::vec(record(), 1..5), policy in policies()) {
        for format in [Format::Conll, Format::Hf, Format::Gliner] {
            let mut fitter = Fitter::new(format.expresses(), policy);
            let fitted: Vec<Record> = named(records.clone()).into_iter().filter_map(|r| fitter.fit(r)).collect();
            let mut out = Vec::new();
            let mut writer = Writer::new(format, &mut out, &WriteOptions::default()).unwrap();
            let written: Vec<&Record> = fitted.iter().filter(|r| writer.write(r).is_ok()).collect();
            let lost = writer.finish().unwrap();
            let found = read(Some(format), &out).unwrap();
            prop_assert_eq!(found.len(), written.len());
            let mut respaced = 0;
            for (found, written) in found.iter().zip(written) {
                prop_assert_eq!(found.id(), written.id());
                // In columns a document ends only where another starts.
                if format != Format::Conll || written.document().is_some() {
                    prop_assert_eq!(found.document(), written.document());
                }
                respaced += usize::from(found.text() != written.text());
                let words = |r: &Record| r.tokens().unwrap().iter().map(|t| r.surface(*t).to_owned()).collect::<Vec<_>>();
                prop_assert_eq!(words(found), words(written), "{}", format);
                prop_assert_eq!(token_spans(found), token_spans(written), "{}", format);
            }
            prop_assert_eq!(respaced, lost.spacing);
        }
    }

    #[test]
    fn a_fitted_record_has_whole_tokens_apart_and_its_text(record in record(), policy in policies()) {
        let mut fitter = Fitter::sentences(policy);
        let before = record.clone();
        let Some(fitted) = fitter.fit(record) else {
            prop_assert_eq!(policy, OnConflict::Error);
            prop_assert!(fitter.finish().is_err());
            return Ok(());
        };
        prop_assert_eq!(fitted.text(), before.text());
        let spans = fitted.spans().unwrap_or_default();
        prop_assert!(spans.array_windows().all(|[a, b]| a.span.end() <= b.span.start()));
        prop_assert_eq!(token_spans(&fitted).len(), spans.len());
        let conflicts = fitter.finish().unwrap();
        if conflicts.total() == 0 && !conflicts.counts.contains_key(&ConflictKind::Duplicate) {
            prop_assert_eq!(fitted.spans(), before.spans());
        }
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..60), json in "[\\[{}\":,a-z0-9\\]]{0,60}") {
        for format in Format::ALL.into_iter().map(Some).chain([None]) {
            let _ = read(format, &bytes);
            let _ = read(format, json.as_bytes());
        }
    }
}

fn policies() -> impl Strategy<Value = OnConflict> {
    prop::sample::select(vec![OnConflict::Error, OnConflict::Widen, OnConflict::First, OnConflict::Drop])
}

/// The spans as first and last token.
fn token_spans(record: &Record) -> Vec<(usize, usize, String)> {
    let tokens = record.tokens().unwrap();
    let whole = |s: &LabelledSpan| {
        let first = tokens.iter().position(|t| t.start() == s.span.start())?;
        let last = tokens.iter().position(|t| t.end() == s.span.end())?;
        Some((first, last, s.label.to_string()))
    };
    record.spans().unwrap_or_default().iter().filter_map(whole).collect()
}

fn one(json: &str) -> Result<Record, String> {
    read(None, json.as_bytes()).map(|mut records| records.pop().unwrap())
}

#[test]
fn every_dialect_gives_the_same_record() {
    let text = "🎉 Ann Keller won in Rome.";
    let expected =
        one(&format!(r#"{{"id":"a","text":"{text}","spans":[{{"start":2,"end":12,"label":"PER"}}]}}"#)).unwrap();
    assert_eq!(expected.surface(expected.spans().unwrap()[0].span), "Ann Keller");
    for same in [
        r#""label":[[2,12,"PER"]]"#,
        r#""labels":[[2,12,"PER"]]"#,
        r#""entities":[[2,12,"PER"]]"#,
        r#""entities":[{"start":2,"end":12,"label":"PER","text":"Ann Keller","from":"me"}]"#,
        r#""entities":[{"id":1,"start_offset":2,"end_offset":12,"label":"PER"}],"relations":[]"#,
        r#""spans":[{"start":2,"end":12,"label":"PER","token_start":1}],"answer":"accept","meta":{"a":[1]}"#,
    ] {
        assert_eq!(one(&format!(r#"{{"id":"a","text":"{text}",{same}}}"#)).unwrap(), expected, "{same}");
    }
    let sure = one(r#"{"id":"a","text":"Ann","spans":[{"start":0,"end":3,"label":"PER","score":0.75}]}"#).unwrap();
    assert_eq!(sure.spans().unwrap()[0].confidence, Some(Confidence::new(0.75).unwrap()));
    for (score, expected) in
        [("1.0000001", Confidence::new(1.0).ok()), ("97.5", None), ("\"high\"", None), ("null", None)]
    {
        let span = format!(r#"{{"start":0,"end":3,"label":"PER","score":{score}}}"#);
        let record = one(&format!(r#"{{"id":"a","text":"Ann","spans":[{span}]}}"#)).unwrap();
        assert_eq!(record.spans().unwrap()[0].confidence, expected, "{score}");
    }
    let region = r#"{"type":"labels","value":{"start":START,"end":END,"text":"Ann Keller","labels":["PER"]}}"#;
    for (start, end) in [("2", "12"), ("3", "13")] {
        let region = region.replace("START", start).replace("END", end);
        let task =
            format!(r#"[{{"id":7,"data":{{"text":"{text}","id":"a"}},"annotations":[{{"result":[{region}]}}]}}]"#);
        assert_eq!(one(&task).unwrap(), expected, "{task}");
    }

    let hf = one(r#"{"id":3,"tokens":["Ann","Keller","won"],"ner_tags":["B-PER","I-PER","O"]}"#).unwrap();
    assert_eq!((hf.id(), hf.text(), hf.spans().unwrap().len()), ("3", "Ann Keller won", 1));
    let gliner = one(r#"{"id":"3","tokenized_text":["Ann","Keller","won"],"ner":[[0,1,"PER"]]}"#).unwrap();
    assert_eq!(gliner, hf);
    let bare = one(r#"{"id":"3","tokens":["Ann","Keller","won"],"tags":["PER","PER","O"]}"#).unwrap();
    assert_eq!(bare, hf);
    let mut numbered = options(None);
    numbered.tag_names = ["O", "B-PER", "I-PER"].map(str::to_owned).to_vec();
    let source = Source::bytes(Path::new("x"), r#"{"id":3,"tokens":["Ann","Keller","won"],"ner_tags":[1,2,0]}"#);
    assert_eq!(Reader::open(&source, &numbered).unwrap().next().unwrap().unwrap(), hf);
}

#[test]
fn arrays_lines_and_blanks() {
    let values = [r#"{"text":"a"}"#, r#"{"text":"]}\"\\"}"#];
    let expected = read(None, values.join("\n").as_bytes()).unwrap();
    assert_eq!(expected.iter().map(Record::text).collect::<Vec<_>>(), ["a", "]}\"\\"]);
    assert_eq!(expected[0].id(), "x-00000");
    assert_eq!(expected[0].spans(), None);
    for same in ["\u{feff}[A,B]", "[\n  A ,\n\n B\n]\n", "A\r\n\r\n B \n\n"] {
        let text = same.replace('A', values[0]).replace('B', values[1]);
        assert_eq!(read(None, text.as_bytes()).unwrap(), expected, "{same}");
    }
    assert_eq!(read(None, b"[]").unwrap(), []);
    let open = Reader::open(
        &Source::bytes(Path::new("x"), "[\n{\"text\":\n\"a\"},\n{\"text\":1},{\"text\":\"b\"}"),
        &options(None),
    );
    let mut reader = open.unwrap();
    assert_eq!(reader.next().unwrap().unwrap().text(), "a");
    assert_eq!(reader.line(), 2);
    assert!(reader.next().unwrap().unwrap_err().to_string().starts_with("x:4: invalid type: integer `1`"));
    assert_eq!(
        reader.next().unwrap().unwrap_err().to_string(),
        "x:4: the array does not end: expected `]`; the file may have been cut off"
    );
    assert!(reader.next().is_none());
}

#[test]
fn faulty_json_is_named() {
    let error = |json: &str| one(json).unwrap_err();
    for (json, expected) in [
        (r#"{"text":"#, "x:1: EOF while parsing a value (column 8): expected one JSON object a line"),
        (
            r#"{"text":"Ann","spans":[{"start":0,"end":4,"label":"PER"}]}"#,
            "span PER at 0..4 does not lie in the text of 3 code points",
        ),
        (r#"{"text":"Ann","spans":[{"start":2,"end":2,"label":"PER"}]}"#, "span PER at 2..2"),
        (r#"{"text":"Ann","spans":[{"start":-1,"end":2,"label":"PER"}]}"#, "span PER at -1..2"),
        (
            r#"{"text":"é Ann","entities":[{"start":3,"end":6,"label":"PER","text":"Ann"}]}"#,
            "span PER at 3..6 does not lie in the text of 5",
        ),
        (
            r#"{"text":"é Ann!","entities":[{"start":3,"end":6,"label":"PER","text":"Ann"}]}"#,
            "span PER at 3..6 covers \"nn!\", but says \"Ann\": offsets count code points",
        ),
        (r#"{"text":"Ann","label":"positive"}"#, "invalid type: string \"positive\", expected a sequence"),
        (r#"{"text":"Ann","label":["PER"]}"#, "`PER` among the spans: expected start, end and label"),
        (r#"{"text":"Ann","spans":[],"entities":[]}"#, "several of `spans`, `label`"),
        (r#"{"words":["Ann"]}"#, "there is no key `text`"),
        (r#"{"tokens":["Ann"],"ner_tags":["O","O"]}"#, "2 tags for 1 tokens"),
        (r#"{"tokens":["Ann"],"ner_tags":[1]}"#, "tag number 1, but 0 names are known: give all names in order"),
        (r#"{"tokens":["Ann",""],"ner_tags":["O","O"]}"#, "the first column is empty"),
        (
            r#"{"tokenized_text":["Ann"],"ner":[[0,1,"PER"]]}"#,
            "span PER of tokens 0 to 1: expected first and last of the 1",
        ),
        (r#"{"text":"Ann","tokens":["Bob"]}"#, "token \"Bob\""),
        (r#"{"text":"\ud800"}"#, "unexpected end of hex escape"),
    ] {
        let found = error(json);
        assert!(found.contains(expected), "{json}: {found}");
    }
    let deep = format!("{{\"data\":{{\"text\":\"a\",\"meta\":{}", "[".repeat(100_000));
    assert!(error(&deep).contains("recursion limit"));
}

#[test]
fn what_annotators_did_not_accept_is_skipped_and_counted() {
    let json = "{\"text\":\"a\",\"answer\":\"reject\"}\n{\"text\":\"b\",\"answer\":\"accept\"}\n";
    let mut reader = Reader::open(&Source::bytes(Path::new("x"), json), &options(None)).unwrap();
    let kept: Vec<String> = reader.by_ref().map(|r| r.unwrap().text().to_owned()).collect();
    assert_eq!((kept, reader.skipped()), (vec!["b".to_owned()], 1));
    let task = r#"[{"data":{"text":"a"},"annotations":[{"was_cancelled":true,"result":[]}]}]"#;
    let mut reader = Reader::open(&Source::bytes(Path::new("x"), task), &options(None)).unwrap();
    assert!(reader.next().is_none());
    assert_eq!(reader.skipped(), 1);
}

#[test]
fn policies_do_what_they_say() {
    let record = || {
        let spans = [(0, 7, "X"), (4, 10, "Y"), (11, 14, "Z"), (11, 14, "Z")];
        let span = |&(a, b, label): &(usize, usize, &str)| LabelledSpan::new(Span::new(a, b).unwrap(), label);
        Record::new("s", "Ann Keller won").with_spans(spans.iter().map(span).collect()).unwrap()
    };
    let kept = |policy| {
        let mut fitter = Fitter::sentences(policy);
        let fitted = fitter.fit(record());
        let spans = |r: Record| {
            r.spans().unwrap().iter().map(|s| format!("{}:{}", r.surface(s.span), s.label)).collect::<Vec<_>>()
        };
        (fitted.map(spans), fitter.finish())
    };
    let strings = |all: &[&str]| Some(all.iter().map(|&s| s.to_owned()).collect::<Vec<_>>());
    assert_eq!(kept(OnConflict::Widen).0, strings(&["Ann Keller:X", "won:Z"]));
    assert_eq!(kept(OnConflict::First).0, strings(&["Keller:Y", "won:Z"]));
    assert_eq!(kept(OnConflict::Drop).0, strings(&["Keller:Y", "won:Z"]));
    let (none, refused) = kept(OnConflict::Error);
    assert_eq!(none, None);
    let message = refused.unwrap_err().to_string();
    assert!(message.contains("s: `Ann Kel` (X) ends inside a token") && message.contains("--on-conflict"), "{message}");

    let overlapping = |policy| {
        let spans = [(0, 10, "X"), (4, 10, "Y"), (4, 14, "V"), (11, 14, "Z")];
        let span = |&(a, b, label): &(usize, usize, &str)| LabelledSpan::new(Span::new(a, b).unwrap(), label);
        let record = Record::new("s", "Ann Keller won").with_spans(spans.iter().map(span).collect()).unwrap();
        let mut fitter = Fitter::sentences(policy);
        let fitted = fitter.fit(record).unwrap();
        let labels: Vec<String> = fitted.spans().unwrap().iter().map(|s| s.label.to_string()).collect();
        (labels.concat(), fitter.finish().unwrap().counts[&ConflictKind::Overlap])
    };
    assert_eq!(overlapping(OnConflict::First), ("XZ".to_owned(), 2));
    assert_eq!(overlapping(OnConflict::Widen), ("XZ".to_owned(), 2));
    assert_eq!(overlapping(OnConflict::Drop), (String::new(), 4));
}

#[test]
fn compressed_files_are_read() {
    use std::io::Write as _;
    let json = br#"{"text":"Ann"}"#;
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gz.write_all(json).unwrap();
    for bytes in [gz.finish().unwrap(), zstd::encode_all(&json[..], 3).unwrap()] {
        assert_eq!(read(None, &bytes).unwrap()[0].text(), "Ann");
    }
    // Cut off: an error, not a shorter corpus.
    let long = zstd::encode_all("{\"text\":\"Ann\"}\n".repeat(1 << 16).as_bytes(), 3).unwrap();
    assert!(read(None, &long[..long.len() / 2]).is_err());
}

#[test]
fn a_line_of_ten_megabytes_is_a_line() {
    let text = "é ".repeat(5_000_000);
    let spans: Vec<LabelledSpan> =
        (0..1000).map(|n| LabelledSpan::new(Span::new(n * 9_000, n * 9_000 + 2).unwrap(), "X")).collect();
    let records = [Record::new("s", text).with_spans(spans).unwrap()];
    for format in [Format::Jsonl, Format::Doccano, Format::LabelStudio] {
        // Not `assert_eq`, which would print them.
        assert!(read(None, &write(format, &records)).unwrap() == records, "{format}");
    }
    let fitted = Fitter::sentences(OnConflict::Error).fit(records[0].clone()).unwrap();
    let columns = write(Format::Conll, std::slice::from_ref(&fitted));
    assert!(read(None, &columns).unwrap() == [fitted]);
}

#[test]
fn arrays_one_after_another_and_what_is_wrong_with_them() {
    let texts = |json: &str| -> Vec<String> {
        read(None, json.as_bytes()).unwrap().iter().map(|record| record.text().to_owned()).collect()
    };
    assert_eq!(texts("[{\"text\":\"a\"}]\n[ ]\n[{\"text\":\"b\"},]\n"), ["a", "b"]);
    assert!(read(None, "[]".repeat(100_000).as_bytes()).unwrap().is_empty());
    let error = |json: &str| read(None, json.as_bytes()).unwrap_err();
    assert_eq!(error("[{\"text\":\"a\"}]\n{\"text\":\"b\"}"), "x:2: something behind the array: expected its end");
    assert_eq!(error("[{\"text\":\"a\"},\n,{\"text\":\"b\"}]"), "x:2: nothing before a comma: expected an object");
}

#[test]
fn labels_in_an_unexpected_place_are_not_overlooked() {
    let both = one(r#"{"id":"3","text":"Ann  won","tokens":["Ann","won"],"ner_tags":["B-PER","O"]}"#).unwrap();
    assert_eq!((both.text(), both.spans().unwrap().len()), ("Ann  won", 1));
    for json in [r#"{"text":"Ann","ner":[[0,3,"PER"]]}"#, r#"{"text":"Ann","annotations":[]}"#] {
        assert!(one(json).unwrap_err().contains("beside `text`: expected labels in"), "{json}");
    }
    let region = r#"{"type":"hypertextlabels","value":{"start":0,"end":3,"labels":["PER"]}}"#;
    let error = one(&format!(r#"[{{"data":{{"text":"Ann"}},"annotations":[{{"result":[{region}]}}]}}]"#)).unwrap_err();
    assert!(error.contains("a region of type `hypertextlabels` with labels"), "{error}");
}

#[test]
fn types_with_and_without_prefix_do_not_mix() {
    for (format, file) in [
        (Format::Conll, "Ann PER\nx O\n\nZed B-PER\n".replace("Zed", &("a O\n".repeat(100_000) + "Zed"))),
        (
            Format::Hf,
            "{\"tokens\":[\"Ann\"],\"tags\":[\"PER\"]}\n{\"tokens\":[\"Zed\"],\"tags\":[\"B-PER\"]}\n".to_owned(),
        ),
    ] {
        let error = read(Some(format), file.as_bytes()).unwrap_err();
        assert!(error.contains("tag `B-PER`, but the tags before it are types without prefix"), "{error}");
    }
}

#[test]
fn what_tags_cannot_tell_apart_is_refused() {
    let words = [Span::new(0, 3).unwrap(), Span::new(4, 7).unwrap()];
    let span = |n: usize, label: &str| LabelledSpan::new(words[n], label);
    let record = |spans| Record::new("s", "Ann Bob").with_tokens(words.to_vec()).unwrap().with_spans(spans).unwrap();
    let write = |record: &Record, scheme: &str| {
        let mut options = WriteOptions::default();
        options.scheme = scheme.parse().unwrap();
        Writer::new(Format::Hf, Vec::new(), &options).unwrap().write(record).map_err(|e| e.to_string())
    };
    let neighbours = record(vec![span(0, "PER"), span(1, "PER")]);
    assert!(
        write(&neighbours, "io").unwrap_err().contains("IO cannot tell the neighbours `Ann` and `Bob` of type PER")
    );
    assert!(write(&neighbours, "iob1").is_ok() && write(&record(vec![span(0, "A"), span(1, "B")]), "io").is_ok());
    assert!(write(&record(vec![span(0, "")]), "iob2").unwrap_err().contains("without a type"));
}

#[test]
fn a_faulty_row_takes_its_sentence_with_it() {
    let mut reader =
        Reader::open(&Source::bytes(Path::new("x.conll"), "a O\nb\nc O\n\nd O\n"), &options(None)).unwrap();
    assert!(reader.next().unwrap().unwrap_err().to_string().starts_with("x.conll:2: one column"));
    assert_eq!(reader.next().unwrap().unwrap().text(), "d");
    assert!(reader.next().is_none());
}

#[test]
fn text_may_start_with_a_brace() {
    let reader = Reader::open(&Source::bytes(Path::new("x.txt"), "{x} Ann won\n"), &options(None)).unwrap();
    assert_eq!(reader.format(), Format::Text);
}

#[test]
fn units_that_a_format_does_not_have_are_refused() {
    for (format, unit) in [(Format::Conll, Unit::Document), (Format::Jsonl, Unit::File)] {
        let mut options = options(Some(format));
        options.unit = unit;
        let error = Reader::open(&Source::bytes(Path::new("x"), "a O\n"), &options).err().unwrap().to_string();
        assert!(error.starts_with("x: its texts cannot be of the unit that was asked for"), "{error}");
    }
}
