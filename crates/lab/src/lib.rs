//! Experiments: a file that describes a grid of runs, the ledger of those that are done, and the report on them.
//!
//! An [`Experiment`] multiplies its axes into [`System`]s, and these with its seeds into [`Run`]s. A run is known by the
//! hash of its settings and inputs, so the [`Ledger`] knows what is done whoever did it, and for whichever experiment.
//! This crate trains nothing: [`Ledger::work`] is handed a closure that does one run.

mod data;
mod error;
mod experiment;
mod grid;
mod ledger;
pub mod report;

pub use data::{DataRef, fingerprint, fingerprint_model, subset};
pub use error::LabError;
pub use experiment::{Axis, DataSet, Experiment, Part, Question};
pub use grid::{Grid, GridData, GridSystem, Run, RunSettings, System};
pub use ledger::{Claim, Curve, DrawnRecord, EpochRecord, Ledger, Origin, Record, State, Tally};
