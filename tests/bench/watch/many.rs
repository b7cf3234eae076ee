//! 10,000 ConfigMaps, and 100 triggers that each want to hear of a hundred of them: how soon all are known, what
//! that takes, and, in `updates`, whether a thousand updates a second are followed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::bare::{Listing, Reflector};
use super::{WATCHED, define, document, template, updates};
use crate::cluster::Cluster;
use crate::process::Server;
use crate::witness::api;
use crate::{Promise, median};

const OBJECTS: usize = 10_000;
const TRIGGERS: usize = 100;
const ROUNDS: usize = 3;
/// Requests under way.
const CONNECTIONS: usize = 64;
const IDLE: Duration = Duration::from_secs(30);
pub const ALL: &str = "/api/v1/configmaps";
/// The object whose updates become Jobs.
pub const MARKER: &str = "marker";

fn name(number: usize) -> String {
    format!("item-{}-{number}", number % TRIGGERS)
}

pub fn collection(namespace: &str) -> String {
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
        document("Trigger", MARKER, &json!({"sources": source(MARKER), "runs": runs})),
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
    for name in (0..OBJECTS).map(name).chain([MARKER.to_owned()]) {
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
    drop(server);
    vec![
        sync,
        memory,
        Promise {
            name: "below 1% of a core while nothing changes, over 30 s",
            measured: format!("{share:.2}%"),
            holds: share < 1.0,
        },
        updates::follow(cluster, &namespace, folder, &definitions).await,
    ]
}
