//! A namespace that is deleted while it is watched, by a server that has a Role only there and in its own: that is told
//! at the triggers that wait for it, and the others go on.
//!
//! `KICKOFF_SOAK` waits until the watch ends by itself; else the connection is cut by the API server's end.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::home::{Site, cancel, fire, run_of, settled};
use super::load::{site, soak};
use super::rollouts::WATCHED;
use super::troubles::{account, bind, ready};
use crate::support::Server;
use crate::support::cluster::{Cluster, PATIENCE, cluster, until};

/// What a trigger does not see.
async fn trouble(server: &Server, trigger: &str) -> Vec<String> {
    let view = server.get(&format!("/api/v1/triggers/{trigger}")).await;
    let told = view["trouble"].as_array().unwrap().iter();
    told.map(|told| told.as_str().unwrap().to_owned()).collect()
}

/// Waits until an event of this type about this object fired.
async fn fires(server: &Server, change: &str, subject: &str) {
    let (end, kind) = (Instant::now() + PATIENCE, format!("dev.kickoff.kubernetes.{change}"));
    loop {
        let events = server.all("events").await;
        let is = |event: &&Value| event["subject"] == subject && event["type"] == *kind;
        if let Some(event) = events.iter().find(is) {
            assert_eq!(event["decisions"][0]["decision"], "fired", "{event:#}");
            return;
        }
        assert!(Instant::now() < end, "{subject} was not {change}\n{}", server.said());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A trigger of the ConfigMaps of each of two namespaces.
fn define(site: &Site<'_>, here: &str, other: &str) {
    let mut text = std::fs::read_to_string(site.home.definitions().join("all.yaml")).unwrap();
    for (name, namespace) in [("here", here), ("other", other)] {
        let source = json!({"kubernetes": {
            "apiVersion": "v1", "kind": "ConfigMap", "namespaces": [namespace], "names": ["settings*"],
            "change": ["Created", "Deleted"],
        }});
        let trigger = json!({
            "apiVersion": "kickoff.dev/v1alpha1", "kind": "Trigger", "metadata": {"name": name},
            "spec": {"sources": [source], "runs": [{"template": "passes"}]},
        });
        text = format!("{text}\n---\n{trigger}");
    }
    site.home.define(&text);
}

/// A kubeconfig of a service account that may do in both what Kickoff needs, and see ConfigMaps, and nothing elsewhere.
fn grant(site: &Site<'_>, here: &str, other: &str) -> PathBuf {
    let kubeconfig = account(site, &[other]);
    bind(site, "kickoff-lease", here);
    for namespace in [here, other] {
        let rule = json!({"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list", "watch"]});
        site.namespace.cluster.create(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
            "metadata": {"name": "watches", "namespace": namespace}, "rules": [rule],
        }));
        bind(site, "kickoff", namespace);
        bind(site, "watches", namespace);
    }
    kubeconfig
}

