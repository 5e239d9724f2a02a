//! `data diff`: where two labellings differ.

use std::path::PathBuf;

use anyhow::Result;
use apprentice_core::{
    Entity, Sentence,
    metrics::{Mistake, Outcome, mistakes},
};
use clap::Args as ClapArgs;

use crate::{
    inputs::{self, ReadFlags},
    output,
    progress::Progress,
};

#[derive(ClapArgs)]
pub struct Args {
    /// One labelling
    a: PathBuf,
    /// Another labelling of the same sentences
    b: PathBuf,
    /// Print the sentences that differ, entities marked, after the table
    #[arg(long)]
    marked: bool,
    /// Tokens shown on either side of a difference
    #[arg(long, default_value_t = 5)]
    context: usize,
    #[command(flatten)]
    read: ReadFlags,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args, progress: Progress) -> Result<()> {
    let read = |path: &PathBuf| inputs::sentences(path, &args.read, progress);
    let (a, b) = (read(&args.a)?, read(&args.b)?);
    let b = inputs::aligned(&a, &b, ["A", "B"])?;
    let entities: Vec<&[Entity]> = b.iter().map(|sentence| sentence.entities()).collect();
    let differences: Vec<Mistake<'_>> = mistakes(&a, &entities)?.collect();
    if args.json {
        return output::print_json(&differences);
    }
    let rows = differences.iter().map(|difference| {
        let label = |entity: Option<&Entity>, sentence: &Sentence| {
            entity.map_or(String::new(), |e| format!("{} ({})", sentence.surface(e.span), e.label))
        };
        vec![
            difference.sentence.id().to_owned(),
            kind(difference.outcome()).to_owned(),
            label(difference.found.gold(), difference.sentence),
            label(difference.found.predicted(), difference.sentence),
            difference.context(args.context),
        ]
    });
    output::print(output::text_table(&["sentence", "difference", "A", "B", "context"], rows))?;
    let sentences = a.iter().zip(&b).filter(|(a, b)| a.entities() != b.entities());
    output::print(format_args!(
        "{} differences in {} of {} sentences",
        differences.len(),
        sentences.clone().count(),
        a.len()
    ))?;
    if args.marked {
        for (a, b) in sentences {
            output::print(format_args!("\n{}\n  A: {}\n  B: {}", a.id(), output::marked(a), output::marked(b)))?;
        }
    }
    Ok(())
}

/// In words for two labellings of which neither is right.
fn kind(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Correct => "none",
        Outcome::WrongType => "type",
        Outcome::WrongBoundary => "boundary",
        Outcome::BothWrong => "type and boundary",
        Outcome::Missed => "only in A",
        Outcome::Spurious => "only in B",
    }
}
