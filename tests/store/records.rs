//! Commits: whole or not at all, fenced, each for itself.

use std::sync::Arc;

use futures::FutureExt as _;
use kickoff::engine::machine::{Key, Record, Write};
use kickoff::store::inbox::{Appended, Inbox as _};
use kickoff::store::records::{CommitError, Records as _, RecordsError};
use kickoff::store::sqlite::SqliteStore;

use super::{Stall, beside, cursor, event, event_record, open, put_event, put_run, refuse, run, run_id};

async fn keys(store: &SqliteStore, prefix: &str) -> Vec<String> {
    store.scan(prefix).await.unwrap().into_iter().map(|(key, _)| key.to_string()).collect()
}

fn revision(hash: &str) -> Write {
    Write::put(Key::Revision(hash.to_owned()), Record::Revision(vec![]))
}

/// From now on the database refuses commits that write this text.
fn refuse_commits_with(dir: &std::path::Path, text: &str) {
    refuse(dir, &format!("AFTER INSERT ON pending WHEN instr(NEW.writes, '{text}')"));
}

#[tokio::test]
async fn what_was_committed_is_found_by_key_and_by_prefix() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let fence = store.lead("test").await.unwrap();
    let writes = [cursor(7), put_run(run("a", 1, 0)), revision("aa"), revision("aab"), revision("b")];
    assert_eq!(store.commit(&fence, writes.into()).await.unwrap(), 1);
    let open_run = format!("run/open/{}", run_id("a", "0"));
    for (prefix, expected) in [
        ("cursor", vec!["cursor"]),
        ("run/open/", vec![open_run.as_str()]),
        (&open_run, vec![open_run.as_str()]),
        ("run/done/", vec![]),
        ("revision/", vec!["revision/aa", "revision/aab", "revision/b"]),
        ("revision/aa", vec!["revision/aa"]),
        ("revision/a", vec!["revision/aa", "revision/aab"]),
        ("", vec!["cursor", "revision/aa", "revision/aab", "revision/b", &open_run]),
    ] {
        assert_eq!(keys(&store, prefix).await, expected, "{prefix:?}");
    }
    let writes = [cursor(8), Write::delete(Key::Revision("b".to_owned()))];
    assert_eq!(store.commit(&fence, writes.into()).await.unwrap(), 2);
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.scan("cursor").await.unwrap(), [(Key::Cursor, Record::Cursor(8))]);
    assert_eq!(keys(&store, "revision/").await, ["revision/aa", "revision/aab"]);
    let found = store.scan(&open_run).await.unwrap();
    assert_eq!(found, [(Key::RunOpen(run_id("a", "0")), Record::Run(Box::new(run("a", 1, 0))))]);
    for (key, expected) in [
        (Key::Cursor, Some(Record::Cursor(8))),
        (Key::RunOpen(run_id("a", "0")), Some(Record::Run(Box::new(run("a", 1, 0))))),
        (Key::Revision("a".to_owned()), None),
        (Key::Revision("b".to_owned()), None),
        (Key::Revision("aa".to_owned()), Some(Record::Revision(vec![]))),
    ] {
        assert_eq!(store.find(&key).await.unwrap(), expected, "{key}");
    }
}

#[tokio::test]
async fn an_older_leader_writes_nothing_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let old = store.lead("old").await.unwrap();
    store.commit(&old, [cursor(1)].into()).await.unwrap();
    let new = store.lead("new").await.unwrap();
    let refused = store.commit(&old, [cursor(2), put_run(run("a", 1, 0))].into()).await;
    assert!(matches!(refused, Err(CommitError::Fenced(2))), "{refused:?}");
    assert_eq!(store.scan("").await.unwrap(), [(Key::Cursor, Record::Cursor(1))]);
    assert_eq!(store.history().run(&run_id("a", "0")).await.unwrap(), None);
    assert_eq!(store.commit(&new, [cursor(3)].into()).await.unwrap(), 2);
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.commit(&new, [cursor(4)].into()).await.unwrap(), 3, "a term outlives the process");
    assert!(store.lead("third").await.unwrap().term > new.term);
    assert!(matches!(store.commit(&new, [cursor(5)].into()).await, Err(CommitError::Fenced(3))));
}

