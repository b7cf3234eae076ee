//! Marks: what was last said of each object.
//!
//! A mark is a durable record, for each kind and uid, whichever triggers there are. An object's state is
//! looked at as a level: it fires where it is another than its mark says, however many states were not seen
//! between. The mark that an event leads to travels with it, and becomes durable in the commit that decides it.
//! If we die before the event is stored, the object is looked at again with the old mark; if we die after, it
//! is decided before the marks are read again.
//!
//! What is there when a kind is watched for the first time (the baseline) is noted and fires nothing. An
//! object that comes later has no mark, so it is new, and its first rollout fires; so does one that is made anew
//! under the same name, which has another uid. What a mark holds for a clause goes by the clause's text: an
//! edited one begins with what is there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::spec::Spec;
use crate::engine::event::{Attributes, Ingress};
use crate::engine::rollout::{Revision, count};

/// The attribute that holds the mark to which an event leads.
pub(super) const MARK: &str = "kickoffmark";

/// What was last said of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mark {
    /// Where the object is; empty where it is in no namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What was rolled out last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled: Option<Revision>,
    /// What failed to since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Revision>,
    /// Since when. Where the next rollout begins from older pods, the status says for a moment that it failed
    /// already, with the time of the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_since: Option<String>,
    /// Its spec, while somebody there wants to hear of updates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<Spec>,
    /// What was seen for each clause that is told by itself.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub seen: BTreeMap<String, Seen>,
    /// The API version in which it was looked at: another one says the same in other words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Grows with each change of the mark, so that going back to an old state is another event. It begins
    /// above all that were there before for the same uid.
    pub count: u64,
}

/// What was seen for a clause.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Of a condition whether it held, of a field a hash of its value.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub state: String,
    /// A hash of the value that it fired for last.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub once: String,
    /// Nothing yet: the object was told as new, and what it says to the clause was not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub new: bool,
}

/// What was seen of objects of a kind, for the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    /// Of which kind.
    pub ingress: Ingress,
    /// Marks that no event leads to, by uid.
    pub marks: Vec<(String, Mark)>,
    /// Uids of objects that are gone.
    pub gone: Vec<String>,
    /// What is watched from now on: a namespace, or `*` for all, whose baseline these marks complete.
    pub listed: Vec<String>,
}

/// Which object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Its uid.
    pub uid: String,
    /// Its namespace; empty where it is in none.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

#[derive(Serialize, Deserialize)]
struct Carried {
    uid: String,
    /// None: the object is gone, and so is its mark.
    mark: Option<Mark>,
}

impl Noted {
    /// How many records follow from it, but for what completes a baseline.
    pub fn records(&self) -> usize {
        self.marks.len() + self.gone.len()
    }

    /// The same in parts of at most so many records, in the same order; what completes a baseline is in the last.
    pub fn parts(mut self, most: usize) -> Vec<Self> {
        let (most, mut parts) = (most.max(1), Vec::new());
        while self.records() > most {
            let marks: Vec<(String, Mark)> = self.marks.drain(..self.marks.len().min(most)).collect();
            let gone = self.gone.drain(..self.gone.len().min(most - marks.len())).collect();
            parts.push(Self { ingress: self.ingress.clone(), marks, gone, listed: Vec::new() });
        }
        parts.push(self);
        parts
    }
}

impl Subject {
    /// Reads it; none where the object is not one that a cluster would have.
    pub fn of(object: &Value) -> Option<Self> {
        let text = |name: &str| {
            let text = object.get("metadata")?.get(name)?.as_str()?;
            let fits = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
            (!text.is_empty() && text.len() <= 253 && text.chars().all(fits)).then(|| text.to_owned())
        };
        let nowhere = object.get("metadata")?.get("namespace").is_none_or(Value::is_null);
        Some(Self {
            uid: text("uid")?,
            namespace: if nowhere { String::new() } else { text("namespace")? },
            name: text("name")?,
        })
    }

    /// As the event's `subject` says it: `namespace/name`, or the name alone.
    pub fn title(&self) -> String {
        if self.namespace.is_empty() {
            self.name.clone()
        } else {
            format!("{}/{}", self.namespace, self.name)
        }
    }
}

impl Mark {
    /// Of an object of which nothing is known; one that was there before may have had marks that are forgotten.
    pub(super) fn first(subject: &Subject, object: &Value, was_there: bool) -> Self {
        let version = object.pointer("/metadata/resourceVersion").and_then(Value::as_str);
        let version = version.and_then(|version| version.parse().ok()).unwrap_or(0);
        // Versions of a cluster grow with each write of any object.
        let above = count(object, "/metadata/generation").saturating_mul(2).max(version);
        Self {
            namespace: subject.namespace.clone(),
            name: subject.name.clone(),
            rolled: None,
            failed: None,
            failed_since: None,
            spec: None,
            seen: BTreeMap::new(),
            version: String::new(),
            count: if was_there { above } else { 0 },
        }
    }
}

/// The mark as an event carries it.
pub(super) fn carried(uid: &str, mark: Option<&Mark>) -> Value {
    let carried = Carried { uid: uid.to_owned(), mark: mark.cloned() };
    Value::String(serde_json::to_string(&carried).unwrap_or_default())
}

/// The mark that an event leads to, and whose; none where the object is gone.
pub fn marked(event: &Attributes) -> Option<(String, Option<Mark>)> {
    if !matches!(event.ingress, Ingress::Kubernetes { .. }) {
        return None;
    }
    let Carried { uid, mark } = serde_json::from_str(event.extensions.get(MARK)?.as_str()?).ok()?;
    Some((uid, mark))
}
