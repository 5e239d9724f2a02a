//! What was done: a directory that several processes, and machines that share it, write to.
//!
//! ```text
//! runs/ID/claim            locked while somebody is at work on the run
//! runs/ID/run/             the finished run, as `train` writes it, without the model unless that is to be kept
//! runs/ID/run.unfinished/  one that is under way or was cut off, with its checkpoints
//! runs/ID/failed.json      why it came to nothing
//! data/HASH.jsonl          the sentences of a data set
//! NAME/grid.json           an experiment and the ids of its runs
//! NAME/…                   its report
//! ```

use std::{
    fmt,
    fs::{self, File, TryLockError},
    io::{self, BufRead, BufReader, Seek, Write},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use apprentice_core::{
    Corpus, Scores, Sentence,
    corpus::{Format, ReadOptions, Source, WriteOptions, Writer},
    files::{self, AtomicFile},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Grid, LabError, fingerprint};

/// The directory.
#[derive(Debug, Clone)]
pub struct Ledger {
    root: PathBuf,
}

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum State {
    /// Nobody has begun it.
    Pending,
    /// Somebody is at work on it.
    Running {
        /// Where, and since when, if that can be read.
        who: String,
    },
    /// It was cut off, and goes on from its newest checkpoint.
    Interrupted,
    /// It came to nothing; it is tried again when the experiment is run again.
    Failed {
        /// Why.
        reason: String,
    },
    /// It is done.
    Done,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pending => f.write_str("to be done"),
            Self::Running { who } => write!(f, "running: {who}"),
            Self::Interrupted => f.write_str("interrupted"),
            Self::Failed { reason } => write!(f, "failed: {reason}"),
            Self::Done => f.write_str("done"),
        }
    }
}

/// What a finished run left in numbers.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Record {
    /// Optimiser steps.
    pub steps: usize,
    /// The epoch, from 1, whose weights were kept, if chosen on dev.
    pub best_epoch: Option<usize>,
    /// What each epoch drew and how it ended.
    pub epochs: Vec<EpochRecord>,
    /// Scores on dev, of the weights that were kept.
    pub dev: Option<Scores>,
    /// Scores on test, of the same.
    pub test: Option<Scores>,
    /// The time in training steps, scoring left out.
    pub train_seconds: f64,
    /// Sub-words per second in training.
    pub tokens_per_second: f64,
    /// Why it was cut short, if it was.
    #[serde(default)]
    pub stopped: Option<String>,
    /// What it ran on.
    #[serde(skip)]
    pub origin: Origin,
}

/// One epoch of a run.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct EpochRecord {
    /// Counted from 1.
    pub epoch: usize,
    /// What was drawn from each pool, the original data first.
    pub drawn: Vec<DrawnRecord>,
    /// The mean of its steps' losses.
    pub loss: f64,
    /// Scores on dev at its end.
    pub dev: Option<Scores>,
}

/// What an epoch took from one pool.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct DrawnRecord {
    /// The pool's name.
    pub pool: String,
    /// How many sentences.
    pub sentences: usize,
}

/// Where and with what a run was made.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// The program's version.
    pub version: String,
    /// The processor and how many of its cores were used.
    pub machine: String,
    /// From beginning to end in seconds, scoring and loading included; of the last process, if it was cut off.
    pub seconds: f64,
}

/// Dev F1 over the steps: each epoch's last step and its micro F1.
pub type Curve = Vec<(usize, f64)>;

/// The right to work on a run, as long as it is held.
#[derive(Debug)]
pub struct Claim {
    _locked: File,
}

/// What became of the runs that were asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Done now.
    pub done: usize,
    /// Done before.
    pub known: usize,
    /// Came to nothing.
    pub failed: usize,
    /// Somebody else is at work on them.
    pub elsewhere: usize,
}

#[derive(Serialize, Deserialize)]
struct Failure {
    reason: String,
}

const ORIGIN: &str = "origin.json";

impl Ledger {
    /// Opens a ledger, or makes it.
    ///
    /// # Errors
    /// If the directory cannot be made.
    pub fn open(root: &Path) -> Result<Self, LabError> {
        for part in ["runs", "data"] {
            let path = root.join(part);
            fs::create_dir_all(&path).map_err(LabError::io(path))?;
        }
        Ok(Self { root: root.to_owned() })
    }

    /// The folder of an experiment.
    #[must_use]
    pub fn folder(&self, experiment: &str) -> PathBuf {
        self.root.join(experiment)
    }

