//! The few fields of Jobs and pods that are read, of Kubernetes' own.
//!
//! An object has some kilobytes, most of them of no use here, and comes anew with every change. Whatever is
//! missing has its default, so an object of any version is read.

use serde::{Deserialize, Deserializer};

use crate::engine::event::Millis;

/// A Job.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Job {
    /// Name, labels and so on.
    pub metadata: Meta,
    pub(super) spec: JobSpec,
    pub(super) status: JobStatus,
}

/// A pod.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// Name, labels and so on.
    pub metadata: Meta,
    pub(super) spec: PodSpec,
    pub(super) status: PodStatus,
}

/// `metadata`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Meta {
    /// Name.
    pub name: String,
    /// Namespace.
    pub namespace: String,
    /// Of this very object.
    pub uid: String,
    /// Of this state of it.
    pub resource_version: String,
    /// Labels that are read.
    pub labels: Labels,
    /// Annotations that are read.
    pub annotations: Annotations,
    /// The Job of a pod.
    pub owner_references: Vec<Owner>,
    #[serde(deserialize_with = "time")]
    pub(super) creation_timestamp: Option<Millis>,
    #[serde(deserialize_with = "time")]
    pub(super) deletion_timestamp: Option<Millis>,
    pub(super) deletion_grace_period_seconds: Option<i64>,
}

/// Labels that are read.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Labels {
    /// Who made it: `kickoff`.
    #[serde(rename = "app.kubernetes.io/managed-by")]
    pub managed_by: String,
    /// Which Kickoff.
    #[serde(rename = "kickoff.dev/instance")]
    pub instance: String,
    /// Id of the run.
    #[serde(rename = "kickoff.dev/run")]
    pub run: String,
    /// Number of the attempt.
    #[serde(rename = "kickoff.dev/attempt")]
    pub attempt: String,
}

/// Annotations that are read.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Annotations {
    /// What was put into the Job.
    #[serde(rename = "kickoff.dev/fingerprint")]
    pub fingerprint: String,
    /// Which data folder's server made it.
    #[serde(rename = "kickoff.dev/data-folder")]
    pub data_folder: String,
    /// How long it may take until its containers run.
    #[serde(rename = "kickoff.dev/start-timeout")]
    pub(super) start_timeout: String,
    /// How long it stays once it ended and its log is kept.
    #[serde(rename = "kickoff.dev/job-ttl")]
    pub(super) job_ttl: String,
}

/// Who an object belongs to.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Owner {
    /// Its uid.
    pub uid: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct JobSpec {
    pub(super) suspend: bool,
    pub(super) parallelism: Option<u32>,
    pub(super) completions: Option<u32>,
    pub(super) backoff_limit: Option<u32>,
    pub(super) backoff_limit_per_index: Option<u32>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct JobStatus {
    #[serde(deserialize_with = "time")]
    pub(super) start_time: Option<Millis>,
    pub(super) conditions: Vec<Condition>,
    pub(super) failed_indexes: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Condition {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) status: String,
    pub(super) reason: String,
    pub(super) message: String,
    #[serde(deserialize_with = "time")]
    pub(super) last_transition_time: Option<Millis>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PodSpec {
    pub(super) node_name: String,
    pub(super) termination_grace_period_seconds: Option<i64>,
    pub(super) init_containers: Vec<Container>,
    #[serde(deserialize_with = "list")]
    pub(super) containers: Vec<Container>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Container {
    pub(super) name: String,
    pub(super) restart_policy: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PodStatus {
    pub(super) phase: String,
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) conditions: Vec<Condition>,
    pub(super) init_container_statuses: Vec<ContainerStatus>,
    pub(super) container_statuses: Vec<ContainerStatus>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ContainerStatus {
    pub(super) name: String,
    pub(super) restart_count: u32,
    pub(super) state: ContainerState,
    pub(super) last_state: ContainerState,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct ContainerState {
    pub(super) waiting: Option<Waiting>,
    pub(super) running: Option<Running>,
    pub(super) terminated: Option<Terminated>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Waiting {
    pub(super) reason: String,
    pub(super) message: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Running {
    #[serde(deserialize_with = "time")]
    pub(super) started_at: Option<Millis>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Terminated {
    pub(super) exit_code: i32,
    pub(super) reason: String,
    pub(super) message: String,
    #[serde(deserialize_with = "time")]
    pub(super) started_at: Option<Millis>,
    #[serde(deserialize_with = "time")]
    pub(super) finished_at: Option<Millis>,
}

impl Pod {
    /// Whether a container of it has ended while it goes on: it may be started again.
    pub fn starts_again(&self) -> bool {
        let ended = |status: &ContainerStatus| {
            status.restart_count > 0
                || status.state.terminated.is_some()
                || status.last_state.terminated.is_some()
        };
        self.status.phase == "Running" && self.status.container_statuses.iter().any(ended)
    }
}

/// A list that is written also where there is none, as in the bookmarks of a watch.
fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Container>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// RFC 3339, to milliseconds; one that can't be read counts as missing. So does 1970, which is said of a
/// container that ended without a start.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Millis>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text
        .and_then(|text| text.parse::<jiff::Timestamp>().ok())
        .map(jiff::Timestamp::as_millisecond)
        .filter(|at| *at > 0))
}
