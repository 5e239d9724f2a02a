use std::path::Path;

use apprentice_core::{
    Corpus, Entity, Evidence, Provenance, Sentence,
    corpus::{Outline, ReadOptions, Source},
    metrics::{
        Outcome,
        report::{Gold, Predicted, Report, ReportError, Settings, Test},
        uncertainty::holm,
    },
};

use crate::{
    entity,
    random::{Random, TYPES},
    tags,
};

/// Gold sentences, of which each third starts a document, and predictions of which one in `step` entities is left out.
fn test_set(steps: &[usize]) -> (Gold, Vec<Vec<Vec<Entity>>>) {
    let mut random = Random::new(3);
    let sentences: Vec<Sentence> = (0..60)
        .map(|i| {
            let len = 5 + random.below(20);
            let sentence = Sentence::from_words(i.to_string(), vec!["word"; len]);
            let sentence = sentence.with_entities(random.entities(&TYPES[..3], len), Provenance::Original).unwrap();
            sentence.in_document(Some((i / 3).to_string().into()))
        })
        .collect();
    let predicted = steps.iter().map(|&step| {
        sentences.iter().map(|s| s.entities().iter().filter(|_| random.below(step) > 0).cloned().collect()).collect()
    });
    let predicted = predicted.collect();
    (Gold::from(sentences), predicted)
}

fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.resampling.resamples = 200;
    settings
}

fn named(systems: &[&str], entities: Vec<Vec<Vec<Entity>>>) -> Vec<Predicted> {
    let run = |(system, entities): (&&str, _)| Predicted {
        system: (*system).into(),
        run: "r".into(),
        entities,
        confidences: Vec::new(),
    };
    systems.iter().zip(entities).map(run).collect()
}

#[test]
fn p_values_are_corrected_over_the_comparisons() {
    let (gold, predicted) = test_set(&[20, 10, 9, 3]);
    let predicted = named(&["a", "b", "c", "d"], predicted);
    let first = Report::of(&gold, &predicted, None, &settings()).unwrap();
    let mut all_pairs = settings();
    all_pairs.all_pairs = true;
    let all = Report::of(&gold, &predicted, None, &all_pairs).unwrap();
    assert_eq!((first.comparisons.len(), all.comparisons.len()), (3, 6));
    for report in [&first, &all] {
        for (number, test) in [Test::PairedBootstrap, Test::ApproximateRandomisation].into_iter().enumerate() {
            let tested: Vec<_> = report.comparisons.iter().map(|c| c.macro_f1.tests[number]).collect();
            assert!(tested.iter().all(|tested| tested.test == test));
            let corrected = holm(&tested.iter().map(|tested| tested.p_value).collect::<Vec<_>>()).unwrap();
            assert_eq!(tested.iter().map(|tested| tested.holm).collect::<Vec<_>>(), corrected);
        }
    }
    // The difference is that of the later one less the earlier, and so is its interval.
    let last = &first.comparisons[2];
    assert_eq!((last.system, last.with), ("d", "a"));
    let interval = last.f1.tests[0].interval.unwrap();
    assert!(last.f1.difference < 0.0 && interval.low < last.f1.difference && last.f1.difference < interval.high);
    assert!((interval.estimate - last.f1.difference).abs() < 1e-12);
}

#[test]
fn seeds_are_tested_by_their_means_and_never_against_a_single_run() {
    let (gold, predicted) = test_set(&[20, 10, 9, 3, 2, 9]);
    let report = named(&["a", "b", "a", "b", "b", "c"], predicted);
    let report = Report::of(&gold, &report, None, &settings()).unwrap();
    assert_eq!(report.systems.iter().map(|s| s.runs.len()).collect::<Vec<_>>(), [2, 3, 1]);
    let [seeds, single] = [&report.comparisons[0], &report.comparisons[1]];
    // Not as many runs of both: there is nothing to pair.
    assert_eq!(seeds.f1.tests.iter().map(|tested| tested.test).collect::<Vec<_>>(), [Test::Welch]);
    assert!(single.f1.tests.is_empty() && single.untested.as_ref().unwrap().contains("one run against 2"));
    assert!(report.systems[0].f1.interval.unwrap().low < report.systems[0].f1.summary.mean);
    // The interval of a single run is that over test sentences.
    assert_eq!(report.systems[2].f1.interval, report.systems[2].runs[0].intervals.map(|i| i.f1));
}

