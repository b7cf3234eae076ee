//! Definitions as clients read them. What the server runs by itself (manifests, secrets) is not shown.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::engine::definitions::config::{ParamType, Provider};
use crate::engine::definitions::{
    Clause, JobTemplate, KubernetesSource, Leg, NatsFrom, NatsSource, Source, Trigger, Webhook,
};
use crate::engine::event::Millis;
use crate::engine::render::ParamSchema;
use crate::engine::schedule::Missed;
use crate::engine::verdict::Outcome;

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::web::api) struct TriggerView<'a> {
    name: &'a str,
    namespace: &'a str,
    suspend: bool,
    /// What is wrong with its current definition, where something is: it decides `invalid`.
    broken: Option<&'a str>,
    /// Which of its sources do not come in, and why.
    trouble: Vec<String>,
    priority: i32,
    sources: Vec<SourceView<'a>>,
    runs: Vec<PlanView<'a>>,
    concurrency: Option<ConcurrencyView<'a>>,
}

#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum SourceView<'a> {
    Webhook(WebhookSourceView<'a>),
    Schedule(ScheduleView<'a>),
    Verdict(VerdictView<'a>),
    Nats(NatsSourceView<'a>),
    Kubernetes(KubernetesSourceView<'a>),
    KubernetesEvent(KubernetesEventSourceView<'a>),
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct VerdictView<'a> {
    /// Triggers whose verdicts it takes.
    verdict: &'a [String],
    outcomes: Vec<Outcome>,
    /// Set where all of them are wanted, and for how long the first one waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    within_seconds: Option<i64>,
}

/// Times are RFC 3339, in the schedule's time zone.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ScheduleView<'a> {
    schedule: &'a str,
    time_zone: &'a str,
    /// The next slots.
    next: Vec<String>,
    /// How long after its slot it fires.
    delay_seconds: i64,
    #[schema(value_type = String)]
    missed: Missed,
}

#[derive(Serialize, ToSchema)]
struct WebhookSourceView<'a> {
    webhook: &'a str,
    events: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    repositories: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    branches: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    paths: &'a [String],
}

#[derive(Serialize, ToSchema)]
struct NatsSourceView<'a> {
    subject: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<&'a str>,
    /// Its durable consumer, the trigger's own where none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    consumer: Option<String>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    types: &'a [String],
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct KubernetesSourceView<'a> {
    /// The kind whose objects it watches.
    kubernetes: &'a str,
    api_version: String,
    change: Vec<&'static str>,
    /// What of it is told to this clause by itself: a condition, a field, once for each value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    clauses: Vec<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    names: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    namespaces: &'a [String],
    /// Labels that an object must have, with their values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: &'a BTreeMap<String, String>,
    /// Labels that its namespace must have, with their values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    namespace_labels: &'a BTreeMap<String, String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct KubernetesEventSourceView<'a> {
    /// What it listens for, in words.
    kubernetes_event: String,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    reasons: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    namespaces: &'a [String],
    /// Labels that its namespace must have, with their values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    namespace_labels: &'a BTreeMap<String, String>,
}

#[derive(Serialize, ToSchema)]
struct PlanView<'a> {
    name: &'a str,
    template: &'a str,
    environment: Option<&'a str>,
    matrix: &'a BTreeMap<String, Value>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ConcurrencyView<'a> {
    group: &'a str,
    limit: u32,
    max_queued: u32,
    max_wait_seconds: i64,
}

/// Of the Kickoff called `instance`, where `trouble` keeps some of its sources from coming in; `now` is what the
/// next slots follow.
pub(in crate::web::api) fn trigger<'a>(
    trigger: &'a Trigger,
    instance: &str,
    trouble: Vec<String>,
    now: Millis,
) -> TriggerView<'a> {
    let source = |source: &'a Source| view(source, instance, trigger, now);
    TriggerView {
        name: &trigger.name.name,
        namespace: &trigger.name.namespace,
        suspend: trigger.suspend,
        broken: trigger.broken.as_deref(),
        trouble,
        priority: trigger.priority,
        sources: trigger.sources.iter().filter_map(source).collect(),
        runs: trigger.legs.iter().map(plan).collect(),
        concurrency: trigger.concurrency.as_ref().map(|limit| ConcurrencyView {
            group: &limit.group,
            limit: limit.limit,
            max_queued: limit.max_queued,
            max_wait_seconds: limit.max_wait_ms / 1_000,
        }),
    }
}

