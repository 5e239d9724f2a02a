//! Every request that was ever sent and everything that came back, in one SQLite file: what was paid for.
//!
//! What is promised:
//! - A request is on disk before it is sent, what came back is on disk before anybody reads it, and both are only then
//!   acknowledged (`synchronous=FULL`). Commits are shared by all that wait for one.
//! - After the first write that fails, everything fails: nothing is sent whose answer could not be kept.
//! - Every row has a checksum over its content, so that a damaged answer is never taken for one. A damaged file is put
//!   aside, what is sound in it goes into a new one, and [`Recovery`] says what was lost.
//! - One process at a time: a lock beside the file, which the system releases whatever becomes of the process.
//!
//! A request that was sent and has no end was interrupted: the provider may have done the work and ask for it. It is
//! then marked as of unknown outcome, and sent again; unless it is in a batch that the provider still has.

mod batches;
mod salvage;
mod writer;

use std::{
    fmt,
    fs::{File, TryLockError},
    io::Read,
    ops::Range,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Mutex,
    time::Duration,
};

use apprentice_core::files;
use rusqlite::{Connection, OpenFlags, OptionalExtension, types::Value};
use serde::Serialize;
use sha2::{Digest, Sha256};
use thiserror::Error;

use self::writer::Writer;
pub use self::{
    batches::{Batch, BatchState, Member},
    salvage::Recovery,
};
use crate::{Finish, Usage};

/// A hash of all that decides about an answer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key([u8; 32]);

impl Key {
    /// The key of a value: SHA-256 of its JSON.
    ///
    /// # Panics
    /// If the value cannot be JSON.
    #[must_use]
    pub fn of(value: &impl Serialize) -> Self {
        let json = serde_json::to_vec(value).expect("a request is JSON: this is a bug");
        Self(Sha256::digest(&json).into())
    }
}

/// In hexadecimal digits.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// From 64 hexadecimal digits.
impl FromStr for Key {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digit = |at: usize| text.get(2 * at..2 * at + 2).filter(|pair| !pair.starts_with('+'));
        let byte = |at: usize| digit(at).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        let bytes: Option<Vec<u8>> = (0..32).map(byte).collect();
        let bytes = bytes.filter(|_| text.len() == 64).and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| "no key: expected 64 hexadecimal digits".to_owned())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A whole answer.
    Answered,
    /// An answer that reached its bound.
    Truncated,
    /// The model would not answer.
    Refused,
    /// The provider's filter took the answer.
    Filtered,
    /// No answer.
    Failed,
    /// Sent, but nobody knows what became of it.
    Unknown,
}

impl Outcome {
    /// Its name in the file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Truncated => "truncated",
            Self::Refused => "refused",
            Self::Filtered => "filtered",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }

    /// Whether asking again would bring the same: then nobody pays for it twice.
    #[must_use]
    pub const fn is_answer(self) -> bool {
        matches!(self, Self::Answered | Self::Truncated | Self::Refused | Self::Filtered)
    }

    pub(crate) const fn of(finish: Finish) -> Self {
        match finish {
            Finish::Stop => Self::Answered,
            Finish::Length => Self::Truncated,
            Finish::Refusal => Self::Refused,
            Finish::ContentFilter => Self::Filtered,
        }
    }
}

/// A request that is about to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// What it asks.
    pub key: Key,
    /// The provider's protocol.
    pub protocol: &'static str,
    /// The body as it is sent.
    pub body: String,
    /// When, in milliseconds since 1970.
    pub sent: u64,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The status, if there was any.
    pub status: Option<u16>,
    /// The raw body.
    pub body: Vec<u8>,
    /// What went wrong below HTTP.
    pub error: Option<String>,
    /// How long it took.
    pub latency: Duration,
}

/// An answer as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The provider's protocol.
    pub protocol: String,
    /// The status, of its own line if it came in a batch.
    pub status: u16,
    /// The raw body.
    pub body: Vec<u8>,
    /// Whether it came in a batch.
    pub is_batched: bool,
}

