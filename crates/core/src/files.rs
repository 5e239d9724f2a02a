//! Outputs that are there whole or not at all.
//!
//! Everything is written to a temporary neighbour of the target, synced, and renamed. A crash leaves the old output, or
//! none, and at worst a hidden neighbour; never a half.
//!
//! ```
//! use std::{fs, io::Write};
//! use apprentice_core::files::{FileError, write_atomic};
//! let dir = tempfile::tempdir()?;
//! let path = dir.path().join("scores.csv");
//!
//! write_atomic(&path, false, |out| writeln!(out, "type,f1"))?;
//! assert_eq!(fs::read_to_string(&path)?, "type,f1\n");
//!
//! let again = write_atomic(&path, false, |out| out.write_all(b"lost"));
//! assert!(matches!(again, Err(FileError::Exists { .. })));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use tempfile::{Builder, NamedTempFile, TempDir};
use thiserror::Error;

/// Why an output cannot be written.
#[derive(Debug, Error)]
pub enum FileError {
    /// It is there already and may not be replaced.
    #[error("{} exists already: choose another name, or pass --overwrite to replace it", path.display())]
    Exists {
        /// The output.
        path: PathBuf,
    },
    /// The system, or what was to be written, refuses.
    #[error("cannot write {}", path.display())]
    Io {
        /// The output.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl FileError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}

/// Checks that an output can be made, so that hours of work do not end in [`FileError::Exists`]: nothing is there,
/// unless it may be overwritten, and the directory to put it in is.
///
/// # Errors
/// [`FileError`], as writing would give.
pub fn check_output(path: &Path, overwrite: bool) -> Result<(), FileError> {
    if !overwrite && fs::symlink_metadata(path).is_ok() && !is_device(path) {
        return Err(FileError::Exists { path: path.to_owned() });
    }
    let parent = fs::metadata(parent(path)).map_err(FileError::io(path))?;
    if parent.is_dir() { Ok(()) } else { Err(FileError::io(path)(io::ErrorKind::NotADirectory.into())) }
}

/// Writes a file: whoever opens it sees the old one or the whole new one.
///
/// # Errors
/// [`FileError::Exists`] if the file is there and `overwrite` is not set, [`FileError::Io`] for all else, with the
/// error of `write` as its source.
pub fn write_atomic<T>(
    path: &Path,
    overwrite: bool,
    write: impl FnOnce(&mut AtomicFile) -> io::Result<T>,
) -> Result<T, FileError> {
    let mut file = AtomicFile::create(path, overwrite)?;
    let value = write(&mut file).map_err(FileError::io(path))?;
    file.commit()?;
    Ok(value)
}

/// A file that is there once it is committed; dropped before, it leaves no trace.
///
/// A link is followed. What is no regular file (`/dev/stdout`, a pipe) is written to directly.
#[derive(Debug)]
pub struct AtomicFile {
    path: PathBuf,
    overwrite: bool,
    out: BufWriter<Target>,
}

#[derive(Debug)]
enum Target {
    Device(File),
    Temporary { file: NamedTempFile, name: PathBuf },
}

impl AtomicFile {
    /// Starts a file.
    ///
    /// # Errors
    /// [`FileError`] as for [`check_output`], or if there can be no temporary neighbour.
    pub fn create(path: &Path, overwrite: bool) -> Result<Self, FileError> {
        check_output(path, overwrite)?;
        let target = if is_device(path) {
            fs::OpenOptions::new().write(true).open(path).map(Target::Device)
        } else {
            let name = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
            neighbour(0o666).tempfile_in(parent(&name)).map(|file| Target::Temporary { file, name })
        };
        let out = BufWriter::with_capacity(1 << 16, target.map_err(FileError::io(path))?);
        Ok(Self { path: path.to_owned(), overwrite, out })
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    /// [`FileError::Exists`] if another has come there since and `overwrite` is not set, else [`FileError::Io`].
    pub fn commit(self) -> Result<(), FileError> {
        let Self { path, overwrite, out } = self;
        let replace = || -> io::Result<()> {
            let Target::Temporary { file, name } = out.into_inner().map_err(io::IntoInnerError::into_error)? else {
                return Ok(());
            };
            file.as_file().sync_all()?;
            if overwrite {
                file.persist(&name)?;
            } else {
                file.persist_noclobber(&name)?;
            }
            sync_directory(parent(&name))
        };
        replace().map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists if !overwrite => FileError::Exists { path: path.clone() },
            _ => FileError::Io { path: path.clone(), source },
        })
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Device(file) => file.write(bytes),
            Self::Temporary { file, .. } => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Device(file) => file.flush(),
            Self::Temporary { file, .. } => file.flush(),
        }
    }
}

