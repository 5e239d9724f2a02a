//! `train` cut off at any moment, and on a disk that is full.

#![expect(clippy::disallowed_methods, reason = "the files are a test's own, and some are to be damaged")]

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{annotate::said, sample};

fn train(at: &Path, output: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_apprentice"));
    command.current_dir(at).args(["train", "-o", output, "--checkpoint-steps", "2"]).args(more);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A run with dropout, accumulated gradients and a dev set.
fn begin(at: &Path, output: &str) -> Command {
    let [train_file, dev] = ["train.conll", "dev.conll"].map(sample);
    let settings = format!(
        "encoder = 'scratch:2x48x4'\noriginal = ['{train_file}']\ndistilled = ['{dev}']\ndev = '{dev}'\n\
         [training]\nepochs = 3\nbatch_size = 16\naccumulation = 2\nregimen = {{ kind = 'all' }}\n"
    );
    fs::write(at.join("train.toml"), settings).unwrap();
    train(at, output, &["--config", "train.toml"])
}

fn weights(at: &Path, run: &str) -> Vec<u8> {
    fs::read(at.join(run).join("model/model.safetensors")).unwrap()
}

/// The lines of metrics without what depends on nothing but the machine: there is nothing of that kind in them.
fn metrics(at: &Path, run: &str) -> String {
    fs::read_to_string(at.join(run).join("metrics.jsonl")).unwrap()
}

/// Whether a process was killed while it saved.
fn half_written(at: &Path) -> bool {
    let is_temporary = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with(".apprentice-");
    fs::read_dir(at.join("run.unfinished/checkpoints")).is_ok_and(|all| all.flatten().any(is_temporary))
}

/// Kills the run at so many seeded moments; `APPRENTICE_CAMPAIGN=1` kills 100 times.
#[test]
fn a_run_that_is_killed_ends_with_the_same_bits() {
    let kills = if std::env::var_os("APPRENTICE_CAMPAIGN").is_some() { 100 } else { 6 };
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let start = Instant::now();
    let whole = begin(at, "whole").output().unwrap();
    assert!(whole.status.success(), "{}", said(&whole));
    let whole_time = start.elapsed();
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let (mut killed, mut inside, mut runs) = (0, 0, 0);
    while killed < kills {
        // From the beginning each time the run is through.
        let mut child = begin(at, "run").spawn().unwrap();
        runs += 1;
        loop {
            sleep(whole_time.mul_f64(random.random_range(0.02..0.5)));
            if child.try_wait().unwrap().is_none() && killed < kills {
                child.kill().unwrap();
                killed += 1;
            }
            let output = child.wait_with_output().unwrap();
            if output.status.code().is_some() {
                assert!(output.status.success(), "{}", said(&output));
                break;
            }
            inside += usize::from(half_written(at));
            // What stands under the run's name is whole: then only the unfinished one was still to be deleted.
            if at.join("run").exists() {
                if at.join("run.unfinished").exists() {
                    let error = said(&train(at, "run", &["--resume"]).output().unwrap());
                    assert!(error.contains("this run is finished"), "{error}");
                }
                break;
            }
            let begun = at.join("run.unfinished/checkpoints").read_dir().is_ok_and(|mut all| {
                all.any(|entry| entry.unwrap().file_name().to_string_lossy().starts_with("step-"))
            });
            child = if begun {
                train(at, "run", &["--resume"]).spawn().unwrap()
            } else {
                begin(at, "run").arg("--overwrite").spawn().unwrap()
            };
        }
        assert!(weights(at, "run") == weights(at, "whole"), "other weights after {killed} kills");
        assert_eq!(metrics(at, "run"), metrics(at, "whole"));
        assert!(!at.join("run.unfinished").exists());
        fs::remove_dir_all(at.join("run")).unwrap();
    }
    println!("{killed} kills in {runs} runs, {inside} of them inside a save");
}

#[test]
fn an_unfinished_run_is_neither_forgotten_nor_overwritten_by_mistake() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let error = said(&train(at, "run", &["--resume"]).output().unwrap());
    assert!(error.contains("there is no unfinished run: start it without --resume"), "{error}");
    let mut child = begin(at, "run").args(["--epochs", "500"]).spawn().unwrap();
    let third = at.join("run.unfinished/checkpoints/step-00000004");
    while !third.exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended early");
        sleep(Duration::from_millis(5));
    }
    // Another process keeps out.
    let error = said(&train(at, "run", &["--resume"]).output().unwrap());
    assert!(error.contains("another process is at work on this run"), "{error}");
    let error = said(&begin(at, "run").arg("--overwrite").output().unwrap());
    assert!(error.contains("another process is at work on this run"), "{error}");
    child.kill().unwrap();
    child.wait().unwrap();
    let error = said(&begin(at, "run").output().unwrap());
    assert!(error.contains("--resume goes on with it, --overwrite begins anew"), "{error}");
    let error = said(&train(at, "run", &["--resume", "--learning-rate", "0.5"]).output().unwrap());
    assert!(error.contains("it is of a run on other data, another architecture or other settings"), "{error}");
    // The newest is damaged: the one before is used, and that is said.
    let mut all: Vec<_> = fs::read_dir(third.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.retain(|path| path.file_name().unwrap().to_string_lossy().starts_with("step-"));
    all.sort();
    fs::write(all.last().unwrap().join("state.json"), "{").unwrap();
    let mut resumed = train(at, "run", &["--resume"]).spawn().unwrap();
    while all[0].exists() {
        assert!(resumed.try_wait().unwrap().is_none(), "it ended early");
        sleep(Duration::from_millis(5));
    }
    resumed.kill().unwrap();
    let error = said(&resumed.wait_with_output().unwrap());
    assert!(error.contains("checkpoint not used: ") && error.contains("resumed at step"), "{error}");
}

