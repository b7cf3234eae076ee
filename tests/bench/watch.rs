//! Watches of a cluster, against what somebody would write who needs one: how soon a complete rollout is a Job,
//! and what 10,000 watched objects cost.
//!
//! The controllers are frozen: the statuses are written here, so that it is known when a rollout is complete,
//! and two cores have room for the measuring.

mod bare;
mod many;
mod proxy;
mod updates;

use std::path::Path;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use kube::Client;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use self::bare::REVISION;
pub use self::bare::reflect;
use super::cluster::{Cluster, Namespace, is_out, on_fake_nodes};
use super::kubernetes::compared;
use super::process::Server;
use super::site::like;
use super::witness::{Witness, api};
use super::{Promise, median};

/// The argument that makes a reflector of this program.
pub const REFLECTOR: &str = "bare-reflector";
/// What the log says once all objects of a kind were seen.
const WATCHED: &str = "watched for the first time";
/// Rollouts of each of the two.
const ROLLOUTS: usize = 100;
/// How long a Job may take to be seen.
const PATIENCE: Duration = Duration::from_secs(30);

fn document(kind: &str, name: &str, spec: &Value) -> String {
    let metadata = json!({ "name": name });
    json!({"apiVersion": "kickoff.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec})
        .to_string()
}

/// A template that runs on nodes which run nothing.
fn template(namespace: &str) -> String {
    let mut pod = on_fake_nodes();
    pod["containers"] = json!([{"name": "main", "image": "kickoff.test/there-is-none:1"}]);
    let job = json!({"spec": {"template": {"spec": pod}}});
    let retention = json!({"maxRuns": 1_000_000});
    document("JobTemplate", "passes", &json!({"namespace": namespace, "retention": retention, "job": job}))
}

/// Writes definitions into a folder of their own, and gives it.
fn define(folder: &Path, name: &str, documents: &[String]) -> std::path::PathBuf {
    let definitions = folder.join(format!("{name}-definitions"));
    std::fs::create_dir(&definitions).unwrap();
    std::fs::write(definitions.join("all.yaml"), documents.join("\n---\n")).unwrap();
    definitions
}

/// Merges into an object, or into its status, and gives it.
async fn merge(client: &Client, path: &str, change: &Value) -> Value {
    let request = http::Request::patch(path).header("Content-Type", "application/merge-patch+json");
    client.request(request.body(serde_json::to_vec(change).unwrap()).unwrap()).await.unwrap()
}

/// Both ways from a rollout to a Job.
struct Site<'cluster> {
    namespace: Namespace<'cluster>,
    witness: Witness,
    client: Client,
    _server: Server,
    _bare: JoinSet<()>,
}

impl<'cluster> Site<'cluster> {
    async fn new(cluster: &'cluster Cluster, folder: &Path) -> Self {
        let namespace = cluster.namespace();
        for name in ["ours", "bare"] {
            let mut pod = on_fake_nodes();
            pod["containers"] = json!([{"name": "web", "image": "kickoff.test/web:1"}]);
            cluster.create(&json!({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": name, "namespace": namespace.name},
                "spec": {
                    "replicas": 1, "selector": {"matchLabels": {"app": name}},
                    "template": {"metadata": {"labels": {"app": name}}, "spec": pod},
                },
            }));
        }
        let trigger = json!({
            "sources": [{"kubernetes": {
                "apiVersion": "apps/v1", "kind": "Deployment", "namespaces": [namespace.name],
                "names": ["ours"], "change": ["RolledOut"],
            }}],
            "runs": [{"template": "passes"}],
        });
        let documents = [template(&namespace.name), document("Trigger", "after-rollout", &trigger)];
        let definitions = define(folder, "rollouts", &documents);
        let kubeconfig = cluster.kubeconfig.to_str().unwrap();
        let arguments =
            ["--executor", "kubernetes", "--kubeconfig", kubeconfig, "--instance", "bench-rollouts"];
        let witness = Witness::of(&cluster.kubeconfig, &namespace.name).await;
        let client = api(&cluster.kubeconfig).await;
        let (server, _) = Server::saying(&folder.join("rollouts"), &definitions, &arguments, WATCHED);
        let site = Self { namespace, witness, client, _server: server, _bare: JoinSet::new() };
        // The first one shows what a Job of ours is like.
        site.roll_out("ours", 1).await;
        let path = format!("/apis/batch/v1/namespaces/{}/jobs", site.namespace.name);
        let like = like(cluster.get(&path)["items"][0].take());
        let version = bare::list::<Value>(&site.client, &site.deployments(), drop).await;
        let mut bare = JoinSet::new();
        bare.spawn(watch(site.client.clone(), site.deployments(), path, like, version));
        Self { _bare: bare, ..site }
    }

    fn deployments(&self) -> String {
        format!("/apis/apps/v1/namespaces/{}/deployments", self.namespace.name)
    }

    /// Has a rollout become complete; gives how long after that its Job was seen.
    async fn roll_out(&self, name: &str, revision: usize) -> Duration {
        let path = format!("{}/{name}", self.deployments());
        let number = revision.to_string();
        let next = json!({
            "metadata": {"annotations": {REVISION: number}},
            "spec": {"template": {"metadata": {"annotations": {"number": number}}}},
        });
        let generation = merge(&self.client, &path, &next).await["metadata"]["generation"].clone();
        // Both have seen it then.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let complete = json!({"status": {
            "observedGeneration": generation, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1,
            "availableReplicas": 1,
        }});
        let before = self.witness.seen().order.len();
        let sent = Instant::now();
        let object = merge(&self.client, &format!("{path}/status"), &complete).await;
        assert!(is_out(&object), "{object:#}");
        let (uid, end) = (object["metadata"]["uid"].as_str().unwrap(), format!(".rolledout.{number}"));
        loop {
            if let Some((at, jobs)) = self.seen(uid, &end) {
                assert_eq!(jobs, before + 1, "one Job for one rollout");
                return at.saturating_duration_since(sent);
            }
            assert!(sent.elapsed() < PATIENCE, "no Job of {name} {revision}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// When the Job of a rollout was seen, and how many there are by now.
    fn seen(&self, uid: &str, end: &str) -> Option<(Instant, usize)> {
        let seen = self.witness.seen();
        let of = |id: &String| id.starts_with(uid) && id.ends_with(end);
        let (_, at) = seen.events.iter().find(|(id, _)| of(id))?;
        Some((*at, seen.order.len()))
    }
}

/// Creates a Job as soon as a rollout is complete: all that a watcher of one's own would do.
async fn watch(client: Client, deployments: String, jobs: String, like: Value, version: String) {
    let events = bare::watch::<Value>(&client, &deployments, &version).await;
    let mut events = std::pin::pin!(events);
    let mut last = String::new();
    while let Some(bare::Event { object, .. }) = events.next().await {
        let revision = object["metadata"]["annotations"][REVISION].as_str().unwrap_or_default();
        if object["metadata"]["name"] != "bare" || revision == last || !is_out(&object) {
            continue;
        }
        revision.clone_into(&mut last);
        let mut job = like.clone();
        // As long as kickoff's name and id are.
        job["metadata"]["name"] = json!(format!("after-rollout-{revision:0>22}"));
        let uid = object["metadata"]["uid"].as_str().unwrap();
        job["metadata"]["annotations"]["kickoff.dev/event-id"] =
            json!(format!("{uid}.{revision}.rolledout.{revision}"));
        let request = http::Request::post(format!("{jobs}?fieldManager=kickoff"))
            .header("Content-Type", "application/json")
            .body(serde_json::to_vec(&job).unwrap())
            .unwrap();
        client.request_text(request).await.unwrap();
    }
}

/// From the status that completes a rollout to a Job in a watch.
async fn rollouts(cluster: &Cluster, folder: &Path) -> Promise {
    let site = Site::new(cluster, folder).await;
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for round in 0..ROLLOUTS {
        // The first of ours was made before.
        bare.push(site.roll_out("bare", round + 1).await);
        tokio::time::sleep(Duration::from_millis(10)).await;
        ours.push(site.roll_out("ours", round + 2).await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let name = "status that completes a rollout to Job in a watch, median at most 1.5x of a bare watcher";
    compared(name, median(ours), median(bare), 1.5)
}

pub async fn measure() -> Vec<Promise> {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::own(&["--fast"]);
    cluster.tell("freeze kube-controller-manager");
    let mut promises = vec![rollouts(&cluster, folder.path()).await];
    promises.extend(many::measure(&cluster, folder.path()).await);
    // Else what was made here would not go with the cluster.
    cluster.tell("thaw kube-controller-manager");
    promises
}
