//! The tables of a report, as every kind of page shows them.

use std::sync::Arc;

use apprentice_core::{Prf, metrics::uncertainty::Summary};
use serde::Serialize;

use super::{
    Report, SystemReport, TestReport, TypeReport,
    pairs::{Difference, Pair},
    words,
};

/// A table in words.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Table {
    pub title: String,
    /// One for each cell of a row.
    pub header: Vec<String>,
    /// Over the header: a text and how many columns it spans, where that is needed.
    pub groups: Vec<(String, usize)>,
    /// How many columns are text; they are the first.
    pub text_columns: usize,
    pub rows: Vec<Row>,
    pub notes: Vec<String>,
}

/// A row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Row {
    pub cells: Vec<String>,
    /// What the row's name is followed by.
    pub marks: Vec<&'static str>,
    pub best: bool,
}

impl Row {
    fn plain(cells: Vec<String>) -> Self {
        Self { cells, marks: Vec::new(), best: false }
    }

    /// The cells as texts of another language, the first with its marks.
    pub(super) fn cells(
        &self,
        escape: fn(&str) -> String,
        bold: impl Fn(String) -> String,
    ) -> impl Iterator<Item = String> {
        self.cells.iter().enumerate().map(move |(place, cell)| {
            let cell = escape(cell);
            if place > 0 {
                return cell;
            }
            let mut name = if self.best { bold(cell) } else { cell };
            for mark in &self.marks {
                name = format!("{name} ({mark})");
            }
            name
        })
    }
}

pub(super) const BEST: &str = "best on dev";
pub(super) const TIE: &str = "tie";
pub(super) const CONTROL: &str = "control";

/// The tables of results; those without rows are left out.
pub(super) fn results(report: &Report) -> Vec<Table> {
    let all = [
        systems(report),
        f1_by_type(report),
        precision_and_recall_by_type(report),
        precision_recall_and_cost(report),
        budgets(report),
        teachers(report),
    ];
    all.into_iter().filter(|table| !table.rows.is_empty()).collect()
}

fn titles(titles: &[&str]) -> Vec<String> {
    titles.iter().map(|title| (*title).to_owned()).collect()
}

/// A row's cells and what its name is followed by.
fn row(report: &Report, place: usize, cells: Vec<String>) -> Row {
    let system = &report.systems[place];
    let best = report.best == Some(place);
    let marks = [(best, BEST), (report.is_tie(system), TIE), (report.is_control(place), CONTROL)];
    Row { cells, marks: marks.into_iter().filter(|(is, _)| *is).map(|(_, mark)| mark).collect(), best }
}

fn systems(report: &Report) -> Table {
    let level = words::level(report.settings.resampling.level);
    let header = titles(&[
        "system",
        "seeds",
        "F1",
        "control's F1",
        "difference",
        "interval",
        "p (Holm)",
        "macro F1",
        "dev F1",
        "steps",
    ]);
    let mut rows = Vec::new();
    for (place, system) in report.systems.iter().enumerate() {
        let mut cells = vec![system.name.clone(), seeds(system)];
        if let Some(test) = &system.test {
            cells.push(words::mean(&test.f1));
            cells.extend(against(system.against_control.as_ref()));
            cells.push(words::mean(&test.macro_f1));
            cells.push(system.dev.as_ref().map_or(String::new(), words::mean));
            cells.push(steps(system, test));
        }
        cells.resize(header.len(), String::new());
        rows.push(row(report, place, cells));
    }
    let mut notes = vec![
        format!(
            "Mean ± standard deviation over seeds, on test; macro F1 is the mean over all types, of the gold or predicted. \
             The difference from the control is over the seeds that both have done; its {level} interval and p-value are by \
             bootstrap over seeds and test sentences ({} resamples), p corrected for all rows (Holm). S seeds show but \
             (S − 1) / S of the variance that seeds have: with few, intervals are somewhat too narrow.",
            words::grouped(report.settings.resampling.resamples)
        ),
        format!(
            "{BEST}: has the highest mean F1 on dev. {TIE}: not distinguishable from it on test (corrected p at least {}).",
            report.settings.significance
        ),
    ];
    if report.systems.iter().any(|system| system.against_control.as_ref().is_some_and(|pair| pair.steps.is_some())) {
        notes
            .push("≠: not as many optimiser steps as its control, so this is no comparison at equal steps.".to_owned());
    }
    if report.systems.iter().any(|system| system.runs.iter().filter(|run| run.done.is_some()).count() == 1) {
        notes.push(
            "Of a system with one seed it is not known how far seeds scatter: its difference holds for that run."
                .to_owned(),
        );
    }
    Table { title: "All systems".to_owned(), header, groups: Vec::new(), text_columns: 1, rows, notes }
}

/// How many seeds are done, of how many.
fn seeds(system: &SystemReport) -> String {
    let done = system.runs.iter().filter(|run| run.done.is_some()).count();
    if done == system.runs.len() { done.to_string() } else { format!("{done} of {}", system.runs.len()) }
}

