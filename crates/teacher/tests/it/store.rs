//! The store under damage.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use apprentice_teacher::{
    Store, Usage,
    store::{Attempt, Batch, BatchState, Ended, Key, OpenedStore, Outcome, StoreError},
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

/// A store of so many batches of ten requests, each at the provider under its own name, of which five are answered.
fn with_batches(path: &Path, batches: u32) -> Vec<Batch> {
    let store = open(path).unwrap().store;
    for number in 0..batches {
        let attempt = |member: u32| Attempt {
            key: Key::of(&(number, member)),
            protocol: "openai",
            body: format!("question {number} {member} {}", "x".repeat(300)),
            sent: 1,
        };
        let url = format!("http://host/{}", "path/".repeat(20));
        let mut batch = wait(store.begin_batch("openai", &url, (0..10).map(attempt).collect(), 1)).unwrap();
        batch.state = BatchState::Creating;
        wait(store.keep_batch(&batch)).unwrap();
        (batch.state, batch.remote) = (BatchState::Created, Some(format!("batch_{number}")));
        wait(store.keep_batch(&batch)).unwrap();
        for member in 0..5 {
            let id = store.member(&batch, &Key::of(&(number, member))).unwrap().unwrap().id;
            let ended = Ended { status: Some(200), body: body(member), error: None, latency: Duration::from_millis(3) };
            wait(store.end(id, ended)).unwrap();
            store.note(id, Outcome::Answered, None);
        }
    }
    let all = store.batches().unwrap();
    wait(store.flush()).unwrap();
    all
}

#[test]
fn batches_survive_damage_whole_or_are_lost_with_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let (path, damaged) = (folder.path().join("whole"), folder.path().join("damaged"));
    let batches = with_batches(&path, 60);
    let whole = fs::read(&path).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let (mut repaired, mut worst) = (0, batches.len());
    for trial in 0..trials(25, 500) {
        let mut bytes = whole.clone();
        // Half of the damage is where a batch is.
        let names: Vec<usize> = memchr::memmem::find_iter(&whole, b"batch_").collect();
        let near = names[random.random_range(0..names.len())] + random.random_range(0..40);
        let at = if trial % 2 == 0 { near.min(whole.len() - 1) } else { random.random_range(0..bytes.len()) };
        bytes[at] ^= 1 << (random.next_u32() % 8);
        write(&damaged, &bytes);
        let OpenedStore { store, recovery, interrupted } = open(&damaged).unwrap();
        let found = store.batches().unwrap();
        assert!(found.iter().all(|batch| batches.contains(batch)), "a wrong batch");
        let lost = batches.len() - found.len();
        match &recovery {
            None => assert_eq!(lost, 0, "lost without a word"),
            Some(recovery) => assert_eq!(recovery.batches as usize, found.len()),
        }
        // What a lost batch waited for is of unknown outcome, what others wait for is not.
        assert!(interrupted as usize <= 5 * lost, "{interrupted} interrupted, {lost} batches lost");
        // No later attempt is taken for one of a batch.
        let attempt = Attempt { key: Key::of(&"later"), protocol: "openai", body: String::new(), sent: 1 };
        wait(store.begin(attempt)).unwrap();
        assert!(!store.waits(&Key::of(&"later")).unwrap());
        repaired += usize::from(recovery.is_some());
        worst = worst.min(found.len());
        drop(store);
        for old in fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()) {
            if old != path {
                fs::remove_file(old).unwrap();
            }
        }
    }
    // One leaf has some eight batches.
    assert!(repaired > 10 && worst + 12 >= batches.len(), "{repaired} repaired, only {worst} saved");
    println!("{repaired} stores repaired, at worst {worst} of {} batches saved", batches.len());
}

/// The first version had no batches.
#[test]
fn a_store_of_the_first_version_is_opened_and_can_have_batches() {
    let (folder, whole) = filled(30);
    let path = folder.path().join("old");
    write(&path, &whole);
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch("DROP TABLE batch; PRAGMA user_version = 0x01010101; PRAGMA wal_checkpoint(TRUNCATE);").unwrap();
    drop(old);
    for number in 0..30 {
        let OpenedStore { store, recovery, .. } = open(&path).unwrap();
        assert_eq!(recovery, None);
        assert_eq!(store.answer(&Key::of(&number), |stored| Some(stored.body.clone())).unwrap(), Some(body(number)));
    }
    assert_eq!(with_batches(&path, 2).len(), 2);
    let store = open(&path).unwrap().store;
    assert_eq!((store.batches().unwrap().len(), store.contents().unwrap().waiting), (2, 10));
    drop(store);
    let version = "PRAGMA user_version = 0x03030303";
    rusqlite::Connection::open(&path).unwrap().execute_batch(version).unwrap();
    let newer = open(&path).err().unwrap().to_string();
    assert!(newer.contains("newer version of this program (its format is 3)"), "{newer}");
}

#[test]
fn a_batch_that_was_never_begun_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let keys: Vec<Key> = (0..3).map(|number| Key::of(&number)).collect();
    for (state, is_open) in [(BatchState::Written, false), (BatchState::Uploaded, false), (BatchState::Creating, true)]
    {
        let store = open(&path).unwrap().store;
        let attempt = |key: &Key| Attempt { key: *key, protocol: "openai", body: "question".into(), sent: 1 };
        let mut batch = wait(store.begin_batch("openai", "url", keys.iter().map(attempt).collect(), 1)).unwrap();
        batch.state = state;
        wait(store.keep_batch(&batch)).unwrap();
        drop(store);
        let OpenedStore { store, interrupted, .. } = open(&path).unwrap();
        assert_eq!((store.waits(&keys[0]).unwrap(), interrupted), (is_open, 0), "{state:?}");
        let found = store.batches().unwrap().pop().unwrap().state;
        assert_eq!(found, if is_open { state } else { BatchState::GivenUp });
    }
}
