//! What must hold whatever the numbers are.

use apprentice_encoder::{
    AdamW, EncoderConfig, EncoderError, Family, Network, NetworkOptions, PackedBatch, Parameters, Precision,
    StateTargets, Targets, load_classifier,
};

use crate::{pack, sequences, small_config};

const CLASSES: usize = 7;

fn network(threads: usize) -> Network {
    network_of(small_config(), threads)
}

fn network_of(config: EncoderConfig, threads: usize) -> Network {
    network_in(Precision::F32, config, threads)
}

fn network_in(precision: Precision, config: EncoderConfig, threads: usize) -> Network {
    let parameters = Parameters::initialised(&config, CLASSES, 11).unwrap();
    let mut options = NetworkOptions::with_threads(Some(threads));
    options.precision = precision;
    Network::new(config, parameters, &options).unwrap()
}

/// A small model of every family.
fn configs() -> impl Iterator<Item = EncoderConfig> {
    Family::ALL.into_iter().map(|family| {
        let of_family = EncoderConfig::of(family);
        let embedding_size = of_family.embedding_size.map(|_| 20);
        let (pad_token_id, max_position_embeddings) = (of_family.pad_token_id, 40 + of_family.first_position());
        EncoderConfig { family, embedding_size, pad_token_id, max_position_embeddings, ..small_config() }
    })
}

/// Five training steps with dropout; the parameters' bits afterwards.
fn train(mut network: Network) -> Vec<u32> {
    let batch = pack(&sequences(&[5, 1, 40, 17, 2, 9, 33]));
    let rows: Vec<usize> = (0..batch.tokens()).step_by(2).collect();
    let classes: Vec<u32> = rows.iter().map(|r| (r % CLASSES) as u32).collect();
    for pass in 0..5 {
        let targets = Targets { scale: 1.0 / rows.len() as f32, seed: 3, pass, ..Targets::new(&rows, &classes) };
        network.accumulate(&batch, &targets).unwrap();
        network.update(&AdamW::default(), 1e-3);
    }
    network.state().0.values().iter().map(|v| v.to_bits()).collect()
}

#[test]
fn threads_do_not_change_a_bit() {
    for (config, precision) in
        configs().flat_map(|config| [Precision::F32, Precision::Bf16].map(|p| (config.clone(), p)))
    {
        let one = train(network_in(precision, config.clone(), 1));
        for threads in [2, 3, 8] {
            let other = train(network_in(precision, config.clone(), threads));
            assert!(one == other, "{:?}, {precision}, {threads} threads: other bits than one thread", config.family);
        }
    }
}

#[test]
fn neighbours_do_not_change_a_bit() {
    configs().for_each(|config| compare_alone_and_together(network_of(config, 2)));
}

/// Rounding is seen in the logits, stays small, and does not depend on threads, neighbours and parameters from before.
#[test]
fn rounded_logits_are_close_and_do_not_look_at_neighbours_either() {
    for (config, (precision, most)) in
        configs().flat_map(|config| [(Precision::Bf16, 0.03), (Precision::Int8, 0.1)].map(|p| (config.clone(), p)))
    {
        let batch = pack(&sequences(&[5, 1, 40, 17]));
        let rows: Vec<usize> = (0..batch.tokens()).rev().step_by(3).collect();
        let exact = network_of(config.clone(), 2).logits(&batch, &rows).unwrap().to_vec();
        let mut network = network_in(precision, config.clone(), 1);
        let rounded = network.logits(&batch, &rows).unwrap().to_vec();
        assert_eq!(rounded, network_in(precision, config.clone(), 3).logits(&batch, &rows).unwrap());
        let largest = exact.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
        let error = exact.iter().zip(&rounded).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
        assert!(error > 0.0 && error < most * largest, "{:?}, {precision}: off by {error} of {largest}", config.family);
        // Another precision takes its own weights, and other parameters are rounded anew.
        network.set_precision(Precision::F32);
        assert_eq!(network.logits(&batch, &rows).unwrap(), exact);
        network.set_precision(precision);
        assert_eq!(network.logits(&batch, &rows).unwrap(), rounded);
        let zeros = vec![0.0; network.state().0.values().len()];
        network.set_parameters(&zeros).unwrap();
        assert!(network.logits(&batch, &rows).unwrap().iter().all(|logit| *logit == 0.0));
        compare_alone_and_together(network_in(precision, config, 2));
    }
}

