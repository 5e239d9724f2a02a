//! The training loop: an iterator of step reports, which whoever drives it may log, show or stop.

mod plan;

use std::{
    collections::HashMap,
    fmt::{Debug, Write},
    ops::Range,
    sync::OnceLock,
};

use apprentice_core::{Draws, Entity, Epoch, EpochOutline, Plan, Rates, Scores, metrics};
use apprentice_encoder::{AdamW, PackedBatch, Targets};
use serde::{Deserialize, Serialize};

pub use plan::{MemoryEstimate, PlannedEpoch, RunPlan};

use crate::{
    Student, StudentError, TrainSettings, TrainingData,
    checkpoint::{Hash, Resumable, network_state, numbers, restore_network, take},
    data::{self, Example, examples},
    tokenize::Window,
};

/// One optimiser step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepReport {
    /// Counted from 1.
    pub step: usize,
    /// Of how many.
    pub steps: usize,
    /// The epoch, counted from 1.
    pub epoch: usize,
    /// Mean cross-entropy per labelled word, weighted, in nats. With a CRF, that of the sentences divided by their words.
    pub loss: f64,
    /// The learning rate of this step.
    pub learning_rate: f64,
    /// Global norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Sub-words in this step, special tokens included.
    pub tokens: usize,
    /// Set on the last step of an epoch.
    pub epoch_end: Option<EpochReport>,
}

/// One epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochReport {
    /// Counted from 1.
    pub epoch: usize,
    /// What was drawn from each pool, the original data first.
    pub drawn: Vec<Drawn>,
    /// Mean of the steps' losses.
    pub loss: f64,
    /// Scores on dev.
    pub dev: Option<Scores>,
    /// Whether these are the best weights so far; the first best wins.
    pub best: bool,
}

/// What an epoch takes from one pool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Drawn {
    /// The pool's name.
    pub pool: String,
    /// How many sentences.
    pub sentences: usize,
    /// What their loss is multiplied by.
    pub weight: f64,
}

impl Drawn {
    /// What an epoch takes from each pool of the plan.
    fn of(plan: &Plan, epoch: &EpochOutline) -> Vec<Self> {
        let counts = epoch.drawn.iter().zip(&epoch.weights);
        let drawn = |(name, (&sentences, &weight)): (&String, _)| Self { pool: name.clone(), sentences, weight };
        plan.pools.all().map(|pool| &pool.name).zip(counts).map(drawn).collect()
    }
}

/// What a run leaves.
pub struct Trained {
    /// With the best weights on dev, or the last ones without dev.
    pub student: Student,
    /// One report per finished epoch.
    pub epochs: Vec<EpochReport>,
    /// The epoch, counted from 1, whose weights the student has, if chosen on dev.
    pub best_epoch: Option<usize>,
    /// Optimiser steps that were made.
    pub steps: usize,
}

/// Where a run stands. With the plan it says what comes next: batch `batch` of `plan.draws()?.nth(epoch)`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Cursor {
    /// Optimiser steps made.
    step: usize,
    /// Training batches so far; what dropout counts by. Several a step if gradients are accumulated.
    passes: u64,
    /// The epoch, counted from 0.
    epoch: usize,
    /// Steps made in it.
    batch: usize,
    /// The sum of their losses.
    loss: f64,
}

/// What a checkpoint holds beside the numbers.
#[derive(Serialize, Deserialize)]
pub struct State {
    cursor: Cursor,
    /// Updates that the moments are of.
    updates: Option<u32>,
    reports: Vec<EpochReport>,
    /// The epoch of the best weights so far, and their score.
    best: Option<(usize, f64)>,
}

/// Trains a student, one optimiser step per item.
pub struct Trainer {
    student: Student,
    settings: TrainSettings,
    adam: AdamW,
    pools: Vec<Vec<Example>>,
    dev: Option<Dev>,
    plan: Plan,
    outline: Vec<EpochOutline>,
    rates: Rates,
    cursor: Cursor,
    draws: Draws,
    /// The epoch at the cursor; none before the first step and after the last of an epoch.
    epoch: Option<Epoch>,
    reports: Vec<EpochReport>,
    best: Option<Best>,
    /// Weights of the start of the last epoch whose first loss was finite.
    good: Vec<f32>,
    diverged: bool,
    /// Once it is asked for.
    fingerprint: OnceLock<String>,
}

