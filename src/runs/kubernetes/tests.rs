//! What is begun before its commit is durable, under a Lease; how long a log is waited for.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::StreamExt as _;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::*;
use crate::engine::ids::RunId;
use crate::engine::render::Manifest;
use crate::outside::kubernetes::scripted;

fn id() -> JobId {
    JobId { run: RunId::parse(&"a".repeat(20)).unwrap(), attempt: 1 }
}

fn executor(api: Api, folder: &Path, lease: Option<Lease>) -> KubernetesExecutor {
    KubernetesExecutor::open(KubernetesOptions {
        api,
        instance: "test".to_owned(),
        data_folder: "0123456789abcdef".to_owned(),
        namespaces: Vec::new(),
        folder: folder.to_owned(),
        log_cap: 1,
        clock: Clock::System,
        lease,
    })
    .unwrap()
}

#[tokio::test]
async fn what_was_begun_under_a_lease_that_is_lost_by_then_is_not_made() {
    for stays in [true, false] {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let api = scripted::api(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            Some((201, json!({"metadata": {"name": "a", "namespace": "ns", "uid": "u"}}).to_string()))
        });
        let (relied_on_until, lease) = Lease::relied_on(Some(Instant::now() + Duration::from_mins(1)));
        let folder = tempfile::tempdir().unwrap();
        let executor = executor(api, folder.path(), Some(lease));
        let spec = JobSpec {
            id: id(),
            name: "a".to_owned(),
            namespace: "ns".to_owned(),
            manifest: Manifest::of(&json!({"spec": {}})).unwrap(),
            timeout_ms: 1_000,
        };
        let (giver, clearance) = clearance::clearance();
        let create = executor.create_once(&spec, clearance);
        let meanwhile = async {
            if !stays {
                relied_on_until.send_replace(None);
            }
            giver.give();
        };
        let (created, ()) = tokio::join!(create, meanwhile);
        assert_eq!((created.is_ok(), asked.load(Ordering::Relaxed)), (stays, usize::from(stays)));
    }
}

/// A Job that has failed, and its pod, on a node.
fn ended(kind: &str) -> Value {
    let id = id();
    let labels = json!({
        "app.kubernetes.io/managed-by": "kickoff", "kickoff.dev/instance": "test",
        "kickoff.dev/run": id.run.to_string(), "kickoff.dev/attempt": "1",
    });
    let (began, ended) = ("2026-01-02T03:04:05Z", "2026-01-02T03:04:06Z");
    let mut object = json!({"metadata": {
        "name": format!("test-{id}"), "namespace": "ns", "uid": kind, "resourceVersion": "1", "labels": labels,
        "annotations": {"kickoff.dev/data-folder": "0123456789abcdef"}, "creationTimestamp": began,
    }});
    if kind == "jobs" {
        let failed = json!({"type": "Failed", "status": "True", "lastTransitionTime": ended});
        object["status"] = json!({"startTime": began, "conditions": [failed]});
    } else {
        object["metadata"]["ownerReferences"] = json!([{"uid": "jobs"}]);
        object["spec"] = json!({"nodeName": "silent", "containers": [{"name": "main"}]});
        let terminated = json!({"exitCode": 1, "startedAt": began, "finishedAt": ended});
        object["status"] = json!({
            "phase": "Failed", "containerStatuses": [{"name": "main", "state": {"terminated": terminated}}],
        });
    }
    object
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_silent_is_waited_for_and_given_up_while_the_api_server_answers() {
    for answers in [true, false] {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let api = scripted::api(move |uri| {
            let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
            let (_, last) = path.rsplit_once('/')?;
            match last {
                "log" => {
                    count.fetch_add(1, Ordering::Relaxed);
                    None
                }
                _ if query.contains("watch=") => None,
                "jobs" | "pods" => {
                    let page = json!({"metadata": {"resourceVersion": "1"}, "items": [ended(last)]});
                    Some((200, page.to_string()))
                }
                _ => answers.then(|| (200, ended("pods").to_string())),
            }
        });
        let folder = tempfile::tempdir().unwrap();
        let executor = executor(api, folder.path(), None);
        let mut watch = executor.watch();
        while !matches!(watch.next().await, Some(Ok(Seen::Listed(_)))) {}
        let began = Instant::now();
        let log = loop {
            match executor.log(&id(), Reading::Whole).await {
                Err(ExecutorError::Transient(_)) if began.elapsed() < Duration::from_hours(1) => {
                    sleep(Duration::from_secs(5)).await;
                }
                log => break log,
            }
        };
        assert!(asked.load(Ordering::Relaxed) > 5, "its node is asked again and again");
        if answers {
            assert!(log.unwrap().is_none());
            let took = began.elapsed().as_secs();
            assert!((5 * 60..6 * 60 + 30).contains(&took), "{took} s");
        } else {
            assert!(matches!(log, Err(ExecutorError::Transient(_))), "nobody knows whether its node answers");
        }
    }
}
