//! Names of definitions and of what is in them, and that each stands for one thing.

use std::collections::BTreeMap;

use super::Problems;
use crate::engine::definitions::config::{DocumentConfig, MetadataConfig};
use crate::engine::definitions::load::{Loaded, LoadedDocument};
use crate::engine::definitions::problem::shorten;
use crate::engine::definitions::schema::Finding;
use crate::engine::ids::ObjectName;

/// The longest name of a definition: it becomes part of Jobs' names and of subjects.
const LONGEST_NAME: usize = 30;
/// The longest DNS label (RFC 1123).
const LONGEST_LABEL: usize = 63;

/// The documents whose names are good and stand once for their kind, then the others.
pub(super) fn check<'a>(
    loaded: &'a Loaded,
    problems: &mut Problems,
) -> (Vec<&'a LoadedDocument>, Vec<&'a LoadedDocument>) {
    let own = &loaded.namespace;
    let mut named: BTreeMap<(&str, ObjectName), Vec<&LoadedDocument>> = BTreeMap::new();
    for document in &loaded.documents {
        named.entry((document.kind(), document.object(own))).or_default().push(document);
    }
    let (mut usable, mut misnamed) = (Vec::new(), Vec::new());
    for document in &loaded.documents {
        let mut findings = metadata(metadata_of(&document.config), document.namespace().unwrap_or(own));
        let same = &named[&(document.kind(), document.object(own))];
        let other = same.iter().find(|other| !std::ptr::eq(**other, document));
        findings.extend(other.map(|other| twice(document, other)));
        let bad = problems.found(document, findings);
        if bad { misnamed.push(document) } else { usable.push(document) }
    }
    (usable, misnamed)
}

/// What is wrong with the name of a document that is bad already, beside `other` if there is one of that name.
pub(super) fn further(
    document: &LoadedDocument,
    other: Option<&LoadedDocument>,
    loaded: &Loaded,
) -> Vec<Finding> {
    let namespace = document.namespace().unwrap_or(&loaded.namespace);
    let mut findings = metadata(metadata_of(&document.config), namespace);
    findings.extend(other.map(|other| twice(document, other)));
    findings
}

fn twice(document: &LoadedDocument, other: &LoadedDocument) -> Finding {
    let place = other.key_place("metadata.name");
    let message = format!("there is another {} called {} at {place}", document.kind(), document.name());
    Finding::value("metadata.name", message)
}

fn metadata_of(config: &DocumentConfig) -> &MetadataConfig {
    match config {
        DocumentConfig::Webhook(resource) => &resource.metadata,
        DocumentConfig::JobTemplate(resource) => &resource.metadata,
        DocumentConfig::Trigger(resource) => &resource.metadata,
    }
}

fn metadata(metadata: &MetadataConfig, namespace: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(name(&metadata.name).map(|message| Finding::value("metadata.name", message)));
    if metadata.namespace.as_ref().is_some_and(|given| given != namespace) {
        let message = format!("must be {namespace}, the namespace of the server, or be left out");
        findings.push(Finding::value("metadata.namespace", message));
    }
    findings
}

/// What is wrong with the name of a definition or a run.
pub(super) fn name(text: &str) -> Option<String> {
    dns_label(text, LONGEST_NAME)
}

/// What is wrong with a namespace or the name of an environment.
pub(super) fn label(text: &str) -> Option<String> {
    dns_label(text, LONGEST_LABEL)
}

fn dns_label(text: &str, longest: usize) -> Option<String> {
    let length = text.chars().count();
    let too_long = format!("may have up to {longest} characters, has {length}");
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let edges = |text: &str| !text.starts_with('-') && !text.ends_with('-');
    let good = !text.is_empty() && text.chars().all(inner) && edges(text);
    let no_name = || {
        let mut shown = text.to_owned();
        shorten(&mut shown, LONGEST_LABEL);
        format!("{shown:?} is not a name: lower-case letters, digits and, between them, -")
    };
    match (good, length > longest) {
        (true, false) => None,
        (true, true) => Some(too_long),
        (false, false) => Some(no_name()),
        (false, true) => Some(format!("{}; it {too_long}", no_name())),
    }
}

/// What is wrong with a name that stands in expressions: of a param or an axis of a matrix.
pub(super) fn identifier(text: &str) -> Option<String> {
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let good = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && text.chars().all(inner);
    let good = good && text.len() <= LONGEST_LABEL;
    (!good).then(|| {
        format!("{text:?} is not a name of letters, digits and _ (up to {LONGEST_LABEL}, no digit first)")
    })
}

/// Names of a list that stand twice, as (position, name).
pub(super) fn repeated<'a>(names: impl Iterator<Item = &'a str>) -> Vec<(usize, &'a str)> {
    let mut seen = std::collections::BTreeSet::new();
    names.enumerate().filter(|(_, name)| !seen.insert(*name)).collect()
}
