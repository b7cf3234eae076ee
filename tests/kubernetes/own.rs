//! What Kickoff itself has in a cluster fires nothing, so that no loop can start unnoticed: its Jobs, their pods, what
//! the cluster says of them, and its Lease.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::home::{Site, fire, run_of, settled};
use super::load::site;
use super::rollouts::WATCHED;
use crate::support::Server;
use crate::support::cluster::{PATIENCE, cluster, on_fake_nodes, until};

/// How long nothing may come: several renewals of the Lease.
const QUIET: Duration = Duration::from_secs(8);
/// The kinds that are watched, each by a trigger.
const KINDS: [(&str, &str); 4] =
    [("batch/v1", "Job"), ("v1", "Pod"), ("coordination.k8s.io/v1", "Lease"), ("events.k8s.io/v1", "Event")];

/// Triggers for everything of these kinds where runs are, and for the Lease where that is.
fn define(site: &Site<'_>) {
    let here = json!([site.namespace.name]);
    let mut text = std::fs::read_to_string(site.home.definitions().join("all.yaml")).unwrap();
    for (api_version, kind) in KINDS {
        let change = ["Created", "Updated", "Deleted"];
        let mut clause =
            json!({"apiVersion": api_version, "kind": kind, "namespaces": here, "change": change});
        if kind == "Lease" {
            clause["namespaces"] = json!([site.namespace.name, "default"]);
            clause["names"] = json!([format!("kickoff-{}", site.instance), "other"]);
        }
        let source = match kind {
            "Event" => json!({"kubernetesEvent": {"namespaces": here, "type": "Any"}}),
            _ => json!({"kubernetes": clause}),
        };
        let trigger = json!({
            "apiVersion": "kickoff.dev/v1alpha1", "kind": "Trigger",
            "metadata": {"name": format!("on-{}", kind.to_lowercase())},
            "spec": {"sources": [source], "runs": [{"template": "passes"}]},
        });
        text = format!("{text}\n---\n{trigger}");
    }
    site.home.define(&text);
}

/// What fired of the cluster: `Job/foreign created`.
async fn fired(site: &Site<'_>, server: &Server) -> Vec<String> {
    let events = server.all("events").await;
    let of = |event: &Value| {
        let change = event["type"].as_str()?.strip_prefix("dev.kickoff.kubernetes.")?;
        let (namespace, name) = event["subject"].as_str()?.split_once('/')?;
        let fired = event["decisions"].as_array()?.iter().any(|decision| decision["decision"] == "fired");
        let kind = event["source"].as_str()?.rsplit('/').next()?;
        // The Lease of this server is elsewhere.
        let ours = namespace == site.namespace.name || name == format!("kickoff-{}", site.instance);
        (fired && ours).then(|| format!("{kind}/{name} {change}"))
    };
    events.iter().filter_map(of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_kickoff_itself_has_fires_nothing() {
    let site = site(cluster(), json!({}));
    define(&site);
    let server = site.serve();
    until("all kinds", || (server.said().matches(WATCHED).count() >= KINDS.len()).then_some(()));
    let event = fire(&server, "passes").await;
    let run = run_of(&server, &event, settled).await;
    assert_eq!(run["outcome"], "Passed", "{run:#}");
    // The Job's pod, the Events of both, and renewals of the Lease are there by now.
    let lease = format!("/apis/coordination.k8s.io/v1/namespaces/default/leases/kickoff-{}", site.instance);
    let renewed = || cluster().get(&lease)["spec"]["renewTime"].clone();
    let before = renewed();
    tokio::time::sleep(QUIET).await;
    assert_ne!(renewed(), before, "the Lease was not renewed meanwhile");
    let said = cluster().get(&format!("/apis/events.k8s.io/v1/namespaces/{}/events", site.namespace.name));
    let said = said["items"].as_array().unwrap();
    let about: Vec<&str> = said.iter().filter_map(|event| event["regarding"]["kind"].as_str()).collect();
    assert!(about.contains(&"Job") && about.contains(&"Pod"), "the cluster said nothing of them: {about:?}");
    assert_eq!(site.pods().len(), 1);
    assert_eq!(fired(&site, &server).await, [""; 0], "{}", server.said());
    assert_eq!(site.jobs().len(), 1);
    // Deleted, it fires nothing either.
    let name = site.jobs()[0]["metadata"]["name"].as_str().unwrap().to_owned();
    site.namespace.run(&["delete", "job", &name]);
    // The triggers do see what is not Kickoff's: that fires, and what it launches fires nothing more.
    let mut pod = on_fake_nodes();
    pod["containers"] = json!([{"name": "main", "image": "kickoff.test/there-is-none:1"}]);
    site.namespace.job("foreign", &pod, &json!({}));
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "other", "namespace": site.namespace.name}, "spec": {"holderIdentity": "nobody"},
    });
    cluster().create(&lease);
    let wanted = ["Job/foreign created", "Lease/other created"];
    let end = Instant::now() + PATIENCE;
    loop {
        let fired = fired(&site, &server).await;
        let of_pod =
            |change: &str| fired.iter().any(|it| it.starts_with("Pod/foreign-") && it.ends_with(change));
        let of_event = fired.iter().any(|it| it.starts_with("Event/Job/foreign"));
        if wanted.iter().all(|wanted| fired.iter().any(|it| it == wanted)) && of_pod(" created") && of_event {
            break;
        }
        assert!(Instant::now() < end, "{fired:?}\n{}", server.said());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // It comes to rest: what fires is about the foreign ones alone.
    let (mut before, mut since) = (0, Instant::now());
    while since.elapsed() < QUIET {
        let now = fired(&site, &server).await.len();
        if now != before {
            (before, since) = (now, Instant::now());
        }
        assert!(Instant::now() < end, "it goes on and on: {:?}", fired(&site, &server).await);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let fired = fired(&site, &server).await;
    let strange = |fact: &&String| !fact.contains("/foreign") && !fact.contains("/other");
    assert_eq!(fired.iter().filter(strange).collect::<Vec<_>>(), Vec::<&String>::new());
    assert_eq!(site.jobs().len(), fired.len() + 1, "a Job for each, and the foreign one: {fired:?}");
}
