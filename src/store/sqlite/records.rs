//! The records in SQL: lead, commit, get, scan.

use std::collections::BTreeSet;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _};
use tokio::sync::oneshot;

use super::keys::Keys;
use super::number;
use super::pending::{Logged, Pending, Said};
use super::readers::ReadError;
use super::work::{Failure, Reply, Rest, State, Work};
use crate::engine::event::Millis;
use crate::engine::machine::{Key, Record, Write};
use crate::store::records::{CommitError, Fence, RecordsError};

/// A new term.
pub(super) struct Lead {
    who: String,
    now: Millis,
    term: u64,
    reply: oneshot::Sender<Reply<Result<Fence, RecordsError>>>,
}

impl Lead {
    /// A term for `who`, from `now` on.
    pub(super) fn new(
        who: &str,
        now: Millis,
    ) -> (Self, oneshot::Receiver<Reply<Result<Fence, RecordsError>>>) {
        let (reply, answer) = oneshot::channel();
        (Self { who: who.to_owned(), now, term: 0, reply }, answer)
    }
}

impl Work for Lead {
    fn bytes(&self) -> usize {
        self.who.len()
    }

    fn carry_out(&mut self, connection: &Connection, state: &mut State) -> rusqlite::Result<()> {
        state.term += 1;
        self.term = state.term;
        connection.prepare_cached("UPDATE state SET term = ?1, leader = ?2, leads_since = ?3")?.execute((
            number(state.term),
            &self.who,
            self.now,
        ))?;
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), Failure>, rest: Rest) {
        let answer = match outcome {
            Ok(()) => Ok(Fence { term: self.term }),
            Err(failure) => Err(RecordsError::Unavailable(failure.why().to_owned())),
        };
        // Who asked may have gone; the term has begun all the same.
        self.reply.send((answer, rest)).ok();
    }
}

/// A write after which all is as before.
pub(super) struct Probe {
    reply: oneshot::Sender<Reply<()>>,
}

impl Probe {
    /// A probe, answered whatever comes of it: the writer tells how it went.
    pub(super) fn new() -> (Self, oneshot::Receiver<Reply<()>>) {
        let (reply, answer) = oneshot::channel();
        (Self { reply }, answer)
    }
}

impl Work for Probe {
    fn bytes(&self) -> usize {
        0
    }

    fn carry_out(&mut self, connection: &Connection, _: &mut State) -> rusqlite::Result<()> {
        // What is the same as before is not written at all.
        connection.execute("UPDATE state SET revision = revision + 1", [])?;
        connection.execute("UPDATE state SET revision = revision - 1", []).map(|_| ())
    }

    fn answer(self: Box<Self>, _: Result<(), Failure>, rest: Rest) {
        // Who asked may have gone.
        self.reply.send(((), rest)).ok();
    }
}

/// Gives free pages back.
pub(super) struct Vacuum {
    pages: u32,
    page_size: u32,
    freed: bool,
    reply: oneshot::Sender<Reply<bool>>,
}

impl Vacuum {
    /// Up to so many, each of so many bytes.
    pub(super) fn new(pages: u32, page_size: u32) -> (Self, oneshot::Receiver<Reply<bool>>) {
        let (reply, answer) = oneshot::channel();
        (Self { pages, page_size, freed: false, reply }, answer)
    }
}

impl Work for Vacuum {
    fn bytes(&self) -> usize {
        self.pages as usize * self.page_size as usize
    }

    fn carry_out(&mut self, connection: &Connection, _: &mut State) -> rusqlite::Result<()> {
        let free = || connection.pragma_query_value(None, "freelist_count", |row| row.get::<_, i64>(0));
        let before = free()?;
        // A page goes with each step.
        let mut vacuum = connection.prepare(&format!("PRAGMA incremental_vacuum({})", self.pages))?;
        let mut rows = vacuum.query([])?;
        while rows.next()?.is_some() {}
        self.freed = free()? < before;
        Ok(())
    }

    fn checkpoints(&self) -> bool {
        self.freed
    }

    fn answer(self: Box<Self>, outcome: Result<(), Failure>, rest: Rest) {
        // Who asked may have gone.
        self.reply.send((self.freed && outcome.is_ok(), rest)).ok();
    }
}

/// What a commit answers: its revision.
type Answer = Result<u64, CommitError>;

