//! Documents to a snapshot: cross-references, hashes, reuse of what did not change.
//!
//! Owns what documents say of each other. What one refers to is compiled first, so a problem is
//! told once where it is and once where it hurts. A bad definition never stops the good ones, and
//! one that was good before is not forgotten: its trigger decides `invalid`, its webhook answers 503.

mod beyond;
mod chains;
mod further;
mod gate;
mod groups;
mod happening;
mod kubernetes;
mod legs;
mod names;
mod nats;
mod patterns;
mod policy;
mod precedence;
mod sources;
mod template;
mod templates;
mod together;
mod trigger;
mod unread;
mod versions;
mod watches;
mod webhook;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::clause::Source;
use super::config::{DocumentConfig, SecretSource, TriggerSpec};
use super::index::Index;
use super::load::{Loaded, LoadedDocument};
use super::model::{Secrets, Snapshot, Trigger, Webhook, resource_title, titles};
use super::partial::NO_FAULTS;
use super::problem::{Problem, cut};
use super::schema::Finding;
use crate::engine::ids::{ObjectName, h_hex};
use crate::engine::rules::Rule;
use together::{Aside, Listed};
use trigger::World;
use versions::Watched;

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
    fn found(&mut self, document: &LoadedDocument, mut findings: Vec<Finding>) -> bool {
        let mut told = BTreeSet::new();
        findings.retain(|finding| told.insert(finding.clone()));
        let any = !findings.is_empty();
        if document.document.resource {
            cut(&mut findings, |message| Finding::value("", message));
        }
        for finding in findings {
            self.add(document.problem(finding));
        }
        any
    }

    /// The first problem of a definition, as `field: message`; `own` is the namespace of files.
    fn of(&self, kind: &str, name: &ObjectName, own: &str) -> Option<&str> {
        titles(kind, name, own).find_map(|title| self.first.get(&title)).map(String::as_str)
    }
}

/// Where the secrets of all webhooks come from, for the shell to resolve. A resource has no way to those of the
/// server, and nobody is asked for what no Secret can be called.
pub fn secret_sources(loaded: &Loaded) -> BTreeSet<SecretSource> {
    let of = |document: &LoadedDocument| {
        let DocumentConfig::Webhook(webhook) = &document.config else { return Vec::new() };
        let namespace = document.namespace().unwrap_or(&loaded.namespace);
        let may = |source: &&SecretSource| match source {
            SecretSource::SecretKeyRef(named) => webhook::is_named(named),
            SecretSource::Env(_) | SecretSource::File(_) => !document.document.resource,
        };
        webhook.spec.secrets.iter().filter(may).map(|source| source.within(namespace)).collect()
    };
    loaded.documents.iter().flat_map(of).collect()
}

/// Namespaces whose labels decide whether their triggers may listen to a Webhook, for the shell to ask for.
pub fn labelled_namespaces(loaded: &Loaded) -> BTreeSet<String> {
    let selects = |document: &LoadedDocument| match &document.config {
        DocumentConfig::Webhook(webhook) => {
            webhook.spec.allowed_namespaces.as_ref().is_some_and(|it| it.selector.is_some())
        }
        _ => false,
    };
    if !loaded.documents.iter().any(selects) {
        return BTreeSet::new();
    }
    let namespace = |document: &LoadedDocument| document.namespace().unwrap_or(&loaded.namespace).to_owned();
    let triggers = loaded.documents.iter().filter(|it| matches!(it.config, DocumentConfig::Trigger(_)));
    triggers.map(namespace).collect()
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
    let bad = further::bad(loaded, &misnamed);
    let templates = templates::templates(&usable, &bad, loaded, previous, &mut problems);
    let world = World {
        own: &loaded.namespace,
        webhooks: &webhooks,
        providers: &webhook::providers(&usable, &bad, loaded),
        triggers: &chains::names(loaded),
        unnamed: &further::unnamed(loaded),
        templates: &templates,
        tenants: &loaded.tenants,
        previous,
    };
    let (mut triggers, mut aside) = triggers(&usable, &world, &mut problems);
    aside.extend(further::check(&bad, &world, &mut problems));
    let mut held = patterns::Held::default();
    aside.retain(|Aside { listed: (document, made), .. }| {
        held.take(document, patterns::of_trigger(made)).is_ok()
    });
    precedence::sort(&mut triggers, previous);
    together::check(&mut triggers, aside, &mut problems);
    let mut watched = Watched::by(&triggers);
    let mut compiled: Vec<Arc<Trigger>> = triggers.into_iter().map(|(_, trigger)| trigger).collect();
    let broken = broken(loaded, previous, &problems, &compiled, &mut watched);
    compiled.extend(broken);
    let unread = unread::of(loaded, &problems, &compiled, &mut watched);
    compiled.sort_by(|a, b| a.name.cmp(&b.name));
    problems.all.sort();
    // What is read again has the same problems again.
    problems.all.dedup();
    let position = |(at, trigger): (usize, &Arc<Trigger>)| (trigger.name.clone(), at);
    Arc::new(Snapshot {
        revision: revision(loaded),
        documents: loaded.documents.iter().map(|loaded| loaded.document.clone()).collect(),
        files: files(loaded, previous, &webhooks, &compiled),
        templates: templates
            .iter()
            .filter(|(_, known)| known.sound)
            .map(|(name, known)| (name.clone(), Arc::clone(&known.compiled)))
            .collect(),
        trigger_positions: compiled.iter().enumerate().map(position).collect(),
        index: Index::build(&compiled),
        group_limits: groups::limits(&compiled),
        webhooks,
        triggers: compiled,
        problems: problems.all,
        unread,
    })
}

