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

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use apprentice_core::{
    Counts, Scores,
    metrics::{
        breakdown::Novelty,
        uncertainty::{Resampling, Summary, UncertaintyError},
    },
};
use serde::{Deserialize, Serialize};
use toml::Value;

use crate::{Curve, Experiment, Grid, GridData, LabError, Ledger, RunSettings, State};

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
mod tables;
mod teachers;
mod words;

pub use answers::{Answer, Verdict};
pub use budget::{Bound, Budget, Point, Worth};
pub use examples::{Example, Labelled, Segment, Standing};
pub use pairs::{Difference, Pair};
pub use teachers::Teacher;

use gather::{Done, Gathered, Gathering, Reader};
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

/// A system.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SystemReport {
    /// Its name.
    pub name: String,
    /// Its regimen.
    pub regimen: String,
    /// Its settings, without defaults.
    pub settings: RunSettings,
    /// Its runs in the order of the seeds.
    pub runs: Vec<RunReport>,
    /// Micro F1 on dev, of the weights that were kept.
    pub dev: Option<Summary>,
    /// The test scores, if a run is done.
    pub test: Option<TestReport>,
    /// The place of its control; its own, if it is one.
    pub control: Option<usize>,
    /// It less its control.
    pub against_control: Option<Pair>,
    /// It less the best system.
    pub against_best: Option<Pair>,
    /// The share of distilled data in each epoch: what the regimen asks for, or what the first run drew.
    pub shares: Vec<f64>,
    /// How many human-labelled sentences it learns from.
    pub human_sentences: usize,
    /// What the teacher's labels cost that it learns from, in US dollars, if that is known.
    pub dollars: Option<f64>,
}

/// Test scores over the seeds that are done.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TestReport {
    /// Micro precision.
    pub precision: Summary,
    /// Micro recall.
    pub recall: Summary,
    /// Micro F1.
    pub f1: Summary,
    /// Macro F1 over the types that are in the gold or predicted.
    pub macro_f1: Summary,
    /// The types of its gold and predictions.
    pub by_type: BTreeMap<Arc<str>, TypeReport>,
    /// Micro F1 by what the training data have shown of an entity; the numbers of gold entities are the first seed's.
    pub by_novelty: BTreeMap<Novelty, NoveltyReport>,
    /// The mean number of optimiser steps.
    pub steps: f64,
    /// The mean number of sub-words in training, from speed and time.
    pub tokens: f64,
    /// The mean time in training steps, in seconds.
    pub train_seconds: f64,
}

/// One type over the seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TypeReport {
    /// Precision.
    pub precision: Summary,
    /// Recall.
    pub recall: Summary,
    /// F1.
    pub f1: Summary,
}

/// Entities that the training data have shown to a like degree.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct NoveltyReport {
    /// Gold entities under the first seed.
    pub gold: usize,
    /// F1.
    pub f1: Summary,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunReport {
    /// Its id in the ledger.
    pub id: String,
    /// Its seed.
    pub seed: u64,
    /// Where it stands.
    #[serde(flatten)]
    pub state: State,
    /// What it came to, if it is done.
    pub done: Option<Outcome>,
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// On dev, of the weights that were kept.
    pub dev: Option<f64>,
    /// On test.
    pub test: Scores,
    /// The epoch, from 1, whose weights were kept, if chosen on dev.
    pub best_epoch: Option<usize>,
    /// Micro F1 on dev over the steps.
    pub curve: Curve,
    /// Optimiser steps.
    pub steps: usize,
    /// In training steps.
    pub train_seconds: f64,
    /// From beginning to end.
    pub seconds: f64,
    /// Sub-words per second.
    pub tokens_per_second: f64,
    /// Why it was cut short, if it was.
    pub stopped: Option<String>,
    /// The version of the program.
    pub version: String,
    /// What it ran on.
    pub machine: String,
}

