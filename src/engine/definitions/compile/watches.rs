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

/// Of them the resources of one namespace.
const MOST_OF_ONE: usize = 100;

/// Takes out the triggers that are too many at an ingress, those that go last, and names each.
pub(super) fn check(triggers: &mut Vec<(&LoadedDocument, Arc<Trigger>)>, problems: &mut Problems) {
    // All, and those of resources by their namespace.
    let mut watching: BTreeMap<(Ingress, Option<String>), usize> = BTreeMap::new();
    triggers.retain(|(document, trigger)| {
        if !trigger.watches() {
            return true;
        }
        let doors: BTreeSet<&Ingress> = trigger.sources.iter().map(|source| &source.ingress).collect();
        let tenant = document.namespace().map(str::to_owned);
        let many = |door: &Ingress, of: Option<&String>| {
            watching.get(&(door.clone(), of.cloned())).copied().unwrap_or_default()
        };
        let full = doors.iter().copied().find_map(|door| {
            if many(door, None) >= MOST {
                return Some(format!("{MOST} triggers of {} do so already: no more may", door.title()));
            }
            let tenant = tenant.as_ref().filter(|tenant| many(door, Some(*tenant)) >= MOST_OF_ONE)?;
            let door = door.title();
            Some(format!("{MOST_OF_ONE} triggers of {door} in namespace {tenant} do so already: no more may"))
        });
        if let Some(why) = full {
            let message = format!("asks for changed, and {why}");
            problems.found(document, vec![Finding::value("spec.match", message)]);
            return false;
        }
        for door in doors {
            *watching.entry((door.clone(), None)).or_default() += 1;
            if tenant.is_some() {
                *watching.entry((door.clone(), tenant.clone())).or_default() += 1;
            }
        }
        true
    });
}
