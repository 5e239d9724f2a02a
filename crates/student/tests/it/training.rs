//! The training loop.

use std::collections::BTreeMap;

use apprentice_core::{Confidence, Course, Entity, Provenance, Regimen, Schedule, Sentence};
use apprentice_encoder::Precision;
use apprentice_student::{
    Drawn, Head, PoolSettings, RunPlan, StepReport, StudentError, TrainSettings, Trained, Trainer, TrainingData,
    TrainingPool,
};

use crate::{student, toy};

fn settings() -> TrainSettings {
    TrainSettings { epochs: 12, batch_size: 8, learning_rate: 5e-3, ..TrainSettings::default() }
}

/// Runs to the end; the reports and what is left.
fn run(settings: &TrainSettings, threads: usize, with_dev: bool) -> (Vec<StepReport>, Trained) {
    let (original, distilled, dev) = (toy(40, 0), toy(24, 100), toy(15, 200));
    let distilled = [TrainingPool::new(TrainingPool::DISTILLED, &distilled)];
    let dev = with_dev.then_some(dev.as_slice());
    finish(
        Trainer::new(
            student(settings.seed, threads),
            TrainingData { distilled: &distilled, dev, ..TrainingData::original(&original) },
            settings,
        )
        .unwrap(),
    )
}

/// Runs a trainer to its end, which must be as planned.
fn finish(mut trainer: Trainer) -> (Vec<StepReport>, Trained) {
    let plan = trainer.plan().unwrap();
    let reports: Vec<StepReport> = trainer.by_ref().map(Result::unwrap).collect();
    let trained = trainer.finish().unwrap();
    assert_eq!(reports.len(), plan.steps);
    assert_eq!(reports.iter().map(|report| report.tokens).sum::<usize>(), plan.tokens);
    assert_eq!(reports.iter().map(|report| report.learning_rate).collect::<Vec<_>>(), plan.learning_rates);
    for (planned, report) in plan.epochs.iter().zip(&trained.epochs) {
        assert_eq!((&planned.drawn, planned.epoch), (&report.drawn, report.epoch));
        assert_eq!(planned.steps, reports.iter().filter(|step| step.epoch == planned.epoch).count());
    }
    (reports, trained)
}

/// A student's every bit, as its weights file.
fn weights(trained: &Trained) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    trained.student.save(directory.path(), "").unwrap();
    std::fs::read(directory.path().join("model.safetensors")).unwrap()
}

#[test]
fn learns_the_toy_language() {
    for head in [Head::Softmax, Head::Crf] {
        let (reports, mut trained) = run(&TrainSettings { head, ..settings() }, 2, true);
        assert!(reports[0].loss > 1.0 && reports.last().unwrap().loss < 0.2, "{reports:?}");
        let scores = trained.student.evaluate(&toy(30, 300), None).unwrap();
        assert!(scores.micro.prf.f1 > 0.95, "{head}: {scores:?}");
        assert_eq!(trained.student.head(), head);
    }
}

#[test]
fn the_same_seed_gives_the_same_bits_whatever_the_threads() {
    for head in [Head::Softmax, Head::Crf] {
        let short = TrainSettings { epochs: 2, regimen: Regimen::All, head, ..settings() };
        let (reports, trained) = run(&short, 1, true);
        for threads in [1, 2] {
            let (again, other) = run(&short, threads, true);
            assert_eq!(reports, again, "{head}, {threads} threads: other reports");
            assert!(weights(&trained) == weights(&other), "{head}, {threads} threads: other weights");
        }
        let (_, other) = run(&TrainSettings { seed: 2, ..short }, 1, true);
        assert!(weights(&trained) != weights(&other), "{head}: another seed gives the same weights");
    }
}

