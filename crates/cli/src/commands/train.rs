//! `train`: one student under one regimen, in a run directory.
//!
//! The run directory holds `settings.toml`, `metrics.jsonl` (a line per step), `result.json` and the model directory
//! `model`.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use anyhow::{Context, Result, bail};
use apprentice_core::{Corpus, Regimen, Scores, Sentence, files};
use apprentice_encoder::NetworkOptions;
use apprentice_student::{
    EpochReport, ModelCard, StepReport, Student, StudentError, TrainSettings, Trained, Trainer, TrainingData,
    labels::Labels, tokenize::SubwordTokenizer,
};
use clap::Args as ClapArgs;
use serde::{Deserialize, Serialize};

use crate::{inputs, output, progress::Progress, settings};

/// Sub-words of the vocabulary that a student from scratch learns from its training text.
pub const SCRATCH_VOCABULARY: usize = 600;

#[derive(ClapArgs)]
pub struct Args {
    #[command(flatten)]
    flags: Flags,
    /// TOML file with the same settings; flags override it.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Replace a run directory that exists.
    #[arg(long)]
    overwrite: bool,
    /// Print the result as JSON instead of tables.
    #[arg(long)]
    json: bool,
    /// Threads; all cores if not given. The result does not depend on it.
    #[arg(long)]
    threads: Option<usize>,
}

#[derive(ClapArgs, Serialize)]
struct Flags {
    /// A model directory in the Hugging Face layout (BERT, DistilBERT, RoBERTa, XLM-RoBERTa or ELECTRA, by the
    /// `model_type` of its config.json; weights as safetensors), or `scratch:LAYERSxHIDDENxHEADS`, a BERT of random
    /// weights.
    #[arg(long)]
    encoder: Option<String>,
    /// Human-labelled files of columns.
    #[arg(long, num_args = 1..)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    original: Vec<PathBuf>,
    /// Files of columns that a teacher labelled, as `annotate` writes them.
    #[arg(long, num_args = 1..)]
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
    output: Option<PathBuf>,
    #[command(flatten)]
    training: TrainingFlags,
}

#[derive(ClapArgs, Serialize)]
struct TrainingFlags {
    /// original-only, distilled-only, sequential, simple-mix or all [default: original-only]
    #[arg(long)]
    #[serde(serialize_with = "kind", skip_serializing_if = "Option::is_none")]
    regimen: Option<Regimen>,
    /// Passes, as the regimen counts them [default: 10]
    #[arg(long)]
    epochs: Option<usize>,
    /// Sentences per optimiser step [default: 32]
    #[arg(long)]
    batch_size: Option<usize>,
    /// Parts in which a step's sentences are computed, to save memory [default: 1]
    #[arg(long)]
    accumulation: Option<usize>,
    /// The learning rate that the schedule scales [default: 1e-4]
    #[arg(long)]
    learning_rate: Option<f64>,
    /// constant, or linear: decay to 0 [default: linear]
    #[arg(long)]
    schedule: Option<String>,
    /// Steps over which the learning rate rises from 0 [default: 0]
    #[arg(long)]
    warmup_steps: Option<usize>,
    /// Decoupled weight decay [default: 0]
    #[arg(long)]
    weight_decay: Option<f64>,
    /// Clip gradients to this global norm; 0 for no clipping [default: 1]
    #[arg(long)]
    max_gradient_norm: Option<f64>,
    /// Decides the order of the data, dropout and fresh weights [default: 1]
    #[arg(long)]
    seed: Option<u64>,
    /// Longest window in sub-words [default: the model's limit]
    #[arg(long)]
    max_length: Option<usize>,
    /// Sentences per epoch [default: one pass over the data in use]
    #[arg(long)]
    epoch_size: Option<usize>,
}

/// A regimen typed as a flag is a name only: parameters that a file gives to the same regimen stay.
#[expect(clippy::ref_option, reason = "serde passes it so")]
fn kind<S: serde::Serializer>(regimen: &Option<Regimen>, serializer: S) -> Result<S::Ok, S::Error> {
    std::collections::BTreeMap::from([("kind", regimen.map(|r| r.name()))]).serialize(serializer)
}

