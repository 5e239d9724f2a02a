//! Intervals, tests and statistics over seeds. `golden/make_statistics.py` made the file of scipy's values.

use std::{fs, path::Path};

use apprentice_core::{
    Counts, Entity, Span,
    metrics::{
        self,
        uncertainty::{
            Comparison, Resampling, Summary, TTest, UncertaintyError, UnitCounts, approximate_randomisation, bootstrap,
            holm, paired_bootstrap, paired_bootstrap_of_runs, paired_t, welch,
        },
    },
};
use proptest::prelude::*;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    seeds: Vec<Seeds>,
    holm: Vec<Holm>,
    bootstrap: Vec<Bootstrap>,
    swaps: Vec<Swaps>,
}

#[derive(Deserialize)]
struct Seeds {
    first: Vec<f64>,
    second: Vec<f64>,
    level: f64,
    welch: Vec<f64>,
    paired: Option<Vec<f64>>,
    mean: Vec<f64>,
}

#[derive(Deserialize)]
struct Holm {
    p: Vec<f64>,
    adjusted: Vec<f64>,
}

#[derive(Deserialize)]
struct Bootstrap {
    units: Vec<[usize; 3]>,
    intervals: [[f64; 2]; 3],
}

#[derive(Deserialize)]
struct Swaps {
    units: Vec<[usize; 5]>,
    difference: f64,
    p: f64,
}

