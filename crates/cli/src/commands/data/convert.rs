//! `data convert`: another format, another tag scheme.

use std::path::PathBuf;

use anyhow::Result;
use apprentice_core::corpus::Conflicts;
use clap::Args as ClapArgs;
use serde::Serialize;

use super::each_record;
use crate::{
    inputs::{self, ReadFlags},
    output,
    outputs::{self, WriteFlags, WriteSettings},
    progress::Progress,
};

#[derive(ClapArgs)]
pub struct Args {
    /// Files, folders, patterns, or `-` for standard input
    #[arg(required = true)]
    inputs: Vec<PathBuf>,
    /// The file to write; `.gz` and `.zst` compress it, `-` is standard output
    #[arg(short, long)]
    output: PathBuf,
    #[command(flatten)]
    read: ReadFlags,
    #[command(flatten)]
    write: WriteFlags,
    /// Print the account as JSON on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Settings<'a> {
    inputs: &'a [PathBuf],
    read: apprentice_core::corpus::ReadOptions,
    write: WriteSettings,
}

pub fn run(args: &Args, progress: Progress) -> Result<()> {
    let options = args.read.options(true);
    let settings = args.write.resolve(&args.output, &options)?;
    outputs::check(&args.output, settings.overwrite)?;
    let sources = inputs::sources(&args.inputs)?;
    let mut conflicts = Conflicts::default();
    let written = settings.write(&args.output, |take| {
        conflicts = each_record(&sources, &options, progress, take)?;
        Ok(())
    })?;
    let written = written.with_conflicts(conflicts);
    let all = Settings { inputs: &args.inputs, read: options, write: settings };
    outputs::write_settings(&args.output, args.write.overwrite, &all)?;
    if args.json {
        return output::print_json(&written);
    }
    written.lines().into_iter().for_each(|line| progress.note(line));
    Ok(())
}
