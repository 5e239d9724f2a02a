//! Live clients against a server that misbehaves.

use std::{io::Write, path::Path, sync::Arc, time::Duration};

use apprentice_teacher::{
    Client, ClientError, Endpoint, Finish, Live, Message, Protocol, Request, Response, Role, Stop, Store,
    live::{Settings, read},
    run,
    store::OpenedStore,
};
use serde_json::json;

use crate::server::{Act, Asked, Server, completion, whole};

const CANARY: &str = "sk-canary-0123456789+/=";

fn open(path: &Path) -> OpenedStore {
    Store::open(path, &read, || false).unwrap()
}

fn endpoint(server: &Server) -> Endpoint {
    let mut endpoint = Endpoint::new(Protocol::OpenAi);
    endpoint.url.clone_from(&server.url);
    endpoint.key = Some(CANARY.to_owned());
    endpoint.timeout = Duration::from_millis(700);
    endpoint
}

fn quick() -> Settings {
    let mut settings = Settings::default();
    settings.attempts = 4;
    settings.first_pause = Duration::from_millis(4);
    settings.longest_pause = Duration::from_millis(60);
    settings
}

fn request(text: &str) -> Request {
    let message = Message { role: Role::User, content: text.to_owned() };
    Request::new("fake-1", vec![message]).about(text, "standard", text)
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

struct Bench {
    server: Server,
    client: Live,
    store: Arc<Store>,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new(settings: Settings, act: impl Fn(&Asked) -> Act + Send + Sync + 'static) -> Self {
        let server = Server::start(act);
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(open(&folder.path().join("store")).store);
        let client = Live::new(endpoint(&server), settings, store.clone()).unwrap();
        Self { server, client, store, folder }
    }

    fn ask(&self, text: &str) -> Result<Response, ClientError> {
        wait(self.client.complete(&request(text)))
    }

    /// Every byte of the store's files.
    fn stored(&self) -> Vec<u8> {
        wait(self.store.flush()).unwrap();
        let files = std::fs::read_dir(self.folder.path()).unwrap();
        files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
    }
}

/// A fault that is served twice, after which the server answers.
fn overcomes(name: &str, fault: impl Fn() -> Act + Send + Sync + 'static) -> Bench {
    let bench = Bench::new(quick(), move |asked| if asked.number < 2 { fault() } else { Act::answer("{}") });
    let answer = bench.ask("x").unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!((&*answer.text, bench.server.count()), ("{}", 3), "{name}");
    assert_eq!(bench.store.contents().unwrap().attempts, 3, "{name}");
    // The answer alone is kept as one: the same question is not sent again.
    assert_eq!(bench.ask("x").unwrap().text, "{}", "{name}");
    assert_eq!(bench.server.count(), 3, "{name}");
    bench
}

#[test]
fn faults_of_the_wire_are_overcome_and_never_taken_for_answers() {
    let answer = completion("{}").to_string().into_bytes();
    let mut faults: Vec<(String, Act)> = Vec::new();
    for status in [408, 409, 429, 500, 502, 503, 504, 529] {
        faults.push((format!("status {status}"), Act::error(status, "", "try later")));
    }
    for wait in ["0.01", "inf", "nan", "-1", "1e35", "Thu, 01 Jan 100000 00:00:00 GMT", "soon", "0"] {
        faults.push((
            format!("429, retry-after: {wait}"),
            Act::error(429, "rate_limit_exceeded", "slow down").with("retry-after", wait),
        ));
    }
    faults.push(("retry-after-ms".into(), Act::error(429, "", "slow down").with("retry-after-ms", "15")));
    for part in [0, 1, 2, 3] {
        let cut = answer.len() * part / 4;
        let head = whole(200, &[("content-type", "application/json")], &answer);
        let bytes = head[..head.len() - answer.len() + cut].to_vec();
        faults.push((format!("body closed at {part}/4"), Act::Bytes(bytes.clone())));
        faults.push((format!("body reset at {part}/4"), Act::Reset(bytes)));
        let open = [b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n", &answer[..cut]].concat();
        faults.push((format!("body without length closed at {part}/4"), Act::Bytes(open)));
    }
    faults.push(("no reply".into(), Act::Bytes(Vec::new())));
    faults.push(("no HTTP".into(), Act::Bytes(b"SSH-2.0-OpenSSH_9.6\r\n".to_vec())));
    faults.push(("time-out before the head".into(), Act::Hang(Vec::new(), Duration::from_secs(3))));
    let head = whole(200, &[], &answer);
    faults
        .push(("time-out inside the body".into(), Act::Hang(head[..head.len() - 9].to_vec(), Duration::from_secs(3))));
    faults.push(("slow drip".into(), Act::Drip(whole(200, &[], &answer), Duration::from_millis(40))));
    let html = |status, body: &str| Act::Reply {
        status,
        headers: vec![("content-type", "text/html".into())],
        body: body.as_bytes().to_vec(),
    };
    faults.push(("200 with HTML".into(), html(200, "<html>Please log in</html>")));
    faults.push(("502 with HTML".into(), html(502, "<html>Bad gateway</html>")));
    faults.push(("200 with an error".into(), Act::json(200, &json!({"error": {"message": "overloaded"}}))));
    faults.push(("200 with an error as text".into(), Act::json(200, &json!({"error": "overloaded"}))));
    faults.push(("no choices".into(), Act::json(200, &json!({"choices": []}))));
    faults.push(("no content".into(), Act::json(200, &json!({"choices": [{"message": {"content": null}}]}))));
    faults.push(("empty object".into(), Act::json(200, &json!({}))));
    faults.push(("deep nesting".into(), html(200, &"[".repeat(100_000))));
    let zeros = {
        let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        let block = vec![b' '; 1 << 20];
        (0..64).for_each(|_| zip.write_all(&block).unwrap());
        zip.finish().unwrap()
    };
    faults.push(("64 MiB in gzip".into(), Act::Bytes(whole(200, &[("content-encoding", "gzip")], &zeros))));
    faults.push(("not gzip".into(), Act::Bytes(whole(200, &[("content-encoding", "gzip")], &answer))));
    let endless = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n".to_vec();
    faults.push(("endless white space".into(), Act::Endless(endless, vec![b' '; 1 << 16])));
    for (name, fault) in faults {
        let bench = overcomes(&name, move || fault.clone());
        if name == "64 MiB in gzip" {
            let why = b"a reply of more than 8 MiB";
            assert!(bench.stored().windows(why.len()).any(|window| window == why), "{name}");
        }
    }
}

#[test]
fn what_nobody_overcomes_ends_after_the_last_attempt() {
    let bench = Bench::new(quick(), |_| Act::error(500, "", "broken"));
    let error = bench.ask("x").unwrap_err();
    assert_eq!(error, ClientError::Exhausted { attempts: 4, last: "status 500: broken".into() });
    assert_eq!((bench.server.count(), bench.client.stopped()), (4, None));
    // A later run asks again.
    assert!(bench.ask("x").is_err());
    assert_eq!(bench.server.count(), 8);
}

#[test]
fn a_wrong_key_or_model_stops_the_job_with_one_line() {
    for (status, code, says) in [
        (401, "invalid_api_key", "check the API key"),
        (403, "", "check the API key"),
        (404, "model_not_found", "check the model's name"),
        (400, "model_not_found", "check the model's name"),
        (402, "", "credit"),
        (429, "insufficient_quota", "credit"),
        (302, "", "redirects are not followed"),
        (307, "", "redirects are not followed"),
    ] {
        let bench = Bench::new(quick(), move |_| {
            Act::error(status, code, &format!("wrong, says the server about {CANARY}"))
                .with("location", &format!("http://127.0.0.1:9/v1?key={CANARY}"))
        });
        let requests = (0..200).map(|n| Ok::<_, ()>(request(&format!("sentence {n}"))));
        let tally = wait(run(&bench.client, requests, 32, |_| ())).unwrap();
        assert_eq!((tally.left, tally.settled(), bench.server.count()), (32, 0, 1), "{status} {code}");
        let Some(Stop::Provider { .. }) = bench.client.stopped() else { panic!("{status} {code}") };
        let line = bench.client.stopped().unwrap().to_string();
        assert!(line.contains(says) && line.contains(&status.to_string()) && !line.contains('\n'), "{line}");
        assert!(!line.contains("canary") && line.contains("[key]"), "{line}");
    }
}

#[test]
fn words_of_the_model_or_of_a_sentence_decide_nothing() {
    let words = "this model was not found; authentication, schema, tool, response_format";
    // A reply that is none, with words in it that a provider's error might have.
    let torn = format!(r#"{{"choices": [{{"message": {{"content": null, "reasoning": "{words}"}}}}]}}"#);
    overcomes("words in a reply", move || Act::Reply {
        status: 200,
        headers: Vec::new(),
        body: torn.clone().into_bytes(),
    });
    let bench = Bench::new(quick(), move |asked| match asked.number {
        0 => Act::error(400, "", "no way: `the tool and the grammar of a schema`"),
        _ => Act::answer("{}"),
    });
    let mut question = request("the tool and the grammar of a schema");
    question.schema = Some(Arc::new(json!({"type": "object"})));
    assert!(matches!(wait(bench.client.complete(&question)), Err(ClientError::Rejected { .. })));
    wait(bench.client.complete(&question)).unwrap();
    assert_eq!(bench.server.asked()[1].body["response_format"]["type"], "json_schema");
}

/// The words are those of llama-cpp-python 0.3.36.
#[test]
fn a_server_that_fails_where_it_should_refuse_is_asked_in_another_form() {
    let bench = Bench::new(quick(), |asked| match asked.body["response_format"]["type"].as_str() {
        Some("json_schema") => Act::error(
            500,
            "internal_server_error",
            "1 validation error:\n  {'type': 'literal_error', 'loc': ('body', 'response_format', 'type'), 'msg': \"Input \
             should be 'text' or 'json_object'\"}",
        ),
        _ => Act::answer("{}"),
    });
    let mut question = request("x");
    question.schema = Some(Arc::new(json!({"type": "object"})));
    assert_eq!(wait(bench.client.complete(&question)).unwrap().text, "{}");
    assert_eq!(bench.server.asked()[1].body["response_format"]["type"], "json_object");
}

#[test]
fn what_is_paid_for_without_content_is_counted_and_not_paid_for_again() {
    let bench = Bench::new(quick(), |asked| match asked.question() {
        "empty" => {
            let mut body = completion("");
            body["choices"][0]["message"]["content"] = serde_json::Value::Null;
            Act::json(200, &body)
        }
        _ => {
            Act::json(200, &json!({"usage": {"prompt_tokens": u64::MAX, "completion_tokens": u64::MAX}, "choices": []}))
        }
    });
    for _ in 0..2 {
        assert_eq!((bench.ask("empty").unwrap().text.as_str(), bench.client.spent().usage.input), ("", 100));
    }
    assert_eq!(bench.server.count(), 1);
    // Nonsense in numbers is bounded, and no answer may cost all the same.
    assert!(bench.ask("x").is_err());
    assert_eq!(bench.client.spent().usage.output, 10 + (4 << 40));
    assert!(bench.store.contents().is_ok());
}

#[test]
fn sentences_that_are_refused_do_not_stop_a_job_that_is_nearly_done() {
    let bench = Bench::new(quick(), |asked| match asked.question() {
        question if question.ends_with('3') => Act::error(400, "", "no way"),
        question if question.ends_with('4') => Act::error(403, "", "the firewall says no"),
        _ => Act::answer("{}"),
    });
    for _ in 0..2 {
        let requests = (0..100).map(|n| Ok::<_, ()>(request(&format!("sentence {n}"))));
        let tally = wait(run(&bench.client, requests, 8, |_| ())).unwrap();
        assert_eq!((tally.done, tally.failed.count, bench.client.stopped()), (80, 20, None));
    }
}

#[test]
fn an_address_where_nobody_is_stops_the_job() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(open(&folder.path().join("store")).store);
    let mut endpoint = Endpoint::new(Protocol::OpenAi);
    endpoint.url = "http://127.0.0.1:9/v1".into();
    let client = Live::new(endpoint, quick(), store.clone()).unwrap();
    let requests = (0..500).map(|n| Ok::<_, ()>(request(&format!("sentence {n}"))));
    let tally = wait(run(&client, requests, 8, |_| ())).unwrap();
    assert!(tally.failed.count <= 2 && tally.done == 0, "{tally:?}");
    assert!(client.stopped().unwrap().to_string().contains("whether the server runs"));
    assert!(store.contents().unwrap().attempts <= 9);
}

#[test]
fn one_poisoned_sentence_fails_alone() {
    let bench = Bench::new(quick(), |asked| {
        if asked.question() == "sentence 500" { Act::error(400, "", "no way") } else { Act::answer("{}") }
    });
    let requests = (0..1000).map(|n| Ok::<_, ()>(request(&format!("sentence {n}"))));
    let tally = wait(run(&bench.client, requests, 16, |_| ())).unwrap();
    assert_eq!((tally.asked, tally.done, tally.failed.count, tally.left), (1000, 999, 1, 0));
    assert_eq!(tally.failed.first, ["sentence 500: the provider refuses the request (status 400: no way)"]);
    assert_eq!(bench.server.count(), 1000);
}

#[test]
fn a_server_that_refuses_everything_is_not_asked_a_thousand_times() {
    let bench = Bench::new(quick(), |_| Act::error(422, "", "`temperature` is not known"));
    let requests = (0..200).map(|n| Ok::<_, ()>(request(&format!("sentence {n}"))));
    let tally = wait(run(&bench.client, requests, 16, |_| ())).unwrap();
    assert_eq!((tally.failed.count, tally.done, bench.server.count()), (5, 0, 5));
}

#[test]
fn the_form_of_answers_is_found_out_once() {
    let bench = Bench::new(quick(), |asked| match asked.body["response_format"]["type"].as_str() {
        Some("json_schema") => Act::error(400, "", "response_format json_schema is not supported"),
        Some(_) => Act::error(400, "", "json mode is not supported"),
        None if asked.body.get("max_tokens").is_some() => {
            Act::error(400, "unsupported_parameter", "Use 'max_completion_tokens' instead.")
        }
        None => Act::answer("{}"),
    });
    let mut question = request("x");
    question.schema = Some(Arc::new(json!({"type": "object"})));
    question.parameters.max_tokens = Some(9);
    assert_eq!(wait(bench.client.complete(&question)).unwrap().text, "{}");
    assert_eq!(bench.server.count(), 4);
    question.sample = 1;
    wait(bench.client.complete(&question)).unwrap();
    assert_eq!(bench.server.count(), 5);
    assert_eq!(bench.server.asked()[4].body["max_completion_tokens"], 9);
}

#[test]
fn length_refusal_and_filter_are_outcomes_of_their_own_and_not_asked_again() {
    let bench = Bench::new(quick(), |asked| {
        let mut body = completion("{\"entities\": [");
        match asked.question() {
            "long" => body["choices"][0]["finish_reason"] = "length".into(),
            "filtered" => body["choices"][0]["finish_reason"] = "content_filter".into(),
            "refused" => body["choices"][0]["message"]["refusal"] = "No.".into(),
            _ => {}
        }
        Act::json(200, &body)
    });
    for _ in 0..2 {
        for (text, finish) in [
            ("long", Finish::Length),
            ("filtered", Finish::ContentFilter),
            ("refused", Finish::Refusal),
            ("x", Finish::Stop),
        ] {
            assert_eq!(bench.ask(text).unwrap().finish, finish);
        }
        let requests = ["long", "filtered", "refused", "x"].map(|text| Ok::<_, ()>(request(text)));
        let tally = wait(run(&bench.client, requests.into_iter(), 2, |_| ())).unwrap();
        assert_eq!((tally.done, tally.truncated, tally.refused, tally.filtered), (1, 1, 1, 1));
    }
    assert_eq!(bench.server.count(), 4);
}

/// Azure's filter takes a prompt with an error, and asks for money all the same.
#[test]
fn a_filter_that_answers_with_an_error_is_not_asked_again() {
    let filter = |asked: &Asked| match asked.question() {
        "filtered" => Act::error(400, "content_filter", "The prompt was filtered."),
        _ => Act::answer("{}"),
    };
    let Bench { server, client, store, folder } = Bench::new(quick(), filter);
    let tally = |client: &Live| {
        let requests = ["filtered", "x"].map(|text| Ok::<_, ()>(request(text)));
        wait(run(client, requests.into_iter(), 2, |_| ())).unwrap()
    };
    for _ in 0..2 {
        let tally = tally(&client);
        assert_eq!((tally.done, tally.filtered, tally.failed.count, server.count()), (1, 1, 0, 2));
    }
    // Nobody says how many tokens it had: it is counted by an estimate.
    assert!(client.spent().usage.input > 100, "{:?}", client.spent());
    wait(store.flush()).unwrap();
    assert_eq!(store.contents().unwrap().answers, 2);
    drop((client, store));
    // Nor by another process; also if the first one had no time to note what the reply was.
    for is_noted in [true, false] {
        let path = folder.path().join("store");
        if !is_noted {
            let plain = rusqlite::Connection::open(&path).unwrap();
            let forgotten = "UPDATE attempt SET outcome = NULL, note_sum = NULL, input_tokens = NULL,
                cached_tokens = NULL, output_tokens = NULL WHERE status = 400";
            assert_eq!(plain.execute(forgotten, []).unwrap(), 1);
        }
        let store = Arc::new(open(&path).store);
        let client = Live::new(endpoint(&server), quick(), store.clone()).unwrap();
        assert_eq!(wait(client.complete(&request("filtered"))).unwrap().finish, Finish::ContentFilter);
        assert_eq!((tally(&client).filtered, client.spent().requests, server.count()), (1, 0, 2));
        assert_eq!(store.contents().unwrap().answers, 2, "noted: {is_noted}");
    }
}

#[test]
fn only_what_changed_is_asked_again() {
    let bench = Bench::new(quick(), |_| Act::answer("{}"));
    let base = request("x");
    let mut others = vec![base.clone()];
    let mut change = |edit: &dyn Fn(&mut Request)| {
        let mut other = base.clone();
        edit(&mut other);
        others.push(other);
    };
    change(&|r| r.model = "fake-2".into());
    change(&|r| r.messages[0].content.push('!'));
    change(&|r| r.messages[0].role = Role::System);
    change(&|r| r.parameters.temperature = Some(0.0));
    change(&|r| r.parameters.max_tokens = Some(7));
    change(&|r| drop(r.parameters.extra.insert("seed".into(), 1.into())));
    change(&|r| r.schema = Some(Arc::new(json!({}))));
    change(&|r| r.sample = 1);
    for _ in 0..2 {
        for other in &others {
            wait(bench.client.complete(other)).unwrap();
        }
        assert_eq!(bench.server.count(), 9);
    }
    // What a request is about is not part of the question.
    wait(bench.client.complete(&base.clone().about("another id", "another strategy", "x"))).unwrap();
    assert_eq!(bench.server.count(), 9);
}

#[test]
fn equal_sentences_are_asked_once() {
    let bench = Bench::new(quick(), |_| Act::answer("{}"));
    let requests = (0..300).map(|n| Ok::<_, ()>(request(&format!("sentence {}", n % 10))));
    let tally = wait(run(&bench.client, requests, 32, |_| ())).unwrap();
    assert_eq!((tally.done, bench.server.count()), (300, 10));
}

#[test]
fn limits_on_requests_and_cost_hold() {
    let mut settings = quick();
    settings.max_requests = Some(7);
    let bench = Bench::new(settings, |_| Act::answer("{}"));
    let requests = || (0..50).map(|n| Ok::<_, ()>(request(&format!("sentence {n}"))));
    let tally = wait(run(&bench.client, requests(), 8, |_| ())).unwrap();
    assert_eq!((tally.done, tally.failed.count, bench.server.count()), (7, 0, 7));
    let why = bench.client.stopped().unwrap().to_string();
    assert_eq!(why, "the limit of 7 requests is reached; run again with a higher limit to go on");

    let mut settings = quick();
    // 100 and 10 tokens an answer: 0.0012 each.
    settings.max_cost = Some((0.006, serde_json::from_str(r#"{"input": 10, "output": 20}"#).unwrap()));
    settings.limits.concurrency = 1;
    let bench = Bench::new(settings, |_| Act::answer("{}"));
    let tally = wait(run(&bench.client, requests(), 8, |_| ())).unwrap();
    assert_eq!((tally.done, tally.failed.count, bench.server.count()), (5, 0, 5));
}

#[test]
fn keys_go_to_the_host_alone_and_nowhere_else() {
    let other = Server::start(|_| Act::answer("{}"));
    let elsewhere = other.url.clone();
    let bench = Bench::new(quick(), move |asked| match asked.question() {
        "redirect" => Act::error(307, "", "elsewhere").with("location", &format!("{elsewhere}/chat/completions")),
        // A server that says back what it was given.
        _ => Act::json(200, &completion(&format!("{:?}", asked.headers))),
    });
    let echo = bench.ask("echo").unwrap();
    assert!(echo.text.contains("Bearer [key]"), "{}", echo.text);
    let error = bench.ask("redirect").unwrap_err();
    assert_eq!(other.count(), 0);
    let asked = bench.server.asked();
    assert_eq!(asked[0].headers["authorization"], format!("Bearer {CANARY}"));
    assert_eq!(asked[0].path, "/v1/chat/completions");
    for text in [error.to_string(), format!("{:?}", endpoint(&bench.server)), format!("{error:?}")] {
        assert!(!text.contains("canary"), "{text}");
    }
    let stored = bench.stored();
    for secret in [CANARY.as_bytes(), b"c2stY2FuYXJ5", b"sk-canary-0123456789%2B%2F%3D"] {
        assert!(!stored.windows(secret.len()).any(|window| window == secret));
    }
}

#[test]
fn anthropic_messages() {
    let server = Server::start(|asked| {
        assert_eq!(asked.path, "/v1/messages");
        match asked.number {
            0 => Act::json(
                529,
                &json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
            ),
            _ => Act::json(
                200,
                &json!({"type": "message", "model": "claude-x", "stop_reason": "end_turn",
                "content": [{"type": "text", "text": "{}"}], "usage": {"input_tokens": 3, "output_tokens": 2}}),
            ),
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(open(&folder.path().join("store")).store);
    let mut endpoint = Endpoint::new(Protocol::Anthropic);
    endpoint.url = server.url.trim_end_matches("/v1").to_owned();
    endpoint.key = Some(CANARY.to_owned());
    let client = Live::new(endpoint, quick(), store).unwrap();
    let answer = wait(client.complete(&request("x"))).unwrap();
    assert_eq!((&*answer.model, &*answer.text), ("claude-x", "{}"));
    let asked = server.asked();
    assert_eq!((asked.len(), &*asked[1].headers["x-api-key"]), (2, CANARY));
    assert!(asked[1].headers.contains_key("anthropic-version") && !asked[1].headers.contains_key("authorization"));
    assert_eq!(client.spent().usage.output, 2);
}

#[test]
fn an_interrupted_request_is_of_unknown_outcome() {
    let bench = Bench::new(quick(), |asked| match asked.question() {
        "slow" => Act::Hang(Vec::new(), Duration::from_secs(2)),
        _ => Act::answer("{}"),
    });
    wait(async {
        // Cut off while the server still thinks.
        let slow = request("slow");
        let _ = tokio::time::timeout(Duration::from_millis(200), bench.client.complete(&slow)).await;
    });
    let Bench { server, client, store, folder } = bench;
    assert_eq!(server.count(), 1);
    drop((client, store));
    let OpenedStore { store, interrupted, recovery, .. } = open(&folder.path().join("store"));
    assert_eq!((interrupted, recovery, store.contents().unwrap().unknown), (1, None, 1));
    drop(store);
    assert_eq!(open(&folder.path().join("store")).interrupted, 0);
}

#[test]
fn the_allowed_rate_is_used() {
    let mut settings = quick();
    settings.limits.requests_per_minute = Some(200.0 * 60.0);
    let bench = Bench::new(settings, |_| Act::answer("{}"));
    let requests = (0..400).map(|n| Ok::<_, ()>(request(&format!("sentence {n}"))));
    let started = std::time::Instant::now();
    let tally = wait(run(&bench.client, requests, 32, |_| ())).unwrap();
    assert_eq!(tally.done, 400);
    // Never faster than allowed, but for the quarter of a second that a bucket may be ahead. How near the client comes
    // to the rate is measured, not tested.
    assert!(started.elapsed() >= Duration::from_millis(2000 - 250 - 5), "{:?}", started.elapsed());
}
