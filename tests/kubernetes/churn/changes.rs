//! Makes changes of a namespace's objects, one after the other and at an even pace, and asks nobody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Method;
use kube::Client;
use serde_json::{Value, json};

use crate::support::cluster::on_fake_nodes;

/// Between two changes: 200 a minute.
const EVERY: Duration = Duration::from_millis(300);
/// ConfigMaps and Deployments that are there from the beginning on.
const MAPS: usize = 10;
pub(super) const DEPLOYMENTS: usize = 4;

/// Writes into a namespace.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) client: Client,
    pub(super) namespace: String,
}

/// What is changed.
pub(super) struct Changes {
    place: Place,
    /// Names of those that are there.
    maps: Vec<String>,
    /// Each change has a number, which what it changes shows.
    count: u64,
}

impl Place {
    /// Of a collection, `configmaps` or `deployments`.
    pub(super) fn path(&self, plural: &str) -> String {
        let group = if plural == "deployments" { "apis/apps" } else { "api" };
        format!("/{group}/v1/namespaces/{}/{plural}", self.namespace)
    }

    async fn send(&self, method: Method, path: &str, kind: &str, body: Vec<u8>) {
        let request = http::Request::builder().method(method).uri(path).header("Content-Type", kind);
        self.client.request_text(request.body(body).unwrap()).await.unwrap();
    }

    async fn post(&self, plural: &str, object: &Value) {
        let body = serde_json::to_vec(object).unwrap();
        self.send(Method::POST, &self.path(plural), "application/json", body).await;
    }

    async fn merge(&self, plural: &str, name: &str, change: &Value) {
        let (path, body) = (format!("{}/{name}", self.path(plural)), serde_json::to_vec(change).unwrap());
        self.send(Method::PATCH, &path, "application/merge-patch+json", body).await;
    }

    /// A ConfigMap whose number and phase are this.
    pub(super) async fn make_map(&self, name: &str, number: u64) {
        let data = json!({"number": number.to_string(), "phase": number.to_string()});
        let meta = json!({"name": name});
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data});
        self.post("configmaps", &map).await;
    }

    /// A Deployment; without replicas its rollout is complete as soon as its controller has seen it.
    pub(super) async fn make_deployment(&self, name: &str, replicas: u32) {
        let mut pod = on_fake_nodes();
        pod["containers"] = json!([{"name": "web", "image": "kickoff.test/web:1"}]);
        pod["terminationGracePeriodSeconds"] = json!(0);
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {
                "replicas": replicas, "selector": {"matchLabels": {"app": name}},
                "template": {"metadata": {"labels": {"app": name}}, "spec": pod},
            },
        });
        self.post("deployments", &deployment).await;
    }
}

impl Changes {
    /// With what is there from the beginning on.
    pub(super) async fn begin(place: Place) -> Self {
        for number in 0..DEPLOYMENTS {
            place.make_deployment(&format!("churn-web-{number}"), 1).await;
        }
        let mut changes = Self { place, maps: Vec::new(), count: 0 };
        for _ in 0..MAPS {
            changes.make_map().await;
        }
        changes
    }

    /// Changes things until told to stop; gives how often.
    pub(super) async fn go_on(mut self, stop: Arc<AtomicBool>) -> u64 {
        let mut pace = tokio::time::interval(EVERY);
        let mut made = 0;
        while !stop.load(Ordering::Relaxed) {
            pace.tick().await;
            self.next().await;
            made += 1;
        }
        made
    }

    async fn next(&mut self) {
        let chance = fastrand::u8(..100);
        if chance < 12 {
            self.make_map().await;
        } else if chance < 24 && self.maps.len() > MAPS / 2 {
            self.delete_map().await;
        } else if chance < 40 {
            self.roll_out().await;
        } else {
            self.change_map().await;
        }
    }

    async fn make_map(&mut self) {
        self.count += 1;
        let name = format!("churn-{}", self.count);
        self.place.make_map(&name, self.count).await;
        self.maps.push(name);
    }

    async fn delete_map(&mut self) {
        let name = self.maps.swap_remove(fastrand::usize(..self.maps.len()));
        let path = format!("{}/{name}", self.place.path("configmaps"));
        self.place.send(Method::DELETE, &path, "application/json", Vec::new()).await;
    }

    async fn roll_out(&mut self) {
        self.count += 1;
        let name = format!("churn-web-{}", fastrand::usize(..DEPLOYMENTS));
        let number = json!({"number": self.count.to_string()});
        let change = json!({"spec": {"template": {"metadata": {"annotations": number}}}});
        self.place.merge("deployments", &name, &change).await;
    }

    /// The number of a ConfigMap changes, and of every other one its phase.
    async fn change_map(&mut self) {
        self.count += 1;
        let name = &self.maps[fastrand::usize(..self.maps.len())];
        let number = self.count.to_string();
        let data = if self.count.is_multiple_of(2) {
            json!({"number": number})
        } else {
            json!({"number": number, "phase": number})
        };
        self.place.merge("configmaps", name, &json!({"data": data})).await;
    }
}
