//! Objects that are made, changed and gone, of kinds with and without generations.

use kickoff::engine::watch::{Change, Kind, Served, is_own};
use serde_json::{Value, json};

use super::super::rollout::{apps, deployment, merge};
use super::{Watcher, change, rollouts, said};

fn kind(api_version: &str, kind: &str) -> Kind {
    Kind::parse(api_version, kind).unwrap()
}

fn all() -> Vec<kickoff::engine::watch::Want> {
    vec![change(Change::Created), change(Change::Updated), change(Change::Deleted)]
}

fn config_map(change: &Value) -> Value {
    let mut object = json!({
        "metadata": {"uid": "c-1", "namespace": "shop", "name": "settings", "resourceVersion": "10"},
        "data": {"mode": "fast", "log.level": "info"},
    });
    merge(&mut object, change);
    object
}

#[test]
fn a_config_map_is_made_changed_and_gone() {
    let mut watcher = Watcher::new(kind("v1", "ConfigMap"), all());
    assert!(watcher.list(&[]).is_empty());
    let made = config_map(&json!({}));
    let events = watcher.sees(&made);
    assert_eq!(said(&events), ["Created"]);
    let attributes = &events[0].attributes;
    assert_eq!(
        (attributes.id.as_str(), attributes.source.as_str(), attributes.event_type.as_str()),
        ("c-1.1.created", "/kubernetes/core/ConfigMap", "dev.kickoff.kubernetes.created")
    );
    assert_eq!(attributes.subject.as_deref(), Some("shop/settings"));
    for (change, wanted) in [
        (json!({}), vec![]),
        (json!({"metadata": {"resourceVersion": "11", "managedFields": [{"manager": "x"}]}}), vec![]),
        (json!({"status": {"seen": 1}}), vec![]),
        (json!({"metadata": {"annotations": {"control-plane.alpha.kubernetes.io/leader": "me"}}}), vec![]),
        (json!({"data": {"mode": "slow"}}), vec!["Updated data.mode"]),
        (json!({"data": {"mode": null, "log.level": "debug"}}), vec!["Updated data.mode data['log.level']"]),
        (
            json!({"metadata": {"labels": {"a": "b"}}}),
            vec!["Updated data.mode data['log.level'] metadata.labels.a"],
        ),
    ] {
        assert_eq!(said(&watcher.sees(&config_map(&change))), wanted, "{change}");
    }
    let events = watcher.loses(&made);
    assert_eq!(said(&events), ["Deleted"]);
    assert_eq!(events[0].data().unwrap()["object"]["data"]["mode"], "fast");
    assert!(watcher.loses(&made).is_empty());
    assert_eq!(watcher.records.len(), 2, "{:?}", watcher.records);
}

#[test]
fn of_a_kind_with_generations_only_they_count() {
    let mut watcher = Watcher::new(apps("Deployment"), all());
    let object = |change: Value| deployment(&change);
    assert!(watcher.list(&[&object(json!({}))]).is_empty());
    for (change, wanted) in [
        (json!({"status": {"readyReplicas": 1}, "metadata": {"labels": {"a": "b"}}}), vec![]),
        (json!({"metadata": {"generation": 2}, "spec": {"replicas": 5}}), vec!["Updated spec.replicas"]),
        // An annotation of a Deployment counts as a generation.
        (
            json!({"metadata": {"generation": 3, "annotations": {"note": "1"}}, "spec": {"replicas": 5}}),
            vec![],
        ),
        (
            json!({"metadata": {"generation": 4}, "spec": {"replicas": 5, "template": {"spec": {"containers": []}}}}),
            vec!["Updated spec.template.spec.containers"],
        ),
    ] {
        assert_eq!(said(&watcher.sees(&object(change.clone()))), wanted, "{change}");
    }
}

#[test]
fn what_happens_while_nobody_watches_is_told_by_the_next_list() {
    let mut watcher = Watcher::new(kind("v1", "ConfigMap"), all());
    let other = config_map(&json!({"metadata": {"uid": "c-2", "name": "other"}}));
    assert!(watcher.list(&[&config_map(&json!({})), &other]).is_empty());
    // A list tells nothing twice.
    assert!(watcher.list(&[&config_map(&json!({})), &other]).is_empty());
    watcher.restart();
    let again = config_map(&json!({"metadata": {"uid": "c-3"}}));
    let changed = config_map(&json!({"metadata": {"uid": "c-2", "name": "other"}, "data": {"mode": "slow"}}));
    let events = watcher.list(&[&again, &changed]);
    assert_eq!(said(&events), ["Created", "Updated data.mode", "Deleted"]);
    // Of the one that went only its mark is known.
    let data = events[2].data().unwrap();
    let metadata = json!({"namespace": "shop", "name": "settings", "uid": "c-1"});
    assert_eq!(data["object"], json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}));
    assert_eq!(data["leftOut"][0], "metadata.labels");
    watcher.restart();
    assert!(watcher.list(&[&again, &changed]).is_empty());
}