#[test]
fn eight_bits_do_not_train() {
    let mut network = network_in(Precision::Int8, small_config(), 1);
    let error = network.accumulate(&pack(&sequences(&[4])), &Targets::new(&[1], &[0])).unwrap_err();
    assert!(error.to_string().contains("int8, which is for prediction alone"), "{error}");
}

/// What is learnt in bf16 is what is learnt in f32: gradients point the same way, and losses fall alike. Weights are rounded
/// anew after each step.
#[test]
fn bf16_learns_as_f32_does() {
    let batch = pack(&sequences(&[5, 1, 40, 17, 2, 9, 33]));
    let rows: Vec<usize> = (0..batch.tokens()).step_by(2).collect();
    let classes: Vec<u32> = rows.iter().map(|r| (r % CLASSES) as u32).collect();
    let [exact, rounded] = [Precision::F32, Precision::Bf16].map(|precision| {
        let mut network = network_in(precision, small_config(), 2);
        let targets = Targets { scale: 1.0 / rows.len() as f32, seed: 3, ..Targets::new(&rows, &classes) };
        network.accumulate(&batch, &targets).unwrap();
        let gradient = network.gradients().unwrap().values().to_vec();
        let mut losses = Vec::new();
        for pass in 0..120 {
            losses.push(network.accumulate(&batch, &Targets { pass, ..targets }).unwrap() / rows.len() as f64);
            network.update(&AdamW::default(), 2e-3);
        }
        (gradient, losses)
    });
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let cosine = dot(&exact.0, &rounded.0) / (dot(&exact.0, &exact.0) * dot(&rounded.0, &rounded.0)).sqrt();
    assert!(cosine > 0.999 && exact.0 != rounded.0, "gradients: cosine {cosine}");
    for (step, (exact, rounded)) in exact.1.iter().zip(&rounded.1).take(30).enumerate() {
        assert!((exact - rounded).abs() < 0.02, "step {step}: loss {rounded}, in f32 {exact}");
    }
    for losses in [exact.1, rounded.1] {
        let last = losses[100..].iter().sum::<f64>() / 20.0;
        assert!(losses[0] > 2.0 && last < 0.4, "losses from {} to {last}", losses[0]);
    }
}

/// Rows of the word embeddings make the steps that they have no gradient for when they are next looked at: the same bits as
/// when somebody looks after every step.
#[test]
fn steps_without_a_gradient_can_be_made_later() {
    let adam = AdamW { weight_decay: 0.1, layer_decay: 0.9, ..AdamW::default() };
    let train = |weight_decay: f32, look: bool, resume: bool| {
        let mut network = network(2);
        for pass in 0..12_u64 {
            // Other words at every step, some of them again later.
            let mut batch = PackedBatch::default();
            batch.push(&[1 + pass as u32 % 4, 5 + pass as u32, 3]);
            batch.push(&[7, 2 * pass as u32]);
            let targets = Targets { pass, ..Targets::new(&[0, 3], &[1, 2]) };
            network.accumulate(&batch, &targets).unwrap();
            if pass == 5 {
                // Gradients of two batches, one of which brings more words.
                network.accumulate(&batch, &Targets { pass: 90, ..targets }).unwrap();
            }
            let rate = 1e-2 / (1.0 + pass as f32);
            network.update(&AdamW { weight_decay, ..adam }, rate);
            if look {
                let _ = network.state().0;
            }
            if resume && pass == 7 {
                let (parameters, moments) = network.state();
                let (parameters, ([first, second], steps)) = (parameters.clone(), moments.unwrap());
                let moments = [first.to_vec(), second.to_vec()];
                network = Network::new(small_config(), parameters, &NetworkOptions::default()).unwrap();
                network.set_moments(moments, steps).unwrap();
            }
        }
        let (parameters, moments) = network.state();
        let ([first, second], steps) = moments.unwrap();
        let numbers = parameters.values().iter().chain(first).chain(second);
        (numbers.map(|v| v.to_bits()).collect::<Vec<_>>(), steps)
    };
    for weight_decay in [0.0, 0.1] {
        let at_once = train(weight_decay, true, false);
        assert!(at_once == train(weight_decay, false, false), "later: other bits, decay {weight_decay}");
        assert!(at_once == train(weight_decay, false, true), "resumed: other bits, decay {weight_decay}");
    }
}

