//! What of the cluster is watched, and what of it is not seen, with the reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

use crate::engine::definitions::{Snapshot, Trigger};
use crate::engine::event::Ingress;
use crate::engine::watch::Kind;
use crate::sources::trouble::Troubles;

/// A kind in a namespace, or in all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Watched {
    pub(super) kind: Kind,
    pub(super) namespace: Option<String>,
}

/// What is not seen. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Blind {
    /// The only namespaces that are served; empty for all.
    namespaces: Arc<[String]>,
    troubles: Troubles<Watched>,
}

impl Blind {
    /// Of a server of these namespaces, or of all where there are none; nothing is known yet.
    pub fn new(namespaces: &[String]) -> Self {
        Self { namespaces: namespaces.into(), troubles: Troubles::new() }
    }

    /// Everything that is wrong, each as a sentence.
    pub fn told(&self) -> watch::Receiver<Vec<String>> {
        self.troubles.told()
    }

    /// What this trigger does not see.
    pub fn of(&self, trigger: &Trigger) -> Vec<String> {
        let mut wanted = BTreeSet::new();
        let mut sentences = BTreeSet::new();
        for watched in trigger.watched() {
            let reached = |namespace: &String| watched.reaches(namespace);
            if !self.namespaces.is_empty() && !self.namespaces.iter().any(reached) {
                let served = self.namespaces.join(", ");
                sentences.insert(format!("{}: the server serves only namespace {served}", watched.title()));
            }
            let kind = watched.kind();
            wanted.extend(self.scopes(&kind).filter(|scope| scope.namespace.as_ref().is_none_or(reached)));
        }
        let mut told = self.troubles.of(&wanted, false);
        told.extend(sentences);
        told
    }

    /// What all triggers want.
    pub(super) fn all_of(&self, snapshot: &Snapshot) -> BTreeSet<Watched> {
        // A broken trigger may still say an older version: of each kind only one is watched.
        let triggers = snapshot.triggers.iter();
        let (sound, broken): (Vec<_>, Vec<_>) = triggers.partition(|trigger| trigger.broken.is_none());
        let mut kinds: BTreeMap<Ingress, Kind> = BTreeMap::new();
        for watched in sound.into_iter().chain(broken).flat_map(|trigger| trigger.watched()) {
            let kind = watched.kind().into_owned();
            kinds.entry(kind.ingress()).or_insert(kind);
        }
        kinds.values().flat_map(|kind| self.scopes(kind)).collect()
    }

    fn scopes<'a>(&'a self, kind: &'a Kind) -> impl Iterator<Item = Watched> + 'a {
        let everywhere = self.namespaces.is_empty().then(|| Watched { kind: kind.clone(), namespace: None });
        let here =
            move |namespace: &String| Watched { kind: kind.clone(), namespace: Some(namespace.clone()) };
        everywhere.into_iter().chain(self.namespaces.iter().map(here))
    }

    /// Nothing is seen, or again what each says for itself.
    pub(super) fn all(&self, why: Option<String>) {
        self.troubles.all(why);
    }

    /// One thing is not seen, or is; whether that is new.
    pub(super) fn one(&self, watched: &Watched, why: Option<String>) -> bool {
        self.troubles.one(watched, why)
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} of namespace {namespace}", self.kind.title()),
            None => write!(f, "{} of all namespaces", self.kind.title()),
        }
    }
}
