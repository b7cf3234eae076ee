//! A Job's containers as process groups, from the first to the last.
//!
//! The shim is the subreaper of all it starts: processes that left their group or were orphaned come
//! back to it and are ended with the rest. A container's group is killed the moment its first process
//! ended, before that process is reaped: its pid still names the group and nobody else's.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, WaitStatus, getpid, kill_process_group, wait, waitid,
    waitpid,
};
use tokio::net::unix::pipe;
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::capture::Log;
use super::env::Prepared;
use super::folder::Folder;
use super::process;
use super::say;
use crate::engine::verdict::Ended;

/// How long killed processes get to vanish, and their pipes to close.
const KILL_PATIENCE: Duration = Duration::from_secs(5);
/// Strays can leave strays of their own, unheard.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// TERM and the end of children, as this process hears them.
#[derive(Debug)]
pub(super) struct Heard {
    term: Signals,
    child: Signals,
}

/// The containers of a run.
#[derive(Debug)]
pub(super) struct Pod {
    folder: Folder,
    log: Log,
    prefixed: bool,
    deadline: Instant,
    grace: Duration,
    heard: Heard,
    started: Vec<Process>,
    ended: usize,
    readers: JoinSet<()>,
}

/// How a pod ended: what decided, and which container it was.
#[derive(Debug)]
pub(super) struct Verdict {
    /// How.
    pub(super) ended: Ended,
    /// The container that decided.
    pub(super) container: Option<String>,
}

#[derive(Debug)]
struct Process {
    name: String,
    pid: Pid,
    /// The how many-th to end, and its exit code.
    exit: Option<(usize, i32)>,
}

impl Heard {
    /// Listens from now on.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, child: signal(SignalKind::child())? })
    }
}

impl Verdict {
    fn of(ended: Ended, container: Option<&str>) -> Self {
        Self { ended, container: container.map(str::to_owned) }
    }

    fn broken(reason: &str, message: String, container: Option<&str>) -> Self {
        Self::of(Ended::Broken { reason: reason.to_owned(), message }, container)
    }
}

impl Pod {
    /// A pod that must end by `deadline`.
    pub(super) fn new(folder: Folder, log: Log, heard: Heard, deadline: Instant, grace: Duration) -> Self {
        let (started, readers) = (Vec::new(), JoinSet::new());
        Self { folder, log, prefixed: false, deadline, grace, heard, started, ended: 0, readers }
    }

    /// Runs the init containers, then the main ones, to the end of all processes and of the log.
    pub(super) async fn run(mut self, init: Vec<Prepared>, main: Vec<Prepared>) -> (Verdict, bool) {
        self.prefixed = init.len() + main.len() > 1;
        let verdict = match self.play(init, main).await {
            Ok(verdict) | Err(verdict) => verdict,
        };
        self.stop().await;
        self.end_strays().await;
        let drained = async { while self.readers.join_next().await.is_some() {} };
        if timeout(KILL_PATIENCE, drained).await.is_err() {
            say(format_args!("a process that can't be killed holds the log open"));
            self.readers.abort_all();
        }
        (self.unless_interrupted(verdict), !self.started.is_empty())
    }

    async fn play(&mut self, init: Vec<Prepared>, main: Vec<Prepared>) -> Result<Verdict, Verdict> {
        for container in init {
            let sidecar = container.sidecar;
            let at = self.start(container)?;
            if sidecar {
                continue;
            }
            self.until(|started| started[at].exit.is_some()).await?;
            let process = &self.started[at];
            if let Some((_, code)) = process.exit.filter(|(_, code)| *code != 0) {
                let message = format!("init container {} ended with exit code {code}", process.name);
                return Err(Verdict::broken("InitContainerFailed", message, Some(&process.name)));
            }
        }
        let first = self.started.len();
        for container in main {
            self.start(container)?;
        }
        self.until(|started| started[first..].iter().all(|process| process.exit.is_some())).await?;
        let failed = self.started[first..].iter().filter_map(|process| {
            process.exit.filter(|(_, code)| *code != 0).map(|(nth, code)| (nth, code, process.name.as_str()))
        });
        Ok(match failed.min() {
            Some((_, code, name)) => Verdict::of(Ended::Exited(code), self.prefixed.then_some(name)),
            None => Verdict::of(Ended::Exited(0), None),
        })
    }

    /// Executes one container; its place among the started.
    fn start(&mut self, container: Prepared) -> Result<usize, Verdict> {
        match self.spawn(&container) {
            Ok((pid, pipe)) => {
                let prefix = self.prefixed.then(|| format!("[{}] ", container.name));
                self.readers.spawn(self.log.clone().capture(pipe, prefix));
                self.started.push(Process { name: container.name, pid, exit: None });
                Ok(self.started.len() - 1)
            }
            Err(error) => {
                let program = container.words.first().map(|word| word.to_string_lossy());
                let program = program.unwrap_or_default();
                let message = format!("container {}: {program:?} can't be started: {error}", container.name);
                Err(Verdict::broken("StartError", message, Some(&container.name)))
            }
        }
    }

