//! The questions of an experiment, answered in sentences.

use serde::Serialize;
use toml::Table;

use super::{
    Report, budget,
    gather::Reader,
    pairs::{Pair, Pairs, corrected, once},
    words,
};
use crate::{LabError, Question, System};

/// The answer to a question.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// The question.
    pub ask: String,
    /// In a word.
    pub verdict: Verdict,
    /// In a sentence.
    pub answer: String,
    /// What belongs to it.
    pub more: Vec<String>,
    /// What it rests on; p-values are corrected over all of these.
    pub pairs: Vec<Pair>,
}

/// An answer in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// All that was compared can be told apart.
    Different,
    /// Some of it can.
    Mixed,
    /// Nothing can.
    NotDistinguishable,
    /// It is tested, but one seed says nothing of others.
    OneSeed,
    /// A number was asked for.
    Measured,
    /// The runs that it takes are not done, or nothing was tested.
    Open,
}

impl Verdict {
    /// As the page says it.
    #[must_use]
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Different => "a difference",
            Self::Mixed => "in part",
            Self::NotDistinguishable => "not distinguishable",
            Self::OneSeed => "one seed",
            Self::Measured => "measured",
            Self::Open => "open",
        }
    }

    fn of(pairs: &[Pair], significance: f64) -> Self {
        let tested = pairs.iter().filter(|pair| pair.untested.is_none());
        if tested.clone().any(|pair| pair.seeds == Some(1)) {
            return Self::OneSeed;
        }
        let tested: Vec<bool> = tested.filter_map(|pair| pair.f1.is_distinguishable(significance)).collect();
        match (tested.contains(&true), tested.contains(&false)) {
            (true, false) => Self::Different,
            (true, true) => Self::Mixed,
            (false, true) => Self::NotDistinguishable,
            (false, false) => Self::Open,
        }
    }
}

impl Answer {
    fn new(ask: &str, verdict: Verdict, answer: impl Into<String>) -> Self {
        Self { ask: ask.to_owned(), verdict, answer: answer.into(), more: Vec::new(), pairs: Vec::new() }
    }

    fn of(ask: &str, pairs: Vec<Pair>, report: &Report, answer: impl Into<String>) -> Self {
        let verdict = Verdict::of(&pairs, report.settings.significance);
        let more =
            pairs.iter().map(ToString::to_string).filter(|more| !more.is_empty()).map(|more| more.trim().to_owned());
        Self { more: more.collect(), pairs, ..Self::new(ask, verdict, answer) }
    }
}

/// Answers all questions, and puts the curves of budgets into the report.
pub(super) fn answer(
    report: &mut Report,
    points: &[System],
    reader: &mut Reader<'_>,
    pairs: &mut Pairs<'_>,
) -> Result<(), LabError> {
    for question in &reader.grid.experiment.questions {
        let answer = match question {
            Question::Teacher { ask, data } => teacher(report, ask, data)?,
            Question::Best { ask, among } => best(report, points, pairs, ask, among)?,
            Question::Change { ask, from, to } => change(report, points, pairs, (ask, from, to))?,
            Question::Budget { ask, without, with } => {
                let budgets = budget::curves(report, points, pairs, (ask, without, with))?;
                let answer = worth(report, ask, &budgets);
                report.budgets.extend(budgets);
                answer
            }
        };
        report.answers.push(answer);
    }
    Ok(())
}

/// `a has a higher F1 than b: 0.8543 against 0.8420, +0.0123 (…).`
fn compared(pair: &Pair, report: &Report) -> String {
    let Pair { system, with, f1, seeds, .. } = pair;
    let [first, second] = [f1.first, f1.second].map(words::share);
    let numbers = format!("{first} against {second}, {}", f1.in_words());
    let over = seeds.map_or(String::new(), |seeds| format!(", over {}", words::count(seeds, "seed")));
    match (f1.is_distinguishable(report.settings.significance), f1.difference > 0.0) {
        (Some(true), true) => format!("{system} has a higher F1 than {with}: {numbers}{over}."),
        (Some(true), false) => format!("{system} has a lower F1 than {with}: {numbers}{over}."),
        (Some(false), _) => format!("{system} and {with} are not distinguishable: F1 {numbers}{over}."),
        (None, _) => format!("{system} and {with}: F1 {numbers}{over}."),
    }
}

/// `a less b: +0.0123 (…)`, one of several.
fn brief(Pair { system, with, f1, .. }: &Pair) -> String {
    format!("{system} less {with}: {}", f1.in_words())
}

