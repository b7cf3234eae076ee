//! Events of the cluster: what it says of its objects, for an hour each.
//!
//! The core API and `events.k8s.io` serve the same Events, so the one of `events.k8s.io/v1` is watched. A repeat
//! counts up on the same Event, and is another event here. Which are new follows from marks, as with any other
//! object: what is there at first is old. A mark goes with its Event.
//!
//! An Event has no labels of what it is about, so those about Kickoff's own Jobs and pods are told by their
//! names, which hold a run's id.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Value, json};

use super::mark::{MARK, Mark, carried};
use super::own::is_of_run;
use super::reduce::reduced;
use super::{Kind, Subject, TYPE};
use crate::engine::event::{Attributes, Event, Millis, rfc3339};

/// The group of its API.
const GROUP: &str = "events.k8s.io";
/// Longest text of one that is looked at, characters: as long as Kubernetes lets a note be.
const LONGEST: usize = 1_024;

/// What the cluster says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Happening {
    /// Why it says it, in one word: `FailedScheduling`.
    pub reason: String,
    /// `Normal` or `Warning`.
    pub event_type: String,
    /// In a sentence.
    pub note: String,
    /// How often so far.
    pub count: u64,
    /// When last, as the cluster writes it.
    pub at: String,
    /// Of what: its API version, its kind and its name.
    pub involved: (String, String, String),
}

/// The kind of Events.
pub fn event_kind() -> Kind {
    Kind::new(GROUP, "v1", "Event")
}

/// Type of events that are made of them.
pub fn happened_type() -> String {
    format!("{TYPE}event")
}

/// Whether these are Events, in either API.
pub fn is_event(kind: &Kind) -> bool {
    kind.is(GROUP, "Event") || kind.is("", "Event")
}

impl Happening {
    /// Reads an Event; what is missing is empty.
    pub fn of(object: &Value) -> Self {
        let text =
            |value: &Value| -> String { value.as_str().unwrap_or_default().chars().take(LONGEST).collect() };
        let first = |pointers: &[&str]| {
            let found = pointers.iter().filter_map(|pointer| object.pointer(pointer));
            found.map(text).find(|text| !text.is_empty()).unwrap_or_default()
        };
        let counts = ["/series/count", "/deprecatedCount", "/count"];
        let count = counts.iter().find_map(|pointer| object.pointer(pointer)?.as_u64());
        let involved = |name: &str| {
            let (new, old) = (format!("/regarding/{name}"), format!("/involvedObject/{name}"));
            first(&[new.as_str(), old.as_str()])
        };
        Self {
            reason: first(&["/reason"]),
            event_type: first(&["/type"]),
            note: first(&["/note", "/message"]),
            count: count.unwrap_or(1).max(1),
            at: first(&[
                "/series/lastObservedTime",
                "/deprecatedLastTimestamp",
                "/lastTimestamp",
                "/eventTime",
                "/metadata/creationTimestamp",
            ]),
            involved: (involved("apiVersion"), involved("kind"), involved("name")),
        }
    }

    /// What is another one where it happened again.
    pub(super) fn state(&self) -> String {
        format!("{}@{}", self.count, self.at)
    }

    /// Whether it is about a Job of ours, or about what the cluster makes for one.
    pub fn is_own(&self) -> bool {
        let (_, kind, name) = &self.involved;
        is_of_run(kind, name)
    }
}

/// The event of an Event.
pub(super) fn event(
    kind: &Kind,
    object: Value,
    happening: &Happening,
    subject: &Subject,
    mark: &Mark,
    now: Millis,
) -> Event {
    let Happening { reason, event_type, note, count, at, involved: (api_version, of_kind, name) } = happening;
    let (object, left_out) = reduced(kind, object);
    let mut data = json!({
        "reason": reason, "type": event_type, "note": note, "count": count, "at": at,
        "involvedObject": {"apiVersion": api_version, "kind": of_kind, "name": name},
        "object": object,
    });
    if !left_out.is_empty() {
        data["leftOut"] = json!(left_out);
    }
    let extensions = BTreeMap::from([
        ("time".to_owned(), rfc3339(now).into()),
        (MARK.to_owned(), carried(&subject.uid, Some(mark))),
    ]);
    let id = format!("{}.{}.event.{count}", subject.uid, mark.count);
    let attributes = Attributes {
        subject: Some(format!("{}/{of_kind}/{name}", subject.namespace)),
        extensions,
        ..Attributes::new(kind.ingress(), kind.source(), id, happened_type(), now)
    };
    Event { attributes, body: Bytes::from(data.to_string()) }
}
