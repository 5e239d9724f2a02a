//! JSON records, one a line or all in one array, in the shapes that tools of the field write.
//!
//! | keys | shape | tools |
//! |---|---|---|
//! | `text`, `spans` | `{"start": 0, "end": 10, "label": "PER"}` | Prodigy, spaCy |
//! | `text`, `label` (or `labels`, `entities`) | `[0, 10, "PER"]`, or `{"start_offset": 0, "end_offset": 10, "label": "PER"}` | doccano |
//! | `text`, `entities` | `{"start": 0, "end": 10, "label": "PER"}` | many |
//! | `tokens`, `ner_tags` (or `tags`, `labels`) | tags by name or by number | Hugging Face |
//! | `tokenized_text`, `ner` | `[0, 1, "PER"]`: first and last token | GLiNER |
//! | `data`, `annotations`, `predictions` | see [`label_studio`](super::label_studio) | Label Studio |
//!
//! Offsets count code points, end exclusive. `id` and `document` are kept, `tokens` may stand beside `text` as strings or
//! as Prodigy's objects; other keys are not carried over. An object of a span may
//! have a `score` from 0 to 1: how sure whoever labelled it is (other scores are passed over). A span that gives its `text` must cover that text. Prodigy's
//! records whose `answer` is not `accept` are skipped, and counted. Without a label key a record is unlabelled.

mod values;
mod write;

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use self::values::Values;
pub(super) use self::write::JsonWriter;
use super::{
    Failure, Format, LabelledSpan, LineProblem, ReadOptions, Record, label_studio,
    labels::Labels,
    offsets::Offsets,
    reader::{ReadRecords, tag_name},
    source::Opened,
    spans,
};
use crate::{Confidence, Evidence, Span, Tag};

/// The records of a stream of JSON values.
pub(super) struct Records {
    values: Values,
    stem: String,
    place: usize,
    /// The dialect that was asked for; all are understood otherwise.
    asked: Option<Format>,
    options: ReadOptions,
    evidence: Evidence,
    labels: Labels,
    skipped: usize,
}

impl Records {
    pub fn new(stem: String, opened: Opened, options: &ReadOptions) -> Self {
        Self {
            values: Values::new(opened),
            stem,
            place: 0,
            asked: options.format,
            options: options.clone(),
            evidence: Evidence::default(),
            labels: Labels::default(),
            skipped: 0,
        }
    }
}

impl ReadRecords for Records {
    fn next(&mut self) -> Option<Result<(usize, Record), Failure>> {
        loop {
            let (line, value) = match self.values.next()? {
                Ok(value) => value,
                Err(failure) => return Some(Err(failure)),
            };
            if value.trim_ascii_start().is_empty() {
                continue;
            }
            let place = self.place;
            self.place += 1;
            let mut interpreter = Interpreter {
                options: &self.options,
                asked: self.asked,
                evidence: &mut self.evidence,
                labels: &mut self.labels,
            };
            let raw = serde_json::from_str(value).map_err(|error| LineProblem::Json(explained(&error)));
            match raw.and_then(|raw| interpreter.record(raw, || super::numbered(&self.stem, place))) {
                Ok(Some(record)) => return Some(Ok((line, record))),
                Ok(None) => self.skipped += 1,
                Err(problem) => return Some(Err(problem.at(line))),
            }
        }
    }

    fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    fn skipped(&self) -> usize {
        self.skipped
    }
}

/// The dialect of the first record; nothing if it is none, or longer than what is given.
pub(super) fn dialect(head: &[u8]) -> Option<Format> {
    let stream = Box::new(std::io::Cursor::new(head.to_vec()));
    let mut values = Values::new(Opened { head: head.to_vec(), stream });
    let (_, value) = values.next()?.ok()?;
    let raw = serde_json::from_str::<Raw>(value).ok()?;
    Some(match raw.dialect() {
        Format::Jsonl if raw.label.is_some() || raw.labels.is_some() => Format::Doccano,
        Format::Jsonl if raw.entities.is_some() => Format::Entities,
        dialect => dialect,
    })
}

