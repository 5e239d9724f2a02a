use std::sync::Arc;

use apprentice_core::{Sentence, Span};
use apprentice_teacher::{Alignment, Mention, Outcome, OverlapPolicy, Status, align, align_with, default_labels};
use proptest::prelude::*;

use crate::{mention, sentence};

/// Aligns LOC mentions, and tells of each where it went: `exact`, `folded` or `fuzzy`, `+` if widened, and its tokens.
fn places(sentence: &Sentence, mentions: &[&str]) -> Vec<String> {
    let mentions: Vec<_> = mentions.iter().map(|text| mention(text, "LOC")).collect();
    let outcomes = align(sentence, &mentions, &default_labels()).outcomes;
    let tell = |outcome| match outcome {
        Outcome::Placed { span, status, widened } => {
            let status = match status {
                Status::Exact => "exact",
                Status::Folded => "folded",
                Status::Fuzzy => "fuzzy",
                Status::Approximate => "approximate",
            };
            format!("{status}{} {}..{}", if widened { "+" } else { "" }, span.start(), span.end())
        }
        Outcome::Missing => "missing".to_owned(),
        Outcome::Overlap { span, .. } => format!("overlap {}..{}", span.start(), span.end()),
        Outcome::UnknownType => "unknown".to_owned(),
    };
    outcomes.into_iter().map(tell).collect()
}

#[track_caller]
fn check(text: &str, expected: &[(&str, &str)]) {
    let (mentions, outcomes): (Vec<_>, Vec<_>) = expected.iter().copied().unzip();
    assert_eq!(places(&sentence("s1", text), &mentions), outcomes, "{text}");
}

#[test]
fn repeated_mentions_go_to_successive_places() {
    check("Rome beat Rome , Rome said", &[("Rome", "exact 0..1"), ("Rome", "exact 2..3"), ("Rome", "exact 4..5")]);
    check("Rome beat Rome", &[("Rome", "exact 0..1"), ("Rome", "exact 2..3"), ("Rome", "overlap 0..1")]);
    check("New York New York", &[("New York", "exact 0..2"), ("New York", "exact 2..4")]);
}

#[test]
fn mentions_out_of_order_are_found() {
    check("Rome beat Oslo and Lima", &[("Lima", "exact 4..5"), ("Rome", "exact 0..1"), ("Oslo", "exact 2..3")]);
    check("Rome and Rome", &[("and", "exact 1..2"), ("Rome", "exact 2..3"), ("Rome", "exact 0..1")]);
}

#[test]
fn whole_tokens_come_before_parts_of_longer_ones() {
    check("the USA and the US", &[("US", "exact 4..5")]);
    check("a Roman in Oman", &[("Oman", "exact 3..4")]);
    check("Roman", &[("oman", "exact+ 0..1"), ("Oman", "missing")]);
    check("Oman beat Omani", &[("Oman", "exact 0..1"), ("Oman", "overlap 0..1")]);
    check("Omanis left OMAN", &[("Oman", "folded 2..3")]);
    check("US-led and US", &[("US", "exact+ 0..1"), ("US", "exact 2..3")]);
    check("US-led and US", &[("US", "exact 2..3")]);
}

#[test]
fn an_edge_inside_a_token_widens_to_the_token() {
    check("AOL's profit", &[("AOL", "exact+ 0..1")]);
    check("the pro-German vote", &[("German", "exact+ 1..2")]);
    check("two Germans left", &[("German", "exact+ 1..2")]);
    check("in New York-based firms", &[("New York", "exact+ 1..3")]);
    check("Athens-Thessaloniki", &[("Athens", "exact+ 0..1"), ("Thessaloniki", "overlap 0..1")]);
}

