//! The measures of SemEval-2013: against nervaluate where it is right (`golden/make_nervaluate.py` made the file), by
//! hand where it is not.

#![expect(clippy::float_cmp, reason = "both sides are the same quotient")]

use std::{cmp::Reverse, collections::BTreeMap, fs, path::Path};

use apprentice_core::{
    Entity,
    metrics::{
        self, Confusion, Outcome, SemEval, matched,
        semeval::{Measure, Measures},
    },
};
use proptest::prelude::*;
use serde::Deserialize;

use crate::{entity, random::Random};

const SENTENCES: usize = 40;
const FIELD: usize = 8;

#[derive(Deserialize)]
struct Set {
    overall: BTreeMap<String, Vec<f64>>,
    types: BTreeMap<String, BTreeMap<String, Vec<f64>>>,
}

fn other<'a>(random: &mut Random, types: &[&'a str], label: &'a str) -> &'a str {
    let others: Vec<&str> = types.iter().copied().filter(|&other| other != label).collect();
    if others.is_empty() { label } else { random.of(&others) }
}

fn field(random: &mut Random, types: &[&str], at: usize, gold: &mut Vec<Entity>, predicted: &mut Vec<Entity>) {
    let case = random.below(8);
    let mut label = random.of(types);
    let mut start = at + 1 + random.below(3);
    let mut end = start + 1 + random.below(3);
    if case == 0 {
        return;
    }
    if case != 6 {
        gold.push(entity(start, end, label));
    }
    if case == 5 {
        return;
    }
    if matches!(case, 2 | 4) {
        label = other(random, types, label);
    }
    if matches!(case, 3 | 4) {
        (start, end) = if random.below(2) == 0 {
            (start - 1, start + 1 + random.below(end - start))
        } else {
            (start + random.below(end - start), end + 1)
        };
    }
    predicted.push(entity(start, end, label));
}

fn sentences(random: &mut Random) -> [Vec<Vec<Entity>>; 2] {
    let types = random.types();
    let mut sides = [Vec::new(), Vec::new()];
    for _ in 0..SENTENCES {
        let (mut gold, mut predicted) = (Vec::new(), Vec::new());
        for number in 0..random.below(7) {
            field(random, types, FIELD * number, &mut gold, &mut predicted);
        }
        sides[0].push(gold);
        sides[1].push(predicted);
    }
    sides
}

fn measure<'a>(measures: &'a Measures, name: &str) -> &'a Measure {
    match name {
        "strict" => &measures.strict,
        "exact" => &measures.exact,
        "partial" => &measures.partial,
        _ => &measures.entity_type,
    }
}

fn assert_close(measure: &Measure, counts: &[usize], golden: &[f64], what: &str) {
    let prf = [measure.prf.precision, measure.prf.recall, measure.prf.f1];
    let ours: Vec<f64> = counts.iter().map(|&n| n as f64).chain(prf).collect();
    let close = ours.len() == golden.len() && ours.iter().zip(golden).all(|(a, b)| (a - b).abs() < 1e-6);
    assert!(close, "{what}: {ours:?} and not {golden:?}");
}

#[test]
fn measures_equal_nervaluate_where_no_entity_overlaps_two() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/nervaluate.json");
    let sets: Vec<Set> = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert!(sets.len() * SENTENCES >= 12_000);
    for (number, golden) in sets.iter().enumerate() {
        let [gold, predicted] = sentences(&mut Random::new(number));
        let ours = SemEval::of(&gold, &predicted).unwrap();
        for (name, golden) in &golden.overall {
            let measure = measure(&ours.overall, name);
            let (gold, predicted) = (measure.gold, measure.predicted);
            let counts = [
                gold.correct,
                gold.incorrect,
                gold.partial,
                gold.missed,
                predicted.spurious,
                gold.possible,
                predicted.actual,
            ];
            assert_close(measure, &counts, golden, &format!("set {number} {name}"));
        }
        assert!(ours.per_type.keys().map(|label| &**label).eq(golden.types.keys()), "set {number}");
        for (label, golden) in &golden.types {
            for (name, golden) in golden {
                let measure = measure(&ours.per_type[label.as_str()], name);
                let counts = [measure.gold.possible, measure.predicted.actual];
                assert_close(measure, &counts, golden, &format!("set {number} {label} {name}"));
            }
        }
    }
}

fn scores(gold: &[Entity], predicted: &[Entity]) -> SemEval {
    SemEval::of(&[gold], &[predicted]).unwrap()
}

/// nervaluate's issue 40.
#[test]
fn the_order_of_entities_says_nothing() {
    let (a, b) = (entity(0, 13, "A"), entity(14, 18, "B"));
    let predicted = [entity(0, 18, "A")];
    let one_order = scores(&[a.clone(), b.clone()], &predicted);
    assert_eq!(one_order, scores(&[b, a], &predicted));
    assert_eq!((one_order.overall.errors.wrong_boundary, one_order.overall.errors.missed), (1, 1));
    assert_eq!(one_order.per_type["B"].errors.missed, 1);
}

