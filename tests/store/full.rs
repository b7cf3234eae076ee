//! A full disk: refused with the reason, nothing acknowledged lost, and on as before once there is room.

use bytes::Bytes;
use futures::StreamExt as _;
use kickoff::engine::event::Event;
use kickoff::engine::machine::{Key, Record};
use kickoff::store::inbox::{Appended, Inbox as _, InboxError};
use kickoff::store::records::{CommitError, Records as _};
use kickoff::store::sqlite::SqliteStore;

use super::open::Tmpfs;
use super::{attributes, cursor, event, open};

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
    store.scan("run/").await.unwrap_err();
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
