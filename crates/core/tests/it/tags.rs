use apprentice_core::{
    Evidence, Scheme, Tag, Verdict,
    tags::{decode_lenient, decode_strict, detect, encode_iob2},
};
use proptest::prelude::*;

use crate::{entity, tags};

#[test]
fn a_tag_is_split_at_its_first_hyphen() {
    assert_eq!("B-a-b".parse(), Ok(Tag::Begin("a-b".into())));
    assert_eq!("I--".parse(), Ok(Tag::Inside("-".into())));
    assert_eq!("O".parse(), Ok(Tag::Outside));
    for wrong in ["", "o", "O-", "O-X", "B", "B-", "I-", "E-PER", "S-PER", "PER", "b-PER", "B_PER"] {
        let error = wrong.parse::<Tag>().unwrap_err();
        assert_eq!(error.to_string(), format!("`{wrong}` is not a tag: expected O, B-TYPE or I-TYPE"));
    }
}

#[test]
fn schemes_are_told_apart() {
    let verdict = |text: &str| detect(text.split('/').map(tags)).verdict();
    assert_eq!(verdict("O O/"), Verdict::Either);
    assert_eq!(verdict("B-X I-X O"), Verdict::Iob2);
    assert_eq!(verdict("I-X I-X O"), Verdict::Iob1);
    assert_eq!(verdict("I-X B-X I-X"), Verdict::Iob1);
    assert_eq!(verdict("B-X B-X"), Verdict::Iob2);
    assert_eq!(verdict("I-X B-Y"), Verdict::Neither);
    // The start of a sentence is no continuation of the sentence before.
    assert_eq!(verdict("I-X/B-X"), Verdict::Neither);
    assert_eq!(
        detect([tags("B-X I-Y B-Y O"), tags("I-X")]),
        Evidence { entities: 4, against_iob2: 2, against_iob1: 1 }
    );
}

#[test]
fn decoding_follows_seqeval() {
    let all = |text: &str| {
        let tags = tags(text);
        [decode_lenient(&tags), decode_strict(&tags, Scheme::Iob1), decode_strict(&tags, Scheme::Iob2)]
    };
    let (x, y) = (|a, b| entity(a, b, "X"), |a, b| entity(a, b, "Y"));
    assert_eq!(all("B-X I-X O I-X"), [vec![x(0, 2), x(3, 4)], vec![x(1, 2), x(3, 4)], vec![x(0, 2)]]);
    assert_eq!(all("I-X B-X I-Y"), [vec![x(0, 1), x(1, 2), y(2, 3)], vec![x(0, 1), x(1, 2), y(2, 3)], vec![x(1, 2)]]);
    assert_eq!(all("I-X B-X B-Y"), [vec![x(0, 1), x(1, 2), y(2, 3)], vec![x(0, 1)], vec![x(1, 2), y(2, 3)]]);
    assert_eq!(all(""), [vec![], vec![], vec![]]);
}

fn any_tag() -> impl Strategy<Value = Tag> {
    prop_oneof![
        2 => Just(Tag::Outside),
        1 => "[XY]|a-b".prop_map(|label| Tag::Begin(label.into())),
        2 => "[XY]|a-b".prop_map(|label| Tag::Inside(label.into())),
    ]
}

fn as_iob1(tags: &[Tag]) -> Vec<Tag> {
    let mut previous = &Tag::Outside;
    let mut result = Vec::new();
    for tag in tags {
        result.push(match tag {
            Tag::Begin(label) if previous.label() != Some(label) => Tag::Inside(label.clone()),
            tag => tag.clone(),
        });
        previous = tag;
    }
    result
}

proptest! {
    #[test]
    fn iob2_round_trip(tags in prop::collection::vec(any_tag(), 0..12)) {
        let entities = decode_lenient(&tags);
        let iob2 = encode_iob2(&entities, tags.len());
        prop_assert_eq!(&decode_lenient(&iob2), &entities);
        prop_assert_eq!(&decode_strict(&iob2, Scheme::Iob2), &entities);
        prop_assert_eq!(detect([&iob2]).against_iob2, 0);

        let iob1 = as_iob1(&iob2);
        prop_assert_eq!(&decode_lenient(&iob1), &entities);
        prop_assert_eq!(detect([&iob1]).against_iob1, 0);
    }

    #[test]
    fn display_round_trip(tag in any_tag()) {
        prop_assert_eq!(tag.to_string().parse::<Tag>().unwrap(), tag);
    }

    #[test]
    fn lenient_entities_cover_all_but_outside(tags in prop::collection::vec(any_tag(), 0..12)) {
        let mut covered = vec![false; tags.len()];
        for entity in decode_lenient(&tags) {
            covered[entity.span.range()].fill(true);
        }
        let inside: Vec<bool> = tags.iter().map(|tag| *tag != Tag::Outside).collect();
        prop_assert_eq!(covered, inside);
    }

    #[test]
    fn evidence_counts_what_the_scheme_does_not_allow(tags in prop::collection::vec(any_tag(), 0..12)) {
        let broken = |scheme: Scheme| {
            let previous = [Tag::Outside].into_iter().chain(tags.clone());
            previous.zip(&tags).filter(|(previous, tag)| !scheme.allows(previous, tag)).count()
        };
        let evidence = detect([&tags]);
        prop_assert_eq!(evidence.against_iob1, broken(Scheme::Iob1));
        prop_assert_eq!(evidence.against_iob2, broken(Scheme::Iob2));
    }
}
