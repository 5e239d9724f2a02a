//! What can go wrong with an experiment.

use std::{io, path::PathBuf};

use apprentice_core::{
    ChoiceError, CorpusError, FileError, MetricsError, corpus::WriteError, metrics::uncertainty::UncertaintyError,
};
use thiserror::Error;

/// An error of this crate.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LabError {
    /// The experiment's file, or a preset with what was added to it, makes no sense.
    #[error("experiment {name}: {problem}")]
    Experiment {
        /// The experiment.
        name: String,
        /// What was found and what was expected.
        problem: String,
    },
    /// The file is not TOML, or has keys that are unknown.
    #[error("{from}: {source}")]
    Toml {
        /// The file or preset.
        from: String,
        /// Where and why.
        source: toml::de::Error,
    },
    /// A regimen that is none.
    #[error(transparent)]
    Regimen(#[from] ChoiceError),
    /// A file of the ledger that is broken.
    #[error("{}: {problem}", path.display())]
    Ledger {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// A file of sentences in the ledger that is broken.
    #[error(transparent)]
    Corpus(#[from] Box<CorpusError>),
    /// Sentences cannot be written.
    #[error("cannot keep sentences: {0}")]
    Write(#[from] WriteError),
    /// An output cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Labels that do not belong to the sentences that they are scored on.
    #[error("{run}: {source}")]
    Metrics {
        /// The run or the data set.
        run: String,
        /// Why.
        source: MetricsError,
    },
    /// No interval or test can be computed.
    #[error(transparent)]
    Uncertainty(#[from] UncertaintyError),
    /// The report's template does not fit the report: a bug.
    #[error("the page of the report: {0}")]
    Template(#[from] minijinja::Error),
    /// The system refuses.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl LabError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
