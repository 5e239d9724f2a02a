//! `data vote`: several labellings of the same sentences in one.

use std::collections::HashMap;

use anyhow::{Result, bail};
use apprentice_core::{Confidence, Provenance, Sentence, corpus::Record};
use apprentice_teacher::votes::{self, Quorum};
use clap::Args as ClapArgs;
use serde_json::json;

use super::{Files, Prepared};
use crate::{inputs, output, outputs, progress::Progress};

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
    if let Some(share) = args.quorum.filter(|share| !(*share > 0.0 && *share <= 1.0)) {
        bail!("--quorum {share}: expected a share above 0 and at most 1, such as 0.5");
    }
    let Prepared { options, settings, .. } = args.files.prepare()?;
    // The labellings of each sentence, in the order in which it is first met.
    let mut sentences: Vec<Vec<Sentence>> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for (file, path) in args.files.inputs.iter().enumerate() {
        let known: Vec<Sentence> = sentences.iter().map(|all| all[0].clone()).collect();
        for sentence in inputs::sentences_like(&known, path, &args.files.read, progress)? {
            let Some(&place) = places.get(sentence.id()) else {
                places.insert(sentence.id().to_owned(), sentences.len());
                sentences.push(vec![sentence]);
                continue;
            };
            let (id, name) = (sentence.id().to_owned(), path.display());
            if !sentences[place][0].words().eq(sentence.words()) {
                bail!("{name}: sentence {id} has other tokens than in an earlier file: expected the same sentences");
            }
            if sentences[place].len() > file {
                bail!("{name}: two sentences are called {id}: expected ids that differ");
            }
            sentences[place].push(sentence);
        }
    }
    let quorum = args.quorum.map_or(Quorum::Majority, Quorum::AtLeast);
    let (mut contested, mut partial) = (0, 0);
    let written = settings.write(&args.files.output, |take| {
        for labellings in &sentences {
            let labellings: Vec<&Sentence> =
                labellings.iter().filter(|sentence| *sentence.provenance() != Provenance::Unlabelled).collect();
            let Some(first) = labellings.first() else { continue };
            let answers: Vec<_> = labellings.iter().map(|sentence| sentence.entities()).collect();
            contested += usize::from(answers.iter().any(|answer| *answer != answers[0]));
            partial += usize::from(labellings.len() < args.files.inputs.len());
            let voted = votes::merge(&answers, quorum);
            let entities = voted.into_iter().map(|voted| (voted.entity, Confidence::new(voted.share).ok())).collect();
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
