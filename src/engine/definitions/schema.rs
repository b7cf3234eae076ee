//! Every problem of a document at once, by the JSON Schema of the structs in `config`.
//!
//! The schema is made simpler before it is used, so that each error has one cause: a choice of
//! constants becomes an `enum`, a choice of one-field objects becomes an object with at most one
//! field, and null is no value. The wording is ours; the validator's own texts never reach a person.

mod simplify;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use boon::{Compiler, ErrorKind, Format, InstanceToken, SchemaIndex, Schemas, Type, Types, ValidationError};
use serde_json::{Value, json};

use self::simplify::simplify;
use super::config::{JobTemplateSpec, Resource, TriggerSpec, WebhookSpec};
use super::problem::nearest;
use super::quantity::{ByteSize, SIZE_FORMAT, SPAN_FORMAT, Span};
use super::yaml::child;

/// The kinds there are, as they are written.
pub(super) const KINDS: [&str; 3] = ["Webhook", "JobTemplate", "Trigger"];

/// A problem before its place is looked up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::engine) struct Finding {
    pub(in crate::engine) field: String,
    /// The key is at fault, not the value.
    pub(in crate::engine) at_key: bool,
    pub(in crate::engine) message: String,
    pub(in crate::engine) suggestion: Option<String>,
    /// Other fields that it is about: where one of them could not be read, it may be wrong.
    pub(in crate::engine) by: Vec<String>,
}

impl Finding {
    pub(in crate::engine) fn value(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), at_key: false, message: message.into(), suggestion: None, by: Vec::new() }
    }

    pub(in crate::engine) fn key(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { at_key: true, ..Self::value(field, message) }
    }

    pub(in crate::engine) fn near(self, suggestion: Option<String>) -> Self {
        Self { suggestion, ..self }
    }

    pub(in crate::engine) fn by(mut self, field: impl Into<String>) -> Self {
        self.by.push(field.into());
        self
    }
}

/// A JSON Schema with its validator, for documents that are worded as definitions are.
pub(in crate::engine) struct KindSchema {
    schema: Value,
    schemas: Schemas,
    index: SchemaIndex,
}

const MISSING: &str = "is missing";

/// What a schema is called while it is compiled; nothing is asked for there.
const PLACE: &str = "https://kickoff.dev/schema";

static SCHEMAS: LazyLock<Vec<KindSchema>> = LazyLock::new(|| {
    let schemas = [
        schemars::schema_for!(Resource<WebhookSpec>),
        schemars::schema_for!(Resource<JobTemplateSpec>),
        schemars::schema_for!(Resource<TriggerSpec>),
    ];
    let of_kind = |schema: schemars::Schema| {
        let mut schema = schema.to_value();
        schema["properties"]["kind"] = json!({ "type": "string" });
        KindSchema::of(schema)
    };
    schemas.into_iter().map(of_kind).collect()
});

impl KindSchema {
    pub(in crate::engine) fn of(mut schema: Value) -> Self {
        simplify(&mut schema);
        let mut compiler = Compiler::new();
        compiler.enable_format_assertions();
        compiler.register_format(Format { name: SPAN_FORMAT, func: |value| text(value, Span::parse) });
        compiler.register_format(Format { name: SIZE_FORMAT, func: |value| text(value, ByteSize::parse) });
        let mut schemas = Schemas::new();
        compiler.add_resource(PLACE, schema.clone()).expect("the place of a schema is a URL");
        let index = compiler.compile(PLACE, &mut schemas).expect("the schema of a kind is valid");
        Self { schema, schemas, index }
    }

    /// Everything that is wrong with `document`.
    pub(in crate::engine) fn findings(&self, document: &Value) -> Vec<Finding> {
        let mut findings = BTreeSet::new();
        if let Err(error) = self.schemas.validate(document, self.index) {
            self.word_all(&error, document, &mut findings);
        }
        broken_integers(document, &self.schema, &self.schema, String::new(), &mut findings);
        // What is misspelt is not missing too.
        let meant: BTreeSet<String> = findings.iter().flat_map(|finding| finding.by.clone()).collect();
        findings.retain(|finding| finding.message != MISSING || !meant.contains(&finding.field));
        findings.into_iter().collect()
    }

