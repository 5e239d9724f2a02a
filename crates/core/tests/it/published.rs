//! The published numbers of CoNLL-2003, where the data is at hand: its licence keeps it out of the repository.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use apprentice_core::{
    Corpus, Scheme, Sentence,
    corpus::{ReadOptions, Reading, Source},
};

/// A file of the project's shared data, or `None` with a message.
#[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
pub fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(name);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} is not there", path.display());
    None
}

fn entities_by_type(sentences: &[Sentence]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for entity in sentences.iter().flat_map(Sentence::entities) {
        *counts.entry(&*entity.label).or_default() += 1;
    }
    counts
}

#[test]
fn conll_2003_train() {
    let Some(path) = shared("conll2003/train.txt") else { return };
    let corpus = Corpus::read(&Source::of(&path), &ReadOptions::with_reading(Reading::Checked(Scheme::Iob2))).unwrap();
    assert_eq!(corpus.sentences.len(), 14_041);
    assert_eq!(corpus.sentences.iter().map(|s| s.tokens().len()).sum::<usize>(), 203_621);
    assert_eq!(corpus.sentences.last().unwrap().document().map(|d| &**d), Some("train#945"));
    assert_eq!(corpus.sentences.last().unwrap().id(), "train-14040");
    let expected = [("LOC", 7_140), ("MISC", 3_438), ("ORG", 6_321), ("PER", 6_600)];
    assert_eq!(entities_by_type(&corpus.sentences), expected.into());
    assert_eq!(corpus.evidence.verdict().to_string(), "IOB2 (23,499 entities; 23,429 tags rule out IOB1)");
}

#[test]
fn conll_2003_test_in_both_schemes() {
    let (Some(iob1), Some(iob2)) = (shared("conll2003-iob1/test.txt"), shared("conll2003/test.txt")) else { return };
    let read = |path: &Path| Corpus::read(&Source::of(path), &ReadOptions::default()).unwrap();
    let (iob1, iob2) = (read(&iob1), read(&iob2));
    assert_eq!(iob1.evidence.verdict().scheme, Scheme::Iob1);
    assert_eq!(iob2.evidence.verdict().scheme, Scheme::Iob2);
    assert_eq!(iob2.sentences.len(), 3_453);
    assert_eq!(iob1.sentences, iob2.sentences);
    iob1.check_same_labels(&iob2).unwrap();

    let error = Corpus::read(&Source::of(&iob1.path), &ReadOptions::with_reading(Reading::Checked(Scheme::Iob2)))
        .unwrap_err()
        .to_string();
    assert!(error.contains("test.txt:5: tag `I-LOC` after no entity: IOB2 has I- only inside"), "{error}");
}

#[test]
fn every_shared_column_file_reads() {
    for name in ["wnut17/wnut17train.conll", "wnut17/emerging.test.annotated", "noisebench/noise_llm.traindev.txt"] {
        let Some(path) = shared(name) else { continue };
        let corpus = Corpus::read(&Source::of(&path), &ReadOptions::default()).unwrap();
        assert!(corpus.sentences.len() > 1000, "{name}");
    }
}

#[test]
fn the_sample_of_the_repository() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/newsroom");
    let mut ids = BTreeSet::new();
    for (name, size) in [("train", 160), ("dev", 80), ("test", 240), ("unlabelled", 240)] {
        let corpus = Corpus::read(
            &Source::of(&path.join(name).with_extension("conll")),
            &ReadOptions::with_reading(Reading::Checked(Scheme::Iob2)),
        )
        .unwrap();
        assert_eq!(corpus.sentences.len(), size, "{name}");
        assert_eq!(corpus.labels().iter().map(|label| &**label).collect::<Vec<_>>(), ["LOC", "MISC", "ORG", "PER"]);
        ids.extend(corpus.sentences.iter().map(|sentence| sentence.id().to_owned()));
    }
    assert_eq!(ids.len(), 720);
}
