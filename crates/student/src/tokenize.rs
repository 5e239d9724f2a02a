//! From words to sub-words, in windows that fit the model.
//!
//! A sentence longer than the model's limit is cut into windows of whole words that overlap by about half. Every word
//! is *owned* by exactly one window, the one that shows most of its surroundings: its label is learned and predicted
//! there and nowhere else, so no word is lost and none counts twice.

use std::{
    collections::HashMap,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use ahash::AHashMap;
use apprentice_core::Sentence;
use apprentice_encoder::read_bounded;
use tokenizers::{
    AddedToken, Model, Tokenizer, TokenizerImpl, Trainer,
    models::wordpiece::{WordPiece, WordPieceTrainer},
    normalizers::BertNormalizer,
    pre_tokenizers::bert::BertPreTokenizer,
    processors::bert::BertProcessing,
};

use crate::{
    StudentError,
    foreign::{self, LARGEST_TOKENIZER},
};

/// A part of a sentence that the encoder sees at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Sub-word ids with the special tokens.
    pub ids: Vec<u32>,
    /// The words that this window owns, as indices into the sentence.
    pub words: Range<usize>,
    /// Where in `ids` the first sub-word of each owned word stands.
    pub rows: Vec<usize>,
}

/// A tokeniser with what surrounds every sequence.
#[derive(Debug, Clone)]
pub struct SubwordTokenizer {
    tokenizer: Tokenizer,
    prefix: Vec<u32>,
    suffix: Vec<u32>,
    unknown: u32,
}

/// The largest `vocab.txt`, and the largest of the other files beside a tokeniser, in bytes.
pub(crate) const LARGEST_VOCABULARY: u64 = 16 << 20;
pub(crate) const LARGEST_SETTINGS: u64 = 1 << 20;

/// Files that hold a vocabulary in a form that is not read.
const OTHER_VOCABULARIES: [&str; 5] =
    ["vocab.json", "merges.txt", "sentencepiece.bpe.model", "spiece.model", "tokenizer.model"];

/// The special tokens of BERT, in the order in which a fresh vocabulary lists them.
const SPECIAL_TOKENS: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

impl SubwordTokenizer {
    /// The tokeniser of a model directory: `tokenizer.json`, or else `vocab.txt` (lower-cased unless
    /// `tokenizer_config.json` says otherwise). The files are not trusted.
    ///
    /// # Errors
    /// If neither is there or the file cannot be used.
    pub fn read(directory: &Path) -> Result<Self, StudentError> {
        let json = directory.join("tokenizer.json");
        let vocabulary = directory.join("vocab.txt");
        if json.exists() {
            let text = read_bounded(&json, LARGEST_TOKENIZER)?;
            foreign::check(&text).map_err(|what| problem(&json, what))?;
            let text = foreign::with_leading_blanks(&text).unwrap_or(text);
            let tokenizer = guarded(|| Tokenizer::from_bytes(&text));
            let tokenizer = tokenizer.map_err(|e| problem(&json, format!("not a readable tokenizer: {e}")))?;
            Self::new(tokenizer).map_err(|what| problem(&json, what))
        } else if vocabulary.exists() {
            let text = read_bounded(&vocabulary, LARGEST_VOCABULARY)?;
            let text = String::from_utf8(text).map_err(|_| problem(&vocabulary, "not UTF-8".into()))?;
            let tokens: Vec<&str> = text.lines().map(str::trim_end).collect();
            let normalizer = normalizer(&directory.join("tokenizer_config.json"))?;
            Self::word_piece(&tokens, normalizer).map_err(|what| problem(&vocabulary, what))
        } else {
            let other = OTHER_VOCABULARIES.into_iter().find(|name| directory.join(name).exists());
            Err(StudentError::NoTokenizer { path: directory.to_owned(), other })
        }
    }

