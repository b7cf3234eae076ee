//! What the API server takes for a definition, and what it refuses as `kickoff check` does.

use serde_json::{Value, json};

use super::{feed, hook, known, list, trigger};
use crate::shipped::crds::{as_resource, resources};
use crate::support::cluster::Cluster;
use crate::support::kickoff;

#[test]
fn the_api_server_takes_everything_that_is_shipped() {
    let cluster = known();
    let namespace = cluster.namespace();
    let mut count = 0;
    for (folder, documents) in resources() {
        let mut documents: Vec<Value> = documents.into_iter().map(as_resource).collect();
        for document in &mut documents {
            document["metadata"]["namespace"] = json!(namespace.name);
        }
        let arguments = ["apply", "--dry-run=server", "--validate=strict", "-f", "-"];
        let output = feed(cluster, &arguments, &list(&documents));
        assert!(output.status.success(), "{folder}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stderr.is_empty(), "{folder} warns: {}", String::from_utf8_lossy(&output.stderr));
        count += documents.len();
    }
    assert!(count > 20, "only {count}");
}

#[test]
fn the_api_server_refuses_what_check_refuses() {
    let cluster = known();
    let namespace = cluster.namespace();
    let good = trigger("good", "smoke");
    let rule = |rule: Value| json!({"match": [rule]});
    let source = |source: Value| json!({"sources": [source]});
    let deployments = json!({"apiVersion": "apps/v1", "kind": "Deployment"});
    let watch = |more: Value| {
        let mut config = deployments.clone();
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"sources": [{"kubernetes": config}]})
    };
    for (change, wanted) in [
        (json!({"suspnd": true}), "unknown field \"spec.suspnd\""),
        (json!({"suspend": "no"}), "must be of type boolean"),
        (json!({"runs": []}), "should have at least 1 items"),
        (rule(json!({})), "needs exactly one of all, any, not, cel and path"),
        (rule(json!({"path": "a", "exists": true, "cel": "true"})), "needs exactly one of"),
        (rule(json!({"all": [{"any": [], "not": {"cel": "true"}}]})), "needs exactly one of"),
        (source(json!({})), "should have at least 1 properties"),
        (source(json!({"verdict": {}})), "needs triggers (any of them) or all (each of them)"),
        (source(json!({"nats": {"subject": "a", "stream": "A", "queue": "q"}})), "queue goes without stream"),
        (source(json!({"schedule": {"cron": "@daily", "jitter": "1 hour"}})), "should match"),
        (watch(json!({"change": ["Condition"]})), "condition goes with change: [Condition]"),
        (watch(json!({"change": ["Change"]})), "Unsupported value: \"Change\""),
        (watch(json!({"change": []})), "should have at least 1 items"),
    ] {
        let mut bad = good.clone();
        bad["spec"].as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        refused(cluster, &namespace.name, &bad, wanted);
    }
    let long = trigger("a-name-of-more-than-thirty-characters", "smoke");
    refused(cluster, &namespace.name, &long, "may have up to 30 lower-case letters");
    refused(cluster, &namespace.name, &trigger("with.dot", "smoke"), "may have up to 30 lower-case letters");
    for (pointer, value, wanted) in [
        ("/spec/secrets/0", json!({"env": "GITHUB_SECRET"}), "unknown field \"spec.secrets[0].env\""),
        ("/spec/secrets", json!([]), "should have at least 1 items"),
        ("/spec/provider", json!("gitlab"), "gitlab needs auth.scheme"),
        ("/spec/auth", json!({"algorithm": "sha256"}), "Unsupported value"),
    ] {
        let mut bad = hook();
        *bad.pointer_mut(pointer).unwrap() = value;
        refused(cluster, &namespace.name, &bad, wanted);
    }
    let mut forks = hook();
    forks["spec"]["forks"] = json!("Allow");
    refused(cluster, &namespace.name, &forks, "forks goes with github");
    let mut selector = hook();
    selector["spec"]["allowedNamespaces"] = json!({"from": "Selector"});
    refused(cluster, &namespace.name, &selector, "selector goes with from: Selector");
}

/// Whether the API server refuses an object so, and `kickoff check` the same in a file.
fn refused(cluster: &Cluster, namespace: &str, object: &Value, wanted: &str) {
    let output = feed(cluster, &["--namespace", namespace, "apply", "--dry-run=server", "-f", "-"], object);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains(wanted), "{wanted:?}: {object}: {said}");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bad.yaml"), object.to_string()).unwrap();
    let check = kickoff().arg("check").arg(folder.path()).output().unwrap();
    // A secret of the server is no mistake in a file.
    let only_there = wanted.contains("[0].env");
    assert_eq!(check.status.code(), Some(i32::from(!only_there)), "{object}");
}
