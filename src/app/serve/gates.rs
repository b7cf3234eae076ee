//! Who asks what gates wait for.

use tokio::sync::mpsc;

use super::super::supervisor::Supervisor;
use super::Parts;
use crate::engine::machine::{Input, Probe};
use crate::outside::http::Asking;
use crate::runs::gates::Gates;

/// Orders that wait to be taken; they are taken at once.
const PROBES: usize = 256;

impl Parts {
    /// Asks what the launcher hands on.
    pub(super) fn ask_gates(
        &self,
        supervisor: &mut Supervisor,
        facts: mpsc::Sender<Input>,
    ) -> mpsc::Sender<Probe> {
        let (probes, ordered) = mpsc::channel(PROBES);
        let gates = Gates { asking: Asking::default(), facts, clock: self.clock.clone() };
        supervisor.spawn("gates", |cancel| async move {
            gates.run(ordered, cancel).await;
            Ok(())
        });
        probes
    }
}