/// Waits until a trigger says that it does not see the namespace, and what to do about it.
async fn is_told(server: &Server, trigger: &str, other: &str, patience: Duration) {
    let place = format!("ConfigMaps of namespace {other}: ");
    let grant = format!("; grant list and watch on configmaps (core) in namespace {other}");
    let is =
        |told: &String| told.starts_with(&place) && told.contains("is forbidden") && told.ends_with(&grant);
    let end = Instant::now() + patience;
    loop {
        let told = trouble(server, trigger).await;
        if told.iter().any(is) {
            return;
        }
        assert!(Instant::now() < end, "{told:?}\n{}", server.said());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_deleted_is_told_and_the_others_go_on() {
    let own = Cluster::own(&["--fast"]);
    let site = site(&own, json!({}));
    let (here, leaving) = (site.namespace.name.clone(), own.namespace());
    let other = leaving.name.clone();
    define(&site, &here, &other);
    let kubeconfig = grant(&site, &here, &other);
    let namespaces = format!("{here},{other}");
    let server =
        site.serve_with(&["--kubeconfig", kubeconfig.to_str().unwrap(), "--namespaces", &namespaces]);
    until("both", || (server.said().matches(WATCHED).count() >= 2).then_some(()));
    for namespace in [&here, &other] {
        own.run(&["--namespace", namespace, "create", "configmap", "settings"]);
        fires(&server, "created", &format!("{namespace}/settings")).await;
    }
    assert_eq!((trouble(&server, "here").await, trouble(&server, "other").await), (vec![], vec![]));
    own.run(&["delete", "namespace", &other, "--timeout=100s"]);
    // The watch that is open goes on, though its Role is gone.
    fires(&server, "deleted", &format!("{other}/settings")).await;
    if soak() {
        is_told(&server, "other", &other, PATIENCE * 3).await;
    } else {
        own.tell("kill kube-apiserver");
        own.tell("start kube-apiserver");
        until("the API server", || {
            let mut get = own.kubectl(&["get", "--raw", "/readyz", "--request-timeout", "10s"]);
            get.stdin(Stdio::null()).output().unwrap().status.success().then_some(())
        });
        is_told(&server, "other", &other, PATIENCE).await;
    }
    // Soon after, nothing is wrong with the other one, its runs, or the server.
    let end = Instant::now() + PATIENCE;
    while !trouble(&server, "here").await.is_empty() {
        assert!(Instant::now() < end, "{}", server.said());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    site.namespace.run(&["create", "configmap", "settings-two"]);
    fires(&server, "created", &format!("{here}/settings-two")).await;
    let event = fire(&server, "passes").await;
    let run = run_of(&server, &event, settled).await;
    assert_eq!(run["outcome"], "Passed", "{run:#}");
    let (status, told) = ready(&server).await;
    assert_eq!(status, 200, "{told}");
    assert!(told.contains(&format!("watches: ready: ConfigMaps of namespace {other}: ")), "{told}");
}

/// It would run for long.
fn sleeping() -> Value {
    json!({"containers": [{
        "name": "main", "image": cluster().busybox, "command": ["sh", "-c", "echo begun; sleep 600"],
    }], "terminationGracePeriodSeconds": 1})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_namespace_is_deleted_ends_and_says_so() {
    let other = cluster().namespace();
    let fields = json!({"inNamespace": other.name});
    let site = Site::new(cluster(), &[("sleeps", fields, sleeping())]);
    let server = site.serve();
    let event = fire(&server, "sleeps").await;
    run_of(&server, &event, |run| run["state"] == "running").await;
    site.namespace.cluster.run(&["delete", "namespace", &other.name, "--wait=false"]);
    let run = run_of(&server, &event, settled).await;
    let told = run["reason"].as_str().unwrap();
    let known = ["PodDeleted: the pod was deleted while container main ran", "deleted"];
    assert!(run["outcome"] == "Error" || run["outcome"] == "Cancelled", "{run:#}");
    assert!(known.contains(&told), "{told}");
    let next = fire(&server, "sleeps").await;
    let refused = run_of(&server, &next, settled).await;
    assert_eq!(refused["outcome"], "Error", "{refused:#}");
    assert!(refused["reason"].as_str().unwrap().contains(&other.name), "{refused:#}");
}

/// With its Role, so that nobody may look whether its Jobs are there.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_namespace_went_with_its_role_while_nobody_served_can_be_cancelled() {
    let leaving = cluster().namespace();
    let site = Site::new(
        cluster(),
        &[("there", json!({"inNamespace": leaving.name}), sleeping()), ("here", json!({}), sleeping())],
    );
    let kubeconfig = account(&site, &[&leaving.name]);
    bind(&site, "kickoff-lease", &site.namespace.name);
    for namespace in [&site.namespace.name, &leaving.name] {
        bind(&site, "kickoff", namespace);
    }
    let namespaces = format!("{},{}", site.namespace.name, leaving.name);
    let arguments = ["--kubeconfig", kubeconfig.to_str().unwrap(), "--namespaces", &namespaces];
    let server = site.serve_with(&arguments);
    let event = fire(&server, "there").await;
    run_of(&server, &event, |run| run["state"] == "running").await;
    server.kill();
    cluster().run(&["delete", "namespace", &leaving.name, "--timeout=100s"]);

    let server = site.serve_with(&arguments);
    let other = fire(&server, "here").await;
    run_of(&server, &other, |run| run["state"] == "running").await;
    let run = run_of(&server, &event, |_| true).await;
    assert_eq!(run["state"], "running", "nothing says that it ended: {run:#}");
    let (_, told) = ready(&server).await;
    assert!(told.contains(&leaving.name), "{told}");
    cancel(&server, &run).await;
    let run = run_of(&server, &event, |run| run["outcome"].is_string()).await;
    assert_eq!(run["outcome"], "Cancelled", "{run:#}");
    assert_eq!(server.stop(), Some(0));
}
