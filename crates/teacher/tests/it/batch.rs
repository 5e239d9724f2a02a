//! Batches against a provider that misbehaves, and processes that end at every step.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use apprentice_teacher::{
    Client, ClientError, Endpoint, Finish, Live, Message, Price, Protocol, Request, Role, Stop, Store, Usage,
    live::{Batches, Settings, Size, Spent, read},
    run,
    store::OpenedStore,
};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::{
    provider::{Provider, Script, Step},
    server::{Act, Server, whole},
};

const BOTH: [Protocol; 2] = [Protocol::OpenAi, Protocol::Anthropic];
const CANARY: &str = "sk-canary-0123456789+/=";

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn request(number: usize) -> Request {
    let text = format!("question {number:03}");
    let message = Message { role: Role::User, content: text.clone() };
    let mut request = Request::new("fake-1", vec![message]).about(&text, "standard", &text);
    request.schema = Some(Arc::new(json!({"type": "object"})));
    request
}

fn requests(count: usize) -> impl Iterator<Item = Result<Request, ()>> {
    (0..count).map(|number| Ok(request(number)))
}

fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.attempts = 4;
    settings.first_pause = Duration::from_millis(4);
    settings.longest_pause = Duration::from_millis(40);
    settings
}

fn open(path: &Path) -> OpenedStore {
    Store::open(path, &read, || false).unwrap()
}

/// A provider, and the folder of a store.
struct Bench {
    provider: Provider,
    protocol: Protocol,
    settings: Settings,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new(protocol: Protocol, script: Script) -> Self {
        let (provider, folder) = (Provider::start(script), tempfile::tempdir().unwrap());
        Self { provider, protocol, settings: settings(), folder }
    }

    fn endpoint(&self) -> Endpoint {
        let mut endpoint = Endpoint::new(self.protocol);
        endpoint.url = self.provider.url(self.protocol.name());
        endpoint.key = Some(CANARY.to_owned());
        endpoint.timeout = Duration::from_millis(500);
        endpoint
    }

    fn store(&self) -> Arc<Store> {
        Arc::new(open(&self.folder.path().join("store")).store)
    }

    /// A client as a new process has it, for batches of three.
    fn client(&self, store: &Arc<Store>) -> Batches {
        let mut size = Size::of(self.protocol);
        size.requests = 3;
        size.first_look = Duration::from_millis(5);
        size.longest_look = Duration::from_millis(20);
        Batches::new(self.endpoint(), self.settings.clone(), size, store.clone()).unwrap()
    }

    /// What one run of the program does.
    async fn job(client: &Batches, count: usize) -> Result<(), ClientError> {
        client.look().await?;
        client.submit(requests(count), |_| ()).await.unwrap();
        match client.stopped() {
            Some(stop) if !matches!(stop, Stop::Limit(_)) => Err(ClientError::Stopped(stop)),
            _ => client.wait(|_| ()).await,
        }
    }

    /// A whole run in a new process; the client afterwards.
    fn run(&self, count: usize) -> (Batches, Result<(), ClientError>) {
        let client = self.client(&self.store());
        let done = wait(Self::job(&client, count));
        (client, done)
    }

    fn assert_once(&self, name: &str) {
        let questions = self.provider.questions();
        let mut once = questions.clone();
        once.dedup();
        assert_eq!(questions, once, "{name}: asked twice");
    }
}

/// How many of so many questions have their own answer.
fn answered(client: &Batches, count: usize) -> usize {
    let answers = (0..count).map(|number| (number, wait(client.complete(&request(number)))));
    answers
        .filter_map(|(number, answer)| Some((number, answer.ok()?)))
        .inspect(|(number, answer)| assert_eq!(answer.text, format!("answer to question {number:03}")))
        .count()
}

fn error(status: u16, kind: &str, message: &str) -> (u16, Value) {
    (status, json!({"error": {"type": kind, "message": message}}))
}

