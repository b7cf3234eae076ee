//! What others do to our Jobs: take their labels off, put another Job in their place.

use serde_json::{Value, json};

use super::home::{Site, cancel, fire, log, pod, run_of, settled};
use crate::support::cluster::{cluster, until};
use crate::support::door::{At, Door};

/// How many Jobs of a run are there.
fn jobs_of(site: &Site<'_>, run: &Value) -> usize {
    site.jobs().iter().filter(|job| job["metadata"]["labels"]["kickoff.dev/run"] == run["id"]).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_labels_were_taken_off_has_its_verdict_and_goes_when_its_time_has_come() {
    let fields = json!({"retention": {"jobTTL": "1s"}});
    let site = Site::new(cluster(), &[("fails", fields, pod("echo said; sleep 30; exit 3"))]);
    let server = site.serve();
    // Those that the watch selects by, and those that say which run's it is.
    let pairs = [
        ["app.kubernetes.io/managed-by-", "kickoff.dev/instance-"],
        ["kickoff.dev/run-", "kickoff.dev/attempt-"],
    ];
    let mut events = Vec::new();
    for labels in pairs {
        let event = fire(&server, "fails").await;
        let run = run_of(&server, &event, |run| run["state"] == "running").await;
        let name = format!("fails-{}-1", run["id"].as_str().unwrap());
        site.namespace.run(&[&["label", "job", &name][..], &labels].concat());
        events.push((labels, event));
    }
    for (labels, event) in events {
        let run = run_of(&server, &event, settled).await;
        let told = (&run["outcome"], &run["reason"]);
        assert_eq!(told, (&json!("Failed"), &json!("exit code 3")), "{labels:?}: {run:#}");
        assert_eq!(log(&server, &run).await, "said\n", "{labels:?}");
    }
    until("their deletion", || site.jobs().is_empty().then_some(()));
}

/// At the very moment when it is to be deleted.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_somebody_put_in_the_place_of_ours_is_left_alone() {
    let fields = json!({"retention": {"jobTTL": "1s"}});
    let mut nowhere = pod("true");
    nowhere["nodeSelector"] = json!({"there": "is-none"});
    let site = Site::new(cluster(), &[("passes", fields, pod("true")), ("waits", json!({}), nowhere)]);
    let door = Door::before(&cluster().kubeconfig).await;
    let server = site.serve_through(&door, &[]);
    for (template, cancelled) in [("passes", false), ("waits", true)] {
        let guard = door.guard(At::Call, |call| call.starts_with("DELETE /apis/batch/v1/"));
        let event = fire(&server, template).await;
        if cancelled {
            let run = run_of(&server, &event, |run| run["state"] == "submitted").await;
            cancel(&server, &run).await;
        }
        guard.came().await;
        let run = run_of(&server, &event, |_| true).await;
        let name = format!("{template}-{}-1", run["id"].as_str().unwrap());
        site.namespace.run(&["delete", "job", &name]);
        site.namespace.job(&name, &pod("sleep 600"), &json!({}));
        let theirs = site.namespace.get_job(&name)["metadata"]["uid"].clone();
        guard.open();
        let run = run_of(&server, &event, settled).await;
        assert_eq!(run["outcome"], if cancelled { "Cancelled" } else { "Passed" }, "{run:#}");
        // Once another run's Job is deleted, ours would have been, too.
        let next = fire(&server, "passes").await;
        let next = run_of(&server, &next, settled).await;
        until("the deletion of the next", || (jobs_of(&site, &next) == 0).then_some(()));
        let found = site.namespace.get_job(&name);
        assert_eq!(found["metadata"]["uid"], theirs);
        assert!(found["metadata"]["deletionTimestamp"].is_null(), "{found:#}");
    }
}

/// With the labels and the name of a Job that a quota keeps from being made.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_elsewhere_that_looks_like_ours_has_no_say() {
    let elsewhere = cluster().namespace();
    let site = Site::new(cluster(), &[("fails", json!({}), pod("exit 3"))]);
    site.namespace.run(&["create", "quota", "none", "--hard=count/jobs.batch=0"]);
    let server = site.serve();
    let event = fire(&server, "fails").await;
    let run = run_of(&server, &event, |run| run["state"] == "launching").await;
    let name = format!("fails-{}-1", run["id"].as_str().unwrap());
    let labels = json!({"app.kubernetes.io/managed-by": "kickoff", "kickoff.dev/instance": site.instance,
        "kickoff.dev/run": run["id"], "kickoff.dev/attempt": "1"});
    let mut template = pod("true");
    template["restartPolicy"] = json!("Never");
    cluster().create(&json!({"apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": name, "namespace": elsewhere.name, "labels": labels},
        "spec": {"template": {"metadata": {"labels": labels}, "spec": template}}}));
    assert_eq!(elsewhere.ended(&name), "Complete");
    site.namespace.run(&["delete", "quota", "none"]);
    let run = run_of(&server, &event, settled).await;
    assert_eq!((&run["outcome"], &run["reason"]), (&json!("Failed"), &json!("exit code 3")), "{run:#}");
    assert_eq!(elsewhere.get_job(&name)["status"]["succeeded"], 1, "it was touched");
}
