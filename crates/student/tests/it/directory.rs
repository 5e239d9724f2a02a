//! Model directories: what was saved is loaded, and what cannot be used is named.

use apprentice_core::Sentence;
use std::path::Path;

use apprentice_encoder::NetworkOptions;
use apprentice_student::{Head, ModelCard, Student, TrainSettings, Trainer, TrainingData, labels::Labels};

use crate::{student, toy};

fn saved() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    student(1, 2).save(directory.path(), "# card\n").unwrap();
    directory
}

fn load_error(directory: &Path) -> String {
    Student::load(directory, &NetworkOptions::default()).err().expect("the directory is faulty").to_string()
}

/// Puts `new` for `old` in a file of the directory.
fn change(directory: &Path, name: &str, old: &str, new: &str) {
    let path = directory.join(name);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(old), "{name} has no {old}");
    let mut file = std::fs::File::create(&path).unwrap();
    std::io::Write::write_all(&mut file, text.replacen(old, new, 1).as_bytes()).unwrap();
}

#[test]
fn a_saved_student_predicts_the_same_and_saves_the_same() {
    let mut before = student(1, 2);
    let directory = saved();
    let mut after = Student::load(directory.path(), &NetworkOptions::default()).unwrap();
    let sentences = toy(30, 0);
    assert_eq!(before.predict(&sentences, None).unwrap(), after.predict(&sentences, None).unwrap());
    let again = tempfile::tempdir().unwrap();
    after.save(again.path(), "# card\n").unwrap();
    for name in
        ["model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt", "README.md"]
    {
        let read = |directory: &Path| std::fs::read(directory.join(name)).unwrap();
        assert!(read(directory.path()) == read(again.path()), "{name} changed");
    }
}

/// A student that learnt the toy language a little, with a CRF.
fn trained_with_crf() -> Student {
    let settings =
        TrainSettings { epochs: 2, batch_size: 8, learning_rate: 5e-3, head: Head::Crf, ..Default::default() };
    let data = toy(40, 0);
    let mut trainer = Trainer::new(student(1, 2), TrainingData::original(&data), &settings).unwrap();
    assert!(trainer.by_ref().all(|report| report.is_ok()));
    trainer.finish().unwrap().student
}

#[test]
fn a_saved_crf_predicts_the_same_and_saves_the_same() {
    let mut before = trained_with_crf();
    let directory = tempfile::tempdir().unwrap();
    before.save(directory.path(), "").unwrap();
    let mut after = Student::load(directory.path(), &NetworkOptions::default()).unwrap();
    assert_eq!((before.head(), after.head()), (Head::Crf, Head::Crf));
    let sentences = toy(60, 100);
    let predicted = before.predict(&sentences, None).unwrap();
    assert!(
        predicted.iter().any(|prediction| !prediction.entities.is_empty()),
        "the test is empty: nothing was predicted"
    );
    assert_eq!(predicted, after.predict(&sentences, None).unwrap());
    let read = |directory: &Path, name| std::fs::read(directory.join(name)).unwrap();
    let again = tempfile::tempdir().unwrap();
    after.save(again.path(), "").unwrap();
    for name in ["model.safetensors", "config.json"] {
        assert!(read(directory.path(), name) == read(again.path(), name), "{name} changed");
    }

    // As an encoder it has a head of the usual kind, and says nothing of another.
    let labels = Labels::iob2(["SHIP"]);
    let other = Student::from_encoder(directory.path(), labels, 1, &NetworkOptions::default()).unwrap();
    other.save(again.path(), "").unwrap();
    assert!(!String::from_utf8(read(again.path(), "config.json")).unwrap().contains("crf"));
    Student::load(again.path(), &NetworkOptions::default()).unwrap();
    // Nothing that was learnt is dropped in silence.
    let error = Trainer::new(after, TrainingData::original(&toy(4, 0)), &TrainSettings::default()).err().unwrap();
    assert_eq!(error.to_string(), "head = softmax: expected crf, because the student has one");
}

#[test]
fn faults_of_a_crf_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    trained_with_crf().save(path, "").unwrap();
    change(path, "config.json", "\"crf.transitions\"", "\"crf.trans\"");
    let error = load_error(path);
    assert!(error.contains("config.json: apprentice_crf is") && error.contains("expected {"), "{error}");
    change(path, "config.json", "\"crf.trans\"", "\"crf.transitions\"");
    // A class more, of which no tensor knows.
    change(path, "config.json", "\"id2label\": {", "\"id2label\": { \"5\": \"B-SHIP\",");
    assert!(load_error(path).contains("`classifier.weight` has shape [5, 32], config.json says [6, 32]"));
    change(path, "config.json", " \"5\": \"B-SHIP\",", "");
    student(1, 2).save(&path.join("."), "").unwrap();
    change(path, "config.json", "\"id2label\"", "\"apprentice_crf\": true, \"id2label\"");
    assert!(load_error(path).contains("apprentice_crf is true, expected {"));
}

