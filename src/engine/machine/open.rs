//! Open runs and firings as the memory has them: small, since there may be tens of thousands.
//!
//! What several have in common (what they run, what they came from) is there once. It is found by its value, so it
//! makes no difference whether it was decided in this process or read from the records. What most lack takes no
//! room while they lack it. What comes out is the record that went in.

mod shared;

use std::sync::Arc;

use serde_json::Value;

pub(super) use self::shared::Pools;
use self::shared::{Leg, Series, Source, Terms, map};
use super::record::{Attempt, Firing, FiringState, Run, RunState, RunSummary, Slot};
use super::state::{Rank, rank};
use crate::engine::event::Millis;
use crate::engine::ids::{FiringId, RunId};
use crate::engine::verdict::Outcome;

/// An open run, but for its id.
#[derive(Debug)]
pub(super) struct OpenRun {
    pub(super) firing: FiringId,
    pub(super) state: RunState,
    pub(super) attempt: u32,
    pub(super) attempts: Box<[Attempt]>,
    pub(super) ordinal: (u64, u32),
    pub(super) since: Millis,
    created_at: Millis,
    started_at: Option<Millis>,
    terms: Arc<Terms>,
    leg: Arc<Leg>,
    source: Arc<Source>,
    /// What is not the case before it ends, or is stopped.
    rest: Option<Box<RunRest>>,
}

/// An open firing, but for its id.
#[derive(Debug)]
pub(super) struct OpenFiring {
    pub(super) state: FiringState,
    pub(super) slot: Option<Arc<Slot>>,
    pub(super) ordinal: (u64, u32),
    pub(super) since: Millis,
    created_at: Millis,
    started_at: Option<Millis>,
    priority: i32,
    series: Arc<Series>,
    source: Arc<Source>,
    runs: Box<[OpenSummary]>,
    rest: Option<Box<FiringRest>>,
}

