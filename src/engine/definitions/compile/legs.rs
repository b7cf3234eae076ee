//! Legs: each entry of `runs`, once for each cell of its matrix.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::names;
use super::template::{ENOUGH, beside, find, namespace, unknown_param};
use super::templates::Template;
use crate::engine::definitions::config::{ParamConfig, ParamType, RunConfig, TriggerSpec};
use crate::engine::definitions::model::{Environment, JobTemplate, Leg, ParamValue};
use crate::engine::definitions::problem::nearest;
use crate::engine::definitions::schema::{Finding, described};
use crate::engine::definitions::yaml::child;
use crate::engine::render::{ParamSchema, Text};
use crate::engine::values::holds_expression;

/// The most runs of one firing.
const MOST_LEGS: usize = 256;

/// All legs of a trigger, where nothing is wrong with it so far; what is goes to `findings`. Runs whose template is
/// unknown are left out: that was told already.
pub(super) fn compile<'t>(
    spec: &TriggerSpec,
    template_of: impl Fn(&str) -> Option<&'t Template<'t>>,
    findings: &mut Vec<Finding>,
) -> Vec<Leg> {
    let names: Vec<&str> = spec.runs.iter().map(name).collect();
    let repeated = names::repeated(names.iter().copied()).into_iter();
    for (index, name) in repeated.filter(|(_, name)| !name.is_empty()) {
        let message = format!("there is another run called {name}: give each a name of its own");
        let finding = Finding::value(format!("spec.runs[{index}].name"), message);
        findings.push(finding.by(format!("spec.runs[{index}].template")).by("spec.runs[].name"));
    }
    let cells = many(spec);
    if cells > MOST_LEGS {
        let message = format!("these are {cells} runs for one event; there may be up to {MOST_LEGS}");
        findings.push(Finding::key("spec.runs", message).by("spec.runs"));
    }
    let mut legs = Vec::new();
    let enough = findings.len() + ENOUGH;
    for (index, run) in spec.runs.iter().enumerate() {
        if findings.len() > enough {
            break;
        }
        let field = format!("spec.runs[{index}]");
        own(run, &field, findings);
        let Some(template) = template_of(&run.template) else { continue };
        let before = findings.len();
        against_template(run, template, &field, findings);
        let by = format!("{field}.template");
        findings[before..].iter_mut().for_each(|finding| finding.by.push(by.clone()));
        if findings.is_empty() && template.sound {
            legs.extend(matrix(run).into_iter().map(|cell| leg(run, template, cell)));
        }
    }
    legs
}

fn name(run: &RunConfig) -> &str {
    run.name.as_deref().unwrap_or(&run.template)
}

/// How many runs a firing has.
pub(super) fn many(spec: &TriggerSpec) -> usize {
    spec.runs.iter().map(count).fold(0, usize::saturating_add)
}

/// How many cells the matrix has; 1 where there is none.
fn count(run: &RunConfig) -> usize {
    run.matrix.values().map(Vec::len).fold(1, usize::saturating_mul)
}

/// What can be said of a run alone.
fn own(run: &RunConfig, field: &str, findings: &mut Vec<Finding>) {
    let above = field;
    let name = run.name.as_deref().and_then(names::name);
    findings.extend(name.map(|message| Finding::value(format!("{field}.name"), message)));
    let text = run.namespace.as_deref();
    let plain = text.filter(|text| !text.contains("{{"));
    findings.extend(namespace(&format!("{field}.namespace"), plain));
    let wrong = text.filter(|_| plain.is_none()).and_then(|text| Text::compile_namespace(text).err());
    findings.extend(wrong.map(|message| Finding::value(format!("{field}.namespace"), message)));
    for (name, value) in &run.params {
        let field = child(&format!("{field}.params"), name);
        match expression(value).map(Text::compile) {
            Some(Ok(text)) => {
                findings.extend(
                    text.axes().into_iter().filter_map(|axis| no_axis(run, axis, above, &field, "it")),
                );
            }
            Some(Err(message)) => findings.push(Finding::value(field, message)),
            None => {}
        }
    }
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
            } else if holds_expression(value) {
                let message = "may not hold {{ }}: what runs there are is known before any event";
                findings.push(Finding::value(field, message));
            } else if !seen.insert(value.to_string()) {
                findings.push(Finding::value(field, format!("{value} stands here twice")));
            }
        }
    }
}

fn against_template(run: &RunConfig, template: &Template<'_>, field: &str, findings: &mut Vec<Finding>) {
    let JobTemplate { params, manifest, .. } = &*template.compiled;
    let text = run.namespace.as_deref().filter(|text| text.contains("{{"));
    if let Some((text, _)) = text.map(Text::read) {
        let wrong = manifest.check_namespace(&text, params).into_iter().filter(|(_, by)| {
            by.as_ref().is_none_or(|by| template.reads(&beside(by, &template.spec.params)))
        });
        let field = format!("{field}.namespace");
        findings.extend(wrong.map(|(message, _)| Finding::value(&field, message)));
    }
    let enough = findings.len() + ENOUGH;
    for (name, value) in &run.params {
        if findings.len() > enough {
            break;
        }
        param(template, (name, value), &child(&format!("{field}.params"), name), findings);
    }
    let (of_template, of_job) = (format!("{field}.template"), format!("JobTemplate/{}", run.template));
    let axes = manifest.axes().iter();
    let axes = axes.filter(|_| template.reads("spec.job"));
    let no_axes = axes.filter_map(|axis| no_axis(run, axis, field, &of_template, &of_job));
    findings.extend(no_axes.take(ENOUGH));
    for (axis, values) in run.matrix.iter().filter(|(axis, _)| template.reads_values(axis)) {
        let Some(param) = find(params, axis) else { continue };
        let literal = values.iter().enumerate().filter(|(_, value)| !holds_expression(value));
        for (index, value) in literal {
            if findings.len() > enough {
                break;
            }
            let field = format!("{}[{index}]", child(&format!("{field}.matrix"), axis));
            findings.extend(param.accept(value).err().map(|message| Finding::value(field, message)));
        }
    }
    environment(run, template, field, findings);
}

