//! The definitions as resources of a cluster: a `CustomResourceDefinition` of each kind.
//!
//! Made of the schemas that files hold to, so that both know the same fields. A cluster wants a schema in which
//! every field has its type and none refers to another (a structural one), so references are written out, and what
//! may hold itself (`match`) is so to a depth; below that only the server looks. Nothing has a default, or what a
//! person applied would differ from what the cluster has. What only `kickoff check` can tell of a resource is told
//! in its status.

mod kinds;

use serde_json::{Map, Value, json};

use super::schema::{KINDS, of_kind};

/// Group of the kinds.
pub const GROUP: &str = "kickoff.dev";
/// Their only version.
pub const VERSION: &str = "v1alpha1";
/// How often a schema may be written out within itself.
const DEEPEST: usize = 2;
/// What a cluster knows of formats; it warns of others.
const FORMATS: [&str; 3] = ["int32", "int64", "double"];
/// What a cluster takes as it is.
const TAKEN: [&str; 12] = [
    "description",
    "enum",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "pattern",
    "required",
];

/// The kinds that there are.
pub const fn every_kind() -> [&'static str; 3] {
    KINDS
}

/// The plural of a kind, as paths and Roles write it.
pub fn plural(kind: &str) -> String {
    format!("{}s", kind.to_ascii_lowercase())
}

/// The definitions of all kinds, ready to be applied.
pub fn crds() -> Vec<Value> {
    KINDS.iter().map(|kind| crd(kind)).collect()
}

fn crd(kind: &str) -> Value {
    let plural = plural(kind);
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{plural}.{GROUP}") },
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind,
                "listKind": format!("{kind}List"),
                "plural": plural,
                "singular": kind.to_ascii_lowercase(),
                "shortNames": [kinds::short(kind)],
                "categories": ["kickoff"],
            },
            "scope": "Namespaced",
            "versions": [{
                "name": VERSION,
                "served": true,
                "storage": true,
                "subresources": { "status": {} },
                "additionalPrinterColumns": kinds::columns(kind),
                "schema": { "openAPIV3Schema": schema(kind) },
            }],
        },
    })
}

/// The structural schema of a kind.
fn schema(kind: &str) -> Value {
    let root = of_kind(kind);
    let mut schema = json!({
        "description": kinds::description(kind),
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": { "type": "string", "description": "kickoff.dev/v1alpha1." },
            "kind": { "type": "string", "description": format!("{kind}.") },
            "metadata": { "type": "object" },
            "spec": structural(&root["properties"]["spec"], root, &mut Vec::new()),
            "status": kinds::status(kind),
        },
    });
    kinds::restrict(kind, &mut schema);
    schema
}

/// `schema` without references, with a type everywhere. `open` are the references that lead here.
fn structural(schema: &Value, root: &Value, open: &mut Vec<String>) -> Value {
    let Value::Object(fields) = schema else { return anything() };
    if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
        let mut made = referred(reference, root, open);
        // What is said here wins over what is said there.
        if let Some(said) = fields.get("description") {
            made["description"] = text(said);
        }
        return made;
    }
    let mut made: Map<String, Value> = fields
        .iter()
        .filter(|(key, _)| TAKEN.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    if let Some(said) = fields.get("description") {
        made.insert("description".to_owned(), text(said));
    }
    if let Some(word) = fields.get("const") {
        made.insert("enum".to_owned(), json!([word]));
        made.insert("type".to_owned(), json!("string"));
    }
    let Some(kind) = fields.get("type").cloned() else {
        if !made.contains_key("type") {
            made.extend(open_value());
        }
        return Value::Object(made);
    };
    made.insert("type".to_owned(), kind);
    if let Some(format) = fields.get("format").and_then(Value::as_str).filter(|it| FORMATS.contains(it)) {
        made.insert("format".to_owned(), json!(format));
    }
    if let Some(items) = fields.get("items") {
        let items = structural(items, root, open);
        if fields.get("uniqueItems") == Some(&Value::Bool(true)) && items.get("type").is_some() {
            made.insert("x-kubernetes-list-type".to_owned(), json!("set"));
        }
        made.insert("items".to_owned(), items);
    }
    below(fields, root, open, &mut made);
    Value::Object(made)
}

