//! Triggers that listen to verdicts: whose, and that no chain of them goes in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Problems;
use crate::engine::definitions::clause::Clause;
use crate::engine::definitions::config::{DocumentConfig, SourceConfig};
use crate::engine::definitions::load::{Loaded, LoadedDocument};
use crate::engine::definitions::model::Trigger;
use crate::engine::definitions::problem::nearest;
use crate::engine::definitions::schema::Finding;

/// Takes out the triggers that listen to one that is not there, or to themselves over others, and names each.
pub(super) fn check(
    triggers: &mut Vec<(&LoadedDocument, Arc<Trigger>)>,
    loaded: &Loaded,
    problems: &mut Problems,
) {
    let there = names(loaded);
    let causes: BTreeMap<&str, Vec<&str>> =
        triggers.iter().map(|(document, trigger)| (document.name(), listens_to(trigger))).collect();
    let mut bad: BTreeMap<String, Vec<Finding>> = BTreeMap::new();
    for (document, trigger) in triggers.iter() {
        for cause in listens_to(trigger) {
            let message = if !there.contains(cause) {
                format!("there is no Trigger called {cause:?}")
            } else if let Some(circle) = circle(document.name(), cause, &causes) {
                format!("the verdicts go in a circle: {}", circle.join(" -> "))
            } else {
                continue;
            };
            let near = nearest(cause, there.iter().copied().filter(|_| !there.contains(cause)));
            let finding = Finding::value(field(document, cause), message).near(near);
            bad.entry(document.name().to_owned()).or_default().push(finding);
        }
    }
    triggers.retain(|(document, _)| match bad.remove(document.name()) {
        Some(findings) => !problems.found(document, findings),
        None => true,
    });
}

/// All triggers that are written, also bad ones: those may be mended.
fn names(loaded: &Loaded) -> BTreeSet<&str> {
    let good = loaded.documents.iter();
    let all = good.chain(loaded.partial.iter().map(|partial| &partial.rest));
    all.filter(|document| document.kind() == "Trigger").map(LoadedDocument::name).collect()
}

fn listens_to(trigger: &Trigger) -> Vec<&str> {
    let clauses = trigger.sources.iter().filter_map(|source| match &source.clause {
        Clause::Verdict(verdict) => Some(verdict.triggers.iter().map(String::as_str)),
        _ => None,
    });
    clauses.flatten().collect()
}

/// The shortest way from `cause` back to `trigger`, where there is one, beginning and ending with `trigger`.
fn circle<'a>(
    trigger: &'a str,
    cause: &'a str,
    causes: &BTreeMap<&'a str, Vec<&'a str>>,
) -> Option<Vec<&'a str>> {
    // Who listens to whom, backwards: what causes the cause, and so on.
    let mut ways: Vec<Vec<&str>> = vec![vec![trigger, cause]];
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            let last = *way.last()?;
            if last == trigger {
                // Told in the order in which things happen.
                return Some(way.into_iter().rev().collect());
            }
            if seen.insert(last) {
                let further = causes.get(last).into_iter().flatten();
                longer.extend(further.map(|next| way.iter().copied().chain([*next]).collect()));
            }
        }
        ways = longer;
    }
    None
}

/// Where `document` names `cause`.
fn field(document: &LoadedDocument, cause: &str) -> String {
    let DocumentConfig::Trigger(config) = &document.config else { return "spec.sources".to_owned() };
    let places = config.spec.sources.iter().enumerate().filter_map(|(index, source)| match source {
        SourceConfig::Verdict(verdict) => {
            let lists = [("triggers", &verdict.triggers), ("all", &verdict.all)];
            lists.into_iter().find_map(|(list, names)| {
                let at = names.iter().position(|name| name == cause)?;
                Some(format!("spec.sources[{index}].verdict.{list}[{at}]"))
            })
        }
        _ => None,
    });
    places.into_iter().next().unwrap_or_else(|| "spec.sources".to_owned())
}
