//! Finding mentions in the sentence they were made about.
//!
//! A mention may be at every place where its text occurs: `exact`, `folded` (Unicode NFKC and case) or `fuzzy` (white
//! space and punctuation overlooked), where it makes up whole tokens, or whole words inside tokens (`AOL` in `AOL's`).
//! Only if there is none of these, taken or not, `exact` inside a word (`Oman` in `Roman`); and only if there is none
//! either, `approximate`: whole words that differ from it by one character (from five on) or two (from nine on), but
//! neither in the first character nor in a digit.
//!
//! The places of all mentions are chosen at once. A place loses `l` points: 0 exact, 60 folded, 120 fuzzy, 300
//! approximate, and 30 if it ends inside a token, 200 inside a word. Let `b` be the least loss among the places of a
//! mention. A place in listed order is worth `128 - (l - b) - b / 8`, and the chain of mentions that go to places behind
//! each other, in the order in which they are listed, is the one worth most in sum; among equals, the mentions listed
//! first at the first places. Weighted chains are found exactly, in `O(p log t)` for `p` places in all and `t` tokens.
//! So a mention leaves the chain for a place that loses 128 points less. The mentions left over then take, as they are
//! listed, the best place that is free, or that becomes free if one other mention moves to a free place of its own.
//! Whatever place begins or ends inside a token is widened to the token.
//!
//! Bounds: of more than [`PLACES`] places in all, each mention is given the same number, those behind as many
//! as there were earlier mentions of the same text, and texts beyond that number have only their first [`MOVES`]; texts that differ are compared in folded form only up to
//! [`COMPARED`] characters in all, then byte for byte alone. No sentence of a real corpus comes near.
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
//! assert_eq!(spans, [(1, 2), (4, 5)]);
//! assert_eq!(alignment.outcomes, [
//!     Outcome::Placed { span: Span::new(4, 5).unwrap(), status: Status::Exact, widened: false },
//!     // In order with `beat`, which is worth more than `Rome-based` out of order.
//!     Outcome::Placed { span: Span::new(1, 2).unwrap(), status: Status::Folded, widened: false },
//!     Outcome::Missing,
//!     Outcome::UnknownType,
//! ]);
//! ```

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;
use std::str::FromStr;
use std::sync::Arc;

use apprentice_core::{Entity, Sentence, Span};
use serde::{Deserialize, Serialize};

use crate::Mention;
use crate::fold::{Folding, is_ignorable, is_word};

/// How many places the mentions of a sentence may have in all before each gets its share.
const PLACES: usize = 1 << 20;

/// How many characters may be compared in folded form for one sentence.
const COMPARED: usize = 1 << 24;

/// How many places of a mention are looked at when one mention is to make room for another.
const MOVES: usize = 32;

/// What a place in order is worth more than the same out of order.
const ORDER: u64 = 128;

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
    /// Whole words that differ from it by one or two characters.
    Approximate,
}

/// Which of several mentions gets a place that only one can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OverlapPolicy {
    /// As many mentions as possible are placed; of two that fit equally well, the one that is listed first.
    #[default]
    First,
    /// The one that covers more tokens, even at the cost of several shorter ones: a place is worth its tokens squared.
    Longest,
}

impl OverlapPolicy {
    /// Their names.
    pub const NAMES: [&str; 2] = ["first", "longest"];
}

impl FromStr for OverlapPolicy {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "first" => Ok(Self::First),
            "longest" => Ok(Self::Longest),
            _ => Err(format!("`{name}` is not a policy: expected one of {}", Self::NAMES.join(", "))),
        }
    }
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

/// A mention that became an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed<'a> {
    /// Which of the mentions it was.
    pub mention: usize,
    /// What it became.
    pub entity: &'a Entity,
    /// How like the mention the entity is.
    pub status: Status,
    /// Whether the entity is longer than the mention.
    pub widened: bool,
}

