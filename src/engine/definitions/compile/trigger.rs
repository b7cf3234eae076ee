//! Triggers: what they refer to, their rules, legs and limits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Problems;
use super::policy::{concurrency, debounce, rate_limit};
use super::sources::sources;
use super::template::ENOUGH;
use super::templates::Template;
use crate::engine::definitions::config::{Provider, SourceConfig, TriggerSpec};
use crate::engine::definitions::model::{Allowed, GitTemplate, Snapshot, Trigger, Webhook};
use crate::engine::definitions::problem::nearest;
use crate::engine::definitions::schema::Finding;
use crate::engine::definitions::tenants::{Tenant, Tenants};
use crate::engine::ids::{ObjectName, h_hex};
use crate::engine::render::Text;
use crate::engine::rules::Rule;

/// What triggers may refer to.
pub(super) struct World<'a> {
    /// The namespace of files.
    pub(super) own: &'a str,
    pub(super) webhooks: &'a BTreeMap<ObjectName, Arc<Webhook>>,
    /// As they are written, of Webhooks with problems too.
    pub(super) providers: &'a BTreeMap<ObjectName, Provider>,
    pub(super) templates: &'a BTreeMap<ObjectName, Template<'a>>,
    /// The names of all triggers by their namespaces, of those with problems too.
    pub(super) triggers: &'a BTreeMap<&'a str, BTreeSet<&'a str>>,
    /// See [`super::further::unnamed`].
    pub(super) unnamed: &'a BTreeSet<(&'a str, &'static str)>,
    pub(super) tenants: &'a Tenants,
    pub(super) previous: Option<&'a Snapshot>,
}

impl<'a> World<'a> {
    /// That a namespace has nothing of a kind with this name, as far as it could be read.
    pub(super) fn there_is_no(&self, kind: &'static str, name: &str, namespace: &str) -> String {
        let read = if self.unnamed.contains(&(namespace, kind)) { " in what can be read" } else { "" };
        format!("there is no {kind} called {name:?}{read}")
    }

    /// The Webhook that a trigger of `namespace` calls so: one of there, or with its namespace before it one of
    /// elsewhere.
    pub(super) fn webhook(&self, name: &str, namespace: &str) -> Option<&'a Arc<Webhook>> {
        self.webhooks.get(&ObjectName::parse(name, namespace))
    }

    /// The template that a trigger of `namespace` calls so.
    pub(super) fn template(&self, name: &str, namespace: &str) -> Option<&'a Template<'a>> {
        self.templates.get(&ObjectName::new(namespace, name))
    }

    /// The provider of the Webhook that a trigger calls so, where it may know.
    pub(super) fn provider(&self, name: &str, trigger: &ObjectName) -> Option<Provider> {
        let name = ObjectName::parse(name, &trigger.namespace);
        let own = name.namespace == trigger.namespace;
        let written = self.providers.get(&name).filter(|_| own).copied();
        let known = || self.webhooks.get(&name).filter(|_| own || self.may_listen(trigger, &name).is_ok());
        written.or_else(|| Some(known()?.provider))
    }

    /// Whether a trigger may listen to a Webhook of another namespace; if not, why, where it may know. No more is told of
    /// such a one. Who listens already stays while the labels that decide are not known.
    fn may_listen(&self, trigger: &ObjectName, webhook: &ObjectName) -> Result<(), String> {
        let namespace = &trigger.namespace;
        match self.webhooks.get(webhook).map(|webhook| &webhook.allowed) {
            Some(Allowed::All) => Ok(()),
            Some(Allowed::Selected(_))
                if self.tenants.is_unknown(namespace) && self.listens(trigger, webhook) =>
            {
                Ok(())
            }
            Some(Allowed::Selected(labels)) => self
                .tenants
                .has(namespace, labels)
                .map_err(|why| why.map(|why| format!(" ({why})")).unwrap_or_default()),
            Some(Allowed::None) | None => Err(String::new()),
        }
    }

    /// Whether a trigger in force listens to a Webhook already. Not by what the records tell of before this process,
    /// which has no revision: it was good by itself, and nobody knows whether it was let.
    fn listens(&self, trigger: &ObjectName, webhook: &ObjectName) -> bool {
        let previous = self.previous.filter(|previous| !previous.revision.is_empty());
        let known = previous.and_then(|previous| previous.trigger(trigger));
        known.filter(|known| known.broken.is_none()).is_some_and(|known| {
            let asks = known.git.as_ref().is_some_and(|git| git.webhook == *webhook);
            asks || known.webhooks().any(|name| name == webhook)
        })
    }
}

