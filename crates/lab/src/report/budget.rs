//! What the teacher's labels are worth in human ones.

use apprentice_core::metrics::uncertainty::{Resampling, Summary};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use toml::Table;

use super::{
    Report,
    pairs::{Pair, Pairs, corrected},
    words,
};
use crate::{LabError, RunSettings, System};

/// F1 over the number of human labels, with the teacher's labels and without.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Budget {
    /// The question that it belongs to.
    pub ask: String,
    /// What the systems with the teacher's labels are called, but for the number of labels.
    pub with_name: String,
    /// The same of those without.
    pub without_name: String,
    /// With the teacher's labels, few human labels first.
    pub with: Vec<Point>,
    /// Without.
    pub without: Vec<Point>,
}

/// A system on a budget's curve.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Point {
    /// Human-labelled sentences.
    pub labels: usize,
    /// Its place among the systems.
    pub system: usize,
    /// Micro F1 on test.
    pub f1: Summary,
    /// It less the system without the teacher's labels.
    pub pair: Option<Pair>,
    /// How many human-labelled sentences alone give as much.
    pub worth: Option<Worth>,
}

/// A number of human-labelled sentences and where the true one may lie, as far as the curve reaches.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Worth {
    /// From the mean F1 of all seeds.
    pub estimate: Bound,
    /// Percentile interval from seeds drawn with replacement, the same for all systems; none for a single seed.
    pub interval: Option<[Bound; 2]>,
}

/// A number, or that it is beyond what was measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// Fewer than the least budget.
    FewerThan(usize),
    /// So many.
    At(f64),
    /// More than the largest budget.
    MoreThan(usize),
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::FewerThan(least) => write!(f, "fewer than {}", words::grouped(*least)),
            // Three digits are more than these numbers are worth.
            Self::At(number) => {
                let unit = 10_f64.powf((number.max(1.0).log10().floor() - 2.0).max(0.0));
                f.write_str(&words::grouped(((number / unit).round() * unit) as usize))
            }
            Self::MoreThan(most) => write!(f, "more than {}", words::grouped(*most)),
        }
    }
}

impl Bound {
    fn order(self) -> f64 {
        match self {
            Self::FewerThan(_) => f64::NEG_INFINITY,
            Self::At(number) => number,
            Self::MoreThan(_) => f64::INFINITY,
        }
    }
}

impl Worth {
    pub(super) fn in_words(&self, level: f64) -> String {
        let interval = self.interval.map(|[low, high]| {
            // Both ends beyond say it once.
            let ends = if low == high { low.to_string() } else { format!("{low} to {high}") };
            format!(" ({} interval {ends})", words::level(level))
        });
        format!("{}{}", self.estimate, interval.unwrap_or_default())
    }
}

/// Where the curve, linear in the logarithm of its labels, first reaches `value`.
fn reached(curve: &[(usize, f64)], value: f64) -> Option<Bound> {
    let (first, last) = (curve.first()?, curve.last()?);
    if value < first.1 {
        return Some(Bound::FewerThan(first.0));
    }
    if value <= first.1 {
        return Some(Bound::At(first.0 as f64));
    }
    // All before is below the value, so the first step that ends at it or above goes through it.
    let through = curve.array_windows().find(|[_, (_, above)]| *above >= value);
    Some(through.map_or(Bound::MoreThan(last.0), |&[(from, below), (to, above)]| {
        let part = (value - below) / (above - below);
        let (from, to) = ((from as f64).ln(), (to as f64).ln());
        Bound::At((from + part * (to - from)).exp())
    }))
}

/// What is the same along a curve, with and without the teacher's labels, and the systems on it.
type Along = ([RunSettings; 2], Vec<(usize, usize)>);

/// The curves that a question asks for.
pub(super) fn curves(
    report: &Report,
    points: &[System],
    pairs: &mut Pairs<'_>,
    (ask, without, with): (&str, &Table, &Table),
) -> Result<Vec<Budget>, LabError> {
    let experiment = &report.experiment;
    let key = |place: usize| RunSettings { original: Vec::new(), ..points[place].settings.clone() };
    let mut curves: Vec<Along> = Vec::new();
    for place in (0..points.len()).filter(|&place| experiment.has(&points[place], with)) {
        let Some(other) = experiment.changed(points, place, without)?.filter(|&other| other != place) else { continue };
        let keys = [place, other].map(key);
        match curves.iter_mut().find(|(known, _)| *known == keys) {
            Some((_, members)) => members.push((place, other)),
            None => curves.push((keys, vec![(place, other)])),
        }
    }
    let mut budgets = Vec::new();
    for (keys, members) in curves {
        let alone: Vec<usize> = (0..points.len())
            .filter(|&place| experiment.has(&points[place], without) && key(place) == keys[1])
            .collect();
        let point = |place: usize| {
            let system = &report.systems[place];
            let f1 = system.test.as_ref()?.f1;
            Some(Point { labels: system.human_sentences, system: place, f1, pair: None, worth: None })
        };
        let curve = |places: &mut dyn Iterator<Item = usize>| {
            let mut points: Vec<Point> = places.filter_map(point).collect();
            points.sort_by_key(|point| point.labels);
            points
        };
        let without = curve(&mut alone.iter().copied());
        let mut with = curve(&mut members.iter().map(|(place, _)| *place));
        let mut compared = Vec::new();
        for point in &mut with {
            point.worth = worth(report, &without, point, &report.settings.resampling)?;
            let other = members.iter().find(|(place, _)| *place == point.system);
            if let Some(&(place, other)) = other {
                compared.extend(pairs.of(place, other)?);
            }
        }
        for pair in corrected(compared)? {
            let named = with.iter_mut().find(|point| report.systems[point.system].name == pair.system);
            if let Some(point) = named {
                point.pair = Some(pair);
            }
        }
        let name = |place: Option<&usize>| {
            place.map_or(String::new(), |&place| without_labels(&report.systems[place].name, &points[place]))
        };
        budgets.push(Budget {
            ask: ask.to_owned(),
            with_name: name(members.first().map(|(place, _)| place)),
            without_name: name(alone.first()),
            with,
            without,
        });
    }
    Ok(budgets)
}

