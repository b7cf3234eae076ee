//! What of a Job's manifest can be run as processes, and what is refused.
//!
//! Refused is what would change the test's meaning if it were left out: images without a command,
//! mounts, several pods, lifecycle hooks. What only isolates or places a pod (security contexts,
//! resources, node selectors, probes) is left out in silence: this executor isolates nothing.
//! `backoffLimit` and `OnFailure` are left out too: attempts are the template's `retries`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::container::Container;

/// Between TERM and KILL where the pod does not say.
const DEFAULT_GRACE_S: u64 = 10;
/// Between TERM and KILL at most.
const LONGEST_GRACE_S: u64 = 30;

/// What to run.
#[derive(Debug)]
pub(super) struct Plan {
    /// One after the other, each to its end; sidecars go on.
    pub(super) init: Vec<Container>,
    /// All at once.
    pub(super) main: Vec<Container>,
    /// Between TERM and KILL.
    pub(super) grace: Duration,
    /// What `fieldRef` can ask for.
    pub(super) metadata: Metadata,
}

/// What of the pod's metadata `fieldRef` can ask for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Metadata {
    /// The Job's name: there is no pod with a name of its own.
    pub(super) name: String,
    /// The Job's namespace.
    pub(super) namespace: String,
    /// The pod template's labels.
    pub(super) labels: Option<BTreeMap<String, String>>,
    /// The pod template's annotations.
    pub(super) annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Job {
    spec: JobSpec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JobSpec {
    parallelism: Option<u64>,
    completions: Option<u64>,
    completion_mode: Option<String>,
    template: PodTemplate,
}

#[derive(Deserialize)]
struct PodTemplate {
    metadata: Option<Metadata>,
    spec: PodSpec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodSpec {
    init_containers: Option<Vec<Container>>,
    containers: Vec<Container>,
    termination_grace_period_seconds: Option<u64>,
}

impl Plan {
    /// Reads a manifest; an error says in a sentence what can't be run here.
    pub(super) fn of(manifest: &Value, name: &str, namespace: &str) -> Result<Self, String> {
        let job =
            Job::deserialize(manifest).map_err(|error| format!("the manifest is not a Job: {error}"))?;
        one_pod(&job.spec)?;
        let PodTemplate { metadata, spec } = job.spec.template;
        let (init, main) = (spec.init_containers.unwrap_or_default(), spec.containers);
        if main.is_empty() {
            return Err("the Job has no container".to_owned());
        }
        init.iter().chain(&main).try_for_each(Container::check)?;
        if let Some(sidecar) = main.iter().find(|container| container.is_sidecar()) {
            return Err(format!("container {}: only init containers have a restartPolicy", sidecar.name));
        }
        let grace = spec.termination_grace_period_seconds.unwrap_or(DEFAULT_GRACE_S).min(LONGEST_GRACE_S);
        let metadata = metadata.unwrap_or_default();
        let metadata = Metadata { name: name.to_owned(), namespace: namespace.to_owned(), ..metadata };
        Ok(Self { init, main, grace: Duration::from_secs(grace), metadata })
    }
}

fn one_pod(spec: &JobSpec) -> Result<(), String> {
    for (field, value) in [("parallelism", spec.parallelism), ("completions", spec.completions)] {
        if let Some(value) = value.filter(|value| *value != 1) {
            return Err(format!("{field} is {value}: the local executor runs one pod"));
        }
    }
    match spec.completion_mode.as_deref() {
        None | Some("NonIndexed") => Ok(()),
        Some(mode) => Err(format!("completionMode is {mode}: the local executor runs one pod")),
    }
}

impl Metadata {
    /// The field at `path`; a label or annotation that is missing is empty. `None`: can't be asked for.
    pub(super) fn field(&self, path: &str) -> Option<String> {
        let entry = |map: &Option<BTreeMap<String, String>>, rest: &str| {
            let key = rest.strip_prefix("['")?.strip_suffix("']")?;
            Some(map.as_ref().and_then(|map| map.get(key)).cloned().unwrap_or_default())
        };
        match path.strip_prefix("metadata.")? {
            "name" => Some(self.name.clone()),
            "namespace" => Some(self.namespace.clone()),
            field => {
                let label = field.strip_prefix("labels").and_then(|rest| entry(&self.labels, rest));
                label.or_else(|| {
                    field.strip_prefix("annotations").and_then(|rest| entry(&self.annotations, rest))
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plan(spec: &Value, container: &Value) -> Result<Plan, String> {
        let mut manifest = json!({"spec": {"template": {
            "metadata": {"labels": {"a/b": "c"}},
            "spec": {"containers": [{"name": "main", "command": ["true"]}]},
        }}});
        let merge = |into: &mut Value, from: &Value| {
            for (key, value) in from.as_object().unwrap() {
                into[key] = value.clone();
            }
        };
        merge(&mut manifest["spec"], spec);
        merge(&mut manifest["spec"]["template"]["spec"]["containers"][0], container);
        Plan::of(&manifest, "a-1", "default")
    }

    #[test]
    fn what_cannot_be_run_here_is_refused_by_name() {
        for (spec, container, said) in [
            (json!({"parallelism": 2}), json!({}), "parallelism is 2"),
            (json!({"completions": 3}), json!({}), "completions is 3"),
            (json!({"completionMode": "Indexed"}), json!({}), "completionMode is Indexed"),
            (json!({"template": {"spec": {"containers": []}}}), json!(null), "no container"),
            (json!({"template": 7}), json!(null), "not a Job"),
            (json!({}), json!({"command": null}), "container main has no command"),
            (json!({}), json!({"command": []}), "container main has no command"),
            (json!({}), json!({"name": "a\nb"}), "container \"a\\nb\""),
            (json!({}), json!({"volumeMounts": [{"name": "x", "mountPath": "/data"}]}), "\"/data\""),
            (json!({}), json!({"volumeDevices": [{"devicePath": "/dev/x"}]}), "\"/dev/x\""),
            (json!({}), json!({"lifecycle": {"preStop": {}}}), "lifecycle"),
            (json!({}), json!({"restartPolicy": "Always"}), "only init containers"),
            (json!({}), json!({"env": [{"name": "A=B", "value": ""}]}), "\"A=B\""),
            (json!({}), json!({"env": [{"name": "", "value": ""}]}), "\"\""),
            (
                json!({}),
                json!({"env": [{"name": "A", "valueFrom": {"resourceFieldRef": {}}}]}),
                "variable A comes from resourceFieldRef",
            ),
            (
                json!({}),
                json!({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]}),
                "variable A comes from status.podIP",
            ),
        ] {
            let container = if container.is_null() { json!({}) } else { container };
            let refused = match spec["template"]["spec"]["containers"].as_array() {
                Some(_) => Plan::of(&json!({ "spec": spec }), "a-1", "default"),
                None if spec["template"].is_number() => Plan::of(&json!({ "spec": spec }), "a-1", "default"),
                None => plan(&spec, &container),
            };
            let message = refused.expect_err(said);
            assert!(message.contains(said), "{message:?} lacks {said:?}");
        }
    }

    #[test]
    fn what_only_places_or_isolates_a_pod_is_left_out() {
        let spec =
            json!({"parallelism": 1, "completions": 1, "completionMode": "NonIndexed", "backoffLimit": 3});
        let container = json!({
            "image": "x", "resources": {"limits": {"cpu": "1"}}, "securityContext": {"runAsUser": 1},
            "livenessProbe": {}, "volumeMounts": [], "env": null, "args": ["a", "b"],
        });
        let plan = plan(&spec, &container).unwrap();
        assert_eq!(plan.main[0].words().collect::<Vec<_>>(), ["true", "a", "b"]);
        assert_eq!(plan.grace, Duration::from_secs(10));
    }

    #[test]
    fn fields_of_the_metadata_are_given() {
        let metadata = plan(&json!({}), &json!({})).unwrap().metadata;
        for (path, value) in [
            ("metadata.name", Some("a-1")),
            ("metadata.namespace", Some("default")),
            ("metadata.labels['a/b']", Some("c")),
            ("metadata.labels['none']", Some("")),
            ("metadata.annotations['none']", Some("")),
            ("metadata.labels", None),
            ("metadata.uid", None),
            ("spec.nodeName", None),
        ] {
            assert_eq!(metadata.field(path).as_deref(), value, "{path}");
        }
    }
}
