//! `changed`: against what the event before in the series gave, and only that.

use std::collections::BTreeMap;

use bytes::Bytes;
use kickoff::engine::definitions::load::load;
use kickoff::engine::definitions::{Snapshot, compile as compile_definitions};
use kickoff::engine::event::{Attributes, Event, Git};
use kickoff::engine::explain::explain;
use kickoff::engine::ids::{EventKey, ObjectName};
use kickoff::engine::machine::series::{SERIES_AGE_MS, SERIES_MOST, Series, series_of};
use kickoff::engine::machine::{
    DecisionKind, EventRecord, Input, Key, Machine, MachineConfig, Record, Write, plan,
};
use kickoff::engine::rules::{Before, Prints, Unmet};
use kickoff::engine::values::Facts;
use serde_json::{Value, json};

use super::{compile, facts};
use crate::support::hub::{HUB, at_hub};

/// What rules make of `now` after `then`.
fn after(rules: Value, then: Value, now: Value) -> Result<(), Unmet> {
    let rule = compile(rules).unwrap();
    let key = EventKey::derive("test", "test", "before");
    let now = facts(now);
    let before = Before::compare(key, &rule.prints(&facts(then)), &rule.prints(&now));
    rule.holds(&now, &before)
}

#[test]
fn values_are_compared_as_json_values() {
    for (then, now, changed) in [
        (json!({"x": 1}), json!({"x": 1}), false),
        (json!({"x": 1}), json!({"x": 1.0}), false),
        (json!({"x": 1}), json!({"x": 2}), true),
        (json!({"x": 1}), json!({"x": "1"}), true),
        (json!({"x": null}), json!({}), true),
        (json!({}), json!({"x": null}), true),
        (json!({}), json!({}), false),
        (json!({"x": {"a": 1, "b": [1, 2]}}), json!({"x": {"b": [1, 2.0], "a": 1}}), false),
        (json!({"x": [1, 2]}), json!({"x": [2, 1]}), true),
        (json!({"x": u64::MAX}), json!({"x": u64::MAX - 1}), true),
        (json!({"x": 9_007_199_254_740_993_u64}), json!({"x": 9_007_199_254_740_992_u64}), true),
        (json!({"y": 1}), json!({"y": 2}), false),
    ] {
        let rule = |wanted: bool| json!([{"path": "event.data.x", "changed": wanted}]);
        assert_eq!(after(rule(true), then.clone(), now.clone()).is_ok(), changed, "{then} {now}");
        assert_eq!(after(rule(false), then.clone(), now.clone()).is_ok(), !changed, "{then} {now}");
        let not = json!([{"not": {"path": "event.data.x", "changed": true}}]);
        assert_eq!(after(not, then.clone(), now.clone()).is_ok(), !changed, "{then} {now}");
        let many = json!([{"any": [{"path": "$.event.data[*]", "changed": true}]}]);
        assert_eq!(after(many, then.clone(), now.clone()).is_ok(), changed || then["y"] != now["y"]);
    }
}

#[test]
fn the_first_event_of_a_series_has_changed_nothing() {
    let first = Before::default();
    for (rule, wanted) in [
        (
            json!({"path": "event.data.x", "changed": true}),
            "match[0]: event.data.x is 1 in the first event of its series, wanted changed true",
        ),
        (json!({"path": "event.data.x", "changed": false}), ""),
        (json!({"not": {"path": "event.data.x", "changed": true}}), ""),
    ] {
        let given = compile(json!([rule])).unwrap().holds(&facts(json!({"x": 1})), &first);
        let reason = given.err().map(|unmet| match unmet {
            Unmet::Filtered(reason) | Unmet::Invalid(reason) => reason,
        });
        assert_eq!(reason.unwrap_or_default(), wanted, "{rule}");
    }
    let then_watched_elsewhere = Before::compare(
        EventKey::derive("test", "test", "before"),
        &Prints::from([("event.data.y".to_owned(), "1".to_owned())]),
        &Prints::from([("event.data.x".to_owned(), "2".to_owned())]),
    );
    assert!(then_watched_elsewhere.changed.is_empty(), "a path that was not watched then");
}

