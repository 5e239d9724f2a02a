//! `annotate` with a live teacher: ask for everything, then make the output of what the store holds.

use std::{
    collections::{HashSet, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use apprentice_core::{Sentence, corpus::Record, files};
use apprentice_teacher::{
    Annotator, Completion, Endpoint, ExamplePool, Examples, Finish, LabelSet, Live, Prompt, Protocol, Report, Request,
    Selector, Stop, Store, Tally, Usage,
    live::{self, Form, Price, Prices, Spent},
    run,
    store::{Contents, OpenedStore, Recovery},
    votes::Quorum,
};
use clap::Args as ClapArgs;
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};

use super::{Args, Settings, print_report};
use crate::{
    inputs::{self, Sentences},
    output,
    outputs::WriteSettings,
    progress::Progress,
};

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
    /// A further header, `name: value`; `${NAME}` in the value stands for an environment variable
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
    /// Decides which examples random:N draws [default: 1]
    #[arg(long)]
    seed: Option<u64>,
    /// How often each sentence is asked; entities are kept on which the answers agree [default: 1]
    #[arg(long, value_name = "N")]
    samples: Option<u32>,
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
    /// Send no more requests once this much was spent, in the currency of the prices
    #[arg(long, value_name = "AMOUNT")]
    max_cost: Option<f64>,
    /// Send no more than so many requests, failed ones included
    #[arg(long, value_name = "N")]
    max_requests: Option<u64>,
    /// A TOML file with the prices of models per million tokens: `[MODEL]`, `input = …`, `output = …`
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
}

/// The same, resolved.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct LiveSettings {
    model: Option<Arc<str>>,
    base_url: Option<String>,
    api_key_env: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers: Vec<String>,
    store: Option<PathBuf>,
    label_set: String,
    examples: String,
    pool: Option<PathBuf>,
    seed: u64,
    samples: u32,
    quorum: Option<f64>,
    temperature: Option<f64>,
    server_temperature: bool,
    max_tokens: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parameters: Vec<String>,
    form: Option<Form>,
    concurrency: usize,
    requests_per_minute: Option<f64>,
    tokens_per_minute: Option<f64>,
    attempts: u32,
    timeout: f64,
    max_cost: Option<f64>,
    max_requests: Option<u64>,
    prices: Option<PathBuf>,
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
            seed: 1,
            samples: 1,
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
    fn check(&self) -> Result<()> {
        let above_0 = [
            ("--requests-per-minute", self.requests_per_minute),
            ("--tokens-per-minute", self.tokens_per_minute),
            ("--max-cost", self.max_cost),
            ("--timeout", Some(self.timeout)),
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
        if let Some(share) = self.quorum.filter(|share| !(*share > 0.0 && *share <= 1.0)) {
            bail!("--quorum {share}: expected a share above 0 and at most 1, such as 0.5");
        }
        match self.temperature {
            Some(t) if !(t.is_finite() && t >= 0.0) => bail!("--temperature {t}: expected a number of at least 0"),
            Some(_) if self.server_temperature => bail!("--temperature with --server-temperature: choose one"),
            _ => Ok(()),
        }
    }
}

/// What a job came to.
#[derive(Serialize)]
struct Account {
    /// What became of the requests of this run; nothing if none was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    requests: Option<Tally>,
    /// What this run has sent and used.
    sent: Spent,
    /// What that costs, if the model's price is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<f64>,
    /// What was found when the store was opened.
    #[serde(flatten)]
    found: Found,
    /// What lies in the store now, from all runs.
    store: Contents,
    /// Sentences without an answer that can be used: refused, filtered, failed, or not asked.
    unanswered: usize,
    /// Sentences with fewer answers than samples were asked for.
    incomplete: usize,
    /// What became of the answers.
    #[serde(flatten)]
    report: Report,
}

/// What was found when a store was opened.
#[derive(Serialize)]
struct Found {
    /// What was lost, if it was damaged.
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery: Option<Recovery>,
    /// Requests of an interrupted run that the provider may ask for.
    interrupted: u64,
}

/// Everything that a job needs, checked before anything is paid for.
struct Job<'a> {
    args: &'a Args,
    settings: &'a Settings,
    live: &'a LiveSettings,
    model: Arc<str>,
    prompt: Prompt,
    price: Option<Price>,
    sentences: Sentences,
    /// How many there are.
    count: usize,
}

