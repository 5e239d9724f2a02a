//! What the providers' protocols look like on the wire: bodies made and replies read, without any network.
//!
//! - OpenAI's chat completions, which gateways and local servers (vLLM, llama.cpp, Ollama, LM Studio) speak as well.
//! - Anthropic's messages.
//!
//! A reply is read as generously as can be: unknown fields are passed over, of duplicate keys the last one counts, a
//! lone surrogate becomes U+FFFD. What is not an answer says what it is instead.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{Finish, Request, Response, Role, Usage};

/// The name of the one tool by which Anthropic's models are held to a schema.
const TOOL: &str = "annotate";
/// Anthropic's protocol wants a bound on the answer.
const DEFAULT_MAX_TOKENS: u32 = 2048;

/// A provider's language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// OpenAI's chat completions.
    OpenAi,
    /// Anthropic's messages.
    Anthropic,
}

impl Protocol {
    /// The names of the protocols.
    pub const NAMES: [&str; 2] = ["openai", "anthropic"];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenAi => Self::NAMES[0],
            Self::Anthropic => Self::NAMES[1],
        }
    }

    /// Where the provider itself is found.
    #[must_use]
    pub const fn default_url(self) -> &'static str {
        match self {
            Self::OpenAi => "https://api.openai.com/v1",
            Self::Anthropic => "https://api.anthropic.com",
        }
    }

    /// What is appended to the base URL.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::OpenAi => "chat/completions",
            Self::Anthropic => "v1/messages",
        }
    }

    /// The environment variables of the key and of the base URL.
    #[must_use]
    pub const fn variables(self) -> [&'static str; 2] {
        match self {
            Self::OpenAi => ["OPENAI_API_KEY", "OPENAI_BASE_URL"],
            Self::Anthropic => ["ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"],
        }
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "openai" => Ok(Self::OpenAi),
            "anthropic" => Ok(Self::Anthropic),
            _ => Err(format!("`{name}` is no protocol: expected one of {}", Self::NAMES.join(", "))),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a model is held to the form of the answer, strictest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// By a JSON schema.
    Schema,
    /// To be JSON.
    Json,
    /// By the prompt alone.
    Text,
}

impl Form {
    /// The next one, for servers that do not offer this one.
    pub(super) const fn looser(self) -> Option<Self> {
        match self {
            Self::Schema => Some(Self::Json),
            Self::Json => Some(Self::Text),
            Self::Text => None,
        }
    }
}

/// What differs between servers of one protocol, found out by asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dialect {
    pub form: Form,
    /// Whether the bound on the answer is called `max_completion_tokens`, as newer models of OpenAI want it.
    pub completion_tokens: bool,
}

/// The body of a request.
pub(super) fn body(protocol: Protocol, request: &Request, dialect: Dialect) -> Value {
    let mut body = Map::new();
    body.insert("model".into(), json!(request.model));
    let turns = |role: Option<Role>| -> Vec<Value> {
        let turns = request.messages.iter().filter(|message| role.is_none_or(|wanted| message.role == wanted));
        turns.map(|message| json!(message)).collect()
    };
    let form = if request.schema.is_none() { Form::Text } else { dialect.form };
    let schema = request.schema.as_deref();
    match protocol {
        Protocol::OpenAi => {
            body.insert("messages".into(), turns(None).into());
            let bound = if dialect.completion_tokens { "max_completion_tokens" } else { "max_tokens" };
            if let Some(tokens) = request.parameters.max_tokens {
                body.insert(bound.into(), json!(tokens));
            }
            let format = match form {
                Form::Schema => json!({"type": "json_schema",
                    "json_schema": {"name": TOOL, "strict": true, "schema": schema}}),
                Form::Json => json!({"type": "json_object"}),
                Form::Text => Value::Null,
            };
            if form != Form::Text {
                body.insert("response_format".into(), format);
            }
        }
        Protocol::Anthropic => {
            let system: Vec<&str> =
                request.messages.iter().filter(|m| m.role == Role::System).map(|m| &*m.content).collect();
            if !system.is_empty() {
                body.insert("system".into(), json!(system.join("\n\n")));
            }
            let mut others = turns(Some(Role::User));
            if request.messages.iter().any(|message| message.role == Role::Assistant) {
                let spoken = request.messages.iter().filter(|message| message.role != Role::System);
                others = spoken.map(|message| json!(message)).collect();
            }
            body.insert("messages".into(), others.into());
            body.insert("max_tokens".into(), json!(request.parameters.max_tokens.unwrap_or(DEFAULT_MAX_TOKENS)));
            if form == Form::Schema {
                body.insert(
                    "tools".into(),
                    json!([{"name": TOOL, "description": "Gives the answer.", "input_schema": schema}]),
                );
                body.insert("tool_choice".into(), json!({"type": "tool", "name": TOOL}));
            }
        }
    }
    if let Some(temperature) = request.parameters.temperature {
        body.insert("temperature".into(), json!(temperature));
    }
    body.extend(request.parameters.extra.clone());
    Value::Object(body)
}

