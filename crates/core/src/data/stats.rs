//! Counting what is in a corpus, and saying what looks wrong.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use serde::Serialize;

use crate::{
    Evidence,
    corpus::{Conflicts, Record},
    tags::Certainty,
};

/// The distribution of a length.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// The arithmetic mean.
    pub mean: f64,
    /// Half are not longer (nearest rank, as the others).
    pub p50: usize,
    /// Nine of ten are not longer.
    pub p90: usize,
    /// 99 of 100 are not longer.
    pub p99: usize,
    /// The longest.
    pub max: usize,
}

impl Percentiles {
    fn of(lengths: &BTreeMap<usize, usize>) -> Self {
        let count: usize = lengths.values().sum();
        let total: usize = lengths.iter().map(|(length, count)| length * count).sum();
        let rank = |share: f64| {
            let wanted = (share * count as f64).ceil().max(1.0) as usize;
            let mut seen = 0;
            let reached = lengths.iter().find(|(_, count)| {
                seen += **count;
                seen >= wanted
            });
            reached.map_or(0, |(length, _)| *length)
        };
        let mean = if count == 0 { 0.0 } else { total as f64 / count as f64 };
        Self { mean, p50: rank(0.5), p90: rank(0.9), p99: rank(0.99), max: rank(1.0) }
    }
}

/// What there is of one entity type.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct TypeStats {
    /// Entities.
    pub entities: usize,
    /// Different surfaces among them.
    pub surfaces: usize,
    /// Lengths in tokens.
    pub tokens: Percentiles,
}

/// A surface that has several types.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ambiguous {
    /// The entity's text.
    pub surface: String,
    /// How often it has which type.
    pub types: BTreeMap<Arc<str>, usize>,
}

/// How much of one corpus is not in another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Unseen {
    /// The share of entities whose surface is no entity of the same type there, from 0 to 1; by type.
    pub by_type: BTreeMap<Arc<str>, f64>,
    /// The same for all entities.
    pub all: f64,
    /// Sentences whose text is there too.
    pub shared_sentences: usize,
}

/// What is in a corpus. Tokens, lengths in tokens and entities are those of whole tokens; a record without tokens is
/// tokenised before.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stats {
    /// Records.
    pub sentences: usize,
    /// Of them without labels.
    pub unlabelled: usize,
    /// Documents, where the corpus tells.
    pub documents: usize,
    /// Tokens.
    pub tokens: usize,
    /// Entities.
    pub entities: usize,
    /// By entity type.
    pub types: BTreeMap<Arc<str>, TypeStats>,
    /// Sentences' lengths in tokens.
    pub sentence_tokens: Percentiles,
    /// The scheme of the tags with how sure that is, if there are tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// Sentences whose text was there before.
    pub duplicates: usize,
    /// Of them those with other labels than before.
    pub inconsistent_duplicates: usize,
    /// How many surfaces have several types.
    pub ambiguous_surfaces: usize,
    /// Those that occur most often.
    pub ambiguous: Vec<Ambiguous>,
    /// Spans that are not whole tokens apart from each other.
    pub conflicts: Conflicts,
    /// What looks wrong.
    pub warnings: Vec<String>,
    #[serde(skip)]
    surfaces: HashMap<String, BTreeMap<Arc<str>, usize>>,
    #[serde(skip)]
    texts: HashMap<u128, u128>,
}

/// Counts records one by one.
#[derive(Debug, Default)]
pub struct StatsBuilder {
    sentences: usize,
    unlabelled: usize,
    documents: HashSet<Arc<str>>,
    tokens: usize,
    sentence_tokens: BTreeMap<usize, usize>,
    entity_tokens: BTreeMap<Arc<str>, BTreeMap<usize, usize>>,
    surfaces: HashMap<String, BTreeMap<Arc<str>, usize>>,
    texts: HashMap<u128, u128>,
    duplicates: usize,
    inconsistent: usize,
    odd_ends: usize,
}

