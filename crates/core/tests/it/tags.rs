use apprentice_core::{
    Certainty, Entity, Evidence, Scheme, Tag,
    tags::{decode_lenient, decode_strict, encode, malformed},
};
use proptest::prelude::*;

use crate::{entity, tags};

#[test]
fn a_tag_is_split_at_its_first_hyphen() {
    assert_eq!("B-a-b".parse(), Ok(Tag::Begin("a-b".into())));
    assert_eq!("I--".parse(), Ok(Tag::Inside("-".into())));
    assert_eq!("M-é".parse(), Ok(Tag::Inside("é".into())));
    assert_eq!(["E-X".parse(), "L-X".parse()], [Ok(Tag::End("X".into())), Ok(Tag::End("X".into()))]);
    assert_eq!(["S-X".parse(), "U-X".parse()], [Ok(Tag::Single("X".into())), Ok(Tag::Single("X".into()))]);
    assert_eq!("O".parse(), Ok(Tag::Outside));
    for wrong in ["", "o", "O-", "O-X", "B", "B-", "I-", "X-PER", "PER", "b-PER", "B_PER", "é", "Bé-X"] {
        let error = wrong.parse::<Tag>().unwrap_err().to_string();
        assert!(error.starts_with(&format!("`{wrong}` is not a tag: expected O, or one of B-, I-, E-, S-")), "{error}");
    }
    assert!(Tag::from_bare_type("").is_err());
}

#[test]
fn a_scheme_has_a_name() {
    for scheme in Scheme::ALL {
        assert_eq!(scheme.to_string().parse(), Ok(scheme));
        let json = serde_json::to_value(scheme).unwrap();
        assert_eq!(json.as_str().unwrap().parse(), Ok(scheme));
        assert_eq!(serde_json::from_value::<Scheme>(json).unwrap(), scheme);
    }
    assert_eq!(["bio".parse(), "BIOES".parse()], [Ok(Scheme::Iob2), Ok(Scheme::Iobes)]);
    let error = "iob".parse::<Scheme>().unwrap_err().to_string();
    assert!(error.starts_with("`iob` is no tag scheme: expected iob1, iob2"), "{error}");
}

/// The evidence of sentences that are separated by `/`, as a reader gathers it.
fn evidence(text: &str) -> Evidence {
    let mut evidence = Evidence::of(text.split('/').map(tags));
    for tag in text.split([' ', '/']) {
        evidence.observe_text(tag);
    }
    evidence
}

#[test]
fn schemes_are_told_apart() {
    for (text, verdict) in [
        ("O O/", "IOB2 (no entity: any scheme would fit)"),
        ("B-X I-X O", "IOB2 (1 entity; 1 tag rules out IOB1)"),
        ("I-X I-X O", "IOB1 (1 entity; IOE1, IO would fit as well)"),
        ("I-X B-X I-X", "IOB1 (2 entities; 1 tag rules out IOB2)"),
        ("B-X B-X", "IOB2 (2 entities; 1 tag rules out IOB1)"),
        ("I-X E-X I-X", "IOE1 (2 entities; 1 tag rules out IOB1)"),
        ("I-X E-X E-X", "IOE2 (2 entities; 1 tag rules out IOE1)"),
        ("B-X E-X S-X", "IOBES (2 entities; 2 tags rule out IOB2)"),
        ("B-X L-X O U-X", "BILOU (2 entities; 2 tags rule out IOB2)"),
        ("B-X L-X O S-X", "IOBES (2 entities; BILOU would fit as well)"),
        ("I-X B-Y", "no scheme (2 entities; IOB2 is nearest, broken by 1 of 2 tags)"),
        // The start of a sentence is no continuation of the sentence before.
        ("I-X/B-X", "no scheme (2 entities; IOB2 is nearest, broken by 1 of 2 tags)"),
        ("B-X I-X/B-X E-X/S-X", "no scheme (3 entities; IOBES is nearest, broken by 1 of 5 tags)"),
    ] {
        assert_eq!(evidence(text).verdict().to_string(), verdict, "{text}");
    }
    // Without the texts, IOBES and BILOU are one.
    let verdict = Evidence::of([tags("U-X")]).verdict();
    assert_eq!(verdict.certainty, Certainty::Ambiguous { others: vec![Scheme::Bilou] });
}

