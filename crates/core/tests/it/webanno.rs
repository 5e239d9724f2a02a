use std::{fmt::Write, path::Path};

use apprentice_core::{
    Corpus, CorpusError, Record,
    corpus::{Column, ConflictKind, Conflicts, Format, OnConflict, ReadOptions, Reader, Source},
};
use proptest::prelude::*;

const HEADER: &str = "#FORMAT=WebAnno TSV 3.3
#T_SP=de.tudarmstadt.ukp.dkpro.core.api.lexmorph.type.pos.POS|PosValue
#T_SP=de.tudarmstadt.ukp.dkpro.core.api.ner.type.NamedEntity|identifier|value
#T_RL=de.tudarmstadt.ukp.dkpro.core.api.syntax.type.dependency.Dependency|DependencyType|BT_de.tudarmstadt.POS

";

const BODY: &str = "
#Sentence.id=s1
#Text=Noël 🎉 Keller won in Rome.
1-1\t5-9\tNoël\tNNP\t*[1]\tPER[1]\t_\t_\t
1-2\t10-12\t🎉\t_\t*[1]\tPER[1]\t_\t_\t
1-3\t13-19\tKeller\tNNP\t*[1]|*[2]\tPER[1]|FAM\\_ILY[2]\t_\t_\t
1-4\t20-23\twon\tVBD\t_\t_\tROOT\t1-4\t
1-5\t24-26\tin\t_\t_\t_\t_\t_\t
1-6\t27-31\tRome\tNNP\thttp://x/Q220\tLOC\t_\t_\t
1-7\t31-32\t.\t_\t_\t_\t_\t_\t

#Text=The all-Rome team
#Text=of Ann\\tB\\\\C
2-1\t40-43\tThe\t_\t_\t_\t_\t_\t
2-2\t44-52\tall-Rome\t_\t_\t_\t_\t_\t
2-2.1\t48-52\tRome\t_\t*[3]\tORG[3]\t_\t_\t
2-2.2\t48-52\tRome\t_\t*[4]\tLOC[4]\t_\t_\t
2-3\t53-57\tteam\t_\t*[3]\tORG[3]\t_\t_\t
2-4\t58-60\tof\t_\t_\t_\t_\t_\t
2-5\t61-64\tAnn\t_\t*\tPER\t_\t_\t
2-6\t65-68\tB\\C\t_\t_\t_\t_\t_\t
";

fn read(file: &str, options: &ReadOptions) -> Result<(Vec<Record>, Conflicts), String> {
    let source = Source::bytes(Path::new("a.tsv"), file);
    let mut reader = Reader::open(&source, options).map_err(|e| e.to_string())?;
    assert_eq!(reader.format(), Format::Webanno);
    let records: Result<Vec<Record>, CorpusError> = reader.by_ref().collect();
    Ok((records.map_err(|e| e.to_string())?, reader.conflicts()))
}

/// A file with one feature.
fn small(body: &str) -> String {
    format!("#FORMAT=WebAnno TSV 3.2\n#T_SP=webanno.custom.Span|value\n\n\n{body}")
}

fn spans(record: &Record) -> Vec<(&str, &str)> {
    record.spans().unwrap().iter().map(|s| (record.surface(s.span), &*s.label)).collect()
}

fn words(record: &Record) -> Vec<&str> {
    record.tokens().unwrap().iter().map(|token| record.surface(*token)).collect()
}

fn options(column: Option<&str>, on_conflict: OnConflict) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.on_conflict = on_conflict;
    if let Some(name) = column {
        options.tag_column = Column::Name(name.to_owned());
    }
    options
}

