//! Rollouts of Argo and Flux, and of kinds that only say what is common.

use kickoff::engine::rollout::standing;
use kickoff::engine::watch::{Change, Kind};
use serde_json::{Value, json};

use super::super::watch::{Watcher, rollouts, said as told};
use super::{merge, said};

fn kind(api_version: &str, name: &str) -> Kind {
    Kind::parse(api_version, name).unwrap()
}

#[track_caller]
fn check(kind: &Kind, object: &Value, cases: &[(Value, &str)]) {
    for (change, wanted) in cases {
        let mut object = object.clone();
        merge(&mut object, change);
        assert_eq!(said(&standing(kind, &object)), *wanted, "{object:#}");
    }
    let mut deleted = object.clone();
    merge(&mut deleted, &json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}));
    assert_eq!(said(&standing(kind, &deleted)), "waiting: it is being deleted");
    for nonsense in
        [json!(null), json!([]), json!({"metadata": 1, "status": "x"}), json!({"status": {"history": 1}})]
    {
        let standing = said(&standing(kind, &nonsense));
        assert!(standing.starts_with("waiting") || standing.starts_with("unknown"), "{standing}");
    }
}

#[test]
fn an_application_of_argo_cd_is_synced_and_healthy() {
    let object = json!({
        "metadata": {"generation": 41},
        "status": {
            "sync": {"status": "Synced", "revision": "abc123"},
            "health": {"status": "Healthy"},
            "operationState": {
                "phase": "Succeeded", "message": "successfully synced", "syncResult": {"revision": "abc123"},
                "operation": {"sync": {"revision": "abc123"}},
            },
        },
    });
    check(
        &kind("argoproj.io/v1alpha1", "Application"),
        &object,
        &[
            (json!({}), "complete abc123"),
            (json!({"status": {"sync": {"status": "OutOfSync", "revision": "def456"}}}), "complete abc123"),
            (json!({"status": {"health": {"status": "Progressing"}}}), "waiting: its health is Progressing"),
            (json!({"status": {"health": null}}), "waiting: its health is not known yet"),
            (
                json!({"status": {"health": {"status": "Degraded", "message": "no image"}}}),
                "failed abc123: no image",
            ),
            (
                json!({"status": {"operationState": {"phase": "Running"}}}),
                "waiting: its operation is Running",
            ),
            (
                json!({"status": {"operationState": {"phase": "Failed", "message": "hook failed", "syncResult": null}}}),
                "failed abc123: hook failed",
            ),
            (
                json!({"status": {"operationState": {"syncResult": {"revision": "", "revisions": ["a", "b"]}}}}),
                "complete a,b",
            ),
            (json!({"status": {"operationState": null}}), "waiting: nothing was synced yet"),
        ],
    );
}

#[test]
fn a_rollout_of_argo_is_over_when_its_new_pods_are_its_stable_ones() {
    let object = json!({
        "metadata": {"generation": 3},
        "status": {
            "observedGeneration": "3", "phase": "Healthy", "currentPodHash": "6b9c", "stableRS": "6b9c",
        },
    });
    check(
        &kind("argoproj.io/v1alpha1", "Rollout"),
        &object,
        &[
            (json!({}), "complete 6b9c"),
            (
                json!({"status": {"observedGeneration": "2"}}),
                "waiting: generation 3 has not been observed yet",
            ),
            (json!({"status": {"observedGeneration": 3}}), "waiting: generation 3 has not been observed yet"),
            (
                json!({"status": {"phase": "Paused", "message": "CanaryPauseStep", "stableRS": "5a8b"}}),
                "waiting: CanaryPauseStep",
            ),
            (json!({"status": {"phase": "Healthy", "stableRS": "5a8b"}}), "waiting: it is Healthy"),
            (
                json!({"status": {"phase": "Degraded", "message": "RolloutAborted: metric", "stableRS": "5a8b"}}),
                "failed 6b9c: RolloutAborted: metric",
            ),
            // A pod of the stable ones is away.
            (json!({"status": {"phase": "Progressing"}}), "waiting: it is Progressing (was 6b9c)"),
            (json!({"status": {"phase": "Degraded"}}), "waiting: it is Degraded (was 6b9c)"),
            (json!({"status": {"currentPodHash": null}}), "waiting: it has no pods yet"),
        ],
    );
}

fn ready(status: &str, reason: &str, more: &Value) -> Value {
    let mut condition =
        json!({"type": "Ready", "status": status, "reason": reason, "message": "in their words"});
    merge(&mut condition, more);
    json!({"status": {"conditions": [condition]}})
}

