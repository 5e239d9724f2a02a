use std::fmt::Write;

use apprentice_teacher::{ParseIssue, parse};
use proptest::prelude::*;

use crate::mention;

const ROME: &str = r#"{"entities": [{"text": "Rome", "type": "LOC"}]}"#;
const OSLO: &str = r#"{"entities": [{"text": "Oslo", "type": "LOC"}]}"#;

/// The texts of the mentions, for short.
fn names(completion: &str) -> Vec<String> {
    parse(completion).unwrap_or_else(|issue| panic!("{issue}")).mentions.into_iter().map(|m| m.text).collect()
}

#[test]
fn both_answer_forms_and_what_models_put_around_them() {
    assert_eq!(parse(ROME).unwrap().mentions, [mention("Rome", "LOC")]);
    assert!(parse(" {\"entities\":[]}\n").unwrap().mentions.is_empty());
    for completion in [
        format!("```json\n{ROME}\n```"),
        format!("Sure! Here {{as you asked}} it is:\n{ROME}\nAnything else?"),
        format!("1. Context: …\nAnswer: {ROME}"),
        format!("1. Context: …\r\nAnswer: {ROME}\r\n"),
        format!("**Answer:** {ROME}"),
        format!("**Answer**: {ROME}"),
        format!("## ANSWER :\n\n```json\n{ROME}\n```\nDone {{}}."),
        format!("{{{{ sentence }}}} {ROME}"),
        r#"{"note": "Rome { is } a \"place\"", "entities": [{"type": "LOC", "text": "Rome", "start": 0}]}"#.to_owned(),
    ] {
        assert_eq!(names(&completion), ["Rome"], "{completion}");
    }
    assert_eq!(names(r#"{"entities": [{"text": "\u00c9vora \"x\"", "type": "LOC"}]}"#), ["Évora \"x\""]);
}

#[test]
fn the_last_complete_answer_counts() {
    assert_eq!(names(&format!("{OSLO}\nNo, rather:\n{ROME}")), ["Rome"]);
    assert_eq!(names(&format!("Answer: {OSLO}\nWait.\nAnswer: {ROME}")), ["Rome"]);
    assert_eq!(names(&format!("Answer: {ROME}\nAnswer: {}", &OSLO[..30])), ["Rome"], "the second is cut off");
    assert_eq!(names(&format!("Answer: {ROME}\nNote: {{\"sure\": true}}")), ["Rome"]);
}

#[test]
fn a_draft_before_the_answer_line_is_not_the_answer() {
    assert_eq!(names(&format!("Draft: {OSLO}\nAnswer: {ROME}")), ["Rome"]);
    assert!(matches!(parse(&format!("Draft: {OSLO}\nAnswer: {}", &ROME[..30])), Err(ParseIssue::BrokenJson { .. })));
    assert_eq!(parse(&format!("Draft: {OSLO}\nAnswer: none")), Err(ParseIssue::NoAnswer));
    assert_eq!(names(&format!("The answer: see below.\n{ROME}")), ["Rome"], "not at the start of a line");
}

#[test]
fn every_failure_has_a_kind_a_place_and_an_expectation() {
    for nothing in ["", "   \n", "No entities.", "[]", "Answer:", "{see above}"] {
        assert_eq!(parse(nothing), Err(ParseIssue::NoAnswer), "{nothing}");
    }
    for (broken, position, message) in [
        (r#"{"entities": [{"text": "Rome", "type": "LOC"},]}"#, 46, "trailing comma"),
        (r#"Answer: {"entities": [{"text": "Rome" "type": "LOC"}]}"#, 38, "expected `,` or `}`"),
        ("é {\n\"entities\": [}", 18, "expected value"),
        (r"{'entities': []}", 1, "key must be a string"),
        (r#"{"entities": [{"text": "Ro"#, 25, "EOF while parsing a string"),
        ("{", 0, "EOF while parsing an object"),
    ] {
        let Err(ParseIssue::BrokenJson { at, reason }) = parse(broken) else { panic!("{broken}: {:?}", parse(broken)) };
        assert_eq!((at, &*reason), (position, message), "{broken}");
    }
    for (wrong, message) in [
        ("{}", r#"the answer is an empty object, expected an object with the key "entities""#),
        (
            r#"[{"text": "Rome", "type": "LOC"}]"#,
            r#"the answer is an object with the keys "text", "type", expected an object with the key "entities""#,
        ),
        (r#"{"entities": null}"#, r#""entities" is null, expected a list"#),
        (r#"{"entities": {"LOC": ["Rome"]}}"#, r#""entities" is an object with the keys "LOC", expected a list"#),
        (
            r#"{"entities": ["Rome"]}"#,
            r#"entities[0] is the text "Rome", expected an object with the texts "text" and "type""#,
        ),
        (
            r#"{"entities": [{"text": "Rome", "type": "LOC"}, {"text": "Oslo"}]}"#,
            r#"entities[1] is an object with the keys "text", expected an object with the texts "text" and "type""#,
        ),
        (r#"{"entities": [{"text": "Rome", "type": ["LOC"]}]}"#, "entities[0].type is a list of 1, expected a text"),
        (r#"{"entities": [{"text": 7, "type": "LOC"}]}"#, "entities[0].text is the number 7, expected a text"),
    ] {
        let issue = parse(wrong).unwrap_err();
        assert_eq!((issue.kind(), &*issue.to_string()), ("wrong-shape", message), "{wrong}");
    }
}

#[test]
fn deep_nesting_and_a_long_completion_end_in_good_time() {
    for deep in ["[".repeat(100_000), r#"{"a":"#.repeat(100_000), r#"{"a":["#.repeat(100_000), "{".repeat(1 << 20)] {
        let nested = format!(r#"{{"entities": {deep}"#);
        assert!(matches!(parse(&nested), Err(ParseIssue::BrokenJson { .. })));
    }
    let mut long = String::from(r#"{"entities": ["#);
    for i in 0..20_000 {
        let _ = write!(long, r#"{}{{"text": "Town {i}", "type": "LOC"}}"#, if i == 0 { "" } else { ", " });
    }
    assert!(matches!(parse(&long), Err(ParseIssue::BrokenJson { .. })), "cut off");
    long.push_str("]}");
    assert_eq!(names(&long).len(), 20_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        let _ = parse(&text);
    }

    #[test]
    fn no_text_of_the_right_pieces_makes_it_panic(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "{", "}", "[", "]", "\"", "'", ":", ",", "\\", "\n", " ", "é", "\u{feff}", "\\ud800", "```json\n", "Answer:",
            "answer", "**", "\"entities\"", "\"text\"", "\"type\"", "\"Rome\"", "null", "1e999", ROME,
        ]), 0..40),
    ) {
        if let Err(ParseIssue::BrokenJson { at, .. }) = parse(&pieces.concat()) {
            prop_assert!(at <= pieces.concat().len());
        }
    }

    #[test]
    fn what_is_written_is_read(
        texts in prop::collection::vec((any::<String>(), "[A-Z]{1,5}"), 0..6),
        before in "[^{}]{0,20}",
        fenced in any::<bool>(),
    ) {
        let mentions: Vec<_> = texts.iter().map(|(text, label)| mention(text, label)).collect();
        let object = serde_json::json!({ "entities": &mentions }).to_string();
        let object = if fenced { format!("```json\n{object}\n```") } else { object };
        prop_assert_eq!(parse(&format!("{before}\nAnswer: {object}")).unwrap().mentions, mentions);
    }
}

#[test]
fn an_answer_behind_something_nested_too_deep_is_still_found() {
    let deep = format!("{}{}", r#"{"a":"#.repeat(1000), "}".repeat(1000));
    assert_eq!(names(&format!("{deep}\n{ROME}")), ["Rome"]);
}