fn view<'a>(source: &'a Source, instance: &str, trigger: &Trigger, now: Millis) -> Option<SourceView<'a>> {
    Some(match &source.clause {
        Clause::Webhook(webhook) => SourceView::Webhook(WebhookSourceView {
            webhook: &webhook.webhook.name,
            events: &webhook.events,
            repositories: webhook.repositories.texts(),
            branches: webhook.branches.texts(),
            paths: webhook.paths.texts(),
        }),
        Clause::Schedule(schedule) => SourceView::Schedule(ScheduleView {
            schedule: &schedule.slots.pattern,
            time_zone: &schedule.slots.time_zone,
            next: schedule.slots.shown_next(now),
            delay_seconds: schedule.delay_ms / 1_000,
            missed: schedule.missed,
        }),
        Clause::Verdict(verdict) => SourceView::Verdict(VerdictView {
            verdict: &verdict.triggers,
            outcomes: verdict.outcomes.iter().copied().collect(),
            within_seconds: verdict.join.as_ref().map(|join| join.within_ms / 1_000),
        }),
        Clause::Kubernetes(source) => SourceView::Kubernetes(kubernetes(source)),
        Clause::KubernetesEvent(source) => SourceView::KubernetesEvent(KubernetesEventSourceView {
            kubernetes_event: source.title(),
            reasons: source.reasons.texts(),
            namespaces: source.namespaces.texts(),
            namespace_labels: &source.namespace_labels.equal,
        }),
        // Told by the verdicts that it waits for.
        Clause::Joined => return None,
        Clause::Nats(nats) => {
            let subject = nats.subject().as_str();
            let (queue, stream, consumer) = match &nats.from {
                NatsFrom::Core { queue } => (Some(queue.as_str()), None, None),
                NatsFrom::Stream { stream, consumer } => {
                    let own = || NatsSource::own_consumer(instance, &trigger.name);
                    (None, Some(stream.as_str()), Some(consumer.clone().unwrap_or_else(own)))
                }
            };
            SourceView::Nats(NatsSourceView { subject, queue, stream, consumer, types: &nats.types })
        }
    })
}

fn kubernetes(source: &KubernetesSource) -> KubernetesSourceView<'_> {
    KubernetesSourceView {
        kubernetes: source.kind.as_str(),
        api_version: source.kind.api_version(),
        change: source.wants().iter().map(|want| want.change().as_str()).collect(),
        clauses: source.wants().iter().filter(|want| !want.is_shared()).map(|want| want.text()).collect(),
        names: source.names.texts(),
        namespaces: source.namespaces.texts(),
        labels: &source.labels.equal,
        namespace_labels: &source.namespace_labels.equal,
    }
}

fn plan(leg: &Leg) -> PlanView<'_> {
    PlanView {
        name: &leg.name,
        template: &leg.template.name.name,
        environment: leg.environment.as_deref(),
        matrix: &leg.matrix,
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::web::api) struct TemplateView<'a> {
    name: &'a str,
    namespace: &'a str,
    /// Where its Jobs run, unless an environment or a run says otherwise.
    runs_in: &'a str,
    params: Vec<ParamView<'a>>,
    environments: Vec<EnvironmentView<'a>>,
    timeout_seconds: i64,
    retries: RetriesView,
    retention: RetentionView,
}

#[derive(Serialize, ToSchema)]
struct ParamView<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    param_type: ParamType,
    required: bool,
    default: Option<&'a Value>,
}

#[derive(Serialize, ToSchema)]
struct EnvironmentView<'a> {
    name: &'a str,
    namespace: Option<&'a str>,
    params: &'a BTreeMap<String, Value>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RetriesView {
    limit: u32,
    outcomes: Vec<Outcome>,
    backoff_seconds: i64,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RetentionView {
    max_runs: u32,
    max_age_seconds: i64,
}

pub(in crate::web::api) fn template(template: &JobTemplate) -> TemplateView<'_> {
    let environments = template.environments.iter().map(|(name, environment)| EnvironmentView {
        name,
        namespace: environment.namespace.as_deref(),
        params: &environment.params,
    });
    TemplateView {
        name: &template.name.name,
        namespace: &template.name.namespace,
        runs_in: &template.namespace,
        params: template.params.iter().map(param).collect(),
        environments: environments.collect(),
        timeout_seconds: template.timeout_ms / 1_000,
        retries: RetriesView {
            limit: template.retries.limit,
            outcomes: template.retries.outcomes.iter().copied().collect(),
            backoff_seconds: template.retries.backoff_ms / 1_000,
        },
        retention: RetentionView {
            max_runs: template.max_runs,
            max_age_seconds: template.max_age_ms / 1_000,
        },
    }
}

fn param(param: &ParamSchema) -> ParamView<'_> {
    ParamView {
        name: param.name(),
        param_type: param.param_type(),
        required: param.is_required(),
        default: param.default(),
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::web::api) struct WebhookView<'a> {
    name: &'a str,
    namespace: &'a str,
    #[schema(value_type = String)]
    provider: Provider,
    max_body_bytes: usize,
    /// Where deliveries are sent to.
    path: &'a str,
    /// Whether it can verify deliveries; where not, the server's log says why.
    ready: bool,
}

/// Of a webhook.
pub(in crate::web::api) fn webhook(webhook: &Webhook) -> WebhookView<'_> {
    WebhookView {
        name: &webhook.name.name,
        namespace: &webhook.name.namespace,
        provider: webhook.provider,
        max_body_bytes: webhook.max_body,
        path: &webhook.path,
        ready: webhook.verifier.is_ok(),
    }
}
