//! Units with equal counts, put together, so that a resample is a few hundred sums and not thousands.

use std::{
    array,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::{Resampling, UncertaintyError, UnitCounts};
use crate::{Counts, Prf};

/// Differences of scores below this are rounding.
pub(super) const ROUNDING: f64 = 1e-12;

/// The units of `S` systems on one test set. Units that have the same counts in all systems are one group.
pub(super) struct Grouped<const S: usize> {
    pub(super) groups: Vec<Group<S>>,
    group_of: Vec<u32>,
    types: usize,
}

pub(super) struct Group<const S: usize> {
    /// How many units are in it.
    pub(super) size: u32,
    /// Type number and each system's counts; types that do not occur are left out.
    pub(super) counts: Vec<(usize, [Counts; S])>,
}

/// To work in: how often each group is drawn, and each type's counts.
pub(super) type Room<const S: usize> = (Vec<u32>, Vec<[Counts; S]>);

/// What is read off one test set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measures {
    pub(super) micro: Prf,
    pub(super) macro_f1: f64,
}

impl<const S: usize> Grouped<S> {
    /// # Errors
    /// [`UncertaintyError`] if there are no units or the systems were not scored on the same ones.
    pub(super) fn new(systems: [&UnitCounts; S]) -> Result<Self, UncertaintyError> {
        let units = systems[0].len();
        if let Some(other) = systems.iter().find(|other| other.len() != units) {
            return Err(UncertaintyError::Units { first: units, second: other.len() });
        }
        if units == 0 {
            return Err(UncertaintyError::NoUnits);
        }
        if u32::try_from(units).is_err() {
            return Err(UncertaintyError::TooManyUnits { found: units });
        }
        let mut numbers: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        for system in systems {
            numbers.extend(system.labels().iter().map(|label| (label.clone(), 0)));
        }
        numbers.values_mut().enumerate().for_each(|(number, slot)| *slot = number);

        let mut known = HashMap::new();
        let mut groups: Vec<Group<S>> = Vec::new();
        let mut group_of = Vec::with_capacity(units);
        for unit in 0..units {
            let mut counts: BTreeMap<usize, [Counts; S]> = BTreeMap::new();
            for (s, system) in systems.iter().enumerate() {
                for (label, one) in system.unit(unit) {
                    counts.entry(numbers[label]).or_insert([Counts::default(); S])[s] = one;
                }
            }
            if let Some((&number, all)) = counts.iter().find(|(_, all)| all.iter().any(|one| one.gold != all[0].gold)) {
                let label = numbers.keys().nth(number).expect("every number has a label: this is a bug").clone();
                return Err(UncertaintyError::Gold { unit, label, first: all[0].gold, second: all[S - 1].gold });
            }
            let key: Vec<_> = counts.iter().map(|(&number, all)| (number, all.map(in_full))).collect();
            let number = *known.entry(key).or_insert_with(|| {
                groups.push(Group { size: 0, counts: counts.into_iter().collect() });
                groups.len() - 1
            });
            groups[number].size += 1;
            group_of.push(number as u32);
        }
        Ok(Self { groups, group_of, types: numbers.len() })
    }

    /// What each system has on all units.
    pub(super) fn measures(&self) -> [Measures; S] {
        let sizes: Vec<u32> = self.groups.iter().map(|group| group.size).collect();
        measures(&self.totals(&sizes, Vec::new()))
    }

    /// Each type's counts, where group `g` is there `times[g]` times. `totals` is only room.
    pub(super) fn totals(&self, times: &[u32], mut totals: Vec<[Counts; S]>) -> Vec<[Counts; S]> {
        totals.clear();
        totals.resize(self.types, [Counts::default(); S]);
        for (group, &times) in self.groups.iter().zip(times).filter(|&(_, &times)| times > 0) {
            let times = times as usize;
            for (number, counts) in &group.counts {
                for (total, one) in totals[*number].iter_mut().zip(counts) {
                    total.true_positive += times * one.true_positive;
                    total.predicted += times * one.predicted;
                    total.gold += times * one.gold;
                }
            }
        }
        totals
    }

    /// What each system has on test sets of as many units, drawn with replacement.
    pub(super) fn resampled(&self, settings: &Resampling) -> Vec<[Measures; S]> {
        each_resample(settings, |rng, room: &mut (Vec<u32>, Room<S>)| {
            let (units, room) = room;
            draw_units(rng, self.group_of.len(), units);
            self.measures_of(units, room)
        })
    }

    /// What each system has on a test set of these units.
    pub(super) fn measures_of(&self, units: &[u32], (times, totals): &mut Room<S>) -> [Measures; S] {
        times.clear();
        times.resize(self.groups.len(), 0);
        for &unit in units {
            times[self.group_of[unit as usize] as usize] += 1;
        }
        *totals = self.totals(times, std::mem::take(totals));
        measures(totals)
    }
}

/// As many of `units` units, drawn with replacement.
pub(super) fn draw_units(rng: &mut ChaCha8Rng, units: usize, drawn: &mut Vec<u32>) {
    drawn.clear();
    drawn.extend((0..units).map(|_| rng.random_range(0..units as u32)));
}

fn in_full(counts: Counts) -> [usize; 3] {
    [counts.true_positive, counts.predicted, counts.gold]
}

/// `draw` for each resample, with its own random numbers and some room to work in, in order.
pub(super) fn each_resample<T: Send, R: Default>(
    settings: &Resampling,
    draw: impl Fn(&mut ChaCha8Rng, &mut R) -> T + Sync,
) -> Vec<T> {
    let seeded = ChaCha8Rng::seed_from_u64(settings.seed);
    let resamples = (0..settings.resamples).into_par_iter();
    resamples
        .map_init(R::default, |room, number| {
            let mut rng = seeded.clone();
            rng.set_stream(number as u64);
            draw(&mut rng, room)
        })
        .collect()
}

/// The measures of each system from the counts of each type, as [`crate::Scores::from_counts`] has them.
pub(super) fn measures<const S: usize>(totals: &[[Counts; S]]) -> [Measures; S] {
    array::from_fn(|s| {
        let (mut all, mut sum, mut types) = (Counts::default(), 0.0, 0);
        for one in totals.iter().map(|systems| systems[s]).filter(|&one| one != Counts::default()) {
            all += one;
            sum += Prf::from(one).f1;
            types += 1;
        }
        Measures { micro: all.into(), macro_f1: if types == 0 { 0.0 } else { sum / f64::from(types) } }
    })
}
