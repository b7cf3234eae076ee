//! Job templates: params, environments, the manifest, what exit codes mean.

use std::sync::Arc;

use super::names;
use super::templates::OF_VALUES;
use crate::engine::definitions::config::{
    EnvironmentConfig, JobTemplateSpec, ParamConfig, ResultsConfig, RetriesConfig,
};
use crate::engine::definitions::model::{Environment, JobTemplate, Retries};
use crate::engine::definitions::problem::nearest;
use crate::engine::definitions::quantity::Span;
use crate::engine::definitions::schema::Finding;
use crate::engine::definitions::yaml::child;
use crate::engine::ids::ObjectName;
use crate::engine::pod::START_TIMEOUT_MS;
use crate::engine::render::{Beside, ManifestTemplate, ParamSchema, Times, Wrong, few};
use crate::engine::verdict::{ExitCodes, Outcome};

const DEFAULT_TIMEOUT: Span = Span::from_millis(30 * 60_000);
/// Once so much is wrong, further environments and runs are not looked at.
pub(super) const ENOUGH: usize = 200;
/// Every container of every run gets each of them.
const MOST_PARAMS: usize = 128;
/// Of too many params, how many are looked at, and how much memory they may hold, bytes.
const MOST_CHECKED: usize = 1_000;
const MOST_HELD: usize = 32 << 20;
/// When Kubernetes removes what Kickoff never came back for.
const LONGEST_JOB_TTL_MS: i64 = 7 * 86_400_000;

/// Compiles a template, or takes `old` where its document is the same; all that is wrong with it. Where there is
/// anything, what is compiled is for checks alone. The globs of `allow` may hold `most_globs` bytes of memory.
pub(super) fn compile(
    name: ObjectName,
    hash: &str,
    spec: &JobTemplateSpec,
    old: Option<&Arc<JobTemplate>>,
    most_globs: usize,
) -> (Option<Arc<JobTemplate>>, Vec<Finding>) {
    if let Some(same) = old.filter(|old| old.hash == hash) {
        return (Some(Arc::clone(same)), Vec::new());
    }
    let mut findings = Vec::new();
    findings.extend(namespace("spec.namespace", spec.namespace.as_deref()));
    limits(spec, &mut findings);
    let exit_codes = exit_codes(&spec.results, &mut findings);
    let outputs = spec.results.outputs.as_deref();
    findings.extend(outputs.and_then(no_path).map(|message| Finding::value("spec.results.outputs", message)));
    if spec.params.len() > MOST_PARAMS {
        let message = format!("has {} entries; there may be up to {MOST_PARAMS}", spec.params.len());
        findings.push(Finding::value("spec.params", message));
    }
    let Some(params) = params(&spec.params, &mut findings) else { return (None, findings) };
    environments(spec, &params, &mut findings);
    let timeout_ms = spec.timeout.unwrap_or(DEFAULT_TIMEOUT).as_millis();
    let times = Times {
        timeout_ms,
        start_timeout: spec.start_timeout.unwrap_or(Span::from_millis(START_TIMEOUT_MS)),
        job_ttl: spec.retention.job_ttl,
    };
    let (manifest, problems) =
        ManifestTemplate::compile(&spec.job, &spec.allow, &params, times, outputs, most_globs);
    findings.extend(problems.into_iter().map(|wrong| below_job(wrong, &spec.params)));
    let compiled = Arc::new(JobTemplate {
        hash: hash.to_owned(),
        params,
        // The first of one name stands, as of params.
        environments: spec.environments.iter().rev().map(environment).collect(),
        manifest,
        namespace: spec.namespace.clone().unwrap_or_else(|| name.namespace.clone()),
        timeout_ms,
        retries: retries(&spec.retries),
        exit_codes,
        outputs: outputs.is_some(),
        max_runs: spec.retention.max_runs,
        max_age_ms: spec.retention.max_age.as_millis(),
        name,
    });
    (Some(compiled), findings)
}

/// What is wrong with the path of a file in a container.
fn no_path(path: &str) -> Option<String> {
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    let good = path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(plain));
    let good = good && path.len() <= 255 && !path.contains(['$', '{']) && !path.chars().any(char::is_control);
    (!good)
        .then(|| format!("{path:?} is not the absolute path of a file: write for instance /tmp/outputs.json"))
}

