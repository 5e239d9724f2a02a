//! The examples of a pool that are most like a sentence, by what a local encoder makes of both.

use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use apprentice_core::Sentence;
use apprentice_encoder::NetworkOptions;
use apprentice_student::{Student, labels::Labels};
use apprentice_teacher::{ExamplePool, Neighbours, Scored};

use crate::commands::models;

/// How many sentences of a pool are looked at more closely, so that there is a choice of types.
const CANDIDATES: usize = 64;

/// A pool's sentences as vectors.
pub struct Embedded {
    /// The encoder works on one sentence at a time.
    student: Mutex<Student>,
    pool: Vec<Vec<f32>>,
}

impl Embedded {
    /// By this encoder: a model directory, or the name of a model that was fetched.
    pub fn new(encoder: &str, pool: &ExamplePool) -> Result<Self> {
        let labels = Labels::iob2(pool.types().iter().cloned());
        let context = || format!("--examples-encoder {encoder}");
        let directory = models::directory(encoder).with_context(context)?;
        let mut student =
            Student::from_encoder(&directory, labels, 1, &NetworkOptions::with_threads(None)).with_context(context)?;
        let vectors = student.embed(pool.sentences())?;
        Ok(Self { student: Mutex::new(student), pool: vectors })
    }
}

impl Neighbours for Embedded {
    fn near(&self, sentence: &Sentence) -> Vec<Scored> {
        let mut student = self.student.lock().unwrap_or_else(PoisonError::into_inner);
        // A sentence that the encoder cannot take has no neighbours, and is shown examples of each type.
        let Ok(Some(vector)) = student.embed(std::slice::from_ref(sentence)).map(|mut all| all.pop()) else {
            return Vec::new();
        };
        let product = |other: &[f32]| vector.iter().zip(other).map(|(a, b)| f64::from(a * b)).sum();
        let mut near: Vec<Scored> =
            self.pool.iter().enumerate().map(|(index, other)| Scored { index, score: product(other) }).collect();
        near.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.index.cmp(&b.index)));
        near.truncate(CANDIDATES);
        near
    }
}
