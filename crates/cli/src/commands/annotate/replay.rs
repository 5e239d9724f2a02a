//! `annotate` with recorded completions.

use std::{fs::File, io::BufReader, path::Path, sync::Arc};

use anyhow::{Context, Result, bail};
use apprentice_core::Sentence;
use apprentice_teacher::{Transcript, Unused, default_labels};

use super::{
    Args, Settings, finish, named_strategy,
    sheet::{Answers, Gold, Role, Sheet},
};
use crate::{inputs, outputs::WriteSettings, progress::Progress};

pub fn annotate(args: &Args, settings: &Settings, file: &Path, progress: Progress) -> Result<()> {
    let live_only = [
        args.dry_run,
        args.reparse,
        args.batches.batch || args.batches.give_up_batches,
        args.export_transcripts.is_some(),
        settings.live.check,
    ];
    if live_only.contains(&true) {
        bail!(
            "--dry-run, --reparse, --batch, --check and --export-transcripts are for live teachers: a replay costs nothing"
        );
    }
    let to = WriteSettings::for_path(&settings.output, args.overwrite)?;
    let labels = if settings.labels.is_empty() { default_labels() } else { settings.labels.clone() };
    let sentences = inputs::unlabelled(&settings.input, &args.read, progress)?;
    let reader = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    let transcript = Transcript::read(BufReader::new(reader), &file.display().to_string())?;
    let strategies = strategies(&settings.strategy, &transcript)?;
    let unused = if args.allow_unused { Unused::Allow } else { Unused::Refuse };
    for strategy in &strategies {
        transcript
            .clone()
            .under(strategy)?
            .check(&sentences, unused)
            .context("the input and the transcript do not fit (--allow-unused lets the transcript hold more)")?;
    }
    let mut gold = Gold::read(args.gold.as_deref(), &args.read, progress)?;
    sentences.iter().try_for_each(|sentence| gold.check(sentence))?;
    gold.check_met()?;
    let voices = strategies.iter().map(|strategy| (strategy.clone(), Role::Votes)).collect();
    let mut sheet = Sheet::new(voices, &labels, settings.overlaps).with_quorum(settings.live.quorum()?).with_gold(gold);
    let bar = progress.bar(sentences.len(), &format!("annotate ({})", strategies.join(", ")));
    let answers = |sentence: &Sentence| {
        let recorded = |strategy: &Arc<str>| {
            let completions: Vec<_> = transcript.samples(strategy, sentence.id()).cloned().collect();
            Answers { asked: completions.len(), completions, ..Answers::default() }
        };
        Ok(strategies.iter().map(recorded).collect())
    };
    sheet.write((&settings.output, &to), sentences.iter().cloned().map(Ok), answers, &bar)?;
    let account = sheet.finish()?;
    finish(args, settings, &account, &account)?;
    if args.skip_failed { Ok(()) } else { account.require_all(None) }
}

/// The names under which the transcript has the strategies that were asked for, or the only one that it has.
fn strategies(asked: &[String], transcript: &Transcript) -> Result<Vec<Arc<str>>> {
    let recorded = transcript.strategies();
    let has = |name: &str| recorded.iter().any(|recorded| recorded == name);
    match (asked, &recorded[..]) {
        ([], [only]) => Ok(vec![only.as_str().into()]),
        ([], several) => {
            bail!("{} holds several strategies: choose with --strategy {}", transcript.file(), several.join(","))
        }
        // `standard` is the latest version, unless the transcript means by it the first.
        (asked, _) => asked
            .iter()
            .map(|name| Ok(if has(name) { name.as_str().into() } else { named_strategy(name)?.name().into() }))
            .collect(),
    }
}
