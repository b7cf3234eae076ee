//! Verdicts from Jobs and pods, as a real cluster showed them.

use kickoff::engine::pod::{Job, JobFacts, Pod, PodFacts, View, view};
use kickoff::engine::verdict::{ExitCodes, judge};
use serde_json::{Value, json};

/// Objects of a Kubernetes 1.36: a line for each Job, with its name, itself and its pods.
const RECORDED: &str = include_str!("pods.jsonl");

fn recorded(name: &str) -> Value {
    let mut all = RECORDED.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.find(|found| found["name"] == name).unwrap_or_else(|| panic!("{name} is not recorded"))
}

fn facts(recorded: &Value) -> (JobFacts, Vec<PodFacts>) {
    let job: Job = serde_json::from_value(recorded["job"].clone()).unwrap();
    let pods: Vec<Pod> = serde_json::from_value(recorded["pods"].clone()).unwrap();
    let mut pods: Vec<PodFacts> = pods.iter().map(PodFacts::of).collect();
    pods.sort_by(|one, other| one.age().cmp(&other.age()));
    (JobFacts::of(&job), pods)
}

/// How long after all that was recorded.
fn at(recorded: &Value, minutes: i64) -> i64 {
    let created: jiff::Timestamp =
        recorded["job"]["metadata"]["creationTimestamp"].as_str().unwrap().parse().unwrap();
    created.as_millisecond() + minutes * 60_000 + 30_000
}

/// A view in words: the outcome and its reason.
fn told(view: View) -> String {
    match view {
        View::Waiting { until } => {
            format!("waiting, {}", if until.is_some() { "not forever" } else { "forever" })
        }
        View::Running { .. } => "running".to_owned(),
        View::Finished(finished) => {
            let judgement = judge(&finished, &ExitCodes::default());
            format!("{}: {}", judgement.outcome, judgement.reason)
        }
        View::Overdue { finished, about } => {
            let judgement = judge(&finished, &ExitCodes::default());
            let ask = if about.is_some() { ", ask" } else { "" };
            format!("overdue{ask}: {}", judgement.reason)
        }
    }
}

fn check(name: &str, recorded: &Value, minutes: i64, wanted: &str) {
    let (job, pods) = facts(recorded);
    let told = told(view("uid", &job, &pods, at(recorded, minutes)));
    assert!(told.starts_with(wanted), "{name} after {minutes} min: {told:?}, not {wanted:?}");
}

#[test]
fn every_end_has_its_reason() {
    for (name, wanted) in [
        ("passed", "Passed: exit code 0"),
        ("failed", "Failed: exit code 3"),
        ("timed-out", "TimedOut: timeout"),
        ("out-of-memory", "Error: OOMKilled: main used more memory than it may"),
        ("init-failed", "Error: InitContainerFailed: init container prepare ended with exit code 7"),
        ("no-program", "Error: StartError: failed to create containerd task"),
        ("second-of-two", "Failed: exit code 5 of helper"),
        ("indexed", "Failed: exit code 1, failed indexes 1"),
        ("sidecar", "Failed: exit code 4 of main"),
        ("tried-thrice", "Failed: exit code 9"),
        ("job-deadline", "TimedOut: timeout"),
        ("running", "running"),
        ("suspended", "waiting, forever"),
    ] {
        check(name, &recorded(name), 60, wanted);
    }
}

#[test]
fn what_does_not_start_is_overdue_in_the_clusters_own_words() {
    for (name, wanted) in [
        ("not-pulled", "overdue: ErrImagePull: failed to pull and unpack image \"registry.invalid/none:1\""),
        (
            "never-pulled",
            "overdue: ErrImageNeverPull: Container image \"kickoff.test/none:1\" is not present",
        ),
        ("bad-image-name", "overdue: InvalidImageName: Failed to apply default image tag \"A:b:c\""),
        ("no-secret", "overdue: CreateContainerConfigError: secret \"none\" not found"),
        ("no-volume", "overdue, ask: notStarted: no container was started within 5m (ContainerCreating)"),
        ("no-node", "overdue: Unschedulable: 0/1 nodes are available"),
        ("no-account", "overdue, ask: noPod: no pod was made within 5m"),
    ] {
        let mut object = recorded(name);
        check(name, &object, 4, "waiting, not forever");
        check(name, &object, 5, wanted);
        // The template says how long.
        object["job"]["metadata"]["annotations"]["kickoff.dev/start-timeout"] = json!("10m");
        check(name, &object, 9, "waiting, not forever");
        // One that is being deleted, or held back, is not late.
        object["job"]["metadata"]["deletionTimestamp"] = json!("2026-11-24T19:45:00Z");
        check(name, &object, 60, "waiting, forever");
    }
}

