//! Entity-level precision, recall and F1: an entity counts as found if its tokens and its type are exactly right.
//!
//! [`lenient`] and [`strict`] score tags as seqeval does without and with `mode="strict"`; [`entities`] scores what is
//! decoded already. They differ only in how tags become entities; the counting is the same.
//!
//! What is behind the numbers: [`SemEval`] also counts what is half right and names the kinds of error, [`Confusion`]
//! says which type is taken for which, [`Calibration`] whether a
//! labeller is right as often as it is sure, [`breakdown`] scores parts of the entities, [`mistakes`] lists what is wrong,
//! and [`Tokens`] scores single tokens. All are functions of entities, sentence by sentence. [`report`] puts it all
//! together, for one or several systems.
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
//! assert_eq!(strict.macro_gold.f1, 0.5);
//! # Ok::<(), metrics::MetricsError>(())
//! ```

pub mod agreement;
pub mod breakdown;
pub mod calibration;
mod compare;
mod confusion;
pub mod matching;
mod mistakes;
pub mod report;
mod scores;
pub mod semeval;
mod tokens;
pub mod uncertainty;

pub use calibration::Calibration;
pub use compare::{MetricsError, entities, lenient, strict};
pub use confusion::Confusion;
pub use matching::{Match, Outcome, matched};
pub use mistakes::{Mistake, mistakes};
pub use scores::{Counts, Fraction, Prf, Row, Score, Scores, Undefined};
pub use semeval::SemEval;
pub use tokens::Tokens;
