//! The client that answers from recorded completions: no network, no cost, the same answer every time.
//!
//! ```
//! use apprentice_core::Sentence;
//! use apprentice_teacher::{Client, LabelSet, Prompt, Replay, Strategy, Transcript, Version, block_on};
//! let line = r#"{"id": "s1", "strategy": "standard", "model": "m-7", "sentence": "Hm .", "completion": "{\"entities\": []}"}"#;
//! let replay = Replay::new(Transcript::read(line.as_bytes(), "t.jsonl").unwrap());
//! let prompt = Prompt::new(&Strategy::Standard(Version::One), &LabelSet::default()).unwrap();
//! let request = prompt.request(&Sentence::from_words("s1", ["Hm", "."]), "any").unwrap();
//! let response = block_on(replay.complete(&request)).unwrap();
//! assert_eq!(request.completed(response), replay.transcript().completions()[0]);
//! ```

use std::future::ready;

use crate::{Answer, Client, ClientError, Request, Response, Transcript};

/// A [`Client`] over a [`Transcript`]. The answer is found by sentence id, strategy and sample, whatever model is asked; the
/// response names the model that was recorded.
#[derive(Debug, Clone)]
pub struct Replay {
    transcript: Transcript,
}

impl Replay {
    /// A client that answers from `transcript`.
    #[must_use]
    pub const fn new(transcript: Transcript) -> Self {
        Self { transcript }
    }

    /// What it answers from.
    #[must_use]
    pub const fn transcript(&self) -> &Transcript {
        &self.transcript
    }
}

impl Client for Replay {
    fn complete<'a>(&'a self, request: &'a Request) -> Answer<'a> {
        let is_asked = |c: &&crate::Completion| c.sample == request.sample && c.sentence == request.sentence;
        let found = self.transcript.samples(&request.strategy, &request.id).find(is_asked);
        let answer = found.map(|c| Response::new(c.model.clone(), c.text.clone()));
        Box::pin(ready(answer.ok_or_else(|| ClientError::NotRecorded {
            file: self.transcript.file().clone(),
            id: request.id.clone(),
            strategy: request.strategy.clone(),
        })))
    }
}