#[test]
fn unicode_form_and_case_are_folded() {
    check("in CAFE\u{301} ROYAL now", &[("Café Royal", "folded 1..3")]);
    check("Straße , STRASSE", &[("strasse", "folded 0..1"), ("Strasse", "folded 2..3")]);
    check("\u{fb01}rst İzmir", &[("First", "folded 0..1"), ("i\u{307}zmir", "folded 1..2")]);
    check("😀😀 ＩＢＭ 👩‍👩‍👧 Évora", &[("IBM", "folded 1..2"), ("ÉVORA", "folded 3..4")]);
    check("Andre\u{301}", &[("Andre", "exact+ 0..1")]);
}

#[test]
fn white_space_and_punctuation_are_overlooked_last() {
    check("the People 's Daily said", &[("People's Daily", "fuzzy 1..4")]);
    check("in the U.S. today", &[("US", "fuzzy 2..3")]);
    check("Saint - Denis won", &[("Saint–Denis", "fuzzy 0..3")]);
    check("in Rome , now", &[(" Rome,", "fuzzy 1..2")]);
    check("bar test", &[("art", "missing")]);
    check("Russia won", &[("US", "missing")]);
    check("C lost", &[("C++", "missing"), ("", "missing"), ("…", "missing")]);
}

#[test]
fn a_mention_of_unknown_type_is_in_nobodys_way() {
    let sentence = sentence("s1", "Bank of Rome , Rome");
    let mentions = [mention("Bank of Rome", "FIRM"), mention("Rome", "LOC"), mention("Rome", "ORG")];
    let Alignment { entities, outcomes } = align(&sentence, &mentions, &default_labels());
    assert_eq!(outcomes[0], Outcome::UnknownType);
    let found: Vec<_> = entities.iter().map(|e| (e.span.start(), &*e.label)).collect();
    assert_eq!(found, [(2, "ORG"), (4, "LOC")]);
}

#[test]
fn text_that_no_token_covers_is_not_claimed() {
    let tokens = [(1, 5), (8, 12)].map(|(start, end)| Span::new(start, end).unwrap()).into();
    let sentence = Sentence::new("s1", "(Rome), Oslo!", tokens).unwrap();
    assert_eq!(
        places(&sentence, &["(Rome)", "Oslo!", "Rome), Oslo", ","]),
        ["fuzzy 0..1", "fuzzy 1..2", "overlap 0..2", "missing"]
    );
    assert_eq!(places(&Sentence::from_words("s1", [""; 0]), &["Rome", ""]), ["missing", "missing"]);
}

/// Words that share parts, differ by form, or grow and shrink when folded.
const WORDS: [&str; 24] = [
    "Rome",
    "ROME",
    "Roman",
    "Oman",
    "US",
    "USA",
    "U.S.",
    "us",
    "U",
    "S",
    "AOL's",
    "AOL",
    "'s",
    "Straße",
    "STRASSE",
    "ﬁn",
    "İ",
    "i\u{307}",
    "e\u{301}",
    "é",
    "😀",
    "👩‍👧",
    "-",
    "ＥＵ",
];

