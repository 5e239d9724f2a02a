//! The random numbers of the scripts under `golden/`, and what they are used for on both sides.

use apprentice_core::Entity;

use crate::entity;

pub const TYPES: [&str; 5] = ["PER", "LOC", "ORG", "a-b", "X"];

/// A linear congruential generator, described in `golden/make_seqeval.py`.
pub struct Random(u32);

impl Random {
    pub fn new(set: usize) -> Self {
        Self(u32::try_from(set).unwrap())
    }

    pub fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 16) as usize % n
    }

    pub fn of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    pub fn types(&mut self) -> &'static [&'static str] {
        &TYPES[..=self.below(TYPES.len())]
    }

    /// Entities of a sentence of `length` tokens, sorted and apart.
    pub fn entities(&mut self, types: &[&str], length: usize) -> Vec<Entity> {
        let (mut entities, mut at) = (Vec::new(), 0);
        while at < length {
            if self.below(5) < 2 {
                at += 1;
            } else {
                let label = self.of(types);
                let end = length.min(at + self.of(&[1, 1, 2, 2, 3, 4]));
                entities.push(entity(at, end, label));
                at = end;
            }
        }
        entities
    }
}
