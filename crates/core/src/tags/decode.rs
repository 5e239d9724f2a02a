//! From tags to entities, in two ways.

use std::sync::Arc;

use super::{
    Scheme, Tag,
    step::{Kind, Step},
};
use crate::{Entity, Span};

/// The entities by the rule of conlleval and of seqeval's default mode, for tags of any scheme.
///
/// `B-` and `S-` always start an entity; `I-` and `E-` go on with an entity of their type that has not ended by `E-` or
/// `S-`, and otherwise start one. An entity ends where the next one starts, or at `O`. Every tag but `O` is in some
/// entity.
///
/// One difference from seqeval on purpose: `L-` and `U-` are `E-` and `S-` here; seqeval takes them for unknown letters.
#[must_use]
pub fn decode_lenient(tags: &[Tag]) -> Vec<Entity> {
    let mut entities = Vec::new();
    let mut start = 0;
    for (i, tag) in tags.iter().enumerate() {
        let previous = if i == 0 { &Tag::Outside } else { &tags[i - 1] };
        if Step::new(previous, tag).starts_leniently() {
            start = i;
        }
        if let Some(label) = tag.label()
            && tags.get(i + 1).is_none_or(|next| next.label().is_none() || Step::new(tag, next).starts_leniently())
        {
            entities.extend(entity(start, i + 1, label));
        }
    }
    entities
}

/// The entities by the rule of seqeval's `mode="strict"`: what the scheme would not write so is no entity.
///
/// Tags that the scheme does not have (`E-` in IOB2) are read as `O`, where seqeval refuses the whole input; count them
/// with [`malformed`](super::malformed). [`Scheme::Io`], which seqeval lacks, takes runs of `I-` of one type.
///
/// Otherwise this follows seqeval to the letter, which has surprises:
/// - IOB1: a token that wrongly carries `B-` is skipped, and an `I-` after it starts an entity, whatever its type:
///   `B-PER I-PER` is one PER at `1..2`. An entity of a single token with `B-` is lost if a `B-` of another type
///   follows: `I-PER B-PER B-LOC` has only the first PER.
/// - IOE1: a single token with `E-`, as IOE1 has it before another entity of its type, is an entity only right after
///   another `E-` of its type: well-formed `E-PER I-PER` has only the second PER. No other scheme loses anything
///   well-formed.
/// - IOE2, IOBES, BILOU: an entity that is not closed is lost, but its tokens are skipped all the same.
#[must_use]
pub fn decode_strict(tags: &[Tag], scheme: Scheme) -> Vec<Entity> {
    let step = |i| known(scheme, Step::at(tags, i));
    let mut entities = Vec::new();
    let mut i = 0;
    while i < tags.len() {
        let start = i;
        i += 1;
        if let Some(label) = tags[start].label().filter(|_| starts(scheme, step(start))) {
            while goes_on(scheme, step(i)) {
                i += 1;
            }
            if ends(scheme, step(i)) {
                entities.extend(entity(start, i, label));
            }
        }
    }
    entities
}

/// The step as the scheme sees it.
fn known(scheme: Scheme, step: Step) -> Step {
    let known = |kind| if scheme.has(kind) { kind } else { Kind::Outside };
    Step { from: known(step.from), to: known(step.to), ..step }
}

/// Whether an entity starts at the second tag. Only asked where none goes on.
fn starts(scheme: Scheme, step: Step) -> bool {
    let Step { from, to, same } = step;
    let goes_on = from == Kind::Inside && same;
    match (scheme, to) {
        (Scheme::Iob1, Kind::Begin) => same && matches!(from, Kind::Begin | Kind::Inside),
        (Scheme::Ioe1, Kind::End) => same && from == Kind::End,
        (Scheme::Iob1 | Scheme::Ioe1 | Scheme::Ioe2 | Scheme::Io, Kind::Inside) | (Scheme::Ioe2, Kind::End) => !goes_on,
        (Scheme::Iob2 | Scheme::Iobes | Scheme::Bilou, Kind::Begin | Kind::Single) => true,
        _ => false,
    }
}

/// Whether the second tag belongs to the entity of the first.
fn goes_on(scheme: Scheme, step: Step) -> bool {
    let Step { from, to, same } = step;
    // `to` is never a kind that the scheme lacks, so that IOB has no `E-` here.
    same && matches!(to, Kind::Inside | Kind::End)
        && match scheme {
            Scheme::Iob1 | Scheme::Iob2 | Scheme::Iobes | Scheme::Bilou => matches!(from, Kind::Begin | Kind::Inside),
            Scheme::Ioe1 | Scheme::Ioe2 | Scheme::Io => from == Kind::Inside,
        }
}

/// Whether an entity that ends with the first tag is one. Only asked where it does not go on.
fn ends(scheme: Scheme, step: Step) -> bool {
    let Step { from, to, same } = step;
    match scheme {
        Scheme::Iob1 => same || from != Kind::Begin || to != Kind::Begin,
        Scheme::Ioe1 => from != Kind::End || (same && matches!(to, Kind::Inside | Kind::End)),
        Scheme::Ioe2 => from == Kind::End,
        Scheme::Iobes | Scheme::Bilou => matches!(from, Kind::End | Kind::Single),
        Scheme::Iob2 | Scheme::Io => true,
    }
}

fn entity(start: usize, end: usize, label: &Arc<str>) -> Option<Entity> {
    Some(Entity { span: Span::new(start, end)?, label: label.clone() })
}
