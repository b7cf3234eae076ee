//! A server and a cluster that fail each other: killed processes, an API server that is away, a Role that is
//! missing. Each accepted event still has one Job for each attempt, and one verdict.

use std::collections::BTreeMap;
use std::time::Duration;

use kickoff::engine::machine::JobId;
use kickoff::engine::render::Manifest;
use kickoff::outside::clock::Clock;
use kickoff::outside::kubernetes::{Cluster as Place, connect};
use kickoff::runs::executor::{Created, Executor as _, ExecutorError, JobSpec};
use kickoff::runs::kubernetes::{KubernetesExecutor, KubernetesOptions};
use serde_json::{Value, json};

use super::home::{Site, fire, pod, run_of, settled};
use crate::support::cluster::{Cluster, cluster, until};
use crate::support::{Server, client};

pub(super) async fn ready(server: &Server) -> (u16, String) {
    let answer = client().get(format!("{}/readyz", server.url)).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_made_once_and_taken_up_by_its_name_and_labels() {
    // For its side effect: the library's clients need the provider of TLS.
    drop(client());
    let namespace = cluster().namespace();
    let place = Place { kubeconfig: Some(cluster().kubeconfig.clone()), context: None };
    let connection = connect(&place).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let executor = |instance: &str| {
        let opened = KubernetesExecutor::open(KubernetesOptions {
            api: connection.api(),
            instance: instance.to_owned(),
            data_folder: "0123456789abcdef".to_owned(),
            namespaces: Vec::new(),
            folder: folder.path().join(instance),
            log_cap: 1 << 20,
            clock: Clock::System,
            lease: None,
        });
        opened.unwrap()
    };
    let id: JobId = serde_json::from_value(json!({"run": "0123456789abcdef0123", "attempt": 1})).unwrap();
    let name = format!("once-{id}");
    let spec = |instance: &str| {
        let labels = json!({"app.kubernetes.io/managed-by": "kickoff", "kickoff.dev/instance": instance,
            "kickoff.dev/run": id.run.to_string(), "kickoff.dev/attempt": "1"});
        let mut template = pod("true");
        template["restartPolicy"] = json!("Never");
        let manifest = json!({"apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": name, "namespace": namespace.name, "labels": labels},
            "spec": {"template": {"metadata": {"labels": labels}, "spec": template}}});
        JobSpec {
            id: id.clone(),
            name: name.clone(),
            namespace: namespace.name.clone(),
            manifest: Manifest::of(&manifest).unwrap(),
            timeout_ms: 60_000,
        }
    };
    let instance = format!("i{}", fastrand::u32(..));
    let Created::New(uid) = executor(&instance).create(&spec(&instance)).await.unwrap() else {
        panic!("there was one")
    };
    // Another process of the same instance, which knows nothing of it.
    assert_eq!(executor(&instance).create(&spec(&instance)).await.unwrap(), Created::Adopted(uid));
    let refused = executor("another").create(&spec("another")).await.unwrap_err();
    assert!(
        matches!(refused, ExecutorError::Permanent { ref reason, .. } if reason == "nameTaken"),
        "{refused}"
    );
    let mut invalid = spec(&instance);
    let mut manifest = invalid.manifest.job().unwrap();
    manifest["metadata"]["name"] = json!("other");
    manifest["spec"]["template"]["spec"]["restartPolicy"] = json!("Always");
    invalid.manifest = Manifest::of(&manifest).unwrap();
    let refused = executor(&instance).create(&invalid).await.unwrap_err().to_string();
    assert!(
        refused.starts_with("invalid: Job.batch \"other\" is invalid: spec.template.spec.restartPolicy"),
        "{refused}"
    );
    let mut nowhere = spec(&instance);
    nowhere.namespace = "there-is-none".to_owned();
    let mut manifest = nowhere.manifest.job().unwrap();
    manifest["metadata"]["namespace"] = json!("there-is-none");
    nowhere.manifest = Manifest::of(&manifest).unwrap();
    let refused = executor(&instance).create(&nowhere).await.unwrap_err().to_string();
    assert_eq!(refused, "namespaceMissing: namespaces \"there-is-none\" not found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_at_any_moment_makes_each_job_once() {
    let site = Site::new(
        cluster(),
        &[("passes", json!({}), pod("true")), ("fails", json!({}), pod("sleep 1; exit 1"))],
    );
    let mut events = Vec::new();
    for round in 0..6_u64 {
        let server = site.serve();
        for name in ["passes", "fails", "passes"] {
            events.push((name, fire(&server, name).await));
        }
        // From before the creation to after the end.
        tokio::time::sleep(Duration::from_millis(round * round * 40)).await;
        server.kill();
    }
    let server = site.serve();
    for (name, event) in &events {
        let run = run_of(&server, event, settled).await;
        assert_eq!(run["outcome"], if *name == "passes" { "Passed" } else { "Failed" }, "{run:#}");
        assert_eq!(run["attempts"].as_array().map_or(1, Vec::len), 1, "{run:#}");
    }
    let mut of_run = BTreeMap::new();
    for job in site.jobs() {
        *of_run.entry(job["metadata"]["labels"]["kickoff.dev/run"].to_string()).or_insert(0) += 1;
    }
    assert_eq!(of_run.len(), events.len());
    assert!(of_run.values().all(|count| *count == 1), "{of_run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_is_away_turns_nothing_away_and_nothing_is_lost() {
    let own = Cluster::own(&["--fast"]);
    let site = Site::new(
        &own,
        &[("passes", json!({}), pod("echo well")), ("slow", json!({}), pod("sleep 4; exit 3"))],
    );
    let server = site.serve();
    let slow = fire(&server, "slow").await;
    run_of(&server, &slow, |run| run["state"] == "running").await;
    own.tell("kill kube-apiserver");
    // The pod ends while nobody can see it.
    let away = fire(&server, "passes").await;
    until("the API server's absence", || {
        server.said().contains("can't see the Jobs of all namespaces").then_some(())
    });
    let (status, told) = ready(&server).await;
    assert_eq!(status, 200, "{told}");
    assert!(
        told.contains("cluster: ready: Jobs of all namespaces: the API server can't be reached"),
        "{told}"
    );
    tokio::time::sleep(Duration::from_secs(5)).await;
    own.tell("start kube-apiserver");
    let run = run_of(&server, &slow, settled).await;
    assert_eq!((&run["outcome"], &run["exitCode"]), (&json!("Failed"), &json!(3)), "{run:#}");
    let run = run_of(&server, &away, settled).await;
    assert_eq!(run["outcome"], "Passed", "{run:#}");
    assert_eq!(site.jobs().len(), 2);
    until("all is well", || {
        server.said().contains("the pods of all namespaces are seen again").then_some(())
    });
    until("all is well", || {
        server.said().contains("the Jobs of all namespaces are seen again").then_some(())
    });
    let told = ready(&server).await.1;
    assert!(told.contains("cluster: ready\n"), "{told}");
}

/// A kubeconfig of a service account that may do in some namespaces what Kickoff needs.
pub(super) fn account(site: &Site<'_>, others: &[&str]) -> std::path::PathBuf {
    let cluster = site.namespace.cluster;
    let own = &site.namespace.name;
    site.namespace.run(&["create", "serviceaccount", "kickoff"]);
    for place in [&[own.as_str()], others].concat() {
        // As people do; the account that it binds is not there.
        let role = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/kickoff-tests/role.yaml");
        cluster.run(&["--namespace", place, "apply", "-f", role]);
    }
    let rule = json!({"apiGroups": ["coordination.k8s.io"], "resources": ["leases"],
        "verbs": ["get", "create", "update"]});
    let meta = json!({"name": "kickoff-lease", "namespace": own});
    cluster.create(&json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": meta,
        "rules": [rule]}));
    let token = site.namespace.run(&["create", "token", "kickoff"]);
    let text = cluster.run(&["config", "view", "--raw", "--minify", "--flatten", "--output", "json"]);
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config["users"][0]["user"] = json!({"token": token.trim()});
    // As in a pod, this is where its Lease is.
    config["contexts"][0]["context"]["namespace"] = json!(own);
    let file = site.home.path().join("kubeconfig");
    std::fs::write(&file, config.to_string()).unwrap();
    file
}

