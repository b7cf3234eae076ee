//! Nothing starts twice and no verdict is lost, whoever dies.

use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use futures::StreamExt;
use kickoff::engine::machine::JobId;
use kickoff::engine::verdict::Ended;
use kickoff::runs::executor::{Created, Executor, Seen};

use super::stage::{Stage, broken, id, lives, script, until};
use crate::support::{Home, kickoff};

fn shim_pid(stage: &Stage, job: &JobId) -> String {
    let lock = std::fs::read(stage.folder(job).join("lock")).unwrap();
    let process: serde_json::Value = serde_json::from_slice(&lock).unwrap();
    process["pid"].to_string()
}

fn kill(pid: &str) {
    assert!(Command::new("kill").args(["-9", pid]).status().unwrap().success());
}

fn shim(stage: &Stage, job: &JobId) -> std::process::Child {
    let mut shim = Command::new(env!("CARGO_BIN_EXE_kickoff"))
        .arg("shim")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    shim.stdin.take().unwrap().write_all(stage.folder(job).as_os_str().as_bytes()).unwrap();
    shim
}

/// Shims of a server that wait for a folder: only these have nowhere to write to.
fn spares(server: u32) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().into_string().ok());
    let waits = |pid: &String| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after = stat.rsplit(')').next().unwrap_or_default();
        let parent = after.split_whitespace().nth(1).unwrap_or_default();
        let output = std::fs::read_link(format!("/proc/{pid}/fd/1")).unwrap_or_default();
        parent == server.to_string() && output == Path::new("/dev/null") && lives(pid)
    };
    pids.filter(waits).collect()
}

fn starts(stage: &Stage, job: &JobId) -> usize {
    let text = std::fs::read_to_string(stage.folder(job).join("work/starts")).unwrap_or_default();
    text.lines().count()
}

#[tokio::test]
async fn a_job_created_many_times_runs_once() {
    let stage = Stage::new();
    let spec = script(1, "echo x >> starts; while [ ! -e go ]; do sleep 0.01; done");
    let all = futures::future::join_all((0..8).map(|_| stage.executor.create(&spec))).await;
    let all: Vec<Created> = all.into_iter().map(Result::unwrap).collect();
    assert_eq!(all.iter().filter(|created| matches!(created, Created::New(_))).count(), 1, "{all:?}");
    stage.running(&spec.id).await;
    let stage = stage.reopen();
    assert!(matches!(stage.executor.create(&spec).await, Ok(Created::Adopted(_))));
    std::fs::write(stage.folder(&spec.id).join("work/go"), "").unwrap();
    assert_eq!(stage.finished(&spec.id).await.ended, Ended::Exited(0));
    assert!(matches!(stage.executor.create(&spec).await, Ok(Created::Adopted(_))));
    assert_eq!(stage.finished(&spec.id).await.ended, Ended::Exited(0));
    assert_eq!(starts(&stage, &spec.id), 1);
}

#[tokio::test]
async fn a_shim_run_by_hand_starts_nothing_twice() {
    let stage = Stage::new();
    let spec = script(1, "echo x >> starts; while [ ! -e go ]; do sleep 0.01; done");
    stage.executor.create(&spec).await.unwrap();
    stage.running(&spec.id).await;
    let second = shim(&stage, &spec.id).wait_with_output().unwrap();
    assert!(second.status.success(), "{second:?}");
    std::fs::write(stage.folder(&spec.id).join("work/go"), "").unwrap();
    stage.finished(&spec.id).await;
    assert!(shim(&stage, &spec.id).wait().unwrap().success());
    assert_eq!(starts(&stage, &spec.id), 1);
}

/// A server of its own, so that no other test loses its shim.
#[tokio::test]
async fn a_spare_shim_that_was_killed_is_no_loss() {
    let home = Home::new(
        "
apiVersion: kickoff.dev/v1alpha1
kind: JobTemplate
metadata: {name: ends}
spec:
  params: [{name: code, type: integer, required: true}]
  job: {spec: {template: {spec: {containers: [{name: main, command: [sh, -c, 'exit $KICKOFF_PARAM_CODE']}]}}}}
",
    );
    let server = home.serve(&[], &[]);
    let run = |code: u8| {
        let code = format!("code={code}");
        let verb = ["run", "template/ends", "--wait", "-p", code.as_str(), "--server", server.url.as_str()];
        kickoff().args(verb).output().unwrap()
    };
    let passed = run(0);
    assert_eq!(passed.status.code(), Some(0), "{passed:?}");
    until("a spare waits", || spares(server.pid()).len() == 1).await;
    let spare = spares(server.pid()).remove(0);
    kill(&spare);
    until("it is dead", || !lives(&spare)).await;
    let failed = run(7);
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    let told = String::from_utf8_lossy(&failed.stderr);
    let lines: Vec<&str> = told.lines().collect();
    let [named, ended] = lines.as_slice() else { panic!("progress without a terminal: {told}") };
    assert!(named.starts_with("run ") && ended.ends_with(": Failed: exit code 7"), "{told}");
}

