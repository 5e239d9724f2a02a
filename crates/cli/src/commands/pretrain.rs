//! `pretrain`: an encoder from text without labels, by masked language modelling.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, Result, bail};
use apprentice_core::{
    Schedule,
    corpus::{Format, ReadOptions, Source},
    files,
};
use apprentice_encoder::{NetworkOptions, NumberFormat, Precision};
use apprentice_student::{HeldOut, Imitated, LanguageModel, PretrainSettings, Pretrainer, TextSummary};
use clap::Args as ClapArgs;
use serde::{Deserialize, Serialize};

use crate::{
    commands::models,
    inputs::{self, one_of},
    output,
    progress::Progress,
    settings,
    unfinished::{self, CheckpointFlags, Place, RESULT, Run},
};

#[derive(ClapArgs)]
pub struct Args {
    #[command(flatten)]
    flags: Flags,
    /// TOML file with the same settings; flags override it.
    #[arg(long)]
    config: Option<PathBuf>,
    #[command(flatten)]
    checkpoints: CheckpointFlags,
    /// Replace a run directory that exists.
    #[arg(long, help_heading = None)]
    overwrite: bool,
    /// Print the result as JSON.
    #[arg(long, help_heading = None)]
    json: bool,
    /// Threads; all cores if not given. The result does not depend on it.
    #[arg(long, help_heading = None)]
    threads: Option<usize>,
}

#[derive(ClapArgs, Serialize)]
struct Flags {
    /// Text in any format, from files, folders and patterns: plain text has a paragraph a line and empty lines between
    /// documents; elsewhere a record is a document
    #[arg(long, num_args = 1.., value_name = "FILE")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    corpus: Vec<PathBuf>,
    /// The format of the text; seen from its content if not given
    #[arg(long, value_name = "FORMAT", value_parser = one_of::<Format>(&Format::NAMES))]
    format: Option<Format>,
    /// Go on from this encoder: `built-in`, a BERT model's directory, or the name of a model that `models fetch` has fetched
    #[arg(long, value_name = "ENCODER", conflicts_with_all = ["architecture", "vocabulary"])]
    from: Option<String>,
    /// The sizes of an encoder from scratch: `LAYERSxHIDDENxHEADS` [default: 4x256x4]
    #[arg(long)]
    architecture: Option<String>,
    /// How many sub-words the vocabulary of an encoder from scratch has, learnt from the text [default: 8192]
    #[arg(long)]
    vocabulary: Option<usize>,
    /// Learn to have the hidden states of this encoder, too: `built-in`, a model's directory or the name of a fetched one of any
    /// family; the vocabularies need not agree
    #[arg(long, value_name = "ENCODER")]
    imitate: Option<String>,
    /// Those behind so many of its layers; the last ones are often fit for other ends than telling words apart [default: all]
    #[arg(long, value_name = "N", requires = "imitate")]
    imitate_layers: Option<usize>,
    /// Number format of the weights that are written: f32, or bf16 with half the size [default: f32]
    #[arg(long, value_name = "FORMAT", value_parser = one_of::<NumberFormat>(&NumberFormat::NAMES))]
    save_as: Option<NumberFormat>,
    /// The run directory to write; the encoder is in its folder `model`
    #[arg(short, long)]
    output: Option<PathBuf>,
    #[command(flatten)]
    pretraining: PretrainingFlags,
}

#[derive(ClapArgs, Serialize)]
struct PretrainingFlags {
    /// Passes over the text, also in parts [default: 1]
    #[arg(long)]
    epochs: Option<f64>,
    /// Longest sequence in sub-words [default: 128]
    #[arg(long)]
    max_length: Option<usize>,
    /// Sub-words per optimiser step [default: 4096]
    #[arg(long)]
    batch_tokens: Option<usize>,
    /// Parts in which a step is computed, to save memory [default: 1]
    #[arg(long)]
    accumulation: Option<usize>,
    /// The part of the sub-words that is hidden [default: 0.15]
    #[arg(long)]
    mask_share: Option<f64>,
    /// Dropout of hidden states and attention [default: 0.1]
    #[arg(long)]
    dropout: Option<f32>,
    /// The learning rate that the schedule scales [default: 5e-4]
    #[arg(long)]
    learning_rate: Option<f64>,
    /// constant, or linear, cosine, polynomial[:power=P]: decay to 0 [default: linear]
    #[arg(long)]
    schedule: Option<Schedule>,
    /// The part of the steps over which the learning rate rises from 0 [default: 0.05]
    #[arg(long)]
    warmup_share: Option<f64>,
    /// Decoupled weight decay [default: 0.01]
    #[arg(long)]
    weight_decay: Option<f64>,
    /// Clip gradients to this global norm; 0 for no clipping [default: 1]
    #[arg(long)]
    max_gradient_norm: Option<f64>,
    /// Score what is held out after every so many steps [default: 500]
    #[arg(long)]
    evaluate_steps: Option<usize>,
    /// How much the states of the encoder to imitate count beside the hidden sub-words [default: 1]
    #[arg(long, requires = "imitate")]
    imitation_weight: Option<f64>,
    /// Number format of the products: f32, bf16 (rounded factors; faster on processors with AMX or AMD's AVX-512 BF16), or auto, the
    /// faster of the two, as measured [default: f32]
    #[arg(long, value_name = "FORMAT")]
    precision: Option<Precision>,
    /// Decides the order of the text, what is hidden, dropout and fresh weights [default: 1]
    #[arg(long)]
    seed: Option<u64>,
}

