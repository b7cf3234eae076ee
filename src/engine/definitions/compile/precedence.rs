//! Who goes first where not all may have what they ask for: files, then what is in force, of that what did not change,
//! then what is new, each in the order in which it was read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::engine::definitions::config::DocumentConfig;
use crate::engine::definitions::load::LoadedDocument;
use crate::engine::definitions::model::{Snapshot, Trigger};
use crate::engine::event::Ingress;
use crate::engine::ids::ObjectName;

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    File,
    Same,
    Changed,
    New,
}

/// Documents as they are to be compiled.
pub(super) fn ordered<'a>(
    documents: &[&'a LoadedDocument],
    previous: Option<&Snapshot>,
) -> Vec<&'a LoadedDocument> {
    let before = previous.into_iter().flat_map(|previous| &previous.documents).filter(|it| it.resource);
    let hashes: BTreeMap<String, &str> = before.map(|it| (it.title(), it.hash.as_str())).collect();
    let mut ordered = documents.to_vec();
    ordered.sort_by_cached_key(|document| {
        let Some(namespace) = document.namespace() else { return Rank::File };
        let name = ObjectName::new(namespace, document.name());
        let in_force = previous.is_some_and(|previous| match &document.config {
            DocumentConfig::JobTemplate(_) => previous.templates.contains_key(&name),
            DocumentConfig::Trigger(_) => in_force(&name, previous).is_some(),
            DocumentConfig::Webhook(_) => previous.webhooks.contains_key(&name),
        });
        let same = hashes.get(&document.title()).is_some_and(|hash| *hash == document.document.hash);
        match (in_force, same) {
            (true, true) => Rank::Same,
            (true, false) => Rank::Changed,
            (false, _) => Rank::New,
        }
    });
    ordered
}

/// Of triggers in that order, moves those that take more than they did in `previous` to those that are new.
pub(super) fn sort(triggers: &mut [(&LoadedDocument, Arc<Trigger>)], previous: Option<&Snapshot>) {
    triggers.sort_by_cached_key(|(document, it)| document.document.resource && takes_more(it, previous));
}

fn takes_more(trigger: &Trigger, previous: Option<&Snapshot>) -> bool {
    let old = previous.and_then(|previous| in_force(&trigger.name, previous));
    old.is_none_or(|old| old.hash != trigger.hash && !taken(trigger).is_subset(&taken(old)))
}

fn in_force<'a>(name: &ObjectName, previous: &'a Snapshot) -> Option<&'a Arc<Trigger>> {
    previous.trigger(name).filter(|old| old.broken.is_none())
}

/// What a trigger takes of what may be only so often: versions and clauses of kinds, and places at an ingress to ask
/// for `changed`.
fn taken(trigger: &Trigger) -> BTreeSet<(Ingress, String)> {
    let mut taken = BTreeSet::new();
    for source in trigger.kubernetes() {
        let ingress = source.kind.ingress();
        taken.insert((ingress.clone(), format!("version {}", source.kind.api_version())));
        let bound = source.wants().iter().filter(|want| !want.is_shared());
        taken.extend(bound.map(|want| (ingress.clone(), format!("clause {}", want.key()))));
    }
    if trigger.watches() {
        taken.extend(trigger.sources.iter().map(|source| (source.ingress.clone(), "changed".to_owned())));
    }
    taken
}
