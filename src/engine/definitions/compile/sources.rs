//! Source clauses of triggers: what they listen to.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::trigger::World;
use crate::engine::definitions::clause::{Clause, Globs, Join, Source, VerdictSource, WebhookSource};
use crate::engine::definitions::config::{
    Provider, ScheduleSourceConfig, SourceConfig, TriggerSpec, VerdictSourceConfig, WebhookSourceConfig,
};
use crate::engine::definitions::quantity::Span;
use crate::engine::definitions::schema::Finding;
use crate::engine::definitions::tenants::Tenant;
use crate::engine::event::Ingress;
use crate::engine::ids::{ObjectName, h_hex};
use crate::engine::render::Text;
use crate::engine::schedule::{self, Schedule, Slots, Wrong};
use crate::engine::verdict::Outcome;

const DEFAULT_DEADLINE: Span = Span::from_millis(3_600_000);
const LONGEST_DEADLINE: Span = Span::from_millis(7 * 86_400_000);
const DEFAULT_WITHIN: Span = Span::from_millis(3_600_000);
const LONGEST_WITHIN: Span = Span::from_millis(7 * 86_400_000);
/// As many verdicts wait for each other at most.
const MOST_JOINED: usize = 16;
const UTC: &str = "UTC";
const LONGEST_JITTER: Span = Span::from_millis(86_400_000);

/// Compiles the clauses, but for those whose Webhook is not there; what is wrong with any goes to `findings`. A `tenant` that does not
/// say of which namespaces watches its own.
pub(super) fn sources(
    trigger: &ObjectName,
    spec: &TriggerSpec,
    tenant: Option<Tenant<'_>>,
    world: &World<'_>,
    findings: &mut Vec<Finding>,
) -> Vec<Source> {
    let mut sources: Vec<Source> = Vec::new();
    for (index, source) in spec.sources.iter().enumerate() {
        let field = format!("spec.sources[{index}]");
        let compiled = match source {
            SourceConfig::Webhook(config) => {
                webhook(config, trigger, world, &format!("{field}.webhook"), findings)
            }
            SourceConfig::Schedule(config) => {
                let field = format!("{field}.schedule");
                let source = schedule(config, trigger, &field, findings);
                if source.as_ref().is_some_and(|one| sources.iter().any(|it| it.ingress == one.ingress)) {
                    findings.push(Finding::value(format!("{field}.cron"), "is in the list already"));
                }
                source
            }
            SourceConfig::Verdict(config) => {
                let source = verdict(config, trigger, &format!("{field}.verdict"), findings);
                if let Clause::Verdict(VerdictSource { join: Some(join), .. }) = &source.clause {
                    let ingress = join.ingress.clone();
                    if sources.iter().any(|it| it.ingress == ingress) {
                        findings.push(Finding::value(format!("{field}.verdict"), "is in the list already"));
                    }
                    sources.push(Source { ingress, clause: Clause::Joined });
                }
                Some(source)
            }
            SourceConfig::Nats(config) => {
                super::nats::nats(config, &format!("{field}.nats"), &sources, findings)
            }
            SourceConfig::Kubernetes(config) => {
                super::kubernetes::kubernetes(config, tenant, &format!("{field}.kubernetes"), findings)
            }
            SourceConfig::KubernetesEvent(config) => {
                let field = format!("{field}.kubernetesEvent");
                super::happening::kubernetes_event(config, tenant, &field, findings)
            }
        };
        sources.extend(compiled);
    }
    sources
}

/// The clause, where its Webhook is there. It is checked in any case, by as much as is known of the Webhook.
fn webhook(
    config: &WebhookSourceConfig,
    trigger: &ObjectName,
    world: &World<'_>,
    field: &str,
    findings: &mut Vec<Finding>,
) -> Option<Source> {
    let provider = world.provider(&config.name, trigger);
    for (at, event) in config.events.iter().enumerate() {
        let (name, field) = (format!("{field}.name"), format!("{field}.events[{at}]"));
        let finding = |message| Finding::value(field, message);
        findings.extend(match event_type(event, None) {
            // It is none of any provider.
            Some(message) => Some(finding(message)),
            None => event_type(event, provider).map(|message| finding(message).by(name)),
        });
    }
    let mut globs = |name: &str, texts: &[String]| {
        if let Some(other) = provider.filter(|provider| !texts.is_empty() && !provider.is_forge()) {
            let message = format!("a webhook of provider {} tells of no repository", other.name());
            findings.push(Finding::key(format!("{field}.{name}"), message).by(format!("{field}.name")));
        }
        self::globs(&format!("{field}.{name}"), texts, findings)
    };
    let (repositories, branches, paths) = (
        globs("repositories", &config.repositories),
        globs("branches", &config.branches),
        globs("paths", &config.paths),
    );
    let webhook = world.webhook(&config.name, &trigger.namespace)?;
    let prefix = webhook.provider.type_prefix();
    let clause = Clause::Webhook(WebhookSource {
        webhook: webhook.name.clone(),
        events: config.events.iter().map(|event| format!("{prefix}{event}")).collect(),
        forks: webhook.forks,
        repositories,
        branches,
        paths,
    });
    Some(Source { ingress: Ingress::Webhook(webhook.name.clone()), clause })
}

/// Compiles globs; what is wrong with any goes to `findings`.
pub(super) fn globs(field: &str, texts: &[String], findings: &mut Vec<Finding>) -> Globs {
    Globs::compile(texts).unwrap_or_else(|problems| {
        let finding = |(at, message)| Finding::value(format!("{field}[{at}]"), message);
        findings.extend(problems.into_iter().map(finding));
        Globs::default()
    })
}

