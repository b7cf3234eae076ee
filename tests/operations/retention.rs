//! Retention of the real binary: by number, under load, killed in between, without a pause of service.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{DEFINITIONS, TOKEN, deliver, until};
use crate::support::{Home, Server};

const KEPT: usize = 20;

fn home() -> Home {
    let kept = format!("  retention: {{maxRuns: {KEPT}}}\n  results:");
    Home::new(&DEFINITIONS.replace("  results:", &kept).replacen(
        "exit \"$KICKOFF",
        "echo hi; exit \"$KICKOFF",
        1,
    ))
}

fn serve(home: &Home) -> Server {
    home.serve(&["--retention-every", "50ms", "--max-running", "16"], &[("LOAD_TOKEN", TOKEN)])
}

fn logs(home: &Home) -> BTreeSet<String> {
    let entries = std::fs::read_dir(home.data().join("logs")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn runs_and_logs_go_by_number_under_load_and_kills_and_nothing_open_goes() {
    let home = home();
    let mut slowest = Duration::ZERO;
    let mut events = BTreeSet::new();
    for life in 0..4 {
        let server = serve(&home);
        for number in 0..60 {
            let began = Instant::now();
            let (status, event) = deliver(&server, &format!("{life}-{number}"), r#"{"code": 0}"#, &[]).await;
            assert_eq!(status, 202);
            slowest = slowest.max(began.elapsed());
            events.insert(event);
        }
        // Somewhere between deciding, running, collecting and removing.
        server.kill();
    }
    assert!(slowest < Duration::from_secs(2), "a delivery waited {slowest:?}");
    assert_eq!(events.len(), 240);
    let server = serve(&home);
    let kept = until("only the newest runs are kept, all settled", async || {
        let runs = server.all_runs().await;
        let settled = runs.iter().all(|run| run["state"] == "settled");
        (runs.len() == KEPT && settled).then_some(runs)
    })
    .await;
    let kept: BTreeSet<String> = kept.iter().map(|run| run["id"].as_str().unwrap().to_owned()).collect();
    until("the logs are those of the runs", async || (logs(&home) == kept).then_some(())).await;
    // Every firing passed: none lost its run before that was settled.
    let metrics = super::get(&server, "/metrics", "*/*").await.2;
    let ended: Vec<&str> =
        metrics.lines().filter(|line| line.starts_with("kickoff_runs_ended_total{")).collect();
    assert!(ended.iter().all(|line| line.contains("Passed")), "{ended:?}");
    // Events stay for their horizon: a repeat of the first is still known, though its run is gone.
    let (status, again) = deliver(&server, "0-0", r#"{"code": 0}"#, &[]).await;
    assert_eq!(status, 200);
    assert!(events.contains(&again));
    let runs: Value = server.get(&format!("/api/v1/runs?event={again}")).await;
    assert_eq!(runs["items"].as_array().unwrap().len(), 0, "{runs}");
    assert_eq!(server.stop(), Some(0));
}

#[tokio::test]
async fn a_log_of_no_run_is_removed_and_nothing_else_in_the_folder() {
    let home = home();
    let server = serve(&home);
    let (_, event) = deliver(&server, "1", r#"{"code": 0}"#, &[]).await;
    server.runs_of(&event, |runs| runs.iter().any(|run| run["state"] == "settled")).await;
    assert_eq!(server.stop(), Some(0));
    let mine = logs(&home);
    assert_eq!(mine.len(), 1);
    let folder = home.data().join("logs");
    for orphan in ["0123456789abcdef0123", "somebody's"] {
        std::fs::create_dir(folder.join(orphan)).unwrap();
        std::fs::write(folder.join(orphan).join("1.log"), "x").unwrap();
    }
    let _server = serve(&home);
    let mut expected = mine;
    expected.insert("somebody's".to_owned());
    until("the orphan is gone", async || (logs(&home) == expected).then_some(())).await;
}

/// How many of the inbox's events stand there.
fn stored(home: &Home) -> i64 {
    let database = rusqlite::Connection::open(home.data().join("kickoff.db")).unwrap();
    database.busy_timeout(Duration::from_secs(5)).unwrap();
    database.query_row("SELECT count(*) FROM inbox", [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn old_events_go_under_load_and_kills_but_none_that_still_runs() {
    let home = Home::new(&DEFINITIONS.replacen("exit \"$KICKOFF", "sleep 300; exit \"$KICKOFF", 1));
    let server = serve(&home);
    for number in 0..700 {
        assert_eq!(deliver(&server, &format!("old-{number}"), "{}", &[]).await.0, 202);
    }
    let (_, open) = deliver(&server, "open", r#"{"code": 0}"#, &[]).await;
    server.runs_of(&open, |runs| runs.iter().any(|run| run["state"] == "running")).await;
    server.kill();
    // A week passes.
    let database = rusqlite::Connection::open(home.data().join("kickoff.db")).unwrap();
    let aged = database.execute("UPDATE events SET received_at = received_at - 8 * 86400000", []).unwrap();
    assert_eq!(aged, 701);
    drop(database);

    let mut young = Vec::new();
    for life in 0..4 {
        let server = serve(&home);
        for number in 0..20 {
            let id = format!("young-{life}-{number}");
            let (status, event) = deliver(&server, &id, "{}", &[]).await;
            assert_eq!(status, 202);
            young.push((id, event));
        }
        server.kill();
    }
    let server = serve(&home);
    until("only the young and the open one are left", async || (stored(&home) == 81).then_some(())).await;
    for (id, event) in &young {
        let (status, again) = deliver(&server, id, "{}", &[]).await;
        assert_eq!((status.as_u16(), &again), (200, event), "{id}");
    }
    let (status, again) = deliver(&server, "open", r#"{"code": 0}"#, &[]).await;
    assert_eq!((status.as_u16(), &again), (200, &open));
    let runs = server.runs_of(&open, |runs| runs.iter().any(|run| run["state"] == "running")).await;
    // The old ones are gone whole: the same id is a new event.
    assert_eq!(deliver(&server, "old-0", "{}", &[]).await.0, 202);
    let id = runs[0]["id"].as_str().unwrap();
    let cancel = crate::support::client().post(format!("{}/api/v1/runs/{id}/cancel", server.url)).send();
    assert!(cancel.await.unwrap().status().is_success());
    server.runs_of(&open, crate::support::all_ended).await;
    assert_eq!(server.stop(), Some(0));
}
