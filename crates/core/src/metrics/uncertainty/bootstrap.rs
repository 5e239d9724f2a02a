//! Intervals for one system and a test between two, from test sets that are drawn from the test set.

use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::{
    Interval, Resampling, UncertaintyError, UnitCounts,
    groups::{Grouped, Measures, ROUNDING, Room, draw_units, each_resample},
};

/// What one system scores, with confidence intervals.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Intervals {
    /// Micro precision.
    pub precision: Interval,
    /// Micro recall.
    pub recall: Interval,
    /// Micro F1.
    pub f1: Interval,
    /// Macro F1.
    pub macro_f1: Interval,
}

/// Two systems by one measure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// What the first scores.
    pub first: f64,
    /// What the second scores.
    pub second: f64,
    /// The first less the second.
    pub difference: Interval,
    /// Two-sided; see [`paired_bootstrap`].
    pub p_value: f64,
    /// In which part of the drawn test sets the first is better.
    pub first_better: f64,
    /// In which part the second is; the rest are ties.
    pub second_better: f64,
}

/// Two systems, compared on drawn test sets.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PairedBootstrap {
    /// By micro F1.
    pub f1: Comparison,
    /// By macro F1.
    pub macro_f1: Comparison,
}

/// Percentile bootstrap intervals (Efron 1979, "Bootstrap methods: another look at the jackknife"): `R` test sets of as
/// many units are drawn with replacement, and of the `R` scores in order, the interval goes from the quantile
/// `(1 - level) / 2` to the quantile `(1 + level) / 2`, linear between neighbours.
///
/// # Errors
/// [`UncertaintyError`] for settings that make no sense, or no units.
pub fn bootstrap(units: &UnitCounts, settings: &Resampling) -> Result<Intervals, UncertaintyError> {
    settings.check()?;
    let grouped = Grouped::new([units])?;
    let [measured] = grouped.measures();
    let drawn = grouped.resampled(settings);
    let of = |measure: fn(&Measures) -> f64| {
        interval(measure(&measured), drawn.iter().map(|[one]| measure(one)).collect(), settings.level)
    };
    Ok(Intervals {
        precision: of(|m| m.micro.precision),
        recall: of(|m| m.micro.recall),
        f1: of(|m| m.micro.f1),
        macro_f1: of(|m| m.macro_f1),
    })
}

/// The paired bootstrap test: the same drawn test sets for both systems (Koehn 2004, "Statistical significance tests for
/// machine translation evaluation").
///
/// With `d` the difference on the whole test set and `d*` that on a drawn one, the p-value is that of Berg-Kirkpatrick,
/// Burkett and Klein (2012, "An empirical investigation of statistical significance in NLP"), in its two-sided form: under
/// the null hypothesis that both are equally good, `d*` scatters about 0 as it does about `d`, so
/// `p = (1 + #{ |d* - d| >= |d| }) / (1 + R)`. Koehn's own measure of confidence, how often each system is the better
/// one, is given beside it: it tests nothing, but is easily read.
///
/// # Errors
/// [`UncertaintyError`] for settings that make no sense, no units, or systems scored on different test sets.
pub fn paired_bootstrap(
    first: &UnitCounts,
    second: &UnitCounts,
    settings: &Resampling,
) -> Result<PairedBootstrap, UncertaintyError> {
    settings.check()?;
    let grouped = Grouped::new([first, second])?;
    let measured = grouped.measures();
    let drawn = grouped.resampled(settings);
    let of = |measure: fn(&Measures) -> f64| {
        let difference = |[first, second]: &[Measures; 2]| measure(first) - measure(second);
        let [first, second] = measured.each_ref().map(measure);
        let differences: Vec<f64> = drawn.iter().map(difference).collect();
        compare(first, second, differences, settings.level)
    };
    Ok(PairedBootstrap { f1: of(|m| m.micro.f1), macro_f1: of(|m| m.macro_f1) })
}