#[test]
fn a_trigger_that_comes_later_begins_with_what_is_there() {
    let mut watcher = Watcher::new(kind("v1", "ConfigMap"), vec![change(Change::Deleted)]);
    watcher.list(&[&config_map(&json!({}))]);
    watcher.wants = super::wants(all());
    watcher.restart();
    assert!(watcher.list(&[&config_map(&json!({"data": {"mode": "slow"}}))]).is_empty());
    assert_eq!(said(&watcher.sees(&config_map(&json!({})))), ["Updated data.mode"]);
    // Nobody wants it for a while: what was then is old.
    watcher.wants = super::wants(vec![change(Change::Deleted)]);
    watcher.list(&[&config_map(&json!({"data": {"mode": "slow"}}))]);
    watcher.wants = super::wants(all());
    assert!(watcher.list(&[&config_map(&json!({"data": {"mode": "slower"}}))]).is_empty());
}

#[test]
fn another_version_of_a_kind_says_the_same_in_other_words() {
    let mut watcher = Watcher::new(kind("example.com/v1", "Widget"), all());
    let widget = |generation: u32, spec: Value| {
        json!({
            "metadata": {"uid": "w-1", "namespace": "shop", "name": "w", "generation": generation}, "spec": spec,
        })
    };
    assert!(watcher.list(&[&widget(1, json!({"size": 1}))]).is_empty());
    watcher.reads_as(kind("example.com/v2", "Widget"));
    assert!(watcher.list(&[&widget(2, json!({"sizes": {"width": 1}}))]).is_empty());
    let events = watcher.sees(&widget(3, json!({"sizes": {"width": 2}})));
    assert_eq!(said(&events), ["Updated spec.sizes.width"]);
}

#[test]
fn what_can_not_be_read_is_not_gone() {
    let mut watcher = Watcher::new(kind("v1", "ConfigMap"), all());
    watcher.list(&[]);
    assert_eq!(said(&watcher.sees(&config_map(&json!({})))), ["Created"]);
    assert!(watcher.lists_unread("c-1").is_empty());
    assert_eq!(said(&watcher.sees(&config_map(&json!({"data": {"mode": "slow"}})))), ["Updated data.mode"]);
    assert_eq!(said(&watcher.lists_unread("c-2")), ["Deleted"]);
}

#[test]
fn a_revision_that_was_given_up_may_fail_anew() {
    let mut watcher = Watcher::new(kind("kustomize.toolkit.fluxcd.io/v1", "Kustomization"), rollouts());
    let object = |applied: &str, attempted: &str, ready: &str| {
        json!({
            "metadata": {"uid": "k-1", "namespace": "shop", "name": "k", "generation": 1},
            "status": {
                "observedGeneration": 1, "lastAppliedRevision": applied, "lastAttemptedRevision": attempted,
                "conditions": [{"type": "Ready", "status": ready, "reason": "ReconciliationFailed"}],
            },
        })
    };
    watcher.list(&[]);
    for (applied, attempted, ready, wanted) in [
        ("a", "a", "True", vec!["RolledOut a"]),
        ("a", "b", "False", vec!["RolloutFailed b"]),
        ("a", "b", "False", vec![]),
        ("a", "a", "True", vec![]),
        ("a", "b", "False", vec!["RolloutFailed b"]),
        ("b", "b", "True", vec!["RolledOut b"]),
    ] {
        let told = said(&watcher.sees(&object(applied, attempted, ready)));
        assert_eq!(told, wanted, "{applied} {attempted} {ready}");
    }
}

#[test]
fn what_a_cluster_makes_for_a_run_is_our_own() {
    let owned = |kind: &str, name: &str| json!({"metadata": {"uid": "u", "name": "n", "ownerReferences": [{"kind": kind, "name": name}]}});
    let labels = json!({"app.kubernetes.io/managed-by": "kickoff", "kickoff.dev/instance": "another"});
    for (object, own) in [
        (json!({"metadata": {"uid": "u", "name": "n", "labels": labels}}), true),
        (json!({"metadata": {"uid": "u", "name": "n", "labels": {"kickoff.dev/instance": "x"}}}), false),
        (owned("Pod", "smoke-0123456789abcdef0123-1-x7k2p"), true),
        (owned("Job", "smoke-0123456789abcdef0123-1"), true),
        (owned("ReplicaSet", "smoke-0123456789abcdef0123-1"), false),
        (owned("Job", "smoke-2"), false),
        (json!({"metadata": {"ownerReferences": "none"}}), false),
    ] {
        assert_eq!(is_own(&object), own, "{object}");
    }
}

