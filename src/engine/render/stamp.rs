//! The Job of one attempt: the frozen manifest with its name, labels and annotations.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

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

/// Who makes Jobs.
#[derive(Debug, Clone)]
pub struct Maker {
    /// Name of this Kickoff.
    pub instance: String,
    /// What tells its data folder from every other, where it has one.
    pub folder: Option<String>,
}

/// The Job of a run's current attempt. An error: the manifest is none.
pub fn stamp(manifest: &Manifest, run: &Run, maker: &Maker) -> serde_json::Result<Manifest> {
    let purpose = Purpose {
        run: &run.id,
        attempt: run.attempt,
        owner: run.owner(),
        leg: &run.name,
        template: &run.template,
        namespace: &run.namespace,
        event: (&run.event.key, &run.event.source, &run.event.id),
    };
    stamped(manifest, &purpose, maker)
}

/// The manifest with name, labels and annotations. Only the maps on the way to these are read: all else is passed on as
/// the text that it is.
pub(in crate::engine) fn stamped(
    manifest: &Manifest,
    purpose: &Purpose<'_>,
    maker: &Maker,
) -> serde_json::Result<Manifest> {
    let Purpose { run, attempt, owner, leg, template, namespace, event: (key, source, id) } = *purpose;
    let (run_label, attempt_label) = (run.to_string(), attempt.to_string());
    let labels = [
        ("app.kubernetes.io/managed-by", "kickoff"),
        ("kickoff.dev/instance", maker.instance.as_str()),
        ("kickoff.dev/run", &run_label),
        ("kickoff.dev/attempt", &attempt_label),
        ("kickoff.dev/trigger", &owner.name),
    ];
    let (key, template) = (key.to_string(), template.to_string());
    let fingerprint = h_hex("fingerprint", &[manifest.text().as_bytes()], 32);
    let annotations = [
        ("kickoff.dev/event-key", key.as_str()),
        ("kickoff.dev/event-source", source),
        ("kickoff.dev/event-id", id),
        ("kickoff.dev/leg", leg),
        ("kickoff.dev/template", &template),
        ("kickoff.dev/fingerprint", &fingerprint),
    ];
    let name = job_name(&owner.name, run, attempt);
    let mut job: Fields<'_> = serde_json::from_str(manifest.text())?;
    if let Some(metadata) = field(&mut job, "metadata")? {
        put(metadata, "labels", &labels)?;
        put(metadata, "annotations", &annotations)?;
        if let Some(folder) = &maker.folder {
            put(metadata, "annotations", &[("kickoff.dev/data-folder", folder)])?;
        }
        metadata.insert(Key("name".into()), Part::Text(&name));
        metadata.insert(Key("namespace".into()), Part::Text(namespace));
    }
    if let Some(spec) = field(&mut job, "spec")?
        && let Some(template) = field(spec, "template")?
    {
        put(template, "metadata", &[])?;
        if let Some(metadata) = field(template, "metadata")? {
            put(metadata, "labels", &labels)?;
        }
    }
    Manifest::of(&job)
}

/// A map of which each field is text until it is opened.
type Fields<'a> = BTreeMap<Key<'a>, Part<'a>>;

#[derive(PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Serialize)]
#[serde(untagged)]
enum Part<'a> {
    Kept(&'a RawValue),
    Text(&'a str),
    Map(Fields<'a>),
}

impl<'de: 'a, 'a> Deserialize<'de> for Part<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&RawValue>::deserialize(deserializer).map(Self::Kept)
    }
}

/// Opens the map `name`; `None` where there is none.
fn field<'f, 'a>(
    fields: &'f mut Fields<'a>,
    name: &'static str,
) -> serde_json::Result<Option<&'f mut Fields<'a>>> {
    let Some(part) = fields.get_mut(&Key(name.into())) else { return Ok(None) };
    if let Part::Kept(text) = part
        && text.get().starts_with('{')
    {
        *part = Part::Map(serde_json::from_str(text.get())?);
    }
    Ok(match part {
        Part::Map(fields) => Some(fields),
        Part::Kept(_) | Part::Text(_) => None,
    })
}

/// Puts entries into the map `name`; makes the map where it is missing.
fn put<'a>(
    fields: &mut Fields<'a>,
    name: &'static str,
    entries: &[(&'a str, &'a str)],
) -> serde_json::Result<()> {
    fields.entry(Key(name.into())).or_insert_with(|| Part::Map(Fields::new()));
    if let Some(map) = field(fields, name)? {
        map.extend(entries.iter().map(|(name, value)| (Key((*name).into()), Part::Text(value))));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn stamp_of(job: &Value) -> serde_json::Result<Value> {
        let key = EventKey::derive("webhook/default/github", "https://github.com/acme/shop", "1");
        let owner = ObjectName::new("default", "after-push");
        let run = RunId::parse("0123456789abcdef0123").unwrap();
        let purpose = Purpose {
            run: &run,
            attempt: 2,
            owner: &owner,
            leg: "smoke",
            template: &ObjectName::new("default", "smoke"),
            namespace: "staging",
            event: (&key, "a \"source\"", "é\n"),
        };
        let maker = Maker { instance: "kickoff".to_owned(), folder: Some("0123456789abcdef".to_owned()) };
        stamped(&Manifest::of(job)?, &purpose, &maker)?.job()
    }

    #[test]
    fn names_labels_and_annotations_are_put_in_and_all_else_is_as_it_was() {
        let odd = json!({"a\"b": [1.50, "é\u{1}"], "": null});
        let job = json!({
            "odd\n": odd,
            "metadata": {"labels": {"a\"b": "c", "kickoff.dev/run": "x"}, "annotations": {}, "name": "x", "z": odd},
            "spec": {"odd": odd, "template": {"spec": odd}},
        });
        let mut stamped = stamp_of(&job).unwrap();
        insta::assert_json_snapshot!(stamped["metadata"]);
        assert_eq!(
            stamped["spec"]["template"]["metadata"]["labels"].as_object().map(serde_json::Map::len),
            Some(5)
        );
        stamped["spec"]["template"].as_object_mut().unwrap().remove("metadata");
        stamped["metadata"] = job["metadata"].clone();
        assert_eq!(stamped, job);
    }

    #[test]
    fn where_there_is_no_map_nothing_is_put() {
        for job in [
            json!({}),
            json!({"metadata": [], "spec": "a"}),
            json!({"metadata": null, "spec": {"template": 1}}),
        ] {
            assert_eq!(stamp_of(&job).unwrap(), job);
        }
        let job = json!({"metadata": {"labels": "a", "annotations": null}});
        let stamped = stamp_of(&job).unwrap();
        assert_eq!(
            (&stamped["metadata"]["labels"], &stamped["metadata"]["annotations"]),
            (&json!("a"), &json!(null))
        );
        assert!(stamp_of(&json!([1])).is_err(), "no Job");
    }
}
