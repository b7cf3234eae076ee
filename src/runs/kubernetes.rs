//! Executor `kubernetes`: Jobs of a cluster, as their authors wrote them.
//!
//! The API server has all the state there is; what is kept here is memory that a list makes anew. Nothing
//! is touched but Jobs with our labels and their pods, and a Job only while its uid is the one we know.
//!
//! If we die while creating, the name is adopted next time. While it runs, the Job goes on, and its verdict
//! and its pods' logs are there when we list. After its end nothing is deleted before its log is settled:
//! then the list shows it again, and it is deleted when its time has come. A Job that nobody comes back for
//! goes by its `ttlSecondsAfterFinished`.
//!
//! Nothing is created, changed or deleted but by the holder of the instance's [`Lease`].

mod board;
mod create;
mod follow;
mod lease;
mod log;
mod nodes;
mod pods;
mod rest;
mod spool;
mod stamped;
mod stop;
mod watch;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use serde_json::json;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::board::{Board, Entry, id_of};
pub use self::lease::{Lease, LeaseError, LeaseKeeper, LeaseOptions, lease_path};
use self::nodes::Nodes;
use self::spool::Spool;
use super::executor::{Created, Deleted, Executor, ExecutorError, JobRef, JobSpec, LogChunks, Reading, Seen};
use crate::engine::machine::{JobId, JobSeen, Place};
use crate::engine::pod::Job;
use crate::outside::clearance::{self, Clearance};
use crate::outside::clock::Clock;
use crate::outside::kubernetes::api::{Api, CallError, escape};

/// How long is waited for the first list, where a Job's place must be known.
const SYNC: Duration = Duration::from_secs(30);

/// What the executor needs to know.
#[derive(Clone)]
pub struct KubernetesOptions {
    /// Asks the API server.
    pub api: Api,
    /// Name of this Kickoff: Jobs of another are not seen.
    pub instance: String,
    /// What tells the data folder from every other: a Job that another's server made is left alone, unless its run
    /// is known here.
    pub data_folder: String,
    /// The only namespaces that are served; empty for all.
    pub namespaces: Vec<String>,
    /// Where logs are while they are written; made where it is missing. One executor at a time.
    pub folder: PathBuf,
    /// Most bytes of a run's log.
    pub log_cap: u64,
    /// The time.
    pub clock: Clock,
    /// What the cluster is changed under; without one whoever makes this sees to it that there is no other.
    pub lease: Option<Lease>,
}

/// Runs Jobs on a cluster.
#[derive(Clone)]
pub struct KubernetesExecutor {
    site: Arc<Site>,
}

/// What all parts share.
struct Site {
    api: Api,
    instance: String,
    namespaces: Vec<String>,
    clock: Clock,
    lease: Option<Lease>,
    board: Board,
    spool: Spool,
    nodes: Nodes,
    /// What can't be seen, a sentence each.
    trouble: tokio::sync::watch::Sender<Vec<String>>,
}

impl fmt::Debug for KubernetesExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KubernetesExecutor").field("instance", &self.site.instance).finish_non_exhaustive()
    }
}

impl KubernetesExecutor {
    /// Uses the cluster; asks nothing of it yet.
    pub fn open(options: KubernetesOptions) -> io::Result<Self> {
        let KubernetesOptions { api, instance, data_folder, namespaces, folder, log_cap, clock, lease } =
            options;
        let (trouble, _) = tokio::sync::watch::channel(Vec::new());
        let (board, spool) = (Board::new(data_folder), Spool::open(folder, log_cap)?);
        let nodes = Nodes::default();
        let site = Site { api, instance, namespaces, clock, lease, board, spool, nodes, trouble };
        Ok(Self { site: Arc::new(site) })
    }

    /// Follows what containers say, until `cancel`.
    pub async fn follow_logs(self, cancel: CancellationToken) {
        follow::run(self.site, cancel).await;
    }

    /// What of the cluster can't be seen, as it changes: a sentence for each, with the reason.
    pub fn trouble(&self) -> tokio::sync::watch::Receiver<Vec<String>> {
        self.site.trouble.subscribe()
    }
}

#[async_trait]
impl Executor for KubernetesExecutor {
    async fn create(&self, job: &JobSpec) -> Result<Created, ExecutorError> {
        self.site.ours().await?;
        create::create(&self.site, job, None).await
    }

    async fn create_once(&self, job: &JobSpec, clearance: Clearance) -> Result<Created, ExecutorError> {
        self.site.ours().await?;
        let (giver, ours) = clearance::clearance();
        // Another may have taken over since, where the commit took long.
        let cleared = async move {
            if clearance.is_given().await && self.site.is_held().is_ok() {
                giver.give();
            }
        };
        futures::join!(create::create(&self.site, job, Some(&ours)), cleared).0
    }

