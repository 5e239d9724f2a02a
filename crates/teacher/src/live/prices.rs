//! What models cost.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Response, Usage};

/// What a model costs, in units of currency per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Of the prompt.
    pub input: f64,
    /// Of the part of the prompt that the provider had in its cache; as the rest if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<f64>,
    /// Of the answer.
    pub output: f64,
    /// What a batch costs, as a share of that.
    #[serde(default = "half")]
    pub batch: f64,
}

/// What OpenAI and Anthropic take for batches of all their models.
const fn half() -> f64 {
    0.5
}

impl Price {
    /// The prices of the same tokens in a batch.
    #[must_use]
    pub fn in_batch(&self) -> Self {
        let Self { input, cached, output, batch } = *self;
        let cached = cached.map(|cached| cached * batch);
        Self { input: input * batch, cached, output: output * batch, batch: 1.0 }
    }

    /// What an answer has cost, if the provider says how many tokens it had.
    #[must_use]
    pub fn of_answer(&self, answer: &Response) -> Option<f64> {
        let price = if answer.is_batched { self.in_batch() } else { *self };
        answer.usage.map(|usage| price.of(usage))
    }

    /// What so many tokens cost.
    #[must_use]
    pub fn of(&self, usage: Usage) -> f64 {
        let cached = usage.cached.min(usage.input);
        let prompt = (usage.input - cached) as f64 * self.input + cached as f64 * self.cached.unwrap_or(self.input);
        (prompt + usage.output as f64 * self.output) / 1e6
    }
}

/// Prices by the start of a model's name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Prices(BTreeMap<String, Price>);

/// A file of prices that cannot be used.
#[derive(Debug, Error)]
pub enum PricesError {
    /// It cannot be read.
    #[error("{file}: cannot be read")]
    Read {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is no table of prices.
    #[error(
        "{file}: expected a table for each model, with `input`, `output` and perhaps `cached` per million tokens, and perhaps the share `batch`"
    )]
    Toml {
        /// The file.
        file: String,
        /// What was found instead.
        #[source]
        source: toml::de::Error,
    },
    /// A price below nothing.
    #[error("{file}: {model}: prices must be finite and not negative")]
    Price {
        /// The file.
        file: String,
        /// The model.
        model: String,
    },
}

impl Prices {
    /// Those that come with the program, which may be out of date.
    ///
    /// # Panics
    /// Only by a bug.
    #[must_use]
    pub fn built_in() -> Self {
        Self::parse(include_str!("../../prices.toml"), "prices.toml")
            .expect("the built-in prices are sound: this is a bug")
    }

    /// Those of a file, before the built-in ones.
    ///
    /// # Errors
    /// [`PricesError`].
    pub fn read(path: &Path) -> Result<Self, PricesError> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| PricesError::Read { file: file.clone(), source })?;
        let mut prices = Self::built_in();
        prices.0.extend(Self::parse(&text, &file)?.0);
        Ok(prices)
    }

    fn parse(text: &str, file: &str) -> Result<Self, PricesError> {
        let prices: BTreeMap<String, Price> =
            toml::from_str(text).map_err(|source| PricesError::Toml { file: file.to_owned(), source })?;
        let sound = |price: &Price| {
            let all = [Some(price.input), price.cached, Some(price.output), Some(price.batch)];
            all.into_iter().flatten().all(|price| price.is_finite() && price >= 0.0)
        };
        match prices.iter().find(|(_, price)| !sound(price)) {
            Some((model, _)) => Err(PricesError::Price { file: file.to_owned(), model: model.clone() }),
            None => Ok(Self(prices)),
        }
    }

    /// The price of a model, if it is known.
    #[must_use]
    pub fn of(&self, model: &str) -> Option<Price> {
        let fits = self.0.iter().filter(|(name, _)| model.starts_with(name.as_str()));
        fits.max_by_key(|(name, _)| name.len()).map(|(_, price)| *price)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_counts_and_tokens_are_priced() {
        let prices = Prices::built_in();
        let mini = prices.of("gpt-4o-mini-2024-07-18").unwrap();
        assert!(mini.input < prices.of("gpt-4o-2024-08-06").unwrap().input);
        assert_eq!(prices.of("llama"), None);
        let price = Price { input: 2.0, cached: Some(1.0), output: 10.0, batch: 0.4 };
        let usage = Usage { input: 1_000_000, cached: 500_000, output: 100_000 };
        assert!((price.of(usage) - 2.5).abs() < 1e-12 && (price.in_batch().of(usage) - 1.0).abs() < 1e-12);
        let mut answer = Response::new("m", "{}");
        assert_eq!(price.of_answer(&answer), None);
        answer.usage = Some(usage);
        assert!((price.of_answer(&answer).unwrap() - 2.5).abs() < 1e-12);
        answer.is_batched = true;
        assert!((price.of_answer(&answer).unwrap() - 1.0).abs() < 1e-12);
        assert!((mini.batch - 0.5).abs() < 1e-12);
        assert!(Prices::parse("[m]\ninput = -1\noutput = 1", "p").unwrap_err().to_string().contains("p: m: prices"));
    }
}
