//! What a document means where its fields, words of them, or its kind are misspelt: what stands below them is checked as
//! well, and told by the names that are written.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::config::API_VERSION;
use super::problem::nearest;
use super::schema::{self, Finding, KINDS};
use super::yaml::{Places, child};

/// More misspelt fields do not stand inside each other.
const DEEPEST: usize = 8;

/// A document with the names that were probably meant.
pub(super) struct Meant {
    /// One of the kinds there are, or none where nobody can tell.
    pub(super) kind: &'static str,
    pub(super) value: Value,
    /// What is wrong by the schema, by the names that are written.
    pub(super) findings: Vec<Finding>,
    /// The fields of `value` that can't be read.
    pub(super) faults: Vec<String>,
    /// Those of them that mean what stands beside them by its own name, with that.
    pub(super) doubles: Vec<(String, String)>,
}

/// Reads a document. `places` learns the names that were meant.
pub(super) fn read(mut value: Value, places: &mut Places) -> Meant {
    let (kind, mut findings) = (kind_of(&value), Vec::new());
    let mut found = schema::check(kind, &value);
    for _ in 0..DEEPEST {
        let (misspelt, words) = rename(&mut value, &found);
        if misspelt.is_empty() && words.is_empty() {
            break;
        }
        found.retain(|it| misspelt.contains_key(&it.field) || words.contains(&it.field));
        findings.extend(found.iter().map(|finding| written(finding.clone(), places)));
        for (field, meant) in misspelt {
            let field = places.written(&field);
            places.rename(meant, field);
        }
        found = schema::check(kind, &value);
    }
    let faults = found.iter().flat_map(|finding| std::iter::once(&finding.field).chain(&finding.by));
    let faults = faults.cloned().collect();
    let doubles = found.iter().filter(|finding| finding.at_key && finding.by.is_empty());
    let doubles = doubles.filter_map(|finding| Some((finding.field.clone(), finding.suggestion.clone()?)));
    let doubles = doubles.collect();
    findings.extend(found.into_iter().map(|finding| written(finding, places)));
    Meant { kind, value, findings, faults, doubles }
}

/// The kind, as it is written or probably meant: by its name, by a name that is like it, by what stands in `spec`.
fn kind_of(value: &Value) -> &'static str {
    let known = |word: &str| KINDS.into_iter().find(|kind| *kind == word);
    let word = value.get("kind").and_then(Value::as_str);
    if let Some(kind) = word.and_then(|word| known(word).or_else(|| known(&nearest(word, KINDS)?))) {
        return kind;
    }
    // Whatever else may lie in a folder is not taken for one of ours.
    let is_ours = |version: &str| version == API_VERSION || nearest(version, [API_VERSION]).is_some();
    if !value.get("apiVersion").and_then(Value::as_str).is_none_or(is_ours) {
        return "";
    }
    let mut written = value.as_object().into_iter().flat_map(Map::keys);
    let near = written.find(|name| nearest(name, ["spec"]).is_some());
    let spec = value.get("spec").or_else(|| near.and_then(|near| value.get(near)));
    let Some(Value::Object(spec)) = spec else { return "" };
    let fields = |kind: &str| {
        let of_kind = schema::of_kind(kind);
        let known = schema::below(of_kind, "spec", of_kind);
        schema::properties(known).filter(|name| spec.contains_key(*name)).count()
    };
    let best = KINDS.into_iter().max_by_key(|kind| fields(kind)).filter(|kind| fields(kind) > 0);
    best.filter(|best| KINDS.iter().all(|other| other == best || fields(other) < fields(best)))
        .unwrap_or_default()
}

/// Gives fields that are misspelt the names that were meant, where these stand for nothing else yet, and so words of which
/// there are only some: each field as it was found, and as it is called now; the fields of the words.
fn rename(value: &mut Value, found: &[Finding]) -> (BTreeMap<String, String>, BTreeSet<String>) {
    let near = |finding: &Finding| Some((finding.field.clone(), finding.suggestion.clone()?));
    let (of_words, of_names): (Vec<&Finding>, Vec<&Finding>) = found.iter().partition(|it| !it.at_key);
    let of_names = of_names.into_iter().filter(|finding| !finding.by.is_empty());
    let mut meant = Renaming {
        names: of_names.filter_map(near).collect(),
        words: of_words.into_iter().filter_map(near).collect(),
        ..Renaming::default()
    };
    meant.value(value, "");
    (meant.renamed, meant.words.into_keys().collect())
}

#[derive(Default)]
struct Renaming {
    names: BTreeMap<String, String>,
    words: BTreeMap<String, String>,
    renamed: BTreeMap<String, String>,
}

impl Renaming {
    fn value(&mut self, value: &mut Value, at: &str) {
        match value {
            Value::Object(fields) => {
                let all: Vec<String> = fields.keys().cloned().collect();
                for name in all {
                    let field = child(at, &name);
                    if let Some(meant) = self.names.get(&field).filter(|meant| !fields.contains_key(*meant)) {
                        let value = fields.remove(&name).unwrap_or_default();
                        fields.insert(meant.clone(), value);
                        self.renamed.insert(field, child(at, meant));
                    } else if let Some(value) = fields.get_mut(&name) {
                        self.value(value, &field);
                    }
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.value(item, &format!("{at}[{index}]"));
                }
            }
            Value::String(word) => {
                if let Some(meant) = self.words.get(at) {
                    word.clone_from(meant);
                }
            }
            _ => {}
        }
    }
}

fn written(finding: Finding, places: &Places) -> Finding {
    Finding { field: places.written(&finding.field), ..finding }
}
