//! What the providers' batch interfaces look like: files and batches of OpenAI, message batches of Anthropic.
//!
//! Everything goes to paths below the configured base URL. Anthropic says where results lie by a whole URL, which may
//! name another host: it is not looked at, because the place is documented, and keys stay with the host.

use std::{fmt, time::Duration};

use serde_json::{Value, json};

use super::super::{
    http::{Call, Endpoint, EndpointError, Lines, SendError, Transport},
    verdict::{self, Known, Verdict},
    wire::{self, Dialect, Form, Protocol},
};
use crate::{Request, Stop, store::Batch};

/// A line of a batch's results may have so many bytes on average, and many of them less.
const RESULT: usize = 1 << 20;
/// The least that results may have together.
const RESULTS: usize = 64 << 20;
/// Batches on a page of a list.
const PAGE: usize = 100;
/// The most pages that are looked at.
const PAGES: usize = 1000;
/// How far the provider's clock may be from ours, in milliseconds.
const SKEW: u64 = 600_000;

/// Why the provider did not do what it was asked.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It may do it later.
    Again {
        /// How long it asks to wait.
        wait: Option<Duration>,
        why: String,
        /// Whether it may have done it all the same.
        is_unclear: bool,
    },
    /// It has no such thing, or no such interface.
    Missing(String),
    /// It will not.
    Refused(String),
    /// Nothing can be asked of it.
    Stop(Stop),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Again { why, .. } | Self::Missing(why) | Self::Refused(why) => f.write_str(why),
            Self::Stop(stop) => stop.fmt(f),
        }
    }
}

/// What the provider says of a batch.
#[derive(Debug, PartialEq)]
pub(super) enum Seen {
    Running {
        /// Requests that are through, as far as it says.
        done: u64,
    },
    /// Its results can be fetched.
    Ended(Results),
    /// It was not taken.
    Failed(String),
}

/// Where the results of a batch lie.
#[derive(Debug, PartialEq)]
pub(super) struct Results {
    pub paths: Vec<String>,
    /// The files that they are, where they are such.
    pub files: Vec<String>,
    /// How many lines they have together.
    pub lines: u64,
    /// Why some requests may have no line: `expired`, `cancelled`.
    pub cut: Option<String>,
}

/// A batch in the provider's list that may be the one that is sought.
#[derive(Debug, PartialEq)]
pub(super) struct Candidate {
    pub id: String,
    /// Whether it carries our name.
    pub is_ours: bool,
    pub has_ended: bool,
}

/// What the requests of a batch are sent in.
pub(super) struct Frame {
    /// The type of the content.
    pub kind: String,
    pub head: String,
    pub between: &'static str,
    pub tail: String,
}

pub(super) struct Provider {
    transport: Transport,
    pub endpoint: Endpoint,
}

impl Provider {
    pub fn new(endpoint: Endpoint) -> Result<Self, EndpointError> {
        Ok(Self { transport: Transport::new(&endpoint)?, endpoint })
    }