fn golden() -> Golden {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/statistics.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Equal but for `tolerance` of the larger one.
fn assert_close(ours: &[f64], golden: &[f64], tolerance: f64, what: &str) {
    assert_eq!(ours.len(), golden.len(), "{what}");
    let close = ours.iter().zip(golden).all(|(a, b)| (a - b).abs() <= tolerance * a.abs().max(b.abs()).max(1e-12));
    assert!(close, "{what}: {ours:?} and not {golden:?}");
}

fn row(test: &TTest) -> [f64; 5] {
    [test.t, test.degrees_of_freedom, test.p_value, test.difference.low, test.difference.high]
}

fn one(true_positive: usize, predicted: usize, gold: usize) -> Counts {
    Counts { true_positive, predicted, gold }
}

/// Units of a single type.
fn single(units: impl IntoIterator<Item = Counts>) -> UnitCounts {
    units.into_iter().map(|counts| [("PER".into(), counts)]).collect()
}

/// Random units of up to three types and two systems.
fn random(rng: &mut ChaCha8Rng, units: usize) -> [UnitCounts; 2] {
    let mut systems = [UnitCounts::default(), UnitCounts::default()];
    for _ in 0..units {
        let golds = ["PER", "LOC", "ORG"].map(|label| (label, rng.random_range(0..3_usize)));
        for system in &mut systems {
            system.push(golds.map(|(label, gold)| {
                let found = rng.random_range(0..=gold);
                (label.into(), one(found, found + rng.random_range(0..2_usize), gold))
            }));
        }
    }
    systems
}

#[test]
fn t_tests_equal_scipy() {
    for (number, set) in golden().seeds.iter().enumerate() {
        let Seeds { first, second, level, .. } = set;
        assert_close(&row(&welch(first, second, *level).unwrap()), &set.welch, 1e-9, &format!("{number}: Welch"));
        if let Some(paired) = &set.paired {
            assert_close(&row(&paired_t(first, second, *level).unwrap()), paired, 1e-9, &format!("{number}: paired"));
        }
        let summary = Summary::of(first).unwrap();
        let interval = summary.interval(*level).unwrap();
        let ours = [summary.mean, summary.standard_deviation.unwrap(), interval.low, interval.high];
        assert_close(&ours, &set.mean, 1e-9, &format!("{number}: mean"));
    }
}

#[test]
fn holm_equals_statsmodels() {
    for set in golden().holm {
        assert_close(&holm(&set.p).unwrap(), &set.adjusted, 1e-12, "Holm");
    }
}

#[test]
fn bootstrap_is_near_that_of_scipy() {
    for set in golden().bootstrap {
        let units = single(set.units.iter().map(|&[tp, predicted, gold]| one(tp, predicted, gold)));
        let ours = bootstrap(&units, &Resampling { resamples: 20_000, ..Resampling::default() }).unwrap();
        // The smaller set has but some fifty possible recalls.
        for (ours, golden) in [ours.precision, ours.recall, ours.f1].iter().zip(&set.intervals) {
            assert!((ours.low - golden[0]).abs() < 0.01, "{ours:?} and not {golden:?}");
            assert!((ours.high - golden[1]).abs() < 0.01, "{ours:?} and not {golden:?}");
        }
    }
}

#[test]
fn randomisation_comes_near_the_exact_test_of_scipy() {
    for set in golden().swaps {
        let first = single(set.units.iter().map(|&[tp, predicted, _, _, gold]| one(tp, predicted, gold)));
        let second = single(set.units.iter().map(|&[_, _, tp, predicted, gold]| one(tp, predicted, gold)));
        let ours = approximate_randomisation(&first, &second, &Resampling::default()).unwrap().f1;
        assert!((ours.difference - set.difference).abs() < 1e-9);
        assert!((ours.p_value - set.p).abs() < 0.02, "{} and not {}", ours.p_value, set.p);
    }
}

/// All ways to draw or swap, by brute force.
#[test]
fn sampling_comes_near_to_what_enumeration_gives() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let settings = Resampling { resamples: 20_000, ..Resampling::default() };
    for _ in 0..3 {
        let systems = random(&mut rng, 5);
        let differences = |parts: [Vec<(usize, usize)>; 2]| {
            let scores = parts.map(|part| {
                let units = part.iter().map(|&(system, unit)| owned(&systems[system], unit));
                units.collect::<UnitCounts>().scores()
            });
            [scores[0].micro.prf.f1 - scores[1].micro.prf.f1, scores[0].macro_union.f1 - scores[1].macro_union.f1]
        };
        let observed = differences([0, 1].map(|system| (0..5).map(|unit| (system, unit)).collect()));

        let drawn: Vec<[f64; 2]> = (0..5_usize.pow(5))
            .map(|code| {
                let units: Vec<usize> = (0..5).map(|place| code / 5_usize.pow(place) % 5).collect();
                differences([0, 1].map(|system| units.iter().map(|&unit| (system, unit)).collect()))
            })
            .collect();
        let ours = paired_bootstrap(&systems[0], &systems[1], &settings).unwrap();
        for (ours, measure) in [(ours.f1, 0), (ours.macro_f1, 1)] {
            let share = |holds: &dyn Fn(f64) -> bool| {
                drawn.iter().filter(|d| holds(d[measure])).count() as f64 / drawn.len() as f64
            };
            let d = observed[measure];
            let exact = [
                share(&|drawn| (drawn - d).abs() >= d.abs() - 1e-12),
                share(&|drawn| drawn > 1e-12),
                share(&|drawn| drawn < -1e-12),
            ];
            assert!((ours.difference.estimate - d).abs() < 1e-12);
            for (ours, exact) in [ours.p_value, ours.first_better, ours.second_better].iter().zip(exact) {
                assert!((ours - exact).abs() < 0.01, "{ours} and not {exact}");
            }
            // The interval holds the middle 95 %: at its ends, the exact distribution has about as much on either side.
            assert!(share(&|drawn| drawn < ours.difference.low - 1e-9) < 0.03);
            assert!(share(&|drawn| drawn <= ours.difference.low + 1e-9) > 0.02);
            assert!(share(&|drawn| drawn > ours.difference.high + 1e-9) < 0.03);
            assert!(share(&|drawn| drawn >= ours.difference.high - 1e-9) > 0.02);
        }

        let swapped = (0..32).map(|bits: usize| {
            let swap = |system: usize| (0..5).map(|unit| (system ^ (bits >> unit & 1), unit)).collect();
            differences([swap(0), swap(1)])
        });
        let swapped: Vec<[f64; 2]> = swapped.collect();
        let ours = approximate_randomisation(&systems[0], &systems[1], &settings).unwrap();
        for (ours, measure) in [(ours.f1, 0), (ours.macro_f1, 1)] {
            let extreme = |d: &&[f64; 2]| d[measure].abs() >= observed[measure].abs() - 1e-12;
            let exact = swapped.iter().filter(extreme).count() as f64 / 32.0;
            assert!((ours.p_value - exact).abs() < 0.01, "{} and not {exact}", ours.p_value);
        }
    }
}

/// Runs of two systems on one test set; each finds less than the gold, by its own luck and that of its seed.
fn runs(rng: &mut ChaCha8Rng, seeds: usize, units: usize, scatter: f64) -> [Vec<UnitCounts>; 2] {
    let hard: Vec<f64> = (0..units).map(|_| rng.random_range(-0.2..0.2)).collect();
    [0, 1].map(|_| {
        let run = |_| {
            let luck = rng.random_range(-scatter..=scatter);
            let found = |hard: &f64| usize::from(rng.random_bool((0.75 + hard + luck).clamp(0.0, 1.0)));
            single(hard.iter().map(found).map(|found| one(found, 1, 1)))
        };
        (0..seeds).map(run).collect()
    })
}

