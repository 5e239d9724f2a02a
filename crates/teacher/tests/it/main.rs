//! What the crate promises, seen from outside.

#![allow(clippy::unwrap_used, reason = "the lint spares test functions only, not their helpers")]

mod align;
mod annotate;
mod attack_texts;
mod attacks;
mod batch;
mod examples;
mod label_set;
mod live;
mod parse;
mod prompt;
mod provider;
mod recorded;
mod server;
mod store;
mod transcript;
mod votes;

use apprentice_core::Sentence;
use apprentice_teacher::Mention;

/// A sentence whose tokens are what stands between the blanks of `text`.
fn sentence(id: &str, text: &str) -> Sentence {
    Sentence::from_words(id, text.split(' '))
}

fn mention(text: &str, label: &str) -> Mention {
    Mention { text: text.to_owned(), label: label.to_owned() }
}
