//! From an experiment to its runs.

use std::collections::{BTreeMap, BTreeSet};

use apprentice_core::Regimen;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use toml::{Table, Value};

use crate::{DataRef, Experiment, LabError, data::short};

/// All settings of a system: what a run needs beside its seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSettings {
    /// The pretrained encoder.
    pub encoder: String,
    /// Human labels.
    #[serde(default, deserialize_with = "one_or_more", skip_serializing_if = "Vec::is_empty")]
    pub original: Vec<DataRef>,
    /// A teacher's labels: where there are several data sets, each is a pool.
    #[serde(default, deserialize_with = "one_or_more", skip_serializing_if = "Vec::is_empty")]
    pub distilled: Vec<DataRef>,
    /// What the best epoch is chosen on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dev: Option<DataRef>,
    /// What the run is scored on, once.
    pub test: DataRef,
    /// The settings of the training, which this crate does not look into but for the regimen.
    #[serde(flatten)]
    pub training: Table,
}

fn one_or_more<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<DataRef>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMore {
        One(String),
        More(Vec<String>),
    }
    let names = match OneOrMore::deserialize(deserializer)? {
        OneOrMore::One(name) => vec![name],
        OneOrMore::More(all) => all,
    };
    names.iter().map(|name| name.parse().map_err(serde::de::Error::custom)).collect()
}

impl RunSettings {
    /// The data sets that the run uses.
    pub fn data(&self) -> impl Iterator<Item = &DataRef> {
        self.original.iter().chain(&self.distilled).chain(&self.dev).chain([&self.test])
    }

    /// The regimen.
    ///
    /// # Errors
    /// If it is none.
    pub fn regimen(&self) -> Result<Regimen, LabError> {
        match self.training.get("regimen") {
            None => Ok(Regimen::OriginalOnly),
            Some(Value::String(text)) => Ok(text.parse()?),
            Some(table) => {
                table.clone().try_into().map_err(|source| LabError::Toml { from: "regimen".to_owned(), source })
            }
        }
    }
}

/// A point of the grid: all runs that differ in nothing but the seed.
#[derive(Debug, Clone, PartialEq)]
pub struct System {
    /// What tables call it: the values in which it differs from others.
    pub name: String,
    /// Its settings.
    pub settings: RunSettings,
    /// The same as the experiment's file gives them.
    given: Table,
}

impl Experiment {
    /// The points of the grid in order: by case, then by the first axis. Settings without effect, such as distilled data
    /// under `original-only`, are left out, and points that are then the same are one.
    ///
    /// # Errors
    /// [`LabError::Experiment`] if settings are missing or wrong, or name data sets that there are not.
    pub fn systems(&self) -> Result<Vec<System>, LabError> {
        let mut systems: Vec<System> = Vec::new();
        for (name, given) in self.points()? {
            let settings = self.settings(given.clone())?;
            if systems.iter().any(|known| known.settings == settings) {
                continue;
            }
            let name = self.name_of(name, &given, &settings);
            if let Some(other) = systems.iter().find(|known| known.name == name) {
                return Err(self.error(format!(
                    "two systems are called `{name}`, with {:?} and {:?}: give cases names of their own",
                    other.given, given
                )));
            }
            systems.push(System { name, settings, given });
        }
        self.check_tables()?;
        Ok(systems)
    }

    /// Case names and merged settings.
    fn points(&self) -> Result<Vec<(Option<String>, Table)>, LabError> {
        let mut points = vec![(None, self.run.clone())];
        if !self.cases.is_empty() {
            points.clear();
            for case in &self.cases {
                let mut case = case.clone();
                let Some(Value::String(name)) = case.remove("name") else {
                    return Err(self.error("a case has no `name`"));
                };
                points.push((Some(name), over(&self.run, &case)));
            }
        }
        for axis in &self.axes {
            points = points
                .into_iter()
                .flat_map(|(name, point)| {
                    axis.values.iter().map(move |value| {
                        let value = Table::from_iter([(axis.setting.clone(), value.clone())]);
                        (name.clone(), over(&point, &value))
                    })
                })
                .collect();
        }
        Ok(points)
    }

    /// The settings of a point, without those that have no effect.
    fn settings(&self, given: Table) -> Result<RunSettings, LabError> {
        let mut settings: RunSettings =
            given.try_into().map_err(|source| LabError::Toml { from: format!("experiment {}", self.name), source })?;
        let regimen = settings.regimen()?;
        settings.training.insert("regimen".to_owned(), regimen.to_string().into());
        if !regimen.needs_distilled() {
            settings.distilled.clear();
        }
        if !regimen.needs_original() {
            settings.original.clear();
        }
        if let Some(data) = settings.data().find(|data| !self.data.contains_key(&data.name)) {
            let known = self.data.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            return Err(self.error(format!("there is no data set `{}`: expected one of {known}", data.name)));
        }
        Ok(settings)
    }

    fn name_of(&self, case: Option<String>, given: &Table, settings: &RunSettings) -> String {
        let has_effect = |setting: &str| match setting {
            "original" => !settings.original.is_empty(),
            "distilled" => !settings.distilled.is_empty(),
            _ => true,
        };
        let axes = self.axes.iter().filter(|axis| axis.values.len() > 1 && has_effect(&axis.setting));
        let parts = case.into_iter().chain(axes.filter_map(|axis| {
            let value =
                if axis.setting == "regimen" { settings.training.get("regimen") } else { given.get(&axis.setting) };
            Some(match value? {
                Value::String(text) if axis.setting == "encoder" => {
                    text.rsplit(['/', '\\']).next().unwrap_or(text).to_owned()
                }
                Value::String(text) => text.clone(),
                Value::Array(all) => all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("+"),
                value => format!("{} {value}", axis.setting),
            })
        }));
        let name = parts.collect::<Vec<_>>().join(", ");
        if name.is_empty() { settings.training["regimen"].as_str().unwrap_or_default().to_owned() } else { name }
    }