/// nervaluate 1.2.1 gives the gold entity to the first prediction: of the type measure's counts, incorrect would be 1
/// here, and correct 1 with the predictions swapped.
#[test]
fn a_later_prediction_of_the_right_type_is_preferred() {
    let gold = [entity(0, 6, "A")];
    let measures = scores(&gold, &[entity(0, 2, "B"), entity(2, 6, "A")]).overall;
    assert_eq!((measures.entity_type.gold.correct, measures.entity_type.predicted.spurious), (1, 1));
    // And the larger overlap, where the types say nothing.
    let measures = scores(&gold, &[entity(0, 2, "B"), entity(2, 6, "C")]).overall;
    assert_eq!(measures.errors.both_wrong, 1);
    let found = matched(&gold, &[]);
    assert_eq!(found[0].outcome(), Outcome::Missed);
}

/// nervaluate's issues 25, 29 and 85.
#[test]
fn what_overlaps_two_counts_once() {
    let gold = [entity(1, 3, "PER"), entity(3, 11, "PER")];
    let predicted = [entity(1, 3, "PER"), entity(3, 6, "PER"), entity(6, 11, "PER")];
    let exact = scores(&gold, &predicted).overall.exact;
    assert_eq!((exact.gold.possible, exact.predicted.actual), (2, 3));
    assert_eq!((exact.gold.correct, exact.gold.incorrect, exact.predicted.spurious), (1, 1, 1));
    assert_eq!((exact.prf.recall, exact.prf.precision), (0.5, 1.0 / 3.0));

    let both = scores(&[entity(0, 2, "X"), entity(2, 4, "X")], &[entity(1, 3, "Y")]).overall;
    assert_eq!((both.strict.gold.incorrect, both.strict.gold.missed, both.strict.gold.possible), (1, 1, 2));
    assert_eq!(both.strict.predicted.actual, 1);
}

/// nervaluate's issues 42 and 66.
#[test]
fn a_spurious_entity_counts_against_its_own_type() {
    let scores =
        scores(&[entity(0, 1, "A"), entity(2, 3, "B")], &[entity(0, 1, "A"), entity(2, 3, "B"), entity(5, 6, "A")]);
    assert_eq!(scores.per_type["A"].strict.prf.precision, 0.5);
    assert_eq!(scores.per_type["B"].strict.prf.precision, 1.0);
}

/// nervaluate's issue 110, with its numbers.
#[test]
fn a_wrong_type_counts_against_the_type_that_was_said() {
    let cases = [(10, "A", "A"), (3, "A", "B"), (7, "B", "A"), (10, "B", "B")];
    let side = |of: fn(&(usize, &'static str, &'static str)) -> &'static str| -> Vec<Vec<Entity>> {
        cases.iter().flat_map(|case| (0..case.0).map(move |_| vec![entity(0, 1, of(case))])).collect()
    };
    let scores = SemEval::of(&side(|case| case.1), &side(|case| case.2)).unwrap();
    assert_eq!(scores.per_type["A"].strict.prf.precision, 10.0 / 17.0);
    assert_eq!(scores.per_type["B"].strict.prf.precision, 10.0 / 13.0);
    assert_eq!(scores.per_type["A"].strict.prf.recall, 10.0 / 13.0);
    // The types' exact rows look at boundaries only, as the overall row does.
    assert_eq!(scores.per_type["A"].exact.prf.precision, 1.0);
    assert_eq!(scores.overall.type_accuracy, Some(20.0 / 30.0));
}

/// nervaluate's issue 84: nested input, which sentences cannot have, is counted all the same.
#[test]
fn of_two_predictions_on_one_span_the_right_type_is_taken() {
    let measures = scores(&[entity(0, 2, "x")], &[entity(0, 3, "y"), entity(0, 3, "x")]).overall;
    assert_eq!((measures.entity_type.gold.correct, measures.entity_type.predicted.spurious), (1, 1));
    let twice = scores(&[entity(0, 2, "x")], &[entity(0, 2, "x"), entity(0, 2, "x")]).overall;
    assert_eq!(twice.strict.predicted.actual, 1);
}

/// nervaluate's issue 38: a range of one token was empty.
#[test]
fn single_tokens_overlap() {
    assert_eq!(scores(&[entity(3, 4, "A")], &[entity(3, 4, "B")]).overall.errors.wrong_type, 1);
    assert_eq!(scores(&[entity(3, 4, "A")], &[entity(2, 4, "B")]).overall.errors.both_wrong, 1);
    assert_eq!(scores(&[entity(3, 4, "A")], &[entity(4, 5, "A")]).overall.errors.spurious, 1);
}

