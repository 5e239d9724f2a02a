//! Saving what is sound in a damaged file.
//!
//! The file is put aside under another name and never changed. Of a copy, the first page is replaced by that of an empty
//! store: it holds the header and the tables' definitions, which are the same in every store. Then every row is looked
//! up by its id, from the first to the last that may be there, each on its own, so that one damaged page takes no more
//! with it than what hangs below it; rows whose checksum is right go into a new file.

use std::{
    ffi::OsString,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags};
use serde::Serialize;
use tempfile::TempDir;

use super::{APPLICATION, Row, connect, writer};

/// SQLite's default.
const PAGE: usize = 4096;
/// How many ids in a row may be missing before the search ends: a page of the tree may hide so many.
const GAP: i64 = 20_000;

/// What became of a damaged store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Recovery {
    /// What was wrong.
    pub why: String,
    /// Where the damaged file is now.
    pub kept: PathBuf,
    /// Attempts that were sound.
    pub saved: u64,
    /// Attempts that are lost, as far as one can tell by their numbers.
    pub lost: u64,
}

/// Whether a damaged file was a store: its first page has the program's number or the table's definition.
pub(super) fn looks_like_ours(path: &Path) -> bool {
    let mut page = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(PAGE as u64).read_to_end(&mut page));
    let number = page.get(68..72).is_some_and(|id| id == (APPLICATION as u32).to_be_bytes());
    read.is_ok() && (number || memchr::memmem::find(&page, b"CREATE TABLE attempt (").is_some())
}

/// Puts the file at `path` aside and a sound one in its place.
pub(super) fn salvage(path: &Path, why: &str) -> Result<Recovery, String> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let work = tempfile::tempdir_in(folder).map_err(|error| error.to_string())?;
    let fresh = work.path().join("fresh");
    drop(connect(&fresh).map_err(|unsound| unsound.to_string())?);
    let damaged = copy_with_new_header(path, &fresh, &work).map_err(|error| error.to_string())?;
    let (saved, lost) = copy_rows(&damaged, &fresh).map_err(|error| error.to_string())?;
    let kept = put_aside(path).map_err(|error| error.to_string())?;
    fs::rename(&fresh, path).map_err(|error| error.to_string())?;
    Ok(Recovery { why: why.to_owned(), kept, saved, lost })
}

/// Copies the damaged file and its log, with the first page of an empty store.
fn copy_with_new_header(path: &Path, fresh: &Path, work: &TempDir) -> io::Result<PathBuf> {
    let damaged = work.path().join("damaged");
    let first = fs::read(fresh)?;
    let mut bytes = fs::read(path)?;
    // What was cut off inside a page is no page.
    bytes.resize(bytes.len().next_multiple_of(PAGE).max(PAGE), 0);
    let pages = u32::try_from(bytes.len() / PAGE).map_err(|_| io::Error::other("larger than SQLite can hold"))?;
    bytes[..PAGE].copy_from_slice(&first[..PAGE]);
    // The number of pages, which counts if the two change counters agree; and no list of free pages.
    bytes[28..32].copy_from_slice(&pages.to_be_bytes());
    bytes[32..40].fill(0);
    let counter: [u8; 4] = bytes[24..28].try_into().unwrap_or_default();
    bytes[92..96].copy_from_slice(&counter);
    fs::write(&damaged, bytes)?;
    let log = beside(path, "-wal");
    if log.exists() {
        fs::copy(log, beside(&damaged, "-wal"))?;
    }
    Ok(damaged)
}

fn copy_rows(damaged: &Path, fresh: &Path) -> rusqlite::Result<(u64, u64)> {
    let mut new = Connection::open(fresh)?;
    let transaction = new.transaction()?;
    let old = Connection::open_with_flags(damaged, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let (mut saved, mut last, mut id) = (0_u64, 0, 0);
    while id - last < GAP {
        id += 1;
        // A new statement each time: after an error the old one is of no use.
        let row = old
            .prepare_cached("SELECT * FROM attempt NOT INDEXED WHERE id = ?1")
            .and_then(|mut statement| statement.query_row([id], |row| Ok(Row::sound(row))));
        let Ok(row) = row else { continue };
        // A row that is there and damaged counts as one that was there.
        last = id;
        if let Some(row) = row {
            writer::insert(&transaction, &row)?;
            saved += 1;
        }
    }
    transaction.commit()?;
    new.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
    Ok((saved, (last as u64).saturating_sub(saved)))
}

/// Renames the damaged file and its log.
fn put_aside(path: &Path) -> io::Result<PathBuf> {
    let name = |number: u32| beside(path, &format!(".damaged-{number}"));
    let free = (1..).map(name).find(|name| !name.exists()).ok_or_else(|| io::Error::other("no free name"))?;
    fs::rename(path, &free)?;
    for ending in ["-wal", "-shm"] {
        let log = beside(path, ending);
        if log.exists() {
            fs::rename(log, beside(&free, ending))?;
        }
    }
    Ok(free)
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(ending);
    PathBuf::from(name)
}
