//! A server whose runs become Jobs of the suites' cluster, in a namespace of the test's own.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::cluster::{Cluster, Namespace, PATIENCE, cluster, until};
use crate::support::door::Door;
use crate::support::{Home, Server, Starting, client};

/// Proves deliveries.
pub(super) const TOKEN: &str = "planted";

/// A folder, a namespace, and an instance that no other test has.
pub(super) struct Site<'cluster> {
    pub(super) home: Home,
    pub(super) namespace: Namespace<'cluster>,
    pub(super) instance: String,
}

impl<'cluster> Site<'cluster> {
    /// With templates and triggers: `(name, fields of the template, pod spec)`, each fired by its name. Of the
    /// fields `inNamespace` says where it runs, and `policy` is its trigger's.
    pub(super) fn new(cluster: &'cluster Cluster, templates: &[(&str, Value, Value)]) -> Self {
        let namespace = cluster.namespace();
        let mut documents = vec![json!({
            "apiVersion": "kickoff.dev/v1alpha1", "kind": "Webhook", "metadata": {"name": "load"},
            "spec": {"provider": "token", "secrets": [{"env": "LOAD_TOKEN"}], "auth": {"idHeader": "X-Id"}},
        })];
        for (name, fields, pod) in templates {
            let mut spec = fields.clone();
            let mut job = spec["job"].take();
            job["spec"]["template"]["spec"] = pod.clone();
            spec["job"] = job;
            let other = spec.as_object_mut().unwrap().remove("inNamespace");
            let policy = spec.as_object_mut().unwrap().remove("policy");
            spec["namespace"] = other.unwrap_or_else(|| json!(namespace.name));
            documents.push(json!({
                "apiVersion": "kickoff.dev/v1alpha1", "kind": "JobTemplate",
                "metadata": {"name": name}, "spec": spec,
            }));
            documents.push(json!({
                "apiVersion": "kickoff.dev/v1alpha1", "kind": "Trigger", "metadata": {"name": name},
                "spec": {
                    "sources": [{"webhook": {"name": "load"}}],
                    "match": [{"path": "event.data.run", "equals": name}],
                    "runs": [{"template": name}],
                    "policy": policy.unwrap_or_else(|| json!({})),
                },
            }));
        }
        let text: Vec<String> = documents.iter().map(Value::to_string).collect();
        let instance = format!("i{}", fastrand::u32(..));
        Self { home: Home::new(&text.join("\n---\n")), namespace, instance }
    }

    pub(super) fn serve(&self) -> Server {
        self.serve_with(&[])
    }

    pub(super) fn serve_with(&self, further: &[&str]) -> Server {
        self.begin(&self.home, further).listening()
    }

    /// Serves a cluster that is behind a door.
    pub(super) fn serve_through(&self, door: &Door, further: &[&str]) -> Server {
        let kubeconfig = self.home.path().join("door");
        std::fs::write(&kubeconfig, door.kubeconfig.to_string()).unwrap();
        self.serve_with(&[&["--kubeconfig", kubeconfig.to_str().unwrap()], further].concat())
    }

    /// Another data folder with the same definitions.
    pub(super) fn twin(&self) -> Home {
        Home::new(&std::fs::read_to_string(self.home.definitions().join("all.yaml")).unwrap())
    }

    /// Starts this instance on a data folder.
    pub(super) fn begin(&self, home: &Home, further: &[&str]) -> Starting {
        let kubeconfig = self.namespace.cluster.kubeconfig.to_str().unwrap();
        let mut arguments = vec!["--executor", "kubernetes", "--instance", &self.instance];
        if !further.contains(&"--kubeconfig") {
            arguments.extend(["--kubeconfig", kubeconfig]);
        }
        arguments.extend(further);
        let variables = [("LOAD_TOKEN", TOKEN), ("RUST_LOG", "kickoff=debug,info,kube_client=off")];
        home.begin(&arguments, &variables)
    }

    /// All Jobs of this namespace.
    pub(super) fn jobs(&self) -> Vec<Value> {
        let path = format!("/apis/batch/v1/namespaces/{}/jobs", self.namespace.name);
        self.namespace.cluster.get(&path)["items"].as_array().unwrap().clone()
    }

    /// All pods of this namespace.
    pub(super) fn pods(&self) -> Vec<Value> {
        let path = format!("/api/v1/namespaces/{}/pods", self.namespace.name);
        self.namespace.cluster.get(&path)["items"].as_array().unwrap().clone()
    }
}

/// Fires a template's trigger; gives the event's key.
pub(super) async fn fire(server: &Server, name: &str) -> String {
    let sent = client()
        .post(format!("{}/hooks/load", server.url))
        .header("content-type", "application/json")
        .header("x-id", fastrand::u64(..).to_string())
        .bearer_auth(TOKEN)
        .body(json!({"run": name}).to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(sent.status(), 202);
    let receipt: Value = sent.json().await.unwrap();
    receipt["event"].as_str().unwrap().to_owned()
}

/// A pod that runs a script, and ends at once when it is told to.
pub(super) fn pod(script: &str) -> Value {
    json!({"containers": [{"name": "main", "image": cluster().busybox, "command": ["sh", "-c", script]}],
        "terminationGracePeriodSeconds": 1})
}

/// Cancels a run.
pub(super) async fn cancel(server: &Server, run: &Value) {
    let url = format!("{}/api/v1/runs/{}/cancel", server.url, run["id"].as_str().unwrap());
    let asked = client().post(url).header("idempotency-key", "one").send().await.unwrap();
    assert_eq!(asked.status(), 202);
}

/// Waits until `wanted` holds of the only run of an event, and gives it.
pub(super) async fn run_of(server: &Server, event: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let until = Instant::now() + PATIENCE;
    loop {
        let page = server.get(&format!("/api/v1/runs?event={event}")).await;
        let run = &page["items"][0];
        if run.is_object() && wanted(run) {
            return run.clone();
        }
        assert!(Instant::now() < until, "the run of {event} is {run:#}\n{}", server.said());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Whether a run has ended and all that is to be kept of it is.
pub(super) fn settled(run: &Value) -> bool {
    run["state"] == "settled"
}

/// The log of a run, as the API gives it; empty where there is none.
pub(super) async fn log(server: &Server, run: &Value) -> String {
    let url = format!("{}/api/v1/runs/{}/log", server.url, run["id"].as_str().unwrap());
    let answer = client().get(url).send().await.unwrap();
    if answer.status() == 404 {
        return String::new();
    }
    assert_eq!(answer.status(), 200);
    answer.text().await.unwrap()
}

/// Waits until some of what the run says is in the server's folder.
pub(super) fn until_spooled(site: &Site<'_>, run: &Value) {
    let folder = site.home.data().join(format!("kubernetes/{}-1", run["id"].as_str().unwrap()));
    until("the beginning of the log", || {
        let files = std::fs::read_dir(&folder).ok()?;
        files.flatten().find(|file| file.metadata().is_ok_and(|file| file.len() > 0)).map(drop)
    });
}