/// A reply that is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// The provider says what is wrong.
    Error {
        /// Its code or type, such as `rate_limit_exceeded`; may be empty.
        code: String,
        message: String,
    },
    /// Not what the protocol has.
    Unreadable(String),
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error { code, message } if code.is_empty() => f.write_str(message),
            Self::Error { code, message } => write!(f, "{code}: {message}"),
            Self::Unreadable(why) => f.write_str(why),
        }
    }
}

/// Reads a body: an answer, or why it is none; and what it cost, which it may say in both cases.
pub(super) fn read(protocol: Protocol, body: &[u8]) -> (Result<Response, NoAnswer>, Option<Usage>) {
    let value = match json(body) {
        Ok(value) => value,
        Err(why) => return (Err(NoAnswer::Unreadable(why)), None),
    };
    let usage = usage(protocol, &value["usage"]);
    if let Some(error) = value.get("error").filter(|error| !error.is_null()) {
        return (Err(provider_error(error)), usage);
    }
    let response = match protocol {
        Protocol::OpenAi => open_ai(&value),
        Protocol::Anthropic => anthropic(&value),
    };
    let response = response.map(|response| Response { usage, ..response });
    (response.map_err(|why| NoAnswer::Unreadable(format!("{why}: {}", excerpt(body)))), usage)
}

fn usage(protocol: Protocol, usage: &Value) -> Option<Usage> {
    let tokens = |name: &str| count(&usage[name]);
    usage.is_object().then(|| match protocol {
        Protocol::OpenAi => Usage {
            input: tokens("prompt_tokens"),
            cached: count(&usage["prompt_tokens_details"]["cached_tokens"]),
            output: tokens("completion_tokens"),
        },
        Protocol::Anthropic => {
            let cached = tokens("cache_read_input_tokens");
            let input = tokens("input_tokens") + tokens("cache_creation_input_tokens") + cached;
            Usage { input, cached, output: tokens("output_tokens") }
        }
    })
}

fn json(body: &[u8]) -> Result<Value, String> {
    let no_json = |why: &dyn fmt::Display| format!("no JSON ({why}): {}", excerpt(body));
    serde_json::from_slice(body).or_else(|error| {
        let text = str::from_utf8(body).map_err(|error| no_json(&error))?;
        // What was paid for is not thrown away for half a character.
        without_lone_surrogates(text).and_then(|text| serde_json::from_str(&text).ok()).ok_or_else(|| no_json(&error))
    })
}

/// The text with U+FFFD for every escaped surrogate that lacks its other half; nothing if there is none.
fn without_lone_surrogates(text: &str) -> Option<String> {
    let unit = |at: usize| -> Option<u32> {
        let escape = text.as_bytes().get(at..at + 6).filter(|escape| escape.starts_with(b"\\u"))?;
        u32::from_str_radix(str::from_utf8(&escape[2..]).ok()?, 16).ok()
    };
    let (mut mended, mut copied, mut at) = (String::new(), 0, 0);
    while let Some(backslash) = memchr::memchr(b'\\', &text.as_bytes()[at..]).map(|offset| at + offset) {
        at = backslash + 2;
        match unit(backslash) {
            Some(0xD800..=0xDBFF) if matches!(unit(backslash + 6), Some(0xDC00..=0xDFFF)) => at = backslash + 12,
            Some(0xD800..=0xDFFF) => {
                at = backslash + 6;
                mended.push_str(&text[copied..backslash]);
                mended.push('\u{fffd}');
                copied = at;
            }
            _ => {}
        }
        at = at.min(text.len());
    }
    (copied > 0).then(|| mended + &text[copied..])
}