/// The sentences of each drawn test set, run by run, put together and scored as if nothing was known of sums.
#[test]
fn the_bootstrap_of_runs_equals_the_plain_one() {
    let mut rng = ChaCha8Rng::seed_from_u64(21);
    let settings = Resampling { resamples: 200, seed: 5, level: 0.9 };
    for seeds in [1, 2, 4] {
        let (mut first, mut second): (Vec<UnitCounts>, Vec<UnitCounts>) = (Vec::new(), Vec::new());
        let golds: Vec<[usize; 3]> = (0..30).map(|_| [0; 3].map(|_| rng.random_range(0..3))).collect();
        for _ in 0..seeds {
            for system in [&mut first, &mut second] {
                let unit = |golds: &[usize; 3]| {
                    ["PER", "LOC", "ORG"]
                        .into_iter()
                        .zip(*golds)
                        .map(|(label, gold)| {
                            let found = rng.random_range(0..=gold);
                            (label.into(), one(found, found + rng.random_range(0..2_usize), gold))
                        })
                        .collect::<Vec<_>>()
                };
                system.push(golds.iter().map(unit).collect());
            }
        }
        let mean = |runs: &[UnitCounts], units: &[usize], drawn: &[usize], measure: usize| {
            let score = |&seed: &usize| {
                let scores = units.iter().map(|&unit| owned(&runs[seed], unit)).collect::<UnitCounts>().scores();
                [scores.micro.prf.f1, scores.macro_union.f1][measure]
            };
            drawn.iter().map(score).sum::<f64>() / drawn.len() as f64
        };
        let ours = paired_bootstrap_of_runs(&first, &second, &settings).unwrap();
        for (ours, measure) in [(ours.f1, 0), (ours.macro_f1, 1)] {
            let difference = |units: &[usize], drawn: &[usize]| {
                mean(&first, units, drawn, measure) - mean(&second, units, drawn, measure)
            };
            let all: Vec<usize> = (0..seeds).collect();
            let observed = difference(&(0..30).collect::<Vec<_>>(), &all);
            let mut drawn: Vec<f64> = (0..200)
                .map(|resample| {
                    let mut rng = ChaCha8Rng::seed_from_u64(settings.seed);
                    rng.set_stream(resample);
                    let units: Vec<usize> = (0..30).map(|_| rng.random_range(0..30_u32) as usize).collect();
                    let seeds: Vec<usize> = (0..seeds).map(|_| rng.random_range(0..seeds)).collect();
                    difference(&units, &seeds)
                })
                .collect();
            let extreme = drawn.iter().filter(|d| (*d - observed).abs() >= observed.abs() - 1e-12).count();
            drawn.sort_by(f64::total_cmp);
            let quantile = |share: f64| {
                let place = share * 199.0;
                drawn[place as usize] + (drawn[place.ceil() as usize] - drawn[place as usize]) * place.fract()
            };
            let plain = [observed, quantile(0.05), quantile(0.95), (1.0 + extreme as f64) / 201.0];
            let ours = [ours.difference.estimate, ours.difference.low, ours.difference.high, ours.p_value];
            assert!(ours.iter().zip(plain).all(|(a, b)| (a - b).abs() < 1e-12), "{ours:?} and not {plain:?}");
        }
    }
}

#[test]
fn the_bootstrap_of_one_run_each_is_the_ordinary_one() {
    let [first, second] = random(&mut ChaCha8Rng::seed_from_u64(22), 80);
    let settings = Resampling { resamples: 300, ..Resampling::default() };
    let ordinary = paired_bootstrap(&first, &second, &settings).unwrap();
    let ours = paired_bootstrap_of_runs(&[first], &[second], &settings).unwrap();
    // Formatted, so that zeros of another sign would be seen.
    assert_eq!(format!("{ours:?}"), format!("{ordinary:?}"));
}

