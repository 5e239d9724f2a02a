//! `data`: corpora counted, converted, sampled, split, merged, compared and checked.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use crate::{SMALL, fails, run_in, sample, succeeds, write, written};

fn read(directory: &tempfile::TempDir, name: &str) -> String {
    std::fs::read_to_string(directory.path().join(name)).unwrap()
}

#[test]
fn a_corpus_goes_through_every_format_and_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let convert = |from: &str, to: &str, flags: &[&str]| {
        succeeds(at, &[&["data", "convert", from, "-o", to], flags].concat());
    };
    convert(&sample("dev.conll"), "0.conll", &[]);
    convert("0.conll", "1.jsonl.gz", &[]);
    convert("1.jsonl.gz", "2.parquet", &[]);
    convert("2.parquet", "3.jsonl", &["--to", "gliner"]);
    convert("3.jsonl", "4.jsonl", &["--to", "hf", "--scheme", "bilou"]);
    convert("4.jsonl", "5.json.zst", &["--to", "label-studio"]);
    convert("5.json.zst", "6.jsonl", &["--to", "doccano"]);
    convert("6.jsonl", "7.jsonl", &["--to", "entities"]);
    // Doccano's and Label Studio's files have no tokens: they are those of our own tokeniser again.
    convert("7.jsonl", "8.conll", &["--on-conflict", "widen"]);
    assert_eq!(read(&directory, "0.conll").lines().filter(|l| l.starts_with("# id")).count(), 80);
    convert("4.jsonl", "9.conll", &["--scheme", "iob2"]);
    assert_eq!(read(&directory, "0.conll"), read(&directory, "9.conll"));
    let entities = |name: &str| {
        let stats = succeeds(at, &["data", "stats", name, "--json"]);
        serde_json::from_str::<serde_json::Value>(&stats).unwrap()[0]["entities"].as_u64().unwrap()
    };
    assert_eq!(entities("0.conll"), entities("8.conll"));
}

#[test]
fn conflicts_are_listed_and_decided_by_policy() {
    let directory = tempfile::tempdir().unwrap();
    let json = r#"{"id":"a","text":"Ann Keller won","spans":[{"start":0,"end":7,"label":"PER"},{"start":4,"end":10,"label":"X"}]}
{"id":"b","text":"Rome","spans":[]}
"#;
    write(&directory, "a.jsonl", json);
    let error = fails(directory.path(), &["data", "convert", "a.jsonl", "-o", "a.conll"]);
    assert!(
        error.contains("a: `Ann Kel` (PER) ends inside a token") && error.contains("--on-conflict widen"),
        "{error}"
    );
    assert_eq!(written(&directory, &["a.jsonl"]), [""; 0]);
    let account = succeeds(
        directory.path(),
        &["data", "convert", "a.jsonl", "-o", "a.conll", "--on-conflict", "widen", "--json"],
    );
    let account: serde_json::Value = serde_json::from_str(&account).unwrap();
    assert_eq!(account["conflicts"]["counts"], serde_json::json!({"inside-token": 1, "overlap": 1}));
    assert_eq!(read(&directory, "a.conll"), "# id = a\nAnn B-PER\nKeller I-PER\nwon O\n\n# id = b\nRome O\n\n");
    assert_eq!(written(&directory, &["a.jsonl"]), ["a.conll", "a.conll.settings.toml"]);
}

#[test]
fn text_is_split_into_sentences_and_standard_streams_work() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_apprentice"))
        .current_dir(directory.path())
        .args(["data", "convert", "-", "--unit", "document", "--to", "conll", "--no-comments", "-o", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"Dr. Keller won. Rome lost.\nOslo drew.\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "-DOCSTART-\n\nDr.\nKeller\nwon\n.\n\nRome\nlost\n.\n\n-DOCSTART-\n\nOslo\ndrew\n.\n\n"
    );
    assert!(written(&directory, &[]).is_empty());
}

#[test]
fn samples_and_parts_are_drawn() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let train = sample("train.conll");
    succeeds(at, &["data", "sample", &train, "-n", "20", "--stratify", "-o", "s.jsonl"]);
    assert_eq!(read(&directory, "s.jsonl").lines().count(), 20);
    succeeds(at, &["data", "split", &train, "--ratios", "3,1", "--by", "sentence", "-o", "a.jsonl", "b.jsonl"]);
    let (a, b) = (read(&directory, "a.jsonl"), read(&directory, "b.jsonl"));
    assert_eq!((a.lines().count(), b.lines().count()), (120, 40));
    succeeds(at, &["data", "merge", "a.jsonl", "b.jsonl", "s.jsonl", "-o", "all.jsonl"]);
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&read(&directory, "all.jsonl")), sorted(&(a + &b)));
    let error = fails(at, &["data", "split", &train, "--ratios", "8,1,1", "-o", "x.jsonl", "y.jsonl"]);
    assert!(error.contains("--ratios 8,1,1 makes 3 parts, but --output names 2"), "{error}");
}

