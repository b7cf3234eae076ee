//! The kinds that `kickoff crds` prints: current in `deploy/`, of a form that a cluster takes, and true to what files
//! may hold. That a real one takes them is tested with the cluster.

use std::process::Command;

use kickoff::engine::definitions::compile::compile;
use kickoff::engine::definitions::crd::crds;
use kickoff::engine::definitions::load::load;
use kickoff::engine::definitions::model::Secrets;
use kickoff::engine::definitions::tenants::{Tenants, parse};
use kickoff::engine::ids::ObjectName;
use serde_json::{Value, json};

const FILE: &str = "deploy/resources/crds.yaml";

/// Lets resources of any namespace do what the examples do.
const GRANTS: &str = "
- namespaces: ['*']
  runNamespaces: ['*']
  watchNamespaces: ['*']
  natsSubjects: ['>']
  gateAddresses: ['http://*.shop.svc']
";

fn schema(crd: &Value) -> &Value {
    crd.pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap()
}

/// A document of a file as it would be applied to namespace `shop`, with its secrets there.
pub(crate) fn as_resource(mut document: Value) -> Value {
    document["metadata"]["namespace"] = json!("shop");
    if let Some(secrets) = document.pointer_mut("/spec/secrets").and_then(Value::as_array_mut) {
        for secret in secrets {
            *secret = json!({"secretKeyRef": {"name": "webhooks", "key": "github"}});
        }
    }
    document
}

/// All that is shipped, as resources, each with where it stands.
pub(crate) fn resources() -> Vec<(String, Vec<Value>)> {
    let mut all = Vec::new();
    for folder in super::folders() {
        let loaded = load(&super::yaml_files(&folder), "shop");
        let documents = loaded.documents.into_iter().map(|it| as_resource(it.document.value));
        all.push((folder, documents.collect()));
    }
    all
}

#[test]
fn the_shipped_kinds_are_those_of_this_version() {
    let output = Command::new(env!("CARGO_BIN_EXE_kickoff")).arg("crds").output().unwrap();
    assert!(output.status.success());
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed == super::read(FILE), "{FILE} is old: cargo run -- crds >{FILE}");
    let read: Vec<Value> = serde_saphyr::from_multiple(&printed).unwrap();
    assert_eq!(read, crds(), "what is printed is read otherwise");
}

#[test]
fn every_schema_is_structural() {
    for crd in crds() {
        let name = crd["metadata"]["name"].as_str().unwrap().to_owned();
        check(schema(&crd), &name);
    }
}

/// What a cluster refuses in a schema, or takes with a warning.
fn check(schema: &Value, place: &str) {
    let fields = schema.as_object().unwrap_or_else(|| panic!("{place}: {schema}"));
    let open = schema["x-kubernetes-preserve-unknown-fields"] == true;
    assert!(schema["type"].is_string() || open, "{place} has no type");
    for (key, value) in fields {
        let known = match key.as_str() {
            "properties" => {
                let each = value.as_object().unwrap();
                each.iter().for_each(|(name, below)| check(below, &format!("{place}.{name}")));
                true
            }
            "items" | "additionalProperties" => {
                check(value, &format!("{place}[]"));
                schema.get("properties").is_none()
            }
            "format" => ["int32", "int64", "double", "date-time"].iter().any(|known| value == known),
            "required" => {
                let named = |name: &Value| schema["properties"].get(name.as_str().unwrap()).is_some();
                value.as_array().unwrap().iter().all(named)
            }
            "type" | "description" | "enum" | "pattern" | "nullable" | "minimum" | "maximum" | "minItems"
            | "maxItems" | "minLength" | "maxLength" | "minProperties" | "maxProperties" => true,
            other => other.starts_with("x-kubernetes-"),
        };
        assert!(known, "{place} has {key}: {value}");
    }
}

/// A schema that also refuses what a cluster would drop.
fn closed(schema: &Value) -> Value {
    let mut closed = schema.clone();
    let Some(fields) = closed.as_object_mut() else { return closed };
    let open = fields.get("x-kubernetes-preserve-unknown-fields") == Some(&json!(true));
    if let Some(Value::Object(named)) = fields.get_mut("properties") {
        named.values_mut().for_each(|below| *below = self::closed(below));
        if !open {
            fields.insert("additionalProperties".to_owned(), json!(false));
        }
    } else {
        for key in ["items", "additionalProperties"] {
            if let Some(below) = fields.get_mut(key) {
                *below = self::closed(below);
            }
        }
    }
    closed
}

#[test]
fn everything_shipped_is_as_good_a_resource_as_a_file() {
    let crds = crds();
    let kind_of = |crd: &Value| crd.pointer("/spec/names/kind").unwrap().clone();
    let mut count = 0;
    for (folder, documents) in resources() {
        let mut loaded = load(&[], "kickoff");
        loaded.tenants = Tenants::new(parse("grants.yaml", GRANTS).unwrap());
        for document in &documents {
            let crd = crds.iter().find(|crd| kind_of(crd) == document["kind"]).unwrap();
            let mut schema = closed(schema(crd));
            schema["properties"]["metadata"] = json!({"type": "object"});
            let validator = jsonschema::validator_for(&schema).unwrap();
            let errors: Vec<String> =
                validator.iter_errors(document).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{folder}: {errors:#?}");
            let name = ObjectName::new("shop", document["metadata"]["name"].as_str().unwrap());
            loaded.add_resource(document["kind"].as_str().unwrap(), &name, &document["spec"]);
            count += 1;
        }
        let made = compile(&loaded, &Secrets::new(), None);
        assert!(made.problems.is_empty(), "{folder}: {:#?}", made.problems);
    }
    assert!(count > 20, "only {count} definitions found");
}

#[test]
fn what_check_refuses_a_kind_refuses() {
    let crds = crds();
    let validator = jsonschema::validator_for(&closed(schema(&crds[0]))).unwrap();
    let good = json!({"apiVersion": "kickoff.dev/v1alpha1", "kind": "Webhook", "metadata": {"name": "gh"},
        "spec": {"provider": "github", "secrets": [{"secretKeyRef": {"name": "a", "key": "b"}}]}});
    assert!(validator.is_valid(&good));
    for (pointer, value) in [
        ("/spec/provider", json!("githob")),
        ("/spec/secrets", json!([])),
        ("/spec/secrets/0", json!({"env": "A"})),
        ("/spec/secrets/0/secretKeyRef", json!({"name": "a"})),
        ("/spec", json!({"provider": "github"})),
        ("/spec/secrets/0/secretKeyRef/key", json!(7)),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        assert!(!validator.is_valid(&bad), "{bad}");
    }
}
