//! Commits that stand in the table `pending` and in no other table yet.
//!
//! Records and history are two dozen b-trees, and a commit touches most of them: to write a page of each, twice, is
//! most of what a commit costs, and whoever waits for it waits for that. So a commit is one row of `pending`, which
//! is all that makes it durable; and many are brought to the other tables together, in one transaction that also
//! deletes them here. What a later commit has written anew by then is left out. A batch that is large goes to the
//! other tables at once, unless they can't be written.
//!
//! That is done before anybody reads lists of records or of history: such a read waits for it ([`Folded`]), so nobody
//! decides by tables that are behind; before there are too many; and before the store is closed. Where the disk takes
//! no more, the writer folds them for that read only, in a transaction that it rolls back. What is asked for by its
//! key is found without that.
//!
//! If we die before a fold is committed, it is done again by the next start, from the table; after it, the rows are
//! gone with it. A fold that fails, for instance because the disk is full, is tried again: meanwhile commits
//! go on until there are [`FULL`] times as many as are folded, and are refused then with its reason.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::types::Type;
use rusqlite::{Connection, ffi};
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};

use super::number;
use super::readers::{ReadError, Readers};
use super::work::{Failure, Rest, State, Work};
use crate::engine::machine::{Key, Record, Write};
use crate::store::history::fold;

/// From so many writes on they are folded, or so many bytes of them.
const WRITES: usize = 512;
const BYTES: usize = 512 << 10;
/// Times as many are refused.
const FULL: usize = 4;
/// A batch of so many writes, or of so many bytes as above, goes to all tables at once: it gains less by being folded
/// with others than it costs to write it once more.
const MANY: usize = 128;

/// The writes of one commit, and their text.
#[derive(Debug)]
pub(super) struct Logged {
    writes: Arc<[Write]>,
    rows: Vec<Row>,
    text: String,
}

/// A key, and where its value stands in the text.
#[derive(Debug)]
struct Row {
    key: String,
    value: Option<Range<usize>>,
}

impl Logged {
    /// Writes them as JSON. Err names the key that has none.
    pub(super) fn of(writes: Arc<[Write]>) -> Result<Self, String> {
        let mut text = vec![b'['];
        let mut rows = Vec::with_capacity(writes.len());
        for write in &*writes {
            let key = write.key.to_string();
            let failed = |error: serde_json::Error| format!("{key} can't be encoded: {error}");
            text.extend_from_slice(if text.len() > 1 { b",[" } else { b"[" });
            serde_json::to_writer(&mut text, &key).map_err(failed)?;
            text.push(b',');
            let from = text.len();
            serde_json::to_writer(&mut text, &write.value).map_err(failed)?;
            let value = write.value.is_some().then_some(from..text.len());
            text.push(b']');
            rows.push(Row { key, value });
        }
        text.push(b']');
        let text = String::from_utf8(text).map_err(|error| error.to_string())?;
        Ok(Self { writes, rows, text })
    }

    /// What the table has.
    fn parse(text: &str) -> Result<Self, String> {
        let pairs: Vec<(String, Option<&RawValue>)> =
            serde_json::from_str(text).map_err(|error| error.to_string())?;
        let mut writes = Vec::with_capacity(pairs.len());
        for (key, value) in pairs {
            let parsed = Key::parse(&key).ok_or_else(|| format!("{key}: this version knows no such key"))?;
            let value = value.map(|value| serde_json::from_str::<Record>(value.get())).transpose();
            let value = value.map_err(|error| format!("{key}: {error}"))?;
            writes.push(Write { key: parsed, value });
        }
        Self::of(writes.into())
    }

    /// What it takes, bytes.
    pub(super) fn bytes(&self) -> usize {
        self.text.len()
    }

    pub(super) fn writes(&self) -> &[Write] {
        &self.writes
    }

    fn each(&self) -> impl DoubleEndedIterator<Item = (&Write, &str, Option<&str>)> {
        self.writes
            .iter()
            .zip(&self.rows)
            .map(|(write, row)| (write, row.key.as_str(), row.value.clone().map(|at| &self.text[at])))
    }
}

/// What is pending about a record or a row.
pub(in crate::store) enum Said<T> {
    /// It is this.
    There(T),
    /// It was deleted.
    Gone,
    /// Nothing: the table is right about it.
    Nothing,
}

/// Those of one store. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Pending(Arc<Mutex<Commits>>);

/// By revision, and how much they are.
#[derive(Debug, Default)]
struct Commits {
    all: Vec<(u64, Arc<Logged>)>,
    writes: usize,
    bytes: usize,
    /// Why they could not be folded the last time.
    failure: Option<String>,
}

