//! The `SQLite` inbox, records and history, and the logs beside them.

mod blobs;
mod crash;
mod full;
mod history;
mod inbox;
mod log;
mod open;
mod pending;
mod records;
mod retention;
mod summary;

pub use open::Tmpfs;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use bytes::Bytes;
use kickoff::engine::definitions::model::Retries;
use kickoff::engine::event::{Attributes, Event, Ingress};
use kickoff::engine::ids::{EventKey, FiringId, ObjectName, RunId};
use kickoff::engine::machine::record::{EventRef, RunSummary};
use kickoff::engine::machine::{
    Decision, DecisionKind, EventRecord, Firing, FiringState, Key, Record, Run, RunState, Write,
};
use kickoff::engine::verdict::{ExitCodes, Outcome};
use kickoff::outside::clock::Clock;
use kickoff::store::sqlite::{Options, SqliteStore};

const NOW: i64 = 1_800_000_000_000;

fn options() -> Options {
    Options::new(Clock::Virtual(Arc::new(AtomicI64::new(NOW))))
}

fn open(dir: &Path) -> SqliteStore {
    SqliteStore::open(dir, options()).unwrap()
}

/// Another connection to the database.
pub(crate) fn beside(dir: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(dir.join("kickoff.db")).unwrap()
}

/// From now on the database refuses what a trigger is told of: `when` says to what it belongs, and when it holds.
pub(crate) fn refuse(dir: &Path, when: &str) {
    let sql = format!("CREATE TRIGGER refuse {when} BEGIN SELECT RAISE(ABORT, 'refused by the test'); END");
    beside(dir).execute_batch(&sql).unwrap();
}

/// Another program that has locked the database: the writer stands still until this is dropped.
struct Stall(rusqlite::Connection);

impl Stall {
    fn of(dir: &Path) -> Self {
        let connection = beside(dir);
        connection.busy_timeout(Duration::from_secs(5)).unwrap();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        Self(connection)
    }

    fn end(self) {
        self.0.execute_batch("COMMIT").unwrap();
    }
}

fn key(id: &str) -> EventKey {
    EventKey::derive("manual/tester", "/manual", id)
}

fn attributes(id: &str) -> Attributes {
    Attributes {
        key: key(id),
        ingress: Ingress::Manual("tester".to_owned()),
        id: id.to_owned(),
        source: "/manual".to_owned(),
        event_type: "dev.kickoff.manual".to_owned(),
        subject: None,
        datacontenttype: "application/json".to_owned(),
        git: None,
        extensions: BTreeMap::new(),
        cause: None,
        traceparent: None,
        received_at: NOW,
    }
}

fn event(id: &str) -> Event {
    Event { attributes: attributes(id), body: Bytes::from(format!("{{\"id\": \"{id}\"}}")) }
}

fn firing_id(id: &str) -> FiringId {
    FiringId::derive("kickoff", &ObjectName::new("shop", "smoke"), &key(id))
}

fn run_id(event: &str, leg: &str) -> RunId {
    RunId::derive(&firing_id(event), leg, "{}")
}

fn event_ref(id: &str) -> EventRef {
    let Attributes { key, id, source, event_type, .. } = attributes(id);
    EventRef { key, id, source, event_type, traceparent: None }
}

/// A queued run of `shop/smoke` by the template `shop/api`.
fn run(event: &str, position: u64, place: u32) -> Run {
    Run {
        id: run_id(event, &place.to_string()),
        firing: firing_id(event),
        trigger: Some(ObjectName::new("shop", "smoke")),
        template: ObjectName::new("shop", "api"),
        environment: None,
        name: place.to_string(),
        matrix: BTreeMap::new(),
        params: BTreeMap::new(),
        namespace: "shop".to_owned(),
        event: event_ref(event),
        root: None,
        git: None,
        cause: None,
        state: RunState::Queued,
        attempt: 1,
        attempts: Vec::new(),
        cancel: None,
        outcome: None,
        reason: None,
        exit_code: None,
        gives_outputs: false,
        outputs: None,
        retries: Retries { limit: 0, outcomes: BTreeSet::new(), backoff_ms: 0 },
        exit_codes: ExitCodes::default(),
        timeout_ms: 1000,
        priority: 0,
        ordinal: (position, place),
        created_at: NOW,
        since: NOW,
        started_at: None,
        finished_at: None,
    }
}

fn settled(mut run: Run, outcome: Outcome, finished_at: i64) -> Run {
    run.state = RunState::Settled;
    run.outcome = Some(outcome);
    run.finished_at = Some(finished_at);
    run
}

fn firing(event: &str, position: u64, runs: u32) -> Firing {
    let summary = |place: u32| RunSummary {
        id: run_id(event, &place.to_string()),
        name: place.to_string(),
        template: ObjectName::new("shop", "api"),
        matrix: BTreeMap::new(),
        params: BTreeMap::new(),
        outcome: None,
        outputs: None,
    };
    Firing {
        id: firing_id(event),
        trigger: ObjectName::new("shop", "smoke"),
        event: event_ref(event),
        root: None,
        git: None,
        cause: None,
        state: FiringState::Active,
        series: None,
        previous: None,
        slot: None,
        priority: 0,
        ordinal: (position, 0),
        runs: (0..runs).map(summary).collect(),
        outcome: None,
        reason: None,
        created_at: NOW,
        since: NOW,
        started_at: None,
        finished_at: None,
    }
}

fn event_record(id: &str, position: u64, decisions: &[(&str, DecisionKind)], filtered: u32) -> EventRecord {
    let decision = |(trigger, decision): &(&str, DecisionKind)| Decision {
        trigger: ObjectName::parse(trigger, "shop"),
        decision: *decision,
        reason: String::new(),
        firing: None,
    };
    EventRecord {
        position,
        attributes: attributes(id),
        revision: "r1".to_owned(),
        decisions: decisions.iter().map(decision).collect(),
        filtered,
        before: BTreeMap::new(),
        decided_at: NOW,
    }
}

fn put_run(run: Run) -> Write {
    let key = if run.state == RunState::Settled { Key::RunDone } else { Key::RunOpen };
    Write::put(key(run.id.clone()), Record::Run(Box::new(run)))
}

fn put_firing(firing: Firing) -> Write {
    let key = if firing.state == FiringState::Ended { Key::FiringDone } else { Key::FiringOpen };
    Write::put(key(firing.id.clone()), Record::Firing(Box::new(firing)))
}

fn put_event(event: EventRecord) -> Write {
    Write::put(Key::Event(event.attributes.key.clone()), Record::Event(Box::new(event)))
}

fn cursor(position: u64) -> Write {
    Write::put(Key::Cursor, Record::Cursor(position))
}
