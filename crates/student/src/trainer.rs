//! The training loop: an iterator of step reports, which whoever drives it may log, show or stop.

use apprentice_core::{Draw, Draws, Entity, Plan, Pool, Pools, Scores, Sentence, metrics};
use apprentice_encoder::{AdamW, PackedBatch, Targets};
use serde::Serialize;

use crate::{Student, StudentError, TrainSettings, tokenize::Window};

/// What a run learns from and is measured on.
#[derive(Debug, Clone, Copy, Default)]
pub struct TrainingData<'a> {
    /// Human-labelled sentences.
    pub original: &'a [Sentence],
    /// Sentences labelled by the teacher.
    pub distilled: &'a [Sentence],
    /// Scored after every epoch, to keep the best weights; without it the last weights are kept.
    pub dev: Option<&'a [Sentence]>,
}

/// One optimiser step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepReport {
    /// Counted from 1.
    pub step: usize,
    /// Of how many.
    pub steps: usize,
    /// The epoch, counted from 1.
    pub epoch: usize,
    /// Mean cross-entropy per labelled word, in nats.
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
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EpochReport {
    /// Counted from 1.
    pub epoch: usize,
    /// Sentences drawn from the original data.
    pub original: usize,
    /// Sentences drawn from the distilled data.
    pub distilled: usize,
    /// Mean of the steps' losses.
    pub loss: f64,
    /// Scores on dev.
    pub dev: Option<Scores>,
    /// Whether these are the best weights so far; the first best wins.
    pub best: bool,
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

/// A sentence as the loop needs it.
struct Example {
    windows: Vec<Window>,
    /// The class of each word.
    classes: Vec<u32>,
}

/// One stretch of steps over which the learning-rate schedule runs once.
struct Stage {
    first_step: usize,
    steps: usize,
}

/// Trains a student, one optimiser step per item.
pub struct Trainer {
    student: Student,
    settings: TrainSettings,
    adam: AdamW,
    original: Vec<Example>,
    distilled: Vec<Example>,
    dev: Option<Dev>,
    draws: Draws,
    stages: Vec<Stage>,
    total_steps: usize,
    step: usize,
    /// Training batches so far; what dropout counts by.
    passes: u64,
    epoch: Vec<Draw>,
    position: usize,
    loss_sum: f64,
    epoch_steps: usize,
    reports: Vec<EpochReport>,
    best: Option<Best>,
    /// Weights of the start of the last epoch whose first loss was finite.
    good: Vec<f32>,
    diverged: bool,
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
    pub fn new(student: Student, data: TrainingData<'_>, settings: &TrainSettings) -> Result<Self, StudentError> {
        settings.check()?;
        let plan = Plan {
            regimen: settings.regimen,
            pools: Pools { original: data.original.len(), distilled: data.distilled.len() },
            epochs: settings.epochs,
            epoch_size: settings.epoch_size,
            seed: settings.seed,
        };
        let epoch_steps: Vec<usize> = plan.lengths()?.iter().map(|n| n.div_ceil(settings.batch_size)).collect();
        let stages = settings.regimen.stages(settings.epochs);
        let stages = stages.into_iter().map(|epochs| Stage {
            first_step: epoch_steps[..epochs.start].iter().sum(),
            steps: epoch_steps[epochs].iter().sum(),
        });
        let max_length = student.max_length(settings.max_length);
        let dev = data.dev.map(|sentences| {
            Ok::<_, StudentError>(Dev {
                windows: student.tokenizer.windows(sentences, max_length)?,
                gold: sentences.iter().map(|s| s.entities().to_vec()).collect(),
            })
        });
        Ok(Self {
            adam: AdamW {
                weight_decay: settings.weight_decay as f32,
                max_gradient_norm: settings.max_gradient_norm as f32,
                ..AdamW::default()
            },
            original: examples(&student, data.original, max_length)?,
            distilled: examples(&student, data.distilled, max_length)?,
            dev: dev.transpose()?,
            draws: plan.draws()?,
            stages: stages.collect(),
            total_steps: epoch_steps.iter().sum(),
            step: 0,
            passes: 0,
            epoch: Vec::new(),
            position: 0,
            loss_sum: 0.0,
            epoch_steps: 0,
            reports: Vec::new(),
            best: None,
            good: Vec::new(),
            diverged: false,
            student,
            settings: settings.clone(),
        })
    }

    /// Optimiser steps of the whole run.
    #[must_use]
    pub fn total_steps(&self) -> usize {
        self.total_steps
    }

    /// The run's result, at the end or wherever it was left. After a divergence without dev, the student has the weights
    /// of the start of the epoch, the last that are known to be good.
    ///
    /// # Errors
    /// If the device cannot take the weights back.
    pub fn finish(mut self) -> Result<Trained, StudentError> {
        let best_epoch = self.best.as_ref().map(|best| best.epoch);
        if let Some(best) = self.best {
            self.student.network.set_parameters(&best.parameters)?;
        } else if self.diverged && !self.good.is_empty() {
            self.student.network.set_parameters(&self.good)?;
        }
        Ok(Trained { student: self.student, epochs: self.reports, best_epoch, steps: self.step })
    }

    /// The learning rate of the next step.
    fn learning_rate(&self) -> f64 {
        let stage = self.stages.iter().rfind(|stage| stage.first_step <= self.step);
        let Some(stage) = stage else { return 0.0 };
        let schedule = self.settings.regimen.schedule(self.settings.schedule);
        let step = self.step - stage.first_step;
        self.settings.learning_rate * schedule.factor(step, stage.steps, self.settings.warmup_steps)
    }

    fn next_step(&mut self) -> Result<StepReport, StudentError> {
        let first = self.position;
        let last = (first + self.settings.batch_size).min(self.epoch.len());
        let (loss, tokens) = self.accumulate(first, last)?;
        let rate = self.learning_rate();
        let step = self.step + 1;
        let diverged = |what, value| StudentError::Diverged { step, what, value, rate };
        if !loss.is_finite() {
            return Err(diverged("the loss", loss));
        }
        if first == 0 && self.best.is_none() {
            self.good.clear();
            self.good.extend_from_slice(self.student.network.parameters().values());
        }
        let gradient_norm = self.student.network.update(&self.adam, rate as f32);
        if !gradient_norm.is_finite() {
            return Err(diverged("the gradient norm", gradient_norm));
        }
        self.step = step;
        self.position = last;
        self.loss_sum += loss;
        self.epoch_steps += 1;
        let epoch = self.reports.len() + 1;
        let epoch_end = if last < self.epoch.len() {
            None
        } else if self.student.network.parameters().values().iter().any(|v| !v.is_finite()) {
            return Err(diverged("a weight", f64::NAN));
        } else {
            Some(self.end_epoch().map_err(|error| match error {
                StudentError::NotFinite => diverged("a logit on dev", f64::NAN),
                other => other,
            })?)
        };
        Ok(StepReport {
            step,
            steps: self.total_steps,
            epoch,
            loss,
            learning_rate: rate,
            gradient_norm,
            tokens,
            epoch_end,
        })
    }

    /// Adds up the gradients of draws `first..last` of the epoch; the mean loss per labelled word, and the tokens.
    fn accumulate(&mut self, first: usize, last: usize) -> Result<(f64, usize), StudentError> {
        let drawn: Vec<&Example> = self.epoch[first..last]
            .iter()
            .map(|draw| match draw.pool {
                Pool::Original => &self.original[draw.index],
                Pool::Distilled => &self.distilled[draw.index],
            })
            .collect();
        // Sentences without a word have no label to learn from; a batch of nothing else has no gradient either.
        let labelled = drawn.iter().map(|example| example.classes.len()).sum::<usize>().max(1);
        let (mut loss, mut tokens) = (0.0, 0);
        for part in drawn.chunks(drawn.len().div_ceil(self.settings.accumulation)) {
            let mut batch = PackedBatch::default();
            let (mut rows, mut classes) = (Vec::new(), Vec::new());
            for example in part {
                for window in &example.windows {
                    rows.extend(window.rows.iter().map(|row| batch.tokens() + row));
                    classes.extend_from_slice(&example.classes[window.words.clone()]);
                    batch.push(&window.ids);
                }
            }
            tokens += batch.tokens();
            let targets = Targets {
                rows: &rows,
                classes: &classes,
                scale: 1.0 / labelled as f32,
                seed: self.settings.seed,
                pass: self.passes,
            };
            loss += self.student.network.accumulate(&batch, &targets)?;
            self.passes += 1;
        }
        Ok((loss / labelled as f64, tokens))
    }

    fn end_epoch(&mut self) -> Result<EpochReport, StudentError> {
        let epoch = self.reports.len() + 1;
        let dev = match &self.dev {
            None => None,
            Some(dev) => {
                let predicted = self.student.predict_windows(&dev.windows)?;
                Some(metrics::entities(&dev.gold, &predicted)?)
            }
        };
        let score = dev.as_ref().map(|scores| scores.micro.prf.f1);
        let best = score.is_some_and(|score| self.best.as_ref().is_none_or(|best| score > best.score));
        if let (true, Some(score)) = (best, score) {
            let parameters = self.student.network.parameters().values().to_vec();
            self.best = Some(Best { epoch, score, parameters });
        }
        let original = self.epoch.iter().filter(|draw| draw.pool == Pool::Original).count();
        let report = EpochReport {
            epoch,
            original,
            distilled: self.epoch.len() - original,
            loss: self.loss_sum / self.epoch_steps as f64,
            dev,
            best,
        };
        self.reports.push(report.clone());
        (self.loss_sum, self.epoch_steps) = (0.0, 0);
        Ok(report)
    }
}

impl Iterator for Trainer {
    type Item = Result<StepReport, StudentError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.diverged {
            return None;
        }
        if self.position == self.epoch.len() {
            self.epoch = self.draws.next()?;
            self.position = 0;
        }
        let report = self.next_step();
        self.diverged = report.is_err();
        Some(report)
    }
}

/// Tokenises the sentences and looks up their classes.
fn examples(student: &Student, sentences: &[Sentence], max_length: usize) -> Result<Vec<Example>, StudentError> {
    let windows = student.tokenizer.windows(sentences, max_length)?;
    sentences
        .iter()
        .zip(windows)
        .map(|(sentence, windows)| {
            let classes = student.labels.classes_of(sentence).map_err(|label| StudentError::UnknownType {
                id: sentence.id().to_owned(),
                label: label.to_string(),
                known: student.labels.types().into_iter().map(AsRef::as_ref).collect::<Vec<&str>>().join(", "),
            })?;
            Ok(Example { windows, classes })
        })
        .collect()
}
