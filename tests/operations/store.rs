//! A disk that is full, and data folders that are not as they should be, over the wire.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{DEFINITIONS, TOKEN, deliver, get, until};
use crate::store::{Tmpfs, beside, refuse};
use crate::support::{Home, client, kickoff};

fn filler(code: Option<u8>) -> String {
    let code = code.map_or_else(String::new, |code| format!(r#""code": {code}, "#));
    format!(r#"{{{code}"filler": "{}"}}"#, "x".repeat(40_000))
}

/// Fills what is left of the disk.
fn fill(folder: &Path) -> std::path::PathBuf {
    let ballast = folder.join("ballast");
    let mut file = std::fs::File::create(&ballast).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    ballast
}

#[tokio::test]
async fn a_full_disk_answers_503_loses_nothing_and_recovers_by_itself() {
    let home = Home::new(DEFINITIONS);
    std::fs::create_dir(home.data()).unwrap();
    let disk = Tmpfs::at(&home.data(), "size=12m");
    let server = home.serve(&[], &[("LOAD_TOKEN", TOKEN)]);
    let (_, before) = deliver(&server, "before", r#"{"code": 0}"#, &[]).await;
    server.runs_of(&before, crate::support::all_ended).await;
    let ballast = fill(disk.path());
    let mut accepted = Vec::new();
    let refused = loop {
        let id = format!("full-{}", accepted.len());
        let (status, event) = deliver(&server, &id, &filler(None), &[]).await;
        if status != 202 {
            break status;
        }
        accepted.push((id, event));
        assert!(accepted.len() < 1_000, "the disk never filled up");
    };
    assert_eq!(refused, 503, "{}", server.said());
    let (status, _, text) = get(&server, "/readyz", "*/*").await;
    assert_eq!(status, 503, "{text}");
    assert!(text.contains("store: not ready: it can't write: "), "{text}");
    assert_eq!(get(&server, "/livez", "*/*").await.0, 200, "a restart would mend nothing");
    assert_eq!(get(&server, "/api/v1/runs", "*/*").await.0, 200, "reading goes on");
    let metrics = get(&server, "/metrics", "*/*").await.2;
    assert!(metrics.contains("kickoff_ready 0\n"), "{metrics}");
    // There may be room for a page yet. Once it is used up nothing says that it writes again.
    let (mut since, end) = (Instant::now(), Instant::now() + Duration::from_secs(30));
    while since.elapsed() < Duration::from_secs(3) {
        assert!(Instant::now() < end, "{}", server.said());
        if get(&server, "/readyz", "*/*").await.0 != 503 {
            deliver(&server, "small", "{}", &[]).await;
            since = Instant::now();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Killed while the disk is full: what was accepted must be there afterwards.
    server.kill();
    std::fs::remove_file(&ballast).unwrap();
    let server = home.serve(&[], &[("LOAD_TOKEN", TOKEN)]);
    for (id, event) in &accepted {
        let (status, again) = deliver(&server, id, &filler(None), &[]).await;
        assert_eq!((status.as_u16(), &again), (200, event), "{id} was accepted and is not known");
    }
    // Full again, and this time it stays: nobody sends anything until it says that it is ready.
    let ballast = fill(disk.path());
    for number in 0.. {
        if deliver(&server, &format!("again-{number}"), &filler(None), &[]).await.0 == 503 {
            break;
        }
        assert!(number < 1_000, "the disk never filled up");
    }
    std::fs::remove_file(&ballast).unwrap();
    until("it is ready again, by itself", async || {
        (get(&server, "/readyz", "*/*").await.0 == 200).then_some(())
    })
    .await;
    let (status, after) = deliver(&server, "after", r#"{"code": 0}"#, &[]).await;
    assert_eq!(status, 202);
    server.runs_of(&after, crate::support::all_ended).await;
    let said = server.said();
    assert_eq!(said.matches("the store can't write").count(), 1, "{said}");
    assert_eq!(said.matches("the store writes again").count(), 1, "{said}");
    assert_eq!(server.stop(), Some(0));
}

#[tokio::test]
async fn a_folder_that_was_read_only_for_a_while_is_as_it_was() {
    let home = Home::new(DEFINITIONS);
    std::fs::create_dir(home.data()).unwrap();
    let disk = Tmpfs::at(&home.data(), "size=12m");
    let server = home.serve(&[], &[("LOAD_TOKEN", TOKEN)]);
    let (_, first) = deliver(&server, "first", "{}", &[]).await;
    server.kill();
    disk.limit("ro");
    let (code, said) = refused(&home.data());
    assert_eq!(code, Some(3), "{said}");
    disk.limit("rw");
    let server = home.serve(&[], &[("LOAD_TOKEN", TOKEN)]);
    assert_eq!(deliver(&server, "first", "{}", &[]).await, (reqwest::StatusCode::OK, first));
}

/// The database and its log of writes: they can't be written, however they were opened; given back when
/// dropped. Not the memory that processes share, where a refused write would be a signal and not an error.
struct Sealed(Vec<std::path::PathBuf>);

impl Sealed {
    fn of(folder: &Path) -> Self {
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let is_written =
            |path: &std::path::PathBuf| path.ends_with("kickoff.db") || path.ends_with("kickoff.db-wal");
        let sealed = Self(files.filter(is_written).collect());
        assert_eq!(sealed.0.len(), 2, "{:?}", sealed.0);
        sealed.set("+i");
        sealed
    }

    fn set(&self, how: &str) {
        let changed = std::process::Command::new("chattr").arg(how).args(&self.0).status();
        assert!(changed.is_ok_and(|status| status.success()), "this test needs chattr, and root");
    }
}

impl Drop for Sealed {
    fn drop(&mut self) {
        self.set("-i");
    }
}

/// No file system can be made read-only while a server has its files open, but ext4 refuses every write to
/// a file that is immutable.
#[tokio::test]
async fn a_folder_that_becomes_read_only_while_running_answers_503_and_recovers_by_itself() {
    let definitions = DEFINITIONS.replacen("exit \"$KICKOFF", "sleep 2; exit \"$KICKOFF", 1);
    let home = Home::new(&definitions);
    std::fs::create_dir(home.data()).unwrap();
    let disk = Tmpfs::ext4(&home.data());
    let server = home.serve(&[], &[("LOAD_TOKEN", TOKEN)]);
    let (_, running) = deliver(&server, "running", r#"{"code": 3}"#, &[]).await;
    server.runs_of(&running, |runs| runs.iter().any(|run| run["state"] == "running")).await;
    let sealed = Sealed::of(disk.path());
    assert_eq!(deliver(&server, "refused", "{}", &[]).await.0, 503, "{}", server.said());
    let text = until("it is not ready", async || {
        let (status, _, text) = get(&server, "/readyz", "*/*").await;
        (status == 503).then_some(text)
    })
    .await;
    assert!(text.contains("store: not ready: it can't write: "), "{text}");
    assert_eq!(get(&server, "/livez", "*/*").await.0, 200);
    assert_eq!(get(&server, "/api/v1/runs", "*/*").await.0, 200, "reading goes on");
    // The run ends meanwhile, and its verdict can't be committed.
    let failures = until("a commit failed", async || {
        let metrics = get(&server, "/metrics", "*/*").await.2;
        let line = metrics.lines().find(|line| line.starts_with("kickoff_commit_failures_total "));
        let count: u64 = line.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
        (count > 0).then_some(count)
    })
    .await;
    assert!(failures < 1_000, "it tries again without a pause: {failures}");
    drop(sealed);
    until("it is ready again, by itself", async || {
        (get(&server, "/readyz", "*/*").await.0 == 200).then_some(())
    })
    .await;
    let runs = server.runs_of(&running, crate::support::all_ended).await;
    assert_eq!((&runs[0]["outcome"], &runs[0]["exitCode"]), (&"Failed".into(), &3.into()));
    assert_eq!(deliver(&server, "refused", "{}", &[]).await.0, 202, "it was not stored before");
    assert_eq!(server.stop(), Some(0));
}

#[tokio::test]
async fn lists_that_would_be_behind_say_when_to_come_again() {
    let home = Home::new(DEFINITIONS);
    let server = home.serve(&[], &[("LOAD_TOKEN", TOKEN)]);
    refuse(&home.data(), "BEFORE INSERT ON events");
    assert_eq!(deliver(&server, "1", "{}", &[]).await.0, 202);
    let list = || client().get(format!("{}/api/v1/events", server.url)).send();
    let behind = until("the event is decided", async || {
        let answer = list().await.unwrap();
        (answer.status() != 200).then_some(answer)
    })
    .await;
    assert_eq!((behind.status().as_u16(), &behind.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    let told = behind.text().await.unwrap();
    assert!(told.contains("the history can't be read; the server's log says why"), "{told}");
    assert_eq!(get(&server, "/readyz", "*/*").await.0, 200, "it takes and decides everything");

    beside(&home.data()).execute_batch("DROP TRIGGER refuse").unwrap();
    let listed = until("it is folded", async || {
        let answer = list().await.unwrap();
        (answer.status() == 200).then_some(answer)
    })
    .await;
    let listed: serde_json::Value = listed.json().await.unwrap();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed:#}");
    assert_eq!(server.stop(), Some(0));
}

/// Starts a server that should refuse; gives its exit code and what it said.
fn refused(data: &Path) -> (Option<i32>, String) {
    let mut child = kickoff()
        .args(["serve", "--listen", "127.0.0.1:0", "--executor", "local", "--insecure-no-auth", "--data-dir"])
        .arg(data)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > until {
            kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[tokio::test]
async fn a_folder_that_can_not_be_used_is_refused_with_what_to_do_and_left_as_it_is() {
    for (case, told) in [
        ("read-only", "can't be used: Read-only file system"),
        ("newer", "has schema 99, and this version knows schemas up to"),
        ("cut", "is damaged: restore it from a backup, or move it away"),
        ("scribbled", "is damaged: restore it from a backup, or move it away"),
        ("garbage", "is not a database of kickoff: move it away"),
    ] {
        let home = Home::new(DEFINITIONS);
        std::fs::create_dir(home.data()).unwrap();
        let disk = Tmpfs::at(&home.data(), "size=20m");
        let server = home.serve(&[], &[("LOAD_TOKEN", TOKEN)]);
        for number in 0..40 {
            deliver(&server, &number.to_string(), &filler(None), &[]).await;
        }
        assert_eq!(server.stop(), Some(0), "{case}");
        let file = home.data().join("kickoff.db");
        // What stands in the log of writes could mend the file.
        let database = rusqlite::Connection::open(&file).unwrap();
        database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        drop(database);
        let whole = std::fs::read(&file).unwrap();
        match case {
            "newer" => {
                let database = rusqlite::Connection::open(&file).unwrap();
                database.pragma_update(None, "user_version", 99).unwrap();
                drop(database);
            }
            "cut" => std::fs::write(&file, &whole[..whole.len() / 2]).unwrap(),
            "scribbled" => {
                let mut bytes = whole.clone();
                // From the second page on: the schema is whole, what it leads to is not.
                bytes[8192..].fill(0x5a);
                std::fs::write(&file, bytes).unwrap();
            }
            "garbage" => std::fs::write(&file, "this is not a database".repeat(500)).unwrap(),
            _ => disk.limit("ro"),
        }
        let before = std::fs::read(&file).unwrap();
        let (code, said) = refused(&home.data());
        assert_eq!(code, Some(3), "{case}: {said}");
        assert!(said.contains(told), "{case}: {said}");
        assert!(!said.contains("panicked") && !said.contains("listening"), "{case}: {said}");
        assert!(std::fs::read(&file).unwrap() == before, "{case}: the file was changed");
    }
}
