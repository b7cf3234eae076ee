//! What `/readyz` tells of the parts, besides that they are there.

use std::time::Duration;

use tokio::sync::watch;

use super::super::supervisor::Supervisor;
use super::Parts;

/// How often a store that can't write is tried.
const STORE_PROBE: Duration = Duration::from_secs(1);

impl Parts {
    /// Tells whether the store can write. While it can't, it is tried again and again: a process that is
    /// not ready gets no deliveries that would find out.
    pub(super) fn watch_store(&self, supervisor: &mut Supervisor) {
        let (store, part) = (self.store.clone(), self.health.part("store"));
        supervisor.spawn("store health", |cancel| async move {
            let mut trouble = store.trouble();
            loop {
                let why = trouble.borrow_and_update().clone();
                let wait = match why {
                    None => {
                        part.ready();
                        Duration::MAX
                    }
                    Some(why) => {
                        part.not_ready(format!("it can't write: {why}"));
                        STORE_PROBE
                    }
                };
                tokio::select! {
                    () = cancel.cancelled() => return Ok(()),
                    changed = trouble.changed() => changed?,
                    () = tokio::time::sleep(wait) => store.probe().await,
                }
            }
        });
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
