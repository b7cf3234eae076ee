//! The one thread that writes: takes everything that waits, writes it in one transaction, then hands it to
//! the `syncer`, which answers all.
//!
//! Commits of records are folded into their tables later, many at once: see `pending`.
//!
//! Work that is refused harms no other: the batch is then written again with a savepoint for each piece.
//! Nothing is answered before the commit is on disk. If we die before that, nobody was told that it was written, and
//! senders and dispatch come again; if we die after it and before an answer, a repeat is recognised
//! by its key, and dispatch folds the records anew. The log of writes is looked after between batches: see
//! `checkpointer`.

use std::collections::BTreeSet;
use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};
use tokio::sync::mpsc;

use super::arrivals::Arrivals;
use super::checkpointer::{Checkpointer, RoomError};
use super::keys::Keys;
use super::pending::{Logged, Pending};
use super::syncer::{Syncer, Written};
use super::transaction::Transaction;
use crate::store::history::changes::Row;
use crate::store::inbox::Stored;

const BATCH_WORKS: usize = 512;
const BATCH_BYTES: usize = 8 << 20;
/// How soon what could not be folded is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Something to write, with the one who waits for it.
pub(super) trait Work: Send {
    /// About how many bytes it writes.
    fn bytes(&self) -> usize;

    /// Writes it. An error undoes this work alone. May be asked again, after all was undone.
    fn carry_out(&mut self, connection: &Connection, state: &mut State) -> rusqlite::Result<()>;

    /// How many records it writes.
    fn writes(&self) -> usize {
        0
    }

    /// Whether what is pending is to be folded before it is answered.
    fn settles(&self) -> bool {
        false
    }

    /// The writes that it committed, and as which revision; asked once it is committed.
    fn logged(&self) -> Option<(u64, Arc<Logged>)> {
        None
    }

    /// The events that it wrote to the inbox; asked once it is committed.
    fn take_arrived(&mut self) -> Vec<Stored> {
        Vec::new()
    }

    /// Where events were that it took out of the inbox; asked once it is committed.
    fn take_removed(&mut self) -> BTreeSet<u64> {
        BTreeSet::new()
    }

    /// Whether what it wrote should go from the log of writes to the database at once, so that the file
    /// becomes shorter.
    fn checkpoints(&self) -> bool {
        false
    }

    /// Answers, once it is known whether it is durable; whoever takes the answer drops `rest`.
    fn answer(self: Box<Self>, outcome: Result<(), Failure>, rest: Rest);
}

/// An answer, and whom its taker answers.
pub(super) type Reply<T> = (T, Rest);

/// What waits for an answer, with its outcome.
pub(super) type Waiting = (Box<dyn Work>, Result<(), Failure>);

/// All of a batch but the first: answered when this is dropped, by the one who had the first answer. It
/// runs on a thread of the runtime, where waking another task costs a fraction of what it costs here.
#[derive(Default)]
pub(super) struct Rest(Vec<Waiting>);

impl Rest {
    /// Answers all.
    pub(super) fn answer(batch: impl Iterator<Item = Waiting>) {
        let mut batch = batch;
        if let Some((first, outcome)) = batch.next() {
            first.answer(outcome, Self(batch.collect()));
        }
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        for (work, outcome) in self.0.drain(..) {
            work.answer(outcome, Self::default());
        }
    }
}

/// Why work is not durable, or may not be.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// Nothing of it was written.
    NotWritten(String),
    /// The commit itself failed: it may be found after a crash.
    Unknown(String),
}

/// What the writer knows without asking the database; it is the only writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    /// The newest term.
    pub(super) term: u64,
    /// How many commits of records there were.
    pub(super) revision: u64,
    /// How many of these are in the tables of records and history: see [`Pending`].
    pub(super) folded: u64,
    /// Whether commits go to these tables at once.
    pub(super) at_once: bool,
    /// The newest position of the inbox.
    pub(super) arrived: u64,
}

impl State {
    /// What the database says.
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let sql = "SELECT term, coalesce((SELECT max(revision) FROM pending), revision), revision,
                   coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'inbox'), 0) FROM state";
        connection.query_row(sql, [], |row| {
            let number = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
            Ok(Self {
                term: number(0)?,
                revision: number(1)?,
                folded: number(2)?,
                at_once: false,
                arrived: number(3)?,
            })
        })
    }
}

/// What the writer keeps in memory for others to read.
pub(super) struct Memory {
    /// The newest keys of the inbox.
    pub(super) keys: Keys,
    /// Commits that are not folded yet.
    pub(super) pending: Pending,
    /// The newest events of the inbox.
    pub(super) arrivals: Arrivals,
}

