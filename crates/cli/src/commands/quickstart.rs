//! `quickstart`: the whole job on the sample data in the binary.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use apprentice_core::{Regimen, Schedule, Scores, Sentence, corpus::conll, files, metrics};
use apprentice_encoder::NetworkOptions;
use apprentice_student::{TrainSettings, Trainer, TrainingData, TrainingPool};
use apprentice_teacher::{Annotation, Report, Strategy, Unused, Version, annotate, default_labels};
use clap::Args as ClapArgs;
use serde::{Deserialize, Serialize};

use crate::{
    built_in,
    commands::{
        predict::tag,
        train::{self, Finished, Outcome},
    },
    output,
    progress::Progress,
    sample, settings,
};

#[derive(ClapArgs)]
pub struct Args {
    #[command(flatten)]
    flags: Flags,
    /// TOML file with the same settings; flags override it.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Replace an output directory that exists.
    #[arg(long)]
    overwrite: bool,
    /// Print the scores as JSON instead of the report.
    #[arg(long)]
    json: bool,
    /// Threads; all cores if not given. The results do not depend on it.
    #[arg(long)]
    threads: Option<usize>,
}

#[derive(ClapArgs, Serialize)]
struct Flags {
    /// The directory to write [default: apprentice-quickstart]
    #[arg(short, long)]
    output: Option<PathBuf>,
    /// `built-in`, a model directory of the BERT family, the name of a model that `models fetch` has fetched, or
    /// `scratch:LAYERSxHIDDENxHEADS` [default: built-in]
    #[arg(long)]
    encoder: Option<String>,
    #[command(flatten)]
    training: TrainingFlags,
}

#[derive(ClapArgs, Serialize)]
struct TrainingFlags {
    /// Decides the order of the data, dropout and fresh weights [default: 1]
    #[arg(long)]
    seed: Option<u64>,
    /// Passes over the data in use [default: 10]
    #[arg(long)]
    epochs: Option<usize>,
    /// The learning rate [default: 6e-4]
    #[arg(long)]
    learning_rate: Option<f64>,
}

/// The settings, as written beside the output; the regimen in `training` is replaced by each in turn.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    output: PathBuf,
    encoder: String,
    training: TrainSettings,
}

impl Default for Settings {
    fn default() -> Self {
        let training = TrainSettings {
            epochs: 10,
            batch_size: 16,
            learning_rate: 6e-4,
            schedule: Schedule::Linear,
            warmup_steps: 20,
            ..TrainSettings::default()
        };
        Self { output: "apprentice-quickstart".into(), encoder: built_in::name(), training }
    }
}

/// What `--json` prints and `result.json` holds.
#[derive(Serialize)]
struct Summary<'a> {
    teacher: &'a [TeacherScores],
    students: Vec<&'a Outcome>,
    best: &'a str,
}

/// How well one prompt strategy labels.
#[derive(Serialize)]
struct TeacherScores {
    strategy: String,
    scores: Scores,
    report: Report,
}

pub fn run(args: &Args, progress: Progress) -> Result<()> {
    let Settings { output: directory, encoder, training } =
        settings::resolve(&Settings::default(), args.config.as_deref(), &args.flags)?;
    output::check_directory(&directory, args.overwrite)?;
    let [original, dev, test, unlabelled] = [sample::TRAIN, sample::DEV, sample::TEST, sample::UNLABELLED]
        .map(|file| sample::corpus(file).map(|c| c.sentences));
    let (original, dev, test, unlabelled) = (original?, dev?, test?, unlabelled?);

    // Both strategies labelled both sets; how well is measured on all of it.
    let annotated: Vec<Sentence> = original.iter().chain(&unlabelled).cloned().collect();
    let mut teacher = Vec::new();
    let mut distilled = Vec::new();
    for (strategy, file) in
        [(Strategy::Standard(Version::One), sample::STANDARD), (Strategy::Cot(Version::One), sample::COT)]
    {
        let transcript = sample::transcript(file)?;
        let completions = transcript.check(&annotated, Unused::Refuse)?;
        let Annotation { sentences, report } = annotate(&annotated, completions, &default_labels());
        report.require_all()?;
        let [gold, predicted] =
            [&annotated, &sentences].map(|set| set.iter().map(Sentence::entities).collect::<Vec<_>>());
        let scores = metrics::entities(&gold, &predicted)?;
        teacher.push(TeacherScores { strategy: strategy.name().to_owned(), scores, report });
        distilled = sentences[original.len()..].to_vec();
    }

    let options = NetworkOptions::with_threads(args.threads);
    let types = original
        .iter()
        .flat_map(|s| s.entities().iter().map(|e| e.label.clone()))
        .collect::<std::collections::BTreeSet<_>>();
    let pools = [TrainingPool::new(TrainingPool::DISTILLED, &distilled)];
    let data = TrainingData { distilled: &pools, dev: Some(&dev), ..TrainingData::original(&original) };
    let mut finished: Vec<Finished> = Vec::new();
    for regimen in Regimen::DEFAULTS {
        let settings = TrainSettings { regimen, ..training.clone() };
        let student = train::student(&encoder, types.clone(), settings.seed, &options, || annotated.clone())?;
        let trainer = Trainer::new(student, data, &settings)?;
        let mut run = train::train(trainer, &settings, 0, progress, |_, _| Ok(()))?;
        if let Some(why) = &run.outcome.stopped {
            bail!("regimen {regimen}: {why}; nothing was written");
        }
        run.outcome.test = Some(run.student.evaluate(&test, settings.max_length)?);
        finished.push(run);
    }
    let dev_f1 = |run: &Finished| run.outcome.dev.as_ref().map_or(0.0, |scores| scores.micro.prf.f1);
    let best =
        (1..finished.len()).fold(0, |best, i| if dev_f1(&finished[i]) > dev_f1(&finished[best]) { i } else { best });
    let regimen = finished[best].outcome.regimen.clone();
    let examples = tag(&mut finished[best].student, test[..5].to_vec(), training.max_length)?;

    let outcomes: Vec<&Outcome> = finished.iter().map(|run| &run.outcome).collect();
    let summary = Summary { teacher: &teacher, students: outcomes.clone(), best: &regimen };
    let card = train::card(
        &finished[best].outcome,
        &encoder,
        &TrainSettings { regimen: Regimen::DEFAULTS[best], ..training.clone() },
        (original.len(), distilled.len()),
    )?;
    let settings = Settings { output: directory.clone(), encoder: encoder.clone(), training };
    files::write_directory_atomic(&directory, args.overwrite, |to| {
        output::write_part(to, "settings.toml", toml::to_string_pretty(&settings)?)?;
        output::write_part(to, "result.json", serde_json::to_vec_pretty(&summary)?)?;
        for name in ["data", "model"] {
            std::fs::create_dir(to.join(name)).with_context(|| format!("cannot make {name} in {}", to.display()))?;
        }
        for (name, content) in sample::ALL {
            output::write_part(&to.join("data"), name, content)?;
        }
        let mut columns = Vec::new();
        conll::write(&mut columns, &distilled)?;
        output::write_part(&to.join("data"), "distilled.cot.conll", columns)?;
        anyhow::Ok(finished[best].student.save(&to.join("model"), &card)?)
    })?;
    if args.json {
        return output::print_json(&summary);
    }
    print_teacher(&teacher, annotated.len())?;
    print_students(&outcomes, &regimen, [&original, &distilled, &dev, &test])?;
    output::print("\nUnseen sentences, tagged by it:")?;
    for sentence in &examples {
        output::print(format_args!("  {}", output::marked(sentence)))?;
    }
    print_next(&directory, &encoder)
}

