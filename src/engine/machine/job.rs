//! What executors report about Jobs, and what it means for attempts, runs and firings.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::key::{Key, Write};
use super::record::{Attempt, Delivery, Firing, FiringState, Record, Run, RunState};
use super::report::Told;
use super::state::{Turn, append};
use super::types::{Created, JobId, JobSeen, JobState, Order, Place, PodSeen, Settled};
use crate::engine::event::{Attributes, Cause, Ingress, Millis};
use crate::engine::ids::RunId;
use crate::engine::trace::Trace;
use crate::engine::verdict::{Finished, Judgement, Outcome, judge, worst};

/// Type of the event that tells a firing's verdict.
pub const FIRING_FINISHED: &str = "dev.kickoff.firing.finished";

/// As much as Kubernetes takes of a termination message.
const MOST_OUTPUTS: usize = 4_096;
/// As many pods of an attempt are recorded.
pub const MOST_PODS: usize = 16;

/// Attempts that ended and whose log is not settled.
pub(super) fn unsettled(run: &RunId, attempts: &[Attempt]) -> impl Iterator<Item = JobId> {
    let ended =
        attempts.iter().zip(1..).filter(|(attempt, _)| attempt.outcome.is_some() && attempt.log.is_none());
    ended.map(move |(_, number)| JobId { run: run.clone(), attempt: number })
}

/// The order that stops a run's current Job.
pub(super) fn stop(run: &Run) -> Order {
    Order::Delete {
        job: JobId { run: run.id.clone(), attempt: run.attempt },
        uid: run.attempts.last().and_then(|attempt| attempt.uid.clone()),
        why: run.cancel.clone().unwrap_or_default(),
    }
}

/// What a run gave: a JSON object. An error says what it is instead.
fn outputs(text: &str) -> Result<Value, String> {
    if text.len() > MOST_OUTPUTS {
        return Err(format!("more than {MOST_OUTPUTS} bytes"));
    }
    match serde_json::from_str(text) {
        Ok(object @ Value::Object(_)) => Ok(object),
        Ok(_) => Err("no JSON object".to_owned()),
        // A node keeps no more of it than this, and does not say that there was more.
        Err(error) if text.len() == MOST_OUTPUTS => {
            Err(format!("not JSON in the {MOST_OUTPUTS} bytes that are kept of them: {error}"))
        }
        Err(error) => Err(format!("not JSON: {error}")),
    }
}

/// Takes over what is known of pods now; what was known stays. Whether that is more than before.
fn note(pods: &mut Vec<PodSeen>, seen: Vec<PodSeen>) -> bool {
    let mut more = false;
    for now in seen {
        if let Some(known) = pods.iter_mut().find(|known| known.name == now.name) {
            let merged = PodSeen {
                node: now.node.or_else(|| known.node.clone()),
                exit_code: now.exit_code.or(known.exit_code),
                reason: now.reason.or_else(|| known.reason.clone()),
                name: now.name,
            };
            more |= merged != *known;
            *known = merged;
        } else if pods.len() < MOST_PODS {
            pods.push(now);
            more = true;
        }
    }
    more
}

