//! `spec` of a `Trigger`, as people write it.
//!
//! Part of `config`, with the same rules: unknown fields are errors, and a field exists only once it
//! works.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::gate::GateConfig;
use super::kubernetes::{KubernetesEventSourceConfig, KubernetesSourceConfig};
use crate::engine::definitions::quantity::Span;
use crate::engine::schedule::Missed;
use crate::engine::verdict::Outcome;

/// `spec` of a `Trigger`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TriggerSpec {
    /// Decides `suspended` and runs nothing.
    #[serde(default)]
    pub suspend: bool,
    /// Any of them; none means by hand only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceConfig>,
    /// Which events belong together, for `changed` and `debounce`: for instance `"{{ git.repository }} {{ git.branch }}"`. Default: the
    /// repository with the pull request's number or the ref, else source and subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<String>,
    /// All must hold.
    #[serde(rename = "match", default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleConfig>,
    /// What must answer before it fires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateConfig>,
    /// What an event is about that has no commit of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<GitConfig>,
    /// What runs.
    #[schemars(length(min = 1))]
    pub runs: Vec<RunConfig>,
    /// Limits.
    #[serde(default)]
    pub policy: PolicyConfig,
}

/// One source: exactly one of the fields.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum SourceConfig {
    /// Deliveries of a Webhook.
    Webhook(WebhookSourceConfig),
    /// Slots of a clock.
    Schedule(ScheduleSourceConfig),
    /// Verdicts of other triggers.
    Verdict(VerdictSourceConfig),
    /// Messages of NATS.
    Nats(NatsSourceConfig),
    /// Changes of objects of the cluster.
    Kubernetes(Box<KubernetesSourceConfig>),
    /// Events of the cluster.
    KubernetesEvent(KubernetesEventSourceConfig),
}

/// Verdicts of other triggers.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VerdictSourceConfig {
    /// Names of the triggers, any of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<String>,
    /// In place of `triggers`: names of 2 to 16 triggers, all of which must have such a verdict.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub all: Vec<String>,
    /// With `all`: verdicts of the same value belong together, for instance `"{{ git.sha }}"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// With `all`: for how long the first one waits for the others; default 1h, at most 7d.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
    /// Which verdicts; default `[Passed]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcomes: Option<BTreeSet<Outcome>>,
}

/// Slots of a clock, as those of a `CronJob`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScheduleSourceConfig {
    /// Five fields as `30 2 * * *`, with seconds in front or years behind too; also `L W #` and `@daily`.
    pub cron: String,
    /// IANA name of the time zone; default `UTC`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Each slot fires later by a span below this, always the same one; default 0s, at most 1d.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter: Option<Span>,
    /// How late a slot may still fire; default 1h, at most 7d.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starting_deadline: Option<Span>,
    /// What becomes of slots that came while nobody looked; default `Latest`.
    #[serde(default)]
    pub missed: Missed,
}

/// Deliveries of a Webhook.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WebhookSourceConfig {
    /// Name of the Webhook.
    pub name: String,
    /// Types without `com.<provider>.`; a bare name covers all its actions; none means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
    /// Globs of `git.repository`; none means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<String>,
    /// Globs of `git.baseBranch` where there is one (a pull request), else of `git.branch`; none means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub branches: Vec<String>,
    /// Globs of files of which a push must have changed one; none means any. Where a payload doesn't
    /// tell, it fires and the decision says so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
}

/// Messages of NATS: of a subject, or with `stream` those that a stream of JetStream keeps, none of which is
/// lost. A message that is no `CloudEvent` is an event of type `dev.kickoff.nats.message`; rules find its
/// subject at `event.natssubject`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NatsSourceConfig {
    /// Subject; `*` stands for one word, a last `>` for all that follow.
    pub subject: String,
    /// Queue group, whose members share the messages; default `kickoff`. Not with `stream`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// The stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// Its durable pull consumer, made if it is missing, with the oldest message that is there as its
    /// first; one that is there is used as it is. Default: `<instance>-<namespace>-<trigger>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,
    /// Types of CloudEvents; `a.b` also covers `a.b.c`; none means all messages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
}

