//! The same numbers as transformers: logits, loss, every gradient, ten optimiser steps. The fixtures are made by
//! `tests/fixtures/make_parity.py`, for every family of encoders.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use apprentice_encoder::{
    AdamW, EncoderConfig, Family, Network, NetworkOptions, PackedBatch, Parameters, Targets, load_classifier,
    load_encoder, load_language_model,
};
use safetensors::SafeTensors;
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    optimiser: Optimiser,
    sequences: Vec<Vec<u32>>,
    labels: Vec<Vec<i64>>,
    logits: Vec<f32>,
    losses: Vec<f64>,
    #[serde(default)]
    gradients: HashMap<String, Summary>,
}

#[derive(Deserialize)]
struct Optimiser {
    rate: f32,
    weight_decay: f32,
    max_gradient_norm: f32,
}

#[derive(Deserialize)]
struct Summary {
    norm: f64,
    values: Vec<(usize, f64)>,
}

/// The fixture's network and batch, with dropout off.
struct Case {
    fixture: Fixture,
    network: Network,
    batch: PackedBatch,
    rows: Vec<usize>,
    classes: Vec<u32>,
}

const CLASSES: usize = 5;

impl Case {
    fn new(fixture: &Path, mut config: EncoderConfig, parameters: Parameters) -> Self {
        config.hidden_dropout_prob = 0.0;
        config.attention_probs_dropout_prob = 0.0;
        let fixture: Fixture = serde_json::from_str(&std::fs::read_to_string(fixture).unwrap()).unwrap();
        let batch = crate::pack(&fixture.sequences);
        let labels: Vec<i64> = fixture.labels.concat();
        let rows: Vec<usize> = (0..labels.len()).filter(|&i| labels[i] >= 0).collect();
        let classes = rows.iter().map(|&i| labels[i] as u32).collect();
        let network = Network::new(config, parameters, &NetworkOptions::default()).unwrap();
        Self { fixture, network, batch, rows, classes }
    }

    fn largest_logit_difference(&mut self) -> f64 {
        let all: Vec<usize> = (0..self.batch.tokens()).collect();
        let ours = self.network.logits(&self.batch, &all).unwrap();
        assert_eq!(ours.len(), self.fixture.logits.len());
        ours.iter().zip(&self.fixture.logits).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max)
    }

    /// The mean loss, its gradients added up.
    fn accumulate(&mut self) -> f64 {
        let n = self.rows.len() as f32;
        let targets = Targets { scale: 1.0 / n, ..Targets::new(&self.rows, &self.classes) };
        self.network.accumulate(&self.batch, &targets).unwrap() / f64::from(n)
    }

    /// The largest difference of the losses of ten steps.
    fn largest_loss_difference(&mut self) -> f64 {
        let Optimiser { rate, weight_decay, max_gradient_norm } = self.fixture.optimiser;
        let adam = AdamW { weight_decay, max_gradient_norm, ..AdamW::default() };
        let mut largest = 0.0_f64;
        for step in 0..self.fixture.losses.len() {
            if step > 0 {
                self.network.update(&adam, rate);
                self.accumulate();
            }
            // The gradient of the next update was accumulated above; the loss of this step is asked for once more.
            let loss = self.loss();
            largest = largest.max((loss - self.fixture.losses[step]).abs());
        }
        largest
    }

    fn loss(&mut self) -> f64 {
        let logits = self.network.logits(&self.batch, &self.rows).unwrap();
        let width = logits.len() / self.rows.len();
        let mut sum = 0.0;
        for (row, &class) in logits.chunks_exact(width).zip(&self.classes) {
            let total: f64 = row.iter().map(|v| f64::from(*v).exp()).sum();
            sum += total.ln() - f64::from(row[class as usize]);
        }
        sum / self.rows.len() as f64
    }
}

/// The folder of a family's fixture.
fn fixture(family: Family) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(family.model_type())
}

/// Holds a small model in a folder, which `load` loads, against what transformers computed with it.
#[expect(clippy::print_stdout, reason = "with --nocapture the differences are shown")]
fn check(directory: &Path, config: EncoderConfig, load: impl Fn(&Path) -> Parameters) {
    let parameters = load(&directory.join("model.safetensors"));
    let mut case = Case::new(&directory.join("parity.json"), config, parameters);
    let logits = case.largest_logit_difference();
    let loss = case.accumulate();
    let loss_difference = (loss - case.fixture.losses[0]).abs();
    // The gradients file has the names and shapes of a model.
    let expected = load(&directory.join("gradients.safetensors"));
    let mut worst = (0.0, String::new());
    for ((tensor, ours), (_, theirs)) in case.network.gradients().unwrap().tensors().zip(expected.tensors()) {
        let difference = ours.iter().zip(theirs).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max);
        let largest = theirs.iter().map(|v| f64::from(v.abs())).fold(0.0, f64::max);
        // Keys' biases get no gradient but rounding: softmax ignores what is added to a whole row.
        let relative = difference / largest.max(1e-4);
        if relative > worst.0 {
            worst = (relative, tensor.name.clone());
        }
    }
    let steps = case.largest_loss_difference();
    let name = directory.file_name().unwrap().display();
    println!("{name}: logits {logits:.2e}, loss {loss_difference:.2e}, gradients {worst:?}, ten losses {steps:.2e}");
    assert!(logits < 1e-4 && loss_difference < 1e-5 && worst.0 < 1e-3 && steps < 1e-4, "{name}");
}

