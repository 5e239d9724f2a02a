//! `annotate` with a live teacher: a job of hours, cut off in every way.

use std::{
    collections::HashSet,
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread::sleep,
    time::Duration,
};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

use crate::{
    server::{Act, Asked, Server},
    write, written,
};

const KEY: &str = "sk-canary-0123456789";

/// A well-behaved model that finds one name.
pub fn model(asked: &Asked) -> Act {
    let name = if asked.question().contains("Rome") { "Rome" } else { "Ann" };
    Act::answer(&format!(r#"{{"entities": [{{"text": "{name}", "type": "PER"}}]}}"#))
}

pub fn input(directory: &TempDir, sentences: usize) {
    let lines: Vec<String> = (0..sentences).map(|n| format!("Ann wrote {n} letters .")).collect();
    write(directory, "in.txt", &lines.join("\n"));
}

pub fn command(at: &Path, server: &Server, more: &[&str]) -> Command {
    command_to(at, &server.url, "out.conll", more)
}

pub fn command_to(at: &Path, url: &str, output: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_apprentice"));
    command.current_dir(at).env("OPENAI_API_KEY", KEY).env_remove("OPENAI_BASE_URL");
    let base = ["-q", "annotate", "--provider", "openai", "--model", "m", "--input", "in.txt", "--store", "store"];
    command.args(base).args(["--base-url", url, "-o", output, "--overwrite"]).args(more);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(at: &Path, server: &Server, more: &[&str]) -> Output {
    command(at, server, more).output().unwrap()
}

pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// How many sentences the output has.
fn annotated(at: &Path) -> usize {
    std::fs::read_to_string(at.join("out.conll")).unwrap().matches("# id = ").count()
}

/// The questions whose answers are in the store, which must be sound.
pub fn stored(at: &Path) -> HashSet<String> {
    if !at.join("store").exists() {
        return HashSet::new();
    }
    let store = rusqlite::Connection::open(at.join("store")).unwrap();
    // Killed before the tables were made.
    let tables: i64 = store.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0)).unwrap();
    if tables == 0 {
        return HashSet::new();
    }
    let sound: String = store.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
    let mut answered = store.prepare("SELECT request FROM attempt WHERE status = 200").unwrap();
    let questions = answered.query_map([], |row| row.get::<_, String>(0)).unwrap();
    questions.map(|question| last_message(&serde_json::from_str(&question.unwrap()).unwrap())).collect()
}

fn last_message(body: &serde_json::Value) -> String {
    body["messages"].as_array().unwrap().last().unwrap()["content"].as_str().unwrap().to_owned()
}

/// Kills the job at so many seeded moments; `APPRENTICE_CAMPAIGN=1` kills 500 times.
#[test]
fn a_job_that_is_killed_goes_on_and_pays_for_nothing_twice() {
    let (sentences, kills) = if std::env::var_os("APPRENTICE_CAMPAIGN").is_some() { (2000, 500) } else { (300, 8) };
    let server = Server::start(|asked| {
        sleep(Duration::from_millis(4));
        model(asked)
    });
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    input(&directory, sentences);
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let mut kept = HashSet::new();
    let mut known = 0;
    for kill in 0..kills {
        let mut child = command(at, &server, &["--concurrency", "4"]).spawn().unwrap();
        sleep(Duration::from_millis(random.random_range(10..120)));
        child.kill().unwrap();
        child.wait().unwrap();
        let asked = server.asked();
        let again = asked[known..].iter().find(|asked| kept.contains(asked.question()));
        assert!(again.is_none(), "kill {kill}: was answered and kept, and is asked again: {again:?}");
        known = asked.len();
        kept = stored(at);
    }
    let output = run(at, &server, &[]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(annotated(at), sentences);
    let asked = server.count();
    println!("{kills} kills: {sentences} sentences, {asked} requests ({} answers lost in flight)", asked - sentences);
    assert!(asked <= sentences + 4 * kills, "{asked}");
}

fn interrupt(child: &Child) {
    let done = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(done.success());
}

#[test]
fn ctrl_c_saves_what_is_in_flight_and_says_how_to_go_on() {
    let server = Server::start(|asked| {
        sleep(Duration::from_millis(20));
        model(asked)
    });
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    input(&directory, 400);
    let child = command(at, &server, &["--concurrency", "4"]).spawn().unwrap();
    while server.count() < 20 {
        sleep(Duration::from_millis(5));
    }
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    let (error, asked) = (said(&output), server.count());
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(
        error.contains("are answered and kept in store") && error.contains("run the same command again"),
        "{error}"
    );
    // What was in flight was waited for and kept.
    assert_eq!(stored(at).len(), asked);
    assert!(!at.join("out.conll").exists());
    assert!(run(at, &server, &[]).status.success());
    assert_eq!((annotated(at), server.count()), (400, 400));
}

#[test]
fn a_full_disk_stops_the_job_before_more_is_paid_for() {
    let server = Server::start(model);
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    input(&directory, 2000);
    let job = command(at, &server, &["--concurrency", "4"]);
    // No file may grow beyond 3 MiB; the signal that comes with it is ignored, so that writes fail.
    let arguments: Vec<_> = job.get_args().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let mut limited = Command::new("bash");
    limited.current_dir(at).env("OPENAI_API_KEY", KEY).args(["-c", "trap '' XFSZ; ulimit -f 3072; exec \"$0\" \"$@\""]);
    let output = limited.arg(job.get_program()).args(arguments).output().unwrap();
    let (error, asked) = (said(&output), server.count());
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("the store cannot be written"), "{error}");
    let kept = stored(at);
    // What had been sent when the first write failed, and no more.
    assert!(asked > 50 && asked <= kept.len() + 8, "{asked} asked, {} kept", kept.len());
    assert!(run(at, &server, &[]).status.success());
    assert_eq!((annotated(at), server.count()), (2000, 2000 + asked - kept.len()));
}

#[test]
fn two_processes_on_one_store_pay_once() {
    let server = Server::start(|asked| {
        sleep(Duration::from_millis(2));
        model(asked)
    });
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    input(&directory, 200);
    let children = ["a.conll", "b.conll"].map(|output| command_to(at, &server.url, output, &[]).spawn().unwrap());
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
    }
    assert_eq!(server.count(), 200);
    let read = |name: &str| std::fs::read_to_string(at.join(name)).unwrap();
    assert_eq!(read("a.conll"), read("b.conll"));
}

