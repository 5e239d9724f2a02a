//! `experiment report`.

use std::{path::Path, thread, time::Duration};

use anyhow::Result;
use apprentice_lab::{
    Ledger,
    report::{Report, Settings},
};
use clap::Args;

use super::InLedger;
use crate::{output, progress::Progress};

#[derive(Args)]
pub struct ReportArgs {
    #[command(flatten)]
    place: InLedger,
    #[command(flatten)]
    shown: ShownFlags,
    /// Write it again whenever a run has ended, until all have
    #[arg(long, conflicts_with = "json")]
    watch: bool,
    /// Print all that the report shows as JSON, and write nothing
    #[arg(long)]
    json: bool,
}

/// What a report shows.
#[derive(Args)]
pub struct ShownFlags {
    /// How many example sentences the report shows; 0 for a report that may be passed on where the texts may not
    #[arg(long, value_name = "N", default_value_t = Settings::default().examples)]
    examples: usize,
}

impl ShownFlags {
    fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        settings.examples = self.examples;
        settings
    }
}

/// How often `--watch` looks.
const LOOK: Duration = Duration::from_secs(2);

pub fn run(args: &ReportArgs, progress: Progress) -> Result<()> {
    let ledger = args.place.open()?;
    let name = args.place.experiment(&ledger)?;
    if args.json {
        return output::print_json(&Report::of(&ledger, &ledger.grid(&name)?, &args.shown.settings())?);
    }
    let mut report = write(&ledger, &name, &args.shown)?;
    while args.watch && report.progress.done + report.progress.failed.len() < report.progress.runs {
        progress.note(format_args!("{} of {} runs are done", report.progress.done, report.progress.runs));
        let grid = ledger.grid(&name)?;
        let states = || grid.ids().map(|id| ledger.state(id)).collect::<Vec<_>>();
        let before = states();
        while states() == before {
            thread::sleep(LOOK);
        }
        report = write(&ledger, &name, &args.shown)?;
    }
    print_answers(&report, &ledger.folder(&name))
}

const HTML: &str = "report.html";

/// Writes the report into the experiment's folder.
pub fn write(ledger: &Ledger, name: &str, shown: &ShownFlags) -> Result<Report> {
    let report = Report::of(ledger, &ledger.grid(name)?, &shown.settings())?;
    let folder = ledger.folder(name);
    let pages = [(HTML, report.html()?), ("report.md", report.markdown()), ("report.tex", report.latex())];
    for (file, content) in pages.into_iter().chain(report.csv()) {
        output::write_file(&folder.join(file), true, content.as_bytes())?;
    }
    Ok(report)
}

/// Prints the answers, and where the report is.
pub fn print_answers(report: &Report, folder: &Path) -> Result<()> {
    for answer in &report.answers {
        output::print(format_args!("{}\n  {}\n", answer.ask, answer.answer))?;
    }
    output::print(format_args!(
        "{} of {} runs: {}",
        report.progress.done,
        report.progress.runs,
        folder.join(HTML).display()
    ))
}
