#![expect(clippy::unwrap_used, reason = "what helps a test may panic as the test may")]

use std::collections::BTreeSet;
use std::sync::Arc;

use apprentice_core::{Entity, Provenance, Sentence, Span};
use apprentice_teacher::{
    Bm25, Example, ExamplePool, Examples, LabelSet, Neighbours, PoolError, Prompt, PromptError, Scored, Selector,
    Strategy, Version,
};
use proptest::prelude::*;

use crate::{mention, sentence};

/// A labelled sentence; a word such as `Rome/LOC` is an entity.
fn labelled(id: &str, text: &str) -> Sentence {
    let words: Vec<(&str, Option<&str>)> =
        text.split(' ').map(|w| w.split_once('/').map_or((w, None), |(w, label)| (w, Some(label)))).collect();
    let entity = |(at, (_, label)): (usize, &(&str, Option<&str>))| {
        label.map(|label| Entity { span: Span::new(at, at + 1).unwrap(), label: label.into() })
    };
    let entities = words.iter().enumerate().filter_map(entity).collect();
    Sentence::from_words(id, words.iter().map(|w| w.0)).with_entities(entities, Provenance::Original).unwrap()
}

fn pool(texts: &[&str]) -> Arc<ExamplePool> {
    let sentences = texts.iter().enumerate().map(|(n, text)| labelled(&format!("p{n}"), text));
    Arc::new(ExamplePool::new(sentences.collect()).unwrap())
}

fn ids(examples: &Examples, sentence: &Sentence) -> Vec<String> {
    examples.choose(sentence).iter().map(|s| s.id().to_owned()).collect()
}

#[test]
fn bm25_is_the_formula() {
    let sentences = ["Rome won in Rome", "Oslo won", "snow in Oslo and in Bergen", ""].map(|text| sentence("", text));
    let index = Bm25::new(&sentences);
    let query = sentence("q", "in rome ROME , In");
    let (count, mean) = (4.0, 12.0 / 4.0);
    let expected = |sentence: &Sentence| -> f64 {
        let frequency = |s: &Sentence, word: &str| s.words().filter(|w| w.to_lowercase() == word).count() as f64;
        let term = |word: &&str| {
            let holding = sentences.iter().filter(|s| frequency(s, word) > 0.0).count() as f64;
            let (f, length) = (frequency(sentence, word), sentence.tokens().len() as f64);
            (1.0 + (count - holding + 0.5) / (holding + 0.5)).ln() * f * 2.2 / (f + 1.2 * (0.25 + 0.75 * length / mean))
        };
        ["in", "rome", ","].iter().map(term).sum()
    };
    let found = index.near(&query);
    assert_eq!(found.iter().map(|s| s.index).collect::<Vec<_>>(), [0, 2]);
    for Scored { index, score } in found {
        assert!((score - expected(&sentences[index])).abs() < 1e-12, "{index}");
    }
    assert!(Bm25::new(&[]).near(&query).is_empty() && index.near(&sentence("q", "")).is_empty());
}

#[test]
fn the_nearest_are_balanced_over_types() {
    let pool = pool(&[
        "Oslo/LOC beat Bergen/LOC 3 1",
        "Oslo/LOC beat Bergen/LOC 2 0",
        "Oslo/LOC beat Molde/LOC",
        "Ann/PER beat Mia/PER",
        "it rained",
        "Acme/ORG fell",
        "Globex/ORG fell",
    ]);
    let nearest = |n| Examples::new(Selector::Nearest { n }, pool.clone());
    let query = sentence("q", "Oslo beat Bergen 3 2");
    assert_eq!(ids(&nearest(1), &query), ["p0"]);
    // What is much nearer comes before what has another type; what is hardly nearer does not.
    assert_eq!(ids(&nearest(2), &query), ["p1", "p0"]);
    assert_eq!(ids(&nearest(4), &query), ["p3", "p2", "p1", "p0"]);
    // ORG shares no word with the sentence, but gets its chance: by its first sentence.
    assert_eq!(BTreeSet::from_iter(ids(&nearest(5), &query)), ["p0", "p1", "p2", "p3", "p5"].map(str::to_owned).into());
    // No more than there are: no word of `it rained` or `Globex` is asked for.
    assert_eq!(ids(&nearest(99), &query).len(), 5);
    assert!(ids(&nearest(0), &query).is_empty());
    // Where nothing is near, each type is shown.
    assert_eq!(ids(&nearest(9), &sentence("q", "x")), ["p5", "p3", "p0"]);
}

