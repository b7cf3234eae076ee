//! Sources of a cluster: what is refused when loading, and who decides about which change.

use std::sync::Arc;

use kickoff::engine::event::Event;
use kickoff::engine::machine::DecisionKind;
use kickoff::engine::watch::{Asked, Change, Condition, Kind, View, Want, Wants, What, with_namespace};
use serde_json::{Value, json};

use super::problems::of_spec;
use super::sources::{decide, world};
use super::{TEMPLATE, snapshot};

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
    - kubernetes: {apiVersion: apps, kind: Widget, change: [Created]}
    - kubernetes: {apiVersion: Example.com/v1, kind: widget, change: [Created]}
    - kubernetes: {apiVersion: example.com/v1, kind: widgets, change: [Created]}
    - kubernetes: {apiVersion: v1, kind: Node, change: [Created], namespaces: [shop], namespaceSelector: {}}
    - kubernetes: {apiVersion: v1, kind: Pod, change: [Condition, Created], field: {path: status.phase}}
    - kubernetes: {apiVersion: v1, kind: Pod, change: [Field, Condition], field: {path: 'status..phase', from: 1, to: 1}, condition: {type: 'not ready'}}
    - kubernetes: {apiVersion: v1, kind: Pod, change: [Created, Deleted], oncePer: status.phase}
    - kubernetes: {apiVersion: v1, kind: Pod, change: [Updated], oncePer: event.data.object.status.phase}
    - kubernetes: {apiVersion: v1, kind: Secret, change: [Field], field: {path: data.password}}
"), @r#"
        a.yaml:7:47: spec.sources[0].kubernetes.kind: apps/v1 has no kind "Deploymant" (did you mean Deployment?)
        a.yaml:8:32: spec.sources[1].kubernetes.apiVersion: "v1" has no Deployment: write apps/v1
        a.yaml:9:55: spec.sources[2].kubernetes.change: a Pod has no rollouts: a Condition or a Field of it may tell what is meant
        a.yaml:10:67: spec.sources[3].kubernetes.change: needs at least 1 entry
        a.yaml:11:66: spec.sources[4].kubernetes.change: a DaemonSet never says that a rollout failed: it has no deadline, as a Deployment has; leave RolloutFailed out
        a.yaml:12:88: spec.sources[5].kubernetes.names[0]: is not a glob: unclosed character class; missing ']'
        a.yaml:12:94: spec.sources[5].kubernetes.names[1]: is empty
        a.yaml:12:112: spec.sources[5].kubernetes.namespaces[0]: is empty
        a.yaml:13:115: spec.sources[6].kubernetes.labelSelector.matchExpressions[0]: needs values
        a.yaml:13:174: spec.sources[6].kubernetes.labelSelector.matchExpressions[1].values: goes with In and NotIn
        a.yaml:14:32: spec.sources[7].kubernetes.apiVersion: "apps" is no group and version: write v1, or group/version as apps/v1
        a.yaml:15:32: spec.sources[8].kubernetes.apiVersion: "Example.com/v1" is no group and version: write v1, or group/version as apps/v1
        a.yaml:15:54: spec.sources[8].kubernetes.kind: "widget" is no kind: letters and digits, as Deployment
        a.yaml:16:54: spec.sources[9].kubernetes.kind: "widgets" is no kind: letters and digits, as Deployment
        a.yaml:17:67: spec.sources[10].kubernetes.namespaces: Nodes are in no namespace: leave namespaces out
        a.yaml:17:87: spec.sources[10].kubernetes.namespaceSelector: Nodes are in no namespace: leave namespaceSelector out
        a.yaml:18:7: spec.sources[11].kubernetes: change: [Condition] needs condition
        a.yaml:18:77: spec.sources[11].kubernetes.field: goes with change: [Field]
        a.yaml:19:89: spec.sources[12].kubernetes.field.path: "status..phase" must lead to one field: names and indexes alone
        a.yaml:19:119: spec.sources[12].kubernetes.field.to: is what from says: that is no change
        a.yaml:19:141: spec.sources[12].kubernetes.condition.type: "not ready" is no type of a condition: one word, as Ready
        a.yaml:20:75: spec.sources[13].kubernetes.oncePer: an object is made once, and goes once: leave oncePer out
        a.yaml:21:75: spec.sources[14].kubernetes.oncePer: "event.data.object.status.phase" begins at the object: write for instance status.phase
        a.yaml:22:81: spec.sources[15].kubernetes.field.path: what a Secret holds is never looked at: change: [Updated] tells that it was changed
        "#);
}

