//! The seam between the job and whoever answers it: a request goes in, a response comes out.
//!
//! Constraint: a live job has hundreds of requests in flight, waits on timers and is layered at run time (recording
//! around retrying around a rate limit around HTTP), while a replay must need no runtime at all. Decision: one method
//! that returns a boxed future. It is dyn-compatible, so a layer is a struct that holds a `Box<dyn Client>` (or
//! `Arc`), implements [`Client`] itself, and no generic parameter spreads through the crate; it names no runtime, so
//! tokio stays with the HTTP clients and [`block_on`] is enough for a replay. Cost: one allocation per request, nothing
//! beside a network round trip.
//!
//! ```
//! use apprentice_teacher::{Answer, Client, ClientError, Message, Request, Response, Role, block_on};
//!
//! /// Says back what it was asked.
//! struct Echo;
//! impl Client for Echo {
//!     fn complete<'a>(&'a self, request: &'a Request) -> Answer<'a> {
//!         Box::pin(async { Ok(Response::new("echo-1", request.messages[0].content.clone())) })
//!     }
//! }
//!
//! let request = Request::new("m", vec![Message { role: Role::User, content: "17 words".into() }]);
//! assert_eq!(block_on(Echo.complete(&request)).unwrap().text, "17 words");
//! ```

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::Completion;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Standing instructions.
    System,
    /// The one who asks.
    User,
    /// The model.
    Assistant,
}

/// One turn of a chat.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
}

/// How a model is to answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Parameters {
    /// The sampling temperature; what the server takes by itself if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// The most tokens that the answer may have, reasoning included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// Fields of the request's body that are passed on as they are, such as `reasoning_effort`.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
}

/// One question to a teacher.
///
/// `model`, `messages`, `parameters`, `schema` and `sample` alone decide whether two requests are the same. `id`,
/// `strategy` and `sentence` say what it is about; they are for recording and replaying, and are never sent.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Request {
    /// The model that is asked.
    pub model: Arc<str>,
    /// The chat so far.
    pub messages: Vec<Message>,
    /// How it is to answer.
    pub parameters: Parameters,
    /// The JSON schema that the answer has to follow; none where the answer is free text.
    pub schema: Option<Arc<Value>>,
    /// Which of several answers to the same question this is, from 0.
    pub sample: u32,
    /// The sentence's id.
    pub id: String,
    /// The name of the prompt strategy.
    pub strategy: Arc<str>,
    /// The sentence's text.
    pub sentence: String,
}

impl Request {
    /// A request about nothing in particular.
    #[must_use]
    pub fn new(model: impl Into<Arc<str>>, messages: Vec<Message>) -> Self {
        Self {
            model: model.into(),
            messages,
            parameters: Parameters::default(),
            schema: None,
            sample: 0,
            id: String::new(),
            strategy: "".into(),
            sentence: String::new(),
        }
    }

    /// The same request, about this sentence under this strategy.
    #[must_use]
    pub fn about(mut self, id: impl Into<String>, strategy: impl Into<Arc<str>>, sentence: impl Into<String>) -> Self {
        self.id = id.into();
        self.strategy = strategy.into();
        self.sentence = sentence.into();
        self
    }

    /// What to keep once `response` has come.
    #[must_use]
    pub fn completed(&self, response: Response) -> Completion {
        Completion {
            id: self.id.clone(),
            strategy: self.strategy.clone(),
            sample: self.sample,
            model: response.model,
            sentence: self.sentence.clone(),
            text: response.text,
        }
    }
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finish {
    /// It is complete.
    Stop,
    /// It reached the most tokens that it may have.
    Length,
    /// The model would not answer.
    Refusal,
    /// The provider's filter took it.
    ContentFilter,
}

/// What an answer cost, in tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Of the prompt, cached ones included.
    pub input: u64,
    /// Of the prompt, those that the provider had in its cache.
    pub cached: u64,
    /// Of the answer, reasoning included.
    pub output: u64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.input += other.input;
        self.cached += other.cached;
        self.output += other.output;
    }
}

/// What a teacher answered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Response {
    /// The model that answered, by its own word.
    pub model: Arc<str>,
    /// The raw text.
    pub text: String,
    /// Why it ended.
    pub finish: Finish,
    /// What it cost, if the provider says so.
    pub usage: Option<Usage>,
    /// Whether it came in a batch, which has a price of its own.
    pub is_batched: bool,
}

impl Response {
    /// A complete response of this text by this model.
    #[must_use]
    pub fn new(model: impl Into<Arc<str>>, text: impl Into<String>) -> Self {
        Self { model: model.into(), text: text.into(), finish: Finish::Stop, usage: None, is_batched: false }
    }
}

/// Why there is no response.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// A replay that does not hold the answer.
    #[error(
        "{file}: no completion of sentence {id} under strategy {strategy}; record one, or leave the sentence out of the input"
    )]
    NotRecorded {
        /// The transcript.
        file: Arc<str>,
        /// The sentence.
        id: String,
        /// The strategy.
        strategy: Arc<str>,
    },
    /// The provider will not take this request, however often it is sent.
    #[error("the provider refuses the request ({why})")]
    Rejected {
        /// The status and what the provider says.
        why: String,
    },
    /// No attempt brought an answer.
    #[error("no answer after {attempts} attempts (the last: {last})")]
    Exhausted {
        /// How many were made.
        attempts: u32,
        /// What became of the last one.
        last: String,
    },
    /// It waits for something else: a batch.
    #[error("not answered yet: {why}")]
    Later {
        /// What it waits for.
        why: &'static str,
    },
    /// No request of this job can succeed, or none may be sent any more.
    #[error("{0}")]
    Stopped(Stop),
}

/// Why a job ends before its time.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Stop {
    /// A wrong key, a wrong model, a wrong address.
    #[error("{url} answers {why}; {advice}")]
    Provider {
        /// Where the requests go.
        url: String,
        /// The status and what the provider says.
        why: String,
        /// What to do.
        advice: &'static str,
    },
    /// The store cannot be written: what is paid for would be lost.
    #[error("the store cannot be written: {0}; no more requests are sent; make room or mend the disk, then run again")]
    Store(String),
    /// What may be spent is spent.
    #[error("{0} is reached; run again with a higher limit to go on")]
    Limit(String),
    /// The user wants it so.
    #[error("interrupted; run the same command again to go on")]
    Interrupted,
}

/// A response to come.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Response, ClientError>> + Send + 'a>>;

/// Something that answers requests: a live endpoint, a recording, or a layer around another client.
pub trait Client: Send + Sync {
    /// Answers one request. Many may be in flight at a time; nothing happens before the future is polled.
    fn complete<'a>(&'a self, request: &'a Request) -> Answer<'a>;
}

/// Waits on this thread until `future` is done: enough for a replay or a test, where no runtime is wanted.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}
