//! A language model as annotator: prompts, the seam for clients, recorded completions, parsing and alignment.
//!
//! The stages, one module each, in the order of the job:
//!
//! ```text
//! Sentence ─ prompt ─► Request ─ client ─► Response ─► Completion ─ parse ─► Mention… ─ align ─► Alignment ─ annotate ─► Sentence
//!                                (replay)             (transcript)                                             + Report
//! ```
//!
//! A [`Completion`] is what was paid for, so it is kept as it came. Parsing and aligning are pure functions of it that
//! can be repeated for nothing; whatever they cannot use is counted and named in the [`Report`], never dropped.
//!
//! ```
//! use apprentice_core::Sentence;
//! use apprentice_teacher::{Transcript, Unused, annotate, default_labels};
//!
//! let recorded = r#"{"id": "s1", "strategy": "standard", "model": "m", "sentence": "Ann Keller won in Rome .",
//!     "completion": "{\"entities\": [{\"text\": \"Ann Keller\", \"type\": \"PER\"}, {\"text\": \"Oslo\", \"type\": \"LOC\"}]}"}"#
//!     .replace('\n', " ");
//! let transcript = Transcript::read(recorded.as_bytes(), "recorded.jsonl").unwrap();
//! let sentences = [Sentence::from_words("s1", ["Ann", "Keller", "won", "in", "Rome", "."])];
//! let completions = transcript.check(&sentences, Unused::Refuse).unwrap();
//! let annotation = annotate(&sentences, completions, &default_labels());
//! assert_eq!(annotation.sentences[0].surface(annotation.sentences[0].entities()[0].span), "Ann Keller");
//! assert_eq!((annotation.report.mentions, annotation.report.exact, annotation.report.missing.count), (2, 1, 1));
//! ```

mod align;
mod annotate;
mod bm25;
mod client;
mod examples;
mod fold;
mod job;
pub mod label_set;
mod listed;
pub mod live;
mod loose;
mod marks;
mod parse;
pub mod prompt;
mod replay;
pub mod store;
mod transcript;
pub mod votes;

pub use align::{Alignment, Outcome, OverlapPolicy, Placed, Status, align, align_with};
pub use annotate::{
    Annotation, Annotator, Failure, LostMention, MalformedItem, Report, Unparsed, VotedSentence, annotate,
};
pub use bm25::Bm25;
pub use client::{
    Answer, Client, ClientError, Finish, Message, Parameters, Request, Response, Role, Stop, Usage, block_on,
};
pub use examples::{Example, ExamplePool, Examples, Neighbours, PoolError, Scored, Selector};
pub use job::{Tally, run};
pub use label_set::{EntityType, LabelSet, LabelSetError, default_labels};
pub use listed::Listed;
pub use live::{Endpoint, Live, Price, Protocol};
pub use parse::{Form, Malformed, Mention, ParseIssue, Parsed, parse};
pub use prompt::{Prompt, PromptError, Strategy, UnknownStrategy, Version};
pub use replay::Replay;
pub use store::Store;
pub use transcript::{Completion, Transcript, TranscriptError, Unused};
