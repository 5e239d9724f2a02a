//! Everything about one or several systems on one test set, in one struct that serialises.
//!
//! A system has one run, or several that differ in the seed of their training. What is compared, and how, depends on that:
//!
//! | runs of the two systems | what could have come out otherwise | tests |
//! |---|---|---|
//! | one each | the choice of test sentences | [`paired_bootstrap`], [`approximate_randomisation`] |
//! | two or more each | the seeds | [`welch`]; also [`paired_t`] if there are as many of each, run by run |
//! | one, and several | | none: one run says nothing of how far seeds scatter |
//!
//! So a comparison of seeds holds for this test set, and one of single runs for these seeds. Runs are not pooled for a
//! resampling test, which would take the scatter of seeds for that of sentences. The paired t test assumes that run `i`
//! of both systems has the same seed; if that is not so, look at Welch's test only.
//!
//! The difference is that of the later system less the earlier one. p-values are two-sided; each is also given corrected
//! by [`holm`] over all comparisons of the report, for each measure and each test by itself. Macro F1 is
//! [`Scores::macro_union`] throughout.
//!
//! ```
//! use apprentice_core::{Entity, Provenance, Sentence, Span, metrics::report::{Gold, Predicted, Report, Settings}};
//! let entity = |a, b, label: &str| Entity { span: Span::new(a, b).unwrap(), label: label.into() };
//! let ann = Sentence::from_words("a", ["Ann", "Keller", "won", "in", "Rome", "."]);
//! let ann = ann.with_entities(vec![entity(0, 2, "PER"), entity(4, 5, "LOC")], Provenance::Original)?;
//! let gold = Gold::from(vec![ann]);
//! let predicted = |system: &str, seed: u32, entities| {
//!     Predicted { system: system.into(), run: format!("{system}-{seed}"), entities: vec![entities], confidences: vec![] }
//! };
//! let runs = [
//!     predicted("base", 1, vec![]),
//!     predicted("base", 2, vec![entity(0, 2, "PER")]),
//!     predicted("ours", 1, vec![entity(0, 2, "PER"), entity(4, 5, "LOC")]),
//!     predicted("ours", 2, vec![entity(0, 2, "PER"), entity(4, 5, "LOC")]),
//! ];
//! let report = Report::of(&gold, &runs, None, &Settings::default())?;
//! assert_eq!(report.systems[0].f1.summary.mean, (0.0 + 2.0 / 3.0) / 2.0);
//! assert_eq!(report.systems[1].runs[1].scores.micro.prf.f1, 1.0);
//! assert!((report.comparisons[0].f1.difference - 2.0 / 3.0).abs() < 1e-12);
//! assert_eq!(report.comparisons[0].f1.tests.len(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{
    Scores,
    breakdown::Surfaces,
    compare::MetricsError,
    uncertainty::{Interval, Intervals, Resampling, Summary, UncertaintyError, UnitCounts, bootstrap},
};
use crate::{Confidence, Entity, Sentence, corpus::Outline};

mod comparison;
mod details;

pub use comparison::{Compared, Comparison, Test, Tested};
pub use details::{Details, Listed};

// For the links of the text above.
#[cfg(doc)]
use super::uncertainty::{approximate_randomisation, holm, paired_bootstrap, paired_t, welch};

/// What a report holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Settings {
    /// For intervals and tests over test sentences; with 0 resamples there are none. The level is also that of
    /// intervals over seeds.
    pub resampling: Resampling,
    /// What is drawn.
    pub draw: Draw,
    /// Whether all systems are compared with each other, and not only each with the first.
    pub all_pairs: bool,
    /// Whether there are [`Details`].
    pub details: bool,
    /// How many mistakes of each kind are listed.
    pub mistakes: usize,
}

/// What is drawn for a resample, as one piece.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Draw {
    /// Sentences, as if they had nothing to do with each other.
    #[default]
    Sentence,
    /// Documents, whose sentences have.
    Document,
}

impl Draw {
    /// Their names.
    pub const NAMES: [&str; 2] = ["sentence", "document"];
}

impl FromStr for Draw {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Ok(match name {
            "sentence" => Self::Sentence,
            "document" => Self::Document,
            _ => return Err(format!("`{name}` cannot be drawn: expected one of {}", Self::NAMES.join(", "))),
        })
    }
}

/// What the systems are tested on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gold {
    /// The entities of each sentence.
    pub entities: Vec<Vec<Entity>>,
    /// The document of each sentence, where the source tells.
    pub documents: Vec<Option<Arc<str>>>,
    /// How many tokens there are.
    pub tokens: usize,
    /// The sentences themselves, for details and mistakes.
    pub sentences: Option<Vec<Sentence>>,
}

