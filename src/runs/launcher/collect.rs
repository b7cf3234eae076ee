//! Keeps what a Job said. Done again after a crash; a log that was kept twice replaces itself.

use std::pin::pin;
use std::time::Duration;

use tokio::time::timeout;
use tracing::{debug, error, warn};

use super::{Launcher, Limits, Pause};
use crate::engine::machine::{Input, JobId, Settled};
use crate::runs::executor::ExecutorError;

/// How long a log may hold one of the places: one that comes slowly, or not at all, would take it from others.
const SLOW: Duration = Duration::from_secs(2);
/// How often keeping a log is tried.
const COLLECT_TRIES: u32 = 8;

impl Launcher {
    pub(super) async fn collect(&self, job: JobId, limits: &Limits) -> Input {
        let mut pause = Pause::new();
        let mut left = COLLECT_TRIES;
        loop {
            match self.keep_log(&job, limits).await {
                Ok(settled) => {
                    debug!(%job, ?settled, "log kept");
                    return Input::Settled { job, settled };
                }
                // Nobody could be asked; what there is can be had later.
                Err(failed @ ExecutorError::Transient(_)) => {
                    warn!(%job, error = %failed, "can't keep the log yet");
                }
                Err(failed) if left == 1 => {
                    error!(%job, error = %failed, "the log can't be kept");
                    return Input::Settled { job, settled: Settled::Unavailable };
                }
                Err(failed) => {
                    left -= 1;
                    warn!(%job, error = %failed, "can't keep the log, trying again");
                }
            }
            pause.wait().await;
        }
    }

    /// Keeps a log in its turn. A place is not held over a pause, nor by what is slow: a log that can't be had delays no
    /// other.
    async fn keep_log(&self, job: &JobId, limits: &Limits) -> Result<Settled, ExecutorError> {
        let place = limits.logs.acquire().await;
        let mut keeping = pin!(self.read_log(job));
        let kept = timeout(SLOW, &mut keeping).await;
        drop(place);
        match kept {
            Ok(kept) => kept,
            Err(_) => keeping.await,
        }
    }

    async fn read_log(&self, job: &JobId) -> Result<Settled, ExecutorError> {
        match self.executor.log(job, false).await? {
            None if self.blobs.log(job).await?.is_some() => Ok(Settled::Stored),
            None => Ok(Settled::Unavailable),
            Some(chunks) => Ok(self.blobs.keep_log(job, chunks, self.log_cap).await?),
        }
    }
}
