//! Which changes of objects of a cluster a trigger takes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Globs, cut, matching};
use crate::engine::definitions::config::LabelOperator;
use crate::engine::event::Attributes;
use crate::engine::values::Facts;
use crate::engine::watch::{Change, Kind};

/// Where an object's name stands in the root of values.
pub(super) const NAME_PATH: &str = "event.data.object.metadata.name";

/// Which changes of which objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesSource {
    /// Of which kind.
    pub kind: Kind,
    /// Names; none means all.
    pub names: Globs,
    /// Namespaces; none means all.
    pub namespaces: Globs,
    /// Which labels they have.
    pub labels: Labels,
    /// Which changes.
    pub changes: BTreeSet<Change>,
    /// Types of their events.
    types: Vec<String>,
}

/// Which labels an object has: all of these hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels {
    /// Labels with their value.
    pub equal: BTreeMap<String, String>,
    /// Others.
    pub other: Vec<Label>,
}

/// What must hold of a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Its name.
    pub key: String,
    /// What must hold.
    pub operator: LabelOperator,
    /// For `In` and `NotIn`.
    pub values: Vec<String>,
}

impl KubernetesSource {
    /// Puts the parts together.
    pub fn new(
        kind: Kind,
        names: Globs,
        namespaces: Globs,
        labels: Labels,
        changes: BTreeSet<Change>,
    ) -> Self {
        let types = changes.iter().map(|change| change.event_type().to_owned()).collect();
        Self { kind, names, namespaces, labels, changes, types }
    }

    pub(super) fn types(&self) -> &[String] {
        &self.types
    }

    /// For people: what it listens for.
    pub fn title(&self) -> String {
        let changes: Vec<&str> = self.changes.iter().map(|change| change.as_str()).collect();
        let of = |what: &str, globs: &Globs| {
            if globs.any() { String::new() } else { format!(" {what} {}", globs.wanted()) }
        };
        let (names, namespaces) = (of("called", &self.names), of("in namespace", &self.namespaces));
        format!("{} of {}{names}{namespaces}", changes.join(" or "), self.kind.title())
    }

    /// Whether it may take this change of an object there, as far as the place tells.
    pub fn may_take(&self, change: Change, namespace: &str, name: &str) -> bool {
        self.changes.contains(&change) && self.place(namespace, name).is_ok()
    }

    /// Whether it may take anything of a namespace.
    pub fn reaches(&self, namespace: &str) -> bool {
        matching("namespace", Some(namespace), &self.namespaces).is_ok()
    }

    fn place(&self, namespace: &str, name: &str) -> Result<(), String> {
        matching("namespace", Some(namespace), &self.namespaces)?;
        matching("name", Some(name), &self.names)
    }

    /// As far as attributes tell.
    pub(super) fn hears(&self, event: &Attributes) -> Result<(), String> {
        let subject = event.subject.as_deref().unwrap_or_default();
        let (namespace, name) = subject.split_once('/').unwrap_or(("", subject));
        self.place(namespace, name)
    }

    pub(super) fn admits(&self, event: &Attributes, facts: &Facts) -> Result<(), String> {
        self.hears(event)?;
        if self.labels == Labels::default() {
            return Ok(());
        }
        let data = &facts.root()["event"]["data"];
        let left_out = data["leftOut"].as_array().into_iter().flatten();
        if left_out.filter_map(Value::as_str).any(|path| path == "metadata" || path == "metadata.labels") {
            return Err("the object is too large for its labels to be known".to_owned());
        }
        self.labels.hold(&data["object"]["metadata"]["labels"])
    }
}

impl Labels {
    fn hold(&self, labels: &Value) -> Result<(), String> {
        let seen = |key: &str| labels.get(key).and_then(Value::as_str);
        for (key, wanted) in &self.equal {
            match seen(key) {
                Some(value) if value == wanted => {}
                Some(value) => return Err(format!("the label {key} is {}, wanted {wanted}", cut(value))),
                None => return Err(format!("the object has no label {key}, wanted {wanted}")),
            }
        }
        self.other.iter().try_for_each(|label| label.holds(seen(&label.key)))
    }
}

impl Label {
    /// As a cluster understands it: what has no such label is not in any list.
    fn holds(&self, seen: Option<&str>) -> Result<(), String> {
        let key = &self.key;
        let listed = seen.is_some_and(|value| self.values.iter().any(|wanted| wanted == value));
        let wanted = || self.values.join(" or ");
        match (self.operator, seen) {
            (LabelOperator::In, Some(_)) if listed => Ok(()),
            (LabelOperator::In, Some(value)) => {
                Err(format!("the label {key} is {}, wanted {}", cut(value), wanted()))
            }
            (LabelOperator::In, None) => Err(format!("the object has no label {key}, wanted {}", wanted())),
            (LabelOperator::NotIn, Some(value)) if listed => {
                Err(format!("the label {key} is {}, wanted none of {}", cut(value), wanted()))
            }
            (LabelOperator::Exists, None) => Err(format!("the object has no label {key}")),
            (LabelOperator::DoesNotExist, Some(_)) => Err(format!("the object has the label {key}")),
            _ => Ok(()),
        }
    }
}