/// The fields of an object: those that are named, or any.
fn below(fields: &Map<String, Value>, root: &Value, open: &mut Vec<String>, made: &mut Map<String, Value>) {
    if let Some(Value::Object(named)) = fields.get("properties") {
        let named: Map<String, Value> =
            named.iter().map(|(name, schema)| (name.clone(), structural(schema, root, open))).collect();
        made.insert("properties".to_owned(), Value::Object(named));
        return;
    }
    match fields.get("additionalProperties") {
        Some(values @ Value::Object(_)) => {
            made.insert("additionalProperties".to_owned(), structural(values, root, open));
        }
        // Of the Job nothing may be lost that a newer cluster knows.
        Some(Value::Bool(true)) => {
            made.insert("x-kubernetes-preserve-unknown-fields".to_owned(), json!(true));
        }
        _ => {}
    }
}

fn referred(reference: &str, root: &Value, open: &mut Vec<String>) -> Value {
    let target = reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
    let Some(target) = target else { return anything() };
    if open.iter().filter(|known| *known == reference).count() >= DEEPEST {
        let mut made = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
        if let Some(said) = target.get("description") {
            made["description"] = text(said);
        }
        return made;
    }
    open.push(reference.to_owned());
    let made = structural(target, root, open);
    open.pop();
    made
}

/// Any value, null too.
fn anything() -> Value {
    Value::Object(open_value())
}

fn open_value() -> Map<String, Value> {
    Map::from_iter([
        ("nullable".to_owned(), json!(true)),
        ("x-kubernetes-preserve-unknown-fields".to_owned(), json!(true)),
    ])
}

/// A description without the line breaks of its source.
fn text(said: &Value) -> Value {
    let said = said.as_str().unwrap_or_default();
    let paragraphs: Vec<String> = said.split("\n\n").map(|paragraph| paragraph.replace('\n', " ")).collect();
    json!(paragraphs.join("\n\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_written_out_to_a_depth() {
        let root = json!({ "$defs": { "Rule": {
            "description": "One\nrule.",
            "type": "object",
            "properties": { "not": { "$ref": "#/$defs/Rule", "description": "Not this." }, "equals": true },
            "additionalProperties": false,
        } } });
        let open = json!({ "type": "object", "description": "Not this.",
            "x-kubernetes-preserve-unknown-fields": true });
        let any = json!({ "nullable": true, "x-kubernetes-preserve-unknown-fields": true });
        let rule = |said: &str, not: &Value| {
            let properties = json!({ "not": not, "equals": any });
            json!({ "type": "object", "description": said, "properties": properties })
        };
        let made = structural(&json!({ "$ref": "#/$defs/Rule" }), &root, &mut Vec::new());
        assert_eq!(made, rule("One rule.", &rule("Not this.", &open)));
    }

    #[test]
    fn what_a_cluster_does_not_know_is_left_out() {
        for (from, to) in [
            (
                json!({ "type": "integer", "format": "uint32", "minimum": 0, "default": 1 }),
                r#"{"minimum":0,"type":"integer"}"#,
            ),
            (json!({ "const": "a" }), r#"{"enum":["a"],"type":"string"}"#),
            (
                json!({ "type": "array", "items": { "type": "string" }, "uniqueItems": true }),
                r#"{"items":{"type":"string"},"type":"array","x-kubernetes-list-type":"set"}"#,
            ),
            (
                json!({ "type": "object", "additionalProperties": true }),
                r#"{"type":"object","x-kubernetes-preserve-unknown-fields":true}"#,
            ),
        ] {
            let made = structural(&from, &Value::Null, &mut Vec::new());
            assert_eq!(made, serde_json::from_str::<Value>(to).unwrap(), "{from}");
        }
    }
}
