//! One request over the wire, and everything that can go wrong with it.
//!
//! Keys are sent to the configured host alone: redirects are not followed, and what a reply or an error repeats of a key
//! is taken out before anybody sees it.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use apprentice_core::error_chain;
use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use bytes::{Buf, Bytes};
use reqwest::{
    Client, RequestBuilder, Response, Url,
    header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
    redirect::Policy,
};
use thiserror::Error;

use super::wire::Protocol;

/// The most bytes that a reply may have once it is decompressed: a long answer has some hundred thousand.
const MAX_REPLY: usize = 8 << 20;
/// A line that uploads fewer bytes a second is given up.
const SLOWEST: usize = 50_000;
const ANTHROPIC_VERSION: &str = "2023-06-01";

/// Where requests go, and with which keys.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Endpoint {
    /// The provider's language.
    pub protocol: Protocol,
    /// The base URL, to which the protocol's path is appended; a query stays behind it.
    pub url: String,
    /// The key; none for servers that need none.
    pub key: Option<String>,
    /// Further headers. Their values are as secret as the key.
    pub headers: Vec<(String, String)>,
    /// Further headers whose values anybody may see: they stay in what is stored and shown.
    pub open_headers: Vec<(String, String)>,
    /// How long a request may take from the first byte sent to the last byte received.
    pub timeout: Duration,
}

impl Endpoint {
    /// The provider's own endpoint, without a key.
    #[must_use]
    pub fn new(protocol: Protocol) -> Self {
        let url = protocol.default_url().to_owned();
        let timeout = Duration::from_mins(2);
        Self { protocol, url, key: None, headers: Vec::new(), open_headers: Vec::new(), timeout }
    }

    /// The host that requests go to, in lower case and without a dot at its end.
    ///
    /// # Errors
    /// [`EndpointError::Url`].
    pub fn host(&self) -> Result<String, EndpointError> {
        let url = full_url(self, self.protocol.path())?;
        Ok(url.host_str().unwrap_or_default().trim_end_matches('.').to_owned())
    }
}

/// Without what is secret.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<&str> = self.headers.iter().map(|(name, _)| &**name).collect();
        f.debug_struct("Endpoint")
            .field("protocol", &self.protocol)
            .field("url", &shown(&self.url))
            .field("key", &self.key.as_ref().map(|_| "…"))
            .field("headers", &headers)
            .field("open_headers", &self.open_headers)
            .field("timeout", &self.timeout)
            .finish()
    }
}

/// What is wrong with an endpoint. Values of headers and keys are never shown.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// No URL, or not one of the web.
    #[error("base URL `{url}`: {why}: expected http:// or https:// with a host, such as https://api.openai.com/v1")]
    Url {
        /// The URL; without what is secret in it.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// A header that cannot be sent.
    #[error("header `{name}`: {why}")]
    Header {
        /// Its name.
        name: String,
        /// What is wrong.
        why: &'static str,
    },
    /// The system's certificates and the like.
    #[error("HTTP cannot be set up: {0}")]
    Setup(String),
}

/// What came back, decompressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub status: u16,
    /// How long the provider asks to wait, if it does.
    pub wait: Option<Duration>,
    /// Where the provider would rather have the request.
    pub location: Option<String>,
    pub body: Vec<u8>,
}

/// Why nothing whole came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SendError {
    /// Whether the provider may have done the work all the same, and ask for money.
    pub reached: bool,
    pub what: String,
}

/// What is sent to another place than the one for single requests.
pub(super) struct Call {
    /// Below the base URL.
    pub path: String,
    pub query: Vec<(&'static str, String)>,
    pub method: Method,
}

/// What a call does.
pub(super) enum Method {
    Get,
    /// The type of the content and the content.
    Post(String, Vec<u8>),
    Delete,
}

impl Call {
    pub fn get(path: String) -> Self {
        Self { path, query: Vec::new(), method: Method::Get }
    }

    pub fn post(path: String, (kind, content): (String, Vec<u8>)) -> Self {
        Self { path, query: Vec::new(), method: Method::Post(kind, content) }
    }