/// Seeds that scatter widely must count: over these very runs the one system is better for certain.
#[test]
fn the_bootstrap_of_runs_sees_the_scatter_of_seeds() {
    let run = |found: usize| single((0..100).map(|i| one(usize::from(i < found), 1, 1)));
    let (first, second) = ([90, 50, 80].map(run), [60, 62, 61].map(run));
    let settings = Resampling { resamples: 1000, ..Resampling::default() };
    let ours = paired_bootstrap_of_runs(&first, &second, &settings).unwrap().f1;
    assert!(ours.p_value > 0.1, "{ours:?}");
    let first: UnitCounts = first.iter().flat_map(|run| (0..100).map(|unit| owned(run, unit))).collect();
    let second: UnitCounts = second.iter().flat_map(|run| (0..100).map(|unit| owned(run, unit))).collect();
    assert!(paired_bootstrap(&first, &second, &settings).unwrap().f1.p_value < 0.01);
}

/// Under the null hypothesis a p-value of at most 0.1 must not come about in many more than one of ten cases: in fewer where
/// runs differ by noise alone, which counts for both factors, and in up to one of seven where seeds are nearly all there is,
/// because five of them show four fifths of their variance.
#[test]
fn the_bootstrap_of_runs_rejects_a_true_null_hypothesis_seldom() {
    let mut rng = ChaCha8Rng::seed_from_u64(23);
    let mut rejected = |units: usize, scatter: f64| {
        let small = |seed: u64| {
            let [first, second] = runs(&mut rng, 5, units, scatter);
            let settings = Resampling { resamples: 200, seed, level: 0.95 };
            paired_bootstrap_of_runs(&first, &second, &settings).unwrap().f1.p_value <= 0.1
        };
        (0..300).map(small).filter(|small| *small).count()
    };
    let noise = rejected(100, 0.0);
    assert!(noise <= 30, "{noise} of 300");
    let seeds = rejected(400, 0.15);
    assert!((18..=58).contains(&seeds), "{seeds} of 300");
}

fn owned(units: &UnitCounts, unit: usize) -> Vec<(std::sync::Arc<str>, Counts)> {
    units.unit(unit).map(|(label, counts)| (label.clone(), counts)).collect()
}

/// Of test sets drawn from a known distribution, about 95 % have intervals that hold the true value.
#[test]
fn intervals_cover_the_truth_as_often_as_they_say() {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let settings = Resampling { resamples: 300, ..Resampling::default() };
    let (sets, recall, precision) = (300_u32, 0.8, 0.8 / 1.1);
    let mut held = [0_u32; 4];
    for seed in 0..sets {
        // Each sentence has one entity, found with chance 0.8, and a wrong guess with chance 0.3.
        let units = single((0..100).map(|_| {
            let found = usize::from(rng.random_bool(0.8));
            one(found, found + usize::from(rng.random_bool(0.3)), 1)
        }));
        let ours = bootstrap(&units, &Resampling { seed: seed.into(), ..settings }).unwrap();
        let f1 = 2.0 * precision * recall / (precision + recall);
        let truths = [precision, recall, f1, f1];
        for (place, interval) in [ours.precision, ours.recall, ours.f1, ours.macro_f1].iter().enumerate() {
            held[place] += u32::from(interval.low <= truths[place] && truths[place] <= interval.high);
        }
    }
    assert!(held.iter().all(|&held| (276..=294).contains(&held)), "{held:?} of {sets}");
}

/// Under the null hypothesis a p-value of at most 0.1 must come about in one of ten cases.
#[test]
fn tests_reject_a_true_null_hypothesis_as_often_as_they_say() {
    let mut rng = ChaCha8Rng::seed_from_u64(12);
    let mut rejected = [0_u32; 4];
    for seed in 0..300 {
        let settings = Resampling { resamples: 200, seed, level: 0.95 };
        let mut system = || -> Vec<Counts> {
            (0..100).map(|_| usize::from(rng.random_bool(0.7))).map(|found| one(found, 1, 1)).collect()
        };
        let (first, second) = (single(system()), single(system()));
        let drawn = paired_bootstrap(&first, &second, &settings).unwrap();
        let swapped = approximate_randomisation(&first, &second, &settings).unwrap();
        let mut normal = || (0..12).map(|_| rng.random_range(0.0..1.0)).sum::<f64>();
        let seeds: Vec<f64> = (0..10).map(|_| normal()).collect();
        let (first, second) = seeds.split_at(5);
        let p_values = [
            drawn.f1.p_value,
            swapped.f1.p_value,
            welch(first, second, 0.95).unwrap().p_value,
            paired_t(first, second, 0.95).unwrap().p_value,
        ];
        for (rejected, p_value) in rejected.iter_mut().zip(p_values) {
            *rejected += u32::from(p_value <= 0.1);
        }
    }
    assert!(rejected.iter().all(|rejected| (18..=43).contains(rejected)), "{rejected:?} of 300");
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let [first, second] = random(&mut ChaCha8Rng::seed_from_u64(4), 200);
    let settings = Resampling { resamples: 300, ..Resampling::default() };
    let all = || {
        let intervals = bootstrap(&first, &settings).unwrap();
        let swapped = approximate_randomisation(&first, &second, &settings).unwrap();
        let runs =
            paired_bootstrap_of_runs(&[first.clone(), second.clone()], &[second.clone(), second.clone()], &settings);
        (intervals, paired_bootstrap(&first, &second, &settings).unwrap(), swapped, runs.unwrap())
    };
    let with = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(all);
    let single = with(1);
    assert_eq!(single, with(2));
    assert_eq!(single, with(7));
    let other_seed = bootstrap(&first, &Resampling { seed: 2, ..settings }).unwrap();
    assert_ne!(single.0, other_seed);
}

