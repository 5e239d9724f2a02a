//! Scores against those of the real seqeval; `golden/make_seqeval.py` made the file and describes it.

use std::{collections::BTreeMap, fmt::Write, fs, path::Path};

use apprentice_core::{
    Entity, MetricsError, Prf, Provenance, Scheme, Scores, Sentence, Tag,
    metrics::{self, Tokens},
    tags::{decode_lenient, decode_strict, encode},
};

use crate::{random::Random, tags};

const SENTENCES: usize = 60;

const SCHEMES: [(Scheme, &str); 6] = [
    (Scheme::Iob1, "BI"),
    (Scheme::Iob2, "BI"),
    (Scheme::Ioe1, "IE"),
    (Scheme::Ioe2, "IE"),
    (Scheme::Iobes, "BIES"),
    (Scheme::Bilou, "BILU"),
];

type Rows = BTreeMap<String, Vec<f64>>;

fn any_tag(random: &mut Random, types: &[&str], letters: &str) -> Tag {
    if random.below(4) == 0 {
        return Tag::Outside;
    }
    let letter = random.below(letters.len());
    format!("{}-{}", &letters[letter..=letter], random.of(types)).parse().unwrap()
}

/// The gold and the predicted tags of a set.
fn sentences(random: &mut Random, scheme: Scheme, letters: &str) -> [Vec<Vec<Tag>>; 2] {
    let types = random.types();
    let malformed = random.below(3) == 0;
    let mut sides = [Vec::new(), Vec::new()];
    for _ in 0..SENTENCES {
        let length = random.of(&[0, 1, 2, 3, 5, 8, 13]);
        let any = |random: &mut Random| (0..length).map(|_| any_tag(random, types, letters)).collect();
        let (gold, predicted) = if malformed {
            (any(random), any(random))
        } else {
            let gold = encode(&random.entities(types, length), length, scheme);
            let changed = |tag: &Tag| if random.below(7) == 0 { any_tag(random, types, letters) } else { tag.clone() };
            let predicted = gold.iter().map(changed).collect();
            (gold, predicted)
        };
        sides[0].push(gold);
        sides[1].push(predicted);
    }
    sides
}

/// FNV-1a over all entities.
fn digest(sides: &[Vec<Vec<Entity>>; 2]) -> u32 {
    let mut text = String::new();
    for (n, entities) in sides.iter().flat_map(|side| side.iter().enumerate()) {
        for Entity { span, label } in entities {
            write!(text, "{n}:{}:{}:{label};", span.start(), span.end()).unwrap();
        }
    }
    text.bytes().fold(0x811c_9dc5, |value, byte| (value ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// In the golden file's form: precision, recall, F1 and for types and micro the support.
fn rows(scores: &Scores, entities: &[Vec<Vec<Entity>>; 2]) -> Rows {
    let prf = |prf: &Prf| vec![prf.precision, prf.recall, prf.f1];
    let with_support = |score: &metrics::Score| [prf(&score.prf), vec![score.counts.gold as f64]].concat();
    let mut rows: Rows = scores.per_type.iter().map(|(k, v)| (k.to_string(), with_support(v))).collect();
    rows.insert("/micro".to_owned(), with_support(&scores.micro));
    rows.insert("/macro".to_owned(), prf(&scores.macro_union));
    rows.insert("/weighted".to_owned(), prf(&scores.weighted));
    rows.insert("/digest".to_owned(), vec![f64::from(digest(entities))]);
    rows
}

fn accuracy(tags: &[Vec<Tag>], [gold, predicted]: &[Vec<Vec<Entity>>; 2]) -> f64 {
    let sentence = |(tags, entities): (&Vec<Tag>, &Vec<Entity>)| {
        let words = Sentence::from_words("s", tags.iter().map(|_| "w"));
        words.with_entities(entities.clone(), Provenance::Original).unwrap()
    };
    let gold: Vec<Sentence> = tags.iter().zip(gold).map(sentence).collect();
    Tokens::of(&gold, predicted).unwrap().accuracy
}

fn assert_close(ours: &Rows, golden: &Rows, what: &str) {
    assert!(ours.keys().eq(golden.keys()), "{what}: {:?} and not {:?}", ours.keys(), golden.keys());
    for (key, golden) in golden {
        assert_eq!(ours[key].len(), golden.len(), "{what} {key}");
        let close = ours[key].iter().zip(golden).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(close, "{what} {key}: {:?} and not {golden:?}", ours[key]);
    }
}

#[test]
fn scores_equal_seqeval() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/seqeval.json");
    let sets: Vec<BTreeMap<String, Rows>> = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert!(sets.len() * SENTENCES > 20_000);
    let (mut compared, mut differ) = (0, 0);
    for (number, golden) in sets.iter().enumerate() {
        let (written, letters) = SCHEMES[number % SCHEMES.len()];
        let [gold, predicted] = sentences(&mut Random::new(number), written, letters);
        let decode = |decode: &dyn Fn(&[Tag]) -> Vec<Entity>| {
            [&gold, &predicted].map(|side| side.iter().map(|tags| decode(tags)).collect::<Vec<_>>())
        };

        let entities = decode(&decode_lenient);
        let mut lenient = rows(&metrics::lenient(&gold, &predicted).unwrap(), &entities);
        lenient.insert("/accuracy".to_owned(), vec![accuracy(&gold, &entities)]);
        assert_close(&lenient, &golden["lenient"], &format!("set {number} lenient"));
        compared += 1;

        for (scheme, _) in SCHEMES.into_iter().filter(|&(_, other)| other == letters) {
            let strict = metrics::strict(&gold, &predicted, scheme).unwrap();
            let strict = rows(&strict, &decode(&|tags| decode_strict(tags, scheme)));
            let name = scheme.to_string().to_lowercase();
            assert_close(&strict, &golden[&name], &format!("set {number} {scheme}"));
            compared += 1;
            differ += usize::from(strict["/digest"] != lenient["/digest"]);
        }
    }
    assert_eq!(compared, sets.iter().map(BTreeMap::len).sum::<usize>());
    assert!(differ > sets.len(), "the modes must not come to the same");
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
    assert_eq!([&json["macro_gold"]["f1"], &json["macro_union"]["f1"]], [1.0, 0.5]);
    assert_eq!(json["undefined"], serde_json::json!([{ "fraction": "recall", "of": { "type": "LOC" } }]));
    assert_eq!(serde_json::from_value::<Scores>(json).unwrap(), scores);
}

#[test]
fn nothing_at_all_scores_0_and_says_so() {
    let scores = metrics::lenient(&[tags("O O")], &[tags("O O")]).unwrap();
    assert_eq!(scores.micro.prf, Prf::default());
    assert_eq!(scores.undefined.len(), 12);
    assert_eq!(scores.undefined[0].to_string(), "precision of the micro average");

    let nothing_predicted = metrics::lenient(&[tags("B-X O")], &[tags("O O")]).unwrap();
    let undefined: Vec<String> = nothing_predicted.undefined.iter().map(ToString::to_string).collect();
    assert_eq!(undefined, ["precision of X", "precision of the micro average"]);

    let nothing_gold = metrics::lenient(&[tags("O O")], &[tags("B-X O")]).unwrap();
    let undefined: Vec<String> = nothing_gold.undefined.iter().map(ToString::to_string).collect();
    assert_eq!(undefined[..2], ["recall of X", "recall of the micro average"]);
    let means = ["the macro average over gold types", "the weighted average"];
    assert!(undefined[2..].iter().all(|of| means.iter().any(|mean| of.ends_with(mean))));
    assert_eq!(undefined.len(), 8);
}
