#![expect(clippy::unwrap_used, reason = "what helps a test may panic as the test may")]

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use apprentice_teacher::{LabelSet, LabelSetError, Prompt, Strategy, default_labels};
use proptest::prelude::{prop, prop_assert, proptest};
use serde_json::{Value, json};

const SMALL: &str = r#"
name = "beer"
about = "reviews of beer"

[[types]]
name = "BEER"
description = "the name of a beer"

[[types]]
name = "brewery"
description = "the name of a brewery"
examples = ["Heron & Sons"]

[[examples]]
sentence = "Old Heron beats Old Heron Light ."
entities = [{ text = "Old Heron", type = "BEER" }, { text = "Old Heron Light", type = "BEER" }]
"#;

#[test]
fn the_built_in_sets_are_those_of_the_shared_tasks() {
    let labels = |name: &str| LabelSet::built_in(name).unwrap().labels();
    assert_eq!(labels("conll2003"), ["PER", "LOC", "ORG", "MISC"].map(Arc::from));
    assert_eq!(
        labels("wnut17"),
        ["person", "location", "corporation", "product", "creative-work", "group"].map(Arc::from)
    );
    assert_eq!(LabelSet::names().collect::<Vec<_>>(), ["conll2003", "wnut17"]);
    assert_eq!(default_labels(), LabelSet::default().labels());
    for name in LabelSet::names() {
        let set = LabelSet::built_in(name).unwrap();
        assert_eq!(set.name, name);
        // Without reasoning, `cot` has nothing to show.
        assert!(
            set.examples.iter().all(|e| e.reasoning.is_some()) && set.examples.iter().any(|e| e.entities.is_empty())
        );
        let shown = |label: &str| set.examples.iter().flat_map(|e| &e.entities).any(|m| m.label == label);
        assert!(set.labels().iter().all(|label| shown(label)), "{name}: every type has an example");
        assert_eq!(LabelSet::parse(&toml::to_string(&set).unwrap(), name).unwrap(), set);
    }
    let error = LabelSet::built_in("ontonotes").unwrap_err().to_string();
    assert_eq!(
        error,
        "no label set \"ontonotes\" is built in, expected conll2003 or wnut17, or give the TOML file of one"
    );
}

#[test]
fn no_sentence_of_wnut17_is_an_example() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/wnut17/wnut17train.conll");
    let Ok(text) = std::fs::read_to_string(shared) else { return };
    let words = |block: &str| block.lines().filter_map(|l| l.split('\t').next()).collect::<Vec<_>>().join(" ");
    let data: Vec<String> = text.split("\n\n").map(words).collect();
    assert!(data.len() > 1000);
    for example in LabelSet::built_in("wnut17").unwrap().examples {
        assert!(!data.contains(&example.sentence), "{}", example.sentence);
    }
}

#[test]
fn what_is_wrong_is_named_with_file_and_key() {
    assert!(LabelSet::parse(SMALL, "beer.toml").is_ok());
    let name = "expected a letter, then letters, digits and -_./+ without blanks, at most 64 characters, such as creative-work";
    let tag = "expected the name of a type, not a tag with its prefix";
    let line = "expected one line of text";
    for (from, to, expected) in [
        ("\"BEER\"\nd", "\"\"\nd", format!("types[0].name is \"\", {name}")),
        ("\"BEER\"\nd", "\"two words\"\nd", format!("types[0].name is \"two words\", {name}")),
        ("\"BEER\"\nd", "\"A|B\"\nd", format!("types[0].name is \"A|B\", {name}")),
        ("\"BEER\"\nd", "\"B\\\"\"\nd", format!("types[0].name is \"B\\\"\", {name}")),
        ("\"BEER\"\nd", "\"O\"\nd", format!("types[0].name is \"O\", {tag}")),
        ("\"BEER\"\nd", "\"B-BEER\"\nd", format!("types[0].name is \"B-BEER\", {tag}")),
        (
            "\"brewery\"",
            "\"beer\"",
            "types[1].name is \"beer\", expected a name that differs from that of the type \"BEER\" by more than case".into(),
        ),
        ("\"the name of a beer\"", "\" \"", format!("types[0].description is \" \", {line}")),
        ("\"Heron & Sons\"", "\"a\\nb\"", format!("types[1].examples[0] is \"a\\nb\", {line}")),
        ("\"reviews of beer\"", "\"\"", format!("about is \"\", {line}")),
        ("name = \"beer\"", "name = \"\"", format!("name is \"\", {name}")),
        (
            "\"Old Heron\", type",
            "\"old heron\", type",
            "examples[0].entities[0].text is \"old heron\", expected text that stands in the sentence, after the entity before it".into(),
        ),
        (
            "\"Old Heron Light\", type",
            "\"beats\", type = \"BEER\" }, { text = \"beats\", type",
            "examples[0].entities[2].text is \"beats\", expected text that stands in the sentence, after the entity before it".into(),
        ),
        (
            "Heron\", type = \"BEER\"",
            "Heron\", type = \"PUB\"",
            "examples[0].entities[0].type is \"PUB\", expected one of the types BEER, brewery".into(),
        ),
        ("entities = [", "reasoning = ''\nentities = [", "examples[0].reasoning is \"\", expected some words, or no such key".into()),
    ] {
        assert!(SMALL.contains(from), "{from}");
        let error = LabelSet::parse(&SMALL.replacen(from, to, 1), "beer.toml").unwrap_err();
        assert!(matches!(error, LabelSetError::Value { .. }));
        assert_eq!(error.to_string(), format!("beer.toml: {expected}"));
    }
    let none = LabelSet::parse("name = 'x'\nabout = 'y'\ntypes = []", "x.toml").unwrap_err().to_string();
    assert_eq!(none, "x.toml: types is an empty list, expected at least one type");
}

