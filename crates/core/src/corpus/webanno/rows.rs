//! The lines of a sentence.

use super::{
    Layers,
    escape::{self, Value},
};
use crate::{
    Span,
    corpus::{Failure, LineProblem},
};

/// The lines of one sentence.
#[derive(Debug, Default)]
pub(super) struct Sentence {
    pub text: String,
    texts: usize,
    rows: Vec<Row>,
}

/// The line of a token, or of a part of one.
#[derive(Debug)]
struct Row {
    line: usize,
    is_part: bool,
    start: usize,
    end: usize,
    form: String,
    values: Vec<Value>,
}

/// Where the tokens are, and what the offsets count.
pub(super) struct Tokens {
    pub spans: Vec<Span>,
    unit: Unit,
}

/// How much a character counts in offsets.
type Unit = fn(char) -> usize;

const UNITS: [Unit; 2] = [char::len_utf16, |_| 1];

/// An annotation on one line.
pub(super) struct Place<'a> {
    pub line: usize,
    pub value: &'a Value,
    /// Which token it is on, or in.
    pub token: usize,
    /// The bytes, if there are any.
    pub span: Option<Span>,
}

impl Sentence {
    /// Whether no line was taken.
    pub fn is_empty(&self) -> bool {
        self.texts == 0 && self.rows.is_empty()
    }

    /// The line of the first token.
    pub fn first_line(&self) -> usize {
        self.rows.first().map_or(1, |row| row.line)
    }

    /// Takes a line that is not blank.
    pub fn line(&mut self, number: usize, line: &str, layers: &Layers) -> Result<(), LineProblem> {
        if let Some(text) = line.strip_prefix("#Text=") {
            if !self.rows.is_empty() {
                return Err(LineProblem::malformed("`#Text=` right after a token", "a blank line between sentences"));
            }
            if self.texts > 0 {
                self.text.push('\n');
            }
            self.texts += 1;
            self.text.push_str(&escape::text(text));
            return Ok(());
        }
        if line.starts_with('#') {
            return Ok(());
        }
        if self.texts == 0 {
            return Err(LineProblem::malformed(
                "a token before its sentence",
                "`#Text=` with the text of the sentence",
            ));
        }
        let row = Row::of(number, line, layers)?;
        if row.is_part && self.rows.is_empty() {
            return Err(LineProblem::malformed("a part of a token before the token", "the token first"));
        }
        self.rows.push(row);
        Ok(())
    }

    /// Finds the tokens in the text, each at its offsets.
    pub fn tokens(&self) -> Result<Tokens, Failure> {
        let mut wrong = None;
        for unit in UNITS {
            match self.placed(unit) {
                Ok(spans) => return Ok(Tokens { spans, unit }),
                Err(row) => wrong = wrong.or(Some(row)),
            }
        }
        let row = wrong.expect("there are units: this is a bug");
        let found =
            format!("the token {:?} at {}-{} is not there in the sentence's text", row.form, row.start, row.end);
        Err(LineProblem::malformed(found, "offsets in UTF-16 units and the text of `#Text=`").at(row.line))
    }

    /// The tokens where the offsets say, counted from the first token, or the row that is not there.
    fn placed(&self, unit: Unit) -> Result<Vec<Span>, &Row> {
        let mut spans = Vec::new();
        let mut at = self.text.len() - self.text.trim_start().len();
        // How many units are before byte `at`, by the document's count.
        let mut units = self.rows.first().map_or(0, |row| row.start);
        for row in self.rows.iter().filter(|row| !row.is_part) {
            let gap =
                row.start.checked_sub(units).and_then(|units| advance(&self.text[at..], units, unit)).ok_or(row)?;
            let start = at + gap;
            if !self.text[start..].starts_with(&row.form) {
                return Err(row);
            }
            at = start + row.form.len();
            units = row.start.saturating_add(row.form.chars().map(unit).sum());
            spans.push(Span::new(start, at).ok_or(row)?);
        }
        Ok(spans)
    }

    /// All annotations, line by line.
    pub fn values(&self, tokens: &Tokens) -> Result<Vec<Place<'_>>, Failure> {
        let mut places = Vec::new();
        let mut token = 0;
        let mut whole = self.rows.first();
        for row in &self.rows {
            if !row.is_part {
                token += usize::from(whole.is_some_and(|first| first.line != row.line));
                whole = Some(row);
            }
            let bytes = tokens.spans[token];
            let span = match whole.filter(|_| row.is_part) {
                None => Some(bytes),
                Some(whole) => {
                    let (start, end) = self.part(row, whole, bytes, tokens.unit).ok_or_else(|| {
                        let found =
                            format!("{:?} at {}-{} is not in the token {:?}", row.form, row.start, row.end, whole.form);
                        LineProblem::malformed(found, "a part of the token at its offsets").at(row.line)
                    })?;
                    Span::new(start, end)
                }
            };
            places.extend(row.values.iter().map(|value| Place { line: row.line, value, token, span }));
        }
        Ok(places)
    }

    /// The bytes of a part of a token, which may be none.
    fn part(&self, part: &Row, whole: &Row, token: Span, unit: Unit) -> Option<(usize, usize)> {
        let text = &self.text[token.range()];
        let byte = |units: usize| advance(text, units.checked_sub(whole.start)?, unit);
        let (start, end) = (byte(part.start)?, byte(part.end)?);
        (text.get(start..end)? == part.form).then_some((token.start() + start, token.start() + end))
    }
}

/// The byte of a text before which there are so many units.
fn advance(text: &str, units: usize, unit: Unit) -> Option<usize> {
    let mut left = units;
    for (byte, c) in text.char_indices() {
        if left == 0 {
            return Some(byte);
        }
        left = left.checked_sub(unit(c))?;
    }
    (left == 0).then_some(text.len())
}

impl Row {
    fn of(number: usize, line: &str, layers: &Layers) -> Result<Self, LineProblem> {
        let columns: Vec<&str> = line.strip_suffix('\t').unwrap_or(line).split('\t').collect();
        let expected = 3 + layers.columns();
        if columns.len() != expected {
            let found = format!("{} columns", columns.len());
            return Err(LineProblem::malformed(found, format!("{expected} separated by tabs, as the header says")));
        }
        let malformed = |what: &str, expected: &str| LineProblem::malformed(format!("`{what}`"), expected);
        let is_part =
            part_of(columns[0]).ok_or_else(|| malformed(columns[0], "a token's number, such as `1-3` or `1-3.1`"))?;
        let (start, end) = offsets(columns[1]).ok_or_else(|| malformed(columns[1], "offsets, such as `4-10`"))?;
        let form = columns[2].to_owned();
        if form.is_empty() && !is_part {
            return Err(LineProblem::NoToken);
        }
        let values = layers.chosen().map_or_else(Vec::new, |column| escape::values(columns[3 + column]));
        Ok(Self { line: number, is_part, start, end, form, values })
    }
}

/// Whether a token's number is that of a part.
fn part_of(number: &str) -> Option<bool> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (sentence, token) = number.split_once('-')?;
    let (token, part) = token.split_once('.').map_or((token, None), |(token, part)| (token, Some(part)));
    (is_number(sentence) && is_number(token) && part.is_none_or(is_number)).then_some(part.is_some())
}

fn offsets(text: &str) -> Option<(usize, usize)> {
    let (start, end) = text.split_once('-')?;
    Some((start.parse().ok()?, end.parse().ok()?))
}
