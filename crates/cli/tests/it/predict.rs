//! `predict`: many inputs, scores, long and broken inputs.

use std::{
    fmt::Write as _,
    io::{Read, Write},
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{SMALL, fails, run_in, succeeds, write, written};

/// A directory with `run`, a student that knows the names of [`SMALL`], and that numbers are none.
fn trained() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let numbers = (0..60).fold(String::new(), |text, n| text + &format!("in O\n{n} O\n. O\n\n"));
    write(&directory, "a.conll", &(format!("{SMALL}\n").repeat(30) + &numbers));
    let train =
        "-q train --encoder scratch:1x16x2 --original a.conll --epochs 10 --batch-size 6 --learning-rate 1e-2 -o run";
    succeeds(directory.path(), &train.split(' ').collect::<Vec<_>>());
    std::fs::remove_file(directory.path().join("a.conll")).unwrap();
    directory
}

fn predict<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["-q", "predict", "--model", "run"], more].concat()
}

/// Runs it with this on standard input.
fn piped(directory: &Path, arguments: &[&str], input: &str) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_apprentice"))
        .current_dir(directory)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

fn lines(json: &str) -> Vec<Value> {
    json.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// More lines than are tagged at once, each with its number, and with an entity in every second.
fn many() -> String {
    (0..2500).fold(String::new(), |mut text, n| {
        writeln!(text, "{} {n} .", if n % 2 == 0 { "Ann Keller won in Rome" } else { "in in" }).unwrap();
        text
    })
}

#[test]
fn files_folders_patterns_and_standard_input_come_out_in_order() {
    let directory = trained();
    let at = directory.path();
    std::fs::create_dir(at.join("folder")).unwrap();
    write(&directory, "many.txt", &many());
    write(&directory, "folder/b.conll", SMALL);
    write(&directory, "folder/c.jsonl", "{\"text\": \"Rome lost\", \"spans\": []}\n");
    write(&directory, "p1.txt", "Ann Keller lost\n");
    write(&directory, "p2.txt", "in Rome\n");
    let inputs = ["many.txt", "folder", "p?.txt", "-"];
    // The name says the format.
    let all = [&inputs[..], &["-o", "out.jsonl"]].concat();
    piped(at, &predict(&all), "Rome won\n");
    let out = std::fs::read_to_string(at.join("out.jsonl")).unwrap();
    let found = lines(&out);
    let texts: Vec<&str> = found.iter().map(|line| line["text"].as_str().unwrap()).collect();
    let rest = ["Ann Keller won in Rome .", "Rome lost", "Rome lost", "Ann Keller lost", "in Rome", "Rome won"];
    let many = many();
    assert!(texts.iter().copied().eq(many.lines().chain(rest)), "other texts, or another order");
    let ids: Vec<&str> = found[2500..].iter().map(|line| line["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["b-00000", "b-00001", "c-00000", "p1-00001", "p2-00001", "stdin-00001"]);
    let entities = |line: &Value| line["spans"].as_array().unwrap().len();
    assert!(found[..2500].iter().enumerate().all(|(n, line)| entities(line) == if n % 2 == 0 { 2 } else { 0 }));

    let settings = std::fs::read_to_string(at.join("out.jsonl.settings.toml")).unwrap();
    let settings: toml::Table = settings.parse().unwrap();
    let read: Vec<&str> = settings["inputs"].as_array().unwrap().iter().map(|path| path.as_str().unwrap()).collect();
    assert_eq!(read, ["many.txt", "folder/b.conll", "folder/c.jsonl", "p1.txt", "p2.txt", "stdin"]);

    // Whatever the threads, and however the texts come.
    for threads in ["1", "2", "3"] {
        let again =
            piped(at, &predict(&[&inputs[..], &["--to", "jsonl", "--threads", threads]].concat()), "Rome won\n");
        assert!(again == out, "{threads} threads: another output");
    }
    let alone = lines(&succeeds(at, &predict(&["folder/b.conll", "--to", "jsonl"])));
    assert_eq!(alone, found[2500..2502]);
}

#[test]
fn entities_have_scores_and_the_shape_of_the_pipeline() {
    let directory = trained();
    let at = directory.path();
    let text = "Émile 🎉 saw Ann Keller in Rome .\nnobody\n  Rome won\n";
    write(&directory, "in.txt", text);
    let entities = lines(&succeeds(at, &predict(&["in.txt", "--json"])));
    let arrays = lines(&succeeds(at, &predict(&["in.txt", "--to", "pipeline"])));
    assert_eq!((entities.len(), arrays.len()), (3, 3));
    let mut found = 0;
    for ((line, entities), groups) in text.lines().zip(&entities).zip(&arrays) {
        let characters: Vec<char> = line.chars().collect();
        let (entities, groups) = (entities["entities"].as_array().unwrap(), groups.as_array().unwrap());
        assert_eq!(entities.len(), groups.len());
        for (entity, group) in entities.iter().zip(groups) {
            let keys: Vec<&String> = group.as_object().unwrap().keys().collect();
            assert_eq!(keys.len(), 5, "{keys:?}");
            for (ours, theirs) in
                [("label", "entity_group"), ("score", "score"), ("text", "word"), ("start", "start"), ("end", "end")]
            {
                assert_eq!(entity[ours], group[theirs], "{ours}");
            }
            let at = |key: &str| group[key].as_u64().unwrap() as usize;
            assert_eq!(characters[at("start")..at("end")].iter().collect::<String>(), group["word"].as_str().unwrap());
            let score = group["score"].as_f64().unwrap();
            assert!(score > 0.0 && score <= 1.0, "{score}");
            found += 1;
        }
    }
    assert!(found >= 3, "{found} entities");

    // What is written with scores is scored with its calibration.
    write(&directory, "gold.conll", SMALL);
    succeeds(at, &predict(&["gold.conll", "-o", "p.jsonl"]));
    // A line of text could not say what was found.
    succeeds(at, &predict(&["gold.conll", "-o", "p.txt"]));
    assert!(std::fs::read_to_string(at.join("p.txt")).unwrap().contains("\nAnn B-PER\n"));
    let score = ["score", "--gold", "gold.conll", "--predicted", "p.jsonl", "--details", "--json"];
    let scores: Value = serde_json::from_str(&succeeds(at, &score)).unwrap();
    let calibration = scores.to_string();
    let calibration = &calibration[calibration.find("\"calibration\":").unwrap()..];
    assert!(calibration.contains("\"entities\":3"), "{calibration}");
}

/// Rounded numbers find the same names in an easy text, and the settings say which they were.
#[test]
fn every_precision_finds_the_same_entities() {
    let directory = trained();
    write(&directory, "a.txt", "Ann Keller won in Rome .\nin in 7 .\n");
    let tags = |precision| {
        let flags = ["a.txt", "--precision", precision, "-o", "out.conll", "--overwrite"];
        succeeds(directory.path(), &predict(&flags));
        let read = |name| std::fs::read_to_string(directory.path().join(name)).unwrap();
        (read("out.conll"), read("out.conll.settings.toml"))
    };
    let exact = tags("f32").0;
    for precision in ["f32", "bf16", "int8"] {
        let (tags, settings) = tags(precision);
        assert_eq!(tags, exact, "{precision}");
        assert!(settings.contains(&format!("precision = \"{precision}\"")), "{settings}");
    }
    // What it came to is what is written down.
    let settings = tags("auto").1;
    assert!(["f32", "bf16"].iter().any(|p| settings.contains(&format!("precision = \"{p}\""))), "{settings}");
    let usage = run_in(directory.path(), &predict(&["a.txt", "--precision", "f16"]));
    let error = String::from_utf8_lossy(&usage.stderr);
    assert!(usage.status.code() == Some(2) && error.contains("expected f32, bf16, int8 or auto"), "{error}");
}

#[test]
fn a_broken_input_is_named_and_leaves_no_output() {
    let directory = trained();
    let at = directory.path();
    write(&directory, "good.txt", &many());
    // The fault comes when much has been tagged and written.
    let broken = "{\"text\": \"Rome lost\"}\n".repeat(1500) + "{\"text\": \n";
    write(&directory, "broken.jsonl", &broken);
    write(&directory, "empty.txt", "\n");
    let inputs = ["run", "good.txt", "broken.jsonl", "empty.txt"];
    for to in ["conll", "marked", "pipeline"] {
        let error = fails(at, &predict(&["good.txt", "broken.jsonl", "--to", to, "-o", "out"]));
        assert!(error.contains("broken.jsonl:1501: "), "{to}: {error}");
        assert!(written(&directory, &inputs).is_empty(), "{to} left {:?}", written(&directory, &inputs));
    }
    write(&directory, "out", "precious");
    fails(at, &predict(&["broken.jsonl", "-o", "out", "--overwrite"]));
    assert_eq!(std::fs::read_to_string(at.join("out")).unwrap(), "precious");
    // What is not there is noticed before anything is tagged.
    assert!(fails(at, &predict(&["good.txt", "nowhere.txt"])).contains("cannot read nowhere.txt"));
    let pipeline = predict(&["good.txt", "--to", "pipeline", "--unit", "document"]);
    assert!(fails(at, &pipeline).contains("its offsets are those of one text a line"));
    assert!(fails(at, &predict(&["empty.txt"])).contains("empty.txt: no sentence in this file"));
    assert_eq!(succeeds(at, &predict(&["empty.txt", "good.txt", "--to", "pipeline"])).lines().count(), 2500);
}

#[test]
fn who_stops_reading_is_no_failure() {
    let directory = trained();
    write(&directory, "many.txt", &many().repeat(2));
    for to in ["conll", "pipeline"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_apprentice"))
            .current_dir(directory.path())
            .args(predict(&["many.txt", "--to", to]))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // What was read shows that more was on its way; then the pipe is closed.
        child.stdout.take().unwrap().read_exact(&mut [0; 100]).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""), "{to}");
        let whole = run_in(directory.path(), &predict(&["many.txt", "--to", to])).stdout.len();
        assert!(whole > 1 << 18, "{to}: {whole} bytes fit into the pipe and the buffer");
    }
}

#[test]
fn documents_of_any_length_are_one_text_or_their_sentences() {
    let directory = trained();
    let at = directory.path();
    let document = "Ann Keller won in Rome . ".repeat(2000);
    write(&directory, "in.txt", &document);
    let whole = lines(&succeeds(at, &predict(&["in.txt", "--json", "--max-length", "10"])));
    assert_eq!(whole.len(), 1);
    let whole = whole[0]["entities"].as_array().unwrap();
    assert!(whole.iter().all(|entity| {
        document[entity["start"].as_u64().unwrap() as usize..].starts_with(entity["text"].as_str().unwrap())
    }));
    let labels =
        |entities: &[Value]| entities.iter().map(|e| e["label"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(labels(whole), ["PER", "LOC"].repeat(2000));
    let sentences = lines(&succeeds(at, &predict(&["in.txt", "--json", "--unit", "document"])));
    assert_eq!(sentences.len(), 2000);
    assert!(
        sentences.iter().all(
            |line| line["document"] == "in-00001" && labels(line["entities"].as_array().unwrap()) == ["PER", "LOC"]
        )
    );
}
