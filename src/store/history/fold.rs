//! From writes to rows.

use rusqlite::{Connection, OptionalExtension as _, named_params};

use crate::engine::machine::{EventRecord, Firing, Key, Record, Run, Write};
use crate::engine::verdict::Outcome;
use crate::store::sqlite::number;

/// Folds one write, whose value as JSON is `json`, into the rows. Idempotent.
///
/// An open run or firing that is deleted moves to its settled key, so its row stays.
pub(in crate::store) fn apply(
    connection: &Connection,
    write: &Write,
    json: Option<&str>,
) -> rusqlite::Result<()> {
    match (&write.key, &write.value, json) {
        (key, Some(Record::Run(run)), Some(json)) => {
            put_run(connection, run, matches!(key, Key::RunDone(_)), json)
        }
        (key, Some(Record::Firing(firing)), Some(json)) => {
            put_firing(connection, firing, matches!(key, Key::FiringDone(_)), json)
        }
        (_, Some(Record::Event(event)), Some(json)) => put_event(connection, event, json),
        (Key::RunDone(id), None, _) => delete_run(connection, id.as_str()),
        (Key::FiringDone(id), None, _) => {
            connection.prepare_cached("DELETE FROM firings WHERE id = ?1")?.execute([id.as_str()])?;
            Ok(())
        }
        (Key::Event(key), None, _) => delete_event(connection, key.as_str()),
        _ => Ok(()),
    }
}

/// Whether [`apply`] takes a row out for it, and with it what depends on the row.
pub(in crate::store) fn deletes(write: &Write) -> bool {
    write.value.is_none() && matches!(write.key, Key::RunDone(_) | Key::FiringDone(_) | Key::Event(_))
}

/// What never changes is not written again, which spares its indices.
fn put_run(connection: &Connection, run: &Run, settled: bool, json: &str) -> rusqlite::Result<()> {
    let sql = "INSERT INTO runs (id, firing, event_key, event_id, position, place, namespace, name,
                   template_namespace, template_name, outcome, finished_at, settled, json)
               VALUES (:id, :firing, :event_key, :event_id, :position, :place, :namespace, :name,
                   :template_namespace, :template_name, :outcome, :finished_at, :settled, :json)
               ON CONFLICT (id) DO UPDATE SET outcome = excluded.outcome,
                   finished_at = excluded.finished_at, settled = excluded.settled, json = excluded.json";
    connection.prepare_cached(sql)?.execute(named_params! {
        ":id": run.id.as_str(),
        ":firing": run.firing.as_str(),
        ":event_key": run.event.key.as_str(),
        ":event_id": run.event.id,
        ":position": number(run.ordinal.0),
        ":place": run.ordinal.1,
        ":namespace": run.trigger.as_ref().map(|trigger| &trigger.namespace),
        ":name": run.trigger.as_ref().map(|trigger| &trigger.name),
        ":template_namespace": run.template.namespace,
        ":template_name": run.template.name,
        ":outcome": run.outcome.map(Outcome::as_str),
        ":finished_at": run.finished_at,
        ":settled": settled,
        ":json": json,
    })?;
    Ok(())
}

fn put_firing(connection: &Connection, firing: &Firing, done: bool, json: &str) -> rusqlite::Result<()> {
    let sql =
        "INSERT INTO firings (id, event_key, position, place, namespace, name, outcome, done, bare, json)
               VALUES (:id, :event_key, :position, :place, :namespace, :name, :outcome, :done, :bare, :json)
               ON CONFLICT (id) DO UPDATE SET outcome = excluded.outcome, done = excluded.done,
                   json = excluded.json";
    connection.prepare_cached(sql)?.execute(named_params! {
        ":id": firing.id.as_str(),
        ":event_key": firing.event.key.as_str(),
        ":position": number(firing.ordinal.0),
        ":place": firing.ordinal.1,
        ":namespace": firing.trigger.namespace,
        ":name": firing.trigger.name,
        ":outcome": firing.outcome.map(Outcome::as_str),
        ":done": done,
        ":bare": firing.runs.is_empty(),
        ":json": json,
    })?;
    Ok(())
}

fn put_event(connection: &Connection, event: &EventRecord, json: &str) -> rusqlite::Result<()> {
    delete_event(connection, event.attributes.key.as_str())?;
    let sql = "INSERT INTO events (position, key, source, type, received_at, revision, filtered, json)
               VALUES (:position, :key, :source, :type, :received_at, :revision, :filtered, :json)";
    connection.prepare_cached(sql)?.execute(named_params! {
        ":position": number(event.position),
        ":key": event.attributes.key.as_str(),
        ":source": event.attributes.source,
        ":type": event.attributes.event_type,
        ":received_at": event.attributes.received_at,
        ":revision": event.revision,
        ":filtered": event.filtered,
        ":json": json,
    })?;
    let sql = "INSERT INTO decisions (position, place, namespace, name, decision)
               VALUES (?1, ?2, ?3, ?4, ?5)";
    let mut insert = connection.prepare_cached(sql)?;
    for (place, decision) in (0_u32..).zip(&event.decisions) {
        let kind = decision.decision.as_str();
        let trigger = &decision.trigger;
        insert.execute((number(event.position), place, &trigger.namespace, &trigger.name, kind))?;
    }
    Ok(())
}

/// The last run of a firing leaves it bare, so that retention finds it without looking at all.
fn delete_run(connection: &Connection, id: &str) -> rusqlite::Result<()> {
    let sql = "UPDATE firings SET bare = 1
               WHERE id = (SELECT firing FROM runs WHERE id = ?1)
                 AND NOT EXISTS (SELECT 1 FROM runs WHERE firing = firings.id AND id <> ?1)";
    connection.prepare_cached(sql)?.execute([id])?;
    connection.prepare_cached("DELETE FROM runs WHERE id = ?1")?.execute([id])?;
    Ok(())
}

fn delete_event(connection: &Connection, key: &str) -> rusqlite::Result<()> {
    let mut find = connection.prepare_cached("SELECT position FROM events WHERE key = ?1")?;
    // Most are new.
    let Some(position) = find.query_row([key], |row| row.get::<_, i64>(0)).optional()? else { return Ok(()) };
    connection.prepare_cached("DELETE FROM decisions WHERE position = ?1")?.execute([position])?;
    connection.prepare_cached("DELETE FROM events WHERE position = ?1")?.execute([position])?;
    Ok(())
}
