//! The draws of a plan: which examples each epoch shows, in which order.
//!
//! Laws:
//! - A pool is walked through a seeded shuffle of itself and shuffled again only when it is used up, across epochs too.
//!   So after `k` draws from a pool of `n` every example was drawn `k / n` times, rounded down or up.
//! - Of the `N` examples of an epoch, `round(p N)` are distilled, and these are divided among the distilled pools by
//!   Webster's method (Balinski and Young, "Fair Representation", 1982): with two pools, each part is rounded to the
//!   nearest number. Unlike the rounding of each part, it has no rest to give away, and a larger epoch never draws less
//!   from a pool; so an epoch may be filled one example after the other, until a budget is spent.
//!
//! ```
//! use apprentice_core::{Draw, Plan, Pool, Pools, Regimen};
//! let pools = Pools { original: Pool::new("original", vec![20; 3]), distilled: Vec::new() };
//! let plan = Plan { epochs: 3, epoch_size: Some(2), seed: 7, ..Plan::new(Regimen::OriginalOnly, pools) };
//! let epochs: Vec<Vec<Draw>> = plan.draws().unwrap().map(|epoch| epoch.draws).collect();
//! let mut seen: Vec<usize> = epochs.concat().iter().map(|draw| draw.index).collect();
//! seen.sort();
//! assert_eq!(seen, [0, 0, 1, 1, 2, 2]);
//! ```

use std::ops::Range;

use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::{
    Batch, Plan, Regimen,
    plan::{End, Pools},
};

/// One example of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Draw {
    /// From which data set: 0 is the original data, the others are the distilled pools in their order.
    pub pool: usize,
    /// Which example there, from 0.
    pub index: usize,
}

/// The examples of one epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct Epoch {
    /// Counted from 0.
    pub number: usize,
    /// The examples in their order.
    pub draws: Vec<Draw>,
    /// The draws of each optimiser step; together they are all draws, in order.
    pub batches: Vec<Range<usize>>,
    /// What the loss of an example is multiplied by, for each pool.
    pub weights: Vec<f64>,
}

/// The epochs of a run; made by [`Plan::draws`].
#[derive(Debug, Clone)]
pub struct Draws {
    plan: Plan,
    epoch: usize,
    /// Sub-words drawn so far.
    tokens: usize,
    /// One per pool, or a single one of all for `all`.
    decks: Vec<Deck>,
    order: ChaCha8Rng,
}

/// The streams of random numbers. The first distilled pool's is 1, the others' follow behind these.
const UNION: u64 = 2;
const ORDER: u64 = 3;

impl Draws {
    pub(super) fn new(plan: Plan) -> Self {
        let decks = decks(&plan);
        Self { epoch: 0, tokens: 0, decks, order: stream(plan.seed, ORDER), plan }
    }

    /// The examples of an epoch, by deck.
    fn draw(&mut self, epoch: usize) -> Vec<Vec<Draw>> {
        let end = self.plan.end(epoch);
        let mut split = self.plan.split(epoch);
        let mut drawn = vec![Vec::new(); self.decks.len()];
        let mut count = 0;
        while !matches!(end, End::Examples(size) if count == size) {
            let deck = split.as_mut().map_or(0, Split::next);
            let Some(draw) = self.decks[deck].peek() else { break };
            let tokens = self.tokens + self.plan.pools.tokens(draw);
            if matches!(end, End::Tokens(limit) if tokens > limit) {
                break;
            }
            self.decks[deck].used += 1;
            self.tokens = tokens;
            drawn[deck].push(draw);
            count += 1;
        }
        drawn
    }
}

impl Iterator for Draws {
    type Item = Epoch;

    fn next(&mut self) -> Option<Epoch> {
        let number = self.epoch;
        if number == self.plan.epochs {
            return None;
        }
        self.epoch += 1;
        let mut drawn = self.draw(number);
        // The shuffle starts from the distilled pools with the original data behind them.
        drawn.rotate_left(1);
        let mut draws = drawn.concat();
        draws.shuffle(&mut self.order);
        let batches = self.plan.batch.cut(&draws, &self.plan.pools);
        Some(Epoch { number, draws, batches, weights: self.plan.weights(number) })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.plan.epochs - self.epoch;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Draws {}

impl Batch {
    fn cut(self, draws: &[Draw], pools: &Pools) -> Vec<Range<usize>> {
        let (mut batches, mut start, mut tokens) = (Vec::new(), 0, 0);
        for (at, &draw) in draws.iter().enumerate() {
            let next = pools.tokens(draw);
            let full = match self {
                Self::Sentences(limit) => at - start == limit,
                Self::Tokens(limit) => at > start && tokens + next > limit,
            };
            if full {
                batches.push(start..at);
                (start, tokens) = (at, 0);
            }
            tokens += next;
        }
        if start < draws.len() {
            batches.push(start..draws.len());
        }
        batches
    }
}

/// Says for one example after the other which pool it comes from.
pub(super) struct Split {
    /// The share of distilled data.
    share: f64,
    /// The relative shares of the distilled pools.
    shares: Vec<f64>,
    total: usize,
    distilled: Vec<usize>,
}

impl Split {
    pub(super) fn new(share: f64, shares: Vec<f64>) -> Self {
        Self { share, total: 0, distilled: vec![0; shares.len()], shares }
    }

    /// The pool of the next example, as [`Draw::pool`] counts.
    fn next(&mut self) -> usize {
        self.total += 1;
        let due = (self.share * self.total as f64).round() as usize;
        if self.distilled.iter().sum::<usize>() >= due {
            return 0;
        }
        // Webster: the pool whose share is largest over the odd numbers 1, 3, 5 …; of equals, the first.
        let claim = |pool: usize| self.shares[pool] / (2 * self.distilled[pool] + 1) as f64;
        let next = (1..self.shares.len()).fold(0, |best, pool| if claim(pool) > claim(best) { pool } else { best });
        self.distilled[next] += 1;
        1 + next
    }
}

/// Shuffled examples that never end: shuffled again whenever they are used up. Nothing at all if there are none.
#[derive(Debug, Clone)]
struct Deck {
    cards: Vec<Draw>,
    used: usize,
    rng: ChaCha8Rng,
}

impl Deck {
    fn new(cards: Vec<Draw>, rng: ChaCha8Rng) -> Self {
        Self { used: cards.len(), cards, rng }
    }

    /// The card that is next; it is drawn by counting it as used.
    fn peek(&mut self) -> Option<Draw> {
        if self.used == self.cards.len() {
            self.cards.shuffle(&mut self.rng);
            self.used = 0;
        }
        self.cards.get(self.used).copied()
    }
}

fn decks(plan: &Plan) -> Vec<Deck> {
    let cards = |(pool, size): (usize, usize)| (0..size).map(move |index| Draw { pool, index });
    let sizes = plan.pools.all().map(|pool| pool.tokens.len()).enumerate();
    if plan.regimen == Regimen::All {
        return vec![Deck::new(sizes.flat_map(cards).collect(), stream(plan.seed, UNION))];
    }
    let number = |pool: usize| if pool < 2 { pool as u64 } else { ORDER + pool as u64 - 1 };
    sizes.map(|(pool, size)| Deck::new(cards((pool, size)).collect(), stream(plan.seed, number(pool)))).collect()
}

/// One independent stream per use, so that a regimen's draws from one pool do not depend on the size of the other.
fn stream(seed: u64, number: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(number);
    rng
}
