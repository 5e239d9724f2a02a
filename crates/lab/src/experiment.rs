//! What an experiment file says.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::LabError;

/// A grid of runs and what is asked of it.
///
/// Settings have the names that they have in `train`: `encoder`, `regimen`, `learning_rate`, …; `original`, `distilled`,
/// `dev` and `test` name data sets (see [`DataRef`](crate::DataRef)).
///
/// ```
/// let text = r#"
///     name = "mixing"
///     title = "Does a blend help?"
///     seeds = [1, 2, 3]
///     control = { regimen = "original-only" }
///     run = { encoder = "scratch:2x64x4", original = "people", distilled = "llm", dev = "dev", test = "test" }
///     axes = [
///         { setting = "regimen", values = ["original-only", "blend:cosine"] },
///         { setting = "original", values = ["people:50", "people"] },
///     ]
///     [data]
///     people = { files = ["train.conll"] }
///     llm = { files = ["distilled.jsonl"], teacher = "a model" }
///     dev = { files = ["dev.conll"] }
///     test = { files = ["test.conll"] }
/// "#;
/// let experiment = apprentice_lab::Experiment::parse(text, "mixing.toml")?;
/// let names: Vec<_> = experiment.systems()?.into_iter().map(|system| system.name).collect();
/// assert_eq!(names, ["original-only, people:50", "original-only, people", "blend:cosine, people:50", "blend:cosine, people"]);
/// # Ok::<(), apprentice_lab::LabError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// What its folder is called.
    pub name: String,
    /// What its report is called.
    pub title: String,
    /// What the report says before all else, such as how the set-up differs from somebody else's.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// The seeds of each system.
    pub seeds: Vec<u64>,
    /// The settings that make a system's control of it: each is compared with the system that has these, and all else the
    /// same.
    #[serde(default, skip_serializing_if = "Table::is_empty")]
    pub control: Table,
    /// The settings that all runs share.
    pub run: Table,
    /// Settings with several values: each value is combined with each of the other axes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub axes: Vec<Axis>,
    /// Settings that belong together, each under a `name`; multiplied with the axes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cases: Vec<Table>,
    /// What the report answers first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub questions: Vec<Question>,
    /// The data sets by name.
    #[serde(default)]
    pub data: BTreeMap<String, DataSet>,
}

/// A setting with several values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Axis {
    /// Its name.
    pub setting: String,
    /// Its values, in the order in which tables list them.
    pub values: Vec<Value>,
}

/// Labelled sentences.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSet {
    /// Where they are, in any format; a preset leaves this open.
    #[serde(default)]
    pub files: Vec<PathBuf>,
    /// Which of them; all if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// Who labelled them, if it was no person: a model and a prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<String>,
    /// The same sentences with human labels, to measure the teacher by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gold: Vec<PathBuf>,
    /// What the labels cost, in US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dollars: Option<f64>,
}

/// Some of a data set's sentences, the same for all runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Part {
    /// Those in a row.
    Range {
        /// The first, counted from 0.
        from: usize,
        /// The one after the last.
        to: usize,
    },
    /// A random draw.
    Draw {
        /// How many.
        size: usize,
        /// Decides which.
        seed: u64,
    },
}

/// What the report answers first. Tables of settings pick the systems that have them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Question {
    /// Which data set of a teacher has the better labels, measured by its gold.
    Teacher {
        /// In words.
        ask: String,
        /// The data sets, over the same sentences; each is compared with the first.
        data: Vec<String>,
    },
    /// Which system is best: chosen on dev, and then compared with its control on test.
    Best {
        /// In words.
        ask: String,
        /// Among which; all if empty.
        #[serde(default)]
        among: Table,
    },
    /// What a change of settings does: systems are compared in pairs that differ in nothing else.
    Change {
        /// In words.
        ask: String,
        /// The settings before.
        from: Table,
        /// The settings after.
        to: Table,
    },
    /// How many human labels the teacher's labels are worth, along the sizes of `original`.
    Budget {
        /// In words.
        ask: String,
        /// The settings that do without the teacher.
        without: Table,
        /// The settings that use it.
        with: Table,
    },
}

const PRESETS: [(&str, &str); 5] = [
    ("paper-phase-1", include_str!("../presets/paper-phase-1.toml")),
    ("paper-phase-2", include_str!("../presets/paper-phase-2.toml")),
    ("paper-phase-3", include_str!("../presets/paper-phase-3.toml")),
    ("label-budget", include_str!("../presets/label-budget.toml")),
    ("weak-teacher", include_str!("../presets/weak-teacher.toml")),
];

impl Experiment {
    /// The names of the presets.
    pub const PRESETS: [&str; 5] = [PRESETS[0].0, PRESETS[1].0, PRESETS[2].0, PRESETS[3].0, PRESETS[4].0];

    /// The text of a preset: an experiment file whose data sets lack their files.
    #[must_use]
    pub fn preset(name: &str) -> Option<&'static str> {
        PRESETS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
    }

    /// Reads an experiment file, or a preset where `path` is the name of one.
    ///
    /// # Errors
    /// If it cannot be read, or as [`Self::parse`].
    pub fn read(path: &Path) -> Result<Self, LabError> {
        if let Some((name, text)) = path.to_str().and_then(|name| Some((name, Self::preset(name)?))) {
            return Self::parse(text, name);
        }
        let text = std::fs::read_to_string(path).map_err(LabError::io(path))?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Reads the text of an experiment file; `from` is its name in errors.
    ///
    /// # Errors
    /// If it is not TOML, has unknown keys, or makes no sense in itself.
    pub fn parse(text: &str, from: &str) -> Result<Self, LabError> {
        let experiment: Self =
            toml::from_str(text).map_err(|source| LabError::Toml { from: from.to_owned(), source })?;
        experiment.check()?;
        Ok(experiment)
    }

    pub(crate) fn error(&self, problem: impl Into<String>) -> LabError {
        LabError::Experiment { name: self.name.clone(), problem: problem.into() }
    }

    /// Checks what does not need the systems; for one that was changed since it was read.
    ///
    /// # Errors
    /// [`LabError::Experiment`] if it makes no sense in itself.
    pub fn check(&self) -> Result<(), LabError> {
        let is_plain = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c));
        if !is_plain(&self.name) || self.name.starts_with('.') {
            return Err(self.error(format!(
                "name {:?}: expected letters, digits, `-` and `_`, because it names a folder",
                self.name
            )));
        }
        if let Some(name) = self.data.keys().find(|name| !is_plain(name)) {
            return Err(self.error(format!("data set {name:?}: expected a name of letters, digits, `-` and `_`")));
        }
        if self.seeds.is_empty() {
            return Err(self.error("seeds = []: expected at least one seed"));
        }
        if let Some(axis) = self.axes.iter().find(|axis| axis.values.is_empty()) {
            return Err(self.error(format!("axis `{}` has no values", axis.setting)));
        }
        for (at, seed) in self.seeds.iter().enumerate() {
            if self.seeds[..at].contains(seed) {
                return Err(self.error(format!("seed {seed} stands there twice")));
            }
        }
        Ok(())
    }
}
