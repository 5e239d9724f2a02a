//! `data agree`: how far labellers agree.

use std::path::PathBuf;

use anyhow::Result;
use apprentice_core::{
    Sentence,
    metrics::agreement::{Agreement, between_sentences},
};
use clap::Args as ClapArgs;
use serde::Serialize;

use crate::{
    inputs::{self, ReadFlags},
    output,
    progress::Progress,
};

#[derive(ClapArgs)]
pub struct Args {
    /// Two or more labellings of the same sentences; a sentence without labels counts as not labelled by that one
    #[arg(required = true, num_args = 2..)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    read: ReadFlags,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

/// What is printed as JSON.
#[derive(Serialize)]
struct Sheet<'a> {
    files: &'a [PathBuf],
    #[serde(flatten)]
    agreement: &'a Agreement,
}

pub fn run(args: &Args, progress: Progress) -> Result<()> {
    let mut labellers: Vec<Vec<Sentence>> = Vec::new();
    for path in &args.files {
        let tokens_of = labellers.first().map_or(&[][..], Vec::as_slice);
        labellers.push(inputs::sentences_like(tokens_of, path, &args.read, progress)?);
    }
    let names: Vec<String> = args.files.iter().map(|path| path.display().to_string()).collect();
    let aligned: Vec<Vec<&Sentence>> = labellers
        .iter()
        .zip(&names)
        .map(|(labeller, name)| inputs::aligned(&labellers[0], labeller, [&names[0], name]))
        .collect::<Result<_>>()?;
    let agreement = between_sentences(&aligned.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
    if args.json {
        return output::print_json(&Sheet { files: &args.files, agreement: &agreement });
    }
    let share = |value: Option<f64>| value.map_or("undefined".to_owned(), output::share);
    let rows = agreement.pairs.iter().map(|pair| {
        let pair_names = format!("{}, {}", names[pair.first], names[pair.second]);
        vec![pair_names, pair.sentences.to_string(), share(pair.f1), share(pair.kappa)]
    });
    output::print(output::table(&["labellers", "sentences", "entity F1", "Cohen's kappa"], rows))?;
    let of = |tokens: usize, who: &str| format!("{tokens} tokens that {who} labelled");
    let pairs = match agreement.pairs.len() {
        1 => "1 pair".to_owned(),
        n => format!("{n} pairs"),
    };
    let rows = [
        ("mean F1", agreement.mean_f1, pairs.clone()),
        ("mean Cohen's kappa", agreement.mean_kappa, pairs),
        ("Fleiss' kappa", agreement.fleiss_kappa, of(agreement.tokens_of_all, "all")),
        ("Krippendorff's alpha", agreement.krippendorff_alpha, of(agreement.tokens_of_two, "two or more")),
    ];
    let rows = rows.map(|(name, value, over)| vec![name.to_owned(), share(value), over]);
    output::print(output::table(&["all together", "value", "over"], rows))?;
    output::print("The kappas and alpha compare single tokens, most of which are in no entity: look at F1 first.")
}