    /// What the requests of a batch are sent in: OpenAI wants a file of JSON lines in a form, Anthropic one document.
    pub fn frame(&self, batch: &Batch) -> Frame {
        match self.endpoint.protocol {
            Protocol::OpenAi => {
                // The name is a hash: nothing in the file is like it by chance.
                let boundary = &batch.name;
                let head = format!(
                    "--{boundary}\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n\
                     --{boundary}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{boundary}.jsonl\"\r\n\
                     content-type: application/jsonl\r\n\r\n"
                );
                let kind = format!("multipart/form-data; boundary={boundary}");
                Frame { kind, head, between: "\n", tail: format!("\r\n--{boundary}--\r\n") }
            }
            Protocol::Anthropic => {
                let (head, tail) = (r#"{"requests":["#.to_owned(), "]}".to_owned());
                Frame { kind: "application/json".to_owned(), head, between: ",", tail }
            }
        }
    }

    /// Hands over the file of a batch; its id.
    pub async fn upload(&self, content: (String, Vec<u8>)) -> Result<String, Trouble> {
        self.ask(Call::post("files".to_owned(), content)).await.and_then(|file| id(&file))
    }

    /// Has the provider delete a file. One that it does not know is gone already.
    pub async fn delete(&self, file: &str) -> Result<(), Trouble> {
        let reply = self.transport.call(Call::delete(format!("files/{file}"))).await?;
        if (200..300).contains(&reply.status) || reply.status == 404 { Ok(()) } else { Err(self.trouble(&reply)) }
    }

    /// Has the provider begin with a batch that is in a file, or is `content`; its id.
    pub async fn create(&self, batch: &Batch, content: Option<(String, Vec<u8>)>) -> Result<String, Trouble> {
        let by_file = || {
            let body = json!({"input_file_id": batch.file, "endpoint": wire::CHAT, "completion_window": "24h",
                "metadata": {"apprentice": batch.name}});
            ("application/json".to_owned(), body.to_string().into_bytes())
        };
        let path = self.endpoint.protocol.batches().to_owned();
        self.ask(Call::post(path, content.unwrap_or_else(by_file))).await.and_then(|batch| id(&batch))
    }

    /// What has become of a batch.
    pub async fn look(&self, batch: &Batch) -> Result<Seen, Trouble> {
        let path = self.path(batch.remote.as_deref().unwrap_or_default());
        let said = self.ask(Call::get(path)).await?;
        match self.endpoint.protocol {
            Protocol::OpenAi => open_ai(&said, batch),
            Protocol::Anthropic => Ok(self.anthropic(&said, batch)),
        }
    }

    /// The batches that were made when this one may have been, and look like it.
    pub async fn candidates(&self, batch: &Batch) -> Result<Vec<Candidate>, Trouble> {
        let protocol = self.endpoint.protocol;
        let (mut found, mut after) = (Vec::new(), None);
        for _ in 0..PAGES {
            let cursor = if protocol == Protocol::OpenAi { "after" } else { "after_id" };
            let after_id: Option<String> = after.take();
            let query = std::iter::once(("limit", PAGE.to_string())).chain(after_id.map(|id| (cursor, id))).collect();
            let page = self.ask(Call { query, ..Call::get(protocol.batches().to_owned()) }).await?;
            let listed = page["data"].as_array().ok_or_else(|| unreadable("a list of batches", &page))?;
            found.extend(listed.iter().filter_map(|listed| candidate(protocol, listed, batch)));
            let last = listed.last();
            // Anthropic's newest come first.
            let is_past = protocol == Protocol::Anthropic
                && last.is_some_and(|last| time(&last["created_at"]).is_some_and(|at| at + SKEW < sent(batch)));
            after = last.and_then(|last| last["id"].as_str()).map(str::to_owned);
            if is_past || after.is_none() || page["has_more"] != true {
                return Ok(found);
            }
        }
        Err(Trouble::Missing("the list of batches has no end".to_owned()))
    }

    /// The lines at one of the places of [`Results`] of so many requests.
    pub async fn lines(&self, path: &str, requests: u64) -> Result<Lines<'_>, Trouble> {
        let most = RESULTS.saturating_add(RESULT.saturating_mul(requests as usize));
        match self.transport.lines(path.to_owned(), most).await {
            Ok(Ok(lines)) => Ok(lines),
            Ok(Err(reply)) => Err(self.trouble(&reply)),
            Err(error) => Err(Trouble::from(error)),
        }
    }

    /// Where Anthropic has the results of a batch.
    pub fn results(&self, id: &str) -> String {
        format!("{}/results", self.path(id))
    }

    fn path(&self, id: &str) -> String {
        format!("{}/{id}", self.endpoint.protocol.batches())
    }

