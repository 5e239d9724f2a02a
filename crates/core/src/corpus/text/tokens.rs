//! The rule that splits a line into tokens.

use crate::Span;

/// Abbreviations that keep their dot, in lower case. None that is a usual word too.
const ABBREVIATIONS: &[&str] = &[
    "apr", "aug", "bros", "calif", "capt", "co", "col", "corp", "dec", "dept", "dr", "etc", "feb", "fla", "gen", "gov",
    "inc", "jan", "jr", "lt", "ltd", "messrs", "mr", "mrs", "ms", "nov", "oct", "prof", "rep", "rev", "sen", "sept",
    "sgt", "sr", "st", "vs",
];

const CLITICS: &[&str] = &["s", "re", "m", "ve", "ll", "d"];

/// The byte spans of the tokens of one line, by the rule of [this module](super).
#[must_use]
pub fn tokenize(line: &str) -> Vec<Span> {
    let mut splitter = Splitter { line, tokens: Vec::new() };
    let mut end = 0;
    while let Some(start) = line[end..].find(|c: char| !c.is_whitespace()) {
        let start = end + start;
        end = line[start..].find(char::is_whitespace).map_or(line.len(), |length| start + length);
        splitter.chunk(start, end);
    }
    splitter.tokens
}

struct Splitter<'a> {
    line: &'a str,
    tokens: Vec<Span>,
}

impl Splitter<'_> {
    /// A run without white space.
    fn chunk(&mut self, mut start: usize, end: usize) {
        while start < end {
            let rest = &self.line[start..end];
            let length = if starts_word(rest) {
                let length = word_length(rest);
                self.word(start, start + length);
                length
            } else {
                let length = mark_length(rest);
                self.push(start, start + length);
                length
            };
            start += length;
        }
    }

    /// A word with the marks at its end.
    fn word(&mut self, start: usize, end: usize) {
        let mut core = end;
        while core > start && !self.keeps_end(start, core) {
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
    }

    /// Whether the last character of `start..end` belongs to the word.
    fn keeps_end(&self, start: usize, end: usize) -> bool {
        let word = &self.line[start..end];
        let Some(mark) = last(word).filter(|&c| is_mark(c)) else { return true };
        let stem = &word[..word.len() - mark.len_utf8()];
        match mark {
            '.' => self.keeps_dot(start, stem),
            '+' => last(stem).is_some_and(|c| c == '+' || !is_mark(c)),
            '/' => is_address(word),
            _ => is_currency(mark) && last(stem).is_some_and(char::is_alphabetic),
        }
    }

    /// Whether `stem` is an abbreviation with its dot. A single letter at the end of the line ends the sentence.
    fn keeps_dot(&self, start: usize, stem: &str) -> bool {
        let behind = &self.line[start + stem.len() + 1..];
        let numbers_line = stem.bytes().all(|b| b.is_ascii_digit()) && self.line[..start].trim().is_empty();
        let parts = stem.split('.').count();
        let initials = stem
            .split('.')
            .all(|part| part.chars().all(char::is_alphabetic) && (1..=2).contains(&part.chars().count()));
        let ends_line = behind.chars().all(|c| c.is_whitespace() || is_mark(c));
        let initial = parts == 1 && stem.chars().count() == 1 && initials && !ends_line;
        let known = ABBREVIATIONS.iter().any(|known| known.eq_ignore_ascii_case(stem));
        !stem.is_empty() && ((numbers_line && !ends_line) || (parts > 1 && initials) || initial || known)
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
            let letters = after.find(|c: char| !c.is_alphanumeric()).map_or(after, |end| &after[..end]);
            next.is_ascii_digit() || is_clitic(letters)
        }
        '@' | '#' => next.is_alphanumeric(),
        _ => false,
    }
}

/// How far the word reaches before a mark that always separates, or the end. At least one character.
fn word_length(rest: &str) -> usize {
    if is_address(rest) {
        return rest.len();
    }
    let mut previous = ' ';
    for (at, c) in rest.char_indices() {
        let next = rest[at + c.len_utf8()..].chars().next().unwrap_or(' ');
        if at > 0 && separates(previous, c, next) {
            return at;
        }
        if at > 0 && is_currency(c) && next.is_ascii_digit() {
            return at + c.len_utf8();
        }
        previous = c;
    }
    rest.len()
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
    let Some((at, mark)) = word.char_indices().rev().find(|&(_, c)| matches!(c, '\'' | '’')) else { return 0 };
    let after = &word[at + mark.len_utf8()..];
    let start = if after.eq_ignore_ascii_case("t") && word[..at].ends_with(['n', 'N']) {
        at - 1
    } else if is_clitic(after) {
        at
    } else {
        return 0;
    };
    if start == 0 { 0 } else { word.len() - start }
}

fn is_clitic(letters: &str) -> bool {
    CLITICS.iter().any(|clitic| clitic.eq_ignore_ascii_case(letters))
}

fn is_address(word: &str) -> bool {
    word.contains("://") || word.starts_with("www.")
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