#[test]
fn one_poisoned_sentence_is_listed_and_the_others_are_written() {
    let server = Server::start(|asked| match asked.question() {
        question if question.contains("wrote 77 letters") => Act::error(400, "", "no way"),
        _ => model(asked),
    });
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    input(&directory, 300);
    let output = run(at, &server, &[]);
    assert_eq!((output.status.code(), annotated(at)), (Some(1), 299));
    assert!(
        said(&output).contains("1 of 300 sentences could not be annotated as asked (in-00078: "),
        "{}",
        said(&output)
    );
    // It alone is asked again.
    assert!(run(at, &server, &["--skip-failed"]).status.success());
    assert_eq!(server.count(), 301);
    // And nothing where only the output is made anew.
    let account = run(at, &server, &["--reparse", "--skip-failed", "--json"]);
    let account: serde_json::Value = serde_json::from_slice(&account.stdout).unwrap();
    assert_eq!((&account["written"], &account["failed"]["count"], server.count()), (&299.into(), &1.into(), 301));
}

#[test]
fn a_wrong_key_is_one_line_and_stays_secret() {
    let server = Server::start(|asked| {
        Act::error(401, "invalid_api_key", &format!("wrong key {}", asked.headers["authorization"]))
    });
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    input(&directory, 300);
    let output = run(at, &server, &[]);
    let error = said(&output);
    assert_eq!((output.status.code(), server.count(), error.lines().count()), (Some(1), 1, 1), "{error}");
    assert!(error.contains("status 401") && error.contains("check the API key"), "{error}");
    assert!(!error.contains("canary"));
    for file in written(&directory, &[]) {
        let content = std::fs::read(at.join(&file)).unwrap();
        assert!(!content.windows(6).any(|window| window == b"canary"), "{file}");
    }
    // Keys of one provider are not given to the other, nor written into commands.
    let error = said(&command_to(at, "https://api.anthropic.com/v1", "out.conll", &[]).output().unwrap());
    assert!(error.contains("OPENAI_API_KEY would be sent to api.anthropic.com"), "{error}");
    let error = said(&run(at, &server, &["--header", "authorization: Bearer x"]));
    assert!(error.contains("keys stay out of commands"), "{error}");
}

