//! Live teachers: clients for OpenAI-compatible and Anthropic endpoints that retry, keep to limits, and write every
//! attempt into a [`Store`] before they look at it.
//!
//! One attempt is: wait for a place (`governor`), write into the store that the request is about to be sent, send it
//! (`http`), write down what came back, read it (`wire`), decide (`verdict`).

mod batch;
mod governor;
mod http;
mod prices;
mod verdict;
mod wire;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rand::RngExt;
use serde::Serialize;
use tokio::sync::Notify;

pub use self::{
    batch::{Batches, Fetched, Parts, Size, Waiting},
    governor::Limits,
    http::{Endpoint, EndpointError, is_secret_name},
    prices::{Price, Prices, PricesError},
    wire::{Form, Protocol},
};
use self::{
    governor::{Governor, Load},
    http::{SendError, Transport},
    verdict::{Known, Verdict},
    wire::Dialect,
};
use crate::{
    Answer, Client, ClientError, Request, Response, Stop, Usage,
    store::{Attempt, Ended, Key, Outcome, Store, StoreError, Stored},
};

/// How stubborn a client is, and what it may spend.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Settings {
    /// How fast it may ask.
    pub limits: Limits,
    /// How often one request is sent at most.
    pub attempts: u32,
    /// The pause after the first failure, doubled after each further one, drawn between nothing and this.
    pub first_pause: Duration,
    /// The longest pause, whatever a provider asks for.
    pub longest_pause: Duration,
    /// How a model is held to the form of the answer; found out if not given.
    pub form: Option<Form>,
    /// The most requests that are sent; none: as many as it takes.
    pub max_requests: Option<u64>,
    /// The most that is spent, with what the tokens cost.
    pub max_cost: Option<(f64, Price)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            attempts: 6,
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_mins(2),
            form: None,
            max_requests: None,
            max_cost: None,
        }
    }
}

impl Settings {
    /// Full jitter: between nothing and the exponential bound, so that many clients do not come back together. A
    /// provider's own wish is kept to, with a little on top for the same reason.
    fn pause(&self, attempt: u32, wait: Option<Duration>) -> Duration {
        let mut random = rand::rng();
        let longest = self.longest_pause;
        if let Some(wait) = wait {
            return wait.min(longest).mul_f64(random.random_range(1.0..1.1));
        }
        let bound = self.first_pause.saturating_mul(1 << attempt.min(20)).min(longest);
        bound.mul_f64(random.random_range(0.0..=1.0))
    }
}

/// What a client has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Spent {
    /// Requests that were sent.
    pub requests: u64,
    /// Requests of which nobody knows whether the provider has done the work, and asks for money.
    pub unknown: u64,
    /// Tokens of all answers.
    pub usage: Usage,
}

/// A client for one endpoint.
pub struct Live {
    endpoint: Endpoint,
    settings: Settings,
    transport: Transport,
    governor: Governor,
    store: Arc<Store>,
    dialect: Mutex<Dialect>,
    spent: Mutex<Spent>,
    halt: Halt,
    /// Whether any request was answered: then key, model and URL are right.
    answered: AtomicBool,
    /// How many requests were rejected before any was answered.
    rejected: AtomicU32,
    /// How many attempts in a row reached nobody.
    unreached: AtomicU32,
    /// Who asks what at the moment.
    gates: Mutex<HashMap<Key, Arc<tokio::sync::Mutex<()>>>>,
    /// A running mean of the tokens of answers, for estimates.
    output_tokens: AtomicU64,
}

impl Live {
    /// After so many rejected requests and no answer, the next ones would be rejected too.
    const REJECTED: u32 = 5;
    /// After so many attempts that reached nobody, nobody is there.
    const UNREACHED: u32 = 8;

