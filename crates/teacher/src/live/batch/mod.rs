//! Batches: requests handed over by the thousand for half the price, and answered within a day.
//!
//! Three steps, each of which may be the last one before the process ends: [`Batches::submit`] hands over what the store
//! does not have, [`Batches::look`] fetches what is ready, [`Batches::wait`] does so until nothing is open. Whoever comes
//! later goes on from what the store says.
//!
//! What is promised:
//! - Every step towards the provider is in the store before it is taken. A batch is made once: where a process ended, or
//!   a connection broke, between the request to begin and its reply, the provider's list of batches tells whether there is
//!   one. OpenAI's carry our name for them. Anthropic's carry none, so those of the same size and time are taken for
//!   candidates, and the results of the right one answer our requests. A provider without a list leaves the outcome
//!   unknown, as that of a single request.
//! - Requests and results are attempts like all others. A result is kept as the line that came, before it is read.
//! - What fails within a batch is judged as if it had come by itself, but never asked again by the same process.

mod provider;
mod results;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde::Serialize;

use self::provider::{Provider, Seen, Trouble};
use super::{
    Endpoint, EndpointError, Form, Halt, Protocol, Settings, Spent, estimate, key, lock, now_ms, response,
    verdict::Verdict,
    wire::{self, Dialect},
};
use crate::{
    Answer, Client, ClientError, Listed, Request, Response, Stop, Usage,
    store::{Attempt, Batch, BatchState, Key, Outcome, Store, StoreError},
};

/// How large batches are, and how often they are looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Size {
    /// The most requests of one batch.
    pub requests: usize,
    /// The most bytes of one batch, which are in memory while it is handed over. A request that is larger has a batch of
    /// its own.
    pub bytes: usize,
    /// The pause before the second look at batches, doubled after each further one.
    pub first_look: Duration,
    /// The longest pause between two looks.
    pub longest_look: Duration,
    /// The tokens that an answer is taken to have until it has come, for estimates of the cost.
    pub answer_tokens: u64,
}

impl Size {
    /// The most that the provider takes: 50,000 requests or 200 MB for OpenAI, 100,000 or 256 MB for Anthropic.
    #[must_use]
    pub const fn of(protocol: Protocol) -> Self {
        let (requests, megabytes) = match protocol {
            Protocol::OpenAi => (50_000, 200),
            Protocol::Anthropic => (100_000, 256),
        };
        let (first_look, longest_look) = (Duration::from_millis(500), Duration::from_mins(1));
        Self { requests, bytes: megabytes * 1_000_000, first_look, longest_look, answer_tokens: 256 }
    }
}

/// Cuts requests into batches, in their order.
///
/// ```
/// use apprentice_teacher::{Protocol, live::{Parts, Size}};
/// let mut size = Size::of(Protocol::OpenAi);
/// size.bytes = 1000;
/// let mut parts = Parts::new(size);
/// let starts: Vec<bool> = [400, 600, 1, 5000, 1].map(|bytes| parts.add(bytes)).into();
/// assert_eq!((starts, parts.count()), (vec![true, false, true, true, true], 4));
/// ```
#[derive(Debug, Clone)]
pub struct Parts {
    size: Size,
    requests: usize,
    bytes: usize,
    count: usize,
}

impl Parts {
    /// No request yet.
    #[must_use]
    pub const fn new(size: Size) -> Self {
        Self { size, requests: 0, bytes: 0, count: 0 }
    }

    /// Adds a request of so many bytes, and says whether a batch starts with it.
    pub const fn add(&mut self, bytes: usize) -> bool {
        let starts = self.requests == 0 || self.requests >= self.size.requests || self.bytes + bytes > self.size.bytes;
        if starts {
            (self.requests, self.bytes) = (0, 0);
            self.count += 1;
        }
        self.requests += 1;
        self.bytes += bytes;
        starts
    }