/// What serde says, with the column alone: the line is known better here.
fn explained(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
    format!("{what} (column {}): expected one JSON object a line, or an array of objects", error.column())
}

/// A text that is borrowed from the input unless it has escapes.
#[derive(Debug, Deserialize)]
pub(super) struct Str<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// All keys of all dialects.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Raw<'a> {
    #[serde(borrow)]
    id: Option<Id<'a>>,
    #[serde(borrow)]
    document: Option<Str<'a>>,
    #[serde(borrow)]
    text: Option<Str<'a>>,
    #[serde(borrow)]
    tokens: Option<Vec<Token<'a>>>,
    #[serde(borrow)]
    tokenized_text: Option<Vec<Str<'a>>>,
    #[serde(borrow)]
    spans: Option<Vec<Item<'a>>>,
    #[serde(borrow)]
    label: Option<Vec<Item<'a>>>,
    #[serde(borrow)]
    labels: Option<Vec<Item<'a>>>,
    #[serde(borrow)]
    entities: Option<Vec<Item<'a>>>,
    #[serde(borrow)]
    ner: Option<Vec<Item<'a>>>,
    #[serde(borrow)]
    ner_tags: Option<Vec<Item<'a>>>,
    #[serde(borrow)]
    tags: Option<Vec<Item<'a>>>,
    #[serde(borrow)]
    answer: Option<Str<'a>>,
    data: Option<label_studio::Data>,
    #[serde(borrow)]
    annotations: Option<Vec<label_studio::Annotation<'a>>>,
    #[serde(borrow)]
    predictions: Option<Vec<label_studio::Annotation<'a>>>,
}

/// A name or a number.
pub(super) struct Id<'a>(pub Cow<'a, str>);

/// A word, alone or with its offsets.
enum Token<'a> {
    Word(Cow<'a, str>),
    Placed { start: i64, end: i64, text: Option<Cow<'a, str>> },
}

/// What stands in a list of labels.
enum Item<'a> {
    Number(i64),
    Name(Cow<'a, str>),
    Span(RawSpan<'a>),
}

/// A labelled span as a file gives it.
pub(super) struct RawSpan<'a> {
    pub start: i64,
    pub end: i64,
    pub label: Cow<'a, str>,
    /// The text that the span is said to cover.
    pub text: Option<Cow<'a, str>>,
    pub score: Option<Confidence>,
}

impl RawSpan<'_> {
    /// The span, once it is known which bytes it has.
    pub fn labelled(&self, span: Span, labels: &mut Labels) -> LabelledSpan {
        LabelledSpan { span, label: labels.label(&self.label), confidence: self.score }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Id<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Item::deserialize(deserializer)? {
            Item::Name(name) => Ok(Self(name)),
            Item::Number(number) => Ok(Self(number.to_string().into())),
            Item::Span(_) => Err(serde::de::Error::custom("expected a name or a number as `id`")),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Token<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TokenVisitor;
        impl<'de> Visitor<'de> for TokenVisitor {
            type Value = Token<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a word, or an object with `start` and `end`")
            }
            fn visit_borrowed_str<E>(self, word: &'de str) -> Result<Token<'de>, E> {
                Ok(Token::Word(Cow::Borrowed(word)))
            }
            fn visit_str<E>(self, word: &str) -> Result<Token<'de>, E> {
                Ok(Token::Word(Cow::Owned(word.to_owned())))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Token<'de>, A::Error> {
                let SpanKeys { start, end, text, .. } = SpanKeys::read(map)?;
                Ok(Token::Placed { start, end, text })
            }
        }
        deserializer.deserialize_any(TokenVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Item<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ItemVisitor;
        impl<'de> Visitor<'de> for ItemVisitor {
            type Value = Item<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a tag, `[start, end, \"TYPE\"]`, or an object with `start`, `end` and `label`")
            }
            fn visit_i64<E>(self, number: i64) -> Result<Item<'de>, E> {
                Ok(Item::Number(number))
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Item<'de>, E> {
                number.try_into().map(Item::Number).map_err(|_| E::custom("the number is too large"))
            }
            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Item<'de>, E> {
                Ok(Item::Name(Cow::Borrowed(name)))
            }
            fn visit_str<E>(self, name: &str) -> Result<Item<'de>, E> {
                Ok(Item::Name(Cow::Owned(name.to_owned())))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Item<'de>, A::Error> {
                let short = |len| serde::de::Error::invalid_length(len, &"start, end and type");
                let start = seq.next_element()?.ok_or_else(|| short(0))?;
                let end = seq.next_element()?.ok_or_else(|| short(1))?;
                let Str(label) = seq.next_element()?.ok_or_else(|| short(2))?;
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Item::Span(RawSpan { start, end, label, text: None, score: None }))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Item<'de>, A::Error> {
                let SpanKeys { start, end, label, text, score } = SpanKeys::read(map)?;
                let label = label.ok_or_else(|| serde::de::Error::missing_field("label"))?;
                Ok(Item::Span(RawSpan { start, end, label, text, score }))
            }
        }
        deserializer.deserialize_any(ItemVisitor)
    }
}

