//! Commands of people and programs, as events: `dev.kickoff.manual`.
//!
//! Run and cancel go the way of every event, so they are durable, decided in order and can be read
//! afterwards.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::event::{Attributes, Event, Ingress, Millis};
use super::ids::{EventKey, ObjectName, RunId};

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
    /// The event that carries this command: `id` is the caller's Idempotency-Key or a receipt.
    pub fn event(&self, principal: &str, id: &str, now: Millis) -> Event {
        let ingress = Ingress::Manual(principal.to_owned());
        let source = "/manual".to_owned();
        let body = serde_json::to_vec(self).unwrap_or_default();
        Event {
            attributes: Attributes {
                key: EventKey::derive(&ingress.to_string(), &source, id),
                ingress,
                id: id.to_owned(),
                source,
                event_type: MANUAL_TYPE.to_owned(),
                subject: None,
                datacontenttype: "application/json".to_owned(),
                git: None,
                extensions: BTreeMap::new(),
                cause: None,
                traceparent: None,
                received_at: now,
            },
            body: Bytes::from(body),
        }
    }
}
