//! The run directory, and the unfinished one beside it that a run goes on from.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use apprentice_core::{Sentence, corpus::conll, files};
use apprentice_student::{Checkpoints, StepReport, Trainer};
use clap::Args;
use serde::Deserialize;

use super::{
    Finished, Job, card,
    events::{EVENTS, Events},
};
use crate::{output, progress::Progress};

const SETTINGS: &str = "settings.toml";
const METRICS: &str = "metrics.jsonl";
const RESULT: &str = "result.json";

/// When a run saves where it stands.
#[derive(Args)]
#[command(next_help_heading = "Checkpoints")]
pub struct CheckpointFlags {
    /// Go on with the unfinished run of -o, from its newest checkpoint, with the settings it was started with
    #[arg(long, conflicts_with_all = ["plan", "config"])]
    pub resume: bool,
    /// The minutes between checkpoints; one is always made at the start
    #[arg(long, value_name = "MINUTES", default_value_t = 10.0)]
    checkpoint_minutes: f64,
    /// Make a checkpoint after every so many steps as well
    #[arg(long, value_name = "STEPS")]
    checkpoint_steps: Option<usize>,
    /// How many checkpoints stay; should the newest be damaged, the one before is used
    #[arg(long, value_name = "N", default_value_t = 2)]
    keep: usize,
    /// Write the curves for TensorBoard, too, into the folder `tensorboard` of the run (of RUN.unfinished until it is
    /// finished)
    #[arg(long, help_heading = None)]
    tensorboard: bool,
}

impl Default for CheckpointFlags {
    /// As if none was given.
    fn default() -> Self {
        Self { resume: false, checkpoint_minutes: 10.0, checkpoint_steps: None, keep: 2, tensorboard: false }
    }
}

impl CheckpointFlags {
    pub fn check(&self) -> Result<()> {
        let minutes = self.checkpoint_minutes;
        if Duration::try_from_secs_f64(minutes * 60.0).is_err() {
            bail!("--checkpoint-minutes {minutes}: expected a number of minutes");
        }
        match (self.checkpoint_steps, self.keep) {
            (Some(0), _) => bail!("--checkpoint-steps 0: expected at least 1"),
            (_, 0) => bail!("--keep 0: expected at least 1"),
            _ => Ok(()),
        }
    }
}

/// Where a run lies until it is finished.
fn unfinished(output: &Path) -> PathBuf {
    PathBuf::from(format!("{}.unfinished", output.display()))
}

/// Whether there is an unfinished run.
pub fn was_begun(output: &Path) -> bool {
    unfinished(output).join(SETTINGS).exists()
}

/// The settings of the unfinished run that is to be resumed.
pub fn settings_of(output: &Path, overwrite: bool) -> Result<toml::Table> {
    let path = unfinished(output).join(SETTINGS);
    if !was_begun(output) {
        let finished = output.join(RESULT).exists();
        let what =
            if finished { "this run is finished" } else { "there is no unfinished run: start it without --resume" };
        bail!("--resume: {}: {what}", output.display());
    }
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    if output.exists() && !overwrite {
        let is_same = |name: &str| fs::read(output.join(name)).ok() == fs::read(unfinished(output).join(name)).ok();
        if is_same(SETTINGS) && is_same(METRICS) && output.join(RESULT).exists() {
            // The process ended between the last two steps of finishing.
            files::remove_directory(&unfinished(output))
                .with_context(|| format!("cannot delete {}", path.display()))?;
            bail!("--resume: {}: this run is finished", output.display());
        }
        bail!(
            "--resume: {} exists: with --overwrite, too, the unfinished run replaces it when it is finished",
            output.display()
        );
    }
    text.parse().with_context(|| format!("{}: not TOML", path.display()))
}

/// A run under way.
pub struct Run<'a> {
    job: &'a Job<'a>,
    flags: &'a CheckpointFlags,
    directory: PathBuf,
    checkpoints: Checkpoints,
    /// Locked, so that no other process goes on with the same run.
    metrics: File,
    events: Option<Events>,
    /// Sub-words of the steps before this process.
    pub tokens_before: usize,
    saved: Instant,
}

