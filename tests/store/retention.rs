//! What may go, and that it goes whole.

use std::collections::HashMap;

use kickoff::engine::ids::{ObjectName, RunId};
use kickoff::engine::machine::{DecisionKind, EventRecord, Firing, FiringState, Key, Run, Write};
use kickoff::engine::verdict::Outcome;
use kickoff::store::history::{DEDUP_HORIZON_MS, TemplateLimit};
use kickoff::store::inbox::{Appended, Inbox as _};
use kickoff::store::records::Records as _;

use super::{
    NOW, event, event_record, firing, firing_id, key, open, put_event, put_firing, put_run, run, run_id,
    settled,
};

fn ended(firing: Firing) -> Firing {
    Firing { state: FiringState::Ended, outcome: Some(Outcome::Passed), ..firing }
}

fn limit(max_runs: u32, max_age_ms: i64) -> TemplateLimit {
    TemplateLimit { max_runs, max_age_ms }
}

/// One firing with one run for each: (event, template, milliseconds since it ended, firing ended).
fn ended_runs(rows: &[(&str, &str, i64, bool)]) -> Vec<Write> {
    let writes = |(position, (id, template, age, firing_ended)): (u64, &(&str, &str, i64, bool))| {
        let run = Run { template: ObjectName::parse(template, "shop"), ..run(id, position, 0) };
        let firing = firing(id, position, 1);
        let firing = if *firing_ended { ended(firing) } else { firing };
        [put_firing(firing), put_run(settled(run, Outcome::Passed, NOW - age))]
    };
    (1..).zip(rows).flat_map(writes).collect()
}

#[tokio::test]
async fn runs_beyond_the_limits_of_their_template_may_go() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let fence = store.lead("test").await.unwrap();
    let rows = [
        ("a", "api", 500, true),
        ("b", "api", 20, true),
        ("c", "api", 400, false),
        ("d", "ui", 300, true),
        ("e", "api", 10, true),
        ("f", "blog/ui", 5000, true),
        ("g", "ui", 5, true),
    ];
    let mut writes = ended_runs(&rows);
    // Not settled: it stays however old it is.
    writes.push(put_run(Run { finished_at: Some(0), ..run("h", 8, 0) }));
    store.commit(&fence, writes.into()).await.unwrap();
    let api = ObjectName::new("shop", "api");
    for (case, of_api, default, most, expected) in [
        ("all within", limit(9, 9000), limit(9, 9000), 9, vec![]),
        ("too old", limit(9, 100), limit(9, 9000), 9, vec!["a"]),
        ("too many", limit(1, 9000), limit(9, 9000), 9, vec!["a", "b"]),
        ("none kept", limit(0, 9000), limit(9, 9000), 9, vec!["a", "b", "e"]),
        ("both", limit(2, 15), limit(9, 9000), 9, vec!["a", "b"]),
        ("by the default", limit(9, 9000), limit(1, 1000), 9, vec!["d", "f"]),
        ("all of it", limit(0, 0), limit(0, 0), 9, vec!["a", "b", "d", "e", "f", "g"]),
    ] {
        let limits = HashMap::from([(api.clone(), of_api)]);
        let mut found = store.history().prunable(limits.clone(), default, NOW, most).await.unwrap();
        found.sort();
        let mut runs: Vec<RunId> = expected.iter().map(|id| run_id(id, "0")).collect();
        runs.sort();
        assert_eq!(found, runs, "{case}");
        let some = store.history().prunable(limits, default, NOW, 2).await.unwrap();
        assert_eq!(some.len(), runs.len().min(2), "{case}");
        assert!(some.iter().all(|run| runs.contains(run)), "{case}");
    }
}

