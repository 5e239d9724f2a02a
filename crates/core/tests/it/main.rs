//! Integration tests of `apprentice-core`, in one binary.

#![expect(clippy::unwrap_used, reason = "a test may panic in its helpers too")]
#![expect(clippy::single_range_in_vec_init, reason = "stages are ranges, also where there is one")]

mod agreement;
mod brat;
mod breakdown;
mod conll;
mod data;
mod files;
mod formats;
#[cfg(feature = "parquet")]
mod parquet;
mod published;
mod random;
mod regimen;
mod report;
mod schedule;
mod semeval;
mod sentences;
mod seqeval;
mod tags;
mod text;
mod uncertainty;
mod webanno;

use apprentice_core::{Entity, Span, Tag};

/// Tags from their blank-separated texts.
fn tags(text: &str) -> Vec<Tag> {
    text.split_ascii_whitespace().map(|tag| tag.parse().unwrap()).collect()
}

fn entity(start: usize, end: usize, label: &str) -> Entity {
    Entity { span: Span::new(start, end).unwrap(), label: label.into() }
}
