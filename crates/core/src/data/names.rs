//! Ids that differ from each other, where several sources are joined.

use std::collections::HashMap;

use crate::corpus::Record;

/// Takes records and renames those whose id was there before: the id is followed by `~2`, `~3`, ….
///
/// ```
/// use apprentice_core::{corpus::Record, data::UniqueNames};
/// let mut names = UniqueNames::default();
/// let ids: Vec<String> = ["a", "b", "a", "a"].map(|id| names.take(Record::new(id, "x")).id().to_owned()).into();
/// assert_eq!((ids, names.renamed()), (["a", "b", "a~2", "a~3"].map(str::to_owned).into(), 2));
/// ```
#[derive(Debug, Default)]
pub struct UniqueNames {
    /// The last number of each id.
    ids: HashMap<String, usize>,
    renamed: usize,
}

impl UniqueNames {
    /// The record, perhaps under another name.
    #[must_use]
    pub fn take(&mut self, record: Record) -> Record {
        let id = record.id().to_owned();
        let Some(&last) = self.ids.get(&id) else {
            self.ids.insert(id, 1);
            return record;
        };
        self.renamed += 1;
        let mut number = last + 1;
        let mut free = format!("{id}~{number}");
        while self.ids.contains_key(&free) {
            number += 1;
            free = format!("{id}~{number}");
        }
        self.ids.insert(id, number);
        self.ids.insert(free.clone(), 1);
        record.named(free)
    }

    /// How many records got another name.
    #[must_use]
    pub fn renamed(&self) -> usize {
        self.renamed
    }
}
