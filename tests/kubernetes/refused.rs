//! What a cluster's admission refuses ends as `Error` with its words, at once and without a Job; others go on.

use std::process::Stdio;

use serde_json::{Value, json};

use super::home::{Site, fire, run_of, settled};
use crate::support::cluster::{cluster, until};

fn pod() -> Value {
    json!({"containers": [{"name": "main", "image": cluster().busybox, "command": ["true"]}]})
}

/// A policy of the API server's own, which lets no Job of the template `refused` into the namespace; deleted when
/// dropped.
struct Policy(String);

impl Policy {
    fn new(site: &Site<'_>) -> Self {
        let name = format!("only-known-tests-{}", site.instance);
        let namespace = json!({"matchLabels": {"kubernetes.io/metadata.name": site.namespace.name}});
        let rule = json!({"apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["jobs"]});
        let kind = |kind: &str, spec: Value| {
            cluster().create(&json!({
                "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
                "metadata": {"name": name}, "spec": spec,
            }));
        };
        kind(
            "ValidatingAdmissionPolicy",
            json!({
                "failurePolicy": "Fail",
                "matchConstraints": {"resourceRules": [rule]},
                "validations": [{
                    "expression": "!object.metadata.name.startsWith('refused')",
                    "message": "this test is not known here",
                }],
            }),
        );
        kind(
            "ValidatingAdmissionPolicyBinding",
            json!({
                "policyName": name, "validationActions": ["Deny"],
                "matchResources": {"namespaceSelector": namespace},
            }),
        );
        Self(name)
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        for kind in ["validatingadmissionpolicybinding", "validatingadmissionpolicy"] {
            drop(cluster().kubectl(&["delete", kind, &self.0]).stdin(Stdio::null()).output());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_admission_refuses_ends_with_its_words() {
    let site = Site::new(cluster(), &[("refused", json!({}), pod()), ("taken", json!({}), pod())]);
    let policy = Policy::new(&site);
    // The API server takes a while to follow its own policies.
    until("the policy is in force", || {
        let image = cluster().busybox.as_str();
        let namespace = site.namespace.name.as_str();
        let arguments =
            ["create", "job", "refused-a", "--image", image, "--namespace", namespace, "--dry-run=server"];
        let asked = cluster().kubectl(&arguments).stdin(Stdio::null()).output().unwrap();
        (!asked.status.success()).then_some(())
    });
    let server = site.serve();
    let (refused, taken) = (fire(&server, "refused").await, fire(&server, "taken").await);
    let run = run_of(&server, &refused, settled).await;
    assert_eq!(run["outcome"], "Error", "{run:#}");
    let reason = run["reason"].as_str().unwrap();
    assert!(reason.starts_with("refused: ") && reason.contains("this test is not known here"), "{reason}");
    assert_eq!(run_of(&server, &taken, settled).await["outcome"], "Passed");
    assert_eq!(site.jobs().len(), 1);
    drop(policy);
}
