//! A run with its attempts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::event::EventRef;
use crate::engine::definitions::model::Retries;
use crate::engine::event::{Cause, Git, Millis};
use crate::engine::ids::{FiringId, ObjectName, RunId, job_name};
use crate::engine::machine::types::{JobId, Place, PodSeen, Settled};
use crate::engine::verdict::{ExitCodes, Outcome};

/// State of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum RunState {
    /// Waits for its firing's place, or for one of `--max-running`.
    Queued,
    /// Its Job is being created.
    Launching,
    /// Its Job exists.
    Submitted,
    /// A container runs.
    Running,
    /// Its Job is being stopped.
    Cancelling,
    /// Waits for the next attempt.
    Retrying,
    /// It has an outcome; log and results are being kept.
    Ended,
    /// Log and results are settled.
    Settled,
}

impl RunState {
    /// Whether it holds one of `--max-running` places.
    pub fn occupies(self) -> bool {
        matches!(self, Self::Launching | Self::Submitted | Self::Running | Self::Cancelling)
    }

    /// Whether its attempt has a Job that has not ended, as far as is known.
    pub fn has_job(self) -> bool {
        matches!(self, Self::Submitted | Self::Running | Self::Cancelling)
    }

    /// Whether it has its outcome.
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Ended | Self::Settled)
    }
}

/// One leg of a firing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// Derived id.
    pub id: RunId,
    /// Its firing.
    pub firing: FiringId,
    /// The trigger; missing for a template run by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<ObjectName>,
    /// The template.
    pub template: ObjectName,
    /// Name of the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Name of the leg.
    pub name: String,
    /// The cell's values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub matrix: BTreeMap<String, Value>,
    /// Params as they were used; secrets are references.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, Value>,
    /// Where its Jobs run.
    pub namespace: String,
    /// The event.
    pub event: EventRef,
    /// The original event, where a replay or a rerun started it: `event` is the command then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<EventRef>,
    /// What the event says about the code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<Git>,
    /// The firings that led to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// State.
    pub state: RunState,
    /// Current attempt, from 1.
    pub attempt: u32,
    /// What is known of the attempts so far, the current one last; empty before the first launch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// Why it is being stopped, once it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<String>,
    /// Outcome, once ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Reason of the outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Exit code of the last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Whether its template lets it give outputs, frozen.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gives_outputs: bool,
    /// What it gave, once ended: an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Value>,
    /// Further attempts, frozen.
    pub retries: Retries,
    /// Meaning of exit codes, frozen.
    pub exit_codes: ExitCodes,
    /// Time-out of an attempt, milliseconds, frozen.
    pub timeout_ms: i64,
    /// Higher goes first.
    pub priority: i32,
    /// Order of arrival: inbox position, then place among that event's runs.
    pub ordinal: (u64, u32),
    /// When it was decided.
    pub created_at: Millis,
    /// When it got into its current state: what due times count from.
    pub since: Millis,
    /// When the first container of the first attempt started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Millis>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Millis>,
}

impl Run {
    /// The definition that it belongs to: its trigger, or its template where it was run by hand.
    pub fn owner(&self) -> &ObjectName {
        self.trigger.as_ref().unwrap_or(&self.template)
    }

    /// Whether it still waits for this Job to be made. One that was seen meanwhile is never made again: it may have
    /// been deleted since.
    pub fn waits_for(&self, job: &JobId) -> bool {
        self.id == job.run && self.attempt == job.attempt && self.state == RunState::Launching
    }

    /// Where the Job of an attempt is.
    pub fn place(&self, attempt: u32) -> Place {
        Place { namespace: self.namespace.clone(), name: job_name(&self.owner().name, &self.id, attempt) }
    }
}

/// One attempt of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// The executor's id of the Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// When its first container started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Millis>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Millis>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Reason of the outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Its pods, the oldest first, as they were seen when it started, when each further one came, and when it ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pods: Vec<PodSeen>,
    /// What became of its log; missing until settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Settled>,
}
