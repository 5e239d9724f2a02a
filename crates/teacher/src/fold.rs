//! Text made comparable, with a way back: each folded character knows the bytes of the original it came from.
//!
//! Folding is Unicode NFKC, then case folding (`upper` then `lower`, so that `ß` meets `SS` and a final `ς` meets `Σ`).
//! It works cluster by cluster, a cluster being a character and the combining marks behind it, because only within one
//! can characters compose or expand: `ﬁ` gives `f i`, `e` + U+0301 gives `é`. A match therefore starts and ends at
//! cluster edges, and its bytes are those of whole clusters.

use std::ops::Range;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{canonical_combining_class, decompose_compatible, is_combining_mark};

/// A folded character.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Folded {
    char: char,
    /// The bytes of its cluster in the original.
    cluster: Range<usize>,
}

/// A text's folded characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Folding(Vec<Folded>);

impl Folding {
    /// Every character of `text`, folded.
    pub(crate) fn new(text: &str) -> Self {
        let mut folded = Vec::with_capacity(text.len());
        for cluster in clusters(text) {
            let composed = text[cluster.clone()].nfkc();
            let chars = composed.flat_map(char::to_uppercase).flat_map(char::to_lowercase);
            folded.extend(chars.map(|char| Folded { char, cluster: cluster.clone() }));
        }
        Self(folded)
    }

    /// The same without white space and punctuation.
    pub(crate) fn skeleton(&self) -> Self {
        Self(self.0.iter().filter(|f| !is_ignorable(f.char)).cloned().collect())
    }

    /// How many characters there are.
    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    /// The bytes in this text of every place where `needle` occurs, in order; places may overlap. Takes time in
    /// proportion to both (the search of Knuth, Morris and Pratt): `aaaa…` in `aaaa…` would otherwise not.
    pub(crate) fn find(&self, needle: &Self) -> Vec<Range<usize>> {
        let (text, needle) = (&self.0, &needle.0);
        if needle.is_empty() || needle.len() > text.len() {
            return Vec::new();
        }
        // For each character of the needle, how long a start of the needle ends there.
        let mut borders = vec![0; needle.len()];
        for at in 1..needle.len() {
            borders[at] = extend(needle, &borders, borders[at - 1], needle[at].char);
        }
        let mut matched = 0;
        let mut found = Vec::new();
        for end in 1..=text.len() {
            if matched == needle.len() {
                matched = borders[matched - 1];
            }
            matched = extend(needle, &borders, matched, text[end - 1].char);
            if matched == needle.len() {
                found.extend(self.bytes(end - matched..end));
            }
        }
        found
    }

    /// The bytes of whole clusters, or nothing if `chars` begin or end inside one.
    fn bytes(&self, chars: Range<usize>) -> Option<Range<usize>> {
        let text = &self.0;
        let (first, last) = (text.get(chars.start)?, text.get(chars.end.checked_sub(1)?)?);
        let splits_head = chars.start > 0 && text[chars.start - 1].cluster == first.cluster;
        let splits_tail = text.get(chars.end).is_some_and(|next| next.cluster == last.cluster);
        (!splits_head && !splits_tail).then_some(first.cluster.start..last.cluster.end)
    }

    /// The bytes of the whole words that are nearest to `needle`: one edit away if the shorter has 5 to 8 characters, at most
    /// two if it has more. The first character and all digits must be the same: Gambia is not Zambia, nor 1998 1999. Each
    /// comparison is taken from `budget`; once that is used up, nothing more is found.
    pub(crate) fn find_near(&self, needle: &Self, budget: &mut usize) -> Vec<Range<usize>> {
        // By the shorter of the two, or Austria would be Australia.
        let allowed = |len: usize| match len {
            0..5 => 0,
            5..9 => 1,
            _ => 2,
        };
        let most = allowed(needle.len());
        if most == 0 {
            return Vec::new();
        }
        let text: Vec<char> = self.0.iter().map(|f| f.char).collect();
        let needle: Vec<char> = needle.0.iter().map(|f| f.char).collect();
        let digits = |chars: &[char]| chars.iter().copied().filter(|c| c.is_numeric()).collect::<Vec<_>>();
        let is_edge = |at: usize| at == 0 || at == text.len() || !(is_word(text[at - 1]) && is_word(text[at]));
        let (mut nearest, mut found) = (most, Vec::new());
        let starts = (0..text.len()).filter(|&at| text[at] == needle[0] && is_word(text[at]) && is_edge(at));
        for start in starts {
            let ends = start + needle.len() - most..=(start + needle.len() + most).min(text.len());
            for end in ends.filter(|&end| is_word(text[end - 1]) && is_edge(end)) {
                let Some(rest) = budget.checked_sub(needle.len()) else { return found };
                *budget = rest;
                let candidate = &text[start..end];
                let most = nearest.min(allowed(candidate.len()));
                let Some(edits) = edits(candidate, &needle, most) else { continue };
                if digits(candidate) != digits(&needle) {
                    continue;
                }
                if edits < nearest {
                    nearest = edits;
                    found.clear();
                }
                found.extend(self.bytes(start..end));
            }
        }
        found
    }
}

