//! Systems and their runs in numbers.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use apprentice_core::{
    Counts, Prf, Scores,
    metrics::{
        breakdown::Novelty,
        uncertainty::{Summary, UncertaintyError},
    },
};
use serde::Serialize;
use toml::Value;

use super::{
    gather::{Done, Gathered, Gathering},
    pairs::Pair,
};
use crate::{Curve, DataRef, EpochRecord, Grid, LabError, RunSettings, State};

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

pub(super) fn all(grid: &Grid, gathered: &Gathered) -> Result<Vec<SystemReport>, LabError> {
    let mut systems = Vec::new();
    for (system, of) in grid.systems.iter().zip(&gathered.systems) {
        let settings = &system.settings;
        let size = |data: &DataRef| {
            let all = grid.data.get(&data.name).map_or(0, |known| known.sentences);
            data.size.map_or(all, |size| size.min(all))
        };
        let mut dollars = settings.distilled.iter().map(|data| {
            let all = grid.data.get(&data.name)?.sentences.max(1);
            Some(grid.experiment.data.get(&data.name)?.dollars? * size(data) as f64 / all as f64)
        });
        // From 0, because the sum of no numbers is -0.
        let dollars = dollars.try_fold(0.0, |sum, one| Some(sum + one?));
        let is_priced = grid.experiment.data.values().any(|data| data.dollars.is_some());
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
            dollars: dollars.filter(|_| is_priced),
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
        let of =
            |value: fn(Prf) -> f64| over(&|done| done.scores.per_type.get(label).map_or(0.0, |score| value(score.prf)));
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
        let share = |epoch: &EpochRecord| {
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
