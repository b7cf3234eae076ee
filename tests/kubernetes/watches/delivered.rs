//! What kinds of Argo and Flux say while they deliver, step by step as their controllers write it: each revision fires
//! once, and nothing between fires.

use serde_json::{Value, json};

use super::{QUIET, WATCHED, check, definition, install, ready, site};
use crate::support::cluster::cluster;

/// A kind of somebody else's controller.
struct Controlled {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    /// Whether its status is one of its own.
    own_status: bool,
}

impl Controlled {
    /// Makes an object, takes each of these steps, a spec, a status or both, and waits for these events; another start
    /// of the server tells none again.
    async fn check(&self, steps: &[Value], wanted: &[&str]) {
        let Self { group, version, kind, plural, own_status } = *self;
        let definition = definition(group, version, kind, plural, own_status);
        install(&definition);
        let api_version = format!("{group}/{version}");
        let site = site(|namespace| {
            json!({"kubernetes": {
                "apiVersion": api_version, "kind": kind, "namespaces": [namespace],
                "change": ["RolledOut", "RolloutFailed"],
            }})
        });
        let server = site.serve();
        server.saying(WATCHED);
        site.make(&api_version, kind, "shop");
        let object = format!("{plural}.{group}/shop");
        for step in steps {
            if let Some(spec) = step.get("spec") {
                site.merge(&object, &json!({"spec": spec}), false);
            }
            if let Some(status) = step.get("status") {
                site.merge(&object, &json!({"status": status}), own_status);
            }
            // Each is to be seen: of states that come close together only the last one is looked at.
            tokio::time::sleep(QUIET).await;
        }
        check(&site, &server, wanted).await;
        server.kill();
        let server = site.serve();
        check(&site, &server, wanted).await;
        let name = definition["metadata"]["name"].as_str().unwrap();
        cluster().run(&["delete", "crd", name, "--wait=false"]);
    }
}

/// Revisions in turn, and whether each was good; and what fires of them.
const REVISIONS: [(&str, bool); 5] =
    [("one", true), ("one", true), ("two", false), ("two", true), ("one", true)];
const FIRED: [&str; 4] =
    ["shop rolledout one", "shop rolloutfailed two", "shop rolledout two", "shop rolledout one"];

fn condition(kind: &str, status: &str, reason: &str, generation: u64, message: &str) -> Value {
    json!({
        "type": kind, "status": status, "reason": reason, "observedGeneration": generation, "message": message,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    })
}

/// An action goes on: what it observed it says in its conditions only.
fn acting(generation: u64, action: &str) -> Value {
    let message = format!("Running '{action}' action with timeout of 5m0s");
    let of = |kind: &str, status: &str| condition(kind, status, "Progressing", generation, &message);
    json!([of("Reconciling", "True"), of("Ready", "Unknown")])
}

/// What came of it, which Ready repeats.
fn came(kind: &str, status: &str, reason: &str, generation: u64) -> Value {
    let message = format!("Helm {reason} for release shop/shop with chart shop");
    let ready = if kind == "Remediated" { "False" } else { status };
    json!([
        condition("Ready", ready, reason, generation, &message),
        condition(kind, status, reason, generation, &message),
    ])
}

