//! What can happen, and what can be done about it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::gate::{Answer, Probe};
use super::key::Write;
use super::parked::Parked;
use crate::engine::event::{Event, Millis};
use crate::engine::ids::{EventKey, FiringId, RunId};
use crate::engine::manual::Subject;
use crate::engine::verdict::Finished;
use crate::engine::watch::Noted;

/// One attempt of a run: what becomes one Job.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobId {
    /// The run.
    pub run: RunId,
    /// From 1.
    pub attempt: u32,
}

impl JobId {
    /// Reads what [`std::fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        let (run, attempt) = text.rsplit_once('-')?;
        Some(Self { run: RunId::parse(run)?, attempt: attempt.parse().ok()? })
    }
}

impl std::fmt::Display for JobId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.run, self.attempt)
    }
}

/// All that can happen.
#[derive(Debug, Clone)]
pub enum Input {
    /// An event, at its position in the inbox.
    Event {
        /// Position; the cursor moves to it.
        position: u64,
        /// The event.
        event: Box<Event>,
        /// What it is about, where it is a command about something that is kept.
        subject: Option<Subject>,
    },
    /// New definitions are in force.
    Definitions,
    /// A Job was created, or could not be.
    Created {
        /// Which.
        job: JobId,
        /// What came of it.
        result: Created,
    },
    /// An executor saw a Job.
    Seen(JobSeen),
    /// An executor listed all its Jobs: one that is submitted and not among them is looked at by
    /// itself. A list may be older than the newest Job, so absence alone proves nothing.
    Listed(BTreeSet<JobId>),
    /// Log and results of an ended attempt are kept, or are known not to be had.
    Settled {
        /// Which.
        job: JobId,
        /// What became of them.
        settled: Settled,
    },
    /// The event of an [`Order::Append`] is in the inbox.
    Delivered(EventKey),
    /// The result under this number is on the bus.
    Published(u64),
    /// The result under this number could not be published in time.
    Parked(u64, Box<Parked>),
    /// The questions of an [`Order::Probe`] were asked.
    Probed {
        /// What waits for it.
        firing: FiringId,
        /// When, before the first answer.
        asked_at: Millis,
        /// In the order of the questions.
        answers: Vec<Answer>,
    },
    /// A watch of the cluster saw what fires nothing.
    Noted(Box<Noted>),
    /// Retention removed what is kept outside the records of these ended runs.
    Pruned(Vec<RunId>),
    /// Retention found these to be of no use any more.
    Expired(Expired),
    /// Time has passed.
    Due,
}

/// What retention found to be of no use any more.
#[derive(Debug, Clone, Default)]
pub struct Expired {
    /// Events beyond the dedup horizon, with nothing left that refers to them.
    pub events: Vec<EventKey>,
    /// Ended firings without a run that is kept.
    pub firings: Vec<FiringId>,
    /// Revisions that no event needs, with the hashes of their documents, as they are recorded.
    pub revisions: Vec<(String, Vec<String>)>,
}

/// What came of creating a Job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// It exists now, or did already and is ours.
    Submitted {
        /// The executor's id of this very Job.
        uid: String,
    },
    /// It will never exist. Ends the attempt with `Error`.
    Refused {
        /// One word, for instance `nameTaken`, `unsupported`.
        reason: String,
        /// A sentence for a person.
        message: String,
    },
}

/// A Job as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobSeen {
    /// Which.
    pub job: JobId,
    /// The executor's id of this very Job.
    pub uid: String,
    /// Its state.
    pub state: JobState,
    /// What is known of its pods, where it has some.
    pub pods: Vec<PodSeen>,
    /// Whether another server made it: one of another data folder.
    pub foreign: bool,
    /// Where it is, where others can make Jobs, too.
    pub place: Option<Box<Place>>,
}

impl JobSeen {
    /// A Job of whose pods nothing is known.
    pub fn new(job: JobId, uid: String, state: JobState) -> Self {
        Self { job, uid, state, pods: Vec::new(), foreign: false, place: None }
    }
}

/// A pod as it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodSeen {
    /// Name.
    pub name: String,
    /// The node it was placed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Exit code of the container that decided, once it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Why it ended or does not start, in one word of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Where a Job is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// State of a Job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobState {
    /// A container runs.
    Running {
        /// Since when.
        started_at: Millis,
    },
    /// It ended.
    Finished(Finished),
    /// It is not there any more.
    Gone,
}

/// What became of an ended attempt's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Settled {
    /// All of it is kept.
    Stored,
    /// Some of it is kept; the cut is marked.
    Partial,
    /// There is none to be had.
    Unavailable,
}

/// All that can be done. Each may be carried out more than once.
#[derive(Debug, Clone)]
pub enum Order {
    /// Create the Job; its manifest is the record `manifest/<run>`.
    Create(JobId),
    /// Stop and delete the Job.
    Delete {
        /// Which.
        job: JobId,
        /// The executor's id, where it is known.
        uid: Option<String>,
        /// Why, for the log.
        why: String,
    },
    /// Find out what became of this very Job, then answer `Seen`.
    Look {
        /// Which.
        job: JobId,
        /// The executor's id, where it is known.
        uid: Option<String>,
        /// Where it is, whatever became of its labels.
        place: Place,
    },
    /// Remove what an ended Job left with its executor.
    Clean(JobId),
    /// Keep log and results, then answer `Settled`.
    Collect(JobId),
    /// Publish the result under this number, then answer `Published`. Those that are ordered earlier go first.
    Report(u64),
    /// Ask what a gate asks, then answer `Probed`.
    Probe(Box<Probe>),
    /// Append the event to the inbox, then answer `Delivered`.
    Append(Box<Event>),
}

impl Order {
    /// What it is about: orders about the same are carried out one after the other.
    pub fn lane(&self) -> String {
        match self {
            Self::Create(job)
            | Self::Collect(job)
            | Self::Clean(job)
            | Self::Delete { job, .. }
            | Self::Look { job, .. } => job.run.to_string(),
            Self::Append(event) => event.attributes.key.to_string(),
            Self::Report(_) => "reports".to_owned(),
            Self::Probe(probe) => probe.firing.to_string(),
        }
    }
}

/// The answer to one input.
#[derive(Debug, Default)]
pub struct Step {
    /// What must be durable before any order is carried out.
    pub writes: Vec<Write>,
    /// What is to be done then.
    pub orders: Vec<Order>,
}
