//! Who goes next: due times, places in groups, places of `--max-running`.

use super::record::{Attempt, Firing, FiringState, Run, RunState};
use super::state::{GroupKey, Timer, Turn};
use super::types::{JobId, Order};
use crate::engine::ids::{FiringId, RunId};
use crate::engine::verdict::Outcome;

impl Turn<'_> {
    /// Lets everything happen that may happen now. Ends each step.
    pub(super) fn admit(&mut self) {
        while let Some(timer) = self.due() {
            match timer {
                Timer::MaxWait(firing) => self.cancel_firing(&firing, "maxWait"),
                Timer::Retry(run) => self.requeue(&run),
                Timer::Quiet(key) => self.quiet(key),
                Timer::Hold(key) => self.over(key),
                Timer::Rate(key) => self.forget_rate(key),
            }
        }
        self.fill_touched();
        while self.has_room() {
            let Some((_, run)) = self.machine.ready.first().cloned() else { break };
            self.launch(&run);
        }
    }

    /// New definitions: a limit may have become wider, schedules may have come and gone.
    pub(super) fn definitions(&mut self) {
        let waiting = self.machine.groups.iter().filter(|(_, group)| !group.queue.is_empty());
        let waiting: Vec<GroupKey> = waiting.map(|(key, _)| key.clone()).collect();
        self.machine.touched.extend(waiting);
        self.set_marks();
        self.drop_objects();
    }

    /// A due time further away than its own duration was set by a clock that has gone back since: it
    /// counts from now.
    pub(super) fn mend_clock(&mut self) {
        let jumped = self.now < self.machine.last_now || self.machine.last_now == 0;
        self.machine.last_now = self.now;
        if !jumped {
            return;
        }
        let now = self.now;
        let runs = self.machine.runs.iter();
        let late = runs.filter(|(_, run)| run.state == RunState::Retrying && run.since > now);
        for run in late.map(|(id, run)| run.record(id)).collect::<Vec<Run>>() {
            self.put_run(Run { since: now, ..run });
        }
        let firings = self.machine.firings.iter();
        let late = firings.filter(|(_, firing)| firing.state == FiringState::Queued && firing.since > now);
        for firing in late.map(|(id, firing)| firing.record(id)).collect::<Vec<Firing>>() {
            self.put_firing(Firing { since: now, ..firing });
        }
        self.mend_debounced();
        self.mend_gated();
        self.mend_holds();
        self.mend_rates();
        self.mend_marks();
    }

    /// Gives free places to those that wait, in every group in which something changed.
    pub(super) fn fill_touched(&mut self) {
        while let Some(group) = self.machine.touched.pop_first() {
            self.fill(&group);
        }
    }

    fn due(&mut self) -> Option<Timer> {
        let (at, timer) = self.machine.timers.first()?;
        let timer = (*at <= self.now).then(|| timer.clone())?;
        self.machine.timers.pop_first();
        Some(timer)
    }

    fn requeue(&mut self, id: &RunId) {
        let Some(run) = self.machine.run(id) else { return };
        let run = Run { state: RunState::Queued, since: self.now, attempt: run.attempt + 1, ..run };
        self.put_run(run);
    }

    /// Gives a group's free places to those that wait.
    fn fill(&mut self, key: &GroupKey) {
        loop {
            let Some(group) = self.machine.groups.get(key) else { return };
            let Some((_, id)) = group.queue.first() else { return };
            let Some(firing) = self.machine.firings.get(id) else { return };
            let frozen = firing.slot.as_ref().map_or(u32::MAX, |slot| slot.limit);
            let limit = self.snapshot.group_limits.get(&key.0).copied().unwrap_or(frozen);
            if group.active.len() >= limit as usize {
                return;
            }
            let firing = Firing {
                state: FiringState::Active,
                started_at: Some(self.now),
                since: self.now,
                ..firing.record(id)
            };
            self.put_firing(firing);
        }
    }

    fn has_room(&self) -> bool {
        self.machine.config.max_running.is_none_or(|limit| self.machine.running < limit)
    }

    fn launch(&mut self, id: &RunId) {
        let Some(mut run) = self.machine.run(id) else {
            self.machine.ready.pop_first();
            return;
        };
        run.state = RunState::Launching;
        run.since = self.now;
        run.attempts.push(Attempt::default());
        let job = JobId { run: run.id.clone(), attempt: run.attempt };
        self.put_run(run);
        self.order(Order::Create(job));
    }

    /// Ends a firing early: what has not started never will, what runs is stopped.
    pub(super) fn cancel_firing(&mut self, id: &FiringId, why: &str) {
        let Some(firing) = self.machine.firing(id) else { return };
        let firing = Firing { reason: Some(why.to_owned()), ..firing };
        let runs: Vec<_> =
            firing.runs.iter().filter(|run| run.outcome.is_none()).map(|run| run.id.clone()).collect();
        self.put_firing(firing);
        for run in runs {
            self.cancel_run(&run, why);
        }
    }

    /// Ends a run early. What has ended stays as it is.
    pub(super) fn cancel_run(&mut self, id: &RunId, why: &str) {
        let Some(mut run) = self.machine.run(id) else { return };
        match run.state {
            RunState::Queued | RunState::Retrying => {
                run.cancel = Some(why.to_owned());
                self.end_run(run, Outcome::Cancelled, why.to_owned(), None);
            }
            RunState::Launching | RunState::Submitted | RunState::Running => {
                run.cancel = Some(why.to_owned());
                run.state = RunState::Cancelling;
                run.since = self.now;
                let stop = super::job::stop(&run);
                self.put_run(run);
                self.order(stop);
            }
            RunState::Cancelling | RunState::Ended | RunState::Settled => {}
        }
    }
}