impl From<Vec<Sentence>> for Gold {
    fn from(sentences: Vec<Sentence>) -> Self {
        Self {
            entities: sentences.iter().map(|sentence| sentence.entities().to_vec()).collect(),
            documents: sentences.iter().map(|sentence| sentence.document().cloned()).collect(),
            tokens: sentences.iter().map(|sentence| sentence.tokens().len()).sum(),
            sentences: Some(sentences),
        }
    }
}

impl From<Outline> for Gold {
    fn from(Outline { entities, documents, tokens, .. }: Outline) -> Self {
        Self { entities, documents, tokens, sentences: None }
    }
}

/// What one run of a system predicts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Predicted {
    /// The name of the system; runs of the same name are one system under several seeds.
    pub system: String,
    /// The name of the run, such as its file.
    pub run: String,
    /// The entities of each gold sentence.
    pub entities: Vec<Vec<Entity>>,
    /// How sure the system is of each of them, for details; may be empty as a whole.
    pub confidences: Vec<Vec<Option<Confidence>>>,
}

impl Predicted {
    /// What a run predicts, given as sentences in the order of the gold.
    pub fn sentences<'s>(system: &str, run: &str, sentences: impl IntoIterator<Item = &'s Sentence>) -> Self {
        let of = |sentence: &Sentence| {
            let confidences = (0..sentence.entities().len()).map(|index| sentence.confidence(index)).collect();
            (sentence.entities().to_vec(), confidences)
        };
        let (entities, confidences) = sentences.into_iter().map(of).unzip();
        Self { system: system.to_owned(), run: run.to_owned(), entities, confidences }
    }
}

/// One or several systems on one test set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report<'a> {
    /// How it was made.
    pub settings: Settings,
    /// What the systems are tested on.
    pub test_set: TestSet,
    /// The systems in order of appearance.
    pub systems: Vec<System<'a>>,
    /// The systems with each other.
    pub comparisons: Vec<Comparison<'a>>,
}

/// How large a test set is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestSet {
    /// How many sentences.
    pub sentences: usize,
    /// How many documents; 0 if the sentences name none.
    pub documents: usize,
    /// How many tokens.
    pub tokens: usize,
    /// How many entities.
    pub entities: usize,
}

/// One system.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct System<'a> {
    /// Its name.
    pub name: &'a str,
    /// Micro precision.
    pub precision: Average,
    /// Micro recall.
    pub recall: Average,
    /// Micro F1.
    pub f1: Average,
    /// Macro F1 over all types.
    pub macro_f1: Average,
    /// F1 of each type that is in the gold or in the predictions of any run.
    pub f1_by_type: BTreeMap<Arc<str>, Summary>,
    /// Its runs.
    pub runs: Vec<Run<'a>>,
}

/// One number over the runs of a system.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Average {
    /// Mean and spread.
    #[serde(flatten)]
    pub summary: Summary,
    /// Of several runs, where the mean over all seeds may lie, from [`Summary::interval`]; of one, the interval over test
    /// sentences.
    pub interval: Option<Interval>,
}

/// One run of a system.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Run<'a> {
    /// Its name.
    pub name: &'a str,
    /// How good it is, by type and on average.
    pub scores: Scores,
    /// Intervals over test sentences.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intervals: Option<Intervals>,
    /// What is behind the scores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Details>,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mistakes: Option<Listed<'a>>,
}

/// Why there is no report.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum ReportError {
    /// Gold and predictions do not belong together.
    #[error("{run}: {source}")]
    Metrics {
        /// Which predictions.
        run: String,
        /// Why.
        source: MetricsError,
    },
    /// Details or mistakes are asked for without the sentences.
    #[error("details and mistakes show the texts: expected gold with its sentences")]
    NoSentences,
    /// No intervals or tests can be computed.
    #[error(transparent)]
    Uncertainty(#[from] UncertaintyError),
}

