//! What `/readyz` tells of the parts, besides that they are there.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::super::supervisor::{Supervisor, TaskError};
use super::Parts;
use crate::web::health::Part;

/// How often a store that can't write is tried.
const STORE_PROBE: Duration = Duration::from_secs(1);

/// Nothing can be stored any more: see [`crate::store::sqlite::SqliteStore::trouble`].
#[derive(Debug, thiserror::Error)]
#[error("nothing can be stored any more, the log says why; the next start goes on from what is on disk")]
struct StoreEnded;

impl Parts {
    /// Tells whether the store can write, and ends the server once it never will.
    pub(super) fn watch_store(&self, supervisor: &mut Supervisor) {
        let (store, part) = (self.store.clone(), self.health.part("store"));
        let trouble = store.trouble();
        let probe = move || {
            let store = store.clone();
            async move { store.probe().await }
        };
        supervisor.spawn("store health", |cancel| tell_store(trouble, part, probe, STORE_PROBE, cancel));
    }

    /// Tells what a part of the work can't do. It turns no delivery away. A part that is not `there` appears once
    /// it has something to tell.
    pub(super) fn tell_trouble(
        &self,
        supervisor: &mut Supervisor,
        name: &'static str,
        there: bool,
        mut trouble: watch::Receiver<Vec<String>>,
    ) {
        let health = self.health.clone();
        let mut part = there.then(|| health.part(name));
        supervisor.spawn(name, |cancel| async move {
            loop {
                let all = trouble.borrow_and_update().clone();
                if !all.is_empty() {
                    part.get_or_insert_with(|| health.part(name)).ready_but(all.join("; "));
                } else if let Some(part) = &part {
                    part.ready();
                }
                tokio::select! {
                    () = cancel.cancelled() => return Ok(()),
                    changed = trouble.changed() => if changed.is_err() {
                        // Who tells is gone: everything stops.
                        cancel.cancelled().await;
                        return Ok(());
                    },
                }
            }
        });
    }
}

/// Tells whether the store can write. While it can't, it is tried again and again: a process that is not ready gets
/// no deliveries that would find out. A store that has ended is not: the next start reads what there really is.
async fn tell_store<F: Future<Output = ()>>(
    mut trouble: watch::Receiver<Option<String>>,
    part: Part,
    probe: impl Fn() -> F,
    pause: Duration,
    cancel: CancellationToken,
) -> Result<(), TaskError> {
    loop {
        let why = trouble.borrow_and_update().clone();
        let wait = match why {
            None => {
                part.ready();
                Duration::MAX
            }
            Some(why) => {
                part.not_ready(format!("it can't write: {why}"));
                pause
            }
        };
        tokio::select! {
            // One that has ended is not tried.
            biased;
            () = cancel.cancelled() => return Ok(()),
            changed = trouble.changed() => changed.map_err(|_| StoreEnded)?,
            () = tokio::time::sleep(wait) => probe().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::web::health::Health;

    #[tokio::test]
    async fn a_store_that_can_not_write_is_tried_until_it_has_ended() {
        let health = Health::default();
        let (tell, trouble) = watch::channel(Some("the disk is full".to_owned()));
        let (tell, tries) = (Cell::new(Some(tell)), Cell::new(0));
        let probe = || {
            let report = health.report();
            assert_eq!(report.parts[0].reason.as_deref(), Some("it can't write: the disk is full"));
            tries.set(tries.get() + 1);
            if tries.get() == 3 {
                drop(tell.take());
            }
            std::future::ready(())
        };
        let part = health.part("store");
        let watched = tell_store(trouble, part, probe, Duration::ZERO, CancellationToken::new());
        let ended = watched.await.unwrap_err().to_string();
        assert!(ended.starts_with("nothing can be stored any more"), "{ended}");
        assert_eq!(tries.get(), 3);
        assert!(!health.report().ready);
    }
}
