//! The Job of one attempt: the frozen manifest with its name, labels and annotations.

use serde_json::{Map, Value, json};

use super::Manifest;
use crate::engine::ids::{EventKey, ObjectName, RunId, h_hex, job_name};
use crate::engine::machine::Run;

/// Which attempt a Job is for.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct Purpose<'a> {
    pub(in crate::engine) run: &'a RunId,
    pub(in crate::engine) attempt: u32,
    /// The trigger, or the template run by hand.
    pub(in crate::engine) owner: &'a ObjectName,
    pub(in crate::engine) leg: &'a str,
    pub(in crate::engine) template: &'a ObjectName,
    pub(in crate::engine) namespace: &'a str,
    /// Key, source and id of the event.
    pub(in crate::engine) event: (&'a EventKey, &'a str, &'a str),
}

/// The Job of a run's current attempt. An error: the manifest is none.
pub fn stamp(manifest: &Manifest, run: &Run, instance: &str) -> serde_json::Result<Manifest> {
    let purpose = Purpose {
        run: &run.id,
        attempt: run.attempt,
        owner: run.owner(),
        leg: &run.name,
        template: &run.template,
        namespace: &run.namespace,
        event: (&run.event.key, &run.event.source, &run.event.id),
    };
    Manifest::of(&job(manifest, &purpose, instance)?)
}

/// The manifest with name, labels and annotations.
pub(in crate::engine) fn job(
    manifest: &Manifest,
    purpose: &Purpose<'_>,
    instance: &str,
) -> serde_json::Result<Value> {
    let Purpose { run, attempt, owner, leg, template, namespace, event: (key, source, id) } = *purpose;
    let labels = [
        ("app.kubernetes.io/managed-by", "kickoff".to_owned()),
        ("kickoff.dev/instance", instance.to_owned()),
        ("kickoff.dev/run", run.to_string()),
        ("kickoff.dev/attempt", attempt.to_string()),
        ("kickoff.dev/trigger", owner.name.clone()),
    ];
    let fingerprint = h_hex("fingerprint", &[manifest.text().as_bytes()], 32);
    let annotations = [
        ("kickoff.dev/event-key", key.to_string()),
        ("kickoff.dev/event-source", source.to_owned()),
        ("kickoff.dev/event-id", id.to_owned()),
        ("kickoff.dev/leg", leg.to_owned()),
        ("kickoff.dev/template", template.to_string()),
        ("kickoff.dev/fingerprint", fingerprint),
    ];
    let mut job = manifest.job()?;
    put(&mut job, "/metadata", "labels", &labels);
    put(&mut job, "/metadata", "annotations", &annotations);
    put(&mut job, "/spec/template", "metadata", &[]);
    put(&mut job, "/spec/template/metadata", "labels", &labels);
    if let Some(metadata) = job.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("name".to_owned(), json!(job_name(&owner.name, run, attempt)));
        metadata.insert("namespace".to_owned(), json!(namespace));
    }
    Ok(job)
}

/// Puts entries into the map `field` of the object at `pointer`; makes the map where it is missing.
fn put(job: &mut Value, pointer: &str, field: &str, entries: &[(&str, String)]) {
    let Some(object) = job.pointer_mut(pointer).and_then(Value::as_object_mut) else { return };
    let map = object.entry(field).or_insert_with(|| Value::Object(Map::new()));
    let Some(map) = map.as_object_mut() else { return };
    map.extend(entries.iter().map(|(name, value)| ((*name).to_owned(), json!(value))));
}