    pub fn delete(path: String) -> Self {
        Self { path, query: Vec::new(), method: Method::Delete }
    }
}

/// Sends bodies to one endpoint.
pub(super) struct Transport {
    client: Client,
    url: Url,
    endpoint: Endpoint,
    headers: HeaderMap,
    secrets: Vec<String>,
}

impl Transport {
    pub fn new(endpoint: &Endpoint) -> Result<Self, EndpointError> {
        let url = full_url(endpoint, endpoint.protocol.path())?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let own = match endpoint.protocol {
            Protocol::OpenAi => endpoint.key.as_ref().map(|key| ("authorization", format!("Bearer {key}"))),
            Protocol::Anthropic => {
                headers.insert("anthropic-version", HeaderValue::from_static(ANTHROPIC_VERSION));
                endpoint.key.as_ref().map(|key| ("x-api-key", key.clone()))
            }
        };
        let own = own.map(|(name, value)| (name.to_owned(), value));
        for (name, value) in own.iter().chain(&endpoint.headers).chain(&endpoint.open_headers) {
            let wrong = |why| EndpointError::Header { name: name.clone(), why };
            let header = HeaderName::try_from(name.as_str()).map_err(|_| wrong("no name of a header"))?;
            let value = HeaderValue::try_from(value.as_str());
            let mut value = value.map_err(|_| wrong("its value has line breaks or other control characters"))?;
            value.set_sensitive(true);
            headers.insert(header, value);
        }
        // Whoever embeds this may have chosen a provider already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .redirect(Policy::none())
            .connect_timeout(endpoint.timeout.min(Duration::from_secs(20)))
            .timeout(endpoint.timeout)
            .user_agent(concat!("apprentice/", env!("CARGO_PKG_VERSION")))
            .build();
        let client = client.map_err(|error| EndpointError::Setup(error_chain(&error)))?;
        Ok(Self { client, url, endpoint: endpoint.clone(), headers, secrets: secrets(endpoint) })
    }

    pub async fn send(&self, body: Vec<u8>) -> Result<Reply, SendError> {
        self.exchange(self.client.post(self.url.clone()).headers(self.headers.clone()).body(body)).await
    }

    /// Sends something else than a single request. Large content gets more time.
    pub async fn call(&self, call: Call) -> Result<Reply, SendError> {
        let size = if let Method::Post(_, content) = &call.method { content.len() } else { 0 };
        let timeout = self.endpoint.timeout + Duration::from_secs((size / SLOWEST) as u64);
        self.exchange(self.prepared(call)?.timeout(timeout)).await
    }

    /// Asks for something long, line by line; the reply where it is another than the one hoped for. It may take as long as
    /// it wants, if only something comes.
    pub async fn lines(&self, path: String, most: usize) -> Result<Result<Lines<'_>, Reply>, SendError> {
        let request = self.prepared(Call::get(path))?.timeout(Duration::from_hours(24));
        let response = self.in_time(self.sent(request)).await?;
        if response.status().as_u16() != 200 {
            return self.in_time(self.reply(response)).await.map(Err);
        }
        let (line, buffer) = (Vec::new(), Bytes::new());
        Ok(Ok(Lines { transport: self, response, line, buffer, left: most, is_skipping: false }))
    }

    fn prepared(&self, call: Call) -> Result<RequestBuilder, SendError> {
        // The base was a URL with another path, so this is one.
        let url = full_url(&self.endpoint, &call.path);
        let mut url = url.map_err(|error| SendError { reached: false, what: error.to_string() })?;
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        let mut headers = self.headers.clone();
        let request = match call.method {
            Method::Get => self.client.get(url),
            Method::Delete => self.client.delete(url),
            Method::Post(kind, content) => {
                let kind = HeaderValue::try_from(kind).expect("types of content have plain letters: this is a bug");
                headers.insert(CONTENT_TYPE, kind);
                self.client.post(url).body(content)
            }
        };
        Ok(request.headers(headers))
    }

    async fn in_time<T>(&self, response: impl Future<Output = Result<T, SendError>>) -> Result<T, SendError> {
        let late = |_| SendError { reached: true, what: "time-out".to_owned() };
        tokio::time::timeout(self.endpoint.timeout, response).await.map_err(late)?
    }

