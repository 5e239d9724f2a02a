//! Intervals for one system and a test between two, from test sets that are drawn from the test set.

use serde::{Deserialize, Serialize};

use super::{
    Interval, Resampling, UncertaintyError, UnitCounts,
    groups::{Grouped, Measures, ROUNDING},
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
