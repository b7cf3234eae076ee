//! What may go: settled runs beyond their template's limits, firings without runs, events beyond
//! the dedup horizon.
//!
//! It only names candidates; the machine deletes them by a commit, so that a crash in between
//! loses nothing.

use std::collections::{BTreeSet, HashMap};

use rusqlite::{Connection, OptionalExtension as _, Params, Row};

use super::{History, HistoryError};
use crate::engine::event::Millis;
use crate::engine::ids::{EventKey, FiringId, ObjectName, RunId};
use crate::store::sqlite::readers::ReadError;

/// How long a redelivery is surely recognised: 7 days.
pub const DEDUP_HORIZON_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// How many runs of a template are kept, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TemplateLimit {
    /// The newest so many.
    pub max_runs: u32,
    /// For so long after they ended.
    pub max_age_ms: i64,
}

impl History {
    /// Up to `limit` settled runs that are too many or too old. Templates that `limits` lacks have
    /// the `default`. Runs of a firing that is still open are kept.
    pub async fn prunable(
        &self,
        limits: HashMap<ObjectName, TemplateLimit>,
        default: TemplateLimit,
        now: Millis,
        limit: usize,
    ) -> Result<Vec<RunId>, HistoryError> {
        let read = move |connection: &Connection| {
            let mut found = BTreeSet::new();
            let mut before = None;
            while let Some(template) = next_template(connection, before.as_ref())? {
                let kept = limits.get(&template).copied().unwrap_or(default);
                let room = limit.saturating_sub(found.len());
                found.extend(prunable_of(connection, &template, kept, now, room)?);
                if found.len() >= limit {
                    break;
                }
                before = Some(template);
            }
            Ok(found.into_iter().take(limit).collect())
        };
        Ok(self.readers.with(read).await?)
    }

    /// Up to `limit` ended firings of which no run is kept, oldest first.
    pub async fn finished_firings_without_runs(&self, limit: usize) -> Result<Vec<FiringId>, HistoryError> {
        let sql = "SELECT id FROM firings INDEXED BY firings_bare
                   WHERE bare AND done AND NOT EXISTS (SELECT 1 FROM runs WHERE firing = firings.id)
                   ORDER BY position, place LIMIT ?1";
        let read = move |connection: &Connection| texts(connection, sql, [count(limit)], FiringId::parse);
        Ok(self.readers.with(read).await?)
    }

    /// Up to `limit` decided events that were received more than `horizon_ms` before `now`, without
    /// an open firing and without a kept run, oldest first.
    ///
    /// The commit that deletes such an event's record also deletes it from the inbox.
    pub async fn expirable(
        &self,
        horizon_ms: i64,
        now: Millis,
        limit: usize,
    ) -> Result<Vec<EventKey>, HistoryError> {
        let sql = "SELECT key FROM events INDEXED BY events_received WHERE received_at < ?1
                     AND NOT EXISTS (SELECT 1 FROM firings WHERE event_key = events.key AND NOT done)
                     AND NOT EXISTS (SELECT 1 FROM runs INDEXED BY runs_event WHERE event_key = events.key)
                   ORDER BY received_at LIMIT ?2";
        let since = now.saturating_sub(horizon_ms);
        let read =
            move |connection: &Connection| texts(connection, sql, (since, count(limit)), EventKey::parse);
        Ok(self.readers.with(read).await?)
    }

