//! The hub over HTTP: one request at a time, and everything that can go wrong with it.
//!
//! Redirects are followed by hand. The token goes to the hub's own host alone, not to those that it sends one to, and no
//! text of a server gets into a message with the token in it.

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

use apprentice_core::error_chain;
use reqwest::{
    Client, Method, Response, StatusCode, Url,
    header::{
        ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, LOCATION, RANGE,
        RETRY_AFTER,
    },
    redirect::Policy,
};
use serde::Deserialize;

use super::{
    FetchEvent, HubError, HubSettings, ModelName, Revision,
    digest::Digest,
    name::{is_commit, stays_inside},
};

const LINKED_ETAG: &str = "x-linked-etag";
const LINKED_SIZE: &str = "x-linked-size";
const COMMIT: &str = "x-repo-commit";
const ERROR_CODE: &str = "x-error-code";
const RATE_LIMIT: &str = "ratelimit";
const MOST_REDIRECTS: usize = 10;
/// The largest list of a model's files, in bytes, and the most files in it.
const LARGEST_LIST: usize = 16 << 20;
const MOST_FILES: usize = 50_000;
/// Attempts without getting on.
const MOST_ATTEMPTS: u32 = 5;
/// What a server may ask to wait.
const LONGEST_WAIT: Duration = Duration::from_mins(5);

/// Why a request did not work.
pub(super) enum Failure {
    /// It may work the next time.
    Passing {
        what: String,
        /// How long the server asks to wait.
        wait: Option<Duration>,
        /// Whether this attempt got on.
        advanced: bool,
    },
    Final(HubError),
}

impl Failure {
    fn passing(what: impl Into<String>) -> Self {
        Self::Passing { what: what.into(), wait: None, advanced: false }
    }
}

impl From<HubError> for Failure {
    fn from(error: HubError) -> Self {
        Self::Final(error)
    }
}

/// How often it was tried.
pub(super) struct Patience {
    attempts: u32,
    first_wait: Duration,
}

