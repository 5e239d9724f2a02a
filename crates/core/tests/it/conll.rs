use std::path::Path;

use apprentice_core::{
    Corpus, CorpusError, LineProblem, Provenance, Scheme, Sentence, Span,
    corpus::{Format, ReadOptions, Reading, Source, WriteError, conll},
    tags,
};
use proptest::prelude::*;

use crate::entity;

fn parse(text: &str) -> Corpus {
    Corpus::parse(Path::new("news.conll"), text, &ReadOptions::default()).unwrap()
}

fn problem_with(bytes: impl AsRef<[u8]>, options: &ReadOptions) -> (usize, LineProblem) {
    match Corpus::parse(Path::new("news.conll"), bytes.as_ref(), options).unwrap_err() {
        CorpusError::Line { line, problem, .. } => (line, problem),
        other => panic!("{other}"),
    }
}

fn problem(bytes: impl AsRef<[u8]>) -> (usize, LineProblem) {
    problem_with(bytes, &ReadOptions::default())
}

fn words(sentence: &Sentence) -> Vec<&str> {
    sentence.words().collect()
}

#[test]
fn every_line_end_and_separator_reads_the_same() {
    let plain = parse("Ann B-PER\nwon O\n\nRome B-LOC\n");
    assert_eq!(plain.sentences.len(), 2);
    assert_eq!(plain.sentences[0].entities(), [entity(0, 1, "PER")]);
    assert_eq!(plain.sentences[0].provenance(), &Provenance::Original);
    assert_eq!(plain.evidence.verdict().scheme, Scheme::Iob2);
    for same in [
        "\u{feff}Ann B-PER\nwon O\n\nRome B-LOC",
        "Ann B-PER\r\nwon O\r\n\r\nRome B-LOC\r\n",
        "\n \nAnn B-PER\nwon O\n \t \n\nRome B-LOC\n\n\n",
        "Ann  B-PER \n won   O\n\nRome B-LOC",
        "Ann\tB-PER\nwon\tO\n\t\nRome\tB-LOC",
        "Ann\tB-PER \nwon O\n\nRome\tB-LOC",
    ] {
        assert_eq!(parse(same), plain, "{same:?}");
    }
}

#[test]
fn token_first_and_tag_last() {
    let corpus = parse("Ann NNP B-NP B-PER\nKeller NNP I-NP I-PER\n");
    assert_eq!(words(&corpus.sentences[0]), ["Ann", "Keller"]);
    assert_eq!(corpus.sentences[0].entities(), [entity(0, 2, "PER")]);
    // Other columns may be empty, and a tab line may have blanks in its token.
    let corpus = parse("New York\t\tB-LOC\n\u{a0}x\tNN\tO\n");
    assert_eq!(words(&corpus.sentences[0]), ["New York", "\u{a0}x"]);
}

#[test]
fn ids_and_documents() {
    let corpus = parse(
        "a O\n\n-DOCSTART- -X- O O\n\n# id = x 1 \nb O\n\n# O\nid O\n-DOCSTART-\nc O\n\n-DOCSTART- O\n\n# id = y\n\nd O\n",
    );
    let seen: Vec<_> = corpus.sentences.iter().map(|s| (s.id(), s.document().map(|d| &**d), s.text())).collect();
    assert_eq!(
        seen,
        [
            ("news-00000", None, "a"),
            ("x 1", Some("news#0"), "b"),
            ("news-00002", Some("news#0"), "# id"),
            ("news-00003", Some("news#1"), "c"),
            ("y", Some("news#2"), "d"),
        ]
    );
}

#[test]
fn number_signs_are_tokens() {
    let corpus = parse("# NN B-NP O\n#id NN B-NP O\n# id: B-NP O\n# id =\tB-NP\tx\tO\n");
    assert_eq!(words(&corpus.sentences[0]), ["#", "#id", "#", "# id ="]);
}

#[test]
fn a_file_of_tokens_only() {
    let mut options = ReadOptions::unlabelled();
    options.format = Some(Format::Conll);
    let read = |text: &str| Corpus::parse(Path::new("t.txt"), text, &options).unwrap();
    let corpus = read("Ann\nwon\n\n# id = r\nRome\n");
    assert_eq!(corpus.sentences.len(), 2);
    assert_eq!(corpus.sentences[1].id(), "r");
    assert_eq!(corpus.sentences[0].provenance(), &Provenance::Unlabelled);
    assert_eq!(corpus.evidence.entities(), 0);
    // Tags, and what is no tag, are ignored.
    let corpus = read("Ann B-PER\nwon VBD\n");
    assert_eq!((corpus.sentences[0].text(), corpus.sentences[0].entities().len()), ("Ann won", 0));
}

