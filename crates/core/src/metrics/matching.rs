//! Which prediction is meant for which gold entity, and what is wrong with it.
//!
//! The pairs are one to one, so that nothing counts twice: only entities that share a token are paired, and of all such
//! pairs the best is taken first, then the best of what is left, and so on. Pairs rank as follows:
//!
//! 1. the same span and type,
//! 2. the same span,
//! 3. the same type, those with the most shared tokens first,
//! 4. any, those with the most shared tokens first.
//!
//! Of equals, the pair of the first gold entity comes first, then that of the first predicted one. Entities are in
//! order of their spans and types, so that the order in which they were given says nothing.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::compare::order;
use crate::Entity;

/// What became of a gold entity, or of a predicted one; in the order in which pairs rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Paired; span and type are right.
    Correct,
    /// Paired; the span is right.
    WrongType,
    /// Paired; the type is right.
    WrongBoundary,
    /// Paired; neither is right, but they share a token.
    BothWrong,
    /// A gold entity without partner.
    Missed,
    /// A predicted entity without partner.
    Spurious,
}

/// A gold entity with its prediction, or one without partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match<'a> {
    /// They share at least a token.
    Pair {
        /// What is right.
        gold: &'a Entity,
        /// What was said.
        predicted: &'a Entity,
    },
    /// A gold entity without partner.
    Missed(&'a Entity),
    /// A predicted entity without partner.
    Spurious(&'a Entity),
}

impl<'a> Match<'a> {
    /// The gold entity, if there is one.
    #[must_use]
    pub fn gold(self) -> Option<&'a Entity> {
        match self {
            Self::Pair { gold, .. } | Self::Missed(gold) => Some(gold),
            Self::Spurious(_) => None,
        }
    }

    /// The predicted entity, if there is one.
    #[must_use]
    pub fn predicted(self) -> Option<&'a Entity> {
        match self {
            Self::Pair { predicted, .. } | Self::Spurious(predicted) => Some(predicted),
            Self::Missed(_) => None,
        }
    }

    /// What this is.
    #[must_use]
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Pair { gold, predicted } => match (gold.span == predicted.span, gold.label == predicted.label) {
                (true, true) => Outcome::Correct,
                (true, false) => Outcome::WrongType,
                (false, true) => Outcome::WrongBoundary,
                (false, false) => Outcome::BothWrong,
            },
            Self::Missed(_) => Outcome::Missed,
            Self::Spurious(_) => Outcome::Spurious,
        }
    }
}

/// Pairs the entities of one sentence as described [above](self); each is in exactly one match. Paired and missed ones
/// come in the order of the gold, then spurious ones. An entity that is given twice counts once.
///
/// ```
/// use apprentice_core::{Entity, Span, metrics::{Outcome, matched}};
/// let entity = |a, b, label: &str| Entity { span: Span::new(a, b).unwrap(), label: label.into() };
/// // Ann Keller won in Rome .
/// let gold = [entity(0, 2, "PER"), entity(4, 5, "LOC")];
/// let predicted = [entity(0, 1, "PER"), entity(2, 3, "ORG"), entity(4, 5, "ORG")];
/// let outcomes: Vec<Outcome> = matched(&gold, &predicted).iter().map(|m| m.outcome()).collect();
/// assert_eq!(outcomes, [Outcome::WrongBoundary, Outcome::WrongType, Outcome::Spurious]);
/// ```
#[must_use]
pub fn matched<'a>(gold: &'a [Entity], predicted: &'a [Entity]) -> Vec<Match<'a>> {
    let (mut left, mut right) = (Vec::new(), Vec::new());
    order(gold, &mut left);
    order(predicted, &mut right);

    let mut pairs = overlapping(&left, &right);
    pairs.sort_by_key(|&(g, p)| (rank(left[g], right[p]), g, p));
    let mut partner = vec![None; left.len()];
    let mut taken = vec![false; right.len()];
    for (g, p) in pairs {
        if partner[g].is_none() && !taken[p] {
            partner[g] = Some(right[p]);
            taken[p] = true;
        }
    }

    let golden = left.iter().zip(partner).map(|(&gold, partner)| match partner {
        Some(predicted) => Match::Pair { gold, predicted },
        None => Match::Missed(gold),
    });
    let spurious =
        right.iter().zip(taken).filter(|(_, taken)| !taken).map(|(&predicted, _)| Match::Spurious(predicted));
    golden.chain(spurious).collect()
}

/// The indices of all pairs that share a token.
fn overlapping(gold: &[&Entity], predicted: &[&Entity]) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    let mut first = 0;
    for (g, entity) in gold.iter().enumerate() {
        // Both lists are in order of their starts: what ends before this start ends before all later ones.
        first += predicted[first..].iter().take_while(|p| p.span.end() <= entity.span.start()).count();
        let near = predicted.iter().enumerate().skip(first).take_while(|(_, p)| p.span.start() < entity.span.end());
        pairs.extend(near.filter(|(_, p)| p.span.overlaps(entity.span)).map(|(p, _)| (g, p)));
    }
    pairs
}

/// The least is the best.
fn rank(gold: &Entity, predicted: &Entity) -> (Outcome, Reverse<usize>) {
    let shared = gold.span.end().min(predicted.span.end()) - gold.span.start().max(predicted.span.start());
    (Match::Pair { gold, predicted }.outcome(), Reverse(shared))
}
