//! From the raw text of a completion to the mentions it claims. Pure, total, and repeatable for nothing.
//!
//! The answer that prompts ask for is a JSON object `{"entities": [{"text": …, "type": …}, …]}`. Models also write it
//! in prose and code fences, after a chain of thought, in Python's syntax, under other keys, as a bare list, one object
//! a line, as pairs, by type, or as marks inside the sentence; and some completions are cut off. All of that is read;
//! [`Parsed::form`] says how it was written. What counts:
//!
//! 1. Thoughts in `<think>…</think>` do not.
//! 2. If some line starts with `Answer:`, only what follows such a line does.
//! 3. A complete object with the key `entities` (or a name for it) comes before a complete list, then an answer that is
//!    cut off, then single objects, then a dictionary by type. Among equals, the last one counts.
//! 4. Only where there is no JSON, marks (`[EU|ORG]`, `[EU](ORG)`, `<ORG>EU</ORG>`) do.
//!
//! Items that cannot be used are listed in [`Parsed::malformed`] if others can. Labels are taken as they are written,
//! without the white space around them. The time is in proportion to the completion: see [`read_all`].
//!
//! ```
//! use apprentice_teacher::{Form, ParseIssue, parse};
//! let text = "3. Types: Rome is a city.\nAnswer: {\"entities\": [{\"text\": \"Rome\", \"type\": \"LOC\"}]}";
//! let parsed = parse(text).unwrap();
//! assert_eq!((parsed.mentions.len(), &*parsed.mentions[0].text, &*parsed.mentions[0].label), (1, "Rome", "LOC"));
//! assert_eq!(parsed.form, Form::Strict);
//! assert_eq!(parse("{'LOC': ['Rome',],}").unwrap().form, Form::ByType);
//! assert_eq!(parse("[Rome|LOC] won").unwrap().form, Form::Marks);
//! assert_eq!(parse("There are no names here."), Err(ParseIssue::NoAnswer));
//! assert!(matches!(parse(r#"{"entities": [{"text": "Rome", "ty"#), Err(ParseIssue::CutOff { at: 34, .. })));
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Listed;
use crate::loose::{self, Reading, Stop, Value};
use crate::marks::marks;

/// The key under which an answer lists its mentions.
const KEY: &str = "entities";

/// The keys under which models list them too.
const OTHER_KEYS: [&str; 4] = ["ner", "named_entities", "mentions", "results"];

/// The keys of a mention's text, the likeliest first.
const TEXT_KEYS: [&str; 6] = ["text", "entity", "mention", "span", "name", "word"];

/// The keys of a mention's type, the likeliest first.
const TYPE_KEYS: [&str; 6] = ["type", "label", "entity_type", "entity_group", "category", "tag"];

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

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// As it was asked for: strict JSON, one object with the list `entities` of objects with `text` and `type`.
    #[default]
    Strict,
    /// A list of mentions that is not quite JSON, or under other keys, or bare, or of pairs, or one object a line.
    Repaired,
    /// A dictionary from types to texts: `{"PER": ["Ann"], "LOC": []}`.
    ByType,
    /// A dictionary from texts to types: `{"entities": {"Ann": "PER"}}`.
    ByText,
    /// Marks inside the sentence.
    Marks,
}

/// What a completion says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parsed {
    /// The claims, in the order of the completion.
    pub mentions: Vec<Mention>,
    /// How they are written.
    pub form: Form,
    /// Whether the answer stops before its end, so that there may have been more: it was cut off, or what follows
    /// cannot be read.
    pub truncated: bool,
    /// The items that are no mentions.
    pub malformed: Listed<Malformed>,
}

/// A part of an answer that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Malformed {
    /// Which part of the answer.
    pub place: String,
    /// What it is.
    pub found: String,
    /// What it should be.
    pub expected: &'static str,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}, expected {}", self.place, self.found, self.expected)
    }
}

/// Why a completion says nothing that can be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Error)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ParseIssue {
    /// Nothing but white space.
    #[error("the completion is empty, expected a JSON object {{\"entities\": […]}}; ask again")]
    Empty,
    /// Nothing that looks like JSON or marks, or nothing after `Answer:`.
    #[error("no answer found, expected a JSON object {{\"entities\": […]}}, alone or after `Answer:`")]
    NoAnswer,
    /// An object that ends with the completion, before its first mention is complete.
    #[error(
        "cut off at byte {at} of the completion inside {inside}, before the first complete mention, expected one object \
         {{\"entities\": […]}}; allow longer completions"
    )]
    CutOff {
        /// Where it ends, in bytes of the completion.
        at: usize,
        /// What is incomplete.
        inside: &'static str,
    },
    /// An object that is beyond repair.
    #[error("broken JSON at byte {at} of the completion ({reason}), expected one object {{\"entities\": […]}}")]
    BrokenJson {
        /// Where it breaks, in bytes of the completion.
        at: usize,
        /// What should be there.
        reason: String,
    },
    /// Valid JSON that is not an answer.
    #[error("{0}")]
    WrongShape(Malformed),
}