    async fn exchange(&self, request: RequestBuilder) -> Result<Reply, SendError> {
        self.reply(self.sent(request).await?).await
    }

    async fn sent(&self, request: RequestBuilder) -> Result<Response, SendError> {
        request.send().await.map_err(|error| self.failed(error))
    }

    async fn reply(&self, mut response: Response) -> Result<Reply, SendError> {
        let status = response.status().as_u16();
        let wait = wait(response.headers(), super::now());
        let location = response.headers().get("location").map(|value| String::from_utf8_lossy(value.as_bytes()));
        let location = location.map(|location| self.redacted(&location));
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.failed(error))? {
            if body.len() + chunk.len() > MAX_REPLY {
                let what = format!("a reply of more than {} MiB", MAX_REPLY >> 20);
                return Err(SendError { reached: true, what });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply { status, wait, location, body: self.without_secrets(body) })
    }

    fn failed(&self, error: reqwest::Error) -> SendError {
        let reached = !(error.is_connect() || error.is_builder());
        let what = if error.is_timeout() { "time-out".to_owned() } else { error_chain(&error.without_url()) };
        SendError { reached, what: self.redacted(&what) }
    }

    fn without_secrets(&self, body: Vec<u8>) -> Vec<u8> {
        let repeats = |secret: &String| memchr::memmem::find(&body, secret.as_bytes()).is_some();
        if self.secrets.iter().any(repeats) {
            self.redacted(&String::from_utf8_lossy(&body)).into_bytes()
        } else {
            body
        }
    }

    fn redacted(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "[key]"))
    }
}

/// A long reply, read line by line.
pub(super) struct Lines<'t> {
    transport: &'t Transport,
    response: Response,
    /// What has come of the next line.
    line: Vec<u8>,
    /// What has come behind it.
    buffer: Bytes,
    /// How many bytes may still come.
    left: usize,
    /// Whether the line is too long, and what comes of it is passed over.
    is_skipping: bool,
}

/// A line of a long reply.
pub(super) enum Line {
    /// Whole.
    Whole(Vec<u8>),
    /// The last one, which has no line break behind it: whole or not.
    Last(Vec<u8>),
    /// So long that it was not kept.
    TooLong,
}

impl Lines<'_> {
    /// The next line that is not empty; nothing after the last.
    pub async fn next(&mut self) -> Result<Option<Line>, SendError> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.buffer) {
                self.keep(end);
                self.buffer.advance(1);
                if let Some(line) = self.taken() {
                    return Ok(Some(line));
                }
                continue;
            }
            self.keep(self.buffer.len());
            let (transport, response) = (self.transport, &mut self.response);
            let chunk = async { response.chunk().await.map_err(|error| transport.failed(error)) };
            let Some(chunk) = transport.in_time(chunk).await? else {
                return Ok(self.taken().map(|line| if let Line::Whole(line) = line { Line::Last(line) } else { line }));
            };
            let too_much = || SendError { reached: true, what: "more results than a batch can have".to_owned() };
            self.left = self.left.checked_sub(chunk.len()).ok_or_else(too_much)?;
            self.buffer = chunk;
        }
    }

    /// Moves so many bytes from the buffer to the line.
    fn keep(&mut self, bytes: usize) {
        let more = self.buffer.split_to(bytes);
        self.is_skipping |= self.line.len() + more.len() > MAX_REPLY;
        if self.is_skipping {
            self.line.clear();
        } else {
            self.line.extend_from_slice(&more);
        }
    }

    fn taken(&mut self) -> Option<Line> {
        if std::mem::take(&mut self.is_skipping) {
            return Some(Line::TooLong);
        }
        let line = std::mem::take(&mut self.line);
        (!line.trim_ascii().is_empty()).then(|| Line::Whole(self.transport.without_secrets(line)))
    }
}

fn full_url(endpoint: &Endpoint, path: &str) -> Result<Url, EndpointError> {
    let wrong = |why: &str| EndpointError::Url { url: shown(&endpoint.url), why: why.to_owned() };
    let mut url = Url::parse(&endpoint.url).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("not of the web"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("it holds a user name or password: give keys by environment variables"));
    }
    if !url.has_host() {
        return Err(wrong("no host"));
    }
    let is_secret = |name: &str| is_secret_name(name) || ["sig", "signature", "code"].contains(&&*name.to_lowercase());
    if url.query_pairs().any(|(name, _)| is_secret(&name)) {
        return Err(wrong("its query has what looks like a key: give keys by environment variables"));
    }
    let path = format!("{}/{path}", url.path().trim_end_matches('/'));
    url.set_path(&path);
    url.set_fragment(None);
    Ok(url)
}

