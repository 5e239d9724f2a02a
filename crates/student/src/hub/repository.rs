//! One model's directory in the cache: where its parts are, and how they get there.

use std::{
    fs::{self, File, TryLockError},
    io::{self, ErrorKind, Read},
    path::{Path, PathBuf},
};

use apprentice_core::files;

use super::{HubError, ModelName, Revision, digest::Digest, name::is_commit};

/// The directory of a model, which need not be there.
pub(super) struct Repository {
    directory: PathBuf,
    locks: PathBuf,
}

impl Repository {
    pub fn new(cache: &Path, name: &ModelName) -> Self {
        let folder = name.folder();
        Self { locks: cache.join(".locks").join(&folder), directory: cache.join(folder) }
    }

    pub fn blob(&self, digest: &Digest) -> PathBuf {
        self.directory.join("blobs").join(digest.as_str())
    }

    /// Where a content is while it is not whole.
    pub fn incomplete(&self, digest: &Digest) -> PathBuf {
        self.directory.join("blobs").join(format!("{}.incomplete", digest.as_str()))
    }

    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.directory.join("snapshots").join(commit)
    }

    fn reference(&self, revision: &Revision) -> PathBuf {
        self.directory.join("refs").join(revision.as_str())
    }

    /// The commit that a revision was last seen at, if it was.
    pub fn commit_of(&self, revision: &Revision) -> Result<Option<String>, HubError> {
        if revision.is_commit() {
            return Ok(Some(revision.as_str().to_owned()));
        }
        let commit = contents_if_there(&self.reference(revision), 64)?;
        let commit = commit.map(|text| String::from_utf8_lossy(&text).trim().to_owned());
        // It becomes a part of a path.
        Ok(commit.filter(|commit| is_commit(commit)))
    }

    /// Notes the commit that a revision is at.
    pub fn set_commit(&self, revision: &Revision, commit: &str) -> Result<(), HubError> {
        // The cache may be one that can only be read.
        if self.commit_of(revision)?.as_deref() == Some(commit) {
            return Ok(());
        }
        let path = self.reference(revision);
        make_parent(&path)?;
        write(&path, |out| io::Write::write_all(out, commit.as_bytes()))
    }

    /// Every commit that is there, and the revisions known to be at it, both in order.
    pub fn commits(&self) -> Result<Vec<(String, Vec<String>)>, HubError> {
        let mut references = Vec::new();
        collect_references(&self.directory.join("refs"), "", 3, &mut references)?;
        let at = |commit: &str| {
            let mut revisions = Vec::new();
            for revision in references.iter().filter_map(|text| text.parse().ok()) {
                if self.commit_of(&revision)?.as_deref() == Some(commit) {
                    revisions.push(revision.as_str().to_owned());
                }
            }
            Ok(revisions)
        };
        let mut commits = names_in(&self.directory.join("snapshots"))?;
        commits.retain(|commit| is_commit(commit));
        commits.into_iter().map(|commit| at(&commit).map(|revisions| (commit, revisions))).collect()
    }

    /// Notes that a commit has no file of this name, so that nobody asks for it again.
    pub fn set_absent(&self, commit: &str, file: &str) -> Result<(), HubError> {
        let path = self.directory.join(".no_exist").join(commit).join(file);
        if path.exists() {
            return Ok(());
        }
        make_parent(&path)?;
        File::create(&path).map(drop).map_err(HubError::io(path))
    }

    /// Keeps other processes, Python's too, from fetching the same content, until the file is dropped.
    pub fn lock(&self, digest: &Digest, busy: impl FnOnce()) -> Result<File, HubError> {
        let path = self.locks.join(format!("{}.lock", digest.as_str()));
        make_parent(&path)?;
        let mut busy = Some(busy);
        loop {
            let file = File::options().create(true).append(true).open(&path).map_err(HubError::io(&path))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    busy.take().into_iter().for_each(|busy| busy());
                    file.lock().map_err(HubError::io(&path))?;
                }
                // There are file systems without locks. What two processes write at once fails its hash at worst.
                Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => return Ok(file),
                Err(TryLockError::Error(error)) => return Err(HubError::io(path)(error)),
            }
            if !is_deleted(&file).map_err(HubError::io(&path))? {
                return Ok(file);
            }
        }
    }

    /// Whether a content is there, of this size if one is given.
    pub fn has(&self, digest: &Digest, size: Option<u64>) -> bool {
        fs::metadata(self.blob(digest)).is_ok_and(|blob| blob.is_file() && size.is_none_or(|size| size == blob.len()))
    }

    /// Whether a commit has its file, of this size.
    pub fn shows(&self, commit: &str, file: &str, size: Option<u64>) -> bool {
        fs::metadata(self.snapshot(commit).join(file)).is_ok_and(|file| file.is_file() && size == Some(file.len()))
    }

    /// Makes a content that is there a file of a commit.
    pub fn show(&self, digest: &Digest, commit: &str, file: &str, links: bool) -> Result<(), HubError> {
        let (blob, shown) = (self.blob(digest), self.snapshot(commit).join(file));
        let length = |path: &Path| fs::metadata(path).map(|file| file.len());
        if length(&shown).ok() == Some(length(&blob).map_err(HubError::io(&blob))?) {
            return Ok(());
        }
        make_parent(&shown)?;
        let target = Path::new("../../blobs").join(digest.as_str());
        if links && link_atomic(&target, &shown).is_ok() {
            return Ok(());
        }
        let mut content = File::open(&blob).map_err(HubError::io(&blob))?;
        write(&shown, |out| io::copy(&mut content, out).map(drop))
    }
}

