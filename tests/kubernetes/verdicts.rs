//! Runs on a real cluster: from a webhook to a pod, to a verdict, with what is kept of it.

use std::process::Stdio;

use serde_json::{Value, json};

use super::home::{Site, fire, log, run_of, settled};
use crate::support::cluster::{cluster, until};
use crate::support::kickoff;

/// A container that runs a script.
fn shell(name: &str, script: &str) -> Value {
    json!({"name": name, "image": cluster().busybox, "command": ["sh", "-c", script]})
}

fn pod(script: &str) -> Value {
    json!({"containers": [shell("main", script)], "terminationGracePeriodSeconds": 2})
}

/// A name, the template and its pod, the outcome, what the reason begins with, what the log has.
type Case = (&'static str, Value, Value, &'static str, &'static str, &'static str);

fn cases() -> Vec<Case> {
    let greedy = {
        let mut main = shell("main", "echo greedy; head -c 200000000 /dev/zero | tail");
        main["resources"] = json!({"limits": {"memory": "32Mi"}});
        json!({"containers": [main]})
    };
    let prepared = |script: &str| json!({"initContainers": [shell("prepare", script)], "containers": [shell("main", "echo tested")]});
    let none = json!({"containers": [{"name": "main", "image": "kickoff.test/there-is-none:1", "imagePullPolicy": "Never"}]});
    let config = {
        let mut main = shell("main", "echo never");
        main["env"] =
            json!([{"name": "X", "valueFrom": {"secretKeyRef": {"name": "there-is-none", "key": "x"}}}]);
        json!({"containers": [main]})
    };
    let nowhere = {
        let mut pod = pod("echo never");
        pod["nodeSelector"] = json!({"there": "is-none"});
        pod
    };
    let pulled = json!({"containers": [{"name": "main", "image": "127.0.0.1:1/there-is-none:1"}]});
    let away = {
        let mut pod = pod("echo never");
        let not_here = json!([{"key": "kubernetes.io/os", "operator": "NotIn", "values": ["linux"]}]);
        let terms = json!([{"matchExpressions": not_here}]);
        pod["affinity"] = json!({"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms},
        }});
        pod
    };
    let account = {
        let mut pod = pod("echo never");
        pod["serviceAccountName"] = json!("there-is-none");
        pod
    };
    let beside = {
        let mut sidecar =
            shell("sidecar", "trap 'echo the end; exit 0' TERM; while true; do sleep 0.1; done");
        sidecar["restartPolicy"] = json!("Always");
        json!({"initContainers": [sidecar], "containers": [shell("main", "sleep 0.5; echo tested; exit 4")]})
    };
    let soon = json!({"startTimeout": "20s"});
    let indexed = json!({"job": {"spec": {"completions": 3, "parallelism": 3, "completionMode": "Indexed",
        "backoffLimitPerIndex": 0}}});
    let by_index = pod("echo index $JOB_COMPLETION_INDEX; test $JOB_COMPLETION_INDEX != 1");
    vec![
        ("passes", json!({}), pod("echo well"), "Passed", "exit code 0", "well\n"),
        ("fails", json!({}), pod("echo ill; exit 3"), "Failed", "exit code 3", "ill\n"),
        (
            "gives",
            json!({"results": {"outputs": "/tmp/outputs.json"}}),
            pod(r#"echo "{\"at\": \"$KICKOFF_OUTPUTS\"}" > "$KICKOFF_OUTPUTS"; echo given; exit 3"#),
            "Failed",
            "exit code 3",
            "given\n",
        ),
        ("slow", json!({"timeout": "2s"}), pod("echo begun; sleep 100"), "TimedOut", "timeout", "begun\n"),
        ("greedy", json!({}), greedy, "Error", "OOMKilled: main", "greedy\n"),
        (
            "unready",
            json!({}),
            prepared("echo bad; exit 7"),
            "Error",
            "InitContainerFailed: init container prepare ended with exit code 7",
            "[prepare] bad\n",
        ),
        (
            "ready",
            json!({}),
            prepared("echo good"),
            "Passed",
            "exit code 0",
            "[prepare] good\n[main] tested\n",
        ),
        ("beside", json!({}), beside, "Failed", "exit code 4 of main", "[main] tested\n[sidecar] the end\n"),
        ("unknown", json!({}), pod("exec /there-is-none"), "Failed", "exit code 127", "sh: "),
        ("image", soon.clone(), none, "Error", "ErrImageNeverPull: ", ""),
        (
            "config",
            soon.clone(),
            config,
            "Error",
            "CreateContainerConfigError: secret \"there-is-none\" not found",
            "",
        ),
        ("pull", soon.clone(), pulled, "Error", "ErrImagePull: failed to pull and unpack image", ""),
        ("nowhere", soon.clone(), nowhere, "Error", "Unschedulable: 0/", ""),
        ("away", soon.clone(), away, "Error", "Unschedulable: 0/", ""),
        ("account", soon, account, "Error", "FailedCreate: Error creating: pods", ""),
        ("indexed", indexed, by_index, "Failed", "exit code 1, failed indexes 1", "index 1\n"),
    ]
}

