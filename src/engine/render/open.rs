//! A Job with its places open: all that no run changes is text already, and a run writes it as it is.

use std::collections::{BTreeMap, BTreeSet};

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use super::containers::OUTPUTS;

/// A part of a Job.
#[derive(Debug)]
pub(super) enum Part {
    /// What is the same for each run.
    Fixed(Box<RawValue>),
    /// A leaf by its number.
    Leaf(usize),
    /// In the order of the names.
    Map(Vec<(String, Part)>),
    List(Vec<Part>),
    Env(Env),
}

impl Default for Part {
    fn default() -> Self {
        Self::Fixed(RawValue::NULL.to_owned())
    }
}

/// The variables of a container, after those that each container gets.
#[derive(Debug)]
pub(super) struct Env {
    /// Those of the author, whose names are the author's own.
    own: Vec<Part>,
    names: BTreeSet<String>,
    /// The one that says where outputs are written. It stands before the author's, which may refer to it.
    outputs: Option<Box<RawValue>>,
}

/// What stands in place of a leaf.
#[derive(Debug)]
pub(super) enum Filled<'a> {
    Value(Value),
    /// The reference of a secret param: in place of a variable's `value` stands `valueFrom`.
    Secret(&'a Value),
}

impl Filled<'_> {
    /// How long it is at least, bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Value(Value::String(text)) => text.len(),
            Self::Value(_) | Self::Secret(_) => 1,
        }
    }
}

/// An entry of `env` that each container gets.
#[derive(Debug)]
pub(super) struct Variable<'a> {
    pub(super) name: &'a str,
    pub(super) value: Filled<'a>,
}

/// A Job with a run's values: serialised, it is the Job.
pub(super) struct Written<'a> {
    pub(super) part: &'a Part,
    pub(super) leaves: &'a [Filled<'a>],
    pub(super) variables: &'a [Variable<'a>],
}

impl Part {
    /// Opens a Job at its `leaves`, which are RFC 6901 pointers, and at the variables of its containers. The first
    /// container is told to write outputs to `outputs`.
    pub(super) fn open(job: &Value, leaves: &[String], outputs: Option<&str>) -> serde_json::Result<Self> {
        let leaves = leaves.iter().enumerate().map(|(at, pointer)| (pointer.as_str(), at)).collect();
        let is_list = |list: &&&str| job.pointer(list).is_some_and(Value::is_array);
        let lists = CONTAINERS.iter().filter(is_list).copied().collect();
        Opening { leaves, lists, outputs, pointer: String::new() }.part(job)
    }

    /// The numbers of the leaves that have a place.
    pub(super) fn leaves(&self) -> Vec<usize> {
        match self {
            Self::Fixed(_) => Vec::new(),
            Self::Leaf(at) => vec![*at],
            Self::Map(parts) => parts.iter().flat_map(|(_, part)| part.leaves()).collect(),
            Self::List(parts) | Self::Env(Env { own: parts, .. }) => {
                parts.iter().flat_map(Self::leaves).collect()
            }
        }
    }
}

/// Where the containers of a Job are.
const CONTAINERS: [&str; 2] = ["/spec/template/spec/initContainers", "/spec/template/spec/containers"];

struct Opening<'a> {
    /// The number of each leaf.
    leaves: BTreeMap<&'a str, usize>,
    /// The lists of containers that there are.
    lists: Vec<&'static str>,
    outputs: Option<&'a str>,
    /// Of the part that is looked at.
    pointer: String,
}

