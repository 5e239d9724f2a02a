//! The recorded completions against the human tags: what the whole line of parsing and alignment is worth.
//!
//! The material is not part of the repository; where it is absent, these tests say so and pass.

#![expect(clippy::print_stdout, reason = "the figures are what these tests are for")]

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use apprentice_core::corpus::{ReadOptions, Source, text};
use apprentice_core::{Corpus, Entity, Sentence, metrics};
use apprentice_teacher::{Annotation, Transcript, Unused, annotate, default_labels};

/// The folder of shared material, or a word about its absence.
fn shared() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let found = folder.join("teacher/transcripts").is_dir();
    if !found {
        println!("skipped: {} is not there", folder.display());
    }
    found.then_some(folder)
}

fn transcript(shared: &Path, name: &str) -> Transcript {
    let path = shared.join("teacher/transcripts").join(name);
    let file = File::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    Transcript::read(BufReader::new(file), name).unwrap_or_else(|e| panic!("{e}"))
}

fn corpus(shared: &Path, names: &[&str]) -> Vec<Sentence> {
    let read = |name: &&str| Corpus::read(&Source::of(&shared.join("data").join(name)), &ReadOptions::default());
    names.iter().flat_map(|name| read(name).unwrap_or_else(|e| panic!("{e}")).sentences).collect()
}

/// Annotates `gold` by the recorded completions, prints the account, and gives it with precision, recall and F1.
fn score(shared: &Path, name: &str, gold: &[Sentence]) -> (Annotation, [f64; 3]) {
    let transcript = transcript(shared, name);
    let input: Vec<_> = gold.iter().cloned().map(Sentence::without_entities).collect();
    let completions = transcript.check(&input, Unused::Refuse).unwrap_or_else(|e| panic!("{e}"));
    let annotation = annotate(&input, completions, &default_labels());
    assert!(annotation.report.require_all().is_ok());
    let entities =
        |sentences: &[Sentence]| sentences.iter().map(|s| s.entities().to_vec()).collect::<Vec<Vec<Entity>>>();
    let scores = metrics::entities(&entities(gold), &entities(&annotation.sentences)).expect("as many as gold");
    let prf = scores.micro.prf;
    println!("{name}: P {:.4} R {:.4} F1 {:.4} {:?}", prf.precision, prf.recall, prf.f1, scores.micro.counts);
    println!("{}", serde_json::to_string(&annotation.report).expect("a plain report"));
    (annotation, [prf.precision, prf.recall, prf.f1])
}

#[test]
fn conll_completions_score_at_least_as_exact_alignment_does() {
    let Some(shared) = shared() else { return };
    let gold = corpus(&shared, &["conll2003/teacher-1000.conll"]);
    assert_eq!(gold.len(), 1000);
    for (name, least) in [("conll.standard.jsonl", 0.964), ("conll.cot.jsonl", 0.968)] {
        let (annotation, [_, _, f1]) = score(&shared, name, &gold);
        assert!(f1 >= least, "{name}: {f1}");
        let report = annotation.report;
        assert_eq!(
            report.mentions,
            report.exact
                + report.folded
                + report.fuzzy
                + report.approximate
                + report.missing.count
                + report.overlaps.count
        );
    }
}

#[test]
fn newsroom_completions_score_near_one() {
    let Some(shared) = shared() else { return };
    let gold = corpus(&shared, &["newsroom/train.conll", "newsroom/unlabelled.conll"]);
    assert_eq!(gold.len(), 400);
    for (name, least) in [("newsroom.standard.jsonl", 0.998), ("newsroom.cot.jsonl", 0.994)] {
        let (_, [_, _, f1]) = score(&shared, name, &gold);
        assert!(f1 >= least, "{name}: {f1}");
    }
}

#[test]
fn mentions_in_running_text_are_found_exactly() {
    let Some(shared) = shared() else { return };
    let transcript = transcript(&shared, "bbc.cot.jsonl");
    let sentences: Vec<_> = transcript
        .completions()
        .iter()
        .map(|c| Sentence::new(&c.id, &c.sentence, text::tokenize(&c.sentence)).expect("tokens in order"))
        .collect();
    let completions = transcript.check(&sentences, Unused::Refuse).unwrap_or_else(|e| panic!("{e}"));
    let report = annotate(&sentences, completions, &default_labels()).report;
    println!("bbc.cot.jsonl: {}", serde_json::to_string(&report).expect("a plain report"));
    assert_eq!((report.done, report.missing.count, report.folded + report.fuzzy), (1000, 0, 0));
    assert!(report.widened * 20 < report.mentions, "{} of {} widened", report.widened, report.mentions);
}
