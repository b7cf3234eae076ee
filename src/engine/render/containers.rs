//! What Kickoff refuses, sets and gives in a Job's pod.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::code;
use crate::engine::definitions::quantity::Span;
use crate::engine::pod::{JOB_TTL_MS, START_TIMEOUT_MS};

/// When Kubernetes removes a Job that Kickoff never came back for: 7 days.
const BACKSTOP_S: u32 = 7 * 86_400;

/// What a Job may take beyond the times of its template before Kubernetes ends it.
const SPARE_S: i64 = 60;

/// How long what may take.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// From the start of the pod to its end, milliseconds.
    pub timeout_ms: i64,
    /// From the pod's creation to the start of its containers.
    pub start_timeout: Span,
    /// From the Job's end to its deletion.
    pub job_ttl: Span,
}

/// Fields of a Job that are Kickoff's own, with what to write instead.
const OWN_OF_JOB: [(&str, &str); 5] = [
    ("activeDeadlineSeconds", "set timeout on the JobTemplate instead"),
    ("ttlSecondsAfterFinished", "finished Jobs are removed once their log is kept"),
    ("suspend", "use policy.concurrency to hold runs back"),
    ("manualSelector", "Kubernetes chooses the selector"),
    ("selector", "Kubernetes chooses the selector"),
];

/// Everything that is wrong with the Job whatever the values: (field below `job`, message).
pub(super) fn check(spec: &Map<String, Value>) -> Vec<(String, String)> {
    let mut problems = Vec::new();
    for (field, instead) in OWN_OF_JOB {
        if spec.contains_key(field) {
            problems.push((format!("spec.{field}"), format!("is set by Kickoff: {instead}")));
        }
    }
    let pod = spec.get("template").and_then(|template| template.get("spec"));
    let Some(pod) = pod.and_then(Value::as_object) else {
        problems.push(("spec.template.spec".to_owned(), "is missing: a Job needs a pod".to_owned()));
        return problems;
    };
    if pod.contains_key("activeDeadlineSeconds") {
        let field = "spec.template.spec.activeDeadlineSeconds".to_owned();
        problems.push((field, "is set by Kickoff: set timeout on the JobTemplate instead".to_owned()));
    }
    if pod.get("restartPolicy").is_some_and(|policy| policy != "Never" && policy != "OnFailure") {
        let field = "spec.template.spec.restartPolicy".to_owned();
        problems.push((field, "must be Never or OnFailure for a Job".to_owned()));
    }
    let none = match pod.get("containers") {
        Some(Value::Array(containers)) => containers.is_empty().then_some("must have at least one container"),
        None | Some(Value::Null) => Some("must have at least one container"),
        Some(_) => Some("must be a list of containers: begin each with -"),
    };
    problems.extend(none.map(|why| ("spec.template.spec.containers".to_owned(), why.to_owned())));
    let mut taken = BTreeSet::new();
    for list in ["initContainers", "containers"] {
        let containers = pod.get(list).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for (index, container) in containers.iter().enumerate() {
            let field = format!("spec.template.spec.{list}[{index}]");
            if container.get("name").and_then(Value::as_str).is_none_or(str::is_empty) {
                problems.push((format!("{field}.name"), "is missing".to_owned()));
            }
            let name = container.get("name").and_then(Value::as_str);
            if name.is_some_and(|name| !name.is_empty() && !taken.insert(name)) {
                problems.push((format!("{field}.name"), "another container has this name".to_owned()));
            }
            let told = texts(container).into_iter().chain(shapes(container)).chain(variables(container));
            problems.extend(told.map(|(below, message)| (format!("{field}.{below}"), message)));
            let code = code::check(container).into_iter();
            problems.extend(code.map(|(below, message)| (format!("{field}.{below}"), message)));
        }
    }
    problems
}

/// What Kubernetes takes as a list of texts, and nothing else.
fn texts(container: &Value) -> Vec<(String, String)> {
    let mut problems = Vec::new();
    for list in ["command", "args"] {
        match container.get(list) {
            None | Some(Value::Null) => {}
            Some(Value::Array(items)) => {
                let wrong = items.iter().enumerate().filter(|(_, item)| !item.is_string());
                problems.extend(wrong.map(|(index, item)| {
                    (format!("{list}[{index}]"), format!("must be a text: write \"{item}\" in quotes"))
                }));
            }
            Some(_) => problems.push((list.to_owned(), "must be a list of texts".to_owned())),
        }
    }
    problems
}

/// What Kubernetes takes in one shape only, and would refuse for each run anew.
fn shapes(container: &Value) -> Vec<(String, String)> {
    let given = |field: &str| container.get(field).filter(|value| !value.is_null());
    let mut problems = Vec::new();
    for field in ["image", "imagePullPolicy", "workingDir"] {
        problems.extend(given(field).and_then(|value| Some((field.to_owned(), no_text(value)?))));
    }
    for field in ["env", "envFrom", "ports", "volumeDevices", "volumeMounts"] {
        let Some(value) = given(field) else { continue };
        let Some(items) = value.as_array() else {
            problems.push((field.to_owned(), "must be a list: begin each item with -".to_owned()));
            continue;
        };
        let wrong = items.iter().enumerate().filter(|(_, item)| !item.is_object());
        let message = "must be a map: write its fields as name: value";
        problems.extend(wrong.map(|(index, _)| (format!("{field}[{index}]"), message.to_owned())));
    }
    let env = given("env").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    for (index, entry) in env.iter().enumerate().filter(|(_, entry)| entry.is_object()) {
        let field = |name: &str| format!("env[{index}].{name}");
        match entry.get("name") {
            None | Some(Value::Null) => problems.push((field("name"), "is missing".to_owned())),
            Some(name) => problems.extend(no_text(name).map(|message| (field("name"), message))),
        }
        let value = entry.get("value").filter(|value| !value.is_null());
        problems.extend(value.and_then(no_text).map(|message| (field("value"), message)));
    }
    problems
}

