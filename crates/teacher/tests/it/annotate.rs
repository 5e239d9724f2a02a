use std::sync::Arc;

use apprentice_core::{Confidence, Provenance};
use apprentice_teacher::votes::Quorum;
use apprentice_teacher::{Annotator, Completion, Form, VotedSentence, annotate, default_labels};

use crate::sentence;

fn answer(id: &str, text: &str) -> Completion {
    Completion {
        sample: 0,
        id: id.to_owned(),
        strategy: "cot".into(),
        model: "m-7".into(),
        sentence: String::new(),
        text: text.to_owned(),
    }
}

#[test]
fn everything_is_counted_and_named() {
    let sentences = [
        sentence("s1", "Rome beat Roman ROME - U.S. Rome-based"),
        sentence("s2", "Hm ."),
        sentence("s3", "A B"),
        sentence("s4", "C"),
    ];
    let completions = [
        answer(
            "s1",
            r#"{"entities": [{"text": "Rome", "type": "LOC"}, {"text": "Rome", "type": "ORG"}, {"text": "rome", "type": "LOC"},
            {"text": "US", "type": "LOC"}, {"text": "Rome", "type": "LOC"}, {"text": "Oslo", "type": "LOC"}, {"text": "beat", "type": "VERB"}]}"#,
        ),
        answer("s2", "None that I can see."),
        answer("s3", "{\"entities\": []}"),
        answer("s4", "{\"entities\": [{\"te"),
    ];
    let annotation = annotate(&sentences, &completions, &default_labels());
    let report = &annotation.report;
    let ids: Vec<_> = annotation.sentences.iter().map(apprentice_core::Sentence::id).collect();
    assert_eq!(ids, ["s1", "s3"]);
    assert_eq!(
        annotation.sentences[0].provenance(),
        &Provenance::Distilled { strategy: "cot".into(), model: "m-7".into() }
    );
    let found: Vec<_> = annotation.sentences[0]
        .entities()
        .iter()
        .map(|e| (annotation.sentences[0].surface(e.span), &*e.label))
        .collect();
    assert_eq!(found, [("Rome", "LOC"), ("ROME", "LOC"), ("U.S.", "LOC"), ("Rome-based", "LOC")]);
    assert_eq!((report.sentences, report.done, report.failures.len()), (4, 2, 2));
    assert_eq!((report.mentions, report.exact, report.folded, report.fuzzy, report.widened), (7, 2, 1, 1, 1));
    assert_eq!((report.missing.count, report.overlaps.count, report.unknown_types["VERB"]), (1, 1, 1));
    assert_eq!(report.missing.to_string(), "s1: \"Oslo\" (LOC)");
    assert_eq!(report.overlaps.to_string(), "s1: \"Rome\" (ORG)");
    assert_eq!(report.failures_by_kind().into_iter().collect::<Vec<_>>(), [("cut-off", 1), ("no-answer", 1)]);

    let unparsed = report.require_all().unwrap_err();
    assert_eq!((unparsed.failures.count, &*unparsed.failures.first[0].id), (2, "s2"));
    let json = serde_json::to_value(report).unwrap();
    assert_eq!(json["failures"][0], serde_json::json!({"id": "s2", "kind": "no-answer"}));
    assert_eq!(json["failures"][1]["at"], 18);
    assert_eq!(json["missing"]["first"][0], serde_json::json!({"id": "s1", "text": "Oslo", "type": "LOC"}));
}