#[test]
fn a_job_is_handed_over_in_parts_and_fetched_in_any_order() {
    for protocol in BOTH {
        let mut bench = Bench::new(protocol, Script { looks: 3, ..Script::default() });
        bench.settings.max_cost = Some((1.0, Price { input: 1.0, cached: None, output: 1.0, batch: 0.5 }));
        let (client, done) = bench.run(8);
        done.unwrap();
        assert_eq!(answered(&client, 8), 8);
        let sizes: Vec<usize> = bench.provider.batches().iter().map(|batch| batch.requests.len()).collect();
        assert_eq!(sizes, [3, 3, 2]);
        let key = apprentice_teacher::live::key(&bench.endpoint(), None, &request(0)).to_string();
        assert_eq!(bench.provider.batches()[0].requests[0].0, key);
        let Spent { requests: sent, unknown, usage, .. } = client.spent();
        assert_eq!((sent, unknown, usage), (8, 0, Usage { input: 800, cached: 0, output: 80 }), "{protocol}");
        assert_eq!((client.fetched().submitted, client.fetched().fetched), (3, 3));
        drop(client);
        // Nothing is asked again, by whatever way, and the answers are those of a live teacher.
        let (again, done) = bench.run(8);
        done.unwrap();
        let tally = wait(run(&again, requests(8), 1, |_| ())).unwrap();
        assert_eq!((tally.done, again.spent().requests, bench.provider.count(Step::Create)), (8, 0, 3));
        drop(again);
        let store = bench.store();
        let live = Live::new(bench.endpoint(), settings(), store.clone()).unwrap();
        assert_eq!(wait(live.complete(&request(7))).unwrap().text, "answer to question 007");
        assert_eq!(live.spent().requests, 0);
        let contents = store.contents().unwrap();
        assert_eq!((contents.attempts, contents.answers, contents.waiting), (8, 8, 0));
        assert_eq!(contents.usage, Usage { input: 800, cached: 0, output: 80 });
        // A live job asks what is new alone, and a batch does not ask for that.
        assert_eq!(wait(live.complete(&request(8))).unwrap().text, "answer to question 008");
        drop((live, store));
        bench.run(9).1.unwrap();
        assert_eq!(bench.provider.count(Step::Create), 3);
        bench.assert_once(protocol.name());
    }
}

/// Every request to the provider is a moment at which the process may end: before the provider has done it, or after, and
/// then before its reply has come.
#[test]
fn a_process_that_ends_at_any_step_loses_nothing_and_makes_no_batch_twice() {
    const COUNT: usize = 5;
    let long = Duration::from_secs(5);
    for protocol in BOTH {
        let mut ends = 0;
        for step in [Step::Upload, Step::Create, Step::Poll, Step::Results, Step::Delete] {
            for (number, is_done) in (0..4).flat_map(|number| [(number, false), (number, true)]) {
                let reached = Arc::new(Notify::new());
                let (first, second) = (reached.clone(), reached.clone());
                let is_it = move |at: Step, count: usize| (at, count) == (step, number);
                let script = Script {
                    before: Box::new(move |at, count| {
                        (is_it(at, count) && !is_done).then(|| {
                            first.notify_one();
                            Act::Hang(Vec::new(), long)
                        })
                    }),
                    after: Box::new(move |at, count, act| {
                        if is_it(at, count) && is_done {
                            second.notify_one();
                            return Act::Hang(Vec::new(), long);
                        }
                        act
                    }),
                    ..Script::default()
                };
                let bench = Bench::new(protocol, script);
                let name = format!("{protocol}, {step:?} {number}, {}", if is_done { "after" } else { "before" });
                let client = bench.client(&bench.store());
                let is_cut = wait(async {
                    tokio::select! {
                        done = Bench::job(&client, COUNT) => {
                            done.unwrap();
                            false
                        }
                        () = reached.notified() => true,
                    }
                });
                drop(client);
                ends += usize::from(is_cut);
                let (client, done) = bench.run(COUNT);
                done.unwrap_or_else(|error| panic!("{name}: {error}"));
                assert_eq!(answered(&client, COUNT), COUNT, "{name}");
                bench.assert_once(&name);
                let usage = kept_usage(client, &bench);
                assert_eq!(usage, Usage { input: 500, cached: 0, output: 50 }, "{name}");
            }
        }
        // Two of each step, four looks; OpenAI alone has uploads, and four files to delete. Each before and after.
        assert_eq!(ends, if protocol == Protocol::OpenAi { 28 } else { 16 }, "{protocol}");
    }
}

/// What the store says of the cost.
fn kept_usage(client: Batches, bench: &Bench) -> Usage {
    drop(client);
    let store = bench.store();
    wait(store.flush()).unwrap();
    store.contents().unwrap().usage
}

