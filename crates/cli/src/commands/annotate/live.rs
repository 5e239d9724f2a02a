//! `annotate` with a live teacher: ask for everything, then make the output of what the store holds.

use std::{
    collections::{HashSet, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    io::Write,
    path::Path,
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use apprentice_core::{Sentence, files};
use apprentice_teacher::{
    Endpoint, ExamplePool, Examples, Finish, LabelSet, Live, Parameters, Prompt, Protocol, Request, Response, Selector,
    Stop, Store, Tally, Usage,
    live::{self, Batches, Fetched, Form, Parts, Price, Prices, Spent},
    prompt::checked,
    run,
    store::{Contents, OpenedStore, Recovery},
};
use indicatif::ProgressBar;
use serde::Serialize;

use super::{
    Args, SETTINGS, Settings, beside, finish, named_strategy,
    nearest::Embedded,
    provider::{LiveSettings, endpoint},
    sheet::{Account, Answers, Gold, Role, Sheet},
};
use crate::{
    inputs::{self, Sentences},
    output,
    outputs::WriteSettings,
    progress::Progress,
};

/// What a job came to.
#[derive(Serialize)]
struct JobAccount<'a> {
    /// What became of the requests of this run; nothing if none was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    requests: Option<Tally>,
    /// What this run has sent and used.
    sent: Spent,
    /// What that costs, if the model's price is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<f64>,
    /// What became of batches, if requests went in such.
    #[serde(skip_serializing_if = "Option::is_none")]
    batches: Option<Fetched>,
    /// What was found when the store was opened.
    #[serde(flatten)]
    found: Found,
    /// What lies in the store now, from all runs.
    store: Contents,
    #[serde(flatten)]
    account: &'a Account,
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
pub struct Job<'a> {
    pub args: &'a Args,
    settings: &'a Settings,
    pub live: &'a LiveSettings,
    model: Arc<str>,
    /// One for each strategy, with the schema of its answers where they have one.
    prompts: Vec<(Prompt, Option<Arc<serde_json::Value>>)>,
    parameters: Parameters,
    price: Option<Price>,
    sentences: Sentences,
    /// How many there are.
    count: usize,
}

pub fn annotate(args: &Args, settings: &Settings, protocol: Protocol, progress: Progress) -> Result<()> {
    let live = &settings.live;
    let to = WriteSettings::for_path(&settings.output, args.overwrite)?;
    if let Some(path) = &args.export_transcripts {
        files::check_output(path, args.overwrite)?;
    }
    let model = live.model.clone().context("which model? pass --model NAME, as the provider has it")?;
    let endpoint = endpoint(protocol, live, !args.dry_run && !args.reparse)?;
    let prompts = prompts(settings, progress)?;
    let prices = live.prices.as_deref().map_or_else(|| Ok(Prices::built_in()), Prices::read)?;
    let price = prices.of(&model);
    if live.max_cost.is_some() && price.is_none() {
        bail!("--max-cost: the price of {model} is not known: give it with --prices FILE");
    }
    let sentences = Sentences::open(&settings.input, args.read.options(false))?;
    let mut gold = Gold::read(args.gold.as_deref(), &args.read, progress)?;
    let count = check_input(&sentences, &mut gold)?;
    let parameters = live.parameters()?;
    // Reasoning in prose needs no schema, unless one is asked for.
    let is_formed = |prompt: &Prompt| live.form.map_or(!prompt.reasons(), |form| form != Form::Text);
    let with_schema = |prompt: Prompt| {
        let schema = is_formed(&prompt).then(|| Arc::new(prompt.schema()));
        (prompt, schema)
    };
    let prompts = prompts.into_iter().map(with_schema).collect();
    let job = Job { args, settings, live, model, prompts, parameters, price, sentences, count };
    let store_path = live.store.clone().unwrap_or_else(|| beside(&settings.output, "store"));
    if args.reparse && !store_path.exists() {
        bail!("{}: there is no store to write from: name it with --store", store_path.display());
    }
    if args.dry_run {
        return job.dry_run(&endpoint, &store_path, progress);
    }
    // What could not be written in the end is not paid for.
    drop(files::AtomicFile::create(&beside(&settings.output, SETTINGS), args.overwrite)?);
    let (store, found) = open_store(&store_path, progress)?;
    let batches = job.batches(&endpoint, &store)?;
    let client = Live::new(endpoint, job.client_settings(), store.clone())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    if let Some(batches) = &batches {
        runtime.block_on(job.give_up(batches, progress))?;
    }
    let batches = batches.filter(|_| args.batches.batch);
    // What became of the requests, and how many there were to be.
    let asked = match &batches {
        _ if args.reparse => None,
        None => Some(runtime.block_on(job.ask(&client, progress))?),
        Some(batches) => match runtime.block_on(job.ask_in_batches(batches, &client, progress))? {
            None => return Ok(()),
            Some(tally) => Some((tally.asked, tally)),
        },
    };
    let (expected, tally) = asked.unzip();
    let spent = batches.as_ref().map_or_else(|| client.spent(), Batches::spent);
    let paid = if batches.is_some() { price.map(|price| price.in_batch()) } else { price };
    let cost = paid.map(|price| price.of(spent.usage));
    let stopped = batches.as_ref().map_or_else(|| client.stopped(), Batches::stopped);
    if let Some(tally) = &tally {
        progress.note(summary(tally, &spent, cost));
        // Ctrl-C after the last answer changes nothing.
        let expected = expected.unwrap_or_default();
        if let Some(stop) = stopped.filter(|_| tally.settled() - tally.later() < expected) {
            bail!(
                "{} of {expected} requests are answered and kept in {}; {stop}; --reparse writes what there is",
                tally.settled() - tally.failed.count,
                store_path.display()
            );
        }
    }
    runtime.block_on(store.flush())?;
    let failed = tally.as_ref().map(|tally| tally.failed.clone()).filter(|failed| !failed.is_empty());
    let written = job.write(&client, &to, gold, progress);
    let account = match &failed {
        Some(failed) => written.with_context(|| format!("{} requests failed ({failed})", failed.count))?,
        None => written?,
    };
    let contents = store.contents()?;
    let batches = batches.map(|batches| batches.fetched());
    let job_account =
        JobAccount { requests: tally, sent: spent, cost, batches, found, store: contents, account: &account };
    finish(args, settings, &account, &job_account)?;
    if args.skip_failed { Ok(()) } else { account.require_all(failed.as_ref()) }
}

/// Reads all of the input once: nothing is paid for before it is known to be sound.
fn check_input(sentences: &Sentences, gold: &mut Gold) -> Result<usize> {
    let mut ids = HashSet::new();
    for sentence in sentences.iter() {
        let sentence = sentence?;
        let mut hash = DefaultHasher::new();
        sentence.id().hash(&mut hash);
        // Ids themselves would be too many to hold.
        if !ids.insert(hash.finish()) {
            bail!("two sentences are called {}: expected ids that differ, or files with other names", sentence.id());
        }
        gold.check(&sentence)?;
    }
    gold.check_met()?;
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

/// A prompt for each strategy that is asked for.
fn prompts(settings: &Settings, progress: Progress) -> Result<Vec<Prompt>> {
    let live = &settings.live;
    let label_set = LabelSet::built_in(&live.label_set).or_else(|unknown| {
        let path = Path::new(&live.label_set);
        if path.exists() { LabelSet::read(path) } else { Err(unknown) }
    })?;
    let named = if settings.strategy.is_empty() { &["standard".to_owned()][..] } else { &settings.strategy };
    let mut prompts = Vec::new();
    for name in named {
        let prompt = Prompt::new(&named_strategy(name)?, &label_set)?;
        if prompts.iter().any(|other: &Prompt| other.name() == prompt.name()) {
            bail!("--strategy: {} twice", prompt.name());
        }
        prompts.push(prompt);
    }
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
        (None, Selector::Fixed) => Ok(prompts),
        (Some(_), Selector::Fixed) => bail!("--pool is of no use with --examples fixed: pass random:N or nearest:N"),
        (None, _) => bail!("--examples {}: which sentences? pass --pool FILE with labelled ones", live.examples),
        (Some(pool), selector) => {
            let corpora = inputs::labelled(std::slice::from_ref(pool), progress)?;
            let pool = ExamplePool::new(corpora.into_iter().flat_map(|corpus| corpus.sentences).collect())?;
            let pool = Arc::new(pool);
            let examples = match (selector, &live.examples_encoder) {
                (Selector::Nearest { n }, Some(encoder)) => Examples::nearest(n, Embedded::new(encoder, &pool)?, pool),
                (_, Some(_)) => bail!("--examples-encoder is of use with --examples nearest:N alone"),
                (selector, None) => Examples::new(selector, pool),
            };
            prompts.into_iter().map(|prompt| Ok(prompt.with_examples(examples.clone())?)).collect()
        }
    }
}

impl Job<'_> {
    pub fn client_settings(&self) -> live::Settings {
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

    /// How many first answers there are to be.
    const fn first_answers(&self) -> usize {
        self.count * self.prompts.len() * self.live.samples as usize
    }

    /// The requests about one sentence under one strategy.
    fn requests(&self, sentence: &Sentence, prompt: usize) -> Result<Vec<Request>> {
        let (prompt, schema) = &self.prompts[prompt];
        let mut request = prompt.request(sentence, self.model.clone())?;
        request.parameters = self.parameters.clone();
        request.schema.clone_from(schema);
        let sample = |sample| {
            let mut request = request.clone();
            request.sample = sample;
            request
        };
        Ok((0..self.live.samples).map(sample).collect())
    }

    /// What `of` makes of each sentence and strategy.
    fn all<'a>(
        &'a self,
        of: impl Fn(&Sentence, usize) -> Result<Vec<Request>> + Copy + 'a,
    ) -> impl Iterator<Item = Result<Request>> + 'a {
        let of_sentence = move |sentence: &Sentence| {
            let requests: Result<Vec<Vec<Request>>> =
                (0..self.prompts.len()).map(|prompt| of(sentence, prompt)).collect();
            requests.map(|requests| requests.concat())
        };
        self.sentences.iter().flat_map(move |sentence| match sentence.and_then(|sentence| of_sentence(&sentence)) {
            Ok(requests) => requests.into_iter().map(Ok).collect::<Vec<_>>(),
            Err(error) => vec![Err(error)],
        })
    }

    pub fn first_requests(&self) -> impl Iterator<Item = Result<Request>> {
        self.all(|sentence, prompt| self.requests(sentence, prompt))
    }

    /// The answers that are to be checked, as requests to do so. An answer that is not whole is not checked.
    pub fn check_requests<'a>(&'a self, client: &'a Live) -> impl Iterator<Item = Result<Request>> + 'a {
        self.all(|sentence, prompt| {
            let mut checks = Vec::new();
            for request in self.requests(sentence, prompt)? {
                checks.extend(check_of(client, &request)?);
            }
            Ok(checks)
        })
    }

    /// The tokens that an answer is taken to have.
    pub fn answer_tokens(&self) -> u64 {
        self.prompts.iter().map(|(prompt, _)| answer_tokens(prompt)).max().unwrap_or(0)
    }

    /// Asks for everything that the store does not have. How many requests it takes, and what became of them.
    async fn ask(&self, client: &Live, progress: Progress) -> Result<(usize, Tally)> {
        let mut expected = self.first_answers();
        let bar = progress.bar(expected, &format!("ask {}", self.model));
        let mut tally = self.round(client, self.first_requests(), &bar, progress).await?;
        if self.live.check {
            // Whole answers are checked.
            expected += tally.done;
            bar.set_length(expected as u64);
            if client.stopped().is_none() {
                tally.extend(self.round(client, self.check_requests(client), &bar, progress).await?);
            }
        }
        bar.finish_and_clear();
        Ok((expected, tally))
    }

    async fn round(
        &self,
        client: &Live,
        requests: impl Iterator<Item = Result<Request>>,
        bar: &ProgressBar,
        progress: Progress,
    ) -> Result<Tally> {
        let before = bar.position();
        let show = |tally: &Tally| show(bar, before, tally, &client.spent(), self.price);
        let job = run(client, requests, self.live.concurrency, show);
        let mut job = std::pin::pin!(job);
        loop {
            tokio::select! {
                done = &mut job => return done.map_err(|(_, error)| error),
                pressed = tokio::signal::ctrl_c() => {
                    pressed?;
                    if client.stopped().is_some() {
                        bail!("interrupted twice: what was in flight may be paid for and lost; run the same command again to go on");
                    }
                    client.stop(Stop::Interrupted);
                    bar.suspend(|| progress.note("interrupted: waiting for what is in flight; once more to give it up"));
                }
            }
        }
    }

    /// Writes what the store has, in the order of the input.
    fn write(&self, client: &Live, to: &WriteSettings, gold: Gold, progress: Progress) -> Result<Account> {
        let labels = if self.settings.labels.is_empty() {
            self.prompts[0].0.label_set().labels()
        } else {
            self.settings.labels.clone()
        };
        let mut strategies = Vec::new();
        for (prompt, _) in &self.prompts {
            let name: Arc<str> = prompt.name().into();
            strategies.push((name.clone(), if self.live.check { Role::Draft } else { Role::Votes }));
            strategies.extend(self.live.check.then(|| (checked(&name), Role::Votes)));
        }
        let mut sheet =
            Sheet::new(strategies, &labels, self.settings.overlaps).with_quorum(self.live.quorum()?).with_gold(gold);
        let mut transcripts = match &self.args.export_transcripts {
            Some(path) => Some(files::AtomicFile::create(path, self.args.overwrite)?),
            None => None,
        };
        let answers = |sentence: &Sentence| {
            let mut all = Vec::new();
            for prompt in 0..self.prompts.len() {
                all.extend(self.answers(client, sentence, prompt)?);
            }
            if let Some(file) = &mut transcripts {
                for completion in all.iter().flat_map(|answers| &answers.completions) {
                    writeln!(file, "{}", serde_json::to_string(completion)?)?;
                }
            }
            Ok(all)
        };
        let bar = progress.bar(self.count, "annotate");
        sheet.write((&self.settings.output, to), self.sentences.iter(), answers, &bar)?;
        if let Some(file) = transcripts {
            file.commit()?;
        }
        sheet.finish()
    }

    /// The answers to a sentence that the store has: those of the strategy, and where they are checked, the checked ones.
    fn answers(&self, client: &Live, sentence: &Sentence, prompt: usize) -> Result<Vec<Answers>> {
        let (mut first, mut checked) = (Answers::default(), Answers::default());
        for request in self.requests(sentence, prompt)? {
            if self.live.check {
                match check_of(client, &request)? {
                    Some(check) => self.take(client, &check, &mut checked)?,
                    None => checked.asked += 1,
                }
            }
            self.take(client, &request, &mut first)?;
        }
        Ok(if self.live.check { vec![first, checked] } else { vec![first] })
    }

    /// Takes what the store has for a request to the other answers.
    fn take(&self, client: &Live, request: &Request, answers: &mut Answers) -> Result<()> {
        answers.asked += 1;
        let Some(response) = stored(client, request)? else { return Ok(()) };
        if let Some(usage) = response.usage {
            *answers.usage.get_or_insert_default() += usage;
        }
        if let Some(cost) = self.price.and_then(|price| price.of_answer(&response)) {
            *answers.cost.get_or_insert_default() += cost;
        }
        if matches!(response.finish, Finish::Stop | Finish::Length) {
            answers.completions.push(request.completed(response));
        }
        Ok(())
    }

    /// Shows one prompt, and what the job would need.
    fn dry_run(&self, endpoint: &Endpoint, store: &Path, progress: Progress) -> Result<()> {
        let stored = if store.exists() { Some(open_store(store, progress)?.0) } else { None };
        let (mut shown, mut asked, mut answered, mut waiting) = (Vec::<Request>::new(), 0_u64, 0_u64, 0_u64);
        let mut usage = Usage::default();
        let flags = &self.args.batches;
        let mut parts = Parts::new(flags.size(endpoint.protocol, self.answer_tokens())?);
        for request in self.first_requests() {
            let request = request?;
            let key = live::key(endpoint, self.live.form, &request);
            let known = stored.as_ref().map(|store| store.answer(&key, |_| Some(())));
            if known.transpose()?.flatten().is_some() {
                answered += 1;
                continue;
            }
            if stored.as_ref().map_or(Ok(false), |store| store.waits(&key))? {
                waiting += 1;
                continue;
            }
            if flags.batch {
                parts.add_request(endpoint, self.live.form, &request);
            }
            asked += 1;
            let prompt = self.prompts.iter().find(|(prompt, _)| prompt.name() == &*request.strategy);
            let answer = prompt.map_or(0, |(prompt, _)| answer_tokens(prompt));
            usage += Usage { input: live::estimate_of(&request), cached: 0, output: answer };
            if self.live.check {
                // The same once more, with the answer and the order to check it.
                let input = live::estimate_of(&Prompt::check(&request, "")) + answer;
                usage += Usage { input, cached: 0, output: answer };
                asked += 1;
            }
            if shown.iter().all(|other| other.strategy != request.strategy) {
                shown.push(request);
            }
        }
        for request in &shown {
            for message in &request.messages {
                output::print(format_args!("--- {}, {:?}\n{}", request.strategy, message.role, message.content))?;
            }
        }
        let cost = self
            .price
            .map(|price| if flags.batch { price.in_batch() } else { price })
            .map_or("unknown (give --prices FILE)".to_owned(), |price| format!("about {:.2}", price.of(usage)));
        let by_rate = [
            self.live.requests_per_minute.map(|rate| asked as f64 / rate),
            self.live.tokens_per_minute.map(|rate| (usage.input + usage.output) as f64 / rate),
        ];
        let minutes = by_rate.into_iter().flatten().fold(0.0, f64::max);
        let time = if flags.batch {
            format!("in {} batches, within a day", parts.count())
        } else if minutes > 0.0 {
            format!("at least {minutes:.1} minutes by the limits")
        } else {
            "as fast as the provider allows".into()
        };
        let in_batches = if waiting > 0 { format!(", {waiting} in batches not fetched yet") } else { String::new() };
        output::print(format_args!(
            "--- {asked} requests to {} ({answered} more are answered in the store{in_batches}), about {} tokens in and {} out, cost {cost}, {time}; nothing was sent",
            endpoint.url, usage.input, usage.output
        ))
    }
}

/// The tokens that an answer is taken to have: a name in JSON is some twelve, and a sentence has one or two; reasoning is
/// some two hundred.
const fn answer_tokens(prompt: &Prompt) -> u64 {
    if prompt.reasons() { 250 } else { 40 }
}

/// What the store has for a request.
fn stored(client: &Live, request: &Request) -> Result<Option<Response>> {
    Ok(client.stored(&client.key(request))?)
}

/// The request to check the answer to `request`, if there is a whole one.
fn check_of(client: &Live, request: &Request) -> Result<Option<Request>> {
    let answer = stored(client, request)?.filter(|answer| answer.finish == Finish::Stop);
    Ok(answer.map(|answer| Prompt::check(request, &answer.text)))
}

fn show(bar: &ProgressBar, before: u64, tally: &Tally, spent: &Spent, price: Option<Price>) {
    bar.set_position(before + tally.settled() as u64);
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
