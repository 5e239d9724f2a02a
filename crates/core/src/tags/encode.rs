//! From entities to tags.

use std::sync::Arc;

use super::{Scheme, Tag};
use crate::{Entity, Span};

/// The tags of a sentence of `len` tokens in this scheme. The entities must lie within it and apart, as those of a
/// [`Sentence`](crate::Sentence) do.
///
/// [`decode_lenient`](super::decode_lenient) gives the same entities back, with one exception: IO cannot write two
/// neighbours of one type, which come back as one.
///
/// # Panics
/// If an entity reaches beyond `len`.
#[must_use]
pub fn encode(entities: &[Entity], len: usize, scheme: Scheme) -> Vec<Tag> {
    let mut tags = Vec::new();
    encode_into(entities.iter().map(|entity| (entity.span, &entity.label)), len, scheme, &mut tags);
    tags
}

/// [`encode`], appended to `tags`.
pub(crate) fn encode_into<'a>(
    entities: impl Iterator<Item = (Span, &'a Arc<str>)> + Clone,
    len: usize,
    scheme: Scheme,
    tags: &mut Vec<Tag>,
) {
    let before = tags.len();
    tags.resize(before + len, Tag::Outside);
    let tags = &mut tags[before..];
    for (span, label) in entities.clone() {
        tags[span.range()].fill(Tag::Inside(label.clone()));
    }
    for (span, label) in entities {
        let (first, last) = (span.start(), span.end() - 1);
        let is_same = |tag: Option<&Tag>| tag.and_then(Tag::label) == Some(label);
        match scheme {
            Scheme::Iob1 if is_same(first.checked_sub(1).map(|i| &tags[i])) => tags[first] = Tag::Begin(label.clone()),
            Scheme::Iob2 => tags[first] = Tag::Begin(label.clone()),
            Scheme::Ioe1 if is_same(tags.get(last + 1)) => tags[last] = Tag::End(label.clone()),
            Scheme::Ioe2 => tags[last] = Tag::End(label.clone()),
            Scheme::Iobes | Scheme::Bilou if first == last => tags[first] = Tag::Single(label.clone()),
            Scheme::Iobes | Scheme::Bilou => {
                tags[first] = Tag::Begin(label.clone());
                tags[last] = Tag::End(label.clone());
            }
            Scheme::Iob1 | Scheme::Ioe1 | Scheme::Io => {}
        }
    }
}