/// What lies in a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Contents {
    /// Attempts.
    pub attempts: u64,
    /// Those that brought an answer.
    pub answers: u64,
    /// Those that were sent and of which nobody knows what became.
    pub unknown: u64,
    /// Those in batches whose answers are still to come.
    pub waiting: u64,
    /// The tokens of all answers.
    pub usage: Usage,
}

/// What is wrong with a store.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file, or what lies beside it, cannot be opened or locked.
    #[error("{path}: {why}", path = path.display())]
    Open {
        /// The store.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Another process has it.
    #[error("{path}: another process uses this store: wait until it is done, or name another store", path = path.display())]
    Busy {
        /// The store.
        path: PathBuf,
    },
    /// The file is something else.
    #[error("{path}: not a store of completions ({why}): name another file", path = path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is.
        why: String,
    },
    /// A write failed: what comes now would be lost.
    #[error("{path}: {why}", path = path.display())]
    Write {
        /// The store.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A read failed.
    #[error("{path}: cannot be read: {why}", path = path.display())]
    Read {
        /// The store.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// A store, open and locked.
pub struct Store {
    path: PathBuf,
    /// Closed before the writer, which as the last one leaves a single file.
    reader: Mutex<Connection>,
    writer: Writer,
    /// Held as long as the store is open.
    _lock: File,
}

/// A store that was opened, and what was found on the way.
pub struct OpenedStore {
    /// The store.
    pub store: Store,
    /// What was lost, if the file was damaged.
    pub recovery: Option<Recovery>,
    /// Requests that an interrupted process had sent: the provider may ask for them.
    pub interrupted: u64,
}

/// What the file is, in SQLite's `application_id`: "appr".
const APPLICATION: i64 = 0x6170_7072;
/// A version of the tables is its number four times over, so that a flipped bit makes none.
const VERSION_UNIT: i64 = 0x0101_0101;
/// The second version has batches.
const VERSION: i64 = 2 * VERSION_UNIT;
const SCHEMA: &str = "
    CREATE TABLE attempt (
        id INTEGER PRIMARY KEY,
        key BLOB NOT NULL,
        protocol TEXT NOT NULL,
        sent_ms INTEGER NOT NULL,
        request TEXT NOT NULL,
        latency_ms INTEGER,
        status INTEGER,
        body BLOB,
        error TEXT,
        sum BLOB NOT NULL,
        outcome TEXT,
        input_tokens INTEGER,
        cached_tokens INTEGER,
        output_tokens INTEGER,
        note_sum BLOB
    );
    CREATE INDEX attempt_key ON attempt (key);
    CREATE INDEX attempt_open ON attempt (id) WHERE outcome IS NULL;
";

/// Reads a stored body again: the outcome and what it cost. Given by whoever knows the protocols.
pub type Reread = dyn Fn(&str, u16, &[u8]) -> (Outcome, Option<Usage>);

impl Store {
    /// Opens the store at `path`, or makes one; repairs what is damaged. `busy` is called once if another process has the
    /// store: if it returns true, this waits.
    ///
    /// # Errors
    /// [`StoreError`], every kind but `Write`.
    pub fn open(path: &Path, reread: &Reread, busy: impl FnOnce() -> bool) -> Result<OpenedStore, StoreError> {
        let open = |why: String| StoreError::Open { path: path.to_owned(), why };
        let lock = lock(path, busy)?;
        let mut recovery = None;
        let connection = match connect(path) {
            Ok(connection) => connection,
            Err(Unsound::Failed(why)) => return Err(open(why)),
            Err(Unsound::Damaged(why)) if !salvage::looks_like_ours(path) => {
                return Err(StoreError::Foreign { path: path.to_owned(), why });
            }
            Err(Unsound::Damaged(why)) => {
                recovery = Some(salvage::salvage(path, &why).map_err(open)?);
                connect(path).map_err(|unsound| open(unsound.to_string()))?
            }
        };
        let interrupted = settle(&connection, reread).map_err(|error| open(error.to_string()))?;
        let reader = reader(path).map_err(|error| open(error.to_string()))?;
        // SQLite does this too, and goes on where it fails.
        files::sync_name(path).map_err(|error| open(error.to_string()))?;
        let writer = Writer::start(connection, path).map_err(|error| open(error.to_string()))?;
        let store = Self { path: path.to_owned(), reader: Mutex::new(reader), writer, _lock: lock };
        Ok(OpenedStore { store, recovery, interrupted })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The last reply under this key of which `read` makes something. Replies that are known to be no answers are left
    /// out, and so are damaged ones.
    ///
    /// # Errors
    /// [`StoreError::Read`].
    pub fn answer<T>(&self, key: &Key, mut read: impl FnMut(&Stored) -> Option<T>) -> Result<Option<T>, StoreError> {
        // What an attempt came to is noted a little later than its reply.
        let sql = "SELECT *, EXISTS (SELECT 1 FROM batch
                WHERE attempt.id BETWEEN first_attempt AND first_attempt + attempts - 1) AS is_batched
            FROM attempt WHERE key = ?1 AND status IS NOT NULL
                AND (outcome IS NULL OR outcome IN ('answered', 'truncated', 'refused', 'filtered'))
            ORDER BY id DESC";
        self.reading(|reader| {
            let mut statement = reader.prepare_cached(sql)?;
            let mut rows = statement.query([&key.0[..]])?;
            while let Some(row) = rows.next()? {
                let is_batched = row.get("is_batched")?;
                let Some(Row { protocol, status: Some(status), body: Some(body), .. }) = Row::sound(row) else {
                    continue;
                };
                if let Some(answer) = read(&Stored { protocol, status, body, is_batched }) {
                    return Ok(Some(answer));
                }
            }
            Ok(None)
        })
    }

    /// Keeps that a request is about to be sent.
    ///
    /// # Errors
    /// [`StoreError::Write`]: do not send it.
    pub async fn begin(&self, attempt: Attempt) -> Result<i64, StoreError> {
        self.writer.begin(attempt).await
    }

    /// Keeps what came back.
    ///
    /// # Errors
    /// [`StoreError::Write`]: it is lost if the process ends.
    pub async fn end(&self, id: i64, ended: Ended) -> Result<(), StoreError> {
        self.writer.end(id, ended).await
    }

    /// Adds what an attempt came to; not waited for, because it can be read from the body again.
    pub fn note(&self, id: i64, outcome: Outcome, usage: Option<Usage>) {
        self.writer.note(id, outcome, usage);
    }

    /// Waits until everything is written.
    ///
    /// # Errors
    /// [`StoreError::Write`] if something could not be.
    pub async fn flush(&self) -> Result<(), StoreError> {
        self.writer.flush().await
    }

    /// What lies in it.
    ///
    /// # Errors
    /// [`StoreError::Read`].
    pub fn contents(&self) -> Result<Contents, StoreError> {
        let sql = "SELECT count(*),
            count(*) FILTER (WHERE outcome IN ('answered', 'truncated', 'refused', 'filtered')),
            count(*) FILTER (WHERE outcome = 'unknown'),
            count(*) FILTER (WHERE outcome IS NULL AND latency_ms IS NULL),
            coalesce(sum(input_tokens), 0), coalesce(sum(cached_tokens), 0), coalesce(sum(output_tokens), 0) FROM attempt";
        let contents = |row: &rusqlite::Row<'_>| {
            let usage = Usage { input: row.get(4)?, cached: row.get(5)?, output: row.get(6)? };
            let [attempts, answers, unknown, waiting] = [row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?];
            Ok(Contents { attempts, answers, unknown, waiting, usage })
        };
        self.reading(|reader| reader.query_row(sql, [], contents))
    }
}

/// One row, read whole.
struct Row {
    id: i64,
    key: Vec<u8>,
    protocol: String,
    sent: i64,
    request: String,
    latency: Option<i64>,
    status: Option<u16>,
    body: Option<Vec<u8>>,
    error: Option<String>,
    note: Option<Note>,
}

impl Row {
    /// An attempt without an end.
    fn begun(id: i64, attempt: Attempt) -> Self {
        Self {
            id,
            key: attempt.key.0.to_vec(),
            protocol: attempt.protocol.to_owned(),
            sent: attempt.sent.cast_signed(),
            request: attempt.body,
            latency: None,
            status: None,
            body: None,
            error: None,
            note: None,
        }
    }

    /// The row, if all of it can be read and its checksum is right; without its note if that is damaged.
    fn sound(row: &rusqlite::Row<'_>) -> Option<Self> {
        let read = || -> rusqlite::Result<(Self, Vec<u8>)> {
            let found = Self {
                id: row.get("id")?,
                key: row.get("key")?,
                protocol: row.get("protocol")?,
                sent: row.get("sent_ms")?,
                request: row.get("request")?,
                latency: row.get("latency_ms")?,
                status: row.get("status")?,
                body: row.get("body")?,
                error: row.get("error")?,
                note: None,
            };
            Ok((found, row.get("sum")?))
        };
        let (mut found, _) = read().ok().filter(|(found, sum)| found.sum() == sum[..])?;
        found.note = Note::sound(row).ok().flatten();
        Some(found)
    }

    /// The row of its columns, in their order.
    fn of_values(id: i64, values: Vec<Value>) -> Option<Self> {
        let mut values = values.into_iter();
        // In its place in the row the id is empty.
        values.next()?;
        let mut next = || values.next();
        let blob = |value: Option<Value>| if let Some(Value::Blob(bytes)) = value { Some(bytes) } else { None };
        let text = |value: Option<Value>| if let Some(Value::Text(text)) = value { Some(text) } else { None };
        let number = |value: Option<Value>| if let Some(Value::Integer(number)) = value { Some(number) } else { None };
        let mut row = Self {
            id,
            key: blob(next())?,
            protocol: text(next())?,
            sent: number(next())?,
            request: text(next())?,
            latency: number(next()),
            status: number(next()).and_then(|status| status.try_into().ok()),
            body: blob(next()),
            error: text(next()),
            note: None,
        };
        let sum = blob(next())?;
        let outcome = text(next());
        let usage = [number(next()), number(next()), number(next())];
        let note = outcome.map(|outcome| Note { outcome, usage }).zip(blob(next()));
        row.note = note.filter(|(note, sum)| note.sum(id) == sum[..]).map(|(note, _)| note);
        (row.sum() == sum[..]).then_some(row)
    }

    /// The checksum of all but the note.
    fn sum(&self) -> [u8; 16] {
        checksum(&[
            Some(&self.id.to_le_bytes()),
            Some(&self.key),
            Some(self.protocol.as_bytes()),
            Some(&self.sent.to_le_bytes()),
            Some(self.request.as_bytes()),
            self.latency.map(i64::to_le_bytes).as_ref().map(|bytes| &bytes[..]),
            self.status.map(u16::to_le_bytes).as_ref().map(|bytes| &bytes[..]),
            self.body.as_deref(),
            self.error.as_deref().map(str::as_bytes),
        ])
    }
}

/// What an attempt came to: can be read from its body again.
#[derive(Clone)]
struct Note {
    outcome: String,
    /// Input, cached, output.
    usage: [Option<i64>; 3],
}

impl Note {
    /// The note of a row; nothing if there is none.
    ///
    /// # Errors
    /// If it is damaged.
    fn sound(row: &rusqlite::Row<'_>) -> Result<Option<Self>, rusqlite::Error> {
        let sum: Option<Vec<u8>> = row.get("note_sum")?;
        let outcome: Option<String> = row.get("outcome")?;
        let usage = [row.get("input_tokens")?, row.get("cached_tokens")?, row.get("output_tokens")?];
        let note = match (outcome, sum) {
            (None, None) => return Ok(None),
            (Some(outcome), Some(sum)) => Some((Self { outcome, usage }, sum)),
            _ => None,
        };
        let id = row.get("id")?;
        let sound = note.filter(|(note, sum)| note.sum(id) == sum[..]).map(|(note, _)| note);
        sound.map(Some).ok_or(rusqlite::Error::InvalidQuery)
    }

    fn sum(&self, id: i64) -> [u8; 16] {
        let usage = self.usage.map(|tokens| tokens.map(i64::to_le_bytes));
        let [input, cached, output] = usage.each_ref().map(|tokens| tokens.as_ref().map(|bytes| &bytes[..]));
        checksum(&[Some(&id.to_le_bytes()), Some(self.outcome.as_bytes()), input, cached, output])
    }
}

/// The start of SHA-256 over all fields, each with its length: nothing and the empty text differ.
fn checksum(fields: &[Option<&[u8]>]) -> [u8; 16] {
    let mut hash = Sha256::new();
    for field in fields {
        hash.update(field.map_or(u64::MAX, |field| field.len() as u64).to_le_bytes());
        hash.update(field.unwrap_or_default());
    }
    let mut sum = [0; 16];
    sum.copy_from_slice(&hash.finalize()[..16]);
    sum
}

/// Why a file cannot be used as it is.
enum Unsound {
    Damaged(String),
    Failed(String),
}

impl fmt::Display for Unsound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Damaged(why) | Self::Failed(why)) = self;
        f.write_str(why)
    }
}