#[test]
fn units_add_up_to_the_scores() {
    let entity = |a, b, label: &str| Entity { span: Span::new(a, b).unwrap(), label: label.into() };
    let gold = [vec![entity(0, 2, "PER"), entity(3, 4, "LOC")], vec![], vec![entity(1, 2, "LOC")], vec![]];
    let predicted = [vec![entity(0, 2, "PER"), entity(3, 4, "ORG")], vec![], vec![entity(1, 2, "LOC")], vec![]];
    let units = UnitCounts::of_sentences(&gold, &predicted).unwrap();
    assert_eq!(units.len(), 4);
    assert_eq!(units.scores(), metrics::entities(&gold, &predicted).unwrap());
    assert!(UnitCounts::of_sentences(&gold, &predicted[1..]).is_err());

    let documents = units.by_document(&[Some("b"), Some("a"), Some("b"), Some("a")]).unwrap();
    assert_eq!(documents.len(), 2);
    assert_eq!(documents.scores(), units.scores());
    assert_eq!(documents.unit(0).count(), 3);
    assert_eq!(documents.unit(1).count(), 0);

    let ours = bootstrap(&units, &Resampling { resamples: 100, ..Resampling::default() }).unwrap();
    let scores = units.scores();
    assert_eq!(
        [ours.f1.estimate, ours.macro_f1.estimate].map(f64::to_bits),
        [scores.micro.prf.f1, scores.macro_union.f1].map(f64::to_bits)
    );
}

#[test]
fn equal_systems_do_not_differ() {
    let [system, _] = random(&mut ChaCha8Rng::seed_from_u64(5), 50);
    let settings = Resampling { resamples: 100, ..Resampling::default() };
    let Comparison { p_value, first_better, second_better, difference, .. } =
        paired_bootstrap(&system, &system, &settings).unwrap().f1;
    assert_eq!((p_value, first_better, second_better), (1.0, 0.0, 0.0));
    assert_eq!((difference.low, difference.high), (0.0, 0.0));
    let swapped = approximate_randomisation(&system, &system, &settings).unwrap().macro_f1;
    assert_eq!((swapped.p_value, swapped.difference), (1.0, 0.0));
}

#[test]
fn sentences_without_entities_are_units_too() {
    let units = single((0..10).map(|i| if i == 0 { one(1, 1, 1) } else { Counts::default() }));
    let recall = bootstrap(&units, &Resampling::default()).unwrap().recall;
    // A drawn set misses the only entity in (9/10)^10 = 35 % of the cases, and its recall is then 0.
    assert_eq!((recall.estimate, recall.low, recall.high), (1.0, 0.0, 1.0));
}

