#![no_main]

use apprentice_core::Sentence;
use apprentice_teacher::{Mention, Outcome, OverlapPolicy, Status, align_with, default_labels};

// The first line is the sentence, each further one a mention; a mention's first byte chooses its type.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split('\n');
    let sentence = Sentence::from_words("fuzz", lines.next().unwrap_or_default().split(' '));
    let mention = |line: &str| {
        let label = ["PER", "LOC", "ORG", "MISC", "VERB"][usize::from(line.bytes().next().unwrap_or(0)) % 5];
        Mention { text: line.chars().skip(1).collect(), label: label.to_owned() }
    };
    let mentions: Vec<Mention> = lines.map(mention).collect();
    for policy in [OverlapPolicy::First, OverlapPolicy::Longest] {
        let alignment = align_with(&sentence, &mentions, &default_labels(), policy);
        assert_eq!(alignment.outcomes.len(), mentions.len());
        assert_eq!(alignment.placed().count(), alignment.entities.len());
        let mut end = 0;
        for entity in &alignment.entities {
            assert!(end <= entity.span.start() && entity.span.start() < entity.span.end());
            end = entity.span.end();
        }
        assert!(end <= sentence.tokens().len());
        for (mention, outcome) in mentions.iter().zip(&alignment.outcomes) {
            assert_eq!(mention.label == "VERB", *outcome == Outcome::UnknownType);
            if let Outcome::Placed { span, status: Status::Exact, widened: false } = *outcome {
                assert_eq!(sentence.surface(span), mention.text);
            }
        }
    }
});
