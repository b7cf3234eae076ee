//! Triggers: what they refer to, their rules, legs and limits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Problems;
use super::names;
use super::sources::sources;
use super::template::Template;
use crate::engine::definitions::config::{
    ConcurrencyConfig, DebounceConfig, RateLimitConfig, SourceConfig, TriggerSpec,
};
use crate::engine::definitions::model::{
    Concurrency, Debounce, GitTemplate, RateLimit, Snapshot, Trigger, Webhook,
};
use crate::engine::definitions::problem::nearest;
use crate::engine::definitions::quantity::Span;
use crate::engine::definitions::schema::Finding;
use crate::engine::ids::{ObjectName, h_hex};
use crate::engine::render::Text;
use crate::engine::rules::Rule;

/// Of a debounced event: well before anything about it is forgotten.
const LONGEST_HOLD: Span = Span::from_millis(24 * 3_600_000);
/// How often `quiet` fits into a `maxWait` that is not given.
const QUIETS: i64 = 10;
const LONGEST_PER: Span = Span::from_millis(30 * 86_400_000);
const DEFAULT_MAX_QUEUED: u32 = 100;
const DEFAULT_MAX_WAIT: Span = Span::from_millis(24 * 3_600_000);

/// What triggers may refer to.
pub(super) struct World<'a> {
    pub(super) namespace: &'a str,
    pub(super) webhooks: &'a BTreeMap<String, Arc<Webhook>>,
    pub(super) templates: &'a BTreeMap<String, Template<'a>>,
    pub(super) previous: Option<&'a Snapshot>,
}

/// Compiles a trigger, or takes the earlier one where neither it nor what it refers to changed.
pub(super) fn compile(
    name: ObjectName,
    document: &str,
    spec: &TriggerSpec,
    world: &World<'_>,
    problems: &Problems,
) -> Result<Arc<Trigger>, Vec<Finding>> {
    let mut findings = references(spec, world, problems);
    let hash = hash(document, spec, world);
    if findings.is_empty() {
        let old = world.previous.and_then(|previous| previous.trigger(&name));
        if let Some(same) = old.filter(|old| old.hash == hash && old.broken.is_none()) {
            return Ok(Arc::clone(same));
        }
    }
    let sources = sources(&name, spec, world, &mut findings);
    let rule =
        Rule::compile(&spec.rules).map_err(|wrong| findings.extend(wrong.into_iter().map(below_match)));
    let git = git(spec, world, &mut findings);
    let series = spec.series.as_deref().map(Text::compile_key).transpose();
    let series =
        series.map_err(|message| findings.push(Finding::value("spec.series".to_owned(), message))).ok();
    let legs = super::legs::compile(spec, world.templates, &mut findings);
    let concurrency =
        spec.policy.concurrency.as_ref().and_then(|config| concurrency(config, &name, &mut findings));
    let debounce = spec.policy.debounce.as_ref().and_then(|config| debounce(config, &mut findings));
    let gate = spec.gate.as_ref().and_then(|config| super::gate::compile(config, &mut findings));
    let rate =
        spec.policy.rate_limit.as_ref().and_then(|config| rate_limit(config, legs.len(), &mut findings));
    let Some(rule) = rule.ok().filter(|_| findings.is_empty()) else { return Err(findings) };
    Ok(Arc::new(Trigger {
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
    }))
}

fn below_match((field, message): (String, String)) -> Finding {
    let joint = if field.is_empty() || field.starts_with('[') { "" } else { "." };
    Finding::value(format!("spec.match{joint}{field}"), message)
}

/// The document and all that it refers to.
fn hash(document: &str, spec: &TriggerSpec, world: &World<'_>) -> String {
    let mut parts: BTreeSet<String> = BTreeSet::new();
    for run in &spec.runs {
        let template = world.templates.get(&run.template).map(|known| known.compiled.hash.as_str());
        parts.insert(format!("template {} {}", run.template, template.unwrap_or_default()));
    }
    for source in &spec.sources {
        if let SourceConfig::Webhook(source) = source {
            parts.insert(format!("webhook {}", told(&source.name, world)));
        }
    }
    parts.extend(spec.git.iter().map(|git| format!("git {}", told(&git.webhook, world))));
    let parts: Vec<&[u8]> =
        std::iter::once(document).chain(parts.iter().map(String::as_str)).map(str::as_bytes).collect();
    h_hex("trigger", &parts, 32)
}

/// What a trigger takes over from a Webhook.
fn told(name: &str, world: &World<'_>) -> String {
    match world.webhooks.get(name) {
        Some(webhook) => format!("{name} {} {:?}", webhook.provider.name(), webhook.forks),
        None => name.to_owned(),
    }
}

fn references(spec: &TriggerSpec, world: &World<'_>, problems: &Problems) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, source) in spec.sources.iter().enumerate() {
        if let SourceConfig::Webhook(source) = source {
            let field = format!("spec.sources[{index}].webhook.name");
            let known = world.webhooks.keys().map(String::as_str);
            findings.extend(dangling(field, "Webhook", &source.name, known, problems));
        }
    }
    if let Some(git) = &spec.git {
        let known = world.webhooks.keys().map(String::as_str);
        findings.extend(dangling("spec.git.webhook".to_owned(), "Webhook", &git.webhook, known, problems));
    }
    for (index, run) in spec.runs.iter().enumerate() {
        let field = format!("spec.runs[{index}].template");
        let known = world.templates.keys().map(String::as_str);
        findings.extend(dangling(field, "JobTemplate", &run.template, known, problems));
    }
    findings
}