/// `{"error": {"message", "type", "code"}}`, or with gateways `{"error": "…"}`.
fn provider_error(error: &Value) -> NoAnswer {
    let text = |key: &str| match &error[key] {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let message = text("message").or_else(|| error.as_str().map(str::to_owned)).unwrap_or_else(|| error.to_string());
    let code = text("code").or_else(|| text("type")).unwrap_or_default();
    NoAnswer::Error { code, message: excerpt(message.as_bytes()) }
}

fn open_ai(value: &Value) -> Result<Response, String> {
    let choice = value["choices"].get(0).ok_or("no choice in the reply")?;
    let message = &choice["message"];
    let refusal = message["refusal"].as_str().filter(|refusal| !refusal.is_empty());
    let finish = match choice["finish_reason"].as_str() {
        _ if refusal.is_some() => Finish::Refusal,
        Some("length") => Finish::Length,
        Some("content_filter") => Finish::ContentFilter,
        _ => Finish::Stop,
    };
    let content = match &message["content"] {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => Some(parts.iter().filter_map(|part| part["text"].as_str()).collect()),
        _ => None,
    };
    let text = refusal.map(str::to_owned).or(content);
    // An answer that ended and has no text is an empty answer, and was paid for.
    let is_ended = choice["finish_reason"].is_string();
    let text = text.or_else(|| is_ended.then(String::new)).ok_or("no content in the reply")?;
    Ok(Response { model: model(value), text, finish, usage: None })
}

fn anthropic(value: &Value) -> Result<Response, String> {
    let blocks = value["content"].as_array().ok_or("no content in the reply")?;
    let finish = match value["stop_reason"].as_str() {
        Some("max_tokens" | "model_context_window_exceeded") => Finish::Length,
        Some("refusal") => Finish::Refusal,
        _ => Finish::Stop,
    };
    let mut text = String::new();
    for block in blocks {
        match block["type"].as_str() {
            Some("text") => text.push_str(block["text"].as_str().unwrap_or_default()),
            Some("tool_use") => text.push_str(&block["input"].to_string()),
            _ => {}
        }
    }
    // An answer that ended and has no text is an empty answer, and was paid for.
    if text.is_empty() && !value["stop_reason"].is_string() {
        return Err("no text in the reply".to_owned());
    }
    Ok(Response { model: model(value), text, finish, usage: None })
}

fn model(value: &Value) -> std::sync::Arc<str> {
    value["model"].as_str().unwrap_or_default().into()
}

/// A number of tokens; what no model can have is nonsense, and sums must not overflow.
fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0).min(1 << 40)
}

