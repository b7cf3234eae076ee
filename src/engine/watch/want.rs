//! What sources want to hear of objects, and what of it is told to one clause alone.
//!
//! A change as such is one event for all who want it. What depends on a clause (a condition, a field, a value
//! that it may fire once for) is an event of its own that names the clause by its text, so that who hears it
//! follows from the event. Clauses of the same text are one, whichever triggers they stand in.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::Change;
use crate::engine::ids::h_hex;
use crate::engine::rollout::count;
use crate::engine::rules::FieldPath;

/// The attribute that names the clause which an event is for.
pub const CLAUSE: &str = "kickoffclause";

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// What of an object.
    pub what: What,
    /// Fires once for each value there.
    pub once_per: Option<FieldPath>,
    text: String,
    key: String,
}

/// What of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A change that is the same for all.
    Change(Change),
    /// A condition that begins to hold.
    Condition(Condition),
    /// A field that changes.
    Field(Field),
}

/// A condition of an object's status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Its type.
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// In one word of the cluster; none means any.
    pub reason: Option<String>,
}

/// A field of an object, with what it changes from and to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Which.
    pub path: FieldPath,
    /// What it was; none means anything, null that it was not there.
    pub from: Option<Value>,
    /// What it is; none means anything, null that it is not there.
    pub to: Option<Value>,
}

/// All that is wanted of a kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wants {
    shared: BTreeMap<Change, Arc<Want>>,
    bound: BTreeMap<String, Arc<Want>>,
}

impl Want {
    /// Puts the parts together.
    pub fn new(what: What, once_per: Option<FieldPath>) -> Self {
        let mut text = match &what {
            What::Change(change) => change.as_str().to_owned(),
            What::Condition(condition) => condition.text(),
            What::Field(field) => field.text(),
        };
        if let Some(path) = &once_per {
            text = format!("{text} once per {path}");
        }
        let key = h_hex("watch clause", &[text.as_bytes()], 12);
        Self { what, once_per, text, key }
    }

    /// For people, and as events name it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// As marks name it.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Which change it is.
    pub fn change(&self) -> Change {
        match &self.what {
            What::Change(change) => *change,
            What::Condition(_) => Change::Condition,
            What::Field(_) => Change::Field,
        }
    }

    /// Whether its event is that of all who want the change.
    pub fn is_shared(&self) -> bool {
        matches!(self.what, What::Change(_)) && self.once_per.is_none()
    }
}

impl Wants {
    /// Each of them once.
    pub fn of<'a>(all: impl IntoIterator<Item = &'a Arc<Want>>) -> Self {
        let mut wants = Self::default();
        for want in all {
            if want.is_shared() {
                wants.shared.insert(want.change(), Arc::clone(want));
            } else {
                wants.bound.insert(want.key.clone(), Arc::clone(want));
            }
        }
        wants
    }

    /// The one that all share of a change.
    pub fn shared(&self, change: Change) -> Option<&Arc<Want>> {
        self.shared.get(&change)
    }

    /// Those that are of one clause each.
    pub fn bound(&self) -> impl Iterator<Item = &Arc<Want>> {
        self.bound.values()
    }

    /// Those that a change can fire.
    pub fn of_change(&self, change: Change) -> impl Iterator<Item = &Arc<Want>> {
        let bound = self.bound.values().filter(move |want| want.change() == change);
        self.shared.get(&change).into_iter().chain(bound)
    }
}

impl Condition {
    fn text(&self) -> String {
        let Self { kind, status, reason } = self;
        let reason = reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        format!("Condition {kind}={status}{reason}")
    }

    /// The object's condition of this type.
    pub fn find<'a>(&self, object: &'a Value) -> Option<&'a Value> {
        let conditions = object.pointer("/status/conditions")?.as_array()?;
        conditions.iter().find(|condition| condition["type"] == self.kind.as_str())
    }

    /// Whether it holds; none where what the object says is still about an older spec.
    pub fn holds(&self, object: &Value) -> Option<bool> {
        let generation = count(object, "/metadata/generation");
        let condition = self.find(object);
        let of_condition = condition.and_then(|condition| condition["observedGeneration"].as_u64());
        let of_status = || object.pointer("/status/observedGeneration").and_then(Value::as_u64);
        if of_condition.or_else(of_status).is_some_and(|observed| observed < generation) {
            return None;
        }
        Some(condition.is_some_and(|condition| {
            let reason = self.reason.as_deref();
            condition["status"] == self.status.as_str()
                && reason.is_none_or(|reason| condition["reason"] == reason)
        }))
    }
}

impl Field {
    fn text(&self) -> String {
        let of = |word: &str, value: Option<&Value>| {
            value.map(|value| format!(" {word} {value}")).unwrap_or_default()
        };
        format!("Field {}{}{}", self.path, of("from", self.from.as_ref()), of("to", self.to.as_ref()))
    }
}

/// A short name of a value: the same for equal ones, and for missing ones.
pub(super) fn print(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(value) => h_hex("watch value", &[whole(value).to_string().as_bytes()], 16),
    }
}

/// 5.0 is 5.
fn whole(value: &Value) -> Value {
    match value.as_f64().filter(|number| value.is_f64() && number.fract() == 0.0 && number.abs() < 1e15) {
        #[allow(clippy::cast_possible_truncation, reason = "it is whole and far from the limits")]
        Some(number) => Value::from(number as i64),
        None => value.clone(),
    }
}
