//! How large batches are.

use std::time::Duration;

use super::super::{
    Endpoint, Form, Protocol, key,
    wire::{self, Dialect},
};
use crate::{Request, store::Key};

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

/// How many bytes a request has in a batch.
pub(super) fn size(protocol: Protocol, key: &Key, body: &str) -> usize {
    wire::enveloped(protocol, key, "").len() + body.len() + 1
}