#[test]
fn sentences_with_all_kinds_of_spans() {
    let (records, conflicts) = read(&format!("{HEADER}{BODY}"), &ReadOptions::default()).unwrap();
    let [first, second] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!((first.id(), second.id()), ("a-00000", "a-00001"));
    assert_eq!(first.document().map(|d| &**d), Some("a"));
    assert_eq!(first.text(), "Noël 🎉 Keller won in Rome.");
    assert_eq!(words(first), ["Noël", "🎉", "Keller", "won", "in", "Rome", "."]);
    assert_eq!(spans(first), [("Noël 🎉 Keller", "PER"), ("Keller", "FAM_ILY"), ("Rome", "LOC")]);
    assert_eq!(second.text(), "The all-Rome team\nof Ann\tB\\C");
    assert_eq!(words(second), ["The", "all-Rome", "team", "of", "Ann", "B\\C"]);
    assert_eq!(spans(second), [("Rome team", "ORG"), ("Rome", "LOC"), ("Ann", "PER")]);
    assert_eq!(conflicts, Conflicts::default());

    let plain = read(&format!("{HEADER}{BODY}"), &ReadOptions::unlabelled()).unwrap().0;
    assert_eq!(plain, records.iter().map(|record| record.clone().without_spans()).collect::<Vec<_>>());
    let corpus =
        Corpus::parse(Path::new("a.tsv"), format!("{HEADER}{BODY}"), &options(None, OnConflict::Widen)).unwrap();
    assert_eq!(corpus.conflicts.counts, [(ConflictKind::InsideToken, 2), (ConflictKind::Overlap, 2)].into());
}

#[test]
fn the_layer_is_chosen() {
    let file = |header: &str, column: &str| {
        let file = format!("#FORMAT=WebAnno TSV 3.3\n{header}\n\n#Text=Ann\n1-1\t0-3\tAnn\t{column}\t\n");
        move |name: Option<&str>| {
            let (records, _) = read(&file, &options(name, OnConflict::Error))?;
            Ok(records[0].spans().map(|spans| spans[0].label.to_string()))
        }
    };
    let label = |label: &str| Ok::<_, String>(Some(label.to_owned()));
    let refused = |why: &str, has: &str| {
        Err(format!("a.tsv: {why}: the file has {has}; choose one with --tag-column LAYER.feature"))
    };

    let pos = file("#T_SP=de.tudarmstadt.ukp.dkpro.core.api.lexmorph.type.pos.POS|PosValue\n", "NNP");
    assert_eq!(pos(None), Ok(None));
    assert_eq!(pos(Some("POS.PosValue")), label("NNP"));
    assert_eq!(pos(Some("de.tudarmstadt.ukp.dkpro.core.api.lexmorph.type.pos.POS.PosValue")), label("NNP"));
    let lacks = "there is no span layer with a feature `NamedEntity.value`";
    assert_eq!(pos(Some("NamedEntity.value")), refused(lacks, "POS.PosValue"));
    assert_eq!(file("#T_SP=webanno.custom.Gene|kind\n", "DNA")(None), label("DNA"));
    assert_eq!(file("#T_SP=webanno.custom.Gene|kind|value\n", "x\tDNA")(None), label("DNA"));
    let two = file("#T_SP=webanno.custom.Gene|kind\n#T_SP=webanno.custom.Drug|kind\n", "DNA\tASA");
    assert_eq!(two(Some("Drug.kind")), label("ASA"));
    assert_eq!(two(None), refused("several span layers, and none is NamedEntity", "Gene.kind, Drug.kind"));
    let unclear = "it is unclear which feature of layer Gene is the type";
    let features = file("#T_SP=webanno.custom.Gene|kind|name\n", "DNA\tx");
    assert_eq!(features(None), refused(unclear, "Gene.kind, Gene.name"));
    assert_eq!(file("#T_SP=webanno.custom.Gene|\n", "*")(None), refused(unclear, "Gene."));
}

#[test]
fn offsets_may_count_code_points() {
    let (records, _) = read(
        &small("#Text=🎉🎉Ann🎉\n1-1\t0-2\t🎉🎉\t_\t\n1-2\t2-5\tAnn\tPER\n1-2.1\t3-5\tnn\tX\n"),
        &ReadOptions::default(),
    )
    .unwrap();
    assert_eq!(spans(&records[0]), [("Ann", "PER"), ("nn", "X")]);
    // A token after other text that is no token.
    let (records, _) =
        read(&small("#Text= 🎉 -- Ann\n1-1\t1-3\t🎉\t_\n1-2\t7-10\tAnn\tPER\n"), &ReadOptions::default()).unwrap();
    assert_eq!(words(&records[0]), ["🎉", "Ann"]);
}

