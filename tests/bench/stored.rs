//! A server that has been at work for long: 1,000 triggers, 100,000 stored events and runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use kickoff::engine::event::{Attributes, Ingress};
use kickoff::engine::ids::{EventKey, FiringId, ObjectName, RunId};
use kickoff::engine::machine::{Decision, DecisionKind, EventRecord, Firing, Key, Record, Run, Write};
use kickoff::engine::verdict::ExitCodes;
use kickoff::store::records::Records as _;
use kickoff::store::sqlite::{Options, SqliteStore};
use serde_json::json;

use super::client::Connection;
use super::process::Server;
use super::{Promise, median};

const RUNS: u64 = 100_000;
const TRIGGERS: u64 = 1_000;
const AT_ONCE: u64 = 300;

fn definitions() -> String {
    let mut text = "apiVersion: kickoff.dev/v1alpha1
kind: Webhook
metadata: {name: load}
spec: {provider: token, secrets: [{env: LOAD_TOKEN}], auth: {idHeader: X-Id}}
---
apiVersion: kickoff.dev/v1alpha1
kind: JobTemplate
metadata: {name: stored}
spec: {job: {spec: {template: {spec: {containers: [{name: main, command: [\"true\"]}]}}}}}
"
    .to_owned();
    for number in 0..TRIGGERS {
        write!(
            text,
            "---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {{name: t{number}}}
spec: {{sources: [{{webhook: {{name: load}}}}], match: [{{path: event.data.n, equals: {number}}}], runs: [{{template: stored}}]}}
"
        )
        .unwrap();
    }
    text
}

/// What is kept of one event that fired, and ended well or not.
fn kept(number: u64) -> [Write; 3] {
    let ingress = Ingress::Webhook(ObjectName::new("default", "load"));
    let (id, source, at) = (format!("stored-{number}"), "/hooks/load", 1_800_000_000_000_i64);
    let key = EventKey::derive(&ingress.to_string(), source, &id);
    let trigger = ObjectName::new("default", format!("t{}", number % TRIGGERS));
    let firing = FiringId::derive("kickoff", &trigger, &key);
    let run = RunId::derive(&firing, "stored", "{}");
    let outcome = if number.is_multiple_of(7) { "Failed" } else { "Passed" };
    let event = json!({"key": key, "id": id, "source": source, "type": "com.token.event"});
    let of_run: Run = serde_json::from_value(json!({
        "id": run, "firing": firing, "trigger": trigger, "template": "default/stored", "name": "stored",
        "namespace": "default", "event": event, "state": "settled", "attempt": 1,
        "attempts": [{"uid": "uid", "startedAt": at, "finishedAt": at, "outcome": outcome, "log": "stored"}],
        "outcome": outcome, "reason": "exit code 0", "exitCode": 0,
        "retries": {"limit": 0, "outcomes": [], "backoffMs": 0}, "exitCodes": ExitCodes::default(),
        "timeoutMs": 1000, "priority": 0, "ordinal": [number, 0], "createdAt": at, "since": at,
        "startedAt": at, "finishedAt": at,
    }))
    .unwrap();
    let of_firing: Firing = serde_json::from_value(json!({
        "id": firing, "trigger": trigger, "event": event, "state": "ended", "priority": 0,
        "ordinal": [number, 0], "runs": [{"id": run, "name": "stored", "template": "default/stored"}],
        "outcome": outcome, "createdAt": at, "since": at,
    }))
    .unwrap();
    let attributes = Attributes {
        key: key.clone(),
        ingress,
        id,
        source: source.to_owned(),
        event_type: "com.token.event".to_owned(),
        subject: None,
        datacontenttype: "application/json".to_owned(),
        git: None,
        extensions: std::collections::BTreeMap::new(),
        traceparent: None,
        cause: None,
        received_at: at,
    };
    let decision = DecisionKind::Fired;
    let decisions = vec![Decision {
        trigger,
        decision,
        reason: "all rules hold".to_owned(),
        firing: Some(firing.clone()),
    }];
    let of_event = EventRecord {
        position: number,
        attributes,
        revision: "stored".to_owned(),
        decisions,
        before: std::collections::BTreeMap::new(),
        filtered: 999,
        decided_at: at,
    };
    [
        Write::put(Key::Event(key), Record::Event(Box::new(of_event))),
        Write::put(Key::FiringDone(firing), Record::Firing(Box::new(of_firing))),
        Write::put(Key::RunDone(run), Record::Run(Box::new(of_run))),
    ]
}

async fn fill(folder: &Path) {
    let store = SqliteStore::open(folder, Options::default()).unwrap();
    let fence = store.lead("bench").await.unwrap();
    for first in (1..=RUNS).step_by(usize::try_from(AT_ONCE).unwrap()) {
        let writes: Vec<Write> = (first..(first + AT_ONCE).min(RUNS + 1)).flat_map(kept).collect();
        store.commit(&fence, writes.into()).await.unwrap();
    }
}

/// The middle of 50 requests, on one connection.
async fn listed(connection: &mut Connection, path: &str) -> Duration {
    let mut samples = Vec::new();
    for _ in 0..50 {
        let sent = Instant::now();
        assert_eq!(connection.get(path).await, 200, "{path}");
        samples.push(sent.elapsed());
    }
    median(samples)
}

pub async fn measure() -> Vec<Promise> {
    let folder = tempfile::tempdir().unwrap();
    let (data, definitions_folder) = (folder.path().join("data"), folder.path().join("definitions"));
    std::fs::create_dir(&definitions_folder).unwrap();
    std::fs::write(definitions_folder.join("all.yaml"), definitions()).unwrap();
    fill(&data).await;
    let samples = (0..5).map(|_| Server::start(&data, Some(&definitions_folder)).ready_after).collect();
    let ready = median(samples);
    let server = Server::start(&data, Some(&definitions_folder));
    let mut connection = Connection::open(server.address).await;
    let mut figures = BTreeMap::new();
    for path in [
        "/api/v1/runs",
        "/api/v1/runs?trigger=t7",
        "/api/v1/runs?trigger=t7&outcome=Failed",
        "/api/v1/events",
        "/api/v1/events?trigger=t7&decision=fired",
        "/api/v1/events?decision=filtered",
        "/api/v1/events?type=com.token.event",
        "/api/v1/firings?outcome=Failed",
    ] {
        figures.insert(listed(&mut connection, path).await, path);
    }
    let (slowest, path) = figures.pop_last().unwrap();
    vec![
        Promise {
            name: "ready within 500 ms with 1,000 triggers and 100,000 stored runs, median",
            measured: format!("{ready:.1?}"),
            holds: ready <= Duration::from_millis(500),
        },
        Promise {
            name: "lists of runs, events and firings under 10 ms there, the slowest median",
            measured: format!("{slowest:.2?} for {path}"),
            holds: slowest < Duration::from_millis(10),
        },
    ]
}
