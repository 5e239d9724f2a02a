//! How fast a job may ask: limits of the user, and what the provider lets through.
//!
//! Two token buckets, for requests and for tokens per minute, in the form of the generic cell rate algorithm (ITU-T
//! I.371): a bucket is the time at which it would be full again. And a number of requests in flight that adapts as TCP's
//! congestion window does: it doubles every round while nothing is refused, is halved when the provider refuses
//! for load, and from then on grows by one a round.

use std::{
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// How far a bucket may be ahead of its rate: what a server's own bucket forgives.
const BURST: Duration = Duration::from_millis(250);

/// What a user sets.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// The most requests in flight.
    pub concurrency: usize,
    /// The most requests per minute; none: as many as the provider takes.
    pub requests_per_minute: Option<f64>,
    /// The most tokens per minute, of prompts and answers.
    pub tokens_per_minute: Option<f64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { concurrency: 32, requests_per_minute: None, tokens_per_minute: None }
    }
}

/// Lets requests through.
pub(super) struct Governor {
    state: Mutex<State>,
    /// A request has come back.
    freed: Notify,
    most: f64,
}

struct State {
    /// How many may be in flight.
    window: f64,
    /// Whether the window still doubles.
    starting: bool,
    in_flight: usize,
    /// When the window was last halved: requests sent before that say nothing new.
    halved: Instant,
    paused_until: Instant,
    /// How long all pauses so far take together: who waits for a turn waits so much longer.
    paused: Duration,
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
}

struct Bucket {
    /// Per second.
    rate: f64,
    full_at: Instant,
}

impl Bucket {
    fn new(per_minute: f64, now: Instant) -> Self {
        Self { rate: per_minute / 60.0, full_at: now }
    }

    /// Takes from the bucket; from when on that is allowed.
    fn take(&mut self, amount: f64, now: Instant) -> Instant {
        let start = self.full_at.max(now);
        // Centuries are enough, and more would overflow.
        self.full_at = start + Duration::from_secs_f64((amount / self.rate).min(1e9));
        start.checked_sub(BURST).map_or(now, |at| at.max(now))
    }

    /// Gives back what was not needed, or takes what was needed besides.
    fn correct(&mut self, more: f64) {
        let time = Duration::from_secs_f64((more.abs() / self.rate).min(1e9));
        self.full_at =
            if more > 0.0 { self.full_at + time } else { self.full_at.checked_sub(time).unwrap_or(self.full_at) };
    }
}

/// What became of a request, as far as the governor cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Load {
    /// The provider took it.
    Taken,
    /// The provider has too much to do.
    Refused,
    /// It failed for another reason.
    Unknown,
}

/// One request in flight; without a word it counts as [`Load::Unknown`].
pub(super) struct Pass<'g> {
    governor: &'g Governor,
    sent: Instant,
    estimate: f64,
}

/// When a request may be sent, by the buckets.
struct Turn {
    at: Instant,
    /// [`State::paused`] when it was taken.
    paused: Duration,
}

impl State {
    /// Takes a request of so many tokens from the buckets.
    fn turn(&mut self, tokens: f64, now: Instant) -> Turn {
        let start = now.max(self.paused_until);
        let requests = self.requests.as_mut().map_or(start, |bucket| bucket.take(1.0, start));
        let tokens = self.tokens.as_mut().map_or(start, |bucket| bucket.take(tokens, start));
        Turn { at: requests.max(tokens), paused: self.paused }
    }

    /// When the turn comes, after the pauses that came since it was taken: none is lost, and nobody hurries after a pause.
    fn due(&self, turn: &Turn) -> Instant {
        turn.at + self.paused.saturating_sub(turn.paused)
    }

    fn pause(&mut self, wait: Duration, now: Instant) {
        let until = now + wait;
        let more = until.saturating_duration_since(self.paused_until.max(now));
        self.paused += more;
        self.paused_until = self.paused_until.max(until);
        for bucket in [&mut self.requests, &mut self.tokens].into_iter().flatten() {
            if bucket.full_at > now {
                bucket.full_at += more;
            }
        }
    }
}

