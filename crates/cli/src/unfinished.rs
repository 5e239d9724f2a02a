//! Runs that take long: the directory that is there when one is finished, and the unfinished one beside it that it goes on
//! from.

mod events;

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use apprentice_core::files;
use apprentice_student::{Checkpoints, PretrainStep, Resumable, StepReport};
use clap::Args;
use serde::{Deserialize, Serialize};

use self::events::{EVENTS, Events};
use crate::{output, progress::Progress};

const SETTINGS: &str = "settings.toml";
const METRICS: &str = "metrics.jsonl";
/// The file that a finished run has.
pub const RESULT: &str = "result.json";

/// When a run saves where it stands.
#[derive(Args)]
#[command(next_help_heading = "Checkpoints")]
pub struct CheckpointFlags {
    /// Go on with the unfinished run of -o, from its newest checkpoint, with the settings it was started with
    #[arg(long, conflicts_with = "config")]
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
pub fn directory_of(output: &Path) -> PathBuf {
    PathBuf::from(format!("{}.unfinished", output.display()))
}

/// A step of a run, as its files note it.
pub trait Step: Serialize {
    /// Counted from 1, and of how many.
    fn number(&self) -> (usize, usize);

    /// Its values by the names that their curves have.
    fn curves(&self) -> Vec<(String, f64)>;
}

impl Step for StepReport {
    fn number(&self) -> (usize, usize) {
        (self.step, self.steps)
    }

    fn curves(&self) -> Vec<(String, f64)> {
        let mut values = curves_of(self.loss, self.learning_rate, self.gradient_norm);
        if let Some(end) = &self.epoch_end {
            values.push(("epoch/loss".to_owned(), end.loss));
            values.extend(end.drawn.iter().map(|d| (format!("drawn/{}", d.pool), d.sentences as f64)));
            if let Some(scores) = &end.dev {
                values.push(("dev/micro_f1".to_owned(), scores.micro.prf.f1));
                values.push(("dev/macro_f1".to_owned(), scores.macro_gold.f1));
                values.extend(scores.per_type.iter().map(|(label, own)| (format!("dev/f1/{label}"), own.prf.f1)));
            }
        }
        values
    }
}

impl Step for PretrainStep {
    fn number(&self) -> (usize, usize) {
        (self.step, self.steps)
    }

    fn curves(&self) -> Vec<(String, f64)> {
        let mut values = curves_of(self.loss, self.learning_rate, self.gradient_norm);
        if let Some(held_out) = &self.held_out {
            values.push(("held_out/loss".to_owned(), held_out.loss));
            values.push(("held_out/accuracy".to_owned(), held_out.accuracy));
        }
        values
    }
}

/// What every step has.
fn curves_of(loss: f64, learning_rate: f64, gradient_norm: f64) -> Vec<(String, f64)> {
    let values = [("loss", loss), ("learning_rate", learning_rate), ("gradient_norm", gradient_norm)];
    values.map(|(name, value)| (format!("train/{name}"), value)).into()
}

/// Where a run's directory is to be, and the settings that stand in it.
pub struct Place<'a> {
    pub output: &'a Path,
    /// All settings in TOML.
    pub settings: String,
    /// Whether what is there may be replaced.
    pub overwrite: bool,
}

/// Whether there is an unfinished run.
pub fn was_begun(output: &Path) -> bool {
    directory_of(output).join(SETTINGS).exists()
}