/// A relative link, in place of what may be there.
fn link_atomic(target: &Path, link: &Path) -> io::Result<()> {
    let mut name = link.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = PathBuf::from(name);
    if let Err(error) = fs::remove_file(&temporary)
        && error.kind() != ErrorKind::NotFound
    {
        return Err(error);
    }
    #[cfg(unix)]
    std::os::unix::fs::symlink(target, &temporary)?;
    #[cfg(windows)]
    std::os::windows::fs::symlink_file(target, &temporary)?;
    fs::rename(&temporary, link)
}

/// Whether a lock's file has lost its name meanwhile: then the lock keeps nobody out.
#[cfg(unix)]
fn is_deleted(file: &File) -> io::Result<bool> {
    Ok(std::os::unix::fs::MetadataExt::nlink(&file.metadata()?) == 0)
}

#[cfg(not(unix))]
fn is_deleted(_: &File) -> io::Result<bool> {
    Ok(false)
}

fn write(path: &Path, write: impl FnOnce(&mut files::AtomicFile) -> io::Result<()>) -> Result<(), HubError> {
    files::write_atomic(path, true, write).map_err(|error| match error {
        files::FileError::Io { path, source } => HubError::Io { path, source },
        files::FileError::Exists { path } => HubError::Io { path, source: ErrorKind::AlreadyExists.into() },
    })
}

pub(super) fn make_parent(path: &Path) -> Result<(), HubError> {
    path.parent().map_or(Ok(()), |parent| fs::create_dir_all(parent).map_err(HubError::io(parent)))
}

/// The content of a file of at most so many bytes; nothing if there is no such file.
pub(super) fn contents_if_there(path: &Path, most: u64) -> Result<Option<Vec<u8>>, HubError> {
    // Asked before it is opened: opening a pipe would wait for its writer.
    if !fs::metadata(path).is_ok_and(|file| file.is_file()) {
        return Ok(None);
    }
    let mut content = Vec::new();
    File::open(path).and_then(|file| file.take(most + 1).read_to_end(&mut content)).map_err(HubError::io(path))?;
    Ok(Some(content).filter(|content| content.len() as u64 <= most))
}

/// The names in a directory, sorted; none if it is not there.
pub(super) fn names_in(directory: &Path) -> Result<Vec<String>, HubError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(Vec::new()),
        Err(error) => return Err(HubError::io(directory)(error)),
    };
    let names = entries.map(|entry| entry.map(|entry| entry.file_name().into_string()));
    let names: io::Result<Vec<_>> = names.collect();
    // Names that are not Unicode are none of ours.
    let mut names: Vec<String> = names.map_err(HubError::io(directory))?.into_iter().filter_map(Result::ok).collect();
    names.sort_unstable();
    Ok(names)
}

/// The revisions that are noted in a directory and, so many levels deep, in those within.
fn collect_references(directory: &Path, before: &str, levels: u32, all: &mut Vec<String>) -> Result<(), HubError> {
    for name in names_in(directory)? {
        let path = directory.join(&name);
        if path.is_file() {
            all.push(format!("{before}{name}"));
        } else if levels > 0 {
            collect_references(&path, &format!("{before}{name}/"), levels - 1, all)?;
        }
    }
    Ok(())
}
