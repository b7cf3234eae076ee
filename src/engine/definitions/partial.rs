//! What else is wrong with a document that is bad already.
//!
//! A person mends all of a file in one go, so one mistake must not hide the others. What is left of a
//! document without the fields at fault is looked at like any other, for its problems alone: it is never
//! used. What must be there and is not stands in as little as it can be, and what is wrong with that is not told.

use std::collections::BTreeSet;
use std::ops::Bound;

use serde_json::{Map, Value, json};

use super::config::API_VERSION;
use super::quantity::{SIZE_FORMAT, SPAN_FORMAT};
use super::schema::{self, below, dereferenced, properties};
use super::yaml::{ancestors, child};

/// `value` of a kind without the fields at fault, and with something in place of those that must be there and of items
/// of lists, so that others keep their places. `None` where that can't be told. A choice of which nothing is left is at
/// fault as a whole.
pub(super) fn without(value: &Value, kind: &str, faults: &mut Vec<String>) -> Option<Value> {
    let mut rest = value.clone();
    if !rest.is_object() || faults.iter().any(String::is_empty) {
        return None;
    }
    take_out(&mut rest, "", &faults.iter().map(String::as_str).collect());
    if !kind.is_empty() {
        rest["apiVersion"] = json!(API_VERSION);
        rest["kind"] = json!(kind);
    }
    let schema = schema::of_kind(kind);
    fill_in(&mut rest, schema, schema, "", faults);
    Some(rest)
}

fn take_out(value: &mut Value, at: &str, faults: &BTreeSet<&str>) {
    match value {
        Value::Object(fields) => fields.retain(|name, value| {
            let field = child(at, name);
            take_out(value, &field, faults);
            !faults.contains(field.as_str())
        }),
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                let field = format!("{at}[{index}]");
                if faults.contains(field.as_str()) {
                    *item = Value::Null;
                } else {
                    take_out(item, &field, faults);
                }
            }
        }
        _ => {}
    }
}

/// Puts in what a document of a known kind must have and has not, as little as that can be: something to read the rest
/// by.
fn fill_in(value: &mut Value, schema: &Value, root: &Value, at: &str, faults: &mut Vec<String>) {
    let schema = dereferenced(schema, root);
    if value.as_object().is_some_and(Map::is_empty) && schema.get("minProperties").is_some() {
        *value = least(schema);
        faults.push(at.to_owned());
    }
    match value {
        Value::Object(fields) => {
            for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                fields.entry(name).or_insert_with(|| least(below(schema, name, root)));
            }
            for (name, value) in fields {
                let schema = below(schema, name, root);
                stand_in(value, schema);
                fill_in(value, schema, root, &child(at, name), faults);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                let schema = dereferenced(&schema["items"], root);
                stand_in(item, schema);
                fill_in(item, schema, root, &format!("{at}[{index}]"), faults);
            }
        }
        _ => {}
    }
}

/// Puts a value where there is none, if it is known what that must be.
fn stand_in(value: &mut Value, schema: &Value) {
    if value.is_null() && (schema.get("type").is_some() || schema.get("enum").is_some()) {
        *value = least(schema);
    }
}

/// A value for a schema, without what it must hold itself.
fn least(schema: &Value) -> Value {
    if let Some(word) = schema.get("enum").and_then(|words| words.get(0)) {
        return word.clone();
    }
    match (schema["type"].as_str(), schema["format"].as_str()) {
        // A choice: any of them.
        (Some("object"), _) if schema.get("minProperties").is_some() => {
            properties(schema).take(1).map(|name| (name.to_owned(), Value::Null)).collect()
        }
        (Some("object"), _) => json!({}),
        (Some("array"), _) => json!([]),
        (Some("integer" | "number"), _) => schema.get("minimum").cloned().unwrap_or(json!(0)),
        (Some("boolean"), _) => json!(false),
        (_, Some(SPAN_FORMAT)) => json!("1s"),
        (_, Some(SIZE_FORMAT)) => json!("1"),
        _ => json!(""),
    }
}

/// The fields of a document that could not be read, and those of which another value stands there too.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) unread: BTreeSet<String>,
    pub(super) doubtful: Vec<String>,
}

/// Of a document of which all could be read.
pub(super) static NO_FAULTS: Faults = Faults { unread: BTreeSet::new(), doubtful: Vec::new() };

impl Faults {
    /// Whether all of `field` could be read. Of a list with `[].name` after it: whether the names of all its items could
    /// be; of a map with `{}` after it: whether its keys could be.
    pub(super) fn reads(&self, field: &str) -> bool {
        let asked = Asked::of(field);
        let above = std::iter::once(asked.field()).chain(ancestors(asked.field()));
        let above = above.filter(|field| self.unread.contains(*field));
        !above.chain(self.unread_below(asked.field())).any(|fault| asked.has(fault))
    }

    /// Of what stands below `field`, and of others whose names begin alike.
    fn unread_below<'a>(&'a self, field: &'a str) -> impl Iterator<Item = &'a str> {
        let after = self.unread.range::<str, _>((Bound::Excluded(field), Bound::Unbounded));
        after.map(String::as_str).take_while(move |fault| fault.starts_with(field))
    }

    /// Whether that is all that stands there too: what is missing in it stands nowhere.
    pub(super) fn knows(&self, field: &str) -> bool {
        let asked = Asked::of(field);
        self.reads(field) && !self.doubtful.iter().any(|doubt| asked.has(doubt))
    }