#[test]
fn what_cannot_be_computed_is_an_error() {
    use UncertaintyError as E;
    let settings = Resampling { resamples: 10, ..Resampling::default() };
    let units = single([one(1, 1, 1), one(0, 1, 2)]);
    assert_eq!(bootstrap(&UnitCounts::default(), &settings), Err(E::NoUnits));
    assert_eq!(bootstrap(&units, &Resampling { resamples: 0, ..settings }), Err(E::NoResamples));
    assert_eq!(bootstrap(&units, &Resampling { level: 95.0, ..settings }), Err(E::Level { found: 95.0 }));
    assert!(matches!(bootstrap(&units, &Resampling { level: f64::NAN, ..settings }), Err(E::Level { .. })));
    let fewer = single([one(1, 1, 1)]);
    assert_eq!(paired_bootstrap(&units, &fewer, &settings), Err(E::Units { first: 2, second: 1 }));
    let message = approximate_randomisation(&units, &single([one(1, 1, 1), one(0, 1, 1)]), &settings).unwrap_err();
    assert_eq!(
        message.to_string(),
        "unit 1 (from 0) has 2 gold entities of type PER for the first system, 1 for the second: expected both to be \
         scored against the same gold"
    );
    let runs = [units.clone(), fewer];
    assert_eq!(paired_bootstrap_of_runs(&[], &[], &settings), Err(E::TooFew { found: 0, expected: 1 }));
    assert_eq!(paired_bootstrap_of_runs(&runs, &runs[..1], &settings), Err(E::Pairs { first: 2, second: 1 }));
    // Of both systems alike, but not for both seeds.
    assert_eq!(paired_bootstrap_of_runs(&runs, &runs, &settings), Err(E::Units { first: 2, second: 1 }));
    let none = Resampling { resamples: 0, ..settings };
    assert_eq!(paired_bootstrap_of_runs(&runs, &runs, &none), Err(E::NoResamples));
    assert_eq!(units.by_document(&[Some("a")]), Err(E::Documents { units: 2, documents: 1 }));
    assert_eq!(units.by_document(&[Some("a"), None]), Err(E::NoDocument { unit: 1 }));

    assert_eq!(Summary::of(&[]), Err(E::TooFew { found: 0, expected: 1 }));
    assert_eq!(Summary::of(&[0.5]).unwrap().interval(0.95), Err(E::TooFew { found: 1, expected: 2 }));
    assert_eq!(welch(&[0.5], &[0.5, 0.6], 0.95), Err(E::TooFew { found: 1, expected: 2 }));
    assert_eq!(paired_t(&[0.5, 0.6], &[0.5], 0.95), Err(E::Pairs { first: 2, second: 1 }));
    assert_eq!(welch(&[0.5, 0.6], &[0.5, f64::INFINITY], 0.95).unwrap_err().to_string().find("value 1"), Some(0));
    // By rounding, 0.3 - 0.2 is not 0.2 - 0.1.
    assert_eq!(paired_t(&[0.3, 0.2], &[0.2, 0.1], 0.95), Err(E::NoSpread));
    assert_eq!(welch(&[0.1, 0.1, 0.1], &[0.2, 0.2], 0.95), Err(E::NoSpread));
    assert_eq!(holm(&[0.1, 1.1]), Err(E::PValue { index: 1, found: 1.1 }));
    assert_eq!(holm(&[]), Ok(vec![]));
}

proptest! {
    #[test]
    fn any_values_give_a_p_value_or_an_error(
        first in proptest::collection::vec(proptest::num::f64::ANY, 0..6),
        second in proptest::collection::vec(proptest::num::f64::ANY, 0..6),
        level in 0.0..1.0_f64,
    ) {
        for test in [welch(&first, &second, level), paired_t(&first, &second, level)].into_iter().flatten() {
            prop_assert!((0.0..=1.0).contains(&test.p_value), "{:?}", test);
        }
    }
}

/// Prints how long it takes at the size of CoNLL-2003's test set:
/// `cargo test --release -p apprentice-core --test it -- --ignored --nocapture uncertainty::speed`.
#[test]
#[ignore = "measures, asserts nothing"]
fn speed() {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let mut systems = [UnitCounts::default(), UnitCounts::default()];
    for _ in 0..3_453 {
        let golds = ["PER", "LOC", "ORG", "MISC"].map(|label| (label, usize::from(rng.random_bool(0.4))));
        for system in &mut systems {
            let bits = rng.next_u32() as usize;
            system.push(golds.iter().enumerate().map(|(place, &(label, gold))| {
                let found = gold * usize::from(bits >> (4 * place) & 15 > 1);
                (label.into(), one(found, found + usize::from(bits >> (16 + 4 * place) & 15 == 1), gold))
            }));
        }
    }
    let [first, second] = systems;
    let five = [&first, &second].map(|run| vec![run.clone(); 5]);
    let settings = Resampling::default();
    let time = |what: &str, run: &dyn Fn()| {
        let start = std::time::Instant::now();
        run();
        println!("{what}: {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
    };
    for _ in 0..2 {
        time("10,000 resamples of 3,453 sentences, bootstrap", &|| drop(bootstrap(&first, &settings)));
        time("paired bootstrap", &|| drop(paired_bootstrap(&first, &second, &settings)));
        time("paired bootstrap of 5 runs", &|| drop(paired_bootstrap_of_runs(&five[0], &five[1], &settings)));
        time("approximate randomisation", &|| drop(approximate_randomisation(&first, &second, &settings)));
    }
}
