//! The real binary, killed and restarted under load.
//!
//! A client sends deliveries with unique ids and remembers which were answered 2xx; the server is
//! killed with SIGKILL at random moments. In the end every id that was answered has exactly one run,
//! started exactly one process, has its true exit code, and one verdict.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::support::{Home, Server, all_ended, client};

const DEFINITIONS: &str = r#"
apiVersion: kickoff.dev/v1alpha1
kind: Webhook
metadata: {name: load}
spec: {provider: token, secrets: [{env: LOAD_TOKEN}], auth: {idHeader: X-Id}}
---
apiVersion: kickoff.dev/v1alpha1
kind: JobTemplate
metadata: {name: tally}
spec:
  retention: {maxRuns: 1000000}
  params: [{name: code, type: integer, required: true}, {name: pause, type: string, required: true}]
  job:
    spec:
      template:
        spec:
          containers:
            - name: main
              command: [/bin/sh, -c, 'echo "$KICKOFF_RUN_ID" >> "$TALLY"; sleep "$PAUSE"; echo "done $CODE"; exit "$CODE"']
              env:
                - {name: TALLY, value: TALLY_FILE}
                - {name: CODE, value: "{{ params.code }}"}
                - {name: PAUSE, value: "{{ params.pause }}"}
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {name: tally}
spec:
  sources: [{webhook: {name: load}}]
  runs: [{template: tally, params: {code: "{{ event.data.code }}", pause: "{{ event.data.pause }}"}}]
"#;

/// How long no run may end before all have.
const STANDSTILL: Duration = Duration::from_mins(1);

/// What the client knows.
#[derive(Default)]
struct Ledger {
    next: AtomicU64,
    /// Ids that were answered 2xx.
    answered: Mutex<BTreeSet<u64>>,
    stop: AtomicBool,
}

fn code_of(id: u64) -> u64 {
    id % 4
}

