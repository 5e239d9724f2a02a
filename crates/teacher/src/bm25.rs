//! BM25: which sentences of a pool share rare words with a given one.
//!
//! With `N` sentences of `L` words on average, a word that `n` of them hold, and a sentence of `l` words that holds it `f`
//! times, the score of the sentence is the sum over the different words of the query of
//!
//! ```text
//! ln(1 + (N - n + 0.5) / (n + 0.5)) · f (k1 + 1) / (f + k1 (1 - b + b l / L)),    k1 = 1.2, b = 0.75
//! ```
//!
//! The second factor and the fraction in the logarithm are those of Robertson and Spärck Jones (Robertson and Zaragoza
//! 2009, "The Probabilistic Relevance Framework: BM25 and Beyond", section 3); the 1 in the logarithm is Lucene's and
//! keeps words that most sentences hold from counting against a sentence. Words are the tokens in lower case.
//!
//! A query reads the lists of its own words only. Same pool, same scores, bit for bit.
//!
//! ```
//! use apprentice_core::Sentence;
//! use apprentice_teacher::{Bm25, Neighbours};
//! let pool = [["Rome", "won"], ["Oslo", "won"], ["Oslo", "lost"]].map(|words| Sentence::from_words("", words));
//! let near = Bm25::new(&pool).near(&Sentence::from_words("", ["rome", "won"]));
//! // All have the mean length and f = 1, so that the second factor is 1: ln(1 + 2.5 / 1.5) + ln(1 + 1.5 / 2.5).
//! assert_eq!((near[0].index, near[1].index, near.len()), (0, 1, 2));
//! assert!((near[0].score - 1.450_833).abs() < 1e-6 && (near[1].score - 0.470_004).abs() < 1e-6);
//! ```

use std::collections::{HashMap, HashSet};

use apprentice_core::Sentence;

use crate::{Neighbours, Scored};

const K1: f64 = 1.2;
const B: f64 = 0.75;

/// An inverted index of a pool.
#[derive(Debug, Clone)]
pub struct Bm25 {
    /// Word -> the sentences that hold it, and what it adds to their scores.
    postings: HashMap<String, Vec<Scored>>,
    sentences: usize,
}

impl Bm25 {
    /// The index of `sentences`; what it finds are places in them.
    #[must_use]
    pub fn new(sentences: &[Sentence]) -> Self {
        let words: usize = sentences.iter().map(|s| s.tokens().len()).sum();
        let count = sentences.len() as f64;
        let mean = words as f64 / count;
        let mut postings: HashMap<String, Vec<Scored>> = HashMap::new();
        for (index, sentence) in sentences.iter().enumerate() {
            for word in sentence.words() {
                let list = postings.entry(word.to_lowercase()).or_default();
                match list.last_mut() {
                    Some(last) if last.index == index => last.score += 1.0,
                    _ => list.push(Scored { index, score: 1.0 }),
                }
            }
        }
        for list in postings.values_mut() {
            let holding = list.len() as f64;
            let weight = ((count - holding + 0.5) / (holding + 0.5)).ln_1p();
            for Scored { index, score: frequency } in list {
                let length = sentences[*index].tokens().len() as f64 / mean;
                *frequency = weight * *frequency * (K1 + 1.0) / (*frequency + K1 * (1.0 - B + B * length));
            }
        }
        Self { postings, sentences: sentences.len() }
    }
}

impl Neighbours for Bm25 {
    /// Every sentence that shares a word with `sentence`, in the order in which they are found.
    fn near(&self, sentence: &Sentence) -> Vec<Scored> {
        let mut scores = vec![0.0; self.sentences];
        let mut found = Vec::new();
        let mut asked = HashSet::new();
        for word in sentence.words().map(str::to_lowercase) {
            let Some(list) = self.postings.get(&word) else { continue };
            if asked.insert(word) {
                for &Scored { index, score } in list {
                    if scores[index] == 0.0 {
                        found.push(index);
                    }
                    scores[index] += score;
                }
            }
        }
        found.into_iter().map(|index| Scored { index, score: scores[index] }).collect()
    }
}