#[test]
fn the_lists_of_the_report_stay_short() {
    let labels: Vec<Arc<str>> = vec!["LOC".into()];
    let mut annotator = Annotator::new(&labels);
    for i in 0..1000 {
        let id = format!("s{i}");
        let completion = answer(&id, r#"{"entities": [{"text": "Oslo", "type": "LOC"}]}"#);
        assert!(annotator.annotate(&sentence(&id, "Rome"), &completion).is_some());
    }
    let report = annotator.finish();
    assert_eq!((report.missing.count, report.missing.first.len()), (1000, 5));
    assert!(report.require_all().is_ok());
}

#[test]
fn how_answers_are_written_is_counted() {
    let rome = sentence("s1", "Rome won");
    let mut annotator = Annotator::new(&default_labels());
    for text in [
        r#"{"entities": [{"text": "Rome", "type": "LOC"}]}"#,
        r#"{"entities": [{"text": "Rome", "type": "LOC"}, {"text": null}, 7,]}"#,
        r#"{"entities": [{"text": "Rome", "type": "LOC"}, {"text": "wo"#,
        r#"{"LOC": ["Rome"]}"#,
        "[Rome|LOC] won",
    ] {
        assert_eq!(annotator.annotate(&rome, &answer("s1", text)).unwrap().entities().len(), 1, "{text}");
    }
    let report = annotator.finish();
    let forms: Vec<_> = report.forms.clone().into_iter().collect();
    assert_eq!(forms, [(Form::Strict, 1), (Form::Repaired, 2), (Form::ByType, 1), (Form::Marks, 1)]);
    assert_eq!((report.repaired(), report.truncated, report.malformed.count), (4, 1, 2));
    assert_eq!(
        report.malformed.first[1].to_string(),
        "s1: entities[2] is the number 7, expected an object with the texts \"text\" and \"type\""
    );
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["forms"], serde_json::json!({"strict": 1, "repaired": 2, "by-type": 1, "marks": 1}));
    assert_eq!(json["malformed"]["first"][1]["place"], "entities[2]");
}

#[test]
fn several_completions_vote_and_the_unreadable_abstain() {
    let rome = sentence("s1", "Ann beat Rome");
    let both = r#"{"entities": [{"text": "Ann", "type": "PER"}, {"text": "Rome", "type": "ORG"}]}"#;
    let city = r#"{"entities": [{"text": "Rome", "type": "LOC"}]}"#;
    let none = r#"{"entities": []}"#;
    let mut completions: Vec<_> = [both, city, "Hm.", none].iter().map(|text| answer("s1", text)).collect();
    completions[1].strategy = "standard".into();
    let mut annotator = Annotator::new(&default_labels());
    let voted = annotator.annotate_votes(&rome, &completions, Quorum::Majority).unwrap();
    assert_eq!(voted.answers.len(), 3);
    let [vote] = &*voted.votes else { panic!("{:?}", voted.votes) };
    assert_eq!((&*vote.entity.label, voted.sentence.entities()), ("LOC", std::slice::from_ref(&vote.entity)));
    assert!((vote.boundary_share - 2.0 / 3.0).abs() < 1e-12 && (vote.share - 1.0 / 3.0).abs() < 1e-12);
    assert_eq!(
        voted.sentence.provenance(),
        &Provenance::Distilled { strategy: "cot | standard".into(), model: "m-7".into() }
    );
    assert_eq!(voted.sentence.confidence(0), Confidence::new(vote.share).ok());
    // Of one answer there is no share to speak of; put together with the other three it has one vote of four.
    let alone = annotator.annotate_votes(&rome, &completions[..1], Quorum::Majority).unwrap();
    assert_eq!((alone.sentence.entities().len(), alone.sentence.confidence(0)), (2, None));
    let merged = VotedSentence::merged(&[&voted, &alone], Quorum::Majority).unwrap();
    assert_eq!((merged.answers.len(), &*merged.sentence.entities()[0].label), (4, "ORG"));
    assert_eq!(merged.sentence.confidence(0), Confidence::new(0.5).ok());
    assert!(annotator.annotate_votes(&rome, &completions[2..3], Quorum::Majority).is_none());
    assert!(annotator.annotate_votes(&rome, [], Quorum::Majority).is_none());
    let report = annotator.finish();
    assert_eq!((report.sentences, report.done, report.failures.len()), (4, 2, 2));
    assert_eq!((report.abstained.count, report.mentions, report.exact), (1, 5, 5));
}
