//! A test between two systems that swaps their outputs.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{
    Resampling, UncertaintyError, UnitCounts,
    groups::{Grouped, Measures, ROUNDING, each_resample, measures},
};
use crate::Counts;

/// Two systems by one measure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Randomised {
    /// What the first scores.
    pub first: f64,
    /// What the second scores.
    pub second: f64,
    /// The first less the second.
    pub difference: f64,
    /// Two-sided; see [`approximate_randomisation`].
    pub p_value: f64,
}

/// Two systems, compared by swapping their outputs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Randomisation {
    /// By micro F1.
    pub f1: Randomised,
    /// By macro F1.
    pub macro_f1: Randomised,
}

/// Approximate randomisation (Noreen 1989, "Computer-intensive methods for testing hypotheses"; Yeh 2000, "More accurate
/// tests for the statistical significance of result differences", for F1).
///
/// Null hypothesis: it does not matter which system an output comes from. So the outputs for each unit are swapped or not,
/// with equal chance, `R` times, and `p = (1 + #{ |d*| >= |d| }) / (1 + R)`, `d` being the difference between the
/// systems and `d*` that after swapping.
///
/// ```
/// use apprentice_core::{Counts, metrics::uncertainty::{Resampling, UnitCounts, approximate_randomisation}};
/// // Five sentences where only the first system finds the entity: 2 of the 2^5 ways to swap are as extreme.
/// let system = |found: usize| -> UnitCounts {
///     (0..5).map(|_| [("PER".into(), Counts { true_positive: found, predicted: found, gold: 1 })]).collect()
/// };
/// let test = approximate_randomisation(&system(1), &system(0), &Resampling::default())?;
/// assert!((test.f1.p_value - 2.0 / 32.0).abs() < 0.01);
/// # Ok::<(), apprentice_core::metrics::uncertainty::UncertaintyError>(())
/// ```
///
/// # Errors
/// [`UncertaintyError`] for settings that make no sense, no units, or systems scored on different test sets.
pub fn approximate_randomisation(
    first: &UnitCounts,
    second: &UnitCounts,
    settings: &Resampling,
) -> Result<Randomisation, UncertaintyError> {
    settings.check()?;
    let grouped = Grouped::new([first, second])?;
    let measured = grouped.measures();
    let sizes: Vec<u32> = grouped.groups.iter().map(|group| group.size).collect();
    let unswapped = grouped.totals(&sizes, Vec::new());
    let differing: Vec<_> =
        grouped.groups.iter().filter(|group| group.counts.iter().any(|(_, [a, b])| a != b)).collect();
    let swapped = each_resample(settings, |rng, totals: &mut Vec<[Counts; 2]>| {
        totals.clone_from(&unswapped);
        for group in &differing {
            let swaps = heads(rng, group.size);
            for (number, [a, b]) in &group.counts {
                let [of_first, of_second] = &mut totals[*number];
                exchange(of_first, a, b, swaps);
                exchange(of_second, b, a, swaps);
            }
        }
        measures(totals)
    });
    let of = |measure: fn(&Measures) -> f64| {
        let [first, second] = measured.each_ref().map(measure);
        let difference = first - second;
        let extreme = |[a, b]: &&[Measures; 2]| (measure(a) - measure(b)).abs() >= difference.abs() - ROUNDING;
        let p_value = (1 + swapped.iter().filter(extreme).count()) as f64 / (1 + swapped.len()) as f64;
        Randomised { first, second, difference, p_value }
    };
    Ok(Randomisation { f1: of(|m| m.micro.f1), macro_f1: of(|m| m.macro_f1) })
}

/// Takes `give` out of the total `swaps` times and puts `take` in.
fn exchange(total: &mut Counts, give: &Counts, take: &Counts, swaps: usize) {
    total.true_positive = total.true_positive + swaps * take.true_positive - swaps * give.true_positive;
    total.predicted = total.predicted + swaps * take.predicted - swaps * give.predicted;
}

/// How many of `coins` fair coins show heads.
fn heads(rng: &mut ChaCha8Rng, coins: u32) -> usize {
    let bits = |rng: &mut ChaCha8Rng, count: u32| (rng.next_u64() >> (64 - count)).count_ones() as usize;
    let whole: usize = (0..coins / 64).map(|_| bits(rng, 64)).sum();
    whole + if coins.is_multiple_of(64) { 0 } else { bits(rng, coins % 64) }
}