    /// The run directory of a run, which is there once it is done.
    #[must_use]
    pub fn run(&self, id: &str) -> PathBuf {
        self.of(id, "run")
    }

    fn of(&self, id: &str, part: &str) -> PathBuf {
        self.root.join("runs").join(id).join(part)
    }

    /// Where a run stands.
    #[must_use]
    pub fn state(&self, id: &str) -> State {
        if self.is_done(id) {
            return State::Done;
        }
        let claim = self.of(id, "claim");
        if File::open(&claim).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock))) {
            return State::Running { who: fs::read_to_string(claim).unwrap_or_default() };
        }
        if let Ok(Failure { reason }) = read_json(&self.of(id, "failed.json")) {
            return State::Failed { reason };
        }
        if self.of(id, "run.unfinished").exists() { State::Interrupted } else { State::Pending }
    }

    fn is_done(&self, id: &str) -> bool {
        self.run(id).join(ORIGIN).exists()
    }

    /// The right to work on a run, unless somebody else has it; what one who was killed left half-written is deleted. Where
    /// files cannot be locked, nobody is kept out.
    ///
    /// # Errors
    /// If the ledger cannot be written.
    pub fn claim(&self, id: &str) -> Result<Option<Claim>, LabError> {
        let folder = self.root.join("runs").join(id);
        fs::create_dir_all(&folder).map_err(LabError::io(&folder))?;
        let path = self.of(id, "claim");
        let open = File::options().create(true).truncate(false).write(true).open(&path);
        let mut file = open.map_err(LabError::io(&path))?;
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Ok(None);
        }
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let who = format!("process {} on {}", std::process::id(), host.trim());
        let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(who.as_bytes()));
        written.map_err(LabError::io(&path))?;
        files::remove_unfinished(&folder).map_err(LabError::io(&folder))?;
        Ok(Some(Claim { _locked: file }))
    }

    /// Does the runs that are not done, so many at a time, in order. `train` is told the worker, from 0, and the run's id,
    /// and leaves the directory [`Self::run`]; why a run comes to nothing is noted, and the others go on. `tell` hears of
    /// each run that ends.
    ///
    /// # Errors
    /// If the ledger cannot be written; runs under way are finished before that is returned.
    pub fn work(
        &self,
        ids: &[&str],
        workers: usize,
        train: impl Fn(usize, &str) -> Result<Origin, String> + Sync,
        tell: impl Fn(&str, &State) + Sync,
    ) -> Result<Tally, LabError> {
        let next = AtomicUsize::new(0);
        let tally = Mutex::new(Ok(Tally::default()));
        let one = |worker: usize, id: &str| -> Result<fn(&mut Tally) -> &mut usize, LabError> {
            if self.is_done(id) {
                return Ok(|tally| &mut tally.known);
            }
            let Some(_claim) = self.claim(id)? else { return Ok(|tally| &mut tally.elsewhere) };
            if self.is_done(id) {
                return Ok(|tally| &mut tally.known);
            }
            match train(worker, id) {
                Ok(origin) => {
                    write_json(&self.run(id).join(ORIGIN), &origin)?;
                    remove(&self.of(id, "failed.json"))?;
                    tell(id, &State::Done);
                    Ok(|tally| &mut tally.done)
                }
                Err(reason) => {
                    write_json(&self.of(id, "failed.json"), &Failure { reason: reason.clone() })?;
                    tell(id, &State::Failed { reason });
                    Ok(|tally| &mut tally.failed)
                }
            }
        };
        std::thread::scope(|scope| {
            for worker in 0..workers.min(ids.len()) {
                let (next, tally, one) = (&next, &tally, &one);
                scope.spawn(move || {
                    while let Some(id) = ids.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let ended = one(worker, id);
                        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                        match (&mut *tally, ended) {
                            (Ok(tally), Ok(which)) => *which(tally) += 1,
                            (Ok(_), Err(error)) => *tally = Err(error),
                            (Err(_), _) => {}
                        }
                        if tally.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        tally.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// The numbers of a finished run; none if it is not done.
    ///
    /// # Errors
    /// If its files are broken.
    pub fn record(&self, id: &str) -> Result<Option<Record>, LabError> {
        if !self.is_done(id) {
            return Ok(None);
        }
        let mut record: Record = read_json(&self.run(id).join("result.json"))?;
        record.origin = read_json(&self.run(id).join(ORIGIN))?;
        Ok(Some(record))
    }

    /// How a finished run got better on dev.
    ///
    /// # Errors
    /// If its metrics cannot be read.
    pub fn curve(&self, id: &str) -> Result<Curve, LabError> {
        #[derive(Deserialize)]
        struct Step {
            step: usize,
            epoch_end: Option<EpochRecord>,
        }
        let path = self.run(id).join("metrics.jsonl");
        let mut curve = Curve::new();
        for line in BufReader::new(File::open(&path).map_err(LabError::io(&path))?).lines() {
            let line = line.map_err(LabError::io(&path))?;
            let step: Step = serde_json::from_str(&line).map_err(broken(&path))?;
            if let Some(dev) = step.epoch_end.and_then(|end| end.dev) {
                curve.push((step.step, dev.micro.prf.f1));
            }
        }
        Ok(curve)
    }

    /// What a finished run predicts on `dev` or `test`.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn predictions(&self, id: &str, set: &str) -> Result<Vec<Sentence>, LabError> {
        read_sentences(&self.run(id).join(format!("predictions.{set}.conll")))
    }

    /// Keeps sentences, under their fingerprint.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn keep(&self, sentences: &[Sentence]) -> Result<String, LabError> {
        let hash = fingerprint(sentences);
        let path = self.sentences_path(&hash);
        if !path.exists() {
            let mut file = AtomicFile::create(&path, true)?;
            let mut writer = Writer::new(Format::Jsonl, &mut file, &WriteOptions::default())?;
            for sentence in sentences {
                writer.write(&sentence.into())?;
            }
            writer.finish()?;
            file.commit()?;
        }
        Ok(hash)
    }

    /// The sentences that were kept under a fingerprint.
    ///
    /// # Errors
    /// If they are not there, cannot be read, or have been changed since.
    pub fn sentences(&self, hash: &str) -> Result<Vec<Sentence>, LabError> {
        let path = self.sentences_path(hash);
        let sentences = read_sentences(&path)?;
        if fingerprint(&sentences) != hash {
            let problem = "it was changed since it was written: run the experiment again to write it anew".to_owned();
            return Err(LabError::Ledger { path, problem });
        }
        Ok(sentences)
    }

    fn sentences_path(&self, hash: &str) -> PathBuf {
        self.root.join("data").join(format!("{hash}.jsonl"))
    }

    /// Notes an experiment.
    ///
    /// # Errors
    /// If it cannot be written, or has the name of one of the ledger's own folders.
    pub fn save(&self, grid: &Grid) -> Result<(), LabError> {
        let name = &grid.experiment.name;
        if ["runs", "data"].contains(&name.as_str()) {
            return Err(grid.experiment.error("this is a folder of every ledger: choose another name"));
        }
        let folder = self.folder(name);
        fs::create_dir_all(&folder).map_err(LabError::io(&folder))?;
        write_json(&folder.join("grid.json"), grid)
    }

    /// An experiment by its name.
    ///
    /// # Errors
    /// If it is not there or broken.
    pub fn grid(&self, name: &str) -> Result<Grid, LabError> {
        read_json(&self.folder(name).join("grid.json"))
    }

    /// The names of the experiments.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn experiments(&self) -> Result<Vec<String>, LabError> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(LabError::io(&self.root))? {
            let entry = entry.map_err(LabError::io(&self.root))?;
            if entry.path().join("grid.json").exists() {
                names.extend(entry.file_name().into_string());
            }
        }
        names.sort();
        Ok(names)
    }
}

fn read_sentences(path: &Path) -> Result<Vec<Sentence>, LabError> {
    Ok(Corpus::read(&Source::of(path), &ReadOptions::default()).map_err(Box::new)?.sentences)
}

fn broken(path: &Path) -> impl Fn(serde_json::Error) -> LabError {
    move |error| LabError::Ledger { path: path.to_owned(), problem: format!("not the expected JSON: {error}") }
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, LabError> {
    let text = fs::read_to_string(path).map_err(LabError::io(path))?;
    serde_json::from_str(&text).map_err(broken(path))
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), LabError> {
    files::write_atomic(path, true, |file| {
        serde_json::to_writer_pretty(&mut *file, value)?;
        file.write_all(b"\n")
    })?;
    Ok(())
}

fn remove(path: &Path) -> Result<(), LabError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(LabError::io(path)(error)),
        _ => Ok(()),
    }
}