impl StatsBuilder {
    /// Counts a record that fits sentences: it has tokens, and its spans are whole tokens apart from each other.
    pub fn add(&mut self, record: &Record) {
        self.sentences += 1;
        self.documents.extend(record.document().cloned());
        let tokens = record.tokens().unwrap_or_default();
        self.tokens += tokens.len();
        *self.sentence_tokens.entry(tokens.len()).or_default() += 1;
        let (text, labels) = super::merge::fingerprints(record);
        match self.texts.get(&text) {
            Some(before) => {
                self.duplicates += 1;
                self.inconsistent += usize::from(*before != labels);
            }
            None => drop(self.texts.insert(text, labels)),
        }
        let Some(spans) = record.spans() else {
            self.unlabelled += 1;
            return;
        };
        for span in spans {
            let first = tokens.partition_point(|token| token.end() <= span.span.start());
            let behind = tokens.partition_point(|token| token.start() < span.span.end());
            let lengths = self.entity_tokens.entry(span.label.clone()).or_default();
            *lengths.entry(behind - first).or_default() += 1;
            let surface = record.surface(span.span);
            self.odd_ends += usize::from(has_odd_ends(surface));
            let types = match self.surfaces.get_mut(surface) {
                Some(types) => types,
                None => self.surfaces.entry(surface.to_owned()).or_default(),
            };
            *types.entry(span.label.clone()).or_default() += 1;
        }
    }

    /// The counts, with what the reader found out.
    #[must_use]
    pub fn finish(self, evidence: &Evidence, conflicts: Conflicts) -> Stats {
        const LISTED: usize = 10;
        let types: BTreeMap<Arc<str>, TypeStats> = self
            .entity_tokens
            .iter()
            .map(|(label, lengths)| {
                let surfaces = self.surfaces.values().filter(|types| types.contains_key(label)).count();
                let stats = TypeStats { entities: lengths.values().sum(), surfaces, tokens: Percentiles::of(lengths) };
                (label.clone(), stats)
            })
            .collect();
        let ambiguous = |(surface, types): (&String, &BTreeMap<Arc<str>, usize>)| {
            (types.len() > 1).then(|| Ambiguous { surface: surface.clone(), types: types.clone() })
        };
        let mut several: Vec<Ambiguous> = self.surfaces.iter().filter_map(ambiguous).collect();
        several.sort_by_key(|a| (std::cmp::Reverse(a.types.values().sum::<usize>()), a.surface.clone()));
        let mut stats = Stats {
            sentences: self.sentences,
            unlabelled: self.unlabelled,
            documents: self.documents.len(),
            tokens: self.tokens,
            entities: types.values().map(|stats| stats.entities).sum(),
            types,
            sentence_tokens: Percentiles::of(&self.sentence_tokens),
            scheme: (evidence.tags() > 0).then(|| evidence.verdict().to_string()),
            duplicates: self.duplicates,
            inconsistent_duplicates: self.inconsistent,
            ambiguous_surfaces: several.len(),
            ambiguous: Vec::new(),
            conflicts,
            warnings: Vec::new(),
            surfaces: self.surfaces,
            texts: self.texts,
        };
        stats.warnings = stats.doubts(evidence, &several, self.odd_ends);
        several.truncate(LISTED);
        stats.ambiguous = several;
        stats
    }
}

impl Stats {
    /// How much of this corpus, say a test set, is not in another, say the training set.
    #[must_use]
    pub fn unseen_in(&self, other: &Self) -> Unseen {
        let (mut unseen, mut all) = (BTreeMap::<Arc<str>, usize>::new(), 0);
        for (surface, types) in &self.surfaces {
            let known = other.surfaces.get(surface);
            for (label, count) in types {
                if known.is_none_or(|types| !types.contains_key(label)) {
                    *unseen.entry(label.clone()).or_default() += count;
                    all += count;
                }
            }
        }
        let share = |part: usize, whole: usize| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        let of_type = |(label, stats): (&Arc<str>, &TypeStats)| {
            (label.clone(), share(unseen.get(label).copied().unwrap_or(0), stats.entities))
        };
        Unseen {
            by_type: self.types.iter().map(of_type).collect(),
            all: share(all, self.entities),
            shared_sentences: self.texts.keys().filter(|text| other.texts.contains_key(text)).count(),
        }
    }

