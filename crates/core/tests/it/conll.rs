use std::path::Path;

use apprentice_core::{
    Corpus, CorpusError, LineProblem, Provenance, Scheme, Sentence, Span, Verdict,
    corpus::conll::{self, Options, Reading, WriteError},
    tags,
};
use proptest::prelude::*;

use crate::entity;

fn parse(text: &str) -> Corpus {
    conll::parse(Path::new("news.conll"), text.as_bytes(), &Options::default()).unwrap()
}

fn problem_with(bytes: impl AsRef<[u8]>, options: Options) -> (usize, LineProblem) {
    match conll::parse(Path::new("news.conll"), bytes.as_ref(), &options).unwrap_err() {
        CorpusError::Line { line, problem, .. } => (line, problem),
        other => panic!("{other}"),
    }
}

fn problem(bytes: impl AsRef<[u8]>) -> (usize, LineProblem) {
    problem_with(bytes, Options::default())
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
    assert_eq!(plain.evidence.verdict(), Verdict::Iob2);
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
    let seen: Vec<_> = corpus.sentences.iter().map(|s| (s.id(), s.document(), s.text())).collect();
    assert_eq!(
        seen,
        [
            ("news-00000", None, "a"),
            ("x 1", Some(0), "b"),
            ("news-00002", Some(0), "# id"),
            ("news-00003", Some(1), "c"),
            ("y", Some(2), "d"),
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
    let read = |text: &str| conll::parse(Path::new("t.txt"), text.as_bytes(), &Options::unlabelled()).unwrap();
    let corpus = read("Ann\nwon\n\n# id = r\nRome\n");
    assert_eq!(corpus.sentences.len(), 2);
    assert_eq!(corpus.sentences[1].id(), "r");
    assert_eq!(corpus.sentences[0].provenance(), &Provenance::Unlabelled);
    assert_eq!(corpus.evidence.verdict(), Verdict::Either);
    // Tags, and what is no tag, are ignored.
    let corpus = read("Ann B-PER\nwon VBD\n");
    assert_eq!((corpus.sentences[0].text(), corpus.sentences[0].entities().len()), ("Ann won", 0));
}

#[test]
fn bad_input_is_named() {
    let message =
        |bytes: &[u8]| conll::parse(Path::new("dir/news.conll"), bytes, &Options::default()).unwrap_err().to_string();
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
    assert_eq!(message(b"Ann S-PER\n"), "dir/news.conll:1: `S-PER` is not a tag: expected O, B-TYPE or I-TYPE");
    assert_eq!(
        message(b"# id = a\nAnn O\n\n# id = a\nwon O\n"),
        "dir/news.conll:4: sentence id `a` again, first in line 1: expected every id once"
    );
    let missing = conll::read(Path::new("no/such.conll"), &Options::default()).unwrap_err();
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
        |text: &str, scheme| problem_with(text, Options::with_reading(Reading::Checked(scheme))).1.to_string();
    assert_eq!(
        message("Ann I-PER\n", Scheme::Iob2),
        "tag `I-PER` after no entity: IOB2 has I- only inside an entity of the same type; correct the tag, or read the \
         file leniently"
    );
    let error = message("Ann I-PER\nRome B-LOC\n", Scheme::Iob1);
    assert!(error.starts_with("tag `B-LOC` after `I-PER`: IOB1 has B- only right after"), "{error}");
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
        assert!(matches!(one(id, "a"), Err(WriteError::Id { .. })), "{id:?}");
    }
    assert!(one("a b", "-DOCSTART-x").is_ok());
    let again = [Sentence::from_words("s", ["a"]), Sentence::from_words("s", ["b"])];
    assert!(matches!(write(&again), Err(WriteError::DuplicateId { .. })));
    let label = Sentence::from_words("s", ["a"]).with_entities(vec![entity(0, 1, "a b")], Provenance::Original);
    assert!(matches!(write(&[label.unwrap()]), Err(WriteError::Label { .. })));
}

#[test]
fn documents_are_written() {
    let sentence = |id: &str, document| Sentence::from_words(id, ["a b", "#"]).in_document(document);
    let out = write(&[sentence("s", None), sentence("t", Some(4)), sentence("u", Some(4)), sentence("v", None)]);
    let expected = "# id = s\na b\tO\n# O\n\n-DOCSTART- O\n\n# id = t\na b\tO\n# O\n\n# id = u\na b\tO\n# O\n\n\
        -DOCSTART- O\n\n# id = v\na b\tO\n# O\n\n";
    assert_eq!(String::from_utf8(out.unwrap()).unwrap(), expected);
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
            sentence.in_document(document)
        };
        let sentences = [sentences.0, sentences.1, sentences.2].into_iter().zip(breaks).map(number).collect::<Vec<_>>();
        let out = write(&sentences).unwrap();
        let read = conll::parse(Path::new("x"), &out, &Options::with_reading(Reading::Checked(Scheme::Iob2))).unwrap();
        prop_assert_eq!(read.sentences, sentences);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(byte(), 0..40)) {
        let _ = conll::parse(Path::new("x"), &bytes, &Options::unlabelled());
        let _ = conll::parse(Path::new("x"), &bytes, &Options::default());
    }
}

#[test]
fn spans_are_those_of_the_joined_text() {
    let corpus = parse("Ann B-PER\nKeller I-PER\n");
    let sentence = &corpus.sentences[0];
    assert_eq!(sentence.surface(Span::new(0, 2).unwrap()), "Ann Keller");
}
