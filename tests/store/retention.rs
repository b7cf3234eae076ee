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
    assert_eq!(revisions, ["r5", "r4", "r3", "r2", "r1"], "newest first");

    store.commit(&fence, [Write::delete(Key::Event(key("done")))].into()).await.unwrap();
    assert!(store.get(&key("done")).await.unwrap().is_none());
    assert_eq!(at(NOW).await.unwrap(), []);
    assert!(!history.revisions_in_use().await.unwrap().contains(&"r4".to_owned()));
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

#[tokio::test]
async fn events_beyond_a_number_may_go_once_a_repeat_need_not_be_known() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let fence = store.lead("test").await.unwrap();
    let ids = ["a", "b", "open", "c", "d", "young"];
    store.append(ids.iter().map(|id| event(id)).collect()).await.unwrap();
    let mut writes = Vec::new();
    for (position, id) in (1_u64..).zip(ids) {
        let mut record: EventRecord = event_record(id, position, &[], 0);
        let age = if id == "young" { DEDUP_HORIZON_MS } else { DEDUP_HORIZON_MS + 100 };
        record.attributes.received_at = NOW - age + i64::try_from(position).unwrap();
        writes.push(put_event(record));
    }
    writes.push(put_firing(firing("open", 3, 1)));
    store.commit(&fence, writes.into()).await.unwrap();
    let history = store.history();
    for (most, limit, expected) in [
        (9, 9, &[][..]),
        (5, 9, &[]),
        (4, 9, &["a"]),
        (2, 9, &["a", "b"]),
        (0, 9, &["a", "b", "c", "d"]),
        (0, 2, &["a", "b"]),
        (u64::MAX, 9, &[]),
    ] {
        let found = history.surplus(most, DEDUP_HORIZON_MS, NOW, limit).await.unwrap();
        let expected: Vec<_> = expected.iter().map(|id| key(id)).collect();
        assert_eq!(found, expected, "{most} {limit}");
    }
}

#[tokio::test]
async fn room_is_given_back_to_the_file_system_without_a_pause() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let fence = store.lead("test").await.unwrap();
    let size = || dir.path().join("kickoff.db").metadata().unwrap().len();
    let ids: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    // Nothing that could be stored in less room.
    let mut random = fastrand::Rng::with_seed(1);
    let body: bytes::Bytes = (0..100_000).map(|_| random.u8(..)).collect();
    for id in &ids {
        let event = kickoff::engine::event::Event { body: body.clone(), ..event(id) };
        store.append(vec![event]).await.unwrap();
    }
    let records: Vec<Write> =
        (1..).zip(&ids).map(|(at, id)| put_event(event_record(id, at, &[], 0))).collect();
    store.commit(&fence, records.into()).await.unwrap();
    assert_eq!(store.free_pages().await.unwrap(), 0);
    let deletes: Vec<Write> = ids.iter().map(|id| Write::delete(Key::Event(key(id)))).collect();
    store.commit(&fence, deletes.into()).await.unwrap();
    let free = store.free_pages().await.unwrap();
    assert!(free > 1_000, "{free}");
    let before = 10_000_000;
    while store.free_pages().await.unwrap() > 100 {
        assert!(store.vacuum(256).await, "pages are free and none was given back");
        assert_eq!(store.append(vec![event("meanwhile")]).await.unwrap().len(), 1);
    }
    let after = size();
    drop(store);
    assert!(after < before / 4, "{before} bytes before, {after} after");
    assert!(open(dir.path()).get(&key("meanwhile")).await.unwrap().is_some());
}

#[tokio::test]
async fn only_runs_that_there_are_not_are_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let fence = store.lead("test").await.unwrap();
    let writes = [put_run(run("open", 1, 0)), put_run(settled(run("done", 2, 0), Outcome::Passed, NOW))];
    store.commit(&fence, writes.into()).await.unwrap();
    let all = ["open", "done", "gone"].map(|id| run_id(id, "0"));
    let unknown = store.history().unknown_runs(all.to_vec()).await.unwrap();
    assert_eq!(unknown, [run_id("gone", "0")]);
}
