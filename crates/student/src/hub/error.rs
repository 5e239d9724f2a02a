//! What can go wrong with models of the hub.

use std::path::PathBuf;

use thiserror::Error;

use super::{ModelName, Revision};

/// Why a model cannot be found or fetched. No message has the token in it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HubError {
    /// No name of a model.
    #[error(
        "{found:?} is no model's name: {problem}; expected NAME or ORGANISATION/NAME, such as google-bert/bert-base-cased"
    )]
    Name {
        /// What was given.
        found: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// No name of a revision.
    #[error("{found:?} is no revision: expected a branch, a tag or a commit")]
    Revision {
        /// What was given.
        found: String,
    },
    /// Nowhere to put the cache.
    #[error("there is no home directory for the cache of models: set HF_HOME to a directory")]
    NoHome,
    /// A setting that cannot be used.
    #[error("{variable}: {problem}")]
    Setting {
        /// The environment variable it comes from.
        variable: &'static str,
        /// What is wrong, and what was expected.
        problem: String,
    },
    /// The model is not in the cache, or not whole.
    #[error("{name}, revision {revision}, is not in the cache ({}): {lacks}; {}", cache.display(), if *offline { "HF_HUB_OFFLINE is set, so nothing is fetched".to_owned() } else { format!("get it with `apprentice models fetch {name}`") })]
    NotCached {
        /// The model.
        name: ModelName,
        /// What of it.
        revision: Revision,
        /// The cache.
        cache: PathBuf,
        /// What is not there.
        lacks: String,
        /// Whether it was to be fetched but must not be.
        offline: bool,
    },
    /// Its licence must be accepted first.
    #[error("{name} is gated: accept its conditions on its page on the hub{}", if *with_token { ", with the account of the token that was sent" } else { " and set HF_TOKEN to a token of that account" })]
    Gated {
        /// The model.
        name: ModelName,
        /// Whether a token was sent.
        with_token: bool,
    },
    /// The hub does not have it, or does not show it.
    #[error("{name} is not on the hub, or is private: check the name; {}", if *with_token { "the token that was sent may be wrong, or not allowed to read it" } else { "for a private model, set HF_TOKEN to a token that may read it" })]
    NotFound {
        /// The model.
        name: ModelName,
        /// Whether a token was sent.
        with_token: bool,
    },
    /// The model has no such revision.
    #[error("{name} has no revision {revision}: expected a branch, a tag or a commit of it")]
    NoRevision {
        /// The model.
        name: ModelName,
        /// What it has not.
        revision: Revision,
    },
    /// The weights are there as pickles only.
    #[error(
        "{name} has its weights only as {file}, a pickle, which may run code when it is read and is never opened; if you \
         trust it, convert it in Python with `AutoModel.from_pretrained(\"{name}\").save_pretrained(\"DIR\")` and the same \
         with AutoTokenizer, and use DIR; or look for a revision with safetensors (--revision refs/pr/N)"
    )]
    Pickle {
        /// The model.
        name: ModelName,
        /// The first of its pickles.
        file: String,
    },
    /// The model can be no encoder here.
    #[error("{name} cannot be used as an encoder: {problem}")]
    Unusable {
        /// The model.
        name: ModelName,
        /// Why.
        problem: String,
    },
    /// The hub could not be asked, however often it was tried.
    #[error(
        "{problem}, also after {attempts} attempts; try again later (what has come is kept), or set HF_HUB_OFFLINE=1 to use what is in the cache"
    )]
    Unreachable {
        /// What happened the last time.
        problem: String,
        /// How often it was tried without getting on.
        attempts: u32,
    },
    /// The hub asks to wait for longer than one would.
    #[error("{problem} and asks to wait for {seconds} seconds: try again later")]
    Busy {
        /// What it said.
        problem: String,
        /// How long to wait.
        seconds: u64,
    },
    /// The server does not speak the hub's language.
    #[error("{host}: {problem}: expected the Hugging Face hub there (HF_ENDPOINT)")]
    Protocol {
        /// The server.
        host: String,
        /// What it did.
        problem: String,
    },
    /// What came is not what the hub had announced.
    #[error("{file}: {problem}; it was not kept: try again, or another HF_ENDPOINT")]
    Corrupt {
        /// The file of the model.
        file: String,
        /// What does not fit.
        problem: String,
    },
    /// A file of the cache could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's word.
        source: std::io::Error,
    },
}

impl HubError {
    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
