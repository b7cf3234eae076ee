//! The event of a change: what of the object goes into it, and how it is identified.
//!
//! The data holds the object but for what is of no use to a rule (`managedFields`, the copy of itself that
//! `kubectl apply` leaves). It is bounded whatever the object holds: its largest parts are left out first, and
//! `leftOut` names them. Its name is always there.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::look::{Fires, LONGEST_VALUE, New};
use super::mark::{MARK, carried};
use super::want::CLAUSE;
use super::{Kind, Subject, What, spec};
use crate::engine::event::{Attributes, Event, Millis, rfc3339};

/// Most bytes of an object, as JSON.
const MOST: usize = 160 * 1024;
/// Most images that are listed, and the longest of them in characters.
const IMAGES: (usize, usize) = (32, 255);
/// What is left out, in this order, until the rest is small enough.
const BULKY: [(&str, &str); 7] = [
    ("/metadata", "annotations"),
    ("/spec", "template"),
    ("", "spec"),
    ("", "status"),
    ("", "data"),
    ("", "binaryData"),
    ("/metadata", "labels"),
];
/// A copy of the whole object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The event of a change. Its id follows from the object's uid, the count of its mark, the change and the
/// revision, so that the same change seen again by the same mark is the same event.
pub fn event(kind: &Kind, object: Value, subject: &Subject, fires: &Fires, now: Millis) -> Event {
    let Fires { want, what, mark, count } = fires;
    let change = want.change();
    let mut data = told(what, want, &object);
    data.insert("change".to_owned(), json!(change.as_str()));
    if let Some(path) = &want.once_per {
        let value = path.get(&object).filter(|value| value.to_string().len() <= LONGEST_VALUE);
        data.insert("oncePer".to_owned(), json!({ "path": path.as_str(), "value": value }));
    }
    let (object, mut left_out) = reduced(kind, object);
    if matches!(what, New::Deleted { seen: false }) {
        left_out.extend(["metadata.labels", "metadata.annotations", "spec", "status"].map(str::to_owned));
    }
    data.insert("object".to_owned(), object);
    if !left_out.is_empty() {
        data.insert("leftOut".to_owned(), json!(left_out));
    }
    let mut id = format!("{}.{count}.{}", subject.uid, change.as_str().to_ascii_lowercase());
    if let New::Rollout { revision, .. } = what {
        id = format!("{id}.{}", revision.name);
    }
    let mut extensions = BTreeMap::from([
        ("time".to_owned(), rfc3339(now).into()),
        (MARK.to_owned(), carried(&subject.uid, mark.as_ref())),
    ]);
    if !want.is_shared() {
        extensions.insert(CLAUSE.to_owned(), want.text().into());
    }
    let attributes = Attributes {
        subject: Some(subject.title()),
        extensions,
        ..Attributes::new(kind.ingress(), kind.source(), id, change.event_type(), now)
    };
    Event { attributes, body: Bytes::from(Value::Object(data).to_string()) }
}

/// What is new, beside the object.
fn told(what: &New, want: &super::Want, object: &Value) -> Map<String, Value> {
    let mut data = Map::new();
    let mut put = |name: &str, value: Value| drop(data.insert(name.to_owned(), value));
    match what {
        New::Created | New::Deleted { .. } => {}
        New::Updated(changed) => {
            put("changed", json!(changed.paths));
            if changed.cut {
                put("changedCut", json!(true));
            }
        }
        New::Rollout { revision, previous, reason } => {
            put("revision", json!(revision.name));
            put("previousRevision", json!(previous.as_ref().map(|revision| &revision.name)));
            put("images", json!(images(object)));
            if let Some(reason) = reason {
                put("reason", json!(reason));
            }
        }
        New::Condition(condition) => put("condition", condition.clone()),
        New::Field(value) => {
            if let What::Field(field) = &want.what {
                put("field", json!({ "path": field.path.as_str(), "value": value }));
            }
        }
    }
    data
}

/// The event with what is known of its object's namespace: its labels, or why they are not known.
pub fn with_namespace(event: Event, name: &str, labels: Result<Value, String>) -> Event {
    let Ok(Value::Object(mut data)) = serde_json::from_slice(&event.body) else { return event };
    let namespace = match labels {
        Ok(labels) => json!({ "name": name, "labels": labels }),
        Err(why) => json!({ "name": name, "unknown": why }),
    };
    data.insert("namespace".to_owned(), namespace);
    Event { body: Bytes::from(Value::Object(data).to_string()), ..event }
}

/// The images of its containers, each once.
fn images(object: &Value) -> Vec<String> {
    let mut images: Vec<String> = Vec::new();
    for list in ["initContainers", "containers"] {
        let containers = object.pointer("/spec/template/spec").and_then(|spec| spec.get(list)?.as_array());
        for image in containers.into_iter().flatten().filter_map(|container| container["image"].as_str()) {
            let image: String = image.chars().take(IMAGES.1).collect();
            if images.len() < IMAGES.0 && !images.contains(&image) {
                images.push(image);
            }
        }
    }
    images
}

/// What of an object goes into its event, and what had to be left out.
pub(super) fn reduced(kind: &Kind, mut object: Value) -> (Value, Vec<String>) {
    // In a list items do not say what they are.
    if let Some(fields) = object.as_object_mut() {
        fields.insert("apiVersion".to_owned(), json!(kind.api_version()));
        fields.insert("kind".to_owned(), json!(kind.as_str()));
    }
    take(&mut object, "/metadata", "managedFields");
    take(&mut object, "/metadata/annotations", LAST_APPLIED);
    let fits = |object: &Value| object.to_string().len() <= MOST;
    let mut left_out: Vec<String> = spec::is_secret(kind).then(|| "data".to_owned()).into_iter().collect();
    for (parent, name) in BULKY {
        if fits(&object) {
            return (object, left_out);
        }
        if take(&mut object, parent, name) {
            let path = format!("{parent}/{name}");
            left_out.push(path.trim_start_matches('/').replace('/', "."));
        }
    }
    if !fits(&object) {
        let of = |name: &str| (name.to_owned(), object["metadata"][name].clone());
        let metadata: Map<String, Value> =
            ["namespace", "name", "uid", "generation"].map(of).into_iter().collect();
        object = json!({
            "apiVersion": kind.api_version(), "kind": kind.as_str(), "metadata": metadata,
        });
        left_out.push("metadata".to_owned());
    }
    (object, left_out)
}

fn take(object: &mut Value, parent: &str, name: &str) -> bool {
    let fields = object.pointer_mut(parent).and_then(Value::as_object_mut);
    fields.is_some_and(|fields| fields.remove(name).is_some())
}