const DEFINITIONS: &str = r"
apiVersion: kickoff.dev/v1alpha1
kind: JobTemplate
metadata: {name: t}
spec: {job: {spec: {template: {spec: {containers: [{name: main, command: [test]}]}}}}}
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {name: changes}
spec:
  sources: [{webhook: {name: hub}}]
  SERIES
  match: [{path: event.data.x, changed: true}, {path: event.data.go, equals: true}]
  runs: [{template: t}]
";

fn snapshot(series: &str) -> std::sync::Arc<Snapshot> {
    of_hub(DEFINITIONS.replace("SERIES", series))
}

/// What these definitions come to, beside those of the Webhook `hub`.
pub(super) fn of_hub(text: String) -> std::sync::Arc<Snapshot> {
    let files = [("hub.yaml".to_owned(), HUB.to_owned()), ("a.yaml".to_owned(), text)];
    let snapshot = compile_definitions(&load(&files, "default"), &BTreeMap::new(), None);
    assert!(snapshot.problems.is_empty(), "{:?}", snapshot.problems);
    snapshot
}

pub(super) fn event(id: &str, git: Option<Git>, data: &Value) -> Event {
    let attributes = Attributes { git, ..at_hub(id, 0) };
    Event { attributes, body: Bytes::from(data.to_string()) }
}

pub(super) fn machine() -> Machine {
    Machine::new(MachineConfig::new("test"))
}

/// Steps through an event and gives its record.
pub(super) fn decide(machine: &mut Machine, snapshot: &Snapshot, event: &Event, now: i64) -> EventRecord {
    let position = machine.cursor() + 1;
    let step =
        machine.step(snapshot, Input::Event { position, event: Box::new(event.clone()), subject: None }, now);
    let record = step.writes.into_iter().find_map(|write| match write.value {
        Some(Record::Event(record)) => Some(*record),
        _ => None,
    });
    record.unwrap()
}

#[test]
fn every_event_that_a_source_takes_counts_and_its_decision_can_be_worked_out_again() {
    let snapshot = snapshot("");
    let mut machine = machine();
    let mut before: Option<Event> = None;
    for (id, x, go, fired, reason) in [
        ("1", 1, true, false, "event.data.x is 1 in the first event of its series, wanted changed true"),
        ("2", 1, true, false, "event.data.x is 1 as before, wanted changed true"),
        ("3", 2, true, true, ""),
        ("4", 3, false, false, "event.data.go is false, wanted equals true"),
        ("5", 3, true, false, "event.data.x is 3 as before, wanted changed true"),
        ("6", 4, true, true, ""),
    ] {
        let event = event(id, None, &json!({"x": x, "go": go}));
        let record = decide(&mut machine, &snapshot, &event, 1_000);
        let name = ObjectName::new("default", "changes");
        let key = before.as_ref().map(|before| before.attributes.key.clone());
        assert_eq!(record.before[&name].event, key, "{id}");
        let kinds: Vec<DecisionKind> = record.decisions.iter().map(|decision| decision.decision).collect();
        assert_eq!(kinds == [DecisionKind::Fired], fired, "{id}: {kinds:?}");
        // As it comes back from the disk.
        let kept: EventRecord = serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
        let again = plan::filtered(&snapshot, &event, &kept, |_| true);
        let reasons: Vec<&str> = again.iter().map(|decision| decision.reason.as_str()).collect();
        assert!(
            reasons.len() == usize::from(!fired) && reasons.iter().all(|r| r.ends_with(reason)),
            "{reasons:?}"
        );
        let config = MachineConfig::new("test");
        let told = explain(&snapshot.triggers[0], &event, before.as_ref(), &config);
        assert_eq!(told.decision == DecisionKind::Fired, fired, "{id}: {}", told.reason);
        assert!(told.reason.ends_with(reason), "{id}: {}", told.reason);
        before = Some(event);
    }
}

