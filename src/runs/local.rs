//! Executor `local`: a Job's containers as processes on this machine. It isolates nothing.
//!
//! Each Job has a folder, and a shim (`kickoff shim`) that runs it there and outlives the
//! server. The folder is all the state there is: the executor reads what is true from it, at start-up
//! as at any other time, and keeps nothing that could not be read again.
//!
//! If we die before `job.json` is in place, there is no Job; after that the next `create` adopts it and
//! starts the shim if none did. If we die while it runs, the shim goes on, and its verdict and log are
//! there at the next start. If the shim dies, or the machine, what it left is killed and the Job ended
//! as `lost`; it is never started twice. If we die while cleaning, the folder has a name by then that
//! no Job has, and the next start removes it.

mod capture;
mod container;
mod env;
mod expand;
mod folder;
mod log;
mod plan;
mod pod;
mod process;
pub mod shim;
mod site;
mod spare;
mod strays;
mod watch;

use std::fmt;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;

use self::site::{Site, State};
use super::executor::{Created, Deleted, Executor, ExecutorError, JobRef, JobSpec, LogChunks, Reading, Seen};
use crate::engine::machine::{JobId, JobSeen, Place};
use crate::outside::clock::Clock;

/// Says something in `shim.log`, where it can: a disk that is full must not end a run.
fn say(text: fmt::Arguments<'_>) {
    writeln!(io::stderr(), "{text}").ok();
}

/// What the executor needs to know.
#[derive(Debug, Clone)]
pub struct LocalOptions {
    /// Where runs have their folders; made where it is missing. One executor at a time.
    pub folder: PathBuf,
    /// The program whose verb `shim` is the shim: this very binary.
    pub binary: PathBuf,
    /// Secrets and `ConfigMaps`, as files `<name>/<key>` below this folder.
    pub secrets: Option<PathBuf>,
    /// Most bytes of a run's log.
    pub log_cap: u64,
    /// The time.
    pub clock: Clock,
}

/// Runs Jobs as processes.
///
/// They inherit `PATH`, `HOME` and `TMPDIR`, and nothing else of the server's environment.
#[derive(Debug, Clone)]
pub struct LocalExecutor {
    site: Arc<Site>,
}

impl LocalExecutor {
    /// Uses the folder, with all that is in it already.
    pub fn open(options: LocalOptions) -> io::Result<Self> {
        Ok(Self { site: Arc::new(Site::open(options)?) })
    }
}

#[async_trait]
impl Executor for LocalExecutor {
    async fn create(&self, job: &JobSpec) -> Result<Created, ExecutorError> {
        let job = job.clone();
        blocking(&self.site, move |site| site.create(&job)).await
    }

    async fn delete(&self, job: &JobRef, why: &str) -> Result<Deleted, ExecutorError> {
        let (job, why) = (job.clone(), why.to_owned());
        blocking(&self.site, move |site| Ok(site.delete(&job, &why)?)).await
    }

    async fn look(&self, job: &JobRef, _: &Place) -> Result<Option<JobSeen>, ExecutorError> {
        let job = job.clone();
        blocking(&self.site, move |site| {
            let found = site.look(&job.id)?;
            let found = found.filter(|(uid, _)| job.uid.as_ref().is_none_or(|wanted| wanted == uid));
            let state = found.map_or(State::Gone, |(_, state)| state).reported();
            Ok(state.map(|state| job.seen(state)))
        })
        .await
    }

    fn watch(&self) -> BoxStream<'static, Result<Seen, ExecutorError>> {
        watch::watch(Arc::clone(&self.site))
    }

    async fn log(&self, job: &JobId, reading: Reading) -> Result<Option<LogChunks>, ExecutorError> {
        Ok(log::read(self.site.folder(job), reading == Reading::Follow).await?)
    }

    async fn clean(&self, job: &JobId) -> Result<(), ExecutorError> {
        let job = job.clone();
        blocking(&self.site, move |site| site.clean(&job)).await
    }
}

/// Does what touches files and processes away from the threads that must not wait.
async fn blocking<T: Send + 'static>(
    site: &Arc<Site>,
    work: impl FnOnce(&Site) -> Result<T, ExecutorError> + Send + 'static,
) -> Result<T, ExecutorError> {
    let site = Arc::clone(site);
    match tokio::task::spawn_blocking(move || work(&site)).await {
        Ok(result) => result,
        Err(error) => Err(io::Error::other(error).into()),
    }
}
