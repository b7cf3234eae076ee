//! Rollouts of real Deployments, by the cluster's own controllers: each that was the newest fires once, whatever
//! becomes of the server meanwhile, and nothing else fires. Their pods are on nodes that run nothing.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::home::Site;
use super::troubles::{account, bind, ready};
use crate::support::Server;
use crate::support::cluster::{Cluster, PATIENCE, cluster, on_fake_nodes, until};

/// How long nothing may come after something that fires nothing.
pub(super) const QUIET: Duration = Duration::from_secs(2);
/// What the log says once a kind is watched.
pub(super) const WATCHED: &str = "watched for the first time";

fn site() -> Site<'static> {
    site_on(cluster())
}

/// A server's home with a trigger that takes every change of Deployments of its namespace.
pub(super) fn site_on(cluster: &Cluster) -> Site<'_> {
    cluster.fake_nodes(2);
    let mut pod = on_fake_nodes();
    pod["containers"] = json!([{"name": "main", "image": "kickoff.test/there-is-none:1"}]);
    let site = Site::new(cluster, &[("passes", json!({}), pod)]);
    let source = json!({"kubernetes": {
        "apiVersion": "apps/v1", "kind": "Deployment", "namespaces": [site.namespace.name],
        "labelSelector": {"matchLabels": {"smoke": "true"}}, "change": ["RolledOut", "RolloutFailed"],
    }});
    let trigger = json!({
        "apiVersion": "kickoff.dev/v1alpha1", "kind": "Trigger", "metadata": {"name": "after-rollout"},
        "spec": {"sources": [source], "runs": [{"template": "passes"}]},
    });
    let before = std::fs::read_to_string(site.home.definitions().join("all.yaml")).unwrap();
    site.home.define(&format!("{before}\n---\n{trigger}"));
    site
}

impl Site<'_> {
    pub(super) fn deployment(&self, name: &str) -> String {
        format!("/apis/apps/v1/namespaces/{}/deployments/{name}", self.namespace.name)
    }

    /// Creates a Deployment of two replicas.
    pub(super) fn deploy(&self, name: &str) {
        let mut pod = on_fake_nodes();
        pod["containers"] = json!([{"name": "web", "image": "kickoff.test/web:1"}]);
        pod["terminationGracePeriodSeconds"] = json!(0);
        self.namespace.cluster.create(&json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name, "namespace": self.namespace.name, "labels": {"smoke": "true"}},
            "spec": {
                "replicas": 2, "progressDeadlineSeconds": 600,
                "selector": {"matchLabels": {"app": name}},
                "template": {"metadata": {"labels": {"app": name}}, "spec": pod},
            },
        }));
    }

    pub(super) fn image(&self, name: &str, version: u32) {
        let image = format!("web=kickoff.test/web:{version}");
        self.namespace.run(&["set", "image", &format!("deployment/{name}"), &image]);
    }

    fn undo(&self, name: &str) {
        self.namespace.run(&["rollout", "undo", &format!("deployment/{name}")]);
    }

    /// Waits as a person would.
    pub(super) fn rolled_out(&self, name: &str) {
        self.namespace.run(&["rollout", "status", &format!("deployment/{name}"), "--timeout=180s"]);
    }

    pub(super) fn uid(&self, name: &str) -> String {
        let object = self.namespace.cluster.get(&self.deployment(name));
        object["metadata"]["uid"].as_str().unwrap().to_owned()
    }

    /// What a server has not seen when it comes back. One is changed twice: only the newest is of interest. One goes
    /// and comes back, one is new.
    pub(super) fn change_behind(&self) {
        for version in [2, 3] {
            self.image("web", version);
            self.rolled_out("web");
        }
        let before = self.uid("api");
        self.namespace.run(&["delete", "deployment", "api"]);
        self.deploy("api");
        self.rolled_out("api");
        assert_ne!(self.uid("api"), before);
        self.deploy("new");
        self.rolled_out("new");
    }

    pub(super) fn revision(&self, name: &str) -> String {
        let object = self.namespace.cluster.get(&self.deployment(name));
        object["metadata"]["annotations"]["deployment.kubernetes.io/revision"].as_str().unwrap().to_owned()
    }
}