/// Where the mentions of a sentence are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Alignment {
    /// The entities, in order of appearance, apart from each other.
    pub entities: Vec<Entity>,
    /// What became of each mention, in the order of the mentions.
    pub outcomes: Vec<Outcome>,
}

impl Alignment {
    /// The mentions that became entities, in the order of the mentions.
    pub fn placed(&self) -> impl Iterator<Item = Placed<'_>> {
        self.outcomes.iter().enumerate().filter_map(|(mention, outcome)| {
            let Outcome::Placed { span, status, widened } = *outcome else { return None };
            let entity = &self.entities[self.entities.binary_search_by_key(&span, |entity| entity.span).ok()?];
            Some(Placed { mention, entity, status, widened })
        })
    }
}

/// Finds `mentions` in `sentence`, under [`OverlapPolicy::First`]. Labels are compared as they are written.
#[must_use]
pub fn align(sentence: &Sentence, mentions: &[Mention], labels: &[Arc<str>]) -> Alignment {
    align_with(sentence, mentions, labels, OverlapPolicy::First)
}

/// Finds `mentions` in `sentence`. Labels are compared as they are written.
#[must_use]
pub fn align_with(sentence: &Sentence, mentions: &[Mention], labels: &[Arc<str>], policy: OverlapPolicy) -> Alignment {
    let known: Vec<_> = mentions.iter().map(|m| labels.iter().find(|label| ***label == m.label)).collect();
    let all = Finder::new(sentence).all(mentions);
    let windows = windows(&all);
    let mut taken = Taken { by_token: vec![None; sentence.tokens().len()], chosen: vec![None; mentions.len()] };
    // Mentions of unknown types show where the others are, but are in nobody's way.
    let mut is_left: Vec<bool> = known.iter().map(Option::is_some).collect();
    for (mention, place) in chain(&windows, sentence.tokens().len(), policy) {
        if is_left[mention] {
            is_left[mention] = false;
            taken.put(mention, &windows[mention][place]);
        }
    }
    for mention in (0..mentions.len()).filter(|&mention| is_left[mention]) {
        place_left_over(mention, &windows, &mut taken);
    }
    let mut entities = Vec::new();
    let mut outcomes = Vec::with_capacity(mentions.len());
    for (mention, label) in known.into_iter().enumerate() {
        outcomes.push(match (label, taken.chosen[mention]) {
            (None, _) => Outcome::UnknownType,
            (Some(label), Some(&Place { span, status, edges, .. })) => {
                entities.push(Entity { span, label: label.clone() });
                Outcome::Placed { span, status, widened: edges != Edges::Tokens }
            }
            (Some(_), None) => match all[mention].iter().min_by_key(|place| place.rank()) {
                Some(&Place { span, status, .. }) => Outcome::Overlap { span, status },
                None => Outcome::Missing,
            },
        });
    }
    entities.sort();
    Alignment { entities, outcomes }
}

/// The places that each mention may take, so few that all can be looked at.
fn windows(all: &[Rc<[Place]>]) -> Vec<&[Place]> {
    let total: usize = all.iter().map(|places| places.len()).sum();
    if total <= PLACES {
        return all.iter().map(|places| &**places).collect();
    }
    let most = (PLACES / all.len()).max(1);
    // Mentions of one text share their places.
    let mut earlier: HashMap<*const Place, usize> = HashMap::new();
    all.iter()
        .map(|places| {
            let count = earlier.entry(places.as_ptr()).or_default();
            let from = (*count).min(places.len().saturating_sub(most));
            *count += 1;
            &places[from..(from + most).min(places.len())]
        })
        .collect()
}