/// Fills a directory: `fill` is given an empty one beside `path`, which takes its place when all is well.
///
/// If `path` is there and may be overwritten, it must be a directory, and everything in it is deleted; on Linux the old
/// and the new one are swapped in one step, elsewhere there is a moment between two renames.
///
/// # Errors
/// What `fill` returns, and [`FileError`] as for [`write_atomic`].
pub fn write_directory_atomic<T, E: From<FileError>>(
    path: &Path,
    overwrite: bool,
    fill: impl FnOnce(&Path) -> Result<T, E>,
) -> Result<T, E> {
    check_output(path, overwrite)?;
    let io = |result: io::Result<_>| result.map_err(FileError::io(path));
    let refuse = |kind: io::ErrorKind| FileError::io(path)(kind.into());
    if path.file_name().is_none() {
        return Err(refuse(io::ErrorKind::InvalidInput).into());
    }
    if fs::metadata(path).is_ok_and(|old| !old.is_dir()) {
        return Err(refuse(io::ErrorKind::NotADirectory).into());
    }
    let new = neighbour(0o777).tempdir_in(parent(path)).map_err(FileError::io(path))?;
    let value = fill(new.path())?;
    io(sync_tree(new.path()).and_then(|()| install(new, path)).and_then(|()| sync_directory(parent(path))))?;
    Ok(value)
}

/// Deletes a directory: whoever looks sees all of it or nothing.
///
/// # Errors
/// The system's.
pub fn remove_directory(path: &Path) -> io::Result<()> {
    let aside = neighbour(0o777).tempdir_in(parent(path))?;
    fs::rename(path, aside.path().join("old"))?;
    aside.close()
}

/// Deletes what processes that were killed while they wrote have left in `directory`, if there is one. No other process
/// may be writing there.
///
/// # Errors
/// If the directory cannot be read, or something in it cannot be deleted.
pub fn remove_unfinished(directory: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        if !name.to_str().is_some_and(|name| name.starts_with(TEMPORARY.0) && name.ends_with(TEMPORARY.1)) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Puts `new` in the place of `target` and deletes what was there.
fn install(new: TempDir, target: &Path) -> io::Result<()> {
    if fs::symlink_metadata(target).is_err() {
        fs::rename(new.path(), target)?;
        let _gone = new.keep();
        return Ok(());
    }
    if exchange(new.path(), target)? {
        // The temporary name now has the old content.
        return new.close();
    }
    replace_in_two_steps(new, target)
}

fn replace_in_two_steps(new: TempDir, target: &Path) -> io::Result<()> {
    let old = neighbour(0o777).tempdir_in(parent(target))?;
    let aside = old.path().join("old");
    fs::rename(target, &aside)?;
    if let Err(error) = fs::rename(new.path(), target) {
        fs::rename(&aside, target)?;
        return Err(error);
    }
    let _gone = new.keep();
    old.close()
}

/// Swaps two names in one step, or returns false where system or file system cannot.
#[cfg(target_os = "linux")]
fn exchange(a: &Path, b: &Path) -> io::Result<bool> {
    use rustix::{fs::CWD, fs::RenameFlags, io::Errno};
    match rustix::fs::renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(true),
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn exchange(_: &Path, _: &Path) -> io::Result<bool> {
    Ok(false)
}

/// How the names of temporary neighbours begin and end.
const TEMPORARY: (&str, &str) = (".apprentice-", ".tmp");

/// Makes hidden neighbours with the permissions that the system's mask leaves of `mode`: an output is for others too.
fn neighbour(mode: u32) -> Builder<'static, 'static> {
    let mut builder = Builder::new();
    builder.prefix(TEMPORARY.0).suffix(TEMPORARY.1);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
    #[cfg(not(unix))]
    let _ = mode;
    builder
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

fn is_device(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

fn sync_tree(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            sync_tree(&entry.path())?;
        } else if kind.is_file() {
            File::open(entry.path())?.sync_all()?;
        }
    }
    sync_directory(directory)
}

/// Makes the name of a file durable that was written by other means.
///
/// # Errors
/// The system's.
pub fn sync_name(path: &Path) -> io::Result<()> {
    sync_directory(parent(path))
}

/// Makes names durable, where directories can be opened as files.
fn sync_directory(directory: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_steps_do_what_one_does() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("model");
        fs::create_dir_all(target.join("old")).unwrap();
        let new = neighbour(0o777).tempdir_in(dir.path()).unwrap();
        fs::create_dir(new.path().join("new")).unwrap();
        replace_in_two_steps(new, &target).unwrap();
        let names = |path: &Path| fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name()).collect::<Vec<_>>();
        assert_eq!(names(&target), ["new"]);
        assert_eq!(names(dir.path()), ["model"]);
    }
}
