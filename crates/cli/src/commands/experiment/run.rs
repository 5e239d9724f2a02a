//! `experiment run`.

use std::{path::PathBuf, str::FromStr, thread, time::Instant};

use anyhow::{Context, Result, bail};
use apprentice_lab::{Ledger, Origin, Run, State};
use apprentice_student::StepReport;
use clap::Args;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::{Asked, data::Prepared, plan, report};
use crate::{
    commands::train::Job,
    progress::Progress,
    unfinished::{self, CheckpointFlags, Place},
};

#[derive(Args)]
pub struct RunArgs {
    #[command(flatten)]
    asked: Asked,
    /// The ledger: a directory that holds all runs, of other experiments too; what is done there is not done again
    #[arg(short, long, value_name = "LEDGER", required_unless_present = "plan")]
    output: Option<PathBuf>,
    /// List the runs with their steps and the time they will take, and do none
    #[arg(long)]
    plan: bool,
    /// Print the plan as JSON
    #[arg(long, requires = "plan")]
    json: bool,
    /// Do only every N-th of the runs, from the I-th: for machines that share no ledger
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// How many runs at a time; if not given, one for each core
    #[arg(long)]
    jobs: Option<usize>,
    /// Threads of all runs together; all cores if not given. The results do not depend on it
    #[arg(long)]
    threads: Option<usize>,
    #[command(flatten)]
    shown: report::ShownFlags,
    /// Keep the students; else there are only their predictions and scores
    #[arg(long)]
    keep_models: bool,
}

/// A part of the runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shard {
    /// From 1.
    index: usize,
    of: usize,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(index, of)| Some((index.parse().ok()?, of.parse().ok()?)));
        match numbers {
            Some((index, of)) if (1..=of).contains(&index) => Ok(Self { index, of }),
            _ => Err(format!("`{text}`: expected I/N with I from 1 to N, such as 1/2")),
        }
    }
}

pub fn run(args: &RunArgs, progress: Progress) -> Result<()> {
    let prepared = Prepared::new(args.asked.experiment()?, progress)?;
    let cores = args.threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
    let jobs = args.jobs.unwrap_or(cores);
    if cores == 0 || jobs == 0 {
        bail!("--jobs {jobs} --threads {cores}: expected at least 1 of each");
    }
    let ids: Vec<&str> = prepared.grid.ids().collect();
    let ids: Vec<&str> = match args.shard {
        Some(Shard { index, of }) => ids.into_iter().skip(index - 1).step_by(of).collect(),
        None => ids,
    };
    if args.plan {
        let ledger = args.output.as_deref().filter(|path| path.exists()).map(Ledger::open).transpose()?;
        return plan::show(&prepared, ledger.as_ref(), &ids, cores, args.json);
    }
    let ledger = Ledger::open(args.output.as_deref().context("-o LEDGER is missing")?)?;
    for sentences in prepared.sentences() {
        ledger.keep(sentences)?;
    }
    ledger.save(&prepared.grid)?;

    let threads = (cores / jobs).max(1);
    let view = View::new(&ids, jobs.min(ids.len()), &prepared, progress);
    let tally = ledger.work(
        &ids,
        jobs,
        |worker, id| {
            let bar = view.begin(worker, id);
            let done = one(&prepared.runs[id], &prepared, &ledger, threads, args.keep_models, progress, |report| {
                View::step(&bar, report);
            });
            done.map_err(|error| format!("{error:#}"))
        },
        |id, state| view.ended(id, state, &ledger),
    )?;
    view.close();
    progress.note(format_args!(
        "{} runs: {} done now, {} before, {} failed, {} with other processes",
        ids.len(),
        tally.done,
        tally.known,
        tally.failed,
        tally.elsewhere
    ));
    let name = &prepared.grid.experiment.name;
    let (report, folder) = (report::write(&ledger, name, &args.shown)?, ledger.folder(name));
    if tally.failed > 0 {
        bail!(
            "{} runs failed: `experiment list` says why, and the same command tries them again; the report on the others is \
             in {}",
            tally.failed,
            folder.display()
        );
    }
    report::print_answers(&report, &folder)
}

