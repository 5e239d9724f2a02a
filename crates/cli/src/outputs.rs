//! Corpora to the command line's outputs.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use apprentice_core::{
    Scheme,
    corpus::{
        Conflicts, Fitter, Format, Losses, OnConflict, ReadOptions, Record, Sink, WriteError, WriteOptions, Writer,
    },
    files,
};
use clap::Args;
use serde::Serialize;

use crate::{
    inputs::{in_conflict, one_of},
    output,
};

/// How a corpus is written.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct WriteFlags {
    /// The format to write; as the output's name ends if not given
    #[arg(long, value_name = "FORMAT", value_parser = one_of::<Format>(&Format::NAMES))]
    to: Option<Format>,
    /// The tag scheme to write: iob1, iob2, ioe1, ioe2, iobes, bilou or io
    #[arg(long, default_value = "iob2")]
    pub scheme: Scheme,
    /// Write columns without comments for ids, documents and texts, for tools that cannot read them
    #[arg(long)]
    no_comments: bool,
    /// Replace an output that exists
    #[arg(long)]
    pub overwrite: bool,
}

/// The same, resolved for an output.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct WriteSettings {
    pub to: Format,
    pub scheme: Scheme,
    pub comments: bool,
    pub on_conflict: OnConflict,
    /// The names of tags that are written as numbers, so that several files number them alike.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tag_names: Vec<String>,
    #[serde(skip)]
    pub overwrite: bool,
}

/// What was written.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Written {
    pub sentences: usize,
    pub entities: usize,
    /// Spans and records that could not be written as they are.
    pub conflicts: Conflicts,
    pub losses: Losses,
}

impl WriteFlags {
    /// The settings for a path, whose ending says the format if no flag does.
    pub fn resolve(&self, path: &Path, read: &ReadOptions) -> Result<WriteSettings> {
        let Some(to) = self.to.or_else(|| Format::of_name(&path.to_string_lossy())) else {
            bail!("{}: the name does not say the format: pass --to FORMAT", path.display());
        };
        let settings = WriteSettings::of(to, self.overwrite)?;
        let (comments, on_conflict, tag_names) = (!self.no_comments, read.on_conflict, read.tag_names.clone());
        Ok(WriteSettings { scheme: self.scheme, comments, on_conflict, tag_names, ..settings })
    }
}

impl WriteSettings {
    /// For a format, with the defaults of the flags.
    pub fn of(to: Format, overwrite: bool) -> Result<Self> {
        if !to.is_writable() {
            return Err(WriteError::ReadOnly(to).into());
        }
        let (scheme, on_conflict) = (Scheme::Iob2, OnConflict::Error);
        Ok(Self { to, scheme, comments: true, on_conflict, tag_names: Vec::new(), overwrite })
    }

    /// For a path whose ending says the format, or else files of columns.
    pub fn for_path(path: &Path, overwrite: bool) -> Result<Self> {
        Self::of(Format::of_name(&path.to_string_lossy()).unwrap_or(Format::Conll), overwrite)
    }

    /// Writes the records that `each` hands to the given function, all or nothing.
    pub fn write(
        &self,
        path: &Path,
        each: impl FnOnce(&mut dyn FnMut(Record) -> Result<()>) -> Result<()>,
    ) -> Result<Written> {
        let mut options = WriteOptions::default();
        (options.scheme, options.comments) = (self.scheme, self.comments);
        options.tag_names.clone_from(&self.tag_names);
        let mut sink = Sink::create(path, self.overwrite)?;
        let mut writer = Writer::new(self.to, &mut sink, &options)?;
        let mut fitter = Fitter::new(self.to.expresses(), self.on_conflict);
        let mut written = Written::default();
        let cannot = || format!("cannot write {}", path.display());
        // On one thread: handing records to another was measured to cost more than it gains.
        each(&mut |record| {
            let Some(record) = fitter.fit(record) else { return Ok(()) };
            match writer.write(&record) {
                Ok(()) => {
                    written.sentences += 1;
                    written.entities += record.spans().map_or(0, <[_]>::len);
                }
                Err(WriteError::Record { id, why }) => fitter.refuse(&id, why),
                Err(error) => return Err(error).with_context(cannot),
            }
            Ok(())
        })?;
        written.losses = writer.finish().with_context(cannot)?;
        written.conflicts = fitter.finish()?;
        sink.commit(path)?;
        Ok(written)
    }
}

impl Written {
    /// Adds what the readers could not hold.
    pub fn with_conflicts(mut self, conflicts: Conflicts) -> Self {
        self.conflicts.extend(conflicts);
        self
    }

    /// What a person should know, a line each.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("{} sentences with {} entities written", self.sentences, self.entities)];
        lines.extend(in_conflict(&self.conflicts));
        lines.extend(self.losses.list().iter().map(|(what, n)| format!("not expressible: {what}, in {n} sentences")));
        lines
    }
}

/// Writes the settings beside an output that is a file.
pub fn write_settings(path: &Path, overwrite: bool, settings: &impl Serialize) -> Result<()> {
    match settings_path(path) {
        Some(beside) => output::write_file(&beside, overwrite, toml::to_string_pretty(settings)?.as_bytes()),
        None => Ok(()),
    }
}

/// Fails early if an output, or the settings beside it, cannot be written.
pub fn check(path: &Path, overwrite: bool) -> Result<()> {
    if let Some(beside) = settings_path(path) {
        files::check_output(path, overwrite)?;
        files::check_output(&beside, overwrite)?;
    }
    Ok(())
}

fn settings_path(path: &Path) -> Option<PathBuf> {
    (path != Path::new("-")).then(|| PathBuf::from(format!("{}.settings.toml", path.display())))
}
