//! `train`: one student under one regimen, in a run directory.
//!
//! The run directory holds `settings.toml`, `metrics.jsonl` (a line per step), `result.json`, what the student predicts on
//! dev and test, and the model directory `model`; if asked for, the curves in `tensorboard`. It is there when the run is
//! finished; until then, `RUN.unfinished` holds what `--resume` goes on from.

mod flags;
pub mod plan;

use std::{collections::BTreeSet, fs, path::PathBuf, sync::Arc, time::Instant};

use anyhow::{Context, Result, bail};
use apprentice_core::{Corpus, Scores, Sentence, corpus::conll, metrics};
use apprentice_encoder::NetworkOptions;
use apprentice_student::{
    EpochReport, ModelCard, StepReport, Student, StudentError, TrainSettings, Trained, Trainer, TrainingData,
    TrainingPool, labels::Labels, tokenize::SubwordTokenizer,
};
use clap::Args as ClapArgs;
use serde::{Deserialize, Serialize};

use crate::{built_in, commands::models, inputs, output, progress::Progress, settings, unfinished};

/// Sub-words of the vocabulary that a student from scratch learns from its training text.
pub const SCRATCH_VOCABULARY: usize = 600;

#[derive(ClapArgs)]
pub struct Args {
    #[command(flatten)]
    flags: flags::Flags,
    /// TOML file with the same settings; flags override it.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Show what each epoch will draw, the learning rate, steps, tokens, memory and time, and do not train.
    #[arg(long, conflicts_with = "resume")]
    plan: bool,
    #[command(flatten)]
    checkpoints: unfinished::CheckpointFlags,
    /// Replace a run directory that exists.
    #[arg(long, help_heading = None)]
    overwrite: bool,
    /// Print the result as JSON instead of tables.
    #[arg(long, help_heading = None)]
    json: bool,
    /// Threads; all cores if not given. The result does not depend on it.
    #[arg(long, help_heading = None)]
    threads: Option<usize>,
}

/// The settings of one run, as written into its directory.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default = "built_in::name")]
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
    pub regimen: String,
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

/// A run that is over.
pub struct Finished {
    pub outcome: Outcome,
    pub student: Student,
}

/// One run.
pub struct Job<'a> {
    pub encoder: &'a str,
    pub training: &'a TrainSettings,
    pub keep_model: bool,
    /// Sentences of the original and of the distilled data.
    pub sizes: (usize, usize),
}

impl Job<'_> {
    /// Trains to the end, scores, and leaves the run directory; `watch` sees every step.
    pub fn complete(
        &self,
        mut run: unfinished::Run<'_>,
        trainer: Trainer,
        dev: Option<&[Sentence]>,
        test: Option<&[Sentence]>,
        progress: Progress,
        mut watch: impl FnMut(&StepReport),
    ) -> Result<Outcome> {
        let tokens = run.tokens_before;
        let mut finished = train(trainer, self.training, tokens, progress, |trainer, report| {
            watch(report);
            run.record(trainer, report)
        })?;
        let mut predictions = Vec::new();
        for (name, gold) in [("dev", dev), ("test", test)] {
            let (Some(gold), None) = (gold, &finished.outcome.stopped) else { continue };
            let predicted = finished.student.predict(gold, self.training.max_length)?;
            if name == "test" {
                let gold: Vec<_> = gold.iter().map(Sentence::entities).collect();
                finished.outcome.test = Some(metrics::entities(&gold, &predicted)?);
            }
            let tagged = gold.iter().zip(predicted).map(|(sentence, prediction)| prediction.onto(sentence.clone()));
            predictions.push((name, tagged.collect::<Result<Vec<_>, _>>()?));
        }
        let Finished { outcome, student } = finished;
        let card = card(&outcome, self.encoder, self.training, self.sizes)?;
        run.finish(|directory| {
            output::write_part(directory, unfinished::RESULT, serde_json::to_vec_pretty(&outcome)?)?;
            for (name, sentences) in predictions {
                let mut columns = Vec::new();
                conll::write(&mut columns, &sentences)?;
                output::write_part(directory, &format!("predictions.{name}.conll"), columns)?;
            }
            if self.keep_model {
                let model = directory.join("model");
                fs::create_dir(&model).with_context(|| format!("cannot make {}", model.display()))?;
                student.save(&model, &card)?;
            }
            Ok(())
        })?;
        Ok(outcome)
    }
}

