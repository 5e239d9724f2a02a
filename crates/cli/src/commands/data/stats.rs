//! `data stats`: what is in corpora.

use std::path::PathBuf;

use anyhow::Result;
use apprentice_core::{
    Sentence,
    corpus::{Fitter, OnConflict, Reader, Source},
    data::{Percentiles, Stats, StatsBuilder, Unseen},
};
use apprentice_student::tokenize::SubwordTokenizer;
use clap::Args as ClapArgs;
use serde::Serialize;

use crate::{
    inputs::{self, ReadFlags},
    output,
};

#[derive(ClapArgs)]
pub struct Args {
    /// Files, folders, patterns, or `-` for standard input; if there are several, they are compared with the first
    #[arg(required = true)]
    inputs: Vec<PathBuf>,
    /// Count sub-words per word with the tokenizer of this model directory
    #[arg(long, value_name = "DIR")]
    tokenizer: Option<PathBuf>,
    #[command(flatten)]
    read: ReadFlags,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

/// What is printed of one corpus.
#[derive(Serialize)]
struct Sheet {
    path: PathBuf,
    format: &'static str,
    #[serde(flatten)]
    stats: Stats,
    /// Sub-words per word.
    #[serde(skip_serializing_if = "Option::is_none")]
    subwords_per_word: Option<f64>,
    /// What is not in the first corpus.
    #[serde(skip_serializing_if = "Option::is_none")]
    unseen_in_first: Option<Unseen>,
}

pub fn run(args: &Args) -> Result<()> {
    let tokenizer = args.tokenizer.as_deref().map(SubwordTokenizer::read).transpose()?;
    let mut sheets: Vec<Sheet> = Vec::new();
    for source in inputs::sources(&args.inputs)? {
        let mut sheet = sheet(&source, &args.read, tokenizer.as_ref())?;
        sheet.unseen_in_first = sheets.first().map(|first| sheet.stats.unseen_in(&first.stats));
        if let (Some(first), Some(unseen)) = (sheets.first(), &sheet.unseen_in_first)
            && unseen.shared_sentences > 0
        {
            let shared = format!("{} sentences are in {} too", unseen.shared_sentences, first.path.display());
            sheet.stats.warnings.push(shared);
        }
        sheets.push(sheet);
    }
    if args.json {
        return output::print_json(&sheets);
    }
    sheets.iter().try_for_each(print)
}

fn sheet(source: &Source, flags: &ReadFlags, tokenizer: Option<&SubwordTokenizer>) -> Result<Sheet> {
    let mut reader = Reader::open(source, &flags.options(true))?;
    let mut fitter = Fitter::sentences(OnConflict::Widen);
    let mut builder = StatsBuilder::default();
    let (mut words, mut subwords) = (0, 0);
    let mut chunk = Vec::new();
    for record in reader.by_ref() {
        let Some(record) = fitter.fit(record?) else { continue };
        builder.add(&record);
        if let Some(tokenizer) = tokenizer {
            words += record.tokens().map_or(0, <[_]>::len);
            chunk.push(Sentence::try_from(record)?);
            if chunk.len() == 1024 {
                subwords += tokenizer.subword_count(&chunk)?;
                chunk.clear();
            }
        }
    }
    if let Some(tokenizer) = tokenizer {
        subwords += tokenizer.subword_count(&chunk)?;
    }
    let mut conflicts = fitter.finish()?;
    conflicts.extend(reader.conflicts());
    let mut stats = builder.finish(reader.evidence(), conflicts);
    if reader.skipped() > 0 {
        let left_out = format!("{} sentences left out, not accepted by their annotators", reader.skipped());
        stats.warnings.push(left_out);
    }
    Ok(Sheet {
        path: source.path.clone(),
        format: reader.format().name(),
        stats,
        subwords_per_word: (words > 0).then(|| subwords as f64 / words as f64),
        unseen_in_first: None,
    })
}

fn print(sheet: &Sheet) -> Result<()> {
    let Sheet { path, format, stats, subwords_per_word, unseen_in_first } = sheet;
    output::print(format_args!("{} ({format})", path.display()))?;
    let mut facts: Vec<(&str, String)> = vec![("sentences", stats.sentences.to_string())];
    if stats.documents > 0 {
        facts.push(("documents", stats.documents.to_string()));
    }
    facts.push(("tokens", stats.tokens.to_string()));
    facts.push(("tokens per sentence", lengths(&stats.sentence_tokens)));
    facts.push(("entities", stats.entities.to_string()));
    if let Some(scheme) = &stats.scheme {
        facts.push(("scheme", scheme.clone()));
    }
    if let Some(ratio) = subwords_per_word {
        facts.push(("sub-words per word", format!("{ratio:.3}")));
    }
    facts.push(("repeated sentences", stats.duplicates.to_string()));
    facts.push(("surfaces of several types", stats.ambiguous_surfaces.to_string()));
    output::print(output::text_table(&["", ""], facts.into_iter().map(|(what, value)| vec![what.to_owned(), value])))?;
    if !stats.types.is_empty() {
        let mut header = vec!["type", "entities", "share", "surfaces", "tokens per entity"];
        header.extend(unseen_in_first.as_ref().map(|_| "unseen in the first"));
        let rows = stats.types.iter().map(|(label, of_type)| {
            let mut row = vec![
                label.to_string(),
                of_type.entities.to_string(),
                format!("{:.1} %", 100.0 * of_type.entities as f64 / stats.entities as f64),
                of_type.surfaces.to_string(),
                lengths(&of_type.tokens),
            ];
            row.extend(unseen_in_first.as_ref().map(|unseen| format!("{:.1} %", 100.0 * unseen.by_type[label])));
            row
        });
        output::print(output::table(&header, rows))?;
    }
    for ambiguous in &stats.ambiguous {
        let types: Vec<String> = ambiguous.types.iter().map(|(label, count)| format!("{label} {count}")).collect();
        output::print(format_args!("several types: {:?}: {}", ambiguous.surface, types.join(", ")))?;
    }
    for warning in &stats.warnings {
        output::print(format_args!("warning: {warning}"))?;
    }
    output::print("")
}

fn lengths(lengths: &Percentiles) -> String {
    let Percentiles { mean, p50, p90, p99, max } = lengths;
    format!("mean {mean:.1}, half ≤ {p50}, 90 % ≤ {p90}, 99 % ≤ {p99}, max {max}")
}
