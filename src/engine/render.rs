//! Values into manifests: `{{ }}` expressions in string leaves, params, positions, `allow`.
//!
//! A manifest is a tree that was parsed when loading; a value only ever replaces a string leaf of it,
//! so no value of an event can change its structure. Where `{{ }}` may stand is decided by position,
//! when loading, never by where a value comes from.

mod allow;
mod code;
mod containers;
pub mod fields;
mod frozen;
mod manifest;
mod misplaced;
mod open;
mod params;
mod position;
pub(in crate::engine) mod stamp;
mod text;
mod wrong;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub(crate) use self::containers::OUTPUTS;
pub use self::containers::Times;
pub use self::frozen::Manifest;
pub use self::manifest::ManifestTemplate;
use self::open::{Filled, Variable};
pub(super) use self::params::few;
pub use self::params::{ParamSchema, is_of_secrets, no_name_of_secrets};
pub use self::stamp::{Maker, stamp};
pub use self::text::Text;
pub use self::wrong::{Beside, Wrong};
use super::definitions::config::ParamType;
use super::definitions::model::{Environment, Leg, ParamValue};
use super::ids::{ObjectName, RunId};
use super::values::{Facts, template_value};

/// Largest manifest of one run, bytes of JSON.
const MAX_MANIFEST: usize = 256 << 10;

/// A leg with its values filled in and its manifest frozen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rendered {
    /// Where it runs.
    pub namespace: String,
    /// Params as they were used; secrets as `{"secretKeyRef": {...}}`, never a value.
    pub params: BTreeMap<String, Value>,
    /// `{"apiVersion": "batch/v1", "kind": "Job", "metadata": {...}, "spec": {...}}` without a name
    /// and without what belongs to an attempt (see [`stamp`]).
    pub manifest: Manifest,
}

/// What of a run is known when it is rendered.
#[derive(Debug)]
pub struct RunContext<'a> {
    /// The run's id.
    pub run: &'a RunId,
    /// The trigger; missing for a template run by hand.
    pub trigger: Option<&'a ObjectName>,
    /// Link to the run's page, where the server knows its public URL.
    pub run_url: Option<String>,
    /// Values given by hand (`-p`): they win over all others.
    pub given: &'a BTreeMap<String, Value>,
    /// Environment given by hand, in place of the leg's.
    pub environment: Option<&'a str>,
}

/// Fills in a leg. An error is the reason of an `invalid` decision.
pub fn render(leg: &Leg, facts: &Facts, context: &RunContext<'_>) -> Result<Rendered, String> {
    let nothing = Environment::default();
    let environment = match context.environment.or(leg.environment.as_deref()) {
        None => &nothing,
        Some(name) => leg.template.environments.get(name).ok_or_else(|| {
            let there_are: Vec<&str> = leg.template.environments.keys().map(String::as_str).collect();
            let there_are = if there_are.is_empty() { "none".to_owned() } else { there_are.join(", ") };
            format!("template {} has no environment {name:?}; it has {there_are}", leg.template.name)
        })?,
    };
    let before = root(facts, leg, context, None);
    let params = params(leg, environment, context, &before)?;
    let root = root(facts, leg, context, Some(&params));
    let variables = variables(&leg.template.params, facts, context, &params)?;
    let manifest = leg.template.manifest.render(&root, &params, &variables)?;
    let bytes = manifest.text().len();
    if bytes > MAX_MANIFEST {
        return Err(format!("the manifest has {bytes} bytes; up to {MAX_MANIFEST} are allowed"));
    }
    let namespace = match &leg.namespace {
        Some(text) => {
            place(text, &leg.template.manifest, &root).map_err(|reason| format!("namespace: {reason}"))?
        }
        None => environment.namespace.as_ref().unwrap_or(&leg.template.namespace).clone(),
    };
    Ok(Rendered { namespace, params, manifest })
}

/// Where a run runs by its own word.
fn place(text: &Text, manifest: &ManifestTemplate, root: &minijinja::Value) -> Result<String, String> {
    let namespace = text.text(root, false)?;
    if !text.is_literal() {
        manifest.allows_namespace(&namespace)?;
    }
    Ok(namespace)
}

