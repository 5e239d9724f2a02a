//! Scores against those of the real seqeval; `golden/make_seqeval.py` made the file.

use std::{collections::BTreeMap, fs, path::Path};

use apprentice_core::{MetricsError, Prf, Scheme, Scores, metrics};
use serde::Deserialize;

use crate::tags;

#[derive(Deserialize)]
struct Set {
    sentences: Vec<String>,
    lenient: BTreeMap<String, Vec<f64>>,
    iob1: BTreeMap<String, Vec<f64>>,
    iob2: BTreeMap<String, Vec<f64>>,
}

/// In the golden file's form: precision, recall, F1 and for types and micro the support.
fn rows(scores: &Scores) -> BTreeMap<String, Vec<f64>> {
    let prf = |prf: &Prf| vec![prf.precision, prf.recall, prf.f1];
    let with_support = |score: &metrics::Score| [prf(&score.prf), vec![score.counts.gold as f64]].concat();
    let mut rows: BTreeMap<_, _> = scores.per_type.iter().map(|(k, v)| (k.to_string(), with_support(v))).collect();
    rows.insert("/micro".to_owned(), with_support(&scores.micro));
    rows.insert("/macro".to_owned(), prf(&scores.macro_average));
    rows.insert("/weighted".to_owned(), prf(&scores.weighted));
    rows
}

fn assert_close(ours: &Scores, golden: &BTreeMap<String, Vec<f64>>, what: &str) {
    let ours = rows(ours);
    assert!(ours.keys().eq(golden.keys()), "{what}: {:?} and not {:?}", ours.keys(), golden.keys());
    for (key, golden) in golden {
        assert_eq!(ours[key].len(), golden.len(), "{what} {key}");
        let close = ours[key].iter().zip(golden).all(|(a, b)| (a - b).abs() < 1e-9);
        assert!(close, "{what} {key}: {:?} and not {golden:?}", ours[key]);
    }
}

#[test]
fn scores_equal_seqeval() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/seqeval.json");
    let sets: Vec<Set> = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let sentences: usize = sets.iter().map(|set| set.sentences.len()).sum();
    assert!(sentences > 2000, "{sentences} sentences only");
    let differ = sets.iter().filter(|set| set.lenient != set.iob1 && set.lenient != set.iob2 && set.iob1 != set.iob2);
    assert!(differ.count() > 200, "the modes must not come to the same");

    for (number, set) in sets.iter().enumerate() {
        let side = |right: bool| -> Vec<_> {
            let split = set.sentences.iter().map(|s| s.split_once('|').unwrap());
            split.map(|(gold, predicted)| tags(if right { predicted } else { gold })).collect()
        };
        let (gold, predicted) = (side(false), side(true));
        let strict = |scheme| metrics::strict(&gold, &predicted, scheme).unwrap();
        assert_close(&metrics::lenient(&gold, &predicted).unwrap(), &set.lenient, &format!("set {number} lenient"));
        assert_close(&strict(Scheme::Iob1), &set.iob1, &format!("set {number} IOB1"));
        assert_close(&strict(Scheme::Iob2), &set.iob2, &format!("set {number} IOB2"));
    }
}

#[test]
fn what_does_not_belong_together_is_an_error() {
    let gold = [tags("O"), tags("O O")];
    assert_eq!(metrics::lenient(&gold, &gold[..1]), Err(MetricsError::Sentences { gold: 2, predicted: 1 }));
    assert_eq!(
        metrics::strict(&gold, &[tags("O"), tags("O O O")], Scheme::Iob2),
        Err(MetricsError::Tags { sentence: 1, gold: 2, predicted: 3 })
    );
}

#[test]
fn scores_serialise_as_one_flat_row_a_type() {
    let scores = metrics::lenient(&[tags("B-PER O")], &[tags("B-PER B-LOC")]).unwrap();
    let json = serde_json::to_value(&scores).unwrap();
    assert_eq!(
        json["per_type"]["PER"],
        serde_json::json!({ "true_positive": 1, "predicted": 1, "gold": 1, "precision": 1.0, "recall": 1.0, "f1": 1.0 })
    );
    assert_eq!(serde_json::from_value::<Scores>(json).unwrap(), scores);
}
