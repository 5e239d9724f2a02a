//! The program as a user runs it.

#![allow(clippy::unwrap_used, reason = "the lint spares test functions only, not their helpers")]

mod annotate;
#[path = "../../../teacher/tests/it/attack_texts.rs"]
mod attack_texts;
mod attacks;
mod batch;
mod built_in;
mod canary;
mod data;
mod experiment;
#[expect(dead_code, reason = "the student's tests need more of it")]
#[path = "../../../student/tests/it/fake_hub.rs"]
mod fake_hub;
#[cfg(target_os = "linux")]
mod faults;
mod models;
mod predict;
mod pretrain;
#[expect(dead_code, reason = "the teacher's tests need more of it")]
#[path = "../../../teacher/tests/it/provider.rs"]
mod provider;
mod resume;
mod score;
#[expect(dead_code, reason = "the teacher's tests need more of it")]
#[path = "../../../teacher/tests/it/server.rs"]
mod server;
mod train;

use std::{
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

/// The sample data of the repository.
fn sample(name: &str) -> String {
    format!("{}/../../data/newsroom/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Runs the program in a directory.
fn run_in(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_apprentice")).current_dir(directory).args(arguments).output().unwrap()
}

/// Runs it and expects success; its standard output.
fn succeeds(directory: &Path, arguments: &[&str]) -> String {
    let output = run_in(directory, arguments);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs it and expects exit code 1, one error on stderr and nothing on stdout; the error.
fn fails(directory: &Path, arguments: &[&str]) -> String {
    let output = run_in(directory, arguments);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {stderr}");
    assert!(output.stdout.is_empty(), "{arguments:?} wrote {}", String::from_utf8_lossy(&output.stdout));
    assert!(stderr.contains("error: "), "{stderr}");
    stderr
}

fn write(directory: &TempDir, name: &str, content: &str) {
    std::fs::File::create(directory.path().join(name)).unwrap().write_all(content.as_bytes()).unwrap();
}

/// What is in a directory, besides the inputs that a test put there.
fn written(directory: &TempDir, inputs: &[&str]) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !inputs.contains(&name.as_str()))
        .collect();
    names.sort();
    names
}

const SMALL: &str = "Ann B-PER\nKeller I-PER\nwon O\nin O\nRome B-LOC\n. O\n\nRome B-LOC\nlost O\n";

#[test]
fn the_whole_line_from_completions_to_tagged_text() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let replay = format!("replay:{}", sample("completions.cot.jsonl"));
    // The recorded completions cover both files.
    let both = std::fs::read_to_string(sample("train.conll")).unwrap()
        + "\n"
        + &std::fs::read_to_string(sample("unlabelled.conll")).unwrap();
    write(&directory, "both.conll", &both);
    let account =
        succeeds(at, &["-q", "annotate", "--provider", &replay, "--input", "both.conll", "-o", "d.conll", "--json"]);
    let account: serde_json::Value = serde_json::from_str(&account).unwrap();
    assert_eq!((&account["sentences"], &account["written"]), (&400.into(), &400.into()));
    assert_eq!(account["strategies"][0]["exact"], 840);
    assert_eq!(written(&directory, &["both.conll"]), ["d.conll", "d.conll.report.json", "d.conll.settings.toml"]);

    let scores = succeeds(at, &["score", "--gold", "both.conll", "--predicted", "d.conll", "--json"]);
    let scores: serde_json::Value = serde_json::from_str(&scores).unwrap();
    let f1 = scores["systems"][0]["f1"]["mean"].as_f64().unwrap();
    assert!((f1 - 0.9946).abs() < 5e-5, "{f1}");

    let (train, dev) = (sample("train.conll"), sample("dev.conll"));
    let arguments = [
        "-q",
        "train",
        "--encoder",
        "scratch:1x32x2",
        "--original",
        &train,
        "--distilled",
        "d.conll",
        "--dev",
        &dev,
        "--test",
        &dev,
        "--regimen",
        "sequential",
        "--epochs",
        "2",
        "--learning-rate",
        "0.001",
        "-o",
        "run",
        "--json",
    ];
    let result: serde_json::Value = serde_json::from_str(&succeeds(at, &arguments)).unwrap();
    // 400 distilled, then 160 original sentences in batches of 32.
    assert_eq!(result["steps"], 13 + 5);
    let files =
        ["metrics.jsonl", "model", "predictions.dev.conll", "predictions.test.conll", "result.json", "settings.toml"];
    let mut found: Vec<_> =
        std::fs::read_dir(at.join("run")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    found.sort();
    assert_eq!(found, files);
    assert_eq!(std::fs::read_to_string(at.join("run/metrics.jsonl")).unwrap().lines().count(), 18);

    // The settings that were written repeat the run, bit for bit.
    let settings = std::fs::read_to_string(at.join("run/settings.toml")).unwrap();
    write(&directory, "again.toml", &settings);
    succeeds(at, &["-q", "train", "--config", "again.toml", "-o", "again", "--threads", "1"]);
    let weights = |run: &str| std::fs::read(at.join(run).join("model/model.safetensors")).unwrap();
    assert!(weights("run") == weights("again"), "the same settings gave other weights");

    // Its encoder says which examples are most like a sentence: of the pool, the sentence itself but for one word.
    write(&directory, "pool.conll", SMALL);
    write(&directory, "in.txt", "Ann Keller won in Oslo .\n");
    let dry = ["-q", "annotate", "--provider", "openai", "--model", "m", "--input", "in.txt", "-o", "x", "--dry-run"];
    let nearest = ["--examples", "nearest:1", "--pool", "pool.conll", "--examples-encoder", "run/model"];
    let prompt = succeeds(at, &[&dry[..], &nearest].concat());
    assert!(prompt.contains("\nAnn Keller won in Rome .\n") && !prompt.contains("\nRome lost\n"), "{prompt}");

    let tagged = succeeds(at, &["-q", "predict", "--model", "run", &dev]);
    assert_eq!(tagged.lines().filter(|l| l.starts_with("# id = ")).count(), 80);
    let json = succeeds(at, &["-q", "predict", "--model", "run/model", &dev, "--json"]);
    assert_eq!(json.lines().count(), 80);
    let card = std::fs::read_to_string(at.join("run/model/README.md")).unwrap();
    assert!(card.contains("regimen `sequential`") && card.contains("Scores on test"), "{card}");
}

#[test]
fn text_on_standard_input_is_tagged() {
    let directory = tempfile::tempdir().unwrap();
    write(&directory, "a.conll", SMALL);
    let train = ["-q", "train", "--encoder", "scratch:1x8x2", "--original", "a.conll", "--epochs", "1", "-o", "run"];
    succeeds(directory.path(), &train);
    let mut child = Command::new(env!("CARGO_BIN_EXE_apprentice"))
        .current_dir(directory.path())
        .args(["-q", "predict", "--model", "run", "--json", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all("Ann won.\nÉmile lost in Rome.\n".as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let lines: Vec<serde_json::Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(
        lines.iter().map(|l| l["text"].as_str().unwrap()).collect::<Vec<_>>(),
        ["Ann won.", "Émile lost in Rome."]
    );
}

#[test]
fn faulty_corpora_are_named_and_nothing_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let inputs = ["bad.conll", "good.conll"];
    write(&directory, "good.conll", SMALL);
    for (content, expected) in [
        ("", "bad.conll"),
        ("Ann B-PER\nwon\n", "bad.conll:2: one column (`won`)"),
        ("Ann NNP B-PER\nwon O\n", "bad.conll:2: "),
        ("Ann B-PER\nwon X-PER\n", "bad.conll:2: "),
        ("Ann B-SHIP\nwon O\n", "SHIP"),
    ] {
        write(&directory, "bad.conll", content);
        let files = ["--original", "good.conll", "--distilled", "bad.conll"];
        let train =
            [&["-q", "train", "--encoder", "scratch:1x8x2", "--regimen", "all", "-o", "run"], &files[..]].concat();
        let error = fails(directory.path(), &train);
        assert!(error.contains(expected), "{content:?}: {error}");
        assert!(written(&directory, &inputs).is_empty(), "{content:?} left {:?}", written(&directory, &inputs));
    }
}

#[test]
fn faulty_transcripts_are_named_and_nothing_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let inputs = ["in.conll", "t.jsonl"];
    write(&directory, "in.conll", "# id = s1\nAnn B-PER\nwon O\n\n# id = s2\nRome B-LOC\n");
    let line = |id: &str, sentence: &str, completion: &str| {
        serde_json::json!({"id": id, "strategy": "standard", "model": "m", "sentence": sentence, "completion": completion})
            .to_string()
            + "\n"
    };
    let good = line("s1", "Ann won", r#"{"entities": []}"#);
    let annotate = ["-q", "annotate", "--provider", "replay:t.jsonl", "--input", "in.conll", "-o", "out.conll"];
    for (transcript, expected) in [
        (String::new(), "t.jsonl"),
        (good.clone() + "{\"id\": \"s2\", ", "t.jsonl:2"),
        (good.clone(), "s2"),
        (good.clone() + &line("s3", "Rome", r#"{"entities": []}"#), "s3"),
        (good.clone() + &line("s2", "Oslo", r#"{"entities": []}"#), "Oslo"),
    ] {
        write(&directory, "t.jsonl", &transcript);
        let error = fails(directory.path(), &annotate);
        assert!(error.contains(expected), "{expected}: {error}");
        assert!(written(&directory, &inputs).is_empty(), "{expected}: left {:?}", written(&directory, &inputs));
    }
    // What could be used is written in any case.
    write(&directory, "t.jsonl", &(good + &line("s2", "Rome", "I would rather not.")));
    let output = run_in(directory.path(), &annotate);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("1 of 2 sentences could not be annotated as asked (s2: no answer found"), "{error}");
    assert_eq!(std::fs::read_to_string(directory.path().join("out.conll")).unwrap().matches("# id").count(), 1);
    for file in ["out.conll", "out.conll.report.json", "out.conll.settings.toml"] {
        std::fs::remove_file(directory.path().join(file)).unwrap();
    }
    succeeds(directory.path(), &[&annotate[..], &["--skip-failed"]].concat());
    assert_eq!(std::fs::read_to_string(directory.path().join("out.conll")).unwrap().matches("# id").count(), 1);
}

#[test]
fn an_output_that_exists_is_kept_unless_overwriting_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    write(&directory, "a.conll", SMALL);
    std::fs::create_dir(directory.path().join("run")).unwrap();
    let train = ["-q", "train", "--encoder", "scratch:1x8x2", "--original", "a.conll", "--epochs", "1", "-o", "run"];
    let error = fails(directory.path(), &train);
    assert!(error.contains("run exists already") && error.contains("--overwrite"), "{error}");
    succeeds(directory.path(), &[&train[..], &["--overwrite"]].concat());
}

#[test]
fn a_diverging_run_stops_and_keeps_the_last_good_weights() {
    let directory = tempfile::tempdir().unwrap();
    write(&directory, "a.conll", SMALL);
    let train = [
        "-q",
        "train",
        "--encoder",
        "scratch:1x8x2",
        "--original",
        "a.conll",
        "--epochs",
        "9",
        "--learning-rate",
        "1e30",
        "--max-gradient-norm",
        "0",
        "-o",
        "run",
    ];
    let error = fails(directory.path(), &train);
    assert!(
        error.contains("training diverged at step") && error.contains("the last good weights are in run/model"),
        "{error}"
    );
    let card = std::fs::read_to_string(directory.path().join("run/model/README.md")).unwrap();
    assert!(card.contains("Warning: training diverged"), "{card}");
    succeeds(directory.path(), &["-q", "predict", "--model", "run", "a.conll"]);
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(run_in(directory.path(), &["train", "--no-such-flag"]).status.code(), Some(2));
    assert_eq!(run_in(directory.path(), &["train", "--regimen", "none-such"]).status.code(), Some(2));
}

#[test]
fn a_directory_that_is_no_run_is_never_replaced() {
    let directory = tempfile::tempdir().unwrap();
    write(&directory, "a.conll", SMALL);
    std::fs::create_dir(directory.path().join("precious")).unwrap();
    write(&directory, "precious/thesis.txt", "years of work");
    let train = ["-q", "train", "--encoder", "scratch:1x8x2", "--original", "a.conll", "--overwrite", "-o", "precious"];
    assert!(fails(directory.path(), &train).contains("not a run directory"));
    assert!(directory.path().join("precious/thesis.txt").exists());
}

#[test]
fn labels_and_tags_that_make_no_classes_are_refused_before_training() {
    let directory = tempfile::tempdir().unwrap();
    let train = ["-q", "train", "--encoder", "scratch:1x8x2", "--original", "a.conll", "-o", "run"];
    write(&directory, "a.conll", SMALL);
    for labels in ["PER,LOC,", "PER, LOC"] {
        assert!(fails(directory.path(), &[&train[..], &["--labels", labels]].concat()).contains("is no entity type"));
    }
    assert!(fails(directory.path(), &[&train[..], &["--labels", "PER"]].concat()).contains("LOC"));
    write(&directory, "a.conll", "nothing O\nhere O\n");
    assert!(fails(directory.path(), &train).contains("no entity in the files"));
    // Neither IOB1 (`B-` starts a sentence) nor IOB2 (`I-` after `O`).
    write(&directory, "a.conll", "Ann B-PER\nwon O\nRome I-LOC\n");
    assert!(fails(directory.path(), &train).contains("a.conll:3"));
}

#[test]
fn a_quickstart_that_diverges_fails_and_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["-q", "quickstart", "--encoder", "scratch:1x8x2", "--epochs", "1", "--learning-rate", "1e30"];
    assert!(fails(directory.path(), &arguments).contains("regimen original-only: training diverged"));
    assert!(written(&directory, &[]).is_empty());
}
