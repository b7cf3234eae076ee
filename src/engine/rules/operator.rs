//! Typed operators: `1` is `1.0` and not `"1"`; expressions match the whole string.

use serde_json::{Number, Value, json};

use super::needed;
use crate::engine::glob::Glob;
use crate::engine::pattern::Pattern;

/// So many of the texts that a pattern needs are looked for where it is dear itself.
const SOUGHT: usize = 8;

/// A compiled operator with what it wants.
#[derive(Debug)]
pub(super) enum Operator {
    Equals(Value),
    NotEquals(Value),
    In(Vec<Value>),
    NotIn(Vec<Value>),
    Exists(bool),
    /// Also the texts all of which a value must hold.
    Matches(String, Pattern, Vec<Vec<u8>>),
    /// Also the texts all of which a value must hold.
    Glob(String, Glob, Vec<Vec<u8>>),
    StartsWith(String),
    Contains(Value),
    Gt(Number),
    Gte(Number),
    Lt(Number),
    Lte(Number),
}

impl Operator {
    /// For a regular expression that was compiled from `text`.
    pub(super) fn matches(text: &str, pattern: Pattern) -> Self {
        Self::Matches(text.to_owned(), pattern, needed::of_regex(text))
    }

    /// For a glob that was compiled from `text`.
    pub(super) fn glob(text: &str, glob: Glob) -> Self {
        let needed = needed::of_regex(glob.expression());
        Self::Glob(text.to_owned(), glob, needed)
    }

    /// A positive operator holds if any value does, a negative one if none is against it. Without a
    /// value only the negative ones and `exists: false` hold.
    pub(super) fn holds(&self, values: &[&Value]) -> bool {
        let any = |test: &dyn Fn(&Value) -> bool| values.iter().any(|value| test(value));
        match self {
            Self::Equals(wanted) => any(&|value| same(value, wanted)),
            Self::NotEquals(wanted) => !any(&|value| same(value, wanted)),
            Self::In(wanted) => any(&|value| wanted.iter().any(|wanted| same(value, wanted))),
            Self::NotIn(wanted) => !any(&|value| wanted.iter().any(|wanted| same(value, wanted))),
            Self::Exists(wanted) => any(&|value| !value.is_null()) == *wanted,
            Self::Matches(_, pattern, _) => {
                any(&|value| value.as_str().is_some_and(|text| pattern.is_match(text)))
            }
            Self::Glob(_, glob, _) => any(&|value| value.as_str().is_some_and(|text| glob.is_match(text))),
            Self::StartsWith(start) => {
                any(&|value| value.as_str().is_some_and(|text| text.starts_with(start)))
            }
            Self::Contains(wanted) => any(&|value| contains(value, wanted)),
            Self::Gt(wanted) => any(&|value| compared(value, wanted).is_some_and(std::cmp::Ordering::is_gt)),
            Self::Gte(wanted) => any(&|value| compared(value, wanted).is_some_and(std::cmp::Ordering::is_ge)),
            Self::Lt(wanted) => any(&|value| compared(value, wanted).is_some_and(std::cmp::Ordering::is_lt)),
            Self::Lte(wanted) => any(&|value| compared(value, wanted).is_some_and(std::cmp::Ordering::is_le)),
        }
    }

    /// The most that [`Operator::holds`] can cost on the texts among `values`, in nanoseconds of a usual machine. What
    /// goes through each text once counts nothing.
    pub(super) fn cost(&self, values: &[&Value]) -> u64 {
        let all = |cost: &dyn Fn(&str) -> u64| {
            let texts = values.iter().filter_map(|value| value.as_str());
            texts.fold(0_u64, |all, text| all.saturating_add(cost(text)))
        };
        match self {
            Self::Matches(_, pattern, _) => all(&|text| pattern.cost(text)),
            Self::Glob(_, glob, _) => all(&|text| glob.cost(text)),
            _ => 0,
        }
    }

