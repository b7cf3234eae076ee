//! A Role that is taken away while runs go on: that is told, harms no other namespace, and heals.

use std::time::{Duration, Instant};

use serde_json::json;

use super::home::{Site, fire, log, pod, run_of, settled};
use super::troubles::{account, bind, ready};
use crate::support::Server;
use crate::support::cluster::{PATIENCE, cluster};
use crate::support::door::Door;

/// Waits until readiness tells, or does not tell, of trouble with the Jobs and the pods of a namespace.
async fn told(server: &Server, door: &Door, namespace: &str, is: bool) {
    let end = Instant::now() + PATIENCE;
    for turn in 0.. {
        // Watches that are open go on without the Role, and the API server may learn late that it is gone.
        if is && turn % 25 == 0 {
            door.hang_up();
        }
        let (status, told) = ready(server).await;
        assert_eq!(status, 200, "{told}");
        let of = |kind: &str| told.contains(&format!("{kind} of namespace {namespace}: {}", forbidden(kind)));
        if of("Jobs") == is && of("pods") == is {
            return;
        }
        assert!(Instant::now() < end, "{told}\n{}", server.said());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn forbidden(kind: &str) -> &'static str {
    if kind == "Jobs" { "jobs.batch is forbidden" } else { "pods is forbidden" }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_is_taken_away_under_a_run_is_told_and_its_verdict_comes_when_it_is_back() {
    let other = cluster().namespace();
    let site = Site::new(
        cluster(),
        &[
            ("here", json!({}), pod("echo here")),
            ("there", json!({"inNamespace": other.name}), pod("echo there; sleep 30; exit 3")),
        ],
    );
    let account = account(&site, &[&other.name]);
    bind(&site, "kickoff-lease", &site.namespace.name);
    for namespace in [&site.namespace.name, &other.name] {
        bind(&site, "kickoff", namespace);
    }
    let door = Door::before(&account).await;
    let namespaces = format!("{},{}", site.namespace.name, other.name);
    let server = site.serve_through(&door, &["--namespaces", &namespaces]);
    let there = fire(&server, "there").await;
    run_of(&server, &there, |run| run["state"] == "running").await;

    other.run(&["delete", "rolebinding", "here-kickoff"]);
    told(&server, &door, &other.name, true).await;
    let here = fire(&server, "here").await;
    assert_eq!(run_of(&server, &here, settled).await["outcome"], "Passed");
    let name = format!("there-{}-1", run_of(&server, &there, |_| true).await["id"].as_str().unwrap());
    assert_eq!(other.ended(&name), "Failed");
    let run = run_of(&server, &there, |_| true).await;
    assert_eq!(run["state"], "running", "nobody can know that it ended: {run:#}");

    bind(&site, "kickoff", &other.name);
    let run = run_of(&server, &there, settled).await;
    assert_eq!((&run["outcome"], &run["reason"]), (&json!("Failed"), &json!("exit code 3")), "{run:#}");
    assert_eq!(log(&server, &run).await, "there\n");
    told(&server, &door, &other.name, false).await;
}
