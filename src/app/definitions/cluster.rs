//! Definitions that are resources of a cluster: all of them as they were seen last, and what keeps them from being
//! seen.
//!
//! A feed for each kind and each namespace that is served. What can't be seen stays as it was, however long, also
//! where the cluster does not know the kind any more; what a whole list does not have any more is gone. A kind that
//! the cluster does not know yet is asked for again, as is one that may not be listed.
//!
//! What was seen last is kept in a file of the data folder, without statuses and without secrets, so that a start
//! while the API server is away begins with it. If we die before it is written, the next start has an older one, and
//! lists before it is used.

mod held;
mod object;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{SelectAll, Stream, StreamExt as _, select_all};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::held::{Held, Scope};
use self::object::Object;
use super::kept;
use crate::engine::definitions::crd::every_kind;
use crate::engine::ids::{ObjectName, h_hex};
use crate::outside::kubernetes::api::Api;
use crate::outside::kubernetes::feed::{News, Selection, feed};

pub use self::object::Resource;

/// How long a start waits for the first lists.
const FIRST: Duration = Duration::from_secs(10);
/// What comes within this time is published at once.
const TOGETHER: Duration = Duration::from_millis(200);
/// How long nothing is due where nothing came.
const IDLE: Duration = Duration::from_mins(1);

/// All of them.
#[derive(Debug, Default)]
pub struct Resources {
    /// Another where any was made, changed or deleted, not counting its status.
    pub revision: u64,
    /// By kind and name.
    pub all: BTreeMap<(String, ObjectName), Arc<Resource>>,
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
    /// Of these namespaces, or of all where there are none, those with these labels; nothing is asked yet. Where is
    /// told what there is.
    pub fn new(
        api: &Api,
        namespaces: &[String],
        labels: &str,
        data: &Path,
    ) -> (Self, watch::Receiver<Arc<Resources>>) {
        let mut scopes = Vec::new();
        for kind in every_kind() {
            if namespaces.is_empty() {
                scopes.push(Scope { kind, namespace: None });
            }
            let of = |namespace: &String| Scope { kind, namespace: Some(namespace.clone()) };
            scopes.extend(namespaces.iter().map(of));
        }
        let streams = scopes.iter().map(|scope| {
            let selection = Selection { path: scope.path(), labels: labels.to_owned(), streamed: false };
            let (scope, news) = (scope.clone(), feed::<Object>(api.clone(), selection));
            news.map(move |news| (scope.clone(), news)).boxed()
        });
        let (resources, seen) = watch::channel(Arc::default());
        let watch = Self {
            streams: select_all(streams),
            held: scopes.into_iter().map(|scope| (scope, Held::default())).collect(),
            file: data.join(file(labels)),
            resources,
            trouble: watch::Sender::new(Vec::new()),
        };
        (watch, seen)
    }

    /// What can't be seen, each as a sentence.
    pub fn trouble(&self) -> watch::Receiver<Vec<String>> {
        self.trouble.subscribe()
    }

    /// Begins with what was seen by the process before, and waits a moment for the first lists.
    pub async fn begin(&mut self) {
        self.begin_within(FIRST).await;
    }

    async fn begin_within(&mut self, longest: Duration) {
        self.remember().await;
        let lists = async {
            while self.held.values().any(|held| !held.told) {
                let Some((scope, news)) = self.streams.next().await else { return };
                self.take(&scope, news);
            }
        };
        if timeout(longest, lists).await.is_err() {
            warn!("the cluster's definitions are not all listed after {longest:?}");
        }
        self.publish().await;
    }

    /// Follows them until `cancel`.
    pub async fn run(mut self, cancel: CancellationToken) {
        let mut due: Option<Instant> = None;
        loop {
            let at = due.unwrap_or_else(|| Instant::now() + IDLE);
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
        let changed = held.take(scope, news);
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
        if same {
            return;
        }
        info!(resources = now.all.len(), "definitions of the cluster");
        let all: Vec<Resource> = now.all.values().map(|it| (**it).clone()).collect();
        if let Err(error) = kept::write(self.file.clone(), all).await {
            warn!(%error, "the cluster's definitions are not kept for a start without the cluster");
        }
    }

    /// What the process before saw, until it is listed.
    async fn remember(&mut self) {
        let resources = match kept::read::<Vec<Resource>>(self.file.clone()).await {
            Ok(resources) => resources,
            Err(error) => {
                warn!(%error, "what was known of the cluster's definitions can't be read");
                return;
            }
        };
        for resource in resources {
            if let Some((_, held)) = self.held.iter_mut().find(|(scope, _)| scope.has(&resource)) {
                let name = ObjectName::new(&resource.namespace, &resource.name);
                held.objects.insert(name, Arc::new(resource));
            }
        }
    }
}

/// The file in the data folder. What was seen by other labels is not what is meant now.
fn file(labels: &str) -> String {
    if labels.is_empty() {
        return "resources.json".to_owned();
    }
    format!("resources-{}.json", h_hex("labels", &[labels.as_bytes()], 8))
}

#[cfg(test)]
mod tests;
