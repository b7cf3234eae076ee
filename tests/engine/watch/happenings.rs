//! Events of the cluster: which are new, which are again, and which are of our own making.

use kickoff::engine::event::Event;
use kickoff::engine::machine::Key;
use kickoff::engine::watch::{Happening, event_kind};
use serde_json::{Value, json};

use super::super::rollout::merge;
use super::Watcher;

/// As `events.k8s.io/v1` serves one that says it once.
fn happening(change: &Value) -> Value {
    let mut object = json!({
        "metadata": {
            "uid": "e-1", "namespace": "shop", "name": "web-1.17", "resourceVersion": "100",
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "eventTime": "2026-01-01T00:00:00.000000Z", "type": "Warning", "reason": "FailedScheduling",
        "note": "0/1 nodes are available", "action": "Scheduling", "reportingController": "default-scheduler",
        "regarding": {"apiVersion": "v1", "kind": "Pod", "namespace": "shop", "name": "web-1", "uid": "p-1"},
    });
    merge(&mut object, change);
    object
}

fn counts(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.data().unwrap()["count"].as_u64().unwrap()).collect()
}

#[test]
fn each_repeat_is_another_event_and_a_list_makes_none() {
    let mut watcher = Watcher::new(event_kind(), Vec::new());
    let old = happening(&json!({"metadata": {"uid": "e-0"}}));
    assert!(watcher.list(&[&old]).is_empty());
    let events = watcher.sees(&happening(&json!({})));
    assert_eq!(counts(&events), [1]);
    let attributes = &events[0].attributes;
    assert_eq!(
        (attributes.event_type.as_str(), attributes.subject.as_deref(), attributes.id.as_str()),
        ("dev.kickoff.kubernetes.event", Some("shop/Pod/web-1"), "e-1.1.event.1")
    );
    let data = events[0].data().unwrap();
    assert_eq!(
        (&data["reason"], &data["type"], &data["note"]),
        (&json!("FailedScheduling"), &json!("Warning"), &json!("0/1 nodes are available"))
    );
    assert_eq!(data["involvedObject"], json!({"apiVersion": "v1", "kind": "Pod", "name": "web-1"}));
    let series = |count: u64| {
        let at = format!("2026-01-01T00:00:{count:02}.000000Z");
        json!({"series": {"count": count, "lastObservedTime": at}})
    };
    let again = happening(&series(4));
    assert_eq!(counts(&watcher.sees(&again)), [4]);
    // Only its metadata is another.
    let mut touched = again.clone();
    merge(&mut touched, &json!({"metadata": {"resourceVersion": "101"}}));
    assert!(watcher.sees(&touched).is_empty());
    watcher.restart();
    assert!(watcher.list(&[&old, &again]).is_empty());
    // It went on while nobody watched, and what was there at first happens again.
    watcher.restart();
    let mut more = old.clone();
    merge(&mut more, &json!({"deprecatedCount": 2, "deprecatedLastTimestamp": "2026-01-01T00:01:00Z"}));
    assert_eq!(counts(&watcher.list(&[&more, &happening(&series(9))])), [2, 9]);
    // The cluster forgets them.
    assert!(watcher.loses(&more).is_empty());
    assert!(watcher.list(&[]).is_empty());
    let marks = watcher.records.keys().filter(|key| matches!(key, Key::Object(..))).count();
    assert_eq!(marks, 0, "{:?}", watcher.records);
}

#[test]
fn those_about_what_kickoff_launched_are_left_out() {
    for (kind, name, own) in [
        ("Job", "smoke-0123456789abcdef0123-1", true),
        ("Pod", "smoke-after-rollout-0123456789abcdef0123-12-x7k2p", true),
        ("Pod", "smoke-0123456789abcdef0123-1-0-x7k2p", true),
        ("PersistentVolumeClaim", "smoke-0123456789abcdef0123-1-x7k2p-scratch", true),
        ("Workload", "job-smoke-0123456789abcdef0123-1-9f3ab", true),
        ("PersistentVolumeClaim", "data-db-0", false),
        ("Pod", "smoke-0123456789abcdef0123", false),
        ("Pod", "smoke-0123456789abcdef012-1-x7k2p", false),
        ("Pod", "smoke-0123456789ABCDEF0123-1-x7k2p", false),
        ("Pod", "web-6b9c8d7f5d-x7k2p", false),
        ("Deployment", "smoke-0123456789abcdef0123-1", false),
        ("Pod", "", false),
    ] {
        let object = happening(&json!({"regarding": {"kind": kind, "name": name}}));
        assert_eq!(Happening::of(&object).is_own(), own, "{kind} {name}");
        let mut watcher = Watcher::new(event_kind(), Vec::new());
        watcher.list(&[]);
        assert_eq!(watcher.sees(&object).is_empty(), own, "{kind} {name}");
    }
}

#[test]
fn the_older_form_is_read_too_and_nonsense_is_nothing() {
    let older = json!({
        "reason": "BackOff", "type": "Warning", "message": "again", "count": 3, "lastTimestamp": "t",
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "name": "web"},
    });
    let read = Happening::of(&older);
    assert_eq!((read.reason.as_str(), read.note.as_str(), read.count), ("BackOff", "again", 3));
    assert_eq!(read.involved, ("v1".to_owned(), "Pod".to_owned(), "web".to_owned()));
    for nonsense in
        [json!(null), json!([1]), json!({"regarding": 7, "series": [], "count": "x", "reason": {}})]
    {
        let read = Happening::of(&nonsense);
        assert_eq!((read.reason.as_str(), read.count), ("", 1), "{nonsense}");
    }
    let long = json!({"reason": "x".repeat(5_000), "note": "y".repeat(100_000)});
    assert!(Happening::of(&long).reason.len() + Happening::of(&long).note.len() < 2_500);
}