#[test]
fn numbers_that_make_no_job_are_refused() {
    let server = Server::start(model);
    let directory = tempfile::tempdir().unwrap();
    input(&directory, 1);
    for flag in ["--timeout=0", "--timeout=-1", "--timeout=nan", "--timeout=1e300", "--attempts=0", "--max-cost=0"] {
        let error = said(&run(directory.path(), &server, &[flag]));
        assert!(error.starts_with(&format!("error: {} ", flag.split_once('=').unwrap().0)), "{error}");
    }
    assert_eq!(server.count(), 0);
}

#[test]
fn a_dry_run_sends_nothing_and_samples_vote() {
    // Two of three answers say that Ann is a person.
    let server = Server::start(|asked| {
        let label = if asked.number % 3 == 0 { "ORG" } else { "PER" };
        Act::answer(&format!(r#"{{"entities": [{{"text": "Ann", "type": "{label}"}}]}}"#))
    });
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    input(&directory, 10);
    let voting = ["--samples", "3", "--concurrency", "1"];
    let shown = run(at, &server, &[&voting[..], &["--dry-run"]].concat());
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("Ann wrote 0 letters .") && shown.contains("30 requests to"), "{shown}");
    assert_eq!((server.count(), written(&directory, &["in.txt"])), (0, Vec::<String>::new()));
    let output = run(at, &server, &voting);
    assert!(output.status.success(), "{}", said(&output));
    let columns = std::fs::read_to_string(at.join("out.conll")).unwrap();
    assert_eq!((server.count(), columns.matches("Ann B-PER").count()), (30, 10));
}

#[test]
fn human_labels_give_a_quality_sheet() {
    let server = Server::start(model);
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    input(&directory, 2);
    // Of two persons the model finds one each, and in the second sentence it is no person.
    let ids = "# id = in-00001\nAnn B-PER\nwrote O\n0 O\nletters B-PER\n. O\n\n# id = in-00002\nAnn B-ORG\nwrote O\n1 O\nletters O\n. O\n";
    write(&directory, "gold.conll", ids);
    let output = run(at, &server, &["--gold", "gold.conll", "--json"]);
    assert!(output.status.success(), "{}", said(&output));
    let sheet: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let counts = &sheet["quality"]["systems"][0]["runs"][0]["scores"]["micro"];
    assert_eq!((&counts["gold"], &counts["predicted"], &counts["true_positive"]), (&3.into(), &2.into(), &1.into()));
    let written: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(at.join("out.conll.report.json")).unwrap()).unwrap();
    assert_eq!(written["quality"], sheet["quality"]);
    write(&directory, "gold.conll", &ids.replace("letters B-PER", "mails B-PER"));
    let error = said(&run(at, &server, &["--gold", "gold.conll"]));
    assert!(error.contains("sentence in-00001 has other tokens there than in the input"), "{error}");
}

