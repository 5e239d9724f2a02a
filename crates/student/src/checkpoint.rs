//! Checkpoints: all that a run needs to go on, bit for bit, as if it had never stopped.
//!
//! A checkpoint is a directory `step-NNNNNNNN` of three files: `numbers.safetensors` (weights, moments, the best weights
//! so far), `state.json` (where the run stands, and a fingerprint of what it runs on) and `SHA256SUMS` of both, as
//! `sha256sum -c` reads it. It is filled under another name and gets its own when it is on disk, so what has the name is
//! whole. What does not agree with its sums, or was made by a run on other data or settings, is refused by name, and the
//! one before it is tried; if none is left, that is an error and never a fresh start.

use std::{
    borrow::Cow,
    collections::HashMap,
    fmt, fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use apprentice_core::files;
use apprentice_encoder::Network;
use safetensors::{Dtype, SafeTensorError, SafeTensors, View, tensor::TensorView};
use serde::{
    Deserialize, Serialize,
    de::{DeserializeOwned, IgnoredAny},
};
use sha2::{Digest, Sha256};

use crate::{
    StudentError,
    checksum::{hash, hex},
};

const NUMBERS: &str = "numbers.safetensors";
const STATE: &str = "state.json";
const SUMS: &str = "SHA256SUMS";
const PREFIX: &str = "step-";
/// The layout of checkpoints that is written and read here.
const FORMAT: u32 = 1;

/// Where the checkpoints of a run lie, and how many of them stay.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    directory: PathBuf,
    keep: usize,
}

/// What a run was restored from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The checkpoint.
    pub path: PathBuf,
    /// Optimiser steps made.
    pub step: usize,
    /// Newer ones that were not used.
    pub refused: Vec<RefusedCheckpoint>,
}

/// A checkpoint that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedCheckpoint {
    /// Which one.
    pub path: PathBuf,
    /// What was found and expected.
    pub why: String,
}

impl fmt::Display for RefusedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.why)
    }
}

/// A run that checkpoints are made of, and that is put where another stood.
pub trait Resumable {
    /// Where it stands, but for the numbers.
    type State: Serialize + DeserializeOwned;

    /// Optimiser steps made so far.
    fn steps_made(&self) -> usize;

    /// A hash of what decides about the run, but for the weights that it starts from.
    fn fingerprint(&self) -> &str;

