//! `train`: regimens, pools, budgets and plans.

use serde_json::Value;
use tempfile::TempDir;

use crate::{SMALL, fails, run_in, sample, succeeds, write, written};

/// A directory with `a.conll` and `b.conll`, of 12 and 6 sentences, and the arguments that train on a sample with them.
fn pools() -> (TempDir, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    write(&directory, "a.conll", &format!("{SMALL}\n").repeat(6));
    write(&directory, "b.conll", &format!("{SMALL}\n").repeat(3));
    write(&directory, "o.conll", &format!("{SMALL}\n").repeat(5));
    let arguments = "-q train --encoder scratch:1x8x2 --original o.conll --distilled a=a.conll b=b.conll --epochs 3 \
                     --batch-size 4 --regimen blend:linear --pool-share a=1..0 b=0..1 --pool-weight original=0.5..1";
    (directory, arguments.split_whitespace().map(str::to_owned).collect())
}

fn with<'a>(arguments: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
    arguments.iter().map(String::as_str).chain(more.iter().copied()).collect()
}

fn drawn(epochs: &Value) -> Vec<Vec<(String, u64, f64)>> {
    let pool = |pool: &Value| {
        (
            pool["pool"].as_str().unwrap().to_owned(),
            pool["sentences"].as_u64().unwrap(),
            pool["weight"].as_f64().unwrap(),
        )
    };
    let epoch = |epoch: &Value| epoch["drawn"].as_array().unwrap().iter().map(pool).collect();
    epochs.as_array().unwrap().iter().map(epoch).collect()
}

#[test]
fn a_plan_says_what_the_run_then_does() {
    let (directory, arguments) = pools();
    let at = directory.path();
    let plan: Value = serde_json::from_str(&succeeds(at, &with(&arguments, &["--plan", "--json"]))).unwrap();
    assert_eq!(written(&directory, &["a.conll", "b.conll", "o.conll"]), [""; 0]);
    let pool = |name: &str, sentences, weight| (name.to_owned(), sentences, weight);
    let expected = [
        [pool("original", 0, 0.5), pool("a", 10, 1.0), pool("b", 0, 1.0)],
        [pool("original", 5, 0.75), pool("a", 3, 1.0), pool("b", 2, 1.0)],
        [pool("original", 10, 1.0), pool("a", 0, 1.0), pool("b", 0, 1.0)],
    ];
    assert_eq!(drawn(&plan["epochs"]), expected);
    assert_eq!((&plan["steps"], &plan["regimen"]), (&9.into(), &"blend:linear".into()));
    assert!(plan["memory_bytes"].as_u64() > Some(0) && plan["train_seconds"].as_f64() > Some(0.0), "{plan}");

    succeeds(at, &with(&arguments, &["-o", "run"]));
    let read = |name: &str| std::fs::read_to_string(at.join("run").join(name)).unwrap();
    let result: Value = serde_json::from_str(&read("result.json")).unwrap();
    assert_eq!(drawn(&result["epochs"]), expected);
    assert_eq!((&result["steps"], &result["regimen"]), (&plan["steps"], &plan["regimen"]));
    // The line of an epoch's last step has what was drawn, too.
    let ends = read("metrics.jsonl").lines().map(|l| serde_json::from_str::<Value>(l).unwrap()).collect::<Vec<_>>();
    let ends: Value = ends.into_iter().map(|mut line| line["epoch_end"].take()).filter(|end| !end.is_null()).collect();
    assert_eq!(drawn(&ends), expected);

    // The settings that were written say the same; a regimen on the command line replaces theirs whole.
    write(&directory, "run.toml", &read("settings.toml"));
    succeeds(at, &["-q", "train", "--config", "run.toml", "-o", "again"]);
    let weights = |run: &str| std::fs::read(at.join(run).join("model/model.safetensors")).unwrap();
    assert!(weights("run") == weights("again"), "the same settings gave other weights");
    let other = ["-q", "train", "--config", "run.toml", "--plan", "--json", "--regimen", "sequential:reverse"];
    let plan: Value = serde_json::from_str(&succeeds(at, &other)).unwrap();
    assert_eq!(plan["regimen"], "sequential:reverse");
    assert_eq!(drawn(&plan["epochs"])[0][0], pool("original", 10, 0.5));
}

