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
use super::record::{Decision, DecisionKind, EventRecord, Record};
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
        for run in &mut plan.runs {
            let manifest = std::mem::take(&mut run.rendered.manifest);
            self.put(Write::put(Key::Manifest(run.id.clone()), Record::Manifest(manifest)));
        }
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
        let runner = Runner { name: trigger, is_trigger: true };
        let manifests: Vec<Key> = manifests(&held.plan).collect();
        let mut places = held.places;
        let mut decision = self.place(&runner, held.firing, held.plan, &origin, &mut places);
        if decision.decision == DecisionKind::Fired {
            decision.reason = format!("{}; its series was quiet", decision.reason);
        } else {
            for manifest in manifests {
                self.put(Write::delete(manifest));
            }
        }
        self.put(Write::delete(key));
        self.resolve(&held.event, decision);
    }

    /// What became of a held event, in its record.
    fn resolve(&mut self, event: &EventKey, decision: Decision) {
        let Some(mut record) = self.machine.held.get(event).cloned() else { return };
        let held =
            |known: &&mut Decision| known.trigger == decision.trigger && known.decision == DecisionKind::Held;
        if let Some(known) = record.decisions.iter_mut().find(held) {
            *known = decision;
        }
        self.keep_held(&record);
        self.put(Write::put(Key::Event(event.clone()), Record::Event(Box::new(record))));
    }

    /// Keeps an event's record at hand as long as one of its decisions is to come.
    pub(super) fn keep_held(&mut self, record: &EventRecord) {
        let key = Key::Held(record.attributes.key.clone());
        if record.decisions.iter().any(|decision| decision.decision == DecisionKind::Held) {
            self.put(Write::put(key, Record::Event(Box::new(record.clone()))));
        } else if self.machine.held.contains_key(&record.attributes.key) {
            self.put(Write::delete(key));
        }
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

    fn drop_manifests(&mut self, plan: &Plan) {
        for manifest in manifests(plan) {
            self.put(Write::delete(manifest));
        }
    }
}

fn manifests(plan: &Plan) -> impl Iterator<Item = Key> {
    plan.runs.iter().map(|run| Key::Manifest(run.id.clone()))
}

/// What a debounced event waits for.
pub fn wanted(quiet_ms: Millis) -> String {
    format!("{} without another event of its series", Span::from_millis(quiet_ms))
}
