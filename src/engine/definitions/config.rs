//! What serde reads: the three kinds as people write them.
//!
//! Unknown fields are errors everywhere. A field exists here only once it works. The JSON Schema of
//! these structs finds every problem of a document at once; serde then can't fail on it.

mod gate;
mod kubernetes;
mod template;
mod trigger;
mod webhook;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use gate::{GateConfig, GateHttpConfig, GateMethod};
pub use kubernetes::{
    ConditionConfig, ConditionStatus, EventType, FieldConfig, InvolvedObjectConfig,
    KubernetesEventSourceConfig, KubernetesSourceConfig, LabelExpressionConfig, LabelOperator,
    LabelSelectorConfig,
};
pub use template::{
    AllowConfig, EnvironmentConfig, ExitCodesConfig, JobConfig, JobMetadataConfig, JobTemplateSpec,
    ParamConfig, ParamType, ResultsConfig, RetentionConfig, RetriesConfig,
};
pub use trigger::{
    ConcurrencyConfig, DebounceConfig, GitConfig, NatsSourceConfig, PolicyConfig, RateLimitConfig,
    RuleConfig, RunConfig, ScheduleSourceConfig, SourceConfig, TriggerSpec, VerdictSourceConfig,
    WebhookSourceConfig, WhenFull,
};
pub use webhook::{
    Algorithm, AllowedFrom, AllowedNamespacesConfig, AuthConfig, Encoding, Forks, Provider, Scheme,
    SecretKeyRef, SecretSource, WebhookSpec,
};

/// The only `apiVersion`.
pub const API_VERSION: &str = "kickoff.dev/v1alpha1";

/// One document.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", deny_unknown_fields)]
pub enum DocumentConfig {
    /// Where deliveries arrive.
    Webhook(Resource<WebhookSpec>),
    /// What runs.
    JobTemplate(Resource<JobTemplateSpec>),
    /// When it runs.
    Trigger(Resource<TriggerSpec>),
}

/// The envelope of every kind (without `kind`, which chooses it).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Resource<S> {
    /// `kickoff.dev/v1alpha1`.
    pub api_version: String,
    /// Name and namespace.
    pub metadata: MetadataConfig,
    /// The kind's own fields.
    pub spec: S,
}

/// `metadata` of a definition.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MetadataConfig {
    /// A DNS label of up to 30 characters.
    pub name: String,
    /// Of a file: the server's namespace, which may be left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Free labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Free annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}
