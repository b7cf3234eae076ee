//! How many triggers of an ingress may ask for `changed`: each writes a record with every event.

use std::collections::{BTreeMap, BTreeSet};

use super::together::Listed;
use crate::engine::definitions::schema::Finding;
use crate::engine::event::Ingress;

/// Well within what one commit takes.
const MOST: usize = 500;

/// Of them the resources of one namespace.
const MOST_OF_ONE: usize = 100;

/// The triggers that are too many at an ingress, those that go last.
pub(super) fn wrong(triggers: &[Listed<'_>]) -> Vec<(usize, Finding)> {
    // All, and those of resources by their namespace.
    let mut watching: BTreeMap<(&Ingress, Option<&str>), usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (at, (document, trigger)) in triggers.iter().enumerate().filter(|(_, (_, trigger))| trigger.watches())
    {
        let doors: BTreeSet<&Ingress> = trigger.sources.iter().map(|source| &source.ingress).collect();
        let tenant = document.namespace();
        let many = |door, of: Option<&str>| watching.get(&(door, of)).copied().unwrap_or_default();
        let full = doors.iter().copied().find_map(|door| {
            if many(door, None) >= MOST {
                return Some(format!("{MOST} triggers of {} do so already: no more may", door.title()));
            }
            let tenant = tenant.filter(|tenant| many(door, Some(tenant)) >= MOST_OF_ONE)?;
            let door = door.title();
            Some(format!("{MOST_OF_ONE} triggers of {door} in namespace {tenant} do so already: no more may"))
        });
        if let Some(why) = full {
            wrong.push((at, Finding::value("spec.match", format!("asks for changed, and {why}"))));
            continue;
        }
        for door in doors {
            *watching.entry((door, None)).or_default() += 1;
            if tenant.is_some() {
                *watching.entry((door, tenant)).or_default() += 1;
            }
        }
    }
    wrong
}
