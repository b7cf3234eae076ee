//! Opening a data folder: folder, lock, schema. Everything that can be wrong with it is told apart.
//!
//! If we die while the schema is made, or brought from an older version to ours, it was one
//! transaction: the next start finds what was there before, and does it again.

use std::fs::{DirBuilder, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::lock::{Lock, LockError};
use crate::engine::ids::h_hex;

/// `PRAGMA application_id`: "Kick".
const APPLICATION: i32 = 0x4b69_636b;
/// What each version of the schema adds to the one before.
const STEPS: [&[&str]; 5] = [
    &[include_str!("schema.sql"), crate::store::history::SCHEMA],
    &[crate::store::history::SCHEMA_2],
    &[include_str!("schema_3.sql")],
    &[include_str!("schema_4.sql")],
    &[include_str!("schema_5.sql")],
];
/// `PRAGMA user_version`: how many of the steps were taken.
#[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "a few steps")]
const SCHEMA: i32 = STEPS.len() as i32;
const STATEMENTS: usize = 48;
/// Bytes of a page in a database that we make; one that is there keeps what it has. Of rows of the inbox
/// above 2 KiB, which many pushes are, a page of 4 KiB holds one and is half empty, and above 4 KiB they need
/// further pages each. Every page is two writes to the log, whatever its size.
const PAGE: i64 = 8_192;
/// How long it may be looked for damage before the server starts.
const CHECK: Duration = Duration::from_millis(50);

/// Why a data folder could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder can't be made, read or written.
    #[error("the data folder {} can't be used", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process has it.
    #[error(
        "the data folder {} is in use by another kickoff{}: stop that one, or give this one a folder of its own",
        folder.display(), process(*pid)
    )]
    InUse {
        /// The folder.
        folder: PathBuf,
        /// The process that has it, as far as is known.
        pid: Option<u32>,
    },
    /// A newer version wrote it.
    #[error(
        "the database {} has schema {found}, and this version knows schemas up to {SCHEMA}: use a newer kickoff",
        path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: i32,
    },
    /// It has commits that this version does not know.
    #[error("the database {} has what this version can't read: use a newer kickoff ({what})", path.display())]
    Unknown {
        /// The database.
        path: PathBuf,
        /// Which commit, and why.
        what: String,
    },
    /// Something else wrote it.
    #[error(
        "{} is not a database of kickoff: move it away, or give kickoff a folder of its own",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// It can't be read.
    #[error("the database {} is damaged: restore it from a backup, or move it away", path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// It can't be opened now.
    #[error("the database {} can't be opened", path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
}

fn process(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

/// An opened folder: the lock, the connections that write, where the database is.
pub(super) struct Opened {
    pub(super) lock: Lock,
    pub(super) connection: Connection,
    /// For the checkpointer.
    pub(super) copier: Connection,
    /// The database, to sync it. A process that closes one of its files loses all locks that it has on that
    /// file (POSIX), and `SQLite` counts on its own: so whoever has a connection has this too, and drops it
    /// last.
    pub(super) database: Arc<File>,
    /// The log of writes, to sync it. `SQLite` has no locks on it, and removes it only with the last
    /// connection.
    pub(super) log: File,
    pub(super) path: PathBuf,
    /// See [`super::SqliteStore::folder`].
    pub(super) folder: String,
    /// See [`super::SqliteStore::origin`].
    pub(super) origin: String,
}

/// Locks `folder` and opens its database, and makes both where they are missing.
pub(super) fn open(folder: &Path, busy_wait: Duration) -> Result<Opened, OpenError> {
    let unusable = |source| OpenError::Folder { folder: folder.to_owned(), source };
    make_folder(folder).map_err(unusable)?;
    let lock = Lock::take(folder).map_err(|error| match error {
        LockError::Held(pid) => OpenError::InUse { folder: folder.to_owned(), pid },
        LockError::Io(source) => unusable(source),
    })?;
    let path = folder.join("kickoff.db");
    let connection = connect(&path, busy_wait)?;
    let failed = |source| OpenError::Database { path: path.clone(), source };
    let copier = beside(&path, busy_wait).map_err(failed)?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(unusable)?;
    // A copy has the same rows, and is another file.
    let file = std::fs::metadata(&path).map_err(unusable)?.ino();
    let id = connection.query_row("SELECT folder FROM state", [], |row| row.get::<_, String>(0));
    let id = id.map_err(|source| OpenError::Damaged { path: path.clone(), source })?;
    let log = File::open(log_of(&path)).map_err(unusable)?;
    // The schema that was made above, and what a process that was killed may have left there: nobody has synced it,
    // and it counts from now on.
    log.sync_data().map_err(unusable)?;
    let database = Arc::new(File::open(&path).map_err(unusable)?);
    let folder = h_hex("folder", &[id.as_bytes(), &file.to_le_bytes()], 16);
    let origin = h_hex("origin", &[id.as_bytes()], 16);
    Ok(Opened { lock, connection, copier, database, log, path, folder, origin })
}

/// Bodies and params may be confidential, so a folder that we make is for its owner only.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
}