#[test]
fn measures_serialise_under_their_names() {
    let json = serde_json::to_value(scores(&[entity(0, 1, "A")], &[entity(0, 2, "A")])).unwrap();
    assert_eq!(
        json["overall"]["type"],
        serde_json::json!({
            "gold": { "correct": 1, "incorrect": 0, "partial": 0, "missed": 0, "possible": 1 },
            "predicted": { "correct": 1, "incorrect": 0, "partial": 0, "spurious": 0, "actual": 1 },
            "precision": 1.0, "recall": 1.0, "f1": 1.0,
        })
    );
    assert_eq!(json["per_type"]["A"]["errors"]["wrong_boundary"], 1);
    assert_eq!(serde_json::from_value::<SemEval>(json.clone()).unwrap().overall.partial.prf.f1, 0.5);
    assert_eq!(json["overall"]["type_accuracy"], serde_json::Value::Null);
}

/// Any entities of a sentence of nine tokens, in any order, overlapping, some twice.
fn any_entities() -> impl Strategy<Value = Vec<Entity>> {
    let one = (0_usize..8, 1_usize..4, "[XYZ]").prop_map(|(start, len, label)| entity(start, start + len, &label));
    prop::collection::vec(one, 0..6)
}

fn once(entities: &[Entity]) -> Vec<&Entity> {
    let mut once: Vec<&Entity> = entities.iter().collect();
    once.sort();
    once.dedup();
    once
}

/// As `matched` describes it, word by word.
fn by_hand(gold: &[Entity], predicted: &[Entity]) -> Vec<(Option<Entity>, Option<Entity>)> {
    let (mut gold, mut predicted) = (once(gold), once(predicted));
    let mut found = Vec::new();
    loop {
        let overlap = |g: &Entity, p: &Entity| g.span.range().filter(|i| p.span.range().contains(i)).count();
        let all =
            gold.iter().enumerate().flat_map(|(i, &g)| predicted.iter().enumerate().map(move |(j, &p)| (i, j, g, p)));
        let best = all.filter(|&(_, _, g, p)| overlap(g, p) > 0).min_by_key(|&(i, j, g, p)| {
            let class = match (g.span == p.span, g.label == p.label) {
                (true, true) => 1,
                (true, false) => 2,
                (false, true) => 3,
                (false, false) => 4,
            };
            (class, Reverse(overlap(g, p)), i, j)
        });
        let Some((i, j, _, _)) = best else { break };
        found.push((Some(gold.remove(i).clone()), Some(predicted.remove(j).clone())));
    }
    found.extend(gold.into_iter().map(|g| (Some(g.clone()), None)));
    found.extend(predicted.into_iter().map(|p| (None, Some(p.clone()))));
    found.sort();
    found
}

proptest! {
    #[test]
    fn pairs_are_the_best_left(gold in any_entities(), predicted in any_entities()) {
        let mut ours: Vec<_> =
            matched(&gold, &predicted).iter().map(|m| (m.gold().cloned(), m.predicted().cloned())).collect();
        ours.sort();
        prop_assert_eq!(ours, by_hand(&gold, &predicted));
    }

    #[test]
    fn everything_adds_up(gold in any_entities(), predicted in any_entities()) {
        let semeval = scores(&gold, &predicted);
        let plain = metrics::entities(&[&gold], &[&predicted]).unwrap();
        let confusion = Confusion::of(&[&gold], &[&predicted]).unwrap();
        let all = &semeval.overall;
        prop_assert_eq!(all.strict.gold.possible, once(&gold).len());
        prop_assert_eq!(all.strict.predicted.actual, once(&predicted).len());
        prop_assert_eq!(all.strict.prf, plain.micro.prf);
        let all_matches = all.strict.gold.possible + all.errors.spurious;
        prop_assert_eq!(confusion.counts.iter().flatten().sum::<usize>(), all_matches);
        for name in ["strict", "exact", "partial", "type"] {
            let of = |count: fn(&Measure) -> usize| {
                (count(measure(all, name)), semeval.per_type.values().map(|m| count(measure(m, name))).sum::<usize>())
            };
            let counts: [fn(&Measure) -> usize; 8] = [
                |m| m.gold.correct, |m| m.gold.incorrect, |m| m.gold.partial, |m| m.gold.missed,
                |m| m.predicted.correct, |m| m.predicted.incorrect, |m| m.predicted.partial, |m| m.predicted.spurious,
            ];
            for count in counts {
                let (whole, parts) = of(count);
                prop_assert_eq!(whole, parts, "{}", name);
            }
            let m = measure(all, name);
            prop_assert_eq!(m.gold.correct, m.predicted.correct);
            prop_assert_eq!(m.gold.incorrect, m.predicted.incorrect);
            prop_assert_eq!(m.gold.partial, m.predicted.partial);
        }
        for (label, row) in &semeval.per_type {
            prop_assert_eq!(row.strict.prf, plain.per_type[label].prf);
            let place = confusion.types.binary_search(label).unwrap();
            prop_assert_eq!(confusion.counts[place].iter().sum::<usize>(), row.strict.gold.possible);
            let column: usize = confusion.counts.iter().map(|gold| gold[place]).sum();
            prop_assert_eq!(column, row.strict.predicted.actual);
        }
    }
}
