//! A random order of any number of things, in no memory.

/// A permutation of `0..len`, known by its seed.
///
/// A Feistel network of four rounds permutes the smallest square of a power of two that holds `len`; who lands outside goes
/// on until inside (cycle walking; Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002).
#[derive(Debug, Clone, Copy)]
pub(super) struct Shuffle {
    len: u64,
    half: u32,
    seed: u64,
}

impl Shuffle {
    pub(super) fn new(len: u64, seed: u64) -> Self {
        let bits = u64::BITS - len.saturating_sub(1).leading_zeros();
        Self { len, half: bits.div_ceil(2).max(1), seed }
    }

    /// Where `index`, which is below `len`, comes from.
    pub(super) fn at(&self, index: u64) -> u64 {
        let mask = (1_u64 << self.half) - 1;
        let mut place = index;
        loop {
            let (mut left, mut right) = (place >> self.half, place & mask);
            for round in 0..4 {
                (left, right) = (right, left ^ (mix(right ^ self.seed.rotate_left(round * 16)) & mask));
            }
            place = left << self.half | right;
            if place < self.len {
                return place;
            }
        }
    }
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_comes_once_in_another_order() {
        for len in [1, 2, 3, 7, 64, 1000, 4097] {
            let order = |seed| (0..len).map(|index| Shuffle::new(len, seed).at(index)).collect::<Vec<_>>();
            let mut sorted = order(5);
            sorted.sort_unstable();
            assert!(sorted.into_iter().eq(0..len), "{len}");
            if len >= 64 {
                assert_ne!(order(5), order(6));
                let stay = order(5).iter().enumerate().filter(|(index, place)| *index as u64 == **place).count();
                assert!(stay < 10, "{stay} of {len} stay where they are");
            }
        }
    }
}
