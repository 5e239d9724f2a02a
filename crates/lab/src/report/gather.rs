//! What the ledger has of an experiment.

use std::{collections::BTreeMap, rc::Rc};

use apprentice_core::{
    Entity, Scores, Sentence,
    metrics::{
        Score,
        breakdown::{self, Novelty, Surfaces},
        uncertainty::UnitCounts,
    },
};

use crate::{Curve, DataRef, Grid, GridSystem, LabError, Ledger, Record, State, subset};

/// All systems with their runs.
pub(super) struct Gathered {
    pub systems: Vec<Gathering>,
}

/// A system with what is done of it.
pub(super) struct Gathering {
    pub name: String,
    pub test: DataRef,
    /// In the order of the experiment's seeds; nothing where a run is not done.
    pub runs: Vec<Option<Done>>,
    /// Where each run stands.
    pub states: Vec<State>,
}

/// A finished run.
pub(super) struct Done {
    pub record: Record,
    pub curve: Curve,
    /// On test, counted anew from its predictions.
    pub scores: Scores,
    /// The same, sentence by sentence.
    pub units: UnitCounts,
    pub novelty: BTreeMap<Novelty, Score>,
}

/// Reads the ledger, each data set once.
pub(super) struct Reader<'a> {
    pub ledger: &'a Ledger,
    pub grid: &'a Grid,
    known: BTreeMap<String, Rc<Vec<Sentence>>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(ledger: &'a Ledger, grid: &'a Grid) -> Self {
        Self { ledger, grid, known: BTreeMap::new() }
    }

    /// The sentences that the ledger keeps under a fingerprint.
    pub(super) fn kept(&mut self, hash: &str) -> Result<Rc<Vec<Sentence>>, LabError> {
        if let Some(known) = self.known.get(hash) {
            return Ok(known.clone());
        }
        let sentences = Rc::new(self.ledger.sentences(hash)?);
        self.known.insert(hash.to_owned(), sentences.clone());
        Ok(sentences)
    }

    /// A data set as the run under a seed has it.
    pub(super) fn data(&mut self, data: &DataRef, seed: u64) -> Result<Rc<Vec<Sentence>>, LabError> {
        let Some(known) = self.grid.data.get(&data.name) else {
            let problem = format!("the ledger has no data set `{}`", data.name);
            return Err(self.grid.experiment.error(problem));
        };
        let all = self.kept(&known.fingerprint)?;
        Ok(match data.size {
            Some(size) => Rc::new(subset(&all, size, seed)),
            None => all,
        })
    }

    /// What a run predicts on the test set.
    pub(super) fn predicted(&self, id: &str) -> Result<Vec<Vec<Entity>>, LabError> {
        let sentences = self.ledger.predictions(id, "test")?;
        Ok(sentences.iter().map(|sentence| sentence.entities().to_vec()).collect())
    }

    pub(super) fn gather(&mut self) -> Result<Gathered, LabError> {
        let mut systems = Vec::new();
        for system in &self.grid.systems {
            let (mut runs, mut states) = (Vec::new(), Vec::new());
            for (id, &seed) in system.runs.iter().zip(&self.grid.experiment.seeds) {
                let done = self.done(system, id, seed)?;
                states.push(if done.is_some() { State::Done } else { self.ledger.state(id) });
                runs.push(done);
            }
            let (name, test) = (system.name.clone(), system.settings.test.clone());
            systems.push(Gathering { name, test, runs, states });
        }
        Ok(Gathered { systems })
    }

    fn done(&mut self, system: &GridSystem, id: &str, seed: u64) -> Result<Option<Done>, LabError> {
        let Some(record) = self.ledger.record(id)? else { return Ok(None) };
        let settings = &system.settings;
        let gold = self.data(&settings.test, seed)?;
        let predicted = self.predicted(id)?;
        let metrics = |source| LabError::Metrics { run: id.to_owned(), source };
        let entities: Vec<&[Entity]> = gold.iter().map(Sentence::entities).collect();
        let units = UnitCounts::of_sentences(&entities, &predicted).map_err(metrics)?;
        let scores = units.scores();
        if record.test.as_ref().is_some_and(|test| test.micro.counts != scores.micro.counts) {
            let problem =
                "its predictions have other scores than its result.json: delete it, and run the experiment again";
            return Err(LabError::Ledger { path: self.ledger.run(id), problem: problem.to_owned() });
        }
        let mut seen = Vec::new();
        for data in settings.original.iter().chain(&settings.distilled) {
            seen.push(self.data(data, seed)?);
        }
        let surfaces = Surfaces::of(seen.iter().flat_map(|sentences| sentences.iter()));
        let novelty = breakdown::by_novelty(&gold, &predicted, &surfaces).map_err(metrics)?;
        let curve = self.ledger.curve(id)?;
        Ok(Some(Done { record, curve, scores, units, novelty }))
    }
}

impl Gathering {
    /// The runs that are done.
    pub(super) fn done(&self) -> impl Iterator<Item = &Done> {
        self.runs.iter().flatten()
    }
}
