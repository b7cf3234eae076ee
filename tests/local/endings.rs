//! How runs end: by themselves, by a signal, by their time-out, by request. Nothing is left of them.

use std::time::{Duration, Instant};

use futures::StreamExt;
use kickoff::engine::machine::JobState;
use kickoff::engine::verdict::Ended;
use kickoff::runs::executor::{Created, Deleted, Executor, ExecutorError, Reading, Seen};
use serde_json::json;

use super::stage::{Stage, id, job, lives, script, shell, uid, until};

/// Ignores TERM, and so does its child; a third left the group for a session of its own.
const STUBBORN: &str = "trap '' TERM; \
    sh -c 'trap \"\" TERM; echo $$ > child; while :; do sleep 0.1; done' & \
    setsid sh -c 'trap \"\" TERM; echo $$ > stray; while :; do sleep 0.1; done' & \
    echo $$ > parent; while :; do sleep 0.1; done";

async fn pids(stage: &Stage, number: u32) -> Vec<String> {
    let work = stage.folder(&id(number)).join("work");
    let files = ["parent", "child", "stray"].map(|name| work.join(name));
    let read = |file| std::fs::read_to_string(file).unwrap_or_default();
    until("all processes started", || files.iter().all(|file| read(file).ends_with('\n'))).await;
    files.iter().map(read).collect()
}

#[tokio::test]
async fn exit_codes_and_signals_are_told() {
    let stage = Stage::new();
    for (number, text, code) in [
        (1, "exit 0", 0),
        (2, "exit 42", 42),
        (3, "kill -9 $$", 137),
        (4, "kill -TERM $$", 143),
        (5, "exit 255", 255),
    ] {
        let finished = stage.run(&script(number, text)).await;
        assert_eq!((finished.ended, finished.container), (Ended::Exited(code), None), "{text}");
        let started_at = finished.started_at.unwrap();
        assert!(started_at <= finished.finished_at && started_at > 1_600_000_000_000, "{text}");
    }
}

#[tokio::test]
async fn what_a_test_leaves_behind_ends_with_it() {
    let stage = Stage::new();
    let text = "setsid sh -c 'echo $$ > stray; exec sleep 60' & sleep 60 & echo $! > child; \
                while [ ! -s stray ]; do sleep 0.01; done; exit 3";
    let begin = Instant::now();
    assert_eq!(stage.run(&script(1, text)).await.ended, Ended::Exited(3));
    assert!(begin.elapsed() < Duration::from_secs(10));
    for name in ["child", "stray"] {
        let pid = std::fs::read_to_string(stage.folder(&id(1)).join("work").join(name)).unwrap();
        assert!(!lives(&pid), "{name} lives");
    }
}

#[tokio::test]
async fn a_time_out_ends_everything_that_was_started() {
    let stage = Stage::new();
    let mut spec = script(1, STUBBORN);
    spec.timeout_ms = 300;
    stage.executor.create(&spec).await.unwrap();
    let pids = pids(&stage, 1).await;
    assert_eq!(stage.finished(&spec.id).await.ended, Ended::TimedOut);
    assert!(pids.iter().all(|pid| !lives(pid)), "{pids:?}");
}

#[tokio::test]
async fn a_polite_test_has_the_grace_period_to_end() {
    let stage = Stage::new();
    let main = shell("main", "trap 'echo bye; exit 0' TERM; while :; do sleep 0.01; done");
    let mut spec = job(1, &json!({"containers": [main], "terminationGracePeriodSeconds": 30}));
    spec.timeout_ms = 300;
    assert_eq!(stage.run(&spec).await.ended, Ended::TimedOut);
    // The shell may add that its sleep was ended too.
    let log = stage.log(&spec.id).await;
    assert!(log.ends_with("bye\n"), "{log}");
}

#[tokio::test]
async fn a_deleted_job_ends_with_all_its_processes() {
    let stage = Stage::new();
    let spec = script(1, STUBBORN);
    let uid = uid(stage.executor.create(&spec).await);
    stage.running(&spec.id).await;
    let pids = pids(&stage, 1).await;
    assert_eq!(stage.delete(&spec.id, Some("another")).await, Deleted::Absent);
    assert_eq!(stage.look(&spec.id, Some("another")).await, Some(JobState::Gone));
    assert!(matches!(stage.look(&spec.id, Some(&uid)).await, Some(JobState::Running { .. })));
    assert!(pids.iter().all(|pid| lives(pid)), "another uid is another Job");
    assert_eq!(stage.delete(&spec.id, Some(&uid)).await, Deleted::Stopping);
    assert_eq!(stage.delete(&spec.id, Some(&uid)).await, Deleted::Stopping);
    let finished = stage.finished(&spec.id).await;
    assert_eq!(finished.ended, Ended::Deleted);
    assert!(pids.iter().all(|pid| !lives(pid)), "{pids:?}");
    assert_eq!(stage.look(&spec.id, None).await, Some(JobState::Finished(finished)));
    assert_eq!(stage.delete(&id(2), None).await, Deleted::Absent);
    assert_eq!(stage.look(&id(2), None).await, Some(JobState::Gone));
}

