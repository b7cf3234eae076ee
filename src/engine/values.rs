//! The one root that `path`, rules and `{{ }}` share: `event`, `git`, `params`, `matrix`, `run`, `trigger`.
//!
//! [`Facts`] is built once for each event and moved, never cloned: the parsed body goes into it.

use std::sync::OnceLock;

use serde_json::{Map, Value, json};

use super::definitions::problem::nearest;
use super::event::{Attributes, Event, Git, rfc3339};
use super::rules::Spent;
use super::webhook::{Change, Paths};

/// What is known of one event: the JSON root for paths, and the same as template values, made on
/// first use.
#[derive(Debug)]
pub struct Facts {
    root: Value,
    view: OnceLock<minijinja::Value>,
    change: OnceLock<Change>,
    paths: OnceLock<Paths>,
    spent: Spent,
}

impl Facts {
    /// Parses the event's body and builds the root `{event: {...attributes, data}, git}`.
    ///
    /// An error says what is wrong with the body, or with what it came as.
    pub fn of(event: &Event) -> Result<Self, String> {
        if let Some(why) = event.attributes.invalid() {
            return Err(why.to_owned());
        }
        Ok(Self::from_parts(&event.attributes, event.data()?))
    }

    /// The root from attributes and parsed data.
    pub fn from_parts(attributes: &Attributes, data: Value) -> Self {
        let mut root = Map::new();
        let mut event = Map::new();
        event.insert("specversion".to_owned(), json!("1.0"));
        event.insert("id".to_owned(), json!(attributes.id));
        event.insert("source".to_owned(), json!(attributes.source));
        event.insert("type".to_owned(), json!(attributes.event_type));
        event.insert("datacontenttype".to_owned(), json!(attributes.datacontenttype));
        event.insert("time".to_owned(), json!(rfc3339(attributes.received_at)));
        if let Some(subject) = &attributes.subject {
            event.insert("subject".to_owned(), json!(subject));
        }
        for (name, value) in &attributes.extensions {
            // The sender's own time is the event's; of the others none may stand in for what is known.
            if name == "time" || !event.contains_key(name) {
                event.insert(name.clone(), value.clone());
            }
        }
        event.insert("data".to_owned(), data);
        root.insert("event".to_owned(), Value::Object(event));
        let git = attributes.git.as_ref().and_then(|git| serde_json::to_value(git).ok());
        root.insert("git".to_owned(), git.unwrap_or_else(|| json!({})));
        Self::new(Value::Object(root), OnceLock::new())
    }

    fn new(root: Value, view: OnceLock<minijinja::Value>) -> Self {
        Self { root, view, change: OnceLock::new(), paths: OnceLock::new(), spent: Spent::default() }
    }

    /// The root that paths start from.
    pub fn root(&self) -> &Value {
        &self.root
    }

    /// What rules have cost on this event so far.
    pub(super) fn spent(&self) -> &Spent {
        &self.spent
    }

    /// What the event's data says about the references that changed, worked out on first use.
    pub fn change(&self) -> &Change {
        let event = &self.root["event"];
        self.change.get_or_init(|| Change::of(event["type"].as_str().unwrap_or_default(), &event["data"]))
    }

    /// What the event's data says about the files that changed, worked out on first use.
    pub fn paths(&self) -> &Paths {
        let event = &self.root["event"];
        self.paths.get_or_init(|| Paths::of(event["type"].as_str().unwrap_or_default(), &event["data"]))
    }

    /// The same event about another commit, to render with: `event` is shared as it is in the view, and
    /// is not in the root.
    #[must_use]
    pub fn about(&self, git: &Git) -> Self {
        let git = serde_json::to_value(git).unwrap_or_else(|_| json!({}));
        let event = self.view().get_attr("event").unwrap_or_default();
        let view = minijinja::Value::from_pairs([("event", event), ("git", template_value(&git))]);
        Self::new(json!({ "git": git }), OnceLock::from(view))
    }

    /// The root as template values. Null counts as missing, so it becomes undefined.
    pub fn view(&self) -> &minijinja::Value {
        self.view.get_or_init(|| template_value(&self.root))
    }
}

/// Attributes of `event` besides `data`; one from a sender of `CloudEvents` has extensions too.
const OF_EVENT: [&str; 7] = ["specversion", "id", "source", "type", "subject", "time", "datacontenttype"];
const OF_GIT: [&str; 10] =
    ["repository", "url", "sha", "ref", "branch", "baseBranch", "number", "fork", "author", "message"];

/// Whether a text in `value` holds `{{ }}`, where that is never filled in.
pub(super) fn holds_expression(value: &Value) -> bool {
    match value {
        Value::String(text) => text.split_once("{{").is_some_and(|(_, rest)| rest.contains("}}")),
        Value::Array(items) => items.iter().any(holds_expression),
        Value::Object(fields) => fields.values().any(holds_expression),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Refuses names that never lead to a value: what is not in `git`, `run` or `trigger`, and anything below
/// an attribute that has nothing below it.
pub(super) fn check_names(names: &[&str]) -> Result<(), String> {
    let [root, name, below @ ..] = names else { return Ok(()) };
    let known: &[&str] = match *root {
        "event" if *name == "data" => return Ok(()),
        "event" => &OF_EVENT,
        "git" => &OF_GIT,
        "run" => &["id", "url", "name"],
        "trigger" => &["namespace", "name"],
        _ => return Ok(()),
    };
    let extension = *root == "event" && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if !known.contains(name) && (!extension || !below.is_empty()) {
        let data = (*root == "event").then_some("data");
        let near = nearest(name, known.iter().copied().chain(data));
        let near = near.map(|near| format!(" (did you mean {root}.{near}?)")).unwrap_or_default();
        let all: Vec<&str> = known.iter().copied().chain(data).collect();
        return Err(format!("{root} has no {name}{near}: there are {}", all.join(", ")));
    }
    match below.first() {
        None => Ok(()),
        Some(below) => Err(format!("{root}.{name} is one value: there is no {below} in it")),
    }
}

/// A JSON value as a template value, null as undefined.
pub fn template_value(value: &Value) -> minijinja::Value {
    match value {
        Value::Null => minijinja::Value::UNDEFINED,
        Value::Array(items) => items.iter().map(template_value).collect::<Vec<_>>().into(),
        Value::Object(fields) => minijinja::Value::from_pairs(
            fields.iter().map(|(name, field)| (name.as_str(), template_value(field))),
        ),
        Value::Bool(truth) => (*truth).into(),
        Value::String(text) => text.as_str().into(),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(signed), _) => signed.into(),
            (None, Some(unsigned)) => unsigned.into(),
            (None, None) => number.as_f64().unwrap_or(f64::NAN).into(),
        },
    }
}
