//! The rule that splits a line into tokens.
//!
//! Time is linear in the line's length, whatever is in it: a look ahead or behind is bounded, or made once for a line.

use super::abbreviations::{self, Follows, is_initials};
use crate::Span;

const CLITICS: &[&str] = &["s", "re", "m", "ve", "ll", "d"];

/// The byte spans of the tokens of one line, by the rule of [this module](super).
#[must_use]
pub fn tokenize(line: &str) -> Vec<Span> {
    let mut splitter = Splitter { line, tokens: Vec::with_capacity(line.len() / 5), content_end: None };
    let mut at = 0;
    while let Some(&byte) = line.as_bytes().get(at) {
        at = match KINDS[usize::from(byte)] {
            Kind::Space => at + 1,
            Kind::Plain => splitter.word(at),
            _ => splitter.other(at),
        };
    }
    splitter.tokens
}

/// What an ASCII byte is to the splitter; the rest are to be looked at as characters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Space,
    /// A letter, digit or control character.
    Plain,
    /// A mark that always separates words.
    Separator,
    /// Another mark.
    Mark,
    /// Part of a character beyond ASCII.
    Wide,
}

const KINDS: [Kind; 256] = {
    let mut kinds = [Kind::Wide; 256];
    let mut byte: u8 = 0;
    while byte < 128 {
        kinds[byte as usize] = match byte {
            b' ' | b'\t'..=b'\r' => Kind::Space,
            b'"' | b';' | b'!' | b'?' | b'(' | b')' | b'[' | b']' | b'{' | b'}' | b'<' | b'>' => Kind::Separator,
            _ if byte.is_ascii_punctuation() => Kind::Mark,
            _ => Kind::Plain,
        };
        byte += 1;
    }
    kinds
};

struct Splitter<'a> {
    line: &'a str,
    tokens: Vec<Span>,
    /// Where the last character ends that is neither white space nor a mark, once that is known.
    content_end: Option<usize>,
}

impl Splitter<'_> {
    /// What starts with a mark or beyond ASCII. Returns where it ends.
    fn other(&mut self, start: usize) -> usize {
        let rest = &self.line[start..];
        match rest.chars().next() {
            Some(c) if c.is_whitespace() => start + c.len_utf8(),
            _ if starts_word(rest) => self.word(start),
            _ => {
                let end = start + mark_length(rest);
                self.push(start, end);
                end
            }
        }
    }

    /// A word with the marks at its end. Returns where they end.
    fn word(&mut self, start: usize) -> usize {
        let bytes = self.line.as_bytes();
        let kind = |at: usize| bytes.get(at).map_or(Kind::Space, |&byte| KINDS[usize::from(byte)]);
        let mut end = start;
        while kind(end) == Kind::Plain {
            end += 1;
        }
        // Most words end here.
        if end > start && matches!(kind(end), Kind::Space | Kind::Separator) {
            self.push(start, end);
            return end;
        }
        let (end, is_address) = word_end(self.line, start, end);
        let mut core = end;
        while core > start && !self.keeps_end(start, core, is_address) {
            core -= last(&self.line[start..core]).map_or(1, char::len_utf8);
        }
        let clitic = clitic_length(&self.line[start..core]);
        self.push(start, core - clitic);
        self.push(core - clitic, core);
        let mut mark = core;
        while mark < end {
            let length = mark_length(&self.line[mark..end]);
            self.push(mark, mark + length);
            mark += length;
        }
        end
    }

    /// Whether the last character of `start..end` belongs to the word.
    fn keeps_end(&mut self, start: usize, end: usize, is_address: bool) -> bool {
        let word = &self.line[start..end];
        let Some(mark) = last(word).filter(|&c| is_mark(c)) else { return true };
        let stem = &word[..word.len() - mark.len_utf8()];
        match mark {
            '.' => self.keeps_dot(stem, end),
            '+' => last(stem).is_some_and(|c| c == '+' || !is_mark(c)),
            // `two- and three-year`, but `$3-$4`.
            '-' => last(stem).is_some_and(char::is_alphanumeric) && ends_word(&self.line[end..]),
            // A shared place: `10= Ann Keller`.
            '=' => {
                stem.bytes().rev().all(|b| b.is_ascii_digit()) && ends_word(&self.line[end..]) && self.is_apart(start)
            }
            '/' => is_address && stem.ends_with(|c| c != ':'),
            _ => is_currency(mark) && last(stem).is_some_and(char::is_alphabetic),
        }
    }

    /// Whether white space stands before.
    fn is_apart(&self, start: usize) -> bool {
        last(&self.line[..start]).is_none_or(char::is_whitespace)
    }

    /// Whether `stem` is an abbreviation with its dot, which ends at `end`. A single letter at the end of the line ends the
    /// sentence.
    fn keeps_dot(&mut self, stem: &str, end: usize) -> bool {
        match abbreviations::find(stem) {
            Some(Follows::Phrase) => return !self.ends_line(end),
            Some(_) => return true,
            None if is_initials(stem) => return true,
            None => {}
        }
        let initial = stem.chars().next().is_some_and(|c| c.is_alphabetic() && c.len_utf8() == stem.len());
        let numbers_line = || self.tokens.is_empty() && stem.bytes().rev().all(|b| b.is_ascii_digit());
        (initial || numbers_line()) && !stem.is_empty() && !self.ends_line(end)
    }

    /// Whether there are only marks from here on.
    fn ends_line(&mut self, at: usize) -> bool {
        let content_end = self
            .content_end
            .get_or_insert_with(|| self.line.trim_end_matches(|c: char| c.is_whitespace() || is_mark(c)).len());
        at >= *content_end
    }

    fn push(&mut self, start: usize, end: usize) {
        self.tokens.extend(Span::new(start, end));
    }
}