#[test]
fn seeds_that_make_no_difference_are_not_tested() {
    let (gold, mut predicted) = test_set(&[10]);
    predicted = vec![predicted[0].clone(); 4];
    let report = named(&["a", "a", "b", "b"], predicted);
    let report = Report::of(&gold, &report, None, &settings()).unwrap();
    assert!(report.comparisons[0].f1.tests.is_empty());
    assert!(report.comparisons[0].untested.as_ref().unwrap().contains("do not differ from seed to seed"));
}

#[test]
fn details_need_the_sentences() {
    let (gold, predicted) = test_set(&[4]);
    let predicted = named(&["a"], predicted);
    let mut settings = settings();
    (settings.details, settings.mistakes) = (true, 3);
    let report = Report::of(&gold, &predicted, None, &settings).unwrap();
    let run = &report.systems[0].runs[0];
    let mistakes = run.mistakes.as_ref().unwrap();
    assert!(mistakes.counts[&Outcome::Missed] > 3 && mistakes.first.len() == 3);
    let worst = run.details.as_ref().unwrap().worst_documents(5);
    assert_eq!(worst.len(), 5);
    assert!(worst.is_sorted_by_key(|(_, score)| score.prf.f1));
    let without = Gold { sentences: None, ..gold.clone() };
    assert_eq!(Report::of(&without, &predicted, None, &settings), Err(ReportError::NoSentences));
}

#[test]
fn an_outline_matches_as_the_sentences_do() {
    let gold = "# id = a\nAnn B-PER\nwon O\n\n# id = b\nin O\nRome B-LOC\n";
    let swapped = "# id = b\nin O\nRome O\n\n# id = a\nAnn B-ORG\nwon O\n";
    let outline =
        |text: &str| Outline::read(&[Source::bytes(Path::new("x.conll"), text)], &ReadOptions::default()).unwrap();
    let corpus = Corpus::parse(Path::new("x.conll"), gold, &ReadOptions::default()).unwrap();
    let read = outline(gold).unwrap();
    assert_eq!((read.tokens, &read.evidence), (4, &corpus.evidence));
    assert_eq!(read.entities, corpus.sentences.iter().map(|s| s.entities().to_vec()).collect::<Vec<_>>());
    assert_eq!(read.matched(outline(swapped).unwrap()).unwrap(), [vec![entity(0, 1, "ORG")], vec![]]);
    // Other ids: in order, if the words are the same.
    assert_eq!(read.matched(outline(&gold.replace("id = a", "id = c")).unwrap()).unwrap()[1], read.entities[1]);
    assert!(read.matched(outline(&swapped.replace("id = a", "id = c")).unwrap()).is_none());
    // `Ann|won` and `An|nwon` are other words, and fewer sentences other sentences.
    assert!(read.matched(outline(&gold.replace("Ann B-PER\nwon", "An B-PER\nnwon")).unwrap()).is_none());
    assert!(read.matched(outline("# id = a\nAnn B-PER\nwon O\n").unwrap()).is_none());
    // What a corpus refuses, or cannot be scored, is nothing here.
    assert!(outline(&gold.replace("id = b", "id = a")).is_none());
    assert!(outline("Ann\nwon\n").is_none());
}

#[test]
fn evidence_adds_up() {
    let [first, second] = ["B-PER I-PER O", "I-LOC E-LOC"].map(tags);
    let mut sum = Evidence::of([&first]);
    assert!(!sum.is_empty() && Evidence::default().is_empty());
    assert!(!Evidence::of([tags("O")]).is_empty());
    sum.extend(&Evidence::of([&second]));
    assert_eq!(sum, Evidence::of([first, second]));
}
