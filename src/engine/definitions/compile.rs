//! Documents to a snapshot: cross-references, hashes, reuse of what did not change.
//!
//! Owns what documents say of each other. What one refers to is compiled first, so a problem is
//! told once where it is and once where it hurts. A bad definition never stops the good ones, and
//! one that was good before is not forgotten: its trigger decides `invalid`, its webhook answers 503.

mod chains;
mod gate;
mod groups;
mod happening;
mod kubernetes;
mod legs;
mod names;
mod nats;
mod sources;
mod template;
mod trigger;
mod versions;
mod watches;
mod webhook;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::config::{DocumentConfig, SecretSource};
use super::index::Index;
use super::load::{Loaded, LoadedDocument};
use super::model::{Secrets, Snapshot, Trigger, Webhook};
use super::partial;
use super::problem::Problem;
use super::schema::Finding;
use crate::engine::ids::{ObjectName, h_hex};
use crate::engine::rules::Rule;
use template::Template;
use trigger::World;

/// Problems found so far, with the first of each definition.
#[derive(Debug, Default)]
struct Problems {
    all: Vec<Problem>,
    first: BTreeMap<String, String>,
}

impl Problems {
    fn add(&mut self, problem: Problem) {
        if let Some(title) = &problem.definition {
            self.first.entry(title.clone()).or_insert_with(|| problem.text());
        }
        self.all.push(problem);
    }

    /// Adds what was found in `document`; whether it was anything.
    fn found(&mut self, document: &LoadedDocument, findings: Vec<Finding>) -> bool {
        let any = !findings.is_empty();
        for finding in findings {
            self.add(document.problem(finding));
        }
        any
    }

    /// The first problem of a definition, as `field: message`.
    fn of(&self, kind: &str, name: &str) -> Option<&str> {
        self.first.get(&format!("{kind}/{name}")).map(String::as_str)
    }
}

/// Where the secrets of all webhooks come from, for the shell to resolve.
pub fn secret_sources(loaded: &Loaded) -> BTreeSet<SecretSource> {
    let of = |document: &LoadedDocument| match &document.config {
        DocumentConfig::Webhook(webhook) => webhook.spec.secrets.clone(),
        _ => Vec::new(),
    };
    loaded.documents.iter().flat_map(of).collect()
}

/// Compiles what was loaded into a snapshot.
///
/// A bad definition never stops the good ones: its problems are in `Snapshot::problems`. A trigger
/// that was good in `previous` and is bad now stays, `broken`, and decides `invalid`. Triggers and
/// templates whose hash is in `previous` are reused, not compiled again.
pub fn compile(loaded: &Loaded, secrets: &Secrets, previous: Option<&Snapshot>) -> Arc<Snapshot> {
    let mut problems = Problems::default();
    for problem in &loaded.problems {
        problems.add(problem.clone());
    }
    let (usable, misnamed) = names::check(loaded, &mut problems);
    let webhooks = webhooks(&usable, loaded, secrets, previous, &mut problems);
    let templates = templates(&usable, loaded, previous, &mut problems);
    let world = World { namespace: &loaded.namespace, webhooks: &webhooks, templates: &templates, previous };
    let mut triggers = triggers(&usable, &world, &mut problems);
    further(loaded, &misnamed, &world, &mut problems);
    groups::check(&mut triggers, &mut problems);
    watches::check(&mut triggers, &mut problems);
    versions::check(&mut triggers, &mut problems);
    chains::check(&mut triggers, loaded, &mut problems);
    let mut compiled: Vec<Arc<Trigger>> = triggers.into_iter().map(|(_, trigger)| trigger).collect();
    compiled.extend(broken(loaded, previous, &problems, &compiled));
    compiled.sort_by(|a, b| a.name.cmp(&b.name));
    problems.all.sort();
    let object = |name: &String| ObjectName::new(&loaded.namespace, name);
    let position = |(at, trigger): (usize, &Arc<Trigger>)| (trigger.name.clone(), at);
    Arc::new(Snapshot {
        revision: revision(loaded),
        documents: loaded.documents.iter().map(|loaded| loaded.document.clone()).collect(),
        files: files(loaded, previous, &webhooks, &compiled),
        webhooks: webhooks.iter().map(|(name, webhook)| (object(name), Arc::clone(webhook))).collect(),
        templates: templates
            .iter()
            .map(|(name, known)| (object(name), Arc::clone(&known.compiled)))
            .collect(),
        trigger_positions: compiled.iter().enumerate().map(position).collect(),
        index: Index::build(&compiled),
        group_limits: groups::limits(&compiled),
        triggers: compiled,
        problems: problems.all,
    })
}

/// Where each definition that is kept stands, or stood last.
fn files(
    loaded: &Loaded,
    previous: Option<&Snapshot>,
    webhooks: &BTreeMap<String, Arc<Webhook>>,
    triggers: &[Arc<Trigger>],
) -> BTreeMap<String, String> {
    let kept: BTreeSet<String> = webhooks
        .keys()
        .map(|name| format!("Webhook/{name}"))
        .chain(triggers.iter().map(|trigger| format!("Trigger/{}", trigger.name.name)))
        .collect();
    let before = previous.into_iter().flat_map(|previous| previous.files.clone());
    let now = loaded.documents.iter().map(|loaded| (loaded.title(), loaded.document.file.clone()));
    before.chain(now).filter(|(title, _)| kept.contains(title)).collect()
}

fn revision(loaded: &Loaded) -> String {
    let hashes: BTreeSet<&[u8]> =
        loaded.documents.iter().map(|loaded| loaded.document.hash.as_bytes()).collect();
    h_hex("revision", &hashes.into_iter().collect::<Vec<_>>(), 32)
}

