//! Who sees all Jobs of a namespace come and go, and asks nobody but the API server: a watch that begins before
//! the first, and is taken up again where it was when it breaks off. Where it missed something it panics.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use futures::io::AsyncBufReadExt as _;
use kickoff::outside::kubernetes::{Cluster as Place, connect};
use kube::Client;
use serde::Deserialize;
use tokio::task::JoinSet;

/// A Job that was there at some time.
#[derive(Debug, Clone)]
pub struct Job {
    /// Of its labels.
    pub run: String,
    pub attempt: String,
    /// The sender's id of the event it comes from.
    pub event: String,
    /// Complete or Failed, once it is.
    pub end: Option<String>,
    pub deleted: bool,
}

/// What was seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// By uid.
    pub jobs: HashMap<String, Job>,
    /// Uids in the order in which the API server made them.
    pub order: Vec<String>,
    /// When the first Job of an event was seen, by the sender's id.
    pub events: HashMap<String, Instant>,
    /// Not ended, not deleted.
    pub open: usize,
    /// The most that ever were.
    pub most: usize,
    pub breaks: usize,
    trouble: Option<String>,
}

/// Watches until dropped.
pub struct Witness {
    seen: Arc<Mutex<Seen>>,
    _watching: JoinSet<()>,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    object: Object,
}

#[derive(Deserialize)]
struct Object {
    metadata: Meta,
    #[serde(default)]
    status: serde_json::Value,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Meta {
    uid: String,
    resource_version: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

/// A client of the cluster of a kubeconfig.
pub async fn api(kubeconfig: &Path) -> Client {
    drop(rustls::crypto::ring::default_provider().install_default());
    let place = Place { kubeconfig: Some(kubeconfig.to_owned()), context: None };
    connect(&place).await.unwrap().client
}

fn get(path: &str) -> http::Request<Vec<u8>> {
    http::Request::get(path).header("Accept-Encoding", "identity").body(Vec::new()).unwrap()
}

impl Witness {
    /// Begins to watch a namespace, in which no Job is yet.
    pub async fn of(kubeconfig: &Path, namespace: &str) -> Self {
        let client = api(kubeconfig).await;
        let path = format!("/apis/batch/v1/namespaces/{namespace}/jobs");
        let list: serde_json::Value = client.request(get(&path)).await.unwrap();
        assert_eq!(list["items"].as_array().map(Vec::len), Some(0));
        let version = list["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let mut watching = JoinSet::new();
        watching.spawn(watch(client, path, version, Arc::clone(&seen)));
        Self { seen, _watching: watching }
    }

    /// What it has seen so far.
    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        let seen = self.seen.lock().unwrap();
        assert_eq!(seen.trouble, None);
        seen
    }
}

async fn watch(client: Client, path: String, mut version: String, seen: Arc<Mutex<Seen>>) {
    loop {
        let query = "watch=true&allowWatchBookmarks=true&timeoutSeconds=3600";
        let opened = client.request_stream(get(&format!("{path}?{query}&resourceVersion={version}"))).await;
        if let Ok(stream) = opened {
            let mut lines = std::pin::pin!(stream.lines());
            while let Some(Ok(line)) = futures::StreamExt::next(&mut lines).await {
                let Ok(event) = serde_json::from_str::<Event>(&line) else { break };
                if event.kind == "ERROR" {
                    seen.lock().unwrap().trouble = Some(event.object.message);
                    return;
                }
                version.clone_from(&event.object.metadata.resource_version);
                seen.lock().unwrap().take(event);
            }
        }
        seen.lock().unwrap().breaks += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

impl Seen {
    fn take(&mut self, Event { kind, object: Object { metadata, status, .. } }: Event) {
        if kind == "BOOKMARK" {
            return;
        }
        let text = |of: &BTreeMap<String, String>, key: &str| of.get(key).cloned().unwrap_or_default();
        if !self.jobs.contains_key(&metadata.uid) {
            let event = text(&metadata.annotations, "kickoff.dev/event-id");
            self.events.entry(event).or_insert_with(Instant::now);
            self.order.push(metadata.uid.clone());
            self.open += 1;
            self.most = self.most.max(self.open);
        }
        let job = self.jobs.entry(metadata.uid).or_insert_with(|| Job {
            run: text(&metadata.labels, "kickoff.dev/run"),
            attempt: text(&metadata.labels, "kickoff.dev/attempt"),
            event: text(&metadata.annotations, "kickoff.dev/event-id"),
            end: None,
            deleted: false,
        });
        let was_open = job.end.is_none() && !job.deleted;
        let conditions = status["conditions"].as_array().into_iter().flatten();
        let end = conditions.filter(|condition| condition["status"] == "True").find_map(|condition| {
            condition["type"].as_str().filter(|kind| ["Complete", "Failed"].contains(kind)).map(str::to_owned)
        });
        job.end = job.end.take().or(end);
        job.deleted |= kind == "DELETED";
        if was_open && (job.end.is_some() || job.deleted) {
            self.open -= 1;
        }
    }
}
