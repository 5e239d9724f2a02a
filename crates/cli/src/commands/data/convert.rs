//! `data convert`: another format, another tag scheme.

use std::path::PathBuf;

use anyhow::Result;
use apprentice_core::corpus::Conflicts;
use clap::Args as ClapArgs;
use serde::Serialize;

use super::{Files, Prepared};
use crate::{
    inputs, output,
    outputs::{self, WriteSettings},
    progress::Progress,
};

#[derive(ClapArgs)]
pub struct Args {
    #[command(flatten)]
    files: Files,
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
    let Prepared { sources, options, settings } = args.files.prepare()?;
    let mut conflicts = Conflicts::default();
    let written = settings.write(&args.files.output, |take| {
        conflicts = inputs::each_record(&sources, &options, &|line| progress.note(line), take)?;
        Ok(())
    })?;
    let written = written.with_conflicts(conflicts);
    let overwrite = settings.overwrite;
    let all = Settings { inputs: &args.files.inputs, read: options, write: settings };
    outputs::write_settings(&args.files.output, overwrite, &all)?;
    if args.json {
        return output::print_json(&written);
    }
    written.lines().into_iter().for_each(|line| progress.note(line));
    Ok(())
}
