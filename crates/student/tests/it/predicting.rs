//! Prediction: documents longer than a window, and how sure the student is.

use apprentice_core::{Entity, Provenance, Sentence, Span};
use apprentice_student::{Prediction, Student, TrainSettings, Trainer, TrainingData, tokenize::SubwordTokenizer};

use crate::{student, toy};

/// Toy sentences end to end as one, in no regular order, with names of three words.
fn document(n: usize, seed: u32) -> Sentence {
    let (mut words, mut entities) = (Vec::new(), Vec::new());
    let mut state = seed;
    let draw = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        toy(1, (state >> 16) as usize)
    };
    let sentences: Vec<Sentence> = (0..n).flat_map(draw).collect();
    for sentence in &sentences {
        for (at, word) in sentence.words().enumerate() {
            let start = words.len();
            let entity = sentence.entities().iter().find(|entity| entity.span.start() == at);
            match entity.map(|entity| &*entity.label) {
                Some("PER") => words.extend([if word < "F" { word } else { "ANNA" }, "FINN", "GRETA"]),
                _ => words.push(word),
            }
            let span = Span::new(start, words.len()).unwrap();
            entities.extend(entity.map(|entity| Entity { span, label: entity.label.clone() }));
        }
    }
    Sentence::from_words(format!("document-{seed}"), words).with_entities(entities, Provenance::Original).unwrap()
}

fn trained() -> Student {
    // In windows, too, so that it sees texts begin and end anywhere.
    let documents: Vec<Sentence> = (0..16).map(|i| document(20, i)).collect();
    let settings = TrainSettings {
        epochs: 20,
        batch_size: 4,
        learning_rate: 5e-3,
        max_length: Some(24),
        ..TrainSettings::default()
    };
    let mut trainer = Trainer::new(student(1, 2), TrainingData::original(&documents), &settings).unwrap();
    trainer.by_ref().for_each(|report| assert!(report.unwrap().loss.is_finite()));
    trainer.finish().unwrap().student
}

#[test]
fn entities_at_the_borders_of_windows_are_found_whole() {
    let mut student = trained();
    let tokenizer = SubwordTokenizer::learn(&toy(60, 0), 120);
    // The last one has 50,000 words.
    for (sentences, longest) in [(90, 12), (90, 17), (90, 23), (7000, 23)] {
        let document = document(sentences, 500);
        let windows = tokenizer.windows(std::slice::from_ref(&document), longest).unwrap().remove(0);
        let cut = |entity: &&Entity| {
            let borders = windows.iter().map(|window| window.words.start);
            borders.filter(|border| entity.span.start() < *border && *border < entity.span.end()).count() > 0
        };
        assert!(document.entities().iter().filter(cut).count() > 2, "no window ends within an entity");
        let found = student.predict(std::slice::from_ref(&document), Some(longest)).unwrap().remove(0);
        let missed = document.entities().iter().filter(|entity| !found.entities.contains(entity)).count();
        let spurious = found.entities.len() + missed - document.entities().len();
        assert_eq!((missed, spurious), (0, 0), "{sentences} sentences in windows of {longest}");
    }
    assert!(document(7000, 500).tokens().len() > 50_000);
}

#[test]
fn confidences_tell_right_entities_from_wrong_ones() {
    // Whoever labelled the data takes DORA for a place every second time.
    let sentences: Vec<Sentence> = toy(210, 0)
        .into_iter()
        .enumerate()
        .map(|(i, sentence)| {
            let mut entities = sentence.entities().to_vec();
            let dora = entities.iter_mut().find(|entity| i % 2 == 0 && sentence.surface(entity.span) == "DORA");
            if let Some(dora) = dora {
                dora.label = "LOC".into();
            }
            sentence.with_entities(entities, Provenance::Original).unwrap()
        })
        .collect();
    let settings = TrainSettings { epochs: 3, batch_size: 8, learning_rate: 5e-3, ..TrainSettings::default() };
    let mut trainer = Trainer::new(student(1, 2), TrainingData::original(&sentences), &settings).unwrap();
    trainer.by_ref().for_each(|report| assert!(report.unwrap().loss.is_finite()));
    let mut student = trainer.finish().unwrap().student;
    let predicted = student.predict(&sentences, None).unwrap();
    let judged: Vec<_> = sentences
        .iter()
        .zip(&predicted)
        .flat_map(|(gold, Prediction { entities, confidences })| {
            entities.iter().zip(confidences).map(|(entity, sure)| (*sure, gold.entities().contains(entity)))
        })
        .collect();
    let mean = |right: bool| {
        let of: Vec<f64> = judged.iter().filter(|(_, is)| *is == right).map(|(sure, _)| sure.get()).collect();
        assert!(of.len() > 5, "{} of {} entities are {right}", of.len(), judged.len());
        of.iter().sum::<f64>() / of.len() as f64
    };
    assert!(mean(true) > 0.85 && mean(false) < 0.75, "right: {}, wrong: {}", mean(true), mean(false));
    let tagged = predicted[0].clone().onto(sentences[0].clone()).unwrap();
    assert_eq!(tagged.provenance(), &Provenance::Predicted);
    assert_eq!(tagged.confidence(0), predicted[0].confidences.first().copied());
}
