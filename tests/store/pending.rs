//! Commits are durable at once, and in the tables of records and history before anybody reads them.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use futures::FutureExt as _;
use kickoff::engine::machine::{DecisionKind, Firing, FiringState, Key, Record, Run, RunState, Write};
use kickoff::engine::render::Manifest;
use kickoff::engine::verdict::Outcome;
use kickoff::store::history::{Page, RunFilter};
use kickoff::store::inbox::{Appended, Inbox as _};
use kickoff::store::records::{CommitError, Records as _};
use rusqlite::types::Value;

use super::{
    Stall, beside, cursor, event, event_record, firing, firing_id, key, open, put_event, put_firing, put_run,
    refuse, run, run_id, settled,
};

fn count(dir: &Path, table: &str) -> u64 {
    let sql = format!("SELECT count(*) FROM {table}");
    beside(dir).query_row(&sql, [], |row| row.get::<_, i64>(0)).unwrap().cast_unsigned()
}

/// All rows of the tables that commits fill.
fn tables(dir: &Path) -> Vec<Vec<Value>> {
    let connection = beside(dir);
    let mut found = Vec::new();
    for table in ["pending", "records", "events", "decisions", "firings", "runs"] {
        let mut statement = connection.prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2")).unwrap();
        let columns = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let values = (0..columns).map(|column| row.get_unwrap(column));
            found.push(std::iter::once(Value::Text(table.to_owned())).chain(values).collect());
        }
    }
    found
}

/// What a disk has of the folder if the process is killed now.
fn image(dir: &Path) -> tempfile::TempDir {
    let image = tempfile::tempdir().unwrap();
    // Another process: one that closes the database loses the locks that it has on it.
    let files = ["kickoff.db", "kickoff.db-wal"].map(|file| dir.join(file));
    assert!(Command::new("cp").args(files).arg(image.path()).status().unwrap().success());
    image
}

/// What comes of an event, step by step: decided, run, tried again, over, and gone.
fn story(id: &str, position: u64) -> Vec<Vec<Write>> {
    let (first, second) = (run(id, position, 0), run(id, position, 1));
    let manifest = |run: &Run| Key::Manifest(run.id.clone());
    let running = |run: &Run, attempt| Run { state: RunState::Running, attempt, ..run.clone() };
    let over = |run: &Run, outcome| {
        let run = settled(run.clone(), outcome, 7);
        vec![Write::delete(Key::RunOpen(run.id.clone())), put_run(run)]
    };
    let fired = firing(id, position, 2);
    let ended = Firing { state: FiringState::Ended, outcome: Some(Outcome::Failed), ..fired.clone() };
    let frozen = || Record::Manifest(Manifest::of(&serde_json::json!({"kind": "Job"})).unwrap());
    vec![
        vec![
            cursor(position),
            put_event(event_record(id, position, &[("smoke", DecisionKind::Fired)], 1)),
            put_firing(fired.clone()),
            put_run(first.clone()),
            Write::put(manifest(&first), frozen()),
            put_run(second.clone()),
            Write::put(manifest(&second), frozen()),
        ],
        vec![put_run(running(&first, 1)), Write::delete(manifest(&first))],
        vec![put_run(running(&second, 1)), Write::delete(manifest(&second)), put_firing(fired.clone())],
        vec![put_run(running(&first, 2))],
        over(&first, Outcome::Passed),
        [
            over(&second, Outcome::Failed),
            vec![Write::delete(Key::FiringOpen(fired.id.clone())), put_firing(ended)],
        ]
        .concat(),
        vec![Write::delete(Key::RunDone(first.id.clone()))],
        vec![put_firing(Firing { reason: Some("seen".to_owned()), ..fired.clone() })],
        vec![
            Write::delete(Key::RunDone(second.id.clone())),
            Write::delete(Key::FiringDone(fired.id.clone())),
        ],
        vec![Write::delete(Key::Event(key(id)))],
    ]
}

