//! Schemas made simpler, so that each error has one cause.

use serde_json::{Map, Value, json};

/// Rewrites a schema and all below it.
pub(super) fn simplify(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(simplify),
        Value::Object(fields) => {
            simplify_choice(fields);
            bound_integers(fields);
            let literal = ["default", "const", "enum", "required"];
            fields
                .iter_mut()
                .filter(|(key, _)| !literal.contains(&key.as_str()))
                .for_each(|(_, below)| simplify(below));
        }
        _ => {}
    }
}

fn simplify_choice(fields: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = fields.get_mut("type") {
        types.retain(|one| one != "null");
        if let [one] = types.as_slice() {
            let one = one.clone();
            fields.insert("type".to_owned(), one);
        }
    }
    if let Some(Value::Array(choices)) = fields.get("anyOf") {
        let rest: Vec<&Value> = choices.iter().filter(|choice| choice["type"] != "null").collect();
        if let [Value::Object(only)] = rest.as_slice() {
            let only = only.clone();
            fields.remove("anyOf");
            fields.extend(only);
        }
    }
    if let Some(Value::Array(choices)) = fields.get("oneOf") {
        let merged = words(choices).unwrap_or_else(|| one_field(choices));
        fields.remove("oneOf");
        fields.extend(merged);
    }
}

/// A choice of constants as an `enum`; `None` where it is none.
fn words(choices: &[Value]) -> Option<Map<String, Value>> {
    let mut all = Vec::new();
    for choice in choices {
        match (choice.get("const"), choice.get("enum")) {
            (Some(word), _) => all.push(word.clone()),
            (None, Some(Value::Array(words))) => all.extend(words.iter().cloned()),
            _ => return None,
        }
    }
    Some(Map::from_iter([("type".to_owned(), json!("string")), ("enum".to_owned(), all.into())]))
}

/// A choice of objects of one field as an object with exactly one of these fields.
fn one_field(choices: &[Value]) -> Map<String, Value> {
    let fields: Map<String, Value> = choices
        .iter()
        .filter_map(|choice| choice["properties"].as_object())
        .flat_map(|properties| properties.iter().map(|(name, schema)| (name.clone(), schema.clone())))
        .collect();
    Map::from_iter([
        ("type".to_owned(), json!("object")),
        ("properties".to_owned(), fields.into()),
        ("additionalProperties".to_owned(), json!(false)),
        ("minProperties".to_owned(), json!(1)),
        ("maxProperties".to_owned(), json!(1)),
    ])
}

/// What the format of an integer says as limits, which the validator then holds.
fn bound_integers(fields: &mut Map<String, Value>) {
    let (least, most) = match fields.get("format").and_then(Value::as_str) {
        Some("uint32") => (0, i64::from(u32::MAX)),
        Some("int32") => (i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => return,
    };
    fields.entry("minimum").or_insert(json!(least));
    fields.entry("maximum").or_insert(json!(most));
}