/// The last layer computes the rows that are asked for, and only those.
#[test]
fn rows_do_not_depend_on_which_others_are_asked_for() {
    for config in configs() {
        let batch = pack(&sequences(&[5, 1, 40, 17]));
        let mut network = network_of(config, 2);
        let all: Vec<usize> = (0..batch.tokens()).collect();
        let whole = network.logits(&batch, &all).unwrap().to_vec();
        for rows in [vec![], vec![62], vec![40, 3, 5], all.iter().rev().copied().collect()] {
            let some = network.logits(&batch, &rows).unwrap();
            let expected: Vec<f32> = rows.iter().flat_map(|row| &whole[row * CLASSES..][..CLASSES]).copied().collect();
            assert_eq!(some, expected);
        }
    }
}

fn compare_alone_and_together(mut network: Network) {
    let all = sequences(&[5, 1, 40, 17, 2, 9, 33, 1, 3]);
    let batch = pack(&all);
    let rows: Vec<usize> = (0..batch.tokens()).collect();
    let together = network.logits(&batch, &rows).unwrap().to_vec();
    let mut start = 0;
    for sequence in &all {
        let rows: Vec<usize> = (0..sequence.len()).collect();
        let alone = network.logits(&pack(std::slice::from_ref(sequence)), &rows).unwrap();
        let end = start + alone.len();
        assert!(alone == &together[start..end], "a sequence of {} tokens has other logits alone", sequence.len());
        start = end;
    }
    // A single row of a sequence is the same as when all are asked for.
    assert_eq!(network.logits(&batch, &[8]).unwrap(), &together[8 * CLASSES..9 * CLASSES]);
}

#[test]
fn every_parameter_gets_gradient() {
    let mut network = network(2);
    // All ids and all positions occur.
    let batch = pack(&[(0..40).collect(), (40..80).collect(), (50..90).collect()]);
    let rows: Vec<usize> = (0..batch.tokens()).collect();
    let classes: Vec<u32> = rows.iter().map(|r| (r % CLASSES) as u32).collect();
    network.accumulate(&batch, &Targets::new(&rows, &classes)).unwrap();
    for (tensor, values) in network.gradients().unwrap().tensors() {
        let hidden = small_config().hidden_size;
        let expected = match tensor.name.as_str() {
            // Row 1 is for second segments, which do not exist here; row 0 of the words is the padding token.
            "bert.embeddings.token_type_embeddings.weight" | "bert.embeddings.word_embeddings.weight" => {
                values.len() - hidden
            }
            // Softmax ignores what is added to all scores of a row: only rounding is left of this gradient.
            name if name.ends_with("key.bias") => continue,
            _ => values.len(),
        };
        let nonzero = values.iter().filter(|v| **v != 0.0).count();
        assert!(nonzero == expected, "{}: {nonzero} of {expected} numbers have a gradient", tensor.name);
    }
}

