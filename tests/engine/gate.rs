//! Gates in the machine: held, asked, opened or given up, over restarts.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use kickoff::engine::address::{Allowed, Pattern};
use kickoff::engine::definitions::Snapshot;
use kickoff::engine::event::Event;
use kickoff::engine::explain::explain;
use kickoff::engine::ids::{EventKey, ObjectName};
use kickoff::engine::machine::{Answer, DecisionKind, Input, Key, MachineConfig, Order, Probe, Record};
use kickoff::engine::manual::{Command, Original, Replay, Subject, Target};
use serde_json::{Value, json};

use super::definitions::snapshot;
use super::model::{BEGUN, Model};
use crate::support::hub::{HUB, at_hub};

const DEFINITIONS: &str = r"
apiVersion: kickoff.dev/v1alpha1
kind: JobTemplate
metadata: {name: plain}
spec: {job: {spec: {template: {spec: {containers: [{name: main, command: [test]}]}}}}}
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {name: gated}
spec: {sources: [{webhook: {name: hub}}], runs: [{template: plain}], SPEC}
";

const GATE: &str = r#"gate: {http: [{url: "http://web/healthz"}], timeout: 20s, every: 8s}"#;
fn definitions(spec: &str) -> Arc<Snapshot> {
    snapshot(&[("hub.yaml", HUB), ("a.yaml", &DEFINITIONS.replace("SPEC", spec))], None)
}

/// With what the trigger has besides, and what the server lets events choose.
fn model(spec: &str, allow: &[&str]) -> Model {
    let patterns = allow.iter().map(|pattern| Pattern::parse(pattern).unwrap()).collect();
    let config = MachineConfig { gate_allow: Allowed::Listed(patterns), ..MachineConfig::new("kickoff") };
    Model::new(definitions(spec), config)
}

impl Model {
    fn come(&mut self, event: &Event, subject: Option<Subject>) -> EventKey {
        self.decide(event.clone(), subject)
    }

    /// The next order to ask.
    fn probe(&mut self) -> Option<Probe> {
        let at = self.orders.iter().position(|order| matches!(order, Order::Probe(_)))?;
        match self.orders.remove(at) {
            Order::Probe(probe) => Some(*probe),
            _ => None,
        }
    }

    /// Asks as ordered, with this answer to each question; gives the order.
    fn answer(&mut self, answer: &Answer) -> Probe {
        let probe = self.probe().expect("an order to ask");
        self.now += probe.pause_ms;
        let answers = probe.questions.iter().map(|_| answer.clone()).collect();
        self.step(Input::Probed { firing: probe.firing.clone(), asked_at: self.now, answers });
        probe
    }

    fn decision(&self, event: &EventKey) -> (DecisionKind, String) {
        let decision = &self.decisions(event)[0];
        (decision.decision, decision.reason.clone())
    }

    /// How many records of each kind are there that a hold has.
    fn held(&self) -> [usize; 3] {
        let count = |wanted: fn(&Key) -> bool| self.disk.records.keys().filter(|key| wanted(key)).count();
        [
            count(|key| matches!(key, Key::Gate(_))),
            count(|key| matches!(key, Key::Held(_))),
            count(|key| matches!(key, Key::Manifest(_))),
        ]
    }

    fn creations(&self) -> usize {
        self.orders.iter().filter(|order| matches!(order, Order::Create(_))).count()
    }
}

fn event(id: &str, data: &Value) -> Event {
    Event { attributes: at_hub(id, BEGUN), body: Bytes::from(data.to_string()) }
}

const SHUT: Answer = Answer::Status(503);
const OPEN: Answer = Answer::Status(200);

