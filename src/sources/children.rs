//! Tasks that follow the definitions: one for each thing that these need, with an owner that notices its end.
//!
//! Nothing here is durable: what a death of a task does stands with the task.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Display;
use std::future::Future;
use std::hash::Hash;
use std::time::Duration;

use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Until one that ended by itself is started again.
const AGAIN: Duration = Duration::from_secs(1);

/// Tasks by what they are for.
pub(super) struct Children<K> {
    tasks: JoinSet<()>,
    /// Of all tasks, also those that are told to end.
    of: HashMap<Id, K>,
    known: HashMap<K, (Id, CancellationToken)>,
}

/// A task that is no more.
pub(super) enum Ended<K> {
    /// It was not told to.
    ByItself(K),
    /// It was, and there is no other in its place.
    AsTold(K),
    /// It was, and another is in its place.
    Replaced,
}

impl<K: Display> Ended<K> {
    /// One that was not told to end may be started again after a moment; `kind` is what it was. The last that one said
    /// which was told to is of no interest any more, and the caller is to `forget` it.
    pub(super) async fn settle(self, kind: &str, forget: impl Fn(&K)) {
        match self {
            Self::ByItself(key) => {
                warn!(of = %key, "{kind} ended by itself, starting it again");
                tokio::time::sleep(AGAIN).await;
            }
            Self::AsTold(key) => forget(&key),
            Self::Replaced => {}
        }
    }
}

impl<K: Clone + Eq + Hash + Ord> Children<K> {
    pub(super) fn new() -> Self {
        Self { tasks: JoinSet::new(), of: HashMap::new(), known: HashMap::new() }
    }

    /// Tells those to end that are not wanted any more, of which the caller is to `forget` what they said; gives those
    /// that are missing.
    pub(super) fn reconcile(&mut self, wanted: BTreeSet<K>, forget: impl Fn(&K)) -> Vec<K> {
        self.known.retain(|key, (_, cancel)| {
            let stays = wanted.contains(key);
            if !stays {
                cancel.cancel();
                forget(key);
            }
            stays
        });
        wanted.into_iter().filter(|key| !self.known.contains_key(key)).collect()
    }

    /// Starts one.
    pub(super) fn start<F>(&mut self, key: K, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let cancel = CancellationToken::new();
        let id = self.tasks.spawn(task(cancel.clone())).id();
        self.of.insert(id, key.clone());
        self.known.insert(key, (id, cancel));
    }

    /// The next that ends, or panics; `None` where there is none at all.
    pub(super) async fn next(&mut self) -> Option<Ended<K>> {
        let id = match self.tasks.join_next_with_id().await? {
            Ok((id, ())) => id,
            Err(panicked) => panicked.id(),
        };
        let Some(key) = self.of.remove(&id) else { return Some(Ended::Replaced) };
        Some(match self.known.get(&key) {
            Some((of, _)) if *of == id => {
                self.known.remove(&key);
                Ended::ByItself(key)
            }
            Some(_) => Ended::Replaced,
            None => Ended::AsTold(key),
        })
    }

    /// Ends all.
    pub(super) async fn stop(mut self) {
        for (_, cancel) in self.known.values() {
            cancel.cancel();
        }
        while self.tasks.join_next().await.is_some() {}
    }
}