#[test]
fn a_shim_without_a_folder_ends() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kickoff"));
    let mut shim = command.arg("shim").stdin(Stdio::piped()).spawn().unwrap();
    drop(shim.stdin.take());
    assert!(shim.wait().unwrap().success(), "its server died before it had a run");
}

#[tokio::test]
async fn a_run_goes_on_without_its_server() {
    let stage = Stage::new();
    let spec = script(1, "echo before; while [ ! -e go ]; do sleep 0.01; done; echo after; exit 9");
    stage.executor.create(&spec).await.unwrap();
    stage.running(&spec.id).await;
    let stage = stage.reopen();
    stage.running(&spec.id).await;
    std::fs::write(stage.folder(&spec.id).join("work/go"), "").unwrap();
    assert_eq!(stage.finished(&spec.id).await.ended, Ended::Exited(9));
    assert_eq!(stage.log(&spec.id).await, "before\nafter\n");
}

#[tokio::test]
async fn a_run_that_ended_while_nobody_watched_is_told_before_the_list() {
    let stage = Stage::new();
    let spec = script(1, "echo all; exit 4");
    stage.executor.create(&spec).await.unwrap();
    let exit = stage.folder(&spec.id).join("exit.json");
    let stage = stage.reopen();
    until("it ended", || exit.exists()).await;
    let first = stage.executor.watch().next().await.unwrap().unwrap();
    assert!(matches!(first, Seen::Job(_)), "{first:?}");
    assert_eq!(stage.finished(&spec.id).await.ended, Ended::Exited(4));
    assert_eq!(stage.log(&spec.id).await, "all\n");
}

#[tokio::test]
async fn a_killed_shim_means_lost_and_nothing_is_left() {
    for restarted in [false, true] {
        let mut stage = Stage::new();
        let text = "trap '' TERM; echo x >> starts; sh -c 'echo $$ > child; exec sleep 60' & \
                    setsid sh -c 'echo $$ > stray; exec sleep 60' & \
                    echo $$ > parent; while :; do sleep 0.1; done";
        let spec = script(1, text);
        stage.executor.create(&spec).await.unwrap();
        stage.running(&spec.id).await;
        let work = stage.folder(&spec.id).join("work");
        let read = |name: &str| std::fs::read_to_string(work.join(name)).unwrap_or_default();
        until("all started", || ["parent", "child", "stray"].iter().all(|name| read(name).ends_with('\n')))
            .await;
        kill(&shim_pid(&stage, &spec.id));
        if restarted {
            stage = stage.reopen();
        }
        let finished = stage.finished(&spec.id).await;
        assert_eq!(broken(&finished).0, "lost");
        assert!(finished.started_at.is_some());
        for name in ["parent", "child", "stray"] {
            assert!(!lives(&read(name)), "{name} lives; restarted: {restarted}");
        }
        assert!(shim(&stage, &spec.id).wait().unwrap().success());
        assert_eq!(stage.finished(&spec.id).await, finished, "the verdict stays");
        assert_eq!(starts(&stage, &spec.id), 1);
    }
}

#[tokio::test]
async fn the_same_run_of_another_server_is_left_alone() {
    let (ours, theirs) = (Stage::new(), Stage::new());
    let spec = script(1, "setsid sh -c 'echo $$ > stray; exec sleep 60' & while :; do sleep 0.1; done");
    let stray = |stage: &Stage| {
        std::fs::read_to_string(stage.folder(&spec.id).join("work/stray")).unwrap_or_default()
    };
    for stage in [&ours, &theirs] {
        stage.executor.create(&spec).await.unwrap();
        until("it started", || stray(stage).ends_with('\n')).await;
    }
    kill(&shim_pid(&ours, &spec.id));
    assert_eq!(broken(&ours.finished(&spec.id).await).0, "lost");
    assert!(!lives(&stray(&ours)) && lives(&stray(&theirs)));
    theirs.delete(&spec.id, None).await;
    assert_eq!(theirs.finished(&spec.id).await.ended, Ended::Deleted);
    assert!(!lives(&stray(&theirs)));
}