/// A URL without what may be secret: of `user:password@host` the host, without the query; of what has no host nothing,
/// because it may be a key in the wrong place.
fn shown(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "…".to_owned() };
    let (hidden, rest) = rest.rsplit_once('@').map_or(("", rest), |(_, rest)| ("…@", rest));
    format!("{scheme}://{hidden}{}", rest.split(['?', '#']).next().unwrap_or_default())
}

/// Whether a header or a parameter of this name usually holds a secret.
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_lowercase();
    ["auth", "key", "token", "cookie", "secret", "password", "credential"].iter().any(|word| name.contains(word))
}

/// Everything that is taken out of replies and errors; longer texts first, so that no half of one is left.
fn secrets(endpoint: &Endpoint) -> Vec<String> {
    /// Words of fewer bytes stand in honest answers.
    const WHOLE: usize = 8;
    const RUN: usize = 12;
    let values = endpoint.key.iter().chain(endpoint.headers.iter().map(|(_, value)| value));
    let secrets = values.flat_map(|secret| {
        // A header may be `Bearer KEY`: its parts are secret too. So are letters and digits in a row, which every escape
        // leaves as they are.
        let parts = secret.split_whitespace().filter(|part| part.len() >= WHOLE);
        let runs = secret.split(|c: char| !c.is_ascii_alphanumeric()).filter(|run| run.len() >= RUN);
        std::iter::once(secret.as_str()).filter(|whole| whole.len() >= WHOLE).chain(parts).chain(runs)
    });
    let mut secrets: Vec<String> = secrets.flat_map(spellings).collect();
    secrets.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    secrets.dedup();
    secrets
}

/// The ways in which a secret may be repeated: as it is, percent-encoded, in JSON with escaped slashes, in hexadecimal
/// digits, in Base64.
fn spellings(secret: &str) -> Vec<String> {
    let url = Url::parse_with_params("http://host/", [("key", secret)]).ok();
    let encoded = url.as_ref().and_then(Url::query).and_then(|query| query.strip_prefix("key=")).map(str::to_owned);
    let hex = secret.bytes().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    let mut spellings = vec![secret.to_owned(), secret.replace('/', "\\/"), hex.to_uppercase(), hex];
    spellings.extend(encoded);
    for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
        spellings.extend((0..3).map(|before| base64_of(&engine, before, secret)));
    }
    spellings
}

/// The characters of Base64 that `secret` alone decides, where so many bytes stand before it in its group of three.
fn base64_of(engine: &impl Engine, before: usize, secret: &str) -> String {
    let encoded = engine.encode([&vec![0; before], secret.as_bytes()].concat());
    let (first, last) = ((8 * before).div_ceil(6), 8 * (before + secret.len()) / 6);
    encoded[first..last].to_owned()
}

