//! A network whose head is a linear-chain CRF.

use std::path::Path;

use apprentice_encoder::{
    AdamW, EncoderConfig, EncoderError, Network, NetworkOptions, PackedBatch, Parameters, Targets, Transitions,
    load_classifier, load_crf, load_encoder, save,
};

use crate::{pack, sequences, small_config};

const CLASSES: usize = 5;
const TENSORS: [&str; 3] = ["crf.transitions", "crf.start_transitions", "crf.end_transitions"];

/// Of classes `O B-X I-X B-Y I-Y`.
fn allowed() -> Transitions {
    let inside = |class: usize| class > 0 && class.is_multiple_of(2);
    let follows = |previous: usize, next: usize| previous == next || previous + 1 == next;
    Transitions::allowing(CLASSES, |c| !inside(c), |previous, next| !inside(next) || follows(previous, next))
}

fn network(config: EncoderConfig, threads: usize) -> Network {
    let parameters = Parameters::initialised(&config, CLASSES, 11).unwrap();
    let mut network = Network::new(config, parameters, &NetworkOptions::with_threads(Some(threads))).unwrap();
    network.add_crf(allowed()).unwrap();
    network
}

fn still_config() -> EncoderConfig {
    EncoderConfig { hidden_dropout_prob: 0.0, attention_probs_dropout_prob: 0.0, ..small_config() }
}

/// Windows of 12 and 30 tokens, whose rows are three sequences: the second goes from one window into the other.
struct Case {
    batch: PackedBatch,
    rows: Vec<usize>,
    classes: Vec<u32>,
    weights: Vec<f32>,
}

const ENDS: [usize; 3] = [10, 13, 42];

fn case() -> Case {
    let batch = pack(&sequences(&[12, 30]));
    let rows: Vec<usize> = (0..42).collect();
    let of_row = |row: usize| match row % 6 {
        1 => 1,
        2 if !ENDS.contains(&row) => 2,
        4 => 3,
        _ => 0,
    };
    let classes = rows.iter().map(|row| of_row(*row)).collect();
    Case { batch, classes, weights: rows.iter().map(|r| (r % 5) as f32 / 2.0).collect(), rows }
}

impl Case {
    fn targets(&self) -> Targets<'_> {
        Targets {
            weights: Some(&self.weights),
            sequences: Some(&ENDS),
            scale: 1.0 / 42.0,
            seed: 3,
            ..Targets::new(&self.rows, &self.classes)
        }
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let train = |threads| {
        let (mut network, case) = (network(small_config(), threads), case());
        for pass in 0..4 {
            network.accumulate(&case.batch, &Targets { pass, ..case.targets() }).unwrap();
            network.update(&AdamW::default(), 1e-3);
        }
        network.state().0.values().iter().map(|v| v.to_bits()).collect::<Vec<_>>()
    };
    let one = train(1);
    for threads in [2, 3, 8] {
        assert!(one == train(threads), "{threads} threads: other bits than one thread");
    }
}

#[test]
fn the_gradient_of_the_loss_is_its_slope() {
    let (mut network, case) = (network(still_config(), 2), case());
    let scores = network.state().0.layout().tensors().iter().find(|t| t.name == TENSORS[0]).unwrap().range.start;
    // Scores that tell something.
    let mut start = network.state().0.values().to_vec();
    start[scores..].iter_mut().enumerate().for_each(|(i, score)| *score = (i as f32 * 1.7).sin());
    network.set_parameters(&start).unwrap();
    network.accumulate(&case.batch, &case.targets()).unwrap();
    let gradient = network.gradients().unwrap().values().to_vec();
    for (what, part) in [("all", 0..start.len()), ("the CRF's scores", scores..start.len())] {
        let square: f64 = gradient[part.clone()].iter().map(|g| f64::from(*g).powi(2)).sum();
        // A step along the gradient: far enough that rounding does not matter, near enough that curvature does not.
        let size = 2e-3 / square.sqrt();
        let mut loss = |sign: f64| {
            let mut moved = start.clone();
            for (value, slope) in moved[part.clone()].iter_mut().zip(&gradient[part.clone()]) {
                *value += (sign * size) as f32 * slope;
            }
            network.set_parameters(&moved).unwrap();
            network.accumulate(&case.batch, &case.targets()).unwrap() / 42.0
        };
        let slope = (loss(1.0) - loss(-1.0)) / (2.0 * size);
        assert!((slope / square - 1.0).abs() < 1e-2, "{what}: slope {slope}, squared gradient {square}");
    }
}

