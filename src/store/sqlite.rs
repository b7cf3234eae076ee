//! Inbox, records and history in one `SQLite` database in the data folder.
//!
//! Owns `kickoff.db` and `kickoff.lock`. One thread writes (`writer`): commits first as they are, and then many of
//! them into the tables that are read (`pending`). One brings what it wrote to disk and answers (`syncer`), and one
//! copies it from the log into the database (`checkpointer`); everything else only reads. What was answered
//! survives the loss of power.
//!
//! If we die at any point, `SQLite` finds the last complete commit again when the folder is opened;
//! the lock goes with the process.

mod arrivals;
mod checkpointer;
mod inbox;
mod keys;
mod lock;
mod open;
mod patience;
pub(in crate::store) mod pending;
pub(in crate::store) mod readers;
mod records;
mod syncer;
mod transaction;
mod work;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use tokio::sync::{mpsc, oneshot, watch};

use self::arrivals::{Arrivals, Arriving};
use self::checkpointer::Checkpointer;
pub use self::checkpointer::LogSizes;
use self::keys::Keys;
use self::lock::Lock;
pub use self::open::OpenError;
use self::pending::{Folded, Pending};
use self::readers::{ReadError, Readers};
use self::syncer::{News, Syncer};
use self::work::{Reply, State, Work};
use self::writer::{Memory, Writer};
use super::history::History;
use super::inbox::{Appended, Inbox, InboxError, Stored};
use super::records::{CommitError, Fence, Records, RecordsError};
use crate::engine::event::Event;
use crate::engine::ids::EventKey;
use crate::engine::machine::{Key, Record, Write};
use crate::outside::clock::Clock;

/// How a store behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// Tells since when a leader leads.
    pub clock: Clock,
    /// How many appends and commits may wait for the writer.
    pub queue: usize,
    /// How long an append waits for room among these before it is [`InboxError::Behind`].
    pub room_wait: Duration,
    /// How long a write waits for another program, for instance a backup, to unlock the database.
    pub busy_wait: Duration,
    /// How long the log of writes may become.
    pub log: LogSizes,
}

impl Options {
    /// What a server uses: 1,024 waiting, 2 s for room, 5 s for a lock.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            queue: 1024,
            room_wait: Duration::from_secs(2),
            busy_wait: Duration::from_secs(5),
            log: LogSizes::default(),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new(Clock::System)
    }
}

/// The store of one data folder. Cheap to clone; the folder is free again once all clones are gone.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: Options,
    thread: WriterThread,
    readers: Readers,
    folded: Folded,
    keys: Keys,
    pending: Pending,
    arriving: Arriving,
    arrived: watch::Receiver<u64>,
    trouble: watch::Receiver<Option<String>>,
    history: History,
    folder: String,
    origin: String,
    page_size: u32,
    #[cfg(test)]
    syncs: Arc<std::sync::atomic::AtomicU64>,
    // Dropped last: the folder is free only once the writer has ended.
    _lock: Lock,
}

