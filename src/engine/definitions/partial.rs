//! What else is wrong with a document that is bad already.
//!
//! A person mends all of a file in one go, so one mistake must not hide the others. What is left of a
//! document without the fields at fault is looked at like any other, for its problems alone: it is never
//! used. What must be there and is not stands in as little as it can be, and what is wrong with that is not told.

use serde_json::{Value, json};

use super::config::API_VERSION;
use super::schema;

/// `value` of a kind without the fields at fault, and with something in place of those that must be there. `None` where
/// that can't be told.
pub(super) fn without(value: &Value, kind: &str, faults: &[String]) -> Option<Value> {
    let mut rest = value.clone();
    if !rest.is_object() {
        return None;
    }
    for fault in faults {
        if fault == "apiVersion" {
            rest["apiVersion"] = json!(API_VERSION);
        } else {
            remove(&mut rest, &steps(fault)?);
        }
    }
    schema::fill(kind, &mut rest);
    Some(rest)
}

/// Whether a problem at `field` may be no more than a consequence of one at `fault`: they are the same,
/// or one holds the other.
pub(super) fn follows(field: &str, fault: &str) -> bool {
    holds(field, fault) || holds(fault, field)
}

/// Whether `field` was left out as a whole, since there is a fault at `fault`: with an item of a list all of it is.
pub(super) fn lost(field: &str, fault: &str) -> bool {
    let left_out = if fault.ends_with(']') { fault.rfind('[').map(|at| &fault[..at]) } else { None };
    holds(left_out.unwrap_or(fault), field)
}

fn holds(outer: &str, inner: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

enum Step<'a> {
    Name(&'a str),
    Index(usize),
}

/// The steps of a field such as `spec.runs[0].template`; `None` for one with quoted names.
fn steps(field: &str) -> Option<Vec<Step<'_>>> {
    let mut steps = Vec::new();
    for part in field.split('.') {
        let (name, mut rest) = part.split_at(part.find('[').unwrap_or(part.len()));
        if name.is_empty() {
            return None;
        }
        steps.push(Step::Name(name));
        while let Some(inner) = rest.strip_prefix('[') {
            let (index, after) = inner.split_once(']')?;
            steps.push(Step::Index(index.parse().ok()?));
            rest = after;
        }
    }
    Some(steps)
}

/// Takes the field out, or the whole list where an item of one is at fault: the places of the others
/// must not move.
fn remove(value: &mut Value, steps: &[Step<'_>]) {
    let last = steps.iter().rposition(|step| matches!(step, Step::Name(_)));
    let Some(Step::Name(name)) = last.map(|last| &steps[last]) else { return };
    let above = &steps[..last.unwrap_or(0)];
    let parent = above.iter().try_fold(value, |value, step| match step {
        Step::Name(name) => value.get_mut(*name),
        Step::Index(index) => value.get_mut(*index),
    });
    if let Some(Value::Object(fields)) = parent {
        fields.remove(*name);
    }
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
            (vec!["a.b[1]"], Some(json!({"a": {}, "e": 4}))),
            (vec!["e", "a.b[0].d"], Some(json!({"a": {"b": [{"c": 1}, 3]}}))),
            (vec!["nothing.there"], Some(value.clone())),
            (vec!["a['b c']"], None),
            (vec![""], None),
        ] {
            let faults: Vec<String> = faults.into_iter().map(str::to_owned).collect();
            assert_eq!(without(&value, "", &faults), rest, "{faults:?}");
        }
    }

    #[test]
    fn what_must_be_there_is_put_in_so_that_the_rest_can_be_read() {
        for kind in schema::KINDS {
            for spec in [json!({}), json!({"spec": {}}), json!({"spec": 1, "metadata": []})] {
                let mut document = json!({"apiVersion": API_VERSION, "kind": kind});
                document.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
                let faults: Vec<String> =
                    schema::check(kind, &document).into_iter().map(|it| it.field).collect();
                let rest = without(&document, kind, &faults).unwrap();
                assert!(!faults.is_empty());
                serde_json::from_value::<DocumentConfig>(rest.clone())
                    .unwrap_or_else(|why| panic!("{rest}: {why}"));
            }
        }
        let sources = json!([{"kubernetes": {}}, {"nats": {"subject": 1}}]);
        let spec = json!({"sources": sources, "runs": [{}], "policy": {"debounce": {}}});
        let document = json!({"kind": "Trigger", "spec": spec});
        let faults: Vec<String> =
            schema::check("Trigger", &document).into_iter().map(|it| it.field).collect();
        let rest = without(&document, "Trigger", &[faults, vec!["apiVersion".to_owned()]].concat()).unwrap();
        let read = serde_json::from_value::<DocumentConfig>(rest.clone())
            .unwrap_or_else(|why| panic!("{rest}: {why}"));
        let DocumentConfig::Trigger(read) = read else { panic!("{rest}") };
        assert_eq!((read.spec.sources.len(), read.spec.runs.len()), (2, 1), "{rest}");
    }

    #[test]
    fn what_holds_a_fault_or_is_held_by_it_follows_from_it() {
        for (field, fault, expected) in [
            ("spec.runs", "spec.runs[0].template", true),
            ("spec.runs[0].template", "spec.runs[0]", true),
            ("spec.runs[1]", "spec.runs[0]", false),
            ("spec.run", "spec.runs", false),
        ] {
            assert_eq!(follows(field, fault), expected, "{field} {fault}");
        }
    }

    #[test]
    fn a_list_is_lost_with_each_of_its_items_but_not_with_a_field_of_one() {
        for (fault, expected) in [
            ("spec", true),
            ("spec.params", true),
            ("spec.params[1]", true),
            ("spec.params[1].type", false),
            ("spec.param", false),
        ] {
            assert_eq!(lost("spec.params", fault), expected, "{fault}");
        }
    }
}
