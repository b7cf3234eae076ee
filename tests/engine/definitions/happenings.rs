//! Sources of Events of a cluster: what is refused, who takes which, and what can never come.

use std::sync::Arc;

use kickoff::engine::definitions::hints::hints;
use kickoff::engine::event::Event;
use kickoff::engine::machine::DecisionKind;
use kickoff::engine::watch::{Asked, View, Wants, event_kind};
use serde_json::{Value, json};

use super::problems::of_spec;
use super::sources::{decide, world};

#[test]
fn what_can_not_be_taken_is_refused() {
    insta::assert_snapshot!(of_spec("Trigger", "
  runs: [{template: smoke, environment: staging}]
  sources:
    - kubernetesEvent: {reasons: ['[']}
    - kubernetesEvent: {type: Error}
    - kubernetesEvent: {involvedObject: {apiVersion: v1, kind: Deployment}}
    - kubernetes: {apiVersion: v1, kind: Event, change: [Created]}
"), @r#"
        a.yaml:7:35: spec.sources[0].kubernetesEvent.reasons[0]: is not a glob: unclosed character class; missing ']'
        a.yaml:8:31: spec.sources[1].kubernetesEvent.type: "Error" is not one of Warning, Normal, Any
        a.yaml:9:54: spec.sources[2].kubernetesEvent.involvedObject.apiVersion: "v1" has no Deployment: write apps/v1
        a.yaml:10:42: spec.sources[3].kubernetes.kind: Events are taken by the source kubernetesEvent, which knows when one happens again
        "#);
}

/// What is made of an Event with some of it changed.
fn event(reason: &str, kind: &str, event_type: &str) -> Event {
    let object = json!({
        "metadata": {"uid": "e", "namespace": "shop-eu", "name": "web.17"},
        "reason": reason, "type": event_type, "note": "in its words",
        "regarding": {"apiVersion": if kind == "Pod" { "v1" } else { "apps/v1" }, "kind": kind, "name": "web"},
    });
    let wants = Wants::of([]);
    let asked = Asked { wants: &wants, wanted: &|_, _, _| true, happens: &|_, _| true, now: 0 };
    let mut view = View::new(event_kind(), None, Vec::new());
    let mut told = view.told();
    view.listing();
    view.listed(&asked, &mut told);
    view.item(object, &asked, &mut told).unwrap();
    told.events.remove(0)
}

fn snapshot(source: &Value) -> Arc<kickoff::engine::definitions::Snapshot> {
    let snapshot = world("Deny", &json!({"sources": [{"kubernetesEvent": source}]}));
    assert!(snapshot.problems.is_empty(), "{:?}", snapshot.problems);
    snapshot
}

#[test]
fn reasons_types_and_objects_filter_with_their_reason() {
    use DecisionKind::{Filtered, Fired};
    let fired = (Fired, "all rules hold");
    let unhealthy = || event("Unhealthy", "Pod", "Warning");
    for (source, event, wanted) in [
        (json!({}), unhealthy(), fired),
        (
            json!({}),
            event("Pulled", "Pod", "Normal"),
            (Filtered, "sources: the type is Normal, wanted Warning"),
        ),
        (json!({"type": "Any"}), event("Pulled", "Pod", "Normal"), fired),
        (json!({"reasons": ["Unhealthy", "Back*"]}), unhealthy(), fired),
        (
            json!({"reasons": ["BackOff"]}),
            unhealthy(),
            (Filtered, "sources: the reason is Unhealthy, wanted BackOff"),
        ),
        (
            json!({"involvedObject": {"kind": "Pod", "name": "w*"}, "namespaces": ["shop-*"]}),
            unhealthy(),
            fired,
        ),
        (
            json!({"involvedObject": {"kind": "Deployment"}}),
            unhealthy(),
            (Filtered, "sources: the kind is Pod, wanted Deployment"),
        ),
        (
            json!({"involvedObject": {"apiVersion": "apps/v1"}}),
            unhealthy(),
            (Filtered, "sources: the API version is v1, wanted apps/v1"),
        ),
        (
            json!({"namespaces": ["bank"]}),
            unhealthy(),
            (Filtered, "sources: the namespace is shop-eu, wanted bank"),
        ),
        (
            json!({"namespaceSelector": {"matchLabels": {"team": "shop"}}}),
            unhealthy(),
            (Filtered, "sources: the labels of its namespace are not known"),
        ),
    ] {
        let explained = decide(&snapshot(&source), &event);
        assert_eq!((explained.decision, explained.reason.as_str()), wanted, "{source}");
    }
}

#[test]
fn what_never_comes_is_hinted_at() {
    let told = |source: Value| hints(&snapshot(&source)).join("\n");
    for (source, wanted) in [
        (
            json!({"reasons": ["OOMKilling"], "involvedObject": {"kind": "Pod"}}),
            "are about a Node, never about a Pod",
        ),
        (json!({"reasons": ["OOMKilling"]}), ""),
        (json!({"reasons": ["OOMKilling"], "involvedObject": {"kind": "Node"}}), ""),
        (json!({"reasons": ["CrashLoopBackOff"]}), "no Event has the reason CrashLoopBackOff"),
        (json!({"reasons": ["Failed*"], "involvedObject": {"kind": "Pod"}}), ""),
        (json!({"reasons": ["BackOff"], "involvedObject": {"kind": "Job"}}), "reason BackoffLimitExceeded"),
        (json!({}), ""),
    ] {
        let hints = told(source.clone());
        assert!(hints.contains(wanted) && hints.is_empty() == wanted.is_empty(), "{source}: {hints}");
    }
}

#[test]
fn events_that_no_forge_sends_are_hinted_at_where_they_look_like_a_slip() {
    for (forge, events, wanted) in [
        ("github", &["pusch"][..], "github sends no event pusch (did you mean push?)"),
        ("github", &["pull_requests.opened"], "pull_requests (did you mean pull_request?)"),
        ("github", &["push", "pull_request.opened", "issue", "workflow_run.completed"], ""),
        // It may be new.
        ("github", &["moon_landing", "pull_request_target"], ""),
        ("gitlab", &["merge_requests"], "(did you mean merge_request?)"),
        ("gitlab", &["merge_request.open", "job", "tag_push"], ""),
        ("bitbucket", &["repo.psh"], "sends no event repo.psh (did you mean repo.push?)"),
        ("bitbucket", &["repo.push", "pullrequest.created", "pullrequest", "pullrequest.merged"], ""),
        ("gitea", &["pull_request", "issues.opened"], ""),
        ("events", &["com.github.pusch"], ""),
        ("any", &["pusch"], ""),
    ] {
        let source = json!({"webhook": {"name": forge, "events": events}});
        let snapshot = world("Deny", &json!({"sources": [source]}));
        assert!(snapshot.problems.is_empty(), "{:?}", snapshot.problems);
        let told = hints(&snapshot).join("\n");
        assert!(told.contains(wanted) && told.is_empty() == wanted.is_empty(), "{source}: {told}");
    }
}
