//! The plots of a report.

use apprentice_core::metrics::{breakdown::Novelty, uncertainty::Summary};

use super::{
    Report, SystemReport,
    plot::{Curve, Dot, Dots, Lines, Rows, Scatter, Shape, Stroke, columns, matrix, rows, scatter},
    tables, words,
};

/// Panels of one kind, and what they show.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Figure {
    pub title: &'static str,
    pub caption: String,
    pub panels: Vec<String>,
    /// How wide a panel is, in pixels.
    pub width: f64,
    /// Class and text of each entry.
    pub legend: Vec<(&'static str, &'static str)>,
}

/// The size of a curve on dev.
const SMALL: (f64, f64) = (265.0, 178.0);
/// The size of a budget's curves.
const LARGE: (f64, f64) = (460.0, 300.0);

/// A system's mark and class.
type Mark = (Shape, &'static str);

/// All plots; those for which there is nothing to show are left out.
pub(super) fn all(report: &Report) -> Vec<Figure> {
    let figures = [
        overall(report),
        by_type(report),
        budgets(report),
        shares(report),
        curves(report),
        by_novelty(report),
        confusions(report),
        costs(report),
    ];
    figures.into_iter().filter(|figure| !figure.panels.is_empty()).collect()
}

const MARKS: [(&str, &str); 4] = [
    ("key-best", "best on dev"),
    ("key-tie", "not distinguishable from it"),
    ("key-other", "others"),
    ("key-control", "control"),
];

fn mark(report: &Report, place: usize) -> Mark {
    if report.best == Some(place) {
        (Shape::Diamond, "best")
    } else if report.is_control(place) {
        (Shape::Square, "control")
    } else if report.is_tie(&report.systems[place]) {
        (Shape::Circle, "tie")
    } else {
        (Shape::Circle, "plain")
    }
}

/// A row for each system with a value of its seeds.
fn each_system(
    report: &Report,
    title: &str,
    value: &dyn Fn(&SystemReport) -> Option<Summary>,
    each: &dyn Fn(&super::Outcome) -> Option<f64>,
) -> String {
    let level = report.settings.resampling.level;
    let mut systems = Vec::new();
    for (place, system) in report.systems.iter().enumerate() {
        let summary = value(system);
        systems.push(Dots {
            label: &system.name,
            mark: mark(report, place),
            mean: summary.map(|summary| summary.mean),
            interval: summary.and_then(|summary| tables::seed_interval(&summary, level)),
            values: system.runs.iter().filter_map(|run| each(run.done.as_ref()?)).collect(),
        });
    }
    let control = report.only_control().and_then(|control| value(&report.systems[control]));
    Rows { title, x_title: "F1 on test", systems, reference: control.map(|summary| summary.mean) }.svg()
}

fn about_rows(report: &Report) -> String {
    let level = words::level(report.settings.resampling.level);
    let reference = if report.only_control().is_some() { " The dashed line is the control." } else { "" };
    format!(
        "The mark is the mean over seeds, small dots are the seeds, the line is the {level} interval of the mean over seeds (t; \
         from three seeds on).{reference} Whether a difference could be chance is in the table: intervals of two systems may \
         overlap and the systems still differ, because both have the same seeds and test sentences."
    )
}

fn has_results(report: &Report) -> bool {
    report.systems.iter().any(|system| system.test.is_some())
}

fn overall(report: &Report) -> Figure {
    let panel = |(title, macro_f1): (&str, bool)| {
        let value =
            |system: &SystemReport| system.test.as_ref().map(|test| if macro_f1 { test.macro_f1 } else { test.f1 });
        let each =
            |done: &super::Outcome| Some(if macro_f1 { done.test.macro_union.f1 } else { done.test.micro.prf.f1 });
        each_system(report, title, &value, &each)
    };
    let panels = [("micro F1", false), ("macro F1", true)].map(panel);
    Figure {
        title: "F1 of all systems",
        caption: about_rows(report),
        width: rows::WIDTH,
        panels: if has_results(report) { panels.to_vec() } else { Vec::new() },
        legend: MARKS.to_vec(),
    }
}

fn by_type(report: &Report) -> Figure {
    let panel = |(label, gold): (&std::sync::Arc<str>, &usize)| {
        let value = |system: &SystemReport| Some(system.test.as_ref()?.by_type.get(label)?.f1);
        let each = |done: &super::Outcome| done.test.per_type.get(label).map(|score| score.prf.f1);
        each_system(report, &format!("{label} ({} in the gold)", words::grouped(*gold)), &value, &each)
    };
    let caption = "F1 of each entity type, drawn as above. Every panel has its own axis.".to_owned();
    Figure {
        title: "F1 by entity type",
        caption,
        width: rows::WIDTH,
        panels: report.types.iter().map(panel).collect(),
        legend: MARKS.to_vec(),
    }
}

fn by_novelty(report: &Report) -> Figure {
    let mut panels = Vec::new();
    for (novelty, title) in [
        (Novelty::Seen, "seen with this type"),
        (Novelty::OtherType, "seen with other types only"),
        (Novelty::Unseen, "not seen"),
    ] {
        let of = |system: &SystemReport| Some(*system.test.as_ref()?.by_novelty.get(&novelty)?);
        let gold: Vec<usize> = report.systems.iter().filter_map(of).map(|of| of.gold).collect();
        if let (Some(least), Some(most @ 1..)) = (gold.iter().min(), gold.iter().max()) {
            let entities = if least == most {
                words::grouped(*most)
            } else {
                format!("{} to {}", words::grouped(*least), words::grouped(*most))
            };
            let value = |system: &SystemReport| of(system).map(|of| of.f1);
            panels.push(each_system(report, &format!("{title} ({entities} in the gold)"), &value, &|_| None));
        }
    }
    Figure {
        title: "Entities that the training data have shown, and others",
        caption: "F1 on test entities by whether their text is an entity in the data that the run learned from, original and \
                  distilled, drawn as above. How many there are depends on that data."
            .to_owned(),
        width: rows::WIDTH,
        panels,
        legend: MARKS.to_vec(),
    }
}

fn shares(report: &Report) -> Figure {
    let mut shown: Vec<(&str, &[f64])> = Vec::new();
    for system in &report.systems {
        let one = (system.regimen.as_str(), &system.shares[..]);
        // Systems may have a regimen in common; what `all` draws depends on its data.
        if !system.shares.is_empty() && !shown.contains(&one) {
            shown.push(one);
        }
    }
    Figure {
        title: "What each regimen shows the student",
        caption: "The share of distilled data in each epoch: what the regimen asks for, or, under all, what was drawn."
            .to_owned(),
        width: columns::WIDTH,
        panels: shown.iter().map(|(regimen, shares)| columns::columns(regimen, shares)).collect(),
        legend: vec![("key-distilled", "distilled data"), ("key-original", "original data")],
    }
}

/// The mean over seeds, epoch by epoch, as far as all seeds have got.
fn mean_curve(system: &SystemReport) -> Vec<(f64, f64)> {
    let curves: Vec<&crate::Curve> = system.runs.iter().filter_map(|run| Some(&run.done.as_ref()?.curve)).collect();
    let epochs = curves.iter().map(|curve| curve.len()).min().unwrap_or(0);
    let n = curves.len() as f64;
    (0..epochs)
        .map(|epoch| {
            let sum = curves
                .iter()
                .fold((0.0, 0.0), |(steps, f1), curve| (steps + curve[epoch].0 as f64, f1 + curve[epoch].1));
            (sum.0 / n, sum.1 / n)
        })
        .collect()
}

fn curves(report: &Report) -> Figure {
    let means: Vec<Vec<(f64, f64)>> = report.systems.iter().map(mean_curve).collect();
    let every: Vec<f64> = report
        .systems
        .iter()
        .flat_map(|system| &system.runs)
        .filter_map(|run| run.done.as_ref())
        .flat_map(|done| done.curve.iter().map(|(_, f1)| *f1))
        .collect();
    let panel = |(place, system): (usize, &SystemReport)| {
        let mean = &means[place];
        let last = mean.last()?;
        let plain = |stroke, points| Curve { stroke, points, whiskers: Vec::new(), label: "" };
        let control = system.control.filter(|&control| control != place && !means[control].is_empty());
        let mut curves: Vec<Curve<'_>> =
            control.into_iter().map(|control| plain(Stroke::Dashed, means[control].clone())).collect();
        for run in system.runs.iter().filter_map(|run| run.done.as_ref()) {
            curves.push(plain(Stroke::Thin, run.curve.iter().map(|&(step, f1)| (step as f64, f1)).collect()));
        }
        curves.push(plain(Stroke::Strong, mean.clone()));
        let description = format!("Mean F1 on dev after {:.0} steps: {:.4}.", last.0, last.1);
        let lines = Lines {
            title: &system.name,
            description: &description,
            size: SMALL,
            x_title: "optimiser steps",
            logarithmic: false,
            y_values: &every,
            curves,
        };
        Some(lines.svg())
    };
    Figure {
        title: "F1 on dev over the steps",
        caption: "Micro F1 on dev at the end of each epoch. All panels have the same F1 axis.".to_owned(),
        width: SMALL.0,
        panels: report.systems.iter().enumerate().filter_map(panel).collect(),
        legend: vec![
            ("key-strong", "mean of the seeds"),
            ("key-thin", "each seed"),
            ("key-dashed", "mean of the control"),
        ],
    }
}

fn budgets(report: &Report) -> Figure {
    let panel = |budget: &super::Budget| {
        if budget.with.is_empty() || budget.without.is_empty() {
            return None;
        }
        let curve = |stroke, points: &[super::Point], label| Curve {
            stroke,
            points: points.iter().map(|point| (point.labels as f64, point.f1.mean)).collect(),
            whiskers: points
                .iter()
                .map(|point| point.f1.standard_deviation.map(|sd| (point.f1.mean - sd, point.f1.mean + sd)))
                .collect(),
            label,
        };
        let in_words = |points: &[super::Point]| {
            let all = points.iter().map(|point| format!("{} sentences {:.4}", point.labels, point.f1.mean));
            all.collect::<Vec<_>>().join(", ")
        };
        let description =
            format!("With the teacher's labels: {}. Without: {}.", in_words(&budget.with), in_words(&budget.without));
        let lines = Lines {
            title: &format!("{} and {}", budget.with_name, budget.without_name),
            description: &description,
            size: LARGE,
            x_title: "human-labelled sentences (logarithmic)",
            logarithmic: true,
            y_values: &[],
            curves: vec![
                curve(Stroke::Dashed, &budget.without, budget.without_name.as_str()),
                curve(Stroke::Strong, &budget.with, budget.with_name.as_str()),
            ],
        };
        Some(lines.svg())
    };
    Figure {
        title: "F1 over the number of human labels",
        caption:
            "Micro F1 on test with the teacher's labels and without, mean over seeds; the whiskers are one standard \
                  deviation over seeds."
                .to_owned(),
        width: LARGE.0,
        panels: report.budgets.iter().filter_map(panel).collect(),
        legend: vec![("key-with", "with the teacher's labels"), ("key-without", "without")],
    }
}

fn confusions(report: &Report) -> Figure {
    let panels = report.teachers.iter().map(|teacher| {
        let title = if teacher.teacher.is_empty() {
            teacher.data.clone()
        } else {
            format!("{} ({})", teacher.data, teacher.teacher)
        };
        matrix::matrix(&title, &teacher.confusion)
    });
    Figure {
        title: "What the teachers take for what",
        caption: "Human labels (rows) and the teacher's (columns) where they share a token; the darker a cell, the larger its \
                  part of the row. Missed: the teacher has nothing there; spurious: the human labels have nothing there."
            .to_owned(),
        width: matrix::WIDTH,
        panels: panels.collect(),
        legend: Vec::new(),
    }
}

fn costs(report: &Report) -> Figure {
    let panel = |title: &str, x_title: &str, cost: &dyn Fn(&SystemReport) -> Option<f64>| {
        let dots: Vec<Dot<'_>> = report
            .systems
            .iter()
            .enumerate()
            .filter_map(|(place, system)| {
                let at = (cost(system)?, system.test.as_ref()?.f1.mean);
                Some(Dot { label: &system.name, mark: mark(report, place), at })
            })
            .collect();
        // Where all cost the same there is nothing to see.
        let differ = dots.iter().any(|dot| dot.at.0.to_bits() != dots[0].at.0.to_bits());
        differ.then(|| Scatter { title, x_title, dots }.svg())
    };
    let panels = [
        panel("Human labels", "human-labelled sentences", &|system| Some(system.human_sentences as f64)),
        panel("The teacher", "US dollars for the teacher's labels", &|system| system.dollars),
        panel("Training", "seconds in training steps", &|system| Some(system.test.as_ref()?.train_seconds)),
    ];
    Figure {
        title: "What it costs",
        caption: "Mean micro F1 on test over what a system takes. Only costs in which systems differ are shown."
            .to_owned(),
        width: scatter::WIDTH,
        panels: panels.into_iter().flatten().collect(),
        legend: MARKS.to_vec(),
    }
}
