//! Definitions that are resources of a cluster: all of them as they were seen last, and what keeps them from being
//! seen.
//!
//! A feed for each kind and each namespace that is served. What can't be seen stays as it was, however long; what a
//! whole list does not have any more is gone. A kind that the cluster does not know yet is asked for again, as is
//! one that may not be listed.
//!
//! What was seen last is kept in a file of the data folder, without statuses and without secrets, so that a start
//! while the API server is away begins with it. If we die before it is written, the next start has an older one, and
//! lists before it is used; if we die while it is written, the one before is still there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{SelectAll, Stream, StreamExt as _, select_all};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::engine::definitions::crd::{GROUP, VERSION, every_kind, plural};
use crate::engine::ids::ObjectName;
use crate::outside::kubernetes::api::{Api, escape};
use crate::outside::kubernetes::feed::{News, Selection, Versioned, feed};

/// How long a start waits for the first lists.
const FIRST: Duration = Duration::from_secs(10);
/// What comes within this time is published at once.
const TOGETHER: Duration = Duration::from_millis(200);
/// The same trouble is logged this often.
const TELL_AGAIN: Duration = Duration::from_mins(1);
/// The file in the data folder.
const FILE: &str = "resources.json";

/// A definition as the cluster has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Resource {
    /// Which kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Counts the changes of its spec.
    pub generation: i64,
    /// When the cluster made it, as it writes that: in order as texts.
    #[serde(default)]
    pub created: String,
    /// What is to be done.
    pub spec: Value,
    /// What was made of it, as it was seen last.
    #[serde(skip)]
    pub status: Value,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Resources {
    /// Another where any was made, changed or deleted, not counting its status.
    pub revision: u64,
    /// By kind and name.
    pub all: BTreeMap<(String, ObjectName), Arc<Resource>>,
}

/// A kind in a namespace, or in all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Scope {
    kind: &'static str,
    namespace: Option<String>,
}

/// What is known of a scope.
#[derive(Debug, Default)]
struct Held {
    objects: BTreeMap<ObjectName, Arc<Resource>>,
    /// What a list that is not whole yet has so far.
    listing: Option<BTreeMap<ObjectName, Arc<Resource>>>,
    /// It was seen, or it is known why not.
    told: bool,
    listed: bool,
    trouble: Option<(String, Instant)>,
}

#[derive(Deserialize)]
struct Object {
    #[serde(default)]
    metadata: Meta,
    #[serde(default)]
    spec: Value,
    #[serde(default)]
    status: Value,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Meta {
    name: String,
    namespace: String,
    uid: String,
    generation: i64,
    creation_timestamp: String,
    resource_version: String,
}

impl Versioned for Object {
    fn version(&self) -> &str {
        &self.metadata.resource_version
    }
}

impl Object {
    fn resource(self, kind: &str) -> (ObjectName, Arc<Resource>) {
        let Meta { name, namespace, uid, generation, creation_timestamp: created, .. } = self.metadata;
        let key = ObjectName::new(&namespace, &name);
        let (spec, status) = (self.spec, self.status);
        let kind = kind.to_owned();
        (key, Arc::new(Resource { kind, namespace, name, uid, generation, created, spec, status }))
    }
}

type Streams = SelectAll<Pin<Box<dyn Stream<Item = (Scope, News<Object>)> + Send>>>;

/// Watches them.
pub struct ClusterWatch {
    streams: Streams,
    held: BTreeMap<Scope, Held>,
    file: PathBuf,
    resources: watch::Sender<Arc<Resources>>,
    trouble: watch::Sender<Vec<String>>,
}

impl ClusterWatch {
    /// Of these namespaces, or of all where there are none; nothing is asked yet. Where is told what there is.
    pub fn new(api: &Api, namespaces: &[String], data: &Path) -> (Self, watch::Receiver<Arc<Resources>>) {
        let mut scopes = Vec::new();
        for kind in every_kind() {
            if namespaces.is_empty() {
                scopes.push(Scope { kind, namespace: None });
            }
            let of = |namespace: &String| Scope { kind, namespace: Some(namespace.clone()) };
            scopes.extend(namespaces.iter().map(of));
        }
        let streams = scopes.iter().map(|scope| {
            let (path, scope) = (scope.path(), scope.clone());
            let news =
                feed::<Object>(api.clone(), Selection { path, labels: String::new(), streamed: false });
            news.map(move |news| (scope.clone(), news)).boxed()
        });
        let (resources, seen) = watch::channel(Arc::default());
        let watch = Self {
            streams: select_all(streams),
            held: scopes.into_iter().map(|scope| (scope, Held::default())).collect(),
            file: data.join(FILE),
            resources,
            trouble: watch::Sender::new(Vec::new()),
        };
        (watch, seen)
    }

