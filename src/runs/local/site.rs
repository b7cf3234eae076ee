//! All folders of this machine's runs, and the shims that this process started for them.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::sync::broadcast;

use super::LocalOptions;
use super::folder::{Folder, JobFile};
use super::plan::Plan;
use super::spare::Spare;
use super::strays;
use crate::engine::event::Millis;
use crate::engine::ids::RunId;
use crate::engine::machine::{JobId, JobState};
use crate::engine::verdict::{Ended, Finished};
use crate::runs::executor::{Created, Deleted, ExecutorError, JobRef, JobSpec};

/// All that a run inherits of the server's environment.
const INHERITED: [&str; 3] = ["PATH", "HOME", "TMPDIR"];
/// News of created Jobs that a watch may be behind before it lists again.
const NEWS: usize = 1024;
/// Begins the name of a folder that is being removed.
const REMOVED: &str = ".removed-";

/// The folder of folders.
#[derive(Debug)]
pub(super) struct Site {
    options: LocalOptions,
    inherited: Vec<(&'static str, OsString)>,
    shims: Mutex<HashMap<JobId, Shim>>,
    /// Starting, or waiting for its folder.
    spare: Mutex<Option<Spare>>,
    created: broadcast::Sender<Known>,
}

/// What a look at all folders gave.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) found: Vec<(Known, State)>,
    /// Whether a folder could not be read.
    pub(super) unread: bool,
}

/// A Job that has a folder.
#[derive(Debug, Clone)]
pub(super) struct Known {
    /// Which.
    pub(super) job: JobId,
    /// The executor's id of it.
    pub(super) uid: String,
}

/// A Job as its folder tells.
#[derive(Debug)]
pub(super) enum State {
    /// There is no folder.
    Gone,
    /// Nothing was executed yet.
    Waiting,
    /// Something was, at that time.
    Started(Millis),
    /// It is over.
    Ended(Finished),
}

impl State {
    /// As the machine is told; nothing before anything was executed.
    pub(super) fn reported(self) -> Option<JobState> {
        match self {
            Self::Waiting => None,
            Self::Gone => Some(JobState::Gone),
            Self::Started(started_at) => Some(JobState::Running { started_at }),
            Self::Ended(finished) => Some(JobState::Finished(finished)),
        }
    }
}

/// A shim that this process started.
#[derive(Debug)]
enum Shim {
    Lives(Child),
    Ended,
}

