//! `score` and `data agree`.

use serde_json::Value;
use tempfile::TempDir;

use crate::{SMALL, fails, run_in, sample, succeeds, write};

/// The sample's test set with some tags changed: every `step`th tag other than O becomes O, and of what is left every
/// `step`th gets another type.
fn with_errors(step: usize) -> String {
    let gold = std::fs::read_to_string(sample("test.conll")).unwrap();
    let mut seen = 0;
    let mut changed = |line: &str| {
        let Some((word, tag)) = line.rsplit_once(' ').filter(|(_, tag)| tag.contains('-')) else {
            return line.to_owned();
        };
        seen += 1;
        match seen % step {
            0 => format!("{word} O"),
            1 => format!("{word} {}-MISC", &tag[..1]),
            _ => line.to_owned(),
        }
    };
    gold.lines().map(|line| if line.starts_with('#') { line.to_owned() } else { changed(line) } + "\n").collect()
}

/// A directory with the gold and with predictions of which `a.conll` is best.
fn directory() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    write(&directory, "gold.conll", &std::fs::read_to_string(sample("test.conll")).unwrap());
    for (name, step) in [("a", 20), ("b", 9), ("c", 7), ("d", 5)] {
        write(&directory, &format!("{name}.conll"), &with_errors(step));
    }
    directory
}

fn score(directory: &TempDir, arguments: &[&str]) -> String {
    succeeds(directory.path(), &[&["score", "--gold", "gold.conll"], arguments].concat())
}

fn json(directory: &TempDir, arguments: &[&str]) -> Value {
    serde_json::from_str(&score(directory, &[arguments, &["--json"]].concat())).unwrap()
}

fn score_fails(directory: &TempDir, arguments: &[&str]) -> String {
    fails(directory.path(), &[&["score", "--gold", "gold.conll"], arguments].concat())
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"))
}

#[test]
fn one_file_is_scored_with_intervals() {
    let directory = directory();
    let table = score(&directory, &["--predicted", "a.conll"]);
    for expected in [
        "│ macro (gold types) ┆",
        "│ micro F1             ┆",
        "95 % interval",
        "10,000 test sets of 240 sentences drawn from this one (seed 1)",
        "Tags read leniently, as conlleval does. Malformed: 28 of 840 in a.conll (nearest to IOB2).",
    ] {
        assert!(table.contains(expected), "{expected}: {table}");
    }
    assert!(!table.contains("Nothing to divide by"), "{table}");
    assert_eq!(table, score(&directory, &["--predicted", "a.conll"]));

    let report = json(&directory, &["--predicted", "a.conll", "--level", "0.5"]);
    let run = &report["systems"][0]["runs"][0];
    let interval = &run["intervals"]["f1"];
    let f1 = number(&run["scores"]["micro"]["f1"]);
    assert!(number(&interval["low"]) < f1 && f1 < number(&interval["high"]), "{interval}");
    assert_eq!((number(&interval["estimate"]), number(&interval["level"])), (f1, 0.5));
    assert_eq!(report["test_set"]["sentences"], 240);
    assert_eq!(report["predicted"][0]["tags"]["malformed"], 28);

    let none = score(&directory, &["--predicted", "a.conll", "--resamples", "0"]);
    assert!(!none.contains("interval"), "{none}");
}

#[test]
fn fractions_that_are_undefined_are_named() {
    let directory = tempfile::tempdir().unwrap();
    write(&directory, "gold.conll", SMALL);
    write(&directory, "p.conll", &SMALL.replace("LOC", "GPE"));
    let table = score(&directory, &["--predicted", "p.conll"]);
    assert!(table.contains("Nothing to divide by, given as 0: recall of GPE, precision of LOC."), "{table}");
}