    /// What can't be seen, each as a sentence.
    pub fn trouble(&self) -> watch::Receiver<Vec<String>> {
        self.trouble.subscribe()
    }

    /// Waits a moment for the first lists, and takes what was seen by the process before for those that do not come.
    pub async fn begin(&mut self) {
        let lists = async {
            while self.held.values().any(|held| !held.told) {
                let Some((scope, news)) = self.streams.next().await else { return };
                self.take(&scope, news);
            }
        };
        if timeout(FIRST, lists).await.is_err() {
            warn!("the cluster's definitions are not all listed after {} s", FIRST.as_secs());
        }
        self.remember().await;
        self.publish().await;
    }

    /// Follows them until `cancel`.
    pub async fn run(mut self, cancel: CancellationToken) {
        let mut due: Option<Instant> = None;
        loop {
            let at = due.unwrap_or_else(|| Instant::now() + TELL_AGAIN);
            tokio::select! {
                () = cancel.cancelled() => return,
                news = self.streams.next() => {
                    let Some((scope, news)) = news else { return cancel.cancelled().await };
                    if self.take(&scope, news) {
                        due.get_or_insert_with(|| Instant::now() + TOGETHER);
                    }
                }
                () = sleep_until(at), if due.is_some() => {
                    due = None;
                    self.publish().await;
                }
            }
        }
    }

    /// Takes in what a feed tells; whether there may be something to publish.
    fn take(&mut self, scope: &Scope, news: News<Object>) -> bool {
        let Some(held) = self.held.get_mut(scope) else { return false };
        let changed = match news {
            News::Listing => {
                held.listing = Some(BTreeMap::new());
                false
            }
            News::Item(object) => {
                let (name, resource) = object.resource(scope.kind);
                let listing = held.listing.is_some();
                held.listing.as_mut().unwrap_or(&mut held.objects).insert(name, resource);
                !listing
            }
            News::Gone(object) => {
                let (name, _) = object.resource(scope.kind);
                held.objects.remove(&name).is_some()
            }
            News::Listed => {
                held.objects = held.listing.take().unwrap_or_default();
                (held.listed, held.told) = (true, true);
                held.well();
                true
            }
            News::Well => {
                held.well();
                false
            }
            News::Trouble(why) => {
                held.ill(scope, why);
                false
            }
            News::NotServed(_) => {
                // What is in force stays: an API server that has just begun may not know them yet. A start does not
                // begin with them.
                held.listed = true;
                let why = "the cluster does not know them: kickoff crds | kubectl apply -f -";
                held.ill(scope, why.to_owned());
                false
            }
        };
        let sentences: Vec<String> =
            self.held.iter().filter_map(|(scope, held)| held.sentence(scope)).collect();
        self.trouble.send_if_modified(|told| {
            let new = *told != sentences;
            *told = sentences;
            new
        });
        changed
    }

    async fn publish(&mut self) {
        let objects = self.held.iter().flat_map(|(scope, held)| {
            held.objects.iter().map(|(name, it)| ((scope.kind.to_owned(), name.clone()), Arc::clone(it)))
        });
        let all: BTreeMap<(String, ObjectName), Arc<Resource>> = objects.collect();
        let before = Arc::clone(&self.resources.borrow());
        let what = |it: &Arc<Resource>| (it.uid.clone(), it.generation);
        let same = all.len() == before.all.len()
            && all.iter().all(|(key, it)| before.all.get(key).is_some_and(|old| what(old) == what(it)));
        let revision = before.revision + u64::from(!same);
        let now = Arc::new(Resources { revision, all });
        self.resources.send_replace(Arc::clone(&now));
        if !same {
            info!(resources = now.all.len(), "definitions of the cluster");
            let file = self.file.clone();
            let written = tokio::task::spawn_blocking(move || write(&file, &now)).await;
            if let Err(error) = written.map_err(std::io::Error::other).flatten() {
                warn!(%error, "the cluster's definitions are not kept for a start without the cluster");
            }
        }
    }

    /// What the process before saw of scopes that were not listed yet.
    async fn remember(&mut self) {
        if self.held.values().all(|held| held.listed) {
            return;
        }
        let file = self.file.clone();
        let read = tokio::task::spawn_blocking(move || read(&file)).await;
        let resources = match read.map_err(std::io::Error::other).flatten() {
            Ok(resources) => resources,
            Err(error) => {
                warn!(%error, "what was known of the cluster's definitions can't be read");
                return;
            }
        };
        for resource in resources {
            let name = ObjectName::new(&resource.namespace, &resource.name);
            let of = |scope: &Scope| {
                let here = scope.namespace.as_ref().is_none_or(|namespace| *namespace == resource.namespace);
                here && scope.kind == resource.kind
            };
            let held = self.held.iter_mut().find(|(scope, held)| of(scope) && !held.listed);
            if let Some((_, held)) = held {
                held.objects.entry(name).or_insert_with(|| Arc::new(resource.clone()));
            }
        }
    }
}

impl Scope {
    fn path(&self) -> String {
        let plural = plural(self.kind);
        match &self.namespace {
            None => format!("/apis/{GROUP}/{VERSION}/{plural}"),
            Some(namespace) => format!("/apis/{GROUP}/{VERSION}/namespaces/{}/{plural}", escape(namespace)),
        }
    }
}

impl Held {
    fn well(&mut self) {
        self.trouble = None;
    }

