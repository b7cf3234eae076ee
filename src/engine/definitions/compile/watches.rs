//! How many triggers of an ingress may ask for `changed`: each writes a record with every event.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Problems;
use crate::engine::definitions::load::LoadedDocument;
use crate::engine::definitions::model::Trigger;
use crate::engine::definitions::schema::Finding;
use crate::engine::event::Ingress;

/// Well within what one commit takes.
const MOST: usize = 500;

/// Takes out the triggers that are too many at an ingress, the later files' first, and names each.
pub(super) fn check(triggers: &mut Vec<(&LoadedDocument, Arc<Trigger>)>, problems: &mut Problems) {
    let mut watching: BTreeMap<Ingress, usize> = BTreeMap::new();
    triggers.retain(|(document, trigger)| {
        if !trigger.watches() {
            return true;
        }
        let doors: BTreeSet<&Ingress> = trigger.sources.iter().map(|source| &source.ingress).collect();
        let full = doors.iter().find(|door| watching.get(**door).is_some_and(|many| *many >= MOST));
        if let Some(door) = full {
            let message = format!(
                "asks for changed, and {MOST} triggers of {} do so already: no more may",
                door.title()
            );
            problems.found(document, vec![Finding::value("spec.match", message)]);
            return false;
        }
        for door in doors {
            *watching.entry(door.clone()).or_default() += 1;
        }
        true
    });
}