#[test]
fn differences_are_shown() {
    let directory = tempfile::tempdir().unwrap();
    write(&directory, "a.conll", SMALL);
    write(
        &directory,
        "b.conll",
        &SMALL.replace("Keller I-PER", "Keller O").replace("Rome B-LOC\nlost", "Rome B-ORG\nlost"),
    );
    let diff = succeeds(directory.path(), &["data", "diff", "a.conll", "b.conll", "--marked"]);
    for expected in
        ["boundary", "Ann Keller (PER)", "Rome (ORG)", "2 differences in 2 of 2 sentences", "  B: [Ann|PER] Keller"]
    {
        assert!(diff.contains(expected), "{expected}: {diff}");
    }
    let json = succeeds(directory.path(), &["data", "diff", "a.conll", "b.conll", "--json"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()[1]["kind"], "wrong-type");
}

#[test]
fn a_check_lists_all_problems_with_their_lines() {
    let directory = tempfile::tempdir().unwrap();
    write(&directory, "good.conll", SMALL);
    succeeds(directory.path(), &["data", "check", "good.conll"]);
    let bad = "Ann B-PER\nKeller X-PER\nwon\n\n# id = a\nRome B-LOC\nx O\nBern B-LOC\n\n# id = a\nOslo I-LOC\n";
    write(&directory, "bad.conll", bad);
    let output = run_in(directory.path(), &["data", "check", "bad.conll"]);
    assert_eq!(output.status.code(), Some(1));
    let lines = String::from_utf8(output.stdout).unwrap();
    for expected in [
        "bad.conll:2: `X-PER` is not a tag",
        "bad.conll:3: one column",
        "bad.conll:10: a: the id is taken, first in line 5",
        "bad.conll:11: tag `I-LOC` after no entity",
        "bad.conll: 2 sentences, 4 problems",
    ] {
        assert!(lines.contains(expected), "{expected}: {lines}");
    }
    write(&directory, "bad.jsonl", "{\"text\":\"a\"}\nnonsense\n{\"text\":1}\n");
    let output = run_in(directory.path(), &["data", "check", "bad.jsonl", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let lines: Vec<u64> = json[0]["problems"].as_array().unwrap().iter().map(|p| p["line"].as_u64().unwrap()).collect();
    assert_eq!(lines, [2, 3]);
}

#[test]
fn folders_and_patterns_are_inputs() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(directory.path().join("in/deep")).unwrap();
    write(&directory, "in/b.conll", SMALL);
    write(&directory, "in/deep/a.jsonl", "{\"text\":\"Ann\",\"spans\":[]}\n");
    write(&directory, "in/notes.md", "no corpus");
    let count = |input: &str| {
        let out = succeeds(directory.path(), &["data", "convert", input, "--to", "jsonl", "-o", "-"]);
        out.lines().count()
    };
    assert_eq!((count("in"), count("in/*.conll"), count("in/deep")), (3, 2, 1));
    assert!(fails(directory.path(), &["data", "stats", "in/*.parquet"]).contains("no corpus file there"));
    assert!(fails(directory.path(), &["data", "stats", "none.conll"]).contains("cannot read none.conll"));
}

#[test]
fn labellings_vote() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let ann = |label: &str| format!("# id = a\nAnn B-{label}\nwon O\nRome B-LOC\n");
    write(&directory, "1.conll", &(ann("PER") + "\n# id = b\nRome B-LOC\n"));
    write(&directory, "2.conll", &ann("PER").replace("B-LOC", "O"));
    // Another format, without tokens.
    write(&directory, "3.jsonl", r#"{"id":"a","text":"Ann won Rome","spans":[{"start":0,"end":3,"label":"ORG"}]}"#);
    let files = ["1.conll", "2.conll", "3.jsonl"];
    let account = succeeds(at, &[&["-q", "data", "vote", "-o", "out.jsonl", "--json"], &files[..]].concat());
    let account: serde_json::Value = serde_json::from_str(&account).unwrap();
    assert_eq!((&account["contested"], &account["with_fewer_labellings"]), (&1.into(), &1.into()));
    let out = std::fs::read_to_string(at.join("out.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    let span = &lines[0]["spans"];
    assert_eq!(
        (span.as_array().unwrap().len(), &span[0]["label"], &span[0]["score"]),
        (1, &"PER".into(), &(2.0 / 3.0).into())
    );
    // The second sentence is in one file alone.
    assert_eq!(
        (&lines[1]["spans"][0]["label"], &lines[1]["spans"][0]["score"]),
        (&"LOC".into(), &serde_json::Value::Null)
    );
    let all =
        succeeds(at, &[&["-q", "data", "vote", "-o", "-", "--to", "jsonl", "--quorum", "0.3"], &files[..]].concat());
    assert!(all.contains(r#""label":"LOC","score":0.3333333333333333"#), "{all}");
    // Files whose ids come from their names are matched by order.
    for (name, label) in [("x.conll", "PER"), ("y.conll", "PER"), ("z.conll", "ORG")] {
        write(&directory, name, &ann(label).replace("# id = a\n", ""));
    }
    succeeds(at, &["-q", "data", "vote", "-o", "named.jsonl", "x.conll", "y.conll", "z.conll"]);
    let named = read(&directory, "named.jsonl");
    assert_eq!((named.lines().count(), named.matches("0.6666666666666666").count()), (1, 1), "{named}");
    let error = fails(at, &["-q", "data", "vote", "-o", "no.conll", "x.conll"]);
    assert!(error.contains("no sentence has more than one labelling"), "{error}");
    write(&directory, "4.conll", "# id = a\nAnn B-PER\nlost O\nRome O\n");
    let error = fails(at, &["-q", "data", "vote", "-o", "no.conll", "1.conll", "4.conll"]);
    assert!(error.contains("4.conll: sentence a has other tokens"), "{error}");
}
