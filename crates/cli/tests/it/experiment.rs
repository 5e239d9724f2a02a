//! `experiment`: grids that are interrupted, shared, sharded and failing.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use tempfile::TempDir;

use crate::{annotate::said, fails, run_in, sample, succeeds, write};

/// Two regimens, two sizes of the original data, two seeds.
const SMALL: &str = r#"
name = "small"
title = "Does a mix help?"
seeds = [1, 2]
control = { regimen = "original-only" }
axes = [
    { setting = "regimen", values = ["original-only", "simple-mix"] },
    { setting = "original", values = ["people:20", "people"] },
]

[run]
encoder = "scratch:1x16x2"
distilled = "llm"
dev = "dev"
test = "dev"
epochs = 3
batch_size = 8
budget_steps = 9
learning_rate = 5e-3

[data]
people = { files = ["people.conll"] }
llm = { files = ["llm.conll"], teacher = "a model" }
dev = { files = ["dev.conll"] }
"#;

fn prepared() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, of, sentences) in
        [("people.conll", "train.conll", 40), ("llm.conll", "unlabelled.conll", 30), ("dev.conll", "dev.conll", 20)]
    {
        let text = fs::read_to_string(sample(of)).unwrap();
        let some: Vec<&str> = text.split("\n\n").take(sentences).collect();
        write(&directory, name, &(some.join("\n\n") + "\n"));
    }
    write(&directory, "small.toml", SMALL);
    directory
}

