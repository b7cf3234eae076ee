//! A run's folder: which files it has, and how they become durable.
//!
//! | file | says | written by |
//! |---|---|---|
//! | `job.json` | what to run | the executor, before it starts the shim |
//! | `lock` | held: a shim lives; its content: which process | the shim |
//! | `started` | something may have been executed | the shim, durable before it executes anything |
//! | `cancel` | end it, and why | the executor |
//! | `log` | what the containers wrote | the shim |
//! | `exit.json` | how it ended; never changes | the shim, or the executor once no shim lives |
//! | `shim.log` | what the shim itself had to say | the shim |
//! | `work/` | working folder of containers that name no other | the containers |
//!
//! Every file but the logs appears whole, by rename. If we die while writing one, its temporary name
//! remains and means nothing. `job.json` and `started` are renamed before they are durable, so a machine
//! that stops in between may leave them torn; nothing was executed then, and they count as missing.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::process::ProcessId;
use crate::engine::event::Millis;
use crate::engine::verdict::Finished;

/// `job.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobFile {
    /// Name of the Job.
    pub(super) name: String,
    /// Its namespace.
    pub(super) namespace: String,
    /// The executor's id of this very Job.
    pub(super) uid: String,
    /// From `started` on, milliseconds.
    pub(super) timeout_ms: i64,
    /// Most bytes the log may have.
    pub(super) log_cap: u64,
    /// Where Secrets and `ConfigMaps` are; the values themselves never stand in this file.
    pub(super) secrets: Option<PathBuf>,
    /// The whole Job.
    pub(super) manifest: Value,
}

/// `started`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Started {
    /// When.
    pub(super) started_at: Millis,
    /// The shim. Its pid is also the session of every process it starts.
    pub(super) shim: ProcessId,
}

/// A run's folder.
#[derive(Debug, Clone)]
pub(super) struct Folder(PathBuf);

/// The folder's lock; given back when dropped.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Folder {
    /// The folder at `path`, which need not be there.
    pub(super) fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Working folder of containers that name no other.
    pub(super) fn work(&self) -> PathBuf {
        self.0.join("work")
    }

    /// The containers' log.
    pub(super) fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// What the first container gives as its outputs.
    pub(super) fn outputs(&self) -> PathBuf {
        self.0.join("outputs")
    }

    /// What the shim itself had to say.
    pub(super) fn shim_log(&self) -> PathBuf {
        self.0.join("shim.log")
    }

    /// Makes the folder with `job.json`; not durable before [`Folder::sync`].
    pub(super) fn create(&self, job: &JobFile) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(self.work())?;
        self.publish("job.json", &serde_json::to_vec(job)?, false)
    }

    /// Makes durable that the folder exists, with its `job.json`.
    pub(super) fn sync(&self) -> io::Result<()> {
        File::open(self.0.join("job.json"))?.sync_all()?;
        File::open(&self.0)?.sync_all()?;
        self.0.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
    }

    /// `job.json`; `None` where it is missing or torn.
    pub(super) fn job(&self) -> io::Result<Option<JobFile>> {
        self.read("job.json").or_else(torn)
    }

    /// `started`; `None` where it is missing or torn.
    pub(super) fn started(&self) -> io::Result<Option<Started>> {
        self.read("started").or_else(torn)
    }

    /// Writes `started`, and makes it durable together with all before it.
    pub(super) fn start(&self, started: &Started) -> io::Result<()> {
        self.publish("started", &serde_json::to_vec(started)?, false)?;
        let root = self.0.parent().unwrap_or(&self.0);
        let paths = [&self.0.join("started"), &self.0.join("job.json"), &self.0, root];
        // At once, not in a row: the file system makes one commit of them.
        let sync = |path: &Path| File::open(path)?.sync_all();
        std::thread::scope(|scope| {
            let threads = paths.map(|path| scope.spawn(move || sync(path)));
            threads.into_iter().try_for_each(|thread| {
                thread.join().map_err(|_| io::Error::other("a thread that synced a file panicked"))?
            })
        })
    }

    /// `exit.json`.
    pub(super) fn finished(&self) -> io::Result<Option<Finished>> {
        self.read("exit.json")
    }

    /// Writes `exit.json`, durably. The log has to be durable by then.
    pub(super) fn finish(&self, finished: &Finished) -> io::Result<()> {
        self.publish("exit.json", &serde_json::to_vec(finished)?, true)?;
        File::open(&self.0)?.sync_all()
    }

    /// Whether it is over: ended, or removed.
    pub(super) fn is_over(&self) -> bool {
        self.has("exit.json") || !self.0.exists()
    }

    /// Asks for its end.
    pub(super) fn cancel(&self, why: &str) -> io::Result<()> {
        self.publish("cancel", why.as_bytes(), false)
    }

    /// Whether its end was asked for.
    pub(super) fn is_cancelled(&self) -> bool {
        self.has("cancel")
    }

    /// Takes the lock; `None` while somebody else has it.
    pub(super) fn lock(&self) -> io::Result<Option<Lock>> {
        let path = self.0.join("lock");
        let file = File::options().create(true).truncate(false).read(true).write(true).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// The process that had the lock last, if it got as far as to say so.
    pub(super) fn locked_by(&self) -> io::Result<Option<ProcessId>> {
        let bytes = match fs::read(self.0.join("lock")) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(serde_json::from_slice(&bytes).ok())
    }

    fn has(&self, name: &str) -> bool {
        self.0.join(name).exists()
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> io::Result<Option<T>> {
        let path = self.0.join(name);
        let mut bytes = Vec::new();
        match File::open(&path).and_then(|mut file| file.read_to_end(&mut bytes)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        }
        serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", path.display()))
        })
    }

    /// Puts a whole file in place, by rename. The rename itself is durable once the folder is synced.
    fn publish(&self, name: &str, bytes: &[u8], durable: bool) -> io::Result<()> {
        let temporary = self.0.join(format!(".{name}"));
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        if durable {
            file.sync_all()?;
        }
        fs::rename(temporary, self.0.join(name))
    }
}

