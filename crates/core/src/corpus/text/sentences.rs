//! The rule that splits text into sentences.
//!
//! Time is linear in the text's length: a look ahead or behind goes over white space, a run of marks or one short word.

use super::abbreviations::{self, Follows, is_initials};
use crate::Span;

/// With a capital, these open a sentence even behind an abbreviation or an initial: `in the U.S. The mayor`.
const OPENERS: &str = "\
    a about according additionally after against all although among an and another are as at because before \
    between both but by despite did does due during each earlier even every few following for from furthermore he \
    her here his how however i if in indeed instead is it its last later like many meanwhile more moreover most my \
    nevertheless no not now often on once one only or other others our perhaps previously several she since so \
    some still such that the their then there therefore these they this those though three through throughout thus \
    to today two under until upon was we were what when where whether which while who why with within without yet \
    you";

/// Before a number these are abbreviations: `No. 5`.
const NUMBERED: &[&str] = &["art", "c", "ch", "fig", "figs", "fl", "no", "nos", "op", "p", "pp", "sec"];

/// The byte spans of the sentences of a text, by the rule of [this module](super): in order, without white space at their
/// ends, and together all of the text but white space.
#[must_use]
pub fn split_sentences(text: &str) -> Vec<Span> {
    let mut sentences = Vec::new();
    let mut start = skip_space(text, 0);
    let mut at = start;
    // Whether a `"` is open in this paragraph.
    let mut quoted = false;
    while let Some(stop) = next_stop(text, at) {
        quoted ^= odd_quotes(&text[at..stop]);
        let (end, next) = if text[stop..].starts_with(is_break) {
            let next = skip_space(text, stop);
            at = next;
            let paragraph = separates(&text[stop..next]);
            quoted &= !paragraph;
            if !paragraph && !starts_item(&text[next..]) {
                continue;
            }
            (start + text[start..stop].trim_end().len(), next)
        } else {
            let mark = Mark::at(text, start, stop, quoted);
            quoted ^= odd_quotes(mark.closing);
            at = mark.end;
            if !mark.ends_sentence() {
                continue;
            }
            (mark.end, skip_space(text, mark.end))
        };
        quoted &= !separates(&text[end..next]);
        sentences.extend(Span::new(start, end));
        (start, at) = (next, next);
    }
    sentences.extend(Span::new(start, start + text[start..].trim_end().len()));
    sentences
}

/// A run of full stops, question or exclamation marks with the quotes and brackets that it closes.
struct Mark<'a> {
    run: &'a str,
    closing: &'a str,
    /// What stands before, up to white space or an opening quote or bracket; nothing if that is long.
    stem: &'a str,
    /// Whether the sentence starts with the stem.
    opens: bool,
    /// Whether the stem is the first word in brackets.
    bracketed: bool,
    /// Where it ends.
    end: usize,
    behind: &'a str,
}

impl<'a> Mark<'a> {
    /// The one at `stop`, in a sentence from `start`; `quoted` says whether a `"` is open there.
    fn at(text: &'a str, start: usize, stop: usize, quoted: bool) -> Self {
        let rest = &text[stop..];
        let run = &rest[..rest.find(|c| !is_final(c)).unwrap_or(rest.len())];
        let closing = &rest[run.len()..];
        let closing = &closing[..closing_length(closing, quoted)];
        let end = stop + run.len() + closing.len();
        let before = &text[start..stop];
        let stem = stem(before);
        let before = &before[..before.len() - stem.len()];
        let (opens, bracketed) = (before.is_empty(), before.ends_with(['(', '[']));
        Self { run, closing, stem, opens, bracketed, end, behind: &text[end..] }
    }

    fn ends_sentence(&self) -> bool {
        let next = self.behind.trim_start();
        let Some(first) = next.chars().next() else { return true };
        if self.run.contains(is_wide_final) {
            return !continues(first);
        }
        if next.len() == self.behind.len() {
            return false;
        }
        // The first letter or the like, behind what opens a quote or an item.
        let next = next.trim_start_matches(|c: char| is_opening(c) || is_dash(c) || c.is_whitespace());
        if continues(first) || starts_in_lower_case(next) {
            return false;
        }
        self.run != "." || self.dot_ends_sentence(first, next)
    }

    /// Of a single full stop, with a capital, a digit or the like behind it.
    fn dot_ends_sentence(&self, first: char, next: &str) -> bool {
        let digit = next.starts_with(|c: char| c.is_numeric());
        let stem = self.stem;
        let letter = stem.chars().next().is_some_and(|c| c.is_alphabetic() && c.len_utf8() == stem.len());
        let numbers_item = (1..=3).contains(&stem.len()) && stem.bytes().all(|b| b.is_ascii_digit());
        if self.opens && (numbers_item || letter) {
            return false;
        }
        // `(feat. Ann Keller)`, `(elev. 200 m)`.
        if self.bracketed && self.closing.is_empty() && stem.chars().all(char::is_lowercase) {
            return false;
        }
        if digit && NUMBERED.iter().any(|known| known.eq_ignore_ascii_case(stem)) {
            return false;
        }
        // `patients with MS. Finally`: the abbreviation would stand before another capital.
        let shouted = stem.len() > 1 && stem.bytes().all(|b| b.is_ascii_uppercase());
        let follows = match abbreviations::find(stem) {
            Some(_) if shouted && next.chars().nth(1).is_some_and(char::is_lowercase) => return true,
            Some(follows) => follows,
            None if is_initials(stem) || letter => Follows::Any,
            None => return true,
        };
        match follows {
            Follows::Phrase => false,
            Follows::Number => !digit,
            Follows::Any => self.closing.contains(is_quote) || is_quote(first) || is_opener(next),
            Follows::Small => true,
        }
    }
}

