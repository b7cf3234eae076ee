//! The durable records: whole values under derived keys, written and deleted by [`Write`](super::Write).
//!
//! A record's JSON form is a format on disk: fields are only ever added, with a default.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::debounce::Debounced;
use super::gate::Gated;
use super::join::Hold;
use super::parked::Parked;
use super::rate::Rate;
use super::report::Report;
use super::series::Series;
use super::types::{Place, PodSeen, Settled};
use crate::engine::definitions::config::WhenFull;
use crate::engine::definitions::model::{Document, Retries};
use crate::engine::event::{Attributes, Cause, Git, Millis};
use crate::engine::ids::{EventKey, FiringId, ObjectName, RunId, job_name};
use crate::engine::rules::Before;
use crate::engine::verdict::{ExitCodes, Outcome};
use crate::engine::watch::Mark;

/// A record's value. Stored as JSON with its kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value", rename_all = "camelCase")]
pub enum Record {
    /// Under `cursor`: the inbox position up to which everything is decided.
    Cursor(u64),
    /// Under `run/open/` and `run/done/`.
    Run(Box<Run>),
    /// Under `manifest/`: a Job without name and labels of an attempt.
    Manifest(Value),
    /// Under `firing/open/` and `firing/done/`.
    Firing(Box<Firing>),
    /// Under `event/`, and under `held/` while a decision is to come.
    Event(Box<EventRecord>),
    /// Under `doc/`.
    Document(Box<Document>),
    /// Under `revision/`: hashes of its documents.
    Revision(Vec<String>),
    /// Under `delivery/`: an event and its JSON body.
    Delivery(Box<Delivery>),
    /// Under `mark/`: the last slot that was decided, or when the schedule was first seen.
    Mark(Millis),
    /// Under `rollout/`: what was last said of an object of the cluster.
    #[serde(rename = "rollout")]
    Object(Box<Mark>),
    /// Under `watched/`: since when.
    Watched(Millis),
    /// Under `debounce/`.
    Debounced(Box<Debounced>),
    /// Under `gate/`.
    Gated(Box<Gated>),
    /// Under `hold/`.
    Hold(Box<Hold>),
    /// Under `rate/`.
    Rate(Box<Rate>),
    /// Under `parked/`: why, and since when.
    Parked(Box<Parked>),
    /// Under `report/`.
    Report(Box<Report>),
    /// Under `series/`.
    Series(Box<Series>),
}

/// An event that is to be appended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// Its attributes.
    pub attributes: Attributes,
    /// Its body.
    pub data: Value,
}

/// What was decided about an event. Filtered decisions are only counted; they are computed again
/// from the event and `revision` when somebody asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventRecord {
    /// Position in the inbox.
    pub position: u64,
    /// Attributes.
    pub attributes: Attributes,
    /// Revision of the definitions that decided.
    pub revision: String,
    /// Every decision that is not `filtered`.
    pub decisions: Vec<Decision>,
    /// How many triggers that listen on this source filtered it.
    pub filtered: u32,
    /// What triggers with `changed` compared it with.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub before: BTreeMap<ObjectName, Before>,
    /// When it was decided.
    pub decided_at: Millis,
}

/// What one trigger made of an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// The trigger; for a template run by hand the template, for a command its target.
    pub trigger: ObjectName,
    /// Which.
    pub decision: DecisionKind,
    /// Why, for people.
    pub reason: String,
    /// The firing, where it fired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firing: Option<FiringId>,
}

/// Kinds of decisions.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum DecisionKind {
    /// It runs, or waits for a place.
    Fired,
    /// A rule did not hold.
    Filtered,
    /// It waits until its series is quiet or its gate is open; this decision is replaced then.
    Held,
    /// It is taken together with others, which it waits for or which came after it.
    Coalesced,
    /// As many runs as may be were started lately.
    RateLimited,
    /// A limit is full, or its gate stayed shut.
    Skipped,
    /// The trigger is suspended.
    Suspended,
    /// Something about the event or the definition is wrong.
    Invalid,
    /// A command to cancel was taken.
    Cancelled,
    /// A command to send results again was taken.
    Redelivered,
}

impl DecisionKind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Fired,
        Self::Filtered,
        Self::Held,
        Self::Coalesced,
        Self::RateLimited,
        Self::Skipped,
        Self::Suspended,
        Self::Invalid,
        Self::Cancelled,
        Self::Redelivered,
    ];

    /// As it is written everywhere: `rateLimited`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fired => "fired",
            Self::Filtered => "filtered",
            Self::Held => "held",
            Self::Coalesced => "coalesced",
            Self::RateLimited => "rateLimited",
            Self::Skipped => "skipped",
            Self::Suspended => "suspended",
            Self::Invalid => "invalid",
            Self::Cancelled => "cancelled",
            Self::Redelivered => "redelivered",
        }
    }
}

/// One trigger's answer to one event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Firing {
    /// Derived id.
    pub id: FiringId,
    /// The trigger, or for a template run by hand the template.
    pub trigger: ObjectName,
    /// The event.
    pub event: EventRef,
    /// The original event, where a replay or a rerun started it: `event` is the command then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<EventRef>,
    /// What the event says about the code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<Git>,
    /// The firing that caused the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Its state.
    pub state: FiringState,
    /// The series of its event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<String>,
    /// The outcome before in that series, once ended; one that was cancelled says nothing and is passed over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Outcome>,
    /// The limit it counts against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<Slot>,
    /// Higher goes first.
    pub priority: i32,
    /// Order of arrival: inbox position, then place among that event's firings.
    pub ordinal: (u64, u32),
    /// Its runs.
    pub runs: Vec<RunSummary>,
    /// The verdict, once ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Why it ended without running, for instance `maxWait`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was decided.
    pub created_at: Millis,
    /// What its longest wait counts from: `created_at`, or later where the clock went back.
    pub since: Millis,
    /// When it took its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Millis>,
    /// When its last run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Millis>,
}

/// Which event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventRef {
    /// Key.
    pub key: EventKey,
    /// CloudEvents `id`.
    pub id: String,
    /// CloudEvents `source`.
    pub source: String,
    /// CloudEvents `type`.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The trace that its sender said it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// A run within its firing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunSummary {
    /// Id.
    pub id: RunId,
    /// Name of the leg.
    pub name: String,
    /// The template.
    pub template: ObjectName,
    /// The cell's values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub matrix: BTreeMap<String, Value>,
    /// Params as they were used; secrets are references.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, Value>,
    /// Once ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// What it gave, once ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Value>,
}

/// State of a firing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum FiringState {
    /// Waits for a place in its group.
    Queued,
    /// Has its place.
    Active,
    /// All its runs ended.
    Ended,
}

/// The limit a firing counts against, as it was when it was decided.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Slot {
    /// `namespace/group`.
    pub group: String,
    /// Counts apart for each value.
    pub key: String,
    /// How many at once.
    pub limit: u32,
    /// What it did, or does, with one too many.
    pub when_full: WhenFull,
    /// How many may wait at once.
    #[serde(default = "max_queued")]
    pub max_queued: u32,
    /// How long it may wait, milliseconds.
    pub max_wait_ms: i64,
}

/// Of a slot that was recorded without it: what a limit has that says nothing.
fn max_queued() -> u32 {
    100
}

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
    /// Its pods, the oldest first, as they were seen when it started and when it ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pods: Vec<PodSeen>,
    /// What became of its log; missing until settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Settled>,
}
