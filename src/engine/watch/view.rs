//! What one watch knows, and what it makes of each thing that it sees.
//!
//! It begins with the durable marks and moves its own copy at once: whoever drives it stores what it
//! tells, however long that takes. If we die before that, the next one begins with the old marks, lists, and
//! tells the same again.
//!
//! What is listed while there is no baseline is only noted. An object that is in the marks and not in a whole
//! list is gone, unless it is none of this scope.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::happening::{self, Happening};
use super::look::{Fires, Found, New, Sight, look};
use super::spec::{self, Spec};
use super::want::{Want, Wants};
use super::{Change, Kind, Mark, Noted, Subject, event, is_own};
use crate::engine::event::{Event, Millis};
use crate::engine::machine::{Key, Record};

/// How the records name all namespaces.
const ALL: &str = "*";
/// Behind a scope in which each object has a mark, so that one without is new. No namespace has a dot.
const OBJECTS: &str = ".objects";

/// What is known of the objects of a kind in a scope.
#[derive(Debug)]
pub struct View {
    kind: Kind,
    scope: String,
    marks: BTreeMap<String, Mark>,
    /// Whether the rollout of an object without a mark is new.
    rollouts: bool,
    /// Whether an object without a mark is new.
    objects: bool,
    /// Uids of the list that is being read.
    list: Option<BTreeSet<String>>,
}

/// What is asked of what is seen.
pub struct Asked<'a> {
    /// What anybody wants of the kind.
    pub wants: &'a Wants,
    /// Whether somebody may want this of an object there: its namespace and its name.
    pub wanted: &'a dyn Fn(&Want, &str, &str) -> bool,
    /// Whether somebody may want to hear of an Event in a namespace.
    pub happens: &'a dyn Fn(&Happening, &str) -> bool,
    /// The time.
    pub now: Millis,
}

/// What follows, in the order in which it is to be stored: events, then what fires nothing.
#[derive(Debug)]
pub struct Told {
    /// One for each change that somebody may want.
    pub events: Vec<Event>,
    /// The rest.
    pub noted: Noted,
}

impl Told {
    /// Whether there is something for the machine besides events.
    pub fn has_notes(&self) -> bool {
        let Noted { marks, gone, listed, .. } = &self.noted;
        !marks.is_empty() || !gone.is_empty() || !listed.is_empty()
    }
}