fn begin(at: &Path, ledger: &str, more: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_apprentice"));
    command.current_dir(at).args(["experiment", "run", "small.toml", "-o", ledger, "--threads", "2"]).args(more);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// What the runs of a ledger left, but for the time that they took.
fn results(at: &Path, ledger: &str) -> BTreeMap<String, Vec<String>> {
    let runs = fs::read_dir(at.join(ledger).join("runs")).unwrap().map(|entry| entry.unwrap().path());
    let result = |path: std::path::PathBuf| {
        // The run, its claim, and nothing that somebody left.
        assert_eq!(fs::read_dir(&path).unwrap().count(), 2);
        let read = |name: &str| fs::read_to_string(path.join("run").join(name)).unwrap();
        let mut result: Value = serde_json::from_str(&read("result.json")).unwrap();
        for time in ["train_seconds", "tokens_per_second"] {
            assert!(result.as_object_mut().unwrap().remove(time).is_some());
        }
        let files = ["settings.toml", "metrics.jsonl", "predictions.dev.conll", "predictions.test.conll"];
        let files = files.map(read).into_iter().chain([result.to_string()]).collect();
        (path.file_name().unwrap().to_str().unwrap().to_owned(), files)
    };
    runs.map(result).collect()
}

#[test]
fn a_grid_is_done_once_and_listed() {
    let directory = prepared();
    let at = directory.path();
    let plan: Value =
        serde_json::from_str(&succeeds(at, &["-q", "experiment", "run", "small.toml", "--plan", "--json"])).unwrap();
    let planned = plan["runs"].as_array().unwrap();
    assert_eq!(planned.len(), 8);
    assert!(
        planned.iter().all(|run| run["steps"] == 9 && run["state"] == "pending" && run["tokens"].as_u64() > Some(0))
    );
    assert!(plan["seconds"].as_f64() > Some(0.0));
    assert!(!at.join("lab").exists());

    let run = ["experiment", "run", "small.toml", "-o", "lab"];
    let said_first = said(&run_in(at, &run));
    assert!(said_first.contains("8 runs: 8 done now, 0 before"), "{said_first}");
    assert!(said_first.contains("simple-mix, people:20, seed 2: dev F1 "), "{said_first}");
    let first = results(at, "lab");
    assert_eq!(first.len(), 8);
    let said_again = said(&run_in(at, &run));
    assert!(said_again.contains("8 runs: 0 done now, 8 before"), "{said_again}");

    // More seeds: what is done is not done again. Other names for the same data are the same runs.
    let more = SMALL.replace("[1, 2]", "[2, 3]").replace("people", "human").replace("human.conll", "people.conll");
    write(&directory, "more.toml", &more.replace("\"small\"", "\"more\""));
    let said_more = said(&run_in(at, &["experiment", "run", "more.toml", "-o", "lab"]));
    assert!(said_more.contains("8 runs: 4 done now, 4 before"), "{said_more}");

    let listed: Value = serde_json::from_str(&succeeds(at, &["experiment", "list", "lab", "--json"])).unwrap();
    for (experiment, name) in listed.as_array().unwrap().iter().zip(["more", "small"]) {
        assert_eq!((&experiment["experiment"], &experiment["done"]), (&name.into(), &8.into()));
        assert!(experiment["best_on_dev"]["dev_f1"].as_f64().is_some());
    }
}

#[test]
fn a_report_is_written_and_written_again() {
    let directory = prepared();
    let at = directory.path();
    let question = "[[questions]]\nkind = 'change'\nask = 'Does it?'\nfrom = { regimen = 'original-only' }\n\
                    to = { regimen = 'simple-mix' }\n[data]";
    write(
        &directory,
        "small.toml",
        &SMALL.replace("[data]", question).replace("people:20\"", "people:20\", \"people:5000\""),
    );
    let printed = succeeds(at, &["-q", "experiment", "run", "small.toml", "-o", "lab", "--shard", "1/2"]);
    assert!(printed.contains("Does it?\n") && printed.contains("4 of 8 runs: "), "{printed}");
    let page = || fs::read_to_string(at.join("lab/small/report.html")).unwrap();
    assert!(page().contains("This report is of 4 of 8 runs"));
    succeeds(at, &["-q", "experiment", "run", "small.toml", "-o", "lab"]);
    let first = page();
    assert!(!first.contains("This report is of") && first.contains("people:20") && !first.contains(", people:5000<"));
    let printed = succeeds(at, &["experiment", "report", "lab", "--watch"]);
    assert!(printed.contains("8 of 8 runs: "), "{printed}");
    assert_eq!(page(), first);
    succeeds(at, &["experiment", "report", "lab", "small", "--examples", "0"]);
    assert!(page().len() < first.len());
    let report: Value = serde_json::from_str(&succeeds(at, &["experiment", "report", "lab", "--json"])).unwrap();
    assert_eq!((&report["progress"]["done"], &report["answers"][0]["ask"]), (&8.into(), &"Does it?".into()));
    for table in ["report.md", "report.tex", "systems.csv", "runs.csv"] {
        assert!(fs::metadata(at.join("lab/small").join(table)).unwrap().len() > 0);
    }
    assert!(fails(at, &["experiment", "report", "lab", "other"]).contains("grid.json"));
    assert!(fails(at, &["experiment", "report", "."]).contains("not a ledger"));
}

/// Whether a run is under way.
fn begun(at: &Path, ledger: &str) -> bool {
    let runs = fs::read_dir(at.join(ledger).join("runs")).into_iter().flatten().flatten();
    runs.into_iter().any(|run| run.path().join("run.unfinished/settings.toml").exists())
}

#[test]
fn a_grid_that_is_killed_ends_as_one_that_is_not() {
    let directory = prepared();
    let at = directory.path();
    let start = Instant::now();
    let whole = begin(at, "whole", &[]).wait_with_output().unwrap();
    assert!(whole.status.success(), "{}", said(&whole));
    let whole_time = start.elapsed();
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let mut kills = 0;
    loop {
        let mut child = begin(at, "lab", &[]);
        if kills == 0 {
            // Whatever the machine does meanwhile, once it is inside a run.
            while !begun(at, "lab") && child.try_wait().unwrap().is_none() {
                sleep(Duration::from_millis(2));
            }
        } else {
            sleep(whole_time.mul_f64(random.random_range(0.1..0.5)));
        }
        let ended = child.try_wait().unwrap().is_some();
        if !ended && kills < 20 {
            child.kill().unwrap();
            kills += 1;
        }
        let output = child.wait_with_output().unwrap();
        if output.status.code().is_some() {
            assert!(output.status.success(), "{}", said(&output));
            break;
        }
    }
    assert!(kills > 0, "it was not cut off");
    assert!(results(at, "lab") == results(at, "whole"), "other results after {kills} kills");
}

#[test]
fn two_processes_share_a_grid() {
    let directory = prepared();
    let at = directory.path();
    let both = [begin(at, "lab", &[]), begin(at, "lab", &["--jobs", "1"])];
    let mut done = 0;
    for child in both {
        let output = child.wait_with_output().unwrap();
        let text = said(&output);
        assert!(output.status.success(), "{text}");
        assert!(text.contains("0 failed"), "{text}");
        // Each run that a process did is a line.
        done += text.lines().filter(|line| line.contains(": dev F1 ")).count();
    }
    assert_eq!((done, results(at, "lab").len()), (8, 8));
}

#[test]
fn shards_are_the_whole() {
    let directory = prepared();
    let at = directory.path();
    for (shard, runs) in [("1/3", 3), ("2/3", 3), ("3/3", 2)] {
        let text = said(&begin(at, "lab", &["--shard", shard]).wait_with_output().unwrap());
        assert!(text.contains(&format!("{runs} runs: {runs} done now, 0 before")), "{text}");
    }
    assert_eq!(results(at, "lab").len(), 8);
}

#[test]
fn a_run_that_fails_is_told_and_tried_again() {
    let directory = prepared();
    let at = directory.path();
    let wild = SMALL.replace("axes = [", "axes = [\n    { setting = \"learning_rate\", values = [5e-3, 1e30] },");
    write(&directory, "small.toml", &wild);
    let run = ["-q", "experiment", "run", "small.toml", "--seeds", "1", "-o", "lab"];
    let error = fails(at, &run);
    assert!(error.contains("4 runs failed"), "{error}");
    let listed: Value = serde_json::from_str(&succeeds(at, &["experiment", "list", "lab", "--json"])).unwrap();
    assert_eq!((&listed[0]["runs"], &listed[0]["done"]), (&8.into(), &4.into()));
    let failed = listed[0]["others"].as_array().unwrap();
    assert_eq!(failed.len(), 4);
    for run in failed {
        assert_eq!(run["state"], "failed");
        assert!(run["reason"].as_str().unwrap().contains("step"), "{run}");
    }
    assert!(succeeds(at, &["experiment", "list", "lab"]).contains("failed: "));
    // They are no runs that are done.
    let error = fails(at, &run);
    assert!(error.contains("4 runs failed"), "{error}");
}

#[test]
fn what_makes_no_sense_is_named() {
    let directory = prepared();
    let at = directory.path();
    let run = |text: &str, more: &[&str]| {
        write(&directory, "bad.toml", text);
        fails(at, &[&["-q", "experiment", "run", "bad.toml", "-o", "lab"], more].concat())
    };
    for (from, to, expected) in [
        ("\"people:20\"", "\"folk:20\"", "there is no data set `folk`: expected one of dev, llm, people"),
        ("\"people:20\"", "\"people:x\"", "expected the name of a data set, or NAME:SENTENCES"),
        ("\"simple-mix\"", "\"simple\"", "regimen"),
        ("epochs = 3", "epoch = 3", "unknown field `epoch`"),
        ("epochs = 3", "epochs = 0", "epochs"),
        ("seeds = [1, 2]", "seeds = [1, 1]", "seed 1 stands there twice"),
        ("name = \"small\"", "name = \"../x\"", "it names a folder"),
        ("name = \"small\"", "name = \"runs\"", "a folder of every ledger"),
        ("control = { regimen", "control = { regime", "`regime` picks systems"),
        ("files = [\"llm.conll\"], ", "", "data set `llm` has no files: pass --data llm=FILE"),
        ("axes = [", "axes = [\n{ setting = \"x\", values = [] },", "axis `x` has no values"),
    ] {
        assert!(SMALL.contains(from));
        let error = run(&SMALL.replace(from, to), &[]);
        assert!(error.contains(expected), "{to}: {error}");
    }
    let error = run(SMALL, &["--data", "folk=people.conll"]);
    assert!(error.contains("--data folk: the experiment has no such data set"), "{error}");
    write(&directory, "bad.toml", &SMALL.replace("\"people\"]", "\"people:41\"]"));
    let text = said(&run_in(at, &["experiment", "run", "bad.toml", "-o", "lab"]));
    assert!(text.contains("`people:41` has only 40 sentences") && text.contains("4 runs: 4 done now"), "{text}");
}

#[test]
fn presets_are_shown_as_files() {
    let directory = prepared();
    let at = directory.path();
    for preset in ["paper-phase-1", "paper-phase-2", "paper-phase-3", "label-budget", "weak-teacher"] {
        let text = succeeds(at, &["experiment", "show", preset, "--seeds", "7", "--set", "epochs=2"]);
        let shown: toml::Table = text.parse().unwrap();
        assert_eq!(shown["name"].as_str(), Some(preset));
        assert_eq!((&shown["seeds"], &shown["run"]["epochs"]), (&vec![7].into(), &2.into()));
    }
}