impl<'a> Report<'a> {
    /// Reports on runs of one or several systems. With the entities of the training set, details tell seen from unseen
    /// ones.
    ///
    /// # Errors
    /// [`ReportError`].
    pub fn of(
        gold: &'a Gold,
        predicted: &'a [Predicted],
        training: Option<&Surfaces>,
        settings: &Settings,
    ) -> Result<Self, ReportError> {
        let examiner =
            Examiner { gold, documents: gold.documents.iter().map(Option::as_deref).collect(), training, settings };
        let mut systems: Vec<System<'a>> = Vec::new();
        let mut units: Vec<Vec<UnitCounts>> = Vec::new();
        for Predicted { system: name, .. } in predicted {
            if !systems.iter().any(|known| known.name == name) {
                let runs: Vec<&Predicted> = predicted.iter().filter(|run| run.system == *name).collect();
                let (system, counts) = examiner.system(name, &runs)?;
                systems.push(system);
                units.push(counts);
            }
        }
        let comparisons = comparison::all(&systems, &units, settings)?;
        Ok(Self { settings: settings.clone(), test_set: examiner.test_set(), systems, comparisons })
    }
}

/// The test set and what is asked about predictions.
struct Examiner<'a, 'b> {
    gold: &'a Gold,
    documents: Vec<Option<&'a str>>,
    training: Option<&'b Surfaces>,
    settings: &'b Settings,
}

impl<'a> Examiner<'a, '_> {
    fn test_set(&self) -> TestSet {
        TestSet {
            sentences: self.gold.entities.len(),
            documents: self.documents.iter().flatten().collect::<BTreeSet<_>>().len(),
            tokens: self.gold.tokens,
            entities: self.gold.entities.iter().map(Vec::len).sum(),
        }
    }

    /// A system, with its counts for tests over test sentences.
    fn system(&self, name: &'a str, runs: &[&'a Predicted]) -> Result<(System<'a>, Vec<UnitCounts>), ReportError> {
        let (mut examined, mut units) = (Vec::new(), Vec::new());
        for run in runs {
            let (run, counts) = self.run(run)?;
            examined.push(run);
            units.extend(counts);
        }
        let average = |value: fn(&Scores) -> f64, interval: fn(&Intervals) -> Interval| {
            let values: Vec<f64> = examined.iter().map(|run| value(&run.scores)).collect();
            let summary = Summary::of(&values)?;
            let interval = match &examined[..] {
                [run] => run.intervals.as_ref().map(interval),
                _ => Some(summary.interval(self.settings.resampling.level)?),
            };
            Ok::<_, UncertaintyError>(Average { summary, interval })
        };
        let types: BTreeSet<&Arc<str>> = examined.iter().flat_map(|run| run.scores.per_type.keys()).collect();
        let of_type = |label: &Arc<str>| {
            let f1 = |run: &Run<'_>| run.scores.per_type.get(label).map_or(0.0, |score| score.prf.f1);
            Ok((label.clone(), Summary::of(&examined.iter().map(f1).collect::<Vec<_>>())?))
        };
        let system = System {
            name,
            precision: average(|scores| scores.micro.prf.precision, |intervals| intervals.precision)?,
            recall: average(|scores| scores.micro.prf.recall, |intervals| intervals.recall)?,
            f1: average(|scores| scores.micro.prf.f1, |intervals| intervals.f1)?,
            macro_f1: average(|scores| scores.macro_union.f1, |intervals| intervals.macro_f1)?,
            f1_by_type: types.into_iter().map(of_type).collect::<Result<_, UncertaintyError>>()?,
            runs: examined,
        };
        Ok((system, units))
    }

    fn run(&self, run: &'a Predicted) -> Result<(Run<'a>, Option<UnitCounts>), ReportError> {
        let Settings { resampling, draw, details: with_details, mistakes, .. } = *self.settings;
        let fits = |source| ReportError::Metrics { run: run.run.clone(), source };
        let predicted = &run.entities;
        let scores = super::entities(&self.gold.entities, predicted).map_err(fits)?;
        let units = match (resampling.resamples, draw) {
            (0, _) => None,
            (_, Draw::Sentence) => Some(UnitCounts::of_sentences(&self.gold.entities, predicted).map_err(fits)?),
            (_, Draw::Document) => {
                let sentences = UnitCounts::of_sentences(&self.gold.entities, predicted).map_err(fits)?;
                Some(sentences.by_document(&self.documents)?)
            }
        };
        let sentences = || self.gold.sentences.as_deref().ok_or(ReportError::NoSentences);
        let details = || Details::of(sentences()?, run, self.training).map_err(fits);
        let listed = || Listed::of(sentences()?, predicted, mistakes).map_err(fits);
        let examined = Run {
            name: &run.run,
            scores,
            intervals: units.as_ref().map(|units| bootstrap(units, &resampling)).transpose()?,
            details: with_details.then(details).transpose()?,
            mistakes: (mistakes > 0).then(listed).transpose()?,
        };
        Ok((examined, units))
    }
}