/// Whether a word starts here, which may be with a mark: `.5`, `+44`, `'s`, `'90s`, `@ann`.
fn starts_word(rest: &str) -> bool {
    let mut chars = rest.chars();
    let Some(first) = chars.next().filter(|&c| is_mark(c)) else { return true };
    let next = chars.next().unwrap_or(' ');
    match first {
        '.' => next.is_ascii_digit(),
        '+' | '-' => next.is_ascii_digit() || (next == '.' && chars.next().is_some_and(|c| c.is_ascii_digit())),
        '\'' | '’' => {
            let after = &rest[first.len_utf8()..];
            let letters = after.bytes().take(3).take_while(u8::is_ascii_alphabetic).count();
            let ends = !after[letters..].starts_with(char::is_alphanumeric);
            next.is_ascii_digit() || (ends && is_clitic(&after[..letters]))
        }
        '@' | '#' => next.is_alphanumeric(),
        _ => false,
    }
}

/// Where the word that begins at `start` ends: before white space, or a mark that separates. It is known to go on to
/// `known`. Also whether it is an address, which takes all up to white space.
fn word_end(line: &str, start: usize, known: usize) -> (usize, bool) {
    let up_to_space = |from: usize| line[from..].find(char::is_whitespace).map_or(line.len(), |length| from + length);
    if line[start..].starts_with("www.") {
        return (up_to_space(known), true);
    }
    let mut previous = last(&line[start..known]).unwrap_or(' ');
    let mut chars = line[known..].char_indices().map(|(at, c)| (known + at, c)).peekable();
    while let Some((at, c)) = chars.next() {
        if c.is_whitespace() {
            return (at, false);
        }
        let next = chars.peek().map_or(' ', |&(_, next)| next);
        if at > start {
            if separates(previous, c, next) {
                return (at, false);
            }
            if c == ':' && line[at..].starts_with("://") {
                return (up_to_space(at), true);
            }
            if is_currency(c) && next.is_ascii_digit() {
                return (at + c.len_utf8(), false);
            }
        }
        previous = c;
    }
    (line.len(), false)
}

fn separates(previous: char, c: char, next: char) -> bool {
    match c {
        ',' => !(previous.is_ascii_digit() && next.is_ascii_digit()),
        '-' | '.' => c == next,
        '"' | '“' | '”' | '„' | '‘' | '«' | '»' | '‹' | '›' | ';' | '!' | '?' | '…' | '—' | '¿' | '¡' => {
            true
        }
        _ => matches!(c, '(' | ')' | '[' | ']' | '{' | '}' | '<' | '>') || is_wide_mark(c),
    }
}

/// The length of the punctuation token that starts here: one mark, or equal ones of a kind that comes in runs.
fn mark_length(rest: &str) -> usize {
    let Some(first) = rest.chars().next() else { return 0 };
    if matches!(first, '.' | '-' | '*' | '=' | '_') {
        rest.find(|c| c != first).unwrap_or(rest.len())
    } else {
        first.len_utf8()
    }
}

/// The length of the `'s` or `n't` at the end of a longer word.
fn clitic_length(word: &str) -> usize {
    let letters = word.bytes().rev().take(3).take_while(u8::is_ascii_alphabetic).count();
    let (before, after) = word.split_at(word.len() - letters);
    let Some(before) = before.strip_suffix(['\'', '’']) else { return 0 };
    let start = if after.eq_ignore_ascii_case("t") && before.ends_with(['n', 'N']) {
        before.len() - 1
    } else if is_clitic(after) {
        before.len()
    } else {
        return 0;
    };
    if start == 0 { 0 } else { word.len() - start }
}

fn ends_word(behind: &str) -> bool {
    behind.chars().next().is_none_or(|c| c.is_whitespace() || matches!(c, ',' | ';' | ')' | '"' | '”' | '’'))
}

fn is_clitic(letters: &str) -> bool {
    CLITICS.iter().any(|clitic| clitic.eq_ignore_ascii_case(letters))
}

fn is_currency(c: char) -> bool {
    matches!(c, '$' | '£' | '¥' | '\u{20A0}'..='\u{20CF}')
}

/// Punctuation, by code point and not by category, so that letters' combining marks and joiners stay in their words.
fn is_mark(c: char) -> bool {
    c.is_ascii_punctuation()
        || is_currency(c)
        || matches!(c, '¡' | '«' | '»' | '¿' | '·' | '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205E}')
        || is_wide_mark(c)
}

/// The marks of Chinese and Japanese, which stand between words without a blank.
fn is_wide_mark(c: char) -> bool {
    matches!(c, '\u{3001}'..='\u{3003}' | '\u{3008}'..='\u{3011}' | '\u{3014}'..='\u{301F}' | '\u{FF01}'..='\u{FF0F}')
}

fn last(text: &str) -> Option<char> {
    text.chars().next_back()
}