impl Commits {
    fn push(&mut self, revision: u64, logged: Arc<Logged>) {
        self.writes += logged.rows.len();
        self.bytes += logged.text.len();
        self.all.push((revision, logged));
    }

    fn are_many(&self, times: usize) -> bool {
        self.writes >= WRITES * times || self.bytes >= BYTES * times
    }
}

impl Pending {
    /// What the table has.
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let pending = Self::default();
        pending.reload(connection)?;
        Ok(pending)
    }

    /// Forgets what it has, and takes what the table has.
    pub(super) fn reload(&self, connection: &Connection) -> rusqlite::Result<()> {
        let sql = "SELECT revision, writes FROM pending ORDER BY revision";
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query([])?;
        let mut found = Commits::default();
        while let Some(row) = rows.next()? {
            let revision = row.get::<_, i64>(0)?.cast_unsigned();
            let logged = Logged::parse(row.get_ref(1)?.as_str()?).map_err(|why| {
                let what = format!("commit {revision} can't be understood: {why}");
                rusqlite::Error::FromSqlConversionFailure(1, Type::Text, what.into())
            })?;
            found.push(revision, Arc::new(logged));
        }
        let mut commits = self.lock();
        found.failure = commits.failure.take();
        *commits = found;
        Ok(())
    }

    /// They could not be folded.
    pub(super) fn fail(&self, why: String) {
        self.lock().failure = Some(why);
    }

    /// Whether a batch of so many writes, of so many bytes, goes to all tables at once.
    pub(super) fn is_large(writes: usize, bytes: usize) -> bool {
        writes >= MANY || bytes >= BYTES
    }

    /// It is committed.
    pub(super) fn learn(&self, revision: u64, logged: Arc<Logged>) {
        self.lock().push(revision, logged);
    }

    /// All of them are in the other tables.
    pub(super) fn clear(&self) {
        *self.lock() = Commits::default();
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().all.is_empty()
    }

    /// Whether they are to be folded.
    pub(super) fn are_many(&self) -> bool {
        self.lock().are_many(1)
    }

    /// What the newest write says that `about` finds to say something.
    fn newest<T: Clone>(&self, about: impl Fn(&Write) -> Said<&T>) -> Said<T> {
        let commits = self.lock();
        for write in commits.all.iter().rev().flat_map(|(_, logged)| logged.writes.iter().rev()) {
            match about(write) {
                Said::There(row) => return Said::There(row.clone()),
                Said::Gone => return Said::Gone,
                Said::Nothing => {}
            }
        }
        Said::Nothing
    }

    /// Brings all of them to the other tables.
    pub(super) fn fold(&self, connection: &Connection) -> rusqlite::Result<()> {
        let commits = self.lock().all.clone();
        let Some(newest) = commits.last().map(|(revision, _)| *revision) else { return Ok(()) };
        bring(connection, newest, standing(&commits).into_iter())?;
        connection.prepare_cached("DELETE FROM pending WHERE revision <= ?1")?.execute([number(newest)])?;
        Ok(())
    }

    /// Writes a commit, and gives it the next revision.
    pub(super) fn write(
        &self,
        connection: &Connection,
        state: &mut State,
        logged: &Logged,
    ) -> rusqlite::Result<u64> {
        let revision = state.revision + 1;
        self.refuse_too_many()?;
        if state.at_once {
            bring(connection, revision, logged.each())?;
        } else {
            let sql = "INSERT INTO pending (revision, writes) VALUES (?1, ?2)";
            connection.prepare_cached(sql)?.execute((number(revision), &logged.text))?;
        }
        state.revision = revision;
        Ok(revision)
    }

    fn refuse_too_many(&self) -> rusqlite::Result<()> {
        let commits = self.lock();
        match &commits.failure {
            Some(why) if commits.are_many(FULL) => {
                let why = format!("the last commits can't be folded: {why}");
                Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_ERROR), Some(why)))
            }
            _ => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Commits> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What has to be done for these commits, in their order: of what was written under a key more than once,
/// the last. Where a row is deleted nothing is left out, since what that does depends on the rows there are.
fn standing(commits: &[(u64, Arc<Logged>)]) -> Vec<(&Write, &str, Option<&str>)> {
    let each = || commits.iter().flat_map(|(_, logged)| logged.each());
    if each().any(|(write, ..)| fold::deletes(write)) {
        return each().collect();
    }
    let mut later = HashSet::new();
    let mut left: Vec<_> = each().rev().filter(|(_, key, _)| later.insert(*key)).collect();
    left.reverse();
    left
}