#[test]
fn unknown_and_missing_keys_are_refused_with_their_lines() {
    for (from, to, line, word) in [
        ("about", "abuot", 3, "unknown field `abuot`"),
        ("description = \"the name of a beer\"", "", 5, "missing field `description`"),
        ("examples = [\"Heron", "example = [\"Heron", 12, "unknown field `example`"),
        ("sentence =", "text =", 15, "unknown field `text`"),
        ("{ text = \"Old Heron\", type", "{ text = \"Old Heron\", kind", 16, "unknown field `kind`"),
        ("name = \"BEER\"", "name = 3", 6, "expected a string"),
        ("[[types]]", "[[types", 5, "types"),
    ] {
        let error = LabelSet::parse(&SMALL.replacen(from, to, 1), "beer.toml").unwrap_err();
        let message = error.to_string();
        assert!(matches!(error, LabelSetError::Toml { .. }) && error.source().is_some());
        assert!(message.starts_with("beer.toml: not a label set: TOML parse error at line "), "{message}");
        assert!(message.contains(&format!("at line {line},")) && message.contains(word), "{line} {word}: {message}");
    }
    let error = LabelSet::read(Path::new("no/such/set.toml")).unwrap_err();
    assert_eq!(error.to_string(), "cannot read label set no/such/set.toml");
}

/// Every object is closed and requires all that it has, and nothing but these keywords is used.
fn strict(schema: &Value) {
    let schema = schema.as_object().unwrap();
    match schema["type"].as_str().unwrap() {
        "object" => {
            assert_eq!(schema.len(), 4);
            assert_eq!(schema["additionalProperties"], json!(false));
            let properties = schema["properties"].as_object().unwrap();
            let required: Vec<&str> = schema["required"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            assert_eq!(properties.keys().collect::<Vec<_>>(), required);
            properties.values().for_each(strict);
        }
        "array" => {
            assert_eq!(schema.len(), 2);
            strict(&schema["items"]);
        }
        "string" => assert!(schema.keys().all(|key| key == "type" || key == "enum")),
        other => panic!("{other}"),
    }
}

#[test]
fn the_schemas_are_within_the_strict_subset() {
    let set = LabelSet::built_in("wnut17").unwrap();
    for schema in [set.schema(), set.reasoning_schema()] {
        strict(&schema);
        let item = &schema["properties"]["entities"]["items"]["properties"];
        assert_eq!(item["type"]["enum"], json!(set.labels()));
        assert_eq!(item["text"], json!({ "type": "string" }));
    }
    // As it is sent, the reasoning comes before the answer.
    let sent = set.reasoning_schema().to_string();
    let place = |word: &str| sent.find(word).unwrap();
    assert!(place("\"chain_of_thought\":{\"type\":\"string\"}") < place("\"entities\":"), "{sent}");
    assert!(!set.schema().to_string().contains(LabelSet::REASONING));
}

#[test]
fn an_answer_by_either_schema_is_read() {
    for answer in [
        r#"{"entities": [{"text": "Rome", "type": "LOC"}]}"#,
        r#"{"chain_of_thought": "1. Context: x.\nAnswer: {\"entities\": []}", "entities": [{"text": "Rome", "type": "LOC"}]}"#,
    ] {
        assert_eq!(apprentice_teacher::parse(answer).unwrap().mentions.len(), 1, "{answer}");
    }
}

proptest! {
    /// Pieces of a label set in any order and any damage: an error or a set that every strategy can use.
    #[test]
    fn no_text_makes_a_label_set_panic(cuts in prop::collection::vec((0..SMALL.len(), 0..40usize, "(?s)[\\[\\]{}=\"'\n]|.{0,3}"), 0..4)) {
        let mut text = SMALL.to_owned();
        for (at, length, new) in cuts {
            let at = at.min(text.len());
            let end = (at + length).min(text.len());
            if text.is_char_boundary(at) && text.is_char_boundary(end) {
                text.replace_range(at..end, &new);
            }
        }
        if let Ok(set) = LabelSet::parse(&text, "beer.toml") {
            prop_assert!(Strategy::built_in().all(|strategy| Prompt::new(&strategy, &set).is_ok()));
        }
    }
}
