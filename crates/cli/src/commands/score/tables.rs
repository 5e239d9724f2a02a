//! One run: its scores, how sure they are, and how the files were read.

use apprentice_core::{
    Scheme,
    metrics::{
        report::{Draw, Report, Run},
        uncertainty::{Interval, Intervals},
    },
};

use super::{
    comparisons, details,
    files::{FileAccount, Files},
};
use crate::{
    output::{self, share, table},
    page::Page,
};

/// How many files with malformed tags are listed.
const LISTED: usize = 4;

/// All tables; of several systems or runs, those of each one only if asked for.
pub fn report(page: &mut Page, report: &Report<'_>, each: bool) {
    match &report.systems[..] {
        [system] if system.runs.len() == 1 => run(page, report, &system.runs[0]),
        systems => {
            comparisons::systems(page, report);
            comparisons::comparisons(page, report);
            for one in systems.iter().flat_map(|system| &system.runs).filter(|_| each) {
                page.title(one.name);
                run(page, report, one);
            }
        }
    }
}

/// All tables of one run.
pub fn run(page: &mut Page, report: &Report<'_>, run: &Run<'_>) {
    page.table(output::scores_table(&run.scores));
    if !run.scores.undefined.is_empty() {
        let undefined: Vec<String> = run.scores.undefined.iter().map(ToString::to_string).collect();
        page.line(format_args!("Nothing to divide by, given as 0: {}.", undefined.join(", ")));
    }
    if let Some(Intervals { precision, recall, f1, macro_f1 }) = &run.intervals {
        page.gap();
        let rows = [
            ("micro precision", precision),
            ("micro recall", recall),
            ("micro F1", f1),
            ("macro F1 (all types)", macro_f1),
        ];
        let rows = rows.map(|(name, value)| vec![name.to_owned(), share(value.estimate), interval(Some(value))]);
        page.table(table(&["", "value", &interval_header(report)], rows));
        page.line(format_args!("Intervals: {}.", drawn(report)));
    }
    if let Some(details) = &run.details {
        details::details(page, details);
    }
    if let Some(mistakes) = &run.mistakes {
        details::mistakes(page, mistakes);
    }
}

/// How test sets were drawn, in words.
pub fn drawn(report: &Report<'_>) -> String {
    let resampling = report.settings.resampling;
    let units = match report.settings.draw {
        Draw::Sentence => format!("{} sentences", grouped(report.test_set.sentences)),
        Draw::Document => format!("{} documents", grouped(report.test_set.documents)),
    };
    let resamples = grouped(resampling.resamples);
    format!("percentile bootstrap, {resamples} test sets of {units} drawn from this one (seed {})", resampling.seed)
}

/// Such as `95 % interval`.
pub fn interval_header(report: &Report<'_>) -> String {
    let level = format!("{:.6}", 100.0 * report.settings.resampling.level);
    format!("{} % interval", level.trim_end_matches('0').trim_end_matches('.'))
}

/// The ends of an interval.
pub fn interval(interval: Option<&Interval>) -> String {
    interval.map_or(String::new(), |interval| format!("{:.4}–{:.4}", interval.low, interval.high))
}

/// How the files were read.
pub fn accounts(page: &mut Page, files: &Files) {
    page.gap();
    let all = || [&files.gold_account].into_iter().chain(&files.accounts);
    if all().any(|file| file.tags.is_some()) {
        let how = match files.scheme {
            None => "leniently, as conlleval does".to_owned(),
            Some(scheme) => format!("strictly as {scheme}: what breaks the scheme is no entity"),
        };
        page.line(format_args!("Tags read {how}. Malformed: {}.", malformed(all(), files.scheme)));
    }
    for file in all().filter(|file| !file.conflicts.counts.is_empty()) {
        page.line(format_args!("{}: spans in conflict: {}", file.path.display(), file.conflicts));
        for conflict in &file.conflicts.first {
            page.line(format_args!("  {conflict}"));
        }
    }
}

/// How many tags of which files are malformed.
fn malformed<'a>(files: impl Iterator<Item = &'a FileAccount>, strict: Option<Scheme>) -> String {
    let mut lines: Vec<String> = Vec::new();
    for file in files {
        let Some(tags) = file.tags.as_ref().filter(|tags| tags.malformed > 0) else { continue };
        let nearest = match strict {
            Some(scheme) if scheme == tags.nearest => String::new(),
            _ => format!(" (nearest to {})", tags.nearest),
        };
        let line = format!("{} of {} in {}{nearest}", grouped(tags.malformed), grouped(tags.tags), file.path.display());
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    match lines.len() {
        0 => "none".to_owned(),
        1..=LISTED => lines.join(", "),
        more => format!("{} and in {} files more", lines[..LISTED].join(", "), more - LISTED),
    }
}

/// A number with a comma between groups of three digits.
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
