use std::fmt::Write;

use apprentice_teacher::{Form, ParseIssue, parse};
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
    assert!(matches!(parse(&format!("Draft: {OSLO}\nAnswer: {}", &ROME[..30])), Err(ParseIssue::CutOff { .. })));
    assert_eq!(parse(&format!("Draft: {OSLO}\nAnswer: none")), Err(ParseIssue::NoAnswer));
    assert_eq!(names(&format!("The answer: see below.\n{ROME}")), ["Rome"], "not at the start of a line");
}

#[test]
fn every_failure_has_a_kind_a_place_and_an_expectation() {
    for empty in ["", "   \n", "\0\u{feff}"] {
        assert_eq!(parse(empty).map_err(|issue| issue.kind()), Err("empty"), "{empty:?}");
    }
    for nothing in ["No entities.", "Answer:", "{see above}", "as in [1] and [a, b]", "use { and ["] {
        assert_eq!(parse(nothing), Err(ParseIssue::NoAnswer), "{nothing}");
    }
    for (broken, position, message) in [
        (r#"{"entities": [: "Rome"]}"#, 14, "expected a value or a closing bracket"),
        (r#"Answer: {"entities": {"LOC" "Rome"}}"#, 28, "expected `:`"),
        ("é {\n\"entities\": {[]}", 18, "expected a key"),
    ] {
        let Err(ParseIssue::BrokenJson { at, reason }) = parse(broken) else { panic!("{broken}: {:?}", parse(broken)) };
        assert_eq!((at, &*reason), (position, message), "{broken}");
    }
    for (cut, position, within) in [
        (r#"{"entities": [{"text": "Ro"#, 26, "a text"),
        (r#"{"entities": [{"text": "Rome", "type": "LO"#, 42, "a text"),
        ("{\"entities\": [\n```\nDone.", 15, "a list"),
        ("{", 1, "an object"),
    ] {
        let Err(ParseIssue::CutOff { at, inside }) = parse(cut) else { panic!("{cut}: {:?}", parse(cut)) };
        assert_eq!((at, inside), (position, within), "{cut}");
    }
    for (wrong, message) in [
        ("{}", r#"the answer is an empty object, expected an object with the key "entities""#),
        (r#"{"entities": null}"#, r#""entities" is null, expected a list"#),
        (
            r#"{"entities": ["Rome"]}"#,
            r#"entities[0] is the text "Rome", expected an object with the texts "text" and "type""#,
        ),
        (
            r#"{"entities": [{"text": "Oslo"}]}"#,
            r#"entities[0] is an object with the keys "text", expected an object with the texts "text" and "type""#,
        ),
        (r#"{"entities": {"LOC": 7}}"#, "entities.LOC is the number 7, expected a list of texts"),
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
        assert!(matches!(parse(&nested), Err(ParseIssue::BrokenJson { .. })), "{:?}", parse(&nested));
    }
    let mut long = String::from(r#"{"entities": ["#);
    for i in 0..20_000 {
        let _ = write!(long, r#"{}{{"text": "Town {i}", "type": "LOC"}}"#, if i == 0 { "" } else { ", " });
    }
    let cut = parse(&long).unwrap();
    assert_eq!((cut.mentions.len(), cut.truncated, cut.malformed.count), (20_000, true, 0));
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

/// The mentions as `text/TYPE`, the form, and `+` if there may have been more.
fn told(completion: &str) -> String {
    let parsed = parse(completion).unwrap_or_else(|issue| panic!("{completion}: {issue}"));
    let mentions: Vec<_> = parsed.mentions.iter().map(|m| format!("{}/{}", m.text, m.label)).collect();
    let more = if parsed.truncated { "+" } else { "" };
    format!("{:?}{more}: {}", parsed.form, mentions.join(" "))
}

#[track_caller]
fn check(completion: &str, expected: &str) {
    assert_eq!(told(completion), expected, "{completion}");
}

#[test]
fn json_as_models_write_it_is_mended() {
    for list in [
        r#"{"entities": [{"text": "Rome", "type": "LOC",}, {"text": "Ann", "type": "PER"},]}"#,
        "{'entities': [{'text': 'Rome', 'type': 'LOC', 'sure': True}, {'text': 'Ann', 'type': 'PER', 'id': None}]}",
        "{“entities”: [{“text”: “Rome”, “type”: “LOC”}, {“text”: “Ann”, “type”: “PER”}]}",
        r#"{entities: [{text: "Rome", type: LOC}, {text: 'Ann', type: PER}]}"#,
        "{ // the names\n\"entities\": [ # two\n{\"text\": \"Rome\", /* a city */ \"type\": \"LOC\"}, {\"text\": \"Ann\", \"type\": \"PER\"}]}",
        r#"{"entities": [{"text": "Rome" "type": "LOC"} {"text": "Ann", "type": "PER"}]}"#,
        r#"{"entities": [{"text": "Rome", "type": "LOC"], {"text": "Ann", "type": "PER"}]}"#,
        r#"{"entities": [{"text": "Rome", "type": "LOC"}}, {"text": "Ann", "type": "PER"}]}"#,
        r#"{"entities": [{"text": "Rome", "type": "LOC"}, {"text": "Ann", "type": "PER"}}"#,
        r#"{"entities": [{"text": "Rome", "type": " LOC "}, {"text": "Ann", "type": "PER\n"}]}"#,
        r#"{{"entities": [{"text": "Rome", "type": "LOC"}, {"text": "Ann", "type": "PER"}],,}}"#,
        r#"[{"text": "Rome", "type": "LOC"}, {"text": "Ann", "type": "PER"}]"#,
        r#"[["Rome", "LOC"], ["Ann", "PER"]]"#,
        r#"[("Rome", "LOC"), ('Ann', 'PER')]"#,
        "- {\"text\": \"Rome\", \"type\": \"LOC\"}\n- {\"text\": \"Ann\", \"type\": \"PER\"}",
        r#"{"named_entities": [{"mention": "Rome", "label": "LOC"}, {"span": "Ann", "category": "PER"}]}"#,
        r#"{"results": [{"entity": "Rome", "entity_type": "LOC"}, {"name": "Ann", "type": "PER"}]}"#,
        r#"{"ner": [{"word": "Rome", "entity": "LOC"}, {"word": "Ann", "entity_group": "PER"}]}"#,
        r#"{"answer": {"Entities": [{"Text": "Rome", "Type": "LOC"}, {"text": "Ann", "type": "PER"}]}}"#,
    ] {
        let told = told(list).replace("Strict", "Repaired");
        assert_eq!(told, "Repaired: Rome/LOC Ann/PER", "{list}");
    }
    check(r#"{"entities": [{"text": "the "Big" One's", "type": "ORG"}]}"#, "Repaired: the \"Big\" One's/ORG");
    check("[{'text': 'People's Daily', 'type': 'ORG'}]", "Repaired: People's Daily/ORG");
    check(r#"{"entities": [{"text": "a\ud83d\ude00\ud800b", "type": "X"}]}"#, "Repaired: a😀\u{fffd}b/X");
    check("{\"entities\": [{\"text\": \"a\0b\",\0 \"type\": \"X\"}]}", "Repaired: a\0b/X");
    check(r#"{"entities": [], "entities": [{"text": "a", "text": "b", "type": "X"}]}"#, "Strict: b/X");
    check("[]", "Repaired: ");
}

#[test]
fn dictionaries_are_read_by_type_and_under_the_key_by_text() {
    check(r#"{"PER": ["Ann", "Bo"], "LOC": [], "ORG": null}"#, "ByType: Ann/PER Bo/PER");
    check(r#"{"entities": {"PER": ["Ann"], "LOC": "Rome"}}"#, "ByType: Ann/PER Rome/LOC");
    check(r#"{"entities": {"PER": [{"text": "Ann"}]}}"#, "ByType: Ann/PER");
    check(r#"{"entities": {"Ann Keller": "PER", "Rome": "LOC"}}"#, "ByText: Ann Keller/PER Rome/LOC");
    check(r#"{"entities": {"text": "Rome", "type": "LOC"}}"#, "Repaired: Rome/LOC");
    check(r#"{"PER": ["Ann", "B"#, "ByType+: Ann/PER");
    check(&format!("{{\"tokens\": [\"a\"]}} {ROME} {{\"PER\": [\"a\"]}}"), "Strict: Rome/LOC");
    assert_eq!(parse(r#"{"Ann Keller": "PER"}"#).unwrap_err().kind(), "wrong-shape");
}

#[test]
fn marks_in_the_sentence_count_only_without_json() {
    check("[EU|ORG] rejects [German|MISC] call", "Marks: EU/ORG German/MISC");
    check("Answer: [EU](ORG) and <PER>Ann Lee</PER> left.", "Marks: EU/ORG Ann Lee/PER");
    check(&format!("[EU|ORG] rejects\n{ROME}"), "Strict: Rome/LOC");
    for nothing in ["<b>Rome</b>", "see [this](http://a.b/c)", "[x|] [|X] <PER>Ann</LOC> <PER></PER>", "a | b [c|d"] {
        assert_eq!(parse(nothing), Err(ParseIssue::NoAnswer), "{nothing}");
    }
}

#[test]
fn what_is_complete_of_a_cut_answer_is_kept() {
    let two = r#"{"entities": [{"text": "Rome", "type": "LOC"}, {"text": "Ann", "type": "PER"}]}"#;
    for (end, _) in two.char_indices().filter(|(end, _)| *end > 44) {
        let parsed = parse(&two[..end]).unwrap();
        let whole = end > two.rfind("\"}").unwrap();
        assert_eq!(parsed.mentions.len(), if whole { 2 } else { 1 }, "{}", &two[..end]);
        assert_eq!((parsed.truncated, parsed.malformed.count), (end < two.len() - 1, 0), "{}", &two[..end]);
    }
    check(r#"[{"text": "Rome", "type": "LOC"}, {"te"#, "Repaired+: Rome/LOC");
    check(
        r#"{"entities": [{"text": "Rome", "type": "LOC"}, : {"text": "Ann", "type": "PER"}]}"#,
        "Repaired+: Rome/LOC",
    );
    check(&format!("{ROME} {}", &two[..60]), "Strict: Rome/LOC");
}

#[test]
fn items_that_are_no_mentions_are_listed_beside_those_that_are() {
    let parsed =
        parse(r#"{"entities": [{"text": "Rome", "type": null}, {"text": "Ann", "type": "PER"}, "Oslo", ...]}"#)
            .unwrap();
    assert_eq!((parsed.mentions.len(), parsed.malformed.count, parsed.form), (1, 3, Form::Repaired));
    assert_eq!(parsed.malformed.first[0].to_string(), "entities[0].type is null, expected a text");
}

#[test]
fn thoughts_are_not_the_answer() {
    check(&format!("<think>Perhaps {OSLO}\nAnswer: {OSLO}</think>\n{ROME}"), "Strict: Rome/LOC");
    check(&format!("{OSLO}\n**Final Answer:** {ROME}"), "Strict: Rome/LOC");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_strict_json_says_is_read_as_strict(
        items in prop::collection::vec((any::<String>(), any::<String>(), any::<Option<f64>>()), 0..5),
        pretty in any::<bool>(),
    ) {
        let items: Vec<_> = items.into_iter()
            .map(|(text, label, note)| serde_json::json!({"note": [note, {"": true}], "text": text, "type": label}))
            .collect();
        let value = serde_json::json!({"note": "“'\"", "entities": items});
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let parsed = parse(&text).unwrap();
        let expected: Vec<_> = items.iter()
            .map(|item| mention(item["text"].as_str().unwrap(), item["type"].as_str().unwrap().trim()))
            .collect();
        prop_assert_eq!(parsed.form, Form::Strict);
        prop_assert!(!parsed.truncated && parsed.malformed.is_empty());
        prop_assert_eq!(parsed.mentions, expected);
    }
}
