//! Few-shot examples: which labelled sentences a prompt shows beside those of its label set.
//!
//! Invariants: a sentence is never shown its own answer (no example has its id, or its text up to white space), no text is
//! shown twice, and the same pool, selector and sentence give the same examples.
//!
//! ```
//! use std::sync::Arc;
//! use apprentice_core::{Entity, Provenance, Sentence, Span};
//! use apprentice_teacher::{ExamplePool, Examples, Selector};
//! let labelled = |id: &str, text: &str, label: &str| {
//!     let entity = Entity { span: Span::new(0, 1).unwrap(), label: label.into() };
//!     Sentence::from_words(id, text.split(' ')).with_entities(vec![entity], Provenance::Original).unwrap()
//! };
//! let pool = [("a", "Rome won", "LOC"), ("b", "Oslo won 3 games", "LOC"), ("c", "Ann lost", "PER")];
//! let pool = ExamplePool::new(pool.map(|(id, text, label)| labelled(id, text, label)).into()).unwrap();
//! let examples = Examples::new(Selector::Nearest { n: 2 }, Arc::new(pool));
//! let chosen = examples.choose(&Sentence::from_words("s1", ["Oslo", "won", "2"]));
//! // `b` is nearest; then `c` beats `a`, for it shows another type. The nearest stands last.
//! assert_eq!(chosen.iter().map(|s| s.id()).collect::<Vec<_>>(), ["c", "b"]);
//! ```

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use apprentice_core::{Provenance, Sentence};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

use crate::{Bm25, Mention};

/// What a sentence gains for each of its types that no chosen example has, where the nearest sentence scores 1 and the
/// furthest 0.
const BONUS: f64 = 0.25;

/// A sentence with its answer, as a prompt shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// The text.
    pub sentence: String,
    /// The names in it, as written, in order.
    #[serde(default, deserialize_with = "strict_mentions")]
    pub entities: Vec<Mention>,
    /// How one gets there, where somebody wrote it down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
}

/// Mentions as a user writes them, where a misspelt key is an error.
fn strict_mentions<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Mention>, D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Written {
        text: String,
        #[serde(rename = "type")]
        label: String,
    }
    let written = Vec::<Written>::deserialize(deserializer)?;
    Ok(written.into_iter().map(|Written { text, label }| Mention { text, label }).collect())
}

impl From<&Sentence> for Example {
    /// The sentence with its entities, without reasoning.
    fn from(sentence: &Sentence) -> Self {
        let mention = |e: &apprentice_core::Entity| Mention {
            text: sentence.surface(e.span).to_owned(),
            label: e.label.to_string(),
        };
        Self {
            sentence: sentence.text().to_owned(),
            entities: sentence.entities().iter().map(mention).collect(),
            reasoning: None,
        }
    }
}

/// Which examples a prompt shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Selector {
    /// Those of the label set only.
    #[default]
    Fixed,
    /// Also `n` of a pool, drawn once: all sentences see the same (so that a provider's prompt cache works), except that
    /// a sentence which is drawn itself sees the next one in its place.
    Random {
        /// How many.
        n: usize,
        /// Decides which.
        seed: u64,
    },
    /// Also the `n` of a pool that are nearest to the sentence by [`Bm25`], balanced over types as
    /// [`Examples::nearest`] says.
    Nearest {
        /// How many.
        n: usize,
    },
}

/// A sentence of a pool and how near it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// Its place in the pool, from 0.
    pub index: usize,
    /// The higher, the nearer, on any scale.
    pub score: f64,
}

/// Who knows which sentences of a pool are near to another: an index of words, of embeddings, or a closure.
pub trait Neighbours: Send + Sync {
    /// Sentences of the pool that may be shown with `sentence`, in any order. More than are wanted, so that there is a
    /// choice of types; places outside of the pool and scores that are not finite are passed over.
    fn near(&self, sentence: &Sentence) -> Vec<Scored>;
}

impl<F: Fn(&Sentence) -> Vec<Scored> + Send + Sync> Neighbours for F {
    fn near(&self, sentence: &Sentence) -> Vec<Scored> {
        self(sentence)
    }
}

/// Why sentences make no pool.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PoolError {
    /// No sentences.
    #[error(
        "the pool of examples is empty, expected labelled sentences; give a labelled corpus, or choose fixed examples"
    )]
    Empty,
    /// A sentence that nobody labelled.
    #[error(
        "{count} of {sentences} sentences of the pool of examples are unlabelled, the first is {id}; a prompt would show \
         them as sentences without entities: give a labelled corpus"
    )]
    Unlabelled {
        /// The first of them.
        id: String,
        /// How many there are.
        count: usize,
        /// How many sentences there are in all.
        sentences: usize,
    },
}

