//! A server and a client that makes the same Jobs, on one cluster, with a witness of what comes of both.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use kube::Client;
use serde_json::{Value, json};

use super::client::Connection;
use super::cluster::{Cluster, Namespace, on_fake_nodes};
use super::process::Server;
use super::witness::{Witness, api};

/// How long all Jobs of one measure may take to be seen.
pub const PATIENCE: Duration = Duration::from_mins(2);
pub const WEBHOOK: &str = "/hooks/load";
pub const BODY: &[u8] = br#"{"run": true}"#;

/// Both ways to a Job.
pub struct Site<'cluster> {
    pub namespace: Namespace<'cluster>,
    pub witness: Arc<Witness>,
    pub server: Server,
    /// Of the direct client.
    pub client: Client,
    /// A Job as kickoff makes it, but for what tells it from others.
    like: Value,
}

fn definitions(namespace: &str) -> String {
    let mut pod = on_fake_nodes();
    pod["containers"] = json!([{"name": "main", "image": "kickoff.test/there-is-none:1"}]);
    let document = |kind: &str, name: &str, spec: Value| {
        json!({"apiVersion": "kickoff.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
            .to_string()
    };
    let secret = json!([{"env": "LOAD_TOKEN"}]);
    [
        document(
            "Webhook",
            "load",
            json!({"provider": "token", "secrets": secret, "auth": {"idHeader": "X-Id"}}),
        ),
        document(
            "JobTemplate",
            "passes",
            json!({"namespace": namespace, "retention": {"maxRuns": 1_000_000},
                "job": {"spec": {"template": {"spec": pod}}}}),
        ),
        document(
            "Trigger",
            "passes",
            json!({"sources": [{"webhook": {"name": "load"}}], "runs": [{"template": "passes"}]}),
        ),
    ]
    .join("\n---\n")
}

/// What the API server adds goes, and so does what makes it kickoff's.
pub fn like(mut job: Value) -> Value {
    let meta = job["metadata"].as_object_mut().unwrap();
    for field in ["uid", "resourceVersion", "creationTimestamp", "managedFields", "generation"] {
        meta.remove(field);
    }
    let added = |key: &String| key.contains("controller-uid") || key.contains("job-name");
    for place in ["/metadata/labels", "/spec/template/metadata/labels"] {
        let labels = job.pointer_mut(place).unwrap().as_object_mut().unwrap();
        labels.retain(|key, _| !added(key));
        labels.insert("kickoff.dev/instance".to_owned(), json!("another"));
    }
    job["spec"].as_object_mut().unwrap().remove("selector");
    // A list says them once.
    (job["apiVersion"], job["kind"]) = (json!("batch/v1"), json!("Job"));
    job.as_object_mut().unwrap().remove("status");
    job
}

fn request(like: &Value, namespace: &str, id: &str) -> http::Request<Vec<u8>> {
    let mut job = like.clone();
    // As long as kickoff's name is.
    job["metadata"]["name"] = json!(format!("passes-{:0>22}", id.replace('_', "-")));
    job["metadata"]["annotations"]["kickoff.dev/event-id"] = json!(id);
    let path = format!("/apis/batch/v1/namespaces/{namespace}/jobs?fieldManager=kickoff");
    http::Request::post(path)
        .header("Content-Type", "application/json")
        .body(serde_json::to_vec(&job).unwrap())
        .unwrap()
}

impl<'cluster> Site<'cluster> {
    pub async fn new(cluster: &'cluster Cluster, folder: &Path) -> Self {
        let namespace = cluster.namespace();
        let definitions_folder = folder.join("definitions");
        std::fs::create_dir(&definitions_folder).unwrap();
        std::fs::write(definitions_folder.join("all.yaml"), definitions(&namespace.name)).unwrap();
        let witness = Arc::new(Witness::of(&cluster.kubeconfig, &namespace.name).await);
        let kubeconfig = cluster.kubeconfig.to_str().unwrap();
        let executor = ["--executor", "kubernetes", "--kubeconfig", kubeconfig];
        let server = Server::with(&folder.join("data"), Some(&definitions_folder), &executor);
        let client = api(&cluster.kubeconfig).await;
        let site = Self { namespace, witness, server, client, like: Value::Null };
        let mut connection = Connection::open(site.server.address).await;
        assert_eq!(connection.deliver(WEBHOOK, "first", BODY).await, 202);
        site.seen("first").await;
        let path = format!("/apis/batch/v1/namespaces/{}/jobs", site.namespace.name);
        let mut jobs = cluster.get(&path);
        Self { like: like(jobs["items"][0].take()), ..site }
    }

    /// The Job that is created directly for an id, as a request.
    pub fn request(&self, id: &str) -> http::Request<Vec<u8>> {
        request(&self.like, &self.namespace.name, id)
    }

    /// When the Job of an id was seen.
    pub async fn seen(&self, id: &str) -> Instant {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.witness.seen().events.get(id) {
                return *at;
            }
            assert!(Instant::now() < end, "no Job of {id}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// A connection to what only makes a delivery durable, and what that took once it is closed.
    pub async fn relay(&self, kubeconfig: &Path, folder: &Path) -> (Connection, Receiver<u64>) {
        let (like, namespace) = (self.like.clone(), self.namespace.name.clone());
        let made = move |id: &str| request(&like, &namespace, id);
        let (address, used) = super::relay::start(kubeconfig, folder, made).await;
        (Connection::open(address).await, used)
    }
}