#[test]
fn dropout_changes_the_loss_and_repeats() {
    let mut network = network(2);
    let batch = pack(&sequences(&[12, 30]));
    let rows: Vec<usize> = (0..42).collect();
    let mut loss =
        |seed, pass| network.accumulate(&batch, &Targets { seed, pass, ..Targets::new(&rows, &[1; 42]) }).unwrap();
    let first = loss(1, 0);
    assert_eq!(first.to_bits(), loss(1, 0).to_bits());
    assert!((first - loss(1, 1)).abs() > 1e-3, "another pass drops the same");
    assert!((first - loss(2, 0)).abs() > 1e-3, "another seed drops the same");
}

#[test]
fn gradients_of_two_batches_add_up() {
    let gradients = |parts: &[&[usize]]| {
        let mut network = still_network();
        for lengths in parts {
            let batch = pack(&sequences(lengths));
            let rows: Vec<usize> = (0..batch.tokens()).collect();
            let classes = vec![2; rows.len()];
            let targets = Targets { scale: 0.1, ..Targets::new(&rows, &classes) };
            network.accumulate(&batch, &targets).unwrap();
        }
        network.gradients().unwrap().values().to_vec()
    };
    let whole = gradients(&[&[12, 30, 4, 25]]);
    let parts = gradients(&[&[12, 30], &[4, 25]]);
    let largest = whole.iter().fold(0.0_f32, |a, b| a.max(b.abs()));
    for (a, b) in whole.iter().zip(&parts) {
        assert!((a - b).abs() < 1e-5 * largest, "{a} in one batch, {b} in two");
    }
}

/// Without dropout.
fn still_network() -> Network {
    let mut config = small_config();
    config.hidden_dropout_prob = 0.0;
    config.attention_probs_dropout_prob = 0.0;
    let parameters = Parameters::initialised(&config, CLASSES, 11).unwrap();
    Network::new(config, parameters, &NetworkOptions::default()).unwrap()
}

#[test]
fn weights_of_one_change_no_bit() {
    let batch = pack(&sequences(&[12, 30]));
    let rows: Vec<usize> = (0..42).collect();
    let gradients = |weights| {
        let mut network = network(2);
        let targets = Targets { weights, scale: 0.1, ..Targets::new(&rows, &[1; 42]) };
        let loss = network.accumulate(&batch, &targets).unwrap();
        let bits = network.gradients().unwrap().values().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        (loss.to_bits(), bits)
    };
    assert!(gradients(None) == gradients(Some(&[1.0; 42])));
    assert!(gradients(None) != gradients(Some(&[0.5; 42])));
}

/// Compares the gradient of a loss, which accumulates it, with its differences.
fn check_slope(mut network: Network, mut loss: impl FnMut(&mut Network) -> f64) {
    loss(&mut network);
    let gradient = network.gradients().unwrap().values().to_vec();
    let square: f64 = gradient.iter().map(|g| f64::from(*g).powi(2)).sum();
    let start = network.state().0.values().to_vec();
    // A step along the gradient: far enough that rounding does not matter, near enough that curvature does not.
    let size = 2e-3 / square.sqrt();
    let mut at = |sign: f64| {
        let moved: Vec<f32> = start.iter().zip(&gradient).map(|(v, g)| v + (sign * size) as f32 * g).collect();
        network.set_parameters(&moved).unwrap();
        loss(&mut network)
    };
    let slope = (at(1.0) - at(-1.0)) / (2.0 * size);
    assert!((slope / square - 1.0).abs() < 1e-2, "slope {slope}, squared gradient {square}");
}

#[test]
fn the_gradient_of_a_weighted_loss_is_its_slope() {
    let batch = pack(&sequences(&[12, 30]));
    let rows: Vec<usize> = (0..42).collect();
    let classes: Vec<u32> = rows.iter().map(|r| (r % CLASSES) as u32).collect();
    let weights: Vec<f32> = rows.iter().map(|r| (r % 5) as f32 / 2.0).collect();
    let total: f32 = weights.iter().sum();
    let targets = Targets { weights: Some(&weights), scale: 1.0 / total, ..Targets::new(&rows, &classes) };
    check_slope(still_network(), |network| network.accumulate(&batch, &targets).unwrap() / f64::from(total));
}

