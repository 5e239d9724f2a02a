//! Agreement against scikit-learn, statsmodels, krippendorff and seqeval; `golden/make_agreement.py` made the file.

use std::{fs, path::Path};

use apprentice_core::{
    Entity, Provenance, Sentence, Span,
    metrics::agreement::{self, Agreement, AgreementError, Labelling},
    tags::decode_lenient,
};
use serde::Deserialize;

use crate::tags;

#[derive(Deserialize)]
struct Set {
    labellers: Vec<Vec<Option<String>>>,
    pairs: Vec<(usize, usize, Option<f64>, Option<f64>)>,
    fleiss: Option<f64>,
    alpha: Option<f64>,
}

fn assert_close(ours: Option<f64>, golden: Option<f64>, what: &str) {
    let close = match (ours, golden) {
        (Some(ours), Some(golden)) => (ours - golden).abs() < 1e-10,
        (ours, golden) => ours == golden,
    };
    assert!(close, "{what}: {ours:?} and not {golden:?}");
}

#[test]
fn agreement_equals_that_of_the_usual_packages() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/agreement.json");
    let sets: Vec<Set> = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert!(sets.iter().filter(|set| set.alpha.is_some_and(|alpha| alpha < 0.9)).count() > 50);
    for (number, set) in sets.iter().enumerate() {
        // A sentence that nobody has labelled has no known length, and none is needed.
        let length = |sentence: usize| {
            set.labellers.iter().find_map(|l| l[sentence].as_deref()).map_or(1, |text| tags(text).len())
        };
        let tokens: Vec<usize> = (0..set.labellers[0].len()).map(length).collect();
        let decoded: Vec<Vec<Option<Vec<Entity>>>> = set
            .labellers
            .iter()
            .map(|l| l.iter().map(|text| text.as_ref().map(|text| decode_lenient(&tags(text)))).collect())
            .collect();
        let labellings: Vec<Labelling<'_>> = decoded.iter().map(|l| l.iter().map(Option::as_deref).collect()).collect();
        let Agreement { pairs, fleiss_kappa, krippendorff_alpha, .. } =
            agreement::between(&tokens, &labellings).unwrap();
        assert_eq!(pairs.len(), set.pairs.len());
        for (ours, golden) in pairs.iter().zip(&set.pairs) {
            assert_eq!((ours.first, ours.second), (golden.0, golden.1));
            assert_close(ours.f1, golden.2, &format!("set {number}, F1 of {} and {}", golden.0, golden.1));
            assert_close(ours.kappa, golden.3, &format!("set {number}, kappa of {} and {}", golden.0, golden.1));
        }
        assert_close(fleiss_kappa, set.fleiss, &format!("set {number}, Fleiss"));
        assert_close(krippendorff_alpha, set.alpha, &format!("set {number}, Krippendorff"));
    }
}

fn entity(start: usize, end: usize, label: &str) -> Entity {
    Entity { span: Span::new(start, end).unwrap(), label: label.into() }
}

#[test]
fn unlabelled_sentences_are_missing() {
    let plain = |id: &str| Sentence::from_words(id, ["Ann", "won", "in", "Rome"]);
    let labelled = |id, entities| plain(id).with_entities(entities, Provenance::Original).unwrap();
    let first = [labelled("a", vec![entity(0, 1, "PER")]), labelled("b", vec![entity(3, 4, "LOC")])];
    let second = [labelled("a", vec![entity(0, 1, "PER"), entity(3, 4, "LOC")]), plain("b")];
    let agreed = agreement::between_sentences(&[&first[..], &second]).unwrap();
    assert_eq!(agreed.pairs[0].sentences, 1);
    assert_eq!(agreed.mean_f1, Some(2.0 / 3.0));
    assert_eq!((agreed.tokens_of_all, agreed.tokens_of_two), (4, 4));
}

#[test]
fn labellings_that_do_not_belong_together_are_an_error() {
    let ann = [entity(0, 1, "PER")];
    let error = |labellers: &[Labelling<'_>]| agreement::between(&[2, 3], labellers).unwrap_err();
    assert_eq!(error(&[vec![None, None]]), AgreementError::Labellers { found: 1 });
    assert_eq!(
        error(&[vec![None, None], vec![Some(&ann)]]),
        AgreementError::Sentences { labeller: 1, found: 1, expected: 2 }
    );
    let nested = [entity(0, 2, "ORG"), entity(1, 2, "LOC")];
    assert_eq!(
        error(&[vec![None, Some(&ann)], vec![None, Some(&nested)]]).to_string(),
        "labeller 1, sentence 1 (both from 0): entity LOC at tokens 1..2 overlaps another or reaches beyond the 3 tokens: \
         expected entities apart from each other and inside"
    );
    let beyond = [entity(1, 3, "ORG")];
    assert!(matches!(error(&[vec![Some(&beyond), None], vec![None, None]]), AgreementError::Entity { tokens: 2, .. }));

    let sentences = |words: &[&str]| [Sentence::from_words("s", words)];
    let different = agreement::between_sentences(&[&sentences(&["a"])[..], &sentences(&["a", "b"])]);
    let id = "s".to_owned();
    assert_eq!(different, Err(AgreementError::Tokens { labeller: 1, id, found: 2, expected: 1 }));
}