#[test]
fn a_firing_waits_until_its_gate_is_open() {
    let mut world = model(GATE, &[]);
    let key = world.come(&event("1", &json!({})), None);
    let (kind, reason) = world.decision(&key);
    assert_eq!(kind, DecisionKind::Held);
    assert!(reason.starts_with("waits for its gate: http://web/healthz, until 2025-"), "{reason}");
    assert_eq!((world.held(), world.creations()), ([1, 1, 1], 0));
    let probe = world.answer(&SHUT);
    assert_eq!((probe.pause_ms, probe.patience_ms), (0, 8_000), "it is asked at once");
    let (_, reason) = world.decision(&key);
    assert!(reason.starts_with("waits for its gate: http://web/healthz answered 503, until "), "{reason}");
    let records = world.disk.records.clone();
    assert_eq!((world.answer(&SHUT).pause_ms, world.answer(&SHUT).pause_ms), (8_000, 8_000));
    assert_eq!(world.disk.records, records, "what is not new is not written");
    let why = Answer::Silence("did not answer within\n8s".to_owned());
    assert_eq!(world.answer(&why).pause_ms, 4_000, "never later than its time is over");
    let (kind, reason) = world.decision(&key);
    assert_eq!(kind, DecisionKind::Skipped);
    assert_eq!(reason, "gate: http://web/healthz did not answer within 8s until the timeout of 20s");
    assert_eq!((world.held(), world.probe()), ([0, 0, 0], None));

    let key = world.come(&event("2", &json!({})), None);
    let probe = world.answer(&OPEN);
    assert_eq!(world.decision(&key), (DecisionKind::Fired, "all rules hold; its gate is open".to_owned()));
    assert_eq!((world.held(), world.creations()), ([0, 0, 1], 1));
    let records = world.disk.records.clone();
    for answer in [OPEN, SHUT] {
        let answers = vec![answer];
        world.step(Input::Probed { firing: probe.firing.clone(), asked_at: world.now, answers });
    }
    assert_eq!((world.disk.records == records, world.creations()), (true, 1), "it fires once");
}

#[test]
fn a_restart_asks_at_once_and_the_time_goes_on() {
    let mut world = model(GATE, &[]);
    let key = world.come(&event("1", &json!({})), None);
    for _ in 0..3 {
        world.restart();
        assert_eq!(world.answer(&SHUT).pause_ms, 0);
        world.now += 5_000;
    }
    world.restart();
    // 15 s of 20 are over.
    assert_eq!((world.answer(&SHUT).pause_ms, world.answer(&SHUT).pause_ms), (0, 5_000));
    assert_eq!(world.decision(&key).0, DecisionKind::Skipped);

    // Down for longer than there was time: it is asked once more before it is given up.
    for (answer, wanted) in [(SHUT, DecisionKind::Skipped), (OPEN, DecisionKind::Fired)] {
        let key = world.come(&event(&format!("{answer:?}"), &json!({})), None);
        world.now += 3_600_000;
        world.restart();
        assert_eq!(world.decision(&key).0, DecisionKind::Held);
        world.answer(&answer);
        assert_eq!(world.decision(&key).0, wanted);
    }
    assert_eq!(world.creations(), 1);
}

#[test]
fn an_old_answer_gives_nothing_up() {
    let mut world = model(GATE, &[]);
    let key = world.come(&event("1", &json!({})), None);
    let probe = world.probe().unwrap();
    let asked_at = world.now;
    world.now += 60_000;
    world.step(Input::Probed { firing: probe.firing, asked_at, answers: vec![SHUT] });
    assert_eq!(world.decision(&key).0, DecisionKind::Held);
    assert_eq!(world.answer(&OPEN).pause_ms, 0);
    assert_eq!(world.decision(&key).0, DecisionKind::Fired);
}

#[test]
fn a_clock_that_goes_back_makes_it_wait_no_longer_than_it_may() {
    let mut world = model(GATE, &[]);
    let key = world.come(&event("1", &json!({})), None);
    world.now -= 3_600_000;
    for _ in 0..4 {
        world.answer(&SHUT);
    }
    assert_eq!(world.decision(&key).0, DecisionKind::Skipped);
    assert!(world.now - (BEGUN - 3_600_000) <= 20_000);
}