/// The mentions and the indices of their places that make up the chain worth most, from its end.
fn chain(windows: &[&[Place]], tokens: usize, policy: OverlapPolicy) -> Vec<(usize, usize)> {
    /// The end of a chain: its worth, its last place, and the node before.
    struct Node {
        worth: u64,
        mention: usize,
        place: usize,
        before: Option<usize>,
    }
    let mut nodes: Vec<Node> = Vec::new();
    // A Fenwick tree: the best chain that ends at or before a token.
    let mut best: Vec<Option<usize>> = vec![None; tokens + 1];
    let better = |nodes: &[Node], a: Option<usize>, b: Option<usize>| match (a, b) {
        (Some(x), Some(y)) if nodes[y].worth > nodes[x].worth => b,
        (None, _) => b,
        _ => a,
    };
    let mut last = None;
    for (mention, places) in windows.iter().enumerate() {
        let first = nodes.len();
        let least = places.iter().map(Place::loss).min().unwrap_or(0);
        for (place, found) in places.iter().enumerate() {
            let Some(worth) = (ORDER - least / 8).checked_sub(found.loss() - least).filter(|&worth| worth > 0) else {
                continue;
            };
            let length = match policy {
                OverlapPolicy::First => 1,
                OverlapPolicy::Longest => (found.span.len() as u64).pow(2),
            };
            let mut before = None;
            let mut end = found.span.start();
            // Place 0 of the tree stands for nothing: a chain ends behind a token at least.
            while end > 0 {
                before = better(&nodes, before, best[end]);
                end &= end - 1;
            }
            let worth = worth * length + before.map_or(0, |node: usize| nodes[node].worth);
            nodes.push(Node { worth, mention, place, before });
        }
        // Only now, as a mention follows on others and not on itself.
        for node in first..nodes.len() {
            last = better(&nodes, last, Some(node));
            let mut end = places[nodes[node].place].span.end();
            while end <= tokens {
                best[end] = better(&nodes, best[end], Some(node));
                end += end & end.wrapping_neg();
            }
        }
    }
    let mut chosen = Vec::new();
    while let Some(node) = last {
        chosen.push((nodes[node].mention, nodes[node].place));
        last = nodes[node].before;
    }
    chosen
}

/// Who has which tokens.
struct Taken<'a> {
    /// The mention that has a token.
    by_token: Vec<Option<usize>>,
    /// The place of a mention.
    chosen: Vec<Option<&'a Place>>,
}

impl<'a> Taken<'a> {
    fn put(&mut self, mention: usize, place: &'a Place) {
        if let Some(old) = self.chosen[mention].replace(place) {
            self.by_token[old.span.range()].fill(None);
        }
        self.by_token[place.span.range()].fill(Some(mention));
    }

    /// The only mention on the tokens of `span`, nothing if they are free, or an error if there are several.
    fn holder(&self, span: Span) -> Result<Option<usize>, ()> {
        let mut holders = self.by_token[span.range()].iter().flatten();
        let first = holders.next().copied();
        if holders.all(|&other| Some(other) == first) { Ok(first) } else { Err(()) }
    }
}

/// Gives a mention outside of the chain its best free place, or one that another mention can leave.
fn place_left_over<'a>(mention: usize, windows: &[&'a [Place]], taken: &mut Taken<'a>) {
    let is_free = |taken: &Taken, place: &&Place| taken.by_token[place.span.range()].iter().all(Option::is_none);
    let free = windows[mention].iter().filter(|place| is_free(taken, place)).min_by_key(|place| place.rank());
    if let Some(place) = free {
        return taken.put(mention, place);
    }
    for place in windows[mention].iter().take(MOVES) {
        let Ok(Some(holder)) = taken.holder(place.span) else { continue };
        let elsewhere = windows[holder]
            .iter()
            .take(MOVES)
            .filter(|other| !other.span.overlaps(place.span) && is_free(taken, other))
            .min_by_key(|other| other.rank());
        if let Some(elsewhere) = elsewhere {
            taken.put(holder, elsewhere);
            return taken.put(mention, place);
        }
    }
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

