//! A second value of a field: its key stands twice, or another that is misspelt means the same. Nobody can tell which one
//! stays, so each is looked at in place of the first, in a document of its own.

use serde_json::{Map, Value};

use super::partial::holds;
use super::yaml::{Places, Repeated, child};

/// Of further ones of a document nothing is told but that they are there.
pub(super) const MOST: usize = 10;

/// Beside so many problems of a document its second values are not looked at.
pub(super) const ENOUGH: usize = 1_000;

/// A document with a second value in place of the first.
pub(super) struct Again {
    /// The field that has it.
    pub(super) field: String,
    pub(super) value: Value,
    pub(super) places: Places,
}

/// Those of keys that stand twice.
pub(super) fn of_repeated<'a>(
    value: &'a Value,
    places: &'a Places,
    repeated: &'a [Repeated],
) -> impl Iterator<Item = Again> + 'a {
    repeated.iter().filter_map(|Repeated { field, other, .. }| {
        let (other, below) = other.as_ref()?;
        let (mut value, mut places) = (value.clone(), places.clone());
        change(&mut value, "", field, &mut |fields, _, name| {
            fields.insert(name.to_owned(), other.clone());
        });
        places.put(field, below);
        Some(Again { field: field.clone(), value, places })
    })
}

/// That of a field that is misspelt where `meant` stands beside it.
pub(super) fn of_misspelt(value: &Value, places: &Places, field: &str, meant: &str) -> Again {
    let (mut value, mut places) = (value.clone(), places.clone());
    let (written, mut of) = (places.written(field), String::new());
    change(&mut value, "", field, &mut |fields, above, name| {
        let other = fields.remove(name).unwrap_or_default();
        fields.insert(meant.to_owned(), other);
        of = child(above, meant);
    });
    places.rename(of.clone(), written);
    Again { field: of, value, places }
}

/// Changes the map that has `field`, which is called so in it, and stands where.
fn change(
    value: &mut Value,
    at: &str,
    field: &str,
    with: &mut impl FnMut(&mut Map<String, Value>, &str, &str),
) {
    match value {
        Value::Object(fields) => {
            if let Some(name) = fields.keys().find(|name| child(at, name) == field).cloned() {
                return with(fields, at, &name);
            }
            for (name, value) in fields {
                let below = child(at, name);
                if holds(&below, field) {
                    change(value, &below, field, with);
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                let below = format!("{at}[{index}]");
                if holds(&below, field) {
                    change(item, &below, field, with);
                }
            }
        }
        _ => {}
    }
}