/// How long the headers ask to wait: `retry-after-ms`, or `retry-after` in seconds or as a date. Nonsense counts as
/// nothing.
fn wait(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let seconds = |text: &str, unit: f64| {
        let seconds = text.parse::<f64>().ok().map(|number| number * unit).filter(|s| s.is_finite() && *s >= 0.0)?;
        Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
    };
    let date = |text: &str| Some(httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default());
    let milliseconds = text("retry-after-ms").and_then(|text| seconds(text, 1e-3));
    milliseconds.or_else(|| text("retry-after").and_then(|text| seconds(text, 1.0).or_else(|| date(text))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let full = |url: &str| {
            let endpoint = Endpoint { url: url.into(), ..Endpoint::new(Protocol::OpenAi) };
            full_url(&endpoint, endpoint.protocol.path()).map(String::from).map_err(|error| error.to_string())
        };
        assert_eq!(full("http://localhost:8000/v1/").unwrap(), "http://localhost:8000/v1/chat/completions");
        let azure = "https://x.example/openai/deployments/d?api-version=1";
        assert_eq!(full(azure).unwrap(), "https://x.example/openai/deployments/d/chat/completions?api-version=1");
        for (url, why) in [
            ("file:///etc/passwd", "not of the web"),
            ("localhost:8000", "not of the web"),
            ("", "relative URL"),
            ("https://", "empty host"),
        ] {
            assert!(full(url).unwrap_err().contains(why), "{url}: {}", full(url).unwrap_err());
        }
        for url in [
            "https://me:hunter22@x.example/v1",
            "https://me:hunter22@[/v1",
            "https://me:hun?hunter22@x.example/v1",
            "me:hunter22@x.example/v1",
            "hunter22",
            "https://x.example/v1?key=hunter22",
            "https://x.example/v1?api-version=1&SIG=hunter22",
            "https://x.example/v1?X-Goog-Credential=hunter22",
        ] {
            let endpoint = Endpoint { url: url.into(), ..Endpoint::new(Protocol::OpenAi) };
            for text in [full(url).unwrap_err(), format!("{endpoint:?}")] {
                assert!(!text.contains("hun"), "{text}");
            }
        }
        assert!(full("https://me:hunter22@x.example/v1").unwrap_err().contains("…@x.example/v1"));
    }

    #[test]
    fn waits_are_finite_or_nothing() {
        let now = SystemTime::UNIX_EPOCH;
        let asked = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_str(value).unwrap());
            wait(&headers, now).map(|wait| wait.as_secs_f64())
        };
        assert_eq!(asked("retry-after", "2.5"), Some(2.5));
        assert_eq!(asked("retry-after-ms", "40"), Some(0.04));
        assert_eq!(asked("retry-after", "Thu, 01 Jan 1970 00:01:00 GMT"), Some(60.0));
        for nonsense in ["inf", "nan", "-1", "", "soon", "Thu, 01 Jan 100000 00:00:00 GMT"] {
            assert_eq!(asked("retry-after", nonsense), None, "{nonsense}");
        }
        assert!(asked("retry-after", "1e35").unwrap() > 1e18);
    }

    #[test]
    fn secrets_are_taken_out_of_debug_and_of_text() {
        let key = "sk-canary/+keyofsomelength";
        let headers = vec![("x-gateway".to_owned(), "other secret".to_owned())];
        let open_headers = vec![("x-title".to_owned(), "Newspaper".to_owned())];
        let endpoint = Endpoint { key: Some(key.into()), headers, open_headers, ..Endpoint::new(Protocol::OpenAi) };
        let transport = Transport::new(&endpoint).unwrap();
        let text = format!(
            "{endpoint:?} {key} sk-canary%2F%2Bkeyofsomelength sk-canary\\/+keyofsomelength other secret {}",
            "736b2d63616e6172792f2b6b65796f66736f6d656c656e677468"
        );
        let clean = transport.redacted(&text);
        for secret in ["canary", "other secret", "63616e617279", "somelength"] {
            assert!(!clean.contains(secret), "{secret}: {clean}");
        }
        assert!(!format!("{endpoint:?}").contains("canary"));
        // Of an escape that nobody thought of, the longest part is found; and what is no secret stays.
        assert!(transport.redacted("sk-canary&#x2F;&#43;keyofsomelength").ends_with(";[key]"));
        assert_eq!(transport.redacted("The Newspaper, Bearer of news"), "The Newspaper, Bearer of news");
    }

    #[test]
    fn secrets_are_found_in_base64_whatever_stands_around_them() {
        let key = "sk-canary/+key?>";
        let endpoint = Endpoint { key: Some(key.into()), ..Endpoint::new(Protocol::OpenAi) };
        let transport = Transport::new(&endpoint).unwrap();
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            for before in ["", "B", "Be", "Bea"] {
                let encoded = engine.encode(format!("{before}{key}; and more"));
                let clean = transport.redacted(&encoded);
                // What is left of the key are the bits that share a character with its neighbours.
                let key_length = key.len() * 4 / 3;
                assert!(
                    clean.contains("[key]") && clean.len() <= encoded.len() - key_length + 1 + "[key]".len(),
                    "{clean}"
                );
            }
        }
    }
}
