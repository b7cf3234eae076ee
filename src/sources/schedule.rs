//! The clock: slots of schedules become events when they come.
//!
//! A slot's key follows from the slot, so if we die after the append and make it again, it is known. Its mark
//! moves when it is decided; if we die before that, the slots since the mark are due again at the start and
//! what the schedule says of missed ones holds. While the inbox can't store, the slots that are due wait for
//! it, and those that come meanwhile are missed ones.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::append_all;
use crate::engine::definitions::Snapshot;
use crate::engine::event::{Event, Ingress, Millis, rfc3339};
use crate::engine::machine::{Key, Record};
use crate::engine::schedule::Wheel;
use crate::outside::clock::Clock;
use crate::store::inbox::Inbox;
use crate::store::records::{Records, RecordsError};

/// A clock that jumps is noticed within this time.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// How many slots are appended at once.
const AT_ONCE: usize = 500;
/// Between two tries to read the marks, or to append.
const AGAIN: Duration = Duration::from_secs(1);
/// How often it is told that slots wait.
const TELL_AGAIN: u32 = 60;

/// What the clock works with.
pub struct Schedules {
    /// Where slots go.
    pub inbox: Arc<dyn Inbox>,
    /// Where the marks are.
    pub records: Arc<dyn Records>,
    /// The definitions in force.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// The time.
    pub clock: Clock,
}

impl Schedules {
    /// Ticks until `cancel`.
    pub async fn run(mut self, cancel: CancellationToken) {
        let Some(marks) = cancel.run_until_cancelled(self.marks()).await else { return };
        let mut wheel = Wheel::default();
        let snapshot = self.snapshots.borrow_and_update().clone();
        wheel.reconcile(&snapshot, &marks, self.clock.now());
        loop {
            let now = self.clock.now();
            let taken = wheel.take(now, AT_ONCE);
            for (trigger, since) in &taken.passed_over {
                info!(%trigger, since = rfc3339(*since), "slots of a schedule were missed and do not run");
            }
            if !taken.events.is_empty() {
                let appended = cancel.run_until_cancelled(self.append(taken.events)).await;
                if appended.is_none() {
                    return;
                }
                continue;
            }
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(sleep(wheel.wake_at(), now)) => {}
                changed = self.snapshots.changed() => {
                    if changed.is_err() {
                        // The definitions' loader is gone: everything stops.
                        cancel.cancelled().await;
                        return;
                    }
                    let snapshot = self.snapshots.borrow_and_update().clone();
                    // What is new now begins now; a mark of an earlier time was removed with its schedule.
                    wheel.reconcile(&snapshot, &BTreeMap::new(), self.clock.now());
                }
            }
        }
    }

    /// The durable marks, once they can be read.
    async fn marks(&self) -> BTreeMap<Ingress, Millis> {
        loop {
            match self.records.scan("mark/").await {
                Ok(records) => return records.into_iter().filter_map(mark).collect(),
                Err(error @ RecordsError::Corrupt { .. }) => {
                    // Dispatch ends the process over it.
                    warn!(%error, "schedules begin anew");
                    return BTreeMap::new();
                }
                Err(error) => warn!(%error, "can't read the marks of schedules, trying again"),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Appends slots, however long it takes.
    async fn append(&self, events: Vec<Event>) {
        for tries in 0_u32.. {
            match append_all(&*self.inbox, events.clone()).await {
                Ok(_) => return,
                Err(error) if tries.is_multiple_of(TELL_AGAIN) => {
                    warn!(%error, slots = events.len(), "slots of schedules wait to be stored");
                }
                Err(_) => {}
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

fn mark((key, record): (Key, Record)) -> Option<(Ingress, Millis)> {
    match (key, record) {
        (Key::Mark(ingress), Record::Mark(mark)) => Some((ingress, mark)),
        _ => None,
    }
}

fn sleep(wake_at: Option<Millis>, now: Millis) -> Duration {
    let millis = wake_at.map_or(i64::MAX, |at| at.saturating_sub(now));
    Duration::from_millis(u64::try_from(millis).unwrap_or(0)).min(LONGEST_SLEEP)
}
