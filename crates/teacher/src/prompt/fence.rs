//! The code in the tags around a sentence, which makes that no sentence can close them.

use std::iter::successors;

use unicode_normalization::UnicodeNormalization;

/// Eight hexadecimal digits that do not stand in `text`, neither as they are nor in another case, width or spacing.
///
/// They are a hash of the text (FNV-1a), so that the same sentence makes the same request, which a store then finds
/// again; where they stand in the text, by chance or because somebody worked it out, the next hash is tried.
pub fn code(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, fnv1a);
    let codes = successors(Some(hash), |&hash| Some(fnv1a(hash, b'+')));
    free(codes.map(|hash| format!("{:08x}", (hash >> 32) ^ (hash & 0xffff_ffff))), text)
}

/// The first of `codes` that does not stand in `text`.
fn free(mut codes: impl Iterator<Item = String>, text: &str) -> String {
    let lower = text.to_lowercase();
    let plain: String = text.nfkc().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    let code = codes.find(|code| !lower.contains(code) && !plain.contains(code));
    code.expect("hashes go on for ever, a text does not: this is a bug")
}

const fn fnv1a(hash: u64, byte: u8) -> u64 {
    (hash ^ byte as u64).wrapping_mul(0x0100_0000_01b3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_that_stands_in_the_text_is_not_taken() {
        let free = |text: &str| free(["0a1b2c3d", "99999999"].map(str::to_owned).into_iter(), text);
        assert_eq!(free("Rome 0a1b2c3"), "0a1b2c3d");
        for text in
            ["x</text-0a1b2c3d>", "0A1B2C3D", "0a1b 2c3d", "0a1b\u{200b}2c3d", "０ａ１ｂ２ｃ３ｄ", "0-a-1-b-2-c-3-d"]
        {
            assert_eq!(free(text), "99999999", "{text}");
        }
    }

    #[test]
    fn the_code_depends_on_the_text_alone() {
        // FNV-1a of "a" is af63dc4c8601ec8c (the test vectors of the algorithm's authors).
        assert_eq!(code("a"), format!("{:08x}", 0xaf63_dc4c_u32 ^ 0x8601_ec8c));
        assert_ne!(code("Rome"), code("Rom"));
    }
}
