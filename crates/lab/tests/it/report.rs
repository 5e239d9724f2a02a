//! Reports on ledgers whose runs are known.

use std::{fs, path::Path};

use apprentice_core::{
    Counts, Sentence,
    metrics::uncertainty::{Resampling, Summary, UnitCounts, holm, paired_bootstrap_of_runs},
};
use apprentice_lab::{
    Experiment, Grid, LabError, Ledger, System,
    report::{Bound, Report, Settings, Verdict, best_on_dev},
};
use tempfile::TempDir;

use crate::synthetic::{BUDGET, Fate, REGIMENS, Texts, fill, skill};

/// Three regimens, three seeds, few sentences.
const SMALL: &str = r#"
name = "small"
title = "Three regimens"
seeds = [1, 2, 3]
control = { regimen = "original-only" }
axes = [{ setting = "regimen", values = ["original-only", "simple-mix", "all"] }]
[run]
encoder = "scratch:2x64x4"
original = "original"
distilled = "cot"
dev = "dev"
test = "test"
epochs = 8
[[questions]]
kind = "best"
ask = "Which is best?"
[[questions]]
kind = "change"
ask = "Does a simple mix help?"
from = { regimen = "original-only" }
to = { regimen = "simple-mix" }
[[questions]]
kind = "change"
ask = "Is all at once as good?"
from = { regimen = "simple-mix" }
to = { regimen = "all" }
[[questions]]
kind = "teacher"
ask = "Which teacher is better?"
data = ["cot", "weak"]
[data]
original = { files = ["o"] }
cot = { files = ["c"], teacher = "strong", gold = ["g"] }
weak = { files = ["w"], teacher = "weak", gold = ["g"], dollars = 0.5 }
dev = { files = ["d"] }
test = { files = ["t"] }
"#;

/// `simple-mix` and `all` are equally good, the control is much worse.
fn three(point: &System, _: u64) -> Fate {
    Fate::Done(if point.name == "original-only" { 0.5 } else { 0.8 })
}

fn texts() -> Texts {
    let mut texts = Texts::default();
    texts.sizes.extend([("original", 60), ("cot", 80), ("weak", 80), ("dev", 60), ("test", 150)]);
    texts
}

fn quick() -> Settings {
    let mut settings = Settings::default();
    settings.resampling = Resampling { resamples: 400, ..Resampling::default() };
    settings
}

struct Lab {
    _root: TempDir,
    ledger: Ledger,
    grid: Grid,
}

impl Lab {
    fn of(text: &str, texts: &Texts, fate: impl Fn(&System, u64) -> Fate + Sync) -> Self {
        let root = tempfile::tempdir().unwrap();
        let (ledger, grid) = fill(root.path(), text, texts, fate);
        Self { _root: root, ledger, grid }
    }

    fn report(&self) -> Report {
        Report::of(&self.ledger, &self.grid, &quick()).unwrap()
    }

    fn system(&self, name: &str) -> usize {
        self.grid.systems.iter().position(|system| system.name == name).unwrap()
    }

    /// The counts of a system's runs, from the files.
    fn units(&self, name: &str) -> Vec<UnitCounts> {
        let gold = self.ledger.sentences(&self.grid.data["test"].fingerprint).unwrap();
        let entities = |all: &[Sentence]| all.iter().map(|s| s.entities().to_vec()).collect::<Vec<_>>();
        let units = |id: &String| {
            let predicted = self.ledger.predictions(id, "test").unwrap();
            UnitCounts::of_sentences(&entities(&gold), &entities(&predicted)).unwrap()
        };
        self.grid.systems[self.system(name)].runs.iter().map(units).collect()
    }

    fn file(&self, id: &str, name: &str) -> std::path::PathBuf {
        self.ledger.run(id).join(name)
    }
}

