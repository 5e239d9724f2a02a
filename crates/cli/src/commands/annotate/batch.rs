//! `annotate --batch`: hand over what is not answered, wait, fetch.

use std::sync::Arc;

use anyhow::{Result, bail};
use apprentice_teacher::{
    Endpoint, Live, Protocol, Request, Stop, Store, Tally,
    live::{Batches, Fetched, Size, Waiting},
    run,
};
use clap::Args as ClapArgs;

use super::live::Job;
use crate::progress::Progress;

/// Whether and how requests go in batches.
#[derive(ClapArgs)]
#[command(next_help_heading = "Batches")]
pub struct BatchFlags {
    /// Hand the requests over in batches: for half the price, and answered within a day
    #[arg(long, conflicts_with = "reparse")]
    pub batch: bool,
    /// Do not wait for the answers: the same command fetches them later
    #[arg(long, requires = "batch")]
    no_wait: bool,
    /// The most requests of one batch [default: 50,000 with openai, 100,000 with anthropic]
    #[arg(long, value_name = "N", requires = "batch")]
    batch_requests: Option<usize>,
    /// The most megabytes of one batch, which are in memory while it is handed over [default: 200 with openai, 256 with
    /// anthropic]
    #[arg(long, value_name = "N", requires = "batch")]
    batch_megabytes: Option<usize>,
    /// Give up the batches that are not fetched yet, and ask anew: the provider may ask for them all the same
    #[arg(long, conflicts_with_all = ["reparse", "dry_run"])]
    pub give_up_batches: bool,
}

impl BatchFlags {
    /// How large batches are.
    pub fn size(&self, protocol: Protocol, answer_tokens: u64) -> Result<Size> {
        let given = [("--batch-requests", self.batch_requests), ("--batch-megabytes", self.batch_megabytes)];
        if let Some((flag, _)) = given.iter().find(|(_, number)| *number == Some(0)) {
            bail!("{flag} 0: expected at least 1");
        }
        let mut size = Size::of(protocol);
        size.requests = self.batch_requests.unwrap_or(size.requests);
        size.bytes = self.batch_megabytes.map_or(size.bytes, |megabytes| megabytes.saturating_mul(1_000_000));
        size.answer_tokens = answer_tokens;
        Ok(size)
    }
}

impl Job<'_> {
    /// A client for batches, if they are wanted.
    pub fn batches(&self, endpoint: &Endpoint, store: &Arc<Store>) -> Result<Option<Batches>> {
        let flags = &self.args.batches;
        if !flags.batch && !flags.give_up_batches {
            return Ok(None);
        }
        let size = flags.size(endpoint.protocol, self.answer_tokens())?;
        Ok(Some(Batches::new(endpoint.clone(), self.client_settings(), size, store.clone())?))
    }

    /// Gives up what is open, if the user wants it so.
    pub async fn give_up(&self, batches: &Batches, progress: Progress) -> Result<()> {
        if self.args.batches.give_up_batches {
            let requests = batches.abandon().await?;
            progress.note(format_args!(
                "{requests} requests in batches are given up, and their outcome is unknown: the provider may ask for them"
            ));
        }
        Ok(())
    }

    /// What is handed over. The answers that the store has are checked, if they are to be.
    fn batch_requests<'a>(&'a self, client: &'a Live) -> impl Iterator<Item = Result<Request>> + 'a {
        let checks = self.live.check.then(|| self.check_requests(client));
        self.first_requests().chain(checks.into_iter().flatten())
    }

    /// Fetches what is ready, hands over what is not answered, and waits for it. Nothing if it is not waited for.
    pub async fn ask_in_batches(&self, batches: &Batches, client: &Live, progress: Progress) -> Result<Option<Tally>> {
        let work = async {
            let waiting = self.hand_over_and_wait(batches, client, progress).await?;
            if waiting.batches > 0 || !self.live.check || batches.stopped().is_some() {
                return Ok(waiting);
            }
            // Now there are answers to check.
            self.hand_over_and_wait(batches, client, progress).await
        };
        let mut work = std::pin::pin!(work);
        let waiting = loop {
            tokio::select! {
                done = &mut work => break done?,
                pressed = tokio::signal::ctrl_c() => {
                    pressed?;
                    if batches.stopped() == Some(Stop::Interrupted) {
                        bail!("interrupted twice; run the same command again to go on: what the provider has is looked for");
                    }
                    batches.stop(Stop::Interrupted);
                }
            }
        };
        for note in notes(&batches.fetched()) {
            progress.note(note);
        }
        let stays = format!("{} batches of {} requests stay with the provider", waiting.batches, waiting.requests);
        match batches.stopped() {
            Some(Stop::Limit(limit)) if waiting.batches > 0 => progress.note(format_args!("{limit} is reached")),
            Some(stop) if waiting.batches > 0 => bail!("{stop}; {stays}"),
            _ => {}
        }
        if waiting.batches > 0 {
            progress.note(format_args!("{stays}; run the same command again later, and it fetches what is ready"));
            return Ok(None);
        }
        let tally = run(batches, self.batch_requests(client), 1, |_| ()).await;
        tally.map(Some).map_err(|(_, error)| error)
    }

    /// What is open at the end.
    async fn hand_over_and_wait(&self, batches: &Batches, client: &Live, progress: Progress) -> Result<Waiting> {
        // Why it stops is asked of the client.
        let looked = batches.look().await;
        if let Ok(waiting) = &looked {
            if let Some(why) = &waiting.trouble {
                progress.note(format_args!("a batch could not be looked at: {why}"));
            }
            let requests = self.batch_requests(client);
            let note = |fetched: &Fetched| progress.note(format_args!("batch {} is handed over", fetched.submitted));
            batches.submit(requests, note).await?;
        }
        let waiting = batches.waiting()?;
        let is_stopped = batches.stopped().is_some_and(|stop| !matches!(stop, Stop::Limit(_)));
        if is_stopped || waiting.batches == 0 || self.args.batches.no_wait {
            return Ok(waiting);
        }
        progress.note(format_args!(
            "waiting for {} batches of {} requests, which may take a day; Ctrl-C leaves them with the provider",
            waiting.batches, waiting.requests
        ));
        let bar = progress.bar(waiting.requests as usize, "wait");
        let all = waiting.requests;
        let done = batches.wait(|waiting: &Waiting| {
            bar.set_position(all.saturating_sub(waiting.requests) + waiting.done);
            let trouble = waiting.trouble.as_ref().map_or(String::new(), |why| format!(", last look: {why}"));
            bar.set_message(format!("{} batches{trouble}", waiting.batches));
        });
        let _ = done.await;
        bar.finish_and_clear();
        Ok(batches.waiting()?)
    }
}

/// What went wrong with batches, one line each.
fn notes(fetched: &Fetched) -> Vec<String> {
    let listed = [
        ("batches came to nothing", &fetched.failed),
        ("lines of results cannot be read", &fetched.unreadable),
        ("lines of results are about requests that are not in the batch", &fetched.foreign),
        ("files stay with the provider, though nobody needs them", &fetched.undeleted),
    ];
    let mut notes: Vec<String> = listed
        .into_iter()
        .filter(|(_, listed)| !listed.is_empty())
        .map(|(what, listed)| format!("{} {what}: {listed}", listed.count))
        .collect();
    if fetched.missing > 0 {
        notes.push(format!("{} requests have no result, though the provider may ask for them", fetched.missing));
    }
    if fetched.repeated > 0 {
        notes.push(format!("{} results came twice, and the first counts", fetched.repeated));
    }
    notes
}