impl Patience {
    /// Waits after a failure, or gives up.
    pub async fn bear(&mut self, failure: Failure, watch: &mut dyn FnMut(FetchEvent<'_>)) -> Result<(), HubError> {
        let (problem, asked) = match failure {
            Failure::Final(error) => return Err(error),
            Failure::Passing { what, wait, advanced } => {
                self.attempts = if advanced { 1 } else { self.attempts + 1 };
                (what, wait)
            }
        };
        if self.attempts >= MOST_ATTEMPTS {
            return Err(HubError::Unreachable { problem, attempts: self.attempts });
        }
        if let Some(asked) = asked.filter(|asked| *asked > LONGEST_WAIT) {
            return Err(HubError::Busy { problem, seconds: asked.as_secs() });
        }
        let wait = asked.unwrap_or_else(|| self.first_wait * 2_u32.pow(self.attempts - 1));
        watch(FetchEvent::Retrying { problem: &problem, wait });
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

/// A model's files at a commit.
pub(super) struct Listing {
    pub commit: String,
    pub files: BTreeSet<String>,
}

/// What the hub says of a file.
pub(super) struct RemoteFile {
    pub name: String,
    pub digest: Digest,
    pub size: Option<u64>,
}

/// A content that comes.
pub(super) struct Content {
    pub response: Response,
    /// Where in the file it begins; nothing: the server has no such place.
    pub from: Option<u64>,
}

/// The hub, for one revision of a model.
pub(super) struct Remote<'a> {
    client: Client,
    base: Url,
    token: Option<HeaderValue>,
    secret: Option<String>,
    settings: &'a HubSettings,
    name: &'a ModelName,
    revision: &'a Revision,
}

impl<'a> Remote<'a> {
    pub fn new(settings: &'a HubSettings, name: &'a ModelName, revision: &'a Revision) -> Result<Self, HubError> {
        let base = base(&settings.endpoint)?;
        let secret = settings.token()?;
        let token = secret.as_ref().map(|token| {
            let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| HubError::Setting {
                variable: "HF_TOKEN",
                problem: "it has characters that cannot be sent: expected a token such as hf_…".to_owned(),
            })?;
            value.set_sensitive(true);
            Ok(value)
        });
        // Whoever embeds this may have chosen a provider already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .redirect(Policy::none())
            .no_gzip()
            .connect_timeout(settings.timeout)
            .read_timeout(settings.timeout)
            .user_agent(concat!("apprentice/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| HubError::Protocol { host: host(&base), problem: error_chain(&error) })?;
        Ok(Self { client, base, token: token.transpose()?, secret, settings, name, revision })
    }

    pub fn patience(&self) -> Patience {
        Patience { attempts: 0, first_wait: self.settings.first_wait }
    }

    /// The commit of the revision, and its files.
    pub async fn listing(&self) -> Result<Listing, Failure> {
        #[derive(Deserialize)]
        struct Model {
            sha: String,
            siblings: Vec<Sibling>,
        }
        #[derive(Deserialize)]
        struct Sibling {
            rfilename: String,
        }
        let url = self.url(&["api", "models"], &["revision", self.revision.as_str()]);
        let response = self.send(&Method::GET, url, 0).await?;
        let body = self.whole(response, LARGEST_LIST).await?;
        let model: Model = serde_json::from_slice(&body).map_err(|error| {
            let is_page = body.trim_ascii_start().starts_with(b"<");
            let found = if is_page { "a web page" } else { "something else" };
            let place = format!("line {}, column {}", error.line(), error.column());
            self.protocol(format!("instead of a model's list of files there is {found} ({place})"))
        })?;
        if !is_commit(&model.sha) {
            return Err(self.protocol("the commit in a model's list of files is no hash").into());
        }
        if self.revision.is_commit() && self.revision.as_str() != model.sha {
            return Err(self.protocol("it gives another commit than the one asked for").into());
        }
        if model.siblings.len() > MOST_FILES {
            return Err(self.protocol(format!("it lists more than {MOST_FILES} files for a model")).into());
        }
        let files: BTreeSet<String> = model.siblings.into_iter().map(|file| file.rfilename).collect();
        match files.iter().find(|file| !stays_inside(file)) {
            Some(file) => Err(self.protocol(format!("it lists a file outside the model: {}", self.shown(file))).into()),
            None => Ok(Listing { commit: model.sha, files }),
        }
    }

    /// What the hub says of a file, which is not fetched yet.
    pub async fn file(&self, commit: &str, name: &str) -> Result<RemoteFile, Failure> {
        let response = self.send(&Method::HEAD, self.url(&[], &["resolve", commit, name]), 0).await?;
        let headers = response.headers();
        if header(headers, COMMIT).is_some_and(|found| found != commit) {
            return Err(self.protocol(format!("it gives {name} of another commit")).into());
        }
        let etag = header(headers, LINKED_ETAG).or_else(|| header(headers, ETAG.as_str()));
        let digest = etag.and_then(Digest::of_etag).ok_or_else(|| {
            self.protocol(format!("it gives no hash for {name} (ETag), by which the content could be checked"))
        })?;
        // The length of a redirect is that of another content.
        let length = Some(CONTENT_LENGTH.as_str()).filter(|_| !response.status().is_redirection());
        let size = header(headers, LINKED_SIZE).or_else(|| header(headers, length?));
        Ok(RemoteFile { name: name.to_owned(), digest, size: size.and_then(|size| size.parse().ok()) })
    }

    /// The content of a file, from a place on if the server can do that.
    pub async fn content(&self, commit: &str, name: &str, from: u64) -> Result<Content, Failure> {
        let response = self.send(&Method::GET, self.url(&[], &["resolve", commit, name]), from).await?;
        let from = match response.status() {
            StatusCode::OK => Some(0),
            StatusCode::PARTIAL_CONTENT => header(response.headers(), CONTENT_RANGE.as_str())
                .and_then(|range| range.strip_prefix("bytes ")?.split('-').next()?.parse().ok())
                .filter(|start| *start == from),
            _ => None,
        };
        Ok(Content { response, from })
    }

    /// Why a connection ended.
    pub fn broken(&self, error: reqwest::Error) -> Failure {
        let host = error.url().map_or_else(|| host(&self.base), host);
        let what =
            if error.is_timeout() { "silent for too long".to_owned() } else { error_chain(&error.without_url()) };
        Failure::passing(self.without_secret(&format!("{host}: {what}")))
    }

    /// The URL of something below the model's name.
    fn url(&self, before: &[&str], after: &[&str]) -> Url {
        let mut url = self.base.clone();
        let parts = before.iter().copied().chain(self.name.as_str().split('/')).chain(after.iter().copied());
        url.path_segments_mut().expect("the base is of the web: this is a bug").pop_if_empty().extend(parts);
        url
    }

    async fn send(&self, method: &Method, mut url: Url, from: u64) -> Result<Response, Failure> {
        for _ in 0..=MOST_REDIRECTS {
            // What is compressed would have another length and another hash.
            let mut request = self.client.request(method.clone(), url.clone()).header(ACCEPT_ENCODING, "identity");
            if let Some(token) = self.token.as_ref().filter(|_| self.is_hub(&url)) {
                request = request.header(AUTHORIZATION, token.clone());
            }
            if from > 0 {
                request = request.header(RANGE, format!("bytes={from}-"));
            }
            let response = request.send().await.map_err(|error| self.broken(error))?;
            let is_answer = *method == Method::HEAD && response.headers().contains_key(LINKED_ETAG);
            if is_answer || !response.status().is_redirection() {
                return self.judged(response);
            }
            url = self.next(&url, &response)?;
        }
        Err(self.protocol(format!("it redirects more than {MOST_REDIRECTS} times")).into())
    }

    fn next(&self, url: &Url, response: &Response) -> Result<Url, HubError> {
        target(url, header(response.headers(), LOCATION.as_str())).map_err(|problem| self.protocol(problem))
    }

    fn judged(&self, response: Response) -> Result<Response, Failure> {
        let status = response.status();
        match status.as_u16() {
            200 | 206 | 301..=308 | 416 => Ok(response),
            408 | 425 | 429 | 500..=599 => Err(Failure::Passing {
                what: self.without_secret(&format!("{} answers {status}", host(response.url()))),
                wait: wait(response.headers(), now()),
                advanced: false,
            }),
            // A signed address that has expired: the next attempt is given another.
            _ if !self.is_hub(response.url()) => {
                Err(Failure::passing(self.without_secret(&format!("{} answers {status}", host(response.url())))))
            }
            401 | 403 | 404 => Err(self.refused(response.headers(), status).into()),
            _ => Err(self.protocol(format!("it answers {status}")).into()),
        }
    }

    /// What it means that the hub gives nothing. It answers 401 for models that are not there, too.
    fn refused(&self, headers: &HeaderMap, status: StatusCode) -> HubError {
        let (name, with_token) = (self.name.clone(), self.token.is_some());
        match header(headers, ERROR_CODE) {
            Some("GatedRepo") => HubError::Gated { name, with_token },
            Some("RevisionNotFound") => HubError::NoRevision { name, revision: self.revision.clone() },
            Some("EntryNotFound") => self.protocol(format!("it lists a file that it has not ({status})")),
            _ => HubError::NotFound { name, with_token },
        }
    }

    async fn whole(&self, mut response: Response, most: usize) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(error))? {
            if body.len() + chunk.len() > most {
                return Err(self.protocol(format!("a model's list of files is larger than {} MiB", most >> 20)).into());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn is_hub(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
    }

    pub fn protocol(&self, problem: impl Into<String>) -> HubError {
        HubError::Protocol { host: host(&self.base), problem: problem.into() }
    }

    /// A server's text, fit for a message.
    fn shown(&self, text: &str) -> String {
        let short: String = self.without_secret(text).chars().take(80).collect();
        format!("{short:?}")
    }

    fn without_secret(&self, text: &str) -> String {
        self.secret.as_ref().map_or_else(|| text.to_owned(), |secret| text.replace(secret, "[token]"))
    }
}

/// Where a redirect leads.
fn target(from: &Url, location: Option<&str>) -> Result<Url, &'static str> {
    let next = location.and_then(|location| from.join(location).ok());
    let next = next.filter(|next| matches!(next.scheme(), "http" | "https") && next.has_host());
    match next.ok_or("it redirects to no address of the web")? {
        next if from.scheme() == "https" && next.scheme() == "http" => Err("it redirects from https to http"),
        next => Ok(next),
    }
}

fn base(endpoint: &str) -> Result<Url, HubError> {
    let wrong = |what: &str| {
        // Of `user:password@host` only the host is shown.
        let shown = endpoint.rsplit_once('@').map_or(endpoint.to_owned(), |(_, host)| format!("…@{host}"));
        let problem =
            format!("`{shown}` {what}: expected http:// or https:// with a host, such as https://huggingface.co");
        HubError::Setting { variable: "HF_ENDPOINT", problem }
    };
    let url = Url::parse(endpoint.trim()).map_err(|_| wrong("is no URL"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        Err(wrong("is not of the web"))
    } else if !url.username().is_empty() || url.password().is_some() {
        Err(wrong("has a user name or password"))
    } else if url.query().is_some() || url.fragment().is_some() {
        Err(wrong("has a query"))
    } else {
        Ok(url)
    }
}

fn host(url: &Url) -> String {
    let port = url.port().map_or(String::new(), |port| format!(":{port}"));
    format!("{}{port}", url.host_str().unwrap_or_default())
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

#[expect(clippy::disallowed_methods, reason = "only `Retry-After` as a date needs it")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// How long a server asks to wait: by `Retry-After`, in seconds or as a date, or, where the hub has had too many requests,
/// until its count begins anew (`RateLimit: "resolvers";r=0;t=172`). Nonsense counts as nothing.
fn wait(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let seconds = |text: &str| text.parse().ok().map(Duration::from_secs);
    let date = |text| Some(httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default());
    let after = header(headers, RETRY_AFTER.as_str()).and_then(|text| seconds(text).or_else(|| date(text)));
    let limit = || header(headers, RATE_LIMIT).filter(|limit| limit.split(';').any(|part| part.trim() == "r=0"));
    after.or_else(|| limit()?.split(';').find_map(|part| seconds(part.trim().strip_prefix("t=")?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        for endpoint in ["https://huggingface.co", "http://127.0.0.1:80/hub/", " https://mirror.example/hf\n"] {
            assert!(base(endpoint).is_ok(), "{endpoint}");
        }
        for endpoint in
            ["", "huggingface.co", "file:///etc", "https://", "https://a:b@c.example", "https://c.example/?a"]
        {
            assert!(base(endpoint).is_err(), "{endpoint}");
        }
        let secret = base("https://me:hunter22@c.example").unwrap_err().to_string();
        assert!(secret.contains("c.example") && !secret.contains("hunter22"), "{secret}");
    }

    #[test]
    fn redirects_stay_on_the_web_and_secret() {
        let from = |url: &str, location| target(&Url::parse(url).unwrap(), Some(location)).map(String::from);
        assert_eq!(from("https://a.example/x/y", "/z?1").unwrap(), "https://a.example/z?1");
        assert_eq!(from("http://a.example/x", "https://b.example/").unwrap(), "https://b.example/");
        assert_eq!(from("http://a.example/x", "//b.example/").unwrap(), "http://b.example/");
        assert_eq!(from("https://a.example/x", "http://a.example/x"), Err("it redirects from https to http"));
        for location in ["file:///etc/passwd", "data:,x", "https://"] {
            assert!(from("https://a.example/x", location).is_err(), "{location}");
        }
        assert!(target(&Url::parse("https://a.example").unwrap(), None).is_err());
    }

    #[test]
    fn urls_are_escaped_and_below_the_endpoint() {
        let settings = HubSettings { endpoint: "http://h/v1/".into(), ..HubSettings::new("/c".into()) };
        let (name, revision) = ("a/b".parse().unwrap(), "refs/pr/1".parse().unwrap());
        let remote = Remote::new(&settings, &name, &revision).unwrap();
        let url = remote.url(&["api", "models"], &["revision", revision.as_str()]);
        assert_eq!(url.as_str(), "http://h/v1/api/models/a/b/revision/refs%2Fpr%2F1");
    }

    #[test]
    fn waits_are_finite_or_nothing() {
        let header = |name: &'static str, value: &str| {
            let name = reqwest::header::HeaderName::from_static(name);
            let headers = HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())]);
            wait(&headers, SystemTime::UNIX_EPOCH).map(|wait| wait.as_secs())
        };
        let asked = |value| header("retry-after", value);
        assert_eq!((asked("7"), asked("Thu, 01 Jan 1970 00:01:00 GMT")), (Some(7), Some(60)));
        assert_eq!((asked("-1"), asked("soon"), asked("1e99")), (None, None, None));
        let limit = |value| header("ratelimit", value);
        assert_eq!(limit(r#""resolvers";r=0;t=172"#), Some(172));
        assert_eq!((limit(r#""resolvers";r=2998;t=172"#), limit("r=0"), limit("r=0;t=-1")), (None, None, None));
    }
}
