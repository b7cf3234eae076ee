//! What API and pages read: rows made by folding the commits, in one transaction with the records.
//!
//! Owns the tables `events`, `decisions`, `firings` and `runs`. It decides nothing: a row is the
//! record as it was committed last, and it goes when the settled record is deleted. Fold and records are one
//! transaction, so a crash leaves both or neither. What is committed and not folded yet is folded before a list is
//! read; a single row is found without that.

pub mod changes;
mod cursor;
pub(in crate::store) mod fold;
mod lists;
mod retention;
mod summary;

use rusqlite::{Connection, ErrorCode};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use self::changes::{Recent, Since};
pub use self::retention::{DEDUP_HORIZON_MS, TemplateLimit};
pub use self::summary::Summary;
use super::sqlite::pending::Folded;
use super::sqlite::readers::ReadError;
use crate::engine::ids::{EventKey, FiringId, ObjectName, RunId};
use crate::engine::machine::{DecisionKind, EventRecord, Firing, Run};
use crate::engine::verdict::Outcome;

/// The tables, part of the database's schema: what each of its versions adds.
pub(in crate::store) const SCHEMA: &str = include_str!("history/schema.sql");
pub(in crate::store) const SCHEMA_2: &str = include_str!("history/schema-2.sql");

/// Which runs. Empty means all.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// `namespace/name`, or a name in any namespace.
    pub trigger: Option<String>,
    /// Ended with this.
    pub outcome: Option<Outcome>,
    /// An event's key, or the sender's id.
    pub event: Option<String>,
}

/// Which events. Empty means all that are decided.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// `namespace/name`, or a name in any namespace: one that made something of the event other
    /// than to filter it.
    pub trigger: Option<String>,
    /// Some trigger decided this; with `trigger` that one did.
    ///
    /// Which trigger filtered an event is not kept but computed, so with
    /// [`DecisionKind::Filtered`] `trigger` is not looked at: the caller computes and drops.
    pub decision: Option<DecisionKind>,
    /// CloudEvents `source`. Only looked at where neither of the above is given.
    pub source: Option<String>,
    /// CloudEvents `type`. Only looked at where none of the above is given.
    pub event_type: Option<String>,
}

/// Which firings. Empty means all.
#[derive(Debug, Clone, Default)]
pub struct FiringFilter {
    /// `namespace/name`, or a name in any namespace; of a template run by hand the template's.
    pub trigger: Option<String>,
    /// Ended with this.
    pub outcome: Option<Outcome>,
    /// An event's key.
    pub event: Option<EventKey>,
}

/// Which part of a list: newest first.
#[derive(Debug, Clone)]
pub struct Page {
    /// 1 to 500.
    pub limit: u32,
    /// `next` of the page before.
    pub cursor: Option<Cursor>,
}

/// A place in a list that stays right while rows arrive. URL-safe text for clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Inbox position of the last row.
    pub position: u64,
    /// Its place among that event's rows.
    pub place: u32,
}

/// One page.
#[derive(Debug, Clone)]
pub struct Listed<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Cursor>,
}

/// Why history could not be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum HistoryError {
    /// Not now.
    #[error("the history can't be read: {0}")]
    Unavailable(String),
    /// A row that this version can't read, or a database that is damaged.
    #[error("the history can't be read: {0}")]
    Corrupt(String),
}

impl From<ReadError> for HistoryError {
    fn from(error: ReadError) -> Self {
        match error {
            corrupt @ ReadError::Corrupt { .. } => Self::Corrupt(corrupt.to_string()),
            ReadError::Database(error) if !passes(&error) => Self::Corrupt(error.to_string()),
            other => Self::Unavailable(other.to_string()),
        }
    }
}

/// Whether it may be otherwise later: not where the file or a row of it is damaged.
fn passes(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    code.is_some_and(|code| !matches!(code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// Reads history. Cheap to clone; only lists wait for the writer, where commits are not folded yet.
#[derive(Debug, Clone)]
pub struct History {
    readers: Folded,
    revision: watch::Receiver<u64>,
    recent: Recent,
}

impl History {
    pub(in crate::store) fn new(readers: Folded, revision: watch::Receiver<u64>, recent: Recent) -> Self {
        Self { readers, revision, recent }
    }

    /// Runs, newest first.
    pub async fn runs(&self, filter: RunFilter, page: Page) -> Result<Listed<Run>, HistoryError> {
        Ok(self.readers.with(move |connection| lists::runs(connection, &filter, &page)).await?)
    }

    /// Decided events, newest first.
    pub async fn events(&self, filter: EventFilter, page: Page) -> Result<Listed<EventRecord>, HistoryError> {
        Ok(self.readers.with(move |connection| lists::events(connection, &filter, &page)).await?)
    }

    /// Firings, newest first.
    pub async fn firings(&self, filter: FiringFilter, page: Page) -> Result<Listed<Firing>, HistoryError> {
        Ok(self.readers.with(move |connection| lists::firings(connection, &filter, &page)).await?)
    }

    /// What became of a trigger's firings.
    pub async fn summary(&self, trigger: ObjectName) -> Result<Summary, HistoryError> {
        Ok(self.readers.with(move |connection| summary::summary(connection, &trigger)).await?)
    }

    /// One run.
    pub async fn run(&self, id: &RunId) -> Result<Option<Run>, HistoryError> {
        self.one("SELECT json FROM runs WHERE id = ?1", id.as_str()).await
    }

    /// One firing.
    pub async fn firing(&self, id: &FiringId) -> Result<Option<Firing>, HistoryError> {
        self.one("SELECT json FROM firings WHERE id = ?1", id.as_str()).await
    }

    /// What was decided about an event; `None` while it is not decided.
    pub async fn event(&self, key: &EventKey) -> Result<Option<EventRecord>, HistoryError> {
        self.one("SELECT json FROM events WHERE key = ?1", key.as_str()).await
    }

    /// All kept runs of a firing, in order.
    pub async fn runs_of_firing(&self, id: &FiringId) -> Result<Vec<Run>, HistoryError> {
        self.all("SELECT json FROM runs WHERE firing = ?1 ORDER BY position, place", id.as_str()).await
    }

    /// All kept runs of an event, in order.
    pub async fn runs_of_event(&self, key: &EventKey) -> Result<Vec<Run>, HistoryError> {
        let sql = "SELECT json FROM runs INDEXED BY runs_event WHERE event_key = ?1 ORDER BY position, place";
        self.all(sql, key.as_str()).await
    }

    /// All kept firings of an event, in order.
    pub async fn firings_of_event(&self, key: &EventKey) -> Result<Vec<Firing>, HistoryError> {
        self.all("SELECT json FROM firings WHERE event_key = ?1 ORDER BY position, place", key.as_str()).await
    }

    /// Changes after every commit; its value is the revision of the newest.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.revision.clone()
    }

    /// Which runs and firings changed after the commit `revision`, as far as that is still known.
    pub fn changed_since(&self, revision: u64) -> Since {
        self.recent.since(revision)
    }

    async fn one<T: lists::Row>(&self, sql: &'static str, id: &str) -> Result<Option<T>, HistoryError> {
        let wanted = id.to_owned();
        let read = move |connection: &Connection| Ok(lists::select(connection, sql, [wanted])?.pop());
        Ok(self.readers.one(|write| lists::written(write, id), read).await?)
    }

    async fn all<T: lists::Row>(&self, sql: &'static str, id: &str) -> Result<Vec<T>, HistoryError> {
        let id = id.to_owned();
        Ok(self.readers.with(move |connection| lists::select(connection, sql, [&id])).await?)
    }
}
