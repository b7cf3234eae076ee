//! How many triggers of a webhook may ask for `changed`: each writes a record with every event.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Problems;
use crate::engine::definitions::load::LoadedDocument;
use crate::engine::definitions::model::Trigger;
use crate::engine::definitions::schema::Finding;
use crate::engine::ids::ObjectName;

/// Well within what one commit takes.
const MOST: usize = 500;

/// Takes out the triggers that are too many at a webhook, the later files' first, and names each.
pub(super) fn check(triggers: &mut Vec<(&LoadedDocument, Arc<Trigger>)>, problems: &mut Problems) {
    let mut watching: BTreeMap<ObjectName, usize> = BTreeMap::new();
    triggers.retain(|(document, trigger)| {
        if !trigger.watches() {
            return true;
        }
        let webhooks: BTreeSet<&ObjectName> = trigger.sources.iter().map(|source| &source.webhook).collect();
        let full = webhooks.iter().find(|webhook| watching.get(**webhook).is_some_and(|many| *many >= MOST));
        if let Some(webhook) = full {
            let message = format!(
                "asks for changed, and {MOST} triggers of Webhook/{} do so already: no more may",
                webhook.name
            );
            problems.found(document, vec![Finding::value("spec.match", message)]);
            return false;
        }
        for webhook in webhooks {
            *watching.entry(webhook.clone()).or_default() += 1;
        }
        true
    });
}
