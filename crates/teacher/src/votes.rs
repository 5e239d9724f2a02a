//! Several answers about one sentence, merged into one with a confidence for each entity.
//!
//! Samples of one prompt that agree are more often right than any one of them (self-consistency: Wang et al. 2022,
//! arXiv 2203.11171). For entities the vote has two stages (Xie et al. 2023, arXiv 2311.08921): first on where the
//! entities are, then on the type of each.
//!
//! Invariants: the merged entities are in order and do not overlap; nothing depends on the order of the answers, nor of
//! the entities in one; `n` equal answers give themselves, with all shares 1.
//!
//! ```
//! use apprentice_core::{Entity, Span};
//! use apprentice_teacher::votes::{self, Quorum};
//! let entity = |start, end, label: &str| Entity { span: Span::new(start, end).unwrap(), label: label.into() };
//! let answers = [vec![entity(0, 2, "PER"), entity(4, 5, "LOC")], vec![entity(0, 2, "ORG")], vec![entity(0, 2, "PER")]];
//! let merged = votes::merge(&answers, Quorum::Majority);
//! assert_eq!(merged.len(), 1);
//! assert_eq!((merged[0].entity.clone(), merged[0].boundary_share), (entity(0, 2, "PER"), 1.0));
//! assert!((merged[0].share - 2.0 / 3.0).abs() < 1e-12);
//! assert_eq!(votes::merge(&answers, Quorum::AtLeast(0.3)).len(), 2);
//! ```

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use apprentice_core::{Entity, Span};
use serde::{Deserialize, Serialize};

/// How many of the answers must have an entity's span.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quorum {
    /// More than half.
    #[default]
    Majority,
    /// This share or more.
    AtLeast(f64),
}

impl Quorum {
    fn is_met(self, votes: usize, answers: usize) -> bool {
        match self {
            Self::Majority => 2 * votes > answers,
            Self::AtLeast(share) => votes as f64 / answers as f64 >= share,
        }
    }
}

/// An entity, and how many of the answers have it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Voted {
    /// The entity, of the type that most answers give its span.
    pub entity: Entity,
    /// The share of the answers that have this span, of whatever type.
    pub boundary_share: f64,
    /// The share of the answers that have this span with this type; at most [`boundary_share`](Self::boundary_share).
    pub share: f64,
}

/// Merges the entities that several answers found in one sentence.
///
/// Of the spans with a quorum, those that most answers have come first, among equals the longer, then the earlier; a
/// span that overlaps one that was taken is left out. The type is the one with most votes, among equals the first by
/// name. Without answers there are no entities.
#[must_use]
pub fn merge<A: AsRef<[Entity]>>(answers: &[A], quorum: Quorum) -> Vec<Voted> {
    // For each span, the answers that have it, and the types that they give it.
    let mut ballots: BTreeMap<Span, (usize, BTreeMap<Arc<str>, usize>)> = BTreeMap::new();
    for answer in answers {
        // An answer has one vote, however often it repeats itself.
        let types: BTreeSet<(Span, &Arc<str>)> = answer.as_ref().iter().map(|e| (e.span, &e.label)).collect();
        for (span, label) in &types {
            *ballots.entry(*span).or_default().1.entry(Arc::clone(label)).or_default() += 1;
        }
        for span in types.iter().map(|(span, _)| *span).collect::<BTreeSet<_>>() {
            ballots.entry(span).or_default().0 += 1;
        }
    }
    let share = |votes: usize| votes as f64 / answers.len() as f64;
    let mut spans: Vec<_> =
        ballots.into_iter().filter(|(_, (votes, _))| quorum.is_met(*votes, answers.len())).collect();
    spans.sort_by_key(|(span, (votes, _))| (Reverse(*votes), Reverse(span.len()), *span));
    // By start, so that only the neighbours of a span can overlap it.
    let mut taken: BTreeMap<usize, Span> = BTreeMap::new();
    let mut merged = Vec::new();
    for (span, (votes, types)) in spans {
        let before = taken.range(..span.end()).next_back();
        let most = types.into_iter().max_by_key(|(label, votes)| (*votes, Reverse(Arc::clone(label))));
        if let Some((label, with_type)) = most
            && before.is_none_or(|(_, other)| !other.overlaps(span))
        {
            taken.insert(span.start(), span);
            merged.push(Voted {
                entity: Entity { span, label },
                boundary_share: share(votes),
                share: share(with_type),
            });
        }
    }
    merged.sort_by(|a, b| a.entity.cmp(&b.entity));
    merged
}