impl ParseIssue {
    /// The kind alone, for counting.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::NoAnswer => "no-answer",
            Self::CutOff { .. } => "cut-off",
            Self::BrokenJson { .. } => "broken-json",
            Self::WrongShape(_) => "wrong-shape",
        }
    }
}

/// The mentions of `completion`.
///
/// # Errors
/// A [`ParseIssue`] that says what stands where the answer should be.
pub fn parse(completion: &str) -> Result<Parsed, ParseIssue> {
    if completion.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\0' | '\u{feff}')).is_empty() {
        return Err(ParseIssue::Empty);
    }
    let mut found = Found::default();
    let regions = regions(completion);
    for &(start, end) in &regions {
        found.region(&completion[..end], start);
    }
    if let Some(best) = found.best {
        return best.parsed();
    }
    if let Some(issue) = found.broken {
        return Err(issue);
    }
    let marked = regions.iter().rev().map(|&(start, end)| marks(&completion[start..end])).find(|m| !m.is_empty());
    match (marked, found.other) {
        (Some(mentions), _) => Ok(Parsed { mentions, form: Form::Marks, ..Parsed::default() }),
        (None, _) if found.empty_list => Ok(Parsed { form: Form::Repaired, ..Parsed::default() }),
        (None, Some(found)) => {
            let expected = "an object with the key \"entities\"";
            Err(ParseIssue::WrongShape(Malformed { place: "the answer".to_owned(), found, expected }))
        }
        (None, None) => Err(ParseIssue::NoAnswer),
    }
}

/// Every object and list of `text` from byte `from` on, each read once. `visit` is told where each starts and what it is.
///
/// Within a text that never ends there may be an answer, so reading starts again behind its quote; at most until
/// `4 · length` bytes were read in all, so that a million such quotes take no longer than that. Gives the bytes read.
fn read_all(text: &str, from: usize, mut visit: impl FnMut(Reading)) -> usize {
    let limit = 4 * (text.len() - from);
    let (mut at, mut work) = (from, 0);
    while let Some(start) = text[at..].find(['{', '[']).map(|offset| at + offset) {
        let reading = loose::read(text, start);
        work += reading.end - start;
        at = reading.end.max(start + 1);
        if let Some(quote) = reading.open_text
            && work < limit
        {
            at = quote + 1;
            while !text.is_char_boundary(at) {
                at += 1;
            }
        }
        visit(reading);
    }
    work
}

/// What an object or list means, the likeliest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    CutByType,
    ByType,
    Lines,
    CutList,
    CutAnswer,
    List,
    Answer,
}

/// What may be the answer.
struct Candidate {
    rank: Rank,
    value: Value,
    /// Whether `value` stands under the key that was asked for, in strict JSON.
    strict: bool,
    /// Whether `value` stands under a key.
    keyed: bool,
}

/// The best of what was found so far.
#[derive(Default)]
struct Found {
    best: Option<Candidate>,
    /// The first object that is cut off or broken.
    broken: Option<ParseIssue>,
    /// Whether there is a list of nothing, which is an answer only if nothing else may be.
    empty_list: bool,
    /// The last object that is something else, in words.
    other: Option<String>,
}

impl Found {
    /// Looks through `text` from byte `from` on.
    fn region(&mut self, text: &str, from: usize) {
        // Single mentions, one object after the other, make up a list.
        let mut lines = Vec::new();
        read_all(text, from, |reading| {
            if reading.stop.is_none() && matches!(reading.value, Value::Object(_)) && mention(&reading.value).is_some()
            {
                lines.push(reading.value);
            } else {
                self.reading(reading);
            }
        });
        if !lines.is_empty() {
            self.offer(Candidate { rank: Rank::Lines, value: Value::List(lines), strict: false, keyed: false });
        }
    }

    fn offer(&mut self, candidate: Candidate) {
        if self.best.as_ref().is_none_or(|best| candidate.rank >= best.rank) {
            self.best = Some(candidate);
        }
    }

