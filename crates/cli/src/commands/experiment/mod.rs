//! `experiment`: grids of runs, and reports on them.

mod data;
mod list;
mod plan;
mod report;
mod run;

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Context, Result, bail};
use apprentice_lab::{DataSet, Experiment, Ledger};
use clap::{Args, Subcommand};
use toml::Table;

use crate::{output, progress::Progress};

/// Train under many settings and seeds, compare with honest statistics, and report
#[derive(Subcommand)]
pub enum Verb {
    /// Do the runs of an experiment that are not done yet, and report on all
    Run(run::RunArgs),
    /// Print the file of an experiment with all changes, to make another of it: `experiment show label-budget`
    Show(Asked),
    /// Write the report of an experiment from the runs that are done
    Report(report::ReportArgs),
    /// List the experiments of a ledger and where their runs stand
    List(list::ListArgs),
}

pub fn run(verb: &Verb, progress: Progress) -> Result<()> {
    match verb {
        Verb::Run(args) => run::run(args, progress),
        Verb::Show(asked) => output::print(toml::to_string_pretty(&asked.experiment()?)?.trim_end()),
        Verb::Report(args) => report::run(args, progress),
        Verb::List(args) => list::run(args),
    }
}

/// The ledger, and an experiment in it: the only one, if none is named.
#[derive(Args)]
struct InLedger {
    /// The ledger, as given to `experiment run -o`
    ledger: PathBuf,
    /// The experiment's name; may be left out where there is one alone
    experiment: Option<String>,
}

impl InLedger {
    fn open(&self) -> Result<Ledger> {
        if !self.ledger.join("runs").is_dir() {
            bail!("{}: not a ledger: expected the directory of an `experiment run -o DIR`", self.ledger.display());
        }
        Ok(Ledger::open(&self.ledger)?)
    }

    fn experiment(&self, ledger: &Ledger) -> Result<String> {
        if let Some(name) = &self.experiment {
            return Ok(name.clone());
        }
        match ledger.experiments()?.as_slice() {
            [only] => Ok(only.clone()),
            [] => bail!("{}: there is no experiment in it", self.ledger.display()),
            all => bail!("{}: which experiment? expected one of {}", self.ledger.display(), all.join(", ")),
        }
    }
}

/// An experiment, and what is changed in its file or added to a preset.
#[derive(Args)]
pub struct Asked {
    /// An experiment file (TOML), or a preset: paper-phase-1, paper-phase-2, paper-phase-3, label-budget, weak-teacher
    experiment: PathBuf,
    /// The files of a data set, which a preset leaves open
    #[arg(long, value_name = "NAME=FILE", num_args = 1.., value_parser = assignment)]
    data: Vec<(String, String)>,
    /// The same sentences as a teacher's data set, with human labels, to measure the teacher by
    #[arg(long, value_name = "NAME=FILE", num_args = 1.., value_parser = assignment)]
    gold: Vec<(String, String)>,
    /// A setting of all runs, in TOML, in the place of the file's: `epochs=4`, `schedule=cosine`
    #[arg(long, value_name = "SETTING=VALUE", num_args = 1.., value_parser = assignment)]
    set: Vec<(String, String)>,
    /// The encoder of all runs, in the place of the file's
    #[arg(long)]
    encoder: Option<String>,
    /// The seeds, in the place of the file's
    #[arg(long, value_name = "SEED", num_args = 1..)]
    seeds: Vec<u64>,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}`: expected NAME=VALUE")),
    }
}

impl Asked {
    fn experiment(&self) -> Result<Experiment> {
        let mut experiment = Experiment::read(&self.experiment)?;
        // Files of one name add up, and together replace the experiment's.
        let together = |given: &[(String, String)]| {
            let mut sets: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
            for (name, file) in given {
                sets.entry(name.clone()).or_default().push(file.into());
            }
            sets
        };
        for (name, files) in together(&self.data) {
            named(&mut experiment, "--data", &name)?.files = files;
        }
        for (name, files) in together(&self.gold) {
            named(&mut experiment, "--gold", &name)?.gold = files;
        }
        for (setting, value) in &self.set {
            // What is no number, switch or list is a word.
            let read = format!("value = {value}").parse::<Table>().ok().and_then(|mut table| table.remove("value"));
            experiment.run.insert(setting.clone(), read.unwrap_or_else(|| value.as_str().into()));
        }
        if let Some(encoder) = &self.encoder {
            experiment.run.insert("encoder".to_owned(), encoder.as_str().into());
        }
        if !self.seeds.is_empty() {
            experiment.seeds.clone_from(&self.seeds);
        }
        experiment.check()?;
        Ok(experiment)
    }
}

fn named<'e>(experiment: &'e mut Experiment, flag: &str, name: &str) -> Result<&'e mut DataSet> {
    let known = experiment.data.keys().cloned().collect::<Vec<_>>().join(", ");
    let unknown = || format!("{flag} {name}: the experiment has no such data set: expected one of {known}");
    experiment.data.get_mut(name).with_context(unknown)
}
