//! Entity-level precision, recall and F1: an entity counts as found if its tokens and its type are exactly right.
//!
//! [`lenient`] and [`strict`] score tags as seqeval does without and with `mode="strict"`; [`entities`] scores what is
//! decoded already. They differ only in how tags become entities; the counting is the same.
//!
//! ```
//! use apprentice_core::{Scheme, Tag, metrics};
//! let tags = |s: &str| s.split(' ').map(|t| t.parse().unwrap()).collect::<Vec<Tag>>();
//! // Ann Keller won in Rome .
//! let gold = [tags("B-PER I-PER O O B-LOC O")];
//! let predicted = [tags("B-PER I-PER O O I-LOC O")];
//!
//! assert_eq!(metrics::lenient(&gold, &predicted)?.micro.prf.f1, 1.0);
//!
//! let strict = metrics::strict(&gold, &predicted, Scheme::Iob2)?;
//! assert_eq!(strict.micro.prf.precision, 1.0);
//! assert_eq!(strict.micro.prf.recall, 0.5);
//! assert_eq!(strict.per_type["LOC"].counts.predicted, 0);
//! assert_eq!(strict.macro_average.f1, 0.5);
//! # Ok::<(), metrics::MetricsError>(())
//! ```

mod compare;
mod scores;

pub use compare::{MetricsError, entities, lenient, strict};
pub use scores::{Counts, Prf, Score, Scores};
