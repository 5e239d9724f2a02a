//! `predict`: text in, entities out; in the order of the input, a part of it at a time.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};
use apprentice_core::{
    Record, Sentence,
    corpus::{Format, Losses, ReadOptions, Sink, Source, Unit},
};
use apprentice_encoder::{NetworkOptions, Precision};
use apprentice_student::Student;
use clap::{Args as ClapArgs, builder::PossibleValuesParser};
use serde::Serialize;

use crate::{
    inputs::{self, ReadFlags},
    output,
    outputs::{self, WriteSettings},
    progress::Progress,
};

/// The outputs that `--to` names besides the corpus formats: a line of text for each sentence.
const MARKED: &str = "marked";
const PIPELINE: &str = "pipeline";

#[derive(ClapArgs)]
pub struct Args {
    /// A model directory, or the run directory that holds it.
    #[arg(long)]
    model: PathBuf,
    /// Text or corpora in any format: files, folders, patterns, or `-` for standard input; labels are not looked at
    #[arg(required = true)]
    inputs: Vec<PathBuf>,
    #[command(flatten)]
    read: ReadFlags,
    /// What to write: a format, `marked` for text with `[entities|TYPE]`, or `pipeline` for the entities alone, an array a
    /// line, as transformers' pipeline gives them; as the output's name ends if not given, or else conll
    #[arg(long, value_name = "FORMAT", help_heading = None, value_parser = targets())]
    to: Option<String>,
    /// Write JSON lines; the same as `--to entities`.
    #[arg(long, conflicts_with = "to", help_heading = None)]
    json: bool,
    /// Write to this file instead of standard output; the settings go beside it.
    #[arg(short, long, default_value = "-", hide_default_value = true, help_heading = None)]
    output: PathBuf,
    /// Replace an output that exists.
    #[arg(long, help_heading = None)]
    overwrite: bool,
    /// Longest window in sub-words; the model's limit if not given.
    #[arg(long, help_heading = None)]
    max_length: Option<usize>,
    /// Threads; all cores if not given.
    #[arg(long, help_heading = None)]
    threads: Option<usize>,
    /// Number format of the products: f32; int8, which is faster where the processor has AVX-512 VNNI or AMX, and rounds; bf16,
    /// on those with AMX or AMD's AVX-512 BF16, and rounds less; or auto, the faster of f32 and bf16, as measured
    #[arg(long, value_name = "FORMAT", default_value = "f32", help_heading = None)]
    precision: Precision,
}

fn targets() -> PossibleValuesParser {
    PossibleValuesParser::new([&Format::NAMES[..], &[MARKED, PIPELINE]].concat())
}

impl Args {
    /// What to write. No file of a name is meant to lose the entities.
    fn target(&self) -> &str {
        let named = Format::of_name(&self.output.to_string_lossy());
        let named = named.filter(|format| format.is_writable() && format.expresses().labels);
        match &self.to {
            _ if self.json => Format::Entities.name(),
            Some(to) => to,
            None => named.unwrap_or(Format::Conll).name(),
        }
    }
}

/// What decided an output, as written beside it.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Settings<'a> {
    model: &'a Path,
    /// The files that were read.
    inputs: Vec<&'a Path>,
    to: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_length: Option<usize>,
    precision: Precision,
    read: &'a ReadOptions,
}

pub fn run(args: &Args, progress: Progress) -> Result<()> {
    outputs::check(&args.output, args.overwrite)?;
    let to = args.target();
    let (sources, read) = (inputs::sources(&args.inputs)?, args.read.options(false));
    if to == PIPELINE && read.unit != Unit::Sentence {
        bail!(
            "--to pipeline: its offsets are those of one text a line: expected --unit sentence, which tags each as a whole"
        );
    }
    let model = model_directory(&args.model);
    let mut options = NetworkOptions::with_threads(args.threads);
    options.precision = args.precision;
    let student = Student::load(&model, &options)?;
    let mut job = Job { student, max_length: args.max_length, sources: &sources, read: &read, progress };
    match to {
        MARKED => job.write_lines(args, |sentence| Ok(output::marked(sentence)))?,
        PIPELINE => job.write_lines(args, output::pipeline)?,
        format => job.write_corpus(args, format.parse()?)?,
    }
    let inputs = sources.iter().map(|source| source.path.as_path()).collect();
    let settings =
        Settings { model: &model, inputs, to, max_length: args.max_length, precision: args.precision, read: &read };
    outputs::write_settings(&args.output, args.overwrite, &settings)
}