struct Dev {
    windows: Vec<Vec<Window>>,
    gold: Vec<Vec<Entity>>,
}

struct Best {
    epoch: usize,
    score: f64,
    parameters: Vec<f32>,
}

impl Trainer {
    /// Checks the settings against the data and prepares the run.
    ///
    /// # Errors
    /// If a setting makes no sense, the regimen lacks data, a sentence has an entity type that the student has no class
    /// for, or the tokeniser fails.
    pub fn new(mut student: Student, data: TrainingData<'_>, settings: &TrainSettings) -> Result<Self, StudentError> {
        settings.check()?;
        data.check(settings)?;
        student.set_head(settings.head)?;
        student.network.set_precision(settings.precision);
        let max_length = student.max_length(settings.max_length);
        let pools: Result<Vec<_>, _> =
            data.pools().map(|pool| examples(&student, pool, settings, max_length)).collect();
        let pools = pools?;
        let plan = data::plan(settings, &data, &pools);
        let outline = plan.outline()?;
        let stages = settings.regimen.stages(settings.epochs).into_iter();
        let rates = Rates {
            schedule: settings.regimen.schedule(settings.schedule),
            warmup: settings.warmup(),
            stages: stages.map(|epochs| outline[epochs].iter().map(|epoch| epoch.steps).sum()).collect(),
        };
        let dev = data.dev.map(|sentences| {
            Ok::<_, StudentError>(Dev {
                windows: student.tokenizer.windows(sentences, max_length)?,
                gold: sentences.iter().map(|s| s.entities().to_vec()).collect(),
            })
        });
        Ok(Self {
            adam: settings.adam(),
            pools,
            dev: dev.transpose()?,
            draws: plan.draws()?,
            plan,
            outline,
            rates,
            cursor: Cursor::default(),
            epoch: None,
            reports: Vec::new(),
            best: None,
            good: Vec::new(),
            diverged: false,
            fingerprint: OnceLock::new(),
            student,
            settings: settings.clone(),
        })
    }

    /// Optimiser steps of the whole run.
    #[must_use]
    pub fn total_steps(&self) -> usize {
        self.rates.stages.iter().sum()
    }

    /// What the run will do and need.
    ///
    /// # Errors
    /// None that [`Self::new`] would not have had.
    pub fn plan(&self) -> Result<RunPlan, StudentError> {
        RunPlan::new(self)
    }

    /// Makes optimiser steps on the run's first batches at a learning rate of 0, to see how long they take: `go_on` is
    /// told the sub-words of each step after it. Ends when that says so, or with the first epoch.
    ///
    /// # Errors
    /// If the encoder cannot take a batch.
    pub fn rehearse(mut self, mut go_on: impl FnMut(usize) -> bool) -> Result<(), StudentError> {
        let Some(epoch) = self.draws.next() else { return Ok(()) };
        for batch in epoch.batches.clone() {
            let (_, tokens) = self.accumulate(&epoch, batch)?;
            self.student.network.update(&self.adam, 0.0);
            if !go_on(tokens) {
                break;
            }
        }
        Ok(())
    }

    fn hash(&self) -> String {
        let mut hash = Hash::default();
        // Writing into a hash cannot fail.
        let mut put = |part: &dyn Debug| writeln!(hash, "{part:?}").unwrap_or(());
        put(&self.settings);
        put(self.student.config());
        put(&self.student.labels.names().collect::<Vec<_>>());
        for example in self.pools.iter().flatten() {
            put(&(&example.windows, &example.classes, &example.weights));
        }
        put(&self.plan.pools.all().map(|pool| (&pool.name, pool.tokens.len())).collect::<Vec<_>>());
        if let Some(dev) = &self.dev {
            put(&(&dev.windows, &dev.gold));
        }
        hash.finish()
    }

