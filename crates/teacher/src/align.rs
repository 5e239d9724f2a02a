//! Finding mentions in the sentence they were made about.
//!
//! Mentions are placed one after the other. For each, the places where its text occurs are ranked by how well they fit,
//! and the best one that no earlier entity occupies is taken:
//!
//! 1. `exact`, then `folded` (Unicode NFKC and case), then `fuzzy` (white space and punctuation overlooked), each first
//!    where it makes up whole tokens, then where it makes up whole words inside tokens (`AOL` in `AOL's`);
//! 2. only if there is none of these, taken or not: `exact` inside a word (`Oman` in `Roman`).
//!
//! Among equals, the first behind the previous mention comes first, then the first of the sentence: repeated mentions go
//! to successive places, and mentions out of order are found all the same. A place that begins or ends inside a token
//! is widened to the token.
//!
//! Invariants: there is one outcome per mention; entities lie in the sentence and never overlap; the surface of one
//! that is exact and not widened is the mention's text.
//!
//! ```
//! use apprentice_core::{Sentence, Span};
//! use apprentice_teacher::{Mention, Outcome, Status, align, default_labels};
//! let sentence = Sentence::from_words("s1", ["Roman", "ROME", "beat", "Rome-based", "Oman", "."]);
//! let mention = |text: &str, label: &str| Mention { text: text.into(), label: label.into() };
//! let mentions = [mention("Oman", "LOC"), mention("Rome", "LOC"), mention("Lima", "LOC"), mention("beat", "VERB")];
//! let alignment = align(&sentence, &mentions, &default_labels());
//! let spans: Vec<_> = alignment.entities.iter().map(|e| (e.span.start(), e.span.end())).collect();
//! assert_eq!(spans, [(3, 4), (4, 5)]);
//! assert_eq!(alignment.outcomes, [
//!     Outcome::Placed { span: Span::new(4, 5).unwrap(), status: Status::Exact, widened: false },
//!     Outcome::Placed { span: Span::new(3, 4).unwrap(), status: Status::Exact, widened: true },
//!     Outcome::Missing,
//!     Outcome::UnknownType,
//! ]);
//! ```

use std::ops::Range;
use std::sync::Arc;

use apprentice_core::{Entity, Sentence, Span};
use serde::Serialize;

use crate::Mention;
use crate::fold::{Folding, is_ignorable, is_word};

/// How like the mention the sentence's text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// The same, byte for byte.
    Exact,
    /// The same after Unicode normalisation and case folding.
    Folded,
    /// The same but for white space and punctuation as well.
    Fuzzy,
}

/// What became of a mention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// It is an entity now.
    Placed {
        /// The entity's tokens.
        span: Span,
        /// How like the mention they are.
        status: Status,
        /// Whether the entity is longer than the mention, because that began or ended inside a token.
        widened: bool,
    },
    /// Its text is not in the sentence.
    Missing,
    /// Its text is in the sentence, but only where earlier mentions are.
    Overlap {
        /// The tokens it would have had.
        span: Span,
        /// How like the mention they are.
        status: Status,
    },
    /// Its type is not in the label set.
    UnknownType,
}

/// Where the mentions of a sentence are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Alignment {
    /// The entities, in order of appearance, apart from each other.
    pub entities: Vec<Entity>,
    /// What became of each mention, in the order of the mentions.
    pub outcomes: Vec<Outcome>,
}

/// Finds `mentions` in `sentence`. Labels are compared as they are written.
#[must_use]
pub fn align(sentence: &Sentence, mentions: &[Mention], labels: &[Arc<str>]) -> Alignment {
    let finder = Finder::new(sentence);
    let mut entities: Vec<Entity> = Vec::new();
    let mut outcomes = Vec::with_capacity(mentions.len());
    // Where the previous mention ended, in bytes.
    let mut cursor = 0;
    for mention in mentions {
        let label = labels.iter().find(|label| ***label == mention.label);
        let places = finder.places(&mention.text);
        let rank = |place: &&Place| (place.status, place.edges, place.bytes.start < cursor, place.bytes.start);
        let free = |place: &&Place| entities.iter().all(|entity| !entity.span.overlaps(place.span));
        let best = places.iter().filter(free).min_by_key(rank);
        outcomes.push(match (label, best) {
            (Some(_), None) => match places.iter().min_by_key(rank) {
                Some(&Place { span, status, .. }) => Outcome::Overlap { span, status },
                None => Outcome::Missing,
            },
            // Not an entity, and so in nobody's way; but if it is repeated, that means the next place.
            (None, best) => {
                cursor = best.map_or(cursor, |place| place.bytes.end);
                Outcome::UnknownType
            }
            (Some(label), Some(&Place { span, status, edges, ref bytes })) => {
                cursor = bytes.end;
                entities.push(Entity { span, label: label.clone() });
                Outcome::Placed { span, status, widened: edges != Edges::Tokens }
            }
        });
    }
    entities.sort();
    Alignment { entities, outcomes }
}