#[test]
fn evidence_serialises_as_counts() {
    assert_eq!(
        serde_json::to_value(evidence("B-X I-Y B-Y O/I-X")).unwrap(),
        serde_json::json!({
            "entities": 4,
            "tags": 4,
            "against": { "iob1": 1, "iob2": 2, "ioe1": 2, "ioe2": 3, "iobes": 5, "bilou": 5, "io": 2 },
        })
    );
    assert_eq!(
        serde_json::to_value(evidence("B-X I-X").verdict()).unwrap(),
        serde_json::json!({
            "scheme": "iob2", "entities": 1, "tags": 2, "certainty": "certain", "runner_up": "iob1", "against": 1,
        })
    );
}

#[test]
fn lenient_decoding_takes_every_prefix() {
    let (x, y) = (|a, b| entity(a, b, "X"), |a, b| entity(a, b, "Y"));
    let decode = |text: &str| decode_lenient(&tags(text));
    assert_eq!(decode("B-X I-X O I-X"), [x(0, 2), x(3, 4)]);
    assert_eq!(decode("I-X B-X I-Y"), [x(0, 1), x(1, 2), y(2, 3)]);
    assert_eq!(decode("B-X E-X E-X I-X"), [x(0, 2), x(2, 3), x(3, 4)]);
    assert_eq!(decode("B-X S-X I-X E-Y"), [x(0, 1), x(1, 2), x(2, 3), y(3, 4)]);
    assert_eq!(decode("B-X I-X L-X U-X"), [x(0, 3), x(3, 4)]);
    assert_eq!(decode(""), []);
}

#[test]
fn strict_decoding_has_the_surprises_of_seqeval() {
    let (x, y) = (|a, b| entity(a, b, "X"), |a, b| entity(a, b, "Y"));
    let decode = |text: &str, scheme| decode_strict(&tags(text), scheme);
    assert_eq!(decode("B-X I-X O I-X", Scheme::Iob1), [x(1, 2), x(3, 4)]);
    assert_eq!(decode("I-X B-X B-Y", Scheme::Iob1), [x(0, 1)]);
    assert_eq!(decode("I-X B-X B-Y", Scheme::Iob2), [x(1, 2), y(2, 3)]);
    assert_eq!(decode("E-X I-X", Scheme::Ioe1), [x(1, 2)]);
    assert_eq!(decode("I-X E-X E-X I-X", Scheme::Ioe1), [x(0, 2), x(2, 3), x(3, 4)]);
    assert_eq!(decode("I-X I-X O E-X", Scheme::Ioe2), [x(3, 4)]);
    assert_eq!(decode("B-X I-X B-X E-X I-X", Scheme::Iobes), [x(2, 4)]);
    // What the scheme does not have is as good as `O`.
    assert_eq!(decode("B-X E-X I-X", Scheme::Iob2), [x(0, 1)]);
    assert_eq!(decode("I-X I-X B-X I-Y", Scheme::Io), [x(0, 2), y(3, 4)]);
    assert!(Scheme::ALL.iter().all(|&scheme| decode("", scheme).is_empty()));
}

fn any_tag() -> impl Strategy<Value = Tag> {
    let kinds: [fn(&str) -> Tag; 5] = [
        |_| Tag::Outside,
        |label| Tag::Begin(label.into()),
        |label| Tag::Inside(label.into()),
        |label| Tag::End(label.into()),
        |label| Tag::Single(label.into()),
    ];
    (prop::sample::select(kinds.to_vec()), "[XY]|a-b").prop_map(|(kind, label)| kind(&label))
}

/// Entities, sorted and apart, with the length of their sentence.
fn any_entities() -> impl Strategy<Value = (Vec<Entity>, usize)> {
    prop::collection::vec((0_usize..3, 1_usize..4, "[XY]|a-b"), 0..6).prop_map(|parts| {
        let mut end = 0;
        let place = |(gap, len, label): (usize, usize, String)| {
            let start = end + gap.saturating_sub(1);
            end = start + len;
            entity(start, end, &label)
        };
        let entities = parts.into_iter().map(place).collect();
        (entities, end + 1)
    })
}

fn any_scheme() -> impl Strategy<Value = Scheme> {
    prop::sample::select(Scheme::ALL.to_vec())
}

