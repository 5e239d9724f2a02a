//! How far labellers agree: humans with each other, prompt strategies, passes of one teacher.
//!
//! | measure | of | is 1 if all agree, and 0 |
//! |---|---|---|
//! | F1 of each pair | entities, one labeller's as gold and the other's as predictions: it is the same the other way round | if none is shared |
//! | Cohen's kappa of each pair (1960) | token labels | if the two agree as often as by chance, each with its own shares of labels |
//! | Fleiss' kappa (1971) | tokens that all have labelled | likewise, with the shares of all labellers together |
//! | Krippendorff's alpha (2004), nominal | tokens that two or more have labelled | likewise, corrected for small samples |
//!
//! A token's label is the type of its entity, or O. So two entities of one type side by side are, for the kappas and
//! alpha, the same as one, and most of what they measure is O: look at F1 first. Where a measure divides by zero, because
//! nothing is labelled by two or all labels are the same, there is none.
//!
//! With `p` the share of agreement and `e` that expected by chance, kappa is `(p - e) / (1 - e)`. For Cohen,
//! `e = Σ_k a_k b_k` with the labellers' shares of label `k`; for Fleiss, `p` is the share of agreeing pairs of labellers,
//! and `e = Σ_k s_k²` with the common shares. Alpha is `1 - D / E`: with `n_uk` labellers giving `k` to token `u`, of the
//! `m_u >= 2` that labelled it, and sums `n_k` and `n` over these tokens, `D = Σ_u Σ_{k≠l} n_uk n_ul / (m_u - 1)` and
//! `E = Σ_{k≠l} n_k n_l / (n - 1)`.
//!
//! ```
//! use apprentice_core::{Entity, Span, metrics::agreement};
//! let entity = |a, b, label: &str| Entity { span: Span::new(a, b).unwrap(), label: label.into() };
//! // Ann Keller won in Rome .
//! let first = [entity(0, 2, "PER"), entity(4, 5, "LOC")];
//! let second = [entity(0, 2, "PER"), entity(4, 5, "ORG")];
//! let agreed = agreement::between(&[6], &[vec![Some(&first[..])], vec![Some(&second[..])]])?;
//! assert_eq!(agreed.mean_f1, Some(0.5));
//! // 5 of 6 tokens agree, by chance 3/6 · 3/6 + 2/6 · 2/6 = 13/36.
//! assert_eq!(agreed.pairs[0].kappa.map(|kappa| (kappa * 23.0).round()), Some(17.0));
//! # Ok::<(), agreement::AgreementError>(())
//! ```

use std::{
    borrow::Borrow,
    collections::{BTreeMap, HashMap},
};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Entity, Provenance, Sentence, metrics};

/// How far two labellers agree, on the sentences that both have labelled.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// The one, counted from 0.
    pub first: usize,
    /// The other.
    pub second: usize,
    /// How many sentences both have labelled.
    pub sentences: usize,
    /// Micro F1 of their entities; none if neither has any.
    pub f1: Option<f64>,
    /// Cohen's kappa of token labels.
    pub kappa: Option<f64>,
}

/// How far labellers agree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// All pairs: 0 and 1, 0 and 2, …, 1 and 2, ….
    pub pairs: Vec<Pair>,
    /// The mean of the pairs' F1, of those that have one.
    pub mean_f1: Option<f64>,
    /// The mean of the pairs' kappas (Light 1971), of those that have one.
    pub mean_kappa: Option<f64>,
    /// Fleiss' kappa.
    pub fleiss_kappa: Option<f64>,
    /// Krippendorff's alpha.
    pub krippendorff_alpha: Option<f64>,
    /// How many tokens all have labelled: what Fleiss' kappa rests on.
    pub tokens_of_all: usize,
    /// How many tokens two or more have labelled: what alpha rests on.
    pub tokens_of_two: usize,
}

