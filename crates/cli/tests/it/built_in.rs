//! The encoder in the program: where it is put, and that it serves.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    process::{Command, Output},
};

use crate::{annotate::said, sample};

/// Trains for one step, with this cache and without saying on what encoder.
fn train(at: &Path, cache: &Path, output: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_apprentice"));
    let data = sample("dev.conll");
    let training = ["-q", "train", "--original", &data, "--epochs", "1", "--budget-steps", "1", "-o", output];
    command.current_dir(at).env("XDG_CACHE_HOME", cache).args(training).output().unwrap()
}

#[test]
fn it_is_put_into_the_cache_once_and_mended_there() {
    let directory = tempfile::tempdir().unwrap();
    let (at, cache) = (directory.path(), directory.path().join("cache"));
    let first = train(at, &cache, "first");
    assert!(first.status.success(), "{}", said(&first));
    assert!(fs::read_to_string(at.join("first/settings.toml")).unwrap().contains("encoder = \"built-in\""));
    let entries: Vec<_> = fs::read_dir(cache.join("apprentice")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [there] = entries.as_slice() else { panic!("{entries:?}") };
    let weights = there.join("model.safetensors");
    let (content, time) = (fs::read(&weights).unwrap(), || fs::metadata(&weights).unwrap().modified().unwrap());
    let put = time();
    assert!(train(at, &cache, "second").status.success());
    assert_eq!(time(), put, "it was put there again");

    File::options().append(true).open(&weights).unwrap().write_all(b"more").unwrap();
    fs::remove_file(there.join("vocab.txt")).unwrap();
    let third = train(at, &cache, "third");
    assert!(third.status.success(), "{}", said(&third));
    assert!(fs::read(&weights).unwrap() == content);
    let models =
        ["first", "second", "third"].map(|run| fs::read(at.join(run).join("model/model.safetensors")).unwrap());
    assert!(models.iter().all(|model| *model == models[0]));
}

#[test]
fn a_cache_that_cannot_be_written_to_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    File::create(&file).unwrap();
    let refused = train(directory.path(), &file, "run");
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        said(&refused).contains("set XDG_CACHE_HOME") && said(&refused).contains("file/apprentice"),
        "{}",
        said(&refused)
    );
}
