//! Words, sub-words and windows.

use apprentice_core::Sentence;
use apprentice_student::tokenize::SubwordTokenizer;

use crate::{student, toy};

#[test]
fn the_same_text_gives_the_same_vocabulary() {
    let text = toy(60, 0);
    let first = SubwordTokenizer::learn(&text, 90).vocabulary();
    assert_eq!(first[..5], ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]);
    for _ in 0..20 {
        assert_eq!(first, SubwordTokenizer::learn(&text, 90).vocabulary());
    }
}

#[test]
fn every_word_has_a_row_even_one_that_vanishes() {
    let tokenizer = SubwordTokenizer::learn(&toy(60, 0), 120);
    // The second word is a control character that BERT's normalisation removes, the third is unknown.
    let sentence = Sentence::from_words("s", ["the", "\u{200e}", "猫", "cat"]);
    let windows = tokenizer.windows(&[sentence, Sentence::from_words("empty", [""; 0])], 32).unwrap();
    assert_eq!(windows[0].len(), 1);
    assert_eq!((windows[0][0].words.clone(), windows[0][0].rows.len()), (0..4, 4));
    let unknown = windows[0][0].ids[windows[0][0].rows[1]];
    assert_eq!(unknown, 1, "a vanished word is [UNK]");
    assert!(windows[1][0].rows.is_empty());
}

#[test]
fn long_sentences_are_predicted_whole() {
    let mut student = student(1, 2);
    let words: Vec<String> = (0..700).map(|i| format!("word{}", i % 13)).collect();
    let long = Sentence::from_words("long", &words);
    let windows = |max| SubwordTokenizer::learn(&toy(60, 0), 120).windows(std::slice::from_ref(&long), max).unwrap();
    for max in [16, 64, 512] {
        let rows: usize = windows(max)[0].iter().map(|w| w.rows.len()).sum();
        assert_eq!(rows, 700);
        assert!(windows(max)[0].iter().all(|w| w.ids.len() <= max));
        student.predict(std::slice::from_ref(&long), Some(max)).unwrap();
    }
}