impl From<rusqlite::Error> for Unsound {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{
            CannotOpen, DatabaseBusy, DatabaseLocked, DiskFull, OutOfMemory, PermissionDenied, ReadOnly,
            SystemIoFailure,
        };
        match error.sqlite_error_code() {
            Some(
                CannotOpen | DatabaseBusy | DatabaseLocked | DiskFull | OutOfMemory | PermissionDenied | ReadOnly
                | SystemIoFailure,
            ) => Self::Failed(error.to_string()),
            // A schema or a format that cannot be read has no code of its own.
            _ => Self::Damaged(error.to_string()),
        }
    }
}

/// Opens a file for writing, makes the tables if it is new, and checks every page and every row.
fn connect(path: &Path) -> Result<Connection, Unsound> {
    check_header(path)?;
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    let get = |pragma: &str| connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, i64>(0));
    let tables = connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get::<_, i64>(0))?;
    if tables == 0 && get("application_id")? == 0 {
        keep_log(&connection)?;
        let numbers = format!("PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION};");
        connection.execute_batch(&format!("BEGIN; {numbers} {SCHEMA} {} COMMIT;", batches::TABLE))?;
        return Ok(connection);
    }
    let (application, version) = (get("application_id")?, get("user_version")?);
    if application != APPLICATION {
        return Err(Unsound::Damaged(format!("its application id is {application:#x}, expected {APPLICATION:#x}")));
    }
    if version > VERSION && version % VERSION_UNIT == 0 {
        let found = version / VERSION_UNIT;
        return Err(Unsound::Failed(format!("made by a newer version of this program (its format is {found})")));
    }
    if version != VERSION && version != VERSION_UNIT {
        return Err(Unsound::Damaged(format!("its format is {version:#x}, expected {VERSION:#x}")));
    }
    keep_log(&connection)?;
    let sound = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0))?;
    if sound != "ok" {
        return Err(Unsound::Damaged(sound.replace('\n', " ")));
    }
    let mut statement = connection.prepare("SELECT * FROM attempt ORDER BY id")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if Row::sound(row).is_none() || Note::sound(row).is_err() {
            let id = row.get::<_, i64>(0).unwrap_or_default();
            return Err(Unsound::Damaged(format!("attempt {id} differs from its checksum")));
        }
    }
    drop(rows);
    drop(statement);
    if version == VERSION_UNIT {
        connection.execute_batch(&format!("BEGIN; {} PRAGMA user_version = {VERSION}; COMMIT;", batches::TABLE))?;
    }
    check_batches(&connection)?;
    Ok(connection)
}