fn teacher(report: &Report, ask: &str, data: &[String]) -> Result<Answer, LabError> {
    let measured: Vec<_> =
        data.iter().filter_map(|name| report.teachers.iter().find(|teacher| teacher.data == *name)).collect();
    let [first, others @ ..] = &measured[..] else {
        return Ok(Answer::new(
            ask,
            Verdict::Open,
            "There are no human labels of the teacher's sentences to measure it by.",
        ));
    };
    let mut pairs = Vec::new();
    for other in others {
        pairs.extend(other.less(first, &report.settings.resampling)?);
    }
    let pairs = corrected(pairs)?;
    let scores = |teacher: &&super::Teacher| {
        let prf = teacher.scores.micro.prf;
        let interval = teacher.intervals.map_or(String::new(), |intervals| {
            format!(" ({} interval {})", words::level(intervals.f1.level), words::between(&intervals.f1))
        });
        let [precision, recall, f1] = [prf.precision, prf.recall, prf.f1].map(words::share);
        let sentences = words::count(teacher.sentences, "sentence");
        format!("{}: F1 {f1}{interval}, precision {precision}, recall {recall}, on {sentences}.", teacher.data)
    };
    let sentences: Vec<String> = pairs.iter().map(|pair| compared(pair, report)).collect();
    let text = match &sentences[..] {
        [] => format!("Labels against human ones: {}", measured.iter().map(scores).collect::<Vec<_>>().join(" ")),
        all => all.join(" "),
    };
    let verdict = if pairs.is_empty() { Verdict::Measured } else { Verdict::of(&pairs, report.settings.significance) };
    let more = if pairs.is_empty() { Vec::new() } else { measured.iter().map(scores).collect() };
    Ok(Answer { more, pairs, ..Answer::new(ask, verdict, text) })
}

fn best(
    report: &Report,
    points: &[System],
    pairs: &mut Pairs<'_>,
    ask: &str,
    among: &Table,
) -> Result<Answer, LabError> {
    let candidates: Vec<usize> =
        (0..points.len()).filter(|&place| report.experiment.has(&points[place], among)).collect();
    let Some(best) = report.best_of(&candidates) else {
        return Ok(Answer::new(
            ask,
            Verdict::Open,
            "No run with scores on dev is done yet, and nothing is chosen on test.",
        ));
    };
    let system = &report.systems[best];
    let control = system.control.filter(|&control| control != best);
    let others = control.into_iter().chain(candidates.iter().copied());
    let mut found = Vec::new();
    for (_, other) in once(others.map(|other| (best, other))) {
        found.extend(pairs.of(best, other)?);
    }
    let found = corrected(found)?;
    let with_control = control.and_then(|control| found.iter().find(|pair| pair.with == report.systems[control].name));
    let dev = system.dev.as_ref().map_or(String::new(), |dev| format!(" (mean F1 {})", words::share(dev.mean)));
    let test = system.test.as_ref().map_or(String::new(), |test| words::mean(&test.f1));
    let name = &system.name;
    let beside = match with_control {
        Some(pair) => {
            let apart = pair.f1.is_distinguishable(report.settings.significance);
            let apart = if apart == Some(false) { "not distinguishable from" } else { "against" };
            format!(
                ", {apart} the {} of its control {}: {}",
                words::share(pair.f1.second),
                pair.with,
                pair.f1.in_words()
            )
        }
        None if system.control == Some(best) => "; it is the control itself".to_owned(),
        None => String::new(),
    };
    let text = format!("{name}, chosen on dev{dev}, has F1 {test} on test{beside}.");
    let significance = report.settings.significance;
    let named = |wanted: &dyn Fn(&Pair) -> bool| -> Vec<String> {
        let named = found.iter().filter(|pair| wanted(pair));
        named.map(|pair| format!("{} ({})", pair.with, words::share(pair.f1.second))).collect()
    };
    let mut answer = Answer::of(ask, Vec::new(), report, text);
    answer.verdict = match with_control {
        Some(pair) => Verdict::of(std::slice::from_ref(pair), significance),
        None => Verdict::Measured,
    };
    let ties = named(&|pair| pair.f1.is_distinguishable(significance) == Some(false));
    if !ties.is_empty() {
        answer.more.push(format!("Not distinguishable from it on test: {}.", words::list(&ties)));
    }
    let apart = |pair: &Pair| pair.f1.is_distinguishable(significance) == Some(true);
    for (which, wanted) in [("Worse", true), ("Better", false)] {
        let names = named(&|pair| apart(pair) && (pair.f1.difference > 0.0) == wanted);
        if !names.is_empty() {
            answer.more.push(format!("{which} on test: {}.", words::list(&names)));
        }
    }
    let left_out: Vec<String> = candidates
        .iter()
        .map(|&place| &report.systems[place])
        .filter(|other| other.dev.map_or(0, |dev| dev.seeds) < system.dev.map_or(0, |dev| dev.seeds))
        .map(|other| other.name.clone())
        .collect();
    if !left_out.is_empty() {
        answer.more.push(format!("Not in the choice, because fewer seeds are done: {}.", words::list(&left_out)));
    }
    answer.pairs = found;
    Ok(answer)
}

