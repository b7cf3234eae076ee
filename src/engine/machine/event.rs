//! An event comes in: every candidate trigger decides, limits are placed, one record says it all.

use super::plan::{self, Plan, PlannedRun, Refusal, Terms};
use super::record::{
    Decision, DecisionKind, EventRecord, EventRef, Firing, FiringState, Key, Record, Run, RunState,
    RunSummary, Slot, Write,
};
use super::state::Turn;
use crate::engine::definitions::Trigger;
use crate::engine::definitions::config::WhenFull;
use crate::engine::event::{Attributes, Cause, Event, Git, Ingress};
use crate::engine::ids::{FiringId, ObjectName};
use crate::engine::manual::Subject;
use crate::engine::values::Facts;

/// Who runs: a trigger, or a template by hand.
pub(super) struct Runner<'a> {
    pub(super) name: &'a ObjectName,
    pub(super) is_trigger: bool,
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
}

impl Origin {
    /// The event itself.
    pub(super) fn of(event: &Attributes) -> Self {
        Self { event: event_ref(event), root: None, git: event.git.clone(), cause: event.cause.clone() }
    }
}

/// How many runs an event has started so far: the second half of their ordinals.
#[derive(Default)]
pub(super) struct Places {
    position: u64,
    next: u32,
}

impl Places {
    pub(super) fn at(position: u64) -> Self {
        Self { position, next: 0 }
    }

    fn take(&mut self) -> (u64, u32) {
        let place = (self.position, self.next);
        self.next += 1;
        place
    }
}

