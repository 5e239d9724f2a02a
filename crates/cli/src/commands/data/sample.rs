//! `data sample`: sentences drawn at random.

use std::path::PathBuf;

use anyhow::Result;
use apprentice_core::data::Sampler;
use clap::Args as ClapArgs;
use serde_json::json;

use super::each_record;
use crate::{
    inputs::{self, ReadFlags},
    outputs::{self, WriteFlags},
    progress::Progress,
};

#[derive(ClapArgs)]
pub struct Args {
    /// Files, folders, patterns, or `-` for standard input
    #[arg(required = true)]
    inputs: Vec<PathBuf>,
    /// How many sentences to draw
    #[arg(short, long)]
    n: usize,
    /// Decides which
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keep the shares of sentences with the same set of entity types
    #[arg(long)]
    stratify: bool,
    /// The file to write; `-` is standard output
    #[arg(short, long)]
    output: PathBuf,
    #[command(flatten)]
    read: ReadFlags,
    #[command(flatten)]
    write: WriteFlags,
}

pub fn run(args: &Args, progress: Progress) -> Result<()> {
    let options = args.read.options(true);
    let settings = args.write.resolve(&args.output, &options)?;
    outputs::check(&args.output, settings.overwrite)?;
    let mut sampler = Sampler::new(args.n, args.seed, args.stratify);
    let conflicts = each_record(&inputs::sources(&args.inputs)?, &options, progress, |record| {
        sampler.add(record);
        Ok(())
    })?;
    let seen = sampler.seen();
    let drawn = sampler.finish();
    if drawn.len() < args.n {
        progress.note(format_args!("there are only {seen} sentences: all are taken"));
    }
    let written = settings.write(&args.output, |take| drawn.into_iter().try_for_each(take))?.with_conflicts(conflicts);
    let all = json!({
        "inputs": args.inputs, "n": args.n, "seed": args.seed, "stratify": args.stratify,
        "read": options, "write": settings,
    });
    outputs::write_settings(&args.output, settings.overwrite, &all)?;
    progress.note(format_args!("drawn from {seen} sentences"));
    written.lines().into_iter().for_each(|line| progress.note(line));
    Ok(())
}