    /// Up to `limit` events beyond the newest `most`, of those that [`History::expirable`] could name for
    /// this horizon, oldest first. An event that may not go yet counts, but never goes.
    pub async fn surplus(
        &self,
        most: u64,
        horizon_ms: i64,
        now: Millis,
        limit: usize,
    ) -> Result<Vec<EventKey>, HistoryError> {
        let since = now.saturating_sub(horizon_ms);
        // The newest are passed over by the index alone.
        let sql = "SELECT key FROM (
                       SELECT key, received_at FROM events INDEXED BY events_received WHERE received_at < ?1
                       ORDER BY received_at DESC LIMIT -1 OFFSET ?2) AS beyond
                   WHERE NOT EXISTS (SELECT 1 FROM firings WHERE event_key = beyond.key AND NOT done)
                     AND NOT EXISTS (SELECT 1 FROM runs INDEXED BY runs_event WHERE event_key = beyond.key)
                   ORDER BY received_at LIMIT ?3";
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let read = move |connection: &Connection| {
            texts(connection, sql, (since, most, count(limit)), EventKey::parse)
        };
        Ok(self.readers.with(read).await?)
    }

    /// Those of `runs` that there are not.
    pub async fn unknown_runs(&self, runs: Vec<RunId>) -> Result<Vec<RunId>, HistoryError> {
        let read = move |connection: &Connection| {
            let mut known = connection.prepare_cached("SELECT 1 FROM runs WHERE id = ?1")?;
            let mut unknown = Vec::new();
            for run in &runs {
                if !known.exists([run.as_str()])? {
                    unknown.push(run.clone());
                }
            }
            Ok(unknown)
        };
        Ok(self.readers.with(read).await?)
    }

    /// The revisions of the definitions that kept events were decided by, the one that decided last first.
    pub async fn revisions_in_use(&self) -> Result<Vec<String>, HistoryError> {
        let read = |connection: &Connection| {
            let mut found: Vec<(i64, String)> = Vec::new();
            let next = "SELECT revision FROM events WHERE revision > ?1 ORDER BY revision LIMIT 1";
            let last = "SELECT MAX(position) FROM events INDEXED BY events_revision WHERE revision = ?1";
            let mut next = connection.prepare_cached(next)?;
            let mut last = connection.prepare_cached(last)?;
            let mut at = String::new();
            while let Some(revision) = next.query_row([&at], |row| row.get(0)).optional()? {
                at = revision;
                found.push((last.query_row([&at], |row| row.get(0))?, at.clone()));
            }
            found.sort_by(|one, other| other.cmp(one));
            Ok(found.into_iter().map(|(_, revision)| revision).collect())
        };
        Ok(self.readers.with(read).await?)
    }
}

/// The next template that has settled runs: a step over the index for each, however many runs.
fn next_template(
    connection: &Connection,
    before: Option<&ObjectName>,
) -> Result<Option<ObjectName>, ReadError> {
    let sql = "SELECT template_namespace, template_name FROM runs INDEXED BY runs_template
               WHERE settled AND (template_namespace, template_name) > (?1, ?2)
               ORDER BY template_namespace, template_name LIMIT 1";
    let (namespace, name) = before.map_or(("", ""), |at| (at.namespace.as_str(), at.name.as_str()));
    let template = |row: &Row<'_>| Ok(ObjectName::new(row.get::<_, String>(0)?, row.get::<_, String>(1)?));
    Ok(connection.prepare_cached(sql)?.query_row([namespace, name], template).optional()?)
}

fn prunable_of(
    connection: &Connection,
    template: &ObjectName,
    kept: TemplateLimit,
    now: Millis,
    room: usize,
) -> Result<Vec<RunId>, ReadError> {
    let (namespace, name) = (&template.namespace, &template.name);
    let too_old = "SELECT id FROM runs INDEXED BY runs_template_age
                   WHERE settled AND template_namespace = ?1 AND template_name = ?2 AND finished_at < ?3
                     AND NOT EXISTS (SELECT 1 FROM firings WHERE id = runs.firing AND NOT done)
                   ORDER BY finished_at LIMIT ?4";
    let since = now.saturating_sub(kept.max_age_ms);
    let mut found = texts(connection, too_old, (namespace, name, since, count(room)), RunId::parse)?;
    // The newest are passed over by the index alone, however many are kept.
    let too_many = "SELECT id FROM (
                        SELECT id, firing FROM runs INDEXED BY runs_template
                        WHERE settled AND template_namespace = ?1 AND template_name = ?2
                        ORDER BY position DESC, place DESC LIMIT -1 OFFSET ?3) AS beyond
                    WHERE NOT EXISTS (SELECT 1 FROM firings WHERE id = beyond.firing AND NOT done)
                    LIMIT ?4";
    let params = (namespace, name, i64::from(kept.max_runs), count(room));
    found.extend(texts(connection, too_many, params, RunId::parse)?);
    Ok(found)
}

fn count(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn texts<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, ReadError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let text = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
        let id = parse(text).ok_or_else(|| ReadError::Corrupt {
            what: format!("the id {text:?} of the history"),
            message: "it is not one".to_owned(),
        })?;
        found.push(id);
    }
    Ok(found)
}
