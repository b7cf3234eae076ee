//! A trigger's source of a cluster, as people write it.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::trigger::present;
use crate::engine::watch::Change;

/// Changes of objects of the cluster that the server runs Jobs on, of any kind. Each is one event, with the
/// object at `event.data.object`; what was there before a kind was watched for the first time is none, and so
/// is what Kickoff itself launched.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KubernetesSourceConfig {
    /// `v1`, or group and version as `apps/v1`.
    pub api_version: String,
    /// For instance `Deployment`.
    pub kind: String,
    /// Globs of names; none means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Globs of namespaces; none means all that the server serves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// Which labels their namespaces have; none means any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelectorConfig>,
    /// Which labels they have; none means any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_selector: Option<LabelSelectorConfig>,
    /// Which changes, any of them.
    pub change: BTreeSet<Change>,
    /// With `change: [Condition]`: which one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<ConditionConfig>,
    /// With `change: [Field]`: which one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<FieldConfig>,
    /// Path to a field of the object, such as `metadata.labels['app.kubernetes.io/version']`: a change of an object
    /// fires once for each value there. A condition then also fires where it goes on holding for another value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub once_per: Option<String>,
}

/// A condition in an object's status; it fires when it begins to hold.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConditionConfig {
    /// For instance `Ready`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Default `True`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<ConditionStatus>,
    /// The reason that it must have; none means any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Status of a condition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It holds.
    #[default]
    True,
    /// It does not.
    False,
    /// It can't be told.
    Unknown,
}

impl ConditionStatus {
    /// As objects write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// A field of an object; it fires when its value changes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FieldConfig {
    /// `JSONPath` of names and indexes from the object, such as `status.phase`.
    pub path: String,
    /// The value it had; none means any, null that it was missing.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub from: Option<Value>,
    /// The value it has now; none means any, null that it is missing. An object that is made with it fires too.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub to: Option<Value>,
}

/// Events of the cluster: what it says of its objects, also what it says again. Each is one event, with the
/// reason at `event.data.reason` and what it is about at `event.data.involvedObject`; those about what Kickoff itself
/// launched are none.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KubernetesEventSourceConfig {
    /// Globs of reasons, such as `FailedScheduling`; none means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// Default `Warning`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub event_type: Option<EventType>,
    /// What they are about; none means anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub involved_object: Option<InvolvedObjectConfig>,
    /// Globs of namespaces; none means all that the server serves. What is in no namespace has its Events in `default`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// Which labels their namespaces have; none means any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelectorConfig>,
}

/// What an Event is about.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InvolvedObjectConfig {
    /// Its API version; none means any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// Its kind; none means any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Glob of its name; none means any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// How serious an Event is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum EventType {
    /// Something may be wrong.
    #[default]
    Warning,
    /// It is information.
    Normal,
    /// Either.
    Any,
}

/// Which labels an object has, as everywhere in Kubernetes: all must hold.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelSelectorConfig {
    /// Labels and their values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// What else holds of labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<LabelExpressionConfig>,
}

/// What holds of a label.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelExpressionConfig {
    /// The label's name.
    pub key: String,
    /// What.
    pub operator: LabelOperator,
    /// For `In` and `NotIn`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// What may hold of a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LabelOperator {
    /// It is there with one of the values.
    In,
    /// It is not there with any of the values.
    NotIn,
    /// It is there.
    Exists,
    /// It is not there.
    DoesNotExist,
}