    /// Adds a request as it is sent if nothing else is known of the model; whether a batch starts with it.
    pub fn add_request(&mut self, endpoint: &Endpoint, form: Option<Form>, request: &Request) -> bool {
        let dialect = Dialect { form: form.unwrap_or(Form::Schema), completion_tokens: false };
        let body = wire::body(endpoint.protocol, request, dialect).to_string();
        self.add(size(endpoint.protocol, &key(endpoint, form, request), &body))
    }

    /// How many batches there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }
}

/// What was done with batches so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Fetched {
    /// Batches that were handed over.
    pub submitted: usize,
    /// Batches whose results were fetched.
    pub fetched: usize,
    /// Batches that came to nothing, and why.
    pub failed: Listed<String>,
    /// Lines of results that cannot be read.
    pub unreadable: Listed<String>,
    /// Lines of results about requests that are not in the batch.
    pub foreign: Listed<String>,
    /// Further lines about a request that has one already.
    pub repeated: usize,
    /// Requests without a line, though the provider says that it is through with them: it may ask for them.
    pub missing: u64,
}

/// What the provider still has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Waiting {
    /// Batches whose answers are still to come.
    pub batches: usize,
    /// Their requests.
    pub requests: u64,
    /// Those of them that are through, by the provider's word.
    pub done: u64,
    /// What went wrong with the last look, if anything.
    pub trouble: Option<String>,
}

/// A client for the batch interface of one endpoint.
///
/// As a [`Client`] it gives the answers that are in the store, and says why others are not.
pub struct Batches {
    provider: Provider,
    settings: Settings,
    size: Size,
    store: Arc<Store>,
    /// Nothing until the store was asked what the model takes.
    dialect: Mutex<Option<wire::Dialect>>,
    spent: Mutex<Spent>,
    fetched: Mutex<Fetched>,
    /// Why requests of fetched batches have no answer.
    failures: Mutex<HashMap<Key, ClientError>>,
    /// The limit that kept requests from being handed over.
    limit: Mutex<Option<String>>,
    /// The requests that were taken to be handed over, and about what they will use.
    planned: Mutex<(u64, Usage)>,
    halt: Halt,
    /// When this client was made, in milliseconds since 1970.
    started: u64,
}

/// What came of looking for a batch that may have been made.
enum Sought {
    Found,
    /// It cannot be known yet.
    Open(Option<String>),
    /// There is none.
    Absent,
    /// Nobody can know.
    Unknown(String),
}

impl Batches {
    /// Nobody sends one batch for more milliseconds than that.
    const LONGEST: u64 = 2 * 3_600_000;