impl Site {
    /// Uses the folder, and removes what an earlier clean left half done.
    pub(super) fn open(options: LocalOptions) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&options.folder)?;
        for entry in fs::read_dir(&options.folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(REMOVED)
                && let Err(error) = remove(&entry.path())
            {
                tracing::warn!(path = %entry.path().display(), %error, "what a run left can't be removed");
            }
        }
        let inherited = INHERITED.iter().filter_map(|name| Some((*name, std::env::var_os(name)?)));
        let (created, _) = broadcast::channel(NEWS);
        Ok(Self {
            inherited: inherited.collect(),
            options,
            shims: Mutex::default(),
            spare: Mutex::default(),
            created,
        })
    }

    /// A Job's folder.
    pub(super) fn folder(&self, job: &JobId) -> Folder {
        Folder::at(self.options.folder.join(job.to_string()))
    }

    /// Tells of every Job that is created from now on.
    pub(super) fn news(&self) -> broadcast::Receiver<Known> {
        self.created.subscribe()
    }

    /// Makes the Job's folder and starts its shim; durable when it returns.
    pub(super) fn create(&self, spec: &JobSpec) -> Result<Created, ExecutorError> {
        let folder = self.folder(&spec.id);
        let created = self.place(spec, &folder)?;
        // The shim is on its way meanwhile; it makes all this durable itself before it executes.
        folder.sync()?;
        let (Created::New(uid) | Created::Adopted(uid)) = &created;
        // Without a watch nobody has to be told.
        if self.created.send(Known { job: spec.id.clone(), uid: uid.clone() }).is_err() {
            tracing::trace!(job = %spec.id, "created while nobody watches");
        }
        self.keep_spare();
        Ok(created)
    }

    fn place(&self, spec: &JobSpec, folder: &Folder) -> Result<Created, ExecutorError> {
        let mut shims = self.shims();
        reap(&mut shims);
        if let Some(job) = folder.job()? {
            if (&job.name, &job.namespace) != (&spec.name, &spec.namespace) {
                let message = format!("{} is the folder of {}/{}", spec.id, job.namespace, job.name);
                return Err(ExecutorError::Permanent { reason: "nameTaken".to_owned(), message });
            }
            let untouched = matches!(self.state(&spec.id)?, State::Waiting) && !shims.contains_key(&spec.id);
            if untouched && folder.lock()?.is_some() {
                self.launch(&mut shims, &spec.id)?;
            }
            return Ok(Created::Adopted(job.uid));
        }
        let unsupported = |message| ExecutorError::Permanent { reason: "unsupported".to_owned(), message };
        let manifest = spec.manifest.job().map_err(|error| unsupported(error.to_string()))?;
        Plan::of(&manifest, &spec.name, &spec.namespace).map_err(unsupported)?;
        let uid = format!("{}-{:x}", spec.id, self.options.clock.now());
        folder.create(&JobFile {
            name: spec.name.clone(),
            namespace: spec.namespace.clone(),
            uid: uid.clone(),
            timeout_ms: spec.timeout_ms,
            log_cap: self.options.log_cap,
            secrets: self.options.secrets.as_deref().map(std::path::absolute).transpose()?,
            manifest,
        })?;
        self.launch(&mut shims, &spec.id)?;
        Ok(Created::New(uid))
    }

    fn launch(&self, shims: &mut HashMap<JobId, Shim>, job: &JobId) -> io::Result<()> {
        let folder = self.folder(job);
        let spare = self.spare().take();
        // It may have been killed meanwhile.
        let child = match spare.map(|spare| spare.give(folder.path())) {
            Some(Ok(child)) => child,
            None | Some(Err(_)) => self.start_spare()?.give(folder.path())?,
        };
        shims.insert(job.clone(), Shim::Lives(child));
        Ok(())
    }

    fn start_spare(&self) -> io::Result<Spare> {
        let inherited = self.inherited.iter().map(|(name, value)| (name, value));
        Spare::start(Command::new(&self.options.binary).arg("shim").env_clear().envs(inherited))
    }

    /// Starts a shim for the run after this one. Without it that run starts a little later.
    fn keep_spare(&self) {
        let mut spare = self.spare();
        if spare.is_none() {
            match self.start_spare() {
                Ok(started) => *spare = Some(started),
                Err(error) => tracing::debug!(%error, "a spare shim can't be started"),
            }
        }
    }

    /// What the folder tells now.
    pub(super) fn state(&self, job: &JobId) -> io::Result<State> {
        let folder = self.folder(job);
        // In this order: whoever ends a Job writes `exit.json` last.
        if let Some(finished) = folder.finished()? {
            return Ok(State::Ended(finished));
        }
        Ok(match folder.started()? {
            Some(started) => State::Started(started.started_at),
            None if folder.path().exists() => State::Waiting,
            None => State::Gone,
        })
    }

    /// All Jobs that can be read, each with its state. One that lost its shim is ended first.
    pub(super) fn list(&self) -> io::Result<Listing> {
        let mut listing = Listing::default();
        for entry in fs::read_dir(&self.options.folder)? {
            let Some(job) = entry?.file_name().to_str().and_then(parse) else { continue };
            match self.look(&job) {
                Ok(Some((uid, state))) => listing.found.push((Known { job, uid }, state)),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%job, %error, "a run's folder can't be read");
                    listing.unread = true;
                }
            }
        }
        Ok(listing)
    }

    /// A Job with its uid. One that lost its shim is ended first.
    pub(super) fn look(&self, job: &JobId) -> io::Result<Option<(String, State)>> {
        let Some(file) = self.folder(job).job()? else { return Ok(None) };
        if !matches!(self.state(job)?, State::Ended(_)) && self.shim(job)?.is_none() {
            self.settle(job)?;
        }
        Ok(Some((file.uid, self.state(job)?)))
    }

    /// A handle to the Job's living shim, whoever started it.
    pub(super) fn shim(&self, job: &JobId) -> io::Result<Option<OwnedFd>> {
        let mut shims = self.shims();
        reap(&mut shims);
        match shims.get(job) {
            // Not reaped while the map is locked: the pid is still this child's.
            Some(Shim::Lives(child)) => Ok(Some(pidfd_open(Pid::from_child(child), PidfdFlags::NONBLOCK)?)),
            _ => match self.folder(job).locked_by()? {
                Some(process) => process.open(),
                None => Ok(None),
            },
        }
    }

    /// Ends or starts a Job that has no shim; does nothing if it has one.
    pub(super) fn settle(&self, job: &JobId) -> io::Result<()> {
        let folder = self.folder(job);
        if !folder.path().exists() {
            return Ok(());
        }
        let Some(lock) = folder.lock()? else { return Ok(()) };
        if folder.finished()?.is_some() {
            return Ok(());
        }
        let started = folder.started()?;
        let mut shims = self.shims();
        if matches!(shims.get(job), Some(Shim::Lives(_))) {
            return Ok(());
        }
        if started.is_none() && !folder.is_cancelled() && !shims.contains_key(job) {
            drop(lock);
            return self.launch(&mut shims, job);
        }
        drop(shims);
        if let Some(started) = &started {
            started.shim.kill_session()?;
            strays::kill(&folder)?;
        }
        let ended = match (folder.is_cancelled(), &started) {
            (true, _) => Ended::Deleted,
            (false, Some(_)) => lost("the process that ran it ended without a verdict".to_owned()),
            (false, None) => lost(format!("it could not be started: {}", last_words(&folder))),
        };
        let started_at = started.map(|started| started.started_at);
        folder.finish(&Finished {
            started_at,
            finished_at: self.options.clock.now(),
            ended,
            container: None,
            detail: None,
            outputs: None,
        })
    }

    /// Asks the Job's shim to end it; without one ends it here.
    pub(super) fn delete(&self, job: &JobRef, why: &str) -> io::Result<Deleted> {
        let folder = self.folder(&job.id);
        let Some(file) = folder.job()? else { return Ok(Deleted::Absent) };
        if job.uid.as_ref().is_some_and(|uid| *uid != file.uid) {
            return Ok(Deleted::Absent);
        }
        if folder.finished()?.is_some() {
            return Ok(Deleted::Stopping);
        }
        folder.cancel(why)?;
        // A shim that has not signed yet could not hear a signal, and looks for `cancel` once it has.
        if let Some(shim) = folder.locked_by()?.map(|process| process.open()).transpose()?.flatten() {
            match pidfd_send_signal(shim, Signal::TERM) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if self.shim(&job.id)?.is_none() {
            self.settle(&job.id)?;
        }
        Ok(Deleted::Stopping)
    }

    /// Removes the folder of a Job that ended.
    pub(super) fn clean(&self, job: &JobId) -> Result<(), ExecutorError> {
        let folder = self.folder(job);
        if folder.job()?.is_some() && folder.finished()?.is_none() {
            return Err(ExecutorError::Transient(format!("{job} still runs")));
        }
        let removed = self.options.folder.join(format!("{REMOVED}{job}"));
        match fs::rename(folder.path(), &removed) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let mut shims = self.shims();
        reap(&mut shims);
        shims.retain(|known, shim| known != job || matches!(shim, Shim::Lives(_)));
        drop(shims);
        Ok(remove(&removed)?)
    }

    fn spare(&self) -> MutexGuard<'_, Option<Spare>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shims(&self) -> MutexGuard<'_, HashMap<JobId, Shim>> {
        self.shims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes note of shims that ended, so that none stays a zombie.
fn reap(shims: &mut HashMap<JobId, Shim>) {
    for shim in shims.values_mut() {
        if let Shim::Lives(child) = shim
            && !matches!(child.try_wait(), Ok(None))
        {
            *shim = Shim::Ended;
        }
    }
}

fn lost(message: String) -> Ended {
    Ended::Broken { reason: "lost".to_owned(), message }
}

/// The last line of what the shim itself had to say.
fn last_words(folder: &Folder) -> String {
    let said = fs::read(folder.shim_log()).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    said.lines().last().map_or_else(|| "it said nothing".to_owned(), |line| line.chars().take(500).collect())
}

fn parse(name: &str) -> Option<JobId> {
    let (run, attempt) = name.split_once('-')?;
    Some(JobId { run: RunId::parse(run)?, attempt: attempt.parse().ok()? })
}

/// Removes a folder with all in it, also where a run left folders without the right to write.
fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(path)?;
            fs::remove_dir_all(path)
        }
        other => other,
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn open_up(folder: &Path) -> io::Result<()> {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}