    fn reading(&mut self, reading: Reading) {
        let Reading { value, end, repaired, stop, open, .. } = reading;
        let cut = stop.is_some();
        let has_mention = |value: &Value| {
            let mut collected = Collected::default();
            collected.add(value, true);
            !collected.mentions.is_empty()
        };
        if let Some((list, asked)) = answer(&value) {
            // Only what is open can have lost something: behind the closed list the rest does not matter.
            if open <= 1 || has_mention(list) {
                let rank = if open <= 1 { Rank::Answer } else { Rank::CutAnswer };
                let value = list.clone();
                return self.offer(Candidate { rank, value, strict: asked && !repaired, keyed: true });
            }
        } else {
            let rank = match &value {
                Value::List(items) if items.is_empty() && !cut => {
                    self.empty_list = true;
                    return;
                }
                Value::List(_) if has_mention(&value) => Some(if cut { Rank::CutList } else { Rank::List }),
                Value::Object(_) if is_by_type(&value) && (!cut || has_mention(&value)) => {
                    Some(if cut { Rank::CutByType } else { Rank::ByType })
                }
                _ => None,
            };
            if let Some(rank) = rank {
                return self.offer(Candidate { rank, value, strict: false, keyed: false });
            }
        }
        match (stop, &value) {
            // Brackets of prose.
            (Some(Stop::Broken(_)), Value::Object(entries)) if entries.is_empty() => {}
            (_, Value::List(items)) if !items.iter().any(|i| matches!(i, Value::List(_) | Value::Object(_))) => {}
            (Some(Stop::Cut(inside)), _) => {
                self.broken.get_or_insert(ParseIssue::CutOff { at: end, inside });
            }
            (Some(Stop::Broken(expected)), _) => {
                self.broken.get_or_insert(ParseIssue::BrokenJson { at: end, reason: format!("expected {expected}") });
            }
            (None, _) => self.other = Some(value.describe()),
        }
    }
}

/// The value that lists the mentions of an object, and whether it is under the key that was asked for at the top.
fn answer(value: &Value) -> Option<(&Value, bool)> {
    let Value::Object(entries) = value else { return None };
    if let Some(list) = value.get(KEY) {
        return Some((list, entries.iter().any(|(key, _)| key == KEY)));
    }
    let listed = |key: &&str| value.get(key).filter(|list| matches!(list, Value::List(_) | Value::Object(_)));
    if let Some(list) = OTHER_KEYS.iter().find_map(listed) {
        return Some((answer(list).map_or(list, |(inner, _)| inner), false));
    }
    // In a wrapper such as `{"answer": {"entities": […]}}`.
    entries.iter().rev().find_map(|(_, value)| answer(value)).map(|(list, _)| (list, false))
}

/// Whether an object without a telling key is a dictionary from types to texts.
fn is_by_type(value: &Value) -> bool {
    let Value::Object(entries) = value else { return false };
    let texts = |value: &Value| match value {
        Value::List(items) => items.iter().all(|item| matches!(item, Value::Text(_))),
        value => *value == Value::Null,
    };
    entries.iter().all(|(_, value)| texts(value)) && entries.iter().any(|(_, value)| matches!(value, Value::List(_)))
}

impl Candidate {
    fn parsed(self) -> Result<Parsed, ParseIssue> {
        let truncated = matches!(self.rank, Rank::CutByType | Rank::CutList | Rank::CutAnswer);
        let mut collected = Collected { strict: self.strict, ..Collected::default() };
        if !matches!(self.value, Value::List(_) | Value::Object(_)) {
            let found = self.value.describe();
            let place = format!("{KEY:?}");
            return Err(ParseIssue::WrongShape(Malformed { place, found, expected: "a list" }));
        }
        collected.add(&self.value, truncated);
        if collected.mentions.is_empty()
            && let Some(first) = collected.malformed.first.first()
        {
            return Err(ParseIssue::WrongShape(first.clone()));
        }
        let form = match self.value {
            Value::List(_) if collected.strict && self.keyed => Form::Strict,
            Value::Object(_) => collected.dictionary,
            _ => Form::Repaired,
        };
        Ok(Parsed { mentions: collected.mentions, form, truncated, malformed: collected.malformed })
    }
}

/// Mentions taken out of a value.
#[derive(Default)]
struct Collected {
    mentions: Vec<Mention>,
    malformed: Listed<Malformed>,
    /// Whether every item is as it was asked for.
    strict: bool,
    /// Which way a dictionary goes.
    dictionary: Form,
}

