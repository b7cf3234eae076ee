//! Who sees all Jobs of a namespace come and go, and asks nobody but the API server: a watch that begins before
//! the first, and is taken up again where it was when it breaks off.
//!
//! An API server that was started anew has forgotten what was before. Then all are listed: nothing can have come
//! and gone unseen while it was away, since all changes go through it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
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
    /// How often it was cut off, and how often it had to list.
    pub breaks: usize,
    pub lists: usize,
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
}

#[derive(Deserialize)]
struct List {
    metadata: Meta,
    items: Vec<Object>,
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
        let list: List = client.request(get(&path)).await.unwrap();
        assert_eq!(list.items.len(), 0, "Jobs were there before");
        let version = list.metadata.resource_version;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let mut watching = JoinSet::new();
        watching.spawn(watch(client, path, version, Arc::clone(&seen)));
        Self { seen, _watching: watching }
    }

    /// What it has seen so far.
    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }
}

async fn watch(client: Client, path: String, mut version: String, seen: Arc<Mutex<Seen>>) {
    loop {
        let query = "watch=true&allowWatchBookmarks=true&timeoutSeconds=3600";
        let opened = client.request_stream(get(&format!("{path}?{query}&resourceVersion={version}"))).await;
        let mut forgotten = matches!(&opened, Err(kube::Error::Api(status)) if status.code == 410);
        if let Ok(stream) = opened {
            let mut lines = std::pin::pin!(stream.lines());
            while let Some(Ok(line)) = lines.next().await {
                // Half a line, where it broke off; or a status in place of a Job: it can't go on.
                let Ok(event) = serde_json::from_str::<Event>(&line) else { break };
                if event.kind == "ERROR" {
                    forgotten = true;
                    break;
                }
                version.clone_from(&event.object.metadata.resource_version);
                seen.lock().unwrap().take(event);
            }
        }
        seen.lock().unwrap().breaks += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
        if forgotten && let Ok(list) = client.request::<List>(get(&path)).await {
            version.clone_from(&list.metadata.resource_version);
            seen.lock().unwrap().take_all(list);
        }
    }
}

impl Seen {
    /// What is not listed was deleted.
    fn take_all(&mut self, List { items, .. }: List) {
        self.lists += 1;
        let there: BTreeSet<String> = items.iter().map(|object| object.metadata.uid.clone()).collect();
        for object in items {
            self.take(Event { kind: "MODIFIED".to_owned(), object });
        }
        for (_, job) in self.jobs.iter_mut().filter(|(uid, job)| !job.deleted && !there.contains(*uid)) {
            job.deleted = true;
            self.open -= usize::from(job.end.is_none());
        }
    }

    fn take(&mut self, Event { kind, object: Object { metadata, status } }: Event) {
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