/// What a file says of how sure its labeller is. Other tools put other things under this name, percentages or words: these
/// are passed over like other keys.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(from = "serde_json::Value")]
pub(super) struct Score(pub Option<Confidence>);

impl From<serde_json::Value> for Score {
    fn from(value: serde_json::Value) -> Self {
        /// What rounding may add to 1.
        const ROUNDING: f64 = 1e-6;
        let share = value.as_f64().map(|share| if share <= 1.0 + ROUNDING { share.min(1.0) } else { share });
        Self(share.and_then(|share| Confidence::new(share).ok()))
    }
}

/// The keys of an object that stands for a span or a token.
struct SpanKeys<'a> {
    start: i64,
    end: i64,
    label: Option<Cow<'a, str>>,
    text: Option<Cow<'a, str>>,
    score: Option<Confidence>,
}

impl<'de> SpanKeys<'de> {
    fn read<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        let (mut start, mut end, mut label, mut text, mut score) = (None, None, None, None, None);
        while let Some(Str(key)) = map.next_key::<Str<'de>>()? {
            match &*key {
                "start" | "start_offset" => start = Some(map.next_value()?),
                "end" | "end_offset" => end = Some(map.next_value()?),
                "label" => label = map.next_value::<Option<Str<'de>>>()?.map(|s| s.0),
                "text" => text = map.next_value::<Option<Str<'de>>>()?.map(|s| s.0),
                "score" => score = map.next_value::<Score>()?.0,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let missing = serde::de::Error::missing_field;
        let start = start.ok_or_else(|| missing("start"))?;
        let end = end.ok_or_else(|| missing("end"))?;
        Ok(Self { start, end, label, text, score })
    }
}

/// Makes records of raw values.
struct Interpreter<'r> {
    options: &'r ReadOptions,
    asked: Option<Format>,
    evidence: &'r mut Evidence,
    labels: &'r mut Labels,
}

