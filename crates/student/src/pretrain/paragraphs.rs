//! Text as a stream of paragraphs, in the order of the files, without those that came before.

use ahash::RandomState;
use apprentice_core::{
    CorpusError,
    corpus::{Format, ReadOptions, Reader, Source},
};

/// A paragraph, and whether a document begins with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Paragraph {
    pub text: String,
    pub begins_document: bool,
}

/// Hands on every paragraph of the sources that has not been seen; how many were.
///
/// In plain text a line is a paragraph, and an empty one ends a document; in all other formats a record is a document, and
/// the lines of its text are paragraphs.
///
/// # Errors
/// If a source cannot be read, or whatever `take` returns.
pub(super) fn each<E: From<CorpusError>>(
    sources: &[Source],
    options: &ReadOptions,
    mut take: impl FnMut(Paragraph) -> Result<(), E>,
) -> Result<u64, E> {
    let mut seen = Seen::new();
    let mut repeated = 0;
    for source in sources {
        let mut reader = Reader::open(source, options)?;
        let is_plain = reader.format() == Format::Text;
        let (mut last_line, mut pending) = (None, true);
        while let Some(record) = reader.next() {
            let record = record?;
            let line = reader.line();
            pending |= !is_plain || last_line.is_none_or(|last| line != last + 1);
            last_line = Some(line);
            for text in record.text().lines().map(str::trim).filter(|text| !text.is_empty()) {
                if seen.has(text) {
                    repeated += 1;
                } else {
                    take(Paragraph { text: text.to_owned(), begins_document: std::mem::take(&mut pending) })?;
                }
            }
        }
    }
    Ok(repeated)
}

/// Hashes of the paragraphs so far, in memory that does not grow: one that comes again is forgotten only when another of
/// the same place has come between, which for fewer paragraphs than there are places is rare.
struct Seen {
    places: Vec<u64>,
    hasher: RandomState,
}

impl Seen {
    /// 32 MiB.
    const PLACES: usize = 1 << 22;

    fn new() -> Self {
        Self { places: vec![0; Self::PLACES], hasher: RandomState::with_seeds(1, 2, 3, 4) }
    }

    fn has(&mut self, text: &str) -> bool {
        let hash = self.hasher.hash_one(text).max(1);
        std::mem::replace(&mut self.places[hash as usize % Self::PLACES], hash) == hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paragraphs(name: &str, content: &str) -> (Vec<(String, bool)>, u64) {
        let mut all = Vec::new();
        let source = Source::bytes(name.as_ref(), content);
        let repeated = each(&[source], &ReadOptions::unlabelled(), |paragraph| {
            all.push((paragraph.text, paragraph.begins_document));
            Ok::<_, CorpusError>(())
        });
        (all, repeated.unwrap())
    }

    #[test]
    fn documents_are_told_apart_and_repetitions_left_out() {
        let expected = [("A cat.", true), ("A dog.", false), ("A cow.", true), ("A hen.", false)];
        let expected: Vec<_> = expected.into_iter().map(|(text, begins)| (text.to_owned(), begins)).collect();
        let plain = "A cat.\n A dog.\n\n\nA cat.\nA cow.\nA dog.\nA hen.\n";
        assert_eq!(paragraphs("a.txt", plain), (expected.clone(), 2));
        let json = "{\"text\": \"A cat.\\nA dog.\"}\n{\"text\": \"A cat.\\n\\nA cow.\\nA dog.\\nA hen.\"}\n";
        assert_eq!(paragraphs("a.jsonl", json), (expected, 2));
    }
}
