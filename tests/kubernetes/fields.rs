//! The fields of a Job: those that Kickoff knows and ships, and those that the API server says there are.

use std::collections::{BTreeMap, BTreeSet};

use kickoff::engine::render::fields::OBJECTS;
use serde_json::{Value, json};

use crate::shipped::rendered::{CASES, explain};
use crate::support::cluster::cluster;

/// What a field of an object we know holds: the name of another, or `-`.
fn held(kind: &str, field: &str) -> Option<&'static str> {
    let (_, groups) = OBJECTS.iter().find(|(name, _)| *name == kind)?;
    groups.iter().find(|(_, names)| names.contains(&field)).map(|(inner, _)| *inner)
}

/// The schema that a field's value, or an item of it, has.
fn schema_of(property: &Value) -> &str {
    let item = property.get("items").unwrap_or(property);
    let reference = item.get("$ref").or_else(|| item.pointer("/allOf/0/$ref"));
    let reference = reference.and_then(Value::as_str).unwrap_or_else(|| panic!("{property:#}"));
    reference.rsplit('/').next().unwrap()
}

#[test]
fn the_known_fields_of_a_job_are_those_of_the_api_server() {
    // Whose version is known, unlike that of a cluster which was there before.
    cluster().state();
    let document = cluster().get("/openapi/v3/apis/batch/v1");
    let mut said: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut walked = BTreeSet::new();
    let mut waiting = vec![("Job", "io.k8s.api.batch.v1.JobSpec")];
    while let Some((kind, schema)) = waiting.pop() {
        if !walked.insert((kind, schema)) {
            continue;
        }
        let properties = document["components"]["schemas"][schema]["properties"].as_object();
        for (name, property) in properties.unwrap_or_else(|| panic!("{kind}: {schema} has no fields")) {
            said.entry(kind).or_default().insert(name);
            if let Some(inner) = held(kind, name).filter(|inner| *inner != "-") {
                waiting.push((inner, schema_of(property)));
            }
        }
    }
    let known = OBJECTS.iter().map(|(kind, groups)| {
        let fields: BTreeSet<&str> = groups.iter().flat_map(|(_, names)| *names).copied().collect();
        (*kind, fields)
    });
    let known: BTreeMap<&str, BTreeSet<&str>> = known.collect();
    let beyond = |one: &BTreeMap<&str, BTreeSet<&str>>, other: &BTreeMap<&str, BTreeSet<&str>>| {
        let fields = one.iter().flat_map(|(kind, fields)| fields.iter().map(move |field| (*kind, *field)));
        let lacks = |(kind, field): &(&str, &str)| !other.get(kind).is_some_and(|all| all.contains(field));
        fields.filter(lacks).map(|(kind, field)| format!("{kind}.{field}")).collect::<Vec<_>>()
    };
    let (unknown, invented) = (beyond(&said, &known), beyond(&known, &said));
    assert!(unknown.is_empty() && invented.is_empty(), "not known: {unknown:?}; not there: {invented:?}");
    assert!(walked.len() > 20, "{walked:?}");
}

#[test]
fn every_shipped_job_is_taken_by_the_api_server_field_by_field() {
    let namespace = cluster().namespace();
    let mut count = 0;
    for (folder, trigger, event, headers, _) in CASES {
        let explained = explain(folder, trigger, event, headers);
        for run in explained["runs"].as_array().unwrap() {
            let mut job = run["manifest"].clone();
            job["metadata"]["namespace"] = json!(namespace.name);
            let dry = ["create", "--dry-run=server", "--validate=strict", "-f", "-", "-o", "json"];
            assert_eq!(cluster().send(&dry, &job)["metadata"]["name"], job["metadata"]["name"]);
            count += 1;
        }
    }
    assert!(count >= CASES.len() - 2, "only {count} Jobs");
}
