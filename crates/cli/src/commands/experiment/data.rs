//! An experiment's sentences, and the runs that follow from them.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    env,
    path::PathBuf,
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use apprentice_core::{Corpus, Sentence};
use apprentice_encoder::NetworkOptions;
use apprentice_lab::{
    DataRef, DataSet, Experiment, Grid, GridData, GridSystem, Part, Question, Run, RunSettings, fingerprint,
    fingerprint_model, subset,
};
use apprentice_student::{Student, TrainSettings, Trainer, TrainingData, TrainingPool};

use crate::{
    commands::{models, train},
    inputs,
    progress::Progress,
};

/// An experiment, ready to run.
pub struct Prepared {
    pub grid: Grid,
    /// All runs by their ids.
    pub runs: BTreeMap<String, Run>,
    labels: BTreeSet<Arc<str>>,
    sets: Sets,
}

type Sets = BTreeMap<String, Set>;

struct Set {
    sentences: Vec<Sentence>,
    gold: Option<Vec<Sentence>>,
}

impl Prepared {
    /// Reads the data, and works out what each run is.
    pub fn new(experiment: Experiment, progress: Progress) -> Result<Self> {
        let mut systems = experiment.systems()?;
        let asked = experiment.questions.iter().flat_map(|question| match question {
            Question::Teacher { data, .. } => data.as_slice(),
            _ => &[],
        });
        let used = systems.iter().flat_map(|system| system.settings.data()).map(|data| &data.name).chain(asked);
        let used: BTreeSet<String> = used.cloned().collect();
        let (sets, labels) = read(&experiment, used, progress)?;

        systems.retain(|system| {
            let short = system.settings.data().find(|data| {
                let there = sets[&data.name].sentences.len();
                data.size.is_some_and(|size| size > there)
            });
            if let Some(data) = short {
                let there = sets[&data.name].sentences.len();
                progress.note(format_args!("{}: left out, `{data}` has only {there} sentences", system.name));
            }
            short.is_none()
        });
        if systems.is_empty() {
            bail!("experiment {}: no system is left", experiment.name);
        }
        let mut preparing = Preparing { sets: &sets, labels: &labels, hashes: BTreeMap::new() };
        let (mut runs, mut in_grid) = (BTreeMap::new(), Vec::new());
        for (at, system) in systems.iter().enumerate() {
            let mut ids = Vec::new();
            for &seed in &experiment.seeds {
                let run = preparing.run(&system.settings, seed).with_context(|| format!("system {}", system.name))?;
                ids.push(run.id.clone());
                runs.insert(run.id.clone(), run);
            }
            let control = if experiment.control.is_empty() {
                None
            } else {
                experiment.changed(&systems, at, &experiment.control)?
            };
            in_grid.push(GridSystem {
                name: system.name.clone(),
                settings: system.settings.clone(),
                control,
                runs: ids,
            });
        }
        let data = sets.iter().map(|(name, set)| (name.clone(), set.facts())).collect();
        let command = env::args().collect::<Vec<_>>().join(" ");
        Ok(Self { grid: Grid { experiment, systems: in_grid, data, command }, runs, labels, sets })
    }

    /// All sentences that reports need: of each data set, and of its gold.
    pub fn sentences(&self) -> impl Iterator<Item = &[Sentence]> {
        self.sets.values().flat_map(|set| std::iter::once(&set.sentences).chain(&set.gold)).map(Vec::as_slice)
    }

    /// What a run of this experiment works with.
    pub fn material(&self, run: &Run) -> Result<Material<'_>> {
        let settings = &run.settings;
        let training: TrainSettings = settings.training.clone().try_into()?;
        let of = |data: &DataRef| drawn(&self.sets[&data.name].sentences, data, training.seed);
        let pool = |data: &DataRef| {
            let name = if settings.distilled.len() == 1 { TrainingPool::DISTILLED } else { &data.name };
            (name.to_owned(), of(data))
        };
        Ok(Material {
            encoder: settings.encoder.clone(),
            labels: &self.labels,
            original: settings.original.iter().flat_map(|data| of(data).into_owned()).collect(),
            distilled: settings.distilled.iter().map(pool).collect(),
            dev: settings.dev.as_ref().map(of),
            test: of(&settings.test),
            training,
        })
    }

    /// The system that a run is of, and its seed.
    pub fn name_of<'a>(&'a self, id: &'a str) -> (&'a str, u64) {
        self.grid.find(id).map_or((id, 0), |(system, seed)| (&system.name, seed))
    }
}

/// The sentences and settings of one run.
pub struct Material<'a> {
    pub encoder: String,
    pub training: TrainSettings,
    pub dev: Option<Cow<'a, [Sentence]>>,
    pub test: Cow<'a, [Sentence]>,
    labels: &'a BTreeSet<Arc<str>>,
    original: Vec<Sentence>,
    distilled: Vec<(String, Cow<'a, [Sentence]>)>,
}

