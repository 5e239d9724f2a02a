//! The settings of a live teacher, and the provider that they and the environment name.

use std::{env::VarError, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use apprentice_teacher::{
    Endpoint, Parameters, Protocol,
    live::{Form, is_secret_name},
    votes::Quorum,
};
use clap::Args as ClapArgs;
use serde::{Deserialize, Serialize};

use crate::inputs;

/// How a live teacher is asked.
#[derive(ClapArgs, Serialize)]
#[command(next_help_heading = "Live teacher")]
#[serde(rename_all = "kebab-case")]
pub struct LiveFlags {
    /// The model's name, as the provider has it
    #[arg(long)]
    model: Option<String>,
    /// Where the provider is found [default: `OPENAI_BASE_URL` or `ANTHROPIC_BASE_URL`, else the provider itself]
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// The environment variable that holds the key [default: `OPENAI_API_KEY` or `ANTHROPIC_API_KEY`]
    #[arg(long, value_name = "NAME")]
    api_key_env: Option<String>,
    /// A further header, `name: value`; `${NAME}` in the value stands for an environment variable, and is kept secret
    #[arg(long = "header", value_name = "HEADER")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers: Vec<String>,
    /// Where every request and every answer is kept [default: the output with `.store` behind it]
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
    /// The entity types with their definitions: conll2003, wnut17 or a TOML file [default: conll2003]
    #[arg(long, value_name = "NAME|FILE")]
    label_set: Option<String>,
    /// Which examples a prompt shows besides those of the label set: fixed (none), random:N, nearest:N [default: fixed]
    #[arg(long, value_name = "HOW")]
    examples: Option<String>,
    /// The labelled sentences that these examples come from
    #[arg(long, value_name = "FILE")]
    pool: Option<PathBuf>,
    /// The encoder that says which examples are nearest: a model directory, or the name of a model that `models fetch` has
    /// fetched [default: BM25 over words does]
    #[arg(long, value_name = "ENCODER")]
    examples_encoder: Option<String>,
    /// Decides which examples random:N draws [default: 1]
    #[arg(long)]
    seed: Option<u64>,
    /// How often each sentence is asked; entities are kept on which the answers agree [default: 1]
    #[arg(long, value_name = "N")]
    samples: Option<u32>,
    /// Let the teacher check each of its answers in a second request
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    check: bool,
    /// The share of the answers that must have an entity [default: more than half]
    #[arg(long, value_name = "SHARE")]
    quorum: Option<f64>,
    /// The sampling temperature [default: 0, or with several samples the server's own]
    #[arg(long, value_name = "T")]
    temperature: Option<f64>,
    /// Leave the temperature to the server, for models that take no other
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    server_temperature: bool,
    /// The most tokens of an answer [default: 2048]
    #[arg(long, value_name = "N")]
    max_tokens: Option<u32>,
    /// A further field of the request, such as `seed=1` or `reasoning_effort="low"`; the value is JSON
    #[arg(long = "parameter", value_name = "NAME=JSON")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parameters: Vec<String>,
    /// How the form of answers is held: by schema, json or text; found out if not given, and text for `cot`
    #[arg(long, value_parser = ["schema", "json", "text"])]
    form: Option<String>,
    /// The most requests in flight [default: 32]
    #[arg(long, value_name = "N")]
    concurrency: Option<usize>,
    /// The most requests per minute
    #[arg(long, value_name = "N")]
    requests_per_minute: Option<f64>,
    /// The most tokens per minute, of prompts and answers
    #[arg(long, value_name = "N")]
    tokens_per_minute: Option<f64>,
    /// How often a request is sent at most, if it fails [default: 6]
    #[arg(long, value_name = "N")]
    attempts: Option<u32>,
    /// The seconds that a request may take [default: 120]
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<f64>,
    /// Send no more requests once this much was spent, in the currency of the prices; of batches, whose cost is known only
    /// afterwards, hand over what is estimated to cost less
    #[arg(long, value_name = "AMOUNT")]
    max_cost: Option<f64>,
    /// Send no more than so many requests, failed ones included
    #[arg(long, value_name = "N")]
    max_requests: Option<u64>,
    /// A TOML file with the prices of models per million tokens: `[MODEL]`, `input = …`, `output = …`,
    /// and perhaps `cached = …` and `batch = 0.5`, the share that batches cost
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
}

/// The same, resolved.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct LiveSettings {
    pub model: Option<Arc<str>>,
    pub base_url: Option<String>,
    pub api_key_env: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    pub store: Option<PathBuf>,
    pub label_set: String,
    pub examples: String,
    pub pool: Option<PathBuf>,
    pub examples_encoder: Option<String>,
    pub seed: u64,
    pub samples: u32,
    pub check: bool,
    pub quorum: Option<f64>,
    pub temperature: Option<f64>,
    pub server_temperature: bool,
    pub max_tokens: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<String>,
    pub form: Option<Form>,
    pub concurrency: usize,
    pub requests_per_minute: Option<f64>,
    pub tokens_per_minute: Option<f64>,
    pub attempts: u32,
    pub timeout: f64,
    pub max_cost: Option<f64>,
    pub max_requests: Option<u64>,
    pub prices: Option<PathBuf>,
}

impl Default for LiveSettings {
    fn default() -> Self {
        Self {
            model: None,
            base_url: None,
            api_key_env: None,
            headers: Vec::new(),
            store: None,
            label_set: "conll2003".to_owned(),
            examples: "fixed".to_owned(),
            pool: None,
            examples_encoder: None,
            seed: 1,
            samples: 1,
            check: false,
            quorum: None,
            temperature: None,
            server_temperature: false,
            max_tokens: 2048,
            parameters: Vec::new(),
            form: None,
            concurrency: 32,
            requests_per_minute: None,
            tokens_per_minute: None,
            attempts: 6,
            timeout: 120.0,
            max_cost: None,
            max_requests: None,
            prices: None,
        }
    }
}