#[test]
fn all_questions_must_be_answered_as_they_should() {
    let spec = r#"gate: {http: [{url: "http://web/"}, {url: "https://web/ready", method: HEAD, expectStatus: 204}]}"#;
    for (answers, said) in [
        (vec![OPEN, Answer::Status(204)], None),
        (vec![OPEN, OPEN], Some("HEAD https://web/ready answered 200, until")),
        (vec![Answer::Status(302), SHUT], Some("http://web/ answered 302, until")),
        (vec![OPEN], Some("HEAD https://web/ready was not asked, until")),
        (vec![], Some("http://web/ was not asked, until")),
    ] {
        let mut world = model(spec, &[]);
        let key = world.come(&event("1", &json!({})), None);
        assert!(world.decision(&key).1.contains("gate: http://web/ and HEAD https://web/ready, until"));
        let probe = world.probe().unwrap();
        assert_eq!(probe.patience_ms, 5_000);
        world.step(Input::Probed { firing: probe.firing, asked_at: world.now, answers: answers.clone() });
        let (kind, reason) = world.decision(&key);
        match said {
            None => assert_eq!(kind, DecisionKind::Fired, "{reason}"),
            Some(said) => {
                assert!(kind == DecisionKind::Held && reason.contains(said), "{answers:?}: {reason}");
            }
        }
    }
}

#[test]
fn the_gate_is_asked_after_debounce_and_before_the_rate_limit() {
    let policy = "policy: {debounce: {quiet: 1s}, rateLimit: {runs: 1, per: 1h}}, series: \"{{ event.id }}\"";
    let mut world = model(&format!("{GATE}, {policy}"), &[]);
    let keys = ["1", "2"].map(|id| world.come(&event(id, &json!({})), None));
    assert!(world.decision(&keys[0]).1.starts_with("waits for 1s without another event"));
    assert_eq!(world.probe(), None);
    world.now += 1_000;
    world.step(Input::Due);
    assert_eq!(world.held(), [2, 2, 2]);
    for key in &keys {
        let (kind, reason) = world.decision(key);
        assert!(kind == DecisionKind::Held && reason.starts_with("waits for its gate: "), "{reason}");
    }
    world.restart();
    world.answer(&OPEN);
    world.answer(&OPEN);
    let kinds = keys.map(|key| world.decision(&key).0);
    assert!(kinds.contains(&DecisionKind::Fired) && kinds.contains(&DecisionKind::RateLimited), "{kinds:?}");
    assert_eq!(world.held(), [0, 0, 1], "what does not fire leaves nothing");
}

#[test]
fn what_is_run_by_hand_has_no_gate_and_a_replay_has() {
    let mut world = model(GATE, &[]);
    let target = Target::Trigger(ObjectName::new("default", "gated"));
    let run = Command::Run { target, params: BTreeMap::new(), environment: None };
    let key = world.come(&run.event("ann", "run", BEGUN), None);
    assert_eq!(world.decision(&key).0, DecisionKind::Fired);

    let event = event("1", &json!({}));
    world.come(&event, None);
    world.answer(&OPEN);
    let replay = Replay { event: event.attributes.key.clone(), trigger: None, namespaces: None };
    let original = Original { event: event.clone(), before: BTreeMap::new() };
    let command = Command::Replay(replay).event("ann", "replay", BEGUN);
    let key = world.come(&command, Some(Subject::Event(Box::new(original))));
    assert_eq!(world.decision(&key).0, DecisionKind::Held);
    world.restart();
    world.answer(&OPEN);
    assert_eq!(world.decision(&key).0, DecisionKind::Fired);
    let of = |key: &EventKey| {
        let firing = world.machine.firings().find(|firing| firing.event.key == *key);
        firing.and_then(|firing| firing.root.clone()).map(|root| root.key)
    };
    assert_eq!(of(&key), Some(event.attributes.key));
}

