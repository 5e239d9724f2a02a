//! Batches: attempts that go to the provider together, and whose answers are fetched hours later.
//!
//! The attempts of a batch are rows like all others. They have consecutive ids and are written in one transaction with
//! the batch, before anything is sent. The row of the batch then says how far it has come: each step is on disk before
//! the next one is taken, so that whoever opens the store later knows what the provider may have.

use std::sync::PoisonError;

use rusqlite::{Connection, OptionalExtension, params, types::Value};
use serde::Serialize;

use super::{Attempt, Key, Outcome, Row, Store, StoreError, checksum, writer};

/// How far a batch has come. Later states are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BatchState {
    /// It is in the store alone.
    Written,
    /// The provider has its file, and does nothing with it.
    Uploaded,
    /// The provider may have been told to begin.
    Creating,
    /// The provider has it, under the name in [`Batch::remote`].
    Created,
    /// What came back is in the store.
    Fetched,
    /// The provider has refused it as a whole.
    Failed,
    /// It was never begun, or nobody waits for it any more.
    GivenUp,
}

impl BatchState {
    const ALL: [Self; 7] =
        [Self::Written, Self::Uploaded, Self::Creating, Self::Created, Self::Fetched, Self::Failed, Self::GivenUp];

    /// Its name in the file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Uploaded => "uploaded",
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Fetched => "fetched",
            Self::Failed => "failed",
            Self::GivenUp => "given-up",
        }
    }

    /// Whether the provider has it, or may have it, and its answers are still to come.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Creating | Self::Created)
    }
}

/// A batch, as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Batch {
    /// Its number in the store.
    pub id: i64,
    /// What it is called where the provider lets one name things: a hash of its content and of the time.
    pub name: String,
    /// The provider's protocol.
    pub protocol: String,
    /// The provider's base URL.
    pub url: String,
    /// How far it has come.
    pub state: BatchState,
    /// The provider's name for the file of requests.
    pub file: Option<String>,
    /// The provider's name for the batch.
    pub remote: Option<String>,
    /// When it was written, in milliseconds since 1970.
    pub written: u64,
    /// When the provider was last told to begin.
    pub sent: Option<u64>,
    /// When nothing more was expected of it.
    pub closed: Option<u64>,
    /// Why it came to nothing, if so.
    pub why: Option<String>,
    /// The first of its attempts.
    first: i64,
    /// How many attempts it has.
    attempts: i64,
}

impl Batch {
    /// How many requests it has.
    #[must_use]
    pub const fn requests(&self) -> u64 {
        self.attempts.unsigned_abs()
    }

    /// The id of its last attempt.
    const fn last(&self) -> i64 {
        self.first.saturating_add(self.attempts - 1)
    }

    /// The batch of its columns, in their order, if its checksum is right.
    pub(super) fn of_values(id: i64, values: &[Value]) -> Option<Self> {
        let text = |at: usize| if let Some(Value::Text(text)) = values.get(at) { Some(text.clone()) } else { None };
        let number = |at: usize| if let Some(Value::Integer(number)) = values.get(at) { Some(*number) } else { None };
        let time = |at: usize| number(at).map(i64::cast_unsigned);
        let state = text(6)?;
        let batch = Self {
            id,
            name: text(1)?,
            protocol: text(2)?,
            url: text(3)?,
            first: number(4)?,
            attempts: number(5)?,
            state: BatchState::ALL.into_iter().find(|known| known.name() == state)?,
            file: text(7),
            remote: text(8),
            written: time(9)?,
            sent: time(10),
            closed: time(11),
            why: text(12),
        };
        matches!(values.get(13), Some(Value::Blob(sum)) if batch.sum() == sum[..]).then_some(batch)
    }

    pub(super) fn sound(row: &rusqlite::Row<'_>) -> Option<Self> {
        let values: Result<Vec<Value>, _> = (0..14).map(|column| row.get(column)).collect();
        Self::of_values(row.get(0).ok()?, &values.ok()?)
    }

    fn sum(&self) -> [u8; 16] {
        let bytes = |text: &Option<String>| text.as_ref().map(|text| text.as_bytes().to_vec());
        let time = |time: Option<u64>| time.map(|time| time.to_le_bytes().to_vec());
        let fields = [
            Some(self.id.to_le_bytes().to_vec()),
            Some(self.name.as_bytes().to_vec()),
            Some(self.protocol.as_bytes().to_vec()),
            Some(self.url.as_bytes().to_vec()),
            Some(self.first.to_le_bytes().to_vec()),
            Some(self.attempts.to_le_bytes().to_vec()),
            Some(self.state.name().as_bytes().to_vec()),
            bytes(&self.file),
            bytes(&self.remote),
            time(Some(self.written)),
            time(self.sent),
            time(self.closed),
            bytes(&self.why),
        ];
        checksum(&fields.each_ref().map(Option::as_deref))
    }
}

