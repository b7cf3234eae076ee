//! Commands of people and programs, as events: `dev.kickoff.manual`.
//!
//! Run, cancel, rerun, replay and redeliver go the way of every event, so they are durable, decided in order and
//! can be read afterwards. What a command is about (a run, an earlier event) is only named in it: who
//! steps the machine hands it over with the command, see [`Subject`].

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::event::{Attributes, Event, Ingress, Millis};
use super::ids::{EventKey, ObjectName, RunId};
use super::machine::{Firing, Run};
use super::render::Manifest;
use super::rules::Before;

/// Type of the event that carries a [`Command`].
pub const MANUAL_TYPE: &str = "dev.kickoff.manual";

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "camelCase", deny_unknown_fields)]
pub enum Command {
    /// Fire a trigger, or run a template, now.
    #[serde(rename_all = "camelCase")]
    Run {
        /// Which.
        target: Target,
        /// Values that win over all others.
        #[serde(default)]
        params: BTreeMap<String, Value>,
        /// In place of what the trigger's runs name.
        #[serde(default)]
        environment: Option<String>,
    },
    /// End a run.
    Cancel {
        /// Which.
        run: RunId,
    },
    /// Run an ended run's frozen manifest once more, as a firing of its own.
    Rerun {
        /// Which.
        run: RunId,
    },
    /// Decide an earlier event anew, with the definitions in force.
    #[serde(rename_all = "camelCase")]
    Replay(Replay),
    /// Publish results that are set aside.
    Redeliver {
        /// Their numbers.
        results: Vec<u64>,
    },
}

/// An earlier event that is to be decided anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Replay {
    /// Which.
    pub event: EventKey,
    /// By this trigger alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<ObjectName>,
    /// By triggers of these namespaces alone: those that who asks may see. None is all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<Vec<String>>,
}

impl Replay {
    /// Whether this trigger decides.
    pub fn asks(&self, trigger: &ObjectName) -> bool {
        self.trigger.as_ref().is_none_or(|name| name == trigger)
            && self.namespaces.as_ref().is_none_or(|names| names.contains(&trigger.namespace))
    }
}

/// What a command is about, as it is kept.
#[derive(Debug, Clone)]
pub enum Subject {
    /// The event of a [`Command::Replay`].
    Event(Box<Original>),
    /// The run of a [`Command::Rerun`].
    Run(Box<Frozen>),
}

/// An event as it came in, with what triggers with `changed` compared it with when it was decided.
#[derive(Debug, Clone)]
pub struct Original {
    /// The event.
    pub event: Event,
    /// By trigger.
    pub before: BTreeMap<ObjectName, Before>,
}

/// A run as it was decided.
#[derive(Debug, Clone)]
pub struct Frozen {
    /// The run.
    pub run: Run,
    /// Its firing.
    pub firing: Firing,
    /// Its manifest.
    pub manifest: Manifest,
}

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// A trigger's runs.
    Trigger(ObjectName),
    /// One run of a template.
    Template(ObjectName),
}

impl Command {
    /// The command that an event carries; `None` where it carries none that this version knows.
    pub fn of(event: &Event) -> Option<Self> {
        matches!(event.attributes.ingress, Ingress::Manual(_))
            .then(|| serde_json::from_slice(&event.body).ok())
            .flatten()
    }

    /// The event that carries this command: `id` is the caller's Idempotency-Key or a receipt.
    pub fn event(&self, principal: &str, id: &str, now: Millis) -> Event {
        let ingress = Ingress::Manual(principal.to_owned());
        let (source, id) = ("/manual".to_owned(), id.to_owned());
        let body = serde_json::to_vec(self).unwrap_or_default();
        let attributes = Attributes::new(ingress, source, id, MANUAL_TYPE.to_owned(), now);
        Event { attributes, body: Bytes::from(body) }
    }
}
