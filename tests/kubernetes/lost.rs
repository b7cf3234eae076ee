//! What is lost on the way: what happened while nobody watched, a pod that is evicted, a node.

use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::home::{Site, fire, log, run_of, settled, until_spooled};
use super::load::soak;
use crate::support::cluster::{Cluster, NODE, cluster, on_fake_nodes, until};

fn pod(cluster: &Cluster, script: &str) -> Value {
    json!({"containers": [{"name": "main", "image": cluster.busybox, "command": ["sh", "-c", script]}],
        "terminationGracePeriodSeconds": 1})
}

fn job_of(site: &Site<'_>, run: &Value) -> String {
    let of = |job: &&Value| job["metadata"]["labels"]["kickoff.dev/run"] == run["id"];
    site.jobs().iter().find(of).unwrap()["metadata"]["name"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_watch_can_not_be_told_any_more_is_found_all_the_same() {
    let own = Cluster::own(&["--fast"]);
    let site = Site::new(
        &own,
        &[
            ("passes", json!({}), pod(&own, "echo well")),
            ("fails", json!({}), pod(&own, "sleep 3; exit 3")),
            ("deleted", json!({}), pod(&own, "sleep 1000")),
            ("stays", json!({}), pod(&own, "sleep 20; exit 4")),
        ],
    );
    let server = site.serve();
    let mut events = Vec::new();
    for name in ["passes", "fails", "deleted", "stays"] {
        events.push(fire(&server, name).await);
    }
    for event in &events[1..] {
        run_of(&server, event, |run| run["state"] == "running").await;
    }
    let deleted = job_of(&site, &run_of(&server, &events[2], |_| true).await);
    let fails = job_of(&site, &run_of(&server, &events[1], |_| true).await);
    let jobs = format!("/apis/batch/v1/namespaces/{}/jobs", site.namespace.name);
    let version = own.get(&jobs)["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    server.freeze(true);
    assert_eq!(site.namespace.ended(&fails), "Failed");
    site.namespace.run(&["delete", "job", &deleted]);
    own.tell("compact");
    // What it had in memory would still be told otherwise, and the connection hold it.
    own.tell("kill kube-apiserver");
    own.tell("start kube-apiserver");
    let since = format!("{jobs}?watch=true&timeoutSeconds=1&resourceVersion={version}");
    let answer = until("the API server", || {
        let output = own.kubectl(&["get", "--raw", &since]).stdin(Stdio::null()).output().unwrap();
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
        (said.contains("ADDED") || said.contains("too old") || said.contains("Expired")).then_some(said)
    });
    assert!(answer.contains("too old resource version") || answer.contains("Expired"), "{answer}");
    server.freeze(false);
    for (event, outcome, reason) in [
        (&events[0], "Passed", "exit code 0"),
        (&events[1], "Failed", "exit code 3"),
        (&events[2], "Cancelled", "deleted"),
        (&events[3], "Failed", "exit code 4"),
    ] {
        let run = run_of(&server, event, settled).await;
        assert_eq!((&run["outcome"], &run["reason"]), (&json!(outcome), &json!(reason)), "{run:#}");
    }
    assert!(server.said().contains("forgotten (410)"), "{}", server.said());
}

/// Asks for a pod's eviction, as a drain does.
fn evict(site: &Site<'_>, pod: &str) {
    let path = format!("/api/v1/namespaces/{}/pods/{pod}/eviction", site.namespace.name);
    let body = json!({"apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": pod, "namespace": site.namespace.name}});
    let mut create = site.namespace.cluster.kubectl(&["create", "--raw", &path, "-f", "-"]);
    let mut create = create.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    create.stdin.take().unwrap().write_all(body.to_string().as_bytes()).unwrap();
    assert!(create.wait().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_evicted_pod_is_no_failed_test() {
    let strict = json!({"job": {"spec": {"podFailurePolicy": {"rules": [
        {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]}}}});
    let site = Site::new(
        cluster(),
        &[
            ("again", json!({}), pod(cluster(), "echo begun; sleep 20")),
            ("strict", strict, pod(cluster(), "sleep 1000")),
        ],
    );
    let server = site.serve();
    let mut runs = Vec::new();
    for name in ["again", "strict"] {
        let event = fire(&server, name).await;
        let run = run_of(&server, &event, |run| run["state"] == "running").await;
        let pods = site.namespace.pods(&job_of(&site, &run));
        evict(&site, pods[0]["metadata"]["name"].as_str().unwrap());
        runs.push(event);
    }
    // The cluster puts another in its place.
    let again = run_of(&server, &runs[0], settled).await;
    assert_eq!((&again["outcome"], &again["reason"]), (&json!("Passed"), &json!("exit code 0")), "{again:#}");
    let told = log(&server, &again).await;
    assert!(told.contains("begun\n"), "{told}");
    // A template that does not want that.
    let strict = run_of(&server, &runs[1], settled).await;
    assert_eq!(strict["outcome"], "Error", "{strict:#}");
    assert!(strict["reason"].as_str().unwrap().starts_with("EvictionByEvictionAPI: "), "{strict:#}");
}

/// A priority class of the cluster; deleted when dropped.
struct Class(String);

impl Class {
    fn new(value: i32) -> Self {
        let name = format!("class-{}", fastrand::u32(..));
        cluster().create(&json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
            "metadata": {"name": name}, "value": value}));
        Self(name)
    }
}

impl Drop for Class {
    fn drop(&mut self) {
        drop(cluster().kubectl(&["delete", "priorityclass", &self.0]).stdin(Stdio::null()).output());
    }
}

/// Both want the larger part of the node.
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_makes_way_for_another_is_no_failed_test() {
    let (low, high) = (Class::new(-10), Class::new(-5));
    let nodes = cluster().get("/api/v1/nodes");
    let real = |node: &&Value| node["metadata"]["labels"]["type"] != "kwok";
    let node = nodes["items"].as_array().unwrap().iter().find(real).unwrap();
    let cores = node["status"]["allocatable"]["cpu"].as_str().unwrap();
    let cores = cores
        .strip_suffix('m')
        .map_or_else(|| cores.parse::<u32>().unwrap() * 1_000, |thousandths| thousandths.parse().unwrap());
    let most = |class: &Class, script: &str| {
        let mut pod = pod(cluster(), script);
        pod["priorityClassName"] = json!(class.0);
        pod["nodeSelector"] =
            json!({"kubernetes.io/hostname": node["metadata"]["labels"]["kubernetes.io/hostname"]});
        pod["containers"][0]["resources"] = json!({"requests": {"cpu": format!("{}m", cores / 10 * 6)}});
        pod
    };
    let fields = json!({"job": {"spec": {"backoffLimit": 0, "podFailurePolicy": {"rules": [
        {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]}}}});
    let site = Site::new(
        cluster(),
        &[("yields", fields, most(&low, "sleep 1000")), ("takes", json!({}), most(&high, "echo well"))],
    );
    let server = site.serve();
    let yields = fire(&server, "yields").await;
    run_of(&server, &yields, |run| run["state"] == "running").await;
    let takes = fire(&server, "takes").await;
    let run = run_of(&server, &yields, settled).await;
    assert_eq!(run["outcome"], "Error", "{run:#}");
    assert!(run["reason"].as_str().unwrap().starts_with("PreemptionByScheduler: "), "{run:#}");
    assert_eq!(run_of(&server, &takes, settled).await["outcome"], "Passed");
}

/// Where it refuses to answer, and, in the long form, where it says nothing at all: that may pass for five minutes.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_lost_is_no_failed_test() {
    lose("kill", Duration::ZERO).await;
    if soak() {
        lose("freeze", Duration::from_mins(6)).await;
    }
}

async fn lose(how: &str, silent: Duration) {
    let own = Cluster::own(&["--fast"]);
    let mut pod = pod(&own, "echo begun; sleep 1000");
    let tolerates = |key: &str| {
        json!({"key": format!("node.kubernetes.io/{key}"), "operator": "Exists",
        "effect": "NoExecute", "tolerationSeconds": 1})
    };
    pod["tolerations"] = json!([tolerates("unreachable"), tolerates("not-ready")]);
    // Where no node is left at all, none is given up.
    own.fake_nodes(2);
    let site = Site::new(&own, &[("lost", json!({}), pod)]);
    let server = site.serve();
    let event = fire(&server, "lost").await;
    let run = run_of(&server, &event, |run| run["state"] == "running").await;
    until_spooled(&site, &run);
    own.tell(&format!("{how} kubelet"));
    let run = run_of(&server, &event, |run| run["outcome"].is_string()).await;
    assert_eq!(run["outcome"], "Error", "{run:#}");
    let reason = run["reason"].as_str().unwrap();
    assert!(reason.starts_with("DeletionByTaintManager: "), "{run:#}");
    assert!(reason.ends_with(&format!("node {NODE} does not say what became of the pod")), "{run:#}");
    tokio::time::sleep(silent).await;
    let run = run_of(&server, &event, settled).await;
    assert_eq!(run["attempts"][0]["log"], "partial", "{run:#}");
    assert_eq!(log(&server, &run).await, "begun\n\n[kickoff: the log broke off here: 6 bytes are kept]\n");
}

/// Its pods go on and end, and nobody is told of it, nor of what they say, until it goes on itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_freezes_delays_no_other_run() {
    let own = Cluster::own(&["--fast"]);
    own.fake_nodes(2);
    let mut elsewhere = on_fake_nodes();
    elsewhere["containers"] = json!([{"name": "main", "image": "kickoff.test/none:1"}]);
    let frozen = pod(&own, "echo begun; sleep 45; echo ended; exit 3");
    let site = Site::new(&own, &[("frozen", json!({}), frozen), ("well", json!({}), elsewhere)]);
    let mut server = site.serve();
    let mut events = Vec::new();
    for _ in 0..3 {
        events.push(fire(&server, "frozen").await);
    }
    for event in &events {
        let run = run_of(&server, event, |run| run["state"] == "running").await;
        until_spooled(&site, &run);
    }
    // All of them have ended by then, unless they began later.
    let ended = Instant::now() + Duration::from_secs(50);
    let well = fire(&server, "well").await;
    run_of(&server, &well, |run| run["outcome"].is_string()).await;
    own.tell("freeze kubelet");
    // At first the logs are followed from before; then they are asked for, and the node does not answer.
    for asked in [false, true] {
        if asked {
            server.kill();
            server = site.serve();
        }
        let well = fire(&server, "well").await;
        // A call to the node may take 30 s.
        let ended = run_of(&server, &well, |run| run["outcome"].is_string());
        let run = tokio::time::timeout(Duration::from_secs(25), ended).await.expect("it waits for the node");
        assert_eq!(run["outcome"], "Passed", "{run:#}");
    }
    tokio::time::sleep_until(ended.into()).await;
    for event in &events {
        let run = run_of(&server, event, |_| true).await;
        assert_eq!(run["state"], "running", "the node told of it: {run:#}");
    }
    own.tell("thaw kubelet");
    for event in &events {
        let run = run_of(&server, event, settled).await;
        assert_eq!((&run["outcome"], &run["reason"]), (&json!("Failed"), &json!("exit code 3")), "{run:#}");
        assert_eq!(log(&server, &run).await, "begun\nended\n");
    }
}
