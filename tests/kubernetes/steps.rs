//! `kill -9` at each step of a run, from the receipt of its event to the deletion of its Job: one Job, counted by a
//! witness that sees every Job ever made, and one verdict.

use std::collections::BTreeMap;

use serde_json::json;

use super::home::{Site, fire, log, run_of, settled};
use crate::support::Server;
use crate::support::cluster::{PATIENCE, cluster, until};
use crate::support::door::{At, Door};
use crate::support::witness::Witness;

/// Where the server is killed.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// The event is stored, and may not be decided.
    Received,
    /// It is decided, and the API server has not heard of the Job.
    Ordered,
    /// The API server hears of the Job, and nobody is there to be told.
    Creating,
    /// The Job is there, and its uid is not recorded.
    Created,
    Running,
    /// The run has ended, and its log is not kept.
    Ended,
    /// The Job's time has come, and the API server has not heard of it.
    Deleting,
    /// The Job is gone, and nobody was told.
    Deleted,
}

const STEPS: [Step; 8] = [
    Step::Received,
    Step::Ordered,
    Step::Creating,
    Step::Created,
    Step::Running,
    Step::Ended,
    Step::Deleting,
    Step::Deleted,
];

fn creates(call: &str) -> bool {
    call.starts_with("POST /apis/batch/v1/") && call.contains("/jobs")
}

fn deletes(call: &str) -> bool {
    call.starts_with("DELETE /apis/batch/v1/")
}

fn reads_log(call: &str) -> bool {
    call.contains("/log?container=main")
}

/// Fires, and kills the server at this step; gives the event's key.
async fn kill_at(step: Step, door: &Door, server: Server) -> String {
    let guard = match step {
        Step::Received | Step::Running => None,
        Step::Ordered | Step::Creating => Some(door.guard(At::Call, creates)),
        Step::Created => Some(door.guard(At::Answer, creates)),
        Step::Ended => Some(door.guard(At::Call, reads_log)),
        Step::Deleting => Some(door.guard(At::Call, deletes)),
        Step::Deleted => Some(door.guard(At::Answer, deletes)),
    };
    let event = fire(&server, "fails").await;
    match (step, guard) {
        (Step::Received, _) => server.kill(),
        (Step::Running, _) => {
            run_of(&server, &event, |run| run["state"] == "running").await;
            server.kill();
        }
        (step, Some(guard)) => {
            guard.came().await;
            if matches!(step, Step::Ended) {
                let run = run_of(&server, &event, |run| run["outcome"].is_string()).await;
                assert_eq!(run["state"], "ended", "its log can't be there yet: {run:#}");
            }
            server.kill();
            match step {
                Step::Creating => guard.open(),
                _ => guard.refuse(http::StatusCode::BAD_GATEWAY),
            }
        }
        (step, None) => unreachable!("{step:?}"),
    }
    event
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_at_each_step_makes_one_job_and_one_verdict() {
    let pod = json!({"containers": [{"name": "main", "image": cluster().busybox,
        "command": ["sh", "-c", "echo said; sleep 2; exit 3"]}]});
    let fields = json!({"retention": {"maxRuns": 1_000_000, "jobTTL": "1s"}});
    let site = Site::new(cluster(), &[("fails", fields, pod)]);
    let door = Door::before(&cluster().kubeconfig).await;
    let witness = Witness::of(&cluster().kubeconfig, &site.namespace.name).await;
    let mut runs = BTreeMap::new();
    for step in STEPS {
        let event = kill_at(step, &door, site.serve_through(&door, &[])).await;
        let server = site.serve_through(&door, &[]);
        let run = run_of(&server, &event, settled).await;
        assert_eq!((&run["outcome"], &run["exitCode"]), (&json!("Failed"), &json!(3)), "{step:?}: {run:#}");
        assert_eq!(run["attempts"][0]["log"], "stored", "{step:?}: {run:#}");
        assert_eq!(log(&server, &run).await, "said\n", "{step:?}");
        // Else it may be this Job that is deleted in the next step.
        let run = run["id"].as_str().unwrap().to_owned();
        let is_gone = |witness: &Witness| {
            let seen = witness.seen();
            let of_run: Vec<_> = seen.jobs.values().filter(|job| job.run == run).collect();
            !of_run.is_empty() && of_run.iter().all(|job| job.deleted)
        };
        until("the deletion of its Job", || is_gone(&witness).then_some(()));
        runs.insert(run.clone(), (step, event));
    }
    let server = site.serve_through(&door, &[]);
    let mut made: BTreeMap<String, usize> = BTreeMap::new();
    for job in witness.seen().jobs.values() {
        assert_eq!(job.attempt, "1");
        *made.entry(job.run.clone()).or_default() += 1;
    }
    let wanted = runs.keys().map(|run| (run.clone(), 1)).collect();
    assert_eq!(made, wanted, "{runs:?}");
    let (all, firings) = (server.all_runs().await, server.all("firings").await);
    assert_eq!((all.len(), firings.len()), (STEPS.len(), STEPS.len()));
    assert!(firings.iter().all(|firing| firing["outcome"] == "Failed"), "{firings:#?}");
    server.verdicts_of(&all, PATIENCE).await;
}