/// Writes of one commit.
pub(super) struct Commit {
    term: u64,
    logged: Arc<Logged>,
    keys: Keys,
    pending: Pending,
    removed: BTreeSet<u64>,
    revision: Answer,
    reply: oneshot::Sender<Reply<Answer>>,
}

impl Commit {
    /// Encodes the writes, on the caller's thread.
    pub(super) fn new(
        fence: &Fence,
        writes: Arc<[Write]>,
        keys: &Keys,
        pending: &Pending,
    ) -> Result<(Self, oneshot::Receiver<Reply<Answer>>), CommitError> {
        let logged = Arc::new(Logged::of(writes).map_err(CommitError::Unavailable)?);
        let (reply, answer) = oneshot::channel();
        let (keys, pending) = (keys.clone(), pending.clone());
        let (removed, revision) = (BTreeSet::new(), Ok(0));
        Ok((Self { term: fence.term, logged, keys, pending, removed, revision, reply }, answer))
    }
}

impl Work for Commit {
    fn bytes(&self) -> usize {
        self.logged.bytes()
    }

    fn carry_out(&mut self, connection: &Connection, state: &mut State) -> rusqlite::Result<()> {
        if self.term != state.term {
            self.revision = Err(CommitError::Fenced(state.term));
            return Ok(());
        }
        self.revision = Ok(self.pending.write(connection, state, &self.logged)?);
        self.removed.clear();
        for write in self.logged.writes() {
            if let (Key::Event(event), None) = (&write.key, &write.value)
                && let Some(position) = self.keys.remove(connection, event)?
            {
                let mut delete = connection.prepare_cached("DELETE FROM inbox WHERE seq = ?1")?;
                delete.execute([number(position)])?;
                self.removed.insert(position);
            }
        }
        Ok(())
    }

    fn writes(&self) -> usize {
        self.logged.writes().len()
    }

    fn take_removed(&mut self) -> BTreeSet<u64> {
        std::mem::take(&mut self.removed)
    }

    fn logged(&self) -> Option<(u64, Arc<Logged>)> {
        Some((*self.revision.as_ref().ok()?, Arc::clone(&self.logged)))
    }

    fn answer(self: Box<Self>, outcome: Result<(), Failure>, rest: Rest) {
        let answer = match outcome {
            Ok(()) => self.revision,
            Err(Failure::NotWritten(why)) => Err(CommitError::Unavailable(why)),
            Err(Failure::Unknown(why)) => Err(CommitError::Unknown(why)),
        };
        // Who asked may have gone; start-up folds what was written.
        self.reply.send((answer, rest)).ok();
    }
}

/// What a write says of the record under `key`.
pub(super) fn written<'write>(write: &'write Write, key: &Key) -> Said<&'write Record> {
    if write.key != *key {
        return Said::Nothing;
    }
    write.value.as_ref().map_or(Said::Gone, Said::There)
}

/// The record of this very key.
pub(super) fn get(connection: &Connection, key: &str) -> Result<Option<(Key, Record)>, ReadError> {
    let mut get = connection.prepare_cached("SELECT value FROM records WHERE key = ?1")?;
    let value = get.query_row([key], |row| row.get::<_, String>(0)).optional()?;
    value.map(|value| decode(key, &value)).transpose()
}

/// The record of this very key, or else all whose key starts with `prefix`, in order of keys.
pub(super) fn scan(connection: &Connection, prefix: &str) -> Result<Vec<(Key, Record)>, ReadError> {
    if let Some(found) = get(connection, prefix)? {
        return Ok(vec![found]);
    }
    let sql = "SELECT key, value FROM records WHERE key >= ?1 AND key < ?2 ORDER BY key";
    let mut range = connection.prepare_cached(sql)?;
    let end = format!("{prefix}{}", char::MAX);
    let mut rows = range.query([prefix, &end])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let text = |column| row.get_ref(column)?.as_str().map_err(rusqlite::Error::from);
        found.push(decode(text(0)?, text(1)?)?);
    }
    Ok(found)
}

fn decode(key: &str, value: &str) -> Result<(Key, Record), ReadError> {
    let corrupt = |message: String| ReadError::Corrupt { what: key.to_owned(), message };
    let parsed = Key::parse(key).ok_or_else(|| corrupt("this version knows no such key".to_owned()))?;
    let record = serde_json::from_str(value).map_err(|error| corrupt(error.to_string()))?;
    Ok((parsed, record))
}