#[tokio::test]
async fn a_job_deleted_right_after_it_was_created_ends_too() {
    let stage = Stage::new();
    for number in 1..=10 {
        let spec = script(number, "sleep 60");
        let uid = uid(stage.executor.create(&spec).await);
        stage.delete(&spec.id, Some(&uid)).await;
        assert_eq!(stage.finished(&spec.id).await.ended, Ended::Deleted, "{number}");
    }
}

#[tokio::test]
async fn a_watch_tells_what_is_there_then_each_change() {
    let stage = Stage::new();
    stage.run(&script(1, "exit 1")).await;
    let mut watch = stage.executor.watch();
    let mut told = Vec::new();
    let mut release = None;
    while told.len() < 5 {
        told.push(match watch.next().await.unwrap().unwrap() {
            Seen::Listed(jobs) => {
                stage.executor.create(&script(2, "while [ ! -e go ]; do sleep 0.01; done")).await.unwrap();
                format!("listed {}", jobs.len())
            }
            Seen::Job(seen) if matches!(seen.state, JobState::Running { .. }) => {
                release = Some(std::fs::write(stage.folder(&seen.job).join("work/go"), ""));
                format!("running {}", seen.uid.starts_with(&seen.job.to_string()))
            }
            Seen::Job(seen) => match seen.state {
                JobState::Finished(finished) => {
                    if seen.job == id(2) {
                        std::fs::remove_dir_all(stage.folder(&id(1))).unwrap();
                        stage.executor.create(&script(3, "sleep 60")).await.unwrap();
                        std::fs::rename(stage.folder(&id(3)), stage.path("elsewhere")).unwrap();
                    }
                    format!("{:?}", finished.ended)
                }
                other => format!("{other:?} {}", seen.job == id(3)),
            },
        });
    }
    release.unwrap().unwrap();
    assert_eq!(told, ["Exited(1)", "listed 1", "running true", "Exited(0)", "Gone true"]);
}

#[tokio::test]
async fn an_ended_job_is_cleaned_and_a_running_one_is_not() {
    let stage = Stage::new();
    let spec = script(1, "mkdir a; touch a/b; chmod 500 a; while [ ! -e go ]; do sleep 0.01; done");
    stage.executor.create(&spec).await.unwrap();
    let refused = stage.executor.clean(&spec.id).await;
    assert!(matches!(refused, Err(ExecutorError::Transient(_))), "{refused:?}");
    std::fs::write(stage.folder(&spec.id).join("work/go"), "").unwrap();
    stage.finished(&spec.id).await;
    stage.executor.clean(&spec.id).await.unwrap();
    stage.executor.clean(&spec.id).await.unwrap();
    assert_eq!(std::fs::read_dir(stage.path("local")).unwrap().count(), 0);
    assert!(stage.executor.log(&spec.id, Reading::SoFar).await.unwrap().is_none());
}

#[tokio::test]
async fn a_log_is_followed_while_it_is_written() {
    let stage = Stage::new();
    let spec = script(1, "echo one; while [ ! -e go ]; do sleep 0.01; done; echo two");
    stage.executor.create(&spec).await.unwrap();
    let mut log = stage.executor.log(&spec.id, Reading::Follow).await.unwrap().unwrap();
    assert_eq!(log.next().await.unwrap().unwrap(), "one\n");
    let mut so_far = stage.executor.log(&spec.id, Reading::SoFar).await.unwrap().unwrap();
    assert_eq!(so_far.next().await.unwrap().unwrap(), "one\n");
    assert!(so_far.next().await.is_none());
    std::fs::write(stage.folder(&spec.id).join("work/go"), "").unwrap();
    assert_eq!(log.next().await.unwrap().unwrap(), "two\n");
    assert!(log.next().await.is_none());
}

#[tokio::test]
async fn a_name_that_is_taken_is_refused() {
    let stage = Stage::new();
    let spec = script(1, "true");
    assert!(matches!(stage.executor.create(&spec).await, Ok(Created::New(_))));
    let mut other = spec.clone();
    other.name = "other".to_owned();
    match stage.executor.create(&other).await {
        Err(ExecutorError::Permanent { reason, .. }) => assert_eq!(reason, "nameTaken"),
        result => panic!("{result:?}"),
    }
    stage.finished(&spec.id).await;
}
