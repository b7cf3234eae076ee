//! Changes of objects of any kind, and Events, of a real cluster: each is told once to whoever wants it.

mod delivered;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::home::Site;
use super::troubles::{account, bind};
use crate::support::cluster::{PATIENCE, cluster, on_fake_nodes};
use crate::support::{Server, kickoff};

/// How long nothing may come after something that fires nothing.
const QUIET: Duration = Duration::from_secs(2);
/// What the log says once a kind is watched.
const WATCHED: &str = "watched for the first time";

/// A server's home with a trigger of this source, in the site's namespace only where it is to be.
fn site(source: impl FnOnce(&str) -> Value) -> Site<'static> {
    cluster().fake_nodes(2);
    let mut pod = on_fake_nodes();
    pod["containers"] = json!([{"name": "main", "image": "kickoff.test/there-is-none:1"}]);
    let site = Site::new(cluster(), &[("passes", json!({}), pod)]);
    let source = source(&site.namespace.name);
    let trigger = json!({
        "apiVersion": "kickoff.dev/v1alpha1", "kind": "Trigger", "metadata": {"name": "watches"},
        "spec": {"sources": [source], "runs": [{"template": "passes"}]},
    });
    let before = std::fs::read_to_string(site.home.definitions().join("all.yaml")).unwrap();
    site.home.define(&format!("{before}\n---\n{trigger}"));
    site
}

/// Events that fired, the oldest first: `settings created`, of objects of the namespace.
async fn fired(server: &Server, namespace: &str) -> Vec<String> {
    let mut events = server.all("events").await;
    events.reverse();
    let prefix = format!("{namespace}/");
    let of = |event: &Value| {
        let name = event["subject"].as_str()?.strip_prefix(&prefix)?.to_owned();
        let change = event["type"].as_str()?.strip_prefix("dev.kickoff.kubernetes.")?;
        let id: Vec<&str> = event["id"].as_str()?.splitn(4, '.').collect();
        let revision = if change.starts_with("roll") { id.get(3).copied() } else { None };
        let fired = event["decisions"][0]["decision"] == "fired";
        fired.then(|| format!("{name} {change} {}", revision.unwrap_or_default()).trim().to_owned())
    };
    events.iter().filter_map(of).collect()
}

/// Waits for these events, and a moment for more of them.
async fn check(site: &Site<'_>, server: &Server, wanted: &[&str]) {
    let namespace = &site.namespace.name;
    let end = Instant::now() + PATIENCE;
    while fired(server, namespace).await.len() < wanted.len() {
        let now = fired(server, namespace).await;
        assert!(Instant::now() < end, "{now:?}, wanted {wanted:?}\n{}", server.said());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(QUIET).await;
    assert_eq!(fired(server, namespace).await, wanted, "{}", server.said());
}

/// Waits until the trigger says what it does not see, or that it sees.
async fn trouble(server: &Server, wanted: Option<&str>) {
    let end = Instant::now() + PATIENCE;
    loop {
        let view = server.get("/api/v1/triggers/watches").await;
        let told = view["trouble"][0].as_str();
        let good = match wanted {
            Some(wanted) => told.is_some_and(|told| told.contains(wanted)),
            None => told.is_none(),
        };
        if good {
            return;
        }
        assert!(Instant::now() < end, "{told:?}, wanted {wanted:?}\n{}", server.said());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A group of a test's own.
fn group() -> String {
    format!("g{}.kickoff.test", fastrand::u32(..))
}

/// A definition of a kind with nothing about it laid down; its status is one of its own, or a part of it.
fn definition(group: &str, version: &str, kind: &str, plural: &str, own_status: bool) -> Value {
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let mut served = json!({
        "name": version, "served": true, "storage": true, "schema": {"openAPIV3Schema": open},
    });
    if own_status {
        served["subresources"] = json!({"status": {}});
    }
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group, "scope": "Namespaced", "versions": [served],
            "names": {"plural": plural, "singular": kind.to_ascii_lowercase(), "kind": kind},
        },
    })
}

/// Makes the kind known to the cluster.
fn install(definition: &Value) {
    cluster().create(definition);
    let name = format!("crd/{}", definition["metadata"]["name"].as_str().unwrap());
    cluster().run(&["wait", "--for=condition=Established", &name, "--timeout=60s"]);
}

impl Site<'_> {
    fn make(&self, api_version: &str, kind: &str, name: &str) {
        let metadata = json!({"name": name, "namespace": self.namespace.name});
        self.namespace.cluster.create(
            &json!({"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": {"size": 1}}),
        );
    }

    /// Merges into an object, or into its status where that is one of its own.
    fn merge(&self, object: &str, change: &Value, own_status: bool) {
        let change = change.to_string();
        let mut arguments = vec!["patch", object, "--type=merge", "--patch", &change];
        if own_status {
            arguments.push("--subresource=status");
        }
        self.namespace.run(&arguments);
    }
}

