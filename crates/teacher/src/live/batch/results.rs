//! Fetching the results of a batch: line by line, each in the store before it is judged.

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures_util::future::try_join_all;
use serde_json::Value;

use super::super::{
    estimate,
    http::{self, Lines, Reply},
    lock, now_ms,
    verdict::{self, Known, Verdict},
    wire::{self, Dialect, Form, Protocol},
};
use super::{Batches, Trouble, provider::Results};
use crate::{
    ClientError, Listed, Request, Stop,
    store::{Batch, BatchState, Ended, Key, Member, Outcome},
};

/// Lines that are written with one commit.
const TOGETHER: usize = 256;

/// What a stored body says of its request.
pub(super) struct Sent {
    /// The model, and whether the answer was to follow a schema; nothing else.
    pub request: Request,
    pub dialect: Dialect,
    /// Whether the answer had a bound.
    pub is_bounded: bool,
}

impl Sent {
    pub fn read(protocol: Protocol, body: &str) -> Self {
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        let (form, completion_tokens) = wire::shown(protocol, &body);
        let mut request = Request::new(body["model"].as_str().unwrap_or_default(), Vec::new());
        request.schema = form.map(|_| Arc::new(Value::Null));
        let dialect =
            Dialect { form: form.unwrap_or(Form::Text), completion_tokens: completion_tokens.unwrap_or(false) };
        Self { request, dialect, is_bounded: completion_tokens.is_some() }
    }
}

/// The verdict on a stored reply.
pub(super) fn judge(protocol: Protocol, sent: &Sent, status: u16, body: &[u8], is_form_forced: bool) -> Verdict {
    let reply = Reply { status, wait: None, location: None, body: body.to_vec() };
    let known = Known { dialect: sent.dialect, any_answered: true, is_form_forced };
    verdict::of(&reply, wire::read(protocol, status, body).0, &sent.request, sent.dialect, known)
}

/// What was found in the results of a batch.
#[derive(Default)]
struct Sheet {
    lines: u64,
    /// The requests that have a line.
    seen: HashSet<i64>,
    unreadable: Listed<String>,
    foreign: Listed<String>,
    repeated: usize,
}

impl Batches {
    /// Fetches the results of a batch that has ended, and closes it.
    ///
    /// # Errors
    /// If they are not whole; what has come is kept.
    pub(super) async fn fetch(&self, batch: &mut Batch, results: &Results) -> Result<(), Trouble> {
        let attempts = self.settings.attempts.max(1);
        for attempt in 1.. {
            let trouble = match self.download(batch, results).await {
                // Where lines are missing, the connection may have ended early without a word; at last they count as missing.
                Ok(sheet) if sheet.lines >= results.lines || attempt >= attempts => {
                    return self.settle(batch, results, sheet).await;
                }
                Ok(_) => None,
                Err(Trouble::Again { wait, .. }) if attempt < attempts => wait,
                Err(Trouble::Missing(why)) => return self.gone(batch, &why).await,
                Err(trouble) => return Err(trouble),
            };
            self.rest(attempt - 1, trouble).await?;
        }
        Err(self.halted())
    }

    /// Closes a batch whose results are in the store.
    async fn settle(&self, batch: &mut Batch, results: &Results, sheet: Sheet) -> Result<(), Trouble> {
        let seen = sheet.seen.len() as u64;
        let missing = results.lines.min(batch.requests()).saturating_sub(seen);
        // Which of them are missing, and which were never asked, cannot be told where both are.
        let (rest, why) = match &results.cut {
            _ if missing > 0 => (Outcome::Unknown, "its batch has no result for it, though the provider has done it"),
            Some(_) => (Outcome::Failed, "its batch ended before it was asked"),
            None => (Outcome::Failed, "its batch has no result for it"),
        };
        self.fail_rest(batch, why)?;
        self.close(batch, BatchState::Fetched, rest, None).await.map_err(|_| self.halted())?;
        // Where anything is not in the store, the files are all that is left of it. How many lines there should be is the
        // provider's word, which may be less than what it asks for.
        let is_whole = seen == batch.requests() && sheet.unreadable.is_empty() && sheet.foreign.is_empty();
        lock(&self.spent).unknown += missing;
        self.count_sheet(sheet, missing);
        if is_whole {
            self.delete_files(batch, &results.files).await;
        }
        Ok(())
    }

    fn count_sheet(&self, sheet: Sheet, missing: u64) {
        let mut fetched = lock(&self.fetched);
        fetched.missing += missing;
        fetched.repeated += sheet.repeated;
        fetched.unreadable.extend(sheet.unreadable);
        fetched.foreign.extend(sheet.foreign);
    }

    /// Has the provider delete the files of a closed batch that nobody needs any more: that of the requests, and those of
    /// the results. It is asked once, because results of other batches wait. What stays is noted; so it is not if the
    /// process ends here.
    pub(super) async fn delete_files(&self, batch: &Batch, results: &[String]) {
        for file in batch.file.iter().chain(results) {
            let why = match self.provider.delete(file).await {
                Ok(()) => continue,
                Err(Trouble::Stop(Stop::Interrupted)) => "interrupted".to_owned(),
                Err(trouble) => trouble.to_string(),
            };
            lock(&self.fetched).undeleted.push(format!("{file} ({why})"));
        }
    }

    /// Notes why those requests of a batch have no answer that have none.
    pub(super) fn fail_rest(&self, batch: &Batch, why: &str) -> Result<(), Trouble> {
        let mut left = Vec::new();
        self.kept(self.store.members(batch, |key, _| left.push(*key)))?;
        for key in left {
            if self.kept(self.store.member(batch, &key))?.is_some_and(|member| !member.is_ended) {
                lock(&self.failures).insert(key, exhausted(why.to_owned()));
            }
        }
        Ok(())
    }