/// Sends until told to stop, to whatever server is there.
async fn send(ledger: Arc<Ledger>, url: Arc<Mutex<String>>) {
    let client = client();
    while !ledger.stop.load(Ordering::Relaxed) {
        let id = ledger.next.fetch_add(1, Ordering::Relaxed);
        let pause = ["0", "0.02", "0.3"][usize::try_from(id % 3).unwrap()];
        let body = format!(r#"{{"code": {}, "pause": "{pause}"}}"#, code_of(id));
        let target = url.lock().unwrap().clone();
        let request = client
            .post(format!("{target}/hooks/load"))
            .header("Authorization", "Bearer sesame")
            .header("Content-Type", "application/json")
            .header("X-Id", format!("id-{id}"))
            .timeout(Duration::from_secs(5))
            .body(body);
        match request.send().await {
            Ok(answer) if answer.status().is_success() => {
                ledger.answered.lock().unwrap().insert(id);
            }
            Ok(answer) => assert!([429, 503].contains(&answer.status().as_u16()), "{}", answer.status()),
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
}

fn serve(home: &Home) -> Server {
    home.serve(&["--max-running", "8"], &[("LOAD_TOKEN", "sesame")])
}

fn check(answered: &BTreeSet<u64>, runs: &[Value], tally: &str) {
    let mut by_id: BTreeMap<u64, Vec<&Value>> = BTreeMap::new();
    for run in runs {
        let id = run["event"]["id"].as_str().unwrap().strip_prefix("id-").unwrap();
        by_id.entry(id.parse().unwrap()).or_default().push(run);
    }
    for id in answered {
        let runs = by_id.get(id).map_or(&[][..], Vec::as_slice);
        assert_eq!(runs.len(), 1, "id {id} was answered and has these runs: {runs:#?}");
        let (run, code) = (runs[0], code_of(*id));
        let outcome = if code == 0 { "Passed" } else { "Failed" };
        assert_eq!((&run["outcome"], &run["exitCode"]), (&outcome.into(), &code.into()), "{run:#?}");
    }
    let mut started: BTreeMap<&str, u32> = BTreeMap::new();
    for run in tally.lines() {
        *started.entry(run).or_default() += 1;
    }
    let doubled: Vec<_> = started.iter().filter(|(_, times)| **times != 1).collect();
    assert!(doubled.is_empty(), "processes were started twice: {doubled:?}");
    assert_eq!(started.len(), runs.len(), "each run started a process");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answered_delivery_has_one_run_over_many_kills() {
    let soak = std::env::var_os("KICKOFF_SOAK").is_some();
    let kills = if soak { 300 } else { 30 };
    let mut rng = fastrand::Rng::new();
    let home = Home::new("");
    let tally = home.path().join("tally");
    home.define(&DEFINITIONS.replace("TALLY_FILE", tally.to_str().unwrap()));
    let mut server = serve(&home);
    let url = Arc::new(Mutex::new(server.url.clone()));
    let ledger = Arc::new(Ledger::default());
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..4 {
        senders.spawn(send(Arc::clone(&ledger), Arc::clone(&url)));
    }
    for _ in 0..kills {
        tokio::time::sleep(Duration::from_millis(rng.u64(20..600))).await;
        server.kill();
        server = serve(&home);
        url.lock().unwrap().clone_from(&server.url);
    }
    ledger.stop.store(true, Ordering::Relaxed);
    while let Some(ended) = senders.join_next().await {
        ended.unwrap();
    }
    let ended = |run: &Value| run["outcome"].is_string();
    let runs = server.at_rest(STANDSTILL, ended, |run| usize::from(ended(run))).await;
    let answered = ledger.answered.lock().unwrap().clone();
    assert!(answered.len() > kills, "the load was too thin: {}", answered.len());
    check(&answered, &runs, &std::fs::read_to_string(tally).unwrap());
    server.verdicts_of(&runs, STANDSTILL).await;
    println!(
        "{kills} kills: {} ids answered, {} runs, none missing, none doubled",
        answered.len(),
        runs.len()
    );
}

#[tokio::test]
async fn a_server_that_is_told_to_stop_ends_with_0_and_its_runs_go_on() {
    let home = Home::new("");
    let tally = home.path().join("tally");
    home.define(&DEFINITIONS.replace("TALLY_FILE", tally.to_str().unwrap()));
    let server = serve(&home);
    let answer = client()
        .post(format!("{}/hooks/load", server.url))
        .header("Authorization", "Bearer sesame")
        .header("Content-Type", "application/json")
        .header("X-Id", "id-1")
        .body(r#"{"code": 3, "pause": "1"}"#)
        .send();
    assert_eq!(answer.await.unwrap().status(), 202);
    server.runs_of("id-1", |runs| runs.iter().any(|run| run["state"] == "running")).await;
    assert_eq!(server.stop(), Some(0));
    let server = serve(&home);
    let runs = server.runs_of("id-1", all_ended).await;
    assert_eq!((&runs[0]["outcome"], &runs[0]["exitCode"]), (&"Failed".into(), &3.into()), "{runs:#?}");
    let log = client().get(format!("{}/api/v1/runs/{}/log", server.url, runs[0]["id"].as_str().unwrap()));
    assert_eq!(log.send().await.unwrap().text().await.unwrap(), "done 3\n");
    assert_eq!(std::fs::read_to_string(tally).unwrap().lines().count(), 1);
}

#[test]
fn a_successor_waits_until_the_data_folder_is_free() {
    let home = Home::new("");
    let first = home.serve(&[], &[]);
    let successor = home.begin(&[], &[]);
    successor.saying("waiting up to 30 s for the data folder");
    assert_eq!(first.stop(), Some(0));
    successor.listening();
}

/// A log on a disk that is full, or that goes into a pipe which nobody reads any more.
#[tokio::test]
async fn a_log_that_nobody_takes_ends_nothing() {
    let home = Home::new("");
    let tally = home.path().join("tally");
    home.define(&DEFINITIONS.replace("TALLY_FILE", tally.to_str().unwrap()));
    let server = home.serve(&["--log-format", "json"], &[("LOAD_TOKEN", "sesame"), ("RUST_LOG", "debug")]);
    server.stop_reading();
    for id in ["id-0", "id-1"] {
        let request = client().post(format!("{}/hooks/load", server.url)).header("X-Id", id);
        let request =
            request.header("Authorization", "Bearer sesame").header("Content-Type", "application/json");
        let answer = request.body(r#"{"code": 0, "pause": "0"}"#).send().await.unwrap();
        assert_eq!(answer.status(), 202);
        let runs = server.runs_of(id, all_ended).await;
        assert_eq!(runs[0]["outcome"], "Passed", "{runs:#?}");
    }
}
