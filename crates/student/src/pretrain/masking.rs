//! Which sub-words are hidden, and what stands in their places.

use std::ops::Range;

use rand::{RngExt, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::{imitated::words, store::Piece};

/// What is drawn from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mask {
    /// The part of the sub-words that is hidden.
    pub share: f64,
    /// The id of `[MASK]`.
    pub token: u32,
    /// Random sub-words come from the ids from this on.
    pub first: u32,
    /// Up to this, excluded.
    pub end: u32,
}

/// A sequence with hidden sub-words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Masked {
    /// What the model sees.
    pub ids: Vec<u32>,
    /// Where sub-words are hidden, ascending.
    pub places: Vec<usize>,
    /// What stood there.
    pub truth: Vec<u32>,
}

impl Mask {
    /// Hides whole words, drawn at random, until their sub-words are the share of all, at least one word: of the hidden
    /// sub-words 80 % become `[MASK]`, 10 % random ones, and 10 % stay (Devlin et al., "BERT", 2019, and its release with
    /// whole-word masking).
    pub(super) fn hide(&self, sequence: &[Piece], random: &mut ChaCha8Rng) -> Masked {
        let mut words: Vec<Range<usize>> = words(sequence).map(|(place, word)| place..place + word.len()).collect();
        words.shuffle(random);
        let wanted = ((self.share * sequence.len() as f64).round() as usize).max(1);
        let mut places = Vec::new();
        for word in words {
            // A word that would hide far too much is left to be seen.
            if places.is_empty() || places.len() + word.len() <= wanted {
                places.extend(word);
            }
            if places.len() >= wanted {
                break;
            }
        }
        places.sort_unstable();
        let mut ids: Vec<u32> = sequence.iter().map(|piece| piece.id).collect();
        let truth = places.iter().map(|&place| ids[place]).collect();
        for &place in &places {
            match random.random_range(0..10) {
                0 => {}
                1 => ids[place] = random.random_range(self.first..self.end),
                _ => ids[place] = self.token,
            }
        }
        Masked { ids, places, truth }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    const MASK: Mask = Mask { share: 0.15, token: 4, first: 5, end: 1000 };

    #[test]
    fn whole_words_are_hidden_in_the_right_parts() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        // Words of 1, 2 and 3 sub-words, with ids that are not drawn.
        let sequence: Vec<Piece> =
            (0..120).map(|n| Piece { id: 2000 + n, continues: ![0, 1, 3].contains(&(n % 6)) }).collect();
        let (mut hidden, mut masked, mut stayed) = (0, 0, 0);
        for _ in 0..500 {
            let Masked { ids, places, truth } = MASK.hide(&sequence, &mut random);
            assert!(places.is_sorted_by(|a, b| a < b));
            for (place, piece) in sequence.iter().enumerate() {
                let is_hidden = places.contains(&place);
                if !is_hidden {
                    assert_eq!(ids[place], piece.id);
                }
                if piece.continues {
                    assert_eq!(is_hidden, places.contains(&(place - 1)), "a part of a word is hidden");
                }
            }
            for (&place, &truth) in places.iter().zip(&truth) {
                assert_eq!(truth, sequence[place].id);
                hidden += 1;
                masked += usize::from(ids[place] == MASK.token);
                stayed += usize::from(ids[place] == truth);
            }
        }
        let part = |count: usize, of: usize| count as f64 / of as f64;
        assert!((0.14..=0.15).contains(&part(hidden, 500 * 120)), "{hidden}");
        assert!((0.78..0.82).contains(&part(masked, hidden)), "{masked} of {hidden}");
        assert!((0.08..0.12).contains(&part(stayed, hidden)), "{stayed} of {hidden}");
    }

    #[test]
    fn something_is_always_hidden() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let long: Vec<Piece> = (0..9).map(|n| Piece { id: 10 + n, continues: n > 0 }).collect();
        assert_eq!(MASK.hide(&long, &mut random).places.len(), 9);
        assert_eq!(MASK.hide(&long[..1], &mut random).places, [0]);
        assert!(MASK.hide(&[], &mut random).places.is_empty());
    }
}
