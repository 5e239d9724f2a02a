//! Experiments, ledgers and reports.

#![allow(clippy::unwrap_used, reason = "the lint spares test functions only, not their helpers")]

mod grid;
mod ledger;
mod report;
#[path = "../../examples/synthetic/ledger.rs"]
mod synthetic;
