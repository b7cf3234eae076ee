//! Where Jobs run: the port that launcher, tracker and collector use.

use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::engine::machine::{JobId, JobSeen, JobState, Place, Run};
use crate::engine::render::{Maker, Manifest, stamp};
use crate::outside::clearance::Clearance;
pub use crate::store::blobs::LogChunks;

/// Where Jobs run.
#[async_trait]
pub trait Executor: Send + Sync {
    /// Creates the Job, or adopts the one that has this very name and is ours. Idempotent.
    async fn create(&self, job: &JobSpec) -> Result<Created, ExecutorError>;

    /// The same, as soon as `clearance` is given: what can be prepared before that may be. An error where it never is.
    async fn create_once(&self, job: &JobSpec, clearance: Clearance) -> Result<Created, ExecutorError> {
        if clearance.is_given().await {
            self.create(job).await
        } else {
            Err(ExecutorError::Transient("it was withdrawn".to_owned()))
        }
    }

    /// Stops the Job; one that is not there, or has another uid, is left alone: [`Deleted::Absent`].
    async fn delete(&self, job: &JobRef, why: &str) -> Result<Deleted, ExecutorError>;

    /// What this very Job is now, which is looked for at its place: [`JobState::Gone`] where there is none,
    /// `None` where it has not started yet.
    async fn look(&self, job: &JobRef, place: &Place) -> Result<Option<JobSeen>, ExecutorError>;

    /// What happens to all Jobs of this instance. Begins with everything that is there, then
    /// [`Seen::Listed`]; lists again from time to time.
    fn watch(&self) -> BoxStream<'static, Result<Seen, ExecutorError>>;

    /// The log so far; with `follow` goes on until the Job ended. `None`: there is none.
    async fn log(&self, job: &JobId, reading: Reading) -> Result<Option<LogChunks>, ExecutorError>;

    /// Forgets what it keeps of an ended and settled Job. Idempotent.
    async fn clean(&self, job: &JobId) -> Result<(), ExecutorError>;
}

/// A Job to create.
#[derive(Debug, Clone)]
pub struct JobSpec {
    /// Which attempt of which run.
    pub id: JobId,
    /// Name of the Job.
    pub name: String,
    /// Namespace.
    pub namespace: String,
    /// The whole Job, with name, labels and annotations.
    pub manifest: Manifest,
    /// Time-out of this attempt, milliseconds from the start of its first container.
    pub timeout_ms: i64,
}

impl JobSpec {
    /// The Job of this attempt; `None` where the run does not wait for it any more.
    pub fn of(
        job: &JobId,
        run: &Run,
        manifest: &Manifest,
        maker: &Maker,
    ) -> Result<Option<Self>, ExecutorError> {
        if !run.waits_for(job) {
            return Ok(None);
        }
        let manifest = stamp(manifest, run, maker).map_err(|error| ExecutorError::Permanent {
            reason: "manifestUnreadable".to_owned(),
            message: format!("the manifest of run {} can't be read: {error}", run.id),
        })?;
        let Place { namespace, name } = run.place(job.attempt);
        Ok(Some(Self { id: job.clone(), manifest, namespace, timeout_ms: run.timeout_ms, name }))
    }
}

/// How much of a log is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// What there is by now.
    SoFar,
    /// That, and all that comes until the Job ended.
    Follow,
    /// Everything, of a Job that ended; an error at its end where that can't be had.
    Whole,
}

/// A Job that exists, or may.
#[derive(Debug, Clone)]
pub struct JobRef {
    /// Which attempt of which run.
    pub id: JobId,
    /// The executor's id, where it is known: no other is touched.
    pub uid: Option<String>,
}

impl JobRef {
    /// That its state is this.
    pub fn seen(self, state: JobState) -> JobSeen {
        JobSeen::new(self.id, self.uid.unwrap_or_default(), state)
    }
}

/// What `create` did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// Made it.
    New(String),
    /// Found it.
    Adopted(String),
}

/// What `delete` found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// It is being stopped; `watch` tells when it ended.
    Stopping,
    /// There is nothing to stop.
    Absent,
}

/// What `watch` gives.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "almost all are Jobs")]
pub enum Seen {
    /// A Job as it is now.
    Job(JobSeen),
    /// Everything that is there has been given: these.
    Listed(Vec<JobId>),
}

/// Why the executor did not do it.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Trying again may help.
    #[error("{0}")]
    Transient(String),
    /// It will never work; `reason` is one word.
    #[error("{reason}: {message}")]
    Permanent {
        /// One word, for instance `nameTaken`, `unsupported`.
        reason: String,
        /// A sentence for a person.
        message: String,
    },
}
