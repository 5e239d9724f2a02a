//! Claims, states and what is kept.

use std::{
    fs,
    io::Write,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use apprentice_core::{Confidence, Entity, Provenance, Sentence, Span, files::write_atomic};
use apprentice_lab::{Ledger, Origin, State, Tally, fingerprint};

fn ledger() -> (tempfile::TempDir, Ledger) {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&directory.path().join("lab")).unwrap();
    (directory, ledger)
}

fn make(ledger: &Ledger, id: &str) -> Result<Origin, String> {
    fs::create_dir_all(ledger.run(id)).map_err(|error| error.to_string())?;
    Ok(Origin::default())
}

#[test]
fn every_run_is_done_once_by_whoever_comes_first() {
    let (_directory, ledger) = ledger();
    let ids: Vec<String> = (0..40).map(|n| format!("{n:02}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let done = Mutex::new(Vec::new());
    let told = AtomicUsize::new(0);
    let work = || {
        let train = |_: usize, id: &str| {
            done.lock().unwrap().push(id.to_owned());
            make(&ledger, id)
        };
        ledger.work(&ids, 3, train, |_, _| _ = told.fetch_add(1, Ordering::Relaxed)).unwrap()
    };
    let tallies: Vec<Tally> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut done = done.into_inner().unwrap();
    done.sort();
    assert_eq!(done, ids);
    assert_eq!(told.into_inner(), 40);
    assert_eq!(tallies.iter().map(|tally| tally.done).sum::<usize>(), 40);
    for Tally { done, known, failed, elsewhere } in tallies {
        assert_eq!((done + known + elsewhere, failed), (40, 0));
    }
}

#[test]
fn states_are_told_apart() {
    let (_directory, ledger) = ledger();
    assert_eq!(ledger.state("a"), State::Pending);
    let claim = ledger.claim("a").unwrap().unwrap();
    assert!(ledger.claim("a").unwrap().is_none());
    let State::Running { who } = ledger.state("a") else { panic!("{:?}", ledger.state("a")) };
    assert!(who.starts_with(&format!("process {}", std::process::id())), "{who}");
    // As a killed process leaves it.
    fs::create_dir_all(format!("{}.unfinished", ledger.run("a").display())).unwrap();
    fs::create_dir_all(ledger.run("a").with_file_name(".apprentice-x.tmp")).unwrap();
    drop(claim);
    assert_eq!(ledger.state("a"), State::Interrupted);
    let tally = ledger.work(&["a"], 1, |_, _| Err("no reason".to_owned()), |_, _| ()).unwrap();
    assert_eq!(tally, Tally { failed: 1, ..Tally::default() });
    assert!(!ledger.run("a").with_file_name(".apprentice-x.tmp").exists());
    assert_eq!(ledger.state("a"), State::Failed { reason: "no reason".to_owned() });
    let tally = ledger.work(&["a"], 1, |_, id| make(&ledger, id), |_, _| ()).unwrap();
    assert_eq!(tally, Tally { done: 1, ..Tally::default() });
    assert_eq!(ledger.state("a"), State::Done);
}

#[test]
fn sentences_are_kept_as_they_are() {
    let (_directory, ledger) = ledger();
    let entity = Entity { span: Span::new(0, 2).unwrap(), label: "PER".into() };
    let bare = Sentence::from_words("a", ["Ann", "Keller", "won"]);
    let sure = vec![(entity.clone(), Some(Confidence::new(0.25).unwrap()))];
    let labelled = bare.clone().with_confident_entities(sure, Provenance::Original).unwrap();
    let sentences = vec![labelled, Sentence::from_words("b", ["won", "\u{a0}\"<b>"])];
    let hash = ledger.keep(&sentences).unwrap();
    let read = ledger.sentences(&hash).unwrap();
    assert_eq!(fingerprint(&read), hash);
    assert_eq!(read[0].entities(), [entity]);
    assert_eq!(read[0].confidence(0), sentences[0].confidence(0));

    let path = ledger.folder("data").join(format!("{hash}.jsonl"));
    let text = fs::read_to_string(&path).unwrap();
    write_atomic(&path, true, |file| file.write_all(text.replace("Ann", "Bob").as_bytes())).unwrap();
    let error = ledger.sentences(&hash).unwrap_err().to_string();
    assert!(error.contains("it was changed since it was written"), "{error}");
}