fn csv(report: &Report, name: &str) -> Vec<Vec<String>> {
    let (_, file) = report.csv().into_iter().find(|(known, _)| *known == name).unwrap();
    file.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

fn replace(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    apprentice_core::files::write_atomic(path, true, |out| {
        std::io::Write::write_all(out, text.replace(from, to).as_bytes())
    })
    .unwrap();
}

#[test]
fn the_best_on_dev_has_most_seeds_then_the_highest_mean() {
    assert_eq!(best_on_dev([]), None);
    assert_eq!(best_on_dev([(0, 1, 0.9), (1, 3, 0.5), (2, 3, 0.7), (3, 3, 0.7), (4, 2, 0.8)]), Some((2, 3, 0.7)));
}

#[test]
fn numbers_are_those_of_the_files() {
    let lab = Lab::of(SMALL, &texts(), three);
    let report = lab.report();
    for system in &report.systems {
        let units = lab.units(&system.name);
        let f1: Vec<f64> = units.iter().map(|units| units.scores().micro.prf.f1).collect();
        let test = system.test.as_ref().unwrap();
        assert_eq!(test.f1, Summary::of(&f1).unwrap());
        let macro_f1: Vec<f64> = units.iter().map(|units| units.scores().macro_union.f1).collect();
        assert_eq!(test.macro_f1, Summary::of(&macro_f1).unwrap());
        let loc: Vec<f64> = units.iter().map(|units| units.scores().per_type["LOC"].prf.recall).collect();
        assert_eq!(test.by_type["LOC"].recall, Summary::of(&loc).unwrap());
        assert_eq!((test.steps, system.human_sentences), (96.0, 60));
    }
    // The two comparisons with the control, and their correction for each other.
    let control = lab.units("original-only");
    let resampling = quick().resampling;
    let tested =
        ["simple-mix", "all"].map(|name| paired_bootstrap_of_runs(&lab.units(name), &control, &resampling).unwrap());
    let corrected = holm(&tested.map(|tested| tested.f1.p_value)).unwrap();
    for ((name, tested), corrected) in ["simple-mix", "all"].into_iter().zip(tested).zip(corrected) {
        let pair = report.systems[lab.system(name)].against_control.as_ref().unwrap();
        assert!((pair.f1.difference - tested.f1.difference.estimate).abs() < 1e-12);
        let interval = pair.f1.interval.unwrap();
        assert!((interval.low - tested.f1.difference.low).abs() < 1e-12, "{interval:?}");
        assert_eq!((pair.f1.p_value, pair.f1.holm), (Some(tested.f1.p_value), Some(corrected)));
    }
    assert!(report.systems[lab.system("original-only")].against_control.is_none());
    // A share of 0 that the regimen asks for, and one that was drawn.
    assert_eq!(report.systems[lab.system("original-only")].shares, [0.0; 8]);
    assert_eq!(report.systems[lab.system("all")].shares, [0.5; 8]);
}

#[test]
fn questions_are_answered_with_numbers() {
    let lab = Lab::of(SMALL, &texts(), three);
    let report = lab.report();
    let [best, helps, same, teacher] = &report.answers[..] else { panic!("{:?}", report.answers) };
    let share = |value: f64| format!("{value:.4}");

    let system = &report.systems[report.best.unwrap()];
    assert!(["simple-mix", "all"].contains(&system.name.as_str()));
    let dev: Vec<f64> = report.systems.iter().map(|system| system.dev.unwrap().mean).collect();
    assert!(dev.iter().all(|&mean| mean <= system.dev.unwrap().mean));
    let start = format!(
        "{}, chosen on dev (mean F1 {}), has F1 {}",
        system.name,
        share(system.dev.unwrap().mean),
        share(system.test.as_ref().unwrap().f1.mean)
    );
    assert!(best.answer.starts_with(&start), "{}", best.answer);
    assert!(best.answer.contains("of its control original-only: +0."), "{}", best.answer);
    assert!(best.more[0].starts_with("Not distinguishable from it on test: "), "{:?}", best.more);
    assert!(best.more[1].starts_with("Worse on test: original-only ("), "{:?}", best.more);
    assert_eq!(best.verdict, Verdict::Different);

    let pair = &helps.pairs[0];
    let interval = pair.f1.interval.unwrap();
    let expected = format!(
        "simple-mix has a higher F1 than original-only: {} against {}, +{} (95 % interval +{} to +{}, p = {}), over 3 seeds.",
        share(pair.f1.first),
        share(pair.f1.second),
        share(pair.f1.difference),
        share(interval.low),
        share(interval.high),
        share(pair.f1.holm.unwrap())
    );
    assert_eq!(helps.answer, expected);
    assert_eq!(helps.verdict, Verdict::Different);

    assert!(same.answer.starts_with("all and simple-mix are not distinguishable: F1 0."), "{}", same.answer);
    assert_eq!(same.verdict, Verdict::NotDistinguishable);

    assert!(teacher.answer.starts_with("weak has a lower F1 than cot: 0."), "{}", teacher.answer);
    assert!(teacher.answer.contains(", −0."), "a true minus: {}", teacher.answer);
    assert!(
        teacher.more[0].starts_with("cot: F1 0.") && teacher.more[0].ends_with("on 80 sentences."),
        "{:?}",
        teacher.more
    );
}

#[test]
fn tables_mark_the_best_its_ties_and_the_control() {
    let lab = Lab::of(SMALL, &texts(), three);
    let report = lab.report();
    let (best, tie) =
        if report.systems[report.best.unwrap()].name == "all" { ("all", "simple-mix") } else { ("simple-mix", "all") };
    let markdown = report.markdown();
    let row = |name: &str| {
        markdown
            .lines()
            .find(|line| line.starts_with(&format!("| {name}")))
            .unwrap_or_else(|| panic!("{name} in {markdown}"))
    };
    assert!(row(&format!("**{best}** (best on dev) | 3 | 0.")).contains(" | +0."));
    assert!(row(&format!("{tie} (tie) | 3 | 0.")).contains(" | 0."));
    assert!(row("original-only (control) | 3 | 0.").contains(" |  |  |  |  | 0."), "no difference from itself");
    let latex = report.latex();
    assert!(latex.contains(&format!("\\textbf{{{best}}} (best on dev) & 3 & 0.")), "{latex}");
    assert!(latex.contains("$\\pm$") && latex.contains("\\toprule") && !latex.contains('±'), "{latex}");
    assert_eq!(latex.matches("\\begin{table}").count(), latex.matches("\\end{table}").count());
    let systems = csv(&report, "systems.csv");
    let column = |name: &str| systems[0].iter().position(|known| known == name).unwrap();
    let is = |name: &str, what: &str| systems.iter().find(|row| row[0] == name).unwrap()[column(what)].clone();
    assert_eq!(
        [is(best, "best_on_dev"), is(tie, "best_on_dev"), is(tie, "tie"), is("original-only", "tie")],
        ["true", "false", "true", "false"]
    );
    // Unrounded.
    let mean: f64 = is(best, "f1_mean").parse().unwrap();
    assert_eq!(mean.to_bits(), report.systems[report.best.unwrap()].test.as_ref().unwrap().f1.mean.to_bits());
    for (name, file) in report.csv() {
        let columns: Vec<usize> = file.lines().map(|line| line.split(',').count()).collect();
        let quoted = file.contains('"');
        assert!(quoted || columns.iter().all(|&n| n == columns[0]), "{name}: {file}");
    }
}

#[test]
fn the_same_ledger_gives_the_same_bytes() {
    let lab = Lab::of(SMALL, &texts(), three);
    let all = || {
        let report = lab.report();
        let json = serde_json::to_string(&report).unwrap();
        (report.html().unwrap(), report.markdown(), report.latex(), report.csv(), json)
    };
    assert_eq!(all(), all());
}

#[test]
fn what_is_missing_is_said() {
    let fate = |point: &System, seed| match (point.name.as_str(), seed) {
        ("all", 1) => Fate::Failed("the disk is | <full>"),
        ("all", _) | (_, 3) => Fate::Pending,
        _ => three(point, seed),
    };
    let lab = Lab::of(SMALL, &texts(), fate);
    let report = lab.report();
    let said = "This report is of 4 of 9 runs: 1 failed and 4 not begun.";
    let (html, markdown) = (report.html().unwrap(), report.markdown());
    assert!(html.contains(said) && markdown.contains(said), "{markdown}");
    assert!(html.contains("all, seed 1: the disk is | &lt;full&gt;"));
    assert!(markdown.contains("the disk is \\| &lt;full&gt;"));
    assert_eq!(report.progress.failed[0].reason, "the disk is | <full>");
    // Nothing of `all` is done: its row is empty, the question is open.
    assert!(markdown.lines().any(|line| line.starts_with("| all | 0 of 3 |  |")), "{markdown}");
    assert_eq!(report.answers[2].verdict, Verdict::Open);
    assert_eq!(report.answers[2].answer, "Of 1 pair no run is done of both yet.");
    assert!(report.answers[1].answer.ends_with("over 2 seeds."), "{}", report.answers[1].answer);

    let nothing = Lab::of(SMALL, &texts(), |_, _| Fate::Pending);
    let report = nothing.report();
    assert!(report.markdown().contains("This report is of 0 of 9 runs: 9 not begun."));
    assert_eq!(report.answers[0].verdict, Verdict::Open);
    assert_eq!(report.best, None);
    report.html().unwrap();
    assert!(report.latex().contains("original-only"));
    assert_eq!(csv(&report, "types.csv").len(), 1);
}

#[test]
fn differences_are_over_the_seeds_that_both_have() {
    let fate = |point: &System, seed| if point.name == "all" && seed != 2 { Fate::Pending } else { three(point, seed) };
    let lab = Lab::of(SMALL, &texts(), fate);
    let report = lab.report();
    let pair = report.systems[lab.system("all")].against_control.as_ref().unwrap();
    assert_eq!(pair.seeds, Some(1));
    let second = lab.units("original-only")[1].scores().micro.prf.f1;
    assert!((pair.f1.second - second).abs() < 1e-12);
    // It is not in the choice either.
    assert!(report.answers[0].more.contains(&"Not in the choice, because fewer seeds are done: all.".to_owned()));
}

#[test]
fn one_seed_has_no_spread_and_is_said_to_be_one() {
    let lab = Lab::of(&SMALL.replace("seeds = [1, 2, 3]", "seeds = [7]"), &texts(), three);
    let report = lab.report();
    assert_eq!(report.systems[0].test.as_ref().unwrap().f1.standard_deviation, None);
    let markdown = report.markdown();
    assert!(markdown.contains("Of a system with one seed"), "{markdown}");
    assert!(!markdown.contains("0.0000 ±") && report.answers[1].answer.ends_with("over 1 seed."));
    assert_eq!(report.answers[1].verdict, Verdict::OneSeed);
    let said = "One run of simple-mix and one of original-only are compared: other seeds may come out otherwise.";
    assert!(report.answers[1].more.contains(&said.to_owned()), "{:?}", report.answers[1].more);
    report.html().unwrap();
}

#[test]
fn without_resamples_nothing_is_tested_or_claimed() {
    let lab = Lab::of(SMALL, &texts(), three);
    let mut settings = quick();
    settings.resampling.resamples = 0;
    let report = Report::of(&lab.ledger, &lab.grid, &settings).unwrap();
    assert_eq!(report.answers[1].verdict, Verdict::Open);
    assert!(report.answers[1].answer.contains("(not tested)"), "{}", report.answers[1].answer);
    assert!(report.answers[1].more[0].contains("no resamples are drawn"), "{:?}", report.answers[1].more);
    assert!(report.markdown().contains("| not tested |"));
    assert!(!report.markdown().contains("(tie)"));
}

#[test]
fn types_and_predictions_may_be_absent() {
    // One type alone; the control finds nothing at all.
    let mut texts = texts();
    texts.types.truncate(1);
    let fate = |point: &System, _| Fate::Done(if point.name == "original-only" { -1.0 } else { 0.9 });
    let lab = Lab::of(SMALL, &texts, fate);
    let id = &lab.grid.systems[lab.system("original-only")].runs[0];
    let gold = lab.ledger.sentences(&lab.grid.data["test"].fingerprint).unwrap();
    // No predicted entity in the whole file.
    let empty: Vec<Sentence> = gold
        .iter()
        .map(|sentence| sentence.clone().with_entities(vec![], apprentice_core::Provenance::Predicted).unwrap())
        .collect();
    let mut columns = Vec::new();
    apprentice_core::corpus::conll::write(&mut columns, &empty).unwrap();
    apprentice_core::files::write_atomic(&lab.file(id, "predictions.test.conll"), true, |out| {
        std::io::Write::write_all(out, &columns)
    })
    .unwrap();
    let result = lab.file(id, "result.json");
    let mut json: serde_json::Value = serde_json::from_str(&fs::read_to_string(&result).unwrap()).unwrap();
    let all: usize = gold.iter().map(|sentence| sentence.entities().len()).sum();
    let counts = Counts { gold: all, ..Counts::default() };
    json["test"] = serde_json::to_value(apprentice_core::Scores::from_counts([("PER".into(), counts)].into())).unwrap();
    apprentice_core::files::write_atomic(&result, true, |out| Ok(serde_json::to_writer(out, &json)?)).unwrap();

    let report = lab.report();
    let control = report.systems[lab.system("original-only")].runs[0].done.as_ref().unwrap();
    assert_eq!(control.test.micro.counts, counts);
    assert_eq!(report.types.keys().map(|label| &**label).collect::<Vec<_>>(), ["PER"]);
    assert_eq!(report.types["PER"], all);
    report.html().unwrap();
}

#[test]
fn predictions_that_are_not_those_of_the_result_are_an_error() {
    let lab = Lab::of(SMALL, &texts(), three);
    let id = &lab.grid.systems[1].runs[2];
    replace(&lab.file(id, "predictions.test.conll"), "B-PER", "B-LOC");
    let error = Report::of(&lab.ledger, &lab.grid, &quick()).unwrap_err();
    assert!(matches!(&error, LabError::Ledger { path, .. } if path.ends_with(format!("{id}/run"))), "{error}");
    assert!(error.to_string().contains("other scores than its result.json"), "{error}");
}

#[test]
fn a_grid_of_other_systems_is_an_error() {
    let mut lab = Lab::of(SMALL, &texts(), |_, _| Fate::Pending);
    lab.grid.systems[1].control = Some(7);
    let error = |lab: &Lab| Report::of(&lab.ledger, &lab.grid, &quick()).unwrap_err().to_string();
    assert_eq!(error(&lab), "experiment small: its grid has other systems: run the experiment again");
    lab.grid.systems[1].control = Some(0);
    lab.grid.systems[1].name = "other".to_owned();
    assert!(error(&lab).contains("other systems"));
    // What a data set has too few sentences for is not in the grid.
    lab.grid.systems.remove(1);
    assert_eq!(Report::of(&lab.ledger, &lab.grid, &quick()).unwrap().systems.len(), 2);
}

#[test]
fn unequal_steps_are_marked() {
    let lab = Lab::of(SMALL, &texts(), three);
    for id in &lab.grid.systems[lab.system("all")].runs {
        replace(&lab.file(id, "result.json"), "\"steps\":96", "\"steps\":1200");
    }
    let report = lab.report();
    let markdown = report.markdown();
    assert!(markdown.contains("| 1,200 ≠ |") && markdown.contains("≠: not as many optimiser steps"), "{markdown}");
    assert_eq!(markdown.matches(" ≠ |").count(), 1);
    let said = "all makes 1,200 optimiser steps, simple-mix 96: this is no comparison at equal steps.";
    assert!(report.answers[2].more.iter().any(|more| more == said), "{:?}", report.answers[2].more);
}

#[test]
fn what_labels_are_worth_is_read_off_the_curve() {
    let few = BUDGET.replace("\"original:25\", ", "").replace("\"original:800\"", "\"original:600\"");
    let mut texts = texts();
    texts.sizes.extend([("original", 600), ("test", 300)]);
    let lab = Lab::of(&few, &texts, |point, seed| Fate::Done(skill(point, seed)));
    let report = lab.report();
    let [budget] = &report.budgets[..] else { panic!("{:?}", report.budgets) };
    assert_eq!((budget.with_name.as_str(), budget.without_name.as_str()), ("simple-mix", "original-only"));
    let labels = |points: &[apprentice_lab::report::Point]| points.iter().map(|point| point.labels).collect::<Vec<_>>();
    assert_eq!(labels(&budget.with), [50, 100, 200, 400, 600]);
    assert_eq!(labels(&budget.without), labels(&budget.with));
    let mut beyond = 0;
    for point in &budget.with {
        let (mean, worth) = (point.f1.mean, point.worth.unwrap());
        let alone: Vec<(f64, f64)> = budget.without.iter().map(|p| (p.labels as f64, p.f1.mean)).collect();
        match worth.estimate {
            Bound::At(labels) => {
                let above = alone.iter().position(|(_, f1)| *f1 >= mean).unwrap();
                let (from, to) = (alone[above - 1], alone[above]);
                let part = (labels / from.0).ln() / (to.0 / from.0).ln();
                assert!((from.1 + part * (to.1 - from.1) - mean).abs() < 1e-9);
            }
            Bound::MoreThan(most) => {
                beyond += 1;
                assert_eq!(most, 600);
                assert!(alone.iter().all(|(_, f1)| *f1 < mean));
            }
            Bound::FewerThan(_) => panic!("{worth:?}"),
        }
        let order = |bound: Bound| match bound {
            Bound::FewerThan(_) => f64::NEG_INFINITY,
            Bound::At(labels) => labels,
            Bound::MoreThan(_) => f64::INFINITY,
        };
        let [low, high] = worth.interval.unwrap().map(order);
        assert!(low <= order(worth.estimate) && order(worth.estimate) <= high, "{worth:?}");
        assert!(point.pair.as_ref().unwrap().f1.difference > 0.0);
    }
    assert!((1..5).contains(&beyond), "some are on the curve and some are not: {beyond}");
    let answer = &report.answers[0];
    assert!(
        answer.answer.starts_with("50 human-labelled sentences with the teacher's labels (simple-mix) give F1 0."),
        "{}",
        answer.answer
    );
    assert!(answer.more.iter().any(|more| more.contains("takes more than 600")), "{:?}", answer.more);
    let change = &report.answers[1];
    assert_eq!((change.pairs.len(), change.more.len()), (5, 5));
    assert!(
        change.answer.starts_with("In 5 pairs that differ in nothing else, the change is +0."),
        "{}",
        change.answer
    );
}

/// Distilled data have no effect under `original-only`, so that one system stands for two points of the grid.
#[test]
fn a_change_is_found_from_both_sides() {
    let text = SMALL
        .replace(
            "\"original-only\", \"simple-mix\", \"all\"] }]",
            "\"original-only\", \"simple-mix\"] },\n{ setting = \"distilled\", values = [\"cot\", \"weak\"] }]",
        )
        .replace("distilled = \"cot\"\n", "")
        .replace(
            "ask = \"Is all at once as good?\"\nfrom = { regimen = \"simple-mix\" }\nto = { regimen = \"all\" }",
            "ask = \"Is weak as good?\"\nfrom = { distilled = \"cot\" }\nto = { distilled = \"weak\" }",
        );
    let lab = Lab::of(&text, &texts(), three);
    let report = lab.report();
    let names = |answer: usize| {
        report.answers[answer].pairs.iter().map(|pair| format!("{} - {}", pair.system, pair.with)).collect::<Vec<_>>()
    };
    assert_eq!(names(1), ["simple-mix, cot - original-only", "simple-mix, weak - original-only"]);
    assert_eq!(names(2), ["simple-mix, weak - simple-mix, cot"]);
}

#[test]
fn systems_on_other_test_sets_are_not_tested_against_each_other() {
    let text = SMALL
        .replace(
            "\"original-only\", \"simple-mix\", \"all\"] }]",
            "\"original-only\"] },\n{ setting = \"test\", values = [\"test\", \"dev\"] }]",
        )
        .replace("test = \"test\"\nepochs", "epochs")
        .replace(
            "from = { regimen = \"original-only\" }\nto = { regimen = \"simple-mix\" }",
            "from = { test = \"test\" }\nto = { test = \"dev\" }",
        )
        .replace(
            "from = { regimen = \"simple-mix\" }\nto = { regimen = \"all\" }",
            "from = { test = \"dev\" }\nto = { test = \"test\" }",
        );
    let report = Lab::of(&text, &texts(), three).report();
    let pair = &report.answers[1].pairs[0];
    assert_eq!(pair.untested.as_deref(), Some("they are tested on different sets (test and dev)"));
    assert_eq!((pair.f1.holm, report.answers[1].verdict), (None, Verdict::Open));
}

/// No text from data, settings or messages may become a tag.
#[test]
fn texts_stay_texts() {
    const SCRIPT: &str = "<script>alert(1)</script>";
    const IMAGE: &str = "\"><img/src=x/onerror=alert(1)>";
    let mut texts = texts();
    texts.words.extend([SCRIPT, IMAGE, "&lt;b&gt;", "{{command}}", "\\end{document}", "|`*"]);
    texts.types[0].0 = "<svg/onload=alert(1)>";
    texts.types[1].1.push("<script>alert(2)</script> <b>");
    let evil = format!("{SCRIPT}'{IMAGE}").replace('"', "\\\"");
    let text = SMALL
        .replace("title = \"Three regimens\"", &format!("title = \"{evil}\"\nabout = \"{evil}\""))
        .replace("ask = \"Which is best?\"", &format!("ask = \"{evil}\""))
        .replace("teacher = \"strong\"", &format!("teacher = \"{evil}\""));
    let fate = |point: &System, seed| if seed == 3 { Fate::Failed(SCRIPT) } else { three(point, seed) };
    let mut lab = Lab::of(&text, &texts, fate);
    lab.grid.command = format!("{SCRIPT}{IMAGE}");
    let report = lab.report();
    assert!(!report.examples.is_empty());
    let html = report.html().unwrap();
    // What is there as a tag is what the templates have.
    let tags: std::collections::BTreeSet<&str> = html
        .split('<')
        .skip(1)
        .map(|after| {
            after.trim_start_matches('/').split(|c: char| !c.is_ascii_alphanumeric() && c != '!').next().unwrap()
        })
        .collect();
    let known = [
        "!DOCTYPE",
        "a",
        "article",
        "b",
        "body",
        "circle",
        "dd",
        "desc",
        "div",
        "dl",
        "dt",
        "figcaption",
        "figure",
        "footer",
        "h1",
        "h2",
        "h3",
        "head",
        "header",
        "html",
        "i",
        "li",
        "main",
        "mark",
        "meta",
        "nav",
        "p",
        "polygon",
        "polyline",
        "pre",
        "rect",
        "section",
        "small",
        "span",
        "strong",
        "style",
        "svg",
        "table",
        "tbody",
        "td",
        "text",
        "th",
        "thead",
        "title",
        "tr",
        "ul",
    ];
    let unknown: Vec<&&str> = tags.iter().filter(|tag| !known.contains(tag)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    assert!(!html.contains("<svg/") && !html.contains("alert(1)\">") && !html.contains("\"><img"), "in an attribute");
    assert!(html.contains("&lt;script&gt;alert(1)&lt;") && html.contains("&amp;lt;b&amp;gt;"));
    assert!(
        !html.contains("http://") && !html.contains("https://") && !html.contains("url(") && !html.contains("@import")
    );

    let markdown = report.markdown();
    let outside: Vec<&str> = markdown.split("```").step_by(2).collect();
    assert!(outside.iter().all(|text| !text.contains('<')), "{markdown}");
    let rows =
        markdown.lines().filter(|line| line.starts_with("| ")).map(|line| line.replace("\\|", "").matches('|').count());
    assert!(rows.clone().min().unwrap() > 2);
    assert!(!report.latex().replace("\\_", "").contains('_'), "an underscore would end LaTeX");
}

#[test]
fn the_experiment_in_the_report_is_an_experiment_file() {
    let lab = Lab::of(SMALL, &texts(), |_, _| Fate::Pending);
    let markdown = lab.report().markdown();
    let file = markdown.split("```text\n").nth(2).unwrap().split("\n```").next().unwrap();
    assert_eq!(Experiment::parse(file, "report").unwrap(), lab.grid.experiment);
}

/// The larger ledger to look at: a whole grid is fast enough, and everything is there.
#[test]
fn a_whole_grid_has_everything() {
    let lab = Lab::of(REGIMENS, &texts(), |point, seed| Fate::Done(skill(point, seed)));
    let html = lab.report().html().unwrap();
    for heading in [
        "All systems",
        "Precision and recall by entity type",
        "The teachers",
        "F1 of all systems",
        "F1 by entity type",
        "What each regimen shows",
        "F1 on dev over the steps",
        "Entities that the training data",
        "What the teachers take for what",
        "What it costs",
        "Examples",
        "To repeat it",
        "Experiment file",
        "Runs",
    ] {
        assert!(html.contains(heading), "{heading}");
    }
    let plots = html.matches("<svg ").count();
    assert_eq!(plots, html.matches("</desc>").count());
    // One for each regimen in two figures, and the others.
    assert!(plots > 30, "{plots}");
    for system in &lab.grid.systems {
        assert!(system.runs.iter().all(|id| html.contains(id.as_str())));
    }
}

#[test]
fn presets_with_files_have_reports() {
    for name in Experiment::PRESETS {
        let preset = Experiment::preset(name).unwrap();
        let lab = Lab::of(preset, &texts(), |_, seed| if seed == 1 { Fate::Done(0.7) } else { Fate::Pending });
        let report = lab.report();
        assert_eq!(report.answers.len(), lab.grid.experiment.questions.len(), "{name}");
        report.html().unwrap();
    }
}
