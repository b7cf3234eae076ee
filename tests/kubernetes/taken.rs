//! What others do to our Jobs: take their labels off, put another Job in their place.

use serde_json::{Value, json};

use super::home::{Site, fire, log, run_of, settled};
use crate::support::cluster::{cluster, until};
use crate::support::door::{At, Door};

fn pod(script: &str) -> Value {
    json!({"containers": [{"name": "main", "image": cluster().busybox, "command": ["sh", "-c", script]}],
        "terminationGracePeriodSeconds": 1})
}

/// How many Jobs of a run are there.
fn jobs_of(site: &Site<'_>, run: &Value) -> usize {
    site.jobs().iter().filter(|job| job["metadata"]["labels"]["kickoff.dev/run"] == run["id"]).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_labels_were_taken_off_has_its_verdict_and_goes_when_its_time_has_come() {
    let fields = json!({"retention": {"jobTTL": "1s"}});
    let site = Site::new(cluster(), &[("fails", fields, pod("echo said; sleep 5; exit 3"))]);
    let server = site.serve();
    let event = fire(&server, "fails").await;
    run_of(&server, &event, |run| run["state"] == "running").await;
    let name = site.jobs()[0]["metadata"]["name"].as_str().unwrap().to_owned();
    let labels = ["app.kubernetes.io/managed-by-", "kickoff.dev/instance-"];
    site.namespace.run(&[&["label", "job", &name][..], &labels].concat());
    let run = run_of(&server, &event, settled).await;
    assert_eq!((&run["outcome"], &run["reason"]), (&json!("Failed"), &json!("exit code 3")), "{run:#}");
    assert_eq!(log(&server, &run).await, "said\n");
    until("its deletion", || site.jobs().is_empty().then_some(()));
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
            let url = format!("{}/api/v1/runs/{}/cancel", server.url, run["id"].as_str().unwrap());
            let asked =
                crate::support::client().post(url).header("idempotency-key", "one").send().await.unwrap();
            assert_eq!(asked.status(), 202);
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
        // What would be deleted still is, once another run's Job has gone the whole way.
        drop(guard);
        let next = fire(&server, "passes").await;
        let next = run_of(&server, &next, settled).await;
        until("the deletion of the next", || (jobs_of(&site, &next) == 0).then_some(()));
        let found = site.namespace.get_job(&name);
        assert_eq!(found["metadata"]["uid"], theirs);
        assert!(found["metadata"]["deletionTimestamp"].is_null(), "{found:#}");
    }
}
