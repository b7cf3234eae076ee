//! `kickoff shim`: the process that stands between the server and a run, and outlives the server.
//!
//! It reads from its standard input which folder is its own, so the server can start it before there is
//! a run: to start this binary takes longer than all else. If the server dies first, it has none, and ends.
//! It leads a session of its own, so neither a closed terminal nor the server's end reaches it, and so
//! everything it started can be found if it is itself killed. One thread.
//!
//! If it dies before `started` is durable, nothing was executed: the executor starts another. If it dies
//! after that, it may have been: nobody starts it again, and the executor says `lost`. A start or a
//! verdict that can't be written (a full disk) is tried again until it can: the lock is held meanwhile.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use rustix::process::{getpid, set_child_subreaper, setsid};
use rustix::stdio::{dup2_stderr, dup2_stdout};
use serde_json::Value;
use tokio::time::Instant;

use super::capture::Log;
use super::container::Container;
use super::env::{Prepared, prepare};
use super::folder::{Folder, JobFile, Lock, Started};
use super::plan::Plan;
use super::pod::{Heard, Pod, Verdict};
use super::process::ProcessId;
use super::{say, strays};
use crate::engine::event::Millis;
use crate::engine::render::OUTPUTS;
use crate::engine::verdict::{Ended, Finished};
use crate::outside::clock::Clock;

/// Somebody may look at the lock for a moment without being a shim.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(5);
/// One more than Kubernetes takes.
const MOST_OUTPUTS: u64 = 4_097;
/// Between two tries to write the verdict.
const WRITE_PAUSE: Duration = Duration::from_secs(1);

/// Why a shim could not do its work.
#[derive(Debug, thiserror::Error)]
enum ShimError {
    #[error("the shim can't lead a session: {0}; start it from a program or with setsid")]
    Session(rustix::io::Errno),
    #[error("the folder has no job.json")]
    NoJob,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Runs the Job in the folder that it reads, once. Exit code 0 also where another shim did or does it, and
/// where there is no folder.
pub fn main() -> ExitCode {
    match read_folder().and_then(|folder| folder.as_ref().map_or(Ok(()), run)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("kickoff shim: {error}"));
            ExitCode::from(3)
        }
    }
}

/// Waits for the folder; from then on what there is to say goes to its `shim.log`.
fn read_folder() -> Result<Option<Folder>, ShimError> {
    setsid().map_err(ShimError::Session)?;
    let mut path = Vec::new();
    io::stdin().read_to_end(&mut path)?;
    if path.is_empty() {
        return Ok(None);
    }
    let folder = Folder::at(std::path::absolute(OsStr::from_bytes(&path))?);
    let log = File::options().create(true).append(true).open(folder.shim_log())?;
    dup2_stdout(&log).and_then(|()| dup2_stderr(&log)).map_err(io::Error::from)?;
    Ok(Some(folder))
}

fn run(folder: &Folder) -> Result<(), ShimError> {
    let Some(mut job) = folder.job()? else { return Err(ShimError::NoJob) };
    let Some(mut lock) = take_lock(folder)? else { return Ok(()) };
    if folder.finished()?.is_some() || folder.started()?.is_some() {
        return Ok(());
    }
    let outputs = redirect(&mut job.manifest, &folder.outputs());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let finished = runtime.block_on(execute(folder, &job, &mut lock))?;
    let finished = Finished { outputs: outputs.then(|| written(&folder.outputs())).flatten(), ..finished };
    while let Err(error) = folder.finish(&finished) {
        if !folder.path().exists() {
            return Err(error.into());
        }
        say(format_args!("exit.json can't be written: {error}"));
        std::thread::sleep(WRITE_PAUSE);
    }
    Ok(())
}

fn take_lock(folder: &Folder) -> io::Result<Option<Lock>> {
    for _ in 1..LOCK_TRIES {
        if let Some(lock) = folder.lock()? {
            return Ok(Some(lock));
        }
        std::thread::sleep(LOCK_PAUSE);
    }
    folder.lock()
}

