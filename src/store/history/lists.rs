//! Reading rows: one, some, and pages newest first.
//!
//! Every list names the index that it walks, so its cost is that of its page, not of the table.

use rusqlite::types::Value;
use rusqlite::{Connection, Params, params_from_iter};

use super::{Cursor, EventFilter, FiringFilter, Listed, Page, RunFilter};
use crate::engine::ids::EventKey;
use crate::engine::machine::{DecisionKind, EventRecord, Firing, Key, Record, Run, Write};
use crate::store::sqlite::number;
use crate::store::sqlite::pending::Said;
use crate::store::sqlite::readers::ReadError;

const MAX_LIMIT: u32 = 500;

/// A kind of row.
pub(super) trait Row: Sized + Clone + Send + 'static {
    /// Of what, in messages.
    const KIND: &str;

    /// The row, where `record` is of its kind.
    fn of(record: Record) -> Option<Self>;

    /// The row that a record is, and its id.
    fn row(record: &Record) -> Option<(&Self, &str)>;

    /// The id of the row that goes with the record under `key`.
    fn gone(key: &Key) -> Option<&str>;
}

/// What a write says of the row `id`.
pub(super) fn written<'write, T: Row>(write: &'write Write, id: &str) -> Said<&'write T> {
    match &write.value {
        Some(record) => match T::row(record) {
            Some((row, of)) if of == id => Said::There(row),
            _ => Said::Nothing,
        },
        None if T::gone(&write.key) == Some(id) => Said::Gone,
        None => Said::Nothing,
    }
}

impl Row for Run {
    const KIND: &str = "a run";

    fn of(record: Record) -> Option<Self> {
        if let Record::Run(run) = record { Some(*run) } else { None }
    }

    fn row(record: &Record) -> Option<(&Self, &str)> {
        if let Record::Run(run) = record { Some((run, run.id.as_str())) } else { None }
    }

    fn gone(key: &Key) -> Option<&str> {
        if let Key::RunDone(id) = key { Some(id.as_str()) } else { None }
    }
}

impl Row for Firing {
    const KIND: &str = "a firing";

    fn of(record: Record) -> Option<Self> {
        if let Record::Firing(firing) = record { Some(*firing) } else { None }
    }

    fn row(record: &Record) -> Option<(&Self, &str)> {
        if let Record::Firing(firing) = record { Some((firing, firing.id.as_str())) } else { None }
    }

    fn gone(key: &Key) -> Option<&str> {
        if let Key::FiringDone(id) = key { Some(id.as_str()) } else { None }
    }
}

impl Row for EventRecord {
    const KIND: &str = "an event";

    fn of(record: Record) -> Option<Self> {
        if let Record::Event(event) = record { Some(*event) } else { None }
    }

    fn row(record: &Record) -> Option<(&Self, &str)> {
        if let Record::Event(event) = record { Some((event, event.attributes.key.as_str())) } else { None }
    }

    fn gone(key: &Key) -> Option<&str> {
        if let Key::Event(key) = key { Some(key.as_str()) } else { None }
    }
}

/// The rows whose JSON is the first column of `sql`.
pub(super) fn select<T: Row>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
) -> Result<Vec<T>, ReadError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let json = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
        found.push(parse(json)?);
    }
    Ok(found)
}

fn parse<T: Row>(json: &str) -> Result<T, ReadError> {
    let corrupt =
        |message: String| ReadError::Corrupt { what: format!("{} of the history", T::KIND), message };
    let record = serde_json::from_str(json).map_err(|error| corrupt(error.to_string()))?;
    T::of(record).ok_or_else(|| corrupt("it is of another kind".to_owned()))
}

/// A statement in the making: conditions and what they are about.
#[derive(Default)]
struct Query {
    conditions: Vec<&'static str>,
    values: Vec<Value>,
}

impl Query {
    fn and(&mut self, condition: &'static str, value: impl Into<Value>) {
        self.conditions.push(condition);
        self.values.push(value.into());
    }

    /// `namespace/name`, or a name in any namespace.
    fn and_trigger(&mut self, trigger: &str) {
        let (namespace, name) = match trigger.split_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, trigger),
        };
        self.and("name = ?", name.to_owned());
        if let Some(namespace) = namespace {
            self.and("namespace = ?", namespace.to_owned());
        }
    }

    /// Rows after the place where the page before ended.
    fn and_before(&mut self, page: &Page) {
        let before = page.cursor.clone().unwrap_or(Cursor { position: u64::MAX, place: u32::MAX });
        self.and("(position, place) < (?, ?)", number(before.position));
        self.values.push(i64::from(before.place).into());
    }

    fn text(&self) -> String {
        self.conditions.join(" AND ")
    }
}