#[test]
fn what_a_secret_holds_is_in_no_event_and_no_record() {
    let secret = |version: &str, password: &str| {
        json!({
            "metadata": {
                "uid": "s-1", "namespace": "shop", "name": "db", "resourceVersion": version,
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": password},
            },
            "data": {"password": password}, "stringData": {"other": password},
        })
    };
    let mut watcher = Watcher::new(kind("v1", "Secret"), all());
    watcher.list(&[]);
    let mut events = watcher.sees(&secret("1", "planted"));
    events.extend(watcher.sees(&secret("1", "planted")));
    events.extend(watcher.sees(&secret("2", "planted2")));
    events.extend(watcher.loses(&secret("2", "planted2")));
    assert_eq!(said(&events), ["Created", "Updated", "Deleted"]);
    for event in &events {
        let body = String::from_utf8(event.body.to_vec()).unwrap();
        assert!(
            !body.contains("planted") && !format!("{:?}", event.attributes).contains("planted"),
            "{body}"
        );
        assert_eq!(event.data().unwrap()["leftOut"], json!(["data"]));
    }
    let kept = format!("{:?}", watcher.records);
    assert!(!kept.contains("planted"), "{kept}");
}

#[test]
fn what_kickoff_launched_is_never_a_source() {
    let job = |labels: Value| json!({"metadata": {"uid": "j-1", "namespace": "shop", "name": "smoke", "generation": 1, "labels": labels}});
    let own = job(json!({"app.kubernetes.io/managed-by": "kickoff", "kickoff.dev/instance": "other"}));
    let mut watcher = Watcher::new(kind("batch/v1", "Job"), all());
    watcher.list(&[]);
    assert!(watcher.sees(&own).is_empty() && watcher.loses(&own).is_empty() && watcher.records.len() == 2);
    for labels in [
        json!({"app.kubernetes.io/managed-by": "kickoff"}),
        json!({"kickoff.dev/instance": "kickoff"}),
        json!({"app.kubernetes.io/managed-by": ["kickoff"], "kickoff.dev/instance": {}}),
        json!("kickoff"),
    ] {
        let other = job(labels);
        assert_eq!(said(&watcher.sees(&other)), ["Created"], "{other}");
        assert_eq!(said(&watcher.loses(&other)), ["Deleted"], "{other}");
    }
}

#[test]
fn an_object_without_a_namespace_is_named_alone() {
    let mut watcher = Watcher::new(kind("v1", "Node"), all());
    watcher.list(&[]);
    let events = watcher.sees(&json!({"metadata": {"uid": "n-1", "name": "node-1"}, "spec": {}}));
    assert_eq!(said(&events), ["Created"]);
    assert_eq!(events[0].attributes.subject.as_deref(), Some("node-1"));
    assert_eq!(events[0].data().unwrap()["object"]["metadata"], json!({"uid": "n-1", "name": "node-1"}));
}

#[test]
fn no_object_makes_a_mark_large() {
    let many: Value =
        (0..5_000).map(|n| (format!("f{n}"), json!(n))).collect::<serde_json::Map<_, _>>().into();
    let deep = (0..100).fold(json!("x"), |below, _| json!({"below": below}));
    let mut watcher = Watcher::new(kind("example.com/v1", "Widget"), all());
    watcher.list(&[]);
    for (uid, spec) in
        [("a", json!({"many": many})), ("b", deep), ("c", json!(["x", "x", "x"])), ("d", many.clone())]
    {
        let object = |generation: u32| {
            let mut object = json!({
                "metadata": {"uid": uid, "namespace": "shop", "name": "w", "generation": generation}, "spec": spec,
            });
            if uid == "d" {
                merge(&mut object, &many);
            }
            object
        };
        assert_eq!(said(&watcher.sees(&object(1))), ["Created"], "{uid}");
        let key = watcher.records.keys().find(|key| key.to_string().ends_with(&format!("/{uid}"))).unwrap();
        let size = serde_json::to_string(&watcher.records[key]).unwrap().len();
        assert!(size < 4_096, "{uid}: {size}");
    }
}

#[test]
fn how_a_kind_is_served_is_read_from_what_the_cluster_says() {
    let list = json!({"kind": "APIResourceList", "groupVersion": "example.com/v1", "resources": [
        {"name": "widgets/status", "kind": "Widget", "namespaced": true, "verbs": ["get"]},
        {"name": "widgets", "kind": "Widget", "namespaced": true, "verbs": ["get", "list", "watch"]},
        {"name": "checks", "kind": "Check", "namespaced": false, "verbs": ["create"]},
    ]});
    let served: Served = serde_json::from_value(list).unwrap();
    let told = |name: &str| match served.find(&kind("example.com/v1", name)) {
        Ok(resource) => format!("{} {}", resource.plural, resource.namespaced),
        Err(why) => why,
    };
    assert_eq!(told("Widget"), "widgets true");
    assert_eq!(told("Check"), "example.com/v1 Check can't be listed and watched");
    assert_eq!(told("Gadget"), "example.com/v1 Gadget is not served by the cluster");
    for (name, plural) in [
        ("Widget", "widgets"),
        ("Ingress", "ingresses"),
        ("NetworkPolicy", "networkpolicies"),
        ("Endpoints", "endpoints"),
    ] {
        assert_eq!(kind("example.com/v1", name).guessed_plural(), plural);
    }
}
