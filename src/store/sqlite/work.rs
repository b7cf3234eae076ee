//! What the writer is given to do, what it knows while it does it, and who is answered.

use std::collections::BTreeSet;
use std::sync::Arc;

use rusqlite::Connection;

use super::pending::Logged;
use crate::store::inbox::Stored;

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

    /// Reads the tables as they are with what is pending, which could not be folded, or is told why that can't be
    /// either; asked of what settles.
    fn read_ahead(&mut self, _: Result<&Connection, &str>) {}

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

impl Failure {
    /// Why, whether it is known or not.
    pub(super) fn why(&self) -> &str {
        match self {
            Self::NotWritten(why) | Self::Unknown(why) => why,
        }
    }
}

/// What the writer knows without asking the database; it is the only writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    /// The newest term.
    pub(super) term: u64,
    /// How many commits of records there were.
    pub(super) revision: u64,
    /// Whether commits go to the tables of records and history at once: see `pending`.
    pub(super) at_once: bool,
    /// The newest position of the inbox.
    pub(super) arrived: u64,
}

impl State {
    /// What the database says.
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let sql = "SELECT term, coalesce((SELECT max(revision) FROM pending), revision),
                   coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'inbox'), 0) FROM state";
        connection.query_row(sql, [], |row| {
            let number = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
            Ok(Self { term: number(0)?, revision: number(1)?, at_once: false, arrived: number(2)? })
        })
    }
}
