//! `annotate --batch`: jobs that outlive their processes.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
    thread::sleep,
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    provider::{Provider, Script, Step},
    server::Act,
    write, written,
};

const PROTOCOLS: [&str; 2] = ["openai", "anthropic"];

/// A well-behaved model that finds one name.
fn script() -> Script {
    let found = r#"{"entities": [{"text": "Ann", "type": "PER"}]}"#;
    Script { reply: Box::new(move |_| (200, json!(found))), ..Script::default() }
}

fn input(sentences: usize) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let lines: Vec<String> = (0..sentences).map(|n| format!("Ann wrote {n} letters .")).collect();
    write(&directory, "in.txt", &lines.join("\n"));
    write(&directory, "prices.toml", "[m]\ninput = 2\noutput = 10\n");
    directory
}

/// The same command every time, in batches of four.
fn command(at: &Path, provider: &Provider, protocol: &str, more: &[&str]) -> Command {
    let mut command = plain_command(at, provider, protocol, &["--batch", "--batch-requests", "4"]);
    command.args(more);
    command
}

/// The same without batches.
fn plain_command(at: &Path, provider: &Provider, protocol: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_apprentice"));
    command.current_dir(at).env("OPENAI_API_KEY", "sk-canary-0123").env("ANTHROPIC_API_KEY", "sk-canary-0123");
    command.env_remove("OPENAI_BASE_URL").env_remove("ANTHROPIC_BASE_URL");
    let url = provider.url(protocol);
    command.args(["annotate", "--provider", protocol, "--model", "m", "--input", "in.txt", "--store", "store"]);
    command.args(["--base-url", &url, "-o", "out.conll", "--overwrite", "--prices", "prices.toml", "--timeout", "1"]);
    command.args(more).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(at: &Path, provider: &Provider, protocol: &str, more: &[&str]) -> (Output, String) {
    let output = command(at, provider, protocol, more).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, said)
}

fn annotated(at: &Path) -> usize {
    std::fs::read_to_string(at.join("out.conll")).unwrap().matches("Ann B-PER").count()
}

fn assert_once(provider: &Provider, expected: usize, name: &str) {
    let mut questions = provider.questions();
    questions.dedup();
    assert_eq!((questions.len(), provider.questions().len()), (expected, expected), "{name}");
}

#[test]
fn a_batch_job_is_written_like_a_live_one_for_half_the_price() {
    for protocol in PROTOCOLS {
        let (provider, directory) = (Provider::start(script()), input(10));
        let at = directory.path();
        let (shown, said) = run(at, &provider, protocol, &["--dry-run"]);
        let shown = String::from_utf8(shown.stdout).unwrap();
        assert!(shown.contains("10 requests to") && shown.contains("in 3 batches, within a day"), "{shown} {said}");
        assert_eq!(written(&directory, &["in.txt", "prices.toml"]), Vec::<String>::new());
        let (output, said) = run(at, &provider, protocol, &["--json"]);
        assert!(output.status.success(), "{said}");
        assert!(
            said.contains("batch 3 is handed over") && said.contains("waiting for 3 batches of 10 requests"),
            "{said}"
        );
        let account: Value = serde_json::from_slice(&output.stdout).unwrap();
        // A hundred tokens in and ten out each, at half of 2 and of 10 for a million.
        assert!((account["cost"].as_f64().unwrap() - 10.0 * 150e-6).abs() < 1e-12, "{}", account["cost"]);
        assert_eq!((&account["batches"]["submitted"], &account["batches"]["fetched"]), (&json!(3), &json!(3)));
        assert_eq!(
            (&account["requests"]["done"], &account["failed"]["count"], annotated(at)),
            (&json!(10), &json!(0), 10)
        );
        assert_once(&provider, 10, protocol);
        // And again, from the store alone.
        let (output, said) = run(at, &provider, protocol, &[]);
        assert!(output.status.success() && provider.count(Step::Create) == 3, "{said}");
    }
}

/// The cost of a strategy is that of its answers, each at the price of the way it came, whoever asks for the sheet.
#[test]
fn answers_keep_the_price_of_the_way_they_came() {
    let (provider, directory) = (Provider::start(script()), input(10));
    let at = directory.path();
    let all = std::fs::read_to_string(at.join("in.txt")).unwrap();
    let millionths = |cost: &Value| (cost.as_f64().unwrap() * 1e6).round() as u64;
    let cost = |command: &mut Command| {
        let output = command.arg("--json").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let account: Value = serde_json::from_slice(&output.stdout).unwrap();
        let strategy = &account["strategies"][0];
        (strategy["answers"].clone(), millionths(&strategy["cost"]), millionths(&account["cost"]))
    };
    // Three answers of 300 millionths by themselves, then seven of 150 in batches.
    write(&directory, "in.txt", &all.lines().take(3).collect::<Vec<_>>().join("\n"));
    assert_eq!(cost(&mut plain_command(at, &provider, "openai", &[])), (json!(3), 900, 900));
    write(&directory, "in.txt", &all);
    assert_eq!(cost(&mut command(at, &provider, "openai", &[])), (json!(10), 1950, 1050));
    for more in [&["--reparse"][..], &[]] {
        assert_eq!(cost(&mut plain_command(at, &provider, "openai", more)), (json!(10), 1950, 0), "{more:?}");
    }
    assert_once(&provider, 10, "all runs");
}

