//! A canary: a key that is searched for in everything that the program writes, after every failure that there is.

use std::{
    ffi::OsStr,
    fs::File,
    os::unix::{ffi::OsStrExt, fs::FileExt},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;
use tempfile::TempDir;

#[cfg(target_os = "linux")]
use crate::faults;
use crate::{
    server::{Act, Asked, Server, completion, whole},
    write,
};

/// What is searched for: whoever repeats the key, in whatever escape, repeats this.
const CANARY: &str = "CanaryOf17Birds";
const KEY: &str = "sk/CanaryOf17Birds+x=7";

/// The canary as it is, in hexadecimal digits, and in Base64 at each of the three places where it may start.
fn needles() -> Vec<String> {
    let hex = bytewise(CANARY, |byte| format!("{byte:02x}"));
    let base64 = (0..3).map(|before| {
        let encoded = STANDARD.encode(format!("{}{CANARY}", &"..."[..before]));
        // The first and the last characters depend on what stands around it.
        encoded[4..encoded.len() - 4].to_owned()
    });
    [CANARY.to_owned(), CANARY.to_lowercase(), hex.to_uppercase(), hex].into_iter().chain(base64).collect()
}

/// Where a job runs, and the server that it asks.
struct Cage {
    directory: TempDir,
    server: Server,
}

impl Cage {
    fn new(act: impl Fn(&Asked) -> Act + Send + Sync + 'static) -> Self {
        let cage = Self { directory: tempfile::tempdir().unwrap(), server: Server::start(act) };
        write(&cage.directory, "in.txt", "Ann wrote letters .\nRome won .");
        cage
    }

    fn at(&self) -> &Path {
        self.directory.path()
    }

    /// The program as chatty as it can be, without a key.
    fn bare(&self, provider: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_apprentice"));
        for name in std::env::vars_os().map(|(name, _)| name) {
            let upper = name.to_string_lossy().to_uppercase();
            if upper.starts_with("OPENAI_") || upper.starts_with("ANTHROPIC_") || upper.ends_with("_PROXY") {
                command.env_remove(name);
            }
        }
        command.current_dir(self.at()).env("RUST_BACKTRACE", "full").env("RUST_LOG", "trace");
        command.args(["annotate", "--provider", provider, "--model", "m", "--input", "in.txt"]);
        command.args(["-o", "out.conll", "--store", "store", "--overwrite", "--json"]);
        command.args(["--export-transcripts", "transcripts.jsonl"]).args(more);
        for (flag, value) in [("--attempts", "2"), ("--timeout", "1.5")] {
            if !more.contains(&flag) {
                command.args([flag, value]);
            }
        }
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// The job with its key, to another address.
    fn command_to(&self, url: &str, more: &[&str]) -> Command {
        let mut command = self.bare("openai", more);
        command.args(["--base-url", url]).env("OPENAI_API_KEY", KEY);
        command
    }

    fn command(&self, more: &[&str]) -> Command {
        self.command_to(&self.server.url, more)
    }

    /// Runs it, and searches all that it left and said; what it said on stderr.
    fn search(&self, what: &str, command: &mut Command, code: i32) -> String {
        let output = command.output().unwrap();
        let said = self.check(what, &output);
        assert_eq!(output.status.code(), Some(code), "{what}: {said}");
        assert!(!said.contains("panicked"), "{what}: {said}");
        said
    }

    fn check(&self, what: &str, output: &Output) -> String {
        let files = files(self.at()).into_iter().map(|path| (path.display().to_string(), std::fs::read(path).unwrap()));
        let streams = [("stdout", &output.stdout), ("stderr", &output.stderr)];
        let streams = streams.map(|(name, bytes)| (name.to_owned(), bytes.clone()));
        for (name, bytes) in files.chain(streams) {
            let text = String::from_utf8_lossy(&bytes);
            for needle in needles() {
                assert!(!text.contains(&needle), "{what}: {name} has {needle}: …{}…", around(&text, &needle));
            }
        }
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Whether the program has taken a key out of something.
    fn redacted(&self, said: &str) -> bool {
        let kept = std::fs::read(self.at().join("store")).unwrap_or_default();
        said.contains("[key]") || String::from_utf8_lossy(&kept).contains("[key]")
    }
}

fn around(text: &str, needle: &str) -> String {
    let at = text.find(needle).unwrap_or_default();
    text.char_indices().filter(|(i, _)| (at.saturating_sub(80)..at + 80).contains(i)).map(|(_, c)| c).collect()
}

/// All files under a directory but the inputs.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let found = entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] });
    found.filter(|path| !path.ends_with("in.txt") && !path.ends_with("config.toml")).collect()
}

/// The headers of a request, as a server repeats them.
fn echo(asked: &Asked) -> String {
    let lines: Vec<String> = asked.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    lines.concat()
}

fn json(status: u16, body: &serde_json::Value) -> Vec<u8> {
    whole(status, &[("content-type", "application/json")], body.to_string().as_bytes())
}

fn html(asked: &Asked) -> String {
    let escaped = echo(asked).replace('/', "&#x2F;").replace('+', "&#43;").replace('=', "&#61;");
    format!("<!doctype html><title>no</title><pre>{escaped}</pre>")
}

/// The text with every byte as `write` writes it.
fn bytewise(text: &str, write: impl Fn(u8) -> String) -> String {
    text.bytes().fold(String::new(), |written, byte| written + &write(byte))
}

/// All alphabets in which a server may repeat a key.
fn encoded(asked: &Asked) -> String {
    let echo = echo(asked);
    let hex = bytewise(&echo, |byte| format!("{byte:02X}"));
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric();
    let percent =
        bytewise(&echo, |byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02x}") });
    let [a, b, c] = ["", ".", ".."].map(|before| STANDARD.encode(format!("{before}{echo}")));
    format!("{hex} {percent} {a} {b} {c} {}", echo.replace('/', "\\/"))
}

#[test]
fn servers_that_repeat_the_key() {
    type Say = fn(&Asked) -> Act;
    let cases: [(&str, i32, Say); 16] = [
        ("401", 1, |asked| Act::error(401, "invalid_api_key", &echo(asked))),
        ("403", 1, |asked| Act::error(403, "forbidden", &echo(asked))),
        ("400", 1, |asked| Act::error(400, &echo(asked), &echo(asked))),
        ("402", 1, |asked| Act::error(402, "", &echo(asked))),
        ("404 in HTML", 1, |asked| Act::Bytes(whole(404, &[("content-type", "text/html")], html(asked).as_bytes()))),
        ("429 for good", 1, |asked| Act::error(429, "insufficient_quota", &echo(asked))),
        ("429", 1, |asked| Act::error(429, "", &echo(asked)).with("retry-after", "0")),
        ("500 in HTML", 1, |asked| Act::Bytes(whole(500, &[], html(asked).as_bytes()))),
        ("500 in all alphabets", 1, |asked| Act::error(500, "", &encoded(asked))),
        ("200 with an error", 1, |asked| Act::error(200, "", &echo(asked))),
        ("200 in HTML", 1, |asked| Act::Bytes(whole(200, &[], html(asked).as_bytes()))),
        ("200 as the answer", 1, |asked| Act::answer(&echo(asked))),
        ("200 in all alphabets", 1, |asked| Act::answer(&encoded(asked))),
        ("200 as a name", 0, |asked| {
            Act::answer(
                &json!({"entities": [{"text": echo(asked), "type": asked.headers["authorization"]}]}).to_string(),
            )
        }),
        ("200 everywhere else", 1, |asked| {
            let mut body = completion("{}");
            body["model"] = echo(asked).into();
            body["choices"][0]["message"]["refusal"] = encoded(asked).into();
            Act::Bytes(json(200, &body))
        }),
        ("200 in bytes that are no text", 1, |asked| {
            Act::Bytes(whole(200, &[], &[&b"\xff\xfe"[..], echo(asked).as_bytes(), b"\xff"].concat()))
        }),
    ];
    for (what, code, act) in cases {
        let cage = Cage::new(act);
        let said = cage.search(what, &mut cage.command(&[]), code);
        assert!(cage.server.asked()[0].headers["authorization"].contains(KEY), "{what}: the key was not sent");
        assert!(cage.redacted(&said), "{what}: nothing was taken out: {said}");
        // What is stored and written anew is as clean; the file of settings too.
        cage.check(what, &cage.command(&["--reparse", "--skip-failed"]).output().unwrap());
        cage.check(what, &cage.command(&["--dry-run"]).output().unwrap());
    }
}

#[test]
fn servers_of_anthropic_that_repeat_the_key() {
    type Say = fn(&Asked) -> Act;
    let cases: [(&str, Say); 3] = [
        ("401", |asked| Act::json(401, &json!({"type": "error", "error": {"type": "x", "message": echo(asked)}}))),
        ("529", |asked| Act::json(529, &json!({"type": "error", "error": {"type": echo(asked), "message": ""}}))),
        ("200", |asked| {
            let content =
                json!([{"type": "text", "text": echo(asked)}, {"type": "tool_use", "input": {"x": encoded(asked)}}]);
            Act::json(200, &json!({"model": echo(asked), "stop_reason": "end_turn", "content": content}))
        }),
    ];
    for (what, act) in cases {
        let cage = Cage::new(act);
        let mut command = cage.bare("anthropic", &["--base-url", cage.server.url.trim_end_matches("/v1")]);
        let said = cage.search(what, command.env("ANTHROPIC_API_KEY", KEY), 1);
        assert_eq!(cage.server.asked()[0].headers["x-api-key"], KEY);
        assert!(cage.redacted(&said), "{what}: {said}");
    }
}

#[test]
fn redirects() {
    let other = Server::start(|_| Act::answer("{}"));
    let elsewhere = other.url.clone();
    let targets = [String::new(), elsewhere, "https://127.0.0.1:1".into(), "file:///etc".into(), "//x.invalid".into()];
    for target in targets {
        for status in [301, 302, 307, 308] {
            let to = target.clone();
            let cage = Cage::new(move |asked| {
                let key = asked.headers["authorization"].replace("Bearer ", "");
                Act::error(status, "", &echo(asked)).with("location", &format!("{to}/x?key={key}#{key}"))
            });
            let said = cage.search(&format!("{status} to {target}"), &mut cage.command(&[]), 1);
            assert!(said.contains("redirect") && said.contains("[key]"), "{said}");
            assert_eq!(cage.server.count(), 1);
        }
    }
    assert_eq!(other.count(), 0, "a redirect was followed");
}

#[test]
fn connections_that_fail() {
    type Say = fn(&Asked) -> Act;

    let cases: [(&str, Say); 8] = [
        ("closed in the head", |asked| {
            Act::Bytes(format!("HTTP/1.1 200 OK\r\nx: {}", asked.headers["authorization"]).into())
        }),
        ("closed in the body", |asked| {
            Act::Bytes(format!("HTTP/1.1 200 OK\r\ncontent-length: 90000\r\n\r\n{}", echo(asked)).into())
        }),
        ("reset in the body", |asked| {
            Act::Reset(format!("HTTP/1.1 200 OK\r\ncontent-length: 90000\r\n\r\n{}", echo(asked)).into())
        }),
        ("no end", |asked| {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: 90000\r\n\r\n{}", echo(asked));
            Act::Hang(head.into(), Duration::from_secs(3))
        }),
        ("no HTTP", |asked| Act::Bytes(format!("{}\r\n\r\n", asked.headers["authorization"]).into())),
        ("a status that is none", |asked| {
            Act::Bytes(format!("HTTP/1.1 {} OK\r\n\r\n", asked.headers["authorization"]).into())
        }),
        ("a header that is none", |asked| {
            Act::Bytes(
                format!("HTTP/1.1 200 OK\r\n{}\r\ncontent-length: -1\r\n\r\n", asked.headers["authorization"]).into(),
            )
        }),
        ("gzip that is none", |asked| Act::Bytes(whole(200, &[("content-encoding", "gzip")], echo(asked).as_bytes()))),
    ];
    for (what, act) in cases {
        let cage = Cage::new(act);
        cage.search(what, &mut cage.command(&["--attempts", "1"]), 1);
        assert!(cage.server.count() > 0);
    }
    let cage = Cage::new(|asked| {
        let block = echo(asked).repeat(1000);
        Act::Endless(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), block.into_bytes())
    });
    cage.search("endless", &mut cage.command(&["--attempts", "1", "--timeout", "20"]), 1);
    let nobody = |url: &str| cage.command_to(url, &["--attempts", "1"]);
    cage.search("unreachable", &mut nobody("http://127.0.0.1:1/v1"), 1);
    cage.search("no such name", &mut nobody("http://host.invalid/v1"), 1);
    cage.search("no TLS", &mut nobody(&cage.server.url.replace("http:", "https:")), 1);
    // A proxy has a password of its own, and sees what goes through it.
    let secret = format!("http://me:{CANARY}@127.0.0.1:1");
    cage.search(
        "unreachable proxy",
        nobody("http://x.invalid/v1").env("HTTP_PROXY", &secret).env("http_proxy", secret),
        1,
    );
    let proxy = Cage::new(|asked| Act::error(502, "", &echo(asked)));
    let url = proxy.server.url.trim_end_matches("/v1").to_owned();
    let mut command = proxy.command_to("http://x.invalid/v1", &["--attempts", "1"]);
    let said = proxy.search("proxy", command.env("HTTP_PROXY", &url).env("http_proxy", url), 1);
    assert!(proxy.redacted(&said) && proxy.server.count() > 0, "{said}");
}

#[test]
fn keys_in_the_wrong_place() {
    let cage = Cage::new(|asked| Act::error(401, "", &echo(asked)));
    let url = &cage.server.url;
    let host = url.trim_start_matches("http://");
    // As the base URL, or in it.
    let urls = [
        KEY.to_owned(),
        format!("http://me:{KEY}@{host}"),
        format!("http://{CANARY}@{host}"),
        format!("http://me:x?{CANARY}@{host}"),
        format!("me:{CANARY}@{host}"),
        format!("{CANARY}@{host}"),
        format!("{url}?key={CANARY}"),
        format!("{url}?a=b&api_key={CANARY}"),
        format!("{url}?sig={CANARY}"),
        format!("{url}?X-Amz-Security-Token={CANARY}"),
        format!("http://me:{CANARY}@[x/v1"),
    ];
    for wrong in &urls {
        let said = cage.search("--base-url", &mut cage.command_to(wrong, &[]), 1);
        assert!(said.contains("base URL"), "{said}");
        cage.search("--dry-run", &mut cage.command_to(wrong, &["--dry-run"]), 1);
        cage.search("OPENAI_BASE_URL", cage.bare("openai", &[]).env("OPENAI_BASE_URL", wrong), 1);
    }
    // As the name of a variable, as a flag, as a header.
    let flags: [(&[&str], i32); 12] = [
        (&["--api-key-env", KEY], 1),
        (&["--api-key-env", CANARY], 1),
        (&["--header", KEY], 1),
        (&["--header", &format!("x-api-key: {KEY}")], 1),
        (&["--header", &format!("Cookie: session={KEY}")], 1),
        (&["--header", &format!("x-goog-api-key: {KEY}")], 1),
        (&["--header", &format!("X-Auth-Token: {KEY}")], 1),
        (&["--header", &format!("x-client-secret: {KEY}")], 1),
        (&["--header", &format!("authorization: ${{{KEY}}}")], 1),
        (&["--header", "authorization: Bearer ${NOT_UTF_8}"], 1),
        (&["--header", "authorization: Bearer ${OPENAI_API_KEY"], 1),
        (&["--api-key-env", "NOT_UTF_8"], 1),
    ];
    let not_utf_8 = [KEY.as_bytes(), b"\xff"].concat();
    for (flags, code) in flags {
        let said = cage.search(flags[1], cage.command(flags).env("NOT_UTF_8", OsStr::from_bytes(&not_utf_8)), code);
        assert!(said.contains("--header") || said.contains("--api-key-env"), "{said}");
    }
    // In the file of settings.
    for line in [
        format!("api-key = {KEY}"),
        format!("api-key = '{KEY}'"),
        format!("headers = ['x-api-key: {KEY}']"),
        KEY.into(),
    ] {
        write(&cage.directory, "config.toml", &format!("[live]\n{line}\n"));
        let said = cage.search("--config", &mut cage.command(&["--config", "config.toml"]), 1);
        assert!(said.contains("config.toml") || said.contains("--header"), "{said}");
    }
    assert_eq!(cage.server.count(), 0, "something was sent");
    // In the variable of the other provider: it goes nowhere.
    cage.search("the other's variable", cage.bare("openai", &[]).env("ANTHROPIC_API_KEY", KEY), 1);
    cage.search("the other's host", &mut cage.command_to("https://api.anthropic.com", &[]), 1);
    let here = ["--base-url", url];
    cage.search("nobody's variable", cage.bare("openai", &here).env("ANTHROPIC_API_KEY", KEY), 1);
    assert!(!echo(&cage.server.asked()[0]).contains(CANARY));
}

#[test]
fn keys_that_cannot_be_sent_or_come_in_headers() {
    let cage = Cage::new(|asked| Act::error(401, "", &format!("{} {}", echo(asked), encoded(asked))));
    let with = |key: &[u8], more: &[&str]| {
        let mut command = cage.command(more);
        command.env("OPENAI_API_KEY", OsStr::from_bytes(key));
        command
    };
    let broken: [&[u8]; 4] =
        [b"sk-CanaryOf17Birds\nmore", b"sk-\x07CanaryOf17Birds", b"sk-CanaryOf17Birds\xff", b"CanaryOf17Birds\r\nx: y"];
    for key in broken {
        let said = cage.search("a key that cannot be sent", &mut with(key, &[]), 1);
        assert!(said.contains("header `authorization`") || said.contains("OPENAI_API_KEY is not UTF-8"), "{said}");
    }
    assert_eq!(cage.server.count(), 0);
    let said = cage.search("a key that is not ASCII", &mut with("sk-ä-CanaryOf17Birds-ß".as_bytes(), &[]), 1);
    assert!(cage.redacted(&said), "{said}");
    let headers = [
        "authorization: Bearer ${OPENAI_API_KEY}",
        "cookie: a=b; session=${OPENAI_API_KEY}",
        "x-any: <${OPENAI_API_KEY}>",
    ];
    for header in headers {
        let said = cage.search(header, &mut with(KEY.as_bytes(), &["--header", header]), 1);
        assert!(cage.redacted(&said), "{said}");
    }
    // What anybody may see stays as it is, in answers too.
    let cage = Cage::new(|asked| {
        Act::answer(&format!(r#"{{"entities": [{{"text": "{}", "type": "PER"}}]}}"#, asked.headers["x-title"]))
    });
    cage.search("an open header", &mut cage.command(&["--header", "x-title: Newspaper-of-Rome"]), 0);
    assert!(std::fs::read_to_string(cage.at().join("transcripts.jsonl")).unwrap().contains("Newspaper-of-Rome"));
}

#[test]
fn stores_that_fail_and_jobs_that_are_cut_off() {
    let cage = Cage::new(|asked| Act::answer(&echo(asked)));
    // Full: no file may grow beyond 48 KiB.
    let job = cage.command(&[]);
    let mut full = Command::new("bash");
    full.args(["-c", "trap '' XFSZ; ulimit -f 48; exec \"$0\" \"$@\""]).arg(job.get_program()).args(job.get_args());
    full.current_dir(cage.at()).env("OPENAI_API_KEY", KEY).env("RUST_BACKTRACE", "full").env("RUST_LOG", "trace");
    let said = cage.search("a full disk", &mut full, 1);
    assert!(said.contains("store"), "{said}");
    // Damaged: what was in it is kept beside it.
    cage.search("before the damage", &mut cage.command(&[]), 1);
    let store = File::options().write(true).open(cage.at().join("store")).unwrap();
    store.write_all_at(b"CANARY? damage", store.metadata().unwrap().len() / 2).unwrap();
    store.write_all_at(b"damage", 110).unwrap();
    let said = cage.search("a damaged store", &mut cage.command(&["--reparse"]), 1);
    assert!(said.contains("damaged"), "{said}");
    assert!(files(cage.at()).iter().any(|path| path.to_string_lossy().contains("store.damaged-1")));
    write(&cage.directory, "store", "something else");
    let said = cage.search("no store", &mut cage.command(&[]), 1);
    assert!(said.contains("not a store"), "{said}");
    // Interrupted while the server hangs, once and twice.
    for times in [1, 2] {
        let cage = Cage::new(|asked| Act::Hang(echo(asked).into_bytes(), Duration::from_secs(3)));
        let child = cage.command(&[]).spawn().unwrap();
        while cage.server.asked().is_empty() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let id = child.id().to_string();
        for _ in 0..times {
            assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
            std::thread::sleep(Duration::from_millis(100));
        }
        let output = child.wait_with_output().unwrap();
        let said = cage.check("interrupted", &output);
        assert!(output.status.code() == Some(1) && said.contains("interrupted"), "{said}");
    }
}

/// A thread cannot be started, which the runtime answers with a panic: backtraces show no key.
#[cfg(target_os = "linux")]
#[test]
fn panics() {
    let Some(library) = faults::library() else { return println!("{}", faults::NO_COMPILER) };
    let cage = Cage::new(|asked| Act::error(401, "", &echo(asked)));
    let mut command = cage.command(&[]);
    // The first thread is the store's.
    let output = command.env("LD_PRELOAD", library).env("FAULT_THREAD", "2").output().unwrap();
    let said = cage.check("panic", &output);
    assert!(output.status.code() == Some(101) && said.contains("panicked"), "{said}");
}