#[test]
fn scores_need_the_same_sentences() {
    let directory = tempfile::tempdir().unwrap();
    write(&directory, "gold.conll", SMALL);
    write(&directory, "p.conll", &SMALL.replace("lost O", "won O"));
    let error = score_fails(&directory, &["--predicted", "p.conll"]);
    assert!(error.contains("gold-00001") && error.contains("\"lost\" and \"won\""), "{error}");
    write(&directory, "p.conll", "Ann B-PER\n");
    let error = score_fails(&directory, &["--predicted", "p.conll"]);
    assert!(error.contains("gold.conll has 2 sentences, p.conll 1"), "{error}");
    write(
        &directory,
        "p.conll",
        &SMALL.lines().map(|line| line.split(' ').next().unwrap().to_owned() + "\n").collect::<String>(),
    );
    let error = score_fails(&directory, &["--predicted", "p.conll"]);
    assert!(error.contains("p.conll: sentence p-00000 has no labels"), "{error}");
    write(
        &directory,
        "p.conll",
        &SMALL.replace("Rome B-LOC\nlost", "# id = a\nRome B-LOC\nlost").replace("Ann", "# id = a\nAnn"),
    );
    let error = score_fails(&directory, &["--predicted", "p.conll"]);
    assert!(error.contains("p.conll:") && error.contains('a'), "{error}");
}

#[test]
fn strict_mode_follows_the_scheme_of_the_gold_or_the_one_given() {
    let directory = tempfile::tempdir().unwrap();
    write(&directory, "gold.conll", SMALL);
    // An `I-` after `O` is an entity to conlleval and none in seqeval's strict mode.
    write(&directory, "p.conll", &SMALL.replace("Rome B-LOC\nlost", "Rome I-LOC\nlost"));
    let right = |flags: &[&str]| {
        let report = json(&directory, &[&["--predicted", "p.conll"], flags].concat());
        (report["systems"][0]["runs"][0]["scores"]["micro"]["true_positive"].clone(), report["scheme"].clone())
    };
    assert_eq!(right(&[]), (3.into(), Value::Null));
    assert_eq!(right(&["--mode", "strict"]), (2.into(), "iob2".into()));
    assert_eq!(right(&["--mode", "strict", "--scheme", "iob1"]), (1.into(), "iob1".into()));
    let table = score(&directory, &["--predicted", "p.conll", "--mode", "strict"]);
    assert!(table.contains("Tags read strictly as IOB2") && table.contains("1 of 4 in p.conll."), "{table}");
    let table = score(&directory, &["--predicted", "p.conll", "--mode", "strict", "--scheme", "iobes"]);
    assert!(table.contains("in gold.conll (nearest to IOB2)"), "{table}");

    let error = score_fails(&directory, &["--predicted", "p.conll", "--scheme", "iob2"]);
    assert!(error.contains("--mode strict"), "{error}");
    succeeds(directory.path(), &["data", "convert", "gold.conll", "-o", "p.jsonl"]);
    for flags in [&["--mode", "strict"][..], &["--mode", "strict", "--details"]] {
        let error = score_fails(&directory, &[&["--predicted", "p.jsonl"], flags].concat());
        assert!(error.contains("p.jsonl: spans, but no tags"), "{error}");
    }
}