fn below_job(wrong: Wrong, params: &[ParamConfig]) -> Finding {
    let Wrong { field, at_key, message, by } = wrong;
    let joint = if field.is_empty() || field.starts_with('[') { "" } else { "." };
    let field =
        if field.starts_with("allow.") { format!("spec.{field}") } else { format!("spec.job{joint}{field}") };
    let by = by.map(|by| beside(&by, params)).into_iter().collect();
    Finding { at_key, by, ..Finding::value(field, message) }
}

/// The field of a template that a problem is about.
pub(super) fn beside(of: &Beside, params: &[ParamConfig]) -> String {
    match of {
        Beside::Params => "spec.params".to_owned(),
        Beside::ParamNames => "spec.params[].name".to_owned(),
        Beside::TypeOf(name) => match params.iter().position(|param| param.name == *name) {
            Some(at) => format!("spec.params[{at}].type"),
            None => "spec.params".to_owned(),
        },
        Beside::Allow(list) => format!("spec.allow.{list}"),
    }
}

/// All params that can be compiled; `None` where they are so many that only the first, and no more of the template, are
/// looked at.
fn params(configs: &[ParamConfig], findings: &mut Vec<Finding>) -> Option<Vec<ParamSchema>> {
    let (mut schemas, mut held) = (Vec::new(), 0);
    for (index, config) in configs.iter().enumerate().take(MOST_CHECKED) {
        let field = format!("spec.params[{index}]");
        let misnamed = names::identifier(&config.name);
        let is_one = misnamed.is_none() && find(&schemas, &config.name).is_none();
        findings.extend(misnamed.map(|message| Finding::value(format!("{field}.name"), message)));
        let schema = ParamSchema::compile(config).or_else(|problems| {
            let rest = without(config, &problems);
            findings.extend(problems.into_iter().map(|wrong| {
                let by = wrong.by.map(|_| format!("{field}.type")).into_iter().collect();
                Finding { by, ..Finding::value(format!("{field}.{}", wrong.field), wrong.message) }
            }));
            // What is right of it stands in, or it would be told again wherever the Job speaks of it.
            ParamSchema::compile(&rest)
        });
        held += schema.as_ref().map_or(0, ParamSchema::size);
        if configs.len() > MOST_PARAMS && held > MOST_HELD {
            return None;
        }
        // The first of one name stands; the others are told below.
        schemas.extend(schema.ok().filter(|_| is_one));
    }
    for (index, name) in names::repeated(configs.iter().map(|config| config.name.as_str())) {
        let message = format!("there is another param called {name}");
        findings.push(Finding::value(format!("spec.params[{index}].name"), message));
    }
    (configs.len() <= MOST_CHECKED).then_some(schemas)
}

/// A param without what is wrong with it.
fn without(config: &ParamConfig, problems: &[Wrong]) -> ParamConfig {
    let is_wrong = |field: &str| problems.iter().any(|wrong| wrong.field.starts_with(field));
    let mut rest = config.clone();
    rest.default = rest.default.filter(|_| !is_wrong("default"));
    rest.pattern = rest.pattern.filter(|_| !is_wrong("pattern"));
    if is_wrong("enum") {
        rest.values.clear();
    }
    rest.minimum = rest.minimum.filter(|_| !is_wrong("minimum"));
    rest.maximum = rest.maximum.filter(|_| !is_wrong("maximum"));
    rest
}