    /// A client that keeps what it gets in `store`.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub fn new(endpoint: Endpoint, settings: Settings, store: Arc<Store>) -> Result<Self, EndpointError> {
        let transport = Transport::new(&endpoint)?;
        let governor = Governor::new(&settings.limits);
        let dialect = Dialect { form: settings.form.unwrap_or(Form::Schema), completion_tokens: false };
        Ok(Self {
            endpoint,
            settings,
            transport,
            governor,
            store,
            dialect: Mutex::new(dialect),
            spent: Mutex::default(),
            halt: Halt::default(),
            answered: AtomicBool::new(false),
            rejected: AtomicU32::new(0),
            unreached: AtomicU32::new(0),
            gates: Mutex::default(),
            output_tokens: AtomicU64::new(256),
        })
    }

    /// Under which key the store keeps answers to this request.
    #[must_use]
    pub fn key(&self, request: &Request) -> Key {
        key(&self.endpoint, self.settings.form, request)
    }

    /// What was done so far.
    #[must_use]
    pub fn spent(&self) -> Spent {
        *lock(&self.spent)
    }

    /// Sends nothing more; what is in flight is still waited for.
    pub fn stop(&self, why: Stop) {
        self.halt.stop(why);
    }

    /// Why nothing more is sent, if so.
    #[must_use]
    pub fn stopped(&self) -> Option<Stop> {
        self.halt.stopped()
    }

    /// Asks, unless the store has the answer; of two requests with the same key the second waits for the first.
    async fn ask(&self, request: &Request) -> Result<Response, ClientError> {
        let key = self.key(request);
        let gate = lock(&self.gates).entry(key).or_default().clone();
        let held = gate.lock().await;
        let answer = match self.stored(&key)? {
            Some(response) => {
                self.answered.store(true, Ordering::Relaxed);
                Ok(response)
            }
            None if self.store.waits(&key).map_err(|error| self.broken(&error))? => {
                Err(ClientError::Later { why: "it is in a batch whose answers are still to come" })
            }
            None => self.fetch(request, &key).await,
        };
        drop(held);
        let mut gates = lock(&self.gates);
        // Nobody else waits: the map has one, and here is one.
        if Arc::strong_count(&gate) == 2 {
            gates.remove(&key);
        }
        answer
    }

    /// The answer that the store has under this key.
    ///
    /// # Errors
    /// [`ClientError::Stopped`] if the store cannot be read.
    pub fn stored(&self, key: &Key) -> Result<Option<Response>, ClientError> {
        self.store.answer(key, response).map_err(|error| self.broken(&error))
    }

    async fn fetch(&self, request: &Request, key: &Key) -> Result<Response, ClientError> {
        let mut last = String::new();
        for attempt in 0..self.settings.attempts.max(1) {
            // A server of another dialect is no failure of the attempt.
            loop {
                match self.attempt(request, key).await? {
                    Verdict::Answered(response) => return Ok(response),
                    Verdict::Adapt { dialect } => *lock(&self.dialect) = dialect,
                    Verdict::Rejected(why) => return Err(self.reject(why)),
                    Verdict::Stop { why, advice } => {
                        self.stop(Stop::Provider { url: self.endpoint.url.clone(), why, advice });
                        return Err(self.must_stop());
                    }
                    Verdict::Again { wait, why } => {
                        last = why;
                        if attempt + 1 < self.settings.attempts {
                            tokio::select! {
                                () = tokio::time::sleep(self.settings.pause(attempt, wait)) => {}
                                () = self.halt.until_stopped() => {}
                            }
                        }
                        break;
                    }
                }
            }
        }
        Err(ClientError::Exhausted { attempts: self.settings.attempts.max(1), last })
    }

    /// One request over the wire, in the store before and after.
    async fn attempt(&self, request: &Request, key: &Key) -> Result<Verdict, ClientError> {
        let dialect = *lock(&self.dialect);
        let body = wire::body(self.endpoint.protocol, request, dialect).to_string();
        let expected = self.output_tokens.load(Ordering::Relaxed);
        let prompt_tokens = estimate(&body);
        let pass = tokio::select! {
            pass = self.governor.admit(prompt_tokens + expected) => pass,
            () = self.halt.until_stopped() => return Err(self.must_stop()),
        };
        self.count_request()?;
        let attempt =
            Attempt { key: *key, protocol: self.endpoint.protocol.name(), body: body.clone(), sent: now_ms() };
        let id = self.store.begin(attempt).await.map_err(|error| self.broken(&error))?;
        let started = std::time::Instant::now();
        let sent = self.transport.send(body.into_bytes()).await;
        let latency = started.elapsed();
        let ended = match &sent {
            Ok(reply) => Ended { status: Some(reply.status), body: reply.body.clone(), error: None, latency },
            Err(error) => Ended { status: None, body: Vec::new(), error: Some(error.what.clone()), latency },
        };
        self.store.end(id, ended).await.map_err(|error| self.broken(&error))?;
        let reply = match sent {
            Ok(reply) => reply,
            Err(error) => {
                let outcome = if error.reached { Outcome::Unknown } else { Outcome::Failed };
                lock(&self.spent).unknown += u64::from(error.reached);
                self.store.note(id, outcome, None);
                pass.done(Load::Unknown, None);
                return Ok(self.unreached(error));
            }
        };
        // What is no answer may have been paid for all the same. Who does not say what it cost is taken at an estimate.
        let (read, said) = wire::read(self.endpoint.protocol, reply.status, &reply.body);
        let usage = said.or_else(|| wire::estimated(&read, prompt_tokens, expected));
        let client = Known {
            dialect: *lock(&self.dialect),
            any_answered: self.answered.load(Ordering::Relaxed),
            is_form_forced: self.settings.form.is_some(),
        };
        let verdict = verdict::of(&reply, read, request, dialect, client);
        self.unreached.store(0, Ordering::Relaxed);
        let outcome = match &verdict {
            Verdict::Answered(response) => Outcome::of(response.finish),
            _ => Outcome::Failed,
        };
        self.store.note(id, outcome, usage);
        let load = match &verdict {
            Verdict::Answered(_) => Load::Taken,
            Verdict::Again { .. } if verdict::is_overload(reply.status) => Load::Refused,
            _ => Load::Unknown,
        };
        if let (Load::Refused, Some(wait)) = (load, reply.wait) {
            self.governor.pause(wait.min(self.settings.longest_pause));
        }
        if let Verdict::Answered(_) = verdict {
            self.answered.store(true, Ordering::Relaxed);
        }
        if let Some(usage) = usage {
            let mean = (expected * 15 + usage.output) / 16;
            self.output_tokens.store(mean, Ordering::Relaxed);
            lock(&self.spent).usage += usage;
        }
        pass.done(load, usage.map(|usage| usage.input + usage.output));
        Ok(verdict)
    }

    /// After so many attempts in a row that did not reach anybody, and no answer before, the address is wrong.
    fn unreached(&self, error: SendError) -> Verdict {
        let first = !error.reached && !self.answered.load(Ordering::Relaxed);
        if first && self.unreached.fetch_add(1, Ordering::Relaxed) + 1 >= Self::UNREACHED {
            return Verdict::Stop { why: error.what, advice: "check the base URL, and whether the server runs" };
        }
        Verdict::Again { wait: None, why: error.what }
    }

    /// Counts one request, unless there may be no more.
    fn count_request(&self) -> Result<(), ClientError> {
        let mut spent = lock(&self.spent);
        let limit = match (&self.settings.max_requests, &self.settings.max_cost) {
            (Some(most), _) if spent.requests >= *most => Some(format!("the limit of {most} requests")),
            (_, Some((most, price))) if price.of(spent.usage) >= *most => {
                Some(format!("the limit of {most} on the cost"))
            }
            _ => None,
        };
        if let Some(limit) = limit {
            self.stop(Stop::Limit(limit));
        }
        if self.stopped().is_some() {
            return Err(self.must_stop());
        }
        spent.requests += 1;
        Ok(())
    }

    fn reject(&self, why: String) -> ClientError {
        let first = !self.answered.load(Ordering::Relaxed);
        if first && self.rejected.fetch_add(1, Ordering::Relaxed) + 1 >= Self::REJECTED {
            let advice = "every request so far was refused: correct the settings or the prompt";
            self.stop(Stop::Provider { url: self.endpoint.url.clone(), why: why.clone(), advice });
        }
        ClientError::Rejected { why }
    }

    fn broken(&self, error: &StoreError) -> ClientError {
        self.halt.broken(error)
    }

    fn must_stop(&self) -> ClientError {
        self.halt.error()
    }
}