    /// A cased `WordPiece` tokeniser learned from the words of `sentences`, for a student from scratch; the same
    /// sentences give the same vocabulary.
    ///
    /// # Panics
    /// Never: the vocabulary it makes is one that it accepts.
    #[must_use]
    pub fn learn(sentences: &[Sentence], size: usize) -> Self {
        let mut characters: Vec<char> = sentences.iter().flat_map(|s| s.text().chars()).collect();
        characters.sort_unstable();
        characters.dedup();
        characters.retain(|c| !c.is_whitespace());
        Self::learn_with(&characters, sentences.iter().map(Sentence::text), size)
    }

    /// The same from texts, where words are spelt with these characters; what has others is unknown.
    ///
    /// # Panics
    /// Never: as [`Self::learn`].
    pub(crate) fn learn_with<S: AsRef<str> + Send>(
        characters: &[char],
        texts: impl Iterator<Item = S> + Send,
        size: usize,
    ) -> Self {
        // The trainer numbers characters in the order of a randomly seeded hash map, and breaks ties between pairs by
        // these numbers. Listing every character beforehand, as if it were special, makes the order ours.
        let pieces = characters.iter().flat_map(|c| [c.to_string(), format!("##{c}")]);
        let listed: Vec<AddedToken> = SPECIAL_TOKENS
            .into_iter()
            .map(str::to_owned)
            .chain(pieces)
            .map(|token| AddedToken::from(token, true))
            .collect();
        let mut trainer = WordPieceTrainer::builder()
            .vocab_size(size.max(listed.len()))
            .min_frequency(2)
            .show_progress(false)
            .limit_alphabet(characters.len())
            .initial_alphabet(characters.iter().copied().collect())
            .special_tokens(listed)
            .build();
        let splitter = bert(WordPiece::default(), cased());
        let mut model = WordPiece::default();
        trainer
            .feed(texts, |text| {
                let mut text = text.into();
                if let Some(normalizer) = splitter.get_normalizer() {
                    tokenizers::Normalizer::normalize(normalizer, &mut text)?;
                }
                let mut text = tokenizers::PreTokenizedString::from(text);
                if let Some(pre_tokenizer) = splitter.get_pre_tokenizer() {
                    tokenizers::PreTokenizer::pre_tokenize(pre_tokenizer, &mut text)?;
                }
                let splits = text.get_splits(tokenizers::OffsetReferential::Original, tokenizers::OffsetType::Byte);
                Ok(splits.into_iter().map(|(word, _, _)| word.to_owned()).collect())
            })
            .expect("BERT's splitting of text cannot fail: this is a bug");
        trainer.train(&mut model).expect("counting pairs cannot fail: this is a bug");
        let mut vocabulary: Vec<(String, u32)> = model.get_vocab().into_iter().collect();
        vocabulary.sort_unstable_by_key(|(_, id)| *id);
        let tokens: Vec<&str> = vocabulary.iter().map(|(token, _)| token.as_str()).collect();
        Self::word_piece(&tokens, cased()).expect("a learned vocabulary has all special tokens: this is a bug")
    }

    fn word_piece(tokens: &[&str], normalizer: BertNormalizer) -> Result<Self, String> {
        let ids: AHashMap<String, u32> =
            tokens.iter().enumerate().map(|(id, token)| ((*token).to_owned(), id as u32)).collect();
        let model = WordPiece::builder().vocab(ids).unk_token("[UNK]".into()).build();
        let mut tokenizer = bert(model.map_err(|e| e.to_string())?, normalizer);
        let id = |token: &str| {
            tokenizer.token_to_id(token).map(|id| (token.to_owned(), id)).ok_or(format!("has no token {token}"))
        };
        let processing = BertProcessing::new(id("[SEP]")?, id("[CLS]")?);
        tokenizer.with_post_processor(Some(processing));
        let special = SPECIAL_TOKENS.map(|token| AddedToken::from(token, true));
        // Only those that the vocabulary has: adding others would make ids that the encoder does not embed.
        let known: Vec<AddedToken> = special.into_iter().filter(|t| tokens.contains(&t.content.as_str())).collect();
        tokenizer.add_special_tokens(&known);
        Self::new(tokenizer.into())
    }

