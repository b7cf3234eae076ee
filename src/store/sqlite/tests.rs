//! What its threads make of works, as only they can tell.

use std::sync::atomic::Ordering;

use futures::{FutureExt as _, StreamExt as _};

use super::work::{Failure, Rest};
use super::*;
use crate::engine::event::{Attributes, Ingress};

/// Work that kills who carries it out.
struct Deadly;

impl Work for Deadly {
    fn bytes(&self) -> usize {
        0
    }

    fn carry_out(&mut self, _: &rusqlite::Connection, _: &mut State) -> rusqlite::Result<()> {
        panic!("on purpose")
    }

    fn answer(self: Box<Self>, _: Result<(), Failure>, _: Rest) {}
}

#[tokio::test]
async fn whoever_watches_its_trouble_learns_that_the_writer_has_died() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path(), Options::default()).unwrap();
    let mut trouble = store.trouble();
    assert!(store.lead("me").await.is_ok());
    store.inner.thread.queue.send(Box::new(Deadly)).await.unwrap();
    assert!(trouble.changed().await.is_err());
    assert!(store.lead("me").await.is_err());
}

fn event(number: u64) -> Event {
    let id = number.to_string();
    let attributes = Attributes::new(Ingress::Verdict, "test".to_owned(), id, "a".to_owned(), 0);
    Event { attributes, body: bytes::Bytes::new() }
}

/// Appends an event to a quiet store whose reader commits once it has it; gives how many syncs that took.
async fn syncs(store: &SqliteStore, fence: &Fence, number: u64) -> u64 {
    let before = store.inner.syncs.load(Ordering::Relaxed);
    let mut events = store.read(number - 1);
    assert!(events.next().now_or_never().is_none(), "it waits");
    let decide = async {
        let stored = events.next().await.unwrap().unwrap();
        store.commit(fence, Arc::new([Write::put(Key::Cursor, Record::Cursor(stored.position))])).await
    };
    let (appended, committed) = tokio::join!(store.append(vec![event(number)]), decide);
    assert_eq!((appended.unwrap(), committed.unwrap()), (vec![Appended::New], number));
    store.inner.syncs.load(Ordering::Relaxed) - before
}

#[tokio::test]
async fn an_event_and_what_is_soon_decided_of_it_take_one_sync() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path(), Options::default()).unwrap();
    let fence = store.lead("me").await.unwrap();
    for number in 1..100 {
        if syncs(&store, &fence, number).await == 1 {
            return;
        }
        // On a machine that has other things to do, it came too late, and is not waited for for a while.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    panic!("each took another sync");
}

#[tokio::test]
async fn an_event_of_which_nothing_is_decided_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path(), Options::default()).unwrap();
    let mut events = store.read(0);
    for number in 1..4 {
        assert!(events.next().now_or_never().is_none(), "it waits");
        assert_eq!(store.append(vec![event(number)]).await.unwrap(), [Appended::New]);
        assert_eq!(events.next().await.unwrap().unwrap().position, number);
    }
}

#[tokio::test]
async fn what_a_vacuum_writes_goes_by_the_pages_of_its_database() {
    for (there, wanted) in [(None, 8_192), (Some(4_096), 4_096)] {
        let folder = tempfile::tempdir().unwrap();
        if let Some(size) = there {
            // As it was made before pages were larger.
            let old = rusqlite::Connection::open(folder.path().join("kickoff.db")).unwrap();
            old.pragma_update(None, "page_size", size).unwrap();
            old.execute_batch(include_str!("schema.sql")).unwrap();
            old.execute_batch(crate::store::history::SCHEMA).unwrap();
            old.pragma_update(None, "application_id", 0x4b69_636b).unwrap();
            old.pragma_update(None, "user_version", 1).unwrap();
        }
        let store = SqliteStore::open(folder.path(), Options::default()).unwrap();
        assert_eq!(store.inner.page_size, wanted);
        let (work, _answer) = records::Vacuum::new(3, store.inner.page_size);
        assert_eq!(work.bytes(), 3 * wanted as usize);
    }
}
