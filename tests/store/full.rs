//! A full disk: refused with the reason, nothing acknowledged lost, and on as before once there is room.

use bytes::Bytes;
use futures::StreamExt as _;
use kickoff::engine::event::Event;
use kickoff::engine::machine::{Key, Record, Run, RunState, Write};
use kickoff::engine::verdict::Outcome;
use kickoff::store::history::{History, Page, RunFilter};
use kickoff::store::inbox::{Appended, Inbox as _, InboxError};
use kickoff::store::records::{CommitError, Records as _};
use kickoff::store::sqlite::SqliteStore;

use super::open::Tmpfs;
use super::{attributes, beside, cursor, event, open, put_run, run, settled};

fn big(id: &str) -> Event {
    Event { attributes: attributes(id), body: Bytes::from(vec![b'x'; 50_000]) }
}

async fn kept(store: &SqliteStore, count: usize) -> Vec<String> {
    store.read(0).take(count).map(|stored| stored.unwrap().event.attributes.id).collect().await
}

#[tokio::test]
async fn a_full_disk_refuses_and_recovers() {
    let disk = Tmpfs::mount("size=3m");
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![0; 1 << 20]).unwrap();
    let data = disk.path().join("data");
    let store = open(&data);
    let fence = store.lead("test").await.unwrap();
    store.commit(&fence, [cursor(1)].into()).await.unwrap();

    let mut acknowledged = Vec::new();
    let refused = loop {
        let id = acknowledged.len().to_string();
        match store.append(vec![big(&id)]).await {
            Ok(_) => acknowledged.push(id),
            Err(error) => break error,
        }
        assert!(acknowledged.len() < 1000, "the disk never filled up");
    };
    assert!(matches!(&refused, InboxError::Unavailable(_)), "{refused}");
    assert_eq!(refused.to_string(), "the inbox can't store: the disk is full");
    assert!(acknowledged.len() > 5, "{acknowledged:?}");
    assert_eq!(kept(&store, acknowledged.len()).await, acknowledged, "reading goes on");

    std::fs::remove_file(&ballast).unwrap();
    assert_eq!(store.append(vec![big("0")]).await.unwrap(), [Appended::Known]);
    let refused = acknowledged.len().to_string();
    assert_eq!(store.append(vec![big(&refused)]).await.unwrap(), [Appended::New], "it was not written");
    acknowledged.push(refused);
    let id = "after".to_owned();
    assert_eq!(store.append(vec![big(&id)]).await.unwrap(), [Appended::New]);
    acknowledged.push(id);
    assert_eq!(store.commit(&fence, [cursor(2)].into()).await.unwrap(), 2);
    drop(store);
    assert_eq!(kept(&open(&data), acknowledged.len()).await, acknowledged);
}

#[tokio::test]
async fn a_commit_on_a_full_disk_never_counts_as_done_and_the_next_term_goes_on() {
    let disk = Tmpfs::mount("size=3m");
    let data = disk.path().join("data");
    let store = open(&data);
    let fence = store.lead("test").await.unwrap();
    store.commit(&fence, [cursor(1)].into()).await.unwrap();
    let ballast = disk.path().join("ballast");
    let wrote = std::fs::write(&ballast, vec![0; 4 << 20]);
    assert!(wrote.is_err(), "the disk is not full");

    let mut last = 1;
    let refused = loop {
        match store.commit(&fence, [cursor(last + 1)].into()).await {
            Ok(_) => last += 1,
            Err(error) => break error,
        }
        assert!(last < 10_000, "the log of writes never filled up");
    };
    assert!(matches!(refused, CommitError::Unknown(_) | CommitError::Unavailable(_)), "{refused}");
    assert_eq!(store.find(&Key::Cursor).await.unwrap(), Some(Record::Cursor(last)));
    assert!(store.trouble().borrow().is_some(), "it can't write");
    let seen = store.scan("").await.unwrap();
    assert_eq!(seen, [(Key::Cursor, Record::Cursor(last))], "reading goes on");
    assert!(store.trouble().borrow().is_some(), "who only wants to read has not written anything");

    std::fs::remove_file(&ballast).unwrap();
    let next = store.lead("test").await.unwrap();
    assert_eq!(next.term, fence.term + 1);
    store.commit(&next, [cursor(last + 1)].into()).await.unwrap();
    assert_eq!(store.append(vec![event("a")]).await.unwrap(), [Appended::New]);
    drop(store);
    let found = open(&data).scan("cursor").await.unwrap();
    assert_eq!(found, [(Key::Cursor, Record::Cursor(last + 1))]);
}

/// A run that takes much room.
fn long(position: u64) -> Run {
    let log = serde_json::Value::from("x".repeat(40_000));
    Run { params: [("log".to_owned(), log)].into(), ..run(&position.to_string(), position, 0) }
}

async fn listed(history: &History, outcome: Option<Outcome>) -> Vec<Run> {
    let filter = RunFilter { outcome, ..RunFilter::default() };
    history.runs(filter, Page { limit: 500, cursor: None }).await.unwrap().items
}

#[tokio::test]
async fn what_can_not_be_folded_on_a_full_disk_is_read_all_the_same() {
    let disk = Tmpfs::mount("size=6m");
    let data = disk.path().join("data");
    let store = open(&data);
    let fence = store.lead("test").await.unwrap();
    let pending = || {
        let counted = beside(&data).query_row("SELECT count(*) FROM pending", [], |row| row.get::<_, i64>(0));
        counted.unwrap()
    };
    store.commit(&fence, [put_run(long(1)), put_run(long(2))].into()).await.unwrap();
    assert_eq!(listed(&store.history(), None).await.len(), 2);
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![0; 3_500_000]).unwrap();
    let over = |position| settled(long(position), Outcome::Failed, 7);
    let running = Run { state: RunState::Running, ..long(2) };
    let ended = Write::delete(Key::RunOpen(long(1).id));
    store.commit(&fence, [ended, put_run(over(1)), put_run(running.clone())].into()).await.unwrap();

    let mut kept = vec![running, over(1)];
    for position in 3..1_000 {
        match store.commit(&fence, [cursor(position), put_run(long(position))].into()).await {
            Ok(_) => kept.insert(0, long(position)),
            Err(_) => break,
        }
    }
    assert!((20..200).contains(&kept.len()), "{}", kept.len());
    for _ in 0..3 {
        assert!(listed(&store.history(), None).await == kept);
        assert!(listed(&store.history(), Some(Outcome::Failed)).await == [over(1)]);
        assert_eq!(store.scan("run/").await.unwrap().len(), kept.len());
    }
    assert!(pending() > 0, "they were read without being folded");

    std::fs::remove_file(&ballast).unwrap();
    while pending() > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        assert!(listed(&store.history(), None).await == kept);
    }
    drop(store);
    assert!(listed(&open(&data).history(), None).await == kept);
}