fn change(
    report: &Report,
    points: &[System],
    pairs: &mut Pairs<'_>,
    (ask, from, to): (&str, &Table, &Table),
) -> Result<Answer, LabError> {
    let experiment = &report.experiment;
    // From both sides: a system without effect of a setting stands for several points, of which `given` has but one.
    let mut places = Vec::new();
    for place in 0..points.len() {
        if experiment.has(&points[place], from) {
            places.extend(experiment.changed(points, place, to)?.map(|changed| (changed, place)));
        }
        if experiment.has(&points[place], to) {
            places.extend(experiment.changed(points, place, from)?.map(|before| (place, before)));
        }
    }
    let places = once(places);
    if places.is_empty() {
        return Ok(Answer::new(
            ask,
            Verdict::Open,
            "There is no pair of systems that differ in this and in nothing else.",
        ));
    }
    let mut found = Vec::new();
    for &(changed, before) in &places {
        found.extend(pairs.of(changed, before)?);
    }
    let found = corrected(found)?;
    let missing = places.len() - found.len();
    let text = match &found[..] {
        [] => format!("Of {} no run is done of both yet.", words::count(places.len(), "pair")),
        [pair] => compared(pair, report),
        all => overall(all, report),
    };
    let mut answer = Answer::of(ask, found, report, text);
    if answer.pairs.len() > 1 {
        answer.more.splice(0..0, answer.pairs.iter().map(brief));
    }
    if missing > 0 && !answer.pairs.is_empty() {
        answer.more.push(format!("Of {} more no run is done of both yet.", words::count(missing, "pair")));
    }
    Ok(answer)
}

/// Several pairs in one sentence.
fn overall(pairs: &[Pair], report: &Report) -> String {
    let significance = report.settings.significance;
    let differences: Vec<f64> = pairs.iter().map(|pair| pair.f1.difference).collect();
    let mean = differences.iter().sum::<f64>() / pairs.len() as f64;
    let least = differences.iter().copied().fold(f64::INFINITY, f64::min);
    let most = differences.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let apart = |up: bool| {
        let wanted =
            |pair: &&Pair| pair.f1.is_distinguishable(significance) == Some(true) && (pair.f1.difference > 0.0) == up;
        pairs.iter().filter(wanted).count()
    };
    let tested = pairs.iter().filter(|pair| pair.f1.holm.is_some()).count();
    let verdict = match (tested, apart(true), apart(false)) {
        (0, ..) => "none of it is tested".to_owned(),
        (_, 0, 0) => "in no pair is that distinguishable from chance".to_owned(),
        (_, up, 0) => format!("F1 is higher in {up} of them beyond chance, and lower in none"),
        (_, 0, down) => format!("F1 is lower in {down} of them beyond chance, and higher in none"),
        (_, up, down) => format!("F1 is higher in {up} of them beyond chance, and lower in {down}"),
    };
    let holm = pairs
        .iter()
        .filter_map(|pair| pair.f1.holm)
        .fold(None, |least: Option<f64>, p| Some(least.map_or(p, |least| least.min(p))));
    let least_p = holm.map_or(String::new(), |p| format!(" (the least {})", words::p_is(p)));
    format!(
        "In {} that differ in nothing else, the change is {} F1 on average, from {} to {}; {verdict}{least_p}.",
        words::count(pairs.len(), "pair"),
        words::signed(mean),
        words::signed(least),
        words::signed(most),
    )
}

fn worth(report: &Report, ask: &str, budgets: &[budget::Budget]) -> Answer {
    let level = report.settings.resampling.level;
    let mut sentences = Vec::new();
    for budget in budgets {
        for point in &budget.with {
            let Some(worth) = &point.worth else { continue };
            sentences.push(format!(
                "{} with the teacher's labels ({}) give F1 {}; without them that takes {}.",
                words::count(point.labels, "human-labelled sentence"),
                budget.with_name,
                words::share(point.f1.mean),
                worth.in_words(level),
            ));
        }
    }
    if sentences.is_empty() {
        return Answer::new(ask, Verdict::Open, "The runs that this takes are not done yet.");
    }
    let text = sentences.remove(0);
    let with = budgets.iter().flat_map(|budget| &budget.with);
    let answer = Answer::of(ask, with.filter_map(|point| point.pair.clone()).collect(), report, text);
    sentences.extend(answer.more);
    Answer { verdict: Verdict::Measured, more: sentences, ..answer }
}
