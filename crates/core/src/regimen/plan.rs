//! The plan of a run: data sets, regimen, epochs and budget.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    Course, Regimen, RegimenError,
    draw::{Draw, Draws, Split},
    time,
};

/// One data set, as a plan sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Pool {
    /// What it is called in reports.
    pub name: String,
    /// The length of each of its examples in sub-words, special tokens included; an example without any counts as one.
    pub tokens: Vec<usize>,
    /// Its part of the distilled data over time, relative to the other distilled pools'; its size if absent. Without
    /// meaning for the original data, and for `all`, which takes every pool whole.
    pub share: Option<Course>,
    /// What the loss of its examples is multiplied by over time. The loss of a batch is a weighted mean, so this counts
    /// against the other pools of the batch: alone in it, any weight above 0 is the same.
    pub weight: Course,
}

impl Pool {
    /// A pool that shares by its size and weighs 1.
    #[must_use]
    pub fn new(name: impl Into<String>, tokens: Vec<usize>) -> Self {
        Self { name: name.into(), tokens, share: None, weight: Course::default() }
    }
}

/// All data of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Pools {
    /// Labelled by humans.
    pub original: Pool,
    /// Labelled by the teacher; one pool or several.
    pub distilled: Vec<Pool>,
}

impl Pools {
    /// The pools in the order in which [`Draw::pool`] counts them: the original data, then the distilled.
    pub fn all(&self) -> impl Iterator<Item = &Pool> {
        std::iter::once(&self.original).chain(&self.distilled)
    }

    fn distilled_size(&self) -> usize {
        self.distilled.iter().map(|pool| pool.tokens.len()).sum()
    }

    pub(super) fn tokens(&self, draw: Draw) -> usize {
        let pool = if draw.pool == 0 { &self.original } else { &self.distilled[draw.pool - 1] };
        pool.tokens[draw.index].max(1)
    }
}

/// How much one optimiser step takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batch {
    /// So many sentences.
    Sentences(usize),
    /// As many sentences as fit into so many sub-words, in the order drawn; a longer sentence is a batch of its own.
    Tokens(usize),
}

/// What all epochs may cost together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    /// So many optimiser steps, exactly, in the same proportion by the end of every epoch.
    Steps(usize),
    /// So many sub-words. By the end of epoch `e` of `E`, counted from 1, `e / E` of them are spent, less what the next
    /// sentence was too long for; so the whole run stays below the budget by less than one sentence.
    Tokens(usize),
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steps(steps) => write!(f, "{steps} steps"),
            Self::Tokens(tokens) => write!(f, "{tokens} tokens"),
        }
    }
}

/// All that decides which examples a run sees.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Which data in which epoch.
    pub regimen: Regimen,
    /// The data.
    pub pools: Pools,
    /// How many epochs; they are the time axis of the regimen, of shares and of weights.
    pub epochs: usize,
    /// How many examples an epoch has; by default as many as the original data where a regimen blends, else one pass
    /// over the data in use.
    pub epoch_size: Option<usize>,
    /// Says how long the epochs are, in place of a size.
    pub budget: Option<Budget>,
    /// How the examples of an epoch are cut into steps; a batch never reaches into the next epoch.
    pub batch: Batch,
    /// Decides the order, and nothing else does.
    pub seed: u64,
}

/// What an epoch will be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochOutline {
    /// From 0 in the first epoch to 1 in the last.
    pub time: f64,
    /// The share of distilled data that the regimen asks for; `None` where it follows from the sizes (`all`).
    pub share: Option<f64>,
    /// Examples from each pool, in the order of [`Pools::all`].
    pub drawn: Vec<usize>,
    /// The weight of each pool in the loss.
    pub weights: Vec<f64>,
    /// Optimiser steps.
    pub steps: usize,
    /// Sub-words.
    pub tokens: usize,
}

/// Where an epoch ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    /// After so many examples.
    Examples(usize),
    /// Before the run has more sub-words than this.
    Tokens(usize),
}

impl Plan {
    /// Ten epochs in batches of 32 sentences, seed 1.
    #[must_use]
    pub fn new(regimen: Regimen, pools: Pools) -> Self {
        Self { regimen, pools, epochs: 10, epoch_size: None, budget: None, batch: Batch::Sentences(32), seed: 1 }
    }

    /// What each epoch will be: what a learning-rate schedule, and who pays for it, must know before the run.
    ///
    /// # Errors
    /// As [`Self::draws`], and [`RegimenError::Budget`] if a budget of tokens is too small.
    pub fn outline(&self) -> Result<Vec<EpochOutline>, RegimenError> {
        let outline = |epoch: super::Epoch| {
            let mut drawn = vec![0; 1 + self.pools.distilled.len()];
            for draw in &epoch.draws {
                drawn[draw.pool] += 1;
            }
            EpochOutline {
                time: time(epoch.number, self.epochs),
                share: self.regimen.share(epoch.number, self.epochs),
                drawn,
                weights: epoch.weights,
                steps: epoch.batches.len(),
                tokens: epoch.draws.iter().map(|&draw| self.pools.tokens(draw)).sum(),
            }
        };
        let outline: Vec<EpochOutline> = self.draws()?.map(outline).collect();
        match (self.budget, outline.iter().position(|epoch| epoch.steps == 0)) {
            (Some(budget), Some(empty)) => Err(RegimenError::Budget { budget, epoch: empty + 1, epochs: self.epochs }),
            _ => Ok(outline),
        }
    }

