//! What handlers share.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::auth::Auth;
use super::health::Health;
use super::hooks::Intake;
use crate::engine::definitions::Snapshot;
use crate::outside::clock::Clock;
use crate::outside::metrics::Metrics;
use crate::runs::decisions::Decisions;
use crate::runs::logs::Logs;
use crate::sources::kubernetes::Blind;
use crate::sources::nats::Deaf;
use crate::store::history::History;
use crate::store::inbox::Inbox;
use crate::store::records::Records;

/// What handlers share. Cheap to clone.
#[derive(Clone)]
pub struct WebState {
    /// Where events go.
    pub inbox: Arc<dyn Inbox>,
    /// What is kept.
    pub records: Arc<dyn Records>,
    /// What was decided.
    pub history: History,
    /// The definitions in force.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// Logs of runs.
    pub logs: Logs,
    /// Who may use the API.
    pub auth: Arc<Auth>,
    /// Works out all decisions about an event.
    pub decisions: Decisions,
    /// The time.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Metrics,
    /// Whether the parts of this process are ready.
    pub health: Health,
    /// Bounds and counts of deliveries.
    pub intake: Intake,
    /// Which messages of NATS do not come in.
    pub deaf: Deaf,
    /// What of the cluster is not seen.
    pub blind: Blind,
    /// Cancelled once no more requests are taken: answers that go on for ever end then.
    pub stopping: CancellationToken,
    /// `--instance`.
    pub instance: String,
    /// `--namespace`: of definitions from files.
    pub namespace: String,
}