impl Interpreter<'_> {
    /// `None` for a record that its annotator did not accept.
    fn record(&mut self, mut raw: Raw<'_>, id: impl FnOnce() -> String) -> Result<Option<Record>, LineProblem> {
        if raw.answer.take().is_some_and(|Str(answer)| answer != "accept") {
            return Ok(None);
        }
        let document = raw.document.take().map(|Str(name)| self.labels.document(&name));
        let id = raw.id.take().map_or_else(id, |Id(name)| name.into_owned());
        let record = match self.asked.unwrap_or_else(|| raw.dialect()) {
            Format::LabelStudio => {
                let Some(data) = raw.data else { return Err(lacks("data")) };
                let (annotations, predictions) = (raw.annotations, raw.predictions);
                return label_studio::record(id, data, annotations, predictions, self.options, self.labels).map(
                    |record| {
                        record.map(|record| if document.is_some() { record.in_document(document) } else { record })
                    },
                );
            }
            Format::Gliner => {
                let Some(words) = raw.tokenized_text else { return Err(lacks("tokenized_text")) };
                self.token_spans(joined(id, words.iter().map(|word| &*word.0))?, raw.ner)?
            }
            Format::Hf => {
                let Some(words) = raw.tokens else { return Err(lacks("tokens")) };
                let record = if let Some(Str(text)) = raw.text {
                    with_tokens(Record::new(id, text), Some(words))?
                } else {
                    let words: Result<Vec<&str>, _> = words.iter().map(word).collect();
                    joined(id, words?.into_iter())?
                };
                self.tags(record, raw.ner_tags.or(raw.tags).or(raw.labels))?
            }
            dialect => {
                let Some(Str(text)) = raw.text else { return Err(lacks("text")) };
                let elsewhere = [("ner", raw.ner.is_some()), ("annotations", raw.annotations.is_some())];
                let elsewhere =
                    elsewhere.into_iter().chain([("ner_tags", raw.ner_tags.is_some()), ("tags", raw.tags.is_some())]);
                if let Some((key, _)) = elsewhere.into_iter().find(|(_, there)| *there && self.asked.is_none()) {
                    return Err(LineProblem::Json(format!(
                        "`{key}` beside `text`: expected labels in `spans`, `label`, `labels` or `entities`, or --format"
                    )));
                }
                let given = match (self.asked, dialect) {
                    (Some(_), Format::Jsonl) => raw.spans,
                    (Some(_), Format::Entities) => raw.entities,
                    (Some(_), _) => raw.label.or(raw.labels).or(raw.entities),
                    (None, _) => only([raw.spans, raw.label, raw.labels, raw.entities])?,
                };
                let record = with_tokens(Record::new(id, text), raw.tokens)?;
                self.text_spans(record, given)?
            }
        };
        Ok(Some(record.in_document(document)))
    }

    /// Spans of code points.
    fn text_spans(&mut self, record: Record, items: Option<Vec<Item<'_>>>) -> Result<Record, LineProblem> {
        let Some(items) = items.filter(|_| self.options.labels) else { return Ok(record) };
        let offsets = Offsets::new(record.text());
        let mut spans = Vec::with_capacity(items.len());
        for item in items {
            let span = raw_span(item)?;
            let bytes = placed(record.text(), &offsets, &span)?;
            spans.push(span.labelled(bytes, self.labels));
        }
        Ok(record.with_spans(spans)?)
    }

    /// Spans of tokens, last one included.
    fn token_spans(&mut self, record: Record, items: Option<Vec<Item<'_>>>) -> Result<Record, LineProblem> {
        let Some(items) = items.filter(|_| self.options.labels) else { return Ok(record) };
        let tokens = record.tokens().unwrap_or_default();
        let mut spans = Vec::with_capacity(items.len());
        for item in items {
            let RawSpan { start, end, label, .. } = raw_span(item)?;
            let token = |at: i64| usize::try_from(at).ok().and_then(|at| tokens.get(at));
            let bytes = token(start).zip(token(end)).and_then(|(first, last)| Span::new(first.start(), last.end()));
            let Some(span) = bytes.filter(|_| start <= end) else {
                return Err(LineProblem::Json(format!(
                    "span {label} of tokens {start} to {end}: expected first and last of the {} tokens, from 0",
                    tokens.len()
                )));
            };
            spans.push(LabelledSpan::new(span, self.labels.label(&label)));
        }
        Ok(record.with_spans(spans)?)
    }

    /// A tag for each token.
    fn tags(&mut self, record: Record, items: Option<Vec<Item<'_>>>) -> Result<Record, LineProblem> {
        let Some(items) = items.filter(|_| self.options.labels) else { return Ok(record) };
        let tokens = record.tokens().map_or(0, <[Span]>::len);
        if items.len() != tokens {
            return Err(LineProblem::TagCount { tags: items.len(), tokens });
        }
        let tag = |item: Item<'_>| match item {
            Item::Name(name) => self.labels.tag(&name, self.evidence),
            Item::Number(number) => self.labels.tag(tag_name(&self.options.tag_names, number)?, self.evidence),
            Item::Span(_) => Err(LineProblem::Json("a span among the tags: expected names or numbers".to_owned())),
        };
        let tags: Result<Vec<Tag>, LineProblem> = items.into_iter().map(tag).collect();
        spans::of_tags(record, &tags?, self.options.reading, self.evidence)
    }
}