pub(super) fn bind(site: &Site<'_>, role: &str, place: &str) {
    site.namespace.cluster.create(
        &json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": format!("here-{role}"), "namespace": place},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": "kickoff", "namespace": site.namespace.name}]}),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_without_its_role_is_told_and_harms_no_other() {
    let other = cluster().namespace();
    let site = Site::new(
        cluster(),
        &[
            ("here", json!({}), pod("echo here")),
            ("there", json!({"inNamespace": other.name}), pod("echo there")),
            ("elsewhere", json!({"inNamespace": "default"}), pod("echo elsewhere")),
        ],
    );
    let kubeconfig = account(&site, &[&other.name]);
    bind(&site, "kickoff", &site.namespace.name);
    bind(&site, "kickoff-lease", &site.namespace.name);
    let namespaces = format!("{},{}", site.namespace.name, other.name);
    let server =
        site.serve_with(&["--kubeconfig", kubeconfig.to_str().unwrap(), "--namespaces", &namespaces]);
    let there = fire(&server, "there").await;
    for _ in 0..3 {
        let here = fire(&server, "here").await;
        let run = run_of(&server, &here, settled).await;
        assert_eq!(run["outcome"], "Passed", "{run:#}");
    }
    let run = run_of(&server, &there, |run| run["state"] == "launching").await;
    until("the API server's words", || server.said().contains("cannot create resource").then_some(()));
    let (status, told) = ready(&server).await;
    assert_eq!(status, 200);
    assert!(told.contains(&format!("Jobs of namespace {}: jobs.batch is forbidden", other.name)), "{told}");
    assert!(!told.contains(&format!("Jobs of namespace {}", site.namespace.name)), "{told}");
    bind(&site, "kickoff", &other.name);
    let healed = run_of(&server, &there, settled).await;
    assert_eq!((&healed["outcome"], &healed["id"]), (&json!("Passed"), &run["id"]), "{healed:#}");
    let elsewhere = fire(&server, "elsewhere").await;
    let run = run_of(&server, &elsewhere, settled).await;
    assert_eq!(run["reason"], "namespaceNotServed: namespace default is none of --namespaces", "{run:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_a_queue_is_held_back_and_left_alone() {
    let queued = json!({"startTimeout": "6s", "job": {"metadata": {"labels": {"kueue.x-k8s.io/queue-name": "tests"}}}});
    let site = Site::new(cluster(), &[("queued", queued, pod("echo well"))]);
    let server = site.serve();
    let event = fire(&server, "queued").await;
    let run = run_of(&server, &event, |run| run["state"] == "submitted").await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    let again = run_of(&server, &event, |_| true).await;
    assert_eq!(again["state"], run["state"]);
    let jobs = site.jobs();
    assert_eq!(jobs[0]["spec"]["suspend"], true);
    let name = jobs[0]["metadata"]["name"].as_str().unwrap();
    // As Kueue does once there is room.
    site.namespace.run(&["patch", "job", name, "--type=merge", "-p", r#"{"spec":{"suspend":false}}"#]);
    let run = run_of(&server, &event, settled).await;
    assert_eq!(run["outcome"], "Passed", "{run:#}");
}
