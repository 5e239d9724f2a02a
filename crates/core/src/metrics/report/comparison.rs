//! Two systems with each other.

use serde::{Deserialize, Serialize};

use super::{Settings, System};
use crate::metrics::uncertainty::{
    Interval, Resampling, TTest, UncertaintyError, UnitCounts, approximate_randomisation, holm, paired_bootstrap,
    paired_t, welch,
};

/// Two systems by both F1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison<'a> {
    /// The name of the one.
    pub system: &'a str,
    /// The name of that with which it is compared.
    pub with: &'a str,
    /// By micro F1.
    pub f1: Compared,
    /// By macro F1.
    pub macro_f1: Compared,
    /// Why there are no tests, if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub untested: Option<String>,
}

/// Two systems by one measure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Compared {
    /// The mean of the one less the mean of the other.
    pub difference: f64,
    /// Whether that could be chance.
    pub tests: Vec<Tested>,
}

/// A test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Test {
    /// [`paired_bootstrap`], over test sentences.
    PairedBootstrap,
    /// [`approximate_randomisation`], over test sentences.
    ApproximateRandomisation,
    /// [`welch`], over seeds.
    Welch,
    /// [`paired_t`], over seeds.
    PairedT,
}

/// What a test says.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Tested {
    /// Which one.
    pub test: Test,
    /// Where the true difference may lie, if the test tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
    /// The difference by its standard error, in t tests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub t: Option<f64>,
    /// In t tests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub degrees_of_freedom: Option<f64>,
    /// Two-sided.
    pub p_value: f64,
    /// The same, corrected by [`holm`] over the comparisons.
    pub holm: f64,
}

impl Tested {
    fn new(test: Test, p_value: f64, interval: Option<Interval>) -> Self {
        Self { test, interval, t: None, degrees_of_freedom: None, p_value, holm: p_value }
    }

    fn of_seeds(test: Test, TTest { difference, t, degrees_of_freedom, p_value }: TTest) -> Self {
        let (t, degrees_of_freedom) = (Some(t), Some(degrees_of_freedom));
        Self { t, degrees_of_freedom, ..Self::new(test, p_value, Some(difference)) }
    }
}

/// The comparisons that are asked for. `units` has the counts of each run of each system, or nothing.
pub(super) fn all<'a>(
    systems: &[System<'a>],
    units: &[Vec<UnitCounts>],
    settings: &Settings,
) -> Result<Vec<Comparison<'a>>, UncertaintyError> {
    let pairs = (0..systems.len()).flat_map(|with| (with + 1..systems.len()).map(move |one| (with, one)));
    let mut comparisons = Vec::new();
    for (with, one) in pairs.filter(|&(with, _)| settings.all_pairs || with == 0) {
        comparisons.push(compare([&systems[one], &systems[with]], [&units[one], &units[with]], &settings.resampling)?);
    }
    correct(&mut comparisons, |comparison| &mut comparison.f1)?;
    correct(&mut comparisons, |comparison| &mut comparison.macro_f1)?;
    Ok(comparisons)
}

fn compare<'a>(
    [one, with]: [&System<'a>; 2],
    units: [&[UnitCounts]; 2],
    resampling: &Resampling,
) -> Result<Comparison<'a>, UncertaintyError> {
    let (tests, untested) = match (one.runs.len(), with.runs.len()) {
        (1, 1) => match units {
            [[first], [second]] => (of_sentences(first, second, resampling)?, None),
            _ => (<[_; 2]>::default(), Some("no resamples are drawn".to_owned())),
        },
        (1, several) | (several, 1) => {
            let why = format!("one run against {several}: give two or more of both, or one of each");
            (<[_; 2]>::default(), Some(why))
        }
        _ => of_seeds(one, with, resampling.level)?,
    };
    let [f1, macro_f1] = tests;
    Ok(Comparison {
        system: one.name,
        with: with.name,
        f1: Compared { difference: one.f1.summary.mean - with.f1.summary.mean, tests: f1 },
        macro_f1: Compared { difference: one.macro_f1.summary.mean - with.macro_f1.summary.mean, tests: macro_f1 },
        untested,
    })
}

/// Tests of micro and macro F1 over test sentences.
fn of_sentences(
    first: &UnitCounts,
    second: &UnitCounts,
    resampling: &Resampling,
) -> Result<[Vec<Tested>; 2], UncertaintyError> {
    let drawn = paired_bootstrap(first, second, resampling)?;
    let swapped = approximate_randomisation(first, second, resampling)?;
    Ok([(drawn.f1, swapped.f1), (drawn.macro_f1, swapped.macro_f1)].map(|(drawn, swapped)| {
        vec![
            Tested::new(Test::PairedBootstrap, drawn.p_value, Some(drawn.difference)),
            Tested::new(Test::ApproximateRandomisation, swapped.p_value, None),
        ]
    }))
}

/// Tests of micro and macro F1 over seeds, or why there are none.
fn of_seeds(
    one: &System<'_>,
    with: &System<'_>,
    level: f64,
) -> Result<([Vec<Tested>; 2], Option<String>), UncertaintyError> {
    let values = |system: &System<'_>| {
        let f1 = system.runs.iter().map(|run| run.scores.micro.prf.f1).collect();
        let macro_f1 = system.runs.iter().map(|run| run.scores.macro_union.f1).collect();
        [f1, macro_f1]
    };
    let (one, with): ([Vec<f64>; 2], [Vec<f64>; 2]) = (values(one), values(with));
    let mut tests = <[Vec<Tested>; 2]>::default();
    let mut untested = None;
    for (tests, (one, with)) in tests.iter_mut().zip(one.iter().zip(&with)) {
        let paired = if one.len() == with.len() { Some(paired_t(one, with, level)) } else { None };
        for (test, tested) in [(Test::Welch, Some(welch(one, with, level))), (Test::PairedT, paired)] {
            match tested {
                Some(Ok(tested)) => tests.push(Tested::of_seeds(test, tested)),
                Some(Err(error @ UncertaintyError::NoSpread)) => untested = Some(error.to_string()),
                Some(Err(error)) => return Err(error),
                None => {}
            }
        }
    }
    Ok((tests, untested))
}

/// Corrects the p-values of one measure, test by test.
fn correct(
    comparisons: &mut [Comparison<'_>],
    measure: for<'c> fn(&'c mut Comparison<'_>) -> &'c mut Compared,
) -> Result<(), UncertaintyError> {
    for test in [Test::PairedBootstrap, Test::ApproximateRandomisation, Test::Welch, Test::PairedT] {
        let mut tested: Vec<&mut Tested> =
            comparisons.iter_mut().flat_map(|c| &mut measure(c).tests).filter(|tested| tested.test == test).collect();
        let p_values: Vec<f64> = tested.iter().map(|tested| tested.p_value).collect();
        for (tested, corrected) in tested.iter_mut().zip(holm(&p_values)?) {
            tested.holm = corrected;
        }
    }
    Ok(())
}
