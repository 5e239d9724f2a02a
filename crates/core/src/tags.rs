//! Tags and tag schemes: how a column of labels says which tokens make an entity.
//!
//! IOB1 and IOB2 use the same three kinds of tag and differ in where `B-` stands: in IOB2 at the start of every entity,
//! in IOB1 only where an entity directly follows another one of its own type.
//!
//! ```
//! use apprentice_core::tags::{Scheme, Tag, Verdict, decode_lenient, decode_strict, detect, encode_iob2};
//! // Ann Keller won in Rome .
//! let iob1: Vec<Tag> = ["I-PER", "I-PER", "O", "O", "I-LOC", "O"].iter().map(|t| t.parse().unwrap()).collect();
//! assert_eq!(detect([&iob1]).verdict(), Verdict::Iob1);
//!
//! let entities = decode_lenient(&iob1);
//! assert_eq!(entities.len(), 2);
//! assert_eq!(entities[0].span.range(), 0..2);
//! assert_eq!(decode_strict(&iob1, Scheme::Iob1), entities);
//! assert_eq!(decode_strict(&iob1, Scheme::Iob2), []);
//!
//! let iob2: Vec<String> = encode_iob2(&entities, 6).iter().map(Tag::to_string).collect();
//! assert_eq!(iob2, ["B-PER", "I-PER", "O", "O", "B-LOC", "O"]);
//! ```

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Entity, Span};

/// One token's tag.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tag {
    /// `O`: in no entity.
    Outside,
    /// `B-TYPE`: the first token of an entity.
    Begin(Arc<str>),
    /// `I-TYPE`: a token of an entity, in IOB1 the first one too.
    Inside(Arc<str>),
}

/// A text that is not a tag.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{found}` is not a tag: expected O, B-TYPE or I-TYPE")]
pub struct TagError {
    /// What stood there.
    pub found: String,
}

impl Tag {
    /// The entity type, if the token is in an entity.
    #[must_use]
    pub fn label(&self) -> Option<&Arc<str>> {
        match self {
            Self::Outside => None,
            Self::Begin(label) | Self::Inside(label) => Some(label),
        }
    }
}

impl FromStr for Tag {
    type Err = TagError;

    fn from_str(s: &str) -> Result<Self, TagError> {
        match s.split_once('-') {
            None if s == "O" => Ok(Self::Outside),
            Some(("B", label)) if !label.is_empty() => Ok(Self::Begin(label.into())),
            Some(("I", label)) if !label.is_empty() => Ok(Self::Inside(label.into())),
            _ => Err(TagError { found: s.to_owned() }),
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outside => f.write_str("O"),
            Self::Begin(label) => write!(f, "B-{label}"),
            Self::Inside(label) => write!(f, "I-{label}"),
        }
    }
}

/// Where the tag `B-` stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Only at an entity that directly follows another one of the same type.
    Iob1,
    /// At the start of every entity.
    Iob2,
}

impl Scheme {
    /// Whether this scheme may have `tag` right after `previous` ([`Tag::Outside`] at the start of a sentence).
    #[must_use]
    pub fn allows(self, previous: &Tag, tag: &Tag) -> bool {
        match (self, tag) {
            (Self::Iob1, Tag::Begin(_)) | (Self::Iob2, Tag::Inside(_)) => previous.label() == tag.label(),
            _ => true,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Iob1 => "IOB1",
            Self::Iob2 => "IOB2",
        })
    }
}

/// What a corpus shows about its scheme.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// Entities, by the lenient rule.
    pub entities: usize,
    /// How many of them start with `I-`, which IOB2 has not.
    pub against_iob2: usize,
    /// How many of them start with `B-` but do not follow an entity of their own type, which IOB1 has not.
    pub against_iob1: usize,
}

/// Which scheme a corpus follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// There is no entity that the two schemes would write differently.
    Either,
    /// Only IOB1.
    Iob1,
    /// Only IOB2.
    Iob2,
    /// The corpus breaks both schemes.
    Neither,
}

impl Evidence {
    /// Which scheme this evidence leaves.
    #[must_use]
    pub fn verdict(self) -> Verdict {
        match (self.against_iob1, self.against_iob2) {
            (0, 0) => Verdict::Either,
            (0, _) => Verdict::Iob1,
            (_, 0) => Verdict::Iob2,
            _ => Verdict::Neither,
        }
    }

