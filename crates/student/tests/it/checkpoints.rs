//! Checkpoints: a run that was cut off ends as if it had not been, and what is damaged is refused.

#![expect(clippy::disallowed_methods, reason = "the files are a test's own, and some are to be damaged")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use apprentice_core::Regimen;
use apprentice_encoder::Precision;
use apprentice_student::{
    Checkpoints, Head, Resumable, StepReport, StudentError, TrainSettings, Trainer, TrainingData, TrainingPool,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{student, toy};

/// Small, with everything in it that a checkpoint has to keep: dropout, accumulated gradients, decay, epochs of several
/// steps.
fn settings(regimen: Regimen) -> TrainSettings {
    TrainSettings {
        epochs: 3,
        batch_size: 6,
        accumulation: 2,
        learning_rate: 3e-3,
        weight_decay: 0.01,
        layer_decay: 0.9,
        warmup_share: 0.2,
        regimen,
        ..TrainSettings::default()
    }
}

fn trainer(settings: &TrainSettings, threads: usize, with_dev: bool) -> Trainer {
    let (original, distilled, dev) = (toy(20, 0), toy(14, 100), toy(6, 200));
    let distilled = [TrainingPool::new(TrainingPool::DISTILLED, &distilled)];
    let dev = with_dev.then_some(dev.as_slice());
    let data = TrainingData { distilled: &distilled, dev, ..TrainingData::original(&original) };
    Trainer::new(student(settings.seed, threads), data, settings).unwrap()
}

/// What a run comes to: its reports from a step on, its epochs, and the bits of its weights.
fn end(mut trainer: Trainer) -> (Vec<StepReport>, String, Vec<u8>) {
    let reports: Vec<StepReport> = trainer.by_ref().map(Result::unwrap).collect();
    let trained = trainer.finish().unwrap();
    let directory = tempfile::tempdir().unwrap();
    trained.student.save(directory.path(), "").unwrap();
    let weights = fs::read(directory.path().join("model.safetensors")).unwrap();
    (reports, format!("{:?} {:?} {}", trained.epochs, trained.best_epoch, trained.steps), weights)
}

fn regimens() -> Vec<Regimen> {
    let blends =
        ["blend:linear", "blend:cosine", "blend:sigmoid", "blend:power", "blend:exponential", "blend:constant,c=0.4"];
    let reverse = ["sequential:reverse", "simple-mix:reverse"];
    let named = blends.into_iter().chain(reverse).map(|name| name.parse().unwrap());
    Regimen::DEFAULTS.into_iter().chain(named).collect()
}

#[test]
fn a_run_that_was_cut_off_ends_with_the_same_bits() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    for (number, regimen) in regimens().into_iter().enumerate() {
        let (head, with_dev) = (if number % 3 == 1 { Head::Crf } else { Head::Softmax }, number % 2 == 0);
        let precision = if number % 4 < 2 { Precision::F32 } else { Precision::Bf16 };
        let settings = TrainSettings { head, precision, ..settings(regimen) };
        let whole = end(trainer(&settings, 1, with_dev));
        let directory = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(directory.path(), 1);
        // Before the first step, and at three others, each time by another trainer with another number of threads.
        checkpoints.save(&mut trainer(&settings, 1, with_dev)).unwrap();
        let mut cuts: Vec<usize> = (0..3).map(|_| random.random_range(1..whole.0.len())).collect();
        cuts.sort_unstable();
        let mut at = 0;
        for cut in cuts {
            let mut trainer = trainer(&settings, 1 + cut % 2, with_dev);
            let restored = checkpoints.restore(&mut trainer).unwrap();
            assert_eq!((restored.step, restored.refused), (at, vec![]), "{regimen}");
            let made: Vec<StepReport> = trainer.by_ref().take(cut - at).map(Result::unwrap).collect();
            assert_eq!(made, whole.0[at..cut], "{regimen}, from step {at}");
            checkpoints.save(&mut trainer).unwrap();
            at = cut;
        }
        let mut trainer = trainer(&settings, 1, with_dev);
        checkpoints.restore(&mut trainer).unwrap();
        let (reports, epochs, weights) = end(trainer);
        assert_eq!((reports, epochs), (whole.0[at..].to_vec(), whole.1), "{regimen}");
        assert!(weights == whole.2, "{regimen}: other weights");
    }
}