#[test]
fn bad_input_is_named() {
    let message = |bytes: &[u8]| {
        Corpus::parse(Path::new("dir/news.conll"), bytes, &ReadOptions::default()).unwrap_err().to_string()
    };
    assert_eq!(message(b""), "dir/news.conll: no sentence in this file: expected at least one");
    assert_eq!(message(b"-DOCSTART- O\n\n"), message(b"\n \n"));
    assert_eq!(
        message(b"Ann B-PER\nwon\n"),
        "dir/news.conll:2: one column (`won`): expected at least two, the token first and the tag last; add the tag, or \
         read the file as unlabelled"
    );
    assert_eq!(
        message(b"Ann B-PER\n\nNew York B-LOC\n"),
        "dir/news.conll:3: 3 columns: expected 2, as in line 1; use tabs if a token contains blanks"
    );
    assert_eq!(
        message(b"Ann PER\n"),
        "dir/news.conll:1: `PER` is not a tag: expected O, or one of B-, I-, E-, S- (BMES: M-; BILOU: L-, U-) with an \
         entity type"
    );
    assert_eq!(
        message(b"# id = a\nAnn O\n\n# id = a\nwon O\n"),
        "dir/news.conll:4: sentence id `a` again, first in line 1: expected every id once"
    );
    let missing = Corpus::read(&Source::of(Path::new("no/such.conll")), &ReadOptions::default()).unwrap_err();
    assert_eq!(missing.to_string(), "cannot read no/such.conll");

    assert_eq!(problem(b"a O\nb\xc3 O\n"), (2, LineProblem::Encoding { byte: 2 }));
    assert_eq!(problem("a O\n\tO\n"), (2, LineProblem::NoToken));
    assert_eq!(problem("a O\n# id = x\n"), (2, LineProblem::IdInside { id: "x".to_owned() }));
    assert_eq!(problem("# id = x\n\n# id = y\nb O\n"), (1, LineProblem::IdUnused { id: "x".to_owned() }));
    assert_eq!(problem("a O\n\n# id = x\n"), (3, LineProblem::IdUnused { id: "x".to_owned() }));
    assert_eq!(
        problem("a O\n\n\n# id = news-00000\nb O\n"),
        (4, LineProblem::DuplicateId { id: "news-00000".to_owned(), first: 1 })
    );
    assert!(matches!(problem("a\tO\t\n"), (1, LineProblem::Tag(_))));
}

#[test]
fn a_scheme_that_is_asked_for_must_be_kept() {
    let message =
        |text: &str, scheme| problem_with(text, &ReadOptions::with_reading(Reading::Checked(scheme))).1.to_string();
    assert_eq!(
        message("Ann I-PER\n", Scheme::Iob2),
        "tag `I-PER` after no entity: IOB2 has I- only inside an entity of the same type, and no E- or S-; correct \
         the tag, or read the file leniently"
    );
    let error = message("Ann I-PER\nRome B-LOC\n", Scheme::Iob1);
    assert!(error.starts_with("tag `B-LOC` after `I-PER`: IOB1 has B- only right after"), "{error}");
    let error = message("Ann B-PER\nwon O\n", Scheme::Bilou);
    assert!(error.starts_with("tag `O` after `B-PER`: BILOU has B- I- … L- of one type, or U- alone; "), "{error}");
    assert!(message("Ann L-PER\n", Scheme::Bilou).starts_with("tag `L-PER` after no entity"));
    let (line, error) =
        problem_with("a O\n\nAnn B-PER\nLee I-PER\n", &ReadOptions::with_reading(Reading::Checked(Scheme::Iobes)));
    assert_eq!(line, 4);
    assert!(error.to_string().starts_with("the sentence ends with tag `I-PER`: IOBES has "), "{error}");
}