fn texts() -> impl proptest::strategy::Strategy<Value = Vec<String>> {
    let word = prop_oneof![
        6 => prop::sample::select(WORDS.as_slice()).prop_map(str::to_owned),
        1 => "\\PC{1,4}",
    ];
    prop::collection::vec(word, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6000))]

    #[test]
    fn entities_lie_in_the_sentence_apart_and_as_they_were_claimed(
        words in texts(),
        claims in prop::collection::vec((any::<prop::sample::Index>(), 1usize..4, 0usize..3, 0usize..3, 0usize..6), 0..10),
        others in texts(),
    ) {
        let sentence = Sentence::from_words("s1", &words);
        let text: Vec<char> = sentence.text().chars().collect();
        // Claims are pieces of the sentence, cut anywhere, some written otherwise, some from elsewhere.
        let mentions: Vec<_> = claims.iter().map(|&(at, len, cut, form, label)| {
            let start = at.index(text.len().max(1));
            let piece: String = text.iter().skip(start).take(len * 3 + cut).collect();
            let piece = match form {
                0 => piece,
                1 => piece.to_uppercase(),
                _ => others[at.index(others.len())].clone(),
            };
            mention(&piece, ["PER", "LOC", "ORG", "MISC", "DATE", "LOC"][label])
        }).collect();
        let labels = default_labels();
        let alignment = align(&sentence, &mentions, &labels);

        prop_assert_eq!(alignment.outcomes.len(), mentions.len());
        let mut placed = Vec::new();
        for (mention, outcome) in mentions.iter().zip(&alignment.outcomes) {
            let known = labels.iter().any(|label| **label == mention.label);
            prop_assert_eq!(*outcome == Outcome::UnknownType, !known);
            if let Outcome::Placed { span, status, widened } = *outcome {
                placed.push((span, mention.label.clone()));
                if status == Status::Exact && widened {
                    prop_assert!(sentence.surface(span).contains(&mention.text));
                    prop_assert_ne!(sentence.surface(span), &mention.text);
                } else if status == Status::Exact {
                    prop_assert_eq!(sentence.surface(span), &mention.text);
                }
            }
        }
        placed.sort();
        let entities: Vec<_> = alignment.entities.iter().map(|e| (e.span, e.label.to_string())).collect();
        prop_assert_eq!(entities, placed);
        // The constructor checks that entities lie within the tokens and apart.
        let checked = sentence.with_entities(alignment.entities, apprentice_core::Provenance::Original);
        prop_assert!(checked.is_ok(), "{:?}", checked);
    }

    #[test]
    fn what_a_sentence_holds_is_found_where_it_is(words in texts(), cuts in prop::collection::vec(any::<bool>(), 12)) {
        // Some of the words that occur once, in order: as a perfect teacher would list them.
        let sentence = Sentence::from_words("s1", &words);
        let once = |i: usize| {
            let word = sentence.word(i);
            word.trim() == word && sentence.text().matches(word).count() == 1
        };
        let claimed: Vec<usize> = (0..sentence.tokens().len()).filter(|&i| cuts[i] && once(i)).collect();
        let mentions: Vec<_> = claimed.iter().map(|&i| mention(sentence.word(i), "LOC")).collect();
        let labels: [Arc<str>; 1] = ["LOC".into()];
        let starts: Vec<_> = align(&sentence, &mentions, &labels).entities.iter().map(|e| e.span.start()).collect();
        prop_assert_eq!(starts, claimed);
    }
}

#[test]
fn all_mentions_are_placed_together() {
    // In listed order if that costs little, and in another order if it costs more.
    check("ROME beat Rome", &[("Rome", "folded 0..1"), ("beat", "exact 1..2")]);
    check("ROME beat Rome", &[("beat", "exact 1..2"), ("Rome", "exact 2..3")]);
    check("US beat U.S.", &[("US", "exact 0..1"), ("US", "fuzzy 2..3")]);
    // A repeated mention makes room for what comes between.
    check("Rome , Oslo , Rome", &[("Oslo", "exact 2..3"), ("Rome", "exact 4..5")]);
    check("Bank of Rome , Rome", &[("Rome", "exact 4..5"), ("Bank of Rome", "exact 0..3")]);
    check("Bank of Rome , Rome", &[("Bank of Rome", "exact 0..3"), ("Rome", "exact 4..5")]);
    check("New York City and New York", &[("New York", "exact 4..6"), ("New York City", "exact 0..3")]);
}

