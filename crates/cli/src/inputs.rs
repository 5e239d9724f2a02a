//! Corpora from the command line's paths.

use std::{
    collections::BTreeSet,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use apprentice_core::{
    Corpus, Scheme, Sentence, Verdict,
    corpus::{conll, text},
};
use clap::ValueEnum;

/// How an input is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns, one token a line.
    Conll,
    /// One sentence a line.
    Text,
}

/// Reads labelled files of columns, one after the other; each must follow IOB1 or IOB2.
pub fn labelled(paths: &[PathBuf]) -> Result<Vec<Corpus>> {
    paths
        .iter()
        .map(|path| {
            let corpus = conll::read(path, &conll::Options::default())?;
            if corpus.evidence.verdict() == Verdict::Neither {
                // Read again, for the line of the first tag that is not where IOB2 has it.
                conll::read(path, &conll::Options::with_reading(conll::Reading::Checked(Scheme::Iob2)))?;
            }
            Ok(corpus)
        })
        .collect()
}

/// Reads sentences without their labels, from a file or (`-`) standard input. Without a format, files whose names end
/// in `.txt` and standard input are text, others are columns.
pub fn unlabelled(path: &Path, format: Option<Format>) -> Result<Vec<Sentence>> {
    let standard_input = path == Path::new("-");
    let by_name =
        if standard_input || path.extension().is_some_and(|e| e == "txt") { Format::Text } else { Format::Conll };
    let bytes = if standard_input {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).context("cannot read standard input")?;
        bytes
    } else {
        std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?
    };
    let path = if standard_input { Path::new("stdin") } else { path };
    Ok(match format.unwrap_or(by_name) {
        Format::Conll => conll::parse(path, &bytes, &conll::Options::unlabelled())?,
        Format::Text => text::parse(path, &bytes)?,
    }
    .sentences)
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