    /// Whether something at `field` is wrong by what stands at `by`, whatever is meant. Within one of two values it
    /// is.
    pub(super) fn holds_by(&self, field: &str, by: &str) -> bool {
        let within = |doubt: &String| doubt != by && holds(doubt, by) && holds(doubt, field);
        let asked = Asked::of(by);
        self.reads(by) && !self.doubtful.iter().any(|doubt| asked.has(doubt) && !within(doubt))
    }
}

/// What somebody wants to know of a field.
#[derive(Debug, Clone, Copy)]
enum Asked<'a> {
    All(&'a str),
    /// The names of a list's items, `list[].name`.
    Names(&'a str),
    /// The keys of a map, `map{}`.
    Keys(&'a str),
}

impl<'a> Asked<'a> {
    fn of(field: &'a str) -> Self {
        let names = field.strip_suffix("[].name").map(Self::Names);
        names.or_else(|| field.strip_suffix("{}").map(Self::Keys)).unwrap_or(Self::All(field))
    }

    fn field(self) -> &'a str {
        let (Self::All(field) | Self::Names(field) | Self::Keys(field)) = self;
        field
    }

    /// Whether a fault is of that.
    fn has(self, fault: &str) -> bool {
        holds(fault, self.field())
            || match self {
                Self::All(field) => holds(field, fault),
                Self::Names(list) => names_item(list, fault),
                Self::Keys(_) => false,
            }
    }
}

/// Whether `fault` is an item of `list`, or the name of one.
fn names_item(list: &str, fault: &str) -> bool {
    let rest = fault.strip_prefix(list).and_then(|rest| rest.strip_prefix('[')?.split_once(']'));
    rest.is_some_and(|(_, rest)| rest.is_empty() || rest == ".name")
}

/// Whether the field `inner` is `outer` or stands below it.
pub(super) fn holds(outer: &str, inner: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::definitions::config::DocumentConfig;

    #[test]
    fn the_fields_at_fault_are_left_out_and_nothing_else() {
        let value = json!({"a": {"b": [{"c": 1, "d": 2}, 3]}, "e": 4});
        for (faults, rest) in [
            (vec!["a.b[0].c"], Some(json!({"a": {"b": [{"d": 2}, 3]}, "e": 4}))),
            (vec!["a.b[1]"], Some(json!({"a": {"b": [{"c": 1, "d": 2}, null]}, "e": 4}))),
            (vec!["e", "a.b[0].d"], Some(json!({"a": {"b": [{"c": 1}, 3]}}))),
            (vec!["nothing.there"], Some(value.clone())),
            (vec!["a['b c']"], Some(value.clone())),
            (vec!["['e e'].f"], Some(value.clone())),
            (vec![""], None),
        ] {
            let mut faults: Vec<String> = faults.into_iter().map(str::to_owned).collect();
            assert_eq!(without(&value, "", &mut faults), rest, "{faults:?}");
        }
    }

    #[test]
    fn what_must_be_there_is_put_in_so_that_the_rest_can_be_read() {
        for kind in schema::KINDS {
            for spec in [json!({}), json!({"spec": {}}), json!({"spec": 1, "metadata": []})] {
                let mut document = json!({"apiVersion": API_VERSION, "kind": kind});
                document.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
                let mut faults: Vec<String> =
                    schema::check(kind, &document).into_iter().map(|it| it.field).collect();
                let rest = without(&document, kind, &mut faults).unwrap();
                assert!(!faults.is_empty());
                serde_json::from_value::<DocumentConfig>(rest.clone())
                    .unwrap_or_else(|why| panic!("{rest}: {why}"));
            }
        }
        let sources = json!([{"kubernetes": {}}, {"nats": {"subject": 1}}, 5, {}]);
        let spec = json!({"sources": sources, "match": ["x"], "runs": [{}, "x"], "policy": {"debounce": {}}});
        let document = json!({"kind": "Trigger", "spec": spec});
        let faults: Vec<String> =
            schema::check("Trigger", &document).into_iter().map(|it| it.field).collect();
        let mut faults = [faults, vec!["apiVersion".to_owned()]].concat();
        let rest = without(&document, "Trigger", &mut faults).unwrap();
        let read = serde_json::from_value::<DocumentConfig>(rest.clone())
            .unwrap_or_else(|why| panic!("{rest}: {why}"));
        let DocumentConfig::Trigger(read) = read else { panic!("{rest}") };
        assert_eq!(
            (read.spec.sources.len(), read.spec.rules.len(), read.spec.runs.len()),
            (4, 1, 2),
            "{rest}"
        );
    }

    #[test]
    fn what_holds_a_fault_or_is_held_by_it_can_not_be_read() {
        for (field, fault, expected) in [
            ("spec.runs", "spec.runs[0].template", false),
            ("spec.runs[0].template", "spec.runs[0]", false),
            ("spec.runs[1]", "spec.runs[0]", true),
            ("spec.run", "spec.runs", true),
            ("spec.params[].name", "spec", false),
            ("spec.params[].name", "spec.params", false),
            ("spec.params[].name", "spec.params[1]", false),
            ("spec.params[].name", "spec.params[1].name", false),
            ("spec.params[].name", "spec.params[1].type", true),
            ("spec.params[].name", "spec.param", true),
        ] {
            let fault = fault.to_owned();
            let unread = Faults { unread: BTreeSet::from([fault.clone()]), doubtful: Vec::new() };
            let doubtful = Faults { unread: BTreeSet::new(), doubtful: vec![fault.clone()] };
            assert_eq!((unread.reads(field), doubtful.knows(field)), (expected, expected), "{field} {fault}");
            assert!(doubtful.reads(field));
        }
    }
}
