//! Pairs of systems, run by run.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use apprentice_core::metrics::uncertainty::{
    Comparison, Interval, PairedBootstrap, Resampling, Summary, UncertaintyError, holm, paired_bootstrap_of_runs,
};
use serde::Serialize;

use super::{
    gather::{Done, Gathered},
    words,
};
use crate::LabError;

/// Two systems, or two teachers, by both F1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pair {
    /// The one that is judged.
    pub system: String,
    /// The one that it is compared with.
    pub with: String,
    /// Over how many seeds: those that both have done. None between teachers.
    pub seeds: Option<usize>,
    /// By micro F1.
    pub f1: Difference,
    /// By macro F1, over the types that are in the gold or predicted.
    pub macro_f1: Difference,
    /// Why there is no test, if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub untested: Option<String>,
    /// The optimiser steps of both, where they are not the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<[usize; 2]>,
}

/// Two systems by one measure: from
/// [`paired_bootstrap_of_runs`](apprentice_core::metrics::uncertainty::paired_bootstrap_of_runs), over seeds and test
/// sentences.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Difference {
    /// The mean of the one that is judged.
    pub first: f64,
    /// The mean of the other.
    pub second: f64,
    /// The first less the second.
    pub difference: f64,
    /// Where the true difference may lie.
    pub interval: Option<Interval>,
    /// Two-sided.
    pub p_value: Option<f64>,
    /// The same, corrected by Holm over all pairs of the question or table.
    pub holm: Option<f64>,
}

impl Difference {
    fn untested([first, second]: [f64; 2]) -> Self {
        Self { first, second, difference: first - second, interval: None, p_value: None, holm: None }
    }

    pub(super) fn tested(Comparison { first, second, difference, p_value, .. }: Comparison) -> Self {
        let (interval, difference) = (Some(difference), difference.estimate);
        Self { first, second, difference, interval, p_value: Some(p_value), holm: Some(p_value) }
    }

    /// The second less the first.
    fn reversed(self) -> Self {
        let Self { first, second, difference, interval, .. } = self;
        let turn =
            |Interval { estimate, low, high, level }| Interval { estimate: -estimate, low: -high, high: -low, level };
        Self { first: second, second: first, difference: -difference, interval: interval.map(turn), ..self }
    }

    /// Whether chance alone would hardly give this; `None` without a test.
    #[must_use]
    pub fn is_distinguishable(&self, significance: f64) -> Option<bool> {
        self.holm.map(|p| p < significance)
    }

    /// `+0.0123 (95 % interval +0.0050 to +0.0201, p = 0.0012)`.
    pub(super) fn in_words(&self) -> String {
        let interval = self.interval.map(|i| format!("{} interval {}", words::level(i.level), words::ends(&i)));
        let known: Vec<String> = interval.into_iter().chain(self.holm.map(words::p_is)).collect();
        let known = if known.is_empty() { "not tested".to_owned() } else { known.join(", ") };
        format!("{} ({known})", words::signed(self.difference))
    }
}

impl Pair {
    pub(super) fn tested(system: &str, with: &str, seeds: Option<usize>, tested: PairedBootstrap) -> Self {
        Self {
            system: system.to_owned(),
            with: with.to_owned(),
            seeds,
            f1: Difference::tested(tested.f1),
            macro_f1: Difference::tested(tested.macro_f1),
            untested: None,
            steps: None,
        }
    }

    fn reversed(self) -> Self {
        Self {
            system: self.with,
            with: self.system,
            f1: self.f1.reversed(),
            macro_f1: self.macro_f1.reversed(),
            steps: self.steps.map(|[a, b]| [b, a]),
            ..self
        }
    }
}

/// What to add to a comparison for it to be read rightly.
impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(why) = &self.untested {
            write!(f, "{} and {} are not tested: {why}.", self.system, self.with)?;
        }
        if self.seeds == Some(1) && self.untested.is_none() {
            let (system, with) = (&self.system, &self.with);
            write!(f, "One run of {system} and one of {with} are compared: other seeds may come out otherwise.")?;
        }
        if let Some([a, b]) = self.steps {
            let (a, b) = (words::grouped(a), words::grouped(b));
            write!(
                f,
                " {} makes {a} optimiser steps, {} {b}: this is no comparison at equal steps.",
                self.system, self.with
            )?;
        }
        Ok(())
    }
}