/// What IO leaves of the entities: neighbours of one type become one.
fn merged(entities: &[Entity]) -> Vec<Entity> {
    let mut result: Vec<Entity> = Vec::new();
    for next in entities {
        match result.last_mut() {
            Some(last) if last.label == next.label && last.span.end() == next.span.start() => {
                *last = entity(last.span.start(), next.span.end(), &last.label.clone());
            }
            _ => result.push(next.clone()),
        }
    }
    result
}

/// What seqeval leaves of well-formed IOE1: no single token with `E-`, but after another `E-` of its type.
fn without_lost_singles(entities: &[Entity]) -> Vec<Entity> {
    let touch = |a: &Entity, b: &Entity| a.label == b.label && a.span.end() == b.span.start();
    let lost = |&i: &usize| {
        let touches_next = entities.get(i + 1).is_some_and(|next| touch(&entities[i], next));
        let touches_last = i > 0 && touch(&entities[i - 1], &entities[i]);
        entities[i].span.len() == 1 && touches_next && !touches_last
    };
    (0..entities.len()).filter(|i| !lost(i)).map(|i| entities[i].clone()).collect()
}

proptest! {
    #[test]
    fn every_scheme_gives_back_what_was_written((entities, len) in any_entities(), scheme in any_scheme()) {
        let tags = encode(&entities, len, scheme);
        prop_assert_eq!(malformed(&tags, scheme), 0);
        let expected = if scheme == Scheme::Io { merged(&entities) } else { entities };
        prop_assert_eq!(&decode_lenient(&tags), &expected);
        let expected = if scheme == Scheme::Ioe1 { without_lost_singles(&expected) } else { expected };
        prop_assert_eq!(&decode_strict(&tags, scheme), &expected);
    }

    #[test]
    fn tags_are_written_as_they_are_read(tag in any_tag(), scheme in any_scheme()) {
        prop_assert_eq!(&tag.to_string().parse::<Tag>().unwrap(), &tag);
        prop_assert_eq!(&tag.in_scheme(scheme).to_string().parse::<Tag>().unwrap(), &tag);
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
    fn strict_entities_lie_apart(tags in prop::collection::vec(any_tag(), 0..12), scheme in any_scheme()) {
        let entities = decode_strict(&tags, scheme);
        prop_assert!(entities.windows(2).all(|pair| pair[0].span.end() <= pair[1].span.start()));
    }

    #[test]
    fn evidence_counts_what_the_scheme_does_not_allow(sentences in prop::collection::vec(
        prop::collection::vec(any_tag(), 0..9), 0..4,
    )) {
        let evidence = Evidence::of(&sentences);
        for scheme in Scheme::ALL {
            let broken = |tags: &Vec<Tag>| {
                let closed: Vec<&Tag> = [&Tag::Outside].into_iter().chain(tags).chain([&Tag::Outside]).collect();
                let broken = closed.windows(2).filter(|pair| !scheme.allows(pair[0], pair[1])).count();
                assert_eq!(malformed(tags, scheme), broken);
                broken
            };
            prop_assert_eq!(evidence.against(scheme), sentences.iter().map(broken).sum::<usize>());
        }
        let entities: usize = sentences.iter().map(|tags| decode_lenient(tags).len()).sum();
        prop_assert_eq!(evidence.entities(), entities);
    }

    #[test]
    fn detection_finds_the_scheme_that_wrote_it(
        sentences in prop::collection::vec(any_entities(), 1..20), scheme in any_scheme(),
    ) {
        let mut evidence = Evidence::default();
        for (entities, len) in &sentences {
            let tags = encode(entities, *len, scheme);
            for tag in &tags {
                evidence.observe_text(&tag.in_scheme(scheme).to_string());
            }
            evidence.observe(&tags);
        }
        let verdict = evidence.verdict();
        match verdict.certainty {
            Certainty::Certain { against, .. } => {
                prop_assert_eq!(verdict.scheme, scheme);
                prop_assert!(against > 0);
            }
            Certainty::Ambiguous { others } => {
                prop_assert!(others.contains(&scheme) || verdict.scheme == scheme);
                let only_inside = matches!(scheme, Scheme::Iob1 | Scheme::Ioe1 | Scheme::Io);
                prop_assert!(evidence.entities() == 0 || only_inside);
            }
            Certainty::Broken { .. } => prop_assert!(false, "{}", verdict),
        }
    }
}
