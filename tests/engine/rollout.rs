//! Rollouts: what a state says.

mod gitops;

use kickoff::engine::rollout::{Standing, standing};
use kickoff::engine::watch::Kind;
use serde_json::{Value, json};

/// A kind of `apps/v1`.
pub(super) fn apps(kind: &str) -> Kind {
    Kind::parse("apps/v1", kind).unwrap()
}

/// A Deployment of three replicas whose revision 1 is there, with some of it changed.
pub(super) fn deployment(change: &Value) -> Value {
    let mut object = json!({
        "metadata": {
            "uid": "u-1", "namespace": "shop", "name": "web", "generation": 1,
            "annotations": {"deployment.kubernetes.io/revision": "1"},
        },
        "spec": {"replicas": 3, "template": {"spec": {"containers": [{"name": "web", "image": "web:1"}]}}},
        "status": {
            "observedGeneration": 1, "replicas": 3, "updatedReplicas": 3, "readyReplicas": 3,
            "availableReplicas": 3,
            "conditions": [
                {"type": "Available", "status": "True"},
                {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"},
            ],
        },
    });
    merge(&mut object, change);
    object
}

pub(super) fn stateful_set(change: &Value) -> Value {
    let mut object = json!({
        "metadata": {"uid": "u-2", "namespace": "shop", "name": "db", "generation": 2},
        "spec": {"replicas": 3, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}},
        "status": {
            "observedGeneration": 2, "replicas": 3, "readyReplicas": 3, "updatedReplicas": 3,
            "currentRevision": "db-b", "updateRevision": "db-b",
        },
    });
    merge(&mut object, change);
    object
}

fn daemon_set(change: &Value) -> Value {
    let mut object = json!({
        "metadata": {
            "uid": "u-3", "namespace": "shop", "name": "agent", "generation": 4,
            "annotations": {"deprecated.daemonset.template.generation": "3"},
        },
        "spec": {"updateStrategy": {"type": "RollingUpdate"}, "template": {"spec": {}}},
        "status": {
            "observedGeneration": 4, "desiredNumberScheduled": 5, "updatedNumberScheduled": 5,
            "numberAvailable": 5,
        },
    });
    merge(&mut object, change);
    object
}

/// A merge patch.
pub(super) fn merge(into: &mut Value, change: &Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (name, value) in change {
                if value.is_null() {
                    into.remove(name);
                } else {
                    merge(into.entry(name).or_insert(Value::Null), value);
                }
            }
        }
        (into, change) => *into = change.clone(),
    }
}

pub(super) fn progressing(reason: &str) -> Value {
    json!([{"type": "Progressing", "status": "False", "reason": reason, "message": "in their words"}])
}

/// `complete REVISION`, `failed REVISION: WHY`, `waiting: WHY`, with `(was REVISION)`, or `unknown: WHY`.
pub(super) fn said(standing: &Standing) -> String {
    match standing {
        Standing::Complete(revision) => format!("complete {}", revision.name),
        Standing::Failed { revision, reason, .. } => format!("failed {}: {reason}", revision.name),
        Standing::Waiting { why, was: None } => format!("waiting: {why}"),
        Standing::Waiting { why, was: Some(was) } => format!("waiting: {why} (was {})", was.name),
        Standing::Unknown(why) => format!("unknown: {why}"),
    }
}

#[track_caller]
fn check(kind: &str, object: &Value, wanted: &str) {
    assert_eq!(said(&standing(&apps(kind), object)), wanted, "{object:#}");
}

