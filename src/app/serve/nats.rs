//! What NATS is for: messages come in, results go out.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::super::supervisor::Supervisor;
use super::Parts;
use crate::engine::machine::{Input, Results};
use crate::report::nats::Reporter;
use crate::sources::nats::Nats;

impl Parts {
    /// Reads NATS, and tells what does not come in from there. It turns no delivery away.
    pub(super) fn read_nats(&self, supervisor: &mut Supervisor) {
        // Who names no NATS and needs none hears nothing of it.
        let connection = self.bus.clone();
        self.tell_trouble(supervisor, "nats", connection.is_some(), self.deaf.told());
        let nats = Nats {
            connection,
            inbox: Arc::new(self.store.clone()),
            clock: self.clock.clone(),
            snapshots: self.snapshots.clone(),
            metrics: self.metrics.clone(),
            deaf: self.deaf.clone(),
        };
        supervisor.spawn("nats readers", |cancel| async move {
            nats.run(cancel).await;
            Ok(())
        });
    }

    /// How results are told, if there is anybody to tell.
    pub(super) fn results(&self) -> Results {
        match (&self.bus, self.config.cdevents) {
            (None, _) => Results::Untold,
            (Some(_), false) => Results::Native,
            (Some(_), true) => Results::CdEvents,
        }
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
        let reporter = Reporter {
            connection,
            records: Arc::new(self.store.clone()),
            facts,
            trouble,
            clock: self.clock.clone(),
            retry_ms: self.config.results_retry_ms,
        };
        self.tell_trouble(supervisor, "results", true, told);
        supervisor.spawn("reporter", |cancel| async move {
            reporter.run(numbers, cancel).await;
            Ok(())
        });
    }
}