/// Does one run, or goes on with it, and leaves its directory.
fn one(
    run: &Run,
    prepared: &Prepared,
    ledger: &Ledger,
    threads: usize,
    keep_model: bool,
    progress: Progress,
    watch: impl FnMut(&StepReport),
) -> Result<Origin> {
    let start = Instant::now();
    let material = prepared.material(run)?;
    let fresh = || material.trainer(material.student(threads)?);
    let output = ledger.run(&run.id);
    let place = Place { output: &output, settings: toml::to_string_pretty(run)?, overwrite: true };
    let job = Job { encoder: &material.encoder, training: &material.training, keep_model, sizes: material.sizes() };
    let (flags, quiet) = (CheckpointFlags::default(), Progress::new(true));
    let mut trainer = fresh()?;
    let mut begun = None;
    if unfinished::was_begun(&output) {
        let steps = trainer.total_steps();
        match unfinished::Run::resume(&place, &flags, (&mut trainer, steps), quiet) {
            Ok(resumed) => begun = Some(resumed),
            // Such as one that was killed before its first checkpoint.
            Err(error) => {
                progress.note(format_args!("{}: begun anew: {error:#}", run.id));
                trainer = fresh()?;
            }
        }
    }
    let begun = match begun {
        Some(resumed) => resumed,
        None => unfinished::Run::start(&place, &flags, &mut trainer)?,
    };
    let outcome = job.complete(begun, trainer, material.dev.as_deref(), Some(&material.test), quiet, watch)?;
    if let Some(why) = outcome.stopped {
        bail!("{why}");
    }
    Ok(Origin {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        machine: format!("{}, {threads} threads", processor()),
        seconds: start.elapsed().as_secs_f64(),
    })
}

/// What the system calls the processor, or else its architecture.
fn processor() -> String {
    let named = std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    named.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// The grid as it runs: a bar for all, and one for each worker; where there is no terminal, a line for each run.
struct View<'a> {
    prepared: &'a Prepared,
    progress: Progress,
    all: ProgressBar,
    workers: Vec<ProgressBar>,
}

impl<'a> View<'a> {
    fn new(ids: &[&str], workers: usize, prepared: &'a Prepared, progress: Progress) -> Self {
        let bars = MultiProgress::with_draw_target(progress.target());
        let styled = |template: &str, length: usize| {
            let bar = bars.add(ProgressBar::new(length as u64));
            bar.set_style(ProgressStyle::with_template(template).expect("the template is sound: this is a bug"));
            bar
        };
        Self {
            prepared,
            progress,
            all: styled("{bar:40} {pos}/{len} runs, {elapsed}, eta {eta}", ids.len()),
            workers: (0..workers).map(|_| styled("  {bar:20} {pos}/{len} {prefix} {msg}", 1)).collect(),
        }
    }

    fn label(&self, id: &str) -> String {
        let (system, seed) = self.prepared.name_of(id);
        format!("{system}, seed {seed}")
    }

    fn begin(&self, worker: usize, id: &str) -> ProgressBar {
        let bar = self.workers[worker].clone();
        bar.set_prefix(self.label(id));
        bar.set_message("");
        bar.set_position(0);
        bar
    }

    fn step(bar: &ProgressBar, report: &StepReport) {
        bar.set_length(report.steps as u64);
        bar.set_position(report.step as u64);
        if let Some(scores) = report.epoch_end.as_ref().and_then(|end| end.dev.as_ref()) {
            bar.set_message(format!("epoch {}, dev F1 {:.4}", report.epoch, scores.micro.prf.f1));
        }
    }

    fn ended(&self, id: &str, state: &State, ledger: &Ledger) {
        self.all.inc(1);
        let what = match state {
            State::Failed { reason } => format!("failed: {reason}"),
            _ => match ledger.record(id) {
                Ok(Some(record)) => {
                    let f1 = |scores: &Option<apprentice_core::Scores>| {
                        scores.as_ref().map_or("none".to_owned(), |scores| format!("{:.4}", scores.micro.prf.f1))
                    };
                    format!("dev F1 {}, test {}, {:.0} s", f1(&record.dev), f1(&record.test), record.origin.seconds)
                }
                _ => "done".to_owned(),
            },
        };
        self.progress.note_above(&self.all, &format!("{}: {what}", self.label(id)));
    }

    fn close(&self) {
        self.workers.iter().chain([&self.all]).for_each(ProgressBar::finish_and_clear);
    }
}
