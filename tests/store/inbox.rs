//! Appending, reading on, duplicates, too many at once.

use std::time::Duration;

use bytes::Bytes;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use kickoff::engine::event::Event;
use kickoff::engine::machine::{Key, Write};
use kickoff::store::inbox::{Appended, Inbox as _, InboxError};
use kickoff::store::records::Records as _;
use kickoff::store::sqlite::{Options, SqliteStore};

use super::{Stall, attributes, beside, cursor, event, event_record, key, open, options, put_event};

async fn ids(store: &SqliteStore, position: u64, count: usize) -> Vec<String> {
    let stream = store.read(position).take(count);
    stream.map(|stored| stored.unwrap().event.attributes.id).collect().await
}

#[tokio::test]
async fn a_key_is_known_from_its_first_append_on() {
    use Appended::{Known, New};
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for (appended, expected) in [
        (vec!["a"], vec![New]),
        (vec!["a", "b"], vec![Known, New]),
        (vec!["c", "c", "a", "d"], vec![New, Known, Known, New]),
        (vec![], vec![]),
    ] {
        let events = appended.iter().map(|id| event(id)).collect();
        assert_eq!(store.append(events).await.unwrap(), expected, "{appended:?}");
    }
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.append(vec![event("d"), event("e")]).await.unwrap(), [Known, New]);
    assert_eq!(ids(&store, 0, 5).await, ["a", "b", "c", "d", "e"]);
}

#[tokio::test]
async fn of_two_in_one_batch_the_second_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let stall = Stall::of(dir.path());
    let mut appends: FuturesUnordered<_> = (0..8).map(|_| store.append(vec![event("a")])).collect();
    assert!(appends.next().now_or_never().is_none(), "answered before it is durable");
    stall.end();
    let answers: Vec<_> = appends.map(|answer| answer.unwrap()[0]).collect().await;
    assert_eq!(answers.iter().filter(|answer| **answer == Appended::New).count(), 1, "{answers:?}");
    assert_eq!(answers.len(), 8);
}

/// More than is kept in memory, and from before and after what is.
#[tokio::test]
async fn who_reads_on_gets_all_in_order_however_far_behind() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut slow = store.read(0);
    let first: Vec<_> = (0..10).map(|number| event(&number.to_string())).collect();
    store.append(first).await.unwrap();
    let took: Vec<_> = slow.by_ref().take(5).map(|stored| stored.unwrap().position).collect().await;
    assert_eq!(took, [1, 2, 3, 4, 5]);
    for part in 0..10 {
        let many = (0..100).map(|number| event(&format!("{part} {number}"))).collect();
        store.append(many).await.unwrap();
    }
    let took: Vec<_> = slow.take(1_005).map(|stored| stored.unwrap().position).collect().await;
    assert_eq!(took, (6..=1_010).collect::<Vec<_>>());
    for from in [0, 700, 1_000] {
        let all: Vec<_> = store.read(from).take(usize::try_from(1_010 - from).unwrap()).collect().await;
        let all: Vec<_> = all.into_iter().map(|stored| stored.unwrap()).collect();
        assert_eq!(
            all.iter().map(|stored| stored.position).collect::<Vec<_>>(),
            (from + 1..=1_010).collect::<Vec<_>>()
        );
        assert_eq!(all.last().unwrap().event.attributes, attributes("9 99"));
    }
}

#[tokio::test]
async fn attributes_and_bodies_come_back_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    // Around the sizes from which on, and up to which, a body is packed; the last can't be made smaller.
    let long = "x".repeat(300_000);
    let mut random = fastrand::Rng::with_seed(7);
    let noise: Vec<u8> = (0..5_000).map(|_| random.u8(..)).collect();
    let sizes = [511, 512, 100_000, 256 << 10, (256 << 10) + 1];
    let bodies: [&[u8]; 4] = [b"", b"\x00\xff\xfe not text", b"{}", &noise];
    let bodies = bodies.into_iter().chain(sizes.iter().map(|size| &long.as_bytes()[..*size]));
    for (number, body) in bodies.enumerate() {
        let attributes = attributes(&number.to_string());
        let event = Event { attributes: attributes.clone(), body: Bytes::copy_from_slice(body) };
        store.append(vec![event]).await.unwrap();
        let found = store.get(&attributes.key).await.unwrap().unwrap();
        assert_eq!((found.attributes, &found.body[..]), (attributes, body));
    }
    assert!(store.get(&key("never sent")).await.unwrap().is_none());
}