#[tokio::test]
async fn a_job_whose_shim_never_started_anything_is_started_after_a_restart() {
    let stage = Stage::new();
    let spec = script(1, "echo x >> starts");
    stage.run(&spec).await;
    for name in ["started", "exit.json", "log", "work/starts"] {
        std::fs::remove_file(stage.folder(&spec.id).join(name)).unwrap();
    }
    let stage = stage.reopen();
    assert_eq!(stage.finished(&spec.id).await.ended, Ended::Exited(0));
    assert_eq!(starts(&stage, &spec.id), 1);
}

#[tokio::test]
async fn a_shim_that_started_is_not_started_again_after_a_reboot() {
    let stage = Stage::new();
    let spec = script(1, "echo x >> starts");
    stage.run(&spec).await;
    let folder = stage.folder(&spec.id);
    std::fs::remove_file(folder.join("exit.json")).unwrap();
    // Its pid now belongs to this test: another boot, so nothing of it may be touched.
    let pid = std::process::id();
    let shim_of_then = format!(r#"{{"pid":{pid},"start":1,"boot":"of-then"}}"#);
    std::fs::write(folder.join("lock"), &shim_of_then).unwrap();
    std::fs::write(folder.join("started"), format!(r#"{{"startedAt":5,"shim":{shim_of_then}}}"#)).unwrap();
    assert!(shim(&stage, &spec.id).wait().unwrap().success());
    let stage = stage.reopen();
    let finished = stage.finished(&spec.id).await;
    assert_eq!((broken(&finished).0, finished.started_at), ("lost", Some(5)));
    assert_eq!(starts(&stage, &spec.id), 1);
}

#[tokio::test]
async fn a_deletion_whose_shim_is_gone_ends_what_it_left() {
    let stage = Stage::new();
    let spec = script(1, "echo $$ > parent; trap '' TERM; while :; do sleep 0.1; done");
    stage.executor.create(&spec).await.unwrap();
    let parent = stage.folder(&spec.id).join("work/parent");
    let read = || std::fs::read_to_string(&parent).unwrap_or_default();
    until("it started", || read().ends_with('\n')).await;
    let shim = shim_pid(&stage, &spec.id);
    kill(&shim);
    until("the shim ended", || !lives(&shim)).await;
    stage.delete(&spec.id, None).await;
    assert!(!lives(&read()));
    assert_eq!(stage.finished(&spec.id).await.ended, Ended::Deleted);
}

#[tokio::test]
async fn a_term_from_outside_is_no_verdict_of_the_test() {
    let stage = Stage::new();
    let spec = script(1, "sleep 60");
    stage.executor.create(&spec).await.unwrap();
    stage.running(&spec.id).await;
    assert!(Command::new("kill").arg(shim_pid(&stage, &spec.id)).status().unwrap().success());
    assert_eq!(broken(&stage.finished(&spec.id).await).0, "interrupted");
}

#[tokio::test]
async fn shims_killed_at_any_moment_leave_one_verdict_each() {
    let stage = Stage::new();
    for number in 1..=40 {
        let spec = script(number, "echo x >> starts; sleep 0.02; exit 6");
        stage.executor.create(&spec).await.unwrap();
        let lock = stage.folder(&id(number)).join("lock");
        until("the shim signed", || std::fs::metadata(&lock).is_ok_and(|lock| lock.len() > 0)).await;
        let shim = shim_pid(&stage, &spec.id);
        std::thread::sleep(Duration::from_micros(u64::from(number) * 700));
        let killed = Command::new("kill").args(["-9", &shim]).stderr(Stdio::null()).status().unwrap();
        let finished = stage.finished(&spec.id).await;
        match finished.ended {
            Ended::Exited(6) => assert_eq!(starts(&stage, &spec.id), 1),
            Ended::Broken { reason, .. } if reason == "lost" => {
                assert!(killed.success() && starts(&stage, &spec.id) <= 1);
            }
            other => panic!("{other:?}"),
        }
    }
}