#[test]
fn what_the_cluster_did_is_no_failed_test() {
    let condition = |reason: &str, message: &str| json!({"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message});
    let base = recorded("failed");
    let with = |pod: Value| {
        let mut object = base.clone();
        for (field, value) in pod.as_object().unwrap() {
            object["pods"][0]["status"][field] = value.clone();
        }
        object
    };
    for (status, wanted) in [
        (
            json!({"reason": "Evicted", "message": "The node was low on resource: memory."}),
            "Error: Evicted: The node was low on resource: memory.",
        ),
        (
            json!({"conditions": [condition("PreemptionByScheduler", "default-scheduler: preempting")]}),
            "Error: PreemptionByScheduler: default-scheduler: preempting",
        ),
        (
            json!({"conditions": [condition("DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint")]}),
            "Error: DeletionByTaintManager: Taint manager",
        ),
        (json!({"reason": "NodeLost", "message": "the node is gone"}), "Error: NodeLost: the node is gone"),
        (json!({"reason": "UnexpectedAdmissionError", "message": "m"}), "Error: UnexpectedAdmissionError: m"),
    ] {
        check("failed", &with(status), 60, wanted);
    }
}

/// With its namespace, or by a node that is drained: a test that is told to end did not fail by itself.
#[test]
fn what_ends_because_its_pod_is_deleted_is_no_failed_test() {
    // It ended at 19:44:05.
    for (gone_by, grace, wanted) in [
        ("2026-11-24T19:44:35Z", 30, "Error: PodDeleted: the pod was deleted while container main ran"),
        ("2026-11-24T19:44:06Z", 5, "Error: PodDeleted: the pod was deleted while container main ran"),
        ("2026-11-24T19:44:36Z", 30, "Failed: exit code 3"),
        ("2026-11-24T19:45:35Z", 30, "Failed: exit code 3"),
    ] {
        let mut object = recorded("failed");
        object["pods"][0]["metadata"]["deletionTimestamp"] = json!(gone_by);
        object["pods"][0]["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
        check("failed", &object, 60, wanted);
    }
}

/// Its controller deletes the pod while the container runs for the last time, or waits to be started again.
#[test]
fn a_job_whose_container_was_started_anew_too_often_failed_as_its_starts_did() {
    let mut object = recorded("failed");
    object["job"]["status"]["conditions"] = json!([{"type": "Failed", "status": "True",
        "reason": "BackoffLimitExceeded", "message": "Job has reached the specified backoff limit",
        "lastTransitionTime": "2026-11-24T19:44:06Z"}]);
    object["pods"][0]["metadata"]["deletionTimestamp"] = json!("2026-11-24T19:44:35Z");
    object["pods"][0]["metadata"]["deletionGracePeriodSeconds"] = json!(30);
    check("failed", &object, 60, "Error: PodDeleted");
    let status = &mut object["pods"][0]["status"]["containerStatuses"][0];
    status["restartCount"] = json!(2);
    let ended = |code: i32, reason: &str| json!({"terminated": {"exitCode": code, "reason": reason}});
    status["lastState"] = ended(4, "Error");
    check("failed", &object, 60, "Failed: exit code 4");
    let waits = json!({"waiting": {"reason": "CrashLoopBackOff"}});
    let running = json!({"running": {"startedAt": "2026-11-24T19:44:05Z"}});
    for (state, last, wanted) in [
        (&waits, ended(4, "Error"), "Failed: exit code 4"),
        (&running, ended(4, "Error"), "Failed: exit code 4"),
        (&waits, ended(137, "OOMKilled"), "Error: OOMKilled: main used more memory than it may"),
        (&running, json!({}), "Error: BackoffLimitExceeded"),
    ] {
        let status = &mut object["pods"][0]["status"]["containerStatuses"][0];
        (status["state"], status["lastState"]) = (state.clone(), last);
        check("failed", &object, 60, wanted);
    }
    // Seen as it was started anew, and then without what was before.
    let state = |restarts: u32, state: &Value| {
        let mut pod = object["pods"][0].clone();
        let status = &mut pod["status"]["containerStatuses"][0];
        (status["restartCount"], status["state"], status["lastState"]) =
            (json!(restarts), state.clone(), json!({}));
        PodFacts::of(&serde_json::from_value::<Pod>(pod).unwrap())
    };
    let mut remembered = state(0, &ended(5, "Error"));
    remembered.merge(state(1, &running));
    remembered.merge(state(1, &running));
    let told = told(view("uid", &facts(&object).0, &[remembered], at(&object, 60)));
    assert!(told.starts_with("Failed: exit code 5"), "{told}");
}

/// Its node deletes it at last, with no grace, once all of it has ended.
#[test]
fn when_a_pod_was_first_deleted_is_remembered() {
    let object = recorded("failed");
    let deleted = |gone_by: &str, grace: u32| {
        let mut pod = object["pods"][0].clone();
        pod["metadata"]["deletionTimestamp"] = json!(gone_by);
        pod["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
        PodFacts::of(&serde_json::from_value::<Pod>(pod).unwrap())
    };
    let (job, _) = facts(&object);
    for (first, wanted) in [
        (Some(deleted("2026-11-24T19:44:34Z", 30)), "Error: PodDeleted"),
        (Some(deleted("2026-11-24T19:44:37Z", 30)), "Failed: exit code 3"),
        (None, "Failed: exit code 3"),
    ] {
        let last = deleted("2026-11-24T19:44:07Z", 0);
        let mut remembered = first.unwrap_or_else(|| last.clone());
        remembered.merge(last);
        let told = told(view("uid", &job, &[remembered], at(&object, 60)));
        assert!(told.starts_with(wanted), "{told}");
    }
}

#[test]
fn a_pod_on_a_node_that_does_not_answer_is_given_up() {
    let mut object = recorded("running");
    let gone_by = "2026-11-24T19:50:00Z";
    object["pods"][0]["metadata"]["deletionTimestamp"] = json!(gone_by);
    object["pods"][0]["status"]["conditions"] = json!([{"type": "DisruptionTarget", "status": "True",
        "reason": "DeletionByTaintManager", "message": "Taint manager: deleting"}]);
    check("running", &object, 4, "running");
    check(
        "running",
        &object,
        60,
        "overdue: DeletionByTaintManager: Taint manager: deleting; node node does not",
    );
}

#[test]
fn without_its_pods_a_job_is_judged_by_what_it_says() {
    for (name, wanted) in [
        ("failed", "Failed: exit code 3 of main"),
        ("passed", "Passed: exit code 0"),
        ("tried-thrice", "Error: BackoffLimitExceeded: Job has reached the specified backoff limit"),
        ("indexed", "Error: FailedIndexes: Job has failed indexes"),
    ] {
        let mut object = recorded(name);
        object["pods"] = json!([]);
        check(name, &object, 60, wanted);
    }
}

#[test]
fn a_pod_that_vanished_is_remembered() {
    let object = recorded("failed");
    let (job, pods) = facts(&object);
    let mut remembered = pods[0].clone();
    // Its last state leaves out how it ended.
    let mut empty = object["pods"][0].clone();
    empty["status"] = json!({"phase": "Running"});
    let empty: Pod = serde_json::from_value(empty).unwrap();
    let mut late = PodFacts::of(&empty);
    late.gone = true;
    remembered.merge(late);
    let told = told(view("uid", &job, &[remembered], at(&object, 60)));
    assert_eq!(told, "Failed: exit code 3");
}

#[test]
fn objects_with_anything_missing_are_read() {
    // As a bookmark has them.
    let bookmark = json!({"metadata": {"resourceVersion": "7"}, "spec": {"containers": null}, "status": {}});
    assert_eq!(serde_json::from_value::<Pod>(bookmark).unwrap().metadata.resource_version, "7");
    let bookmark = json!({"metadata": {"resourceVersion": "7", "creationTimestamp": null},
        "spec": {"template": {"metadata": {}, "spec": {"containers": null}}}, "status": {}});
    assert_eq!(serde_json::from_value::<Job>(bookmark).unwrap().metadata.resource_version, "7");
    for line in RECORDED.lines() {
        let object: Value = serde_json::from_str(line).unwrap();
        for (kind, objects) in
            [("job", vec![object["job"].clone()]), ("pods", object["pods"].as_array().unwrap().clone())]
        {
            for whole in objects {
                for part in ["metadata", "spec", "status"] {
                    let mut cut = whole.clone();
                    cut.as_object_mut().unwrap().remove(part);
                    let read = if kind == "job" {
                        serde_json::from_value::<Job>(cut).map(|job| drop(JobFacts::of(&job)))
                    } else {
                        serde_json::from_value::<Pod>(cut).map(|pod| drop(PodFacts::of(&pod)))
                    };
                    assert!(read.is_ok(), "{kind} without {part}: {read:?}");
                }
            }
        }
    }
}
