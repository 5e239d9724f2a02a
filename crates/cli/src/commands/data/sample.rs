//! `data sample`: sentences drawn at random.

use anyhow::Result;
use apprentice_core::data::Sampler;
use clap::Args as ClapArgs;
use serde_json::json;

use super::{Files, Prepared};
use crate::{inputs, outputs, progress::Progress};

#[derive(ClapArgs)]
pub struct Args {
    /// How many sentences to draw
    #[arg(short, long)]
    n: usize,
    /// Decides which
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keep the shares of sentences with the same set of entity types
    #[arg(long)]
    stratify: bool,
    #[command(flatten)]
    files: Files,
}

pub fn run(args: &Args, progress: Progress) -> Result<()> {
    let Prepared { sources, options, settings } = args.files.prepare()?;
    let mut sampler = Sampler::new(args.n, args.seed, args.stratify);
    let conflicts = inputs::each_record(&sources, &options, &|line| progress.note(line), |record| {
        sampler.add(record);
        Ok(())
    })?;
    let seen = sampler.seen();
    let drawn = sampler.finish();
    if drawn.len() < args.n {
        progress.note(format_args!("there are only {seen} sentences: all are taken"));
    }
    let written =
        settings.write(&args.files.output, |take| drawn.into_iter().try_for_each(take))?.with_conflicts(conflicts);
    let all = json!({
        "inputs": args.files.inputs, "n": args.n, "seed": args.seed, "stratify": args.stratify,
        "read": options, "write": settings,
    });
    outputs::write_settings(&args.files.output, settings.overwrite, &all)?;
    progress.note(format_args!("drawn from {seen} sentences"));
    written.lines().into_iter().for_each(|line| progress.note(line));
    Ok(())
}
