//! The draw plan: which examples each epoch shows, in which order.
//!
//! Law: a pool is walked through a seeded shuffle of itself and shuffled again only when it is used up, across epochs
//! too. So after `k` draws from a pool of `n` every example was drawn `k / n` times, rounded down or up.
//!
//! ```
//! use apprentice_core::{Draw, Plan, Pool, Pools, Regimen};
//! let pools = Pools { original: 3, distilled: 0 };
//! let plan = Plan { regimen: Regimen::OriginalOnly, pools, epochs: 3, epoch_size: Some(2), seed: 7 };
//! let epochs: Vec<Vec<Draw>> = plan.draws().unwrap().collect();
//! let mut seen: Vec<usize> = epochs.concat().iter().map(|draw| draw.index).collect();
//! seen.sort();
//! assert_eq!(seen, [0, 0, 1, 1, 2, 2]);
//! ```

use std::fmt;

use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{Regimen, RegimenError};

/// Which data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pool {
    /// Labelled by humans.
    Original,
    /// Labelled by the teacher.
    Distilled,
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Original => "original",
            Self::Distilled => "distilled",
        })
    }
}

/// How many examples each data set has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pools {
    /// Labelled by humans.
    pub original: usize,
    /// Labelled by the teacher.
    pub distilled: usize,
}

impl Pools {
    /// The size of one of them.
    #[must_use]
    pub const fn size(&self, pool: Pool) -> usize {
        match pool {
            Pool::Original => self.original,
            Pool::Distilled => self.distilled,
        }
    }
}

/// One example of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Draw {
    /// From which data set.
    pub pool: Pool,
    /// Which example there, from 0.
    pub index: usize,
}

/// All that decides which examples a run sees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// Which data in which epoch.
    pub regimen: Regimen,
    /// How much there is of each.
    pub pools: Pools,
    /// How many epochs.
    pub epochs: usize,
    /// How many examples an epoch has; by default one pass over the data set in use, or over both for `all`, and as
    /// many as there are original examples where an epoch blends the two.
    pub epoch_size: Option<usize>,
    /// Decides the order, and nothing else does.
    pub seed: u64,
}

/// How many draws of an epoch come from which deck.
#[derive(Debug, Clone, Copy)]
enum Demand {
    Split { original: usize, distilled: usize },
    Union(usize),
}

impl Demand {
    const fn total(self) -> usize {
        match self {
            Self::Split { original, distilled } => original + distilled,
            Self::Union(total) => total,
        }
    }
}

impl Plan {
    /// How many examples each epoch has; what a learning-rate schedule needs to know before the run.
    ///
    /// # Errors
    /// As [`Self::draws`].
    pub fn lengths(&self) -> Result<Vec<usize>, RegimenError> {
        self.check()?;
        Ok((0..self.epochs).map(|epoch| self.demand(epoch).total()).collect())
    }

    /// The examples of each epoch. Epoch `e` is `draws()?.nth(e)`, whatever was taken before.
    ///
    /// # Errors
    /// [`RegimenError::EmptyPool`] if the regimen needs a data set that has nothing, and the other variants for
    /// settings that make no sense.
    pub fn draws(&self) -> Result<Draws, RegimenError> {
        self.check()?;
        let Pools { original, distilled } = self.pools;
        Ok(Draws {
            plan: *self,
            epoch: 0,
            original: Deck::new(original, self.seed, 0),
            distilled: Deck::new(distilled, self.seed, 1),
            union: Deck::new(original + distilled, self.seed, 2),
            order: stream(self.seed, 3),
        })
    }

    fn check(&self) -> Result<(), RegimenError> {
        self.regimen.check()?;
        if self.epoch_size == Some(0) {
            return Err(RegimenError::EmptyEpoch);
        }
        let lacks = |&pool: &Pool| self.regimen.needs(pool) && self.pools.size(pool) == 0;
        match [Pool::Original, Pool::Distilled].into_iter().find(lacks) {
            Some(pool) => Err(RegimenError::EmptyPool { regimen: self.regimen.name(), pool }),
            None => Ok(()),
        }
    }

    fn demand(&self, epoch: usize) -> Demand {
        let Pools { original, distilled } = self.pools;
        let Some(share) = self.regimen.share(epoch, self.epochs) else {
            return Demand::Union(self.epoch_size.unwrap_or(original + distilled));
        };
        let size = self.epoch_size.unwrap_or(if share >= 1.0 { distilled } else { original });
        let distilled = (share * size as f64).round() as usize;
        Demand::Split { original: size - distilled, distilled }
    }
}

/// The examples of a run, epoch by epoch; made by [`Plan::draws`].
#[derive(Debug, Clone)]
pub struct Draws {
    plan: Plan,
    epoch: usize,
    original: Deck,
    distilled: Deck,
    union: Deck,
    order: ChaCha8Rng,
}

impl Iterator for Draws {
    type Item = Vec<Draw>;

    fn next(&mut self) -> Option<Vec<Draw>> {
        if self.epoch == self.plan.epochs {
            return None;
        }
        let demand = self.plan.demand(self.epoch);
        self.epoch += 1;
        let draw = |pool| move |index| Draw { pool, index };
        let mut draws = Vec::with_capacity(demand.total());
        match demand {
            Demand::Split { original, distilled } => {
                draws.extend(self.distilled.by_ref().take(distilled).map(draw(Pool::Distilled)));
                draws.extend(self.original.by_ref().take(original).map(draw(Pool::Original)));
            }
            Demand::Union(total) => {
                let split = self.plan.pools.original;
                draws.extend(self.union.by_ref().take(total).map(|index| match index.checked_sub(split) {
                    None => draw(Pool::Original)(index),
                    Some(index) => draw(Pool::Distilled)(index),
                }));
            }
        }
        draws.shuffle(&mut self.order);
        Some(draws)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.plan.epochs - self.epoch;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Draws {}

/// A shuffled pool that never ends: shuffled again whenever it is used up. Nothing at all if the pool is empty.
#[derive(Debug, Clone)]
struct Deck {
    cards: Vec<usize>,
    used: usize,
    rng: ChaCha8Rng,
}

impl Deck {
    fn new(size: usize, seed: u64, number: u64) -> Self {
        Self { cards: (0..size).collect(), used: size, rng: stream(seed, number) }
    }
}

impl Iterator for Deck {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.used == self.cards.len() {
            self.cards.shuffle(&mut self.rng);
            self.used = 0;
        }
        let card = self.cards.get(self.used).copied()?;
        self.used += 1;
        Some(card)
    }
}

/// One independent stream per use, so that a regimen's draws from one pool do not depend on the size of the other.
fn stream(seed: u64, number: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(number);
    rng
}
