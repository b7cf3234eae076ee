//! Connections that only read, shared by inbox, records and history.
//!
//! Reads run on blocking threads, a few at a time, and see what was committed last without waiting for the writer
//! (WAL); of records and history, what was folded last: see `pending`. A connection that failed is not used again.

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

const AT_ONCE: usize = 4;
const KEPT: usize = 2;
const STATEMENTS: usize = 48;

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
pub(in crate::store) enum ReadError {
    /// The database refused.
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
    /// A row that this version can't read.
    #[error("{what} can't be understood: {message}")]
    Corrupt {
        /// Which row.
        what: String,
        /// What is wrong with it.
        message: String,
    },
    /// What was committed last is not in the tables, which would be read as they were.
    #[error("what was committed last can't be folded: {0}")]
    Behind(String),
    /// The process is ending, or the read died.
    #[error("the read did not end: {0}")]
    Stopped(String),
}

/// A few read-only connections. Cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::store) struct Readers {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
    // Closed after the connections: see `Opened::database`.
    _database: Arc<File>,
}

impl Readers {
    /// Readers of the database at `path`; connections are opened when they are needed.
    pub(in crate::store) fn new(path: PathBuf, database: Arc<File>) -> Self {
        let permits = Arc::new(Semaphore::new(AT_ONCE));
        let inner = Inner { path, idle: Mutex::default(), permits, _database: database };
        Self { inner: Arc::new(inner) }
    }

    /// Runs `read` on a blocking thread.
    pub(in crate::store) async fn with<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let stopped = |error: &dyn std::fmt::Display| ReadError::Stopped(error.to_string());
        let permit =
            Arc::clone(&self.inner.permits).acquire_owned().await.map_err(|error| stopped(&error))?;
        let inner = Arc::clone(&self.inner);
        let task = tokio::task::spawn_blocking(move || {
            let connection = inner.take()?;
            let found = read(&connection)?;
            inner.give_back(connection);
            drop(permit);
            Ok(found)
        });
        task.await.map_err(|error| stopped(&error))?
    }
}

impl Inner {
    fn take(&self) -> rusqlite::Result<Connection> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(connection) = idle {
            return Ok(connection);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        connection
            .execute_batch("PRAGMA cache_size = -1024; PRAGMA mmap_size = 0; PRAGMA query_only = ON;")?;
        Ok(connection)
    }

    fn give_back(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT {
            idle.push(connection);
        }
    }
}