impl SqliteStore {
    /// Opens the data folder `dir`, and makes what is missing.
    pub fn open(dir: &Path, options: Options) -> Result<Self, OpenError> {
        let opened = open::open(dir, options.busy_wait)?;
        let path = opened.path;
        let damaged = |source| OpenError::Damaged { path: path.clone(), source };
        let state = State::load(&opened.connection).map_err(damaged)?;
        let keys = Keys::load(&opened.connection).map_err(damaged)?;
        let pending = Pending::load(&opened.connection).map_err(|source| match source {
            rusqlite::Error::FromSqlConversionFailure(_, _, what) => {
                OpenError::Unknown { path: path.clone(), what: what.to_string() }
            }
            source => damaged(source),
        })?;
        let page_size = page_size(&opened.connection).map_err(damaged)?;
        let no_thread = |source| OpenError::Folder { folder: dir.to_owned(), source };
        let (database, copier, mut connection) = (opened.database, opened.copier, opened.connection);
        let checkpointer = Checkpointer::start(copier, Arc::clone(&database), options.log);
        let checkpointer = checkpointer.map_err(no_thread)?;
        checkpointer.follow(&mut connection).map_err(damaged)?;
        let news = News::from(state);
        let (arrived, trouble) = (news.arrived(), news.trouble());
        let readers = Readers::new(path, Arc::clone(&database));
        let (revision, recent) = (news.revision(), news.recent());
        let syncer = Syncer::start(opened.log, news).map_err(no_thread)?;
        #[cfg(test)]
        let syncs = syncer.syncs();
        let arrivals = Arrivals::after(state.arrived);
        let arriving = arrivals.reader();
        let writer = Writer::new(
            connection,
            database,
            checkpointer,
            syncer,
            state,
            Memory { keys: keys.clone(), pending: pending.clone(), arrivals },
        );
        let thread = WriterThread::start(writer, options.queue).map_err(no_thread)?;
        let folded = Folded::new(readers.clone(), pending.clone(), &thread.queue);
        let history = History::new(folded.clone(), revision, recent);
        let inner = Inner {
            options,
            thread,
            readers,
            folded,
            keys,
            pending,
            arriving,
            arrived,
            trouble,
            history,
            folder: opened.folder,
            origin: opened.origin,
            page_size,
            #[cfg(test)]
            syncs,
            _lock: opened.lock,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Tells this data folder from every other, also from a copy of it: 16 hex digits that stay.
    pub fn folder(&self) -> &str {
        &self.inner.folder
    }

    /// The same, but for copies of it: a backup that was put back is what it was.
    pub fn origin(&self) -> &str {
        &self.inner.origin
    }

    /// What API and pages read.
    pub fn history(&self) -> History {
        self.inner.history.clone()
    }

    /// The newest position of the inbox.
    pub fn arrived(&self) -> watch::Receiver<u64> {
        self.inner.arrived.clone()
    }

    /// Why the last write failed, while it is so. It is closed once nothing can be stored any more: a thread of the
    /// store died, or the log of writes could not be synced, which is not tried again.
    pub fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.inner.trouble.clone()
    }

    /// Writes something that changes nothing, to find out whether writing works again: where nobody
    /// sends any more because of a failure, nothing else would.
    pub async fn probe(&self) {
        let (work, answer) = records::Probe::new();
        if self.submit(Box::new(work), answer).await.is_none() {
            tracing::debug!("the store's writer has ended");
        }
    }

    /// Pages of the database's file that hold nothing.
    pub async fn free_pages(&self) -> Result<u64, RecordsError> {
        let read = |connection: &rusqlite::Connection| {
            let pages = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
            Ok(connection.pragma_query_value(None, "freelist_count", pages)?.cast_unsigned())
        };
        let pages = self.inner.readers.with(read).await;
        pages.map_err(|error| RecordsError::Unavailable(error.to_string()))
    }

    /// Gives up to `pages` of these back to the file system; whether any were. A database that was made
    /// before this was possible keeps them for what comes.
    pub async fn vacuum(&self, pages: u32) -> bool {
        let (work, answer) = records::Vacuum::new(pages, self.inner.page_size);
        self.submit(Box::new(work), answer).await.unwrap_or(false)
    }

    async fn submit<T>(&self, work: Box<dyn Work>, answer: oneshot::Receiver<Reply<T>>) -> Option<T> {
        self.inner.thread.queue.send(work).await.ok()?;
        answer.await.ok().map(|(answer, _rest)| answer)
    }
}

/// The thread that writes, and the way to it.
#[derive(Debug)]
struct WriterThread {
    queue: mpsc::Sender<Box<dyn Work>>,
    handle: Mutex<Option<JoinHandle<()>>>,
}

impl WriterThread {
    fn start(writer: Writer, room: usize) -> std::io::Result<Self> {
        let (queue, works) = mpsc::channel(room);
        let thread = std::thread::Builder::new().name("store-writer".to_owned());
        let handle = thread.spawn(move || writer.run(works))?;
        Ok(Self { queue, handle: Mutex::new(Some(handle)) })
    }
}

impl Drop for WriterThread {
    fn drop(&mut self) {
        // The thread ends when its queue has no sender left.
        self.queue = mpsc::channel(1).0;
        let handle = self.handle.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if handle.is_some_and(|handle| handle.join().is_err()) {
            tracing::error!("the store's writer had died");
        }
    }
}

const WRITER_GONE: &str = "the writer has ended";

#[async_trait]
impl Inbox for SqliteStore {
    async fn append(&self, events: Vec<Event>) -> Result<Vec<Appended>, InboxError> {
        let gone = || InboxError::Unavailable(WRITER_GONE.to_owned());
        let (work, answer) = inbox::Append::new(events, self.inner.keys.clone())?;
        let queue = &self.inner.thread.queue;
        match tokio::time::timeout(self.inner.options.room_wait, queue.reserve()).await {
            Err(_) => return Err(InboxError::Behind),
            Ok(room) => room.map_err(|_| gone())?.send(Box::new(work)),
        }
        let (appended, _rest) = answer.await.map_err(|_| gone())?;
        appended
    }

