//! The Job of one attempt: the frozen manifest with its name, labels and annotations.

use serde_json::{Map, Value, json};

use crate::engine::ids::{h_hex, job_name};
use crate::engine::machine::Run;

/// The Job of a run's current attempt.
pub fn stamp(manifest: &Value, run: &Run, instance: &str) -> Value {
    let owner = run.trigger.as_ref().unwrap_or(&run.template);
    let labels = [
        ("app.kubernetes.io/managed-by", "kickoff".to_owned()),
        ("kickoff.dev/instance", instance.to_owned()),
        ("kickoff.dev/run", run.id.to_string()),
        ("kickoff.dev/attempt", run.attempt.to_string()),
        ("kickoff.dev/trigger", owner.name.clone()),
    ];
    let fingerprint = h_hex("fingerprint", &[manifest.to_string().as_bytes()], 32);
    let annotations = [
        ("kickoff.dev/event-key", run.event.key.to_string()),
        ("kickoff.dev/event-source", run.event.source.clone()),
        ("kickoff.dev/event-id", run.event.id.clone()),
        ("kickoff.dev/leg", run.name.clone()),
        ("kickoff.dev/template", run.template.to_string()),
        ("kickoff.dev/fingerprint", fingerprint),
    ];
    let mut job = manifest.clone();
    put(&mut job, "/metadata", "labels", &labels);
    put(&mut job, "/metadata", "annotations", &annotations);
    put(&mut job, "/spec/template", "metadata", &[]);
    put(&mut job, "/spec/template/metadata", "labels", &labels);
    if let Some(metadata) = job.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("name".to_owned(), json!(job_name(&owner.name, &run.id, run.attempt)));
        metadata.insert("namespace".to_owned(), json!(run.namespace));
    }
    job
}

/// Puts entries into the map `field` of the object at `pointer`; makes the map where it is missing.
fn put(job: &mut Value, pointer: &str, field: &str, entries: &[(&str, String)]) {
    let Some(object) = job.pointer_mut(pointer).and_then(Value::as_object_mut) else { return };
    let map = object.entry(field).or_insert_with(|| Value::Object(Map::new()));
    let Some(map) = map.as_object_mut() else { return };
    map.extend(entries.iter().map(|(name, value)| ((*name).to_owned(), json!(value))));
}
