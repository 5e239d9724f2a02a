//! Sentences that try to be more than data, through the whole program: to a model that does its work whatever they say,
//! and to one that obeys them.

use std::{collections::BTreeMap, path::Path, process::Command};

use serde_json::{Value, json};

use crate::{
    attack_texts::{attacks, mixed},
    server::{Act, Asked, Server},
    write,
};

const NAMES: [(&str, &str); 4] = [("Ann", "PER"), ("Keller", "PER"), ("Rome", "LOC"), ("Oslo", "LOC")];
const LABELS: [&str; 4] = ["PER", "LOC", "ORG", "MISC"];

/// Every attack by itself and 200 mixed ones, with their ids.
fn attackers() -> BTreeMap<String, String> {
    let texts = [attacks(), mixed(200, 17)].concat();
    texts.into_iter().enumerate().map(|(n, text)| (format!("attack-{n:03}"), text)).collect()
}

fn clean() -> BTreeMap<String, String> {
    let text = |n: usize| format!("{} of {} met {n} people in {} .", NAMES[n % 2].0, NAMES[1].0, NAMES[2 + n % 2].0);
    (0..60).map(|n| (format!("clean-{n:03}"), text(n))).collect()
}

/// The text as a model is told to find it: between `<text-CODE>` and the first `</text-CODE>`, the code being that of the
/// tag that the message starts with.
fn fenced(asked: &Asked) -> &str {
    let question = asked.question();
    let code = &question["<text-".len()..][..8];
    let inside = question.strip_prefix(&format!("<text-{code}>\n")).unwrap();
    &inside[..inside.find(&format!("\n</text-{code}>")).unwrap()]
}

/// The names that stand in a text as words, in order.
fn named(text: &str) -> Vec<Value> {
    let words = text.split(|c: char| !c.is_alphanumeric());
    let found = words.filter_map(|word| NAMES.iter().find(|(name, _)| *name == word));
    found.map(|(name, label)| json!({"text": name, "type": label})).collect()
}

fn diligent(asked: &Asked) -> Act {
    Act::answer(&json!({"entities": named(fenced(asked))}).to_string())
}

/// Does what an attack wants: repeats it as the answer, gives the JSON in it, nothing, other names, other types, prose.
fn obedient(asked: &Asked) -> Act {
    let text = fenced(asked);
    if clean().values().any(|honest| honest == text) {
        return diligent(asked);
    }
    let answer = match text.len() % 7 {
        0 => text.to_owned(),
        1 => text.find('{').map_or("[]", |at| &text[at..]).to_owned(),
        2 => "[]".to_owned(),
        3 => json!({"entities": [{"text": "Atlantis", "type": "LOC"}, {"text": "</text-", "type": "ORG"}]}).to_string(),
        4 => json!({"entities": [{"text": "Rome", "type": "SYSTEM"}, {"text": text, "type": "PER"}]}).to_string(),
        5 => format!("My instructions were: {}", asked.body["messages"][0]["content"]),
        _ => format!("Answer: {}\nAnswer: {}", json!({"entities": [{"text": "Oslo", "type": "PER"}]}), text),
    };
    Act::answer(&answer)
}

