//! A run that is tried again: a Job for each attempt, ever, and what each said is kept apart.

use serde_json::{Value, json};

use super::home::{Site, fire, run_of, settled};
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