/// What a batch changed in the inbox.
#[derive(Default)]
struct Inbox {
    arrived: Vec<Stored>,
    removed: BTreeSet<u64>,
}

/// The writer: its connection, and who goes on with what it wrote.
pub(super) struct Writer {
    // Ends first: what was handed to it is answered.
    syncer: Syncer,
    // Ends before the connection is closed: the last one to be closed checkpoints.
    checkpointer: Checkpointer,
    connection: Connection,
    state: State,
    memory: Memory,
    /// A write failed, and what was written could not be read since.
    stale: bool,
    /// When what is pending could not be folded the last time.
    failed: Option<Instant>,
    // Closed after the connection: see `Opened::database`.
    _database: Arc<File>,
}

impl Writer {
    /// A writer that goes on from `state`.
    pub(super) fn new(
        connection: Connection,
        database: Arc<File>,
        checkpointer: Checkpointer,
        syncer: Syncer,
        state: State,
        memory: Memory,
    ) -> Self {
        Self {
            syncer,
            checkpointer,
            connection,
            state,
            memory,
            stale: false,
            failed: None,
            _database: database,
        }
    }

    /// Writes what comes until nobody can send any more, or nothing can be brought to disk any more.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Box<dyn Work>>) {
        while let Some(first) = queue.blocking_recv() {
            let (written, inbox) = self.write(take_waiting(first, &mut queue));
            // Whoever is told of events runs at once, often on this very processor: the disk should be at work by then.
            let left = self.syncer.offer(written);
            self.memory.arrivals.learn(inbox.arrived);
            self.memory.arrivals.remove(&inbox.removed);
            if left.is_some_and(|written| !self.syncer.hand(written)) {
                return;
            }
            if self.memory.pending.are_many() {
                self.fold();
            }
            self.checkpointer.tend(&self.connection);
        }
        self.fold();
    }

    fn write(&mut self, mut batch: Vec<Box<dyn Work>>) -> (Written, Inbox) {
        match self.make_room().and_then(|()| self.commit(&mut batch)) {
            Ok((state, refused)) => {
                self.enter(state);
                let (mut changes, mut inbox) = (Vec::new(), Inbox::default());
                let written = batch.iter_mut().zip(&refused).filter(|(_, refused)| refused.is_none());
                for (work, _) in written {
                    inbox.arrived.extend(work.take_arrived());
                    inbox.removed.extend(work.take_removed());
                    if let Some((revision, logged)) = work.logged() {
                        let rows: Vec<Row> = logged.writes().iter().filter_map(Row::of).collect();
                        changes.extend((!rows.is_empty()).then_some((revision, rows)));
                        if revision > state.folded {
                            self.memory.pending.learn(revision, logged);
                        }
                    }
                }
                if refused.iter().any(Option::is_some) || batch.iter().any(|work| work.checkpoints()) {
                    self.checkpointer.copy(&self.connection);
                }
                let outcomes = refused.into_iter().map(|refused| refused.map_or(Ok(()), Err));
                let waiting = batch.into_iter().zip(outcomes).collect();
                (Written::Logged { state, changes, waiting }, inbox)
            }
            Err(failure) => {
                let found = match failure {
                    Failure::NotWritten(_) => None,
                    Failure::Unknown(_) => State::load(&self.connection).ok(),
                };
                self.recover(found);
                // Wins room in a log that is full.
                self.checkpointer.copy(&self.connection);
                (Written::Failed { failure, found, batch }, Inbox::default())
            }
        }
    }

    /// Brings what is pending to the tables, in a transaction of its own, so that no write is refused with it; not
    /// again at once where it failed.
    fn fold(&mut self) {
        if self.memory.pending.is_empty() || self.failed.is_some_and(|at| at.elapsed() < AGAIN) {
            return;
        }
        match self.try_fold() {
            Ok(state) => {
                self.enter(state);
                self.memory.pending.note(None);
                if self.failed.take().is_some() {
                    tracing::info!("the last commits are folded again");
                }
            }
            Err(error) => {
                let why = explain(&error);
                if self.failed.replace(Instant::now()).is_none() {
                    tracing::error!(%why, "the last commits can't be folded");
                }
                self.memory.pending.note(Some(why));
                if self.stale {
                    let found = State::load(&self.connection).ok();
                    self.recover(found);
                }
            }
        }
    }

    fn try_fold(&mut self) -> rusqlite::Result<State> {
        self.refresh()?;
        let mut state = self.state;
        let transaction = Transaction::begin(&mut self.connection)?;
        self.memory.pending.fold(&transaction, &mut state)?;
        // Until it is known whether it is committed.
        self.stale = true;
        transaction.commit()?;
        self.stale = false;
        Ok(state)
    }

    /// All up to here is committed.
    fn enter(&mut self, state: State) {
        if state.folded != self.state.folded {
            self.memory.pending.forget(state.folded);
        }
        self.state = state;
    }

    /// After a write that failed: what there really is, if that can be told.
    fn recover(&mut self, found: Option<State>) {
        self.state = found.unwrap_or(self.state);
        if let Err(error) = self.refresh() {
            tracing::debug!(%error, "what was written can't be read");
        }
        self.memory.arrivals.forget(self.state.arrived);
    }

    /// Reads again what memory may have wrong.
    fn refresh(&mut self) -> rusqlite::Result<()> {
        if self.stale {
            self.state = State::load(&self.connection)?;
            self.memory.keys.reload(&self.connection)?;
            self.memory.pending.reload(&self.connection)?;
            self.stale = false;
        }
        Ok(())
    }

    fn make_room(&mut self) -> Result<(), Failure> {
        let room = self.checkpointer.make_room(&self.connection);
        room.map_err(|error| match error {
            RoomError::Database(error) => not_written(&error),
            RoomError::Held(_) => Failure::NotWritten(error.to_string()),
        })
    }

    /// One transaction; what was refused stands at the place of its work.
    fn commit(&mut self, batch: &mut [Box<dyn Work>]) -> Result<(State, Vec<Option<Failure>>), Failure> {
        let commits = || batch.iter().filter(|work| work.writes() > 0);
        let (writes, bytes) =
            (commits().map(|work| work.writes()).sum(), commits().map(|work| work.bytes()).sum());
        let large = Pending::is_large(writes, bytes);
        if large || batch.iter().any(|work| work.settles()) {
            self.fold();
        }
        self.refresh().map_err(|error| not_written(&error))?;
        // Until all of it is committed.
        self.stale = true;
        let before = State { at_once: large && self.memory.pending.is_empty(), ..self.state };
        let mut state = before;
        let mut transaction = begin(&mut self.connection)?;
        let mut refused = vec![None; batch.len()];
        if batch.iter_mut().any(|work| work.carry_out(&transaction, &mut state).is_err()) {
            // A full disk may have ended it already.
            drop(transaction);
            self.memory.keys.reload(&self.connection).map_err(|error| not_written(&error))?;
            state = before;
            transaction = begin(&mut self.connection)?;
            for (work, refused) in batch.iter_mut().zip(&mut refused) {
                *refused = apart(&mut transaction, &mut **work, &mut state, &self.memory.keys)?;
            }
        }
        let spilt =
            self.memory.keys.spill(&transaction, state.arrived).map_err(|error| not_written(&error))?;
        transaction.commit().map_err(|error| Failure::Unknown(explain(&error)))?;
        if spilt {
            self.memory.keys.spilt();
        }
        self.stale = false;
        Ok((state, refused))
    }
}