/// A teacher's states for some rows, and classes for others.
#[test]
fn the_gradient_of_imitation_is_its_slope_and_leads_to_the_teacher() {
    const WIDTH: usize = 24;
    let batch = pack(&sequences(&[12, 30]));
    let (rows, classes) = ([3, 5, 20, 41], [1, 0, 2, 6]);
    let imitated: Vec<usize> = (0..42).filter(|row| row % 4 != 0).collect();
    let values: Vec<f32> = (0..imitated.len() * WIDTH).map(|i| (i as f32 * 0.7).sin()).collect();
    let targets = Targets { scale: 0.25, ..Targets::new(&rows, &classes) };
    let states = StateTargets { rows: &imitated, states: &values, scale: 2.0 / imitated.len() as f32 };
    let imitator = || {
        let mut network = still_network();
        network.add_state_map(WIDTH, 5).unwrap();
        network
    };
    check_slope(imitator(), |network| {
        let loss = network.imitate(&batch, &targets, &states).unwrap();
        0.25 * loss.classes + f64::from(states.scale) * loss.states
    });

    let mut network = imitator();
    let first = network.imitate(&batch, &targets, &states).unwrap();
    assert_eq!(first.classes.to_bits(), still_network().accumulate(&batch, &targets).unwrap().to_bits());
    for _ in 0..200 {
        network.imitate(&batch, &targets, &states).unwrap();
        network.update(&AdamW::default(), 3e-3);
    }
    let last = network.imitate(&batch, &targets, &states).unwrap();
    assert!(last.states < 0.2 * first.states && last.classes < 0.1 * first.classes, "{first:?} became {last:?}");

    let saved = tempfile::tempdir().unwrap();
    let path = saved.path().join("model.safetensors");
    apprentice_encoder::save(network.state().0, &path).unwrap();
    let network = load_classifier(&path, &still_network().config().clone(), CLASSES).unwrap();
    assert_eq!(network.layout().len(), still_network().layout().len());

    for (width, states) in [(0, 0), (WIDTH, 5)] {
        let mut network = still_network();
        let refused = if width == 0 {
            network.add_state_map(0, 1).unwrap_err()
        } else {
            network.add_state_map(width, 1).unwrap();
            let few = StateTargets { rows: &imitated, states: &values[..states], scale: 1.0 };
            network.imitate(&batch, &targets, &few).unwrap_err()
        };
        assert!(matches!(refused, EncoderError::Imitation { .. }), "{refused}");
    }
}

#[test]
fn standardised_hidden_states_have_a_mean_square_of_1_and_the_same_logits() {
    let config = still_network().config().clone();
    let mut parameters = Parameters::language_model(&config, 1).unwrap();
    let norm = format!("bert.encoder.layer.{}.output.LayerNorm", config.num_hidden_layers - 1);
    let ranges: Vec<_> =
        parameters.tensors().filter(|(t, _)| t.name.starts_with(&norm)).map(|(t, _)| t.range.clone()).collect();
    assert_eq!(ranges.len(), 2);
    for (i, value) in ranges.into_iter().flatten().enumerate() {
        parameters.values_mut()[value] = 0.1 + 0.2 * (i as f32).sin();
    }
    let batch = pack(&sequences(&[12, 30]));
    let rows: Vec<usize> = (0..42).step_by(3).collect();
    let measured = |parameters: Parameters| {
        let mut network = Network::new(config.clone(), parameters, &NetworkOptions::default()).unwrap();
        let hidden = network.hidden(&batch).unwrap();
        let square = hidden.iter().map(|v| v * v).sum::<f32>() / hidden.len() as f32;
        (square, network.logits(&batch, &rows).unwrap().to_vec())
    };
    let (before, logits) = measured(parameters.clone());
    parameters.standardise_hidden_states();
    let (after, same) = measured(parameters);
    assert!(before < 0.1 && (0.8..1.2).contains(&after), "{before} became {after}");
    let largest = logits.iter().zip(&same).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(largest < 1e-5 && logits.iter().any(|v| v.abs() > 1e-2), "{largest}");
}