    /// Which system this one becomes with `change`; itself, if it has these settings.
    ///
    /// # Errors
    /// If the settings are wrong.
    pub fn changed(&self, systems: &[System], system: usize, change: &Table) -> Result<Option<usize>, LabError> {
        let settings = self.settings(over(&systems[system].given, change))?;
        Ok(systems.iter().position(|other| other.settings == settings))
    }

    /// Whether a system has these settings, as the experiment's file gives them.
    #[must_use]
    pub fn has(&self, system: &System, settings: &Table) -> bool {
        settings.iter().all(|(setting, value)| system.given.get(setting) == Some(value))
    }

    /// Tables that pick systems must name settings that differ somewhere, or a typing error would pick none in silence.
    fn check_tables(&self) -> Result<(), LabError> {
        let cases = self.cases.iter().flat_map(Table::keys);
        let known: BTreeSet<&String> = self.axes.iter().map(|axis| &axis.setting).chain(cases).collect();
        let tables = self.questions.iter().flat_map(|question| match question {
            crate::Question::Teacher { .. } => vec![],
            crate::Question::Best { among, .. } => vec![among],
            crate::Question::Change { from, to, .. } => vec![from, to],
            crate::Question::Budget { without, with, .. } => vec![without, with],
        });
        let unknown = tables.chain([&self.control]).flat_map(Table::keys).find(|key| !known.contains(key));
        if let Some(key) = unknown {
            return Err(self.error(format!(
                "`{key}` picks systems in `control` or a question, but is the setting of no axis and no case"
            )));
        }
        for question in &self.questions {
            let crate::Question::Teacher { data, .. } = question else { continue };
            if let Some(name) = data.iter().find(|name| self.data.get(*name).is_none_or(|data| data.teacher.is_none()))
            {
                return Err(self.error(format!("a question asks about the teacher of `{name}`, but it has none")));
            }
        }
        Ok(())
    }
}

/// `below` with the settings of `above` in the place of its own.
fn over(below: &Table, above: &Table) -> Table {
    let mut table = below.clone();
    table.extend(above.clone());
    table
}

/// One training, known by what decides about its result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The hash of all else here.
    pub id: String,
    /// The settings with all defaults, the seed among them.
    pub settings: RunSettings,
    /// Hashes of the encoder and of each data set as this run uses it.
    pub inputs: BTreeMap<String, String>,
    /// The entity types.
    pub labels: Vec<String>,
}

impl Run {
    /// A run. Where its encoder lies and what its data sets are called does not change what it is.
    #[must_use]
    pub fn new(settings: RunSettings, inputs: BTreeMap<String, String>, labels: Vec<String>) -> Self {
        let RunSettings { encoder, original, distilled, dev, test, training } = &settings;
        let of = |data: &DataRef| inputs.get(&data.to_string());
        let all = |data: &[DataRef]| data.iter().map(of).collect::<Vec<_>>();
        // The names of several pools are the keys of their settings.
        let pools = (distilled.len() > 1).then(|| distilled.iter().map(|data| &data.name).collect::<Vec<_>>());
        let decides = (
            inputs.get(encoder),
            (all(original), all(distilled), dev.as_ref().map(of), of(test)),
            pools,
            training.to_string(),
            &labels,
        );
        let id = short(Sha256::new_with_prefix(format!("{decides:?}")));
        Self { id, settings, inputs, labels }
    }
}

/// An experiment with its runs, as the ledger keeps it for reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Grid {
    /// The experiment.
    pub experiment: Experiment,
    /// Its systems in order.
    pub systems: Vec<GridSystem>,
    /// Its data sets.
    pub data: BTreeMap<String, GridData>,
    /// The command line that made it.
    pub command: String,
}

/// A system and its runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GridSystem {
    /// Its name.
    pub name: String,
    /// Its settings, without the defaults.
    pub settings: RunSettings,
    /// The place of its control among the systems, if it has one; its own, if it is one.
    pub control: Option<usize>,
    /// The ids of its runs, in the order of the experiment's seeds.
    pub runs: Vec<String>,
}

/// A data set, whose sentences the ledger keeps under their fingerprint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GridData {
    /// The hash of its sentences.
    pub fingerprint: String,
    /// The hash of the same sentences with human labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gold: Option<String>,
    /// How many sentences.
    pub sentences: usize,
    /// How many tokens.
    pub tokens: usize,
    /// How many entities.
    pub entities: usize,
}

impl Grid {
    /// All runs, each once, seed by seed: statistics over fewer seeds are there early.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        let seeds = self.systems.iter().map(|system| system.runs.len()).max().unwrap_or(0);
        let all = (0..seeds).flat_map(|seed| self.systems.iter().filter_map(move |system| system.runs.get(seed)));
        let mut seen = BTreeSet::new();
        all.map(String::as_str).filter(move |id| seen.insert(*id))
    }

    /// The system that a run is of, and its seed; of several systems the first.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<(&GridSystem, u64)> {
        self.systems.iter().find_map(|system| {
            let at = system.runs.iter().position(|run| run == id)?;
            Some((system, *self.experiment.seeds.get(at)?))
        })
    }
}