/// The root of all expressions. Params are not there yet while they are made themselves.
fn root(
    facts: &Facts,
    leg: &Leg,
    context: &RunContext<'_>,
    params: Option<&BTreeMap<String, Value>>,
) -> minijinja::Value {
    let known = |name: &str| facts.view().get_attr(name).unwrap_or_default();
    let object = |fields: &BTreeMap<String, Value>| -> minijinja::Value {
        let open = fields.iter().filter(|(_, value)| params::secret(value).is_none());
        minijinja::Value::from_pairs(open.map(|(name, value)| (name.as_str(), template_value(value))))
    };
    let trigger = context.trigger.map(|name| json!({"namespace": name.namespace, "name": name.name}));
    let run = json!({"id": context.run, "url": context.run_url, "name": leg.name});
    minijinja::Value::from_pairs([
        ("event", known("event")),
        ("git", known("git")),
        ("matrix", object(&leg.matrix)),
        ("params", params.map(object).unwrap_or_default()),
        ("run", template_value(&run)),
        ("trigger", template_value(&trigger.unwrap_or_else(|| json!({})))),
    ])
}

/// Params by hand > matrix > run > environment > default.
fn params(
    leg: &Leg,
    environment: &Environment,
    context: &RunContext<'_>,
    root: &minijinja::Value,
) -> Result<BTreeMap<String, Value>, String> {
    let mut params = BTreeMap::new();
    for schema in &leg.template.params {
        let name = schema.name();
        let wrong = |message: String| format!("param {name}: {message}");
        let by_hand = context.given.get(name);
        if let Some(value) = by_hand.filter(|_| schema.param_type() == ParamType::Secret) {
            schema
                .accept(value)
                .and_then(|value| leg.template.manifest.allows_secret(&value))
                .map_err(wrong)?;
        }
        let fixed = by_hand.or_else(|| leg.matrix.get(name));
        let value = match (fixed, leg.params.get(name)) {
            (Some(value), _) | (None, Some(ParamValue::Literal(value))) => Some(schema.accept(value)),
            (None, Some(ParamValue::Text(text))) => {
                Some(text.value(root).and_then(|value| schema.accept_made(&value)))
            }
            (None, None) => environment.params.get(name).map(|value| schema.accept(value)),
        };
        let value = value.transpose().map_err(wrong)?.or_else(|| schema.default().cloned());
        match value {
            Some(value) => drop(params.insert(name.to_owned(), value)),
            None if schema.is_required() => return Err(format!("param {name} is required and has no value")),
            None => {}
        }
    }
    if let Some(unknown) = context.given.keys().find(|name| !params.contains_key(*name)) {
        return Err(format!("template {} has no param {unknown}", leg.template.name));
    }
    Ok(params)
}

/// What every container gets: `KICKOFF_*`, as entries of `env`.
fn variables<'a>(
    schemas: &'a [ParamSchema],
    facts: &Facts,
    context: &RunContext<'_>,
    params: &'a BTreeMap<String, Value>,
) -> Result<Vec<Variable<'a>>, String> {
    let sha = facts.root().pointer("/git/sha").and_then(Value::as_str);
    if sha.is_some_and(|sha| sha.contains('\0')) {
        return Err("git.sha holds a NUL character".to_owned());
    }
    let plain = [
        ("KICKOFF_RUN_ID", Some(context.run.to_string())),
        ("KICKOFF_RUN_URL", context.run_url.clone()),
        ("KICKOFF_TRIGGER", context.trigger.map(|name| name.name.clone())),
        ("KICKOFF_GIT_SHA", sha.map(str::to_owned)),
    ];
    let text = |value: &str| Filled::Value(Value::String(text::doubled(value).into_owned()));
    let given = plain.into_iter().filter_map(|(name, value)| Some((name, text(&value?))));
    let of_params = schemas.iter().filter_map(|schema| {
        let value = params.get(schema.name())?;
        let secret = params::secret(value).map(Filled::Secret);
        Some((schema.variable(), secret.unwrap_or_else(|| text(&text::as_text(value)))))
    });
    Ok(given.chain(of_params).map(|(name, value)| Variable { name, value }).collect())
}
