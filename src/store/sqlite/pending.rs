//! Commits that stand in the table `pending` and in no other table yet.
//!
//! Records and history are two dozen b-trees, and a commit touches most of them: to write a page of each, twice, is
//! most of what a commit costs, and whoever waits for it waits for that. So a commit is one row of `pending`, which
//! is all that makes it durable; and many are brought to the other tables together, in one transaction that also
//! deletes them here. What a later commit has written anew by then is left out. A batch that is large goes to the
//! other tables at once.
//!
//! That is done before anybody reads records or history, so nobody sees a table that is behind ([`Folded`]); before
//! there are too many; and before the store is closed. A record that is asked for by its key is found without that.
//!
//! If we die before a fold is committed, it is done again by the next start, from the table; after it, the rows are
//! gone with it. A fold that fails, for instance because the disk is full, is tried again: meanwhile commits
//! go on until there are [`FULL`] times as many as are folded, and are refused then with its reason.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use rusqlite::types::Type;
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};

use super::number;
use super::readers::{ReadError, Readers};
use super::writer::{Failure, Reply, Rest, State, Work};
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

/// What is pending about a key.
pub(super) enum Said {
    /// This was put under it last.
    There((Key, Record)),
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
        *self.lock() = found;
        Ok(())
    }

    /// Whether a batch of so many writes, of so many bytes, goes to all tables at once.
    pub(super) fn is_large(writes: usize, bytes: usize) -> bool {
        writes >= MANY || bytes >= BYTES
    }

    /// It is committed.
    pub(super) fn learn(&self, revision: u64, logged: Arc<Logged>) {
        self.lock().push(revision, logged);
    }

    /// All up to the revision `folded` are in the other tables.
    pub(super) fn forget(&self, folded: u64) {
        let mut commits = self.lock();
        let left = std::mem::take(&mut *commits).all.into_iter();
        for (revision, logged) in left.filter(|(revision, _)| *revision > folded) {
            commits.push(revision, logged);
        }
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().all.is_empty()
    }

    /// Whether it is time to fold them.
    pub(super) fn are_many(&self) -> bool {
        self.lock().are_many(1)
    }

    /// What these say of `key`.
    pub(super) fn get(&self, key: &str) -> Said {
        let commits = self.lock();
        let mut newest_first = commits.all.iter().rev().flat_map(|(_, logged)| logged.each().rev());
        let Some((write, ..)) = newest_first.find(|(_, found, _)| *found == key) else {
            return Said::Nothing;
        };
        write.value.as_ref().map_or(Said::Gone, |record| Said::There((write.key.clone(), record.clone())))
    }

    /// Brings those after `state.folded` to the other tables.
    pub(super) fn fold(&self, connection: &Connection, state: &mut State) -> rusqlite::Result<()> {
        let folded = state.folded;
        let commits: Vec<_> =
            self.lock().all.iter().filter(|(revision, _)| *revision > folded).cloned().collect();
        let Some(newest) = commits.last().map(|(revision, _)| *revision) else { return Ok(()) };
        for (write, key, value) in standing(&commits) {
            put(connection, key, value)?;
            fold::apply(connection, write, value)?;
        }
        connection.prepare_cached("UPDATE state SET revision = ?1")?.execute([number(newest)])?;
        connection.prepare_cached("DELETE FROM pending WHERE revision <= ?1")?.execute([number(newest)])?;
        state.folded = newest;
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
        if state.at_once || self.lock().are_many(FULL) {
            self.fold(connection, state)?;
        }
        if state.at_once {
            for (write, key, value) in logged.each() {
                put(connection, key, value)?;
                fold::apply(connection, write, value)?;
            }
            connection.prepare_cached("UPDATE state SET revision = ?1")?.execute([number(revision)])?;
            state.folded = revision;
        } else {
            let sql = "INSERT INTO pending (revision, writes) VALUES (?1, ?2)";
            connection.prepare_cached(sql)?.execute((number(revision), &logged.text))?;
        }
        state.revision = revision;
        Ok(revision)
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

/// Folds what is pending, for one who wants to read.
struct Settle {
    pending: Pending,
    reply: oneshot::Sender<Reply<Result<(), String>>>,
}

impl Work for Settle {
    fn bytes(&self) -> usize {
        0
    }

    fn carry_out(&mut self, connection: &Connection, state: &mut State) -> rusqlite::Result<()> {
        self.pending.fold(connection, state)
    }

    fn answer(self: Box<Self>, outcome: Result<(), Failure>, rest: Rest) {
        let answer = outcome.map_err(|failure| match failure {
            Failure::NotWritten(why) | Failure::Unknown(why) => why,
        });
        // Who asked may have gone.
        self.reply.send((answer, rest)).ok();
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

    /// Runs `read` on a blocking thread, once what is pending is folded. Where that fails, it reads what is there.
    pub(in crate::store) async fn with<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        if !self.pending.is_empty()
            && let Some(Err(why)) = self.settle().await
        {
            tracing::warn!(%why, "what is read may be behind: the last commits can't be folded");
        }
        self.readers.with(read).await
    }

    /// `None` where the store is closed: it has folded all by then.
    async fn settle(&self) -> Option<Result<(), String>> {
        let (reply, answer) = oneshot::channel();
        let work = Settle { pending: self.pending.clone(), reply };
        self.queue.upgrade()?.send(Box::new(work)).await.ok()?;
        answer.await.ok().map(|(answer, _rest)| answer)
    }
}
