//! How long what could not be had is not asked for again.

use crate::engine::event::Millis;

/// Milliseconds: at first, and how often that doubles at most.
const REST_MS: (Millis, u32) = (4_000, 4);

/// One rest after the other, each twice as long: from 4 seconds up to a minute.
#[derive(Debug, Default)]
pub(super) struct Rest {
    times: u32,
    pub(super) until: Millis,
}

impl Rest {
    /// Begins the next one.
    pub(super) fn again(&mut self, now: Millis) {
        self.until = now.saturating_add(REST_MS.0 << self.times.min(REST_MS.1));
        self.times = self.times.saturating_add(1);
    }
}
