//! Fields of a Job that are nearly those of Kubernetes.
//!
//! A Job is passed on as it is written, since a cluster may know fields that this version does not. But a
//! field that nobody knows is dropped by Kubernetes without a word, and `backofLimit` then does nothing. So
//! a field is refused where it is at most two letters from one that is known in its place, and only there.

use serde_json::{Map, Value};

use crate::engine::definitions::child;
use crate::engine::definitions::yaml::Renamed;

/// The most letters by which a field may differ from the one that was meant.
const MOST_LETTERS: usize = 2;

/// An object and its fields, each with the object that it holds, itself or in a list; `-` where what it
/// holds is not looked into.
pub type Object = (&'static str, &'static [(&'static str, &'static [&'static str])]);

/// Kubernetes 1.36: `batch/v1` `JobSpec` and what of `core/v1` stands below it. A test compares it with what
/// an API server says.
pub const OBJECTS: &[Object] = &[
    (
        "Job",
        &[
            (
                "-",
                &[
                    "activeDeadlineSeconds",
                    "backoffLimit",
                    "backoffLimitPerIndex",
                    "completionMode",
                    "completions",
                    "managedBy",
                    "manualSelector",
                    "maxFailedIndexes",
                    "parallelism",
                    "podReplacementPolicy",
                    "selector",
                    "suspend",
                    "ttlSecondsAfterFinished",
                ],
            ),
            ("FailurePolicy", &["podFailurePolicy"]),
            ("SuccessPolicy", &["successPolicy"]),
            ("Template", &["template"]),
        ],
    ),
    ("FailurePolicy", &[("FailureRule", &["rules"])]),
    (
        "FailureRule",
        &[("-", &["action"]), ("ExitCodes", &["onExitCodes"]), ("PodCondition", &["onPodConditions"])],
    ),
    ("ExitCodes", &[("-", &["containerName", "operator", "values"])]),
    ("PodCondition", &[("-", &["status", "type"])]),
    ("SuccessPolicy", &[("SuccessRule", &["rules"])]),
    ("SuccessRule", &[("-", &["succeededCount", "succeededIndexes"])]),
    ("Template", &[("Metadata", &["metadata"]), ("Pod", &["spec"])]),
    (
        "Metadata",
        &[(
            "-",
            &[
                "annotations",
                "creationTimestamp",
                "deletionGracePeriodSeconds",
                "deletionTimestamp",
                "finalizers",
                "generateName",
                "generation",
                "labels",
                "managedFields",
                "name",
                "namespace",
                "ownerReferences",
                "resourceVersion",
                "selfLink",
                "uid",
            ],
        )],
    ),
    (
        "Pod",
        &[
            (
                "-",
                &[
                    "activeDeadlineSeconds",
                    "affinity",
                    "automountServiceAccountToken",
                    "dnsConfig",
                    "dnsPolicy",
                    "enableServiceLinks",
                    "hostAliases",
                    "hostIPC",
                    "hostNetwork",
                    "hostPID",
                    "hostUsers",
                    "hostname",
                    "hostnameOverride",
                    "imagePullSecrets",
                    "nodeName",
                    "nodeSelector",
                    "os",
                    "overhead",
                    "preemptionPolicy",
                    "priority",
                    "priorityClassName",
                    "readinessGates",
                    "resourceClaims",
                    "restartPolicy",
                    "runtimeClassName",
                    "schedulerName",
                    "schedulingGates",
                    "schedulingGroup",
                    "serviceAccount",
                    "serviceAccountName",
                    "setHostnameAsFQDN",
                    "shareProcessNamespace",
                    "subdomain",
                    "terminationGracePeriodSeconds",
                    "topologySpreadConstraints",
                ],
            ),
            ("Container", &["containers", "ephemeralContainers", "initContainers"]),
            ("Resources", &["resources"]),
            ("PodSecurity", &["securityContext"]),
            ("Toleration", &["tolerations"]),
            ("Volume", &["volumes"]),
        ],
    ),
    (
        "Container",
        &[
            (
                "-",
                &[
                    "args",
                    "command",
                    "image",
                    "imagePullPolicy",
                    "name",
                    "resizePolicy",
                    "restartPolicy",
                    "restartPolicyRules",
                    "stdin",
                    "stdinOnce",
                    "targetContainerName",
                    "terminationMessagePath",
                    "terminationMessagePolicy",
                    "tty",
                    "volumeDevices",
                    "workingDir",
                ],
            ),
            ("Env", &["env"]),
            ("EnvFrom", &["envFrom"]),
            ("Lifecycle", &["lifecycle"]),
            ("Port", &["ports"]),
            ("Probe", &["livenessProbe", "readinessProbe", "startupProbe"]),
            ("Resources", &["resources"]),
            ("Security", &["securityContext"]),
            ("VolumeMount", &["volumeMounts"]),
        ],
    ),
    ("Env", &[("-", &["name", "value"]), ("EnvSource", &["valueFrom"])]),
    (
        "EnvSource",
        &[
            ("Key", &["configMapKeyRef", "secretKeyRef"]),
            ("-", &["fieldRef", "fileKeyRef", "resourceFieldRef"]),
        ],
    ),
    ("Key", &[("-", &["key", "name", "optional"])]),
    ("EnvFrom", &[("-", &["prefix"]), ("Reference", &["configMapRef", "secretRef"])]),
    ("Reference", &[("-", &["name", "optional"])]),
    ("Lifecycle", &[("-", &["postStart", "preStop", "stopSignal"])]),
    ("Port", &[("-", &["containerPort", "hostIP", "hostPort", "name", "protocol"])]),
    (
        "Probe",
        &[(
            "-",
            &[
                "exec",
                "failureThreshold",
                "grpc",
                "httpGet",
                "initialDelaySeconds",
                "periodSeconds",
                "successThreshold",
                "tcpSocket",
                "terminationGracePeriodSeconds",
                "timeoutSeconds",
            ],
        )],
    ),
    ("Resources", &[("-", &["claims", "limits", "requests"])]),
    (
        "Security",
        &[(
            "-",
            &[
                "allowPrivilegeEscalation",
                "appArmorProfile",
                "capabilities",
                "privileged",
                "procMount",
                "readOnlyRootFilesystem",
                "runAsGroup",
                "runAsNonRoot",
                "runAsUser",
                "seLinuxOptions",
                "seccompProfile",
                "windowsOptions",
            ],
        )],
    ),
    (
        "PodSecurity",
        &[(
            "-",
            &[
                "appArmorProfile",
                "fsGroup",
                "fsGroupChangePolicy",
                "runAsGroup",
                "runAsNonRoot",
                "runAsUser",
                "seLinuxChangePolicy",
                "seLinuxOptions",
                "seccompProfile",
                "supplementalGroups",
                "supplementalGroupsPolicy",
                "sysctls",
                "windowsOptions",
            ],
        )],
    ),
    ("Toleration", &[("-", &["effect", "key", "operator", "tolerationSeconds", "value"])]),
    (
        "VolumeMount",
        &[(
            "-",
            &[
                "mountPath",
                "mountPropagation",
                "name",
                "readOnly",
                "recursiveReadOnly",
                "subPath",
                "subPathExpr",
            ],
        )],
    ),
    (
        "Volume",
        &[
            (
                "-",
                &[
                    "awsElasticBlockStore",
                    "azureDisk",
                    "azureFile",
                    "cephfs",
                    "cinder",
                    "csi",
                    "downwardAPI",
                    "ephemeral",
                    "fc",
                    "flexVolume",
                    "flocker",
                    "gcePersistentDisk",
                    "gitRepo",
                    "glusterfs",
                    "hostPath",
                    "image",
                    "iscsi",
                    "name",
                    "nfs",
                    "photonPersistentDisk",
                    "portworxVolume",
                    "projected",
                    "quobyte",
                    "rbd",
                    "scaleIO",
                    "storageos",
                    "vsphereVolume",
                ],
            ),
            ("ConfigMapVolume", &["configMap"]),
            ("EmptyDir", &["emptyDir"]),
            ("Claim", &["persistentVolumeClaim"]),
            ("SecretVolume", &["secret"]),
        ],
    ),
    ("ConfigMapVolume", &[("-", &["defaultMode", "items", "name", "optional"])]),
    ("EmptyDir", &[("-", &["medium", "sizeLimit"])]),
    ("Claim", &[("-", &["claimName", "readOnly"])]),
    ("SecretVolume", &[("-", &["defaultMode", "items", "optional", "secretName"])]),
];

/// Gives every field of a Job's `spec` that is nearly a known one the name that was meant, so that what stands below it
/// can be looked at: (field below `job`, message) of each, and how they are written.
pub(super) fn correct(spec: &mut Map<String, Value>) -> (Vec<(String, String)>, Renamed) {
    let mut found = Misspelt::default();
    found.object("Job", spec, "spec");
    (found.problems, found.renamed)
}

#[derive(Default)]
struct Misspelt {
    problems: Vec<(String, String)>,
    renamed: Renamed,
}

impl Misspelt {
    fn object(&mut self, kind: &str, fields: &mut Map<String, Value>, above: &str) {
        let Some((_, groups)) = OBJECTS.iter().find(|(name, _)| *name == kind) else { return };
        let inner =
            |name: &str| groups.iter().find(|(_, names)| names.contains(&name)).map(|(inner, _)| *inner);
        for written in fields.keys().cloned().collect::<Vec<_>>() {
            let mut name = written.as_str();
            if inner(name).is_none() {
                let known = groups.iter().flat_map(|(_, names)| *names).copied();
                let Some(near) = nearest(name, known) else { continue };
                let field = self.renamed.written(&child(above, name));
                let message = format!("Kubernetes knows no such field here (did you mean {near}?)");
                self.problems.push((field.clone(), message));
                let value = fields.remove(name).unwrap_or_default();
                // What stands there by its own name is what counts.
                if fields.contains_key(near) {
                    continue;
                }
                fields.insert(near.to_owned(), value);
                self.renamed.insert(child(above, near), field);
                name = near;
            }
            if let (Some(inner), Some(value)) = (inner(name), fields.get_mut(name)) {
                self.within(inner, value, &child(above, name));
            }
        }
    }

    fn within(&mut self, kind: &str, value: &mut Value, field: &str) {
        match value {
            Value::Object(fields) => self.object(kind, fields, field),
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.within(kind, item, &format!("{field}[{index}]"));
                }
            }
            _ => {}
        }
    }
}

/// The known field that was meant: letter by letter, whatever its case, `_` and `-`.
fn nearest(name: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let bare = |text: &str| text.replace(['_', '-'], "").to_lowercase();
    let word = bare(name);
    let most = MOST_LETTERS.min(word.chars().count() / 3);
    let distance = |candidate: &str| strsim::damerau_levenshtein(&word, &bare(candidate));
    known.map(|it| (distance(it), it)).filter(|(letters, _)| *letters <= most).min().map(|(_, it)| it)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    #[test]
    fn every_object_is_there_and_leads_somewhere() {
        let names: BTreeSet<&str> = OBJECTS.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), OBJECTS.len());
        let inner: BTreeSet<&str> =
            OBJECTS.iter().flat_map(|(_, groups)| *groups).map(|(inner, _)| *inner).collect();
        for kind in &inner {
            assert!(*kind == "-" || names.contains(kind), "{kind} is missing");
        }
        for kind in names {
            assert!(kind == "Job" || inner.contains(kind), "nothing leads to {kind}");
        }
    }

    #[test]
    fn a_near_miss_has_its_name_and_place_and_what_is_new_passes() {
        for (spec, expected) in [
            (json!({"backofLimit": 1}), Some("spec.backofLimit backoffLimit")),
            (json!({"BackoffLimit": 1}), Some("spec.BackoffLimit backoffLimit")),
            (json!({"backoff_limit": 1}), Some("spec.backoff_limit backoffLimit")),
            (json!({"backoffLimitPerMonth": 1, "scheduling": {}, "podFinish": 1}), None),
            (json!({"template": {"sepc": {}}}), Some("spec.template.sepc spec")),
            (
                json!({"template": {"spec": {"contaners": []}}}),
                Some("spec.template.spec.contaners containers"),
            ),
            (
                json!({"template": {"spec": {"containers": [{}, {"imagePullPolcy": ""}]}}}),
                Some("spec.template.spec.containers[1].imagePullPolcy imagePullPolicy"),
            ),
            (
                json!({"template": {"spec": {"initContainers": [{"env": [{"vlaueFrom": {}}]}]}}}),
                Some("spec.template.spec.initContainers[0].env[0].vlaueFrom valueFrom"),
            ),
            (json!({"template": {"spec": {"nodeSelector": {"resource": "x"}, "gpus": 1, "x": 1}}}), None),
            (json!({"template": {"metadata": {"label": {}}}}), Some("spec.template.metadata.label labels")),
            (json!({"template": {"metadata": {"labels": {"lables": "x"}}}}), None),
            (json!({"template": {"spec": {"volumes": [{"mirrorDisk": {}}]}}}), None),
        ] {
            let mut meant = spec.clone();
            let (problems, _) = correct(meant.as_object_mut().unwrap());
            assert_eq!(meant == spec, problems.is_empty());
            let mut problems = problems.into_iter();
            let told = problems.next().map(|(field, message)| {
                let near = message.split("did you mean ").nth(1).unwrap();
                format!("{field} {}", near.trim_end_matches("?)"))
            });
            assert_eq!((told.as_deref(), problems.next()), (expected, None), "{spec}");
        }
    }
}