impl View {
    /// Of a kind in a namespace, or in all, as the records have it.
    pub fn new(kind: Kind, namespace: Option<&str>, records: Vec<(Key, Record)>) -> Self {
        let (ingress, scope) = (kind.ingress(), namespace.unwrap_or(ALL).to_owned());
        let objects = format!("{scope}{OBJECTS}");
        let mut view =
            Self { kind, scope, marks: BTreeMap::new(), rollouts: false, objects: false, list: None };
        for (key, record) in records {
            match (key, record) {
                (Key::Object(of, uid), Record::Object(mark))
                    if of == ingress && namespace.is_none_or(|namespace| namespace == mark.namespace) =>
                {
                    view.marks.insert(uid, *mark);
                }
                (Key::Watched(of, known), Record::Watched(_)) if of == ingress => {
                    view.rollouts |= known == view.scope;
                    view.objects |= known == objects;
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
        let ingress = self.kind.ingress();
        let noted = Noted { ingress, marks: Vec::new(), gone: Vec::new(), listed: Vec::new() };
        Told { events: Vec::new(), noted }
    }

    /// A list begins.
    pub fn listing(&mut self) {
        self.list = Some(BTreeSet::new());
    }

    /// Whether a list is being read.
    pub fn is_listing(&self) -> bool {
        self.list.is_some()
    }

    /// An object as it is; an error where it is none that a cluster would have.
    pub fn item(
        &mut self,
        mut object: Value,
        asked: &Asked<'_>,
        told: &mut Told,
    ) -> Result<(), &'static str> {
        // What is there is not gone, also where no more can be read of it.
        let uid = object.pointer("/metadata/uid").and_then(Value::as_str);
        if let (Some(list), Some(uid)) = (&mut self.list, uid) {
            list.insert(uid.to_owned());
        }
        let subject = Subject::of(&object).ok_or("it has no uid or name that an object can have")?;
        if is_own(&object) {
            return Ok(());
        }
        if happening::is_event(&self.kind) {
            self.happens(object, subject, asked, told);
            return Ok(());
        }
        hide(&self.kind, &mut object);
        let wanted = |want: &Want| (asked.wanted)(want, &subject.namespace, &subject.name);
        let sight = Sight {
            kind: &self.kind,
            object: &object,
            subject: &subject,
            wants: asked.wants,
            wanted: &wanted,
            rollouts: self.rollouts,
            objects: self.objects,
        };
        let Found { fires, mark, noted } = look(&sight, self.marks.get(&subject.uid));
        for (place, change) in fires.iter().enumerate() {
            // Mostly there is one: nobody needs the object after the last.
            let object = if place + 1 == fires.len() { object.take() } else { object.clone() };
            told.events.push(event(&self.kind, object, &subject, change, asked.now));
        }
        if noted {
            told.noted.marks.push((subject.uid.clone(), mark.clone()));
        }
        self.marks.insert(subject.uid, mark);
        Ok(())
    }

    /// An Event as it is.
    fn happens(&mut self, object: Value, subject: Subject, asked: &Asked<'_>, told: &mut Told) {
        let happening = Happening::of(&object);
        let before = self.marks.get(&subject.uid);
        let version = happening.state();
        let known = before.and_then(|mark| mark.spec.as_ref()).is_some_and(|spec| spec.version == version);
        if known || happening.is_own() {
            return;
        }
        let is_new = before.is_some() || self.objects;
        let mut mark = before.cloned().unwrap_or_else(|| Mark::first(&subject, &object, !self.objects));
        mark.spec = Some(Spec { version, depth: 0, fields: BTreeMap::new() });
        mark.count = mark.count.saturating_add(1);
        if is_new && (asked.happens)(&happening, &subject.namespace) {
            let event = happening::event(&self.kind, object, &happening, &subject, &mark, asked.now);
            told.events.push(event);
        } else {
            told.noted.marks.push((subject.uid.clone(), mark.clone()));
        }
        self.marks.insert(subject.uid, mark);
    }

    /// An object is gone: as it was last.
    pub fn gone(&mut self, mut object: Value, asked: &Asked<'_>, told: &mut Told) {
        let uid = object.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default().to_owned();
        if let Some(mark) = self.marks.remove(&uid) {
            hide(&self.kind, &mut object);
            self.deleted(uid, &mark, Some(object), asked, told);
        }
    }

    /// The list is whole.
    pub fn listed(&mut self, asked: &Asked<'_>, told: &mut Told) {
        let Some(list) = self.list.take() else { return };
        let gone: Vec<String> = self.marks.keys().filter(|uid| !list.contains(*uid)).cloned().collect();
        for uid in gone {
            if let Some(mark) = self.marks.remove(&uid) {
                self.deleted(uid, &mark, None, asked, told);
            }
        }
        if !std::mem::replace(&mut self.rollouts, true) {
            told.noted.listed.push(self.scope.clone());
        }
        if !std::mem::replace(&mut self.objects, true) {
            told.noted.listed.push(format!("{}{OBJECTS}", self.scope));
        }
    }

    /// Tells that an object is gone; of one that vanished while nobody watched only what its mark knows.
    fn deleted(&self, uid: String, mark: &Mark, object: Option<Value>, asked: &Asked<'_>, told: &mut Told) {
        let (namespace, name) = (mark.namespace.clone(), mark.name.clone());
        let want = asked.wants.shared(Change::Deleted);
        if let Some(want) = want.filter(|want| (asked.wanted)(want, &namespace, &name)) {
            let mut metadata = json!({ "name": name, "uid": uid });
            if !namespace.is_empty() {
                metadata["namespace"] = json!(namespace);
            }
            let seen = object.is_some();
            let object = object.unwrap_or_else(|| json!({ "metadata": metadata }));
            let count = mark.count.saturating_add(1);
            let fires = Fires { want: want.clone(), what: New::Deleted { seen }, mark: None, count };
            let subject = Subject { uid: uid.clone(), namespace, name };
            told.events.push(event(&self.kind, object, &subject, &fires, asked.now));
        }
        told.noted.gone.push(uid);
    }
}

/// Takes away what nobody may see, before anything looks at it.
fn hide(kind: &Kind, object: &mut Value) {
    if let Some(fields) = object.as_object_mut().filter(|_| spec::is_secret(kind)) {
        fields.remove("data");
        fields.remove("stringData");
    }
}
