//! Debounce: of the events of a series that come close together, only the last one fires.
//!
//! An event that would fire is held with its frozen plan, in the commit that decides it; its manifests are records
//! already. The next event of the series takes its place, and the one before is decided `coalesced` in that same
//! commit. When nothing more came for long enough, the one that is held takes its place among the runs, in a
//! commit with the end of the hold and with what its event's record says of it. If we die before a commit, the
//! event is decided again, or the hold is due again; after it, the hold is folded and its time goes on.

use serde::{Deserialize, Serialize};

use super::event::{Origin, Runner, refused};
use super::key::{Key, Write};
use super::place::Places;
use super::plan::{Plan, Refusal};
use super::record::{Decision, DecisionKind, Record};
use super::state::{Timer, Turn};
use super::timed::Waits;
use crate::engine::definitions::model::Debounce;
use crate::engine::definitions::quantity::Span;
use crate::engine::event::{Attributes, Millis, rfc3339};
use crate::engine::ids::{EventKey, FiringId, ObjectName};

/// The last event of a series, which waits until nothing more comes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Debounced {
    /// The event.
    pub event: EventKey,
    /// The places of its runs in the order of arrival.
    pub places: Places,
    /// What it fires then.
    pub firing: FiringId,
    /// With what; the manifests are records of their own.
    pub plan: Plan,
    /// When the first event came that it stands for.
    pub first: Millis,
    /// When it came itself.
    pub last: Millis,
    /// For how long nothing more must come, milliseconds.
    pub quiet_ms: Millis,
    /// The longest wait from the first event on, milliseconds.
    pub max_wait_ms: Millis,
}

impl Waits for Debounced {
    /// When it fires, where nothing more comes.
    fn until(&self) -> Millis {
        self.last.saturating_add(self.quiet_ms).min(self.first.saturating_add(self.max_wait_ms))
    }

    fn timer(key: Key) -> Timer {
        Timer::Quiet(key)
    }
}

impl Debounced {
    /// It began no later than `now`: a clock that was ahead made it wait longer than it may.
    fn mended(self, now: Millis) -> Self {
        Self { first: self.first.min(now), last: self.last.min(now), ..self }
    }
}

impl Turn<'_> {
    /// Holds a plan in place of that of the event before; what is decided about the event until then.
    pub(super) fn hold(
        &mut self,
        trigger: &ObjectName,
        event: &Attributes,
        places: &mut Places,
        firing: FiringId,
        mut plan: Plan,
        debounce: Debounce,
    ) -> Decision {
        let series = plan.series.clone().unwrap_or_default();
        let key = Key::Debounce(trigger.clone(), series);
        // Whoever was held up, or down, when it was time makes no difference.
        if self.machine.debounced.get(&key).is_some_and(|before| before.until() <= self.now) {
            self.quiet(key.clone());
        }
        let before = self.machine.debounced.get(&key).cloned();
        let first = before.as_ref().map_or(self.now, |before| before.first);
        if let Some(before) = before {
            self.drop_manifests(&before.plan);
            let reason = format!("event {} of the same series came before it was quiet", event.key);
            let refusal = Refusal { kind: DecisionKind::Coalesced, reason };
            self.resolve(&before.event, refused(trigger, refusal));
        }
        self.set_manifests_aside(&mut plan);
        let Debounce { quiet_ms, max_wait_ms } = debounce;
        let event = event.key.clone();
        let places = places.set_aside(plan.runs.len());
        let held = Debounced { event, places, firing, plan, first, last: self.now, quiet_ms, max_wait_ms };
        let reason = format!(
            "waits for {}: until {}, and no longer than {}",
            wanted(quiet_ms),
            rfc3339(held.until()),
            rfc3339(first.saturating_add(max_wait_ms)),
        );
        self.put(Write::put(key, Record::Debounced(Box::new(held))));
        refused(trigger, Refusal { kind: DecisionKind::Held, reason })
    }

    /// Nothing more came: what is held takes its place.
    pub(super) fn quiet(&mut self, key: Key) {
        let Some(held) = self.machine.debounced.get(&key).cloned() else { return };
        let Key::Debounce(trigger, _) = &key else { return };
        let Some(record) = self.machine.held.get(&held.event) else { return };
        let origin = Origin::of(&record.attributes);
        let runner = Runner::of_event(trigger);
        let (mut places, why) = (held.places, "its series was quiet");
        let decision = self.release(&runner, held.firing, held.plan, &origin, &mut places, why);
        self.put(Write::delete(key));
        self.resolve(&held.event, decision);
    }

    /// What a clock that was ahead made wait longer than it may.
    pub(super) fn mend_debounced(&mut self) {
        let now = self.now;
        let ahead = self.machine.debounced.iter().filter(|(_, held)| held.last > now);
        let ahead: Vec<(Key, Debounced)> =
            ahead.map(|(key, held)| (key.clone(), held.clone().mended(now))).collect();
        for (key, held) in ahead {
            self.put(Write::put(key, Record::Debounced(Box::new(held))));
        }
    }
}

/// What a debounced event waits for.
pub fn wanted(quiet_ms: Millis) -> String {
    format!("{} without another event of its series", Span::from_millis(quiet_ms))
}