/// The settings of one run, as written into its directory.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    corpus: Vec<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Format>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    imitate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    imitate_layers: Option<usize>,
    #[serde(default = "architecture")]
    architecture: String,
    #[serde(default = "vocabulary")]
    vocabulary: usize,
    #[serde(default)]
    save_as: NumberFormat,
    output: PathBuf,
    #[serde(default)]
    pretraining: PretrainSettings,
}

fn architecture() -> String {
    "4x256x4".to_owned()
}

const fn vocabulary() -> usize {
    8192
}

/// The outcome, as written into the directory.
#[derive(Serialize)]
struct Outcome {
    text: TextSummary,
    /// Paragraphs that were left out because they had come before; not known after a `--resume`.
    repeated_paragraphs: Option<u64>,
    steps: usize,
    /// Sub-words per second, special tokens included, without scoring and loading, of this process.
    tokens_per_second: f64,
    held_out: HeldOut,
}

/// Where the tokenised text and the model at its start lie in the unfinished run.
const TEXT: &str = "text";
const START: &str = "start";
/// What the outcome was measured on.
const HELD_OUT: &str = "held-out.jsonl";

pub fn run(args: &Args, progress: Progress) -> Result<()> {
    args.checkpoints.check()?;
    let defaults = if args.checkpoints.resume {
        let output = args.flags.output.as_deref().context("--resume: which run? pass -o RUN")?;
        unfinished::settings_of(output, args.overwrite)?
    } else {
        toml::Table::new()
    };
    let settings: Settings = settings::resolve(&defaults, args.config.as_deref(), &args.flags)?;
    output::check_directory(&settings.output, args.overwrite)?;
    let place =
        Place { output: &settings.output, settings: toml::to_string_pretty(&settings)?, overwrite: args.overwrite };
    let options = NetworkOptions::with_threads(args.threads);
    let (mut run, mut pretrainer, repeated) = if args.checkpoints.resume {
        let directory = unfinished::directory_of(&settings.output);
        let model = LanguageModel::from_encoder(&directory.join(START), &settings.pretraining, &options)?;
        let model = with_imitated(&settings, model, &options)?;
        let mut pretrainer = Pretrainer::on(model, &directory.join(TEXT), &settings.pretraining)?;
        let steps = pretrainer.total_steps();
        (Run::resume(&place, &args.checkpoints, (&mut pretrainer, steps), progress)?, pretrainer, None)
    } else {
        let run = Run::begin(&place, &args.checkpoints)?;
        let (pretrainer, repeated) = begin(&settings, &run, &options, progress)
            .inspect_err(|_| drop(files::remove_directory(&run.directory)))?;
        (run, pretrainer, Some(repeated))
    };
    let tokens_per_second = train(&mut run, &mut pretrainer, progress)?;
    pretrainer.finish(settings.save_as)?;
    let outcome = Outcome {
        text: pretrainer.text(),
        repeated_paragraphs: repeated,
        steps: pretrainer.total_steps(),
        tokens_per_second,
        held_out: pretrainer.score()?,
    };
    let mut held_out = Vec::new();
    for sequence in pretrainer.held_out() {
        serde_json::to_writer(&mut held_out, &sequence)?;
        held_out.push(b'\n');
    }
    let mut model = pretrainer.into_model();
    let card = card(&settings, &outcome)?;
    run.finish(|directory| {
        output::write_part(directory, RESULT, serde_json::to_vec_pretty(&outcome)?)?;
        output::write_part(directory, HELD_OUT, &held_out)?;
        save(&mut model, &directory.join("model"), &card, settings.save_as)
    })?;
    if args.json {
        return output::print_json(&outcome);
    }
    let HeldOut { perplexity, accuracy, .. } = outcome.held_out;
    output::print(format_args!(
        "{} steps, {:.0} tokens/s; of text that was held out: perplexity {perplexity:.2}, {:.1} % of the hidden sub-words \
         found; encoder in {}",
        outcome.steps,
        outcome.tokens_per_second,
        100.0 * accuracy,
        settings.output.join("model").display()
    ))
}

