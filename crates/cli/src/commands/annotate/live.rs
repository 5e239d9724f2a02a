//! `annotate` with a live teacher: ask for everything, then make the output of what the store holds.

use std::{
    collections::{HashSet, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use apprentice_core::{Sentence, corpus::Record, files};
use apprentice_teacher::{
    Annotator, Completion, Endpoint, ExamplePool, Examples, Finish, LabelSet, Live, Parameters, Prompt, Protocol,
    Report, Request, Selector, Stop, Store, Tally, Usage,
    live::{self, Form, Price, Prices, Spent},
    run,
    store::{Contents, OpenedStore, Recovery},
    votes::Quorum,
};
use indicatif::ProgressBar;
use serde::Serialize;

use super::{
    Args, Settings, finish, print_report,
    provider::{LiveSettings, endpoint},
};
use crate::{
    inputs::{self, Sentences},
    output,
    outputs::WriteSettings,
    progress::Progress,
};

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
    parameters: Parameters,
    schema: Option<Arc<serde_json::Value>>,
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
    let parameters = live.parameters()?;
    // Reasoning in prose needs no schema, unless one is asked for.
    let is_formed = live.form.map_or(!prompt.reasons(), |form| form != Form::Text);
    let schema = is_formed.then(|| Arc::new(prompt.schema()));
    let job = Job { args, settings, live, model, prompt, parameters, schema, price, sentences, count };
    let store_path = live.store.clone().unwrap_or_else(|| beside(&settings.output, "store"));
    if args.reparse && !store_path.exists() {
        bail!("{}: there is no store to write from: name it with --store", store_path.display());
    }
    if args.dry_run {
        return job.dry_run(&endpoint, &store_path, progress);
    }
    // What could not be written in the end is not paid for.
    let settings_path = beside(&settings.output, "settings.toml");
    drop(files::AtomicFile::create(&settings_path, args.overwrite)?);
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
    let failures = tally.as_ref().map(|tally| &tally.failed).filter(|failed| !failed.is_empty());
    let why = failures.map(|failed| format!(" ({failed})")).unwrap_or_default();
    let written = job.write(&client, &to, progress);
    let (report, unanswered, incomplete) = match failures {
        Some(failed) => written.with_context(|| format!("{} requests failed{why}", failed.count))?,
        None => written?,
    };
    let contents = store.contents()?;
    let account =
        Account { requests: tally, sent: spent, cost, found, store: contents, unanswered, incomplete, report };
    output::write_file(&settings_path, args.overwrite, toml::to_string_pretty(settings)?.as_bytes())?;
    finish(args, settings, &account, progress, || {
        print_report(&account.report)?;
        if account.unanswered + account.incomplete > 0 {
            output::print(format_args!(
                "{} sentences have no answer, {} fewer answers than samples",
                account.unanswered, account.incomplete
            ))?;
        }
        Ok(())
    })?;
    let failed = account.unanswered + account.incomplete + account.report.failures.len();
    if failed > 0 && !args.skip_failed {
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
        let mut request = self.prompt.request(sentence, self.model.clone())?;
        request.parameters = self.parameters.clone();
        request.schema.clone_from(&self.schema);
        let sample = |sample| {
            let mut request = request.clone();
            request.sample = sample;
            request
        };
        Ok((0..self.live.samples).map(sample).collect())
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