impl Turn<'_> {
    pub(super) fn created(&mut self, job: &JobId, result: Created) {
        let current = self.machine.run(&job.run).filter(|run| run.attempt == job.attempt);
        let Some(mut run) = current.filter(|run| run.state.occupies()) else {
            if let Created::Submitted { uid } = result {
                self.order(Order::Delete {
                    job: job.clone(),
                    uid: Some(uid),
                    why: "its run has ended".to_owned(),
                });
            }
            return;
        };
        match result {
            Created::Submitted { uid } => {
                if run.attempts.last().is_some_and(|attempt| attempt.uid.as_ref() == Some(&uid)) {
                    return;
                }
                self.submit(&mut run, uid);
                let stop = (run.state == RunState::Cancelling).then(|| stop(&run));
                self.put_run(run);
                self.out.orders.extend(stop);
            }
            Created::Refused { reason, message } => {
                let text = format!("{reason}: {message}");
                let judgement = Judgement { outcome: Outcome::Error, reason: text, exit_code: None };
                self.end_attempt(run, judgement, None, self.now);
            }
        }
    }

    fn submit(&mut self, run: &mut Run, uid: String) {
        if run.state == RunState::Launching {
            run.state = RunState::Submitted;
            run.since = self.now;
        }
        if let Some(attempt) = run.attempts.last_mut() {
            attempt.uid = Some(uid);
        }
    }

    pub(super) fn seen(&mut self, seen: JobSeen) {
        let Some(mut run) = self.machine.run(&seen.job.run) else {
            // Another server may know its run.
            if !seen.foreign {
                self.leftover(seen, true);
            }
            return;
        };
        if run.attempt != seen.job.attempt || !run.state.occupies() {
            let place = seen.job.attempt.checked_sub(1).map(|index| index as usize);
            let attempt = place.and_then(|index| run.attempts.get(index));
            let settled = attempt.is_none_or(|attempt| attempt.log.is_some());
            return self.leftover(seen, settled);
        }
        let known = run.attempts.last().and_then(|attempt| attempt.uid.as_ref());
        let is_elsewhere = |place: &Place| known.is_none() && *place != run.place(run.attempt);
        // Names and labels can be copied; in its place there is one.
        if known.is_some_and(|uid| *uid != seen.uid) || seen.place.as_deref().is_some_and(is_elsewhere) {
            return;
        }
        let last = run.attempts.last_mut();
        let is_more = last.is_some_and(|attempt| note(&mut attempt.pods, seen.pods));
        match seen.state {
            JobState::Running { started_at } => {
                if matches!(run.state, RunState::Launching | RunState::Submitted) {
                    self.submit(&mut run, seen.uid);
                    self.start(run, started_at);
                } else if is_more {
                    self.put_run(run);
                }
            }
            JobState::Finished(finished) => {
                self.submit(&mut run, seen.uid);
                self.finished(run, &finished);
            }
            JobState::Gone => self.gone(run),
        }
    }

    /// A Job that no open attempt waits for: one that runs is stopped, one that ended is cleaned up,
    /// unless its log is still to be kept.
    fn leftover(&mut self, seen: JobSeen, settled: bool) {
        match seen.state {
            JobState::Running { .. } => {
                let why = "its run has ended".to_owned();
                self.order(Order::Delete { job: seen.job, uid: Some(seen.uid), why });
            }
            JobState::Finished(_) if settled => self.order(Order::Clean(seen.job)),
            JobState::Finished(_) | JobState::Gone => {}
        }
    }

    fn start(&mut self, mut run: Run, started_at: Millis) {
        run.state = RunState::Running;
        run.since = self.now;
        self.tell_start(&mut run, started_at);
        self.put_run(run);
    }

    /// Tells that the current attempt runs, or ran: once.
    fn tell_start(&mut self, run: &mut Run, started_at: Millis) {
        run.started_at = run.started_at.or(Some(started_at));
        if let Some(attempt) = run.attempts.last_mut() {
            attempt.started_at = Some(started_at);
        }
        self.tell_run(run, Told::Started);
    }

    fn finished(&mut self, mut run: Run, finished: &Finished) {
        let mut judgement = match &run.cancel {
            Some(why) => Judgement { outcome: Outcome::Cancelled, reason: why.clone(), exit_code: None },
            None => judge(finished, &run.exit_codes),
        };
        // Those of an earlier attempt are its own.
        run.outputs = None;
        // It was over before anybody saw it run, or nobody watched: what waits for each step is told of each.
        let unseen = run.attempts.last().is_some_and(|attempt| attempt.started_at.is_none());
        if let Some(started_at) = finished.started_at.filter(|_| unseen) {
            self.tell_start(&mut run, started_at);
        }
        if let Some(text) = finished.outputs.as_deref().filter(|_| run.gives_outputs) {
            match outputs(text) {
                Ok(given) => run.outputs = Some(given),
                Err(why) => judgement.reason = format!("{}; its outputs are {why}", judgement.reason),
            }
        }
        self.end_attempt(run, judgement, finished.started_at, finished.finished_at);
    }

    /// The Job is not there any more. One that we did not stop was deleted by hand, and is never
    /// launched again.
    fn gone(&mut self, run: Run) {
        let reason = match run.state {
            RunState::Cancelling => run.cancel.clone().unwrap_or_default(),
            RunState::Submitted | RunState::Running => "deleted".to_owned(),
            _ => return,
        };
        let judgement = Judgement { outcome: Outcome::Cancelled, reason, exit_code: None };
        self.end_attempt(run, judgement, None, self.now);
    }

    pub(super) fn listed(&mut self, jobs: &BTreeSet<JobId>) {
        let mut missing: Vec<(JobId, Option<String>, Place)> = Vec::new();
        for (id, run) in &self.machine.runs {
            let job = JobId { run: id.clone(), attempt: run.attempt };
            if run.state.has_job() && !jobs.contains(&job) {
                let uid = run.attempts.last().and_then(|attempt| attempt.uid.clone());
                missing.push((job, uid, run.record(id).place(run.attempt)));
            }
        }
        missing.sort();
        self.out.orders.extend(missing.into_iter().map(|(job, uid, place)| Order::Look { job, uid, place }));
    }

    /// Ends the current attempt: a further one where retries say so, else the run.
    fn end_attempt(&mut self, mut run: Run, judgement: Judgement, started_at: Option<Millis>, at: Millis) {
        let job = JobId { run: run.id.clone(), attempt: run.attempt };
        run.started_at = run.started_at.or(started_at);
        if let Some(attempt) = run.attempts.last_mut() {
            attempt.started_at = attempt.started_at.or(started_at);
            attempt.finished_at = Some(at);
            attempt.outcome = Some(judgement.outcome);
            attempt.reason = Some(judgement.reason.clone());
            if attempt.uid.is_none() {
                attempt.log = Some(Settled::Unavailable);
            } else {
                self.out.orders.push(Order::Collect(job));
            }
        }
        let again = run.cancel.is_none()
            && run.attempt <= run.retries.limit
            && run.retries.outcomes.contains(&judgement.outcome);
        if again {
            run.state = RunState::Retrying;
            run.since = self.now;
            run.reason = Some(judgement.reason);
            self.put_run(run);
        } else {
            run.finished_at = Some(at);
            self.end_run(run, judgement.outcome, judgement.reason, judgement.exit_code);
        }
    }

    /// Gives a run its outcome, and its firing the verdict where it was the last.
    pub(super) fn end_run(&mut self, mut run: Run, outcome: Outcome, reason: String, exit_code: Option<i32>) {
        run.state = RunState::Ended;
        run.since = self.now;
        run.outcome = Some(outcome);
        run.reason = Some(reason);
        run.exit_code = exit_code;
        run.finished_at = run.finished_at.or(Some(self.now));
        self.tell_run(&run, Told::Finished);
        let (id, firing, given) = (run.id.clone(), run.firing.clone(), run.outputs.clone());
        self.settle_or_keep(run);
        let Some(mut firing) = self.machine.firing(&firing) else { return };
        for summary in &mut firing.runs {
            if summary.id == id {
                summary.outcome = Some(outcome);
                summary.outputs.clone_from(&given);
            }
        }
        if firing.runs.iter().all(|run| run.outcome.is_some()) {
            self.end_firing(firing);
        } else {
            self.put_firing(firing);
        }
    }

    fn end_firing(&mut self, mut firing: Firing) {
        firing.state = FiringState::Ended;
        firing.outcome = worst(firing.runs.iter().filter_map(|run| run.outcome));
        firing.finished_at = Some(self.now);
        firing.previous = self.previous(&firing);
        self.look_ahead(&firing);
        let delivery = self.verdict(&firing);
        self.tell_verdict(&firing, FIRING_FINISHED, &delivery.data);
        let id = firing.id.clone();
        self.put(Write::delete(Key::FiringOpen(id.clone())));
        self.put(Write::put(Key::FiringDone(id), Record::Firing(Box::new(firing))));
        self.order(append(&delivery));
        let key = delivery.attributes.key.clone();
        self.put(Write::put(Key::Delivery(key), Record::Delivery(Box::new(delivery))));
    }

    /// The event that tells a firing's verdict. Its id is the firing's, so a repeat is recognised.
    fn verdict(&self, firing: &Firing) -> Delivery {
        let source = self.source();
        let id = firing.id.to_string();
        let depth = firing.cause.as_ref().map_or(0, |cause| cause.depth) + 1;
        let mut chain = firing.cause.as_ref().map_or_else(Vec::new, |cause| cause.chain.clone());
        chain.push(firing.trigger.clone());
        let attributes = Attributes {
            subject: Some(firing.trigger.to_string()),
            git: firing.git.clone(),
            cause: Some(Cause { firing: firing.id.clone(), depth, chain }),
            traceparent: Some(
                Trace::of_event(&firing.event.key, firing.event.traceparent.as_deref())
                    .below(firing.id.as_str()),
            ),
            ..Attributes::new(Ingress::Verdict, source, id, FIRING_FINISHED.to_owned(), self.now)
        };
        let data = json!({
            "firing": firing.id,
            "namespace": firing.trigger.namespace,
            "trigger": firing.trigger.name,
            "outcome": firing.outcome,
            "reason": firing.reason,
            "previous": firing.previous,
            "event": firing.event,
            "git": firing.git,
            "runs": firing.runs,
        });
        Delivery { attributes, data }
    }

    pub(super) fn settled(&mut self, job: &JobId, settled: Settled) {
        self.order(Order::Clean(job.clone()));
        let Some(mut run) = self.machine.run(&job.run) else { return };
        let place = job.attempt.checked_sub(1).map(|index| index as usize);
        let Some(attempt) = place.and_then(|index| run.attempts.get_mut(index)) else { return };
        attempt.log = Some(settled);
        self.settle_or_keep(run);
    }

    /// Writes a run: among the settled ones where it has ended and every log is settled.
    fn settle_or_keep(&mut self, mut run: Run) {
        if run.state != RunState::Ended || run.attempts.iter().any(|attempt| attempt.log.is_none()) {
            return self.put_run(run);
        }
        run.state = RunState::Settled;
        let id = run.id.clone();
        self.put(Write::delete(Key::RunOpen(id.clone())));
        self.put(Write::put(Key::RunDone(id), Record::Run(Box::new(run))));
    }
}
