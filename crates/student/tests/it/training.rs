//! The training loop.

use apprentice_core::{Regimen, Schedule};
use apprentice_student::{StepReport, StudentError, TrainSettings, Trained, Trainer, TrainingData};

use crate::{student, toy};

fn settings() -> TrainSettings {
    TrainSettings { epochs: 12, batch_size: 8, learning_rate: 5e-3, ..TrainSettings::default() }
}

/// Runs to the end; the reports and what is left.
fn run(settings: &TrainSettings, threads: usize, with_dev: bool) -> (Vec<StepReport>, Trained) {
    let (original, distilled, dev) = (toy(40, 0), toy(24, 100), toy(15, 200));
    let data = TrainingData { original: &original, distilled: &distilled, dev: with_dev.then_some(dev.as_slice()) };
    let mut trainer = Trainer::new(student(settings.seed, threads), data, settings).unwrap();
    let total = trainer.total_steps();
    let reports: Vec<StepReport> = trainer.by_ref().map(Result::unwrap).collect();
    assert_eq!(reports.len(), total);
    (reports, trainer.finish().unwrap())
}

/// A student's every bit, as its weights file.
fn weights(trained: &Trained) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    trained.student.save(directory.path(), "").unwrap();
    std::fs::read(directory.path().join("model.safetensors")).unwrap()
}

#[test]
fn learns_the_toy_language() {
    let (reports, mut trained) = run(&settings(), 2, true);
    assert!(reports[0].loss > 1.0 && reports.last().unwrap().loss < 0.2, "{reports:?}");
    let scores = trained.student.evaluate(&toy(30, 300), None).unwrap();
    assert!(scores.micro.prf.f1 > 0.95, "{scores:?}");
}

#[test]
fn the_same_seed_gives_the_same_bits_whatever_the_threads() {
    let short = TrainSettings { epochs: 2, regimen: Regimen::All, ..settings() };
    let (reports, trained) = run(&short, 1, true);
    for threads in [1, 2] {
        let (again, other) = run(&short, threads, true);
        assert_eq!(reports, again, "{threads} threads: other reports");
        assert!(weights(&trained) == weights(&other), "{threads} threads: other weights");
    }
    let (_, other) = run(&TrainSettings { seed: 2, ..short }, 1, true);
    assert!(weights(&trained) != weights(&other), "another seed gives the same weights");
}

#[test]
fn every_regimen_draws_what_it_says() {
    for regimen in Regimen::DEFAULTS {
        let (reports, trained) = run(&TrainSettings { epochs: 4, regimen, ..settings() }, 2, false);
        let drawn: Vec<(usize, usize)> = trained.epochs.iter().map(|e| (e.original, e.distilled)).collect();
        let expected: &[(usize, usize)] = match regimen {
            Regimen::OriginalOnly => &[(40, 0); 4],
            Regimen::DistilledOnly => &[(0, 24); 4],
            Regimen::Sequential { .. } | Regimen::SimpleMix { .. } => &[(0, 24), (0, 24), (40, 0), (40, 0)],
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
fn divergence_is_named_and_good_weights_survive() {
    let wild = TrainSettings { learning_rate: 1e30, max_gradient_norm: 0.0, ..settings() };
    let data = toy(40, 0);
    let mut trainer =
        Trainer::new(student(1, 2), TrainingData { original: &data, ..TrainingData::default() }, &wild).unwrap();
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
        let data = TrainingData { original: &data, ..TrainingData::default() };
        Trainer::new(student(1, 1), data, settings).err().unwrap().to_string()
    };
    assert!(with(&TrainSettings { epochs: 0, ..settings() }).starts_with("epochs = 0: expected at least 1"));
    assert!(with(&TrainSettings { learning_rate: f64::NAN, ..settings() }).starts_with("learning_rate = NaN"));
    assert!(with(&TrainSettings { max_length: Some(2), ..settings() }).starts_with("max_length = 2"));
    let needs = with(&TrainSettings { regimen: Regimen::All, ..settings() });
    assert!(needs.contains("regimen all needs distilled data"), "{needs}");
    let stranger = toy(1, 0)[0]
        .clone()
        .with_entities(
            vec![apprentice_core::Entity { span: apprentice_core::Span::new(0, 1).unwrap(), label: "SHIP".into() }],
            apprentice_core::Provenance::Original,
        )
        .unwrap();
    let data = [stranger];
    let data = TrainingData { original: &data, ..TrainingData::default() };
    let error = Trainer::new(student(1, 1), data, &settings()).err().unwrap().to_string();
    assert_eq!(error, "sentence toy-0: entity type `SHIP` is not one of the model's types (LOC, PER)");
}
