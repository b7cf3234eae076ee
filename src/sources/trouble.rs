//! What does not come in, and why: for `/readyz`, and for the triggers that wait for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::engine::definitions::Snapshot;

/// What does not come in of all that is named by a `K`. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Troubles<K> {
    known: Arc<watch::Sender<Known<K>>>,
    told: Arc<watch::Sender<Vec<String>>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Known<K> {
    /// Why nothing comes in.
    all: Option<String>,
    each: BTreeMap<K, String>,
    /// What is said besides.
    besides: Option<&'static str>,
}

impl<K: Ord + Clone + Display> Troubles<K> {
    /// Nothing is known yet.
    pub(super) fn new() -> Self {
        let known = Known { all: None, each: BTreeMap::new(), besides: None };
        Self { known: Arc::new(watch::Sender::new(known)), told: Arc::new(watch::Sender::new(Vec::new())) }
    }

    /// Everything that is wrong, each as a sentence.
    pub(super) fn told(&self) -> watch::Receiver<Vec<String>> {
        self.told.subscribe()
    }

    /// What is wrong with these; with what is said besides, where that concerns them.
    pub(super) fn of(&self, keys: &BTreeSet<K>, besides: bool) -> Vec<String> {
        let known = self.known.borrow();
        match &known.all {
            _ if keys.is_empty() => Vec::new(),
            Some(why) => vec![why.clone()],
            None => {
                let besides = known.besides.filter(|_| besides).map(str::to_owned);
                keys.iter().filter_map(|key| known.sentence(key)).chain(besides).collect()
            }
        }
    }

    /// Nothing comes in, or again what each says for itself.
    pub(super) fn all(&self, why: Option<String>) {
        self.change(|known| known.all = why);
    }

    /// What is said besides.
    pub(super) fn besides(&self, what: Option<&'static str>) {
        self.change(|known| known.besides = what);
    }

    /// One thing does not come in, or does; whether that is new.
    pub(super) fn one(&self, key: &K, why: Option<String>) -> bool {
        self.change(|known| match why {
            Some(why) => drop(known.each.insert(key.clone(), why)),
            None => drop(known.each.remove(key)),
        })
    }

    fn change(&self, change: impl FnOnce(&mut Known<K>)) -> bool {
        let changed = self.known.send_if_modified(|known| {
            let before = known.clone();
            change(known);
            *known != before
        });
        if changed {
            self.told.send_replace(self.known.borrow().sentences());
        }
        changed
    }
}

/// Where there is nothing that anything could come from: tells `why` for as long as somebody waits, until `cancel`.
pub(super) async fn without(
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
    waits: impl Fn(&Snapshot) -> bool,
    tell: impl Fn(Option<String>),
    why: &str,
    cancel: CancellationToken,
) {
    loop {
        let snapshot = snapshots.borrow_and_update().clone();
        tell(waits(&snapshot).then(|| {
            warn!("{why}");
            why.to_owned()
        }));
        tokio::select! {
            () = cancel.cancelled() => return,
            changed = snapshots.changed() => if changed.is_err() {
                return cancel.cancelled().await;
            },
        }
    }
}

impl<K: Ord + Display> Known<K> {
    fn sentences(&self) -> Vec<String> {
        if let Some(why) = &self.all {
            return vec![why.clone()];
        }
        let besides = self.besides.map(str::to_owned);
        self.each.keys().filter_map(|key| self.sentence(key)).chain(besides).collect()
    }

    fn sentence(&self, key: &K) -> Option<String> {
        Some(format!("{key}: {}", self.each.get(key)?))
    }
}
