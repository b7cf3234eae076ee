//! JSON as CEL values, texts borrowed; and how large it is.

use std::collections::HashMap;

use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt,
};
use cel::common::value::Val;
use serde_json::Value;

use super::chain::Found;

/// Most values that an expression may look at under one path.
const NODES: u64 = 200_000;

/// How large a value is at most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Size {
    /// Values in it, itself included.
    pub(super) nodes: u64,
    /// Bytes of texts and names in it.
    pub(super) bytes: u64,
    /// Bytes of the longest text or name in it.
    pub(super) text: u64,
    /// Items of the longest list or map in it.
    pub(super) longest: u64,
    /// Its own items.
    pub(super) items: u64,
    /// Values, and bytes, of its largest item.
    pub(super) item: (u64, u64),
}

impl Size {
    /// Of a scalar with so many bytes.
    pub(super) fn scalar(bytes: u64) -> Self {
        Self { nodes: 1, bytes, text: bytes, longest: 0, items: 0, item: (1, bytes) }
    }

    /// At most as large as both together.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            nodes: self.nodes.saturating_add(other.nodes),
            bytes: self.bytes.saturating_add(other.bytes),
            // Texts may be joined.
            text: self.text.saturating_add(other.text),
            longest: self.longest.saturating_add(other.longest),
            items: self.items.saturating_add(other.items),
            item: (self.item.0.max(other.item.0), self.item.1.max(other.item.1)),
        }
    }

    fn add_text(&mut self, text: &str) {
        let bytes = text.len() as u64;
        self.bytes += bytes;
        self.text = self.text.max(bytes);
    }

    /// An item of it.
    pub(super) fn of_item(self) -> Self {
        let (nodes, bytes) = self.item;
        Self { nodes, bytes, text: self.text, longest: self.longest, items: self.longest, item: self.item }
    }
}

/// Measures a value. An error says what there is too much of.
pub(super) fn measure(found: &Found<'_>, limit: usize) -> Result<Size, String> {
    let Found::Value(value) = found else { return Ok(Size::scalar(0)) };
    let mut size = Size::default();
    add(value, limit, &mut size)?;
    size.item = match value {
        Value::Array(items) => largest(items.iter()),
        // The comprehensions of a map go over its names.
        Value::Object(fields) => (size.nodes, size.bytes.max(1)).max(largest(fields.values())),
        _ => (size.nodes, size.bytes),
    };
    size.items = match value {
        Value::Array(items) => items.len() as u64,
        Value::Object(fields) => fields.len() as u64,
        _ => 0,
    };
    Ok(size)
}

fn largest<'a>(items: impl Iterator<Item = &'a Value>) -> (u64, u64) {
    let mut most = (0, 0);
    for item in items {
        let mut size = Size::default();
        // What is too much was told of the whole.
        add(item, usize::MAX, &mut size).ok();
        most = (most.0.max(size.nodes), most.1.max(size.bytes));
    }
    most
}

fn add(value: &Value, limit: usize, size: &mut Size) -> Result<(), String> {
    size.nodes += 1;
    if size.nodes > NODES {
        return Err(format!("holds more than {NODES} values: name a part of it"));
    }
    let items = match value {
        Value::String(text) => {
            size.add_text(text);
            return Ok(());
        }
        Value::Array(items) => {
            items.iter().try_for_each(|item| add(item, limit, size))?;
            items.len()
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                size.add_text(name);
                add(field, limit, size)?;
            }
            fields.len()
        }
        _ => return Ok(()),
    };
    if items > limit {
        return Err(format!("holds a list of {items} items; up to {limit} are allowed here"));
    }
    size.longest = size.longest.max(items as u64);
    Ok(())
}

/// The value that a path found.
pub(super) fn converted<'a>(found: &Found<'a>) -> Box<dyn Val + 'a> {
    match found {
        Found::There(there) => Box::new(CelBool::from(*there)),
        Found::Value(value) => json(value),
    }
}

fn json(value: &Value) -> Box<dyn Val + '_> {
    match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(truth) => Box::new(CelBool::from(*truth)),
        Value::String(text) => Box::new(CelString::from(text.as_str())),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(signed), _) => Box::new(CelInt::from(signed)),
            (None, Some(unsigned)) => Box::new(CelUInt::from(unsigned)),
            (None, None) => Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN))),
        },
        Value::Array(items) => Box::new(CelList::from(items.iter().map(json).collect::<Vec<_>>())),
        Value::Object(fields) => {
            let entries = fields.iter().map(|(name, field)| (CelMapKey::from(name.as_str()), json(field)));
            Box::new(CelMap::from(entries.collect::<HashMap<_, _>>()))
        }
    }
}