fn connect(path: &Path, busy_wait: Duration) -> Result<Connection, OpenError> {
    let failed = |source: rusqlite::Error| match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::Foreign { path: path.to_owned() },
        Some(ErrorCode::DatabaseCorrupt) => OpenError::Damaged { path: path.to_owned(), source },
        _ => OpenError::Database { path: path.to_owned(), source },
    };
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let damaged = |what: String| {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
        let source = rusqlite::Error::SqliteFailure(code, Some(what));
        OpenError::Damaged { path: path.to_owned(), source }
    };
    if let Some(what) = cut_off(path) {
        return Err(damaged(what));
    }
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(busy_wait).map_err(failed)?;
    match kind(&connection).map_err(failed)? {
        // Before the first table, or it has no effect: room that retention makes can be given back.
        Kind::Empty => {
            connection.pragma_update(None, "page_size", PAGE).map_err(failed)?;
            connection.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(failed)?;
        }
        // Before anything is written, so that what is damaged stays as it is.
        Kind::Ours(..=SCHEMA) => {
            if let Some(what) = damage(&mut connection).map_err(failed)? {
                return Err(damaged(what));
            }
        }
        Kind::Ours(found) => return Err(OpenError::Newer { path: path.to_owned(), found }),
        Kind::Foreign => return Err(OpenError::Foreign { path: path.to_owned() }),
    }
    settings(&connection).map_err(failed)?;
    make_schema(&mut connection).map_err(failed)?;
    Ok(connection)
}

/// Another connection, to a database that is ours and up to date.
fn beside(path: &Path, busy_wait: Duration) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(busy_wait)?;
    settings(&connection)?;
    Ok(connection)
}

/// The log of writes of the database at `path`.
fn log_of(path: &Path) -> PathBuf {
    let mut log = path.to_owned().into_os_string();
    log.push("-wal");
    log.into()
}

/// Whether the file is shorter than its own header says (`SQLite` file format, 1.3), which `SQLite`
/// finds only once it wants a page that is missing. Where there is a log of writes, it may be.
fn cut_off(path: &Path) -> Option<String> {
    if std::fs::metadata(log_of(path)).is_ok_and(|log| log.len() > 0) {
        return None;
    }
    let mut file = File::open(path).ok()?;
    let mut header = [0; 100];
    file.read_exact(&mut header).ok()?;
    let number = |at: usize| u64::from(u32::from_be_bytes(header[at..at + 4].try_into().unwrap_or_default()));
    let page_size = match u64::from(u16::from_be_bytes([header[16], header[17]])) {
        1 => 65_536,
        size => size,
    };
    let (wanted, length) = (number(28) * page_size, file.metadata().ok()?.len());
    // The size is valid only where the two counters of changes agree.
    let valid = header.starts_with(b"SQLite format 3\0") && number(24) == number(92);
    (valid && length < wanted).then(|| format!("it has {length} bytes, and should have {wanted}"))
}

/// What a look of up to [`CHECK`] finds: all of a small database, the beginning of a large one.
fn damage(connection: &mut Connection) -> rusqlite::Result<Option<String>> {
    let until = Instant::now() + CHECK;
    connection.progress_handler(1_000, Some(move || Instant::now() > until))?;
    let found = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    connection.progress_handler(0, None::<fn() -> bool>)?;
    match found {
        Ok(text) if text == "ok" => Ok(None),
        Ok(text) => Ok(Some(text)),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => Ok(None),
        Err(error) => Err(error),
    }
}

enum Kind {
    Empty,
    Ours(i32),
    Foreign,
}

fn kind(connection: &Connection) -> rusqlite::Result<Kind> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let (application, version) = (pragma("application_id")?, pragma("user_version")?);
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(match (application, version, tables) {
        (0, 0, 0) => Kind::Empty,
        (APPLICATION, 1.., _) => Kind::Ours(version),
        _ => Kind::Foreign,
    })
}

/// The page cache stays small, since the system caches the file too, and bodies pass through once: with 2 MiB,
/// a burst took a twentieth more of the processor than with 4, and 3 MiB less of memory. No commit is synced here:
/// [`open`] syncs what is there then, and after that the syncer what is committed. The log of writes is copied by the
/// checkpointer, never within a commit; once it is started anew, its file keeps up to 16 MiB.
fn settings(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = NORMAL;
         PRAGMA cache_size = -3072;
         PRAGMA mmap_size = 0;
         PRAGMA temp_store = MEMORY;
         PRAGMA wal_autocheckpoint = 0;
         PRAGMA journal_size_limit = 16777216;",
    )
}

/// Takes the steps that are missing, all or none.
fn make_schema(connection: &mut Connection) -> rusqlite::Result<()> {
    let taken = match kind(connection)? {
        Kind::Ours(SCHEMA) => return Ok(()),
        Kind::Ours(version) => usize::try_from(version).unwrap_or(0),
        Kind::Empty | Kind::Foreign => 0,
    };
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for text in STEPS.iter().skip(taken).copied().flatten() {
        transaction.execute_batch(text)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", SCHEMA)?;
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_connection_leaves_syncing_commits_to_the_syncer() {
        let folder = tempfile::tempdir().unwrap();
        let opened = open(folder.path(), Duration::ZERO).unwrap();
        for connection in [&opened.connection, &opened.copier] {
            let journal: String =
                connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
            let synchronous: i64 =
                connection.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
            // 1 is NORMAL.
            assert_eq!((journal.as_str(), synchronous), ("wal", 1));
        }
    }
}