#[test]
fn label_sets_are_compared() {
    let (a, b) = (parse("a B-LOC\nb B-PER\n"), parse("a B-LOC\nb B-ORG\nc I-MISC\n"));
    a.check_same_labels(&a).unwrap();
    let error = Corpus { path: "a.conll".into(), ..a }.check_same_labels(&Corpus { path: "b.conll".into(), ..b });
    assert_eq!(
        error.unwrap_err().to_string(),
        "label sets differ: only a.conll has PER, only b.conll has MISC, ORG: expected the same types in both"
    );
}

fn write(sentences: &[Sentence]) -> Result<Vec<u8>, WriteError> {
    let mut out = Vec::new();
    conll::write(&mut out, sentences).map(|()| out)
}

#[test]
fn what_columns_cannot_express_is_refused() {
    let one = |id: &str, word: &str| write(&[Sentence::from_words(id, [word])]);
    for word in ["-DOCSTART-", "a\tb", "a\nb", "a\r", ""] {
        assert!(one("s", word).is_err(), "{word:?}");
    }
    for id in ["", " ", "a\tb", "a\n", " a"] {
        assert!(matches!(one(id, "a"), Err(WriteError::Record { .. })), "{id:?}");
    }
    assert!(one("a b", "-DOCSTART-x").is_ok());
    // Without a tag column, a blank separates nothing.
    assert!(one("s", "a b").is_err());
    let labelled = |id: &str| Sentence::from_words(id, ["a"]).with_entities(vec![], Provenance::Original).unwrap();
    assert!(write(&[labelled("s"), Sentence::from_words("t", ["b"])]).is_err());
    let label = Sentence::from_words("s", ["a"]).with_entities(vec![entity(0, 1, "a b")], Provenance::Original);
    let error = write(&[label.unwrap()]).unwrap_err().to_string();
    assert_eq!(error, "s: columns cannot express it: the entity type \"a b\"");
}

#[test]
fn documents_are_written() {
    let sentence = |id: &str, document: Option<&str>| {
        let sentence = Sentence::from_words(id, ["a b", "#"]).in_document(document.map(Into::into));
        sentence.with_entities(vec![], Provenance::Original).unwrap()
    };
    let out =
        write(&[sentence("s", None), sentence("t", Some("d 4")), sentence("u", Some("d 4")), sentence("v", None)]);
    let expected = "# id = s\na b\tO\n# O\n\n-DOCSTART- O\n\n# newdoc id = d 4\n# id = t\na b\tO\n# O\n\n\
        # id = u\na b\tO\n# O\n\n-DOCSTART- O\n\n# id = v\na b\tO\n# O\n\n";
    assert_eq!(String::from_utf8(out.unwrap()).unwrap(), expected);
}

#[test]
fn comments_give_texts_and_documents() {
    let file = "# newdoc id = d1\n# sent_id = s1\n# text = Ann  won.\nAnn B-PER\nwon O\n. O\n\n# some note here\nx O\n\n\
        -DOCSTART- O\n\n# newdoc id = d2\ny O\n";
    let corpus = parse(file);
    let seen: Vec<_> = corpus.sentences.iter().map(|s| (s.id(), s.document().map(|d| &**d), s.text())).collect();
    assert_eq!(
        seen,
        [("s1", Some("d1"), "Ann  won."), ("news-00001", Some("d1"), "x"), ("news-00002", Some("d2"), "y")]
    );
    assert_eq!(words(&corpus.sentences[0]), ["Ann", "won", "."]);
    let (line, problem) = problem("# text = Ann won\nAnn O\nlost O\n");
    assert_eq!((line, problem), (3, LineProblem::Text { token: "lost".to_owned() }));
}

#[test]
fn columns_by_place_and_by_name() {
    let read = |text: &str, token: &str, tag: &str| {
        let mut options = ReadOptions::default();
        (options.token_column, options.tag_column) = (token.parse().unwrap(), tag.parse().unwrap());
        Corpus::parse(Path::new("x.conll"), text, &options)
    };
    let rows = "1\tAnn\tB-PER\tx\n2\twon\tO\ty\n";
    let same = ["", "# global.columns = ID FORM NER MISC\n", "id\tform\tner\tmisc\n"];
    for (header, token, tag) in
        [(same[0], "2", "3"), (same[0], "-3", "-2"), (same[1], "FORM", "NER"), (same[2], "form", "ner")]
    {
        let corpus = read(&format!("{header}{rows}"), token, tag).unwrap();
        assert_eq!(words(&corpus.sentences[0]), ["Ann", "won"], "{header}{token}");
        assert_eq!(corpus.sentences[0].entities(), [entity(0, 1, "PER")]);
    }
    let error = read(rows, "1", "9").unwrap_err().to_string();
    assert_eq!(error, "x.conll:1: there is no column 9: the row has 4 columns");
    let error = read(&format!("{}{rows}", same[1]), "FORM", "TAG").unwrap_err().to_string();
    assert!(error.ends_with("there is no column TAG: the header has ID, FORM, NER, MISC"), "{error}");
}