    /// Whether a text that a pattern needs is in none of `values`: then it does not hold, and to tell so goes through
    /// each of them a few times only.
    pub(super) fn lacks(&self, values: &[&Value]) -> bool {
        let (Self::Matches(.., needed) | Self::Glob(.., needed)) = self else { return false };
        let is_in =
            |text: &str, part: &[u8]| !std::str::from_utf8(part).is_ok_and(|part| !text.contains(part));
        let mut texts = values.iter().filter_map(|value| value.as_str());
        !needed.is_empty() && !texts.any(|text| needed.iter().take(SOUGHT).all(|part| is_in(text, part)))
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Equals(_) => "equals",
            Self::NotEquals(_) => "notEquals",
            Self::In(_) => "in",
            Self::NotIn(_) => "notIn",
            Self::Exists(_) => "exists",
            Self::Matches(..) => "matches",
            Self::Glob(..) => "glob",
            Self::StartsWith(_) => "startsWith",
            Self::Contains(_) => "contains",
            Self::Gt(_) => "gt",
            Self::Gte(_) => "gte",
            Self::Lt(_) => "lt",
            Self::Lte(_) => "lte",
        }
    }

    pub(super) fn wanted(&self) -> Value {
        match self {
            Self::Equals(value) | Self::NotEquals(value) | Self::Contains(value) => value.clone(),
            Self::In(values) | Self::NotIn(values) => json!(values),
            Self::Exists(wanted) => json!(wanted),
            Self::Matches(text, ..) | Self::Glob(text, ..) | Self::StartsWith(text) => json!(text),
            Self::Gt(number) | Self::Gte(number) | Self::Lt(number) | Self::Lte(number) => json!(number),
        }
    }

    /// What its patterns hold of memory, bytes.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Matches(_, pattern, _) => pattern.size(),
            Self::Glob(_, glob, _) => glob.size(),
            _ => 0,
        }
    }

    /// The texts all of which a value must hold, for the index.
    pub(super) fn needed(&self) -> Vec<Vec<u8>> {
        match self {
            Self::Matches(.., needed) | Self::Glob(.., needed) => needed.clone(),
            Self::StartsWith(text) if !text.is_empty() => vec![text.as_bytes().to_vec()],
            _ => Vec::new(),
        }
    }

    /// The scalars any of which is wanted, for the index: strings, booleans, integers.
    pub(super) fn scalars(&self) -> Option<Vec<Value>> {
        let wanted = match self {
            Self::Equals(value) => vec![value.clone()],
            Self::In(values) => values.clone(),
            _ => return None,
        };
        let plain = |value: &Value| value.is_string() || value.is_boolean() || value.is_i64();
        wanted.iter().all(plain).then_some(wanted)
    }
}

/// Equal with the same type; numbers by value, however they are written.
pub(in crate::engine) fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => order(one, other) == Some(std::cmp::Ordering::Equal),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let found =
                |(name, one): (&String, &Value)| other.get(name).is_some_and(|other| same(one, other));
            one.len() == other.len() && one.iter().all(found)
        }
        _ => one == other,
    }
}

fn contains(value: &Value, wanted: &Value) -> bool {
    match (value, wanted) {
        (Value::String(text), Value::String(part)) => text.contains(part.as_str()),
        (Value::Array(items), wanted) => items.iter().any(|item| same(item, wanted)),
        _ => false,
    }
}

fn compared(value: &Value, wanted: &Number) -> Option<std::cmp::Ordering> {
    match value {
        Value::Number(number) => order(number, wanted),
        _ => None,
    }
}

/// Whole numbers are compared as such, so that large ones do not run together as floats.
pub(super) fn order(one: &Number, other: &Number) -> Option<std::cmp::Ordering> {
    let whole = |number: &Number| number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    match (whole(one), whole(other)) {
        (Some(one), Some(other)) => Some(one.cmp(&other)),
        _ => one.as_f64()?.partial_cmp(&other.as_f64()?),
    }
}