pub fn annotate(args: &Args, settings: &Settings, protocol: Protocol, progress: Progress) -> Result<()> {
    let live = &settings.live;
    live.check()?;
    let to = WriteSettings::for_path(&settings.output, args.overwrite)?;
    if let Some(path) = &args.export_transcripts {
        files::check_output(path, args.overwrite)?;
    }
    let model = live.model.clone().context("which model? pass --model NAME, as the provider has it")?;
    let endpoint = endpoint(protocol, live, !args.dry_run && !args.reparse)?;
    let prompt = prompt(settings, progress)?;
    let prices = live.prices.as_deref().map_or_else(|| Ok(Prices::built_in()), Prices::read)?;
    let price = prices.of(&model);
    if live.max_cost.is_some() && price.is_none() {
        bail!("--max-cost: the price of {model} is not known: give it with --prices FILE");
    }
    let sentences = Sentences::open(&settings.input, args.read.options(false))?;
    let count = check_input(&sentences)?;
    let job = Job { args, settings, live, model, prompt, price, sentences, count };
    let store_path = live.store.clone().unwrap_or_else(|| beside(&settings.output, "store"));
    if args.reparse && !store_path.exists() {
        bail!("{}: there is no store to write from: name it with --store", store_path.display());
    }
    if args.dry_run {
        return job.dry_run(&endpoint, &store_path, progress);
    }
    let (store, found) = open_store(&store_path, progress)?;
    let client = Live::new(endpoint, job.client_settings(), store.clone())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let tally = if args.reparse { None } else { Some(runtime.block_on(job.ask(&client, progress))?) };
    let spent = client.spent();
    let cost = price.map(|price| price.of(spent.usage));
    if let Some(tally) = &tally {
        progress.note(summary(tally, &spent, cost));
        // Ctrl-C after the last answer changes nothing.
        let total = job.count * live.samples as usize;
        if let Some(stop) = client.stopped().filter(|_| tally.settled() < total) {
            bail!(
                "{} of {} requests are answered and kept in {}; {stop}; --reparse writes what there is",
                tally.settled() - tally.failed.count,
                total,
                store_path.display()
            );
        }
    }
    runtime.block_on(store.flush())?;
    let (report, unanswered, incomplete) = job.write(&client, &to, progress)?;
    let contents = store.contents()?;
    let account =
        Account { requests: tally, sent: spent, cost, found, store: contents, unanswered, incomplete, report };
    output::write_file(
        &beside(&settings.output, "settings.toml"),
        args.overwrite,
        toml::to_string_pretty(settings)?.as_bytes(),
    )?;
    output::write_file(
        &beside(&settings.output, "report.json"),
        args.overwrite,
        &serde_json::to_vec_pretty(&account)?,
    )?;
    if args.json {
        output::print_json(&account)?;
    } else {
        print_report(&account.report)?;
        if account.unanswered + account.incomplete > 0 {
            output::print(format_args!(
                "{} sentences have no answer, {} fewer answers than samples",
                account.unanswered, account.incomplete
            ))?;
        }
    }
    let failed = account.unanswered + account.incomplete + account.report.failures.len();
    if failed > 0 && !args.skip_failed {
        let first = account.requests.as_ref().map(|tally| &tally.failed).filter(|failed| !failed.is_empty());
        let why = first.map(|failed| format!(" ({failed})")).unwrap_or_default();
        bail!(
            "{failed} of {} sentences could not be annotated as asked{why}; the others are written; --skip-failed makes that no error",
            job.count
        );
    }
    Ok(())
}

/// The path with another ending behind it.
pub fn beside(path: &Path, ending: &str) -> PathBuf {
    PathBuf::from(format!("{}.{ending}", path.display()))
}

/// Reads all of the input once: nothing is paid for before it is known to be sound.
fn check_input(sentences: &Sentences) -> Result<usize> {
    let mut ids = HashSet::new();
    for sentence in sentences.iter() {
        let sentence = sentence?;
        let mut hash = DefaultHasher::new();
        sentence.id().hash(&mut hash);
        // Ids themselves would be too many to hold.
        if !ids.insert(hash.finish()) {
            bail!("two sentences are called {}: expected ids that differ, or files with other names", sentence.id());
        }
    }
    Ok(ids.len())
}

