//! `data check`: everything that is wrong, all at once.

use std::path::PathBuf;

use anyhow::{Result, bail};
use apprentice_core::{
    Certainty,
    corpus::{ReadOptions, Reader, Reading, Source},
    data::{Checker, Problem},
};
use clap::Args as ClapArgs;
use serde_json::json;

use crate::{
    inputs::{self, ReadFlags},
    output,
};

#[derive(ClapArgs)]
pub struct Args {
    /// Files, folders, patterns, or `-` for standard input
    #[arg(required = true)]
    inputs: Vec<PathBuf>,
    #[command(flatten)]
    read: ReadFlags,
    /// Print JSON instead of lines
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let mut all = Vec::new();
    let mut found = 0;
    for source in inputs::sources(&args.inputs)? {
        let (problems, records) = check(&source, &args.read.options(true))?;
        found += problems.len();
        if args.json {
            all.push(json!({"path": source.path, "records": records, "problems": problems}));
            continue;
        }
        for problem in &problems {
            output::print(format_args!("{}:{problem}", source.path.display()))?;
        }
        output::print(format_args!("{}: {records} sentences, {} problems", source.path.display(), problems.len()))?;
    }
    if args.json {
        output::print_json(&all)?;
    }
    if found > 0 {
        bail!("{found} problems");
    }
    Ok(())
}

/// Reads a source to its end, whatever is wrong with it, and a second time if its tags break their scheme.
fn check(source: &Source, options: &ReadOptions) -> Result<(Vec<Problem>, usize)> {
    let mut checker = Checker::default();
    let mut reader = match Reader::open(source, options) {
        Ok(reader) => reader,
        Err(error) => {
            checker.error(&error);
            return Ok(checker.finish());
        }
    };
    while let Some(record) = reader.next() {
        match record {
            Ok(record) => checker.record(reader.line(), &record),
            Err(error) => checker.error(&error),
        }
    }
    let verdict = reader.evidence().verdict();
    if matches!(verdict.certainty, Certainty::Broken { .. }) && source.is_repeatable() {
        let mut checked = options.clone();
        checked.reading = Reading::Checked(verdict.scheme);
        for error in Reader::open(source, &checked)?.filter_map(Result::err) {
            checker.error(&error);
        }
    }
    Ok(checker.finish())
}
