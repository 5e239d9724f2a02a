use std::{
    error::Error,
    fs,
    io::{self, Write},
    path::Path,
};

use apprentice_core::files::{FileError, check_output, remove_directory, write_atomic, write_directory_atomic};

fn names(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

fn put(directory: &Path, name: &str) -> Result<(), FileError> {
    write_atomic(&directory.join(name), false, |out| out.write_all(name.as_bytes()))
}

#[test]
fn a_failed_file_leaves_the_old_one_and_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.txt");
    put(dir.path(), "a.txt").unwrap();
    let error = write_atomic(&path, true, |out| {
        out.write_all(b"half")?;
        Err::<(), _>(io::Error::other("no more"))
    })
    .unwrap_err();
    assert_eq!(error.to_string(), format!("cannot write {}", path.display()));
    assert_eq!(error.source().unwrap().to_string(), "no more");
    assert_eq!(fs::read_to_string(&path).unwrap(), "a.txt");
    assert_eq!(names(dir.path()), ["a.txt"]);
}

#[test]
fn an_existing_file_is_replaced_only_on_demand() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.txt");
    put(dir.path(), "a.txt").unwrap();
    let error = put(dir.path(), "a.txt").unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{} exists already: choose another name, or pass --overwrite to replace it", path.display())
    );
    assert_eq!(write_atomic(&path, true, |out| write!(out, "new").map(|()| 3)).unwrap(), 3);
    assert_eq!(fs::read_to_string(&path).unwrap(), "new");
}

#[test]
fn outputs_are_checked_before_the_work() {
    let dir = tempfile::tempdir().unwrap();
    assert!(check_output(&dir.path().join("new"), false).is_ok());
    assert!(check_output(Path::new("new"), false).is_ok());
    assert!(matches!(check_output(dir.path(), false), Err(FileError::Exists { .. })));
    assert!(check_output(dir.path(), true).is_ok());
    assert!(matches!(check_output(&dir.path().join("no/such"), false), Err(FileError::Io { .. })));
}

#[cfg(unix)]
#[test]
fn devices_are_written_to_and_links_followed() {
    write_atomic(Path::new("/dev/null"), false, |out| out.write_all(b"gone")).unwrap();
    assert!(!fs::metadata("/dev/null").unwrap().is_file());

    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "target").unwrap();
    let link = dir.path().join("link");
    std::os::unix::fs::symlink("target", &link).unwrap();
    write_atomic(&link, true, |out| out.write_all(b"through")).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(dir.path().join("target")).unwrap(), "through");
}

#[cfg(unix)]
#[test]
fn others_may_read_what_they_may_read_elsewhere() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let mode = |name: &str| fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777;
    fs::File::create(dir.path().join("plain")).unwrap();
    put(dir.path(), "atomic").unwrap();
    assert_eq!(mode("atomic"), mode("plain"));
    fs::create_dir(dir.path().join("plain-dir")).unwrap();
    write_directory_atomic(&dir.path().join("atomic-dir"), false, |d| put(d, "x")).unwrap();
    assert_eq!(mode("atomic-dir"), mode("plain-dir"));
}

#[test]
fn a_directory_comes_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("model");
    let failed = write_directory_atomic(&model, false, |d| {
        put(d, "config.json")?;
        assert!(!model.exists());
        Err::<(), _>(FileError::Exists { path: "made up".into() })
    });
    assert!(failed.is_err());
    assert_eq!(names(dir.path()), [""; 0]);

    write_directory_atomic(&model, false, |d| {
        fs::create_dir(d.join("sub")).unwrap();
        put(&d.join("sub"), "vocab.txt")
    })
    .unwrap();
    assert_eq!(names(dir.path()), ["model"]);
    assert_eq!(names(&model.join("sub")), ["vocab.txt"]);
}

#[test]
fn an_existing_directory_is_replaced_only_on_demand() {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("model");
    write_directory_atomic(&model, false, |d| put(d, "old")).unwrap();
    let refused = write_directory_atomic(&model, false, |_| -> Result<(), FileError> { panic!("not to be filled") });
    assert!(matches!(refused, Err(FileError::Exists { .. })));
    write_directory_atomic(&model, true, |d| put(d, "new")).unwrap();
    assert_eq!(names(&model), ["new"]);
    assert_eq!(names(dir.path()), ["model"]);
}

#[test]
fn a_directory_does_not_replace_a_file() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "notes").unwrap();
    let refused = write_directory_atomic(&dir.path().join("notes"), true, |d| put(d, "new"));
    assert!(matches!(refused, Err(FileError::Io { .. })));
    assert_eq!(names(dir.path()), ["notes"]);
}

#[test]
fn a_directory_is_removed_with_all_that_is_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    fs::create_dir_all(path.join("model")).unwrap();
    put(&path.join("model"), "a.txt").unwrap();
    remove_directory(&path).unwrap();
    assert_eq!(names(dir.path()), [""; 0]);
    assert_eq!(remove_directory(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(names(dir.path()), [""; 0]);
}