impl LiveSettings {
    /// Refuses numbers that would make the job pointless.
    pub fn validate(&self) -> Result<()> {
        let above_0 = [
            ("--requests-per-minute", self.requests_per_minute),
            ("--tokens-per-minute", self.tokens_per_minute),
            ("--max-cost", self.max_cost),
        ];
        for (flag, value) in above_0 {
            if let Some(value) = value.filter(|value| !(value.is_finite() && *value > 0.0)) {
                bail!("{flag} {value}: expected a number above 0");
            }
        }
        let counts = [
            ("--samples", self.samples as usize),
            ("--attempts", self.attempts as usize),
            ("--concurrency", self.concurrency),
            ("--max-tokens", self.max_tokens as usize),
        ];
        if let Some((flag, _)) = counts.iter().find(|(_, count)| *count == 0) {
            bail!("{flag} 0: expected at least 1");
        }
        self.quorum()?;
        match self.temperature {
            Some(t) if !(t.is_finite() && t >= 0.0) => bail!("--temperature {t}: expected a number of at least 0"),
            Some(_) if self.server_temperature => bail!("--temperature with --server-temperature: choose one"),
            _ => Ok(()),
        }
    }

    /// The share of the answers that must have an entity.
    pub fn quorum(&self) -> Result<Quorum> {
        inputs::quorum(self.quorum)
    }

    /// The parameters of every request.
    pub fn parameters(&self) -> Result<Parameters> {
        let mut parameters = Parameters::default();
        parameters.max_tokens = Some(self.max_tokens);
        parameters.temperature = match self.temperature {
            _ if self.server_temperature => None,
            None if self.samples > 1 => None,
            temperature => Some(temperature.unwrap_or(0.0)),
        };
        for parameter in &self.parameters {
            let (name, value) =
                parameter.split_once('=').with_context(|| format!("--parameter `{parameter}`: expected NAME=JSON"))?;
            let value = serde_json::from_str(value)
                .with_context(|| format!("--parameter {name}: expected JSON, such as 1 or \"low\""))?;
            parameters.extra.insert(name.to_owned(), value);
        }
        Ok(parameters)
    }
}

/// The provider with its key, from flags and environment.
pub fn endpoint(protocol: Protocol, live: &LiveSettings, sends: bool) -> Result<Endpoint> {
    let mut endpoint = Endpoint::new(protocol);
    let [key, url] = protocol.variables();
    if let Some(url) = live.base_url.clone().map_or_else(|| variable(url), |url| Ok(Some(url)))? {
        endpoint.url = url;
    }
    let named = live.api_key_env.as_deref();
    endpoint.key = match named {
        Some(name) => Some(required(name).context("--api-key-env")?),
        None => variable(key)?,
    };
    endpoint.key = endpoint.key.map(|key| key.trim().to_owned());
    let is_default = endpoint.url == protocol.default_url();
    if sends && is_default && endpoint.key.is_none() {
        bail!("no key: set {key} in the environment, or pass --base-url for a server that needs none");
    }
    // A key that was meant for one provider is not given to the other.
    let foreign = match protocol {
        Protocol::OpenAi => "anthropic.com",
        Protocol::Anthropic => "openai.com",
    };
    let host = endpoint.host()?;
    if named.is_none() && endpoint.key.is_some() && (host == foreign || host.ends_with(&format!(".{foreign}"))) {
        bail!("{key} would be sent to {host}: choose the provider that is there, or name its key with --api-key-env");
    }
    if protocol == Protocol::OpenAi {
        for (name, header) in [("OPENAI_ORG_ID", "openai-organization"), ("OPENAI_PROJECT_ID", "openai-project")] {
            endpoint.headers.extend(variable(name)?.map(|value| (header.to_owned(), value)));
        }
    }
    for header in &live.headers {
        // Without a colon it may be a key alone: it is not shown.
        let (name, value) = header.split_once(':').context("--header without a colon: expected `name: value`")?;
        let (name, value) = (name.trim().to_lowercase(), value.trim());
        let is_secret = value.contains("${");
        if !is_secret && is_secret_name(&name) {
            bail!(
                "--header {name}: keys stay out of commands and settings: write ${{NAME}} for an environment variable"
            );
        }
        let headers = if is_secret { &mut endpoint.headers } else { &mut endpoint.open_headers };
        headers.push((name, expanded(value).context("--header")?));
    }
    endpoint.timeout = Duration::try_from_secs_f64(live.timeout)
        .ok()
        .filter(|timeout| !timeout.is_zero())
        .with_context(|| format!("--timeout {}: expected a number of seconds above 0", live.timeout))?;
    Ok(endpoint)
}

/// The text with the values of environment variables for `${NAME}`.
fn expanded(text: &str) -> Result<String> {
    let mut parts = text.split("${");
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once('}').context("`${` without `}`")?;
        whole += &required(name)?;
        whole += rest;
    }
    Ok(whole)
}

/// The value of an environment variable; nothing if it is not set, or blank.
fn variable(name: &str) -> Result<Option<String>> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.trim().is_empty())),
        Err(VarError::NotPresent) => Ok(None),
        // The error itself would show the value.
        Err(VarError::NotUnicode(_)) => bail!("the environment variable {} is not UTF-8", shown(name)),
    }
}

/// The value of an environment variable that the user has named.
fn required(name: &str) -> Result<String> {
    variable(name)?.with_context(|| format!("the environment variable {} is not set", shown(name)))
}

/// A variable's name for messages: what does not look like one may be the key itself.
fn shown(name: &str) -> &str {
    let is_usual = name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    if is_usual { name } else { "that it names" }
}
