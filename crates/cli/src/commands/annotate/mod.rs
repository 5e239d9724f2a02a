//! `annotate`: sentences in, distilled data out.

mod batch;
mod live;
mod provider;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, anyhow, bail};
use apprentice_core::{Sentence, corpus::conll, files};
use apprentice_teacher::{
    Annotation, Annotator, Client, LabelSet, Prompt, Replay, Report, Strategy, Transcript, Unused, block_on,
    default_labels,
};
use clap::Args as ClapArgs;
use serde::{Deserialize, Serialize};

use crate::{
    commands::score,
    inputs::{self, ReadFlags},
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
    /// Write what could be annotated even if some completions cannot be used.
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
    /// if the transcript holds several.
    #[arg(long)]
    strategy: Option<String>,
    /// The entity types to accept; mentions of others are counted and left out [default: those of the label set]
    #[arg(long, value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    labels: Vec<String>,
    /// The file of columns to write; the settings and the account go beside it.
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
    #[serde(skip_serializing_if = "Option::is_none")]
    strategy: Option<String>,
    #[serde(default)]
    labels: Vec<Arc<str>>,
    output: PathBuf,
    #[serde(default)]
    live: provider::LiveSettings,
}

pub fn run(args: &Args, progress: Progress) -> Result<()> {
    let settings: Settings = settings::resolve(&toml::Table::new(), args.config.as_deref(), &args.flags)?;
    inputs::check_labels(&settings.labels)?;
    let beside = |ending: &str| live::beside(&settings.output, ending);
    let (settings_path, report_path) = (beside("settings.toml"), beside("report.json"));
    if !args.dry_run {
        for path in [&settings.output, &settings_path, &report_path] {
            files::check_output(path, args.overwrite)?;
        }
    }
    let Some(file) = settings.provider.strip_prefix("replay:").map(Path::new) else {
        let protocol = settings.provider.parse();
        let protocol = protocol.map_err(|why: String| anyhow!("provider: {why}, or replay:FILE"))?;
        return live::annotate(args, &settings, protocol, progress);
    };
    if args.dry_run || args.reparse || args.batches.batch || args.export_transcripts.is_some() {
        bail!("--dry-run, --reparse, --batch and --export-transcripts are for live teachers: a replay costs nothing");
    }
    let labels = if settings.labels.is_empty() { default_labels() } else { settings.labels.clone() };
    let sentences = inputs::unlabelled(&settings.input, &args.read, progress)?;
    let reader = std::fs::File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    let transcript = Transcript::read(std::io::BufReader::new(reader), &file.display().to_string())?;
    let strategy = strategy(settings.strategy.as_deref(), &transcript)?;
    let unused = if args.allow_unused { Unused::Allow } else { Unused::Refuse };
    let Annotation { sentences, report } =
        replay(&sentences, transcript.under(strategy.name())?, &strategy, &labels, unused, progress)?;
    if !args.skip_failed {
        report.require_all().context("nothing was written; pass --skip-failed to leave these sentences out")?;
    }
    let mut columns = Vec::new();
    conll::write(&mut columns, &sentences)?;
    output::write_file(&settings.output, args.overwrite, &columns)?;
    output::write_file(&settings_path, args.overwrite, toml::to_string_pretty(&settings)?.as_bytes())?;
    finish(args, &settings, &report, progress, || print_report(&report))
}

/// Writes the account, with the teacher's quality where there are human labels, and prints it.
fn finish(
    args: &Args,
    settings: &Settings,
    account: &impl Serialize,
    progress: Progress,
    print: impl FnOnce() -> Result<()>,
) -> Result<()> {
    #[derive(Serialize)]
    struct Sheet<'a, A> {
        #[serde(flatten)]
        account: &'a A,
        #[serde(skip_serializing_if = "Option::is_none")]
        quality: Option<serde_json::Value>,
    }
    let gold = args.gold.as_deref();
    let quality = gold.map(|gold| score::quality(gold, &settings.output, &args.read, progress)).transpose()?;
    let (json, page) = quality.map_or((None, None), |quality| (Some(quality.json), Some(quality.page)));
    let sheet = Sheet { account, quality: json };
    let path = live::beside(&settings.output, "report.json");
    output::write_file(&path, args.overwrite, &serde_json::to_vec_pretty(&sheet)?)?;
    if args.json {
        return output::print_json(&sheet);
    }
    print()?;
    page.map_or(Ok(()), |page| page.print())
}