/// How much of `needle` is matched by one more character behind `matched` of them.
fn extend(needle: &[Folded], borders: &[usize], mut matched: usize, char: char) -> usize {
    while needle[matched].char != char {
        if matched == 0 {
            return 0;
        }
        matched = borders[matched - 1];
    }
    matched + 1
}

/// How many characters must be put in, left out or replaced to make `a` of `b`, if not more than `most`.
fn edits(a: &[char], b: &[char], most: usize) -> Option<usize> {
    // What both start and end with costs nothing; what is between them is tried in every way, which are few.
    let same = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let (a, b) = (&a[same..], &b[same..]);
    match (a, b) {
        ([], rest) | (rest, []) => (rest.len() <= most).then_some(rest.len()),
        ([_, a_rest @ ..], [_, b_rest @ ..]) => {
            let most = most.checked_sub(1)?;
            let ways = [(a_rest, b_rest), (a, b_rest), (a_rest, b)];
            ways.into_iter().filter_map(|(a, b)| edits(a, b, most)).min().map(|edits| edits + 1)
        }
    }
}

/// The byte ranges of a character and what may compose with it: they follow each other and cover `text`.
fn clusters(text: &str) -> Vec<Range<usize>> {
    let mut clusters: Vec<Range<usize>> = Vec::new();
    for (start, char) in text.char_indices() {
        let end = start + char.len_utf8();
        match clusters.last_mut() {
            Some(last) if joins_previous(char) => last.end = end,
            _ => clusters.push(start..end),
        }
    }
    clusters
}

/// Whether a character composes with, or is re-ordered among, those before it.
fn joins_previous(char: char) -> bool {
    let mut first = None;
    decompose_compatible(char, |c| {
        first.get_or_insert(c);
    });
    let first = first.unwrap_or(char);
    // Vowels and final consonants of Hangul written letter by letter compose although they are no marks.
    is_combining_mark(first) || canonical_combining_class(first) != 0 || matches!(first, '\u{1160}'..='\u{11ff}')
}

/// Whether a character is part of a word, so that a name that ends beside it ends inside a word.
pub(crate) fn is_word(char: char) -> bool {
    char.is_alphanumeric() || is_combining_mark(char)
}

/// White space, punctuation and invisible characters: what fuzzy matching overlooks. Symbols (`+`, `$`, emoji) count,
/// or `C++` would be found in every `C`.
pub(crate) fn is_ignorable(char: char) -> bool {
    match char {
        '$' | '+' | '<' | '=' | '>' | '^' | '|' | '~' => false,
        _ if char.is_ascii_punctuation() || char.is_whitespace() || char.is_control() => true,
        // General punctuation: zero-width characters, dashes, quotes, bullets; without the fraction slash's kin of
        // operators, which are symbols.
        '\u{200b}'..='\u{205e}' | '\u{2060}'..='\u{206f}' => !matches!(char, '\u{2044}' | '\u{2052}'),
        '¡' | '§' | '«' | '¶' | '·' | '»' | '¿' | '´' | '\u{ad}' | '\u{feff}' // Latin-1, soft hyphen, byte order mark
        | '\u{3001}'..='\u{3003}' | '\u{3008}'..='\u{3011}' | '\u{3014}'..='\u{301f}' | '\u{30fb}' // CJK
        => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(text: &str, needle: &str) -> Vec<(usize, usize)> {
        edges(&Folding::new(text).find(&Folding::new(needle)))
    }

    fn edges(ranges: &[Range<usize>]) -> Vec<(usize, usize)> {
        ranges.iter().map(|range| (range.start, range.end)).collect()
    }

    #[test]
    fn bytes_survive_characters_that_grow_shrink_and_compose() {
        assert_eq!(find("Groß GROSS", "gross"), [(0, 5), (6, 11)]);
        assert_eq!(find("ﬁnal Final", "final"), [(0, 6), (7, 12)]);
        assert_eq!(find("İzmir x", "i\u{307}zmir"), [(0, 6)]);
        assert_eq!(find("Cafe\u{301} 😀 CAFÉ", "café"), [(0, 6), (12, 17)]);
        assert_eq!(find("ＥＵ and EU", "eu"), [(0, 6), (11, 13)]);
        assert_eq!(find("\u{1112}\u{1161}\u{11ab}", "한"), [(0, 9)]);
        assert_eq!(find("ΟΔΥΣΣΕΥΣ", "οδυσσευς"), [(0, 16)]);
    }

    #[test]
    fn half_a_ligature_or_a_letter_without_its_accent_is_no_match() {
        assert!(find("ﬁ", "f").is_empty());
        assert!(find("e\u{301}", "e").is_empty());
    }

    #[test]
    fn a_skeleton_has_no_punctuation_but_keeps_symbols() {
        let skeleton = |text: &str| Folding::new(text).skeleton();
        let find = |text: &str, needle: &str| edges(&skeleton(text).find(&skeleton(needle)));
        assert_eq!(find("the U.S. won", "US"), [(4, 7)]);
        assert_eq!(find("People ’s Daily", "People's Daily"), [(0, 17)]);
        assert!(find("C", "C++").is_empty());
        assert!(find("a", "...").is_empty());
    }
}