    /// Adds what one sentence shows.
    pub fn observe(&mut self, tags: &[Tag]) {
        let mut previous = &Tag::Outside;
        for tag in tags {
            if starts_leniently(previous, tag) {
                self.entities += 1;
                self.against_iob1 += usize::from(!Scheme::Iob1.allows(previous, tag));
                self.against_iob2 += usize::from(!Scheme::Iob2.allows(previous, tag));
            }
            previous = tag;
        }
    }
}

/// What these sentences show about the scheme of their tags.
pub fn detect<S: AsRef<[Tag]>>(sentences: impl IntoIterator<Item = S>) -> Evidence {
    let mut evidence = Evidence::default();
    for tags in sentences {
        evidence.observe(tags.as_ref());
    }
    evidence
}

fn starts_leniently(previous: &Tag, tag: &Tag) -> bool {
    match tag {
        Tag::Outside => false,
        Tag::Begin(_) => true,
        Tag::Inside(_) => previous.label() != tag.label(),
    }
}

/// The entities by the rule of conlleval and of seqeval's default mode: `B-` always starts an entity, `I-` goes on with
/// an entity of its type and otherwise starts one. Every tag but `O` is in some entity.
#[must_use]
pub fn decode_lenient(tags: &[Tag]) -> Vec<Entity> {
    let mut entities = Vec::new();
    let mut start = 0;
    for (i, tag) in tags.iter().enumerate() {
        let previous = if i == 0 { &Tag::Outside } else { &tags[i - 1] };
        if starts_leniently(previous, tag) {
            start = i;
        }
        if let Some(label) = tag.label()
            && tags.get(i + 1).is_none_or(|next| starts_leniently(tag, next) || next.label().is_none())
        {
            entities.extend(entity(start, i + 1, label));
        }
    }
    entities
}

/// The entities by the rule of seqeval's `mode="strict"`: what does not start as the scheme has it is no entity.
///
/// This follows seqeval to the letter, which for IOB1 has two surprises. A token that wrongly carries `B-` is skipped,
/// and an `I-` after it starts an entity, whatever its type: `B-PER I-PER` is one PER at `1..2`. And an entity of a
/// single token with `B-` is lost if a `B-` of another type follows: `I-PER B-PER B-LOC` has only the first PER.
#[must_use]
pub fn decode_strict(tags: &[Tag], scheme: Scheme) -> Vec<Entity> {
    let mut entities = Vec::new();
    let mut previous = &Tag::Outside;
    let mut i = 0;
    while i < tags.len() {
        let start = i;
        i += 1;
        if let Some(label) = tags[start].label().filter(|_| starts_strictly(previous, &tags[start], scheme)) {
            let inside = |tag: &&Tag| matches!(tag, Tag::Inside(other) if other == label);
            i += tags[i..].iter().take_while(inside).count();
            let unfinished = scheme == Scheme::Iob1
                && matches!(tags[i - 1], Tag::Begin(_))
                && matches!(tags.get(i), Some(Tag::Begin(next)) if next != label);
            if !unfinished {
                entities.extend(entity(start, i, label));
            }
        }
        previous = &tags[i - 1];
    }
    entities
}

/// Only asked at a token that does not go on with an entity found so.
fn starts_strictly(previous: &Tag, tag: &Tag, scheme: Scheme) -> bool {
    match (scheme, tag) {
        (_, Tag::Outside) | (Scheme::Iob2, Tag::Inside(_)) => false,
        (Scheme::Iob2, Tag::Begin(_)) => true,
        (Scheme::Iob1, Tag::Begin(label)) => previous.label() == Some(label),
        (Scheme::Iob1, Tag::Inside(label)) => !matches!(previous, Tag::Inside(other) if other == label),
    }
}

/// The IOB2 tags of a sentence of `len` tokens; entities must lie within it and apart, as those of a
/// [`Sentence`](crate::Sentence) do.
///
/// # Panics
/// If an entity reaches beyond `len`.
#[must_use]
pub fn encode_iob2(entities: &[Entity], len: usize) -> Vec<Tag> {
    let mut tags = vec![Tag::Outside; len];
    for Entity { span, label } in entities {
        tags[span.range()].fill(Tag::Inside(label.clone()));
        tags[span.start()] = Tag::Begin(label.clone());
    }
    tags
}

fn entity(start: usize, end: usize, label: &Arc<str>) -> Option<Entity> {
    Some(Entity { span: Span::new(start, end)?, label: label.clone() })
}
