//! Keeps the log of writes (`SQLite`'s WAL) short, beside the writer.
//!
//! Owns a thread with a connection of its own, which copies what stands in the log into the database and
//! syncs that, while the writer goes on. What came meanwhile is little, and the writer copies it between two
//! batches: only when the whole log is copied does `SQLite` start it anew. The thread may not do more, or the
//! writer would wait for it; and only one of both copies at a time, so the writer waits for its turn where
//! it has to, in place of being told that the log is busy.
//!
//! The log is bounded: see [`LogSizes`]. A failure here fails no write before that: the pages stay in the
//! log, and the next try copies them.
//!
//! If we die at any point, nothing is lost and nothing is half: the log has every commit until the whole of
//! it is in the database and on disk. How much was copied is known in shared memory only, which the next
//! open makes anew from the log, and copies again. `SQLite` before 3.51.3 could damage a database where a
//! checkpoint began while another connection started the log anew; ours is bundled, and compares salts.

use std::ffi::c_int;
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::JoinHandle;

use rusqlite::Connection;
use rusqlite::hooks::Wal;

/// What a frame of the log has beside its page (`SQLite` file format, 4.1), bytes.
const FRAME_HEADER: u64 = 24;
/// How often the thread begins anew because much came while it copied, before it waits to be asked.
const ROUNDS: usize = 8;

/// How long the log of writes may become, bytes.
#[derive(Debug, Clone, Copy)]
pub struct LogSizes {
    /// From here on it is copied into the database, beside the writer.
    pub copied: u64,
    /// From here on the writer copies it itself, so that nobody can write more than is copied.
    pub behind: u64,
    /// From here on nothing is written, until it could be started anew: something reads the database
    /// and does not end, or the database can't be written. It becomes longer by one batch at most, which is
    /// 8 MiB and one piece of work, and by what is folded with it.
    pub most: u64,
}

impl LogSizes {
    /// What the writer copies between two batches, and how much the log grows before the thread is
    /// asked again.
    fn little(self) -> u64 {
        self.copied / 8
    }
}

impl Default for LogSizes {
    /// 8 MiB, half of what the file keeps when the log is started anew; 32 MiB; 1 GiB.
    fn default() -> Self {
        Self { copied: 8 << 20, behind: 32 << 20, most: 1 << 30 }
    }
}

/// The thread, as the writer has it.
#[derive(Debug)]
pub(super) struct Checkpointer {
    sizes: LogSizes,
    frame: u64,
    /// How many pages the log had after the last commit that wrote any.
    pages: Arc<AtomicU64>,
    /// Whether one wrote any since this was asked.
    wrote: Arc<AtomicBool>,
    tried: Tried,
    /// Nothing is written before the log was started anew.
    full: bool,
    turn: Arc<Mutex<()>>,
    wanted: Option<SyncSender<()>>,
    handle: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// Starts the thread with its `connection`. `database` is the same file, to sync it.
    pub(super) fn start(connection: Connection, database: Arc<File>, sizes: LogSizes) -> io::Result<Self> {
        let page = connection.pragma_query_value(None, "page_size", |row| row.get::<_, i64>(0));
        let frame = FRAME_HEADER + page.map_err(io::Error::other)?.cast_unsigned();
        let turn: Arc<Mutex<()>> = Arc::default();
        let copier = Copier { connection, frame, sizes, turn: Arc::clone(&turn), failing: false, database };
        let (wanted, asked) = sync_channel(1);
        let thread = std::thread::Builder::new().name("store-copier".to_owned());
        let handle = Some(thread.spawn(move || copier.run(&asked))?);
        let (pages, wrote, tried) = (Arc::default(), Arc::default(), Tried::default());
        Ok(Self { sizes, frame, pages, wrote, tried, full: false, turn, wanted: Some(wanted), handle })
    }

    /// Counts what the connection of the writer adds to the log.
    pub(super) fn follow(&self, connection: &mut Connection) -> rusqlite::Result<()> {
        let (pages, wrote) = (Arc::clone(&self.pages), Arc::clone(&self.wrote));
        connection.wal_hook(Some(move |_: &mut Wal, count: c_int| {
            pages.store(u64::try_from(count).unwrap_or(0), Ordering::Relaxed);
            wrote.store(true, Ordering::Relaxed);
            Ok(())
        }))
    }

    /// Whether the log has more than when this was asked the last time. A commit that changes no page writes nothing,
    /// and succeeds on a full disk.
    pub(super) fn take_wrote(&self) -> bool {
        self.wrote.swap(false, Ordering::Relaxed)
    }