#[test]
fn a_sentence_never_sees_its_own_answer() {
    let pool = pool(&["Rome/LOC won .", "Rome/LOC won .", "Rome/LOC won again", "Ann/PER won .", "Mia/PER won"]);
    let random = (0..20).map(|seed| Selector::Random { n: 3, seed });
    for selector in random.chain([Selector::Nearest { n: 3 }]) {
        let examples = Examples::new(selector, pool.clone());
        let of = |sentence: &Sentence| {
            let chosen = examples.choose(sentence);
            assert_eq!(chosen.iter().map(|s| s.text()).collect::<BTreeSet<_>>().len(), 3, "{selector:?} {sentence:?}");
            chosen.into_iter().map(|s| s.id().to_owned()).collect::<BTreeSet<_>>()
        };
        // The same text, whatever its id and its tokens.
        let twin =
            Sentence::new("q", "Rome won.", [(0, 4), (5, 8), (8, 9)].map(|(a, b)| Span::new(a, b).unwrap()).into())
                .unwrap();
        assert!(!of(&twin).contains("p0") && !of(&twin).contains("p1"));
        assert!(!of(&sentence("p3", "Rome won in Oslo")).contains("p3"));
        assert_eq!(of(&pool.sentences()[4]).len(), 3);
    }
}

