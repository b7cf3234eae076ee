//! A run's log, wherever it is: kept, or still with its executor.
//!
//! A log may be kept, and the executor's copy be removed, just while it is read. So what the executor
//! gave is counted, and where more of it is kept by then, the rest is read from there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::executor::{Executor, ExecutorError, LogChunks};
use crate::engine::machine::JobId;
use crate::store::blobs::Blobs;

/// Reads logs.
#[derive(Clone)]
pub struct Logs {
    /// What is kept.
    pub blobs: Blobs,
    /// What still runs.
    pub executor: Arc<dyn Executor>,
}

impl Logs {
    /// The log of one attempt; with `follow` goes on until it ended. `None`: there is none (yet).
    pub async fn read(&self, job: &JobId, follow: bool) -> Result<Option<LogChunks>, ExecutorError> {
        if let Some(kept) = self.blobs.log(job).await? {
            return Ok(Some(kept));
        }
        match self.executor.log(job, follow).await? {
            Some(live) => Ok(Some(continued(live, self.blobs.clone(), job.clone()))),
            // It may have been kept and removed in between.
            None => Ok(self.blobs.log(job).await?),
        }
    }
}

/// `live`, and then what is kept beyond it.
fn continued(live: LogChunks, blobs: Blobs, job: JobId) -> LogChunks {
    let given = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&given);
    let counted = live.inspect_ok(move |chunk| {
        count.fetch_add(chunk.len() as u64, Ordering::Relaxed);
    });
    let rest = stream::once(async move {
        let kept = blobs.log(&job).await?;
        let given = given.load(Ordering::Relaxed);
        Ok::<_, std::io::Error>(kept.map_or_else(|| stream::empty().boxed(), |kept| beyond(kept, given)))
    });
    counted.chain(rest.try_flatten()).boxed()
}

/// All of a log but its first bytes.
fn beyond(log: LogChunks, mut skip: u64) -> LogChunks {
    log.try_filter_map(move |chunk| {
        let over = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
        skip -= over as u64;
        let rest = chunk.slice(over..);
        async move { Ok((!rest.is_empty()).then_some(rest) as Option<Bytes>) }
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ids::RunId;

    fn chunks(pieces: &[&'static str]) -> LogChunks {
        stream::iter(pieces.to_vec()).map(|piece| Ok(Bytes::from_static(piece.as_bytes()))).boxed()
    }

    #[tokio::test]
    async fn a_log_that_was_kept_meanwhile_is_read_on_there() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        let run: RunId = serde_json::from_str("\"0123456789abcdef0123\"").unwrap();
        let (kept, unkept) = (JobId { run: run.clone(), attempt: 1 }, JobId { run, attempt: 2 });
        blobs.keep_log(&kept, chunks(&["what was said"]), 1 << 10).await.unwrap();
        for (live, job, wanted) in [
            (&[][..], &kept, "what was said"),
            (&["what", " wa"][..], &kept, "what was said"),
            (&["what was ", "said"][..], &kept, "what was said"),
            (&["more than ", "was kept"][..], &kept, "more than was kept"),
            (&[][..], &unkept, ""),
            (&["a", "b"][..], &unkept, "ab"),
        ] {
            let read = continued(chunks(live), blobs.clone(), job.clone());
            let bytes: Vec<Bytes> = read.try_collect().await.unwrap();
            assert_eq!(bytes.concat(), wanted.as_bytes());
        }
    }
}
