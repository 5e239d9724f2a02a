//! From code points to bytes and back: what other tools count, and what Rust counts.

/// How often the position is noted, in characters.
const STRIDE: usize = 64;

/// Translates positions in one text, each in constant time.
pub(super) struct Offsets<'a> {
    text: &'a str,
    /// The byte at which every [`STRIDE`]-th character starts; empty for ASCII, where the two are the same.
    notes: Vec<usize>,
}

impl<'a> Offsets<'a> {
    pub fn new(text: &'a str) -> Self {
        let notes = if text.is_ascii() {
            Vec::new()
        } else {
            text.char_indices().step_by(STRIDE).map(|(byte, _)| byte).collect()
        };
        Self { text, notes }
    }

    /// The byte before character `at`, which may be the end of the text; `None` beyond.
    pub fn byte(&self, at: usize) -> Option<usize> {
        if self.notes.is_empty() {
            return (at <= self.text.len()).then_some(at);
        }
        let from = *self.notes.get(at / STRIDE).or(self.notes.last())?;
        let steps = at - (at / STRIDE).min(self.notes.len() - 1) * STRIDE;
        let mut behind = self.text[from..].char_indices().map(|(byte, _)| from + byte);
        if steps > STRIDE {
            return None;
        }
        behind.nth(steps).or_else(|| (self.text[from..].chars().count() == steps).then_some(self.text.len()))
    }

    /// The number of characters before a byte that is a character's boundary.
    pub fn character(&self, byte: usize) -> usize {
        if self.notes.is_empty() {
            return byte;
        }
        let note = self.notes.partition_point(|&note| note <= byte) - 1;
        note * STRIDE + self.text[self.notes[note]..byte].chars().count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for text in ["", "abc", "é", "añb🎉c", &"é".repeat(64), &"🎉x".repeat(200)] {
            let offsets = Offsets::new(text);
            let boundaries: Vec<usize> = text.char_indices().map(|(b, _)| b).chain([text.len()]).collect();
            for (character, &byte) in boundaries.iter().enumerate() {
                assert_eq!(offsets.byte(character), Some(byte), "{text:?} {character}");
                assert_eq!(offsets.character(byte), character, "{text:?} {byte}");
            }
            for beyond in [boundaries.len(), boundaries.len() + 64, usize::MAX] {
                assert_eq!(offsets.byte(beyond), None, "{text:?} {beyond}");
            }
        }
    }
}
