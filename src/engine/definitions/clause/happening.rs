//! Which Events of a cluster a trigger takes.

use super::globs::{Globs, fits, matching};
use super::{Labels, cut};
use crate::engine::definitions::config::EventType;
use crate::engine::event::Attributes;
use crate::engine::values::Facts;
use crate::engine::watch::{Happening, Kind, event_kind};

/// Where an Event's reason stands in the root of values.
pub(super) const REASON_PATH: &str = "event.data.reason";

/// Which Events about which objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesEventSource {
    /// Reasons; none means all.
    pub reasons: Globs,
    /// How serious.
    pub event_type: EventType,
    /// API version of what it is about; none means any.
    pub api_version: Option<String>,
    /// Its kind; none means any.
    pub kind: Option<String>,
    /// Its name; none means any.
    pub names: Globs,
    /// Namespaces; none means all.
    pub namespaces: Globs,
    /// Which labels their namespaces have.
    pub namespace_labels: Labels,
    /// The one type of their events.
    pub(in crate::engine::definitions) types: Vec<String>,
}

impl KubernetesEventSource {
    /// What is watched for it.
    pub fn watched() -> Kind {
        event_kind()
    }

    /// Whether the labels of an object's namespace decide.
    pub fn asks_for_namespaces(&self) -> bool {
        self.namespace_labels != Labels::default()
    }

    /// For people: what it listens for.
    pub fn title(&self) -> String {
        let of = |what: &str, globs: &Globs| {
            if globs.any() { String::new() } else { format!(" {what} {}", globs.wanted()) }
        };
        let kind = match self.event_type {
            EventType::Warning => "warnings",
            EventType::Normal => "normal Events",
            EventType::Any => "Events",
        };
        let about = self.kind.as_ref().map(|kind| format!(" about a {kind}")).unwrap_or_default();
        let (names, namespaces) = (of("called", &self.names), of("in namespace", &self.namespaces));
        format!("{kind}{}{about}{names}{namespaces}", of("with reason", &self.reasons))
    }

    /// Whether it may take anything of a namespace.
    pub fn reaches(&self, namespace: &str) -> bool {
        fits(Some(namespace), &self.namespaces)
    }

    /// Whether it takes this, but for the labels of its namespace.
    pub fn takes(&self, happening: &Happening, namespace: &str) -> Result<(), String> {
        matching("namespace", Some(namespace), &self.namespaces)?;
        let (api_version, kind, name) = &happening.involved;
        self.about(kind, name)?;
        differ("API version", api_version, self.api_version.as_deref())?;
        let wanted = match self.event_type {
            EventType::Warning => Some("Warning"),
            EventType::Normal => Some("Normal"),
            EventType::Any => None,
        };
        differ("type", &happening.event_type, wanted)?;
        matching("reason", Some(&happening.reason), &self.reasons)
    }

    fn about(&self, kind: &str, name: &str) -> Result<(), String> {
        differ("kind", kind, self.kind.as_deref())?;
        matching("name", Some(name), &self.names)
    }

    /// As far as attributes tell.
    pub(super) fn hears(&self, event: &Attributes) -> Result<(), String> {
        let (namespace, kind, name) = place(event);
        matching("namespace", Some(namespace), &self.namespaces)?;
        self.about(kind, name)
    }

    pub(super) fn admits(&self, event: &Attributes, facts: &Facts) -> Result<(), String> {
        let data = &facts.root()["event"]["data"];
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let involved = &data["involvedObject"];
        let happening = Happening {
            reason: text(&data["reason"]),
            event_type: text(&data["type"]),
            involved: (text(&involved["apiVersion"]), text(&involved["kind"]), text(&involved["name"])),
            ..Happening::default()
        };
        self.takes(&happening, place(event).0)?;
        if self.asks_for_namespaces() { self.namespace_labels.of_namespace(data) } else { Ok(()) }
    }
}

/// Namespace, kind and name of what an Event is about, by the event's subject.
fn place(event: &Attributes) -> (&str, &str, &str) {
    let subject = event.subject.as_deref().unwrap_or_default();
    let (namespace, rest) = subject.split_once('/').unwrap_or(("", subject));
    let (kind, name) = rest.split_once('/').unwrap_or(("", rest));
    (namespace, kind, name)
}

fn differ(what: &str, seen: &str, wanted: Option<&str>) -> Result<(), String> {
    match wanted {
        Some(wanted) if wanted != seen => Err(format!("the {what} is {}, wanted {wanted}", cut(seen))),
        _ => Ok(()),
    }
}
