//! The batch interfaces of OpenAI and Anthropic, kept by a server that forgets nothing and misbehaves as told.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

use crate::server::{Act, Asked, Server, completion};

/// What is asked of the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    Upload,
    Create,
    List,
    Poll,
    Results,
    /// To delete a file.
    Delete,
    /// A single request.
    Single,
}

type Before = dyn Fn(Step, usize) -> Option<Act> + Send + Sync;
type After = dyn Fn(Step, usize, Act) -> Act + Send + Sync;
type Reply = dyn Fn(&str) -> (u16, Value) + Send + Sync;
type Lines = dyn Fn(usize, Vec<String>) -> Vec<String> + Send + Sync;

/// How it behaves; by itself well, but results come in the reverse order.
pub struct Script {
    /// How many looks at a batch, or at the list, find it unfinished.
    pub looks: usize,
    /// The state that batches of OpenAI end in; `expired` also ends Anthropic's.
    pub end: &'static str,
    /// What happens instead of the nth step of a kind, from 0.
    pub before: Box<Before>,
    /// What the nth step of a kind gives, after the provider has done it.
    pub after: Box<After>,
    /// The status and the reply to a question; status 0: it was not asked in time.
    pub reply: Box<Reply>,
    /// What becomes of the lines of the nth reading of results.
    pub lines: Box<Lines>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            looks: 1,
            end: "completed",
            before: Box::new(|_, _| None),
            after: Box::new(|_, _, act| act),
            reply: Box::new(|question| (200, json!(format!("answer to {question}")))),
            lines: Box::new(|_, lines| lines),
        }
    }
}

/// A batch that the provider has.
#[derive(Debug, Clone)]
pub struct Remote {
    pub file: Option<String>,
    pub metadata: Value,
    /// Ids and questions.
    pub requests: Vec<(String, String)>,
    pub bodies: Vec<Value>,
    created: u64,
    looked: usize,
}

#[derive(Default)]
struct State {
    files: HashMap<String, Vec<Value>>,
    batches: BTreeMap<String, Remote>,
    deleted: Vec<String>,
    steps: BTreeMap<Step, usize>,
}

pub struct Provider {
    pub server: Server,
    state: Arc<Mutex<State>>,
}

impl Provider {
    pub fn start(script: Script) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let server = {
            let state = state.clone();
            Server::start(move |asked| act(&script, &state, asked))
        };
        Self { server, state }
    }

    /// The base URL of a protocol.
    pub fn url(&self, protocol: &str) -> String {
        if protocol == "openai" { self.server.url.clone() } else { self.server.url.trim_end_matches("/v1").to_owned() }
    }

    /// How often a step was asked for.
    pub fn count(&self, step: Step) -> usize {
        self.state.lock().unwrap().steps.get(&step).copied().unwrap_or(0)
    }

    pub fn batches(&self) -> Vec<Remote> {
        self.state.lock().unwrap().batches.values().cloned().collect()
    }

    /// The files that were deleted, in that order.
    pub fn deleted(&self) -> Vec<String> {
        self.state.lock().unwrap().deleted.clone()
    }

    /// Puts a batch there that somebody else has made, which has ended.
    pub fn add_foreign(&self, requests: usize) {
        let mut state = self.state.lock().unwrap();
        let id = format!("other_{}", state.batches.len());
        let requests: Vec<_> = (0..requests).map(|n| (format!("theirs-{n}"), format!("their question {n}"))).collect();
        let bodies = vec![Value::Null; requests.len()];
        let remote = Remote { file: None, metadata: Value::Null, requests, bodies, created: now(), looked: usize::MAX };
        state.batches.insert(id, remote);
    }

    /// All questions in all batches and single requests, sorted: one that is there twice is paid for twice.
    pub fn questions(&self) -> Vec<String> {
        let batches = self.batches();
        let batched = batches.iter().flat_map(|batch| batch.requests.iter().map(|(_, question)| question.clone()));
        let asked = self.server.asked();
        let single = asked.iter().filter(|asked| is_single(asked)).map(|asked| asked.question().to_owned());
        let mut questions: Vec<String> =
            batched.chain(single).filter(|question| !question.starts_with("their")).collect();
        questions.sort();
        questions
    }
}

fn is_single(asked: &Asked) -> bool {
    asked.path.ends_with("/chat/completions") || asked.path.ends_with("/v1/messages")
}