impl Material<'_> {
    pub fn student(&self, threads: usize) -> Result<Student> {
        let options = NetworkOptions::with_threads(Some(threads));
        train::student(&self.encoder, self.labels.clone(), self.training.seed, &options, || {
            self.original.iter().chain(self.distilled.iter().flat_map(|(_, pool)| pool.iter())).cloned().collect()
        })
    }

    pub fn trainer(&self, student: Student) -> Result<Trainer> {
        let pools: Vec<TrainingPool> =
            self.distilled.iter().map(|(name, pool)| TrainingPool::new(name, pool)).collect();
        let data =
            TrainingData { distilled: &pools, dev: self.dev.as_deref(), ..TrainingData::original(&self.original) };
        Ok(Trainer::new(student, data, &self.training)?)
    }

    /// Sentences of the original and of the distilled data.
    pub fn sizes(&self) -> (usize, usize) {
        (self.original.len(), self.distilled.iter().map(|(_, pool)| pool.len()).sum())
    }
}

impl Set {
    fn facts(&self) -> GridData {
        GridData {
            fingerprint: fingerprint(&self.sentences),
            gold: self.gold.as_deref().map(fingerprint),
            sentences: self.sentences.len(),
            tokens: self.sentences.iter().map(|sentence| sentence.tokens().len()).sum(),
            entities: self.sentences.iter().map(|sentence| sentence.entities().len()).sum(),
        }
    }
}

fn drawn<'a>(sentences: &'a [Sentence], data: &DataRef, seed: u64) -> Cow<'a, [Sentence]> {
    data.size.map_or(Cow::Borrowed(sentences), |size| Cow::Owned(subset(sentences, size, seed)))
}

/// Reads the data sets that are used, and finds the entity types: the setting `labels`, or those of the files.
fn read(experiment: &Experiment, used: BTreeSet<String>, progress: Progress) -> Result<(Sets, BTreeSet<Arc<str>>)> {
    let (mut sets, mut all) = (BTreeMap::new(), Vec::new());
    for name in used {
        let data = &experiment.data[&name];
        if data.files.is_empty() {
            bail!("data set `{name}` has no files: pass --data {name}=FILE, or give them in the experiment's file");
        }
        let sentences = read_files(&data.files, data, &mut all, progress)?;
        if sentences.is_empty() {
            bail!("data set `{name}` has no sentences");
        }
        let gold = match data.gold.as_slice() {
            [] => None,
            files => {
                let gold = read_files(files, data, &mut all, progress)?;
                let names = [name.as_str(), "its gold"];
                Some(inputs::aligned(&sentences, &gold, names)?.into_iter().cloned().collect())
            }
        };
        sets.insert(name, Set { sentences, gold });
    }
    let given: Vec<String> = match experiment.run.get("labels") {
        Some(labels) => labels.clone().try_into().context("labels: expected a list of entity types")?,
        None => Vec::new(),
    };
    let labels = inputs::label_set(&all.iter().collect::<Vec<_>>(), &given);
    Ok((sets, labels.context("set `labels` in the experiment's file, or with --set labels=[…]")?))
}

fn read_files(files: &[PathBuf], data: &DataSet, all: &mut Vec<Corpus>, progress: Progress) -> Result<Vec<Sentence>> {
    let corpora = inputs::labelled(files, progress)?;
    let sentences: Vec<Sentence> = corpora.iter().flat_map(|corpus| corpus.sentences.iter().cloned()).collect();
    all.extend(corpora);
    let there = sentences.len();
    Ok(match data.part {
        None => sentences,
        Some(Part::Range { from, to }) if from < to && to <= there => sentences[from..to].to_vec(),
        Some(Part::Draw { size, seed }) if size <= there => subset(&sentences, size, seed),
        Some(part) => bail!("{part:?} of {there} sentences: expected a part that is there"),
    })
}

struct Preparing<'a> {
    sets: &'a Sets,
    labels: &'a BTreeSet<Arc<str>>,
    /// Of encoders, and of data sets under seeds.
    hashes: BTreeMap<(String, u64), String>,
}

impl Preparing<'_> {
    fn run(&mut self, settings: &RunSettings, seed: u64) -> Result<Run> {
        let mut settings = settings.clone();
        let mut inputs = BTreeMap::new();
        let encoder = settings.encoder.clone();
        inputs.insert(encoder.clone(), self.hash((encoder.clone(), 0), |_| hash_of_encoder(&encoder))?);
        for data in settings.data() {
            // A whole data set is the same under every seed.
            let key = (data.to_string(), if data.size.is_some() { seed } else { 0 });
            let hash = self.hash(key, |sets| Ok(fingerprint(&drawn(&sets[&data.name].sentences, data, seed))))?;
            inputs.insert(data.to_string(), hash);
        }
        settings.training.insert("seed".to_owned(), i64::try_from(seed).context("seed")?.into());
        settings.training.remove("labels");
        let training: TrainSettings = settings.training.try_into()?;
        training.check()?;
        settings.training = toml::Table::try_from(&training)?;
        Ok(Run::new(settings, inputs, self.labels.iter().map(ToString::to_string).collect()))
    }

    fn hash(&mut self, key: (String, u64), hash: impl FnOnce(&Sets) -> Result<String>) -> Result<String> {
        if let Some(known) = self.hashes.get(&key) {
            return Ok(known.clone());
        }
        let hash = hash(self.sets)?;
        self.hashes.insert(key, hash.clone());
        Ok(hash)
    }
}

fn hash_of_encoder(encoder: &str) -> Result<String> {
    if encoder.starts_with("scratch:") {
        return Ok(encoder.to_owned());
    }
    let directory = models::directory(encoder)?;
    fingerprint_model(&directory).with_context(|| format!("cannot read {}", directory.display()))
}