impl Raw<'_> {
    fn dialect(&self) -> Format {
        match self {
            Self { data: Some(_), .. } => Format::LabelStudio,
            Self { tokens: Some(_), ner_tags: Some(_), .. } | Self { tokens: Some(_), tags: Some(_), .. } => Format::Hf,
            Self { tokenized_text: Some(_), .. } => Format::Gliner,
            Self { text: None, tokens: Some(_), .. } => Format::Hf,
            _ => Format::Jsonl,
        }
    }
}

fn lacks(key: &str) -> LineProblem {
    LineProblem::Json(format!("there is no key `{key}`: expected `text`, `tokens`, `tokenized_text` or `data`"))
}

/// The only list of labels.
fn only<T>(lists: [Option<T>; 4]) -> Result<Option<T>, LineProblem> {
    let mut given = lists.into_iter().flatten();
    match (given.next(), given.next()) {
        (only, None) => Ok(only),
        _ => Err(LineProblem::Json(
            "several of `spans`, `label`, `labels` and `entities`: say with --format which one counts".to_owned(),
        )),
    }
}

/// A text of words with single blanks between them; no word is empty.
pub(super) fn joined<'a>(id: String, words: impl Iterator<Item = &'a str>) -> Result<Record, LineProblem> {
    let (mut text, mut tokens) = (String::new(), Vec::new());
    for word in words {
        if !tokens.is_empty() {
            text.push(' ');
        }
        let start = text.len();
        text.push_str(word);
        tokens.push(Span::new(start, text.len()).ok_or(LineProblem::NoToken)?);
    }
    Ok(Record::new(id, text).with_tokens(tokens)?)
}

fn word<'a>(token: &'a Token<'_>) -> Result<&'a str, LineProblem> {
    match token {
        Token::Word(word) => Ok(word),
        Token::Placed { .. } => Err(mixed()),
    }
}

fn mixed() -> LineProblem {
    LineProblem::Json("words and objects in one list of tokens, or objects without `text`: expected words".to_owned())
}

fn with_tokens(record: Record, tokens: Option<Vec<Token<'_>>>) -> Result<Record, LineProblem> {
    let Some(tokens) = tokens else { return Ok(record) };
    let offsets = Offsets::new(record.text());
    if matches!(tokens.first(), Some(Token::Word(_))) {
        let words: Result<Vec<&str>, _> = tokens.iter().map(word).collect();
        let placed = super::conll::placed(record.text(), words?.into_iter())?;
        return Ok(record.with_tokens(placed)?);
    }
    let mut spans = Vec::with_capacity(tokens.len());
    for token in tokens {
        let Token::Placed { start, end, text } = token else {
            return Err(mixed());
        };
        let raw = RawSpan { start, end, label: "token".into(), text, score: None };
        spans.push(placed(record.text(), &offsets, &raw)?);
    }
    Ok(record.with_tokens(spans)?)
}

fn raw_span(item: Item<'_>) -> Result<RawSpan<'_>, LineProblem> {
    match item {
        Item::Span(span) => Ok(span),
        Item::Name(name) => Err(LineProblem::Json(format!("`{name}` among the spans: expected start, end and label"))),
        Item::Number(number) => {
            Err(LineProblem::Json(format!("{number} among the spans: expected start, end and label")))
        }
    }
}

/// The bytes of a span of code points, which must cover the text that it says.
pub(super) fn placed(text: &str, offsets: &Offsets<'_>, span: &RawSpan<'_>) -> Result<Span, LineProblem> {
    let RawSpan { start, end, label, .. } = span;
    let byte = |at: i64| usize::try_from(at).ok().and_then(|at| offsets.byte(at));
    let Some(bytes) = byte(*start).zip(byte(*end)).and_then(|(start, end)| Span::new(start, end)) else {
        let len = text.chars().count();
        return Err(LineProblem::Offsets { label: label.to_string(), start: *start, end: *end, len });
    };
    match &span.text {
        Some(said) if **said != text[bytes.range()] => Err(LineProblem::Surface {
            label: label.to_string(),
            start: *start,
            end: *end,
            covered: super::excerpt(&text[bytes.range()]),
            said: super::excerpt(said),
        }),
        _ => Ok(bytes),
    }
}