/// Labellings that do not belong together.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AgreementError {
    /// Nobody to agree with.
    #[error("{found} labellers: agreement needs at least 2")]
    Labellers {
        /// How many there are.
        found: usize,
    },
    /// Different numbers of sentences.
    #[error("labeller {labeller} (from 0) has {found} sentences: expected {expected}, the same for all")]
    Sentences {
        /// Which labeller, from 0.
        labeller: usize,
        /// How many it has.
        found: usize,
        /// How many there are.
        expected: usize,
    },
    /// Different numbers of tokens.
    #[error("labeller {labeller} (from 0), sentence {id}: {found} tokens, but {expected} for the first labeller")]
    Tokens {
        /// Which labeller, from 0.
        labeller: usize,
        /// The sentence's name.
        id: String,
        /// How many it has here.
        found: usize,
        /// How many for the first labeller.
        expected: usize,
    },
    /// An entity beyond the sentence's end, or on another one.
    #[error(
        "labeller {labeller}, sentence {sentence} (both from 0): entity {label} at tokens {start}..{end} overlaps another \
         or reaches beyond the {tokens} tokens: expected entities apart from each other and inside",
        label = entity.label, start = entity.span.start(), end = entity.span.end()
    )]
    Entity {
        /// Which labeller, from 0.
        labeller: usize,
        /// Which sentence, from 0.
        sentence: usize,
        /// The entity.
        entity: Entity,
        /// How many tokens the sentence has.
        tokens: usize,
    },
}

/// One labeller's entities in each sentence; `None` where it has not labelled the sentence.
pub type Labelling<'a> = Vec<Option<&'a [Entity]>>;

/// How far labellers of the same sentences agree; a sentence that is [`Provenance::Unlabelled`] counts as missing.
///
/// # Errors
/// [`AgreementError`] if there are not two labellers or their sentences have not the same numbers of tokens.
pub fn between_sentences<S: Borrow<Sentence>>(labellers: &[&[S]]) -> Result<Agreement, AgreementError> {
    let first = labellers.first().copied().unwrap_or_default();
    let tokens: Vec<usize> = first.iter().map(|sentence| sentence.borrow().tokens().len()).collect();
    for (labeller, sentences) in labellers.iter().enumerate() {
        for (sentence, &expected) in sentences.iter().zip(&tokens) {
            let sentence = sentence.borrow();
            let found = sentence.tokens().len();
            if found != expected {
                return Err(AgreementError::Tokens { labeller, id: sentence.id().to_owned(), found, expected });
            }
        }
    }
    let labelled = |s: &'_ Sentence| *s.provenance() != Provenance::Unlabelled;
    let labellings: Vec<Labelling<'_>> = labellers
        .iter()
        .map(|sentences| sentences.iter().map(S::borrow).map(|s| labelled(s).then(|| s.entities())).collect())
        .collect();
    between(&tokens, &labellings)
}

