//! Legs: each entry of `runs`, once for each cell of its matrix.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::names;
use super::template::{Template, find, namespace, unknown_param};
use crate::engine::definitions::config::{ParamConfig, ParamType, RunConfig, TriggerSpec};
use crate::engine::definitions::model::{Leg, ParamValue};
use crate::engine::definitions::problem::nearest;
use crate::engine::definitions::schema::{Finding, described};
use crate::engine::definitions::yaml::child;
use crate::engine::render::{ParamSchema, Text};
use std::sync::Arc;

/// The most runs of one firing.
const MOST_LEGS: usize = 256;

/// All legs of a trigger; what is wrong goes to `findings`. Runs whose template is unknown are left
/// out: that was told already.
pub(super) fn compile<'t>(
    spec: &TriggerSpec,
    template_of: impl Fn(&str) -> Option<&'t Template<'t>>,
    findings: &mut Vec<Finding>,
) -> Vec<Leg> {
    let names: Vec<&str> = spec.runs.iter().map(name).collect();
    for (index, name) in names::repeated(names.iter().copied()) {
        let message = format!("there is another run called {name}: give each a name of its own");
        findings.push(Finding::value(format!("spec.runs[{index}].name"), message));
    }
    let cells: usize = spec.runs.iter().map(count).fold(0, usize::saturating_add);
    if cells > MOST_LEGS {
        let message = format!("these are {cells} runs for one event; there may be up to {MOST_LEGS}");
        findings.push(Finding::key("spec.runs", message));
        return Vec::new();
    }
    let mut legs = Vec::new();
    for (index, run) in spec.runs.iter().enumerate() {
        let field = format!("spec.runs[{index}]");
        let before = findings.len();
        own(run, &field, findings);
        let Some(template) = template_of(&run.template) else { continue };
        against_template(run, template, &field, findings);
        if findings.len() == before {
            legs.extend(matrix(run).into_iter().map(|cell| leg(run, template, cell)));
        }
    }
    legs
}

fn name(run: &RunConfig) -> &str {
    run.name.as_deref().unwrap_or(&run.template)
}

/// How many cells the matrix has; 1 where there is none.
fn count(run: &RunConfig) -> usize {
    run.matrix.values().map(Vec::len).fold(1, usize::saturating_mul)
}

/// What can be said of a run alone.
fn own(run: &RunConfig, field: &str, findings: &mut Vec<Finding>) {
    let name = run.name.as_deref().and_then(names::name);
    findings.extend(name.map(|message| Finding::value(format!("{field}.name"), message)));
    let plain = run.namespace.as_deref().filter(|text| !text.contains("{{"));
    findings.extend(namespace(&format!("{field}.namespace"), plain));
    for (axis, values) in &run.matrix {
        let field = child(&format!("{field}.matrix"), axis);
        findings.extend(names::identifier(axis).map(|message| Finding::key(&field, message)));
        if values.is_empty() {
            findings
                .push(Finding::value(&field, "is empty, so there would be no run: write at least one value"));
        }
        let mut seen = BTreeSet::new();
        for (index, value) in values.iter().enumerate() {
            let field = format!("{field}[{index}]");
            if value.is_object() || value.is_array() || value.is_null() {
                let message = format!("must be a text, a number, true or false, is {}", described(value));
                findings.push(Finding::value(field, message));
            } else if !seen.insert(value.to_string()) {
                findings.push(Finding::value(field, format!("{value} stands here twice")));
            }
        }
    }
}