#[test]
fn forbidden_transitions_stay_as_they_are_and_the_others_learn_at_the_heads_rate() {
    let (mut network, case) = (network(still_config(), 2), case());
    network.accumulate(&case.batch, &case.targets()).unwrap();
    network.update(&AdamW { head_rate: 10.0, layer_decay: 0.5, weight_decay: 0.1, ..AdamW::default() }, 1e-3);
    let learnt = network.transitions().unwrap();
    let score_and_mask = |of: fn(&Transitions, usize) -> &[f32], row| {
        of(&learnt, row).iter().copied().zip(of(&allowed(), row).to_vec()).collect::<Vec<_>>()
    };
    let after = (0..CLASSES).flat_map(|class| score_and_mask(Transitions::after, class));
    let ends = [score_and_mask(|t, _| t.start(), 0), score_and_mask(|t, _| t.end(), 0)];
    let all: Vec<(f32, f32)> = after.chain(ends.into_iter().flatten()).collect();
    for (score, mask) in &all {
        // The first step of Adam moves every number with a gradient by the rate.
        let expected =
            if mask.is_finite() { (score.abs() - 1e-2).abs() < 1e-4 } else { score.to_bits() == mask.to_bits() };
        assert!(expected, "a score of {score}, where {mask} was allowed");
    }
    assert_eq!(all.iter().filter(|(score, _)| score.is_infinite()).count(), 8);
    let stored = network.state().0.values();
    assert_eq!(stored[stored.len() - 35..].iter().filter(|score| **score == 0.0).count(), 8);
}

#[test]
fn gradients_of_two_batches_add_up() {
    let case = case();
    let gradients = |parts: &[(usize, std::ops::Range<usize>, &[usize])]| {
        let mut network = network(still_config(), 2);
        let mut loss = 0.0;
        for (length, rows, ends) in parts {
            let batch = if *length == 42 { case.batch.clone() } else { pack(&sequences(&[*length])) };
            let own: Vec<usize> = (0..rows.len()).collect();
            let targets = Targets { rows: &own, classes: &case.classes[rows.clone()], ..case.targets() };
            let targets = Targets { weights: Some(&case.weights[rows.clone()]), sequences: Some(ends), ..targets };
            loss += network.accumulate(&batch, &targets).unwrap();
        }
        (loss, network.gradients().unwrap().values().to_vec())
    };
    let whole = gradients(&[(42, 0..42, &[12, 42])]);
    let parts = gradients(&[(12, 0..12, &[12]), (30, 12..42, &[30])]);
    assert!((whole.0 - parts.0).abs() < 1e-4, "{} in one batch, {} in two", whole.0, parts.0);
    let largest = whole.1.iter().fold(0.0_f32, |a, b| a.max(b.abs()));
    for (a, b) in whole.1.iter().zip(&parts.1) {
        assert!((a - b).abs() < 1e-5 * largest, "{a} in one batch, {b} in two");
    }
}

#[test]
fn logits_are_those_of_the_same_network_without() {
    let parameters = Parameters::initialised(&small_config(), CLASSES, 11).unwrap();
    let mut plain = Network::new(small_config(), parameters, &NetworkOptions::with_threads(Some(2))).unwrap();
    let (mut network, case) = (network(small_config(), 2), case());
    assert!(plain.transitions().is_none());
    assert_eq!(
        plain.logits(&case.batch, &case.rows).unwrap().to_vec(),
        network.logits(&case.batch, &case.rows).unwrap()
    );
    // What is not a CRF does not look at sequences.
    let loss = |sequences| Targets { sequences, ..case.targets() };
    let first = plain.accumulate(&case.batch, &loss(None)).unwrap();
    assert_eq!(first.to_bits(), plain.accumulate(&case.batch, &loss(Some(&[7]))).unwrap().to_bits());
}

