//! What happens in the cluster.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::super::supervisor::Supervisor;
use super::Parts;
use crate::engine::machine::Input;
use crate::sources::kubernetes::Kubernetes;

impl Parts {
    /// Watches what triggers want of the cluster, and tells what is not seen. It turns no delivery away.
    pub(super) fn watch_cluster(&self, supervisor: &mut Supervisor, facts: mpsc::Sender<Input>) {
        // Who watches nothing hears nothing of it.
        self.tell_trouble(supervisor, "watches", false, self.blind.told());
        let source = Kubernetes {
            api: self.cluster.clone(),
            inbox: Arc::new(self.store.clone()),
            arrived: self.store.arrived(),
            records: Arc::new(self.store.clone()),
            facts,
            clock: self.clock.clone(),
            snapshots: self.snapshots.clone(),
            blind: self.blind.clone(),
        };
        supervisor.spawn("cluster watches", |cancel| async move {
            source.run(cancel).await;
            Ok(())
        });
    }
}