    fn new(mut tokenizer: Tokenizer) -> Result<Self, String> {
        // Files may ask for cutting and padding; here windows do the one and nothing does the other.
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|e| e.to_string())?;
        let encode = |special| guarded(|| tokenizer.encode(vec!["a"], special));
        let (bare, whole) = (encode(false)?, encode(true)?);
        if bare.is_empty() {
            return Err("makes nothing of the word `a`".into());
        }
        let start = whole.get_special_tokens_mask().iter().take_while(|mask| **mask == 1).count();
        let (prefix, rest) = whole.get_ids().split_at(start);
        let suffix = rest.strip_prefix(bare.get_ids()).filter(|suffix| {
            let mask = whole.get_special_tokens_mask();
            mask[mask.len() - suffix.len()..].iter().all(|mask| *mask == 1)
        });
        let suffix = suffix.ok_or("does not keep the text once, as it is, between its special tokens")?;
        if whole.get_type_ids().iter().any(|id| *id != 0) {
            return Err("puts a sentence into another segment than the first".into());
        }
        let unknown = ["[UNK]", "<unk>"].iter().find_map(|token| tokenizer.token_to_id(token));
        Ok(Self {
            prefix: prefix.to_vec(),
            suffix: suffix.to_vec(),
            unknown: unknown.ok_or("has no token [UNK] or <unk> for words that it cannot spell")?,
            tokenizer,
        })
    }

    /// The largest id that it can give.
    #[must_use]
    pub fn largest_id(&self) -> u32 {
        let special = self.prefix.iter().chain(&self.suffix).copied();
        self.tokenizer.get_vocab(true).into_values().chain(special).max().unwrap_or(0)
    }

    /// The tokens in the order of their ids.
    #[must_use]
    pub fn vocabulary(&self) -> Vec<String> {
        let mut tokens: Vec<(String, u32)> = self.tokenizer.get_vocab(true).into_iter().collect();
        tokens.sort_unstable_by_key(|(_, id)| *id);
        tokens.into_iter().map(|(token, _)| token).collect()
    }

    /// The content of a `tokenizer.json`.
    ///
    /// # Errors
    /// If the tokeniser cannot be written down.
    pub fn to_json(&self) -> Result<String, StudentError> {
        self.tokenizer.to_string(true).map_err(|e| problem(Path::new("tokenizer.json"), e.to_string()))
    }

    /// The windows of every sentence, each of at most `max_length` sub-words with the special tokens.
    ///
    /// # Errors
    /// If `max_length` leaves no room for a sub-word, or the tokeniser fails on a word, which is named.
    pub fn windows(&self, sentences: &[Sentence], max_length: usize) -> Result<Vec<Vec<Window>>, StudentError> {
        let known = self.vocabulary_of(sentences)?;
        let special = self.prefix.len() + self.suffix.len();
        let limit = max_length.checked_sub(special).filter(|limit| *limit > 0).ok_or(StudentError::Setting {
            setting: "max_length",
            found: max_length.to_string(),
            expected: "room for the special tokens and one sub-word",
        })?;
        Ok(sentences
            .iter()
            .map(|sentence| {
                let words: Vec<&[u32]> = sentence.words().map(|w| &known[w][..known[w].len().min(limit)]).collect();
                let lengths: Vec<usize> = words.iter().map(|w| w.len()).collect();
                cut(&lengths, limit).into_iter().map(|cut| self.window(&words, cut)).collect()
            })
            .collect())
    }

    /// The sub-words of running texts, without special tokens: of each its id, and whether it goes on with the word of the one
    /// before it.
    ///
    /// # Errors
    /// If the tokeniser fails.
    pub(crate) fn running(&self, texts: Vec<String>) -> Result<Vec<Vec<(u32, bool)>>, StudentError> {
        let encodings = guarded(|| self.tokenizer.encode_batch(texts, false))
            .map_err(|e| problem(Path::new("tokenizer.json"), format!("fails on a text: {e}")))?;
        let pieces = |encoding: tokenizers::Encoding| {
            let words = encoding.get_word_ids();
            let goes_on = (0..words.len()).map(|at| at > 0 && words[at].is_some() && words[at] == words[at - 1]);
            encoding.get_ids().iter().copied().zip(goes_on).collect()
        };
        Ok(encodings.into_iter().map(pieces).collect())
    }

    /// The id of a token, if there is one.
    pub(crate) fn id_of(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token)
    }

    /// What stands before and behind every sequence.
    pub(crate) fn surroundings(&self) -> (&[u32], &[u32]) {
        (&self.prefix, &self.suffix)
    }

    /// How many sub-words the words of these sentences have, special tokens not counted.
    ///
    /// # Errors
    /// If the tokeniser fails on a word, which is named.
    pub fn subword_count(&self, sentences: &[Sentence]) -> Result<usize, StudentError> {
        let known = self.vocabulary_of(sentences)?;
        Ok(sentences.iter().flat_map(Sentence::words).map(|word| known[word].len()).sum())
    }

    /// The sub-words of every word: they do not depend on its neighbours, and texts repeat their words.
    fn vocabulary_of<'s>(&self, sentences: &'s [Sentence]) -> Result<HashMap<&'s str, Vec<u32>>, StudentError> {
        let mut known: HashMap<&str, Vec<u32>> = HashMap::new();
        for word in sentences.iter().flat_map(Sentence::words) {
            if !known.contains_key(word) {
                known.insert(word, self.subwords(word)?);
            }
        }
        Ok(known)
    }

    /// Of one word, without special tokens: at least one sub-word.
    pub(crate) fn subwords(&self, word: &str) -> Result<Vec<u32>, StudentError> {
        let encoding = guarded(|| self.tokenizer.encode(vec![word], false))
            .map_err(|e| problem(Path::new("tokenizer.json"), format!("fails on the word {word:?}: {e}")))?;
        let ids = encoding.get_ids();
        // A word of nothing but characters that normalisation removes still is a word with a label.
        Ok(if ids.is_empty() { vec![self.unknown] } else { ids.to_vec() })
    }

    fn window(&self, words: &[&[u32]], cut: Cut) -> Window {
        let mut ids = self.prefix.clone();
        let mut rows = Vec::with_capacity(cut.owned.len());
        for index in cut.seen {
            if cut.owned.contains(&index) {
                rows.push(ids.len());
            }
            ids.extend_from_slice(words[index]);
        }
        ids.extend_from_slice(&self.suffix);
        Window { ids, words: cut.owned, rows }
    }
}