fn open_store(path: &Path, progress: Progress) -> Result<(Arc<Store>, Found)> {
    let busy = || {
        progress.note(format_args!("{}: another process uses this store: waiting until it is done", path.display()));
        true
    };
    let OpenedStore { store, recovery, interrupted } = Store::open(path, &live::read, busy)?;
    if let Some(lost) = &recovery {
        progress.note(format_args!(
            "{}: damaged ({}): {} attempts saved, at least {} lost; the damaged file is kept as {}",
            path.display(),
            lost.why,
            lost.saved,
            lost.lost,
            lost.kept.display()
        ));
    }
    if interrupted > 0 {
        progress.note(format_args!(
            "{}: {interrupted} requests of an interrupted run were sent and their outcome is unknown: the provider may \
             ask for them",
            path.display()
        ));
    }
    Ok((Arc::new(store), Found { recovery, interrupted }))
}

/// The provider with its key, from flags and environment.
fn endpoint(protocol: Protocol, live: &LiveSettings, sends: bool) -> Result<Endpoint> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let mut endpoint = Endpoint::new(protocol);
    let [key, url] = protocol.variables();
    if let Some(url) = live.base_url.clone().or_else(|| variable(url)) {
        endpoint.url = url;
    }
    let named = live.api_key_env.as_deref();
    endpoint.key = variable(named.unwrap_or(key)).map(|key| key.trim().to_owned());
    if let (Some(name), None) = (named, &endpoint.key) {
        bail!("--api-key-env: the environment variable {name} is not set");
    }
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
            endpoint.headers.extend(variable(name).map(|value| (header.to_owned(), value)));
        }
    }
    for header in &live.headers {
        let Some((name, value)) = header.split_once(':') else { bail!("--header `{header}`: expected `name: value`") };
        let (name, value) = (name.trim().to_lowercase(), value.trim());
        if matches!(&*name, "authorization" | "x-api-key" | "api-key") && !value.contains("${") {
            bail!(
                "--header {name}: keys stay out of commands and settings: write ${{NAME}} for an environment variable"
            );
        }
        endpoint.headers.push((name, expanded(value)?));
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
        let Some((name, rest)) = part.split_once('}') else { bail!("--header: `${{` without `}}`") };
        whole += &std::env::var(name).with_context(|| format!("--header: the environment variable {name}"))?;
        whole += rest;
    }
    Ok(whole)
}

fn prompt(settings: &Settings, progress: Progress) -> Result<Prompt> {
    let live = &settings.live;
    let name = settings.strategy.as_deref().unwrap_or("standard");
    let strategy = super::named_strategy(name)?;
    let label_set = LabelSet::built_in(&live.label_set).or_else(|unknown| {
        let path = Path::new(&live.label_set);
        if path.exists() { LabelSet::read(path) } else { Err(unknown) }
    })?;
    let prompt = Prompt::new(&strategy, &label_set)?;
    let number = |text: &str| text.parse().ok().filter(|n| *n > 0);
    let selector = match live.examples.split_once(':') {
        None if live.examples == "fixed" => Selector::Fixed,
        Some(("random", n)) if number(n).is_some() => {
            Selector::Random { n: number(n).unwrap_or_default(), seed: live.seed }
        }
        Some(("nearest", n)) if number(n).is_some() => Selector::Nearest { n: number(n).unwrap_or_default() },
        _ => bail!("--examples {}: expected fixed, random:N or nearest:N", live.examples),
    };
    match (&live.pool, selector) {
        (None, Selector::Fixed) => Ok(prompt),
        (Some(_), Selector::Fixed) => bail!("--pool is of no use with --examples fixed: pass random:N or nearest:N"),
        (None, _) => bail!("--examples {}: which sentences? pass --pool FILE with labelled ones", live.examples),
        (Some(pool), selector) => {
            let corpora = inputs::labelled(std::slice::from_ref(pool), progress)?;
            let pool = ExamplePool::new(corpora.into_iter().flat_map(|corpus| corpus.sentences).collect())?;
            Ok(prompt.with_examples(Examples::new(selector, Arc::new(pool)))?)
        }
    }
}