/// Runs, newest first.
pub(super) fn runs(
    connection: &Connection,
    filter: &RunFilter,
    page: &Page,
) -> Result<Listed<Run>, ReadError> {
    let (sql, values) = runs_query(filter, page);
    let rows = select(connection, &sql, params_from_iter(values))?;
    Ok(listed(rows, page, |run: &Run| Cursor { position: run.ordinal.0, place: run.ordinal.1 }))
}

fn runs_query(filter: &RunFilter, page: &Page) -> (String, Vec<Value>) {
    let mut query = Query::default();
    let index = match (&filter.event, &filter.trigger, filter.outcome) {
        (Some(_), _, _) => "NOT INDEXED",
        (None, None, None) => "INDEXED BY runs_order",
        (None, None, Some(_)) => "INDEXED BY runs_outcome",
        (None, Some(_), None) => "INDEXED BY runs_name",
        (None, Some(_), Some(_)) => "INDEXED BY runs_name_outcome",
    };
    if let Some(event) = &filter.event {
        // An id that looks like a key is looked for as both.
        let id = "rowid IN (SELECT rowid FROM runs INDEXED BY runs_event_id WHERE event_id = ?1)";
        let both = "rowid IN (SELECT rowid FROM runs INDEXED BY runs_event WHERE event_key = ?1
                    UNION SELECT rowid FROM runs INDEXED BY runs_event_id WHERE event_id = ?1)";
        query.and(if EventKey::parse(event).is_some() { both } else { id }, event.clone());
    }
    if let Some(trigger) = &filter.trigger {
        query.and_trigger(trigger);
    }
    if let Some(outcome) = filter.outcome {
        query.and("outcome = ?", outcome.as_str().to_owned());
    }
    query.and_before(page);
    (newest_first("runs", index, &query, page), query.values)
}

/// Firings, newest first.
pub(super) fn firings(
    connection: &Connection,
    filter: &FiringFilter,
    page: &Page,
) -> Result<Listed<Firing>, ReadError> {
    let (sql, values) = firings_query(filter, page);
    let rows = select(connection, &sql, params_from_iter(values))?;
    Ok(listed(rows, page, |firing: &Firing| Cursor { position: firing.ordinal.0, place: firing.ordinal.1 }))
}

fn firings_query(filter: &FiringFilter, page: &Page) -> (String, Vec<Value>) {
    let mut query = Query::default();
    let index = match (&filter.event, &filter.trigger, filter.outcome) {
        (Some(_), _, _) => "firings_event",
        (None, None, None) => "firings_order",
        (None, None, Some(_)) => "firings_outcome",
        (None, Some(_), None) => "firings_name",
        (None, Some(_), Some(_)) => "firings_name_outcome",
    };
    if let Some(event) = &filter.event {
        query.and("event_key = ?", event.to_string());
    }
    if let Some(trigger) = &filter.trigger {
        query.and_trigger(trigger);
    }
    if let Some(outcome) = filter.outcome {
        query.and("outcome = ?", outcome.as_str().to_owned());
    }
    query.and_before(page);
    (newest_first("firings", &format!("INDEXED BY {index}"), &query, page), query.values)
}

/// A list in the order of arrival, by its rows' places.
fn newest_first(table: &str, index: &str, query: &Query, page: &Page) -> String {
    format!(
        "SELECT json FROM {table} {index} WHERE {} ORDER BY position DESC, place DESC LIMIT {}",
        query.text(),
        limit(page) + 1,
    )
}

/// Decided events, newest first.
pub(super) fn events(
    connection: &Connection,
    filter: &EventFilter,
    page: &Page,
) -> Result<Listed<EventRecord>, ReadError> {
    let (sql, values) = events_query(filter, page);
    let rows = select(connection, &sql, params_from_iter(values))?;
    Ok(listed(rows, page, |event: &EventRecord| Cursor { position: event.position, place: 0 }))
}