fn check_batches(connection: &Connection) -> Result<(), Unsound> {
    let mut statement = connection.prepare("SELECT * FROM batch ORDER BY id")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if Batch::sound(row).is_none() {
            let id = row.get::<_, i64>(0).unwrap_or_default();
            return Err(Unsound::Damaged(format!("batch {id} differs from its checksum")));
        }
    }
    Ok(())
}

/// Has the file written by way of a log that is synced at every commit.
fn keep_log(connection: &Connection) -> Result<(), Unsound> {
    // The change is committed behind the answer of the pragma: what fails there is seen only by who asks for more rows.
    let mut statement = connection.prepare("PRAGMA journal_mode = wal")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let mode: String = row.get(0)?;
        if mode != "wal" {
            return Err(Unsound::Failed(format!("it cannot be written: its journal mode stays {mode}, expected wal")));
        }
    }
    Ok(connection.pragma_update(None, "synchronous", "full")?)
}

/// Checks what in the header of a file is the same in every store: SQLite takes some damage there for a file that may only
/// be read, or that a later version of it has made.
fn check_header(path: &Path) -> Result<(), Unsound> {
    const CONSTANT: [(Range<usize>, &[u8]); 3] = [
        (0..16, b"SQLite format 3\0"),
        (16..18, &[0x10, 0]),
        // Read and written as WAL, nothing reserved, the fractions of payload.
        (18..24, &[2, 2, 0, 64, 32, 32]),
    ];
    let mut header = Vec::new();
    let read = File::open(path).and_then(|file| file.take(100).read_to_end(&mut header));
    // What is new, or cannot be read, is SQLite's affair.
    if read.is_err() || header.is_empty() {
        return Ok(());
    }
    match CONSTANT.into_iter().find(|(range, bytes)| header.get(range.clone()) != Some(*bytes)) {
        Some((range, _)) => Err(Unsound::Damaged(format!("its header differs at byte {}", range.start))),
        None => Ok(()),
    }
}

fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let reader = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    reader.busy_timeout(Duration::from_secs(10))?;
    Ok(reader)
}

/// Says of every attempt without outcome what it was: of unknown outcome if it never ended, else what its body says.
/// Gives the number of the former. What the provider still has is left as it is.
fn settle(connection: &Connection, reread: &Reread) -> rusqlite::Result<u64> {
    let transaction = connection.unchecked_transaction()?;
    let open = batches::settle(&transaction)?;
    let mut interrupted = 0;
    let mut after = i64::MIN;
    loop {
        let mut statement = transaction
            .prepare_cached("SELECT * FROM attempt WHERE outcome IS NULL AND id > ?1 ORDER BY id LIMIT 1")?;
        let found = statement.query_row([after], |row| Ok((row.get::<_, i64>("id")?, Row::sound(row)))).optional()?;
        let Some((id, row)) = found else { break };
        after = id;
        let Some(row) = row else { continue };
        let (outcome, usage) = match (row.latency, row.status, &row.body) {
            (None, ..) if open.iter().any(|batch| batch.contains(&id)) => continue,
            (None, ..) => {
                interrupted += 1;
                (Outcome::Unknown, None)
            }
            (Some(_), Some(status), Some(body)) => reread(&row.protocol, status, body),
            _ => (Outcome::Failed, None),
        };
        writer::note(&transaction, id, outcome, usage)?;
    }
    transaction.commit()?;
    Ok(interrupted)
}

/// Locks the file beside the store.
fn lock(path: &Path, busy: impl FnOnce() -> bool) -> Result<File, StoreError> {
    let open = |error: std::io::Error| StoreError::Open { path: path.to_owned(), why: error.to_string() };
    let file = File::options().create(true).append(true).open(beside(path, ".lock")).map_err(open)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) if busy() => file.lock().map_err(open).map(|()| file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Busy { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(open(error)),
    }
}

/// The path with an ending behind it.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}
