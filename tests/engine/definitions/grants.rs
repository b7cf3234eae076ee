//! What a cluster must allow for triggers that watch it.

use kickoff::engine::definitions::grants::{Grants, ServiceAccount, instance_roles, roles};
use kickoff::engine::definitions::writer::Instance;
use serde_json::{Value, json};

use super::sources::world;

fn account(namespace: &str, name: &str) -> ServiceAccount {
    ServiceAccount { namespace: namespace.to_owned(), name: name.to_owned() }
}

fn source(api_version: &str, kind: &str, more: &Value) -> Value {
    let mut source = json!({"apiVersion": api_version, "kind": kind, "change": ["Created"]});
    source.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"kubernetes": source})
}

fn sources() -> Value {
    json!({"sources": [
        source("apps/v1", "Deployment", &json!({"namespaces": ["shop-*"]})),
        source("networking.k8s.io/v1", "NetworkPolicy", &json!({})),
        source("example.com/v1", "Widget", &json!({"namespaceSelector": {"matchLabels": {"team": "shop"}}})),
        source("v1", "Node", &json!({})),
    ]})
}

/// What a server of these namespaces, or of all where there are none, needs for a trigger.
fn needed(trigger: &Value, namespaces: &[&str]) -> String {
    let snapshot = world("Deny", trigger);
    assert!(snapshot.problems.is_empty(), "{:?}", snapshot.problems);
    let namespaces: Vec<String> = namespaces.iter().map(|name| (*name).to_owned()).collect();
    roles(&snapshot, &namespaces, &account("kickoff", "kickoff"))
}

#[test]
fn a_server_of_all_namespaces_has_one_role() {
    insta::assert_snapshot!(needed(&sources(), &[]), @r#"
    apiVersion: rbac.authorization.k8s.io/v1
    kind: ClusterRole
    metadata:
      name: kickoff-watches
    rules:
      - apiGroups: [""]
        resources: [nodes]
        verbs: [list, watch]
      - apiGroups: ["apps"]
        resources: [deployments]
        verbs: [list, watch]
      # widgets is a guess: check it by kubectl api-resources --api-group=example.com
      - apiGroups: ["example.com"]
        resources: [widgets]
        verbs: [list, watch]
      - apiGroups: ["networking.k8s.io"]
        resources: [networkpolicies]
        verbs: [list, watch]
      - apiGroups: [""]
        resources: [namespaces]
        verbs: [get]
    ---
    apiVersion: rbac.authorization.k8s.io/v1
    kind: ClusterRoleBinding
    metadata:
      name: kickoff-watches
    roleRef:
      apiGroup: rbac.authorization.k8s.io
      kind: ClusterRole
      name: kickoff-watches
    subjects:
      - kind: ServiceAccount
        name: "kickoff"
        namespace: "kickoff"
    "#);
}

#[test]
fn a_server_of_some_namespaces_has_a_role_in_each() {
    let text = needed(&sources(), &["shop-eu", "bank"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "# Nodes are in no namespace: a server of only some namespaces does not see them.");
    let found = |wanted: &str| lines.iter().filter(|line| line.trim() == wanted).count();
    assert_eq!(found("kind: Role") - found("kind: RoleBinding"), 2, "{text}");
    assert_eq!((found("resources: [deployments]"), found("resources: [widgets]")), (1, 2), "{text}");
    assert_eq!((found("namespace: \"shop-eu\""), found("namespace: \"bank\"")), (2, 2), "{text}");
    assert_eq!((found("resources: [nodes]"), found("kind: ClusterRole")), (0, 0), "{text}");
    assert_eq!(Grants::of(&world("Deny", &sources()), Some("bank")).watched.len(), 2);
}

#[test]
fn who_watches_nothing_needs_nothing() {
    let nightly = json!({"sources": [{"schedule": {"cron": "0 0 * * *"}}]});
    assert_eq!(needed(&nightly, &[]), "# No trigger watches anything here.\n");
}

#[test]
fn of_another_server_its_own_lease_may_be_read_and_nothing_else() {
    let others = ["ci/nightly", "ci/kickoff", "ci/nightly"].map(|text| Instance::parse(text).unwrap());
    insta::assert_snapshot!(instance_roles(&others, &account("kickoff", "kickoff")), @r#"
    apiVersion: rbac.authorization.k8s.io/v1
    kind: Role
    metadata:
      name: kickoff-other-instances-kickoff.kickoff
      namespace: "ci"
    rules:
      - apiGroups: ["coordination.k8s.io"]
        resources: [leases]
        resourceNames: [kickoff-kickoff, kickoff-nightly]
        verbs: [get]
    ---
    apiVersion: rbac.authorization.k8s.io/v1
    kind: RoleBinding
    metadata:
      name: kickoff-other-instances-kickoff.kickoff
      namespace: "ci"
    roleRef:
      apiGroup: rbac.authorization.k8s.io
      kind: Role
      name: kickoff-other-instances-kickoff.kickoff
    subjects:
      - kind: ServiceAccount
        name: "kickoff"
        namespace: "kickoff"
    "#);
}

#[test]
fn several_servers_may_read_leases_in_one_namespace() {
    let others = [Instance::parse("ci/nightly").unwrap()];
    let names = |namespace: &str, name: &str| {
        let text = instance_roles(&others, &account(namespace, name));
        let named = text.lines().filter_map(|line| line.trim().strip_prefix("name: kickoff-other-instances"));
        named.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(names("shop", "kickoff"), ["-shop.kickoff"; 3]);
    assert_eq!(names("shop", "second"), ["-shop.second"; 3]);
    assert_ne!(names("a-b", "c"), names("a", "b-c"));
}