/// Labelled sentences to choose examples from.
#[derive(Debug, Clone)]
pub struct ExamplePool {
    sentences: Vec<Sentence>,
    /// The text of each sentence without white space: what tells one from another.
    keys: Vec<String>,
    /// All types, in order of appearance.
    types: Vec<Arc<str>>,
    /// The types of each sentence, as places in `types`, each once.
    types_of: Vec<Vec<usize>>,
    /// The sentences with each type.
    having: Vec<Vec<usize>>,
}

impl ExamplePool {
    /// A pool of these sentences.
    ///
    /// # Errors
    /// [`PoolError`] if there are none, or some are [`Provenance::Unlabelled`].
    pub fn new(sentences: Vec<Sentence>) -> Result<Self, PoolError> {
        if sentences.is_empty() {
            return Err(PoolError::Empty);
        }
        let mut unlabelled = sentences.iter().filter(|s| *s.provenance() == Provenance::Unlabelled);
        if let Some(first) = unlabelled.next() {
            let (id, count) = (first.id().to_owned(), 1 + unlabelled.count());
            return Err(PoolError::Unlabelled { id, count, sentences: sentences.len() });
        }
        let mut pool = Self {
            keys: sentences.iter().map(key).collect(),
            types: Vec::new(),
            types_of: Vec::with_capacity(sentences.len()),
            having: Vec::new(),
            sentences: Vec::new(),
        };
        for (index, sentence) in sentences.iter().enumerate() {
            let mut types = Vec::new();
            for entity in sentence.entities() {
                let place = pool.types.iter().position(|t| *t == entity.label).unwrap_or_else(|| {
                    pool.types.push(entity.label.clone());
                    pool.having.push(Vec::new());
                    pool.types.len() - 1
                });
                if !types.contains(&place) {
                    types.push(place);
                    pool.having[place].push(index);
                }
            }
            pool.types_of.push(types);
        }
        pool.sentences = sentences;
        Ok(pool)
    }

    /// The sentences, in the order in which [`Scored::index`] counts.
    #[must_use]
    pub fn sentences(&self) -> &[Sentence] {
        &self.sentences
    }

    /// The types of the entities, in order of appearance.
    #[must_use]
    pub fn types(&self) -> &[Arc<str>] {
        &self.types
    }

    /// The first sentence with an entity of the type at `place` of [`Self::types`].
    fn first_having(&self, place: usize) -> &Sentence {
        &self.sentences[self.having[place][0]]
    }

    /// A sentence with a type that is not among `labels`, and the type.
    pub(crate) fn outside(&self, labels: &[Arc<str>]) -> Option<(&Sentence, &Arc<str>)> {
        let place = self.types.iter().position(|t| !labels.contains(t))?;
        Some((self.first_having(place), &self.types[place]))
    }
}

/// A sentence's text without white space, so that it is known again whatever the tokenisation.
fn key(sentence: &Sentence) -> String {
    sentence.text().split_whitespace().collect()
}

/// A pool and how to choose from it; a copy shares both.
#[derive(Clone)]
pub struct Examples {
    pool: Arc<ExamplePool>,
    choice: Choice,
}

#[derive(Clone)]
enum Choice {
    None,
    /// The first `n` of these that are not the sentence itself.
    Drawn {
        n: usize,
        order: Arc<[usize]>,
    },
    Nearest {
        n: usize,
        neighbours: Arc<dyn Neighbours>,
    },
}

impl fmt::Debug for Examples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let choice = match &self.choice {
            Choice::None => "fixed".to_owned(),
            Choice::Drawn { n, .. } => format!("{n} drawn"),
            Choice::Nearest { n, .. } => format!("{n} nearest"),
        };
        f.debug_struct("Examples").field("pool", &self.pool.sentences.len()).field("choice", &choice).finish()
    }
}