    /// What an error says, or those that it groups.
    fn word_all(&self, error: &ValidationError<'_, '_>, document: &Value, out: &mut BTreeSet<Finding>) {
        let groups = matches!(
            error.kind,
            ErrorKind::Schema { .. } | ErrorKind::Reference { .. } | ErrorKind::Group | ErrorKind::AllOf
        );
        if groups && !error.causes.is_empty() {
            error.causes.iter().for_each(|cause| self.word_all(cause, document, out));
        } else {
            out.extend(word(error, document, &self.schema));
        }
    }
}

/// Whether a text can be read; whatever is none is refused by its type.
fn text<T, E>(value: &Value, parse: impl Fn(&str) -> Result<T, E>) -> Result<(), Box<dyn std::error::Error>> {
    match value.as_str().map(parse) {
        Some(Err(_)) => Err("it can't be read".into()),
        _ => Ok(()),
    }
}

/// The schema of one of [`KINDS`].
pub(super) fn of_kind(kind: &str) -> &'static Value {
    SCHEMAS.iter().zip(KINDS).find(|(_, known)| *known == kind).map_or(&Value::Null, |(it, _)| &it.schema)
}

/// Everything that is wrong with `document`, whose kind is known.
pub(super) fn check(kind: &str, document: &Value) -> Vec<Finding> {
    let Some(known) = KINDS.iter().position(|known| *known == kind) else { return Vec::new() };
    SCHEMAS[known].findings(document)
}

fn word(error: &ValidationError<'_, '_>, document: &Value, root: &Value) -> Vec<Finding> {
    let (field, value, schema) = locate(error, document, root);
    let one = |message: String| vec![Finding::value(field.as_str(), message)];
    match &error.kind {
        ErrorKind::AdditionalProperties { got } => {
            got.iter().map(|name| unknown_field(&field, name, schema, value)).collect()
        }
        ErrorKind::Required { want } => {
            want.iter().map(|name| Finding::key(child(&field, name), MISSING)).collect()
        }
        ErrorKind::Enum { want } => match value.as_str() {
            Some(word) => unknown_word(&field, word, want),
            None => Vec::new(),
        },
        ErrorKind::Type { .. } if is_quantity(schema) => one(quantity(schema, value)),
        ErrorKind::Type { want, .. } => {
            one(format!("must be {}, is {}{}", wanted(*want), described(value), hint(*want, value)))
        }
        ErrorKind::Pattern { .. } | ErrorKind::Format { .. } => one(quantity(schema, value)),
        ErrorKind::MinProperties { .. } => one(format!("needs exactly one of {}", names(schema))),
        // Where only one of them is known, the others are told.
        ErrorKind::MaxProperties { .. }
            if properties(schema).filter(|name| value.get(name).is_some()).count() < 2 =>
        {
            Vec::new()
        }
        ErrorKind::MaxProperties { .. } => {
            vec![Finding::key(field, format!("may have only one of {}", names(schema)))]
        }
        ErrorKind::MinItems { want, .. } => one(format!("needs at least {want} entry")),
        ErrorKind::Minimum { want, .. } => one(format!("must be at least {want}, is {value}")),
        ErrorKind::Maximum { want, .. } => one(format!("must be at most {want}, is {value}")),
        ErrorKind::UniqueItems { got: [first, again] } => {
            one(format!("has the same twice: {first} and {again}, counted from 0"))
        }
        _ => one(format!("does not hold to the schema {}", error.schema_url)),
    }
}

/// The field an error speaks of, its value, and the schema that stands there.
fn locate<'s, 'v>(
    error: &ValidationError<'_, '_>,
    document: &'v Value,
    root: &'s Value,
) -> (String, &'v Value, &'s Value) {
    let mut field = String::new();
    let (mut value, mut schema) = (document, dereferenced(root, root));
    for token in &error.instance_location.tokens {
        match token {
            InstanceToken::Prop(name) => {
                field = child(&field, name);
                (value, schema) = (&value[&**name], below(schema, name, root));
            }
            InstanceToken::Item(index) => {
                field = format!("{field}[{index}]");
                (value, schema) = (&value[index], dereferenced(&schema["items"], root));
            }
        }
    }
    (field, value, schema)
}

