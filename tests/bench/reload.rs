//! A reload of 1,000 files: how long it takes, and what requests feel of it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kickoff::app::definitions::{Loader, Origin};

use super::client::{BODY, Connection};
use super::process::Server;
use super::{Promise, median};

const FILES: usize = 1_000;
const ROUNDS: usize = 7;

/// A webhook and a template, and files of one trigger each; `branch` makes every one of them differ.
fn write(folder: &Path, branch: &str) {
    let shared = "apiVersion: kickoff.dev/v1alpha1
kind: Webhook
metadata: {name: load}
spec: {provider: token, secrets: [{env: LOAD_TOKEN}], auth: {idHeader: X-Id}}
---
apiVersion: kickoff.dev/v1alpha1
kind: JobTemplate
metadata: {name: work}
spec:
  params: [{name: ref, required: true}]
  job: {spec: {template: {spec: {containers: [{name: main, image: busybox, command: [\"true\"]}]}}}}
";
    std::fs::write(folder.join("shared.yaml"), shared).unwrap();
    for number in 1..FILES {
        let trigger = format!(
            "apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {{name: trigger-{number}}}
spec:
  sources: [{{webhook: {{name: load}}}}]
  match:
    - {{path: event.data.number, equals: {number}}}
    - {{path: event.data.ref, glob: \"refs/heads/{branch}-*\"}}
  runs: [{{template: work, params: {{ref: \"{{{{ event.data.ref }}}}\"}}}}]
"
        );
        std::fs::write(folder.join(format!("trigger-{number:04}.yaml")), trigger).unwrap();
    }
}

/// What one reload costs by itself, all files changed.
async fn alone(folder: &Path) -> Duration {
    write(folder, "first");
    let mut loader = Loader::new(Origin::Folder(folder.to_owned()), "default").without_secrets();
    let (snapshot, _) = loader.load_once().await.unwrap();
    assert_eq!((snapshot.documents.len(), snapshot.problems.len()), (FILES + 1, 0));
    let mut samples = Vec::new();
    for round in 0..ROUNDS {
        write(folder, &format!("round-{round}"));
        let began = Instant::now();
        let (next, _) = loader.load_once().await.unwrap();
        samples.push(began.elapsed());
        assert_ne!(next.revision, snapshot.revision);
    }
    median(samples)
}

/// The slowest of the requests sent one after the other until told to stop.
async fn slowest(address: std::net::SocketAddr, tag: String, stop: Arc<AtomicBool>) -> Duration {
    let mut connection = Connection::open(address).await;
    let mut slowest = Duration::ZERO;
    for number in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let began = Instant::now();
        assert_eq!(connection.deliver("/hooks/load", &format!("{tag}-{number}"), BODY).await, 202);
        slowest = slowest.max(began.elapsed());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    slowest
}

/// The slowest request for `span`, with or without reloads meanwhile.
async fn under(server: &Server, folder: &Path, tag: &str, reloads: usize) -> Duration {
    let stop = Arc::new(AtomicBool::new(false));
    let mut senders = tokio::task::JoinSet::new();
    senders.spawn(slowest(server.address, tag.to_owned(), Arc::clone(&stop)));
    for round in 0..reloads.max(3) {
        if reloads > 0 {
            let (folder, branch) = (folder.to_owned(), format!("{tag}-{round}"));
            tokio::task::spawn_blocking(move || write(&folder, &branch)).await.unwrap();
        }
        // The folder is looked at twice a second.
        tokio::time::sleep(Duration::from_millis(1_200)).await;
    }
    stop.store(true, Ordering::Relaxed);
    senders.join_next().await.unwrap().unwrap()
}

pub async fn measure() -> Vec<Promise> {
    let folder = tempfile::tempdir().unwrap();
    let definitions = folder.path().join("definitions");
    std::fs::create_dir(&definitions).unwrap();
    let took = alone(&definitions).await;
    let server = Server::start(&folder.path().join("data"), Some(&definitions));
    let (mut still, mut moving) = (Vec::new(), Vec::new());
    for round in 0..3 {
        still.push(under(&server, &definitions, &format!("still-{round}"), 0).await);
        moving.push(under(&server, &definitions, &format!("moving-{round}"), 3).await);
    }
    let (still, moving) = (median(still), median(moving));
    let delayed = moving.saturating_sub(still);
    vec![
        Promise {
            name: "a reload of 1,000 files that all changed, median under 300 ms",
            measured: format!("{took:.1?}"),
            holds: took < Duration::from_millis(300),
        },
        Promise {
            name: "no request is delayed more than 50 ms by reloads of 1,000 files",
            measured: format!("{delayed:.1?} (slowest {moving:.1?} with reloads, {still:.1?} without)"),
            holds: delayed <= Duration::from_millis(50),
        },
    ]
}