    /// The run's result, at the end or wherever it was left. After a divergence without dev, the student has the weights
    /// of the start of the epoch, the last that are known to be good.
    ///
    /// # Errors
    /// If the device cannot take the weights back.
    pub fn finish(mut self) -> Result<Trained, StudentError> {
        // Who ends in the middle of an epoch gets whole steps too.
        let _ = self.student.network.state();
        let best_epoch = self.best.as_ref().map(|best| best.epoch);
        if let Some(best) = self.best {
            self.student.network.set_parameters(&best.parameters)?;
        } else if self.diverged && !self.good.is_empty() {
            self.student.network.set_parameters(&self.good)?;
        }
        Ok(Trained { student: self.student, epochs: self.reports, best_epoch, steps: self.cursor.step })
    }

    fn next_step(&mut self, epoch: &Epoch) -> Result<StepReport, StudentError> {
        let first = self.cursor.batch == 0;
        let (loss, tokens) = self.accumulate(epoch, epoch.batches[self.cursor.batch].clone())?;
        let rate = self.settings.learning_rate * self.rates.factor(self.cursor.step);
        let step = self.cursor.step + 1;
        let diverged = |what, value| StudentError::Diverged { step, what, value, rate };
        if !loss.is_finite() {
            return Err(diverged("the loss", loss));
        }
        if first && self.best.is_none() {
            self.good.clear();
            self.good.extend_from_slice(self.student.network.state().0.values());
        }
        let gradient_norm = self.student.network.update(&self.adam, rate as f32);
        if !gradient_norm.is_finite() {
            return Err(diverged("the gradient norm", gradient_norm));
        }
        self.cursor.step = step;
        self.cursor.batch += 1;
        self.cursor.loss += loss;
        let epoch_end = if self.cursor.batch < epoch.batches.len() {
            None
        } else if self.student.network.state().0.values().iter().any(|v| !v.is_finite()) {
            return Err(diverged("a weight", f64::NAN));
        } else {
            Some(self.end_epoch().map_err(|error| match error {
                StudentError::NotFinite => diverged("a logit on dev", f64::NAN),
                other => other,
            })?)
        };
        Ok(StepReport {
            step,
            steps: self.total_steps(),
            epoch: epoch.number + 1,
            loss,
            learning_rate: rate,
            gradient_norm,
            tokens,
            epoch_end,
        })
    }

    /// Adds up the gradients of a batch of the epoch; the weighted mean loss per labelled word, and the tokens.
    fn accumulate(&mut self, epoch: &Epoch, batch: Range<usize>) -> Result<(f64, usize), StudentError> {
        let drawn: Vec<(&Example, f32)> = epoch.draws[batch]
            .iter()
            .map(|draw| (&self.pools[draw.pool][draw.index], epoch.weights[draw.pool] as f32))
            .collect();
        let of_words = |(example, weight): &(&Example, f32)| -> f64 {
            example.weights.iter().map(|word| f64::from(word * weight)).sum()
        };
        let weight: f64 = drawn.iter().map(of_words).sum();
        // Sentences without a word have no label to learn from, nor have those of weight 0; a batch of nothing else has
        // no gradient either.
        let weight = if weight > 0.0 { weight } else { 1.0 };
        let (mut loss, mut tokens) = (0.0, 0);
        for part in parts(&drawn, self.settings.accumulation) {
            let packed = Labelled::pack(part);
            tokens += packed.batch.tokens();
            let targets = Targets {
                weights: Some(&packed.weights),
                sequences: Some(&packed.sentences),
                scale: (1.0 / weight) as f32,
                seed: self.settings.seed,
                pass: self.cursor.passes,
                ..Targets::new(&packed.rows, &packed.classes)
            };
            loss += self.student.network.accumulate(&packed.batch, &targets)?;
            self.cursor.passes += 1;
        }
        Ok((loss / weight, tokens))
    }

    fn end_epoch(&mut self) -> Result<EpochReport, StudentError> {
        let number = self.cursor.epoch + 1;
        let dev = match &self.dev {
            None => None,
            Some(dev) => {
                let predicted = self.student.entities(&dev.windows)?;
                Some(metrics::entities(&dev.gold, &predicted)?)
            }
        };
        let score = dev.as_ref().map(|scores| scores.micro.prf.f1);
        let best = score.is_some_and(|score| self.best.as_ref().is_none_or(|best| score > best.score));
        if let (true, Some(score)) = (best, score) {
            let parameters = self.student.network.state().0.values().to_vec();
            self.best = Some(Best { epoch: number, score, parameters });
            // The best ones are what is fallen back on from now on.
            self.good = Vec::new();
        }
        let report = EpochReport {
            epoch: number,
            drawn: Drawn::of(&self.plan, &self.outline[self.cursor.epoch]),
            loss: self.cursor.loss / self.cursor.batch as f64,
            dev,
            best,
        };
        self.reports.push(report.clone());
        self.cursor = Cursor { epoch: number, batch: 0, loss: 0.0, ..self.cursor };
        Ok(report)
    }
}

