//! The files to be scored, read and matched with the gold.

use std::{
    convert::Infallible,
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::{Result, bail};
use apprentice_core::{
    Corpus, Entity, Evidence, Provenance, Scheme, Sentence,
    corpus::{Conflicts, Outline, ReadOptions, Reader, Reading, Source},
    metrics::report::{Gold, Predicted},
};
use rayon::prelude::*;
use serde::Serialize;

use super::{Args, Mode};
use crate::inputs;

/// A file of predictions as given: `NAME=FILE`, or only the file. A name has no slash, so that a path with `=` in it can
/// be given as `./a=b.conll`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    pub system: String,
    pub path: PathBuf,
}

impl Given {
    fn predicts(&self, entities: Vec<Vec<Entity>>) -> Predicted {
        Predicted { entities, ..Predicted::sentences(&self.system, &self.path.display().to_string(), []) }
    }
}

impl FromStr for Given {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let named = text.split_once('=').filter(|(name, _)| !name.is_empty() && !name.contains(['/', '\\']));
        let (system, path) = named.unwrap_or((text, text));
        Ok(Self { system: system.to_owned(), path: path.into() })
    }
}

/// The gold and all predictions, with what a person should know of how they were read.
pub struct Files {
    pub gold: Gold,
    pub gold_account: FileAccount,
    pub predicted: Vec<Predicted>,
    pub accounts: Vec<FileAccount>,
    /// That of strict mode.
    pub scheme: Option<Scheme>,
}

/// How a file was read.
#[derive(Debug, Serialize)]
pub struct FileAccount {
    pub path: PathBuf,
    /// None if the file has spans.
    pub tags: Option<TagAccount>,
    /// Spans that could not be taken as they are.
    pub conflicts: Conflicts,
}

/// How the tags of a file were read.
#[derive(Debug, Serialize)]
pub struct TagAccount {
    /// The scheme that the file follows or is nearest to.
    pub nearest: Scheme,
    /// How many tags other than `O` there are.
    pub tags: usize,
    /// How many tags break that of strict mode, or the nearest.
    pub malformed: usize,
}

impl FileAccount {
    fn of(path: &Path, evidence: &Evidence, conflicts: Conflicts, scheme: Option<Scheme>) -> Self {
        let tags = || {
            let nearest = evidence.verdict().scheme;
            TagAccount { nearest, tags: evidence.tags(), malformed: evidence.against(scheme.unwrap_or(nearest)) }
        };
        Self { path: path.to_owned(), tags: (!evidence.is_empty()).then(tags), conflicts }
    }
}

/// Reads and matches all files.
pub fn read(args: &Args) -> Result<Files> {
    let mut options = args.read.options(true);
    let mut gold_options = options.clone();
    gold_options.tag_column = args.gold_column.clone().unwrap_or(gold_options.tag_column);

    let scheme = match (args.mode, args.scheme) {
        (Mode::Lenient, None) => None,
        (Mode::Lenient, Some(_)) => bail!("--scheme says how tags are read in strict mode: pass --mode strict too"),
        (Mode::Strict, Some(scheme)) => Some(scheme),
        (Mode::Strict, None) => Some(scheme_of(&args.gold, &gold_options)?),
    };
    let reading = scheme.map_or(Reading::Lenient, Reading::Strict);
    (options.reading, gold_options.reading) = (reading, reading);

    let paths = || [&args.gold].into_iter().chain(args.predicted.iter().map(|given| &given.path));
    let texts = args.more.details || args.more.errors.is_some() || paths().any(|path| path == Path::new("-"));
    let outlined = if texts { None } else { outlined(args, &gold_options, &options, scheme)? };
    match outlined {
        Some(files) => Ok(files),
        None => in_full(args, &gold_options, &options, scheme),
    }
}

/// All files without their texts; nothing if something seems wrong with them.
fn outlined(
    args: &Args,
    gold_options: &ReadOptions,
    options: &ReadOptions,
    scheme: Option<Scheme>,
) -> Result<Option<Files>> {
    let outline = |path: &Path, options| -> Result<Option<(Outline, FileAccount)>> {
        let Some(mut outline) = Outline::read(&Source::expand(path)?, options)? else { return Ok(None) };
        check_tags(path, &outline.evidence, scheme)?;
        let conflicts = std::mem::take(&mut outline.conflicts);
        let account = FileAccount::of(path, &outline.evidence, conflicts, scheme);
        Ok(Some((outline, account)))
    };
    let (gold, predicted) = rayon::join(
        || outline(&args.gold, gold_options),
        || args.predicted.par_iter().map(|given| outline(&given.path, options)).collect::<Vec<_>>(),
    );
    let Some((gold, gold_account)) = gold? else { return Ok(None) };
    let mut files = Files { gold: Gold::default(), gold_account, predicted: vec![], accounts: vec![], scheme };
    for (given, predicted) in args.predicted.iter().zip(predicted) {
        let Some((predicted, account)) = predicted? else { return Ok(None) };
        let Some(entities) = gold.matched(predicted) else { return Ok(None) };
        files.predicted.push(given.predicts(entities));
        files.accounts.push(account);
    }
    files.gold = gold.into();
    Ok(Some(files))
}

