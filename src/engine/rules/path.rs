//! Compiled paths: JSONPath (RFC 9535) with the leading `$.` left out or written.
//!
//! Names, indexes and `[*]` are walked here, without allocation where they can give but one value.
//! The library parses; what it takes and should not is refused (see `refuse`), and what a query gives
//! is worked out by `walk`.

mod field;
mod refuse;
mod walk;

use std::fmt;

use jsonpath_rust::parser::model::{JpQuery, Segment, Selector};
use jsonpath_rust::parser::parse_json_path;
use serde_json::Value;

pub use self::field::FieldPath;
use crate::engine::definitions::problem::Complaints;
use crate::engine::values::check_names;

/// What a path may start with, in rules.
const ROOTS: [&str; 2] = ["event", "git"];
/// Longest path, in bytes: parsing is not linear in every case.
const LONGEST: usize = 512;
/// Deepest nesting of brackets and parentheses.
const DEEPEST: usize = 8;

/// A compiled path.
#[derive(Debug)]
pub(super) struct Path {
    text: String,
    steps: Steps,
}

#[derive(Debug)]
enum Steps {
    /// Without `[*]`: gives one value or none.
    One(Vec<Step>),
    Many(Vec<Step>),
    Query(JpQuery),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Name(String),
    Index(i64),
    All,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Path {
    /// Compiles; an error says what is wrong and what would be right.
    pub(super) fn compile(text: &str) -> Result<Self, String> {
        let (trimmed, query, mut wrong) = parse(text)?;
        wrong.extend(check_root(&query, text).err());
        wrong.or(())?;
        let steps = match plain(&query.segments) {
            Some(steps) if steps.contains(&Step::All) => Steps::Many(steps),
            Some(steps) => Steps::One(steps),
            None => Steps::Query(query),
        };
        Ok(Self { text: trimmed.to_owned(), steps })
    }

    /// The path as it was written, without a leading `$.`.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The values the path gives in `root`, in order.
    pub(super) fn with<T>(&self, root: &Value, look: impl FnOnce(&[&Value]) -> T) -> T {
        match &self.steps {
            Steps::One(steps) => match steps.iter().try_fold(root, |value, step| step.into(value)) {
                Some(value) => look(&[value]),
                None => look(&[]),
            },
            Steps::Many(steps) => {
                let mut values = Vec::new();
                walk(steps, root, &mut values);
                look(&values)
            }
            Steps::Query(query) => look(&walk::nodes(&query.segments, root, root)),
        }
    }

    /// The names joined by dots, where the path has nothing but names, and none with a dot in it.
    pub(super) fn dotted(&self) -> Option<String> {
        let Steps::One(steps) = &self.steps else { return None };
        let names: Option<Vec<&str>> = steps
            .iter()
            .map(|step| match step {
                Step::Name(name) if !name.contains('.') => Some(name.as_str()),
                _ => None,
            })
            .collect();
        Some(names?.join("."))
    }
}

impl Step {
    /// The one value that a name or index leads to.
    fn into<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        match self {
            Self::Name(name) => value.as_object()?.get(name),
            Self::Index(index) => {
                let items = value.as_array()?;
                let distance = usize::try_from(index.unsigned_abs()).ok()?;
                let at = if *index < 0 { items.len().checked_sub(distance)? } else { distance };
                items.get(at)
            }
            Self::All => None,
        }
    }
}

fn walk<'a>(steps: &[Step], value: &'a Value, found: &mut Vec<&'a Value>) {
    let Some((step, rest)) = steps.split_first() else {
        found.push(value);
        return;
    };
    match (step, value) {
        (Step::All, Value::Array(items)) => items.iter().for_each(|item| walk(rest, item, found)),
        (Step::All, Value::Object(fields)) => fields.values().for_each(|field| walk(rest, field, found)),
        _ => {
            if let Some(value) = step.into(value) {
                walk(rest, value, found);
            }
        }
    }
}

/// The text without a leading `$.`, its query, and what of that is refused.
fn parse(text: &str) -> Result<(&str, JpQuery, Complaints), String> {
    if text.len() > LONGEST {
        return Err(format!("is longer than {LONGEST} bytes"));
    }
    if depth(text) > DEEPEST {
        return Err(format!("is nested deeper than {DEEPEST}"));
    }
    let trimmed = text.strip_prefix("$.").or_else(|| text.strip_prefix('$')).unwrap_or(text);
    let full = if trimmed.starts_with('[') { format!("${trimmed}") } else { format!("$.{trimmed}") };
    let not_a_path =
        || format!("{text:?} is not a JSONPath (RFC 9535); a name with other signs stands as ['a-name']");
    let query = parse_json_path(&full).map_err(|_| not_a_path())?;
    refuse::check_names(&full).then_some(()).ok_or_else(not_a_path)?;
    let mut wrong = Complaints::default();
    wrong.extend(refuse::check(&query.segments));
    Ok((trimmed, query, wrong))
}

fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'[' | b'(' => depth += 1,
            b']' | b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

fn plain(segments: &[Segment]) -> Option<Vec<Step>> {
    segments
        .iter()
        .map(|segment| match segment {
            Segment::Selector(Selector::Name(name)) => Some(Step::Name(name.clone())),
            Segment::Selector(Selector::Index(index)) => Some(Step::Index(*index)),
            Segment::Selector(Selector::Wildcard) => Some(Step::All),
            _ => None,
        })
        .collect()
}

fn check_root(query: &JpQuery, text: &str) -> Result<(), String> {
    let first = match query.segments.first() {
        Some(Segment::Selector(Selector::Name(name))) => name.as_str(),
        _ => return Err(format!("{text:?} must start with {}", ROOTS.join(" or "))),
    };
    if ROOTS.contains(&first) {
        let names = query.segments.iter().map_while(|segment| match segment {
            Segment::Selector(Selector::Name(name)) => Some(name.as_str()),
            _ => None,
        });
        let names: Vec<&str> = names.collect();
        return check_names(&names).map_err(|reason| format!("{text:?} is never there: {reason}"));
    }
    let near = ROOTS.iter().find(|root| strsim::damerau_levenshtein(root, first) <= 2);
    let rest = text.strip_prefix("$.").unwrap_or(text);
    let meant = match near {
        Some(root) => format!("{root}{}", &rest[first.len().min(rest.len())..]),
        None if first == "data" => format!("event.{rest}"),
        None => format!("event.data.{rest}"),
    };
    Err(format!("{text:?} must start with {} (did you mean {meant}?)", ROOTS.join(" or ")))
}
