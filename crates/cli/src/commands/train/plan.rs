//! `train --plan`: what a run will do and need, without doing it.

use std::time::Instant;

use anyhow::Result;
use apprentice_student::{Drawn, MemoryEstimate, PlannedEpoch, RunPlan, TrainSettings, Trainer};
use serde::Serialize;

use crate::output;

/// What `--json` prints.
#[derive(Serialize)]
struct Planned {
    regimen: String,
    #[serde(flatten)]
    plan: RunPlan,
    /// Of all memory.
    memory_bytes: usize,
    speed: Speed,
    /// All tokens at that speed.
    train_seconds: f64,
}

/// How fast this machine trains, measured.
#[derive(Serialize)]
pub struct Speed {
    pub tokens_per_second: f64,
    /// On how many steps it was measured.
    steps: usize,
}

/// What the bars are drawn with: the original data, then the distilled pools.
const GLYPHS: [char; 6] = ['█', '░', '▒', '▓', '○', '●'];
/// Cells of the longest bar, and of the plot of the learning rate.
const BAR: usize = 24;
const PLOT: usize = 60;

pub fn show(trainer: Trainer, settings: &TrainSettings, json: bool) -> Result<()> {
    let plan = trainer.plan()?;
    let speed = measure(trainer)?;
    let planned = Planned {
        regimen: settings.regimen.to_string(),
        memory_bytes: plan.memory.total(),
        train_seconds: plan.tokens as f64 / speed.tokens_per_second,
        speed,
        plan,
    };
    if json {
        return output::print_json(&planned);
    }
    let Planned { regimen, plan, speed, train_seconds, .. } = &planned;
    output::print(format_args!(
        "{regimen}: {} epochs, {} steps, {} tokens, about {train_seconds:.0} s of training",
        plan.epochs.len(),
        plan.steps,
        plan.tokens
    ))?;
    output::print(epochs_table(plan))?;
    let rates = &plan.learning_rates;
    let highest = rates.iter().copied().fold(0.0, f64::max);
    output::print(format_args!("\nlearning rate over the steps, from 0 to {highest:e}:\n{}", plot(rates, highest)))?;
    output::print(format_args!("\n{}", needs(&plan.memory)))?;
    output::print(format_args!(
        "time: {:.0} tokens/s, measured here on {} steps; scoring is not in it",
        speed.tokens_per_second, speed.steps
    ))
}

/// The speed of some steps, the first left out where there are more: it also takes the memory.
pub fn measure(trainer: Trainer) -> Result<Speed> {
    const SECONDS: f64 = 3.0;
    const STEPS: usize = 50;
    let start = Instant::now();
    let mut laps: Vec<(usize, f64)> = Vec::new();
    trainer.rehearse(|tokens| {
        laps.push((tokens, start.elapsed().as_secs_f64()));
        laps.len() < 2 || laps.len() < STEPS && start.elapsed().as_secs_f64() < SECONDS
    })?;
    let (from, rest) = match laps.as_slice() {
        [(_, first), rest @ ..] if !rest.is_empty() => (*first, rest),
        all => (0.0, all),
    };
    let seconds = rest.last().map_or(0.0, |(_, last)| last - from);
    let tokens: usize = rest.iter().map(|(tokens, _)| tokens).sum();
    Ok(Speed { tokens_per_second: tokens as f64 / seconds.max(1e-9), steps: rest.len() })
}

fn epochs_table(plan: &RunPlan) -> impl std::fmt::Display {
    let names = plan.epochs.first().map_or(Vec::new(), |epoch| epoch.drawn.iter().map(|d| d.pool.as_str()).collect());
    let legend = names.iter().enumerate().map(|(pool, name)| format!("{} {name}", glyph(pool)));
    let legend = legend.collect::<Vec<_>>().join(", ");
    let header =
        [&["epoch", "time"], names.as_slice(), &["steps", "tokens", "learning rate", legend.as_str()]].concat();
    let longest = plan.epochs.iter().map(sentences).max().unwrap_or(0);
    let mut first = 0;
    let rows = plan.epochs.iter().map(|epoch| {
        let rates = &plan.learning_rates[first..first + epoch.steps];
        first += epoch.steps;
        let mut row = vec![epoch.epoch.to_string(), format!("{:.3}", epoch.time)];
        row.extend(epoch.drawn.iter().map(drawn));
        row.extend([epoch.steps.to_string(), epoch.tokens.to_string(), ends(rates), bar(epoch, longest)]);
        row
    });
    output::table(&header, rows)
}

fn sentences(epoch: &PlannedEpoch) -> usize {
    epoch.drawn.iter().map(|drawn| drawn.sentences).sum()
}

/// A count, with the weight where it is not 1.
fn drawn(drawn: &Drawn) -> String {
    let weight =
        if (drawn.weight - 1.0).abs() < f64::EPSILON { String::new() } else { format!(" × {:.2}", drawn.weight) };
    format!("{}{weight}", drawn.sentences)
}

/// The first and the last of some learning rates.
fn ends(rates: &[f64]) -> String {
    let [first, last] = [rates.first(), rates.last()].map(|rate| match rate {
        Some(rate) if *rate > 0.0 => format!("{rate:.1e}"),
        _ => "0".to_owned(),
    });
    format!("{first} to {last}")
}

fn glyph(pool: usize) -> char {
    GLYPHS[pool.min(GLYPHS.len() - 1)]
}

/// A bar as long as the epoch is large, in parts as the pools have them.
fn bar(epoch: &PlannedEpoch, longest: usize) -> String {
    let cells = |sentences: usize| (sentences * BAR) as f64 / longest.max(1) as f64;
    let (mut bar, mut end) = (String::new(), 0);
    for (pool, drawn) in epoch.drawn.iter().enumerate() {
        let start = end;
        end += drawn.sentences;
        let part = cells(end).round() as usize - cells(start).round() as usize;
        bar.extend(std::iter::repeat_n(glyph(pool), part));
    }
    format!("{bar:BAR$}")
}

/// One line of blocks: the largest value of each stretch.
fn plot(values: &[f64], highest: f64) -> String {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let level = |stretch: &[f64]| {
        let value = stretch.iter().copied().fold(0.0, f64::max);
        LEVELS[(value / highest.max(f64::MIN_POSITIVE) * 7.0).round() as usize]
    };
    let cells = values.len().min(PLOT);
    let bound = |cell: usize| cell * values.len() / cells;
    (0..cells).map(|cell| level(&values[bound(cell)..bound(cell + 1)])).collect()
}

fn needs(memory: &MemoryEstimate) -> String {
    let mib = |bytes: usize| format!("{:.1}", bytes as f64 / f64::from(1 << 20));
    format!(
        "memory: about {} MiB, estimated from the architecture: weights and kept copies {}, gradients {}, moments {}, \
         activations of the largest batch {}; program, data and the scoring of dev come on top",
        mib(memory.total()),
        mib(memory.weights),
        mib(memory.gradients),
        mib(memory.moments),
        mib(memory.activations)
    )
}