/// A run of four checkpoints, all of which stay.
fn four() -> (tempfile::TempDir, TrainSettings) {
    let (directory, settings) = (tempfile::tempdir().unwrap(), settings(Regimen::All));
    let mut trainer = trainer(&settings, 1, true);
    for step in 1..=4 {
        trainer.next().unwrap().unwrap();
        if step > 1 {
            Checkpoints::new(directory.path(), 9).save(&mut trainer).unwrap();
        }
    }
    trainer.next().unwrap().unwrap();
    Checkpoints::new(directory.path(), 9).save(&mut trainer).unwrap();
    (directory, settings)
}

fn path(directory: &Path, step: usize) -> PathBuf {
    directory.join(format!("step-{step:08}"))
}

#[test]
fn damaged_checkpoints_are_refused_by_name_and_the_one_before_is_used() {
    let (directory, settings) = four();
    let at = directory.path();
    let checkpoints = Checkpoints::new(at, 9);
    let file = |step, name: &str| path(at, step).join(name);
    // One bit in the middle of the weights.
    let mut numbers = fs::read(file(5, "numbers.safetensors")).unwrap();
    let middle = numbers.len() / 2;
    numbers[middle] ^= 1;
    fs::write(file(5, "numbers.safetensors"), numbers).unwrap();
    fs::remove_file(file(4, "state.json")).unwrap();
    // What a killed process left.
    fs::create_dir(at.join(".apprentice-x.tmp")).unwrap();
    let mut restored = trainer(&settings, 1, true);
    let found = checkpoints.restore(&mut restored).unwrap();
    assert_eq!((found.step, restored.steps_made()), (3, 3));
    let why: Vec<&str> = found.refused.iter().map(|refused| &*refused.why).collect();
    assert_eq!(why.len(), 2);
    assert!(why[0].starts_with("numbers.safetensors does not agree with SHA256SUMS"), "{why:?}");
    assert!(why[1].starts_with("state.json: "), "{why:?}");
    assert!(!at.join(".apprentice-x.tmp").exists());

    // None is left: an error, and no fresh start.
    fs::write(file(3, "SHA256SUMS"), "").unwrap();
    fs::remove_dir_all(path(at, 2)).unwrap();
    let error = checkpoints.restore(&mut trainer(&settings, 1, true)).unwrap_err();
    assert!(matches!(&error, StudentError::NoCheckpoint { refused, .. } if refused.len() == 3), "{error}");
    assert!(error.to_string().contains("step-00000003: state.json does not agree with SHA256SUMS"), "{error}");
}

#[test]
fn every_flipped_bit_is_found_out() {
    let (directory, settings) = four();
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let flips = if std::env::var_os("APPRENTICE_CAMPAIGN").is_some() { 2_000 } else { 60 };
    let newest = path(directory.path(), 5);
    for _ in 0..flips {
        let name = ["numbers.safetensors", "state.json", "SHA256SUMS"][random.random_range(0..3)];
        let sound = fs::read(newest.join(name)).unwrap();
        let mut damaged = sound.clone();
        damaged[random.random_range(0..sound.len())] ^= 1 << random.random_range(0..8);
        fs::write(newest.join(name), damaged).unwrap();
        let found = Checkpoints::new(directory.path(), 9).restore(&mut trainer(&settings, 1, true)).unwrap();
        assert_eq!((found.step, found.refused.len()), (4, 1), "{name}");
        fs::write(newest.join(name), sound).unwrap();
    }
}

#[test]
fn checkpoints_of_other_settings_or_data_are_refused() {
    let (directory, settings) = four();
    let refused = |settings: &TrainSettings, with_dev| {
        Checkpoints::new(directory.path(), 9).restore(&mut trainer(settings, 1, with_dev)).unwrap_err().to_string()
    };
    for error in [
        refused(&TrainSettings { learning_rate: 1e-3, ..settings.clone() }, true),
        refused(&TrainSettings { seed: 2, ..settings.clone() }, true),
        refused(&TrainSettings { precision: Precision::Bf16, ..settings.clone() }, true),
        refused(&settings, false),
    ] {
        assert!(
            error.contains("step-00000005: it is of a run on other data, another architecture or other settings"),
            "{error}"
        );
    }
}

#[test]
fn only_the_newest_stay() {
    let (directory, settings) = (tempfile::tempdir().unwrap(), settings(Regimen::OriginalOnly));
    let (checkpoints, mut trainer) = (Checkpoints::new(directory.path(), 2), trainer(&settings, 1, false));
    for _ in 0..3 {
        trainer.next().unwrap().unwrap();
        checkpoints.save(&mut trainer).unwrap();
    }
    let mut names: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["step-00000002", "step-00000003"]);
}