impl Examples {
    /// Chooses from `pool` as `selector` says.
    #[must_use]
    pub fn new(selector: Selector, pool: Arc<ExamplePool>) -> Self {
        let choice = match selector {
            Selector::Fixed => Choice::None,
            Selector::Random { n, seed } => {
                let mut order: Vec<usize> = (0..pool.sentences.len()).collect();
                order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
                let mut seen = HashSet::new();
                order.retain(|&index| seen.insert(&pool.keys[index]));
                // One may have the id of a sentence and another its text.
                order.truncate(n.saturating_add(2));
                Choice::Drawn { n, order: order.into() }
            }
            Selector::Nearest { n } => Choice::Nearest { n, neighbours: Arc::new(Bm25::new(&pool.sentences)) },
        };
        Self { pool, choice }
    }

    /// Chooses the `n` of `pool` that are nearest by `neighbours`, balanced over types.
    ///
    /// The rule: scores are scaled so that the nearest sentence has 1 and the furthest of those that `neighbours` gives
    /// has 0. The nearest is chosen first; then, again and again, the sentence with the highest score plus 0.25 for each of
    /// its types that no chosen sentence has. For a type that none of the given sentences has, the first sentence of the
    /// pool that has it stands with score 0. Ties go to the earlier sentence of the pool. Fewer than `n` are chosen where
    /// there are not as many.
    #[must_use]
    pub fn nearest(n: usize, neighbours: impl Neighbours + 'static, pool: Arc<ExamplePool>) -> Self {
        Self { pool, choice: Choice::Nearest { n, neighbours: Arc::new(neighbours) } }
    }

    /// What is chosen from.
    #[must_use]
    pub fn pool(&self) -> &ExamplePool {
        &self.pool
    }

    /// The examples to show with `sentence`, in the order in which to show them: the nearest last, since models lean on
    /// what they read last (Zhao et al. 2021, "Calibrate Before Use").
    #[must_use]
    pub fn choose(&self, sentence: &Sentence) -> Vec<&Sentence> {
        let itself = key(sentence);
        let pool = &*self.pool;
        let shown = |index: usize| pool.sentences[index].id() != sentence.id() && pool.keys[index] != itself;
        let mut chosen = match &self.choice {
            Choice::None => Vec::new(),
            Choice::Drawn { n, order } => order.iter().copied().filter(|&index| shown(index)).take(*n).collect(),
            Choice::Nearest { n, neighbours } => {
                let near = neighbours.near(sentence).into_iter();
                let near = near.filter(|s| s.index < pool.sentences.len() && s.score.is_finite() && shown(s.index));
                pool.balanced(near.collect(), *n, &shown)
            }
        };
        chosen.reverse();
        chosen.into_iter().map(|index| &pool.sentences[index]).collect()
    }
}

impl ExamplePool {
    /// At most `n` of `near` (and of the sentences with types that `near` lacks), the best first, by the rule of
    /// [`Examples::nearest`]. Only sentences that `shown` allows.
    fn balanced(&self, mut near: Vec<Scored>, n: usize, shown: &impl Fn(usize) -> bool) -> Vec<usize> {
        let bounds = |(low, high): (f64, f64), s: &Scored| (low.min(s.score), high.max(s.score));
        let (low, high) = near.iter().fold((f64::INFINITY, f64::NEG_INFINITY), bounds);
        for scored in &mut near {
            scored.score = if high > low { (scored.score - low) / (high - low) } else { 1.0 };
        }
        let mut lacking = vec![true; self.types.len()];
        near.iter().flat_map(|s| &self.types_of[s.index]).for_each(|&place| lacking[place] = false);
        let others = (0..self.types.len()).filter(|&place| lacking[place]);
        let others = others.filter_map(|place| self.having[place].iter().copied().find(|&index| shown(index)));
        near.extend(others.map(|index| Scored { index, score: 0.0 }));

        let mut unseen = vec![true; self.types.len()];
        let mut texts = HashSet::new();
        let mut chosen: Vec<usize> = Vec::new();
        while chosen.len() < n {
            let bonus = if chosen.is_empty() { 0.0 } else { BONUS };
            let mut best: Option<(f64, usize)> = None;
            for &Scored { index, score } in &near {
                if texts.contains(&self.keys[index]) {
                    continue;
                }
                let new = self.types_of[index].iter().filter(|&&place| unseen[place]).count();
                let value = score + bonus * new as f64;
                if best.is_none_or(|(most, first)| value.total_cmp(&most).then(first.cmp(&index)).is_gt()) {
                    best = Some((value, index));
                }
            }
            let Some((_, index)) = best else { break };
            chosen.push(index);
            texts.insert(&self.keys[index]);
            self.types_of[index].iter().for_each(|&place| unseen[place] = false);
        }
        chosen
    }
}
