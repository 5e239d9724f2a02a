//! From corpora to tokenised sequences on disk.

use std::{collections::BTreeMap, path::Path};

use apprentice_core::corpus::{ReadOptions, Source, text::split_sentences};

use super::{
    paragraphs,
    store::{Piece, Store, StoreWriter},
};
use crate::{StudentError, tokenize::SubwordTokenizer};

/// Of so many stretches the first is held out, until there are [`HELD_OUT`] sequences. A stretch is a document, or so many
/// sentences of one: text may have no documents.
const EVERY: u64 = 100;
const STRETCH: usize = 200;
/// Sequences that are held out.
const HELD_OUT: u64 = 500;
/// Characters that words of a fresh vocabulary are spelt with, at most: the most frequent.
const CHARACTERS: usize = 1000;
/// Sentences that are tokenised at a time.
const CHUNK: usize = 4096;

/// Tokenised text: what is learnt from, and what is held out to measure by.
pub(super) struct Text {
    pub training: Store,
    pub held_out: Store,
}

impl Text {
    const NAMES: [&'static str; 2] = ["training", "held-out"];

    /// What [`Self::make`] left in a directory.
    pub(super) fn open(directory: &Path) -> Result<Self, StudentError> {
        let [training, held_out] = Self::NAMES.map(|name| Store::open(&directory.join(name)));
        Ok(Self { training: training?, held_out: held_out? })
    }

    /// Tokenises the sources into sequences of whole sentences, up to `limit` sub-words, none of two documents; a sentence that
    /// is longer is cut between words. Gives the paragraphs that were left out because they had come before.
    pub(super) fn make(
        sources: &[Source],
        options: &ReadOptions,
        tokenizer: &SubwordTokenizer,
        limit: usize,
        directory: &Path,
    ) -> Result<(Self, u64), StudentError> {
        let [training, held_out] = Self::NAMES.map(|name| StoreWriter::create(&directory.join(name)));
        let mut packer =
            Packer { training: training?, held_out: held_out?, limit, current: Vec::new(), stretches: 0, sentences: 0 };
        let mut pending: Vec<(String, bool)> = Vec::new();
        let mut flush = |pending: &mut Vec<(String, bool)>| {
            let (texts, begin): (Vec<String>, Vec<bool>) = pending.drain(..).unzip();
            for (pieces, begins_document) in tokenizer.running(texts)?.into_iter().zip(begin) {
                packer.sentence(&pieces, begins_document)?;
            }
            Ok::<_, StudentError>(())
        };
        let repeated = paragraphs::each(sources, options, |paragraph| {
            let mut begins_document = paragraph.begins_document;
            for sentence in split_sentences(&paragraph.text) {
                pending.push((paragraph.text[sentence.range()].to_owned(), std::mem::take(&mut begins_document)));
            }
            if pending.len() >= CHUNK { flush(&mut pending) } else { Ok(()) }
        })?;
        flush(&mut pending)?;
        packer.end()?;
        Ok((Self { training: packer.training.finish()?, held_out: packer.held_out.finish()? }, repeated))
    }
}

/// Fills sequences.
struct Packer {
    training: StoreWriter,
    held_out: StoreWriter,
    limit: usize,
    current: Vec<Piece>,
    stretches: u64,
    /// Of this stretch.
    sentences: usize,
}

impl Packer {
    fn sentence(&mut self, pieces: &[(u32, bool)], begins_document: bool) -> Result<(), StudentError> {
        let begins_stretch = begins_document || self.sentences == STRETCH;
        if begins_stretch || self.current.len() + pieces.len() > self.limit {
            self.end()?;
        }
        if begins_stretch {
            self.stretches += 1;
            self.sentences = 0;
        }
        self.sentences += 1;
        let mut rest = pieces;
        while rest.len() > self.limit {
            let word_starts = |&at: &usize| !rest[at].1;
            // A word that is longer than a sequence is cut.
            let cut = (1..=self.limit).rev().find(word_starts).unwrap_or(self.limit);
            self.push(&rest[..cut]);
            self.end()?;
            rest = &rest[cut..];
        }
        self.push(rest);
        Ok(())
    }

    fn push(&mut self, pieces: &[(u32, bool)]) {
        self.current.extend(pieces.iter().map(|&(id, continues)| Piece { id, continues }));
    }

    /// Ends the sequence, if one was begun.
    fn end(&mut self) -> Result<(), StudentError> {
        if self.current.is_empty() {
            return Ok(());
        }
        let is_held_out = self.stretches % EVERY == 1 && self.held_out.sequences() < HELD_OUT;
        let to = if is_held_out { &mut self.held_out } else { &mut self.training };
        to.push(&self.current)?;
        self.current.clear();
        Ok(())
    }
}

/// A cased `WordPiece` vocabulary of the words of the sources; the same text gives the same vocabulary.
pub(super) fn learn_vocabulary(
    sources: &[Source],
    options: &ReadOptions,
    size: usize,
) -> Result<SubwordTokenizer, StudentError> {
    let mut counts: BTreeMap<char, u64> = BTreeMap::new();
    paragraphs::each(sources, options, |paragraph| {
        for character in paragraph.text.chars().filter(|c| !c.is_whitespace()) {
            *counts.entry(character).or_default() += 1;
        }
        Ok::<_, StudentError>(())
    })?;
    let mut by_count: Vec<(char, u64)> = counts.into_iter().collect();
    by_count.sort_by_key(|&(character, count)| (std::cmp::Reverse(count), character));
    // Each character is two sub-words: they may take up half of the vocabulary.
    by_count.truncate(CHARACTERS.min(size / 4));
    let mut characters: Vec<char> = by_count.into_iter().map(|(character, _)| character).collect();
    characters.sort_unstable();

    let (send, receive) = std::sync::mpsc::sync_channel(CHUNK);
    std::thread::scope(|scope| {
        let reading = scope.spawn(move || {
            paragraphs::each(sources, options, |paragraph| {
                // Nobody listens any more only if counting has failed, which it cannot.
                let _ = send.send(paragraph.text);
                Ok::<_, StudentError>(())
            })
        });
        let tokenizer = SubwordTokenizer::learn_with(&characters, receive.into_iter(), size);
        reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).map(|_| tokenizer)
    })
}