/// The part of `before` that may be an abbreviation.
fn stem(before: &str) -> &str {
    const LONGEST: usize = 16;
    let mut start = before.len();
    let mut chars = before.chars().rev().take(LONGEST).peekable();
    while let Some(c) = chars.next() {
        let in_word = is_apostrophe(c) && chars.peek().is_some_and(|before| before.is_alphanumeric());
        if c.is_whitespace() || (is_opening(c) && !in_word) {
            return &before[start..];
        }
        start -= c.len_utf8();
    }
    if start == 0 { before } else { "" }
}

/// The closing quotes and brackets, and numbers of notes (`[3]`), right behind a full stop; if a `"` is open, also one
/// with blanks about it.
fn closing_length(rest: &str, quoted: bool) -> usize {
    let mut length = 0;
    while let Some(c) = rest[length..].chars().next() {
        let behind = &rest[length + c.len_utf8()..];
        if is_closing(c) && !(opens_too(c) && behind.starts_with(char::is_alphanumeric)) {
            length += c.len_utf8();
        } else if c == '[' {
            let digits = behind.bytes().take_while(u8::is_ascii_digit).count();
            if digits == 0 || !behind[digits..].starts_with(']') {
                break;
            }
            length += digits + 2;
        } else {
            break;
        }
    }
    let apart =
        rest[length..].strip_prefix(" \"").is_some_and(|behind| !behind.starts_with(|c: char| !c.is_whitespace()));
    length + if quoted && apart && !odd_quotes(&rest[..length]) { 2 } else { 0 }
}

fn odd_quotes(text: &str) -> bool {
    !text.bytes().filter(|&byte| byte == b'"').count().is_multiple_of(2)
}

/// Whether the next word has a small letter first; `iPod` has not.
fn starts_in_lower_case(next: &str) -> bool {
    next.starts_with(char::is_lowercase) && !next.chars().take(3).any(char::is_uppercase)
}

/// Whether a sentence does not begin with this.
fn continues(first: char) -> bool {
    matches!(first, ',' | ';' | ':' | '.' | '!' | '?' | ')' | ']' | '}' | '%' | '&' | '/' | '=' | '+' | '…')
        || matches!(first, '，' | '、' | '；' | '：' | '。' | '！' | '？')
}

fn is_opener(next: &str) -> bool {
    let length = next.find(|c: char| !c.is_alphabetic()).unwrap_or(next.len());
    let (word, behind) = next.split_at(length);
    !behind.starts_with('.') && OPENERS.split(' ').any(|opener| opener.eq_ignore_ascii_case(word))
}

/// Whether a line begins with the mark of a list's item: `-`, `*`, `•`, `3.`, `b)`.
fn starts_item(line: &str) -> bool {
    let digits = line.bytes().take(4).take_while(u8::is_ascii_digit).count();
    let letter = usize::from(digits == 0 && line.starts_with(|c: char| c.is_ascii_alphabetic()));
    let behind = match line[digits + letter..].chars().next() {
        Some('-' | '*' | '•' | '–' | '—') if digits + letter == 0 => line.chars().nth(1),
        Some('.') if (1..=3).contains(&digits) => line[digits..].chars().nth(1),
        Some(')') if (1..=3).contains(&(digits + letter)) => line[digits + letter..].chars().nth(1),
        _ => None,
    };
    behind.is_some_and(char::is_whitespace)
}

/// Whether white space separates paragraphs: it has a blank line.
fn separates(space: &str) -> bool {
    let breaks = space.chars().filter(|&c| is_break(c)).count() - space.matches("\r\n").count();
    breaks > 1 || space.contains('\u{2029}')
}

fn skip_space(text: &str, at: usize) -> usize {
    text.len() - text[at..].trim_start().len()
}

/// Where the next line break, full stop, question or exclamation mark is.
fn next_stop(text: &str, from: usize) -> Option<usize> {
    let mut at = from;
    let bytes = text.as_bytes();
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'.' | b'!' | b'?' | b'\n' | b'\r' => return Some(at),
            // The first bytes of the others.
            0xC2 | 0xD8 | 0xDB | 0xE0..=0xE3 | 0xEF => {
                let c = text[at..].chars().next().unwrap_or(' ');
                if is_final(c) || is_break(c) {
                    return Some(at);
                }
                at += c.len_utf8();
            }
            _ => at += 1,
        }
    }
    None
}

fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn is_final(c: char) -> bool {
    matches!(c, '.' | '!' | '?' | '…' | '‼' | '⁇'..='⁉' | '؟' | '۔' | '।' | '॥' | '።' | '။' | '។') || is_wide_final(c)
}

/// The full stops of Chinese and Japanese, which need no blank behind them.
fn is_wide_final(c: char) -> bool {
    matches!(c, '。' | '！' | '？' | '｡' | '．')
}

fn is_closing(c: char) -> bool {
    matches!(
        c,
        '"' | '\'' | '”' | '’' | '»' | '›' | '“' | '‘' | ')' | ']' | '}' | '」' | '』' | '）' | '】' | '》' | '〉'
    )
}

/// Closing quotes that open in other languages, or in the same.
fn opens_too(c: char) -> bool {
    matches!(c, '“' | '‘' | '"' | '\'')
}

fn is_opening(c: char) -> bool {
    is_quote(c) || matches!(c, '(' | '[' | '{' | '¿' | '¡' | '「' | '『' | '（' | '【' | '《' | '〈')
}

fn is_quote(c: char) -> bool {
    matches!(c, '"' | '\'' | '“' | '”' | '„' | '‘' | '’' | '‚' | '«' | '»' | '‹' | '›')
}

fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '’')
}

fn is_dash(c: char) -> bool {
    matches!(c, '-' | '–' | '—' | '*' | '•')
}