#[tokio::test]
async fn an_ended_firing_may_go_after_its_last_run() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let history = store.history();
    let fence = store.lead("test").await.unwrap();
    let writes = [
        put_firing(firing("a", 1, 2)),
        put_run(settled(run("a", 1, 0), Outcome::Passed, NOW)),
        put_run(settled(run("a", 1, 1), Outcome::Passed, NOW)),
        put_firing(ended(firing("b", 2, 1))),
        put_run(settled(run("b", 2, 0), Outcome::Passed, NOW)),
        put_firing(ended(firing("never ran", 3, 0))),
    ];
    store.commit(&fence, writes.into()).await.unwrap();
    let steps = [
        (vec![], vec!["never ran"]),
        (vec![Write::delete(Key::RunDone(run_id("a", "0")))], vec!["never ran"]),
        (vec![Write::delete(Key::RunDone(run_id("a", "1")))], vec!["never ran"]),
        (vec![put_firing(ended(firing("a", 1, 2)))], vec!["a", "never ran"]),
        (vec![Write::delete(Key::RunDone(run_id("b", "0")))], vec!["a", "b", "never ran"]),
        (vec![Write::delete(Key::FiringDone(firing_id("a")))], vec!["b", "never ran"]),
    ];
    for (writes, expected) in steps {
        let step = format!("{writes:?}");
        store.commit(&fence, writes.into()).await.unwrap();
        let expected: Vec<_> = expected.into_iter().map(firing_id).collect();
        assert_eq!(history.finished_firings_without_runs(9).await.unwrap(), expected, "{step}");
        let one = history.finished_firings_without_runs(1).await.unwrap();
        assert_eq!(one, expected[..1], "{step}");
    }
}

#[tokio::test]
async fn a_decided_event_expires_with_its_inbox_row() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let history = store.history();
    let fence = store.lead("test").await.unwrap();
    let ids = ["plain", "open", "kept", "done", "young", "undecided"];
    store.append(ids.iter().map(|id| event(id)).collect()).await.unwrap();
    let old = NOW - DEDUP_HORIZON_MS - 1;
    let record = |id: &str, position: u64, received_at: i64| {
        let mut record: EventRecord = event_record(id, position, &[("smoke", DecisionKind::Fired)], 0);
        record.attributes.received_at = received_at;
        record.revision = format!("r{position}");
        put_event(record)
    };
    let writes = [
        record("plain", 1, old + 1),
        record("open", 2, old),
        put_firing(firing("open", 2, 1)),
        record("kept", 3, old),
        put_firing(ended(firing("kept", 3, 1))),
        put_run(settled(run("kept", 3, 0), Outcome::Passed, old)),
        record("done", 4, old),
        put_firing(ended(firing("done", 4, 1))),
        record("young", 5, NOW - DEDUP_HORIZON_MS),
    ];
    store.commit(&fence, writes.into()).await.unwrap();

    let at = |now: i64| history.expirable(DEDUP_HORIZON_MS, now, 9);
    assert_eq!(at(NOW).await.unwrap(), [key("done")]);
    assert_eq!(at(NOW + 1).await.unwrap(), [key("done"), key("plain"), key("young")]);
    assert_eq!(history.expirable(DEDUP_HORIZON_MS, NOW + 1, 1).await.unwrap(), [key("done")]);
    assert_eq!(history.expirable(i64::MAX, i64::MIN, 9).await.unwrap(), []);
    let revisions = history.revisions_in_use().await.unwrap();
    assert_eq!(revisions.into_iter().collect::<Vec<_>>(), ["r1", "r2", "r3", "r4", "r5"]);

    store.commit(&fence, [Write::delete(Key::Event(key("done")))].into()).await.unwrap();
    assert!(store.get(&key("done")).await.unwrap().is_none());
    assert_eq!(at(NOW).await.unwrap(), []);
    assert!(!history.revisions_in_use().await.unwrap().contains("r4"));
    assert!(store.get(&key("plain")).await.unwrap().is_some(), "only what was named goes");
    let again = store.append(vec![event("done"), event("undecided")]).await.unwrap();
    assert_eq!(again, [Appended::New, Appended::Known]);
}

#[tokio::test]
async fn a_fenced_commit_expires_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let old = store.lead("old").await.unwrap();
    store.append(vec![event("a")]).await.unwrap();
    store.commit(&old, [put_event(event_record("a", 1, &[], 0))].into()).await.unwrap();
    store.lead("new").await.unwrap();
    store.commit(&old, [Write::delete(Key::Event(key("a")))].into()).await.unwrap_err();
    assert!(store.get(&key("a")).await.unwrap().is_some());
    assert!(store.history().event(&key("a")).await.unwrap().is_some());
}
