//! How much the regular expressions and globs of the resources of a namespace may hold of memory. Files may hold what
//! they like: they are the server's own.
//!
//! It is looked at before or as they are compiled, in their order of [precedence](super::precedence), so that what is too
//! much is not held for a moment either.

use std::collections::BTreeMap;

use crate::engine::definitions::clause::{Clause, Source};
use crate::engine::definitions::config::AllowConfig;
use crate::engine::definitions::load::LoadedDocument;
use crate::engine::definitions::model::{JobTemplate, Trigger};
use crate::engine::definitions::schema::Finding;
use crate::engine::glob::is_plain;
use crate::engine::pattern::LEAST;
use crate::engine::render::ParamSchema;

/// Most for the templates of a namespace, and most for its triggers, bytes.
const MOST: usize = 8 << 20;

/// What those of each namespace hold so far, of one kind of definition.
#[derive(Debug, Default)]
pub(super) struct Held(BTreeMap<String, usize>);

impl Held {
    /// Takes so much in, or says why not. Of a file nothing is counted.
    pub(super) fn take(&mut self, document: &LoadedDocument, bytes: usize) -> Result<(), Vec<Finding>> {
        self.may_take(document, bytes)?;
        if let Some(namespace) = document.namespace() {
            *self.0.entry(namespace.to_owned()).or_default() += bytes;
        }
        Ok(())
    }

    /// Whether so much could be taken in, or why not.
    pub(super) fn may_take(&self, document: &LoadedDocument, bytes: usize) -> Result<(), Vec<Finding>> {
        let Some(namespace) = document.namespace() else { return Ok(()) };
        if self.fits(namespace, bytes) {
            return Ok(());
        }
        let held = self.0.get(namespace).copied().unwrap_or_default();
        let message = format!(
            "has regular expressions and globs that hold {} KiB of memory; the {}s of namespace {namespace} may \
             hold {} KiB in all, and others of them hold {} KiB: write fewer, repeat less, or write [A-Za-z0-9_] \
             for \\w",
            bytes.div_ceil(1 << 10),
            document.kind(),
            MOST >> 10,
            held.div_ceil(1 << 10),
        );
        Err(vec![Finding::value("spec", message)])
    }

    /// What a trigger of a resource that is out of order still listens to: only that without globs, where these are
    /// too much.
    pub(super) fn fitting(&mut self, namespace: &str, sources: Vec<Source>) -> Vec<Source> {
        let bytes = of_sources(&sources);
        if self.fits(namespace, bytes) {
            *self.0.entry(namespace.to_owned()).or_default() += bytes;
            return sources;
        }
        sources.into_iter().filter(|source| of_sources(std::slice::from_ref(source)) == 0).collect()
    }

    fn fits(&self, namespace: &str, bytes: usize) -> bool {
        let held = self.0.get(namespace).copied().unwrap_or_default();
        // What has none is never too much.
        bytes == 0 || bytes <= MOST.saturating_sub(held)
    }
}

/// Most that those of one document may hold, bytes.
pub(super) fn most(document: &LoadedDocument) -> usize {
    if document.namespace().is_some() { MOST } else { usize::MAX }
}

/// What a template holds, bytes.
pub(super) fn of_template(template: &JobTemplate) -> usize {
    template.params.iter().map(ParamSchema::size).sum::<usize>() + template.manifest.size()
}

/// What a trigger holds, bytes.
pub(super) fn of_trigger(trigger: &Trigger) -> usize {
    trigger.rule.size() + of_sources(&trigger.sources)
}

/// What sources hold, bytes.
pub(super) fn of_sources(sources: &[Source]) -> usize {
    let of = |source: &Source| match &source.clause {
        Clause::Webhook(it) => it.repositories.size() + it.branches.size() + it.paths.size(),
        Clause::Kubernetes(it) => it.names.size() + it.namespaces.size(),
        Clause::KubernetesEvent(it) => it.reasons.size() + it.names.size() + it.namespaces.size(),
        Clause::Schedule(_) | Clause::Verdict(_) | Clause::Joined | Clause::Nats(_) => 0,
    };
    sources.iter().map(of).sum()
}

/// What `allow` of a template holds at least, bytes; told before any of it is compiled.
pub(super) fn of_allow(allow: &AllowConfig) -> usize {
    let AllowConfig { images, namespaces, service_accounts, secrets, config_maps } = allow;
    let all = [images, namespaces, service_accounts, secrets, config_maps].into_iter().flatten();
    all.map(|text| if is_plain(text) { text.len() } else { LEAST }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_allow_holds_at_least_goes_by_its_globs_and_the_length_of_what_is_plain() {
        let allow = AllowConfig {
            images: vec!["registry/*".to_owned(), "a?".to_owned()],
            secrets: vec!["name".to_owned()],
            ..AllowConfig::default()
        };
        assert_eq!(of_allow(&allow), 2 * LEAST + 4);
        assert_eq!(of_allow(&AllowConfig::default()), 0);
    }

    #[test]
    fn what_is_out_of_order_keeps_its_globs_within_the_same_bound() {
        let held = Held(BTreeMap::from([("shop".to_owned(), MOST)]));
        assert!(held.fits("shop", 0) && !held.fits("shop", 1));
        assert!(held.fits("bank", 1), "each namespace has its own");
    }
}