fn verdict(
    config: &VerdictSourceConfig,
    trigger: &ObjectName,
    field: &str,
    findings: &mut Vec<Finding>,
) -> Source {
    if config.outcomes.as_ref().is_some_and(BTreeSet::is_empty) {
        findings.push(Finding::value(format!("{field}.outcomes"), "needs at least 1 entry"));
    }
    let join = if config.all.is_empty() {
        for (name, given) in [("key", config.key.is_some()), ("within", config.within.is_some())] {
            if given {
                let finding = Finding::key(format!("{field}.{name}"), "goes with all, not with triggers");
                findings.push(finding.by(format!("{field}.all")));
            }
        }
        if config.triggers.is_empty() {
            let finding = Finding::key(
                format!("{field}.triggers"),
                "is missing: name triggers (any of them) or all (each of them)",
            );
            findings.push(finding.by(format!("{field}.all")));
        }
        None
    } else {
        join(config, trigger, field, findings)
    };
    let triggers = if config.all.is_empty() { &config.triggers } else { &config.all };
    let clause = Clause::Verdict(VerdictSource {
        namespace: trigger.namespace.clone(),
        triggers: triggers.clone(),
        outcomes: config.outcomes.clone().unwrap_or_else(|| BTreeSet::from([Outcome::Passed])),
        join,
    });
    Source { ingress: Ingress::Verdict, clause }
}

fn join(
    config: &VerdictSourceConfig,
    trigger: &ObjectName,
    field: &str,
    findings: &mut Vec<Finding>,
) -> Option<Join> {
    if !config.triggers.is_empty() {
        let message = "goes without all: any of these, or each of those";
        findings.push(Finding::value(format!("{field}.triggers"), message).by(format!("{field}.all")));
    }
    let mut wrong =
        |name: &str, message: String| findings.push(Finding::value(format!("{field}.{name}"), message));
    let distinct: BTreeSet<&String> = config.all.iter().collect();
    if distinct.len() != config.all.len() || !(2..=MOST_JOINED).contains(&distinct.len()) {
        wrong("all", format!("needs 2 to {MOST_JOINED} triggers, each once"));
    }
    let within = config.within.unwrap_or(DEFAULT_WITHIN);
    if within > LONGEST_WITHIN || within.as_millis() == 0 {
        wrong("within", format!("must be from 1ms to {LONGEST_WITHIN}"));
    }
    let key = config.key.as_deref().map(Text::compile_key).transpose();
    let key = key.map_err(|message| wrong("key", message)).ok()?;
    let written = serde_json::to_string(config).unwrap_or_default();
    let ingress = Ingress::Join(trigger.clone(), h_hex("join clause", &[written.as_bytes()], 16));
    Some(Join { ingress, key: key.map(Arc::new), within_ms: within.as_millis() })
}

fn schedule(
    config: &ScheduleSourceConfig,
    trigger: &ObjectName,
    field: &str,
    findings: &mut Vec<Finding>,
) -> Option<Source> {
    let mut wrong =
        |name: &str, message: String| findings.push(Finding::value(format!("{field}.{name}"), message));
    let slots = Slots::parse(&config.cron, config.time_zone.as_deref().unwrap_or(UTC));
    let slots = slots.map_err(|why| match why {
        Wrong::Pattern(message) => wrong("cron", message),
        Wrong::TimeZone(message) => {
            wrong("timeZone", message);
            if let Err(Wrong::Pattern(message)) = Slots::parse(&config.cron, UTC) {
                wrong("cron", message);
            }
        }
    });
    let jitter = config.jitter.map_or(0, Span::as_millis);
    if jitter > LONGEST_JITTER.as_millis() {
        wrong("jitter", format!("must be at most {LONGEST_JITTER}"));
    }
    let deadline = config.starting_deadline.unwrap_or(DEFAULT_DEADLINE);
    if deadline > LONGEST_DEADLINE || deadline.as_millis() == 0 {
        let message =
            format!("must be from 1ms to {LONGEST_DEADLINE}: a slot that comes twice is known for as long");
        wrong("startingDeadline", message);
    }
    let slots = slots.ok()?;
    let ingress = Ingress::Schedule(trigger.clone(), slots.hash());
    let delay_ms = schedule::delay(jitter, &[&ingress.to_string()]);
    let clause = Clause::Schedule(Schedule {
        slots,
        delay_ms,
        deadline_ms: deadline.as_millis(),
        missed: config.missed,
    });
    Some(Source { ingress, clause })
}

/// What is wrong with an entry of `events`.
fn event_type(event: &str, provider: Option<Provider>) -> Option<String> {
    let prefix = provider.map(Provider::type_prefix).unwrap_or_default();
    if !prefix.is_empty() && event.starts_with(&prefix) {
        return Some(format!("is written without {prefix} in front"));
    }
    if event.contains('*') {
        return Some("takes no *: a bare name covers all its actions".to_owned());
    }
    let (own, action) = event.split_once('.').map_or((event, None), |(own, action)| (own, Some(action)));
    if let Some(name) = provider.and_then(|provider| provider.renamed(own)) {
        let written = action.map_or_else(|| name.to_owned(), |action| format!("{name}.{action}"));
        return Some(format!("never comes: its type says {name}, write {written}"));
    }
    if provider == Some(Provider::Bitbucket) && event.contains(':') {
        return Some(format!("is written with a dot: {}", event.replace(':', ".")));
    }
    (!is_type(event))
        .then(|| format!("{event:?} is not an event type: write for instance push or pull_request.opened"))
}

/// Whether a text is words joined by dots, as types of events are.
pub(super) fn is_type(text: &str) -> bool {
    let inner = |c: char| !c.is_whitespace() && !c.is_control();
    text.split('.').all(|part| !part.is_empty() && part.chars().all(inner))
}