#[test]
fn a_crf_is_trained_and_predicts_from_its_directory() {
    let (directory, arguments) = pools();
    let at = directory.path();
    let crf = with(&arguments, &["--head", "crf", "--dev", "o.conll", "-o", "run"]);
    succeeds(at, &crf);
    let read = |name: &str| std::fs::read_to_string(at.join("run").join(name)).unwrap();
    assert!(read("settings.toml").contains("head = \"crf\""), "{}", read("settings.toml"));
    assert!(read("model/README.md").contains("linear-chain CRF"));
    // What the saved model predicts on dev is what the run said that it does.
    succeeds(at, &["-q", "predict", "--model", "run/model", "o.conll", "-o", "predicted.conll"]);
    assert_eq!(std::fs::read_to_string(at.join("predicted.conll")).unwrap(), read("predictions.dev.conll"));
    write(&directory, "run.toml", &read("settings.toml"));
    succeeds(at, &["-q", "train", "--config", "run.toml", "-o", "again"]);
    let weights = |run: &str| std::fs::read(at.join(run).join("model/model.safetensors")).unwrap();
    assert!(weights("run") == weights("again"), "the same settings gave other weights");
    let plan = with(&arguments, &["--plan", "--head", "argmax"]);
    assert_eq!(run_in(at, &plan).status.code(), Some(2));
}

#[test]
fn a_plan_as_people_read_it() {
    let (directory, arguments) = pools();
    let text =
        succeeds(directory.path(), &with(&arguments, &["--plan", "--budget-steps", "30", "--warmup-share", "0.5"]));
    let first = text.lines().next().unwrap();
    assert!(first.starts_with("blend:linear: 3 epochs, 30 steps, "), "{first}");
    // Half of each is of 40 sentences; the bar is in proportion.
    let row = text.lines().find(|line| line.starts_with("│ 2 ")).unwrap();
    assert!(row.contains(" 20 × 0.75 ") && row.contains(&("█".repeat(12) + &"░".repeat(6) + &"▒".repeat(6))), "{row}");
    // The rate rises over the first half and falls over the second.
    let plot = text.lines().find(|line| line.starts_with('▁')).unwrap();
    assert_eq!(plot, "▁▁▂▂▃▃▄▄▅▅▆▆▇▇███▇▇▆▆▅▅▄▄▃▃▂▂▁");
    assert!(text.contains("memory: about ") && text.contains(" tokens/s, measured here on "), "{text}");
}

#[test]
fn batches_and_budgets_in_tokens() {
    let (directory, arguments) = pools();
    let tokens = ["--batch-tokens", "30", "--budget-tokens", "2000", "--plan", "--json"];
    let plan: Value = serde_json::from_str(&succeeds(directory.path(), &with(&arguments, &tokens))).unwrap();
    let found = plan["tokens"].as_u64().unwrap();
    assert!((1900..=2000).contains(&found), "{found} tokens");
}

#[test]
fn what_does_not_fit_is_named() {
    let (directory, arguments) = pools();
    let error = |more: &[&str]| fails(directory.path(), &with(&arguments, &[more, &["-o", "run"]].concat()));
    assert!(error(&["--pool-weight", "bbc=1"]).contains("pool bbc: there is none, but settings for it"));
    assert!(error(&["--distilled", "original=a.conll"]).contains("pool original: two pools have this name"));
    assert!(error(&["--budget-steps", "2"]).contains("a budget of 2 steps leaves nothing for epoch 1 of 3"));
    assert!(error(&["--budget-steps", "9", "--epoch-size", "4"]).contains("expected one of them"));
    assert!(error(&["--batch-tokens", "9", "--budget-steps", "9"]).contains("or a budget of tokens"));
    for wrong in ["blend", "blend:sine", "sequential:switch=2", "all:reverse"] {
        let arguments = ["train", "--encoder", "scratch:1x8x2", "--original", &sample("dev.conll"), "--regimen", wrong];
        assert_eq!(run_in(directory.path(), &arguments).status.code(), Some(2), "{wrong}");
    }
}

#[test]
fn the_precision_that_a_run_has_is_written_down() {
    let (directory, arguments) = pools();
    let at = directory.path();
    let run = |precision: &str| {
        succeeds(at, &with(&arguments, &["--precision", precision, "-o", precision]));
        let read = |name| std::fs::read(at.join(precision).join(name)).unwrap();
        (String::from_utf8(read("settings.toml")).unwrap(), read("model/model.safetensors"))
    };
    let [exact, rounded, auto] = ["f32", "bf16", "auto"].map(run);
    assert!(!exact.0.contains("precision") && rounded.0.contains("precision = \"bf16\""), "{}", rounded.0);
    assert!(exact.1 != rounded.1);
    // What `auto` came to is what another machine is to go on with.
    let (settings, weights) = if auto.0.contains("precision") { rounded } else { exact };
    let but_output = |settings: &str| settings.lines().filter(|line| !line.starts_with("output")).collect::<String>();
    assert_eq!(but_output(&auto.0), but_output(&settings));
    assert!(auto.1 == weights);
    let error = fails(at, &with(&arguments, &["--precision", "int8", "-o", "int8"]));
    assert!(error.contains("precision = int8: expected f32, bf16 or auto"), "{error}");
}