/// What crate `tokenizers` gives, or why not. It panics where steps of a strange tokeniser lengthen a word or leave
/// nothing of it before others; that is an error of the file like any other. (The panic hook still sees it.)
fn guarded<T>(work: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    // Nothing of a tokeniser is half changed by then: it is only read, but for a cache that takes whole entries.
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|e| e.to_string()),
        Err(_) => Err("its steps do not fit each other: crate `tokenizers` panicked".into()),
    }
}

fn problem(path: &Path, problem: String) -> StudentError {
    StudentError::Tokenizer { path: path.to_owned(), problem }
}

/// What a `tokenizer_config.json` asks for; BERT's defaults if it says nothing or is not there.
fn normalizer(path: &Path) -> Result<BertNormalizer, StudentError> {
    if !path.exists() {
        return Ok(BertNormalizer::default());
    }
    let text = read_bounded(path, LARGEST_SETTINGS)?;
    let config: serde_json::Value =
        serde_json::from_slice(&text).map_err(|source| StudentError::Json { path: path.to_owned(), source })?;
    let flag = |key| config.get(key).and_then(serde_json::Value::as_bool);
    Ok(BertNormalizer::new(
        true,
        flag("tokenize_chinese_chars").unwrap_or(true),
        flag("strip_accents"),
        flag("do_lower_case").unwrap_or(true),
    ))
}

