//! Saving what is sound in a damaged file.
//!
//! The damaged file is kept under another name and never changed. In a copy every page is looked at on its own: where the
//! tree is broken, its leaves still hold their rows, and rows know by their checksums whether they are whole. They go into
//! a new file. The pages' form is that of SQLite's documentation (fileformat2).

use std::{
    collections::HashMap,
    fs,
    io::{self, Read},
    ops::Range,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, params, types::Value};
use serde::Serialize;

use super::{APPLICATION, Batch, Row, batches, beside, connect, writer};

/// SQLite's default.
const PAGE: usize = 4096;
/// The most bytes of a row that lie in its leaf, and the least if it is longer.
const MOST: usize = PAGE - 35;
const LEAST: usize = (PAGE - 12) * 32 / 255 - 23;
/// The first byte of a table's leaf.
const LEAF: u8 = 0x0D;

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
    /// Attempts that are lost, as far as the numbers of the others tell: at least so many.
    pub lost: u64,
    /// Batches that were sound. The attempts of others count as interrupted.
    pub batches: u64,
}

/// Whether a damaged file was a store: its first page has the program's number or the table's definition.
pub(super) fn looks_like_ours(path: &Path) -> bool {
    let mut page = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(PAGE as u64).read_to_end(&mut page));
    let number = page.get(68..72).is_some_and(|id| id == (APPLICATION as u32).to_be_bytes());
    read.is_ok() && (number || memchr::memmem::find(&page, b"CREATE TABLE attempt (").is_some())
}

/// Keeps the file at `path` under another name and puts a sound one in its place.
pub(super) fn salvage(path: &Path, why: &str) -> Result<Recovery, String> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let work = tempfile::tempdir_in(folder).map_err(|error| error.to_string())?;
    let (copy, fresh) = (work.path().join("copy"), work.path().join("fresh"));
    drop(connect(&fresh).map_err(|unsound| unsound.to_string())?);
    let rows = copy_of(path, &fresh, &copy).map(|pages| rows(&pages)).map_err(|error| error.to_string())?;
    let saved = write(&rows, &fresh).map_err(|error| error.to_string())?;
    let last = rows.attempts.keys().copied().max().unwrap_or(0) as u64;
    // At every moment there is a file at `path`: the damaged one, then the new one.
    let kept = keep(path).map_err(|error| error.to_string())?;
    fs::File::open(&fresh).and_then(|file| file.sync_all()).map_err(|error| error.to_string())?;
    fs::rename(&fresh, path).map_err(|error| error.to_string())?;
    Ok(Recovery {
        why: why.to_owned(),
        kept,
        saved,
        lost: last.saturating_sub(saved),
        batches: rows.batches.len() as u64,
    })
}

/// All pages of the damaged file, with what lies in its log.
fn copy_of(path: &Path, fresh: &Path, copy: &Path) -> io::Result<Vec<u8>> {
    fs::copy(path, copy)?;
    let log = beside(path, "-wal");
    if log.exists() {
        // SQLite moves the log's pages into the file, if it can be brought to open it: with the first page of an empty
        // store, which holds the header and the table's definition. Without, the file's own pages are what there is.
        let mut pages = fs::read(path)?;
        pages.resize(pages.len().max(PAGE), 0);
        pages[..PAGE].copy_from_slice(&fs::read(fresh)?[..PAGE]);
        let count = u32::try_from(pages.len() / PAGE).unwrap_or(u32::MAX);
        pages[28..32].copy_from_slice(&count.to_be_bytes());
        let mut file = fs::File::create(copy)?;
        io::Write::write_all(&mut file, &pages)?;
        fs::copy(log, beside(copy, "-wal"))?;
        let _ = Connection::open(copy).and_then(|copy| copy.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)"));
    }
    let mut pages = fs::read(copy)?;
    pages.resize(pages.len().next_multiple_of(PAGE), 0);
    Ok(pages)
}

/// What is sound, by id.
#[derive(Default)]
struct Rows {
    attempts: HashMap<i64, Row>,
    batches: HashMap<i64, Batch>,
}

impl Rows {
    /// Of a row that is there twice, because a page was given up, the fuller one counts.
    fn take(&mut self, id: i64, values: Vec<Value>) {
        let fullness = |row: &Row| (row.latency.is_some(), row.note.is_some());
        if let Some(batch) = Batch::of_values(id, &values) {
            if self.batches.get(&id).is_none_or(|known| known.state < batch.state) {
                self.batches.insert(id, batch);
            }
        } else if let Some(row) = Row::of_values(id, values)
            && self.attempts.get(&id).is_none_or(|known| fullness(known) < fullness(&row))
        {
            self.attempts.insert(id, row);
        }
    }
}

