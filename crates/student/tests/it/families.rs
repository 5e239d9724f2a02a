//! Every family of encoders as a student: directories that transformers saved are read and written as transformers does.
//! The fixtures are made by `tests/fixtures/make_students.py`.

use std::path::{Path, PathBuf};

use apprentice_core::Sentence;
use apprentice_encoder::{Family, NetworkOptions};
use apprentice_student::{Student, TrainSettings, Trainer, TrainingData, labels::Labels, tokenize::SubwordTokenizer};
use serde_json::{Map, Value};

use crate::toy;

#[derive(serde::Deserialize)]
struct Expected {
    difficult: Vec<Difficult>,
    plain: Vec<Plain>,
}

/// Words, and the ids that transformers makes of them, each with the index of its word; special tokens have none.
#[derive(serde::Deserialize)]
struct Difficult {
    words: Vec<String>,
    ids: Vec<u32>,
    word_ids: Vec<Option<usize>>,
}

#[derive(serde::Deserialize)]
struct Plain {
    words: Vec<String>,
    logits: Vec<f32>,
}

/// The folder of a family's fixture.
pub fn fixture(family: Family) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(family.model_type())
}

fn expected(family: Family) -> Expected {
    serde_json::from_slice(&std::fs::read(fixture(family).join("expected.json")).unwrap()).unwrap()
}

fn json(path: &Path) -> Map<String, Value> {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn sub_words_belong_to_the_words_that_transformers_says() {
    for family in Family::ALL {
        let tokenizer = SubwordTokenizer::read(&fixture(family)).unwrap();
        let mut vanished = 0;
        for Difficult { words, ids, word_ids } in expected(family).difficult {
            let windows = tokenizer.windows(&[Sentence::from_words("s", &words)], 500).unwrap();
            let [window] = windows[0].as_slice() else { panic!("one window is enough") };
            assert_eq!(window.rows.len(), words.len());
            // Ours less what stands for words that transformers has no sub-word for.
            let mut ours = window.ids.clone();
            for (word, row) in window.rows.iter().enumerate().rev() {
                let theirs = word_ids.iter().position(|id| *id == Some(word));
                if theirs.is_none() {
                    ours.remove(*row);
                    vanished += 1;
                }
            }
            assert_eq!(ours, ids, "{family:?}: {words:?}");
            let mut shift = 0;
            for (word, row) in window.rows.iter().enumerate() {
                match word_ids.iter().position(|id| *id == Some(word)) {
                    Some(theirs) => assert_eq!(*row, theirs + shift, "{family:?}: word {word} of {words:?}"),
                    None => shift += 1,
                }
            }
        }
        // Bytes never vanish; in the other kinds some of these words do.
        assert_eq!(vanished > 0, family != Family::Roberta, "{family:?}: {vanished} words vanished");
    }
}

#[test]
fn directories_of_transformers_give_its_tags() {
    for family in Family::ALL {
        let mut student = Student::load(&fixture(family), &NetworkOptions::default()).unwrap();
        let mut found = 0;
        for Plain { words, logits } in expected(family).plain {
            let theirs = student.labels().entities(&student.labels().decode(&logits));
            let ours = student.predict(&[Sentence::from_words("s", &words)], None).unwrap();
            assert_eq!(ours[0].entities, theirs, "{family:?}: {words:?}");
            found += theirs.len();
        }
        assert!(found > 0, "{family:?}: the test is empty: nothing was predicted");
    }
}

#[test]
fn what_is_saved_is_what_transformers_had_saved() {
    for family in Family::ALL {
        let saved = tempfile::tempdir().unwrap();
        let mut student = Student::load(&fixture(family), &NetworkOptions::default()).unwrap();
        student.save(saved.path(), "# card\n").unwrap();
        let [mut ours, mut theirs] = [saved.path(), &fixture(family)].map(|d| json(&d.join("config.json")));
        // Its key for the number format has two names.
        ours.remove("torch_dtype");
        theirs.remove("dtype");
        assert_eq!(ours, theirs, "{family:?}");
        let [mut ours, mut theirs] = [saved.path(), &fixture(family)].map(|d| json(&d.join("tokenizer.json")));
        let [mut our_settings, mut their_settings] =
            [saved.path(), &fixture(family)].map(|d| json(&d.join("tokenizer_config.json")));
        if family == Family::Roberta {
            // Every word gets a leading blank here, and must get it in transformers.
            assert_eq!(ours["pre_tokenizer"]["add_prefix_space"].take(), true);
            assert_eq!(theirs["pre_tokenizer"]["add_prefix_space"].take(), false);
            assert_eq!(our_settings.remove("add_prefix_space"), Some(true.into()));
            assert_eq!(their_settings.remove("add_prefix_space"), Some(false.into()));
        }
        assert_eq!(ours, theirs, "{family:?}");
        assert_eq!(our_settings, their_settings, "{family:?}");
        let mut again = Student::load(saved.path(), &NetworkOptions::default()).unwrap();
        let sentences = toy(10, 0);
        assert_eq!(student.predict(&sentences, None).unwrap(), again.predict(&sentences, None).unwrap());
    }
}

#[test]
fn every_family_learns_the_toy_language() {
    let data = toy(40, 0);
    for family in Family::ALL {
        let labels = Labels::iob2(["LOC", "PER"]);
        let student = Student::from_encoder(&fixture(family), labels, 1, &NetworkOptions::default()).unwrap();
        let settings = TrainSettings { epochs: 8, batch_size: 8, learning_rate: 1e-2, ..TrainSettings::default() };
        let data = TrainingData::original(&data);
        let mut trainer = Trainer::new(student, data, &settings).unwrap();
        let losses: Vec<f64> = trainer.by_ref().map(|report| report.unwrap().loss).collect();
        let (first, last) = (losses[0], losses[losses.len() - 1]);
        assert!(last < first / 2.0, "{family:?}: the loss went from {first} to {last}");
        let mut trained = trainer.finish().unwrap().student;
        let saved = tempfile::tempdir().unwrap();
        trained.save(saved.path(), "").unwrap();
        let mut loaded = Student::load(saved.path(), &NetworkOptions::default()).unwrap();
        let sentences = toy(10, 50);
        let entities = trained.predict(&sentences, None).unwrap();
        assert_eq!(entities, loaded.predict(&sentences, None).unwrap(), "{family:?}");
    }
}

#[test]
fn positions_that_a_family_never_uses_are_no_room() {
    let student = Student::load(&fixture(Family::Roberta), &NetworkOptions::default()).unwrap();
    assert_eq!((student.config().max_position_embeddings, student.max_length(None)), (258, 256));
}