/// A run directory holds its model in `model`.
fn model_directory(path: &Path) -> PathBuf {
    let inside = path.join("model");
    if !path.join("config.json").exists() && inside.join("config.json").exists() { inside } else { path.to_owned() }
}

/// A student and what it is to tag.
struct Job<'a> {
    student: Student,
    max_length: Option<usize>,
    sources: &'a [Source],
    read: &'a ReadOptions,
    progress: Progress,
}

impl Job<'_> {
    fn write_lines(&mut self, args: &Args, line: impl Fn(&Sentence) -> Result<String>) -> Result<()> {
        let mut sink = Sink::create(&args.output, args.overwrite)?;
        self.tagged(|sentence| Ok(writeln!(sink, "{}", line(&sentence)?)?))?;
        Ok(sink.commit(&args.output)?)
    }

    fn write_corpus(&mut self, args: &Args, format: Format) -> Result<()> {
        let settings = WriteSettings::of(format, args.overwrite)?;
        let written = settings.write(&args.output, |take| self.tagged(|sentence| take(Record::from(&sentence))))?;
        // Who wants scores asks for a format that has them.
        let losses = Losses { confidences: 0, ..written.losses };
        for (what, sentences) in losses.list() {
            self.progress.note(format_args!("{format} cannot express {what}, in {sentences} sentences"));
        }
        Ok(())
    }

    /// Hands every sentence on with the entities that the student finds, in the order of the input.
    fn tagged(&mut self, mut take: impl FnMut(Sentence) -> Result<()>) -> Result<()> {
        let bar = self.progress.sentences("predict");
        let note = |line: &str| self.progress.note_above(&bar, line);
        let mut chunk = Chunk::default();
        let mut flush = |chunk: &mut Chunk| {
            let sentences = std::mem::take(chunk).sentences;
            bar.inc(sentences.len() as u64);
            tag(&mut self.student, sentences, self.max_length)?.into_iter().try_for_each(&mut take)
        };
        inputs::each_unlabelled(self.sources, self.read, &note, |sentence| {
            chunk.push(sentence);
            if chunk.is_full() { flush(&mut chunk) } else { Ok(()) }
        })?;
        flush(&mut chunk)?;
        bar.finish_and_clear();
        Ok(())
    }
}

/// Sentences that are tagged together: enough of them for batches of like length, few enough to hold.
#[derive(Default)]
struct Chunk {
    sentences: Vec<Sentence>,
    bytes: usize,
}

impl Chunk {
    const MOST_SENTENCES: usize = 1024;
    /// Of text. A single sentence may be longer.
    const MOST_BYTES: usize = 1 << 18;

    fn push(&mut self, sentence: Sentence) {
        self.bytes += sentence.text().len();
        self.sentences.push(sentence);
    }

    fn is_full(&self) -> bool {
        self.sentences.len() >= Self::MOST_SENTENCES || self.bytes >= Self::MOST_BYTES
    }
}

/// The sentences with the entities that the student finds.
pub fn tag(student: &mut Student, sentences: Vec<Sentence>, max_length: Option<usize>) -> Result<Vec<Sentence>> {
    let predicted = student.predict(&sentences, max_length)?;
    let tagged = sentences.into_iter().zip(predicted).map(|(sentence, prediction)| prediction.onto(sentence));
    Ok(tagged.collect::<Result<_, _>>()?)
}
