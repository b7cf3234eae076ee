//! What became of a trigger's firings, as far as they are kept: when it fired last, and how they ended.
//!
//! A template that is run by hand has firings under its own name, which may be a trigger's too: those have runs of
//! no trigger, and do not count.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::lists;
use crate::engine::event::Millis;
use crate::engine::ids::ObjectName;
use crate::engine::machine::Firing;
use crate::engine::verdict::Outcome;
use crate::store::sqlite::readers::ReadError;

/// Of one trigger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// When it was decided last that it fires.
    pub last_fired: Option<Millis>,
    /// The newest verdict.
    pub last_outcome: Option<Outcome>,
    /// Firings by verdict; `None` while there is none.
    pub outcomes: BTreeMap<Option<String>, u64>,
}

const OF_TRIGGER: &str = "FROM firings AS firing INDEXED BY firings_name
    WHERE firing.name = ?1 AND firing.namespace = ?2 AND EXISTS
        (SELECT 1 FROM runs INDEXED BY runs_firing WHERE runs.firing = firing.id AND runs.name IS NOT NULL)";

pub(super) fn summary(connection: &Connection, trigger: &ObjectName) -> Result<Summary, ReadError> {
    let ObjectName { namespace, name } = trigger;
    let newest = |further: &str| -> Result<Option<Firing>, ReadError> {
        let sql = format!(
            "SELECT json {OF_TRIGGER} {further} ORDER BY firing.position DESC, firing.place DESC LIMIT 1"
        );
        Ok(lists::select(connection, &sql, [name, namespace])?.pop())
    };
    let last_fired = newest("")?.map(|firing| firing.created_at);
    let last_outcome = newest("AND firing.outcome IS NOT NULL")?.and_then(|firing| firing.outcome);
    let sql = format!("SELECT firing.outcome, COUNT(*) {OF_TRIGGER} GROUP BY firing.outcome");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([name, namespace])?;
    let mut outcomes = BTreeMap::new();
    while let Some(row) = rows.next()? {
        outcomes.insert(row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs());
    }
    Ok(Summary { last_fired, last_outcome, outcomes })
}
