use std::sync::Arc;

use apprentice_core::Provenance;
use apprentice_teacher::{Annotator, Completion, annotate, default_labels};

use crate::sentence;

fn answer(id: &str, text: &str) -> Completion {
    Completion {
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
        answer("s4", "{\"entities\": [{]}"),
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
    assert_eq!(found, [("Rome", "LOC"), ("ROME", "LOC"), ("U.S.", "LOC"), ("Rome-based", "ORG")]);
    assert_eq!((report.sentences, report.done, report.failures.len()), (4, 2, 2));
    assert_eq!((report.mentions, report.exact, report.folded, report.fuzzy, report.widened), (7, 2, 1, 1, 1));
    assert_eq!((report.missing.count, report.overlaps.count, report.unknown_types["VERB"]), (1, 1, 1));
    assert_eq!(report.missing.to_string(), "s1: \"Oslo\" (LOC)");
    assert_eq!(report.overlaps.to_string(), "s1: \"Rome\" (LOC)");
    assert_eq!(report.failures_by_kind().into_iter().collect::<Vec<_>>(), [("broken-json", 1), ("no-answer", 1)]);

    let unparsed = report.require_all().unwrap_err();
    assert_eq!((unparsed.failures.count, &*unparsed.failures.first[0].id), (2, "s2"));
    let json = serde_json::to_value(report).unwrap();
    assert_eq!(json["failures"][0], serde_json::json!({"id": "s2", "kind": "no-answer"}));
    assert_eq!(json["failures"][1]["at"], 15);
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
