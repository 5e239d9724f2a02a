//! What follows from a reply.

use std::time::Duration;

use super::{
    http::Reply,
    wire::{Dialect, Form, NoAnswer},
};
use crate::{Request, Response};

/// What to do next.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    Answered(Response),
    /// Send it again, after a pause.
    Again {
        /// How long the provider asks to wait.
        wait: Option<Duration>,
        why: String,
    },
    /// Send it again at once, in another dialect.
    Adapt {
        dialect: Dialect,
    },
    /// This request cannot succeed.
    Rejected(String),
    /// No request can.
    Stop {
        why: String,
        advice: &'static str,
    },
}

/// Whether a status says that the provider has too much to do.
pub(super) const fn is_overload(status: u16) -> bool {
    matches!(status, 429 | 503 | 529)
}

/// What a client knows by now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// Perhaps another one than the request was sent in.
    pub dialect: Dialect,
    /// Whether any request was answered: then key, model and address are right.
    pub any_answered: bool,
    /// Whether the user has chosen the form of answers.
    pub is_form_forced: bool,
}

/// The verdict on a reply to a request that was sent in dialect `sent`.
pub(super) fn of(
    reply: &Reply,
    read: Result<Response, NoAnswer>,
    request: &Request,
    sent: Dialect,
    client: Known,
) -> Verdict {
    let Known { dialect: known, any_answered, is_form_forced } = client;
    let said = match read {
        Ok(response) => return Verdict::Answered(response),
        Err(no_answer) => no_answer,
    };
    let why = if reply.status == 200 { said.to_string() } else { format!("status {}: {said}", reply.status) };
    // Only the provider's own words count: whatever else a reply holds may be the model's, or the sentence's.
    let (code, message) = match &said {
        NoAnswer::Error { code, message } => (code.to_lowercase(), message.to_lowercase()),
        NoAnswer::Unreadable(_) => Default::default(),
    };
    let says = |words: &[&str]| words.iter().any(|word| code.contains(word) || message.contains(word));
    let again = |why| Verdict::Again { wait: reply.wait, why };
    match reply.status {
        300..400 => {
            let to = reply.location.as_deref().unwrap_or("nowhere");
            Verdict::Stop {
                why: format!("status {} (a redirect to {to})", reply.status),
                advice: "redirects are not followed, so that keys stay with the host: correct the base URL",
            }
        }
        // A firewall's word on one sentence, where others passed.
        403 if any_answered => Verdict::Rejected(why),
        401 | 403 => Verdict::Stop { why, advice: "check the API key and what it may do" },
        404 => Verdict::Stop { why, advice: "check the model's name and the base URL" },
        402 => Verdict::Stop { why, advice: "check the account's credit" },
        429 if says(&["insufficient_quota", "billing"]) => Verdict::Stop { why, advice: "check the account's credit" },
        408 | 409 | 425 | 429 | 500.. => match adapted(&says, request, sent, known, is_form_forced) {
            Some(dialect) if reply.status == 501 => Verdict::Adapt { dialect },
            // llama-cpp-python checks requests inside its handler, and fails where it should refuse.
            Some(dialect) if reply.status == 500 && says(&["validation error"]) => Verdict::Adapt { dialect },
            _ => again(why),
        },
        400..500 => {
            if let Some(dialect) = adapted(&says, request, sent, known, is_form_forced) {
                Verdict::Adapt { dialect }
            } else if is_unknown_model(&code, &message) {
                Verdict::Stop { why, advice: "check the model's name" }
            } else {
                Verdict::Rejected(why)
            }
        }
        // An error in a reply that claims to be none, as gateways send it; or no answer at all.
        _ if says(&["invalid_api_key", "authentication", "permission_denied"]) => {
            Verdict::Stop { why, advice: "check the API key and what it may do" }
        }
        _ if is_unknown_model(&code, &message) => Verdict::Stop { why, advice: "check the model's name" },
        _ => again(why),
    }
}

fn is_unknown_model(code: &str, message: &str) -> bool {
    code.contains("model_not_found")
        || (message.contains("model")
            && ["not found", "does not exist", "not exist"].iter().any(|says| message.contains(says)))
}

/// The dialect to try after the server would not understand the one that was sent.
fn adapted(
    says: &dyn Fn(&[&str]) -> bool,
    request: &Request,
    sent: Dialect,
    known: Dialect,
    is_form_forced: bool,
) -> Option<Dialect> {
    if sent != known {
        // Another request has found it out in the meantime.
        return Some(known);
    }
    if !sent.completion_tokens && says(&["max_completion_tokens"]) {
        return Some(Dialect { completion_tokens: true, ..sent });
    }
    let formed = request.schema.is_some() && sent.form != Form::Text && !is_form_forced;
    // The protocols' own names: a server may repeat the sentence, and that has all kinds of words.
    let about_form = &[
        "response_format",
        "json_schema",
        "json_object",
        "json mode",
        "structured output",
        "tool_choice",
        "input_schema",
    ];
    if formed && says(about_form) {
        return sent.form.looser().map(|form| Dialect { form, ..sent });
    }
    None
}