/// Reads the text, makes the model, and leaves what a resumed run needs of both in the directory of the unfinished one.
fn begin(
    settings: &Settings,
    run: &Run<'_>,
    options: &NetworkOptions,
    progress: Progress,
) -> Result<(Pretrainer, u64)> {
    if settings.corpus.is_empty() {
        bail!("no text: pass --corpus FILE");
    }
    let sources = inputs::sources(&settings.corpus)?;
    if let Some(Source { path, .. }) = sources.iter().find(|source| !source.is_repeatable()) {
        bail!("{}: text is read twice: expected a file", path.display());
    }
    let mut reading = ReadOptions::unlabelled();
    reading.format = settings.format;
    let mut model = if let Some(encoder) = &settings.from {
        LanguageModel::from_encoder(&models::directory(encoder)?, &settings.pretraining, options)?
    } else {
        progress.note("learning a vocabulary");
        let architecture = settings.architecture.parse()?;
        let text = (sources.as_slice(), &reading);
        LanguageModel::from_scratch(architecture, text, settings.vocabulary, &settings.pretraining, options)?
    };
    save(&mut model, &run.directory.join(START), "", NumberFormat::F32)?;
    let model = with_imitated(settings, model, options)?;
    progress.note("tokenising the text");
    let text = run.directory.join(TEXT);
    fs::create_dir(&text).with_context(|| format!("cannot make {}", text.display()))?;
    let (mut pretrainer, repeated) = Pretrainer::new(model, (&sources, &reading), &text, &settings.pretraining)?;
    run.save(&mut pretrainer)?;
    Ok((pretrainer, repeated))
}

/// The model, to imitate the encoder that the settings name, if they do.
fn with_imitated(settings: &Settings, model: LanguageModel, options: &NetworkOptions) -> Result<LanguageModel> {
    let Some(encoder) = &settings.imitate else { return Ok(model) };
    Ok(model.imitating(
        Imitated::read(&models::directory(encoder)?, settings.imitate_layers, options)?,
        &settings.pretraining,
    )?)
}

fn save(model: &mut LanguageModel, directory: &Path, card: &str, format: NumberFormat) -> Result<()> {
    fs::create_dir(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    Ok(model.save(directory, card, format)?)
}

/// Gives the tokens per second.
fn train(run: &mut Run<'_>, pretrainer: &mut Pretrainer, progress: Progress) -> Result<f64> {
    let text = pretrainer.text();
    progress.note(format_args!(
        "{} sequences of {} sub-words, {} sequences held out",
        text.sequences, text.tokens, text.held_out
    ));
    let bar = progress.bar(pretrainer.total_steps(), "pretraining");
    let (mut seconds, mut tokens) = (0.0, 0);
    let mut clock = Instant::now();
    while let Some(step) = pretrainer.next() {
        let step = step.context("the last checkpoint stays: --resume goes on from it")?;
        bar.set_position(step.step as u64);
        bar.set_message(format!("loss {:.4} rate {:.1e}", step.loss, step.learning_rate));
        match &step.held_out {
            None => {
                seconds += clock.elapsed().as_secs_f64();
                tokens += step.tokens;
            }
            Some(HeldOut { perplexity, accuracy, .. }) => progress.note_above(
                &bar,
                &format!("step {}: perplexity {perplexity:.2}, accuracy {:.1} %", step.step, 100.0 * accuracy),
            ),
        }
        run.record(pretrainer, &step)?;
        clock = Instant::now();
    }
    bar.finish_and_clear();
    Ok(if seconds > 0.0 { tokens as f64 / seconds } else { 0.0 })
}

/// The model card of an encoder.
fn card(settings: &Settings, outcome: &Outcome) -> Result<String> {
    let Outcome { text, steps, held_out, .. } = outcome;
    let start = match &settings.from {
        Some(encoder) => format!("from encoder `{encoder}`"),
        None => format!("from random weights ({}, vocabulary learnt from the text)", settings.architecture),
    };
    let imitated = settings
        .imitate
        .as_ref()
        .map_or(String::new(), |encoder| format!(" It learnt to have the hidden states of encoder `{encoder}`, too."));
    Ok(format!(
        "---\npipeline_tag: fill-mask\nlibrary_name: transformers\ntags:\n- masked-language-modelling\n- apprentice\n---\n\n\
         # Pretrained encoder\n\nPretrained by `apprentice pretrain` {start} on {} sequences of {} sub-words: {steps} optimiser \
         steps. On {} sequences that were held out, {} hidden sub-words: perplexity {:.3}, accuracy {:.4}.{imitated}\n\nIt says which words \
         are likely in text like that which it was pretrained on, and serves as an encoder to be fine-tuned (`apprentice train \
         --encoder`). It was not checked for what its text says that is wrong or unfair.\n\n## Settings\n\n```toml\n{}```\n",
        text.sequences,
        text.tokens,
        text.held_out,
        held_out.hidden,
        held_out.perplexity,
        held_out.accuracy,
        toml::to_string_pretty(&settings.pretraining)?
    ))
}
