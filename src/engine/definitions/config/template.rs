//! Job templates as people write them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine::definitions::quantity::Span;
use crate::engine::pod::JOB_TTL_MS;
use crate::engine::verdict::Outcome;

/// `spec` of a `JobTemplate`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobTemplateSpec {
    /// Typed parameters, up to 128.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<ParamConfig>,
    /// Named sets of parameters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environments: Vec<EnvironmentConfig>,
    /// What an event's value may reach beyond env values, args, labels and annotations.
    #[serde(default)]
    pub allow: AllowConfig,
    /// Where Jobs run; default the definition's own namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The Job: metadata and a batch/v1 `JobSpec`, verbatim.
    pub job: JobConfig,
    /// How long an attempt may take, from the start of its pod; default 30m. Where its Job makes several pods, each
    /// has this, and all of them together `startTimeout` and a minute more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// How long it may take on a cluster until the containers run, or the attempt ends `Error` with the
    /// cluster's reason: the image can't be pulled, no node has room; default 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_timeout: Option<Span>,
    /// Further attempts.
    #[serde(default)]
    pub retries: RetriesConfig,
    /// How results are read.
    #[serde(default)]
    pub results: ResultsConfig,
    /// How long runs are kept.
    #[serde(default)]
    pub retention: RetentionConfig,
}

/// One parameter.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ParamConfig {
    /// A name of letters, digits and `_`.
    pub name: String,
    /// Default `string`.
    #[serde(rename = "type", default)]
    pub param_type: ParamType,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Must be given where there is no default.
    #[serde(default)]
    pub required: bool,
    /// Used where nothing else gives a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// `string`: a regular expression that the whole value matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// The values there are.
    #[serde(rename = "enum", default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Value>,
    /// `integer`, `number`: the least value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<f64>,
    /// `integer`, `number`: the greatest value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum: Option<f64>,
}

/// Type of a parameter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum ParamType {
    #[default]
    String,
    Integer,
    Number,
    Boolean,
    /// A `{secretKeyRef: {name, key}}`; its value never passes through Kickoff.
    Secret,
}

/// A named set of parameters and where it runs.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnvironmentConfig {
    /// For instance `staging`.
    pub name: String,
    /// Where Jobs run in this environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Values; they win over the parameters' defaults.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, Value>,
}

/// Globs that a rendered value must match to stand in these places.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AllowConfig {
    /// `image`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// `namespace`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// `serviceAccountName`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub service_accounts: Vec<String>,
    /// Names of Secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// Names of `ConfigMaps`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub config_maps: Vec<String>,
}

/// The Job as a `CronJob`'s `jobTemplate` has it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobConfig {
    /// Labels and annotations.
    #[serde(default)]
    pub metadata: JobMetadataConfig,
    /// A batch/v1 `JobSpec`; kept as it is written, so newer fields survive.
    pub spec: serde_json::Map<String, Value>,
}

/// `metadata` of the Job.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobMetadataConfig {
    /// Labels; may hold `{{ }}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations; may hold `{{ }}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Further attempts.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RetriesConfig {
    /// How many attempts beyond the first, up to 98; default 0.
    #[schemars(range(max = 98))]
    pub limit: u32,
    /// After which outcomes; default `[Error]`.
    pub outcomes: Vec<Outcome>,
    /// Pause before the next attempt; doubled each time, up to 1h; default 10s.
    pub backoff: Span,
}

impl Default for RetriesConfig {
    fn default() -> Self {
        Self { limit: 0, outcomes: vec![Outcome::Error], backoff: Span::from_millis(10_000) }
    }
}

/// How results are read.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ResultsConfig {
    /// What exit codes mean.
    pub exit_codes: ExitCodesConfig,
    /// Absolute path of a file into which the first container may write a JSON object, up to 4 KiB; it is told the
    /// path as `KICKOFF_OUTPUTS`. Kubernetes reads it as the container's termination message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outputs: Option<String>,
}

/// What exit codes mean.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ExitCodesConfig {
    /// Codes or ranges that mean that the test said no; default `["1-255"]`. Any other is an `Error`.
    pub failed: Vec<String>,
}

impl Default for ExitCodesConfig {
    fn default() -> Self {
        Self { failed: vec!["1-255".to_owned()] }
    }
}

/// How long runs are kept.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RetentionConfig {
    /// How many ended runs of this template; default 100.
    #[schemars(range(min = 1))]
    pub max_runs: u32,
    /// How old; default 30d.
    pub max_age: Span,
    /// How long an ended Job stays in its cluster, with its pods, once its log is kept; up to 7d, default 1h.
    #[serde(rename = "jobTTL")]
    pub job_ttl: Span,
}

impl Default for RetentionConfig {
    fn default() -> Self {
        let max_age = Span::from_millis(30 * 86_400_000);
        Self { max_runs: 100, max_age, job_ttl: Span::from_millis(JOB_TTL_MS) }
    }
}
