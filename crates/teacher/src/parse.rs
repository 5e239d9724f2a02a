//! From the raw text of a completion to the mentions it claims. Pure, total, and repeatable for nothing.
//!
//! The answer is a JSON object `{"entities": [{"text": …, "type": …}, …]}`. A completion may hold nothing else, or prose
//! and code fences around it, or a chain of thought with drafts in it. Two rules pick the answer:
//!
//! 1. If some line starts with `Answer:`, only what follows such a line counts.
//! 2. Of the complete objects with the key `entities`, the last one counts.
//!
//! ```
//! use apprentice_teacher::{ParseIssue, parse};
//! let text = "3. Types: Rome is a city.\nAnswer: {\"entities\": [{\"text\": \"Rome\", \"type\": \"LOC\"}]}";
//! let parsed = parse(text).unwrap();
//! assert_eq!((parsed.mentions.len(), &*parsed.mentions[0].text, &*parsed.mentions[0].label), (1, "Rome", "LOC"));
//! assert_eq!(parse("There are no names here."), Err(ParseIssue::NoAnswer));
//! assert!(matches!(parse(r#"{"entities": [{"text": "Rome", }]}"#), Err(ParseIssue::BrokenJson { at: 31, .. })));
//! ```

use serde::{Deserialize, Serialize};
use serde_json::{Deserializer, Map, Value};
use thiserror::Error;

/// The key under which an answer lists its mentions.
const KEY: &str = "entities";

/// What an item of the list has to be.
const ITEM: &str = "an object with the texts \"text\" and \"type\"";

/// What a completion claims: this text in the sentence is a name of this type.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Mention {
    /// The name, supposedly as the sentence has it.
    pub text: String,
    /// The type, supposedly one of the label set.
    #[serde(rename = "type")]
    pub label: String,
}

/// What a completion says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parsed {
    /// The claims, in the order of the completion.
    pub mentions: Vec<Mention>,
}

/// Why a completion says nothing that can be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Error)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ParseIssue {
    /// Nothing that looks like a JSON object, or nothing after `Answer:`.
    #[error("no answer found, expected a JSON object {{\"entities\": […]}}, alone or after `Answer:`")]
    NoAnswer,
    /// An object that is cut off or not valid JSON.
    #[error("broken JSON at byte {at} of the completion ({reason}), expected one object {{\"entities\": […]}}")]
    BrokenJson {
        /// Where it breaks, in bytes of the completion.
        at: usize,
        /// What the JSON parser says.
        reason: String,
    },
    /// Valid JSON that is not an answer.
    #[error("{place} is {found}, expected {expected}")]
    WrongShape {
        /// Which part of the answer.
        place: String,
        /// What it is.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
}

impl ParseIssue {
    /// The kind alone, for counting.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::NoAnswer => "no-answer",
            Self::BrokenJson { .. } => "broken-json",
            Self::WrongShape { .. } => "wrong-shape",
        }
    }
}

/// The mentions of `completion`.
///
/// # Errors
/// A [`ParseIssue`] that says what stands where the answer should be.
pub fn parse(completion: &str) -> Result<Parsed, ParseIssue> {
    let mut best = Found::Nothing;
    for region in regions(completion) {
        scan(completion, region, &mut best);
    }
    match best {
        Found::Nothing => Err(ParseIssue::NoAnswer),
        Found::Answer(list) => Ok(Parsed { mentions: mentions(list)? }),
        Found::Broken { at, reason } => Err(ParseIssue::BrokenJson { at, reason }),
        Found::Other(object) => Err(ParseIssue::WrongShape {
            place: "the answer".to_owned(),
            found: describe(&Value::Object(object)),
            expected: "an object with the key \"entities\"",
        }),
    }
}

/// The best that was found so far.
enum Found {
    Nothing,
    /// A complete object without the key.
    Other(Map<String, Value>),
    /// The start of an object that does not end well. The first one of a region stays, as it is the outermost.
    Broken {
        at: usize,
        reason: String,
    },
    /// The value under the key of a complete object.
    Answer(Value),
}