/// A file can only be torn if the machine stopped before it was durable, and nothing is executed before
/// both are: it counts as missing.
fn torn<T>(error: io::Error) -> io::Result<Option<T>> {
    if error.kind() == io::ErrorKind::InvalidData { Ok(None) } else { Err(error) }
}

impl Lock {
    /// Says whose it is.
    pub(super) fn sign(&mut self, process: &ProcessId) -> io::Result<()> {
        self.0.set_len(0)?;
        self.0.rewind()?;
        self.0.write_all(&serde_json::to_vec(process)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::verdict::Ended;

    fn job() -> JobFile {
        JobFile {
            name: "a-1".to_owned(),
            namespace: "default".to_owned(),
            uid: "u".to_owned(),
            timeout_ms: 1,
            log_cap: 1,
            secrets: None,
            manifest: Value::Null,
        }
    }

    #[test]
    fn what_a_crash_tore_counts_as_missing() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::at(root.path().join("x"));
        assert!(folder.job().unwrap().is_none() && folder.started().unwrap().is_none());
        folder.create(&job()).unwrap();
        folder.sync().unwrap();
        folder.start(&Started { started_at: 7, shim: ProcessId::own().unwrap() }).unwrap();
        assert_eq!(folder.job().unwrap().unwrap().uid, "u");
        assert_eq!(folder.started().unwrap().unwrap().started_at, 7);
        for name in ["job.json", "started", "exit.json"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        assert!(folder.job().unwrap().is_none() && folder.started().unwrap().is_none());
        assert!(folder.finished().is_err(), "a verdict is never torn, so it is never doubted");
    }

    #[test]
    fn only_one_holds_the_lock_and_its_name_stays() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::at(root.path().to_owned());
        assert!(folder.locked_by().unwrap().is_none());
        let mut lock = folder.lock().unwrap().unwrap();
        assert!(folder.lock().unwrap().is_none());
        assert!(folder.locked_by().unwrap().is_none());
        let own = ProcessId::own().unwrap();
        lock.sign(&own).unwrap();
        drop(lock);
        assert_eq!(folder.locked_by().unwrap(), Some(own));
        assert!(folder.lock().unwrap().is_some());
    }

    #[test]
    fn an_end_reads_back_as_written() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::at(root.path().to_owned());
        assert!(!folder.is_over());
        let ended = Ended::Broken { reason: "lost".to_owned(), message: "\"\n".to_owned() };
        let finished = Finished {
            started_at: Some(1),
            finished_at: 2,
            ended,
            container: None,
            detail: None,
            outputs: None,
        };
        folder.finish(&finished).unwrap();
        assert_eq!(folder.finished().unwrap(), Some(finished));
        assert!(folder.is_over());
    }
}