#[test]
fn a_series_is_what_its_template_says_else_the_pull_request_the_ref_or_the_subject() {
    let git = |number: Option<u64>, reference: &str| {
        let (repository, reference) = (Some("acme/shop".to_owned()), Some(reference.to_owned()));
        Some(Git { repository, number, reference, ..Git::default() })
    };
    let of = |series: &str, git: Option<Git>, data: Value| {
        let snapshot = snapshot(series);
        let event = event("1", git, &data);
        series_of(&snapshot.triggers[0], &event.attributes, &Facts::of(&event).unwrap())
    };
    let plain = json!({});
    assert_eq!(of("", git(Some(7), "a"), plain.clone()), of("", git(Some(7), "b"), plain.clone()));
    assert_ne!(of("", git(Some(7), "a"), plain.clone()), of("", git(Some(8), "a"), plain.clone()));
    assert_ne!(of("", git(None, "a"), plain.clone()), of("", git(None, "b"), plain.clone()));
    assert_ne!(of("", git(None, "7"), plain.clone()), of("", git(Some(7), "7"), plain.clone()));
    assert_eq!(of("", None, json!({"x": 1})), of("", None, json!({"x": 2})));
    let by_x = "series: \"{{ event.data.x }}\"";
    assert_ne!(of(by_x, None, json!({"x": 1})), of(by_x, None, json!({"x": 2})));
    assert_eq!(of(by_x, git(Some(7), "a"), json!({"x": 1})), of(by_x, None, json!({"x": 1})));
    let error = of(by_x, None, json!({})).unwrap_err();
    assert_eq!(error, "series: {{ event.data.x }} has no value");
    // Such an event is `invalid`, and is no part of any series.
    let snapshot = snapshot(by_x);
    let mut machine = machine();
    let record = decide(&mut machine, &snapshot, &event("1", None, &json!({})), 1_000);
    assert_eq!((record.decisions[0].decision, record.before.len()), (DecisionKind::Invalid, 0));
    assert_eq!(machine.series().count(), 0);
}

#[test]
fn series_are_forgotten_by_age_and_number() {
    let snapshot = snapshot("series: \"{{ event.data.x }}\"");
    let name = || ObjectName::new("default", "changes");
    let mut machine = machine();
    for at in 0..SERIES_MOST {
        let (event, prints) = (EventKey::derive("", "", &at.to_string()), Prints::new());
        let event = Some(event);
        let series = Series { event, prints, outcome: None, at: i64::try_from(at).unwrap() };
        machine
            .apply(&Write::put(Key::Series(name(), format!("{at:032}")), Record::Series(Box::new(series))));
    }
    decide(&mut machine, &snapshot, &event("1", None, &json!({"x": "new"})), 60_000);
    assert_eq!(machine.series().count(), SERIES_MOST);
    let kept = |at: usize| machine.series().any(|(key, _)| *key == Key::Series(name(), format!("{at:032}")));
    assert!(!kept(0) && kept(1), "the oldest goes first");
    let late = 60_001 + SERIES_AGE_MS;
    decide(&mut machine, &snapshot, &event("2", None, &json!({"x": "newer"})), late);
    assert_eq!(machine.series().count(), SERIES_MOST - 3, "four go at a time, one came");
}

#[test]
fn a_namespace_with_many_series_forgets_its_own() {
    let snapshot = snapshot("series: \"{{ event.data.x }}\"");
    let (many, few) = (ObjectName::new("default", "changes"), ObjectName::new("shop", "changes"));
    let mut machine = machine();
    let key = |at: usize| {
        let name = if at < 10 { &few } else { &many };
        Key::Series(name.clone(), format!("{at:032}"))
    };
    for at in 0..SERIES_MOST {
        let at_ms = i64::try_from(at).unwrap();
        let series = Series { event: None, prints: Prints::new(), outcome: None, at: at_ms };
        machine.apply(&Write::put(key(at), Record::Series(Box::new(series))));
    }
    for id in 0..3 {
        let came = event(&id.to_string(), None, &json!({"x": format!("new-{id}")}));
        decide(&mut machine, &snapshot, &came, 60_000 + id);
    }
    assert_eq!(machine.series().count(), SERIES_MOST);
    let kept = |at: usize| machine.series().any(|(known, _)| *known == key(at));
    assert!((0..10).all(kept), "the few of another namespace are older and stay");
    assert!(!kept(10) && !kept(12) && kept(13), "the oldest of the many go");
}

#[test]
fn a_series_record_is_read_back() {
    let key = Key::Series(ObjectName::new("default", "changes"), "0".repeat(32));
    assert_eq!(Key::parse(&key.to_string()), Some(key));
}