#[test]
fn what_no_record_can_hold() {
    let message = |what: &str| {
        format!(
            "{what}: expected one span of text with a type; choose what happens to it with --on-conflict widen, \
             first or drop"
        )
    };
    let body = |cells: [&str; 3], more: &str| {
        let [a, b, c] = cells;
        small(&format!("#Text=Ann B C\n1-1\t0-3\tAnn\t{a}\n1-2\t4-5\tB\t{b}\n1-3\t6-7\tC\t{c}\n{more}"))
    };
    for (file, error, kind, widened, dropped) in [
        (
            body(["X[1]", "_", "X[1]"], ""),
            "6: `Ann B C` (X) is in several pieces",
            ConflictKind::Pieces,
            &["Ann B C"][..],
            &[][..],
        ),
        (body(["*[1]", "*[1]", "X"], ""), "6: `Ann B` (*) has no type", ConflictKind::NoLabel, &["C"], &["C"]),
        (
            body(["X", "_", "_"], "1-3.1\t6-6\t\tX\n"),
            "9: `` (X) has no token in it",
            ConflictKind::NoToken,
            &["Ann"],
            &["Ann"],
        ),
        (
            body(["_", "_", "X[4]"], "\n#Text=D E\n2-1\t9-10\tD\tX[4]\n2-2\t11-12\tE\t_\n"),
            "11: `D` (X) goes on in the next sentence",
            ConflictKind::Cut,
            &["C", "D"],
            &["C", "D"],
        ),
    ] {
        assert_eq!(read(&file, &ReadOptions::default()).unwrap_err(), format!("a.tsv:{}", message(error)));
        for (policy, expected) in
            [(OnConflict::Widen, widened), (OnConflict::First, dropped), (OnConflict::Drop, dropped)]
        {
            let (records, conflicts) = read(&file, &options(None, policy)).unwrap();
            let found: Vec<&str> = records.iter().flat_map(spans).map(|(surface, _)| surface).collect();
            assert_eq!(found, expected, "{error} {policy:?}");
            assert_eq!(conflicts.counts, [(kind, 1)].into());
        }
    }
    // The same number elsewhere is another annotation.
    let again = body(["X[1]", "X[1]", "_"], "\n#Text=D E\n2-1\t9-10\tD\tX[1]\n2-2\t11-12\tE\tX[1]\n");
    assert_eq!(read(&again, &ReadOptions::default()).unwrap().0.iter().flat_map(spans).count(), 2);
}

#[test]
fn bad_files() {
    let ann = "#Text=Ann B\n1-1\t0-3\tAnn\tX\n";
    for (file, problem) in [
        (
            "#FORMAT=WebAnno TSV 2.0\n".to_owned(),
            "1: #FORMAT=WebAnno TSV 2.0: expected `#FORMAT=WebAnno TSV 3.3`, 3.0 or one between",
        ),
        (
            "#FORMAT=WebAnno TSV 3.3\n1-1\t0-3\tAnn\n".to_owned(),
            "2: 1-1\t0-3\tAnn: expected a layer (`#T_SP=…`) or a blank line",
        ),
        (
            "#FORMAT=WebAnno TSV 3.3\n#T_XX=a|b\n".to_owned(),
            "2: #T_XX=a|b: expected a layer (`#T_SP=…`) or a blank line",
        ),
        (
            small("1-1\t0-3\tAnn\tX\n"),
            "5: a token before its sentence: expected `#Text=` with the text of the sentence",
        ),
        (small("#Text=Ann\n1-1\t0-3\tAnn\n"), "6: 3 columns: expected 4 separated by tabs, as the header says"),
        (small("#Text=Ann\n1\t0-3\tAnn\tX\n"), "6: `1`: expected a token's number, such as `1-3` or `1-3.1`"),
        (small("#Text=Ann\n1-1\t0:3\tAnn\tX\n"), "6: `0:3`: expected offsets, such as `4-10`"),
        (small("#Text=Ann\n1-1\t0-3\t\tX\n"), "6: the first column is empty: expected a token"),
        (small("#Text=Ann\n1-1.1\t0-3\tAnn\tX\n"), "6: a part of a token before the token: expected the token first"),
        (
            small(&format!("{ann}1-1.1\t1-3\tAn\tX\n")),
            "7: \"An\" at 1-3 is not in the token \"Ann\": expected a part of the token at its offsets",
        ),
        (
            small(&format!("{ann}1-2\t5-6\tB\tX\n")),
            "7: the token \"B\" at 5-6 is not there in the sentence's text: expected offsets in UTF-16 units and the \
             text of `#Text=`",
        ),
        (
            small(&format!("{ann}1-2\t4-5\tC\tX\n")),
            "7: the token \"C\" at 4-5 is not there in the sentence's text: expected offsets in UTF-16 units and the \
             text of `#Text=`",
        ),
        (small(&format!("{ann}#Text=B\n")), "7: `#Text=` right after a token: expected a blank line between sentences"),
        (
            small("#Text=Ann B\n1-1\t0-3\tAnn\tX[1]\n1-2\t4-5\tB\tY[1]\n"),
            "7: annotation [1] with the value Y, in line 6 with X: expected one value",
        ),
    ] {
        assert_eq!(
            read(&file, &options(Some("Span.value"), OnConflict::Error)).unwrap_err(),
            format!("a.tsv:{problem}")
        );
    }
    let mut options = ReadOptions::default();
    options.format = Some(Format::Webanno);
    assert_eq!(
        read("", &options).unwrap_err(),
        "a.tsv:1: nothing: expected `#FORMAT=WebAnno TSV 3.3`, 3.0 or one between"
    );
}