    /// What has to be done about the log after a batch, which is answered already.
    pub(super) fn tend(&mut self, connection: &Connection) {
        let all = self.pages.load(Ordering::Relaxed) * self.frame;
        // To ask how much is copied takes as long as a small commit.
        let length = if all < self.sizes.copied {
            Ok(Length { all, copied: 0 })
        } else {
            Length::of(connection, self.frame)
        };
        let length = match length {
            Ok(length) => length,
            Err(error) => {
                tracing::debug!(%error, "the length of the log of writes can't be read");
                return;
            }
        };
        self.full = length.all >= self.sizes.most;
        let step = self.tried.step(length, self.sizes);
        match step {
            Step::Nothing => {}
            Step::Ask => self.ask(connection),
            Step::Help => self.copy(connection),
            Step::Finish if self.finish(connection) => {}
            Step::Finish => return,
        }
        self.tried.note(step, length);
    }

    /// Copies the log, on the thread of the writer.
    pub(super) fn copy(&self, connection: &Connection) {
        let _turn = lock(&self.turn);
        passive(connection);
    }

    /// Before a batch: where the log is as long as it may be, it must be possible to start it anew.
    pub(super) fn make_room(&mut self, connection: &Connection) -> Result<(), RoomError> {
        if !self.full {
            return Ok(());
        }
        let _turn = lock(&self.turn);
        // Waits for those who read, as long as a write waits for a lock.
        self.full = connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |row| row.get(0))?;
        if self.full { Err(RoomError::Held(self.sizes.most >> 20)) } else { Ok(()) }
    }

    fn ask(&mut self, connection: &Connection) {
        let asked = self.wanted.as_ref().map(|wanted| wanted.try_send(()));
        match asked {
            Some(Ok(()) | Err(TrySendError::Full(()))) => {}
            Some(Err(TrySendError::Disconnected(()))) => {
                tracing::error!(
                    "the thread that copies the log of writes has died: the writer copies it now"
                );
                self.wanted = None;
                self.copy(connection);
            }
            None => self.copy(connection),
        }
    }

    /// Whether it could: it does not wait for the thread, which syncs what it copied.
    fn finish(&self, connection: &Connection) -> bool {
        let _turn = match self.turn.try_lock() {
            Ok(turn) => turn,
            Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        passive(connection);
        true
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        // The thread ends when nobody can ask any more, after what it is at.
        self.wanted = None;
        if self.handle.take().is_some_and(|handle| handle.join().is_err()) {
            tracing::error!("the thread that copies the log of writes had died");
        }
    }
}

/// Why there is no room for a batch.
#[derive(Debug, thiserror::Error)]
pub(super) enum RoomError {
    /// The log has so many MiB, all of them in use.
    #[error("its log of writes has {0} MiB: something reads the database and does not end")]
    Held(u64),
    /// The log can't be copied.
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
}

fn lock(turn: &Mutex<()>) -> MutexGuard<'_, ()> {
    turn.lock().unwrap_or_else(PoisonError::into_inner)
}

fn passive(connection: &Connection) {
    let copied = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
    if let Err(error) = copied {
        tracing::debug!(%error, "a checkpoint failed");
    }
}

/// How long the log is, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Length {
    all: u64,
    /// What is in the database already.
    copied: u64,
}

impl Length {
    fn of(connection: &Connection, frame: u64) -> rusqlite::Result<Self> {
        Self::after("PRAGMA wal_checkpoint(NOOP)", connection, frame)
    }

    fn after(checkpoint: &str, connection: &Connection, frame: u64) -> rusqlite::Result<Self> {
        connection.prepare_cached(checkpoint)?.query_row([], |row| {
            // -1 where the log is in use by another checkpoint.
            let bytes =
                |column| row.get::<_, i64>(column).map(|frames| frames.max(0).cast_unsigned() * frame);
            Ok(Self { all: bytes(1)?, copied: bytes(2)? })
        })
    }

    fn left(self) -> u64 {
        self.all.saturating_sub(self.copied)
    }
}

/// What the writer does about the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// It is short, or somebody was asked of late.
    Nothing,
    /// Asks the thread to copy it.
    Ask,
    /// Copies what little is left, so that the log is started anew.
    Finish,
    /// Copies all of it: the thread does not keep up.
    Help,
}