fn events_query(filter: &EventFilter, page: &Page) -> (String, Vec<Value>) {
    let before = page.cursor.as_ref().map_or(i64::MAX, |cursor| number(cursor.position));
    let mut query = Query::default();
    query.and("position < ?", before);
    let source = match (&filter.trigger, filter.decision) {
        (_, Some(DecisionKind::Filtered)) => {
            query.conditions.push("filtered > 0");
            "position FROM events INDEXED BY events_filtered"
        }
        (None, None) => match (&filter.source, &filter.event_type) {
            (Some(source), _) => {
                query.and("source = ?", source.clone());
                "position FROM events INDEXED BY events_source"
            }
            (None, Some(event_type)) => {
                query.and("type = ?", event_type.clone());
                "position FROM events INDEXED BY events_type"
            }
            (None, None) => "position FROM events NOT INDEXED",
        },
        (None, Some(_)) => "DISTINCT position FROM decisions INDEXED BY decisions_decision",
        (Some(_), None) => "DISTINCT position FROM decisions INDEXED BY decisions_name",
        (Some(_), Some(_)) => "DISTINCT position FROM decisions INDEXED BY decisions_name_decision",
    };
    if let Some(kind) = filter.decision.filter(|kind| *kind != DecisionKind::Filtered) {
        query.and("decision = ?", kind.as_str().to_owned());
    }
    if let Some(trigger) = &filter.trigger
        && filter.decision != Some(DecisionKind::Filtered)
    {
        query.and_trigger(trigger);
    }
    let sql = format!(
        "SELECT json FROM events WHERE position IN
             (SELECT {source} WHERE {} ORDER BY position DESC LIMIT {}) ORDER BY position DESC",
        query.text(),
        limit(page) + 1,
    );
    (sql, query.values)
}

fn limit(page: &Page) -> u32 {
    page.limit.clamp(1, MAX_LIMIT)
}

/// One row more than the page was asked for: that is how its end is known.
fn listed<T>(mut items: Vec<T>, page: &Page, place: impl Fn(&T) -> Cursor) -> Listed<T> {
    let limit = usize::try_from(limit(page)).unwrap_or(usize::MAX);
    let more = items.len() > limit;
    items.truncate(limit);
    let next = if more { items.last().map(place) } else { None };
    Listed { items, next }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::verdict::Outcome;

    /// Every step of the plan must be a search of an index, in the order of the list.
    fn check(connection: &Connection, (sql, values): (String, Vec<Value>)) {
        let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let steps = explain.query_map(params_from_iter(values), |row| row.get::<_, String>(3)).unwrap();
        let plan = steps.collect::<Result<Vec<_>, _>>().unwrap().join("\n");
        assert!(plan.contains("SEARCH"), "{sql}\n{plan}");
        assert!(!plan.contains("SCAN runs") && !plan.contains("SCAN events"), "{sql}\n{plan}");
        let sorted = plan.contains("TEMP B-TREE FOR ORDER BY") || plan.contains("TEMP B-TREE FOR DISTINCT");
        assert!(!sorted || sql.contains("event_id"), "{sql}\n{plan}");
    }

    #[test]
    fn every_list_is_a_search_in_an_index() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(crate::store::history::SCHEMA).unwrap();
        connection.execute_batch(crate::store::history::SCHEMA_2).unwrap();
        let page = Page { limit: 50, cursor: Some(Cursor { position: 7, place: 1 }) };
        let key = "0123456789abcdef0123456789abcdef".to_owned();
        for trigger in [None, Some("smoke".to_owned()), Some("shop/smoke".to_owned())] {
            for outcome in [None, Some(Outcome::Failed)] {
                for event in [None, Some("42".to_owned()), Some(key.clone())] {
                    let filter = RunFilter { trigger: trigger.clone(), outcome, event };
                    check(&connection, runs_query(&filter, &page));
                }
            }
            for decision in [None, Some(DecisionKind::Fired), Some(DecisionKind::Filtered)] {
                for (source, event_type) in [(None, None), (Some("s"), None), (None, Some("t"))] {
                    let (source, event_type) = (source.map(str::to_owned), event_type.map(str::to_owned));
                    let filter = EventFilter { trigger: trigger.clone(), decision, source, event_type };
                    check(&connection, events_query(&filter, &page));
                }
            }
            for outcome in [None, Some(Outcome::Failed)] {
                for event in [None, EventKey::parse(&key)] {
                    let filter = FiringFilter { trigger: trigger.clone(), outcome, event };
                    check(&connection, firings_query(&filter, &page));
                }
            }
        }
    }
}
