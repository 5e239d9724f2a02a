//! Predicts with candle, as the rival of `apprentice predict`: `candle-ner MODEL IDS.json BATCH`.
//!
//! IDS.json has a list of token ids for each sentence. Batches are sorted by length and padded, as those of the other rivals. Prints
//! `{"seconds", "classes"}`: the time that prediction took, padding included, and the most probable class of each token.

use std::{env, fs::File, num::NonZeroUsize, time::Instant};

use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor};
use candle_nn::{Linear, Module, VarBuilder, linear};
use candle_transformers::models::bert::{BertModel, Config};

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [model, ids, batch] = arguments.as_slice() else { anyhow::bail!("expected MODEL IDS.json BATCH") };
    let batch: NonZeroUsize = batch.parse()?;
    let settings: serde_json::Value = serde_json::from_reader(File::open(format!("{model}/config.json"))?)?;
    let classes = settings["id2label"].as_object().context("config.json names no classes")?.len();
    let config: Config = serde_json::from_value(settings)?;
    let weights = format!("{model}/model.safetensors");
    // SAFETY: nobody changes the file meanwhile.
    let weights = unsafe { VarBuilder::from_mmaped_safetensors(&[weights], DType::F32, &Device::Cpu)? };
    let bert = BertModel::load(weights.pp("bert"), &config)?;
    let head = linear(config.hidden_size, classes, weights.pp("classifier"))?;
    let sentences: Vec<Vec<u32>> = serde_json::from_reader(File::open(ids)?)?;

    let started = Instant::now();
    let mut order: Vec<usize> = (0..sentences.len()).collect();
    order.sort_by_key(|index| sentences[*index].len());
    let mut found = vec![Vec::new(); sentences.len()];
    for chosen in order.chunks(batch.get()) {
        let batch: Vec<&[u32]> = chosen.iter().map(|index| sentences[*index].as_slice()).collect();
        for (index, mut classes) in chosen.iter().zip(predict(&bert, &head, &batch)?) {
            classes.truncate(sentences[*index].len());
            found[*index] = classes;
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    println!("{}", serde_json::json!({ "seconds": seconds, "classes": found }));
    Ok(())
}

/// The most probable class of each token, and of padding.
fn predict(bert: &BertModel, head: &Linear, batch: &[&[u32]]) -> Result<Vec<Vec<u32>>> {
    let longest = batch.iter().map(|ids| ids.len()).max().unwrap_or(0);
    let padded = |fill: &dyn Fn(u32) -> u32| -> Vec<u32> {
        let zeros = std::iter::repeat(0);
        batch.iter().flat_map(|ids| ids.iter().map(|id| fill(*id)).chain(zeros.clone()).take(longest)).collect()
    };
    let tensor = |values| Tensor::from_vec(values, (batch.len(), longest), &Device::Cpu);
    let (ids, mask) = (tensor(padded(&|id| id))?, tensor(padded(&|_| 1))?);
    let hidden = bert.forward(&ids, &ids.zeros_like()?, Some(&mask))?;
    Ok(head.forward(&hidden)?.argmax(2)?.to_vec2()?)
}