/// One request of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// The attempt.
    pub id: i64,
    /// The body as it is sent.
    pub body: String,
    /// When it was written, in milliseconds since 1970.
    pub written: u64,
    /// Whether its answer is in the store.
    pub is_ended: bool,
}

/// A batch that is about to be made.
pub(super) struct NewBatch {
    pub protocol: &'static str,
    pub url: String,
    pub attempts: Vec<Attempt>,
    pub written: u64,
}

/// The table, which came with the second version of the file.
pub(super) const TABLE: &str = "
    CREATE TABLE batch (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        protocol TEXT NOT NULL,
        url TEXT NOT NULL,
        first_attempt INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        state TEXT NOT NULL,
        file TEXT,
        remote TEXT,
        written_ms INTEGER NOT NULL,
        sent_ms INTEGER,
        closed_ms INTEGER,
        why TEXT,
        sum BLOB NOT NULL
    );
";

impl Store {
    /// Keeps that these attempts are about to be sent together.
    ///
    /// # Errors
    /// [`StoreError::Write`]: do not send them.
    pub async fn begin_batch(
        &self,
        protocol: &'static str,
        url: &str,
        attempts: Vec<Attempt>,
        written: u64,
    ) -> Result<Batch, StoreError> {
        self.writer.begin_batch(NewBatch { protocol, url: url.to_owned(), attempts, written }).await
    }

    /// Keeps how far a batch has come.
    ///
    /// # Errors
    /// [`StoreError::Write`]: go no further.
    pub async fn keep_batch(&self, batch: &Batch) -> Result<(), StoreError> {
        self.writer.keep_batch(batch.clone(), None).await
    }

    /// Keeps that nothing more is expected of a batch; `rest` became of the requests without an answer.
    ///
    /// # Errors
    /// [`StoreError::Write`].
    pub async fn close_batch(&self, batch: &Batch, rest: Outcome) -> Result<(), StoreError> {
        self.writer.keep_batch(batch.clone(), Some(rest)).await
    }

    /// All batches, in the order in which they were made.
    ///
    /// # Errors
    /// [`StoreError::Read`].
    pub fn batches(&self) -> Result<Vec<Batch>, StoreError> {
        self.reading(all)
    }

    /// Whether a request with this key is in a batch whose answers are still to come.
    ///
    /// # Errors
    /// [`StoreError::Read`].
    pub fn waits(&self, key: &Key) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM attempt WHERE key = ?1 AND outcome IS NULL AND latency_ms IS NULL
            AND EXISTS (SELECT 1 FROM batch WHERE state IN ('creating', 'created')
                AND attempt.id BETWEEN first_attempt AND first_attempt + attempts - 1))";
        self.reading(|reader| reader.prepare_cached(sql)?.query_row([&key.0[..]], |row| row.get(0)))
    }

    /// The request of a batch that has this key.
    ///
    /// # Errors
    /// [`StoreError::Read`].
    pub fn member(&self, batch: &Batch, key: &Key) -> Result<Option<Member>, StoreError> {
        let sql = "SELECT * FROM attempt WHERE key = ?1 AND id BETWEEN ?2 AND ?3";
        let row = self.reading(|reader| {
            let mut statement = reader.prepare_cached(sql)?;
            statement.query_row(params![key.0, batch.first, batch.last()], |row| Ok(Row::sound(row))).optional()
        })?;
        Ok(row.flatten().map(|row| Member {
            id: row.id,
            body: row.request,
            written: row.sent.cast_unsigned(),
            is_ended: row.latency.is_some(),
        }))
    }

    /// Hands the key and the body of every request of a batch to `take`, in their order.
    ///
    /// # Errors
    /// [`StoreError::Read`], also if one differs from its checksum.
    pub fn members(&self, batch: &Batch, mut take: impl FnMut(&Key, &str)) -> Result<(), StoreError> {
        self.reading(|reader| {
            let mut statement =
                reader.prepare_cached("SELECT * FROM attempt WHERE id BETWEEN ?1 AND ?2 ORDER BY id")?;
            let mut rows = statement.query(params![batch.first, batch.last()])?;
            while let Some(row) = rows.next()? {
                let row = Row::sound(row).ok_or(rusqlite::Error::InvalidQuery)?;
                let key = row.key.try_into().map_err(|_| rusqlite::Error::InvalidQuery)?;
                take(&Key(key), &row.request);
            }
            Ok(())
        })
    }

    /// Hands the latest replies in a protocol to `take`, as the request's body, the status and the reply's body; the
    /// last one first, until `take` says that it has enough, and at most `most`.
    ///
    /// # Errors
    /// [`StoreError::Read`].
    pub fn latest(
        &self,
        protocol: &str,
        most: u32,
        mut take: impl FnMut(&str, u16, &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        self.reading(|reader| {
            let sql = "SELECT * FROM attempt WHERE protocol = ?1 AND status IS NOT NULL ORDER BY id DESC LIMIT ?2";
            let mut statement = reader.prepare_cached(sql)?;
            let mut rows = statement.query(params![protocol, most])?;
            while let Some(row) = rows.next()? {
                let Some(Row { request, status: Some(status), body: Some(body), .. }) = Row::sound(row) else {
                    continue;
                };
                if take(&request, status, &body) {
                    break;
                }
            }
            Ok(())
        })
    }

    pub(super) fn reading<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        read(&reader).map_err(|error| StoreError::Read { path: self.path.clone(), why: error.to_string() })
    }
}

