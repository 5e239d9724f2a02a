//! Experiments and ledgers.

#![allow(clippy::unwrap_used, reason = "the lint spares test functions only, not their helpers")]

mod grid;
mod ledger;