/// The schema of the field `name` of an object with `schema`.
pub(super) fn below<'s>(schema: &'s Value, name: &str, root: &'s Value) -> &'s Value {
    let own = schema.get("properties").and_then(|all| all.get(name));
    dereferenced(own.unwrap_or(&schema["additionalProperties"]), root)
}

pub(super) fn dereferenced<'s>(schema: &'s Value, root: &'s Value) -> &'s Value {
    let target = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix('#'));
    target.and_then(|pointer| root.pointer(pointer)).unwrap_or(schema)
}

fn unknown_field(parent: &str, name: &str, schema: &Value, value: &Value) -> Finding {
    let allowed: Vec<&str> = properties(schema).collect();
    let near = nearest(name, allowed.iter().copied());
    let message = match allowed.len() {
        1 => format!("unknown field; the only one here is {}", allowed[0]),
        2..=12 => format!("unknown field; the fields here are {}", allowed.join(", ")),
        _ => "unknown field".to_owned(),
    };
    // What is there as well is not missing for it.
    let meant =
        near.iter().filter(|near| value.get(near).is_none()).map(|near| child(parent, near)).collect();
    Finding { by: meant, ..Finding::key(child(parent, name), message).near(near) }
}

fn unknown_word(field: &str, word: &str, options: &[Value]) -> Vec<Finding> {
    let known: Vec<&str> = options.iter().filter_map(Value::as_str).collect();
    let message = format!("{} is not one of {}", described(&json!(word)), known.join(", "));
    vec![Finding::value(field, message).near(nearest(word, known))]
}

pub(super) fn properties(schema: &Value) -> impl Iterator<Item = &str> {
    schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(|all| all.keys().map(String::as_str))
}

fn names(schema: &Value) -> String {
    properties(schema).collect::<Vec<_>>().join(", ")
}

fn is_quantity(schema: &Value) -> bool {
    matches!(schema.get("format").and_then(Value::as_str), Some(SPAN_FORMAT | SIZE_FORMAT))
}

/// Why a duration or size will not do; a bare number is told how it would be read as text.
fn quantity(schema: &Value, value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let refused = match schema.get("format").and_then(Value::as_str) {
        Some(SPAN_FORMAT) => Span::parse(&text).err(),
        Some(SIZE_FORMAT) => ByteSize::parse(&text).err(),
        _ => None,
    };
    let quotes = || format!("must be a text, is {}: put it in quotes", described(value));
    refused.unwrap_or_else(quotes)
}

fn wanted(types: Types) -> String {
    let of = |one| match one {
        Type::Object => "a map",
        Type::Array => "a list",
        Type::String => "a text",
        Type::Boolean => "true or false",
        Type::Integer => "a whole number",
        Type::Number => "a number",
        Type::Null => "empty",
    };
    types.iter().map(of).collect::<Vec<_>>().join(" or ")
}

/// A value in a message: its kind, and its text where that is short.
pub(in crate::engine) fn described(value: &Value) -> String {
    match value {
        Value::Null => "empty".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a map".to_owned(),
        Value::String(text) if text.chars().count() > 60 => {
            format!("{:?}", text.chars().take(57).chain("...".chars()).collect::<String>())
        }
        other => other.to_string(),
    }
}

fn hint(types: Types, value: &Value) -> &'static str {
    let only = |wanted| types.contains(wanted) && types.iter().count() == 1;
    match value {
        Value::Bool(_) | Value::Number(_) if only(Type::String) => ": put it in quotes",
        Value::String(text) if only(Type::Boolean) => match text.to_ascii_lowercase().as_str() {
            "yes" | "on" | "y" => ": write true",
            "no" | "off" | "n" => ": write false",
            _ => "",
        },
        _ => "",
    }
}

/// JSON Schema takes 5.0 as a whole number, serde does not.
fn broken_integers(value: &Value, schema: &Value, root: &Value, field: String, out: &mut BTreeSet<Finding>) {
    let schema = dereferenced(schema, root);
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                broken_integers(value, below(schema, name, root), root, child(&field, name), out);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                broken_integers(value, &schema["items"], root, format!("{field}[{index}]"), out);
            }
        }
        Value::Number(number) if schema["type"] == "integer" && number.is_f64() => {
            out.insert(Finding::value(field, format!("must be a whole number, is {number}")));
        }
        _ => {}
    }
}