impl<'a> Run<'a> {
    /// A new run, with its first checkpoint: a disk that is full or cannot be written to is noticed before anything is
    /// computed.
    pub fn start(job: &'a Job<'a>, flags: &'a CheckpointFlags, trainer: &mut Trainer) -> Result<Self> {
        let directory = unfinished(job.output);
        if directory.exists() {
            if !job.overwrite {
                bail!(
                    "{}: a run was begun here and not finished: --resume goes on with it, --overwrite begins anew",
                    directory.display()
                );
            }
            if !directory.join(SETTINGS).exists() {
                // One that was killed while it wrote them leaves a part.
                files::remove_unfinished(&directory)
                    .with_context(|| format!("cannot clear {}", directory.display()))?;
            }
            if !directory.join(SETTINGS).exists() && fs::read_dir(&directory).is_ok_and(|mut all| all.next().is_some())
            {
                bail!("{}: not an unfinished run: it is not overwritten, choose another output", directory.display());
            }
            // Nobody else may be at work in it.
            let held = File::open(directory.join(METRICS)).map(|file| locked(file, &directory)).ok().transpose()?;
            files::remove_directory(&directory).with_context(|| format!("cannot delete {}", directory.display()))?;
            drop(held);
        }
        fs::create_dir(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        let mut begin = || {
            output::write_file(&directory.join(SETTINGS), true, job.settings.as_bytes())?;
            let path = directory.join(METRICS);
            let file = File::create_new(&path).with_context(|| format!("cannot write {}", path.display()))?;
            let mut run = Self::new(job, flags, locked(file, &directory)?);
            run.save(trainer)?;
            run.begin_events(0)?;
            Ok(run)
        };
        // There is nothing yet to go on from.
        begin().inspect_err(|_| drop(files::remove_directory(&directory)))
    }

    /// The unfinished run, with the trainer where its newest checkpoint stands that can be used.
    pub fn resume(
        job: &'a Job<'a>,
        flags: &'a CheckpointFlags,
        trainer: &mut Trainer,
        progress: Progress,
    ) -> Result<Self> {
        let directory = unfinished(job.output);
        let path = directory.join(METRICS);
        let open = || File::options().read(true).append(true).create(true).open(&path);
        let file = locked(open().with_context(|| format!("cannot write {}", path.display()))?, &directory)?;
        files::remove_unfinished(&directory).with_context(|| format!("cannot clear {}", directory.display()))?;
        let mut run = Self::new(job, flags, file);
        let restored = run.checkpoints.restore(trainer).context("--resume")?;
        for refused in &restored.refused {
            progress.note(format_args!("checkpoint not used: {refused}"));
        }
        run.tokens_before = run.cut_metrics(restored.step, &path)?;
        run.begin_events(restored.step)?;
        progress.note(format_args!("resumed at step {} of {}", restored.step, trainer.total_steps()));
        Ok(run)
    }

    fn new(job: &'a Job<'a>, flags: &'a CheckpointFlags, metrics: File) -> Self {
        let directory = unfinished(job.output);
        let checkpoints = Checkpoints::new(directory.join("checkpoints"), flags.keep);
        let (events, tokens_before, saved) = (None, 0, Instant::now());
        Self { job, flags, directory, checkpoints, metrics, events, tokens_before, saved }
    }

    fn begin_events(&mut self, step: usize) -> Result<()> {
        if self.flags.tensorboard || self.directory.join(EVENTS).exists() {
            self.events = Some(Events::create(&self.directory, step)?);
        }
        Ok(())
    }

    /// Leaves out what was noted after the checkpoint: it will be noted again. Gives the sub-words of what is left.
    fn cut_metrics(&mut self, steps: usize, path: &Path) -> Result<usize> {
        #[derive(Deserialize)]
        struct Step {
            step: usize,
            tokens: usize,
        }
        let cannot = || format!("cannot read {}", path.display());
        let (mut end, mut tokens, mut last) = (0, 0, 0);
        let mut lines = BufReader::new(File::open(path).with_context(cannot)?);
        let mut line = String::new();
        while last < steps && lines.read_line(&mut line).with_context(cannot)? > 0 {
            let Ok(step) = serde_json::from_str::<Step>(&line) else { break };
            (end, tokens, last) = (end + line.len() as u64, tokens + step.tokens, step.step);
            line.clear();
        }
        if last != steps {
            bail!(
                "{}: ends with step {last}, but the checkpoint is of step {steps}: it was changed by somebody else; \
                 --overwrite begins anew",
                path.display()
            );
        }
        self.metrics.set_len(end).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(tokens)
    }

    /// Notes a step, and makes a checkpoint when it is time.
    pub fn record(&mut self, trainer: &mut Trainer, report: &StepReport) -> Result<()> {
        let mut line = serde_json::to_vec(report)?;
        line.push(b'\n');
        self.metrics.write_all(&line).with_context(|| format!("cannot write {METRICS}"))?;
        self.events.as_mut().map_or(Ok(()), |events| events.record(report))?;
        let by_steps = self.flags.checkpoint_steps.is_some_and(|every| report.step.is_multiple_of(every));
        let by_time = self.saved.elapsed().as_secs_f64() >= self.flags.checkpoint_minutes * 60.0;
        if (by_steps || by_time) && report.step < report.steps {
            self.save(trainer)?;
            self.saved = Instant::now();
        }
        Ok(())
    }

    fn save(&self, trainer: &mut Trainer) -> Result<()> {
        // A checkpoint stands for lines that are on disk.
        self.metrics.sync_data().with_context(|| format!("cannot write {METRICS}"))?;
        let advice =
            || "the checkpoint cannot be written; make room or mend the disk, then --resume goes on".to_owned();
        self.checkpoints.save(trainer).with_context(advice)?;
        Ok(())
    }

    /// Puts the run directory in its place in one step, and deletes the unfinished one.
    pub fn finish(self, finished: &Finished, predictions: &[(&str, Vec<Sentence>)]) -> Result<()> {
        let Finished { outcome, student } = finished;
        let Job { output, encoder, training, settings, keep_model, overwrite, sizes } = self.job;
        let card = card(outcome, encoder, training, *sizes)?;
        let (metrics, events) = (self.directory.join(METRICS), self.directory.join(EVENTS));
        files::write_directory_atomic(output, *overwrite, |directory| {
            output::write_part(directory, SETTINGS, settings)?;
            fs::copy(&metrics, directory.join(METRICS))
                .with_context(|| format!("cannot copy {}", metrics.display()))?;
            if events.exists() {
                copy_files(&events, &directory.join(EVENTS))
                    .with_context(|| format!("cannot copy {}", events.display()))?;
            }
            output::write_part(directory, RESULT, serde_json::to_vec_pretty(outcome)?)?;
            for (name, sentences) in predictions {
                let mut columns = Vec::new();
                conll::write(&mut columns, sentences)?;
                output::write_part(directory, &format!("predictions.{name}.conll"), columns)?;
            }
            if *keep_model {
                let model = directory.join("model");
                fs::create_dir(&model).with_context(|| format!("cannot make {}", model.display()))?;
                student.save(&model, &card)?;
            }
            anyhow::Ok(())
        })?;
        files::remove_directory(&self.directory).with_context(|| format!("cannot delete {}", self.directory.display()))
    }
}

/// Copies the files of a folder into a new one.
fn copy_files(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// The metrics' file, held against other processes.
fn locked(file: File, directory: &Path) -> Result<File> {
    // Where there are no locks, nobody is kept out.
    if let Err(fs::TryLockError::WouldBlock) = file.try_lock() {
        bail!("{}: another process is at work on this run", directory.display());
    }
    Ok(file)
}
