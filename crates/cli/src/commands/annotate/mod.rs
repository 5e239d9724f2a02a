//! `annotate`: sentences in, distilled data out.

mod batch;
mod live;
mod nearest;
mod provider;
mod replay;
mod sheet;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, anyhow, bail};
use apprentice_core::files;
use apprentice_teacher::{OverlapPolicy, Strategy};
use clap::Args as ClapArgs;
use serde::{Deserialize, Serialize};

use self::sheet::Account;
use crate::{
    inputs::{self, ReadFlags, one_of},
    output,
    progress::Progress,
    settings,
};

#[derive(ClapArgs)]
#[expect(clippy::struct_excessive_bools, reason = "they are flags")]
pub struct Args {
    #[command(flatten)]
    flags: Flags,
    /// TOML file with the same settings; flags override it.
    #[arg(long)]
    config: Option<PathBuf>,
    /// It is no error if some sentences could not be annotated as asked; the others are written in any case.
    #[arg(long)]
    skip_failed: bool,
    /// Let the transcript hold completions for sentences that are not in the input.
    #[arg(long)]
    allow_unused: bool,
    /// Show one prompt and what the job would need, and send nothing.
    #[arg(long)]
    dry_run: bool,
    /// Write the output anew from what the store has, and send nothing.
    #[arg(long)]
    reparse: bool,
    /// Also write the answers as recorded completions, for --provider replay:FILE.
    #[arg(long, value_name = "FILE")]
    export_transcripts: Option<PathBuf>,
    /// Human labels of the same sentences: the account ends with how good the teacher is.
    #[arg(long, value_name = "FILE")]
    gold: Option<PathBuf>,
    #[command(flatten)]
    batches: batch::BatchFlags,
    #[command(flatten)]
    read: ReadFlags,
    /// Replace an output that exists.
    #[arg(long)]
    overwrite: bool,
    /// Print the account as JSON instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(ClapArgs, Serialize)]
struct Flags {
    /// Where answers come from: `openai` (and whatever speaks its protocol), `anthropic`, or `replay:FILE`, recorded
    /// completions in JSON lines.
    #[arg(long)]
    provider: Option<String>,
    /// The sentences: text or a corpus in any format; its labels are not looked at.
    #[arg(long)]
    input: Option<PathBuf>,
    /// `standard`, `cot`, one of their versions (`cot@1`), or a file with a template of your own; for a replay only needed
    /// if the transcript holds several. Several give one output, by vote, and are measured side by side.
    #[arg(long, value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    strategy: Vec<String>,
    /// The entity types to accept; mentions of others are counted and left out [default: those of the label set]
    #[arg(long, value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    labels: Vec<String>,
    /// Which mention gets a place that two want: `first`, as many as possible, the one listed first; or `longest`
    /// [default: first]
    #[arg(long, value_name = "POLICY", value_parser = one_of::<OverlapPolicy>(&OverlapPolicy::NAMES))]
    overlaps: Option<OverlapPolicy>,
    /// The file to write, as its ending says or else in columns; the settings and the account go beside it. Where answers
    /// vote, `.jsonl` keeps the share of each entity as its `score`.
    #[arg(short, long)]
    output: Option<PathBuf>,
    #[command(flatten)]
    live: provider::LiveFlags,
}

/// The settings of one annotation, as written beside its output.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    provider: String,
    input: PathBuf,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    strategy: Vec<String>,
    #[serde(default)]
    labels: Vec<Arc<str>>,
    #[serde(default)]
    overlaps: OverlapPolicy,
    output: PathBuf,
    #[serde(default)]
    live: provider::LiveSettings,
}

pub fn run(args: &Args, progress: Progress) -> Result<()> {
    let settings: Settings = settings::resolve(&toml::Table::new(), args.config.as_deref(), &args.flags)?;
    inputs::check_labels(&settings.labels)?;
    if settings.output == Path::new("-") {
        bail!("-o -: the settings and the account go beside the output: expected the name of a file");
    }
    settings.live.validate()?;
    if !args.dry_run {
        for path in [&settings.output, &beside(&settings.output, SETTINGS), &beside(&settings.output, REPORT)] {
            files::check_output(path, args.overwrite)?;
        }
    }
    if let Some(transcript) = settings.provider.strip_prefix("replay:") {
        return replay::annotate(args, &settings, Path::new(transcript), progress);
    }
    let protocol = settings.provider.parse();
    let protocol = protocol.map_err(|why: String| anyhow!("provider: {why}, or replay:FILE"))?;
    live::annotate(args, &settings, protocol, progress)
}

/// What the name of the settings ends with.
const SETTINGS: &str = "settings.toml";
/// What the name of the account ends with.
const REPORT: &str = "report.json";

/// The path with another ending behind it.
fn beside(path: &Path, ending: &str) -> PathBuf {
    PathBuf::from(format!("{}.{ending}", path.display()))
}

/// Writes the settings and the account, as `whole` has it, beside the output, and prints it.
fn finish(args: &Args, settings: &Settings, account: &Account, whole: &impl Serialize) -> Result<()> {
    let write = |ending, content: &[u8]| output::write_file(&beside(&settings.output, ending), args.overwrite, content);
    write(SETTINGS, toml::to_string_pretty(settings)?.as_bytes())?;
    write(REPORT, &serde_json::to_vec_pretty(whole)?)?;
    if args.json { output::print_json(whole) } else { account.print() }
}

/// A built-in strategy, or the template at a path. A template says by `{# reasons #}` at its start that it asks for
/// reasoning.
fn named_strategy(name: &str) -> Result<Strategy> {
    name.parse().or_else(|unknown| {
        let template =
            std::fs::read_to_string(name).with_context(|| format!("{unknown}, or a readable template file"))?;
        let stem = Path::new(name).file_stem().map_or(name.to_owned(), |s| s.to_string_lossy().into_owned());
        let reasons = template.trim_start().starts_with("{# reasons #}");
        Ok(Strategy::Custom { name: stem, template, reasons })
    })
}
