//! Removes what need not be kept any longer: ended runs with their logs by number and age, events by
//! age and number beyond the dedup horizon, definitions that no event needs, logs of no run; then gives
//! the room in the file back. Never what is not settled.
//!
//! History names the candidates; the log is removed first, then the machine writes the deletion. If we
//! die in between, the run is a candidate again and removing its log again does nothing. It works in
//! small bites with pauses, so that deliveries never wait long for the one writer, and goes on until
//! nothing is left to do: what comes in faster than once a minute must also go faster.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::engine::definitions::config::RetentionConfig;
use crate::engine::definitions::{JobTemplate, Snapshot};
use crate::engine::ids::ObjectName;
use crate::engine::machine::{Expired, Input, Key, Record};
use crate::outside::clock::Clock;
use crate::store::blobs::Blobs;
use crate::store::history::{DEDUP_HORIZON_MS, History, HistoryError, TemplateLimit};
use crate::store::records::{Records, RecordsError};
use crate::store::sqlite::SqliteStore;

/// How many of a kind at a time.
const AT_ONCE: usize = 200;
/// Between two bites; in it the last one is committed.
const PAUSE: Duration = Duration::from_millis(100);
/// How long it is waited for a commit.
const COMMITTED: Duration = Duration::from_secs(5);
/// How many sweeps lie between two looks for logs that belong to no run.
const ORPHANS_EVERY: u32 = 60;
/// Free pages in the database that are left for what comes next: 16 MiB, or half of it in an old database.
const SPARE_PAGES: u64 = 2_048;
/// Pages that are given back at a time.
const PAGES_AT_ONCE: u32 = 256;

/// What is kept, and how long. Of runs each template says so itself.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// How often it is looked.
    pub every: Duration,
    /// How long an event is kept at least, milliseconds; not less than the dedup horizon.
    pub event_age_ms: i64,
    /// Of the events beyond the dedup horizon only so many are kept, the newest.
    pub max_events: Option<u64>,
}

impl Default for Policy {
    fn default() -> Self {
        Self { every: Duration::from_mins(1), event_age_ms: DEDUP_HORIZON_MS, max_events: None }
    }
}

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
    /// Gives room in its file back.
    pub store: SqliteStore,
    /// What is kept.
    pub policy: Policy,
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
        let mut sweeps: u32 = 0;
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(self.policy.every) => {}
            }
            let swept = tokio::select! {
                () = cancel.cancelled() => return,
                swept = self.sweep(sweeps.is_multiple_of(ORPHANS_EVERY)) => swept,
            };
            if let Err(failed) = swept {
                warn!(error = %failed, "retention stopped, it goes on later");
            }
            sweeps = sweeps.wrapping_add(1);
        }
    }

    /// Bites until a bite is not full.
    async fn sweep(&mut self, orphans: bool) -> Result<(), SweepError> {
        loop {
            let mut commits = self.history.changes();
            let full = self.prune().await? | self.expire().await?;
            if !full {
                break;
            }
            // Where nothing can be committed now, the same would be found again.
            tokio::time::timeout(COMMITTED, commits.changed()).await.ok();
            tokio::time::sleep(PAUSE).await;
        }
        let revisions = self.unused_revisions().await?;
        if !revisions.is_empty() {
            debug!(revisions = revisions.len(), "removing old definitions");
            self.tell(Input::Expired(Expired { revisions, ..Expired::default() })).await?;
        }
        if orphans {
            self.remove_orphans().await?;
        }
        while self.store.free_pages().await? > SPARE_PAGES && self.store.vacuum(PAGES_AT_ONCE).await {
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Removes events and what hangs on them; whether there may be more.
    async fn expire(&self) -> Result<bool, SweepError> {
        let now = self.clock.now();
        let mut events = self.history.expirable(self.policy.event_age_ms, now, AT_ONCE).await?;
        if let Some(most) = self.policy.max_events.filter(|_| events.len() < AT_ONCE) {
            let horizon = DEDUP_HORIZON_MS.min(self.policy.event_age_ms);
            events.extend(self.history.surplus(most, horizon, now, AT_ONCE - events.len()).await?);
            events.sort();
            events.dedup();
        }
        let firings = self.history.finished_firings_without_runs(AT_ONCE).await?;
        let full = events.len() == AT_ONCE || firings.len() == AT_ONCE;
        if !(events.is_empty() && firings.is_empty()) {
            debug!(events = events.len(), firings = firings.len(), "removing old events");
            self.tell(Input::Expired(Expired { events, firings, revisions: Vec::new() })).await?;
        }
        Ok(full)
    }

    /// Removes ended runs with their logs; whether there may be more.
    async fn prune(&self) -> Result<bool, SweepError> {
        let otherwise = RetentionConfig::default();
        let otherwise =
            TemplateLimit { max_runs: otherwise.max_runs, max_age_ms: otherwise.max_age.as_millis() };
        let runs = self.history.prunable(self.limits(), otherwise, self.clock.now(), AT_ONCE).await?;
        if runs.is_empty() {
            return Ok(false);
        }
        debug!(runs = runs.len(), "removing old runs");
        for run in &runs {
            self.blobs.remove(run).await?;
        }
        let full = runs.len() == AT_ONCE;
        self.tell(Input::Pruned(runs)).await?;
        Ok(full)
    }

    /// Removes logs of runs that there are not: a run is committed before it can have a log, and its log
    /// goes before it does, so such a log is what a crash left behind.
    async fn remove_orphans(&self) -> Result<(), SweepError> {
        let kept = self.blobs.runs().await?;
        for some in kept.chunks(AT_ONCE) {
            for run in self.history.unknown_runs(some.to_vec()).await? {
                debug!(%run, "removing a log of no run");
                self.blobs.remove(&run).await?;
            }
        }
        Ok(())
    }

    fn limits(&self) -> HashMap<ObjectName, TemplateLimit> {
        let snapshot = self.snapshots.borrow();
        let limit = |template: &JobTemplate| TemplateLimit {
            max_runs: template.max_runs,
            max_age_ms: template.max_age_ms,
        };
        snapshot.templates.iter().map(|(name, template)| (name.clone(), limit(template))).collect()
    }

    /// Recorded revisions, with the hashes of their documents, by which no kept event was decided, neither now nor at the last sweep: an
    /// event may be decided by one, and the one after come into force, just while this looks.
    async fn unused_revisions(&mut self) -> Result<Vec<(String, Vec<String>)>, SweepError> {
        let recorded = self.records.scan("revision/").await?;
        let used = self.history.revisions_in_use().await?;
        let unused = recorded.into_iter().filter_map(|recorded| match recorded {
            (Key::Revision(revision), Record::Revision(documents)) if !used.contains(&revision) => {
                Some((revision, documents))
            }
            _ => None,
        });
        let mut unused: Vec<(String, Vec<String>)> = unused.collect();
        let now = unused.iter().map(|(revision, _)| revision.clone()).collect();
        let before = std::mem::replace(&mut self.unused, now);
        unused.retain(|(revision, _)| before.contains(revision));
        Ok(unused)
    }

    async fn tell(&self, fact: Input) -> Result<(), SweepError> {
        self.facts.send(fact).await.map_err(|_| SweepError::Abandoned)
    }
}
