//! A run that is tried again: a Job for each attempt, ever, and what each said is kept apart.

use serde_json::{Value, json};

use super::home::{Site, cancel, fire, run_of, settled};
use crate::support::client;
use crate::support::cluster::cluster;

/// Fails the first time. An attempt's number is among its pod's labels.
fn pod() -> Value {
    let number = json!({"fieldRef": {"fieldPath": "metadata.labels['kickoff.dev/attempt']"}});
    json!({"containers": [{
        "name": "main", "image": cluster().busybox,
        "command": ["sh", "-c", "echo attempt $ATTEMPT says this; test $ATTEMPT = 2"],
        "env": [{"name": "ATTEMPT", "valueFrom": number}],
    }]})
}

#[tokio::test(flavor = "multi_thread")]
async fn each_attempt_has_one_job_and_a_log_of_its_own() {
    let fields = json!({"retries": {"limit": 2, "outcomes": ["Failed"], "backoff": "1s"}});
    let site = Site::new(cluster(), &[("again", fields, pod())]);
    let server = site.serve();
    let event = fire(&server, "again").await;
    let waits = |run: &Value| run["attempts"].as_array().is_some_and(|attempts| attempts.len() == 1);
    run_of(&server, &event, waits).await;
    // Whatever happens to the server between two attempts, there is no third.
    server.kill();
    let server = site.serve();
    let run = run_of(&server, &event, settled).await;
    assert_eq!((&run["outcome"], &run["attempt"]), (&json!("Passed"), &json!(2)), "{run:#}");
    let outcomes: Vec<_> = run["attempts"].as_array().unwrap().iter().map(|it| &it["outcome"]).collect();
    assert_eq!(outcomes[0], "Failed", "{run:#}");
    assert_eq!(outcomes.len(), 2, "{run:#}");

    let id = run["id"].as_str().unwrap();
    let mut jobs: Vec<_> = site
        .jobs()
        .into_iter()
        .map(|job| {
            (job["metadata"]["name"].clone(), job["metadata"]["labels"]["kickoff.dev/attempt"].clone())
        })
        .collect();
    jobs.sort_by_key(|(name, _)| name.to_string());
    let wanted = ["1", "2"].map(|number| (json!(format!("again-{id}-{number}")), json!(number)));
    assert_eq!(jobs, wanted);

    for (attempt, said) in [("?attempt=1", 1), ("?attempt=2", 2), ("", 2)] {
        let url = format!("{}/api/v1/runs/{id}/log{attempt}", server.url);
        let log = client().get(url).send().await.unwrap().text().await.unwrap();
        assert_eq!(log, format!("attempt {said} says this\n"), "{attempt}");
    }
    assert_eq!(server.stop(), Some(0));
}

/// Kubernetes' own further try is a further pod of the same Job.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_seen_of_a_pod_that_is_gone_is_kept_though_the_server_was_killed() {
    let script = "[ -e /kept/second ] && sleep 600; exit 5";
    let mut pod = json!({"containers": [{
        "name": "main", "image": cluster().busybox, "command": ["sh", "-c", script],
        "volumeMounts": [{"name": "kept", "mountPath": "/kept"}],
    }], "terminationGracePeriodSeconds": 1});
    // Comes to be between both.
    pod["volumes"] = json!([{"name": "kept", "configMap": {"name": "kept", "optional": true}}]);
    let site = Site::new(cluster(), &[("tries", json!({"job": {"spec": {"backoffLimit": 1}}}), pod)]);
    let server = site.serve();
    let event = fire(&server, "tries").await;
    run_of(&server, &event, |run| run["state"] == "running").await;
    site.namespace.run(&["create", "configmap", "kept", "--from-literal=second=yes"]);
    let pods = |run: &Value| run["attempts"][0]["pods"].as_array().map_or(0, Vec::len);
    let run = run_of(&server, &event, |run| pods(run) == 2).await;
    assert_eq!(run["state"], "running", "the second fails, too: {run:#}");
    server.kill();
    let first = run["attempts"][0]["pods"][0]["name"].as_str().unwrap().to_owned();
    // Its controller holds it until the Job has counted it.
    site.namespace.run(&["delete", "pod", &first]);

    let server = site.serve();
    cancel(&server, &run).await;
    let run = run_of(&server, &event, settled).await;
    let kept = &run["attempts"][0]["pods"];
    assert_eq!((&kept[0]["name"], &kept[0]["exitCode"]), (&json!(first), &json!(5)), "{run:#}");
    assert_eq!(pods(&run), 2, "{run:#}");
}