#[test]
fn every_regimen_draws_what_it_says() {
    for regimen in Regimen::DEFAULTS {
        let (reports, trained) = run(&TrainSettings { epochs: 4, regimen, ..settings() }, 2, false);
        let drawn: Vec<(usize, usize)> =
            trained.epochs.iter().map(|e| (e.drawn[0].sentences, e.drawn[1].sentences)).collect();
        let expected: &[(usize, usize)] = match regimen {
            Regimen::OriginalOnly => &[(40, 0); 4],
            Regimen::DistilledOnly => &[(0, 24); 4],
            Regimen::Sequential { .. } | Regimen::SimpleMix { .. } => &[(0, 24), (0, 24), (40, 0), (40, 0)],
            Regimen::Blend { .. } => unreachable!("it has no default"),
            Regimen::All => &[(40, 24); 4],
        };
        assert_eq!(drawn, expected, "{regimen}");
        let rates: Vec<f64> = reports.iter().map(|r| r.learning_rate / 5e-3).collect();
        match regimen {
            Regimen::SimpleMix { .. } => assert!(rates.iter().all(|r| (r - 1.0).abs() < 1e-12), "{rates:?}"),
            // Two stages: 6 steps of distilled, then 10 of original data, each decaying from the full rate.
            Regimen::Sequential { .. } => {
                let stage = |n: usize| (0..n).map(move |i| (n - i) as f64 / n as f64);
                let expected: Vec<f64> = stage(6).chain(stage(10)).collect();
                assert!(rates.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-12), "{rates:?}");
            }
            _ => assert!(rates.windows(2).all(|pair| pair[1] < pair[0]), "{rates:?}"),
        }
    }
}

#[test]
fn best_weights_on_dev_are_kept_and_the_first_best_wins() {
    let (reports, mut trained) = run(&settings(), 2, true);
    // The bits of positive numbers are in the numbers' order.
    let dev: Vec<u64> = trained.epochs.iter().map(|e| e.dev.as_ref().unwrap().micro.prf.f1.to_bits()).collect();
    let best = *dev.iter().max().unwrap();
    let first = dev.iter().position(|f1| *f1 == best).unwrap() + 1;
    assert_eq!(trained.best_epoch, Some(first), "{dev:?}");
    assert_eq!(trained.student.evaluate(&toy(15, 200), None).unwrap().micro.prf.f1.to_bits(), best);
    assert_eq!(reports.iter().filter(|r| r.epoch_end.is_some()).count(), 12);
    // Without dev the last weights stay.
    assert_eq!(run(&TrainSettings { epochs: 1, ..settings() }, 2, false).1.best_epoch, None);
}

#[test]
fn accumulation_changes_nothing_but_rounding() {
    let mut losses = Vec::new();
    for accumulation in [1, 4] {
        // Dropout differs between parts, so only the first loss before any update is comparable without it; the
        // mean over labelled words makes the scale equal.
        let one = TrainSettings { epochs: 1, batch_size: 40, accumulation, schedule: Schedule::Constant, ..settings() };
        losses.push(run(&one, 2, false).0[0].clone());
    }
    assert_eq!(losses[0].tokens, losses[1].tokens);
    assert!((losses[0].loss - losses[1].loss).abs() < 0.05, "{losses:?}");
}

#[test]
fn a_sentence_of_several_windows_is_one_sequence() {
    // A name of six words, which windows of four words cut: the second one begins with an `I-`.
    let long = |i: usize| {
        let words: Vec<String> = (0..12).map(|word| format!("w{}", (i + word) % 5)).collect();
        let entity = Entity { span: apprentice_core::Span::new(2, 8).unwrap(), label: "PER".into() };
        let sentence = Sentence::from_words(format!("long-{i}"), words.iter().map(String::as_str));
        sentence.with_entities(vec![entity], Provenance::Original).unwrap()
    };
    let sentences: Vec<Sentence> = (0..9).map(long).collect();
    let of = |max_length, head| {
        let settings = TrainSettings { epochs: 1, batch_size: 3, accumulation: 2, max_length, head, ..settings() };
        finish(Trainer::new(student(1, 2), TrainingData::original(&sentences), &settings).unwrap()).0
    };
    let (whole, cut) = (of(None, Head::Crf), of(Some(8), Head::Crf));
    assert!(cut[0].tokens > whole[0].tokens, "the test is empty: nothing was cut");
    assert!(cut.iter().all(|report| report.loss.is_finite() && report.loss > 0.0), "{cut:?}");
    // Fewer sequences are well-formed than there are, so each of them is likelier at first.
    assert!(whole[0].loss < of(None, Head::Softmax)[0].loss);
}

