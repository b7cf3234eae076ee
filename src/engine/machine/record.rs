//! The durable records: whole values under derived keys, written and deleted by [`Write`](super::Write).
//!
//! A record's JSON form is a format on disk: fields are only ever added, with a default.

mod event;
mod firing;
mod run;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::event::{Decision, DecisionKind, EventRecord, EventRef};
pub use self::firing::{Firing, FiringState, RunSummary, Slot};
pub use self::run::{Attempt, Run, RunState};
use super::debounce::Debounced;
use super::gate::Gated;
use super::join::Hold;
use super::parked::Parked;
use super::rate::Rate;
use super::report::Report;
use super::series::Series;
use crate::engine::definitions::model::Document;
use crate::engine::event::{Attributes, Millis};
use crate::engine::render::Manifest;
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
    Manifest(Manifest),
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