#[test]
fn without_waiting_the_same_command_fetches_later() {
    for protocol in PROTOCOLS {
        let (provider, directory) = (Provider::start(Script { looks: 2, ..script() }), input(6));
        let at = directory.path();
        let (output, said) = run(at, &provider, protocol, &["--no-wait"]);
        assert_eq!((output.status.code(), provider.count(Step::Poll)), (Some(0), 0), "{said}");
        let next = "2 batches of 6 requests stay with the provider; run the same command again later";
        assert!(said.contains(next) && !at.join("out.conll").exists(), "{said}");
        let (shown, _) = run(at, &provider, protocol, &["--dry-run"]);
        assert!(String::from_utf8(shown.stdout).unwrap().contains("6 in batches not fetched yet"));
        for look in 1..3 {
            let (output, said) = run(at, &provider, protocol, &["--no-wait"]);
            assert_eq!((output.status.code(), provider.count(Step::Poll)), (Some(0), 2 * look), "{said}");
            assert!(said.contains(next) && !at.join("out.conll").exists(), "{said}");
        }
        let (output, said) = run(at, &provider, protocol, &["--no-wait"]);
        assert!(output.status.success() && annotated(at) == 6, "{said}");
        assert_once(&provider, 6, protocol);
    }
}

/// `kill -9` once the provider is asked for the nth time to do something, before and after it does.
#[test]
fn a_killed_process_goes_on_where_it_was() {
    for protocol in PROTOCOLS {
        let ends = [(Step::Upload, 1), (Step::Create, 0), (Step::Create, 1), (Step::Poll, 1), (Step::Results, 0)];
        for (step, nth) in ends {
            if (protocol, step) == ("anthropic", Step::Upload) {
                continue;
            }
            for is_done in [false, true] {
                let hang = || Act::Hang(Vec::new(), Duration::from_secs(30));
                let is_it = move |at: Step, count: usize| (at, count) == (step, nth);
                let before = move |at, count| (!is_done && is_it(at, count)).then(hang);
                let after = move |at, count, act| if is_done && is_it(at, count) { hang() } else { act };
                let script = Script { before: Box::new(before), after: Box::new(after), ..script() };
                let (provider, directory) = (Provider::start(script), input(6));
                let at = directory.path();
                let mut child = command(at, &provider, protocol, &[]).spawn().unwrap();
                while provider.count(step) <= nth {
                    sleep(Duration::from_millis(5));
                }
                child.kill().unwrap();
                child.wait().unwrap();
                let name = format!("{protocol}, {step:?} {nth}, done: {is_done}");
                let (output, said) = run(at, &provider, protocol, &[]);
                assert!(output.status.success(), "{name}: {said}");
                assert_eq!(annotated(at), 6, "{name}");
                assert_once(&provider, 6, &name);
            }
        }
    }
}

#[test]
fn ctrl_c_leaves_the_batches_and_says_how_to_go_on() {
    let script = Script { looks: 3, ..script() };
    let (provider, directory) = (Provider::start(script), input(6));
    let at = directory.path();
    let child = command(at, &provider, "openai", &[]).spawn().unwrap();
    while provider.count(Step::Poll) == 0 {
        sleep(Duration::from_millis(5));
    }
    let done = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(done.success());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let says = "interrupted; run the same command again to go on; 2 batches of 6 requests stay with the provider";
    assert!(said.contains(says) && !at.join("out.conll").exists(), "{said}");
    let (output, said) = run(at, &provider, "openai", &[]);
    assert!(output.status.success() && annotated(at) == 6, "{said}");
    assert_once(&provider, 6, "Ctrl-C");
}

#[test]
fn batches_that_are_given_up_are_asked_anew() {
    let (provider, directory) = (Provider::start(Script { looks: 1_000_000, ..script() }), input(6));
    let at = directory.path();
    assert!(run(at, &provider, "openai", &["--no-wait"]).0.status.success());
    let (output, said) = run(at, &provider, "openai", &["--no-wait", "--give-up-batches"]);
    assert!(output.status.success() && said.contains("6 requests in batches are given up"), "{said}");
    assert_eq!(provider.count(Step::Create), 4);
}

#[test]
fn a_batch_that_fails_is_named_and_a_limit_is_kept() {
    let (provider, directory) = (Provider::start(Script { end: "failed", ..script() }), input(3));
    let (output, said) = run(directory.path(), &provider, "openai", &[]);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("batch batch_0 of 3 requests: invalid_json_line: line 2: no JSON"), "{said}");
    let (provider, directory) = (Provider::start(script()), input(9));
    let at = directory.path();
    let (output, said) = run(at, &provider, "openai", &["--max-requests", "5"]);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("5 of 9 requests are answered and kept in store; the limit of 5 requests is reached"),
        "{said}"
    );
    let (output, said) = run(at, &provider, "openai", &["--max-requests", "5"]);
    assert!(output.status.success() && annotated(at) == 9, "{said}");
    assert_once(&provider, 9, "limit");
}

#[test]
fn answers_of_batches_are_checked_in_further_batches() {
    let directory = input(6);
    let provider = Provider::start(script());
    let (output, said) = run(directory.path(), &provider, "openai", &["--check", "--json"]);
    assert!(output.status.success(), "{said}");
    let account: Value = serde_json::from_slice(&output.stdout).unwrap();
    let names: Vec<&Value> = account["strategies"].as_array().unwrap().iter().map(|one| &one["strategy"]).collect();
    assert_eq!(names, ["standard@2", "standard@2+check"]);
    // Two batches of four and two first answers, then as many of checked ones.
    assert_eq!((&account["requests"]["done"], provider.count(Step::Create)), (&json!(12), 4));
}