/// The settings of one run, as written into its directory.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    encoder: String,
    #[serde(default)]
    original: Vec<PathBuf>,
    #[serde(default)]
    distilled: Vec<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dev: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    test: Option<PathBuf>,
    #[serde(default)]
    labels: Vec<String>,
    output: PathBuf,
    #[serde(default)]
    training: TrainSettings,
}

/// The outcome of one run, as written into its directory.
#[derive(Debug, Serialize)]
pub struct Outcome {
    pub regimen: &'static str,
    pub steps: usize,
    pub best_epoch: Option<usize>,
    pub epochs: Vec<EpochReport>,
    pub dev: Option<Scores>,
    pub test: Option<Scores>,
    /// All tokens at the speed below.
    pub train_seconds: f64,
    /// Sub-words per second in training, special tokens included, without evaluation; 0 if every step had one.
    pub tokens_per_second: f64,
    /// Set if the run was cut short; the model has the last good weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
}

/// A run that is over, its steps and student included.
pub struct Finished {
    pub outcome: Outcome,
    pub steps: Vec<StepReport>,
    pub student: Student,
}

pub fn run(args: &Args, progress: Progress) -> Result<()> {
    let settings: Settings = settings::resolve(&toml::Table::new(), args.config.as_deref(), &args.flags)?;
    output::check_directory(&settings.output, args.overwrite)?;
    let (original, distilled) =
        (inputs::labelled(&settings.original, progress)?, inputs::labelled(&settings.distilled, progress)?);
    let one = |path: &Option<PathBuf>| Ok::<_, anyhow::Error>(inputs::labelled(path.as_slice(), progress)?.pop());
    let (dev, test) = (one(&settings.dev)?, one(&settings.test)?);
    let corpora: Vec<&Corpus> = original.iter().chain(&distilled).chain(&dev).chain(&test).collect();
    if original.is_empty() && distilled.is_empty() {
        bail!("no training data: pass --original FILE, --distilled FILE or both");
    }
    let types = inputs::label_set(&corpora, &settings.labels)?;
    let join = |corpora: Vec<Corpus>| corpora.into_iter().flat_map(|c| c.sentences).collect::<Vec<Sentence>>();
    let (original, distilled) = (join(original), join(distilled));

    let options = NetworkOptions::with_threads(args.threads);
    let student = student(&settings.encoder, types, settings.training.seed, &options, || {
        original.iter().chain(&distilled).cloned().collect()
    })?;
    let data = TrainingData {
        original: &original,
        distilled: &distilled,
        dev: dev.as_ref().map(|corpus| corpus.sentences.as_slice()),
    };
    let mut finished = train(student, data, &settings.training, progress)?;
    let outcome = &mut finished.outcome;
    if let (Some(test), None) = (&test, &outcome.stopped) {
        outcome.test = Some(finished.student.evaluate(&test.sentences, settings.training.max_length)?);
    }
    save(&finished, &settings, (original.len(), distilled.len()), args.overwrite)?;
    let outcome = &finished.outcome;
    if let Some(why) = &outcome.stopped {
        bail!("{why}; the last good weights are in {}", settings.output.join("model").display());
    }
    if args.json {
        return output::print_json(outcome);
    }
    output::print(format_args!(
        "{} steps in {:.1} s, {:.0} tokens/s; model in {}",
        outcome.steps,
        outcome.train_seconds,
        outcome.tokens_per_second,
        settings.output.join("model").display()
    ))?;
    for (name, scores) in [("dev", &outcome.dev), ("test", &outcome.test)] {
        if let Some(scores) = scores {
            output::print(format_args!("{name}\n{}", output::scores_table(scores)))?;
        }
    }
    Ok(())
}