/// The start of a text that may be long, on one line.
pub(super) fn excerpt(text: &[u8]) -> String {
    const SHOWN: usize = 200;
    let shown = String::from_utf8_lossy(&text[..text.len().min(4 * SHOWN)]);
    let line: String = shown.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN).collect();
    let more = if line.len() < text.len() { "…" } else { "" };
    format!("{}{more}", line.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(protocol: Protocol, body: &[u8]) -> Result<Response, NoAnswer> {
        super::read(protocol, body).0
    }
    use crate::Message;

    fn request() -> Request {
        let message = |role, content: &str| Message { role, content: content.into() };
        let messages = vec![message(Role::System, "Mark names."), message(Role::User, "Rome won")];
        let mut request = Request::new("m-1", messages);
        request.parameters.max_tokens = Some(64);
        request.parameters.temperature = Some(0.0);
        request.schema = Some(std::sync::Arc::new(json!({"type": "object"})));
        request
    }

    #[test]
    fn bodies() {
        let dialect = Dialect { form: Form::Schema, completion_tokens: false };
        let open_ai = body(Protocol::OpenAi, &request(), dialect);
        assert_eq!(
            open_ai,
            json!({"model": "m-1", "temperature": 0.0, "max_tokens": 64,
                "messages": [{"role": "system", "content": "Mark names."}, {"role": "user", "content": "Rome won"}],
                "response_format": {"type": "json_schema",
                    "json_schema": {"name": "annotate", "strict": true, "schema": {"type": "object"}}}})
        );
        let plain = body(Protocol::OpenAi, &request(), Dialect { form: Form::Text, completion_tokens: true });
        assert_eq!((&plain["max_completion_tokens"], plain.get("response_format")), (&json!(64), None));
        let anthropic = body(Protocol::Anthropic, &request(), dialect);
        assert_eq!(anthropic["system"], "Mark names.");
        assert_eq!(anthropic["messages"], json!([{"role": "user", "content": "Rome won"}]));
        assert_eq!(anthropic["tool_choice"]["name"], "annotate");
    }

    #[test]
    fn answers_of_both_protocols() {
        let reply = br#"{"model": "m", "choices": [{"message": {"content": "{}"}, "finish_reason": "length"}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}}"#;
        let response = read(Protocol::OpenAi, reply).unwrap();
        assert_eq!((&*response.model, &*response.text, response.finish), ("m", "{}", Finish::Length));
        assert_eq!(response.usage, Some(Usage { input: 9, cached: 4, output: 2 }));
        let refused = br#"{"choices": [{"message": {"content": null, "refusal": "No."}, "finish_reason": "stop"}]}"#;
        assert_eq!(read(Protocol::OpenAi, refused).unwrap().finish, Finish::Refusal);
        let filtered = br#"{"choices": [{"message": {"content": null}, "finish_reason": "content_filter"}]}"#;
        assert_eq!(read(Protocol::OpenAi, filtered).unwrap().finish, Finish::ContentFilter);
        let reply = br#"{"model": "c", "content": [{"type": "thinking", "thinking": "x"}, {"type": "tool_use", "input": {"entities": []}}],
            "stop_reason": "tool_use", "usage": {"input_tokens": 3, "cache_read_input_tokens": 5, "output_tokens": 7}}"#;
        let response = read(Protocol::Anthropic, reply).unwrap();
        assert_eq!((&*response.text, response.finish), (r#"{"entities":[]}"#, Finish::Stop));
        assert_eq!(response.usage, Some(Usage { input: 8, cached: 5, output: 7 }));
    }

    #[test]
    fn what_is_no_answer_says_what_it_is() {
        let why = |body: &str| read(Protocol::OpenAi, body.as_bytes()).unwrap_err().to_string();
        assert_eq!(
            why(r#"{"error": {"message": "slow down", "code": "rate_limit_exceeded"}}"#),
            "rate_limit_exceeded: slow down"
        );
        assert_eq!(why(r#"{"error": "no such model"}"#), "no such model");
        assert!(why("<html>").starts_with("no JSON (expected value at line 1 column 1): <html>"));
        assert!(why(r#"{"choices": []}"#).starts_with("no choice in the reply"));
        assert!(why(r#"{"choices": [{"message": {}}]}"#).starts_with("no content in the reply"));
        assert!(why(&"[".repeat(100_000)).starts_with("no JSON (recursion limit exceeded"));
        for cut in 0..40 {
            let whole = r#"{"choices": [{"message": {"content": "x"}}]}"#;
            assert!(read(Protocol::OpenAi, &whole.as_bytes()[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn half_a_character_does_not_lose_the_rest() {
        let text = |content: &str| {
            let body = format!(r#"{{"choices": [{{"message": {{"content": "{content}"}}}}]}}"#);
            read(Protocol::OpenAi, body.as_bytes()).map(|response| response.text)
        };
        assert_eq!(text(r"a\ud800b\udc00").unwrap(), "a\u{fffd}b\u{fffd}");
        assert_eq!(text(r"\ud83d\ude00 \ud83d").unwrap(), "😀 \u{fffd}");
        assert_eq!(text(r"\\ud800 \ud800").unwrap(), "\\ud800 \u{fffd}");
        // Of two keys the last one counts.
        let twice = br#"{"choices": [{"message": {"content": "a", "content": "b"}}]}"#;
        assert_eq!(read(Protocol::OpenAi, twice).unwrap().text, "b");
    }
}