#[tokio::test]
async fn reading_resumes_at_a_position_and_wakes_up() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    // More than one batch of the reader.
    let all: Vec<String> = (0..300).map(|number| format!("{number:03}")).collect();
    store.append(all.iter().map(|id| event(id)).collect()).await.unwrap();
    let mut stream = store.read(0);
    let mut positions = Vec::new();
    for id in &all {
        let stored = stream.next().await.unwrap().unwrap();
        assert_eq!(&stored.event.attributes.id, id);
        positions.push(stored.position);
    }
    assert!(positions.is_sorted_by(|a, b| a < b) && positions[0] >= 1);
    assert!(stream.next().now_or_never().is_none(), "there is no more");

    let (next, appended) = tokio::join!(stream.next(), store.append(vec![event("late")]));
    appended.unwrap();
    assert_eq!(next.unwrap().unwrap().event.attributes.id, "late");

    drop((stream, store));
    let store = open(dir.path());
    assert_eq!(ids(&store, positions[298], 2).await, ["299", "late"]);
}

#[tokio::test]
async fn reading_passes_over_what_expired() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.append(vec![event("a"), event("b")]).await.unwrap();
    let fence = store.lead("test").await.unwrap();
    let decided = ["a", "b"].iter().zip(1..).map(|(id, at)| put_event(event_record(id, at, &[], 0)));
    store.commit(&fence, decided.chain([cursor(2)]).collect()).await.unwrap();
    let gone = ["a", "b"].map(|id| Write::delete(Key::Event(key(id))));
    store.commit(&fence, gone.into()).await.unwrap();

    assert!(store.get(&key("a")).await.unwrap().is_none());
    let mut stream = store.read(0);
    let (next, appended) = tokio::join!(stream.next(), store.append(vec![event("a")]));
    assert_eq!(appended.unwrap(), [Appended::New]);
    let next = next.unwrap().unwrap();
    assert_eq!(
        (next.position, next.event.attributes.id.as_str()),
        (3, "a"),
        "a position is never used twice"
    );
}

#[tokio::test]
async fn a_full_queue_is_behind_and_loses_nothing_it_took() {
    let dir = tempfile::tempdir().unwrap();
    let few = Options { queue: 2, room_wait: Duration::from_millis(30), ..options() };
    let store = SqliteStore::open(dir.path(), few).unwrap();
    let stall = Stall::of(dir.path());
    let append = |number: u32| {
        let store = store.clone();
        async move { (number, store.append(vec![event(&number.to_string())]).await) }
    };
    let mut appends: FuturesUnordered<_> = (0..16).map(append).collect();
    let (_, first) = appends.next().await.unwrap();
    assert!(matches!(first, Err(InboxError::Behind)), "{first:?}");
    stall.end();
    let mut taken = Vec::new();
    while let Some((number, answer)) = appends.next().await {
        match answer {
            Ok(appended) => {
                assert_eq!(appended, [Appended::New]);
                taken.push(number.to_string());
            }
            Err(error) => assert!(matches!(error, InboxError::Behind), "{error}"),
        }
    }
    assert!(taken.len() >= 2, "{taken:?}");
    let mut kept = ids(&store, 0, taken.len()).await;
    kept.sort_by_key(|id| id.parse::<u32>().unwrap());
    taken.sort_by_key(|id| id.parse::<u32>().unwrap());
    assert_eq!(kept, taken);
}

