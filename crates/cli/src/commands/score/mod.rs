//! `score`: one or several systems against the gold.

mod comparisons;
mod details;
mod files;
mod tables;

use std::path::PathBuf;

use anyhow::Result;
use apprentice_core::{
    Scheme, Sentence,
    corpus::Column,
    metrics::{
        breakdown::Surfaces,
        report::{Draw, Gold, Predicted, Report, Settings},
    },
};
use clap::{Args as ClapArgs, ValueEnum};
use serde::Serialize;

use self::files::{FileAccount, Files, Given};
use crate::{
    inputs::{self, ReadFlags, one_of},
    output,
    page::Page,
    progress::Progress,
};

/// How tags become entities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    /// As conlleval and seqeval's default: something is made of every tag
    Lenient,
    /// As seqeval's strict mode: what breaks the scheme is no entity
    Strict,
}

/// Score predicted entities against gold ones, with intervals, and compare systems.
///
/// An entity is right if its tokens and its type are. Sentences are matched by id, or by order where the ids differ, and
/// must have the same tokens.
///
/// Files of one NAME are one system under several seeds: means with their spread are given, and differences between
/// systems are tested over seeds (Welch's t test, and the paired t test where both have as many files: the first of both
/// is then taken to be of the same seed, and so on). Systems of one file each are compared over test sentences (paired
/// bootstrap and approximate randomisation). One file is not tested against several.
#[derive(ClapArgs)]
pub struct Args {
    /// The right entities, in any format
    #[arg(long, value_name = "FILE")]
    gold: PathBuf,
    /// Entities to be scored, of the same sentences; NAME is the system's and has no `/`, and is FILE if not given
    #[arg(long, value_name = "[NAME=]FILE", required = true, num_args = 1..)]
    predicted: Vec<Given>,
    /// How tags that break their scheme are read
    #[arg(long, value_enum, default_value = "lenient")]
    mode: Mode,
    /// The tag scheme of strict mode; as seen in the gold if not given
    #[arg(long)]
    scheme: Option<Scheme>,
    /// Print all of it as JSON, with uncorrected p-values, measures by type and all documents
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print Markdown
    #[arg(long)]
    markdown: bool,
    #[command(flatten)]
    uncertainty: UncertaintyFlags,
    #[command(flatten)]
    more: MoreFlags,
    #[command(flatten)]
    read: ReadFlags,
    /// The gold tag's column, if it is not --tag-column: for files as conlleval takes them, --gold-column=-2
    #[arg(long, value_name = "COLUMN", allow_hyphen_values = true, help_heading = "Input")]
    gold_column: Option<Column>,
}

#[derive(ClapArgs)]
#[command(next_help_heading = "Uncertainty")]
struct UncertaintyFlags {
    /// How many test sets are drawn for intervals and tests; 0 for none
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    resamples: usize,
    /// The confidence level of intervals
    #[arg(long, default_value_t = 0.95)]
    level: f64,
    /// What is drawn: documents where their sentences depend on each other
    #[arg(long, value_name = "UNIT", default_value = "sentence", value_parser = one_of::<Draw>(&Draw::NAMES))]
    resample_by: Draw,
    /// The seed of the draws
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Compare all systems with each other, not only each with the first
    #[arg(long)]
    all_pairs: bool,
}

#[derive(ClapArgs)]
#[command(next_help_heading = "What is behind the scores")]
struct MoreFlags {
    /// Show partial matches, kinds of error, confusions, and scores by length and document
    #[arg(long)]
    details: bool,
    /// Tell entities that these training data show from others
    #[arg(long, value_name = "FILE", requires = "details")]
    train: Option<PathBuf>,
    /// List the first N errors of each kind, or `all`
    #[arg(long, value_name = "N", value_parser = number_or_all)]
    errors: Option<usize>,
}

fn number_or_all(text: &str) -> Result<usize, String> {
    if text == "all" {
        return Ok(usize::MAX);
    }
    text.parse().map_err(|_| format!("`{text}`: expected a number or `all`"))
}

impl Args {
    fn settings(&self) -> Settings {
        let UncertaintyFlags { resamples, level, resample_by, seed, all_pairs } = self.uncertainty;
        let mut settings = Settings::default();
        (settings.resampling.resamples, settings.resampling.seed, settings.resampling.level) = (resamples, seed, level);
        (settings.draw, settings.all_pairs) = (resample_by, all_pairs);
        (settings.details, settings.mistakes) = (self.more.details, self.more.errors.unwrap_or(0));
        settings
    }
}

/// What is printed as JSON.
#[derive(Serialize)]
struct Sheet<'a> {
    mode: Mode,
    /// That of strict mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    scheme: Option<Scheme>,
    gold: &'a FileAccount,
    predicted: &'a [FileAccount],
    #[serde(flatten)]
    report: &'a Report<'a>,
}

pub fn run(args: &Args, progress: Progress) -> Result<()> {
    let files = files::read(args)?;
    let training = match &args.more.train {
        Some(path) => Some(Surfaces::of(&inputs::sentences(path, &args.read, progress)?)),
        None => None,
    };
    let report = Report::of(&files.gold, &files.predicted, training.as_ref(), &args.settings())?;
    print(args, &files, &report)?;
    // The program ends here, and many sentences would take long to free one by one.
    std::mem::forget(report);
    std::mem::forget(files);
    Ok(())
}

/// How good a teacher is.
pub struct Quality {
    /// The whole report.
    pub json: serde_json::Value,
    /// The same for people.
    pub page: Page,
}

/// Scores systems of one run each against human labels, with what is behind the scores.
pub fn quality(gold: Vec<Sentence>, systems: &[Predicted]) -> Result<Quality> {
    const MISTAKES: usize = 3;
    let mut settings = Settings::default();
    (settings.details, settings.mistakes) = (true, MISTAKES);
    settings.all_pairs = true;
    let gold = Gold::from(gold);
    let report = Report::of(&gold, systems, None, &settings)?;
    let mut page = Page::new(false);
    tables::report(&mut page, &report, true);
    Ok(Quality { json: serde_json::to_value(&report)?, page })
}

fn print(args: &Args, files: &Files, report: &Report<'_>) -> Result<()> {
    if args.json {
        return output::print_json(&Sheet {
            mode: args.mode,
            scheme: files.scheme,
            gold: &files.gold_account,
            predicted: &files.accounts,
            report,
        });
    }
    let mut page = Page::new(args.markdown);
    tables::report(&mut page, report, args.more.details || args.more.errors.is_some());
    tables::accounts(&mut page, files);
    page.print()
}
