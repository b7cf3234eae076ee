//! Paths of an expression into the event, and the variables that stand for them.

use std::fmt;

use serde_json::Value;

/// A path into the event, and whether only its presence is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) steps: Vec<Step>,
    pub(super) presence: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Name(String),
    Index(i64),
}

/// What a path gives.
pub(super) enum Found<'a> {
    Value(&'a Value),
    There(bool),
}

/// The variable that stands for a path.
pub(super) fn variable(index: usize) -> String {
    format!("#{index}")
}

/// The path that a variable stands for.
pub(super) fn index(variable: &str) -> Option<usize> {
    variable.strip_prefix('#')?.parse().ok()
}

impl Chain {
    /// What it gives in `root`; of presence, whether the last step is there.
    pub(super) fn find<'a>(&self, root: &'a Value) -> Option<Found<'a>> {
        if !self.presence {
            return self.steps.iter().try_fold(root, |value, step| step.into(value)).map(Found::Value);
        }
        let (last, before) = self.steps.split_last()?;
        let parent = before.iter().try_fold(root, |value, step| step.into(value))?;
        parent.is_object().then(|| Found::There(last.into(parent).is_some()))
    }

    /// What is missing where it gives nothing.
    pub(super) fn missing(&self) -> String {
        let steps = if self.presence { &self.steps[..self.steps.len() - 1] } else { &self.steps[..] };
        Self { steps: steps.to_vec(), presence: false }.to_string()
    }
}

impl Step {
    fn into<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        match self {
            Self::Name(name) => value.as_object()?.get(name),
            Self::Index(index) => value.as_array()?.get(usize::try_from(*index).ok()?),
        }
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.presence {
            f.write_str("has ")?;
        }
        for (at, step) in self.steps.iter().enumerate() {
            match step {
                Step::Name(name) if at == 0 => f.write_str(name)?,
                Step::Name(name) if name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') => {
                    write!(f, ".{name}")?;
                }
                Step::Name(name) => write!(f, "[{name:?}]")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}
