//! A transaction whose own statements are prepared once: to parse them is a tenth of what a small commit takes.
//!
//! If we die before the commit, `SQLite` forgets all of it.

use std::ops::{Deref, DerefMut};

use rusqlite::Connection;

/// Rolled back where it is dropped before it is committed.
pub(super) struct Transaction<'connection> {
    connection: &'connection mut Connection,
}

impl<'connection> Transaction<'connection> {
    /// Begins one that writes.
    pub(super) fn begin(connection: &'connection mut Connection) -> rusqlite::Result<Self> {
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(Self { connection })
    }

    /// Commits it. After an error it may have been committed or not.
    pub(super) fn commit(self) -> rusqlite::Result<()> {
        self.connection.prepare_cached("COMMIT")?.execute([]).map(|_| ())
    }
}

impl Deref for Transaction<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

impl DerefMut for Transaction<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        // Committed, or ended by an error.
        if self.connection.is_autocommit() {
            return;
        }
        let rolled_back = self.connection.prepare_cached("ROLLBACK").and_then(|mut all| all.execute([]));
        if let Err(error) = rolled_back {
            tracing::error!(%error, "a transaction can't be rolled back");
        }
    }
}

/// Does `work` in a transaction that is rolled back. Nothing of it is written anywhere, so that it needs no room on
/// the disk.
pub(super) fn unwritten(
    connection: &mut Connection,
    work: impl FnOnce(&Connection) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    // Or what does not fit in the cache goes to the log of writes before the end.
    connection.execute_batch("PRAGMA cache_spill = OFF")?;
    let done = Transaction::begin(connection).and_then(|transaction| work(&transaction));
    connection.execute_batch("PRAGMA cache_spill = ON")?;
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(connection: &Connection) -> i64 {
        connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn it_is_whole_or_not_at_all() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t (x UNIQUE)").unwrap();
        for (value, committed, rows) in [(1, true, 1), (2, false, 1), (3, true, 2)] {
            let transaction = Transaction::begin(&mut connection).unwrap();
            transaction.execute("INSERT INTO t VALUES (?1)", [value]).unwrap();
            if committed {
                transaction.commit().unwrap();
            } else {
                drop(transaction);
            }
            assert!(connection.is_autocommit());
            assert_eq!(count(&connection), rows, "{value}");
        }
        let mut transaction = Transaction::begin(&mut connection).unwrap();
        let savepoint = transaction.savepoint().unwrap();
        savepoint.execute("INSERT INTO t VALUES (4)", []).unwrap();
        drop(savepoint);
        assert!(transaction.execute("INSERT OR ROLLBACK INTO t VALUES (1)", []).is_err());
        assert!(transaction.is_autocommit(), "ended by the error");
        assert!(transaction.commit().is_err());
        assert_eq!(count(&connection), 2);
    }
}