fn release(chart: &str, version: u64, status: &str) -> Value {
    json!({
        "name": "shop", "namespace": "shop", "chartName": "shop", "chartVersion": chart, "version": version,
        "status": status, "digest": format!("sha256:{version}"), "configDigest": "sha256:0",
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn each_revision_of_an_application_fires_once() {
    let kind = Controlled {
        group: "argoproj.io",
        version: "v1alpha1",
        kind: "Application",
        plural: "applications",
        own_status: false,
    };
    let steps = REVISIONS.map(|(revision, good)| {
        let health = if good { "Healthy" } else { "Degraded" };
        json!({"status": {
            "health": {"status": health},
            "operationState": {"phase": "Succeeded", "syncResult": {"revision": revision}},
        }})
    });
    kind.check(&steps, &FIRED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_revision_of_a_kustomization_fires_once() {
    let kind = Controlled {
        group: "kustomize.toolkit.fluxcd.io",
        version: "v1",
        kind: "Kustomization",
        plural: "kustomizations",
        own_status: true,
    };
    let steps = REVISIONS.map(|(revision, good)| {
        let mut step = if good { ready("True", "Ok") } else { ready("False", "HealthCheckFailed") };
        step["status"]["observedGeneration"] = json!(1);
        step["status"]["lastAttemptedRevision"] = json!(revision);
        if good {
            step["status"]["lastAppliedRevision"] = json!(revision);
        }
        step
    });
    kind.check(&steps, &FIRED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_release_of_a_helm_release_fires_once() {
    let kind = Controlled {
        group: "helm.toolkit.fluxcd.io",
        version: "v2",
        kind: "HelmRelease",
        plural: "helmreleases",
        own_status: true,
    };
    let installed = json!({"status": {
        "observedGeneration": 1, "conditions": came("Released", "True", "InstallSucceeded", 1),
        "history": [release("6.5.0", 1, "deployed")],
    }});
    let stalled = condition("Stalled", "True", "RetriesExceeded", 2, "Failed to upgrade after 1 attempt(s)");
    let mut exhausted = came("Remediated", "True", "RollbackSucceeded", 2);
    exhausted.as_array_mut().unwrap().insert(0, stalled);
    let steps = [
        json!({"status": {"observedGeneration": -1}}),
        json!({"status": {
            "conditions": [condition("Ready", "False", "SourceNotReady", 1, "HelmChart is not ready")],
        }}),
        json!({"status": {
            "conditions": acting(1, "install"), "lastAttemptedRevision": "6.5.0", "lastAttemptedGeneration": 1,
        }}),
        installed.clone(),
        // It is looked at again, and nothing is to be done.
        installed,
        json!({
            "spec": {"size": 2},
            "status": {
                "conditions": acting(2, "upgrade"), "lastAttemptedRevision": "6.5.1", "lastAttemptedGeneration": 2,
            },
        }),
        json!({"status": {
            "conditions": came("Released", "False", "UpgradeFailed", 2),
            "history": [release("6.5.1", 2, "failed"), release("6.5.0", 1, "superseded")], "upgradeFailures": 1,
        }}),
        // What is rolled back to is no rollout of what was attempted.
        json!({"status": {
            "conditions": came("Remediated", "True", "RollbackSucceeded", 2),
            "history": [
                release("6.5.0", 3, "deployed"), release("6.5.1", 2, "failed"), release("6.5.0", 1, "superseded"),
            ],
        }}),
        json!({"status": {"observedGeneration": 2, "conditions": exhausted}}),
        json!({
            "spec": {"size": 3},
            "status": {"conditions": acting(3, "upgrade"), "lastAttemptedGeneration": 3, "upgradeFailures": null},
        }),
        json!({"status": {
            "observedGeneration": 3, "conditions": came("Released", "True", "UpgradeSucceeded", 3),
            "history": [release("6.5.1", 4, "deployed"), release("6.5.0", 3, "superseded")],
        }}),
    ];
    kind.check(
        &steps,
        &["shop rolledout 6.5.0@1", "shop rolloutfailed 6.5.1@generation-2", "shop rolledout 6.5.1@4"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_promotion_of_a_rollout_fires_once() {
    let kind = Controlled {
        group: "argoproj.io",
        version: "v1alpha1",
        kind: "Rollout",
        plural: "rollouts",
        own_status: true,
    };
    let status = |generation: &str, phase: &str, message: Option<&str>, current: &str, stable: &str| {
        let pods = json!({"currentPodHash": current, "stableRS": stable, "blueGreen": {}, "canary": {}});
        let mut status = json!({"observedGeneration": generation, "phase": phase, "message": message});
        status.as_object_mut().unwrap().extend(pods.as_object().unwrap().clone());
        json!({ "status": status })
    };
    let changed = |size: u64, mut step: Value| {
        step["spec"] = json!({"size": size});
        step
    };
    let more = Some("more replicas need to be updated");
    let becoming = Some("updated replicas are still becoming available");
    let paused = Some("CanaryPauseStep");
    let aborted = Some("RolloutAborted: Rollout aborted update to revision 3");
    let steps = [
        // The first pods are stable once all are there.
        status("1", "Progressing", more, "6b9c", ""),
        status("1", "Healthy", None, "6b9c", "6b9c"),
        // The spec is another, and nobody looked at it yet.
        json!({"spec": {"size": 2}}),
        status("2", "Progressing", more, "7d4f", "6b9c"),
        status("2", "Paused", paused, "7d4f", "6b9c"),
        status("2", "Progressing", more, "7d4f", "6b9c"),
        status("2", "Healthy", None, "7d4f", "7d4f"),
        // A scale.
        changed(3, status("3", "Progressing", becoming, "7d4f", "7d4f")),
        status("3", "Healthy", None, "7d4f", "7d4f"),
        changed(4, status("4", "Paused", paused, "8e2a", "7d4f")),
        status("4", "Degraded", aborted, "8e2a", "7d4f"),
        // It is tried again.
        status("4", "Progressing", more, "8e2a", "7d4f"),
        status("4", "Healthy", None, "8e2a", "8e2a"),
    ];
    kind.check(
        &steps,
        &["shop rolledout 6b9c", "shop rolledout 7d4f", "shop rolloutfailed 8e2a", "shop rolledout 8e2a"],
    )
    .await;
}