/// What is wrong with the value that a run gives to a param of the template; its expressions were looked at.
fn param(template: &Template<'_>, (name, value): (&str, &Value), field: &str, findings: &mut Vec<Finding>) {
    let params = &template.compiled.params;
    let param = find(params, name).or_else(|| {
        // One that is written and not compiled has a wrong name, which is told there.
        if !template.reads("spec.params[].name")
            || template.spec.params.iter().any(|param| param.name == name)
        {
            return None;
        }
        let unknown = unknown_param(field.to_owned(), name, params);
        let meant = unknown.suggestion.as_deref().and_then(|near| find(params, near));
        findings.push(unknown);
        meant
    });
    let Some(param) = param.filter(|param| template.reads_values(param.name())) else { return };
    let made = expression(value).is_some();
    let chosen = (made || holds_expression(value)).then(|| no_expression(param)).flatten();
    let refused = chosen.or_else(|| if made { None } else { param.accept(value).err() });
    findings.extend(refused.map(|message| Finding::value(field, message)));
}

/// What is wrong with a run's environment, and the params that are required and that neither it nor the run gives.
fn environment(run: &RunConfig, template: &Template<'_>, field: &str, findings: &mut Vec<Finding>) {
    let environments = &template.compiled.environments;
    let named = run.environment.as_ref().map(|name| (name, environments.get(name)));
    if let Some((name, None)) = named
        && template.reads("spec.environments[].name")
    {
        let known: Vec<&str> = environments.keys().map(String::as_str).collect();
        let message = match known.len() {
            0 => format!("JobTemplate/{} has no environments", run.template),
            _ => format!("JobTemplate/{} has no environment called {name:?}", run.template),
        };
        let finding = Finding::value(format!("{field}.environment"), message);
        findings.push(finding.near(nearest(name, known)));
    }
    // One that is not there may be meant to be any of them.
    let meant: Vec<&Environment> = match named {
        None => Vec::new(),
        Some((_, Some(environment))) => vec![environment],
        Some((_, None)) => environments.values().collect(),
    };
    let index = |name: &String| template.spec.environments.iter().position(|it| it.name == *name);
    let is_read = match named.and_then(|(name, found)| index(name).filter(|_| found.is_some())) {
        Some(index) => template.reads(&format!("spec.environments[{index}].params{{}}")),
        None => named.is_none() || template.reads("spec.environments"),
    };
    if !is_read {
        return;
    }
    let given = {
        let of_run = run.params.keys().chain(run.matrix.keys());
        of_run.chain(meant.iter().flat_map(|environment| environment.params.keys()))
    };
    let is_given = |name: &str| {
        let by_run = run.params.contains_key(name) || run.matrix.contains_key(name);
        by_run || meant.iter().any(|environment| environment.params.contains_key(name))
    };
    // One with a wrong name can't be given.
    let required = template.required().filter(|param| find(&template.compiled.params, &param.name).is_some());
    let absent: Vec<&ParamConfig> = required.filter(|param| !is_given(&param.name)).collect();
    if absent.is_empty() {
        return;
    }
    // One that is misspelt is not missing too.
    let known: BTreeSet<&str> = template.spec.params.iter().map(|param| param.name.as_str()).collect();
    let unknown = given.filter(|name| !known.contains(name.as_str())).take(ENOUGH);
    let misspelt: BTreeSet<String> =
        unknown.filter_map(|name| nearest(name, known.iter().copied())).collect();
    for param in absent.into_iter().filter(|param| !misspelt.contains(&param.name)) {
        let message = format!("is missing: JobTemplate/{} requires it", run.template);
        let finding = Finding::key(child(&format!("{field}.params"), &param.name), message);
        let maps = ["matrix", "params"].map(|map| format!("{field}.{map}"));
        let given = maps.iter().map(|map| child(map, &param.name));
        let by = maps.iter().map(|map| format!("{map}{{}}")).chain(given);
        let by = by.chain([format!("{field}.environment")]).collect();
        findings.push(Finding { by, ..finding });
    }
}

/// That `what`, at `field`, speaks of an axis which the matrix of the run at `above` does not have: then nothing of it
/// ever runs.
fn no_axis(run: &RunConfig, axis: &str, above: &str, field: &str, what: &str) -> Option<Finding> {
    if run.matrix.contains_key(axis) {
        return None;
    }
    let message = format!("{what} speaks of {{{{ matrix.{axis} }}}}, and the run's matrix has no {axis}");
    let finding = Finding::value(field, message).by(format!("{above}.matrix"));
    Some(finding.near(nearest(axis, run.matrix.keys().map(String::as_str))))
}

/// A value as a run gives it: a string with `{{` is compiled, all else must do as it is.
fn given(param: &ParamSchema, value: &Value) -> Result<ParamValue, String> {
    match (expression(value), no_expression(param)) {
        (Some(_), Some(message)) => Err(message),
        (Some(text), None) => Text::compile(text).map(ParamValue::Text),
        (None, _) => param.accept(value).map(ParamValue::Literal),
    }
}

/// The text, where it holds expressions, or tags as templates have them, which none may.
fn expression(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| text.contains("{{") || text.contains("{%"))
}

/// Why a param takes no expressions.
fn no_expression(param: &ParamSchema) -> Option<String> {
    let message = "a secret may not hold {{ }}: an event never chooses a Secret";
    (param.param_type() == ParamType::Secret).then(|| message.to_owned())
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
