//! The report on an experiment: its questions answered first, then tables, plots, examples, and what it takes to repeat it.
//!
//! [`Report::of`] works everything out from what the ledger has, which may be less than the whole grid: then the report
//! says how much is missing. A [`Report`] is plain data, from which [`Report::html`], [`Report::markdown`],
//! [`Report::latex`] and [`Report::csv`] write pages; the same ledger gives the same bytes.
//!
//! Two systems are compared over seeds and test sentences at once
//! ([`paired_bootstrap_of_runs`](apprentice_core::metrics::uncertainty::paired_bootstrap_of_runs)), on the seeds that both have
//! done, and p-values are corrected (Holm) over all comparisons of a question or table. Systems are chosen on dev; on test
//! nothing is chosen.
//!
//! ```
//! use std::collections::BTreeMap;
//! use apprentice_lab::{Experiment, Grid, GridSystem, Ledger, report::{Report, Settings}};
//! let text = r#"
//!     name = "one"
//!     title = "One system"
//!     seeds = [1, 2, 3]
//!     run = { encoder = "scratch:2x64x4", original = "people", test = "test" }
//!     questions = [{ kind = "best", ask = "Which is best?" }]
//!     data = { people = {}, test = {} }
//! "#;
//! let experiment = Experiment::parse(text, "one.toml")?;
//! let settings = experiment.systems()?.remove(0).settings;
//! let runs = ["a", "b", "c"].map(str::to_owned).to_vec();
//! let systems = vec![GridSystem { name: "original-only".to_owned(), settings, control: None, runs }];
//! let grid = Grid { experiment, systems, data: BTreeMap::new(), command: "apprentice experiment run one.toml".to_owned() };
//!
//! let directory = tempfile::tempdir()?;
//! let report = Report::of(&Ledger::open(directory.path())?, &grid, &Settings::default())?;
//! assert_eq!((report.progress.runs, report.progress.done), (3, 0));
//! assert!(report.markdown().contains("This report is of 0 of 3 runs: 3 not begun."));
//! assert!(report.html()?.starts_with("<!DOCTYPE html>"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use apprentice_core::metrics::uncertainty::Resampling;
use serde::{Deserialize, Serialize};

use crate::{Experiment, Grid, GridData, LabError, Ledger, State, System};

mod answers;
mod budget;
mod csv;
mod examples;
mod figures;
mod gather;
mod html;
mod latex;
mod markdown;
mod pairs;
mod plot;
mod systems;
mod tables;
mod teachers;
mod words;

pub use answers::{Answer, Verdict};
pub use budget::{Bound, Budget, Point, Worth};
pub use examples::{Example, Labelled, Segment, Standing};
pub use pairs::{Difference, Pair};
pub use systems::{NoveltyReport, Outcome, RunReport, SystemReport, TestReport, TypeReport};
pub use teachers::Teacher;

use gather::{Gathered, Gathering, Reader};
use pairs::Pairs;

/// How a report is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Settings {
    /// For tests and intervals; with 0 resamples there are none.
    pub resampling: Resampling,
    /// Corrected p-values below this count as a difference.
    pub significance: f64,
    /// How many example sentences are shown at most.
    pub examples: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { resampling: Resampling::default(), significance: 0.05, examples: 6 }
    }
}

/// The report on an experiment, as far as it is done.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The experiment with all that was asked.
    pub experiment: Experiment,
    /// The command line that made it.
    pub command: String,
    /// How the report was made.
    pub settings: Settings,
    /// What is done and what is not.
    pub progress: Progress,
    /// One for each question, in order.
    pub answers: Vec<Answer>,
    /// The entity types of the gold and of all predictions, with their gold entities.
    pub types: BTreeMap<Arc<str>, usize>,
    /// The systems in the experiment's order.
    pub systems: Vec<SystemReport>,
    /// The place of the system that is best on dev, if that is known.
    pub best: Option<usize>,
    /// The teachers whose labels can be measured.
    pub teachers: Vec<Teacher>,
    /// Curves over the number of human labels.
    pub budgets: Vec<Budget>,
    /// Test sentences on which the control and the best system differ.
    pub examples: Vec<Example>,
    /// The data sets.
    pub data: BTreeMap<String, GridData>,
}

/// What is done of an experiment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// All runs.
    pub runs: usize,
    /// Those that are done.
    pub done: usize,
    /// Under way.
    pub running: usize,
    /// Cut off; they go on from a checkpoint.
    pub interrupted: usize,
    /// Not begun.
    pub pending: usize,
    /// Those that came to nothing.
    pub failed: Vec<Failed>,
}

/// A run that came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failed {
    /// Its system.
    pub system: String,
    /// Its seed.
    pub seed: u64,
    /// Its id.
    pub id: String,
    /// Why.
    pub reason: String,
}