impl Place {
    /// The points it loses against an exact place of whole tokens.
    fn loss(&self) -> u64 {
        let status = match self.status {
            Status::Exact => 0,
            Status::Folded => 60,
            Status::Fuzzy => 120,
            Status::Approximate => 300,
        };
        let edges = match self.edges {
            Edges::Tokens => 0,
            Edges::Words => 30,
            Edges::InsideWord => 200,
        };
        status + edges
    }

    /// Smaller is better.
    fn rank(&self) -> (u64, usize) {
        (self.loss(), self.bytes.start)
    }
}

/// A sentence in the three forms in which it is searched.
struct Finder<'a> {
    sentence: &'a Sentence,
    folded: Folding,
    skeleton: Folding,
    /// How many characters may still be compared in folded form.
    budget: usize,
    /// How many places may still be kept; a text gets some even then.
    room: usize,
}

impl<'a> Finder<'a> {
    fn new(sentence: &'a Sentence) -> Self {
        let folded = Folding::new(sentence.text());
        let skeleton = folded.skeleton();
        Self { sentence, folded, skeleton, budget: COMPARED, room: PLACES }
    }

    /// The places of each mention, in order of appearance.
    fn all(mut self, mentions: &[Mention]) -> Vec<Rc<[Place]>> {
        let mut known: HashMap<&str, Rc<[Place]>> = HashMap::new();
        mentions
            .iter()
            .map(|m| Rc::clone(known.entry(&m.text).or_insert_with(|| self.places(&m.text).into())))
            .collect()
    }

    /// Every place of `text` that may be taken for it, the first first; of one place in several forms, the best.
    fn places(&mut self, text: &str) -> Vec<Place> {
        let exact = occurrences(self.sentence.text(), text).into_iter().map(|bytes| (Status::Exact, bytes));
        let mut places: Vec<_> = exact.filter_map(|(status, bytes)| self.place(status, bytes)).collect();
        let folded = Folding::new(text);
        let cost = 2 * (self.folded.len() + folded.len());
        let affordable = self.budget.checked_sub(cost);
        if let Some(rest) = affordable {
            self.budget = rest;
            let fuzzy = self.skeleton.find(&folded.skeleton());
            let found = self.folded.find(&folded).into_iter().map(|bytes| (Status::Folded, bytes));
            let found = found.chain(fuzzy.into_iter().map(|bytes| (Status::Fuzzy, bytes)));
            places.extend(found.filter_map(|(status, bytes)| self.place(status, bytes)));
        }
        // `us` is in `Russia`, and a fuzzy `art` even in `bar test`: inside a word only the exact text counts, and only
        // if there is nothing else.
        if places.iter().any(|place| place.edges < Edges::InsideWord) {
            places.retain(|place| place.edges < Edges::InsideWord);
        } else {
            places.retain(|place| place.status == Status::Exact);
        }
        if places.is_empty() && affordable.is_some() {
            let near = self.folded.find_near(&folded, &mut self.budget);
            places.extend(near.into_iter().filter_map(|bytes| self.place(Status::Approximate, bytes)));
            places.retain(|place| place.edges < Edges::InsideWord);
        }
        places.sort_by_key(|place| (place.span, place.loss()));
        places.dedup_by_key(|place| place.span);
        places.truncate(self.room.max(MOVES));
        self.room = self.room.saturating_sub(places.len());
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

/// Every place of `needle` in `text`; places may overlap, unless the needle is so long that this would take long.
fn occurrences(text: &str, needle: &str) -> Vec<Range<usize>> {
    const LONG: usize = 64;
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(first) = needle.chars().next()
        && let Some(start) = text[from..].find(needle).map(|offset| from + offset)
    {
        found.push(start..start + needle.len());
        from = start + if needle.len() > LONG { needle.len() } else { first.len_utf8() };
    }
    found
}

/// Whether `text` has parts of one word on both sides of byte `at`.
fn splits_word(text: &str, at: usize) -> bool {
    let (before, after) = text.split_at(at);
    before.chars().next_back().is_some_and(is_word) && after.chars().next().is_some_and(is_word)
}