#[test]
fn a_card_says_what_others_do_not_compute() {
    let card = |head| {
        let settings = TrainSettings { head, ..TrainSettings::default() };
        let (encoder, scores) = ("x", &[][..]);
        let card = ModelCard {
            encoder,
            settings: &settings,
            original: 1,
            distilled: 0,
            steps: 1,
            best_epoch: None,
            scores,
            warning: None,
        };
        card.render().unwrap()
    };
    assert!(!card(Head::Softmax).contains("head ="));
    let of_crf = card(Head::Crf);
    assert!(of_crf.contains("linear-chain CRF") && of_crf.contains("head = \"crf\""), "{of_crf}");
}

#[test]
fn a_sentence_alone_gets_the_same_entities_as_among_others() {
    let mut student = student(3, 2);
    let sentences = toy(40, 0);
    let together = student.predict(&sentences, None).unwrap();
    for (sentence, expected) in sentences.iter().zip(&together) {
        assert_eq!(&student.predict(std::slice::from_ref(sentence), None).unwrap()[0], expected);
    }
    assert!(
        together.iter().any(|prediction| !prediction.entities.is_empty()),
        "the test is empty: nothing was predicted"
    );
}

#[test]
fn embeddings_have_length_1_and_do_not_depend_on_others() {
    let mut student = student(3, 1);
    let mut sentences = toy(30, 0);
    sentences.push(Sentence::from_words("empty", [""]));
    let all = student.embed(&sentences).unwrap();
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    for (sentence, vector) in sentences.iter().zip(&all) {
        assert_eq!(&student.embed(std::slice::from_ref(sentence)).unwrap()[0], vector);
        let expected = if sentence.tokens().is_empty() { 0.0 } else { 1.0 };
        assert!((product(vector, vector) - expected).abs() < 1e-5);
    }
    assert!(all[1..30].iter().any(|other| product(other, &all[0]) < 0.999));
}

#[test]
fn vocabulary_txt_alone_will_do() {
    let directory = saved();
    std::fs::remove_file(directory.path().join("tokenizer.json")).unwrap();
    let sentences = toy(30, 0);
    let mut loaded = Student::load(directory.path(), &NetworkOptions::default()).unwrap();
    assert_eq!(loaded.predict(&sentences, None).unwrap(), student(1, 2).predict(&sentences, None).unwrap());
}

#[test]
fn a_trained_student_serves_as_encoder_for_other_labels() {
    let directory = saved();
    let labels = Labels::iob2(["SHIP"]);
    let mut other = Student::from_encoder(directory.path(), labels, 1, &NetworkOptions::default()).unwrap();
    assert_eq!(other.labels().names().collect::<Vec<_>>(), ["O", "B-SHIP", "I-SHIP"]);
    other.predict(&toy(3, 0), None).unwrap();
}

#[test]
fn faults_are_named() {
    let directory = saved();
    let path = directory.path();
    change(path, "config.json", "\"model_type\": \"bert\"", "\"model_type\": \"gpt2\"");
    assert!(load_error(path).contains("model type `gpt2` is not supported: expected `bert`"));
    change(path, "config.json", "\"model_type\": \"gpt2\"", "\"model_type\": \"bert\"");

    change(path, "config.json", "\"vocab_size\": ", "\"vocab_size\": 3, \"was\": ");
    let error = load_error(path);
    assert!(error.contains("the encoder embeds 3 tokens"), "{error}");
    change(path, "config.json", "\"vocab_size\": 3, \"was\": ", "\"vocab_size\": ");

    change(path, "config.json", "\"I-LOC\",", "\"Q-LOC\",");
    let error = load_error(path);
    assert!(error.contains("config.json: id2label, class 2") && error.contains("Q-LOC"), "{error}");
    change(path, "config.json", "\"Q-LOC\",", "\"I-LOC\",");

    change(path, "config.json", "id2label", "nothing");
    assert!(load_error(path).contains("no id2label"));
    change(path, "config.json", "nothing", "id2label");

    change(path, "tokenizer.json", "{", "[");
    assert!(load_error(path).contains("tokenizer.json: not a readable tokenizer"));
    std::fs::remove_file(path.join("tokenizer.json")).unwrap();
    std::fs::rename(path.join("vocab.txt"), path.join("vocab")).unwrap();
    assert!(load_error(path).ends_with("neither tokenizer.json nor vocab.txt"));
    std::fs::rename(path.join("vocab"), path.join("vocab.txt")).unwrap();

    std::fs::remove_file(path.join("model.safetensors")).unwrap();
    assert!(load_error(path).contains("no model.safetensors: not a model directory"));
    std::fs::File::create(path.join("pytorch_model.bin")).unwrap();
    assert!(load_error(path).contains("pytorch_model.bin may run code"));
}