    async fn ask(&self, call: Call) -> Result<Value, Trouble> {
        let reply = self.transport.call(call).await?;
        if !(200..300).contains(&reply.status) {
            return Err(self.trouble(&reply));
        }
        wire::json(&reply.body).map_err(|why| Trouble::Again { wait: None, why, is_unclear: true })
    }

    fn trouble(&self, reply: &super::super::http::Reply) -> Trouble {
        let said = wire::read(self.endpoint.protocol, reply.status, &reply.body).0;
        let no_answer = said.err().unwrap_or_else(|| wire::NoAnswer::Unreadable(wire::excerpt(&reply.body)));
        if matches!(reply.status, 404 | 405 | 501) {
            return Trouble::Missing(format!("status {}: {no_answer}", reply.status));
        }
        let dialect = Dialect { form: Form::Text, completion_tokens: true };
        let known = Known { dialect, any_answered: false, is_form_forced: true };
        match verdict::of(reply, Err(no_answer), &Request::new("", Vec::new()), dialect, known) {
            Verdict::Again { wait, why } => {
                let is_unclear = !matches!(reply.status, 425 | 429);
                Trouble::Again { wait, why, is_unclear }
            }
            Verdict::Stop { why, advice } => {
                Trouble::Stop(Stop::Provider { url: self.endpoint.url.clone(), why, advice })
            }
            Verdict::Rejected(why) => Trouble::Refused(why),
            Verdict::Answered(_) | Verdict::Adapt { .. } => Trouble::Refused(format!("status {}", reply.status)),
        }
    }

    fn anthropic(&self, said: &Value, batch: &Batch) -> Seen {
        let counts = &said["request_counts"];
        let count = |name: &str| counts[name].as_u64().unwrap_or(0);
        let through = ["succeeded", "errored", "canceled", "expired"].map(count).iter().sum();
        match said["processing_status"].as_str() {
            Some("ended") => {
                let cut = ["expired", "canceled"].into_iter().find(|name| count(name) > 0).map(str::to_owned);
                let paths = vec![self.results(batch.remote.as_deref().unwrap_or_default())];
                Seen::Ended(Results { paths, files: Vec::new(), lines: through, cut })
            }
            _ => Seen::Running { done: through },
        }
    }
}

impl From<SendError> for Trouble {
    fn from(SendError { reached, what }: SendError) -> Self {
        Self::Again { wait: None, why: what, is_unclear: reached }
    }
}

fn open_ai(said: &Value, batch: &Batch) -> Result<Seen, Trouble> {
    let count = |name: &str| said["request_counts"][name].as_u64();
    let through = count("completed").unwrap_or(0) + count("failed").unwrap_or(0);
    let status = said["status"].as_str().ok_or_else(|| unreadable("a batch", said))?;
    match status {
        "completed" | "expired" | "cancelled" => {
            let files = ["output_file_id", "error_file_id"].map(|name| said[name].as_str());
            let files: Vec<String> = files.into_iter().flatten().map(str::to_owned).collect();
            if files.iter().any(|file| !is_id(file)) {
                return Err(unreadable("a batch", said));
            }
            let cut = (status != "completed").then(|| status.to_owned());
            let lines = match (count("completed"), &cut) {
                (None, None) => batch.requests(),
                _ => through,
            };
            let paths = files.iter().map(|file| format!("files/{file}/content")).collect();
            Ok(Seen::Ended(Results { paths, files, lines, cut }))
        }
        "failed" => {
            let errors = said["errors"]["data"].as_array().map(Vec::as_slice).unwrap_or_default();
            let told = errors.iter().take(3).map(|error| {
                let text = |name: &str| error[name].as_str().map(str::to_owned);
                let line = error["line"].as_u64().map(|line| format!("line {line}"));
                let parts: Vec<String> = [text("code"), line, text("message")].into_iter().flatten().collect();
                wire::excerpt(parts.join(": ").as_bytes())
            });
            let told: Vec<String> = told.collect();
            let more =
                if errors.len() > told.len() { format!("; {} more", errors.len() - told.len()) } else { String::new() };
            Ok(Seen::Failed(if told.is_empty() { "without a reason".to_owned() } else { told.join("; ") + &more }))
        }
        // Also what later versions may have: it is not through, and not lost.
        _ => Ok(Seen::Running { done: through }),
    }
}