impl Collected {
    /// Takes the mentions of a list or dictionary. The last item of one that is `cut` may be half of one.
    fn add(&mut self, value: &Value, cut: bool) {
        match value {
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.item(item, || format!("{KEY}[{index}]"), cut && index + 1 == items.len());
                }
            }
            Value::Object(_) if mention(value).is_some() => {
                self.dictionary = Form::Repaired;
                self.item(value, || format!("{KEY:?}"), false);
            }
            Value::Object(entries) => {
                let by_type = entries.iter().any(|(_, value)| matches!(value, Value::List(_)));
                self.dictionary = if by_type { Form::ByType } else { Form::ByText };
                for (key, value) in entries {
                    let place = || format!("{KEY}.{}", key.chars().take(40).collect::<String>());
                    match value {
                        Value::Null if by_type => {}
                        Value::Text(text) if by_type => self.push(text, key),
                        Value::Text(label) => self.push(key, label),
                        Value::List(items) => {
                            for (index, item) in items.iter().enumerate() {
                                match first_text(item, &TEXT_KEYS).or(text_of(item)) {
                                    Some(text) => self.push(text, key),
                                    None => self.fail(format!("{}[{index}]", place()), item, "a text"),
                                }
                            }
                        }
                        other => self.fail(place(), other, "a list of texts"),
                    }
                }
            }
            _ => {}
        }
    }

    fn item(&mut self, item: &Value, place: impl Fn() -> String, half: bool) {
        let (place, asked) = match mention(item) {
            Some((text, label)) => {
                let has = |key| matches!(item, Value::Object(entries) if entries.iter().any(|(name, _)| name == key));
                self.strict &= has("text") && has("type");
                return self.push(text, label);
            }
            None if half => return,
            None => (place(), (item.get("text"), item.get("type"))),
        };
        match asked {
            (Some(Value::Text(_)), Some(label)) => self.fail(place + ".type", label, "a text"),
            (Some(text), Some(_)) => self.fail(place + ".text", text, "a text"),
            _ => self.fail(place, item, ITEM),
        }
    }

    fn push(&mut self, text: &str, label: &str) {
        self.mentions.push(Mention { text: text.to_owned(), label: label.trim().to_owned() });
    }

    fn fail(&mut self, place: String, found: &Value, expected: &'static str) {
        self.malformed.push(Malformed { place, found: found.describe(), expected });
    }
}

/// The text and the type of an object or a pair.
fn mention(item: &Value) -> Option<(&str, &str)> {
    match item {
        Value::List(pair) => match pair.as_slice() {
            [Value::Text(text), Value::Text(label)] => Some((text, label)),
            _ => None,
        },
        Value::Object(_) => match (first_text(item, &TEXT_KEYS), first_text(item, &TYPE_KEYS)) {
            (Some(text), Some(label)) => Some((text, label)),
            // The pipeline of transformers calls the type `entity` and the text `word`.
            _ => Some((text_of(item.get("word")?)?, text_of(item.get("entity")?)?)),
        },
        _ => None,
    }
}

fn text_of(value: &Value) -> Option<&str> {
    if let Value::Text(text) = value { Some(text) } else { None }
}

/// What stands under the first of `keys` that there is, if it is a text.
fn first_text<'a>(item: &'a Value, keys: &[&str]) -> Option<&'a str> {
    keys.iter().find_map(|key| item.get(key)).and_then(text_of)
}

/// The byte ranges in which the answer may stand: after each line that starts with `Answer:`, or all of the text behind
/// the thoughts.
fn regions(text: &str) -> Vec<(usize, usize)> {
    const THOUGHT: &str = "</think>";
    let thoughts = text.rfind(THOUGHT).map_or(0, |end| end + THOUGHT.len());
    let mut starts = Vec::new();
    let mut line_start = thoughts;
    for line in text[thoughts..].split_inclusive('\n') {
        // Models like to set the word in bold or as a heading.
        let body = line.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '*' | '#' | '>' | '_' | '-'));
        let body = match body.get(..6) {
            Some(word) if word.eq_ignore_ascii_case("final ") => body[6..].trim_start(),
            _ => body,
        };
        let after = body.get(..6).filter(|word| word.eq_ignore_ascii_case("answer")).map(|_| &body[6..]);
        if let Some(rest) = after.map(|rest| rest.trim_start_matches([' ', '*', '_']))
            && rest.starts_with(':')
        {
            starts.push(line_start + line.len() - rest.len() + 1);
        }
        line_start += line.len();
    }
    if starts.is_empty() {
        return vec![(thoughts, text.len())];
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts.iter().copied().zip(ends).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_bytes_of_openers_are_read_a_few_times_at_most() {
        let pieces = [
            "{",
            "[",
            "[{\"",
            "{\"a",
            "{\"a\":",
            "{'",
            "[\"",
            "{\"a\":[",
            "{a:",
            "[[\"a\",",
            "{\"\":\"",
            "(",
            "{\\",
            "[/*",
            "{]",
            "[}",
            "{\"a\":1,",
            "[“",
            "{\"entities\": [",
            "\"{",
            "['a {",
            "[ \n",
            "<A>",
            "[a|b",
            "[a](",
        ];
        for piece in pieces {
            // As parsing takes seconds in a debug build, only the likeliest are of full length.
            let len = if matches!(piece, "{" | "[" | "[{\"") { 1 << 20 } else { 1 << 16 };
            let text = piece.repeat(len / piece.len());
            let work = read_all(&text, 0, |_| {});
            assert!(work <= 6 * text.len(), "{piece:?}: {work} bytes read of {}", text.len());
            assert!(parse(&format!("{text}{{\"entities\": [")).is_err(), "{piece:?}");
        }
    }
}