/// Whether, and why, nothing more is sent.
#[derive(Default)]
struct Halt {
    why: Mutex<Option<Stop>>,
    /// Wakes who waits for a place or a pause to end.
    stopping: Notify,
}

impl Halt {
    /// The first reason counts.
    fn stop(&self, why: Stop) {
        lock(&self.why).get_or_insert(why);
        self.stopping.notify_waiters();
    }

    fn stopped(&self) -> Option<Stop> {
        lock(&self.why).clone()
    }

    /// Ends once nothing more is sent.
    async fn until_stopped(&self) {
        let stopping = self.stopping.notified();
        if self.stopped().is_none() {
            stopping.await;
        }
    }

    fn broken(&self, error: &StoreError) -> ClientError {
        self.stop(Stop::Store(error.to_string()));
        self.error()
    }

    fn error(&self) -> ClientError {
        ClientError::Stopped(self.stopped().unwrap_or(Stop::Interrupted))
    }
}

impl Client for Live {
    fn complete<'a>(&'a self, request: &'a Request) -> Answer<'a> {
        Box::pin(self.ask(request))
    }
}

/// Under which key a store keeps answers of this endpoint to this request: a hash of all that decides about the answer,
/// with the form if the user has chosen one.
#[must_use]
pub fn key(endpoint: &Endpoint, form: Option<Form>, request: &Request) -> Key {
    #[derive(Serialize)]
    struct Whole<'r> {
        protocol: &'static str,
        url: &'r str,
        model: &'r str,
        messages: &'r [crate::Message],
        parameters: &'r crate::Parameters,
        schema: Option<&'r serde_json::Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        form: Option<Form>,
        sample: u32,
    }
    let Request { model, messages, parameters, schema, sample, .. } = request;
    let (protocol, url) = (endpoint.protocol.name(), endpoint.url.trim_end_matches('/'));
    Key::of(&Whole { protocol, url, model, messages, parameters, schema: schema.as_deref(), form, sample: *sample })
}