/// How far labellers agree on sentences with these numbers of tokens.
///
/// # Errors
/// [`AgreementError`] if there are not two labellers, or their entities do not fit the sentences.
pub fn between(tokens: &[usize], labellers: &[Labelling<'_>]) -> Result<Agreement, AgreementError> {
    if labellers.len() < 2 {
        return Err(AgreementError::Labellers { found: labellers.len() });
    }
    let labels = token_labels(tokens, labellers)?;
    let pairs: Vec<Pair> = (0..labellers.len())
        .flat_map(|first| (first + 1..labellers.len()).map(move |second| (first, second)))
        .map(|(first, second)| {
            let both: Vec<_> = labellers[first].iter().zip(&labellers[second]).filter_map(|(a, b)| a.zip(*b)).collect();
            let kappa = cohen_kappa(&labels[first], &labels[second]);
            Pair { first, second, sentences: both.len(), f1: f1(&both), kappa }
        })
        .collect();
    let places = Places::of(&labels);
    Ok(Agreement {
        mean_f1: mean(pairs.iter().filter_map(|pair| pair.f1)),
        mean_kappa: mean(pairs.iter().filter_map(|pair| pair.kappa)),
        fleiss_kappa: places.fleiss_kappa(labellers.len()),
        krippendorff_alpha: places.krippendorff_alpha(),
        tokens_of_all: places.labelled_by(labellers.len()).count(),
        tokens_of_two: places.labelled_by(2).count(),
        pairs,
    })
}

/// A token's label: 0 for O, otherwise the number of its type; `None` if the sentence is not labelled.
type Label = Option<usize>;

/// Each labeller's labels, all sentences end to end.
fn token_labels(tokens: &[usize], labellers: &[Labelling<'_>]) -> Result<Vec<Vec<Label>>, AgreementError> {
    let mut numbers = HashMap::new();
    let mut labels = Vec::with_capacity(labellers.len());
    for (labeller, sentences) in labellers.iter().enumerate() {
        if sentences.len() != tokens.len() {
            let (found, expected) = (sentences.len(), tokens.len());
            return Err(AgreementError::Sentences { labeller, found, expected });
        }
        let mut all: Vec<Label> = Vec::new();
        for (sentence, (entities, &tokens)) in sentences.iter().zip(tokens).enumerate() {
            let start = all.len();
            all.resize(start + tokens, entities.map(|_| 0));
            for entity in entities.unwrap_or_default() {
                let next = numbers.len() + 1;
                let number = *numbers.entry(&*entity.label).or_insert(next);
                match all[start..].get_mut(entity.span.range()) {
                    Some(free) if free.iter().all(|&label| label == Some(0)) => free.fill(Some(number)),
                    _ => {
                        let entity = entity.clone();
                        return Err(AgreementError::Entity { labeller, sentence, entity, tokens });
                    }
                }
            }
        }
        labels.push(all);
    }
    Ok(labels)
}

fn f1(both: &[(&[Entity], &[Entity])]) -> Option<f64> {
    let (first, second): (Vec<_>, Vec<_>) = both.iter().copied().unzip();
    let micro = metrics::entities(&first, &second).expect("as many of each: this is a bug").micro;
    (micro.counts.gold + micro.counts.predicted > 0).then_some(micro.prf.f1)
}

fn cohen_kappa(first: &[Label], second: &[Label]) -> Option<f64> {
    let mut shares: BTreeMap<usize, [f64; 2]> = BTreeMap::new();
    let (mut agreed, mut n) = (0.0, 0.0);
    for (a, b) in first.iter().zip(second).filter_map(|(a, b)| a.zip(*b)) {
        shares.entry(a).or_default()[0] += 1.0;
        shares.entry(b).or_default()[1] += 1.0;
        agreed += f64::from(u8::from(a == b));
        n += 1.0;
    }
    kappa(agreed / n, shares.values().map(|[a, b]| a / n * (b / n)).sum())
}

/// For each token that someone has labelled, how many gave it which label.
struct Places(Vec<Vec<(usize, f64)>>);

impl Places {
    fn of(labels: &[Vec<Label>]) -> Self {
        let tokens = labels.first().map_or(0, Vec::len);
        let counts = |token: usize| {
            let mut counts: Vec<(usize, f64)> = Vec::new();
            for label in labels.iter().filter_map(|labels| labels[token]) {
                match counts.iter_mut().find(|(known, _)| *known == label) {
                    Some((_, count)) => *count += 1.0,
                    None => counts.push((label, 1.0)),
                }
            }
            counts
        };
        Self((0..tokens).map(counts).collect())
    }

    /// The tokens that at least so many have labelled, with their number of labels.
    fn labelled_by(&self, least: usize) -> impl Iterator<Item = (&[(usize, f64)], f64)> {
        let with_sum = |counts: &'_ Vec<(usize, f64)>| counts.iter().map(|(_, count)| count).sum::<f64>();
        self.0
            .iter()
            .map(move |counts| (&counts[..], with_sum(counts)))
            .filter(move |&(_, labels)| labels >= least as f64)
    }

    fn fleiss_kappa(&self, labellers: usize) -> Option<f64> {
        let mut shares: BTreeMap<usize, f64> = BTreeMap::new();
        let (mut agreed, mut n) = (0.0, 0.0);
        for (counts, m) in self.labelled_by(labellers) {
            for &(label, count) in counts {
                *shares.entry(label).or_default() += count / m;
                agreed += count * (count - 1.0) / (m * (m - 1.0));
            }
            n += 1.0;
        }
        kappa(agreed / n, shares.values().map(|share| (share / n).powi(2)).sum())
    }

    fn krippendorff_alpha(&self) -> Option<f64> {
        let mut totals: BTreeMap<usize, f64> = BTreeMap::new();
        let mut disagreed = 0.0;
        for (counts, m) in self.labelled_by(2) {
            for &(label, count) in counts {
                *totals.entry(label).or_default() += count;
                disagreed += count * (m - count) / (m - 1.0);
            }
        }
        let n: f64 = totals.values().sum();
        let expected = totals.values().map(|count| count * (n - count)).sum::<f64>() / (n - 1.0);
        (expected > 0.0).then(|| 1.0 - disagreed / expected)
    }
}

/// `None` without tokens (0 / 0), and where all labels are the same, so that chance alone agrees always.
fn kappa(agreed: f64, expected: f64) -> Option<f64> {
    (agreed.is_finite() && expected < 1.0 - 1e-12).then(|| (agreed - expected) / (1.0 - expected))
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, n) = values.fold((0.0, 0.0), |(sum, n), value| (sum + value, n + 1.0));
    (n > 0.0).then(|| sum / n)
}
