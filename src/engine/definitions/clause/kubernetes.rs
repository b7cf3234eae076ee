//! Which changes of objects of a cluster a trigger takes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::cut;
use super::globs::{Globs, fits, matching};
use crate::engine::definitions::config::LabelOperator;
use crate::engine::event::Attributes;
use crate::engine::values::Facts;
use crate::engine::watch::{CLAUSE, Kind, Want};

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
    /// Which labels their namespaces have.
    pub namespace_labels: Labels,
    /// Which labels they have.
    pub labels: Labels,
    /// What of them.
    wants: Vec<Arc<Want>>,
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
    /// Puts the parts together; of all namespaces until it is said otherwise.
    pub fn new(kind: Kind, names: Globs, namespaces: Globs, labels: Labels, wants: Vec<Arc<Want>>) -> Self {
        let types: BTreeSet<String> = wants.iter().map(|want| want.change().event_type()).collect();
        let (types, namespace_labels) = (types.into_iter().collect(), Labels::default());
        Self { kind, names, namespaces, namespace_labels, labels, wants, types }
    }

    /// Only of namespaces with these labels.
    #[must_use]
    pub fn in_namespaces_with(self, namespace_labels: Labels) -> Self {
        Self { namespace_labels, ..self }
    }

    pub(super) fn types(&self) -> &[String] {
        &self.types
    }

    /// What it wants to hear of.
    pub fn wants(&self) -> &[Arc<Want>] {
        &self.wants
    }

    /// Whether the labels of an object's namespace decide.
    pub fn asks_for_namespaces(&self) -> bool {
        self.namespace_labels != Labels::default()
    }

    /// For people: what it listens for.
    pub fn title(&self) -> String {
        let wants: Vec<&str> = self.wants.iter().map(|want| want.text()).collect();
        let of = |what: &str, globs: &Globs| {
            if globs.any() { String::new() } else { format!(" {what} {}", globs.wanted()) }
        };
        let (names, namespaces) = (of("called", &self.names), of("in namespace", &self.namespaces));
        format!("{} of {}{names}{namespaces}", wants.join(" or "), self.kind.title())
    }

    /// Whether it may take this of an object there, as far as the place tells.
    pub fn may_take(&self, want: &Want, namespace: &str, name: &str) -> bool {
        let is_there = || fits(in_one(namespace), &self.namespaces) && fits(Some(name), &self.names);
        self.wants.iter().any(|own| own.text() == want.text()) && is_there()
    }

    /// Whether it may take anything of a namespace.
    pub fn reaches(&self, namespace: &str) -> bool {
        fits(Some(namespace), &self.namespaces)
    }

    fn place(&self, namespace: &str, name: &str) -> Result<(), String> {
        matching("namespace", in_one(namespace), &self.namespaces)?;
        matching("name", Some(name), &self.names)
    }

    /// As far as attributes tell.
    pub(super) fn hears(&self, event: &Attributes) -> Result<(), String> {
        self.meant(event)?;
        let subject = event.subject.as_deref().unwrap_or_default();
        let (namespace, name) = subject.split_once('/').unwrap_or(("", subject));
        self.place(namespace, name)
    }

    /// Whether the event is for one of its clauses, or for all who want such a change.
    fn meant(&self, event: &Attributes) -> Result<(), String> {
        let clause = event.extensions.get(CLAUSE).and_then(Value::as_str);
        let of_type = |want: &&Arc<Want>| want.change().event_type() == event.event_type;
        let mut wants = self.wants.iter().filter(of_type);
        let meant = match clause {
            Some(text) => wants.any(|want| !want.is_shared() && want.text() == text),
            None => wants.any(|want| want.is_shared()),
        };
        if meant {
            return Ok(());
        }
        let wanted: Vec<&str> = self.wants.iter().filter(of_type).map(|want| want.text()).collect();
        let seen = match clause {
            Some(text) => format!("it is about {}", cut(text)),
            None => format!("the event does not say what it is about ({CLAUSE})"),
        };
        Err(format!("{seen}, wanted {}", wanted.join(" or ")))
    }

    pub(super) fn admits(&self, event: &Attributes, facts: &Facts) -> Result<(), String> {
        self.hears(event)?;
        let data = &facts.root()["event"]["data"];
        if self.asks_for_namespaces() {
            self.namespace_labels.of_namespace(data)?;
        }
        if self.labels == Labels::default() {
            return Ok(());
        }
        let left_out = data["leftOut"].as_array().into_iter().flatten();
        if left_out.filter_map(Value::as_str).any(|path| path == "metadata" || path == "metadata.labels") {
            return Err("the object's labels are not known: it is too large, or nobody saw it go".to_owned());
        }
        self.labels.hold(&data["object"]["metadata"]["labels"], "object")
    }
}

/// The namespace of an object, where it is in one.
fn in_one(namespace: &str) -> Option<&str> {
    Some(namespace).filter(|name| !name.is_empty())
}

impl Labels {
    /// Whether the namespace has them, as an event's data tells.
    pub(super) fn of_namespace(&self, data: &Value) -> Result<(), String> {
        let namespace = &data["namespace"];
        if namespace["labels"].is_object() {
            return self.hold(&namespace["labels"], "namespace");
        }
        let why = namespace["unknown"].as_str().map(|why| format!(": {}", cut(why)));
        Err(format!("the labels of its namespace are not known{}", why.unwrap_or_default()))
    }

    /// Whether a namespace with these labels is one of them.
    pub(in crate::engine::definitions) fn of_labels(&self, labels: &Value) -> Result<(), String> {
        self.hold(labels, "namespace")
    }

    /// Of an object or a namespace: `of` says which.
    fn hold(&self, labels: &Value, of: &str) -> Result<(), String> {
        let seen = |key: &str| labels.get(key).and_then(Value::as_str);
        let whose = if of == "object" { String::new() } else { format!(" of its {of}") };
        for (key, wanted) in &self.equal {
            match seen(key) {
                Some(value) if value == wanted => {}
                Some(value) => {
                    return Err(format!("the label {key}{whose} is {}, wanted {wanted}", cut(value)));
                }
                None => return Err(format!("the {of} has no label {key}, wanted {wanted}")),
            }
        }
        self.other.iter().try_for_each(|label| label.holds(seen(&label.key), of, &whose))
    }
}

impl Label {
    /// As a cluster understands it: what has no such label is not in any list.
    fn holds(&self, seen: Option<&str>, of: &str, whose: &str) -> Result<(), String> {
        let key = &self.key;
        let listed = seen.is_some_and(|value| self.values.iter().any(|wanted| wanted == value));
        let wanted = || self.values.join(" or ");
        match (self.operator, seen) {
            (LabelOperator::In, Some(_)) if listed => Ok(()),
            (LabelOperator::In, Some(value)) => {
                Err(format!("the label {key}{whose} is {}, wanted {}", cut(value), wanted()))
            }
            (LabelOperator::In, None) => Err(format!("the {of} has no label {key}, wanted {}", wanted())),
            (LabelOperator::NotIn, Some(value)) if listed => {
                Err(format!("the label {key}{whose} is {}, wanted none of {}", cut(value), wanted()))
            }
            (LabelOperator::Exists, None) => Err(format!("the {of} has no label {key}")),
            (LabelOperator::DoesNotExist, Some(_)) => Err(format!("the {of} has the label {key}")),
            _ => Ok(()),
        }
    }
}