    /// A client that keeps what it hands over and what it gets in `store`. The form of answers, if not set, is the one that
    /// the last answers in the store came in, else that of the schema: within a batch it cannot be found out.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub fn new(endpoint: Endpoint, settings: Settings, size: Size, store: Arc<Store>) -> Result<Self, EndpointError> {
        Ok(Self {
            provider: Provider::new(endpoint)?,
            settings,
            size,
            store,
            dialect: Mutex::default(),
            spent: Mutex::default(),
            fetched: Mutex::default(),
            failures: Mutex::default(),
            limit: Mutex::default(),
            planned: Mutex::default(),
            halt: Halt::default(),
            started: now_ms(),
        })
    }

    /// What was handed over and came back so far.
    #[must_use]
    pub fn spent(&self) -> Spent {
        *lock(&self.spent)
    }

    /// What became of batches so far.
    #[must_use]
    pub fn fetched(&self) -> Fetched {
        lock(&self.fetched).clone()
    }

    /// Hands nothing more over and waits no longer. What the provider has it keeps, and can be fetched later.
    pub fn stop(&self, why: Stop) {
        self.halt.stop(why);
    }

    /// Why nothing more is handed over, if so.
    #[must_use]
    pub fn stopped(&self) -> Option<Stop> {
        self.halt.stopped().or_else(|| lock(&self.limit).clone().map(Stop::Limit))
    }

    /// Hands over those requests that are neither answered nor in a batch already, as far as the limits allow: the cost of
    /// a batch, which is known only afterwards, is estimated from its size. `progress` is called after each batch.
    ///
    /// # Errors
    /// The first error of `requests`; what was taken before is not handed over, unless its batch was full. Why it ended
    /// before its time is in [`Self::stopped`].
    pub async fn submit<E>(
        &self,
        requests: impl Iterator<Item = Result<Request, E>>,
        mut progress: impl FnMut(&Fetched),
    ) -> Result<(), E> {
        let (mut parts, mut seen, mut part) = (Parts::new(self.size), HashSet::new(), Vec::new());
        for request in requests {
            let request = request?;
            let key = self.key(&request);
            let is_wanted = self.is_wanted(&key).is_ok_and(|wanted| wanted && seen.insert(key));
            if self.halt.stopped().is_some() {
                return Ok(());
            }
            if !is_wanted {
                continue;
            }
            let body = self.body(&request);
            if let Some(limit) = self.planned(&body) {
                lock(&self.limit).get_or_insert(limit);
                break;
            }
            let starts = parts.add(size(self.provider.endpoint.protocol, &key, &body));
            if starts && !part.is_empty() {
                if self.hand_over(std::mem::take(&mut part)).await.is_err() {
                    return Ok(());
                }
                progress(&lock(&self.fetched));
            }
            part.push(Attempt { key, protocol: self.provider.endpoint.protocol.name(), body, sent: now_ms() });
        }
        if !part.is_empty() && self.halt.stopped().is_none() && self.hand_over(part).await.is_ok() {
            progress(&lock(&self.fetched));
        }
        Ok(())
    }

    /// Looks at every open batch of this endpoint once, and fetches what is ready.
    ///
    /// # Errors
    /// [`ClientError::Stopped`].
    pub async fn look(&self) -> Result<Waiting, ClientError> {
        let (mut waiting, mut gone) = (Waiting::default(), None);
        for mut batch in self.open()? {
            let (done, trouble) = match self.advance(&mut batch).await {
                Ok(None) => continue,
                Ok(Some(done)) => (done, None),
                Err(Trouble::Again { why, .. }) => (0, Some(why)),
                // The others are looked at all the same.
                Err(Trouble::Missing(why) | Trouble::Refused(why)) => {
                    let id = batch.remote.as_deref().unwrap_or(&batch.name);
                    gone.get_or_insert(format!("about batch {id}: {why}"));
                    (0, None)
                }
                Err(Trouble::Stop(stop)) => {
                    self.halt.stop(stop);
                    return Err(self.halt.error());
                }
            };
            waiting.batches += 1;
            waiting.requests += batch.requests();
            waiting.done += done.min(batch.requests());
            waiting.trouble = trouble.or(waiting.trouble);
        }
        if let Some(why) = gone {
            let advice = "check that the key is of the same account; if the batch is gone, give it up";
            self.halt.stop(Stop::Provider { url: self.provider.endpoint.url.clone(), why, advice });
            return Err(self.halt.error());
        }
        Ok(waiting)
    }

    /// Looks at the open batches of this endpoint until there are none; `progress` is called after each look. A provider
    /// that cannot be reached is waited for.
    ///
    /// # Errors
    /// [`ClientError::Stopped`].
    pub async fn wait(&self, mut progress: impl FnMut(&Waiting)) -> Result<(), ClientError> {
        let mut pause = self.size.first_look;
        loop {
            let waiting = self.look().await?;
            progress(&waiting);
            if waiting.batches == 0 {
                return Ok(());
            }
            self.sleep(pause).await?;
            pause = (pause * 2).min(self.size.longest_look);
        }
    }

    /// What is open, by the store's word alone.
    ///
    /// # Errors
    /// [`ClientError::Stopped`] if the store fails.
    pub fn waiting(&self) -> Result<Waiting, ClientError> {
        let open = self.open()?;
        let requests = open.iter().map(Batch::requests).sum();
        Ok(Waiting { batches: open.len(), requests, ..Waiting::default() })
    }

    /// Gives up the open batches of this endpoint, and says how many requests they have. The provider may go on with them
    /// and ask for them; they are of unknown outcome, and are asked again.
    ///
    /// # Errors
    /// [`ClientError::Stopped`] if the store fails.
    pub async fn abandon(&self) -> Result<u64, ClientError> {
        let mut requests = 0;
        for mut batch in self.open()? {
            requests += batch.requests();
            self.close(&mut batch, BatchState::GivenUp, Outcome::Unknown, Some("given up by the user".to_owned()))
                .await?;
        }
        Ok(requests)
    }

    /// Under which key the store keeps answers to this request.
    fn key(&self, request: &Request) -> Key {
        key(&self.provider.endpoint, self.settings.form, request)
    }

    fn body(&self, request: &Request) -> String {
        let dialect = *lock(&self.dialect).get_or_insert_with(|| self.remembered(&request.model));
        wire::body(self.provider.endpoint.protocol, request, dialect).to_string()
    }

    /// The dialect that the latest replies of a model tell of: of those that were answered, and of those that were refused
    /// because of it.
    fn remembered(&self, model: &str) -> Dialect {
        const LATEST: u32 = 1000;
        let protocol = self.provider.endpoint.protocol;
        let (mut form, mut completion_tokens) = (self.settings.form, None);
        let read = self.store.latest(protocol.name(), LATEST, |sent, status, body| {
            let sent = results::Sent::read(protocol, sent);
            if &*sent.request.model != model {
                return false;
            }
            let dialect = match results::judge(protocol, &sent, status, body, self.settings.form.is_some()) {
                Verdict::Answered(_) => sent.dialect,
                Verdict::Adapt { dialect } => dialect,
                _ => return false,
            };
            if sent.request.schema.is_some() {
                form.get_or_insert(dialect.form);
            }
            if sent.is_bounded {
                completion_tokens.get_or_insert(dialect.completion_tokens);
            }
            form.is_some() && completion_tokens.is_some()
        });
        if let Err(error) = read {
            self.halt.broken(&error);
        }
        Dialect { form: form.unwrap_or(Form::Schema), completion_tokens: completion_tokens.unwrap_or(false) }
    }

    /// Whether a request has neither an answer nor a place in a batch.
    fn is_wanted(&self, key: &Key) -> Result<bool, ClientError> {
        let answered = self.store.answer(key, response).map_err(|error| self.halt.broken(&error))?.is_some();
        Ok(!answered && !self.store.waits(key).map_err(|error| self.halt.broken(&error))?)
    }

    /// Counts a request that is to be handed over, unless that would break a limit.
    fn planned(&self, body: &str) -> Option<String> {
        let mut planned = lock(&self.planned);
        let (count, mut expected) = *planned;
        expected += Usage { input: estimate(body), cached: 0, output: self.size.answer_tokens };
        let limit = self.limit(count, expected);
        if limit.is_none() {
            *planned = (count + 1, expected);
        }
        limit
    }

    fn limit(&self, count: u64, expected: Usage) -> Option<String> {
        match (self.settings.max_requests, &self.settings.max_cost) {
            (Some(most), _) if count >= most => Some(format!("the limit of {most} requests")),
            (_, Some((most, price))) if price.in_batch().of(expected) > *most => {
                Some(format!("the limit of {most} on the estimated cost"))
            }
            _ => None,
        }
    }

    /// The batches of this endpoint that the provider has, or may have.
    fn open(&self) -> Result<Vec<Batch>, ClientError> {
        let mut batches = self.store.batches().map_err(|error| self.halt.broken(&error))?;
        let Endpoint { protocol, url, .. } = &self.provider.endpoint;
        let url = url.trim_end_matches('/');
        batches.retain(|batch| batch.state.is_open() && batch.protocol == protocol.name() && batch.url == url);
        Ok(batches)
    }

    /// Writes a batch into the store and brings it to the provider.
    async fn hand_over(&self, attempts: Vec<Attempt>) -> Result<(), ClientError> {
        let requests = attempts.len() as u64;
        let Endpoint { protocol, url, .. } = &self.provider.endpoint;
        let batch = self.store.begin_batch(protocol.name(), url.trim_end_matches('/'), attempts, now_ms()).await;
        let mut batch = batch.map_err(|error| self.halt.broken(&error))?;
        let done = self.create(&mut batch).await;
        if let Err(trouble) = done {
            let why = match &trouble {
                Trouble::Again { why, .. } | Trouble::Missing(why) | Trouble::Refused(why) => why.clone(),
                Trouble::Stop(stop) => stop.to_string(),
            };
            self.halt.stop(self.reason(trouble));
            if !matches!(self.halt.stopped(), Some(Stop::Store(_))) {
                self.close(&mut batch, BatchState::GivenUp, Outcome::Failed, Some(why)).await?;
            }
            return Err(self.halt.error());
        }
        lock(&self.spent).requests += requests;
        lock(&self.fetched).submitted += 1;
        Ok(())
    }

    /// Has the provider begin with a batch. It is open afterwards, or of unknown outcome.
    ///
    /// # Errors
    /// If the provider does not have it.
    async fn create(&self, batch: &mut Batch) -> Result<(), Trouble> {
        let protocol = self.provider.endpoint.protocol;
        if protocol == Protocol::OpenAi {
            let file = self.patiently(async || self.provider.upload(self.content(batch)?).await).await?;
            batch.file = Some(file);
            batch.state = BatchState::Uploaded;
            self.kept(self.store.keep_batch(batch).await)?;
        }
        let mut last = None;
        for attempt in 0..self.settings.attempts.max(1) {
            batch.state = BatchState::Creating;
            batch.sent = Some(now_ms());
            self.kept(self.store.keep_batch(batch).await)?;
            let content = if protocol == Protocol::Anthropic { Some(self.content(batch)?) } else { None };
            match self.provider.create(batch, content).await {
                Ok(id) => return self.found(batch, id).await,
                Err(Trouble::Again { why, is_unclear: true, .. }) => match self.seek(batch, now_ms()).await {
                    Ok(Sought::Found | Sought::Open(_)) => return Ok(()),
                    Ok(Sought::Unknown(list)) => return self.lost(batch, &format!("{why}; its list: {list}")).await,
                    // It may be there: it stays open, and is sought again.
                    Err(trouble) => {
                        self.halt.stop(self.reason(trouble));
                        return Ok(());
                    }
                    Ok(Sought::Absent) => last = Some(Trouble::Again { wait: None, why, is_unclear: false }),
                },
                Err(Trouble::Again { wait, why, .. }) => {
                    self.rest(attempt, wait).await?;
                    last = Some(Trouble::Again { wait, why, is_unclear: false });
                }
                Err(trouble) => return Err(trouble),
            }
        }
        Err(last.unwrap_or_else(|| Trouble::Refused("no attempt was allowed".to_owned())))
    }

    async fn found(&self, batch: &mut Batch, id: String) -> Result<(), Trouble> {
        batch.remote = Some(id);
        batch.state = BatchState::Created;
        self.kept(self.store.keep_batch(batch).await)
    }

    /// Nobody knows whether the provider has this batch.
    async fn lost(&self, batch: &mut Batch, why: &str) -> Result<(), Trouble> {
        let why = format!("nobody knows whether the provider has it ({why})");
        self.fail_rest(batch, &why)?;
        self.close(batch, BatchState::GivenUp, Outcome::Unknown, Some(why)).await.map_err(|_| self.halted())
    }

    /// What is sent of a batch, with its type.
    fn content(&self, batch: &Batch) -> Result<(String, Vec<u8>), Trouble> {
        let (protocol, frame) = (self.provider.endpoint.protocol, self.provider.frame(batch));
        let mut content = frame.head;
        let mut is_first = true;
        self.kept(self.store.members(batch, |key, body| {
            if !std::mem::take(&mut is_first) {
                content.push_str(frame.between);
            }
            content.push_str(&wire::enveloped(protocol, key, body));
        }))?;
        content.push_str(&frame.tail);
        Ok((frame.kind, content.into_bytes()))
    }

    /// Looks whether the provider has a batch that it was told to begin with. `told` is when, at the latest, it had all of
    /// that, in milliseconds since 1970: until it has had as long as a reply may take, it may still be about to.
    async fn seek(&self, batch: &mut Batch, told: u64) -> Result<Sought, Trouble> {
        const PAUSE: Duration = Duration::from_secs(2);
        let settled = told + self.provider.endpoint.timeout.as_millis() as u64;
        loop {
            let now = now_ms();
            match self.find(batch).await? {
                Sought::Absent if now < settled => {
                    self.nap(Duration::from_millis(settled - now).min(PAUSE)).await?;
                }
                sought => return Ok(sought),
            }
        }
    }

    /// When the provider was told to begin, at the latest: an earlier process may have been sending until this one had the
    /// store.
    fn told(&self, batch: &Batch) -> u64 {
        let sent = batch.sent.unwrap_or(batch.written);
        self.started.clamp(sent, sent + Self::LONGEST)
    }

    /// Looks once at the provider's list of batches.
    async fn find(&self, batch: &mut Batch) -> Result<Sought, Trouble> {
        let candidates = match self.patiently(async || self.provider.candidates(batch).await).await {
            Ok(candidates) => candidates,
            Err(Trouble::Again { why, .. }) => return Ok(Sought::Open(Some(why))),
            Err(Trouble::Missing(why) | Trouble::Refused(why)) => return Ok(Sought::Unknown(why)),
            Err(stop @ Trouble::Stop(_)) => return Err(stop),
        };
        let known: Vec<Batch> = self.kept(self.store.batches())?;
        let is_known = |id: &str| known.iter().any(|known| known.remote.as_deref() == Some(id));
        let mut open = None;
        for candidate in candidates.into_iter().filter(|candidate| !is_known(&candidate.id)) {
            let is_ours = candidate.is_ours
                || candidate.has_ended && {
                    match self.answers(&candidate.id, batch).await {
                        Ok(answers) => answers,
                        Err(stop @ Trouble::Stop(_)) => return Err(stop),
                        Err(Trouble::Again { why, .. }) => {
                            open = Some(Some(why));
                            false
                        }
                        // Results that nobody can have are not ours: ours are new.
                        Err(_) => false,
                    }
                };
            if is_ours {
                self.found(batch, candidate.id).await?;
                return Ok(Sought::Found);
            }
            if !candidate.has_ended {
                open.get_or_insert(None);
            }
        }
        Ok(open.map_or(Sought::Absent, Sought::Open))
    }

    /// Brings an open batch as far as it goes now. How many requests are through, if it stays open.
    async fn advance(&self, batch: &mut Batch) -> Result<Option<u64>, Trouble> {
        if batch.state == BatchState::Creating {
            match self.seek(batch, self.told(batch)).await? {
                Sought::Found => {}
                Sought::Open(None) => return Ok(Some(0)),
                Sought::Open(Some(why)) => return Err(Trouble::Again { wait: None, why, is_unclear: false }),
                Sought::Absent => {
                    let why = "the provider was never told to begin".to_owned();
                    let closed = self.close(batch, BatchState::GivenUp, Outcome::Failed, Some(why)).await;
                    return closed.map(|()| None).map_err(|_| self.halted());
                }
                Sought::Unknown(why) => return self.lost(batch, &why).await.map(|()| None),
            }
        }
        match self.patiently(async || self.provider.look(batch).await).await? {
            Seen::Running { done } => Ok(Some(done)),
            Seen::Failed(why) => {
                let failure = ClientError::Rejected { why: format!("its batch failed: {why}") };
                self.kept(self.store.members(batch, |key, _| {
                    lock(&self.failures).insert(*key, failure.clone());
                }))?;
                let closed = self.close(batch, BatchState::Failed, Outcome::Failed, Some(why)).await;
                closed.map(|()| None).map_err(|_| self.halted())
            }
            Seen::Ended(results) => self.fetch(batch, &results).await.map(|()| None),
        }
    }

    /// Nothing more is expected of a batch; `rest` became of its requests without an answer.
    async fn close(
        &self,
        batch: &mut Batch,
        state: BatchState,
        rest: Outcome,
        why: Option<String>,
    ) -> Result<(), ClientError> {
        batch.state = state;
        batch.closed = Some(now_ms());
        batch.why = why;
        self.store.close_batch(batch, rest).await.map_err(|error| self.halt.broken(&error))?;
        if rest == Outcome::Unknown && state == BatchState::GivenUp {
            lock(&self.spent).unknown += batch.requests();
        }
        let mut fetched = lock(&self.fetched);
        match &batch.why {
            None => fetched.fetched += 1,
            Some(why) => {
                let id = batch.remote.as_deref().unwrap_or(&batch.name);
                fetched.failed.push(format!("batch {id} of {} requests: {why}", batch.requests()));
            }
        }
        Ok(())
    }

    /// Tries until it works, or until there is no use in it.
    async fn patiently<T>(&self, attempt: impl AsyncFn() -> Result<T, Trouble>) -> Result<T, Trouble> {
        let attempts = self.settings.attempts.max(1);
        for number in 1.. {
            let tried = tokio::select! {
                tried = attempt() => tried,
                () = self.halt.until_stopped() => return Err(self.halted()),
            };
            match tried {
                Err(Trouble::Again { wait, .. }) if number < attempts => self.rest(number - 1, wait).await?,
                tried => return tried,
            }
        }
        Err(self.halted())
    }

    /// The pause after an attempt that failed.
    async fn rest(&self, attempt: u32, wait: Option<Duration>) -> Result<(), Trouble> {
        self.nap(self.settings.pause(attempt, wait)).await
    }

    async fn nap(&self, pause: Duration) -> Result<(), Trouble> {
        self.sleep(pause).await.map_err(|_| self.halted())
    }

    async fn sleep(&self, pause: Duration) -> Result<(), ClientError> {
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(()),
            () = self.halt.until_stopped() => Err(self.halt.error()),
        }
    }

    fn halted(&self) -> Trouble {
        Trouble::Stop(self.halt.stopped().unwrap_or(Stop::Interrupted))
    }

    fn kept<T>(&self, kept: Result<T, StoreError>) -> Result<T, Trouble> {
        kept.map_err(|error| {
            self.halt.broken(&error);
            self.halted()
        })
    }

    /// Why a job ends that could not hand over a batch.
    fn reason(&self, trouble: Trouble) -> Stop {
        let (why, advice) = match trouble {
            Trouble::Stop(stop) => return stop,
            Trouble::Again { why, .. } => (why, "try again later"),
            Trouble::Missing(why) => (why, "check the base URL: not every server takes batches"),
            Trouble::Refused(why) => (why, "the batch was refused as a whole: correct the settings"),
        };
        Stop::Provider { url: self.provider.endpoint.url.clone(), why, advice }
    }

    fn answered(&self, request: &Request) -> Result<Response, ClientError> {
        let key = self.key(request);
        let stored = self.store.answer(&key, response).map_err(|error| self.halt.broken(&error))?;
        if let Some(response) = stored {
            return Ok(response);
        }
        if let Some(failure) = lock(&self.failures).get(&key) {
            return Err(failure.clone());
        }
        let waits = self.store.waits(&key).map_err(|error| self.halt.broken(&error))?;
        let why = if waits { "it is in a batch whose answers are still to come" } else { "it was not handed over" };
        Err(ClientError::Later { why })
    }
}

impl Client for Batches {
    fn complete<'a>(&'a self, request: &'a Request) -> Answer<'a> {
        Box::pin(async { self.answered(request) })
    }
}

/// How many bytes a request has in a batch.
fn size(protocol: Protocol, key: &Key, body: &str) -> usize {
    wire::enveloped(protocol, key, "").len() + body.len() + 1
}
