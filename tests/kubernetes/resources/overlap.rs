//! Two servers that serve the same resources.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::home::Site;
use super::super::troubles::ready;
use super::{apply, known, object, serve, stands, template};
use crate::support::cluster::{PATIENCE, until};
use crate::support::{Home, Server};

/// Longer than anything that one has to write waits.
const QUIET: Duration = Duration::from_secs(12);
/// The resource.
const PASSES: (&str, &str) = ("JobTemplate", "passes");

/// Another instance for the same namespace.
fn another(site: &Site<'_>, home: &Home, instance: &str) -> Server {
    let kubeconfig = site.namespace.cluster.kubeconfig.to_str().unwrap();
    let namespace = site.namespace.name.as_str();
    let on = ["--executor", "kubernetes", "--kubeconfig", kubeconfig, "--instance", instance];
    let of = ["--definitions-from-cluster", "--namespaces", namespace];
    let variables =
        [("LOAD_TOKEN", super::super::home::TOKEN), ("RUST_LOG", "kickoff=debug,info,kube_client=off")];
    home.begin(&[&on[..], &of[..]].concat(), &variables).listening()
}

/// Waits until a server says that another writes.
async fn says(server: &Server, instance: &str) {
    let wanted = format!("also served by instance default/{instance}, which writes their statuses");
    let end = Instant::now() + PATIENCE;
    loop {
        let (status, told) = ready(server).await;
        assert_eq!(status, 200, "{told}");
        if told.contains(&wanted) {
            return;
        }
        assert!(Instant::now() < end, "{told}\n{}", server.said());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_servers_of_the_same_definitions_one_writes_until_it_is_gone() {
    let cluster = known();
    let site = Site::new(cluster, &[]);
    let namespace = site.namespace.name.as_str();
    let first = serve(&site, &[]);
    let apply = |script: &str| apply(cluster, namespace, &[template(PASSES.1, cluster, script)]);
    apply("true");
    let by = |instance: &str| json!(format!("default/{instance}"));
    let stands = || stands(cluster, namespace, PASSES, "True", "InForce");
    assert_eq!(stands()["instance"], by(&site.instance));
    let before = object(cluster, namespace, PASSES.0, PASSES.1);
    let (home, instance) = (site.twin(), format!("{}-b", site.instance));
    let second = another(&site, &home, &instance);
    says(&second, &site.instance).await;
    tokio::time::sleep(QUIET).await;
    let now = object(cluster, namespace, PASSES.0, PASSES.1);
    assert_eq!(now["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"], "{now:#}");
    apply("false");
    assert_eq!(stands()["instance"], by(&site.instance));
    first.kill();
    let taken = |of: &Value| of["status"]["instance"] == by(&instance);
    until("the other to write", || taken(&object(cluster, namespace, PASSES.0, PASSES.1)).then_some(()));
    // It comes back, and leaves what is the other's now.
    let first = serve(&site, &[]);
    says(&first, &instance).await;
    tokio::time::sleep(QUIET).await;
    assert!(taken(&object(cluster, namespace, PASSES.0, PASSES.1)));
}
