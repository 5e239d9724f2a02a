//! A live job on a disk that fails, at every single call that changes a file: `faults.c` is put before the C library.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

use crate::{
    annotate::{command, command_to, input, model, said, stored},
    server::Server,
    written,
};

/// What a test says that needs [`library`].
pub const NO_COMPILER: &str = "skipped: there is no C compiler to make faults.c with";
const SENTENCES: usize = 5;
const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// The library that lets calls fail; none where there is no C compiler.
pub fn library() -> Option<&'static Path> {
    static LIBRARY: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/faults.c");
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults.so");
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let made =
            Command::new(compiler).args(["-shared", "-fPIC", "-O1", source, "-o"]).arg(&library).arg("-ldl").status();
        made.is_ok_and(|status| status.success()).then_some(library)
    });
    LIBRARY.as_deref()
}

/// What fails, and what came of it.
struct Disk {
    /// Outside the directory that fails.
    report: PathBuf,
    _folder: TempDir,
}

impl Disk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { report: folder.path().join("report"), _folder: folder }
    }

    /// Puts the faults under a command.
    fn under(&self, library: &Path, folder: &Path, faults: &[(&str, String)], command: &mut Command) -> Output {
        command
            .env("LD_PRELOAD", library)
            .env("FAULT_FOLDER", folder.canonicalize().unwrap())
            .env("FAULT_REPORT", &self.report);
        command.envs(faults.iter().map(|(name, value)| (name, value))).output().unwrap()
    }

    /// The calls that failed, such as `fsync 17 /tmp/x/store-wal`, and how many calls there were.
    fn report(&self) -> (Vec<String>, usize) {
        let report = std::fs::read_to_string(&self.report).unwrap();
        let (calls, failed): (Vec<&str>, Vec<&str>) = report.lines().partition(|line| line.starts_with("calls "));
        let calls = calls[0].trim_start_matches("calls ").trim().parse().unwrap();
        (failed.into_iter().map(str::to_owned).collect(), calls)
    }
}

/// A server that counts what comes in after the first fault.
fn watching(report: &Arc<Mutex<PathBuf>>) -> (Server, Arc<AtomicUsize>) {
    let (report, late) = (report.clone(), Arc::new(AtomicUsize::new(0)));
    let count = late.clone();
    let server = Server::start(move |asked| {
        // Written before the call returns that fails.
        let failed = std::fs::metadata(&*report.lock().unwrap()).is_ok_and(|report| report.len() > 0);
        count.fetch_add(usize::from(failed), Ordering::SeqCst);
        model(asked)
    });
    (server, late)
}

/// The questions that a copy of the store has answers to: what is looked at is not changed.
fn kept(at: &Path) -> HashSet<String> {
    let copy = tempfile::tempdir().unwrap();
    for name in ["store", "store-wal"] {
        if at.join(name).exists() {
            std::fs::copy(at.join(name), copy.path().join(name)).unwrap();
        }
    }
    stored(copy.path())
}

/// Where a fault loses nothing: SQLite goes on where the directory's entry is not synced, which the store then does itself;
/// and at the end the log is taken away.
fn is_harmless(call: &str, late: usize) -> bool {
    late == 0 || Path::new(call.splitn(3, ' ').nth(2).unwrap()).is_dir()
}

