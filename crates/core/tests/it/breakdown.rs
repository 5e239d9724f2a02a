use std::collections::{BTreeMap, HashSet};

use apprentice_core::{
    Counts, Entity, MetricsError, Provenance, Sentence,
    metrics::{
        self, Mistake, Outcome, Tokens,
        breakdown::{self, Lengths, Novelty, Surfaces},
        mistakes,
    },
};

use crate::{
    entity,
    random::{Random, TYPES},
};

fn sentence(words: &str, entities: Vec<Entity>) -> Sentence {
    Sentence::from_words("s", words.split(' ')).with_entities(entities, Provenance::Original).unwrap()
}

/// Random gold sentences of up to 50 tokens, with predictions of which about half are right.
fn corpus() -> (Vec<Sentence>, Vec<Vec<Entity>>) {
    let mut random = Random::new(1);
    (0..200)
        .map(|_| {
            let len = 1 + random.below(50);
            let words: Vec<&str> = (0..len).map(|_| random.of(&["a", "b", "c"])).collect();
            let mut entities = random.entities(&TYPES[..3], len);
            let gold = sentence(&words.join(" "), entities.clone());
            entities.retain(|_| random.below(3) > 0);
            for entity in &mut entities {
                if random.below(4) == 0 {
                    entity.label = "X".into();
                }
            }
            (gold, entities)
        })
        .unzip()
}

fn sum<'a>(counts: impl Iterator<Item = &'a metrics::Score>) -> Counts {
    let mut total = Counts::default();
    counts.for_each(|score| total += score.counts);
    total
}

#[test]
fn parts_add_up_to_the_whole() {
    let (gold, predicted) = corpus();
    let whole: Vec<&[Entity]> = gold.iter().map(Sentence::entities).collect();
    let whole = metrics::entities(&whole, &predicted).unwrap().micro.counts;
    assert!(whole.true_positive > 500 && whole.true_positive < whole.predicted);

    let lengths = breakdown::by_entity_length(&gold, &predicted).unwrap();
    assert_eq!(lengths.keys().map(ToString::to_string).collect::<Vec<_>>(), ["1", "2", "3", "4+"]);
    assert_eq!(sum(lengths.values()), whole);

    let lengths = breakdown::by_sentence_length(&gold, &predicted).unwrap();
    assert_eq!(lengths.keys().map(ToString::to_string).collect::<Vec<_>>(), ["1-9", "10-19", "20-29", "30-39", "40+"]);
    assert_eq!(sum(lengths.values()), whole);

    let novelty = breakdown::by_novelty(&gold, &predicted, &Surfaces::of(&gold[..20])).unwrap();
    assert_eq!(novelty.keys().collect::<Vec<_>>(), [&Novelty::Seen, &Novelty::OtherType, &Novelty::Unseen]);
    assert_eq!(sum(novelty.values()), whole);
}

#[test]
fn each_document_has_its_score() {
    let rome = |document| sentence("in Rome", vec![entity(1, 2, "LOC")]).in_document(document);
    let first = sentence("x", vec![]).in_document(Some("0".into())).document().map(ToString::to_string).unwrap();
    let gold = [rome(None), rome(Some("0".into())), rome(Some("0".into())), rome(Some("1".into()))];
    let predicted = [vec![], vec![entity(1, 2, "LOC")], vec![entity(0, 2, "LOC")], vec![]];
    let scores = breakdown::by_document(&gold, &predicted).unwrap();
    assert_eq!(scores.len(), 3);
    assert_eq!(scores[""].counts, Counts { true_positive: 0, predicted: 0, gold: 1 });
    assert_eq!(scores[&first].counts, Counts { true_positive: 1, predicted: 2, gold: 2 });
}