#[expect(clippy::disallowed_methods, reason = "a provider has a clock")]
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Seconds since 1970 as RFC 3339 has them.
fn written(seconds: u64) -> String {
    let (mut days, time) = (seconds / 86_400, seconds % 86_400);
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    format!("{year}-{:02}-{:02}T{:02}:{:02}:{:02}.25Z", month + 1, days + 1, time / 3600, time / 60 % 60, time % 60)
}

fn question(body: &Value) -> String {
    body["messages"].as_array().unwrap().last().unwrap()["content"].as_str().unwrap().to_owned()
}

fn act(script: &Script, state: &Mutex<State>, asked: &Asked) -> Act {
    let mut state = state.lock().unwrap();
    let path = asked.path.split('?').next().unwrap().trim_start_matches("/v1/");
    let parts: Vec<&str> = path.split('/').collect();
    let (step, id) = match (&*asked.method, parts.as_slice()) {
        ("POST", ["files"]) => (Step::Upload, ""),
        ("POST", ["batches"] | ["messages", "batches"]) => (Step::Create, ""),
        ("GET", ["batches"] | ["messages", "batches"]) => (Step::List, ""),
        ("GET", ["batches", id] | ["messages", "batches", id]) => (Step::Poll, *id),
        ("GET", ["files", id, "content"] | ["messages", "batches", id, "results"]) => (Step::Results, *id),
        ("DELETE", ["files", id]) => (Step::Delete, *id),
        ("POST", ["chat", "completions"] | ["messages"]) => (Step::Single, ""),
        _ => return Act::error(404, "", &format!("no such place: {} {path}", asked.method)),
    };
    let count = state.steps.entry(step).or_default();
    let number = *count;
    *count += 1;
    if let Some(act) = (script.before)(step, number) {
        return act;
    }
    let is_anthropic = parts[0] == "messages";
    let done = match step {
        Step::Upload => upload(&mut state, asked),
        Step::Create => create(script, &mut state, asked),
        Step::List => list(script, &mut state, is_anthropic, &asked.path),
        Step::Poll => match state.batches.get_mut(id) {
            Some(batch) => {
                batch.looked = batch.looked.saturating_add(1);
                Act::json(200, &shown(script, id, batch, is_anthropic))
            }
            None => Act::error(404, "", "no such batch"),
        },
        Step::Results => results(script, &state, id, number),
        Step::Delete => {
            state.files.remove(id);
            state.deleted.push(id.to_owned());
            Act::json(200, &json!({"id": id, "object": "file", "deleted": true}))
        }
        Step::Single => Act::json(200, &reply(script, &question(&asked.body), is_anthropic).1),
    };
    (script.after)(step, number, done)
}

fn upload(state: &mut State, asked: &Asked) -> Act {
    let content = String::from_utf8(asked.content.clone()).unwrap();
    assert!(asked.headers["content-type"].starts_with("multipart/form-data; boundary="));
    assert!(content.contains("name=\"purpose\"\r\n\r\nbatch\r\n"));
    let lines = content.lines().filter(|line| line.starts_with('{'));
    let lines: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    let id = format!("file-{}", state.files.len());
    state.files.insert(id.clone(), lines);
    Act::json(200, &json!({"id": id, "object": "file", "purpose": "batch"}))
}

fn create(script: &Script, state: &mut State, asked: &Asked) -> Act {
    let file = asked.body["input_file_id"].as_str().map(str::to_owned);
    let (lines, body) = match &file {
        Some(file) => (state.files[file].clone(), "body"),
        None => (asked.body["requests"].as_array().unwrap().clone(), "params"),
    };
    let bodies: Vec<Value> = lines.iter().map(|line| line[body].clone()).collect();
    let ids = lines.iter().map(|line| line["custom_id"].as_str().unwrap().to_owned());
    let requests: Vec<(String, String)> = ids.zip(bodies.iter().map(question)).collect();
    let metadata = asked.body["metadata"].clone();
    let id = format!("batch_{}", state.batches.len());
    let remote = Remote { file: file.clone(), metadata, requests, bodies, created: now(), looked: 0 };
    let shown = shown(script, &id, &remote, file.is_none());
    state.batches.insert(id, remote);
    Act::json(200, &shown)
}