impl Report {
    /// The report on what the ledger has of an experiment.
    ///
    /// # Errors
    /// If files of the ledger are missing or broken, or the settings make no sense. Runs that are not done are no error.
    pub fn of(ledger: &Ledger, grid: &Grid, settings: &Settings) -> Result<Self, LabError> {
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
            systems: systems(grid, &gathered)?,
            best: None,
            teachers: teachers::all(&mut reader, &settings.resampling)?,
            budgets: Vec::new(),
            examples: Vec::new(),
            data: grid.data.clone(),
        };
        report.compare(&mut pairs)?;
        report.examples = examples::all(&mut reader, &report)?;
        answers::answer(&mut report, &grid.experiment.systems()?, &mut reader, &mut pairs)?;
        Ok(report)
    }

    /// Which of some systems is best on dev: of those with most seeds done, the one with the highest mean.
    fn best_of(&self, among: &[usize]) -> Option<usize> {
        let dev = |&place: &usize| Some((place, self.systems[place].dev.as_ref()?));
        let most = among.iter().filter_map(dev).map(|(_, dev)| dev.seeds).max()?;
        let full = among.iter().filter_map(dev).filter(|(_, dev)| dev.seeds == most);
        // `max_by` takes the last of equals.
        full.rev().max_by(|(_, a), (_, b)| a.mean.total_cmp(&b.mean)).map(|(place, _)| place)
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

    /// The place of the control that all systems share, if they do.
    fn only_control(&self) -> Option<usize> {
        let controls: BTreeSet<Option<usize>> = self.systems.iter().map(|system| system.control).collect();
        if controls.len() == 1 { controls.into_iter().next().flatten() } else { None }
    }
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

fn systems(grid: &Grid, gathered: &Gathered) -> Result<Vec<SystemReport>, LabError> {
    let mut systems = Vec::new();
    for (system, of) in grid.systems.iter().zip(&gathered.systems) {
        let settings = &system.settings;
        let size = |data: &crate::DataRef| {
            let all = grid.data.get(&data.name).map_or(0, |known| known.sentences);
            data.size.map_or(all, |size| size.min(all))
        };
        let dollars = settings.distilled.iter().map(|data| {
            let all = grid.data.get(&data.name)?.sentences.max(1);
            Some(grid.experiment.data.get(&data.name)?.dollars? * size(data) as f64 / all as f64)
        });
        let seeds = system.runs.iter().zip(&grid.experiment.seeds);
        let runs = seeds.zip(of.states.iter().zip(&of.runs)).map(|((id, &seed), (state, done))| RunReport {
            id: id.clone(),
            seed,
            state: state.clone(),
            done: done.as_ref().map(outcome),
        });
        let dev: Vec<f64> = of.done().filter_map(|done| Some(done.record.dev.as_ref()?.micro.prf.f1)).collect();
        systems.push(SystemReport {
            name: system.name.clone(),
            regimen: settings.regimen()?.to_string(),
            settings: settings.clone(),
            runs: runs.collect(),
            dev: if dev.is_empty() { None } else { Some(Summary::of(&dev)?) },
            test: test(of)?,
            control: system.control,
            against_control: None,
            against_best: None,
            shares: shares(settings, of)?,
            human_sentences: settings.original.iter().map(size).sum(),
            dollars: dollars.sum(),
        });
    }
    Ok(systems)
}

fn outcome(done: &Done) -> Outcome {
    let record = &done.record;
    Outcome {
        dev: record.dev.as_ref().map(|dev| dev.micro.prf.f1),
        test: done.scores.clone(),
        best_epoch: record.best_epoch,
        curve: done.curve.clone(),
        steps: record.steps,
        train_seconds: record.train_seconds,
        seconds: record.origin.seconds,
        tokens_per_second: record.tokens_per_second,
        stopped: record.stopped.clone(),
        version: record.origin.version.clone(),
        machine: record.origin.machine.clone(),
    }
}

fn test(system: &Gathering) -> Result<Option<TestReport>, UncertaintyError> {
    if system.done().next().is_none() {
        return Ok(None);
    }
    let over = |value: &dyn Fn(&Done) -> f64| Summary::of(&system.done().map(value).collect::<Vec<_>>());
    let labels: BTreeSet<&Arc<str>> = system.done().flat_map(|done| done.scores.per_type.keys()).collect();
    let mut by_type = BTreeMap::new();
    for label in labels {
        let of = |value: fn(apprentice_core::Prf) -> f64| {
            over(&|done| done.scores.per_type.get(label).map_or(0.0, |score| value(score.prf)))
        };
        let report = TypeReport { precision: of(|p| p.precision)?, recall: of(|p| p.recall)?, f1: of(|p| p.f1)? };
        by_type.insert(label.clone(), report);
    }
    let novelties: BTreeSet<Novelty> = system.done().flat_map(|done| done.novelty.keys().copied()).collect();
    let mut by_novelty = BTreeMap::new();
    for novelty in novelties {
        let f1 = over(&|done| done.novelty.get(&novelty).map_or(0.0, |score| score.prf.f1))?;
        let first = system.done().next().and_then(|done| done.novelty.get(&novelty));
        let Counts { gold, .. } = first.map(|score| score.counts).unwrap_or_default();
        by_novelty.insert(novelty, NoveltyReport { gold, f1 });
    }
    Ok(Some(TestReport {
        precision: over(&|done| done.scores.micro.prf.precision)?,
        recall: over(&|done| done.scores.micro.prf.recall)?,
        f1: over(&|done| done.scores.micro.prf.f1)?,
        macro_f1: over(&|done| done.scores.macro_union.f1)?,
        by_type,
        by_novelty,
        steps: over(&|done| done.record.steps as f64)?.mean,
        tokens: over(&|done| done.record.tokens_per_second * done.record.train_seconds)?.mean,
        train_seconds: over(&|done| done.record.train_seconds)?.mean,
    }))
}

/// The share of distilled data in each epoch.
fn shares(settings: &RunSettings, system: &Gathering) -> Result<Vec<f64>, LabError> {
    let regimen = settings.regimen()?;
    let drawn: Vec<f64> = system.done().next().map_or(Vec::new(), |done| {
        let share = |epoch: &crate::ledger::EpochRecord| {
            let all: usize = epoch.drawn.iter().map(|drawn| drawn.sentences).sum();
            // The original data come first.
            let original = epoch.drawn.first().map_or(0, |drawn| drawn.sentences);
            if all == 0 { 0.0 } else { 1.0 - original as f64 / all as f64 }
        };
        done.record.epochs.iter().map(share).collect()
    });
    let asked = settings.training.get("epochs").and_then(Value::as_integer).and_then(|n| usize::try_from(n).ok());
    let epochs = asked.unwrap_or(drawn.len());
    // What follows from the sizes of the sets is not known before a run has drawn.
    Ok((0..epochs).map_while(|epoch| regimen.share(epoch, epochs).or(drawn.get(epoch).copied())).collect())
}