/// A student on the named encoder. One from scratch learns its vocabulary from `text`.
pub fn student(
    encoder: &str,
    types: BTreeSet<Arc<str>>,
    seed: u64,
    options: &NetworkOptions,
    text: impl FnOnce() -> Vec<Sentence>,
) -> Result<Student> {
    let labels = Labels::iob2(types);
    Ok(match encoder.strip_prefix("scratch:") {
        Some(architecture) => {
            let tokenizer = SubwordTokenizer::learn(&text(), SCRATCH_VOCABULARY);
            Student::from_scratch(architecture.parse()?, tokenizer, labels, seed, options)?
        }
        None if !Path::new(encoder).is_dir() => {
            bail!("encoder `{encoder}`: no such directory; expected a model directory or scratch:LAYERSxHIDDENxHEADS")
        }
        None => Student::from_encoder(Path::new(encoder), labels, seed, options)?,
    })
}

/// Runs the training loop to its end, or to where it diverges: then [`Outcome::stopped`] says why.
pub fn train(
    student: Student,
    data: TrainingData<'_>,
    settings: &TrainSettings,
    progress: Progress,
) -> Result<Finished> {
    let mut trainer = Trainer::new(student, data, settings)?;
    let bar = progress.bar(trainer.total_steps(), settings.regimen.name());
    let mut steps: Vec<StepReport> = Vec::new();
    let (mut stopped, mut seconds) = (None, 0.0);
    let scored = |report: &StepReport| report.epoch_end.as_ref().is_some_and(|end| end.dev.is_some());
    let mut clock = Instant::now();
    for report in &mut trainer {
        match report {
            Ok(report) => {
                // Steps with the scoring of dev in them, which is no training, are left out of the speed.
                if !scored(&report) {
                    seconds += clock.elapsed().as_secs_f64();
                }
                progress.step(&bar, &report);
                steps.push(report);
                clock = Instant::now();
            }
            Err(error @ StudentError::Diverged { .. }) => stopped = Some(error.to_string()),
            Err(error) => return Err(error.into()),
        }
    }
    bar.finish_and_clear();
    let Trained { student, epochs, best_epoch, steps: made } = trainer.finish()?;
    let timed: usize = steps.iter().filter(|s| !scored(s)).map(|s| s.tokens).sum();
    let all: usize = steps.iter().map(|s| s.tokens).sum();
    let tokens_per_second = if seconds > 0.0 { timed as f64 / seconds } else { 0.0 };
    let outcome = Outcome {
        regimen: settings.regimen.name(),
        steps: made,
        best_epoch,
        dev: best_epoch.and_then(|epoch| epochs.get(epoch - 1)?.dev.clone()),
        epochs,
        test: None,
        train_seconds: if tokens_per_second > 0.0 { all as f64 / tokens_per_second } else { 0.0 },
        tokens_per_second,
        stopped,
    };
    Ok(Finished { outcome, steps, student })
}

/// The model card of a finished run.
pub fn card(
    outcome: &Outcome,
    encoder: &str,
    settings: &TrainSettings,
    (original, distilled): (usize, usize),
) -> Result<String> {
    let scores: Vec<(&str, &Scores)> = [("dev", &outcome.dev), ("test", &outcome.test)]
        .into_iter()
        .filter_map(|(n, s)| Some((n, s.as_ref()?)))
        .collect();
    let card = ModelCard {
        encoder,
        settings,
        original,
        distilled,
        steps: outcome.steps,
        best_epoch: outcome.best_epoch,
        scores: &scores,
        warning: outcome.stopped.as_deref(),
    };
    Ok(card.render()?)
}

/// Writes the run directory in one step.
fn save(finished: &Finished, settings: &Settings, sizes: (usize, usize), overwrite: bool) -> Result<()> {
    let Finished { outcome, steps, student } = finished;
    let metrics = steps.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?.join("\n") + "\n";
    let card = card(outcome, &settings.encoder, &settings.training, sizes)?;
    files::write_directory_atomic(&settings.output, overwrite, |directory| {
        output::write_part(directory, "settings.toml", toml::to_string_pretty(settings)?)?;
        output::write_part(directory, "metrics.jsonl", &metrics)?;
        output::write_part(directory, "result.json", serde_json::to_vec_pretty(outcome)?)?;
        let model = directory.join("model");
        std::fs::create_dir(&model).with_context(|| format!("cannot make {}", model.display()))?;
        anyhow::Ok(student.save(&model, &card)?)
    })
}
