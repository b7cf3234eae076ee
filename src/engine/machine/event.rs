//! An event comes in: every candidate trigger decides, limits are placed, one record says it all.

use std::collections::BTreeMap;

use super::key::{Key, Write};
use super::place::Places;
use super::plan::{self, Refusal};
use super::record::{Decision, DecisionKind, EventRecord, EventRef, Record};
use super::state::Turn;
use crate::engine::definitions::Trigger;
use crate::engine::event::{Attributes, Cause, Event, Git, Ingress};
use crate::engine::ids::{FiringId, ObjectName};
use crate::engine::manual::{Subject, Target};
use crate::engine::rules::Before;
use crate::engine::values::Facts;

/// Who runs: a trigger, or a template by hand.
pub(super) struct Runner<'a> {
    pub(super) name: &'a ObjectName,
    pub(super) is_trigger: bool,
    /// Why it may.
    pub(super) reason: &'static str,
}

impl<'a> Runner<'a> {
    /// A trigger that takes an event.
    pub(super) fn of_event(name: &'a ObjectName) -> Self {
        Self { name, is_trigger: true, reason: "all rules hold" }
    }

    /// What somebody asked for by name.
    pub(super) fn by_hand(target: &'a Target) -> Self {
        let (Target::Trigger(name) | Target::Template(name)) = target;
        let is_trigger = matches!(target, Target::Trigger(_));
        Self { name, is_trigger, reason: "started by hand: no rule was asked" }
    }
}

/// What an event's record says of it.
#[derive(Default)]
pub(super) struct Decided {
    pub(super) decisions: Vec<Decision>,
    pub(super) filtered: u32,
    pub(super) before: BTreeMap<ObjectName, Before>,
}

impl Decided {
    /// One decision, and nothing else.
    pub(super) fn one(decision: Decision) -> Self {
        Self { decisions: vec![decision], ..Self::default() }
    }
}

/// What a firing comes from.
pub(super) struct Origin {
    /// The event by whose key its ids are derived.
    pub(super) event: EventRef,
    /// The original event, where `event` is a command to take it up again.
    pub(super) root: Option<EventRef>,
    /// What the original event says about the code.
    pub(super) git: Option<Git>,
    /// The firing that caused the original event.
    pub(super) cause: Option<Cause>,
    /// What the original event was compared with, where it is decided anew: it is in its series already.
    pub(super) before: Option<BTreeMap<ObjectName, Before>>,
}

impl Origin {
    /// The event itself.
    pub(super) fn of(event: &Attributes) -> Self {
        Self {
            event: event_ref(event),
            root: None,
            git: event.git.clone(),
            cause: event.cause.clone(),
            before: None,
        }
    }
}

