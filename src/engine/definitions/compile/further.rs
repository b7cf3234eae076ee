//! What else is wrong with documents that are bad already; see [`partial`].

use super::trigger::World;
use super::{Problems, besides, beyond, trigger, webhook};
use crate::engine::definitions::config::DocumentConfig;
use crate::engine::definitions::load::{Loaded, LoadedDocument};
use crate::engine::definitions::model::Secrets;
use crate::engine::definitions::partial;
use crate::engine::definitions::schema::Finding;

/// A document that is bad already, by its name or by fields that could not be read.
pub(super) struct Bad<'a> {
    pub(super) document: &'a LoadedDocument,
    /// The fields that could not be read.
    pub(super) faults: &'a [String],
}

/// All of them.
pub(super) fn bad<'a>(loaded: &'a Loaded, misnamed: &[&'a LoadedDocument]) -> Vec<Bad<'a>> {
    let by_name = misnamed.iter().map(|document| Bad { document, faults: &[] });
    let by_schema =
        loaded.partial.iter().map(|partial| Bad { document: &partial.rest, faults: &partial.faults });
    by_name.chain(by_schema).collect()
}

/// What of `findings` is no consequence of what could not be read.
pub(super) fn new(mut findings: Vec<Finding>, faults: &[String]) -> Vec<Finding> {
    let is_read = |field: &String| !faults.iter().any(|fault| partial::follows(field, fault));
    findings.retain(|finding| std::iter::once(&finding.field).chain(&finding.by).all(is_read));
    findings
}

/// Looks at the Webhooks and triggers among them; the templates are looked at with the others, since triggers speak of
/// them.
pub(super) fn check(bad: &[Bad<'_>], world: &World<'_>, problems: &mut Problems) {
    for Bad { document, faults } in bad {
        let (name, tenant) = (document.object(world.own), world.tenants.of(document));
        let found = match &document.config {
            // Their secrets were not looked up, and are no problem of a definition.
            DocumentConfig::Webhook(config) => {
                let made = webhook::compile(name, world.own, &config.spec, &Secrets::default());
                besides(beyond::webhook(tenant, &config.spec), made).err()
            }
            DocumentConfig::Trigger(config) => trigger(document, &config.spec, world, problems).err(),
            DocumentConfig::JobTemplate(_) => None,
        };
        problems.found(document, new(found.unwrap_or_default(), faults));
    }
}
