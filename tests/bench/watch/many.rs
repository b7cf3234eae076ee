//! 10,000 ConfigMaps, and 100 triggers that each want to hear of a hundred of them: how soon all are known, what
//! that takes, and whether a thousand updates a second are followed.
//!
//! An update is an event that a rule of its trigger refuses. How far behind it all is, a marker shows: an object
//! whose update is let through, and becomes a Job.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::Client;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::bare::{Listing, Reflector};
use super::{WATCHED, define, document, merge, template};
use crate::cluster::{Cluster, Namespace};
use crate::process::Server;
use crate::witness::{Witness, api};
use crate::{Promise, median};

const OBJECTS: usize = 10_000;
const TRIGGERS: usize = 100;
const ROUNDS: usize = 3;
/// Requests under way.
const CONNECTIONS: usize = 64;
/// Between two updates.
const PACE: Duration = Duration::from_millis(1);
const LOAD: Duration = Duration::from_secs(20);
const IDLE: Duration = Duration::from_secs(30);
/// How long a marker may take.
const PATIENCE: Duration = Duration::from_mins(1);
const ALL: &str = "/api/v1/configmaps";

fn name(number: usize) -> String {
    format!("item-{}-{number}", number % TRIGGERS)
}

fn collection(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/configmaps")
}

fn object(name: &str) -> Value {
    let data = json!({"number": "0", "phase": "going", "filler": "x".repeat(512)});
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

fn definitions(namespace: &str) -> Vec<String> {
    let source = |names: &str| {
        json!([{"kubernetes": {
            "apiVersion": "v1", "kind": "ConfigMap", "namespaces": [namespace], "names": [names],
            "change": ["Updated"],
        }}])
    };
    let runs = json!([{"template": "passes"}]);
    let mut documents = vec![
        template(namespace),
        document("Trigger", "marker", &json!({"sources": source("marker"), "runs": runs})),
    ];
    documents.extend((0..TRIGGERS).map(|number| {
        let done = json!([{"path": "event.data.object.data.phase", "equals": "done"}]);
        let spec = json!({"sources": source(&format!("item-{number}-*")), "match": done, "runs": runs});
        document("Trigger", &format!("of-{number}"), &spec)
    }));
    documents
}

/// Makes all objects, and the marker.
async fn fill(client: &Client, namespace: &str) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let mut making = JoinSet::new();
    for name in (0..OBJECTS).map(name).chain(["marker".to_owned()]) {
        let permit = Arc::clone(&permits).acquire_owned().await.unwrap();
        let request = http::Request::post(collection(namespace))
            .header("Content-Type", "application/json")
            .body(serde_json::to_vec(&object(&name)).unwrap())
            .unwrap();
        let client = client.clone();
        making.spawn(async move {
            client.request_text(request).await.unwrap();
            drop(permit);
        });
    }
    making.join_all().await;
}

/// Updates one object after the other at an even pace; gives how many a second were.
async fn update(client: Client, namespace: String) -> f64 {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let mut pace = tokio::time::interval(PACE);
    let mut updating = JoinSet::new();
    let (began, mut count) = (Instant::now(), 0_u32);
    while began.elapsed() < LOAD {
        pace.tick().await;
        let permit = Arc::clone(&permits).acquire_owned().await.unwrap();
        let path = format!("{}/{}", collection(&namespace), name(count as usize % OBJECTS));
        let change = json!({"data": {"number": (count + 1).to_string()}});
        let client = client.clone();
        updating.spawn(async move {
            merge(&client, &path, &change).await;
            drop(permit);
        });
        while let Some(ended) = updating.try_join_next() {
            ended.unwrap();
        }
        count += 1;
    }
    updating.join_all().await;
    f64::from(count) / began.elapsed().as_secs_f64()
}

