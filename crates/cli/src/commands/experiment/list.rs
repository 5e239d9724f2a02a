//! `experiment list`: what stands where.

use anyhow::Result;
use apprentice_core::Scores;
use apprentice_lab::{Ledger, State, report::best_on_dev};
use clap::Args;
use serde::Serialize;

use super::InLedger;
use crate::output;

#[derive(Args)]
pub struct ListArgs {
    #[command(flatten)]
    place: InLedger,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

/// An experiment's runs by where they stand.
#[derive(Serialize)]
struct Listed {
    experiment: String,
    title: String,
    runs: usize,
    done: usize,
    /// The system that is best on dev so far.
    best_on_dev: Option<Best>,
    others: Vec<Other>,
}

#[derive(Serialize)]
struct Best {
    system: String,
    dev_f1: f64,
    seeds: usize,
}

/// A run that is not done.
#[derive(Serialize)]
struct Other {
    id: String,
    system: String,
    seed: u64,
    #[serde(flatten)]
    state: State,
}

pub fn run(args: &ListArgs) -> Result<()> {
    let ledger = args.place.open()?;
    let names = match &args.place.experiment {
        Some(name) => vec![name.clone()],
        None => ledger.experiments()?,
    };
    let listed: Vec<Listed> = names.iter().map(|name| listed(&ledger, name)).collect::<Result<_>>()?;
    if args.json {
        return output::print_json(&listed);
    }
    let rows = listed.iter().map(|one| {
        let best = one.best_on_dev.as_ref();
        let best = best.map(|b| format!("{}: {:.4} ({} seeds)", b.system, b.dev_f1, b.seeds));
        let done = format!("{} of {}", one.done, one.runs);
        vec![one.experiment.clone(), done, best.unwrap_or_default(), one.title.clone()]
    });
    output::print(output::text_table(&["experiment", "done", "best on dev (mean F1)", "asks"], rows))?;
    let others: Vec<&Other> =
        listed.iter().flat_map(|one| &one.others).filter(|other| other.state != State::Pending).collect();
    if others.is_empty() {
        return Ok(());
    }
    let rows = others
        .iter()
        .map(|other| vec![other.id.clone(), other.system.clone(), other.seed.to_string(), other.state.to_string()]);
    output::print(output::text_table(&["run", "system", "seed", "state"], rows))
}

fn listed(ledger: &Ledger, name: &str) -> Result<Listed> {
    let grid = ledger.grid(name)?;
    let (mut done, mut others, mut scored) = (0, Vec::new(), Vec::new());
    for id in grid.ids() {
        let Some((system, seed)) = grid.find(id) else { continue };
        match ledger.state(id) {
            State::Done => done += 1,
            state => others.push(Other { id: id.to_owned(), system: system.name.clone(), seed, state }),
        }
    }
    for (place, system) in grid.systems.iter().enumerate() {
        let mut f1s = Vec::new();
        for id in &system.runs {
            let f1 = |scores: Scores| scores.micro.prf.f1;
            f1s.extend(ledger.record(id)?.and_then(|record| record.dev).map(f1));
        }
        if !f1s.is_empty() {
            scored.push((place, f1s.len(), f1s.iter().sum::<f64>() / f1s.len() as f64));
        }
    }
    Ok(Listed {
        experiment: name.to_owned(),
        title: grid.experiment.title.clone(),
        runs: done + others.len(),
        done,
        best_on_dev: best_on_dev(scored).map(|(place, seeds, dev_f1)| Best {
            system: grid.systems[place].name.clone(),
            dev_f1,
            seeds,
        }),
        others,
    })
}
