//! The writing half of an annotation: answers become the output, and an account of it.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::Arc,
};

use anyhow::{Result, bail};
use apprentice_core::{Sentence, corpus::Record, metrics::report::Predicted};
use apprentice_teacher::{Annotator, Completion, Listed, OverlapPolicy, Report, Usage, VotedSentence, votes::Quorum};
use indicatif::ProgressBar;
use serde::Serialize;

use crate::{
    commands::score::{self, Quality},
    inputs::{self, ReadFlags},
    output,
    outputs::WriteSettings,
    page::Page,
    progress::Progress,
};

/// How the column of all strategies together is called.
const TOGETHER: &str = "together";

/// Human labels to measure the teacher by.
#[derive(Default)]
pub struct Gold {
    sentences: Vec<Sentence>,
    places: HashMap<String, usize>,
    /// Whether any of them was met in the input.
    is_met: bool,
}

impl Gold {
    /// Nothing where there is no path.
    pub fn read(path: Option<&Path>, read: &ReadFlags, progress: Progress) -> Result<Self> {
        let Some(path) = path else { return Ok(Self::default()) };
        let sentences = inputs::sentences(path, read, progress)?;
        let places: HashMap<String, usize> =
            sentences.iter().map(|sentence| sentence.id().to_owned()).zip(0..).collect();
        if places.len() < sentences.len() {
            bail!("--gold: {}: sentences with the same id: expected ids that differ", path.display());
        }
        Ok(Self { sentences, places, is_met: false })
    }

    /// Checks one sentence of the input against its human labels, if it has any.
    pub fn check(&mut self, sentence: &Sentence) -> Result<()> {
        let Some(&place) = self.places.get(sentence.id()) else { return Ok(()) };
        self.is_met = true;
        if !self.sentences[place].words().eq(sentence.words()) {
            bail!("--gold: sentence {} has other tokens there than in the input", sentence.id());
        }
        Ok(())
    }

    /// Once all of the input was checked.
    pub fn check_met(&self) -> Result<()> {
        if !self.sentences.is_empty() && !self.is_met {
            bail!("--gold: it has no sentence of the input: expected the same ids");
        }
        Ok(())
    }
}

/// What one strategy says about one sentence.
#[derive(Default)]
pub struct Answers {
    pub completions: Vec<Completion>,
    /// How many were asked for.
    pub asked: usize,
    /// Their tokens; a recording does not say.
    pub usage: Option<Usage>,
    /// What they cost, if the price is known.
    pub cost: Option<f64>,
}

/// How well one strategy did.
#[derive(Serialize)]
pub struct Column {
    pub strategy: Arc<str>,
    /// Answers of the teacher.
    answers: usize,
    /// Answers that were asked for and are not there: refused, filtered, failed, or never asked.
    unanswered: usize,
    /// Tokens of the answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
    /// What they cost, if the price is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<f64>,
    /// How many sentences have no readable answer, by what is wrong with it.
    failures_by_kind: BTreeMap<&'static str, usize>,
    #[serde(flatten)]
    report: Report,
}

/// What an annotation came to.
#[derive(Serialize)]
pub struct Account {
    /// The sentences of the input.
    pub sentences: usize,
    /// Those in the output.
    pub written: usize,
    /// Those of which no answer can be used, with the reason.
    pub failed: Listed<String>,
    /// Those in the output with fewer answers than were asked for.
    pub incomplete: usize,
    /// The strategies, side by side.
    pub strategies: Vec<Column>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quality: Option<serde_json::Value>,
    #[serde(skip)]
    page: Option<Page>,
}

/// Whose answers go into the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// They have a vote.
    Votes,
    /// The teacher was asked to check them, and the next strategy is the checked one; they stand in where it has none.
    Draft,
}

/// A strategy at work.
struct Voice {
    annotator: Annotator,
    column: Column,
    role: Role,
    /// What it says about the sentences with human labels.
    said: Vec<Option<Sentence>>,
}

/// Makes the output and the account, sentence by sentence.
pub struct Sheet {
    voices: Vec<Voice>,
    quorum: Quorum,
    gold: Gold,
    /// What all say together about the sentences with human labels.
    together: Vec<Option<Sentence>>,
    sentences: usize,
    written: usize,
    failed: Listed<String>,
    incomplete: usize,
}

impl Sheet {
    /// For strategies by name, and these entity types.
    pub fn new(strategies: Vec<(Arc<str>, Role)>, labels: &[Arc<str>], overlaps: OverlapPolicy) -> Self {
        let voice = |(strategy, role)| Voice {
            annotator: Annotator::new(labels).with_overlaps(overlaps),
            column: Column {
                strategy,
                answers: 0,
                unanswered: 0,
                usage: None,
                cost: None,
                failures_by_kind: BTreeMap::new(),
                report: Report::default(),
            },
            role,
            said: Vec::new(),
        };
        Self {
            voices: strategies.into_iter().map(voice).collect(),
            quorum: Quorum::default(),
            gold: Gold::default(),
            together: Vec::new(),
            sentences: 0,
            written: 0,
            failed: Listed::default(),
            incomplete: 0,
        }
    }