#[test]
fn an_overlap_policy_says_who_gets_a_place() {
    let sentence = sentence("s1", "New York Times");
    let mentions = [mention("New York", "LOC"), mention("New York Times", "ORG"), mention("Times", "MISC")];
    let surfaces = |policy, mentions: &[Mention]| {
        let alignment = align_with(&sentence, mentions, &default_labels(), policy);
        alignment.entities.iter().map(|e| sentence.surface(e.span).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(surfaces(OverlapPolicy::First, &mentions), ["New York", "Times"]);
    assert_eq!(surfaces(OverlapPolicy::First, &mentions[..2]), ["New York"]);
    assert_eq!(surfaces(OverlapPolicy::First, &mentions[1..]), ["New York Times"]);
    assert_eq!(surfaces(OverlapPolicy::Longest, &mentions), ["New York Times"]);
}

#[test]
fn small_slips_are_found_as_a_last_resort() {
    check("in Bratislava today", &[("Bratislva", "approximate 1..2")]);
    check("the Bundesbanks chief", &[("Bundesbnk", "approximate 1..2")]);
    check("Smyth and Smith", &[("Smith", "exact 2..3"), ("Smith", "overlap 2..3")]);
    check("Mrs. Kellers' house", &[("Keler", "missing"), ("Kelers", "approximate+ 1..2")]);
    check("New Yrok City", &[("New York City", "approximate 0..3")]);
    for (text, other) in [
        ("Gambia", "Zambia"),
        ("Iran", "Iraq"),
        ("in 1998", "in 1999"),
        ("Austria", "Australia"),
        ("Slovakia", "Slovenia"),
    ] {
        check(text, &[(other, "missing")]);
    }
}

#[test]
fn quotes_dashes_and_spaces_of_other_kinds_are_the_same() {
    check("the People’s Daily", &[("People's Daily", "fuzzy 1..3")]);
    check("“ Rome ” won", &[("\"Rome\"", "fuzzy 1..2")]);
    check("in Saint\u{2011}Denis now", &[("Saint\u{2010}Denis", "folded 1..2")]);
    for dash in ["-", "–", "—"] {
        check(&format!("in Saint{dash}Denis now"), &[("Saint\u{2010}Denis", "fuzzy 1..2")]);
    }
    check("New\u{a0}York won", &[("New York", "folded 0..1")]);
    check("New York won", &[("New\u{a0}York", "folded 0..2"), ("New\u{2009}York", "overlap 0..2")]);
}

#[test]
fn each_entity_tells_its_mention_and_status() {
    let sentence = sentence("s1", "ROME beat AOL's Oslo");
    let mentions = [mention("Oslo", "LOC"), mention("Lima", "LOC"), mention("AOL", "ORG"), mention("Rome", "LOC")];
    let alignment = align(&sentence, &mentions, &default_labels());
    let placed: Vec<_> = alignment.placed().map(|p| (p.mention, p.entity.span.start(), p.status, p.widened)).collect();
    assert_eq!(placed, [(0, 3, Status::Exact, false), (2, 2, Status::Exact, true), (3, 0, Status::Folded, false)]);
}

#[test]
fn ten_thousand_mentions_in_ten_thousand_words_end_in_good_time() {
    let words = Sentence::from_words("s1", vec!["a"; 10_000]);
    let alignment = align(&words, &vec![mention("a", "LOC"); 10_000], &default_labels());
    assert_eq!(alignment.entities.len(), 10_000);
    let growing: Vec<_> = (1..120).map(|n| mention(&vec!["a"; n].join(" "), "LOC")).collect();
    assert!(align(&words, &growing, &default_labels()).entities.len() > 40);
    let others: Vec<_> = (0..400).map(|n| mention(&format!("a a a a{n}"), "LOC")).collect();
    assert!(align(&words, &others, &default_labels()).entities.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_text_in_any_sentence_has_its_outcome(
        words in prop::collection::vec("\\PC{1,8}", 1..8),
        others in prop::collection::vec(any::<String>(), 0..6),
        longest in any::<bool>(),
    ) {
        let sentence = Sentence::from_words("s1", &words);
        let mentions: Vec<_> = words.iter().chain(&others).map(|text| mention(text, "LOC")).collect();
        let policy = if longest { OverlapPolicy::Longest } else { OverlapPolicy::First };
        let alignment = align_with(&sentence, &mentions, &default_labels(), policy);
        prop_assert_eq!(alignment.outcomes.len(), mentions.len());
        prop_assert_eq!(alignment.placed().count(), alignment.entities.len());
        prop_assert!(sentence.with_entities(alignment.entities, apprentice_core::Provenance::Original).is_ok());
    }
}
