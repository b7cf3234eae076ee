//! Source clauses of triggers: what they listen to.

use super::trigger::World;
use crate::engine::definitions::clause::{Clause, Globs, Source, WebhookSource};
use crate::engine::definitions::config::{Provider, SourceConfig, TriggerSpec, WebhookSourceConfig};
use crate::engine::definitions::model::Webhook;
use crate::engine::definitions::schema::Finding;
use crate::engine::event::Ingress;

/// Compiles the clauses whose Webhook is there; what is wrong with any goes to `findings`.
pub(super) fn sources(spec: &TriggerSpec, world: &World<'_>, findings: &mut Vec<Finding>) -> Vec<Source> {
    let mut sources = Vec::new();
    for (index, source) in spec.sources.iter().enumerate() {
        let field = format!("spec.sources[{index}]");
        sources.extend(match source {
            SourceConfig::Webhook(config) => {
                let found = world.webhooks.get(&config.name);
                found.map(|found| webhook(config, found, &format!("{field}.webhook"), findings))
            }
        });
    }
    sources
}

fn webhook(
    config: &WebhookSourceConfig,
    webhook: &Webhook,
    field: &str,
    findings: &mut Vec<Finding>,
) -> Source {
    let provider = webhook.provider;
    for (at, event) in config.events.iter().enumerate() {
        let field = format!("{field}.events[{at}]");
        findings.extend(event_type(event, provider).map(|message| Finding::value(field, message)));
    }
    let mut globs = |name: &str, texts: &[String]| {
        if !texts.is_empty() && !provider.is_forge() {
            let message = format!("a webhook of provider {} tells of no repository", provider.name());
            findings.push(Finding::key(format!("{field}.{name}"), message));
        }
        Globs::compile(texts).unwrap_or_else(|problems| {
            let finding = |(at, message)| Finding::value(format!("{field}.{name}[{at}]"), message);
            findings.extend(problems.into_iter().map(finding));
            Globs::default()
        })
    };
    let clause = Clause::Webhook(WebhookSource {
        webhook: webhook.name.clone(),
        events: config.events.iter().map(|event| format!("{}{event}", provider.type_prefix())).collect(),
        forks: webhook.forks,
        repositories: globs("repositories", &config.repositories),
        branches: globs("branches", &config.branches),
        paths: globs("paths", &config.paths),
    });
    Source { ingress: Ingress::Webhook(webhook.name.clone()), clause }
}

/// What is wrong with an entry of `events`.
fn event_type(event: &str, provider: Provider) -> Option<String> {
    let prefix = provider.type_prefix();
    if !prefix.is_empty() && event.starts_with(&prefix) {
        return Some(format!("is written without {prefix} in front"));
    }
    if event.contains('*') {
        return Some("takes no *: a bare name covers all its actions".to_owned());
    }
    if provider == Provider::Bitbucket && event.contains(':') {
        return Some(format!("is written with a dot: {}", event.replace(':', ".")));
    }
    let inner = |c: char| !c.is_whitespace() && !c.is_control();
    let good = event.split('.').all(|part| !part.is_empty() && part.chars().all(inner));
    (!good).then(|| format!("{event:?} is not an event type: write for instance push or pull_request.opened"))
}