/// Two batches a page.
fn list(script: &Script, state: &mut State, is_anthropic: bool, path: &str) -> Act {
    state.batches.values_mut().for_each(|batch| batch.looked = batch.looked.saturating_add(1));
    let after = path.split(['?', '&']).find_map(|pair| pair.strip_prefix("after=").or(pair.strip_prefix("after_id=")));
    let newest_first = state.batches.iter().rev();
    let rest: Vec<_> = match after {
        Some(after) => newest_first.skip_while(|(id, _)| *id != after).skip(1).collect(),
        None => newest_first.collect(),
    };
    let data: Vec<Value> = rest.iter().take(2).map(|(id, batch)| shown(script, id, batch, is_anthropic)).collect();
    Act::json(200, &json!({"data": data, "has_more": rest.len() > 2}))
}

/// A batch as its provider shows it.
fn shown(script: &Script, id: &str, batch: &Remote, is_anthropic: bool) -> Value {
    let statuses: Vec<u16> = batch.requests.iter().map(|(_, question)| (script.reply)(question).0).collect();
    let count = |wanted: fn(u16) -> bool| statuses.iter().filter(|status| wanted(**status)).count();
    let (good, late) = (count(|status| status == 200), count(|status| status == 0));
    let (all, bad) = (statuses.len(), statuses.len() - good - late);
    let has_ended = batch.looked > script.looks;
    if is_anthropic {
        let counts = if has_ended {
            json!({"processing": 0, "succeeded": good, "errored": bad, "expired": late, "canceled": 0})
        } else {
            json!({"processing": all, "succeeded": 0, "errored": 0, "expired": 0, "canceled": 0})
        };
        let url = has_ended.then(|| format!("http://127.0.0.1:9/v1/messages/batches/{id}/results"));
        return json!({"id": id, "processing_status": if has_ended { "ended" } else { "in_progress" },
            "request_counts": counts, "created_at": written(batch.created), "results_url": url});
    }
    let mut shown = json!({"id": id, "object": "batch", "input_file_id": batch.file, "metadata": batch.metadata,
        "created_at": batch.created, "status": if batch.looked == 0 { "validating" } else { "in_progress" },
        "request_counts": {"total": all, "completed": 0, "failed": 0}});
    if has_ended {
        shown["status"] = json!(script.end);
        if script.end == "failed" {
            shown["errors"] = json!({"data": [{"code": "invalid_json_line", "message": "no JSON", "line": 2}]});
            return shown;
        }
        shown["request_counts"] = json!({"total": all, "completed": good, "failed": bad});
        shown["output_file_id"] = json!((good > 0).then(|| format!("out-{id}")));
        shown["error_file_id"] = json!((bad + late > 0).then(|| format!("err-{id}")));
    }
    shown
}

fn results(script: &Script, state: &State, id: &str, number: usize) -> Act {
    let (kind, batch) = match id.split_once('-') {
        Some((kind @ ("out" | "err"), batch)) => (Some(kind), batch),
        _ => (None, id),
    };
    let Some(batch) = state.batches.get(batch) else { return Act::error(404, "", "no such results") };
    let mut lines = Vec::new();
    for (id, question) in batch.requests.iter().rev() {
        let (status, reply) = reply(script, question, kind.is_none());
        let line = match (kind, status) {
            (None, 200) => json!({"custom_id": id, "result": {"type": "succeeded", "message": reply}}),
            (None, 0) => json!({"custom_id": id, "result": {"type": "expired"}}),
            (None, _) => json!({"custom_id": id, "result": {"type": "errored", "error": reply}}),
            (Some("out"), 200) | (Some("err"), 1..=199 | 201..) => {
                json!({"id": "r", "custom_id": id, "response": {"status_code": status, "body": reply}, "error": null})
            }
            (Some("err"), 0) => json!({"id": "r", "custom_id": id, "response": null,
                "error": {"code": "batch_expired", "message": "too late"}}),
            _ => continue,
        };
        lines.push(line.to_string());
    }
    let lines = (script.lines)(number, lines);
    let text = lines.join("\n") + "\n";
    Act::Reply { status: 200, headers: Vec::new(), body: text.into_bytes() }
}

/// The reply to one question in its protocol.
fn reply(script: &Script, question: &str, is_anthropic: bool) -> (u16, Value) {
    let (status, said) = (script.reply)(question);
    let body = match said.as_str() {
        Some(text) if status == 200 && is_anthropic => json!({"model": "fake-1", "stop_reason": "end_turn",
            "content": [{"type": "text", "text": text}], "usage": {"input_tokens": 100, "output_tokens": 10}}),
        Some(text) if status == 200 => completion(text),
        _ => said,
    };
    (status, body)
}
