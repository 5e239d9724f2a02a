//! `data split`: parts of a corpus.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};
use apprentice_core::{
    Scheme,
    corpus::{Format, Record},
    data::{Ratios, SplitBy, split},
};
use clap::{Args as ClapArgs, ValueEnum};
use serde_json::json;

use crate::{
    inputs::{self, ReadFlags},
    outputs::{self, WriteFlags},
    progress::Progress,
};

/// What stays together.
#[derive(Clone, Copy, ValueEnum)]
enum By {
    /// The sentences of a document.
    Document,
    /// Nothing.
    Sentence,
}

#[derive(ClapArgs)]
pub struct Args {
    /// Files, folders, patterns, or `-` for standard input
    #[arg(required = true)]
    inputs: Vec<PathBuf>,
    /// The parts' sizes in proportion to each other
    #[arg(long, default_value = "8,1,1")]
    ratios: Ratios,
    /// What stays together: no document is in two parts
    #[arg(long, value_enum, default_value = "document")]
    by: By,
    /// Decides what goes where
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A file to write for each part, in the order of the ratios
    #[arg(short, long, num_args = 2.., required = true)]
    output: Vec<PathBuf>,
    #[command(flatten)]
    read: ReadFlags,
    #[command(flatten)]
    write: WriteFlags,
}

pub fn run(args: &Args, progress: Progress) -> Result<()> {
    if args.output.len() != args.ratios.parts() {
        bail!("--ratios {} makes {} parts, but --output names {}", args.ratios, args.ratios.parts(), args.output.len());
    }
    if let Some(twice) = twice(&args.output) {
        bail!("--output names {} twice: expected a file for each part", twice.display());
    }
    let options = args.read.options(true);
    for path in &args.output {
        args.write.resolve(path, &options)?;
        outputs::check(path, args.write.overwrite)?;
    }
    let mut records: Vec<Record> = Vec::new();
    let conflicts =
        inputs::each_record(&inputs::sources(&args.inputs)?, &options, &|line| progress.note(line), |record| {
            records.push(record);
            Ok(())
        })?;
    let by = match args.by {
        By::Document => SplitBy::Document,
        By::Sentence => SplitBy::Sentence,
    };
    if by == SplitBy::Document && records.iter().all(|record| record.document().is_none()) {
        progress.note("the corpus names no documents: every sentence is on its own (--by sentence says so)");
    }
    if !conflicts.counts.is_empty() {
        progress.note(format_args!("in conflict: {conflicts}"));
    }
    let parts = split(&records, &args.ratios, by, args.seed);
    let tag_names = tag_names(&records, args.write.scheme);
    for (part, path) in args.output.iter().enumerate() {
        let mut settings = args.write.resolve(path, &options)?;
        if settings.to == Format::Parquet && settings.tag_names.is_empty() {
            settings.tag_names.clone_from(&tag_names);
        }
        let chosen = records.iter().zip(&parts).filter(|(_, of)| **of == part).map(|(record, _)| record.clone());
        let written = settings.write(path, |take| chosen.into_iter().try_for_each(take))?;
        let all = json!({
            "inputs": args.inputs, "ratios": args.ratios, "part": part, "by": by, "seed": args.seed,
            "read": options, "write": settings,
        });
        outputs::write_settings(path, settings.overwrite, &all)?;
        for line in written.lines() {
            progress.note(format_args!("{}: {line}", path.display()));
        }
    }
    Ok(())
}

/// The names of all tags, so that the parts number them alike.
fn tag_names(records: &[Record], scheme: Scheme) -> Vec<String> {
    let spans = records.iter().filter_map(Record::spans).flatten();
    let labels: BTreeSet<_> = spans.map(|span| span.label.clone()).collect();
    let tags = labels.iter().flat_map(|label| scheme.tags_of(label));
    std::iter::once("O".to_owned()).chain(tags.map(|tag| tag.in_scheme(scheme).to_string())).collect()
}

/// A path that means the same file as another.
fn twice(paths: &[PathBuf]) -> Option<&PathBuf> {
    let absolute = |path: &PathBuf| {
        let parent = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
        let parent = std::fs::canonicalize(parent).unwrap_or_else(|_| parent.to_owned());
        path.file_name().map_or(parent.clone(), |name| parent.join(name))
    };
    let mut seen = BTreeSet::new();
    paths.iter().find(|path| !seen.insert(absolute(path)))
}
