//! What an object is to be, told apart from what becomes of it: whether it was changed, and where.
//!
//! Where the API server counts generations, another one is a change of the spec, and nothing else is looked at.
//! Other kinds are hashed, but for what changes by itself. Of the fields only short hashes are kept, as deep as
//! few of them do, so that a change can name its paths.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Kind;
use crate::engine::ids::h_hex;
use crate::engine::rollout::count;

/// Most fields that a mark keeps a hash of.
const MOST_KEPT: usize = 32;
/// Most paths that an event names.
const MOST_TOLD: usize = 50;
/// How deep fields are told apart at most: `spec.template.spec.containers`.
const DEEPEST: u8 = 4;
/// Longest name that a path shows, characters.
const LONGEST: usize = 100;
/// What no spec is about.
const BESIDES: [&str; 4] = ["apiVersion", "kind", "metadata", "status"];
/// What of metadata is given by the API server, or says who wrote and not what.
const OF_SERVER: [&str; 8] = [
    "creationTimestamp",
    "generation",
    "managedFields",
    "name",
    "namespace",
    "resourceVersion",
    "selfLink",
    "uid",
];
/// Annotations that repeat the object, or say every few seconds who leads.
const NOISE: [&str; 2] =
    ["control-plane.alpha.kubernetes.io/leader", "kubectl.kubernetes.io/last-applied-configuration"];

/// The last spec that was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// Its generation, or a hash.
    pub version: String,
    /// How deep the fields are.
    #[serde(default)]
    pub depth: u8,
    /// Hashes of fields by their paths.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
}

/// Where a spec was changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changed {
    /// Paths of fields.
    pub paths: Vec<String>,
    /// Whether these are not all.
    pub cut: bool,
}

/// What of an object its spec follows from, read once however often it is asked.
struct Content<'a> {
    kind: &'a Kind,
    object: &'a Value,
    version: String,
    /// Once it was needed: of a kind that counts generations it mostly is not.
    fields: Option<Value>,
}

impl Spec {
    /// That of an object.
    pub fn of(kind: &Kind, object: &Value) -> Self {
        Content::of(kind, object).spec()
    }

    /// The spec of the object, and where it was changed since; none where it was not.
    pub fn next(&self, kind: &Kind, object: &Value) -> Option<(Self, Option<Changed>)> {
        let mut content = Content::of(kind, object);
        if content.version == self.version {
            return None;
        }
        let next = content.spec();
        if self.fields.is_empty() {
            return Some((next, Some(Changed::default())));
        }
        let other = (next.depth != self.depth).then(|| content.at(self.depth));
        let now = other.as_ref().unwrap_or(&next.fields);
        let paths: BTreeSet<&String> = self.fields.keys().chain(now.keys()).collect();
        let mut paths: Vec<String> =
            paths.into_iter().filter(|path| self.fields.get(*path) != now.get(*path)).cloned().collect();
        let cut = paths.len() > MOST_TOLD;
        paths.truncate(MOST_TOLD);
        // An annotation of a Deployment counts as a generation, and is none of its spec.
        let changed = (!paths.is_empty()).then_some(Changed { paths, cut });
        Some((next, changed))
    }
}

impl<'a> Content<'a> {
    fn of(kind: &'a Kind, object: &'a Value) -> Self {
        let generation = count(object, "/metadata/generation");
        let (version, fields) = if generation > 0 {
            (format!("g{generation}"), None)
        } else if is_secret(kind) {
            let version = object.pointer("/metadata/resourceVersion").and_then(Value::as_str);
            (format!("v{}", version.unwrap_or_default().chars().take(64).collect::<String>()), None)
        } else {
            let fields = Value::Object(spec(object, true));
            (format!("h{}", h_hex("watched spec", &[fields.to_string().as_bytes()], 16)), Some(fields))
        };
        Self { kind, object, version, fields }
    }

    fn spec(&mut self) -> Spec {
        let version = self.version.clone();
        for depth in (1..=DEEPEST).rev() {
            let fields = self.at(depth);
            if fields.len() <= MOST_KEPT {
                return Spec { version, depth, fields };
            }
        }
        Spec { version, depth: 0, fields: BTreeMap::new() }
    }

    /// Short hashes of the fields at a depth, and of those that end before it.
    fn at(&mut self, depth: u8) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        if !is_secret(self.kind) {
            // Only one that counts generations was not read yet.
            let object = self.object;
            let fields = self.fields.get_or_insert_with(|| Value::Object(spec(object, false)));
            walk(fields, depth, "", &mut found);
        }
        found
    }
}

/// Of whose contents nothing is kept, told or looked at, not even a hash.
pub(super) fn is_secret(kind: &Kind) -> bool {
    kind.is("", "Secret")
}

/// What an object is to be, with what people write of its metadata where it counts no generations.
fn spec(object: &Value, with_metadata: bool) -> Map<String, Value> {
    let Some(all) = object.as_object() else { return Map::new() };
    let own = all.iter().filter(|(name, _)| !BESIDES.contains(&name.as_str()));
    let mut spec: Map<String, Value> = own.map(|(name, value)| (name.clone(), value.clone())).collect();
    if let Some(metadata) = all.get("metadata").and_then(Value::as_object).filter(|_| with_metadata) {
        let written = metadata.iter().filter(|(name, _)| !OF_SERVER.contains(&name.as_str()));
        let mut written: Map<String, Value> =
            written.map(|(name, value)| (name.clone(), value.clone())).collect();
        if let Some(annotations) = written.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.retain(|name, _| !NOISE.contains(&name.as_str()));
        }
        written.retain(|_, value| value.as_object().is_none_or(|fields| !fields.is_empty()));
        if !written.is_empty() {
            spec.insert("metadata".to_owned(), Value::Object(written));
        }
    }
    spec
}

fn walk(value: &Value, depth: u8, path: &str, found: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) if depth > 0 && !fields.is_empty() => {
            for (name, below) in fields {
                walk(below, depth - 1, &child(path, name), found);
            }
        }
        Value::Object(_) if path.is_empty() => {}
        other => {
            found.insert(path.to_owned(), h_hex("watched field", &[other.to_string().as_bytes()], 8));
        }
    }
}

/// The path of a field, as rules write it.
fn child(path: &str, name: &str) -> String {
    let name: String = name.chars().take(LONGEST).filter(|c| !c.is_control()).collect();
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !name.starts_with(|c: char| c.is_ascii_digit()) && !name.is_empty() && name.chars().all(inner) {
        return if path.is_empty() { name } else { format!("{path}.{name}") };
    }
    format!("{path}['{}']", name.replace('\\', "\\\\").replace('\'', "\\'"))
}
