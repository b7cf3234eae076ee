//! Who goes first where something may be only so often: files, then resources that have it already, then what is new,
//! each in the order in which it was read.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::engine::definitions::load::LoadedDocument;
use crate::engine::definitions::model::{Snapshot, Trigger};
use crate::engine::event::Ingress;

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    File,
    InForce,
    New,
}

/// Sorts triggers so that those before others in this list go before them. What was not in force in `previous`, or
/// takes more than it did there, is new.
pub(super) fn sort(triggers: &mut [(&LoadedDocument, Arc<Trigger>)], previous: Option<&Snapshot>) {
    triggers.sort_by_cached_key(|(document, trigger)| rank(document, trigger, previous));
}

fn rank(document: &LoadedDocument, trigger: &Trigger, previous: Option<&Snapshot>) -> Rank {
    if !document.document.resource {
        return Rank::File;
    }
    let old = previous.and_then(|previous| previous.trigger(&trigger.name));
    let old = old.filter(|old| old.broken.is_none());
    let has = |old: &Arc<Trigger>| old.hash == trigger.hash || taken(trigger).is_subset(&taken(old));
    if old.is_some_and(has) { Rank::InForce } else { Rank::New }
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