fn begin(connection: &mut Connection) -> Result<Transaction<'_>, Failure> {
    Transaction::begin(connection).map_err(|error| not_written(&error))
}

/// Carries out work in a savepoint, and gives why it was refused. An error: the transaction is lost, so
/// nothing of the batch is written.
fn apart(
    transaction: &mut Transaction<'_>,
    work: &mut dyn Work,
    state: &mut State,
    keys: &Keys,
) -> Result<Option<Failure>, Failure> {
    let before = *state;
    let mut savepoint = transaction.savepoint().map_err(|error| not_written(&error))?;
    let Err(error) = work.carry_out(&savepoint, state) else {
        savepoint.commit().map_err(|error| not_written(&error))?;
        return Ok(None);
    };
    *state = before;
    // A full disk may have ended the whole transaction; then this fails.
    savepoint.rollback().map_err(|_| not_written(&error))?;
    savepoint.commit().map_err(|_| not_written(&error))?;
    keys.reload(transaction).map_err(|_| not_written(&error))?;
    Ok(Some(not_written(&error)))
}

fn take_waiting(first: Box<dyn Work>, queue: &mut mpsc::Receiver<Box<dyn Work>>) -> Vec<Box<dyn Work>> {
    let mut bytes = first.bytes();
    let mut batch = vec![first];
    while batch.len() < BATCH_WORKS && bytes < BATCH_BYTES {
        let Ok(work) = queue.try_recv() else { break };
        bytes += work.bytes();
        batch.push(work);
    }
    batch
}

fn not_written(error: &rusqlite::Error) -> Failure {
    Failure::NotWritten(explain(error))
}

fn explain(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "the disk is full".to_owned(),
        Some(ErrorCode::ReadOnly) => "the data folder can only be read".to_owned(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another program has locked the database".to_owned()
        }
        _ => error.to_string(),
    }
}
