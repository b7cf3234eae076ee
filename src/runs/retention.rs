//! Removes what need not be kept any longer: ended runs by number and age, events beyond the dedup
//! horizon, definitions that no event needs. Never what is not settled.
//!
//! History names the candidates; the log is removed first, then the machine writes the deletion. If we
//! die in between, the run is a candidate again and removing its log again does nothing.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::engine::definitions::config::RetentionConfig;
use crate::engine::definitions::{JobTemplate, Snapshot};
use crate::engine::event::Millis;
use crate::engine::ids::ObjectName;
use crate::engine::machine::{Expired, Input, Key};
use crate::outside::clock::Clock;
use crate::store::blobs::Blobs;
use crate::store::history::{History, HistoryError, TemplateLimit};
use crate::store::records::{Records, RecordsError};

/// How often.
const EVERY: Duration = Duration::from_mins(1);
/// How many of a kind at a time; the next sweep goes on.
const AT_ONCE: usize = 500;

/// What retention works with.
pub struct Retention {
    /// Names the candidates.
    pub history: History,
    /// Names the revisions that are kept.
    pub records: Arc<dyn Records>,
    /// Where logs are.
    pub blobs: Blobs,
    /// The definitions in force: how long runs of each template are kept.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// To dispatch.
    pub facts: mpsc::Sender<Input>,
    /// The time.
    pub clock: Clock,
    /// How long an event is kept at least, milliseconds.
    pub horizon_ms: i64,
    /// Revisions that no event needed at the last sweep; empty at first.
    pub unused: BTreeSet<String>,
}

/// Why a sweep stopped half-way.
#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error(transparent)]
    History(#[from] HistoryError),
    #[error(transparent)]
    Records(#[from] RecordsError),
    #[error("a log can't be removed: {0}")]
    Blobs(#[from] std::io::Error),
    #[error("dispatch has ended")]
    Abandoned,
}

impl Retention {
    /// Sweeps until `cancel`.
    pub async fn run(mut self, cancel: CancellationToken) {
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            if let Err(failed) = self.sweep().await {
                warn!(error = %failed, "retention stopped, it goes on later");
            }
        }
    }

    async fn sweep(&mut self) -> Result<(), SweepError> {
        let now = self.clock.now();
        self.prune(now).await?;
        let events = self.history.expirable(self.horizon_ms, now, AT_ONCE).await?;
        let firings = self.history.finished_firings_without_runs(AT_ONCE).await?;
        let revisions = self.unused_revisions().await?;
        if !(events.is_empty() && firings.is_empty() && revisions.is_empty()) {
            debug!(events = events.len(), firings = firings.len(), "removing old events");
            self.tell(Input::Expired(Expired { events, firings, revisions })).await?;
        }
        Ok(())
    }

    async fn prune(&self, now: Millis) -> Result<(), SweepError> {
        let otherwise = RetentionConfig::default();
        let otherwise =
            TemplateLimit { max_runs: otherwise.max_runs, max_age_ms: otherwise.max_age.as_millis() };
        let runs = self.history.prunable(self.limits(), otherwise, now, AT_ONCE).await?;
        if runs.is_empty() {
            return Ok(());
        }
        debug!(runs = runs.len(), "removing old runs");
        for run in &runs {
            self.blobs.remove(run).await?;
        }
        self.tell(Input::Pruned(runs)).await
    }

    fn limits(&self) -> HashMap<ObjectName, TemplateLimit> {
        let snapshot = self.snapshots.borrow();
        let limit = |template: &JobTemplate| TemplateLimit {
            max_runs: template.max_runs,
            max_age_ms: template.max_age_ms,
        };
        snapshot.templates.iter().map(|(name, template)| (name.clone(), limit(template))).collect()
    }

    /// Recorded revisions by which no kept event was decided, neither now nor at the last sweep: an
    /// event may be decided by one, and the one after come into force, just while this looks.
    async fn unused_revisions(&mut self) -> Result<Vec<String>, SweepError> {
        let recorded = self.records.scan("revision/").await?;
        let used = self.history.revisions_in_use().await?;
        let unused = recorded.into_iter().filter_map(|(key, _)| match key {
            Key::Revision(revision) if !used.contains(&revision) => Some(revision),
            _ => None,
        });
        let before = std::mem::replace(&mut self.unused, unused.collect());
        Ok(self.unused.intersection(&before).cloned().collect())
    }

    async fn tell(&self, fact: Input) -> Result<(), SweepError> {
        self.facts.send(fact).await.map_err(|_| SweepError::Abandoned)
    }
}
