//! One trigger's answer to one event, its runs in short, and the limit it counts against.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::event::EventRef;
use crate::engine::definitions::config::WhenFull;
use crate::engine::event::{Cause, Git, Millis};
use crate::engine::ids::{FiringId, ObjectName, RunId};
use crate::engine::verdict::Outcome;

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