    /// What looks wrong, in words.
    fn doubts(&self, evidence: &Evidence, ambiguous: &[Ambiguous], odd_ends: usize) -> Vec<String> {
        let mut doubts = Vec::new();
        let percent = |part: usize, whole: usize| 100.0 * part as f64 / whole.max(1) as f64;
        if evidence.tags() > 0 && matches!(evidence.verdict().certainty, Certainty::Broken { .. }) {
            doubts.push(format!("the tags break every scheme: {}; `data check` lists where", evidence.verdict()));
        }
        if self.conflicts.total() > 0 {
            doubts.push(format!("spans that are no entities of whole tokens: {}", self.conflicts));
        }
        if self.unlabelled > 0 && self.unlabelled < self.sentences {
            doubts.push(format!("{} sentences have no labels, the others have", self.unlabelled));
        }
        if percent(self.duplicates, self.sentences) >= 1.0 {
            doubts.push(format!(
                "{} sentences ({:.1} %) have the text of an earlier one: `data merge` leaves them out",
                self.duplicates,
                percent(self.duplicates, self.sentences)
            ));
        }
        if self.inconsistent_duplicates > 0 {
            doubts.push(format!("{} sentences repeat a text with other labels", self.inconsistent_duplicates));
        }
        for (first, second) in alike(self.types.keys()) {
            doubts.push(format!("the types {first} and {second} differ in case or punctuation only"));
        }
        let rare: Vec<&Ambiguous> = ambiguous.iter().filter(|a| is_suspicious(&a.types)).collect();
        if let Some(example) = rare.first() {
            doubts.push(format!(
                "{} surfaces nearly always have one type and rarely another, such as {:?} ({})",
                rare.len(),
                example.surface,
                example.types.iter().map(|(label, count)| format!("{label} {count}")).collect::<Vec<_>>().join(", ")
            ));
        }
        if odd_ends > 0 {
            doubts.push(format!("{odd_ends} entities start or end with one of , ; : ! ? or a blank"));
        }
        let long = self.types.values().map(|stats| stats.tokens.max).max().unwrap_or(0);
        if long > 15 {
            doubts.push(format!("the longest entity has {long} tokens"));
        }
        if self.sentence_tokens.max > 400 {
            doubts.push(format!(
                "the longest sentence has {} tokens: is each text a document? (--unit document splits it)",
                self.sentence_tokens.max
            ));
        }
        doubts
    }
}

fn has_odd_ends(surface: &str) -> bool {
    let odd = |c: char| matches!(c, ',' | ';' | ':' | '!' | '?') || c.is_whitespace();
    surface.starts_with(odd) || (surface.ends_with(odd) && surface.chars().count() > 1)
}

/// Ten times or more of one type, and at most a tenth of that of another.
fn is_suspicious(types: &BTreeMap<Arc<str>, usize>) -> bool {
    let most = types.values().copied().max().unwrap_or(0);
    most >= 10 && types.values().any(|&count| count * 10 <= most)
}

/// Pairs of types that a person would take for the same.
fn alike<'a>(labels: impl Iterator<Item = &'a Arc<str>>) -> Vec<(&'a str, &'a str)> {
    let mut seen: HashMap<String, &str> = HashMap::new();
    let mut pairs = Vec::new();
    for label in labels {
        let plain: String = label.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
        if let Some(first) = seen.insert(plain, label) {
            pairs.push((first, &**label));
        }
    }
    pairs
}
