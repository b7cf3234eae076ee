//! The event of a rollout: what of the object goes into it, and how it is identified.
//!
//! The data holds the object but for what is of no use to a rule (`managedFields`, the copy of itself that
//! `kubectl apply` leaves). It is bounded whatever the object holds: its largest parts are left out first, and
//! `leftOut` names them. Its name is always there.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::mark::{MARK, carried};
use super::{Fires, Kind, Subject};
use crate::engine::event::{Attributes, Event, Millis, rfc3339};

/// Most bytes of an object, as JSON.
const MOST: usize = 160 * 1024;
/// Most images that are listed, and the longest of them in characters.
const IMAGES: (usize, usize) = (32, 255);
/// What is left out, in this order, until the rest is small enough.
const BULKY: [(&str, &str); 5] = [
    ("/metadata", "annotations"),
    ("/spec", "template"),
    ("", "spec"),
    ("", "status"),
    ("/metadata", "labels"),
];
/// A copy of the whole object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The event of a change. Its id follows from the object's uid, its mark, the change and the revision, so two
/// processes that see it make one event.
pub fn event(kind: &Kind, object: Value, subject: &Subject, fires: &Fires, now: Millis) -> Event {
    let Fires { change, revision, previous, reason, mark } = fires;
    let images = images(&object);
    let (object, left_out) = reduced(kind, object);
    let id =
        format!("{}.{}.{}.{}", subject.uid, mark.count, change.as_str().to_ascii_lowercase(), revision.name);
    let mut data = json!({
        "change": change.as_str(),
        "revision": revision.name,
        "previousRevision": previous.as_ref().map(|revision| &revision.name),
        "images": images,
        "object": object,
    });
    if let Some(reason) = reason {
        data["reason"] = json!(reason);
    }
    if !left_out.is_empty() {
        data["leftOut"] = json!(left_out);
    }
    let extensions = BTreeMap::from([
        ("time".to_owned(), rfc3339(now).into()),
        (MARK.to_owned(), carried(&subject.uid, mark)),
    ]);
    let attributes = Attributes {
        subject: Some(subject.title()),
        extensions,
        ..Attributes::new(kind.ingress(), kind.source(), id, change.event_type().to_owned(), now)
    };
    Event { attributes, body: Bytes::from(data.to_string()) }
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
fn reduced(kind: &Kind, mut object: Value) -> (Value, Vec<String>) {
    // In a list items do not say what they are.
    if let Some(fields) = object.as_object_mut() {
        fields.insert("apiVersion".to_owned(), json!(kind.api_version()));
        fields.insert("kind".to_owned(), json!(kind.as_str()));
    }
    take(&mut object, "/metadata", "managedFields");
    take(&mut object, "/metadata/annotations", LAST_APPLIED);
    let fits = |object: &Value| object.to_string().len() <= MOST;
    let mut left_out = Vec::new();
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
