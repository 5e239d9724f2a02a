//! The flags of `train`: its settings, each of which may be absent.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Context, Result};
use apprentice_core::{Course, Regimen, Schedule};
use apprentice_encoder::Precision;
use apprentice_student::Head;
use clap::Args as ClapArgs;
use serde::{Serialize, Serializer};

#[derive(ClapArgs, Serialize)]
pub struct Flags {
    /// A model directory in the Hugging Face layout (BERT, DistilBERT, RoBERTa, XLM-RoBERTa or ELECTRA, by the
    /// `model_type` of its config.json; weights as safetensors), the name of a model that `models fetch` has fetched, or
    /// `scratch:LAYERSxHIDDENxHEADS`, a BERT of random weights [default: built-in, a small cased English one in the program]
    #[arg(long)]
    encoder: Option<String>,
    /// Human-labelled files, in any format.
    #[arg(long, num_args = 1..)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    original: Vec<PathBuf>,
    /// Files that a teacher labelled, as `annotate` writes them; as NAME=FILE where there are several pools.
    #[arg(long, num_args = 1.., value_name = "[NAME=]FILE")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    distilled: Vec<PathBuf>,
    /// Scored after every epoch; the best epoch's weights are kept.
    #[arg(long)]
    dev: Option<PathBuf>,
    /// Scored once, with the weights that are kept.
    #[arg(long)]
    test: Option<PathBuf>,
    /// The entity types; those of the files, which must then agree, if not given.
    #[arg(long, value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    labels: Vec<String>,
    /// The run directory to write.
    #[arg(short, long)]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    training: TrainingFlags,
}

#[derive(ClapArgs, Serialize)]
struct TrainingFlags {
    /// original-only, distilled-only, sequential, simple-mix, blend:CURVE or all, with parameters as in
    /// `sequential:switch=0.3,reverse` [default: original-only]
    #[arg(long)]
    #[serde(serialize_with = "short", skip_serializing_if = "Option::is_none")]
    regimen: Option<Regimen>,
    /// Passes, as the regimen counts them: its time axis [default: 10]
    #[arg(long)]
    epochs: Option<usize>,
    /// Sentences per optimiser step [default: 32]
    #[arg(long)]
    batch_size: Option<usize>,
    /// Sub-words per optimiser step, in place of --batch-size: as many sentences as fit
    #[arg(long)]
    batch_tokens: Option<usize>,
    /// Parts in which a step's sentences are computed, to save memory [default: 1]
    #[arg(long)]
    accumulation: Option<usize>,
    /// softmax, or crf: learn which tag follows which, and sentences as a whole [default: softmax]
    #[arg(long)]
    head: Option<Head>,
    /// Number format of the products, which are nearly all of the arithmetic: f32, bf16 (rounded factors; faster on
    /// processors with AMX or AMD's AVX-512 BF16), or auto, the faster of the two, as measured [default: f32]
    #[arg(long, value_name = "FORMAT")]
    precision: Option<Precision>,
    /// The learning rate that the schedule scales [default: 1e-4]
    #[arg(long)]
    learning_rate: Option<f64>,
    /// constant, or linear, cosine, polynomial[:power=P]: decay to 0 [default: linear]
    #[arg(long)]
    schedule: Option<Schedule>,
    /// Steps over which the learning rate rises from 0 [default: 0]
    #[arg(long)]
    warmup_steps: Option<usize>,
    /// The same as a share of the steps, in place of --warmup-steps [default: 0]
    #[arg(long)]
    warmup_share: Option<f64>,
    /// Each layer learns at this times the rate of the layer above it [default: 1]
    #[arg(long)]
    layer_decay: Option<f64>,
    /// The head learns at this times the rate [default: 1]
    #[arg(long)]
    head_rate: Option<f64>,
    /// Decoupled weight decay [default: 0]
    #[arg(long)]
    weight_decay: Option<f64>,
    /// Clip gradients to this global norm; 0 for no clipping [default: 1]
    #[arg(long)]
    max_gradient_norm: Option<f64>,
    /// Let an entity count as much as its labeller is sure of it: the `score` that `annotate` gives to votes, and `predict`
    /// to what it finds, in .jsonl
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    weigh_by_confidence: bool,
    /// Decides the order of the data, dropout and fresh weights [default: 1]
    #[arg(long)]
    seed: Option<u64>,
    /// Longest window in sub-words [default: the model's limit]
    #[arg(long)]
    max_length: Option<usize>,
    /// Sentences per epoch [default: as many as the original data in a blend, else one pass over the data in use]
    #[arg(long)]
    epoch_size: Option<usize>,
    /// Optimiser steps of the whole run, divided among the epochs, in place of --epoch-size
    #[arg(long)]
    budget_steps: Option<usize>,
    /// Sub-words of the whole run, divided among the epochs, in place of --epoch-size
    #[arg(long)]
    budget_tokens: Option<usize>,
    #[command(flatten)]
    #[serde(skip_serializing_if = "PoolFlags::is_empty")]
    pools: PoolFlags,
}

/// As it was typed, so that it replaces a regimen of the configuration file whole.
#[expect(clippy::ref_option, reason = "serde passes it so")]
fn short<S: Serializer>(regimen: &Option<Regimen>, serializer: S) -> Result<S::Ok, S::Error> {
    regimen.map(|regimen| regimen.to_string()).serialize(serializer)
}

#[derive(ClapArgs)]
struct PoolFlags {
    /// A pool's part of the distilled data, relative to the other pools': a number, or a course over time such as 1..0 or
    /// 1..0:cosine [default: the pool's size]
    #[arg(long, value_name = "NAME=COURSE", num_args = 1.., value_parser = of_pool)]
    pool_share: Vec<(String, Course)>,
    /// How much a pool's sentences count against those of other pools in the same batch: a number, or a course over time
    /// [default: 1]
    #[arg(long, value_name = "NAME=COURSE", num_args = 1.., value_parser = of_pool)]
    pool_weight: Vec<(String, Course)>,
}

impl PoolFlags {
    fn is_empty(&self) -> bool {
        self.pool_share.is_empty() && self.pool_weight.is_empty()
    }
}

impl Serialize for PoolFlags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut pools: BTreeMap<&str, BTreeMap<&str, Course>> = BTreeMap::new();
        for (key, given) in [("share", &self.pool_share), ("weight", &self.pool_weight)] {
            for (name, course) in given {
                pools.entry(name).or_default().insert(key, *course);
            }
        }
        pools.serialize(serializer)
    }
}

fn of_pool(text: &str) -> Result<(String, Course)> {
    let (name, course) = text.split_once('=').context("expected NAME=COURSE, such as bbc=0.5")?;
    Ok((name.to_owned(), course.parse()?))
}