#[test]
fn divergence_is_named_and_good_weights_survive() {
    let wild = TrainSettings { learning_rate: 1e30, max_gradient_norm: 0.0, ..settings() };
    let data = toy(40, 0);
    let mut trainer = Trainer::new(student(1, 2), TrainingData::original(&data), &wild).unwrap();
    let error = trainer.by_ref().find_map(Result::err).unwrap();
    let StudentError::Diverged { step, .. } = error else { panic!("{error}") };
    assert!(step >= 2 && error.to_string().contains(&format!("at step {step}")), "{error}");
    assert!(trainer.next().is_none(), "a diverged run goes on");
    let trained = trainer.finish().unwrap();
    assert_eq!(trained.steps, step - 1);
    // The weights from before the epoch: here those of the start.
    let start = Trained { student: student(1, 2), epochs: vec![], best_epoch: None, steps: 0 };
    assert!(weights(&trained) == weights(&start), "weights that gave no finite loss were kept");
    let directory = tempfile::tempdir().unwrap();
    trained.student.save(directory.path(), "").unwrap();
    apprentice_student::Student::load(directory.path(), &apprentice_encoder::NetworkOptions::default())
        .expect("the weights are finite");
}

#[test]
fn settings_and_data_that_do_not_fit_are_named() {
    let data = toy(8, 0);
    let with = |settings: &TrainSettings| {
        Trainer::new(student(1, 1), TrainingData::original(&data), settings).err().unwrap().to_string()
    };
    assert!(with(&TrainSettings { epochs: 0, ..settings() }).starts_with("epochs = 0: expected at least 1"));
    assert!(with(&TrainSettings { learning_rate: f64::NAN, ..settings() }).starts_with("learning_rate = NaN"));
    assert!(with(&TrainSettings { max_length: Some(2), ..settings() }).starts_with("max_length = 2"));
    let both = TrainSettings { budget_steps: Some(9), budget_tokens: Some(99), ..settings() };
    assert!(with(&both).starts_with("budget_steps = 9: expected none, because there is budget_tokens"));
    let both = TrainSettings { warmup_share: 0.1, warmup_steps: 3, ..settings() };
    assert!(with(&both).starts_with("warmup_share = 0.1: expected 0, because warmup_steps"));
    assert!(with(&TrainSettings { layer_decay: -1.0, ..settings() }).starts_with("layer_decay = -1"));
    let rounded = TrainSettings { precision: Precision::Int8, ..settings() };
    assert!(with(&rounded).starts_with("precision = int8: expected f32, bf16 or auto"));
    let pools = BTreeMap::from([("bbc".to_owned(), PoolSettings::default())]);
    assert_eq!(
        with(&TrainSettings { pools, ..settings() }),
        "pool bbc: there is none, but settings for it: the pools are original"
    );
    let needs = with(&TrainSettings { regimen: Regimen::All, ..settings() });
    assert!(needs.contains("regimen all needs distilled data"), "{needs}");
    let stranger = toy(1, 0)[0]
        .clone()
        .with_entities(
            vec![apprentice_core::Entity { span: apprentice_core::Span::new(0, 1).unwrap(), label: "SHIP".into() }],
            apprentice_core::Provenance::Original,
        )
        .unwrap();
    let error =
        Trainer::new(student(1, 1), TrainingData::original(&[stranger]), &settings()).err().unwrap().to_string();
    assert_eq!(error, "sentence toy-0: entity type `SHIP` is not one of the model's types (LOC, PER)");
}

