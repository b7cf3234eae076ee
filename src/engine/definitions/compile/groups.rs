//! Concurrency groups: triggers of one group agree on its limit.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::together::Listed;
use crate::engine::definitions::model::Trigger;
use crate::engine::definitions::schema::Finding;

const FIELD: &str = "spec.policy.concurrency.limit";

/// The triggers of groups that disagree on their limit.
pub(super) fn wrong(triggers: &[Listed<'_>]) -> Vec<(usize, Finding)> {
    let mut groups: BTreeMap<&str, Vec<(usize, u32)>> = BTreeMap::new();
    for (at, (_, trigger)) in triggers.iter().enumerate() {
        if let Some(concurrency) = &trigger.concurrency {
            groups.entry(&concurrency.group).or_default().push((at, concurrency.limit));
        }
    }
    let mut wrong = Vec::new();
    for (group, members) in groups {
        let first = members[0];
        let Some(second) = members.iter().copied().find(|(_, limit)| *limit != first.1) else { continue };
        for (at, limit) in members {
            let (other, theirs) = if limit == first.1 { second } else { first };
            let (other, _) = &triggers[other];
            let message = format!(
                "the group {group} has the limit {limit} here and {theirs} in {} at {}: they must agree",
                other.title(),
                other.place(FIELD)
            );
            wrong.push((at, Finding::value(FIELD, message)));
        }
    }
    wrong
}

/// The limit of each group.
pub(super) fn limits(triggers: &[Arc<Trigger>]) -> BTreeMap<String, u32> {
    let of = |trigger: &Arc<Trigger>| {
        trigger.concurrency.as_ref().map(|concurrency| (concurrency.group.clone(), concurrency.limit))
    };
    triggers.iter().filter_map(of).collect()
}
