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
//! - Files at the provider are deleted once all that they hold is in the store, and not before.

mod handover;
mod parts;
mod provider;
mod results;
mod seek;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde::Serialize;

pub use self::parts::{Parts, Size};
use self::{
    provider::{Provider, Seen, Trouble},
    seek::Sought,
};
use super::{Endpoint, EndpointError, Halt, Settings, Spent, key, lock, now_ms, response, wire::Dialect};
use crate::{
    Answer, Client, ClientError, Listed, Request, Response, Stop, Usage,
    store::{Batch, BatchState, Key, Outcome, Store, StoreError},
};

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
    /// Files that nobody needs any more and that the provider still has, and why.
    pub undeleted: Listed<String>,
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
    dialect: Mutex<Option<Dialect>>,
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

impl Batches {
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

    /// The batches of this endpoint that the provider has, or may have.
    fn open(&self) -> Result<Vec<Batch>, ClientError> {
        let mut batches = self.store.batches().map_err(|error| self.halt.broken(&error))?;
        let Endpoint { protocol, url, .. } = &self.provider.endpoint;
        let url = url.trim_end_matches('/');
        batches.retain(|batch| batch.state.is_open() && batch.protocol == protocol.name() && batch.url == url);
        Ok(batches)
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
                closed.map_err(|_| self.halted())?;
                self.delete_files(batch, &[]).await;
                Ok(None)
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