/// The control's F1, the difference, its interval and p-value.
fn against(pair: Option<&Pair>) -> [String; 4] {
    let Some(Pair { f1: Difference { second, difference, interval, holm, .. }, .. }) = pair else {
        return [const { String::new() }; 4];
    };
    let interval = interval.as_ref().map_or("not tested".to_owned(), words::ends);
    [words::share(*second), words::signed(*difference), interval, holm.map_or(String::new(), words::p)]
}

fn steps(system: &SystemReport, test: &TestReport) -> String {
    let steps = words::grouped(test.steps.round() as usize);
    let unequal = system.against_control.as_ref().is_some_and(|pair| pair.steps.is_some());
    if unequal { format!("{steps} ≠") } else { steps }
}

fn precision_recall_and_cost(report: &Report) -> Table {
    let mut rows = Vec::new();
    for (place, system) in report.systems.iter().enumerate() {
        let Some(test) = &system.test else { continue };
        let cells = vec![
            system.name.clone(),
            words::mean(&test.precision),
            words::mean(&test.recall),
            words::grouped(system.human_sentences),
            words::dollars(system.dollars),
            words::grouped(test.tokens.round() as usize),
            words::seconds(test.train_seconds),
        ];
        rows.push(row(report, place, cells));
    }
    Table {
        title: "Precision, recall and cost".to_owned(),
        header: titles(&["system", "precision", "recall", "human labels", "teacher", "sub-words", "training"]),
        groups: Vec::new(),
        text_columns: 1,
        rows,
        notes: vec![
            "Human labels: sentences. Teacher: what its labels cost, if that was given. Sub-words and time: the mean of a run, \
             in training steps."
                .to_owned(),
        ],
    }
}

fn f1_by_type(report: &Report) -> Table {
    let named = |(label, gold): (&Arc<str>, &usize)| format!("{label} ({})", words::grouped(*gold));
    let header = titles(&["system"]).into_iter().chain(report.types.iter().map(named)).collect();
    let notes =
        vec!["F1, mean ± standard deviation over seeds, on test; with the number of entities in the gold.".to_owned()];
    Table {
        title: "F1 by entity type".to_owned(),
        header,
        groups: Vec::new(),
        text_columns: 1,
        rows: by_type(report, |of| [of.f1]),
        notes,
    }
}

fn precision_and_recall_by_type(report: &Report) -> Table {
    let (mut header, mut groups) = (titles(&["system"]), vec![(String::new(), 1)]);
    for label in report.types.keys() {
        header.extend(titles(&["precision", "recall"]));
        groups.push((label.to_string(), 2));
    }
    let notes = vec!["Mean ± standard deviation over seeds, on test.".to_owned()];
    Table {
        title: "Precision and recall by entity type".to_owned(),
        header,
        groups,
        text_columns: 1,
        rows: by_type(report, |of| [of.precision, of.recall]),
        notes,
    }
}

/// A row for each system with some numbers of each type; empty where the type is neither in its gold nor predicted.
fn by_type<const N: usize>(report: &Report, numbers: fn(&TypeReport) -> [Summary; N]) -> Vec<Row> {
    let mut rows = Vec::new();
    for (place, system) in report.systems.iter().enumerate() {
        let Some(test) = &system.test else { continue };
        let mut cells = vec![system.name.clone()];
        for label in report.types.keys() {
            let of = test.by_type.get(label).map(numbers);
            cells.extend(of.map_or([const { String::new() }; N], |of| of.each_ref().map(words::mean)));
        }
        rows.push(row(report, place, cells));
    }
    rows
}

fn budgets(report: &Report) -> Table {
    let mut rows = Vec::new();
    for budget in &report.budgets {
        for point in &budget.with {
            let [alone, difference, interval, p] = against(point.pair.as_ref());
            let worth = point.worth.map_or(String::new(), |worth| worth.estimate.to_string());
            let ends = point.worth.and_then(|worth| worth.interval);
            let ends = ends.map_or(String::new(), |[low, high]| format!("{low} to {high}"));
            let (labels, f1) = (words::grouped(point.labels), words::mean(&point.f1));
            rows.push(Row::plain(vec![
                budget.with_name.clone(),
                labels,
                f1,
                alone,
                difference,
                interval,
                p,
                worth,
                ends,
            ]));
        }
    }
    let header = titles(&[
        "with the teacher's labels",
        "sentences",
        "F1",
        "F1 without",
        "difference",
        "interval",
        "p (Holm)",
        "worth",
        "its interval",
    ]);
    let notes = vec![
        "Sentences: human-labelled ones. Worth: how many of them give the same F1 without the teacher's labels, linear in the logarithm \
         of their number between the budgets that were measured; its interval is from seeds drawn with replacement, so it \
         holds for this test set, and with few seeds it is too narrow."
            .to_owned(),
    ];
    Table {
        title: "What the teacher's labels are worth".to_owned(),
        header,
        groups: Vec::new(),
        text_columns: 1,
        rows,
        notes,
    }
}

