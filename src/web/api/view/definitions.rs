//! Definitions as clients read them. What the server runs by itself (manifests, secrets) is not shown.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::engine::definitions::config::{ParamType, Provider};
use crate::engine::definitions::{Clause, JobTemplate, Leg, Source, Trigger, Webhook};
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

/// `now` is what the next slots follow.
pub(in crate::web::api) fn trigger(trigger: &Trigger, now: Millis) -> TriggerView<'_> {
    TriggerView {
        name: &trigger.name.name,
        namespace: &trigger.name.namespace,
        suspend: trigger.suspend,
        broken: trigger.broken.as_deref(),
        priority: trigger.priority,
        sources: trigger.sources.iter().filter_map(|it| source(it, now)).collect(),
        runs: trigger.legs.iter().map(plan).collect(),
        concurrency: trigger.concurrency.as_ref().map(|limit| ConcurrencyView {
            group: &limit.group,
            limit: limit.limit,
            max_queued: limit.max_queued,
            max_wait_seconds: limit.max_wait_ms / 1_000,
        }),
    }
}

fn source(source: &Source, now: Millis) -> Option<SourceView<'_>> {
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
        // Told by the verdicts that it waits for.
        Clause::Joined => return None,
    })
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
    path: String,
    /// Whether it can verify deliveries; where not, the server's log says why.
    ready: bool,
}

/// `own` is the namespace that paths leave out.
pub(in crate::web::api) fn webhook<'a>(webhook: &'a Webhook, own: &str) -> WebhookView<'a> {
    let name = &webhook.name;
    WebhookView {
        name: &name.name,
        namespace: &name.namespace,
        provider: webhook.provider,
        max_body_bytes: webhook.max_body,
        path: if name.namespace == own {
            format!("/hooks/{}", name.name)
        } else {
            format!("/hooks/{}/{}", name.namespace, name.name)
        },
        ready: webhook.verifier.is_ok(),
    }
}
