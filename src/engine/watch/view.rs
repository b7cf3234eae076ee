//! What one watch knows, and what it makes of each thing that it sees.
//!
//! It begins with the durable marks and moves its own copy at once: whoever drives it stores what it
//! tells, however long that takes. If we die before that, the next one begins with the old marks, lists, and
//! tells the same again.
//!
//! What is listed while there is no baseline is only noted. An object that is in the marks and not in a whole
//! list is gone, unless it is none of this scope.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::mark::look;
use super::{Change, Found, Kind, Mark, Noted, Subject, event, is_own};
use crate::engine::event::{Event, Millis};
use crate::engine::machine::{Key, Record};

/// How the records name all namespaces.
const ALL: &str = "*";

/// What is known of the objects of a kind in a scope.
#[derive(Debug)]
pub struct View {
    kind: Kind,
    namespace: Option<String>,
    marks: BTreeMap<String, Mark>,
    /// Whether what is there for the first time is new.
    baseline: bool,
    /// Uids of the list that is being read.
    list: Option<BTreeSet<String>>,
}

/// What follows, in the order in which it is to be stored: events, then what fires nothing.
#[derive(Debug)]
pub struct Told {
    /// One for each change that somebody may want.
    pub events: Vec<Event>,
    /// The rest.
    pub noted: Noted,
}

/// Whether somebody may want a change of an object: its namespace and its name.
pub type Wanted<'a> = &'a dyn Fn(Change, &str, &str) -> bool;

impl Told {
    /// Whether there is something for the machine besides events.
    pub fn has_notes(&self) -> bool {
        let Noted { marks, gone, listed, .. } = &self.noted;
        !marks.is_empty() || !gone.is_empty() || listed.is_some()
    }
}

impl View {
    /// Of a kind in a namespace, or in all, as the records have it.
    pub fn new(kind: Kind, namespace: Option<&str>, records: Vec<(Key, Record)>) -> Self {
        let (ingress, scope) = (kind.ingress(), namespace.unwrap_or(ALL));
        let mut view = Self {
            kind,
            namespace: namespace.map(str::to_owned),
            marks: BTreeMap::new(),
            baseline: false,
            list: None,
        };
        for (key, record) in records {
            match (key, record) {
                (Key::Object(of, uid), Record::Object(mark))
                    if of == ingress && namespace.is_none_or(|namespace| namespace == mark.namespace) =>
                {
                    view.marks.insert(uid, *mark);
                }
                (Key::Watched(of, known), Record::Watched(_)) if of == ingress && known == scope => {
                    view.baseline = true;
                }
                _ => {}
            }
        }
        view
    }

    /// The beginnings of the keys of what a watch begins with.
    pub fn prefixes(kind: &Kind) -> [String; 2] {
        let ingress = kind.ingress();
        [format!("rollout/{ingress}/"), format!("watched/{ingress}/")]
    }

    /// Nothing yet.
    pub fn told(&self) -> Told {
        let noted = Noted { ingress: self.kind.ingress(), marks: Vec::new(), gone: Vec::new(), listed: None };
        Told { events: Vec::new(), noted }
    }

    /// A list begins.
    pub fn listing(&mut self) {
        self.list = Some(BTreeSet::new());
    }

    /// An object as it is; an error where it is none that a cluster would have.
    pub fn item(
        &mut self,
        object: Value,
        wanted: Wanted<'_>,
        now: Millis,
        told: &mut Told,
    ) -> Result<(), &'static str> {
        let subject = Subject::of(&object).ok_or("it has no uid or name that an object can have")?;
        if let Some(list) = &mut self.list {
            list.insert(subject.uid.clone());
        }
        if is_own(&object) {
            return Ok(());
        }
        let before = self.marks.get(&subject.uid);
        let mark = match look(&self.kind, &object, &subject, before, !self.baseline) {
            Found::Nothing => return Ok(()),
            Found::Note(mark) => {
                told.noted.marks.push((subject.uid.clone(), mark.clone()));
                mark
            }
            Found::Fires(fires) if !wanted(fires.change, &subject.namespace, &subject.name) => {
                told.noted.marks.push((subject.uid.clone(), fires.mark.clone()));
                fires.mark
            }
            Found::Fires(fires) => {
                told.events.push(event(&self.kind, object, &subject, &fires, now));
                fires.mark
            }
        };
        self.marks.insert(subject.uid, mark);
        Ok(())
    }

    /// An object is gone.
    pub fn gone(&mut self, object: &Value, told: &mut Told) {
        let uid = object.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default();
        if self.marks.remove(uid).is_some() {
            told.noted.gone.push(uid.to_owned());
        }
    }

    /// The list is whole.
    pub fn listed(&mut self, told: &mut Told) {
        let Some(list) = self.list.take() else { return };
        self.marks.retain(|uid, _| {
            let there = list.contains(uid);
            if !there {
                told.noted.gone.push(uid.clone());
            }
            there
        });
        if !std::mem::replace(&mut self.baseline, true) {
            told.noted.listed = Some(self.namespace.clone().unwrap_or_else(|| ALL.to_owned()));
        }
    }
}