#[test]
fn offsets_too_large_for_any_text() {
    let file = small(&format!("#Text=Ann B\n1-1\t{}-0\tAnn\tX\n1-2\t4-5\tB\tX\n", usize::MAX));
    assert!(read(&file, &ReadOptions::default()).unwrap_err().starts_with("a.tsv:7: the token \"B\" at 4-5"));
}

#[test]
fn reading_goes_on_behind_a_bad_sentence() {
    let file = small("#Text=Ann\n1-1\t0-3\tBob\tX\n\n#Text=B\n1-1\t4-5\tB\n1-2\tx\n\n#Text=Ann\n1-1\t6-9\tAnn\tX\n");
    let reader = Reader::open(&Source::bytes(Path::new("a.tsv"), file), &ReadOptions::default()).unwrap();
    let ids: Vec<Option<String>> = reader.map(|record| record.ok().map(|record| record.id().to_owned())).collect();
    assert_eq!(ids, [None, None, Some("a-00002".to_owned())]);
}

proptest! {
    #[test]
    fn any_text_and_value_is_read_as_it_was_written(
        words in prop::collection::vec("[a-cé🎉\\\\\"'#_*|\\[\\]-]{1,5}", 1..8),
        gap in "( |\n|\t|\u{a0}){1,2}",
        label in "[A-C\\\\|_*\\[\\] ;\t>-]{1,6}",
    ) {
        let text = words.join(&gap);
        let escaped = text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\n#Text=");
        let mut value = label.replace('\\', "\\\\");
        for c in ["[", "]", "|", "_", "->", ";", "*"] {
            value = value.replace(c, &format!("\\{c}"));
        }
        value = value.replace('\t', "\\t");
        let mut body = format!("#Text={escaped}\n");
        let units = |text: &str| text.encode_utf16().count();
        let mut at = 100;
        for (n, word) in words.iter().enumerate() {
            writeln!(body, "1-{}\t{at}-{}\t{word}\t{value}[1]\t", n + 1, at + units(word)).unwrap();
            at += units(word) + units(&gap);
        }
        let (records, _) = read(&small(&body), &ReadOptions::default()).unwrap();
        prop_assert_eq!(self::words(&records[0]), words);
        prop_assert_eq!(spans(&records[0]), [(text.as_str(), label.as_str())]);
    }

    #[test]
    fn no_change_panics(at in 0_usize..2000, new in "[#\t\n0-9|\\[\\]*_.\\\\🎉-]{0,3}", cut in 0_usize..4) {
        let mut file: Vec<char> = format!("{HEADER}{BODY}").chars().collect();
        let at = at % file.len();
        file.splice(at..(at + cut).min(file.len()), new.chars());
        let file: String = file.into_iter().collect();
        for policy in [OnConflict::Error, OnConflict::Widen] {
            let mut options = options(None, policy);
            options.format = Some(Format::Webanno);
            if let Ok(reader) = Reader::open(&Source::bytes(Path::new("a.tsv"), file.as_str()), &options) {
                reader.for_each(drop);
            }
        }
    }
}