impl Opening<'_> {
    fn part(&mut self, value: &Value) -> serde_json::Result<Part> {
        if let Some(at) = self.leaves.get(self.pointer.as_str()) {
            return Ok(Part::Leaf(*at));
        }
        match value {
            Value::Object(fields) if self.is_open() => self.map(fields),
            Value::Array(items) if self.is_open() => {
                let parts = items.iter().enumerate().map(|(at, item)| self.below(&at.to_string(), item));
                parts.collect::<serde_json::Result<_>>().map(Part::List)
            }
            _ => to_raw_value(value).map(Part::Fixed),
        }
    }

    /// Whether a leaf or a container is here or below.
    fn is_open(&self) -> bool {
        let below = format!("{}/", self.pointer);
        let leaf = self.leaves.range(below.as_str()..).next();
        leaf.is_some_and(|(leaf, _)| leaf.starts_with(&below))
            || self.container().is_some()
            || self.lists.iter().any(|list| *list == self.pointer || list.starts_with(&below))
    }

    fn below(&mut self, step: &str, value: &Value) -> serde_json::Result<Part> {
        let above = self.pointer.len();
        self.pointer.push('/');
        self.pointer.push_str(step);
        let part = self.part(value);
        self.pointer.truncate(above);
        part
    }

    fn map(&mut self, fields: &Map<String, Value>) -> serde_json::Result<Part> {
        let container = self.container();
        let mut parts = Vec::with_capacity(fields.len() + 1);
        for (name, field) in fields {
            let step = name.replace('~', "~0").replace('/', "~1");
            let part = match (container, field) {
                (Some(is_main), Value::Array(env)) if name == "env" => self.env(env, is_main)?,
                // Left empty: as if it was not there.
                (Some(is_main), Value::Null) if name == "env" => self.env(&[], is_main)?,
                _ => self.below(&step, field)?,
            };
            parts.push((name.clone(), part));
        }
        if let Some(is_main) = container.filter(|_| !fields.contains_key("env")) {
            parts.push(("env".to_owned(), self.env(&[], is_main)?));
            parts.sort_by(|(one, _), (other, _)| one.cmp(other));
        }
        Ok(Part::Map(parts))
    }

    /// Whether a container is here, and the first.
    fn container(&self) -> Option<bool> {
        let (list, at) = self.pointer.rsplit_once('/').filter(|(list, _)| self.lists.contains(list))?;
        Some(list == CONTAINERS[1] && at == "0")
    }

    fn env(&mut self, own: &[Value], is_main: bool) -> serde_json::Result<Part> {
        let path = self.outputs.filter(|_| is_main);
        let name = |entry: &Value| Some(entry.get("name")?.as_str()?.to_owned());
        // Where outputs are written Kickoff says.
        let stays = |entry: &Value| path.is_none() || entry.get("name") != Some(&json!(OUTPUTS));
        let stay = own.iter().enumerate().filter(|(_, entry)| stays(entry));
        let parts = stay.clone().map(|(at, entry)| self.below(&format!("env/{at}"), entry));
        Ok(Part::Env(Env {
            own: parts.collect::<serde_json::Result<_>>()?,
            names: stay.filter_map(|(_, entry)| name(entry)).collect(),
            outputs: path.map(|path| to_raw_value(&json!({"name": OUTPUTS, "value": path}))).transpose()?,
        }))
    }
}

impl<'a> Written<'a> {
    fn of(&self, part: &'a Part) -> Self {
        Self { part, ..*self }
    }

    /// The secret that stands in place of a leaf.
    fn secret(&self, part: &Part) -> Option<&'a Value> {
        match part {
            Part::Leaf(at) => match &self.leaves[*at] {
                Filled::Secret(reference) => Some(reference),
                Filled::Value(_) => None,
            },
            _ => None,
        }
    }
}

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.part {
            Part::Fixed(text) => text.serialize(serializer),
            Part::Leaf(at) => match &self.leaves[*at] {
                Filled::Value(value) => value.serialize(serializer),
                Filled::Secret(reference) => reference.serialize(serializer),
            },
            Part::List(parts) => serializer.collect_seq(parts.iter().map(|part| self.of(part))),
            Part::Map(parts) => {
                let mut map = serializer.serialize_map(None)?;
                let refers = parts.iter().any(|(_, part)| self.secret(part).is_some());
                for (name, part) in parts.iter().filter(|(name, _)| !refers || name != "valueFrom") {
                    match self.secret(part) {
                        Some(reference) => map.serialize_entry("valueFrom", &SecretKeyRef::of(reference))?,
                        None => map.serialize_entry(name, &self.of(part))?,
                    }
                }
                map.end()
            }
            Part::Env(env) => {
                let mut list = serializer.serialize_seq(None)?;
                for variable in self.variables.iter().filter(|variable| !env.names.contains(variable.name)) {
                    list.serialize_element(variable)?;
                }
                if let Some(outputs) = &env.outputs {
                    list.serialize_element(outputs)?;
                }
                for part in &env.own {
                    list.serialize_element(&self.of(part))?;
                }
                list.end()
            }
        }
    }
}

