//! A plan gets its place: a firing with its runs, that starts at once, waits, takes over or is skipped.

use serde::{Deserialize, Serialize};

use super::event::{Origin, Runner, refused};
use super::key::{Key, Write};
use super::plan::{Plan, PlannedRun, Refusal, Terms};
use super::record::{Decision, DecisionKind, Firing, FiringState, Record, Run, RunState, RunSummary, Slot};
use super::report::Told;
use super::state::Turn;
use crate::engine::definitions::config::WhenFull;
use crate::engine::ids::FiringId;

/// How many runs an event has started so far: the second half of their ordinals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Places {
    position: u64,
    next: u32,
}

impl Places {
    pub(super) fn at(position: u64) -> Self {
        Self { position, next: 0 }
    }

    /// So many places, for later.
    pub(super) fn set_aside(&mut self, count: usize) -> Self {
        let aside = self.clone();
        self.next = self.next.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        aside
    }

    fn take(&mut self) -> (u64, u32) {
        let place = (self.position, self.next);
        self.next += 1;
        place
    }
}

impl Turn<'_> {
    /// Gives a plan its place: it starts, waits, takes over, or is skipped.
    pub(super) fn place(
        &mut self,
        runner: &Runner<'_>,
        id: FiringId,
        plan: Plan,
        origin: &Origin,
        places: &mut Places,
    ) -> Decision {
        if let Some(decision) = plan.rate.as_ref().and_then(|rate| self.too_fast(rate, &plan)) {
            return decision;
        }
        let slot = plan.slot.as_ref();
        if let Some(reason) = slot.and_then(|slot| self.no_place(slot)) {
            return refused(runner.name, Refusal { kind: DecisionKind::Skipped, reason });
        }
        let replaced =
            slot.filter(|slot| slot.when_full == WhenFull::Replace).map(|slot| self.superseded(slot));
        let reason = match plan.slot.as_ref() {
            Some(slot) if self.taken(slot).0 >= self.limit(slot) => {
                format!(
                    "waits: {} of {} places in {} are taken",
                    self.taken(slot).0,
                    self.limit(slot),
                    slot.group
                )
            }
            _ => runner.reason.to_owned(),
        };
        let reason = plan.note.as_ref().map_or(reason.clone(), |note| format!("{reason}; {note}"));
        if let Some(rate) = &plan.rate {
            self.count(rate, plan.runs.len());
        }
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
            WhenFull::Queue => (active >= limit && queued >= slot.max_queued as usize).then(|| {
                format!("{active} of {limit} places in {} are taken and {queued} wait already", slot.group)
            }),
        }
    }

    /// Firings of a full group that a newer one replaces: all that wait, and as many of the oldest that
    /// have a place as must go for it to get one.
    fn superseded(&self, slot: &Slot) -> Vec<FiringId> {
        let Some(group) = self.machine.groups.get(&(slot.group.clone(), slot.key.clone())) else {
            return Vec::new();
        };
        let surplus = (group.active.len() + 1).saturating_sub(self.limit(slot));
        let ordinal = |id: &&FiringId| self.machine.firings.get(*id).map(|firing| firing.ordinal);
        let mut active: Vec<&FiringId> = group.active.iter().collect();
        active.sort_by_key(ordinal);
        let waiting = group.queue.iter().map(|(_, id)| id);
        waiting.chain(active.into_iter().take(surplus)).cloned().collect()
    }

    /// Records a firing with its runs and frozen manifests.
    fn fire(&mut self, runner: &Runner<'_>, id: FiringId, plan: Plan, origin: &Origin, places: &mut Places) {
        let slot = plan.slot;
        let git = plan.git.or_else(|| origin.git.clone());
        let ordinal = (places.position, places.next);
        let series = plan.series;
        let summaries = plan.runs.iter().map(summary).collect();
        for planned in plan.runs {
            let mut planned = planned;
            let manifest = std::mem::take(&mut planned.rendered.manifest);
            let run = self.new_run(runner, &id, planned, plan.priority, origin, places.take());
            let run = Run { git: git.clone(), ..run };
            // That of a plan that was held is a record already.
            if !manifest.is_elsewhere() {
                self.put(Write::put(Key::Manifest(run.id.clone()), Record::Manifest(manifest)));
            }
            self.tell_run(&run, Told::Queued);
            self.put_run(run);
        }
        let waits = slot.is_some();
        self.put_firing(Firing {
            id,
            trigger: runner.name.clone(),
            event: origin.event.clone(),
            root: origin.root.clone(),
            git,
            cause: origin.cause.clone(),
            state: if waits { FiringState::Queued } else { FiringState::Active },
            series,
            previous: None,
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
        let Terms { template, retries, exit_codes, timeout_ms, outputs } = planned.terms;
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
            cause: origin.cause.clone(),
            state: RunState::Queued,
            attempt: 1,
            attempts: Vec::new(),
            cancel: None,
            outcome: None,
            reason: None,
            exit_code: None,
            gives_outputs: outputs,
            outputs: None,
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
        outputs: None,
    }
}
