//! `score`: predicted entities against gold ones.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
};

use anyhow::{Result, bail};
use apprentice_core::{Sentence, corpus::conll, metrics};
use clap::{Args as ClapArgs, ValueEnum};

use crate::output;

/// How tags are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// As conlleval and seqeval's default.
    Lenient,
    /// As seqeval's strict mode for IOB1.
    StrictIob1,
    /// As seqeval's strict mode for IOB2.
    StrictIob2,
}

#[derive(ClapArgs)]
pub struct Args {
    /// File of columns with the right tags.
    #[arg(long)]
    gold: PathBuf,
    /// File of columns with the same sentences and the tags to be scored.
    #[arg(long)]
    predicted: PathBuf,
    /// How tags that break the scheme are read.
    #[arg(long, value_enum, default_value = "lenient")]
    mode: Mode,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<()> {
    use apprentice_core::Scheme;
    let reading = match args.mode {
        Mode::Lenient => conll::Reading::Lenient,
        Mode::StrictIob1 => conll::Reading::Strict(Scheme::Iob1),
        Mode::StrictIob2 => conll::Reading::Strict(Scheme::Iob2),
    };
    let options = conll::Options::with_reading(reading);
    let gold = conll::read(&args.gold, &options)?.sentences;
    let predicted = conll::read(&args.predicted, &options)?.sentences;
    let predicted = aligned(&gold, &predicted)?;
    let gold: Vec<_> = gold.iter().map(Sentence::entities).collect();
    let predicted: Vec<_> = predicted.iter().map(|s| s.entities()).collect();
    let scores = metrics::entities(&gold, &predicted)?;
    if args.json { output::print_json(&scores) } else { output::print(output::scores_table(&scores)) }
}

/// The predicted sentence of each gold one: by id where both files have the same ids, else by order.
pub fn aligned<'a>(gold: &[Sentence], predicted: &'a [Sentence]) -> Result<Vec<&'a Sentence>> {
    if gold.len() != predicted.len() {
        let first_lacking = |of: &[Sentence], other: &[Sentence]| {
            let ids: HashSet<&str> = other.iter().map(Sentence::id).collect();
            of.iter().find(|s| !ids.contains(s.id())).map_or("none by its id".to_owned(), |s| s.id().to_owned())
        };
        bail!(
            "gold has {} sentences, predicted {}; the first that only gold has: {}, the first that only predicted has: \
             {}; both files must hold the same sentences",
            gold.len(),
            predicted.len(),
            first_lacking(gold, predicted),
            first_lacking(predicted, gold)
        );
    }
    let by_id: HashMap<&str, &Sentence> = predicted.iter().map(|s| (s.id(), s)).collect();
    let same_ids = gold.iter().all(|s| by_id.contains_key(s.id()));
    gold.iter()
        .zip(predicted)
        .map(|(gold, in_order)| {
            let predicted = if same_ids { by_id[gold.id()] } else { in_order };
            if let Some(at) = (0..gold.tokens().len().max(predicted.tokens().len())).find(|&at| {
                let word = |s: &Sentence| (at < s.tokens().len()).then(|| s.word(at).to_owned());
                word(gold) != word(predicted)
            }) {
                let word =
                    |s: &Sentence| if at < s.tokens().len() { s.word(at).to_owned() } else { "(end)".to_owned() };
                bail!(
                    "sentence {} of gold and {} of predicted differ at token {at}: {:?} and {:?}; both files must hold \
                     the same tokens",
                    gold.id(),
                    predicted.id(),
                    word(gold),
                    word(predicted)
                );
            }
            Ok(predicted)
        })
        .collect()
}
