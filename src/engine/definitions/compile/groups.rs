//! Concurrency groups: triggers of one group agree on its limit.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Problems;
use crate::engine::definitions::load::LoadedDocument;
use crate::engine::definitions::model::Trigger;
use crate::engine::definitions::schema::Finding;

const FIELD: &str = "spec.policy.concurrency.limit";

/// Takes out the triggers of groups that disagree on their limit, and names each.
pub(super) fn check(triggers: &mut Vec<(&LoadedDocument, Arc<Trigger>)>, problems: &mut Problems) {
    let mut groups: BTreeMap<String, Vec<(&LoadedDocument, u32)>> = BTreeMap::new();
    for (document, trigger) in triggers.iter() {
        if let Some(concurrency) = &trigger.concurrency {
            groups.entry(concurrency.group.clone()).or_default().push((document, concurrency.limit));
        }
    }
    groups.retain(|_, members| members.iter().any(|(_, limit)| *limit != members[0].1));
    for (group, members) in &groups {
        for (document, limit) in members {
            let Some((other, theirs)) = members.iter().find(|(_, theirs)| theirs != limit) else { continue };
            let place = other.place(FIELD);
            let message = format!(
                "the group {group} has the limit {limit} here and {theirs} in {} at {place}: they must agree",
                other.title()
            );
            problems.found(document, vec![Finding::value(FIELD, message)]);
        }
    }
    let disagrees = |trigger: &Trigger| {
        trigger.concurrency.as_ref().is_some_and(|concurrency| groups.contains_key(&concurrency.group))
    };
    triggers.retain(|(_, trigger)| !disagrees(trigger));
}

/// The limit of each group.
pub(super) fn limits(triggers: &[Arc<Trigger>]) -> BTreeMap<String, u32> {
    let of = |trigger: &Arc<Trigger>| {
        trigger.concurrency.as_ref().map(|concurrency| (concurrency.group.clone(), concurrency.limit))
    };
    triggers.iter().filter_map(of).collect()
}
