//! What a Job said is kept, whatever becomes of its pods, of the node's files, of the API server and of us.

use std::fmt::Write as _;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use super::home::{Site, cancel, fire, log, pod, run_of, settled, until_spooled};
use crate::support::cluster::{Cluster, PATIENCE, cluster};
use crate::support::door::{At, Door};
use crate::support::{Server, client};

fn running(run: &Value) -> bool {
    run["state"] == "running"
}

/// The first numbers, each on a line of `width` bytes at least, with the end of the line.
fn numbers(upto: usize, width: usize) -> String {
    let mut text = String::new();
    for number in 1..=upto {
        writeln!(text, "{number:<0$}", width - 1).unwrap();
    }
    text
}

/// Where what the run says can be read along.
fn followed(server: &Server, run: &Value) -> String {
    format!("{}/api/v1/runs/{}/log?follow=true", server.url, run["id"].as_str().unwrap())
}

/// Says more than a node of the tests keeps, which looks each 3 s for files of more than 1 MiB, and begins new ones.
///
/// At that moment containerd tears the line that it is at in two, and whoever follows may miss lines, so this says
/// nothing then: each thousand lines, with the 40 bytes that the node adds to each, is just over 1 MiB, a node that looks
/// while they are said finds less, and then there is time for it to look. A line has 1 KiB, which fits into all buffers
/// on its way a whole number of times.
const TALKS: &str = "say() { printf '%-1023s\\n' $1; }; say 1; sleep 3; i=1; \
    while [ $i -lt 5001 ]; do i=$((i+1)); say $i; [ $((i%1000)) -ne 1 ] || sleep 4; done; say 5002";