#[derive(Debug)]
struct OpenSummary {
    id: RunId,
    leg: Arc<Leg>,
    rest: Option<Box<SummaryRest>>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct RunRest {
    cancel: Option<String>,
    outcome: Option<Outcome>,
    reason: Option<String>,
    exit_code: Option<i32>,
    outputs: Option<Value>,
    finished_at: Option<Millis>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct FiringRest {
    previous: Option<Outcome>,
    outcome: Option<Outcome>,
    reason: Option<String>,
    finished_at: Option<Millis>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct SummaryRest {
    outcome: Option<Outcome>,
    outputs: Option<Value>,
}

/// `None` where there is nothing to it.
fn boxed<T: Default + PartialEq>(rest: T) -> Option<Box<T>> {
    (rest != T::default()).then(|| Box::new(rest))
}

fn unboxed<T: Default + Clone>(rest: Option<&T>) -> T {
    rest.cloned().unwrap_or_default()
}

impl OpenRun {
    /// What is kept of a run.
    pub(super) fn keep(run: &Run, pools: &mut Pools) -> Self {
        let terms = Terms {
            trigger: run.trigger.clone(),
            environment: run.environment.clone(),
            namespace: run.namespace.clone(),
            gives_outputs: run.gives_outputs,
            retries: run.retries.clone(),
            exit_codes: run.exit_codes.clone(),
            timeout_ms: run.timeout_ms,
            priority: run.priority,
        };
        let leg = Leg::of(&run.name, &run.template, &run.matrix, &run.params);
        let source = Source::of(&run.event, run.root.as_ref(), run.git.as_ref(), run.cause.as_ref());
        let rest = RunRest {
            cancel: run.cancel.clone(),
            outcome: run.outcome,
            reason: run.reason.clone(),
            exit_code: run.exit_code,
            outputs: run.outputs.clone(),
            finished_at: run.finished_at,
        };
        Self {
            firing: run.firing.clone(),
            state: run.state,
            attempt: run.attempt,
            attempts: run.attempts.clone().into_boxed_slice(),
            ordinal: run.ordinal,
            since: run.since,
            created_at: run.created_at,
            started_at: run.started_at,
            terms: pools.terms.share(terms),
            leg: pools.legs.share(leg),
            source: pools.sources.share(source),
            rest: boxed(rest),
        }
    }

    /// The whole run.
    pub(super) fn record(&self, id: &RunId) -> Run {
        let Self { terms, leg, source, .. } = self;
        let rest = unboxed(self.rest.as_deref());
        Run {
            id: id.clone(),
            firing: self.firing.clone(),
            trigger: terms.trigger.clone(),
            template: leg.template.clone(),
            environment: terms.environment.clone(),
            name: leg.name.clone(),
            matrix: map(&leg.matrix),
            params: map(&leg.params),
            namespace: terms.namespace.clone(),
            event: source.event.clone(),
            root: source.root.as_deref().cloned(),
            git: source.git.as_deref().cloned(),
            cause: source.cause.as_deref().cloned(),
            state: self.state,
            attempt: self.attempt,
            attempts: self.attempts.to_vec(),
            cancel: rest.cancel,
            outcome: rest.outcome,
            reason: rest.reason,
            exit_code: rest.exit_code,
            gives_outputs: terms.gives_outputs,
            outputs: rest.outputs,
            retries: terms.retries.clone(),
            exit_codes: terms.exit_codes.clone(),
            timeout_ms: terms.timeout_ms,
            priority: terms.priority,
            ordinal: self.ordinal,
            created_at: self.created_at,
            since: self.since,
            started_at: self.started_at,
            finished_at: rest.finished_at,
        }
    }

    /// It is kept no more.
    pub(super) fn give_back(self, pools: &mut Pools) {
        pools.terms.give_back(self.terms);
        pools.legs.give_back(self.leg);
        pools.sources.give_back(self.source);
    }

    /// Its place in the queue.
    pub(super) fn rank(&self) -> Rank {
        rank(self.terms.priority, self.created_at, self.ordinal)
    }

    /// The pause before its next attempt, milliseconds: doubled each time, up to an hour or to what the template
    /// says, where that is longer.
    pub(super) fn backoff_ms(&self) -> i64 {
        let first = self.terms.retries.backoff_ms;
        let doublings = self.attempt.saturating_sub(1).min(20);
        first.saturating_mul(1 << doublings).min(first.max(3_600_000))
    }
}

impl OpenFiring {
    /// What is kept of a firing.
    pub(super) fn keep(firing: &Firing, pools: &mut Pools) -> Self {
        let series = Series { trigger: firing.trigger.clone(), series: firing.series.clone() };
        let source =
            Source::of(&firing.event, firing.root.as_ref(), firing.git.as_ref(), firing.cause.as_ref());
        let rest = FiringRest {
            previous: firing.previous,
            outcome: firing.outcome,
            reason: firing.reason.clone(),
            finished_at: firing.finished_at,
        };
        Self {
            state: firing.state,
            slot: firing.slot.clone().map(|slot| pools.slots.share(slot)),
            ordinal: firing.ordinal,
            since: firing.since,
            created_at: firing.created_at,
            started_at: firing.started_at,
            priority: firing.priority,
            series: pools.series.share(series),
            source: pools.sources.share(source),
            runs: firing.runs.iter().map(|run| OpenSummary::keep(run, pools)).collect(),
            rest: boxed(rest),
        }
    }

    /// The whole firing.
    pub(super) fn record(&self, id: &FiringId) -> Firing {
        let Self { series, source, .. } = self;
        let rest = unboxed(self.rest.as_deref());
        Firing {
            id: id.clone(),
            trigger: series.trigger.clone(),
            event: source.event.clone(),
            root: source.root.as_deref().cloned(),
            git: source.git.as_deref().cloned(),
            cause: source.cause.as_deref().cloned(),
            state: self.state,
            series: series.series.clone(),
            previous: rest.previous,
            slot: self.slot.as_deref().cloned(),
            priority: self.priority,
            ordinal: self.ordinal,
            runs: self.runs.iter().map(OpenSummary::record).collect(),
            outcome: rest.outcome,
            reason: rest.reason,
            created_at: self.created_at,
            since: self.since,
            started_at: self.started_at,
            finished_at: rest.finished_at,
        }
    }

    /// It is kept no more.
    pub(super) fn give_back(self, pools: &mut Pools) {
        pools.series.give_back(self.series);
        pools.sources.give_back(self.source);
        if let Some(slot) = self.slot {
            pools.slots.give_back(slot);
        }
        for run in self.runs.into_vec() {
            pools.legs.give_back(run.leg);
        }
    }

    /// Its place in the queue.
    pub(super) fn rank(&self) -> Rank {
        rank(self.priority, self.created_at, self.ordinal)
    }
}

impl OpenSummary {
    fn keep(run: &RunSummary, pools: &mut Pools) -> Self {
        let leg = Leg::of(&run.name, &run.template, &run.matrix, &run.params);
        let rest = SummaryRest { outcome: run.outcome, outputs: run.outputs.clone() };
        Self { id: run.id.clone(), leg: pools.legs.share(leg), rest: boxed(rest) }
    }

    fn record(&self) -> RunSummary {
        let rest = unboxed(self.rest.as_deref());
        RunSummary {
            id: self.id.clone(),
            name: self.leg.name.clone(),
            template: self.leg.template.clone(),
            matrix: map(&self.leg.matrix),
            params: map(&self.leg.params),
            outcome: rest.outcome,
            outputs: rest.outputs,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// With everything that a run may have.
    fn run() -> Run {
        let event =
            json!({"key": "e".repeat(32), "id": "1", "source": "/s", "type": "t", "traceparent": "00-1"});
        let mut run = json!({
            "id": "a".repeat(20), "firing": "f".repeat(32), "trigger": "ns/smoke", "template": "ns/k6",
            "environment": "staging", "name": "api", "namespace": "tests", "event": event, "root": event,
            "matrix": {"browser": "firefox"}, "params": {"vus": 5, "x": null},
            "git": {"sha": "abc1234", "number": 7, "fork": true},
            "cause": {"firing": "b".repeat(32), "depth": 1, "chain": ["ns/first"]}, "givesOutputs": true,
            "retries": {"limit": 1, "outcomes": ["Error"], "backoffMs": 10_000},
            "exitCodes": {"failed": [[1, 255]]}, "timeoutMs": 1_000, "priority": -2, "ordinal": [4, 1],
        });
        let became = json!({
            "state": "ended", "attempt": 2, "cancel": "by ann", "outcome": "Cancelled", "reason": "by ann",
            "attempts": [{"uid": "u1", "outcome": "Error", "log": "stored"}, {"uid": "u2", "pods": [{"name": "p"}]}],
            "exitCode": 3, "outputs": {"url": "x"}, "createdAt": 1, "since": 2, "startedAt": 3, "finishedAt": 4,
        });
        run.as_object_mut().unwrap().extend(became.as_object().unwrap().clone());
        let read: Run = serde_json::from_value(run.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), run, "nothing is left out");
        read
    }

    fn firing(run: &Run) -> Firing {
        Firing {
            id: run.firing.clone(),
            trigger: run.owner().clone(),
            event: run.event.clone(),
            root: run.root.clone(),
            git: run.git.clone(),
            cause: run.cause.clone(),
            state: FiringState::Active,
            series: Some("s".repeat(32)),
            previous: Some(Outcome::Failed),
            slot: None,
            priority: run.priority,
            ordinal: run.ordinal,
            runs: vec![RunSummary {
                id: run.id.clone(),
                name: run.name.clone(),
                template: run.template.clone(),
                matrix: run.matrix.clone(),
                params: run.params.clone(),
                outcome: run.outcome,
                outputs: run.outputs.clone(),
            }],
            outcome: run.outcome,
            reason: Some("maxWait".to_owned()),
            created_at: 5,
            since: 6,
            started_at: Some(7),
            finished_at: Some(8),
        }
    }

    #[test]
    fn what_comes_out_is_what_went_in() {
        let (run, mut pools) = (run(), Pools::default());
        let firing = firing(&run);
        let young = Run { outcome: None, outputs: None, reason: None, cancel: None, ..run.clone() };
        let young = Run { exit_code: None, finished_at: None, attempts: Vec::new(), ..young };
        for run in [&run, &young] {
            let kept = OpenRun::keep(run, &mut pools);
            assert_eq!(kept.record(&run.id), *run);
            kept.give_back(&mut pools);
        }
        let waiting =
            Firing { previous: None, outcome: None, reason: None, finished_at: None, ..firing.clone() };
        for firing in [&firing, &waiting] {
            let kept = OpenFiring::keep(firing, &mut pools);
            assert_eq!(kept.record(&firing.id), *firing);
            kept.give_back(&mut pools);
        }
    }

    #[test]
    fn a_run_and_its_firing_have_in_memory_once_what_they_share() {
        let (run, mut pools) = (run(), Pools::default());
        let firing = OpenFiring::keep(&firing(&run), &mut pools);
        let kept = OpenRun::keep(&run, &mut pools);
        assert!(Arc::ptr_eq(&kept.source, &firing.source) && Arc::ptr_eq(&kept.leg, &firing.runs[0].leg));
    }

    /// Ten thousand of each may be open, so what is added here is added ten thousand times.
    #[test]
    fn an_open_run_is_small() {
        assert!(size_of::<OpenRun>() <= 136, "{}", size_of::<OpenRun>());
        assert!(size_of::<OpenFiring>() <= 112, "{}", size_of::<OpenFiring>());
        assert!(size_of::<OpenSummary>() <= 40, "{}", size_of::<OpenSummary>());
        assert!(size_of::<Source>() <= 160, "{}", size_of::<Source>());
        assert!(size_of::<Attempt>() <= 112, "{}", size_of::<Attempt>());
    }
}