#[test]
fn a_definition_that_changes_or_goes_changes_nothing_of_what_waits() {
    for spec in ["suspend: true", "gate: {http: [{url: \"http://other/\"}], timeout: 1s}", ""] {
        let mut world = model(GATE, &[]);
        let key = world.come(&event("1", &json!({})), None);
        world.snapshot = if spec.is_empty() { Arc::new(Snapshot::default()) } else { definitions(spec) };
        world.step(Input::Definitions);
        world.restart();
        assert_eq!(world.answer(&SHUT).questions[0].url, "http://web/healthz");
        world.answer(&OPEN);
        assert_eq!(world.decision(&key).0, DecisionKind::Fired, "{spec}");
    }
}

#[test]
fn an_event_chooses_only_what_the_server_lets_it() {
    let spec = r#"gate: {http: [{url: "http://{{ event.data.host }}/healthz"}]}"#;
    for (host, asked) in [
        ("web.shop.svc", Ok("http://web.shop.svc/healthz")),
        ("WEB.shop.svc:80", Ok("http://web.shop.svc/healthz")),
        ("web.shop.svc/admin?a=", Err("start the server with --gate-allow 'http://web.shop.svc/admin?**'")),
        ("web.bank.svc", Err("start the server with --gate-allow 'http://web.bank.svc/healthz'")),
        ("169.254.169.254", Err("--gate-allow 'http://169.254.169.254/healthz'")),
        ("web.shop.svc@evil", Err("holds a user's name or password")),
        ("evil#.shop.svc", Err("has a #")),
        ("evil\\.shop.svc", Err("holds a blank, a backslash")),
        ("evil/x/..%2f", Err("in its path, which an event may not choose anywhere")),
    ] {
        let mut world = model(spec, &["http://*.shop.svc/healthz"]);
        let event = event("1", &json!({"host": host}));
        let key = world.come(&event, None);
        let (kind, reason) = world.decision(&key);
        match asked {
            Ok(url) => assert_eq!(world.probe().unwrap().questions[0].url, url),
            Err(why) => {
                assert_eq!(kind, DecisionKind::Invalid, "{host}");
                assert!(reason.starts_with("gate.http[0].url: ") && reason.contains(why), "{reason}");
                // What may be a password is not told.
                assert_eq!(reason.contains("\"http://"), !host.contains('@'), "{reason}");
                assert_eq!((world.held(), world.probe()), ([0, 0, 0], None));
            }
        }
    }
    let mut world = model(spec, &[]);
    let key = world.come(&event("1", &json!({})), None);
    let (kind, reason) = world.decision(&key);
    assert_eq!(kind, DecisionKind::Invalid);
    assert!(reason.starts_with("gate.http[0].url: ") && reason.ends_with("has no value"), "{reason}");
}

#[test]
fn explain_tells_of_the_gate_and_asks_nothing() {
    let config = MachineConfig { gate_allow: Allowed::Unknown, ..MachineConfig::new("kickoff") };
    for (spec, told) in [
        (GATE, "all rules hold; it waits for its gate: http://web/healthz"),
        (
            r#"gate: {http: [{url: "http://{{ event.data.host }}/"}]}"#,
            "all rules hold; it waits for its gate: http://db/; what of it an event chooses, the server's \
             --gate-allow must have",
        ),
    ] {
        let event = event("1", &json!({"host": "db"}));
        let said = explain(&definitions(spec).triggers[0], &event, None, &config);
        assert_eq!((said.decision, said.reason.as_str()), (DecisionKind::Fired, told));
    }
}

#[test]
fn what_waits_is_read_as_it_was_written() {
    let mut world = model(GATE, &[]);
    world.come(&event("1", &json!({})), None);
    world.answer(&SHUT);
    let (key, record) =
        world.disk.records.iter().find(|(key, _)| matches!(key, Key::Gate(_))).expect("a hold");
    assert_eq!(Key::parse(&key.to_string()).as_ref(), Some(key));
    let text = serde_json::to_string(record).unwrap();
    assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), *record);
}
