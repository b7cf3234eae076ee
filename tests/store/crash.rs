//! `kill -9` of a process that writes: what it was told is durable is there.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use futures::StreamExt as _;
use kickoff::engine::event::Event;
use kickoff::engine::machine::{Key, Record};
use kickoff::store::inbox::Inbox as _;
use kickoff::store::records::Records as _;
use kickoff::store::sqlite::{LogSizes, Options, SqliteStore};

use super::{attributes, beside, cursor, event, event_record, key, open, options, put_event};

/// Where the child keeps its data: set for the child only.
const FOLDER: &str = "KICKOFF_TEST_STORE_FOLDER";

/// Not a test but the child: appends four at a time, decides each, says what is durable.
#[tokio::test]
#[ignore = "is started by the test below"]
async fn child_that_appends_until_it_is_killed() {
    let folder = std::env::var_os(FOLDER).expect("the parent sets the folder");
    let store = open(Path::new(&folder));
    let fence = store.lead("child").await.unwrap();
    let newest = match store.scan("cursor").await.unwrap().pop() {
        Some((_, Record::Cursor(position))) => position,
        _ => 0,
    };
    let mut stream = store.read(newest);
    for round in 0_u64.. {
        let ids = [0, 1, 2, 3].map(|lane| format!("{}-{round}-{lane}", std::process::id()));
        let appends = ids.iter().map(|id| store.append(vec![event(id)]));
        for (id, appended) in ids.iter().zip(futures::future::join_all(appends).await) {
            appended.unwrap();
            say(&format!("appended {id}"));
        }
        for _ in &ids {
            let stored = stream.next().await.unwrap().unwrap();
            let id = &stored.event.attributes.id;
            let record = put_event(event_record(id, stored.position, &[], 0));
            store.commit(&fence, [cursor(stored.position), record].into()).await.unwrap();
            say(&format!("decided {id}"));
        }
    }
}

/// One write each, so that no line is said in part.
fn say(line: &str) {
    std::io::stdout().write_all(format!("\n{line}\n").as_bytes()).unwrap();
}

fn start(child: &str, folder: &Path) -> Child {
    let name = format!("store::crash::{child}");
    Command::new(std::env::current_exe().unwrap())
        .args([name.as_str(), "--exact", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let (mut appended, mut decided) = (Vec::new(), Vec::new());
    for round in 0..10_usize {
        let mut child = start("child_that_appends_until_it_is_killed", dir.path());
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        // Killed after so many lines, between any two of the child's steps.
        let mut left = 3 + round * 17 % 23;
        let mut killed = false;
        while let Some(Ok(line)) = said.next() {
            match line.split_once(' ') {
                Some(("appended", id)) => appended.push(id.to_owned()),
                Some(("decided", id)) => decided.push(id.to_owned()),
                _ => continue,
            }
            left = left.saturating_sub(1);
            if left == 0 && !killed {
                child.kill().unwrap();
                killed = true;
            }
        }
        child.wait().unwrap();
        assert!(killed, "the child ended by itself");
    }
    assert!(appended.len() >= 20 && decided.len() >= 10, "{} {}", appended.len(), decided.len());

    let store = open(dir.path());
    for id in &appended {
        assert!(store.get(&super::key(id)).await.unwrap().is_some(), "{id} is lost");
    }
    let events = store.scan("event/").await.unwrap();
    for id in &decided {
        let key = Key::Event(super::key(id));
        assert!(events.iter().any(|(found, _)| *found == key), "the decision about {id} is lost");
        assert!(store.history().event(&super::key(id)).await.unwrap().is_some(), "{id} has no row");
    }
    // Cursor, records and rows are one: whatever was the last commit, they agree.
    let cursor = store.scan("cursor").await.unwrap();
    let positions = events.iter().map(|(_, record)| match record {
        Record::Event(event) => event.position,
        other => panic!("{other:?}"),
    });
    assert_eq!(cursor, [(Key::Cursor, Record::Cursor(positions.max().unwrap()))]);
    for (key, record) in &events {
        let (Key::Event(key), Record::Event(event)) = (key, record) else { panic!("{key}") };
        assert_eq!(store.history().event(key).await.unwrap().as_ref(), Some(&**event));
    }
}

/// An event that can't be packed, and can be told from every other.
fn noise(id: &str) -> Event {
    let seed = id.bytes().fold(7_u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
    let mut random = fastrand::Rng::with_seed(seed);
    let body: Bytes = (0..10_000).map(|_| random.u8(..)).collect();
    Event { attributes: attributes(id), body }
}

/// Not a test but the child: its log is so short that it is being copied most of the time.
#[tokio::test]
#[ignore = "is started by the test below"]
async fn child_that_copies_its_log_until_it_is_killed() {
    let folder = std::env::var_os(FOLDER).expect("the parent sets the folder");
    let log = LogSizes { copied: 64 << 10, behind: 1 << 20, most: 16 << 20 };
    let store = SqliteStore::open(Path::new(&folder), Options { log, ..options() }).unwrap();
    for round in 0_u64.. {
        let ids = [0, 1, 2, 3].map(|lane| format!("{}-{round}-{lane}", std::process::id()));
        let appends = ids.iter().map(|id| store.append(vec![noise(id)]));
        for (id, appended) in ids.iter().zip(futures::future::join_all(appends).await) {
            appended.unwrap();
            say(&format!("appended {id}"));
        }
    }
}

#[tokio::test]
async fn a_log_that_is_being_copied_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut appended = Vec::new();
    for round in 0..10_usize {
        let mut child = start("child_that_copies_its_log_until_it_is_killed", dir.path());
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        // From the second on the log of the one before is copied first.
        let mut left = 20 + round * 37 % 61;
        for line in said {
            let Some(id) = line.unwrap().strip_prefix("appended ").map(str::to_owned) else { continue };
            appended.push(id);
            left = left.saturating_sub(1);
            if left == 0 {
                child.kill().unwrap();
            }
        }
        assert_eq!(child.wait().unwrap().code(), None, "the child ended by itself");
    }
    let store = open(dir.path());
    for id in &appended {
        let found = store.get(&key(id)).await.unwrap().unwrap_or_else(|| panic!("{id} is lost"));
        assert!(found.body == noise(id).body, "{id} is not what it was");
    }
    drop(store);
    let database = beside(dir.path());
    let whole: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(whole, "ok");
}
