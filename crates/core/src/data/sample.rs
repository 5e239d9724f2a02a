//! Drawing records at random.

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::corpus::Record;

/// Draws `n` records, each set of `n` equally likely, in one pass and in memory for `n` (Vitter 1985, algorithm R); in
/// the order of the corpus. Stratified: in memory for `n` of each stratum, where a stratum is the records with the same
/// set of entity types, and each gets its share of `n` by largest remainders.
///
/// ```
/// use apprentice_core::{corpus::Record, data::Sampler};
/// let drawn = |seed| {
///     let mut sampler = Sampler::new(3, seed, false);
///     (0..100).for_each(|n| sampler.add(Record::new(format!("{n:02}"), "x")));
///     sampler.finish().iter().map(|r| r.id().to_owned()).collect::<Vec<_>>()
/// };
/// assert_eq!(drawn(1).len(), 3);
/// assert!(drawn(1).is_sorted() && drawn(1) == drawn(1) && drawn(1) != drawn(2));
/// ```
#[derive(Debug)]
pub struct Sampler {
    n: usize,
    stratify: bool,
    seen: usize,
    rng: ChaCha8Rng,
    strata: BTreeMap<Vec<String>, Reservoir>,
}

#[derive(Debug, Default)]
struct Reservoir {
    seen: usize,
    /// In random order, each with its place in the corpus: any first part of it is a sample too.
    kept: Vec<(usize, Record)>,
}

impl Sampler {
    /// For `n` records.
    #[must_use]
    pub fn new(n: usize, seed: u64, stratify: bool) -> Self {
        Self { n, stratify, seen: 0, rng: ChaCha8Rng::seed_from_u64(seed), strata: BTreeMap::new() }
    }

    /// Offers the next record.
    pub fn add(&mut self, record: Record) {
        let place = self.seen;
        self.seen += 1;
        let stratum = if self.stratify { types(&record) } else { Vec::new() };
        let reservoir = self.strata.entry(stratum).or_default();
        reservoir.seen += 1;
        if reservoir.kept.len() < self.n {
            // Swapped with a random one, so that the reservoir is in random order.
            let at = self.rng.random_range(0..=reservoir.kept.len());
            reservoir.kept.push((place, record));
            let last = reservoir.kept.len() - 1;
            reservoir.kept.swap(at, last);
        } else {
            let at = self.rng.random_range(0..reservoir.seen);
            if at < self.n {
                reservoir.kept[at] = (place, record);
            }
        }
    }

    /// How many records were offered.
    #[must_use]
    pub fn seen(&self) -> usize {
        self.seen
    }

    /// The records drawn; all, if there are no more than `n`.
    #[must_use]
    pub fn finish(self) -> Vec<Record> {
        let sizes: Vec<usize> = self.strata.values().map(|reservoir| reservoir.seen).collect();
        let shares = largest_remainders(&sizes, self.n.min(self.seen));
        let mut drawn: Vec<(usize, Record)> = self
            .strata
            .into_values()
            .zip(shares)
            .flat_map(|(reservoir, share)| reservoir.kept.into_iter().take(share))
            .collect();
        drawn.sort_by_key(|(place, _)| *place);
        drawn.into_iter().map(|(_, record)| record).collect()
    }
}

fn types(record: &Record) -> Vec<String> {
    let mut types: Vec<String> = record.spans().unwrap_or_default().iter().map(|s| s.label.to_string()).collect();
    types.sort();
    types.dedup();
    types
}

/// `total` shared out in proportion to `sizes`; what is left over goes to the largest remainders, of equals the first.
pub(super) fn largest_remainders(sizes: &[usize], total: usize) -> Vec<usize> {
    let all: u128 = sizes.iter().map(|&size| size as u128).sum();
    if all == 0 {
        return vec![0; sizes.len()];
    }
    let exact = |size: usize| size as u128 * total as u128;
    let mut shares: Vec<usize> = sizes.iter().map(|&size| (exact(size) / all) as usize).collect();
    let mut by_remainder: Vec<usize> = (0..sizes.len()).collect();
    by_remainder.sort_by_key(|&at| std::cmp::Reverse(exact(sizes[at]) % all));
    let left = total - shares.iter().sum::<usize>();
    by_remainder.into_iter().take(left).for_each(|at| shares[at] += 1);
    shares
}