/// All batches; damaged ones are left out.
pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<Batch>> {
    let mut statement = connection.prepare_cached("SELECT * FROM batch ORDER BY id")?;
    let batches = statement.query_map([], |row| Ok(Batch::sound(row)))?;
    batches.filter_map(Result::transpose).collect()
}

/// Gives up what was never begun; the ranges of attempts of which the provider has, or may have, the rest.
pub(super) fn settle(connection: &Connection) -> rusqlite::Result<Vec<std::ops::RangeInclusive<i64>>> {
    let mut open = Vec::new();
    for mut batch in all(connection)? {
        if batch.state < BatchState::Creating {
            batch.state = BatchState::GivenUp;
            batch.why = Some("interrupted before it was begun".to_owned());
            keep(connection, &batch, Some(Outcome::Failed))?;
        } else if batch.state.is_open() {
            open.push(batch.first..=batch.last());
        }
    }
    Ok(open)
}

pub(super) fn begin(connection: &Connection, new: NewBatch) -> rusqlite::Result<Batch> {
    let NewBatch { protocol, url, attempts, written } = new;
    let first = writer::next(connection)?;
    let count = i64::try_from(attempts.len()).unwrap_or(i64::MAX);
    let keys: Vec<String> = attempts.iter().map(|attempt| attempt.key.to_string()).collect();
    let name = Key::of(&(protocol, &url, written, keys)).to_string();
    for (id, attempt) in (first..).zip(attempts) {
        writer::insert(connection, &Row::begun(id, attempt))?;
    }
    let id = connection.query_row("SELECT coalesce(max(id), 0) + 1 FROM batch", [], |row| row.get(0))?;
    let batch = Batch {
        id,
        name,
        protocol: protocol.to_owned(),
        url,
        first,
        attempts: count,
        state: BatchState::Written,
        file: None,
        remote: None,
        written,
        sent: None,
        closed: None,
        why: None,
    };
    insert(connection, &batch)?;
    Ok(batch)
}

/// Writes how far a batch has come, and what became of its requests without an answer once nothing more is expected.
pub(super) fn keep(connection: &Connection, batch: &Batch, rest: Option<Outcome>) -> rusqlite::Result<()> {
    insert(connection, batch)?;
    let Some(rest) = rest else { return Ok(()) };
    let sql = "SELECT id FROM attempt WHERE id BETWEEN ?1 AND ?2 AND outcome IS NULL AND latency_ms IS NULL";
    let mut statement = connection.prepare_cached(sql)?;
    let ids: Vec<i64> =
        statement.query_map([batch.first, batch.last()], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    ids.into_iter().try_for_each(|id| writer::note(connection, id, rest, None))
}

/// Writes a batch, in the place of an earlier row of its id.
pub(super) fn insert(connection: &Connection, batch: &Batch) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO batch VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    let Batch { id, name, protocol, url, first, attempts, state, file, remote, written, sent, closed, why } = batch;
    let time = |time: u64| time.cast_signed();
    let (written, sent, closed) = (time(*written), sent.map(time), closed.map(time));
    let values = params![
        id,
        name,
        protocol,
        url,
        first,
        attempts,
        state.name(),
        file,
        remote,
        written,
        sent,
        closed,
        why,
        batch.sum()
    ];
    connection.prepare_cached(sql)?.execute(values).map(drop)
}
