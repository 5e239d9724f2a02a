//! What one does with corpora besides learning from them: count, sample, split, merge, check. Over records, one by one,
//! so that memory grows only with what must be kept.

mod check;
mod fingerprint;
mod merge;
mod names;
mod sample;
mod split;
mod stats;

pub use check::{Checker, Problem};
pub use merge::{Merged, Merger};
pub use names::UniqueNames;
pub use sample::Sampler;
pub use split::{RatioError, Ratios, SplitBy, split};
pub use stats::{Ambiguous, Percentiles, Stats, StatsBuilder, TypeStats, Unseen};