fn against_template(run: &RunConfig, template: &Template<'_>, field: &str, findings: &mut Vec<Finding>) {
    let params = &template.compiled.params;
    if let Some(text) = run.namespace.as_deref().filter(|text| text.contains("{{")) {
        let manifest = &template.compiled.manifest;
        let refused =
            Text::compile_namespace(text).and_then(|text| manifest.check_namespace(&text, params)).err();
        findings.extend(refused.map(|message| Finding::value(format!("{field}.namespace"), message)));
    }
    for (name, value) in &run.params {
        let field = child(&format!("{field}.params"), name);
        match find(params, name) {
            None => findings.push(unknown_param(field, name, params)),
            Some(param) => match given(param, value) {
                Ok(ParamValue::Text(text)) => {
                    findings.extend(text.axes().filter_map(|axis| no_axis(run, axis, &field, "it")));
                }
                Ok(_) => {}
                Err(message) => findings.push(Finding::value(field, message)),
            },
        }
    }
    let (of_template, of_job) = (format!("{field}.template"), format!("JobTemplate/{}", run.template));
    let axes = template.compiled.manifest.axes();
    findings.extend(axes.into_iter().filter_map(|axis| no_axis(run, axis, &of_template, &of_job)));
    for (axis, values) in &run.matrix {
        let Some(param) = find(params, axis) else { continue };
        for (index, value) in values.iter().enumerate() {
            let field = format!("{}[{index}]", child(&format!("{field}.matrix"), axis));
            findings.extend(param.accept(value).err().map(|message| Finding::value(field, message)));
        }
    }
    let environments = &template.compiled.environments;
    let unknown = run.environment.as_ref().filter(|name| !environments.contains_key(*name));
    if let Some(name) = unknown {
        let known: Vec<&str> = environments.keys().map(String::as_str).collect();
        let message = match known.len() {
            0 => format!("JobTemplate/{} has no environments", run.template),
            _ => format!("JobTemplate/{} has no environment called {name:?}", run.template),
        };
        let finding = Finding::value(format!("{field}.environment"), message);
        findings.push(finding.near(nearest(name, known)));
    }
    // One that is not there may be meant to be any of them.
    let meant = |name: &String| run.environment.as_ref() == Some(name) || unknown.is_some();
    let is_given = |param: &&ParamConfig| {
        run.params.contains_key(&param.name)
            || run.matrix.contains_key(&param.name)
            || environments
                .iter()
                .any(|(name, environment)| meant(name) && environment.params.contains_key(&param.name))
    };
    let missing = template.spec.params.iter().filter(|param| param.required && param.default.is_none());
    for param in missing.filter(|param| !is_given(param)) {
        let message = format!("is missing: JobTemplate/{} requires it", run.template);
        findings.push(Finding::key(child(&format!("{field}.params"), &param.name), message));
    }
}

/// That `what` speaks of an axis which the run's matrix does not have: then nothing of it ever runs.
fn no_axis(run: &RunConfig, axis: &str, field: &str, what: &str) -> Option<Finding> {
    if run.matrix.contains_key(axis) {
        return None;
    }
    let message = format!("{what} speaks of {{{{ matrix.{axis} }}}}, and the run's matrix has no {axis}");
    Some(Finding::value(field, message).near(nearest(axis, run.matrix.keys().map(String::as_str))))
}

/// A value as a run gives it: a string with `{{` is compiled, all else must do as it is.
fn given(param: &ParamSchema, value: &Value) -> Result<ParamValue, String> {
    match value.as_str().filter(|text| text.contains("{{")) {
        Some(_) if param.param_type() == ParamType::Secret => {
            Err("a secret may not hold {{ }}: an event never chooses a Secret".to_owned())
        }
        Some(text) => Text::compile(text).map(ParamValue::Text),
        None => param.accept(value).map(ParamValue::Literal),
    }
}

/// Every combination of the axes' values; one empty cell where there are no axes.
fn matrix(run: &RunConfig) -> Vec<BTreeMap<String, Value>> {
    run.matrix.iter().fold(vec![BTreeMap::new()], |cells, (axis, values)| {
        let with = |cell: &BTreeMap<String, Value>, value: &Value| {
            let mut cell = cell.clone();
            cell.insert(axis.clone(), value.clone());
            cell
        };
        cells.iter().flat_map(|cell| values.iter().map(move |value| with(cell, value))).collect()
    })
}

fn leg(run: &RunConfig, template: &Template<'_>, matrix: BTreeMap<String, Value>) -> Leg {
    let value = |(name, value): (&String, &Value)| {
        let param = find(&template.compiled.params, name)?;
        given(param, value).ok().map(|value| (name.clone(), value))
    };
    Leg {
        name: name(run).to_owned(),
        template: Arc::clone(&template.compiled),
        environment: run.environment.clone(),
        namespace: run.namespace.as_deref().and_then(|text| Text::compile_namespace(text).ok()),
        params: run.params.iter().filter_map(value).collect(),
        matrix,
    }
}