    fn read(&self, position: u64) -> BoxStream<'static, Result<Stored, InboxError>> {
        let inner = &self.inner;
        inbox::read(inner.readers.clone(), inner.arriving.clone(), inner.arrived.clone(), position)
    }

    async fn get(&self, key: &EventKey) -> Result<Option<Event>, InboxError> {
        let (key, keys, durable) = (key.clone(), self.inner.keys.clone(), *self.inner.arrived.borrow());
        let get = move |connection: &rusqlite::Connection| inbox::get(connection, &key, &keys, durable);
        let found = self.inner.readers.with(get).await;
        found.map_err(|error| InboxError::Unavailable(error.to_string()))
    }
}

#[async_trait]
impl Records for SqliteStore {
    async fn lead(&self, who: &str) -> Result<Fence, RecordsError> {
        let (work, answer) = records::Lead::new(who, self.inner.options.clock.now());
        let led = self.submit(Box::new(work), answer).await;
        led.unwrap_or_else(|| Err(RecordsError::Unavailable(WRITER_GONE.to_owned())))
    }

    async fn commit(&self, fence: &Fence, writes: Arc<[Write]>) -> Result<u64, CommitError> {
        let (work, answer) = records::Commit::new(fence, writes, &self.inner.keys, &self.inner.pending)?;
        let committed = self.submit(Box::new(work), answer).await;
        committed.unwrap_or_else(|| Err(CommitError::Unknown(WRITER_GONE.to_owned())))
    }

    async fn find(&self, key: &Key) -> Result<Option<Record>, RecordsError> {
        let text = key.to_string();
        let read = move |connection: &rusqlite::Connection| {
            Ok(records::get(connection, &text)?.map(|(_, record)| record))
        };
        let found = self.inner.folded.one(|write| records::written(write, key), read).await;
        found.map_err(RecordsError::from)
    }

    async fn scan(&self, prefix: &str) -> Result<Vec<(Key, Record)>, RecordsError> {
        let prefix = prefix.to_owned();
        let found = self.inner.folded.with(move |connection| records::scan(connection, &prefix)).await;
        found.map_err(RecordsError::from)
    }
}

impl From<ReadError> for RecordsError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Corrupt { what, message } => Self::Corrupt { key: what, message },
            other => Self::Unavailable(other.to_string()),
        }
    }
}

/// Bytes of a page: what it was made with, whatever we make today.
fn page_size(connection: &rusqlite::Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "page_size", |row| row.get(0))
}

/// A number as `SQLite` has it: signed.
pub(in crate::store) fn number(unsigned: u64) -> i64 {
    i64::try_from(unsigned).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