#[test]
fn what_does_not_exist_is_refused() {
    insta::assert_snapshot!(of_spec(
        "Trigger",
        "
  runs: [{template: smoke, environment: staging}]
  sources:
    - kubernetes: {apiVersion: apps/v1, kind: Deployment, change: [Scaled, RoledOut]}
    - kubernetes: {apiVersion: apps/v1, kind: Deployment, change: [RolledOut], labelSelector: 'a=b'}
    - kubernetes: {kind: Deployment, onecPer: Spec}
    - kubernetes: {apiVersion: v1, kind: Pod, change: [Condition], condition: {status: \"true\"}}
"
    ), @r#"
        a.yaml:7:68: spec.sources[0].kubernetes.change[0]: "Scaled" is not one of Created, Updated, Deleted, RolledOut, RolloutFailed, Condition, Field
        a.yaml:7:76: spec.sources[0].kubernetes.change[1]: "RoledOut" is not one of Created, Updated, Deleted, RolledOut, RolloutFailed, Condition, Field (did you mean RolledOut?)
        a.yaml:8:95: spec.sources[1].kubernetes.labelSelector: must be a map, is "a=b"
        a.yaml:9:7: spec.sources[2].kubernetes.apiVersion: is missing
        a.yaml:9:7: spec.sources[2].kubernetes.change: is missing
        a.yaml:9:38: spec.sources[2].kubernetes.onecPer: unknown field; the fields here are apiVersion, change, condition, field, kind, labelSelector, names, namespaceSelector, namespaces, oncePer (did you mean oncePer?)
        a.yaml:10:68: spec.sources[3].kubernetes.condition.type: is missing
        a.yaml:10:88: spec.sources[3].kubernetes.condition.status: "true" is not one of True, False, Unknown (did you mean True?)
        "#);
}

#[test]
fn a_kind_is_watched_in_one_version() {
    let trigger = |name: &str, version: &str| {
        format!(
            "apiVersion: kickoff.dev/v1alpha1\nkind: Trigger\nmetadata: {{name: {name}}}\nspec:\n  \
             sources: [{{kubernetes: {{apiVersion: example.com/{version}, kind: Widget, change: [Created]}}}}]\n  \
             runs: [{{template: smoke, environment: staging}}]\n"
        )
    };
    let text = format!(
        "{TEMPLATE}---\n{}---\n{}---\n{}",
        trigger("first", "v1"),
        trigger("same", "v1"),
        trigger("other", "v2")
    );
    let snapshot = snapshot(&[("a.yaml", &text)], None);
    let problems: Vec<String> =
        snapshot.problems.iter().map(kickoff::engine::definitions::Problem::text).collect();
    assert_eq!(
        problems,
        ["spec.sources: Widgets are watched in one version, and trigger first says example.com/v1"]
    );
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
    made(
        Kind::parse("apps/v1", "Deployment").unwrap(),
        Want::new(What::Change(Change::RolledOut), None),
        object,
    )
}

/// The event of an object that is new.
fn made(kind: Kind, want: Want, object: Value) -> Event {
    let wants = Wants::of([&Arc::new(want)]);
    let asked = Asked { wants: &wants, wanted: &|_, _, _| true, happens: &|_, _| true, now: 0 };
    let mut view = View::new(kind, None, Vec::new());
    let mut told = view.told();
    view.listing();
    view.listed(&asked, &mut told);
    view.item(object, &asked, &mut told).unwrap();
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

/// A Widget's condition, told to the clause of this text.
fn ready(status: &str, reason: Option<&str>) -> Event {
    let object = json!({
        "metadata": {"uid": "w", "namespace": "shop", "name": "web"},
        "status": {"conditions": [{"type": "Ready", "status": status, "reason": "Synced"}]},
    });
    let condition =
        Condition { kind: "Ready".to_owned(), status: status.to_owned(), reason: reason.map(str::to_owned) };
    let kind = Kind::parse("example.com/v1", "Widget").unwrap();
    made(kind, Want::new(What::Condition(condition), None), object)
}

#[test]
fn an_event_of_a_clause_is_heard_by_that_clause_alone() {
    use DecisionKind::{Filtered, Fired};
    let source = |clause: Value| {
        let mut source = json!({"apiVersion": "example.com/v1", "kind": "Widget", "change": ["Condition"]});
        source.as_object_mut().unwrap().extend(clause.as_object().unwrap().clone());
        world("Deny", &json!({"sources": [{"kubernetes": source}]}))
    };
    let fired = (Fired, "all rules hold");
    let is = |condition: Value| source(json!({"condition": condition}));
    let untold = {
        let mut event = ready("True", None);
        event.attributes.extensions.clear();
        event
    };
    for (snapshot, event, wanted) in [
        (is(json!({"type": "Ready"})), ready("True", None), fired),
        (is(json!({"type": "Ready", "status": "False"})), ready("False", None), fired),
        (
            is(json!({"type": "Ready", "status": "False"})),
            ready("True", None),
            (Filtered, "sources: it is about Condition Ready=True, wanted Condition Ready=False"),
        ),
        (
            is(json!({"type": "Ready", "reason": "Synced"})),
            ready("True", None),
            (Filtered, "sources: it is about Condition Ready=True, wanted Condition Ready=True (Synced)"),
        ),
        (is(json!({"type": "Ready", "reason": "Synced"})), ready("True", Some("Synced")), fired),
        (
            source(json!({"condition": {"type": "Ready"}, "oncePer": "spec.version"})),
            ready("True", None),
            (
                Filtered,
                "sources: it is about Condition Ready=True, wanted Condition Ready=True once per spec.version",
            ),
        ),
        (
            is(json!({"type": "Ready"})),
            untold.clone(),
            (
                Filtered,
                "sources: the event does not say what it is about (kickoffclause), wanted Condition Ready=True",
            ),
        ),
    ] {
        assert!(snapshot.problems.is_empty(), "{:?}", snapshot.problems);
        let explained = decide(&snapshot, &event);
        assert_eq!((explained.decision, explained.reason.as_str()), wanted);
    }
}

#[test]
fn labels_of_the_namespace_filter_with_their_reason() {
    use DecisionKind::{Filtered, Fired};
    let of = |labels: Result<Value, String>| with_namespace(rolled_out(&json!({})), "shop-eu", labels);
    let source = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "change": ["RolledOut"],
        "namespaceSelector": {"matchLabels": {"team": "shop"}},
    });
    let snapshot = world("Deny", &json!({"sources": [{"kubernetes": source}]}));
    assert!(snapshot.problems.is_empty(), "{:?}", snapshot.problems);
    for (event, wanted) in [
        (of(Ok(json!({"team": "shop"}))), (Fired, "all rules hold")),
        (
            of(Ok(json!({"team": "bank"}))),
            (Filtered, "sources: the label team of its namespace is bank, wanted shop"),
        ),
        (of(Ok(json!({}))), (Filtered, "sources: the namespace has no label team, wanted shop")),
        (
            of(Err("it is gone".to_owned())),
            (Filtered, "sources: the labels of its namespace are not known: it is gone"),
        ),
        (rolled_out(&json!({})), (Filtered, "sources: the labels of its namespace are not known")),
    ] {
        let explained = decide(&snapshot, &event);
        assert_eq!((explained.decision, explained.reason.as_str()), wanted);
    }
}
