//! Who asks what gates wait for.

use tokio::sync::mpsc;

use super::super::supervisor::Supervisor;
use super::{Parts, ServeError};
use crate::engine::machine::{Input, Probe};
use crate::outside::http::asking;
use crate::runs::gates::Gates;

/// Orders that wait to be taken; they are taken at once.
const PROBES: usize = 256;

impl Parts {
    /// Asks what the launcher hands on.
    pub(super) fn ask_gates(
        &self,
        supervisor: &mut Supervisor,
        facts: mpsc::Sender<Input>,
    ) -> Result<mpsc::Sender<Probe>, ServeError> {
        let (probes, ordered) = mpsc::channel(PROBES);
        let client = asking().map_err(ServeError::Http)?;
        let gates = Gates { client, facts, clock: self.clock.clone() };
        supervisor.spawn("gates", |cancel| async move {
            gates.run(ordered, cancel).await;
            Ok(())
        });
        Ok(probes)
    }
}