async fn execute(folder: &Folder, job: &JobFile, lock: &mut Lock) -> Result<Finished, ShimError> {
    let heard = Heard::listen()?;
    let own = ProcessId::own()?;
    // From here on TERM is heard. Who cancels writes `cancel` first and looks here second, so either
    // it finds us, or we find its `cancel`.
    lock.sign(&own)?;
    if folder.is_cancelled() {
        return Ok(unstarted(Ended::Deleted));
    }
    let (plan, mut init, mut main) = match resolve(job) {
        Ok(resolved) => resolved,
        Err(broken) => return Ok(unstarted(broken)),
    };
    strays::mark(folder, job, init.iter_mut().chain(&mut main))?;
    set_child_subreaper(Some(getpid())).map_err(io::Error::from)?;
    // Nothing was executed yet: a disk that is full is waited for, as with the verdict.
    let begin = || {
        let log = Log::create(&folder.log(), job.log_cap)?;
        let started_at = Clock::System.now();
        folder.start(&Started { started_at, shim: own.clone() })?;
        io::Result::Ok((log, started_at))
    };
    let (log, started_at) = loop {
        match begin() {
            Ok(open) => break open,
            Err(error) if !folder.path().exists() => return Err(error.into()),
            Err(error) => say(format_args!("the start can't be written: {error}")),
        }
        tokio::time::sleep(WRITE_PAUSE).await;
        if folder.is_cancelled() {
            return Ok(unstarted(Ended::Deleted));
        }
    };
    let timeout = Duration::from_millis(u64::try_from(job.timeout_ms).unwrap_or(0));
    let deadline = Instant::now() + timeout;
    let pod = Pod::new(folder.clone(), log.clone(), heard, deadline, plan.grace);
    let (Verdict { ended, container }, ran) = pod.run(init, main).await;
    if let Err(error) = log.sync() {
        say(format_args!("the log can't be made durable: {error}"));
    }
    let started_at: Option<Millis> = ran.then_some(started_at);
    Ok(Finished {
        started_at,
        finished_at: Clock::System.now(),
        ended,
        container,
        detail: None,
        outputs: None,
    })
}

/// Lets the first container write its outputs into a file of ours, where it may write some: the path that the
/// template names is one of a container.
fn redirect(manifest: &mut Value, file: &Path) -> bool {
    let main = manifest.pointer_mut("/spec/template/spec/containers/0").and_then(Value::as_object_mut);
    let Some(main) = main.filter(|main| main.contains_key("terminationMessagePath")) else { return false };
    let env = main.get_mut("env").and_then(Value::as_array_mut);
    let variable = env.into_iter().flatten().find(|variable| variable["name"] == OUTPUTS);
    let Some(variable) = variable else { return false };
    // As every value it is expanded.
    variable["value"] = file.to_string_lossy().replace('$', "$$").into();
    true
}

/// What was written as outputs, a little more than is taken at most; nothing where nothing was.
fn written(file: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|file| file.take(MOST_OUTPUTS).read_to_end(&mut bytes));
    match read {
        Ok(_) => Some(String::from_utf8_lossy(&bytes).into_owned()).filter(|text| !text.is_empty()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            say(format_args!("the outputs can't be read: {error}"));
            None
        }
    }
}

/// Everything that can be known to fail before anything is executed.
fn resolve(job: &JobFile) -> Result<(Plan, Vec<Prepared>, Vec<Prepared>), Ended> {
    let broken = |reason: &str| {
        let reason = reason.to_owned();
        move |message| Ended::Broken { reason, message }
    };
    let plan = Plan::of(&job.manifest, &job.name, &job.namespace).map_err(broken("unsupported"))?;
    let all = |containers: &[Container]| -> Result<Vec<Prepared>, String> {
        let one = |container| prepare(container, &plan.metadata, job.secrets.as_deref());
        containers.iter().map(one).collect()
    };
    let init = all(&plan.init).map_err(broken("CreateContainerConfigError"))?;
    let main = all(&plan.main).map_err(broken("CreateContainerConfigError"))?;
    Ok((plan, init, main))
}

fn unstarted(ended: Ended) -> Finished {
    Finished {
        started_at: None,
        finished_at: Clock::System.now(),
        ended,
        container: None,
        detail: None,
        outputs: None,
    }
}
