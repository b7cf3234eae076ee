//! One version of each kind: marks and events of an object are the same in whichever version it is read, so two
//! watches of one kind would tell its changes twice.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Problems;
use crate::engine::definitions::load::LoadedDocument;
use crate::engine::definitions::model::Trigger;
use crate::engine::definitions::schema::Finding;
use crate::engine::event::Ingress;

/// Takes out the triggers that watch a kind in another version than one before them does.
pub(super) fn check(triggers: &mut Vec<(&LoadedDocument, Arc<Trigger>)>, problems: &mut Problems) {
    let mut versions: BTreeMap<Ingress, (String, String)> = BTreeMap::new();
    triggers.retain(|(document, trigger)| {
        let (mut own, mut findings) = (versions.clone(), Vec::new());
        for source in trigger.kubernetes() {
            let (version, first) = own
                .entry(source.kind.ingress())
                .or_insert_with(|| (source.kind.api_version(), trigger.name.name.clone()));
            if *version != source.kind.api_version() {
                let message = format!(
                    "{} are watched in one version, and trigger {first} says {version}",
                    source.kind.title()
                );
                findings.push(Finding::value("spec.sources", message));
            }
        }
        let bad = problems.found(document, findings);
        if !bad {
            versions = own;
        }
        !bad
    });
}