/// At every call, or with `APPRENTICE_CAMPAIGN=1` not set at a seeded sample of them.
#[test]
fn a_disk_that_fails_at_any_call_costs_no_answer_and_no_money() {
    let Some(library) = library() else { return println!("{NO_COMPILER}") };
    let report = Arc::new(Mutex::new(PathBuf::new()));
    let (server, late) = watching(&report);
    let one = ["--concurrency", "1"];
    let undisturbed = tempfile::tempdir().unwrap();
    input(&undisturbed, SENTENCES);
    let disk = Disk::new();
    let output = disk.under(library, undisturbed.path(), &[], &mut command(undisturbed.path(), &server, &one));
    assert!(output.status.success(), "{}", said(&output));
    let expected = std::fs::read(undisturbed.path().join("out.conll")).unwrap();
    let (none, calls) = disk.report();
    assert!(none.is_empty() && calls > 40, "{calls} calls");
    let every = (1..=calls)
        .flat_map(|call| [0, 1].into_iter().flat_map(move |sticky| [(call, sticky, EIO), (call, sticky, ENOSPC)]));
    let mut faults: Vec<(usize, usize, i32)> = every.collect();
    if std::env::var_os("APPRENTICE_CAMPAIGN").is_none() {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        faults = (0..24).map(|_| faults[random.random_range(0..faults.len())]).collect();
    }
    let (mut missed, mut harmless, mut lost) = (0, 0, 0);
    for (call, sticky, errno) in &faults {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        input(&directory, SENTENCES);
        let disk = Disk::new();
        report.lock().unwrap().clone_from(&disk.report);
        late.store(0, Ordering::SeqCst);
        let before = server.asked().len();
        let fault = [
            ("FAULT_CALL", call.to_string()),
            ("FAULT_STICKY", sticky.to_string()),
            ("FAULT_ERRNO", errno.to_string()),
        ];
        let output = disk.under(library, at, &fault, &mut command(at, &server, &one));
        let (failed, calls) = disk.report();
        let asked = server.asked().split_off(before);
        let error = said(&output);
        let what = format!("{} of {calls} calls, errno {errno}: {error}", failed.first().map_or("none", |call| call));
        if failed.is_empty() {
            // Which writes share a commit depends on the threads: there may be fewer calls.
            assert!(calls < *call && output.status.success(), "call {call}: {what}");
            missed += 1;
            continue;
        }
        if output.status.success() {
            assert!(is_harmless(&failed[0], late.load(Ordering::SeqCst)), "goes on: {what}");
            assert_eq!(std::fs::read(at.join("out.conll")).unwrap(), expected, "{what}");
            harmless += 1;
        } else {
            assert_eq!(output.status.code(), Some(1), "{what}");
            assert!(error.starts_with("error: ") && error.lines().count() == 1, "{what}");
            assert_eq!(late.load(Ordering::SeqCst), 0, "sent after the fault: {what}");
        }
        // What was followed by another request had been acknowledged.
        let mut answered = kept(at);
        lost += asked.len() - answered.len();
        answered.extend(asked.iter().rev().skip(1).map(|asked| asked.question().to_owned()));
        let before = server.asked().len();
        let again = command(at, &server, &one).output().unwrap();
        assert!(again.status.success(), "afterwards: {}: {what}", said(&again));
        assert_eq!(std::fs::read(at.join("out.conll")).unwrap(), expected, "{what}");
        let paid_twice = server.asked().split_off(before).into_iter().find(|asked| answered.contains(asked.question()));
        assert!(paid_twice.is_none(), "asked again: {what}");
    }
    println!(
        "{} faults of {calls} calls: {missed} not reached, {harmless} lost nothing, {lost} answers lost in flight",
        faults.len()
    );
    assert!(missed * 10 <= faults.len(), "{missed} of {} faults were not reached", faults.len());
}

#[test]
fn a_disk_that_may_only_be_read_is_noticed_before_anything_is_sent() {
    let Some(library) = library() else { return println!("{NO_COMPILER}") };
    let server = Server::start(model);
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    input(&directory, SENTENCES);
    std::fs::create_dir(at.join("locked")).unwrap();
    for (folder, to) in [(at.to_owned(), "out.conll"), (at.join("locked"), "locked/out.conll")] {
        let disk = Disk::new();
        let mut command = command_to(at, &server.url, to, &["--concurrency", "1"]);
        let output = disk.under(library, &folder, &[("FAULT_READONLY", "1".into())], &mut command);
        let (failed, _) = disk.report();
        assert!(!failed.is_empty(), "nothing was refused");
        let error = said(&output);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains("Read-only file system") && error.lines().count() == 1, "{error}");
        assert_eq!(server.count(), 0, "{to}");
        assert!(!at.join("out.conll").exists() && written(&directory, &["in.txt", "locked", "store.lock"]).is_empty());
    }
}