pub fn run(args: &Args, progress: Progress) -> Result<()> {
    let mut defaults = toml::Table::new();
    args.checkpoints.check()?;
    if args.plan {
        // Nothing is written.
        defaults.insert("output".to_owned(), "run".into());
    }
    if args.checkpoints.resume {
        let output = args.flags.output.as_deref().context("--resume: which run? pass -o RUN")?;
        defaults = unfinished::settings_of(output, args.overwrite)?;
    }
    let settings: Settings = settings::resolve(&defaults, args.config.as_deref(), &args.flags)?;
    if !args.plan {
        output::check_directory(&settings.output, args.overwrite)?;
    }
    let original = inputs::labelled(&settings.original, progress)?;
    let distilled = inputs::labelled_pools(&settings.distilled, progress)?;
    let one = |path: &Option<PathBuf>| Ok::<_, anyhow::Error>(inputs::labelled(path.as_slice(), progress)?.pop());
    let (dev, test) = (one(&settings.dev)?, one(&settings.test)?);
    let of_pools = distilled.iter().flat_map(|(_, corpora)| corpora);
    let corpora: Vec<&Corpus> = original.iter().chain(of_pools).chain(&dev).chain(&test).collect();
    if original.is_empty() && distilled.is_empty() {
        bail!("no training data: pass --original FILE, --distilled FILE or both");
    }
    let types = inputs::label_set(&corpora, &settings.labels)?;
    let join = |corpora: Vec<Corpus>| corpora.into_iter().flat_map(|c| c.sentences).collect::<Vec<Sentence>>();
    let original = join(original);
    let distilled: Vec<(String, Vec<Sentence>)> = distilled.into_iter().map(|(name, c)| (name, join(c))).collect();
    let pools: Vec<TrainingPool> = distilled.iter().map(|(name, s)| TrainingPool::new(name, s)).collect();

    let options = NetworkOptions::with_threads(args.threads);
    let student = student(&settings.encoder, types, settings.training.seed, &options, || {
        original.iter().chain(distilled.iter().flat_map(|(_, sentences)| sentences)).cloned().collect()
    })?;
    let dev = dev.as_ref().map(|corpus| corpus.sentences.as_slice());
    let data = TrainingData { distilled: &pools, dev, ..TrainingData::original(&original) };
    if args.plan {
        return plan::show(Trainer::new(student, data, &settings.training)?, &settings.training, args.json);
    }
    let mut trainer = Trainer::new(student, data, &settings.training)?;
    let place = unfinished::Place {
        output: &settings.output,
        settings: toml::to_string_pretty(&settings)?,
        overwrite: args.overwrite,
    };
    let job = Job {
        encoder: &settings.encoder,
        training: &settings.training,
        keep_model: true,
        sizes: (original.len(), pools.iter().map(|pool| pool.sentences.len()).sum()),
    };
    let run = if args.checkpoints.resume {
        let steps = trainer.total_steps();
        unfinished::Run::resume(&place, &args.checkpoints, (&mut trainer, steps), progress)?
    } else {
        unfinished::Run::start(&place, &args.checkpoints, &mut trainer)?
    };
    let test = test.as_ref().map(|corpus| corpus.sentences.as_slice());
    let outcome = &job.complete(run, trainer, dev, test, progress, |_| ())?;
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
        None => Student::from_encoder(&models::directory(encoder)?, labels, seed, options)?,
    })
}

/// Runs the training loop to its end, or to where it diverges: then [`Outcome::stopped`] says why. `record` sees every
/// step; `tokens` counts those of an earlier process.
pub fn train(
    mut trainer: Trainer,
    settings: &TrainSettings,
    tokens: usize,
    progress: Progress,
    mut record: impl FnMut(&mut Trainer, &StepReport) -> Result<()>,
) -> Result<Finished> {
    let bar = progress.bar(trainer.total_steps(), &settings.regimen.to_string());
    let (mut stopped, mut seconds, mut timed, mut all) = (None, 0.0, 0, tokens);
    let scored = |report: &StepReport| report.epoch_end.as_ref().is_some_and(|end| end.dev.is_some());
    let mut clock = Instant::now();
    while let Some(report) = trainer.next() {
        match report {
            Ok(report) => {
                // Steps with the scoring of dev in them, which is no training, are left out of the speed.
                if !scored(&report) {
                    seconds += clock.elapsed().as_secs_f64();
                    timed += report.tokens;
                }
                all += report.tokens;
                progress.step(&bar, &report);
                record(&mut trainer, &report)?;
                clock = Instant::now();
            }
            Err(error @ StudentError::Diverged { .. }) => stopped = Some(error.to_string()),
            Err(error) => return Err(error.into()),
        }
    }
    bar.finish_and_clear();
    let Trained { student, epochs, best_epoch, steps: made } = trainer.finish()?;
    let tokens_per_second = if seconds > 0.0 { timed as f64 / seconds } else { 0.0 };
    let outcome = Outcome {
        regimen: settings.regimen.to_string(),
        steps: made,
        best_epoch,
        dev: best_epoch.and_then(|epoch| epochs.get(epoch - 1)?.dev.clone()),
        epochs,
        test: None,
        train_seconds: if tokens_per_second > 0.0 { all as f64 / tokens_per_second } else { 0.0 },
        tokens_per_second,
        stopped,
    };
    Ok(Finished { outcome, student })
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
