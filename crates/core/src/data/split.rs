//! Dividing a corpus into parts, such as train, dev and test.

use std::{collections::HashMap, fmt, str::FromStr};

use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::sample::largest_remainders;
use crate::corpus::Record;

/// The sizes of the parts in proportion to each other, such as `8,1,1`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ratios(Vec<f64>);

/// Ratios that divide nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}`: expected two or more positive numbers with commas between, such as 8,1,1")]
pub struct RatioError(String);

impl Ratios {
    /// How many parts there are.
    #[must_use]
    pub fn parts(&self) -> usize {
        self.0.len()
    }

    /// Shares `total` out by largest remainders.
    fn share(&self, total: usize) -> Vec<usize> {
        // To nine digits: enough for corpora, and exact from there on.
        let sum: f64 = self.0.iter().sum();
        let whole: Vec<usize> = self.0.iter().map(|ratio| (ratio / sum * 1e9).round() as usize).collect();
        largest_remainders(&whole, total)
    }
}

impl FromStr for Ratios {
    type Err = RatioError;

    fn from_str(text: &str) -> Result<Self, RatioError> {
        let error = || RatioError(text.to_owned());
        let ratios: Result<Vec<f64>, _> = text.split([',', '/', ':']).map(|part| part.trim().parse()).collect();
        let ratios = ratios.map_err(|_| error())?;
        let sound = ratios.len() > 1 && ratios.iter().all(|ratio| ratio.is_finite() && *ratio > 0.0);
        if sound { Ok(Self(ratios)) } else { Err(error()) }
    }
}

impl fmt::Display for Ratios {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.0.iter().map(f64::to_string).collect();
        f.write_str(&parts.join(","))
    }
}

impl TryFrom<String> for Ratios {
    type Error = RatioError;

    fn try_from(text: String) -> Result<Self, RatioError> {
        text.parse()
    }
}

impl From<Ratios> for String {
    fn from(ratios: Ratios) -> Self {
        ratios.to_string()
    }
}

/// What stays together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SplitBy {
    /// Nothing.
    Sentence,
    /// The sentences of a document; one without a document is on its own.
    Document,
}

/// The part of each record.
///
/// By sentence, the parts have exactly their shares by largest remainders. By document, documents are gone through in
/// random order, and each goes to the part that lacks most sentences of its share, of equals to the first.
#[must_use]
pub fn split(records: &[Record], ratios: &Ratios, by: SplitBy, seed: u64) -> Vec<usize> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut of_document = HashMap::new();
    for (place, record) in records.iter().enumerate() {
        match record.document().filter(|_| by == SplitBy::Document) {
            Some(document) => {
                let group = *of_document.entry(document).or_insert(groups.len());
                if group == groups.len() {
                    groups.push(Vec::new());
                }
                groups[group].push(place);
            }
            None => groups.push(vec![place]),
        }
    }
    groups.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let mut lacking: Vec<isize> = ratios.share(records.len()).into_iter().map(usize::cast_signed).collect();
    let mut parts = vec![0; records.len()];
    for group in groups {
        // `max_by_key` takes the last of equals.
        let part = (0..lacking.len()).rev().max_by_key(|&part| lacking[part]).unwrap_or(0);
        lacking[part] -= group.len().cast_signed();
        for place in group {
            parts[place] = part;
        }
    }
    parts
}
