use std::collections::{BTreeMap, BTreeSet};

use apprentice_core::{
    Span,
    corpus::{Conflicts, Fitter, LabelledSpan, OnConflict, Record},
    data::{Checker, Merger, Percentiles, Ratios, Sampler, SplitBy, StatsBuilder, split},
};

/// A tokenised record whose entities are given as words with types.
fn record(id: &str, text: &str, entities: &[(&str, &str)]) -> Record {
    let span = |(surface, label): &(&str, &str)| {
        let start = text.find(surface).unwrap();
        LabelledSpan::new(Span::new(start, start + surface.len()).unwrap(), *label)
    };
    let record = Record::new(id, text).with_spans(entities.iter().map(span).collect()).unwrap();
    Fitter::sentences(OnConflict::Error).fit(record).unwrap()
}

fn stats(records: &[Record]) -> apprentice_core::data::Stats {
    let mut builder = StatsBuilder::default();
    for record in records {
        builder.add(record);
    }
    builder.finish(&apprentice_core::Evidence::default(), Conflicts::default())
}

#[test]
fn everything_is_counted() {
    let records = [
        record("a", "Ann Keller won in Rome.", &[("Ann Keller", "PER"), ("Rome", "LOC")]),
        record("b", "Rome lost.", &[("Rome", "ORG")]),
        record("c", "Rome  lost.", &[("Rome", "LOC")]),
        Record::new("d", "Nobody").with_tokens(vec![Span::new(0, 6).unwrap()]).unwrap(),
    ];
    let found = stats(&records);
    assert_eq!((found.sentences, found.unlabelled, found.documents, found.tokens, found.entities), (4, 1, 0, 13, 4));
    let per = &found.types["PER"];
    assert_eq!((per.entities, per.surfaces, per.tokens.max), (1, 1, 2));
    assert_eq!(found.sentence_tokens, Percentiles { mean: 13.0 / 4.0, p50: 3, p90: 6, p99: 6, max: 6 });
    assert_eq!((found.duplicates, found.inconsistent_duplicates, found.ambiguous_surfaces), (1, 1, 1));
    assert_eq!(found.ambiguous[0].types, BTreeMap::from([("LOC".into(), 2), ("ORG".into(), 1)]));
    assert!(found.warnings.iter().any(|w| w.contains("1 sentences have no labels")), "{:?}", found.warnings);

    let unseen = stats(&records[1..2]).unseen_in(&stats(&records[..1]));
    assert_eq!((unseen.all, unseen.shared_sentences), (1.0, 0));
    let unseen = stats(&records[2..3]).unseen_in(&found);
    assert_eq!((unseen.all, unseen.shared_sentences), (0.0, 1));
}

#[test]
fn what_looks_wrong_is_said() {
    let mut records: Vec<Record> =
        (0..20).map(|n| record(&n.to_string(), &format!("Rome {n}"), &[("Rome", "LOC")])).collect();
    records.push(record("x", "Rome!", &[("Rome", "ORG")]));
    records.push(record("y", "In Oslo, they", &[("Oslo,", "Loc")]));
    let warnings = stats(&records).warnings.join("\n");
    for expected in ["the types LOC and Loc differ", "\"Rome\" (LOC 20, ORG 1)", "1 entities start or end with"] {
        assert!(warnings.contains(expected), "{expected}: {warnings}");
    }
}

#[test]
fn samples_are_uniform_and_strata_keep_their_shares() {
    let mut drawn = [0; 10];
    for seed in 0..2000 {
        let mut sampler = Sampler::new(3, seed, false);
        (0..10).for_each(|n| sampler.add(Record::new(n.to_string(), "x")));
        sampler.finish().iter().for_each(|r| drawn[r.id().parse::<usize>().unwrap()] += 1);
    }
    // 600 each expected; the standard deviation is 20.5.
    assert!(drawn.iter().all(|count| (500..700).contains(count)), "{drawn:?}");

    let mut sampler = Sampler::new(10, 1, true);
    for n in 0..100 {
        let entities: &[(&str, &str)] = if n % 10 < 7 { &[] } else { &[("Rome", "LOC")] };
        sampler.add(record(&format!("{n:02}"), "Rome", entities));
    }
    let sample = sampler.finish();
    assert_eq!(sample.iter().filter(|r| !r.spans().unwrap().is_empty()).count(), 3);
    assert_eq!(sample.len(), 10);
    assert!(sample.is_sorted_by_key(|r| r.id().to_owned()));
}