    /// The provider has the batch, and its results no more.
    async fn gone(&self, batch: &mut Batch, why: &str) -> Result<(), Trouble> {
        let why = format!("its results are not to be had ({why})");
        self.fail_rest(batch, &why)?;
        self.close(batch, BatchState::GivenUp, Outcome::Unknown, Some(why)).await.map_err(|_| self.halted())
    }

    /// Reads all results once, and keeps what is not in the store yet.
    async fn download(&self, batch: &Batch, results: &Results) -> Result<Sheet, Trouble> {
        let mut sheet = Sheet::default();
        for path in &results.paths {
            let mut lines = self.provider.lines(path, batch.requests()).await?;
            loop {
                let (some, is_last) = tokio::select! {
                    some = self.some(&mut lines, &mut sheet) => some?,
                    () = self.halt.until_stopped() => return Err(self.halted()),
                };
                self.take(batch, some, &mut sheet).await?;
                if is_last {
                    break;
                }
            }
        }
        Ok(sheet)
    }

    /// The next lines, with their keys and status, and whether there are no more.
    async fn some(
        &self,
        lines: &mut Lines<'_>,
        sheet: &mut Sheet,
    ) -> Result<(Vec<(String, u16, Vec<u8>)>, bool), Trouble> {
        let mut some = Vec::new();
        while some.len() < TOGETHER {
            let (line, is_last) = match lines.next().await? {
                None => return Ok((some, true)),
                Some(http::Line::TooLong) => {
                    sheet.lines += 1;
                    sheet.unreadable.push(format!("line {}: too long", sheet.lines));
                    continue;
                }
                Some(http::Line::Whole(line)) => (line, false),
                Some(http::Line::Last(line)) => (line, true),
            };
            sheet.lines += 1;
            match wire::line(self.provider.endpoint.protocol, &line) {
                Ok((id, status)) => some.push((id, status, line)),
                Err(_) if is_last => {
                    let why = "the results end within a line".to_owned();
                    return Err(Trouble::Again { wait: None, why, is_unclear: false });
                }
                Err(why) => sheet.unreadable.push(format!("line {}: {why}", sheet.lines)),
            }
        }
        Ok((some, false))
    }

    /// Keeps lines, then judges them.
    async fn take(&self, batch: &Batch, some: Vec<(String, u16, Vec<u8>)>, sheet: &mut Sheet) -> Result<(), Trouble> {
        let mut new: Vec<(Key, Member, u16, Vec<u8>)> = Vec::new();
        for (id, status, line) in some {
            let key: Option<Key> = id.parse().ok();
            let member = key.map(|key| self.kept(self.store.member(batch, &key))).transpose()?.flatten();
            match key.zip(member) {
                None => sheet.foreign.push(wire::excerpt(id.as_bytes())),
                Some((_, member)) if !sheet.seen.insert(member.id) => sheet.repeated += 1,
                Some((key, member)) if !member.is_ended => new.push((key, member, status, line)),
                Some(_) => {}
            }
        }
        let now = now_ms();
        let ends = new.iter().map(|(_, member, status, line)| {
            let latency = Duration::from_millis(now.saturating_sub(member.written));
            self.store.end(member.id, Ended { status: Some(*status), body: line.clone(), error: None, latency })
        });
        self.kept(try_join_all(ends).await)?;
        for (key, member, status, line) in new {
            self.count(key, &member, status, &line);
        }
        Ok(())
    }

    /// Judges one line, as if its reply had come by itself.
    fn count(&self, key: Key, member: &Member, status: u16, line: &[u8]) {
        let protocol = self.provider.endpoint.protocol;
        let sent = Sent::read(protocol, &member.body);
        let (read, said) = wire::read(protocol, status, line);
        let usage = said.or_else(|| wire::estimated(&read, estimate(&member.body), self.size.answer_tokens));
        let outcome = match judge(protocol, &sent, status, line, self.settings.form.is_some()) {
            Verdict::Answered(response) => Outcome::of(response.finish),
            verdict => {
                lock(&self.failures).insert(key, self.failure(verdict));
                Outcome::Failed
            }
        };
        self.store.note(member.id, outcome, usage);
        if let Some(usage) = usage {
            lock(&self.spent).usage += usage;
        }
    }

    fn failure(&self, verdict: Verdict) -> ClientError {
        match verdict {
            Verdict::Again { why, .. } => exhausted(why),
            Verdict::Adapt { .. } => {
                // Whoever asks next reads in the store what the model takes.
                *lock(&self.dialect) = None;
                exhausted("the model takes another form of answers; the next batch has it".to_owned())
            }
            Verdict::Rejected(why) => ClientError::Rejected { why },
            Verdict::Stop { why, advice } => ClientError::Rejected { why: format!("{why}; {advice}") },
            Verdict::Answered(_) => ClientError::Rejected { why: "an answer".to_owned() },
        }
    }

    /// Whether the results of a batch of Anthropic's answer requests of ours: the first line tells.
    pub(super) async fn answers(&self, id: &str, batch: &Batch) -> Result<bool, Trouble> {
        let mut lines = self.provider.lines(&self.provider.results(id), batch.requests()).await?;
        while let Some(line) = lines.next().await? {
            let (http::Line::Whole(line) | http::Line::Last(line)) = line else { continue };
            let id = wire::line(self.provider.endpoint.protocol, &line).ok().map(|(id, _)| id);
            if let Some(id) = id {
                let key: Option<Key> = id.parse().ok();
                let member = key.map(|key| self.kept(self.store.member(batch, &key))).transpose()?.flatten();
                return Ok(member.is_some());
            }
        }
        Ok(false)
    }
}

fn exhausted(last: String) -> ClientError {
    ClientError::Exhausted { attempts: 1, last }
}
