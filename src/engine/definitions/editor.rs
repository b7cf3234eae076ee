//! The definitions as a JSON Schema for editors: completion, hover texts, errors while typing.
//!
//! One schema for a document of any kind, made of the structs in `config`. It knows what the structs
//! know; what spans documents (references, params, paths) only `kickoff check` finds.

use serde_json::{Map, Value, json};

use super::config::API_VERSION;
use super::schema::{KINDS, of_kind};

/// The schema, in draft 7, which every editor knows.
pub fn editor_schema() -> Value {
    let mut definitions = Map::new();
    let mut choices = Vec::new();
    for kind in KINDS {
        let mut schema = of_kind(kind).clone();
        if let Some(Value::Object(shared)) = schema.as_object_mut().and_then(|it| it.remove("$defs")) {
            definitions.extend(shared);
        }
        if let Some(fields) = schema.as_object_mut() {
            fields.remove("$schema");
            fields.insert("title".to_owned(), json!(kind));
        }
        schema["properties"]["kind"] = json!({ "const": kind });
        schema["properties"]["apiVersion"] = json!({ "const": API_VERSION });
        definitions.insert(kind.to_owned(), schema);
        choices.push(json!({
            "if": { "properties": { "kind": { "const": kind } }, "required": ["kind"] },
            "then": { "$ref": format!("#/$defs/{kind}") },
        }));
    }
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Definitions of Kickoff",
        "type": "object",
        "properties": {
            "apiVersion": { "const": API_VERSION },
            "kind": { "enum": KINDS },
        },
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "allOf": choices,
        "$defs": definitions,
    })
}
