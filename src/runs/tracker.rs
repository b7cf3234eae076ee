//! Tells dispatch what the executor sees. Keeps nothing: after a crash the executor lists again.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::executor::{Executor, Seen};
use crate::engine::machine::Input;

/// Follows `executor` until `cancel`, or until dispatch is gone.
pub async fn track(executor: Arc<dyn Executor>, facts: mpsc::Sender<Input>, cancel: CancellationToken) {
    loop {
        let mut watch = executor.watch();
        loop {
            let seen = tokio::select! {
                () = cancel.cancelled() => return,
                seen = watch.next() => seen,
            };
            let fact = match seen {
                Some(Ok(Seen::Job(job))) => Input::Seen(job),
                Some(Ok(Seen::Listed(jobs))) => Input::Listed(jobs.into_iter().collect()),
                Some(Err(failed)) => {
                    warn!(error = %failed, "can't watch Jobs, listing again");
                    break;
                }
                None => break,
            };
            if facts.send(fact).await.is_err() {
                return;
            }
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}