impl Job<'_> {
    fn client_settings(&self) -> live::Settings {
        let live = self.live;
        let mut settings = live::Settings::default();
        settings.limits.concurrency = live.concurrency;
        settings.limits.requests_per_minute = live.requests_per_minute;
        settings.limits.tokens_per_minute = live.tokens_per_minute;
        settings.attempts = live.attempts;
        settings.form = live.form;
        settings.max_requests = live.max_requests;
        settings.max_cost = live.max_cost.zip(self.price);
        settings
    }

    /// The requests about one sentence.
    fn requests(&self, sentence: &Sentence) -> Result<Vec<Request>> {
        let live = self.live;
        let mut request = self.prompt.request(sentence, self.model.clone())?;
        request.parameters.max_tokens = Some(live.max_tokens);
        request.parameters.temperature = match live.temperature {
            _ if live.server_temperature => None,
            None if live.samples > 1 => None,
            temperature => Some(temperature.unwrap_or(0.0)),
        };
        for parameter in &live.parameters {
            let (name, value) =
                parameter.split_once('=').with_context(|| format!("--parameter `{parameter}`: expected NAME=JSON"))?;
            let value = serde_json::from_str(value)
                .with_context(|| format!("--parameter {name}: expected JSON, such as 1 or \"low\""))?;
            request.parameters.extra.insert(name.to_owned(), value);
        }
        // Reasoning in prose needs no schema, unless one is asked for.
        let is_formed = live.form.map_or(!self.prompt.reasons(), |form| form != Form::Text);
        request.schema = is_formed.then(|| Arc::new(self.prompt.schema()));
        let sample = |sample| {
            let mut request = request.clone();
            request.sample = sample;
            request
        };
        Ok((0..live.samples).map(sample).collect())
    }

    fn all_requests(&self) -> impl Iterator<Item = Result<Request>> {
        self.sentences.iter().flat_map(|sentence| match sentence.and_then(|sentence| self.requests(&sentence)) {
            Ok(requests) => requests.into_iter().map(Ok).collect::<Vec<_>>(),
            Err(error) => vec![Err(error)],
        })
    }

    /// Asks for everything that the store does not have.
    async fn ask(&self, client: &Live, progress: Progress) -> Result<Tally> {
        let total = self.count * self.live.samples as usize;
        let bar = progress.bar(total, &format!("ask {}", self.model));
        let show = |tally: &Tally| show(&bar, tally, &client.spent(), self.price);
        let job = run(client, self.all_requests(), self.live.concurrency, show);
        let mut job = std::pin::pin!(job);
        let tally = loop {
            tokio::select! {
                done = &mut job => break done,
                pressed = tokio::signal::ctrl_c() => {
                    pressed?;
                    if client.stopped().is_some() {
                        bail!("interrupted twice: what was in flight may be paid for and lost; run the same command again to go on");
                    }
                    client.stop(Stop::Interrupted);
                    bar.suspend(|| progress.note("interrupted: waiting for what is in flight; once more to give it up"));
                }
            }
        };
        bar.finish_and_clear();
        tally.map_err(|(_, error)| error)
    }

    /// Writes what the store has, in the order of the input. Gives the account, how many sentences have no answer, and how
    /// many have fewer than samples were asked for.
    fn write(&self, client: &Live, to: &WriteSettings, progress: Progress) -> Result<(Report, usize, usize)> {
        let labels = if self.settings.labels.is_empty() {
            self.prompt.label_set().labels()
        } else {
            self.settings.labels.clone()
        };
        let mut annotator = Annotator::new(&labels);
        let quorum = self.live.quorum.map_or(Quorum::Majority, Quorum::AtLeast);
        let mut transcripts = match &self.args.export_transcripts {
            Some(path) => Some(files::AtomicFile::create(path, self.args.overwrite)?),
            None => None,
        };
        let (mut unanswered, mut incomplete) = (0, 0);
        let bar = progress.bar(self.count, "annotate");
        to.write(&self.settings.output, |take| {
            for sentence in self.sentences.iter() {
                bar.inc(1);
                let sentence = sentence?;
                let completions = self.completions(client, &sentence)?;
                if let Some(file) = &mut transcripts {
                    export(file, &completions)?;
                }
                let annotated = match completions.as_slice() {
                    [] => {
                        unanswered += 1;
                        None
                    }
                    [(_, only)] if self.live.samples == 1 => annotator.annotate(&sentence, only),
                    several => {
                        incomplete += usize::from(several.len() < self.live.samples as usize);
                        let several = several.iter().map(|(_, completion)| completion);
                        annotator.annotate_votes(&sentence, several, quorum).map(|voted| voted.sentence)
                    }
                };
                if let Some(annotated) = annotated {
                    take(Record::from(&annotated))?;
                }
            }
            if annotator.report().done == 0 {
                bail!("no sentence has an answer that can be used: nothing was written");
            }
            Ok(())
        })?;
        bar.finish_and_clear();
        if let Some(file) = transcripts {
            file.commit()?;
        }
        Ok((annotator.finish(), unanswered, incomplete))
    }

    /// The answers to a sentence that the store has, each with the number of its sample.
    fn completions(&self, client: &Live, sentence: &Sentence) -> Result<Vec<(u32, Completion)>> {
        let mut completions = Vec::new();
        for request in self.requests(sentence)? {
            let response = client.stored(&client.key(&request))?;
            if let Some(response) = response.filter(|r| matches!(r.finish, Finish::Stop | Finish::Length)) {
                completions.push((request.sample, request.completed(response)));
            }
        }
        Ok(completions)
    }

    /// Shows one prompt, and what the job would need.
    fn dry_run(&self, endpoint: &Endpoint, store: &Path, progress: Progress) -> Result<()> {
        let stored = if store.exists() { Some(open_store(store, progress)?.0) } else { None };
        let (mut first, mut asked, mut answered, mut tokens) = (None, 0_u64, 0_u64, 0_u64);
        for request in self.all_requests() {
            let request = request?;
            let known =
                stored.as_ref().map(|store| store.answer(&live::key(endpoint, self.live.form, &request), |_| Some(())));
            if known.transpose()?.flatten().is_some() {
                answered += 1;
                continue;
            }
            asked += 1;
            tokens += request.messages.iter().map(|message| live::estimate(&message.content)).sum::<u64>();
            first.get_or_insert(request);
        }
        if let Some(request) = &first {
            for message in &request.messages {
                output::print(format_args!("--- {:?}\n{}", message.role, message.content))?;
            }
        }
        // A name in JSON is some twelve tokens, and a sentence has one or two; reasoning is some two hundred.
        let each = if self.prompt.reasons() { 250 } else { 40 };
        let usage = Usage { input: tokens, cached: 0, output: asked * each };
        let cost = self
            .price
            .map_or("unknown (give --prices FILE)".to_owned(), |price| format!("about {:.2}", price.of(usage)));
        let by_rate = [
            self.live.requests_per_minute.map(|rate| asked as f64 / rate),
            self.live.tokens_per_minute.map(|rate| (usage.input + usage.output) as f64 / rate),
        ];
        let minutes = by_rate.into_iter().flatten().fold(0.0, f64::max);
        let time = if minutes > 0.0 {
            format!("at least {minutes:.1} minutes by the limits")
        } else {
            "as fast as the provider allows".into()
        };
        output::print(format_args!(
            "--- {asked} requests to {} ({answered} more are answered in the store), about {} tokens in and {} out, cost {cost}, {time}; nothing was sent",
            endpoint.url, usage.input, usage.output
        ))
    }
}

