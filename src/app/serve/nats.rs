//! What NATS is for: messages come in, results go out.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::super::supervisor::Supervisor;
use super::Parts;
use crate::engine::machine::Input;
use crate::report::nats::Reporter;
use crate::sources::nats::Nats;

impl Parts {
    /// Reads NATS, and tells what does not come in from there. It turns no delivery away.
    pub(super) fn read_nats(&self, supervisor: &mut Supervisor) {
        let connection = self.bus.clone();
        let (health, mut told) = (self.health.clone(), self.deaf.told());
        let mut part = connection.is_some().then(|| health.part("nats"));
        supervisor.spawn("nats health", |cancel| async move {
            loop {
                let all = told.borrow_and_update().clone();
                match &part {
                    // Who names no NATS and needs none hears nothing of it.
                    None if all.is_empty() => {}
                    None => part = Some(health.part("nats")),
                    Some(_) => {}
                }
                match &part {
                    Some(part) if all.is_empty() => part.ready(),
                    Some(part) => part.ready_but(all.join("; ")),
                    None => {}
                }
                tokio::select! {
                    () = cancel.cancelled() => return Ok(()),
                    changed = told.changed() => if changed.is_err() {
                        // Everything stops.
                        cancel.cancelled().await;
                        return Ok(());
                    },
                }
            }
        });
        let nats = Nats {
            connection,
            inbox: Arc::new(self.store.clone()),
            clock: self.clock.clone(),
            snapshots: self.snapshots.clone(),
            metrics: self.metrics.clone(),
            deaf: self.deaf.clone(),
        };
        supervisor.spawn("nats", |cancel| async move {
            nats.run(cancel).await;
            Ok(())
        });
    }

    /// Takes results to NATS, where one is named, and tells while they wait.
    pub(super) fn report(
        &self,
        supervisor: &mut Supervisor,
        numbers: mpsc::Receiver<u64>,
        facts: mpsc::Sender<Input>,
    ) {
        let Some(connection) = self.bus.clone() else { return };
        let (trouble, told) = watch::channel(Vec::new());
        let reporter = Reporter { connection, records: Arc::new(self.store.clone()), facts, trouble };
        self.tell_trouble(supervisor, "results", told);
        supervisor.spawn("reporter", |cancel| async move {
            reporter.run(numbers, cancel).await;
            Ok(())
        });
    }
}
