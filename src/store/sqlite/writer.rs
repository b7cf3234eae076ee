//! The one thread that writes: takes everything that waits, writes it in one transaction, then hands it to
//! the `syncer`, which answers all; or, where it is quiet, waits for what is decided of it, and syncs both: see
//! `patience`.
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
use super::patience::Patience;
use super::pending::Pending;
use super::syncer::{Syncer, Written};
use super::transaction::{self, Transaction};
use super::work::{Failure, State, Work};
use crate::store::history::changes::Row;
use crate::store::inbox::Stored;

const BATCH_WORKS: usize = 512;
const BATCH_BYTES: usize = 8 << 20;
/// So much is written in less time than a sync takes.
const QUICK_BYTES: usize = 64 << 10;
/// How soon what could not be folded is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// What the writer keeps in memory for others to read.
pub(super) struct Memory {
    /// The newest keys of the inbox.
    pub(super) keys: Keys,
    /// Commits that are not folded yet.
    pub(super) pending: Pending,
    /// The newest events of the inbox.
    pub(super) arrivals: Arrivals,
}

impl Memory {
    /// Tells who reads on what changed in the inbox.
    fn tell(&self, inbox: Inbox) {
        self.arrivals.learn(inbox.arrived);
        self.arrivals.remove(&inbox.removed);
    }
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
    patience: Patience,
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
            patience: Patience::default(),
            stale: false,
            failed: None,
            _database: database,
        }
    }

    /// Writes what comes until nobody can send any more, or nothing can be brought to disk any more.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Box<dyn Work>>) {
        while let Some(first) = queue.blocking_recv() {
            if !self.bring(first, &mut queue) {
                return;
            }
            if self.memory.pending.are_many() {
                self.fold();
            }
            self.checkpointer.tend(&self.connection);
            self.syncer.wait();
        }
        // The last chance before the next start, however lately it failed.
        self.failed = None;
        self.fold();
    }

    /// Writes what waits, and hands it to the syncer, or brings it to disk here with what is soon decided of it. False:
    /// nothing can be brought there any more.
    fn bring(&mut self, first: Box<dyn Work>, queue: &mut mpsc::Receiver<Box<dyn Work>>) -> bool {
        let (written, inbox) = self.write(take_waiting(first, queue));
        if self.is_decided_soon(&written, &inbox) && queue.is_empty() {
            self.memory.tell(inbox);
            let Some(next) = self.patience.next(queue) else { return self.syncer.hand(written) };
            let next = take_waiting(next, queue);
            let commits = is_quick_commit(&next);
            self.patience.learn(commits);
            if !commits {
                return self.syncer.hand(written) && self.pass_on(next);
            }
            let (decided, inbox) = self.write(next);
            let goes_on = self.syncer.bring(vec![written, decided]);
            self.memory.tell(inbox);
            return goes_on;
        }
        self.hand(written, inbox)
    }

    fn pass_on(&mut self, batch: Vec<Box<dyn Work>>) -> bool {
        let (written, inbox) = self.write(batch);
        self.hand(written, inbox)
    }

    fn hand(&mut self, written: Written, inbox: Inbox) -> bool {
        // Whoever is told of events runs at once, often on this very processor: the disk should be at work by then.
        let goes_on = self.syncer.hand(written);
        self.memory.tell(inbox);
        goes_on
    }

    /// Whether somebody waits for these events who commits soon, and for nothing else.
    fn is_decided_soon(&self, written: &Written, inbox: &Inbox) -> bool {
        !inbox.arrived.is_empty()
            && written.is_without_records()
            && self.syncer.is_idle()
            && self.memory.arrivals.are_awaited()
            && self.patience.is_on()
    }

    fn write(&mut self, mut batch: Vec<Box<dyn Work>>) -> (Written, Inbox) {
        let committed = self.make_room().and_then(|()| self.commit(&mut batch));
        self.read_ahead(&mut batch);
        match committed {
            Ok((state, refused)) => {
                self.state = state;
                let (mut changes, mut inbox) = (Vec::new(), Inbox::default());
                let written = batch.iter_mut().zip(&refused).filter(|(_, refused)| refused.is_none());
                for (work, _) in written {
                    inbox.arrived.extend(work.take_arrived());
                    inbox.removed.extend(work.take_removed());
                    if let Some((revision, logged)) = work.logged() {
                        changes.push((revision, logged.writes().iter().filter_map(Row::of).collect()));
                        if !state.at_once {
                            self.memory.pending.learn(revision, logged);
                        }
                    }
                }
                if refused.iter().any(Option::is_some) || batch.iter().any(|work| work.checkpoints()) {
                    self.checkpointer.copy(&self.connection);
                }
                let outcomes = refused.into_iter().map(|refused| refused.map_or(Ok(()), Err));
                let waiting = batch.into_iter().zip(outcomes).collect();
                let wrote = self.checkpointer.take_wrote();
                (Written::Logged { state, changes, waiting, wrote }, inbox)
            }
            Err(failure) => {
                self.recover();
                let is_known = matches!(failure, Failure::Unknown(_)) && !self.stale;
                let found = is_known.then_some(self.state);
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
            Ok(()) => {
                self.memory.pending.clear();
                if self.failed.take().is_some() {
                    tracing::info!("the last commits are folded again");
                }
            }
            Err(error) => {
                let why = explain(&error);
                if self.failed.replace(Instant::now()).is_none() {
                    tracing::error!(%why, "the last commits can't be folded");
                }
                self.memory.pending.fail(why);
                self.recover();
                // Wins room in a log that is full.
                self.checkpointer.copy(&self.connection);
            }
        }
    }

    fn try_fold(&mut self) -> rusqlite::Result<()> {
        self.refresh()?;
        let transaction = Transaction::begin(&mut self.connection)?;
        self.memory.pending.fold(&transaction)?;
        // Until it is known whether it is committed.
        self.stale = true;
        transaction.commit()?;
        self.stale = false;
        Ok(())
    }

    /// For those who want to read what could not be folded: folds it only for them. That stays in memory.
    fn read_ahead(&mut self, batch: &mut [Box<dyn Work>]) {
        let mut reads: Vec<_> = batch.iter_mut().filter(|work| work.settles()).collect();
        if self.memory.pending.is_empty() || reads.is_empty() {
            return;
        }
        let read = transaction::unwritten(&mut self.connection, |connection| {
            Pending::load(connection)?.fold(connection)?;
            for work in &mut reads {
                work.read_ahead(Ok(connection));
            }
            Ok(())
        });
        if let Err(error) = read {
            let why = explain(&error);
            for work in &mut reads {
                work.read_ahead(Err(&why));
            }
        }
    }

    /// After a write that failed: what there really is, if that can be told; or else before the next one.
    fn recover(&mut self) {
        if let Err(error) = self.refresh() {
            tracing::debug!(%error, "what was written can't be read");
        }
    }

    /// Reads again what memory may have wrong.
    fn refresh(&mut self) -> rusqlite::Result<()> {
        if self.stale {
            self.state = State::load(&self.connection)?;
            self.memory.keys.reload(&self.connection)?;
            self.memory.pending.reload(&self.connection)?;
            self.memory.arrivals.forget(self.state.arrived);
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
            // Where the other tables take nothing, `pending` may.
            state = State { at_once: false, ..before };
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

/// Whether records are committed, and nobody who waits for what was written before waits long for that.
fn is_quick_commit(batch: &[Box<dyn Work>]) -> bool {
    batch.iter().any(|work| work.writes() > 0)
        && !batch.iter().any(|work| work.settles())
        && batch.iter().map(|work| work.bytes()).sum::<usize>() <= QUICK_BYTES
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