#[test]
fn small_random_models_of_every_family() {
    for family in Family::ALL {
        let directory = fixture(family);
        let config = EncoderConfig::read(&directory.join("config.json")).unwrap();
        assert_eq!(config.family, family);
        check(&directory, config.clone(), |path| load_classifier(path, &config, CLASSES).unwrap());
    }
}

#[test]
fn a_small_random_masked_language_model() {
    let directory = fixture(Family::Bert).with_file_name("bert-language");
    let config = EncoderConfig::read(&directory.join("config.json")).unwrap();
    check(&directory, config.clone(), |path| load_language_model(path, &config, 1).unwrap());
}

/// What is saved has the names, shapes and bits of what transformers saved, and so loads there as the same model.
#[test]
fn saved_tensors_are_those_of_transformers() {
    let directory = tempfile::tempdir().unwrap();
    let saved = directory.path().join("model.safetensors");
    for family in Family::ALL {
        let theirs = fixture(family).join("model.safetensors");
        let config = EncoderConfig::read(&fixture(family).join("config.json")).unwrap();
        apprentice_encoder::save(&load_classifier(&theirs, &config, CLASSES).unwrap(), &saved).unwrap();
        let [ours, theirs] = [&saved, &theirs].map(|path| std::fs::read(path).unwrap());
        let [ours, theirs] = [&ours, &theirs].map(|bytes| SafeTensors::deserialize(bytes).unwrap());
        let sorted = |file: &SafeTensors<'_>| {
            let mut tensors: Vec<_> =
                file.iter().map(|(n, v)| (n.to_owned(), v.shape().to_vec(), v.data().to_vec())).collect();
            tensors.sort_unstable();
            tensors
        };
        assert!(sorted(&ours) == sorted(&theirs), "{}: other tensors", family.model_type());
    }
}

#[test]
fn minilm() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let encoder = root.join("../../../shared/models/all-minilm-l6-v2");
    if !encoder.exists() {
        println!("skipped: {} is not here", encoder.display());
        return;
    }
    let config = EncoderConfig::read(&encoder.join("config.json")).unwrap();
    let mut parameters = load_encoder(&encoder.join("model.safetensors"), &config, CLASSES, 0).unwrap();
    let head = parameters.layout().tensors().iter().find(|t| t.name == "classifier.weight").unwrap().range.clone();
    for (i, v) in parameters.values_mut()[head].iter_mut().enumerate() {
        *v = (0.02 * (1.0 + i as f64).sin()) as f32;
    }
    let mut case = Case::new(&root.join("tests/fixtures/minilm.json"), config, parameters);

    let logits = case.largest_logit_difference();
    let loss_difference = (case.accumulate() - case.fixture.losses[0]).abs();
    let (mut norms, mut values) = ((0.0, String::new()), (0.0, String::new()));
    for (tensor, ours) in case.network.gradients().unwrap().tensors() {
        let theirs = &case.fixture.gradients[&tensor.name];
        let norm = ours.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        let largest = theirs.values.iter().map(|(_, v)| v.abs()).fold(0.0, f64::max);
        let difference = theirs.values.iter().map(|&(i, v)| (f64::from(ours[i]) - v).abs()).fold(0.0, f64::max);
        for (worst, relative) in [
            (&mut norms, (norm - theirs.norm).abs() / theirs.norm.max(1e-4)),
            (&mut values, difference / largest.max(1e-4)),
        ] {
            if relative > worst.0 {
                *worst = (relative, tensor.name.clone());
            }
        }
    }
    let steps = case.largest_loss_difference();
    println!(
        "MiniLM: logits {logits:.2e}, loss {loss_difference:.2e}, gradient norms {norms:?}, values {values:?}, \
         ten losses {steps:.2e}"
    );
    assert!(logits < 1e-4 && loss_difference < 1e-5 && norms.0 < 1e-3 && values.0 < 1e-3 && steps < 1e-3);
}
