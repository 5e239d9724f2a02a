//! Corpora from the command line's paths.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use apprentice_core::{
    Certainty, Corpus, CorpusError, Provenance, Sentence,
    corpus::{Column, Conflicts, Fitter, Format, OnConflict, ReadOptions, Reader, Reading, Record, Source, Unit},
    data::UniqueNames,
};
use apprentice_student::TrainingPool;
use apprentice_teacher::votes::Quorum;
use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};

use crate::progress::Progress;

/// A parser of the names of a closed choice.
pub fn one_of<T>(names: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: std::str::FromStr<Err: Into<Box<dyn std::error::Error + Send + Sync>>> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(names).try_map(|name| name.parse())
}

/// How many of several labellings must have an entity; more than half if no share is given.
pub fn quorum(share: Option<f64>) -> Result<Quorum> {
    if let Some(share) = share.filter(|share| !(*share > 0.0 && *share <= 1.0)) {
        bail!("--quorum {share}: expected a share above 0 and at most 1, such as 0.5");
    }
    Ok(share.map_or(Quorum::Majority, Quorum::AtLeast))
}

/// How inputs are read.
#[derive(Debug, Args)]
#[command(next_help_heading = "Input")]
pub struct ReadFlags {
    /// The format of the input; seen from its content if not given
    #[arg(long, value_name = "FORMAT", value_parser = one_of::<Format>(&Format::NAMES))]
    format: Option<Format>,
    /// The token's column in files of columns: a number, from the end if negative, or a name of the header
    #[arg(long, value_name = "COLUMN", default_value = "1", allow_hyphen_values = true)]
    token_column: Column,
    /// The tag's column in files of columns
    #[arg(long, value_name = "COLUMN", default_value = "-1", allow_hyphen_values = true)]
    tag_column: Column,
    /// The names of tags that are given as numbers, in order: O,B-PER,I-PER,…
    #[arg(long, value_name = "TAG,…", value_delimiter = ',')]
    tag_names: Vec<String>,
    /// What one text is; documents and files are split into sentences
    #[arg(long, default_value = "sentence", value_parser = one_of::<Unit>(&Unit::NAMES))]
    unit: Unit,
    /// What becomes of spans that cannot be expressed: that end inside a token, overlap, or come in pieces
    #[arg(long, value_name = "POLICY", default_value = "error", value_parser = one_of::<OnConflict>(&OnConflict::NAMES))]
    on_conflict: OnConflict,
}

impl ReadFlags {
    /// As options, for labels or without.
    pub fn options(&self, labels: bool) -> ReadOptions {
        let mut options = if labels { ReadOptions::default() } else { ReadOptions::unlabelled() };
        options.on_conflict = self.on_conflict;
        options.format = self.format;
        options.token_column = self.token_column.clone();
        options.tag_column = self.tag_column.clone();
        options.tag_names.clone_from(&self.tag_names);
        options.unit = self.unit;
        options
    }
}

/// The sources that paths mean: files, folders, patterns, `-`. A file that is not there is noticed here, not when its turn
/// comes.
pub fn sources(paths: &[PathBuf]) -> Result<Vec<Source>> {
    let sources: Result<Vec<Vec<Source>>, _> = paths.iter().map(|path| Source::expand(path)).collect();
    let sources = sources?.concat();
    for Source { path, .. } in sources.iter().filter(|source| source.is_repeatable()) {
        std::fs::metadata(path).map_err(|source| CorpusError::Io { path: path.clone(), source })?;
    }
    Ok(sources)
}

/// Hands every record of the sources on, under names that differ if there are several sources, and says what was left
/// out; what no record could hold.
pub fn each_record(
    sources: &[Source],
    options: &ReadOptions,
    note: &dyn Fn(&str),
    mut take: impl FnMut(Record) -> Result<()>,
) -> Result<Conflicts> {
    let mut conflicts = Conflicts::default();
    // A single file may be too large to remember its ids.
    let mut names = (sources.len() > 1).then(UniqueNames::default);
    for source in sources {
        let mut reader = Reader::open(source, options)?;
        for record in reader.by_ref() {
            let record = record?;
            take(match &mut names {
                Some(names) => names.take(record),
                None => record,
            })?;
        }
        let path = source.path.display();
        let scheme = match reader.evidence().tags() {
            0 => String::new(),
            _ => format!(", {}", reader.evidence().verdict()),
        };
        note(&format!("{path}: {}{scheme}", reader.format()));
        if let Some(line) = skipped(&source.path, reader.skipped()) {
            note(&line);
        }
        conflicts.extend(reader.conflicts());
    }
    if let Some(renamed) = names.map(|names| names.renamed()).filter(|&renamed| renamed > 0) {
        note(&format!("{renamed} sentences renamed, because their ids were taken"));
    }
    Ok(conflicts)
}