/// The answer in a stored reply, if it is one.
fn response(stored: &Stored) -> Option<Response> {
    let response = wire::read(stored.protocol.parse().ok()?, stored.status, &stored.body).0.ok()?;
    Some(Response { is_batched: stored.is_batched, ..response })
}

/// What a stored reply says, for [`Store::open`]: pure, so that it can be read again at any time.
#[must_use]
pub fn read(protocol: &str, status: u16, body: &[u8]) -> (Outcome, Option<Usage>) {
    match protocol.parse().map(|protocol| wire::read(protocol, status, body).0) {
        Ok(Ok(response)) => (Outcome::of(response.finish), response.usage),
        _ => (Outcome::Failed, None),
    }
}

/// About how many tokens a text has: four bytes each, as OpenAI says of English.
#[must_use]
pub fn estimate(text: &str) -> u64 {
    text.len().div_ceil(4) as u64
}

/// About how many tokens the messages of a request have.
#[must_use]
pub fn estimate_of(request: &Request) -> u64 {
    request.messages.iter().map(|message| estimate(&message.content)).sum()
}

/// The clock: what comes back from a provider depends on the time anyway.
fn now() -> SystemTime {
    #[expect(clippy::disallowed_methods, reason = "when a request was sent is what the store is to say")]
    SystemTime::now()
}

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// Counters hold whatever panics elsewhere.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
