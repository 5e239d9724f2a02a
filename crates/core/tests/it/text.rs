use std::path::Path;

use apprentice_core::{
    Corpus, Provenance, Sentence,
    corpus::{ReadOptions, text::tokenize},
};
use proptest::prelude::*;

#[test]
fn tokens_are_those_of_conll() {
    for expected in [
        "EU rejects German call to boycott British lamb .",
        "The U.S. dollar rose 3.2 % to 1,234.5 yen , traders said .",
        "He ran 1:45.20 on 1996-08-22 and hit .500 , +44 171 .",
        "\" We do n't know , \" said O'Brien 's all-rounder .",
        "( CNN ) -- They 're in St. Petersburg ; I 'm in New York !",
        "Acme Inc. paid US$ 3.2 for S&P at 6 p.m. yesterday ...",
        "What ? “ Ja , ” sagte J. Müller – „ nein “ .",
        "Cork maker Cortiça Vale , of Noël Kerdreux 's Évora .",
        "See www.a.org/b?c=d and @ann at ann@a.org #rome .",
        "the players ' union",
        "1. Ann Keller ( Italy ) 6-3 6-4",
        "two- and three-year bonds of then-U.S. officials , ex-Sen. Keller",
        "10= Ann Keller , T10 $ 3 - $ 4",
        "see http://a.org/b/ or mail:http://b.org now",
    ] {
        for text in [expected.to_owned(), detokenized(expected)] {
            let words: Vec<&str> = tokenize(&text).into_iter().map(|span| &text[span.range()]).collect();
            assert_eq!(words.join(" "), expected, "from {text:?}");
        }
    }
}

/// As a person would write it.
fn detokenized(tokens: &str) -> String {
    let mut text = tokens.to_owned();
    for mark in [",", ";", "!", "?", "%", ")", "'s", "n't", "'re", "'m", "”", "...", "'"] {
        text = text.replace(&format!(" {mark} "), &format!("{mark} "));
        if let Some(front) = text.strip_suffix(&format!(" {mark}")) {
            text = format!("{front}{mark}");
        }
    }
    if let Some(front) = text.strip_suffix(" .") {
        text = format!("{front}.");
    }
    text.replace("( ", "(").replace("“ ", "“").replace("„ ", "„").replace("US$ ", "US$")
}

#[test]
fn a_dot_is_kept_by_abbreviations_only() {
    let words = |text: &str| tokenize(text).into_iter().map(|span| text[span.range()].to_owned()).collect::<Vec<_>>();
    assert_eq!(words("in the U.S."), ["in", "the", "U.S."]);
    assert_eq!(words("J. Keller has plan B."), ["J.", "Keller", "has", "plan", "B", "."]);
    assert_eq!(words("They won 3."), ["They", "won", "3", "."]);
    assert_eq!(words("3."), ["3", "."]);
    assert_eq!(words("'90s 'tis 'Rome'"), ["'90s", "'", "tis", "'", "Rome", "'"]);
    assert_eq!(words("He has MS. or MS."), ["He", "has", "MS.", "or", "MS", "."]);
    assert_eq!(
        words("$3-$4 ($1= 2) a-, b--"),
        ["$", "3", "-", "$", "4", "(", "$", "1", "=", "2", ")", "a-", ",", "b", "--"]
    );
    assert_eq!(words("foo,http://a.org/b,c x://"), ["foo", ",", "http://a.org/b,c", "x://"]);
}

#[test]
fn letters_keep_their_combining_marks() {
    let text = "Noe\u{308}l, हिन्दी\u{a0}x";
    let words: Vec<&str> = tokenize(text).into_iter().map(|span| &text[span.range()]).collect();
    assert_eq!(words, ["Noe\u{308}l", ",", "हिन्दी", "x"]);
}

#[test]
fn lines_are_sentences_named_by_their_number() {
    let corpus =
        Corpus::parse(Path::new("dir/news.txt"), "\u{feff}Ann won.\r\n \r\n\nIn Rome", &ReadOptions::default())
            .unwrap();
    let ids: Vec<&str> = corpus.sentences.iter().map(Sentence::id).collect();
    assert_eq!(ids, ["news-00001", "news-00004"]);
    assert_eq!(corpus.sentences[0].text(), "Ann won.");
    assert_eq!(corpus.sentences[0].provenance(), &Provenance::Unlabelled);

    let message =
        |bytes: &[u8]| Corpus::parse(Path::new("news.txt"), bytes, &ReadOptions::default()).unwrap_err().to_string();
    assert_eq!(message(b" \n"), "news.txt: no sentence in this file: expected at least one");
    assert_eq!(
        message(b"a\nb\xff"),
        "news.txt:2: byte 2 of the line is not UTF-8: expected UTF-8 text; convert the file"
    );
}

proptest! {
    #[test]
    fn tokens_hold_all_but_white_space(text in "(\\PC|[ a-z'.,$+@#-]|[\u{300}\u{200d}\u{a0}]){0,40}") {
        let mut rest = String::new();
        let mut end = 0;
        for span in tokenize(&text) {
            prop_assert!(text[end..span.start()].chars().all(char::is_whitespace));
            prop_assert!(!text[span.range()].contains(char::is_whitespace));
            rest.push_str(&text[span.range()]);
            end = span.end();
        }
        rest.push_str(&text[end..]);
        let squeezed = |text: &str| text.split_whitespace().collect::<String>();
        prop_assert_eq!(squeezed(&rest), squeezed(&text));
    }
}