/// Compiles a trigger, or takes the earlier one where neither it nor what it refers to changed; all that is wrong with it.
/// Where there is anything, it is as much as could be made, for checks alone.
pub(super) fn compile(
    name: ObjectName,
    document: &str,
    spec: &TriggerSpec,
    tenant: Option<Tenant<'_>>,
    world: &World<'_>,
    problems: &Problems,
) -> (Arc<Trigger>, Vec<Finding>) {
    let mut findings = references(spec, &name, world, problems);
    let hash = hash(document, spec, &name.namespace, tenant, world);
    if findings.is_empty() {
        let old = world.previous.and_then(|previous| previous.trigger(&name));
        if let Some(same) = old.filter(|old| old.hash == hash && old.broken.is_none()) {
            return (Arc::clone(same), findings);
        }
    }
    let sources = sources(&name, spec, tenant, world, &mut findings);
    let (rule, wrong) = Rule::read(&spec.rules);
    findings.extend(wrong.into_iter().map(below_match));
    let git = git(spec, &name, world, &mut findings);
    let series = spec.series.as_deref().map(Text::compile_key).transpose();
    let series =
        series.map_err(|message| findings.push(Finding::value("spec.series".to_owned(), message))).ok();
    let legs =
        super::legs::compile(spec, |template| world.template(template, &name.namespace), &mut findings);
    let concurrency =
        spec.policy.concurrency.as_ref().map(|config| concurrency(config, &name, &mut findings));
    let debounce = spec.policy.debounce.as_ref().and_then(|config| debounce(config, &mut findings));
    let gate = spec.gate.as_ref().and_then(|config| super::gate::compile(config, tenant, &mut findings));
    let rate = spec.policy.rate_limit.as_ref();
    let rate = rate.and_then(|config| rate_limit(config, super::legs::many(spec), &mut findings));
    let trigger = Trigger {
        name,
        hash,
        suspend: spec.suspend,
        sources,
        rule,
        git,
        series: series.flatten(),
        legs,
        concurrency,
        debounce,
        gate,
        rate,
        priority: spec.policy.priority,
        broken: None,
    };
    (Arc::new(trigger), findings)
}

fn below_match((field, message): (String, String)) -> Finding {
    let joint = if field.is_empty() || field.starts_with('[') { "" } else { "." };
    Finding::value(format!("spec.match{joint}{field}"), message)
}

/// The document and all that it refers to; also whether its grants were known, which do not change while we run.
fn hash(
    document: &str,
    spec: &TriggerSpec,
    namespace: &str,
    tenant: Option<Tenant<'_>>,
    world: &World<'_>,
) -> String {
    let mut parts: BTreeSet<String> = BTreeSet::new();
    if tenant.is_some_and(|tenant| tenant.is_trusted()) {
        parts.insert("trusted".to_owned());
    }
    for run in &spec.runs {
        let template = world.template(&run.template, namespace).map(|known| known.compiled.hash.as_str());
        parts.insert(format!("template {} {}", run.template, template.unwrap_or_default()));
    }
    for source in &spec.sources {
        if let SourceConfig::Webhook(source) = source {
            parts.insert(format!("webhook {}", told(&source.name, namespace, world)));
        }
    }
    parts.extend(spec.git.iter().map(|git| format!("git {}", told(&git.webhook, namespace, world))));
    let parts: Vec<&[u8]> =
        std::iter::once(document).chain(parts.iter().map(String::as_str)).map(str::as_bytes).collect();
    h_hex("trigger", &parts, 32)
}

