//! Who carries out orders in the small world, as the launcher does: those of a run one after the other, and a first try
//! to create a Job by what the commit wrote that ordered it.

use std::collections::BTreeSet;

use kickoff::engine::ids::RunId;
use kickoff::engine::machine::{Created, Input, JobId, JobSeen, JobState, Key, Order, Record, Settled};
use kickoff::engine::verdict::Ended;

use super::{Job, World, running, seen};

/// An order.
pub(super) struct Ordered {
    order: Order,
    /// Whether it has with it what was written, and reads no records.
    is_fresh: bool,
}

impl World {
    /// Takes orders, those to create a Job with what the commit wrote that gave them, where it wrote a manifest for it.
    pub(super) fn give(&mut self, orders: Vec<Order>, written: &BTreeSet<RunId>) {
        for order in orders {
            self.tell(|| format!("  order {order:?}"));
            if let Order::Probe(probe) = order {
                // As who asks does: a later order takes the place of an earlier one.
                self.probes.insert(probe.firing.clone(), (self.now + probe.pause_ms, *probe));
                continue;
            }
            let lane = self.lanes.entry(order.lane()).or_default();
            if matches!(order, Order::Delete { .. }) {
                // What is under way is told that it is not wanted any more.
                for ordered in lane.iter_mut() {
                    ordered.is_fresh = false;
                }
            }
            // Of those that wait only the order is kept.
            let is_fresh =
                lane.is_empty() && matches!(&order, Order::Create(job) if written.contains(&job.run));
            lane.push_back(Ordered { order, is_fresh });
        }
    }

    /// The launcher: the next order of some run.
    pub(super) fn carry_out(&mut self) -> Result<(), String> {
        let lanes: Vec<String> = self.lanes.keys().cloned().collect();
        let Some(name) = self.rng.choice(&lanes) else { return Ok(()) };
        let Some(lane) = self.lanes.get_mut(name) else { return Ok(()) };
        let order = lane.pop_front();
        if lane.is_empty() {
            self.lanes.remove(name);
        }
        let Some(ordered) = order else { return Ok(()) };
        let fact = self.obey(ordered)?;
        if !self.quiet && self.rng.u32(0..30) == 0 {
            self.die("after an order, before its answer");
            return Ok(());
        }
        self.facts.extend(fact);
        Ok(())
    }

    fn obey(&mut self, Ordered { order, is_fresh }: Ordered) -> Result<Option<Input>, String> {
        Ok(match order {
            Order::Create(job) => return self.create(job, is_fresh),
            Order::Delete { job, uid, .. } => match self.jobs.get_mut(&job) {
                Some(found) if running(found) && uid.as_ref().is_none_or(|uid| *uid == found.uid) => {
                    found.ended = Ended::Deleted;
                    found.finishes_at = found.finishes_at.min(self.now + 5_000);
                    None
                }
                Some(_) => None,
                None => Some(gone(job, uid)),
            },
            Order::Look { job, uid, .. } => match self.jobs.get(&job) {
                Some(found) => Some(seen(&job, found)),
                None => Some(gone(job, uid)),
            },
            Order::Collect(job) => {
                let settled =
                    if self.jobs.contains_key(&job) { Settled::Stored } else { Settled::Unavailable };
                Some(Input::Settled { job, settled })
            }
            Order::Clean(job) => {
                if self.jobs.get(&job).is_some_and(|found| !running(found)) {
                    self.jobs.remove(&job);
                }
                None
            }
            Order::Append(event) => {
                let key = event.attributes.key.clone();
                let is_known = self.inbox.iter().any(|known| known.attributes.key == key);
                if !is_known && !self.records.contains_key(&Key::Delivery(key.clone())) {
                    return Err(format!("event {key} is appended, and no commit has it"));
                }
                self.append(*event);
                Some(Input::Delivered(key))
            }
            // It is in no lane.
            Order::Probe(_) => None,
            Order::Report(number) => {
                // As the reporter does: what is not there any more was published.
                if let Some(Record::Report(report)) = self.records.get(&Key::Report(number)) {
                    self.bus.push(report.id.clone());
                }
                Some(Input::Published(number))
            }
        })
    }

    fn create(&mut self, job: JobId, is_fresh: bool) -> Result<Option<Input>, String> {
        let open = self.records.get(&Key::RunOpen(job.run.clone()));
        if is_fresh {
            // It goes by what it has, so nothing but a commit may have given it that.
            if open.is_none() && !self.records.contains_key(&Key::RunDone(job.run.clone())) {
                return Err(format!("Job {job} is created, and no commit has its run"));
            }
        } else if !matches!(open, Some(Record::Run(run)) if run.waits_for(&job)) {
            return Ok(None);
        }
        if self.rng.u32(0..20) == 0 && !self.jobs.contains_key(&job) {
            self.refused.insert(job.clone());
            let refused =
                Created::Refused { reason: "unsupported".to_owned(), message: "on purpose".to_owned() };
            return Ok(Some(Input::Created { job, result: refused }));
        }
        if !self.jobs.contains_key(&job) {
            *self.created.entry(job.clone()).or_default() += 1;
            let uid = format!("uid-{job}-{}", self.created[&job]);
            let ended = match self.rng.u32(0..6) {
                0 => Ended::Exited(1),
                1 => Ended::Exited(77),
                2 => Ended::TimedOut,
                3 => Ended::Broken { reason: "lost".to_owned(), message: "on purpose".to_owned() },
                _ => Ended::Exited(0),
            };
            let finishes_at = self.now + self.rng.i64(0..300_000);
            let made = Job { uid, state: JobState::Running { started_at: self.now }, finishes_at, ended };
            self.facts.push(seen(&job, &made));
            self.jobs.insert(job.clone(), made);
        }
        let uid = self.jobs[&job].uid.clone();
        Ok(Some(Input::Created { job, result: Created::Submitted { uid } }))
    }
}

fn gone(job: JobId, uid: Option<String>) -> Input {
    Input::Seen(JobSeen::new(job, uid.unwrap_or_default(), JobState::Gone))
}