impl Serialize for Variable<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("name", self.name)?;
        match &self.value {
            Filled::Value(value) => map.serialize_entry("value", value)?,
            Filled::Secret(reference) => map.serialize_entry("valueFrom", &SecretKeyRef::of(reference))?,
        }
        map.end()
    }
}

/// What `valueFrom` says of a secret.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct SecretKeyRef<'a> {
    secret_key_ref: &'a Value,
}

impl<'a> SecretKeyRef<'a> {
    fn of(secret_key_ref: &'a Value) -> Self {
        Self { secret_key_ref }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(job: &Value, leaves: Vec<(&str, Filled<'_>)>, outputs: Option<&str>) -> String {
        let (pointers, leaves): (Vec<String>, Vec<Filled<'_>>) =
            leaves.into_iter().map(|(pointer, filled)| (pointer.to_owned(), filled)).unzip();
        let part = Part::open(job, &pointers, outputs).unwrap();
        let variable = |name: &'static str| Variable { name, value: Filled::Value(json!("v")) };
        let variables = [variable("KICKOFF_A"), variable("MINE")];
        serde_json::to_string(&Written { part: &part, leaves: &leaves, variables: &variables }).unwrap()
    }

    fn job(containers: &Value) -> Value {
        json!({"spec": {"template": {"spec": {"containers": containers, "z": {"a/b": ["~", 1.5, "é\u{1}"]}}}}})
    }

    #[test]
    fn what_no_run_changes_is_text() {
        let part = Part::open(&json!({"a": [{"b": 1}, "c"]}), &[], None).unwrap();
        assert!(matches!(&part, Part::Fixed(text) if text.get() == r#"{"a":[{"b":1},"c"]}"#), "{part:?}");
    }

    #[test]
    fn each_container_gets_its_variables_and_all_else_stays() {
        let env = json!([{"name": "MINE", "value": "mine"}, {"name": OUTPUTS, "value": "x"}]);
        let given = job(&json!([{"name": "one", "args": ["x"]}, {"env": env, "name": "two"}, "none"]));
        let outputs = json!({"name": OUTPUTS, "value": "/tmp/o"});
        let a = json!({"name": "KICKOFF_A", "value": "v"});
        let one = json!([a, {"name": "MINE", "value": "v"}, outputs]);
        let two = json!([a, {"name": "MINE", "value": "mine"}, {"name": OUTPUTS, "value": "x"}]);
        let wanted =
            job(&json!([{"name": "one", "args": ["x"], "env": one}, {"env": two, "name": "two"}, "none"]));
        assert_eq!(written(&given, Vec::new(), Some("/tmp/o")), wanted.to_string());
    }

    #[test]
    fn leaves_are_filled_where_they_are_beside_outputs_too() {
        let env = json!([{"name": OUTPUTS}, {"name": "A", "value": "?"}, {"name": "B", "value": "?", "valueFrom": 1}]);
        let given = job(&json!([{"args": ["?", "x"], "env": env}]));
        let secret = json!({"name": "n", "key": "k"});
        let leaves = vec![
            ("/spec/template/spec/containers/0/env/1/value", Filled::Value(json!("a"))),
            ("/spec/template/spec/containers/0/env/2/value", Filled::Secret(&secret)),
            ("/spec/template/spec/containers/0/args/0", Filled::Value(json!(7))),
            ("/spec/template/spec/z/a~1b/0", Filled::Value(json!("b"))),
        ];
        let written: Value = serde_json::from_str(&written(&given, leaves, Some("/tmp/o"))).unwrap();
        let pod = &written["spec"]["template"]["spec"];
        assert_eq!(pod["z"]["a/b"], json!(["b", 1.5, "é\u{1}"]));
        assert_eq!(pod["containers"][0]["args"], json!([7, "x"]));
        let env = pod["containers"][0]["env"].as_array().unwrap();
        assert_eq!(
            env[2..],
            [
                json!({"name": OUTPUTS, "value": "/tmp/o"}),
                json!({"name": "A", "value": "a"}),
                json!({"name": "B", "valueFrom": {"secretKeyRef": secret}}),
            ]
        );
    }
}
