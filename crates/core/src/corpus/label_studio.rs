//! Label Studio's tasks: `data` with the text, `annotations` by people, `predictions` by models.
//!
//! ```json
//! [{"data": {"text": "Ann Keller won in Rome ."}, "annotations": [{"result": [{"from_name": "label", "to_name": "text",
//!   "type": "labels", "value": {"start": 0, "end": 10, "text": "Ann Keller", "labels": ["PER"]}}]}]}]
//! ```
//!
//! The text is `data.text`, or else the only string in `data`. The first annotation that was not cancelled counts, or
//! without annotations the first prediction; a task whose annotations were all cancelled is skipped, and counted.
//! Results of other types than `labels` are not looked at. Offsets count code points; older versions counted UTF-16
//! units, so where the code points do not cover the `text` that the value gives, UTF-16 units are tried.
//!
//! What is written are tasks with `predictions`, which Label Studio shows as pre-annotations.

use std::io;

use serde::Deserialize;
use serde_json::json;

use super::{
    LabelledSpan, LineProblem, ReadOptions, Record,
    json::{RawSpan, Score, Str, placed},
    labels::Labels,
    offsets::Offsets,
};
use crate::Span;

/// What `data` holds.
pub(super) type Data = serde_json::Map<String, serde_json::Value>;

/// One person's or one model's work on a task.
#[derive(Deserialize)]
pub(super) struct Annotation<'a> {
    #[serde(borrow, default)]
    result: Vec<Region<'a>>,
    #[serde(default)]
    was_cancelled: bool,
}

#[derive(Deserialize)]
struct Region<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Option<Str<'a>>,
    #[serde(borrow, default)]
    value: Option<Value<'a>>,
    #[serde(default)]
    score: Score,
}

#[derive(Deserialize)]
struct Value<'a> {
    start: Option<i64>,
    end: Option<i64>,
    #[serde(borrow)]
    text: Option<Str<'a>>,
    #[serde(borrow)]
    labels: Option<Vec<Str<'a>>>,
}

/// The record of a task; `None` if all who looked at it cancelled.
pub(super) fn record(
    id: String,
    mut data: Data,
    annotations: Option<Vec<Annotation<'_>>>,
    predictions: Option<Vec<Annotation<'_>>>,
    options: &ReadOptions,
    labels: &mut Labels,
) -> Result<Option<Record>, LineProblem> {
    let mut string = |key: &str| data.remove(key).and_then(|mut value| owned(&mut value));
    let (own_id, document, text) = (string("id"), string("document"), string("text"));
    let (id, document) = (own_id.unwrap_or(id), document.map(Into::into));
    let Some(text) = text.or_else(|| only_string(data)) else {
        return Err(LineProblem::Json("no text in `data`: expected the key `text`, or exactly one string".to_owned()));
    };
    let record = Record::new(id, text).in_document(document);
    let annotations = annotations.filter(|all| !all.is_empty());
    let cancelled = annotations.as_ref().is_some_and(|all| all.iter().all(|one| one.was_cancelled));
    if cancelled {
        return Ok(None);
    }
    let first = annotations.or(predictions).and_then(|all| all.into_iter().find(|one| !one.was_cancelled));
    let Some(first) = first.filter(|_| options.labels) else { return Ok(Some(record)) };
    let mut spans = Vec::new();
    {
        let offsets = Offsets::new(record.text());
        for region in first.result {
            let kind = region.kind.map_or("labels".into(), |kind| kind.0);
            if kind != "labels" {
                if region.value.is_some_and(|value| value.labels.is_some()) {
                    return Err(LineProblem::Json(format!("a region of type `{kind}` with labels: expected `labels`")));
                }
                continue;
            }
            let Some(Value { start: Some(start), end: Some(end), text: said, labels: Some(types) }) = region.value
            else {
                return Err(LineProblem::Json("a region of type `labels` without start, end or labels".to_owned()));
            };
            let said = said.map(|said| said.0);
            for Str(label) in types {
                let raw = RawSpan { start, end, label, text: said.clone(), score: region.score.0 };
                let span = placed(record.text(), &offsets, &raw).or_else(|problem| {
                    let covers = |span: &Span| said.as_deref() == Some(record.surface(*span));
                    utf16(record.text(), start, end).filter(covers).ok_or(problem)
                })?;
                spans.push(raw.labelled(span, labels));
            }
        }
    }
    Ok(Some(record.with_spans(spans)?))
}

fn only_string(data: Data) -> Option<String> {
    let mut strings = data.into_values().filter_map(|mut value| owned(&mut value));
    let first = strings.next()?;
    strings.next().is_none().then_some(first)
}

fn owned(value: &mut serde_json::Value) -> Option<String> {
    if let serde_json::Value::String(text) = value { Some(std::mem::take(text)) } else { None }
}

/// The bytes of a span of UTF-16 units.
fn utf16(text: &str, start: i64, end: i64) -> Option<Span> {
    let byte = |units: i64| {
        let mut left = usize::try_from(units).ok()?;
        for (byte, c) in text.char_indices() {
            if left == 0 {
                return Some(byte);
            }
            left = left.checked_sub(c.len_utf16())?;
        }
        (left == 0).then_some(text.len())
    };
    Span::new(byte(start)?, byte(end)?)
}

/// Writes a task with its labels as a prediction.
pub(super) fn write(out: &mut Vec<u8>, record: &Record) -> io::Result<()> {
    let offsets = Offsets::new(record.text());
    let region = |(number, s): (usize, &LabelledSpan)| {
        let mut region = json!({
            "id": format!("e{number}"), "from_name": "label", "to_name": "text", "type": "labels",
            "value": {
                "start": offsets.character(s.span.start()), "end": offsets.character(s.span.end()),
                "text": record.surface(s.span), "labels": [&*s.label],
            },
        });
        if let Some(confidence) = s.confidence {
            region["score"] = json!(confidence);
        }
        region
    };
    let mut data = json!({"id": record.id(), "text": record.text()});
    if let Some(document) = record.document() {
        data["document"] = json!(**document);
    }
    let mut task = json!({"data": data});
    if let Some(spans) = record.spans() {
        let result: Vec<_> = spans.iter().enumerate().map(region).collect();
        task["predictions"] = json!([{"model_version": "apprentice", "result": result}]);
    }
    Ok(serde_json::to_writer(out, &task)?)
}