type Fault = (&'static str, fn() -> Act);

/// Faults that pass, with the step that meets them.
#[test]
fn faults_that_pass_are_overcome_at_every_step() {
    let faults: [Fault; 6] = [
        ("429", || Act::error(429, "rate_limit_exceeded", "slow down").with("retry-after", "0.01")),
        ("500", || Act::error(500, "", "broken")),
        ("503 in HTML", || Act::Bytes(whole(503, &[], b"<html>later</html>"))),
        ("no reply", || Act::Bytes(Vec::new())),
        ("half a reply", || Act::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{\"id\": \"ba".to_vec())),
        ("200 with something else", || Act::Bytes(whole(200, &[], b"<html>welcome</html>"))),
    ];
    for protocol in BOTH {
        for step in [Step::Upload, Step::Create, Step::Poll, Step::Results] {
            if protocol == Protocol::Anthropic && step == Step::Upload {
                continue;
            }
            for (fault, act) in faults {
                // A page instead of results is a line that cannot be read, and its requests are missing.
                if step == Step::Results && fault == "200 with something else" {
                    continue;
                }
                for is_done in [false, true] {
                    let at = move |now: Step, count: usize| now == step && count < 2;
                    let script = Script {
                        before: Box::new(move |now, count| (!is_done && at(now, count)).then(act)),
                        after: Box::new(move |now, count, good| if is_done && at(now, count) { act() } else { good }),
                        ..Script::default()
                    };
                    let bench = Bench::new(protocol, script);
                    let name = format!("{protocol}, {step:?}: {fault}, done: {is_done}");
                    let (client, done) = bench.run(2);
                    // Told to make a batch, made it, and said to wait: no provider does that.
                    if step == Step::Create && is_done && fault == "429" {
                        continue;
                    }
                    done.unwrap_or_else(|error| panic!("{name}: {error}"));
                    assert!(
                        bench.provider.count(step) >= if is_done && step == Step::Create { 1 } else { 3 },
                        "{name}"
                    );
                    assert_eq!(answered(&client, 2), 2, "{name}");
                    bench.assert_once(&name);
                }
            }
        }
    }
}

#[test]
fn a_look_that_fails_is_taken_again_until_the_provider_is_back() {
    // More failures than one look has attempts.
    let script = Script {
        before: Box::new(|step, count| (step == Step::Poll && count < 11).then(|| Act::error(502, "", "gone"))),
        ..Script::default()
    };
    let bench = Bench::new(Protocol::OpenAi, script);
    let client = bench.client(&bench.store());
    wait(client.submit(requests(2), |_| ())).unwrap();
    let mut troubles = Vec::new();
    wait(client.wait(|waiting| troubles.extend(waiting.trouble.clone()))).unwrap();
    assert_eq!((troubles.len(), &*troubles[0]), (2, "status 502: gone"));
    assert_eq!(answered(&client, 2), 2);
}

#[test]
fn a_wrong_key_stops_and_the_batch_stays() {
    for protocol in BOTH {
        let script = Script {
            before: Box::new(|step, count| {
                let why = format!("wrong key {CANARY}");
                (step == Step::Poll && count == 0).then(|| Act::error(401, "invalid_api_key", &why))
            }),
            ..Script::default()
        };
        let bench = Bench::new(protocol, script);
        let (client, done) = bench.run(2);
        let line = done.unwrap_err().to_string();
        assert!(
            line.contains("status 401") && line.contains("check the API key") && !line.contains("canary"),
            "{line}"
        );
        assert_eq!((client.waiting().unwrap().batches, bench.provider.count(Step::Poll)), (1, 1));
        drop(client);
        let (client, done) = bench.run(2);
        done.unwrap();
        assert_eq!(answered(&client, 2), 2);
        bench.assert_once(protocol.name());
    }
    // And before anything is handed over.
    let script = Script { before: Box::new(|_, _| Some(Act::error(401, "", "wrong key"))), ..Script::default() };
    let bench = Bench::new(Protocol::OpenAi, script);
    let (client, done) = bench.run(7);
    assert!(done.unwrap_err().to_string().contains("check the API key"));
    assert_eq!((bench.provider.count(Step::Upload), bench.provider.count(Step::Create)), (1, 0));
    assert_eq!((client.waiting().unwrap().batches, client.spent().requests), (0, 0));
}

#[test]
fn a_batch_that_is_gone_is_named_and_the_others_are_fetched() {
    for protocol in BOTH {
        let script = Script {
            looks: 0,
            before: Box::new(|step, count| {
                (step == Step::Poll && count == 0).then(|| Act::error(404, "", "what batch?"))
            }),
            ..Script::default()
        };
        let bench = Bench::new(protocol, script);
        let (client, done) = bench.run(5);
        let line = done.unwrap_err().to_string();
        assert!(line.contains("about batch batch_0: status 404: what batch?") && line.contains("give it up"), "{line}");
        assert_eq!((client.waiting().unwrap().requests, answered(&client, 5)), (3, 2), "{protocol}");
        drop(client);
        bench.run(5).1.unwrap();
        bench.assert_once(protocol.name());
    }
    // Its results alone are gone: what they cost is unknown.
    let script = Script {
        before: Box::new(|step, count| (step == Step::Results && count == 0).then(|| Act::error(404, "", "too old"))),
        ..Script::default()
    };
    let bench = Bench::new(Protocol::OpenAi, script);
    let (client, done) = bench.run(2);
    done.unwrap();
    assert_eq!((client.spent().unknown, client.waiting().unwrap().batches), (2, 0));
    assert!(client.fetched().failed.to_string().contains("its results are not to be had (status 404: too old)"));
}

#[test]
fn results_that_are_cut_off_are_read_again() {
    let body = |act: &Act| if let Act::Reply { body, .. } = act { body.clone() } else { panic!("{act:?}") };
    let head = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
    for protocol in BOTH {
        for (name, cut) in [("between lines", 0), ("inside a line", 40)] {
            let script = Script {
                // Without a length, where the connection ends there is the end.
                after: Box::new(move |step, count, act| {
                    if step != Step::Results || count > 1 {
                        return act;
                    }
                    let body = body(&act);
                    let line = body.iter().position(|byte| *byte == b'\n').unwrap() + 1;
                    Act::Bytes([head, &body[..line + cut]].concat())
                }),
                ..Script::default()
            };
            let bench = Bench::new(protocol, script);
            let (client, done) = bench.run(3);
            done.unwrap();
            assert_eq!((answered(&client, 3), bench.provider.count(Step::Results)), (3, 3), "{protocol}: {name}");
            let fetched = client.fetched();
            assert_eq!((fetched.missing, fetched.unreadable.count, fetched.repeated), (0, 0, 0), "{name}");
            assert_eq!(client.spent().usage.input, 300, "{name}: a line that was read twice counts once");
        }
    }
}

#[test]
fn lines_that_are_not_ours_or_not_lines_are_counted_and_the_others_kept() {
    for protocol in BOTH {
        let script = Script {
            lines: Box::new(|number, mut lines| {
                if number > 0 {
                    return lines;
                }
                let id = json!(lines[0]).as_str().unwrap().to_owned();
                let start = id.find("custom_id\":\"").unwrap() + 12;
                let foreign = id.replace(&id[start..start + 64], &"0".repeat(64));
                lines.remove(1);
                let more = ["no JSON".to_owned(), "{}".into(), foreign, lines[0].clone(), "x".repeat(9 << 20)];
                lines.splice(0..0, more);
                lines
            }),
            ..Script::default()
        };
        let bench = Bench::new(protocol, script);
        let (client, done) = bench.run(3);
        done.unwrap();
        assert_eq!(answered(&client, 3), 2);
        let fetched = client.fetched();
        assert_eq!(
            (fetched.unreadable.count, fetched.foreign.count, fetched.repeated, fetched.missing),
            (3, 1, 1, 1),
            "{protocol}: {fetched:?}"
        );
        assert!(fetched.unreadable.first[2].contains("too long"), "{:?}", fetched.unreadable);
        // What is missing may be paid for, and is asked again.
        let failure = wait(client.complete(&request(1))).unwrap_err().to_string();
        assert!(failure.contains("no result for it"), "{failure}");
        assert_eq!((client.spent().unknown, client.spent().usage.input), (1, 200));
        let key = apprentice_teacher::live::key(&bench.endpoint(), None, &request(1)).to_string();
        drop(client);
        assert_eq!(bench.store().contents().unwrap().unknown, 1);
        bench.run(3).1.unwrap();
        assert_eq!(bench.provider.batches()[1].requests, [(key, "question 001".to_owned())]);
    }
}

#[test]
fn results_without_end_are_given_up() {
    let script = Script {
        after: Box::new(|step, count, act| {
            let head = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
            if step == Step::Results && count == 0 { Act::Endless(head, vec![b'\n'; 1 << 16]) } else { act }
        }),
        ..Script::default()
    };
    let mut bench = Bench::new(Protocol::OpenAi, script);
    bench.settings.attempts = 1;
    let client = bench.client(&bench.store());
    wait(client.submit(requests(2), |_| ())).unwrap();
    let mut troubles = Vec::new();
    wait(client.wait(|waiting| troubles.extend(waiting.trouble.clone()))).unwrap();
    assert_eq!(troubles, ["more results than a batch can have"]);
    assert_eq!(answered(&client, 2), 2);
}

#[test]
fn a_batch_that_fails_costs_nothing_and_says_why_once() {
    let bench = Bench::new(Protocol::OpenAi, Script { end: "failed", ..Script::default() });
    let (client, done) = bench.run(2);
    done.unwrap();
    let failed = client.fetched().failed;
    assert_eq!(failed.to_string(), "batch batch_0 of 2 requests: invalid_json_line: line 2: no JSON");
    assert_eq!((client.spent().usage, client.spent().unknown), (Usage::default(), 0));
    let failure = wait(client.complete(&request(0))).unwrap_err();
    assert!(matches!(&failure, ClientError::Rejected { why } if why.contains("no JSON")), "{failure}");
    drop(client);
    // A later run hands them over again.
    bench.run(2).1.unwrap();
    assert_eq!(bench.provider.count(Step::Create), 2);
}

#[test]
fn what_was_not_asked_in_time_is_asked_by_the_next_run() {
    for protocol in BOTH {
        let late = |question: &str| match question {
            "question 001" => (0, Value::Null),
            _ => (200, json!(format!("answer to {question}"))),
        };
        let bench = Bench::new(protocol, Script { end: "expired", reply: Box::new(late), ..Script::default() });
        let (client, done) = bench.run(3);
        done.unwrap();
        assert_eq!((answered(&client, 3), client.spent().unknown), (2, 0), "{protocol}");
        let failure = wait(client.complete(&request(1))).unwrap_err();
        assert!(matches!(failure, ClientError::Exhausted { .. }), "{failure}");
        drop(client);
        bench.run(3).1.unwrap();
        let batches = bench.provider.batches();
        assert_eq!((batches.len(), &*batches[1].requests[0].1), (2, "question 001"), "{protocol}");
    }
}

#[test]
fn errors_of_lines_are_judged_as_those_of_single_requests() {
    for protocol in BOTH {
        let reply = |question: &str| match question {
            "question 000" => error(400, "invalid_request_error", "no way"),
            "question 001" => error(429, "rate_limit_error", "slow down"),
            "question 002" => error(529, "overloaded_error", "busy"),
            _ => (200, json!(format!("answer to {question}"))),
        };
        let bench = Bench::new(protocol, Script { reply: Box::new(reply), ..Script::default() });
        let (client, done) = bench.run(4);
        done.unwrap();
        let tally = wait(run(&client, requests(4), 1, |_| ())).unwrap();
        let kinds = &tally.failed_by_kind;
        assert_eq!((tally.done, kinds["rejected"], kinds["no-answer"]), (1, 1, 2), "{protocol}: {tally:?}");
        assert_eq!(kept_usage(client, &bench).input, 100, "{protocol}");
    }
}

#[test]
fn a_filter_that_answers_with_an_error_is_an_answer_within_a_batch_too() {
    let reply = |question: &str| match question {
        "question 001" => (400, json!({"error": {"code": "content_filter", "message": "The prompt was filtered."}})),
        _ => (200, json!(format!("answer to {question}"))),
    };
    let bench = Bench::new(Protocol::OpenAi, Script { reply: Box::new(reply), ..Script::default() });
    for is_first in [true, false] {
        let (client, done) = bench.run(3);
        done.unwrap();
        let tally = wait(run(&client, requests(3), 1, |_| ())).unwrap();
        assert_eq!((tally.done, tally.filtered, tally.failed.count), (2, 1, 0), "{tally:?}");
        assert_eq!(client.spent().requests, if is_first { 3 } else { 0 });
    }
    assert_eq!((bench.provider.count(Step::Create), bench.store().contents().unwrap().answers), (1, 3));
    // A live teacher takes it from there.
    let live = Live::new(bench.endpoint(), settings(), bench.store()).unwrap();
    assert_eq!(wait(live.complete(&request(1))).unwrap().finish, Finish::ContentFilter);
    assert_eq!(live.spent().requests, 0);
}

#[test]
fn an_answer_says_whether_it_came_in_a_batch() {
    for protocol in BOTH {
        let bench = Bench::new(protocol, Script::default());
        let live = || Live::new(bench.endpoint(), settings(), bench.store()).unwrap();
        let is_batched = |live: &Live, number| wait(live.complete(&request(number))).unwrap().is_batched;
        // Attempts before a batch, in one, in a second one, and after it.
        assert!(!is_batched(&live(), 9));
        bench.run(4).1.unwrap();
        assert_eq!(bench.provider.count(Step::Create), 2);
        assert!(!is_batched(&live(), 8));
        let (live, single) = (live(), bench.provider.count(Step::Single));
        let said: Vec<bool> = [9, 0, 1, 2, 3, 8].map(|number| is_batched(&live, number)).into();
        assert_eq!(said, [false, true, true, true, true, false], "{protocol}");
        assert_eq!(bench.provider.count(Step::Single), single);
    }
}

/// A question that fails has a file of its own.
fn one_fails(question: &str) -> (u16, Value) {
    match question {
        "question 001" => error(400, "invalid_request_error", "no way"),
        _ => (200, json!(format!("answer to {question}"))),
    }
}

#[test]
fn files_are_deleted_once_all_of_their_results_are_on_disk_and_not_before() {
    for protocol in BOTH {
        let store = Arc::new(OnceLock::<PathBuf>::new());
        let path = store.clone();
        let before = move |step, number| {
            // What another process sees of the store is on disk.
            if step == Step::Delete {
                let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
                let store = rusqlite::Connection::open_with_flags(path.get().unwrap(), flags).unwrap();
                let fetched = "SELECT count(DISTINCT batch.id), count(status), count(*) FROM batch JOIN attempt
                    ON attempt.id BETWEEN first_attempt AND first_attempt + attempts - 1 WHERE state = 'fetched'";
                let (batches, results, requests): (usize, usize, usize) =
                    store.query_row(fetched, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
                // Three files of the first batch, two of the second.
                assert!(results == requests && batches == if number < 3 { 1 } else { 2 });
            }
            None
        };
        let script = Script { before: Box::new(before), reply: Box::new(one_fails), ..Script::default() };
        let bench = Bench::new(protocol, script);
        store.set(bench.folder.path().join("store")).unwrap();
        let (client, done) = bench.run(5);
        done.unwrap();
        assert_eq!((answered(&client, 5), client.fetched().undeleted.count), (4, 0), "{protocol}");
        let deleted: &[&str] = match protocol {
            Protocol::OpenAi => &["file-0", "out-batch_0", "err-batch_0", "file-1", "out-batch_1"],
            Protocol::Anthropic => &[],
        };
        assert_eq!(bench.provider.deleted(), deleted);
        assert_eq!(bench.provider.count(Step::Delete), deleted.len());
    }
}

#[test]
fn files_stay_where_a_result_is_not_in_the_store() {
    type Fault = fn(Vec<String>) -> Vec<String>;
    let faults: [(&str, Fault); 3] = [
        ("missing", |lines| lines[1..].to_vec()),
        ("unreadable", |mut lines| {
            lines.push("{}".to_owned());
            lines
        }),
        ("foreign", |mut lines| {
            lines.push(json!({"custom_id": "theirs", "response": {"status_code": 200, "body": {}}}).to_string());
            lines
        }),
    ];
    for (name, fault) in faults {
        let bench =
            Bench::new(Protocol::OpenAi, Script { lines: Box::new(move |_, lines| fault(lines)), ..Script::default() });
        let (client, done) = bench.run(3);
        done.unwrap();
        let fetched = client.fetched();
        let served = fetched.missing + (fetched.unreadable.count + fetched.foreign.count) as u64;
        assert_eq!((served, fetched.fetched, bench.provider.count(Step::Delete)), (1, 1, 0), "{name}");
    }
}

/// Of what an expired batch has done its provider says less than its files hold.
#[test]
fn files_of_an_expired_batch_stay_unless_every_request_has_a_line() {
    for is_cut in [false, true] {
        let reply = |question: &str| match question {
            "question 001" => (0, Value::Null),
            _ => (200, json!(format!("answer to {question}"))),
        };
        let lines = move |reading, lines: Vec<String>| if is_cut && reading == 0 { lines[1..].to_vec() } else { lines };
        let script = Script { end: "expired", reply: Box::new(reply), lines: Box::new(lines), ..Script::default() };
        let bench = Bench::new(Protocol::OpenAi, script);
        let (client, done) = bench.run(3);
        done.unwrap();
        assert_eq!((answered(&client, 3), client.fetched().missing), (if is_cut { 1 } else { 2 }, 0));
        assert_eq!(
            (bench.provider.count(Step::Results), bench.provider.deleted().len()),
            (2, if is_cut { 0 } else { 3 })
        );
    }
}

#[test]
fn files_that_are_not_deleted_are_named_and_nothing_else_is_lost() {
    type Fault = (&'static str, usize, fn(usize) -> Option<Act>);
    // Each of the two files is tried once: results of other batches wait.
    let faults: [Fault; 4] = [
        ("broken", 1, |number| (number == 0).then(|| Act::error(500, "", "broken"))),
        ("", 0, |_| Some(Act::error(404, "", "no such file"))),
        ("no rights", 2, |_| Some(Act::error(403, "", "no rights"))),
        ("broken", 2, |_| Some(Act::error(500, "", "broken"))),
    ];
    for (why, left, fault) in faults {
        let before = move |step, number| if step == Step::Delete { fault(number) } else { None };
        let bench = Bench::new(Protocol::OpenAi, Script { before: Box::new(before), ..Script::default() });
        let (client, done) = bench.run(3);
        done.unwrap();
        let undeleted = client.fetched().undeleted;
        assert_eq!((answered(&client, 3), client.stopped(), bench.provider.count(Step::Delete)), (3, None, 2));
        assert_eq!(undeleted.count, left, "{undeleted}");
        assert!(undeleted.first.iter().all(|file| file.contains(why)), "{undeleted}");
        drop(client);
        // A later run has nothing to fetch, and so nothing to delete.
        bench.run(3).1.unwrap();
        assert_eq!((bench.provider.count(Step::Create), bench.provider.count(Step::Delete)), (1, 2), "{why}");
    }
}

#[test]
fn the_file_of_a_batch_that_failed_is_deleted() {
    let bench = Bench::new(Protocol::OpenAi, Script { end: "failed", ..Script::default() });
    bench.run(2).1.unwrap();
    assert_eq!(bench.provider.deleted(), ["file-0"]);
}

#[test]
fn a_form_that_is_not_taken_is_another_one_in_the_next_batch() {
    for (protocol, word, asks) in [
        (Protocol::OpenAi, "response_format is not supported", "response_format"),
        (Protocol::Anthropic, "tool_choice is not supported", "tool_choice"),
    ] {
        let refuse = Arc::new(std::sync::atomic::AtomicBool::new(true));
        let refuses = refuse.clone();
        let reply = move |question: &str| {
            if refuses.load(std::sync::atomic::Ordering::SeqCst) {
                return error(400, "invalid_request_error", word);
            }
            (200, json!(format!("answer to {question}")))
        };
        let bench = Bench::new(protocol, Script { reply: Box::new(reply), ..Script::default() });
        let (client, done) = bench.run(3);
        done.unwrap();
        assert_eq!(answered(&client, 3), 0);
        drop(client);
        refuse.store(false, std::sync::atomic::Ordering::SeqCst);
        let (client, done) = bench.run(3);
        done.unwrap();
        assert_eq!(answered(&client, 3), 3);
        // And what was answered in a form is asked so by whoever comes later.
        drop(client);
        bench.run(4).1.unwrap();
        let forms: Vec<Value> = bench.provider.batches().iter().map(|batch| batch.bodies[0][asks].clone()).collect();
        match protocol {
            Protocol::OpenAi => {
                let types: Vec<&str> = forms.iter().map(|form| form["type"].as_str().unwrap()).collect();
                assert_eq!(types, ["json_schema", "json_object", "json_object"]);
            }
            Protocol::Anthropic => assert!(forms[0].is_object() && forms[1].is_null() && forms[2].is_null()),
        }
    }
}

#[test]
fn a_batch_of_somebody_else_of_the_same_size_is_not_taken_for_ours() {
    for is_made in [false, true] {
        // The reply to the first request to begin is lost.
        let reached = |step, count| step == Step::Create && count == 0;
        let script = Script {
            before: Box::new(move |step, count| (!is_made && reached(step, count)).then(|| Act::Bytes(Vec::new()))),
            after: Box::new(move |step, count, act| if reached(step, count) { Act::Bytes(Vec::new()) } else { act }),
            looks: 0,
            ..Script::default()
        };
        let bench = Bench::new(Protocol::Anthropic, script);
        (0..3).for_each(|_| bench.provider.add_foreign(2));
        let (client, done) = bench.run(2);
        done.unwrap();
        // Ours is not ended yet, so that it stays in question until it is; or there is none, and one is made.
        assert_eq!(answered(&client, 2), 2, "made: {is_made}");
        bench.assert_once("others are there");
        assert!(bench.provider.count(Step::List) >= 2);
    }
}

#[test]
fn without_a_list_the_outcome_is_unknown() {
    for protocol in BOTH {
        let script = Script {
            before: Box::new(|step, _| (step == Step::List).then(|| Act::error(404, "", "no such place"))),
            after: Box::new(
                |step, count, act| {
                    if step == Step::Create && count == 0 { Act::error(500, "", "broken") } else { act }
                },
            ),
            ..Script::default()
        };
        let bench = Bench::new(protocol, script);
        let (client, done) = bench.run(2);
        done.unwrap();
        assert_eq!((answered(&client, 2), client.spent().unknown, client.spent().requests), (0, 2, 2));
        assert!(client.fetched().failed.to_string().contains("nobody knows whether the provider has it"));
        drop(client);
        assert_eq!(bench.store().contents().unwrap().unknown, 2);
        let (client, done) = bench.run(2);
        done.unwrap();
        assert_eq!(answered(&client, 2), 2, "{protocol}");
    }
}

#[test]
fn limits_bound_what_is_handed_over() {
    let bench = |limit: &dyn Fn(&mut Settings)| {
        let mut bench = Bench::new(Protocol::OpenAi, Script::default());
        limit(&mut bench.settings);
        let (client, done) = bench.run(20);
        done.unwrap();
        let Some(Stop::Limit(limit)) = client.stopped() else { panic!("{:?}", client.stopped()) };
        let later = wait(client.complete(&request(19))).unwrap_err();
        assert!(matches!(later, ClientError::Later { .. }), "{later}");
        (bench.provider.questions().len(), answered(&client, 20), limit)
    };
    let (sent, answered, limit) = bench(&|settings| settings.max_requests = Some(5));
    assert_eq!((sent, answered, &*limit), (5, 5, "the limit of 5 requests"));
    // 256 tokens of an answer each, at half the price.
    let price = Price { input: 0.0, cached: None, output: 1e6 / 256.0, batch: 0.5 };
    let (sent, answered, limit) = bench(&move |settings| settings.max_cost = Some((3.6, price)));
    assert_eq!((sent, answered, &*limit), (7, 7, "the limit of 3.6 on the estimated cost"));
}

#[test]
fn a_live_job_does_not_ask_what_is_in_a_batch_unless_it_is_given_up() {
    let bench = Bench::new(Protocol::OpenAi, Script { looks: 1_000_000, ..Script::default() });
    let store = bench.store();
    let client = bench.client(&store);
    wait(client.submit(requests(2), |_| ())).unwrap();
    assert_eq!(store.contents().unwrap().waiting, 2);
    drop((client, store));
    let store = bench.store();
    let live = Live::new(bench.endpoint(), settings(), store.clone()).unwrap();
    let tally = wait(run(&live, requests(3), 2, |_| ())).unwrap();
    assert_eq!((tally.done, tally.later(), live.spent().requests), (1, 2, 1));
    bench.assert_once("live and batch");
    assert_eq!(wait(bench.client(&store).abandon()).unwrap(), 2);
    assert_eq!((store.contents().unwrap().waiting, store.contents().unwrap().unknown), (0, 2));
    assert_eq!(wait(run(&live, requests(3), 2, |_| ())).unwrap().done, 3);
}

#[test]
fn keys_go_to_the_configured_host_alone() {
    // The provider shows results at another host, and its reply repeats the key.
    let other = Server::start(|_| Act::json(200, &json!({})));
    let elsewhere = format!("{}/results", other.url);
    let script = Script {
        after: Box::new(move |step, _, act| match act {
            Act::Reply { body, .. } if step == Step::Poll => {
                let mut shown: Value = serde_json::from_slice(&body).unwrap();
                shown["results_url"] = json!(elsewhere);
                Act::json(200, &shown)
            }
            act => act,
        }),
        reply: Box::new(|question| (200, json!(format!("answer to {question}")))),
        lines: Box::new(|_, lines| lines.into_iter().map(|line| line.replace("fake-1", CANARY)).collect()),
        ..Script::default()
    };
    let bench = Bench::new(Protocol::Anthropic, script);
    let (client, done) = bench.run(2);
    done.unwrap();
    assert_eq!((answered(&client, 2), other.count()), (2, 0));
    assert!(bench.provider.server.asked().iter().all(|asked| asked.headers["x-api-key"] == CANARY));
    drop(client);
    for file in std::fs::read_dir(bench.folder.path()).unwrap() {
        let content = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!content.windows(6).any(|window| window == b"canary"));
    }
}

#[test]
fn a_stop_leaves_batches_with_the_provider() {
    let bench = Bench::new(Protocol::OpenAi, Script { looks: 1_000_000, ..Script::default() });
    let client = bench.client(&bench.store());
    wait(client.submit(requests(4), |_| ())).unwrap();
    let mut looks = 0;
    let stopped = wait(client.wait(|_| {
        looks += 1;
        if looks == 2 {
            client.stop(Stop::Interrupted);
        }
    }));
    assert_eq!(stopped, Err(ClientError::Stopped(Stop::Interrupted)));
    let waiting = client.waiting().unwrap();
    assert_eq!((waiting.batches, waiting.requests, looks), (2, 4, 2));
}
