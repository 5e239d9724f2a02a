//! Sentences of running text, and what holds for tokens and sentences of any text.

use std::{collections::HashMap, fs};

use apprentice_core::{
    Corpus, Span,
    corpus::{ReadOptions, Source, text::split_sentences, text::tokenize},
};
use proptest::prelude::*;
use serde::Deserialize;

use crate::published::shared;

fn cut(text: &str) -> Vec<&str> {
    split_sentences(text).into_iter().map(|span| &text[span.range()]).collect()
}

/// Where `|` stands, a sentence ends.
#[test]
fn sentences_end_where_a_reader_would_end_them() {
    for marked in [
        // Marks.
        "He won.| She lost!| Why?| Because…| Well.",
        "Really?!| Yes!!!| Good.",
        "He won... and lost.| Then...| Nothing.",
        "It cost 3.5 dollars.| Version 2.0.1 is out.| See a.org.| Done.",
        "He said.Then left.",
        // Quotes and brackets.
        "\"I won.\"| He left.| (He lost.)| [Gone.]| 'So.'| “Ja.”| «Oui.»| Then.",
        "\"Why?\" she asked.| \"No!\" he cried.| (Why?) he asked.",
        "He said: \"I won.| She lost.\"| They left.",
        "They won .| \" We left . \"| \" He stayed .",
        "A note.[3]| Another.[4][5]| The end.",
        "Ask Yahoo! or others.| iPods sold.| eBay fell.",
        "It ended, he said.| -- Ann Keller.",
        // Abbreviations.
        "Mr. and Mrs. Keller met Dr. Gray vs. Prof. Hall.| They left.",
        "In the U.S. Navy.| In the U.S.| The mayor.| \"From the U.S.\"| Keller left.",
        "Acme Inc. of Oslo.| Acme Inc. London.| Acme Inc.| It won.| Acme Corp., too.| He met ex-Gov. Gray.",
        "At 6 p.m. Friday.| At 6 p.m.| He left at 7 a.m.| Then he slept.",
        "J. Keller met George W. Bush and J. R. R. Tolkien.| He left plan B.| The end.",
        "No. 5 won.| No.| He left.| See fig. 3 and pp. 5.| On Oct. 5 and Sept. 12.| Ant and Dec.| Natalie.",
        "He has MS.| Finally, e.g. Rome, i.e. Italy, etc.| Born (b. 1950, fl. 1970).| A song (feat. Ann).| It is St. Fintian's.| Gone.",
        "The Ph.D. Thesis.| It cost US$5.| It didn't.| Wenger left.",
        // Lists and lines.
        "1. Ann won.| 2. Bob lost.",
        "They are:|\n- fast,|\n- cheap|\n* good|\n1. here\nnow|\nb) there",
        "A line\nthat goes on.| Next\r\nline.|\n\nA heading|\r\n \r\nA text|\u{2029}and more\u{2028}here|\n\t\n",
        // Other languages.
        "¿Qué?| ¡No!| Él ganó.| Ça va.| «Élan.»| Ölpreis fiel.",
        "他赢了。|她输了！|为什么？|“好。”|他说：「走吧。」|完",
        "他说：好！，然后走了。",
        "هل فاز؟| نعم.| وخسر.",
        "वह जीता।| वह हारा।",
        "Он ушёл.| Она нет. а потом",
    ] {
        let text = marked.replace('|', "");
        let expected: Vec<&str> = marked.split('|').map(str::trim).filter(|part| !part.is_empty()).collect();
        assert_eq!(cut(&text), expected, "{marked:?}");
    }
}

#[test]
fn texts_without_marks_are_one_sentence_or_none() {
    assert!(cut("").is_empty());
    assert!(cut(" \n\u{a0}\u{2029}\t").is_empty());
    assert_eq!(cut("  Ann won\u{a0}"), ["Ann won"]);
    assert_eq!(cut("..."), ["..."]);
    assert_eq!(cut("\0"), ["\0"]);
}

#[derive(Deserialize)]
struct Article {
    id: String,
    text: String,
}

