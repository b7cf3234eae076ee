//! Triggers that listen to verdicts: whose, and that no chain of them goes in a circle.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::together::Listed;
use crate::engine::definitions::clause::Clause;
use crate::engine::definitions::config::{DocumentConfig, SourceConfig, VerdictSourceConfig};
use crate::engine::definitions::load::{Loaded, LoadedDocument};
use crate::engine::definitions::model::Trigger;
use crate::engine::definitions::problem::nearest;
use crate::engine::definitions::schema::Finding;

/// Of so many names of a clause it is looked what was meant.
const MOST_NEAR: usize = 20;

/// The triggers that listen to themselves over others.
pub(super) fn wrong(triggers: &[Listed<'_>]) -> Vec<(usize, Finding)> {
    // They listen to others of their namespace alone.
    let mut namespaces: BTreeMap<&str, BTreeMap<&str, Vec<&str>>> = BTreeMap::new();
    for (document, trigger) in triggers {
        let causes = namespaces.entry(&trigger.name.namespace).or_default();
        causes.insert(document.name(), listens_to(trigger));
    }
    let tangled: BTreeMap<&str, BTreeSet<&str>> =
        namespaces.iter().map(|(namespace, causes)| (*namespace, tangled(causes))).collect();
    let mut wrong = Vec::new();
    for (at, (document, trigger)) in triggers.iter().enumerate() {
        let namespace = &*trigger.name.namespace;
        for cause in listens_to(trigger) {
            let circle = circle(document.name(), cause, &namespaces[namespace], &tangled[namespace]);
            let message =
                circle.map(|circle| format!("the verdicts go in a circle: {}", circle.join(" -> ")));
            wrong.extend(message.map(|message| (at, Finding::value(field(document, cause), message))));
        }
    }
    wrong
}

/// All triggers that are written, by their namespaces, also bad ones: those may be mended.
pub(super) fn names(loaded: &Loaded) -> BTreeMap<&str, BTreeSet<&str>> {
    let good = loaded.documents.iter();
    let all = good.chain(loaded.partial.iter().map(|partial| &partial.rest));
    let mut names: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for document in all.filter(|document| document.kind() == "Trigger" && !document.name().is_empty()) {
        let namespace = document.namespace().unwrap_or(&loaded.namespace);
        names.entry(namespace).or_default().insert(document.name());
    }
    names
}

/// The triggers of verdicts that are not there, each at its place in the source `field`; `there` are those of the
/// namespace, `absent` says that one is not.
pub(super) fn dangling(
    config: &VerdictSourceConfig,
    field: &str,
    there: Option<&BTreeSet<&str>>,
    absent: impl Fn(&str) -> String,
) -> Vec<Finding> {
    let none = BTreeSet::new();
    let there = there.unwrap_or(&none);
    let mut findings = Vec::new();
    for (list, names) in lists(config) {
        for (at, name) in names.iter().enumerate().filter(|(_, name)| !there.contains(name.as_str())) {
            let field = format!("{field}.{list}[{at}]");
            let near = nearest(name, there.iter().copied().filter(|_| findings.len() < MOST_NEAR));
            findings.push(Finding::value(field, absent(name)).near(near));
        }
    }
    findings
}

fn lists(config: &VerdictSourceConfig) -> [(&'static str, &[String]); 2] {
    [("triggers", &config.triggers), ("all", &config.all)]
}

fn listens_to(trigger: &Trigger) -> Vec<&str> {
    let clauses = trigger.sources.iter().filter_map(|source| match &source.clause {
        Clause::Verdict(verdict) => Some(verdict.triggers.iter().map(String::as_str)),
        _ => None,
    });
    clauses.flatten().collect()
}

/// Those that are in a circle, or follow one: what is left once all are taken out that wait for nobody who is
/// still there. Of chains that end nothing is left, however long they are.
fn tangled<'a>(causes: &BTreeMap<&'a str, Vec<&'a str>>) -> BTreeSet<&'a str> {
    let mut waits: BTreeMap<&str, usize> = BTreeMap::new();
    let mut followers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, causes) in
        causes.iter().map(|(name, all)| (*name, all.iter().filter(|it| causes.contains_key(**it))))
    {
        waits.insert(name, causes.clone().count());
        for cause in causes {
            followers.entry(cause).or_default().push(name);
        }
    }
    let mut free: Vec<&str> = waits.iter().filter(|(_, many)| **many == 0).map(|(name, _)| *name).collect();
    while let Some(name) = free.pop() {
        waits.remove(name);
        for follower in followers.get(name).into_iter().flatten() {
            if let Some(many) = waits.get_mut(follower) {
                *many -= 1;
                free.extend((*many == 0).then_some(*follower));
            }
        }
    }
    waits.into_keys().collect()
}

/// The shortest way from `cause` back to `trigger`, where there is one, beginning and ending with `trigger`.
fn circle<'a>(
    trigger: &'a str,
    cause: &'a str,
    causes: &BTreeMap<&'a str, Vec<&'a str>>,
    tangled: &BTreeSet<&'a str>,
) -> Option<Vec<&'a str>> {
    if !tangled.contains(trigger) || !tangled.contains(cause) {
        return None;
    }
    // What causes the cause, and so on; each with what it is a cause of.
    let mut effects: BTreeMap<&str, &str> = BTreeMap::from([(cause, trigger)]);
    let mut next = VecDeque::from([cause]);
    while let Some(name) = next.pop_front() {
        if name == trigger {
            break;
        }
        for further in causes.get(name).into_iter().flatten().filter(|it| tangled.contains(**it)) {
            if !effects.contains_key(further) {
                effects.insert(further, name);
                next.push_back(further);
            }
        }
    }
    // Told in the order in which things happen.
    let mut circle = vec![trigger];
    loop {
        let effect = *effects.get(circle.last()?)?;
        circle.push(effect);
        if effect == trigger {
            return Some(circle);
        }
    }
}

/// Where `document` names `cause`.
fn field(document: &LoadedDocument, cause: &str) -> String {
    let DocumentConfig::Trigger(config) = &document.config else { return "spec.sources".to_owned() };
    let places = config.spec.sources.iter().enumerate().filter_map(|(index, source)| match source {
        SourceConfig::Verdict(verdict) => lists(verdict).into_iter().find_map(|(list, names)| {
            let at = names.iter().position(|name| name == cause)?;
            Some(format!("spec.sources[{index}].verdict.{list}[{at}]"))
        }),
        _ => None,
    });
    places.into_iter().next().unwrap_or_else(|| "spec.sources".to_owned())
}
