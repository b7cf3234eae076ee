//! A path from an object to one of its fields: names and indexes, so that it gives one value or none.

use std::fmt;

use serde_json::Value;

use super::{Step, parse, plain};

/// A compiled path to a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPath {
    text: String,
    steps: Vec<Step>,
}

impl FieldPath {
    /// Compiles; an error says what is wrong.
    pub fn compile(text: &str) -> Result<Self, String> {
        let (trimmed, query, wrong) = parse(text)?;
        wrong.or(())?;
        let steps = plain(&query.segments).filter(|steps| !steps.is_empty() && !steps.contains(&Step::All));
        let steps =
            steps.ok_or_else(|| format!("{text:?} must lead to one field: names and indexes alone"))?;
        Ok(Self { text: trimmed.to_owned(), steps })
    }

    /// As it was written, without a leading `$.`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first name, where it begins with one.
    pub fn root(&self) -> Option<&str> {
        match self.steps.first() {
            Some(Step::Name(name)) => Some(name),
            _ => None,
        }
    }

    /// What is there; null counts as missing.
    pub fn get<'a>(&self, object: &'a Value) -> Option<&'a Value> {
        let found = self.steps.iter().try_fold(object, |value, step| step.into(value));
        found.filter(|value| !value.is_null())
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