    fn spawn(&self, container: &Prepared) -> io::Result<(Pid, pipe::Receiver)> {
        use std::os::unix::process::CommandExt;
        let (program, arguments) = container.words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let (reader, writer) = io::pipe()?;
        let wanted = container.working_dir.as_ref().map(Path::new).filter(|wanted| wanted.is_dir());
        let spawned = Command::new(program)
            .args(arguments)
            .envs(container.env.iter().map(|(name, value)| (name, value)))
            .current_dir(wanted.unwrap_or(&self.folder.work()))
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .process_group(0)
            .spawn()?;
        let pipe = pipe::Receiver::from_owned_fd(reader.into())?;
        Ok((Pid::from_child(&spawned), pipe))
    }

    /// Waits until `done`, or for what ends the pod earlier.
    async fn until(&mut self, done: impl Fn(&[Process]) -> bool) -> Result<(), Verdict> {
        loop {
            self.reap();
            if done(&self.started) {
                return Ok(());
            }
            tokio::select! {
                biased;
                _ = self.heard.term.recv() => return Err(self.interrupted()),
                () = sleep_until(self.deadline) => return Err(Verdict::of(Ended::TimedOut, None)),
                _ = self.heard.child.recv() => {}
            }
        }
    }

    /// TERM without a `cancel` comes from outside: the machine shuts down, or somebody did it by hand.
    fn interrupted(&self) -> Verdict {
        if self.folder.is_cancelled() {
            return Verdict::of(Ended::Deleted, None);
        }
        Verdict::broken("interrupted", "the run was ended by SIGTERM from outside Kickoff".to_owned(), None)
    }

    /// A TERM for all processes of a machine may end the containers before this one hears it.
    fn unless_interrupted(&mut self, verdict: Verdict) -> Verdict {
        let by_term = matches!(verdict.ended, Ended::Exited(code) if code == 128 + Signal::TERM.as_raw());
        let heard = by_term && futures::FutureExt::now_or_never(self.heard.term.recv()).is_some();
        if heard { self.interrupted() } else { verdict }
    }

    /// Ends every group that is left: TERM, and KILL after the grace period.
    async fn stop(&mut self) {
        let deadline = Instant::now() + self.grace;
        self.signal_living(Signal::TERM);
        self.reap_until(deadline).await;
        self.signal_living(Signal::KILL);
        self.reap_until(Instant::now() + KILL_PATIENCE).await;
    }

    fn signal_living(&self, signal: Signal) {
        for process in self.started.iter().filter(|process| process.exit.is_none()) {
            signal_group(process.pid, signal);
        }
    }

    async fn reap_until(&mut self, deadline: Instant) {
        loop {
            self.reap();
            if self.started.iter().all(|process| process.exit.is_some()) {
                return;
            }
            if timeout_at(deadline, self.heard.child.recv()).await.is_err() {
                return;
            }
        }
    }

    /// Ends processes that left their groups: they are this process's children by now.
    async fn end_strays(&mut self) {
        let own = getpid().as_raw_nonzero().get();
        let deadline = Instant::now() + KILL_PATIENCE;
        while self.reap() && Instant::now() < deadline {
            let killed = process::living(|process| process.parent == own)
                .and_then(|strays| strays.iter().try_for_each(process::kill));
            if let Err(error) = killed {
                say(format_args!("processes that the containers left can't be ended: {error}"));
                return;
            }
            tokio::select! {
                _ = self.heard.child.recv() => {}
                () = sleep(LOOK_AGAIN) => {}
            }
        }
    }

    /// Takes note of every child that ended; whether any child is left.
    fn reap(&mut self) -> bool {
        for process in self.started.iter_mut().filter(|process| process.exit.is_none()) {
            let peek = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            if matches!(waitid(WaitId::Pid(process.pid), peek), Ok(Some(_))) {
                signal_group(process.pid, Signal::KILL);
                if let Ok(Some((_, status))) = waitpid(Some(process.pid), WaitOptions::NOHANG) {
                    process.exit = Some((self.ended, exit_code(status)));
                    self.ended += 1;
                }
            }
        }
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => self.reaped(pid, status),
                Ok(None) | Err(Errno::INTR) => return true,
                Err(_) => return false,
            }
        }
    }

    /// A container may end between the look at it and the sweep for all others.
    fn reaped(&mut self, pid: Pid, status: WaitStatus) {
        let mut open = self.started.iter_mut().filter(|process| process.exit.is_none());
        if let Some(process) = open.find(|process| process.pid == pid) {
            signal_group(pid, Signal::KILL);
            process.exit = Some((self.ended, exit_code(status)));
            self.ended += 1;
        }
    }
}

/// A group that is gone is fine; so is one that dropped to another user, which only root can end.
fn signal_group(group: Pid, signal: Signal) {
    match kill_process_group(group, signal) {
        Ok(()) | Err(Errno::SRCH) => {}
        Err(error) => say(format_args!("process group {group:?} can't be ended: {error}")),
    }
}

fn exit_code(status: WaitStatus) -> i32 {
    let by_signal = || status.terminating_signal().map_or(255, |signal| 128 + signal);
    status.exit_status().unwrap_or_else(by_signal)
}