const LINES: usize = 5_002;

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_the_node_has_thrown_away_is_kept() {
    let site = Site::new(cluster(), &[("talks", json!({}), pod(TALKS))]);
    let server = site.serve();
    let event = fire(&server, "talks").await;
    let run = run_of(&server, &event, settled).await;
    let kept = log(&server, &run).await;
    assert_eq!(run["attempts"][0]["log"], "stored", "{run:#}");
    assert!(kept == numbers(LINES, 1_024), "{} bytes, {:?}", kept.len(), kept.get(..40));
    let folder = site.home.data().join(format!("logs/{}", run["id"].as_str().unwrap()));
    let taken: u64 =
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(taken < kept.len() as u64 / 2, "{} bytes take {taken}", kept.len());
    assert_eq!(std::fs::read_dir(site.home.data().join("kubernetes")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_thrown_away_while_nobody_served_is_told() {
    let site = Site::new(cluster(), &[("talks", json!({}), pod(TALKS))]);
    let server = site.serve();
    let event = fire(&server, "talks").await;
    let run = run_of(&server, &event, running).await;
    until_spooled(&site, &run);
    server.kill();
    tokio::time::sleep(Duration::from_secs(12)).await;
    let server = site.serve();
    let run = run_of(&server, &event, settled).await;
    assert_eq!(run["attempts"][0]["log"], "partial", "{run:#}");
    let kept = log(&server, &run).await;
    let (mut next, mut gaps) = (1, 0);
    for line in kept.lines().filter(|line| !line.is_empty()) {
        match line.trim_end().parse::<usize>() {
            Ok(number) => {
                assert!(number == next || number > next && gaps > 0, "{number} comes where {next} should");
                next = number + 1;
            }
            Err(_) if line.starts_with("[kickoff: lines may be missing here") => gaps += 1,
            Err(_) => assert!(line.starts_with("[kickoff: the log broke off here"), "{line}"),
        }
    }
    assert!(gaps > 0 && next == LINES + 1, "{gaps} gaps, up to {next}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_job_said_before_somebody_deleted_it_is_kept() {
    let site = Site::new(cluster(), &[("waits", json!({}), pod("echo begun; sleep 100"))]);
    let server = site.serve();
    let event = fire(&server, "waits").await;
    let run = run_of(&server, &event, running).await;
    until_spooled(&site, &run);
    site.namespace.run(&["delete", "jobs", "--all"]);
    let run = run_of(&server, &event, settled).await;
    assert_eq!(run["reason"], "deleted", "{run:#}");
    let kept = log(&server, &run).await;
    // Its end may still have been heard, or not.
    let mark = kept.strip_prefix("begun\n").expect(&kept);
    assert_eq!(run["attempts"][0]["log"], if mark.is_empty() { "stored" } else { "partial" }, "{run:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_start_of_a_container_is_in_the_log() {
    let script = "n=$(cat /kept/n 2>/dev/null || echo 0); n=$((n+1)); echo $n >/kept/n; \
        echo start $n; sleep 1; [ $n -ge 3 ]";
    let mut pod = pod(script);
    pod["restartPolicy"] = json!("OnFailure");
    pod["volumes"] = json!([{"name": "kept", "emptyDir": {}}]);
    pod["containers"][0]["volumeMounts"] = json!([{"name": "kept", "mountPath": "/kept"}]);
    let site = Site::new(cluster(), &[("again", json!({"job": {"spec": {"backoffLimit": 5}}}), pod)]);
    let server = site.serve();
    let event = fire(&server, "again").await;
    let run = run_of(&server, &event, settled).await;
    assert_eq!(run["outcome"], "Passed", "{run:#}");
    let again = "[kickoff: main was started again]\n";
    assert_eq!(log(&server, &run).await, format!("start 1\n{again}start 2\n{again}start 3\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_along_gets_every_line_once_though_the_api_server_fails() {
    let cluster = Cluster::own(&["--fast"]);
    let script = "i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo $i; sleep 0.1; done";
    let site = Site::new(&cluster, &[("counts", json!({}), pod(script))]);
    let server = site.serve();
    let event = fire(&server, "counts").await;
    let run = run_of(&server, &event, running).await;
    let mut along = client().get(followed(&server, &run)).send().await.unwrap();
    let mut read = along.chunk().await.unwrap().unwrap().to_vec();
    for _ in 0..2 {
        cluster.tell("kill kube-apiserver");
        tokio::time::sleep(Duration::from_secs(1)).await;
        cluster.tell("start kube-apiserver");
        while let Some(chunk) = along.chunk().await.unwrap() {
            read.extend(chunk);
            if read.len() % 2 == 0 {
                break;
            }
        }
    }
    while let Some(chunk) = along.chunk().await.unwrap() {
        read.extend(chunk);
    }
    assert_eq!(String::from_utf8(read).unwrap(), numbers(300, 1));
    let run = run_of(&server, &event, settled).await;
    assert_eq!(log(&server, &run).await, numbers(300, 1));
    let pod = &run["attempts"][0]["pods"][0];
    assert_eq!(
        (&pod["node"], &pod["exitCode"]),
        (&json!(crate::support::cluster::NODE), &json!(0)),
        "{run:#}"
    );
}

/// Without waiting for its end: what there is.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_has_said_so_far_is_given_at_once() {
    let site = Site::new(cluster(), &[("waits", json!({}), pod("echo begun; sleep 600"))]);
    let server = site.serve();
    let event = fire(&server, "waits").await;
    let run = run_of(&server, &event, running).await;
    let so_far = || tokio::time::timeout(PATIENCE, log(&server, &run));
    // Nothing, as long as nothing has come here.
    let mut said = so_far().await.expect("it waits for the end");
    while said.is_empty() {
        said = so_far().await.expect("it waits for the end");
    }
    assert_eq!(said, "begun\n");
    until_spooled(&site, &run);
    assert_eq!(so_far().await.expect("it waits for who follows"), "begun\n");
    assert_eq!(run_of(&server, &event, |_| true).await["state"], "running");
    cancel(&server, &run).await;
    let run = run_of(&server, &event, settled).await;
    assert_eq!(log(&server, &run).await, "begun\n");
}

/// Of each container what it says, while it runs: by the page's stream of events, and by the API's plain one.
#[tokio::test(flavor = "multi_thread")]
async fn who_reads_along_hears_each_container_while_it_runs() {
    let waits = |word: &str| format!("echo {word} begins; sleep 30; echo {word} ends");
    let container =
        |name: &str| json!({"name": name, "image": cluster().busybox, "command": ["sh", "-c", waits(name)]});
    let pod = json!({"containers": [container("one"), container("two")]});
    let site = Site::new(cluster(), &[("talks", json!({}), pod)]);
    let server = site.serve();
    let event = fire(&server, "talks").await;
    let run = run_of(&server, &event, running).await;
    let url = followed(&server, &run);
    let begun =
        |text: &str| ["one", "two"].iter().all(|name| text.contains(&format!("[{name}] {name} begins")));
    let mut streams = Vec::new();
    for accept in ["text/plain", "text/event-stream"] {
        let mut along = client().get(&url).header("accept", accept).send().await.unwrap();
        let kind = along.headers()["content-type"].to_str().unwrap().to_owned();
        assert!(kind.starts_with(accept), "{kind}");
        let mut read = String::new();
        while !begun(&read) {
            read.push_str(std::str::from_utf8(&along.chunk().await.unwrap().expect(&read)).unwrap());
        }
        assert!(!read.contains("ends"), "{read}");
        streams.push((along, read));
    }
    let now = run_of(&server, &event, |_| true).await;
    assert_eq!(now["state"], "running", "it was heard only when it had ended: {now:#}");
    for (mut along, mut read) in streams {
        while let Some(chunk) = along.chunk().await.unwrap() {
            read.push_str(std::str::from_utf8(&chunk).unwrap());
        }
        for name in ["one", "two"] {
            for word in ["begins", "ends"] {
                assert_eq!(read.matches(&format!("[{name}] {name} {word}")).count(), 1, "{read}");
            }
        }
    }
    let run = run_of(&server, &event, settled).await;
    let kept = log(&server, &run).await;
    assert_eq!(kept, "[one] one begins\n[one] one ends\n[two] two begins\n[two] two ends\n");
}

/// That of a run that goes on. How many such logs may be kept at once is a test of the launcher's.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_does_not_come_delays_no_other_run() {
    let site = Site::new(
        cluster(),
        &[("dead", json!({}), pod("echo late; sleep 600")), ("well", json!({}), pod("echo soon; sleep 2"))],
    );
    let door = Door::before(&cluster().kubeconfig).await;
    let server = site.serve_through(&door, &[]);
    let guard = door.guard(At::Answer, |call| call.contains("/pods/dead-") && call.contains("/log?"));
    let dead = fire(&server, "dead").await;
    guard.came().await;
    let well = fire(&server, "well").await;
    let run = run_of(&server, &well, settled).await;
    assert_eq!((run["outcome"].as_str(), log(&server, &run).await.as_str()), (Some("Passed"), "soon\n"));
    let run = run_of(&server, &dead, running).await;
    assert_eq!(log(&server, &run).await, "", "it came all the same");
    guard.open();
    let mut along = client().get(followed(&server, &run)).send().await.unwrap();
    assert_eq!(along.chunk().await.unwrap().unwrap(), "late\n");
    cancel(&server, &run).await;
    assert_eq!(run_of(&server, &dead, settled).await["outcome"], "Cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_along_gets_a_log_that_was_refused_at_first() {
    let site = Site::new(cluster(), &[("waits", json!({}), pod("echo begun; sleep 600"))]);
    let door = Door::before(&cluster().kubeconfig).await;
    let server = site.serve_through(&door, &[]);
    let guard = door.guard(At::Call, |call| call.contains("/log?"));
    let event = fire(&server, "waits").await;
    let run = run_of(&server, &event, running).await;
    let mut along = client().get(followed(&server, &run)).send().await.unwrap();
    guard.came().await;
    // Whoever reads along has found the empty file by then.
    tokio::time::sleep(Duration::from_secs(1)).await;
    guard.refuse(StatusCode::BAD_GATEWAY);
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(guard);
    let said = tokio::time::timeout(PATIENCE, along.chunk()).await.expect("it reads a file that is gone");
    assert_eq!(said.unwrap().unwrap(), "begun\n");
    cancel(&server, &run).await;
    assert_eq!(run_of(&server, &event, settled).await["outcome"], "Cancelled");
}

/// After a restart Jobs may be known before their pods are, or while no pods can be listed; or neither of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_kept_though_pods_and_jobs_are_listed_late_or_not_at_all() {
    let site = Site::new(cluster(), &[("says", json!({}), pod("echo said; exit 3"))]);
    let door = Door::before(&cluster().kubeconfig).await;
    for case in ["late", "no pods", "neither for a while"] {
        let server = site.serve_through(&door, &[]);
        let guard = door.guard(At::Call, |call| call.contains("/log?"));
        let event = fire(&server, "says").await;
        run_of(&server, &event, |run| run["outcome"].is_string()).await;
        guard.came().await;
        server.kill();
        guard.refuse(StatusCode::BAD_GATEWAY);
        drop(guard);

        let lists = door.guard(At::Call, move |call| {
            call.starts_with("GET /api/v1/pods?")
                || case == "neither for a while" && call.starts_with("GET /apis/batch/v1/jobs?")
        });
        let asked = door.guard(At::Call, |call| call.contains("/pods?labelSelector="));
        let server = site.serve_through(&door, &[]);
        lists.came().await;
        if case != "late" {
            lists.refuse(StatusCode::SERVICE_UNAVAILABLE);
            asked.refuse(StatusCode::SERVICE_UNAVAILABLE);
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        if case != "no pods" {
            drop(lists);
        }
        drop(asked);
        let run = run_of(&server, &event, settled).await;
        assert_eq!(run["attempts"][0]["log"], "stored", "{run:#}");
        assert_eq!(log(&server, &run).await, "said\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_refused_for_a_while_at_its_end_is_kept() {
    let site = Site::new(cluster(), &[("says", json!({}), pod("echo said; exit 3"))]);
    let door = Door::before(&cluster().kubeconfig).await;
    let server = site.serve_through(&door, &[]);
    for status in [StatusCode::TOO_MANY_REQUESTS, StatusCode::INTERNAL_SERVER_ERROR, StatusCode::BAD_GATEWAY]
    {
        let guard = door.guard(At::Call, |call| call.contains("/log?") && call.contains("follow=false"));
        guard.refuse(status);
        let event = fire(&server, "says").await;
        run_of(&server, &event, |run| run["outcome"].is_string()).await;
        guard.came().await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        drop(guard);
        let run = run_of(&server, &event, settled).await;
        assert_eq!(run["attempts"][0]["log"], "stored", "{status}: {run:#}");
        assert_eq!(log(&server, &run).await, "said\n", "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_can_give_is_said_to_be_unavailable() {
    let site = Site::new(cluster(), &[("says", json!({}), pod("echo said; exit 3"))]);
    let door = Door::before(&cluster().kubeconfig).await;
    let server = site.serve_through(&door, &[]);
    for status in [StatusCode::NOT_FOUND, StatusCode::INTERNAL_SERVER_ERROR] {
        let guard = door.guard(At::Call, |call| call.contains("/log?"));
        guard.refuse(status);
        let event = fire(&server, "says").await;
        let run = run_of(&server, &event, settled).await;
        assert_eq!((&run["outcome"], &run["exitCode"]), (&json!("Failed"), &json!(3)), "{run:#}");
        assert_eq!(run["attempts"][0]["log"], "unavailable", "{run:#}");
        let url = format!("{}/api/v1/runs/{}/log", server.url, run["id"].as_str().unwrap());
        let answer = client().get(url).send().await.unwrap();
        assert_eq!(answer.status(), 404);
        let told = answer.text().await.unwrap();
        assert!(told.contains("there is no log of attempt 1 of run "), "{told}");
    }
}
