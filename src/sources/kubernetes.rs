//! Changes of objects of the cluster that runs become Jobs of.
//!
//! One task owns a watch for each kind that triggers want and each scope that the server serves, and follows
//! the definitions as they change. Of all triggers that want the same kind there is one watch, and one event
//! of a change. A watch that ends or panics is started again; one that can't see what happens says so at its
//! triggers, and the others go on.
//!
//! What a death does stands with the watch. Nothing of this task is durable here: the marks of what was said
//! are records, which the machine writes.

mod asking;
mod blind;
mod namespaces;
mod watch;

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::{mpsc, watch as latest};
use tokio_util::sync::CancellationToken;

pub use self::blind::Blind;
use self::blind::Watched;
use self::watch::Watch;
use super::children::Children;
use super::trouble;
use crate::engine::definitions::Snapshot;
use crate::engine::machine::Input;
use crate::outside::clock::Clock;
use crate::outside::kubernetes::api::Api;
use crate::store::inbox::Inbox;
use crate::store::records::Records;

/// Watches what the definitions in force want of the cluster.
pub struct Kubernetes {
    /// None where runs are no Jobs of a cluster.
    pub api: Option<Api>,
    /// Where events go.
    pub inbox: Arc<dyn Inbox>,
    /// The newest position there.
    pub arrived: latest::Receiver<u64>,
    /// Where the marks are.
    pub records: Arc<dyn Records>,
    /// Where goes what fires nothing.
    pub facts: mpsc::Sender<Input>,
    /// The time.
    pub clock: Clock,
    /// The definitions in force.
    pub snapshots: latest::Receiver<Arc<Snapshot>>,
    /// Where is told what is not seen.
    pub blind: Blind,
}

impl Kubernetes {
    /// Watches until it is told to end.
    pub async fn run(mut self, cancel: CancellationToken) {
        match self.api.take() {
            None => self.without(cancel).await,
            Some(api) => self.with(&api, cancel).await,
        }
    }

    /// There is no cluster: who waits for it is told so.
    async fn without(self, cancel: CancellationToken) {
        let why = "triggers watch a cluster, and the server was started without --executor kubernetes";
        let waits = |snapshot: &Snapshot| !self.blind.all_of(snapshot).is_empty();
        trouble::without(self.snapshots, waits, |why| self.blind.all(why), why, cancel).await;
    }

    async fn with(mut self, api: &Api, cancel: CancellationToken) {
        let mut watches = Children::new();
        loop {
            self.follow(&mut watches, api);
            tokio::select! {
                () = cancel.cancelled() => break,
                changed = self.snapshots.changed() => if changed.is_err() { break },
                Some(ended) = watches.next() => {
                    ended.settle("a watch of the cluster", |watched| self.forget(watched)).await;
                }
            }
        }
        watches.stop().await;
        cancel.cancelled().await;
    }

    fn forget(&self, watched: &Watched) {
        self.blind.one(watched, None);
    }

    fn wanted(&mut self) -> BTreeSet<Watched> {
        let snapshot = self.snapshots.borrow_and_update().clone();
        self.blind.all_of(&snapshot)
    }

    /// Ends watches that nobody needs any more, and starts those that are missing.
    fn follow(&mut self, watches: &mut Children<Watched>, api: &Api) {
        let wanted = self.wanted();
        for watched in watches.reconcile(wanted, |watched| self.forget(watched)) {
            watches.start(watched.clone(), |cancel| {
                let watch = Watch {
                    watched,
                    api: api.clone(),
                    inbox: Arc::clone(&self.inbox),
                    arrived: self.arrived.clone(),
                    records: Arc::clone(&self.records),
                    facts: self.facts.clone(),
                    clock: self.clock.clone(),
                    snapshots: self.snapshots.clone(),
                    blind: self.blind.clone(),
                    resource: None,
                    told_at: None,
                };
                watch.follow(cancel)
            });
        }
    }
}
