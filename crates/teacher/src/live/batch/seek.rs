//! Looking for a batch that the provider may have been told to begin with.

use std::time::Duration;

use super::super::now_ms;
use super::{Batches, Trouble};
use crate::store::{Batch, BatchState, Outcome};

/// What came of looking for a batch that may have been made.
pub(super) enum Sought {
    Found,
    /// It cannot be known yet.
    Open(Option<String>),
    /// There is none.
    Absent,
    /// Nobody can know.
    Unknown(String),
}

/// Nobody sends one batch for more milliseconds than that.
const LONGEST: u64 = 2 * 3_600_000;

impl Batches {
    /// Looks whether the provider has a batch that it was told to begin with. `told` is when, at the latest, it had all of
    /// that, in milliseconds since 1970: until it has had as long as a reply may take, it may still be about to.
    pub(super) async fn seek(&self, batch: &mut Batch, told: u64) -> Result<Sought, Trouble> {
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
    pub(super) fn told(&self, batch: &Batch) -> u64 {
        let sent = batch.sent.unwrap_or(batch.written);
        self.started.clamp(sent, sent + LONGEST)
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

    pub(super) async fn found(&self, batch: &mut Batch, id: String) -> Result<(), Trouble> {
        batch.remote = Some(id);
        batch.state = BatchState::Created;
        self.kept(self.store.keep_batch(batch).await)
    }

    /// Nobody knows whether the provider has this batch.
    pub(super) async fn lost(&self, batch: &mut Batch, why: &str) -> Result<(), Trouble> {
        let why = format!("nobody knows whether the provider has it ({why})");
        self.fail_rest(batch, &why)?;
        self.close(batch, BatchState::GivenUp, Outcome::Unknown, Some(why)).await.map_err(|_| self.halted())
    }
}
