//! Prints where the milliseconds of a training step and of a forward pass go, kernel by kernel, beside what the machine can
//! do.
//!
//!     cargo run --release -p apprentice-encoder --example profile -- [minilm|base] [SEQUENCES] [LENGTH] [THREADS]

use std::{
    env,
    time::{Duration, Instant},
};

use apprentice_encoder::{AdamW, EncoderConfig, Network, NetworkOptions, PackedBatch, Parameters, Targets, profile};

const STEPS: u32 = 10;
const CLASSES: usize = 9;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let number = |index: usize, default: usize| arguments.get(index).map_or(Ok(default), |text| text.parse());
    let base = arguments.first().is_some_and(|name| name == "base");
    let (sequences, length, threads) = (number(1, 32)?, number(2, 22)?, number(3, 2)?);
    let config = if base {
        EncoderConfig::default()
    } else {
        EncoderConfig {
            hidden_size: 384,
            num_hidden_layers: 6,
            num_attention_heads: 12,
            intermediate_size: 1536,
            ..EncoderConfig::default()
        }
    };
    let parameters = Parameters::initialised(&config, CLASSES, 1)?;
    let vocabulary = config.vocab_size as u32;
    let mut network = Network::new(config, parameters, &NetworkOptions::with_threads(Some(threads)))?;
    let mut batch = PackedBatch::default();
    for sequence in 0..sequences as u32 {
        let ids: Vec<u32> = (0..length as u32).map(|i| (sequence * 7919 + i * 104_729) % vocabulary).collect();
        batch.push(&ids);
    }
    let tokens = sequences * length;
    // Two words of three sub-words are labelled, about as in CoNLL-2003.
    let rows: Vec<usize> = (0..tokens).filter(|row| row % 3 != 0).collect();
    let classes: Vec<u32> = rows.iter().map(|row| (row % CLASSES) as u32).collect();
    println!("{sequences} sequences of {length} tokens, {threads} threads, {STEPS} steps");

    let train = |network: &mut Network, pass: u32| -> Result<(), Box<dyn std::error::Error>> {
        let scale = 1.0 / rows.len() as f32;
        network.accumulate(&batch, &Targets { scale, pass: u64::from(pass), ..Targets::new(&rows, &classes) })?;
        network.update(&AdamW::default(), 1e-5);
        Ok(())
    };
    train(&mut network, 0)?;
    train(&mut network, 1)?;
    profile::start();
    let started = Instant::now();
    for pass in 0..STEPS {
        train(&mut network, 2 + pass)?;
    }
    table("training step", started.elapsed(), tokens);
    network.logits(&batch, &rows)?;
    profile::start();
    let started = Instant::now();
    for _ in 0..STEPS {
        network.logits(&batch, &rows)?;
    }
    table("forward pass", started.elapsed(), tokens);
    Ok(())
}

fn table(title: &str, elapsed: Duration, tokens: usize) {
    let steps = f64::from(STEPS);
    let milliseconds = |time: Duration| 1e3 * time.as_secs_f64() / steps;
    let times = profile::stop();
    let total = milliseconds(elapsed);
    println!("\n| {title} | calls | ms | share | GFLOP/s | GB/s |\n|---|---|---|---|---|---|");
    let mut rest = total;
    for (name, t) in &times {
        let seconds = t.time.as_secs_f64();
        rest -= milliseconds(t.time);
        println!(
            "| {name} | {} | {:.2} | {:.1} % | {} | {:.1} |",
            t.calls / u64::from(STEPS),
            milliseconds(t.time),
            100.0 * milliseconds(t.time) / total,
            if t.operations > 0.0 { format!("{:.0}", t.operations / seconds / 1e9) } else { String::new() },
            t.bytes / seconds / 1e9
        );
    }
    let operations: f64 = times.values().map(|t| t.operations).sum();
    println!("| between them | | {rest:.2} | {:.1} % | | |", 100.0 * rest / total);
    println!(
        "| all | | {total:.2} | | {:.0} | | {:.0} tokens/s",
        operations / steps / (total / 1e3) / 1e9,
        tokens as f64 / total * 1e3
    );
}