/// What a trigger takes over from a Webhook.
fn told(name: &str, namespace: &str, world: &World<'_>) -> String {
    match world.webhook(name, namespace) {
        Some(webhook) => format!("{name} {} {:?}", webhook.provider.name(), webhook.forks),
        None => name.to_owned(),
    }
}

fn references(
    spec: &TriggerSpec,
    trigger: &ObjectName,
    world: &World<'_>,
    problems: &Problems,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, source) in spec.sources.iter().enumerate() {
        if findings.len() > ENOUGH {
            break;
        }
        let field = format!("spec.sources[{index}]");
        match source {
            SourceConfig::Webhook(source) => {
                let field = format!("{field}.webhook.name");
                findings.extend(closed(field, &source.name, trigger, world, problems));
            }
            SourceConfig::Verdict(source) => {
                let there = world.triggers.get(&*trigger.namespace);
                let field = format!("{field}.verdict");
                let absent = |name: &str| world.there_is_no("Trigger", name, &trigger.namespace);
                findings.extend(super::chains::dangling(source, &field, there, absent));
            }
            _ => {}
        }
    }
    if let Some(git) = &spec.git {
        findings.extend(closed("spec.git.webhook".to_owned(), &git.webhook, trigger, world, problems));
    }
    for (index, run) in spec.runs.iter().enumerate() {
        if findings.len() > ENOUGH {
            break;
        }
        let field = format!("spec.runs[{index}].template");
        let name = ObjectName::new(&trigger.namespace, &run.template);
        let sound = |template: &Template<'_>| template.sound;
        findings.extend(dangling(field, "JobTemplate", &name, (world.templates, sound), world, problems));
    }
    findings
}

/// A Webhook that is not there, has problems of its own, or lets no trigger of the namespace listen.
fn closed(
    field: String,
    name: &str,
    trigger: &ObjectName,
    world: &World<'_>,
    problems: &Problems,
) -> Option<Finding> {
    let namespace = &trigger.namespace;
    let name = ObjectName::parse(name, namespace);
    if name.namespace == *namespace {
        return dangling(field, "Webhook", &name, (world.webhooks, |_| true), world, problems);
    }
    let why = world.may_listen(trigger, &name).err()?;
    let message = format!("there is no Webhook {name} with allowedNamespaces for namespace {namespace}{why}");
    Some(Finding::value(field, message))
}

/// A reference to what is not there, or has problems of its own.
fn dangling<T>(
    field: String,
    kind: &'static str,
    name: &ObjectName,
    (known, sound): (&BTreeMap<ObjectName, T>, impl Fn(&T) -> bool),
    world: &World<'_>,
    problems: &Problems,
) -> Option<Finding> {
    let called = &name.name;
    if let Some(reason) = problems.of(kind, name, world.own) {
        return Some(Finding::value(field, format!("{kind}/{called} has a problem: {reason}")));
    }
    if known.get(name).is_some_and(sound) {
        return None;
    }
    let here = known.keys().filter(|known| known.namespace == name.namespace);
    let near = nearest(called, here.map(|known| known.name.as_str()));
    Some(Finding::value(field, world.there_is_no(kind, called, &name.namespace)).near(near))
}

fn git(
    spec: &TriggerSpec,
    trigger: &ObjectName,
    world: &World<'_>,
    findings: &mut Vec<Finding>,
) -> Option<GitTemplate> {
    let config = spec.git.as_ref()?;
    if let Some(other) = world.provider(&config.webhook, trigger).filter(|provider| !provider.is_forge()) {
        let message = format!("a webhook of provider {} holds no repositories", other.name());
        findings.push(Finding::value("spec.git.webhook", message));
    }
    let mut text = |field: &str, text: &str| {
        let wrong = |message: String| findings.push(Finding::value(format!("spec.git.{field}"), message));
        Text::compile_key(text).map_err(wrong).ok()
    };
    let (repository, sha) = (text("repository", &config.repository), text("sha", &config.sha));
    let webhook = world.webhook(&config.webhook, &trigger.namespace)?.name.clone();
    Some(GitTemplate { webhook, repository: repository?, sha: sha? })
}