fn environments(spec: &JobTemplateSpec, params: &[ParamSchema], findings: &mut Vec<Finding>) {
    let configs = &spec.environments;
    for (index, config) in configs.iter().enumerate() {
        if findings.len() > ENOUGH {
            break;
        }
        let field = format!("spec.environments[{index}]");
        let name = names::label(&config.name);
        findings.extend(name.map(|message| Finding::value(format!("{field}.name"), message)));
        findings.extend(namespace(&format!("{field}.namespace"), config.namespace.as_deref()));
        for (name, value) in &config.params {
            let field = child(&format!("{field}.params"), name);
            if findings.len() > ENOUGH {
                break;
            }
            let written = spec.params.iter().position(|param| param.name == *name);
            match (find(params, name), written) {
                (Some(param), at) => {
                    let refused = param.written(value).err().map(|message| Finding::value(field, message));
                    let by =
                        at.into_iter().flat_map(|at| OF_VALUES.map(|of| format!("spec.params[{at}].{of}")));
                    findings.extend(refused.map(|finding| Finding { by: by.collect(), ..finding }));
                }
                (None, None) => findings.push(unknown_param(field, name, params).by("spec.params[].name")),
                // Its name is wrong, which is told there.
                (None, Some(_)) => {}
            }
        }
    }
    for (index, name) in names::repeated(configs.iter().map(|config| config.name.as_str())) {
        let message = format!("there is another environment called {name}");
        findings.push(Finding::value(format!("spec.environments[{index}].name"), message));
    }
}

/// The param called `name`.
pub(super) fn find<'p>(params: &'p [ParamSchema], name: &str) -> Option<&'p ParamSchema> {
    params.iter().find(|param| param.name() == name)
}

/// A value is given for a param that the template does not have.
pub(super) fn unknown_param(field: String, name: &str, params: &[ParamSchema]) -> Finding {
    let names: Vec<&str> = params.iter().map(ParamSchema::name).collect();
    let known =
        if names.is_empty() { "it has none".to_owned() } else { format!("it has {}", few(names.iter())) };
    let message = format!("the template has no param called {name:?}; {known}");
    Finding::key(field, message).near(nearest(name, names))
}

/// What is wrong with a namespace to run in.
pub(super) fn namespace(field: &str, text: Option<&str>) -> Option<Finding> {
    let text = text?;
    let message = if text.contains("{{") {
        "may not hold {{ }}: an event never chooses the namespace".to_owned()
    } else {
        names::label(text)?
    };
    Some(Finding::value(field, message))
}

fn limits(spec: &JobTemplateSpec, findings: &mut Vec<Finding>) {
    let zero = |span: &Span| span.as_millis() == 0;
    if spec.timeout.as_ref().is_some_and(zero) {
        findings.push(Finding::value("spec.timeout", "must be more than 0s"));
    }
    if spec.start_timeout.as_ref().is_some_and(zero) {
        findings.push(Finding::value("spec.startTimeout", "must be more than 0s"));
    }
    if spec.retention.job_ttl.as_millis() > LONGEST_JOB_TTL_MS {
        let message = "must be 7d at most: Kubernetes removes the Job by then whatever happens";
        findings.push(Finding::value("spec.retention.jobTTL", message));
    }
    if zero(&spec.retention.max_age) {
        findings.push(Finding::value("spec.retention.maxAge", "must be more than 0s"));
    }
    for (index, outcome) in spec.retries.outcomes.iter().enumerate() {
        if matches!(outcome, Outcome::Passed | Outcome::Cancelled) {
            let message =
                format!("a run that ended {outcome} is not tried again: write Error, TimedOut or Failed");
            findings.push(Finding::value(format!("spec.retries.outcomes[{index}]"), message));
        }
    }
}

fn exit_codes(results: &ResultsConfig, findings: &mut Vec<Finding>) -> ExitCodes {
    let mut failed = Vec::new();
    for (index, text) in results.exit_codes.failed.iter().enumerate() {
        if let Some(range) = range(text) {
            failed.push(range);
        } else {
            let message = format!("{text:?} is not an exit code from 1 to 255 or a range such as 1-99");
            findings.push(Finding::value(format!("spec.results.exitCodes.failed[{index}]"), message));
        }
    }
    ExitCodes { failed }
}

fn range(text: &str) -> Option<(i32, i32)> {
    let code = |text: &str| {
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<u8>().ok().filter(|code| digits && *code > 0).map(i32::from)
    };
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    Some((code(low)?, code(high)?)).filter(|(low, high)| low <= high)
}

fn environment(config: &EnvironmentConfig) -> (String, Environment) {
    let environment = Environment { namespace: config.namespace.clone(), params: config.params.clone() };
    (config.name.clone(), environment)
}

fn retries(config: &RetriesConfig) -> Retries {
    Retries {
        limit: config.limit,
        outcomes: config.outcomes.iter().copied().collect(),
        backoff_ms: config.backoff.as_millis(),
    }
}
