//! Plain text: one sentence a line, split into tokens as CoNLL-2003 has them.
//!
//! A token never contains white space. Punctuation is taken off the front and the end of what stands between white
//! space, mark by mark, but equal dots or dashes together (`...`, `--`). What is whole there stays whole:
//!
//! | kept | examples |
//! |---|---|
//! | numbers, signs, times | `3.2` `1,000` `.500` `+44` `1:45.20` `1996-08-22` |
//! | compounds | `all-rounder` `S&P` `AC/DC` `O'Brien` |
//! | abbreviations with their dot | `U.S.` `J.` `Inc.` `a.m.`, and `1.` at the start of a line |
//! | clitics, as tokens of their own | `Rome` `'s`, `do` `n't`, `they` `'re` |
//! | currencies with letters | `US$` before `3.2` |
//! | addresses, handles, hashtags | `www.a.org/b?c` `@ann` `#rome` |
//!
//! ```
//! use apprentice_core::corpus::text::tokenize;
//! let text = "U.S. runner Ann Keller's time (1:45.20) didn't win, in Rome.";
//! let words: Vec<&str> = tokenize(text).into_iter().map(|span| &text[span.range()]).collect();
//! assert_eq!(
//!     words.join("|"),
//!     "U.S.|runner|Ann|Keller|'s|time|(|1:45.20|)|did|n't|win|,|in|Rome|."
//! );
//! ```

use std::path::Path;

use super::{Corpus, CorpusError, lines, load, stem};
use crate::{Evidence, Sentence};

mod tokens;

pub use tokens::tokenize;

/// Reads a file: the sentence of line `n` (from 1) is called `{stem}-{n}`, `n` with five digits; lines of white space
/// are left out. The sentence's text is the line as it stands.
///
/// # Errors
/// [`CorpusError`]: the file cannot be read, is not UTF-8 or has no sentence.
pub fn read(path: &Path) -> Result<Corpus, CorpusError> {
    parse(path, &load(path)?)
}

/// Reads bytes that stand for the file `path`.
///
/// # Errors
/// [`CorpusError::Empty`], or [`CorpusError::Line`] for a line that is not UTF-8.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Corpus, CorpusError> {
    let stem = stem(path);
    let mut sentences = Vec::new();
    for (number, line) in lines(bytes) {
        let line = line.map_err(|problem| CorpusError::Line { path: path.to_owned(), line: number, problem })?;
        sentences.extend(sentence(format!("{stem}-{number:05}"), line));
    }
    if sentences.is_empty() {
        return Err(CorpusError::Empty { path: path.to_owned() });
    }
    Ok(Corpus { path: path.to_owned(), sentences, evidence: Evidence::default() })
}

fn sentence(id: String, line: &str) -> Option<Sentence> {
    let tokens = tokenize(line);
    let sentence = |tokens| Sentence::new(id, line, tokens).expect("tokens are spans of their line: this is a bug");
    (!tokens.is_empty()).then(|| sentence(tokens))
}