#[test]
fn bare_types_are_read() {
    let corpus = parse("The\tO\nRolling\tart-music\nStones\tart-music\nin\tO\nRome\tloc\n");
    assert_eq!(corpus.sentences[0].entities(), [entity(1, 3, "art-music"), entity(4, 5, "loc")]);
}

fn word() -> impl Strategy<Value = String> {
    let odd =
        ["#", "# id = x", "-DOCSTART-!", "a b", " ", "\u{a0}", "\u{feff}", "e\u{301}", "O", "B-X", "\u{2028}", "\u{b}"];
    prop_oneof![
        3 => "\\PC{1,6}",
        1 => "[ a-z#=\u{300}\u{a0}\u{200d}]{1,8}",
        1 => prop::sample::select(odd.to_vec()).prop_map(str::to_owned),
    ]
}

fn sentence(id: usize) -> impl Strategy<Value = Sentence> {
    let row = (word(), prop::sample::select(["O", "B-PER", "I-PER", "B-a-b", "I-é"].as_slice()));
    prop::collection::vec(row, 1..8).prop_map(move |rows| {
        let (words, tags): (Vec<_>, Vec<&str>) = rows.into_iter().unzip();
        let entities = tags::decode_lenient(&crate::tags(&tags.join(" ")));
        Sentence::from_words(format!("s {id}"), words).with_entities(entities, Provenance::Original).unwrap()
    })
}

fn byte() -> impl Strategy<Value = u8> {
    prop_oneof![Just(b' '), Just(b'\n'), Just(b'#'), any::<u8>()]
}

proptest! {
    #[test]
    fn reading_gives_what_was_written(
        sentences in (sentence(0), sentence(1), sentence(2)),
        breaks in prop::array::uniform3(any::<bool>()),
    ) {
        let mut document = None;
        let number = |(sentence, starts): (Sentence, bool)| {
            if starts {
                document = Some(document.map_or(0, |d: usize| d + 1));
            }
            sentence.in_document(document.map(|d| format!("d {d}").into()))
        };
        let sentences = [sentences.0, sentences.1, sentences.2].into_iter().zip(breaks).map(number).collect::<Vec<_>>();
        let out = write(&sentences).unwrap();
        let mut options = ReadOptions::with_reading(Reading::Checked(Scheme::Iob2));
        options.format = Some(Format::Conll);
        let read = Corpus::parse(Path::new("x"), out, &options).unwrap();
        prop_assert_eq!(read.sentences, sentences);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(byte(), 0..40)) {
        for mut options in [ReadOptions::unlabelled(), ReadOptions::default()] {
            options.format = Some(Format::Conll);
            let _ = Corpus::parse(Path::new("x"), bytes.as_slice(), &options);
        }
    }
}

#[test]
fn spans_are_those_of_the_joined_text() {
    let corpus = parse("Ann B-PER\nKeller I-PER\n");
    let sentence = &corpus.sentences[0];
    assert_eq!(sentence.surface(Span::new(0, 2).unwrap()), "Ann Keller");
}

/// Found by fuzzing: a token that looks like a comment is one only without a tab.
#[test]
fn a_token_may_look_like_a_comment() {
    for token in ["# global.columns = X", "# id = x", "# text = x", "# newdoc id = x", "#"] {
        let file = format!("{token}\tB-PER\n\n");
        let corpus = Corpus::parse(Path::new("a.conll"), file, &ReadOptions::default()).unwrap();
        assert_eq!(corpus.sentences[0].words().collect::<Vec<_>>(), [token]);
        let mut out = Vec::new();
        conll::write(&mut out, &corpus.sentences).unwrap();
        assert_eq!(
            Corpus::parse(Path::new("a.conll"), out, &ReadOptions::default()).unwrap().sentences,
            corpus.sentences
        );
    }
}
