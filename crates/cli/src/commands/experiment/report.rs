//! `experiment report`.

use anyhow::Result;
use apprentice_lab::Ledger;
use clap::Args;

use super::InLedger;
use crate::progress::Progress;

#[derive(Args)]
pub struct ReportArgs {
    #[command(flatten)]
    place: InLedger,
}

pub fn run(args: &ReportArgs, _progress: Progress) -> Result<()> {
    let ledger = args.place.open()?;
    write(&ledger, &args.place.experiment(&ledger)?)
}

/// Writes the report into the experiment's folder.
pub fn write(ledger: &Ledger, name: &str) -> Result<()> {
    let _ = ledger.grid(name)?;
    Ok(())
}
