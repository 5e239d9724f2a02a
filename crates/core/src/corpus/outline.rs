//! The labels of a file without its texts: all that a score needs, in a fraction of the memory and time.

use std::{
    hash::{BuildHasher, Hasher},
    sync::Arc,
};

use ahash::{AHashMap, RandomState};

use super::{Conflicts, CorpusError, Fitter, ReadOptions, Reader, Record, Source, record::whole_tokens};
use crate::{Entity, Evidence};

/// The labels of the sentences of one or several files. Ids and words are there as 64-bit hashes only, which suffices to
/// match two files, but not to say what is wrong with them: where [`Self::read`] or [`Self::matched`] give nothing, a
/// [`Corpus`](super::Corpus) tells why.
///
/// ```
/// use std::path::Path;
/// use apprentice_core::corpus::{Outline, ReadOptions, Source};
/// let outline = |file: &str| {
///     let source = Source::bytes(Path::new("news.conll"), file);
///     Outline::read(&[source], &ReadOptions::default()).unwrap().unwrap()
/// };
/// let gold = outline("# id = a\nAnn B-PER\nwon O\n\n# id = b\nRome B-LOC\n");
/// let predicted = outline("# id = b\nRome B-ORG\n\n# id = a\nAnn O\nwon O\n");
/// assert_eq!(gold.entities[1][0].label.as_ref(), "LOC");
/// let matched = gold.matched(predicted).unwrap();
/// assert!(matched[0].is_empty());
/// assert_eq!(matched[1][0].label.as_ref(), "ORG");
/// assert!(gold.matched(outline("# id = a\nAnn O\nlost O\n\n# id = b\nRome B-LOC\n")).is_none());
/// ```
#[derive(Debug, Default)]
pub struct Outline {
    /// The entities of each sentence.
    pub entities: Vec<Vec<Entity>>,
    /// The document of each sentence, where the source tells.
    pub documents: Vec<Option<Arc<str>>>,
    /// How many tokens there are.
    pub tokens: usize,
    /// What the tags show about their scheme.
    pub evidence: Evidence,
    /// Which spans could not be taken as they are.
    pub conflicts: Conflicts,
    ids: Vec<u64>,
    words: Vec<u64>,
}

impl Outline {
    /// Reads files as [`Corpus::read`](super::Corpus::read) does. Nothing if a sentence is not labelled, spans are in
    /// conflict and none may be, or two sentences of a file seem to have the same id.
    ///
    /// # Errors
    /// [`CorpusError`], always with the file and where possible with the line.
    pub fn read(sources: &[Source], options: &ReadOptions) -> Result<Option<Self>, CorpusError> {
        let mut outline = Self::default();
        for source in sources {
            let start = outline.ids.len();
            let mut reader = Reader::open(source, options)?;
            let mut fitter = Fitter::sentences(options.on_conflict);
            for record in reader.by_ref() {
                let Some(record) = fitter.fit(record?) else { continue };
                if outline.add(&record).is_none() {
                    return Ok(None);
                }
            }
            let Ok(conflicts) = fitter.finish() else { return Ok(None) };
            outline.conflicts.extend(conflicts);
            outline.evidence.extend(reader.evidence());
            let mut ids = outline.ids[start..].to_vec();
            ids.sort_unstable();
            if ids.is_empty() || ids.array_windows().any(|[a, b]| a == b) {
                return Ok(None);
            }
        }
        Ok(Some(outline))
    }

    /// Nothing if the record is not labelled.
    fn add(&mut self, record: &Record) -> Option<()> {
        let (tokens, spans) = (record.tokens()?, record.spans()?);
        let entity = |span: &super::LabelledSpan| {
            Some(Entity { span: whole_tokens(tokens, span.span)?, label: span.label.clone() })
        };
        let mut entities: Vec<Entity> = spans.iter().map(entity).collect::<Option<_>>()?;
        entities.sort();
        let mut words = hasher();
        for &token in tokens {
            words.write(record.surface(token).as_bytes());
            // No text has this byte.
            words.write_u8(0xFF);
        }
        let mut id = hasher();
        id.write(record.id().as_bytes());
        self.ids.push(id.finish());
        self.words.push(words.finish());
        self.tokens += tokens.len();
        self.documents.push(record.document().cloned());
        self.entities.push(entities);
        Some(())
    }

    /// The entities of other labels for each sentence of this: by id where both have the same ids, else by order.
    /// Nothing if the sentences or their words are not the same.
    #[must_use]
    pub fn matched(&self, mut other: Self) -> Option<Vec<Vec<Entity>>> {
        if self.ids.len() != other.ids.len() {
            return None;
        }
        let places: AHashMap<u64, usize> =
            if self.ids == other.ids { AHashMap::new() } else { other.ids.iter().copied().zip(0..).collect() };
        let by_id: Option<Vec<usize>> = self.ids.iter().map(|id| places.get(id).copied()).collect();
        let Some(by_id) = by_id else {
            return (self.words == other.words).then_some(other.entities);
        };
        let same = self.words.iter().zip(&by_id).all(|(words, &place)| *words == other.words[place]);
        same.then(|| by_id.iter().map(|&place| std::mem::take(&mut other.entities[place])).collect())
    }
}

/// The same for all files.
fn hasher() -> impl Hasher {
    RandomState::with_seeds(1, 2, 3, 4).build_hasher()
}