/// The byte ranges in which the answer may stand: after each line that starts with `Answer:`, or all of the text.
fn regions(text: &str) -> Vec<(usize, usize)> {
    let mut starts = Vec::new();
    let mut line_start = 0;
    for line in text.split_inclusive('\n') {
        // Models like to set the word in bold or as a heading.
        let body = line.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '*' | '#' | '>' | '_' | '-'));
        let after = body.get(..6).filter(|word| word.eq_ignore_ascii_case("answer")).map(|_| &body[6..]);
        if let Some(rest) = after.map(|rest| rest.trim_start_matches([' ', '*', '_']))
            && rest.starts_with(':')
        {
            starts.push(line_start + line.len() - rest.len() + 1);
        }
        line_start += line.len();
    }
    if starts.is_empty() {
        return vec![(0, text.len())];
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts.iter().copied().zip(ends).collect()
}

/// Looks for objects in one region of `text`, and leaves the best of them and `best` in `best`.
fn scan(text: &str, (start, end): (usize, usize), best: &mut Found) {
    let mut broken_here = false;
    let mut at = start;
    while let Some(brace) = text[at..end].find('{').map(|offset| at + offset) {
        let rest = &text[brace..end];
        at = brace + 1;
        if !looks_like_object(rest) {
            continue;
        }
        let mut values = Deserializer::from_str(rest).into_iter::<Value>();
        match values.next() {
            Some(Ok(Value::Object(mut object))) => {
                at = brace + values.byte_offset();
                if let Some(list) = object.remove(KEY) {
                    *best = Found::Answer(list);
                } else if matches!(best, Found::Nothing | Found::Other(_)) {
                    *best = Found::Other(object);
                }
            }
            Some(Err(error)) => {
                let (breaks, reason) = (brace + error_offset(rest, &error), bare_reason(&error));
                // What is nested beyond the parser's limit (128) is no answer, and starting again at each of its levels
                // would take the parser's limit times as long.
                if reason == "recursion limit exceeded" {
                    at = at.max(breaks);
                }
                if !broken_here && !matches!(best, Found::Answer(_)) {
                    broken_here = true;
                    *best = Found::Broken { at: breaks, reason };
                }
            }
            _ => {}
        }
    }
}

/// Whether a brace is the start of an object rather than part of prose, such as `{{ sentence }}` or `{see above}`.
fn looks_like_object(rest: &str) -> bool {
    let inside = rest[1..].trim_start();
    inside.is_empty() || inside.starts_with(['"', '\'', '}']) || inside.starts_with(KEY)
}

/// The byte of `text` at which the parser gave up.
fn error_offset(text: &str, error: &serde_json::Error) -> usize {
    let before: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    // A column counts bytes from 1; 0 stands for the end of the line before.
    (before + error.column().saturating_sub(1)).min(text.len())
}

/// The parser's message without its line and column, which count from the brace and not from the completion's start.
fn bare_reason(error: &serde_json::Error) -> String {
    let message = error.to_string();
    message.rfind(" at line ").map_or(message.clone(), |end| message[..end].to_owned())
}

fn mentions(list: Value) -> Result<Vec<Mention>, ParseIssue> {
    let wrong =
        |place: String, found: &Value, expected| ParseIssue::WrongShape { place, found: describe(found), expected };
    let Value::Array(items) = list else {
        return Err(wrong(format!("\"{KEY}\""), &list, "a list"));
    };
    let mut mentions = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let place = || format!("{KEY}[{index}]");
        match (item.get("text"), item.get("type")) {
            (Some(Value::String(text)), Some(Value::String(label))) => {
                mentions.push(Mention { text: text.clone(), label: label.clone() });
            }
            (Some(Value::String(_)), Some(label)) => return Err(wrong(place() + ".type", label, "a text")),
            (Some(text), Some(_)) => return Err(wrong(place() + ".text", text, "a text")),
            _ => return Err(wrong(place(), &item, ITEM)),
        }
    }
    Ok(mentions)
}

/// A value in few words.
fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("the text {:?}", text.chars().take(40).collect::<String>()),
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Object(object) if object.is_empty() => "an empty object".to_owned(),
        Value::Object(object) => {
            let keys: Vec<String> =
                object.keys().take(5).map(|key| format!("{:?}", key.chars().take(40).collect::<String>())).collect();
            format!("an object with the keys {}{}", keys.join(", "), if object.len() > 5 { ", …" } else { "" })
        }
    }
}
