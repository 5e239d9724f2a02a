//! The one thread that writes. Whatever has come in while the last commit went to disk shares the next one.

use std::{
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, Sender, channel},
    thread::{self, JoinHandle},
};

use rusqlite::{Connection, params};
use tokio::sync::oneshot;

use super::{
    Attempt, Batch, Ended, Note, Outcome, Row, StoreError,
    batches::{self, NewBatch},
};
use crate::Usage;

/// The most commands that share a commit.
const SHARED: usize = 1024;

type Reply<T> = oneshot::Sender<Result<T, String>>;

enum Command {
    Begin(Attempt, Reply<i64>),
    End(i64, Ended, Reply<()>),
    Note(i64, Outcome, Option<Usage>),
    BeginBatch(NewBatch, Reply<Batch>),
    KeepBatch(Box<Batch>, Option<Outcome>, Reply<()>),
    Flush(Reply<()>),
}

/// The way to the thread.
pub(super) struct Writer {
    path: PathBuf,
    /// Gone once the store is dropped.
    commands: Option<Sender<Command>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub fn start(connection: Connection, path: &Path) -> std::io::Result<Self> {
        let (commands, inbox) = channel();
        let thread = thread::Builder::new().name("store".to_owned()).spawn(move || run(connection, &inbox))?;
        Ok(Self { path: path.to_owned(), commands: Some(commands), thread: Some(thread) })
    }

    pub async fn begin(&self, attempt: Attempt) -> Result<i64, StoreError> {
        self.ask(|reply| Command::Begin(attempt, reply)).await
    }

    pub async fn end(&self, id: i64, ended: Ended) -> Result<(), StoreError> {
        self.ask(|reply| Command::End(id, ended, reply)).await
    }

    pub async fn begin_batch(&self, batch: NewBatch) -> Result<Batch, StoreError> {
        self.ask(|reply| Command::BeginBatch(batch, reply)).await
    }

    pub async fn keep_batch(&self, batch: Batch, rest: Option<Outcome>) -> Result<(), StoreError> {
        self.ask(|reply| Command::KeepBatch(Box::new(batch), rest, reply)).await
    }

    pub async fn flush(&self) -> Result<(), StoreError> {
        self.ask(Command::Flush).await
    }

    pub fn note(&self, id: i64, outcome: Outcome, usage: Option<Usage>) {
        // If the thread is gone, the next one who waits hears of it.
        let _ = self.commands.as_ref().map(|commands| commands.send(Command::Note(id, outcome, usage)));
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, StoreError> {
        let failed = |why: String| StoreError::Write { path: self.path.clone(), why };
        let (reply, answer) = oneshot::channel();
        let sent = self.commands.as_ref().is_some_and(|commands| commands.send(command(reply)).is_ok());
        let gone = || failed("the writing thread is gone".to_owned());
        if !sent {
            return Err(gone());
        }
        answer.await.map_err(|_| gone())?.map_err(failed)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            // Its failures were said to those who waited.
            let _ = thread.join();
        }
    }
}

/// An answer that is given once the commit is on disk.
enum Owed {
    Begun(Reply<i64>, i64),
    /// Nothing if it could not be written.
    BegunBatch(Reply<Batch>, Option<Box<Batch>>),
    Done(Reply<()>),
}

impl Owed {
    fn pay(self, failure: Option<&str>) {
        // Nobody waits any more where a job was cut short.
        let _ = match self {
            Self::Begun(reply, id) => reply.send(failure.map_or(Ok(id), |why| Err(why.to_owned()))).map_err(drop),
            Self::BegunBatch(reply, batch) => {
                let batch = batch.filter(|_| failure.is_none()).map(|batch| *batch);
                reply.send(batch.ok_or_else(|| failure.unwrap_or_default().to_owned())).map_err(drop)
            }
            Self::Done(reply) => reply.send(failure.map_or(Ok(()), |why| Err(why.to_owned()))).map_err(drop),
        };
    }
}

fn run(mut connection: Connection, inbox: &Receiver<Command>) {
    // After one failure nothing is written any more: half of what follows might be.
    let mut failure: Option<String> = None;
    while let Ok(first) = inbox.recv() {
        let commands: Vec<Command> = std::iter::once(first).chain(inbox.try_iter().take(SHARED - 1)).collect();
        let mut owed = Vec::with_capacity(commands.len());
        if failure.is_some() {
            owe(commands, &mut owed);
        } else if let Err(error) = write(&mut connection, commands, &mut owed) {
            failure = Some(error.to_string());
        }
        for owed in owed {
            owed.pay(failure.as_deref());
        }
    }
    // Nothing is lost if this fails: the log is read again.
    let _ = connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
}