/// How long the log was at the last try: what holds it back, for instance one who reads, does so for a while.
#[derive(Debug, Clone, Copy, Default)]
struct Tried {
    copying: u64,
    finishing: u64,
}

impl Tried {
    fn step(&mut self, length: Length, sizes: LogSizes) -> Step {
        let Length { all, .. } = length;
        if all < sizes.copied {
            // Started anew: what held the last one back does not matter any more.
            *self = Self::default();
            return Step::Nothing;
        }
        // A log that is shorter than it was has been started anew.
        let grown = |since: u64, by: u64| all < since || all >= since + by;
        if length.left() <= sizes.little() {
            if grown(self.finishing, sizes.little() / 8) { Step::Finish } else { Step::Nothing }
        } else if !grown(self.copying, sizes.little()) {
            Step::Nothing
        } else if all < sizes.behind {
            Step::Ask
        } else {
            Step::Help
        }
    }

    fn note(&mut self, step: Step, length: Length) {
        match step {
            Step::Nothing => {}
            Step::Ask | Step::Help => self.copying = length.all,
            Step::Finish => self.finishing = length.all,
        }
    }
}

/// What the thread works with.
struct Copier {
    connection: Connection,
    frame: u64,
    sizes: LogSizes,
    turn: Arc<Mutex<()>>,
    failing: bool,
    // Closed after the connection: see `Opened::database`.
    database: Arc<File>,
}

impl Copier {
    /// Copies whenever it is asked, until nobody can ask any more.
    fn run(mut self, asked: &Receiver<()>) {
        while asked.recv().is_ok() {
            let copied = self.copy();
            self.note(copied.err().as_ref());
        }
    }

    fn copy(&self) -> Result<(), CopyError> {
        for _ in 0..ROUNDS {
            if !self.round()? {
                break;
            }
        }
        Ok(())
    }

    /// Copies what there is now; whether that was something.
    fn round(&self) -> Result<bool, CopyError> {
        let _turn = lock(&self.turn);
        let before = Length::of(&self.connection, self.frame)?;
        if before.left() <= self.sizes.little() {
            return Ok(false);
        }
        let after = Length::after("PRAGMA wal_checkpoint(PASSIVE)", &self.connection, self.frame)?;
        if after.copied <= before.copied {
            return Ok(false);
        }
        // `SQLite` syncs the database only with the last page of the log, which would be on the
        // writer's time.
        self.database.sync_data().map_err(CopyError::Sync)?;
        Ok(true)
    }

    /// Logs the change between working and failing.
    fn note(&mut self, failure: Option<&CopyError>) {
        match failure {
            Some(error) if !self.failing => {
                tracing::warn!(error = error as &dyn std::error::Error, "the log of writes can't be copied");
            }
            None if self.failing => tracing::info!("the log of writes can be copied again"),
            _ => {}
        }
        self.failing = failure.is_some();
    }
}

/// Why the log could not be copied.
#[derive(Debug, thiserror::Error)]
enum CopyError {
    #[error("the database can't be written")]
    Write(#[from] rusqlite::Error),
    #[error("the database can't be synced")]
    Sync(#[source] io::Error),
}

#[cfg(test)]
mod tests {
    use super::{Length, LogSizes, Step, Tried};

    #[test]
    fn the_log_is_copied_finished_and_left_in_peace() {
        let sizes = LogSizes { copied: 800, behind: 2_000, most: 9_000 };
        let mut tried = Tried::default();
        for (all, copied, wanted) in [
            (799, 0, Step::Nothing),
            (800, 0, Step::Ask),
            // It is being copied, then all but a little is.
            (899, 0, Step::Nothing),
            (910, 0, Step::Ask),
            (950, 850, Step::Finish),
            // Somebody read it, so that it was not started anew.
            (960, 950, Step::Nothing),
            (1_060, 950, Step::Ask),
            (1_100, 1_050, Step::Finish),
            // It was; and this one becomes about as long as the last one was at its first try.
            (40, 0, Step::Nothing),
            (805, 0, Step::Ask),
            (810, 805, Step::Finish),
            (30, 0, Step::Nothing),
            (806, 0, Step::Ask),
            (1_990, 0, Step::Ask),
            (2_000, 0, Step::Nothing),
            (2_090, 0, Step::Help),
            (2_100, 0, Step::Nothing),
            (2_200, 2_200, Step::Finish),
        ] {
            let length = Length { all, copied };
            let step = tried.step(length, sizes);
            assert_eq!(step, wanted, "{length:?}");
            tried.note(step, length);
        }
    }
}