#[tokio::test]
async fn a_refused_commit_leaves_no_trace_and_harms_no_other_of_its_batch() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let old = store.lead("old").await.unwrap();
    let fence = store.lead("new").await.unwrap();
    refuse_commits_with(dir.path(), run_id("b", "13").as_str());

    let stall = Stall::of(dir.path());
    let good = store.commit(&fence, [cursor(1), put_run(run("a", 1, 0))].into());
    let fenced = store.commit(&old, [cursor(100)].into());
    // All of it is written by the time that it is refused.
    let bad = store.commit(&fence, [cursor(200), put_run(run("b", 2, 0)), put_run(run("b", 2, 13))].into());
    let append = store.append(vec![event("c")]);
    let last = store.commit(&fence, [put_run(run("d", 3, 0))].into());
    let mut all = std::pin::pin!(async { futures::join!(good, fenced, bad, append, last) });
    assert!(all.as_mut().now_or_never().is_none(), "answered before it is durable");
    stall.end();
    let (good, fenced, bad, append, last) = all.await;

    assert_eq!(good.unwrap(), 1);
    assert!(matches!(fenced, Err(CommitError::Fenced(2))), "{fenced:?}");
    let Err(CommitError::Unavailable(why)) = bad else { panic!("{bad:?}") };
    assert!(why.contains("refused by the test"), "{why}");
    assert_eq!(append.unwrap(), [Appended::New]);
    assert_eq!(last.unwrap(), 2);
    assert_eq!(store.scan("cursor").await.unwrap(), [(Key::Cursor, Record::Cursor(1))]);
    assert_eq!(keys(&store, "run/").await.len(), 2);
    assert_eq!(store.history().run(&run_id("b", "0")).await.unwrap(), None);
    assert!(store.history().run(&run_id("d", "0")).await.unwrap().is_some());
}

#[tokio::test]
async fn every_commit_is_told_to_who_waits_for_changes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut changes = store.history().changes();
    let fence = store.lead("test").await.unwrap();
    store.append(vec![event("a")]).await.unwrap();
    assert!(!changes.has_changed().unwrap(), "only commits of records count");
    for expected in 1..=3 {
        let revision = store.commit(&fence, [cursor(expected)].into()).await.unwrap();
        changes.changed().await.unwrap();
        assert_eq!((revision, *changes.borrow_and_update()), (expected, expected));
    }
    drop(store);
    assert_eq!(*open(dir.path()).history().changes().borrow(), 3);
}

#[tokio::test]
async fn a_record_that_can_t_be_understood_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let fence = store.lead("test").await.unwrap();
    store.commit(&fence, [cursor(1), put_event(event_record("a", 1, &[], 0))].into()).await.unwrap();
    assert_eq!(keys(&store, "").await.len(), 2, "read, and so folded");
    let other = beside(dir.path());
    other.execute("UPDATE records SET value = '{\"kind\": \"future\"}' WHERE key = 'cursor'", []).unwrap();
    let found = store.scan("cursor").await;
    assert!(matches!(&found, Err(RecordsError::Corrupt { key, .. }) if key == "cursor"), "{found:?}");
    assert_eq!(store.scan("event/").await.unwrap().len(), 1);
}

#[tokio::test]
async fn many_commits_at_once_keep_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let fence = store.lead("test").await.unwrap();
    let commits = (1..=100).map(|number| {
        let writes: Arc<[Write]> = [cursor(number), revision(&format!("{number:03}"))].into();
        store.commit(&fence, writes)
    });
    let revisions: Vec<u64> =
        futures::future::join_all(commits).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(revisions, (1..=100).collect::<Vec<_>>());
    assert_eq!(store.scan("cursor").await.unwrap(), [(Key::Cursor, Record::Cursor(100))]);
    assert_eq!(keys(&store, "revision/").await.len(), 100);
}
