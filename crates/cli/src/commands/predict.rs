//! `predict`: text in, entities out.

use std::path::{Path, PathBuf};

use anyhow::Result;
use apprentice_core::{Provenance, Sentence, corpus::conll, files};
use apprentice_encoder::NetworkOptions;
use apprentice_student::Student;
use clap::{Args as ClapArgs, ValueEnum};
use serde::Serialize;
use serde_json::json;

use crate::{
    inputs::{self, Format},
    output,
    progress::Progress,
};

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum OutputFormat {
    /// Columns: token and IOB2 tag.
    Conll,
    /// JSON lines: `id`, `text` and `entities` with code-point offsets, end exclusive.
    Jsonl,
    /// The text with `[entities|TYPE]` marked.
    Marked,
}

#[derive(ClapArgs)]
pub struct Args {
    /// A model directory, or the run directory that holds it.
    #[arg(long)]
    model: PathBuf,
    /// A file of columns, a `.txt` file with one sentence a line, or `-` for text on standard input.
    input: PathBuf,
    /// How the input is laid out, if its name does not tell.
    #[arg(long, value_enum)]
    input_format: Option<Format>,
    /// What to write.
    #[arg(long, value_enum, default_value = "conll")]
    format: OutputFormat,
    /// Write JSON lines; the same as `--format jsonl`.
    #[arg(long)]
    json: bool,
    /// Write to this file instead of standard output; the settings go beside it.
    #[arg(short, long)]
    output: Option<PathBuf>,
    /// Replace an output that exists.
    #[arg(long)]
    overwrite: bool,
    /// Longest window in sub-words; the model's limit if not given.
    #[arg(long)]
    max_length: Option<usize>,
    /// Threads; all cores if not given.
    #[arg(long)]
    threads: Option<usize>,
}

/// What decided an output, as written beside it.
#[derive(Serialize)]
struct Settings<'a> {
    model: PathBuf,
    input: &'a Path,
    format: OutputFormat,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_length: Option<usize>,
}

pub fn run(args: &Args, progress: Progress) -> Result<()> {
    let settings_path = args.output.as_ref().map(|path| PathBuf::from(format!("{}.settings.toml", path.display())));
    for path in args.output.iter().chain(&settings_path) {
        files::check_output(path, args.overwrite)?;
    }
    let format = if args.json { OutputFormat::Jsonl } else { args.format };
    let sentences = inputs::unlabelled(&args.input, args.input_format)?;
    let model = model_directory(&args.model);
    let mut student = Student::load(&model, &NetworkOptions::with_threads(args.threads))?;
    let bar = progress.bar(sentences.len(), "predict");
    let mut written = Vec::new();
    for chunk in sentences.chunks(1024) {
        let tagged = tag(&mut student, chunk, args.max_length)?;
        match format {
            OutputFormat::Conll => conll::write(&mut written, &tagged)?,
            OutputFormat::Jsonl => written.extend(tagged.iter().flat_map(|s| json_line(s).into_bytes())),
            OutputFormat::Marked => written.extend(tagged.iter().flat_map(|s| (output::marked(s) + "\n").into_bytes())),
        }
        bar.inc(chunk.len() as u64);
    }
    bar.finish_and_clear();
    match (&args.output, settings_path) {
        (Some(path), Some(settings_path)) => {
            let settings = Settings { model, input: &args.input, format, max_length: args.max_length };
            output::write_file(path, args.overwrite, &written)?;
            output::write_file(&settings_path, args.overwrite, toml::to_string_pretty(&settings)?.as_bytes())
        }
        _ => Ok(std::io::Write::write_all(&mut std::io::stdout().lock(), &written)?),
    }
}

/// A run directory holds its model in `model`.
fn model_directory(path: &Path) -> PathBuf {
    let inside = path.join("model");
    if !path.join("config.json").exists() && inside.join("config.json").exists() { inside } else { path.to_owned() }
}

/// The sentences with the entities that the student finds.
pub fn tag(student: &mut Student, sentences: &[Sentence], max_length: Option<usize>) -> Result<Vec<Sentence>> {
    let predicted = student.predict(sentences, max_length)?;
    sentences
        .iter()
        .zip(predicted)
        .map(|(sentence, entities)| Ok(sentence.clone().with_entities(entities, Provenance::Unlabelled)?))
        .collect()
}

fn json_line(sentence: &Sentence) -> String {
    let text = sentence.text();
    let entities: Vec<_> = sentence
        .entities()
        .iter()
        .map(|entity| {
            let surface = sentence.surface(entity.span);
            let start = text[..sentence.tokens()[entity.span.start()].start()].chars().count();
            json!({"start": start, "end": start + surface.chars().count(), "label": entity.label, "text": surface})
        })
        .collect();
    json!({"id": sentence.id(), "text": text, "entities": entities}).to_string() + "\n"
}
