//! Handing requests over: which ones, in which form, within which limits, and each batch until the provider has it.

use std::collections::HashSet;

use super::super::{
    Endpoint, Form, Protocol, estimate, lock, now_ms, response,
    verdict::Verdict,
    wire::{self, Dialect},
};
use super::{
    Batches, Fetched, Parts, Trouble,
    parts::size,
    results::{self, Sent},
    seek::Sought,
};
use crate::{
    ClientError, Finish, Request, Stop, Usage,
    store::{Attempt, Batch, BatchState, Key, Outcome},
};

impl Batches {
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
            let sent = Sent::read(protocol, sent);
            if &*sent.request.model != model {
                return false;
            }
            let dialect = match results::judge(protocol, &sent, status, body, self.settings.form.is_some()) {
                // A filter that answers with an error may not have looked at the form.
                Verdict::Answered(response) if response.finish != Finish::ContentFilter => sent.dialect,
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

    /// Writes a batch into the store and brings it to the provider.
    async fn hand_over(&self, attempts: Vec<Attempt>) -> Result<(), ClientError> {
        let requests = attempts.len() as u64;
        let Endpoint { protocol, url, .. } = &self.provider.endpoint;
        let batch = self.store.begin_batch(protocol.name(), url.trim_end_matches('/'), attempts, now_ms()).await;
        let mut batch = batch.map_err(|error| self.halt.broken(&error))?;
        let done = self.create(&mut batch).await;
        if let Err(trouble) = done {
            let why = trouble.to_string();
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
}