/// The same as sentences without their labels, at least one in all sources together.
pub fn each_unlabelled(
    sources: &[Source],
    options: &ReadOptions,
    note: &dyn Fn(&str),
    mut take: impl FnMut(Sentence) -> Result<()>,
) -> Result<()> {
    let mut fitter = Fitter::sentences(options.on_conflict);
    let mut some = false;
    let conflicts = each_record(sources, options, note, |record| {
        let Some(record) = fitter.fit(record) else { return Ok(()) };
        some = true;
        take(Sentence::try_from(record)?)
    })?;
    for line in in_conflict(&conflicts) {
        note(&line);
    }
    match sources.first() {
        Some(Source { path, .. }) if !some => Err(CorpusError::Empty { path: path.clone() }.into()),
        _ => Ok(()),
    }
}

/// Reads labelled files, one after the other; each must have labels, and tags that follow one scheme.
pub fn labelled(paths: &[PathBuf], progress: Progress) -> Result<Vec<Corpus>> {
    sources(paths)?
        .iter()
        .map(|source| {
            let corpus = told(Corpus::read(source, &ReadOptions::default())?, progress);
            let verdict = corpus.evidence.verdict();
            if matches!(verdict.certainty, Certainty::Broken { .. }) {
                // Read again, for the line of the first tag that is not where the nearest scheme has it.
                Corpus::read(source, &ReadOptions::with_reading(Reading::Checked(verdict.scheme)))?;
            }
            let unlabelled = |s: &&Sentence| *s.provenance() == Provenance::Unlabelled;
            if let Some(sentence) = corpus.sentences.iter().find(unlabelled) {
                bail!(
                    "{}: sentence {} has no labels: expected labelled data in one of the formats of `apprentice data`",
                    corpus.path.display(),
                    sentence.id()
                );
            }
            Ok(corpus)
        })
        .collect()
}

/// The same for `[NAME=]PATH`: the files of each pool, in the order in which the pools are first named. A path that
/// looks as if it had a name is written `./a=b`.
pub fn labelled_pools(paths: &[PathBuf], progress: Progress) -> Result<Vec<(String, Vec<Corpus>)>> {
    let mut pools: Vec<(String, Vec<PathBuf>)> = Vec::new();
    for path in paths {
        let named = path.to_str().and_then(|text| text.split_once('='));
        let named = named.filter(|(name, _)| !name.is_empty() && name.chars().all(in_pool_name));
        let (name, path) = named.map_or((TrainingPool::DISTILLED, path.clone()), |(name, path)| (name, path.into()));
        match pools.iter_mut().find(|(known, _)| known == name) {
            Some((_, paths)) => paths.push(path),
            None => pools.push((name.to_owned(), vec![path])),
        }
    }
    pools.into_iter().map(|(name, paths)| Ok((name, labelled(&paths, progress)?))).collect()
}

fn in_pool_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '-' | '_')
}

/// Reads sentences with their labels, which may be none.
pub fn sentences(path: &Path, flags: &ReadFlags, progress: Progress) -> Result<Vec<Sentence>> {
    read_all(path, progress, |source| Corpus::read(source, &flags.options(true)))
}

/// The same for a file of the texts of other sentences, with their tokens where the file gives none.
pub fn sentences_like(
    others: &[Sentence],
    path: &Path,
    flags: &ReadFlags,
    progress: Progress,
) -> Result<Vec<Sentence>> {
    read_all(path, progress, |source| Corpus::read_with_tokens_of(others, source, &flags.options(true)))
}

/// Reads sentences without their labels.
pub fn unlabelled(path: &Path, flags: &ReadFlags, progress: Progress) -> Result<Vec<Sentence>> {
    read_all(path, progress, |source| Corpus::read(source, &flags.options(false)))
}

fn read_all(
    path: &Path,
    progress: Progress,
    read: impl Fn(&Source) -> Result<Corpus, CorpusError>,
) -> Result<Vec<Sentence>> {
    let mut sentences = Vec::new();
    for source in Source::expand(path)? {
        sentences.extend(told(read(&source)?, progress).sentences);
    }
    Ok(sentences)
}

/// The sentences of an input that is too large to hold, as often as they are wanted.
pub struct Sentences {
    sources: Vec<Source>,
    options: ReadOptions,
}

impl Sentences {
    /// Finds the files; standard input is read at once, because it cannot be read twice.
    pub fn open(path: &Path, options: ReadOptions) -> Result<Self> {
        let mut sources = Source::expand(path)?;
        for source in sources.iter_mut().filter(|source| !source.is_repeatable()) {
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut std::io::stdin(), &mut bytes).context("cannot read standard input")?;
            *source = Source::bytes(&source.path, bytes);
        }
        Ok(Self { sources, options })
    }

    /// All sentences, without their labels; reading ends at the first error.
    pub fn iter(&self) -> impl Iterator<Item = Result<Sentence>> {
        self.sources.iter().flat_map(|source| {
            let mut fitter = Fitter::sentences(self.options.on_conflict);
            let (reader, failure) = match Reader::open(source, &self.options) {
                Ok(reader) => (Some(reader), None),
                Err(error) => (None, Some(error)),
            };
            let records = failure.into_iter().map(Err).chain(reader.into_iter().flatten());
            records.filter_map(move |record| {
                let fitted = record.map(|record| fitter.fit(record)).transpose()?;
                Some(fitted.map_err(Into::into).and_then(|record| Ok(Sentence::try_from(record)?)))
            })
        })
    }
}