/// The settings of the unfinished run that is to be resumed.
pub fn settings_of(output: &Path, overwrite: bool) -> Result<toml::Table> {
    let path = directory_of(output).join(SETTINGS);
    if !was_begun(output) {
        let finished = output.join(RESULT).exists();
        let what =
            if finished { "this run is finished" } else { "there is no unfinished run: start it without --resume" };
        bail!("--resume: {}: {what}", output.display());
    }
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    if output.exists() && !overwrite {
        let is_same = |name: &str| fs::read(output.join(name)).ok() == fs::read(directory_of(output).join(name)).ok();
        if is_same(SETTINGS) && is_same(METRICS) && output.join(RESULT).exists() {
            // The process ended between the last two steps of finishing.
            files::remove_directory(&directory_of(output))
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
    place: &'a Place<'a>,
    flags: &'a CheckpointFlags,
    pub directory: PathBuf,
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
    pub fn start(place: &'a Place<'a>, flags: &'a CheckpointFlags, run: &mut impl Resumable) -> Result<Self> {
        let begun = Self::begin(place, flags)?;
        // There is nothing yet to go on from.
        begun.save(run).inspect_err(|_| drop(files::remove_directory(&begun.directory)))?;
        Ok(begun)
    }

    /// A new run that has no checkpoint yet: its directory is there for what it needs.
    pub fn begin(place: &'a Place<'a>, flags: &'a CheckpointFlags) -> Result<Self> {
        let directory = directory_of(place.output);
        if directory.exists() {
            if !place.overwrite {
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
        let begin = || {
            output::write_file(&directory.join(SETTINGS), true, place.settings.as_bytes())?;
            let path = directory.join(METRICS);
            let file = File::create_new(&path).with_context(|| format!("cannot write {}", path.display()))?;
            let mut begun = Self::new(place, flags, locked(file, &directory)?);
            begun.begin_events(0)?;
            Ok(begun)
        };
        begin().inspect_err(|_| drop(files::remove_directory(&directory)))
    }

    /// The unfinished run, with `run` where its newest checkpoint stands that can be used, of so many steps.
    pub fn resume(
        place: &'a Place<'a>,
        flags: &'a CheckpointFlags,
        (run, steps): (&mut impl Resumable, usize),
        progress: Progress,
    ) -> Result<Self> {
        let directory = directory_of(place.output);
        let path = directory.join(METRICS);
        let open = || File::options().read(true).append(true).create(true).open(&path);
        let file = locked(open().with_context(|| format!("cannot write {}", path.display()))?, &directory)?;
        files::remove_unfinished(&directory).with_context(|| format!("cannot clear {}", directory.display()))?;
        let mut begun = Self::new(place, flags, file);
        let restored = begun.checkpoints.restore(run).context("--resume")?;
        for refused in &restored.refused {
            progress.note(format_args!("checkpoint not used: {refused}"));
        }
        begun.tokens_before = begun.cut_metrics(restored.step, &path)?;
        begun.begin_events(restored.step)?;
        progress.note(format_args!("resumed at step {} of {steps}", restored.step));
        Ok(begun)
    }

    fn new(place: &'a Place<'a>, flags: &'a CheckpointFlags, metrics: File) -> Self {
        let directory = directory_of(place.output);
        let checkpoints = Checkpoints::new(directory.join("checkpoints"), flags.keep);
        let (events, tokens_before, saved) = (None, 0, Instant::now());
        Self { place, flags, directory, checkpoints, metrics, events, tokens_before, saved }
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
    pub fn record(&mut self, run: &mut impl Resumable, report: &impl Step) -> Result<()> {
        let mut line = serde_json::to_vec(report)?;
        line.push(b'\n');
        self.metrics.write_all(&line).with_context(|| format!("cannot write {METRICS}"))?;
        let (step, steps) = report.number();
        self.events.as_mut().map_or(Ok(()), |events| events.record(step, report.curves()))?;
        let by_steps = self.flags.checkpoint_steps.is_some_and(|every| step.is_multiple_of(every));
        let by_time = self.saved.elapsed().as_secs_f64() >= self.flags.checkpoint_minutes * 60.0;
        if (by_steps || by_time) && step < steps {
            self.save(run)?;
            self.saved = Instant::now();
        }
        Ok(())
    }

    /// Makes a checkpoint.
    pub fn save(&self, run: &mut impl Resumable) -> Result<()> {
        // A checkpoint stands for lines that are on disk.
        self.metrics.sync_data().with_context(|| format!("cannot write {METRICS}"))?;
        let advice =
            || "the checkpoint cannot be written; make room or mend the disk, then --resume goes on".to_owned();
        self.checkpoints.save(run).with_context(advice)?;
        Ok(())
    }

    /// Puts the run directory in its place in one step, with settings, metrics, curves and what `fill` puts into it, and deletes
    /// the unfinished one.
    pub fn finish(self, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let (metrics, events) = (self.directory.join(METRICS), self.directory.join(EVENTS));
        files::write_directory_atomic(self.place.output, self.place.overwrite, |directory| {
            output::write_part(directory, SETTINGS, &self.place.settings)?;
            fs::copy(&metrics, directory.join(METRICS))
                .with_context(|| format!("cannot copy {}", metrics.display()))?;
            if events.exists() {
                copy_files(&events, &directory.join(EVENTS))
                    .with_context(|| format!("cannot copy {}", events.display()))?;
            }
            fill(directory)
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