/// Three pools: original, `a` and `b`, of 10, 8 and 4 sentences.
fn of_three_pools<T>(act: impl FnOnce(TrainingData<'_>) -> T) -> T {
    let (original, a, b) = (toy(10, 0), toy(8, 100), toy(4, 200));
    let distilled = [TrainingPool::new("a", &a), TrainingPool::new("b", &b)];
    act(TrainingData { distilled: &distilled, ..TrainingData::original(&original) })
}

fn pools(of: &[(&str, Option<&str>, &str)]) -> BTreeMap<String, PoolSettings> {
    let course = |text: &str| text.parse::<Course>().unwrap();
    let settings =
        |(share, weight): (Option<&str>, &str)| PoolSettings { share: share.map(course), weight: course(weight) };
    of.iter().map(|(name, share, weight)| ((*name).to_owned(), settings((*share, weight)))).collect()
}

#[test]
fn several_pools_have_shares_and_weights_over_time() {
    let settings = TrainSettings {
        epochs: 3,
        batch_size: 4,
        regimen: "blend:linear".parse().unwrap(),
        pools: pools(&[("original", None, "1"), ("a", Some("1..0"), "0.5"), ("b", Some("0..1"), "1..0")]),
        ..settings()
    };
    let (_, trained) = of_three_pools(|data| finish(Trainer::new(student(1, 2), data, &settings).unwrap()));
    let drawn = |pool: &str, sentences, weight| Drawn { pool: pool.to_owned(), sentences, weight };
    let expected = [
        [drawn("original", 0, 1.0), drawn("a", 10, 0.5), drawn("b", 0, 1.0)],
        [drawn("original", 5, 1.0), drawn("a", 3, 0.5), drawn("b", 2, 0.5)],
        [drawn("original", 10, 1.0), drawn("a", 0, 0.5), drawn("b", 0, 0.0)],
    ];
    assert_eq!(trained.epochs.iter().map(|epoch| epoch.drawn.clone()).collect::<Vec<_>>(), expected);
}

#[test]
fn weights_reach_the_loss() {
    [Head::Softmax, Head::Crf].into_iter().for_each(weights_reach_the_loss_of);
}

fn weights_reach_the_loss_of(head: Head) {
    // One step of all sentences: the loss is the mean that the weights make, and a weight common to all changes nothing.
    let losses = |weights: [&str; 3]| {
        let settings = TrainSettings {
            epochs: 1,
            batch_size: 99,
            regimen: Regimen::All,
            head,
            pools: pools(&[("original", None, weights[0]), ("a", None, weights[1]), ("b", None, weights[2])]),
            ..settings()
        };
        of_three_pools(|data| finish(Trainer::new(student(1, 2), data, &settings).unwrap())).0[0].loss
    };
    let equal = losses(["1"; 3]);
    assert!((losses(["2"; 3]) - equal).abs() < 1e-6);
    let parts = [["1", "0", "0"], ["0", "1", "0"], ["0", "0", "1"]].map(losses);
    let words = |n: usize, from: usize| toy(n, from).iter().map(|s| s.tokens().len() as f64).sum::<f64>();
    let words = [words(10, 0), words(8, 100), words(4, 200)];
    let mean = |weights: [f64; 3]| {
        let sum = |of: [f64; 3]| (0..3).map(|i| weights[i] * words[i] * of[i]).sum::<f64>();
        sum(parts) / sum([1.0; 3])
    };
    assert!((equal - mean([1.0; 3])).abs() < 1e-6, "{equal} and {}", mean([1.0; 3]));
    assert!((losses(["1", "0.5", "3"]) - mean([1.0, 0.5, 3.0])).abs() < 1e-6);
    // No weight at all is no loss, not a division by 0.
    assert!(losses(["0"; 3]).abs() < f64::EPSILON);
}

#[test]
fn a_sentence_may_have_a_weight() {
    let sentences = toy(6, 0);
    let loss = |weights: &[f32]| {
        let original = TrainingPool { weights, ..TrainingPool::new(TrainingPool::ORIGINAL, &sentences) };
        let data = TrainingData { original, ..TrainingData::original(&[]) };
        let one = TrainSettings { epochs: 1, ..settings() };
        Trainer::new(student(1, 2), data, &one).map(|trainer| finish(trainer).0[0].loss)
    };
    let [all, none] = [loss(&[]).unwrap(), loss(&[1.0; 6]).unwrap()];
    assert_eq!(all.to_bits(), none.to_bits());
    assert!((loss(&[1.0, 1.0, 1.0, 0.0, 0.0, 0.0]).unwrap() - all).abs() > 1e-6);
    assert_eq!(
        loss(&[1.0]).unwrap_err().to_string(),
        "pool original: 1 weights for 6 sentences: expected one each, or none"
    );
    assert_eq!(
        loss(&[1.0, 1.0, 1.0, -1.0, 1.0, 1.0]).unwrap_err().to_string(),
        "pool original: sentence toy-3 weighs -1: expected a number, 0 or larger"
    );
}

#[test]
fn regimens_cost_the_same_under_a_budget() {
    let plan = |regimen: Regimen, settings: TrainSettings| -> RunPlan {
        let settings = TrainSettings { regimen, epochs: 5, ..settings };
        of_three_pools(|data| Trainer::new(student(1, 1), data, &settings).unwrap().plan().unwrap())
    };
    let longest = 12;
    for regimen in Regimen::DEFAULTS.into_iter().chain(["blend:cosine".parse().unwrap()]) {
        let steps = TrainSettings { batch_size: 3, budget_steps: Some(17), ..settings() };
        let found: Vec<usize> = plan(regimen, steps).epochs.iter().map(|epoch| epoch.steps).collect();
        assert_eq!(found, [3, 3, 4, 3, 4], "{regimen}");
        let tokens = TrainSettings { batch_tokens: Some(40), budget_tokens: Some(1000), ..settings() };
        let found = plan(regimen, tokens).tokens;
        assert!((1000 - longest..=1000).contains(&found), "{regimen}: {found} tokens");
    }
}

#[test]
fn a_rehearsal_takes_as_many_steps_as_it_is_asked_for() {
    let mut seen = Vec::new();
    of_three_pools(|data| {
        let trainer = Trainer::new(student(1, 1), data, &TrainSettings { batch_size: 2, ..settings() }).unwrap();
        trainer.rehearse(|tokens| {
            seen.push(tokens);
            seen.len() < 3
        })
    })
    .unwrap();
    assert!(seen.len() == 3 && seen.iter().all(|tokens| *tokens > 0), "{seen:?}");
}

#[test]
fn memory_follows_the_largest_batch() {
    let memory = |settings: TrainSettings| {
        of_three_pools(|data| Trainer::new(student(1, 1), data, &settings).unwrap().plan().unwrap().memory)
    };
    let small = memory(TrainSettings { batch_size: 4, ..settings() });
    let large = memory(TrainSettings { batch_size: 8, ..settings() });
    let in_parts = memory(TrainSettings { batch_size: 8, accumulation: 2, ..settings() });
    assert!(large.activations > small.activations * 3 / 2, "{large:?} after {small:?}");
    assert!(in_parts.activations < large.activations * 2 / 3, "{in_parts:?} after {large:?}");
    assert_eq!((large.weights, large.moments), (2 * large.gradients, 2 * large.gradients));
}

#[test]
fn entities_count_as_much_as_their_labeller_is_sure_of_them() {
    let sure = |share: f64| -> Vec<Sentence> {
        let entity = |e: &Entity| (e.clone(), Confidence::new(share).ok());
        let again = |s: Sentence| {
            let entities = s.entities().iter().map(entity).collect();
            s.clone().with_confident_entities(entities, Provenance::Original).unwrap()
        };
        toy(24, 0).into_iter().map(again).collect()
    };
    let trained = |data: &[Sentence], weigh_by_confidence| {
        let settings = TrainSettings { epochs: 2, weigh_by_confidence, ..settings() };
        let (reports, trained) = finish(Trainer::new(student(1, 1), TrainingData::original(data), &settings).unwrap());
        (reports[0].loss, weights(&trained))
    };
    // Those that are sure of everything learn as if nothing had been said; so does who does not listen.
    let plain = trained(&toy(24, 0), true);
    assert!(plain == trained(&sure(1.0), true) && plain == trained(&sure(0.25), false));
    // Of 24 sentences two words in five or more are entities: the loss is the weighted mean.
    let doubtful = trained(&sure(0.25), true);
    assert!(plain.1 != doubtful.1 && (plain.0 - doubtful.0).abs() > 1e-3, "{} {}", plain.0, doubtful.0);
    // Nothing is learnt of entities that nobody believes in.
    let none = sure(0.0);
    let settings = TrainSettings { epochs: 6, weigh_by_confidence: true, ..settings() };
    let (_, mut last) = finish(Trainer::new(student(1, 1), TrainingData::original(&none), &settings).unwrap());
    let predicted = last.student.predict(&toy(9, 300), None).unwrap();
    assert!(predicted.iter().all(|prediction| prediction.entities.is_empty()));
}
