//! The log of writes: copied beside the writer, started anew under load that never pauses, and bounded.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use kickoff::engine::event::Event;
use kickoff::store::inbox::{Appended, Inbox as _, InboxError};
use kickoff::store::sqlite::{LogSizes, Options, SqliteStore};

use super::open::Tmpfs;
use super::{attributes, beside, event, open, options};

const SIZES: LogSizes = LogSizes { copied: 256 << 10, behind: 1 << 20, most: 4 << 20 };
/// More than one batch of what a test appends at once, and what the log grows before a try.
const SLACK: u64 = 1 << 20;

fn short(dir: &Path) -> SqliteStore {
    let busy_wait = Duration::from_millis(50);
    SqliteStore::open(dir, Options { log: SIZES, busy_wait, ..options() }).unwrap()
}

/// 20,000 bytes that can't be packed.
fn noise(number: u64) -> Event {
    let mut random = fastrand::Rng::with_seed(number);
    let body: Bytes = (0..20_000).map(|_| random.u8(..)).collect();
    Event { attributes: attributes(&number.to_string()), body }
}

fn size(dir: &Path, file: &str) -> u64 {
    dir.join(file).metadata().unwrap().len()
}

/// One who reads, and does not end before this is dropped.
fn long_read(dir: &Path) -> rusqlite::Connection {
    let reader = beside(dir);
    reader.execute_batch("BEGIN; SELECT count(*) FROM inbox;").unwrap();
    reader
}

/// Appends eight at a time, without a pause.
async fn load(store: &SqliteStore, numbers: std::ops::Range<u64>) {
    let appends = numbers.map(|number| store.append(vec![noise(number)]));
    let answers: Vec<_> = futures::stream::iter(appends).buffer_unordered(8).collect().await;
    assert!(answers.iter().all(|answer| matches!(answer.as_deref(), Ok([Appended::New]))), "{answers:?}");
}

async fn kept(store: &SqliteStore, count: u64) {
    let mut stream = store.read(0);
    let mut numbers: Vec<u64> = Vec::new();
    for _ in 0..count {
        let Event { attributes, body } = stream.next().await.unwrap().unwrap().event;
        let number = attributes.id.parse().unwrap();
        assert!(body == noise(number).body, "{number}");
        numbers.push(number);
    }
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..count));
}

#[tokio::test]
async fn under_endless_load_it_stays_short() {
    let dir = tempfile::tempdir().unwrap();
    let store = short(dir.path());
    load(&store, 0..600).await;
    let (log, database) = (size(dir.path(), "kickoff.db-wal"), size(dir.path(), "kickoff.db"));
    assert!(log <= SIZES.behind + SLACK, "{log} bytes");
    assert!(database > 8 << 20, "{database} bytes");
    drop(store);
    kept(&open(dir.path()), 600).await;
}

#[tokio::test]
async fn one_who_reads_and_does_not_end_holds_it_back_up_to_its_bound() {
    let dir = tempfile::tempdir().unwrap();
    let store = short(dir.path());
    load(&store, 0..10).await;
    let reader = long_read(dir.path());
    let mut next = 10;
    let refused = loop {
        match store.append(vec![noise(next)]).await {
            Ok(_) => next += 1,
            Err(error) => break error,
        }
        assert!(next < 1_000, "the log is not bounded");
    };
    assert!(matches!(refused, InboxError::Unavailable(_)), "{refused:?}");
    let told = "the inbox can't store: its log of writes has 4 MiB: \
                something reads the database and does not end";
    assert_eq!(refused.to_string(), told);
    assert!(next * 20_000 > SIZES.behind, "{next} events");
    let most = size(dir.path(), "kickoff.db-wal");
    assert!((SIZES.most..SIZES.most + SLACK).contains(&most), "{most} bytes");

    drop(reader);
    load(&store, next..next + 400).await;
    assert_eq!(size(dir.path(), "kickoff.db-wal"), most, "it was started anew");
    assert_eq!(*store.trouble().borrow(), None);
    drop(store);
    kept(&open(dir.path()), next + 400).await;
}

/// How much of the log is in use.
fn frames(dir: &Path) -> u64 {
    let other = beside(dir);
    other.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| row.get::<_, i64>(1)).unwrap().cast_unsigned()
}

#[tokio::test]
async fn where_it_can_not_be_copied_it_is_written_on() {
    let disk = Tmpfs::mount("size=12m");
    let data = disk.path().join("data");
    let store = short(&data);
    // Its file becomes 2 MiB long, and stays so when it is started anew.
    let reader = long_read(&data);
    load(&store, 0..100).await;
    drop(reader);
    for number in 0.. {
        store.append(vec![event(&format!("tick {number}"))]).await.unwrap();
        if frames(&data) < 20 {
            break;
        }
        assert!(number < 1_000, "the log is not started anew");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let log = size(&data, "kickoff.db-wal");
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![0; 12 << 20]).expect_err("the disk is not full");

    let mut next = 100;
    let refused = loop {
        match store.append(vec![noise(next)]).await {
            Ok(_) => next += 1,
            Err(error) => break error,
        }
        assert!(next < 1_000, "the disk is not full");
    };
    assert_eq!(refused.to_string(), "the inbox can't store: the disk is full");
    // From here on no checkpoint can have succeeded: the database has no room for the events.
    assert!((next - 100) * 20_000 > SIZES.copied * 2, "{next} events in a log of {log} bytes");
    std::fs::remove_file(&ballast).unwrap();
    load(&store, next..next + 50).await;
    drop(store);
    let store = open(&data);
    for number in 0..next + 50 {
        let found = store.get(&super::key(&number.to_string())).await.unwrap();
        assert!(found.is_some_and(|found| found.body == noise(number).body), "{number}");
    }
}