#[test]
fn what_makes_no_sequences_is_named() {
    let (mut network, case) = (network(small_config(), 1), case());
    let mut message = |targets: &Targets<'_>| network.accumulate(&case.batch, targets).unwrap_err().to_string();
    let with = |sequences| Targets { sequences, ..case.targets() };
    assert_eq!(message(&with(None)), "linear-chain CRF: no ends of sequences were given");
    let short = "linear-chain CRF: ends of sequences up to 41, expected ascending ones up to 42";
    assert_eq!(message(&with(Some(&[10, 41]))), short);
    assert!(message(&with(Some(&[20, 10, 42]))).contains("expected ascending ones"));
    assert!(message(&with(Some(&[]))).contains("up to 0"));
    // Row 2 goes on with what row 1 began.
    assert_eq!(message(&with(Some(&[2, 42]))), "linear-chain CRF: class 2 may not stand at place 0 of its sequence");
    let error = network.add_crf(allowed()).unwrap_err().to_string();
    assert_eq!(error, "linear-chain CRF: the network has one, expected a network without");
    let parameters = Parameters::initialised(&small_config(), 4, 11).unwrap();
    let mut other = Network::new(small_config(), parameters, &NetworkOptions::default()).unwrap();
    let error = other.add_crf(allowed()).unwrap_err().to_string();
    assert_eq!(error, "linear-chain CRF: transitions of 5 classes, expected 4");
}

/// Saves a network with a CRF of scores that tell something, which `change` may change.
fn saved(path: &Path, change: impl Fn(&mut [f32])) -> Network {
    let mut network = network(small_config(), 1);
    let mut values = network.state().0.values().to_vec();
    let scores = values.len() - 35;
    values[scores..].iter_mut().enumerate().for_each(|(i, score)| *score = (i as f32).cos());
    change(&mut values[scores..]);
    network.set_parameters(&values).unwrap();
    save(network.state().0, path).unwrap();
    network
}

#[test]
fn what_was_saved_is_loaded_and_faults_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.safetensors");
    let config = small_config();
    let mut before = saved(&path, |_| ());
    let loaded = load_crf(&path, &config, allowed()).unwrap();
    assert_eq!(loaded.values(), before.state().0.values());
    let names = loaded.layout().tensors().iter().rev().map(|t| t.name.as_str());
    assert!(names.take(3).eq(TENSORS.into_iter().rev()));
    let after = Network::new(config.clone(), loaded, &NetworkOptions::default()).unwrap();
    assert_eq!(before.transitions(), after.transitions());
    // It serves as a model without, and as an encoder.
    let plain = load_classifier(&path, &config, CLASSES).unwrap();
    assert_eq!(plain.values(), &before.state().0.values()[..plain.values().len()]);
    load_encoder(&path, &config, 3, 1).unwrap();

    // Whatever stands where nothing may.
    saved(&path, |scores| scores[2] = 9.0);
    let odd = Network::new(config.clone(), load_crf(&path, &config, allowed()).unwrap(), &NetworkOptions::default());
    assert_eq!(odd.unwrap().transitions(), before.transitions());

    for (at, name) in [(7, TENSORS[0]), (26, TENSORS[1]), (34, TENSORS[2])] {
        saved(&path, |scores| scores[at] = f32::NAN);
        let error = load_crf(&path, &config, allowed()).unwrap_err();
        assert!(matches!(&error, EncoderError::TensorValue { name: found, .. } if found == name), "{error}");
    }
    let six = Transitions::allowing(CLASSES + 1, |_| true, |_, _| true);
    let error = load_crf(&path, &config, six).unwrap_err().to_string();
    assert!(error.contains("`classifier.weight` has shape [5, 48]"), "{error}");
    save(&Parameters::initialised(&config, CLASSES, 1).unwrap(), &path).unwrap();
    let error = load_crf(&path, &config, allowed()).unwrap_err();
    assert!(matches!(&error, EncoderError::MissingTensor { name, .. } if name == TENSORS[0]), "{error}");
}