#[test]
fn a_deployment_is_asked_in_the_order_of_kubectl() {
    let still = "NewReplicaSetAvailable";
    for (change, wanted) in [
        (json!({}), "complete 1"),
        (json!({"metadata": {"generation": 2}}), "waiting: generation 2 has not been observed yet"),
        (json!({"status": null}), "waiting: generation 1 has not been observed yet"),
        // Not observed yet comes before the failure of the one before.
        (
            json!({"metadata": {"generation": 2}, "status": {"conditions": progressing("ProgressDeadlineExceeded")}}),
            "waiting: generation 2 has not been observed yet",
        ),
        (
            json!({"status": {"conditions": progressing("ProgressDeadlineExceeded"), "updatedReplicas": 1}}),
            "failed 1: in their words",
        ),
        (
            json!({"status": {"conditions": progressing("ReplicaSetUpdated"), "updatedReplicas": 1}}),
            "waiting: 1 of 3 replicas are updated",
        ),
        (
            json!({"status": {"conditions": progressing("ReplicaSetUpdated"), "replicas": 4}}),
            "waiting: 1 old replicas are to go",
        ),
        (
            json!({"status": {"conditions": progressing("ReplicaSetUpdated"), "availableReplicas": null}}),
            "waiting: 0 of 3 replicas are available",
        ),
        // A pod went away: the rollout was complete before.
        (
            json!({"status": {"conditions": progressing(still), "availableReplicas": 2}}),
            "waiting: 2 of 3 replicas are available (was 1)",
        ),
        (json!({"spec": {"replicas": 5}}), "waiting: 3 of 5 replicas are updated (was 1)"),
        (
            json!({"spec": {"replicas": 0}, "status": {"replicas": null, "updatedReplicas": null, "availableReplicas": null}}),
            "complete 1",
        ),
        (json!({"metadata": {"annotations": null}}), "waiting: it has no revision yet"),
        (
            json!({"metadata": {"annotations": {"deployment.kubernetes.io/revision": "x"}}}),
            "waiting: it has no revision yet",
        ),
        (json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}), "waiting: it is being deleted"),
        (json!({"metadata": {"generation": null}}), "unknown: it has no generation"),
        // Nonsense counts as nothing.
        (json!({"status": {"updatedReplicas": "3"}}), "waiting: 0 of 3 replicas are updated (was 1)"),
        (
            json!({"status": {"conditions": {"a": 1}, "availableReplicas": -3}}),
            "waiting: 0 of 3 replicas are available",
        ),
    ] {
        check("Deployment", &deployment(&change), wanted);
    }
    for nonsense in [json!(null), json!([]), json!("x"), json!({"metadata": []})] {
        check("Deployment", &nonsense, "unknown: it has no generation");
    }
}

#[test]
fn a_stateful_set_is_asked_in_the_order_of_kubectl() {
    let partition = |partition: u64| json!({"updateStrategy": {"rollingUpdate": {"partition": partition}}});
    for (change, wanted) in [
        (json!({}), "complete db-b"),
        (json!({"status": {"observedGeneration": 1}}), "waiting: generation 2 has not been observed yet"),
        (json!({"status": {"readyReplicas": 2}}), "waiting: 2 of 3 replicas are ready"),
        (
            json!({"status": {"updatedReplicas": 2, "currentRevision": "db-a"}}),
            "waiting: 2 of 3 replicas are updated",
        ),
        (
            json!({"spec": partition(2), "status": {"updatedReplicas": 1, "currentRevision": "db-a"}}),
            "complete db-b",
        ),
        (
            json!({"spec": partition(3), "status": {"updatedReplicas": 0, "currentRevision": "db-a"}}),
            "waiting: its partition holds all back",
        ),
        (
            json!({"spec": {"updateStrategy": {"rollingUpdate": null}}, "status": {"currentRevision": "db-a"}}),
            "waiting: 3 of 3 replicas are updated",
        ),
        (
            json!({"spec": {"updateStrategy": {"type": "OnDelete"}}}),
            "unknown: only a rolling update tells how far it is",
        ),
        (json!({"status": {"updateRevision": null}}), "waiting: it has no revision yet"),
    ] {
        check("StatefulSet", &stateful_set(&change), wanted);
    }
}

#[test]
fn a_daemon_set_is_asked_in_the_order_of_kubectl() {
    for (change, wanted) in [
        (json!({}), "complete 3"),
        (json!({"metadata": {"generation": 5}}), "waiting: generation 5 has not been observed yet"),
        (json!({"status": {"updatedNumberScheduled": 4}}), "waiting: 4 of 5 pods are updated"),
        (json!({"status": {"numberAvailable": null}}), "waiting: 0 of 5 pods are available"),
        (
            json!({"spec": {"updateStrategy": {"type": "OnDelete"}}}),
            "unknown: only a rolling update tells how far it is",
        ),
    ] {
        check("DaemonSet", &daemon_set(&change), wanted);
    }
    let plain = said(&standing(&apps("DaemonSet"), &daemon_set(&json!({"metadata": {"annotations": null}}))));
    let restart = json!({"metadata": {"annotations": null},
        "spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}}});
    let restarted = said(&standing(&apps("DaemonSet"), &daemon_set(&restart)));
    assert!(plain.starts_with("complete template-") && restarted.starts_with("complete template-"));
    assert_ne!(plain, restarted);
}
