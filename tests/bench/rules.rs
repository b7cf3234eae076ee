//! Deciding one event against many triggers on one webhook.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kickoff::engine::definitions::load::load;
use kickoff::engine::definitions::{Snapshot, compile};
use kickoff::engine::event::{Attributes, Event, Ingress};
use kickoff::engine::ids::{EventKey, ObjectName};
use kickoff::engine::machine::{Input, Machine, MachineConfig};
use serde_json::{Value, json};

use super::{Promise, median};

const TRIGGERS: usize = 10_000;
const EVENTS: usize = 400;

fn snapshot(triggers: usize, rule: impl Fn(usize) -> Value) -> Arc<Snapshot> {
    let document = |kind: &str, name: &str, spec: Value| {
        let api = "kickoff.dev/v1alpha1";
        json!({"apiVersion": api, "kind": kind, "metadata": {"name": name}, "spec": spec}).to_string()
    };
    let job = json!({"job": {"spec": {"template": {"spec": {"containers": [{"name": "main"}]}}}}});
    let mut documents = vec![
        document("Webhook", "hub", json!({"provider": "hmac", "secrets": [{"env": "SECRET"}]})),
        document("JobTemplate", "t", job),
    ];
    documents.extend((0..triggers).map(|at| {
        let sources = json!([{"webhook": {"name": "hub"}}]);
        let spec = json!({"sources": sources, "match": [rule(at)], "runs": [{"template": "t"}]});
        document("Trigger", &format!("t{at}"), spec)
    }));
    let loaded = load(&[("a.yaml".to_owned(), documents.join("\n---\n"))], "default");
    let snapshot = compile(&loaded, &BTreeMap::new(), None);
    assert!(snapshot.problems.is_empty(), "{:?}", snapshot.problems.first());
    snapshot
}

fn event(id: usize) -> Event {
    let ingress = Ingress::Webhook(ObjectName::new("default", "hub"));
    let attributes = Attributes {
        key: EventKey::derive(&ingress.to_string(), "/hooks/hub", &id.to_string()),
        ingress,
        id: id.to_string(),
        source: "/hooks/hub".to_owned(),
        event_type: "com.hmac.event".to_owned(),
        subject: None,
        datacontenttype: "application/json".to_owned(),
        git: None,
        cause: None,
        received_at: 0,
    };
    // Of the trigger 0, so that one fires with few triggers and with many.
    let body = json!({"ref": "refs/heads/team-0/x", "repository": {"full_name": "acme/0"}});
    Event { attributes, body: Bytes::from(body.to_string()) }
}

/// How long a decision takes, with one trigger and with many, taking turns.
fn decide(rule: impl Fn(usize) -> Value) -> (Duration, Duration) {
    let snapshots = [snapshot(1, &rule), snapshot(TRIGGERS, &rule)];
    let mut samples = [Vec::new(), Vec::new()];
    let config = || MachineConfig { instance: "bench".to_owned(), max_running: None, public_url: None };
    let mut machines = [Machine::new(config()), Machine::new(config())];
    for id in 1..=EVENTS {
        for (which, snapshot) in snapshots.iter().enumerate() {
            let input = Input::Event { position: id as u64, event: Box::new(event(id)) };
            let began = Instant::now();
            let step = machines[which].step(snapshot, input, 1_000);
            // The first keeps the documents.
            if id > 1 {
                samples[which].push(began.elapsed());
            }
            assert!(step.orders.len() == 1, "one trigger fires");
        }
    }
    let [one, many] = samples;
    (median(one), median(many))
}

pub fn measure() -> Vec<Promise> {
    let equality =
        |at: usize| json!({"path": "event.data.repository.full_name", "equals": format!("acme/{at}")});
    let glob = |at: usize| json!({"path": "event.data.ref", "glob": format!("refs/*/team-{at}/**")});
    let regex =
        |at: usize| json!({"path": "event.data.ref", "matches": format!("refs/(heads|tags)/team-{at}/.*")});
    let (one, many) = decide(equality);
    let mut promises = vec![Promise {
        name: "10,000 triggers told apart by an equality cost less than 0.1 ms more than 1",
        measured: format!("{one:?} with 1, {many:?} with 10,000"),
        holds: many.saturating_sub(one) < Duration::from_micros(100),
    }];
    let (one, many) = decide(glob);
    promises.push(Promise {
        name: "10,000 triggers told apart by a glob are decided in less than 5 ms",
        measured: format!("{one:?} with 1, {many:?} with 10,000"),
        holds: many < Duration::from_millis(5),
    });
    let (one, many) = decide(regex);
    promises.push(Promise {
        name: "10,000 triggers told apart by a regular expression are decided in less than 5 ms",
        measured: format!("{one:?} with 1, {many:?} with 10,000"),
        holds: many < Duration::from_millis(5),
    });
    promises
}