#[test]
fn layers_and_head_learn_at_their_own_rates() {
    let moved = |adam: &AdamW| {
        let mut network = still_network();
        let before = network.state().0.clone();
        let batch = pack(&sequences(&[12, 30]));
        let rows: Vec<usize> = (0..42).collect();
        let targets = Targets::new(&rows, &[1; 42]);
        network.accumulate(&batch, &targets).unwrap();
        network.update(adam, 1e-3);
        let change = |(a, b): (&f32, &f32)| f64::from((a - b).abs());
        let largest = |a: &[f32], b: &[f32]| a.iter().zip(b).map(change).fold(0.0, f64::max);
        let tensors = network.state().0.tensors().zip(before.tensors());
        tensors.map(|((tensor, a), (_, b))| (tensor.name.clone(), largest(a, b))).collect::<Vec<_>>()
    };
    // The first step of Adam moves every number with a gradient by the rate.
    for (name, change) in moved(&AdamW { layer_decay: 0.5, head_rate: 10.0, ..AdamW::default() }) {
        let expected = match name.strip_prefix("bert.encoder.layer.").map(|rest| &rest[..1]) {
            Some("2") => 1e-3,
            Some("1") => 5e-4,
            Some("0") => 2.5e-4,
            _ if name.starts_with("classifier") => 1e-2,
            _ => 1.25e-4,
        };
        if !name.ends_with("key.bias") {
            assert!((change / expected - 1.0).abs() < 2e-2, "{name} moved by {change}, expected {expected}");
        }
    }
    for (name, change) in moved(&AdamW::default()) {
        assert!(name.ends_with("key.bias") || (change / 1e-3 - 1.0).abs() < 2e-2, "{name} moved by {change}");
    }
}

#[test]
fn overflow_leaves_the_parameters_alone() {
    let mut network = network(2);
    let before = network.state().0.values().to_vec();
    let batch = pack(&sequences(&[4]));
    let targets = Targets { scale: f32::INFINITY, ..Targets::new(&[1], &[0]) };
    network.accumulate(&batch, &targets).unwrap();
    assert!(!network.update(&AdamW::default(), 1e-3).is_finite());
    assert_eq!(before, network.state().0.values());
}

#[test]
fn bad_batches_are_named() {
    let mut network = network(1);
    let message = |result: Result<&[f32], EncoderError>| result.unwrap_err().to_string();
    assert_eq!(message(network.logits(&pack(&[]), &[])), "sequence 0 of the batch: the batch holds no sequence");
    assert_eq!(message(network.logits(&pack(&[vec![1], vec![]]), &[])), "sequence 1 of the batch: it is empty");
    assert_eq!(
        message(network.logits(&pack(&[vec![1; 41]]), &[])),
        "sequence 0 of the batch: it has 41 tokens, the model takes 40"
    );
    assert_eq!(
        message(network.logits(&pack(&[vec![1, 90]]), &[])),
        "sequence 0 of the batch: token id 90 is beyond the vocabulary of 90"
    );
    assert_eq!(message(network.logits(&pack(&[vec![1]]), &[1])), "row 1 is out of range, expected less than 1");
    let targets = Targets::new(&[0], &[7]);
    let error = network.accumulate(&pack(&[vec![1]]), &targets).unwrap_err().to_string();
    assert_eq!(error, "class 7 is out of range, expected less than 7");
    let targets = Targets { weights: Some(&[]), ..Targets::new(&[0], &[1]) };
    assert!(network.accumulate(&pack(&[vec![1]]), &targets).is_err());
}