    async fn delete(&self, job: &JobRef, why: &str) -> Result<Deleted, ExecutorError> {
        self.site.ours().await?;
        tracing::debug!(job = %job.id, why, "stopping the Job");
        stop::stop(&self.site, job).await
    }

    async fn look(&self, job: &JobRef, place: &Place) -> Result<Option<JobSeen>, ExecutorError> {
        pods::look(&self.site, job, place).await
    }

    fn watch(&self) -> BoxStream<'static, Result<Seen, ExecutorError>> {
        watch::watch(Arc::clone(&self.site))
    }

    async fn log(&self, job: &JobId, reading: Reading) -> Result<Option<LogChunks>, ExecutorError> {
        log::read(&self.site, job, reading).await
    }

    async fn clean(&self, job: &JobId) -> Result<(), ExecutorError> {
        self.site.ours().await?;
        self.site.spool.remove(job).await?;
        if !self.site.board.release(job, self.site.clock.now()) {
            return Ok(());
        }
        self.site.remove(job).await.inspect_err(|_| {
            self.site.board.delete_again(job, self.site.clock.now());
        })
    }
}

impl Site {
    /// The scopes that are watched: each namespace, or all at once.
    fn scopes(&self) -> Vec<Option<String>> {
        if self.namespaces.is_empty() {
            return vec![None];
        }
        self.namespaces.iter().cloned().map(Some).collect()
    }

    fn serves(&self, namespace: &str) -> bool {
        self.namespaces.is_empty() || self.namespaces.iter().any(|served| served == namespace)
    }

    /// The labels of all that is ours.
    fn selector(&self) -> String {
        format!("app.kubernetes.io/managed-by=kickoff,kickoff.dev/instance={}", self.instance)
    }

    /// Whether a Job has the labels of this attempt: without some of them the watch does not see it.
    fn has_labels(&self, job: &Job, id: &JobId) -> bool {
        let labels = &job.metadata.labels;
        labels.managed_by == "kickoff"
            && labels.instance == self.instance
            && id_of(labels).as_ref() == Some(id)
    }

    /// Waits until the cluster is ours to change.
    async fn ours(&self) -> Result<(), ExecutorError> {
        match &self.lease {
            Some(lease) => lease.held().await,
            None => Ok(()),
        }
    }

    /// Whether it is ours to change at this moment.
    fn is_held(&self) -> Result<(), ExecutorError> {
        self.lease.as_ref().map_or(Ok(()), Lease::is_held)
    }

    /// Waits until everything was listed once.
    async fn synced(&self) -> Result<(), ExecutorError> {
        let mut synced = self.board.synced();
        if let Ok(Ok(_)) = timeout(SYNC, synced.wait_for(|synced| *synced)).await {
            return Ok(());
        }
        let why = self.trouble.borrow().first().cloned();
        let why = why.unwrap_or_else(|| "it does not answer".to_owned());
        Err(ExecutorError::Transient(format!("the API server has not listed its Jobs yet: {why}")))
    }

    /// A Job that is there as far as is known.
    async fn find(&self, job: &JobId, uid: Option<&str>) -> Result<Option<Entry>, ExecutorError> {
        let known = |entry: &Entry| {
            !entry.gone && !entry.uid.is_empty() && uid.is_none_or(|wanted| wanted == entry.uid)
        };
        if let Some(entry) = self.board.get(job).filter(known) {
            return Ok(Some(entry));
        }
        self.synced().await?;
        Ok(self.board.get(job).filter(known))
    }

    /// Deletes this very Job; `false` where it is not there any more.
    async fn delete_job(&self, entry: &Entry, policy: &str) -> Result<bool, CallError> {
        let options = json!({
            "apiVersion": "v1", "kind": "DeleteOptions",
            "propagationPolicy": policy, "preconditions": {"uid": entry.uid},
        });
        match self.api.delete(&job_path(entry), &options).await {
            Ok(()) => Ok(true),
            // Another uid is a conflict.
            Err(error) if matches!(error.code(), Some(404 | 409)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Deletes a Job whose time has come.
    async fn remove(&self, job: &JobId) -> Result<(), ExecutorError> {
        let Some(entry) = self.board.get(job).filter(|entry| !entry.gone) else { return Ok(()) };
        // It is tried again soon, and what else the watch has to do must not wait for it.
        self.is_held()?;
        match self.delete_job(&entry, "Background").await {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.board.forget(job);
                Ok(())
            }
            Err(error) => Err(ExecutorError::Transient(error.to_string())),
        }
    }
}

fn job_path(entry: &Entry) -> String {
    path_of(&entry.namespace, &entry.name)
}

fn path_of(namespace: &str, name: &str) -> String {
    format!("/apis/batch/v1/namespaces/{}/jobs/{}", escape(namespace), escape(name))
}

fn pod_path(namespace: &str, name: &str) -> String {
    format!("/api/v1/namespaces/{}/pods/{}", escape(namespace), escape(name))
}

#[cfg(test)]
mod tests;
