//! What is watched of a cluster, and by whom. One version of each kind: marks and events of an object are the same in
//! whichever version it is read, so two watches of one kind would tell its changes twice. And bounds on how many kinds
//! are watched, and on what the mark of an object holds.

use std::collections::{BTreeMap, BTreeSet};

use super::together::Listed;
use crate::engine::definitions::clause::{Clause, KubernetesSource, Source};
use crate::engine::definitions::model::Trigger;
use crate::engine::definitions::schema::Finding;
use crate::engine::event::Ingress;
use crate::engine::ids::ObjectName;

/// Most kinds: each is a watch of its own, in each namespace that is served.
const MOST_KINDS: usize = 200;
/// Most clauses of a kind that are told by themselves: each is a part of the mark of each object.
const MOST_CLAUSES: usize = 100;
/// Most kinds for the resources of one namespace, and most such clauses of a kind.
const MOST_OF_ONE: usize = 20;

/// What is watched so far.
#[derive(Debug, Default)]
pub(super) struct Watched {
    kinds: BTreeMap<Ingress, OfKind>,
    /// Kinds that resources watch, by their namespace.
    of: BTreeMap<String, BTreeSet<Ingress>>,
}

/// What is watched of a kind.
#[derive(Debug, Clone)]
struct OfKind {
    version: String,
    /// The trigger that chose the version.
    first: ObjectName,
    clauses: BTreeSet<String>,
    /// Those of resources, by their namespace.
    of: BTreeMap<String, BTreeSet<String>>,
}

/// The triggers that watch a kind in another version than one before them does, or more than may be watched.
pub(super) fn wrong(triggers: &[Listed<'_>]) -> Vec<(usize, Finding)> {
    let mut watched = Watched::default();
    let of = |(at, (document, trigger)): (usize, &Listed<'_>)| {
        let wrong = watched.take(trigger, document.namespace()).into_iter();
        wrong.map(|message| (at, Finding::value("spec.sources", message))).collect::<Vec<_>>()
    };
    triggers.iter().enumerate().flat_map(of).collect()
}

impl Watched {
    /// What these triggers watch, all of which may.
    pub(super) fn by(triggers: &[Listed<'_>]) -> Self {
        let mut watched = Self::default();
        for (document, trigger) in triggers {
            watched.take(trigger, document.namespace());
        }
        watched
    }

    /// What a trigger that is out of order still listens to: what it watches only where that may be; `tenant` is the
    /// namespace of a resource.
    pub(super) fn fitting(&mut self, trigger: &Trigger, tenant: Option<&str>) -> Vec<Source> {
        let fits = self.take(trigger, tenant).is_empty();
        let stays = |source: &&Source| fits || !matches!(source.clause, Clause::Kubernetes(_));
        trigger.sources.iter().filter(stays).cloned().collect()
    }

    /// Whether what is known of a kind is within what the resources of a namespace may watch; it counts from then on.
    pub(super) fn may_keep(&mut self, kind: &Ingress, tenant: &str) -> bool {
        let own = self.of.entry(tenant.to_owned()).or_default();
        let room = own.contains(kind) || own.len() < MOST_OF_ONE;
        if room {
            own.insert(kind.clone());
        }
        room
    }

    /// Takes in all that a trigger watches, or nothing and says why.
    fn take(&mut self, trigger: &Trigger, tenant: Option<&str>) -> BTreeSet<String> {
        let mut own: BTreeMap<Ingress, OfKind> = BTreeMap::new();
        let mut wrong = BTreeSet::new();
        for source in trigger.kubernetes() {
            let ingress = source.kind.ingress();
            let known = self.kinds.get(&ingress);
            let of_kind = own.entry(ingress).or_insert_with(|| match known {
                Some(known) => known.clone(),
                None => OfKind::new(source, &trigger.name),
            });
            wrong.extend(of_kind.take(source, &trigger.name, tenant));
        }
        let new = own.keys().filter(|kind| !self.kinds.contains_key(*kind)).count();
        if new > 0 && self.kinds.len() + new > MOST_KINDS {
            wrong.insert(format!("{MOST_KINDS} kinds may be watched in all, and these are too many"));
        }
        if let Some(tenant) = tenant {
            let all: BTreeSet<&Ingress> =
                self.of.get(tenant).into_iter().flatten().chain(own.keys()).collect();
            if all.len() > MOST_OF_ONE {
                let message = format!(
                    "resources of namespace {tenant} may watch {MOST_OF_ONE} kinds, and with these watch {}",
                    all.len()
                );
                wrong.insert(message);
            }
        }
        if wrong.is_empty() {
            if let Some(tenant) = tenant.filter(|_| !own.is_empty()) {
                self.of.entry(tenant.to_owned()).or_default().extend(own.keys().cloned());
            }
            self.kinds.extend(own);
        }
        wrong
    }
}

impl OfKind {
    fn new(source: &KubernetesSource, trigger: &ObjectName) -> Self {
        let (version, first) = (source.kind.api_version(), trigger.clone());
        Self { version, first, clauses: BTreeSet::new(), of: BTreeMap::new() }
    }

    /// Takes in a clause; what is wrong with that.
    fn take(&mut self, source: &KubernetesSource, trigger: &ObjectName, tenant: Option<&str>) -> Vec<String> {
        let (kinds, mut wrong) = (source.kind.title(), Vec::new());
        if self.version != source.kind.api_version() {
            // Of what is in other namespaces no more is told.
            let who = if self.first.namespace == trigger.namespace {
                format!("trigger {}", self.first.name)
            } else {
                "one of another namespace".to_owned()
            };
            wrong.push(format!("{kinds} are watched in one version, and {who} says {}", self.version));
        }
        let bound = source.wants().iter().filter(|want| !want.is_shared());
        let bound: Vec<String> = bound.map(|want| want.key().to_owned()).collect();
        let watched = format!("{kinds} are watched for");
        let full = "conditions, fields and values of oncePer already: no more may be";
        if let Some(tenant) = tenant {
            let own = self.of.entry(tenant.to_owned()).or_default();
            own.extend(bound.iter().cloned());
            if own.len() > MOST_OF_ONE {
                wrong.push(format!("of resources of namespace {tenant} {watched} {MOST_OF_ONE} {full}"));
            }
        }
        self.clauses.extend(bound);
        if self.clauses.len() > MOST_CLAUSES {
            wrong.push(format!("{watched} {MOST_CLAUSES} {full}"));
        }
        wrong
    }
}
