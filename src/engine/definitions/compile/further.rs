//! What else is wrong with documents that are bad already; see [`super::super::partial`].

use std::collections::{BTreeMap, BTreeSet};

use super::together::Aside;
use super::trigger::World;
use super::{Problems, besides, beyond, names, trigger, webhook};
use crate::engine::definitions::config::DocumentConfig;
use crate::engine::definitions::load::{Loaded, LoadedDocument, Partial};
use crate::engine::definitions::model::Secrets;
use crate::engine::definitions::partial::{Faults, NO_FAULTS};
use crate::engine::definitions::schema::{Finding, KINDS};
use crate::engine::ids::ObjectName;

/// A document that is bad already, by its name or by fields that could not be read.
pub(super) struct Bad<'a> {
    pub(super) document: &'a LoadedDocument,
    pub(super) faults: &'a Faults,
    /// Whether who speaks of it by its name can mean no other, of all that are written of its kind.
    pub(super) is_one: bool,
    /// What is wrong with its name, if that was not told.
    of_name: Vec<Finding>,
}

/// All of them.
pub(super) fn bad<'a>(loaded: &'a Loaded, misnamed: &[&'a LoadedDocument]) -> Vec<Bad<'a>> {
    if misnamed.is_empty() && loaded.partial.is_empty() {
        return Vec::new();
    }
    let name = |document: &LoadedDocument| (document.kind(), document.object(&loaded.namespace));
    let mut named: BTreeMap<(&str, ObjectName), Vec<&LoadedDocument>> = BTreeMap::new();
    let partial = loaded.partial.iter().filter(|partial| !partial.again);
    for document in loaded.documents.iter().chain(partial.map(|partial| &partial.rest)) {
        named.entry(name(document)).or_default().push(document);
    }
    let other = |document: &LoadedDocument| {
        named[&name(document)].iter().copied().find(|other| !std::ptr::eq(*other, document))
    };
    let is_one = |document: &LoadedDocument| !document.name().is_empty() && other(document).is_none();
    let by_name = misnamed.iter().map(|document| Bad {
        document,
        faults: &NO_FAULTS,
        is_one: is_one(document),
        of_name: Vec::new(),
    });
    let by_schema = loaded.partial.iter().map(|partial| {
        let document = &partial.rest;
        if partial.again {
            return Bad { document, faults: &partial.faults, is_one: false, of_name: Vec::new() };
        }
        let of_name = names::further(document, other(document), loaded);
        Bad { document, faults: &partial.faults, is_one: is_one(document), of_name }
    });
    by_name.chain(by_schema).collect()
}

/// The kinds of which there may be more in a namespace than could be read with their names.
pub(super) fn unnamed(loaded: &Loaded) -> BTreeSet<(&str, &'static str)> {
    let own = &*loaded.namespace;
    let partial = loaded.partial.iter().filter(|partial| !partial.faults.knows("metadata.name"));
    let mut unnamed: BTreeSet<(&str, &'static str)> =
        partial.map(|Partial { rest, .. }| (rest.namespace().unwrap_or(own), rest.kind())).collect();
    if !loaded.unreadable.is_empty() {
        unnamed.extend(KINDS.map(|kind| (own, kind)));
    }
    unnamed
}

/// What of `findings` is no consequence of what could not be read.
pub(super) fn new(mut findings: Vec<Finding>, faults: &Faults) -> Vec<Finding> {
    let is_sure = |field: &str, by: &[String]| by.iter().all(|by| faults.holds_by(field, by));
    findings.retain(|Finding { field, by, .. }| faults.reads(field) && is_sure(field, by));
    findings
}

/// Looks at the Webhooks and triggers among them, and hands over the triggers that can be told from all others; the
/// templates are looked at with the others, since triggers speak of them.
pub(super) fn check<'a>(bad: &[Bad<'a>], world: &World<'_>, problems: &mut Problems) -> Vec<Aside<'a>> {
    let mut aside = Vec::new();
    for Bad { document, faults, is_one, of_name } in bad {
        problems.found(document, new(of_name.clone(), faults));
        let (name, tenant) = (document.object(world.own), world.tenants.of(document));
        let found = match &document.config {
            // Their secrets were not looked up, and are no problem of a definition.
            DocumentConfig::Webhook(config) => {
                let made = webhook::compile(name, world.own, &config.spec, &Secrets::default());
                besides(beyond::webhook(tenant, &config.spec), made).err().unwrap_or_default()
            }
            DocumentConfig::Trigger(config) => {
                let (made, findings) = trigger(document, &config.spec, world, problems);
                if *is_one {
                    aside.push(Aside { listed: (*document, made), faults });
                }
                findings
            }
            DocumentConfig::JobTemplate(_) => Vec::new(),
        };
        problems.found(document, new(found, faults));
    }
    aside
}
