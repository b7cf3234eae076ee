//! The fold of the records into memory: what each write changes in it, and in every index of it.

use super::{Machine, Timer};
use crate::engine::ids::{FiringId, RunId};
use crate::engine::machine::key::{Key, Write};
use crate::engine::machine::open::{OpenFiring, OpenRun};
use crate::engine::machine::record::{Firing, FiringState, Record, Run, RunState};

impl Machine {
    /// Folds one write into memory. The order of writes of one commit does not matter.
    pub fn apply(&mut self, write: &Write) {
        match (&write.key, &write.value) {
            (Key::Cursor, Some(Record::Cursor(position))) => self.cursor = *position,
            (Key::RunOpen(id), value) => {
                self.forget_run(id);
                if let Some(Record::Run(run)) = value {
                    self.learn_run(run);
                }
            }
            (Key::FiringOpen(id), value) => {
                self.forget_firing(id);
                if let Some(Record::Firing(firing)) = value {
                    self.learn_firing(firing);
                }
            }
            (Key::Delivery(key), Some(Record::Delivery(delivery))) => {
                self.deliveries.insert(key.clone(), (**delivery).clone());
            }
            (Key::Delivery(key), None) => {
                self.deliveries.remove(key);
            }
            (key @ Key::Series(..), value) => {
                if let Some(old) = self.series.remove(key) {
                    self.series_ages.remove(old.at, key);
                }
                if let Some(Record::Series(series)) = value {
                    self.series_ages.insert(series.at, key);
                    self.series.insert(key.clone(), (**series).clone());
                }
            }
            (key @ Key::Debounce(..), Some(Record::Debounced(held))) => {
                self.debounced.set(&mut self.timers, key, Some(held));
            }
            (key @ Key::Debounce(..), None) => self.debounced.set(&mut self.timers, key, None),
            (Key::Gate(firing), Some(Record::Gated(held))) => {
                self.gated.insert(firing.clone(), (**held).clone());
            }
            (Key::Gate(firing), None) => {
                self.gated.remove(firing);
            }
            (Key::Held(key), Some(Record::Event(record))) => {
                self.held.insert(key.clone(), (**record).clone());
            }
            (Key::Held(key), None) => {
                self.held.remove(key);
            }
            (key @ Key::Hold(..), Some(Record::Hold(hold))) => {
                self.holds.set(&mut self.timers, key, Some(hold));
            }
            (key @ Key::Hold(..), None) => self.holds.set(&mut self.timers, key, None),
            (key @ Key::Rate(..), Some(Record::Rate(rate))) => {
                self.rates.set(&mut self.timers, key, Some(rate));
            }
            (key @ Key::Rate(..), None) => self.rates.set(&mut self.timers, key, None),
            (key @ (Key::Report(_) | Key::Parked(_)), value) => self.learn_result(key, value.is_some()),
            (Key::Mark(ingress), Some(Record::Mark(mark))) => {
                self.marks.insert(ingress.clone(), *mark);
            }
            (Key::Mark(ingress), None) => {
                self.marks.remove(ingress);
            }
            (key @ (Key::Object(..) | Key::Watched(..)), value) => self.learn_object(key, value.as_ref()),
            (key @ (Key::Revision(_) | Key::Document(_)), value) => self.documents.learn(key, value.as_ref()),
            _ => {}
        }
    }

    fn learn_run(&mut self, run: &Run) {
        let id = &run.id;
        let run = OpenRun::keep(run, &mut self.pools);
        if run.state.occupies() {
            self.running += 1;
        }
        if run.state == RunState::Queued && self.is_active(&run.firing) {
            self.ready.insert((run.rank(), id.clone()));
        }
        if run.state == RunState::Retrying {
            self.timers.insert((run.since + run.backoff_ms(), Timer::Retry(id.clone())));
        }
        self.runs.insert(id.clone(), Box::new(run));
    }

    fn forget_run(&mut self, id: &RunId) {
        let Some(run) = self.runs.remove(id) else { return };
        if run.state.occupies() {
            self.running -= 1;
        }
        self.ready.remove(&(run.rank(), id.clone()));
        if run.state == RunState::Retrying {
            self.timers.remove(&(run.since + run.backoff_ms(), Timer::Retry(id.clone())));
        }
        run.give_back(&mut self.pools);
    }

    fn learn_firing(&mut self, record: &Firing) {
        let id = &record.id;
        let firing = OpenFiring::keep(record, &mut self.pools);
        let queued = firing.state == FiringState::Queued;
        if let Some(slot) = &firing.slot {
            let key = (slot.group.clone(), slot.key.clone());
            let group = self.groups.entry(key.clone()).or_default();
            if queued {
                group.queue.insert((firing.rank(), id.clone()));
                self.timers.insert((firing.since + slot.max_wait_ms, Timer::MaxWait(id.clone())));
            } else {
                group.active.insert(id.clone());
            }
            self.touched.insert(key);
        }
        if firing.state == FiringState::Active {
            let open = record.runs.iter().filter_map(|run| Some((&run.id, self.runs.get(&run.id)?)));
            let queued = open.filter(|(_, run)| run.state == RunState::Queued);
            self.ready.extend(queued.map(|(id, run)| (run.rank(), id.clone())));
        }
        self.firings.insert(id.clone(), Box::new(firing));
    }

    fn forget_firing(&mut self, id: &FiringId) {
        let Some(firing) = self.firings.remove(id) else { return };
        if let Some(slot) = &firing.slot {
            self.timers.remove(&(firing.since + slot.max_wait_ms, Timer::MaxWait(id.clone())));
            let key = (slot.group.clone(), slot.key.clone());
            if let Some(group) = self.groups.get_mut(&key) {
                group.active.remove(id);
                group.queue.remove(&(firing.rank(), id.clone()));
                if group.active.is_empty() && group.queue.is_empty() {
                    self.groups.remove(&key);
                }
            }
            self.touched.insert(key);
        }
        firing.give_back(&mut self.pools);
    }

    fn is_active(&self, firing: &FiringId) -> bool {
        self.firings.get(firing).is_some_and(|firing| firing.state == FiringState::Active)
    }
}