impl Governor {
    pub fn new(limits: &Limits) -> Self {
        let now = Instant::now();
        let state = State {
            // The first request finds out whether key and model are right.
            window: 1.0,
            starting: true,
            in_flight: 0,
            halved: now,
            paused_until: now,
            paused: Duration::ZERO,
            requests: limits.requests_per_minute.map(|rate| Bucket::new(rate, now)),
            tokens: limits.tokens_per_minute.map(|rate| Bucket::new(rate, now)),
        };
        Self { state: Mutex::new(state), freed: Notify::new(), most: limits.concurrency.max(1) as f64 }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        super::lock(&self.state)
    }

    /// Waits until a request of about so many tokens may be sent.
    pub async fn admit(&self, tokens: u64) -> Pass<'_> {
        loop {
            let freed = self.freed.notified();
            {
                let mut state = self.state();
                if (state.in_flight as f64) < state.window.floor() {
                    state.in_flight += 1;
                    break;
                }
            }
            freed.await;
        }
        // From here on the place is given back however this ends.
        let mut pass = Pass { governor: self, sent: Instant::now(), estimate: tokens as f64 };
        let turn = self.state().turn(pass.estimate, Instant::now());
        loop {
            let due = self.state().due(&turn);
            // A pause may come while this sleeps.
            sleep_until(due).await;
            if self.state().due(&turn) <= Instant::now() {
                break;
            }
        }
        pass.sent = Instant::now();
        pass
    }

    /// Nothing is sent for so long: the provider asks for it.
    pub fn pause(&self, wait: Duration) {
        self.state().pause(wait, Instant::now());
    }
}

impl Pass<'_> {
    /// Gives the place back and learns from what became of the request, which had so many tokens in the end.
    pub fn done(self, load: Load, tokens: Option<u64>) {
        let mut state = self.governor.state();
        if let (Some(bucket), Some(tokens)) = (state.tokens.as_mut(), tokens) {
            bucket.correct(tokens as f64 - self.estimate);
        }
        match load {
            Load::Taken if state.starting => state.window += 1.0,
            Load::Taken => state.window += 1.0 / state.window,
            Load::Refused if self.sent >= state.halved => {
                state.window /= 2.0;
                state.starting = false;
                state.halved = Instant::now();
            }
            Load::Refused | Load::Unknown => {}
        }
        state.window = state.window.clamp(1.0, self.governor.most);
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.governor.state().in_flight -= 1;
        self.governor.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn once_a_second() -> (State, Instant) {
        let governor = Governor::new(&Limits { requests_per_minute: Some(60.0), ..Limits::default() });
        let state = governor.state.into_inner().unwrap();
        let start = state.paused_until;
        (state, start)
    }

    fn after(start: Instant) -> impl Fn(u64) -> Instant {
        move |milliseconds| start + Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_pause_costs_no_turn_and_nobody_hurries_after_it() {
        let (mut state, start) = once_a_second();
        let after = after(start);
        let turns: Vec<Turn> = (0..6).map(|_| state.turn(0.0, start)).collect();
        let due = |state: &State| turns.iter().map(|turn| (state.due(turn) - start).as_millis()).collect::<Vec<_>>();
        assert_eq!(due(&state), [0, 750, 1750, 2750, 3750, 4750]);
        // The first three are sent when the provider asks for 20 seconds.
        state.pause(Duration::from_secs(20), after(2500));
        assert_eq!(due(&state)[3..], [22_750, 23_750, 24_750]);
        // A shorter pause adds nothing, a longer one what is longer about it.
        state.pause(Duration::from_secs(5), after(3000));
        assert_eq!(due(&state)[3], 22_750);
        state.pause(Duration::from_secs(20), after(3500));
        assert_eq!(due(&state)[3..], [23_750, 24_750, 25_750]);
        // Who comes later is behind them.
        let late = state.turn(0.0, after(4000));
        assert_eq!(state.due(&late), after(26_750));
    }

    #[test]
    fn turns_that_are_taken_in_a_pause_start_at_its_end() {
        let (mut state, start) = once_a_second();
        let after = after(start);
        state.pause(Duration::from_secs(10), start);
        let due = [0, 1000, 2000].map(|now| {
            let turn = state.turn(0.0, after(now));
            state.due(&turn)
        });
        assert_eq!(due, [10_000, 10_750, 11_750].map(after));
    }
}
