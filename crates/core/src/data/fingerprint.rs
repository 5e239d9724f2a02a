//! Texts by a number, where holding them all would cost too much.

use std::hash::Hash;

use ahash::RandomState;

/// 128 bits of a value, the same in every run of one build. Two different texts among a billion have the same ones with
/// a probability below 10⁻²⁰.
pub(super) fn of(value: impl Hash) -> u128 {
    let half = |seed: u64| {
        RandomState::with_seeds(seed, 0x9E37_79B9_7F4A_7C15, 0xD1B5_4A32_D192_ED03, 0x94D0_49BB).hash_one(&value)
    };
    u128::from(half(1)) << 64 | u128::from(half(2))
}

/// 128 bits of a text without its white space: the same for a text and for its words joined by blanks.
pub(super) fn of_text(text: &str) -> u128 {
    of(text.split_whitespace().collect::<String>())
}
