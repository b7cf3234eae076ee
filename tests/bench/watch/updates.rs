//! A thousand updates a second for 20 s: whether kickoff follows them, and a bare watcher, one after the other.
//!
//! The updates are added by a proxy, see there why: of real objects, one after the other, each with another value and
//! a version that rises. To kickoff each is an event that a rule of its trigger refuses. How far behind it all is, a
//! marker shows, an object whose update is let through: of kickoff from when its line is written until a watch of the
//! API server shows its Job, of a bare watcher until it has read it.

use std::future::ready;
use std::path::Path;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use futures::StreamExt as _;
use kube::Client;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::many::{ALL, MARKER, collection};
use super::proxy::Proxy;
use super::{WATCHED, bare};
use crate::cluster::{Cluster, Namespace};
use crate::process::Server;
use crate::witness::{Witness, api};
use crate::{Promise, median};

/// Between two updates.
const PACE: Duration = Duration::from_millis(1);
const UPDATES: u32 = 20_000;
/// After so many comes one of the marker.
const EACH: u32 = 500;
/// How long the last marker may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// What one hiccup of the machine may do.
const HICCUP: Duration = Duration::from_millis(50);

const FOLLOWED: &str = "1,000 updates a second for 20 s by a proxy before the API server, from a marker's line to its \
                        Job: no later in the last third than in the first, median";

/// What is updated, as the API server has it at first.
struct Objects {
    marker: Value,
    others: Vec<Value>,
    version: u64,
}

impl Objects {
    async fn read(client: &Client, namespace: &str) -> Self {
        let mut all = Vec::new();
        let path = collection(namespace);
        let version = bare::list::<Value>(client, &path, |object| all.push(object)).await;
        for object in &mut all {
            // In a list they do not say what they are.
            object["apiVersion"] = json!("v1");
            object["kind"] = json!("ConfigMap");
        }
        let is = |object: &Value, beginning: &str| {
            object["metadata"]["name"].as_str().is_some_and(|name| name.starts_with(beginning))
        };
        let marker = all.iter().find(|object| is(object, MARKER)).unwrap().clone();
        all.retain(|object| is(object, "item-"));
        Self { marker, others: all, version: version.parse().unwrap() }
    }

    /// An update, as a line of a watch: of one of the others, or of the marker.
    fn update(&mut self, number: u32, of_marker: bool) -> Bytes {
        self.version += 1;
        let place = number as usize % self.others.len();
        let object = if of_marker { &mut self.marker } else { &mut self.others[place] };
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        object["data"]["number"] = json!((number + 1).to_string());
        format!("{{\"type\":\"MODIFIED\",\"object\":{object}}}\n").into()
    }
}

/// Adds all updates at an even pace; gives when those of the marker were written, and how many a second it were.
async fn add_all(proxy: &Proxy, mut objects: Objects) -> (Vec<Instant>, f64) {
    assert_eq!(proxy.watches(), 1, "who is measured watches, and nobody else");
    let (began, mut written) = (Instant::now(), Vec::new());
    let mut pace = tokio::time::interval(PACE);
    for number in 0..UPDATES {
        pace.tick().await;
        proxy.add(&objects.update(number, false));
        if number % EACH == 0 {
            written.push(proxy.add(&objects.update(number, true)));
        }
    }
    (written, f64::from(UPDATES) / began.elapsed().as_secs_f64())
}

/// How late markers were in the first third and in the last, in the median; the first second is not yet that of the
/// load.
fn thirds(written: &[Instant], seen: &[Instant]) -> (Duration, Duration) {
    assert_eq!(written.len(), seen.len(), "each marker is seen once");
    let late = |(written, seen): (&Instant, &Instant)| seen.saturating_duration_since(*written);
    let lags: Vec<Duration> = written.iter().zip(seen).map(late).skip(2).collect();
    let third = lags.len().div_ceil(3);
    (median(lags[..third].to_vec()), median(lags[lags.len() - third..].to_vec()))
}

/// A bare watcher: when it saw each marker.
async fn seen_by_bare(proxy: &Proxy, objects: Objects) -> (Duration, Duration) {
    let client = api(&proxy.kubeconfig).await;
    let version = bare::list::<Value>(&client, ALL, drop).await;
    let events = bare::watch::<Value>(&client, ALL, &version).await;
    let mut watching = JoinSet::new();
    watching.spawn(async move {
        let is_marker = |event: bare::Event<Value>| event.object["metadata"]["name"] == MARKER;
        let markers = events.filter_map(|event| ready(is_marker(event).then(Instant::now)));
        markers.take(UPDATES.div_ceil(EACH) as usize).collect::<Vec<_>>().await
    });
    let (written, _) = add_all(proxy, objects).await;
    let seen = timeout(PATIENCE, watching.join_next()).await.expect("a bare watcher sees all markers");
    thirds(&written, &seen.unwrap().unwrap())
}

/// When a Job of each marker's update was seen, in the order of the updates; of fewer, where they don't come in time.
async fn jobs(witness: &Witness, wanted: usize) -> Vec<Instant> {
    let until = Instant::now() + PATIENCE;
    while witness.seen().events.len() < wanted && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // An event's id is the uid, how many changes of the object were told before, and which change it is.
    let count = |id: &str| -> u64 { id.split('.').nth(1).unwrap().parse().unwrap() };
    let mut seen: Vec<(u64, Instant)> =
        witness.seen().events.iter().map(|(id, at)| (count(id), *at)).collect();
    seen.sort_unstable();
    seen.into_iter().map(|(_, at)| at).collect()
}

/// Whether what is told last is as soon as what was told first.
pub async fn follow(
    cluster: &Cluster,
    namespace: &Namespace<'_>,
    folder: &Path,
    definitions: &Path,
) -> Promise {
    let proxy = Proxy::start(&cluster.kubeconfig, folder, ALL).await;
    let client = api(&cluster.kubeconfig).await;
    let (bare_first, bare_last) = seen_by_bare(&proxy, Objects::read(&client, &namespace.name).await).await;
    let witness = Witness::of(&cluster.kubeconfig, &namespace.name).await;
    let kubeconfig = proxy.kubeconfig.to_str().unwrap();
    let arguments = ["--executor", "kubernetes", "--kubeconfig", kubeconfig, "--instance", "followed"];
    let (server, _) = Server::saying(&folder.join("followed"), definitions, &arguments, WATCHED);
    // Until what it saw at first is stored.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let objects = Objects::read(&client, &namespace.name).await;
    let before = server.cpu_ms();
    let (written, rate) = add_all(&proxy, objects).await;
    let seen = jobs(&witness, written.len()).await;
    let cpu = Duration::from_millis(server.cpu_ms() - before) / UPDATES;
    if seen.len() < written.len() {
        let measured = format!("{} Jobs of {} markers", seen.len(), written.len());
        return Promise { name: FOLLOWED, measured, holds: false };
    }
    let (first, last) = thirds(&written, &seen);
    Promise {
        name: FOLLOWED,
        measured: format!(
            "{last:.1?} after {first:.1?} (a bare watcher reads it {bare_last:.1?} after {bare_first:.1?}), {rate:.0} \
             updates a second, {cpu:.2?} of CPU for each"
        ),
        holds: last <= first + HICCUP && rate >= 950.0,
    }
}
