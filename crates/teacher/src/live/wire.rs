//! What the providers' protocols look like on the wire: bodies made and replies read, without any network.
//!
//! - OpenAI's chat completions, which gateways and local servers (vLLM, llama.cpp, Ollama, LM Studio) speak as well.
//! - Anthropic's messages.
//!
//! A line of a batch's results is a reply in an envelope, which says whose it is; it is kept and read with it.
//!
//! A reply is read as generously as can be: unknown fields are passed over, of duplicate keys the last one counts, a
//! lone surrogate becomes U+FFFD. What is not an answer says what it is instead.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{Finish, Request, Response, Role, Usage, store::Key};

/// The name of the one tool by which Anthropic's models are held to a schema.
const TOOL: &str = "annotate";
/// Where requests of a batch of OpenAI's go.
pub(super) const CHAT: &str = "/v1/chat/completions";
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

    /// Where its batches are.
    pub(super) const fn batches(self) -> &'static str {
        match self {
            Self::OpenAi => "batches",
            Self::Anthropic => "v1/messages/batches",
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

/// The dialect that a body shows, as far as it does: how it asks for the form, and how it calls the bound.
pub(super) fn shown(protocol: Protocol, body: &Value) -> (Option<Form>, Option<bool>) {
    match protocol {
        Protocol::OpenAi => {
            let form = match body["response_format"]["type"].as_str() {
                Some("json_schema") => Some(Form::Schema),
                Some("json_object") => Some(Form::Json),
                _ => None,
            };
            let bounds = [("max_completion_tokens", true), ("max_tokens", false)];
            (form, bounds.into_iter().find(|(name, _)| body.get(name).is_some()).map(|(_, is_newer)| is_newer))
        }
        Protocol::Anthropic => ((body["tool_choice"]["name"] == TOOL).then_some(Form::Schema), None),
    }
}

/// One request of a batch, in the provider's envelope.
pub(super) fn enveloped(protocol: Protocol, key: &Key, body: &str) -> String {
    match protocol {
        Protocol::OpenAi => {
            format!(r#"{{"custom_id":"{key}","method":"POST","url":"{CHAT}","body":{body}}}"#)
        }
        Protocol::Anthropic => format!(r#"{{"custom_id":"{key}","params":{body}}}"#),
    }
}

/// Whose a line of a batch's results is, and with which status it was answered.
///
/// # Errors
/// What is wrong with the line.
pub(super) fn line(protocol: Protocol, line: &[u8]) -> Result<(String, u16), String> {
    let value = json(line)?;
    let id = value["custom_id"].as_str().ok_or_else(|| format!("no custom_id: {}", excerpt(line)))?.to_owned();
    let status = match protocol {
        Protocol::OpenAi => value["response"]["status_code"].as_u64().and_then(|status| status.try_into().ok()),
        Protocol::Anthropic => match value["result"]["type"].as_str() {
            Some("succeeded") => Some(200),
            Some("errored") => Some(status_of(inner_error(&value["result"]["error"]))),
            _ => None,
        },
    };
    // Expired or cancelled: as if it had not come in time.
    Ok((id, status.unwrap_or(408)))
}

/// The status that an error of Anthropic's has where it is a reply of its own.
fn status_of(error: &Value) -> u16 {
    match error["type"].as_str().unwrap_or_default() {
        "invalid_request_error" | "invalid_request" => 400,
        "authentication_error" => 401,
        "billing_error" => 402,
        "permission_error" => 403,
        "not_found_error" => 404,
        "request_too_large" => 413,
        "rate_limit_error" => 429,
        "timeout_error" => 504,
        "overloaded_error" => 529,
        _ => 500,
    }
}

/// Anthropic's errors come as `{"type": "error", "error": {…}}` or without that.
fn inner_error(error: &Value) -> &Value {
    error.get("error").filter(|inner| inner.is_object()).unwrap_or(error)
}

/// The reply in a line of a batch's results; of any other reply itself.
fn opened(protocol: Protocol, mut value: Value) -> Value {
    if value.get("custom_id").is_none() {
        return value;
    }
    match protocol {
        Protocol::OpenAi if value["response"].is_object() => value["response"]["body"].take(),
        Protocol::OpenAi => value,
        Protocol::Anthropic => match value["result"]["type"].as_str() {
            Some("succeeded") => value["result"]["message"].take(),
            Some("errored") => json!({"error": inner_error(&value["result"]["error"])}),
            other => json!({"error": format!("the request is {}", other.unwrap_or("not answered"))}),
        },
    }
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

/// Reads a reply: an answer, or why it is none; and what it cost, which it may say in both cases. This alone says what an
/// answer is, of what has just come, of what is stored, and of lines of batches: a reply must not be one here, and none
/// there.
pub(super) fn read(protocol: Protocol, status: u16, body: &[u8]) -> (Result<Response, NoAnswer>, Option<Usage>) {
    let value = match json(body) {
        Ok(value) => opened(protocol, value),
        Err(why) => return (Err(NoAnswer::Unreadable(why)), None),
    };
    let usage = usage(protocol, &value["usage"]);
    if let Some(error) = value.get("error").filter(|error| !error.is_null()) {
        return (filtered(status, provider_error(error)).map(|response| Response { usage, ..response }), usage);
    }
    if !(200..300).contains(&status) {
        return (Err(NoAnswer::Unreadable(excerpt(body))), usage);
    }
    let response = match protocol {
        Protocol::OpenAi => open_ai(&value),
        Protocol::Anthropic => anthropic(&value),
    };
    let response = response.map(|response| Response { usage, ..response });
    (response.map_err(|why| NoAnswer::Unreadable(format!("{why}: {}", excerpt(body)))), usage)
}

/// What a reply is taken to have cost that does not say it: nothing if it is no answer; no output if a filter took all of it.
pub(super) fn estimated(read: &Result<Response, NoAnswer>, input: u64, output: u64) -> Option<Usage> {
    let answer = read.as_ref().ok()?;
    let is_empty = answer.finish == Finish::ContentFilter && answer.text.is_empty();
    Some(Usage { input, cached: 0, output: if is_empty { 0 } else { output } })
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

pub(super) fn json(body: &[u8]) -> Result<Value, String> {
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

/// Azure's way to say that its filter took the prompt: an error by its status, and as final as an answer.
fn filtered(status: u16, error: NoAnswer) -> Result<Response, NoAnswer> {
    match &error {
        NoAnswer::Error { code, .. } if status == 400 && is_filter(code) => {
            Ok(Response { finish: Finish::ContentFilter, ..Response::new("", "") })
        }
        _ => Err(error),
    }
}

fn is_filter(code: &str) -> bool {
    let code = code.to_lowercase();
    ["content_filter", "content_policy"].iter().any(|name| code.contains(name))
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
    Ok(Response { finish, ..Response::new(model(value), text) })
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
    Ok(Response { finish, ..Response::new(model(value), text) })
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
        super::read(protocol, 200, body).0
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
    fn a_filter_is_an_answer_by_status_and_code() {
        let finish = |status, code: &str| {
            let body = json!({"error": {"message": "The prompt was filtered.", "type": null, "code": code}});
            let read = super::read(Protocol::OpenAi, status, body.to_string().as_bytes()).0;
            read.ok().map(|response| response.finish)
        };
        for code in ["content_filter", "content_policy_violation", "Content_Filter"] {
            assert_eq!(finish(400, code), Some(Finish::ContentFilter), "{code}");
        }
        // What only the words say, or another status, may pass.
        for (status, code) in [(400, "bad_request"), (429, "content_filter"), (500, "content_filter")] {
            assert_eq!(finish(status, code), None, "{status} {code}");
        }
        // An answer by its body alone is none.
        let answer = br#"{"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}"#;
        for (status, is_answer) in [(200, true), (201, true), (400, false), (503, false)] {
            assert_eq!(super::read(Protocol::OpenAi, status, answer).0.is_ok(), is_answer, "{status}");
        }
    }

    #[test]
    fn lines_of_batches() {
        let key = Key::of(&1);
        let body = body(Protocol::OpenAi, &request(), Dialect { form: Form::Json, completion_tokens: true });
        assert_eq!(shown(Protocol::OpenAi, &body), (Some(Form::Json), Some(true)));
        let sent: Value = serde_json::from_str(&enveloped(Protocol::OpenAi, &key, &body.to_string())).unwrap();
        assert_eq!((&sent["custom_id"], &sent["body"]), (&json!(key.to_string()), &body));
        let answer = json!({"choices": [{"message": {"content": "{}"}, "finish_reason": "stop"}]});
        let reply = |value: Value| value.to_string().into_bytes();
        let told = |protocol, value: Value| {
            let line = reply(value);
            let status = super::line(protocol, &line).unwrap().1;
            (status, super::read(protocol, status, &line).0.map(|response| response.text))
        };
        let open_ai = |response: Value, error: Value| {
            told(Protocol::OpenAi, json!({"id": "r", "custom_id": "k", "response": response, "error": error}))
        };
        let error = |code: &str, message: &str| Err(NoAnswer::Error { code: code.into(), message: message.into() });
        assert_eq!(open_ai(json!({"status_code": 200, "body": answer}), Value::Null), (200, Ok("{}".to_owned())));
        let bad = json!({"status_code": 400, "body": {"error": {"message": "no", "code": "c"}}});
        assert_eq!(open_ai(bad, Value::Null), (400, error("c", "no")));
        let expired = json!({"code": "batch_expired", "message": "too late"});
        assert_eq!(open_ai(Value::Null, expired), (408, error("batch_expired", "too late")));
        let anthropic = |result: Value| told(Protocol::Anthropic, json!({"custom_id": "k", "result": result}));
        let message = json!({"content": [{"type": "text", "text": "{}"}], "stop_reason": "end_turn"});
        assert_eq!(anthropic(json!({"type": "succeeded", "message": message})), (200, Ok("{}".to_owned())));
        let inner = json!({"type": "invalid_request_error", "message": "no"});
        for wrong in [inner.clone(), json!({"type": "error", "error": inner})] {
            assert_eq!(
                anthropic(json!({"type": "errored", "error": wrong})),
                (400, error("invalid_request_error", "no"))
            );
        }
        assert_eq!(anthropic(json!({"type": "expired"})), (408, error("", "the request is expired")));
        assert!(super::line(Protocol::OpenAi, b"{\"custom_id\": 3}").is_err());
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