/// The name without the part that tells the human data.
fn without_labels(name: &str, system: &System) -> String {
    let original = system.settings.original.iter().map(ToString::to_string).collect::<Vec<_>>().join("+");
    let parts: Vec<&str> = name.split(", ").filter(|part| *part != original).collect();
    if parts.is_empty() { name.to_owned() } else { parts.join(", ") }
}

fn worth(
    report: &Report,
    without: &[Point],
    point: &Point,
    resampling: &Resampling,
) -> Result<Option<Worth>, LabError> {
    // F1 of each seed; nothing where a run is not done.
    let by_seed = |point: &Point| -> Vec<Option<f64>> {
        let runs = &report.systems[point.system].runs;
        runs.iter().map(|run| run.done.as_ref().map(|done| done.test.micro.prf.f1)).collect()
    };
    let curve: Vec<(usize, Vec<Option<f64>>)> = without.iter().map(|point| (point.labels, by_seed(point))).collect();
    let with = by_seed(point);
    let seeds: Vec<usize> = (0..with.len())
        .filter(|&seed| {
            with[seed].is_some() && curve.iter().all(|(_, runs)| runs.get(seed).copied().flatten().is_some())
        })
        .collect();
    if seeds.is_empty() {
        return Ok(None);
    }
    let at = |drawn: &[usize]| -> Result<Option<Bound>, LabError> {
        let mean = |runs: &[Option<f64>]| {
            Summary::of(&drawn.iter().filter_map(|&seed| runs[seed]).collect::<Vec<_>>()).map(|summary| summary.mean)
        };
        let curve = curve.iter().map(|(labels, runs)| Ok((*labels, mean(runs)?)));
        let curve: Vec<(usize, f64)> = curve.collect::<Result<_, LabError>>()?;
        Ok(reached(&curve, mean(&with)?))
    };
    let Some(estimate) = at(&seeds)? else { return Ok(None) };
    let mut drawn = Vec::new();
    if seeds.len() > 1 {
        let mut rng = ChaCha8Rng::seed_from_u64(resampling.seed);
        for _ in 0..resampling.resamples {
            let again: Vec<usize> = seeds.iter().map(|_| seeds[rng.random_range(0..seeds.len())]).collect();
            drawn.extend(at(&again)?);
        }
    }
    drawn.sort_by(|a, b| a.order().total_cmp(&b.order()));
    // Ends may be beyond the curve, so there is nothing between two neighbours.
    let quantile = |share: f64| drawn.get((share * drawn.len().saturating_sub(1) as f64).round() as usize).copied();
    let tail = (1.0 - resampling.level) / 2.0;
    let interval = quantile(tail).zip(quantile(1.0 - tail)).map(|(low, high)| [low, high]);
    Ok(Some(Worth { estimate, interval }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_between_logarithms() {
        let curve = [(100, 0.5), (400, 0.7), (800, 0.65), (1600, 0.8)];
        assert_eq!(reached(&curve, 0.4), Some(Bound::FewerThan(100)));
        assert_eq!(reached(&curve, 0.5), Some(Bound::At(100.0)));
        assert_eq!(reached(&curve, 0.81), Some(Bound::MoreThan(1600)));
        assert_eq!(reached(&[], 0.5), None);
        let at = |value| match reached(&curve, value) {
            Some(Bound::At(labels)) => labels,
            other => panic!("{other:?}"),
        };
        assert!((at(0.6) - 200.0).abs() < 1e-9);
        // Where the curve falls in between, the first place counts.
        assert!((at(0.68) - 400.0 / 4_f64.powf(0.1)).abs() < 1e-9);
    }

    #[test]
    fn bounds_are_rounded_to_three_digits() {
        let texts =
            [Bound::At(73.4), Bound::At(1234.0), Bound::FewerThan(50), Bound::MoreThan(2000)].map(|b| b.to_string());
        assert_eq!(texts, ["73", "1,230", "fewer than 50", "more than 2,000"]);
    }
}
