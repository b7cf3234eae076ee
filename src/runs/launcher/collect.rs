//! Keeps what a Job said. Done again after a crash; a log that was kept twice replaces itself.

use std::pin::pin;
use std::time::Duration;

use tokio::time::sleep;
use tracing::{debug, error, warn};

use super::{Launcher, Limits, Pause};
use crate::engine::machine::{Input, JobId, Settled};
use crate::runs::executor::{ExecutorError, Reading};

/// Logs being kept at once.
pub(super) const COLLECTING: usize = 32;
/// Those that are slow and are waited for besides: each has a connection and a file.
pub(super) const WAITING: usize = 256;
/// How long a log may take to come before it makes way for others.
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

    /// Keeps a log in its turn. A place is not held over a pause, nor while a log does not come: it delays no other.
    async fn keep_log(&self, job: &JobId, limits: &Limits) -> Result<Settled, ExecutorError> {
        let place = limits.logs.acquire().await;
        let mut asking = pin!(self.executor.log(job, Reading::Whole));
        let slow = async {
            sleep(SLOW).await;
            limits.slow.acquire().await
        };
        let (asked, _place) = tokio::select! {
            asked = &mut asking => (asked, place),
            slow = slow => {
                drop(place);
                (asking.await, slow)
            }
        };
        match asked? {
            None if self.blobs.log(job).await?.is_some() => Ok(Settled::Stored),
            None => Ok(Settled::Unavailable),
            Some(chunks) => Ok(self.blobs.keep_log(job, chunks, self.log_cap).await?),
        }
    }
}