/// Brings writes to records and history, which then have all up to `revision`.
fn bring<'write>(
    connection: &Connection,
    revision: u64,
    writes: impl Iterator<Item = (&'write Write, &'write str, Option<&'write str>)>,
) -> rusqlite::Result<()> {
    for (write, key, value) in writes {
        put(connection, key, value)?;
        fold::apply(connection, write, value)?;
    }
    connection.prepare_cached("UPDATE state SET revision = ?1")?.execute([number(revision)])?;
    Ok(())
}

fn put(connection: &Connection, key: &str, value: Option<&str>) -> rusqlite::Result<()> {
    if let Some(value) = value {
        let sql = "INSERT INTO records (key, value) VALUES (?1, ?2)
                   ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        connection.prepare_cached(sql)?.execute((key, value))?;
    } else {
        connection.prepare_cached("DELETE FROM records WHERE key = ?1")?.execute([key])?;
    }
    Ok(())
}

/// Asks the writer to fold what is pending, for one who wants to read.
struct Settle<T, R> {
    read: R,
    /// What was read, or why nothing could be, where it is not folded.
    found: Option<Result<T, ReadError>>,
    told: oneshot::Sender<Settled<T, R>>,
}

/// What came of it.
enum Settled<T, R> {
    /// All is in the tables, for this to be read there.
    Folded(R),
    /// It was read ahead.
    Ahead(Result<T, ReadError>),
}

impl<T: Send, R: Fn(&Connection) -> Result<T, ReadError> + Send> Work for Settle<T, R> {
    fn bytes(&self) -> usize {
        0
    }

    fn carry_out(&mut self, _: &Connection, _: &mut State) -> rusqlite::Result<()> {
        Ok(())
    }

    fn settles(&self) -> bool {
        true
    }

    fn read_ahead(&mut self, tables: Result<&Connection, &str>) {
        let read = tables.map_err(|why| ReadError::Behind(why.to_owned())).and_then(&self.read);
        self.found = Some(read);
    }

    /// Carries the answers of no others: whoever reads may be one who is not looked after while something else is
    /// waited for. Nor does it matter what became of the others.
    fn answer(self: Box<Self>, _: Result<(), Failure>, rest: Rest) {
        drop(rest);
        let Self { read, found, told } = *self;
        // Who asked may have gone.
        told.send(found.map_or_else(|| Settled::Folded(read), Settled::Ahead)).ok();
    }
}

/// Readers of records and history, which see all that was committed before they asked.
#[derive(Debug, Clone)]
pub(in crate::store) struct Folded {
    readers: Readers,
    pending: Pending,
    // Weak, or whoever reads would keep the writer from ending.
    queue: mpsc::WeakSender<Box<dyn Work>>,
}

impl Folded {
    pub(super) fn new(readers: Readers, pending: Pending, queue: &mpsc::Sender<Box<dyn Work>>) -> Self {
        Self { readers, pending, queue: queue.downgrade() }
    }

    /// Runs `read` on a blocking thread, once what is pending is folded.
    pub(in crate::store) async fn with<T: Send + 'static>(
        &self,
        read: impl Fn(&Connection) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        if self.pending.is_empty() {
            return self.readers.with(read).await;
        }
        match self.settle(read).await {
            Some(Settled::Folded(read)) => self.readers.with(read).await,
            Some(Settled::Ahead(found)) => found,
            None => Err(ReadError::Behind("the store has ended".to_owned())),
        }
    }

    /// One row, for which nothing is folded: what `about` finds in a write that is pending, or else what `read` finds.
    pub(in crate::store) async fn one<T: Clone + Send + 'static>(
        &self,
        about: impl Fn(&Write) -> Said<&T>,
        read: impl FnOnce(&Connection) -> Result<Option<T>, ReadError> + Send + 'static,
    ) -> Result<Option<T>, ReadError> {
        match self.pending.newest(about) {
            Said::There(row) => Ok(Some(row)),
            Said::Gone => Ok(None),
            Said::Nothing => self.readers.with(read).await,
        }
    }

    /// Asks for what is pending to be folded. `None` where the store has ended, and nobody is there to do it.
    async fn settle<T: Send + 'static, R>(&self, read: R) -> Option<Settled<T, R>>
    where
        R: Fn(&Connection) -> Result<T, ReadError> + Send + 'static,
    {
        let (told, settled) = oneshot::channel();
        let queue = self.queue.upgrade()?;
        queue.send(Box::new(Settle { read, found: None, told })).await.ok()?;
        // Or the store would wait for this one to be closed.
        drop(queue);
        settled.await.ok()
    }
}
