//! Rate limits: at most so many runs of a trigger, and a value of its key, within any span of a length.
//!
//! What was started within the span is a record, written in the commit that starts more, so a crash neither
//! forgets nor counts twice. It goes once the span is over for all that is in it.

use serde::{Deserialize, Serialize};

use super::event::refused;
use super::key::{Key, Write};
use super::plan::{Plan, Refusal};
use super::record::{Decision, DecisionKind, Record};
use super::state::{Timer, Turn};
use super::timed::Waits;
use crate::engine::event::{Millis, rfc3339};
use crate::engine::ids::{ObjectName, h_hex};

/// What a plan counts against.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RateSlot {
    /// The trigger.
    pub trigger: ObjectName,
    /// Counts apart for each value.
    pub key: String,
    /// How many runs.
    pub runs: u32,
    /// Within any span of this length, milliseconds.
    pub per_ms: Millis,
}

/// Runs that were started within a span.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rate {
    /// When, and how many at once; the oldest first.
    pub started: Vec<(Millis, u32)>,
    /// The length of the span, milliseconds.
    pub per_ms: Millis,
}

impl Waits for Rate {
    /// When the last of it is of no use any more.
    fn until(&self) -> Millis {
        self.started.last().map_or(0, |(at, _)| at.saturating_add(self.per_ms))
    }

    fn timer(key: Key) -> Timer {
        Timer::Rate(key)
    }
}

impl RateSlot {
    fn record(&self) -> Key {
        Key::Rate(self.trigger.clone(), h_hex("rate", &[self.key.as_bytes()], 32))
    }
}

impl Turn<'_> {
    /// The decision on a plan that would be one too many.
    pub(super) fn too_fast(&self, slot: &RateSlot, plan: &Plan) -> Option<Decision> {
        let started = self.within(slot);
        let used: u32 = started.iter().map(|(_, runs)| runs).sum();
        let wanted = u32::try_from(plan.runs.len()).unwrap_or(u32::MAX);
        if used.saturating_add(wanted) <= slot.runs {
            return None;
        }
        // Once as many have left the span as are too many.
        let mut left = used.saturating_add(wanted) - slot.runs;
        let free = started.iter().find(|(_, runs)| {
            left = left.saturating_sub(*runs);
            left == 0
        });
        let again = free.map_or_else(String::new, |(at, _)| {
            format!("; there is room again at {}", rfc3339(at + slot.per_ms))
        });
        let reason = format!(
            "{used} of {} runs were started within the last {} s{again}",
            slot.runs,
            slot.per_ms / 1_000
        );
        Some(refused(&slot.trigger, Refusal { kind: DecisionKind::RateLimited, reason }))
    }

    /// Counts the runs of a firing.
    pub(super) fn count(&mut self, slot: &RateSlot, runs: usize) {
        let mut started = self.within(slot);
        started.push((self.now, u32::try_from(runs).unwrap_or(u32::MAX)));
        let rate = Rate { started, per_ms: slot.per_ms };
        self.put(Write::put(slot.record(), Record::Rate(Box::new(rate))));
    }

    /// The span is over for all that is in it.
    pub(super) fn forget_rate(&mut self, key: Key) {
        if self.machine.rates.contains_key(&key) {
            self.put(Write::delete(key));
        }
    }

    /// What a wrong clock started later than now counts as started now.
    pub(super) fn mend_rates(&mut self) {
        let now = self.now;
        let ahead = |rate: &Rate| rate.started.last().is_some_and(|(at, _)| *at > now);
        let ahead: Vec<(Key, Rate)> = self
            .machine
            .rates
            .iter()
            .filter(|(_, rate)| ahead(rate))
            .map(|(key, rate)| (key.clone(), rate.clone()))
            .collect();
        for (key, mut rate) in ahead {
            for (at, _) in &mut rate.started {
                *at = (*at).min(now);
            }
            self.put(Write::put(key, Record::Rate(Box::new(rate))));
        }
    }

    fn within(&self, slot: &RateSlot) -> Vec<(Millis, u32)> {
        let known = self.machine.rates.get(&slot.record());
        let fresh = |(at, _): &&(Millis, u32)| at.saturating_add(slot.per_ms) > self.now;
        known.into_iter().flat_map(|rate| rate.started.iter().filter(fresh).copied()).collect()
    }
}
