//! Which schedule is due next, for all of them.
//!
//! Knows up to which slot each schedule is said. A schedule that was there before this process goes on from
//! its durable mark, one that is new begins now. What [`Wheel::take`] gives counts as said: who takes it
//! appends it, however long that takes. If we die before the append, the durable mark has not moved and the
//! slots are due again after the start, as missed ones.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Schedule, event};
use crate::engine::definitions::Snapshot;
use crate::engine::event::{Event, Ingress, Millis};
use crate::engine::ids::ObjectName;

/// All schedules, the next one first.
#[derive(Debug, Default)]
pub struct Wheel {
    entries: HashMap<Ingress, Entry>,
    /// When each fires next.
    queue: BTreeSet<(Millis, Ingress)>,
    /// The time of the last look.
    looked: Millis,
}

#[derive(Debug)]
struct Entry {
    trigger: ObjectName,
    schedule: Schedule,
    mark: Millis,
    /// When its next slot fires.
    next: Option<Millis>,
}

/// What is due.
#[derive(Debug, Default)]
pub struct Taken {
    /// One for each slot that fires.
    pub events: Vec<Event>,
    /// Triggers with slots that came and do not fire, and since which slot.
    pub passed_over: Vec<(ObjectName, Millis)>,
}

impl Wheel {
    /// Takes the schedules of `snapshot` in, and forgets those that it hasn't. One that is not known yet goes
    /// on from its mark, else from `now`.
    pub fn reconcile(&mut self, snapshot: &Snapshot, marks: &BTreeMap<Ingress, Millis>, now: Millis) {
        let mut before = std::mem::take(&mut self.entries);
        self.queue.clear();
        for trigger in &snapshot.triggers {
            for (ingress, schedule) in trigger.schedules() {
                let known = before.remove(ingress);
                let mark = known.as_ref().map(|entry| entry.mark).or_else(|| marks.get(ingress).copied());
                let mark = Schedule::believed(mark.unwrap_or(now), now);
                // What did not change is not reckoned again: there may be thousands.
                let same = known.filter(|entry| entry.mark == mark && entry.schedule == *schedule);
                let entry = same.unwrap_or_else(|| Entry {
                    trigger: trigger.name.clone(),
                    schedule: schedule.clone(),
                    mark,
                    next: schedule.fires_after(mark),
                });
                self.queue.extend(entry.next.map(|at| (at, ingress.clone())));
                self.entries.insert(ingress.clone(), entry);
            }
        }
    }

    /// When the next slot fires.
    pub fn wake_at(&self) -> Option<Millis> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// What is due at `now`, of so many schedules that there are some `most` events.
    pub fn take(&mut self, now: Millis, most: usize) -> Taken {
        if now < self.looked {
            self.went_back(now);
        }
        self.looked = now;
        let mut taken = Taken::default();
        while taken.events.len() < most
            && let Some((_, ingress)) = self.queue.first().filter(|(at, _)| *at <= now).cloned()
        {
            self.queue.pop_first();
            if let Some(entry) = self.entries.get_mut(&ingress) {
                entry.take(now, &mut taken);
            }
            self.enqueue(&ingress);
        }
        taken
    }

    /// The clock went back: what is due when was reckoned from a time that was wrong.
    fn went_back(&mut self, now: Millis) {
        self.queue.clear();
        let all: Vec<Ingress> = self.entries.keys().cloned().collect();
        for ingress in all {
            if let Some(entry) = self.entries.get_mut(&ingress) {
                entry.mark = Schedule::believed(entry.mark, now);
            }
            self.enqueue(&ingress);
        }
    }

    fn enqueue(&mut self, ingress: &Ingress) {
        let Some(entry) = self.entries.get_mut(ingress) else { return };
        entry.next = entry.schedule.fires_after(entry.mark);
        self.queue.extend(entry.next.map(|at| (at, ingress.clone())));
    }
}

impl Entry {
    fn take(&mut self, now: Millis, taken: &mut Taken) {
        let due = self.schedule.due(self.mark, now);
        let slots = &self.schedule.slots;
        let events = due.slots.iter().enumerate().map(|(place, slot)| {
            let passed_over = due.passed_over.filter(|_| place == 0);
            event(&self.trigger, slots, *slot, passed_over, now)
        });
        taken.events.extend(events);
        taken.passed_over.extend(due.passed_over.map(|since| (self.trigger.clone(), since)));
        // A slot that was reckoned as due and is not found again must not come up for ever.
        self.mark = due.mark.unwrap_or(now - self.schedule.delay_ms).max(self.mark);
    }
}