#[test]
fn parts_have_their_shares_and_documents_stay_together() {
    let records: Vec<Record> = (0..1000)
        .map(|n| Record::new(n.to_string(), "x").in_document((n % 7 > 0).then(|| format!("d{}", n / 13).into())))
        .collect();
    let ratios: Ratios = "8,1,1".parse().unwrap();
    let sizes = |parts: &[usize]| (0..3).map(|part| parts.iter().filter(|p| **p == part).count()).collect::<Vec<_>>();
    let parts = split(&records, &ratios, SplitBy::Sentence, 1);
    assert_eq!(sizes(&parts), [800, 100, 100]);
    assert_ne!(parts, split(&records, &ratios, SplitBy::Sentence, 2));
    let parts = split(&records, &ratios, SplitBy::Document, 1);
    let mut of_document: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for (record, part) in records.iter().zip(&parts) {
        if let Some(document) = record.document() {
            of_document.entry(document).or_default().insert(*part);
        }
    }
    assert!(of_document.values().all(|parts| parts.len() == 1));
    assert!(
        sizes(&parts).iter().zip([800, 100, 100]).all(|(size, wanted)| size.abs_diff(wanted) <= 13),
        "{:?}",
        sizes(&parts)
    );

    for wrong in ["", "1", "1,-1", "1,0", "1,x", "inf,1", "NaN,1"] {
        assert!(wrong.parse::<Ratios>().is_err(), "{wrong}");
    }
    assert_eq!("0.9/0.1".parse::<Ratios>().unwrap().to_string(), "0.9,0.1");
}

#[test]
fn merging_leaves_repeated_texts_out() {
    let mut merger = Merger::default();
    let mut add = |record: Record| merger.add(record).map(|record| record.id().to_owned());
    assert_eq!(add(record("a", "Rome won.", &[("Rome", "LOC")])), Some("a".to_owned()));
    assert_eq!(add(record("b", "Rome  won .", &[("Rome", "LOC")])), None);
    assert_eq!(add(record("c", "Rome won.", &[("Rome", "ORG")])), None);
    assert_eq!(add(record("a", "Oslo won.", &[])), Some("a~2".to_owned()));
    assert_eq!(add(record("a~2", "Bern won.", &[])), Some("a~2~2".to_owned()));
    assert_eq!(add(record("a", "Paris won.", &[])), Some("a~3".to_owned()));
    let merged = merger.finish();
    assert_eq!((merged.kept, merged.duplicates, merged.conflicts, merged.renamed), (4, 1, 1, 3));
    assert_eq!(merged.first_conflicts, [("c".to_owned(), "a".to_owned())]);
}

#[test]
fn a_check_lists_everything() {
    let mut checker = Checker::default();
    let span = |start, end, label: &str| LabelledSpan::new(Span::new(start, end).unwrap(), label);
    checker.record(1, &record("a", "Rome won", &[("Rome", "LOC")]));
    checker.record(2, &record("a", "Rome won", &[]));
    checker
        .record(3, &Record::new("b", "\u{fffd}Oslo won").with_spans(vec![span(3, 8, "X"), span(4, 7, "Y")]).unwrap());
    let (problems, records) = checker.finish();
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(records, 3);
    assert_eq!(
        lines,
        [
            "2: a: the id is taken, first in line 1",
            "2: a: the text of line 1 again, with other labels",
            "3: b: U+FFFD in the text: something was lost in a faulty decoding",
            "3: b: `Oslo ` (X) ends inside a token",
            "3: b: `Oslo ` (X) starts or ends with white space",
            "3: b: `slo` (Y) ends inside a token",
        ]
    );
}
