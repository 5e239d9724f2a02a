//! Which type was taken for which.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{MetricsError, compare::paired, matching::matched};
use crate::Entity;

/// How many entities of each gold type were predicted as each type, by the pairs of [`matched`]: the spans of a pair
/// share a token and need not be the same.
///
/// ```
/// use apprentice_core::{Entity, Span, metrics::Confusion};
/// let entity = |a, b, label: &str| Entity { span: Span::new(a, b).unwrap(), label: label.into() };
/// // Ann Keller won in Rome .
/// let gold = [[entity(0, 2, "PER"), entity(4, 5, "LOC")]];
/// let predicted = [[entity(0, 1, "PER"), entity(2, 3, "ORG"), entity(4, 5, "ORG")]];
/// let confusion = Confusion::of(&gold, &predicted)?;
/// assert_eq!(confusion.types.join(" "), "LOC ORG PER");
/// //                                LOC ORG PER none
/// assert_eq!(confusion.counts, [[0, 1, 0, 0], /* LOC */
///                               [0, 0, 0, 0], /* ORG */
///                               [0, 0, 1, 0], /* PER */
///                               [0, 1, 0, 0]] /* none */);
/// # Ok::<(), apprentice_core::MetricsError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    /// The types that are in the gold or in the predictions, sorted.
    pub types: Vec<Arc<str>>,
    /// `counts[gold][predicted]`, in the order of the types; the last row has the spurious entities, the last column
    /// the missed ones.
    pub counts: Vec<Vec<usize>>,
}

impl Confusion {
    /// Counts, sentence by sentence.
    ///
    /// # Errors
    /// [`MetricsError::Sentences`] if the two have different numbers of sentences.
    pub fn of<G: AsRef<[Entity]>, P: AsRef<[Entity]>>(gold: &[G], predicted: &[P]) -> Result<Self, MetricsError> {
        let mut cells: BTreeMap<[Option<&Arc<str>>; 2], usize> = BTreeMap::new();
        for (gold, predicted) in paired(gold, predicted)? {
            for found in matched(gold, predicted) {
                *cells.entry([found.gold(), found.predicted()].map(|e| e.map(|e| &e.label))).or_default() += 1;
            }
        }
        let types: BTreeSet<&Arc<str>> = cells.keys().flatten().copied().flatten().collect();
        let types: Vec<Arc<str>> = types.into_iter().cloned().collect();
        let place = |label: Option<&Arc<str>>| label.map_or(Ok(types.len()), |label| types.binary_search(label));
        let mut counts = vec![vec![0; types.len() + 1]; types.len() + 1];
        for ([gold, predicted], n) in cells {
            if let (Ok(gold), Ok(predicted)) = (place(gold), place(predicted)) {
                counts[gold][predicted] = n;
            }
        }
        Ok(Self { types, counts })
    }
}