/// Its container is started anew until its Job is given up.
fn again() -> Case {
    let mut pod = pod("echo ill again; sleep 1; exit 5");
    pod["restartPolicy"] = json!("OnFailure");
    let said = "ill again\n[kickoff: main was started again]\nill again\n";
    ("again", json!({"job": {"spec": {"backoffLimit": 2}}}), pod, "Failed", "exit code 5", said)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_end_has_its_verdict_and_its_log() {
    let mut cases = cases();
    cases.push(again());
    let templates: Vec<_> =
        cases.iter().map(|(name, fields, pod, ..)| (*name, fields.clone(), pod.clone())).collect();
    let site = Site::new(cluster(), &templates);
    let server = site.serve();
    let mut events = Vec::new();
    for (name, ..) in &cases {
        events.push(fire(&server, name).await);
    }
    let mut runs = Vec::new();
    for ((name, _, _, outcome, reason, said), event) in cases.iter().zip(&events) {
        let run = run_of(&server, event, settled).await;
        assert_eq!(run["outcome"], *outcome, "{name}: {run:#}");
        let told = run["reason"].as_str().unwrap();
        assert!(told.starts_with(reason), "{name}: {told}");
        let outputs = if *name == "gives" { json!({"at": "/tmp/outputs.json"}) } else { Value::Null };
        assert_eq!(run["outputs"], outputs, "{name}: {run:#}");
        let log = log(&server, &run).await;
        assert!(log.contains(said), "{name}: {log:?}");
        runs.push((name, run, log));
    }
    // What can't start is deleted at once, so that it does not start late.
    until("the end of what never started", || {
        let left = site.jobs();
        let left = left.iter().filter(|job| {
            let name = job["metadata"]["name"].as_str().unwrap();
            ["image", "pull", "config", "nowhere", "away", "account"]
                .iter()
                .any(|stuck| name.starts_with(stuck))
        });
        (left.count() == 0).then_some(())
    });
    // The log outlives the Job and the pods.
    site.namespace.run(&["delete", "jobs", "--all"]);
    assert_eq!(site.jobs(), [] as [Value; 0]);
    for (name, run, kept) in runs {
        assert_eq!(log(&server, &run).await, kept, "{name}");
        let again = server.get(&format!("/api/v1/runs/{}", run["id"].as_str().unwrap())).await;
        assert_eq!(again["outcome"], run["outcome"], "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_goes_when_its_time_has_come_and_its_log_is_kept() {
    let ttl = |ttl: &str| json!({"retention": {"jobTTL": ttl}});
    let site = Site::new(
        cluster(),
        &[
            ("short", ttl("0s"), pod("echo short")),
            ("while", ttl("4s"), pod("echo while")),
            ("long", json!({}), pod("echo long")),
        ],
    );
    let server = site.serve();
    let mut runs = Vec::new();
    for name in ["short", "while", "long"] {
        let event = fire(&server, name).await;
        runs.push(run_of(&server, &event, settled).await);
    }
    until("only the Job that stays", || {
        let jobs = site.jobs();
        let [job] = &jobs[..] else { return None };
        job["metadata"]["name"].as_str().unwrap().starts_with("long-").then_some(())
    });
    for (run, said) in runs.iter().zip(["short\n", "while\n", "long\n"]) {
        assert_eq!(log(&server, run).await, said);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_deleted_by_hand_is_told_and_never_made_again() {
    let site = Site::new(cluster(), &[("waits", json!({}), pod("echo begun; sleep 100"))]);
    let server = site.serve();
    let event = fire(&server, "waits").await;
    let running = |run: &Value| run["state"] == "running";
    run_of(&server, &event, running).await;
    site.namespace.run(&["delete", "jobs", "--all"]);
    let run = run_of(&server, &event, settled).await;
    assert_eq!((&run["outcome"], &run["reason"]), (&json!("Cancelled"), &json!("deleted")), "{run:#}");
    // The same while nobody watches.
    let event = fire(&server, "waits").await;
    run_of(&server, &event, running).await;
    server.kill();
    site.namespace.run(&["delete", "jobs", "--all"]);
    let server = site.serve();
    let run = run_of(&server, &event, settled).await;
    assert_eq!((&run["outcome"], &run["reason"]), (&json!("Cancelled"), &json!("deleted")), "{run:#}");
    assert_eq!(site.jobs(), [] as [Value; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_is_stopped_and_keeps_what_it_said() {
    let script = "trap 'echo the end; exit 0' TERM; echo begun; while true; do sleep 0.1; done";
    let site = Site::new(cluster(), &[("waits", json!({}), pod(script))]);
    let server = site.serve();
    let event = fire(&server, "waits").await;
    let run = run_of(&server, &event, |run| run["state"] == "running").await;
    let id = run["id"].as_str().unwrap();
    let mut cancel = kickoff();
    cancel.args(["cancel", id, "--server", &server.url]);
    let output = cancel.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let run = run_of(&server, &event, settled).await;
    assert_eq!(run["outcome"], "Cancelled", "{run:#}");
    assert_eq!(log(&server, &run).await, "begun\nthe end\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_of_run_is_the_outcome() {
    let site = Site::new(
        cluster(),
        &[
            ("passes", json!({}), pod("echo well")),
            ("fails", json!({}), pod("echo one; sleep 1; echo two; exit 1")),
        ],
    );
    let server = site.serve();
    for (name, code, said) in [("passes", 0, "well\n"), ("fails", 1, "one\ntwo\n")] {
        let mut run = kickoff();
        run.args(["run", &format!("template/{name}"), "--wait", "--server", &server.url]);
        let output = run.stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{name}: {output:?}");
        let all = [output.stdout, output.stderr].concat();
        assert!(String::from_utf8_lossy(&all).contains(said), "{name}: {}", String::from_utf8_lossy(&all));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_somebody_else_has_is_told() {
    let site = Site::new(cluster(), &[("passes", json!({}), pod("echo well"))]);
    // What the Job will be called is known once the run is: the server is kept from making it by a quota.
    site.namespace.run(&["create", "quota", "none", "--hard=count/jobs.batch=0"]);
    let server = site.serve();
    let event = fire(&server, "passes").await;
    let run = run_of(&server, &event, |run| run["state"] == "launching").await;
    let name = format!("passes-{}-1", run["id"].as_str().unwrap());
    until("the API server's words", || server.said().contains("exceeded quota: none").then_some(()));
    drop(server);
    site.namespace.run(&["delete", "quota", "none"]);
    site.namespace.job(&name, &pod("echo other"), &json!({}));
    let server = site.serve();
    let run = run_of(&server, &event, settled).await;
    assert_eq!(run["outcome"], "Error", "{run:#}");
    assert!(run["reason"].as_str().unwrap().starts_with("nameTaken: a Job called passes-"), "{run:#}");
    assert_eq!(site.jobs().len(), 1, "somebody else's Job was deleted");
}