fn print_teacher(teacher: &[TeacherScores], sentences: usize) -> Result<()> {
    output::print(format_args!(
        "The teacher: recorded completions of a large language model on {sentences} sentences, against human labels"
    ))?;
    let rows = teacher.iter().map(|t| {
        let [precision, recall, f1] = output::prf(&t.scores.micro.prf);
        let counts = [t.report.mentions, t.report.exact, t.report.missing.count].map(|n| n.to_string());
        [vec![t.strategy.clone(), precision, recall, f1], counts.to_vec()].concat()
    });
    let header = ["prompt", "precision", "recall", "F1", "mentions", "aligned exactly", "not found"];
    output::print(output::table(&header, rows))
}

fn print_students(outcomes: &[&Outcome], best: &str, [original, distilled, dev, test]: [&[Sentence]; 4]) -> Result<()> {
    output::print(format_args!(
        "\nThe students: {} human-labelled (original) and {} LLM-labelled (distilled) sentences; the best epoch and \
         regimen are chosen on dev ({} sentences), test ({}) is scored once",
        original.len(),
        distilled.len(),
        dev.len(),
        test.len()
    ))?;
    let f1 = |scores: &Option<Scores>| scores.as_ref().map_or(String::new(), |s| output::share(s.micro.prf.f1));
    let rows = outcomes.iter().map(|outcome| {
        let test = outcome.test.as_ref();
        let [precision, recall, micro] = test.map(|s| output::prf(&s.micro.prf)).unwrap_or_default();
        vec![
            format!("{}{}", outcome.regimen, if outcome.regimen == best { " *" } else { "" }),
            outcome.steps.to_string(),
            outcome.best_epoch.map_or(String::new(), |e| e.to_string()),
            f1(&outcome.dev),
            precision,
            recall,
            micro,
            test.map_or(String::new(), |s| output::share(s.macro_union.f1)),
        ]
    });
    let header =
        ["regimen", "steps", "best epoch", "dev F1", "test precision", "test recall", "test F1", "test macro F1"];
    output::print(output::table(&header, rows))?;
    output::print(format_args!("* best on dev: saved. One seed and small data: differences of a few points are noise."))
}

fn print_next(directory: &Path, encoder: &str) -> Result<()> {
    let at = |name: &str| directory.join(name).display().to_string();
    output::print(format_args!(
        "\nWritten to {}: model/ (loads in transformers too), data/ (the sample, and distilled.cot.conll), result.json, \
         settings.toml\n\nNext (put your own files in the places of these):\n  echo 'Your sentence here.' | apprentice predict --model {} --to marked -\n  \
         apprentice annotate --provider replay:{} --input {} -o distilled.conll --allow-unused\n  \
         apprentice train --encoder {encoder} --original {} --distilled {} --dev {} --test {} --regimen simple-mix -o run",
        directory.display(),
        at("model"),
        at("data/completions.cot.jsonl"),
        at("data/unlabelled.conll"),
        at("data/train.conll"),
        at("data/distilled.cot.conll"),
        at("data/dev.conll"),
        at("data/test.conll"),
    ))
}