/// The paired bootstrap over seeds and test sentences at once, for two systems of `S` runs each, where run `i` of both has
/// the same seed.
///
/// A resample draws `S` seeds with replacement, the same for both systems, and one set of as many test sentences, the same
/// for all runs; its `d*` is the difference between the two systems' means of F1 over the drawn seeds. Interval and
/// p-value are those of [`paired_bootstrap`] with this `d*`. That is the bootstrap of two crossed random factors, each
/// drawn by itself (McCullagh 2000, "Resampling and exchangeable arrays"; Owen 2007, "The pigeonhole bootstrap"), of which
/// the one factor is the seed and the other the sentence.
///
/// So the answer holds for other seeds and for other test sentences of the same kind; that of [`paired_bootstrap`] holds
/// for these very runs, that of [`paired_t`](super::paired_t) for this very test set. Two things to know:
///
/// * Of `S` values drawn with replacement, the mean varies by `(S - 1) / S` of what the mean of `S` new ones would: with few
///   seeds their part is too small (four fifths of the variance with 5, half with 2, nothing with 1), intervals are too
///   narrow and p-values too small where seeds scatter more than test sentences do.
/// * What sentence and seed do together is counted in both factors, which makes intervals wider, if anything.
///
/// With a single run of each, the values are those of [`paired_bootstrap`], to the bit.
///
/// ```
/// use apprentice_core::{Counts, metrics::uncertainty::{Resampling, UnitCounts, paired_bootstrap_of_runs}};
/// // 100 sentences with one PER each, of which a run finds so many.
/// let run = |found: usize| -> UnitCounts {
///     let unit = |hit: bool| Counts { true_positive: usize::from(hit), predicted: usize::from(hit), gold: 1 };
///     (0..100).map(|i| [("PER".into(), unit(i < found))]).collect()
/// };
/// let settings = Resampling { resamples: 2000, seed: 1, level: 0.95 };
/// let test = paired_bootstrap_of_runs(&[run(80), run(82), run(84)], &[run(70), run(75), run(71)], &settings)?;
/// assert!(test.f1.p_value < 0.01);
/// // Here a seed decides which system is better.
/// let test = paired_bootstrap_of_runs(&[run(80), run(60), run(70)], &[run(65), run(75), run(69)], &settings)?;
/// assert!(test.f1.p_value > 0.5);
/// # Ok::<(), apprentice_core::metrics::uncertainty::UncertaintyError>(())
/// ```
///
/// # Errors
/// [`UncertaintyError`] for settings that make no sense, no units, no runs, not as many of each
/// ([`UncertaintyError::Pairs`]), or runs scored on different test sets.
pub fn paired_bootstrap_of_runs(
    first: &[UnitCounts],
    second: &[UnitCounts],
    settings: &Resampling,
) -> Result<PairedBootstrap, UncertaintyError> {
    settings.check()?;
    if first.len() != second.len() {
        return Err(UncertaintyError::Pairs { first: first.len(), second: second.len() });
    }
    let Some(reference) = first.first() else {
        return Err(UncertaintyError::TooFew { found: 0, expected: 1 });
    };
    let mut pairs = Vec::with_capacity(first.len());
    for (first, second) in first.iter().zip(second) {
        // Only for its checks: the gold of all seeds must be one.
        Grouped::new([reference, first])?;
        pairs.push(Grouped::new([first, second])?);
    }
    let seeds = pairs.len();
    let measured: Vec<[Measures; 2]> = pairs.iter().map(Grouped::measures).collect();
    let drawn = each_resample(settings, |rng, (units, room): &mut (Vec<u32>, Room<2>)| {
        // The sentences first, as `paired_bootstrap` draws them.
        draw_units(rng, reference.len(), units);
        let mut times = vec![0_u32; seeds];
        for _ in 0..seeds {
            times[rng.random_range(0..seeds)] += 1;
        }
        let mut sums = Means::default();
        for (pair, &times) in pairs.iter().zip(&times).filter(|&(_, &times)| times > 0) {
            sums.add(&pair.measures_of(units, room), times);
        }
        sums.divided(seeds)
    });
    let mut sums = Means::default();
    for one in &measured {
        sums.add(one, 1);
    }
    let measured = sums.divided(seeds);
    let of = |measure: fn(&Means) -> [f64; 2]| {
        let [first, second] = measure(&measured);
        let differences = drawn.iter().map(measure).map(|[first, second]| first - second).collect();
        compare(first, second, differences, settings.level)
    };
    Ok(PairedBootstrap { f1: of(|means| means.f1), macro_f1: of(|means| means.macro_f1) })
}

/// Sums over runs, then means, of both systems.
#[derive(Debug, Clone, Copy, Default)]
struct Means {
    f1: [f64; 2],
    macro_f1: [f64; 2],
}

impl Means {
    fn add(&mut self, measures: &[Measures; 2], times: u32) {
        for (system, one) in measures.iter().enumerate() {
            self.f1[system] += f64::from(times) * one.micro.f1;
            self.macro_f1[system] += f64::from(times) * one.macro_f1;
        }
    }

    fn divided(self, runs: usize) -> Self {
        let mean = |sum: f64| sum / runs as f64;
        Self { f1: self.f1.map(mean), macro_f1: self.macro_f1.map(mean) }
    }
}

fn compare(first: f64, second: f64, differences: Vec<f64>, level: f64) -> Comparison {
    let resamples = differences.len() as f64;
    let count = |holds: &dyn Fn(f64) -> bool| differences.iter().filter(|&&d| holds(d)).count() as f64;
    let observed = first - second;
    let extreme = count(&|d| (d - observed).abs() >= observed.abs() - ROUNDING);
    Comparison {
        first,
        second,
        p_value: (1.0 + extreme) / (1.0 + resamples),
        first_better: count(&|d| d > ROUNDING) / resamples,
        second_better: count(&|d| d < -ROUNDING) / resamples,
        difference: interval(observed, differences, level),
    }
}

fn interval(estimate: f64, mut drawn: Vec<f64>, level: f64) -> Interval {
    drawn.sort_unstable_by(f64::total_cmp);
    let tail = (1.0 - level) / 2.0;
    Interval { estimate, low: quantile(&drawn, tail), high: quantile(&drawn, 1.0 - tail), level }
}

/// Of sorted values, linear between neighbours (Hyndman and Fan 1996, type 7; numpy's default).
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let below = sorted[place.floor() as usize];
    let above = sorted[place.ceil() as usize];
    below + (above - below) * place.fract()
}