/// How many records were left out because their annotators did not accept them, for a person.
fn skipped(path: &Path, records: usize) -> Option<String> {
    (records > 0).then(|| format!("{}: {records} left out, not accepted by their annotators", path.display()))
}

/// What was in conflict, a line each.
pub fn in_conflict(conflicts: &Conflicts) -> Vec<String> {
    if conflicts.counts.is_empty() {
        return Vec::new();
    }
    let first = conflicts.first.iter().map(|conflict| format!("  {conflict}"));
    std::iter::once(format!("in conflict: {conflicts}")).chain(first).collect()
}

/// Says what of a file could not be taken as it is.
fn told(corpus: Corpus, progress: Progress) -> Corpus {
    if let Some(line) = skipped(&corpus.path, corpus.skipped) {
        progress.note(line);
    }
    let mut conflicts = in_conflict(&corpus.conflicts).into_iter();
    if let Some(first) = conflicts.next() {
        progress.note(format_args!("{}: {first}", corpus.path.display()));
    }
    conflicts.for_each(|line| progress.note(line));
    corpus
}

/// The entity types of a training run: those given, which the files must not exceed, or else those of the files, which
/// must agree.
pub fn label_set(corpora: &[&Corpus], given: &[String]) -> Result<BTreeSet<Arc<str>>> {
    check_labels(given)?;
    if given.is_empty() {
        if let Some((first, others)) = corpora.split_first() {
            for other in others {
                first.check_same_labels(other).context("pass --labels TYPE,… if that is intended")?;
            }
        }
        let found: BTreeSet<Arc<str>> = corpora.iter().flat_map(|corpus| corpus.labels()).collect();
        if found.is_empty() {
            bail!("there is no entity in the files: expected tags such as B-PER in the last column");
        }
        return Ok(found);
    }
    let given: BTreeSet<Arc<str>> = given.iter().map(|label| Arc::from(label.as_str())).collect();
    for corpus in corpora {
        let unknown: Vec<Arc<str>> = corpus.labels().difference(&given).cloned().collect();
        if !unknown.is_empty() {
            bail!(
                "{}: entity types {} are not among --labels {}",
                corpus.path.display(),
                unknown.join(", "),
                given.iter().cloned().collect::<Vec<_>>().join(",")
            );
        }
    }
    Ok(given)
}

/// Checks entity types from the command line.
pub fn check_labels<S: AsRef<str>>(labels: &[S]) -> Result<()> {
    match labels.iter().map(AsRef::as_ref).find(|label| label.is_empty() || label.contains(char::is_whitespace)) {
        Some(label) => bail!("--labels: {label:?} is no entity type; expected names with commas and no blanks between"),
        None => Ok(()),
    }
}

/// The predicted sentence of each gold one: by id where both files have the same ids, else by order.
pub fn aligned<'a>(gold: &[Sentence], predicted: &'a [Sentence], names: [&str; 2]) -> Result<Vec<&'a Sentence>> {
    let [first, second] = names;
    if gold.len() != predicted.len() {
        let first_lacking = |of: &[Sentence], other: &[Sentence]| {
            let ids: HashSet<&str> = other.iter().map(Sentence::id).collect();
            of.iter().find(|s| !ids.contains(s.id())).map_or("none by its id".to_owned(), |s| s.id().to_owned())
        };
        bail!(
            "{first} has {} sentences, {second} {}; the first that only {first} has: {}, the first that only {second} \
             has: {}; both files must hold the same sentences",
            gold.len(),
            predicted.len(),
            first_lacking(gold, predicted),
            first_lacking(predicted, gold)
        );
    }
    let by_id: HashMap<&str, &Sentence> = predicted.iter().map(|s| (s.id(), s)).collect();
    // Of several files, two sentences can have the same id: then those in order are meant.
    let same_order = gold.iter().zip(predicted).all(|(gold, predicted)| gold.id() == predicted.id());
    let same_ids = !same_order && gold.iter().all(|s| by_id.contains_key(s.id()));
    gold.iter()
        .zip(predicted)
        .map(|(gold, in_order)| {
            let predicted = if same_ids { by_id[gold.id()] } else { in_order };
            if gold.words().eq(predicted.words()) {
                return Ok(predicted);
            }
            if let Some(at) = (0..gold.tokens().len().max(predicted.tokens().len())).find(|&at| {
                let word = |s: &Sentence| (at < s.tokens().len()).then(|| s.word(at).to_owned());
                word(gold) != word(predicted)
            }) {
                let word =
                    |s: &Sentence| if at < s.tokens().len() { s.word(at).to_owned() } else { "(end)".to_owned() };
                bail!(
                    "sentence {} of {first} and {} of {second} differ at token {at}: {:?} and {:?}; both files must \
                     hold the same tokens",
                    gold.id(),
                    predicted.id(),
                    word(gold),
                    word(predicted)
                );
            }
            Ok(predicted)
        })
        .collect()
}
