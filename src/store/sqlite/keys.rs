//! Which keys the inbox has, and at which positions.
//!
//! Keys are hashes, so an index over them has no two neighbours from one batch: every event would dirty
//! a page of its own, which costs more than the event. So the newest keys are kept in memory, and go to
//! the table `inbox_keys` some thousands at a time, in order, in the transaction of a batch.
//!
//! If we die, nothing is lost: `state.indexed` says up to which position the table has all keys, in the
//! same transaction, and the inbox itself has those after it. After a write that failed the memory is read
//! again, so it never knows a key that was not written, nor misses one that was.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension as _};

use super::number;
use crate::engine::ids::EventKey;

/// So many keys are kept in memory, about: some 40 bytes each.
const KEPT: usize = 4_096;

/// A key in half the room.
type Raw = [u8; 16];

/// The keys. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Keys(Arc<Mutex<HashMap<Raw, u64>>>);

impl Keys {
    /// Those that are not in the table.
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let keys = Self(Arc::default());
        keys.reload(connection)?;
        Ok(keys)
    }

    /// Forgets all that was not written.
    pub(super) fn reload(&self, connection: &Connection) -> rusqlite::Result<()> {
        let mut newest = self.newest();
        newest.clear();
        let sql = "SELECT key, seq FROM inbox WHERE seq > (SELECT indexed FROM state)";
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if let Some(key) = EventKey::parse(row.get_ref(0)?.as_str()?) {
                newest.insert(raw(&key), row.get::<_, i64>(1)?.cast_unsigned());
            }
        }
        Ok(())
    }

    /// Where an event is, if it is not in the table: only the writer may take this for all there is.
    pub(super) fn recent(&self, key: &EventKey) -> Option<u64> {
        self.newest().get(&raw(key)).copied()
    }

    /// Whether the inbox has it. For the writer.
    pub(super) fn has(&self, connection: &Connection, key: &EventKey) -> rusqlite::Result<bool> {
        let key = raw(key);
        if self.newest().contains_key(&key) {
            return Ok(true);
        }
        connection.prepare_cached("SELECT 1 FROM inbox_keys WHERE key = ?1")?.exists([key])
    }

    /// It was written at `position`.
    pub(super) fn add(&self, key: &EventKey, position: u64) {
        self.newest().insert(raw(key), position);
    }

    /// Takes it out, and gives where it was.
    pub(super) fn remove(&self, connection: &Connection, key: &EventKey) -> rusqlite::Result<Option<u64>> {
        let key = raw(key);
        if let Some(position) = self.newest().remove(&key) {
            return Ok(Some(position));
        }
        let mut delete = connection.prepare_cached("DELETE FROM inbox_keys WHERE key = ?1 RETURNING seq")?;
        delete.query_row([key], |row| row.get::<_, i64>(0).map(i64::cast_unsigned)).optional()
    }

    /// Writes them to the table, once they are many; whether it did. The newest event is at `arrived`.
    pub(super) fn spill(&self, connection: &Connection, arrived: u64) -> rusqlite::Result<bool> {
        let newest = self.newest();
        if newest.len() < KEPT {
            return Ok(false);
        }
        let mut sorted: Vec<_> = newest.iter().collect();
        sorted.sort_unstable();
        let mut insert = connection.prepare_cached("INSERT INTO inbox_keys (key, seq) VALUES (?1, ?2)")?;
        for (key, position) in sorted {
            insert.execute((key, number(*position)))?;
        }
        connection.prepare_cached("UPDATE state SET indexed = ?1")?.execute([number(arrived)])?;
        Ok(true)
    }

    /// What was spilt is committed.
    pub(super) fn spilt(&self) {
        self.newest().clear();
    }

    fn newest(&self) -> MutexGuard<'_, HashMap<Raw, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// In the table as in memory.
pub(super) fn raw(key: &EventKey) -> Raw {
    let mut raw = [0; 16];
    // A key has 32 hex digits, or it would be none.
    hex::decode_to_slice(key.as_str(), &mut raw).unwrap_or_default();
    raw
}