/// What to write in place of a value that is no text.
fn no_text(value: &Value) -> Option<String> {
    match value {
        Value::String(_) => None,
        Value::Array(_) | Value::Object(_) | Value::Null => Some("must be a text".to_owned()),
        Value::Bool(_) | Value::Number(_) => Some(format!("must be a text: write \"{value}\" in quotes")),
    }
}

/// A variable that stands twice: the last would win without a word.
fn variables(container: &Value) -> Vec<(String, String)> {
    let env = container.get("env").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut names = BTreeSet::new();
    let twice = env.iter().enumerate().filter(|(_, entry)| {
        entry.get("name").and_then(Value::as_str).is_some_and(|name| !names.insert(name))
    });
    let message = "another variable has this name";
    twice.map(|(index, _)| (format!("env[{index}].name"), message.to_owned())).collect()
}

/// Where [`defaults`] says what nobody else does, by RFC 6901.
pub(super) const OWN_ANNOTATIONS: [&str; 2] =
    ["/metadata/annotations/kickoff.dev~1start-timeout", "/metadata/annotations/kickoff.dev~1job-ttl"];

/// Sets what the author left open: one try, no token, the deadline on the pod so that its log survives.
///
/// The Job's own deadline is a backstop: it deletes the pods, with their logs.
pub(super) fn defaults(job: &mut Value, times: Times) {
    let Times { timeout_ms, start_timeout, job_ttl } = times;
    if let Some(annotations) = job.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        for (name, span, default) in [
            ("kickoff.dev/start-timeout", start_timeout, START_TIMEOUT_MS),
            ("kickoff.dev/job-ttl", job_ttl, JOB_TTL_MS),
        ] {
            // Nobody else says it, neither an author nor an event: see [`OWN_ANNOTATIONS`].
            annotations.remove(name);
            if span.as_millis() != default {
                annotations.insert(name.to_owned(), json!(span.to_string()));
            }
        }
    }
    let Some(spec) = job.get_mut("spec").and_then(Value::as_object_mut) else { return };
    spec.insert("ttlSecondsAfterFinished".to_owned(), json!(BACKSTOP_S));
    let backstop = seconds(timeout_ms.saturating_add(start_timeout.as_millis())).saturating_add(SPARE_S);
    spec.insert("activeDeadlineSeconds".to_owned(), json!(backstop));
    let tries_given = spec.contains_key("backoffLimit") || spec.contains_key("backoffLimitPerIndex");
    if !tries_given {
        spec.insert("backoffLimit".to_owned(), json!(0));
    }
    // Kubernetes takes a podFailurePolicy only together with this replacement policy.
    let replaces = spec.get("podReplacementPolicy").is_none_or(|policy| policy == "Failed");
    let open = replaces && !spec.contains_key("podFailurePolicy");
    let Some(pod) = spec.get_mut("template").and_then(|template| template.get_mut("spec")) else { return };
    let Some(pod) = pod.as_object_mut() else { return };
    let never = *pod.entry("restartPolicy").or_insert(json!("Never")) == json!("Never");
    pod.entry("automountServiceAccountToken").or_insert(json!(false));
    pod.insert("activeDeadlineSeconds".to_owned(), json!(seconds(timeout_ms)));
    let main =
        pod.get("containers").and_then(|containers| containers.get(0)).and_then(|main| main.get("name"));
    let main = main.cloned().unwrap_or(Value::Null);
    if never && open {
        let mut rules = vec![json!({"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]})];
        // Whoever asks for more tries than one wants them after an exit code too.
        if !tries_given {
            let codes = json!({"containerName": main, "operator": "NotIn", "values": [0]});
            rules.push(json!({"action": "FailJob", "onExitCodes": codes}));
        }
        spec.insert("podFailurePolicy".to_owned(), json!({"rules": rules}));
    }
}

/// The variable that says where outputs are written.
pub(crate) const OUTPUTS: &str = "KICKOFF_OUTPUTS";

/// A termination message of the author's own, where outputs are asked for.
pub(super) fn own_message(spec: &Map<String, Value>) -> Vec<(String, String)> {
    let pod = spec.get("template").and_then(|template| template.get("spec"));
    let main = pod.and_then(|pod| pod.get("containers")?.get(0));
    let given = ["terminationMessagePath", "terminationMessagePolicy"].into_iter();
    let given = given.filter(|field| main.is_some_and(|main| main.get(field).is_some()));
    let message = "is set by Kickoff: results.outputs says where outputs are written";
    given.map(|field| (format!("spec.template.spec.containers[0].{field}"), message.to_owned())).collect()
}

/// Takes what the first container writes to `path` for its outputs.
pub(super) fn take_outputs(job: &mut Value, path: &str) {
    let main = job.pointer_mut("/spec/template/spec/containers/0").and_then(Value::as_object_mut);
    let Some(main) = main else { return };
    main.insert("terminationMessagePath".to_owned(), json!(path));
}

/// Whole seconds, rounded up.
fn seconds(millis: i64) -> i64 {
    millis.saturating_add(999) / 1000
}