/// The sound rows of all leaves.
fn rows(pages: &[u8]) -> Rows {
    let mut rows = Rows::default();
    for (number, page) in pages.chunks(PAGE).enumerate() {
        // The first page has the header before its tree.
        let start = if number == 0 { 100 } else { 0 };
        if page[start] != LEAF {
            continue;
        }
        let cells = usize::from(u16::from_be_bytes([page[start + 3], page[start + 4]]));
        for cell in 0..cells {
            let Some(pointer) = page.get(start + 8 + 2 * cell..start + 10 + 2 * cell) else { break };
            let at = usize::from(u16::from_be_bytes([pointer[0], pointer[1]]));
            let found = payload(pages, number * PAGE, at).and_then(|(id, payload)| Some((id, decoded(&payload)?)));
            if let Some((id, values)) = found {
                rows.take(id, values);
            }
        }
    }
    rows
}

/// The id and the whole payload of the cell at byte `at` of a page.
fn payload(pages: &[u8], page: usize, at: usize) -> Option<(i64, Vec<u8>)> {
    let cell = pages.get(page + at..page + PAGE)?;
    let (length, used) = varint(cell)?;
    let (id, more) = varint(&cell[used..])?;
    let (length, start) = (usize::try_from(length).ok().filter(|length| *length <= pages.len())?, used + more);
    if length <= MOST {
        return Some((id, cell.get(start..start + length)?.to_vec()));
    }
    let spread = LEAST + (length - LEAST) % (PAGE - 4);
    let local = if spread <= MOST { spread } else { LEAST };
    let mut payload = cell.get(start..start + local)?.to_vec();
    let mut next = cell.get(start + local..start + local + 4)?;
    while payload.len() < length {
        let number = u32::from_be_bytes(next.try_into().ok()?) as usize;
        let page = pages.get(number.checked_sub(1)? * PAGE..number * PAGE)?;
        let wanted = (length - payload.len()).min(PAGE - 4);
        payload.extend_from_slice(&page[4..4 + wanted]);
        next = &page[..4];
    }
    Some((id, payload))
}

/// The columns of a row.
fn decoded(payload: &[u8]) -> Option<Vec<Value>> {
    let (head, used) = varint(payload)?;
    let head = payload.get(used..usize::try_from(head).ok()?)?;
    let (mut types, mut at) = (head, used + head.len());
    let mut values = Vec::new();
    while !types.is_empty() {
        let (kind, used) = varint(types)?;
        types = &types[used..];
        let mut bytes = |length: usize| -> Option<&[u8]> {
            let range: Range<usize> = at..at.checked_add(length)?;
            at = range.end;
            payload.get(range)
        };
        let whole = |bytes: &[u8]| {
            let sign = if bytes.first().is_some_and(|byte| *byte >= 0x80) { -1 } else { 0 };
            bytes.iter().fold(sign, |number: i64, byte| (number << 8) | i64::from(*byte))
        };
        values.push(match kind {
            0 => Value::Null,
            1..=4 => Value::Integer(whole(bytes(kind as usize)?)),
            5 => Value::Integer(whole(bytes(6)?)),
            6 => Value::Integer(whole(bytes(8)?)),
            8 | 9 => Value::Integer(kind - 8),
            12.. if kind % 2 == 0 => Value::Blob(bytes(usize::try_from((kind - 12) / 2).ok()?)?.to_vec()),
            13.. => Value::Text(str::from_utf8(bytes(usize::try_from((kind - 13) / 2).ok()?)?).ok()?.to_owned()),
            _ => return None,
        });
    }
    Some(values)
}

/// A variable-length number and how many bytes it has.
fn varint(bytes: &[u8]) -> Option<(i64, usize)> {
    let mut number: u64 = 0;
    for (index, byte) in bytes.iter().take(9).enumerate() {
        if index == 8 {
            return Some((((number << 8) | u64::from(*byte)).cast_signed(), 9));
        }
        number = (number << 7) | u64::from(byte & 0x7F);
        if *byte < 0x80 {
            return Some((number.cast_signed(), index + 1));
        }
    }
    None
}

fn write(rows: &Rows, fresh: &Path) -> rusqlite::Result<u64> {
    let mut new = Connection::open(fresh)?;
    let transaction = new.transaction()?;
    let mut attempts: Vec<&Row> = rows.attempts.values().collect();
    attempts.sort_unstable_by_key(|row| row.id);
    attempts.iter().try_for_each(|row| writer::insert(&transaction, row))?;
    rows.batches.values().try_for_each(|batch| batches::insert(&transaction, batch))?;
    transaction.commit()?;
    new.query_row("PRAGMA wal_checkpoint(TRUNCATE)", params![], |_| Ok(()))?;
    Ok(attempts.len() as u64)
}

/// Copies the damaged file and its log to names that are free, and takes the log away from the old one.
fn keep(path: &Path) -> io::Result<PathBuf> {
    let name = |number: u32| beside(path, &format!(".damaged-{number}"));
    let free = (1..10_000).map(name).find(|name| !name.exists()).ok_or_else(|| io::Error::other("no free name"))?;
    fs::copy(path, &free)?;
    fs::File::open(&free)?.sync_all()?;
    for ending in ["-wal", "-shm"] {
        let log = beside(path, ending);
        if log.exists() {
            fs::rename(log, beside(&free, ending))?;
        }
    }
    Ok(free)
}