/// All files with their texts, for those who want to see them, and to say what is wrong with the files.
fn in_full(args: &Args, gold_options: &ReadOptions, options: &ReadOptions, scheme: Option<Scheme>) -> Result<Files> {
    let (gold, gold_account) = labelled(&args.gold, gold_options, scheme, &[])?;
    let name = |path: &Path| path.display().to_string();
    let predict = |given: &Given| -> Result<(Predicted, FileAccount)> {
        let (sentences, account) = labelled(&given.path, options, scheme, &gold)?;
        let aligned = inputs::aligned(&gold, &sentences, [&name(&args.gold), &name(&given.path)])?;
        Ok((Predicted::sentences(&given.system, &name(&given.path), aligned), account))
    };
    let read: Vec<Result<(Predicted, FileAccount)>> = args.predicted.par_iter().map(predict).collect();
    let read: Result<Vec<(Predicted, FileAccount)>> = read.into_iter().collect();
    let (predicted, accounts) = read?.into_iter().unzip();
    Ok(Files { gold: gold.into(), gold_account, predicted, accounts, scheme })
}

/// The scheme that the gold's tags follow, or are nearest to.
fn scheme_of(path: &Path, options: &ReadOptions) -> Result<Scheme> {
    if path == Path::new("-") {
        bail!("standard input can be read only once: pass --scheme for strict mode");
    }
    let mut evidence = Evidence::default();
    for source in Source::expand(path)? {
        let mut reader = Reader::open(&source, options)?;
        for record in reader.by_ref() {
            record?;
        }
        evidence.extend(reader.evidence());
    }
    let scheme = evidence.verdict().scheme;
    check_tags(path, &evidence, Some(scheme))?;
    Ok(scheme)
}

/// The sentences of a file or a folder, all of which must be labelled, and in strict mode by tags. Where they are given
/// as text only, they have the gold's tokens.
fn labelled(
    path: &Path,
    options: &ReadOptions,
    scheme: Option<Scheme>,
    gold: &[Sentence],
) -> Result<(Vec<Sentence>, FileAccount)> {
    let (mut sentences, mut evidence, mut conflicts) = (Vec::new(), Evidence::default(), Conflicts::default());
    for source in Source::expand(path)? {
        let corpus = Corpus::read_with_tokens_of(gold, &source, options)?;
        sentences.extend(corpus.sentences);
        evidence.extend(&corpus.evidence);
        conflicts.extend(corpus.conflicts);
    }
    if let Some(sentence) = sentences.iter().find(|s| *s.provenance() == Provenance::Unlabelled) {
        bail!("{}: sentence {} has no labels: expected labels for every sentence", path.display(), sentence.id());
    }
    check_tags(path, &evidence, scheme)?;
    Ok((sentences, FileAccount::of(path, &evidence, conflicts, scheme)))
}

/// Checks that a file has tags if it is read strictly.
fn check_tags(path: &Path, evidence: &Evidence, scheme: Option<Scheme>) -> Result<()> {
    if scheme.is_some() && evidence.is_empty() {
        bail!("{}: spans, but no tags: strict mode is about tags, use --mode lenient", path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_no_slash() {
        let parsed = |text: &str| {
            let Ok(Given { system, path }) = text.parse();
            (system, path.display().to_string())
        };
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(parsed("ours=a.conll"), pair("ours", "a.conll"));
        assert_eq!(parsed("ours=runs/lr=0.1/a.conll"), pair("ours", "runs/lr=0.1/a.conll"));
        assert_eq!(parsed("runs/lr=0.1/a.conll"), pair("runs/lr=0.1/a.conll", "runs/lr=0.1/a.conll"));
        assert_eq!(parsed("=a.conll"), pair("=a.conll", "=a.conll"));
        assert_eq!(parsed("a.conll"), pair("a.conll", "a.conll"));
    }
}