#[test]
fn a_run_that_is_to_replace_another_can_be_resumed() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    assert!(begin(at, "run").output().unwrap().status.success());
    let old = weights(at, "run");
    let mut child = begin(at, "run").args(["--overwrite", "--precision", "bf16", "--tensorboard"]).spawn().unwrap();
    while !at.join("run.unfinished/checkpoints/step-00000002").exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended early");
        sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(weights(at, "run") == old);
    let error = said(&train(at, "run", &["--resume"]).output().unwrap());
    assert!(error.contains("with --overwrite, too, the unfinished run replaces it"), "{error}");
    let output = train(at, "run", &["--resume", "--overwrite"]).output().unwrap();
    assert!(output.status.success() && weights(at, "run") != old, "{}", said(&output));
    // Each process wrote an event file for TensorBoard: its version, a session that starts, and its steps.
    let mut files: Vec<_> = fs::read_dir(at.join("run/tensorboard")).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let records: Vec<usize> = files.iter().map(|path| event_records(&fs::read(path).unwrap())).collect();
    let [first, second] = records[..] else { panic!("{files:?}") };
    let steps = metrics(at, "run").lines().count();
    assert!(first >= 4 && second - 2 <= steps - 2 && first + second >= steps + 4, "{first}, {second} of {steps} steps");
}

/// The records of an event file, none of them cut off.
fn event_records(mut rest: &[u8]) -> usize {
    let mut records = 0;
    while let Some((length, after)) = rest.split_first_chunk() {
        rest = &after[4 + usize::try_from(u64::from_le_bytes(*length)).unwrap() + 4..];
        records += 1;
    }
    assert!(rest.is_empty());
    records
}

#[test]
fn a_full_disk_is_noticed_at_the_first_save() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let job = begin(at, "run");
    let arguments: Vec<_> = job.get_args().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let mut limited = Command::new("bash");
    // No file may grow beyond 64 KiB; the signal that comes with it is ignored, so that writes fail.
    limited.current_dir(at).args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\""]);
    let output = limited.arg(job.get_program()).args(arguments).output().unwrap();
    let error = said(&output);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("the checkpoint cannot be written; make room") && !error.contains("epoch 1"), "{error}");
    // Nothing is left that would be in the way.
    assert!(!at.join("run.unfinished").exists());
    let again = begin(at, "run").output().unwrap();
    assert!(again.status.success(), "{}", said(&again));
}