/// Decided events of this namespace's objects, the oldest first: `web rolledout 2`.
pub(super) async fn fired(site: &Site<'_>, server: &Server) -> Vec<String> {
    let mut events = server.all("events").await;
    events.reverse();
    let prefix = format!("{}/", site.namespace.name);
    let of = |event: &Value| {
        if event["source"] != "/kubernetes/apps/Deployment" {
            return None;
        }
        let name = event["subject"].as_str()?.strip_prefix(&prefix)?.to_owned();
        let id: Vec<&str> = event["id"].as_str()?.split('.').collect();
        assert_eq!(event["decisions"][0]["decision"], "fired", "{event:#}");
        Some(format!("{name} {} {}", id[2], id[3]))
    };
    events.iter().filter_map(of).collect()
}

/// Waits for these events, and a moment for more of them.
async fn check(site: &Site<'_>, server: &Server, wanted: &[&str]) {
    let end = Instant::now() + PATIENCE;
    while fired(site, server).await.len() < wanted.len() {
        assert!(
            Instant::now() < end,
            "{:?}, wanted {wanted:?}\n{}",
            fired(site, server).await,
            server.said()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(QUIET).await;
    assert_eq!(fired(site, server).await, wanted, "{}", server.said());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_rollout_fires_once_and_nothing_else_does() {
    let site = site();
    site.deploy("old");
    site.rolled_out("old");
    let server = site.serve();
    server.saying(WATCHED);
    let mut wanted = vec!["web rolledout 1"];
    site.deploy("web");
    check(&site, &server, &wanted).await;
    site.image("web", 2);
    wanted.push("web rolledout 2");
    check(&site, &server, &wanted).await;
    // A scale, and pods that are replaced.
    site.namespace.run(&["scale", "deployment/web", "--replicas=4"]);
    site.rolled_out("web");
    site.namespace.run(&["delete", "pods", "--selector=app=web", "--wait=false"]);
    site.namespace.run(&["annotate", "deployment/web", "note=1"]);
    check(&site, &server, &wanted).await;
    // Paused, it only waits; resumed, it is a rollout.
    site.namespace.run(&["rollout", "pause", "deployment/web"]);
    site.image("web", 3);
    check(&site, &server, &wanted).await;
    site.namespace.run(&["rollout", "resume", "deployment/web"]);
    wanted.push("web rolledout 3");
    check(&site, &server, &wanted).await;
    site.undo("web");
    wanted.push("web rolledout 4");
    check(&site, &server, &wanted).await;
    site.namespace.run(&["rollout", "restart", "deployment/web"]);
    wanted.push("web rolledout 5");
    check(&site, &server, &wanted).await;
    // No node has this.
    let nowhere = json!({"spec": {
        "progressDeadlineSeconds": 2,
        "template": {"spec": {"nodeSelector": {"there-is": "none"}}},
    }});
    site.namespace.run(&["patch", "deployment", "web", "--patch", &nowhere.to_string()]);
    wanted.push("web rolloutfailed 6");
    check(&site, &server, &wanted).await;
    let patient = r#"{"spec": {"progressDeadlineSeconds": 600}}"#;
    site.namespace.run(&["patch", "deployment", "web", "--patch", patient]);
    check(&site, &server, &wanted).await;
    site.undo("web");
    wanted.push("web rolledout 7");
    check(&site, &server, &wanted).await;
    until("a Job for each", || (site.jobs().len() == wanted.len()).then_some(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_while_no_server_is_there_fires_once_after_it() {
    let site = site();
    let server = site.serve();
    server.saying(WATCHED);
    site.deploy("web");
    site.deploy("api");
    let first = BTreeSet::from(["api rolledout 1".to_owned(), "web rolledout 1".to_owned()]);
    let end = Instant::now() + PATIENCE;
    while fired(&site, &server).await.into_iter().collect::<BTreeSet<_>>() != first {
        assert!(Instant::now() < end, "{}", server.said());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    server.kill();
    site.change_behind();
    let wanted: BTreeSet<String> =
        ["api rolledout 1", "new rolledout 1", "web rolledout 3"].map(str::to_owned).into();
    // Its first list makes the events; the second start makes none.
    for round in 0..2 {
        let server = site.serve();
        let end = Instant::now() + PATIENCE;
        while fired(&site, &server).await.len() < 5 {
            assert!(Instant::now() < end, "round {round}: {:?}", fired(&site, &server).await);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        tokio::time::sleep(QUIET).await;
        let fired = fired(&site, &server).await;
        assert_eq!(fired.len(), 5, "round {round}: {fired:?}\n{}", server.said());
        assert_eq!(fired[2..].iter().cloned().collect::<BTreeSet<_>>(), wanted, "round {round}");
        assert!(!server.said().contains(WATCHED), "it began anew");
        server.kill();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_at_any_moment_miss_no_newest_rollout_and_double_none() {
    let site = site();
    let mut server = site.serve();
    server.saying(WATCHED);
    site.deploy("web");
    check(&site, &server, &["web rolledout 1"]).await;
    for version in 2..10 {
        site.image("web", version);
        if version % 2 == 0 {
            site.rolled_out("web");
        }
        tokio::time::sleep(Duration::from_millis(fastrand::u64(..300))).await;
        server.kill();
        server = site.serve();
    }
    site.rolled_out("web");
    let newest = format!("web rolledout {}", site.revision("web"));
    let end = Instant::now() + PATIENCE;
    while !fired(&site, &server).await.contains(&newest) {
        assert!(Instant::now() < end, "{newest} is not in {:?}", fired(&site, &server).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(QUIET).await;
    let fired = fired(&site, &server).await;
    assert_eq!(fired.last(), Some(&newest), "{fired:?}");
    let once: BTreeSet<&String> = fired.iter().collect();
    assert_eq!(once.len(), fired.len(), "{fired:?}");
    until("a Job for each", || (site.jobs().len() == fired.len()).then_some(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_is_missing_is_told_and_harms_nothing_else() {
    let site = site();
    let kubeconfig = account(&site, &[]);
    bind(&site, "kickoff", &site.namespace.name);
    bind(&site, "kickoff-lease", &site.namespace.name);
    let role = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles/kickoff", site.namespace.name);
    let rules = cluster().get(&role)["rules"].as_array().unwrap().clone();
    let index = rules.iter().position(|rule| rule["apiGroups"] == json!(["apps"])).unwrap();
    let remove = json!([{"op": "remove", "path": format!("/rules/{index}")}]).to_string();
    site.namespace.run(&["patch", "role", "kickoff", "--type=json", "--patch", &remove]);
    let namespaces = site.namespace.name.clone();
    let server =
        site.serve_with(&["--kubeconfig", kubeconfig.to_str().unwrap(), "--namespaces", &namespaces]);
    let place = format!("Deployments of namespace {namespaces}: ");
    let grant = format!("; grant list and watch on deployments (apps) in namespace {namespaces}");
    let end = Instant::now() + PATIENCE;
    let trouble = loop {
        let view = server.get("/api/v1/triggers/after-rollout").await;
        if let Some(text) = view["trouble"][0].as_str() {
            break text.to_owned();
        }
        assert!(Instant::now() < end, "{}", server.said());
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert!(
        trouble.starts_with(&place) && trouble.contains("is forbidden") && trouble.ends_with(&grant),
        "{trouble}"
    );
    let (status, told) = ready(&server).await;
    assert_eq!(status, 200);
    assert!(told.contains(&format!("watches: ready: {place}")), "{told}");
    let event = super::home::fire(&server, "passes").await;
    super::home::run_of(&server, &event, super::home::settled).await;
    let add = json!([{"op": "add", "path": "/rules/-", "value": rules[index]}]).to_string();
    site.namespace.run(&["patch", "role", "kickoff", "--type=json", "--patch", &add]);
    server.saying(WATCHED);
    site.deploy("web");
    check(&site, &server, &["web rolledout 1"]).await;
    let view = server.get("/api/v1/triggers/after-rollout").await;
    assert_eq!(view["trouble"], json!([]), "{view:#}");
}