#[tokio::test]
async fn however_many_are_folded_at_once_the_tables_are_the_same() {
    let mut random = fastrand::Rng::with_seed(11);
    for round in 0..30 {
        let mut left: Vec<_> = ["a", "b", "c", "d"].iter().zip(1..).map(|(id, at)| story(id, at)).collect();
        for story in &mut left {
            story.truncate(random.usize(1..=story.len()));
            story.reverse();
        }
        let dirs = [(); 3].map(|()| tempfile::tempdir().unwrap());
        let stores = [0, 1, 2].map(|at| open(dirs[at].path()));
        let mut fences = Vec::new();
        for store in &stores {
            fences.push(store.lead("test").await.unwrap());
        }
        loop {
            random.shuffle(&mut left);
            let Some(writes) = left.iter_mut().find_map(Vec::pop) else { break };
            for (store, fence) in stores.iter().zip(&fences) {
                store.commit(fence, writes.clone().into()).await.unwrap();
            }
            // The first is read after each commit, the second now and then, the third never.
            stores[0].scan("").await.unwrap();
            if random.u8(..4) == 0 {
                stores[1].scan("").await.unwrap();
            }
        }
        assert!(count(dirs[2].path(), "pending") > 3, "round {round}");
        let killed = image(dirs[2].path());
        drop(stores);
        drop(open(killed.path()));
        let expected = tables(dirs[0].path());
        assert!(expected.len() > 3, "round {round}");
        for dir in [dirs[1].path(), dirs[2].path(), killed.path()] {
            assert_eq!(tables(dir), expected, "round {round}");
        }
    }
}

#[tokio::test]
async fn a_commit_is_one_row_until_somebody_reads() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (history, fence) = (store.history(), store.lead("test").await.unwrap());
    let rows = || ["pending", "records", "runs"].map(|table| count(dir.path(), table));
    let (first, second) = (run_id("a", "0"), run_id("b", "0"));
    store.commit(&fence, [cursor(1), put_run(run("a", 1, 0))].into()).await.unwrap();
    store.commit(&fence, [cursor(2)].into()).await.unwrap();
    assert_eq!(store.find(&Key::Cursor).await.unwrap(), Some(Record::Cursor(2)));
    assert!(history.run(&first).await.unwrap().is_some());
    assert_eq!(rows(), [2, 0, 0], "what is asked for by its key needs no table");

    assert_eq!(store.scan("run/").await.unwrap().len(), 1);
    assert_eq!(rows(), [0, 2, 1]);
    let running = Run { state: RunState::Running, ..run("a", 1, 0) };
    let writes = [Write::delete(Key::Cursor), put_run(running.clone())];
    store.commit(&fence, writes.into()).await.unwrap();
    assert_eq!(store.find(&Key::Cursor).await.unwrap(), None);
    assert_eq!(history.run(&first).await.unwrap(), Some(running));
    assert_eq!(history.run(&second).await.unwrap(), None);
    let over = put_run(settled(run("a", 1, 0), Outcome::Passed, 7));
    store.commit(&fence, [Write::delete(Key::RunOpen(first.clone())), over].into()).await.unwrap();
    store.commit(&fence, [Write::delete(Key::RunDone(first.clone()))].into()).await.unwrap();
    assert_eq!(history.run(&first).await.unwrap(), None);
    assert_eq!(rows(), [3, 2, 1], "nothing had to be folded for it");

    store.commit(&fence, [cursor(3), put_run(run("b", 2, 0))].into()).await.unwrap();
    let killed = image(dir.path());
    drop(store);
    assert_eq!(rows(), [0, 2, 1], "a store that is closed leaves nothing to be done");
    assert!(history.run(&second).await.unwrap().is_some());
    assert_eq!(count(killed.path(), "pending"), 4);
    let store = open(killed.path());
    assert!(store.history().run(&second).await.unwrap().is_some());
    assert_eq!(*store.history().changes().borrow(), 6);
    assert_eq!(store.find(&Key::Cursor).await.unwrap(), Some(Record::Cursor(3)));
    assert_eq!(store.scan("run/").await.unwrap().len(), 1);
}