/// The strategy that was asked for, or the only one in the transcript.
fn strategy(asked: Option<&str>, transcript: &Transcript) -> Result<Strategy> {
    let name = match (asked, transcript.strategies().as_slice()) {
        (Some(asked), _) => asked.to_owned(),
        (None, [only]) => only.clone(),
        (None, several) => {
            bail!("{} holds several strategies: choose one with --strategy {}", transcript.file(), several.join("|"))
        }
    };
    // `standard` is the latest version, unless the transcript means by it the first.
    if let Some(recorded) = Strategy::recorded(&name).filter(|s| transcript.strategies().iter().any(|n| n == s.name()))
    {
        return Ok(recorded);
    }
    named_strategy(&name)
}

/// A built-in strategy, or the template at a path.
fn named_strategy(name: &str) -> Result<Strategy> {
    name.parse().or_else(|unknown| {
        let template =
            std::fs::read_to_string(name).with_context(|| format!("{unknown}, or a readable template file"))?;
        let stem = Path::new(name).file_stem().map_or(name.to_owned(), |s| s.to_string_lossy().into_owned());
        Ok(Strategy::Custom { name: stem, template, reasons: false })
    })
}

/// Asks the transcript for every sentence and aligns the answers.
pub fn replay(
    sentences: &[Sentence],
    transcript: Transcript,
    strategy: &Strategy,
    labels: &[Arc<str>],
    unused: Unused,
    progress: Progress,
) -> Result<Annotation> {
    let model = transcript
        .check(sentences, unused)
        .context("the input and the transcript do not fit (--allow-unused lets the transcript hold more)")?
        .first()
        .map_or_else(|| "".into(), |c| c.model.clone());
    let prompt = Prompt::new(strategy, &LabelSet::default())?;
    let client: &dyn Client = &Replay::new(transcript);
    let mut annotator = Annotator::new(labels);
    let mut annotated = Vec::new();
    let bar = progress.bar(sentences.len(), &format!("annotate ({})", strategy.name()));
    for sentence in sentences {
        let request = prompt.request(sentence, model.clone())?;
        let response = block_on(client.complete(&request))?;
        annotated.extend(annotator.annotate(sentence, &request.completed(response)));
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(Annotation { sentences: annotated, report: annotator.finish() })
}

fn print_report(report: &Report) -> Result<()> {
    let mut rows: Vec<(String, usize)> = vec![
        ("sentences".into(), report.sentences),
        ("annotated".into(), report.done),
        ("failed".into(), report.failures.len()),
        ("answers not in the form asked for".into(), report.repaired()),
        ("answers cut off".into(), report.truncated),
        ("items that are no mentions".into(), report.malformed.count),
        ("mentions".into(), report.mentions),
        ("aligned exactly".into(), report.exact),
        ("aligned after folding case and Unicode".into(), report.folded),
        ("aligned without spaces and punctuation".into(), report.fuzzy),
        ("aligned but for one or two characters".into(), report.approximate),
        ("widened to whole tokens".into(), report.widened),
        ("not in the sentence".into(), report.missing.count),
        ("on top of an earlier one".into(), report.overlaps.count),
    ];
    rows.extend(report.unknown_types.iter().map(|(label, n)| (format!("of unknown type {label}"), *n)));
    output::print(output::table(&["", "count"], rows.into_iter().map(|(what, n)| vec![what, n.to_string()])))?;
    for (what, listed) in [("not found", &report.missing), ("overlapping", &report.overlaps)] {
        for mention in &listed.first {
            output::print(format_args!("{what}: {mention}"))?;
        }
    }
    for failure in &report.failures {
        output::print(format_args!("failed: {failure}"))?;
    }
    Ok(())
}