#[test]
fn parts_serialise_under_their_names() {
    let gold = [sentence("in New York", vec![entity(1, 3, "LOC")])];
    let json = serde_json::to_value(breakdown::by_entity_length(&gold, &[gold[0].entities()]).unwrap()).unwrap();
    assert_eq!(json["2"]["f1"], 1.0);
    let novelty = breakdown::by_novelty(&gold, &[[]], &Surfaces::default()).unwrap();
    assert_eq!(serde_json::to_value(novelty).unwrap()["unseen"]["gold"], 1);
    assert_eq!(Lengths::of(0, &[1, 2]), Lengths { from: 0, to: Some(0) });
    assert_eq!(Lengths::of(7, &[]), Lengths { from: 0, to: None });
}

#[test]
fn texts_are_seen_letter_by_letter() {
    let surfaces = Surfaces::of(&[sentence("in New York", vec![entity(1, 3, "LOC")])]);
    assert_eq!(surfaces.novelty("New York", "LOC"), Novelty::Seen);
    assert_eq!(surfaces.novelty("New York", "ORG"), Novelty::OtherType);
    assert_eq!(surfaces.novelty("new york", "LOC"), Novelty::Unseen);
}

#[test]
fn mistakes_are_all_that_is_not_right() {
    let (gold, predicted) = corpus();
    let all: Vec<Mistake> = mistakes(&gold, &predicted).unwrap().collect();
    let counts = gold.iter().zip(&predicted).map(|(gold, predicted)| {
        let (gold, predicted) = (gold.entities().iter().collect(), predicted.iter().collect::<HashSet<_>>());
        HashSet::symmetric_difference(&gold, &predicted).count()
    });
    let mut by_kind: BTreeMap<Outcome, usize> = BTreeMap::new();
    for mistake in &all {
        *by_kind.entry(mistake.outcome()).or_default() += 1;
    }
    assert!(!by_kind.contains_key(&Outcome::Correct));
    // A pair is two entities that differ.
    let entities =
        all.iter().map(|m| usize::from(m.found.gold().is_some()) + usize::from(m.found.predicted().is_some()));
    assert_eq!(entities.sum::<usize>(), counts.sum::<usize>());
}

#[test]
fn a_mistake_shows_where_it_is() {
    let gold = [sentence("Ann Keller won in Rome .", vec![entity(0, 2, "PER")])];
    let predicted = [[entity(0, 1, "PER"), entity(4, 5, "LOC")]];
    let found: Vec<Mistake> = mistakes(&gold, &predicted).unwrap().collect();
    let contexts: Vec<String> = found.iter().map(|mistake| mistake.context(2)).collect();
    assert_eq!(contexts, ["[Ann Keller] won in …", "… won in [Rome] ."]);
    assert_eq!(found[0].context(usize::MAX), "[Ann Keller] won in Rome .");
    assert_eq!(found[1].context(0), "… [Rome] …");
    assert_eq!(
        serde_json::to_value(found[0]).unwrap(),
        serde_json::json!({
            "sentence": "s",
            "kind": "wrong-boundary",
            "gold": { "span": [0, 2], "label": "PER", "text": "Ann Keller" },
            "predicted": { "span": [0, 1], "label": "PER", "text": "Ann" },
            "context": "[Ann Keller] won in Rome .",
        })
    );
}

#[test]
fn predictions_beyond_the_sentence_are_an_error() {
    let gold = [sentence("in Rome", vec![])];
    let expected = MetricsError::Outside { id: "s".to_owned(), tokens: 2, end: 3 };
    assert_eq!(Tokens::of(&gold, &[[entity(1, 3, "LOC")]]), Err(expected.clone()));
    assert_eq!(breakdown::by_entity_length(&gold, &[[entity(1, 3, "LOC")]]), Err(expected.clone()));
    assert_eq!(mistakes(&gold, &[[entity(1, 3, "LOC")]]).err(), Some(expected));
    let none: [Vec<Entity>; 0] = [];
    assert_eq!(Tokens::of(&gold, &none), Err(MetricsError::Sentences { gold: 1, predicted: 0 }));
}