/// How the edges of a place lie; smaller is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Edges {
    /// On token boundaries.
    Tokens,
    /// On word boundaries, inside a token: `AOL` in `AOL's`.
    Words,
    /// Inside a word: `Oman` in `Roman`.
    InsideWord,
}

/// Where a mention's text occurs.
#[derive(Debug)]
struct Place {
    bytes: Range<usize>,
    /// The tokens that `bytes` touches.
    span: Span,
    status: Status,
    edges: Edges,
}

/// A sentence in the three forms in which it is searched.
struct Finder<'a> {
    sentence: &'a Sentence,
    folded: Folding,
    skeleton: Folding,
}

impl<'a> Finder<'a> {
    fn new(sentence: &'a Sentence) -> Self {
        let folded = Folding::new(sentence.text());
        let skeleton = folded.skeleton();
        Self { sentence, folded, skeleton }
    }

    /// Every place of `text` that may be taken for it.
    fn places(&self, text: &str) -> Vec<Place> {
        let folded = Folding::new(text);
        let fuzzy = self.skeleton.find(&folded.skeleton());
        let found = occurrences(self.sentence.text(), text)
            .into_iter()
            .map(|bytes| (Status::Exact, bytes))
            .chain(self.folded.find(&folded).into_iter().map(|bytes| (Status::Folded, bytes)))
            .chain(fuzzy.into_iter().map(|bytes| (Status::Fuzzy, bytes)));
        let mut places: Vec<_> = found.filter_map(|(status, bytes)| self.place(status, bytes)).collect();
        // `us` is in `Russia`, and a fuzzy `art` even in `bar test`: inside a word only the exact text counts, and only
        // if there is nothing else.
        if places.iter().any(|place| place.edges < Edges::InsideWord) {
            places.retain(|place| place.edges < Edges::InsideWord);
        } else {
            places.retain(|place| place.status == Status::Exact);
        }
        places
    }

    /// What lies at `bytes`, or nothing if they begin or end outside of the tokens.
    fn place(&self, status: Status, bytes: Range<usize>) -> Option<Place> {
        let (text, tokens) = (self.sentence.text(), self.sentence.tokens());
        let first = tokens.partition_point(|token| token.end() <= bytes.start);
        let end = tokens.partition_point(|token| token.start() < bytes.end);
        let span = Span::new(first, end)?;
        let head = text.get(tokens[first].start()..bytes.start)?;
        let tail = text.get(bytes.end..tokens[end - 1].end())?;
        let overlooked = |rest: &str| rest.chars().all(|c| status == Status::Fuzzy && is_ignorable(c));
        let edges = if overlooked(head) && overlooked(tail) {
            Edges::Tokens
        } else if splits_word(text, bytes.start) || splits_word(text, bytes.end) {
            Edges::InsideWord
        } else {
            Edges::Words
        };
        Some(Place { bytes, span, status, edges })
    }
}

/// Every place of `needle` in `text`; places may overlap.
fn occurrences(text: &str, needle: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(first) = needle.chars().next()
        && let Some(start) = text[from..].find(needle).map(|offset| from + offset)
    {
        found.push(start..start + needle.len());
        from = start + first.len_utf8();
    }
    found
}

/// Whether `text` has parts of one word on both sides of byte `at`.
fn splits_word(text: &str, at: usize) -> bool {
    let (before, after) = text.split_at(at);
    before.chars().next_back().is_some_and(is_word) && after.chars().next().is_some_and(is_word)
}
