//! Prints where the milliseconds of a training step and of a forward pass go, kernel by kernel, beside what the machine can
//! do.
//!
//!     cargo run --release -p apprentice-encoder --example profile -- [minilm|base] [SEQUENCES] [LENGTH] [THREADS] [PRECISION]
//!
//! The precision is f32, bf16, int8 (which does not train) or auto.

#![allow(clippy::print_stdout)]

use std::{collections::BTreeMap, env, time::Instant};

use apprentice_encoder::{
    AdamW, EncoderConfig, Network, NetworkOptions, PackedBatch, Parameters, Precision, Targets,
    profile::{self, KernelTime},
};

const STEPS: usize = 20;
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
    let precision: Precision = arguments.get(4).map_or(Ok(Precision::F32), |text| text.parse())?;
    let parameters = Parameters::initialised(&config, CLASSES, 1)?;
    let vocabulary = config.vocab_size as u32;
    let mut options = NetworkOptions::with_threads(Some(threads));
    options.precision = precision;
    let mut network = Network::new(config, parameters, &options)?;
    let mut batch = PackedBatch::default();
    for sequence in 0..sequences as u32 {
        let ids: Vec<u32> = (0..length as u32).map(|i| (sequence * 7919 + i * 104_729) % vocabulary).collect();
        batch.push(&ids);
    }
    let tokens = sequences * length;
    // Two words of three sub-words are labelled, about as in CoNLL-2003.
    let rows: Vec<usize> = (0..tokens).filter(|row| row % 3 != 0).collect();
    let classes: Vec<u32> = rows.iter().map(|row| (row % CLASSES) as u32).collect();
    println!("{sequences} sequences of {length} tokens, {threads} threads, {precision}, {STEPS} steps");

    let train = |network: &mut Network, pass: u64| -> Result<(), Box<dyn std::error::Error>> {
        let scale = 1.0 / rows.len() as f32;
        network.accumulate(&batch, &Targets { scale, pass, ..Targets::new(&rows, &classes) })?;
        network.update(&AdamW::default(), 1e-5);
        Ok(())
    };
    if precision != Precision::Int8 {
        println!("multiplying and adding in registers: {:.0} GFLOP/s", profile::peak(precision, threads) / 1e9);
        let mut pass = 0;
        table("training step", tokens, || {
            pass += 1;
            train(&mut network, pass)
        })?;
    }
    table("forward pass", tokens, || network.logits(&batch, &rows).map(|_| ()))?;
    Ok(())
}

/// Of each kernel the fastest of so many runs, since a shared machine's speed drifts.
fn table<E>(title: &str, tokens: usize, mut run: impl FnMut() -> Result<(), E>) -> Result<(), E> {
    run()?;
    let mut best: BTreeMap<&str, KernelTime> = BTreeMap::new();
    let mut total = f64::INFINITY;
    for _ in 0..STEPS {
        profile::start();
        let started = Instant::now();
        run()?;
        total = total.min(started.elapsed().as_secs_f64());
        for (name, time) in profile::stop() {
            best.entry(name).and_modify(|best| best.time = best.time.min(time.time)).or_insert(time);
        }
    }
    println!("\n| {title} | calls | ms | share | GFLOP/s | GB/s |\n|---|---|---|---|---|---|");
    let operations: f64 = best.values().map(|t| t.operations).sum();
    for (name, t) in &best {
        let seconds = t.time.as_secs_f64();
        println!(
            "| {name} | {} | {:.2} | {:.1} % | {} | {:.1} |",
            t.calls,
            seconds * 1e3,
            100.0 * seconds / total,
            if t.operations > 0.0 { format!("{:.0}", t.operations / seconds / 1e9) } else { String::new() },
            t.bytes / seconds / 1e9
        );
    }
    println!("| whole | | {:.2} | | {:.0} | |", total * 1e3, operations / total / 1e9);
    println!("\n{:.0} tokens/s", tokens as f64 / total);
    Ok(())
}
