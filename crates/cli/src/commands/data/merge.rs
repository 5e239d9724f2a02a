//! `data merge`: several corpora in one.

use anyhow::Result;
use apprentice_core::{corpus::Conflicts, data::Merger};
use clap::Args as ClapArgs;
use serde_json::json;

use super::{Files, Prepared};
use crate::{inputs, output, outputs, progress::Progress};

#[derive(ClapArgs)]
pub struct Args {
    #[command(flatten)]
    files: Files,
    /// Print the account as JSON on standard output
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args, progress: Progress) -> Result<()> {
    let Prepared { sources, options, settings } = args.files.prepare()?;
    let mut merger = Merger::default();
    let mut conflicts = Conflicts::default();
    let written = settings.write(&args.files.output, |take| {
        // One by one: who is renamed is decided by what is kept.
        for source in &sources {
            let source = std::slice::from_ref(source);
            let keep = |record| merger.add(record).map_or(Ok(()), &mut *take);
            conflicts.extend(inputs::each_record(source, &options, &|line| progress.note(line), keep)?);
        }
        Ok(())
    })?;
    let written = written.with_conflicts(conflicts);
    let merged = merger.finish();
    let all = json!({"inputs": args.files.inputs, "read": options, "write": settings});
    outputs::write_settings(&args.files.output, settings.overwrite, &all)?;
    if args.json {
        return output::print_json(&json!({"merged": merged, "written": written}));
    }
    progress.note(format_args!("{} repeated sentences with the same labels left out", merged.duplicates));
    if merged.conflicts > 0 {
        progress.note(format_args!("{} repeated sentences with other labels left out:", merged.conflicts));
        for (this, kept) in &merged.first_conflicts {
            progress.note(format_args!("  {this}: {kept} was kept"));
        }
    }
    if merged.renamed > 0 {
        progress.note(format_args!("{} sentences renamed, because their ids were taken", merged.renamed));
    }
    written.lines().into_iter().for_each(|line| progress.note(line));
    Ok(())
}