fn webhooks(
    usable: &[&LoadedDocument],
    loaded: &Loaded,
    secrets: &Secrets,
    previous: Option<&Snapshot>,
    problems: &mut Problems,
) -> BTreeMap<String, Arc<Webhook>> {
    let mut webhooks = BTreeMap::new();
    for document in usable {
        let DocumentConfig::Webhook(config) = &document.config else { continue };
        let name = ObjectName::new(&loaded.namespace, &config.metadata.name);
        match webhook::compile(name, &config.spec, secrets) {
            Ok(compiled) => {
                webhooks.insert(config.metadata.name.clone(), Arc::new(compiled));
            }
            Err(findings) => {
                problems.found(document, findings);
            }
        }
    }
    for old in previous.into_iter().flat_map(|previous| previous.webhooks.values()) {
        let name = &old.name.name;
        if webhooks.contains_key(name) {
            continue;
        }
        if let Some(reason) = gone_bad("Webhook", name, loaded, previous, problems) {
            webhooks.insert(name.clone(), Arc::new(webhook::out_of_order(old, &reason)));
        }
    }
    webhooks
}

fn templates<'a>(
    usable: &[&'a LoadedDocument],
    loaded: &Loaded,
    previous: Option<&Snapshot>,
    problems: &mut Problems,
) -> BTreeMap<String, Template<'a>> {
    let mut templates = BTreeMap::new();
    for document in usable {
        let DocumentConfig::JobTemplate(config) = &document.config else { continue };
        let name = ObjectName::new(&loaded.namespace, &config.metadata.name);
        let old = previous.and_then(|previous| previous.templates.get(&name));
        match template::compile(name, &document.document.hash, &config.spec, old) {
            Ok(compiled) => {
                templates.insert(config.metadata.name.clone(), Template { compiled, spec: &config.spec });
            }
            Err(findings) => {
                problems.found(document, findings);
            }
        }
    }
    templates
}

fn triggers<'a>(
    usable: &[&'a LoadedDocument],
    world: &World<'_>,
    problems: &mut Problems,
) -> Vec<(&'a LoadedDocument, Arc<Trigger>)> {
    let mut triggers = Vec::new();
    for document in usable {
        let DocumentConfig::Trigger(config) = &document.config else { continue };
        let name = ObjectName::new(world.namespace, &config.metadata.name);
        match trigger::compile(name, &document.document.hash, &config.spec, world, problems) {
            Ok(trigger) => triggers.push((*document, trigger)),
            Err(findings) => {
                problems.found(document, findings);
            }
        }
    }
    triggers
}

/// What else is wrong with documents that are bad already; see [`partial`].
fn further(loaded: &Loaded, misnamed: &[&LoadedDocument], world: &World<'_>, problems: &mut Problems) {
    let by_name = misnamed.iter().map(|document| (*document, &[][..]));
    let by_schema = loaded.partial.iter().map(|partial| (&partial.rest, partial.faults.as_slice()));
    for (document, faults) in by_name.chain(by_schema) {
        let hash = &document.document.hash;
        let name = ObjectName::new(world.namespace, document.name());
        let found = match &document.config {
            // Their secrets were not looked up, and are no problem of a definition.
            DocumentConfig::Webhook(config) => {
                webhook::compile(name, &config.spec, &Secrets::default()).err()
            }
            DocumentConfig::JobTemplate(config) => template::compile(name, hash, &config.spec, None).err(),
            DocumentConfig::Trigger(config) => {
                trigger::compile(name, hash, &config.spec, world, problems).err()
            }
        };
        let new = |finding: &Finding| !faults.iter().any(|fault| partial::follows(&finding.field, fault));
        problems.found(document, found.into_iter().flatten().filter(new).collect());
    }
}

/// Why a definition that was there before is bad now; `None` where it was taken out.
fn gone_bad(
    kind: &str,
    name: &str,
    loaded: &Loaded,
    previous: Option<&Snapshot>,
    problems: &Problems,
) -> Option<String> {
    let unreadable = || {
        let file = previous?.files.get(&format!("{kind}/{name}"))?;
        loaded.unreadable.get(file).map(|reason| format!("{file}: {reason}"))
    };
    let reason = problems.of(kind, name).map(str::to_owned).or_else(unreadable)?;
    Some(format!("the definition has a problem: {reason}"))
}

/// Triggers that were good before and are bad now stay, and say so.
fn broken(
    loaded: &Loaded,
    previous: Option<&Snapshot>,
    problems: &Problems,
    good: &[Arc<Trigger>],
) -> Vec<Arc<Trigger>> {
    let good: BTreeSet<&ObjectName> = good.iter().map(|trigger| &trigger.name).collect();
    let before = previous.into_iter().flat_map(|previous| &previous.triggers);
    before
        .filter(|old| !good.contains(&old.name))
        .filter_map(|old| {
            let reason = gone_bad("Trigger", &old.name.name, loaded, previous, problems)?;
            Some(Arc::new(out_of_order(old, reason)))
        })
        .collect()
}

/// A trigger that listens as before and decides `invalid`.
fn out_of_order(old: &Trigger, reason: String) -> Trigger {
    Trigger {
        name: old.name.clone(),
        hash: old.hash.clone(),
        suspend: old.suspend,
        sources: old.sources.clone(),
        git: None,
        rule: Rule::compile(&[]).expect("no rules always hold"),
        legs: Vec::new(),
        concurrency: None,
        debounce: None,
        gate: None,
        rate: None,
        priority: old.priority,
        series: None,
        broken: Some(reason),
    }
}
