//! `pretrain`: an encoder from text, cut off and gone on with, and used.

#![expect(clippy::disallowed_methods, reason = "the files are a test's own")]

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{annotate::said, fails, sample, succeeds};

/// The sample's sentences as documents of four lines.
fn corpus() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for name in ["train", "unlabelled"] {
        let file = directory.path().join(format!("{name}.txt"));
        let lines = succeeds(
            directory.path(),
            &["-q", "data", "convert", &sample(&format!("{name}.conll")), "-o", "-", "--to", "text"],
        );
        let lines: Vec<&str> = lines.lines().collect();
        let documents: Vec<String> = lines.chunks(4).map(|lines| lines.join("\n")).collect();
        fs::write(file, documents.join("\n\n")).unwrap();
    }
    directory
}

fn begin(at: &Path, output: &str, more: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_apprentice"));
    command.current_dir(at).args(["pretrain", "-o", output, "--checkpoint-steps", "5"]).args(more);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

const SETTINGS: [&str; 14] = [
    "--corpus",
    "train.txt",
    "unlabelled.txt",
    "--architecture",
    "2x32x2",
    "--vocabulary",
    "700",
    "--epochs",
    "6",
    "--batch-tokens",
    "400",
    "--evaluate-steps",
    "20",
    "--json",
];

#[test]
fn an_encoder_is_made_whatever_cuts_it_off_and_serves() {
    let directory = corpus();
    let at = directory.path();
    let whole = begin(at, "whole", &SETTINGS).wait_with_output().unwrap();
    assert!(whole.status.success(), "{}", said(&whole));
    let result: Value = serde_json::from_slice(&whole.stdout).unwrap();
    assert!(result["steps"].as_u64() > Some(20) && result["text"]["held_out"].as_u64() > Some(0), "{result}");
    assert!(result["held_out"]["perplexity"].as_f64().unwrap() < 700.0, "{result}");

    let mut cut = begin(at, "cut", &SETTINGS);
    let has_checkpoints = || {
        let all = fs::read_dir(at.join("cut.unfinished/checkpoints")).into_iter().flatten().flatten();
        all.into_iter().any(|entry| *entry.file_name() >= *"step-00000010")
    };
    while !has_checkpoints() {
        assert!(cut.try_wait().unwrap().is_none(), "it ended early");
        sleep(Duration::from_millis(5));
    }
    cut.kill().unwrap();
    cut.wait().unwrap();
    let resumed = begin(at, "cut", &["--resume"]).wait_with_output().unwrap();
    assert!(resumed.status.success(), "{}", said(&resumed));
    for file in ["model/model.safetensors", "model/vocab.txt", "metrics.jsonl"] {
        let read = |run: &str| fs::read(at.join(run).join(file)).unwrap();
        assert!(read("cut") == read("whole"), "{file} differs");
    }
    assert!(!at.join("cut.unfinished").exists());

    // What was measured can be measured again by others.
    let held_out = fs::read_to_string(at.join("whole/held-out.jsonl")).unwrap();
    let sequences: Vec<Value> = held_out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let count = |key: &str| sequences.iter().map(|s| s[key].as_array().unwrap().len() as u64).sum::<u64>();
    assert_eq!(result["held_out"]["hidden"], count("places"));
    assert_eq!(count("truth"), count("places"));
    assert!(count("ids") > 2 * count("places"));

    let continued = [
        ["-q", "pretrain", "--from", "whole/model", "--corpus", "train.txt", "--epochs", "0.5", "-o", "more"]
            .as_slice(),
        &[
            "--imitate",
            "whole/model",
            "--imitate-layers",
            "1",
            "--imitation-weight",
            "2",
            "--precision",
            "bf16",
            "--save-as",
            "bf16",
        ],
    ];
    succeeds(at, &continued.concat());
    let size = |run: &str| fs::metadata(at.join(run).join("model/model.safetensors")).unwrap().len();
    assert!(size("more") < size("whole") * 6 / 10, "{} and {}", size("more"), size("whole"));
    let metrics = fs::read_to_string(at.join("more/metrics.jsonl")).unwrap();
    let first: Value = serde_json::from_str(metrics.lines().next().unwrap()).unwrap();
    assert!(first["imitation_loss"].as_f64() > Some(0.0), "{first}");
    let train =
        ["-q", "train", "--encoder", "more/model", "--original", &sample("dev.conll"), "--epochs", "1", "-o", "run"];
    succeeds(at, &train);
}

#[test]
fn what_cannot_be_pretrained_on_is_named_and_leaves_nothing() {
    let directory = corpus();
    let at = directory.path();
    let error = |arguments: &[&str]| {
        let error = fails(at, &[&["-q", "pretrain", "-o", "run"], arguments].concat());
        assert!(!at.join("run").exists() && !at.join("run.unfinished").exists(), "{error}");
        error
    };
    assert!(error(&["--corpus", "none.txt"]).contains("none.txt"));
    assert!(error(&["--corpus", "-"]).contains("expected a file"));
    assert!(error(&["--corpus", "train.txt", "--architecture", "2x30x4"]).contains("2x30x4"));
    assert!(error(&["--corpus", "train.txt", "--mask-share", "2"]).contains("mask_share = 2"));
    fs::write(at.join("short.txt"), "one line\n").unwrap();
    let one = error(&["--corpus", "short.txt", "--architecture", "1x8x2"]);
    assert!(one.contains("expected more text: at least two documents"), "{one}");
}
