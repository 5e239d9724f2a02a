//! Integration tests of `apprentice-lab`, in one binary.

#![expect(clippy::unwrap_used, reason = "a test may panic in its helpers too")]

mod report;
#[path = "../../examples/synthetic/ledger.rs"]
mod synthetic;
