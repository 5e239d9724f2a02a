//! How good the teachers' labels are, by human ones of the same sentences.

use apprentice_core::{
    Entity, Scores, Sentence,
    metrics::{
        Confusion,
        uncertainty::{Intervals, Resampling, UnitCounts, bootstrap, paired_bootstrap},
    },
};
use serde::Serialize;

use super::{gather::Reader, pairs::Pair};
use crate::LabError;

/// A teacher's data set of which there are human labels too.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Teacher {
    /// The data set.
    pub data: String,
    /// The model and the prompt.
    pub teacher: String,
    /// How many sentences.
    pub sentences: usize,
    /// What they cost, in US dollars.
    pub dollars: Option<f64>,
    /// Against the human labels.
    pub scores: Scores,
    /// Over sentences.
    pub intervals: Option<Intervals>,
    /// Which type it took for which.
    pub confusion: Confusion,
    /// The hash of the gold: teachers can be compared where it is the same.
    pub gold: String,
    #[serde(skip)]
    pub(super) units: UnitCounts,
}

pub(super) fn all(reader: &mut Reader<'_>, resampling: &Resampling) -> Result<Vec<Teacher>, LabError> {
    let mut teachers = Vec::new();
    for (name, data) in &reader.grid.data {
        let Some(gold) = &data.gold else { continue };
        let (golden, taught) = (reader.kept(gold)?, reader.kept(&data.fingerprint)?);
        let [golden, taught] =
            [&golden, &taught].map(|all| all.iter().map(Sentence::entities).collect::<Vec<&[Entity]>>());
        let metrics = |source| LabError::Metrics { run: name.clone(), source };
        let units = UnitCounts::of_sentences(&golden, &taught).map_err(metrics)?;
        let drawn = resampling.resamples > 0;
        let known = reader.grid.experiment.data.get(name);
        teachers.push(Teacher {
            data: name.clone(),
            teacher: known.and_then(|data| data.teacher.clone()).unwrap_or_default(),
            sentences: golden.len(),
            dollars: known.and_then(|data| data.dollars),
            scores: units.scores(),
            intervals: if drawn { Some(bootstrap(&units, resampling)?) } else { None },
            confusion: Confusion::of(&golden, &taught).map_err(metrics)?,
            gold: gold.clone(),
            units,
        });
    }
    Ok(teachers)
}

impl Teacher {
    /// This less another; nothing where they are not measured on the same sentences, or nothing is drawn.
    pub(super) fn less(&self, other: &Self, resampling: &Resampling) -> Result<Option<Pair>, LabError> {
        if self.gold != other.gold || resampling.resamples == 0 {
            return Ok(None);
        }
        let tested = paired_bootstrap(&self.units, &other.units, resampling)?;
        Ok(Some(Pair::tested(&self.data, &other.data, None, tested)))
    }
}
