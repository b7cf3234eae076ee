//! An executor in a folder of its own, and Jobs for it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt;
use kickoff::engine::ids::RunId;
use kickoff::engine::machine::{JobId, JobSeen, JobState, Place};
use kickoff::engine::render::Manifest;
use kickoff::engine::verdict::{Ended, Finished};
use kickoff::outside::clock::Clock;
use kickoff::runs::executor::{Created, Deleted, Executor, ExecutorError, JobRef, JobSpec, Reading, Seen};
use kickoff::runs::local::{LocalExecutor, LocalOptions};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

/// Longer than anything here takes on a slow machine.
const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) const LOG_CAP: u64 = 100_000;

/// A folder with an executor.
pub(crate) struct Stage {
    pub(crate) root: tempfile::TempDir,
    pub(crate) executor: LocalExecutor,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let executor = open(root.path());
        Self { root, executor }
    }

    /// As after a restart of the server.
    pub(crate) fn reopen(self) -> Self {
        let Self { root, executor } = self;
        drop(executor);
        let executor = open(root.path());
        Self { root, executor }
    }

    /// A path in the stage's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// The run's folder.
    pub(crate) fn folder(&self, job: &JobId) -> PathBuf {
        self.path("local").join(job.to_string())
    }

    /// A Secret's or `ConfigMap`'s key.
    pub(crate) fn secret(&self, name: &str, key: &str, value: &[u8]) {
        let folder = self.path("secrets").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(key), value).unwrap();
    }

    /// Creates the Job and waits for its end.
    pub(crate) async fn run(&self, spec: &JobSpec) -> Finished {
        self.executor.create(spec).await.unwrap();
        self.finished(&spec.id).await
    }

    /// How the Job ended, as a new watch tells.
    pub(crate) async fn finished(&self, job: &JobId) -> Finished {
        let finished = |seen: &JobSeen| match &seen.state {
            JobState::Finished(finished) => Some(finished.clone()),
            _ => None,
        };
        self.see(job, finished).await
    }

    /// Waits until a new watch says that the Job runs.
    pub(crate) async fn running(&self, job: &JobId) {
        self.see(job, |seen| matches!(seen.state, JobState::Running { .. }).then_some(())).await;
    }

    async fn see<T>(&self, job: &JobId, wanted: impl Fn(&JobSeen) -> Option<T>) -> T {
        let mut watch = self.executor.watch();
        let search = async {
            loop {
                match watch.next().await.unwrap().unwrap() {
                    Seen::Job(seen) if seen.job == *job => {
                        if let Some(found) = wanted(&seen) {
                            return found;
                        }
                    }
                    _ => {}
                }
            }
        };
        timeout(DEADLINE, search).await.unwrap_or_else(|_| panic!("{job} was not seen so"))
    }

    /// All of the log, followed to its end.
    pub(crate) async fn log(&self, job: &JobId) -> String {
        String::from_utf8_lossy(&self.log_bytes(job).await).into_owned()
    }

    pub(crate) async fn log_bytes(&self, job: &JobId) -> Vec<u8> {
        let chunks = self.executor.log(job, Reading::Follow).await.unwrap().unwrap();
        let read = chunks.map(|chunk| chunk.unwrap().to_vec()).concat();
        timeout(DEADLINE, read).await.unwrap()
    }

    pub(crate) async fn delete(&self, job: &JobId, uid: Option<&str>) -> Deleted {
        let job = JobRef { id: job.clone(), uid: uid.map(str::to_owned) };
        self.executor.delete(&job, "a test said so").await.unwrap()
    }

    pub(crate) async fn look(&self, job: &JobId, uid: Option<&str>) -> Option<JobState> {
        let job = JobRef { id: job.clone(), uid: uid.map(str::to_owned) };
        let place = Place { namespace: "default".to_owned(), name: job.id.to_string() };
        self.executor.look(&job, &place).await.unwrap().map(|seen| seen.state)
    }
}

fn open(root: &Path) -> LocalExecutor {
    LocalExecutor::open(LocalOptions {
        folder: root.join("local"),
        binary: env!("CARGO_BIN_EXE_kickoff").into(),
        secrets: Some(root.join("secrets")),
        log_cap: LOG_CAP,
        clock: Clock::System,
    })
    .unwrap()
}

pub(crate) fn id(number: u32) -> JobId {
    JobId { run: RunId::parse(&format!("{number:020x}")).unwrap(), attempt: 1 }
}

/// A Job whose pod has this spec.
pub(crate) fn job(number: u32, pod: &Value) -> JobSpec {
    let id = id(number);
    let name = format!("test-{id}");
    let template = json!({"metadata": {"labels": {"app": "shop"}}, "spec": pod});
    let manifest = json!({"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": template}});
    JobSpec {
        id,
        name,
        namespace: "default".to_owned(),
        manifest: Manifest::of(&manifest).unwrap(),
        timeout_ms: 15_000,
    }
}

/// A container that runs a shell script; what is the shell's to expand is kept from the executor.
pub(crate) fn shell(name: &str, script: &str) -> Value {
    json!({"name": name, "command": ["sh", "-c", script.replace('$', "$$")]})
}

/// A Job of one container that runs a shell script.
pub(crate) fn script(number: u32, script: &str) -> JobSpec {
    job(number, &json!({"containers": [shell("main", script)], "terminationGracePeriodSeconds": 1}))
}

pub(crate) fn uid(created: Result<Created, ExecutorError>) -> String {
    match created.unwrap() {
        Created::New(uid) | Created::Adopted(uid) => uid,
    }
}

pub(crate) fn broken(finished: &Finished) -> (&str, &str) {
    match &finished.ended {
        Ended::Broken { reason, message } => (reason, message),
        other => panic!("{other:?} is not broken"),
    }
}

/// Looks again and again until it holds.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("in vain: {what}"));
}

/// Whether the process lives; a zombie does not.
pub(crate) fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
}