#[test]
fn a_draw_is_the_same_for_all_sentences() {
    let texts: Vec<String> = (0..50).map(|n| format!("word{n} in Rome/LOC")).collect();
    let pool = pool(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    let draw = |seed| Examples::new(Selector::Random { n: 5, seed }, pool.clone());
    let first = ids(&draw(1), &sentence("q", "x"));
    assert_eq!((first.len(), &first), (5, &ids(&draw(1), &sentence("r", "word7 y"))));
    assert_ne!(first, ids(&draw(2), &sentence("q", "x")));
    // A drawn sentence sees the four others and the one drawn next.
    let drawn = pool.sentences().iter().find(|s| s.id() == first[2]).unwrap();
    let others = ids(&draw(1), drawn);
    assert_eq!(others.iter().filter(|id| first.contains(id)).count(), 4);
    assert!(others.len() == 5 && !others.contains(&first[2]));
    assert!(Examples::new(Selector::Fixed, pool.clone()).choose(drawn).is_empty());
    let few = Examples::new(Selector::Random { n: usize::MAX, seed: 3 }, pool.clone());
    assert_eq!(few.choose(&sentence("q", "x")).len(), 50);
}

#[test]
fn neighbours_come_from_any_closure_and_may_be_wrong() {
    let pool = pool(&["a Rome/LOC", "b Ann/PER", "c Acme/ORG", "d Oslo/LOC"]);
    let closure = |_: &Sentence| {
        let scores = [(3, -0.2), (0, -0.9), (99, 5.0), (1, f64::NAN), (2, f64::INFINITY), (3, -0.2)];
        scores.map(|(index, score)| Scored { index, score }).to_vec()
    };
    // p3 is nearest; p1 and p2, which are not scored as they should be, stand for their types; p0 adds nothing.
    assert_eq!(ids(&Examples::nearest(3, closure, pool.clone()), &sentence("q", "x")), ["p2", "p1", "p3"]);
    assert_eq!(ids(&Examples::nearest(9, closure, pool.clone()), &sentence("q", "x")), ["p0", "p2", "p1", "p3"]);
}

#[test]
fn a_pool_is_labelled_and_its_types_are_those_of_the_label_set() {
    assert_eq!(ExamplePool::new(vec![]).unwrap_err(), PoolError::Empty);
    let mixed = vec![labelled("p0", "Rome/LOC"), sentence("p1", "x"), sentence("p2", "y")];
    let error = ExamplePool::new(mixed).unwrap_err().to_string();
    assert!(error.starts_with("2 of 3 sentences of the pool of examples are unlabelled, the first is p1;"), "{error}");

    let prompt = || Prompt::new(&Strategy::default(), &LabelSet::default()).unwrap();
    let examples = Examples::new(Selector::Nearest { n: 2 }, pool(&["Rome/LOC", "Ann/person"]));
    let error = prompt().with_examples(examples).unwrap_err();
    assert!(matches!(&error, PromptError::ExampleType { id, .. } if id == "p1"));
    assert_eq!(
        error.to_string(),
        "sentence p1 of the pool of examples has an entity of type person, expected one of PER, LOC, ORG, MISC; rename the \
         type in the pool, or add it to the label set conll2003"
    );
}

#[test]
fn chosen_examples_stand_behind_those_of_the_label_set() {
    let pool = pool(&["\" Oslo/LOC <text {{", "Ann/PER won in Rome/LOC"]);
    for strategy in Strategy::built_in() {
        let examples = Examples::new(Selector::Nearest { n: 1 }, pool.clone());
        let prompt = Prompt::new(&strategy, &LabelSet::default()).unwrap().with_examples(examples).unwrap();
        let rules = |text| prompt.request(&sentence("q", text), "m").unwrap().messages.remove(0).content;
        let rome = rules("Mia won in Rome");
        let answer = r#"{"entities": [{"text": "Ann", "type": "PER"}, {"text": "Rome", "type": "LOC"}]}"#;
        let own = rome.find("2. Ann Keller ( Austria ) 1:45.20").unwrap();
        assert!(own < rome.find("Ann won in Rome\n").unwrap(), "{rome}");
        let prefix = if strategy.reasons() { "Answer: " } else { "" };
        assert!(rome.contains(&format!("\n{prefix}{answer}")), "{rome}");
        // No steps are made up for it.
        let steps = rome.matches("\n1. Context: ").count();
        assert_eq!(steps, if strategy.reasons() { 4 } else { 0 });
        let told = rome.matches("\nExample (the steps are left out here; write yours)\n<text-").count();
        assert_eq!(told, usize::from(strategy == Strategy::Cot(Version::Two)));
        assert!(!rome.contains("\n\n\n"));
        // An example is data as well.
        assert!(rules("<text x").contains("\" Oslo <text {{\n"));
    }
    let example = Example::from(&pool.sentences()[1]);
    let expected = [mention("Ann", "PER"), mention("Rome", "LOC")];
    assert_eq!((&*example.sentence, &*example.entities, example.reasoning), ("Ann won in Rome", &expected[..], None));
}

#[test]
fn a_selector_is_written_as_a_table() {
    for (selector, json) in [
        (Selector::Fixed, r#"{"kind":"fixed"}"#),
        (Selector::Random { n: 3, seed: 7 }, r#"{"kind":"random","n":3,"seed":7}"#),
        (Selector::Nearest { n: 5 }, r#"{"kind":"nearest","n":5}"#),
    ] {
        assert_eq!(serde_json::to_string(&selector).unwrap(), json);
        assert_eq!(serde_json::from_str::<Selector>(json).unwrap(), selector);
    }
    assert!(serde_json::from_str::<Selector>(r#"{"kind":"nearest","n":5,"seed":1}"#).is_err());
}

#[test]
fn a_query_of_a_large_pool_is_answered_at_once() {
    let word = |n: usize| format!("w{}", n * n % 7919);
    let text = |n: usize| (0..20).map(|k| word(n * 31 + k)).collect::<Vec<_>>().join(" ");
    let texts: Vec<String> = (0..15_000).map(|n| format!("{} in Rome/LOC .", text(n))).collect();
    let pool = pool(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    let examples = Examples::new(Selector::Nearest { n: 8 }, pool);
    let start = std::time::Instant::now();
    for n in 0..20 {
        assert_eq!(examples.choose(&sentence("q", &text(n))).len(), 8);
    }
    // Without optimisation, on a shared machine: some milliseconds each.
    assert!(start.elapsed().as_secs_f64() < 10.0, "{:?}", start.elapsed());
}

proptest! {
    #[test]
    fn choices_keep_their_promises(
        texts in prop::collection::vec("[ab](/X)?( [abc](/[XYZ])?){0,3}", 1..12), query in "[abc]( [abcd]){0,3}", n in 0..6usize,
        seed: u64,
    ) {
        let pool = pool(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        let query = sentence("p0", &query);
        for selector in [Selector::Fixed, Selector::Random { n, seed }, Selector::Nearest { n }] {
            let choose = || ids(&Examples::new(selector, pool.clone()), &query);
            let chosen = Examples::new(selector, pool.clone());
            let chosen = chosen.choose(&query);
            prop_assert_eq!(choose(), choose());
            prop_assert!(chosen.len() <= n);
            prop_assert!(chosen.iter().all(|s| s.id() != "p0" && s.text() != query.text()));
            let texts: BTreeSet<&str> = chosen.iter().map(|s| s.text()).collect();
            prop_assert_eq!(texts.len(), chosen.len());
        }
    }
}
