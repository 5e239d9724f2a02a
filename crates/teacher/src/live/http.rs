//! One request over the wire, and everything that can go wrong with it.
//!
//! Keys are sent to the configured host alone: redirects are not followed, and what a reply or an error repeats of a key
//! is taken out before anybody sees it.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use reqwest::{
    Client, Url,
    header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
    redirect::Policy,
};
use thiserror::Error;

use super::wire::Protocol;

/// The most bytes that a reply may have once it is decompressed: a long answer has some hundred thousand.
const MAX_REPLY: usize = 8 << 20;
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
        let url = full_url(self)?;
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

/// Sends bodies to one endpoint.
pub(super) struct Transport {
    client: Client,
    url: Url,
    headers: HeaderMap,
    secrets: Vec<String>,
}

impl Transport {
    pub fn new(endpoint: &Endpoint) -> Result<Self, EndpointError> {
        let url = full_url(endpoint)?;
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
        let client = client.map_err(|error| EndpointError::Setup(chain(&error)))?;
        Ok(Self { client, url, headers, secrets: secrets(endpoint) })
    }

    pub async fn send(&self, body: Vec<u8>) -> Result<Reply, SendError> {
        self.exchange(body).await.map_err(|error| SendError { what: self.redacted(&error.what), ..error })
    }

    async fn exchange(&self, body: Vec<u8>) -> Result<Reply, SendError> {
        let failed = |error: reqwest::Error| SendError {
            reached: !(error.is_connect() || error.is_builder()),
            what: if error.is_timeout() { "time-out".to_owned() } else { chain(&error.without_url()) },
        };
        let request = self.client.post(self.url.clone()).headers(self.headers.clone()).body(body);
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status().as_u16();
        let wait = wait(response.headers(), super::now());
        let location = response.headers().get("location").map(|value| String::from_utf8_lossy(value.as_bytes()));
        let location = location.map(|location| self.redacted(&location));
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MAX_REPLY {
                let what = format!("a reply of more than {} MiB", MAX_REPLY >> 20);
                return Err(SendError { reached: true, what });
            }
            body.extend_from_slice(&chunk);
        }
        let repeats = |secret: &String| memchr::memmem::find(&body, secret.as_bytes()).is_some();
        let body = if self.secrets.iter().any(repeats) {
            self.redacted(&String::from_utf8_lossy(&body)).into_bytes()
        } else {
            body
        };
        Ok(Reply { status, wait, location, body })
    }

    fn redacted(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "[key]"))
    }
}

fn full_url(endpoint: &Endpoint) -> Result<Url, EndpointError> {
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
    let path = format!("{}/{}", url.path().trim_end_matches('/'), endpoint.protocol.path());
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

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let full = |url: &str| {
            let endpoint = Endpoint { url: url.into(), ..Endpoint::new(Protocol::OpenAi) };
            full_url(&endpoint).map(String::from).map_err(|error| error.to_string())
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
