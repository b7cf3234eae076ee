//! A run's log, wherever it is: kept, or still with its executor.
//!
//! A log may be kept, and the executor's copy be removed, just while it is followed. So what the executor
//! gave is counted, and where more of it is kept by then, the rest is read from there. Both have the same
//! mark where they are cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::executor::{Executor, ExecutorError, LogChunks, Reading};
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
        let reading = if follow { Reading::Follow } else { Reading::SoFar };
        match self.executor.log(job, reading).await? {
            Some(live) if follow => Ok(Some(continued(live, self.blobs.clone(), job.clone()))),
            Some(live) => Ok(Some(live)),
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
        let rest = blobs.log_beyond(&job, given.load(Ordering::Relaxed)).await?;
        Ok::<_, std::io::Error>(rest.unwrap_or_else(|| stream::empty().boxed()))
    });
    counted.chain(rest.try_flatten()).boxed()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::engine::ids::RunId;
    use crate::store::blobs::cap_mark;

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

    #[tokio::test]
    async fn a_log_that_was_cut_is_the_same_wherever_the_reader_goes_over() {
        let cap = 8;
        let (whole, text) = ("was cut and more", format!("was cut {}", cap_mark(cap)));
        let broken = "was \n[kickoff: the log broke off here: 4 bytes are kept]\n";
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        let run: RunId = serde_json::from_str("\"0123456789abcdef0123\"").unwrap();
        let job = |attempt| JobId { run: run.clone(), attempt };
        let live = |text: &str| stream::iter([Ok(Bytes::copy_from_slice(text.as_bytes()))]).boxed();
        // Kept from what its executor had cut already, from what is cut here, and from what broke off.
        blobs.keep_log(&job(1), live(&text), cap).await.unwrap();
        blobs.keep_log(&job(2), live(whole), cap).await.unwrap();
        let breaks = stream::iter([Ok(Bytes::from_static(b"was ")), Err(std::io::Error::other("gone"))]);
        blobs.keep_log(&job(3), breaks.boxed(), cap).await.unwrap();
        for given in 0..=text.len() {
            for attempt in [1, 2] {
                let read = continued(live(&text[..given]), blobs.clone(), job(attempt));
                let bytes: Vec<Bytes> = read.try_collect().await.unwrap();
                assert_eq!(String::from_utf8_lossy(&bytes.concat()), text, "{given} of {attempt}");
            }
            let read = continued(live(&text[..given]), blobs.clone(), job(3));
            let bytes: Vec<Bytes> = read.try_collect().await.unwrap();
            let wanted = if given <= 4 { broken } else { &text[..given] };
            assert_eq!(String::from_utf8_lossy(&bytes.concat()), wanted, "{given} of a broken one");
        }
    }
}
