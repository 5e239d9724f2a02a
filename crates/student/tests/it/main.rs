//! Integration tests of the student, on tiny models from scratch.

#![allow(clippy::unwrap_used, reason = "the lint spares test functions only, not their helpers")]

mod checkpoints;
mod directory;
mod fake_hub;
mod families;
mod foreign;
mod hub;
mod predicting;
mod pretrain;
#[expect(dead_code, reason = "the teacher's tests need more of it")]
#[path = "../../../teacher/tests/it/server.rs"]
mod server;
mod tokenizing;
mod training;

use apprentice_core::{Entity, Provenance, Sentence, Span};
use apprentice_encoder::NetworkOptions;
use apprentice_student::{Student, labels::Labels, tokenize::SubwordTokenizer};

/// Says how much memory the tests take.
#[global_allocator]
static MEMORY: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;

/// `n` sentences of a toy language: a word in capitals is a PER, and `in X` makes X a LOC.
fn toy(n: usize, from: usize) -> Vec<Sentence> {
    let names = ["ANNA", "BERT", "CLEO", "DORA", "EMIL", "FINN", "GRETA"];
    let places = ["rome", "oslo", "lima", "cairo", "delhi"];
    (from..from + n)
        .map(|i| {
            let (name, place) = (names[i * 3 % names.len()], places[i * 7 % places.len()]);
            let (words, per, loc) = match i % 3 {
                0 => (vec![name, "slept", "in", place, "."], 0, 3),
                1 => (vec!["in", place, "sat", name], 3, 1),
                _ => (vec!["the", "cat", "saw", name, "in", place, "today"], 3, 5),
            };
            let entity = |at, label: &str| Entity { span: Span::new(at, at + 1).unwrap(), label: label.into() };
            Sentence::from_words(format!("toy-{i}"), words)
                .with_entities(vec![entity(per, "PER"), entity(loc, "LOC")], Provenance::Original)
                .unwrap()
        })
        .collect()
}

/// A tiny student for the toy language.
fn student(seed: u64, threads: usize) -> Student {
    let tokenizer = SubwordTokenizer::learn(&toy(60, 0), 120);
    let options = NetworkOptions::with_threads(Some(threads));
    Student::from_scratch("1x32x2".parse().unwrap(), tokenizer, Labels::iob2(["LOC", "PER"]), seed, &options).unwrap()
}
