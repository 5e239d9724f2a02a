//! The store under damage.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use apprentice_teacher::{
    Store, Usage,
    store::{Attempt, Ended, Key, OpenedStore, Outcome, StoreError},
};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

fn reread(_: &str, _: u16, _: &[u8]) -> (Outcome, Option<Usage>) {
    (Outcome::Answered, None)
}

fn open(path: &Path) -> Result<OpenedStore, StoreError> {
    Store::open(path, &reread, || false)
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    apprentice_teacher::block_on(future)
}

/// A file as a crash may leave it.
fn write(path: &Path, bytes: &[u8]) {
    fs::File::create(path).and_then(|mut file| file.write_all(bytes)).unwrap();
}

fn body(number: u32) -> Vec<u8> {
    format!("answer {number} {}", "x".repeat(number as usize * 7919 % 1500)).into_bytes()
}

/// A folder, and the bytes of a store of so many answers.
fn filled(answers: u32) -> (TempDir, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("whole");
    let store = open(&path).unwrap().store;
    for number in 0..answers {
        let key = Key::of(&number);
        let attempt = Attempt { key, protocol: "openai", body: format!("question {number}"), sent: 1 };
        let id = wait(store.begin(attempt)).unwrap();
        let ended = Ended { status: Some(200), body: body(number), error: None, latency: Duration::from_millis(3) };
        wait(store.end(id, ended)).unwrap();
        store.note(id, Outcome::Answered, None);
    }
    wait(store.flush()).unwrap();
    drop(store);
    let whole = fs::read(path).unwrap();
    (folder, whole)
}

/// Opens a damaged copy; gives how many answers are still there. None may be wrong.
fn survivors(folder: &Path, bytes: &[u8], answers: u32) -> (usize, bool) {
    let path = folder.join("damaged");
    for old in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if old.to_string_lossy().contains("damaged") {
            fs::remove_file(old).unwrap();
        }
    }
    write(&path, bytes);
    let OpenedStore { store, recovery, .. } = open(&path).unwrap();
    let mut sound = 0;
    for number in 0..answers {
        if let Some(found) = store.answer(&Key::of(&number), |stored| Some(stored.body.clone())).unwrap() {
            assert_eq!(found, body(number), "a wrong answer");
            sound += 1;
        }
    }
    if let Some(recovery) = &recovery {
        assert_eq!(recovery.saved as usize, sound);
        assert_eq!(fs::read(&recovery.kept).unwrap(), bytes, "the damaged file is kept as it was");
    } else {
        assert_eq!(sound, answers as usize, "lost without a word");
    }
    // The new store is sound and can be used.
    drop(store);
    assert!(open(&path).unwrap().recovery.is_none());
    (sound, recovery.is_some())
}

/// How many seeded damages are tried; `APPRENTICE_CAMPAIGN=1` tries many.
fn trials(sample: usize, campaign: usize) -> usize {
    if std::env::var_os("APPRENTICE_CAMPAIGN").is_some() { campaign } else { sample }
}

#[test]
fn flipped_bytes_are_found_and_the_rest_is_saved() {
    const ANSWERS: u32 = 300;
    let (folder, whole) = filled(ANSWERS);
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let (mut repaired, mut saved, mut worst) = (0, 0, ANSWERS as usize);
    let trials = trials(25, 500);
    for trial in 0..trials {
        let mut bytes = whole.clone();
        // The first hundred bytes, where damage is worst, get more than their share.
        let at = if trial % 5 == 0 { random.random_range(0..100) } else { random.random_range(0..bytes.len()) };
        bytes[at] ^= 1 << (random.next_u32() % 8);
        let (sound, was_repaired) = survivors(folder.path(), &bytes, ANSWERS);
        repaired += usize::from(was_repaired);
        saved += sound;
        worst = worst.min(sound);
    }
    // One leaf has some thirty answers at most, with the overflowing rows that start there.
    assert!(worst + 40 >= ANSWERS as usize, "only {worst} of {ANSWERS} saved");
    println!(
        "{trials} flipped bits: {repaired} stores repaired, {:.2} % of the answers saved, at worst {worst} of {ANSWERS}",
        100.0 * saved as f64 / (trials * ANSWERS as usize) as f64
    );
}

/// The worst places: the first bytes of the pages of the tree.
#[test]
fn a_broken_tree_still_has_its_leaves() {
    const ANSWERS: u32 = 300;
    let (folder, whole) = filled(ANSWERS);
    for page in 1..6 {
        let mut bytes = whole.clone();
        bytes[page * 4096] ^= 0x08;
        let (sound, was_repaired) = survivors(folder.path(), &bytes, ANSWERS);
        assert!(was_repaired && sound + 40 >= ANSWERS as usize, "page {page}: {sound} saved");
    }
}

#[test]
fn truncated_stores_are_found_and_the_rest_is_saved() {
    const ANSWERS: u32 = 300;
    let (folder, whole) = filled(ANSWERS);
    let step = if trials(0, 1) == 1 { 1 } else { 73 };
    let mut worst = ANSWERS as usize;
    for cut in (1..=512).step_by(step) {
        let (sound, was_repaired) = survivors(folder.path(), &whole[..whole.len() - cut], ANSWERS);
        assert!(was_repaired, "{cut} bytes are missing, and nobody says so");
        worst = worst.min(sound);
    }
    assert!(worst + 40 >= ANSWERS as usize, "only {worst} of {ANSWERS} saved");
    println!("cut off by 1 to 512 bytes (steps of {step}): at worst {worst} of {ANSWERS} answers saved");
}

/// A process that ends at once leaves an empty file, or one with a header alone.
#[test]
fn a_store_that_was_only_begun_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    write(&path, b"");
    assert!(open(&path).unwrap().recovery.is_none());
    fs::remove_file(&path).unwrap();
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "journal_mode", "wal").unwrap();
    assert!(fs::metadata(&path).unwrap().len() > 0);
    assert!(open(&path).unwrap().recovery.is_none());
}

#[test]
fn what_is_no_store_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("other");
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE mine (x); INSERT INTO mine VALUES (1);").unwrap();
    drop(other);
    let before = fs::read(&path).unwrap();
    assert!(matches!(open(&path), Err(StoreError::Foreign { .. })));
    assert_eq!(fs::read(&path).unwrap(), before);
    write(&path, b"my notes");
    assert!(matches!(open(&path), Err(StoreError::Foreign { .. })));
    assert_eq!(fs::read(&path).unwrap(), b"my notes");
    let path = folder.path().join("no such folder").join("store");
    assert!(matches!(open(&path), Err(StoreError::Open { .. })));
}

#[test]
fn a_second_process_waits_or_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let first = open(&path).unwrap();
    assert!(matches!(open(&path), Err(StoreError::Busy { .. })));
    let (told, hears) = std::sync::mpsc::channel();
    let second = {
        let path = path.clone();
        std::thread::spawn(move || {
            let waits = || told.send(()).is_ok();
            Store::open(&path, &reread, waits).map(|opened| opened.store.path().to_owned())
        })
    };
    hears.recv().unwrap();
    drop(first);
    assert_eq!(second.join().unwrap().unwrap(), path);
}