/// The batch of a list, if it may be ours: OpenAI's says so; of Anthropic's, time and size must fit, and its results tell.
fn candidate(protocol: Protocol, listed: &Value, batch: &Batch) -> Option<Candidate> {
    let id = listed["id"].as_str().filter(|id| is_id(id))?.to_owned();
    match protocol {
        Protocol::OpenAi => {
            let is_named = listed["metadata"]["apprentice"] == batch.name;
            let has_file = batch.file.is_some() && listed["input_file_id"].as_str() == batch.file.as_deref();
            (is_named || has_file).then_some(Candidate { id, is_ours: true, has_ended: false })
        }
        Protocol::Anthropic => {
            let counts = listed["request_counts"].as_object()?;
            let requests: u64 = counts.values().filter_map(Value::as_u64).sum();
            let at = time(&listed["created_at"])?;
            let fits = requests == batch.requests() && at + SKEW >= sent(batch);
            let has_ended = listed["processing_status"] == "ended";
            fits.then_some(Candidate { id, is_ours: false, has_ended })
        }
    }
}

fn sent(batch: &Batch) -> u64 {
    batch.sent.unwrap_or(batch.written)
}

fn id(said: &Value) -> Result<String, Trouble> {
    said["id"].as_str().filter(|id| is_id(id)).map(str::to_owned).ok_or_else(|| unreadable("an id", said))
}

/// Whether an id can be part of a path as it is.
fn is_id(id: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
    (1..=256).contains(&id.len()) && !id.starts_with('.') && id.bytes().all(is_plain)
}

fn unreadable(expected: &str, found: &Value) -> Trouble {
    let why = format!("expected {expected}, found {}", wire::excerpt(found.to_string().as_bytes()));
    Trouble::Again { wait: None, why, is_unclear: true }
}

/// Milliseconds since 1970 of a time such as `2024-09-24T18:37:24.100435Z` (RFC 3339).
fn time(value: &Value) -> Option<u64> {
    let text = value.as_str()?;
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let zone = text.get(19..)?.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    let offset = match zone.split_at_checked(1)? {
        ("Z" | "z", "") => 0,
        (sign @ ("+" | "-"), zone) => {
            let (hours, minutes) = zone.split_once(':')?;
            let minutes = i64::from(hours.parse::<u8>().ok()?) * 60 + i64::from(minutes.parse::<u8>().ok()?);
            if sign == "-" { -minutes } else { minutes }
        }
        _ => return None,
    };
    // Days since 1970 in the Gregorian calendar, of a year that begins in March: a leap day is its last.
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    let seconds = ((days * 24 + hour) * 60 + minute - offset) * 60 + second;
    u64::try_from(seconds * 1000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let at = |text: &str| time(&json!(text));
        assert_eq!(at("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(at("2024-02-29T23:59:59.100435Z"), Some(1_709_251_199_000));
        assert_eq!(at("2000-03-01T01:00:00+01:00"), Some(951_868_800_000));
        for nonsense in
            ["", "soon", "2024-02-29", "2024-02-29T23:59:59", "2024-02-29T23:59:59+1", "1960-01-01T00:00:00Z"]
        {
            assert_eq!(at(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn ids_are_never_paths() {
        for wrong in ["", "..", "a/b", "a?b", "a%2fb", "ä", "a b"] {
            assert!(id(&json!({"id": wrong})).is_err(), "{wrong}");
        }
        assert_eq!(id(&json!({"id": "msgbatch_01-a"})).unwrap(), "msgbatch_01-a");
    }
}