/// Of 1,000 sentences that others cut from these articles, 22 are two sentences each, and the rest come out as they are.
#[test]
fn sentences_of_bbc_news() {
    let (Some(articles), Some(sentences)) = (shared("bbc/bbc.jsonl"), shared("bbc/teacher-1000.jsonl")) else { return };
    let read = |path| -> Vec<Article> {
        fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let articles: HashMap<String, Article> =
        read(articles).into_iter().map(|article| (article.id.replace('/', "-"), article)).collect();
    let whole = |sentence: &&Article| {
        let id = sentence.id.strip_prefix("bbc-").unwrap().rsplit_once("-s").unwrap().0;
        cut(&articles[id].text).contains(&sentence.text.as_str())
    };
    let sentences = read(sentences);
    assert_eq!((sentences.iter().filter(whole).count(), sentences.len()), (978, 1000));
}

#[test]
fn words_of_conll_2003_stay_whole() {
    for (name, expected) in [("train", (14_004, 14_041)), ("test", (3_439, 3_453))] {
        let Some(path) = shared(&format!("conll2003/{name}.txt")) else { return };
        let sentences = Corpus::read(&Source::of(&path), &ReadOptions::default()).unwrap().sentences;
        let same = sentences.iter().filter(|sentence| tokenize(sentence.text()) == sentence.tokens()).count();
        assert_eq!((same, sentences.len()), expected, "{name}");
    }
}

/// Lines that would take hours if any look ahead or behind went over all of them.
fn hostile(size: usize) -> Vec<(&'static str, String)> {
    let mut lines: Vec<(&str, String)> = [
        "a", "a.", ".", "\"", "'", "a!", "a. ", "A. ", ". ", "a-.'", ". (", ".[1]", ".[", ".[11", "://", "a://", "1. ",
        " ", "\n", ".\n", " \r\n", "。", "é", "1,", "+", "=", "$1", ". \"", ". - ", "('", "…", "\u{301}", "\0", "(.",
        "U.S. ",
    ]
    .map(|part| (part, part.repeat(size / part.len())))
    .into();
    lines.push(("blanks, then numbers", " ".repeat(size / 2) + &"1. ".repeat(size / 6)));
    lines.push(("an address, then strokes", "http://".to_owned() + &"/".repeat(size)));
    lines.push(("a digit, then dots and quotes", "1".to_owned() + &".'".repeat(size / 2)));
    lines.push(("a word, then dots", "x".to_owned() + &". ".repeat(size / 2)));
    lines.push(("digits, then equals", "1".repeat(size / 2) + &"=".repeat(size / 2)));
    lines
}

#[test]
fn hostile_lines_take_linear_time() {
    for (what, line) in hostile(100_000) {
        check(&line, &tokenize(&line)).unwrap_or_else(|error| panic!("tokens of {what:?}: {error}"));
        check(&line, &split_sentences(&line)).unwrap_or_else(|error| panic!("sentences of {what:?}: {error}"));
    }
}

/// Spans in order, on character boundaries, not beginning or ending with white space, with only white space between.
fn check(text: &str, spans: &[Span]) -> Result<(), String> {
    let mut end = 0;
    for span in spans {
        let gap = text.get(end..span.start()).ok_or_else(|| format!("{span:?} after {end}"))?;
        let part = text.get(span.range()).ok_or_else(|| format!("{span:?}"))?;
        if !gap.trim().is_empty() || part.trim().len() != part.len() {
            return Err(format!("{gap:?} before {part:?}"));
        }
        end = span.end();
    }
    if text[end..].trim().is_empty() { Ok(()) } else { Err(format!("{:?} is left", &text[end..])) }
}

proptest! {
    #[test]
    fn tokens_and_sentences_hold_all_but_white_space(
        text in "(\\PC|\\p{Any}|[ a-zA-Z0-9.!?…'\"()\\[\\]$+,:/=@#-]|[\0\n\r\u{85}\u{a0}\u{300}\u{200d}\u{2028}\u{2029}\u{202e}\u{1f469}。？「」א漢]){0,60}"
    ) {
        prop_assert_eq!(check(&text, &split_sentences(&text)), Ok(()));
        prop_assert_eq!(check(&text, &tokenize(&text)), Ok(()));
        let tokens = tokenize(&text);
        prop_assert!(tokens.iter().all(|token| !text[token.range()].contains(char::is_whitespace)));
    }
}

/// Prints the speed on one core, on text of news and on lines of 10 MB:
/// `cargo test --release -p apprentice-core --test it -- --ignored --nocapture sentences::speed`.
#[test]
#[ignore = "measures, asserts nothing"]
fn speed() {
    let measure = |what: &str, lines: &[&str]| {
        let bytes: usize = lines.iter().map(|line| line.len()).sum();
        let rates = [tokenize, split_sentences].map(|split| {
            let start = std::time::Instant::now();
            let parts: usize = lines.iter().map(|line| split(line).len()).sum();
            (bytes as f64 / 1e6 / start.elapsed().as_secs_f64(), parts)
        });
        let [(tokens_rate, tokens), (sentences_rate, sentences)] = rates;
        println!("{what}: {tokens} tokens, {tokens_rate:.0} MB/s; {sentences} sentences, {sentences_rate:.0} MB/s");
    };
    if let Some(path) = shared("bbc/bbc.jsonl") {
        let texts = fs::read_to_string(path).unwrap();
        let articles: Vec<Article> = texts.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let texts: Vec<&str> = articles.iter().map(|article| article.text.as_str()).collect();
        measure("BBC news", &texts);
        measure("BBC news", &texts);
    }
    for (what, line) in hostile(10_000_000) {
        measure(&format!("10 MB of {what:?}"), &[&line]);
    }
}
