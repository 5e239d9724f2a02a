//! What is in the cache, whoever put it there.

use std::{
    fs,
    path::{Path, PathBuf},
};

use apprentice_encoder::EncoderConfig;
use serde::Serialize;

use super::{
    HubError, ModelName, Revision,
    needed::{self, CONFIG, INDEX, TOKENIZERS, WEIGHTS},
    repository::{Repository, contents_if_there, names_in},
};

/// The largest config, and the largest index of weights in parts, in bytes.
const LARGEST_JSON: u64 = 16 << 20;

/// The cache of models.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

/// A revision of a model in the cache.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct CachedModel {
    /// The model's name.
    pub name: String,
    /// The revisions that were last seen at this commit.
    pub revisions: Vec<String>,
    /// The commit.
    pub commit: String,
    /// The family by its `config.json`, such as `bert`.
    pub family: Option<String>,
    /// The size of the weights, in bytes.
    pub weights_bytes: u64,
    /// The model directory.
    pub path: PathBuf,
    /// Why it cannot be used as an encoder, if so.
    pub problem: Option<String>,
}

impl Cache {
    /// The cache in this directory, which need not be there.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The directory of a model with its config, weights and tokeniser. The network is not used.
    ///
    /// # Errors
    /// [`HubError::NotCached`] if something is missing.
    pub fn find(&self, name: &ModelName, revision: &Revision) -> Result<PathBuf, HubError> {
        let repository = Repository::new(&self.root, name);
        let snapshot = repository.commit_of(revision)?.map(|commit| repository.snapshot(&commit));
        let lacks = match snapshot.filter(|snapshot| snapshot.is_dir()) {
            None => "it was never fetched".to_owned(),
            Some(snapshot) => match weights(&snapshot).and_then(|_| lacks_small(&snapshot)) {
                Ok(()) => return Ok(snapshot),
                Err(lacks) => lacks,
            },
        };
        let (name, revision, cache) = (name.clone(), revision.clone(), self.root.clone());
        Err(HubError::NotCached { name, revision, cache, lacks, offline: false })
    }

    /// All models, by name and commit, also those that cannot be used as encoders.
    ///
    /// # Errors
    /// If a directory of the cache cannot be read.
    pub fn models(&self) -> Result<Vec<CachedModel>, HubError> {
        let mut models = Vec::new();
        for name in names_in(&self.root)?.iter().filter_map(|folder| ModelName::of_folder(folder)) {
            let repository = Repository::new(&self.root, &name);
            for (commit, revisions) in repository.commits()? {
                models.push(CachedModel::read(&name, repository.snapshot(&commit), commit, revisions)?);
            }
        }
        Ok(models)
    }
}

impl CachedModel {
    fn read(name: &ModelName, path: PathBuf, commit: String, revisions: Vec<String>) -> Result<Self, HubError> {
        let config = contents_if_there(&path.join(CONFIG), LARGEST_JSON)?;
        let config = config.and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok());
        let family = config.and_then(|config| Some(config.get("model_type")?.as_str()?.to_owned()));
        let weights = weights(&path);
        let problem = weights.as_ref().err().cloned().or_else(|| lacks_small(&path).err());
        let problem = problem.or_else(|| EncoderConfig::read(&path.join(CONFIG)).err().map(|error| error.to_string()));
        let length = |file: &PathBuf| fs::metadata(file).map_or(0, |file| file.len());
        let weights_bytes = weights.iter().flatten().map(length).sum();
        Ok(Self { name: name.to_string(), revisions, commit, family, weights_bytes, path, problem })
    }
}

/// The files of a snapshot's weights, or what it lacks of them.
fn weights(snapshot: &Path) -> Result<Vec<PathBuf>, String> {
    let whole = snapshot.join(WEIGHTS);
    if whole.is_file() {
        return Ok(vec![whole]);
    }
    let index = contents_if_there(&snapshot.join(INDEX), LARGEST_JSON).map_err(|error| error.to_string())?;
    let Some(index) = index else {
        let pickle = names_in(snapshot).unwrap_or_default().into_iter().find(|file| needed::is_pickle(file));
        let instead = pickle.map_or(String::new(), |file| format!(", but {file}, a pickle, which is never opened"));
        return Err(format!("it has no {WEIGHTS}{instead}"));
    };
    let parts = needed::parts(&index).map_err(|problem| format!("{INDEX}: {problem}"))?;
    let parts: Vec<PathBuf> = parts.into_iter().map(|part| snapshot.join(part)).collect();
    match parts.iter().find(|part| !part.is_file()) {
        Some(part) => Err(format!("it lacks {}", part.file_name().unwrap_or_default().display())),
        None => Ok(parts),
    }
}

/// What a snapshot lacks besides weights.
fn lacks_small(snapshot: &Path) -> Result<(), String> {
    let has = |file: &str| snapshot.join(file).is_file();
    if !has(CONFIG) {
        Err(format!("it has no {CONFIG}"))
    } else if TOKENIZERS.into_iter().any(has) {
        Ok(())
    } else {
        Err(format!("it has neither {} nor {}", TOKENIZERS[0], TOKENIZERS[1]))
    }
}
