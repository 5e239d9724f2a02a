//! The sample data in the binary: invented news sentences with human labels, and recorded completions for some.

use std::path::Path;

use apprentice_core::{Corpus, CorpusError, corpus::ReadOptions};
use apprentice_teacher::{Transcript, TranscriptError};

macro_rules! sample {
    ($file:literal) => {
        ($file, include_str!(concat!("../../../data/newsroom/", $file)))
    };
}

/// A file's name and content.
pub type File = (&'static str, &'static str);

pub const TRAIN: File = sample!("train.conll");
pub const DEV: File = sample!("dev.conll");
pub const TEST: File = sample!("test.conll");
/// Carries labels too, for measuring the teacher; the quickstart trains on the teacher's labels only.
pub const UNLABELLED: File = sample!("unlabelled.conll");
pub const STANDARD: File = sample!("completions.standard.jsonl");
pub const COT: File = sample!("completions.cot.jsonl");

pub const ALL: [File; 6] = [TRAIN, DEV, TEST, UNLABELLED, STANDARD, COT];

pub fn corpus((name, content): File) -> Result<Corpus, CorpusError> {
    Corpus::parse(Path::new(name), content, &ReadOptions::default())
}

pub fn transcript((name, content): File) -> Result<Transcript, TranscriptError> {
    Transcript::read(content.as_bytes(), name)
}