/// A commit for events that have none of their own. Rendered when the trigger fires.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GitConfig {
    /// Name of a Webhook of the forge that holds the repository.
    pub webhook: String,
    /// `owner/name`; may hold `{{ }}`.
    pub repository: String,
    /// The commit's id; may hold `{{ }}`.
    pub sha: String,
}

/// One rule: `all`, `any`, `not`, `cel`, or a `path` with one operator.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RuleConfig {
    /// All of these hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub all: Option<Vec<RuleConfig>>,
    /// Any of these holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub any: Option<Vec<RuleConfig>>,
    /// This does not hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not: Option<Box<RuleConfig>>,
    /// A CEL expression over `event` and `git` that gives true or false, up to 1 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cel: Option<String>,
    /// `JSONPath` (RFC 9535); the leading `$.` may be left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The value, of the same type, is this.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub equals: Option<Value>,
    /// No value is this.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub not_equals: Option<Value>,
    /// The value is one of these.
    #[serde(rename = "in", skip_serializing_if = "Option::is_none")]
    pub is_in: Option<Vec<Value>>,
    /// No value is one of these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_in: Option<Vec<Value>>,
    /// There is a value (null counts as none), or there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exists: Option<bool>,
    /// The whole string matches this regular expression. Where the strings are so long for it that this could take more
    /// than 50 ms, the event is `invalid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matches: Option<String>,
    /// The whole string matches this glob; `*` stops at `/`, `**` does not. Bounded as `matches` is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub glob: Option<String>,
    /// The string starts with this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts_with: Option<String>,
    /// The string contains this text, or the array this item.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub contains: Option<Value>,
    /// The number is greater.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gt: Option<serde_json::Number>,
    /// The number is greater or equal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gte: Option<serde_json::Number>,
    /// The number is less.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lt: Option<serde_json::Number>,
    /// The number is less or equal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lte: Option<serde_json::Number>,
    /// What the path gives is not what it gave at the last event of the series, or is. The first event
    /// of a series has changed nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed: Option<bool>,
}

/// Tells `equals: null` from no `equals`.
pub(super) fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// One entry of `runs`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RunConfig {
    /// Default: the template's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Name of a `JobTemplate`.
    pub template: String,
    /// Name of one of its environments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Where it runs; wins over the environment's and the template's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Values; they win over the environment's. Strings may hold `{{ }}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, Value>,
    /// One run for each combination; also visible as params of the same name where the template has them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub matrix: BTreeMap<String, Vec<Value>>,
}

/// Limits.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PolicyConfig {
    /// How many firings at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<ConcurrencyConfig>,
    /// Of events that come close together, only the last one fires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub debounce: Option<DebounceConfig>,
    /// How many runs within a span.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimitConfig>,
    /// Higher goes first; a waiting firing gains 1 a minute. A resource may have up to 60, or what the server's
    /// `--grants` say.
    pub priority: i32,
}

/// Of the events of a series that come close together, only the last one fires. It is decided `held` until
/// then, and the others `coalesced`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DebounceConfig {
    /// For how long nothing more must come, at most 24h.
    pub quiet: Span,
    /// The longest wait from the first event on, at most 24h; default ten times `quiet`, up to 24h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_wait: Option<Span>,
}

/// How many runs within a span. One firing too many is decided `rateLimited`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RateLimitConfig {
    /// Up to 1,000; not less than one firing has.
    #[schemars(range(min = 1, max = 1000))]
    pub runs: u32,
    /// Length of the span, at most 30d.
    pub per: Span,
    /// Counts apart for each value, for instance `"{{ git.branch }}"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// How many firings at once.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConcurrencyConfig {
    /// At least 1.
    #[schemars(range(min = 1))]
    pub limit: u32,
    /// Triggers of one group share the limit; default: the trigger alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Counts apart for each value, for instance `"{{ git.branch }}"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What to do with one too many; default `Queue`.
    #[serde(default)]
    pub when_full: WhenFull,
    /// How many may wait; default 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_queued: Option<u32>,
    /// How long one may wait; default 24h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_wait: Option<Span>,
}

/// What to do with one firing too many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum WhenFull {
    /// It waits.
    #[default]
    Queue,
    /// It is decided `skipped`.
    Skip,
    /// Older ones are cancelled; it starts once they ended.
    Replace,
}