/// A reader may be one who is not looked after while its owner waits for something else, as dispatch does.
#[tokio::test]
async fn a_read_that_is_not_waited_for_holds_up_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let fence = store.lead("test").await.unwrap();
    store.commit(&fence, [cursor(1)].into()).await.unwrap();
    let stall = Stall::of(dir.path());
    // The writer is at the first; all that follows is one batch, and the read is its first.
    let first = store.commit(&fence, [cursor(2)].into());
    let (mut first, mut read) = (Box::pin(first), store.scan("run/"));
    assert!(first.as_mut().now_or_never().is_none());
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(read.as_mut().now_or_never().is_none());
    let commit = store.commit(&fence, [cursor(3)].into());
    let append = store.append(vec![event("a")]);
    let all = async { futures::join!(first, commit, append) };
    let mut all = Box::pin(all);
    assert!(all.as_mut().now_or_never().is_none());
    stall.end();
    let (first, commit, append) =
        tokio::time::timeout(Duration::from_secs(20), all).await.expect("nobody holds them up");
    assert_eq!((first.unwrap(), commit.unwrap()), (2, 3));
    assert_eq!(append.unwrap(), [Appended::New]);
    assert_eq!(read.await.unwrap(), []);
}

#[tokio::test]
async fn many_are_folded_though_nobody_reads() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let fence = store.lead("test").await.unwrap();
    for position in 1..=1_000 {
        let writes = [cursor(position), put_run(run(&position.to_string(), position, 0))];
        store.commit(&fence, writes.into()).await.unwrap();
    }
    let (pending, runs) = (count(dir.path(), "pending"), count(dir.path(), "runs"));
    assert_eq!(pending + runs, 1_000);
    assert!((1..300).contains(&pending), "{pending}");
}

#[tokio::test]
async fn what_can_not_be_folded_holds_up_commits_once_it_is_much_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let fence = store.lead("test").await.unwrap();
    refuse(dir.path(), "BEFORE INSERT ON runs");
    let (history, first) = (store.history(), run_id("first", "0"));
    let large: Vec<Write> = (1..200).map(cursor).chain([put_run(run("first", 1, 0))]).collect();
    store.commit(&fence, large.into()).await.expect("it need not go to all tables at once");
    assert!(history.run(&first).await.unwrap().is_some(), "by its key");
    let page = || Page { limit: 1, cursor: None };
    let refused = [
        store.scan("run/").await.unwrap_err().to_string(),
        history.runs(RunFilter::default(), page()).await.unwrap_err().to_string(),
    ];
    for refused in refused {
        assert!(
            refused.contains("what was committed last can't be folded: refused by the test"),
            "{refused}"
        );
    }
    assert_eq!(*store.trouble().borrow(), None, "everything can be written");

    let of = |position: u64| -> Vec<Write> {
        (0..100).map(|place| put_run(run(&position.to_string(), position, place))).collect()
    };
    let mut committed = 1;
    let refused = loop {
        match store.commit(&fence, of(committed + 1).into()).await {
            Ok(_) => committed += 1,
            Err(error) => break error,
        }
        assert!(committed < 100, "it is never held up");
    };
    assert!(committed > 5, "{committed}");
    assert!(
        matches!(&refused, CommitError::Unavailable(why) if why.contains("refused by the test")),
        "{refused}"
    );
    assert_eq!(store.append(vec![event("a")]).await.unwrap(), [Appended::New]);
    let last = Key::RunOpen(run_id(&committed.to_string(), "99"));
    assert!(store.find(&last).await.unwrap().is_some(), "by its key");

    beside(dir.path()).execute_batch("DROP TRIGGER refuse").unwrap();
    // It is not tried again at once.
    while store.commit(&fence, of(committed + 1).into()).await.is_err() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(history.runs(RunFilter::default(), page()).await.unwrap().items.len(), 1);
    assert!(history.run(&first).await.unwrap().is_some());
    assert_eq!(history.runs_of_firing(&firing_id(&(committed + 1).to_string())).await.unwrap().len(), 100);
    assert_eq!(count(dir.path(), "runs"), 1 + 100 * committed);
}
