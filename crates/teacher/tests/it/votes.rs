use apprentice_core::{Entity, Provenance, Sentence, Span};
use apprentice_teacher::votes::{Quorum, Voted, merge};
use proptest::prelude::*;

fn entity(start: usize, end: usize, label: &str) -> Entity {
    Entity { span: Span::new(start, end).expect("a span"), label: label.into() }
}

fn spans(voted: &[Voted]) -> Vec<(usize, usize, &str)> {
    voted.iter().map(|v| (v.entity.span.start(), v.entity.span.end(), &*v.entity.label)).collect()
}

#[test]
fn a_span_needs_its_quorum_whatever_its_types() {
    let answers = [vec![entity(0, 1, "ORG")], vec![entity(0, 1, "LOC")], vec![], vec![entity(2, 3, "PER")]];
    assert!(merge(&answers, Quorum::Majority).is_empty(), "half is not more than half");
    let voted = merge(&answers, Quorum::AtLeast(0.5));
    assert_eq!(spans(&voted), [(0, 1, "LOC")], "of types with as many votes, the first by name");
    assert_eq!((voted[0].boundary_share, voted[0].share), (0.5, 0.25));
    assert!(merge::<Vec<Entity>>(&[], Quorum::AtLeast(0.0)).is_empty());
}

#[test]
fn of_overlapping_spans_the_one_with_more_votes_then_the_longer_then_the_earlier_stays() {
    let answers = [vec![entity(0, 3, "A"), entity(4, 6, "A")], vec![entity(1, 2, "A"), entity(5, 7, "A")]];
    assert_eq!(spans(&merge(&answers, Quorum::AtLeast(0.1))), [(0, 3, "A"), (4, 6, "A")]);
    let answers = [&[entity(0, 3, "A")], &[entity(1, 2, "A")], &[entity(1, 2, "B")]];
    assert_eq!(spans(&merge(&answers, Quorum::AtLeast(0.1))), [(1, 2, "A")]);
}

#[test]
fn an_answer_that_repeats_itself_has_one_vote() {
    let answers = [vec![entity(0, 1, "A"), entity(0, 1, "A"), entity(0, 1, "B")], vec![]];
    assert_eq!(merge(&answers, Quorum::AtLeast(0.5)).len(), 1);
    assert!(merge(&answers, Quorum::AtLeast(0.51)).is_empty());
    assert!(merge(&answers, Quorum::Majority).is_empty());
}

fn answer() -> impl Strategy<Value = Vec<Entity>> {
    let piece = (0usize..3, 1usize..4, prop::sample::select(vec!["A", "B", "C"]));
    prop::collection::vec(piece, 0..5).prop_map(|pieces| {
        let mut at = 0;
        let place = |(gap, len, label)| {
            at += gap + len;
            entity(at - len, at, label)
        };
        pieces.into_iter().map(place).collect()
    })
}

proptest! {
    #[test]
    fn equal_answers_give_themselves(answer in answer(), n in 1usize..6, least in 0.0f64..=1.0) {
        for quorum in [Quorum::Majority, Quorum::AtLeast(least)] {
            let voted = merge(&vec![answer.clone(); n], quorum);
            prop_assert!(voted.iter().all(|v| v.share.min(v.boundary_share) >= 1.0));
            prop_assert_eq!(voted.into_iter().map(|v| v.entity).collect::<Vec<_>>(), answer.clone());
        }
    }

    #[test]
    fn the_order_of_answers_does_not_matter(
        (answers, shuffled) in prop::collection::vec(answer(), 0..6).prop_flat_map(|a| (Just(a.clone()), Just(a).prop_shuffle())),
        least in 0.0f64..=1.0,
    ) {
        let voted = merge(&answers, Quorum::AtLeast(least));
        prop_assert_eq!(&voted, &merge(&shuffled, Quorum::AtLeast(least)));
        for vote in &voted {
            prop_assert!(vote.share <= vote.boundary_share && vote.boundary_share >= least && vote.share > 0.0);
        }
        // The constructor checks that entities lie within the tokens and apart.
        let sentence = Sentence::from_words("s", vec!["w"; 40]);
        prop_assert!(sentence.with_entities(voted.into_iter().map(|v| v.entity).collect(), Provenance::Original).is_ok());
    }
}