    /// The examples of each epoch. Epoch `e`, counted from 0, is `draws()?.nth(e)`, whatever was taken before: this plan
    /// and the place in the epoch are all that one must know to go on with a run.
    ///
    /// # Errors
    /// [`RegimenError::EmptyPool`] if the regimen needs a data set that has nothing, and the other variants for
    /// settings that make no sense.
    pub fn draws(&self) -> Result<Draws, RegimenError> {
        self.check()?;
        Ok(Draws::new(self.clone()))
    }

    fn check(&self) -> Result<(), RegimenError> {
        self.regimen.check()?;
        self.check_sizes()?;
        let lacks = |pool: &str| RegimenError::EmptyPool { regimen: self.regimen.to_string(), pool: pool.to_owned() };
        if self.regimen.needs_original() && self.pools.original.tokens.is_empty() {
            return Err(lacks(&self.pools.original.name));
        }
        if self.regimen.needs_distilled() && self.pools.distilled_size() == 0 {
            return Err(lacks("distilled"));
        }
        for pool in self.pools.all() {
            pool.weight.check()?;
            pool.share.map_or(Ok(Course::default()), Course::check)?;
        }
        let missing = self.pools.distilled.iter().find(|pool| pool.share.is_none());
        if let Some(pool) = missing.filter(|_| self.pools.distilled.iter().any(|pool| pool.share.is_some())) {
            return Err(RegimenError::MissingShare { pool: pool.name.clone() });
        }
        for epoch in (0..self.epochs).filter(|&e| self.regimen.share(e, self.epochs).is_some_and(|share| share > 0.0)) {
            let shares = self.shares(epoch);
            if shares.iter().all(|share| *share <= 0.0) {
                return Err(RegimenError::NoShare { epoch: epoch + 1 });
            }
            let empty = |(pool, share): &(&super::Pool, &f64)| **share > 0.0 && pool.tokens.is_empty();
            if let Some((pool, _)) = self.pools.distilled.iter().zip(&shares).find(empty) {
                return Err(lacks(&pool.name));
            }
        }
        Ok(())
    }

    fn check_sizes(&self) -> Result<(), RegimenError> {
        if self.epoch_size == Some(0) {
            return Err(RegimenError::Zero { what: "an epoch size" });
        }
        if matches!(self.batch, Batch::Sentences(0) | Batch::Tokens(0)) {
            return Err(RegimenError::Zero { what: "a batch size" });
        }
        let Some(budget) = self.budget else { return Ok(()) };
        if self.epoch_size.is_some() {
            return Err(RegimenError::TwoSizes { budget });
        }
        match (budget, self.batch) {
            (Budget::Steps(_), Batch::Tokens(_)) => Err(RegimenError::StepsOfTokens { budget }),
            (Budget::Steps(steps), _) if steps < self.epochs => {
                Err(RegimenError::Budget { budget, epoch: 1, epochs: self.epochs })
            }
            _ => Ok(()),
        }
    }

    /// The relative shares of the distilled pools in an epoch.
    fn shares(&self, epoch: usize) -> Vec<f64> {
        let time = time(epoch, self.epochs);
        let share = |pool: &Pool| pool.share.map_or(pool.tokens.len() as f64, |share| share.at(time));
        self.pools.distilled.iter().map(share).collect()
    }

    /// How an epoch is divided among the pools; `None` if they are one.
    pub(super) fn split(&self, epoch: usize) -> Option<Split> {
        self.regimen.share(epoch, self.epochs).map(|share| Split::new(share, self.shares(epoch)))
    }

    /// The weight of each pool in an epoch.
    pub(super) fn weights(&self, epoch: usize) -> Vec<f64> {
        self.pools.all().map(|pool| pool.weight.at(time(epoch, self.epochs))).collect()
    }

    pub(super) fn end(&self, epoch: usize) -> End {
        // What is spent of a budget after so many epochs.
        let spent = |all: usize, epochs: usize| (all as u128 * epochs as u128 / self.epochs as u128) as usize;
        match (self.budget, self.batch) {
            (Some(Budget::Steps(steps)), Batch::Sentences(batch)) => {
                End::Examples((spent(steps, epoch + 1) - spent(steps, epoch)) * batch)
            }
            (Some(Budget::Tokens(tokens)), _) => End::Tokens(spent(tokens, epoch + 1)),
            _ => End::Examples(self.epoch_size.unwrap_or_else(|| self.pass(epoch))),
        }
    }

    /// The examples of an epoch whose size is not given.
    fn pass(&self, epoch: usize) -> usize {
        let (original, distilled) = (self.pools.original.tokens.len(), self.pools.distilled_size());
        match (self.regimen, self.regimen.share(epoch, self.epochs)) {
            (_, None) => original + distilled,
            (Regimen::Blend { .. }, _) => original,
            (_, Some(share)) => {
                if share >= 1.0 {
                    distilled
                } else {
                    original
                }
            }
        }
    }
}
