//! `data`: corpora counted, converted, sampled, split, merged, voted on, compared and checked.

mod agree;
mod check;
mod convert;
mod diff;
mod merge;
mod sample;
mod split;
mod stats;
mod vote;

use std::path::PathBuf;

use anyhow::Result;
use apprentice_core::corpus::{ReadOptions, Source};
use clap::{Args, Subcommand};

use crate::{
    inputs::{self, ReadFlags},
    outputs::{self, WriteFlags, WriteSettings},
    progress::Progress,
};

/// Count, convert, sample, split, merge, compare and check corpora in any format
#[derive(Subcommand)]
pub enum Verb {
    /// Count what is in corpora, and say what looks wrong
    Stats(stats::Args),
    /// Write corpora in another format or tag scheme
    Convert(convert::Args),
    /// Draw sentences at random
    Sample(sample::Args),
    /// Divide a corpus into parts, such as train, dev and test
    Split(split::Args),
    /// Join corpora, without repeated texts: of the same text the first stays
    Merge(merge::Args),
    /// Put several labellings of the same sentences together by vote: those of several models, prompts or people
    Vote(vote::Args),
    /// Show where two labellings of the same text differ
    Diff(diff::Args),
    /// Measure how far labellers agree
    Agree(agree::Args),
    /// List everything that is wrong with corpora, with line numbers
    Check(check::Args),
}

pub fn run(verb: &Verb, progress: Progress) -> Result<()> {
    match verb {
        Verb::Stats(args) => stats::run(args),
        Verb::Convert(args) => convert::run(args, progress),
        Verb::Sample(args) => sample::run(args, progress),
        Verb::Split(args) => split::run(args, progress),
        Verb::Merge(args) => merge::run(args, progress),
        Verb::Vote(args) => vote::run(args, progress),
        Verb::Diff(args) => diff::run(args, progress),
        Verb::Agree(args) => agree::run(args, progress),
        Verb::Check(args) => check::run(args),
    }
}

/// Corpora in, one corpus out.
#[derive(Args)]
struct Files {
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
}

/// The same, resolved.
struct Prepared {
    sources: Vec<Source>,
    options: ReadOptions,
    settings: WriteSettings,
}

impl Files {
    /// Checks that the output can be written, and finds the inputs.
    fn prepare(&self) -> Result<Prepared> {
        let options = self.read.options(true);
        let settings = self.write.resolve(&self.output, &options)?;
        outputs::check(&self.output, settings.overwrite)?;
        Ok(Prepared { sources: inputs::sources(&self.inputs)?, options, settings })
    }
}
