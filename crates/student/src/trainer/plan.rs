//! What a run will do and need, before it does it.

use apprentice_core::{Draw, Epoch, EpochOutline};
use apprentice_encoder::TrainingMemory;
use serde::Serialize;

use super::{Drawn, Trainer, parts};
use crate::StudentError;

/// The plan of a run; made by [`Trainer::plan`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunPlan {
    /// What each epoch takes.
    pub epochs: Vec<PlannedEpoch>,
    /// Optimiser steps.
    pub steps: usize,
    /// Sub-words, special tokens included.
    pub tokens: usize,
    /// The learning rate of every step.
    pub learning_rates: Vec<f64>,
    /// What the run needs in memory.
    pub memory: MemoryEstimate,
}

/// What one epoch takes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlannedEpoch {
    /// Counted from 1.
    pub epoch: usize,
    /// From 0 in the first epoch to 1 in the last.
    pub time: f64,
    /// Sentences from each pool, the original data first.
    pub drawn: Vec<Drawn>,
    /// Optimiser steps.
    pub steps: usize,
    /// Sub-words, special tokens included.
    pub tokens: usize,
}

/// Bytes that a run needs, estimated from the architecture: neither the data nor the program nor what the allocator
/// keeps is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MemoryEstimate {
    /// The weights, and the copies of good ones that are kept; in bf16 their rounded copy and the rounded factors, too.
    pub weights: usize,
    /// Gradients of the weights.
    pub gradients: usize,
    /// AdamW's two moments.
    pub moments: usize,
    /// What the largest batch keeps on the way forward and needs on the way back.
    pub activations: usize,
}

impl MemoryEstimate {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> usize {
        self.weights + self.gradients + self.moments + self.activations
    }
}

impl RunPlan {
    pub(super) fn new(trainer: &Trainer) -> Result<Self, StudentError> {
        let epochs = trainer.outline.iter().enumerate().map(|(number, outline)| planned(trainer, number, outline));
        let epochs: Vec<PlannedEpoch> = epochs.collect();
        let steps = trainer.total_steps();
        let rate = |step| trainer.settings.learning_rate * trainer.rates.factor(step);
        Ok(Self {
            steps,
            tokens: epochs.iter().map(|epoch| epoch.tokens).sum(),
            learning_rates: (0..steps).map(rate).collect(),
            memory: memory(trainer)?,
            epochs,
        })
    }
}

fn planned(trainer: &Trainer, number: usize, outline: &EpochOutline) -> PlannedEpoch {
    PlannedEpoch {
        epoch: number + 1,
        time: outline.time,
        drawn: Drawn::of(&trainer.plan, outline),
        steps: outline.steps,
        tokens: outline.tokens,
    }
}

fn memory(trainer: &Trainer) -> Result<MemoryEstimate, StudentError> {
    let network = &trainer.student.network;
    let parameters = network.layout().len();
    let of = |part: &[Draw]| {
        let (mut offsets, mut rows) = (vec![0], 0);
        for window in part.iter().flat_map(|draw| &trainer.pools[draw.pool][draw.index].windows) {
            offsets.push(offsets.last().copied().unwrap_or(0) + window.ids.len());
            rows += window.rows.len();
        }
        TrainingMemory::new(network.config(), network.precision(), parameters, network.classes(), &offsets, rows)
    };
    let largest = |epoch: Epoch| {
        let accumulation = trainer.settings.accumulation;
        let batches = epoch.batches.iter().flat_map(|batch| parts(&epoch.draws[batch.clone()], accumulation));
        batches.map(of).max_by_key(|memory| memory.activations)
    };
    let largest = trainer.plan.draws()?.filter_map(largest).max_by_key(|memory| memory.activations);
    let TrainingMemory { parameters, gradients, moments, activations, rounded } = largest.unwrap_or_default();
    // The weights of the start of an epoch are kept in case the run diverges, and the best ones if there is a dev set.
    let copies = if trainer.dev.is_some() { 2 } else { 1 };
    Ok(MemoryEstimate { weights: (1 + copies) * parameters + rounded, gradients, moments, activations })
}