    pub fn with_quorum(mut self, quorum: Quorum) -> Self {
        self.quorum = quorum;
        self
    }

    /// The same with human labels, which were checked against the input.
    pub fn with_gold(mut self, gold: Gold) -> Self {
        for voice in &mut self.voices {
            voice.said = vec![None; gold.sentences.len()];
        }
        self.together = vec![None; gold.sentences.len()];
        self.gold = gold;
        self
    }

    /// Writes what `answers` has about each sentence under each strategy, in the order of the input.
    pub fn write(
        &mut self,
        (path, to): (&Path, &WriteSettings),
        sentences: impl Iterator<Item = Result<Sentence>>,
        mut answers: impl FnMut(&Sentence) -> Result<Vec<Answers>>,
        bar: &ProgressBar,
    ) -> Result<()> {
        to.write(path, |take| {
            for sentence in sentences {
                bar.inc(1);
                let sentence = sentence?;
                let answers = answers(&sentence)?;
                if let Some(annotated) = self.annotate(&sentence, answers) {
                    take(Record::from(&annotated))?;
                }
            }
            if self.written == 0 {
                bail!("no sentence has an answer that can be used ({}): nothing was written", self.failed);
            }
            Ok(())
        })?;
        bar.finish_and_clear();
        Ok(())
    }

    fn annotate(&mut self, sentence: &Sentence, answers: Vec<Answers>) -> Option<Sentence> {
        self.sentences += 1;
        let place = self.gold.places.get(sentence.id()).copied();
        let (mut voted, mut draft, mut is_incomplete) = (Vec::new(), None, false);
        for (voice, answers) in self.voices.iter_mut().zip(answers) {
            let Answers { completions, asked, usage, cost } = answers;
            voice.column.answers += completions.len();
            voice.column.unanswered += asked - completions.len();
            if let Some(usage) = usage {
                *voice.column.usage.get_or_insert_default() += usage;
            }
            if let Some(cost) = cost {
                *voice.column.cost.get_or_insert_default() += cost;
            }
            let annotated = (!completions.is_empty())
                .then(|| voice.annotator.annotate_votes(sentence, &completions, self.quorum))
                .flatten();
            if let Some(place) = place {
                voice.said[place] = annotated.as_ref().map(|voted| voted.sentence.clone());
            }
            if voice.role == Role::Draft {
                draft = annotated;
                continue;
            }
            is_incomplete |= annotated.as_ref().is_none_or(|voted| voted.answers.len() < asked);
            voted.extend(annotated.or(draft.take()));
        }
        let annotated = match &voted.iter().collect::<Vec<_>>()[..] {
            [only] => Some(only.sentence.clone()),
            several => VotedSentence::merged(several, self.quorum).map(|voted| voted.sentence),
        };
        if let Some(place) = place {
            self.together[place].clone_from(&annotated);
        }
        match annotated {
            Some(_) => {
                self.written += 1;
                self.incomplete += usize::from(is_incomplete);
            }
            None => self.failed.push(self.why(sentence)),
        }
        annotated
    }

    /// Why there is nothing of a sentence.
    fn why(&self, sentence: &Sentence) -> String {
        let mut last = self.voices.iter().filter_map(|voice| voice.annotator.report().failures.last());
        let unread = last.find(|failure| failure.id == sentence.id()).map(ToString::to_string);
        unread.unwrap_or_else(|| format!("{}: no answer", sentence.id()))
    }

    /// The account, once all is written.
    pub fn finish(mut self) -> Result<Account> {
        let quality = self.quality()?;
        let (quality, page) = quality.map_or((None, None), |quality| (Some(quality.json), Some(quality.page)));
        let column = |voice: Voice| {
            let report = voice.annotator.finish();
            Column { failures_by_kind: report.failures_by_kind(), report, ..voice.column }
        };
        Ok(Account {
            sentences: self.sentences,
            written: self.written,
            failed: self.failed,
            incomplete: self.incomplete,
            strategies: self.voices.into_iter().map(column).collect(),
            quality,
            page,
        })
    }

    /// How good the teacher is, where there are human labels. A sentence that it has not labelled counts as one without
    /// entities.
    fn quality(&mut self) -> Result<Option<Quality>> {
        let gold = std::mem::take(&mut self.gold.sentences);
        if gold.is_empty() {
            return Ok(None);
        }
        let unlabelled: Vec<Sentence> = gold.iter().cloned().map(Sentence::without_entities).collect();
        let predicted = |name: &str, said: &[Option<Sentence>]| {
            let sentences = said.iter().zip(&unlabelled).map(|(said, unlabelled)| said.as_ref().unwrap_or(unlabelled));
            Predicted::sentences(name, name, sentences)
        };
        let mut systems: Vec<Predicted> =
            self.voices.iter().map(|voice| predicted(&voice.column.strategy, &voice.said)).collect();
        if self.voices.iter().filter(|voice| voice.role == Role::Votes).count() > 1 {
            systems.push(predicted(TOGETHER, &self.together));
        }
        Ok(Some(score::quality(gold, &systems)?))
    }
}