#[test]
fn a_kustomization_of_flux_is_ready_with_what_it_applied() {
    let mut object = json!({
        "metadata": {"generation": 2},
        "status": {
            "observedGeneration": 2, "lastAppliedRevision": "main@sha1:aaaa",
            "lastAttemptedRevision": "main@sha1:bbbb",
        },
    });
    merge(&mut object, &ready("True", "ReconciliationSucceeded", &json!({})));
    check(
        &kind("kustomize.toolkit.fluxcd.io/v1", "Kustomization"),
        &object,
        &[
            (json!({}), "complete main@sha1:aaaa"),
            (json!({"metadata": {"generation": 3}}), "waiting: generation 3 has not been observed yet"),
            (ready("Unknown", "Progressing", &json!({})), "waiting: in their words"),
            (ready("False", "HealthCheckFailed", &json!({})), "failed main@sha1:bbbb: in their words"),
            (ready("False", "DependencyNotReady", &json!({})), "waiting: in their words"),
            (json!({"status": {"lastAppliedRevision": null}}), "waiting: in their words"),
            (
                json!({"status": {"observedGeneration": -1, "conditions": null}}),
                "waiting: it is not Ready yet",
            ),
        ],
    );
    // One that fails may say only in its condition what it observed.
    let mut failed = object.clone();
    merge(&mut failed, &json!({"metadata": {"generation": 3}}));
    merge(&mut failed, &ready("False", "BuildFailed", &json!({"observedGeneration": 3})));
    let kind = kind("kustomize.toolkit.fluxcd.io/v1", "Kustomization");
    assert_eq!(said(&standing(&kind, &failed)), "failed main@sha1:bbbb: in their words");
}

#[test]
fn a_helm_release_of_flux_is_ready_with_its_release() {
    let mut object = json!({
        "metadata": {"generation": 4},
        "status": {
            "observedGeneration": 4, "lastAttemptedRevision": "6.5.1",
            "history": [
                {"chartVersion": "6.5.0", "version": 7, "status": "deployed"},
                {"chartVersion": "6.4.0", "version": 6, "status": "superseded"},
            ],
        },
    });
    merge(&mut object, &ready("True", "UpgradeSucceeded", &json!({})));
    check(
        &kind("helm.toolkit.fluxcd.io/v2", "HelmRelease"),
        &object,
        &[
            (json!({}), "complete 6.5.0@7"),
            (ready("False", "UpgradeFailed", &json!({})), "failed 6.5.1@generation-4: in their words"),
            (ready("False", "SourceNotReady", &json!({})), "waiting: in their words"),
            (json!({"status": {"history": null}}), "waiting: in their words"),
            (json!({"status": {"history": [{"version": "7"}]}}), "waiting: in their words"),
        ],
    );
}

#[test]
fn of_any_other_kind_the_common_conditions_tell() {
    let mut object = json!({"metadata": {"generation": 5}, "status": {"observedGeneration": 5}});
    merge(&mut object, &ready("True", "Issued", &json!({})));
    let stalled = json!({"status": {"conditions": [
        {"type": "Stalled", "status": "True", "message": "no such issuer"}, {"type": "Ready", "status": "False"},
    ]}});
    let going = json!({"status": {"conditions": [
        {"type": "Reconciling", "status": "True", "message": "on it"}, {"type": "Ready", "status": "True"},
    ]}});
    check(
        &kind("example.com/v1", "Certificate"),
        &object,
        &[
            (json!({}), "complete 5"),
            (json!({"status": {"observedGeneration": 4}}), "waiting: generation 5 has not been observed yet"),
            (json!({"metadata": {"generation": null}}), "unknown: it has no generation"),
            (ready("False", "Issuing", &json!({})), "waiting: in their words"),
            (ready("Unknown", "Issuing", &json!({})), "waiting: in their words"),
            (stalled, "failed 5: no such issuer"),
            (going, "waiting: on it"),
            (json!({"status": {"conditions": null}}), "complete 5"),
            (json!({"status": null}), "unknown: it says neither observedGeneration nor Ready"),
        ],
    );
}

#[test]
fn each_revision_of_an_application_fires_once() {
    let synced = |revision: &str, health: &str| {
        json!({
            "metadata": {"uid": "a-1", "namespace": "argocd", "name": "shop", "generation": 1},
            "status": {
                "health": {"status": health},
                "operationState": {"phase": "Succeeded", "syncResult": {"revision": revision}},
            },
        })
    };
    let mut watcher = Watcher::new(kind("argoproj.io/v1alpha1", "Application"), rollouts());
    assert!(watcher.list(&[&synced("1111111", "Healthy")]).is_empty());
    let mut events = Vec::new();
    for (revision, health) in [
        ("1111111", "Degraded"),
        ("1111111", "Healthy"),
        ("2222222", "Progressing"),
        ("2222222", "Degraded"),
        ("2222222", "Degraded"),
        ("2222222", "Healthy"),
        // Back to the commit before, whose name happens to be a lower number.
        ("1111111", "Healthy"),
    ] {
        events.extend(watcher.sees(&synced(revision, health)));
    }
    assert_eq!(told(&events), ["RolloutFailed 2222222", "RolledOut 2222222", "RolledOut 1111111"]);
    assert_eq!(events[0].attributes.event_type, Change::RolloutFailed.event_type());
}