/// Updates the marker; gives how long after the API server's answer its Job was seen.
async fn lag(client: &Client, witness: &Witness, namespace: &str, number: usize) -> Duration {
    let path = format!("{}/marker", collection(namespace));
    let before = witness.seen().events.len();
    merge(client, &path, &json!({"data": {"number": (number + 1).to_string()}})).await;
    let answered = Instant::now();
    loop {
        // Only markers become Jobs, one after the other.
        let seen: Vec<Instant> = witness.seen().events.values().copied().collect();
        if seen.len() > before {
            return seen.into_iter().max().unwrap().saturating_duration_since(answered);
        }
        assert!(answered.elapsed() < PATIENCE, "no Job of marker {number}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Whether what is told last is as soon as what was told first.
async fn follow(client: &Client, witness: &Witness, namespace: &Namespace<'_>) -> Promise {
    let mut still = Vec::new();
    for number in 0..5 {
        still.push(lag(client, witness, &namespace.name, number).await);
    }
    let mut load = JoinSet::new();
    load.spawn(update(client.clone(), namespace.name.clone()));
    let (began, mut lags) = (Instant::now(), Vec::new());
    let mut pace = tokio::time::interval(Duration::from_millis(500));
    while began.elapsed() < LOAD {
        pace.tick().await;
        let number = 5 + lags.len();
        lags.push(lag(client, witness, &namespace.name, number).await);
    }
    let rate = load.join_next().await.unwrap().unwrap();
    // The first second is not yet that of the load.
    let lags = &lags[2_usize.min(lags.len() - 1)..];
    let third = lags.len().div_ceil(3);
    let (first, last) = (median(lags[..third].to_vec()), median(lags[lags.len() - third..].to_vec()));
    let still = median(still);
    Promise {
        name: "1,000 updates a second for 20 s, a marker's update to its Job: no later at the end, median of a third",
        measured: format!(
            "{last:.1?} after {first:.1?} ({still:.1?} without load), {rate:.0} updates a second, {} markers",
            lags.len()
        ),
        // What one hiccup of the machine may do.
        holds: last <= first * 2 + Duration::from_millis(50),
    }
}

/// What is promised holds against one that lists in the same way; the other one is told too.
fn synced_as_soon(ours: Duration, streamed: Duration, paged: Duration) -> Promise {
    let against = |bare: Duration| ours.as_secs_f64() / bare.as_secs_f64();
    Promise {
        name: "10,000 objects and 100 triggers, start to all known at most 1.5x of a bare reflector that streams its \
               list as well, median",
        measured: format!(
            "{:.2}x ({ours:.2?} against {streamed:.2?}); {:.2}x of one that lists in pages ({paged:.2?})",
            against(streamed),
            against(paged)
        ),
        holds: against(streamed) <= 1.5,
    }
}

/// The same of memory, in MiB; `without` is that of a server that watches nothing.
fn as_small(ours: f64, without: f64, streamed: f64, paged: f64) -> Promise {
    Promise {
        name: "the same, memory of the process at most 1.5x",
        measured: format!(
            "{:.2}x ({ours:.1} MiB with them, {without:.1} without, against {streamed:.1}); {:.2}x of one that lists \
             in pages ({paged:.1})",
            ours / streamed,
            ours / paged
        ),
        holds: ours <= 1.5 * streamed,
    }
}

pub async fn measure(cluster: &Cluster, folder: &Path) -> Vec<Promise> {
    let namespace = cluster.namespace();
    let client = api(&cluster.kubeconfig).await;
    fill(&client, &namespace.name).await;
    let definitions = define(folder, "many", &definitions(&namespace.name));
    let nothing = define(folder, "nothing", &[template(&namespace.name)]);
    let kubeconfig = cluster.kubeconfig.to_str().unwrap();
    let executor = ["--executor", "kubernetes", "--kubeconfig", kubeconfig, "--instance"];
    let start = |name: &str| {
        let arguments = [&executor[..], &[name]].concat();
        Server::saying(&folder.join(name), &definitions, &arguments, WATCHED)
    };
    let bare = |listing| Reflector::start(&cluster.kubeconfig, ALL, listing, OBJECTS);
    let (mut synced, mut streamed, mut paged) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        paged.push(bare(Listing::Pages).listed_after);
        streamed.push(bare(Listing::Streamed).listed_after);
        synced.push(start(&format!("many-{round}")).1);
    }
    let sync = synced_as_soon(median(synced), median(streamed), median(paged));
    let witness = Witness::of(&cluster.kubeconfig, &namespace.name).await;
    let (server, _) = start("many");
    let idle = Server::with(&folder.join("none"), Some(&nothing), &[&executor[..], &["none"]].concat());
    let (streamed, paged) = (bare(Listing::Streamed), bare(Listing::Pages));
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (ours, without) = (server.resident_mib(), idle.resident_mib());
    let memory = as_small(ours, without, streamed.resident_mib(), paged.resident_mib());
    drop((idle, streamed, paged));
    let before = server.cpu_ms();
    tokio::time::sleep(IDLE).await;
    #[allow(clippy::cast_precision_loss, reason = "some milliseconds")]
    let share = (server.cpu_ms() - before) as f64 / IDLE.as_secs_f64() / 10.0;
    vec![
        sync,
        memory,
        Promise {
            name: "below 1% of a core while nothing changes, over 30 s",
            measured: format!("{share:.2}%"),
            holds: share < 1.0,
        },
        follow(&client, &witness, &namespace).await,
    ]
}