    /// What a checkpoint is made of: the state, and numbers by name.
    fn state(&mut self) -> (Self::State, Vec<(&'static str, &[f32])>);

    /// Puts a fresh run where another of the same fingerprint stood.
    ///
    /// # Errors
    /// What is wrong with the numbers, if they are not those of the state.
    fn restore(&mut self, state: Self::State, values: HashMap<String, Vec<f32>>) -> Result<(), String>;
}

/// The names of a checkpoint's numbers.
pub(crate) mod numbers {
    pub(crate) const WEIGHTS: &str = "weights";
    pub(crate) const MOMENTS: [&str; 2] = ["first_moments", "second_moments"];
    pub(crate) const BEST: &str = "best";
    pub(crate) const GOOD: &str = "good";
}

/// The numbers of a name, as many as the network has.
pub(crate) fn take(network: &Network, values: &mut HashMap<String, Vec<f32>>, name: &str) -> Result<Vec<f32>, String> {
    let length = network.layout().len();
    match values.remove(name) {
        Some(values) if values.len() == length => Ok(values),
        Some(values) => Err(format!("{} numbers of `{name}`, expected {length}", values.len())),
        None => Err(format!("no numbers of `{name}`")),
    }
}

/// Weights and moments by their names, and how many updates the moments are of.
pub(crate) fn network_state(network: &mut Network) -> (Option<u32>, Vec<(&'static str, &[f32])>) {
    let (parameters, moments) = network.state();
    let mut values = vec![(numbers::WEIGHTS, parameters.values())];
    values.extend(moments.iter().flat_map(|(moments, _)| numbers::MOMENTS.into_iter().zip(*moments)));
    (moments.map(|(_, updates)| updates), values)
}

/// Puts weights back, and moments that are of so many updates.
pub(crate) fn restore_network(
    network: &mut Network,
    values: &mut HashMap<String, Vec<f32>>,
    updates: Option<u32>,
) -> Result<(), String> {
    let weights = take(network, values, numbers::WEIGHTS)?;
    let moments = match updates {
        Some(updates) => {
            let [first, second] = numbers::MOMENTS.map(|name| take(network, values, name));
            Some(([first?, second?], updates))
        }
        None => None,
    };
    network.set_parameters(&weights).map_err(|error| error.to_string())?;
    if let Some((moments, updates)) = moments {
        network.set_moments(moments, updates).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Everything but the numbers.
#[derive(Serialize, Deserialize)]
struct File<S> {
    format: u32,
    /// Of settings, data and architecture.
    fingerprint: String,
    state: S,
}

impl Checkpoints {
    /// In this directory, which is made when it is needed; the newest `keep` stay, at least one.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>, keep: usize) -> Self {
        Self { directory: directory.into(), keep: keep.max(1) }
    }

    /// Writes where the run stands, then deletes the oldest beyond those that stay.
    ///
    /// # Errors
    /// If it cannot be written; the checkpoints from before are still there then.
    pub fn save(&self, run: &mut impl Resumable) -> Result<PathBuf, StudentError> {
        fs::create_dir_all(&self.directory).map_err(io_error(&self.directory))?;
        let path = self.directory.join(format!("{PREFIX}{:08}", run.steps_made()));
        files::write_directory_atomic(&path, true, |directory| write(directory, run))?;
        let mut all = self.all()?;
        // Later ones were refused when the run was restored: they do not count as the newest.
        all.retain(|other| *other <= path);
        for old in &all[..all.len().saturating_sub(self.keep)] {
            fs::remove_dir_all(old).map_err(io_error(old))?;
        }
        Ok(path)
    }

    /// Puts `run`, which must be fresh, where the newest checkpoint stands that can be used. What a process that was
    /// killed has left half-written is deleted.
    ///
    /// # Errors
    /// [`StudentError::NoCheckpoint`] if there is none that can be used.
    pub fn restore(&self, run: &mut impl Resumable) -> Result<Restored, StudentError> {
        files::remove_unfinished(&self.directory).map_err(io_error(&self.directory))?;
        let fingerprint = run.fingerprint().to_owned();
        let mut refused = Vec::new();
        for path in self.all()?.into_iter().rev() {
            match read(&path, &fingerprint, run) {
                Ok(()) => return Ok(Restored { path, step: run.steps_made(), refused }),
                Err(why) => refused.push(RefusedCheckpoint { path, why }),
            }
        }
        Err(StudentError::NoCheckpoint { path: self.directory.clone(), refused })
    }

    /// All that are there, the oldest first.
    fn all(&self) -> Result<Vec<PathBuf>, StudentError> {
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries.collect::<io::Result<Vec<_>>>(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        };
        let step = |path: &Path| path.file_name()?.to_str()?.strip_prefix(PREFIX)?.parse::<u64>().ok();
        let entries = entries.map_err(io_error(&self.directory))?.into_iter().map(|entry| entry.path());
        let mut all: Vec<(u64, PathBuf)> = entries.filter_map(|path| Some((step(&path)?, path))).collect();
        all.sort();
        Ok(all.into_iter().map(|(_, path)| path).collect())
    }
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> StudentError {
    let path = path.to_owned();
    |source| StudentError::Io { path, source }
}

fn write(directory: &Path, run: &mut impl Resumable) -> Result<(), StudentError> {
    let fingerprint = run.fingerprint().to_owned();
    let (state, numbers) = run.state();
    let file = File { format: FORMAT, fingerprint, state };
    let json = |source| StudentError::Json { path: directory.join(STATE), source };
    let put = |name: &str, content: &[u8]| {
        let path = directory.join(name);
        fs::File::create(&path).and_then(|mut file| file.write_all(content)).map_err(io_error(&path))
    };
    put(STATE, &serde_json::to_vec_pretty(&file).map_err(json)?)?;
    let path = directory.join(NUMBERS);
    let views = numbers.into_iter().map(|(name, values)| (name, Numbers(values, [values.len()])));
    safetensors::serialize_to_file(views, None, &path).map_err(|error| match error {
        SafeTensorError::IoError(source) => StudentError::Io { path: path.clone(), source },
        other => StudentError::Io { path: path.clone(), source: io::Error::other(other) },
    })?;
    let mut sums = String::new();
    for name in [NUMBERS, STATE] {
        let path = directory.join(name);
        let sum = fs::File::open(&path).and_then(|file| hash(Sha256::new(), file)).map_err(io_error(&path))?;
        sums.extend([&sum, "  ", name, "\n"]);
    }
    put(SUMS, sums.as_bytes())
}

/// Restores the run, or says why not; then it is as it was.
fn read(directory: &Path, fingerprint: &str, run: &mut impl Resumable) -> Result<(), String> {
    let content = |name: &str| fs::read(directory.join(name)).map_err(|error| format!("{name}: {error}"));
    let sums = content(SUMS)?;
    let sums = String::from_utf8_lossy(&sums);
    let sums: HashMap<&str, &str> =
        sums.lines().filter_map(|line| line.split_once("  ")).map(|(a, b)| (b, a)).collect();
    let checked = |name: &str| {
        let content = content(name)?;
        let agrees = sums.get(name).is_some_and(|said| *said == hex(&Sha256::digest(&content)));
        agrees.then_some(content).ok_or_else(|| format!("{name} does not agree with {SUMS}: one of them is damaged"))
    };
    let state = checked(STATE)?;
    let wrong = |error: serde_json::Error| format!("{STATE}: {error}");
    let outer: File<IgnoredAny> = serde_json::from_slice(&state).map_err(wrong)?;
    if outer.format != FORMAT {
        return Err(format!("{STATE}: format {}, expected {FORMAT}: it was made by another version", outer.format));
    }
    if outer.fingerprint != fingerprint {
        return Err("it is of a run on other data, another architecture or other settings".to_owned());
    }
    let file: File<_> = serde_json::from_slice(&state).map_err(wrong)?;
    run.restore(file.state, decode(&checked(NUMBERS)?)?)
}

/// A hash of whatever is written into it as text.
#[derive(Default)]
pub(crate) struct Hash(Sha256);

impl fmt::Write for Hash {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}

impl Hash {
    pub fn finish(self) -> String {
        hex(&self.0.finalize())
    }
}

/// Numbers whose bytes are made when they are written: one copy at a time.
struct Numbers<'a>(&'a [f32], [usize; 1]);

impl View for Numbers<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.1
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.0.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into()
    }

    fn data_len(&self) -> usize {
        size_of_val(self.0)
    }
}

fn decode(file: &[u8]) -> Result<HashMap<String, Vec<f32>>, String> {
    let tensors = SafeTensors::deserialize(file).map_err(|error| format!("{NUMBERS}: {error}"))?;
    let values = |view: &TensorView<'_>| match view.dtype() {
        Dtype::F32 => Ok(view.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()),
        other => Err(format!("{NUMBERS}: numbers of type {other:?}, expected F32")),
    };
    tensors.tensors().iter().map(|(name, view)| Ok((name.clone(), values(view)?))).collect()
}
