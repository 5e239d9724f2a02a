//! Masked language modelling on a toy language.

use std::{fs, path::Path};

use apprentice_core::corpus::{ReadOptions, Source};
use apprentice_encoder::{NetworkOptions, NumberFormat};
use apprentice_student::{
    Checkpoints, HeldOut, Imitated, LanguageModel, PretrainSettings, PretrainStep, Pretrainer, Student, StudentError,
    labels::Labels,
};

use crate::toy;

/// Documents of two lines each, some of which are repeated.
fn text(documents: usize) -> Vec<Source> {
    let lines: Vec<String> =
        toy(2 * documents, 0).iter().enumerate().map(|(i, s)| format!("{} {}", s.text(), i % 97)).collect();
    let text: Vec<String> = lines.chunks(2).map(|document| document.join("\n")).collect();
    vec![Source::bytes("toy.txt".as_ref(), text.join("\n\n"))]
}

fn settings() -> PretrainSettings {
    PretrainSettings {
        epochs: 2.0,
        max_length: 24,
        batch_tokens: 200,
        accumulation: 2,
        learning_rate: 5e-3,
        evaluate_steps: 10,
        ..PretrainSettings::default()
    }
}

fn model(threads: usize, settings: &PretrainSettings) -> LanguageModel {
    let options = NetworkOptions::with_threads(Some(threads));
    let reading = ReadOptions::unlabelled();
    LanguageModel::from_scratch("2x32x2".parse().unwrap(), (&text(800), &reading), 150, settings, &options).unwrap()
}

fn pretrainer(directory: &Path, threads: usize) -> Pretrainer {
    let (settings, reading) = (settings(), ReadOptions::unlabelled());
    let model = model(threads, &settings);
    Pretrainer::new(model, (&text(800), &reading), directory, &settings).unwrap().0
}

fn saved(pretrainer: Pretrainer) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    pretrainer.into_model().save(directory.path(), "", NumberFormat::F32).unwrap();
    fs::read(directory.path().join("model.safetensors")).unwrap()
}

#[test]
fn hidden_words_are_found_better_and_better() {
    let directory = tempfile::tempdir().unwrap();
    let mut pretrainer = pretrainer(directory.path(), 2);
    let text = pretrainer.text();
    assert!(text.sequences > 100 && text.held_out > 0, "{text:?}");
    let before = pretrainer.score().unwrap();
    // Nothing is known yet: all of the vocabulary is as good.
    assert!((100.0..250.0).contains(&before.perplexity), "{before:?}");
    let steps: Vec<PretrainStep> = pretrainer.by_ref().map(Result::unwrap).collect();
    assert_eq!(steps.len(), pretrainer.total_steps());
    assert!(steps.iter().all(|step| step.tokens >= 200 && step.hidden > 0));
    // A step may have a part of a sequence more than it should.
    assert!((2.0..2.2).contains(&steps.last().unwrap().epoch));
    let scored: Vec<HeldOut> = steps.iter().filter_map(|step| step.held_out).collect();
    assert_eq!(scored.len(), steps.len().div_ceil(10));
    let after = scored.last().unwrap();
    assert!(
        after.hidden > 10 && after.perplexity < before.perplexity / 5.0 && after.accuracy > 0.2,
        "{before:?}, then {after:?}"
    );
    assert!((after.loss.exp() - after.perplexity).abs() < 1e-9);
    assert_eq!(pretrainer.score().unwrap(), *after);
}

#[test]
fn a_pretraining_that_was_cut_off_ends_with_the_same_bits() {
    let directory = tempfile::tempdir().unwrap();
    let mut whole = pretrainer(directory.path(), 1);
    let steps: Vec<PretrainStep> = whole.by_ref().map(Result::unwrap).collect();
    let whole = saved(whole);
    let checkpoints = Checkpoints::new(directory.path().join("checkpoints"), 1);
    let mut begun = pretrainer(directory.path(), 2);
    for step in &steps[..17] {
        assert_eq!(begun.next().unwrap().unwrap(), *step);
    }
    checkpoints.save(&mut begun).unwrap();
    // The text is not tokenised again.
    let mut resumed = Pretrainer::on(model(1, &settings()), directory.path(), &settings()).unwrap();
    assert_eq!(checkpoints.restore(&mut resumed).unwrap().step, 17);
    assert!(resumed.by_ref().map(Result::unwrap).eq(steps[17..].iter().cloned()));
    assert!(saved(resumed) == whole);
    let other = PretrainSettings { mask_share: 0.3, ..settings() };
    let mut other = Pretrainer::on(model(1, &other), directory.path(), &other).unwrap();
    assert!(checkpoints.restore(&mut other).is_err());
}

/// One with another vocabulary, which lower-cases.
fn imitator(threads: usize) -> LanguageModel {
    let options = NetworkOptions::with_threads(Some(threads));
    let encoder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bert");
    model(threads, &settings()).imitating(Imitated::read(&encoder, None, &options).unwrap(), &settings()).unwrap()
}