/// Writes all of it in one transaction.
fn write(connection: &mut Connection, commands: Vec<Command>, owed: &mut Vec<Owed>) -> rusqlite::Result<()> {
    let transaction = connection.transaction();
    let mut commands = commands.into_iter();
    let done = || -> rusqlite::Result<()> {
        let transaction = transaction?;
        for command in commands.by_ref() {
            match command {
                Command::Begin(attempt, reply) => {
                    let id = begin(&transaction, attempt);
                    owed.push(Owed::Begun(reply, id.as_ref().copied().unwrap_or_default()));
                    id?;
                }
                Command::End(id, ended, reply) => {
                    owed.push(Owed::Done(reply));
                    end(&transaction, id, ended)?;
                }
                Command::Note(id, outcome, usage) => note(&transaction, id, outcome, usage)?,
                Command::BeginBatch(batch, reply) => {
                    let begun = batches::begin(&transaction, batch);
                    owed.push(Owed::BegunBatch(reply, begun.as_ref().ok().cloned().map(Box::new)));
                    begun?;
                }
                Command::KeepBatch(batch, rest, reply) => {
                    owed.push(Owed::Done(reply));
                    batches::keep(&transaction, &batch, rest)?;
                }
                Command::Flush(reply) => owed.push(Owed::Done(reply)),
            }
        }
        transaction.commit()
    };
    let done = done();
    owe(commands, owed);
    done
}

/// Nothing is written; everybody is told.
fn owe(commands: impl IntoIterator<Item = Command>, owed: &mut Vec<Owed>) {
    owed.extend(commands.into_iter().filter_map(|command| match command {
        Command::Begin(_, reply) => Some(Owed::Begun(reply, 0)),
        Command::BeginBatch(_, reply) => Some(Owed::BegunBatch(reply, None)),
        Command::End(_, _, reply) | Command::KeepBatch(_, _, reply) | Command::Flush(reply) => Some(Owed::Done(reply)),
        Command::Note(..) => None,
    }));
}

/// The id of the next attempt. Ids of a batch are not given again, even where its rows are lost.
pub(super) fn next(connection: &Connection) -> rusqlite::Result<i64> {
    let sql = "SELECT 1 + max(coalesce((SELECT max(id) FROM attempt), 0),
        coalesce((SELECT max(first_attempt + attempts - 1) FROM batch), 0))";
    connection.prepare_cached(sql)?.query_row([], |row| row.get(0))
}

fn begin(connection: &Connection, attempt: Attempt) -> rusqlite::Result<i64> {
    let id = next(connection)?;
    insert(connection, &Row::begun(id, attempt))?;
    Ok(id)
}

fn end(connection: &Connection, id: i64, ended: Ended) -> rusqlite::Result<()> {
    let row =
        connection.prepare_cached("SELECT * FROM attempt WHERE id = ?1")?.query_row([id], |row| Ok(Row::sound(row)))?;
    let mut row = row.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    row.latency = Some(ended.latency.as_millis() as i64);
    row.status = ended.status;
    row.body = ended.status.map(|_| ended.body);
    row.error = ended.error;
    insert(connection, &row)
}

/// Writes a row, in the place of an earlier one of its id.
pub(super) fn insert(connection: &Connection, row: &Row) -> rusqlite::Result<()> {
    let sql =
        "INSERT OR REPLACE INTO attempt (id, key, protocol, sent_ms, request, latency_ms, status, body, error, sum)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    let Row { id, key, protocol, sent, request, latency, status, body, error, note: noted } = row;
    let values = params![id, key, protocol, sent, request, latency, status, body, error, row.sum()];
    connection.prepare_cached(sql)?.execute(values)?;
    noted.as_ref().map_or(Ok(()), |noted| insert_note(connection, *id, noted))
}

pub(super) fn note(connection: &Connection, id: i64, outcome: Outcome, usage: Option<Usage>) -> rusqlite::Result<()> {
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let usage = usage.map(|usage| [usage.input, usage.cached, usage.output].map(|tokens| Some(number(tokens))));
    let note = Note { outcome: outcome.name().to_owned(), usage: usage.unwrap_or_default() };
    insert_note(connection, id, &note)
}

fn insert_note(connection: &Connection, id: i64, note: &Note) -> rusqlite::Result<()> {
    let sql = "UPDATE attempt
        SET outcome = ?2, input_tokens = ?3, cached_tokens = ?4, output_tokens = ?5, note_sum = ?6 WHERE id = ?1";
    let [input, cached, output] = note.usage;
    connection.prepare_cached(sql)?.execute(params![id, note.outcome, input, cached, output, note.sum(id)]).map(drop)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{block_on, store};

    /// The disk is full in the middle of a job: what was acknowledged is there, and nothing is taken any more.
    #[test]
    fn after_a_failed_write_nothing_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let connection = store::connect(&path).unwrap_or_else(|unsound| panic!("{unsound}"));
        connection.pragma_update(None, "max_page_count", 40).unwrap();
        let writer = Writer::start(connection, &path).unwrap();
        let key = store::Key::of(&1);
        let attempt = || Attempt { key, protocol: "openai", body: "question".into(), sent: 1 };
        let mut kept = 0;
        let why = loop {
            assert!(kept < 1000, "the disk never gets full");
            let id = match block_on(writer.begin(attempt())) {
                Ok(id) => id,
                Err(error) => break error,
            };
            let ended =
                Ended { status: Some(200), body: vec![b'x'; 5000], error: None, latency: Duration::from_millis(1) };
            match block_on(writer.end(id, ended)) {
                Ok(()) => kept += 1,
                Err(error) => break error,
            }
        };
        assert!(why.to_string().contains("full"), "{why}");
        assert!(block_on(writer.begin(attempt())).is_err() && block_on(writer.flush()).is_err());
        drop(writer);
        let connection = store::connect(&path).unwrap_or_else(|unsound| panic!("{unsound}"));
        let sql = "SELECT count(*) FROM attempt WHERE length(body) = 5000";
        assert_eq!(connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap(), kept);
    }
}
