//! Several systems, side by side and against each other.

use apprentice_core::metrics::{
    report::{Average, Compared, Comparison, Report, System, Test, Tested},
    uncertainty::Summary,
};
use comfy_table::CellAlignment;

use super::tables::{drawn, grouped, interval, interval_header};
use crate::{
    output::{share, table},
    page::Page,
};

/// One row for each system.
pub fn systems(page: &mut Page, report: &Report<'_>) {
    let several = report.systems.iter().any(|system| system.runs.len() > 1);
    let single = report.systems.iter().any(|system| system.runs.len() == 1);
    let interval_header = interval_header(report);
    let averages = |Average { summary, interval: ends }: &Average| [mean(summary), interval(ends.as_ref())];
    let rows: Vec<Vec<String>> = report
        .systems
        .iter()
        .map(|system| {
            let seeds = several.then(|| system.runs.len().to_string());
            let name = page.cell(system.name);
            [name].into_iter().chain(seeds).chain(averages(&system.f1)).chain(averages(&system.macro_f1)).collect()
        })
        .collect();
    let mut header = vec!["system"];
    header.extend(several.then_some("seeds"));
    header.extend(["micro F1", &interval_header, "macro F1", &interval_header]);
    page.table(table(&header, rows));
    if several {
        page.line("Of several seeds: mean ± standard deviation; the interval is that of the mean over seeds (t).");
    }
    if single && report.settings.resampling.resamples > 0 {
        let whose = if several { "Intervals of one seed" } else { "Intervals" };
        page.line(format_args!("{whose}: {}.", drawn(report)));
    }
    page.line("Macro F1: the mean over all types, of the gold or predicted.");
    by_type(page, &report.systems);
}

fn by_type(page: &mut Page, systems: &[System<'_>]) {
    let mut types: Vec<_> = systems.iter().flat_map(|system| system.f1_by_type.keys()).collect();
    types.sort();
    types.dedup();
    page.title("F1 by type");
    let mut header = vec!["type".to_owned()];
    header.extend(systems.iter().map(|system| page.cell(system.name)));
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let rows = types.into_iter().map(|label| {
        let cells = systems.iter().map(|system| system.f1_by_type.get(label).map_or(String::new(), mean));
        [label.to_string()].into_iter().chain(cells).collect()
    });
    page.table(table(&header, rows));
}

fn mean(Summary { mean, standard_deviation, .. }: &Summary) -> String {
    match standard_deviation {
        Some(deviation) => format!("{} ± {}", share(*mean), share(*deviation)),
        None => share(*mean),
    }
}

/// The differences between systems, and whether they could be chance.
pub fn comparisons(page: &mut Page, report: &Report<'_>) {
    for (title, tests) in [
        ("Differences, tested over test sentences", [Test::PairedBootstrap, Test::ApproximateRandomisation]),
        ("Differences of means, tested over seeds", [Test::Welch, Test::PairedT]),
    ] {
        tested(page, report, title, tests);
    }
    let untested = report.comparisons.iter().filter_map(|c| c.untested.as_ref().map(|why| (c, why)));
    for (comparison, why) in untested.filter(|_| report.settings.resampling.resamples > 0) {
        page.line(format_args!("Not tested: {} ({why}).", pair(comparison)));
    }
}

fn tested(page: &mut Page, report: &Report<'_>, title: &str, tests: [Test; 2]) {
    let find = |compared: &Compared, test| compared.tests.iter().find(|tested| tested.test == test).copied();
    let rows: Vec<(&Comparison<'_>, &str, &Compared, [Option<Tested>; 2])> = report
        .comparisons
        .iter()
        .flat_map(|c| [(c, "micro F1", &c.f1), (c, "macro F1", &c.macro_f1)])
        .map(|(c, measure, compared)| (c, measure, compared, tests.map(|test| find(compared, test))))
        .filter(|(.., tested)| tested.iter().any(Option::is_some))
        .collect();
    if rows.is_empty() {
        return;
    }
    page.title(title);
    let used = |i: usize| rows.iter().any(|(.., tested)| tested[i].is_some());
    let used: Vec<usize> = (0..2).filter(|&i| used(i)).collect();
    let interval_header = interval_header(report);
    let mut header = vec!["systems", "measure", "difference", &interval_header];
    header.extend(used.iter().map(|&i| p_header(tests[i])));
    let cells = rows.iter().map(|(comparison, measure, compared, tested)| {
        let name = if *measure == "micro F1" { page.cell(&pair(comparison)) } else { String::new() };
        let ends = tested.iter().flatten().find_map(|tested| tested.interval);
        let ends = ends.map_or(String::new(), |ends| format!("{:+.4} to {:+.4}", ends.low, ends.high));
        let mut row = vec![name, (*measure).to_owned(), format!("{:+.4}", compared.difference), ends];
        row.extend(used.iter().map(|&i| tested[i].map_or(String::new(), |tested| p_value(tested.holm))));
        row
    });
    let cells: Vec<Vec<String>> = cells.collect();
    let mut table = table(&header, cells);
    if let Some(measures) = table.column_mut(1) {
        measures.set_cell_alignment(CellAlignment::Left);
    }
    page.table(table);
    let pairs = rows.len() / 2;
    let corrected = if pairs > 1 { format!(", corrected for {pairs} comparisons (Holm)") } else { String::new() };
    let how = match tests {
        [Test::PairedBootstrap, _] => {
            format!("{} resamples, the interval by bootstrap", grouped(report.settings.resampling.resamples))
        }
        _ if used.contains(&1) => {
            "the interval is Welch's; the paired test takes the files in order as of the same seeds".to_owned()
        }
        _ => "the interval is Welch's".to_owned(),
    };
    page.line(format_args!("p: two-sided{corrected}; {how}."));
}

fn pair(comparison: &Comparison<'_>) -> String {
    format!("{} − {}", comparison.system, comparison.with)
}

fn p_header(test: Test) -> &'static str {
    match test {
        Test::PairedBootstrap => "p (bootstrap)",
        Test::ApproximateRandomisation => "p (randomisation)",
        Test::Welch => "p (Welch)",
        Test::PairedT => "p (paired t)",
    }
}

fn p_value(p: f64) -> String {
    if p < 0.00005 { "< 0.0001".to_owned() } else { share(p) }
}
