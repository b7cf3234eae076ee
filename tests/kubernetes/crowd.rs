//! Many Deployments that one command changes: each of them fires, or all of them once where they are one series.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::home::Site;
use super::rollouts::{QUIET, WATCHED, site_on};
use crate::support::Server;
use crate::support::cluster::{PATIENCE, cluster, is_out, on_fake_nodes, until};

/// How many Deployments there are.
const COUNT: usize = 20;
/// How long the series has to be quiet: longer than the controllers may take between two of them.
const CALM: &str = "15s";
/// The trigger that fires for each, which the site has, and the one that waits for the last of them.
const EACH: &str = "after-rollout";
const TOGETHER: &str = "when-all-is-calm";

/// All of them in a version, as one manifest.
fn manifest(site: &Site<'_>, version: u32) -> Value {
    let deployment = |number: usize| {
        let name = format!("web-{number}");
        let mut pod = on_fake_nodes();
        pod["containers"] = json!([{"name": "web", "image": format!("kickoff.test/web:{version}")}]);
        pod["terminationGracePeriodSeconds"] = json!(0);
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": name, "namespace": site.namespace.name,
                "labels": {"smoke": "true", "release": "shop"},
            },
            "spec": {
                "replicas": 1, "selector": {"matchLabels": {"app": name}},
                "template": {"metadata": {"labels": {"app": name}}, "spec": pod},
            },
        })
    };
    let items: Vec<Value> = (0..COUNT).map(deployment).collect();
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

/// One `kubectl apply` of all of them, and their rollouts.
fn apply(site: &Site<'_>, version: u32) {
    let list = manifest(site, version);
    let applied = site.namespace.cluster.send(&["apply", "-f", "-", "-o", "json"], &list);
    assert_eq!(applied["items"].as_array().map(Vec::len), Some(COUNT), "{applied:#}");
    let path = format!("/apis/apps/v1/namespaces/{}/deployments", site.namespace.name);
    until("the rollouts", || {
        let all = site.namespace.cluster.get(&path);
        let all = all["items"].as_array().unwrap();
        (all.len() == COUNT && all.iter().all(is_out)).then_some(())
    });
}

/// Adds the trigger to which all of them are one series.
fn together(site: &Site<'_>) {
    let source = json!({"kubernetes": {
        "apiVersion": "apps/v1", "kind": "Deployment", "namespaces": [site.namespace.name],
        "labelSelector": {"matchLabels": {"smoke": "true"}}, "change": ["RolledOut"],
    }});
    let trigger = json!({
        "apiVersion": "kickoff.dev/v1alpha1", "kind": "Trigger", "metadata": {"name": TOGETHER},
        "spec": {
            "sources": [source], "runs": [{"template": "passes"}],
            "series": "{{ event.data.object.metadata.labels.release }}",
            "policy": {"debounce": {"quiet": CALM, "maxWait": "5m"}},
        },
    });
    let before = std::fs::read_to_string(site.home.definitions().join("all.yaml")).unwrap();
    site.home.define(&format!("{before}\n---\n{trigger}"));
}

/// What each trigger decided how often, about which objects: `after-rollout fired`.
async fn decided(site: &Site<'_>, server: &Server) -> BTreeMap<String, Vec<String>> {
    let prefix = format!("{}/", site.namespace.name);
    let mut decided: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for event in server.all("events").await {
        let subject = event["subject"].as_str().unwrap_or_default();
        let Some(name) = subject.strip_prefix(&prefix) else { continue };
        for decision in event["decisions"].as_array().unwrap() {
            let trigger = decision["trigger"].as_str().unwrap().rsplit('/').next().unwrap();
            let key = format!("{trigger} {}", decision["decision"].as_str().unwrap());
            decided.entry(key).or_default().push(name.to_owned());
        }
    }
    decided
}

fn count(decided: &BTreeMap<String, Vec<String>>, trigger: &str, decision: &str) -> usize {
    decided.get(&format!("{trigger} {decision}")).map_or(0, Vec::len)
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_deployments_of_one_apply_fire_each_or_once_as_one_series() {
    let site = site_on(cluster());
    together(&site);
    // What is there when the watch begins fires nothing.
    apply(&site, 1);
    let server = site.serve();
    server.saying(WATCHED);
    apply(&site, 2);
    let end = Instant::now() + PATIENCE;
    loop {
        let now = decided(&site, &server).await;
        if count(&now, EACH, "fired") >= COUNT && count(&now, TOGETHER, "fired") >= 1 {
            break;
        }
        assert!(Instant::now() < end, "{now:#?}\n{}", server.said());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    until("a Job for each, and one for all", || (site.jobs().len() > COUNT).then_some(()));
    // Another start takes nothing of it up again.
    server.kill();
    let server = site.serve();
    tokio::time::sleep(QUIET).await;
    let now = decided(&site, &server).await;
    let each: BTreeSet<&String> = now[&format!("{EACH} fired")].iter().collect();
    assert_eq!((each.len(), count(&now, EACH, "fired")), (COUNT, COUNT), "{now:#?}");
    assert_eq!(count(&now, TOGETHER, "fired"), 1, "{now:#?}");
    assert_eq!(count(&now, TOGETHER, "coalesced"), COUNT - 1, "{now:#?}");
    assert_eq!(now.len(), 3, "{now:#?}");
    assert_eq!(site.jobs().len(), COUNT + 1);
}