#[test]
fn systems_of_one_file_are_compared_over_sentences() {
    let directory = directory();
    let arguments = ["--predicted", "a.conll", "b=b.conll", "--predicted", "c=c.conll", "--resamples", "1000"];
    let report = json(&directory, &arguments);
    let names: Vec<&str> = report["systems"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a.conll", "b", "c"]);
    let comparisons = report["comparisons"].as_array().unwrap();
    assert_eq!(comparisons.len(), 2);
    let f1 = &comparisons[0]["f1"];
    assert_eq!((&comparisons[0]["system"], &comparisons[0]["with"]), (&"b".into(), &"a.conll".into()));
    let mean = |system: usize| number(&report["systems"][system]["f1"]["mean"]);
    assert!((number(&f1["difference"]) - (mean(1) - mean(0))).abs() < 1e-12);
    assert_eq!(f1["tests"][0]["test"], "paired-bootstrap");
    assert_eq!(f1["tests"][1]["test"], "approximate-randomisation");
    // b is clearly worse: no resample is as extreme, and Holm doubles that.
    assert_eq!(f1["tests"][0]["p_value"], 1.0 / 1001.0);
    assert_eq!(f1["tests"][0]["holm"], 2.0 / 1001.0);

    let table = score(&directory, &arguments);
    for expected in
        ["Differences, tested over test sentences", "│ b − a.conll ┆ micro F1 ┆    -0.", "for 2 comparisons (Holm)"]
    {
        assert!(table.contains(expected), "{expected}: {table}");
    }
    let all = json(&directory, &[&arguments[..], &["--all-pairs"]].concat());
    assert_eq!(all["comparisons"].as_array().unwrap().len(), 3);
    assert!(!score(&directory, &["--predicted", "a.conll", "b.conll", "--resamples", "0"]).contains("Differences"));
}

#[test]
fn systems_of_several_files_are_compared_over_seeds() {
    let directory = directory();
    let arguments = ["--predicted", "x=a.conll", "x=b.conll", "y=c.conll", "y=d.conll", "z=a.conll"];
    let report = json(&directory, &arguments);
    let x = &report["systems"][0];
    assert_eq!((&x["f1"]["seeds"], x["runs"].as_array().unwrap().len()), (&2.into(), 2));
    let values: Vec<f64> = (0..2).map(|i| number(&x["runs"][i]["scores"]["micro"]["f1"])).collect();
    assert!((number(&x["f1"]["mean"]) - f64::midpoint(values[0], values[1])).abs() < 1e-12);
    let [y, z] = [0, 1].map(|i| &report["comparisons"][i]);
    let tests: Vec<&Value> = y["f1"]["tests"].as_array().unwrap().iter().map(|test| &test["test"]).collect();
    assert_eq!(tests, ["welch", "paired-t"]);
    assert_eq!(y["f1"]["tests"][1]["degrees_of_freedom"], 1.0);
    assert!(z["f1"]["tests"].as_array().unwrap().is_empty());

    let table = score(&directory, &arguments);
    for expected in
        ["│ x      ┆     2 ┆ 0.", " ± 0.", "tested over seeds", "p (paired t)", "Not tested: z − x (one run against 2"]
    {
        assert!(table.contains(expected), "{expected}: {table}");
    }
}

#[test]
fn details_show_what_is_behind_the_scores() {
    let directory = directory();
    let text = std::fs::read_to_string(sample("test.conll")).unwrap();
    write(
        &directory,
        "gold.conll",
        &text.replacen("# id", "# newdoc id = first\n# id", 1).replacen(
            "# id = newsroom-business",
            "# newdoc id = second\n# id = newsroom-business",
            1,
        ),
    );
    let arguments = ["--predicted", "b.conll", "--details", "--train", &sample("train.conll")];
    let report = json(&directory, &arguments);
    let run = &report["systems"][0]["runs"][0];
    let (scores, details) = (&run["scores"]["micro"], &run["details"]);
    for parts in ["by_entity_length", "by_sentence_length", "by_novelty", "by_document"] {
        let sum: u64 = details[parts].as_object().unwrap().values().map(|part| part["gold"].as_u64().unwrap()).sum();
        assert_eq!(scores["gold"], sum, "{parts}");
    }
    assert_eq!(details["semeval"]["overall"]["strict"]["f1"], scores["f1"]);
    let table = score(&directory, &arguments);
    for expected in [
        "│ partial: half for overlap ┆",
        "Kinds of error",
        "Which type (rows) was taken for which (columns)",
        "By the entity's number of tokens",
        "│ seen with others only ┆",
        "By document, the worst first",
        "Tokens with the right tag:",
    ] {
        assert!(table.contains(expected), "{expected}: {table}");
    }
    let documents = json(&directory, &["--predicted", "b.conll", "--resample-by", "document"]);
    assert_eq!(documents["test_set"]["documents"], 2);
    let usage =
        run_in(directory.path(), &["score", "--gold", "gold.conll", "--predicted", "b.conll", "--train", "b.conll"]);
    assert_eq!(usage.status.code(), Some(2));
}

#[test]
fn documents_cannot_be_drawn_where_there_are_none() {
    let error = score_fails(&directory(), &["--predicted", "b.conll", "--resample-by", "document"]);
    assert!(error.contains("sentence 0 (from 0) is in no document"), "{error}");
}

#[test]
fn errors_are_listed_by_kind() {
    let directory = directory();
    let errors = |most: &str| {
        let report = json(&directory, &["--predicted", "c.conll", "--errors", most]);
        let mistakes = &report["systems"][0]["runs"][0]["mistakes"];
        let total: u64 = mistakes["counts"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
        let kinds: Vec<String> =
            mistakes["first"].as_array().unwrap().iter().map(|m| m["kind"].as_str().unwrap().to_owned()).collect();
        (total, kinds)
    };
    let (total, all) = errors("all");
    assert_eq!(all.len() as u64, total);
    let (same_total, some) = errors("2");
    assert_eq!(same_total, total);
    let mut kinds = all.clone();
    kinds.dedup();
    assert_eq!(kinds[..2], ["wrong-type", "wrong-boundary"]);
    let expected: Vec<&String> = kinds.iter().flat_map(|kind| all.iter().filter(move |k| *k == kind).take(2)).collect();
    assert_eq!(some.iter().collect::<Vec<_>>(), expected);
    let table = score(&directory, &["--predicted", "c.conll", "--errors", "1"]);
    assert!(table.contains("wrong type, ") && table.contains("; the first of each kind"), "{table}");
    assert!(score(&directory, &["--predicted", "gold.conll", "--errors", "all"]).contains("No errors."));
}

#[test]
fn markdown_has_tables_of_markdown() {
    let directory = tempfile::tempdir().unwrap();
    let gold = "a|b B-PER\nwon O\n";
    write(&directory, "gold.conll", gold);
    write(&directory, "p.conll", &gold.replace("PER", "LOC"));
    let page = score(&directory, &["--predicted", "p.conll", "--markdown", "--details", "--errors", "all"]);
    assert!(page.starts_with("| type "), "{page}");
    assert!(page.contains("\n\n### Errors: 1 wrong type\n\n| error "), "{page}");
    assert!(page.contains("| a\\|b (PER) | a\\|b (LOC) | [a\\|b] won |"), "{page}");
    assert!(!page.contains(['│', '┆', '═']), "{page}");
}

#[test]
fn any_format_can_be_scored_against_any_other() {
    let directory = directory();
    let f1 = |arguments: &[&str]| {
        let report = json(&directory, &[arguments, &["--resamples", "0"]].concat());
        report["systems"][0]["f1"]["mean"].clone()
    };
    let of_columns = f1(&["--predicted", "b.conll"]);
    for format in ["jsonl", "doccano", "entities", "hf", "gliner", "label-studio", "parquet"] {
        let file = format!("b.{format}");
        succeeds(directory.path(), &["data", "convert", "b.conll", "-o", &file, "--to", format]);
        assert_eq!(f1(&["--predicted", &file]), of_columns, "{format}");
        assert_eq!(f1(&["--predicted", &file, "--details"]), of_columns, "{format}");
    }
    // In another order, found by id.
    let text = std::fs::read_to_string(directory.path().join("b.conll")).unwrap();
    let mut sentences: Vec<&str> = text.trim_end().split("\n\n").collect();
    sentences.reverse();
    write(&directory, "reversed.conll", &sentences.join("\n\n"));
    assert_eq!(f1(&["--predicted", "reversed.conll"]), of_columns);
    assert_eq!(f1(&["--predicted", "reversed.conll", "--details"]), of_columns);
    // As conlleval takes them: the gold and the predicted tag in one file.
    let gold = std::fs::read_to_string(directory.path().join("gold.conll")).unwrap();
    let tag = |line: &str| line.rsplit_once(' ').map_or(String::new(), |(_, tag)| format!(" {tag}"));
    let both = gold.lines().zip(text.lines()).map(|(gold, predicted)| {
        let tag = if gold.starts_with('#') { String::new() } else { tag(predicted) };
        gold.to_owned() + &tag + "\n"
    });
    write(&directory, "gold.conll", &both.collect::<String>());
    assert_eq!(f1(&["--predicted", "gold.conll", "--gold-column", "-2"]), of_columns);
}

#[test]
fn agreement_is_measured_between_all_pairs() {
    let directory = directory();
    let agree = ["data", "agree", "gold.conll", "a.conll", "b.conll"];
    let report: Value = serde_json::from_str(&succeeds(directory.path(), &[&agree[..], &["--json"]].concat())).unwrap();
    assert_eq!(report["pairs"].as_array().unwrap().len(), 3);
    let scored = json(&directory, &["--predicted", "a.conll", "--resamples", "0"]);
    assert_eq!(report["pairs"][0]["f1"], scored["systems"][0]["f1"]["mean"]);
    let table = succeeds(directory.path(), &agree);
    for expected in ["│ gold.conll, a.conll ┆", "│ Krippendorff's alpha ┆ 0.", "look at F1 first"] {
        assert!(table.contains(expected), "{expected}: {table}");
    }
    assert_eq!(run_in(directory.path(), &["data", "agree", "gold.conll"]).status.code(), Some(2));
    write(&directory, "short.conll", SMALL);
    let error = fails(directory.path(), &["data", "agree", "gold.conll", "short.conll"]);
    assert!(error.contains("gold.conll has 240 sentences, short.conll 2"), "{error}");
}