fn ready(status: &str, reason: &str) -> Value {
    json!({"status": {"conditions": [{
        "type": "Ready", "status": status, "reason": reason, "message": "as the test says",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_map_is_made_changed_and_gone() {
    let site = site(|namespace| {
        json!({"kubernetes": {
            "apiVersion": "v1", "kind": "ConfigMap", "namespaces": [namespace], "names": ["settings"],
            "change": ["Created", "Updated", "Deleted"],
        }})
    });
    let server = site.serve();
    server.saying(WATCHED);
    site.namespace.run(&["create", "configmap", "settings", "--from-literal=mode=fast"]);
    site.namespace.run(&["create", "configmap", "other", "--from-literal=mode=fast"]);
    let mut wanted = vec!["settings created"];
    check(&site, &server, &wanted).await;
    site.merge("configmap/settings", &json!({"data": {"mode": "slow"}}), false);
    wanted.push("settings updated");
    check(&site, &server, &wanted).await;
    // The same once more changes nothing.
    site.merge("configmap/settings", &json!({"data": {"mode": "slow"}}), false);
    check(&site, &server, &wanted).await;
    let events = server.all("events").await;
    let updated = events.iter().find(|event| event["type"] == "dev.kickoff.kubernetes.updated");
    let key = updated.unwrap()["key"].as_str().unwrap();
    let event = server.get(&format!("/api/v1/events/{key}/cloudevent")).await;
    assert_eq!(event["data"]["changed"], json!(["data.mode"]), "{event:#}");
    // Nobody watches while it goes and comes back.
    server.kill();
    site.namespace.run(&["delete", "configmap", "settings"]);
    site.namespace.run(&["create", "configmap", "settings", "--from-literal=mode=fast"]);
    let server = site.serve();
    wanted.extend(["settings created", "settings deleted"]);
    check(&site, &server, &wanted).await;
    site.namespace.run(&["delete", "configmap", "settings"]);
    wanted.push("settings deleted");
    check(&site, &server, &wanted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_comes_goes_and_comes_back() {
    let group = group();
    let version = format!("{group}/v1");
    let site = site(|namespace| {
        json!({"kubernetes": {
            "apiVersion": version, "kind": "Widget", "namespaces": [namespace],
            "change": ["Condition", "Deleted"], "condition": {"type": "Ready"},
        }})
    });
    let server = site.serve();
    let missing = format!("{version} Widget is not served by the cluster");
    trouble(&server, Some(&missing)).await;
    // The others go on.
    let event = super::home::fire(&server, "passes").await;
    server.runs_of(&event, |runs| runs.len() == 1).await;
    let definition = definition(&group, "v1", "Widget", "widgets", true);
    install(&definition);
    server.saying(WATCHED);
    trouble(&server, None).await;
    let web = format!("widgets.{group}/web");
    site.make(&version, "Widget", "web");
    site.merge(&web, &ready("False", "Starting"), true);
    site.merge(&web, &ready("True", "Started"), true);
    let mut wanted = vec!["web condition"];
    check(&site, &server, &wanted).await;
    cluster().run(&["delete", "crd", &format!("widgets.{group}"), "--timeout=60s"]);
    wanted.push("web deleted");
    check(&site, &server, &wanted).await;
    trouble(&server, Some(&missing)).await;
    install(&definition);
    trouble(&server, None).await;
    site.make(&version, "Widget", "web");
    site.merge(&web, &ready("True", "Started"), true);
    wanted.push("web condition");
    check(&site, &server, &wanted).await;
    cluster().run(&["delete", "crd", &format!("widgets.{group}"), "--wait=false"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_fires_as_it_changes_also_over_kills() {
    let group = group();
    let version = format!("{group}/v1");
    install(&definition(&group, "v1", "Widget", "widgets", true));
    let site = site(|namespace| {
        json!({"kubernetes": {
            "apiVersion": version, "kind": "Widget", "namespaces": [namespace],
            "change": ["Field"], "field": {"path": "status.phase", "to": "Done"}, "oncePer": "spec.size",
        }})
    });
    let web = format!("widgets.{group}/web");
    let phase = |phase: &str| json!({"status": {"phase": phase}});
    site.make(&version, "Widget", "web");
    site.merge(&web, &phase("Going"), true);
    let server = site.serve();
    server.saying(WATCHED);
    site.merge(&web, &phase("Done"), true);
    check(&site, &server, &["web field"]).await;
    // Once for each size.
    site.merge(&web, &phase("Going"), true);
    site.merge(&web, &phase("Done"), true);
    check(&site, &server, &["web field"]).await;
    site.merge(&web, &phase("Going"), true);
    site.merge(&web, &json!({"spec": {"size": 2}}), false);
    tokio::time::sleep(QUIET).await;
    server.kill();
    site.merge(&web, &phase("Done"), true);
    for _ in 0..2 {
        let server = site.serve();
        check(&site, &server, &["web field", "web field"]).await;
        server.kill();
    }
    cluster().run(&["delete", "crd", &format!("widgets.{group}"), "--wait=false"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_of_a_namespace_decide() {
    let team = format!("team-{}", fastrand::u32(..));
    let name = format!("settings-{}", fastrand::u32(..));
    let site = site(|_| {
        json!({"kubernetes": {
            "apiVersion": "v1", "kind": "ConfigMap", "names": [name], "change": ["Created"],
            "namespaceSelector": {"matchLabels": {"kickoff.test/team": team}},
        }})
    });
    let other = cluster().namespace();
    let own = &site.namespace.name;
    cluster().run(&["label", "namespace", own, &format!("kickoff.test/team={team}")]);
    let server = site.serve();
    server.saying(WATCHED);
    other.run(&["create", "configmap", &name]);
    site.namespace.run(&["create", "configmap", &name]);
    check(&site, &server, &[&format!("{name} created")]).await;
    assert_eq!(fired(&server, &other.name).await, [""; 0]);
    // As it is when the object is made.
    cluster().run(&["label", "namespace", &other.name, &format!("kickoff.test/team={team}")]);
    other.run(&["delete", "configmap", &name]);
    tokio::time::sleep(Duration::from_secs(6)).await;
    other.run(&["create", "configmap", &name]);
    let end = Instant::now() + PATIENCE;
    while fired(&server, &other.name).await != [format!("{name} created")] {
        assert!(Instant::now() < end, "{}", server.said());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rbac_writes_is_enough() {
    let team = format!("team-{}", fastrand::u32(..));
    let site = site(|namespace| {
        json!({"kubernetes": {
            "apiVersion": "v1", "kind": "ConfigMap", "names": ["settings"], "namespaces": [namespace],
            "namespaceSelector": {"matchLabels": {"kickoff.test/team": team}}, "change": ["Created"],
        }})
    });
    let own = site.namespace.name.clone();
    cluster().run(&["label", "namespace", &own, &format!("kickoff.test/team={team}")]);
    let kubeconfig = account(&site, &[]);
    bind(&site, "kickoff", &own);
    bind(&site, "kickoff-lease", &own);
    let server = site.serve_with(&["--kubeconfig", kubeconfig.to_str().unwrap(), "--namespaces", &own]);
    trouble(&server, Some("; grant list and watch on configmaps (core) in namespace ")).await;
    let mut rbac = kickoff();
    rbac.arg("rbac").arg(site.home.definitions()).args(["--namespaces", &own]);
    let output = rbac.args(["--service-account", &format!("{own}/kickoff")]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let file = site.home.path().join("roles.yaml");
    std::fs::write(&file, &output.stdout).unwrap();
    cluster().run(&["apply", "-f", file.to_str().unwrap()]);
    server.saying(WATCHED);
    site.namespace.run(&["create", "configmap", "settings"]);
    check(&site, &server, &["settings created"]).await;
    trouble(&server, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_about_a_pod_that_fits_nowhere_is_told_with_its_repeats() {
    let site = site(|namespace| {
        json!({"kubernetesEvent": {
            "reasons": ["FailedScheduling", "Repeated"], "namespaces": [namespace],
            "involvedObject": {"apiVersion": "v1", "kind": "Pod", "name": "stuck*"},
        }})
    });
    let server = site.serve();
    server.saying(WATCHED);
    site.namespace.cluster.create(&json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "stuck", "namespace": site.namespace.name},
        "spec": {
            "nodeSelector": {"there-is": "none"},
            "containers": [{"name": "main", "image": "kickoff.test/there-is-none:1"}],
        },
    }));
    let end = Instant::now() + PATIENCE;
    while fired(&server, &site.namespace.name).await.first().is_none_or(|first| first != "Pod/stuck event") {
        assert!(Instant::now() < end, "{}", server.said());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    site.namespace.run(&["delete", "pod", "stuck", "--wait=false"]);
    // One that the test says, in the older API, and says again.
    let count = async |server: &Server| {
        let fired = fired(server, &site.namespace.name).await;
        fired.iter().filter(|told| *told == "Pod/stuck-too event").count()
    };
    let of_count = |count: u32| {
        json!({
            "apiVersion": "v1", "kind": "Event", "type": "Warning", "reason": "Repeated", "count": count,
            "metadata": {"name": "stuck-too.1", "namespace": site.namespace.name},
            "involvedObject": {
                "apiVersion": "v1", "kind": "Pod", "name": "stuck-too", "namespace": site.namespace.name,
            },
            "message": "as the test says", "source": {"component": "test"},
            "firstTimestamp": "2026-01-01T00:00:00Z",
            "lastTimestamp": format!("2026-01-01T00:00:{count:02}Z"),
        })
    };
    cluster().create(&of_count(1));
    for (index, again) in [2, 5].into_iter().enumerate() {
        let end = Instant::now() + PATIENCE;
        while count(&server).await <= index {
            assert!(Instant::now() < end, "{}", server.said());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        cluster().send(&["replace", "-f", "-", "-o", "json"], &of_count(again));
    }
    let end = Instant::now() + PATIENCE;
    while count(&server).await < 3 {
        assert!(Instant::now() < end, "{}", server.said());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    server.kill();
    let server = site.serve();
    tokio::time::sleep(QUIET).await;
    assert_eq!(count(&server).await, 3, "{}", server.said());
}
