//! Sources of a cluster: what is refused when loading, and who decides about which change.

use kickoff::engine::event::Event;
use kickoff::engine::machine::DecisionKind;
use kickoff::engine::watch::{Kind, View};
use serde_json::{Value, json};

use super::problems::of_spec;
use super::sources::{decide, world};

#[test]
fn what_can_not_be_watched_is_refused() {
    insta::assert_snapshot!(of_spec("Trigger", "
  runs: [{template: smoke, environment: staging}]
  sources:
    - kubernetes: {apiVersion: apps/v1, kind: Deploymant, change: [RolledOut]}
    - kubernetes: {apiVersion: v1, kind: Deployment, change: [RolledOut]}
    - kubernetes: {apiVersion: v1, kind: Pod, change: [RolledOut]}
    - kubernetes: {apiVersion: apps/v1, kind: Deployment, change: []}
    - kubernetes: {apiVersion: apps/v1, kind: DaemonSet, change: [RolledOut, RolloutFailed]}
    - kubernetes: {apiVersion: apps/v1, kind: Deployment, change: [RolledOut], names: ['a[', ''], namespaces: ['']}
    - kubernetes: {apiVersion: apps/v1, kind: Deployment, change: [RolledOut], labelSelector: {matchExpressions: [{key: a, operator: In}, {key: b, operator: Exists, values: [c]}]}}
"), @r#"
        a.yaml:7:47: spec.sources[0].kubernetes.kind: apps/v1 has no kind "Deploymant" (did you mean Deployment?)
        a.yaml:8:32: spec.sources[1].kubernetes.apiVersion: "v1" has no Deployment: write apps/v1
        a.yaml:9:42: spec.sources[2].kubernetes.kind: a Pod has no rollouts: they are of DaemonSet, Deployment, StatefulSet (apps/v1)
        a.yaml:10:67: spec.sources[3].kubernetes.change: needs at least 1 entry
        a.yaml:11:66: spec.sources[4].kubernetes.change: a DaemonSet never says that a rollout failed: it has no deadline, as a Deployment has; leave RolloutFailed out
        a.yaml:12:88: spec.sources[5].kubernetes.names[0]: is not a glob: unclosed character class; missing ']'
        a.yaml:12:94: spec.sources[5].kubernetes.names[1]: is empty
        a.yaml:12:112: spec.sources[5].kubernetes.namespaces[0]: is empty
        a.yaml:13:115: spec.sources[6].kubernetes.labelSelector.matchExpressions[0]: needs values
        a.yaml:13:174: spec.sources[6].kubernetes.labelSelector.matchExpressions[1].values: goes with In and NotIn
        "#);
}

#[test]
fn what_does_not_exist_yet_is_refused() {
    insta::assert_snapshot!(of_spec(
        "Trigger",
        "
  runs: [{template: smoke, environment: staging}]
  sources:
    - kubernetes: {apiVersion: apps/v1, kind: Deployment, change: [Created, RoledOut]}
    - kubernetes: {apiVersion: apps/v1, kind: Deployment, change: [RolledOut], labelSelector: 'a=b'}
    - kubernetes: {kind: Deployment, oncePer: Spec}
"
    ), @r#"
        a.yaml:7:68: spec.sources[0].kubernetes.change[0]: "Created" is not one of RolledOut, RolloutFailed
        a.yaml:7:77: spec.sources[0].kubernetes.change[1]: "RoledOut" is not one of RolledOut, RolloutFailed (did you mean RolledOut?)
        a.yaml:8:95: spec.sources[1].kubernetes.labelSelector: must be a map, is "a=b"
        a.yaml:9:7: spec.sources[2].kubernetes.apiVersion: is missing
        a.yaml:9:7: spec.sources[2].kubernetes.change: is missing
        a.yaml:9:38: spec.sources[2].kubernetes.oncePer: unknown field; the fields here are apiVersion, change, kind, labelSelector, names, namespaces
        "#);
}

/// The rollout of a Deployment with these labels.
fn rolled_out(labels: &Value) -> Event {
    let object = json!({
        "metadata": {
            "uid": "u", "namespace": "shop-eu", "name": "web", "generation": 1, "labels": labels,
            "annotations": {"deployment.kubernetes.io/revision": "1"},
        },
        "spec": {"replicas": 0}, "status": {"observedGeneration": 1},
    });
    let mut view = View::new(Kind::parse("apps/v1", "Deployment").unwrap(), None, Vec::new());
    let mut told = view.told();
    view.listing();
    view.listed(&mut told);
    view.item(object, &|_, _, _| true, 0, &mut told).unwrap();
    told.events.remove(0)
}

#[track_caller]
fn check(clause: &Value, labels: &Value, wanted: (DecisionKind, &str)) {
    let mut source = json!({"apiVersion": "apps/v1", "kind": "Deployment", "change": ["RolledOut"]});
    source.as_object_mut().unwrap().extend(clause.as_object().unwrap().clone());
    let snapshot = world("Deny", &json!({"sources": [{"kubernetes": source}]}));
    assert!(snapshot.problems.is_empty(), "{:?}", snapshot.problems);
    let explained = decide(&snapshot, &rolled_out(labels));
    assert_eq!((explained.decision, explained.reason.as_str()), wanted, "{source}");
}

#[test]
fn places_labels_and_changes_filter_with_their_reason() {
    use DecisionKind::{Filtered, Fired};
    let labels = json!({"smoke": "true", "tier": "gold"});
    let fired = (Fired, "all rules hold");
    let needs = |key: &str, operator: &str, values: &[&str]| {
        let mut expression = json!({"key": key, "operator": operator});
        if !values.is_empty() {
            expression["values"] = json!(values);
        }
        json!({"labelSelector": {"matchExpressions": [expression]}})
    };
    for (clause, wanted) in [
        (json!({}), fired),
        (json!({"namespaces": ["shop-*"], "names": ["web"]}), fired),
        (json!({"namespaces": ["bank"]}), (Filtered, "sources: the namespace is shop-eu, wanted bank")),
        (json!({"names": ["api-*"]}), (Filtered, "sources: the name is web, wanted api-*")),
        (json!({"labelSelector": {}}), fired),
        (json!({"labelSelector": {"matchLabels": {"smoke": "true"}}}), fired),
        (
            json!({"labelSelector": {"matchLabels": {"smoke": "false"}}}),
            (Filtered, "sources: the label smoke is true, wanted false"),
        ),
        (
            json!({"labelSelector": {"matchLabels": {"team": "a"}}}),
            (Filtered, "sources: the object has no label team, wanted a"),
        ),
        (needs("tier", "In", &["gold", "silver"]), fired),
        (needs("tier", "In", &["silver"]), (Filtered, "sources: the label tier is gold, wanted silver")),
        (needs("team", "NotIn", &["a"]), fired),
        (
            needs("tier", "NotIn", &["gold"]),
            (Filtered, "sources: the label tier is gold, wanted none of gold"),
        ),
        (needs("tier", "Exists", &[]), fired),
        (needs("team", "Exists", &[]), (Filtered, "sources: the object has no label team")),
        (needs("tier", "DoesNotExist", &[]), (Filtered, "sources: the object has the label tier")),
        (
            json!({"change": ["RolloutFailed"], "namespaces": ["shop-*"]}),
            (
                Filtered,
                "sources: it listens for RolloutFailed of Deployments in namespace shop-*, and this is \
                 dev.kickoff.kubernetes.rolledout of Deployments of the cluster",
            ),
        ),
    ] {
        check(&clause, &labels, wanted);
    }
    check(
        &json!({"labelSelector": {"matchLabels": {"smoke": "true"}}}),
        &json!(null),
        (Filtered, "sources: the object has no label smoke, wanted true"),
    );
}
