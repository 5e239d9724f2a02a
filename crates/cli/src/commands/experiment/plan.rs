//! `experiment run --plan`.

use std::{collections::BTreeMap, time::Instant};

use anyhow::Result;
use apprentice_lab::{Ledger, Run, State};
use apprentice_student::RunPlan;
use serde::Serialize;

use super::data::Prepared;
use crate::{commands::train::plan::measure, output};

/// What `--json` prints.
#[derive(Serialize)]
struct Planned<'a> {
    runs: Vec<PlannedRun<'a>>,
    /// Of the runs that are not done.
    seconds: f64,
}

#[derive(Serialize)]
struct PlannedRun<'a> {
    id: &'a str,
    system: &'a str,
    seed: u64,
    steps: usize,
    /// Sub-words in training, special tokens included.
    tokens: usize,
    /// Estimated, loading left out.
    seconds: f64,
    #[serde(flatten)]
    state: State,
}

/// How fast this machine is with one encoder.
struct Speed {
    /// Sub-words in training.
    training: f64,
    /// Sentences in prediction.
    prediction: f64,
}

/// Lists the runs, with what they need.
pub fn show(prepared: &Prepared, ledger: Option<&Ledger>, ids: &[&str], threads: usize, json: bool) -> Result<()> {
    // Seeds draw other sentences, but as many: a system's runs take as long as its first.
    let (mut plans, mut speeds) = (BTreeMap::new(), BTreeMap::new());
    let mut runs = Vec::new();
    for id in ids {
        let (system, seed) = prepared.name_of(id);
        let run = &prepared.runs[*id];
        if !plans.contains_key(system) {
            plans.insert(system, examine(prepared, run, threads, &mut speeds)?);
        }
        let (plan, seconds) = &plans[system];
        let state = ledger.map_or(State::Pending, |ledger| ledger.state(id));
        runs.push(PlannedRun { id, system, seed, steps: plan.steps, tokens: plan.tokens, seconds: *seconds, state });
    }
    let seconds = runs.iter().filter(|run| run.state != State::Done).map(|run| run.seconds).sum();
    let planned = Planned { runs, seconds };
    if json {
        return output::print_json(&planned);
    }
    let rows = planned.runs.iter().map(|run| {
        let numbers = [run.seed, run.steps as u64, run.tokens as u64].map(|number| number.to_string());
        let [seed, steps, tokens] = numbers;
        vec![run.id.to_owned(), run.system.to_owned(), seed, steps, tokens, run.state.to_string()]
    });
    output::print(output::text_table(&["run", "system", "seed", "steps", "tokens", "state"], rows))?;
    let left = planned.runs.iter().filter(|run| run.state != State::Done).count();
    output::print(format_args!(
        "{left} of {} runs are to be done: about {:.0} minutes, from a few steps and predictions here",
        planned.runs.len(),
        (planned.seconds / 60.0).ceil()
    ))
}

/// A run's plan, and how many seconds it takes with all threads.
fn examine(
    prepared: &Prepared,
    run: &Run,
    threads: usize,
    speeds: &mut BTreeMap<String, Speed>,
) -> Result<(RunPlan, f64)> {
    let material = prepared.material(run)?;
    let mut student = material.student(threads)?;
    let started = Instant::now();
    let some = &material.test[..material.test.len().min(128)];
    let known = speeds.contains_key(&material.encoder);
    if !known {
        student.predict(some, material.training.max_length)?;
    }
    let prediction = some.len() as f64 / started.elapsed().as_secs_f64();
    let plan = material.trainer(student)?.plan()?;
    if !known {
        let training = measure(material.trainer(material.student(threads)?)?)?.tokens_per_second;
        speeds.insert(material.encoder.clone(), Speed { training, prediction });
    }
    let speed = &speeds[&material.encoder];
    let scored = plan.epochs.len() * material.dev.as_ref().map_or(0, |dev| dev.len()) + material.test.len();
    let seconds = plan.tokens as f64 / speed.training + scored as f64 / speed.prediction;
    Ok((plan, seconds))
}
