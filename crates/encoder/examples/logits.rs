//! The logits of a token-classification directory, for comparisons with other programs (`benchmarks/interop.py`):
//! `logits DIR < SEQUENCES > LOGITS`, where both are JSON: a list of ids for every sequence, and for each the logits of its
//! tokens, end to end.

use std::{error::Error, io::Write, path::Path};

use apprentice_encoder::{EncoderConfig, Network, NetworkOptions, PackedBatch, load_classifier};

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args_os().nth(1).ok_or("usage: logits DIR < SEQUENCES > LOGITS")?;
    let directory = Path::new(&directory);
    let config = EncoderConfig::read(&directory.join("config.json"))?;
    let document: serde_json::Value = serde_json::from_slice(&std::fs::read(directory.join("config.json"))?)?;
    let classes = document["id2label"].as_object().ok_or("config.json has no id2label")?.len();
    let parameters = load_classifier(&directory.join("model.safetensors"), &config, classes)?;
    let mut network = Network::new(config, parameters, &NetworkOptions::default())?;
    let sequences: Vec<Vec<u32>> = serde_json::from_reader(std::io::stdin().lock())?;
    let mut logits = Vec::with_capacity(sequences.len());
    for ids in &sequences {
        let mut batch = PackedBatch::default();
        batch.push(ids);
        let rows: Vec<usize> = (0..ids.len()).collect();
        logits.push(network.logits(&batch, &rows)?.to_vec());
    }
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, &logits)?;
    Ok(out.flush()?)
}