/// The text handling of a fresh vocabulary: case and accents are kept.
fn cased() -> BertNormalizer {
    BertNormalizer::new(true, true, Some(false), false)
}

type BertTokenizer = TokenizerImpl<
    WordPiece,
    BertNormalizer,
    BertPreTokenizer,
    BertProcessing,
    tokenizers::decoders::wordpiece::WordPiece,
>;

/// BERT's text handling around a vocabulary.
fn bert(model: WordPiece, normalizer: BertNormalizer) -> BertTokenizer {
    let mut tokenizer = TokenizerImpl::new(model);
    tokenizer
        .with_normalizer(Some(normalizer))
        .with_pre_tokenizer(Some(BertPreTokenizer))
        .with_decoder(Some(tokenizers::decoders::wordpiece::WordPiece::default()));
    tokenizer
}

/// Which words a window sees and which of them it owns.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cut {
    seen: Range<usize>,
    owned: Range<usize>,
}

/// Cuts words of the given numbers of sub-words into windows of at most `limit` sub-words.
fn cut(lengths: &[usize], limit: usize) -> Vec<Cut> {
    let mut cuts: Vec<Cut> = Vec::new();
    let mut start = 0;
    loop {
        let fits = |from: usize, most: usize| {
            let sums = lengths[from..].iter().scan(0, |sum, n| {
                *sum += n;
                Some(*sum)
            });
            from + sums.take_while(|sum| *sum <= most).count()
        };
        let end = fits(start, limit);
        // In the overlap, a word belongs to the window in which it is farther from the edge.
        let border = cuts.last_mut().map_or(0, |last| {
            let border = usize::midpoint(start, last.seen.end);
            last.owned.end = border;
            border
        });
        cuts.push(Cut { seen: start..end, owned: border..end });
        if end == lengths.len() {
            return cuts;
        }
        // The next window starts with the longest tail of this one that fills at most half of it.
        let mut next = end;
        let mut overlap = 0;
        while next > start + 1 && overlap + lengths[next - 1] <= limit / 2 {
            next -= 1;
            overlap += lengths[next];
        }
        start = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_sentence_is_one_window() {
        assert_eq!(cut(&[1, 2, 3], 6), [Cut { seen: 0..3, owned: 0..3 }]);
        assert_eq!(cut(&[], 6), [Cut { seen: 0..0, owned: 0..0 }]);
    }

    #[test]
    fn a_long_sentence_is_cut_with_overlap() {
        let cuts = cut(&[1; 10], 4);
        let expected = [(0..4, 0..3), (2..6, 3..5), (4..8, 5..7), (6..10, 7..10)];
        assert_eq!(cuts, expected.map(|(seen, owned)| Cut { seen, owned }));
    }

    #[test]
    fn every_word_is_owned_once_and_every_window_fits() {
        let mut state = 7_u32;
        for _ in 0..2000 {
            let mut random = |n: u32| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                ((state >> 16) % n) as usize
            };
            let limit = 1 + random(20);
            let lengths: Vec<usize> = (0..random(60)).map(|_| 1 + random(limit as u32)).collect();
            let cuts = cut(&lengths, limit);
            let mut next = 0;
            for cut in &cuts {
                assert_eq!(cut.owned.start, next, "{lengths:?} by {limit}: {cuts:?}");
                assert!(cut.seen.start <= cut.owned.start && cut.owned.end <= cut.seen.end);
                assert!(lengths[cut.seen.clone()].iter().sum::<usize>() <= limit);
                next = cut.owned.end;
            }
            assert_eq!(next, lengths.len(), "{lengths:?} by {limit}: {cuts:?}");
        }
    }
}