/// One completion a line; of several answers to one sentence, the later ones are under a strategy of their own, `cot#2`,
/// because a transcript has one answer for each.
fn export(file: &mut impl Write, completions: &[(u32, Completion)]) -> Result<()> {
    for (sample, completion) in completions {
        let mut completion = completion.clone();
        if *sample > 0 {
            completion.strategy = format!("{}#{}", completion.strategy, sample + 1).into();
        }
        writeln!(file, "{}", serde_json::to_string(&completion)?)?;
    }
    Ok(())
}

fn show(bar: &ProgressBar, tally: &Tally, spent: &Spent, price: Option<Price>) {
    bar.set_position(tally.settled() as u64);
    let cost = price.map_or(String::new(), |price| format!(", cost {:.4}", price.of(spent.usage)));
    bar.set_message(format!("{} failed, {} sent{cost}", tally.failed.count, spent.requests));
}

fn summary(tally: &Tally, spent: &Spent, cost: Option<f64>) -> String {
    let Usage { input, cached, output } = spent.usage;
    let cost = cost.map_or(String::new(), |cost| format!(", cost {cost:.4}"));
    let unknown = match spent.unknown {
        0 => String::new(),
        n => format!("; of {n} the outcome is unknown: the provider may ask for them"),
    };
    format!(
        "{} requests: {} done, {} truncated, {} refused, {} filtered, {} failed, {} left; {} sent in this run, {input} tokens in \
         ({cached} cached), {output} out{cost}{unknown}",
        tally.asked,
        tally.done,
        tally.truncated,
        tally.refused,
        tally.filtered,
        tally.failed.count,
        tally.left,
        spent.requests
    )
}
