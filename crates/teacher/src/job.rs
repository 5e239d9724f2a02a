//! Many requests, as fast as their client allows, with an account of what became of each.

use std::{cell::Cell, collections::BTreeMap, time::Duration};

use futures_util::stream::{self, StreamExt};
use serde::Serialize;
use tokio::time::Instant;

use crate::{Client, ClientError, Finish, Listed, Request, Stop};

/// What became of the requests of a job.
///
/// Invariant: `asked = done + truncated + refused + filtered + failed + left`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Tally {
    /// Requests that the job was given.
    pub asked: usize,
    /// Those with a whole answer, from the provider or from the store.
    pub done: usize,
    /// Those whose answer reached its bound.
    pub truncated: usize,
    /// Those that the model would not answer.
    pub refused: usize,
    /// Those whose answer the provider's filter took.
    pub filtered: usize,
    /// Those without answer, and why.
    pub failed: Listed<String>,
    /// How many failed for which kind of reason.
    pub failed_by_kind: BTreeMap<&'static str, usize>,
    /// Those that were not sent, or not again, because the job had to stop; those that it never took are not counted.
    pub left: usize,
}

impl Tally {
    /// The requests that the job is through with.
    #[must_use]
    pub fn settled(&self) -> usize {
        self.done + self.truncated + self.refused + self.filtered + self.failed.count
    }

    /// Adds the account of another job.
    pub fn extend(&mut self, other: Self) {
        self.asked += other.asked;
        self.done += other.done;
        self.truncated += other.truncated;
        self.refused += other.refused;
        self.filtered += other.filtered;
        self.failed.extend(other.failed);
        for (kind, count) in other.failed_by_kind {
            *self.failed_by_kind.entry(kind).or_default() += count;
        }
        self.left += other.left;
    }

    /// Those of the failed that were not asked in this job, because they wait for something else.
    #[must_use]
    pub fn later(&self) -> usize {
        self.failed_by_kind.get("later").copied().unwrap_or(0)
    }

    fn count(&mut self, request: &Request, answer: Result<Finish, ClientError>) {
        self.asked += 1;
        let kind = match answer {
            Ok(Finish::Stop) => return self.done += 1,
            Ok(Finish::Length) => return self.truncated += 1,
            Ok(Finish::Refusal) => return self.refused += 1,
            Ok(Finish::ContentFilter) => return self.filtered += 1,
            Err(ClientError::Stopped(_)) => return self.left += 1,
            Err(ref error) => error.kind(),
        };
        if let Err(error) = answer {
            *self.failed_by_kind.entry(kind).or_default() += 1;
            self.failed.push(format!("{}: {error}", request.id));
        }
    }
}

/// Asks `client` all of `requests`, at most `concurrency` at a time; the client's own limits may allow fewer. Requests are
/// taken one by one as others are through, so that memory does not grow with their number. `progress` is called
/// with the account after each, and every tenth of a second. Once an answer is [`ClientError::Stopped`], no more are
/// taken.
///
/// # Errors
/// The first error of `requests`, once what is in flight is through; then nothing more was taken.
pub async fn run<E>(
    client: &dyn Client,
    requests: impl Iterator<Item = Result<Request, E>>,
    concurrency: usize,
    mut progress: impl FnMut(&Tally),
) -> Result<Tally, (Tally, E)> {
    const TICK: Duration = Duration::from_millis(100);
    let (failure, stopped) = (Cell::new(None), Cell::new(false));
    let requests = requests.take_while(|_| !stopped.get());
    let requests = requests.map_while(|request| request.map_err(|error| failure.set(Some(error))).ok());
    let answers = stream::iter(requests).map(|request| async move {
        let answer = client.complete(&request).await.map(|response| response.finish);
        (request, answer)
    });
    let mut answers = std::pin::pin!(answers.buffer_unordered(concurrency.max(1)));
    let mut tally = Tally::default();
    let mut tick = tokio::time::interval_at(Instant::now() + TICK, TICK);
    loop {
        tokio::select! {
            answer = answers.next() => match answer {
                Some((request, answer)) => {
                    stopped.set(stopped.get() || matches!(answer, Err(ClientError::Stopped(_))));
                    tally.count(&request, answer);
                }
                None => break,
            },
            _ = tick.tick() => {}
        }
        progress(&tally);
    }
    match failure.take() {
        Some(error) => Err((tally, error)),
        None => Ok(tally),
    }
}

impl ClientError {
    /// The kind alone, for counting.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::NotRecorded { .. } => "not-recorded",
            Self::Rejected { .. } => "rejected",
            Self::Exhausted { .. } => "no-answer",
            Self::Later { .. } => "later",
            Self::Stopped(Stop::Provider { .. }) => "provider",
            Self::Stopped(Stop::Store(_)) => "store",
            Self::Stopped(Stop::Limit(_)) => "limit",
            Self::Stopped(Stop::Interrupted) => "interrupted",
        }
    }
}