/// Where each definition that is kept stands, or stood last.
fn files(
    loaded: &Loaded,
    previous: Option<&Snapshot>,
    webhooks: &BTreeMap<ObjectName, Arc<Webhook>>,
    triggers: &[Arc<Trigger>],
) -> BTreeMap<String, String> {
    let own = &loaded.namespace;
    let kept: BTreeSet<String> = webhooks
        .keys()
        .flat_map(|name| titles("Webhook", name, own))
        .chain(triggers.iter().flat_map(|trigger| titles("Trigger", &trigger.name, own)))
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
) -> BTreeMap<ObjectName, Arc<Webhook>> {
    let mut webhooks = BTreeMap::new();
    for document in usable {
        let DocumentConfig::Webhook(config) = &document.config else { continue };
        let name = document.object(&loaded.namespace);
        let beyond = beyond::webhook(loaded.tenants.of(document), &config.spec);
        match besides(beyond, webhook::compile(name.clone(), &loaded.namespace, &config.spec, secrets)) {
            Ok(compiled) => {
                webhooks.insert(name, Arc::new(compiled));
            }
            Err(findings) => {
                problems.found(document, findings);
            }
        }
    }
    for old in previous.into_iter().flat_map(|previous| previous.webhooks.values()) {
        let name = &old.name;
        if webhooks.contains_key(name) {
            continue;
        }
        if let Some(reason) = gone_bad("Webhook", name, loaded, previous, problems) {
            webhooks.insert(name.clone(), Arc::new(webhook::out_of_order(old, &reason)));
        }
    }
    webhooks
}

/// What was made, unless something else is wrong too.
fn besides<T>(mut findings: Vec<Finding>, made: Result<T, Vec<Finding>>) -> Result<T, Vec<Finding>> {
    match made {
        Ok(made) if findings.is_empty() => Ok(made),
        Ok(_) => Err(findings),
        Err(more) => {
            findings.extend(more);
            Err(findings)
        }
    }
}

/// The good ones in their order, and those with problems.
fn triggers<'a>(
    usable: &[&'a LoadedDocument],
    world: &World<'_>,
    problems: &mut Problems,
) -> (Vec<Listed<'a>>, Vec<Aside<'a>>) {
    let (mut triggers, mut aside, mut held) = (Vec::new(), Vec::new(), patterns::Held::default());
    for document in precedence::ordered(usable, world.previous) {
        let DocumentConfig::Trigger(config) = &document.config else { continue };
        let (made, mut findings) = trigger(document, &config.spec, world, problems);
        if findings.is_empty() {
            findings.extend(held.take(document, patterns::of_trigger(&made)).err().into_iter().flatten());
        }
        let listed = (document, made);
        if problems.found(document, findings) {
            aside.push(Aside { listed, faults: &NO_FAULTS });
        } else {
            triggers.push(listed);
        }
    }
    (triggers, aside)
}

/// A trigger of a document, and all that is wrong with it. What it may do is looked at also where it was compiled
/// before.
fn trigger(
    document: &LoadedDocument,
    spec: &TriggerSpec,
    world: &World<'_>,
    problems: &Problems,
) -> (Arc<Trigger>, Vec<Finding>) {
    let name = document.object(world.own);
    let tenant = world.tenants.of(document);
    let mut findings = beyond::trigger(tenant, &name, spec, world);
    let (made, wrong) = trigger::compile(name, &document.document.hash, spec, tenant, world, problems);
    findings.extend(wrong);
    (made, findings)
}

/// Why a definition that was there before is bad now; `None` where it was taken out.
fn gone_bad(
    kind: &str,
    name: &ObjectName,
    loaded: &Loaded,
    previous: Option<&Snapshot>,
    problems: &Problems,
) -> Option<String> {
    let own = &loaded.namespace;
    let unreadable = || {
        let file = titles(kind, name, own).find_map(|title| previous?.files.get(&title))?;
        loaded.unreadable.get(file).map(|reason| format!("{file}: {reason}"))
    };
    let reason = problems.of(kind, name, own).map(str::to_owned).or_else(unreadable)?;
    Some(format!("the definition has a problem: {reason}"))
}

/// Triggers that were good before and are bad now stay, and say so.
fn broken(
    loaded: &Loaded,
    previous: Option<&Snapshot>,
    problems: &Problems,
    good: &[Arc<Trigger>],
    watched: &mut Watched,
) -> Vec<Arc<Trigger>> {
    let good: BTreeSet<&ObjectName> = good.iter().map(|trigger| &trigger.name).collect();
    let before = previous.into_iter().flat_map(|previous| &previous.triggers);
    // Counted apart, so that those in force have their room.
    let mut held = patterns::Held::default();
    before
        .filter(|old| !good.contains(&old.name))
        .filter_map(|old| {
            let reason = gone_bad("Trigger", &old.name, loaded, previous, problems)?;
            let ObjectName { namespace, name } = &old.name;
            let title = resource_title("Trigger", namespace, name);
            let is_resource = previous.is_some_and(|previous| previous.files.contains_key(&title));
            let mut sources = watched.fitting(old, is_resource.then_some(namespace.as_str()));
            if is_resource {
                sources = held.fitting(namespace, sources);
            }
            Some(Arc::new(out_of_order(old, sources, reason)))
        })
        .collect()
}

/// A trigger that listens to `sources` as before and decides `invalid`.
fn out_of_order(old: &Trigger, sources: Vec<Source>, reason: String) -> Trigger {
    Trigger {
        name: old.name.clone(),
        hash: old.hash.clone(),
        suspend: old.suspend,
        sources,
        git: None,
        rule: Rule::default(),
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
