//! Deciding one event against many triggers on one webhook.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kickoff::engine::definitions::config::RuleConfig;
use kickoff::engine::definitions::load::load;
use kickoff::engine::definitions::{Snapshot, compile};
use kickoff::engine::event::{Attributes, Event, Ingress};
use kickoff::engine::ids::{EventKey, ObjectName};
use kickoff::engine::machine::{Input, Machine, MachineConfig};
use kickoff::engine::rules::{Before, Rule};
use kickoff::engine::values::Facts;
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
        extensions: std::collections::BTreeMap::new(),
        traceparent: None,
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
    let config = || MachineConfig::new("bench");
    let mut machines = [Machine::new(config()), Machine::new(config())];
    for id in 1..=EVENTS {
        for (which, snapshot) in snapshots.iter().enumerate() {
            let input = Input::Event { position: id as u64, event: Box::new(event(id)), subject: None };
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

/// Dear expressions, most of them just within what is allowed.
const DEAR: [&str; 9] = [
    "event.data.list.all(x, x >= 0 && x < 10000 && x != -1)",
    "event.data.list.map(x, x * 2).filter(x, x > 3).size() > 3",
    "event.data.list.all(x, x in event.data.list)",
    "event.data.few.all(x, event.data.few.exists(y, x == y))",
    "event.data.texts.all(x, x.contains('zzz') || x.startsWith('x'))",
    "event.data.texts.exists(x, x.matches('(x+x+)+y'))",
    "event.data.wide.exists(x, x.b.c == 'e')",
    "event.data.wide.all(x, x == event.data.wide[0])",
    "event.data == event.data",
];

/// The longest that one of them takes, decided or refused; the least of three rounds, so that a busy
/// machine does not count.
fn dearest() -> (Duration, &'static str) {
    let texts: Vec<String> = (0..10_000).map(|at| format!("{}{at}", "x".repeat(100))).collect();
    let data = json!({
        "list": (0..10_000).collect::<Vec<_>>(), "texts": texts, "long": "a".repeat(4 << 20),
        "few": (0..300).collect::<Vec<_>>(), "wide": vec![json!({"a": vec![0; 19], "b": {"c": "d"}}); 5_000],
    });
    let facts = Facts::from_parts(&event(1).attributes, data);
    let took = |cel: &&'static str| {
        let config = RuleConfig { cel: Some((*cel).to_owned()), ..RuleConfig::default() };
        let rule = Rule::compile(&[config]).unwrap();
        let rounds = (0..3).map(|_| {
            let began = Instant::now();
            drop(std::hint::black_box(rule.is_met(&facts, &Before::default())));
            began.elapsed()
        });
        (rounds.min().unwrap_or_default(), *cel)
    };
    DEAR.iter().map(took).max().unwrap()
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
    let (took, cel) = dearest();
    promises.push(Promise {
        name: "a CEL rule is decided or refused within 50 ms on any event",
        measured: format!("{took:?} for the dearest of {}: {cel}", DEAR.len()),
        holds: took < Duration::from_millis(50),
    });
    promises
}