impl Resumable for Trainer {
    type State = State;

    fn steps_made(&self) -> usize {
        self.cursor.step
    }

    /// Of settings, examples, dev set, architecture and labels.
    fn fingerprint(&self) -> &str {
        self.fingerprint.get_or_init(|| self.hash())
    }

    fn state(&mut self) -> (State, Vec<(&'static str, &[f32])>) {
        let (updates, mut values) = network_state(&mut self.student.network);
        values.extend(self.best.iter().map(|best| (numbers::BEST, &best.parameters[..])));
        values.extend((!self.good.is_empty()).then_some((numbers::GOOD, &self.good[..])));
        let state = State {
            cursor: self.cursor,
            updates,
            reports: self.reports.clone(),
            best: self.best.as_ref().map(|best| (best.epoch, best.score)),
        };
        (state, values)
    }

    fn restore(&mut self, state: State, mut values: HashMap<String, Vec<f32>>) -> Result<(), String> {
        let network = &mut self.student.network;
        let best = match state.best {
            Some((epoch, score)) => Some(Best { epoch, score, parameters: take(network, &mut values, numbers::BEST)? }),
            None => None,
        };
        let has_good = values.contains_key(numbers::GOOD);
        let good = if has_good { take(network, &mut values, numbers::GOOD)? } else { Vec::new() };
        let mut draws = self.plan.draws().map_err(|error| error.to_string())?;
        if let Some(before) = state.cursor.epoch.checked_sub(1) {
            draws.nth(before);
        }
        let epoch = if state.cursor.batch > 0 { draws.next() } else { None };
        if epoch.as_ref().map_or(0, |epoch| epoch.batches.len()) < state.cursor.batch {
            return Err(format!("it stands at batch {} of an epoch that has fewer", state.cursor.batch));
        }
        restore_network(network, &mut values, state.updates)?;
        (self.draws, self.epoch, self.cursor) = (draws, epoch, state.cursor);
        (self.reports, self.best, self.good) = (state.reports, best, good);
        Ok(())
    }
}

impl Iterator for Trainer {
    type Item = Result<StepReport, StudentError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.diverged {
            return None;
        }
        let epoch = match self.epoch.take() {
            Some(epoch) => epoch,
            None => self.draws.next()?,
        };
        let report = self.next_step(&epoch);
        self.diverged = report.is_err();
        if self.cursor.batch > 0 {
            self.epoch = Some(epoch);
        }
        Some(report)
    }
}

/// A batch with its targets.
#[derive(Default)]
struct Labelled {
    batch: PackedBatch,
    rows: Vec<usize>,
    classes: Vec<u32>,
    weights: Vec<f32>,
    /// Where each sentence ends among the rows, all its windows together.
    sentences: Vec<usize>,
}

impl Labelled {
    /// Lays the windows of weighted examples end to end.
    fn pack(examples: &[(&Example, f32)]) -> Self {
        let mut packed = Self::default();
        for (example, weight) in examples {
            for window in &example.windows {
                let start = packed.batch.tokens();
                packed.rows.extend(window.rows.iter().map(|row| start + row));
                packed.classes.extend_from_slice(&example.classes[window.words.clone()]);
                packed.weights.extend(example.weights[window.words.clone()].iter().map(|word| word * weight));
                packed.batch.push(&window.ids);
            }
            packed.sentences.push(packed.rows.len());
        }
        packed
    }
}

/// The parts in which the sentences of a step are computed.
fn parts<T>(drawn: &[T], accumulation: usize) -> std::slice::Chunks<'_, T> {
    drawn.chunks(drawn.len().div_ceil(accumulation))
}