impl Account {
    /// An error if the output does not have all that was asked for, with the reasons why requests failed, if any did.
    pub fn require_all(&self, requests: Option<&Listed<String>>) -> Result<()> {
        let short = self.failed.count + self.incomplete;
        if short == 0 {
            return Ok(());
        }
        let why = requests.filter(|failed| !failed.is_empty()).unwrap_or(&self.failed);
        let why = if why.is_empty() { String::new() } else { format!(" ({why})") };
        bail!(
            "{short} of {} sentences could not be annotated as asked{why}; the others are written; --skip-failed makes that \
             no error",
            self.sentences
        );
    }

    /// For people.
    pub fn print(&self) -> Result<()> {
        output::print(self.table())?;
        for column in &self.strategies {
            let Report { missing, overlaps, failures, .. } = &column.report;
            for (what, listed) in [("not found", missing), ("overlapping", overlaps)] {
                for mention in &listed.first {
                    output::print(format_args!("{what} ({}): {mention}", column.strategy))?;
                }
            }
            for failure in failures {
                output::print(format_args!("failed ({}): {failure}", column.strategy))?;
            }
        }
        if !self.failed.is_empty() || self.incomplete > 0 {
            output::print(format_args!(
                "{} of {} sentences have no answer that can be used ({}), {} have fewer than were asked for",
                self.failed.count, self.sentences, self.failed, self.incomplete
            ))?;
        }
        self.page.as_ref().map_or(Ok(()), Page::print)
    }

    fn table(&self) -> comfy_table::Table {
        type Cell = fn(&Column) -> String;
        let rows: [(&str, Cell); 18] = [
            ("answers", |c| c.answers.to_string()),
            ("answers missing", |c| c.unanswered.to_string()),
            ("tokens in", |c| c.usage.map_or_else(String::new, |usage| usage.input.to_string())),
            ("tokens out", |c| c.usage.map_or_else(String::new, |usage| usage.output.to_string())),
            ("cost", |c| c.cost.map_or_else(String::new, |cost| format!("{cost:.4}"))),
            ("sentences annotated", |c| c.report.done.to_string()),
            ("sentences without a readable answer", |c| c.report.failures.len().to_string()),
            ("unreadable answers beside readable ones", |c| c.report.abstained.count.to_string()),
            ("answers not in the form asked for", |c| c.report.repaired().to_string()),
            ("answers cut off", |c| c.report.truncated.to_string()),
            ("items that are no mentions", |c| c.report.malformed.count.to_string()),
            ("mentions", |c| c.report.mentions.to_string()),
            ("aligned exactly", |c| c.report.exact.to_string()),
            ("aligned after folding case and Unicode", |c| c.report.folded.to_string()),
            ("aligned without spaces and punctuation", |c| c.report.fuzzy.to_string()),
            ("aligned but for one or two characters", |c| c.report.approximate.to_string()),
            ("widened to whole tokens", |c| c.report.widened.to_string()),
            ("not in the sentence", |c| c.report.missing.count.to_string()),
        ];
        let row = |what: &str, cell: &dyn Fn(&Column) -> String| {
            [what.to_owned()].into_iter().chain(self.strategies.iter().map(cell)).collect::<Vec<String>>()
        };
        let mut table: Vec<Vec<String>> = rows.iter().map(|(what, cell)| row(what, cell)).collect();
        table.push(row("on top of another", &|c| c.report.overlaps.count.to_string()));
        let mut unknown: Vec<&String> = self.strategies.iter().flat_map(|c| c.report.unknown_types.keys()).collect();
        unknown.sort();
        unknown.dedup();
        let mut kinds: Vec<&str> = self.strategies.iter().flat_map(|c| c.failures_by_kind.keys().copied()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        for kind in kinds {
            let count = |c: &Column| c.failures_by_kind.get(kind).copied().unwrap_or(0).to_string();
            table.push(row(&format!("unreadable: {kind}"), &count));
        }
        for label in unknown {
            let count = |c: &Column| c.report.unknown_types.get(label).copied().unwrap_or(0).to_string();
            table.push(row(&format!("of unknown type {label}"), &count));
        }
        // What nobody knows anything of is left out: a recording has no tokens.
        table.retain(|row| row[1..].iter().any(|cell| !cell.is_empty()));
        let header: Vec<&str> = [""].into_iter().chain(self.strategies.iter().map(|c| &*c.strategy)).collect();
        output::table(&header, table)
    }
}