#[tokio::test]
async fn a_database_that_stays_locked_is_unavailable_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let hasty = Options { busy_wait: Duration::from_millis(20), ..options() };
    let store = SqliteStore::open(dir.path(), hasty).unwrap();
    let stall = Stall::of(dir.path());
    let refused = store.append(vec![event("a")]).await;
    let text = "the inbox can't store: another program has locked the database";
    assert_eq!(refused.unwrap_err().to_string(), text);
    stall.end();
    assert_eq!(store.append(vec![event("a")]).await.unwrap(), [Appended::New]);
}

#[tokio::test]
async fn what_is_not_known_to_be_on_disk_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.append(vec![event("a")]).await.unwrap();
    // Like what the writer wrote and nothing has synced yet.
    let other = beside(dir.path());
    let (id, attributes) = (key("b"), serde_json::to_string(&event("b").attributes).unwrap());
    let sql = "INSERT INTO inbox (key, attributes, body) VALUES (?1, ?2, x'')";
    other.execute(sql, (id.as_str(), attributes)).unwrap();
    other.execute("INSERT INTO inbox_keys (key, seq) VALUES (unhex(?1), 2)", [id.as_str()]).unwrap();
    drop(other);
    assert!(store.get(&id).await.unwrap().is_none());
    let mut stream = store.read(0);
    assert_eq!(stream.next().await.unwrap().unwrap().event.attributes.id, "a");
    let more = tokio::time::timeout(Duration::from_millis(100), stream.next()).await;
    assert!(more.is_err(), "{more:?}");
    drop((stream, store));
    let store = open(dir.path());
    assert_eq!(ids(&store, 0, 2).await, ["a", "b"], "it is in the database");
    assert!(store.get(&id).await.unwrap().is_some());
}

/// Keys leave memory for the table by the thousand: `4_096` are kept.
#[tokio::test]
async fn a_key_is_known_in_memory_in_the_table_and_after_a_restart() {
    use Appended::{Known, New};
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let events = |range: std::ops::Range<u32>| range.map(|id| event(&id.to_string())).collect::<Vec<_>>();
    let in_table = |expected: u32| {
        let database = beside(dir.path());
        let count = |row: &rusqlite::Row<'_>| row.get::<_, u32>(0);
        assert_eq!(database.query_row("SELECT count(*) FROM inbox_keys", [], count).unwrap(), expected);
    };
    store.append(events(0..4_000)).await.unwrap();
    in_table(0);
    assert_eq!(store.append(events(0..2)).await.unwrap(), [Known, Known]);
    store.append(events(4_000..5_000)).await.unwrap();
    in_table(5_000);
    store.append(events(5_000..5_010)).await.unwrap();
    drop(store);
    let store = open(dir.path());
    let again = store.append(events(0..5_011)).await.unwrap();
    assert_eq!(again.iter().filter(|one| **one == New).count(), 1);
    assert_eq!(again.last(), Some(&New));
    for id in ["0", "4999", "5000", "5010"] {
        assert_eq!(store.get(&key(id)).await.unwrap().unwrap().attributes.id, id);
    }
    // A deleted one is new again, whether it was in the table or not.
    let fence = store.lead("test").await.unwrap();
    let gone = ["7", "5005"].map(|id| Write { key: Key::Event(key(id)), value: None });
    store.commit(&fence, gone.into()).await.unwrap();
    for id in ["7", "5005"] {
        assert!(store.get(&key(id)).await.unwrap().is_none());
        assert_eq!(store.append(vec![event(id), event("1")]).await.unwrap(), [New, Known]);
    }
}

#[tokio::test]
async fn a_packed_body_that_is_damaged_is_told_and_takes_no_memory() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let event = Event { attributes: attributes("a"), body: Bytes::from("x".repeat(1_000)) };
    store.append(vec![event]).await.unwrap();
    let database = beside(dir.path());
    for (damaged, told) in [
        (vec![0xff; 20], "a packed body of 4294967295 bytes"),
        (vec![1, 2], "a packed body of 0 bytes"),
        (vec![0, 4, 0, 0, 0xff], "event"),
    ] {
        database.execute("UPDATE inbox SET body = ?1", [&damaged]).unwrap();
        let error = store.get(&key("a")).await.unwrap_err().to_string();
        assert!(error.contains(told) && error.contains("event"), "{error}");
    }
}
