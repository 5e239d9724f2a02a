//! What goes to stdout and stderr: tables, JSON and the one error line.

use std::{
    fmt::Display,
    io::{self, Write},
    path::Path,
};

use anyhow::{Context, Result, bail};
use apprentice_core::{Confidence, Prf, Scores, Sentence, files};
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

/// Writes text and a newline to stdout.
pub fn print(text: impl Display) -> Result<()> {
    Ok(writeln!(io::stdout().lock(), "{text}")?)
}

/// Writes a value as indented JSON to stdout.
pub fn print_json(value: &impl Serialize) -> Result<()> {
    print(serde_json::to_string_pretty(value)?)
}

/// Whether whoever read our output has gone: no failure of ours.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe))
}

/// Writes an error with its causes to stderr.
pub fn report_error(error: &anyhow::Error) {
    // Causes that an outer message already contains are not said twice.
    let mut line = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if !line.contains(&cause) {
            line += if line.is_empty() { "" } else { ": " };
            line += &cause;
        }
    }
    // Nobody is left to tell if this fails.
    let _ = writeln!(io::stderr().lock(), "error: {line}");
}

/// A table whose first column is text and whose others are numbers.
pub fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header(header.iter().copied());
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// A table of texts.
pub fn text_table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Table {
    let mut table = table(header, rows);
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Left);
    }
    table
}

/// A share as people print F1.
pub fn share(value: f64) -> String {
    format!("{value:.4}")
}

/// Precision, recall and F1 as cells.
pub fn prf(prf: &Prf) -> [String; 3] {
    [share(prf.precision), share(prf.recall), share(prf.f1)]
}

/// Scores by type and their averages.
pub fn scores_table(scores: &Scores) -> Table {
    let row = |name: &str, values: &Prf, [gold, predicted, right]: [usize; 3]| {
        let counts = [gold, predicted, right].map(|n| n.to_string());
        std::iter::once(name.to_owned()).chain(prf(values)).chain(counts).collect::<Vec<_>>()
    };
    let counted =
        |score: &apprentice_core::Score| [score.counts.gold, score.counts.predicted, score.counts.true_positive];
    let average = |name: &str, values: &Prf| {
        std::iter::once(name.to_owned()).chain(prf(values)).chain(std::iter::repeat_n(String::new(), 3)).collect()
    };
    let mut rows: Vec<Vec<String>> =
        scores.per_type.iter().map(|(label, score)| row(label, &score.prf, counted(score))).collect();
    rows.push(row("micro", &scores.micro.prf, counted(&scores.micro)));
    rows.push(average("macro (gold types)", &scores.macro_gold));
    rows.push(average("macro (all types)", &scores.macro_union));
    rows.push(average("weighted", &scores.weighted));
    table(&["type", "precision", "recall", "F1", "gold", "predicted", "right"], rows)
}

/// The sentence's text with its entities marked: `[Ann Keller|PER] won in [Rome|LOC] .`
pub fn marked(sentence: &Sentence) -> String {
    let mut text = String::new();
    let mut at = 0;
    for entity in sentence.entities() {
        let start = sentence.tokens()[entity.span.start()].start();
        let surface = sentence.surface(entity.span);
        text += &sentence.text()[at..start];
        for part in ["[", surface, "|", &entity.label, "]"] {
            text += part;
        }
        at = start + surface.len();
    }
    text + &sentence.text()[at..]
}

/// The entities as the token-classification pipeline of transformers groups them, in JSON: offsets in characters, and as
/// the word what the text has there (the pipeline joins the decoded sub-words, which may have lost case and spacing).
pub fn pipeline(sentence: &Sentence) -> Result<String> {
    #[derive(Serialize)]
    struct Found<'a> {
        entity_group: &'a str,
        score: Option<Confidence>,
        word: &'a str,
        start: usize,
        end: usize,
    }
    let (mut byte, mut characters) = (0, 0);
    let groups = sentence.entities().iter().enumerate().map(|(index, entity)| {
        let span = sentence.bytes(entity.span);
        let word = sentence.surface(entity.span);
        let start = characters + sentence.text()[byte..span.start()].chars().count();
        (byte, characters) = (span.end(), start + word.chars().count());
        Found { entity_group: &entity.label, score: sentence.confidence(index), word, start, end: characters }
    });
    Ok(serde_json::to_string(&groups.collect::<Vec<_>>())?)
}

/// Writes a file in one step; one that exists is an error without `overwrite`.
pub fn write_file(path: &Path, overwrite: bool, content: &[u8]) -> Result<()> {
    Ok(files::write_atomic(path, overwrite, |file| file.write_all(content))?)
}

/// Writes a file of a directory that is being filled.
pub fn write_part(directory: &Path, name: &str, content: impl AsRef<[u8]>) -> Result<()> {
    let path = directory.join(name);
    let mut file = std::fs::File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    file.write_all(content.as_ref()).with_context(|| format!("cannot write {}", path.display()))
}

/// Fails early if a directory cannot be made here: something is there, and `overwrite` is not given or it is not a
/// directory that this program wrote. Replacing deletes all that is in it.
pub fn check_directory(path: &Path, overwrite: bool) -> Result<()> {
    files::check_output(path, overwrite)?;
    let empty = std::fs::read_dir(path).map_or(true, |mut entries| entries.next().is_none());
    if path.is_dir() && !empty && !(path.join("settings.toml").exists() && path.join("result.json").exists()) {
        bail!("{} is not empty and not a run directory: it is not overwritten, choose another name", path.display());
    }
    Ok(())
}
