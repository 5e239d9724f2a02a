//! A ledger of runs that never were, for tests and to look at reports.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write,
    path::Path,
};

use apprentice_core::{Counts, Entity, Provenance, Scores, Sentence, Span, corpus::conll, metrics};
use apprentice_lab::{DataRef, Experiment, Grid, GridData, GridSystem, Ledger, Origin, Run, System, subset};
use rand::{RngExt, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

/// What becomes of a run.
pub enum Fate {
    /// It finds this part of the entities.
    Done(f64),
    /// It comes to nothing, for this reason.
    Failed(&'static str),
    /// Nobody has begun it.
    Pending,
}

/// What is in the sentences.
pub struct Texts {
    /// The entity types with the words of their entities; a later type is harder to find.
    pub types: Vec<(&'static str, Vec<&'static str>)>,
    /// All other words.
    pub words: Vec<&'static str>,
    /// Sentences of each data set.
    pub sizes: BTreeMap<&'static str, usize>,
}

impl Default for Texts {
    fn default() -> Self {
        let people =
            vec!["Ann Keller", "Tomas Brandt", "Ines Okafor", "Lena Hart", "Marco Silva", "Ruth Abara", "Yusuf Demir"];
        let places = vec!["Rome", "Port Alder", "Lisbon", "North Quay", "Velden", "Osaka", "Marrow Bay", "Tirana"];
        let bodies =
            vec!["Halden Steel", "Orbit Bank", "City Council", "Blue River Trust", "Nordfrakt", "United Docks"];
        let others = vec!["Dutch", "Harvest Cup", "Lantern Prize", "Iberian", "Treaty of Velden", "Baltic"];
        Self {
            types: vec![("PER", people), ("LOC", places), ("ORG", bodies), ("MISC", others)],
            words:
                "the a of in with said after before won lost met signed opened new old first talks match report market"
                    .split(' ')
                    .collect(),
            sizes: BTreeMap::from([("dev", 120), ("test", 400)]),
        }
    }
}

/// Names of which a set has a part.
const RARE: [&str; 200] = rare();

const fn rare() -> [&'static str; 200] {
    const LETTERS: &str =
        "QuillZanettiOrmondPellUskVarnaKestrelDrumIbisTolneMarchFennAshgroveLomWickPraterCaddisHollinYarrowSedge";
    let mut names = [""; 200];
    let mut number = 0;
    while number < names.len() {
        // Pieces of three to five letters, no two of the same place and length.
        let (from, to) = (number % 95, number % 95 + 3 + number / 95);
        names[number] = LETTERS.split_at(to).0.split_at(from).1;
        number += 1;
    }
    names
}

fn sentence(texts: &Texts, id: String, rng: &mut ChaCha8Rng) -> Sentence {
    let (mut words, mut entities): (Vec<&str>, Vec<Entity>) = (Vec::new(), Vec::new());
    for _ in 0..rng.random_range(1..4) {
        let plain = rng.random_range(1..5);
        words.extend((0..plain).filter_map(|_| texts.words.choose(rng)));
        let Some((label, names)) = texts.types.choose(rng) else { continue };
        // One in five is a rare name, of any type.
        let start = words.len();
        if rng.random_bool(0.2) {
            words.push(RARE[rng.random_range(0..RARE.len())]);
        } else {
            words.extend(names.choose(rng).into_iter().flat_map(|name| name.split(' ')));
        }
        entities.extend(Span::new(start, words.len()).map(|span| Entity { span, label: (*label).into() }));
    }
    words.push(".");
    Sentence::from_words(id, words).with_entities(entities, Provenance::Original).expect("apart by construction")
}

/// What a labeller that finds a part of the entities makes of a sentence.
fn labelled(texts: &Texts, sentence: &Sentence, part: f64, rng: &mut ChaCha8Rng) -> Sentence {
    let place = |label: &str| texts.types.iter().position(|(known, _)| *known == label).unwrap_or(0);
    let mut found = Vec::new();
    for entity in sentence.entities() {
        let part = (part - 0.07 * place(&entity.label) as f64).clamp(0.02, 1.0);
        if rng.random_bool(part) {
            found.push(entity.clone());
        } else if rng.random_bool(0.5) {
            let other = texts.types[(place(&entity.label) + 1) % texts.types.len()].0;
            found.push(Entity { label: other.into(), ..entity.clone() });
        }
    }
    if rng.random_bool(((1.0 - part) * 0.4).clamp(0.0, 1.0)) {
        let at = rng.random_range(0..sentence.tokens().len());
        if let Some(span) = Span::new(at, at + 1).filter(|span| !found.iter().any(|e: &Entity| e.span.overlaps(*span)))
        {
            found.push(Entity { span, label: texts.types[0].0.into() });
        }
    }
    sentence.clone().with_entities(found, Provenance::Predicted).expect("apart by construction")
}

fn scores(gold: &[Sentence], predicted: &[Sentence]) -> Scores {
    let entities = |all: &[Sentence]| all.iter().map(|s| s.entities().to_vec()).collect::<Vec<_>>();
    metrics::entities(&entities(gold), &entities(predicted)).expect("as many sentences")
}

/// Fills a ledger with an experiment: `fate` says what becomes of each run, by its system and seed.
pub fn fill(root: &Path, text: &str, texts: &Texts, fate: impl Fn(&System, u64) -> Fate + Sync) -> (Ledger, Grid) {
    let ledger = Ledger::open(root).expect("a ledger");
    let experiment = Experiment::parse(text, "synthetic.toml").expect("an experiment");
    let mut kept: BTreeMap<String, Vec<Sentence>> = BTreeMap::new();
    let mut data = BTreeMap::new();
    for (number, (name, set)) in experiment.data.iter().enumerate() {
        let size = texts.sizes.get(name.as_str()).copied().unwrap_or(200);
        // All teachers have the same sentences.
        let stream = if set.teacher.is_some() { 1000 } else { number as u64 };
        let mut rng = ChaCha8Rng::seed_from_u64(stream);
        let gold: Vec<Sentence> = (0..size).map(|at| sentence(texts, format!("s{stream}-{at:05}"), &mut rng)).collect();
        let taught = set.teacher.as_ref().map(|_| {
            let mut rng = ChaCha8Rng::seed_from_u64(number as u64);
            gold.iter().map(|s| labelled(texts, s, 0.95 - 0.08 * number as f64, &mut rng)).collect::<Vec<_>>()
        });
        let has_gold = taught.is_some() && !set.gold.is_empty();
        let gold_hash = has_gold.then(|| ledger.keep(&gold).expect("kept"));
        let sentences = taught.unwrap_or(gold);
        let of = GridData {
            fingerprint: ledger.keep(&sentences).expect("kept"),
            gold: gold_hash,
            sentences: sentences.len(),
            tokens: sentences.iter().map(|s| s.tokens().len()).sum(),
            entities: sentences.iter().map(|s| s.entities().len()).sum(),
        };
        data.insert(name.clone(), of);
        kept.insert(name.clone(), sentences);
    }
    let points = experiment.systems().expect("systems");
    let mut systems = Vec::new();
    for (place, point) in points.iter().enumerate() {
        let run = |seed: &u64| {
            let mut settings = point.settings.clone();
            settings.training.insert("seed".to_owned(), seed.to_string().into());
            // Experiments of other texts have other runs.
            let inputs = BTreeMap::from([(settings.encoder.clone(), experiment.name.clone())]);
            Run::new(settings, inputs, vec![point.name.clone()]).id
        };
        let control = experiment.changed(&points, place, &experiment.control).expect("a control");
        let control = control.filter(|_| !experiment.control.is_empty());
        let runs = experiment.seeds.iter().map(run).collect();
        systems.push(GridSystem { name: point.name.clone(), settings: point.settings.clone(), control, runs });
    }
    let grid = Grid { experiment, systems, data, command: "apprentice experiment run synthetic.toml".to_owned() };
    ledger.save(&grid).expect("saved");
    for (point, system) in points.iter().zip(&grid.systems) {
        for (id, &seed) in system.runs.iter().zip(&grid.experiment.seeds) {
            let part = match fate(point, seed) {
                Fate::Pending => continue,
                Fate::Failed(reason) => Err(reason.to_owned()),
                Fate::Done(part) => Ok(part),
            };
            let train = |_: usize, id: &str| {
                let part = part.clone()?;
                write_run(&ledger.run(id), texts, &kept, point, seed, part);
                let machine = "a processor that never was, 2 cores".to_owned();
                let origin = Origin { version: "0.1.0".to_owned(), machine, seconds: 300.0 };
                Ok(origin)
            };
            ledger.work(&[id], 1, train, |_, _| {}).expect("noted");
        }
    }
    (ledger, grid)
}

/// A run directory as `train` leaves it.
fn write_run(run: &Path, texts: &Texts, kept: &BTreeMap<String, Vec<Sentence>>, point: &System, seed: u64, part: f64) {
    fs::create_dir_all(run).expect("a directory");
    let name: u64 = point.name.bytes().map(u64::from).sum();
    let mut rng = ChaCha8Rng::seed_from_u64(seed * 1000 + name);
    let of = |data: &DataRef| {
        let all = &kept[&data.name];
        data.size.map_or(all.clone(), |size| subset(all, size, seed))
    };
    let mut predict = |set: &str, gold: &[Sentence]| -> Scores {
        let predicted: Vec<Sentence> = gold.iter().map(|s| labelled(texts, s, part, &mut rng)).collect();
        let mut columns = Vec::new();
        conll::write(&mut columns, &predicted).expect("columns");
        put(&run.join(format!("predictions.{set}.conll")), &columns);
        scores(gold, &predicted)
    };
    let settings = &point.settings;
    let dev = settings.dev.as_ref().map(|dev| predict("dev", &of(dev)));
    let test = predict("test", &of(&settings.test));
    let regimen = settings.regimen().expect("a regimen");
    let epochs = 8;
    let mut ends: Vec<Value> = Vec::new();
    let mut lines = Vec::new();
    for epoch in 0..epochs {
        let share = regimen.share(epoch, epochs).unwrap_or(0.5);
        let distilled = (share * 192.0).round() as usize;
        let f1 = dev.as_ref().map_or(0.5, |dev| dev.micro.prf.f1);
        let far = 1.0 - (-0.55 * (epoch as f64 + 1.0)).exp() * rng.random_range(0.7..1.3);
        let right = (1000.0 * f1 * far) as usize;
        let counts = Counts { true_positive: right, predicted: 1000, gold: 1000 };
        let scores = dev.as_ref().map(|_| Scores::from_counts(BTreeMap::from([("PER".into(), counts)])));
        let drawn = json!([
            { "pool": "original", "sentences": 192 - distilled, "weight": 1.0 },
            { "pool": "distilled", "sentences": distilled, "weight": 1.0 },
        ]);
        let end = json!({ "epoch": epoch + 1, "drawn": drawn, "loss": 0.5, "dev": scores });
        lines.push(json!({ "step": epoch * 12 + 6, "loss": 0.5, "epoch_end": null }).to_string());
        lines.push(json!({ "step": epoch * 12 + 12, "loss": 0.5, "epoch_end": end }).to_string());
        ends.push(end);
    }
    put(&run.join("metrics.jsonl"), lines.join("\n").as_bytes());
    let result = json!({
        "regimen": regimen.to_string(), "steps": epochs * 12, "best_epoch": epochs, "epochs": ends, "dev": dev, "test": test,
        "train_seconds": 200.0 + 10.0 * (name % 17) as f64, "tokens_per_second": 2100.0,
    });
    put(&run.join("result.json"), result.to_string().as_bytes());
}

fn put(path: &Path, content: &[u8]) {
    File::create(path).and_then(|mut file| file.write_all(content)).expect("written");
}

/// How good a student is, as the regimens are in this world that never was.
pub fn skill(point: &System, seed: u64) -> f64 {
    let regimen = point.settings.regimen().expect("a regimen").to_string();
    let by_regimen = match regimen.as_str() {
        "original-only" => 0.70,
        "distilled-only" => 0.72,
        "all" => 0.755,
        "sequential:reverse" => 0.69,
        "simple-mix" => 0.80,
        "blend:cosine" => 0.795,
        other => 0.76 + 0.004 * (other.len() % 7) as f64,
    };
    let labels: usize = point.settings.original.iter().map(|data| data.size.unwrap_or(800)).sum();
    let missing = (800.0 / labels.max(1) as f64).ln().clamp(0.0, 4.0);
    let cost = if point.settings.distilled.is_empty() { 0.07 } else { 0.045 };
    let luck = ((seed * 37 + regimen.len() as u64 * 11) % 13) as f64 / 13.0 - 0.5;
    by_regimen - missing * cost + 0.03 * luck
}

/// Twelve regimens, two teachers.
pub const REGIMENS: &str = r#"
name = "regimens"
title = "Which regimen gives the best student?"
about = "The third question of Huang, Tang and Chen (arXiv 2402.09282), in a world that never was: how original and distilled data are mixed over the epochs. Every regimen makes the same number of optimiser steps; the original data alone, at as many steps, are the control."
seeds = [1, 2, 3, 4, 5]
control = { regimen = "original-only" }
axes = [{ setting = "regimen", values = [
    "original-only", "distilled-only", "sequential", "simple-mix", "blend:linear", "blend:cosine", "blend:sigmoid",
    "blend:power", "blend:exponential", "blend:constant,c=0.5", "all", "sequential:reverse",
] }]
[run]
encoder = "scratch:2x64x4"
original = "original"
distilled = "cot"
dev = "dev"
test = "test"
epochs = 8
budget_steps = 96
[[questions]]
kind = "best"
ask = "Which regimen gives the best student?"
[[questions]]
kind = "teacher"
ask = "Does chain of thought give better labels than the standard prompt?"
data = ["standard", "cot"]
[[questions]]
kind = "change"
ask = "Does a simple mix beat the original data alone?"
from = { regimen = "original-only" }
to = { regimen = "simple-mix" }
[[questions]]
kind = "change"
ask = "Is a cosine blend better than a simple mix?"
from = { regimen = "simple-mix" }
to = { regimen = "blend:cosine" }
[data]
original = { files = ["original.conll"] }
cot = { files = ["cot.jsonl"], teacher = "a model, chain of thought", gold = ["gold.conll"], dollars = 4.2 }
standard = { files = ["standard.jsonl"], teacher = "a model, standard prompt", gold = ["gold.conll"], dollars = 1.1 }
dev = { files = ["dev.conll"] }
test = { files = ["test.conll"] }
"#;

/// Few to many human labels, with a teacher and without.
pub const BUDGET: &str = r#"
name = "budget"
title = "How many human labels are the teacher's labels worth?"
about = "Human labels from few to many, with the teacher's labels and without, at the same number of optimiser steps."
seeds = [1, 2, 3, 4, 5]
control = { regimen = "original-only" }
axes = [
    { setting = "original", values = ["original:25", "original:50", "original:100", "original:200", "original:400", "original:800"] },
    { setting = "regimen", values = ["original-only", "simple-mix"] },
]
[run]
encoder = "scratch:2x64x4"
distilled = "cot"
dev = "dev"
test = "test"
epochs = 8
[[questions]]
kind = "budget"
ask = "How many human labels are the teacher's labels worth?"
without = { regimen = "original-only" }
with = { regimen = "simple-mix" }
[[questions]]
kind = "change"
ask = "Do the teacher's labels help at every budget?"
from = { regimen = "original-only" }
to = { regimen = "simple-mix" }
[data]
original = { files = ["original.conll"] }
cot = { files = ["cot.jsonl"], teacher = "a model, chain of thought", gold = ["gold.conll"], dollars = 4.2 }
dev = { files = ["dev.conll"] }
test = { files = ["test.conll"] }
"#;