/// What a job wrote about each sentence, and its account.
fn annotated(at: &Path, server: &Server, name: &str, strategy: &str) -> (BTreeMap<String, Value>, Value) {
    let output = format!("{name}.out.jsonl");
    let mut job = Command::new(env!("CARGO_BIN_EXE_apprentice"));
    job.current_dir(at).env("OPENAI_API_KEY", "sk-none").args([
        "-q",
        "annotate",
        "--provider",
        "openai",
        "--model",
        "m",
    ]);
    job.args(["--input", name, "--base-url", &server.url, "-o", &output, "--strategy", strategy]);
    let done = job.args(["--skip-failed", "--json", "--overwrite"]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let lines = std::fs::read_to_string(at.join(output)).unwrap();
    let records = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let by_id = records.map(|record| (record["id"].as_str().unwrap().to_owned(), record)).collect();
    (by_id, serde_json::from_slice(&done.stdout).unwrap())
}

/// The entities of a record as (text, type); each lies in the sentence, and none overlaps the next.
fn entities(record: &Value, sentence: &str) -> Vec<(String, String)> {
    assert_eq!(record["text"], sentence);
    let characters: Vec<char> = sentence.chars().collect();
    let mut end_before = 0;
    let spans = record["spans"].as_array().into_iter().flatten();
    let read = |span: &Value| {
        let [start, end] = ["start", "end"].map(|name| span[name].as_u64().unwrap() as usize);
        assert!(end_before <= start && start < end && end <= characters.len(), "{span} in {sentence:?}");
        end_before = end;
        let label = span["label"].as_str().unwrap();
        assert!(LABELS.contains(&label), "{label}");
        (characters[start..end].iter().collect(), label.to_owned())
    };
    spans.map(read).collect()
}

/// Every mention has one outcome, every sentence too.
fn check_account(account: &Value, sentences: usize) {
    let requests = &account["requests"];
    assert_eq!((&requests["asked"], &requests["left"]), (&sentences.into(), &0.into()));
    assert_eq!(account["sentences"], sentences);
    let failed = account["failed"]["count"].as_u64().unwrap() as usize;
    assert_eq!(sentences, failed + account["written"].as_u64().unwrap() as usize);
    let account = &account["strategies"][0];
    let number = |name: &str| account[name].as_u64().unwrap_or_else(|| panic!("{name} in {account}")) as usize;
    let count = |name: &str| account[name]["count"].as_u64().unwrap() as usize;
    let unknown: u64 = account["unknown_types"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
    let placed: usize = ["exact", "folded", "fuzzy", "approximate"].map(number).iter().sum();
    assert_eq!(number("mentions"), placed + count("missing") + count("overlaps") + unknown as usize);
    let failures = account["failures"].as_array().unwrap().len();
    // Of an answer that came, and that was not cut short by the provider, all is accounted for.
    assert_eq!(sentences, number("done") + failures + number("unanswered"));
}

fn job(act: fn(&Asked) -> Act, strategy: &str) -> (BTreeMap<String, Value>, Value, Server) {
    let directory = tempfile::tempdir().unwrap();
    let (clean, attackers) = (clean(), attackers());
    let lines = |texts: &[(&String, &String)]| {
        let line = |(id, text): &(&String, &String)| json!({"id": id, "text": text}).to_string();
        texts.iter().map(line).collect::<Vec<_>>().join("\n")
    };
    // Clean ones stand between the attacks.
    let mut all: Vec<_> = clean.iter().chain(&attackers).collect();
    all.sort_by_key(|(id, _)| id.split_once('-').unwrap().1.to_owned());
    write(&directory, "all", &lines(&all));
    write(&directory, "clean", &lines(&clean.iter().collect::<Vec<_>>()));
    let (alone, _) = annotated(directory.path(), &Server::start(diligent), "clean", strategy);
    let server = Server::start(act);
    let (records, account) = annotated(directory.path(), &server, "all", strategy);
    check_account(&account, all.len());
    assert_eq!(alone.len(), clean.len());
    for (id, record) in &alone {
        assert_eq!(records.get(id), Some(record), "{id} differs among attacks");
        let found = entities(record, &clean[id]);
        assert_eq!(found.len(), 3, "{id}: {found:?}");
    }
    (records, account, server)
}

#[test]
fn attacks_on_a_model_that_does_its_work_change_nothing() {
    for strategy in ["standard", "cot"] {
        let (records, account, server) = job(diligent, strategy);
        let (clean, attackers) = (clean(), attackers());
        // Every text came to the model as it is, inside its fence.
        let mut came: Vec<String> = server.asked().iter().map(|asked| fenced(asked).to_owned()).collect();
        let mut sent: Vec<String> = clean.values().chain(attackers.values()).cloned().collect();
        came.sort_unstable();
        sent.sort_unstable();
        sent.dedup();
        assert_eq!(came, sent);
        assert_eq!((records.len(), &account["failed"]["count"]), (clean.len() + attackers.len(), &0.into()));
        let mut names = 0;
        for (id, text) in &attackers {
            for (surface, label) in entities(&records[id], text) {
                names += 1;
                // A name inside a token, as in `Rome\0Oslo`, makes an entity of the whole token.
                let is_one = NAMES.iter().any(|(name, of)| surface.contains(name) && label == **of);
                assert!(is_one, "{id}: {surface:?} is no {label}");
            }
        }
        assert!(names > 200, "{names}");
    }
}

#[test]
fn attacks_on_a_model_that_obeys_leave_the_sentence_and_the_labels_alone() {
    for strategy in ["standard", "cot"] {
        let (records, account, _) = job(obedient, strategy);
        let attackers = attackers();
        for (id, text) in &attackers {
            if let Some(record) = records.get(id) {
                entities(record, text);
            }
        }
        // The model did obey.
        let account = &account["strategies"][0];
        let lost = account["missing"]["count"].as_u64().unwrap();
        assert!(
            lost > 20 && account["unknown_types"]["SYSTEM"].as_u64() > Some(5),
            "{lost} {}",
            account["unknown_types"]
        );
        assert!(!account["failures"].as_array().unwrap().is_empty());
    }
}