impl Report {
    /// The report on what the ledger has of an experiment.
    ///
    /// # Errors
    /// If files of the ledger are missing or broken, or the settings make no sense. Runs that are not done are no error.
    pub fn of(ledger: &Ledger, grid: &Grid, settings: &Settings) -> Result<Self, LabError> {
        let points = points(grid)?;
        let mut reader = Reader::new(ledger, grid);
        let gathered = reader.gather()?;
        let mut pairs = Pairs::new(&gathered, settings.resampling);
        let mut report = Self {
            experiment: grid.experiment.clone(),
            command: grid.command.clone(),
            settings: settings.clone(),
            progress: progress(grid, &gathered),
            answers: Vec::new(),
            types: types(&gathered),
            systems: systems::all(grid, &gathered)?,
            best: None,
            teachers: teachers::all(&mut reader, &settings.resampling)?,
            budgets: Vec::new(),
            examples: Vec::new(),
            data: grid.data.clone(),
        };
        report.compare(&mut pairs)?;
        report.examples = examples::all(&mut reader, &report)?;
        answers::answer(&mut report, &points, &mut reader, &mut pairs)?;
        Ok(report)
    }

    /// Which of some systems is best on dev.
    fn best_of(&self, among: &[usize]) -> Option<usize> {
        let dev = |&place: &usize| {
            let dev = self.systems[place].dev.as_ref()?;
            Some((place, dev.seeds, dev.mean))
        };
        best_on_dev(among.iter().filter_map(dev)).map(|(place, ..)| place)
    }

    /// Each system with its control and with the best one.
    fn compare(&mut self, pairs: &mut Pairs<'_>) -> Result<(), LabError> {
        let all: Vec<usize> = (0..self.systems.len()).collect();
        self.best = self.best_of(&all);
        let controls: Vec<Option<usize>> = self.systems.iter().map(|system| system.control).collect();
        let bests = vec![self.best; self.systems.len()];
        for (others, slot) in [
            (controls, (|system| &mut system.against_control) as fn(&mut SystemReport) -> &mut Option<Pair>),
            (bests, |system| &mut system.against_best),
        ] {
            let (mut places, mut found) = (Vec::new(), Vec::new());
            for (place, other) in others.into_iter().enumerate() {
                let Some(other) = other.filter(|&other| other != place) else { continue };
                if let Some(pair) = pairs.of(place, other)? {
                    places.push(place);
                    found.push(pair);
                }
            }
            for (place, pair) in places.into_iter().zip(pairs::corrected(found)?) {
                *slot(&mut self.systems[place]) = Some(pair);
            }
        }
        Ok(())
    }

    /// Whether a system cannot be told apart from the best one.
    fn is_tie(&self, system: &SystemReport) -> bool {
        let tested =
            system.against_best.as_ref().and_then(|pair| pair.f1.is_distinguishable(self.settings.significance));
        tested == Some(false)
    }

    /// Whether others are compared with this system.
    fn is_control(&self, place: usize) -> bool {
        self.systems.iter().any(|system| system.control == Some(place))
    }

    /// The place of the control that all systems share, if they do.
    fn only_control(&self) -> Option<usize> {
        let controls: BTreeSet<Option<usize>> = self.systems.iter().map(|system| system.control).collect();
        if controls.len() == 1 { controls.into_iter().next().flatten() } else { None }
    }
}

/// The systems as the experiment has them, but for those that a data set has too few sentences for: they are not in the grid,
/// whose others they must be.
fn points(grid: &Grid) -> Result<Vec<System>, LabError> {
    let mut points = grid.experiment.systems()?;
    points.retain(|point| grid.systems.iter().any(|system| system.name == point.name));
    let same = points.iter().map(|point| &point.name).eq(grid.systems.iter().map(|system| &system.name));
    let controls = grid.systems.iter().filter_map(|system| system.control);
    if !same || controls.into_iter().any(|control| control >= points.len()) {
        return Err(grid.experiment.error("its grid has other systems: run the experiment again"));
    }
    Ok(points)
}

fn progress(grid: &Grid, gathered: &Gathered) -> Progress {
    let mut progress = Progress::default();
    for (system, of) in grid.systems.iter().zip(&gathered.systems) {
        for ((id, &seed), state) in system.runs.iter().zip(&grid.experiment.seeds).zip(&of.states) {
            progress.runs += 1;
            match state {
                State::Done => progress.done += 1,
                State::Running { .. } => progress.running += 1,
                State::Interrupted => progress.interrupted += 1,
                State::Pending => progress.pending += 1,
                State::Failed { reason } => progress.failed.push(Failed {
                    system: system.name.clone(),
                    seed,
                    id: id.clone(),
                    reason: reason.clone(),
                }),
            }
        }
    }
    progress
}

fn types(gathered: &Gathered) -> BTreeMap<Arc<str>, usize> {
    let mut types = BTreeMap::new();
    for (label, score) in gathered.systems.iter().flat_map(Gathering::done).flat_map(|done| &done.scores.per_type) {
        let gold = types.entry(label.clone()).or_insert(0);
        *gold = score.counts.gold.max(*gold);
    }
    types
}

/// Which system is best on dev, of places with the seeds that are done and their mean F1: of those with most seeds the one with
/// the highest mean, of equals the first.
pub fn best_on_dev(systems: impl IntoIterator<Item = (usize, usize, f64)>) -> Option<(usize, usize, f64)> {
    let better = |best: (usize, usize, f64), other: (usize, usize, f64)| {
        if other.1.cmp(&best.1).then(other.2.total_cmp(&best.2)).is_gt() { other } else { best }
    };
    systems.into_iter().reduce(better)
}