impl Turn<'_> {
    pub(super) fn event(&mut self, position: u64, event: &Event, subject: Option<Subject>) {
        if position <= self.machine.cursor {
            return;
        }
        let decided = match event.attributes.ingress {
            Ingress::Manual(_) => self.command(position, event, subject),
            _ => self.triggers(position, event, &Origin::of(&event.attributes), &|_| true),
        };
        self.record(position, &event.attributes, decided);
    }

    pub(super) fn give_up(&mut self, position: u64, event: &Event) {
        if position <= self.machine.cursor {
            return;
        }
        let reason = "internal error: deciding about this event failed";
        let decisions = match event.attributes.ingress {
            Ingress::Manual(_) => vec![super::command::invalid(reason)],
            _ => self.all_invalid(&event.attributes, reason),
        };
        self.record(position, &event.attributes, Decided { decisions, ..Decided::default() });
    }

    fn record(&mut self, position: u64, attributes: &Attributes, decided: Decided) {
        self.keep_documents();
        let record = EventRecord {
            position,
            attributes: attributes.clone(),
            revision: self.snapshot.revision.clone(),
            decisions: decided.decisions,
            filtered: decided.filtered,
            before: decided.before,
            decided_at: self.now,
        };
        self.keep_held(&record);
        self.put(Write::put(Key::Event(attributes.key.clone()), Record::Event(Box::new(record))));
        self.put(Write::put(Key::Cursor, Record::Cursor(position)));
        self.move_mark(attributes);
        self.move_object(attributes);
    }

    /// What the triggers that `asked` names make of `event`, as of something that comes from `origin`.
    pub(super) fn triggers(
        &mut self,
        position: u64,
        event: &Event,
        origin: &Origin,
        asked: &dyn Fn(&ObjectName) -> bool,
    ) -> Decided {
        let snapshot = self.snapshot;
        let mut decided = Decided::default();
        let near = snapshot.index.near(&event.attributes);
        let others = |decided: &Decided| {
            u32::try_from(near.saturating_sub(decided.decisions.len())).unwrap_or(u32::MAX)
        };
        if !snapshot.index.listens(&event.attributes) {
            decided.filtered = others(&decided);
            return decided;
        }
        let facts = match Facts::of(event) {
            Ok(facts) => facts,
            Err(reason) => {
                decided.decisions = self.all_invalid(&event.attributes, &reason);
                decided.decisions.retain(|decision| asked(&decision.trigger));
                return decided;
            }
        };
        let candidates = snapshot.index.candidates(&event.attributes, facts.root());
        let mut places = Places::at(position);
        for candidate in candidates {
            let trigger = &snapshot.triggers[candidate];
            if !asked(&trigger.name) {
                continue;
            }
            let firing = FiringId::derive(&self.machine.config.instance, &trigger.name, &origin.event.key);
            let runner = Runner::of_event(&trigger.name);
            let before = self.before(trigger, &event.attributes, &facts, origin, &mut decided);
            let (attributes, config) = (&event.attributes, &self.machine.config);
            let considered = plan::consider_quickly(trigger, attributes, &facts, before, &firing, config);
            // A replay of a part is no part: what it was in is over.
            let held = if origin.root.is_some() { None } else { self.gather(trigger, attributes, &facts) };
            let decision = match (considered, held) {
                (Err(Refusal { kind: DecisionKind::Filtered, .. }), None) => continue,
                (Err(Refusal { kind: DecisionKind::Filtered, .. }), Some(held)) => held,
                (Err(refusal), _) => refused(&trigger.name, refusal),
                (Ok(plan), _) if let Some(debounce) = trigger.debounce.filter(|_| origin.root.is_none()) => {
                    self.hold(&trigger.name, attributes, &mut places, firing, plan, debounce)
                }
                (Ok(plan), _) => self.enter(&runner, firing, plan, origin, &mut places),
            };
            decided.decisions.push(decision);
        }
        decided.filtered = others(&decided);
        decided
    }

    /// What a trigger with `changed` compares the event with.
    fn before(
        &mut self,
        trigger: &Trigger,
        event: &Attributes,
        facts: &Facts,
        origin: &Origin,
        decided: &mut Decided,
    ) -> Result<Before, String> {
        // An event that the source clause does not take is none of the series.
        if !trigger.watches() || trigger.admits(event, facts).is_err() {
            return Ok(Before::default());
        }
        let before = match &origin.before {
            Some(known) => known.get(&trigger.name).cloned().unwrap_or_default(),
            None => self.look_back(trigger, event, facts)?,
        };
        decided.before.insert(trigger.name.clone(), before.clone());
        Ok(before)
    }

    fn all_invalid(&self, attributes: &Attributes, reason: &str) -> Vec<Decision> {
        let listening = self
            .snapshot
            .triggers
            .iter()
            .filter(|trigger: &&std::sync::Arc<Trigger>| trigger.hears(attributes));
        let refusal = Refusal { kind: DecisionKind::Invalid, reason: reason.to_owned() };
        listening.map(|trigger| refused(&trigger.name, refusal.clone())).collect()
    }
}

pub(super) fn event_ref(event: &Attributes) -> EventRef {
    EventRef {
        key: event.key.clone(),
        id: event.id.clone(),
        source: event.source.clone(),
        event_type: event.event_type.clone(),
        traceparent: event.traceparent.clone(),
    }
}

pub(super) fn refused(name: &ObjectName, refusal: Refusal) -> Decision {
    Decision { trigger: name.clone(), decision: refusal.kind, reason: refusal.reason, firing: None }
}