fn teachers(report: &Report) -> Table {
    let rows = report.teachers.iter().map(|teacher| {
        let Prf { precision, recall, f1 } = teacher.scores.micro.prf;
        let interval = teacher.intervals.map_or(String::new(), |intervals| words::between(&intervals.f1));
        let [precision, recall, f1, macro_f1] =
            [precision, recall, f1, teacher.scores.macro_union.f1].map(words::share);
        let sentences = words::grouped(teacher.sentences);
        Row::plain(vec![
            teacher.data.clone(),
            teacher.teacher.clone(),
            sentences,
            precision,
            recall,
            f1,
            interval,
            macro_f1,
            words::dollars(teacher.dollars),
        ])
    });
    let rows = rows.collect();
    let header = titles(&["data", "teacher", "sentences", "precision", "recall", "F1", "interval", "macro F1", "cost"]);
    let level = words::level(report.settings.resampling.level);
    let notes = vec![format!(
        "The teachers' labels against human ones of the same sentences; {level} interval by bootstrap over sentences."
    )];
    Table { title: "The teachers".to_owned(), header, groups: Vec::new(), text_columns: 2, rows, notes }
}

/// The data sets.
pub(super) fn data(report: &Report) -> Table {
    let rows = report.data.iter().map(|(name, data)| {
        let numbers = [data.sentences, data.tokens, data.entities].map(words::grouped);
        let teacher = report.experiment.data.get(name).and_then(|set| set.teacher.clone()).unwrap_or_default();
        let gold = data.gold.clone().unwrap_or_default();
        [name.clone(), teacher, data.fingerprint.clone(), gold].into_iter().chain(numbers).collect()
    });
    let rows = rows.map(Row::plain).collect();
    let header = titles(&["data", "teacher", "fingerprint", "gold's fingerprint", "sentences", "tokens", "entities"]);
    let notes = vec!["A fingerprint is a hash of words, entities and confidences, in their order.".to_owned()];
    Table { title: "Data".to_owned(), header, groups: Vec::new(), text_columns: 4, rows, notes }
}

/// All runs.
pub(super) fn runs(report: &Report) -> Table {
    let mut rows = Vec::new();
    for system in &report.systems {
        for run in &system.runs {
            let mut cells = vec![system.name.clone(), run.id.clone()];
            cells.push(state(&run.state).to_owned());
            cells.push(run.done.as_ref().map_or(String::new(), |done| done.machine.clone()));
            cells.push(run.done.as_ref().map_or(String::new(), |done| done.version.clone()));
            cells.push(run.seed.to_string());
            match &run.done {
                None => cells.extend([const { String::new() }; 3]),
                Some(done) => cells.extend([
                    done.dev.map_or(String::new(), words::share),
                    words::share(done.test.micro.prf.f1),
                    words::seconds(done.seconds),
                ]),
            }
            rows.push(Row::plain(cells));
        }
    }
    let header = titles(&["system", "id", "state", "machine", "version", "seed", "dev F1", "F1", "time"]);
    let notes = vec!["Time: from beginning to end, loading and scoring included.".to_owned()];
    Table { title: "Runs".to_owned(), header, groups: Vec::new(), text_columns: 5, rows, notes }
}

pub(super) fn state(state: &crate::State) -> &'static str {
    match state {
        crate::State::Pending => "pending",
        crate::State::Running { .. } => "running",
        crate::State::Interrupted => "interrupted",
        crate::State::Failed { .. } => "failed",
        crate::State::Done => "done",
    }
}

/// What is missing, in a sentence; nothing if nothing is.
pub(super) fn missing(report: &Report) -> Option<String> {
    let progress = &report.progress;
    if progress.done == progress.runs {
        return None;
    }
    let parts = [
        (progress.failed.len(), "failed"),
        (progress.running, "under way"),
        (progress.interrupted, "interrupted"),
        (progress.pending, "not begun"),
    ];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(n, what)| format!("{} {what}", words::grouped(*n)))
        .collect();
    Some(format!(
        "This report is of {} of {}: {}. What follows is from those that are done.",
        words::grouped(progress.done),
        words::count(progress.runs, "run"),
        words::list(&parts)
    ))
}

/// How the systems were chosen and scored.
pub(super) fn selection(report: &Report) -> String {
    let mut done = report.systems.iter().flat_map(|system| &system.runs).filter_map(|run| run.done.as_ref()).peekable();
    let chosen = done.peek().is_none() || done.any(|done| done.best_epoch.is_some());
    let epoch = if chosen { "Each run keeps the epoch that is best on dev, and systems" } else { "Systems" };
    format!(
        "{epoch} are chosen by their mean F1 on dev. The test set is scored once for each finished run, and nothing is chosen \
         on it."
    )
}

/// F1 over seeds for a plot: where the mean over all seeds may lie, within what F1 can be. Two seeds would have intervals
/// over half of the axis.
pub(super) fn seed_interval(summary: &Summary, level: f64) -> Option<(f64, f64)> {
    let interval = summary.interval(level).ok().filter(|_| summary.seeds > 2)?;
    Some((interval.low.max(0.0), interval.high.min(1.0)))
}