/// Compares systems, each pair once.
pub(super) struct Pairs<'a> {
    gathered: &'a Gathered,
    resampling: Resampling,
    known: BTreeMap<(usize, usize), Option<Pair>>,
}

impl<'a> Pairs<'a> {
    pub(super) fn new(gathered: &'a Gathered, resampling: Resampling) -> Self {
        Self { gathered, resampling, known: BTreeMap::new() }
    }

    /// A system with another; nothing as long as there is no seed that both have done.
    pub(super) fn of(&mut self, system: usize, with: usize) -> Result<Option<Pair>, LabError> {
        let key = (system.min(with), system.max(with));
        if !self.known.contains_key(&key) {
            let pair = self.compare(key.0, key.1)?;
            self.known.insert(key, pair);
        }
        let pair = self.known[&key].clone();
        Ok(if key.0 == system { pair } else { pair.map(Pair::reversed) })
    }

    fn compare(&self, first: usize, second: usize) -> Result<Option<Pair>, LabError> {
        let [one, other] = [first, second].map(|place| &self.gathered.systems[place]);
        let both = |(a, b): (&'a Option<Done>, &'a Option<Done>)| Some((a.as_ref()?, b.as_ref()?));
        let runs: Vec<(&Done, &Done)> = one.runs.iter().zip(&other.runs).filter_map(both).collect();
        if runs.is_empty() {
            return Ok(None);
        }
        let untested = if one.test != other.test {
            Some(format!("they are tested on different sets ({} and {})", one.test, other.test))
        } else if one.test.size.is_some() && runs.len() > 1 {
            Some("each seed has test sentences of its own".to_owned())
        } else if self.resampling.resamples == 0 {
            Some("no resamples are drawn".to_owned())
        } else {
            None
        };
        let seeds = Some(runs.len());
        let mut pair = if untested.is_none() {
            let units = runs.iter().map(|(first, second)| (first.units.clone(), second.units.clone()));
            let (first, second): (Vec<_>, Vec<_>) = units.unzip();
            let tested = paired_bootstrap_of_runs(&first, &second, &self.resampling)?;
            Pair::tested(&one.name, &other.name, seeds, tested)
        } else {
            let means = |measure: fn(&Done) -> f64| -> Result<Difference, UncertaintyError> {
                let (first, second): (Vec<f64>, Vec<f64>) = runs.iter().map(|(a, b)| (measure(a), measure(b))).unzip();
                Ok(Difference::untested([Summary::of(&first)?.mean, Summary::of(&second)?.mean]))
            };
            Pair {
                system: one.name.clone(),
                with: other.name.clone(),
                seeds,
                f1: means(|run| run.scores.micro.prf.f1)?,
                macro_f1: means(|run| run.scores.macro_union.f1)?,
                untested,
                steps: None,
            }
        };
        let different = |(a, b): &&(&Done, &Done)| a.record.steps != b.record.steps;
        pair.steps = runs.iter().find(different).map(|(a, b)| [a.record.steps, b.record.steps]);
        Ok(Some(pair))
    }
}

/// Corrects the p-values of pairs that answer one question together.
pub(super) fn corrected(mut pairs: Vec<Pair>) -> Result<Vec<Pair>, LabError> {
    for measure in
        [|pair: &mut Pair| &mut pair.f1, |pair: &mut Pair| &mut pair.macro_f1] as [fn(&mut Pair) -> &mut Difference; 2]
    {
        let mut tested: Vec<&mut Difference> = pairs.iter_mut().map(measure).filter(|d| d.p_value.is_some()).collect();
        let p_values: Vec<f64> = tested.iter().filter_map(|difference| difference.p_value).collect();
        for (difference, holm) in tested.iter_mut().zip(holm(&p_values)?) {
            difference.holm = Some(holm);
        }
    }
    Ok(pairs)
}

/// The places of pairs without those that are twice.
pub(super) fn once(pairs: impl IntoIterator<Item = (usize, usize)>) -> Vec<(usize, usize)> {
    let mut seen = BTreeSet::new();
    pairs.into_iter().filter(|pair| pair.0 != pair.1 && seen.insert(*pair)).collect()
}