impl Turn<'_> {
    pub(super) fn event(&mut self, position: u64, event: &Event, subject: Option<Subject>) {
        if position <= self.machine.cursor {
            return;
        }
        let (decisions, filtered) = match event.attributes.ingress {
            Ingress::Manual(_) => self.command(position, event, subject),
            Ingress::Webhook(_) | Ingress::Verdict => {
                self.triggers(position, event, &Origin::of(&event.attributes), &|_| true)
            }
        };
        self.record(position, &event.attributes, decisions, filtered);
    }

    pub(super) fn give_up(&mut self, position: u64, event: &Event) {
        if position <= self.machine.cursor {
            return;
        }
        let reason = "internal error: deciding about this event failed";
        let decisions = match event.attributes.ingress {
            Ingress::Manual(_) => vec![super::command::invalid(reason)],
            Ingress::Webhook(_) | Ingress::Verdict => self.all_invalid(&event.attributes, reason),
        };
        self.record(position, &event.attributes, decisions, 0);
    }

    fn record(&mut self, position: u64, attributes: &Attributes, decisions: Vec<Decision>, filtered: u32) {
        self.keep_documents();
        let record = EventRecord {
            position,
            attributes: attributes.clone(),
            revision: self.snapshot.revision.clone(),
            decisions,
            filtered,
            decided_at: self.now,
        };
        self.put(Write::put(Key::Event(attributes.key.clone()), Record::Event(Box::new(record))));
        self.put(Write::put(Key::Cursor, Record::Cursor(position)));
    }

    /// The first event of a revision keeps its documents, so that filtered decisions can be worked
    /// out again later.
    fn keep_documents(&mut self) {
        let snapshot = self.snapshot;
        if self.machine.revisions.contains_key(&snapshot.revision) {
            return;
        }
        for document in &snapshot.documents {
            let record = Record::Document(Box::new(document.clone()));
            self.put(Write::put(Key::Document(document.hash.clone()), record));
        }
        let hashes = snapshot.documents.iter().map(|document| document.hash.clone()).collect();
        self.put(Write::put(Key::Revision(snapshot.revision.clone()), Record::Revision(hashes)));
    }

    /// What the triggers that `asked` names make of `event`, as of something that comes from `origin`.
    pub(super) fn triggers(
        &mut self,
        position: u64,
        event: &Event,
        origin: &Origin,
        asked: &dyn Fn(&ObjectName) -> bool,
    ) -> (Vec<Decision>, u32) {
        let snapshot = self.snapshot;
        if !snapshot.index.listens(&event.attributes) {
            return (Vec::new(), 0);
        }
        let facts = match Facts::of(event) {
            Ok(facts) => facts,
            Err(reason) => {
                let mut decisions = self.all_invalid(&event.attributes, &reason);
                decisions.retain(|decision| asked(&decision.trigger));
                return (decisions, 0);
            }
        };
        let candidates = snapshot.index.candidates(&event.attributes, facts.root());
        let mut places = Places::at(position);
        let mut decisions = Vec::new();
        for candidate in candidates.positions {
            let trigger = &snapshot.triggers[candidate];
            if !asked(&trigger.name) {
                continue;
            }
            let firing = FiringId::derive(&self.machine.config.instance, &trigger.name, &origin.event.key);
            let runner = Runner { name: &trigger.name, is_trigger: true };
            let decision = match plan::consider(trigger, &facts, &firing, &self.machine.config) {
                Err(Refusal { kind: DecisionKind::Filtered, .. }) => continue,
                Err(refusal) => refused(&trigger.name, refusal),
                Ok(plan) => self.place(&runner, firing, plan, origin, &mut places),
            };
            decisions.push(decision);
        }
        let filtered = candidates.listening.saturating_sub(decisions.len());
        (decisions, u32::try_from(filtered).unwrap_or(u32::MAX))
    }

    fn all_invalid(&self, attributes: &Attributes, reason: &str) -> Vec<Decision> {
        let listening = self
            .snapshot
            .triggers
            .iter()
            .filter(|trigger: &&std::sync::Arc<Trigger>| trigger.listens(attributes));
        let refusal = Refusal { kind: DecisionKind::Invalid, reason: reason.to_owned() };
        listening.map(|trigger| refused(&trigger.name, refusal.clone())).collect()
    }

    /// Gives a plan its place: it starts, waits, takes over, or is skipped.
    pub(super) fn place(
        &mut self,
        runner: &Runner<'_>,
        id: FiringId,
        plan: Plan,
        origin: &Origin,
        places: &mut Places,
    ) -> Decision {
        let slot = plan.slot.as_ref();
        if let Some(reason) = slot.and_then(|slot| self.no_place(slot)) {
            return refused(runner.name, Refusal { kind: DecisionKind::Skipped, reason });
        }
        let replaced = slot.filter(|slot| slot.when_full == WhenFull::Replace).map(|slot| self.older(slot));
        let reason = match plan.slot.as_ref() {
            Some(slot) if self.taken(slot).0 >= self.limit(slot) => {
                format!(
                    "waits: {} of {} places in {} are taken",
                    self.taken(slot).0,
                    self.limit(slot),
                    slot.group
                )
            }
            _ => "all rules hold".to_owned(),
        };
        self.fire(runner, id.clone(), plan, origin, places);
        for older in replaced.unwrap_or_default() {
            self.cancel_firing(&older, &format!("replaced by firing {id}"));
        }
        Decision { trigger: runner.name.clone(), decision: DecisionKind::Fired, reason, firing: Some(id) }
    }

    /// How many firings hold a place of the group, and how many wait for one.
    fn taken(&self, slot: &Slot) -> (usize, usize) {
        let group = self.machine.groups.get(&(slot.group.clone(), slot.key.clone()));
        group.map_or((0, 0), |group| (group.active.len(), group.queue.len()))
    }

    fn limit(&self, slot: &Slot) -> usize {
        self.snapshot.group_limits.get(&slot.group).copied().unwrap_or(slot.limit) as usize
    }

    fn no_place(&self, slot: &Slot) -> Option<String> {
        let (active, queued) = self.taken(slot);
        let limit = self.limit(slot);
        match slot.when_full {
            WhenFull::Replace => None,
            WhenFull::Skip => (active + queued >= limit)
                .then(|| format!("{active} of {limit} places in {} are taken", slot.group)),
            WhenFull::Queue => (active + queued >= limit + slot.max_queued as usize).then(|| {
                format!("{active} of {limit} places in {} are taken and {queued} wait already", slot.group)
            }),
        }
    }

    /// Firings of the group that a newer one replaces.
    fn older(&self, slot: &Slot) -> Vec<FiringId> {
        let group = self.machine.groups.get(&(slot.group.clone(), slot.key.clone()));
        let waiting = group.into_iter().flat_map(|group| group.queue.iter().map(|(_, id)| id.clone()));
        let active = group.into_iter().flat_map(|group| group.active.iter().cloned());
        waiting.chain(active).collect()
    }

    /// Records a firing with its runs and frozen manifests.
    fn fire(&mut self, runner: &Runner<'_>, id: FiringId, plan: Plan, origin: &Origin, places: &mut Places) {
        let slot = plan.slot;
        let ordinal = (places.position, places.next);
        let summaries = plan.runs.iter().map(summary).collect();
        for planned in plan.runs {
            let manifest = planned.rendered.manifest.clone();
            let run = self.new_run(runner, &id, planned, plan.priority, origin, places.take());
            self.put(Write::put(Key::Manifest(run.id.clone()), Record::Manifest(manifest)));
            self.put_run(run);
        }
        let waits = slot.is_some();
        self.put_firing(Firing {
            id,
            trigger: runner.name.clone(),
            event: origin.event.clone(),
            root: origin.root.clone(),
            git: origin.git.clone(),
            cause: origin.cause.clone(),
            state: if waits { FiringState::Queued } else { FiringState::Active },
            slot,
            priority: plan.priority,
            ordinal,
            runs: summaries,
            outcome: None,
            reason: None,
            created_at: self.now,
            since: self.now,
            started_at: (!waits).then_some(self.now),
            finished_at: None,
        });
        // A free place is taken at once: what follows in this event must see it.
        self.fill_touched();
    }

    fn new_run(
        &self,
        runner: &Runner<'_>,
        firing: &FiringId,
        planned: PlannedRun,
        priority: i32,
        origin: &Origin,
        ordinal: (u64, u32),
    ) -> Run {
        let Terms { template, retries, exit_codes, timeout_ms } = planned.terms;
        Run {
            id: planned.id,
            firing: firing.clone(),
            trigger: runner.is_trigger.then(|| runner.name.clone()),
            template,
            environment: planned.environment,
            name: planned.name,
            matrix: planned.matrix,
            params: planned.rendered.params,
            namespace: planned.rendered.namespace,
            event: origin.event.clone(),
            root: origin.root.clone(),
            git: origin.git.clone(),
            state: RunState::Queued,
            attempt: 1,
            attempts: Vec::new(),
            cancel: None,
            outcome: None,
            reason: None,
            exit_code: None,
            retries,
            exit_codes,
            timeout_ms,
            priority,
            ordinal,
            created_at: self.now,
            since: self.now,
            started_at: None,
            finished_at: None,
        }
    }
}

fn summary(planned: &PlannedRun) -> RunSummary {
    RunSummary {
        id: planned.id.clone(),
        name: planned.name.clone(),
        template: planned.terms.template.clone(),
        matrix: planned.matrix.clone(),
        params: planned.rendered.params.clone(),
        outcome: None,
    }
}

pub(super) fn event_ref(event: &Attributes) -> EventRef {
    EventRef {
        key: event.key.clone(),
        id: event.id.clone(),
        source: event.source.clone(),
        event_type: event.event_type.clone(),
    }
}

pub(super) fn refused(name: &ObjectName, refusal: Refusal) -> Decision {
    Decision { trigger: name.clone(), decision: refusal.kind, reason: refusal.reason, firing: None }
}