#[test]
fn states_of_another_encoder_are_imitated() {
    let directory = tempfile::tempdir().unwrap();
    let (settings, reading) = (settings(), ReadOptions::unlabelled());
    let (mut whole, _) = Pretrainer::new(imitator(1), (&text(800), &reading), directory.path(), &settings).unwrap();
    let steps: Vec<PretrainStep> = whole.by_ref().map(Result::unwrap).collect();
    let losses: Vec<f64> = steps.iter().map(|step| step.imitation_loss.unwrap()).collect();
    let last = losses[losses.len() - 10..].iter().sum::<f64>() / 10.0;
    // The states have variance 1.
    assert!((0.8..1.3).contains(&losses[0]) && last < 0.6, "from {} to {last}", losses[0]);
    let accuracy = steps.last().unwrap().held_out.unwrap().accuracy;
    assert!(accuracy > 0.2, "{accuracy}");

    let checkpoints = Checkpoints::new(directory.path().join("checkpoints"), 1);
    let mut begun = Pretrainer::on(imitator(2), directory.path(), &settings).unwrap();
    assert!(begun.by_ref().take(9).map(Result::unwrap).eq(steps[..9].iter().cloned()));
    checkpoints.save(&mut begun).unwrap();
    let mut resumed = Pretrainer::on(imitator(1), directory.path(), &settings).unwrap();
    checkpoints.restore(&mut resumed).unwrap();
    assert!(resumed.by_ref().map(Result::unwrap).eq(steps[9..].iter().cloned()));
    assert!(saved(resumed) == saved(whole));
    // Without its model a run is another one, and with fewer of its layers.
    let mut other = Pretrainer::on(model(1, &settings), directory.path(), &settings).unwrap();
    assert!(checkpoints.restore(&mut other).is_err());
    let two_layers = directory.path().join("two-layers");
    fs::create_dir(&two_layers).unwrap();
    model(1, &settings).save(&two_layers, "", NumberFormat::F32).unwrap();
    let imitated = |layers| Imitated::read(&two_layers, layers, &NetworkOptions::with_threads(Some(1)));
    let [mut all, mut one] = [None, Some(1)].map(|layers| {
        let model = model(1, &settings).imitating(imitated(layers).unwrap(), &settings).unwrap();
        Pretrainer::on(model, directory.path(), &settings).unwrap()
    });
    let checkpoints = Checkpoints::new(directory.path().join("checkpoints-of-all"), 1);
    checkpoints.save(&mut all).unwrap();
    assert!(checkpoints.restore(&mut one).is_err());
    for layers in [0, 100] {
        let error = imitated(Some(layers)).err().unwrap().to_string();
        assert!(error.starts_with("imitate_layers = "), "{error}");
    }
}

#[test]
fn what_is_saved_is_an_encoder_and_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let mut pretrainer = pretrainer(directory.path(), 1);
    for _ in 0..12 {
        pretrainer.next().unwrap().unwrap();
    }
    let score = pretrainer.score().unwrap();
    let encoder = directory.path().join("encoder");
    fs::create_dir(&encoder).unwrap();
    pretrainer.into_model().save(&encoder, "", NumberFormat::F32).unwrap();
    let config: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(encoder.join("config.json")).unwrap()).unwrap();
    assert_eq!(config["architectures"][0], "BertForMaskedLM");
    assert_eq!(config["hidden_dropout_prob"], 0.1);

    let options = NetworkOptions::with_threads(Some(1));
    let model = LanguageModel::from_encoder(&encoder, &settings(), &options).unwrap();
    let mut again = Pretrainer::on(model, directory.path(), &settings()).unwrap();
    assert_eq!(again.score().unwrap(), score);
    let labels = Labels::iob2(["LOC", "PER"]);
    let mut student = Student::from_encoder(&encoder, labels, 1, &options).unwrap();
    assert_eq!(student.predict(&toy(3, 0), None).unwrap().len(), 3);
}

#[test]
fn the_same_text_gives_the_same_vocabulary() {
    let vocabularies = [1, 2].map(|_| {
        let directory = tempfile::tempdir().unwrap();
        model(1, &settings()).save(directory.path(), "", NumberFormat::F32).unwrap();
        fs::read_to_string(directory.path().join("vocab.txt")).unwrap()
    });
    assert_eq!(vocabularies[0], vocabularies[1]);
    assert!(vocabularies[0].starts_with("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n"));
}

#[test]
fn what_makes_no_sense_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let reading = ReadOptions::unlabelled();
    let error = |sources: &[Source], settings: &PretrainSettings| {
        let model = model(1, &self::settings());
        Pretrainer::new(model, (sources, &reading), directory.path(), settings).err().unwrap().to_string()
    };
    let one = [Source::bytes("one.txt".as_ref(), "a single document")];
    assert!(
        error(&one, &settings()).contains("expected more text: at least two documents"),
        "{}",
        error(&one, &settings())
    );
    let short = PretrainSettings { max_length: 2, ..settings() };
    assert!(error(&text(20), &short).contains("room for the special tokens"));
    for (settings, setting) in [
        (PretrainSettings { epochs: 0.0, ..settings() }, "epochs"),
        (PretrainSettings { mask_share: 1.5, ..settings() }, "mask_share"),
        (PretrainSettings { dropout: 1.0, ..settings() }, "dropout"),
        (PretrainSettings { learning_rate: f64::NAN, ..settings() }, "learning_rate"),
    ] {
        assert!(error(&text(20), &settings).starts_with(setting), "{}", error(&text(20), &settings));
    }
    let roberta = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/roberta");
    let options = NetworkOptions::with_threads(Some(1));
    let refused = LanguageModel::from_encoder(&roberta, &settings(), &options).err().unwrap();
    assert!(matches!(refused, StudentError::Encoder(_)), "{refused}");
}
