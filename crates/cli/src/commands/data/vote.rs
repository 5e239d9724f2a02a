//! `data vote`: several labellings of the same sentences in one.

use std::{collections::HashMap, path::PathBuf};

use anyhow::{Result, bail};
use apprentice_core::{Confidence, Provenance, Sentence, corpus::Record};
use apprentice_teacher::votes;
use clap::Args as ClapArgs;
use serde_json::json;

use super::{Files, Prepared};
use crate::{
    inputs::{self, ReadFlags},
    output, outputs,
    progress::Progress,
};

#[derive(ClapArgs)]
pub struct Args {
    #[command(flatten)]
    files: Files,
    /// The share of the labellings that must have an entity's span [default: more than half]
    #[arg(long, value_name = "SHARE")]
    quorum: Option<f64>,
    /// Print the account as JSON on standard output
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args, progress: Progress) -> Result<()> {
    let quorum = inputs::quorum(args.quorum)?;
    let Prepared { options, settings, .. } = args.files.prepare()?;
    let sentences = labellings(&args.files.inputs, &args.files.read, progress)?;
    if sentences.iter().all(|labellings| labellings.len() < 2) {
        bail!("no sentence has more than one labelling: expected labellings of the same sentences, with the same ids");
    }
    let (mut contested, mut partial) = (0, 0);
    let written = settings.write(&args.files.output, |take| {
        for labellings in &sentences {
            let labellings: Vec<&Sentence> = labellings.iter().map(|(_, sentence)| sentence).collect();
            let Some(first) = labellings.first() else { continue };
            let answers: Vec<_> = labellings.iter().map(|sentence| sentence.entities()).collect();
            contested += usize::from(answers.iter().any(|answer| *answer != answers[0]));
            partial += usize::from(labellings.len() < args.files.inputs.len());
            let voted = votes::merge(&answers, quorum);
            // One labelling alone has no share to speak of.
            let confidence = |share| Confidence::new(share).ok().filter(|_| answers.len() > 1);
            let entities = voted.into_iter().map(|voted| (voted.entity, confidence(voted.share))).collect();
            let merged = (*first).clone().with_confident_entities(entities, first.provenance().clone());
            take(Record::from(&merged?))?;
        }
        Ok(())
    })?;
    let quorum = args.quorum.map_or(json!("majority"), |share| json!(share));
    let all = json!({"inputs": args.files.inputs, "quorum": quorum, "read": options, "write": settings});
    outputs::write_settings(&args.files.output, settings.overwrite, &all)?;
    if args.json {
        let account = json!({"contested": contested, "with_fewer_labellings": partial, "written": written});
        return output::print_json(&account);
    }
    progress.note(format_args!(
        "{contested} sentences on which the labellings differ; {partial} that not all of them have"
    ));
    written.lines().into_iter().for_each(|line| progress.note(line));
    Ok(())
}

/// The labellings of each sentence, each with the number of its file, in the order in which the sentences are first met:
/// matched by id, or where a file has none of the ids, by order.
fn labellings(files: &[PathBuf], read: &ReadFlags, progress: Progress) -> Result<Vec<Vec<(usize, Sentence)>>> {
    let mut sentences: Vec<Vec<(usize, Sentence)>> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for (file, path) in files.iter().enumerate() {
        let name = path.display();
        let known: Vec<Sentence> = sentences.iter().map(|all| all[0].1.clone()).collect();
        let labelled = inputs::sentences_like(&known, path, read, progress)?;
        let by_order = file > 0 && !labelled.iter().any(|sentence| places.contains_key(sentence.id()));
        if by_order {
            inputs::aligned(&known, &labelled, ["the files before", &name.to_string()])?;
        }
        for (order, sentence) in labelled.into_iter().enumerate() {
            let known = if by_order { Some(order) } else { places.get(sentence.id()).copied() };
            let place = known.unwrap_or_else(|| {
                places.insert(sentence.id().to_owned(), sentences.len());
                sentences.push(Vec::new());
                sentences.len() - 1
            });
            let id = sentence.id();
            match sentences[place].last() {
                Some((last, _)) if *last == file => {
                    bail!("{name}: two sentences are called {id}: expected ids that differ")
                }
                Some((_, other)) if !other.words().eq(sentence.words()) => {
                    bail!("{name}: sentence {id} has other tokens than in an earlier file: expected the same sentences")
                }
                _ => sentences[place].push((file, sentence)),
            }
        }
    }
    for labellings in &mut sentences {
        labellings.retain(|(_, sentence)| *sentence.provenance() != Provenance::Unlabelled);
    }
    Ok(sentences)
}
