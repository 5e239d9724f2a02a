//! Counts, unit by unit.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::UncertaintyError;
use crate::{
    Counts, Entity, Scores,
    metrics::{
        MetricsError,
        compare::{counts_by, paired},
    },
};

/// What one system got right, unit by unit and by type; types that do not occur in a unit take no space.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitCounts {
    labels: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, usize>,
    /// Label number and counts, all units end to end.
    entries: Vec<(usize, Counts)>,
    /// Where each unit's entries end.
    ends: Vec<usize>,
}

impl UnitCounts {
    /// The counts of each sentence, as [`metrics::entities`](crate::metrics::entities) counts.
    ///
    /// # Errors
    /// [`MetricsError::Sentences`] if the two have different numbers of sentences.
    pub fn of_sentences<G: AsRef<[Entity]>, P: AsRef<[Entity]>>(
        gold: &[G],
        predicted: &[P],
    ) -> Result<Self, MetricsError> {
        let mut units = Self::default();
        for sentence in paired(gold, predicted)? {
            let counts = counts_by(std::iter::once(sentence), |_, entity| &entity.label);
            units.push(counts.into_iter().map(|(label, counts)| (label.clone(), counts)));
        }
        Ok(units)
    }

    /// Adds a unit. A type may come in several parts; they are added up.
    pub fn push(&mut self, unit: impl IntoIterator<Item = (Arc<str>, Counts)>) {
        let start = self.entries.len();
        for (label, counts) in unit {
            let number = *self.numbers.entry(label).or_insert_with_key(|label| {
                self.labels.push(label.clone());
                self.labels.len() - 1
            });
            match self.entries[start..].iter_mut().find(|(known, _)| *known == number) {
                Some((_, sum)) => *sum += counts,
                None if counts == Counts::default() => {}
                None => self.entries.push((number, counts)),
            }
        }
        self.ends.push(self.entries.len());
    }

    /// The same counts with the sentences of each document put together, documents in order of appearance. `documents`
    /// has each unit's, by name.
    ///
    /// # Errors
    /// [`UncertaintyError::Documents`] or [`UncertaintyError::NoDocument`] if a unit has no document.
    pub fn by_document(&self, documents: &[Option<&str>]) -> Result<Self, UncertaintyError> {
        if documents.len() != self.len() {
            return Err(UncertaintyError::Documents { units: self.len(), documents: documents.len() });
        }
        let mut places = HashMap::new();
        let mut merged: Vec<Vec<(Arc<str>, Counts)>> = Vec::new();
        for (unit, document) in documents.iter().enumerate() {
            let document = document.ok_or(UncertaintyError::NoDocument { unit })?;
            let place = *places.entry(document).or_insert_with(|| {
                merged.push(Vec::new());
                merged.len() - 1
            });
            merged[place].extend(self.unit(unit).map(|(label, counts)| (label.clone(), counts)));
        }
        Ok(merged.into_iter().collect())
    }

    /// The number of units.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no unit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(super) fn labels(&self) -> &[Arc<str>] {
        &self.labels
    }

    /// The types and counts of one unit.
    ///
    /// # Panics
    /// If there is no such unit.
    pub fn unit(&self, index: usize) -> impl Iterator<Item = (&Arc<str>, Counts)> {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.entries[start..self.ends[index]].iter().map(|&(number, counts)| (&self.labels[number], counts))
    }

    /// The scores of all units together.
    #[must_use]
    pub fn scores(&self) -> Scores {
        let mut counts: BTreeMap<Arc<str>, Counts> = BTreeMap::new();
        for &(number, one) in &self.entries {
            *counts.entry(self.labels[number].clone()).or_default() += one;
        }
        Scores::from_counts(counts)
    }
}

impl<U: IntoIterator<Item = (Arc<str>, Counts)>> FromIterator<U> for UnitCounts {
    fn from_iter<T: IntoIterator<Item = U>>(units: T) -> Self {
        let mut counts = Self::default();
        units.into_iter().for_each(|unit| counts.push(unit));
        counts
    }
}