/// A reference to what is not there, or has problems of its own.
fn dangling<'a>(
    field: String,
    kind: &str,
    name: &str,
    mut known: impl Iterator<Item = &'a str> + Clone,
    problems: &Problems,
) -> Option<Finding> {
    if let Some(reason) = problems.of(kind, name) {
        return Some(Finding::value(field, format!("{kind}/{name} has a problem: {reason}")));
    }
    if known.clone().any(|one| one == name) {
        return None;
    }
    let near = nearest(name, known.by_ref());
    Some(Finding::value(field, format!("there is no {kind} called {name:?}")).near(near))
}

fn git(spec: &TriggerSpec, world: &World<'_>, findings: &mut Vec<Finding>) -> Option<GitTemplate> {
    let config = spec.git.as_ref()?;
    let webhook = world.webhooks.get(&config.webhook)?;
    if !webhook.provider.is_forge() {
        let message = format!("a webhook of provider {} holds no repositories", webhook.provider.name());
        findings.push(Finding::value("spec.git.webhook", message));
    }
    let mut text = |field: &str, text: &str| {
        let wrong = |message: String| findings.push(Finding::value(format!("spec.git.{field}"), message));
        Text::compile_key(text).map_err(wrong).ok()
    };
    let (repository, sha) = (text("repository", &config.repository), text("sha", &config.sha));
    Some(GitTemplate { webhook: webhook.name.clone(), repository: repository?, sha: sha? })
}

fn concurrency(
    config: &ConcurrencyConfig,
    trigger: &ObjectName,
    findings: &mut Vec<Finding>,
) -> Option<Concurrency> {
    let before = findings.len();
    let mut wrong = |field: &str, message: String| {
        findings.push(Finding::value(format!("spec.policy.concurrency.{field}"), message));
    };
    if let Some(message) = config.group.as_deref().and_then(names::label) {
        wrong("group", message);
    }
    if config.max_queued == Some(0) {
        wrong("maxQueued", "must be at least 1; to let none wait, write whenFull: Skip".to_owned());
    }
    if config.max_wait.is_some_and(|span| span.as_millis() == 0) {
        wrong("maxWait", "must be more than 0s".to_owned());
    }
    let key =
        config.key.as_deref().map(Text::compile_key).transpose().map_err(|message| wrong("key", message));
    let group = match &config.group {
        Some(group) => format!("{}/{group}", trigger.namespace),
        None => format!("{}/trigger/{}", trigger.namespace, trigger.name),
    };
    key.ok().filter(|_| findings.len() == before).map(|key| Concurrency {
        limit: config.limit,
        group,
        key,
        when_full: config.when_full,
        max_queued: config.max_queued.unwrap_or(DEFAULT_MAX_QUEUED),
        max_wait_ms: config.max_wait.unwrap_or(DEFAULT_MAX_WAIT).as_millis(),
    })
}

fn debounce(config: &DebounceConfig, findings: &mut Vec<Finding>) -> Option<Debounce> {
    let before = findings.len();
    let mut wrong = |field: &str, message: String| {
        findings.push(Finding::value(format!("spec.policy.debounce.{field}"), message));
    };
    let quiet = config.quiet;
    if quiet > LONGEST_HOLD || quiet.as_millis() == 0 {
        wrong("quiet", format!("must be from 1ms to {LONGEST_HOLD}"));
    }
    let default = quiet.as_millis().saturating_mul(QUIETS).min(LONGEST_HOLD.as_millis());
    let longest = config.max_wait.map_or(default, Span::as_millis);
    if config.max_wait.is_some_and(|longest| longest > LONGEST_HOLD) {
        wrong("maxWait", format!("must be at most {LONGEST_HOLD}"));
    } else if longest < quiet.as_millis() {
        wrong("maxWait", format!("must be at least quiet, {quiet}"));
    }
    (findings.len() == before).then_some(Debounce { quiet_ms: quiet.as_millis(), max_wait_ms: longest })
}

fn rate_limit(config: &RateLimitConfig, legs: usize, findings: &mut Vec<Finding>) -> Option<RateLimit> {
    let before = findings.len();
    let mut wrong = |field: &str, message: String| {
        findings.push(Finding::value(format!("spec.policy.rateLimit.{field}"), message));
    };
    if (config.runs as usize) < legs {
        wrong("runs", format!("must be at least {legs}: one firing has as many"));
    }
    if config.per > LONGEST_PER || config.per.as_millis() == 0 {
        wrong("per", format!("must be from 1ms to {LONGEST_PER}"));
    }
    let key =
        config.key.as_deref().map(Text::compile_key).transpose().map_err(|message| wrong("key", message));
    let key = key.ok().filter(|_| findings.len() == before)?;
    Some(RateLimit { runs: config.runs, per_ms: config.per.as_millis(), key })
}