    /// Notes why it is not seen, and logs it where that is new or was not said for a while.
    fn ill(&mut self, scope: &Scope, why: String) {
        self.told = true;
        let (now, said) = (Instant::now(), self.trouble.take());
        let at = match said {
            Some((known, at)) if known == why && now.duration_since(at) < TELL_AGAIN => at,
            _ => {
                warn!(
                    kind = scope.kind,
                    namespace = scope.namespace,
                    why,
                    "definitions of the cluster are not seen"
                );
                now
            }
        };
        self.trouble = Some((why, at));
    }

    fn sentence(&self, scope: &Scope) -> Option<String> {
        let (why, _) = self.trouble.as_ref()?;
        let place = scope.namespace.as_ref().map(|namespace| format!(" of namespace {namespace}"));
        Some(format!("{}s{}: {why}", scope.kind, place.unwrap_or_default()))
    }
}

fn write(file: &Path, resources: &Resources) -> std::io::Result<()> {
    let all: Vec<&Resource> = resources.all.values().map(Arc::as_ref).collect();
    let new = file.with_extension("new");
    std::fs::write(&new, serde_json::to_vec(&all)?)?;
    std::fs::File::open(&new)?.sync_all()?;
    std::fs::rename(&new, file)
}

fn read(file: &Path) -> std::io::Result<Vec<Resource>> {
    match std::fs::read(file) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(name: &str, generation: i64) -> Object {
        let metadata = json!({"name": name, "namespace": "shop", "uid": name, "generation": generation});
        serde_json::from_value(json!({"metadata": metadata, "spec": {}})).unwrap()
    }

    fn watch(folder: &Path) -> (ClusterWatch, watch::Receiver<Arc<Resources>>, Scope) {
        let scope = Scope { kind: "Trigger", namespace: None };
        let (resources, seen) = watch::channel(Arc::default());
        let watch = ClusterWatch {
            streams: SelectAll::new(),
            held: BTreeMap::from([(scope.clone(), Held::default())]),
            file: folder.join(FILE),
            resources,
            trouble: watch::Sender::new(Vec::new()),
        };
        (watch, seen, scope)
    }

    fn names(seen: &watch::Receiver<Arc<Resources>>) -> (u64, Vec<String>) {
        let resources = seen.borrow();
        (resources.revision, resources.all.values().map(|it| it.name.clone()).collect())
    }

    #[tokio::test]
    async fn a_list_drops_what_is_gone_and_trouble_drops_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (mut watch, seen, scope) = watch(folder.path());
        for news in [News::Listing, News::Item(object("a", 1)), News::Item(object("b", 1))] {
            assert!(!watch.take(&scope, news));
        }
        assert!(watch.take(&scope, News::Listed));
        watch.publish().await;
        assert_eq!(names(&seen), (1, vec!["a".to_owned(), "b".to_owned()]));
        watch.take(&scope, News::Item(object("a", 1)));
        watch.publish().await;
        assert_eq!(seen.borrow().revision, 1, "a status is no change");
        for news in [News::Trouble("away".to_owned()), News::NotServed(String::new())] {
            assert!(!watch.take(&scope, news));
            assert_eq!(watch.trouble().borrow().len(), 1);
        }
        for news in [News::Listing, News::Item(object("a", 2)), News::Listed] {
            watch.take(&scope, news);
        }
        watch.publish().await;
        assert_eq!(names(&seen), (2, vec!["a".to_owned()]));
        assert!(watch.trouble().borrow().is_empty());
    }

    #[tokio::test]
    async fn a_start_without_the_cluster_begins_with_what_was_seen_last() {
        let folder = tempfile::tempdir().unwrap();
        let (mut before, _, scope) = watch(folder.path());
        for news in [News::Listing, News::Item(object("a", 3)), News::Listed] {
            before.take(&scope, news);
        }
        before.publish().await;
        let (mut after, seen, scope) = watch(folder.path());
        after.take(&scope, News::Trouble("away".to_owned()));
        after.begin().await;
        assert_eq!(names(&seen), (1, vec!["a".to_owned()]));
    }
}
