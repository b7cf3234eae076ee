//! What the server's service account may do, by the API server's own word.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::site::deployed;
use crate::support::cluster::cluster;

/// Group, resource and verb of everything that an account may do in a namespace; paths have no group.
fn may(account: &str, namespace: &str) -> BTreeSet<(String, String, String)> {
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace}});
    let path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    let user = format!("--as=system:serviceaccount:{account}");
    let answer = cluster().send(&["create", "--raw", path, "-f", "-", &user], &review);
    let status = &answer["status"];
    assert_eq!(status["incomplete"], false, "{answer:#}");
    let texts = |rule: &Value, field: &str| -> Vec<String> {
        rule[field].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let mut all = BTreeSet::new();
    for rule in status["resourceRules"].as_array().unwrap() {
        assert!(rule.get("resourceNames").is_none(), "{rule}");
        for group in texts(rule, "apiGroups") {
            for resource in texts(rule, "resources") {
                let verbs = texts(rule, "verbs").into_iter();
                all.extend(verbs.map(|verb| (group.clone(), resource.clone(), verb)));
            }
        }
    }
    for rule in status["nonResourceRules"].as_array().unwrap() {
        for path in texts(rule, "nonResourceURLs") {
            all.extend(texts(rule, "verbs").into_iter().map(|verb| ("path".to_owned(), path.clone(), verb)));
        }
    }
    all
}

#[test]
fn the_account_may_do_what_is_listed_and_no_more() {
    deployed();
    let own = cluster().namespace();
    // What any account may.
    let common = may(&format!("{}:default", own.name), &own.name);
    let needed = [
        ("batch", "jobs", &["create", "delete", "get", "list", "patch", "watch"][..]),
        ("", "pods", &["get", "list", "patch", "watch"]),
        ("", "pods/log", &["get"]),
        ("", "events", &["list"]),
        ("apps", "deployments", &["list", "watch"]),
        ("apps", "statefulsets", &["list", "watch"]),
        ("apps", "daemonsets", &["list", "watch"]),
    ];
    let needed = needed.iter().flat_map(|(group, resource, verbs)| {
        verbs.iter().map(|verb| ((*group).to_owned(), (*resource).to_owned(), (*verb).to_owned()))
    });
    let needed: BTreeSet<_> = needed.collect();
    assert_eq!(needed.len(), 18);
    let lease = ["create", "get", "update"]
        .map(|verb| ("coordination.k8s.io".to_owned(), "leases".to_owned(), verb.to_owned()));
    let lease = BTreeSet::from(lease);
    for (namespace, wanted) in [
        ("kickoff-tests", &needed),
        ("kickoff", &lease),
        ("kube-system", &BTreeSet::new()),
        (own.name.as_str(), &BTreeSet::new()),
    ] {
        let beyond: BTreeSet<_> = may("kickoff:kickoff", namespace).difference(&common).cloned().collect();
        assert_eq!(&beyond, wanted, "in {namespace}");
    }
    // The tests' own account, in their namespace, may do nothing.
    assert_eq!(may("kickoff-tests:default", "kickoff-tests"), common);
}