#[test]
fn several_strategies_vote_are_checked_and_stand_side_by_side() {
    // Reasoning finds the place, the short answer does not; asked to check, the short answer also takes a word too many,
    // and once there is no checked answer.
    let server = Server::start(|asked| {
        let messages = asked.body["messages"].as_array().unwrap();
        let said = |index: usize| messages[index]["content"].as_str().unwrap().to_owned();
        let reasons = said(0).contains("Think before you answer");
        let is_check = messages.last().unwrap()["content"].as_str().unwrap().starts_with("Check your answer");
        if is_check && messages.iter().any(|message| message["content"].as_str().unwrap().contains("wrote 3 letters")) {
            return Act::error(400, "", "no way");
        }
        let name = if is_check && !reasons { "Ann wrote" } else { "Ann" };
        let place = if reasons { r#", {"text": "Rome", "type": "LOC"}"# } else { "" };
        Act::answer(&format!(r#"{{"entities": [{{"text": "{name}", "type": "PER"}}{place}]}}"#))
    });
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let sentences: Vec<String> = (0..5).map(|n| format!("Ann wrote {n} letters in Rome .")).collect();
    write(&directory, "in.txt", &sentences.join("\n"));
    let gold =
        |n: usize| format!("# id = in-0000{}\nAnn B-PER\nwrote O\n{n} O\nletters O\nin O\nRome B-LOC\n. O\n", n + 1);
    write(&directory, "gold.conll", &(0..5).map(gold).collect::<Vec<_>>().join("\n"));
    let both = ["--strategy", "standard,cot", "--quorum", "0.5", "--gold", "gold.conll", "--json"];
    let mut job = command_to(at, &server.url, "out.jsonl", &both);
    let output = job.output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let sheet: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(server.count(), 10);
    let names: Vec<_> = sheet["strategies"].as_array().unwrap().iter().map(|one| &one["strategy"]).collect();
    assert_eq!(names, ["standard@2", "cot@2"]);
    let f1 = |sheet: &serde_json::Value, system: usize| sheet["quality"]["systems"][system]["f1"]["mean"].as_f64();
    assert_eq!(sheet["quality"]["systems"][2]["name"], "together");
    assert_eq!([0, 1, 2].map(|system| f1(&sheet, system)), [2.0 / 3.0, 1.0, 1.0].map(Some));
    assert_eq!(sheet["quality"]["comparisons"].as_array().unwrap().len(), 3);
    // The shares of the votes stand in the output and are compared with the truth.
    let first: serde_json::Value =
        serde_json::from_str(std::fs::read_to_string(at.join("out.jsonl")).unwrap().lines().next().unwrap()).unwrap();
    assert_eq!([0, 1].map(|span| first["spans"][span]["score"].as_f64()), [Some(1.0), Some(0.5)]);
    let run = &sheet["quality"]["systems"][2]["runs"][0];
    assert_eq!(run["details"]["calibration"]["expected_error"], 0.25);

    let checked = [&both[..], &["--check", "--skip-failed", "--export-transcripts", "t.jsonl"]].concat();
    let output = command_to(at, &server.url, "out.jsonl", &checked).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let sheet: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((server.count(), &sheet["incomplete"], &sheet["written"]), (20, &1.into(), &5.into()));
    let names: Vec<_> = sheet["strategies"].as_array().unwrap().iter().map(|one| &one["strategy"]).collect();
    assert_eq!(names, ["standard@2", "standard@2+check", "cot@2", "cot@2+check"]);
    // Of one sentence there is no checked answer under either strategy: the unchecked ones stand in.
    assert_eq!(sheet["strategies"][1]["answers"], 4);
    assert!((f1(&sheet, 3).unwrap() - 8.0 / 9.0).abs() < 1e-9 && f1(&sheet, 1) == Some(0.0));

    // What was recorded can be replayed, with the same output.
    let live = std::fs::read_to_string(at.join("out.jsonl")).unwrap();
    let mut replay = Command::new(env!("CARGO_BIN_EXE_apprentice"));
    replay.current_dir(at).args(["-q", "annotate", "--provider", "replay:t.jsonl", "--input", "in.txt"]);
    replay.args(["--strategy", "cot@2,standard@2", "-o", "again.jsonl", "--quorum", "0.5"]);
    assert!(replay.output().unwrap().status.success());
    let again = std::fs::read_to_string(at.join("again.jsonl")).unwrap();
    assert_eq!(again.lines().count(), 5);
    assert_ne!(again, live);
}

#[test]
fn samples_are_replayed_as_they_voted() {
    let server = Server::start(|asked| {
        let label = if asked.number % 3 == 0 { "ORG" } else { "PER" };
        Act::answer(&format!(r#"{{"entities": [{{"text": "Ann", "type": "{label}"}}]}}"#))
    });
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    input(&directory, 4);
    let more = ["--samples", "3", "--concurrency", "1", "--export-transcripts", "t.jsonl"];
    let output = command_to(at, &server.url, "live.jsonl", &more).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let mut replay = Command::new(env!("CARGO_BIN_EXE_apprentice"));
    replay.current_dir(at).args([
        "-q",
        "annotate",
        "--provider",
        "replay:t.jsonl",
        "--input",
        "in.txt",
        "-o",
        "again.jsonl",
    ]);
    let output = replay.output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let read = |name: &str| std::fs::read_to_string(at.join(name)).unwrap();
    assert!(read("live.jsonl").contains("\"score\":0.6666666666666666"), "{}", read("live.jsonl"));
    assert_eq!(read("live.jsonl"), read("again.jsonl"));
}
