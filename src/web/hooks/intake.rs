//! What all deliveries of a process share: room for bodies, counts, and a log that can't be flooded.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::body::BodyLimits;
use crate::engine::event::Millis;
use crate::engine::ids::ObjectName;

/// Lines a minute for what senders can cause at will.
const LINES: u32 = 20;
const WINDOW_MS: Millis = 60_000;

/// Bounds and counts of deliveries. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Intake {
    pub(super) limits: BodyLimits,
    room: Arc<Semaphore>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    refused: AtomicU64,
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    began_at: Millis,
    lines: u32,
}

/// What is done with a line for the log.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    /// It is written; before it, how many of the last window were not.
    Write { left_out: u32 },
    /// There are too many.
    LeaveOut,
}

impl Default for Intake {
    fn default() -> Self {
        Self::new(BodyLimits::default())
    }
}

impl Intake {
    /// With these limits.
    pub fn new(limits: BodyLimits) -> Self {
        let room = Arc::new(Semaphore::new(limits.held as usize));
        Self { limits, room, counts: Arc::default() }
    }

    /// Deliveries answered 401 since the start.
    pub fn refused_count(&self) -> u64 {
        self.counts.refused.load(Ordering::Relaxed)
    }

    /// Room for `bytes`, if there is any.
    pub(super) fn room(&self, bytes: u32) -> Option<OwnedSemaphorePermit> {
        self.room.clone().try_acquire_many_owned(bytes).ok()
    }

    /// Counts a delivery whose signature does not hold; the reason is for the log alone.
    pub(super) fn refused(&self, webhook: &ObjectName, reason: &str, now: Millis) {
        self.counts.refused.fetch_add(1, Ordering::Relaxed);
        if self.may_log(now) {
            tracing::info!(%webhook, reason, "refused a delivery");
        }
    }

    /// Logs a delivery that we could not take.
    pub(super) fn failed(&self, webhook: &ObjectName, reason: &str, now: Millis) {
        if self.may_log(now) {
            tracing::error!(%webhook, reason, "could not take a delivery");
        }
    }

    fn may_log(&self, now: Millis) -> bool {
        let line = self.counts.window.lock().unwrap_or_else(PoisonError::into_inner).line(now);
        if let Line::Write { left_out: left_out @ 1.. } = line {
            tracing::info!(left_out, "left out lines about deliveries");
        }
        line != Line::LeaveOut
    }
}

impl Window {
    fn line(&mut self, now: Millis) -> Line {
        // Also begins anew when the clock was set back.
        let left_out = if (0..WINDOW_MS).contains(&(now - self.began_at)) {
            0
        } else {
            let left_out = self.lines.saturating_sub(LINES);
            *self = Self { began_at: now, lines: 0 };
            left_out
        };
        self.lines = self.lines.saturating_add(1);
        if self.lines <= LINES { Line::Write { left_out } } else { Line::LeaveOut }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_lines_is_cut_and_told() {
        let mut window = Window::default();
        let begin = 1_000_000;
        for _ in 0..LINES {
            assert_eq!(window.line(begin), Line::Write { left_out: 0 });
        }
        for _ in 0..7 {
            assert_eq!(window.line(begin + WINDOW_MS - 1), Line::LeaveOut);
        }
        assert_eq!(window.line(begin + WINDOW_MS), Line::Write { left_out: 7 });
        assert_eq!(window.line(begin - WINDOW_MS), Line::Write { left_out: 0 });
    }
}
