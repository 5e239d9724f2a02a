//! `predict`: text in, entities out.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::Result;
use apprentice_core::{
    Provenance, Record, Sentence,
    corpus::{Format, ReadOptions, Sink},
};
use apprentice_encoder::NetworkOptions;
use apprentice_student::Student;
use clap::{Args as ClapArgs, builder::PossibleValuesParser};
use serde::Serialize;

use crate::{
    inputs::{self, ReadFlags},
    output,
    outputs::{self, WriteSettings},
    progress::Progress,
};

/// The outputs that `--to` names besides the corpus formats.
const MARKED: &str = "marked";

#[derive(ClapArgs)]
pub struct Args {
    /// A model directory, or the run directory that holds it.
    #[arg(long)]
    model: PathBuf,
    /// Text or a corpus in any format, or `-` for standard input; labels are not looked at.
    input: PathBuf,
    #[command(flatten)]
    read: ReadFlags,
    /// What to write: a format, or `marked` for text with `[entities|TYPE]`
    #[arg(long, default_value = "conll", value_parser = PossibleValuesParser::new([&Format::NAMES[..], &[MARKED]].concat()))]
    to: String,
    /// Write JSON lines; the same as `--to entities`.
    #[arg(long)]
    json: bool,
    /// Write to this file instead of standard output; the settings go beside it.
    #[arg(short, long, default_value = "-", hide_default_value = true)]
    output: PathBuf,
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
#[serde(rename_all = "kebab-case")]
struct Settings<'a> {
    model: &'a Path,
    input: &'a Path,
    to: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_length: Option<usize>,
    read: ReadOptions,
}

pub fn run(args: &Args, progress: Progress) -> Result<()> {
    outputs::check(&args.output, args.overwrite)?;
    let to = if args.json { Format::Entities.name() } else { &args.to };
    let sentences = inputs::unlabelled(&args.input, &args.read, progress)?;
    let model = model_directory(&args.model);
    let mut student = Student::load(&model, &NetworkOptions::with_threads(args.threads))?;
    let bar = progress.bar(sentences.len(), "predict");
    let mut tagged = |take: &mut dyn FnMut(Sentence) -> Result<()>| {
        for chunk in sentences.chunks(1024) {
            tag(&mut student, chunk, args.max_length)?.into_iter().try_for_each(&mut *take)?;
            bar.inc(chunk.len() as u64);
        }
        bar.finish_and_clear();
        anyhow::Ok(())
    };
    if to == MARKED {
        let mut sink = Sink::create(&args.output, args.overwrite)?;
        tagged(&mut |sentence| Ok(writeln!(sink, "{}", output::marked(&sentence))?))?;
        sink.commit(&args.output)?;
    } else {
        let settings = WriteSettings::of(to.parse()?, args.overwrite)?;
        let written = settings.write(&args.output, |take| tagged(&mut |sentence| take(Record::from(&sentence))))?;
        for (what, sentences) in written.losses.list() {
            progress.note(format_args!("{to} cannot express {what}, in {sentences} sentences"));
        }
    }
    let (input, read) = (args.input.as_path(), args.read.options(false));
    let settings = Settings { model: &model, input, to, max_length: args.max_length, read };
    outputs::write_settings(&args.output, args.overwrite, &settings)
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
        .map(|(sentence, entities)| Ok(sentence.clone().with_entities(entities, Provenance::Predicted)?))
        .collect()
}
